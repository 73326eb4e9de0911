//! Processes and threads on one file: in every order of their calls, or in many, nothing is lost and nobody sees half
//! of anything.
//!
//! A simulated process is a thread that stops before each of its calls to the disk, until the [`Schedule`] gives it the
//! turn: so an order of calls is a list of choices, and the same list is the same run. `Schedule::search` goes through
//! all lists, and gives up a run where the machine is in a state that it has seen; `Schedule::seeds` draws one list
//! from each seed. After each run the file is read, or the answers of all calls are checked for an order that explains
//! them.
//!
//! The schedule sees calls to the disk only. Threads of one process that meet in memory are left to real threads
//! ([`large_batches`]), and to the unit tests of the queue and the commit.

use super::linearizability::{Answer, Call, History};
use super::workload::{EXCLUSIVE_OS, PATH};
use shelflife::sim::{self, Fault, FaultKind, Ran, Schedule, SimDisk, SimProcess};
use shelflife::{Batch, Change, Compaction, Options, Store};
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::*};
use std::time::Duration;

pub(crate) fn open(process: &SimProcess) -> shelflife::Result<Store> {
    let mut options = Options::new();
    // Threads have no place in a schedule.
    options
        .compaction(Compaction::Inline)
        .lock_timeout(Duration::from_secs(60));
    options.disk(process.disk()).open(PATH)
}

/// Draws, so that the same seed is the same run.
fn below(state: &mut u64, bound: u64) -> u64 {
    *state = state
        .wrapping_mul(6_364_136_223_846_793_005)
        .wrapping_add(1_442_695_040_888_963_407);
    (*state >> 33) % bound
}

fn number(bytes: &[u8]) -> u64 {
    bytes.try_into().map_or(u64::MAX, u64::from_le_bytes)
}

/// Calls of one process on three keys.
fn some_calls(store: &Store, steps: u64, seed: u64, history: &History) {
    let mut random = seed;
    for step in 0..steps {
        let key = below(&mut random, 3);
        let name = key.to_le_bytes();
        let value = seed * 100 + step;
        let call = match below(&mut random, 9) {
            0..3 => Call::Get,
            3..5 => Call::Insert(value),
            5 => Call::Remove,
            6..8 => Call::Add(1),
            _ => {
                let _ = store.compact();
                continue;
            }
        };
        history.note(key, call, || {
            Some(match call {
                Call::Get => Answer::Value(store.get(name).ok()?.as_deref().map(number)),
                Call::Insert(value) => {
                    Answer::Changed(store.insert(name, value.to_le_bytes()).ok()?)
                }
                Call::Remove => Answer::Changed(store.remove(name).ok()?),
                Call::Add(more) => Answer::Value(
                    store
                        .update(name, |old| {
                            let old = old.map(number);
                            let new = (old.unwrap_or(0) + more).to_le_bytes();
                            Ok((Change::Put(new.to_vec()), old))
                        })
                        .ok()?,
                ),
            })
        });
    }
}

/// The events that took part in schedules.
#[derive(Debug, Default)]
pub(crate) struct TookPart {
    /// Calls to the disk.
    pub(crate) calls: usize,
    /// Files that took the place of another.
    pub(crate) switches: usize,
    pub(crate) kills: usize,
}

/// Three processes, some of them killed, each history with an order.
pub(crate) fn three_processes(seeds: Range<u64>, steps: u64) -> TookPart {
    let mut took_part = TookPart::default();
    let mut seed = seeds.start;
    let mut schedule = Schedule::seeds(seeds);
    while schedule.next() {
        let sim = SimDisk::new(seed);
        let history = History::default();
        let processes = [sim.process(), sim.process(), sim.process()];
        // Opening is part of the long schedules; the short ones are for what comes after.
        let opened: Vec<_> = match steps {
            0..=4 => processes.iter().map(|process| open(process).ok()).collect(),
            _ => vec![None, None, None],
        };
        if seed.is_multiple_of(3) {
            let victim = processes[seed as usize % 2].id();
            let within = if steps > 4 { 90 } else { 30 };
            sim.inject(
                Fault::new(FaultKind::Kill)
                    .by(victim)
                    .nth(1 + seed % within),
            );
        }
        let stores = opened.into_iter().zip(&processes).zip(seed * 3..);
        let programs = stores.map(|((store, process), seed)| {
            let history = &history;
            process.program(move || {
                let store = store.map_or_else(|| open(process), Ok)?;
                some_calls(&store, steps, seed, history);
                shelflife::Result::Ok(())
            })
        });
        assert_eq!(sim.run(&mut schedule, programs.collect()), Ran::Whole);
        history.check(&schedule);
        let trace = sim.trace();
        took_part.calls += trace.len();
        for event in trace {
            took_part.switches += usize::from(event.call == sim::Call::Rename && event.ok);
            took_part.kills += usize::from(event.fault == Some(FaultKind::Kill));
        }
        // The first file took the place of an empty one.
        took_part.switches -= 1;
        seed += 1;
    }
    took_part
}

