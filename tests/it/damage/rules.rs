//! The rules of the format for files that no writer and no crash makes, one crafted file each: a file that opens can be
//! read and written to, and no two ways of reading it disagree unless `verify` says so.

use super::*;
use shelflife::sim::{Call, Fault, FaultKind};

/// Where some fields of a record stand.
const FINGERPRINT: usize = 8;
const EPOCH: usize = 12;
const KIND: usize = 14;
const FLAGS: usize = 15;
const PREV: usize = 24;
const DURABLE: usize = 30;

const MORE: u8 = 1;
const CUT: u8 = 5;

/// A file with a record for each of these changes, none of them sealed as durable.
fn written(changes: &[(&str, Option<&str>)]) -> Vec<u8> {
    let sim = SimDisk::new(5);
    let store = open(&sim, |options| _ = options.durability(Durability::Os)).unwrap();
    for (key, value) in changes {
        match value {
            Some(value) => drop(store.insert(key, value).unwrap()),
            None => assert!(store.remove(key).unwrap()),
        }
    }
    let file = sim.read(PATH).unwrap();
    drop(store);
    file
}

/// Puts bytes into a field of the record at `at`, and makes its checks right.
fn set(file: &mut [u8], at: usize, field: usize, bytes: &[u8]) {
    file[at + field..at + field + bytes.len()].copy_from_slice(bytes);
    let seed = raw::seed(file);
    raw::seal_record(&mut file[at..], seed, at);
}

fn u48(offset: u64) -> [u8; 6] {
    std::array::from_fn(|nth| offset.to_le_bytes()[nth])
}

fn starts(file: &[u8]) -> Vec<usize> {
    raw::records(file)
        .iter()
        .map(|record| record.start)
        .collect()
}

/// A file that opens can be written to, and read after that.
fn takes_a_write(sim: &SimDisk) {
    open(sim, |_| {}).unwrap().insert("new", "value").unwrap();
    let store = open(sim, |_| {}).unwrap();
    assert_eq!(store.get("new").unwrap().as_deref(), Some(&b"value"[..]));
}

#[test]
fn a_key_that_is_said_to_be_new_and_is_not_has_one_value_the_last() {
    let mut file = written(&[("a", Some("old")), ("a", Some("new"))]);
    let at = starts(&file)[1];
    set(&mut file, at, PREV, &[0; 6]);
    let sim = with_file(&file);
    let store = open(&sim, |_| {}).unwrap();
    assert_eq!(store.get("a").unwrap().as_deref(), Some(&b"new"[..]));
    assert_eq!(store.iter().count(), 1);
    assert!(store.verify().unwrap().is_sound());
    assert!(store.remove("a").unwrap());
    drop(store);
    assert!(open(&sim, |_| {}).unwrap().is_empty().unwrap());
}

#[test]
fn a_record_that_calls_more_durable_than_what_stands_before_it_is_none() {
    let mut file = written(&[("a", Some("1")), ("b", Some("2")), ("c", Some("3"))]);
    let starts = starts(&file);
    for claim in [starts[2] as u64 + 8, 1 << 40] {
        let mut file = file.clone();
        set(&mut file, starts[2], DURABLE, &u48(claim));
        let sim = with_file(&file);
        let store = open(&sim, |_| {}).unwrap();
        assert_eq!(store.len().unwrap(), 2, "{claim}");
        let torn = store.recovery().torn_tails;
        assert_eq!(torn[0].offset, starts[2] as u64, "{claim}");
        takes_a_write(&sim);
    }
    // The last moment that a writer can know of.
    set(&mut file, starts[2], DURABLE, &u48(starts[2] as u64));
    assert_eq!(open(&with_file(&file), |_| {}).unwrap().len().unwrap(), 3);
}

#[test]
fn a_batch_part_of_which_was_called_durable_is_damaged_if_its_end_is_not_there() {
    let mut file = written(&[("a", Some("1")), ("b", Some("2")), ("c", Some("3"))]);
    let starts = starts(&file);
    set(&mut file, starts[1], FLAGS, &[MORE]);
    set(&mut file, starts[2], FLAGS, &[MORE]);
    // A batch that nobody called durable is torn.
    let sim = with_file(&file);
    assert_eq!(open(&sim, |_| {}).unwrap().len().unwrap(), 1);
    takes_a_write(&sim);
    set(&mut file, starts[2], DURABLE, &u48(starts[2] as u64));
    let sim = with_file(&file);
    let error = open(&sim, |_| {}).unwrap_err();
    assert!(error.is_corrupt(), "{error}");
    assert_eq!(sim.read(PATH).unwrap(), file);
    // For a handle that asks for a damaged file, the entries count that can be read.
    let store = open_damaged(&sim);
    assert_eq!(store.verify().unwrap().damage.len(), 1);
    assert_eq!(store.len().unwrap(), 3);
}

