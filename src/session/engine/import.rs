//! Sessions of another store, taken over as they are there.

use super::super::place::Kind;
use super::{Engine, ErrorKind, Head, Lists, Records, Result, Session, Stamp, codec};

impl Engine<dyn Records> {
    /// Stores sessions under the ids or hashes that they have, with their versions and times, all in one batch. A
    /// session that is here in the same or a later state stays. Returns how many were stored.
    pub(in crate::session) fn import(&self, sessions: &[Session]) -> Result<usize> {
        let mut stored = 0;
        self.records.change(&mut || {
            let mut edits = Vec::new();
            let kind = self.kind_to_store(&mut edits)?;
            let mut lists = Lists::new(&self.records);
            for session in sessions {
                let identity = session.identity_to_import(kind == Kind::Hashed)?;
                let key = kind.key(identity);
                let here = match self.records.get(&key) {
                    // A record that can't be read is no later state.
                    Err(error) if error.kind() == ErrorKind::Corrupt => None,
                    here => here?,
                };
                let mut before = None;
                if let Some(here) = here {
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
                next.is_stored(next.stamp, end);
                let before = before.as_ref().map(|before| &*before.base);
                self.relist(&mut lists, &key, before, Some(&next))?;
                edits.push((key, self.put(&next)?));
                stored += 1;
            }
            edits.extend(lists.into_edits());
            Ok(edits)
        })?;
        Ok(stored)
    }
}

fn is_later(other: Stamp, here: Stamp) -> bool {
    (other.version, other.accessed) > (here.version, here.accessed)
}
