//! One sync for many: whoever finds no sync running leads one for all that is written by then, the others wait for it.
//!
//! Those whom a sync lets go are back with their next write soon, but not all at once. If the first of them synced for
//! itself, the others would wait for that and share the one after: two syncs where one would do. So it waits for as many
//! as took part in the last one, half as long as that took at most (as PostgreSQL's `commit_delay` does, whose manual
//! advises that half), and not again for a while where that was in vain: so many threads write that the disk is never
//! idle anyway, or so rarely that they do not meet. A thread that is alone waits for others once, when they have left.

use super::lock_of;
use crate::error::Result;
use std::sync::atomic::{AtomicU64, Ordering::*};
use std::sync::{Mutex, MutexGuard};
use std::thread::{self, Thread};
use std::time::Duration;

/// Nobody waits longer than this for others to join.
const GATHERING_MAX: Duration = Duration::from_millis(1);
const GATHERING_ROUNDS: u32 = 4;
/// So many syncs start at once after one that waited in vain.
const UNGATHERED_SYNCS: u32 = 64;

/// What is known to be on disk of one file. Belongs to that file: a sync of another one earns it nothing.
#[derive(Debug)]
pub(crate) struct Commit {
    durable: AtomicU64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Who leads a sync, from the moment when it starts to gather others.
    leader: Option<Thread>,
    /// Who waits, the leader included.
    waiting: Vec<Waiter>,
    /// How many took part in the last sync, or waited for the next one when it finished.
    partners: usize,
    /// How long the last sync took.
    took: Duration,
    /// So many syncs are yet to start at once.
    ungathered: u32,
    /// The kernel has dropped pages that it could not write, and would call a second sync a success.
    failed: bool,
}

#[derive(Debug)]
struct Waiter {
    /// How much of the log has to be on disk for it to go on.
    end: u64,
    /// Each is woken on its own: a condition variable would make all of them queue for the mutex.
    thread: Thread,
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
    /// be written, and is asked before a sync starts, so that a sync earns no more than it covered. `clock` only goes
    /// forward. The error of `sync` goes to the one who led it.
    pub(crate) fn wait(
        &self,
        end: u64,
        written: impl Fn() -> u64,
        clock: impl Fn() -> Duration,
        sync: impl FnOnce() -> Result<()>,
    ) -> Result<Synced> {
        if self.durable() >= end {
            return Ok(Synced::Durable);
        }
        let me = thread::current();
        let mut state = lock_of(&self.state);
        if self.durable() >= end {
            return Ok(Synced::Durable);
        }
        if state.failed {
            return Ok(Synced::Failed);
        }
        state.waiting.push(Waiter {
            end,
            thread: me.clone(),
        });
        while let Some(leader) = &state.leader {
            if state.waiting.len() == state.partners {
                leader.unpark();
            }
            drop(state);
            thread::park();
            // Without the mutex, for which all those who were let go would queue.
            if self.durable() >= end {
                return Ok(Synced::Durable);
            }
            state = lock_of(&self.state);
            if state.failed {
                return Ok(Synced::Failed);
            }
        }
        state.leader = Some(me.clone());
        drop(self.gather(state, &clock));
        let start = clock();
        let covered = written();
        let result = sync();
        let mut state = lock_of(&self.state);
        state.took = clock().saturating_sub(start);
        state.leader = None;
        match &result {
            Ok(()) => self.credit(covered),
            Err(_) => state.failed = true,
        }
        state.partners = state.waiting.len();
        // All of them: one who is not let go yet leads the next sync, and it can't be told here which, because each may
        // be let go by somebody else's word meanwhile.
        let woken: Vec<Thread> = state
            .waiting
            .iter()
            .map(|waiter| waiter.thread.clone())
            .collect();
        let (failed, durable) = (state.failed, self.durable());
        state
            .waiting
            .retain(|waiter| !failed && waiter.end > durable && waiter.thread.id() != me.id());
        drop(state);
        woken.iter().for_each(Thread::unpark);
        result.map(|()| Synced::Durable)
    }

    /// Waits for those who are expected to join.
    fn gather<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        clock: &impl Fn() -> Duration,
    ) -> MutexGuard<'a, State> {
        if state.waiting.len() >= state.partners {
            return state;
        }
        if state.ungathered > 0 {
            state.ungathered -= 1;
            return state;
        }
        let start = clock();
        let limit = (state.took / 2).min(GATHERING_MAX);
        let mut left = limit;
        // Few rounds, because a stray wake-up is rare, and a simulated clock may stand still.
        for _ in 0..GATHERING_ROUNDS {
            drop(state);
            thread::park_timeout(left);
            state = lock_of(&self.state);
            if state.waiting.len() >= state.partners {
                return state;
            }
            left = limit.saturating_sub(clock().saturating_sub(start));
            if left.is_zero() {
                break;
            }
        }
        state.ungathered = UNGATHERED_SYNCS;
        state
    }
}

#[cfg(test)]
mod tests;
