//! `Visit`: one request and its session, from its first byte to the head of the response.
//!
//! The browser's cookie is changed only for what this request itself did. An id that is merely dead is left alone: a
//! late request must neither delete nor replace the cookie of a login that overtook it. So what the browser has to be
//! told is kept apart from the state of the session, as a [`Notice`].
//!
//! The changes of a session are kept by its copy alone. Three things stand beside it, and each says what the others
//! can't: the [`State`] whether the copy can be stored, [`Due`] whether under a new id, and `stored` which session it
//! is of.

mod account;
mod changes;
mod devices;
mod settle;
mod tokens;

use super::SessionManager;
use super::cookie::Candidates;
use super::event::Event;
use super::finished::{Lost, Outcome};
use super::flash::{self, Flash};
use crate::error::Result;
use crate::session::{Lifetime, Session, SessionHandle, SessionId};
use std::fmt;
use std::time::Duration;

pub use devices::Device;

/// The state of the visitor's session, as far as it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nobody has looked.
    Unread,
    /// There is none. A value that is put into the copy makes one.
    New,
    /// The copy is of a stored session.
    Live,
    /// A login or a renewal gave the session another id, which this request does not know. The copy is empty and will
    /// not be stored, since a cookie for it would replace the login's.
    Superseded,
    /// This request ended it. A value that is put into the copy makes a new one.
    Ended,
    /// The copy can't be stored any more: what this request changed and did not store is lost, as is what it changes from
    /// here on. A login begins anew, and so does a reload if the session is there all the same.
    Lost(Lost),
}

/// The reason why the session is to get a new id when it is stored. A user who was set by hand is another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Due {
    Nothing,
    Renewal,
    /// With the lifetime that it gives the session; `None`: that of the store.
    Login(Option<Lifetime>),
}

/// The news of the id that the browser has to be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Notice {
    Nothing,
    Set,
    Revoke,
}

/// One request and its session, by [`SessionManager::begin`](crate::SessionManager::begin).
///
/// It reads nothing until something is asked, and stores what was changed when it is [finished](Visit::finish). A visit
/// that is dropped stores and sends nothing: so drop it when the request failed. Changes that are
/// [stored at once](Visit#stored-at-once) stay.
///
/// # Stored at once
///
/// [`update`](Visit::update), [`save`](Visit::save), [`use_form_token`](Visit::use_form_token) and all that logs out.
/// So is a [`login`](Visit::login) under [`SessionCap::Refuse`](crate::SessionCap::Refuse). And where a session waits for
/// an id, [`csrf_token`](Visit::csrf_token), [`devices`](Visit::devices) and [`watch`](Visit::watch) store it.
/// All these block for as long as a write to the store does, as `finish` may; [`needs_io`](Visit::needs_io) tells of
/// that. All else only reads, which takes microseconds, or [longer where other processes write](super#blocking).
///
/// # Errors
///
/// An error means that the system failed, never that a visitor is unknown. A look at the session that failed is tried
/// again by the next one. After an error of `finish` answer 503 if it [is busy](crate::Error::is_busy), otherwise 500.
///
/// ```
/// use shelflife::{ManagerOptions, MemorySessionStore};
///
/// let manager = ManagerOptions::new().manage(MemorySessionStore::new())?;
///
/// let mut visit = manager.begin([""]);
/// visit.login("ann")?;
/// let done = visit.finish()?;
/// let (_, cookie) = done.headers().find(|(name, _)| *name == "Set-Cookie").unwrap();
///
/// let mut visit = manager.begin([cookie.split(';').next().unwrap()]); // the browser's next request
/// assert_eq!(visit.user()?, Some("ann"));
/// assert!(visit.finish()?.headers().all(|(name, _)| name != "Set-Cookie"));
/// # Ok::<(), shelflife::Error>(())
/// ```
#[must_use = "a visit that is not finished stores nothing"]
pub struct Visit {
    manager: SessionManager,
    candidates: Candidates,
    state: State,
    session: Session,
    /// The session as it was loaded or stored last: its id stays, whatever is put in the place of the copy. It has an id
    /// as long as the store has the session, as far as this request knows: in the state `Live`, and in `Lost` where a
    /// conflict or a refusal lost the copy.
    stored: Session,
    due: Due,
    /// Somebody asked for the session, so the response depends on it.
    looked: bool,
    /// This request does not count as use.
    quiet: bool,
    /// The method changes nothing, so no token counts.
    safe_method: bool,
    client: Option<Client>,
    notice: Notice,
    /// The browser's cookie led to a session when this request asked, and this request has not found it gone since.
    came: bool,
    /// The fate of the changes that were stored before the end.
    outcome: Outcome,
}

/// Where a request comes from.
struct Client {
    address: String,
    agent: String,
}

impl Visit {
    pub(super) fn new(manager: SessionManager, candidates: Candidates) -> Visit {
        Visit {
            manager,
            candidates,
            state: State::Unread,
            session: Session::new(),
            stored: Session::new(),
            due: Due::Nothing,
            looked: false,
            quiet: false,
            safe_method: false,
            client: None,
            notice: Notice::Nothing,
            came: false,
            outcome: Outcome::Nothing,
        }
    }

