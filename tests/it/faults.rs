//! Calls fail: every one of them, in every way, and the disk fills up at every byte.

use crate::proof::Counts;
use crate::proof::cases;
use crate::proof::errors::{KINDS, Sites, every_call, syncs_after_a_failed_one};
use crate::proof::workload::{EXCLUSIVE, EXCLUSIVE_OS, Mode, PATH, SHARED, SHARED_OS};
use crate::support::names;
use shelflife::sim::{Call, FailedSync, Fault, FaultKind, SimDisk};
use shelflife::{Batch, Change, Compaction, Disk, Durability, ErrorKind, Options, Store};
use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

fn metric(text: &str, start: Instant) {
    let secs = start.elapsed().as_secs_f64();
    let _ = writeln!(std::io::stdout(), "METRIC {text} seed=1 secs={secs:.1}");
}

/// Every second workload, so that two threads share them; with `at_least` so many ways to fail.
fn every_call_of(which: usize, at_least: u64) {
    let (mut counts, mut sites, start) = (Counts::default(), Sites::new(), Instant::now());
    for case in cases::to_fail().iter().skip(which).step_by(2) {
        if let Err(error) = every_call(case, &KINDS, 1, &mut sites, &mut counts) {
            panic!("{error}");
        }
    }
    let unvisited: Vec<_> = sites
        .iter()
        .filter(|(_, (sites, hits))| hits < sites)
        .collect();
    let total: u64 = sites.values().map(|(sites, _)| sites).sum();
    let hits: u64 = sites.values().map(|(_, hits)| hits).sum();
    metric(
        &format!(
            "faults.calls.{which}.sites_x_kinds={total} visited={hits} runs={} unvisited={unvisited:?}",
            counts.runs
        ),
        start,
    );
    assert!(unvisited.is_empty(), "never struck: {unvisited:?}");
    assert!(total >= at_least, "{total} ways to fail, of {at_least}");
}

#[test]
fn every_call_that_fails_leaves_what_was_acknowledged_even() {
    every_call_of(0, 1_900);
}

#[test]
fn every_call_that_fails_leaves_what_was_acknowledged_odd() {
    every_call_of(1, 2_400);
}

/// Those that the workloads make were all struck, see above; what none of them makes shows here.
#[test]
fn no_kind_of_call_is_left_out_of_those_that_fail() {
    let mut called = BTreeSet::new();
    for case in cases::to_fail() {
        let play = case.start(1, None).unwrap();
        called.extend(play.sim.trace().iter().map(|event| event.call));
    }
    let left_out = Call::ALL.into_iter().filter(|call| !called.contains(call));
    assert_eq!(left_out.collect::<Vec<_>>(), []);
}

/// With the crash tests of the same workloads, which cut the power at every later step.
#[test]
fn a_file_whose_sync_failed_is_never_synced_again() {
    let start = Instant::now();
    let mut failures = 0;
    for how in [FailedSync::KeepClean, FailedSync::Revert] {
        for case in [cases::failed_sync(how), cases::failed_sync_exclusive(how)] {
            let play = case.start(1, None).unwrap();
            assert_eq!(syncs_after_a_failed_one(&play), 0, "{}", case.name);
            failures += case.failures;
        }
    }
    metric(
        &format!("faults.failed_syncs={failures} second_syncs=0"),
        start,
    );
}

fn open(mode: Mode, sim: &SimDisk) -> Store {
    mode.options(sim.disk()).open(PATH).unwrap()
}

fn all_of(store: &Store) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut all = store.iter().collect::<shelflife::Result<Vec<_>>>().unwrap();
    all.sort();
    all
}

