//! The content of a page "your devices": the sessions that a user is logged in with.

use super::super::flash::cut;
use super::Visit;
use super::settle::TEXT_BYTES_MAX;
use crate::error::Result;
use crate::session::{Session, SessionHandle};
use std::time::SystemTime;

/// One session of a user, by [`Visit::devices`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Device {
    /// Names the session, for [`Visit::logout_device`]. It gives nobody the session.
    pub session: SessionHandle,
    /// The browser's description of itself, as [`Visit::set_client`] noted it. Anybody can say anything: escape it.
    pub agent: String,
    /// Where the login came from.
    pub first_address: Option<String>,
    /// Where the last request came from.
    pub last_address: Option<String>,
    /// The name that the user gave it.
    pub label: Option<String>,
    /// When the session was made, or its user last logged in.
    pub created: Option<SystemTime>,
    /// When it was last used, as exact as the store's
    /// [access resolution](crate::SessionOptions::access_resolution).
    pub accessed: Option<SystemTime>,
    /// Whether it is the one that asks.
    pub is_this: bool,
}

impl Visit {
    /// The sessions that the user is logged in with, most recently used first; empty if nobody is logged in.
    ///
    /// # Errors
    ///
    /// As [`session`](Visit::session), and those of [`sessions_of`](crate::SessionStore::sessions_of).
    ///
    /// ```
    /// # use shelflife::{ManagerOptions, MemorySessionStore};
    /// # let manager = ManagerOptions::new().manage(MemorySessionStore::new())?;
    /// # let mut visit = manager.begin([""]);
    /// visit.set_client("10.0.0.7", "Firefox");
    /// visit.login("ann")?;
    /// let devices = visit.devices()?;
    /// assert!(devices[0].is_this && devices[0].agent == "Firefox");
    /// # Ok::<(), shelflife::Error>(())
    /// ```
    pub fn devices(&mut self) -> Result<Vec<Device>> {
        let Some((user, this)) = self.stored_login()? else {
            return Ok(Vec::new());
        };
        let sessions = self.manager.store().sessions_of(&user)?;
        // The least recently used one comes first there.
        let sessions = sessions.iter().rev();
        let devices = sessions.filter_map(|session| Some(device(session, session.handle()?, this)));
        Ok(devices.collect())
    }

    /// Sets the name that the user gives this device, or removes it. Nothing happens if nobody is logged in.
    ///
    /// # Errors
    ///
    /// As [`session`](Visit::session).
    pub fn set_device_label(&mut self, label: Option<&str>) -> Result<()> {
        let session = self.session()?;
        if session.user().is_some() {
            session.set_label(label.map(|label| cut(label, TEXT_BYTES_MAX)));
        }
        Ok(())
    }
}

fn device(session: &Session, handle: SessionHandle, this: SessionHandle) -> Device {
    Device {
        session: handle,
        agent: session.agent().unwrap_or_default().to_string(),
        first_address: session.first_address().map(String::from),
        last_address: session.remote_address().map(String::from),
        label: session.label().map(String::from),
        created: session.created(),
        accessed: session.accessed(),
        is_this: handle == this,
    }
}
