//! The handle of a session whose key is known: it stands above the layout of keys, which stands above the names.

use super::super::record_key::identity_of;
use super::SessionHandle;

impl SessionHandle {
    /// The handle of the session that stands under a key of a [`Store`](crate::Store), if one does. Tools show it in
    /// place of the key, which may hold the id.
    ///
    /// ```
    /// use shelflife::{Session, SessionHandle, SessionStore, ShelveSessionStore};
    ///
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let store = ShelveSessionStore::open(dir.path().join("s.shelf"))?;
    /// let mut session = Session::new();
    /// session.set_user(Some("ann"));
    /// let _ = store.save_session(&mut session)?;
    /// let keys = store.store().iter().map(|entry| entry.map(|(key, _)| SessionHandle::of_key(&key)));
    /// let handles: Vec<_> = keys.collect::<shelflife::Result<_>>()?;
    /// assert!(handles.contains(&session.handle()));
    /// assert_eq!(SessionHandle::of_key(b"cart:17"), None);
    /// # Ok::<(), shelflife::Error>(())
    /// ```
    pub fn of_key(key: &[u8]) -> Option<SessionHandle> {
        identity_of(key).map(|identity| identity.handle())
    }
}
