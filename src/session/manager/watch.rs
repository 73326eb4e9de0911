//! The end of a session, told to a connection that outlives its request.

use super::SessionManager;
use crate::error::Result;
use crate::session::SessionId;
use crate::store::disk::{Disk, os::OsDisk};
use std::fmt;
use std::time::Duration;

/// How late the end of a session in another process is noticed.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Tells when a session has ended, by [`Visit::watch`](crate::manager::Visit::watch): for a WebSocket, a stream of
/// events or anything else that outlives its request and must not outlive the login.
///
/// A session that got a new id has ended under the old one: close the connection, the browser comes back with the new
/// cookie. A connection is no use of the session: if it is to keep it alive, call
/// [`touch_session`](crate::SessionStore::touch_session) when the visitor does something.
pub struct SessionWatch {
    pub(super) manager: SessionManager,
    pub(super) id: SessionId,
}

impl SessionWatch {
    /// Whether the session still lives. One look at the store, which takes no lock: about a microsecond.
    ///
    /// In an asynchronous server ask this once in a while, in place of [`wait`](SessionWatch::wait), which blocks.
    ///
    /// # Errors
    ///
    /// Those of [`has_session`](crate::SessionStore::has_session).
    pub fn is_live(&self) -> Result<bool> {
        self.manager.store().has_session(&self.id)
    }

    /// Waits for the end of the session, at most this long: `true` if it has ended.
    ///
    /// An end by this manager is told at once; one in another process, or by age, is noticed within a second, since the
    /// store is looked at once a second. With each end or new id of any session every waiting thread looks once.
    ///
    /// # Errors
    ///
    /// As [`is_live`](SessionWatch::is_live).
    ///
    /// ```
    /// # use shelflife::{ManagerOptions, MemorySessionStore};
    /// # use std::time::Duration;
    /// let manager = ManagerOptions::new().manage(MemorySessionStore::new())?;
    /// let mut visit = manager.begin([""]);
    /// visit.login("ann")?;
    /// let watch = visit.watch()?.expect("ann is logged in");
    /// let socket = std::thread::spawn(move || watch.wait(Duration::from_secs(600)));
    /// visit.logout()?;
    /// assert!(socket.join().unwrap()?);
    /// # Ok::<(), shelflife::Error>(())
    /// ```
    pub fn wait(&self, timeout: Duration) -> Result<bool> {
        let start = OsDisk.monotonic();
        loop {
            let heard = self.manager.0.bell.rings();
            if !self.is_live()? {
                return Ok(true);
            }
            let waited = OsDisk.monotonic().saturating_sub(start);
            match timeout.checked_sub(waited) {
                Some(left) if !left.is_zero() => {
                    self.manager.0.bell.wait(heard, left.min(LOOK_EVERY));
                }
                _ => return Ok(false),
            }
        }
    }
}

impl fmt::Debug for SessionWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionWatch")
            .field("session", &self.id.handle())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::super::{ManagerOptions, SessionManager, Visit};
    use crate::error::Result;
    use crate::session::{MemorySessionStore, Session, SessionCap};

    fn log_in(manager: &SessionManager) -> String {
        let mut visit = manager.begin([""]);
        visit.login("ann").unwrap();
        let done = visit.finish().unwrap();
        let (_, cookie) = done.headers().next().unwrap();
        cookie.split(';').next().unwrap().to_string()
    }

    fn empty(session: &mut Session) -> Result<()> {
        session.set_user(None);
        session.clear();
        Ok(())
    }

    /// A thread that waits would find each end within a second all the same.
    #[test]
    fn each_end_and_each_new_id_rings() {
        type Deed = fn(&mut Visit);
        let deeds: [(&str, Deed); 9] = [
            ("a logout", |visit| assert!(visit.logout().unwrap())),
            ("everywhere", |visit| {
                assert_eq!(visit.logout_everywhere().unwrap(), 2);
            }),
            ("everywhere, by one that had ended", |visit| {
                let id = visit.session().unwrap().id().unwrap().clone();
                assert!(visit.manager().store().delete_session(&id).unwrap());
                assert_eq!(visit.logout_everywhere().unwrap(), 1);
            }),
            ("elsewhere", |visit| {
                assert_eq!(visit.logout_elsewhere().unwrap(), 1);
            }),
            ("another device", |visit| {
                let devices = visit.devices().unwrap();
                let other = devices.iter().find(|device| !device.is_this).unwrap();
                assert!(visit.logout_device(other.session).unwrap());
            }),
            ("a new id", |visit| {
                visit.renew().unwrap();
                let _ = visit.save().unwrap();
            }),
            ("emptied", |visit| {
                empty(visit.session().unwrap()).unwrap();
                let _ = visit.save().unwrap();
            }),
            ("emptied by an update", |visit| {
                visit.update(empty).unwrap();
            }),
            ("a login beyond the cap", |visit| {
                log_in(visit.manager());
            }),
        ];
        for (name, deed) in deeds {
            let manager = ManagerOptions::new()
                .session_cap(Some(SessionCap::EndOldest(2)))
                .manage(MemorySessionStore::new())
                .unwrap();
            let [here, _] = [(); 2].map(|()| log_in(&manager));
            let mut visit = manager.begin([here]);
            assert_eq!(visit.user().unwrap(), Some("ann"));
            let rings = manager.0.bell.rings();
            deed(&mut visit);
            assert!(manager.0.bell.rings() > rings, "{name}");
        }
    }
}
