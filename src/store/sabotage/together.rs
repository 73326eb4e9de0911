//! What threads and processes do to each other, done wrong.

use super::proof::together;
use super::proof::workload::{EXCLUSIVE, PATH, SHARED, SHARED_OS};
use super::{CHOSEN, TOGETHER, notice};
use crate::Store;
use crate::error::Error;
use crate::store::change::Change;
use crate::store::commit;
use crate::store::disk::Disk;
use crate::store::disk::sim::{SimDisk, SimProcess};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

fn open(process: &SimProcess) -> Store {
    SHARED.options(process.disk()).open(PATH).unwrap()
}

/// What changed nothing is an answer all the same, and outlives the power with what it says.
fn an_answer_that_changed_nothing_is_durable() {
    let sim = SimDisk::new(1);
    let [one, other] = [sim.process(), sim.process()];
    let relaxed = SHARED_OS.options(other.disk()).open(PATH).unwrap();
    relaxed.insert("k", "v").unwrap();
    relaxed.sync().unwrap();
    let store = open(&one);
    relaxed.remove("k").unwrap();
    assert!(!store.remove("k").unwrap());
    for cut in sim.power_cuts().from_step(sim.steps()) {
        let left = SHARED.options(cut.disk()).open(PATH).unwrap();
        assert_eq!(left.get("k").unwrap(), None, "{}", cut.id());
    }
}

fn an_error_gives_the_lock_back() {
    let sim = SimDisk::new(1);
    let [one, other] = [sim.process(), sim.process()];
    let (store, others) = (open(&one), open(&other));
    let failed = store.update("k", |_| Err::<(Change, ()), _>(Error::other("no")));
    failed.unwrap_err();
    assert!(others.insert("k", "v").unwrap());
    assert!(!store.insert("k", "w").unwrap());
}

fn a_refusal_is_not_forgotten() {
    let sim = SimDisk::new(1);
    let [one, admin] = [sim.process(), sim.process()];
    let store = SHARED_OS.options(one.disk()).open(PATH).unwrap();
    admin.remove(Path::new(PATH)).unwrap();
    let refused = (0..64).position(|nth| store.insert([nth], "").is_err());
    assert!(refused.is_some());
    for _ in 0..100 {
        store.insert("k", "v").unwrap_err();
    }
}

/// The child of a fork locks a file of its own.
fn a_child_does_not_use_the_lock_of_its_parent() {
    for mode in [SHARED, EXCLUSIVE] {
        let sim = SimDisk::new(1);
        let process = sim.process();
        let store = mode.options(process.disk()).open(PATH).unwrap();
        store.insert("parent", "").unwrap();
        let parents = store.inner().generation().log.file.clone();
        process.fork();
        if mode.exclusive {
            assert!(store.insert("child", "").unwrap_err().is_busy());
            continue;
        }
        let change = |_: Option<&[u8]>| {
            assert!(!parents.try_lock().unwrap(), "the parent has it too");
            Ok((Change::Put(Vec::new()), ()))
        };
        store.update("child", change).unwrap();
    }
}

fn caught() -> Option<(String, u64)> {
    let chosen = CHOSEN.get();
    let begin: together::Begin<'_> = &move || CHOSEN.set(chosen);
    let suites: [(&str, &dyn Fn()); 12] = [
        (
            "credit",
            &commit::tests::a_sync_is_credited_with_what_was_written_before_it,
        ),
        ("no change", &an_answer_that_changed_nothing_is_durable),
        ("error", &an_error_gives_the_lock_back),
        ("refusal", &a_refusal_is_not_forgotten),
        ("fork", &a_child_does_not_use_the_lock_of_its_parent),
        ("large batches", &|| {
            _ = together::large_batches_of_an_exclusive_handle(20, begin)
        }),
        ("updates", &|| _ = together::two_updates(begin)),
        ("reader and compactor", &|| {
            _ = together::a_reader_and_a_compactor(1, begin)
        }),
        ("writer and compactor", &|| {
            _ = together::a_writer_and_a_compactor(1, begin)
        }),
        ("compactors", &|| _ = together::two_compactors(begin)),
        ("schedules", &|| {
            _ = together::three_processes(0..300, 4, begin)
        }),
        ("long schedules", &|| {
            _ = together::three_processes(0..40, 12, begin)
        }),
    ];
    for (nth, (name, suite)) in suites.into_iter().enumerate() {
        if catch_unwind(AssertUnwindSafe(suite)).is_err() {
            return Some((name.to_owned(), nth as u64 + 1));
        }
    }
    None
}

#[test]
fn every_sabotage_of_what_is_shared_is_noticed() {
    notice("together", TOGETHER, caught);
}
