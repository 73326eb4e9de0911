//! From ids as they are to ids hashed at rest.

use super::super::place::{identity_of, kind_of};
use super::bulk::Passed;
use super::{
    Edit, Engine, Error, KIND, Kind, Lists, Records, Result, codec, hour_of, millis_at, name_of,
};
use crate::store::Store;

/// So many bytes of sessions are rewritten in one batch, which is less than a batch may have.
const AT_ONCE_BYTES: usize = 48 << 20;

impl Engine<Store> {
    /// Hashes the id of every session, and rewrites the file, so that no id is left in it. Returns how many there were.
    pub(in crate::session) fn hash_ids(&self) -> Result<usize> {
        let mut hashed = 0;
        // A session that was stored under its plain id meanwhile is found by the next look.
        let passed = loop {
            let mut found = Vec::new();
            let mut bytes = 0;
            let mut passed = Passed::default();
            for entry in self.records.walk() {
                match entry {
                    Ok(entry) if kind_of(entry.key()) == Some(Kind::Plain) => {
                        bytes += 3 * entry.size_bytes() as usize;
                        found.push(entry.into_pair().0);
                    }
                    Ok(_) => {}
                    Err(unreadable) => passed.note_unreadable(unreadable),
                }
                if bytes > AT_ONCE_BYTES {
                    break;
                }
            }
            hashed += self.hash_some(&found)?;
            if found.is_empty() {
                break passed;
            }
        };
        let compacted = self.records.compact();
        compacted.map_err(|error| {
            let what = format!(
                "{hashed} session ids were hashed, but what they were is still in the file: {error}"
            );
            let error =
                Error::new(error.kind(), what).advise("run it again, or `shelflife compact`");
            error.at(self.records.path())
        })?;
        passed.answer(hashed, |hashed| format!("{hashed} session ids were hashed"))
    }

    /// Hashes these ids, all or none, and notes that this is how ids are kept here.
    fn hash_some(&self, keys: &[Vec<u8>]) -> Result<usize> {
        let mut hashed = 0;
        self.records.change(&mut || {
            let mut lists = Lists::new(&self.records);
            let mut edits = Vec::new();
            if self.records.get(KIND)?.as_deref() != Some(Kind::Hashed.noted()) {
                let note = Edit::Put {
                    value: Kind::Hashed.noted().to_vec(),
                    expires: None,
                    cbor: true,
                };
                edits.push((KIND.to_vec(), note));
            }
            for key in keys {
                let Some((identity, entry)) =
                    identity_of(key).zip(self.records.entry_even_ended(key)?)
                else {
                    continue;
                };
                let new = Kind::Hashed.key(&identity);
                edits.push((key.clone(), Edit::Remove));
                if let Ok(session) = codec::decode(entry.value()) {
                    hashed += 1;
                    if let Some(((user, old), new)) =
                        session.user().zip(name_of(key)).zip(name_of(&new))
                    {
                        lists.remove(user, old)?;
                        lists.add(user, new, hour_of(entry.expires().map(millis_at)))?;
                    }
                }
                let put = Edit::Put {
                    expires: entry.expires(),
                    cbor: entry.is_cbor(),
                    value: entry.into_pair().1,
                };
                edits.push((new, put));
            }
            edits.extend(lists.into_edits());
            Ok(edits)
        })?;
        Ok(hashed)
    }
}
