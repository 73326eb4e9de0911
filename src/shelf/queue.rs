//! A shelf as a queue.

use super::{Shelf, key_of};
use crate::error::{Error, Result};
use crate::store::batch::Batch;
use crate::store::changes::Position;
use crate::store::entry::Entry;
use crate::store::iter::Entries;
use crate::value::Decode;
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

/// How far [`Shelf::pop_first`] has come: the rest of the entries that it found when it looked last.
///
/// All of them are older than anything written since, so the first that is still there is the oldest of all. Each is
/// looked at once by each handle, which makes a pop cheap however long the queue is.
#[derive(Default)]
pub(super) struct Queue(Mutex<Option<Found>>);

struct Found {
    entries: Entries,
    /// Where the log ended then. Where it ends there again nothing was written since.
    end: Position,
    /// The time then. By a clock that reads earlier an entry that was passed by as one that had ended may not have.
    by: SystemTime,
    /// The first that was passed by because it can't be read.
    unreadable: Option<Error>,
    /// All entries were looked at.
    is_over: bool,
}

impl Found {
    /// Whether looking anew would find the same.
    fn holds(&self, shelf: &Shelf) -> Result<bool> {
        Ok(self.end == shelf.store.end()? && self.by <= shelf.store.ended_by())
    }
}

impl Queue {
    /// The next entry that may be the oldest.
    fn next(&self, shelf: &Shelf) -> Result<Option<Entry>> {
        let mut found = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(found) = found.as_mut() {
                for entry in &mut found.entries {
                    let entry = match entry {
                        Ok(entry) => entry,
                        Err(error) if error.is_corrupt() => {
                            found.unreadable.get_or_insert(error);
                            continue;
                        }
                        Err(error) => return Err(error),
                    };
                    let end = entry.expires();
                    let has_ended = end.is_some_and(|end| end <= shelf.store.ended_by());
                    if !has_ended && key_of(&entry).is_some() {
                        return Ok(Some(entry));
                    }
                }
                found.is_over = true;
            }
            if let Some(last) = found.as_ref()
                && last.holds(shelf)?
            {
                // The next call looks anew, and tells the same.
                let passed = found.take_if(|found| found.unreadable.is_some());
                return passed
                    .and_then(|found| found.unreadable)
                    .map_or(Ok(None), Err);
            }
            // An entry that is written between these two lines is in the snapshot, and the next look at the file finds
            // it changed: that costs one more walk, and misses nothing.
            let end = shelf.store.end()?;
            let entries = shelf.store.entries();
            *found = Some(Found {
                entries,
                end,
                by: shelf.store.ended_by(),
                unreadable: None,
                is_over: false,
            });
        }
    }

    /// Whether nothing was written since all entries were looked at: then there is none, and no lock is asked for.
    fn is_empty(&self, shelf: &Shelf) -> Result<bool> {
        let found = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match found.as_ref().filter(|found| found.is_over) {
            Some(found) => found.holds(shelf),
            None => Ok(false),
        }
    }
}

/// Dropped, it makes the next call look anew, which begins with the oldest again.
struct Rewind<'a>(&'a Queue);

impl Drop for Rewind<'_> {
    fn drop(&mut self) {
        *self.0.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// Tells nothing: entries may be secrets.
impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Queue")
    }
}

impl Shelf {
    /// Removes the key that was written least recently and returns it with its value: a queue, into which
    /// [`insert`](Shelf::insert) puts. `None` if there is none.
    ///
    /// Atomic across threads and processes: of several callers only one gets an entry. With the default
    /// [`Durability::Immediate`](crate::Durability) an entry that was returned is gone for good, and what its receiver
    /// did not finish before it died is lost; to have it tried again, keep it under a key of another shelf meanwhile.
    ///
    /// To write a key again puts it at the end. The cost of a call does not depend on the length of the queue, on
    /// average: the shelf is looked through once for as many calls as it had entries, and not at all if nothing was
    /// written since it was found empty. So give a queue a file of its own, in which nothing else is looked through, nor
    /// popped: a counter that numbers the jobs belongs in another file. A call never waits for an entry: a receiver that
    /// finds none sleeps for a while and asks again. A handle that pops from a queue of over 4 MiB keeps a thread that
    /// reads ahead until it has looked through it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Decode`](crate::ErrorKind::Decode) if the oldest value is not a `T`. It is then kept, and stays the
    /// first until [`remove`](Shelf::remove) takes it away; [`Error::key`](crate::Error::key) names it. An entry that
    /// can't be read stays, too, and is passed by: its error, of [`ErrorKind::Corrupt`](crate::ErrorKind::Corrupt), comes
    /// where no other is left.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let jobs = shelflife::Shelf::open(dir.path().join("jobs.shelf"))?;
    /// jobs.insert("mail:2", "to bob")?;
    /// jobs.insert("mail:1", "to ann")?;
    /// assert_eq!(jobs.pop_first::<String>()?, Some(("mail:2".to_owned(), "to bob".to_owned())));
    /// assert_eq!(jobs.pop_first::<String>()?, Some(("mail:1".to_owned(), "to ann".to_owned())));
    /// assert_eq!(jobs.pop_first::<String>()?, None);
    /// # Ok::<(), shelflife::Error>(())
    /// ```
    pub fn pop_first<T: Decode>(&self) -> Result<Option<(String, T)>> {
        if self.queue.is_empty(self)? {
            return Ok(None);
        }
        // The entry stays where the write fails, and where `T` fails or panics.
        let rewind = Rewind(&self.queue);
        // With the lock held: else a thread could be given an entry, and others younger ones before it is removed.
        let popped = self.store.edit_batch(|| {
            let mut batch = Batch::new();
            while let Some(entry) = self.queue.next(self)? {
                // Another handle took it, or a writer wrote the key again, which puts it at the end.
                if !self.store.is_unchanged(&entry)? {
                    continue;
                }
                let key = key_of(&entry).unwrap_or_default();
                let value = self.decode(key, &entry)?;
                batch.remove(entry.key());
                return Ok((batch, Some((key.to_owned(), value))));
            }
            Ok((batch, None))
        })?;
        std::mem::forget(rewind);
        Ok(popped)
    }
}
