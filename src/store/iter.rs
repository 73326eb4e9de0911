//! Reading everything, as it was at one moment.

use super::format::{CBOR, HEAD_BYTES, Head};
use super::generation::Generation;
use super::index::Location;
use super::read::Live;
use super::spans::Spans;
use super::{Inner, Store};
use crate::error::{Error, Result};
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// All entries of a snapshot with what the store knows of them, least recently saved first. Made by
/// [`Store::entries`]; keeps the file it was made from open, whatever happens to the store meanwhile.
pub struct Entries {
    /// What could not be made is told as the first item.
    snapshot: Option<Result<Snapshot>>,
}

/// As [`Entries`], keys and values only. Made by [`Store::iter`].
#[derive(Debug)]
pub struct Iter(Entries);

struct Snapshot {
    generation: Arc<Generation>,
    now_ms: u64,
    locations: std::vec::IntoIter<Location>,
    spans: Spans,
}

/// A key, its value, and what the store knows of it.
#[derive(Clone)]
pub struct Entry {
    pub(crate) key: Vec<u8>,
    pub(crate) value: Vec<u8>,
    head: Head,
    /// Which record of which file this was read from.
    pub(crate) generation: u64,
    pub(crate) offset: u64,
    pub(crate) fingerprint: u32,
}

impl Entry {
    /// From a record that verifies.
    pub(crate) fn new(
        generation: &Generation,
        offset: u64,
        head: &Head,
        body: &[u8],
    ) -> Option<Entry> {
        let (key, rest) = body.split_at_checked(usize::from(head.key_len))?;
        Some(Entry {
            key: key.to_vec(),
            value: rest.get(..head.value_len as usize)?.to_vec(),
            head: *head,
            generation: generation.header.generation,
            offset,
            fingerprint: head.fingerprint,
        })
    }

    /// From a record that was looked up.
    fn found(key: &[u8], record: &[u8], found: Live) -> Entry {
        Entry {
            key: key.to_vec(),
            value: record.get(found.value).unwrap_or_default().to_vec(),
            fingerprint: found.head.fingerprint,
            head: found.head,
            generation: found.generation.header.generation,
            offset: found.offset,
        }
    }

    /// The key.
    pub fn key(&self) -> &[u8] {
        &self.key
    }

    /// The value.
    pub fn value(&self) -> &[u8] {
        &self.value
    }

    /// Key and value.
    pub fn into_pair(self) -> (Vec<u8>, Vec<u8>) {
        (self.key, self.value)
    }

    /// When it was written, by the writer's clock, to the millisecond.
    pub fn modified(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_millis(self.head.modified_ms)
    }

    /// From when on it is absent.
    pub fn expires(&self) -> Option<SystemTime> {
        (self.head.expires_ms != 0)
            .then(|| UNIX_EPOCH + Duration::from_millis(self.head.expires_ms))
    }

    fn has_ended(&self, now_ms: u64) -> bool {
        self.head.expires_ms != 0 && self.head.expires_ms <= now_ms
    }

    /// Whether the value is CBOR, by its writer's word.
    pub fn is_cbor(&self) -> bool {
        self.head.flags & CBOR != 0
    }

    /// Whether a record of the same key is a copy of the one this was read from.
    pub(crate) fn is_same(&self, head: &Head) -> bool {
        let told = |head: &Head| (head.modified_ms, head.expires_ms, head.flags & CBOR);
        told(&self.head) == told(head)
    }

    /// What it takes in the file.
    pub fn size_bytes(&self) -> u64 {
        self.head.record_bytes()
    }
}

/// Tells sizes, not content: keys and values may be secrets.
impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry")
            .field("size_bytes", &self.size_bytes())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Entries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entries").finish_non_exhaustive()
    }
}

impl Entries {
    pub(crate) fn new(store: &Inner) -> Entries {
        let made = || -> Result<Snapshot> {
            let generation = Arc::clone(&*store.fresh()?);
            let locations = {
                // Nothing is applied meanwhile, so this is one moment.
                let _position = generation.position();
                generation.index.locations()
            };
            Ok(Snapshot {
                now_ms: super::batch::unix_ms(store.now()),
                generation,
                locations: locations.into_iter(),
                spans: Spans::default(),
            })
        };
        Entries {
            snapshot: Some(made()),
        }
    }
}

impl Snapshot {
    /// The entry at a place, also if it has ended.
    fn read(&mut self, at: Location) -> std::result::Result<Entry, Unreadable> {
        let generation = &*self.generation;
        let upcoming = self.locations.as_slice().iter().copied();
        let record = match self.spans.read(&generation.log, at, upcoming) {
            Ok(record) => record,
            Err(error) => return Err(Unreadable { key: None, error }),
        };
        let seed = generation.header.seed;
        let whole = (record.len() as u64 == at.len()).then_some(record);
        let parts = whole.and_then(|record| {
            let (fixed, body) = record.split_first_chunk::<HEAD_BYTES>()?;
            Some((Head::decode(fixed, seed, at.offset())?, body))
        });
        let corrupt = |key| Unreadable {
            key,
            error: generation
                .log
                .corrupt(at.offset(), "a record does not verify"),
        };
        let Some((head, body)) = parts else {
            return Err(corrupt(None));
        };
        if !head.body_holds(body, seed, at.offset()) {
            // The key may have been spared.
            let key = body.get(..usize::from(head.key_len));
            let key = key.filter(|key| generation.fingerprint(key) == head.fingerprint);
            return Err(corrupt(key.map(<[u8]>::to_vec)));
        }
        let entry =
            Entry::new(generation, at.offset(), &head, body).ok_or_else(|| corrupt(None))?;
        if at.offset() < generation.outdated_below() {
            return Err(Unreadable {
                key: Some(entry.key),
                error: super::read::outdated(generation, at.offset()),
            });
        }
        Ok(entry)
    }
}

