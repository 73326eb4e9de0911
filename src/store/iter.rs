//! Reading everything, as it was at one moment.

use super::entry::Entry;
use super::format::{HEAD_BYTES, Head};
use super::generation::Generation;
use super::index::Location;
use super::place::Place;
use super::spans::Spans;
use crate::error::{Error, Result};
use std::fmt;
use std::sync::Arc;

/// All entries of a snapshot with what the store knows of them, least recently saved first. Made by
/// [`Store::entries`](crate::Store::entries); keeps the file it was made from open, whatever happens to the store meanwhile.
pub struct Entries {
    /// What could not be made is told as the first item.
    snapshot: Option<Result<Snapshot>>,
}

/// As [`Entries`], keys and values only. Made by [`Store::iter`](crate::Store::iter).
#[derive(Debug)]
pub struct Iter(pub(crate) Entries);

struct Snapshot {
    generation: Arc<Generation>,
    now_ms: u64,
    locations: std::vec::IntoIter<Location>,
    spans: Spans,
}

impl fmt::Debug for Entries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entries").finish_non_exhaustive()
    }
}

impl Entries {
    pub(crate) fn new(place: &Place) -> Entries {
        let made = || -> Result<Snapshot> {
            let generation = Arc::clone(&*place.fresh()?);
            let locations = {
                // Nothing is applied meanwhile, so this is one moment.
                let _position = generation.position();
                generation.index.locations()
            };
            Ok(Snapshot {
                now_ms: place.now_ms(),
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
        let spoilt = |what, key| Unreadable {
            key,
            error: generation.log.corrupt(at.offset(), what),
        };
        let corrupt = |key| spoilt("a record does not verify", key);
        let Some((head, body)) = parts else {
            return Err(corrupt(None));
        };
        if !head.body_holds(body, seed, at.offset()) {
            // The key may have been spared.
            let key = body.get(..usize::from(head.key_len));
            let key = key.filter(|key| generation.fingerprint(key) == head.fingerprint);
            return Err(corrupt(key.map(<[u8]>::to_vec)));
        }
        if generation.is_misfiled(&head, body) {
            let what = "the fingerprint of a record is not that of its key";
            let key = body.get(..usize::from(head.key_len));
            return Err(spoilt(what, key.map(<[u8]>::to_vec)));
        }
        let entry =
            Entry::new(generation, at.offset(), &head, body).ok_or_else(|| corrupt(None))?;
        if at.offset() < generation.outdated_below() {
            return Err(Unreadable {
                key: Some(entry.key),
                error: generation.outdated(at.offset()),
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
/// on behind what can't be read. Made by `Store::walk`.
#[derive(Debug)]
pub(crate) struct Walk(pub(crate) Entries);

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
