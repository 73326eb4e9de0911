//! Reading records at known places in log order, neighbours together.

use super::index::Location;
use super::log::LogFile;
use crate::error::Result;

/// Bytes read together at most: few enough to stay in a core's cache between copying and checking.
const SPAN_BYTES: u64 = 128 << 10;
/// The longest gap that is read rather than skipped: a call costs as much as copying it.
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
        if self.held(at).is_none() {
            let mut end = at.end();
            for next in upcoming {
                if !joins(at, end, next) {
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

    /// The bytes at a location, if they were all read with the last read.
    #[inline]
    pub(crate) fn held(&self, at: Location) -> Option<&[u8]> {
        let start = at.offset().checked_sub(self.start)?;
        self.bytes.get(start as usize..)?.get(..at.len() as usize)
    }
}

/// How many of these locations, which are in log order, one read gets.
pub(crate) fn in_one_read(locations: &[Location]) -> usize {
    let Some((first, rest)) = locations.split_first() else {
        return 0;
    };
    let mut end = first.end();
    let joined = rest.iter().take_while(|next| {
        let joins = joins(*first, end, **next);
        end = next.end();
        joins
    });
    1 + joined.count()
}

/// Whether one read from `first` to `end` gets what is at `next` as well.
fn joins(first: Location, end: u64, next: Location) -> bool {
    next.offset() <= end + GAP_BYTES && next.end() <= first.offset() + SPAN_BYTES
}
