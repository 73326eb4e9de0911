//! `ShelveSessionStore`: sessions in one file; and the options of session stores.

use super::engine::{Engine, Rules};
use super::lifetime::{Lifetimes, millis_of};
use super::memory::MemorySessionStore;
use super::place::Kind;
use super::records::Records;
use super::{
    Existing, Saved, Session, SessionCap, SessionHandle, SessionId, SessionStore, Sessions,
};
use crate::error::Result;
use crate::store::Store;
use crate::store::disk::{Disk, os::OsDisk};
use crate::store::entry::Entry;
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
    session_bytes_max: usize,
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
            session_bytes_max: usize::MAX,
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
    /// backup, gets no live session, and the time of a lookup tells nothing of what is stored. (The first 3 of the 22
    /// letters stand beside it: the other 110 bits stay secret.)
    ///
    /// [Listed](SessionStore::iter_sessions) sessions then have a [handle](Session::handle) but no id. Default:
    /// false. A store keeps all ids the way that its first session was stored; to open it the other way is
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput).
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

    /// How many bytes a session may take when it is stored; a larger one is
    /// [`ErrorKind::TooLarge`](crate::ErrorKind::TooLarge), and the stored one stays. Default: as much as fits into a record,
    /// about 128 MiB.
    ///
    /// ```
    /// use shelflife::{ErrorKind, Session, SessionOptions, SessionStore};
    ///
    /// let store = SessionOptions::new().session_bytes_max(1000).in_memory();
    /// let mut session = Session::new();
    /// session.insert("text", &"x".repeat(1000))?;
    /// assert_eq!(store.save_session(&mut session).unwrap_err().kind(), ErrorKind::TooLarge);
    /// # Ok::<(), shelflife::Error>(())
    /// ```
    pub fn session_bytes_max(&mut self, bytes: usize) -> &mut SessionOptions {
        self.session_bytes_max = bytes;
        self
    }

    /// Opens the sessions in this file, and creates it if there is none.
    ///
    /// # Errors
    ///
    /// As [`Options::open`](crate::Options::open), and [`with_store`](SessionOptions::with_store).
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
        let engine = Engine::new(store, self.rules());
        engine.kind()?;
        Ok(ShelveSessionStore { engine })
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

    pub(super) fn rules(&self) -> Rules {
        let lifetimes = Lifetimes {
            idle: self.idle_lifetime.map(millis_of),
            absolute: self.absolute_lifetime.map(millis_of),
        };
        Rules {
            lifetimes,
            resolution: millis_of(self.access_resolution),
            kind: Some(match self.hash_ids {
                true => Kind::Hashed,
                false => Kind::Plain,
            }),
            session_bytes_max: self.session_bytes_max,
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
/// CBOR maps in a [`Store`], and everything that the [`SessionStore`] contract says holds across
/// processes too. A session takes about 200 bytes on disk and 17 in memory, whatever is in it comes on top on disk.
///
/// Expired sessions are absent for every reader and leave the file when it is compacted, a day later. Sessions have keys
/// of their own, which no text is: all else in the file is left alone, except by [`Existing::Overwrite`].
///
/// A user's sessions are found by a list that is kept in the same file, 17 bytes of memory for each user more: what
/// [`sessions_of`](SessionStore::sessions_of) and logouts of a user cost depends on how many sessions that user has, not
/// on how many there are. If a list is damaged, they read all sessions.
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

    /// Hashes the ids of all sessions, for good: from now on the store keeps the SHA-256 of each id, as with
    /// [`hash_ids`](SessionOptions::hash_ids), and every visitor stays logged in. Returns how many there were.
    ///
    /// A new file with the hashes takes the place of the one with the ids, all at once: also after a crash there is either
    /// the old file or one in which no id is left. Evidence that earlier repairs kept is removed, since it may hold ids;
    /// backups are yours to remove. There is no way back. A handle that was opened to keep ids as they are is refused from
    /// now on, in every process. Nobody writes meanwhile: a million sessions take a few seconds, and a memory of some
    /// 100 bytes a session of a user.
    ///
    /// # Errors
    ///
    /// Those of [`Store::compact`], and [`ErrorKind::Corrupt`](crate::ErrorKind::Corrupt) if an entry is damaged: the store
    /// is as it was.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let path = dir.path().join("sessions.shelf");
    /// # use shelflife::{Session, SessionOptions, SessionStore, ShelveSessionStore, Store};
    /// # let plain = ShelveSessionStore::open(&path)?;
    /// # let mut session = Session::new();
    /// # session.set_user(Some("ann"));
    /// # let _ = plain.save_session(&mut session)?;
    /// # plain.close()?;
    /// let store = ShelveSessionStore::from(Store::open(&path)?);
    /// assert_eq!(store.hash_ids()?, 1);
    /// drop(store);
    /// let hashed = SessionOptions::new().hash_ids(true).open(&path)?;
    /// assert!(hashed.has_session(session.id().unwrap())?);
    /// # Ok::<(), shelflife::Error>(())
    /// ```
    pub fn hash_ids(&self) -> Result<usize> {
        self.engine.hash_ids()
    }

    /// The session that an entry of the store holds, also an entry of its past; `None` if it holds none.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Decode`](crate::ErrorKind::Decode) if it is no session that this version can read.
    ///
    /// See [`put_back`](ShelveSessionStore::put_back).
    pub fn session_in(&self, entry: &Entry) -> Result<Option<Session>> {
        self.engine.session_in(entry)
    }

    /// Stores a session as it was, in place of what it is by now, or where it was deleted: for an admin who undoes a
    /// mistake. It keeps its times and its end, and gets a new version, so that a request which is at work on it is told
    /// of a conflict. Reads the log once, as [`Store::history`] does.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) for a session that was never stored, or that has
    /// another id since; those of [`Store::write`].
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # use shelflife::{Event, Session, SessionHandle, SessionStore, ShelveSessionStore};
    /// # let store = ShelveSessionStore::open(dir.path().join("sessions.shelf"))?;
    /// # let mut session = Session::new();
    /// # session.set_user(Some("ann"));
    /// # let _ = store.save_session(&mut session)?;
    /// let handle = session.handle();
    /// store.delete_user_sessions("ann")?; // by mistake
    /// let is_meant = |event: &Event| event.key().and_then(SessionHandle::of_key) == handle;
    /// let events = store.store().events()?.collect::<shelflife::Result<Vec<Event>>>()?;
    /// let was = events.iter().rev().filter(|event| is_meant(event)).find_map(Event::entry);
    /// let was = store.session_in(was.expect("the log has it"))?.expect("it is a session");
    /// store.put_back(&was)?;
    /// assert_eq!(store.sessions_of("ann")?.len(), 1);
    /// # Ok::<(), shelflife::Error>(())
    /// ```
    pub fn put_back(&self, session: &Session) -> Result<()> {
        // A request may be at work on what was deleted.
        let history = self.store().history(self.engine.key_of(session)?)?;
        let versions = history.filter_map(|event| {
            let was = self.session_in(event.ok()?.entry()?).ok()??;
            Some(was.version())
        });
        self.engine.put_back(session, versions.max().unwrap_or(0))
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

/// With the default [`SessionOptions`], but that ids are kept as the store keeps them already: so a tool can look after
/// a store of either kind.
impl From<Store> for ShelveSessionStore {
    fn from(store: Store) -> ShelveSessionStore {
        let rules = Rules {
            kind: None,
            ..SessionOptions::new().rules()
        };
        let engine = Engine::new(store, rules);
        ShelveSessionStore { engine }
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
                self.engine.regenerate(session, None)
            }

            fn regenerate_id_capped(
                &self,
                session: &mut Session,
                cap: SessionCap,
            ) -> Result<Saved> {
                self.engine.regenerate(session, Some(cap))
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
                self.engine.delete_user(user, None)
            }

            fn delete_user_sessions_except(
                &self,
                user: &str,
                keep: &SessionHandle,
            ) -> Result<usize> {
                self.engine.delete_user(user, Some(keep))
            }

            fn delete_user_session(&self, user: &str, handle: &SessionHandle) -> Result<bool> {
                self.engine.delete_user_session(user, handle)
            }

            fn sessions_of(&self, user: &str) -> Result<Vec<Session>> {
                self.engine.sessions_of(user)
            }

            fn delete_by_handle(&self, handle: SessionHandle) -> Result<usize> {
                self.engine.delete_handle(handle)
            }

            fn lifetime(&self) -> $crate::Lifetime {
                self.engine.rules.lifetimes.into()
            }

            fn now(&self) -> SystemTime {
                self.engine.records.now()
            }

            fn import_sessions(&self, sessions: &[Session]) -> Result<usize> {
                self.engine.import(sessions)
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
