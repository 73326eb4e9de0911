//! Help for all tests: numbers from a seed, places to write to, and how figures and skips are told.

use shelflife::sim::SimDisk;
use shelflife::{Compaction, Disk, Durability, Options};
use std::io::Write;
use std::path::Path;
use tempfile::TempDir;

/// SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014).
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Random {
        Random(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From 0 to `end`, without it.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(end)) >> 64) as u64
    }

    /// A place in something so long.
    pub(crate) fn place(&mut self, len: usize) -> usize {
        self.below(len as u64) as usize
    }

    pub(crate) fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.next() as u8).collect()
    }

    pub(crate) fn one_in(&mut self, many: u64) -> bool {
        self.below(many) == 0
    }
}

/// A number from the environment, to steer a test with.
pub(crate) fn setting(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{name}={text} is not a number")),
    )
}

/// Whether the long cases are wanted.
pub(crate) fn is_soak() -> bool {
    std::env::var_os("SHELF_SOAK").is_some_and(|value| value != "0")
}

/// Tells a figure, past libtest's capture.
pub(crate) fn metric(name: &str, value: impl std::fmt::Display, seed: Option<u64>, secs: f64) {
    let seed = seed.map_or(String::new(), |seed| format!(" seed={seed}"));
    let line = format!("METRIC {name}={value}{seed} secs={secs:.2}\n");
    let _ = std::io::stdout().write_all(line.as_bytes());
}

/// Tells that a test could not run here.
pub(crate) fn skip(name: &str, why: impl std::fmt::Display) {
    let line = format!("SKIP {name}: {why}\n");
    let _ = std::io::stdout().write_all(line.as_bytes());
}

/// A directory where a sync costs little, for tests whose claim is not about the disk.
pub(crate) fn fast_dir() -> TempDir {
    let memory = Path::new("/dev/shm");
    tempfile::tempdir_in(memory).unwrap_or_else(|_| tempfile::tempdir().unwrap())
}

/// The names on a simulated disk, in their order.
pub(crate) fn names(sim: &SimDisk) -> Vec<String> {
    let names = sim.process().list(Path::new("/")).unwrap();
    let names = names.into_iter().map(|name| name.into_string().unwrap());
    names.collect()
}

/// Those of them beside the store's own.
pub(crate) fn beside(sim: &SimDisk) -> Vec<String> {
    let mut names = names(sim);
    names.retain(|name| name != "s.shelf");
    names
}

/// Of a store whose writes cost no sync, and that stays in its file until it is told otherwise.
pub(crate) fn unsynced() -> Options {
    let mut options = Options::new();
    options
        .durability(Durability::Os)
        .compaction(Compaction::Manual);
    options
}

/// Holds a claim for each case, all at the same time: most of a case is waiting.
pub(crate) fn each_at_once<T: Send>(cases: impl IntoIterator<Item = T>, claim: impl Fn(T) + Sync) {
    let claim = &claim;
    std::thread::scope(|scope| {
        for case in cases {
            scope.spawn(move || claim(case));
        }
    });
}
