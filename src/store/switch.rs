//! A successor: a new file that takes the store's place.
//!
//! The new file is made beside the old one under a random name, is locked before anything is written to it, gets its
//! records, is synced, and only then gets the store's name. Creation, compaction, truncation and the repairs that must
//! not touch the old file all go this way, so a file that has the store's name is whole, or empty where its creator
//! died.
//!
//! Before [`Successor::install`] the maker holds the lock of the new file; a process that removes leftovers passes by a
//! locked file. During `install` the maker holds the lock of the old file as well. Afterwards the path leads to the new
//! file, every thread of this process works on it, and the locks are those that the mode asks for.
//!
//! Why no writer slips in between: a process that waits for the lock of the old file finds a retired record behind its
//! tail once it has the lock, and looks at the path before it writes. So the retired record comes before the rename. In
//! the other order a compactor that died between the two would leave no note: a process that got the lock of the old file
//! then, and whose look at the path was not due, would append to a file that no name leads to. As it is, a compactor that
//! dies between the two leaves a retired record in a file that is still the store's. The next writer looks at the path,
//! finds the same file there, and appends behind the record: a retired record that is not the last one counts for
//! nothing.
//!
//! Why the sync comes before the rename: the new name may reach the disk before the content does.

use super::append::{mark_behind, retire};
use super::disk::Stat;
use super::disk::names::rename_to_new;
use super::format::{FileHeader, Head, Kind, LOG_START, NewRecord};
use super::generation::{Generation, Position};
use super::index::Index;
use super::place::Place;
use super::recovery::Damage;
use super::temp;
use crate::error::{Error, Result};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// Bytes that a copy collects before it writes them.
const FLUSH_BYTES: usize = 256 << 10;
/// Bytes after which a copy syncs, so that its last sync, which others wait for, has little left to do.
const SYNC_BYTES: u64 = 8 << 20;

/// A file that is about to take the store's place. If this is dropped before that, the file is removed.
#[derive(Debug)]
pub(crate) struct Successor<'a> {
    place: &'a Place,
    temp: PathBuf,
    /// Taken out when it is installed.
    next: Option<Generation>,
    installed: bool,
    buf: Vec<u8>,
    synced: u64,
}

/// The header of the first file of a store.
pub(crate) fn first_header(place: &Place) -> Result<FileHeader> {
    let mut drawn = [[0; 16]; 3];
    place.random(drawn.as_flattened_mut())?;
    let [seed, hash_key, lineage] = drawn;
    Ok(FileHeader {
        epoch: 1,
        seed: u128::from_le_bytes(seed) as u64,
        hash_key,
        lineage,
        generation: 1,
        base: LOG_START,
        created_ms: place.now_ms(),
    })
}

/// The header of the file after this one. It keeps the time at which the store was created. A clock that reads earlier
/// than that counts as wrong: if the header took this process's time, and its clock is ahead, every right clock would.
pub(crate) fn next_header(place: &Place, old: &FileHeader) -> Result<FileHeader> {
    Ok(FileHeader {
        epoch: 1,
        seed: place.random_word()?,
        generation: old.generation.saturating_add(1),
        base: LOG_START,
        ..*old
    })
}

/// The header of a file after this one that holds more than the log of this one tells. It counts as two files: a reader
/// that follows the log finds one missing, and reads everything again.
pub(crate) fn next_header_of_more(place: &Place, old: &FileHeader) -> Result<FileHeader> {
    Ok(FileHeader {
        generation: old.generation.saturating_add(2),
        ..next_header(place, old)?
    })
}

