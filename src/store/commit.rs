//! One sync for many: the group commit.
//!
//! # Terms
//!
//! The **log** is one file; the **queue** belongs to that file and to no other, also where this process reads the file
//! anew: each reading of the file has a [`Commit`] of its own, and all share the queue. A writer that has appended
//! waits until the log is **durable** up to the **end** of its record: known to be on disk. The caller tells the queue
//! how far the log is **written**. One `fdatasync` serves all threads that wait when it starts. The thread that issues
//! it is the **leader**; the other waiting threads are its **followers**.
//!
//! # States
//!
//! [`Phase`] is what the queue as a whole is at; `wait` makes each transition.
//!
//! ```text
//!            a thread finds the queue idle        the leader stops gathering
//!     IDLE ---------------------------> GATHERING ------------------------> SYNCING
//!      ^                                    |                                  |
//!      +------------------------------------+----------------------------------+
//!                        the leader leaves: `Leading` is dropped
//! ```
//!
//! - **Idle.** Nobody leads. Each thread that waits has been woken, or is about to be by the leader that just left.
//! - **Gathering.** The leader sleeps until as many threads have joined as it expects, or its time is up. Nothing has
//!   been asked of the disk.
//! - **Syncing.** The leader is inside the sync, without the mutex. Threads that join now wait for its end, and for
//!   the next sync if this one does not cover them: their records may have been written after it began.
//!
//! # Invariants
//!
//! 1. `durable` never falls, and never exceeds what was written when a successful sync of this very file started, or
//!    what the log or a switch vouches for.
//! 2. At most one thread leads, and only a thread that has a [`Leading`] changes the phase.
//! 3. While a thread sleeps on `ended`, some leader is going to wake it: one that leads, or one that has set the phase to
//!    idle and wakes all sleepers next. A thread that joined and fell asleep in between is woken too early by that, and
//!    counts itself twice: a leader may then expect one thread too many, which costs a wait and nothing else.
//! 4. A leader leaves on every way out, an error and a panic included, because it does so by dropping its [`Leading`].
//! 5. Once a sync has failed no other one starts: the kernel has dropped pages that it could not write, and would call
//!    a second sync a success. Two syncs at once would be as bad, since the kernel tells one of them alone: so readings
//!    of one file share the queue, not just the failure.
//! 6. A thread takes the lead only if its own record is not durable at that moment, under the mutex, so that no sync is
//!    issued, and no error returned, for a record that was known to be on disk when the thread took the lead.
//! 7. No wait leaves a trace on the thread that waits. A condition variable keeps its sleepers in itself, whereas
//!    `thread::park` would eat an `unpark` that somebody else meant for that thread, and `unpark` would leave one behind.
//!
//! # Lines that must not move
//!
//! - *`written` asked after the sync* credits records that were appended while it ran: acknowledged, and lost with the
//!   power (1).
//! - *`durable` not looked at under the mutex.* A follower that was woken, or a writer that came just as a sync ended,
//!   would find the queue idle and lead a sync of what is on disk (6). Measured: one to three of a hundred syncs.
//! - *`failed` looked at before `durable`* would take back an acknowledgement: a record that an earlier sync covered
//!   stays durable when a later sync fails.
//! - *The phase set to idle after the wake-up.* A follower could wake in between, sleep again, and sleep for good (3).
//! - *Followers woken one by one, each at its own place*, was tried, so that they need not queue for the mutex. It buys
//!   nothing: 32 threads took as long and 1.3 times the processor time, since the leader pays for each wake-up.
//! - *Two groups that sleep apart*, so that one writes while the other's sync runs, were tried as well. A sync served 15
//!   of 32 threads in place of 28, as meant, and yet a save took as long: the threads met at the gate and at the mutex
//!   in place of sleeping, at 1.9 futex calls and 25 us of processor time a save in place of 1.2 and 16.
//! - *The last thread to join takes the lead from the one that gathers*, which need not be woken that way, was tried too:
//!   0.98 to 1.05 of the time in 25 pairs each of 4, 8 and 32 threads, so it is not worth the second way to lead.
//!
//! # Gathering
//!
//! Followers come back with their next write soon after a sync has let them go, but not all at once. If the first of
//! them synced for itself, the others would wait for that and share the sync after it: two syncs where one would do.
//! So the leader expects as many threads as took part in the last sync or joined during it. It waits for them at most
//! half as long as that sync took, which PostgreSQL's manual advises for its `commit_delay`, and waits again while
//! each wait brings some of them, four times in all at most: 32 threads on two cores need more than that half to write
//! one after another, and with a second wait a sync serves 25 to 30 of them, without it 13. After a leader has waited
//! without as many as it expected, the next syncs start at once: the writers are either too many to leave the disk
//! idle, or too few to meet. A thread that is left alone waits in vain once.

use super::poison::lock_of;
use crate::error::Result;
use std::sync::atomic::{AtomicU64, Ordering::*};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A leader waits no longer than this at a time for other threads to join.
const GATHERING_MAX: Duration = Duration::from_millis(1);
/// The most times that a leader waits for more threads. It waits again only if some joined while it waited last.
const GATHERINGS_MAX: usize = 4;
/// Syncs that start at once after a leader gathered in vain.
const SYNCS_UNGATHERED: u32 = 64;

/// How much of one reading of a file is known to be on disk, and the threads that wait for more of it.
#[derive(Debug)]
pub(crate) struct Commit {
    /// Raised by a leader after its sync and by [`credit`](Commit::credit), lowered by nobody. Read without the mutex: a
    /// stale value is smaller, and sends its reader to the mutex.
    durable: AtomicU64,
    queue: Arc<Queue>,
}

