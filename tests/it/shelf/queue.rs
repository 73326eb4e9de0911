//! A shelf as a queue.

use super::{folder, shelf};
use crate::raw;
use shelflife::sim::SimDisk;
use shelflife::{Compaction, Decode, Decoder, Durability, ErrorKind, Options, Result, Shelf};
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;
use std::time::Duration;

#[test]
fn the_oldest_is_popped_first_and_what_is_written_again_goes_to_the_end() {
    let (_dir, shelf) = shelf();
    shelf
        .extend([("a", 1u64), ("b", 2), ("c", 3), ("d", 4)])
        .unwrap();
    let pop = || shelf.pop_first::<u64>().unwrap();
    assert_eq!(pop(), Some(("a".to_string(), 1)));
    shelf.insert("b", &20u64).unwrap();
    shelf.remove("c").unwrap();
    shelf.insert("e", &5u64).unwrap();
    assert_eq!(pop(), Some(("d".to_string(), 4)));
    assert_eq!(pop(), Some(("b".to_string(), 20)));
    assert_eq!(pop(), Some(("e".to_string(), 5)));
    assert_eq!(pop(), None);
    shelf.insert("f", &6u64).unwrap();
    shelf.compact().unwrap();
    assert_eq!(pop(), Some(("f".to_string(), 6)));
    assert_eq!((pop(), shelf.len().unwrap()), (None, 0));
}

#[test]
fn a_value_of_another_type_stays_the_first_of_the_queue_until_it_is_removed() {
    let (_dir, shelf) = shelf();
    shelf.extend([("a", 1u64), ("b", 2)]).unwrap();
    assert_eq!(shelf.pop_first::<u64>().unwrap().unwrap().1, 1);
    shelf.insert("poison", "tea").unwrap();
    shelf.insert("c", &3u64).unwrap();
    assert_eq!(shelf.pop_first::<u64>().unwrap().unwrap().1, 2);
    for _ in 0..3 {
        let error = shelf.pop_first::<u64>().unwrap_err();
        assert_eq!(
            (error.kind(), error.key()),
            (ErrorKind::Decode, Some("poison"))
        );
    }
    shelf.remove("poison").unwrap();
    assert_eq!(shelf.pop_first::<u64>().unwrap().unwrap().1, 3);
}

#[test]
fn an_entry_at_which_its_type_panics_stays_the_first_of_the_queue() {
    struct Panics;
    impl Decode for Panics {
        fn decode(_: &mut Decoder<'_>) -> Result<Panics> {
            panic!("a fault of the type")
        }
    }
    let (_dir, shelf) = shelf();
    shelf.extend([("a", 1u64), ("b", 2)]).unwrap();
    for left in [1, 2] {
        let popped = catch_unwind(AssertUnwindSafe(|| shelf.pop_first::<Panics>()));
        assert!(popped.is_err());
        assert_eq!(shelf.pop_first::<u64>().unwrap().unwrap().1, left);
    }
    assert_eq!(shelf.pop_first::<u64>().unwrap(), None);
}

#[test]
fn an_entry_that_cannot_be_read_keeps_nobody_from_those_behind_it() {
    let sim = SimDisk::new(1);
    let open = || Shelf::from(Options::new().disk(sim.disk()).open("/queue").unwrap());
    let shelf = open();
    for n in 1..=3u64 {
        shelf.insert(&n.to_string(), &n).unwrap();
    }
    shelf.close().unwrap();
    // Of the first neither key nor value can be told.
    let first = raw::records(&sim.read("/queue").unwrap())[0].start;
    sim.flip_bit("/queue", (first + raw::HEAD) as u64, 0)
        .unwrap();
    let shelf = open();
    let pop = || shelf.pop_first::<u64>().map(|popped| popped.unwrap().1);
    assert_eq!((pop().unwrap(), pop().unwrap()), (2, 3));
    for n in 4..6 {
        assert_eq!(pop().unwrap_err().kind(), ErrorKind::Corrupt);
        shelf.insert("later", &n).unwrap();
        assert_eq!(pop().unwrap(), n);
    }
}

#[test]
fn an_entry_that_another_handle_popped_is_popped_by_no_other_that_found_it_before() {
    let (_dir, path) = folder();
    let (one, other) = (Shelf::open(&path).unwrap(), Shelf::open(&path).unwrap());
    one.extend([("a", 1u64), ("b", 2), ("c", 3), ("d", 4)])
        .unwrap();
    let pop = |shelf: &Shelf| shelf.pop_first::<u64>().unwrap().map(|(_, value)| value);
    // With its first call each handle finds all that is there, and only the other one removes `b` and `c`.
    assert_eq!(pop(&one), Some(1));
    assert_eq!((pop(&other), pop(&other)), (Some(2), Some(3)));
    assert_eq!((pop(&one), pop(&one), pop(&other)), (Some(4), None, None));
}

