//! Making a file writable again: a torn tail is cut, a condemned file is left behind.

use super::Inner;
use super::compaction::{Pass, copy};
use super::disk::{Create, OpenFile};
use super::format::LOG_START;
use super::generation::Generation;
use super::log::{LogFile, uninterrupted};
use super::recovery::TornTail;
use super::switch::{Successor, next_header};
use crate::error::{Error, Result};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering::Release};

/// So many evidence files are kept; the oldest ones are not replaced, because the first fault explains the others.
const EVIDENCE_MAX: usize = 4;
/// A tail longer than this is not cut: the file that it stands in is kept as a whole.
const EVIDENCE_BYTES_MAX: u64 = 64 << 20;

impl Inner {
    /// Repairs the tail of a file that this process may write to. The caller holds the lock and has looked at the path.
    pub(crate) fn repair(&self, generation: &Generation, records_behind: bool) -> Result<()> {
        let tail = generation.tail();
        let size_bytes = generation.log.size()?;
        let torn = |evidence| TornTail {
            offset: tail,
            len_bytes: size_bytes.saturating_sub(tail),
            evidence,
        };
        let exhausted = generation.position().epoch == u16::MAX;
        // Nothing is cut of which no copy is kept.
        let is_long = size_bytes.saturating_sub(tail) > EVIDENCE_BYTES_MAX;
        if !records_behind && !exhausted && !is_long {
            let evidence = self.keep_cut_bytes(generation, tail, size_bytes)?;
            self.cut(generation, tail)?;
            self.note_torn_tail(torn(evidence));
            return Ok(());
        }
        // Records behind the torn place could count again if it were overwritten in a way that joins up with them, and
        // they are the only trace of what went wrong: the file stays as it is, but for the note that it was left, under
        // another name.
        let evidence = self.switch_to_copy(generation, true)?;
        self.note_torn_tail(torn(evidence));
        Ok(())
    }

    /// Moves what can be read of a file whose sync failed to a new one. The caller holds the lock.
    pub(crate) fn heal(&self, generation: &Generation) -> Result<()> {
        // Who does not know that it was left would acknowledge what is appended to it.
        if !generation.position().condemned {
            self.mark_as_left(generation)?;
        }
        self.switch_to_copy(generation, false).map(|_| ())
    }

    /// Copies the valid log to a new file and puts it in place. The caller holds the lock.
    ///
    /// The old file is kept if it is evidence, or if it holds damaged records, which are damaged in the new one too.
    fn switch_to_copy(&self, generation: &Generation, keep: bool) -> Result<Option<PathBuf>> {
        super::switch::remove_leftovers(self)?;
        let mut successor = Successor::create(
            self,
            next_header(self, &generation.header)?,
            &generation.identity,
        )?;
        copy(
            self,
            generation,
            &mut successor,
            LOG_START..generation.tail(),
            Pass::Repair,
            &AtomicBool::new(false),
        )?;
        let is_sound = successor.generation().position().damage.is_empty();
        let kept = match keep || !is_sound {
            true => self.keep_whole_file()?,
            false => None,
        };
        let next = successor.install(Some(generation))?;
        self.hand_over_lock(generation, &next);
        Ok(kept)
    }

    /// Writes what is about to be cut to a file of its own and syncs it: file header, offset, bytes.
    fn keep_cut_bytes(
        &self,
        generation: &Generation,
        tail: u64,
        size_bytes: u64,
    ) -> Result<Option<PathBuf>> {
        let Some(path) = self.evidence_path()? else {
            return Ok(None);
        };
        let disk = &*self.options.disk;
        let how = OpenFile {
            write: true,
            create: Create::New,
            mode: 0o600,
        };
        let written = || -> Result<()> {
            let file = disk
                .open(&path, how)
                .map_err(|error| Error::io("create", &path, error))?;
            let log = LogFile {
                file,
                path: path.as_path().into(),
            };
            // Who may write to the store without owning it can't do this, and keeps the bytes to itself.
            let like = &generation.identity;
            let _ = log.file.set_owner(like.uid, like.gid, like.mode);
            log.write_all(&generation.header.encode_for_cut_off(), 0)?;
            log.write_all(&tail.to_le_bytes(), LOG_START)?;
            let (mut from, mut to) = (tail, LOG_START + 8);
            let end = size_bytes;
            let mut chunk = vec![0; 64 << 10];
            while from < end {
                let wanted = chunk.len().min((end - from) as usize);
                let read = generation
                    .log
                    .read_up_to(chunk.get_mut(..wanted).unwrap_or_default(), from)?;
                if read == 0 {
                    break;
                }
                log.write_all(chunk.get(..read).unwrap_or_default(), to)?;
                from += read as u64;
                to += read as u64;
            }
            log.sync()?;
            self.sync_directory()?;
            // The store's own name stands in that directory as well.
            generation.directory_synced.store(true, Release);
            Ok(())
        };
        if let Err(error) = written() {
            let _ = disk.remove(&path);
            return Err(error);
        }
        Ok(Some(path))
    }

    /// Gives the file a second name, under which it stays when the store's name goes to another.
    pub(crate) fn keep_whole_file(&self) -> Result<Option<PathBuf>> {
        let Some(path) = self.evidence_path()? else {
            return Ok(None);
        };
        self.options
            .disk
            .link(&self.real, &path)
            .map_err(|error| Error::io("link to", &path, error))?;
        self.sync_directory()?;
        Ok(Some(path))
    }

    fn evidence_path(&self) -> Result<Option<PathBuf>> {
        if self.evidence_files()?.len() >= EVIDENCE_MAX {
            return Ok(None);
        }
        let mut random = [0; 8];
        self.random(&mut random)?;
        Ok(Some(super::sibling(
            &self.real,
            &format!(".damaged-{:016x}", u64::from_le_bytes(random)),
        )))
    }

    /// The evidence files of this store.
    pub(crate) fn evidence_files(&self) -> Result<Vec<PathBuf>> {
        let Some(dir) = self.real.parent() else {
            return Ok(Vec::new());
        };
        let names = uninterrupted(|| self.options.disk.list(dir))
            .map_err(|error| Error::io("list", dir, error))?;
        let prefix = super::sibling(&self.real, ".damaged-");
        let prefix = prefix
            .file_name()
            .map(|name| name.as_encoded_bytes().to_vec())
            .unwrap_or_default();
        Ok(names
            .into_iter()
            .filter(|name| {
                let digits = name.as_encoded_bytes().strip_prefix(&*prefix);
                digits.is_some_and(|digits| {
                    digits.len() == 16 && digits.iter().all(u8::is_ascii_hexdigit)
                })
            })
            .map(|name| dir.join(name))
            .collect())
    }
}
