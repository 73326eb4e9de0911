//! How many instructions an operation takes in user space: a figure that does not depend on the machine's mood.
//!
//! `cargo bench --bench instructions` runs itself under valgrind, twice for each operation with different counts, takes
//! the difference, and fails if an operation takes more than its limit. The limits are at most a fifth over what was
//! measured, so that nothing creeps.

use shelflife::{Batch, Change, Compaction, Durability, Options, Store};
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::{Duration, SystemTime};

/// An operation, how many instructions it may take, and how to do it `count` times.
type Operation = (&'static str, u64, fn(&Path, u64));

/// Keys of 32 bytes and values of 320, as a session has.
const VALUE: [u8; 320] = [7; 320];
const KEYS: u64 = 2_000;

const OPERATIONS: [Operation; 13] = [
    ("get, hit", 2_050, |path, count| {
        let store = filled(path, true, KEYS);
        (0..count).for_each(|nth| assert!(store.get(key(nth % KEYS)).unwrap().is_some()));
    }),
    ("get, hit, shared", 2_100, |path, count| {
        let store = filled(path, false, KEYS);
        (0..count).for_each(|nth| assert!(store.get(key(nth % KEYS)).unwrap().is_some()));
    }),
    ("get_into, hit", 1_700, |path, count| {
        let (store, mut value) = (filled(path, true, KEYS), Vec::new());
        (0..count).for_each(|nth| assert!(store.get_into(key(nth % KEYS), &mut value).unwrap()));
    }),
    ("get, miss", 635, |path, count| {
        let store = filled(path, true, KEYS);
        (0..count).for_each(|nth| assert!(store.get(key(KEYS + nth)).unwrap().is_none()));
    }),
    ("insert over an old value", 3_400, |path, count| {
        let store = filled(path, true, KEYS);
        (0..count).for_each(|nth| assert!(!store.insert(key(nth % KEYS), VALUE).unwrap()));
    }),
    ("insert, shared", 3_700, |path, count| {
        let store = filled(path, false, KEYS);
        (0..count).for_each(|nth| assert!(!store.insert(key(nth % KEYS), VALUE).unwrap()));
    }),
    // As an app has it: each write looks whether the file is to be rewritten.
    ("insert, compacting", 3_650, |path, count| {
        let store = compacting(path, None);
        (0..count).for_each(|nth| assert!(!store.insert(key(nth), VALUE).unwrap()));
    }),
    ("update", 4_900, |path, count| {
        let store = filled(path, true, KEYS);
        for nth in 0..count {
            let change = |old: Option<&[u8]>| Ok((Change::Put(old.unwrap().to_vec()), ()));
            store.update(key(nth % KEYS), change).unwrap();
        }
    }),
    ("insert_until, compacting", 4_100, |path, count| {
        let end = in_an_hour();
        let store = compacting(path, Some(end));
        (0..count).for_each(|nth| assert!(!store.insert_until(key(nth), VALUE, end).unwrap()));
    }),
    ("get, hit of what ends", 2_100, |path, count| {
        let store = compacting(path, Some(in_an_hour()));
        (0..count).for_each(|nth| assert!(store.get(key(nth)).unwrap().is_some()));
    }),
    ("insert, in batches", 2_850, |path, count| {
        drop(filled(path, true, count));
    }),
    ("iter, an entry", 1_900, |path, count| {
        let store = filled(path, true, KEYS);
        // Whole rounds: the difference of two counts is.
        for _ in 0..count / KEYS {
            assert_eq!(
                store.iter().filter(|entry| entry.is_ok()).count() as u64,
                KEYS
            );
        }
    }),
    ("open, a record", 2_050, |path, count| {
        drop(filled(path, true, KEYS));
        for _ in 0..count / KEYS {
            assert_eq!(Store::open(path).unwrap().len().unwrap() as u64, KEYS);
        }
    }),
];

fn key(nth: u64) -> [u8; 32] {
    // SplitMix64 (Steele, Lea, Flood, 2014), so that keys differ everywhere.
    let mut mixed = nth.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    let mut key = [0; 32];
    key.chunks_mut(8)
        .for_each(|part| part.copy_from_slice(&(mixed ^ (mixed >> 31)).to_le_bytes()));
    key
}

fn in_an_hour() -> SystemTime {
    SystemTime::now() + Duration::from_secs(3_600)
}

fn filled(path: &Path, exclusive: bool, keys: u64) -> Store {
    let mut options = Options::new();
    options.exclusive(exclusive).compaction(Compaction::Manual);
    fill(
        options.durability(Durability::Os).open(path).unwrap(),
        keys,
        None,
    )
}

/// A store of more than the 1 MiB below which nothing is compacted, and of so many keys that it isn't due meanwhile.
fn compacting(path: &Path, end: Option<SystemTime>) -> Store {
    let mut options = Options::new();
    options.exclusive(true).durability(Durability::Os);
    fill(options.open(path).unwrap(), 8 * KEYS, end)
}

/// With values that end then, or never.
fn fill(store: Store, keys: u64, end: Option<SystemTime>) -> Store {
    for first in (0..keys).step_by(1_000) {
        let mut batch = Batch::new();
        for nth in first..keys.min(first + 1_000) {
            match end {
                Some(end) => batch.insert_until(key(nth), VALUE, end),
                None => batch.insert(key(nth), VALUE),
            };
        }
        store.write(&batch).unwrap();
    }
    store
}

/// The instructions of a run of this program that does an operation so many times.
fn instructions(operation: usize, count: u64) -> Result<u64, String> {
    let dir = tempfile::tempdir().unwrap();
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(std::env::current_exe().unwrap())
        .args(["--do", &operation.to_string(), &count.to_string()])
        .arg(dir.path().join("s.shelf"))
        .output()
        .map_err(|error| format!("valgrind: {error}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    said.lines()
        .find_map(|line| line.split_once("Collected : ")?.1.trim().parse().ok())
        .filter(|_| output.status.success())
        .ok_or_else(|| format!("no count in what valgrind said: {said}"))
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, mode, operation, count, path] = &arguments[..]
        && mode == "--do"
    {
        let (_, _, run) = OPERATIONS[operation.parse::<usize>().unwrap()];
        run(Path::new(path), count.parse().unwrap());
        return ExitCode::SUCCESS;
    }
    if Command::new("valgrind").arg("--version").output().is_err() {
        println!("SKIP instructions: there is no valgrind here");
        return ExitCode::SUCCESS;
    }
    let mut within = true;
    for (nth, (name, limit, _)) in OPERATIONS.iter().enumerate() {
        let of = |count| instructions(nth, count);
        match of(2 * KEYS).and_then(|few| Ok((of(6 * KEYS)? - few) / (4 * KEYS))) {
            Ok(each) => {
                within &= each <= *limit;
                let verdict = if each <= *limit {
                    ""
                } else {
                    "  OVER ITS LIMIT"
                };
                println!("  {name:<28}{each:>8} instructions   limit{limit:>8}{verdict}");
            }
            Err(error) => {
                within = false;
                println!("  {name}: {error}");
            }
        }
    }
    if within {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
