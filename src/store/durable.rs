//! When what was written counts as done.

use super::Inner;
use super::format::{Kind, LOG_START};
use super::generation::Generation;
use super::log;
use crate::error::{Error, Result};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering::*;

/// Read and written at once by [`Inner::rewrite_unsynced`].
const REWRITTEN_AT_ONCE: u64 = 256 << 10;

impl Inner {
    /// Returns once the log of this generation is on disk up to `end`, under a name that survives as well.
    pub(crate) fn make_durable(&self, generation: &Arc<Generation>, end: u64) -> Result<()> {
        // Then no sync of now, with its look at the path, stands for this call.
        let was_durable = generation.commit.durable() >= end;
        if let Err(failure) = self.sync_log(generation, end) {
            if failure.is_news {
                self.condemn(generation);
            }
            return Err(failure.error);
        }
        if !generation.directory_synced.load(Acquire) {
            self.sync_directory()?;
            generation.directory_synced.store(true, Release);
        }
        // Nothing is acknowledged on a file that lost its name, unless a switch took it over, which copied it all.
        if !was_durable && generation.seen_at_its_path.load(Acquire) >= end {
            return Ok(());
        }
        self.check_path(generation, end)
    }

    /// Before anything is appended to a file that others wrote to, or acknowledged: puts what nobody called durable
    /// once more where it stands, so that this process's own sync covers it. The caller holds the lock.
    ///
    /// A sync of somebody's may have failed, and so may the note of it in the log. The cache then shows what the kernel
    /// could not write and does not try again: a later sync would succeed, and a hole would be left below what it
    /// acknowledged. Who had the file open then is told by the kernel with his own next sync; who opens it later is
    /// not (Linux since 4.13, `fsync(2)`). What is on disk after all is there before, after and in the middle of being
    /// written again, and readers and writers who have it open are shown the same.
    pub(crate) fn rewrite_unsynced(&self, generation: &Generation) -> Result<()> {
        if generation.rewritten.load(Acquire) {
            return Ok(());
        }
        // What a header claims may lie before the log, where a file may even end.
        let mut from = generation.commit.durable().max(LOG_START);
        let tail = generation.tail();
        let mut chunk = Vec::new();
        while from < tail {
            chunk.resize((tail - from).min(REWRITTEN_AT_ONCE) as usize, 0);
            let read = generation.log.read_up_to(&mut chunk, from)?;
            if read < chunk.len() {
                return Err(self.replaced("was cut"));
            }
            generation.log.write_all(&chunk, from)?;
            from += read as u64;
        }
        generation.rewritten.store(true, Release);
        generation.written.store(tail, Release);
        Ok(())
    }

    /// Notes in the log that it is on disk, so that nothing before is ever taken for a crash's doing.
    pub(crate) fn seal(&self) -> Result<()> {
        if !self.wrote.load(Acquire) {
            return Ok(());
        }
        let writing = self.begin_to_sync()?;
        let generation = &writing.generation;
        let (tail, sealed) = {
            let position = generation.position();
            (position.tail, position.is_sealed())
        };
        if generation.commit.durable() < tail {
            // Another thread or process wrote meanwhile.
            return Ok(());
        }
        if !sealed {
            self.append_marker(generation, Kind::Seal)?;
        }
        // With the lock held, so that no write of another thread is forgotten.
        self.wrote.store(false, Release);
        Ok(())
    }

    /// What closing does: once, whoever asks first.
    pub(crate) fn finish(&self) -> Result<()> {
        if self.options.read_only || !self.wrote.load(Acquire) {
            return Ok(());
        }
        let generation = self.generation();
        let mut finished = self.make_durable(&generation, generation.written.load(Acquire));
        if finished.is_ok() && !self.stopped.load(Acquire) {
            finished = self.seal();
        }
        self.wrote.store(false, Release);
        finished
    }

    pub(crate) fn sync_directory(&self) -> Result<()> {
        self.sync_directory_of(&self.real)
    }

    /// Makes the name of a file survive a power cut.
    pub(crate) fn sync_directory_of(&self, path: &Path) -> Result<()> {
        let Some(dir) = path.parent() else {
            return Ok(());
        };
        log::uninterrupted(|| self.options.disk.sync_dir(dir))
            .map_err(|error| Error::io("sync", dir, error))
    }
}
