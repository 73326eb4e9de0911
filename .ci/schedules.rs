//! The waits inside one process, under schedules of its threads that a model decides instead of the machine.
//!
//! `.ci/schedules` copies the library to a folder of its own, puts this file into it as `store::schedules`, and the
//! `shuttle` crate's primitives in place of `std::sync` and `std::thread`. Each look at an atomic, each lock and each wait
//! is then a place where another thread may go on. What must hold is asserted; a wake-up that is lost is a deadlock, which
//! shuttle reports. A wait with a timeout may end at any moment, which shuttle's own does not. Orderings weaker than
//! `SeqCst` are out of its sight: the proof for those is the reasoning at each atomic.

use super::commit::{Commit, Synced};
use super::disk::os::OsDisk;
use super::lock::{Deadline, Gate, LOCKED};
use crate::{Batch, Compaction, Durability, Error, Options, Store};
use shuttle::rand::{Rng, thread_rng};
use shuttle::scheduler::{PctScheduler, RandomScheduler, Scheduler};
use shuttle::sync::atomic::{AtomicBool, AtomicU64, Ordering::*};
use shuttle::thread;
use shuttle::{Config, FailurePersistence, Runner};
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Arc, LockResult};
use std::time::{Duration, Instant};

/// Whether this is what is done wrong on purpose, to see that a model notices.
pub(crate) fn mutant(name: &str) -> bool {
    static CHOSEN: std::sync::OnceLock<Option<String>> = std::sync::OnceLock::new();
    CHOSEN.get_or_init(|| std::env::var("SHELF_MUTANT").ok()).as_deref() == Some(name)
}

/// A clock that goes on by anything between two looks, for patience and deadlines.
pub(crate) fn clock() -> Duration {
    shuttle::lazy_static! {
        static ref NOW_US: AtomicU64 = AtomicU64::new(0);
    }
    let step = match thread_rng().gen_range(0..4u32) {
        0 => 1_500,
        _ => 10,
    };
    Duration::from_micros(NOW_US.fetch_add(step, SeqCst))
}

/// As std's, over shuttle's; a guard knows its mutex, so that a wait can end by itself.
#[derive(Debug, Default)]
pub(crate) struct Mutex<T>(shuttle::sync::Mutex<T>);

#[derive(Debug)]
pub(crate) struct MutexGuard<'a, T> {
    guard: Option<shuttle::sync::MutexGuard<'a, T>>,
    mutex: &'a Mutex<T>,
}

impl<T> Mutex<T> {
    pub(crate) fn new(value: T) -> Mutex<T> {
        Mutex(shuttle::sync::Mutex::new(value))
    }

    pub(crate) fn lock(&self) -> LockResult<MutexGuard<'_, T>> {
        let guard = match self.0.lock() {
            Ok(guard) => guard,
            Err(poisoned) => poisoned.into_inner(),
        };
        Ok(MutexGuard { guard: Some(guard), mutex: self })
    }

    pub(crate) fn try_lock(&self) -> Result<MutexGuard<'_, T>, ()> {
        let guard = self.0.try_lock().map_err(drop)?;
        Ok(MutexGuard { guard: Some(guard), mutex: self })
    }
}

impl<T> std::ops::Deref for MutexGuard<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        self.guard.as_ref().unwrap()
    }
}

impl<T> std::ops::DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.guard.as_mut().unwrap()
    }
}

#[derive(Debug, Default)]
pub(crate) struct Condvar {
    asleep: shuttle::sync::Mutex<VecDeque<Sleeping>>,
}

#[derive(Debug, Clone)]
struct Sleeping {
    thread: thread::Thread,
    woken: Arc<AtomicBool>,
}

pub(crate) struct TimedOut(bool);

impl TimedOut {
    pub(crate) fn timed_out(&self) -> bool {
        self.0
    }
}

impl Condvar {
    pub(crate) fn new() -> Condvar {
        Condvar::default()
    }

    /// Whether it was woken; `looks` is how often it looks before its time is up.
    fn sleep<T>(&self, guard: &mut MutexGuard<'_, T>, looks: Option<u32>) -> bool {
        let me = Sleeping { thread: thread::current(), woken: Arc::default() };
        self.asleep.lock().unwrap().push_back(me.clone());
        guard.guard = None;
        match looks {
            None => {
                while !me.woken.load(SeqCst) {
                    thread::park();
                }
            }
            Some(looks) => {
                for _ in 0..looks {
                    if me.woken.load(SeqCst) {
                        break;
                    }
                    thread::yield_now();
                }
                let mut asleep = self.asleep.lock().unwrap();
                asleep.retain(|other| !Arc::ptr_eq(&other.woken, &me.woken));
            }
        }
        *guard = guard.mutex.lock().unwrap();
        me.woken.load(SeqCst)
    }

