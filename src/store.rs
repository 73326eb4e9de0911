//! `Store`: a durable map from bytes to bytes in one file, shared by threads and processes.
//!
//! The layers below it, lowest first: [`disk`] is the seam to the operating system, [`format`](mod@format) turns bytes
//! into records, `log` reads them from a file, `index` knows where each key's is, `generation` holds all of that for
//! one file, `writer` is the right to append to it, `switch` puts another file in its place.

pub(crate) mod batch;
pub(crate) mod change;
pub(crate) mod checksum;
#[cfg(test)]
mod collisions;
mod commit;
pub(crate) mod compaction;
mod current;
pub(crate) mod disk;
mod durable;
pub(crate) mod format;
mod generation;
pub(crate) mod hash;
#[cfg(test)]
mod held;
mod index;
mod inner;
pub(crate) mod iter;
mod lock;
mod log;
mod open;
pub(crate) mod options;
mod read;
pub(crate) mod recovery;
mod repair;
pub(crate) mod salvage;
mod spans;
mod switch;
pub(crate) mod verify;
mod worker;
mod writer;

use crate::error::{Error, Result};
use batch::{Batch, Op, Put};
use change::{Change, Edit, Editing};
use compaction::Compacted;
use format::{KEY_MAX, Kind};
use generation::Generation;
use inner::Inner;
use iter::Entry;
use options::{Compaction, Durability, Options};
use recovery::Recovery;
use std::collections::HashSet;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;
use worker::Worker;
use writer::{Writing, write_batch};

/// With `Durability::Os`, a writer waits for the disk when so much is not yet there; a sync starts at half of it.
const UNSYNCED_BYTES_MAX: u64 = 32 << 20;
/// Entries removed under one lock by [`Store::remove_unchanged`].
const REMOVED_AT_ONCE: usize = 1_000;

/// A durable map from bytes to bytes in one file.
///
/// `&self` everywhere and `Send + Sync`: share it by reference or in an `Arc`. Any number of processes may have the
/// same file open; each sees what the others wrote with its next call.
///
/// A write that returned `Ok` survives the death of the process, and with [`Durability::Immediate`], the default, a
/// power cut. A write that returned an error may or may not have happened. A plain read may see what another writer
/// has not made durable yet.
///
/// The path is followed through symbolic links once, when it is opened. Compaction puts a new file there, with the owner,
/// group and mode of the old one: a hard link to that keeps it, as it was then. After a `fork` the child's next write
/// opens a file of its own, with a lock of its own; no other thread may be inside a call when a process forks, which takes
/// [`Compaction::Inline`](crate::Compaction) or `Manual`: else that may be a thread of the store's own.
///
/// Keys are at most 65,535 bytes; a record (48 bytes, key and value) and a batch at most 128 MiB. Memory: about 17 bytes
/// a key, whatever its length. A `get` is one read of exactly the record (and, when shared, one look at the end of the
/// log), a write one positioned write.
///
/// ```
/// # fn main() -> shelflife::Result<()> {
/// # let dir = tempfile::tempdir().unwrap();
/// let store = shelflife::Store::open(dir.path().join("s.shelf"))?;
/// assert!(store.insert("tea", "green")?);
/// assert_eq!(store.get("tea")?.as_deref(), Some(&b"green"[..]));
/// assert!(store.remove("tea")?);
/// assert!(store.is_empty()?);
/// store.close()
/// # }
/// ```
pub struct Store {
    inner: Arc<Inner>,
    worker: Worker,
}

/// What a store takes, as of one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Entries, expired ones not yet dropped included.
    pub keys: u64,
    /// Bytes of the file that an entry needs.
    pub live_bytes: u64,
    /// Bytes of the file that compaction would free.
    pub dead_bytes: u64,
    /// All bytes of the file in use.
    pub file_bytes: u64,
    /// Bytes of the file that are not known to be on disk.
    pub unsynced_bytes: u64,
    /// Memory of the index.
    pub index_bytes: u64,
    /// How often the file was replaced by another.
    pub generation: u64,
}

impl Store {
    /// Opens a store, creating it if it is missing, with the default [`Options`].
    ///
    /// # Errors
    ///
    /// Those of [`Options::open`].
    pub fn open(path: impl AsRef<Path>) -> Result<Store> {
        Options::new().open(path)
    }

    pub(crate) fn inner(&self) -> &Inner {
        &self.inner
    }

