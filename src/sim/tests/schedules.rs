//! Several processes in turn: every order, or one that a seed draws.

use super::*;

/// Adds one to the byte in `s`, under the lock or not.
fn increment(process: &SimProcess, locked: bool) -> io::Result<()> {
    let file = process.open(Path::new("s"), ANY)?;
    while locked && !file.try_lock()? {
        process.sleep(Duration::from_millis(1));
    }
    let mut byte = [0];
    file.read_at(&mut byte, 0)?;
    file.write_at(&[byte[0] + 1], 0).map(drop)
}

/// The numbers that the interleavings of so many increments end with, and how many runs and states that took.
fn increments(schedule: &mut Schedule, processes: usize, locked: bool) -> (BTreeSet<u8>, usize) {
    let (mut ends, mut runs) = (BTreeSet::new(), 0);
    while schedule.next() {
        let sim = SimDisk::new(1);
        sim.write("s", [0]).unwrap();
        let processes: Vec<SimProcess> = (0..processes).map(|_| sim.process()).collect();
        let programs = processes
            .iter()
            .map(|process| process.program(|| increment(process, locked)));
        if sim.run(schedule, programs.collect()) == Ran::Whole {
            ends.insert(sim.read("s").unwrap()[0]);
        }
        runs += 1;
    }
    (ends, runs)
}

#[test]
fn a_search_finds_every_end_that_an_interleaving_can_have() {
    let mut all = Schedule::search();
    assert_eq!(increments(&mut all, 3, false).0, [1, 2, 3].into());
    assert_eq!(increments(&mut Schedule::search(), 3, true).0, [3].into());
    assert_eq!(
        increments(&mut Schedule::search().preemptions(0), 3, false).0,
        [3].into()
    );
    let once = Schedule::search().preemptions(1);
    assert_eq!(increments(&mut { once }, 3, false).0, [1, 2, 3].into());
    assert_eq!(
        increments(&mut Schedule::seeds(0..200), 3, false).0,
        [1, 2, 3].into()
    );
    assert_eq!(
        increments(&mut Schedule::seeds(0..200), 3, true).0,
        [3].into()
    );
}

#[test]
fn a_search_that_gives_up_known_states_finds_the_same_ends_as_one_that_does_not() {
    for locked in [false, true] {
        let mut plain = Schedule::search().everything();
        let (ends, runs) = increments(&mut plain, 2, locked);
        let (few, fewer) = increments(&mut Schedule::search(), 2, locked);
        assert_eq!(ends, few);
        assert!(fewer < runs, "{fewer} of {runs}");
    }
}

#[test]
fn a_schedule_is_repeated_by_its_seed() {
    let trace = |seed| {
        let sim = SimDisk::new(1);
        let processes = [sim.process(), sim.process(), sim.process()];
        let programs = processes
            .iter()
            .map(|process| process.program(|| increment(process, true)));
        let mut schedule = Schedule::seeds(seed..seed + 1);
        assert!(schedule.next());
        assert_eq!(sim.run(&mut schedule, programs.collect()), Ran::Whole);
        assert!(!schedule.next());
        sim.trace()
    };
    let traces: Vec<Vec<Event>> = (0..40).map(trace).collect();
    assert_eq!(traces, (0..40).map(trace).collect::<Vec<_>>());
    assert!(traces.iter().any(|other| *other != traces[0]));
}

#[test]
fn a_lock_that_is_not_given_back_is_waited_for_in_simulated_time() {
    for seed in 0..50 {
        let sim = SimDisk::new(1);
        let (holder, waiter) = (sim.process(), sim.process());
        let held = open(&holder, "s");
        assert!(held.try_lock().unwrap());
        let start = waiter.monotonic();
        let mut waited = Duration::ZERO;
        let holds = holder.program(|| {
            holder.sleep(Duration::from_secs(3));
            held.unlock()
        });
        let waits = waiter.program(|| {
            let file = waiter.open(Path::new("s"), ANY)?;
            while !file.try_lock()? {
                waiter.sleep(Duration::from_millis(1));
            }
            waited = waiter.monotonic() - start;
            io::Result::Ok(())
        });
        let mut schedule = Schedule::seeds(seed..seed + 1);
        schedule.next();
        sim.run(&mut schedule, vec![holds, waits]);
        assert!(waited >= Duration::from_secs(3), "{waited:?}");
        assert!(waited < Duration::from_millis(3_010), "{waited:?}");
        assert!(sim.calls(Call::TryLock) < 5_000);
    }
}

#[test]
fn a_process_killed_at_any_call_leaves_the_lock_to_the_other() {
    for call in 1..=4 {
        let mut schedule = Schedule::search();
        while schedule.next() {
            let sim = SimDisk::new(1);
            sim.write("s", [0]).unwrap();
            let (one, two) = (sim.process(), sim.process());
            sim.inject(Fault::new(FaultKind::Kill).by(one.id()).nth(call));
            let dies = one.program(|| {
                let file = one.open(Path::new("s"), ANY)?;
                while !file.try_lock()? {}
                file.write_at(&[9], 0)?;
                file.unlock()
            });
            let lives = two.program(|| increment(&two, true));
            if sim.run(&mut schedule, vec![dies, lives]) == Ran::Whole {
                assert_eq!(sim.faults(), 1);
                let end = sim.read("s").unwrap()[0];
                assert!(
                    end == 1 || (call == 4 && (end == 9 || end == 10)),
                    "{end} in the {schedule}"
                );
            }
        }
    }
}

#[test]
fn a_panic_in_a_program_ends_the_run_and_reaches_the_test() {
    let sim = SimDisk::new(1);
    let (one, two) = (sim.process(), sim.process());
    let mut schedule = Schedule::seeds(0..1);
    schedule.next();
    let mut finished = false;
    let run = std::panic::AssertUnwindSafe(|| {
        let panics = one.program(|| -> io::Result<()> { panic!("planted") });
        let goes_on = two.program(|| {
            increment(&two, true)?;
            finished = true;
            io::Result::Ok(())
        });
        sim.write("s", [0]).unwrap();
        sim.run(&mut schedule, vec![panics, goes_on])
    });
    let panic = std::panic::catch_unwind(run).unwrap_err();
    assert_eq!(panic.downcast_ref(), Some(&"planted"));
    assert!(finished);
    assert!(
        sim.process().list(Path::new("/")).is_ok(),
        "the machine goes on"
    );
}
