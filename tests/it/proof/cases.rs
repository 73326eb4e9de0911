//! Workloads whose power is cut.

use super::power::Case;
use super::workload::*;
use shelflife::sim::{Call, FailedSync, Fault, FaultKind};

fn by_one(script: Vec<Do>) -> Vec<(usize, Do)> {
    script.into_iter().map(|what| (0, what)).collect()
}

/// A store with a few entries, opened.
fn born() -> Vec<(usize, Do)> {
    by_one(vec![Do::Put(0, 20), Do::Put(1, 20), Do::Put(5, 50)])
}

fn writes() -> Vec<Do> {
    vec![
        Do::Put(1, 60),
        Do::Put(2, 9),
        Do::Put(1, 300),
        Do::Batch(vec![(3, Some(40)), (1, None), (4, Some(20))]),
        Do::Remove(2),
        Do::Update(3, 25),
        Do::Remove(9),
        Do::Put(2, 420),
        Do::Batch(vec![(1, Some(90)), (2, Some(200)), (6, Some(150))]),
        Do::Put(6, 10),
        Do::Close,
        Do::Put(7, 500),
        Do::Remove(6),
        Do::Put(8, 450),
        Do::Put(1, 480),
        Do::Batch(vec![(8, None), (4, Some(300)), (5, Some(160))]),
        Do::Put(4, 510),
        Do::Remove(7),
        Do::Put(5, 430),
    ]
}

fn unsynced() -> Vec<Do> {
    vec![
        Do::Put(1, 60),
        Do::Put(2, 9),
        Do::Put(1, 130),
        Do::Sync,
        Do::Batch(vec![(3, Some(40)), (1, None), (4, Some(20))]),
        Do::Remove(2),
        Do::Put(2, 30),
        Do::Close,
        Do::Put(6, 90),
        Do::Put(7, 10),
        Do::Sync,
        Do::Remove(7),
    ]
}

fn case(name: &'static str, mode: Mode, script: Vec<Do>) -> Case {
    Case {
        name,
        mode,
        before: born(),
        script: by_one(script),
        failures: 0,
        failed_sync: FailedSync::default(),
        keeps_evidence: false,
    }
}

/// Being created, with the first write.
pub(crate) fn creation() -> Case {
    Case {
        before: vec![],
        ..case("creation", SHARED, vec![Do::Put(1, 10)])
    }
}

pub(crate) fn shared() -> Case {
    case("shared", SHARED, writes())
}

pub(crate) fn exclusive() -> Case {
    case("exclusive", EXCLUSIVE, writes())
}

pub(crate) fn shared_os() -> Case {
    case("shared_os", SHARED_OS, unsynced())
}

pub(crate) fn exclusive_os() -> Case {
    case("exclusive_os", EXCLUSIVE_OS, unsynced())
}

/// Records of some sectors each, few of them known to be on disk.
pub(crate) fn long_os() -> Case {
    let script = vec![
        Do::Put(1, 700),
        Do::Put(2, 90),
        Do::Batch(vec![(3, Some(600)), (1, None), (4, Some(90))]),
        Do::Sync,
        Do::Put(2, 1_300),
        Do::Remove(3),
        Do::Clear,
        Do::Put(5, 500),
    ];
    case("long_os", SHARED_OS, script)
}

/// Removed, compacted away, and reopened, in several orders.
pub(crate) fn compaction() -> Case {
    let script = vec![
        Do::Put(2, 40),
        Do::Remove(1),
        Do::Compact,
        Do::Put(3, 30),
        Do::Remove(0),
        Do::Close,
        Do::Compact,
        Do::Put(1, 12),
        Do::Compact,
        Do::Compact,
        Do::Remove(1),
    ];
    case("compaction", SHARED, script)
}

