//! The suites notice what they are for. Three methods, each of which does something wrong that a suite has to tell:
//!
//! - *A call is left out.* A workload runs once for each sync that it makes. In that run the disk answers `Ok` to that
//!   one sync and does nothing (`FaultKind::Elide`). Some image of a power cut must break the oracle; where none does,
//!   either a test is missing or the sync is wasted. The same for each look at the path, over scenes in which another
//!   file stands there.
//! - *A result is a lie.* The oracle of `proof` is shown states that no run may leave: a lost key, an old value, a record
//!   of a batch without the others.
//! - *A history has no order.* The checker of linearizability is shown answers that no order of the calls explains.
//!
//! `.ci/mutants` goes the other way round: there the crate is wrong, and the suites are as they are.

mod histories;

use crate::proof::Counts;
use crate::proof::cases;
use crate::proof::elision::every_sync;
use crate::proof::oracle::{Cause, Found, Held, Ledger, Moment, State};
use crate::proof::workload::{EXCLUSIVE, Mode, PATH, SHARED, SHARED_OS};
use shelflife::sim::{Call, Fault, FaultKind, Plant, Ran, Schedule, SimDisk, SimProcess};
use shelflife::{Disk, Error, ErrorKind, Store};
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

/// Syncs that can be left out unnoticed, because they are not for safety: each brings most of a copy to the disk before
/// the lock is taken, and the last sync, which others wait for, would cover it as well.
const FOR_SPEED: [&str; 3] = [
    "compact: Sync 2",
    "compact_os: Sync 2",
    "killed_between_rename_and_directory_sync: Sync 2",
];

#[test]
fn every_sync_is_needed() {
    let (mut counts, start) = (Counts::default(), Instant::now());
    let (mut sites, mut unnoticed) = (0, Vec::new());
    for case in cases::to_elide() {
        let elided = every_sync(&case, 1, &mut counts).unwrap();
        sites += elided.sites;
        unnoticed.extend(elided.unnoticed);
    }
    let _ = writeln!(
        std::io::stdout(),
        "METRIC teeth.syncs.for_safety={} caught={} for_speed={} images={} seed=1 secs={:.1}",
        sites - FOR_SPEED.len(),
        sites - unnoticed.len(),
        FOR_SPEED.len(),
        counts.images,
        start.elapsed().as_secs_f64()
    );
    assert_eq!(unnoticed, FOR_SPEED);
}

#[test]
fn the_sync_that_others_wait_for_finds_most_of_a_copy_on_the_disk() {
    let sim = SimDisk::new(1);
    let store = opened(SHARED, &sim.process());
    store.insert("a", [1; 200_000]).unwrap();
    sim.forget();
    store.compact().unwrap();
    let trace = sim.trace();
    let last = |call, before: usize| trace[..before].iter().rposition(|event| event.call == call);
    let renamed = last(Call::Rename, trace.len()).unwrap();
    let locked = last(Call::TryLock, renamed).unwrap();
    let (waited_for, ahead) = (last(Call::Sync, renamed), last(Call::Sync, locked));
    assert!(
        waited_for.unwrap() > locked,
        "all of it is synced in the end"
    );
    let copy = trace[waited_for.unwrap()].inode;
    assert_eq!(ahead.map(|ahead| trace[ahead].inode), Some(copy));
}

fn opened(mode: Mode, process: &SimProcess) -> Store {
    mode.options(Arc::new(process.clone())).open(PATH).unwrap()
}

/// Another store is moved over the one that is open.
fn replaced(mode: Mode) -> (SimDisk, Store) {
    let sim = SimDisk::new(1);
    let process = sim.process();
    let store = opened(mode, &process);
    store.insert("a", "old").unwrap();
    store.sync().unwrap();
    let admin = sim.process();
    let other = mode
        .options(Arc::new(admin.clone()))
        .open("/other")
        .unwrap();
    other.insert("a", "of the other").unwrap();
    other.close().unwrap();
    admin.rename(Path::new("/other"), Path::new(PATH)).unwrap();
    (sim, store)
}

fn is_replaced<T>(result: shelflife::Result<T>) -> bool {
    result.is_err_and(|error| error.kind() == ErrorKind::Replaced)
}

/// A file changes under a handle. How often a fault struck what comes after that, and whether the claim held.
type Scene = fn(Option<Fault>) -> (u64, bool);

fn inject(sim: &SimDisk, fault: Option<Fault>) {
    if let Some(fault) = fault {
        sim.inject(fault);
    }
}

