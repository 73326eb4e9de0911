//! The log of a durable exclusive handle is written ahead with zeros: who else meets them, and what becomes of them.

use crate::proof::workload::{EXCLUSIVE, Mode, PATH, SHARED};
use shelflife::Store;
use shelflife::sim::{SimDisk, SimProcess};
use std::sync::Arc;

fn open(mode: Mode, process: &SimProcess) -> Store {
    mode.options(Arc::new(process.clone())).open(PATH).unwrap()
}

fn file_bytes(sim: &SimDisk) -> u64 {
    sim.read(PATH).unwrap().len() as u64
}

#[test]
fn a_log_is_written_ahead_while_it_is_open_and_ends_where_it_ends_once_it_is_closed() {
    let sim = SimDisk::new(1);
    let store = open(EXCLUSIVE, &sim.process());
    store.insert("a", "1").unwrap();
    let log_bytes = store.stats().unwrap().file_bytes;
    assert!(file_bytes(&sim) >= log_bytes + 4_000, "nothing is ahead");
    for number in 0..1_000u64 {
        store.insert(number.to_le_bytes(), [7; 300]).unwrap();
        let log_bytes = store.stats().unwrap().file_bytes;
        let ahead = file_bytes(&sim) - log_bytes;
        assert!(
            ahead <= (256 << 10) && ahead <= log_bytes,
            "{ahead} bytes ahead of {log_bytes}"
        );
    }
    store.close().unwrap();
    let store = open(SHARED, &sim.process());
    assert_eq!(file_bytes(&sim), store.stats().unwrap().file_bytes);
    assert_eq!(store.len().unwrap(), 1_001);
}

#[test]
fn a_reader_beside_sees_each_write_although_zeros_follow() {
    let sim = SimDisk::new(1);
    let store = open(EXCLUSIVE, &sim.process());
    store.insert("n", "none").unwrap();
    let reader = SHARED
        .options(sim.disk())
        .read_only(true)
        .open(PATH)
        .unwrap();
    for number in 0..300u32 {
        let value = vec![number as u8; (number * 37 % 2_000) as usize];
        match number % 7 {
            0 => drop(store.remove("n").unwrap()),
            _ => drop(store.insert("n", &value).unwrap()),
        }
        let expected = (number % 7 != 0).then_some(value);
        assert_eq!(reader.get("n").unwrap(), expected, "write {number}");
    }
    store.compact().unwrap();
    store.insert("n", "after the switch").unwrap();
    let seen = reader.get("n").unwrap();
    assert_eq!(seen.as_deref(), Some(&b"after the switch"[..]));
    assert!(reader.verify().unwrap().is_sound());
}

#[test]
fn zeros_that_a_killed_writer_left_are_cut_by_the_next_and_by_no_reader() {
    let sim = SimDisk::new(1);
    let killed = sim.process();
    let store = open(EXCLUSIVE, &killed);
    store.insert("a", "1").unwrap();
    sim.kill(killed.id());
    drop(store);
    let left = file_bytes(&sim);
    let next = open(SHARED, &sim.process());
    assert_eq!(next.get("a").unwrap().as_deref(), Some(&b"1"[..]));
    assert!(next.verify().unwrap().is_sound());
    assert_eq!(file_bytes(&sim), left, "reading cuts nothing");
    next.insert("b", "2").unwrap();
    assert_eq!(file_bytes(&sim), next.stats().unwrap().file_bytes);
    assert_eq!(next.len().unwrap(), 2);
}

#[test]
fn a_full_disk_takes_a_record_that_fits_though_nothing_fits_ahead_of_it() {
    let sim = SimDisk::new(1);
    let store = open(EXCLUSIVE, &sim.process());
    store.insert("a", "1").unwrap();
    // Room for one record more than what is written ahead already holds.
    let ahead = file_bytes(&sim) - store.stats().unwrap().file_bytes;
    sim.set_capacity(Some(sim.used_bytes() + 1_000));
    store.insert("b", vec![2; ahead as usize]).unwrap();
    let log_bytes = store.stats().unwrap().file_bytes;
    assert_eq!(file_bytes(&sim), log_bytes, "zeros take what is left");
    store.insert("c", vec![3; 500]).unwrap();
    assert_eq!(store.len().unwrap(), 3);
    drop(store);
    assert_eq!(open(SHARED, &sim.process()).len().unwrap(), 3);
}
