//! Random bytes for ids and marks: one read of the operating system's source has those of many.
//!
//! The bytes that were read are good for one process, since a fork must not draw what its parent draws, and for a
//! moment, since the number of a process that has ended may become another's.

use super::connection::now;
use crate::error::Result;
use crate::session::random::random;
use crate::store::disk::{Disk, os::OsDisk};
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

const READ_BYTES: usize = 512;
const GOOD_FOR: Duration = Duration::from_secs(1);

pub(super) struct Randomness(Mutex<Read>);

struct Read {
    bytes: [u8; READ_BYTES],
    used: usize,
    at: Duration,
    process: u32,
}

impl Randomness {
    pub(super) fn new() -> Randomness {
        Randomness(Mutex::new(Read {
            bytes: [0; READ_BYTES],
            used: READ_BYTES,
            at: Duration::ZERO,
            process: 0,
        }))
    }

    /// Fills in bytes that nobody else gets.
    pub(super) fn fill(&self, to: &mut [u8]) -> Result<()> {
        let mut read = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        read.fill(to, now(), OsDisk.process(), random)
    }
}

impl Read {
    fn fill(
        &mut self,
        to: &mut [u8],
        now: Duration,
        process: u32,
        random: impl FnOnce(&mut [u8]) -> Result<()>,
    ) -> Result<()> {
        let is_good = self.process == process && now.saturating_sub(self.at) < GOOD_FOR;
        if !is_good || self.bytes.len() - self.used < to.len() {
            // Should the read fail, the bytes that it leaves are not used.
            self.used = self.bytes.len();
            random(&mut self.bytes)?;
            (self.used, self.at, self.process) = (0, now, process);
        }
        let rest = self.bytes.get_mut(self.used..).unwrap_or_default();
        for (to, from) in to.iter_mut().zip(rest) {
            *to = std::mem::take(from);
            self.used += 1;
        }
        Ok(())
    }
}

impl fmt::Debug for Randomness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Randomness(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_draws_share_a_byte_and_no_process_draws_what_another_read() {
        let Randomness(read) = Randomness::new();
        let mut read = read.into_inner().unwrap();
        // Every read is of another byte, so that a draw tells which read it is of.
        let mut reads = 0;
        let mut draw = |now_ms: u64, process: u32| {
            let mut id = [0; 16];
            let now = Duration::from_millis(now_ms);
            read.fill(&mut id, now, process, |bytes| {
                reads += 1;
                bytes.fill(reads);
                Ok(())
            })
            .unwrap();
            assert!(id.iter().all(|byte| *byte == id[0]), "{id:?}");
            id[0]
        };
        let first: Vec<u8> = (0..33).map(|_| draw(5, 7)).collect();
        assert_eq!(first, [vec![1; 32], vec![2]].concat());
        assert_eq!(draw(1004, 7), 2);
        assert_eq!(draw(1005, 7), 3, "it was read a second ago");
        assert_eq!(draw(1005, 8), 4, "a fork");
        assert_eq!(draw(1005, 7), 5, "and its parent's number again");
    }

    #[test]
    fn after_a_read_that_failed_nothing_is_drawn_of_what_was_left() {
        let Randomness(read) = Randomness::new();
        let mut read = read.into_inner().unwrap();
        let mut id = [9; 16];
        for _ in 0..2 {
            let failed = read.fill(&mut id, Duration::ZERO, 0, |_| {
                Err(crate::error::Error::random_repeats())
            });
            assert!(failed.is_err() && id == [9; 16]);
        }
    }
}
