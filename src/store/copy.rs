//! Copying the live records of one file to another, which compaction, repair and backup share.
//!
//! Each record is verified before it is sealed anew: damage must not get a fresh check. A live record that does not
//! verify is *carried*: the new file has a record of the same fingerprint in its place whose body check is wrong on
//! purpose, so that its key goes on reading as an error until it is written again, and no older value comes up. Damage
//! that no key needs is left behind.

use super::batch::Batch;
use super::format::{CBOR, HEAD_BYTES, Head, Kind, NewRecord};
use super::generation::{Generation, past::GRACE_MS};
use super::index::Location;
use super::log::{Scanner, Step};
use super::spans::Spans;
use super::switch::Successor;
use crate::error::{Error, Result};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Copied {
    /// The successor has all that counts of the log up to `end`. `new_damage`: it carries records that no earlier copy
    /// had carried, so the old file is the only evidence of what was in them.
    To { end: u64, new_damage: bool },
    /// A snapshot has to be copied anew, from the index as it is by then: nothing verifies of a record, and its key was
    /// written or removed meanwhile, so the index has lost its fingerprint.
    StartAnew,
    /// The caller asked it to stop.
    Stopped,
}

/// Copies the record of every key as of now. Reads by the places that the index has, so that whatever no key needs,
/// damaged or not, is not even looked at. An entry that is replaced or removed while this lasts is left out, since a
/// later pass has it, unless the copy `is_snapshot` and has no later pass.
pub(crate) fn copy_live(
    old: &Generation,
    successor: &mut Successor<'_>,
    ended_by_ms: u64,
    stop: &AtomicBool,
    is_snapshot: bool,
) -> Result<Copied> {
    let (locations, end) = {
        // With the mutex nothing is applied meanwhile, so this is one moment.
        let position = old.position();
        (old.index.locations(), position.tail)
    };
    let mut spans = Spans::default();
    let mut new_damage = false;
    let mut rest = locations.as_slice();
    while let Some((&at, upcoming)) = rest.split_first() {
        rest = upcoming;
        if stop.load(Relaxed) {
            return Ok(Copied::Stopped);
        }
        let bytes = spans.read(&old.log, at, upcoming.iter().copied())?;
        match Stored::of(bytes, old, at) {
            // A past entry is left out also where it does not verify: carried along, it would make the next compaction
            // due at once.
            Stored::Sound { head, .. } | Stored::Damaged { head, .. }
                if is_past(head.expires_ms, ended_by_ms)
                    || !is_snapshot && !old.index.holds(head.fingerprint, at.offset()) => {}
            Stored::Sound { head, body } => successor.append(copy_of(&head, body), 0)?,
            Stored::Damaged { head, body } => {
                new_damage |= !head.is_spoilt(body, old.header.seed, at.offset());
                successor.append_damaged(copy_of(&head, body))?;
            }
            Stored::Unknown { rest } => {
                let Some(fingerprint) = old.index.fingerprint_at(at) else {
                    match is_snapshot {
                        true => return Ok(Copied::StartAnew),
                        false => continue,
                    }
                };
                new_damage = true;
                successor.append_damaged(NewRecord {
                    fingerprint,
                    value: rest,
                    ..NewRecord::marker(Kind::Put, 0, old.header.created_ms)
                })?;
            }
        }
    }
    Ok(Copied::To { end, new_damage })
}

/// Under which keys a store goes on.
pub(crate) trait Rekey {
    /// The key that an entry gets; `None` leaves it out.
    fn key_of(&mut self, key: &[u8], value: &[u8], expires_ms: u64) -> Result<Option<Vec<u8>>>;

    /// Entries that are stored besides, asked for once all others were seen.
    fn added(&mut self) -> Result<Batch>;
}

/// Copies every entry under the key that it gets. The caller holds the store's lock. Fails at an entry that can't be
/// read, unless it is past: it can't get another key, and its bytes may hold the old one.
pub(crate) fn copy_rekeyed(
    old: &Generation,
    successor: &mut Successor<'_>,
    rekey: &mut dyn Rekey,
    ended_by_ms: u64,
    now_ms: u64,
) -> Result<()> {
    let locations = old.index.locations();
    let mut spans = Spans::default();
    let mut rest = locations.as_slice();
    while let Some((&at, upcoming)) = rest.split_first() {
        rest = upcoming;
        let bytes = spans.read(&old.log, at, upcoming.iter().copied())?;
        let (head, body) = match Stored::of(bytes, old, at) {
            Stored::Sound { head, .. } | Stored::Damaged { head, .. }
                if is_past(head.expires_ms, ended_by_ms) =>
            {
                continue;
            }
            Stored::Sound { head, body } => (head, body),
            _ => {
                let what = "an entry is damaged, so that nothing can be stored under other keys";
                let error = old.log.corrupt(at.offset(), what);
                return Err(
                    error.advise("remove it or restore it from a backup, or `shelflife salvage`")
                );
            }
        };
        let record = copy_of(&head, body);
        if let Some(key) = rekey.key_of(record.key, record.value, head.expires_ms)? {
            let prev = successor.prev_of(&key)?;
            successor.append(
                NewRecord {
                    key: &key,
                    ..record
                },
                prev,
            )?;
        }
    }
    let mut added = Some(rekey.added()?);
    append_loaded(successor, &mut || Ok(added.take()), now_ms)?;
    Ok(())
}