/// With the looks, counted from 1, that can be left out unnoticed.
const SCENES: [(&str, &[u64], Scene); 7] = [
    (
        "a write to a file that was replaced is not acknowledged",
        // The one after the sync has shown it.
        &[2, 3],
        |fault| {
            let (sim, store) = replaced(SHARED);
            inject(&sim, fault);
            let noticed = is_replaced(store.insert("b", "2"));
            (sim.faults(), noticed)
        },
    ),
    (
        "a file that was replaced is noticed within so many unsynced writes",
        &[],
        |fault| {
            let (sim, store) = replaced(SHARED_OS);
            inject(&sim, fault);
            let noticed = (0..64).any(|_| is_replaced(store.insert("b", "2")));
            (sim.faults(), noticed)
        },
    ),
    (
        "a write after somebody else's compaction goes to the new file",
        // It is on the new file by then, which stays.
        &[2],
        |fault| {
            let sim = SimDisk::new(1);
            let (one, other) = (sim.process(), sim.process());
            let (store, compactor) = (opened(SHARED, &one), opened(SHARED, &other));
            store.insert("a", "1").unwrap();
            compactor.compact().unwrap();
            inject(&sim, fault);
            let written = store.insert("b", "2").is_ok();
            sim.clear_faults();
            let there = opened(SHARED, &sim.process()).get("b").unwrap();
            (sim.faults(), written && there.is_some())
        },
    ),
    // The second, at a file that is opened, is to see that it is no FIFO.
    ("reopening adopts the file that is there", &[2], |fault| {
        let (sim, store) = replaced(SHARED);
        inject(&sim, fault);
        let reopened = store.reopen().is_ok();
        sim.clear_faults();
        let adopted = reopened && store.get("a").unwrap().as_deref() == Some(b"of the other");
        (sim.faults(), adopted)
    }),
    (
        "who opens it to himself while another compacts has the new file",
        // The first answer of all is none that was given before; after the second, with the lock, nothing changes any
        // more.
        &[1, 3, 4, 5, 6, 7],
        |fault| {
            let (mut struck, mut held) = (0, true);
            let mut schedule = Schedule::search().preemptions(1);
            while schedule.next() {
                let sim = SimDisk::new(1);
                let (one, other) = (sim.process(), sim.process());
                let compactor = opened(SHARED, &other);
                inject(&sim, fault.clone().map(|fault| fault.by(one.id())));
                let mut outcome = Ok(true);
                let opens = one.program(|| {
                    let opened = EXCLUSIVE.options(one.disk()).open(PATH);
                    outcome = opened.and_then(|store| store.insert("a", "1"));
                    Ok::<(), Error>(())
                });
                let compacts = other.program(|| {
                    // It may find the file locked.
                    _ = compactor.compact();
                    Ok::<(), Error>(())
                });
                let ran = sim.run(&mut schedule, vec![opens, compacts]);
                struck += sim.faults();
                if ran == Ran::Whole {
                    let there = || opened(SHARED, &sim.process()).get("a").unwrap();
                    held &= outcome.is_ok() && there().is_some();
                }
            }
            (struck, held)
        },
    ),
    (
        "what was put where a compactor's file had been is not opened",
        // Those are at the store and at the new file, over which nothing was put.
        &[1, 2, 4, 5],
        |fault| {
            let sim = SimDisk::new(1);
            let store = opened(SHARED, &sim.process());
            let temp = "/s.shelf.tmp-0123456789abcdef";
            sim.write(temp, "left behind").unwrap();
            store.compact().unwrap();
            store.insert("a", "1").unwrap();
            // Fails if the file is still there.
            sim.plant(temp, Plant::Fifo).unwrap();
            sim.forget();
            inject(&sim, fault);
            store.compact().unwrap();
            let mut opens = sim.trace();
            opens.retain(|event| event.call == Call::Open);
            (sim.faults(), opens.iter().all(|event| event.ok))
        },
    ),
    (
        "a compactor's file that was removed as a leftover, before it was locked, is made again",
        // Those are at the store, over which nothing was put.
        &[1, 2, 4, 5],
        |fault| {
            let (mut struck, mut held) = (0, true);
            let mut schedule = Schedule::search().preemptions(1);
            while schedule.next() {
                let sim = SimDisk::new(1);
                let (one, other) = (sim.process(), sim.process());
                let (compactor, copier) = (opened(SHARED, &one), opened(SHARED, &other));
                compactor.insert("a", "1").unwrap();
                inject(&sim, fault.clone().map(|fault| fault.by(one.id())));
                let mut outcome = Ok(());
                let compacts = one.program(|| {
                    outcome = compactor.compact().map(drop);
                    Ok::<(), Error>(())
                });
                // Removes leftovers without the lock of the store.
                let copies = other.program(|| copier.mirror("/").map(drop));
                let ran = sim.run(&mut schedule, vec![compacts, copies]);
                struck += sim.faults();
                held &= ran != Ran::Whole || outcome.is_ok();
            }
            (struck, held)
        },
    ),
];

