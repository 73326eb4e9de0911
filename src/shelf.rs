//! `Shelf`: any encodable value under any string key, kept in one file.
//!
//! What Python's `shelve` is to its `dbm`: a thin layer over [`Store`](crate::Store) that turns values into CBOR
//! (RFC 8949) and back. It holds no state of its own. There is no write-back cache: a value that was changed in
//! memory is stored when it is inserted again, or by [`Shelf::update`], which nobody can come between.

use crate::error::{Error, ErrorKind, Result};
use crate::store::Store;
use crate::store::batch::{Batch, Put};
use crate::store::change::Edit;
use crate::store::compaction::Compacted;
use crate::store::entry::Entry;
use crate::store::iter::Iter;
use crate::value::{Decode, Encode, from_cbor, to_cbor};
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

/// How many entries [`Shelf::retain`] removes at once, which bounds what it holds in memory.
const CHUNK: usize = 1024;

/// A persistent dictionary: values of any type under string keys, shared by threads and processes.
///
/// Every value that implements [`Encode`] can be stored, and values of different types can stand side by side.
/// What is read is checked against the type that is asked for: a value of another type is an error of
/// [`ErrorKind::Decode`], never a guess, and loading runs no code.
///
/// All methods take `&self`; share a shelf by reference or in an [`Arc`](std::sync::Arc). Dropping it closes the
/// file. Durability, locking and compaction are those of the [`Store`] below, which is also where options are set:
/// `Shelf::from(Options::new().read_only(true).open(path)?)`.
///
/// # Limits
///
/// A key has at most 65,535 bytes; a value, or all of [`Shelf::extend`], about 128 MiB. Beyond that a write is
/// refused with [`ErrorKind::TooLarge`] before anything is written.
///
/// # Coming from `shelve`
///
/// | Python | here |
/// |---|---|
/// | `shelve.open(path)` | [`Shelf::open`]; other modes by [`Options`](crate::Options) |
/// | `d[k]`, `d.get(k)` | [`get`](Shelf::get), `None` when absent |
/// | `d[k] = v` | [`insert`](Shelf::insert), or [`replace`](Shelf::replace) to see the old value |
/// | `del d[k]`, `d.pop(k)` | [`remove`](Shelf::remove), [`take`](Shelf::take) |
/// | `k in d`, `len(d)` | [`contains_key`](Shelf::contains_key), [`len`](Shelf::len) |
/// | `d.keys()`, `items()`, `values()` | [`keys`](Shelf::keys), [`iter`](Shelf::iter), [`values`](Shelf::values): snapshots |
/// | `d.setdefault(k, v)`, `d.update(..)` | [`get_or_insert_with`](Shelf::get_or_insert_with), [`extend`](Shelf::extend): atomic |
/// | `writeback=True` | [`update`](Shelf::update) |
/// | `d.clear()`, `sync()`, `close()` | the same names |
///
/// # Example
///
/// ```
/// # let dir = tempfile::tempdir().unwrap();
/// # let path = dir.path().join("things.shelf");
/// use shelflife::Shelf;
///
/// let shelf = Shelf::open(&path)?;
/// shelf.insert("greeting", "hello")?;
/// shelf.insert("primes", &vec![2u64, 3, 5])?;
/// shelf.update("visits", |n: Option<u64>| Ok((Some(n.unwrap_or(0) + 1), ())))?;
/// drop(shelf);
///
/// let shelf = Shelf::open(&path)?;
/// assert_eq!(shelf.get::<String>("greeting")?.as_deref(), Some("hello"));
/// assert_eq!(shelf.get::<u64>("visits")?, Some(1));
/// assert_eq!(shelf.len()?, 3);
/// # Ok::<(), shelflife::Error>(())
/// ```
#[derive(Debug)]
pub struct Shelf {
    store: Store,
}

impl Shelf {
    /// Opens the shelf at exactly this path, and creates it if there is none.
    ///
    /// # Errors
    ///
    /// As [`Options::open`](crate::Options::open): a missing folder is [`ErrorKind::NotFound`], a foreign file
    /// [`ErrorKind::NotAStore`], and so on; what was there is left untouched.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// let shelf = shelflife::Shelf::open(dir.path().join("new.shelf"))?;
    /// assert!(shelf.is_empty()?);
    /// # Ok::<(), shelflife::Error>(())
    /// ```
    pub fn open(path: impl AsRef<Path>) -> Result<Shelf> {
        Store::open(path).map(Shelf::from)
    }

