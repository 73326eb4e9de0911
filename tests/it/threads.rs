//! Several threads on one handle and on several: nobody is stopped, nobody sees half of anything.

use crate::proof::together;
use crate::support::{Random, fast_dir, metric};
use shelflife::{Batch, Change, Compaction, Durability, Error, ErrorKind, Options, Store};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::*};
use std::time::{Duration, Instant};

fn relaxed() -> Options {
    let mut options = Options::new();
    // A loaded machine may stop a holder for long.
    options
        .durability(Durability::Os)
        .lock_timeout(Duration::from_secs(60));
    options
}

fn durable() -> Options {
    let mut options = relaxed();
    options.durability(Durability::Immediate);
    options
}

/// For handles that should find the lock free.
fn impatient() -> Options {
    let mut options = relaxed();
    options.lock_timeout(Duration::ZERO);
    options
}

/// Sets a flag when it is dropped, also by a panic, so that nobody waits for what will not come.
struct SetWhenDropped<'a>(&'a AtomicBool);

impl Drop for SetWhenDropped<'_> {
    fn drop(&mut self) {
        self.0.store(true, Release);
    }
}

const PAIRS: u64 = 20;
const WRITES: u64 = 4_000;

/// A version as a value whose every byte it decides, so that a mixture of two is noticed.
fn encode(version: u64) -> Vec<u8> {
    let mut value = version.to_le_bytes().to_vec();
    value.resize(8 + (version % 1_500) as usize, version as u8);
    value
}

fn decode(value: &[u8]) -> u64 {
    let version = u64::from_le_bytes(*value.first_chunk().unwrap());
    assert_eq!(value, encode(version), "a mixture of two values");
    version
}

fn version(store: &Store, key: &str) -> u64 {
    store.get(key).unwrap().map_or(0, |value| decode(&value))
}

/// Writes both keys of its pairs together, with versions that only grow.
fn write_pairs(store: &Store, who: u64, acknowledged: &[AtomicU64]) {
    let mut random = Random::new(who);
    for version in 1..=WRITES {
        let pair = random.below(PAIRS);
        let mut batch = Batch::new();
        batch
            .insert(format!("a {who} {pair}"), encode(version))
            .insert(format!("b {who} {pair}"), encode(version));
        store.write(&batch).unwrap();
        acknowledged[pair as usize].store(version, Release);
    }
}

/// Reads single keys: no version is older than what was acknowledged before the call, or than the one before.
fn read_pairs(store: &Store, who: u64, acknowledged: &[AtomicU64], over: &AtomicBool) -> u64 {
    let mut random = Random::new(100 + who);
    let mut reads = 0;
    while !over.load(Acquire) {
        let pair = random.below(PAIRS);
        let at_least = acknowledged[pair as usize].load(Acquire);
        let first = version(store, &format!("a {who} {pair}"));
        let second = version(store, &format!("b {who} {pair}"));
        let third = version(store, &format!("a {who} {pair}"));
        assert!(first >= at_least, "{first} after {at_least} was there");
        assert!(second >= first, "half of a batch: {second} after {first}");
        assert!(third >= second, "half of a batch: {third} after {second}");
        reads += 3;
    }
    reads
}

/// Takes snapshots: both keys of each pair are of one version.
fn iterate_pairs(store: &Store, over: &AtomicBool) -> u64 {
    let mut snapshots = 0;
    while !over.load(Acquire) {
        let mut pairs = std::collections::BTreeMap::new();
        for entry in store {
            let (key, value) = entry.unwrap();
            let name = String::from_utf8(key).unwrap();
            let pair = pairs.entry(name[1..].to_string()).or_insert((0, 0));
            match &name[..1] {
                "a" => pair.0 = decode(&value),
                _ => pair.1 = decode(&value),
            }
        }
        for (pair, (a, b)) in pairs {
            assert_eq!(a, b, "half of a batch in a snapshot of{pair}");
        }
        snapshots += 1;
    }
    snapshots
}

