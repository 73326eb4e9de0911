//! Putting a new file in place of the old one.
//!
//! The new file is made beside the old one under a random name, is locked from its first moment, gets its records, is
//! synced, and only then gets the store's name. Creation, compaction, truncation and the repairs that must not touch
//! the old file all go this way, so a file that has the store's name is always whole.
//!
//! Why no writer can slip in between: the caller holds the lock of the old file until the new one has the name, and
//! that of the new one until its own process knows the new one. Who waited for the old lock finds a retired record, or
//! another file at the path, before it writes.

use super::disk::{Create, OpenFile, Stat};
use super::format::{FileHeader, Head, Kind, LOG_START, NewRecord};
use super::generation::{Generation, Position};
use super::index::Index;
use super::lock::try_lock;
use super::log::{LogFile, uninterrupted};
use super::recovery::Damage;
use super::{Inner, batch::unix_ms, lock_of, sibling};
use crate::error::{Error, ErrorKind, Result};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering::{Relaxed, Release};

/// Written at once while copying.
const FLUSH_BYTES: usize = 256 << 10;
/// Synced this often while copying, so that the last sync, which others wait for, has little left to do.
const SYNC_BYTES: u64 = 8 << 20;

/// A file that is about to take the store's place. Dropped before that, it is removed again.
#[derive(Debug)]
pub(crate) struct Successor<'a> {
    store: &'a Inner,
    temp: PathBuf,
    /// Taken out when it is installed.
    next: Option<Generation>,
    installed: bool,
    buf: Vec<u8>,
    synced: u64,
}

/// Lets this process's readers stay with the old file until it knows the new one.
struct Switching<'a>(&'a Inner);

impl<'a> Switching<'a> {
    fn begin(store: &'a Inner) -> Switching<'a> {
        store.switching.store(true, Release);
        Switching(store)
    }
}

impl Drop for Switching<'_> {
    fn drop(&mut self) {
        self.0.switching.store(false, Release);
    }
}

/// The header of the first file of a store.
pub(crate) fn first_header(store: &Inner) -> Result<FileHeader> {
    let mut random = [0; 40];
    store.random(&mut random)?;
    let [seed, key1, key2, lineage1, lineage2] = [0, 8, 16, 24, 32].map(|at| word(&random, at));
    Ok(FileHeader {
        epoch: 1,
        seed: u64::from_le_bytes(seed),
        hash_key: join(key1, key2),
        lineage: join(lineage1, lineage2),
        generation: 1,
        base: LOG_START,
        created_ms: unix_ms(store.options.disk.wall_clock()),
    })
}

/// The header of the file after this one.
pub(crate) fn next_header(store: &Inner, old: &FileHeader) -> Result<FileHeader> {
    let mut seed = [0; 8];
    store.random(&mut seed)?;
    Ok(FileHeader {
        epoch: 1,
        seed: u64::from_le_bytes(seed),
        generation: old.generation.saturating_add(1),
        base: LOG_START,
        // The store is as old as it was: the clock of who copies it may be ahead, and no proof against later ones.
        ..*old
    })
}

fn word(bytes: &[u8; 40], at: usize) -> [u8; 8] {
    bytes
        .get(at..)
        .and_then(|rest| rest.first_chunk())
        .copied()
        .unwrap_or_default()
}

fn join(first: [u8; 8], second: [u8; 8]) -> [u8; 16] {
    let mut both = [0; 16];
    both[..8].copy_from_slice(&first);
    both[8..].copy_from_slice(&second);
    both
}