    pub(crate) fn wait<'a, T>(&self, mut guard: MutexGuard<'a, T>) -> LockResult<MutexGuard<'a, T>> {
        self.sleep(&mut guard, None);
        Ok(guard)
    }

    pub(crate) fn wait_timeout<'a, T>(
        &self,
        mut guard: MutexGuard<'a, T>,
        timeout: Duration,
    ) -> LockResult<(MutexGuard<'a, T>, TimedOut)> {
        // A long wait never ends by itself: it would hide a wake-up that was lost.
        let looks = (timeout < LONG).then(|| thread_rng().gen_range(0..6));
        let woken = self.sleep(&mut guard, looks);
        Ok((guard, TimedOut(!woken)))
    }

    pub(crate) fn wait_timeout_while<'a, T>(
        &self,
        mut guard: MutexGuard<'a, T>,
        _: Duration,
        mut condition: impl FnMut(&mut T) -> bool,
    ) -> LockResult<(MutexGuard<'a, T>, TimedOut)> {
        for _ in 0..3 {
            if !condition(&mut guard) {
                return Ok((guard, TimedOut(false)));
            }
            self.sleep(&mut guard, Some(thread_rng().gen_range(0..3)));
        }
        let timed_out = condition(&mut guard);
        Ok((guard, TimedOut(timed_out)))
    }

    fn wake(&self, sleeping: Option<Sleeping>) {
        if let Some(sleeping) = sleeping {
            sleeping.woken.store(true, SeqCst);
            sleeping.thread.unpark();
        }
    }

    pub(crate) fn notify_one(&self) {
        let first = self.asleep.lock().unwrap().pop_front();
        self.wake(first);
    }

    pub(crate) fn notify_all(&self) {
        let all: Vec<_> = self.asleep.lock().unwrap().drain(..).collect();
        all.into_iter().for_each(|one| self.wake(Some(one)));
    }
}

const THREADS: u64 = 3;
const LONG: Duration = Duration::from_secs(60);

/// Acknowledged is only what a sync covered, every wait ends, no sync is led for what is durable, and none follows one
/// that failed. A reader takes the log's word that some of it is durable meanwhile. The last thread writes to a later reading
/// of the file.
fn commit_queue() {
    let commit = Arc::new(Commit::new(0));
    let mut later = Commit::new(0);
    later.share_queue_of(&commit);
    let later = Arc::new(later);
    let (written, on_disk) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let fails_at = match thread_rng().gen_range(0..3u32) {
        0 => thread_rng().gen_range(0..3u64),
        _ => u64::MAX,
    };
    let syncs = Arc::new(AtomicU64::new(0));
    let failed = Arc::new(AtomicBool::new(false));
    let mut threads = Vec::new();
    for nth in 1..=THREADS {
        let reading = if nth < THREADS { &commit } else { &later };
        let (commit, written, on_disk) = (reading.clone(), written.clone(), on_disk.clone());
        let (syncs, failed) = (syncs.clone(), failed.clone());
        threads.push(thread::spawn(move || {
            for _ in 0..2 {
                let end = written.fetch_add(1, SeqCst) + 1;
                let sync = || {
                    assert!(!failed.load(SeqCst), "a sync after one that failed");
                    let covered = written.load(SeqCst);
                    thread::yield_now();
                    if syncs.fetch_add(1, SeqCst) == fails_at {
                        failed.store(true, SeqCst);
                        return Err(Error::other("on purpose"));
                    }
                    on_disk.fetch_max(covered, SeqCst);
                    Ok(())
                };
                let mut led = false;
                let waited = commit.wait(end, || written.load(SeqCst), clock, || {
                    led = true;
                    // Nobody but the leader raises it in this half of the model.
                    assert!(fails_at != u64::MAX || commit.durable() < end, "a needless sync");
                    sync()
                });
                match waited {
                    Ok(Synced::Durable) => {
                        assert!(on_disk.load(SeqCst) >= end, "acknowledged before it was on disk");
                        assert!(commit.durable() >= end);
                    }
                    Ok(Synced::Failed) => assert!(failed.load(SeqCst), "no sync failed"),
                    Err(_) => assert!(led, "the error of another thread's sync"),
                }
            }
        }));
    }
    if fails_at != u64::MAX {
        commit.credit(on_disk.load(SeqCst));
    }
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert!(commit.durable() <= on_disk.load(SeqCst), "credited with more than was synced");
}

/// One thread at a time, every thread gets in or is told that it is busy, and nobody is asleep before an open gate.
fn gate() {
    let gate = Arc::new(Gate::new(LOCKED));
    let inside = Arc::new(AtomicBool::new(false));
    let mut threads = Vec::new();
    for _ in 0..THREADS {
        let (gate, inside) = (gate.clone(), inside.clone());
        threads.push(thread::spawn(move || {
            for _ in 0..2 {
                let timeout = match thread_rng().gen_range(0..3u32) {
                    0 => Duration::from_millis(2),
                    _ => 2 * LONG,
                };
                let deadline = Deadline::new(&OsDisk, timeout);
                let Ok(turn) = gate.enter(&deadline, Path::new("x")) else {
                    continue;
                };
                assert!(!inside.swap(true, SeqCst), "two inside");
                thread::yield_now();
                inside.store(false, SeqCst);
                drop(turn);
            }
        }));
    }
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    let deadline = Deadline::new(&OsDisk, Duration::ZERO);
    assert!(gate.enter(&deadline, Path::new("x")).is_ok(), "left closed");
}