fn everybody_at_once(name: &str, stores: &[&Store], path: &Path) {
    let start = Instant::now();
    let acknowledged: [[AtomicU64; PAIRS as usize]; 2] = Default::default();
    let over = AtomicBool::new(false);
    let (mut reads, mut snapshots, mut compactions) = (0, 0, 0);
    let store = |nth: usize| stores[nth % stores.len()];
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..2)
            .map(|who| {
                let (store, acknowledged) = (store(who), &acknowledged[who]);
                scope.spawn(move || write_pairs(store, who as u64, acknowledged))
            })
            .collect();
        let readers: Vec<_> = (0..3)
            .map(|nth| {
                let (store, who, over) = (store(nth + 1), nth % 2, &over);
                let acknowledged = &acknowledged[who];
                scope.spawn(move || read_pairs(store, who as u64, acknowledged, over))
            })
            .collect();
        let iterator = scope.spawn(|| iterate_pairs(store(1), &over));
        let compactor = scope.spawn(|| {
            let mut compactions = 0;
            while !over.load(Acquire) {
                match store(0).compact() {
                    Ok(_) => compactions += 1,
                    Err(error) => assert!(error.is_busy(), "{error}"),
                }
            }
            compactions
        });
        let end = SetWhenDropped(&over);
        for writer in writers {
            writer.join().unwrap();
        }
        drop(end);
        reads = readers
            .into_iter()
            .map(|reader| reader.join().unwrap())
            .sum();
        snapshots = iterator.join().unwrap();
        compactions = compactor.join().unwrap();
    });
    // Everybody sees the same in the end, and so does who opens it anew.
    let reader = Options::new().read_only(true).open(path).unwrap();
    for store in stores.iter().copied().chain([&reader]) {
        for (who, acknowledged) in acknowledged.iter().enumerate() {
            for (pair, last) in acknowledged.iter().enumerate() {
                for half in ["a", "b"] {
                    let key = format!("{half} {who} {pair}");
                    assert_eq!(version(store, &key), last.load(Acquire), "{key}");
                }
            }
        }
        assert!(store.recovery().is_clean(), "{:?}", store.recovery());
    }
    let secs = start.elapsed().as_secs_f64();
    let figures = [
        ("reads", reads),
        ("snapshots", snapshots),
        ("compactions", compactions),
    ];
    for (what, count) in figures {
        metric(&format!("{name}_{what}"), count, None, secs);
        assert!(count > 0, "no {what} took part");
    }
}

#[test]
fn threads_on_one_shared_handle_see_whole_batches_that_never_go_back() {
    let dir = fast_dir();
    let path = dir.path().join("s.shelf");
    let store = relaxed().open(&path).unwrap();
    everybody_at_once("shared_handle", &[&store], &path);
}

#[test]
fn threads_on_two_handles_see_whole_batches_that_never_go_back() {
    let dir = fast_dir();
    let path = dir.path().join("s.shelf");
    let stores = [
        relaxed().open(&path).unwrap(),
        relaxed().open(&path).unwrap(),
    ];
    everybody_at_once("two_handles", &[&stores[0], &stores[1]], &path);
}

#[test]
fn threads_on_an_exclusive_handle_see_whole_batches_that_never_go_back() {
    let dir = fast_dir();
    let path = dir.path().join("s.shelf");
    let store = relaxed().exclusive(true).open(&path).unwrap();
    everybody_at_once("exclusive_handle", &[&store], &path);
}

#[test]
fn a_large_batch_is_never_seen_in_part() {
    let start = Instant::now();
    let mut pairs = together::large_batches_of_an_exclusive_handle(40);
    for exclusive in [false, true] {
        let dir = fast_dir();
        let path = dir.path().join("s.shelf");
        let store = relaxed().exclusive(exclusive).open(path).unwrap();
        pairs += together::large_batches(&store, 40);
    }
    let secs = start.elapsed().as_secs_f64();
    metric("large_batches_pairs", pairs, None, secs);
    assert!(pairs > 0);
}

