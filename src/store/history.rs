//! The versions of one key, by one scan of the log.

use super::event::Event;
use super::format::{Kind, LOG_START};
use super::generation::Generation;
use super::log::{Scanner, Step};
use crate::error::Result;
use std::fmt;
use std::sync::Arc;

/// All that the log still has of one key, newest first: values, removals, and clears that took it. Made by
/// [`Store::history`](crate::Store::history); keeps the file it was made from open. A record that can't be read is an
/// `Err` item.
pub struct History {
    generation: Arc<Generation>,
    /// Where its records stand, oldest first.
    places: Vec<u64>,
}

impl fmt::Debug for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("History")
            .field("events", &self.places.len())
            .finish_non_exhaustive()
    }
}

impl History {
    /// `None` if it goes back to the creation of the store. Otherwise the offset where the file was written anew, by a
    /// compaction, a load, a backup or a repair, which dropped what was older, all but the value that the key had then.
    pub fn dropped_before(&self) -> Option<u64> {
        self.generation.dropped_before()
    }
}

/// Reads the log once, keys only where the fingerprint is the key's.
pub(crate) fn history(generation: &Arc<Generation>, key: &[u8]) -> Result<History> {
    let fingerprint = generation.fingerprint(key);
    let mut places = Vec::new();
    let mut is_there = false;
    let end = generation.tail();
    let mut scanner = Scanner::new(&generation.log, generation.header.seed, LOG_START);
    while scanner.offset() < end {
        let (offset, head, stored) = match scanner.step()? {
            Step::Record { offset, head, body } => {
                (offset, head, body.get(..usize::from(head.key_len)))
            }
            Step::BadBody { offset, head, .. } => (offset, head, None),
            // Nobody can tell whose records stood there.
            Step::Unverified { offset } => {
                places.push(offset);
                scanner.seek(offset.saturating_add(super::format::ALIGN), false);
                match scanner.find_record(generation.header.epoch)? {
                    Some(_) => continue,
                    None => break,
                }
            }
            Step::End => {
                places.push(scanner.offset());
                break;
            }
        };
        let is_of_it = match head.kind {
            // A key that does not verify may have been this one.
            Kind::Put | Kind::Delete if head.fingerprint == fingerprint => {
                stored.is_none_or(|stored| stored == key)
            }
            // A clear takes no key that was not there.
            Kind::Clear => is_there,
            _ => false,
        };
        if is_of_it {
            is_there = head.kind == Kind::Put;
            places.push(offset);
        }
    }
    Ok(History {
        generation: Arc::clone(generation),
        places,
    })
}

impl Iterator for History {
    type Item = Result<Event>;

    fn next(&mut self) -> Option<Result<Event>> {
        let offset = self.places.pop()?;
        let generation = &self.generation;
        let mut scanner = Scanner::short(&generation.log, generation.header.seed, offset);
        let event = match scanner.step() {
            Ok(Step::Record { offset, head, body }) => Event::new(generation, offset, &head, body),
            Ok(_) => None,
            Err(error) => return Some(Err(error)),
        };
        Some(event.ok_or_else(|| generation.log.unverified(offset)))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.places.len(), Some(self.places.len()))
    }
}

impl std::iter::FusedIterator for History {}