/// A machine with two processes, and what was written to it: key 0 is 2, key 1 is 3, and half of the file is dead.
fn two_processes() -> (SimDisk, [SimProcess; 2], [Store; 2]) {
    let sim = SimDisk::new(1);
    let processes = [sim.process(), sim.process()];
    let stores = [&processes[0], &processes[1]].map(|process| open(process).unwrap());
    for n in 0..4_u64 {
        let key = (n % 2).to_le_bytes();
        // Both have written: it is with its first lock that a handle looks at the path without a reason.
        stores[n as usize / 2].insert(key, n.to_le_bytes()).unwrap();
    }
    (sim, processes, stores)
}

fn get(store: &Store, key: u64) -> Result<Option<u64>, String> {
    let value = store.get(key.to_le_bytes());
    let value = value.map_err(|error| error.to_string())?;
    Ok(value.as_deref().map(number))
}

/// The runs and states that a search has been through.
#[derive(Debug, Default)]
pub(crate) struct Searched {
    pub(crate) states: usize,
    pub(crate) runs: usize,
    /// How many runs ended with nobody, one or both of two compactors as the winner.
    pub(crate) won: [usize; 3],
}

/// One compactor wins, the other does nothing, nothing is left lying about, and every entry is there.
pub(crate) fn two_compactors() -> Searched {
    let (mut searched, mut schedule) = (Searched::default(), Schedule::search());
    while schedule.next() {
        let (sim, [one, two], [a, b]) = two_processes();
        let wins = AtomicUsize::new(0);
        let compact = |store: &Store| match store.compact() {
            Err(error) if error.is_busy() => Ok(()),
            compacted => compacted.map(|_| _ = wins.fetch_add(1, Relaxed)),
        };
        let programs = vec![one.program(|| compact(&a)), two.program(|| compact(&b))];
        if sim.run(&mut schedule, programs) == Ran::Whole {
            let store = open(&sim.process()).unwrap();
            for key in 0..2 {
                assert_eq!(get(&store, key), Ok(Some(key + 2)), "{schedule}");
            }
            assert_eq!(store.stats().unwrap().dead_bytes, 0, "{schedule}");
            let names = sim.disk().list(Path::new("/")).unwrap();
            assert_eq!(names.len(), 1, "{schedule}");
            searched.won[wins.into_inner()] += 1;
        }
        searched.runs += 1;
    }
    searched.states = schedule.states();
    searched
}

/// Every interleaving of a compaction with what another process does meanwhile, and what is to hold after each. A file
/// that is `linked` has a second name, and so never loses its last one.
fn beside_a_compactor(
    linked: bool,
    meanwhile: impl Fn(&Store) -> shelflife::Result<()> + Sync,
    check: impl Fn(&SimDisk, [&Store; 2], &Schedule),
) -> Searched {
    let (mut searched, mut schedule) = (Searched::default(), Schedule::search());
    while schedule.next() {
        let (sim, [one, two], [a, b]) = two_processes();
        if linked {
            let (from, to) = (Path::new(PATH), Path::new("/linked"));
            sim.disk().link(from, to).unwrap();
        }
        let compact = || a.compact().map(drop);
        let other = || meanwhile(&b);
        let programs = vec![one.program(compact), two.program(other)];
        if sim.run(&mut schedule, programs) == Ran::Whole {
            check(&sim, [&a, &b], &schedule);
        }
        searched.runs += 1;
    }
    searched.states = schedule.states();
    searched
}

/// Writes beside a compactor are in the file that is there afterwards, and both processes see them.
pub(crate) fn a_writer_and_a_compactor(writes: u64, linked: bool) -> Searched {
    let write = |store: &Store| {
        for n in 0..writes {
            assert!(!store.insert((n % 2).to_le_bytes(), (7 + n).to_le_bytes())?);
        }
        Ok(())
    };
    beside_a_compactor(linked, write, |sim, [compactor, writer], schedule| {
        let fresh = open(&sim.process()).unwrap();
        for (who, store) in [
            ("the file", &fresh),
            ("compactor", compactor),
            ("writer", writer),
        ] {
            // The last of each key.
            for n in writes.saturating_sub(2)..writes {
                assert_eq!(get(store, n % 2), Ok(Some(7 + n)), "{who}, {schedule}");
            }
        }
        assert!(fresh.recovery().is_clean(), "{schedule}");
    })
}

/// A reader beside a compactor finds every entry in every way, before, during and after the switch.
pub(crate) fn a_reader_and_a_compactor(rounds: usize) -> Searched {
    let read = |store: &Store| {
        for _ in 0..rounds {
            let value = store.get(1_u64.to_le_bytes())?;
            assert_eq!(value.as_deref().map(number), Some(3));
            let pairs: Vec<_> = store.iter().collect::<shelflife::Result<_>>()?;
            let pairs: Vec<_> = pairs.iter().map(|(k, v)| (number(k), number(v))).collect();
            assert_eq!(pairs, [(0, 2), (1, 3)]);
        }
        Ok(())
    };
    beside_a_compactor(false, read, |_, [_, reader], schedule| {
        assert!(reader.recovery().is_clean(), "{schedule}");
    })
}

