//! Sessions of another store, taken over as they are there; and sessions as they were, put back.

use super::super::codec::{self, Head};
use super::super::lifetime::Stamp;
use super::super::record_key::Kind;
use super::super::records::Records;
use super::super::state::Session;
use super::Engine;
use super::listing::Changes;
use crate::error::{Error, Result};
use std::collections::HashMap;

impl Engine<dyn Records> {
    /// Stores sessions under the ids or hashes that they have, with their versions and times, all in one batch. A
    /// session that is here in the same or a later state stays. Returns how many were stored.
    pub(in crate::session) fn import(&self, sessions: &[Session]) -> Result<usize> {
        let mut taken: HashMap<Vec<u8>, Stamp> = HashMap::new();
        self.change(&mut |lists, edits| {
            let kind = self.kind_to_store(edits)?;
            for session in sessions {
                let identity = session.identity_to_import(kind == Kind::Hashed)?;
                let key = kind.key(identity);
                // A server that is being changed may list a session more than once.
                let earlier = taken.get(&key);
                if earlier.is_some_and(|earlier| !is_later(session.stamp, *earlier)) {
                    continue;
                }
                let mut before = None;
                // A record that can't be read is no later state.
                if let Some(here) = self.undamaged(&key)? {
                    match codec::head(&here) {
                        Ok(Head::Replaced) => continue,
                        Ok(Head::Session { stamp, .. }) if !is_later(session.stamp, stamp) => {
                            continue;
                        }
                        _ => before = codec::decode(&here).ok(),
                    }
                }
                let mut next = session.clone();
                // The other store may let it end sooner than this one would. The next use here decides anew.
                let end = self.end_of(&next.contents, next.stamp);
                let end = end.into_iter().chain(session.end).min();
                next.mark_stored(next.stamp, end);
                let before = before.as_ref().map(|before| &*before.base);
                self.relist(lists, &key, before, Some(&next))?;
                edits.push((key.clone(), self.put(&next, None)?));
                taken.insert(key, next.stamp);
            }
            Ok(Changes::Made)
        })?;
        Ok(taken.len())
    }

    /// The key under which this store keeps a session that it has listed or loaded.
    pub(in crate::session) fn key_of(&self, session: &Session) -> Result<Vec<u8>> {
        let kind = self.kind()?;
        Ok(kind.key(session.identity_to_import(kind == Kind::Hashed)?))
    }

    /// Stores a session as it was, under its id, over what stands there. Its version is higher than the one that stands
    /// there and than `known`, so that a request which loaded either is told of a conflict.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if the session was given another id less than a minute ago.
    pub(in crate::session) fn put_back(&self, session: &Session, known: u64) -> Result<()> {
        self.change(&mut |lists, edits| {
            let kind = self.kind_to_store(edits)?;
            let key = kind.key(session.identity_to_import(kind == Kind::Hashed)?);
            let mut version = session.stamp.version.max(known);
            if let Some(here) = self.undamaged(&key)? {
                match codec::head(&here) {
                    Ok(Head::Replaced) => {
                        return Err(Error::invalid_input(
                            "the session was given another id since",
                            "its history goes on under the handle of that",
                        ));
                    }
                    Ok(Head::Session { stamp, .. }) => version = version.max(stamp.version),
                    Err(_) => {}
                }
            }
            let mut next = session.clone();
            let stamp = Stamp {
                version: version.saturating_add(1),
                ..session.stamp
            };
            next.mark_stored(stamp, session.end);
            // Where it was another user's meanwhile, that one's list goes on naming it: a name proves nothing.
            self.relist(lists, &key, None, Some(&next))?;
            edits.push((key, self.put(&next, None)?));
            Ok(Changes::Made)
        })
    }
}

fn is_later(other: Stamp, here: Stamp) -> bool {
    (other.version, other.accessed) > (here.version, here.accessed)
}