fn store(exclusive: bool, durability: Durability) -> (tempfile::TempDir, Arc<Store>) {
    let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let mut options = Options::new();
    options.exclusive(exclusive).durability(durability).compaction(Compaction::Manual);
    options.lock_timeout(Duration::from_secs(3600));
    let store = options.open(dir.path().join("s.shelf")).unwrap();
    (dir, Arc::new(store))
}

/// A reader sees a batch whole, its own handle's as well, and never an older one than before.
fn half_a_batch() {
    let (_dir, store) = store(thread_rng().gen_range(0..4u32) > 0, Durability::Os);
    let writer = {
        let store = store.clone();
        thread::spawn(move || {
            for version in 1..3u8 {
                let mut batch = Batch::new();
                batch.insert("a", [version]).insert("b", [version]);
                store.write(&batch).unwrap();
            }
        })
    };
    let version = |key| store.get(key).unwrap().map_or(0, |value| value[0]);
    let mut last = 0;
    for _ in 0..2 {
        for key in ["a", "b"] {
            let seen = version(key);
            assert!(seen >= last, "half a batch: {key} is {seen} after {last}");
            last = seen;
        }
    }
    writer.join().unwrap();
}

/// Nothing that was acknowledged is missing while another thread puts a new file in place, and nobody waits for ever.
fn change_of_generation() {
    let durability = match thread_rng().gen_range(0..2u32) {
        0 => Durability::Os,
        _ => Durability::Immediate,
    };
    let (_dir, store) = store(thread_rng().gen_range(0..2u32) > 0, durability);
    store.insert("k", [0]).unwrap();
    let acknowledged = Arc::new(AtomicU64::new(0));
    let writer = {
        let (store, acknowledged) = (store.clone(), acknowledged.clone());
        thread::spawn(move || {
            for version in 1..3u8 {
                store.insert("k", [version]).unwrap();
                acknowledged.store(version.into(), SeqCst);
            }
        })
    };
    let compactor = {
        let store = store.clone();
        thread::spawn(move || drop(store.compact().unwrap()))
    };
    let mut last = 0;
    for _ in 0..3 {
        let at_least = acknowledged.load(SeqCst);
        let seen = u64::from(store.get("k").unwrap().unwrap()[0]);
        assert!(seen >= at_least && seen >= last, "{seen} after {last}, acknowledged {at_least}");
        last = seen;
    }
    writer.join().unwrap();
    compactor.join().unwrap();
    assert_eq!(store.get("k").unwrap().unwrap(), [2]);
}

type Model = (&'static str, fn());

const MODELS: [Model; 4] = [
    ("commit_queue", commit_queue),
    ("gate", gate),
    ("half_a_batch", half_a_batch),
    ("change_of_generation", change_of_generation),
];

/// Tries schedules of a model until the time is over; returns how many that were. Panics where one breaks it.
fn explore(model: fn(), secs: f64) -> u64 {
    let start = Instant::now();
    let seed = std::env::var("SHELF_SEED").ok().and_then(|seed| seed.parse().ok());
    let mut seed: u64 = seed.unwrap_or(1);
    let mut tried = 0;
    while start.elapsed().as_secs_f64() < secs {
        // Uniformly random schedules, and those that hold a thread up for long at two or three places.
        let scheduler: Box<dyn Scheduler + Send> = match seed % 2 {
            0 => Box::new(PctScheduler::new_from_seed(seed, 3, 50)),
            _ => Box::new(RandomScheduler::new_from_seed(seed, 50)),
        };
        let mut config = Config::new();
        config.stack_size = 1 << 20;
        config.failure_persistence = FailurePersistence::Print;
        tried += Runner::new(scheduler, config).run(model) as u64;
        seed += 1;
    }
    tried
}

/// `SECS [MODEL]` explores; `SCHEDULE` of shuttle's in `SHELF_SCHEDULE` repeats one.
pub(crate) fn main() {
    let mut arguments = std::env::args().skip(1);
    let secs: f64 = arguments.next().and_then(|secs| secs.parse().ok()).unwrap_or(3.0);
    let only = arguments.next();
    for (name, model) in MODELS {
        if only.as_ref().is_some_and(|only| only != name) {
            continue;
        }
        if let Ok(schedule) = std::env::var("SHELF_SCHEDULE") {
            // As shuttle prints it: in lines.
            let schedule: String = schedule.split_whitespace().collect();
            shuttle::replay(model, &schedule);
            println!("{name}: nothing broke");
            continue;
        }
        match catch_unwind(AssertUnwindSafe(|| explore(model, secs))) {
            Ok(tried) => println!("METRIC schedules.{name}={tried} secs={secs}"),
            Err(_) => {
                println!("{name}: broken; repeat it with SHELF_SCHEDULE=<the schedule above> .ci/schedules {name}");
                std::process::exit(1);
            }
        }
    }
}
