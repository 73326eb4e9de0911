//! The questions of an admin to a store: its past, its changes as they come, what is sound of it, and copies of it.

use super::backup::{self, Backup};
use super::batch::Batch;
use super::changes::{Cursor, Position, Seen};
use super::content;
use super::copy::Rekey;
use super::disk::Disk;
use super::disk::os::OsDisk;
use super::event::Events;
use super::format::LOG_START;
use super::history::{self, History};
use super::log::uninterrupted;
use super::mirror::{self, LogCopy};
use super::place::folder_of;
use super::salvage::{self, Salvaged};
use super::temp;
use super::verify::{self, Verified};
use super::{Inner, Store};
use crate::error::{Error, Result};
use std::fmt;
use std::path::Path;
use std::sync::Arc;

impl Store {
    /// The versions of a key, newest first, as far back as the log goes: a compaction drops what is older than itself,
    /// and [`History::dropped_before`] tells whether one did.
    /// Reads the whole log once; memory is 8 bytes for each version.
    ///
    /// # Errors
    ///
    /// `Replaced`, `Io`.
    ///
    /// ```
    /// # fn main() -> shelflife::Result<()> {
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let store = shelflife::Store::open(dir.path().join("s.shelf"))?;
    /// store.insert("tea", "green")?;
    /// store.insert("tea", "black")?;
    /// store.remove("tea")?;
    /// let mut values = Vec::new();
    /// for event in store.history("tea")? {
    ///     values.push(event?.entry().map(|entry| entry.value().to_vec()));
    /// }
    /// assert_eq!(values, [None, Some(b"black".to_vec()), Some(b"green".to_vec())]);
    /// # Ok(()) }
    /// ```
    pub fn history(&self, key: impl AsRef<[u8]>) -> Result<History> {
        let generation = Arc::clone(&*self.place().fresh_and_proven()?);
        history::history(&generation, key.as_ref())
    }

    /// Every change that the log has, oldest first, as of now. At its beginning stands what the last compaction kept,
    /// with the times of then: [`Events::dropped_before`] tells where that ends.
    ///
    /// # Errors
    ///
    /// `Replaced`, `Io`.
    pub fn events(&self) -> Result<Events> {
        let generation = Arc::clone(&*self.place().fresh_and_proven()?);
        let tail = generation.tail();
        Ok(Events::of(&generation, LOG_START..tail))
    }

    /// Where the log ends now: what [`changes`](Store::changes) from here tells is what comes after this call. Looks
    /// at the path, so that a program which only reads finds out by this call that a backup was put over the store.
    ///
    /// # Errors
    ///
    /// `Replaced`, until [`reopen`](Store::reopen) goes on with the file that is there; `Io`.
    pub fn position(&self) -> Result<Position> {
        Ok(Position::end_of(&*self.place().fresh_at_its_path()?))
    }

    /// As [`position`](Store::position), without a look at the path.
    pub(crate) fn end(&self) -> Result<Position> {
        Ok(Position::end_of(&*self.place().fresh()?))
    }

