//! Finding the record of a key: the index gives candidates by their fingerprint, and the log has their keys.

use super::Generation;
use crate::error::Result;
use crate::store::format::{ALIGN, HEAD_BYTES, Head, Kind};
use crate::store::index::{Candidates, Location};
use crate::store::order::sort_by_number;
use crate::store::spans::Spans;

/// A record that was found.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) at: Location,
    /// It may have had the key; otherwise it has the very key.
    pub(crate) is_damaged: bool,
    /// 0: never, and of a damaged one, which readers see as an error.
    pub(crate) expires_ms: u64,
}

impl Generation {
    /// Whether a record that verifies has another fingerprint than its key, so that the index never leads from the key
    /// to it. No crash makes such a record; a faulty writer may.
    pub(crate) fn is_misfiled(&self, head: &Head, body: &[u8]) -> bool {
        let key = body.get(..usize::from(head.key_len)).unwrap_or_default();
        matches!(head.kind, Kind::Put | Kind::Delete) && self.fingerprint(key) != head.fingerprint
    }

    /// Whether a record stands in for one of which nothing verified when it was copied. It has the fingerprint of that
    /// one and no key, so it may be any key's that has this fingerprint.
    pub(crate) fn is_keyless(&self, head: &Head) -> bool {
        head.key_len == 0 && head.fingerprint != self.fingerprint(&[])
    }

    /// The candidate whose key this is. Reads head and key only.
    ///
    /// If no candidate has the key, one that does not verify is taken for the key's, unless its own key is sound and is
    /// another one. A write then replaces it, which heals the key.
    pub(crate) fn find_among(
        &self,
        candidates: &Candidates,
        fingerprint: u32,
        key: &[u8],
    ) -> Result<Option<Found>> {
        let mut damaged = None;
        let mut small = [0; 256];
        let mut large = Vec::new();
        let wanted = HEAD_BYTES + key.len();
        let bytes = if wanted <= small.len() {
            small.get_mut(..wanted).unwrap_or_default()
        } else {
            large.resize(wanted, 0);
            &mut large
        };
        for at in candidates.iter() {
            let read = self.log.read_up_to(bytes, at.offset())?;
            let Some((fixed, stored)) = bytes
                .get(..read)
                .and_then(|bytes| bytes.split_first_chunk())
            else {
                damaged = Some(at);
                continue;
            };
            match Head::decode(fixed, self.header.seed, at.offset()) {
                // The index leads to no other record, unless something was put over the file.
                Some(head) if head.kind != Kind::Put || head.fingerprint != fingerprint => {
                    damaged = Some(at);
                }
                Some(head) if self.is_keyless(&head) => damaged = Some(at),
                Some(head) if usize::from(head.key_len) != key.len() => {}
                Some(head) if stored == key => {
                    return Ok(Some(Found {
                        at,
                        is_damaged: false,
                        expires_ms: head.expires_ms,
                    }));
                }
                Some(_) if self.fingerprint(stored) == fingerprint => {}
                _ => damaged = Some(at),
            }
        }
        Ok(damaged.map(|at| Found {
            at,
            is_damaged: true,
            expires_ms: 0,
        }))
    }

    /// As [`find_among`](Generation::find_among) for many keys with their fingerprints: where each stands, 0 for
    /// nowhere. Reads in log order, so that what was written together is read together.
    pub(crate) fn find_all(&self, keys: &[(u32, &[u8])]) -> Result<Vec<u64>> {
        let mut found = vec![0; keys.len()];
        let mut places = Vec::new();
        for (nth, (fingerprint, key)) in keys.iter().enumerate() {
            for at in self.index.candidates(*fingerprint).iter() {
                let wanted = (HEAD_BYTES + key.len()).next_multiple_of(ALIGN as usize) as u64;
                places.push((Location::new(at.offset(), wanted.min(at.len())), nth));
            }
        }
        sort_by_number(&mut places, |(at, _)| at.offset());
        let mut spans = Spans::default();
        let mut rest = places.as_slice();
        while let Some((&(at, nth), upcoming)) = rest.split_first() {
            rest = upcoming;
            let Some(&(fingerprint, key)) = keys.get(nth) else {
                continue;
            };
            let record = spans.read(&self.log, at, upcoming.iter().map(|&(at, _)| at))?;
            let stored = record.split_first_chunk().and_then(|(fixed, rest)| {
                let head = Head::decode(fixed, self.header.seed, at.offset())?;
                rest.get(..usize::from(head.key_len))
            });
            if stored == Some(key) {
                found[nth] = at.offset();
            } else if found[nth] == 0 {
                // Another key's, or damaged: rare enough to look at on its own.
                let candidates = self.index.candidates(fingerprint);
                found[nth] = self
                    .find_among(&candidates, fingerprint, key)?
                    .map_or(0, |found| found.at.offset());
            }
        }
        Ok(found)
    }
}
