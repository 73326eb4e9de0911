//! Reading everything, as it was at one moment.

use super::format::{CBOR, HEAD_BYTES, Head};
use super::generation::Generation;
use super::index::Location;
use super::spans::Spans;
use super::{Inner, Store};
use crate::error::Result;
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
    fn read(&mut self, at: Location) -> Result<Option<Entry>> {
        let log = &self.generation.log;
        let upcoming = self.locations.as_slice().iter().copied();
        let record = self.spans.read(log, at, upcoming)?;
        let sound = (record.len() as u64 == at.len())
            .then_some(record)
            .and_then(|record| {
                let (fixed, body) = record.split_first_chunk::<HEAD_BYTES>()?;
                let seed = self.generation.header.seed;
                let head = Head::decode(fixed, seed, at.offset())?;
                head.body_holds(body, seed, at.offset())
                    .then_some((head, body))
            });
        let Some((head, body)) = sound else {
            return Err(log.corrupt(at.offset(), "a record does not verify"));
        };
        if at.offset() < self.generation.outdated_below() {
            return Err(super::read::outdated(&self.generation, at.offset()));
        }
        if head.expires_ms != 0 && head.expires_ms <= self.now_ms {
            return Ok(None);
        }
        Ok(Entry::new(&self.generation, at.offset(), &head, body))
    }
}

impl Iterator for Entries {
    type Item = Result<Entry>;

    fn next(&mut self) -> Option<Result<Entry>> {
        match self.snapshot.as_mut()? {
            Ok(snapshot) => loop {
                let at = snapshot.locations.next()?;
                if let Some(entry) = snapshot.read(at).transpose() {
                    return Some(entry);
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
        let key = key.as_ref();
        let mut record = Vec::new();
        let live = self.inner().read_live(key, &mut record)?;
        Ok(live.map(|live| Entry {
            key: key.to_vec(),
            value: record.get(live.value).unwrap_or_default().to_vec(),
            fingerprint: live.head.fingerprint,
            head: live.head,
            generation: live.generation.header.generation,
            offset: live.offset,
        }))
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
