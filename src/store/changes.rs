//! Following the log live, from one file to the next.

use super::event::{Event, Events};
use super::format::LOG_START;
use super::generation::Generation;
use super::log::{Scanner, Step};
use super::place::Place;
use crate::error::{Error, Result};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// A place in the life of a store: which file, and where in it.
///
/// Its text can be kept, and read back after a restart.
///
/// ```
/// # fn main() -> shelflife::Result<()> {
/// # let dir = tempfile::tempdir().unwrap();
/// # let store = shelflife::Store::open(dir.path().join("s.shelf"))?;
/// let position = store.position()?;
/// assert_eq!(position.to_string().parse::<shelflife::Position>()?, position);
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Position {
    lineage: [u8; 16],
    generation: u64,
    offset: u64,
}

impl Position {
    pub(crate) fn end_of(generation: &Generation) -> Position {
        Position {
            lineage: generation.header.lineage,
            generation: generation.header.generation,
            offset: generation.tail(),
        }
    }

    /// The place in its file.
    pub fn offset(&self) -> u64 {
        self.offset
    }
}

/// `LINEAGE-GENERATION-OFFSET`, the first in hexadecimal.
impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lineage = u128::from_be_bytes(self.lineage);
        write!(f, "{lineage:032x}-{}-{}", self.generation, self.offset)
    }
}

impl FromStr for Position {
    type Err = Error;

    fn from_str(text: &str) -> Result<Position> {
        let parsed = || {
            let mut fields = text.split('-');
            let lineage = fields.next().filter(|lineage| lineage.len() == 32)?;
            let lineage = u128::from_str_radix(lineage, 16).ok()?;
            let (generation, offset) = (fields.next()?, fields.next()?);
            let position = Position {
                lineage: lineage.to_be_bytes(),
                generation: generation.parse().ok()?,
                offset: offset.parse().ok()?,
            };
            // One text for each position: no signs, no zeros in front.
            (position.to_string() == text).then_some(position)
        };
        parsed().ok_or_else(|| Error::invalid_input("not a position in a store", ""))
    }
}

/// An answer of [`Changes::next`](crate::Changes::next).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Seen {
    /// A change.
    Event(Event),
    /// The file was rewritten without its dead bytes; nothing changed.
    Compacted,
    /// Changes were missed: the file that had them is gone. Read everything again; what follows starts before that.
    Missed,
}

/// Where somebody who follows is.
#[derive(Debug)]
pub(crate) struct Cursor {
    at: Arc<Generation>,
    /// Everything before it was handed out.
    offset: u64,
    events: Option<Events>,
    /// To be told before anything else.
    missed: bool,
}

impl Cursor {
    pub(crate) fn new(place: &Place, from: Position) -> Result<Cursor> {
        let at = Arc::clone(&*place.fresh()?);
        let is_known = from.lineage == at.header.lineage
            && from.generation == at.header.generation
            && is_boundary(&at, from.offset)?;
        // A store that held nothing had no file to speak of.
        let was_unborn = from.generation == 0 && at.header.generation == 1;
        Ok(Cursor {
            offset: match (is_known, was_unborn) {
                (true, _) => from.offset,
                (_, true) => LOG_START,
                _ => at.tail(),
            },
            missed: !is_known && !was_unborn,
            at,
            events: None,
        })
    }

    pub(crate) fn position(&self) -> Position {
        Position {
            offset: self.offset,
            ..Position::end_of(&self.at)
        }
    }

    /// The next thing that happened; `None` if nothing did so far.
    pub(crate) fn next(&mut self, place: &Place) -> Result<Option<Seen>> {
        if std::mem::take(&mut self.missed) {
            return Ok(Some(Seen::Missed));
        }
        loop {
            if let Some(events) = &mut self.events {
                match events.next() {
                    Some(event) => {
                        let event = event?;
                        // Going on in the middle of a batch would show half of it.
                        if event.ends_batch {
                            self.offset = event.end;
                        }
                        return Ok(Some(Seen::Event(event)));
                    }
                    None => self.offset = events.end(),
                }
                self.events = None;
            }
            let now = Arc::clone(&*place.fresh()?);
            if !Arc::ptr_eq(&now, &self.at) {
                // First the records that were written to the old file before it was left.
                self.at.look()?;
            }
            let tail = self.at.tail();
            if tail > self.offset {
                self.events = Some(Events::of(&self.at, self.offset..tail));
                continue;
            }
            if Arc::ptr_eq(&now, &self.at) {
                return Ok(None);
            }
            return Ok(Some(self.move_to(now)));
        }
    }

    /// Goes on with another file.
    fn move_to(&mut self, now: Arc<Generation>) -> Seen {
        let old = std::mem::replace(&mut self.at, now);
        let (header, new) = (&old.header, &self.at.header);
        let is_next = old.is_unborn()
            || (new.lineage == header.lineage && new.generation == header.generation + 1);
        // A successor without any record of the old file took its place on purpose: the store was emptied.
        let was_emptied = new.base <= LOG_START && old.keys() > 0;
        // And one that was made because the old file is damaged may lack what could not be read.
        let is_sound = old.position().damage.is_empty() && !old.is_condemned();
        if is_next && !was_emptied && is_sound {
            self.offset = match old.is_unborn() {
                true => LOG_START,
                false => new.base,
            };
            return Seen::Compacted;
        }
        self.offset = self.at.tail();
        Seen::Missed
    }
}

/// Whether a record begins there, or the log ends.
fn is_boundary(generation: &Generation, offset: u64) -> Result<bool> {
    if offset == generation.tail() {
        return Ok(true);
    }
    if !(LOG_START..generation.tail()).contains(&offset) {
        return Ok(false);
    }
    let mut scanner = Scanner::short(&generation.log, generation.header.seed, offset);
    Ok(matches!(scanner.step()?, Step::Record { .. }))
}
