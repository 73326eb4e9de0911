//! `MemorySessionStore`: sessions in a map, by the same rules as those in a file.

use super::engine::{Engine, Rules};
use super::records::{MakeEdit, NextEdits, Records, Walk};
use crate::error::{Error, Result};
use crate::session::random::random;
use crate::store::change::Edit;
use crate::store::disk::{Disk, os::OsDisk};
use crate::store::entry::Entry;
use crate::store::order::sort_by_number;
use std::collections::HashMap;
use std::fmt;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::{self, ThreadId};
use std::time::{Duration, SystemTime};

/// A session that has ended is kept this long, in case that the clock was wrong.
const GRACE: Duration = Duration::from_secs(24 * 60 * 60);
/// The fewest writes between two looks of writers for what ended longer ago.
const WRITES_MIN: u64 = 1024;

/// Sessions in memory, for tests and for what may forget everybody when it ends.
///
/// It follows the same rules as [`ShelveSessionStore`](crate::ShelveSessionStore), so what was tested with one runs
/// with the other. Threads may share it; processes can't. An expired session takes up memory until
/// [`delete_old_sessions`](crate::SessionStore::delete_old_sessions), or until a call that reads all sessions, or one of
/// the writes, drops it over a day after its end. Writes do so often enough that the memory holds at most about twice
/// what is needed.
///
/// With a clock of its own a test needs no sleep:
///
/// ```
/// use shelflife::{Session, SessionOptions, SessionStore};
/// use std::sync::{Arc, Mutex};
/// use std::time::{Duration, SystemTime};
///
/// let time = Arc::new(Mutex::new(SystemTime::now()));
/// let clock = Arc::clone(&time);
/// let store = SessionOptions::new()
///     .idle_lifetime(Duration::from_secs(1800))
///     .in_memory_with_clock(move || *clock.lock().unwrap());
///
/// let mut session = Session::new();
/// session.set_user(Some("ann"));
/// let _ = store.save_session(&mut session)?;
/// *time.lock().unwrap() += Duration::from_secs(1800);
/// assert!(!store.has_session(session.id().unwrap())?);
/// # Ok::<(), shelflife::Error>(())
/// ```
#[derive(Debug)]
pub struct MemorySessionStore {
    pub(super) engine: Engine<Memory>,
}

impl MemorySessionStore {
    /// A store without sessions and with the default [`SessionOptions`](crate::SessionOptions), by which they live until
    /// they are deleted.
    ///
    /// ```
    /// use shelflife::{MemorySessionStore, SessionStore};
    ///
    /// let store = MemorySessionStore::new();
    /// assert!(store.is_thread_safe() && !store.is_multiprocess_safe());
    /// ```
    pub fn new() -> MemorySessionStore {
        MemorySessionStore::with(Rules::default(), || OsDisk.wall_clock())
    }

    pub(super) fn with(
        rules: Rules,
        clock: impl Fn() -> SystemTime + Send + Sync + 'static,
    ) -> MemorySessionStore {
        let records = Memory {
            map: Mutex::default(),
            turn: Mutex::default(),
            writer: Mutex::default(),
            created: clock(),
            clock: Box::new(clock),
        };
        MemorySessionStore {
            engine: Engine::new(records, rules),
        }
    }
}

impl Default for MemorySessionStore {
    fn default() -> MemorySessionStore {
        MemorySessionStore::new()
    }
}

/// Readers wait for `map` alone, which is held for one look or one step; a writer holds `turn` from reading to writing.
pub(super) struct Memory {
    /// Changed by a writer that has the turn; a walk, which has none, drops from it what nobody sees any more.
    map: Mutex<Map>,
    /// Taken before `map`, and never the other way round.
    turn: Mutex<()>,
    /// The thread that has the turn, written by that thread: the closure of its edit may read, but a write in it would
    /// wait for itself.
    writer: Mutex<Option<ThreadId>>,
    clock: Box<dyn Fn() -> SystemTime + Send + Sync>,
    created: SystemTime,
}

#[derive(Default)]
struct Map {
    /// The place of an entry is the write that made it: the order of iteration, and how a later change is noticed.
    records: HashMap<Vec<u8>, Entry>,
    writes: u64,
    /// The write that looks next for what nobody sees any more.
    next_look: u64,
}

