//! Reading all of a store that is long enough for a second thread to help.

use shelflife::{Durability, ErrorKind, Options, Store};
use std::collections::BTreeMap;
use std::os::unix::fs::FileExt;
use std::time::{Duration, SystemTime};

/// Over 4 MiB of them, below which one thread reads.
const KEYS: u64 = 20_000;

type Pairs = BTreeMap<Vec<u8>, Vec<u8>>;

fn key(nth: u64) -> Vec<u8> {
    format!("key {nth}").into_bytes()
}

fn value(nth: u64, version: u64) -> Vec<u8> {
    // Recognizable in the file, and of many lengths.
    let text = format!("value {nth} version {version}.");
    text.repeat(5 + (nth % 30) as usize).into_bytes()
}

/// A store with gaps where values were replaced or removed, with entries that have ended and a long one; and what it
/// holds.
fn filled(dir: &tempfile::TempDir) -> (Store, Pairs) {
    let mut options = Options::new();
    let options = options.durability(Durability::Os);
    let options = options.compaction(shelflife::Compaction::Manual);
    let store = options.open(dir.path().join("s.shelf")).unwrap();
    let mut pairs = Pairs::new();
    for nth in 0..KEYS {
        store.insert(key(nth), value(nth, 0)).unwrap();
        pairs.insert(key(nth), value(nth, 0));
    }
    for nth in (0..KEYS).filter(|nth| nth % 7 == 0 || nth / 1_000 == 3) {
        store.insert(key(nth), value(nth, 1)).unwrap();
        pairs.insert(key(nth), value(nth, 1));
    }
    for nth in (0..KEYS).step_by(11) {
        store.remove(key(nth)).unwrap();
        pairs.remove(&key(nth));
    }
    let past = SystemTime::now() - Duration::from_secs(60);
    for nth in (5..KEYS).step_by(13) {
        store.insert_until(key(nth), value(nth, 2), past).unwrap();
        pairs.remove(&key(nth));
    }
    let long = vec![7; 1 << 20];
    store.insert("long", &long).unwrap();
    pairs.insert(b"long".to_vec(), long);
    (store, pairs)
}

/// Asserts the entries that each way of reading all shows, and the number of errors that it tells.
fn assert_shows(store: &Store, pairs: &Pairs, damaged: usize) {
    let (mut shown, mut errors) = (Vec::new(), 0);
    for pair in store.iter() {
        match pair {
            Ok(pair) => shown.push(pair),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Corrupt);
                errors += 1;
            }
        }
    }
    assert_eq!(errors, damaged);
    let entries = store.entries().filter_map(Result::ok);
    let entries: Vec<_> = entries.map(|entry| entry.into_pair()).collect();
    assert!(shown == entries, "the same in the same order");

    let mut each = Vec::new();
    let told = store.for_each(|key, value| each.push((key.to_vec(), value.to_vec())));
    assert_eq!(told.is_err(), damaged > 0);
    assert!(each == shown, "the same in the same order");

    assert_eq!(shown.len(), pairs.len(), "each once");
    assert!(shown.into_iter().collect::<Pairs>() == *pairs);
}

#[test]
fn two_threads_show_each_entry_once_and_pass_by_only_what_is_damaged() {
    let dir = tempfile::tempdir().unwrap();
    let (store, mut pairs) = filled(&dir);
    assert_shows(&store, &pairs, 0);

    let path = dir.path().join("s.shelf");
    let bytes = std::fs::read(&path).unwrap();
    let file = std::fs::File::options().write(true).open(&path).unwrap();
    let damaged: Vec<u64> = (0..KEYS)
        .filter(|nth| nth % 1_234 == 17 || nth / 10 == 1_500)
        .filter(|nth| pairs.contains_key(&key(*nth)))
        .collect();
    for &nth in &damaged {
        let value = pairs.remove(&key(nth)).unwrap();
        // The last time that it was written.
        let at = bytes
            .windows(value.len())
            .rposition(|bytes| bytes == value)
            .unwrap();
        file.write_all_at(b"!", at as u64 + nth % 60).unwrap();
    }
    assert!(damaged.len() > 15);
    assert_shows(&store, &pairs, damaged.len());
    drop(store);
    assert_shows(&Store::open(&path).unwrap(), &pairs, damaged.len());
}

#[test]
fn what_two_threads_read_is_of_one_moment_whatever_is_written_meanwhile() {
    let dir = tempfile::tempdir().unwrap();
    let (store, pairs) = filled(&dir);
    let mut reading = store.iter();
    let mut shown = Pairs::new();
    let mut show = |pair: Option<shelflife::Result<(Vec<u8>, Vec<u8>)>>| {
        let (key, value) = pair.unwrap().unwrap();
        assert_eq!(shown.insert(key, value), None, "each once");
        shown.len()
    };
    // Far enough for the second thread to have begun.
    while show(reading.next()) < pairs.len() * 3 / 4 {}
    for nth in 0..KEYS {
        store.insert(key(nth), "later").unwrap();
    }
    store.compact().unwrap();
    store.clear().unwrap();
    while show(reading.next()) < pairs.len() {}
    assert!(reading.next().is_none());
    assert!(shown == pairs);
}