    /// The manager that the visit began with.
    pub fn manager(&self) -> &SessionManager {
        &self.manager
    }

    /// The visitor's session, to read and to change; an empty one for a visitor who has none.
    ///
    /// [`finish`](Visit::finish) stores the changes. An overlapping request that changed other keys loses
    /// nothing by that, and neither does this one; of the same key the later one counts. To count exactly,
    /// use [`update`](Visit::update). A session that is put in the place of this one, as by
    /// `*visit.session()? = Session::new()`, is a change like others.
    ///
    /// # Errors
    ///
    /// Those of [`load_session`](crate::SessionStore::load_session), except for a session that cannot be read: its
    /// visitor counts as one without a session, and the operator is told by an
    /// [event](crate::manager::Event::Unreadable).
    pub fn session(&mut self) -> Result<&mut Session> {
        self.look()?;
        Ok(&mut self.session)
    }

    /// The visitor's session, with what this request changed in it so far; `None` as long as the store has none.
    ///
    /// # Errors
    ///
    /// As [`session`](Visit::session).
    pub fn peek(&mut self) -> Result<Option<&Session>> {
        self.look()?;
        Ok((self.state == State::Live).then_some(&self.session))
    }

    /// The user who is logged in.
    ///
    /// # Errors
    ///
    /// As [`session`](Visit::session).
    pub fn user(&mut self) -> Result<Option<&str>> {
        self.look()?;
        Ok(self.session.user())
    }

    /// This request does not count as use of the session: [`finish`](Visit::finish) stores what was changed, which is a
    /// use as ever, and nothing else. For pages that ask by themselves, so that an open tab does not keep a login alive
    /// for ever.
    ///
    /// ```
    /// # use shelflife::{ManagerOptions, MemorySessionStore};
    /// # let manager = ManagerOptions::new().manage(MemorySessionStore::new())?;
    /// let mut visit = manager.begin([""]);
    /// visit.set_quiet(true);
    /// assert_eq!(visit.time_left()?, None, "no session, so nothing that could end");
    /// assert!(!visit.needs_io());
    /// # Ok::<(), shelflife::Error>(())
    /// ```
    pub fn set_quiet(&mut self, quiet: bool) {
        self.quiet = quiet;
    }

    /// How long the session lives on if it is not used; `None` without a session, or without an end.
    ///
    /// # Errors
    ///
    /// As [`session`](Visit::session).
    pub fn time_left(&mut self) -> Result<Option<Duration>> {
        let end = self.peek()?.and_then(Session::expires);
        let now = self.manager.store().now();
        Ok(end.map(|end| end.duration_since(now).unwrap_or_default()))
    }

    /// Notes the request's method. In one that changes nothing (GET, HEAD, OPTIONS) no token counts: an address
    /// gets into histories, logs and `Referer`. Servers' glue calls it; without it every request may bring a token.
    pub fn set_method(&mut self, method: &str) {
        let method = super::origin::Origin {
            method,
            ..Default::default()
        };
        self.safe_method = method.is_safe();
    }

    /// Notes where the request comes from, for the [list of a user's devices](Visit::devices). Both are cut at 256 bytes.
    /// Behind a proxy the address is the one that the proxy appends, the last in `X-Forwarded-For`: a visitor may have
    /// written others before it.
    /// If they differ from those of the last request, the visit stores them with the user's session when it is finished,
    /// unless nobody looked at the session, the visit is [quiet](Visit::set_quiet), or they have no room in it.
    pub fn set_client(&mut self, address: &str, agent: &str) {
        self.client = Some(Client {
            address: address.to_string(),
            agent: agent.to_string(),
        });
    }

    /// A message that the next page shows once, by [`take_flashes`](Visit::take_flashes). It survives a redirect and a
    /// login, and overlapping requests keep all of theirs. At most 16 wait, the oldest goes; kind and text are cut at 1
    /// KiB.
    ///
    /// # Errors
    ///
    /// As [`session`](Visit::session).
    ///
    /// ```
    /// # use shelflife::{ManagerOptions, MemorySessionStore};
    /// # let manager = ManagerOptions::new().manage(MemorySessionStore::new())?;
    /// # let mut visit = manager.begin([""]);
    /// visit.flash("ok", "Saved.")?;
    /// assert_eq!(visit.take_flashes()?[0].text, "Saved.");
    /// assert!(visit.take_flashes()?.is_empty());
    /// # Ok::<(), shelflife::Error>(())
    /// ```
    pub fn flash(&mut self, kind: &str, text: &str) -> Result<()> {
        flash::add(self.session()?, kind, text)
    }

    /// The messages that wait, the oldest first, and removes them. Without any it changes nothing. A HEAD request shows
    /// none: drop its visit, so that they stay.
    ///
    /// # Errors
    ///
    /// As [`session`](Visit::session).
    pub fn take_flashes(&mut self) -> Result<Vec<Flash>> {
        flash::take(self.session()?)
    }

