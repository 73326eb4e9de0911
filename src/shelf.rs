//! `Shelf`: any encodable value under any string key, kept in one file.
//!
//! As Python's `shelve` over its `dbm`: a thin layer over [`Store`] that turns values into CBOR
//! (RFC 8949) and back. It holds no state of its own. There is no write-back cache: a value that was changed in
//! memory is stored when it is inserted again, or by [`Shelf::update`], which nobody can come between.

mod change;
mod iter;
mod queue;

pub use iter::{Items, Keys, Values};

use crate::error::{Error, Result};
use crate::store::Store;
use crate::store::batch::{Batch, NewValue};
use crate::store::compaction::Compacted;
use crate::store::entry::Entry;
use crate::value::{Decode, Encode, from_cbor, to_cbor};
use queue::Queue;
use std::path::Path;
use std::time::SystemTime;

/// A persistent dictionary: values of any type under string keys, shared by threads and processes.
///
/// Every value that implements [`Encode`] can be stored, and values of different types can stand side by side.
/// Each value that is read is checked against the type that is asked for: a value of another type is an error of
/// [`ErrorKind::Decode`](crate::ErrorKind::Decode), never a guess, and loading runs no code.
///
/// All methods take `&self`; share a shelf by reference or in an [`Arc`](std::sync::Arc). Dropping it closes the
/// file. Durability, locking and compaction are those of the [`Store`] below, which is also where options are set:
/// `Shelf::from(Options::new().read_only(true).open(path)?)`.
///
/// A file may hold sessions as well, and keys that are not UTF-8: those are none of the shelf's, which neither shows nor
/// changes them. Plain bytes that [`Store::insert`] stored under a text are a key of the shelf's, but no value of any
/// type: reading them is an error of `Decode`.
///
/// # Limits
///
/// A key has at most 65,535 bytes; a value, or all of [`Shelf::extend`], about 128 MiB. Beyond that a write is
/// refused with [`ErrorKind::TooLarge`](crate::ErrorKind::TooLarge) before anything is written.
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
/// | `writeback=True` | [`update`](Shelf::update), [`update_many`](Shelf::update_many) |
/// | `d.popitem()` | [`pop_first`](Shelf::pop_first), the oldest: a queue |
/// | `[k for k in d if k.startswith(p)]` | [`keys_with_prefix`](Shelf::keys_with_prefix), [`iter_with_prefix`](Shelf::iter_with_prefix) |
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
    queue: Queue,
}

impl Shelf {
    /// Opens the shelf at exactly this path, and creates it if there is none.
    ///
    /// # Errors
    ///
    /// As [`Options::open`](crate::Options::open): a missing folder is [`ErrorKind::NotFound`](crate::ErrorKind), a
    /// foreign file [`NotAStore`](crate::ErrorKind), and so on; what was there is left untouched.
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
    /// [`ErrorKind::Decode`](crate::ErrorKind::Decode) if the value is not a `T`; the text says where in it, and
    /// [`Error::key`](crate::Error::key) names the key.
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
        let found = self.store.get_marked(key.as_bytes())?;
        let value = found.map(|(value, is_cbor)| decode(self.path(), key, &value, is_cbor));
        value.transpose()
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
    /// [`HashSet::insert`](std::collections::HashSet::insert)). The key then has no expiry, whatever it had before.
    ///
    /// # Errors
    ///
    /// Those of [`to_cbor`], with the key and the place in the value; nothing is written then.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let shelf = shelflife::Shelf::open(dir.path().join("s.shelf"))?;
    /// assert!(shelf.insert("cup", "tea")?);
    /// assert!(!shelf.insert("cup", &3u64)?); // the type may change
    /// # Ok::<(), shelflife::Error>(())
    /// ```
    pub fn insert<T: Encode + ?Sized>(&self, key: &str, value: &T) -> Result<bool> {
        let value = self.encode(key, value)?;
        self.store.put(key.as_bytes(), cbor(&value, None))
    }

    /// As [`insert`](Shelf::insert), until a time from which on the key is absent: what a cache needs.
    ///
    /// [`update`](Shelf::update) and [`update_many`](Shelf::update_many) keep that time; any other way to store a value
    /// removes it. The store drops an ended entry from the file some time later.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let shelf = shelflife::Shelf::open(dir.path().join("s.shelf"))?;
    /// use std::time::{Duration, SystemTime};
    ///
    /// let now = SystemTime::now();
    /// shelf.insert_until("weather", "rain", now + Duration::from_secs(600))?;
    /// assert_eq!(shelf.get::<String>("weather")?.as_deref(), Some("rain"));
    /// shelf.insert_until("weather", "sun", now)?;
    /// assert_eq!(shelf.get::<String>("weather")?, None);
    /// # Ok::<(), shelflife::Error>(())
    /// ```
    pub fn insert_until<T: Encode + ?Sized>(
        &self,
        key: &str,
        value: &T,
        expires: SystemTime,
    ) -> Result<bool> {
        let value = self.encode(key, value)?;
        self.store.put(key.as_bytes(), cbor(&value, Some(expires)))
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
            let value = self.encode(key.as_ref(), &value)?;
            batch.put(key.as_ref().as_bytes(), cbor(&value, None));
        }
        self.store.write(&batch)
    }

    /// How many keys there are.
    ///
    /// Looks at every entry, since the file may hold more than the shelf's: sessions, keys that are not UTF-8, values
    /// that have ended. `store().len()` counts all of them, at once.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let shelf = shelflife::Shelf::open(dir.path().join("s.shelf"))?;
    /// shelf.insert("cup", "tea")?;
    /// assert_eq!(shelf.len()?, 1);
    /// # Ok::<(), shelflife::Error>(())
    /// ```
    pub fn len(&self) -> Result<usize> {
        let mut keys = 0;
        for key in self.keys() {
            key?;
            keys += 1;
        }
        Ok(keys)
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
        self.keys().next().transpose().map(|key| key.is_none())
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

    fn encode<T: Encode + ?Sized>(&self, key: &str, value: &T) -> Result<Vec<u8>> {
        to_cbor(value).map_err(|error| error.at(self.path()).under(key))
    }

    fn decode<T: Decode>(&self, key: &str, entry: &Entry) -> Result<T> {
        decode(self.path(), key, entry.value(), entry.is_cbor())
    }
}

/// A shelf on a store that was opened with [`Options`](crate::Options).
impl From<Store> for Shelf {
    fn from(store: Store) -> Shelf {
        Shelf {
            store,
            queue: Queue::default(),
        }
    }
}

/// A value on its way into the store.
fn cbor(value: &[u8], expires: Option<SystemTime>) -> NewValue<'_> {
    NewValue {
        value,
        expires,
        cbor: true,
    }
}

/// Bytes that are not marked as CBOR may look like it: the letter `1` is the number -18.
fn decode<T: Decode>(path: &Path, key: &str, value: &[u8], is_cbor: bool) -> Result<T> {
    let decoded = match is_cbor {
        true => from_cbor(value),
        false => Err(plain_bytes()),
    };
    decoded.map_err(|error| error.at(path).under(key))
}

#[cold]
fn plain_bytes() -> Error {
    let what = "expected a value of a shelf, found plain bytes";
    Error::decode(
        what,
        "read them by `Shelf::store`; `Batch::insert_cbor` stores values",
    )
}

/// The key of an entry of the shelf; `None` for one of somebody else's, which is not UTF-8.
fn key_of(entry: &Entry) -> Option<&str> {
    str::from_utf8(entry.key()).ok()
}
