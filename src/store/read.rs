//! Looking a key up: which record is the key's, and whether it can be believed.

use super::current::Pinned;
use super::entry::Entry;
use super::format::{FileHeader, HEAD_BYTES, Head, KEY_MAX, Kind};
use super::generation::Generation;
use super::place::Place;
use crate::error::Result;
use std::ops::Range;

/// Reads the record of a key into `record`; returns where in it the value is.
#[inline]
pub(crate) fn value(
    place: &Place,
    key: &[u8],
    record: &mut Vec<u8>,
) -> Result<Option<Range<usize>>> {
    Ok(live(place, key, record)?.map(|live| live.value))
}

/// As [`value`], and tells which record that was.
#[inline]
pub(crate) fn live(place: &Place, key: &[u8], record: &mut Vec<u8>) -> Result<Option<Live>> {
    let found = find(place, key, record, false)?;
    Ok(found.filter(|found| !has_ended(place, &found.generation, found.head.expires_ms)))
}

/// The record of a key, also of an entry that has ended and was not dropped yet. If that one is damaged, it is an error
/// with `ended_too`, and absent without.
#[inline]
fn find(place: &Place, key: &[u8], record: &mut Vec<u8>, ended_too: bool) -> Result<Option<Live>> {
    if key.len() > KEY_MAX {
        return Ok(None);
    }
    let mut reread = false;
    loop {
        let generation = place.fresh()?;
        let (damaged, expires_ms) = match read_from(&generation, key, record)? {
            Lookup::Found { offset, .. } if offset < generation.outdated_below() => {
                return Err(generation.outdated(offset));
            }
            Lookup::Found {
                head,
                offset,
                value,
            } => {
                return Ok(Some(Live {
                    generation,
                    head,
                    offset,
                    value,
                }));
            }
            Lookup::Absent if generation.outdated_below() > 0 => {
                return Err(generation.outdated(generation.outdated_below()));
            }
            Lookup::Absent => return Ok(None),
            Lookup::Damaged { offset, expires_ms } => (offset, expires_ms),
        };
        if reread {
            // Damage behind it may hide a later value.
            let is_newest = damaged >= generation.outdated_below();
            if is_newest && !ended_too && has_ended(place, &generation, expires_ms) {
                return Ok(None);
            }
            return Err(generation.log.unverified(damaged));
        }
        // Unless another file was put over this one, what is read again is the same.
        reread = true;
        if !generation.is_still_there()? {
            place.read_anew(&generation)?;
        }
    }
}

/// One entry, with what the store knows of it.
pub(crate) fn entry(place: &Place, key: &[u8]) -> Result<Option<Entry>> {
    let mut record = Vec::new();
    let found = live(place, key, &mut record)?;
    Ok(found.and_then(|found| entry_of(&found, &record)))
}

/// As [`entry`], also if it has ended and was not dropped yet.
pub(crate) fn entry_even_ended(place: &Place, key: &[u8]) -> Result<Option<Entry>> {
    let mut record = Vec::new();
    let found = find(place, key, &mut record, true)?;
    Ok(found.and_then(|found| entry_of(&found, &record)))
}

fn entry_of(found: &Live, record: &[u8]) -> Option<Entry> {
    let body = record.get(HEAD_BYTES..)?;
    Entry::of_body(&found.generation, found.offset, &found.head, body)
}

pub(crate) fn contains(place: &Place, key: &[u8]) -> Result<bool> {
    if key.len() > KEY_MAX {
        return Ok(false);
    }
    let generation = place.fresh()?;
    if generation.outdated_below() == 0 {
        let fingerprint = generation.fingerprint(key);
        let candidates = generation.index.candidates(fingerprint);
        match generation.find_among(&candidates, fingerprint, key)? {
            None => return Ok(false),
            Some(found) if !found.is_damaged => {
                return Ok(!has_ended(place, &generation, found.expires_ms));
            }
            Some(_) => {}
        }
    }
    value(place, key, &mut Vec::new()).map(|value| value.is_some())
}