    /// Follows the log from a position on: every put, removal and clear, by any thread of any process, in the order in
    /// which they happened. Compactions are followed too; if the store was compacted twice between two looks, the
    /// changes in between are gone and [`Seen::Missed`] says so, as it does for what was [loaded](Store::load) at once.
    /// A file that is put in the store's place is an error, `Replaced`, as for a writer; once the handle was
    /// [reopened](Store::reopen) with it, `Missed` comes next.
    ///
    /// A change that is seen may not be durable yet, and a power cut may take it back; the process that wrote it has no
    /// answer by then. An entry with an expiry ends without a change that tells it: look at
    /// [`Entry::expires`](crate::Entry::expires).
    ///
    /// Keeps the handle's file open until it is dropped.
    ///
    /// A cache of another process that stays in step:
    ///
    /// ```
    /// # fn main() -> shelflife::Result<()> {
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let path = dir.path().join("s.shelf");
    /// # let writer = shelflife::Store::open(&path)?;
    /// # writer.insert("tea", "green")?;
    /// use shelflife::{EventKind, Options, Seen};
    /// use std::collections::HashMap;
    ///
    /// let store = Options::new().read_only(true).open(&path)?;
    /// // In this order: what changes while everything is read is then told again.
    /// let mut changes = store.changes(store.position()?)?;
    /// let mut cache: HashMap<Vec<u8>, Vec<u8>> = store.iter().collect::<shelflife::Result<_>>()?;
    ///
    /// let mut keep_up = || -> shelflife::Result<HashMap<Vec<u8>, Vec<u8>>> {
    ///     while let Some(seen) = changes.next()? {
    ///         match seen {
    ///             Seen::Event(event) => match (event.what(), event.key(), event.entry()) {
    ///                 (EventKind::Put, _, Some(entry)) => {
    ///                     cache.insert(entry.key().to_vec(), entry.value().to_vec());
    ///                 }
    ///                 (_, Some(key), _) => drop(cache.remove(key)),
    ///                 (_, None, _) => cache.clear(),
    ///             },
    ///             Seen::Missed(_) => cache = store.iter().collect::<shelflife::Result<_>>()?,
    ///             _ => {}
    ///         }
    ///     }
    ///     Ok(cache.clone())
    /// };
    /// # writer.insert("cup", "blue")?; writer.remove("tea")?; writer.compact()?; writer.insert("pot", "red")?;
    /// let cached = keep_up()?;
    /// assert_eq!(cached.len(), 2);
    /// assert_eq!(cached[&b"pot"[..]], b"red");
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// `Replaced`, `Io`. A position that the store no longer has is no error but [`Seen::Missed`].
    pub fn changes(&self, from: Position) -> Result<Changes> {
        Ok(Changes {
            cursor: Cursor::new(self.place(), from)?,
            inner: Arc::clone(&self.inner),
        })
    }

    /// Copies what the store holds at this moment to a new file, while others go on writing. The copy is compact, and
    /// appears whole or not at all. It is a store of its own: put in the place of a running store it is refused as
    /// another file, until the handle is reopened.
    ///
    /// Takes about as long as reading and writing the live bytes. An entry that can't be read is carried along as one
    /// that can't be read, and counted in [`Backup::damaged`]. A process that is killed meanwhile leaves a temporary
    /// file, which the next copy to this path removes, or [`remove_leftovers`](Store::remove_leftovers).
    ///
    /// # Errors
    ///
    /// `AlreadyExists` if something has that path, `Corrupt` if entries may be outdated (see
    /// [`Options::damaged`](crate::Options::damaged); [`salvage`](Store::salvage) copies those), `Replaced`, `Io`. Where
    /// only the folder could not be synced, the copy is there all the same, and whole.
    ///
    /// ```
    /// # fn main() -> shelflife::Result<()> {
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let store = shelflife::Store::open(dir.path().join("s.shelf"))?;
    /// store.insert("tea", "green")?;
    /// let backup = store.backup(dir.path().join("backup.shelf"))?;
    /// assert_eq!(backup.entries, 1);
    /// let copy = shelflife::Store::open(dir.path().join("backup.shelf"))?;
    /// assert_eq!(copy.content_hash()?, store.content_hash()?);
    /// # Ok(()) }
    /// ```
    pub fn backup(&self, to: impl AsRef<Path>) -> Result<Backup> {
        backup::backup(self.place(), to.as_ref())
    }