pub(crate) fn exclusive_compaction() -> Case {
    let script = vec![
        Do::Remove(1),
        Do::Compact,
        Do::Batch(vec![(1, Some(30)), (0, None)]),
        Do::Compact,
        Do::Reopen,
        Do::Remove(1),
        Do::Put(8, 10),
    ];
    case("exclusive_compaction", EXCLUSIVE, script)
}

/// Compaction when not all of the old file is on disk.
pub(crate) fn compaction_os() -> Case {
    let script = vec![
        Do::Put(2, 40),
        Do::Remove(1),
        Do::Compact,
        Do::Put(3, 30),
        Do::Sync,
        Do::Remove(3),
        Do::Compact,
        Do::Sync,
    ];
    case("compaction_os", SHARED_OS, script)
}

pub(crate) fn clearing() -> Case {
    let script = vec![
        Do::Put(2, 40),
        Do::Clear,
        Do::Put(1, 30),
        Do::Clear,
        Do::Compact,
        Do::Put(0, 9),
        Do::Truncate,
        Do::Put(3, 9),
        Do::Truncate,
        Do::Put(0, 9),
    ];
    case("clearing", SHARED, script)
}

/// Entries that expire, and are dropped when they have long been expired.
pub(crate) fn expiry() -> Case {
    let script = vec![
        Do::PutUntil(2, 40, 10),
        Do::PutUntil(1, 30, 200_000),
        Do::Advance(20),
        Do::Remove(2),
        Do::PutUntil(3, 9, 5),
        Do::Put(3, 9),
        Do::PutUntil(4, 60, 5),
        Do::Advance(100_000),
        Do::Compact,
        Do::Put(4, 12),
        Do::Close,
        Do::Compact,
    ];
    case("expiry", SHARED, script)
}

/// Two processes write, one of them compacts.
pub(crate) fn two_processes() -> Case {
    let script = vec![
        (0, Do::Put(1, 40)),
        (1, Do::Put(2, 30)),
        (1, Do::Remove(0)),
        (0, Do::Compact),
        (1, Do::Put(3, 20)),
        (0, Do::Update(3, 25)),
        (1, Do::Batch(vec![(3, None), (4, Some(30))])),
        (0, Do::Remove(4)),
        (1, Do::Close),
        (0, Do::Put(5, 20)),
        (1, Do::Compact),
        (0, Do::Kill),
        (0, Do::Remove(5)),
        (1, Do::Put(6, 20)),
    ];
    Case {
        script,
        ..case("two_processes", SHARED, vec![])
    }
}

/// The compactor dies before it has synced the directory; another process goes on with the new file.
pub(crate) fn killed_between_rename_and_directory_sync() -> Case {
    let script = vec![
        (1, Do::Look),
        (0, Do::Remove(1)),
        (
            0,
            Do::Inject(vec![Fault::new(FaultKind::Kill).on(Call::SyncDir)]),
        ),
        (0, Do::Compact),
        (1, Do::Put(2, 30)),
        (1, Do::Put(2, 31)),
        (0, Do::Kill),
        (0, Do::Put(3, 20)),
    ];
    Case {
        script,
        failures: 1,
        ..case("killed_between_rename_and_directory_sync", SHARED, vec![])
    }
}

/// A process is killed at one call after the other of its writes; another goes on.
pub(crate) fn killed() -> Case {
    let mut script = vec![(1, Do::Look)];
    let calls = [
        (Do::Put(1, 40), Call::Write),
        (Do::Put(2, 40), Call::Sync),
        (Do::Batch(vec![(1, None), (3, Some(20))]), Call::Sync),
        (Do::Compact, Call::Write),
        (Do::Compact, Call::Sync),
        (Do::Compact, Call::Rename),
    ];
    for (nth, (what, call)) in calls.into_iter().enumerate() {
        script.push((0, Do::Inject(vec![Fault::new(FaultKind::Kill).on(call)])));
        script.push((0, what));
        script.push((1, Do::Put(4, 10 + nth)));
        script.push((0, Do::Kill));
    }
    Case {
        script,
        failures: 6,
        ..case("killed", SHARED, vec![])
    }
}

