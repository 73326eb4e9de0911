//! Bytes behind the end of the log, zeros above all: they are told like any other bytes, and cost no reader more.

use crate::proof::workload::{EXCLUSIVE, EXCLUSIVE_OS, Mode, PATH, SHARED, SHARED_OS};
use crate::support::{fast_dir, is_soak, metric};
use shelflife::sim::{Call, SimDisk, SimProcess};
use shelflife::{Options, Reverted, Store};
use std::fs::File;
use std::sync::Arc;
use std::time::Instant;

fn open(mode: Mode, process: &SimProcess) -> Store {
    mode.options(Arc::new(process.clone())).open(PATH).unwrap()
}

fn to_read(sim: &SimDisk) -> Store {
    let mut options = Options::new();
    let options = options.disk(sim.disk()).read_only(true);
    options.open(PATH).unwrap()
}

fn file_bytes(sim: &SimDisk) -> u64 {
    sim.read(PATH).unwrap().len() as u64
}

/// Replaces everything from there on by zeros, and leaves the length as it is.
fn zero_from(sim: &SimDisk, offset: u64) {
    let zeros = vec![0; (file_bytes(sim) - offset) as usize];
    sim.overwrite(PATH, offset, &zeros).unwrap();
}

/// Sixty sets, of which nobody called the last ones durable; where each of them ends.
fn sixty(store: &Store) -> Vec<u64> {
    sets(store).collect()
}

fn sets(store: &Store) -> impl Iterator<Item = u64> {
    (0..60u64).map(|nth| {
        store.insert(nth.to_le_bytes(), [7; 300]).unwrap();
        store.stats().unwrap().file_bytes
    })
}

#[test]
fn a_file_is_never_longer_than_its_log_while_nothing_fails() {
    for mode in [SHARED, SHARED_OS, EXCLUSIVE, EXCLUSIVE_OS] {
        let sim = SimDisk::new(1);
        let store = open(mode, &sim.process());
        for end in sets(&store) {
            assert_eq!(file_bytes(&sim), end, "{mode:?}");
        }
        store.close().unwrap();
        let store = open(SHARED, &sim.process());
        assert_eq!(file_bytes(&sim), store.stats().unwrap().file_bytes);
        assert!(store.recovery().is_clean());
    }
}

#[test]
fn an_end_that_was_replaced_by_zeros_is_told_and_kept_aside_before_it_is_cut() {
    let sim = SimDisk::new(1);
    let store = open(SHARED_OS, &sim.process());
    let ends = sixty(&store);
    // The records that were written there are lost to a power cut that left the length.
    std::mem::forget(store);
    zero_from(&sim, ends[35]);
    let reader = to_read(&sim);
    let torn = reader.verify().unwrap().torn_tail.expect("told by verify");
    assert_eq!(torn.offset, ends[35]);
    assert_eq!(torn.len_bytes, ends[59] - ends[35]);
    assert_eq!(reader.recovery().torn_tails[0].offset, ends[35]);
    assert_eq!(file_bytes(&sim), ends[59], "reading cuts nothing");

    let store = open(SHARED, &sim.process());
    assert_eq!(store.len().unwrap(), 36);
    assert_eq!(store.recovery().torn_tails[0].offset, ends[35]);
    store.insert("next", "x").unwrap();
    let evidence = store.recovery().torn_tails[0].evidence.clone().unwrap();
    let zeros = sim.read(evidence).unwrap().len() as u64 - 8192 - 8;
    assert_eq!(zeros, ends[59] - ends[35]);
    drop(store);
    let store = open(SHARED, &sim.process());
    assert!(store.recovery().is_clean() && store.verify().unwrap().torn_tail.is_none());
    assert_eq!(store.len().unwrap(), 37);
}

#[test]
fn zeros_below_what_was_called_durable_are_damage() {
    let sim = SimDisk::new(1);
    let store = open(SHARED, &sim.process());
    let ends = sixty(&store);
    store.close().unwrap();
    let zeros = vec![0; (ends[40] - ends[30]) as usize];
    sim.overwrite(PATH, ends[30], &zeros).unwrap();
    let mut options = Options::new();
    let error = options.disk(sim.disk()).open(PATH).unwrap_err();
    assert!(error.is_corrupt(), "{error}");
    assert_eq!(error.offset(), Some(ends[30]), "{error}");
}