#[test]
fn every_look_at_the_path_is_needed() {
    let (mut sites, mut caught) = (0, 0);
    for (name, not_needed, scene) in SCENES {
        assert_eq!(scene(None), (0, true), "{name}");
        let mut unnoticed = Vec::new();
        for nth in 1.. {
            let look = Fault::new(FaultKind::Elide).on(Call::StatPath).nth(nth);
            let (struck, held) = scene(Some(look));
            if struck == 0 {
                break;
            }
            sites += 1;
            match held {
                true => unnoticed.push(nth),
                false => caught += 1,
            }
        }
        assert_eq!(unnoticed, not_needed, "{name}");
    }
    let _ = writeln!(
        std::io::stdout(),
        "METRIC teeth.looks.sites={sites} caught={caught} not_needed={} seed=1",
        sites - caught
    );
}

fn found(pairs: &[(&str, &str)]) -> Found {
    let pairs = pairs
        .iter()
        .map(|(key, value)| (Vec::from(*key), Vec::from(*value)));
    Found {
        entries: pairs.collect(),
        ..Found::default()
    }
}

/// Five changes, the last one not acknowledged and begun at step 10, and one key that expires at `now`.
fn ledger(now: SystemTime) -> Ledger {
    let put = |state: &mut State, key: &str, value: &str, expires| {
        let value = Vec::from(value);
        state.insert(Vec::from(key), Held { value, expires });
    };
    let mut ledger = Ledger::new();
    ledger.note(1, true, |state| put(state, "a", "1", None));
    ledger.acknowledge();
    ledger.note(2, true, |state| put(state, "b", "2", None));
    ledger.acknowledge();
    ledger.note(3, true, |state| _ = state.remove(&b"a"[..]));
    ledger.acknowledge();
    ledger.note(4, true, |state| {
        put(state, "c", "3", None);
        put(state, "d", "4", None);
        put(state, "e", "5", Some(now));
    });
    ledger.acknowledge();
    ledger.note(10, true, |state| put(state, "b", "6", None));
    ledger
}

#[test]
fn the_oracle_rejects_what_is_wrong() {
    let now = SystemTime::UNIX_EPOCH;
    let ledger = ledger(now);
    let at = |step| Moment {
        acknowledged: 4,
        step,
        now,
    };
    let judge = |found: &Found, cause| ledger.judge(found, at(100), cause);
    let sound = found(&[("b", "2"), ("c", "3"), ("d", "4")]);
    let newer = found(&[("b", "6"), ("c", "3"), ("d", "4")]);
    for good in [&sound, &newer] {
        judge(good, Cause::Crash).unwrap();
        judge(good, Cause::Rot).unwrap();
    }
    let wrong: [(&str, &[(&str, &str)]); 11] = [
        ("an acknowledged key is missing", &[("b", "2"), ("d", "4")]),
        ("an acknowledged batch is missing", &[("b", "2")]),
        ("everything is missing", &[]),
        (
            "a removed key is back",
            &[("a", "1"), ("b", "2"), ("c", "3"), ("d", "4")],
        ),
        (
            "a value that nobody wrote",
            &[("b", "9"), ("c", "3"), ("d", "4")],
        ),
        (
            "a value of another key",
            &[("b", "3"), ("c", "3"), ("d", "4")],
        ),
        (
            "two values are swapped",
            &[("b", "2"), ("c", "4"), ("d", "3")],
        ),
        ("a value is cut short", &[("b", ""), ("c", "3"), ("d", "4")]),
        (
            "a key that nobody wrote",
            &[("b", "2"), ("c", "3"), ("d", "4"), ("z", "1")],
        ),
        (
            "an expired key is shown",
            &[("b", "2"), ("c", "3"), ("d", "4"), ("e", "5")],
        ),
        (
            "a newer state without an older one",
            &[("b", "6"), ("d", "4")],
        ),
    ];
    for (what, pairs) in wrong {
        assert!(judge(&found(pairs), Cause::Crash).is_err(), "{what}");
        assert!(
            judge(&found(pairs), Cause::Rot).is_err(),
            "{what}, and not reported"
        );
    }
    assert!(
        ledger.judge(&newer, at(5), Cause::Crash).is_err(),
        "before it was begun"
    );
    let named = |what: &[&str], damage, of: &Found| Found {
        unreadable: what.iter().map(|key| Vec::from(*key)).collect(),
        damage,
        ..of.clone()
    };
    let without_c = found(&[("b", "2"), ("d", "4")]);
    judge(&named(&["c"], 1, &without_c), Cause::Rot).unwrap();
    assert!(
        judge(&named(&["c"], 1, &without_c), Cause::Crash).is_err(),
        "a crash loses nothing"
    );
    assert!(
        judge(&named(&["c"], 0, &without_c), Cause::Rot).is_err(),
        "lost without a report"
    );
    assert!(
        judge(&named(&["b"], 1, &without_c), Cause::Rot).is_err(),
        "another one is named"
    );
    assert!(
        judge(&named(&[], 1, &sound), Cause::Crash).is_err(),
        "a crash taken for damage"
    );
    let torn = Found {
        torn: 1,
        ..sound.clone()
    };
    assert!(torn.is_clean().is_err(), "repaired, and still torn");
    assert!(
        sound.recurs(&newer).is_err(),
        "opened twice, seen twice otherwise"
    );
}