impl<'a> Successor<'a> {
    /// A new locked file with the owner, group and mode of `like`. The caller holds the store's lock.
    ///
    /// Fails if this process can't give it those: a cron job of root's must not lock the app's user out.
    pub(crate) fn create(
        place: &'a Place,
        header: FileHeader,
        like: &Stat,
    ) -> Result<Successor<'a>> {
        let mut successor = Successor::beside(place, &place.real, header)?;
        successor.belong_to(like)?;
        Ok(successor)
    }

    /// A new locked file of this process's own user beside `target`.
    pub(crate) fn beside(
        place: &'a Place,
        target: &Path,
        header: FileHeader,
    ) -> Result<Successor<'a>> {
        let log = temp::create(place, target)?;
        // From here on a failure removes the file.
        let mut successor = Successor {
            place,
            temp: log.path.to_path_buf(),
            next: None,
            installed: false,
            buf: Vec::new(),
            synced: LOG_START,
        };
        let identity = log.stat()?;
        let position = Position::start(&header);
        successor.next = Some(Generation::new(
            log,
            header,
            identity,
            Index::new(),
            position,
        ));
        Ok(successor)
    }

    /// Gives it the owner, group and mode of another file.
    pub(crate) fn belong_to(&mut self, like: &Stat) -> Result<()> {
        let Some(next) = &mut self.next else {
            return Ok(());
        };
        let is = &next.identity;
        if (is.uid, is.gid, is.mode) != (like.uid, like.gid, like.mode) {
            next.log
                .file
                .set_owner(like.uid, like.gid, like.mode)
                .map_err(|error| {
                    Error::io(
                        "give the owner and mode of the store to",
                        &next.log.path,
                        error,
                    )
                    .advise("run this as the user who owns the store")
                })?;
            next.identity = next.log.stat()?;
        }
        Ok(())
    }

    pub(crate) fn generation(&self) -> &Generation {
        // Only `install`, which consumes the successor, takes it out.
        self.next
            .as_ref()
            .unwrap_or_else(|| unreachable!("a successor has its file until it is installed"))
    }

    /// Appends a record of any file of this store; `prev` says where the new file has the record's key.
    pub(crate) fn append(&mut self, record: NewRecord<'_>, prev: u64) -> Result<()> {
        let next = self.generation();
        let fingerprint = match record.kind {
            Kind::Put | Kind::Delete => next.fingerprint(record.key),
            _ => 0,
        };
        let record = NewRecord {
            prev,
            fingerprint,
            ..record
        };
        self.push(record, |_, _| {})
    }

    /// Appends a record of which only the head verifies, in such a way that the same is true of it here: its key reads
    /// as an error until it is written again.
    pub(crate) fn append_damaged(&mut self, record: NewRecord<'_>) -> Result<()> {
        let next = self.generation();
        let (offset, fingerprint) = (next.tail(), record.fingerprint);
        self.push(record, Head::spoil)?;
        let next = self.generation();
        let len_bytes = next.tail() - offset;
        let damage = Damage::record(offset, len_bytes, fingerprint);
        next.position().damage.push(damage);
        Ok(())
    }

    fn push(&mut self, record: NewRecord<'_>, finish: fn(&mut Head, &mut [u8])) -> Result<()> {
        let next = self.generation();
        let header = next.header;
        let offset = next.tail();
        let record = NewRecord {
            epoch: header.epoch,
            durable: 0,
            ..record
        };
        let mut buf = std::mem::take(&mut self.buf);
        let start = buf.len();
        let mut head = record.encode(header.seed, offset, &mut buf);
        finish(&mut head, buf.get_mut(start..).unwrap_or_default());
        self.buf = buf;
        let next = self.generation();
        next.apply(&[(offset, head)])?;
        if self.buf.len() >= FLUSH_BYTES {
            self.flush()
        } else {
            Ok(())
        }
    }

    /// Where this file has the key; 0: nowhere.
    pub(crate) fn prev_of(&mut self, key: &[u8]) -> Result<u64> {
        let fingerprint = self.generation().fingerprint(key);
        let candidates = self.generation().index.candidates(fingerprint);
        if candidates.iter().next().is_none() {
            return Ok(0);
        }
        self.flush()?;
        let found = self
            .generation()
            .find_among(&candidates, fingerprint, key)?;
        Ok(found.map_or(0, |found| found.at.offset()))
    }

    /// Brings to disk all that was appended so far, so that the last sync, which others wait for, finds little to do.
    pub(crate) fn sync_ahead(&mut self) -> Result<()> {
        self.flush()?;
        self.generation().log.sync()?;
        self.synced = self.generation().tail();
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        let next = self.generation();
        let tail = next.tail();
        let from = tail - self.buf.len() as u64;
        next.log.write_all(&self.buf, from)?;
        self.buf.clear();
        if tail - self.synced >= SYNC_BYTES {
            self.generation().log.sync()?;
            self.synced = tail;
        }
        Ok(())
    }

    /// Writes the header and brings all of the file to disk.
    fn finish(&mut self) -> Result<FileHeader> {
        self.flush()?;
        let next = self.generation();
        let header = FileHeader {
            base: next.tail(),
            ..next.header
        };
        next.log.write_all(&header.encode(), 0)?;
        next.log.sync()?;
        Ok(header)
    }

    /// Gives the file a name of its own, which nothing else has; the store stays with its file.
    pub(crate) fn name_apart(mut self, to: &Path) -> Result<()> {
        self.finish()?;
        let disk = &*self.place.mode.disk;
        rename_to_new(disk, &self.temp, to).map_err(|error| Error::io("create", to, error))?;
        self.installed = true;
        self.place.sync_directory_of(to)
    }

    /// Gives the file the store's name. The caller holds the store's lock. `old` gets a note first that sends its users
    /// to the path, unless it is condemned, which sends them already, or unborn.
    pub(crate) fn install(mut self, old: &Generation) -> Result<Arc<Generation>> {
        let place = self.place;
        let header = self.finish()?;
        let _switching = place.begin_switch();
        if !old.is_unborn() && !old.position().condemned {
            if old.log.size()? <= old.tail() {
                retire(old, place.now_ms())?;
            } else {
                // Bytes stand behind the tail. Another process may have applied them before they were damaged, and has
                // its tail where they end, so the note goes there. A disk that refuses the note is one more reason to
                // leave this file; such a process then finds out at its next look at the path.
                let _ = mark_behind(old, place.now_ms());
            }
        }
        let Some(mut next) = self.next.take() else {
            unreachable!("a successor is installed once")
        };
        next.log.path = Arc::clone(&place.path);
        next.header = header;
        // This process wrote all of it, and has synced it.
        next.commit.credit(header.base);
        next.written.store(header.base, Relaxed);
        next.rewritten.store(true, Relaxed);
        let next = place.install(&self.temp, next, old)?;
        self.installed = true;
        Ok(next)
    }
}

impl Drop for Successor<'_> {
    fn drop(&mut self) {
        if !self.installed {
            let _ = self.place.mode.disk.remove(&self.temp);
        }
    }
}