#[test]
fn a_handle_says_so_when_what_it_had_read_or_written_is_not_there_any_more() {
    for mode in [SHARED, SHARED_OS, EXCLUSIVE, EXCLUSIVE_OS] {
        for keeps_its_length in [true, false] {
            let sim = SimDisk::new(1);
            let store = open(mode, &sim.process());
            let ends = sixty(&store);
            let reader = to_read(&sim);
            assert_eq!(reader.len().unwrap(), 60);
            match keeps_its_length {
                true => zero_from(&sim, ends[35]),
                false => {
                    let file = sim.read(PATH).unwrap();
                    sim.write(PATH, &file[..ends[35] as usize]).unwrap();
                }
            }
            let case = format!("{mode:?}, length kept: {keeps_its_length}");
            for store in [&store, &reader] {
                let lost = store.get(59u64.to_le_bytes());
                assert_eq!(lost.ok(), Some(None), "{case}");
                let recovery = store.recovery();
                let [Reverted { from, to, .. }] = recovery.reverted[..] else {
                    panic!("{case}: {recovery:?}");
                };
                assert_eq!((from, to), (ends[59], ends[35]), "{case}");
                assert!(!recovery.is_clean());
            }
            store.insert("next", "x").unwrap();
            assert_eq!(store.len().unwrap(), 37, "{case}");
            assert_eq!(reader.get("next").unwrap().as_deref(), Some(&b"x"[..]));
        }
    }
}

#[test]
fn reopening_says_what_is_not_there_any_more() {
    // The body of the last record alone, whose head tells nothing of that.
    let spoil = |sim: &SimDisk, last| sim.overwrite(PATH, last + 100, &[0xa5; 8]).unwrap();
    for mode in [SHARED, SHARED_OS, EXCLUSIVE, EXCLUSIVE_OS] {
        for kept in [35, 58] {
            let sim = SimDisk::new(1);
            let store = open(mode, &sim.process());
            let ends = sixty(&store);
            let reader = to_read(&sim);
            for handle in [&store, &reader] {
                handle.reopen().unwrap();
                assert!(handle.recovery().is_clean(), "{mode:?}: all is there");
            }
            match kept {
                35 => zero_from(&sim, ends[kept]),
                _ => spoil(&sim, ends[kept]),
            }
            for handle in [&store, &reader] {
                handle.reopen().unwrap();
                let reverted = handle.recovery().reverted;
                let [Reverted { from, to, .. }] = reverted[..] else {
                    panic!("{mode:?}, {kept}: {reverted:?}");
                };
                assert_eq!((from, to), (ends[59], ends[kept]), "{mode:?}");
            }
        }
    }
}

#[test]
fn a_reader_asks_what_long_zeros_are_once_for_each_length_of_the_file() {
    const ZEROS: usize = 4 << 20;
    for mode in [SHARED, EXCLUSIVE] {
        let sim = SimDisk::new(1);
        open(SHARED, &sim.process()).insert("a", "1").unwrap();
        let file = sim.read(PATH).unwrap();
        sim.write(PATH, [&file[..], &vec![0; ZEROS]].concat())
            .unwrap();
        let reader = match mode {
            SHARED => to_read(&sim),
            mode => open(mode, &sim.process()),
        };
        reader.get("a").unwrap();
        let read_before = sim.calls(Call::Read);
        for _ in 0..100 {
            assert_eq!(reader.get("a").unwrap().as_deref(), Some(&b"1"[..]));
            assert_eq!(reader.get("b").unwrap(), None);
        }
        let reads = sim.calls(Call::Read) - read_before;
        assert!(reads <= 1_000, "{reads} reads for 200 gets beside zeros");
    }
}

/// A hole, which costs no space: a gigabyte, and ten with `SHELF_SOAK=1`.
#[test]
fn gigabytes_of_zeros_behind_the_log_take_a_moment_once_and_no_get_after_that() {
    let started = Instant::now();
    let dir = fast_dir();
    let path = dir.path().join("s.shelf");
    let store = Store::open(&path).unwrap();
    store.insert("a", "1").unwrap();
    let log_bytes = store.stats().unwrap().file_bytes;
    store.close().unwrap();
    let zeros: u64 = if is_soak() { 10 << 30 } else { 1 << 30 };
    let file = File::options().write(true).open(&path).unwrap();
    file.set_len(log_bytes + zeros).unwrap();
    let reader = Options::new().read_only(true).open(&path).unwrap();
    assert_eq!(reader.get("a").unwrap().as_deref(), Some(&b"1"[..]));
    assert!(!reader.recovery().torn_tails.is_empty());
    let opened = started.elapsed().as_secs_f64();
    let begun = Instant::now();
    for _ in 0..1_000 {
        assert_eq!(reader.get("a").unwrap().as_deref(), Some(&b"1"[..]));
    }
    let gets = begun.elapsed().as_secs_f64();
    metric(
        "ends.seconds_a_gigabyte_of_zeros",
        opened / (zeros >> 30) as f64,
        None,
        opened,
    );
    metric("ends.us_a_get_beside_zeros", gets * 1e3, None, gets);
    // Gets that looked at the zeros again would take a thousand times as long as the opening.
    assert!(gets < 100.0 * opened, "{gets} s for 1,000 gets");

    // More than evidence keeps is never cut: the file that it stands in is kept as it is.
    let store = Store::open(&path).unwrap();
    store.insert("b", "2").unwrap();
    let kept = store.recovery().torn_tails[0].evidence.clone().unwrap();
    assert!(kept.metadata().unwrap().len() >= log_bytes + zeros);
    assert_eq!(store.len().unwrap(), 2);
    assert_eq!(reader.get("b").unwrap().as_deref(), Some(&b"2"[..]));
}
