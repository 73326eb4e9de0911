//! A follower of the changes of a store is told each of them, or that some were missed.

use shelflife::sim::{Call, Fault, FaultKind, SimDisk, SimProcess};
use shelflife::{Batch, Changes, Compaction, Durability, Gap, Options, Seen, Store};

pub(super) const PATH: &str = "/s.shelf";

fn open(process: &SimProcess) -> Store {
    let mut options = Options::new();
    options
        .disk(process.disk())
        .durability(Durability::Os)
        .compaction(Compaction::Manual);
    options.open(PATH).unwrap()
}

/// Keys of the changes so far, each once where one is told twice in a row.
fn keys_of(changes: &mut Changes, failures: &mut usize) -> Vec<Vec<u8>> {
    let mut keys = Vec::new();
    loop {
        match changes.next() {
            Ok(Some(Seen::Event(event))) => keys.push(event.key().unwrap().to_vec()),
            Ok(Some(other)) => panic!("{other:?}"),
            Ok(None) => {
                keys.dedup();
                return keys;
            }
            Err(error) => {
                assert!(error.io_kind().is_some(), "{error}");
                *failures += 1;
                assert!(*failures < 2, "{error}");
            }
        }
    }
}

#[test]
fn a_read_that_fails_takes_no_change_along() {
    let mut failed = 0;
    for nth in 1.. {
        let sim = SimDisk::new(1);
        let (writer, reader) = (sim.process(), sim.process());
        let store = open(&writer);
        store.insert("first", "").unwrap();
        let watching = Options::new()
            .read_only(true)
            .disk(reader.disk())
            .open(PATH)
            .unwrap();
        let mut changes = watching.changes(watching.position().unwrap()).unwrap();
        let mut written = Vec::new();
        // More than is read ahead.
        for key in 0..30u8 {
            store.insert([key], [key; 10_000]).unwrap();
            written.push(vec![key]);
        }
        // The handle knows all records, so that its next reads are those of the changes.
        assert_eq!(watching.len().unwrap(), 31);
        let fault = Fault::new(FaultKind::Eio).on(Call::Read).by(reader.id());
        sim.inject(fault.nth(nth));
        let mut failures = 0;
        assert_eq!(keys_of(&mut changes, &mut failures), written, "read {nth}");
        if failures == 0 {
            break;
        }
        failed += failures;
    }
    assert!(failed > 3, "only {failed} reads");
}

#[test]
fn who_follows_is_told_that_what_no_log_tells_was_missed() {
    let load = |store: &Store| {
        let mut batch = Some(Batch::new());
        let next = || {
            Ok(batch.take().map(|mut batch| {
                batch.insert("new", "1");
                batch
            }))
        };
        store.load(next).unwrap();
    };
    let salvage = |store: &Store| drop(store.salvage_in_place().unwrap());
    let others: [&dyn Fn(&Store); 2] = [&load, &salvage];
    for (nth, other) in others.into_iter().enumerate() {
        let sim = SimDisk::new(1);
        let store = open(&sim.process());
        store.insert("old", "1").unwrap();
        let watching = open(&sim.process());
        let position = watching.position().unwrap();
        let mut changes = watching.changes(position).unwrap();
        store.compact().unwrap();
        let seen = changes.next().unwrap();
        assert!(matches!(seen, Some(Seen::Compacted)), "{nth}: {seen:?}");
        other(&store);
        store.insert("later", "1").unwrap();
        let seen = changes.next().unwrap();
        let is_told = matches!(seen, Some(Seen::Missed(Gap::Compacted)));
        assert!(is_told, "{nth}: {seen:?}");
        let mut again = watching.changes(position).unwrap();
        let seen = again.next().unwrap();
        assert!(matches!(seen, Some(Seen::Missed(_))), "{nth}: {seen:?}");
    }
}

#[test]
fn a_position_before_a_record_that_does_not_verify_is_still_the_stores() {
    let sim = SimDisk::new(1);
    let store = open(&sim.process());
    store.insert("before", "").unwrap();
    let position = store.position().unwrap();
    store.insert("damaged", "value").unwrap();
    store.insert("after", "").unwrap();
    store.close().unwrap();
    sim.flip_bit(PATH, position.offset() + 48, 0).unwrap();
    let store = open(&sim.process());
    let mut changes = store.changes(position).unwrap();
    let error = changes.next();
    assert!(
        matches!(&error, Err(error) if error.is_corrupt()),
        "{error:?}"
    );
    let mut failures = 0;
    assert_eq!(keys_of(&mut changes, &mut failures), [b"after"]);
}

#[test]
fn who_follows_a_file_that_held_nothing_is_told_of_all_that_came_since() {
    let sim = SimDisk::new(1);
    sim.write(PATH, "").unwrap();
    let mut reading = Options::new();
    reading.read_only(true).disk(sim.disk());
    let watching = reading.open(PATH).unwrap();
    let position = watching.position().unwrap();
    let mut changes = watching.changes(position).unwrap();
    let store = open(&sim.process());
    store.insert("first", "").unwrap();
    store.compact().unwrap();
    store.insert("second", "").unwrap();
    assert!(matches!(changes.next(), Ok(Some(Seen::Compacted))));
    for mut changes in [
        changes,
        reading.open(PATH).unwrap().changes(position).unwrap(),
    ] {
        assert_eq!(keys_of(&mut changes, &mut 0), [&b"first"[..], b"second"]);
    }
}