/// A record that a walk passes by, since it can't be read.
#[derive(Debug)]
pub(crate) struct Unreadable {
    /// If it can be told.
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) error: Error,
}

/// All entries of a snapshot, those included that have ended and were not dropped yet, least recently saved first. Goes
/// on behind what can't be read. Made by [`Store::walk`].
#[derive(Debug)]
pub(crate) struct Walk(Entries);

impl Iterator for Walk {
    type Item = std::result::Result<Entry, Unreadable>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.0.snapshot.as_mut()? {
            Ok(snapshot) => {
                let at = snapshot.locations.next()?;
                Some(snapshot.read(at))
            }
            Err(_) => match self.0.snapshot.take() {
                Some(Err(error)) => Some(Err(Unreadable { key: None, error })),
                _ => None,
            },
        }
    }
}

impl Iterator for Entries {
    type Item = Result<Entry>;

    fn next(&mut self) -> Option<Result<Entry>> {
        match self.snapshot.as_mut()? {
            Ok(snapshot) => loop {
                let at = snapshot.locations.next()?;
                match snapshot.read(at) {
                    Ok(entry) if entry.has_ended(snapshot.now_ms) => {}
                    Ok(entry) => return Some(Ok(entry)),
                    Err(unreadable) => return Some(Err(unreadable.error)),
                }
            },
            Err(_) => match self.snapshot.take() {
                Some(Err(error)) => Some(Err(error)),
                _ => None,
            },
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        match &self.snapshot {
            Some(Ok(snapshot)) => (0, Some(snapshot.locations.len())),
            Some(Err(_)) => (1, Some(1)),
            None => (0, Some(0)),
        }
    }
}

impl std::iter::FusedIterator for Entries {}

impl Iterator for Iter {
    type Item = Result<(Vec<u8>, Vec<u8>)>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next().map(|entry| entry.map(Entry::into_pair))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
    }
}

impl std::iter::FusedIterator for Iter {}

impl Store {
    /// All entries as they are now, least recently saved first, while others go on writing. An entry that can't be
    /// read is an `Err` item, and the others follow it.
    ///
    /// Takes 8 bytes of memory a key; writers wait while those are collected (about 10 ms for a million keys), readers
    /// do not.
    ///
    /// ```
    /// # fn main() -> shelflife::Result<()> {
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let store = shelflife::Store::open(dir.path().join("s.shelf"))?;
    /// store.insert("a", "1")?;
    /// let before = store.iter();
    /// store.insert("b", "2")?;
    /// assert_eq!(before.collect::<shelflife::Result<Vec<_>>>()?, [(b"a".to_vec(), b"1".to_vec())]);
    /// # Ok(()) }
    /// ```
    pub fn iter(&self) -> Iter {
        Iter(self.entries())
    }

    /// One entry, with what the store knows of it.
    ///
    /// ```
    /// # fn main() -> shelflife::Result<()> {
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let store = shelflife::Store::open(dir.path().join("s.shelf"))?;
    /// store.insert("tea", "green")?;
    /// let entry = store.entry("tea")?.unwrap();
    /// assert_eq!(entry.value(), b"green");
    /// assert!(!entry.is_cbor() && entry.expires().is_none());
    /// assert_eq!(store.remove_unchanged(&[entry])?, 1);
    /// # Ok(()) }
    /// ```
    pub fn entry(&self, key: impl AsRef<[u8]>) -> Result<Option<Entry>> {
        let mut record = Vec::new();
        let live = self.inner().read_live(key.as_ref(), &mut record)?;
        Ok(live.map(|live| Entry::found(key.as_ref(), &record, live)))
    }

    /// As [`entry`](Store::entry), also if it has ended and was not dropped yet.
    pub(crate) fn entry_even_ended(&self, key: &[u8]) -> Result<Option<Entry>> {
        let mut record = Vec::new();
        let found = self.inner().read_even_ended(key, &mut record)?;
        Ok(found.map(|found| Entry::found(key, &record, found)))
    }

    /// All entries as they are now, those included that have ended and were not dropped yet.
    pub(crate) fn walk(&self) -> Walk {
        Walk(self.entries())
    }

    /// As [`iter`](Store::iter), with what the store knows of each entry.
    pub fn entries(&self) -> Entries {
        Entries::new(self.inner())
    }
}

impl IntoIterator for &Store {
    type Item = Result<(Vec<u8>, Vec<u8>)>;
    type IntoIter = Iter;

    fn into_iter(self) -> Iter {
        self.iter()
    }
}
