//! The list of a user's sessions, so that they are found without reading all others.
//!
//! The list holds the **name** of each session: its key without the first two bytes. It is kept as records of the same
//! store, and changed in the same batch as the sessions, so that no crash parts them. A list is cut into **parts**, so
//! that a login rewrites a short one. The last bits of a name tell its part, and parts are split and joined one by one
//! (linear hashing; Litwin, 1980). Most lists have one part.
//!
//! A part is 9 bytes and its sessions. Of part 0 the 9 bytes are about the whole list; nobody reads those of another.
//!
//! | bytes | what |
//! |---|---|
//! | 1 | 0; 1 if a part was found damaged: the list is not **whole**, and all records are read in its place |
//! | 4 | how many parts there are |
//! | 4 | when the last session ends, in hours since 1970; all ones: never. If the list is not whole, a number that was drawn when the damage was found |
//! | 4 each | when the session ends, in hours and rounded up |
//! | 1 + 16 or 35 each | how long its name is; its name |
//!
//! Numbers are big-endian. A part expires when the last of its sessions does, part 0 with the last of the list, so that
//! sessions which end by themselves take their list along. The end that is noted is never earlier than the session's: a
//! touch that prolongs the session beyond it notes it anew, about once an hour.
//!
//! **A name in a list proves nothing.** A caller that finds one reads the session, whose own word on its user counts.
//! So a record that is lost, or dropped by the store, leaves a name that does no harm. Each change that adds a name looks
//! for the records of two old ones, and drops a name without a record: so at most about half of the names lead nowhere.
//!
//! **A damaged list is mended by the next change of it that meets the damage**, from a walk over all records. The walk
//! runs without the lock. A session that is stored meanwhile is named in the list, whole or not, so that the names which
//! the walk has found and the names in the list are all sessions together. More damage that is found meanwhile draws
//! another number, and then another walk is needed.
#![deny(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::as_conversions
)]

use super::lifetime::time_at;
use super::record_key::{KIND, list_key, session_key};
use super::records::{Edits, Records};
use super::sha256::sha256;
use crate::error::Result;
use crate::store::change::Edit;
use crate::store::order::sort_by_number;
use std::collections::HashMap;
use std::ops::Deref;
use std::time::SystemTime;

/// A part with more is split.
const NAMES_MAX: usize = 32;
/// A part with fewer takes in the last one.
const NAMES_MIN: usize = 4;
/// The most parts that one removal joins.
const JOINS: usize = 4;
/// After how many old names a change looks that adds one. With two a list drops more names than it gets as long as most
/// of them lead nowhere.
const LOOKS: usize = 2;
/// As an hour: a session that does not end by itself.
const NEVER: u32 = u32::MAX;
const HOUR_MS: u64 = 3_600_000;

/// The part of a key that tells a session from all others of a store. Without an allocation: a login reads dozens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Name {
    len: u8,
    bytes: [u8; 35],
}

impl Name {
    /// `None` if it is longer than any.
    pub(super) fn of(name: &[u8]) -> Option<Name> {
        let mut bytes = [0; 35];
        bytes.get_mut(..name.len())?.copy_from_slice(name);
        let len = u8::try_from(name.len()).ok()?;
        Some(Name { len, bytes })
    }
}

impl Deref for Name {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }
}

/// The hour by which a session that ends at `end`, in ms, has ended.
pub(super) fn hour_of(end: Option<u64>) -> u32 {
    let hour = end.map(|end| end.div_ceil(HOUR_MS));
    hour.and_then(|hour| u32::try_from(hour).ok())
        .unwrap_or(NEVER)
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Part {
    is_whole: bool,
    /// How many there are; at least 1. Counts in part 0 only.
    parts: u32,
    /// No part ends later; if the list is not whole, which damage it met last. Counts in part 0 only.
    last_end: u32,
    names: Vec<Listed>,
}

/// A session in a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Listed {
    /// The hour by which it has ended.
    end: u32,
    name: Name,
    /// Named by this very change: the session's record is not stored yet.
    is_new: bool,
}

impl Part {
    fn new() -> Part {
        Part {
            is_whole: true,
            parts: 1,
            last_end: 0,
            names: Vec::new(),
        }
    }