#[test]
fn each_entry_of_a_queue_is_popped_once_in_order_by_threads_and_handles() {
    const ENTRIES: usize = 400;
    let (_dir, path) = folder();
    let shelf = Shelf::from(
        Options::new()
            .durability(Durability::Os)
            .open(&path)
            .unwrap(),
    );
    shelf
        .extend((0..ENTRIES).map(|n| (n.to_string(), n)))
        .unwrap();
    let shelves: Vec<_> = (0..2)
        .map(|_| {
            Shelf::from(
                Options::new()
                    .durability(Durability::Os)
                    .open(&path)
                    .unwrap(),
            )
        })
        .collect();
    let popped: Vec<Vec<usize>> = thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|n| {
                let shelf = &shelves[n % 2];
                scope.spawn(move || {
                    let pop = || shelf.pop_first::<usize>().unwrap();
                    std::iter::from_fn(pop).map(|(_, value)| value).collect()
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    for one in &popped {
        assert!(
            one.is_sorted(),
            "a consumer got a younger entry first: {one:?}"
        );
    }
    let mut all = popped.concat();
    all.sort_unstable();
    assert_eq!(all, (0..ENTRIES).collect::<Vec<_>>());
}

#[test]
fn the_cost_of_a_pop_does_not_depend_on_the_length_of_the_queue() {
    let (dir, _) = folder();
    let read_bytes = |entries: usize, pops: usize| {
        let path = dir.path().join(entries.to_string());
        let mut options = Options::new();
        options
            .durability(Durability::Os)
            .compaction(Compaction::Manual)
            .exclusive(true);
        let shelf = Shelf::from(options.open(&path).unwrap());
        shelf
            .extend((0..entries).map(|n| (n.to_string(), [7u8; 64])))
            .unwrap();
        let began = std::time::Instant::now();
        for n in 0..pops {
            assert_eq!(
                shelf.pop_first::<Vec<u8>>().unwrap().unwrap().0,
                n.to_string()
            );
        }
        began.elapsed() / pops as u32
    };
    // Looking through all for each would make the longer one take two hundred times as long.
    let (short, long) = (read_bytes(100, 100), read_bytes(20_000, 20_000));
    assert!(
        long < short * 20,
        "{long:?} a pop of 20,000, {short:?} a pop of 100"
    );
}

#[test]
fn what_has_ended_is_popped_by_nobody_and_again_once_the_clock_is_set_right() {
    let sim = SimDisk::new(1);
    let shelf = Shelf::from(Options::new().disk(sim.disk()).open("/queue").unwrap());
    let start = sim.disk().wall_clock();
    let at = |hours: u64| start + Duration::from_secs(hours * 3600);
    let pop = || shelf.pop_first::<u64>().unwrap().map(|(_, value)| value);
    shelf.extend([("a", 1u64), ("b", 2)]).unwrap();
    shelf.insert_until("c", &3u64, at(1)).unwrap();
    shelf.insert("d", &4u64).unwrap();
    // All are found with the first call.
    assert_eq!(pop(), Some(1));
    sim.set_wall_clock(at(2));
    assert_eq!((pop(), pop(), pop()), (Some(2), Some(4), None));
    // It was passed by, and so is one that had ended when the entries were looked for.
    for again in [true, false] {
        sim.set_wall_clock(start);
        assert_eq!(shelf.get::<u64>("c").unwrap(), Some(3));
        if again {
            assert_eq!((pop(), pop()), (Some(3), None));
        }
        shelf.insert_until("c", &3u64, at(1)).unwrap();
        sim.set_wall_clock(at(2));
        assert_eq!((pop(), pop()), (None, None));
    }
    sim.set_wall_clock(start);
    assert_eq!((pop(), pop()), (Some(3), None));
}

#[test]
fn a_queue_that_was_found_empty_asks_for_no_lock_until_something_is_written() {
    let (_dir, path) = folder();
    let mut options = Options::new();
    let jobs = Shelf::from(options.lock_timeout(Duration::ZERO).open(&path).unwrap());
    let pop = || jobs.pop_first::<u64>().unwrap().map(|(_, value)| value);
    jobs.insert("a", &1u64).unwrap();
    assert_eq!((pop(), pop()), (Some(1), None));
    let writer = Shelf::open(&path).unwrap();
    let written = writer.update("b", |_: Option<u64>| {
        assert_eq!(pop(), None);
        Ok((Some(2), ()))
    });
    written.unwrap();
    assert_eq!((pop(), pop()), (Some(2), None));
}

/// Another thread's call would wait for that one.
#[test]
fn a_pop_while_another_is_under_way_does_not_find_the_queue_empty() {
    thread_local! {
        static QUEUE: RefCell<Option<Shelf>> = const { RefCell::new(None) };
    }
    fn pop<T: Decode>() -> Result<Option<(String, T)>> {
        QUEUE.with_borrow(|queue| queue.as_ref().unwrap().pop_first())
    }
    struct Pops;
    impl Decode for Pops {
        fn decode(from: &mut Decoder<'_>) -> Result<Pops> {
            let error = pop::<u64>().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Reentrant);
            u64::decode(from).map(|_| Pops)
        }
    }
    let (_dir, shelf) = shelf();
    shelf.extend([("a", 1u64), ("b", 2)]).unwrap();
    QUEUE.set(Some(shelf));
    assert_eq!(pop::<Pops>().unwrap().unwrap().0, "a");
    assert_eq!(pop::<u64>().unwrap().unwrap().1, 2);
}
