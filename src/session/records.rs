//! What the rules of sessions need of a map from bytes to bytes, so that they are written once for a file and for
//! memory.

use crate::error::Result;
use crate::store::Store;
use crate::store::batch::{Batch, Put};
use crate::store::change::Edit;
use crate::store::entry::Entry;
use crate::store::iter::Unreadable;
use std::fmt;
use std::path::Path;
use std::time::SystemTime;

pub(super) trait Records: fmt::Debug + Send + Sync {
    /// One entry of a snapshot.
    type Entry: Send;

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>>;

    /// A value, also if it has ended and was not dropped yet.
    fn peek(&self, key: &[u8]) -> Result<Option<Vec<u8>>>;

    /// Replaces one value by that which `change` makes of it, which is told the value's end as well; nobody comes between.
    fn edit<T>(
        &self,
        key: &[u8],
        change: impl FnOnce(Option<&[u8]>, Option<SystemTime>) -> Result<(Edit, T)>,
    ) -> Result<T>;

    /// Makes several changes, all or nothing; nobody changes meanwhile the records that `change` reads.
    fn change<T>(&self, change: impl FnOnce() -> Result<(Vec<(Vec<u8>, Edit)>, T)>) -> Result<T>;

    /// A snapshot, least recently written first, of all that is there, those included that have ended. Goes on behind
    /// what can't be read.
    fn walk(
        &self,
    ) -> impl Iterator<Item = std::result::Result<Self::Entry, Unreadable>> + Send + use<Self>;

    fn key(entry: &Self::Entry) -> &[u8];
    fn value(entry: &Self::Entry) -> &[u8];
    fn expires(entry: &Self::Entry) -> Option<SystemTime>;

    /// Removes those entries that are still as the snapshot saw them, and returns how many.
    fn remove_unchanged(&self, entries: &[Self::Entry]) -> Result<usize>;

    fn clear(&self) -> Result<()>;

    fn now(&self) -> SystemTime;

    /// Whether what the clock reads can't be.
    fn is_clock_wrong(&self) -> bool;

    /// Which of several files that followed each other this is.
    fn generation(&self) -> u64;

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

    fn peek(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        let entry = self.entry_even_ended(key)?;
        Ok(entry.map(|entry| entry.into_pair().1))
    }

    fn edit<T>(
        &self,
        key: &[u8],
        change: impl FnOnce(Option<&[u8]>, Option<SystemTime>) -> Result<(Edit, T)>,
    ) -> Result<T> {
        self.edit_entry(key, change)
    }

    fn change<T>(&self, change: impl FnOnce() -> Result<(Vec<(Vec<u8>, Edit)>, T)>) -> Result<T> {
        self.edit_batch(|| {
            let (edits, answer) = change()?;
            let mut batch = Batch::new();
            for (key, edit) in &edits {
                match edit {
                    Edit::Keep => {}
                    Edit::Put {
                        value,
                        expires,
                        cbor,
                    } => {
                        let put = Put {
                            value,
                            expires: *expires,
                            cbor: *cbor,
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

    fn walk(&self) -> impl Iterator<Item = std::result::Result<Entry, Unreadable>> + Send + use<> {
        Store::walk(self)
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

    fn is_clock_wrong(&self) -> bool {
        Store::is_clock_wrong(self)
    }

    fn generation(&self) -> u64 {
        Store::generation(self)
    }

    fn random(&self, bytes: &mut [u8]) -> Result<()> {
        Store::random(self, bytes)
    }

    fn path(&self) -> Option<&Path> {
        Some(Store::path(self))
    }
}