#[test]
fn a_disk_that_is_full_at_any_byte_of_an_append_loses_nothing() {
    let start = Instant::now();
    let mut offsets = 0;
    for (mode, value_bytes) in [(SHARED, 40), (EXCLUSIVE_OS, 40), (EXCLUSIVE, 40)] {
        for batched in [false, true] {
            for room in 0.. {
                let sim = SimDisk::new(1);
                let store = open(mode, &sim);
                store.insert("a", "1").unwrap();
                store.insert("b", "2").unwrap();
                let before = all_of(&store);
                sim.set_capacity(Some(sim.used_bytes() + room));
                let mut batch = Batch::new();
                batch.insert("c", vec![3; value_bytes]);
                if batched {
                    batch.insert("d", [4; 60]).remove("a");
                }
                let Err(error) = store.write(&batch) else {
                    break;
                };
                offsets += 1;
                assert_eq!(error.kind(), ErrorKind::Io, "{error}");
                assert_eq!(
                    all_of(&store),
                    before,
                    "with {room} bytes free, reads go on"
                );
                // Another process sees the same, and a power cut leaves the same.
                if mode == SHARED {
                    assert_eq!(all_of(&open(mode, &sim)), before);
                }
                for cut in sim.power_cuts().samples(10).pick(3) {
                    if cut
                        .sim()
                        .read(PATH)
                        .is_ok_and(|bytes| bytes.len() > 8192 + 112)
                    {
                        let left = all_of(&open(mode, cut.sim()));
                        assert!(before.starts_with(&left), "image {}", cut.id());
                    }
                }
                sim.set_capacity(None);
                assert!(store.remove("b").unwrap(), "it goes on by itself");
                assert!(store.recovery().is_clean(), "with {room} bytes free");
                store.compact().unwrap();
                store.write(&batch).unwrap();
                let after = all_of(&store);
                drop(store);
                assert_eq!(all_of(&open(mode, &sim)), after);
            }
        }
    }
    metric(&format!("faults.full_disk.offsets={offsets}"), start);
    assert!(offsets > 700, "only {offsets} places");
}

#[test]
fn what_is_on_the_disk_is_synced_and_closed_where_a_full_disk_has_no_room_for_the_seal() {
    for closes in [false, true] {
        let sim = SimDisk::new(1);
        let store = open(EXCLUSIVE_OS, &sim);
        store.insert("a", "1").unwrap();
        let kept = all_of(&store);
        sim.set_capacity(Some(sim.used_bytes()));
        if closes {
            store.close().unwrap();
        } else {
            store.sync().unwrap();
        }
        sim.forget();
        for cut in sim.power_cuts() {
            cut.sim().set_capacity(None);
            assert_eq!(all_of(&open(SHARED, cut.sim())), kept, "image {}", cut.id());
        }
    }
}

#[test]
fn a_disk_that_is_full_at_any_write_of_a_compaction_keeps_the_old_file() {
    let start = Instant::now();
    let mut offsets = 0;
    for mode in [SHARED, EXCLUSIVE] {
        for room in 0.. {
            let sim = SimDisk::new(1);
            let store = open(mode, &sim);
            for number in 0..4 {
                store.insert("a", [number; 100]).unwrap();
                store.insert([number], "b").unwrap();
            }
            let (before, file) = (all_of(&store), sim.read(PATH).unwrap());
            // In steps that hit every part of it: file header, records, and the record that retires the old file.
            sim.set_capacity(Some(sim.used_bytes() + room * 41));
            let Err(error) = store.compact() else { break };
            offsets += 1;
            assert_eq!(error.kind(), ErrorKind::Io, "{error}");
            assert_eq!(names(&sim), ["s.shelf"], "the new file is removed");
            assert!(sim.read(PATH).unwrap().starts_with(&file));
            assert_eq!(all_of(&store), before);
            sim.set_capacity(None);
            store.insert("c", "d").unwrap();
            assert!(store.recovery().is_clean(), "{:?}", store.recovery());
            store.compact().unwrap();
            assert_eq!(names(&sim), ["s.shelf"], "nothing had to be repaired");
            let after = all_of(&store);
            drop(store);
            assert_eq!(all_of(&open(SHARED, &sim)), after);
        }
    }
    metric(
        &format!("faults.full_disk_in_compaction.offsets={offsets}"),
        start,
    );
    assert!(offsets > 300, "only {offsets} places");
}

