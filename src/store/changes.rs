//! Following the log live, from one file to the next.

use super::checksum::xxh64;
use super::event::{Event, Events};
use super::format::LOG_START;
use super::generation::{Generation, Mark};
use super::log::{Scanner, Step};
use super::place::Place;
use crate::error::{Error, Result};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// A place in the life of a store: which file, where in it, and a check of the record that ends there.
///
/// Its text can be kept, and read back after a restart. A store that was restored to an earlier time does not have it,
/// not even once it has written as much again.
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
    /// Where the record begins that ends there; 0: nothing stands before it but what the file began with.
    last: u64,
    check: u64,
}

impl Position {
    pub(crate) fn end_of(generation: &Generation) -> Position {
        let mark = generation.position().mark();
        Position::of(generation, mark)
    }

    fn of(generation: &Generation, mark: Mark) -> Position {
        let header = &generation.header;
        Position {
            lineage: header.lineage,
            generation: header.generation,
            offset: mark.end,
            last: mark.last,
            check: check_of(header.seed, mark.checks),
        }
    }

    /// The place in its file.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The place in a file that this position means; `None` if the file has other records before it, or does not reach
    /// it.
    fn find_in(&self, generation: &Generation) -> Result<Option<Mark>> {
        let header = &generation.header;
        if (self.lineage, self.generation) != (header.lineage, header.generation)
            || !is_boundary(generation, self.offset)?
        {
            return Ok(None);
        }
        let checks = match self.last {
            // All files of one seed begin with the same records.
            0 if self.offset <= header.base.max(LOG_START) => Some(0),
            0 => None,
            last => generation.checks_at(last)?,
        };
        let checks = checks.filter(|checks| check_of(header.seed, *checks) == self.check);
        Ok(checks.map(|checks| Mark {
            end: self.offset,
            last: self.last,
            checks,
        }))
    }
}

fn check_of(seed: u64, checks: u64) -> u64 {
    xxh64(&checks.to_le_bytes(), seed)
}

/// `LINEAGE-GENERATION-OFFSET-LAST-CHECK`, the first and the last in hexadecimal.
impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Position {
            generation,
            offset,
            last,
            check,
            ..
        } = self;
        let lineage = u128::from_be_bytes(self.lineage);
        write!(
            f,
            "{lineage:032x}-{generation}-{offset}-{last}-{check:016x}"
        )
    }
}

impl FromStr for Position {
    type Err = Error;

    fn from_str(text: &str) -> Result<Position> {
        let parsed = || {
            let mut fields = text.split('-');
            let lineage = fields.next().filter(|lineage| lineage.len() == 32)?;
            let lineage = u128::from_str_radix(lineage, 16).ok()?;
            let mut number = || fields.next()?.parse().ok();
            let position = Position {
                lineage: lineage.to_be_bytes(),
                generation: number()?,
                offset: number()?,
                last: number()?,
                check: u64::from_str_radix(fields.next()?, 16).ok()?,
            };
            // One text for each position: no signs, no zeros in front.
            (position.to_string() == text).then_some(position)
        };
        parsed().ok_or_else(|| {
            Error::invalid_input(
                "not a position in a store",
                "give its text alone, as it was printed",
            )
        })
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
    /// Changes were missed, and why. Read everything again now: the next answers tell each change from before that
    /// reading on, so none falls between.
    Missed(Gap),
}

/// The reason why changes were missed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Gap {
    /// The store was compacted meanwhile, and the file that had the changes is gone; or entries were
    /// [loaded](crate::Store::load) or [salvaged](crate::Store::salvage_in_place), which no file tells one by one.
    Compacted,
    /// A new file took the store's place that was not made of all that the old one had: the store was emptied, or all in
    /// it had ended over 24 hours before, or the old file is damaged.
    Emptied,
    /// Another file, or an earlier state of the store, was put in its place: somebody restored a backup.
    Replaced,
}

/// As the second half of a sentence.
impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Gap::Compacted => "the store was compacted or loaded, and no file has them",
            Gap::Emptied => "the store was emptied, or its file was damaged",
            Gap::Replaced => "another file was put in the place of the store",
        })
    }
}