#[test]
fn counters_are_of_one_moment_while_large_batches_are_applied() {
    let mut counted = together::counted_batches_of_an_exclusive_handle(100);
    for exclusive in [false, true] {
        let dir = fast_dir();
        let mut options = relaxed();
        options.exclusive(exclusive).compaction(Compaction::Manual);
        let store = options.open(dir.path().join("s.shelf")).unwrap();
        counted += together::counted_batches(&store, 100);
    }
    assert!(counted > 0);
}

#[test]
fn opening_beside_a_writer_finds_nothing_wrong() {
    let dir = fast_dir();
    let path = dir.path().join("s.shelf");
    let store = relaxed().open(&path).unwrap();
    let (over, writes) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        let _end = SetWhenDropped(&over);
        scope.spawn(|| {
            let mut random = Random::new(1);
            while !over.load(Acquire) {
                let value = vec![7; random.below(30_000) as usize];
                store.insert([random.below(10) as u8], value).unwrap();
                writes.fetch_add(1, Release);
            }
        });
        for nth in 0..60 {
            let writer = relaxed().open(&path).unwrap();
            assert!(
                writer.recovery().is_clean(),
                "{nth}: {:?}",
                writer.recovery()
            );
            // A reader without the lock may see a write under way, but not when that is over.
            let reader = relaxed().read_only(true).open(&path).unwrap();
            for torn in reader.recovery().torn_tails {
                let before = writes.load(Acquire);
                while writes.load(Acquire) < before + 2 {
                    std::thread::yield_now();
                }
                let now = reader.recovery().torn_tails;
                assert!(
                    now.iter().all(|now| now.offset > torn.offset),
                    "{nth}: {torn:?}, {now:?}"
                );
            }
        }
    });
}

/// The names in the folder of a store.
fn names(path: &Path) -> Vec<std::ffi::OsString> {
    let entries = std::fs::read_dir(path.parent().unwrap()).unwrap();
    entries.map(|entry| entry.unwrap().file_name()).collect()
}

#[test]
fn closing_stops_the_compaction_it_started_and_frees_the_lock_at_once() {
    let dir = fast_dir();
    let path = dir.path().join("s.shelf");
    let mut options = relaxed();
    options.compaction(Compaction::Thread).exclusive(true);
    let mut expected = 0;
    for round in 0..15u64 {
        let store = options.open(&path).unwrap();
        // An iterator may stay, and keeps the file open.
        let iter = store.iter();
        assert_eq!(iter.size_hint().1, Some(expected));
        // Half of it is dead, so that a compaction is under way at some point.
        for nth in 0..300u64 {
            store
                .insert((nth % 100).to_le_bytes(), vec![round as u8; 9_000])
                .unwrap();
        }
        expected = 100;
        if round % 2 == 0 {
            drop(store);
        } else {
            store.close().unwrap();
        }
        assert_eq!(
            names(&path),
            ["s.shelf"],
            "round {round}: it left something"
        );
        let before = std::fs::read(&path).unwrap();
        let reader = Options::new().read_only(true).open(&path).unwrap();
        assert_eq!(reader.len().unwrap(), 100);
        assert_eq!(
            iter.map(Result::unwrap).count(),
            if round == 0 { 0 } else { 100 }
        );
        assert!(
            std::fs::read(&path).unwrap() == before,
            "round {round}: it went on writing"
        );
    }
}

#[test]
fn an_iterator_survives_any_number_of_switches() {
    for exclusive in [false, true] {
        let dir = fast_dir();
        let path = dir.path().join("s.shelf");
        let store = relaxed().exclusive(exclusive).open(&path).unwrap();
        let pairs: Vec<_> = (0..2_000u64)
            .map(|nth| (nth.to_le_bytes().to_vec(), vec![nth as u8; 500]))
            .collect();
        for (key, value) in &pairs {
            store.insert(key, value).unwrap();
        }
        let mut iter = store.iter();
        let mut seen = Vec::new();
        for round in 0..4u64 {
            seen.extend(iter.by_ref().take(400).map(Result::unwrap));
            for nth in 0..1_000u64 {
                store.insert(nth.to_le_bytes(), b"later").unwrap();
            }
            store.remove((1_999 - round).to_le_bytes()).unwrap();
            store.compact().unwrap();
        }
        store.clear().unwrap();
        store.compact().unwrap();
        store.close().unwrap();
        std::fs::remove_file(&path).unwrap();
        seen.extend(iter.map(Result::unwrap));
        assert!(seen == pairs, "{} entries", seen.len());
    }
}