/// No of two increments is lost.
pub(crate) fn two_updates() -> Searched {
    let mut searched = Searched::default();
    let mut schedule = Schedule::search().preemptions(2);
    while schedule.next() {
        let (sim, [one, two], [a, b]) = two_processes();
        let add = |store: &Store| {
            store.update(0_u64.to_le_bytes(), |old| {
                let new = old.map_or(0, number) + 1;
                Ok((Change::Put(new.to_le_bytes().to_vec()), ()))
            })
        };
        let programs = vec![one.program(|| add(&a)), two.program(|| add(&b))];
        if sim.run(&mut schedule, programs) == Ran::Whole {
            let there = get(&open(&sim.process()).unwrap(), 0);
            assert_eq!(there, Ok(Some(4)), "{schedule}");
        }
        searched.runs += 1;
    }
    searched.states = schedule.states();
    searched
}

const MANY: u64 = 2_000;

/// One thread sets many keys to the same number, again and again; two others read pairs of them, of which the second is
/// never older than the first. Returns how many pairs.
pub(crate) fn large_batches(store: &Store, batches: u64) -> usize {
    let (over, pairs) = (AtomicBool::new(false), AtomicUsize::new(0));
    let read = |mut random: u64| {
        while !over.load(Acquire) {
            let (one, other) = (below(&mut random, MANY), below(&mut random, MANY));
            let [first, second] = [one, other].map(|key| get(store, key).unwrap());
            assert!(
                second >= first,
                "key {one} was {first:?}, and then key {other} of the same batch {second:?}"
            );
            pairs.fetch_add(1, Relaxed);
        }
    };
    let write = || {
        for nth in 0..batches {
            let mut batch = Batch::new();
            for key in 0..MANY {
                batch.insert(key.to_le_bytes(), nth.to_le_bytes());
            }
            store.write(&batch).unwrap();
        }
    };
    std::thread::scope(|scope| {
        let readers = [1, 2].map(|seed| scope.spawn(move || read(seed)));
        let written = scope.spawn(write).join();
        over.store(true, Release);
        for reader in readers {
            reader
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        }
        written.unwrap();
    });
    pairs.into_inner()
}

/// As [`large_batches`], with a handle that does not look at the file before it reads.
pub(crate) fn large_batches_of_an_exclusive_handle(batches: u64) -> usize {
    let sim = SimDisk::new(1);
    let store = EXCLUSIVE_OS.options(sim.disk()).open(PATH).unwrap();
    large_batches(&store, batches)
}

/// One thread inserts many keys in one batch and removes them in the next; two others count: all of them, or none.
/// Returns how often.
pub(crate) fn counted_batches(store: &Store, batches: u64) -> usize {
    let (over, counted) = (AtomicBool::new(false), AtomicUsize::new(0));
    let count = || {
        while !over.load(Acquire) {
            let (len, is_empty) = (store.len().unwrap() as u64, store.is_empty().unwrap());
            assert!(len == 0 || len == MANY, "`len` says {len}");
            let stats = store.stats().unwrap();
            let all_bytes = stats.live_bytes + stats.dead_bytes;
            assert!(stats.keys == 0 || stats.keys == MANY, "{stats:?}");
            assert_eq!(stats.live_bytes, 64 * stats.keys, "{stats:?}");
            assert_eq!(stats.file_bytes, 8192 + all_bytes, "{stats:?}");
            counted.fetch_add(usize::from(len > 0 || is_empty), Relaxed);
        }
    };
    let write = || {
        for nth in 0..batches {
            let mut batch = Batch::new();
            for key in 0..MANY {
                match nth % 2 {
                    0 => batch.insert(key.to_le_bytes(), key.to_le_bytes()),
                    _ => batch.remove(key.to_le_bytes()),
                };
            }
            store.write(&batch).unwrap();
        }
    };
    std::thread::scope(|scope| {
        let counters = [1, 2].map(|_| scope.spawn(count));
        let written = scope.spawn(write).join();
        over.store(true, Release);
        for counter in counters {
            counter
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        }
        written.unwrap();
    });
    counted.into_inner()
}

/// As [`counted_batches`], with a handle that does not look at the file before it counts.
pub(crate) fn counted_batches_of_an_exclusive_handle(batches: u64) -> usize {
    let sim = SimDisk::new(1);
    let mut options = EXCLUSIVE_OS.options(sim.disk());
    options.compaction(shelflife::Compaction::Manual);
    counted_batches(&options.open(PATH).unwrap(), batches)
}
