//! The floors beside the figures: what the system calls take that no store can avoid.

use crate::{Random, time};
use std::fs::File;
use std::hint::black_box;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

/// The time that the operating system needs for the same bytes and nothing else.
pub(crate) struct Floor {
    pub(crate) write: Duration,
    /// Of one of a thousand records in one write.
    pub(crate) write_many: Duration,
    pub(crate) read: Duration,
    /// Of head and key.
    pub(crate) read_key: Duration,
    pub(crate) sync: Duration,
}

/// Bytes that the store reads or writes at once where it goes through a whole file.
const BLOCK_BYTES: usize = 128 << 10;

/// The time to read a file from end to end.
pub(crate) fn read_all(path: &Path) -> Duration {
    let (file, mut block, mut at) = (File::open(path).unwrap(), vec![0; BLOCK_BYTES], 0);
    let start = Instant::now();
    loop {
        match file.read_at(&mut block, at).unwrap() {
            0 => return start.elapsed(),
            read => at += read as u64,
        }
        black_box(&block);
    }
}

/// The time to read a file from end to end and to write so many bytes of it to another, and sync that.
pub(crate) fn copy_of(path: &Path, bytes: u64) -> Duration {
    let copy = File::create(path.with_extension("floor")).unwrap();
    let block = vec![7; BLOCK_BYTES];
    let read = read_all(path);
    let start = Instant::now();
    for at in (0..bytes).step_by(BLOCK_BYTES) {
        copy.write_all_at(&block, at).unwrap();
    }
    copy.sync_data().unwrap();
    read + start.elapsed()
}

pub(crate) fn floor(dir: &Path, record_bytes: usize, calls: u64) -> Floor {
    let file = File::options()
        .create(true)
        .truncate(true)
        .read(true)
        .write(true)
        .open(dir.join("floor"))
        .unwrap();
    let record = vec![7; record_bytes];
    let write = time(calls, |nth| {
        file.write_all_at(&record, nth * record_bytes as u64)
            .unwrap()
    });
    let (mut random, mut buf) = (Random(1), vec![0; record_bytes]);
    let read = time(calls, |_| {
        file.read_exact_at(&mut buf, random.next() % calls * record_bytes as u64)
            .unwrap();
    });
    let read_key = time(calls, |_| {
        let at = random.next() % calls * record_bytes as u64;
        file.read_exact_at(&mut buf[..48 + 32], at).unwrap();
    });
    let many = vec![7; record_bytes * 1_000];
    let write_many = time(calls.div_ceil(1_000), |nth| {
        file.write_all_at(&many, calls * record_bytes as u64 + nth * many.len() as u64)
            .unwrap()
    });
    let end = file.metadata().unwrap().len();
    // So that the first sync finds no more to write than the others.
    file.sync_data().unwrap();
    let sync = time(50, |nth| {
        file.write_all_at(&record, end + nth * record_bytes as u64)
            .unwrap();
        file.sync_data().unwrap();
    });
    Floor {
        write,
        write_many: write_many / 1_000,
        read,
        read_key,
        sync,
    }
}
