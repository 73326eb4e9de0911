//! Reading ahead: records of a long log are verified in stretches, by whichever of two threads has time, while one of
//! them counts what was verified.
//!
//! A stretch begins anywhere, so its first record has to be found: the first place where both checks of a record hold.
//! That record may be a false one. So verified records count only where they join those that counted before, record by
//! record; where they do not, the counting thread reads the stretch again from where it is.

use crate::store::ahead::Ahead;
use crate::store::format::{ALIGN, Head};
use crate::store::log::{LogFile, Scanner, Step};

/// Bytes verified together: enough that the threads seldom wait for each other, and few enough that the records are
/// still in a cache when they are counted.
pub(super) const STRETCH_BYTES: u64 = if cfg!(test) { 1 << 10 } else { 1 << 20 };
/// Bytes searched for the first record of a stretch. A stretch without one there begins within a long record, and most
/// likely needs none of its own.
const SEARCHED_BYTES: u64 = 64 << 10;

/// A part of the log, and what verified in it.
#[derive(Debug, Default)]
pub(super) struct Stretch {
    /// Records one behind the other, and where each stands.
    pub(super) records: Vec<(u64, Head)>,
    /// The buffer through which the records were read.
    buffer: Vec<u8>,
}

impl Stretch {
    /// Where the first record stands.
    pub(super) fn start(&self) -> Option<u64> {
        self.records.first().map(|(offset, _)| *offset)
    }

    /// Verifies the records that begin in the stretch from `start` on. With `is_tail` all that counts so far ends at
    /// `start`, so the first one begins there; elsewhere it is searched for.
    fn verify(&mut self, log: &LogFile, seed: u64, start: u64, is_tail: bool) {
        self.records.clear();
        let mut scanner = Scanner::new(log, seed, start).buffered(std::mem::take(&mut self.buffer));
        let until = start.saturating_add(STRETCH_BYTES);
        let searched = match is_tail {
            true => 0,
            false => SEARCHED_BYTES,
        };
        while scanner.offset() < until {
            match scanner.step() {
                Ok(Step::Record { offset, head, .. }) => {
                    self.records.push((offset, head));
                }
                Ok(Step::Unverified { offset })
                    if self.records.is_empty() && offset < start + searched =>
                {
                    scanner.seek(offset + ALIGN, false);
                }
                _ => break,
            }
        }
        self.buffer = scanner.into_buffer();
    }
}

/// The stretches of a log from `start`, where a record or nothing stands, up to `end`, each with the offset at which it
/// begins.
pub(super) fn stretches(log: &LogFile, seed: u64, start: u64, end: u64) -> Ahead<u64, Stretch> {
    let log = log.clone();
    let mut next = start;
    let jobs = std::iter::from_fn(move || {
        let at = (next < end).then_some(next);
        next = next.saturating_add(STRETCH_BYTES);
        at
    });
    Ahead::new(jobs, 0, move |at, stretch: &mut Stretch| {
        stretch.verify(&log, seed, *at, *at == start);
    })
}