    fn decode(stored: &[u8]) -> Option<Part> {
        let (&flags, rest) = stored.split_first()?;
        let (parts, rest) = rest.split_first_chunk::<4>()?;
        let (last_end, rest) = rest.split_first_chunk::<4>()?;
        let mut part = Part {
            is_whole: flags == 0,
            parts: u32::from_be_bytes(*parts).max(1),
            last_end: u32::from_be_bytes(*last_end),
            names: Vec::new(),
        };
        let mut rest = rest;
        while let Some((end, named)) = rest.split_first_chunk::<4>() {
            let (&name_len, named) = named.split_first()?;
            let (name, others) = named.split_at_checked(usize::from(name_len))?;
            part.names.push(Listed {
                end: u32::from_be_bytes(*end),
                name: Name::of(name)?,
                is_new: false,
            });
            rest = others;
        }
        (flags <= 1 && rest.is_empty()).then_some(part)
    }

    fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![u8::from(!self.is_whole)];
        bytes.extend(self.parts.to_be_bytes());
        bytes.extend(self.last_end.to_be_bytes());
        for Listed { end, name, .. } in &self.names {
            bytes.extend(end.to_be_bytes());
            bytes.push(name.len);
            bytes.extend_from_slice(name);
        }
        bytes
    }

    fn end(&self) -> u32 {
        let ends = self.names.iter().map(|listed| listed.end);
        ends.max().unwrap_or(0)
    }
}

/// Which of `parts` parts a name falls to.
fn part_of(name: &[u8], parts: u32) -> u32 {
    // Names end in random bits.
    let bits = name
        .last_chunk::<4>()
        .map_or(0, |bits| u32::from_be_bytes(*bits));
    let parts = parts.max(1);
    let half = half_of(parts);
    // The smallest power of two that is not below `parts` is twice its half, or 1.
    let at = bits & half.saturating_mul(2).saturating_sub(1);
    match at < parts {
        true => at,
        false => at.saturating_sub(half),
    }
}

/// Half of the smallest power of two that is not below `parts`; 0 of 1.
fn half_of(parts: u32) -> u32 {
    match parts {
        0 | 1 => 0,
        _ => parts.next_power_of_two() / 2,
    }
}

type User = [u8; 16];

fn hash_of(user: &str) -> User {
    let hash = sha256(user.as_bytes());
    hash.first_chunk().copied().unwrap_or_default()
}

/// A reading of a file, and an offset in it. A record that counts is never written over, so two looks that find the same
/// find the same record.
type RecordAt = (u64, u64);

#[derive(Debug)]
struct Loaded {
    part: Part,
    /// The record that it was read from.
    place: Option<RecordAt>,
    is_stored: bool,
    is_changed: bool,
    /// The first part of a list that was mended here.
    is_mended: bool,
}

/// Parts of lists as they are to become. They are changed under the store's lock.
pub(super) struct Lists<'a> {
    records: &'a dyn Records,
    loaded: HashMap<(User, u32), Loaded>,
    /// A part could not be read just now. Names that were added to it since the last walk may be lost.
    is_damaged: bool,
    /// Users whose lists were changed and are not whole.
    to_mend: Vec<String>,
}