    /// Forgets what this request changed and did not store, and reads a stored session anew.
    ///
    /// Once a change was [lost](crate::manager::Finished::is_lost) together with its session, only a login makes this
    /// request store something again.
    ///
    /// # Errors
    ///
    /// As [`session`](Visit::session).
    pub fn reload(&mut self) -> Result<()> {
        match self.stored.id().cloned() {
            Some(id) => {
                match self.manager.store().load_session(&id)? {
                    Some(session) => self.become_live(session),
                    None => match self.why_gone(&id)? {
                        Lost::Superseded => self.become_empty(State::Superseded),
                        _ => self.become_empty(State::New),
                    },
                }
                if let Outcome::Lost(_) = self.outcome {
                    self.outcome = Outcome::Nothing;
                }
            }
            None => self.session = Session::new(),
        }
        self.due = Due::Nothing;
        Ok(())
    }

    fn look(&mut self) -> Result<()> {
        self.looked = true;
        if self.state == State::Unread {
            self.state = self.find()?;
        }
        self.stay();
        Ok(())
    }

    /// Reads the candidates until one lives, and the others until a second one does, which the operator is told.
    fn find(&mut self) -> Result<State> {
        let manager = self.manager.clone();
        let mut found = None;
        for id in &self.candidates.ids {
            match manager.store().load_session(id) {
                Ok(None) => {}
                Ok(Some(session)) => match found.as_ref().and_then(Session::handle) {
                    None => found = Some(session),
                    Some(session) => {
                        manager.tell(&Event::Duplicate { session });
                        break;
                    }
                },
                Err(error) if error.is_of_one_record() => manager.tell(&Event::Unreadable {
                    session: id.handle(),
                    error: &error,
                }),
                Err(error) if found.is_none() => return Err(error),
                // The others are looked up for the operator's sake alone.
                Err(_) => break,
            }
        }
        if let Some(session) = found {
            let ids = &mut self.candidates.ids;
            if let Some(nth) = ids.iter().position(|id| Some(id) == session.id()) {
                ids.swap(0, nth);
            }
            self.came = true;
            self.become_live(session);
            return Ok(State::Live);
        }
        for (nth, id) in self.candidates.ids.iter().enumerate() {
            if manager.store().was_replaced(id)? {
                let session = id.handle();
                manager.tell(&Event::Superseded { session });
                self.candidates.ids.swap(0, nth);
                return Ok(State::Superseded);
            }
        }
        Ok(State::New)
    }

    fn become_live(&mut self, session: Session) {
        self.stored = session.clone();
        self.session = session;
        self.state = State::Live;
    }

    /// There is no stored session any more that this could be a copy of.
    fn become_empty(&mut self, state: State) {
        (self.session, self.stored) = (Session::new(), Session::new());
        (self.state, self.due, self.notice) = (state, Due::Nothing, Notice::Nothing);
        self.came &= state == State::Ended;
    }

    /// A session that the handler put in the place of this one is a change of it.
    fn stay(&mut self) {
        match self.state {
            State::Live => self.session.stay(&self.stored),
            State::New | State::Ended => self.session.stay(&Session::new()),
            _ => {}
        }
    }

    fn live_id(&self) -> Option<SessionId> {
        match self.state {
            State::Live => self.stored.id().cloned(),
            _ => None,
        }
    }

    /// The handle that the session has, or had when the request came; `None` for a visitor who brought no id.
    fn handle(&self) -> Option<SessionHandle> {
        let came = self.candidates.ids.first();
        self.session
            .handle()
            .or_else(|| came.map(SessionId::handle))
    }

    fn is_renewal_due(&self) -> bool {
        self.state == State::Live && (self.due != Due::Nothing || self.session.has_other_user())
    }

    fn is_login_due(&self) -> bool {
        matches!(self.due, Due::Login(_))
    }

    fn is_changed(&self) -> bool {
        self.session.is_modified() || self.session.id() != self.stored.id() || self.is_renewal_due()
    }

    /// Whether this request has stored something, which counts as use.
    fn is_stored(&self) -> bool {
        matches!(self.outcome, Outcome::Stored | Outcome::Merged)
    }

    /// The stored session ended by a deed of this request.
    fn end_of(&mut self, session: SessionHandle) {
        self.tell_end(session);
        self.end();
    }

    /// Tells the operator and all who wait that a session has ended.
    fn tell_end(&self, session: SessionHandle) {
        self.manager.tell(&Event::Ended { session });
        self.manager.ring();
    }

    /// The visitor has no session any more: the browser gives its cookie back, if that led to one.
    fn end(&mut self) {
        self.become_empty(State::Ended);
        if self.came {
            self.notice = Notice::Revoke;
        }
        self.outcome = Outcome::Ended;
    }

    fn why_gone(&self, id: &SessionId) -> Result<Lost> {
        Ok(match self.manager.store().was_replaced(id)? {
            true => Lost::Superseded,
            false => Lost::Ended,
        })
    }
}

impl fmt::Debug for Visit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Visit")
            .field("state", &self.state)
            .field("session", &self.handle())
            .finish_non_exhaustive()
    }
}
