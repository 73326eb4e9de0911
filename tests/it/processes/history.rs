//! The answers that several processes with several threads each got can be explained by one call after the other.
//!
//! Everybody goes through the same keys at the same pace, a few calls on each, so that each key's history is short and
//! full of calls that overlap. In between they write what makes the file compact itself again and again. The clock is
//! the time of day, which all processes of a machine share; a run in which somebody set it is made once more.

use super::{Child, relaxed, tell, wait_for_parent};
use crate::proof::linearizability::{Answer, Call, Operation, is_linearizable};
use crate::support::{Random, fast_dir, is_soak, metric, setting};
use shelflife::{Change, Options, Store};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const PROCESSES: u64 = 4;
const THREADS: u64 = 4;
/// Calls of one thread on one key: all together at most 48.
const CALLS_A_KEY: u64 = 3;
const KEYS_AT_ONCE: u64 = 2;
const PACE: Duration = Duration::from_millis(2);
const RUN: Duration = Duration::from_secs(3);
const RUN_SOAK: Duration = Duration::from_secs(120);

fn now_ns() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    now.as_nanos() as u64
}

fn options() -> Options {
    let mut options = relaxed();
    // A loaded machine may stop a holder for long.
    options.lock_timeout(Duration::from_secs(60));
    options
}

/// A number as a value whose every byte it decides, so that a mixture of two is noticed.
fn encode(number: u64) -> Vec<u8> {
    let mut value = number.to_le_bytes().to_vec();
    value.resize(8 + (number % 600) as usize, number as u8);
    value
}

fn decode(value: &[u8]) -> u64 {
    let number = u64::from_le_bytes(*value.first_chunk().unwrap());
    assert_eq!(value, encode(number), "a mixture of two values");
    number
}

fn key_bytes(key: u64) -> Vec<u8> {
    format!("key {key}").into_bytes()
}

fn make(store: &Store, reader: &Store, key: u64, call: Call, through_reader: bool) -> Answer {
    let key = key_bytes(key);
    match call {
        Call::Get => {
            let store = if through_reader { reader } else { store };
            Answer::Value(store.get(key).unwrap().map(|value| decode(&value)))
        }
        Call::Insert(value) => Answer::Changed(store.insert(key, encode(value)).unwrap()),
        Call::Remove => Answer::Changed(store.remove(key).unwrap()),
        Call::Add(value) => {
            let add = |old: Option<&[u8]>| {
                let old = old.map(decode);
                let sum = old.unwrap_or(0) + value;
                Ok((Change::Put(encode(sum)), old))
            };
            Answer::Value(store.update(key, add).unwrap())
        }
    }
}

/// One thread: its calls with their keys.
fn call_at_pace(
    store: &Store,
    reader: &Store,
    seed: u64,
    start_ns: u64,
    end_ns: u64,
) -> Vec<(u64, Operation)> {
    let mut random = Random::new(seed);
    let mut noted = Vec::new();
    let mut group = u64::MAX;
    let mut left = Vec::new();
    loop {
        let now = now_ns();
        if now >= end_ns {
            return noted;
        }
        let due = now.saturating_sub(start_ns) / PACE.as_nanos() as u64;
        if due != group {
            group = due;
            left = (0..KEYS_AT_ONCE * CALLS_A_KEY)
                .map(|nth| group * KEYS_AT_ONCE + nth % KEYS_AT_ONCE)
                .collect();
        }
        let Some(key) = left.pop() else {
            let filler = format!("filler {}", random.below(100));
            store.insert(filler, encode(random.next())).unwrap();
            continue;
        };
        // Numbers that no two inserts share; sums of them stay apart as well.
        let number = random.next() >> 20;
        let call = match random.below(10) {
            0..=3 => Call::Get,
            4..=5 => Call::Insert(number),
            6 => Call::Remove,
            _ => Call::Add(number),
        };
        let through_reader = random.one_in(2);
        let invoked = now_ns();
        let answer = make(store, reader, key, call, through_reader);
        let operation = Operation {
            call,
            invoked,
            returned: now_ns(),
            answer: Some(answer),
        };
        noted.push((key, operation));
    }
}

/// The child: several threads on one handle, and a reader's; writes what they were answered to a file.
pub(super) fn call_and_note(path: &Path, args: &[u64]) {
    let &[seed, process, start_ns, end_ns] = args else {
        panic!("four arguments")
    };
    let store = options().open(path).unwrap();
    let reader = options().read_only(true).open(path).unwrap();
    tell("open");
    wait_for_parent();
    let (monotonic, wall_ns) = (Instant::now(), now_ns());
    let noted: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|nth| {
                let seed = Random::new(seed ^ (process * THREADS + nth) << 40).next();
                let (store, reader) = (&store, &reader);
                scope.spawn(move || call_at_pace(store, reader, seed, start_ns, end_ns))
            })
            .collect();
        let noted = threads
            .into_iter()
            .flat_map(|thread| thread.join().unwrap());
        noted.collect()
    });
    let elapsed_ns = now_ns().saturating_sub(wall_ns);
    let drift = (monotonic.elapsed().as_nanos() as u64).abs_diff(elapsed_ns);
    if drift > 20_000_000 {
        tell("the clock was set");
    }
    let mut bytes = Vec::new();
    for (key, operation) in noted {
        for word in words(key, &operation) {
            bytes.extend_from_slice(&word.to_le_bytes());
        }
    }
    fs::write(notes(path, process), bytes).unwrap();
    store.close().unwrap();
}