    /// The store below, for what has no typed form: statistics, verification, plain bytes.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let path = dir.path().join("s.shelf");
    /// let shelf = shelflife::Shelf::open(&path)?;
    /// shelf.insert("n", &1u64)?;
    /// assert_eq!(shelf.store().get("n")?, Some(vec![0x01])); // CBOR
    /// # Ok::<(), shelflife::Error>(())
    /// ```
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Gives the store back.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// let store = shelflife::Shelf::open(dir.path().join("s.shelf"))?.into_store();
    /// store.close()?;
    /// # Ok::<(), shelflife::Error>(())
    /// ```
    pub fn into_store(self) -> Store {
        self.store
    }

    /// The value under a key, or `None`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Decode`] if the value is not a `T`.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let shelf = shelflife::Shelf::open(dir.path().join("s.shelf"))?;
    /// shelf.insert("n", &7u64)?;
    /// assert_eq!(shelf.get::<u64>("n")?, Some(7));
    /// assert_eq!(shelf.get::<u64>("m")?, None);
    /// assert_eq!(shelf.get::<String>("n").unwrap_err().kind(), shelflife::ErrorKind::Decode);
    /// # Ok::<(), shelflife::Error>(())
    /// ```
    pub fn get<T: Decode>(&self, key: &str) -> Result<Option<T>> {
        let value = self.store.get(key)?;
        value.map(|value| decode(self.path(), &value)).transpose()
    }

    /// Whether the key has a value, of whatever type.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let shelf = shelflife::Shelf::open(dir.path().join("s.shelf"))?;
    /// shelf.insert("tea", "green")?;
    /// assert!(shelf.contains_key("tea")?);
    /// assert!(!shelf.contains_key("coffee")?);
    /// # Ok::<(), shelflife::Error>(())
    /// ```
    pub fn contains_key(&self, key: &str) -> Result<bool> {
        self.store.contains_key(key)
    }

    /// Stores a value, over whatever the key had; `true` if the key is new (as
    /// [`HashSet::insert`](std::collections::HashSet::insert)).
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let shelf = shelflife::Shelf::open(dir.path().join("s.shelf"))?;
    /// assert!(shelf.insert("cup", "tea")?);
    /// assert!(!shelf.insert("cup", &3u64)?); // the type may change
    /// # Ok::<(), shelflife::Error>(())
    /// ```
    pub fn insert<T: Encode + ?Sized>(&self, key: &str, value: &T) -> Result<bool> {
        let value = to_cbor(value)?;
        let put = Put {
            value: &value,
            expires: None,
            cbor: true,
        };
        self.store.put(key.as_bytes(), put)
    }

    /// Stores a value and returns the one that was there, in one atomic step.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Decode`] if the old value is not a `T`; it is then kept.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let shelf = shelflife::Shelf::open(dir.path().join("s.shelf"))?;
    /// assert_eq!(shelf.replace("n", &1u64)?, None);
    /// assert_eq!(shelf.replace("n", &2u64)?, Some(1));
    /// # Ok::<(), shelflife::Error>(())
    /// ```
    pub fn replace<T: Encode + Decode>(&self, key: &str, value: &T) -> Result<Option<T>> {
        let new = put(to_cbor(value)?);
        self.store.edit(key.as_bytes(), |old| {
            let old = old.map(|old| decode(self.path(), old)).transpose()?;
            Ok((new, old))
        })
    }

    /// Removes a key; `false` if it was absent.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let shelf = shelflife::Shelf::open(dir.path().join("s.shelf"))?;
    /// shelf.insert("cup", "tea")?;
    /// assert!(shelf.remove("cup")?);
    /// assert!(!shelf.remove("cup")?);
    /// # Ok::<(), shelflife::Error>(())
    /// ```
    pub fn remove(&self, key: &str) -> Result<bool> {
        self.store.remove(key)
    }

