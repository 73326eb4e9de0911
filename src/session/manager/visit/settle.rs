//! Storing what a visit changed, and what the browser has to be told of it.

use super::super::cookie::max_age;
use super::super::event::Event;
use super::super::finished::{Finished, Lost, Outcome};
use super::super::flash::cut;
use super::{Client, Due, Notice, State, Visit};
use crate::error::{Error, Result};
use crate::session::contents::{Contents, size_bytes};
use crate::session::{Lifetime, Saved, Session, SessionHandle, SessionId};
use std::sync::Arc;
use std::time::Duration;

/// How often a session is given a new id on top of what another request stored meanwhile. A try fails only where another
/// request of the visitor succeeded, so only a storm of requests makes as many fail in a row.
pub(super) const CONFLICTS_MAX: usize = 8;

pub(super) const TEXT_BYTES_MAX: usize = 256;

/// The outcome of an attempt to change the session where it is stored.
pub(super) enum Edited<T> {
    Done(T),
    /// There is no such session any more.
    Gone,
    /// It is another user's now.
    Foreign,
    /// The change logs somebody in or out, which needs a new id first.
    Login,
}

/// Leaves the closure of an edit; never seen outside.
fn abandon() -> Error {
    Error::other("")
}

impl Visit {
    pub(super) fn edit<T>(
        &mut self,
        id: &SessionId,
        change: &mut impl FnMut(&mut Session) -> Result<T>,
    ) -> Result<Edited<T>> {
        let copy = &self.session;
        let bytes_max = self.manager.0.session_bytes_max;
        let mut edited = None;
        let outcome = self.manager.store().edit_session(id, &mut |current| {
            edited = None;
            let Some(mut merged) = copy.rebase(current.clone()) else {
                edited = Some(Edited::Foreign);
                return Err(abandon());
            };
            let value = change(&mut merged)?;
            merged.stay(current);
            if merged.has_other_user() {
                edited = Some(Edited::Login);
                return Err(abandon());
            }
            check_size(&merged, bytes_max)?;
            *current = merged;
            edited = Some(Edited::Done(value));
            Ok(())
        });
        match (outcome, edited) {
            (Err(_), Some(edited @ (Edited::Foreign | Edited::Login))) => Ok(edited),
            (Err(error), _) => Err(error),
            (Ok(Some(stored)), Some(edited)) => {
                // From here on the copy is what was stored.
                self.outcome = Outcome::Stored;
                match stored.id() {
                    Some(_) => self.become_live(stored),
                    None => self.end_of(id.handle()),
                }
                Ok(edited)
            }
            (Ok(_), _) => Ok(Edited::Gone),
        }
    }

    /// Stores what waits to be stored, and answers what became of all that this request changed so far.
    pub(super) fn settle(&mut self) -> Result<Outcome> {
        self.stay();
        let outcome = match self.state {
            State::Unread => Outcome::Nothing,
            State::New | State::Ended => self.create()?,
            State::Live => self.store()?,
            State::Superseded if self.session.is_modified() => self.lose(Lost::Superseded),
            State::Superseded => Outcome::Nothing,
            State::Lost(why) => Outcome::Lost(why),
        };
        if !matches!(outcome, Outcome::Nothing) {
            self.outcome = outcome;
        }
        Ok(self.outcome)
    }

    /// Notes the use of a session that nobody looked at. The page does not need it, so a failure is told to the
    /// operator alone.
    pub(super) fn touch(&self) -> Outcome {
        if self.quiet {
            return Outcome::Nothing;
        }
        for id in &self.candidates.ids {
            match self.manager.store().touch_session(id) {
                Ok(true) => return Outcome::Touched,
                Ok(false) => {}
                Err(error) => {
                    self.manager.tell(&Event::TouchFailed {
                        session: id.handle(),
                        error: &error,
                    });
                    // A store that fails may take long to say so, and the page waits.
                    if !error.is_of_one_record() {
                        return Outcome::Nothing;
                    }
                }
            }
        }
        Outcome::Nothing
    }

    /// Makes a session of what the copy holds, if that is worth keeping.
    fn create(&mut self) -> Result<Outcome> {
        self.prepare();
        if !self.session.has_info() {
            return Ok(Outcome::Nothing);
        }
        check_size(&self.session, self.manager.0.session_bytes_max)?;
        let from = self.candidates.ids.first().map(SessionId::handle);
        match self.store_anew()? {
            Saved::Stored => {
                self.note_new_id(from);
                Ok(Outcome::Stored)
            }
            Saved::Full => Ok(self.refuse_login()),
            _ => Ok(Outcome::Nothing),
        }
    }

    /// Stores the copy under a new id. A login is held to the limit of sessions that a user may have.
    fn store_anew(&mut self) -> Result<Saved> {
        let store = self.manager.store();
        match (
            self.manager.0.session_cap,
            self.session.has_other_user() || self.is_login_due(),
        ) {
            (Some(cap), true) => store.regenerate_id_capped(&mut self.session, cap),
            _ => store.regenerate_id(&mut self.session),
        }
    }