/// Asks for the time only where there is an end.
pub(crate) fn has_ended(place: &Place, generation: &Generation, expires_ms: u64) -> bool {
    expires_ms != 0 && expires_ms <= place.ended_by_ms(generation)
}

/// Where an entry of a snapshot stands now, if it was not written since.
pub(crate) fn unchanged(generation: &Generation, entry: &Entry) -> Result<Option<u64>> {
    if entry.reading == generation.reading {
        return Ok(generation
            .index
            .holds(entry.fingerprint, entry.offset)
            .then_some(entry.offset));
    }
    // The file was replaced, or read anew since something was put over it: an offset alone means nothing any more.
    let candidates = generation.index.candidates(entry.fingerprint);
    let Some(found) = generation.find_among(&candidates, entry.fingerprint, &entry.key)? else {
        return Ok(None);
    };
    // A record that was appended since that file was put in place is no copy, however alike.
    if found.at.offset() >= generation.header.base && found.at.offset() != entry.offset {
        return Ok(None);
    }
    let mut record = Vec::new();
    Ok(match read_from(generation, &entry.key, &mut record)? {
        Lookup::Found { head, value, .. } => {
            let same = entry.is_same(&head) && record.get(value) == Some(&*entry.value);
            same.then_some(found.at.offset())
        }
        Lookup::Absent | Lookup::Damaged { .. } => None,
    })
}

/// A record that counts, and the file that it is in.
pub(crate) struct Live {
    pub(crate) generation: Pinned,
    pub(crate) head: Head,
    pub(crate) offset: u64,
    /// Where the value is in what was read.
    pub(crate) value: Range<usize>,
}

/// The outcome of a look for a key in one file.
pub(crate) enum Lookup {
    Found {
        head: Head,
        offset: u64,
        value: Range<usize>,
    },
    Absent,
    /// A record does not verify, and may be the key's.
    Damaged {
        offset: u64,
        /// 0: never, or nobody can tell whether it is the key's.
        expires_ms: u64,
    },
}

/// Reads the record of a key, whole and verified, into `record`.
pub(crate) fn read_from(
    generation: &Generation,
    key: &[u8],
    record: &mut Vec<u8>,
) -> Result<Lookup> {
    let FileHeader { seed, .. } = generation.header;
    let fingerprint = generation.fingerprint(key);
    let mut damaged = None;
    for at in generation.index.candidates(fingerprint).iter() {
        record.resize(at.len() as usize, 0);
        let read = (generation.log).read_at_least(record.len(), record, at.offset())?;
        let Some((fixed, body)) = record
            .get(..read)
            .and_then(|record| record.split_first_chunk::<HEAD_BYTES>())
        else {
            damaged = Some((at.offset(), 0));
            continue;
        };
        let head = Head::decode(fixed, seed, at.offset());
        let stored = head.and_then(|head| body.get(..usize::from(head.key_len)));
        match head {
            Some(head) if read == record.len() && head.body_holds(body, seed, at.offset()) => {
                if head.kind == Kind::Put && stored == Some(key) {
                    let start = HEAD_BYTES + key.len();
                    return Ok(Lookup::Found {
                        head,
                        offset: at.offset(),
                        value: start..start + head.value_len as usize,
                    });
                }
                // The index never leads to such a record: something was put over the file.
                if head.kind != Kind::Put || head.fingerprint != fingerprint {
                    damaged = Some((at.offset(), 0));
                }
            }
            // A damaged record that is surely another key's takes nothing from this one.
            Some(_)
                if stored.is_some_and(|stored| {
                    stored != key && generation.fingerprint(stored) == fingerprint
                }) => {}
            _ => {
                let own =
                    head.filter(|head| stored == Some(key) && head.fingerprint == fingerprint);
                damaged = Some((at.offset(), own.map_or(0, |head| head.expires_ms)));
            }
        }
    }
    Ok(match damaged {
        Some((offset, expires_ms)) => Lookup::Damaged { offset, expires_ms },
        None => Lookup::Absent,
    })
}
