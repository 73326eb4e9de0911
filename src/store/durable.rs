//! When what was written counts as done: the log is on disk, under a name that survives, and at the store's path.
//!
//! A sync of the log is led by one thread for many ([`Commit`](super::commit::Commit)). Two more things must hold before
//! a write is acknowledged. The directory was synced since this process adopted the file: a power cut may still undo
//! another process's rename, and with it everything acknowledged here. And a look at the path after the sync began found
//! the file there, or a successor that has the write: the note that retired or condemned the file stands behind it.

use super::commit::Synced;
use super::generation::Generation;
use super::place::Place;
use crate::error::Error;
use std::sync::atomic::Ordering::*;

/// Why the log is not known to be on disk.
#[derive(Debug)]
pub(crate) struct NotDurable {
    /// Nobody knew before: the caller has to tell the other processes.
    pub(crate) is_news: bool,
    pub(crate) error: Error,
}

impl From<Error> for NotDurable {
    fn from(error: Error) -> NotDurable {
        let is_news = false;
        NotDurable { is_news, error }
    }
}

/// Returns once the log is on disk up to `end`. If it can't be, this process will not write to the file again.
pub(crate) fn sync_log(
    place: &Place,
    generation: &Generation,
    end: u64,
) -> std::result::Result<(), NotDurable> {
    let written = || generation.written.load(Acquire);
    let sync = || {
        let covered = written();
        generation.log.sync()?;
        // One look at the path for all threads that this sync serves.
        if place.is_at_its_path(generation) {
            generation.seen_at_its_path.fetch_max(covered, AcqRel);
        }
        Ok(())
    };
    let clock = || place.mode.disk.monotonic();
    match generation.commit.wait(end, written, clock, sync) {
        Ok(Synced::Durable) => Ok(()),
        Ok(Synced::Failed) => {
            // The thread whose sync failed may have condemned an earlier reading of the file.
            generation.condemn();
            let what = format!(
                "an earlier sync of {} failed",
                crate::error::Shown(&place.path)
            );
            let advice =
                "the outcome is unknown; the next write moves what can be read to a new file";
            Err(Error::failed(what, advice).at(&place.path).into())
        }
        Err(error) => {
            generation.condemn();
            let is_news = true;
            Err(NotDurable { is_news, error })
        }
    }
}

/// Returns once the log of this generation is on disk up to `end`, under a name that survives as well.
pub(crate) fn make_durable(
    place: &Place,
    generation: &Generation,
    end: u64,
) -> std::result::Result<(), NotDurable> {
    // Where the log was durable before this call, no sync has looked at the path since the call began.
    let was_durable = generation.commit.durable() >= end;
    sync_log(place, generation, end)?;
    ensure_directory_synced(place, generation)?;
    if !was_durable && generation.seen_at_its_path.load(Acquire) >= end {
        return Ok(());
    }
    Ok(place.check_path(generation, end)?)
}

/// Makes the name that leads to a file survive a power cut, once for each file that this process adopts.
pub(crate) fn ensure_directory_synced(
    place: &Place,
    generation: &Generation,
) -> crate::error::Result<()> {
    if !generation.directory_synced.load(Acquire) {
        place.sync_directory()?;
        generation.directory_synced.store(true, Release);
    }
    Ok(())
}
