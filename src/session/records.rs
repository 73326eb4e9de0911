//! What the rules of sessions need of a map from bytes to bytes, so that they are written once for a file and for
//! memory.

use crate::error::Result;
use crate::store::Store;
use crate::store::batch::{Batch, Put};
use crate::store::change::Edit;
use crate::store::iter::Entry;
use std::fmt;
use std::path::Path;
use std::time::SystemTime;

pub(super) trait Records: fmt::Debug + Send + Sync {
    /// One entry of a snapshot.
    type Entry: Send;

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>>;

    /// Replaces one value by what `change` makes of it; nobody comes between.
    fn edit<T>(
        &self,
        key: &[u8],
        change: impl FnOnce(Option<&[u8]>) -> Result<(Edit, T)>,
    ) -> Result<T>;

    /// The same for two keys, all or nothing.
    fn edit_pair<T>(
        &self,
        keys: [&[u8]; 2],
        change: impl FnOnce([Option<&[u8]>; 2]) -> Result<([Edit; 2], T)>,
    ) -> Result<T>;

    /// A snapshot, least recently written first.
    fn entries(&self) -> impl Iterator<Item = Result<Self::Entry>> + Send + use<Self>;

    fn key(entry: &Self::Entry) -> &[u8];
    fn value(entry: &Self::Entry) -> &[u8];
    fn expires(entry: &Self::Entry) -> Option<SystemTime>;

    /// Removes those entries that are still as the snapshot saw them, and returns how many.
    fn remove_unchanged(&self, entries: &[Self::Entry]) -> Result<usize>;

    fn clear(&self) -> Result<()>;

    /// Never goes back.
    fn now(&self) -> SystemTime;

    /// From the operating system.
    fn random(&self, bytes: &mut [u8]) -> Result<()>;

    /// For errors.
    fn path(&self) -> Option<&Path>;
}

impl Records for Store {
    type Entry = Entry;

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        Store::get(self, key)
    }

    fn edit<T>(
        &self,
        key: &[u8],
        change: impl FnOnce(Option<&[u8]>) -> Result<(Edit, T)>,
    ) -> Result<T> {
        Store::edit(self, key, change)
    }

    fn edit_pair<T>(
        &self,
        keys: [&[u8]; 2],
        change: impl FnOnce([Option<&[u8]>; 2]) -> Result<([Edit; 2], T)>,
    ) -> Result<T> {
        self.edit_batch(|| {
            let [first, second] = [Store::get(self, keys[0])?, Store::get(self, keys[1])?];
            let (edits, answer) = change([first.as_deref(), second.as_deref()])?;
            let mut batch = Batch::new();
            for (key, edit) in keys.into_iter().zip(edits) {
                match edit {
                    Edit::Keep => {}
                    Edit::Put {
                        value,
                        expires,
                        cbor,
                    } => {
                        let value = &value;
                        let put = Put {
                            value,
                            expires,
                            cbor,
                        };
                        batch.put(key, put);
                    }
                    Edit::Remove => {
                        batch.remove(key);
                    }
                }
            }
            Ok((batch, answer))
        })
    }

    fn entries(&self) -> impl Iterator<Item = Result<Entry>> + Send + use<> {
        Store::entries(self)
    }

    fn key(entry: &Entry) -> &[u8] {
        entry.key()
    }

    fn value(entry: &Entry) -> &[u8] {
        entry.value()
    }

    fn expires(entry: &Entry) -> Option<SystemTime> {
        entry.expires()
    }

    fn remove_unchanged(&self, entries: &[Entry]) -> Result<usize> {
        Store::remove_unchanged(self, entries)
    }

    fn clear(&self) -> Result<()> {
        Store::clear(self)
    }

    fn now(&self) -> SystemTime {
        Store::now(self)
    }

    fn random(&self, bytes: &mut [u8]) -> Result<()> {
        Store::random(self, bytes)
    }

    fn path(&self) -> Option<&Path> {
        Some(Store::path(self))
    }
}
