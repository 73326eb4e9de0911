//! One sync for many: whoever finds no sync running leads one for all that is written by then, the others wait for it.

use super::lock_of;
use crate::error::Result;
use std::sync::atomic::{AtomicU64, Ordering::*};
use std::sync::{Condvar, Mutex, PoisonError};

/// What is known to be on disk of one file. Belongs to that file: a sync of another one earns it nothing.
#[derive(Debug)]
pub(crate) struct Commit {
    durable: AtomicU64,
    state: Mutex<State>,
    finished: Condvar,
}

#[derive(Debug, Default)]
struct State {
    running: bool,
    /// The kernel has dropped pages that it could not write, and would call a second sync a success.
    failed: bool,
}

/// What came of waiting.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Synced {
    Durable,
    /// A sync failed, now or earlier, here or in another thread: nothing more of this file will ever be acknowledged.
    Failed,
}

impl Commit {
    pub(crate) fn new(durable: u64) -> Commit {
        Commit {
            durable: AtomicU64::new(durable),
            state: Mutex::default(),
            finished: Condvar::new(),
        }
    }

    /// The log is on disk up to here, at least.
    pub(crate) fn durable(&self) -> u64 {
        self.durable.load(Acquire)
    }

    /// Somebody's word, found in the log or given by a switch, that the log is on disk up to `end`.
    pub(crate) fn credit(&self, end: u64) {
        self.durable.fetch_max(end, AcqRel);
    }

    /// Whether a sync failed.
    pub(crate) fn has_failed(&self) -> bool {
        lock_of(&self.state).failed
    }

    pub(crate) fn fail(&self) {
        lock_of(&self.state).failed = true;
    }

    /// Returns once the log is on disk up to `end`, or can't be. `written` tells how far this process knows the log to
    /// be written, and is asked before a sync starts, so that a sync earns no more than it covered. The error of `sync`
    /// goes to the one who led it.
    pub(crate) fn wait(
        &self,
        end: u64,
        written: impl Fn() -> u64,
        sync: impl FnOnce() -> Result<()>,
    ) -> Result<Synced> {
        if self.durable() >= end {
            return Ok(Synced::Durable);
        }
        let mut state = lock_of(&self.state);
        loop {
            if self.durable() >= end {
                return Ok(Synced::Durable);
            }
            if state.failed {
                return Ok(Synced::Failed);
            }
            if !state.running {
                break;
            }
            state = self
                .finished
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        state.running = true;
        drop(state);
        let covered = written();
        let result = sync();
        let covered = match sabotaged!(CreditWhatCameLater) {
            true => written(),
            false => covered,
        };
        let mut state = lock_of(&self.state);
        state.running = false;
        match &result {
            Ok(()) => self.credit(covered),
            Err(_) => state.failed = true,
        }
        drop(state);
        self.finished.notify_all();
        result.map(|()| Synced::Durable)
    }
}

#[cfg(test)]
pub(crate) mod tests;
