//! Login, logout, and proofs of who the visitor is.

use super::super::finished::{Lost, Outcome};
use super::settle::made_anew;
use super::{Due, State, Visit};
use crate::error::Result;
use crate::session::sha256::{hmac_sha256, same};
use crate::session::{Lifetime, Session, SessionCap, SessionHandle};
use crate::value::base64::Base64;
use std::time::Duration;

const CODE_BYTES: usize = 16;

impl Visit {
    /// Logs a user in: the session is the user's from here on, under a new id that only this browser gets. The old id
    /// is dead in the same atomic step, so an attacker who planted it is not logged in as well (session fixation,
    /// CWE-384).
    ///
    /// The values of an anonymous visitor, such as a cart, stay; those of another user do not. Form tokens
    /// and tokens against forged requests that were made before are void, and the absolute lifetime begins anew. The
    /// lifetimes are the store's, also where this request sets others: [`login_for`](Visit::login_for) gives those.
    ///
    /// `false` only if the user has as many sessions as
    /// [`session_cap`](crate::ManagerOptions::session_cap) allows and
    /// [`SessionCap::Refuse`] was chosen. Nobody is logged in by it then, and all else of the request is as it was.
    ///
    /// # Errors
    ///
    /// As [`session`](Visit::session); and under [`SessionCap::Refuse`] those of [`finish`](Visit::finish), since the
    /// login is then stored at once.
    ///
    /// ```
    /// # use shelflife::{ManagerOptions, MemorySessionStore};
    /// # let manager = ManagerOptions::new().manage(MemorySessionStore::new())?;
    /// # let mut visit = manager.begin([""]);
    /// // The password was right.
    /// visit.login("ann")?;
    /// assert_eq!(visit.user()?, Some("ann"));
    /// # Ok::<(), shelflife::Error>(())
    /// ```
    pub fn login(&mut self, user: &str) -> Result<bool> {
        self.log_in(user, None)
    }

    /// The same for "remember me": the session has this lifetime in place of the store's, and the cookie outlives the
    /// browser.
    ///
    /// The cookie's `Max-Age` is the absolute lifetime or, if that is none, 400 days, beyond which browsers keep no
    /// cookie. It is an upper bound: the store enforces the lifetime.
    ///
    /// # Errors
    ///
    /// As [`login`](Visit::login).
    ///
    /// ```
    /// # use shelflife::{Lifetime, ManagerOptions, MemorySessionStore};
    /// # use std::time::Duration;
    /// # let manager = ManagerOptions::new().manage(MemorySessionStore::new())?;
    /// # let mut visit = manager.begin([""]);
    /// let month = Duration::from_secs(30 * 24 * 60 * 60);
    /// visit.login_for("ann", Lifetime { idle: None, absolute: Some(month) })?;
    /// let done = visit.finish()?;
    /// let (_, cookie) = done.headers().next().unwrap();
    /// assert!(cookie.contains("; Max-Age=2592000; "));
    /// # Ok::<(), shelflife::Error>(())
    /// ```
    pub fn login_for(&mut self, user: &str, lifetime: Lifetime) -> Result<bool> {
        self.log_in(user, Some(lifetime))
    }

    fn log_in(&mut self, user: &str, lifetime: Option<Lifetime>) -> Result<bool> {
        self.look()?;
        let copies = (self.session.clone(), self.stored.clone());
        let circumstances = (self.state, self.due, self.outcome);
        if self.session.user().is_some_and(|other| other != user) {
            self.session.clear();
        }
        if let State::Superseded | State::Lost(_) = self.state {
            self.outcome = Outcome::Nothing;
            if self.stored.id().is_some() {
                self.state = State::Live;
            } else {
                self.session = made_anew(&self.session);
                self.state = State::New;
            }
        }
        self.session.set_user(Some(user));
        self.session.clear_form_tokens();
        self.session.set_credentials(None);
        self.session.confirm();
        self.due = Due::Login(lifetime);
        // Whether there is room shows only when it is stored, and the page depends on it.
        if let Some(SessionCap::Refuse(_)) = self.manager.0.session_cap {
            let settled = self.settle();
            if let Err(_) | Ok(Outcome::Lost(Lost::Refused)) = settled {
                (self.session, self.stored) = copies;
                (self.state, self.due, self.outcome) = circumstances;
            }
            return Ok(settled? != Outcome::Lost(Lost::Refused));
        }
        Ok(true)
    }

    /// Gives the session a new id when it is stored, since the visitor's rights changed. Its content stays; the old
    /// id is dead. [`login`](Visit::login) does this by itself.
    ///
    /// # Errors
    ///
    /// As [`session`](Visit::session).
    pub fn renew(&mut self) -> Result<()> {
        self.look()?;
        if self.due == Due::Nothing {
            self.due = Due::Renewal;
        }
        Ok(())
    }

