//! Changes that are stored at once, and the end of a visit.

use super::super::finished::{Finished, Lost, Outcome};
use super::super::watch::SessionWatch;
use super::settle::{CONFLICTS_MAX, Edited};
use super::{State, Visit};
use crate::error::Result;
use crate::session::{Saved, Session, SessionId};
use std::mem;

impl Visit {
    /// Changes the session where it is stored, at once: nobody comes between, so nothing is lost, neither this change
    /// nor anybody else's. Earlier changes of this request are stored along with it. `change` may run more than once.
    ///
    /// On a session that ended meanwhile `change` runs on the copy, and [`finish`](Visit::finish) tells that it is
    /// [lost](Finished::is_lost). So it does where `change` logs a user in who has as many sessions as
    /// [`session_cap`](crate::ManagerOptions::session_cap) allows; nobody is logged in then.
    ///
    /// # Errors
    ///
    /// The error of `change`, in which case nothing is stored; those of
    /// [`edit_session`](crate::SessionStore::edit_session);
    /// [`ErrorKind::TooLarge`](crate::ErrorKind::TooLarge) beyond
    /// [`session_bytes_max`](crate::ManagerOptions::session_bytes_max).
    ///
    /// ```
    /// # use shelflife::{ManagerOptions, MemorySessionStore};
    /// # let manager = ManagerOptions::new().manage(MemorySessionStore::new())?;
    /// # let mut visit = manager.begin([""]);
    /// let votes = visit.update(|session| {
    ///     let votes = session.get::<u64>("votes")?.unwrap_or(0) + 1;
    ///     session.insert("votes", &votes)?;
    ///     Ok(votes)
    /// })?;
    /// assert_eq!(votes, 1);
    /// # Ok::<(), shelflife::Error>(())
    /// ```
    pub fn update<T>(&mut self, mut change: impl FnMut(&mut Session) -> Result<T>) -> Result<T> {
        self.look()?;
        if self.is_renewal_due() {
            self.settle()?;
        }
        let Some(id) = self.live_id() else {
            // Of a change that fails nothing may be stored later either.
            let mut changed = self.session.clone();
            let value = change(&mut changed)?;
            let before = mem::replace(&mut self.session, changed);
            let settled = self.settle();
            if settled.is_err() {
                self.session = before;
            }
            return settled.map(|_| value);
        };
        match self.edit(&id, &mut change)? {
            Edited::Done(value) => Ok(value),
            Edited::Gone => {
                let why = self.why_gone(&id)?;
                self.change_lost(&mut change, why)
            }
            Edited::Foreign => self.change_lost(&mut change, Lost::Superseded),
            Edited::Login => self.update_anew(&id, &mut change),
        }
    }

    /// A change that logs somebody in or out is stored under a new id, as a login is: an attacker who knew the old one
    /// must not be logged in as well, and a user may have no session too many.
    fn update_anew<T>(
        &mut self,
        id: &SessionId,
        change: &mut impl FnMut(&mut Session) -> Result<T>,
    ) -> Result<T> {
        for _ in 0..CONFLICTS_MAX {
            let Some(current) = self.manager.store().load_session(id)? else {
                let why = self.why_gone(id)?;
                return self.change_lost(change, why);
            };
            let Some(mut merged) = self.session.rebase(current) else {
                return self.change_lost(change, Lost::Superseded);
            };
            let before = merged.clone();
            let value = change(&mut merged)?;
            merged.stay(&before);
            let copy = mem::replace(&mut self.session, merged);
            match self.renew_at_once(id) {
                Ok(Saved::Stored) => return Ok(value),
                Ok(Saved::Empty) => {
                    self.end_of(id.handle());
                    return Ok(value);
                }
                Ok(Saved::Full) => {
                    // Nobody is logged in, neither in the store nor for the rest of this request.
                    self.session = copy;
                    self.lose(Lost::Refused);
                    return Ok(value);
                }
                // It is changed anew, on what others stored meanwhile.
                Ok(_) => self.session = copy,
                Err(error) => {
                    self.session = copy;
                    return Err(error);
                }
            }
        }
        self.change_lost(change, Lost::Conflict)
    }

    /// Runs a change on a copy that can't be stored any more.
    fn change_lost<T>(
        &mut self,
        change: &mut impl FnMut(&mut Session) -> Result<T>,
        why: Lost,
    ) -> Result<T> {
        // A login may still store what is in the copy, so a change that fails leaves nothing there.
        let mut copy = self.session.clone();
        let value = change(&mut copy)?;
        self.session = copy;
        self.lose(why);
        Ok(value)
    }

    /// Stores at once what was changed, and [`finish`](Visit::finish) then only what is changed after it.
    ///
    /// # Errors
    ///
    /// As [`finish`](Visit::finish).
    pub fn save(&mut self) -> Result<Outcome> {
        self.look()?;
        self.settle()
    }

    /// Something that tells when the visitor's session has ended, for a connection that outlives this request; `None`
    /// without a session. A login or renewal that waits to be stored is stored by this call.
    ///
    /// # Errors
    ///
    /// As [`save`](Visit::save).
    pub fn watch(&mut self) -> Result<Option<SessionWatch>> {
        self.look()?;
        if self.state != State::Live || self.is_renewal_due() {
            self.settle()?;
        }
        Ok(self.live_id().map(|id| SessionWatch {
            manager: self.manager.clone(),
            id,
        }))
    }

    /// Whether [`finish`](Visit::finish) may read or write the store, and so take as long as a write does. An
    /// asynchronous server then calls it where it may block.
    pub fn needs_io(&self) -> bool {
        match self.state {
            State::Unread => !self.candidates.ids.is_empty() && !self.quiet,
            State::New | State::Ended => self.session.has_info(),
            // An update does not note where the request came from.
            State::Live => {
                let notes = !self.is_stored() || self.client.is_some();
                self.is_changed() || !self.quiet && notes
            }
            State::Superseded | State::Lost(_) => false,
        }
    }

    /// Stores what was changed, notes that the session was used, and tells which headers to send.
    ///
    /// Call it when the head of the response is built, before its first byte goes out: also for a stream, an upgrade,
    /// or a response without a body. For a status of 500 or more drop the visit instead. The visit is consumed, so
    /// that nothing can be changed too late:
    ///
    /// ```compile_fail,E0382
    /// # use shelflife::{ManagerOptions, MemorySessionStore};
    /// # let manager = ManagerOptions::new().manage(MemorySessionStore::new()).unwrap();
    /// let mut visit = manager.begin([""]);
    /// let done = visit.finish();
    /// visit.session(); // borrow of moved value
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`save_session`](crate::SessionStore::save_session);
    /// [`ErrorKind::TooLarge`](crate::ErrorKind::TooLarge) if a new or changed session is beyond
    /// [`session_bytes_max`](crate::ManagerOptions::session_bytes_max). A request that did not look at its session gets
    /// none of these errors.
    pub fn finish(mut self) -> Result<Finished> {
        let outcome = match self.state {
            State::Unread => self.touch(),
            _ => self.settle()?,
        };
        Ok(self.finished(outcome))
    }
}
