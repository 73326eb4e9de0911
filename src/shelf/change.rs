//! Changing a shelf by what is in it.

use super::{Shelf, decode, key_of};
use crate::error::{Error, Result};
use crate::store::batch::Batch;
use crate::store::change::{Edit, Old};
use crate::store::entry::Entry;
use crate::value::{Decode, Encode};
use std::time::SystemTime;

/// How many entries [`Shelf::retain`] removes at once, which bounds what it holds in memory.
const CHUNK: usize = 1024;
/// How many bytes of keys [`Shelf::clear`] removes at once, which keeps a batch within its limit.
const CLEARED_BYTES: usize = 32 << 20;

impl Shelf {
    /// Stores a value and returns the one that was there, in one atomic step.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Decode`](crate::ErrorKind::Decode) if the old value is not a `T`; it is then kept.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let shelf = shelflife::Shelf::open(dir.path().join("s.shelf"))?;
    /// assert_eq!(shelf.replace("n", &1u64)?, None);
    /// assert_eq!(shelf.replace("n", &2u64)?, Some(1));
    /// # Ok::<(), shelflife::Error>(())
    /// ```
    pub fn replace<T: Encode + Decode>(&self, key: &str, value: &T) -> Result<Option<T>> {
        let new = put(self.encode(key, value)?, None);
        self.store
            .edit(key.as_bytes(), |old| Ok((new, self.value_of(key, old)?)))
    }

    /// Removes a key and returns its value, in one atomic step: of several callers only one gets it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Decode`](crate::ErrorKind::Decode) if the value is not a `T`; it is then kept.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let shelf = shelflife::Shelf::open(dir.path().join("s.shelf"))?;
    /// shelf.insert("cup", "tea")?;
    /// assert_eq!(shelf.take::<String>("cup")?.as_deref(), Some("tea"));
    /// assert_eq!(shelf.take::<String>("cup")?, None);
    /// # Ok::<(), shelflife::Error>(())
    /// ```
    pub fn take<T: Decode>(&self, key: &str) -> Result<Option<T>> {
        // Also what a clock that is ahead hides.
        self.store.edit(key.as_bytes(), |old| {
            Ok((Edit::Remove, self.value_of(key, old)?))
        })
    }

    /// The value under a key; where there is none, the one that `make` returns, which is stored.
    ///
    /// Atomic across threads and processes: all callers see the value of the first.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Decode`](crate::ErrorKind::Decode) if the value is not a `T`.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let shelf = shelflife::Shelf::open(dir.path().join("s.shelf"))?;
    /// assert_eq!(shelf.get_or_insert_with("limit", || 10u64)?, 10);
    /// assert_eq!(shelf.get_or_insert_with("limit", || 99u64)?, 10);
    /// # Ok::<(), shelflife::Error>(())
    /// ```
    pub fn get_or_insert_with<T: Encode + Decode>(
        &self,
        key: &str,
        make: impl FnOnce() -> T,
    ) -> Result<T> {
        if let Some(value) = self.get(key)? {
            return Ok(value);
        }
        self.store
            .edit(key.as_bytes(), |old| match self.value_of(key, old)? {
                Some(value) => Ok((Edit::Keep, value)),
                None => {
                    let value = make();
                    Ok((put(self.encode(key, &value)?, None), value))
                }
            })
    }

