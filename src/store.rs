//! `Store`: a durable map from bytes to bytes in one file, shared by threads and processes.
//!
//! # The rooms
//!
//! Each file uses only files above it in this list, by import and by method call, and a type's methods stand in its own
//! file or a child module of it. A lower file returns a typed value that says what happened; the file that decides what
//! to do about it stands below. `tests/it/tidy/rooms.rs` holds the code against this list.
//!
//! | room | what it is |
//! |---|---|
//! | `poison`, `ahead`, `order` | mutexes after a panic; work that a second thread does ahead; the sorts of what is sorted rarely |
//! | `disk`, `disk/mounts`, `disk/names`, `disk/os` | the only code that touches an operating system |
//! | `checksum`, `hash`, `format` | bytes to records and back: pure |
//! | `log` | one file as a run of records |
//! | `index`, `spans` | where each key's record is, and how to read many of them |
//! | `recovery`, `batch`, `change` | what users are told, and what they ask for |
//! | `commit` | one sync for many threads |
//! | `generation` | one file as this process knows it; `apply_one` is the one road into its index |
//! | `mode`, `lock`, `current` | what a handle may do; the queues of writers; the file that its threads are at |
//! | `place` | the path: what stands there, and the moves from one file to the next |
//! | `temp` | files that are being made, and leftovers of killed processes |
//! | `append` | records behind the tail, and notes that a file is left |
//! | `durable` | when what was written counts as done |
//! | `switch`, `copy`, `evidence` | a successor, what is copied to it, and what is kept of the old file |
//! | `mend` | a file is created, cut, left, healed: with the lock held |
//! | `writing`, `admission` | the right to write, and the one loop that gives it |
//! | `entry`, `read`, `iter` | what is read |
//! | `write`, `seal` | what is written, and the note that it is on disk |
//! | `anew`, `verify`, `compaction`, `salvage`, `opening`, `worker` | what concerns a whole file |
//! | `event`, `history`, `changes`, `content`, `backup`, `mirror` | its past, its changes as they come, and copies of it |
//! | `store`, `store/admin`, `options` | the public face |

pub(crate) mod admin;
pub(crate) mod admission;
mod ahead;
pub(crate) mod anew;
mod append;
pub(crate) mod backup;
pub(crate) mod batch;
pub(crate) mod change;
pub(crate) mod changes;
pub(crate) mod checksum;
#[cfg(test)]
mod collisions;
mod commit;
pub(crate) mod compaction;
mod content;
pub(crate) mod copy;
mod current;
pub(crate) mod disk;
mod durable;
pub(crate) mod entry;
pub(crate) mod event;
mod evidence;
pub(crate) mod format;
mod generation;
pub(crate) mod hash;
#[cfg(test)]
mod held;
pub(crate) mod history;
mod index;
pub(crate) mod iter;
mod lock;
mod log;
mod mend;
mod mirror;
pub(crate) mod mode;
mod opening;
pub(crate) mod options;
pub(crate) mod order;
mod place;
pub(crate) mod poison;
mod read;
pub(crate) mod recovery;
pub(crate) mod salvage;
mod seal;
mod spans;
mod switch;
mod temp;
pub(crate) mod verify;
mod worker;
mod write;
mod writing;

use crate::error::Result;
use admission::Admission;
use batch::{Batch, NewValue};
use change::{Change, Edit, Old};
use compaction::{Compacted, Compactor, Space};
use entry::Entry;
use iter::{Entries, Iter, Walk};
use mode::{Compaction, Mode, Start};
use recovery::Recovery;
use std::fmt;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, SystemTime};
use worker::{Work, Worker};

