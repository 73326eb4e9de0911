//! `ShelveSessionStore`: sessions in one file.

mod convert;

use super::engine::{Engine, Rules};
use super::memory::MemorySessionStore;
use super::records::Records;
use super::{
    Existing, Saved, Session, SessionCap, SessionHandle, SessionId, SessionStore, Sessions,
};
use crate::error::Result;
use crate::store::Store;
use crate::store::entry::Entry;
use std::path::Path;
use std::time::{Duration, SystemTime};

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
/// on how many there are. If a list is damaged, they read all sessions; so they do after a [salvage](Store::salvage) that
/// lost anything, until the store is opened again or swept, which makes the lists anew.
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
    /// # Errors
    ///
    /// `InvalidInput` if the store keeps ids in another way than the rules say.
    pub(super) fn with(store: Store, rules: Rules) -> Result<ShelveSessionStore> {
        let engine = Engine::new(store, rules);
        if engine.stored_kind()?.is_some() {
            // Where it can't be done now, all sessions are read for the time being.
            let _ = engine.relist_all();
        }
        Ok(ShelveSessionStore { engine })
    }

    /// Opens the sessions in this file with the default [`SessionOptions`](crate::SessionOptions), by which they live
    /// until they are deleted, and creates it if there is none.
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
        ShelveSessionStore::with(Store::open(path)?, Rules::default())
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
    /// [`hash_ids`](crate::SessionOptions::hash_ids), and every visitor stays logged in. Returns how many there were.
    ///
    /// A new file with the hashes takes the place of the one with the ids, all at once: also after a crash there is
    /// either the old file or one in which no id is left. Evidence that earlier repairs kept is removed, since it may
    /// hold ids; backups, and the damaged file that a salvage in place kept, are yours to remove. There is no way back.
    /// A handle that was opened to keep ids as they are is refused from now on, in every process. Nobody writes
    /// meanwhile: a million sessions take a few seconds, and a memory of some 100 bytes a session of a user.
    ///
    /// # Errors
    ///
    /// Those of [`Store::compact`], and [`ErrorKind::Corrupt`](crate::ErrorKind::Corrupt) if an entry is damaged: the
    /// store is as it was.
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
        convert::hash_ids(&self.engine.records)
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
        let mut version = 0;
        for event in self.store().history(self.engine.key_of(session)?)? {
            match event.map(|event| event.entry().map(|entry| self.session_in(entry))) {
                Ok(Some(Ok(Some(was)))) => version = version.max(was.version()),
                Err(error) if !error.is_of_one_record() => return Err(error),
                _ => {}
            }
        }
        self.engine.put_back(session, version)
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

/// With the default [`SessionOptions`](crate::SessionOptions), but that ids are kept as the store keeps them already:
/// so a tool can look after a store of either kind.
impl From<Store> for ShelveSessionStore {
    fn from(store: Store) -> ShelveSessionStore {
        let rules = Rules {
            kind: None,
            ..Rules::default()
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
                let deleted = self.engine.delete_handles(&|its| its == handle)?;
                Ok(deleted.len())
            }

            fn delete_by_handles(
                &self,
                is_meant: &dyn Fn(SessionHandle) -> bool,
            ) -> Result<Vec<SessionHandle>> {
                self.engine.delete_handles(is_meant)
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
