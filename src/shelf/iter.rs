//! Walking over a shelf: keys, values, both, all or those with a prefix.

use super::{Shelf, decode, key_of};
use crate::error::Result;
use crate::store::entry::Entry;
use crate::store::iter::Entries;
use crate::value::Decode;
use std::fmt;
use std::marker::PhantomData;
use std::path::PathBuf;

impl Shelf {
    /// All keys, least recently written first, as they are now: what is written while iterating is not seen.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let shelf = shelflife::Shelf::open(dir.path().join("s.shelf"))?;
    /// shelf.extend([("b", 1u64), ("a", 2)])?;
    /// let keys: Vec<String> = shelf.keys().collect::<shelflife::Result<_>>()?;
    /// assert_eq!(keys, ["b", "a"]);
    /// # Ok::<(), shelflife::Error>(())
    /// ```
    pub fn keys(&self) -> Keys {
        self.keys_with_prefix("")
    }

    /// The keys that begin with `prefix`, least recently written first.
    ///
    /// Keys are not sorted, so this looks at all of them; give what is looked through often a shelf of its own.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let shelf = shelflife::Shelf::open(dir.path().join("s.shelf"))?;
    /// shelf.extend([("cart:1", 3u64), ("user:1", 4), ("cart:2", 5)])?;
    /// let carts: Vec<String> = shelf.keys_with_prefix("cart:").collect::<shelflife::Result<_>>()?;
    /// assert_eq!(carts, ["cart:1", "cart:2"]);
    /// # Ok::<(), shelflife::Error>(())
    /// ```
    pub fn keys_with_prefix(&self, prefix: &str) -> Keys {
        Keys(self.walk(prefix))
    }

    /// All keys with their values, least recently written first, as they are now.
    ///
    /// A value that is not a `T` is an item of [`ErrorKind::Decode`](crate::ErrorKind::Decode), whose key
    /// [`Error::key`](crate::Error::key) names, and after which the iteration goes on; `iter::<Value>()` reads values
    /// of every type.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let shelf = shelflife::Shelf::open(dir.path().join("s.shelf"))?;
    /// shelf.extend([("ann", 3u64), ("bob", 5)])?;
    /// let mut total = 0;
    /// for item in shelf.iter::<u64>() {
    ///     let (key, n) = item?;
    ///     total += n;
    ///     shelf.remove(&key)?; // the iterator goes on with its snapshot
    /// }
    /// assert_eq!(total, 8);
    /// # Ok::<(), shelflife::Error>(())
    /// ```
    pub fn iter<T: Decode>(&self) -> Items<T> {
        self.iter_with_prefix("")
    }

    /// As [`iter`](Shelf::iter), of the keys that begin with `prefix`. The values of others are not decoded, so they may
    /// be of other types. Looks at all entries, as [`keys_with_prefix`](Shelf::keys_with_prefix).
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let shelf = shelflife::Shelf::open(dir.path().join("s.shelf"))?;
    /// shelf.extend([("cart:1", 3u64), ("cart:2", 5)])?;
    /// shelf.insert("user:1", "ann")?;
    /// let carts: Vec<(String, u64)> = shelf.iter_with_prefix("cart:").collect::<shelflife::Result<_>>()?;
    /// assert_eq!(carts, [("cart:1".to_owned(), 3), ("cart:2".to_owned(), 5)]);
    /// # Ok::<(), shelflife::Error>(())
    /// ```
    pub fn iter_with_prefix<T: Decode>(&self, prefix: &str) -> Items<T> {
        Items {
            walk: self.walk(prefix),
            of: PhantomData,
        }
    }

    /// All values, as [`iter`](Shelf::iter) without the keys.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let shelf = shelflife::Shelf::open(dir.path().join("s.shelf"))?;
    /// shelf.extend([("ann", 3u64), ("bob", 5)])?;
    /// let values: Vec<u64> = shelf.values().collect::<shelflife::Result<_>>()?;
    /// assert_eq!(values, [3, 5]);
    /// # Ok::<(), shelflife::Error>(())
    /// ```
    pub fn values<T: Decode>(&self) -> Values<T> {
        Values(self.iter())
    }

    pub(super) fn walk(&self, prefix: &str) -> Walk {
        Walk {
            entries: self.store.entries(),
            prefix: prefix.to_owned(),
            path: self.path().to_path_buf(),
        }
    }
}

/// The entries of a shelf at one moment.
pub(super) struct Walk {
    entries: Entries,
    prefix: String,
    path: PathBuf,
}

impl Iterator for Walk {
    type Item = Result<(String, Entry)>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let entry = match self.entries.next()? {
                Ok(entry) => entry,
                Err(error) => return Some(Err(error)),
            };
            if let Some(key) = key_of(&entry).filter(|key| key.starts_with(&self.prefix)) {
                return Some(Ok((key.to_owned(), entry)));
            }
        }
    }
}

/// Shows no prefix: it is the beginning of keys, which may be secrets.
impl fmt::Debug for Walk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Walk")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

/// The keys of a [`Shelf`] at one moment, by [`Shelf::keys`] and [`Shelf::keys_with_prefix`].
#[derive(Debug)]
pub struct Keys(Walk);

impl Iterator for Keys {
    type Item = Result<String>;

    fn next(&mut self) -> Option<Result<String>> {
        let found = self.0.next()?;
        Some(found.map(|(key, _)| key))
    }
}

/// The keys and values of a [`Shelf`] at one moment, by [`Shelf::iter`] and [`Shelf::iter_with_prefix`].
#[derive(Debug)]
pub struct Items<T> {
    walk: Walk,
    of: PhantomData<fn() -> T>,
}

impl<T: Decode> Iterator for Items<T> {
    type Item = Result<(String, T)>;

    fn next(&mut self) -> Option<Result<(String, T)>> {
        let found = self.walk.next()?;
        Some(found.and_then(|(key, entry)| {
            let value = decode(&self.walk.path, &key, entry.value(), entry.is_cbor())?;
            Ok((key, value))
        }))
    }
}

/// The values of a [`Shelf`] at one moment, by [`Shelf::values`].
#[derive(Debug)]
pub struct Values<T>(Items<T>);

impl<T: Decode> Iterator for Values<T> {
    type Item = Result<T>;

    fn next(&mut self) -> Option<Result<T>> {
        let item = self.0.next()?;
        Some(item.map(|(_, value)| value))
    }
}
