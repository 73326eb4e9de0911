//! Entries that end, and clocks that read earlier than the creation of the store: those are wrong.

use super::*;
use shelflife::Shelf;
use std::time::{SystemTime, UNIX_EPOCH};

/// A process whose clock reads `wall`, beside a store that another process created.
fn beside_a_store(wall: SystemTime) -> (SimDisk, SimProcess) {
    let sim = SimDisk::new(1);
    options(sim.disk()).open(PATH).unwrap().close().unwrap();
    let process = sim.process();
    process.set_wall_clock(wall);
    (sim, process)
}

/// A device that boots in 1970, and one on which the store was created while its clock was a year ahead.
fn wrong_clocks() -> [SystemTime; 2] {
    let created = SimDisk::new(1).process().wall_clock();
    [UNIX_EPOCH + HOUR, created - 365 * DAY]
}

#[test]
fn by_a_clock_that_reads_earlier_than_the_creation_no_entry_ends_and_none_is_dropped() {
    for wall in wrong_clocks() {
        let (sim, process) = beside_a_store(wall);
        let store = options(Arc::new(process.clone())).open(PATH).unwrap();
        store.insert_until("a", "1", wall + HOUR).unwrap();
        for _ in 0..2 {
            assert_eq!(store.get("a").unwrap().as_deref(), Some(&b"1"[..]));
            assert!(store.contains_key("a").unwrap());
            assert_eq!(store.entries().count(), 1);
            let seen = store.update("a", |old| Ok((Change::Keep, old.is_some())));
            assert!(seen.unwrap());
            assert_eq!(store.stats().unwrap().past_bytes, 0);
            process.set_wall_clock(wall + 40 * HOUR);
            store.compact().unwrap();
        }
        // By a clock that is right it has ended long ago.
        let right = options(sim.disk()).open(PATH).unwrap();
        assert_eq!(right.get("a").unwrap(), None);
        assert_eq!(right.entries().count(), 0);
        assert_eq!(right.len().unwrap(), 1);
        right.compact().unwrap();
        assert_eq!(right.len().unwrap(), 0);
    }
}

#[test]
fn by_a_clock_that_reads_earlier_than_the_creation_a_queue_gives_what_has_an_end() {
    for wall in wrong_clocks() {
        let (sim, process) = beside_a_store(wall);
        let shelf = Shelf::from(options(Arc::new(process)).open(PATH).unwrap());
        shelf.insert_until("a", &1, wall + HOUR).unwrap();
        let right = Shelf::from(options(sim.disk()).open(PATH).unwrap());
        assert_eq!(right.pop_first::<i32>().unwrap(), None);
        assert_eq!(shelf.pop_first().unwrap(), Some(("a".to_string(), 1)));
    }
}
