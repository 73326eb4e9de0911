//! The options of session stores: each way to open one stands above the stores that it opens.

use super::engine::Rules;
use super::lifetime::millis_of;
use super::memory::MemorySessionStore;
use super::record_key::Kind;
use super::shelve::ShelveSessionStore;
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
    rules: Rules,
}

impl SessionOptions {
    /// Sessions that live until they are deleted, an access resolution of 60 seconds, ids as they are.
    ///
    /// ```
    /// let store = shelflife::SessionOptions::new().in_memory();
    /// ```
    pub fn new() -> SessionOptions {
        SessionOptions {
            rules: Rules::default(),
        }
    }

    /// A session ends when it was not [used](crate::Session::accessed) for this long.
    ///
    /// Enforced when it is read, not when something sweeps. Default: sessions do not end of idleness.
    pub fn idle_lifetime(&mut self, lifetime: Duration) -> &mut SessionOptions {
        self.rules.lifetimes.idle = Some(millis_of(lifetime));
        self
    }

    /// A session ends this long after it was [created](crate::Session::created), however much it is used.
    ///
    /// It bounds how long a stolen id is good for. Default: sessions do not end of age.
    pub fn absolute_lifetime(&mut self, lifetime: Duration) -> &mut SessionOptions {
        self.rules.lifetimes.absolute = Some(millis_of(lifetime));
        self
    }

    /// How exact the time of the last access is: a touch this soon after it writes nothing.
    ///
    /// Default: 60 seconds. Never more than a tenth of the idle lifetime, so that a session in use does not end
    /// early by more than that.
    pub fn access_resolution(&mut self, resolution: Duration) -> &mut SessionOptions {
        self.rules.resolution = millis_of(resolution);
        self
    }

    /// Whether the file holds the SHA-256 of each id in place of the id, so that a stolen file or
    /// backup holds no live session, and the time of a lookup tells nothing of what is stored. (The first 3 of the 22
    /// letters stand beside it: the other 110 bits stay secret.)
    ///
    /// [Listed](crate::SessionStore::iter_sessions) sessions then have a [handle](crate::Session::handle) but no id.
    /// Default: false. A store keeps all ids the way that its first session was stored; to open it the other way is
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput).
    /// [`ShelveSessionStore::hash_ids`](crate::ShelveSessionStore::hash_ids) and `shelflife session hash` hash those of a
    /// store that has them as they are.
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
        self.rules.kind = Some(match hash {
            true => Kind::Hashed,
            false => Kind::Plain,
        });
        self
    }

    /// How many bytes a session may take when it is stored; a larger one is
    /// [`ErrorKind::TooLarge`](crate::ErrorKind::TooLarge), and the stored one stays. Default: as much as fits into a
    /// record, about 128 MiB.
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
        self.rules.session_bytes_max = bytes;
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
        ShelveSessionStore::with(store, self.rules)
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

    /// Keeps sessions in memory, where time is what `clock` returns, or when the store was made if that is later.
    pub fn in_memory_with_clock(
        &self,
        clock: impl Fn() -> SystemTime + Send + Sync + 'static,
    ) -> MemorySessionStore {
        MemorySessionStore::with(self.rules, clock)
    }

    pub(super) fn rules(&self) -> Rules {
        self.rules
    }
}

impl Default for SessionOptions {
    fn default() -> SessionOptions {
        SessionOptions::new()
    }
}
