//! Reading everything, as it was at one moment.

use super::ahead::Ahead;
use super::entry::Entry;
use super::format::{HEAD_BYTES, Head};
use super::generation::Generation;
use super::index::Location;
use super::log::UNVERIFIED;
use super::place::Place;
use super::spans::{Spans, in_one_read};
use crate::error::{Error, Result};
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

/// Reads, of some 4 MiB together, before a second thread that reads ahead is worth its start.
const PARTS_ALONE: usize = 32;

/// All entries of a snapshot with what the store knows of them, least recently saved first. Made by
/// [`Store::entries`](crate::Store::entries); keeps the file it was made from open, whatever happens to the store
/// meanwhile.
pub struct Entries {
    /// A snapshot that could not be made is told as the first item.
    snapshot: Option<Result<Snapshot>>,
}

/// As [`Entries`], keys and values only. Made by [`Store::iter`](crate::Store::iter).
#[derive(Debug)]
pub struct Iter(pub(crate) Entries);

struct Snapshot {
    generation: Arc<Generation>,
    ended_by_ms: u64,
    /// Records below may be outdated by damage that stood behind them at this moment. Damage that a replay meets later
    /// stands behind all that is shown here, and outdates nothing of it.
    outdated_below: u64,
    /// In log order.
    locations: Arc<[Location]>,
    /// Parts of the locations, with what verified of each.
    ahead: Ahead<Range<usize>, Verified>,
    /// The part that is being shown: the number of its first location, of those that are left, and what verified.
    first: usize,
    left: Range<usize>,
    verified: Verified,
    /// For the records that did not verify ahead.
    spans: Spans,
}

/// Records that one read gets and that verify, up to the first that does not.
#[derive(Default)]
struct Verified {
    heads: Vec<Head>,
    spans: Spans,
}

impl Verified {
    fn read(&mut self, generation: &Generation, outdated_below: u64, locations: &[Location]) {
        self.heads.clear();
        let Some((first, rest)) = locations.split_first() else {
            return;
        };
        if (self
            .spans
            .read(&generation.log, *first, rest.iter().copied()))
        .is_err()
        {
            return;
        }
        for at in locations {
            let record = self.spans.held(*at);
            match record.map(|record| Borrowed::verify(generation, outdated_below, *at, record)) {
                Some(Ok(verified)) => self.heads.push(verified.head),
                _ => break,
            }
        }
    }
}

impl Snapshot {
    fn new(generation: Arc<Generation>, ended_by_ms: u64) -> Snapshot {
        let (locations, outdated_below) = {
            // With the mutex nothing is applied meanwhile, so this is one moment.
            let _position = generation.position();
            (generation.index.locations(), generation.outdated_below())
        };
        let locations: Arc<[Location]> = locations.into();
        let (all, mut begun) = (Arc::clone(&locations), 0);
        let parts = std::iter::from_fn(move || {
            let part = begun..begun + in_one_read(all.get(begun..).unwrap_or_default());
            begun = part.end;
            (!part.is_empty()).then_some(part)
        });
        let alone = match generation.log.file.reads_beside() {
            true => PARTS_ALONE,
            false => usize::MAX,
        };
        let (all, from) = (Arc::clone(&locations), Arc::clone(&generation));
        let ahead = Ahead::new(
            parts,
            alone,
            move |part: &Range<usize>, made: &mut Verified| {
                let part = all.get(part.clone()).unwrap_or_default();
                made.read(&from, outdated_below, part);
            },
        );
        Snapshot {
            generation,
            ended_by_ms,
            outdated_below,
            locations,
            ahead,
            first: 0,
            left: 0..0,
            verified: Verified::default(),
            spans: Spans::default(),
        }
    }

    /// The next record, also if its entry has ended.
    #[inline]
    fn next(&mut self) -> Option<std::result::Result<Borrowed<'_>, Unreadable>> {
        if self.left.is_empty() {
            let (part, verified) = self.ahead.take(Some(std::mem::take(&mut self.verified)))?;
            (self.first, self.left, self.verified) = (part.start, part, verified);
        }
        let nth = self.left.next()?;
        let (generation, at) = (&*self.generation, *self.locations.get(nth)?);
        if let Some(head) = self.verified.heads.get(nth - self.first)
            && let Some(record) = self.verified.spans.held(at)
            && let Some(body) = record.get(HEAD_BYTES..)
            && let Some(borrowed) = Borrowed::of(generation, at, head, body)
        {
            return Some(Ok(borrowed));
        }
        let read = self.spans.read(&generation.log, at, std::iter::empty());
        Some(match read {
            Ok(record) => Borrowed::verify(generation, self.outdated_below, at, record),
            Err(error) => Err(Unreadable { key: None, error }),
        })
    }
}

impl fmt::Debug for Entries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entries").finish_non_exhaustive()
    }
}

impl Entries {
    pub(crate) fn new(place: &Place) -> Entries {
        let made = || -> Result<Snapshot> {
            let generation = Arc::clone(&*place.fresh_and_proven()?);
            let ended_by_ms = place.ended_by_ms(&generation);
            Ok(Snapshot::new(generation, ended_by_ms))
        };
        Entries {
            snapshot: Some(made()),
        }
    }

