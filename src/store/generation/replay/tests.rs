//! A second thread changes nothing: whatever is in the file, what counts is the same as without it.

use super::*;
use crate::store::disk::sim::SimDisk;
use crate::store::disk::{Create, Disk, OpenFile};
use crate::store::index::Location;
use crate::{Batch, Durability, Options};
use std::path::Path;

const PATH: &str = "/s.shelf";
/// With this the record is twice as long as a marker or an empty one.
const KEY_BYTES: usize = 8;
const VALUE: &[u8; 40] = &[7; 40];

fn key(nth: u64) -> [u8; KEY_BYTES] {
    nth.to_le_bytes()
}

fn generation_of(bytes: &[u8]) -> Generation {
    let sim = SimDisk::new(1);
    sim.write(PATH, bytes).unwrap();
    let how = OpenFile {
        write: false,
        create: Create::Never,
        mode: 0,
    };
    let log = LogFile {
        file: sim.process().open(Path::new(PATH), how).unwrap(),
        path: Path::new(PATH).into(),
    };
    let (header, _) = Generation::read_header(&log).unwrap().unwrap();
    let (identity, position) = (log.stat().unwrap(), Position::start(&header));
    Generation::new(log, header, identity, Index::new(), position)
}

/// How far a second thread takes a replay.
fn reached(bytes: &[u8]) -> u64 {
    let generation = generation_of(bytes);
    let mut replay = Replay {
        generation: &generation,
        batch: Vec::new(),
        damaged: Vec::new(),
        moves: Moves::new(true),
    };
    let mut position = generation.position();
    generation
        .replay_pipelined(&mut replay, &mut position)
        .unwrap()
}

/// What a replay makes of these bytes.
fn replayed(bytes: &[u8], pipelined: bool) -> (String, Vec<Location>) {
    let generation = generation_of(bytes);
    let mut position = generation.position();
    let behind = bytes.len() as u64 - LOG_START;
    let result = generation.replay_how(&mut position, Access::Locked, behind, pipelined);
    let mut locations = generation.index.locations();
    locations.sort_unstable();
    (format!("{result:?} {position:?}"), locations)
}

fn assert_same(bytes: &[u8], what: &str) {
    assert_eq!(replayed(bytes, true), replayed(bytes, false), "{what}");
}

/// Records of one size, deletions, a clear and batches: enough to be handed over several times.
fn written() -> Vec<u8> {
    let sim = SimDisk::new(2);
    let mut options = Options::new();
    let store = options
        .durability(Durability::Os)
        .disk(sim.disk())
        .open(PATH)
        .unwrap();
    for nth in 0..3_000 {
        store.insert(key(nth % 2_000), VALUE).unwrap();
        if nth > 100 && nth % 7 == 0 {
            store.remove(key(nth / 2)).unwrap();
        }
        if nth == 1_000 {
            store.clear().unwrap();
        }
        if nth % 100 == 50 {
            let mut batch = Batch::new();
            for nth in nth..nth + 20 {
                batch.insert(key(nth), VALUE);
            }
            store.write(&batch).unwrap();
        }
    }
    store.sync().unwrap();
    sim.read(PATH).unwrap()
}

#[test]
fn a_second_thread_reads_a_sound_log_to_its_end() {
    let bytes = written();
    assert_eq!(reached(&bytes), bytes.len() as u64);
    assert_same(&bytes, "sound");
}

#[test]
fn with_a_second_thread_the_same_counts_of_a_log_damaged_anywhere() {
    let bytes = written();
    let log = LOG_START as usize;
    for nth in 0..40 {
        let at = log + (bytes.len() - log) / 40 * nth + nth % 64;
        let mut damaged = bytes.clone();
        damaged[at] ^= 1 << (nth % 8);
        assert_same(&damaged, &format!("byte {at} changed"));
        assert_same(&bytes[..at], &format!("cut at {at}"));
        damaged.copy_within(log..log + 4_096, at.min(bytes.len() - 4_096));
        assert_same(&damaged, &format!("a sector copied to {at}"));
    }
}

#[test]
fn with_a_second_thread_records_of_an_epoch_that_is_over_do_not_count() {
    let bytes = written();
    let sim = SimDisk::new(3);
    // Torn in the middle of the last of 20 records.
    let log = LOG_START as usize;
    let begun = log + 20 * 96;
    sim.write(PATH, &bytes[..begun - 40]).unwrap();
    let mut options = Options::new();
    let store = options.disk(sim.disk()).open(PATH).unwrap();
    store.insert("", "").unwrap();
    // A marker and an empty record stand where that did, and behind them, once more, what stood there before.
    let mut stale = sim.read(PATH).unwrap();
    assert_eq!(stale.len(), begun);
    stale.extend_from_slice(&bytes[begun..]);
    assert_eq!(reached(&stale), begun as u64);
    assert_same(&stale, "records of before behind a cut");
}