/// A durable map from bytes to bytes in one file.
///
/// `&self` everywhere and `Send + Sync`: share it by reference or in an `Arc`. Any number of processes may have the
/// same file open; each sees what the others wrote with its next call.
///
/// A write that returned `Ok` survives the death of the process, and with [`Durability::Immediate`](crate::Durability),
/// the default, a power cut. A write that returned an error may or may not have happened. A plain read may see what
/// another writer has not made durable yet.
///
/// The path is followed through symbolic links once, when it is opened. Compaction puts a new file there, with the owner,
/// group and mode of the old one: a hard link to that keeps it, as it was then. After a `fork` the child's next write or
/// [`mirror`](Store::mirror) opens a file of its own, with a lock of its own, which a child of an exclusive handle gets
/// once its parent has ended; no other thread may be inside a call when a process forks, which takes
/// [`Compaction::Inline`](crate::Compaction) or `Manual`: else that may be a thread of the store's own. Nor may an
/// iterator over a store be alive then: it may have a thread that reads ahead.
///
/// A handle that writes finds out that somebody put another file at the path, a backup for one, and says
/// [`Replaced`](crate::ErrorKind::Replaced). A `get` does not look at the path, which would take another system call each
/// time: a program that only reads asks for the [`position`](Store::position) once in a while, say every second, and
/// calls [`reopen`](Store::reopen) where the answer is `Replaced`. Until it does, it reads on in the file that had the
/// name.
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

/// All that a handle shares with the threads that work for it.
#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) admission: Admission,
    compactor: Compactor,
}

/// Sizes of a store, as of one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Entries, expired ones not yet dropped included.
    pub keys: u64,
    /// Bytes of the file that an entry needs.
    pub live_bytes: u64,
    /// Bytes of the file that belong to entries which were replaced or removed; a compaction frees them.
    pub dead_bytes: u64,
    /// Bytes of the file that were written for entries which ended over 24 hours ago, whether they were replaced since
    /// or not; a compaction frees them as well.
    pub past_bytes: u64,
    /// By how many bytes the file is longer than three times what a compaction would leave of it; 0 where it is within
    /// that bound. [`Recovery::overdue`] tells what keeps it from being compacted.
    pub overdue_bytes: u64,
    /// All bytes of the file in use.
    pub file_bytes: u64,
    /// Bytes of the file that are not known to be on disk.
    pub unsynced_bytes: u64,
    /// Memory of the index.
    pub index_bytes: u64,
    /// The number of the file: 1 more with each that takes its place, and 2 more where that holds what no log tells (a
    /// load, a salvage).
    pub generation: u64,
    /// The version of the format that the file is written in; `None` if nothing was ever written to it.
    pub format: Option<u16>,
    /// When the store was created, by the clock of its creator; `None` as for `format`. By a clock that reads earlier
    /// nothing ends.
    pub created: Option<SystemTime>,
}

impl Store {
    /// Opens a store, creating it if it is missing, with the default [`Options`](crate::Options).
    ///
    /// # Errors
    ///
    /// Those of [`Options::open`](crate::Options::open).
    pub fn open(path: impl AsRef<Path>) -> Result<Store> {
        Store::open_as(Mode::default(), Start::default(), path.as_ref())
    }

    pub(crate) fn open_as(mode: Mode, start: Start, path: &Path) -> Result<Store> {
        let inner = Inner {
            admission: opening::open(mode, start, path)?,
            compactor: Compactor::new(),
        };
        Ok(Store {
            inner: Arc::new(inner),
            worker: Worker::default(),
        })
    }

    fn place(&self) -> &place::Place {
        &self.inner.admission.place
    }

    /// The value of a key. One read of exactly the record; no lock is taken, so it never waits for a writer.
    ///
    /// # Errors
    ///
    /// `Corrupt` if the record does not verify any more, `Replaced`, `Io`.
    pub fn get(&self, key: impl AsRef<[u8]>) -> Result<Option<Vec<u8>>> {
        let mut record = Vec::new();
        let Some(value) = read::value(self.place(), key.as_ref(), &mut record)? else {
            return Ok(None);
        };
        keep(&mut record, value);
        Ok(Some(record))
    }