/// Appends entries that the old file does not have, of batch after batch until there is none. Returns where they stand.
pub(crate) fn append_loaded(
    successor: &mut Successor<'_>,
    next: &mut dyn FnMut() -> Result<Option<Batch>>,
    now_ms: u64,
) -> Result<Range<u64>> {
    let start = successor.generation().tail();
    while let Some(batch) = next()? {
        for op in batch.ops() {
            if op.kind != Kind::Put {
                let what = "a load only inserts, and this batch removes";
                return Err(Error::invalid_input(what, "use `write` for this one"));
            }
            op.check_limits()?;
            let prev = successor.prev_of(op.key)?;
            let record = NewRecord {
                flags: op.flags,
                expires_ms: op.expires_ms,
                key: op.key,
                value: op.value,
                ..NewRecord::marker(Kind::Put, 0, now_ms)
            };
            successor.append(record, prev)?;
        }
    }
    Ok(start..successor.generation().tail())
}

/// Copies what was appended since: each record may replace or remove what was copied before, but nothing that was
/// `loaded`. A load counts as written when the successor takes the old file's place, so after all that the old file has.
///
/// Returns how far it copied; `None` if the copy has to begin anew, from the index as it is by then. A record is damaged,
/// and the index alone tells whose it is; or the file was cleared after entries were loaded.
pub(crate) fn copy_appended(
    old: &Generation,
    successor: &mut Successor<'_>,
    part: Range<u64>,
    loaded: &Range<u64>,
    ended_by_ms: u64,
) -> Result<Option<u64>> {
    let mut scanner = Scanner::new(&old.log, old.header.seed, part.start);
    while scanner.offset() < part.end {
        let (offset, head, body) = match scanner.step()? {
            Step::Record { head, body, .. } if old.is_misfiled(&head, body) => return Ok(None),
            Step::Record { offset, head, body } => (offset, head, body),
            Step::BadBody { .. } | Step::Unverified { .. } => return Ok(None),
            Step::End => return Err(old.log.corrupt(part.end, "the file ends before its tail")),
        };
        let counts = match head.kind {
            Kind::Put => old.index.holds(head.fingerprint, offset),
            Kind::Delete | Kind::Clear => true,
            _ => false,
        };
        if !counts {
            continue;
        }
        let record = copy_of(&head, body);
        let prev = match head.kind {
            // The clear would take what was loaded with it.
            Kind::Clear if !loaded.is_empty() => return Ok(None),
            Kind::Clear => 0,
            _ => successor.prev_of(record.key)?,
        };
        if loaded.contains(&prev) {
            continue;
        }
        // Where the new file has nothing of this key, an entry that has ended and a removal change nothing.
        let says_nothing = prev == 0
            && match head.kind {
                Kind::Put => is_past(head.expires_ms, ended_by_ms),
                Kind::Delete => true,
                _ => false,
            };
        if !says_nothing {
            successor.append(record, prev)?;
        }
    }
    // The last record may reach beyond the part.
    Ok(Some(scanner.offset()))
}

/// Whether an entry ended so long ago that a rewrite drops it.
fn is_past(expires_ms: u64, ended_by_ms: u64) -> bool {
    let ended_before = ended_by_ms.saturating_sub(GRACE_MS);
    expires_ms != 0 && expires_ms < ended_before
}

/// The bytes at the place of a live record.
enum Stored<'a> {
    Sound {
        head: Head,
        body: &'a [u8],
    },
    /// Its head verifies, its key and value do not; or its fingerprint is another key's, and under the fingerprint of
    /// its own it could become a second record of that key.
    Damaged {
        head: Head,
        body: &'a [u8],
    },
    /// Nothing of it verifies, or the file ends within it.
    Unknown {
        rest: &'a [u8],
    },
}

impl Stored<'_> {
    fn of<'a>(bytes: &'a [u8], old: &Generation, at: Location) -> Stored<'a> {
        let seed = old.header.seed;
        let head = bytes.split_first_chunk().and_then(|(fixed, body)| {
            let head = Head::decode(fixed, seed, at.offset())?;
            (head.record_bytes() == bytes.len() as u64).then_some((head, body))
        });
        match head {
            Some((head, body))
                if head.body_holds(body, seed, at.offset()) && !old.is_misfiled(&head, body) =>
            {
                Stored::Sound { head, body }
            }
            Some((head, body)) => Stored::Damaged { head, body },
            None => Stored::Unknown {
                rest: bytes.get(HEAD_BYTES..).unwrap_or_default(),
            },
        }
    }
}

/// The same record; the successor sets its epoch, prev and durable.
pub(crate) fn copy_of<'a>(head: &Head, body: &'a [u8]) -> NewRecord<'a> {
    let (key, rest) = body
        .split_at_checked(usize::from(head.key_len))
        .unwrap_or_default();
    NewRecord {
        kind: head.kind,
        flags: head.flags & CBOR,
        fingerprint: head.fingerprint,
        epoch: 0,
        prev: 0,
        durable: 0,
        modified_ms: head.modified_ms,
        expires_ms: head.expires_ms,
        key,
        value: rest.get(..head.value_len as usize).unwrap_or_default(),
    }
}