/// The room that the page on production says to give a store. Half of what is written here replaces entries, and the
/// other half ended over a day ago: so a compaction is as late as it gets.
#[test]
fn four_times_what_is_live_and_1_mib_is_room_enough_for_a_store() {
    const KEYS: usize = 200;
    const VALUE: [u8; 10_000] = [1; 10_000];
    let sim = SimDisk::new(1);
    let mut options = Options::new();
    options
        .compaction(Compaction::Inline)
        .durability(Durability::Os)
        .disk(sim.disk());
    let store = options.open(PATH).unwrap();
    for nth in 0..KEYS {
        store.insert(nth.to_string(), VALUE).unwrap();
    }
    let before = store.stats().unwrap();
    let long_ago = sim.disk().wall_clock() - Duration::from_secs(25 * 60 * 60);
    // Two file headers, and the record by which a compaction becomes due.
    let beside = 2 * 8192 + VALUE.len() as u64 + 1000;
    sim.set_capacity(Some(4 * before.live_bytes + (1 << 20) + beside));
    let mut longest = 0;
    for nth in 0..10 * KEYS {
        store.insert((nth % KEYS).to_string(), VALUE).unwrap();
        (store.insert_until(format!("past {nth}"), VALUE, long_ago)).unwrap();
        longest = longest.max(store.stats().unwrap().file_bytes);
    }
    assert!(longest > 29 * before.live_bytes / 10, "{longest}");
    assert!(store.stats().unwrap().generation > before.generation + 3);
}

#[test]
fn a_compaction_that_fails_is_not_tried_at_every_write() {
    let sim = SimDisk::new(1);
    let store = open(SHARED_OS, &sim);
    sim.inject(Fault::new(FaultKind::Eio).on(Call::Rename).nth(1).forever());
    let (mut dirty, value) = (0, vec![7; 100 << 10]);
    let before = sim.calls(Call::Rename);
    while dirty < 4 << 20 {
        store.insert("a", &value).unwrap();
        dirty += value.len();
    }
    let tries = sim.calls(Call::Rename) - before;
    assert!((1..=4).contains(&tries), "{tries} times in 41 writes");
    assert_eq!(names(&sim), ["s.shelf"]);
}

/// A torn tail, so that there is something to repair, and a file with nothing wrong.
fn files_to_read() -> Vec<SimDisk> {
    let sound = SimDisk::new(1);
    let store = open(SHARED, &sound);
    for number in 0..9 {
        store.insert([number], [number; 200]).unwrap();
    }
    drop(store);
    let torn = SimDisk::new(2);
    let mut bytes = sound.read(PATH).unwrap();
    bytes.truncate(bytes.len() - 48 - 60);
    torn.write(PATH, &bytes).unwrap();
    vec![sound, torn]
}

/// As where another file system was mounted over the folder: what was opened and what the path leads to stay two files.
#[test]
fn opening_ends_at_its_deadline_where_the_path_never_leads_to_what_was_opened() {
    for exclusive in [false, true] {
        let sim = SimDisk::new(1);
        let (process, path) = (sim.process(), Path::new(PATH));
        sim.write(PATH, "").unwrap();
        Disk::stat(&process, path).unwrap();
        process.remove(path).unwrap();
        sim.write(PATH, "").unwrap();
        // A look at the whole path is answered with the file that was there before.
        sim.inject(Fault::new(FaultKind::Elide).on(Call::StatPath).forever());
        // An opening without an end is told by that.
        sim.inject(Fault::new(FaultKind::Kill).nth(100_000));
        let timeout = Duration::from_secs(1);
        let before = process.monotonic();
        let mut options = Options::new();
        let options = options.exclusive(exclusive).lock_timeout(timeout);
        let opened = options
            .disk(process.disk())
            .open(PATH.trim_start_matches('/'));
        let error = opened.unwrap_err();
        assert!(error.is_busy(), "{error}");
        let waited = process.monotonic() - before;
        assert!(waited >= timeout && waited < 2 * timeout, "{waited:?}");
    }
}

