//! The store on the simulated machine, as a user would put their own program on it.

use crate::proof::together::{self, Searched, TookPart};
use crate::proof::workload::{EXCLUSIVE, EXCLUSIVE_OS, PATH, SHARED, SHARED_OS};
use crate::raw;
use crate::support::{is_soak, metric};
use shelflife::sim::{Call, FailedSync, Fault, FaultKind, Ran, Schedule, SimDisk, SimProcess};
use shelflife::{Change, Disk, ErrorKind, Options};
use std::path::Path;
use std::time::{Duration, Instant};

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

#[test]
fn a_simulated_process_reads_a_long_log_with_its_one_thread() {
    let sim = SimDisk::new(1);
    let [one, other] = [sim.process(), sim.process()];
    let store = SHARED_OS.options(one.disk()).open(PATH).unwrap();
    store.insert("long", vec![1; 5 << 20]).unwrap();
    let read = || -> shelflife::Result<()> {
        let store = SHARED_OS.options(other.disk()).open(PATH)?;
        assert_eq!(store.get("long")?.map(|value| value.len()), Some(5 << 20));
        Ok(())
    };
    let mut schedule = Schedule::seeds(1..2);
    assert!(schedule.next());
    let ran = sim.run(&mut schedule, vec![other.program(read)]);
    assert_eq!(ran, Ran::Whole);
}

/// Twenty times as many with `SHELF_SOAK=1`.
fn schedules_of_three_processes(first: u64, count: u64, steps: u64) {
    let count = if is_soak() { count * 20 } else { count };
    let start = Instant::now();
    let took_part = together::three_processes(first..first + count, steps);
    let secs = start.elapsed().as_secs_f64();
    let TookPart {
        calls,
        switches,
        kills,
    } = took_part;
    metric("schedules", count, Some(first), secs);
    metric("schedules_calls", calls, Some(first), secs);
    metric("schedules_switches", switches, Some(first), secs);
    metric("schedules_kills", kills, Some(first), secs);
    assert!(switches > 0 && kills > 0);
}

#[test]
fn three_processes_are_linearizable_in_long_schedules() {
    schedules_of_three_processes(0, 500, 12);
}

#[test]
fn three_processes_are_linearizable_in_every_schedule_drawn_1() {
    schedules_of_three_processes(1_000_000, 10_000, 4);
}

#[test]
fn three_processes_are_linearizable_in_every_schedule_drawn_2() {
    schedules_of_three_processes(2_000_000, 10_000, 4);
}

fn search(name: &str, search: impl FnOnce() -> Searched) -> Searched {
    let start = Instant::now();
    let searched = search();
    let secs = start.elapsed().as_secs_f64();
    metric(&format!("{name}_states"), searched.states, None, secs);
    metric(&format!("{name}_runs"), searched.runs, None, secs);
    assert!(searched.states > 20, "{searched:?}");
    searched
}

#[test]
fn two_compactors_end_with_one_winner_in_every_interleaving() {
    let won = search("compactors", together::two_compactors).won;
    assert_eq!(won[0], 0, "somebody always compacts");
    assert!(
        won[1] > 0 && won[2] > 0,
        "one gives way, or both in turn: {won:?}"
    );
}

#[test]
fn a_writer_beside_a_compactor_loses_nothing_in_any_interleaving() {
    let writes = if is_soak() { 3 } else { 1 };
    for linked in [false, true] {
        search("writer_and_compactor", || {
            together::a_writer_and_a_compactor(writes, linked)
        });
    }
}

#[test]
fn a_reader_beside_a_compactor_finds_everything_in_every_interleaving() {
    let rounds = if is_soak() { 3 } else { 1 };
    search("reader_and_compactor", || {
        together::a_reader_and_a_compactor(rounds)
    });
}

#[test]
fn two_processes_that_update_one_key_lose_nothing_in_any_interleaving() {
    search("update", together::two_updates);
}

#[test]
fn who_waits_for_the_lock_asks_for_it_less_and_less_often_until_the_deadline() {
    let sim = SimDisk::new(1);
    let [one, other] = [sim.process(), sim.process()];
    let mut options = SHARED.options(one.disk());
    let waiting = options.lock_timeout(Duration::from_secs(5)).open(PATH);
    let (waiting, holder) = (waiting.unwrap(), together::open(&other).unwrap());
    let change = |_: Option<&[u8]>| {
        let (start, asked) = (one.monotonic(), sim.calls(Call::TryLock));
        let error = waiting.insert("k", "v").unwrap_err();
        assert!(error.is_busy(), "{error}");
        assert!(error.to_string().contains("waited 5000 ms"), "{error}");
        assert_eq!(one.monotonic() - start, Duration::from_secs(5));
        let asked = sim.calls(Call::TryLock) - asked;
        // Every 2.5 to 5 ms in the end.
        assert!((1_000..2_100).contains(&asked), "{asked} times");
        Ok((Change::Keep, ()))
    };
    holder.update("k", change).unwrap();
    assert!(waiting.insert("k", "v").unwrap());
}

