//! Marks of writes: 8 bytes that no other write has.

use crate::error::Result;
use crate::store::disk::{Disk, os::OsDisk};
use std::sync::atomic::{AtomicU64, Ordering};

/// A random start, and a count that is scrambled with it. A process that forks goes on with another start.
#[derive(Debug)]
pub(super) struct Marks {
    seed: u64,
    /// Relaxed: all that counts is that no two draws give the same number.
    count: AtomicU64,
}

impl Marks {
    pub(super) fn new(random: impl FnOnce(&mut [u8]) -> Result<()>) -> Result<Marks> {
        let mut seed = [0; 8];
        random(&mut seed)?;
        Ok(Marks {
            seed: u64::from_be_bytes(seed),
            count: AtomicU64::new(0),
        })
    }

    /// Tells this store from every other.
    pub(super) fn seed(&self) -> u64 {
        self.seed
    }

    pub(super) fn next(&self) -> [u8; 8] {
        self.draw().to_be_bytes()
    }

    /// A number from 0 to below `bound`.
    pub(super) fn below(&self, bound: u64) -> u64 {
        self.draw() % bound
    }

    fn draw(&self) -> u64 {
        let count = self.count.fetch_add(1, Ordering::Relaxed);
        let start = scramble(self.seed ^ u64::from(OsDisk.process()));
        scramble(start.wrapping_add(count))
    }
}

/// One to one, so that different counts of one start give different marks. The finalizer of SplitMix64.
fn scramble(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}
