//! `ShelveSessionStore`: sessions in one file; and the options of session stores.

use super::engine::{Engine, Rules};
use super::lifetime::{Lifetimes, millis_of};
use super::memory::MemorySessionStore;
use super::records::Records;
use super::{Existing, Saved, Session, SessionHandle, SessionId, SessionStore, Sessions};
use crate::error::Result;
use crate::store::Store;
use crate::store::disk::{Disk, os::OsDisk};
use std::path::Path;
use std::time::{Duration, SystemTime};

/// How sessions live and how their ids are kept. Setters return the options, as those of
/// [`OpenOptions`](std::fs::OpenOptions) do.
///
/// Give all processes that share a file the same options.
///
/// ```
/// # let dir = tempfile::tempdir().unwrap();
/// # let path = dir.path().join("sessions.shelf");
/// use shelflife::SessionOptions;
/// use std::time::Duration;
///
/// let store = SessionOptions::new()
///     .idle_lifetime(Duration::from_secs(30 * 60))
///     .absolute_lifetime(Duration::from_secs(12 * 60 * 60))
///     .hash_ids(true)
///     .open(&path)?;
/// # Ok::<(), shelflife::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct SessionOptions {
    idle_lifetime: Option<Duration>,
    absolute_lifetime: Option<Duration>,
    access_resolution: Duration,
    hash_ids: bool,
}

impl SessionOptions {
    /// Sessions that live until they are deleted, an access resolution of 60 seconds, ids as they are.
    ///
    /// ```
    /// let store = shelflife::SessionOptions::new().in_memory();
    /// ```
    pub fn new() -> SessionOptions {
        SessionOptions {
            idle_lifetime: None,
            absolute_lifetime: None,
            access_resolution: Duration::from_secs(60),
            hash_ids: false,
        }
    }

    /// A session ends when it was not [used](Session::accessed) for this long.
    ///
    /// Enforced when it is read, not when something sweeps. Default: sessions do not end of idleness.
    pub fn idle_lifetime(&mut self, lifetime: Duration) -> &mut SessionOptions {
        self.idle_lifetime = Some(lifetime);
        self
    }

    /// A session ends this long after it was [created](Session::created), however much it is used.
    ///
    /// It bounds how long a stolen id is good for. Default: sessions do not end of age.
    pub fn absolute_lifetime(&mut self, lifetime: Duration) -> &mut SessionOptions {
        self.absolute_lifetime = Some(lifetime);
        self
    }

    /// How exact the time of the last access is: a touch this soon after it writes nothing.
    ///
    /// Default: 60 seconds. Never more than a tenth of the idle lifetime, so that a session in use does not end
    /// early by more than that.
    pub fn access_resolution(&mut self, resolution: Duration) -> &mut SessionOptions {
        self.access_resolution = resolution;
        self
    }

    /// Whether the file holds the SHA-256 of each id in place of the id, so that who gets hold of the file, or of a
    /// backup, gets no live session, and the time of a lookup tells nothing of what is stored.
    ///
    /// [Listed](SessionStore::iter_sessions) sessions then have a [handle](Session::handle) but no id. Default:
    /// false. To change it on a store that has sessions ends them all: they are still listed, counted and deleted
    /// as old, but not found by their ids.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let path = dir.path().join("sessions.shelf");
    /// use shelflife::{Session, SessionOptions, SessionStore};
    ///
    /// let store = SessionOptions::new().hash_ids(true).open(&path)?;
    /// let mut session = Session::new();
    /// session.set_user(Some("ann"));
    /// let _ = store.save_session(&mut session)?;
    ///
    /// let listed = store.iter_sessions().next().unwrap()?;
    /// assert_eq!((listed.id(), listed.handle()), (None, session.handle()));
    /// # Ok::<(), shelflife::Error>(())
    /// ```
    pub fn hash_ids(&mut self, hash: bool) -> &mut SessionOptions {
        self.hash_ids = hash;
        self
    }

