//! When what was written counts as done.

use super::Inner;
use super::format::Kind;
use super::generation::Generation;
use super::log;
use crate::error::{Error, Result};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering::*;

impl Inner {
    /// Returns once the log of this generation is on disk up to `end`, under a name that survives as well.
    pub(crate) fn make_durable(&self, generation: &Arc<Generation>, end: u64) -> Result<()> {
        if sabotaged!(AcknowledgeBeforeSync) {
            return Ok(());
        }
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
        self.check_path(generation, end)
    }

    /// Notes in the log that it is on disk, so that nothing before is ever taken for a crash's doing.
    pub(crate) fn seal(&self) -> Result<()> {
        if !self.wrote.load(Acquire) {
            return Ok(());
        }
        let writing = self.begin()?;
        let generation = &writing.generation;
        let (tail, sealed) = {
            let position = generation.position();
            (position.tail, position.sealed)
        };
        if generation.commit.durable() < tail && !sabotaged!(SealUnsynced) {
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
        let mut finished = match sabotaged!(SealUnsynced) {
            true => Ok(()),
            false => self.make_durable(&generation, generation.written.load(Acquire)),
        };
        if finished.is_ok() && !self.stopped.load(Acquire) {
            finished = self.seal();
        }
        let generation = self.generation();
        if finished.is_ok() && generation.ahead.load(Relaxed) > 0 {
            // Left there it would cost nothing but space.
            let _ = generation.log.set_len(generation.tail());
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
        if sabotaged!(SkipDirectorySync) {
            return Ok(());
        }
        log::uninterrupted(|| self.options.disk.sync_dir(dir))
            .map_err(|error| Error::io("sync", dir, error))
    }
}