    /// The value of a key. One read of exactly the record; no lock is taken, so it never waits for a writer.
    ///
    /// # Errors
    ///
    /// `Corrupt` if the record does not verify any more, `Replaced`, `Io`.
    pub fn get(&self, key: impl AsRef<[u8]>) -> Result<Option<Vec<u8>>> {
        let mut record = Vec::new();
        let Some(value) = self.inner.read(key.as_ref(), &mut record)? else {
            return Ok(None);
        };
        record.copy_within(value.clone(), 0);
        record.truncate(value.len());
        Ok(Some(record))
    }

    /// As [`get`](Store::get) into a buffer of the caller's, whose content is replaced: without an allocation once the
    /// buffer is large enough. False, and an empty buffer, if the key is absent.
    pub fn get_into(&self, key: impl AsRef<[u8]>, value: &mut Vec<u8>) -> Result<bool> {
        let found = self.inner.read(key.as_ref(), value)?;
        let Some(range) = found else {
            value.clear();
            return Ok(false);
        };
        value.copy_within(range.clone(), 0);
        value.truncate(range.len());
        Ok(true)
    }

    /// Whether a key is there. Reads its key, not its value.
    ///
    /// # Errors
    ///
    /// Those of [`get`](Store::get).
    pub fn contains_key(&self, key: impl AsRef<[u8]>) -> Result<bool> {
        self.inner.contains(key.as_ref())
    }