    /// Opens the sessions in this file, and creates it if there is none.
    ///
    /// # Errors
    ///
    /// As [`Options::open`](crate::Options::open).
    pub fn open(&self, path: impl AsRef<Path>) -> Result<ShelveSessionStore> {
        self.with_store(Store::open(path)?)
    }

    /// Keeps sessions in a store that was opened with [`Options`](crate::Options).
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) if the store holds sessions whose ids are kept in the
    /// [other way](SessionOptions::hash_ids).
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let path = dir.path().join("sessions.shelf");
    /// use shelflife::{Durability, Options, SessionOptions};
    ///
    /// let store = Options::new().durability(Durability::Os).open(&path)?;
    /// let store = SessionOptions::new().with_store(store)?;
    /// # Ok::<(), shelflife::Error>(())
    /// ```
    pub fn with_store(&self, store: Store) -> Result<ShelveSessionStore> {
        Ok(self.on(store))
    }

    fn on(&self, store: Store) -> ShelveSessionStore {
        let engine = Engine {
            records: store,
            rules: self.rules(),
        };
        ShelveSessionStore { engine }
    }

    /// Keeps sessions in memory.
    ///
    /// ```
    /// use shelflife::SessionOptions;
    /// use std::time::Duration;
    ///
    /// let store = SessionOptions::new().idle_lifetime(Duration::from_secs(60)).in_memory();
    /// ```
    pub fn in_memory(&self) -> MemorySessionStore {
        self.in_memory_with_clock(|| OsDisk.wall_clock())
    }

    /// Keeps sessions in memory, where time is what `clock` returns. Should it go back, the store's time stands still
    /// meanwhile.
    pub fn in_memory_with_clock(
        &self,
        clock: impl Fn() -> SystemTime + Send + Sync + 'static,
    ) -> MemorySessionStore {
        MemorySessionStore::with(self.rules(), clock)
    }

    fn rules(&self) -> Rules {
        let lifetimes = Lifetimes {
            idle: self.idle_lifetime.map(millis_of),
            absolute: self.absolute_lifetime.map(millis_of),
        };
        Rules {
            lifetimes,
            resolution: millis_of(self.access_resolution),
            hash_ids: self.hash_ids,
        }
    }
}

impl Default for SessionOptions {
    fn default() -> SessionOptions {
        SessionOptions::new()
    }
}

/// Sessions in one file, shared by threads and processes.
///
/// The name is that of its ancestor in Python, which kept pickled sessions in a shelf. Here they are
/// CBOR maps in a [`Store`] under their ids, and everything that the [`SessionStore`] contract says holds across
/// processes too. A session takes about 200 bytes on disk and 17 in memory, whatever is in it comes on top on disk.
///
/// Expired sessions are absent for every reader and leave the file when it is compacted. Entries under keys that
/// are not session ids are left alone, except by [`Existing::Overwrite`].
///
/// ```
/// # let dir = tempfile::tempdir().unwrap();
/// # let path = dir.path().join("sessions.shelf");
/// use shelflife::{Saved, Session, SessionStore, ShelveSessionStore};
///
/// let store = ShelveSessionStore::open(&path)?;
/// let mut session = Session::new();
/// session.set_user(Some("ann"));
/// assert!(matches!(store.save_session(&mut session)?, Saved::Stored));
/// drop(store);
///
/// let store = ShelveSessionStore::open(&path)?; // after a restart, or in another process
/// let found = store.load_session(session.id().unwrap())?.unwrap();
/// assert_eq!(found.user(), Some("ann"));
/// # Ok::<(), shelflife::Error>(())
/// ```
#[derive(Debug)]
pub struct ShelveSessionStore {
    engine: Engine<Store>,
}

