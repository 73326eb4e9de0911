//! The events of a store, as its log tells them.

use super::entry::Entry;
use super::format::{Head, Kind};
use super::generation::{Generation, Mark};
use super::log::{Scanner, Step};
use crate::error::Result;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Bytes of events that are read ahead.
const AHEAD_BYTES: u64 = 128 << 10;

/// One change that the log of a store has.
#[derive(Clone)]
pub struct Event {
    what: What,
    offset: u64,
    modified_ms: u64,
    /// Where its record ends, and proof of that.
    pub(crate) mark: Mark,
    /// Whether it is the last of its batch: nothing of a batch counts before that.
    pub(crate) ends_batch: bool,
}

#[derive(Clone)]
enum What {
    Put(Entry),
    Removed(Vec<u8>),
    Cleared,
}

/// The kind of an [`Event`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EventKind {
    /// A key got a value; [`Event::entry`] has both.
    Put,
    /// A key was removed.
    Removed,
    /// All keys were removed.
    Cleared,
}

impl Event {
    /// From a record that verifies; `None` if it changes no key.
    pub(crate) fn new(
        generation: &Generation,
        offset: u64,
        head: &Head,
        body: &[u8],
    ) -> Option<Event> {
        let what = match head.kind {
            Kind::Put => What::Put(Entry::of_body(generation, offset, head, body)?),
            Kind::Delete => What::Removed(body.get(..usize::from(head.key_len))?.to_vec()),
            Kind::Clear => What::Cleared,
            _ => return None,
        };
        Some(Event {
            what,
            offset,
            modified_ms: head.modified_ms,
            mark: Mark {
                end: offset.saturating_add(head.record_bytes()),
                last: offset,
                checks: head.checks(),
            },
            ends_batch: !head.more(),
        })
    }

    /// The kind of change that it made.
    pub fn what(&self) -> EventKind {
        match self.what {
            What::Put(_) => EventKind::Put,
            What::Removed(_) => EventKind::Removed,
            What::Cleared => EventKind::Cleared,
        }
    }

    /// The key that it was about; `None` where that was every key.
    pub fn key(&self) -> Option<&[u8]> {
        match &self.what {
            What::Put(entry) => Some(entry.key()),
            What::Removed(key) => Some(key),
            What::Cleared => None,
        }
    }

    /// The entry that was put.
    pub fn entry(&self) -> Option<&Entry> {
        match &self.what {
            What::Put(entry) => Some(entry),
            _ => None,
        }
    }

    /// Where its record stands in the file, as [`Store::restore`](crate::Store::restore) takes it.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// When it was written, by the writer's clock, to the millisecond.
    pub fn modified(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_millis(self.modified_ms)
    }
}

/// Tells what and where, not whose: keys and values may be secrets.
impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Event")
            .field("what", &self.what())
            .field("offset", &self.offset)
            .finish_non_exhaustive()
    }
}

/// The events of a part of one log, in its order. Made by [`Store::events`](crate::Store::events); keeps the file it
/// was made from open. A record that can't be read is an `Err` item in its place, and the others follow.
pub struct Events {
    generation: Arc<Generation>,
    /// The part that is still to be read.
    rest: Range<u64>,
    ahead: std::vec::IntoIter<Result<Event>>,
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Events").finish_non_exhaustive()
    }
}

impl Events {
    /// Of a part that begins at a record and ends where a batch does.
    pub(crate) fn of(generation: &Arc<Generation>, part: Range<u64>) -> Events {
        Events {
            generation: Arc::clone(generation),
            rest: part,
            ahead: Vec::new().into_iter(),
        }
    }

    /// `None` if they go back to the creation of the store. Otherwise the offset where the file was written anew, by a
    /// compaction, a load, a backup or a repair: before it stands one value of each key, and what was older is gone.
    pub fn dropped_before(&self) -> Option<u64> {
        self.generation.dropped_before()
    }

    /// Reads some of the rest. If the file can't be read, the error is the last item.
    fn read_ahead(&mut self) -> Vec<Result<Event>> {
        let mut read = Vec::new();
        if let Err(error) = self.read_into(&mut read) {
            self.rest.start = self.rest.end;
            read.push(Err(error));
        }
        read
    }

    fn read_into(&mut self, read: &mut Vec<Result<Event>>) -> Result<()> {
        let generation = &self.generation;
        let mut scanner = Scanner::new(&generation.log, generation.header.seed, self.rest.start);
        let stop = self
            .rest
            .start
            .saturating_add(AHEAD_BYTES)
            .min(self.rest.end);
        while scanner.offset() < stop {
            let damaged = match scanner.step()? {
                Step::Record { offset, head, body } => {
                    if let Some(event) = Event::new(generation, offset, &head, body) {
                        read.push(Ok(event));
                    }
                    self.rest.start = scanner.offset();
                    continue;
                }
                Step::BadBody { offset, .. } => offset,
                Step::Unverified { offset } => {
                    let epoch = generation.header.epoch;
                    scanner.seek(offset.saturating_add(super::format::ALIGN), false);
                    if scanner.find_record(epoch)?.is_none() {
                        scanner.seek(self.rest.end, false);
                    }
                    offset
                }
                Step::End => {
                    scanner.seek(self.rest.end, false);
                    self.rest.start
                }
            };
            let error = generation.log.unverified(damaged);
            read.push(Err(error));
            self.rest.start = scanner.offset();
        }
        Ok(())
    }
}

impl Iterator for Events {
    type Item = Result<Event>;

    fn next(&mut self) -> Option<Result<Event>> {
        loop {
            let next = self.ahead.next();
            if next.is_some() || self.rest.start >= self.rest.end {
                return next;
            }
            self.ahead = self.read_ahead().into_iter();
        }
    }
}

impl std::iter::FusedIterator for Events {}
