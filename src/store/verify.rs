//! Reading everything, to tell what of it does not verify.
//!
//! The file is read anew as opening does, so that `verify` and the next `open` judge alike. A live handle adds its word
//! that records up to its tail were whole once: what rots while the store is open is damage, even if no sync had
//! covered it.

use super::admission::Admission;
use super::anew::{read_anew, sound_key};
use super::format::LOG_START;
use super::generation::{Crossing, End, Generation};
use super::index::Location;
use super::lock::OsLock;
use super::log::{Scanner, Step};
use super::order::sort_by_number;
use super::recovery::{Damage, TornTail};
use crate::error::Result;
use std::fmt;

/// The findings of [`Store::verify`](crate::Store::verify).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Verified {
    /// Records of the log that verify, superseded ones included. One that stands under another key's fingerprint does
    /// not.
    pub records: u64,
    /// Entries that can be read, expired ones not yet dropped included.
    pub live: u64,
    /// Every range of bytes that does not verify, in the order of the file.
    pub damage: Vec<Affected>,
    /// Entries that can be read, but may be outdated: behind their records is damage of unknown extent.
    pub uncertain: u64,
    /// The end of the log, if it does not verify. No damage: an append that a crash cut short leaves it, see
    /// [`TornTail`]. The next write repairs it.
    pub torn_tail: Option<TornTail>,
    /// Offsets of copies of the file header that do not verify, or are another file's. One sound copy is enough to open
    /// the file.
    pub bad_header_copies: Vec<u64>,
}

impl Verified {
    /// Whether nothing is damaged. A torn tail is no damage.
    pub fn is_sound(&self) -> bool {
        self.damage.is_empty() && self.bad_header_copies.is_empty()
    }
}

/// Damaged bytes, and whom they concern.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Affected {
    /// The bytes.
    pub damage: Damage,
    /// How many keys are known to have their present value there; it is lost. More may, if the extent is not known.
    pub keys: u64,
    key: Option<Vec<u8>>,
}

impl Affected {
    /// The key whose value is lost, if this is one record and the bytes of its key are sound.
    pub fn key(&self) -> Option<&[u8]> {
        self.key.as_deref()
    }
}

/// Does not show the key: it may be a secret.
impl fmt::Debug for Affected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Affected")
            .field("damage", &self.damage)
            .field("keys", &self.keys)
            .finish_non_exhaustive()
    }
}

pub(crate) fn verify(admission: &Admission) -> Result<Verified> {
    let Some(anew) = read_anew(&admission.place, Crossing::Damage)? else {
        return Ok(Verified::default());
    };
    let torn_tail = torn_tail(admission, &anew.read)?;
    let read = &anew.read;
    let (damage, records) = {
        let position = read.position();
        (position.damage.clone(), position.records)
    };
    let mut verified = Verified {
        records,
        live: read.index.len(),
        torn_tail,
        bad_header_copies: anew.bad_header_copies.clone(),
        ..Verified::default()
    };
    let misfiled = misfiled(read, &damage)?;
    let mut damage: Vec<_> = damage.into_iter().map(|damage| (damage, None)).collect();
    damage.extend(misfiled);
    if damage.is_empty() {
        return Ok(verified);
    }
    sort_by_number(&mut damage, |(damage, _)| damage.offset);
    let all = read.index.locations();
    verified.uncertain = count_below(&all, read.outdated_below());
    let known = if anew.known_holds {
        let _nothing_is_applied = anew.known.position();
        anew.known.index.locations()
    } else {
        Vec::new()
    };
    for (damage, misfiled_key) in damage {
        let end = damage.offset.saturating_add(damage.len_bytes);
        let within = |all| count_below(all, end) - count_below(all, damage.offset);
        let unreadable = within(&all);
        verified.live -= unreadable;
        if end <= read.outdated_below() {
            verified.uncertain -= unreadable;
        }
        verified.records -= u64::from(damage.one_record);
        let keys = within(&known).max(unreadable);
        verified.damage.push(Affected {
            key: match keys {
                _ if misfiled_key.is_some() => misfiled_key,
                1 if damage.one_record => sound_key(read, damage.offset)?,
                _ => None,
            },
            keys,
            damage,
        });
    }
    Ok(verified)
}

/// The bytes behind the tail that do not count, once nobody is writing them.
fn torn_tail(admission: &Admission, read: &Generation) -> Result<Option<TornTail>> {
    if read.position().end == End::Clean {
        return Ok(None);
    }
    let tail = read.tail();
    let Admission { place, gate, .. } = admission;
    let deadline = admission.deadline();
    let turn = gate.enter(&deadline, &place.path);
    let lock = turn.and_then(|turn| {
        let lock = match place.is_ours() {
            true => place.lock(read, &deadline)?,
            false => {
                let apart = place.open_again(place.mode.writes())?;
                OsLock::take(&apart.file, &deadline, &place.path)?
            }
        };
        Ok((lock, turn))
    });
    match lock {
        Ok(_lock) => _ = read.prove()?,
        // A writer that keeps the lock for so long has finished the bytes that were behind the tail.
        Err(_) => read.look()?,
    }
    Ok(read.torn_tail()?.filter(|torn| torn.offset == tail))
}

/// Records whose checks are right and whose fingerprint is not their key's, so that no read finds them; each with its
/// key. Passes over records that are damaged anyway.
fn misfiled(read: &Generation, damage: &[Damage]) -> Result<Vec<(Damage, Option<Vec<u8>>)>> {
    let mut damage = damage.iter().peekable();
    let mut found = Vec::new();
    let mut scanner = Scanner::new(&read.log, read.header.seed, LOG_START);
    while scanner.offset() < read.tail() {
        if let Some(next) = damage.next_if(|damage| damage.offset <= scanner.offset()) {
            scanner.seek(next.offset.saturating_add(next.len_bytes), false);
            continue;
        }
        match scanner.step()? {
            Step::Record { offset, head, body } if read.is_misfiled(&head, body) => {
                let damage = Damage::record(offset, head.record_bytes(), head.fingerprint);
                let key = body.get(..usize::from(head.key_len));
                found.push((damage, key.map(<[u8]>::to_vec)));
            }
            Step::Record { .. } => {}
            Step::BadBody { .. } | Step::Unverified { .. } | Step::End => break,
        }
    }
    Ok(found)
}

/// How many of the locations, which are in log order, stand below an offset.
fn count_below(all: &[Location], offset: u64) -> u64 {
    all.partition_point(|at| at.offset() < offset) as u64
}
