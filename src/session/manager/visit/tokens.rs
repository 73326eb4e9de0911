//! Tokens in forms: proof that a page of this session made the request, and that it counts once.

use super::super::csrf;
use super::{State, Visit};
use crate::error::Result;
use crate::session::SessionId;
use crate::session::random::random;

/// The key of the value that keeps a session which exists for the sake of its token alone.
const KEY: &str = "_csrf";

impl Visit {
    /// A token for the forms of a page, against requests that another site forges. It is another text on each page, and
    /// each is good for as long as the session has its id: in all tabs, any number of times, without being stored.
    ///
    /// A visitor without a session gets one by this call, so do not call it on pages for strangers:
    /// [`is_cross_origin`](crate::SessionManager::is_cross_origin) protects their forms without any.
    ///
    /// # Errors
    ///
    /// As [`session`](Visit::session), and those of [`save`](Visit::save) for a session that has no id yet, or is to
    /// get a new one. [`ErrorKind::Io`](crate::ErrorKind::Io) if the operating system gives no randomness.
    ///
    /// ```
    /// # use shelflife::{ManagerOptions, MemorySessionStore};
    /// # let manager = ManagerOptions::new().manage(MemorySessionStore::new())?;
    /// # let mut visit = manager.begin([""]);
    /// let token = visit.csrf_token()?;
    /// assert_eq!(token.len(), 86);
    /// assert!(visit.is_csrf_token(&token)?);
    /// # Ok::<(), shelflife::Error>(())
    /// ```
    pub fn csrf_token(&mut self) -> Result<String> {
        self.look()?;
        let can_be_stored = matches!(self.state, State::New | State::Live | State::Ended);
        if can_be_stored && !self.session.has_info() {
            self.session.insert(KEY, &true)?;
        }
        if self.state != State::Live || self.is_renewal_due() {
            self.settle()?;
        }
        // Without a session that can be stored it is a token that never counts, on a page that comes too late anyway.
        let id = match self.session.id().or(self.candidates.ids.first()) {
            Some(id) => id.clone(),
            None => SessionId::draw(random)?,
        };
        csrf::token(&id, random)
    }

    /// Whether a token that came back with a form was made for this session. `false` in a request whose
    /// [method](Visit::set_method) changes nothing, and once this request has logged a user in or out: the token was
    /// made before.
    ///
    /// # Errors
    ///
    /// As [`session`](Visit::session).
    pub fn is_csrf_token(&mut self, token: &str) -> Result<bool> {
        self.look()?;
        // A login waits for its id, and what was made for the old one is void already.
        let is_void = self.safe_method || self.is_login_due() || self.session.has_other_user();
        let id = self.live_id().filter(|_| !is_void);
        Ok(id.is_some_and(|id| csrf::is_token(&id, token)))
    }

    /// Whether a [form token](crate::Session::create_form_token) that came back is outstanding, and strikes it out,
    /// at once: of all requests that bring it exactly one is told `true`. For what must happen once, such as a
    /// payment.
    ///
    /// # Errors
    ///
    /// As [`update`](Visit::update).
    ///
    /// ```
    /// # use shelflife::{ManagerOptions, MemorySessionStore};
    /// # let manager = ManagerOptions::new().manage(MemorySessionStore::new())?;
    /// # let mut visit = manager.begin([""]);
    /// # visit.login("ann")?;
    /// let token = visit.session()?.create_form_token()?;
    /// assert!(visit.use_form_token(&token)?);
    /// assert!(!visit.use_form_token(&token)?);
    /// # Ok::<(), shelflife::Error>(())
    /// ```
    pub fn use_form_token(&mut self, token: &str) -> Result<bool> {
        self.look()?;
        if self.safe_method || !self.session.has_form_token(token) {
            return Ok(false);
        }
        let was_there = self.update(|session| Ok(session.remove_form_token(token)))?;
        // On the copy of a session that went it counts for nothing.
        Ok(was_there && !matches!(self.state, State::Lost(_) | State::Superseded))
    }
}
