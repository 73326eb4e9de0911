//! `Store`: a durable map from bytes to bytes in one file, shared by threads and processes.
//!
//! The layers below it, lowest first: [`disk`] is the seam to the operating system, [`format`](mod@format) turns bytes
//! into records, `log` reads them from a file, `index` knows where each key's is, `generation` holds all of that for
//! one file, `writer` is the right to append to it, `switch` puts another file in its place.

/// Whether a unit test wants this done wrong. Anywhere else it is `false`, and nothing is left of it.
macro_rules! sabotaged {
    ($what:ident) => {{
        #[cfg(test)]
        let done_wrong = $crate::store::sabotage::is($crate::store::sabotage::Sabotage::$what);
        #[cfg(not(test))]
        let done_wrong = false;
        done_wrong
    }};
}

pub(crate) mod batch;
pub(crate) mod checksum;
#[cfg(test)]
mod collisions;
mod commit;
pub(crate) mod compaction;
pub(crate) mod disk;
pub(crate) mod format;
mod generation;
pub(crate) mod hash;
mod index;
pub(crate) mod iter;
mod lock;
mod log;
mod open;
pub(crate) mod options;
pub(crate) mod recovery;
mod repair;
#[cfg(test)]
mod sabotage;
pub(crate) mod salvage;
mod spans;
mod switch;
pub(crate) mod verify;
mod worker;
mod writer;

use crate::error::{Error, ErrorKind, Result};
use batch::{Batch, Op, Put, unix_ms};
use compaction::Compacted;
use format::{FileHeader, HEAD_BYTES, Head, KEY_MAX, Kind};
use generation::Generation;
use iter::Entry;
use lock::Gate;
use options::{Compaction, Durability, Options};
use recovery::Recovery;
use std::ffi::OsString;
use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::*};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use worker::Worker;
use writer::{Scratch, Writing};

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

/// What a store is made of, shared with the thread that compacts it.
#[derive(Debug)]
pub(crate) struct Inner {
    options: Options,
    /// As the caller gave it, for messages.
    path: Arc<Path>,
    /// Without symbolic links: what is renamed over, and looked at.
    real: PathBuf,
    current: RwLock<Arc<Generation>>,
    /// Held while moving to another file, so that two threads do not read it both.
    following: Mutex<()>,
    /// A thread of this process is putting a new file in place, and nobody else can write to that yet: readers go on
    /// with the old one, which is complete.
    switching: AtomicBool,
    gate: Gate,
    scratch: Mutex<Scratch>,
    compacting: Mutex<()>,
    /// A failed append could not be taken back: this handle writes no more.
    stopped: AtomicBool,
    /// Whether there is something that a seal would say.
    wrote: AtomicBool,
    process: AtomicU32,
    locks_taken: AtomicU64,
    /// The latest time seen, ms: the clock of a handle never goes back.
    latest_ms: AtomicU64,
    recovery: Mutex<Recovery>,
}

/// What becomes of a key, as [`Store::update`]'s closure decides.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Change {
    /// It stays as it is.
    Keep,
    /// It gets this value.
    Put(Vec<u8>),
    /// It gets this value, and is absent from then on.
    PutUntil(Vec<u8>, SystemTime),
    /// It is removed, if it is there.
    Remove,
}

/// Tells sizes, not content: values may be secrets.
impl fmt::Debug for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Change::Keep => f.write_str("Keep"),
            Change::Put(value) => write!(f, "Put({} bytes)", value.len()),
            Change::PutUntil(value, until) => {
                write!(f, "PutUntil({} bytes, {until:?})", value.len())
            }
            Change::Remove => f.write_str("Remove"),
        }
    }
}

/// A [`Change`] with all that a record can say.
pub(crate) enum Edit {
    Keep,
    Put {
        value: Vec<u8>,
        expires: Option<SystemTime>,
        cbor: bool,
    },
    Remove,
}

impl From<Change> for Edit {
    fn from(change: Change) -> Edit {
        match change {
            Change::Keep => Edit::Keep,
            Change::Put(value) => Edit::Put {
                value,
                expires: None,
                cbor: false,
            },
            Change::PutUntil(value, expires) => Edit::Put {
                value,
                expires: Some(expires),
                cbor: false,
            },
            Change::Remove => Edit::Remove,
        }
    }
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