impl<'a> Successor<'a> {
    /// A new locked file with the owner, group and mode of `like`. The caller holds the store's lock.
    ///
    /// Fails if this process can't give it those: a cron job of root's must not lock the app's user out.
    pub(crate) fn create(
        store: &'a Inner,
        header: FileHeader,
        like: &Stat,
    ) -> Result<Successor<'a>> {
        let mut successor = Successor::beside(store, &store.real, header)?;
        successor.belong_to(like)?;
        Ok(successor)
    }

    /// A new locked file of this process's own user beside `target`.
    pub(crate) fn beside(
        store: &'a Inner,
        target: &Path,
        header: FileHeader,
    ) -> Result<Successor<'a>> {
        let disk = &*store.options.disk;
        let mut random = [0; 8];
        store.random(&mut random)?;
        let temp = sibling(target, &format!(".tmp-{:016x}", u64::from_le_bytes(random)));
        let how = OpenFile {
            write: true,
            create: Create::New,
            mode: 0o600,
        };
        let file = disk
            .open(&temp, how)
            .map_err(|error| Error::io("create", &temp, error))?;
        let log = LogFile {
            file,
            path: Arc::from(temp.as_path()),
        };
        // From here on a failure removes the file.
        let mut successor = Successor {
            store,
            temp,
            next: None,
            installed: false,
            buf: Vec::new(),
            synced: LOG_START,
        };
        if !try_lock(&log.file, &log.path)? {
            return Err(Error::new(
                ErrorKind::Busy,
                format!("`{}` is locked by somebody else", log.path.display()),
            ));
        }
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

    /// Appends a record, whose epoch, prev and durable are this file's to say.
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

    /// Appends a record of another file of this store, of which only the head verifies: nor does it here, so that its
    /// key reads as an error until it is written again.
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

    /// Brings all that was appended to disk, so that the last sync, which others wait for, finds little to do.
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

    /// Gives the file a name that nothing has; the store stays with its own file.
    pub(crate) fn place(mut self, to: &Path) -> Result<()> {
        self.finish()?;
        let disk = &*self.store.options.disk;
        disk.link(&self.temp, to)
            .map_err(|error| Error::io("create", to, error))?;
        let _ = disk.remove(&self.temp);
        self.installed = true;
        self.store.sync_directory_of(to)
    }

    /// Gives the file the store's name. The caller holds the store's lock. `old` is retired first, so that its users
    /// look for the new one; those of a condemned file do already.
    pub(crate) fn install(mut self, old: Option<&Generation>) -> Result<Arc<Generation>> {
        let store = self.store;
        let disk = &*store.options.disk;
        let header = self.finish()?;
        let _switching = Switching::begin(store);
        if let Some(old) = old.filter(|old| old.header.generation > 0) {
            let is_condemned = old.position().condemned;
            if !is_condemned && old.nothing_follows()? {
                store.append_marker(old, Kind::Retired)?;
            } else if !is_condemned {
                // Who had applied what is damaged by now has his tail at the end of the file. The damage may be the
                // disk's, which need not keep us from leaving it.
                let _ = store.mark_behind(old);
            }
        }
        // Until this process has moved to the new file, no thread of it may take that for somebody else's.
        let _following = lock_of(&store.following);
        disk.rename(&self.temp, &store.real)
            .map_err(|error| Error::io("rename", &self.temp, error))?;
        self.installed = true;
        let Some(mut next) = self.next.take() else {
            unreachable!("a successor is installed once")
        };
        next.log.path = Arc::clone(&store.path);
        next.header = header;
        next.commit.credit(header.base);
        next.written.store(header.base, Relaxed);
        next.rewritten.store(true, Relaxed);
        let next = Arc::new(next);
        store.adopt(Arc::clone(&next));
        // If this fails the switch has happened all the same; it is tried again before anything is acknowledged.
        if store.sync_directory().is_ok() {
            next.directory_synced.store(true, Relaxed);
        }
        Ok(next)
    }
}

impl Drop for Successor<'_> {
    fn drop(&mut self) {
        if !self.installed {
            let _ = self.store.options.disk.remove(&self.temp);
        }
    }
}

/// Removes what compactors left behind that died. False if one is at work. The caller holds the store's lock.
pub(crate) fn remove_leftovers(store: &Inner) -> Result<bool> {
    let disk = &*store.options.disk;
    let Some(dir) = store.real.parent() else {
        return Ok(true);
    };
    let names = uninterrupted(|| disk.list(dir)).map_err(|error| Error::io("list", dir, error))?;
    let own = disk.stat(&store.real).ok();
    let mut nobody_at_work = true;
    for name in names {
        let path = dir.join(&name);
        if !is_temp_of(&store.real, &path) {
            continue;
        }
        // A link or a FIFO that somebody planted under such a name is neither opened nor removed.
        let Ok(stat) = disk.stat(&path) else { continue };
        if disk.resolve(&path).ok().as_ref() != Some(&path) || !stat.is_file {
            continue;
        }
        // Another name of the store itself: it was given its own, and whoever did it died before he took this one away.
        if own.is_some_and(|own| own.same_file(&stat)) {
            let _ = disk.remove(&path);
            continue;
        }
        let how = OpenFile {
            write: true,
            create: Create::Never,
            mode: 0,
        };
        let Ok(file) = disk.open(&path, how) else {
            continue;
        };
        if try_lock(&file, &path)? {
            let _ = disk.remove(&path);
        } else {
            nobody_at_work = false;
        }
    }
    Ok(nobody_at_work)
}

/// Whether a path is the store's with `.tmp-` and 16 hexadecimal digits behind.
fn is_temp_of(store: &Path, path: &Path) -> bool {
    let name = |path: &Path| {
        path.file_name()
            .map(|name| name.as_encoded_bytes().to_vec())
            .unwrap_or_default()
    };
    let (store, temp) = (name(store), name(path));
    let digits = temp
        .strip_prefix(&*store)
        .and_then(|rest| rest.strip_prefix(b".tmp-"));
    digits.is_some_and(|digits| digits.len() == 16 && digits.iter().all(u8::is_ascii_hexdigit))
}
