//! The two waits of a writer: for its turn among the threads of its handle ([`Gate`]), then for the lock of the file,
//! which one handle on this machine has at a time ([`OsLock`]).

use super::disk::{Disk, DiskFile};
use super::log::uninterrupted;
use super::poison::lock_of;
use crate::error::{Error, Result};
use std::cell::OnceCell;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering::*};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

/// The words of an error on a gate, or a file, that another writer has.
pub(crate) const LOCKED: &str = "is locked by another writer";

/// The moment until which a call waits, for the gate and the lock together. The time runs from the first wait, so that
/// a call which does not wait reads no clock.
#[derive(Debug)]
pub(crate) struct Deadline<'a> {
    disk: &'a dyn Disk,
    start: OnceCell<Duration>,
    timeout: Duration,
}

impl<'a> Deadline<'a> {
    pub(crate) fn new(disk: &'a dyn Disk, timeout: Duration) -> Deadline<'a> {
        Deadline {
            disk,
            start: OnceCell::new(),
            timeout,
        }
    }

    /// The time by the clock of the disk. The wait begins when this is asked first.
    fn now(&self) -> Duration {
        let now = self.disk.monotonic();
        self.start.get_or_init(|| now);
        now
    }

    fn waited(&self) -> Duration {
        let now = self.now();
        now.saturating_sub(*self.start.get_or_init(|| now))
    }

    /// The time that is left. Where none is, `Busy`: it says `what` keeps the path, and how long the call waited.
    pub(crate) fn left(&self, path: &Path, what: &str) -> Result<Duration> {
        let waited = self.waited();
        match self.timeout.checked_sub(waited) {
            Some(left) if !left.is_zero() => Ok(left),
            _ => {
                let waited_ms = waited.as_millis() as u64;
                let what = format_args!("{what}, waited {waited_ms} ms");
                Err(Error::busy(
                    path,
                    what,
                    "try again, or raise `lock_timeout`",
                ))
            }
        }
    }
}

/// A mutex whose wait has a deadline and a bound, neither of which std's has: the thread that leaves hands the gate to
/// the thread that has slept longest, once that one has slept for [`PATIENCE`].
///
/// Until then a running thread that finds the gate free may pass the sleepers. That makes a busy gate fast, for a
/// thread that is woken needs some 50 us to arrive. Without the bound two running threads passed fourteen sleeping ones
/// for half a second (16 threads on two cores).
///
/// Invariants:
/// 1. A thread writes under the gate only while it has the one [`Turn`].
/// 2. `state` becomes `AWAITED` only under the mutex of `queue`, and a thread sleeps only after it has marked the gate
///    so, or behind another sleeper. So a thread that leaves an unmarked gate need not look for sleepers.
/// 3. When the first sleeper was woken and not handed the gate, it takes the gate or marks it again, also when its
///    deadline has passed. So the wake-up is not lost for the sleepers behind it.
/// 4. A gate that is handed over is never `FREE` in between: nobody can pass.
#[derive(Debug)]
pub(crate) struct Gate {
    /// `FREE`, `TAKEN` or `AWAITED`: written by each thread that enters, sleeps or leaves (2).
    state: AtomicU32,
    /// The thread that is inside and runs a closure of the caller's, in which it may not enter again; 0: none. Written by
    /// that thread; another one may read it stale, and reads a number that is not its own all the same.
    owner: AtomicUsize,
    /// Those who sleep, the longest first. Each adds itself; the thread that hands one the gate takes that one out, and
    /// any other takes itself out when it wakes.
    queue: Mutex<Vec<Arc<Sleeper>>>,
    /// The words of the error on a gate that is taken.
    taken: &'static str,
}

#[derive(Debug)]
struct Sleeper {
    /// When it began to sleep, by the clock of the disk.
    since: Duration,
    /// Set under the mutex of the queue by the thread that hands it the gate.
    is_handed: AtomicBool,
    /// Waits with the mutex of the queue.
    wake: Condvar,
}

/// Looks at a taken gate before a thread sleeps: a few times as long as a write takes, since a sleeper needs some 50 us
/// to arrive. With 100 looks one of a hundred operations of two busy threads took 29 us, with 1,000 it takes 12. More of
/// them take the processor from those that write, with 32 threads on two cores.
const SPINS: u32 = 1000;
/// A sleeper that waited so long is not passed any more. With less the gate would be handed over all the time under load,
/// and stand idle while the next thread wakes.
const PATIENCE: Duration = Duration::from_millis(1);

const FREE: u32 = 0;
const TAKEN: u32 = 1;
/// Taken, and somebody may be asleep until it is free.
const AWAITED: u32 = 2;

/// This thread's turn. Dropping it lets the next one in.
#[derive(Debug)]
pub(crate) struct Turn<'a> {
    gate: &'a Gate,
    disk: &'a dyn Disk,
}

