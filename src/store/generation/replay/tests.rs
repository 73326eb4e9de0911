//! A second thread changes nothing: whatever is in the file, what counts is the same as without it.

use super::*;
use crate::sim::{Call, Fault, FaultKind, SimDisk};
use crate::store::collisions::MASK;
use crate::store::compaction::Space;
use crate::store::disk::{Create, Disk, DiskFile, OpenFile, Stat, sealed};
use crate::store::format::NewRecord;
use crate::store::index::Location;
use crate::{Batch, Durability, Options, Store};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32};

const PATH: &str = "/s.shelf";
/// With this the record is twice as long as a marker or an empty one.
const KEY_BYTES: usize = 8;
const VALUE: &[u8; 40] = &[7; 40];

fn key(nth: u64) -> [u8; KEY_BYTES] {
    nth.to_le_bytes()
}

fn generation_of(sim: &SimDisk, bytes: &[u8], crossing: Crossing) -> Generation {
    sim.write(PATH, bytes).unwrap();
    let how = OpenFile {
        write: true,
        create: Create::Never,
        mode: 0,
    };
    let log = LogFile {
        file: sim.process().open(Path::new(PATH), how).unwrap(),
        path: Path::new(PATH).into(),
    };
    let (header, _) = Generation::read_header(&log).unwrap().unwrap();
    let (identity, position) = (log.stat().unwrap(), Position::start(&header));
    let mut generation = Generation::new(log, header, identity, Index::new(), position);
    generation.crossing = crossing;
    generation
}

/// How far a second thread takes a replay.
fn reached(bytes: &[u8]) -> u64 {
    let generation = generation_of(&SimDisk::new(1), bytes, Crossing::Nothing);
    let mut replay = Replay {
        generation: &generation,
        position: &mut generation.position(),
        batch: Vec::new(),
        damaged: Vec::new(),
        durable: 0,
    };
    replay.count_ahead(bytes.len() as u64).unwrap()
}

/// How a log is replayed: what stood there `at_first` alone before.
#[derive(Debug, Clone, Copy)]
struct Case {
    at_first: usize,
    access: Access,
    crossing: Crossing,
}

/// The outcome of a replay of these bytes.
fn replayed(bytes: &[u8], case: Case, how: How) -> (String, Vec<Location>) {
    let sim = SimDisk::new(1);
    let (first, rest) = bytes.split_at(case.at_first);
    let generation = generation_of(&sim, first, case.crossing);
    let mut position = generation.position();
    let before = generation.replay_how(&mut position, Access::Unlocked, How::Short);
    let at_first = case.at_first as u64;
    generation.log.write_all(rest, at_first).unwrap();
    let result = generation.replay_how(&mut position, case.access, how);
    let mut locations = generation.index.locations();
    locations.sort_unstable();
    let durable = generation.commit.durable();
    (
        format!("{before:?} {result:?} {position:?} {durable}"),
        locations,
    )
}

fn assert_same(bytes: &[u8], what: &str) {
    let begun = LOG_START as usize;
    for at_first in [begun, begun + (bytes.len() - begun) / 3] {
        for access in [Access::Locked, Access::Unlocked] {
            for crossing in [Crossing::Nothing, Crossing::Damage, Crossing::Everything] {
                let case = Case {
                    at_first,
                    access,
                    crossing,
                };
                let alone = replayed(bytes, case, How::Long);
                for how in [How::Short, How::Ahead] {
                    let other = replayed(bytes, case, how);
                    assert_eq!(other, alone, "{what}, {case:?}, {how:?}");
                }
            }
        }
    }
}

fn store_on(sim: &SimDisk) -> Store {
    let mut options = Options::new();
    options
        .durability(Durability::Os)
        .disk(sim.disk())
        .open(PATH)
        .unwrap()
}