    /// Makes a new file, a store of its own, of the store as it was before the record at an offset was written. Offsets
    /// are those of [`Event::offset`](crate::Event::offset); of a batch nothing is there before its last record.
    /// Returns the length of the copy, which keeps the history up to that place.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if no record begins there, or if the file was written anew since: see
    /// [`Events::dropped_before`].
    /// `AlreadyExists` if something has that path, `Replaced`, `Io`.
    ///
    /// ```
    /// # fn main() -> shelflife::Result<()> {
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let store = shelflife::Store::open(dir.path().join("s.shelf"))?;
    /// store.insert("tea", "green")?;
    /// store.clear()?;
    /// let clear = store.events()?.last().expect("two things happened")?;
    /// store.restore(clear.offset(), dir.path().join("before.shelf"))?;
    /// let before = shelflife::Store::open(dir.path().join("before.shelf"))?;
    /// assert_eq!(before.get("tea")?.as_deref(), Some(&b"green"[..]));
    /// # Ok(()) }
    /// ```
    pub fn restore(&self, before: u64, to: impl AsRef<Path>) -> Result<u64> {
        backup::restore(self.place(), before, to.as_ref())
    }

    /// Inserts what any number of batches hold, all together or not at all: `next` gives one batch after another, and
    /// `None` behind the last. Where [`write`](Store::write) takes one batch of at most 128 MiB, this has no limit but
    /// that of the file; it rewrites the whole file as [`compact`](Store::compact) does, and keeps one batch in memory.
    ///
    /// Others go on reading and writing meanwhile. The entries count as written at the end of the call: they replace
    /// what others wrote under the same keys until then. An error of `next` is returned, and nothing was loaded. A
    /// program that [follows](Store::changes) the store is told that changes were missed.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if a batch removes a key, `Busy` if another process is compacting the store or clears it
    /// meanwhile, those of `next`, and those of [`insert`](Store::insert).
    ///
    /// ```
    /// # fn main() -> shelflife::Result<()> {
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let store = shelflife::Store::open(dir.path().join("s.shelf"))?;
    /// let mut numbers = 0..3;
    /// store.load(|| {
    ///     Ok(numbers.next().map(|number| {
    ///         let mut batch = shelflife::Batch::new();
    ///         batch.insert(format!("key {number}"), "value");
    ///         batch
    ///     }))
    /// })?;
    /// assert_eq!(store.len()?, 3);
    /// # Ok(()) }
    /// ```
    pub fn load(&self, mut next: impl FnMut() -> Result<Option<Batch>>) -> Result<()> {
        let Inner {
            admission,
            compactor,
        } = &*self.inner;
        compactor.load(admission, &mut next)
    }

    /// Removes the temporary files that killed processes left beside `path`, which was to become a store, or is one
    /// that they compacted or copied. A file that a process is still making is locked, and stays.
    ///
    /// Every compaction does this for its store, and [`backup`](Store::backup), [`restore`](Store::restore),
    /// [`salvage`](Store::salvage) and [`mirror`](Store::mirror) for the file that they make. So it is of use where each
    /// copy gets a name of its own. The names are that of `path`, `.tmp-` and 16 hexadecimal digits, with parts of a
    /// name that begin with a dot in between.
    ///
    /// # Errors
    ///
    /// `Io` if the folder can't be read.
    ///
    /// ```
    /// # fn main() -> shelflife::Result<()> {
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let path = dir.path().join("monday.shelf");
    /// shelflife::Store::remove_leftovers(&path)?;
    /// # Ok(()) }
    /// ```
    pub fn remove_leftovers(path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        let Some(name) = path.file_name() else {
            return Ok(());
        };
        let dir = folder_of(path);
        // Beside the file itself, if this is a link to it.
        let real = uninterrupted(|| OsDisk.resolve(path))
            .or_else(|_| uninterrupted(|| OsDisk.resolve(dir)).map(|dir| dir.join(name)))
            .map_err(|error| Error::io("look up the folder of", path, error))?;
        temp::remove_all_leftovers(&OsDisk, &real).map(drop)
    }

    /// Stores every entry under another key, all at once, by a switch to a file that has no other keys. Nobody writes
    /// meanwhile.
    pub(crate) fn rekey(&self, rekey: &mut dyn Rekey) -> Result<()> {
        let Inner {
            admission,
            compactor,
        } = &*self.inner;
        compactor.rekey(admission, rekey)
    }