    /// Stores the copy, which a change logged in or out, under a new id.
    pub(super) fn renew_at_once(&mut self, id: &SessionId) -> Result<Saved> {
        self.prepare();
        check_size(&self.session, self.manager.0.session_bytes_max)?;
        let saved = self.store_anew()?;
        if matches!(saved, Saved::Stored) {
            self.note_new_id(Some(id.handle()));
            self.outcome = Outcome::Stored;
        }
        Ok(saved)
    }

    /// The session that the visitor had before, if any, is as it was.
    fn refuse_login(&mut self) -> Outcome {
        self.session = self.stored.clone();
        self.lose(Lost::Refused)
    }

    /// Stores the copy of a live session, on top of what others stored meanwhile.
    fn store(&mut self) -> Result<Outcome> {
        let Some(id) = self.live_id() else {
            return Ok(Outcome::Nothing);
        };
        let mut stored = Outcome::Stored;
        for _ in 0..CONFLICTS_MAX {
            self.prepare();
            if !self.is_changed() {
                return match self.quiet || self.is_stored() {
                    true => Ok(Outcome::Nothing),
                    false => self.note_use(&id),
                };
            }
            check_size(&self.session, self.manager.0.session_bytes_max)?;
            let is_renewal = self.is_renewal_due();
            let saved = match is_renewal {
                true => self.store_anew()?,
                false => self.manager.store().save_session(&mut self.session)?,
            };
            match saved {
                Saved::Stored if is_renewal => {
                    self.note_new_id(Some(id.handle()));
                    return Ok(stored);
                }
                Saved::Stored => {
                    self.stored = self.session.clone();
                    return Ok(stored);
                }
                Saved::Full => return Ok(self.refuse_login()),
                Saved::Empty => {
                    self.end_of(id.handle());
                    return Ok(Outcome::Ended);
                }
                Saved::Gone => return self.gone(&id),
                // A merge changes the session where it is stored and nobody comes between, so it meets no conflict.
                Saved::Conflict(_) if !is_renewal => return self.merge(&id),
                Saved::Conflict(mut current) => {
                    stored = Outcome::Merged;
                    if self.is_login_due() {
                        // An attacker who knows the old id may have made some while this login was at work.
                        current.clear_form_tokens();
                    }
                    match self.session.rebase(*current) {
                        Some(merged) => self.session = merged,
                        None if self.is_login_due() => return self.start_anew(),
                        None => return Ok(self.lose(Lost::Superseded)),
                    }
                }
            }
        }
        Ok(self.lose(Lost::Conflict))
    }

    /// Puts the changes of the copy on top of what is stored.
    fn merge(&mut self, id: &SessionId) -> Result<Outcome> {
        Ok(match self.edit(id, &mut |_| Ok(()))? {
            Edited::Done(()) if self.state == State::Ended => Outcome::Ended,
            Edited::Done(()) => Outcome::Merged,
            Edited::Gone => self.gone(id)?,
            Edited::Foreign | Edited::Login => self.lose(Lost::Superseded),
        })
    }

    /// Saves the unmodified copy, which only notes the use: a request that just reads writes over nobody's changes.
    fn note_use(&mut self, id: &SessionId) -> Result<Outcome> {
        match self.manager.store().save_session(&mut self.session)? {
            Saved::Gone => {
                let why = self.why_gone(id)?;
                Ok(self.lose(why))
            }
            _ => Ok(Outcome::Touched),
        }
    }

    /// The session went while this request worked on its copy.
    fn gone(&mut self, id: &SessionId) -> Result<Outcome> {
        if self.is_login_due() {
            return self.start_anew();
        }
        let why = self.why_gone(id)?;
        Ok(self.lose(why))
    }

    /// A user who proved to be who he is gets a session, with what this request put in and nothing of the one that
    /// went.
    fn start_anew(&mut self) -> Result<Outcome> {
        self.session = made_anew(&self.session);
        (self.state, self.stored, self.came) = (State::New, Session::new(), false);
        self.create()
    }

    /// The changes of this request are not stored, and none that it makes from here on will be.
    pub(super) fn lose(&mut self, why: Lost) -> Outcome {
        let session = self.handle();
        self.manager.tell(&Event::Lost { session, why });
        self.state = State::Lost(why);
        if let Lost::Ended | Lost::Superseded = why {
            // An id that was given earlier in this request leads nowhere any more.
            (self.stored, self.notice, self.came) = (Session::new(), Notice::Nothing, false);
        }
        self.outcome = Outcome::Lost(why);
        self.outcome
    }