    /// Changes a value in place: `change` gets what is stored and returns what to store (`None` removes the key)
    /// and an answer for the caller.
    ///
    /// Atomic across threads **and** processes: nobody reads or writes the key between the two. An unchanged value
    /// is not written again, and a changed one keeps the time until which it was
    /// [inserted](Shelf::insert_until). An error or a panic in `change` leaves the shelf as it was.
    ///
    /// # Errors
    ///
    /// The error of `change` ([`Error::other`] wraps one of the caller's own);
    /// [`ErrorKind::Decode`](crate::ErrorKind::Decode) if the stored value is not a `T`;
    /// [`ErrorKind::Reentrant`](crate::ErrorKind::Reentrant) from a write to the same shelf inside `change`, where
    /// reading is fine.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let shelf = shelflife::Shelf::open(dir.path().join("s.shelf"))?;
    /// shelf.insert("cart", &vec!["tea".to_string()])?;
    /// let items = shelf.update("cart", |cart: Option<Vec<String>>| {
    ///     let mut cart = cart.unwrap_or_default();
    ///     cart.push("milk".to_string());
    ///     let items = cart.len();
    ///     Ok((Some(cart), items))
    /// })?;
    /// assert_eq!(items, 2);
    /// # Ok::<(), shelflife::Error>(())
    /// ```
    pub fn update<T: Encode + Decode, R>(
        &self,
        key: &str,
        change: impl FnOnce(Option<T>) -> Result<(Option<T>, R)>,
    ) -> Result<R> {
        self.store.edit(key.as_bytes(), |old| {
            let (new, answer) = change(self.value_of(key, old)?)?;
            Ok((self.revised(key, old, new.as_ref())?, answer))
        })
    }

    /// Changes the values of several keys in one step: `change` gets what is stored under each, in the order of `keys`,
    /// and changes it where it stands; what it leaves as `None` is removed.
    ///
    /// Atomic as [`update`](Shelf::update): all other readers and writers, in this process or another, and every
    /// crash see all of the changes or none. An error or a panic in `change` leaves the shelf as it was.
    ///
    /// # Errors
    ///
    /// Those of [`update`](Shelf::update); [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) if a key is
    /// given twice.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let shelf = shelflife::Shelf::open(dir.path().join("s.shelf"))?;
    /// use shelflife::Error;
    ///
    /// shelf.extend([("ann", 50u64), ("bob", 0)])?;
    /// shelf.update_many(&["ann", "bob"], |accounts: &mut [Option<u64>]| match accounts {
    ///     [Some(from), Some(to)] if *from >= 20 => {
    ///         *from -= 20;
    ///         *to += 20;
    ///         Ok(())
    ///     }
    ///     _ => Err(Error::other("no such account, or not enough in it")),
    /// })?;
    /// assert_eq!((shelf.get("ann")?, shelf.get("bob")?), (Some(30), Some(20)));
    /// # Ok::<(), shelflife::Error>(())
    /// ```
    pub fn update_many<T: Encode + Decode, R>(
        &self,
        keys: &[&str],
        change: impl FnOnce(&mut [Option<T>]) -> Result<R>,
    ) -> Result<R> {
        let mut sorted = keys.to_vec();
        sorted.sort_unstable();
        if sorted.windows(2).any(|pair| pair.first() == pair.last()) {
            let what = "a key was given twice to be changed in one step";
            return Err(Error::invalid_input(what, "give each key once").at(self.path()));
        }
        self.store.edit_batch(|| {
            let mut olds = Vec::with_capacity(keys.len());
            let mut values = Vec::with_capacity(keys.len());
            for key in keys {
                let old = self.store.entry(key)?;
                values.push(self.value_of(key, old.as_ref().map(Entry::as_old))?);
                olds.push(old);
            }
            let answer = change(&mut values)?;
            let mut batch = Batch::new();
            for ((key, old), new) in keys.iter().zip(&olds).zip(&values) {
                let edit = self.revised(key, old.as_ref().map(Entry::as_old), new.as_ref())?;
                if let Some(op) = edit.op(key.as_bytes()) {
                    batch.push(op);
                }
            }
            Ok((batch, answer))
        })
    }