/// Records that another process has written there are not durable because this one says so, nor is the name of the
/// file.
#[test]
fn what_is_acknowledged_after_reopening_another_file_survives_every_power_cut() {
    let sim = SimDisk::new(1);
    let admin = sim.process();
    let store = SHARED.options(sim.disk()).open(PATH).unwrap();
    store.insert("a", "1").unwrap();
    let other = SHARED_OS.options(admin.disk()).open("/other").unwrap();
    other.insert("b", "2").unwrap();
    other.sync().unwrap();
    other.insert("b", "3").unwrap();
    std::mem::forget(other);
    admin.rename(Path::new("/other"), Path::new(PATH)).unwrap();
    store.insert("c", "4").unwrap_err();
    store.reopen().unwrap();
    assert_eq!(store.get("b").unwrap().as_deref(), Some(&b"3"[..]));
    assert!(!store.remove("a").unwrap());
    let mut images = 0;
    for cut in sim.power_cuts().from_step(sim.steps()) {
        let store = SHARED.options(cut.disk()).open(PATH).unwrap();
        assert_eq!(store.get("a").unwrap(), None, "{}", cut.id());
        let there = store.get("b").unwrap();
        assert_eq!(there.as_deref(), Some(&b"3"[..]), "{}", cut.id());
        assert!(store.recovery().is_clean(), "{}", cut.id());
        images += 1;
    }
    assert!(images > 0);
}

/// Without syncs a writer looks at the path once in a while.
#[test]
fn a_look_at_the_path_that_fails_stays_due() {
    let sim = SimDisk::new(1);
    let store = SHARED_OS.options(sim.disk()).open(PATH).unwrap();
    sim.process().remove(Path::new(PATH)).unwrap();
    sim.inject(Fault::new(FaultKind::Eio).on(Call::StatPath));
    let looked = (0..100).find_map(|_| store.insert("a", "1").err());
    assert_eq!(looked.unwrap().kind(), ErrorKind::Io);
    let error = store.insert("a", "2").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Replaced, "{error}");
}

/// It has the lock of the very file that it made and could not fill.
#[test]
fn an_exclusive_handle_reopens_a_file_whose_creation_failed() {
    let sim = SimDisk::new(1);
    let store = EXCLUSIVE.options(sim.disk()).open(PATH).unwrap();
    sim.process().remove(Path::new(PATH)).unwrap();
    sim.inject(Fault::new(FaultKind::Enospc).on(Call::Write));
    store.reopen().unwrap_err();
    store.reopen().unwrap();
    store.insert("a", "1").unwrap();
    drop(store);
    let store = SHARED.options(sim.disk()).open(PATH).unwrap();
    assert_eq!(store.len().unwrap(), 1);
}

#[test]
fn a_handle_that_moved_over_seals_nothing_that_it_has_not_synced() {
    let sim = SimDisk::new(1);
    let [one, other] = [sim.process(), sim.process()];
    let open = |process: &SimProcess| {
        let options = SHARED_OS.options(process.disk());
        options.open(PATH).unwrap()
    };
    let (moved, compactor) = (open(&one), open(&other));
    moved.insert("a", "1").unwrap();
    compactor.compact().unwrap();
    compactor.insert("b", [2; 700]).unwrap();
    compactor.insert("c", [3; 700]).unwrap();
    let before = sim.steps();
    // It wrote to the old file, and learns of the new one as it closes.
    moved.close().unwrap();
    let file = sim.read(PATH).unwrap();
    let last = raw::records(&file).pop().unwrap();
    assert_eq!(file[last.start + raw::KIND], raw::PUT, "it is no seal");
    std::mem::forget(compactor);
    let mut torn = 0;
    for cut in sim.power_cuts().from_step(before) {
        let store = SHARED_OS.options(cut.disk()).open(PATH);
        let store = store.unwrap_or_else(|error| panic!("{}: {error}", cut.id()));
        assert!(store.contains_key("a").unwrap(), "{}", cut.id());
        assert!(store.recovery().damage.is_empty(), "{}", cut.id());
        torn += usize::from(!store.contains_key("c").unwrap());
    }
    assert!(torn > 0, "nothing was left to sync");
}

/// A call that changed nothing gave an answer all the same, and that answer outlives the power.
#[test]
fn what_was_answered_without_a_change_is_durable() {
    let sim = SimDisk::new(1);
    let [one, other] = [sim.process(), sim.process()];
    let relaxed = SHARED_OS.options(other.disk()).open(PATH).unwrap();
    relaxed.insert("k", "v").unwrap();
    relaxed.sync().unwrap();
    let store = SHARED.options(one.disk()).open(PATH).unwrap();
    relaxed.remove("k").unwrap();
    assert!(!store.remove("k").unwrap(), "it is removed already");
    for cut in sim.power_cuts().from_step(sim.steps()) {
        let left = SHARED.options(cut.disk()).open(PATH).unwrap();
        assert_eq!(left.get("k").unwrap(), None, "{}", cut.id());
    }
}