/// Appends fail half way, and are taken back.
pub(crate) fn failed_appends() -> Case {
    let half = |bytes| {
        Do::Inject(vec![
            Fault::new(FaultKind::Short(bytes)).on(Call::Write),
            Fault::new(FaultKind::Enospc).on(Call::Write).nth(2),
        ])
    };
    let script = vec![
        half(50),
        Do::Put(1, 60),
        Do::Look,
        Do::Put(2, 20),
        half(150),
        Do::Batch(vec![(3, Some(40)), (1, None), (4, Some(20))]),
        Do::Look,
        Do::Remove(2),
        // Even that fails to be taken back: the next write repairs it.
        Do::Inject(vec![
            Fault::new(FaultKind::Short(99)).on(Call::Write),
            Fault::new(FaultKind::Enospc).on(Call::Write).nth(2),
            Fault::new(FaultKind::Eio).on(Call::SetLen),
        ]),
        Do::Put(3, 200),
        Do::Put(4, 9),
        Do::Reopen,
        Do::Put(4, 30),
        // Too little for a record to come of.
        half(30),
        Do::Put(2, 40),
        Do::Put(3, 25),
    ];
    Case {
        failures: 4,
        ..case("failed_appends", SHARED, script)
    }
}

/// A batch that was all but written, and taken back, stands behind what is written next, with the records' very limits.
pub(crate) fn stale() -> Case {
    let script = vec![
        Do::Inject(vec![
            Fault::new(FaultKind::OneShort).on(Call::Write),
            Fault::new(FaultKind::Eio).on(Call::Write).nth(2),
        ]),
        // 168, 96 and 112 bytes, the last of them padding.
        Do::Batch(vec![(1, Some(100)), (2, Some(20)), (3, Some(20))]),
        // 120 bytes: with the 48 that say that something was cut, it ends where the second record began.
        Do::Put(4, 68),
        Do::Put(5, 200),
    ];
    Case {
        failures: 1,
        ..case("stale", SHARED, script)
    }
}

/// Short workloads for which every sync is to be elided.
pub(crate) fn to_elide() -> Vec<Case> {
    let one = |name, mode, script| case(name, mode, script);
    // But for one byte, of padding, the record is there: zeros behind it would make it whole.
    let torn = vec![
        (
            0,
            Do::Inject(vec![
                Fault::new(FaultKind::OneShort).on(Call::Write),
                Fault::new(FaultKind::Kill).on(Call::Write).nth(2),
            ]),
        ),
        (0, Do::Put(1, 100)),
        (0, Do::Kill),
        (0, Do::Restore(0)),
        (0, Do::Settle),
    ];
    let repaired = |name, torn: Vec<(usize, Do)>| Case {
        before: [born(), torn].concat(),
        keeps_evidence: true,
        ..case(name, SHARED, vec![Do::Put(4, 200), Do::Sync])
    };
    vec![
        creation(),
        one(
            "put",
            SHARED,
            vec![
                Do::Put(1, 30),
                Do::Remove(0),
                Do::Batch(vec![(2, Some(9)), (1, None)]),
            ],
        ),
        one(
            "put_exclusive",
            EXCLUSIVE,
            vec![Do::Put(1, 30), Do::Remove(0)],
        ),
        one(
            "sync",
            SHARED_OS,
            vec![Do::Put(1, 30), Do::Sync, Do::Put(2, 30), Do::Close],
        ),
        one(
            "compact",
            SHARED,
            vec![Do::Remove(1), Do::Compact, Do::Put(1, 30)],
        ),
        one(
            "compact_os",
            SHARED_OS,
            vec![
                Do::Put(1, 30),
                Do::Sync,
                Do::Compact,
                Do::Put(2, 9),
                Do::Sync,
            ],
        ),
        one("truncate", SHARED, vec![Do::Truncate, Do::Put(1, 30)]),
        killed_between_rename_and_directory_sync(),
        failed_sync_exclusive(FailedSync::KeepClean),
        repaired("torn_tail", torn),
        repaired("torn_tail_with_records_behind", torn_with_records_behind()),
    ]
}