#[test]
fn who_sleeps_through_three_switches_goes_on_with_the_last_file() {
    for exclusive in [false, true] {
        let dir = fast_dir();
        let path = dir.path().join("s.shelf");
        let store = relaxed().exclusive(exclusive).open(&path).unwrap();
        store.insert("k", "0").unwrap();
        let sleepers = || {
            let mut readers: Vec<_> = (0..4)
                .map(|_| relaxed().read_only(true).open(&path).unwrap())
                .collect();
            if !exclusive {
                readers.extend([
                    relaxed().open(&path).unwrap(),
                    durable().open(&path).unwrap(),
                ]);
            }
            readers
        };
        let asleep = sleepers();
        for round in 1..=3u8 {
            store.insert("k", [round]).unwrap();
            store.insert([round], "since").unwrap();
            store.compact().unwrap();
        }
        store.remove([1]).unwrap();
        // Each wakes up with another call.
        assert_eq!(asleep[0].get("k").unwrap(), Some(vec![3]));
        assert!(!asleep[1].contains_key([1]).unwrap());
        let keys: Vec<_> = asleep[2].iter().map(|pair| pair.unwrap().0).collect();
        assert_eq!(keys, [vec![2], b"k".to_vec(), vec![3]]);
        assert_eq!(asleep[3].stats().unwrap().generation, 4);
        for (nth, writer) in asleep.iter().enumerate().skip(4) {
            assert!(!writer.insert("k", [nth as u8]).unwrap());
            assert_eq!(store.get("k").unwrap(), Some(vec![nth as u8]));
        }
        assert!(asleep.iter().all(|one| one.recovery().is_clean()));
    }
}

/// Another handle finds the lock free, and this one works.
fn assert_usable(store: &Store, path: &Path, what: &str) {
    assert_eq!(
        store.get("k").unwrap().as_deref(),
        Some(&b"before"[..]),
        "{what}"
    );
    let other = impatient().open(path).unwrap();
    assert!(!other.insert("other", what).unwrap(), "{what}");
    assert!(!store.insert("own", what).unwrap(), "{what}");
    assert_eq!(other.get("own").unwrap().as_deref(), Some(what.as_bytes()));
}

#[test]
fn an_update_that_fails_panics_or_writes_leaves_the_store_usable_and_the_lock_free() {
    let dir = fast_dir();
    let path = dir.path().join("s.shelf");
    let store = relaxed().open(&path).unwrap();
    for key in ["k", "own", "other"] {
        store.insert(key, "before").unwrap();
    }
    let entries: Vec<_> = store.entries().map(Result::unwrap).collect();

    let failed = store.update("k", |_| Err::<(Change, ()), _>(Error::other("no")));
    assert_eq!(failed.unwrap_err().to_string(), "no");
    assert_usable(&store, &path, "an error");

    let panicked = catch_unwind(AssertUnwindSafe(|| {
        store.update("k", |_| -> shelflife::Result<(Change, ())> {
            panic!("in the closure")
        })
    }));
    assert!(panicked.is_err());
    assert_usable(&store, &path, "a panic");

    let too_large = |_: Option<&[u8]>| Ok((Change::Put(vec![0; 128 << 20]), ()));
    let error = store.update("k", too_large).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLarge);
    assert_usable(&store, &path, "a value that is too large");

    type Write<'a> = (&'a str, Box<dyn Fn() -> Result<(), Error> + 'a>);
    let mut batch = Batch::new();
    batch.insert("k", "re-entry");
    let writes: Vec<Write<'_>> = vec![
        (
            "insert",
            Box::new(|| store.insert("k", "re-entry").map(drop)),
        ),
        ("remove", Box::new(|| store.remove("k").map(drop))),
        ("write", Box::new(|| store.write(&batch))),
        (
            "update",
            Box::new(|| store.update("k", |_| Ok((Change::Remove, ())))),
        ),
        (
            "remove_unchanged",
            Box::new(|| store.remove_unchanged(&entries).map(drop)),
        ),
        ("clear", Box::new(|| store.clear())),
        ("sync", Box::new(|| store.sync())),
        ("compact", Box::new(|| store.compact().map(drop))),
        ("reopen", Box::new(|| store.reopen())),
    ];
    for (what, write) in &writes {
        let error = store
            .update("k", |_| Ok((Change::Keep, write().unwrap_err())))
            .unwrap();
        assert_eq!(error.kind(), ErrorKind::Reentrant, "{what}: {error}");
        assert_usable(&store, &path, what);
    }
    let reads = |old: Option<&[u8]>| {
        assert_eq!(store.get("k")?.as_deref(), old);
        assert!(store.contains_key("k")?);
        assert_eq!((store.len()?, store.iter().count()), (3, 3));
        assert!(store.recovery().is_clean() && store.stats()?.keys == 3);
        Ok((Change::Keep, ()))
    };
    store.update("k", reads).unwrap();
    assert_usable(&store, &path, "reads");
}