#[test]
fn on_a_network_file_system_one_may_read_with_a_word_of_warning_and_write_only_alone() {
    let sim = SimDisk::new(1);
    let options = || {
        let mut options = Options::new();
        options.disk(sim.disk());
        options
    };
    let store = options().open(PATH).unwrap();
    store.insert("k", "v").unwrap();
    assert_eq!(store.recovery().network_file_system, None);
    drop(store);
    sim.set_network_file_system(Some("nfs4"));
    let refused = options().open(PATH).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unsupported);
    assert!(refused.to_string().contains("nfs4"), "{refused}");
    for how in [Options::read_only, Options::damaged, Options::exclusive] {
        let store = how(&mut options(), true).open(PATH).unwrap();
        assert_eq!(store.get("k").unwrap().as_deref(), Some(&b"v"[..]));
        let recovery = store.recovery();
        assert_eq!(recovery.network_file_system.as_deref(), Some("nfs4"));
        assert!(recovery.is_clean(), "a warning, and nothing wrong");
    }
}

/// A handle that writes alone, and syncs seldom, looks at little before it writes.
#[test]
fn the_write_after_a_failed_sync_moves_to_another_file_in_every_mode() {
    for mode in [SHARED, SHARED_OS, EXCLUSIVE, EXCLUSIVE_OS] {
        let sim = SimDisk::new(1);
        let store = mode.options(sim.disk()).open(PATH).unwrap();
        store.insert("a", "1").unwrap();
        store.insert("b", "1").unwrap();
        sim.inject(Fault::new(FaultKind::Eio).on(Call::Sync));
        let failed = store.insert("c", "1").is_err() || store.sync().is_err();
        assert!(failed, "{mode:?}");
        store.insert("d", "1").unwrap();
        assert_eq!(store.stats().unwrap().generation, 2, "{mode:?}");
        store.sync().unwrap();
    }
}

#[test]
fn a_repair_whose_sync_failed_is_told_to_every_process() {
    let sim = SimDisk::new(1);
    sim.set_failed_sync(FailedSync::KeepClean);
    let [one, other] = [sim.process(), sim.process()];
    let open = |process: &SimProcess| SHARED_OS.options(process.disk()).open(PATH).unwrap();
    let store = open(&one);
    store.insert("a", "1").unwrap();
    store.close().unwrap();
    let torn = [sim.read(PATH).unwrap(), vec![7; 100]].concat();
    sim.write(PATH, &torn).unwrap();
    let (store, later) = (open(&one), open(&other));
    // The first sync is that of the evidence.
    let fault = Fault::new(FaultKind::Eio).on(Call::Sync).by(one.id());
    sim.inject(fault.nth(2));
    let error = store.insert("b", "1").unwrap_err();
    assert_eq!(error.path(), Some(Path::new(PATH)), "{error}");
    // A sync by this process would succeed, and tell nothing of the one that failed.
    later.insert("c", "1").unwrap();
    assert_eq!(later.stats().unwrap().generation, 2);
}

/// Where the note of the failed sync failed as well, nothing but the bytes themselves tells that they are not on disk.
#[test]
fn a_sync_and_a_repair_cover_what_another_process_could_not_bring_to_disk() {
    for repairs in [false, true] {
        let sim = SimDisk::new(1);
        sim.set_failed_sync(FailedSync::KeepClean);
        let [one, other] = [sim.process(), sim.process()];
        let store = SHARED.options(one.disk()).open(PATH).unwrap();
        store.insert("a", "1").unwrap();
        let strike = |kind, call, nth| {
            let fault = Fault::new(kind).on(call).by(one.id());
            sim.inject(fault.nth(nth));
        };
        strike(FaultKind::Eio, Call::Sync, 1);
        if repairs {
            strike(FaultKind::Short(20), Call::Write, 2);
        }
        strike(FaultKind::Kill, Call::Write, 2 + u64::from(repairs));
        store.insert("b", "1").unwrap_err();
        let store = SHARED.options(other.disk()).open(PATH).unwrap();
        match repairs {
            false => store.sync().unwrap(),
            true => drop(store.insert("c", "1").unwrap()),
        }
        let keys = store.len().unwrap();
        assert_eq!(keys, 2 + usize::from(repairs));
        for cut in sim.power_cuts().from_step(sim.steps()).samples(10) {
            let left = SHARED.options(cut.disk()).open(PATH).unwrap();
            assert_eq!(
                left.len().unwrap(),
                keys,
                "repairs: {repairs}, {}",
                cut.id()
            );
        }
    }
}