/// How far one [`Changes`](crate::Changes) has come.
#[derive(Debug)]
pub(crate) struct Cursor {
    at: Arc<Generation>,
    /// Everything before it was handed out.
    mark: Mark,
    /// Those that are being handed out, and where they end.
    events: Option<(Events, Mark)>,
    /// To be told before anything else.
    missed: Option<Gap>,
}

impl Cursor {
    pub(crate) fn new(place: &Place, from: Position) -> Result<Cursor> {
        let at = Arc::clone(&*place.fresh_at_its_path()?);
        let header = &at.header;
        let (mark, missed) = if let Some(mark) = from.find_in(&at)? {
            (mark, None)
        } else if from.generation == 0 {
            // The position was taken while the store held nothing.
            (beginning(LOG_START), None)
        } else {
            let is_later = header.lineage == from.lineage && header.generation > from.generation;
            let gap = match is_later {
                true => Gap::Compacted,
                false => Gap::Replaced,
            };
            (at.position().mark(), Some(gap))
        };
        Ok(Cursor {
            at,
            mark,
            events: None,
            missed,
        })
    }

    pub(crate) fn position(&self) -> Position {
        Position::of(&self.at, self.mark)
    }

    /// The next thing that happened; `None` if nothing did so far.
    pub(crate) fn next(&mut self, place: &Place) -> Result<Option<Seen>> {
        if let Some(gap) = self.missed.take() {
            return Ok(Some(Seen::Missed(gap)));
        }
        loop {
            if let Some((events, end)) = &mut self.events {
                match events.next() {
                    Some(Err(error)) if !error.is_corrupt() => {
                        // The changes behind this place were not read. The next call reads again, from the last whole
                        // batch on.
                        self.events = None;
                        return Err(error);
                    }
                    Some(event) => {
                        let event = event?;
                        // Going on in the middle of a batch would show half of it.
                        if event.ends_batch {
                            self.mark = event.mark;
                        }
                        return Ok(Some(Seen::Event(event)));
                    }
                    None => self.mark = *end,
                }
                self.events = None;
            }
            let now = Arc::clone(&*place.fresh_at_its_path()?);
            let is_same = Arc::ptr_eq(&now, &self.at);
            // First what was written to the old file before it was left, unless something was put over it.
            let is_whole = is_same || (self.at.is_still_there()? && self.at.look().is_ok());
            let end = self.at.position().mark();
            if is_whole && end.end > self.mark.end {
                let part = self.mark.end..end.end;
                self.events = Some((Events::of(&self.at, part), end));
                continue;
            }
            if is_same {
                return Ok(None);
            }
            if now.header == self.at.header && self.position().find_in(&now)?.is_some() {
                // It was only read anew.
                self.at = now;
                continue;
            }
            return Ok(Some(self.move_to(now, is_whole)));
        }
    }

    /// Goes on with another file, from where its copied part ends if nothing was missed.
    fn move_to(&mut self, now: Arc<Generation>, is_whole: bool) -> Seen {
        let old = std::mem::replace(&mut self.at, now);
        let (header, new) = (&old.header, &self.at.header);
        let is_later = new.lineage == header.lineage && new.generation > header.generation;
        // A successor without any record of the old file took its place on purpose: the store was emptied.
        let was_emptied = new.base <= LOG_START && old.keys() > 0;
        // A successor of a damaged file may lack what could not be read.
        let is_sound = is_whole && old.position().damage.is_empty() && !old.is_condemned();
        let gap = if old.is_unborn() {
            self.mark = beginning(LOG_START);
            return Seen::Compacted;
        } else if !is_later {
            Gap::Replaced
        } else if new.generation > header.generation + 1 {
            Gap::Compacted
        } else if was_emptied || !is_sound {
            Gap::Emptied
        } else {
            self.mark = beginning(new.base);
            return Seen::Compacted;
        };
        self.mark = self.at.position().mark();
        Seen::Missed(gap)
    }
}

/// The place behind the records that a file began with, copied from the file before it.
fn beginning(base: u64) -> Mark {
    Mark {
        end: base,
        last: 0,
        checks: 0,
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
    let step = scanner.step()?;
    Ok(matches!(step, Step::Record { .. } | Step::BadBody { .. }))
}
