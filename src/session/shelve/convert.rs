//! From ids as they are to ids hashed at rest.

use super::super::codec;
use super::super::list::{Lists, hour_of};
use super::super::memory::MemorySessionStore;
use super::super::record_key::{KIND, Kind, identity_of, is_list, kind_of, name_of};
use crate::error::Result;
use crate::store::Store;
use crate::store::batch::Batch;
use crate::store::change::Edit;
use crate::store::copy::Rekey;

/// Hashes the id of every session, by a switch to a file that has no other. Returns how many there were.
pub(super) fn hash_ids(store: &Store) -> Result<usize> {
    // The lists are made anew, from none.
    let none = MemorySessionStore::new();
    let mut hashing = Hashing {
        lists: Some(Lists::new(&none.engine.records)),
        hashed: 0,
    };
    store.rekey(&mut hashing)?;
    Ok(hashing.hashed)
}

/// The entries of a store as they are once ids are hashed in it.
struct Hashing<'a> {
    /// Taken when all sessions were seen.
    lists: Option<Lists<'a>>,
    hashed: usize,
}

impl Rekey for Hashing<'_> {
    fn key_of(&mut self, key: &[u8], value: &[u8], expires_ms: u64) -> Result<Option<Vec<u8>>> {
        if is_list(key) || key == KIND {
            return Ok(None);
        }
        let new = match identity_of(key) {
            Some(identity) => Kind::Hashed.key(&identity),
            None => return Ok(Some(key.to_vec())),
        };
        // Under a session's key there may also stand what is no session, or says that its id was replaced.
        if let Ok(session) = codec::decode(value) {
            self.hashed += usize::from(kind_of(key) == Some(Kind::Plain));
            if let Some(((user, name), lists)) =
                session.user().zip(name_of(&new)).zip(self.lists.as_mut())
            {
                let end = (expires_ms != 0).then_some(expires_ms);
                lists.add(user, name, hour_of(end))?;
            }
        }
        Ok(Some(new))
    }

    fn added(&mut self) -> Result<Batch> {
        let mut batch = Batch::new();
        batch.insert_cbor(KIND, Kind::Hashed.noted());
        let lists = self.lists.take().map(Lists::into_edits);
        for (key, edit) in lists.unwrap_or_default() {
            if let (Edit::Put { .. }, Some(op)) = (&edit, edit.op(&key)) {
                batch.push(op);
            }
        }
        Ok(batch)
    }
}