    /// As [`get`](Store::get), and whether the value is marked as CBOR. `get` does not call it: that would cost a miss a
    /// twentieth more.
    pub(crate) fn get_marked(&self, key: &[u8]) -> Result<Option<(Vec<u8>, bool)>> {
        let mut record = Vec::new();
        let Some(found) = read::live(self.place(), key, &mut record)? else {
            return Ok(None);
        };
        keep(&mut record, found.value);
        Ok(Some((record, found.head.is_cbor())))
    }

    /// As [`get`](Store::get) into a buffer of the caller's, whose content is replaced: without an allocation once the
    /// buffer is large enough. False, and an empty buffer, if the key is absent.
    pub fn get_into(&self, key: impl AsRef<[u8]>, value: &mut Vec<u8>) -> Result<bool> {
        let found = read::value(self.place(), key.as_ref(), value)?;
        let Some(range) = found else {
            value.clear();
            return Ok(false);
        };
        keep(value, range);
        Ok(true)
    }

    /// Whether a key is there. Reads its key, not its value.
    ///
    /// # Errors
    ///
    /// Those of [`get`](Store::get).
    pub fn contains_key(&self, key: impl AsRef<[u8]>) -> Result<bool> {
        read::contains(self.place(), key.as_ref())
    }

    /// Sets the value of a key. True if the key is new, as for [`std::collections::HashSet::insert`]; a key whose
    /// present value is damaged is not new. A [`Shelf`](crate::Shelf) reads no value of it: for one that is CBOR see
    /// [`Batch::insert_cbor`].
    ///
    /// # Errors
    ///
    /// `TooLarge` (nothing was written), `ReadOnly`, `Busy`, `Replaced`, `Reentrant`, `Io`.
    pub fn insert(&self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Result<bool> {
        self.put(key.as_ref(), NewValue::plain(value.as_ref()))
    }

    /// As [`insert`](Store::insert), until a time from which on the key is absent.
    ///
    /// Absent means hidden by the clock of the reader. The entry is dropped from the file by a compaction, when it
    /// ended over 24 hours ago, so a clock that is less than a day ahead destroys nothing: once it is right again, the
    /// key is there again. A clock that reads earlier than the creation of the store is wrong, and hides nothing.
    pub fn insert_until(
        &self,
        key: impl AsRef<[u8]>,
        value: impl AsRef<[u8]>,
        expires: SystemTime,
    ) -> Result<bool> {
        let (plain, expires) = (NewValue::plain(value.as_ref()), Some(expires));
        self.put(key.as_ref(), NewValue { expires, ..plain })
    }

    pub(crate) fn put(&self, key: &[u8], put: NewValue<'_>) -> Result<bool> {
        let is_new = write::insert(&self.inner.admission, key, put)?;
        self.wrote();
        Ok(is_new)
    }

    /// Removes a key. True if it was there, also if its entry had ended or its value is damaged. An absent key is no
    /// error, and its absence is as durable as a removal.
    ///
    /// # Errors
    ///
    /// Those of [`insert`](Store::insert).
    pub fn remove(&self, key: impl AsRef<[u8]>) -> Result<bool> {
        let was_there = write::remove(&self.inner.admission, key.as_ref())?;
        self.wrote();
        Ok(was_there)
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
            let old = old.map(|old| old.value);
            change(old).map(|(change, answer)| (change.into(), answer))
        })
    }

    /// As [`update`](Store::update), with all that a record can say.
    pub(crate) fn edit<T>(
        &self,
        key: &[u8],
        edit: impl FnOnce(Option<Old<'_>>) -> Result<(Edit, T)>,
    ) -> Result<T> {
        let answer = write::edit(&self.inner.admission, key, edit)?;
        self.wrote();
        Ok(answer)
    }

    /// Makes a batch in one step: what the closure reads of this store, under whatever keys, nobody changes until the
    /// batch is written.
    pub(crate) fn edit_batch<T>(&self, edit: impl FnOnce() -> Result<(Batch, T)>) -> Result<T> {
        let answer = write::edit_batch(&self.inner.admission, edit)?;
        self.wrote();
        Ok(answer)
    }

    /// Makes batch after batch, until `next` says that there is none. Each is all or nothing, and from the first look to
    /// the last batch nobody else changes anything.
    pub(crate) fn edit_batches(&self, next: impl FnMut() -> Result<Option<Batch>>) -> Result<()> {
        write::edit_batches(&self.inner.admission, next)?;
        self.wrote();
        Ok(())
    }

    /// Makes all changes of a batch, or none of them, whatever happens.
    ///
    /// # Errors
    ///
    /// Those of [`insert`](Store::insert); `TooLarge` if all records together are over 128 MiB.
    pub fn write(&self, batch: &Batch) -> Result<()> {
        write::batch(&self.inner.admission, batch)?;
        self.wrote();
        Ok(())
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
        let removed = write::remove_unchanged(&self.inner.admission, entries)?;
        self.wrote();
        Ok(removed)
    }

    /// Whether an entry is the one that its key has now.
    pub(crate) fn is_unchanged(&self, entry: &Entry) -> Result<bool> {
        Ok(read::unchanged(&*self.place().fresh()?, entry)?.is_some())
    }

    /// How many entries there are, ended ones not yet dropped included.
    pub fn len(&self) -> Result<usize> {
        Ok(self.place().fresh()?.keys() as usize)
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
        write::clear(&self.inner.admission)?;
        self.wrote();
        Ok(())
    }

    /// Returns once everything written so far, by any process, survives a power cut.
    ///
    /// # Errors
    ///
    /// `ReadOnly`, `Busy`, `Replaced`, `Io`. After a failed sync the outcome of everything not acknowledged is unknown.
    pub fn sync(&self) -> Result<()> {
        seal::sync(&self.inner.admission)
    }

    /// Rewrites the file without its dead bytes, while everybody goes on, and removes what earlier repairs kept as
    /// evidence. Takes about as long as reading and writing the live bytes.
    ///
    /// A store does this by itself, except with [`Compaction::Manual`], when dead bytes exceed half of the log, or dead
    /// and past bytes together two thirds of it ([`Stats`] tells both), and the file 1 MiB. So the file stays within
    /// three times what is live or ended less than 24 hours ago, and 1 MiB, but for the time of a copy. A value that
    /// does not verify goes on reading as an error, unless its entry ended over 24 hours ago, and the old file is kept as
    /// evidence. A compaction that must fail does so before it copies anything, but for a full disk: the standard
    /// library can't ask how much is free.
    ///
    /// # Errors
    ///
    /// `Busy` if another process is at it, `Unsupported` if the file is a mount point, and those of
    /// [`insert`](Store::insert). The file stays as it was, and so does the evidence, unless only the folder could not be
    /// synced: the new file is in place then, and a power cut may undo that.
    pub fn compact(&self) -> Result<Compacted> {
        let Inner {
            admission,
            compactor,
        } = &*self.inner;
        compactor.compact(admission)
    }

    /// How much file and memory the store takes, as of one moment. No I/O but the look for what others wrote.
    pub fn stats(&self) -> Result<Stats> {
        let generation = self.place().fresh()?;
        let space = Space::now(self.place(), &generation);
        let is_born = !generation.is_unborn();
        Ok(Stats {
            keys: space.keys,
            live_bytes: space.live_bytes,
            dead_bytes: space.dead_bytes(),
            past_bytes: space.past_bytes,
            overdue_bytes: space.overdue_bytes(),
            file_bytes: space.file_bytes,
            unsynced_bytes: generation.unsynced_bytes(),
            index_bytes: generation.index.size_bytes(),
            generation: generation.header.generation,
            format: is_born.then_some(format::VERSION),
            created: is_born.then(|| self.place().created()),
        })
    }

    /// Everything that was found wrong with the file since it was opened, and what was done about it.
    pub fn recovery(&self) -> Recovery {
        let mut recovery = self.place().recovery();
        recovery.overdue = self.inner.compactor.overdue(self.place());
        recovery
    }

    /// Reads the file anew, as opening does. Heals a file whose sync failed by moving what can be read to a new one.
    /// Creates the file if it is missing, unless the handle was opened with `create(false)`.
    ///
    /// # Errors
    ///
    /// Those of [`Options::open`](crate::Options::open).
    pub fn reopen(&self) -> Result<()> {
        opening::reopen(&self.inner.admission)
    }

    /// Syncs, marks the log as complete where there is room for that, and closes. `Drop` does the same, without telling
    /// whether it worked.
    ///
    /// Unless compaction is `Manual`, a file that is longer than its bound allows (see [`compact`](Store::compact)) is
    /// compacted first, so that processes which open, write and close do not let it grow. That takes as long as a
    /// compaction does, and an exclusive handle has its lock for as long. Where another writer has the lock, the
    /// compaction is left to the next one that closes.
    ///
    /// # Errors
    ///
    /// Those of [`sync`](Store::sync).
    pub fn close(self) -> Result<()> {
        self.stop_working();
        seal::finish(&self.inner.admission)
    }

    /// The path that the store was opened with.
    pub fn path(&self) -> &Path {
        &self.place().path
    }

    /// The time of the wall clock, or of the store's creation if that is later.
    pub(crate) fn now(&self) -> SystemTime {
        self.place().now()
    }

    /// The time up to which entries have ended: by a wrong clock none has.
    pub(crate) fn ended_by(&self) -> SystemTime {
        match self.is_clock_wrong() {
            true => SystemTime::UNIX_EPOCH,
            false => self.now(),
        }
    }

    /// Whether the wall clock reads earlier than the store's creation, so that it must be wrong.
    pub(crate) fn is_clock_wrong(&self) -> bool {
        self.place().is_clock_wrong()
    }

    /// Bytes from the operating system's random source.
    pub(crate) fn random(&self, bytes: &mut [u8]) -> Result<()> {
        self.place().random(bytes)
    }

    /// All entries as they are now, least recently saved first, while others go on writing. An entry that can't be
    /// read is an `Err` item, and the others follow it.
    ///
    /// Takes 8 bytes of memory a key, and 1 MiB, or more where entries are longer than 128 KiB: a few of those at a time.
    /// Writers wait while the places are collected (about 10 ms for a million keys), readers do not. Once 4 MiB were
    /// read a second thread reads and verifies ahead, until the iterator is dropped.
    ///
    /// ```
    /// # fn main() -> shelflife::Result<()> {
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let store = shelflife::Store::open(dir.path().join("s.shelf"))?;
    /// store.insert("a", "1")?;
    /// let before = store.iter();
    /// store.insert("b", "2")?;
    /// assert_eq!(before.collect::<shelflife::Result<Vec<_>>>()?, [(b"a".to_vec(), b"1".to_vec())]);
    /// # Ok(()) }
    /// ```
    pub fn iter(&self) -> Iter {
        Iter(self.entries())
    }

    /// As [`iter`](Store::iter), but shows each entry where it was read to, which allocates and copies nothing: for what
    /// sums, counts or searches. An entry that can't be read is passed by; the first such error is returned at the end.
    ///
    /// ```
    /// # fn main() -> shelflife::Result<()> {
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let store = shelflife::Store::open(dir.path().join("s.shelf"))?;
    /// store.insert("tea", "green")?;
    /// let mut bytes = 0;
    /// store.for_each(|_key, value| bytes += value.len())?;
    /// assert_eq!(bytes, 5);
    /// # Ok(()) }
    /// ```
    pub fn for_each(&self, visit: impl FnMut(&[u8], &[u8])) -> Result<()> {
        self.entries().show(visit)
    }

    /// One entry, with what the store knows of it.
    ///
    /// ```
    /// # fn main() -> shelflife::Result<()> {
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let store = shelflife::Store::open(dir.path().join("s.shelf"))?;
    /// store.insert("tea", "green")?;
    /// let entry = store.entry("tea")?.unwrap();
    /// assert_eq!(entry.value(), b"green");
    /// assert!(!entry.is_cbor() && entry.expires().is_none());
    /// assert_eq!(store.remove_unchanged(&[entry])?, 1);
    /// # Ok(()) }
    /// ```
    pub fn entry(&self, key: impl AsRef<[u8]>) -> Result<Option<Entry>> {
        read::entry(self.place(), key.as_ref())
    }

    /// As [`entry`](Store::entry), also if it has ended and was not dropped yet.
    pub(crate) fn entry_even_ended(&self, key: &[u8]) -> Result<Option<Entry>> {
        read::entry_even_ended(self.place(), key)
    }

    /// All entries as they are now, those included that have ended and were not dropped yet.
    pub(crate) fn walk(&self) -> Walk {
        Walk(self.entries())
    }

    /// As [`iter`](Store::iter), with what the store knows of each entry.
    pub fn entries(&self) -> Entries {
        Entries::new(self.place())
    }

    /// Starts what a write made due. The write itself is done; the reason why a compaction fails is told by
    /// [`recovery`](Store::recovery). Where a sync fails, the next write moves what can be read to a new file, and
    /// `recovery` tells whether anything was lost by that.
    fn wrote(&self) {
        let Inner {
            admission,
            compactor,
        } = &*self.inner;
        if admission.is_sync_due() {
            let inner = Arc::clone(&self.inner);
            self.worker.start(
                Work::Sync,
                Box::new(move |_| {
                    let generation = inner.admission.place.generation();
                    _ = inner.admission.make_durable(&generation, generation.tail());
                }),
            );
        }
        let Mode {
            compaction,
            lock_timeout,
            ..
        } = admission.place.mode;
        if compaction == Compaction::Manual || !compactor.is_due(&admission.place) {
            return;
        }
        if compaction == Compaction::Thread {
            let inner = Arc::clone(&self.inner);
            let compact = move |stop: &AtomicBool| {
                _ = inner
                    .compactor
                    .compact_if_due(&inner.admission, lock_timeout, stop);
            };
            self.worker.start(Work::Compaction, Box::new(compact));
        } else {
            _ = compactor.compact_if_due(admission, lock_timeout, &AtomicBool::new(false));
        }
    }

    /// Ends the threads of this handle, and leaves the file within its bound. A thread that compacts is told to stop only
    /// where the file is within it already. Where no such thread brought it there, this one compacts.
    fn stop_working(&self) {
        let Inner {
            admission,
            compactor,
        } = &*self.inner;
        let Admission { place, desk, .. } = admission;
        let owes_a_compaction = || {
            // This handle has no later try.
            compactor.forget_others();
            place.mode.writes()
                && place.mode.compaction != Compaction::Manual
                && place.is_ours()
                && !std::thread::panicking()
                && !desk.left_bytes()
                && !place.generation().is_condemned()
                && compactor.is_over_bound(place)
        };
        self.worker.join(!owes_a_compaction());
        if owes_a_compaction() {
            // Another writer that has the lock closes later, and finds the file over its bound then.
            let at_once = Duration::ZERO;
            _ = compactor.compact_if_due(admission, at_once, &AtomicBool::new(false));
        }
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.stop_working();
        let _ = seal::finish(&self.inner.admission);
        self.place().give_lock_back();
    }
}

impl IntoIterator for &Store {
    type Item = Result<(Vec<u8>, Vec<u8>)>;
    type IntoIter = Iter;

    fn into_iter(self) -> Iter {
        self.iter()
    }
}

/// Leaves only the value in a buffer that has the whole record.
#[inline]
fn keep(record: &mut Vec<u8>, value: Range<usize>) {
    record.copy_within(value.clone(), 0);
    record.truncate(value.len());
}

/// Tells the path, not the content.
impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store")
            .field("path", &self.path())
            .finish_non_exhaustive()
    }
}