fn notes(path: &Path, process: u64) -> PathBuf {
    path.with_file_name(format!("notes {process}"))
}

fn words(key: u64, operation: &Operation) -> [u64; 7] {
    let (kind, value) = match operation.call {
        Call::Get => (0, 0),
        Call::Insert(value) => (1, value),
        Call::Remove => (2, 0),
        Call::Add(value) => (3, value),
    };
    let (some, given) = match operation.answer.unwrap() {
        Answer::Value(given) => (u64::from(given.is_some()), given.unwrap_or(0)),
        Answer::Changed(changed) => (2, u64::from(changed)),
    };
    let Operation {
        invoked, returned, ..
    } = *operation;
    [key, kind, value, invoked, returned, some, given]
}

fn operation([key, kind, value, invoked, returned, some, given]: [u64; 7]) -> (u64, Operation) {
    let call = [
        Call::Get,
        Call::Insert(value),
        Call::Remove,
        Call::Add(value),
    ][kind as usize];
    let answer = match some {
        0 => Answer::Value(None),
        1 => Answer::Value(Some(given)),
        _ => Answer::Changed(given == 1),
    };
    let operation = Operation {
        call,
        invoked,
        returned,
        answer: Some(answer),
    };
    (key, operation)
}

fn read_notes(path: &Path) -> Vec<(u64, Operation)> {
    let bytes = fs::read(path).unwrap();
    let words: Vec<u64> = bytes
        .as_chunks::<8>()
        .0
        .iter()
        .map(|word| u64::from_le_bytes(*word))
        .collect();
    let operations = words.as_chunks::<7>().0;
    operations.iter().map(|words| operation(*words)).collect()
}

/// Runs all processes; `None` if the clock was set meanwhile.
fn history(path: &Path, seed: u64, run: Duration) -> Option<BTreeMap<u64, Vec<Operation>>> {
    let start_ns = now_ns() + 300_000_000;
    let end_ns = start_ns + run.as_nanos() as u64;
    let mut children: Vec<_> = (0..PROCESSES)
        .map(|process| {
            let args = [seed, process, start_ns, end_ns];
            Child::start("call and note", path, &args)
        })
        .collect();
    children.iter_mut().for_each(|child| child.expect("open"));
    children.iter_mut().for_each(Child::go);
    let told: String = children.into_iter().map(Child::finish).collect();
    if !told.is_empty() {
        assert!(told.contains("the clock was set"), "{told}");
        return None;
    }
    let mut keys: BTreeMap<u64, Vec<Operation>> = BTreeMap::new();
    for process in 0..PROCESSES {
        for (key, operation) in read_notes(&notes(path, process)) {
            keys.entry(key).or_default().push(operation);
        }
    }
    Some(keys)
}

#[test]
fn what_processes_and_threads_are_answered_has_an_order() {
    let start = Instant::now();
    let seed = setting("SHELF_FUZZ_SEED").unwrap_or(1);
    let run = if is_soak() { RUN_SOAK } else { RUN };
    let (keys, switches) = loop {
        let dir = fast_dir();
        let path = dir.path().join("s.shelf");
        if let Some(keys) = history(&path, seed, run) {
            let store = Store::open(&path).unwrap();
            assert!(store.recovery().is_clean(), "{:?}", store.recovery());
            for (key, operations) in &keys {
                // As if somebody had looked once more when all was over.
                let left = store.get(key_bytes(*key)).unwrap();
                let last = Operation {
                    call: Call::Get,
                    invoked: u64::MAX,
                    returned: u64::MAX,
                    answer: Some(Answer::Value(left.map(|value| decode(&value)))),
                };
                let mut operations = operations.clone();
                operations.push(last);
                operations.sort_by_key(|operation| operation.invoked);
                assert!(
                    is_linearizable(None, &operations),
                    "no order explains key {key}, seed {seed}: {operations:#?}"
                );
            }
            break (keys, store.stats().unwrap().generation - 1);
        }
    };
    let secs = start.elapsed().as_secs_f64();
    let calls: usize = keys.values().map(Vec::len).sum();
    let overlapping = keys.values().map(|key| overlaps(key)).sum::<usize>();
    metric("linearizable_calls", calls, Some(seed), secs);
    metric("linearizable_keys", keys.len(), Some(seed), secs);
    metric("linearizable_overlaps", overlapping, Some(seed), secs);
    metric("linearizable_switches", switches, Some(seed), secs);
    assert!(switches > 0, "no compaction took part");
    assert!(overlapping > 0, "no two calls overlapped");
}

/// How many calls began while another one on the same key was under way.
fn overlaps(operations: &[Operation]) -> usize {
    let overlaps_one = |one: &&Operation| {
        let before =
            |other: &&Operation| other.invoked < one.invoked && one.invoked < other.returned;
        operations.iter().any(|other| before(&other))
    };
    operations.iter().filter(overlaps_one).count()
}
