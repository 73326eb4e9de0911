//! Reading everything, to tell what of it does not verify.
//!
//! The file is read anew as opening does, so that `verify` and the next `open` judge alike. What a live handle adds is
//! its word that records up to its tail were whole once: beside a writer nothing can be taken for damage that is only
//! being written, and what rots while the store is open is damage even where no sync had covered it.

use super::format::{COPIES, HEAD_BYTES, Head};
use super::generation::{Crossing, End, Generation};
use super::index::Location;
use super::lock::Deadline;
use super::recovery::{Damage, TornTail};
use super::{Inner, Store};
use crate::error::Result;
use std::fmt;
use std::sync::Arc;

/// What [`Store::verify`] found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Verified {
    /// Records of the log that verify, superseded ones included.
    pub records: u64,
    /// Entries that can be read, expired ones not yet dropped included.
    pub live: u64,
    /// Every range of bytes that does not verify, in the order of the file.
    pub damage: Vec<Affected>,
    /// Entries that can be read, but may be outdated: behind their records is damage of unknown extent.
    pub uncertain: u64,
    /// The end of the log, if it does not verify. No damage: an append that a crash cut short leaves it, see
    /// [`TornTail`]. The next write cuts it.
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

impl Store {
    /// Reads the whole file, both copies of its header included, and lists what does not verify. Changes nothing, and
    /// others may go on writing meanwhile; what they write after the call began may or may not be covered.
    ///
    /// A file that does not open because of damage is verified by a handle opened with
    /// [`Options::damaged`](crate::Options::damaged). Takes about as long, and as much memory, as opening does. If the
    /// end of the log looks torn, the lock is taken for a moment, to tell a torn record from one being written.
    ///
    /// # Errors
    ///
    /// `Replaced`, `NewerVersion`, `Io`. Damage is no error here.
    ///
    /// ```
    /// # fn main() -> shelflife::Result<()> {
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let path = dir.path().join("s.shelf");
    /// # shelflife::Store::open(&path)?.insert("tea", "green")?;
    /// let verified = shelflife::Options::new().damaged(true).open(&path)?.verify()?;
    /// assert!(verified.is_sound());
    /// assert_eq!(verified.live, 1);
    /// # Ok(()) }
    /// ```
    pub fn verify(&self) -> Result<Verified> {
        self.inner().verify()
    }
}

/// A file read anew.
#[derive(Debug)]
pub(crate) struct Anew {
    /// What the handle knew of it.
    known: Arc<Generation>,
    /// Whether that still holds.
    known_holds: bool,
    pub(crate) read: Generation,
    pub(crate) bad_header_copies: Vec<u64>,
}

impl Inner {
    /// The file with all that others wrote to it, as far as damage lets this handle follow.
    pub(crate) fn fresh_or_known(&self) -> Result<Arc<Generation>> {
        match self.fresh() {
            Err(error) if error.is_corrupt() => Ok(self.generation()),
            fresh => fresh.map(|fresh| Arc::clone(&*fresh)),
        }
    }

    /// Reads the file again from its beginning; `None` if it holds nothing yet.
    pub(crate) fn read_anew(&self, crossing: Crossing) -> Result<Option<Anew>> {
        let known = self.fresh_or_known()?;
        if known.header.generation == 0 {
            return Ok(None);
        }
        let mut below = known.tail();
        loop {
            let log = known.log.clone();
            let (header, bad_header_copies) = match Generation::read_header(&log) {
                Ok(Some((header, bad_copy))) => (header, bad_copy.into_iter().collect()),
                Err(error) if error.io_kind().is_some() => return Err(error),
                // This handle read it while it was sound.
                Ok(None) | Err(_) => (known.header, COPIES.to_vec()),
            };
            if header.seed != known.header.seed {
                below = 0;
            }
            let read = Generation::read(log, header, crossing, below)?;
            let known_holds = below > 0;
            if !known_holds || read.position().damage.is_empty() || known.is_still_there()? {
                return Ok(Some(Anew {
                    known,
                    known_holds,
                    read,
                    bad_header_copies,
                }));
            }
            // Cut, or overwritten by a backup, since this handle read it.
            below = 0;
        }
    }

    fn verify(&self) -> Result<Verified> {
        let Some(anew) = self.read_anew(Crossing::Damage)? else {
            return Ok(Verified::default());
        };
        let torn_tail = self.torn_tail(&anew.read)?;
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
        if damage.is_empty() {
            return Ok(verified);
        }
        let all = read.index.locations();
        verified.uncertain = count_below(&all, read.outdated_below());
        let known = if anew.known_holds {
            let _nothing_is_applied = anew.known.position();
            anew.known.index.locations()
        } else {
            Vec::new()
        };
        for damage in damage {
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
                    1 if damage.one_record => sound_key(read, damage.offset)?,
                    _ => None,
                },
                keys,
                damage,
            });
        }
        Ok(verified)
    }

    /// What stands behind the tail and does not count, once nobody is writing it.
    fn torn_tail(&self, read: &Generation) -> Result<Option<TornTail>> {
        if read.position().end == End::Clean {
            return Ok(None);
        }
        let tail = read.tail();
        let deadline = Deadline::new(&*self.options.disk, self.options.lock_timeout);
        let turn = self.gate.enter(&deadline, &self.path);
        let lock = turn.and_then(|turn| Ok((self.lock_file(read, &deadline)?, turn)));
        match lock {
            Ok(_lock) => _ = read.prove()?,
            // Who writes so long has moved on meanwhile.
            Err(_) => read.look()?,
        }
        Ok(read.torn_tail()?.filter(|torn| torn.offset == tail))
    }
}

/// How many of the locations, which are in log order, stand below an offset.
fn count_below(all: &[Location], offset: u64) -> u64 {
    all.partition_point(|at| at.offset() < offset) as u64
}

/// The key of a record whose head is sound, if the key is as well, going by its fingerprint.
pub(crate) fn sound_key(read: &Generation, offset: u64) -> Result<Option<Vec<u8>>> {
    let mut fixed = [0; HEAD_BYTES];
    read.log.read_up_to(&mut fixed, offset)?;
    let Some(head) = Head::decode(&fixed, read.header.seed, offset) else {
        return Ok(None);
    };
    let mut key = vec![0; usize::from(head.key_len)];
    let filled = read.log.read_up_to(&mut key, offset + HEAD_BYTES as u64)?;
    let sound = filled == key.len() && read.fingerprint(&key) == head.fingerprint;
    Ok(sound.then_some(key))
}