impl Map {
    /// Drops what nobody sees any more. The next writer that looks does so after as many writes as records are left, so
    /// that a look costs each of them a step.
    fn drop_ended(&mut self, now: SystemTime) {
        if let Some(dropped) = now.checked_sub(GRACE) {
            self.records.retain(|_, entry| is_live(entry, dropped));
        }
        self.next_look = self.writes + WRITES_MIN + self.records.len() as u64;
    }

    fn apply(&mut self, key: Vec<u8>, edit: Edit) {
        match edit {
            Edit::Keep => {}
            Edit::Put { value, expires, .. } => {
                self.writes += 1;
                let entry = Entry::of_memory(key.clone(), value, expires, self.writes);
                self.records.insert(key, entry);
            }
            Edit::Remove => {
                self.records.remove(&key);
            }
        }
    }
}

fn is_live(entry: &Entry, now: SystemTime) -> bool {
    entry.expires().is_none_or(|expires| now < expires)
}

/// The right to write. Dropped, it forgets the writer before the next one gets its turn.
struct Writing<'a> {
    writer: &'a Mutex<Option<ThreadId>>,
    _turn: MutexGuard<'a, ()>,
}

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        *lock(self.writer) = None;
    }
}

impl Memory {
    fn begin(&self) -> Result<Writing<'_>> {
        let this = Some(thread::current().id());
        if *lock(&self.writer) == this {
            return Err(Error::nested());
        }
        let turn = lock(&self.turn);
        *lock(&self.writer) = this;
        let writing = Writing {
            writer: &self.writer,
            _turn: turn,
        };
        let now = self.now();
        let mut map = lock(&self.map);
        if map.writes >= map.next_look {
            map.drop_ended(now);
        }
        Ok(writing)
    }

    fn live(&self, key: &[u8]) -> Option<Entry> {
        let now = self.now();
        let map = lock(&self.map);
        let entry = map.records.get(key);
        entry.filter(|entry| is_live(entry, now)).cloned()
    }
}

impl Records for Memory {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        Ok(self.live(key).map(|entry| entry.into_pair().1))
    }

    fn peek(&self, key: &[u8]) -> Result<Option<Entry>> {
        Ok(lock(&self.map).records.get(key).cloned())
    }

    fn edit(&self, key: &[u8], change: &mut MakeEdit<'_>) -> Result<()> {
        let _writing = self.begin()?;
        let old = self.live(key);
        let edit = change(old.as_ref().map(Entry::as_old))?;
        lock(&self.map).apply(key.to_vec(), edit);
        Ok(())
    }

    fn change_in_steps(&self, next: &mut NextEdits<'_>) -> Result<()> {
        let _writing = self.begin()?;
        while let Some(edits) = next()? {
            // Held for all of them: no reader sees half of a step.
            let mut map = lock(&self.map);
            for (key, edit) in edits {
                map.apply(key, edit);
            }
        }
        Ok(())
    }

    fn walk(&self) -> Walk {
        let now = self.now();
        let mut map = lock(&self.map);
        map.drop_ended(now);
        let mut entries: Vec<Entry> = map.records.values().cloned().collect();
        drop(map);
        sort_by_number(&mut entries, |entry| entry.offset);
        Box::new(entries.into_iter().map(Ok))
    }

    fn remove_unchanged(&self, entries: &[Entry]) -> Result<usize> {
        let _writing = self.begin()?;
        let mut map = lock(&self.map);
        let before = map.records.len();
        for seen in entries {
            let now = map.records.get(seen.key());
            if now.is_some_and(|now| now.offset == seen.offset) {
                map.records.remove(seen.key());
            }
        }
        Ok(before - map.records.len())
    }

    fn clear(&self) -> Result<()> {
        let _writing = self.begin()?;
        lock(&self.map).records.clear();
        Ok(())
    }

    fn now(&self) -> SystemTime {
        (self.clock)().max(self.created)
    }

    fn is_clock_wrong(&self) -> bool {
        (self.clock)() < self.created
    }

    fn random(&self, bytes: &mut [u8]) -> Result<()> {
        random(bytes)
    }

    fn path(&self) -> Option<&Path> {
        None
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory")
            .field("len", &lock(&self.map).records.len())
            .finish_non_exhaustive()
    }
}

/// A panic in somebody's closure leaves nothing half done here, so a poisoned lock is as good as any.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