impl Gate {
    pub(crate) fn new(taken: &'static str) -> Gate {
        Gate {
            state: AtomicU32::new(FREE),
            owner: AtomicUsize::new(0),
            queue: Mutex::default(),
            taken,
        }
    }

    pub(crate) fn enter<'a>(&'a self, deadline: &Deadline<'a>, path: &Path) -> Result<Turn<'a>> {
        self.refuse_reentry(path)?;
        let turn = || Turn {
            gate: self,
            disk: deadline.disk,
        };
        // A holder is a few microseconds from being done more often than not.
        for _ in 0..SPINS {
            // Looked at before it is written to, so that the holder keeps the cache line.
            if self.state.load(Relaxed) == FREE
                && self
                    .state
                    .compare_exchange_weak(FREE, TAKEN, Acquire, Relaxed)
                    .is_ok()
            {
                return Ok(turn());
            }
            std::hint::spin_loop();
        }
        self.sleep(deadline, path).map(|()| turn())
    }

    #[cold]
    fn sleep(&self, deadline: &Deadline<'_>, path: &Path) -> Result<()> {
        let mut queue = lock_of(&self.queue);
        if self.state.swap(AWAITED, Acquire) == FREE {
            return Ok(());
        }
        let me = Arc::new(Sleeper {
            since: deadline.now(),
            is_handed: AtomicBool::new(false),
            wake: Condvar::new(),
        });
        queue.push(Arc::clone(&me));
        let result = loop {
            let left = match deadline.left(path, self.taken) {
                Ok(left) => left,
                Err(error) => break Err(error),
            };
            queue = me
                .wake
                .wait_timeout(queue, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
            if me.is_handed.load(Relaxed) {
                return Ok(());
            }
            // Also when the time is up: this thread may be the one that was woken (3).
            if self.state.swap(AWAITED, Acquire) == FREE {
                break Ok(());
            }
        };
        queue.retain(|sleeper| !Arc::ptr_eq(sleeper, &me));
        result
    }

    /// Lets the next thread in. The caller leaves a gate that is awaited.
    #[cold]
    fn wake_next(&self, disk: &dyn Disk) {
        let mut queue = lock_of(&self.queue);
        let Some(first) = queue.first().cloned() else {
            self.state.store(FREE, Release);
            return;
        };
        if disk.monotonic().saturating_sub(first.since) >= PATIENCE {
            queue.remove(0);
            first.is_handed.store(true, Relaxed);
        } else {
            self.state.store(FREE, Release);
        }
        drop(queue);
        first.wake.notify_one();
    }

    /// Fails in a thread that has its turn already: a closure of the caller's came back to write.
    pub(crate) fn refuse_reentry(&self, path: &Path) -> Result<()> {
        if self.owner.load(Relaxed) == this_thread() {
            return Err(Error::reentrant(path));
        }
        Ok(())
    }
}

impl Turn<'_> {
    /// From here until the result is dropped, this thread must not enter again.
    pub(crate) fn closed_to_this_thread(&self) -> impl Drop + '_ {
        struct Reopen<'a>(&'a Gate);
        impl Drop for Reopen<'_> {
            fn drop(&mut self) {
                self.0.owner.store(0, Relaxed);
            }
        }
        self.gate.owner.store(this_thread(), Relaxed);
        Reopen(self.gate)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let state = &self.gate.state;
        if state
            .compare_exchange(TAKEN, FREE, Release, Relaxed)
            .is_err()
        {
            self.gate.wake_next(self.disk);
        }
    }
}

/// An address that differs between living threads, and is never 0.
fn this_thread() -> usize {
    thread_local!(static HERE: u8 = const { 0 });
    HERE.with(|here| std::ptr::from_ref(here).addr())
}

/// The operating system's lock on one file. Dropping it gives the lock back, unless it is kept or held elsewhere.
///
/// A process that waits polls the lock, because `flock` would wait without a deadline. So processes have no queue: the
/// next holder is whichever polls first after the lock is free, and one that has slept in vain sleeps twice as long. In
/// return a free lock is passed on without waking anybody. Measured on two cores with processes that write all the time
/// (`cargo bench --bench figures -- writers`): 2 write as much as one alone, 16 three quarters of that; of these 16 the
/// busiest writes half as much again as the idlest, 999 of 1,000 updates take less than 35 ms, and the worst takes
/// 0.23 s, a twentieth of the default deadline.
#[derive(Debug)]
pub(crate) struct OsLock {
    file: Option<Arc<dyn DiskFile>>,
}