impl<'a> Lists<'a> {
    pub(super) fn new(records: &'a dyn Records) -> Lists<'a> {
        Lists {
            records,
            loaded: HashMap::new(),
            is_damaged: false,
            to_mend: Vec::new(),
        }
    }

    /// A part as it is by now.
    fn part(&mut self, user: User, nth: u32) -> Result<&mut Loaded> {
        let loaded = match self.loaded.remove(&(user, nth)) {
            Some(loaded) => loaded,
            None => self.load(user, nth)?,
        };
        Ok(self.loaded.entry((user, nth)).or_insert(loaded))
    }

    /// A part as it is stored. The names in a damaged one are lost, and the list is not whole any more.
    fn load(&mut self, user: User, nth: u32) -> Result<Loaded> {
        let mut place = None;
        let stored = match self.records.peek(&list_key(&user, nth)) {
            Ok(None) => Ok(None),
            Ok(Some(stored)) => {
                place = Some((stored.reading, stored.offset));
                Part::decode(stored.value()).map(Some).ok_or(())
            }
            Err(error) if error.is_corrupt() => Err(()),
            Err(error) => return Err(error),
        };
        let is_whole = stored.is_ok();
        self.is_damaged |= !is_whole;
        let mut damage = [0; 4];
        if !is_whole {
            self.records.random(&mut damage)?;
        }
        let damage = u32::from_be_bytes(damage);
        if !is_whole && nth > 0 {
            let first = self.part(user, 0)?;
            (first.part.is_whole, first.part.last_end) = (false, damage);
            first.is_changed = true;
        }
        let part = stored.ok().flatten();
        Ok(Loaded {
            place,
            is_stored: part.is_some() || !is_whole,
            is_changed: !is_whole,
            is_mended: false,
            part: part.unwrap_or(Part {
                is_whole: is_whole || nth > 0,
                last_end: damage,
                ..Part::new()
            }),
        })
    }

    /// A part that is about to be changed.
    fn change(&mut self, user: User, nth: u32) -> Result<&mut Part> {
        let loaded = self.part(user, nth)?;
        loaded.is_changed = true;
        Ok(&mut loaded.part)
    }

    fn parts(&mut self, user: User) -> Result<u32> {
        Ok(self.part(user, 0)?.part.parts)
    }

    /// Whether the list names every session of the user.
    pub(super) fn is_whole(&mut self, user: &str) -> Result<bool> {
        let user = hash_of(user);
        // A damaged part shows when it is read.
        for nth in 0..self.parts(user)? {
            self.part(user, nth)?;
        }
        let first = self.part(user, 0)?;
        let (is_whole, is_mended) = (first.part.is_whole, first.is_mended);
        Ok(is_whole && (is_mended || self.is_vouched_for()?))
    }

    /// Whether a part without a record never had one. A salvage that lost any took the note of how ids are kept away.
    fn is_vouched_for(&self) -> Result<bool> {
        match self.records.peek(KIND) {
            Ok(note) => Ok(note.is_some()),
            Err(error) if error.is_corrupt() => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// The records that the parts of the list stand in, part by part.
    ///
    /// Where two looks give the same, all parts stood like that at one moment between them. For a part that is written
    /// gets another record; and where one comes and goes, the removal of its last name joins parts, which writes part 0.
    pub(super) fn places(&mut self, user: &str) -> Result<Vec<Option<RecordAt>>> {
        let user = hash_of(user);
        let parts = self.parts(user)?;
        (0..parts)
            .map(|nth| Ok(self.part(user, nth)?.place))
            .collect()
    }

    /// Which damage the list met last; `None` if none that is not mended.
    pub(super) fn damage(&mut self, user: &str) -> Result<Option<u32>> {
        let first = &self.part(hash_of(user), 0)?.part;
        Ok((!first.is_whole).then_some(first.last_end))
    }

    /// Whether a walk that ended before the lock was taken can make the list whole: not if more damage was found since
    /// the one that was known `before` the walk, since it may have hit the name of a session that was stored during the
    /// walk.
    pub(super) fn can_be_mended(&mut self, user: &str, before: Option<u32>) -> Result<bool> {
        Ok(!self.is_whole(user)? && !self.is_damaged && self.damage(user)? == before)
    }

    /// Adds all names that a walk has found, each with the hour by which its session has ended: from now on the list is
    /// whole.
    pub(super) fn mend(&mut self, of: &str, found: &[(Name, u32)]) -> Result<()> {
        for (name, end) in found {
            self.add(of, name, *end)?;
        }
        self.call_whole(hash_of(of))?;
        self.to_mend.retain(|user| user != of);
        Ok(())
    }

    fn call_whole(&mut self, user: User) -> Result<()> {
        let mut last_end = 0;
        for nth in 0..self.parts(user)? {
            last_end = self.part(user, nth)?.part.end().max(last_end);
        }
        let first = self.change(user, 0)?;
        (first.is_whole, first.last_end) = (true, last_end);
        self.part(user, 0)?.is_mended = true;
        Ok(())
    }

    /// Users whose lists were changed and have to be mended.
    pub(super) fn take_to_mend(&mut self) -> Vec<String> {
        std::mem::take(&mut self.to_mend)
    }

    fn note_damage(&mut self, user: &str, hash: User) -> Result<()> {
        let is_whole = self.part(hash, 0)?.part.is_whole;
        if !is_whole && !self.to_mend.iter().any(|known| known == user) {
            self.to_mend.push(user.to_string());
        }
        Ok(())
    }

    /// All that the list names.
    pub(super) fn names(&mut self, user: &str) -> Result<Vec<Name>> {
        let user = hash_of(user);
        let mut names = Vec::new();
        for nth in 0..self.parts(user)? {
            let part = &self.part(user, nth)?.part;
            names.extend(part.names.iter().map(|listed| listed.name));
        }
        Ok(names)
    }

    /// Names a session that ends in this hour, or notes that it ends later than was known.
    pub(super) fn add(&mut self, of: &str, name: &[u8], end: u32) -> Result<()> {
        let (user, Some(name)) = (hash_of(of), Name::of(name)) else {
            return Ok(());
        };
        let parts = self.parts(user)?;
        let nth = part_of(&name, parts);
        let names = &mut self.change(user, nth)?.names;
        match names.iter_mut().find(|listed| listed.name == name) {
            Some(listed) => {
                listed.end = end.max(listed.end);
                listed.is_new = true;
            }
            None => {
                names.push(Listed {
                    end,
                    name,
                    is_new: true,
                });
                for _ in 0..LOOKS {
                    self.look_after(user, nth)?;
                }
            }
        }
        let first = &self.part(user, 0)?.part;
        if first.is_whole && end > first.last_end {
            self.change(user, 0)?.last_end = end;
        }
        if self.part(user, nth)?.part.names.len() > NAMES_MAX {
            self.split(user)?;
        }
        self.note_damage(of, user)
    }

    /// Forgets a session.
    pub(super) fn remove(&mut self, of: &str, name: &[u8]) -> Result<()> {
        let user = hash_of(of);
        let nth = part_of(name, self.parts(user)?);
        self.part(user, nth)?;
        self.note_damage(of, user)?;
        let names = &self.part(user, nth)?.part.names;
        if !names.iter().any(|listed| *listed.name == *name) {
            return Ok(());
        }
        let part = self.change(user, nth)?;
        part.names.retain(|listed| *listed.name != *name);
        for _ in 0..JOINS {
            let is_short = self.part(user, nth)?.part.names.len() < NAMES_MIN;
            if !is_short || self.parts(user)? < 2 {
                break;
            }
            self.join(user)?;
        }
        Ok(())
    }

    /// Drops the oldest name of a part if the store has no record of its session; otherwise it goes to the end of the
    /// queue.
    fn look_after(&mut self, user: User, nth: u32) -> Result<()> {
        let names = &self.part(user, nth)?.part.names;
        let &[listed, _, ..] = names.as_slice() else {
            return Ok(());
        };
        let is_gone =
            !listed.is_new && matches!(self.records.peek(&session_key(&listed.name)), Ok(None));
        let names = &mut self.change(user, nth)?.names;
        names.remove(0);
        if !is_gone {
            names.push(listed);
        }
        Ok(())
    }

    /// Makes one part more, of names of the part whose turn it is.
    fn split(&mut self, user: User) -> Result<()> {
        let last = self.parts(user)?;
        let parts = last.saturating_add(1);
        let from = last.saturating_sub(half_of(parts));
        self.change(user, 0)?.parts = parts;
        let names = std::mem::take(&mut self.change(user, from)?.names);
        let (moving, staying) = names
            .into_iter()
            .partition(|listed| part_of(&listed.name, parts) == last);
        self.change(user, from)?.names = staying;
        self.change(user, last)?.names = moving;
        Ok(())
    }

    /// Makes one part less, undoing the last split.
    fn join(&mut self, user: User) -> Result<()> {
        let parts = self.parts(user)?;
        let last = parts.saturating_sub(1);
        let into = last.saturating_sub(half_of(parts));
        let names = std::mem::take(&mut self.change(user, last)?.names);
        self.change(user, into)?.names.extend(names);
        self.change(user, 0)?.parts = last;
        Ok(())
    }

    /// The edits that turn the stored lists into these.
    pub(super) fn into_edits(self) -> Edits {
        let mut edits = Vec::new();
        let mut lists: Vec<_> = self.loaded.into_iter().collect();
        // The map has them in another order each time, and what is written must not depend on that.
        sort_by_number(&mut lists, |((user, nth), _)| {
            let word = user
                .first_chunk()
                .map_or(0, |word| u64::from_be_bytes(*word));
            word.wrapping_add(u64::from(*nth))
        });
        for ((user, nth), loaded) in lists {
            let Loaded {
                mut part,
                is_stored,
                is_changed,
                ..
            } = loaded;
            if !is_changed {
                continue;
            }
            let key = list_key(&user, nth);
            let is_first = nth == 0;
            if part.names.is_empty() && !(is_first && (part.parts > 1 || !part.is_whole)) {
                if is_stored {
                    edits.push((key, Edit::Remove));
                }
                continue;
            }
            part.last_end = match part {
                Part {
                    is_whole: false, ..
                } => part.last_end,
                Part { parts: 2.., .. } if is_first => part.last_end.max(part.end()),
                _ => part.end(),
            };
            let end = Some(part.last_end).filter(|_| part.is_whole);
            let put = Edit::Put {
                value: part.encode(),
                expires: end.and_then(moment_of),
                cbor: false,
            };
            edits.push((key, put));
        }
        edits
    }
}

/// When an hour begins; `None` is never.
fn moment_of(hour: u32) -> Option<SystemTime> {
    let millis = (hour != NEVER).then(|| u64::from(hour).saturating_mul(HOUR_MS));
    millis.and_then(time_at)
}
