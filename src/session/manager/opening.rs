//! How a manager is opened, and how a request begins: it stands above all that these begin with.

use super::SessionManager;
use super::event::Event;
use super::options::ManagerOptions;
use super::visit::Visit;
use crate::error::Result;
use std::path::Path;

impl SessionManager {
    /// Opens the sessions in this file, and creates it if there is none, with defaults that are safe without reading
    /// on:
    ///
    /// - The file holds the SHA-256 of each id and not the id, so a thief of the file, or of a backup, has no session.
    /// - A session ends when it was not used for 14 days, one without a user after an hour.
    /// - The cookie is that of [`ManagerOptions`]; their [`open`](ManagerOptions::open) keeps the rest of this where they
    ///   change it.
    /// - Each change survives a power cut when the request is answered.
    ///
    /// Others are chosen by [`SessionOptions`](crate::SessionOptions) for the store and [`ManagerOptions`] for the
    /// rest. `SessionOptions` begin with plain ids and without an end, so repeat what should stay as above:
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let path = dir.path().join("sessions.shelf");
    /// use shelflife::{ManagerOptions, SessionOptions};
    /// use std::time::Duration;
    ///
    /// let store = SessionOptions::new()
    ///     .hash_ids(true)
    ///     .idle_lifetime(Duration::from_secs(30 * 60))
    ///     .open(&path)?;
    /// let sessions = ManagerOptions::new().cookie_name("shop").manage(store)?;
    /// # Ok::<(), shelflife::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`SessionOptions::open`](crate::SessionOptions::open).
    pub fn open(path: impl AsRef<Path>) -> Result<SessionManager> {
        ManagerOptions::new().open(path)
    }

    /// Begins a request, with the values of its `Cookie` fields (all of them: HTTP/2 sends several). It reads nothing
    /// from the store and cannot fail: anything in them that is no id of ours is passed over.
    ///
    /// ```
    /// # use shelflife::{ManagerOptions, MemorySessionStore};
    /// # let manager = ManagerOptions::new().manage(MemorySessionStore::new())?;
    /// let mut visit = manager.begin([b"theme=dark; __Host-id=\xFF".as_slice()]);
    /// assert_eq!(visit.user()?, None);
    /// # Ok::<(), shelflife::Error>(())
    /// ```
    pub fn begin<C: AsRef<[u8]>>(&self, cookie_fields: impl IntoIterator<Item = C>) -> Visit {
        let candidates = self.0.carrier.read(cookie_fields);
        if candidates.malformed {
            self.tell(&Event::Malformed);
        }
        Visit::new(self.clone(), candidates)
    }
}