    /// Ends the visitor's session, at once; `false` if there was none. Needs no look at what is in it.
    ///
    /// Where the store has nothing left of the session, the browser keeps its cookie: the response cannot take that back
    /// without taking the cookie of a login that overtook this request.
    ///
    /// If a login in another tab gave the session a new id meanwhile, this request cannot know it: `false`, and
    /// [`finish`](Visit::finish) tells that the logout is [lost](crate::manager::Finished::is_lost), to be tried again.
    ///
    /// # Errors
    ///
    /// Those of [`delete_session`](crate::SessionStore::delete_session).
    pub fn logout(&mut self) -> Result<bool> {
        self.looked = true;
        if self.delete_here()? {
            self.end();
            return Ok(true);
        }
        if self.state == State::Ended {
            (self.session, self.due) = (Session::new(), Due::Nothing);
            return Ok(false);
        }
        // Nothing was there, perhaps since a login gave it another id.
        let was_replaced = self.was_replaced()?;
        self.become_empty(State::New);
        if was_replaced {
            self.lose(Lost::Superseded);
        }
        Ok(false)
    }

    /// Deletes all that the visitor's ids still lead to; `false` if that is nothing.
    fn delete_here(&mut self) -> Result<bool> {
        let ids = &self.candidates.ids;
        let stored = self.stored.id().filter(|id| !ids.contains(id));
        let mut ended = false;
        for id in ids.iter().chain(stored) {
            if self.manager.store().delete_session(id)? {
                self.tell_end(id.handle());
                ended = true;
                self.came |= ids.contains(id);
            }
        }
        Ok(ended)
    }