#[test]
fn no_cut_stands_within_a_batch() {
    let mut file = written(&[("a", Some("1")), ("b", Some("2")), ("c", Some("3"))]);
    let starts = starts(&file);
    set(&mut file, starts[1], FLAGS, &[MORE]);
    set(&mut file, starts[2], KIND, &[CUT]);
    set(&mut file, starts[2], EPOCH, &2u16.to_le_bytes());
    let sim = with_file(&file);
    let store = open(&sim, |_| {}).unwrap();
    assert_eq!(store.len().unwrap(), 1, "the batch is not complete");
    assert_eq!(store.recovery().torn_tails[0].offset, starts[1] as u64);
    drop(store);
    takes_a_write(&sim);

    // Where a batch begins with a cut, its records have the new epoch.
    let mut file = written(&[("a", Some("1")), ("b", Some("2")), ("c", Some("3"))]);
    for (at, kind) in [(starts[1], CUT), (starts[2], 1)] {
        set(&mut file, at, KIND, &[kind]);
        set(&mut file, at, EPOCH, &2u16.to_le_bytes());
    }
    set(&mut file, starts[1], FLAGS, &[MORE]);
    let sim = with_file(&file);
    let store = open(&sim, |_| {}).unwrap();
    assert!(store.recovery().is_clean());
    assert_eq!(store.get("c").unwrap().as_deref(), Some(&b"3"[..]));
    drop(store);
    takes_a_write(&sim);
}

#[test]
fn a_file_that_was_cut_as_often_as_an_epoch_counts_is_left_for_a_new_one() {
    let mut file = written(&[("a", Some("1")), ("b", Some("2"))]);
    let last = [0xff; 2];
    for copy in [0, LOG / 2] {
        file[copy + 10..copy + 12].copy_from_slice(&last);
        raw::seal_header(&mut file, copy);
    }
    for at in starts(&file) {
        set(&mut file, at, EPOCH, &last);
    }
    let torn = [file.clone(), vec![7; 100]].concat();
    let sim = with_file(&torn);
    takes_a_write(&sim);
    let store = open(&sim, |_| {}).unwrap();
    assert_eq!(
        (store.stats().unwrap().generation, store.len().unwrap()),
        (2, 3)
    );

    // As where an append fails half way, which a cut would take back.
    let sim = with_file(&file);
    let store = open(&sim, |_| {}).unwrap();
    sim.inject(Fault::new(FaultKind::Short(60)).on(Call::Write).nth(2));
    sim.inject(Fault::new(FaultKind::Eio).on(Call::Write).nth(3));
    store.insert("c", [3; 100]).unwrap_err();
    assert_eq!(sim.faults(), 2);
    store.insert("d", "4").unwrap();
    assert_eq!(
        (store.stats().unwrap().generation, store.len().unwrap()),
        (2, 3)
    );
    assert_eq!(store.get("c").unwrap(), None);
}

#[test]
fn a_clear_or_a_delete_whose_body_is_damaged_is_not_undone() {
    let sim = SimDisk::new(5);
    let store = open(&sim, |_| {}).unwrap();
    store.insert("a", "1").unwrap();
    store.insert("b", "2").unwrap();
    store.remove("b").unwrap();
    let deleted = sim.read(PATH).unwrap();
    store.clear().unwrap();
    store.insert("c", "3").unwrap();
    store.close().unwrap();
    let cleared = sim.read(PATH).unwrap();

    let mut file = cleared.clone();
    let starts = starts(&file);
    assert_eq!((file[starts[2] + KIND], file[starts[3] + KIND]), (2, 3));
    file[starts[3] + 4] ^= 1;
    let sim = with_file(&file);
    let store = open(&sim, |_| {}).unwrap();
    assert_eq!(entries(&store).len(), 1, "nothing comes back");
    assert_eq!(store.recovery().damage.len(), 1);

    let mut file = deleted;
    let next = file.len();
    file.extend_from_slice(&cleared[starts[4]..]);
    let seed = raw::seed(&file);
    // The record after the clear, put where the clear stood.
    set(&mut file, next, DURABLE, &u48(next as u64));
    raw::seal_record(&mut file[next..], seed, next);
    let end = next + raw::record_len(&file, next);
    file.truncate(end);
    file[starts[2] + raw::HEAD] ^= 1;
    let sim = with_file(&file);
    let store = open(&sim, |_| {}).unwrap();
    assert_eq!(
        store.get("b").unwrap(),
        None,
        "its key is not known, its place is"
    );
    assert_eq!(store.get("a").unwrap().as_deref(), Some(&b"1"[..]));
    assert_eq!(store.verify().unwrap().damage.len(), 1);
}