    /// The next record, as `made` of it; one of an entry that has ended only if `ended_too`.
    #[inline]
    fn next_as<T>(
        &mut self,
        ended_too: bool,
        made: impl FnOnce(Borrowed<'_>) -> T,
    ) -> Option<std::result::Result<T, Unreadable>> {
        let snapshot = match self.snapshot.as_mut()? {
            Ok(snapshot) => snapshot,
            Err(_) => {
                let error = self.snapshot.take()?.err()?;
                return Some(Err(Unreadable { key: None, error }));
            }
        };
        loop {
            let ended_by_ms = snapshot.ended_by_ms;
            match snapshot.next()? {
                Ok(record) if !ended_too && record.head.has_ended(ended_by_ms) => {}
                Ok(record) => return Some(Ok(made(record))),
                Err(unreadable) => return Some(Err(unreadable)),
            }
        }
    }

    /// Shows key and value of every entry. Goes on behind what can't be read, and returns the first such error at the
    /// end.
    pub(crate) fn show(mut self, mut visit: impl FnMut(&[u8], &[u8])) -> Result<()> {
        let mut passed_by = None;
        while let Some(shown) = self.next_as(false, |record| visit(record.key, record.value)) {
            if let Err(unreadable) = shown {
                passed_by.get_or_insert(unreadable.error);
            }
        }
        passed_by.map_or(Ok(()), Err)
    }
}

/// A record of a snapshot, whole and sound, in the buffer that it was read to.
struct Borrowed<'b> {
    generation: &'b Generation,
    offset: u64,
    head: Head,
    key: &'b [u8],
    value: &'b [u8],
}

impl<'b> Borrowed<'b> {
    /// Of the bytes at a location, fewer if the file ended before.
    #[inline]
    fn verify(
        generation: &'b Generation,
        outdated_below: u64,
        at: Location,
        record: &'b [u8],
    ) -> std::result::Result<Borrowed<'b>, Unreadable> {
        let seed = generation.header.seed;
        let spoilt = |what, key: Option<&[u8]>| Unreadable {
            key: key.map(<[u8]>::to_vec),
            error: generation.log.corrupt(at.offset(), what),
        };
        let whole = (record.len() as u64 == at.len()).then_some(record);
        let parts = whole.and_then(|record| {
            let (fixed, body) = record.split_first_chunk::<HEAD_BYTES>()?;
            Some((Head::decode(fixed, seed, at.offset())?, body))
        });
        let Some((head, body)) = parts else {
            return Err(spoilt(UNVERIFIED, None));
        };
        let key = body.get(..usize::from(head.key_len));
        if !head.body_holds(body, seed, at.offset()) {
            // The key may have been spared.
            let key = key.filter(|key| generation.fingerprint(key) == head.fingerprint);
            return Err(spoilt(UNVERIFIED, key));
        }
        if generation.is_misfiled(&head, body) {
            let what = "the fingerprint of a record is not that of its key";
            return Err(spoilt(what, key));
        }
        if at.offset() < outdated_below {
            return Err(Unreadable {
                key: key.map(<[u8]>::to_vec),
                error: generation.outdated(at.offset()),
            });
        }
        Borrowed::of(generation, at, &head, body).ok_or_else(|| spoilt(UNVERIFIED, None))
    }

    /// Of a record that verified.
    #[inline]
    fn of(
        generation: &'b Generation,
        at: Location,
        head: &Head,
        body: &'b [u8],
    ) -> Option<Borrowed<'b>> {
        let (key, value) = head.key_and_value(body)?;
        Some(Borrowed {
            generation,
            offset: at.offset(),
            head: *head,
            key,
            value,
        })
    }

    fn entry(&self) -> Entry {
        Entry::new(
            self.generation,
            self.offset,
            &self.head,
            self.key,
            self.value,
        )
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
        self.0.next_as(true, |record| record.entry())
    }
}

impl Iterator for Entries {
    type Item = Result<Entry>;

    fn next(&mut self) -> Option<Result<Entry>> {
        let entry = self.next_as(false, |record| record.entry())?;
        Some(entry.map_err(|unreadable| unreadable.error))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        match &self.snapshot {
            Some(Ok(snapshot)) => (0, Some(snapshot.locations.len() - snapshot.left.start)),
            Some(Err(_)) => (1, Some(1)),
            None => (0, Some(0)),
        }
    }
}

impl std::iter::FusedIterator for Entries {}

impl Iterator for Iter {
    type Item = Result<(Vec<u8>, Vec<u8>)>;

    fn next(&mut self) -> Option<Self::Item> {
        let copied = |record: Borrowed<'_>| (record.key.to_vec(), record.value.to_vec());
        let pair = self.0.next_as(false, copied)?;
        Some(pair.map_err(|unreadable| unreadable.error))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
    }
}

impl std::iter::FusedIterator for Iter {}