    /// The copy is stored under an id that the browser does not know yet, and has to be told.
    fn note_new_id(&mut self, from: Option<SessionHandle>) {
        let user = self.session.user();
        let is_login = self.is_login_due() || user.is_some() && user != self.stored.user();
        let was_live = self.state == State::Live;
        self.stored = self.session.clone();
        self.state = State::Live;
        (self.notice, self.due) = (Notice::Set, Due::Nothing);
        let Some(session) = self.session.handle() else {
            return;
        };
        self.manager.tell(&match from {
            _ if is_login => Event::LoggedIn { session, from },
            Some(from) if was_live => Event::Renewed { session, from },
            _ => Event::Created { session },
        });
        for &session in self.session.displaced() {
            self.tell_end(session);
        }
        if from.is_some() {
            self.manager.ring();
        }
    }

    /// Adds the manager's own part to a session that is going to be stored: a lifetime, and the device. Done twice it
    /// changes nothing more.
    fn prepare(&mut self) {
        if self.session.user().is_none() && self.is_login_due() {
            // The application logged the user out again by hand. It may have asked for a new id besides.
            self.due = Due::Renewal;
        }
        if !self.session.has_info() {
            return;
        }
        let is_new = self.state != State::Live;
        let has_lifetime_of_other_user =
            self.session.has_other_user() && !self.session.lifetime_is_set;
        match (self.due, self.session.user()) {
            (Due::Login(lifetime), _) => self.session.set_lifetime(lifetime),
            // Unless the application gave it one.
            (_, None) if is_new && self.session.lifetime().is_none() => {
                self.session.set_lifetime(self.manager.anonymous_lifetime());
            }
            (_, user) if !is_new && has_lifetime_of_other_user => {
                let lifetime = self.manager.anonymous_lifetime().filter(|_| user.is_none());
                self.session.set_lifetime(lifetime);
            }
            _ => {}
        }
        self.session.forget_device_of_user_before();
        if let (Some(client), false) = (&self.client, self.quiet) {
            let before = (Arc::clone(&self.session.contents), self.session.modified);
            note(&mut self.session, client);
            // A page that only reads must not fail for what is noted beside it.
            if !Arc::ptr_eq(&before.0, &self.session.contents)
                && check_size(&self.session, self.manager.0.session_bytes_max).is_err()
            {
                (self.session.contents, self.session.modified) = before;
            }
        }
    }

    pub(super) fn finished(self, outcome: Outcome) -> Finished {
        let carrier = &self.manager.0.carrier;
        let id = match (self.notice, self.stored.id()) {
            (Notice::Set, Some(id)) => Some(carrier.set(id, persistence(&self.stored))),
            (Notice::Revoke, _) => Some(carrier.revoke()),
            _ => None,
        };
        let has_session = !matches!(self.state, State::Unread | State::New);
        let cache = match (&id, self.looked && has_session) {
            (Some(_), _) => Some("no-store"),
            (None, true) => Some("private"),
            (None, false) => None,
        };
        let vary = self.looked.then(|| carrier.varies_on().to_string());
        Finished {
            outcome,
            id,
            vary,
            cache,
        }
    }
}

/// The cookie's `Max-Age`; `None` for one that ends with the browser.
///
/// A lifetime that begins anew with each use gets the longest there is, since the server enforces it. To send
/// the cookie again from time to time would be to send an old id behind a login that overtook this response.
fn persistence(session: &Session) -> Option<u64> {
    let Lifetime { absolute, .. } = session.user().and(session.lifetime())?;
    let age = session
        .created()
        .zip(session.accessed())
        .and_then(|(created, now)| now.duration_since(created).ok())
        .unwrap_or(Duration::ZERO);
    Some(max_age(absolute.map(|all| all.saturating_sub(age))))
}

/// The user of this copy in a session of its own, with what was changed in the copy and nothing else.
pub(super) fn made_anew(copy: &Session) -> Session {
    let mut contents = copy.contents.rebase(&copy.base, Contents::default());
    contents.user.clone_from(&copy.contents.user);
    contents.credentials.clone_from(&copy.contents.credentials);
    Session {
        contents: Arc::new(contents),
        modified: true,
        confirming: copy.confirming,
        ..Session::new()
    }
}

/// Notes where a user's request comes from. Without a user it is nobody's device.
fn note(session: &mut Session, client: &Client) {
    if session.user().is_some() {
        session.set_agent(Some(cut(&client.agent, TEXT_BYTES_MAX)));
        session.set_remote_address(Some(cut(&client.address, TEXT_BYTES_MAX)));
    }
}

fn check_size(session: &Session, bytes_max: usize) -> Result<()> {
    let bytes = session.size_bytes()?;
    // After the limit was lowered, a larger session is used on, and may become smaller.
    if bytes <= bytes_max || bytes <= size_bytes(&session.base)? {
        return Ok(());
    }
    let what = format!("a session of {bytes} bytes is over the limit of {bytes_max}");
    Err(Error::too_large(
        what,
        "keep large values elsewhere, or raise `session_bytes_max`",
    ))
}
