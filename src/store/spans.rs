//! Reading records at known places in log order, neighbours together.

use super::index::Location;
use super::log::LogFile;
use crate::error::Result;

/// Read together at most.
const SPAN_BYTES: u64 = 256 << 10;
/// A gap so small is read rather than skipped: a call costs as much as copying it.
const GAP_BYTES: u64 = 4 << 10;

/// The part of a file that was read last.
#[derive(Debug, Default)]
pub(crate) struct Spans {
    bytes: Vec<u8>,
    start: u64,
}

impl Spans {
    /// The bytes at a location, fewer if the file ends before. `upcoming` are those that are asked for next.
    pub(crate) fn read(
        &mut self,
        log: &LogFile,
        at: Location,
        upcoming: impl Iterator<Item = Location>,
    ) -> Result<&[u8]> {
        if at.offset() < self.start || at.end() > self.start + self.bytes.len() as u64 {
            let mut end = at.end();
            for next in upcoming {
                if next.offset() > end + GAP_BYTES || next.end() > at.offset() + SPAN_BYTES {
                    break;
                }
                end = end.max(next.end());
            }
            self.start = at.offset();
            self.bytes.resize((end - at.offset()) as usize, 0);
            let read = log.read_up_to(&mut self.bytes, at.offset());
            // After an error the buffer must not pass for what stands there.
            self.bytes.truncate(*read.as_ref().unwrap_or(&0));
            read?;
        }
        let start = (at.offset() - self.start) as usize;
        let end = self.bytes.len().min(start + at.len() as usize);
        Ok(self.bytes.get(start..end).unwrap_or_default())
    }
}