/// Of the records of a batch that was not acknowledged the first did not reach the disk, the last one did.
fn torn_with_records_behind() -> Vec<(usize, Do)> {
    vec![
        (
            0,
            Do::Inject(vec![Fault::new(FaultKind::Kill).on(Call::Sync)]),
        ),
        (0, Do::Batch(vec![(2, Some(20)), (3, Some(20))])),
        (0, Do::Kill),
        (0, Do::Restore(120)),
        (0, Do::Settle),
    ]
}

/// A sync fails under two processes; the file is left for a new one.
pub(crate) fn failed_sync(how: FailedSync) -> Case {
    let fail = || Do::Inject(vec![Fault::new(FaultKind::Eio).on(Call::Sync)]);
    let script = vec![
        (1, Do::Look),
        (0, Do::Put(1, 40)),
        (0, fail()),
        (0, Do::Put(2, 30)),
        (1, Do::Put(3, 20)),
        (0, Do::Put(4, 20)),
        (1, fail()),
        (1, Do::Batch(vec![(1, None), (5, Some(30))])),
        (1, Do::Reopen),
        (0, Do::Remove(3)),
        (1, Do::Put(3, 25)),
        (0, fail()),
        (0, Do::Remove(4)),
        (0, Do::Kill),
        (0, Do::Put(2, 15)),
    ];
    Case {
        script,
        failures: 3,
        failed_sync: how,
        ..case(
            match how {
                FailedSync::KeepClean => "failed_sync_kept",
                FailedSync::Revert => "failed_sync_reverted",
            },
            SHARED,
            vec![],
        )
    }
}

/// The same with one handle that has the file to itself.
pub(crate) fn failed_sync_exclusive(how: FailedSync) -> Case {
    let fail = || Do::Inject(vec![Fault::new(FaultKind::Eio).on(Call::Sync)]);
    let script = vec![
        Do::Put(1, 40),
        fail(),
        Do::Put(2, 30),
        Do::Put(3, 20),
        fail(),
        Do::Batch(vec![(1, None), (5, Some(30))]),
        Do::Reopen,
        Do::Remove(3),
        Do::Put(3, 25),
    ];
    Case {
        failures: 2,
        failed_sync: how,
        ..case(
            match how {
                FailedSync::KeepClean => "failed_sync_exclusive_kept",
                FailedSync::Revert => "failed_sync_exclusive_reverted",
            },
            EXCLUSIVE,
            script,
        )
    }
}

/// A handle is read anew, and closed, with something still to sync.
pub(crate) fn reopening(mode: Mode) -> Case {
    let script = vec![
        Do::Put(1, 40),
        Do::Reopen,
        Do::Close,
        Do::Remove(1),
        Do::Put(2, 30),
        Do::Sync,
        Do::Put(2, 31),
        Do::Reopen,
        Do::Put(3, 20),
        Do::Close,
        Do::Kill,
        Do::Put(4, 20),
    ];
    case(
        if mode.exclusive {
            "reopening_exclusive"
        } else {
            "reopening"
        },
        mode,
        script,
    )
}

/// A torn tail with records behind it, and one without, repaired by a second process.
pub(crate) fn repairs() -> Case {
    let torn = |bytes| {
        Do::Inject(vec![
            Fault::new(FaultKind::Short(bytes)).on(Call::Write),
            Fault::new(FaultKind::Kill).on(Call::Write).nth(2),
        ])
    };
    let script = vec![
        (1, Do::Look),
        (0, torn(20)),
        (0, Do::Put(1, 40)),
        (1, Do::Look),
        (1, Do::Put(2, 30)),
        (0, Do::Kill),
        (0, torn(80)),
        (0, Do::Batch(vec![(1, None), (3, Some(20)), (4, Some(20))])),
        (0, Do::Kill),
        (0, Do::Put(5, 20)),
        (1, Do::Put(6, 20)),
    ];
    Case {
        script,
        failures: 2,
        ..case("repairs", SHARED, vec![])
    }
}

