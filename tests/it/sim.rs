//! The store on the simulated machine, as a user would put their own program on it.

use crate::linearizability::{Answer, Call, History};
use shelflife::sim::{Fault, FaultKind, Ran, Schedule, SimDisk, SimProcess};
use shelflife::{Change, Compaction, Options, Store};
use std::io::Write;
use std::time::Duration;

fn open(process: &SimProcess) -> shelflife::Result<Store> {
    let mut options = Options::new();
    // Threads have no place in a schedule.
    options
        .compaction(Compaction::Inline)
        .lock_timeout(Duration::from_secs(60));
    options.disk(process.disk()).open("s.shelf")
}

#[test]
fn what_was_acknowledged_survives_every_power_cut() {
    let sim = SimDisk::new(1);
    let store = Options::new().disk(sim.disk()).open("s.shelf").unwrap();
    for n in 0..8_u32 {
        store.insert(n.to_le_bytes(), "value").unwrap();
        sim.acknowledge();
    }
    let mut images = 0;
    for cut in sim.power_cuts() {
        let store = Options::new()
            .disk(cut.disk())
            .open("s.shelf")
            .unwrap_or_else(|error| panic!("{}: {error}", cut.id()));
        for n in 0..cut.acknowledged() as u32 {
            assert!(store.contains_key(n.to_le_bytes()).unwrap(), "{}", cut.id());
        }
        images += 1;
    }
    assert!(images > 1_000, "{images}");
}

/// Draws, so that the same seed is the same run.
fn below(state: &mut u64, bound: u64) -> u64 {
    *state = state
        .wrapping_mul(6_364_136_223_846_793_005)
        .wrapping_add(1_442_695_040_888_963_407);
    (*state >> 33) % bound
}

fn number(bytes: &[u8]) -> u64 {
    u64::from_le_bytes(bytes.try_into().unwrap())
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

fn schedules_of_three_processes(seeds: std::ops::Range<u64>, steps: u64) {
    let (count, start) = (seeds.end - seeds.start, std::time::Instant::now());
    let (mut calls, first) = (0, seeds.start);
    let mut schedule = Schedule::seeds(seeds);
    let mut seed = first;
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
        calls += sim.trace().len();
        seed += 1;
    }
    let secs = start.elapsed().as_secs_f32();
    let _ = writeln!(
        std::io::stdout(),
        "METRIC schedules={count} calls={calls} seed={first} secs={secs:.2}"
    );
}

#[test]
fn three_processes_are_linearizable_in_long_schedules() {
    schedules_of_three_processes(0..soaked(500), 12);
}

#[test]
fn three_processes_are_linearizable_in_every_schedule_drawn_1() {
    schedules_of_three_processes(1_000_000..1_000_000 + soaked(10_000), 4);
}

#[test]
fn three_processes_are_linearizable_in_every_schedule_drawn_2() {
    schedules_of_three_processes(2_000_000..2_000_000 + soaked(10_000), 4);
}

/// Fifty times as many with `SHELF_SOAK=1`.
fn soaked(count: u64) -> u64 {
    if std::env::var_os("SHELF_SOAK").is_some() {
        count * 50
    } else {
        count
    }
}

/// Whoever wins, the other does nothing, nothing is left lying about, and every entry is there.
#[test]
fn two_compactors_end_with_one_winner_in_every_interleaving() {
    let (mut runs, mut won) = (0, [0, 0, 0]);
    let mut schedule = Schedule::search();
    while schedule.next() {
        let sim = SimDisk::new(1);
        let (one, two) = (sim.process(), sim.process());
        let (a, b) = (open(&one).unwrap(), open(&two).unwrap());
        for n in 0..4_u64 {
            a.insert((n % 2).to_le_bytes(), n.to_le_bytes()).unwrap();
        }
        assert!(b.contains_key(0_u64.to_le_bytes()).unwrap());
        let wins = std::sync::atomic::AtomicUsize::new(0);
        let compact = |store: &Store| match store.compact() {
            Err(error) if error.is_busy() => Ok(()),
            compacted => {
                compacted.map(|_| _ = wins.fetch_add(1, std::sync::atomic::Ordering::Relaxed))
            }
        };
        let programs = vec![one.program(|| compact(&a)), two.program(|| compact(&b))];
        if sim.run(&mut schedule, programs) == Ran::Whole {
            let store = open(&sim.process()).unwrap();
            for key in 0..2_u64 {
                let value = store.get(key.to_le_bytes()).unwrap();
                assert_eq!(value.as_deref().map(number), Some(key + 2), "{schedule}");
            }
            assert_eq!(store.stats().unwrap().dead_bytes, 0, "{schedule}");
            assert_eq!(
                sim.disk().list("/".as_ref()).unwrap().len(),
                1,
                "{schedule}"
            );
            won[wins.into_inner()] += 1;
        }
        runs += 1;
    }
    assert_eq!(won[0], 0, "somebody always compacts");
    assert!(
        won[1] > 0 && won[2] > 0,
        "one gives way, or both in turn: {won:?}"
    );
    let states = schedule.states();
    let _ = writeln!(
        std::io::stdout(),
        "METRIC compactors_states={states} runs={runs} one_won={} both_in_turn={}",
        won[1],
        won[2]
    );
}

#[test]
fn two_processes_that_update_one_key_lose_nothing_in_any_interleaving() {
    let mut runs = 0;
    let mut schedule = Schedule::search().preemptions(2);
    while schedule.next() {
        let sim = SimDisk::new(1);
        let (one, two) = (sim.process(), sim.process());
        let add = |store: &Store| {
            store.update("key", |old| {
                let old = old.map_or(0, number);
                Ok((Change::Put((old + 1).to_le_bytes().to_vec()), ()))
            })
        };
        let (a, b) = (open(&one).unwrap(), open(&two).unwrap());
        let programs = vec![one.program(|| add(&a)), two.program(|| add(&b))];
        if sim.run(&mut schedule, programs) == Ran::Whole {
            let end = open(&sim.process()).unwrap().get("key").unwrap();
            assert_eq!(end.as_deref().map(number), Some(2), "{schedule}");
        }
        runs += 1;
    }
    let states = schedule.states();
    let _ = writeln!(
        std::io::stdout(),
        "METRIC update_states={states} runs={runs}"
    );
    assert!(states > 20, "{states}");
}