/// Records of one size, deletions, a clear, batches and a long value: handed over some fifty times.
fn written() -> Vec<u8> {
    let sim = SimDisk::new(2);
    let store = store_on(&sim);
    for nth in 0..300 {
        store.insert(key(nth % 200), VALUE).unwrap();
        if nth > 50 && nth % 7 == 0 {
            store.remove(key(nth / 2)).unwrap();
        }
        if nth == 100 {
            store.clear().unwrap();
            store.insert("long", vec![1; 200_000]).unwrap();
        }
        if nth % 60 == 55 {
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
    for nth in 0..20 {
        let records = bytes.len() - LOG_START as usize;
        let at = LOG_START as usize + records / 20 * nth + nth % 64;
        let mut damaged = bytes.clone();
        damaged[at] ^= 1 << (nth % 8);
        assert_same(&damaged, &format!("byte {at} changed"));
        assert_same(&bytes[..at], &format!("cut at {at}"));
    }
}

#[test]
fn with_a_second_thread_the_same_counts_where_the_first_record_of_a_stretch_is_damaged() {
    let bytes = written();
    let generation = generation_of(&SimDisk::new(1), &bytes, Crossing::Nothing);
    let mut scanner = Scanner::new(&generation.log, generation.header.seed, LOG_START);
    let (mut stretch, mut damaged) = (0, 0);
    while let Step::Record { offset, .. } = scanner.step().unwrap() {
        let in_stretch = (offset - LOG_START) / STRETCH_BYTES;
        if in_stretch > stretch && damaged < 8 {
            damaged += 1;
            for at in [offset, offset + HEAD_BYTES as u64] {
                let mut bytes = bytes.clone();
                bytes[at as usize] ^= 1;
                assert_same(
                    &bytes,
                    &format!("byte {at} changed, of the record at {offset}"),
                );
            }
        }
        stretch = in_stretch;
    }
    assert_eq!(damaged, 8);
}

/// Somebody stores bytes that are records of this file, each for the place where it comes to stand.
#[test]
fn with_a_second_thread_no_record_counts_that_stands_in_a_value() {
    let mut bytes = written();
    let header = generation_of(&SimDisk::new(1), &bytes, Crossing::Nothing).header;
    let key = *b"8 bytes.";
    let (start, mut value) = (bytes.len(), Vec::new());
    let value_start = (start + HEAD_BYTES + key.len()) as u64;
    while value.len() < 5_000 {
        let clear = NewRecord::marker(Kind::Clear, header.epoch, 0);
        clear.encode(header.seed, value_start + value.len() as u64, &mut value);
    }
    let put = NewRecord {
        fingerprint: 7,
        key: &key,
        value: &value,
        ..NewRecord::marker(Kind::Put, header.epoch, 0)
    };
    put.encode(header.seed, start as u64, &mut bytes);
    assert_eq!(reached(&bytes), bytes.len() as u64);
    assert_same(&bytes, "records in a value");
}

#[test]
fn with_a_second_thread_nothing_counts_of_what_a_newer_version_wrote() {
    let mut bytes = written();
    let header = generation_of(&SimDisk::new(1), &bytes, Crossing::Nothing).header;
    let newer = NewRecord::marker(Kind::Unknown(58), header.epoch, 0);
    newer.encode(header.seed, bytes.len() as u64, &mut bytes);
    assert_same(&bytes, "a record of a newer version at the end");
}

#[test]
fn a_read_that_fails_in_either_thread_is_an_error_and_the_next_replay_goes_on() {
    let bytes = written();
    let sim = SimDisk::new(1);
    let generation = generation_of(&sim, &bytes, Crossing::Nothing);
    let mut position = generation.position();
    sim.inject(Fault::new(FaultKind::Eio).on(Call::Read).nth(2).forever());
    let failed = generation.replay_how(&mut position, Access::Locked, How::Ahead);
    assert_eq!(failed.unwrap_err().kind(), crate::ErrorKind::Io);
    sim.clear_faults();
    let whole = generation.replay_how(&mut position, Access::Locked, How::Ahead);
    assert_eq!((whole.is_ok(), position.tail), (true, bytes.len() as u64));
}

/// Batches of keys whose fingerprints are the same, one of them changed in each.
fn batches_that_collide(sim: &SimDisk) -> Vec<u8> {
    let store = store_on(sim);
    for nth in 0..8 {
        let mut batch = Batch::new();
        batch.remove(key(nth.max(1) - 1));
        for nth in [100, nth, nth + 20, nth + 40] {
            batch.insert(key(nth), VALUE);
        }
        store.write(&batch).unwrap();
    }
    store.sync().unwrap();
    sim.read(PATH).unwrap()
}

#[test]
fn a_read_that_fails_stops_a_replay_between_two_batches_and_what_it_kept_out_of_the_index_comes_later()
 {
    MASK.set(0);
    let bytes = batches_that_collide(&SimDisk::new(2));
    let outcome = |generation: &Generation| {
        let mut locations = generation.index.locations();
        locations.sort_unstable();
        let surveyed = generation.position().surveyed.take();
        (format!("{:?}", *generation.position()), locations, surveyed)
    };
    for how in [How::Short, How::Long] {
        let sound = generation_of(&SimDisk::new(1), &bytes, Crossing::Nothing);
        let mut ends = vec![LOG_START];
        let mut scanner = Scanner::new(&sound.log, sound.header.seed, LOG_START);
        while let Step::Record { offset, head, .. } = scanner.step().unwrap() {
            if !head.more() {
                ends.push(offset + head.record_bytes());
            }
        }
        sound
            .replay_how(&mut sound.position(), Access::Locked, how)
            .unwrap();
        let mut failed = 0;
        for nth in 1.. {
            let case = format!("{how:?}, read {nth}");
            let sim = SimDisk::new(1);
            let generation = generation_of(&sim, &bytes, Crossing::Nothing);
            sim.inject(Fault::new(FaultKind::Eio).on(Call::Read).nth(nth).forever());
            let replayed = generation.replay_how(&mut generation.position(), Access::Locked, how);
            let (tail, has_unmade) = {
                let position = generation.position();
                (position.tail, !position.unmade.is_empty())
            };
            assert!(ends.contains(&tail), "{case}: {tail} is within a batch");
            // As a writer does whose records somebody else has applied by then, and a reader of its handle.
            for _ in 0..2 {
                assert_eq!(generation.apply(&[]).is_err(), has_unmade, "{case}");
            }
            assert_eq!(generation.tail() < tail, has_unmade, "{case}");
            sim.clear_faults();
            generation.apply(&[]).unwrap();
            assert_eq!(generation.tail(), tail, "{case}");
            if replayed.is_ok() {
                break;
            }
            failed += 1;
            generation
                .replay_how(&mut generation.position(), Access::Locked, how)
                .unwrap();
            assert_eq!(outcome(&generation), outcome(&sound), "{case}");
        }
        assert!(failed > 50, "{how:?}: only {failed} reads");
    }
    MASK.set(u32::MAX);
}

/// A file that another process repairs and writes to while it is read: before the nth read.
#[derive(Debug)]
struct Overtaken {
    file: Arc<dyn DiskFile>,
    /// The bytes that stand there then; the header stays.
    after: Vec<u8>,
    reads_left: AtomicU32,
}

impl sealed::Sealed for Overtaken {}

impl DiskFile for Overtaken {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        if self.reads_left.fetch_sub(1, AcqRel) == 1 {
            let after = self.after.get(LOG_START as usize..).unwrap();
            assert_eq!(self.file.write_at(after, LOG_START)?, after.len());
        }
        self.file.read_at(buf, offset)
    }
    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<usize> {
        self.file.write_at(buf, offset)
    }
    fn set_len(&self, len_bytes: u64) -> io::Result<()> {
        self.file.set_len(len_bytes)
    }
    fn sync(&self) -> io::Result<()> {
        self.file.sync()
    }
    fn size(&self) -> io::Result<u64> {
        self.file.size()
    }
    fn reads_beside(&self) -> bool {
        self.file.reads_beside()
    }
    fn is_named(&self, path: &Path) -> bool {
        self.file.is_named(path)
    }
    fn stat(&self) -> io::Result<Stat> {
        self.file.stat()
    }
    fn touch(&self) -> io::Result<()> {
        self.file.touch()
    }
    fn set_owner(&self, uid: u32, gid: u32, mode: u32) -> io::Result<()> {
        self.file.set_owner(uid, gid, mode)
    }
    fn try_lock(&self) -> io::Result<bool> {
        self.file.try_lock()
    }
    fn unlock(&self) -> io::Result<()> {
        self.file.unlock()
    }
}

/// A log whose last batch lacks its end, as a killed process leaves it, and what another process makes of that.
fn torn_and_repaired(value_bytes: usize) -> (Vec<u8>, Vec<u8>) {
    let sim = SimDisk::new(3);
    let mut options = Options::new();
    options.durability(Durability::Os).disk(sim.disk());
    let store = options.open(PATH).unwrap();
    store.insert("before", vec![1; value_bytes]).unwrap();
    let mut batch = Batch::new();
    for nth in 0..4 {
        batch.insert(key(nth), vec![2; value_bytes]);
    }
    store.write(&batch).unwrap();
    let mut torn = sim.read(PATH).unwrap();
    drop(store);
    torn.truncate(torn.len() - 8);
    sim.write(PATH, &torn).unwrap();
    let store = options.open(PATH).unwrap();
    for nth in 4..9 {
        store.insert(key(nth), vec![3; value_bytes + 100]).unwrap();
        store.sync().unwrap();
    }
    (torn, sim.read(PATH).unwrap())
}

#[test]
fn a_batch_that_is_cut_off_and_written_over_while_a_reader_is_in_it_is_no_damage() {
    let mut overtaken = 0;
    for value_bytes in [40, 3_000, 100_000] {
        let (torn, after) = torn_and_repaired(value_bytes);
        for how in [How::Short, How::Long, How::Ahead] {
            for nth in 1.. {
                let mut generation = generation_of(&SimDisk::new(1), &torn, Crossing::Nothing);
                let file = Arc::new(Overtaken {
                    file: Arc::clone(&generation.log.file),
                    after: after.clone(),
                    reads_left: AtomicU32::new(nth),
                });
                generation.log.file = file.clone();
                let mut position = generation.position();
                let case = format!("values of {value_bytes} bytes, {how:?}, read {nth}");
                let result = generation.replay_how(&mut position, Access::Unlocked, how);
                assert!(result.is_ok(), "{case}: {result:?}");
                assert!(position.damage.is_empty(), "{case}: {position:?}");
                // A read that did not come: all were tried.
                let left = file.reads_left.load(Acquire);
                if (1..=nth).contains(&left) {
                    break;
                }
                overtaken += 1;
                generation
                    .replay_how(&mut position, Access::Unlocked, How::Long)
                    .unwrap();
                assert_eq!(position.tail, after.len() as u64, "{case}");
                assert!(position.damage.is_empty(), "{case}: {position:?}");
            }
        }
    }
    assert!(overtaken > 30, "only {overtaken} reads");
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

/// Returns once the thread sleeps that has set `begun`, as far as the system tells, or has ended.
fn wait_until_asleep(begun: &AtomicBool, name: &str) {
    while !begun.load(Acquire) {
        std::thread::yield_now();
    }
    let tasks = || std::fs::read_dir("/proc/self/task").ok();
    let named = |task: &std::fs::DirEntry| {
        let comm = std::fs::read_to_string(task.path().join("comm"));
        comm.is_ok_and(|comm| comm.trim() == name)
    };
    let is_awake = |task: std::fs::DirEntry| {
        let stat = std::fs::read_to_string(task.path().join("stat")).unwrap_or_default();
        stat.rsplit(')')
            .next()
            .is_some_and(|rest| !rest.trim_start().starts_with('S'))
    };
    while let Some(task) =
        tasks().and_then(|mut tasks| tasks.find_map(|task| task.ok().filter(named)))
        && is_awake(task)
    {
        std::thread::yield_now();
    }
}

#[test]
fn while_half_of_a_batch_is_in_the_index_the_counts_are_those_before_it_or_wait() {
    let bytes = written();
    let generation = generation_of(&SimDisk::new(1), &bytes, Crossing::Nothing);
    generation
        .replay(&mut generation.position(), Access::Locked)
        .unwrap();
    let keys = generation.keys();
    let seed = generation.header.seed;
    let mut end = generation.tail();
    let mut record = |key: &[u8]| {
        let (offset, mut encoded) = (end, Vec::new());
        let put = NewRecord {
            fingerprint: generation.fingerprint(key),
            key,
            ..NewRecord::marker(Kind::Put, generation.header.epoch, 0)
        };
        put.encode(seed, offset, &mut encoded);
        end += encoded.len() as u64;
        let head = encoded.first_chunk().unwrap();
        (offset, Head::decode(head, seed, offset).unwrap())
    };
    let (first, second) = (record(b"new 1"), record(b"new 2"));

    let mut position = generation.position();
    let is_own = true;
    generation
        .apply_one(&mut position, first.0, &first.1, is_own)
        .unwrap();
    assert_eq!(generation.index.len(), keys + 1, "half of it is there");
    assert_eq!(generation.keys(), keys, "`len` shows nothing of it");
    let begun = AtomicBool::new(false);
    let stats = std::thread::scope(|scope| {
        let ask = || {
            begun.store(true, Release);
            Space::of(&generation, || 0)
        };
        let name = "asks for stats";
        let asking = std::thread::Builder::new()
            .name(name.to_owned())
            .spawn_scoped(scope, ask)
            .unwrap();
        wait_until_asleep(&begun, name);
        generation
            .apply_one(&mut position, second.0, &second.1, is_own)
            .unwrap();
        generation.publish(&position);
        drop(position);
        asking.join().unwrap()
    });
    assert_eq!(stats.keys, keys + 2, "`stats` waits for the rest");
    let live_bytes = generation.index.live_bytes();
    assert_eq!((stats.live_bytes, stats.file_bytes), (live_bytes, end));
    assert_eq!(generation.keys(), keys + 2);
}