impl ShelveSessionStore {
    /// Opens the sessions in this file with the default [`SessionOptions`], and creates it if there is none.
    ///
    /// # Errors
    ///
    /// As [`Options::open`](crate::Options::open).
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// use shelflife::{SessionStore, ShelveSessionStore};
    ///
    /// let store = ShelveSessionStore::open(dir.path().join("sessions.shelf"))?;
    /// assert!(store.is_thread_safe() && store.is_multiprocess_safe());
    /// # Ok::<(), shelflife::Error>(())
    /// ```
    pub fn open(path: impl AsRef<Path>) -> Result<ShelveSessionStore> {
        SessionOptions::new().open(path)
    }

    /// The store below, for what is not about sessions: statistics, verification, compaction.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let store = shelflife::ShelveSessionStore::open(dir.path().join("sessions.shelf"))?;
    /// store.store().compact()?;
    /// # Ok::<(), shelflife::Error>(())
    /// ```
    pub fn store(&self) -> &Store {
        &self.engine.records
    }

    /// Gives the store back.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let store = shelflife::ShelveSessionStore::open(dir.path().join("sessions.shelf"))?;
    /// assert!(store.into_store().is_empty()?);
    /// # Ok::<(), shelflife::Error>(())
    /// ```
    pub fn into_store(self) -> Store {
        self.engine.records
    }

    /// Closes the file and reports what went wrong last. Dropping the store does the same silently.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let store = shelflife::ShelveSessionStore::open(dir.path().join("sessions.shelf"))?;
    /// store.close()?;
    /// # Ok::<(), shelflife::Error>(())
    /// ```
    pub fn close(self) -> Result<()> {
        self.into_store().close()
    }
}

/// With the default [`SessionOptions`].
impl From<Store> for ShelveSessionStore {
    fn from(store: Store) -> ShelveSessionStore {
        SessionOptions::new().on(store)
    }
}

/// Both stores follow the rules of the engine; this is all in which they differ.
macro_rules! session_store {
    ($Store:ty, multiprocess_safe: $multiprocess_safe:literal) => {
        impl SessionStore for $Store {
            fn load_session(&self, id: &SessionId) -> Result<Option<Session>> {
                self.engine.load(id)
            }

            fn save_session(&self, session: &mut Session) -> Result<Saved> {
                self.engine.save(session)
            }

            fn edit_session(
                &self,
                id: &SessionId,
                edit: &mut dyn FnMut(&mut Session) -> Result<()>,
            ) -> Result<Option<Session>> {
                self.engine.edit(id, edit)
            }

            fn touch_session(&self, id: &SessionId) -> Result<bool> {
                self.engine.touch(id)
            }

            fn regenerate_id(&self, session: &mut Session) -> Result<Saved> {
                self.engine.regenerate(session)
            }

            fn delete_session(&self, id: &SessionId) -> Result<bool> {
                self.engine.delete(id)
            }

            fn was_replaced(&self, id: &SessionId) -> Result<bool> {
                self.engine.was_replaced(id)
            }

            fn has_session(&self, id: &SessionId) -> Result<bool> {
                self.engine.has(id)
            }

            fn iter_sessions(&self) -> Sessions {
                self.engine.iter()
            }

            fn delete_old_sessions(&self, idle: Duration) -> Result<(usize, usize)> {
                self.engine.delete_old(idle)
            }

            fn delete_user_sessions(&self, user: &str) -> Result<usize> {
                self.engine.delete_user(user)
            }

            fn delete_by_handle(&self, handle: SessionHandle) -> Result<usize> {
                self.engine.delete_handle(handle)
            }

            fn now(&self) -> SystemTime {
                self.engine.records.now()
            }

            fn setup(&self, existing: Existing) -> Result<()> {
                self.engine.setup(existing)
            }

            fn is_thread_safe(&self) -> bool {
                true
            }

            fn is_multiprocess_safe(&self) -> bool {
                $multiprocess_safe
            }
        }
    };
}

session_store!(ShelveSessionStore, multiprocess_safe: true);
session_store!(MemorySessionStore, multiprocess_safe: false);