    /// One figure of all live entries: key, value, its kind and its end. The same for a store, its backup, its
    /// compaction and its dump loaded anew. Finds accidents, not forgery. Reads every entry.
    ///
    /// # Errors
    ///
    /// `Corrupt` if an entry can't be read, `Replaced`, `Io`.
    pub fn content_hash(&self) -> Result<u128> {
        content::hash(self.entries())
    }

    /// Reads the whole file, both copies of its header included, and lists what does not verify. Changes nothing, and
    /// others may go on writing meanwhile; what they write after the call began may or may not be covered.
    ///
    /// A file that does not open because of damage is verified by a handle opened with
    /// [`Options::damaged`](crate::Options::damaged). Takes about as long, and as much memory, as opening does. If the
    /// end of the log looks torn, the lock is taken for a moment, to tell a torn record from one being written.
    ///
    /// # Errors
    ///
    /// `Replaced`, `NewerVersion`, `Io`. Damage is no error here.
    ///
    /// ```
    /// # fn main() -> shelflife::Result<()> {
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let path = dir.path().join("s.shelf");
    /// # shelflife::Store::open(&path)?.insert("tea", "green")?;
    /// let verified = shelflife::Options::new().damaged(true).open(&path)?.verify()?;
    /// assert!(verified.is_sound());
    /// assert_eq!(verified.live, 1);
    /// # Ok(()) }
    /// ```
    pub fn verify(&self) -> Result<Verified> {
        verify::verify(&self.inner.admission)
    }

    /// Copies every entry that can be read, on both sides of every damage, to a new file, and lists what is lost. The
    /// store stays as it is. Also for a store opened with [`Options::damaged`](crate::Options::damaged).
    ///
    /// The new file is a store of its own. It gets the owner and mode of the old one, or if this process may not give
    /// it those, belongs to its user alone. It appears whole or not at all.
    ///
    /// Records behind a torn place, which a store does not count, are saved as well; keys whose records stand before it
    /// are then uncertain. Removals behind any damage count as well, and what they took is no key of the new file's.
    ///
    /// # Errors
    ///
    /// `AlreadyExists` if something has that path, `Replaced`, `NewerVersion`, `Io`. Where only the folder could not be
    /// synced, the new file is there all the same, and whole.
    ///
    /// ```
    /// # fn main() -> shelflife::Result<()> {
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let (path, new) = (dir.path().join("s.shelf"), dir.path().join("new.shelf"));
    /// # shelflife::Store::open(&path)?.insert("tea", "green")?;
    /// let salvaged = shelflife::Options::new().damaged(true).open(&path)?.salvage(&new)?;
    /// assert_eq!((salvaged.entries, salvaged.lost.len()), (1, 0));
    /// assert_eq!(shelflife::Store::open(&new)?.get("tea")?.as_deref(), Some(&b"green"[..]));
    /// # Ok(()) }
    /// ```
    pub fn salvage(&self, to: impl AsRef<Path>) -> Result<Salvaged> {
        salvage::salvage(&self.inner.admission, to.as_ref())
    }

    /// As [`salvage`](Store::salvage), and puts the new file in the store's place. The damaged one stays beside it,
    /// under the name in [`Salvaged::kept`]. Other processes that have the store open go on with the new file.
    ///
    /// # Errors
    ///
    /// `ReadOnly` on a handle that was opened with `read_only`, `Busy`, `Replaced`, `NewerVersion`, `AlreadyExists` (four
    /// originals of earlier salvages are kept already), `Io`.
    pub fn salvage_in_place(&self) -> Result<Salvaged> {
        salvage::salvage_in_place(&self.inner.admission)
    }