#[test]
fn an_error_of_a_read_is_never_taken_for_the_end_or_for_damage() {
    let start = Instant::now();
    let mut runs = 0;
    for which in 0..2 {
        for kind in [FaultKind::Eio, FaultKind::Emfile] {
            for call in [Call::Read, Call::Open, Call::Stat, Call::StatPath] {
                for forever in [false, true] {
                    for nth in 1.. {
                        let sim = files_to_read().swap_remove(which);
                        let file = sim.read(PATH).unwrap();
                        let all = all_of(&open(SHARED, &files_to_read().swap_remove(which)));
                        let mut fault = Fault::new(kind).on(call).nth(nth);
                        if forever {
                            fault = fault.forever();
                        }
                        sim.inject(fault);
                        let io = |error: &shelflife::Error| {
                            assert_eq!(error.kind(), ErrorKind::Io, "{error}");
                        };
                        let opened = SHARED.options(sim.disk()).open(PATH);
                        if let Ok(store) = &opened {
                            for (key, value) in &all {
                                match store.get(key) {
                                    Ok(found) => assert_eq!(found.as_ref(), Some(value)),
                                    Err(error) => io(&error),
                                }
                            }
                            for entry in store.iter() {
                                _ = entry.inspect_err(io);
                            }
                        }
                        _ = opened.inspect_err(io);
                        assert!(sim.read(PATH).unwrap() == file, "reading changed the file");
                        if sim.faults() == 0 {
                            break;
                        }
                        runs += 1;
                        // A writer that can't read everything repairs nothing.
                        let before = sim.faults();
                        if let Ok(store) = SHARED.options(sim.disk()).open(PATH)
                            && let Err(error) = store.insert("new", "1")
                        {
                            io(&error);
                            assert!(sim.faults() > before);
                        }
                        sim.clear_faults();
                        let store = open(SHARED, &sim);
                        for (key, value) in &all {
                            assert_eq!(store.get(key).unwrap().as_ref(), Some(value));
                        }
                    }
                }
            }
        }
    }
    metric(
        &format!("faults.failed_reads={runs} changed_bytes=0"),
        start,
    );
    assert!(runs > 100, "only {runs} runs with a fault");
}

/// Found by a swarm: it took the place for one that it had looked at, and saw nothing of what stands there any more.
#[test]
fn a_reader_that_could_not_look_at_what_follows_looks_at_it_again() {
    let mut failed = 0;
    for nth in 1.. {
        let sim = SimDisk::new(1);
        let [one, other] = [sim.process(), sim.process()];
        let writer = SHARED.options(one.disk()).open(PATH).unwrap();
        let mut options = SHARED.options(other.disk());
        let reader = options.read_only(true).open(PATH).unwrap();
        for key in ["a", "b", "c"] {
            writer.insert(key, "value").unwrap();
        }
        // The value of the first one, so that the replay stops there.
        sim.flip_bit(PATH, 8192 + 48 + 1, 1).unwrap();
        sim.inject(Fault::new(FaultKind::Eio).by(other.id()).nth(nth));
        failed += u32::from(reader.get("b").is_err());
        if sim.faults() == 0 {
            break;
        }
        let value = reader.get("b").unwrap();
        assert_eq!(value.as_deref(), Some(&b"value"[..]), "call {nth}");
        assert!(reader.get("a").unwrap_err().is_corrupt(), "call {nth}");
    }
    assert!(failed > 2, "only {failed} looks failed");
}

#[test]
fn a_lock_that_a_signal_interrupts_is_taken_all_the_same() {
    let sim = SimDisk::new(1);
    for nth in 1..=3 {
        sim.inject(Fault::new(FaultKind::Eintr).on(Call::TryLock).nth(nth));
        let store = open(SHARED, &sim);
        store.insert("a", "1").unwrap();
        store.compact().unwrap();
    }
    assert_eq!(sim.faults(), 3);
}

/// The cache falls back to what is on the disk, and the note that the file was left behind can't be written at once.
#[test]
fn a_reader_of_what_fell_back_with_a_failed_sync_sees_what_is_written_next() {
    for mode in [SHARED, EXCLUSIVE] {
        for forever in [false, true] {
            let sim = SimDisk::new(1);
            sim.set_failed_sync(FailedSync::Revert);
            let store = open(mode, &sim);
            store.insert("a", "1").unwrap();
            // The seal that this leaves is not synced.
            store.sync().unwrap();
            let reader = SHARED
                .options(sim.disk())
                .read_only(true)
                .open(PATH)
                .unwrap();
            assert_eq!(reader.len().unwrap(), 1);
            let fault = Fault::new(FaultKind::Eio).on(Call::Sync);
            sim.inject(fault);
            if forever {
                sim.inject(Fault::new(FaultKind::Eio).on(Call::Write).nth(2).forever());
            }
            store.insert("b", "2").unwrap_err();
            sim.clear_faults();
            store.insert("c", "3").unwrap();
            let seen = reader.get("c").unwrap();
            assert_eq!(seen.as_deref(), Some(&b"3"[..]), "{mode:?} {forever}");
        }
    }
}