    /// Removes a key. True if it was there. An absent key is no error, and its absence is as durable as a removal.
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
            // What does not verify was there, once.
            Ok(found.head.is_none() || writing.is_live(&found))
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
        self.write_locked(|writing| {
            let fingerprint = writing.generation.fingerprint(key);
            let found = writing.find(key, fingerprint)?;
            let prev = found.as_ref().map_or(0, |found| found.at.offset());
            let is_live = found
                .as_ref()
                .is_some_and(|found| found.head.is_none() || writing.is_live(found));
            let mut record = Vec::new();
            let old = if is_live {
                self.inner.read(key, &mut record)?
            } else {
                None
            };
            let (edit, answer) = {
                let _closed = writing.turn.closed_to_this_thread();
                edit(old.and_then(|value| record.get(value)))?
            };
            match &edit {
                Edit::Put {
                    value,
                    expires,
                    cbor,
                } => {
                    let op = Op::put(
                        key,
                        Put {
                            value,
                            expires: *expires,
                            cbor: *cbor,
                        },
                    );
                    op.check_limits()?;
                    writing.append_one(op, fingerprint, prev)?;
                }
                // An expired entry that a decision was based on must not come back when a clock is set right.
                Edit::Keep if is_live => {}
                Edit::Keep | Edit::Remove if prev != 0 => {
                    _ = writing.append_one(Op::remove(key), fingerprint, prev)?
                }
                Edit::Keep | Edit::Remove => {}
            }
            Ok(answer)
        })
    }

    /// Reads some keys and makes a batch of it in one step, as [`update`](Store::update) does for one key.
    pub(crate) fn edit_batch<T>(
        &self,
        keys: &[&[u8]],
        edit: impl FnOnce(&[Option<Vec<u8>>]) -> Result<(Batch, T)>,
    ) -> Result<T> {
        self.write_locked(|writing| {
            let olds = keys
                .iter()
                .map(|key| self.get(key))
                .collect::<Result<Vec<_>>>()?;
            let (batch, answer) = {
                let _closed = writing.turn.closed_to_this_thread();
                edit(&olds)?
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
    /// value, stays. Returns how many were removed. Under one lock for each 1,000, so that others get their turn.
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
                for entry in some {
                    if let Some(offset) = self.inner.unchanged(writing, entry)? {
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
            let writing = self.inner.begin()?;
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

    /// The time, by a clock that never goes back within this handle.
    pub(crate) fn now(&self) -> SystemTime {
        self.inner.now()
    }

    /// Bytes from the operating system's random source.
    pub(crate) fn random(&self, bytes: &mut [u8]) -> Result<()> {
        self.inner.random(bytes)
    }

    /// Runs a change with the right to write, and returns its answer once it is as durable as was asked for.
    fn write_locked<T>(&self, change: impl FnOnce(&mut Writing<'_>) -> Result<T>) -> Result<T> {
        let (generation, end, answer) = {
            let mut writing = self.inner.begin()?;
            let answer = change(&mut writing)?;
            (
                Arc::clone(&writing.generation),
                writing.generation.tail(),
                answer,
            )
        };
        self.acknowledge(&generation, end)?;
        if self.inner.is_compaction_due(&generation) {
            match self.inner.options.compaction {
                Compaction::Thread => self.worker.compact(&self.inner),
                // The write itself is done; what stopped the compaction shows again when `compact()` is called.
                Compaction::Inline => _ = self.inner.compact_if_due(&AtomicBool::new(false)),
                Compaction::Manual => {}
            }
        }
        Ok(answer)
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

fn write_batch(writing: &mut Writing<'_>, batch: &Batch) -> Result<()> {
    let ops: Vec<Op<'_>> = batch.ops().collect();
    for op in &ops {
        op.check_limits()?;
    }
    // The last change of a key counts: sorted by fingerprint, then by turn, those of one key stand together.
    let mut order: Vec<(u32, usize)> = ops
        .iter()
        .enumerate()
        .map(|(nth, op)| (writing.generation.fingerprint(op.key), nth))
        .collect();
    order.sort_unstable();
    let mut last = vec![true; ops.len()];
    for (nth, &(fingerprint, this)) in order.iter().enumerate() {
        let later = order
            .get(nth + 1..)
            .unwrap_or_default()
            .iter()
            .take_while(|(other, _)| *other == fingerprint);
        if later
            .into_iter()
            .any(|&(_, that)| ops[that].key == ops[this].key)
        {
            last[this] = false;
        }
    }
    order.sort_unstable_by_key(|&(_, nth)| nth);
    let counting = || {
        ops.iter()
            .zip(&order)
            .zip(&last)
            .filter(|(_, last)| **last)
            .map(|(of, _)| of)
    };
    let keys: Vec<_> = counting()
        .map(|(op, &(fingerprint, _))| (fingerprint, op.key))
        .collect();
    let prevs = writing.generation.find_all(&keys)?;
    // What is not there needs no removal.
    let (counting, places): (Vec<_>, Vec<_>) = counting()
        .zip(prevs)
        .filter(|((op, _), prev)| op.kind != Kind::Delete || *prev != 0)
        .map(|((op, &(fingerprint, _)), prev)| (*op, (fingerprint, prev)))
        .unzip();
    if !counting.is_empty() {
        writing.append_all(&counting, &places)?;
    }
    Ok(())
}

impl Inner {
    /// The file as this process knows it.
    pub(crate) fn generation(&self) -> Arc<Generation> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn adopt(&self, next: Arc<Generation>) {
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = next;
    }

    /// The file with all that others wrote to it before this call. Takes no lock.
    fn fresh(&self) -> Result<Arc<Generation>> {
        if self.options.exclusive {
            let generation = self.generation();
            generation.wait_for_apply();
            return Ok(generation);
        }
        loop {
            let generation = self.generation();
            let looked = generation.look();
            let is_plain = looked.is_ok() && !generation.is_doubtful();
            if is_plain || self.switching.load(Acquire) {
                return looked.map(|()| generation);
            }
            if !generation.is_still_there()? {
                // What stands behind the tail says nothing: something was put over the file.
                self.replace_by_what_is_there(&generation)?;
                continue;
            }
            looked?;
            if !self.follow(&generation)? {
                return Ok(generation);
            }
        }
    }

    /// Reads the record of a key into `record`; returns where in it the value is.
    fn read(&self, key: &[u8], record: &mut Vec<u8>) -> Result<Option<Range<usize>>> {
        Ok(self.read_live(key, record)?.map(|live| live.value))
    }

    /// As [`read`](Inner::read), and tells which record that was.
    fn read_live(&self, key: &[u8], record: &mut Vec<u8>) -> Result<Option<Live>> {
        if key.len() > KEY_MAX {
            return Ok(None);
        }
        let mut reread = false;
        loop {
            let generation = self.fresh()?;
            let damaged = match read_from(&generation, key, record)? {
                Lookup::Found { offset, .. } if offset < generation.outdated_below() => {
                    return Err(outdated(&generation, offset));
                }
                Lookup::Found { head, .. } if self.is_expired(head.expires_ms) => return Ok(None),
                Lookup::Found {
                    head,
                    offset,
                    value,
                } => {
                    return Ok(Some(Live {
                        generation,
                        head,
                        offset,
                        value,
                    }));
                }
                Lookup::Absent if generation.outdated_below() > 0 => {
                    return Err(outdated(&generation, generation.outdated_below()));
                }
                Lookup::Absent => return Ok(None),
                Lookup::Damaged { offset } => offset,
            };
            if reread {
                return Err(generation.log.corrupt(damaged, "a record does not verify"));
            }
            // Unless another file was put over this one, what is read again is the same.
            reread = true;
            if !generation.is_still_there()? {
                self.replace_by_what_is_there(&generation)?;
            }
        }
    }

    fn contains(&self, key: &[u8]) -> Result<bool> {
        if key.len() > KEY_MAX {
            return Ok(false);
        }
        let generation = self.fresh()?;
        if generation.outdated_below() == 0 {
            let fingerprint = generation.fingerprint(key);
            let candidates = generation.index.candidates(fingerprint);
            match generation.find_among(&candidates, fingerprint, key)? {
                None => return Ok(false),
                Some(found) => {
                    // A head that verifies, and the very key behind it.
                    if let Some(head) = found.head
                        && found.is_exact
                    {
                        return Ok(!self.is_expired(head.expires_ms));
                    }
                }
            }
        }
        self.read(key, &mut Vec::new()).map(|value| value.is_some())
    }

    /// Where an entry of a snapshot stands now, if it was not written since.
    fn unchanged(&self, writing: &Writing<'_>, entry: &Entry) -> Result<Option<u64>> {
        let generation = &writing.generation;
        if entry.generation == generation.header.generation {
            return Ok(generation
                .index
                .holds(entry.fingerprint, entry.offset)
                .then_some(entry.offset));
        }
        // The file was replaced: offsets mean nothing any more.
        let Some(found) = writing.find(&entry.key, entry.fingerprint)? else {
            return Ok(None);
        };
        let mut record = Vec::new();
        Ok(match read_from(generation, &entry.key, &mut record)? {
            Lookup::Found { head, value, .. } => {
                let same = entry.is_same(&head) && record.get(value) == Some(&*entry.value);
                same.then_some(found.at.offset())
            }
            Lookup::Absent | Lookup::Damaged { .. } => None,
        })
    }

    fn writable(&self) -> Result<()> {
        if self.options.read_only {
            return Err(Error::new(
                ErrorKind::ReadOnly,
                format!("`{}` was opened to be read only", self.path.display()),
            )
            .at(&self.path)
            .advise("open it without `read_only`"));
        }
        Ok(())
    }

    fn now(&self) -> SystemTime {
        let now_ms = unix_ms(self.options.disk.wall_clock());
        let latest_ms = self.latest_ms.fetch_max(now_ms, Relaxed).max(now_ms);
        UNIX_EPOCH + Duration::from_millis(latest_ms)
    }

    fn is_expired(&self, expires_ms: u64) -> bool {
        expires_ms != 0 && expires_ms <= unix_ms(self.now()) && !sabotaged!(IgnoreExpiry)
    }

    fn random(&self, bytes: &mut [u8]) -> Result<()> {
        log::uninterrupted(|| self.options.disk.random(bytes)).map_err(|error| {
            Error::new(
                ErrorKind::Io,
                format!("the operating system has no randomness: {error}"),
            )
            .advise("/dev/urandom must be readable")
        })
    }

    fn sync_directory(&self) -> Result<()> {
        self.sync_directory_of(&self.real)
    }

    /// Makes the name of a file survive a power cut.
    fn sync_directory_of(&self, path: &Path) -> Result<()> {
        let Some(dir) = path.parent() else {
            return Ok(());
        };
        if sabotaged!(SkipDirectorySync) {
            return Ok(());
        }
        log::uninterrupted(|| self.options.disk.sync_dir(dir))
            .map_err(|error| Error::io("sync", dir, error))
    }

    /// Returns once the log of this generation is on disk up to `end`, under a name that survives as well.
    fn make_durable(&self, generation: &Arc<Generation>, end: u64) -> Result<()> {
        if sabotaged!(AcknowledgeBeforeSync) {
            return Ok(());
        }
        if let Err(failure) = self.sync_log(generation, end) {
            if failure.is_news {
                self.condemn(generation);
            }
            return Err(failure.error);
        }
        if !generation.directory_synced.load(Acquire) {
            self.sync_directory()?;
            generation.directory_synced.store(true, Release);
        }
        // Nothing is acknowledged on a file that lost its name, unless a switch took it over, which copied it all.
        self.check_path(generation)
    }

    /// Notes in the log that it is on disk, so that nothing before is ever taken for a crash's doing.
    fn seal(&self) -> Result<()> {
        if !self.wrote.load(Acquire) {
            return Ok(());
        }
        let writing = self.begin()?;
        let generation = &writing.generation;
        let (tail, sealed) = {
            let position = generation.position();
            (position.tail, position.sealed)
        };
        if generation.commit.durable() < tail && !sabotaged!(SealUnsynced) {
            // Another thread or process wrote meanwhile.
            return Ok(());
        }
        if !sealed {
            self.append_marker(generation, Kind::Seal)?;
        }
        // With the lock held, so that no write of another thread is forgotten.
        self.wrote.store(false, Release);
        Ok(())
    }

    /// What closing does: once, whoever asks first.
    fn finish(&self) -> Result<()> {
        if self.options.read_only || !self.wrote.load(Acquire) {
            return Ok(());
        }
        let generation = self.generation();
        let mut finished = match sabotaged!(SealUnsynced) {
            true => Ok(()),
            false => self.make_durable(&generation, generation.written.load(Acquire)),
        };
        if finished.is_ok() && !self.stopped.load(Acquire) {
            finished = self.seal();
        }
        self.wrote.store(false, Release);
        finished
    }

    fn note_torn_tail(&self, torn: recovery::TornTail) {
        if sabotaged!(CutWithoutReport) {
            return;
        }
        let mut recovery = lock_of(&self.recovery);
        recovery
            .torn_tails
            .retain(|known| known.offset != torn.offset || known.evidence.is_some());
        recovery.torn_tails.push(torn);
    }

    fn recovery_so_far(&self) -> Recovery {
        let generation = self.generation();
        let mut recovery = lock_of(&self.recovery).clone();
        if self.options.read_only {
            // Who takes no lock can't tell a torn tail from a write under way: it is told only while it is there.
            _ = generation.look();
            recovery
                .torn_tails
                .extend(generation.torn_tail().ok().flatten());
        }
        recovery.bad_header_copy = recovery.bad_header_copy.or(generation.bad_header_copy);
        for damage in &generation.position().damage {
            if !recovery.damage.contains(damage) {
                recovery.damage.push(damage.clone());
            }
        }
        recovery
    }
}

/// A path with something behind its name.
fn sibling(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.file_name().map(OsString::from).unwrap_or_default();
    name.push(suffix);
    path.with_file_name(name)
}

/// A record that counts, and the file that it is in.
struct Live {
    generation: Arc<Generation>,
    head: Head,
    offset: u64,
    /// Where the value is in what was read.
    value: Range<usize>,
}

/// What looking a key up in one file gave.
enum Lookup {
    Found {
        head: Head,
        offset: u64,
        value: Range<usize>,
    },
    Absent,
    /// A record does not verify, and may be the key's.
    Damaged {
        offset: u64,
    },
}

/// Reads the record of a key, whole and verified, into `record`.
fn read_from(generation: &Generation, key: &[u8], record: &mut Vec<u8>) -> Result<Lookup> {
    let FileHeader { seed, .. } = generation.header;
    let fingerprint = generation.fingerprint(key);
    let mut damaged = None;
    for at in generation.index.candidates(fingerprint).iter() {
        record.resize(at.len() as usize, 0);
        let read = generation.log.read_up_to(record, at.offset())?;
        let Some((fixed, body)) = record
            .get(..read)
            .and_then(|record| record.split_first_chunk::<HEAD_BYTES>())
        else {
            damaged = Some(at.offset());
            continue;
        };
        let head = Head::decode(fixed, seed, at.offset());
        let stored = head.and_then(|head| body.get(..usize::from(head.key_len)));
        match head {
            Some(head) if read == record.len() && head.body_holds(body, seed, at.offset()) => {
                if stored == Some(key) {
                    let start = HEAD_BYTES + key.len();
                    return Ok(Lookup::Found {
                        head,
                        offset: at.offset(),
                        value: start..start + head.value_len as usize,
                    });
                }
            }
            // Of a damaged record that is surely another key's, nothing is lost here.
            Some(_)
                if stored.is_some_and(|stored| {
                    stored != key && generation.fingerprint(stored) == fingerprint
                }) => {}
            _ => damaged = Some(at.offset()),
        }
    }
    Ok(damaged.map_or(Lookup::Absent, |offset| Lookup::Damaged { offset }))
}

/// The error for reading what damage may have outdated.
fn outdated(generation: &Generation, offset: u64) -> Error {
    generation.log.corrupt(
        offset,
        "damage behind this place may have outdated what is read here",
    )
}

/// Locks a mutex whose holder may have panicked: what it guards is changed in one step, or not at all.
pub(crate) fn lock_of<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