    /// Begins a copy of the store that keeps up, in a folder that exists, or goes on with the one that is there. See
    /// [`Mirror`].
    ///
    /// # Errors
    ///
    /// `NotFound` if the store holds nothing, or the folder is not there; `Busy` if somebody writes to the copy;
    /// `Replaced`, `Io`.
    pub fn mirror(&self, dir: impl AsRef<Path>) -> Result<Mirror> {
        let dir = mirror::folder(self.place(), dir.as_ref())?;
        let Inner { admission, .. } = &*self.inner;
        admission.notice_fork()?;
        let begun = LogCopy::begin(&admission.place, &dir);
        Ok(Mirror {
            copy: begun.inspect_err(|_| admission.tell_if_a_sync_failed())?,
            inner: Arc::clone(&self.inner),
        })
    }
}

/// Follows the changes of a store. Made by [`Store::changes`].
pub struct Changes {
    inner: Arc<Inner>,
    cursor: Cursor,
}

impl Changes {
    /// The next thing that happened, `None` if nothing did so far: ask again later. An error of one record, `Corrupt`,
    /// is told once, and what follows it afterwards.
    ///
    /// # Errors
    ///
    /// `Corrupt`, `Replaced`, `Io`.
    #[allow(clippy::should_implement_trait)] // `None` is not the end.
    pub fn next(&mut self) -> Result<Option<Seen>> {
        self.cursor.next(&self.inner.admission.place)
    }

    /// Where to go on after a restart: behind the last whole batch that was handed out.
    pub fn position(&self) -> Position {
        self.cursor.position()
    }
}

impl fmt::Debug for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Changes")
            .field("position", &self.position())
            .finish_non_exhaustive()
    }
}

/// A copy of a store that keeps up, in a folder of its own. Made by [`Store::mirror`].
///
/// The folder gets one file for each generation of the store, `NAME.LINEAGE-GENERATION`. The log of each is, at any
/// moment, a prefix of that generation's log, and so the copy is a store that opens. A power cut while it is written to
/// may damage its end, which is put right when the copying goes on. The copy before keeps what a compaction drops from
/// the store. To restore, copy one of them to the store's place: a handle that was left open refuses it, since its
/// lineage is its own. To keep less, delete old ones: each was last modified when the next one was begun. The process
/// may die at any moment, and another one go on; two at once write the same bytes.
///
/// ```
/// # fn main() -> shelflife::Result<()> {
/// # let dir = tempfile::tempdir().unwrap();
/// # let store = shelflife::Store::open(dir.path().join("s.shelf"))?;
/// # std::fs::create_dir(dir.path().join("copies")).unwrap();
/// store.insert("tea", "green")?;
/// let mut mirror = store.mirror(dir.path().join("copies"))?;
/// store.insert("tea", "black")?;
/// mirror.update()?;
/// let copy = shelflife::Options::new().read_only(true).open(mirror.path())?;
/// assert_eq!(copy.get("tea")?.as_deref(), Some(&b"black"[..]));
/// # Ok(()) }
/// ```
pub struct Mirror {
    inner: Arc<Inner>,
    copy: LogCopy,
}

impl Mirror {
    /// Syncs the store's file, copies what was written since the last call, and syncs the copy. Returns how many bytes
    /// that was.
    ///
    /// # Errors
    ///
    /// `Replaced` if another file was put in the place of the store; once the handle was [reopened](Store::reopen) with
    /// that, the next call begins a copy of it, and the old one stays. `Io`, and those of [`Store::mirror`]: call it
    /// again.
    pub fn update(&mut self) -> Result<u64> {
        let Inner { admission, .. } = &*self.inner;
        admission.notice_fork()?;
        let copied = self.copy.update(&admission.place);
        copied.inspect_err(|_| admission.tell_if_a_sync_failed())
    }

    /// The copy of the present file of the store.
    pub fn path(&self) -> &Path {
        self.copy.path()
    }
}

impl fmt::Debug for Mirror {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mirror")
            .field("path", &self.path())
            .finish_non_exhaustive()
    }
}
