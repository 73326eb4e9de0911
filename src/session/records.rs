//! The map from bytes to bytes that the rules of sessions need, so that they are written once for a file and for
//! memory.

use crate::error::Result;
use crate::store::Store;
use crate::store::batch::Batch;
use crate::store::change::{Edit, Old};
use crate::store::entry::Entry;
use crate::store::iter::Unreadable;
use std::fmt;
use std::path::Path;
use std::time::SystemTime;

/// The fate of records, by their keys.
pub(super) type Edits = Vec<(Vec<u8>, Edit)>;

/// Makes an edit of the value that is there.
pub(super) type MakeEdit<'a> = dyn FnMut(Option<Old<'_>>) -> Result<Edit> + 'a;

/// Makes the edits of the next step, if there is one.
pub(super) type NextEdits<'a> = dyn FnMut() -> Result<Option<Edits>> + 'a;

/// A snapshot, entry by entry.
pub(super) type Walk = Box<dyn Iterator<Item = std::result::Result<Entry, Unreadable>> + Send>;

pub(super) trait Records: fmt::Debug + Send + Sync {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>>;

    /// An entry, also if it has ended and was not dropped yet.
    fn peek(&self, key: &[u8]) -> Result<Option<Entry>>;

    /// Replaces one value by that which `change` makes of it; nobody comes between.
    fn edit(&self, key: &[u8], change: &mut MakeEdit<'_>) -> Result<()>;

    /// Makes several changes, all or nothing; nobody changes meanwhile the records that `change` reads.
    fn change(&self, change: &mut dyn FnMut() -> Result<Edits>) -> Result<()> {
        let mut change = Some(change);
        self.change_in_steps(&mut || change.take().map(|change| change()).transpose())
    }

    /// Makes changes step after step until `next` says that there is none: each step all or nothing, and from the first
    /// one to the last nobody comes between.
    fn change_in_steps(&self, next: &mut NextEdits<'_>) -> Result<()>;

    /// A snapshot, least recently written first, of all that is there, those included that have ended. Goes on behind
    /// what can't be read.
    fn walk(&self) -> Walk;

    /// Removes those entries that are still as the snapshot saw them, and returns how many.
    fn remove_unchanged(&self, entries: &[Entry]) -> Result<usize>;

    fn clear(&self) -> Result<()>;

    fn now(&self) -> SystemTime;

    /// Whether the clock reads a time that can't be: one before the store was made.
    fn is_clock_wrong(&self) -> bool;

    /// From the operating system.
    fn random(&self, bytes: &mut [u8]) -> Result<()>;

    /// For errors.
    fn path(&self) -> Option<&Path>;
}

impl Records for Store {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        Store::get(self, key)
    }

    fn peek(&self, key: &[u8]) -> Result<Option<Entry>> {
        self.entry_even_ended(key)
    }

    fn edit(&self, key: &[u8], change: &mut MakeEdit<'_>) -> Result<()> {
        Store::edit(self, key, |old| Ok((change(old)?, ())))
    }

    fn change_in_steps(&self, next: &mut NextEdits<'_>) -> Result<()> {
        self.edit_batches(|| Ok(next()?.map(|edits| batch_of(&edits))))
    }

    fn walk(&self) -> Walk {
        Box::new(Store::walk(self))
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

    fn random(&self, bytes: &mut [u8]) -> Result<()> {
        Store::random(self, bytes)
    }

    fn path(&self) -> Option<&Path> {
        Some(Store::path(self))
    }
}

fn batch_of(edits: &Edits) -> Batch {
    let mut batch = Batch::new();
    for op in edits.iter().filter_map(|(key, edit)| edit.op(key)) {
        batch.push(op);
    }
    batch
}