#[test]
fn verify_finds_what_stands_under_the_fingerprint_of_another_key() {
    for kind in [1, 2] {
        let last = if kind == 1 { Some("2") } else { None };
        let mut file = written(&[("a", Some("1")), ("a", last), ("b", Some("3"))]);
        let at = starts(&file)[1];
        set(&mut file, at, FINGERPRINT, &7u32.to_le_bytes());
        let sim = with_file(&file);
        let store = open(&sim, |_| {}).unwrap();
        let verified = store.verify().unwrap();
        assert!(!verified.is_sound());
        let [affected] = &verified.damage[..] else {
            panic!("{verified:?}")
        };
        assert_eq!(affected.damage.offset, at as u64);
        assert_eq!(affected.key(), Some(&b"a"[..]));
        // The list has the entries that can be read: it tells the record that nobody finds as an error.
        let listed: Vec<_> = store.iter().collect();
        let errors = listed.iter().filter(|item| item.is_err()).count();
        assert_eq!(errors, usize::from(kind == 1));
        for (key, value) in listed.into_iter().flatten() {
            assert_eq!(store.get(key).unwrap(), Some(value));
        }
    }
}

#[test]
fn verify_tells_damage_in_the_order_of_the_file_and_calls_nothing_uncertain_that_is_lost() {
    let sim = SimDisk::new(5);
    let store = open(&sim, |_| {}).unwrap();
    for key in ["a", "b", "c", "d", "e"] {
        store.insert(key, "1").unwrap();
    }
    store.close().unwrap();
    let mut file = sim.read(PATH).unwrap();
    let starts = starts(&file);
    file[starts[1] + raw::HEAD] ^= 1;
    set(&mut file, starts[2], FINGERPRINT, &7u32.to_le_bytes());
    file[starts[3]] ^= 1;
    let verified = open_damaged(&with_file(&file)).verify().unwrap();
    let damage = verified.damage.iter();
    let found: Vec<_> = damage.map(|affected| affected.damage.offset).collect();
    let expected: Vec<_> = starts[1..4].iter().map(|at| *at as u64).collect();
    assert_eq!(found, expected);
    // Of what stands before the head that can't be read, `a` is left; `e` stands behind it.
    assert_eq!((verified.live, verified.uncertain), (2, 1));
}

#[test]
fn a_copy_brings_up_nothing_that_stands_under_the_fingerprint_of_another_key() {
    let mut file = written(&[("a", Some("1")), ("a", Some("2")), ("b", Some("3"))]);
    let at = starts(&file)[1];
    set(&mut file, at, FINGERPRINT, &7u32.to_le_bytes());
    let sim = with_file(&file);
    let store = open(&sim, |_| {}).unwrap();
    let (salvaged, saved) = salvage(&sim, &store);
    assert_eq!((salvaged.lost.len(), saved.len()), (1, 2));
    assert_eq!(saved[&b"a"[..]], b"1");
    // However often it is copied, and by each of the ways.
    for _ in 0..3 {
        store.compact().unwrap();
        assert_eq!(store.get("a").unwrap().as_deref(), Some(&b"1"[..]));
        assert_eq!(store.iter().filter(|item| item.is_err()).count(), 1);
        assert_eq!(store.len().unwrap(), 3);
        assert_eq!(store.verify().unwrap().damage.len(), 1);
    }
    assert!(store.salvage_in_place().unwrap().kept.is_some());
    assert_eq!(entries(&store), saved);
    assert!(store.verify().unwrap().is_sound());
}

#[test]
fn the_value_of_a_delete_and_padding_are_passed_over() {
    let mut file = written(&[("abc", Some("1")), ("abc", None), ("d", Some("2"))]);
    let starts = starts(&file);
    let padding = starts[2] - 1;
    file[padding] = 9;
    // Four bytes of padding become a value.
    set(&mut file, starts[1], 16, &4u32.to_le_bytes());
    let store = open(&with_file(&file), |_| {}).unwrap();
    assert!(store.recovery().is_clean());
    assert_eq!(store.get("abc").unwrap(), None);
    assert_eq!(store.get("d").unwrap().as_deref(), Some(&b"2"[..]));
}

/// The note that vouches for lists, which FORMAT.md calls FF `k`, may stand before what is lost or behind it.
#[test]
fn a_salvage_that_lost_anything_leaves_out_the_note_that_vouches_for_lists() {
    const NOTE: &[u8] = b"\xFFk";
    for note_first in [false, true] {
        let sim = SimDisk::new(5);
        let store = open(&sim, |_| {}).unwrap();
        let keys = match note_first {
            true => [NOTE, b"a"],
            false => [&b"a"[..], NOTE],
        };
        for key in keys {
            store.insert(key, "1").unwrap();
        }
        let (_, saved) = salvage(&sim, &store);
        assert_eq!(saved.len(), 2, "nothing is lost");
        drop(store);
        let mut file = sim.read(PATH).unwrap();
        let at = starts(&file)[usize::from(note_first)];
        set(&mut file, at, FINGERPRINT, &7u32.to_le_bytes());
        let sim = with_file(&file);
        let store = open(&sim, |_| {}).unwrap();
        let (salvaged, saved) = salvage(&sim, &store);
        assert_eq!((salvaged.lost.len(), salvaged.entries), (1, 0));
        assert!(saved.is_empty(), "note first: {note_first}");
    }
}