/// The threads that wait for a sync of one file, whichever reading of it they wrote to.
#[derive(Debug, Default)]
struct Queue {
    /// Locked by all that wait, for single steps; by no thread while it syncs.
    state: Mutex<State>,
    /// Tells the leader that as many have joined as it expects.
    gathered: Condvar,
    /// Tells all followers that the leader has left.
    ended: Condvar,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Phase {
    #[default]
    Idle,
    Gathering,
    Syncing,
}

#[derive(Debug, Default)]
struct State {
    phase: Phase,
    /// Threads that wait for a sync that has not started, the leader that gathers included. Each thread counts itself;
    /// a leader that leaves sets this to zero, and those whom its sync did not serve count themselves again.
    joined: usize,
    /// Threads that took part in the last sync or joined while it ran.
    partners: usize,
    /// How long the last sync took.
    took: Duration,
    /// Syncs that are yet to start without gathering.
    ungathered: u32,
    /// A sync of the file failed. Never taken back.
    failed: bool,
}

/// The end of a wait.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Synced {
    Durable,
    /// A sync failed, now or earlier, here or in another thread: nothing more of this file will ever be acknowledged.
    Failed,
}

/// The right to sync. Dropping it makes the queue idle and wakes all followers, one of which leads the next sync.
struct Leading<'a> {
    queue: &'a Queue,
    /// Threads that the sync serves.
    served: usize,
}

impl Commit {
    pub(crate) fn new(durable: u64) -> Commit {
        Commit {
            durable: AtomicU64::new(durable),
            queue: Arc::default(),
        }
    }

    /// Waits in the queue of an earlier reading of the same file from now on.
    pub(crate) fn share_queue_of(&mut self, earlier: &Commit) {
        self.queue = Arc::clone(&earlier.queue);
    }

    /// The log is on disk up to here, at least.
    pub(crate) fn durable(&self) -> u64 {
        self.durable.load(Acquire)
    }

    /// Takes the word of a record in the log, or of a switch, that the log is on disk up to `end`. It wakes nobody:
    /// threads that sleep find out when the sync under way ends.
    pub(crate) fn credit(&self, end: u64) {
        self.durable.fetch_max(end, AcqRel);
    }

    /// Whether a sync failed.
    pub(crate) fn has_failed(&self) -> bool {
        lock_of(&self.queue.state).failed
    }

    /// Returns once the log is on disk up to `end`, or a sync failed. The caller has written up to `end`; or it gives an
    /// `end` that no log has, to lead one more sync. Either way a thread that led a sync has what it wanted, and does not
    /// ask how far that went. `written` tells how far this process knows the log to be written; it is asked before the
    /// sync starts, so that the sync is credited with no more than it covered. `clock` only goes forward. The error of
    /// `sync` goes to the thread that led it, and to no other.
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
        let queue = &*self.queue;
        let mut state = lock_of(&queue.state);
        loop {
            if self.durable() >= end {
                return Ok(Synced::Durable);
            }
            if state.failed {
                return Ok(Synced::Failed);
            }
            state.joined += 1;
            if state.phase == Phase::Idle {
                break;
            }
            if state.phase == Phase::Gathering && state.joined == state.partners {
                queue.gathered.notify_one();
            }
            state = queue
                .ended
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        let mut leading = Leading::start(queue, &mut state);
        state = queue.gather(state);
        leading.served = std::mem::take(&mut state.joined);
        state.phase = Phase::Syncing;
        drop(state);
        let start = clock();
        let covered = written();
        let result = sync();
        let took = clock().saturating_sub(start);
        {
            let mut state = lock_of(&queue.state);
            state.took = took;
            match &result {
                Ok(()) => self.credit(covered),
                Err(_) => state.failed = true,
            }
        }
        drop(leading);
        result.map(|()| Synced::Durable)
    }
}

impl Queue {
    /// Lets the leader wait for the threads that it expects to join.
    fn gather<'a>(&self, mut state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        if state.joined >= state.partners {
            return state;
        }
        if state.ungathered > 0 {
            state.ungathered -= 1;
            return state;
        }
        let limit = (state.took / 2).min(GATHERING_MAX);
        for _ in 0..GATHERINGS_MAX {
            let joined = state.joined;
            let (waited, limited) = self
                .gathered
                .wait_timeout_while(state, limit, |state| state.joined < state.partners)
                .unwrap_or_else(PoisonError::into_inner);
            state = waited;
            if !limited.timed_out() {
                return state;
            }
            if state.joined == joined {
                break;
            }
        }
        state.ungathered = SYNCS_UNGATHERED;
        state
    }
}

impl<'a> Leading<'a> {
    fn start(queue: &'a Queue, state: &mut State) -> Leading<'a> {
        debug_assert_eq!(state.phase, Phase::Idle, "two leaders");
        debug_assert!(!state.failed, "a sync after one that failed");
        state.phase = Phase::Gathering;
        Leading { queue, served: 0 }
    }
}

impl Drop for Leading<'_> {
    fn drop(&mut self) {
        let mut state = lock_of(&self.queue.state);
        debug_assert_ne!(state.phase, Phase::Idle, "somebody else ended this sync");
        state.phase = Phase::Idle;
        state.partners = self.served + std::mem::take(&mut state.joined);
        // After the mutex is free, so that the woken threads need not wait for it.
        drop(state);
        self.queue.ended.notify_all();
    }
}

#[cfg(test)]
mod tests;