    /// Removes a key and returns its value, in one atomic step: of several callers only one gets it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Decode`] if the value is not a `T`; it is then kept.
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
        self.store.edit(key.as_bytes(), |old| match old {
            None => Ok((Edit::Keep, None)),
            Some(old) => Ok((Edit::Remove, Some(decode(self.path(), old)?))),
        })
    }

    /// The value under a key; where there is none, the one that `make` returns, which is stored.
    ///
    /// Atomic across threads and processes: all callers see the value of the first.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Decode`] if the value is not a `T`.
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
        self.store.edit(key.as_bytes(), |old| match old {
            Some(old) => Ok((Edit::Keep, decode(self.path(), old)?)),
            None => {
                let value = make();
                Ok((put(to_cbor(&value)?), value))
            }
        })
    }

    /// Changes a value in place: `change` gets what is stored and returns what to store (`None` removes the key)
    /// and an answer for the caller.
    ///
    /// Atomic across threads **and** processes: nobody reads or writes the key between the two. An unchanged value
    /// is not written again. An error or a panic in `change` leaves the shelf as it was.
    ///
    /// # Errors
    ///
    /// What `change` returns ([`Error::other`] wraps an error of the caller's own); [`ErrorKind::Decode`] if the
    /// stored value is not a `T`; [`ErrorKind::Reentrant`] from a write to the same shelf inside `change`, where
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
            let stored = old.map(|old| decode(self.path(), old)).transpose()?;
            let (new, answer) = change(stored)?;
            let new = new.map(|new| to_cbor(&new)).transpose()?;
            let edit = match new {
                new if new.as_deref() == old => Edit::Keep,
                Some(new) => put(new),
                None => Edit::Remove,
            };
            Ok((edit, answer))
        })
    }

    /// Stores several values at once: after a crash, and for every reader, all of them are there or none.
    /// Of several values for one key the last counts.
    ///
    /// Values of different types go through [`Batch::insert_cbor`] and [`Store::write`].
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let shelf = shelflife::Shelf::open(dir.path().join("s.shelf"))?;
    /// shelf.extend([("ann", 3u64), ("bob", 5)])?;
    /// assert_eq!(shelf.get::<u64>("bob")?, Some(5));
    /// # Ok::<(), shelflife::Error>(())
    /// ```
    pub fn extend<K: AsRef<str>, T: Encode>(
        &self,
        pairs: impl IntoIterator<Item = (K, T)>,
    ) -> Result<()> {
        let mut batch = Batch::new();
        for (key, value) in pairs {
            let value = to_cbor(&value)?;
            let put = Put {
                value: &value,
                expires: None,
                cbor: true,
            };
            batch.put(key.as_ref().as_bytes(), put);
        }
        self.store.write(&batch)
    }

    /// Removes the entries that `keep` returns `false` for, and returns how many those were.
    ///
    /// Works on a snapshot, in batches: an entry that somebody changes meanwhile stays.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Decode`] at the first value that is not a `T`, or key that is not UTF-8; what was removed until
    /// then stays removed.
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
        for entry in self.store.entries() {
            let entry = entry?;
            let key = std::str::from_utf8(entry.key()).map_err(|_| not_text(self.path()))?;
            if !keep(key, decode(self.path(), entry.value())?) {
                doomed.push(entry);
            }
            if doomed.len() == CHUNK {
                removed += self.store.remove_unchanged(&doomed)?;
                doomed.clear();
            }
        }
        Ok(removed + self.store.remove_unchanged(&doomed)?)
    }

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
        Keys {
            entries: self.store.iter(),
            path: self.path().to_path_buf(),
        }
    }

    /// All keys with their values, least recently written first, as they are now.
    ///
    /// A value that is not a `T` is an item of [`ErrorKind::Decode`], after which the iteration goes on;
    /// `iter::<Value>()` reads values of every type.
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
        Items {
            entries: self.store.iter(),
            path: self.path().to_path_buf(),
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
        Values {
            entries: self.store.iter(),
            path: self.path().to_path_buf(),
            of: PhantomData,
        }
    }

    /// How many keys there are.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let shelf = shelflife::Shelf::open(dir.path().join("s.shelf"))?;
    /// shelf.insert("cup", "tea")?;
    /// assert_eq!(shelf.len()?, 1);
    /// # Ok::<(), shelflife::Error>(())
    /// ```
    pub fn len(&self) -> Result<usize> {
        self.store.len()
    }

    /// Whether there is no key.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let shelf = shelflife::Shelf::open(dir.path().join("s.shelf"))?;
    /// assert!(shelf.is_empty()?);
    /// # Ok::<(), shelflife::Error>(())
    /// ```
    pub fn is_empty(&self) -> Result<bool> {
        self.store.is_empty()
    }

    /// Removes everything, at once.
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
        self.store.clear()
    }

    /// Makes everything written so far survive a power cut. Needed only with
    /// [`Durability::Os`](crate::Durability::Os).
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let shelf = shelflife::Shelf::open(dir.path().join("s.shelf"))?;
    /// shelf.insert("cup", "tea")?;
    /// shelf.sync()?;
    /// # Ok::<(), shelflife::Error>(())
    /// ```
    pub fn sync(&self) -> Result<()> {
        self.store.sync()
    }

    /// Rewrites the file without what was overwritten or removed. Happens by itself from time to time.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let shelf = shelflife::Shelf::open(dir.path().join("s.shelf"))?;
    /// shelf.insert("cup", "tea")?;
    /// shelf.remove("cup")?;
    /// shelf.compact()?; // the bytes of "tea" are gone from the disk
    /// # Ok::<(), shelflife::Error>(())
    /// ```
    pub fn compact(&self) -> Result<Compacted> {
        self.store.compact()
    }

    /// Closes the file and reports what went wrong last. Dropping the shelf does the same silently.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let shelf = shelflife::Shelf::open(dir.path().join("s.shelf"))?;
    /// shelf.insert("cup", "tea")?;
    /// shelf.close()?;
    /// # Ok::<(), shelflife::Error>(())
    /// ```
    pub fn close(self) -> Result<()> {
        self.store.close()
    }

    fn path(&self) -> &Path {
        self.store.path()
    }
}