    /// Whether a login or a renewal elsewhere gave the visitor's session an id that this request does not know.
    fn was_replaced(&self) -> Result<bool> {
        let came = &self.candidates.ids;
        for id in self.stored.id().map_or(&**came, std::slice::from_ref) {
            if self.manager.store().was_replaced(id)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Ends all sessions of the user, this one included, at once, and answers how many that were.
    ///
    /// # Errors
    ///
    /// As [`session`](Visit::session), and those of
    /// [`delete_user_sessions`](crate::SessionStore::delete_user_sessions).
    pub fn logout_everywhere(&mut self) -> Result<usize> {
        self.look()?;
        let Some(user) = self.session.user().map(String::from) else {
            return self.logout().map(usize::from);
        };
        // Later nothing tells whether it was this request that ended the visitor's own session. One that the store has as
        // nobody's or another's ends by `delete_here`, which tells it.
        let is_theirs = self.stored.user() == Some(&user);
        let here = self.stored.id().filter(|_| is_theirs).cloned();
        let was_here = here.filter(|id| self.manager.store().has_session(id).unwrap_or(true));
        let ended = self.manager.store().delete_user_sessions(&user)?;
        let beside = self.delete_here()?;
        // A login that gave the session another id has given the browser its cookie, which must stay.
        let is_superseded = self.was_replaced().unwrap_or(true);
        if let Some(id) = was_here.filter(|_| !is_superseded) {
            self.end_of(id.handle());
        } else if beside {
            self.end();
        } else {
            self.become_empty(match is_superseded {
                true => State::Superseded,
                false => State::New,
            });
            self.outcome = Outcome::Ended;
            self.manager.ring();
        }
        Ok(ended.saturating_add(usize::from(beside)))
    }

    /// Ends all sessions of the user but this one, at once, and answers how many that were. Do this after a change of
    /// password.
    ///
    /// # Errors
    ///
    /// As [`logout_everywhere`](Visit::logout_everywhere).
    pub fn logout_elsewhere(&mut self) -> Result<usize> {
        let Some((user, this)) = self.stored_login()? else {
            return Ok(0);
        };
        let ended = self
            .manager
            .store()
            .delete_user_sessions_except(&user, &this)?;
        self.manager.ring();
        Ok(ended)
    }

    /// Ends one session of the user, named as in the [list of devices](Visit::devices), at once; `false` if it is
    /// none of this user's. So a forged handle ends nobody else's session.
    ///
    /// # Errors
    ///
    /// As [`logout_everywhere`](Visit::logout_everywhere).
    pub fn logout_device(&mut self, session: SessionHandle) -> Result<bool> {
        let Some((user, this)) = self.stored_login()? else {
            return Ok(false);
        };
        if session == this {
            return self.logout();
        }
        let ended = self.manager.store().delete_user_session(&user, &session)?;
        if ended {
            self.tell_end(session);
        }
        Ok(ended)
    }

    /// The user and the session's handle, after a login that waits to be stored was stored.
    pub(super) fn stored_login(&mut self) -> Result<Option<(String, SessionHandle)>> {
        self.look()?;
        if self.session.user().is_none() {
            return Ok(None);
        }
        if self.state != State::Live || self.is_renewal_due() {
            self.settle()?;
        }
        let user = self.live_id().and_then(|_| self.session.user());
        Ok(user.map(String::from).zip(self.session.handle()))
    }

    /// Whether the user proved who he is within this time, by a login or by [`confirm`](Visit::confirm). Ask for the
    /// password again before a dangerous deed if not.
    ///
    /// # Errors
    ///
    /// As [`session`](Visit::session).
    ///
    /// ```
    /// # use shelflife::{ManagerOptions, MemorySessionStore};
    /// # use std::time::Duration;
    /// # let manager = ManagerOptions::new().manage(MemorySessionStore::new())?;
    /// # let mut visit = manager.begin([""]);
    /// assert!(!visit.is_fresh(Duration::from_secs(600))?, "nobody is logged in");
    /// visit.login("ann")?;
    /// assert!(visit.is_fresh(Duration::from_secs(600))?);
    /// # Ok::<(), shelflife::Error>(())
    /// ```
    pub fn is_fresh(&mut self, within: Duration) -> Result<bool> {
        self.look()?;
        // A proof that waits to be stored has its time from the store.
        if self.session.confirming {
            return Ok(!within.is_zero());
        }
        let now = self.manager.store().now();
        // A proof from the future is a clock's fault: to ask for the password again harms nobody.
        let age = self.session.confirmed().map(|at| now.duration_since(at));
        Ok(age.is_some_and(|age| age.is_ok_and(|age| age < within)))
    }

    /// Notes that the user proved again who he is. The session keeps its id, where a second login would change it;
    /// `false` if nobody is logged in.
    ///
    /// # Errors
    ///
    /// As [`session`](Visit::session).
    pub fn confirm(&mut self) -> Result<bool> {
        self.look()?;
        self.session.confirm();
        Ok(self.session.confirming)
    }

    /// Notes with which credentials the user logged in: call it after [`login`](Visit::login) with something that
    /// changes when they do, such as the stored hash of the password. The session keeps a code of it. A
    /// reader of the file can try guesses against that code, so give no password and no short number. After a change of
    /// password call it in the request that made it; all other sessions end at their next
    /// [`check_credentials`](Visit::check_credentials). `false` if nobody is logged in.
    ///
    /// # Errors
    ///
    /// As [`session`](Visit::session).
    pub fn set_credentials(&mut self, credentials: &[u8]) -> Result<bool> {
        self.look()?;
        let Some(user) = self.session.user() else {
            return Ok(false);
        };
        let code = code_of(user, credentials);
        self.session.set_credentials(Some(&code));
        Ok(true)
    }

    /// Whether the user's credentials are still those that were [noted](Visit::set_credentials) at the login. If not,
    /// or if none were noted, the session is ended at once. `false` also if nobody is logged in.
    ///
    /// # Errors
    ///
    /// As [`session`](Visit::session) and [`logout`](Visit::logout).
    ///
    /// ```
    /// # use shelflife::{ManagerOptions, MemorySessionStore};
    /// # let manager = ManagerOptions::new().manage(MemorySessionStore::new())?;
    /// # let mut visit = manager.begin([""]);
    /// visit.login("ann")?;
    /// visit.set_credentials(b"$argon2id$v=19$...")?;
    /// assert!(visit.check_credentials(b"$argon2id$v=19$...")?);
    /// assert!(!visit.check_credentials(b"another password's hash")?);
    /// assert_eq!(visit.user()?, None);
    /// # Ok::<(), shelflife::Error>(())
    /// ```
    pub fn check_credentials(&mut self, current: &[u8]) -> Result<bool> {
        self.look()?;
        let Some(user) = self.session.user() else {
            return Ok(false);
        };
        let right = code_of(user, current);
        let are_right = |session: &Session| {
            let known = session.credentials();
            known.is_some_and(|known| same(known.as_bytes(), right.as_bytes()))
        };
        if are_right(&self.session) {
            return Ok(true);
        }
        // Another request of this session may have noted them after the copy was loaded.
        if let Some(id) = self.stored.id()
            && let Some(stored) = self.manager.store().load_session(id)?
            && self.session.rebase(stored).as_ref().is_some_and(are_right)
        {
            return Ok(true);
        }
        self.logout()?;
        Ok(false)
    }
}

/// A code of a user's credentials. Equal credentials of two users have two codes.
fn code_of(user: &str, credentials: &[u8]) -> String {
    let text = [b"shelflife credentials 1".as_slice(), credentials].concat();
    let code = hmac_sha256(user.as_bytes(), &text);
    Base64::Url.encode(code.get(..CODE_BYTES).unwrap_or_default())
}