/// A disk that gives up: in the middle of an append, and again in the sync of what is done about it.
#[test]
fn an_append_that_fails_and_the_sync_of_its_cut_leave_the_lock_free() {
    for mode in [SHARED, EXCLUSIVE] {
        let sim = SimDisk::new(1);
        let store = open(mode, &sim);
        store.insert("a", "1").unwrap();
        sim.inject(Fault::new(FaultKind::Short(50)).on(Call::Write));
        sim.inject(Fault::new(FaultKind::Eio).on(Call::Write).nth(2));
        sim.inject(Fault::new(FaultKind::Eio).on(Call::Sync));
        store.insert("b", "2").unwrap_err();
        assert_eq!(sim.faults(), 3, "{mode:?}");
        sim.clear_faults();
        assert_eq!(store.get("b").unwrap(), None, "{mode:?}");
        store.insert("c", "3").unwrap();
        drop(store);
        assert_eq!(open(SHARED, &sim).len().unwrap(), 2, "{mode:?}");
    }
}

#[test]
fn an_append_that_was_taken_back_leaves_nothing_to_repair_and_nothing_to_report() {
    let sim = SimDisk::new(1);
    let store = open(SHARED, &sim);
    sim.inject(Fault::new(FaultKind::Short(60)).on(Call::Write));
    sim.inject(Fault::new(FaultKind::Eio).on(Call::Write).nth(2));
    store.insert("a", [1; 100]).unwrap_err();
    assert_eq!(sim.faults(), 2);
    assert!(open(SHARED, &sim).recovery().is_clean());
}

/// A store of one entry, and a handle of it whose append failed and could not be taken back.
fn with_bytes_left(mode: Mode) -> (SimDisk, Store) {
    let sim = SimDisk::new(1);
    let store = open(mode, &sim);
    store.insert("a", "1").unwrap();
    sim.inject(Fault::new(FaultKind::Short(5_000)).on(Call::Write));
    sim.inject(Fault::new(FaultKind::Eio).on(Call::Write).nth(2));
    sim.inject(Fault::new(FaultKind::Eio).on(Call::SetLen));
    store.insert("b", [2; 9_000]).unwrap_err();
    assert_eq!(sim.faults(), 3, "{mode:?}");
    sim.clear_faults();
    (sim, store)
}

#[test]
fn an_append_that_could_not_be_taken_back_is_left_for_the_next_writer_to_report() {
    for mode in [SHARED, EXCLUSIVE] {
        let (sim, store) = with_bytes_left(mode);
        let left = sim.read(PATH).unwrap();
        _ = store.close();
        assert!(sim.read(PATH).unwrap() == left, "{mode:?}: closing hid it");
        let store = open(SHARED, &sim);
        store.insert("c", "3").unwrap();
        assert!(!store.recovery().is_clean(), "{mode:?}");
        assert_eq!(store.len().unwrap(), 2, "{mode:?}");
    }
}

#[test]
fn a_handle_that_repaired_what_it_could_not_take_back_seals_its_log_when_it_closes() {
    for mode in [SHARED, EXCLUSIVE] {
        let (sim, store) = with_bytes_left(mode);
        store.insert("c", [3; 1_000]).unwrap();
        store.close().unwrap();
        let stats = open(mode, &sim).stats().unwrap();
        // The seal itself: it calls durable what stands before it.
        assert_eq!((stats.keys, stats.unsynced_bytes), (2, 48), "{mode:?}");
    }
}