/// Attempts before the first sleep: a holder needs a few microseconds, a sleep takes at least fifty.
const EAGER_ATTEMPTS: u32 = 32;
const SLEEP_FIRST: Duration = Duration::from_micros(20);
const SLEEP_LAST: Duration = Duration::from_millis(5);

impl OsLock {
    pub(crate) fn take(
        file: &Arc<dyn DiskFile>,
        deadline: &Deadline<'_>,
        path: &Path,
    ) -> Result<OsLock> {
        let mut sleep = SLEEP_FIRST;
        let mut attempts = 0;
        while !try_lock(file, path)? {
            let left = deadline.left(path, LOCKED)?;
            attempts += 1;
            if attempts > EAGER_ATTEMPTS {
                // Jitter, so that two who collided do not collide again: half to all of the time.
                let jitter = deadline
                    .disk
                    .monotonic()
                    .subsec_nanos()
                    .wrapping_mul(0x9e37_79b9)
                    >> 24;
                let pause = sleep / 2 + sleep * jitter / 512;
                deadline.disk.sleep(pause.min(left));
                sleep = (sleep * 2).min(SLEEP_LAST);
            }
        }
        Ok(OsLock {
            file: Some(Arc::clone(file)),
        })
    }

    /// Stands for a lock that somebody else looks after: an exclusive handle has it for life.
    pub(crate) fn held_elsewhere() -> OsLock {
        OsLock { file: None }
    }

    /// Leaves the lock to the open file, which frees it when it is closed.
    pub(crate) fn keep(mut self) {
        self.file = None;
    }
}

impl Drop for OsLock {
    #[inline(never)]
    fn drop(&mut self) {
        if let Some(file) = &self.file {
            // A lock that can't be given back is given back when the file is closed.
            let _ = uninterrupted(|| file.unlock());
        }
    }
}

pub(crate) fn try_lock(file: &Arc<dyn DiskFile>, path: &Path) -> Result<bool> {
    uninterrupted(|| file.try_lock()).map_err(|error| Error::io("lock", path, error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::disk::os::OsDisk;
    use crate::store::held::Bench;
    use std::sync::mpsc::channel;
    use std::thread;

    #[test]
    fn the_gate_lets_one_thread_in_and_loses_no_wakeup() {
        let (gate, counter) = (Gate::new(LOCKED), AtomicU32::new(0));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..20_000 {
                        let deadline = Deadline::new(&OsDisk, Duration::from_secs(60));
                        let _turn = gate.enter(&deadline, Path::new("x")).unwrap();
                        let seen = counter.load(Relaxed);
                        std::hint::spin_loop();
                        counter.store(seen + 1, Relaxed);
                    }
                });
            }
        });
        assert_eq!(counter.into_inner(), 80_000);
    }

    #[test]
    fn a_thread_that_slept_its_millisecond_is_handed_the_gate_and_passed_by_nobody() {
        let bench = Bench::new();
        let (gate, path) = (Gate::new(LOCKED), Path::new("x"));
        let enter = |timeout| {
            let deadline = Deadline::new(&bench.disk, timeout);
            gate.enter(&deadline, path)
        };
        let (entered, entries) = channel();
        let turn = enter(Duration::ZERO).unwrap();
        thread::scope(|scope| {
            let mut leave = Vec::new();
            for nth in 0..4 {
                let (entered, enter, (let_go, may_go)) = (entered.clone(), &enter, channel());
                leave.push(let_go);
                scope.spawn(move || {
                    let _turn = enter(Duration::from_secs(60)).unwrap();
                    entered.send(nth).unwrap();
                    may_go.recv().unwrap();
                });
                while lock_of(&gate.queue).len() < nth + 1 {
                    thread::yield_now();
                }
            }
            bench.disk.advance(PATIENCE);
            drop(turn);
            for (nth, let_go) in leave.into_iter().enumerate() {
                assert!(enter(Duration::ZERO).unwrap_err().is_busy(), "passed {nth}");
                assert_eq!(entries.recv().unwrap(), nth, "the longest first");
                let_go.send(()).unwrap();
            }
        });
    }

    #[test]
    fn a_closed_gate_is_busy_at_the_deadline() {
        let gate = Gate::new(LOCKED);
        let _turn = gate
            .enter(
                &Deadline::new(&OsDisk, Duration::from_secs(1)),
                Path::new("x"),
            )
            .unwrap();
        let error = gate
            .enter(
                &Deadline::new(&OsDisk, Duration::from_millis(1)),
                Path::new("x"),
            )
            .unwrap_err();
        assert!(error.is_busy());
        assert!(
            error
                .to_string()
                .starts_with("`x` is locked by another writer, waited "),
            "{error}"
        );
    }
}