#[test]
fn a_compaction_that_waits_for_an_update_does_not_stop_that_update() {
    let dir = fast_dir();
    let path = dir.path().join("s.shelf");
    let store = relaxed().open(&path).unwrap();
    store.insert("k", "v").unwrap();
    let (inside, waits) = (AtomicBool::new(false), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let compactor = scope.spawn(|| {
            while !inside.load(Acquire) {
                std::thread::yield_now();
            }
            waits.store(true, Release);
            store.compact()
        });
        let change = |_: Option<&[u8]>| {
            inside.store(true, Release);
            while !waits.load(Acquire) {
                std::thread::yield_now();
            }
            let error = store.compact().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Reentrant);
            Ok((Change::Put(b"w".to_vec()), ()))
        };
        store.update("k", change).unwrap();
        compactor.join().unwrap().unwrap();
    });
    assert_eq!(store.get("k").unwrap().as_deref(), Some(&b"w"[..]));
}

#[test]
fn a_thread_that_waits_too_long_for_another_is_busy() {
    let dir = fast_dir();
    let path = dir.path().join("s.shelf");
    let mut options = relaxed();
    let store = options
        .lock_timeout(Duration::from_millis(10))
        .open(&path)
        .unwrap();
    let change = |_: Option<&[u8]>| {
        std::thread::scope(|scope| {
            let other = scope.spawn(|| store.insert("k", "v").unwrap_err());
            let error = other.join().unwrap();
            assert!(error.is_busy(), "{error}");
            let said = error.to_string();
            let waited = said
                .split("waited ")
                .nth(1)
                .and_then(|said| said.split(' ').next());
            let waited_ms: u64 = waited.unwrap().parse().unwrap();
            assert!(waited_ms >= 10, "{error}");
        });
        Ok((Change::Keep, ()))
    };
    store.update("k", change).unwrap();
    assert!(store.insert("k", "v").unwrap());
}

#[test]
fn an_answer_that_changed_nothing_is_as_durable_as_one_that_did() {
    for exclusive in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s.shelf");
        let durable = |store: &Store| store.stats().unwrap().unsynced_bytes == 0;
        let mut options = Options::new();
        options.exclusive(exclusive);
        let relaxed = relaxed().open(&path).unwrap();
        relaxed.insert("k", "v").unwrap();
        relaxed.remove("k").unwrap();
        assert!(!durable(&relaxed));
        if exclusive {
            // As a process that dies: nothing is synced or sealed.
            std::mem::forget(relaxed);
        }
        let store = options.open(&path).unwrap();
        assert!(!durable(&store));
        assert_eq!(store.get("k").unwrap(), None);
        assert!(!store.remove("k").unwrap());
        assert!(durable(&store), "exclusive: {exclusive}");
    }
}

