//! Who may write: first one thread of this process, then one process of this machine.

use super::disk::{Disk, DiskFile};
use super::log::uninterrupted;
use crate::error::{Error, ErrorKind, Result};
use std::cell::OnceCell;
use std::path::Path;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering::*};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

/// A moment until which a call waits, for thread and process queues together. Counted from the first time that it has
/// to wait, so that a call which does not wait reads no clock.
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

    fn waited(&self) -> Duration {
        let now = self.disk.monotonic();
        now.saturating_sub(*self.start.get_or_init(|| now))
    }

    /// What is left, or `Busy` with how long it took.
    fn left(&self, path: &Path) -> Result<Duration> {
        let waited = self.waited();
        match self.timeout.checked_sub(waited) {
            Some(left) if !left.is_zero() => Ok(left),
            _ => Err(Error::new(
                ErrorKind::Busy,
                format!(
                    "`{}` is locked by another writer, waited {} ms",
                    path.display(),
                    waited.as_millis()
                ),
            )
            .at(path)
            .advise("try again, or raise `lock_timeout`")),
        }
    }
}

/// A mutex whose wait has a deadline, which std's has not.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    state: AtomicU32,
    /// The thread that may not wait here, because it is the one inside; 0: not told.
    owner: AtomicUsize,
    sleeping: Mutex<()>,
    opened: Condvar,
}

/// A few times as long as a write takes. Who goes to sleep is woken some 50 us later: with 100 rounds one of a hundred
/// operations of two busy threads took 29 us, with these 12; more of them cost 32 threads on two cores what they need.
const SPINS: u32 = 1000;
const FREE: u32 = 0;
const TAKEN: u32 = 1;
/// Taken, and somebody may be asleep until it is free.
const AWAITED: u32 = 2;

/// This thread's turn. Dropping it lets the next one in.
#[derive(Debug)]
pub(crate) struct Turn<'a>(&'a Gate);

impl Gate {
    pub(crate) fn enter(&self, deadline: &Deadline<'_>, path: &Path) -> Result<Turn<'_>> {
        self.refuse_reentry(path)?;
        // A holder is a few microseconds from being done more often than not.
        for _ in 0..SPINS {
            // Looked at before it is written to, so that the holder keeps the cache line.
            if self.state.load(Relaxed) == FREE
                && self
                    .state
                    .compare_exchange_weak(FREE, TAKEN, Acquire, Relaxed)
                    .is_ok()
            {
                return Ok(Turn(self));
            }
            std::hint::spin_loop();
        }
        let mut asleep = self.sleeping.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if self.state.swap(AWAITED, Acquire) == FREE {
                return Ok(Turn(self));
            }
            let left = deadline.left(path)?;
            asleep = self
                .opened
                .wait_timeout(asleep, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    /// Fails in the thread that has its turn and runs the caller's code.
    pub(crate) fn refuse_reentry(&self, path: &Path) -> Result<()> {
        if self.owner.load(Relaxed) == this_thread() {
            return Err(Error::new(
                ErrorKind::Reentrant,
                format!(
                    "a write to `{}` from inside its own `update`",
                    path.display()
                ),
            )
            .at(path)
            .advise("return the change from the closure, or write after it"));
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
        self.0.owner.store(this_thread(), Relaxed);
        Reopen(self.0)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if self.0.state.swap(FREE, Release) == AWAITED {
            // Whoever found it taken holds `sleeping` until it sleeps, so this can't come between.
            drop(
                self.0
                    .sleeping
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner),
            );
            self.0.opened.notify_one();
        }
    }
}

/// An address that differs between living threads, and is never 0.
fn this_thread() -> usize {
    thread_local!(static HERE: u8 = const { 0 });
    HERE.with(|here| std::ptr::from_ref(here).addr())
}

/// The operating system's lock on one file. Dropping it gives the lock back, unless it is kept or was inherited.
#[derive(Debug)]
pub(crate) struct OsLock {
    file: Option<Arc<dyn DiskFile>>,
}

/// So many attempts come before the first sleep: a holder needs a few microseconds, a sleep takes at least fifty.
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
            let left = deadline.left(path)?;
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

    #[test]
    fn the_gate_lets_one_thread_in_and_loses_no_wakeup() {
        let (gate, counter) = (Gate::default(), AtomicU32::new(0));
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
    fn a_closed_gate_is_busy_at_the_deadline() {
        let gate = Gate::default();
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