/// A handle has applied a record that was damaged since: its tail lies behind the damage, where nobody else's does.
#[test]
fn who_read_a_record_before_it_was_damaged_is_not_left_behind_on_the_old_file() {
    for mode in [SHARED, SHARED_OS] {
        for flipped in [20, 50] {
            let sim = SimDisk::new(1);
            let store = open(mode, &sim);
            store.insert("a", "1").unwrap();
            let offset = store.stats().unwrap().file_bytes;
            store.insert("x", "2").unwrap();
            sim.flip_bit(PATH, offset + flipped, 0).unwrap();
            let admin = open(SHARED, &sim);
            admin.salvage_in_place().unwrap();
            let wrote = store.insert("y", "3");
            let there = admin.get("y").unwrap();
            let case = format!("{mode:?}, byte {flipped}: {wrote:?}");
            assert_eq!(there.is_some(), wrote.is_ok(), "{case}");
            assert_eq!(store.get("y").unwrap(), there, "{case}");
        }
    }
}

#[test]
fn nothing_is_called_durable_on_a_file_that_lost_its_name() {
    for mode in [SHARED, EXCLUSIVE, SHARED_OS, EXCLUSIVE_OS] {
        let calls: [fn(&Store) -> shelflife::Result<()>; 3] = [
            |store| store.sync(),
            |store| store.remove("absent").map(drop),
            |store| store.update("a", |_| Ok((Change::Keep, ()))),
        ];
        // Only a sync promises as much without `Immediate`.
        let promised = match mode {
            SHARED | EXCLUSIVE => 3,
            _ => 1,
        };
        for (which, call) in calls.into_iter().take(promised).enumerate() {
            let sim = SimDisk::new(1);
            let store = open(mode, &sim);
            store.insert("a", "1").unwrap();
            // Twice, because the first one leaves a seal: now there is nothing to sync.
            store.sync().unwrap();
            store.sync().unwrap();
            let process = sim.process();
            process
                .rename(Path::new(PATH), Path::new("/elsewhere"))
                .unwrap();
            let error = call(&store).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Replaced, "{mode:?}, call {which}");
        }
    }
}

#[test]
fn nothing_is_called_durable_that_came_too_late_for_the_file_at_its_path() {
    for mode in [SHARED_OS, EXCLUSIVE_OS] {
        let sim = SimDisk::new(1);
        let store = open(mode, &sim);
        store.insert("a", "1").unwrap();
        store.sync().unwrap();
        sim.write("/before", sim.read(PATH).unwrap()).unwrap();
        store.insert("late", "2").unwrap();
        // A successor of this very file, made from what it was before.
        let admin = sim.process();
        let before = SHARED.options(admin.disk()).open("/before").unwrap();
        before.compact().unwrap();
        drop(before);
        admin.rename(Path::new("/before"), Path::new(PATH)).unwrap();
        let error = store.sync().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Replaced, "{mode:?}: {error}");
    }
}

/// As a site does whose disk is full: it goes on asking.
#[test]
fn a_handle_of_which_a_full_disk_holds_half_a_record_goes_on_by_itself_when_there_is_space() {
    for mode in [SHARED, SHARED_OS, EXCLUSIVE, EXCLUSIVE_OS] {
        let sim = SimDisk::new(1);
        let store = open(mode, &sim);
        store.insert("a", "1").unwrap();
        let kept = all_of(&store);
        // Room for the beginning of a record, and none for the mark of its cut.
        sim.set_capacity(Some(sim.used_bytes() + 16));
        for _ in 0..3 {
            let error = store.insert("b", "2").unwrap_err();
            let full = std::io::ErrorKind::StorageFull;
            assert_eq!(error.io_kind(), Some(full), "{mode:?}: {error}");
            assert_eq!(all_of(&store), kept, "{mode:?}");
        }
        sim.set_capacity(None);
        assert!(store.insert("b", "2").unwrap(), "{mode:?}");
        assert!(store.recovery().is_clean(), "{mode:?}: nothing is torn");
        drop(store);
        assert_eq!(names(&sim), ["s.shelf"], "{mode:?}");
        assert_eq!(open(SHARED, &sim).len().unwrap(), 2, "{mode:?}");
    }
}