/// A shelf on a store that was opened with [`Options`](crate::Options).
impl From<Store> for Shelf {
    fn from(store: Store) -> Shelf {
        Shelf { store }
    }
}

fn put(value: Vec<u8>) -> Edit {
    Edit::Put {
        value,
        expires: None,
        cbor: true,
    }
}

fn decode<T: Decode>(path: &Path, value: &[u8]) -> Result<T> {
    from_cbor(value).map_err(|error| error.at(path))
}

fn not_text(path: &Path) -> Error {
    let what = format!("a key in `{}` is not UTF-8", path.display());
    Error::new(ErrorKind::Decode, what)
        .at(path)
        .advise("read it as a `Store`")
}

fn text(path: &Path, key: Vec<u8>) -> Result<String> {
    String::from_utf8(key).map_err(|_| not_text(path))
}

/// The keys of a [`Shelf`] at one moment, by [`Shelf::keys`].
#[derive(Debug)]
pub struct Keys {
    entries: Iter,
    path: PathBuf,
}

impl Iterator for Keys {
    type Item = Result<String>;

    fn next(&mut self) -> Option<Result<String>> {
        let entry = self.entries.next()?;
        Some(entry.and_then(|(key, _)| text(&self.path, key)))
    }
}

/// The keys and values of a [`Shelf`] at one moment, by [`Shelf::iter`].
#[derive(Debug)]
pub struct Items<T> {
    entries: Iter,
    path: PathBuf,
    of: PhantomData<fn() -> T>,
}

impl<T: Decode> Iterator for Items<T> {
    type Item = Result<(String, T)>;

    fn next(&mut self) -> Option<Result<(String, T)>> {
        let entry = self.entries.next()?;
        Some(
            entry
                .and_then(|(key, value)| Ok((text(&self.path, key)?, decode(&self.path, &value)?))),
        )
    }
}

/// The values of a [`Shelf`] at one moment, by [`Shelf::values`].
#[derive(Debug)]
pub struct Values<T> {
    entries: Iter,
    path: PathBuf,
    of: PhantomData<fn() -> T>,
}

impl<T: Decode> Iterator for Values<T> {
    type Item = Result<T>;

    fn next(&mut self) -> Option<Result<T>> {
        let entry = self.entries.next()?;
        Some(entry.and_then(|(_, value)| decode(&self.path, &value)))
    }
}