#[test]
fn who_waits_to_have_the_file_alone_gets_the_one_that_has_the_name() {
    let dir = fast_dir();
    let path = dir.path().join("s.shelf");
    let mut options = relaxed();
    options.exclusive(true);
    for _ in 0..10 {
        let store = options.open(&path).unwrap();
        std::thread::scope(|scope| {
            let (options, path) = (&options, &path);
            let next = scope.spawn(move || options.open(path).unwrap());
            // Each frees the lock of a file that has lost its name.
            for round in 0..20u64 {
                store.insert("round", round.to_le_bytes()).unwrap();
                store.compact().unwrap();
                assert!(!next.is_finished(), "two have the file alone");
            }
            store.close().unwrap();
            let next = next.join().unwrap();
            assert_eq!(
                next.get("round").unwrap(),
                Some(19u64.to_le_bytes().to_vec())
            );
            next.insert("next", "is the only one").unwrap();
            next.remove("next").unwrap();
        });
    }
}

const LINE_BYTES: u64 = 1 << 20;

#[test]
fn writers_who_cross_the_line_together_compact_once() {
    let dir = fast_dir();
    let mut options = relaxed();
    options.compaction(Compaction::Inline);
    let store = options.open(dir.path().join("s.shelf")).unwrap();
    std::thread::scope(|scope| {
        for nth in 0..4u8 {
            let store = &store;
            scope.spawn(move || {
                for round in 0..2_000u64 {
                    store.insert([nth, round as u8 % 4], [nth; 2_000]).unwrap();
                }
            });
        }
    });
    let stats = store.stats().unwrap();
    let written_bytes = 4 * 2_000 * (2_048 + 8);
    let compactions = stats.generation - 1;
    assert!(compactions > 0);
    let between_bytes = LINE_BYTES - stats.live_bytes - (16 << 10);
    assert!(
        compactions <= written_bytes / between_bytes,
        "{compactions} compactions"
    );
}

#[test]
fn a_file_that_somebody_else_has_compacted_is_compacted_again_when_it_is_due() {
    let dir = fast_dir();
    let path = dir.path().join("s.shelf");
    let mut options = relaxed();
    let store = options.compaction(Compaction::Inline).open(&path).unwrap();
    let other = options.compaction(Compaction::Manual).open(&path).unwrap();
    let write = |bytes: u64| {
        let mut longest = 0;
        for nth in 0..bytes / 10_000 {
            store.insert([nth as u8 % 4], [7; 10_000]).unwrap();
            longest = longest.max(store.stats().unwrap().file_bytes);
        }
        longest
    };
    // Somebody else is at it, so this one backs off.
    let temp = dir.path().join("s.shelf.tmp-0123456789abcdef");
    let in_work = std::fs::File::create(&temp).unwrap();
    in_work.lock().unwrap();
    assert!(write(2 << 20) > LINE_BYTES + LINE_BYTES / 2);
    drop(in_work);
    other.compact().unwrap();
    let longest = write(4 << 20);
    let live_bytes = store.stats().unwrap().live_bytes;
    assert!(longest <= 2 * live_bytes + LINE_BYTES, "{longest} bytes");
}

#[test]
fn a_thread_of_the_handle_compacts_while_the_handle_stays_open() {
    let dir = fast_dir();
    let mut options = relaxed();
    let options = options.compaction(Compaction::Thread);
    let store = options.open(dir.path().join("s.shelf")).unwrap();
    for _ in 0..40 {
        store.insert("same", vec![7; 100_000]).unwrap();
    }
    let start = Instant::now();
    while store.stats().unwrap().generation == 1 {
        assert!(start.elapsed() < Duration::from_secs(60), "it does not");
        std::thread::yield_now();
    }
}

#[test]
fn a_handle_that_ends_gives_its_lock_back_though_an_iterator_keeps_the_file_open() {
    let dir = fast_dir();
    let mut options = impatient();
    let options = options.exclusive(true);
    let mut iters = Vec::new();
    for closes in [false, true, false] {
        let store = options.open(dir.path().join("s.shelf")).unwrap();
        store.insert("key", "value").unwrap();
        iters.push(store.iter());
        match closes {
            true => store.close().unwrap(),
            false => drop(store),
        }
    }
    assert!(iters.into_iter().all(|iter| iter.count() == 1));
}