    /// Sets the value of a key. True if the key is new, as for [`std::collections::HashSet::insert`].
    ///
    /// # Errors
    ///
    /// `TooLarge` (nothing was written), `ReadOnly`, `Busy`, `Replaced`, `Reentrant`, `Stopped`, `Io`.
    pub fn insert(&self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Result<bool> {
        self.put(
            key.as_ref(),
            Put {
                value: value.as_ref(),
                expires: None,
                cbor: false,
            },
        )
    }

    /// As [`insert`](Store::insert), until a time from which on the key is absent.
    pub fn insert_until(
        &self,
        key: impl AsRef<[u8]>,
        value: impl AsRef<[u8]>,
        expires: SystemTime,
    ) -> Result<bool> {
        self.put(
            key.as_ref(),
            Put {
                value: value.as_ref(),
                expires: Some(expires),
                cbor: false,
            },
        )
    }

    pub(crate) fn put(&self, key: &[u8], put: Put<'_>) -> Result<bool> {
        let op = Op::put(key, put);
        op.check_limits()?;
        self.write_locked(|writing| {
            let fingerprint = writing.generation.fingerprint(key);
            let found = writing.find(key, fingerprint)?;
            let is_new = !found.as_ref().is_some_and(|found| writing.is_live(found));
            writing.append_one(op, fingerprint, found.map_or(0, |found| found.at.offset()))?;
            Ok(is_new)
        })
    }

    /// Removes a key. True if it was there, also if it had ended and was not dropped yet. An absent key is no error, and
    /// its absence is as durable as a removal.
    ///
    /// # Errors
    ///
    /// Those of [`insert`](Store::insert).
    pub fn remove(&self, key: impl AsRef<[u8]>) -> Result<bool> {
        let key = key.as_ref();
        if key.len() > KEY_MAX {
            return Ok(false);
        }
        self.write_locked(|writing| {
            let fingerprint = writing.generation.fingerprint(key);
            let Some(found) = writing.find(key, fingerprint)? else {
                return Ok(false);
            };
            writing.append_one(Op::remove(key), fingerprint, found.at.offset())?;
            Ok(true)
        })
    }

    /// Reads a key and changes it in one step: no other thread or process can write in between.
    ///
    /// The closure runs with the lock held, so it should be short. It may read the store, not write to it. Its error is
    /// returned and changes nothing, and so does a panic.
    ///
    /// # Errors
    ///
    /// The closure's, those of [`insert`](Store::insert), and `Corrupt` if the present value does not verify.
    ///
    /// ```
    /// # fn main() -> shelflife::Result<()> {
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let store = shelflife::Store::open(dir.path().join("s.shelf"))?;
    /// use shelflife::Change;
    /// let visits = store.update("visits", |old| {
    ///     let visits = old.map_or(0, |old| old.len()) + 1;
    ///     Ok((Change::Put(vec![b'|'; visits]), visits))
    /// })?;
    /// assert_eq!(visits, 1);
    /// # Ok(()) }
    /// ```
    pub fn update<T>(
        &self,
        key: impl AsRef<[u8]>,
        change: impl FnOnce(Option<&[u8]>) -> Result<(Change, T)>,
    ) -> Result<T> {
        self.edit(key.as_ref(), |old| {
            change(old).map(|(change, answer)| (change.into(), answer))
        })
    }

    pub(crate) fn edit<T>(
        &self,
        key: &[u8],
        edit: impl FnOnce(Option<&[u8]>) -> Result<(Edit, T)>,
    ) -> Result<T> {
        self.edit_entry(key, |old, _| edit(old))
    }

    /// As [`update`](Store::update), with all that a record can say: the closure is told the old value's end, too.
    pub(crate) fn edit_entry<T>(
        &self,
        key: &[u8],
        edit: impl FnOnce(Option<&[u8]>, Option<SystemTime>) -> Result<(Edit, T)>,
    ) -> Result<T> {
        self.write_locked(|writing| {
            let editing = Editing::start(&self.inner, writing, key)?;
            let (edit, answer) = {
                let _closed = writing.turn.closed_to_this_thread();
                edit(editing.old(), editing.expires())?
            };
            editing.finish(writing, edit)?;
            Ok(answer)
        })
    }

    /// Makes a batch in one step: what the closure reads of this store, under whatever keys, nobody changes until the
    /// batch is written.
    pub(crate) fn edit_batch<T>(&self, edit: impl FnOnce() -> Result<(Batch, T)>) -> Result<T> {
        self.write_locked(|writing| {
            let (batch, answer) = {
                let _closed = writing.turn.closed_to_this_thread();
                edit()?
            };
            write_batch(writing, &batch)?;
            Ok(answer)
        })
    }

    /// Makes all changes of a batch, or none of them, whatever happens.
    ///
    /// # Errors
    ///
    /// Those of [`insert`](Store::insert); `TooLarge` if all records together are over 128 MiB.
    pub fn write(&self, batch: &Batch) -> Result<()> {
        self.write_locked(|writing| write_batch(writing, batch))
    }

    /// Removes those entries that are still as a snapshot saw them; one that was written since, even with the same
    /// value, stays. (An entry written again with the same value in the same millisecond is not told apart any more
    /// once a compaction has copied it.) Returns how many were removed. Under one lock for each 1,000, so that others
    /// get their turn.
    ///
    /// # Errors
    ///
    /// Those of [`insert`](Store::insert).
    pub fn remove_unchanged(&self, entries: &[Entry]) -> Result<usize> {
        let mut removed = 0;
        for some in entries.chunks(REMOVED_AT_ONCE) {
            removed += self.write_locked(|writing| {
                let mut ops = Vec::with_capacity(some.len());
                let mut places = Vec::with_capacity(some.len());
                let mut removed = HashSet::with_capacity(some.len());
                for entry in some {
                    let unchanged = self.inner.unchanged(writing, entry)?;
                    // One that was given twice is one.
                    if let Some(offset) = unchanged.filter(|offset| removed.insert(*offset)) {
                        ops.push(Op::remove(&entry.key));
                        places.push((entry.fingerprint, offset));
                    }
                }
                if !ops.is_empty() {
                    writing.append_all(&ops, &places)?;
                }
                Ok(ops.len())
            })?;
        }
        Ok(removed)
    }

    /// How many entries there are, expired ones not yet dropped included.
    pub fn len(&self) -> Result<usize> {
        Ok(self.inner.fresh()?.index.len() as usize)
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Removes every entry.
    ///
    /// # Errors
    ///
    /// Those of [`insert`](Store::insert).
    pub fn clear(&self) -> Result<()> {
        self.write_locked(|writing| {
            if writing.generation.index.len() > 0 {
                let op = Op {
                    kind: Kind::Clear,
                    flags: 0,
                    expires_ms: 0,
                    key: &[],
                    value: &[],
                };
                writing.append_one(op, 0, 0)?;
            }
            Ok(())
        })
    }

    /// Returns once everything written so far, by whomever, survives a power cut.
    ///
    /// # Errors
    ///
    /// `Replaced`, `Io`. After a failed sync the outcome of everything not acknowledged is unknown.
    pub fn sync(&self) -> Result<()> {
        if self.inner.options.read_only {
            return Ok(());
        }
        let (generation, end) = {
            let writing = self.inner.begin_to_sync()?;
            self.inner.rewrite_unsynced(&writing.generation)?;
            (Arc::clone(&writing.generation), writing.generation.tail())
        };
        self.inner.make_durable(&generation, end)?;
        self.inner.seal()
    }

    /// Rewrites the file without its dead bytes, while everybody goes on, and removes what repairs kept as evidence.
    /// Takes about as long as reading and writing the live bytes.
    ///
    /// # Errors
    ///
    /// `Busy` if another process is at it, `Corrupt` if a record does not verify (the file stays as it was), and those
    /// of [`insert`](Store::insert).
    pub fn compact(&self) -> Result<Compacted> {
        let compacted = self.inner.compact()?;
        for path in self.inner.evidence_files()? {
            self.inner
                .options
                .disk
                .remove(&path)
                .map_err(|error| Error::io("remove", &path, error))?;
        }
        compacted.ok_or_else(|| compaction::somebody_else_compacts(&self.inner))
    }

    /// What the store takes in file and memory. No I/O but the look for what others wrote.
    pub fn stats(&self) -> Result<Stats> {
        let generation = self.inner.fresh()?;
        let file_bytes = generation.tail();
        Ok(Stats {
            keys: generation.index.len(),
            live_bytes: generation.index.live_bytes(),
            dead_bytes: generation.dead_bytes(),
            file_bytes,
            unsynced_bytes: file_bytes.saturating_sub(generation.commit.durable()),
            index_bytes: generation.index.size_bytes(),
            generation: generation.header.generation,
        })
    }

    /// What was found wrong with the file since it was opened, and what was done about it.
    pub fn recovery(&self) -> Recovery {
        self.inner.recovery_so_far()
    }

    /// Reads the file anew, as opening does. Lets a handle write again that a failure has stopped, and heals a file
    /// whose sync failed by moving what can be read to a new one.
    ///
    /// # Errors
    ///
    /// Those of [`Options::open`].
    pub fn reopen(&self) -> Result<()> {
        self.inner.reopen()
    }

    /// Syncs, marks the log as complete, and closes. `Drop` does the same, without telling whether it worked.
    ///
    /// # Errors
    ///
    /// Those of [`sync`](Store::sync).
    pub fn close(self) -> Result<()> {
        self.worker.stop();
        self.inner.finish()
    }

    /// The path that the store was opened with.
    pub fn path(&self) -> &Path {
        &self.inner.path
    }

    /// What the wall clock reads, or the store's creation if that is later.
    pub(crate) fn now(&self) -> SystemTime {
        self.inner.now()
    }

    /// Whether the wall clock reads earlier than the store's creation, so that it must be wrong.
    pub(crate) fn is_clock_wrong(&self) -> bool {
        self.inner.options.disk.wall_clock() < self.inner.created()
    }

    /// How often the file was replaced, as far as this handle has followed.
    pub(crate) fn generation(&self) -> u64 {
        self.inner.generation().header.generation
    }

    /// Bytes from the operating system's random source.
    pub(crate) fn random(&self, bytes: &mut [u8]) -> Result<()> {
        self.inner.random(bytes)
    }

    /// Runs a change with the right to write, and returns its answer once it is as durable as was asked for.
    fn write_locked<T>(&self, change: impl FnOnce(&mut Writing<'_>) -> Result<T>) -> Result<T> {
        let mut writing = self.inner.begin()?;
        let answer = change(&mut writing)?;
        self.finish_write(writing)?;
        Ok(answer)
    }

    /// Gives the right to write back, and returns once all that was written is as durable as was asked for.
    fn finish_write(&self, writing: Writing<'_>) -> Result<()> {
        // What changed nothing is as durable as what did.
        self.inner.rewrite_unsynced(&writing.generation)?;
        let generation = Arc::clone(&writing.generation);
        let end = generation.tail();
        drop(writing);
        self.acknowledge(&generation, end)?;
        if self.inner.is_compaction_due(&generation) {
            match self.inner.options.compaction {
                Compaction::Thread => self.worker.compact(&self.inner),
                // The write itself is done; what stopped the compaction shows again when `compact()` is called.
                Compaction::Inline => _ = self.inner.compact_if_due(&AtomicBool::new(false)),
                Compaction::Manual => {}
            }
        }
        Ok(())
    }

    /// Returns once the log up to `end` is as durable as the options ask for.
    fn acknowledge(&self, generation: &Arc<Generation>, end: u64) -> Result<()> {
        let unsynced_bytes = end.saturating_sub(generation.commit.durable());
        let Options {
            durability,
            compaction,
            ..
        } = self.inner.options;
        if durability == Durability::Os {
            if unsynced_bytes < UNSYNCED_BYTES_MAX / 2 {
                return Ok(());
            }
            if compaction == Compaction::Thread && unsynced_bytes < UNSYNCED_BYTES_MAX {
                self.worker.sync(&self.inner);
                return Ok(());
            }
        }
        self.inner.make_durable(generation, end)
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.worker.stop();
        let _ = self.inner.finish();
        self.inner.give_lock_back();
    }
}

/// Tells the path, not the content.
impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store")
            .field("path", &self.inner.path)
            .finish_non_exhaustive()
    }
}

/// A path with something behind its name.
fn sibling(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.file_name().map(OsString::from).unwrap_or_default();
    name.push(suffix);
    path.with_file_name(name)
}

/// Locks a mutex whose holder may have panicked: what it guards is changed in one step, or not at all.
pub(crate) fn lock_of<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
