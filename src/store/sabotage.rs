//! The engine done wrong, one way at a time, to see that the suites notice.

use super::disk::sim::{Call, Fault, FaultKind, SimDisk};
use proof::workload::{PATH, SHARED};
use proof::{Counts, cases, errors, power};
use std::cell::Cell;
use std::io::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};

#[path = "../../tests/it/proof/mod.rs"]
mod proof;
mod together;

thread_local!(static CHOSEN: Cell<Option<Sabotage>> = const { Cell::new(None) });

/// Whether this is what is done wrong in this thread.
pub(crate) fn is(what: Sabotage) -> bool {
    CHOSEN.get() == Some(what)
}

macro_rules! sabotages {
    ($($list:ident: $($name:ident),*;)*) => {
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Sabotage {
            $($($name),*),*
        }

        $(const $list: &[Sabotage] = &[$(Sabotage::$name),*];)*
    };
}

sabotages! {
    // What one process does to its file.
    ALONE:
    SkipBodyCheck,
    TrustTheLength,
    IgnoreEpoch,
    AppendWithoutProof,
    ForgetThatABatchGoesOn,
    CountHalfABatch,
    LeaveHalfABatch,
    LeaveTheTornTail,
    LeaveAFailedAppend,
    DropDeletes,
    DropClears,
    IgnoreExpiry,
    AcknowledgeBeforeSync,
    RenameBeforeSync,
    SkipDirectorySync,
    TrustOthersDirectorySync,
    SealUnsynced,
    OverstateDurable,
    CreditAcrossASwitch,
    ForgetWhatIsOwed,
    TellNobodyOfAFailedSync,
    WriteToACondemnedFile,
    TrustTheCache,
    SkipTheLookAtThePath,
    TakeErrorsForTheEnd,
    ResealUnverified,
    CutWithoutReport,
    CutWithoutEvidence;
    // What threads and processes do to each other.
    TOGETHER:
    ReadHalfABatch,
    AcknowledgeUnwritten,
    CreditWhatCameLater,
    OweNothingForOthers,
    KeepTheLockAfterAnError,
    IgnoreRetired,
    StayWithTheOldFile,
    ForgetARefusal,
    IgnoreAFork;
}

const PLAN: power::Plan = power::Plan {
    images: Some(150),
    doubles: 1,
    triples: 0,
    samples: 30,
};

/// What noticed, and after how many cases.
fn caught() -> Option<(String, u64)> {
    let mut counts = Counts::default();
    let mut tries = |name: &str, suite: &mut dyn FnMut(&mut Counts) -> Result<(), String>| {
        let result = catch_unwind(AssertUnwindSafe(|| suite(&mut counts)));
        match result {
            Ok(Ok(())) => None,
            _ => Some((name.to_owned(), counts.cases())),
        }
    };
    for case in cases::all() {
        let name = format!("crash: {}", case.name);
        let found = tries(&name, &mut |counts| {
            case.run(1, PLAN, counts)?;
            match counts.came_back {
                0 => Ok(()),
                _ => Err("a lost change came about in a second power cut".into()),
            }
        });
        if found.is_some() {
            return found;
        }
    }
    if let Some(found) = tries("rot", &mut |_| rot_is_not_sealed_anew()) {
        return Some(found);
    }
    if let Some(found) = tries("failed append", &mut |_| a_failed_append_leaves_nothing()) {
        return Some(found);
    }
    for case in cases::to_fail() {
        let name = format!("faults: {}", case.name);
        let found = tries(&name, &mut |counts| {
            errors::every_call(&case, &errors::KINDS, 1, &mut errors::Sites::new(), counts)
        });
        if found.is_some() {
            return found;
        }
    }
    None
}

/// As [`caught`], for what shows in few images only.
fn caught_in_every_image() -> Option<(String, u64)> {
    let mut counts = Counts::default();
    let every = power::Plan {
        images: None,
        doubles: 0,
        ..PLAN
    };
    let case = cases::shared();
    let survived = catch_unwind(AssertUnwindSafe(|| case.run(1, every, &mut counts)));
    match survived {
        Ok(Ok(())) => None,
        _ => Some((format!("crash: {}, every image", case.name), counts.cases())),
    }
}

/// What was taken back is not there: nobody has anything to repair or to report.
fn a_failed_append_leaves_nothing() -> Result<(), String> {
    let sim = SimDisk::new(1);
    let open = || {
        let opened = SHARED.options(sim.disk()).open(PATH);
        opened.map_err(|error| error.to_string())
    };
    let store = open()?;
    sim.inject(Fault::new(FaultKind::Short(60)).on(Call::Write));
    sim.inject(Fault::new(FaultKind::Eio).on(Call::Write).nth(2));
    if store.insert("a", [1; 100]).is_ok() {
        return Err("it did not fail".into());
    }
    match open()?.recovery().is_clean() {
        true => Ok(()),
        false => Err("it is still there".into()),
    }
}

/// A record that rots is an error, before a compaction and after it.
fn rot_is_not_sealed_anew() -> Result<(), String> {
    let sim = SimDisk::new(1);
    let open = || {
        SHARED
            .options(sim.disk())
            .open(PATH)
            .map_err(|error| error.to_string())
    };
    let store = open()?;
    for key in ["a", "b", "c"] {
        store
            .insert(key, [7; 50])
            .map_err(|error| error.to_string())?;
    }
    drop(store);
    sim.flip_bit(PATH, 8192 + 104 + 80, 3)
        .map_err(|error| error.to_string())?;
    let store = open()?;
    let _ = store.compact();
    match store.get("b") {
        Err(error) if error.is_corrupt() => Ok(()),
        _ => Err("what rotted is read".into()),
    }
}

/// Does everything in a list wrong, one after the other, and tells what noticed.
fn notice(name: &str, sabotages: &[Sabotage], caught: impl Fn() -> Option<(String, u64)>) {
    CHOSEN.set(None);
    assert_eq!(caught(), None, "nothing is wrong yet");
    let mut unnoticed = Vec::new();
    for sabotage in sabotages {
        CHOSEN.set(Some(*sabotage));
        let found = caught();
        CHOSEN.set(None);
        match found {
            Some((by, cases)) => {
                let _ = writeln!(
                    std::io::stdout(),
                    "METRIC sabotage.{sabotage:?}.cases={cases} caught by {by}"
                );
            }
            None => unnoticed.push(sabotage),
        }
    }
    let _ = writeln!(
        std::io::stdout(),
        "METRIC sabotage.{name}={} caught={} seed=1",
        sabotages.len(),
        sabotages.len() - unnoticed.len()
    );
    assert!(unnoticed.is_empty(), "{unnoticed:?}");
}

/// Every other one, so that two tests run side by side.
fn every_other(first: usize) {
    let half: Vec<Sabotage> = ALONE.iter().copied().skip(first).step_by(2).collect();
    notice("alone", &half, || {
        caught().or_else(|| CHOSEN.get().and_then(|_| caught_in_every_image()))
    });
}

#[test]
fn every_sabotage_is_noticed_even() {
    every_other(0);
}

#[test]
fn every_sabotage_is_noticed_odd() {
    every_other(1);
}