/// Short workloads, whose every call is to fail.
pub(crate) fn to_fail() -> Vec<Case> {
    let torn = vec![
        (0, Do::Put(1, 20)),
        (
            0,
            Do::Inject(vec![
                Fault::new(FaultKind::Short(40)).on(Call::Write),
                Fault::new(FaultKind::Kill).on(Call::Write).nth(2),
            ]),
        ),
        (0, Do::Put(2, 40)),
    ];
    let after_a_kill = |name, mut before: Vec<(usize, Do)>| {
        before.push((0, Do::Kill));
        Case {
            before,
            ..case(name, SHARED, vec![Do::Put(3, 20), Do::Look, Do::Put(4, 20)])
        }
    };
    let condemned = vec![
        (0, Do::Put(1, 20)),
        (
            0,
            Do::Inject(vec![Fault::new(FaultKind::Eio).on(Call::Sync)]),
        ),
        (0, Do::Put(2, 40)),
    ];
    let left_behind = vec![
        (0, Do::Put(1, 20)),
        (
            0,
            Do::Inject(vec![Fault::new(FaultKind::Kill).on(Call::Rename)]),
        ),
        (0, Do::Compact),
    ];
    vec![
        creation(),
        case(
            "put",
            SHARED,
            vec![Do::Put(1, 30), Do::Remove(0), Do::Close],
        ),
        case(
            "put_exclusive",
            EXCLUSIVE,
            vec![Do::Put(1, 30), Do::Remove(0), Do::Close],
        ),
        case(
            "batch",
            SHARED,
            vec![
                Do::Batch(vec![(1, None), (2, Some(30)), (3, Some(9))]),
                Do::Look,
            ],
        ),
        case(
            "update_and_clear",
            SHARED,
            vec![Do::Update(1, 30), Do::Clear, Do::Update(1, 9)],
        ),
        case(
            "compact",
            SHARED,
            vec![Do::Remove(1), Do::Compact, Do::Put(1, 30)],
        ),
        case(
            "compact_exclusive",
            EXCLUSIVE,
            vec![Do::Remove(1), Do::Compact, Do::Put(1, 30)],
        ),
        case("truncate", SHARED, vec![Do::Truncate, Do::Put(1, 30)]),
        case(
            "sync",
            SHARED_OS,
            vec![Do::Put(1, 30), Do::Sync, Do::Put(2, 30), Do::Close],
        ),
        case(
            "sync_exclusive",
            EXCLUSIVE_OS,
            vec![Do::Put(1, 30), Do::Sync, Do::Put(2, 9), Do::Close],
        ),
        case(
            "reopen",
            SHARED,
            vec![Do::Put(1, 30), Do::Reopen, Do::Remove(1)],
        ),
        Case {
            script: vec![
                (1, Do::Look),
                (0, Do::Put(1, 30)),
                (1, Do::Remove(0)),
                (0, Do::Compact),
                (1, Do::Put(2, 9)),
                (0, Do::Look),
            ],
            ..case("two_processes", SHARED, vec![])
        },
        Case {
            before: torn,
            keeps_evidence: true,
            ..case(
                "torn_tail",
                SHARED,
                vec![Do::Kill, Do::Put(3, 20), Do::Look],
            )
        },
        Case {
            before: [vec![(0, Do::Put(1, 20))], torn_with_records_behind()].concat(),
            keeps_evidence: true,
            ..case(
                "torn_tail_with_records_behind",
                SHARED,
                vec![Do::Put(4, 20), Do::Look],
            )
        },
        after_a_kill("condemned", condemned),
        Case {
            script: by_one(vec![Do::Compact]),
            ..after_a_kill("left_behind", left_behind)
        },
    ]
}