    /// Removes the entries that `keep` returns `false` for, and returns how many those were.
    ///
    /// Works on a snapshot, in batches: an entry that somebody changes meanwhile stays.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Decode`](crate::ErrorKind::Decode) if a value is not a `T`, or the error of one that can't be read:
    /// that entry stays, the work is done on all others, and the error is that of the first, which says how many there
    /// were.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let shelf = shelflife::Shelf::open(dir.path().join("s.shelf"))?;
    /// shelf.extend([("ann", 3u64), ("bob", 5), ("cleo", 8)])?;
    /// assert_eq!(shelf.retain(|_, n: u64| n % 2 == 1)?, 1);
    /// assert!(!shelf.contains_key("cleo")?);
    /// # Ok::<(), shelflife::Error>(())
    /// ```
    pub fn retain<T: Decode>(&self, mut keep: impl FnMut(&str, T) -> bool) -> Result<usize> {
        let mut removed = 0;
        let mut doomed: Vec<Entry> = Vec::new();
        let mut passed = Passed::default();
        for found in self.walk("") {
            let decoded = found.and_then(|(key, entry)| {
                let value = self.decode(&key, &entry)?;
                Ok((key, entry, value))
            });
            match decoded {
                Ok((key, entry, value)) => {
                    if !keep(&key, value) {
                        doomed.push(entry);
                    }
                }
                Err(error) => passed.by(error),
            }
            if doomed.len() == CHUNK {
                removed += self.store.remove_unchanged(&doomed)?;
                doomed.clear();
            }
        }
        removed += self.store.remove_unchanged(&doomed)?;
        passed.finish().map(|()| removed)
    }

    /// Removes all keys of the shelf, at once where their names have less than 32 MiB in all, otherwise in as many
    /// steps as it takes.
    ///
    /// # Errors
    ///
    /// Those of [`remove`](Shelf::remove). An entry that can't be read may be a session, so it stays, and its error is
    /// returned once all others are removed.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let shelf = shelflife::Shelf::open(dir.path().join("s.shelf"))?;
    /// shelf.insert("cup", "tea")?;
    /// shelf.clear()?;
    /// assert!(shelf.is_empty()?);
    /// # Ok::<(), shelflife::Error>(())
    /// ```
    pub fn clear(&self) -> Result<()> {
        loop {
            let (passed, is_all) = self.store.edit_batch(|| {
                let (mut batch, mut passed) = (Batch::new(), Passed::default());
                let mut size_bytes = 0;
                // Also what a clock that is ahead hides.
                for found in self.store.walk() {
                    match found {
                        Ok(entry) if key_of(&entry).is_none() => {}
                        Ok(entry) => {
                            size_bytes += entry.key().len() + REMOVAL_BYTES;
                            batch.remove(entry.key());
                        }
                        Err(unreadable) => passed.by(unreadable.error),
                    }
                    if size_bytes > CLEARED_BYTES {
                        return Ok((batch, (passed, false)));
                    }
                }
                Ok((batch, (passed, true)))
            })?;
            if is_all {
                return passed.finish();
            }
        }
    }

    fn value_of<T: Decode>(&self, key: &str, old: Option<Old<'_>>) -> Result<Option<T>> {
        let value = old.map(|old| decode(self.path(), key, old.value, old.is_cbor));
        value.transpose()
    }

    /// The edit that gives a key the value `new`: none if it has that value. The key keeps the time of its end.
    fn revised<T: Encode>(&self, key: &str, old: Option<Old<'_>>, new: Option<&T>) -> Result<Edit> {
        let Some(new) = new else {
            return Ok(match old {
                Some(_) => Edit::Remove,
                None => Edit::Keep,
            });
        };
        let value = self.encode(key, new)?;
        Ok(match old {
            Some(old) if old.value == value => Edit::Keep,
            old => put(value, old.and_then(|old| old.expires)),
        })
    }
}

/// About what it takes to remove a key, besides its name.
const REMOVAL_BYTES: usize = 64;

fn put(value: Vec<u8>, expires: Option<SystemTime>) -> Edit {
    Edit::Put {
        value,
        expires,
        cbor: true,
    }
}

/// The entries that a walk passed by because they could not be read, while it did its work on all others.
#[derive(Default)]
struct Passed {
    first: Option<Error>,
    more: usize,
}

impl Passed {
    fn by(&mut self, error: Error) {
        match self.first {
            None => self.first = Some(error),
            Some(_) => self.more += 1,
        }
    }

    fn finish(self) -> Result<()> {
        match (self.first, self.more) {
            (None, _) => Ok(()),
            (Some(error), 0) => Err(error),
            (Some(error), more) => Err(error.and_more(more)),
        }
    }
}
