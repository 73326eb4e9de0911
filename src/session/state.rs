//! `Session`: what is remembered of one visitor.

use super::contents::{Contents, FORM_TOKENS, size_bytes};
use super::id::{Identity, SessionHandle, SessionId};
use super::key::AsKey;
use super::lifetime::{Lifetime, Lifetimes, Stamp, time_at};
use crate::error::{Error, Result};
use crate::session::random::random;
use crate::session::sha256::same;
use crate::value::base64::Base64;
use crate::value::{Decode, Encode, from_cbor, to_cbor_below};
use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

/// How deep the application's values stand in a stored session.
const LEVELS_ABOVE: usize = 3;
const FORM_TOKEN_BYTES: usize = 128 / 8;

/// The memory of one visitor: the user, the values that the application keeps, and when it was used.
///
/// A session is a copy in memory. It has no id until [`save_session`](crate::SessionStore::save_session) finds that
/// [it has something worth keeping](Session::has_info) and stores it. After that the store compares versions, so that
/// two requests that change the same session at the same time do not lose each other's changes.
///
/// Values are stored under string keys as CBOR, like those of a [`Shelf`](crate::Shelf), and read back as the type
/// that is asked for.
///
/// `Debug` shows when and how much, but neither the id nor anything that was put in.
///
/// ```
/// use shelflife::Session;
///
/// let mut session = Session::new();
/// session.set_user(Some("ann"));
/// session.insert("cart", &vec!["tea".to_string()])?;
///
/// assert_eq!(session.user(), Some("ann"));
/// assert_eq!(session.get::<Vec<String>>("cart")?.unwrap(), ["tea"]);
/// assert!(session.id().is_none(), "not stored yet");
/// # Ok::<(), shelflife::Error>(())
/// ```
#[derive(Clone, Default)]
pub struct Session {
    /// `None`: it was never stored.
    pub(super) identity: Option<Identity>,
    pub(super) stamp: Stamp,
    /// When it ends if it is not used again, as far as the store that it came from knows.
    pub(super) end: Option<u64>,
    pub(super) modified: bool,
    /// The user has proven to be who he is, which the store is still to note the time of.
    pub(super) confirming: bool,
    /// The lifetime was set since the session was loaded or stored, if only to what it was.
    pub(super) lifetime_is_set: bool,
    pub(super) contents: Arc<Contents>,
    /// The contents that were loaded or stored last.
    pub(super) base: Arc<Contents>,
    /// Those that ended when it was stored last.
    pub(super) displaced: Vec<SessionHandle>,
    /// Of a store on a server: which write of this version it is. A failover can lose one, and another takes its number.
    pub(super) write: Option<[u8; 8]>,
}

impl Session {
    /// An empty session, for a visitor who has none.
    ///
    /// ```
    /// let session = shelflife::Session::new();
    /// assert!(!session.has_info());
    /// assert_eq!(session.version(), 0);
    /// ```
    pub fn new() -> Session {
        Session::default()
    }

    /// The secret for the visitor's cookie.
    ///
    /// `None` before the session was stored, and for a session that was [listed](crate::SessionStore::iter_sessions)
    /// by a store that keeps only the hash of each id.
    pub fn id(&self) -> Option<&SessionId> {
        match &self.identity {
            Some(Identity::Id(id)) => Some(id),
            Some(Identity::Hash { .. }) | None => None,
        }
    }

    /// The handle, to be shown in place of the id; `None` before the session was stored.
    pub fn handle(&self) -> Option<SessionHandle> {
        self.identity.as_ref().map(Identity::handle)
    }

    /// The sessions of the same user that were ended to make room for this one, if it was stored last by a
    /// [login under a cap](crate::SessionStore::regenerate_id_capped).
    ///
    /// ```
    /// # use shelflife::{MemorySessionStore, Session, SessionCap, SessionStore};
    /// # let store = MemorySessionStore::new();
    /// let mut devices = [Session::new(), Session::new()];
    /// for session in &mut devices {
    ///     session.set_user(Some("ann"));
    ///     let _ = store.regenerate_id_capped(session, SessionCap::EndOldest(1))?;
    /// }
    /// let [first, second] = devices;
    /// assert_eq!(second.displaced(), [first.handle().unwrap()]);
    /// # Ok::<(), shelflife::Error>(())
    /// ```
    pub fn displaced(&self) -> &[SessionHandle] {
        &self.displaced
    }

    /// Larger after each change of the session in the store, from 1 on; 0 before it was stored.
    pub fn version(&self) -> u64 {
        self.stamp.version
    }

    /// When the session was first stored, or last given a new id for a login; another new id leaves it as it was.
    pub fn created(&self) -> Option<SystemTime> {
        self.if_stored(self.stamp.created)
    }

    /// When the session was last saved, updated or touched. Loading alone does not count, since reading writes
    /// nothing, and neither does a touch within the store's access resolution of the last one.
    pub fn accessed(&self) -> Option<SystemTime> {
        self.if_stored(self.stamp.accessed)
    }

    /// When the session ends if it is not used again: `accessed` plus its idle lifetime or `created` plus its absolute
    /// lifetime, whichever is earlier. The lifetimes are [its own](Session::set_lifetime), or those of the store.
    /// `None` if there are none.
    ///
    /// ```
    /// use shelflife::{Session, SessionOptions, SessionStore};
    /// use std::time::Duration;
    ///
    /// let store = SessionOptions::new().idle_lifetime(Duration::from_secs(1800)).in_memory();
    /// let mut session = Session::new();
    /// session.set_user(Some("ann"));
    /// let _ = store.save_session(&mut session)?;
    /// assert_eq!(session.expires(), session.accessed().map(|at| at + Duration::from_secs(1800)));
    /// # Ok::<(), shelflife::Error>(())
    /// ```
    pub fn expires(&self) -> Option<SystemTime> {
        self.end.and_then(time_at)
    }

    /// The lifetimes that this session has in place of the store's, if it has.
    pub fn lifetime(&self) -> Option<Lifetime> {
        self.contents.lifetimes.map(Lifetime::from)
    }

    /// Gives the session lifetimes of its own, which replace those of the store whether they are longer or shorter;
    /// with `None` those of the store hold again. It counts from when the session is saved. Exact to the millisecond.
    ///
    /// ```
    /// use shelflife::{Lifetime, Session, SessionOptions, SessionStore};
    /// use std::time::Duration;
    ///
    /// let store = SessionOptions::new().idle_lifetime(Duration::from_secs(1800)).in_memory();
    /// let mut session = Session::new();
    /// session.set_user(Some("ann"));
    /// session.set_lifetime(Some(Lifetime::default())); // it never ends by itself
    /// let _ = store.save_session(&mut session)?;
    /// assert_eq!(session.expires(), None);
    /// # Ok::<(), shelflife::Error>(())
    /// ```
    pub fn set_lifetime(&mut self, lifetime: Option<Lifetime>) {
        let lifetimes = lifetime.map(Lifetimes::from);
        self.lifetime_is_set = true;
        if self.contents.lifetimes != lifetimes {
            self.change().lifetimes = lifetimes;
        }
    }

    /// Forgets whose device it was, where the user is another by now: what the user before called it, and where that user
    /// came from. This copy keeps all that was noted in it since.
    pub(super) fn forget_device_of_user_before(&mut self) {
        let base = Arc::clone(&self.base);
        if base.user.is_none() || !self.has_other_user() {
            return;
        }
        let contents = self.change();
        for (text, stored) in [
            (&mut contents.agent, &base.agent),
            (&mut contents.label, &base.label),
            (&mut contents.first_address, &base.first_address),
            (&mut contents.remote_address, &base.remote_address),
        ] {
            if text == stored {
                *text = None;
            }
        }
    }

    /// The user who is logged in.
    pub fn user(&self) -> Option<&str> {
        self.contents.user.as_deref()
    }

    /// Logs a user in, or out with `None`.
    ///
    /// At a change of user the form tokens are forgotten, so that no token from before the login is good after it, and
    /// so is the stamp of the [credentials](Session::credentials); a login counts as [confirmed](Session::confirmed). The
    /// values stay: [`clear`](Session::clear) them where they are one user's and another logs in.
    ///
    /// After a login, give the session a [new id](crate::SessionStore::regenerate_id): an attacker who knew the old one,
    /// for instance by having planted it, would be logged in as well (session fixation).
    ///
    /// ```
    /// # let mut session = shelflife::Session::new();
    /// let planted = session.create_form_token()?;
    /// session.set_user(Some("ann"));
    /// assert!(!session.has_form_token(&planted));
    /// # Ok::<(), shelflife::Error>(())
    /// ```
    pub fn set_user(&mut self, user: Option<&str>) {
        if self.user() == user {
            return;
        }
        let contents = self.change();
        contents.user = user.map(String::from);
        contents.credentials = None;
        contents.confirmed = None;
        contents.form_tokens.clear();
        self.confirming = user.is_some();
    }

    /// When the user last proved to be who he is: at the login, or when [`confirm`](Session::confirm) was called. By
    /// the store's clock; `None` if nobody is logged in, and until the session is saved.
    ///
    /// A dangerous deed should ask for a proof that is fresh:
    ///
    /// ```
    /// use shelflife::{MemorySessionStore, Session, SessionStore};
    /// use std::time::Duration;
    ///
    /// # let store = MemorySessionStore::new();
    /// # let mut session = Session::new();
    /// session.set_user(Some("ann"));
    /// let _ = store.save_session(&mut session)?;
    /// let since = |at| store.now().duration_since(at).unwrap_or_default();
    /// assert!(session.confirmed().is_some_and(|at| since(at) < Duration::from_secs(300)));
    /// # Ok::<(), shelflife::Error>(())
    /// ```
    pub fn confirmed(&self) -> Option<SystemTime> {
        self.contents.confirmed.and_then(time_at)
    }

    /// Notes that the user has just proven again to be who he is, for instance by his password. The store stamps the
    /// time when the session is saved. Without a user it does nothing.
    pub fn confirm(&mut self) {
        self.confirming = self.user().is_some();
        self.modified |= self.confirming;
    }

    /// The stamp that the user's credentials had when he logged in, as the application noted it.
    ///
    /// An application that stamps a session with something that changes with the password (never the password, nor
    /// what can be computed back to it) and compares it at each request ends the others by a change of password.
    pub fn credentials(&self) -> Option<&str> {
        self.contents.credentials.as_deref()
    }

    /// Notes a stamp of the user's credentials. A change of user forgets it.
    pub fn set_credentials(&mut self, stamp: Option<&str>) {
        if self.credentials() != stamp {
            self.change().credentials = stamp.map(String::from);
        }
    }

    /// The visitor's browser or program, as the application noted it.
    pub fn agent(&self) -> Option<&str> {
        self.contents.agent.as_deref()
    }

    /// Notes the visitor's browser or program, for a page that lists devices. That alone does not make a session
    /// worth keeping.
    pub fn set_agent(&mut self, agent: Option<&str>) {
        if self.agent() != agent {
            self.change().agent = agent.map(String::from);
        }
    }

    /// The name that the visitor gave this device.
    pub fn label(&self) -> Option<&str> {
        self.contents.label.as_deref()
    }

    /// Notes what the visitor calls this device. That alone does not make a session worth keeping.
    pub fn set_label(&mut self, label: Option<&str>) {
        if self.label() != label {
            self.change().label = label.map(String::from);
        }
    }

    /// Where the visitor came from last, as the application noted it.
    pub fn remote_address(&self) -> Option<&str> {
        self.contents.remote_address.as_deref()
    }

    /// Where the visitor came from first: the first address that was noted. It stays.
    ///
    /// ```
    /// # let mut session = shelflife::Session::new();
    /// session.set_remote_address(Some("10.0.0.7"));
    /// session.set_remote_address(Some("192.0.2.1"));
    /// assert_eq!(session.first_address(), Some("10.0.0.7"));
    /// assert_eq!(session.remote_address(), Some("192.0.2.1"));
    /// ```
    pub fn first_address(&self) -> Option<&str> {
        self.contents.first_address.as_deref()
    }

    /// Whether somebody logged in or out since the session was loaded or saved.
    pub(super) fn has_other_user(&self) -> bool {
        self.contents.user != self.base.user
    }

    /// Notes where the visitor comes from. That alone does not make a session worth keeping.
    pub fn set_remote_address(&mut self, address: Option<&str>) {
        if self.remote_address() == address {
            return;
        }
        let contents = self.change();
        contents.remote_address = address.map(String::from);
        if contents.first_address.is_none() {
            contents.first_address = address.map(String::from);
        }
    }

    /// The value under a key, or `None`. A [`Key`](crate::Key) says which type it is.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Decode`](crate::ErrorKind::Decode) if the value is not a `T`; the text says where in it, and
    /// [`Error::key`](crate::Error::key) names the key.
    ///
    /// ```
    /// # let mut session = shelflife::Session::new();
    /// session.insert("n", &7u64)?;
    /// assert_eq!(session.get::<u64>("n")?, Some(7));
    /// assert_eq!(session.get::<u64>("m")?, None);
    /// let error = session.get::<String>("n").unwrap_err();
    /// assert_eq!(error.key(), Some("n"));
    /// assert!(error.to_string().starts_with("`n`: expected text at byte 0, found an integer;"));
    /// # Ok::<(), shelflife::Error>(())
    /// ```
    pub fn get<T: Decode>(&self, key: impl AsKey<T>) -> Result<Option<T>> {
        let name = key.as_ref();
        let value = self.contents.data.get(name);
        let value = value.map(|value| from_cbor(value)).transpose();
        value.map_err(|error| error.under(name))
    }

    /// Whether there is a value under a key, of whatever type.
    pub fn contains_key(&self, key: impl AsRef<str>) -> bool {
        self.contents.data.contains(key.as_ref())
    }

    /// Puts a value under a key; `true` if the key is new. A value that is there already is no modification.
    ///
    /// A new key may move those that are there already: beside 10,000 it takes up to 10 us, beside 100,000 up to 100 us.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) or
    /// [`ErrorKind::TooLarge`](crate::ErrorKind::TooLarge) for what could not be given back, such as nesting deeper than
    /// 61 levels; the text says where in the value, and [`Error::key`](crate::Error::key) names the key.
    ///
    /// ```
    /// # let mut session = shelflife::Session::new();
    /// assert!(session.insert("colour", "green")?);
    /// assert!(!session.insert("colour", &3u64)?);
    /// # Ok::<(), shelflife::Error>(())
    /// ```
    pub fn insert<T: Encode + ?Sized>(&mut self, key: impl AsKey<T>, value: &T) -> Result<bool> {
        // So that the limit on nesting is met here, and not when the session is stored.
        let value = to_cbor_below(LEVELS_ABOVE, value);
        let value = value.map_err(|error| error.under(key.as_ref()))?;
        let old = self.contents.data.get(key.as_ref());
        let is_new = old.is_none();
        if old != Some(&value) {
            self.change().data.insert(key.as_ref(), value);
        }
        Ok(is_new)
    }

    /// Removes a key; `false` if it was absent.
    pub fn remove(&mut self, key: impl AsRef<str>) -> bool {
        let had = self.contains_key(&key);
        if had {
            self.change().data.remove(key.as_ref());
        }
        had
    }

    /// Removes a key and returns its value.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Decode`](crate::ErrorKind::Decode) if the value is not a `T`; it then stays.
    ///
    /// ```
    /// # let mut session = shelflife::Session::new();
    /// session.insert("n", &7u64)?;
    /// assert_eq!(session.take::<u64>("n")?, Some(7));
    /// assert_eq!(session.take::<u64>("n")?, None);
    /// # Ok::<(), shelflife::Error>(())
    /// ```
    pub fn take<T: Decode>(&mut self, key: impl AsKey<T>) -> Result<Option<T>> {
        let name = key.as_ref().to_string();
        let value = self.get(key)?;
        self.remove(name);
        Ok(value)
    }

    /// Removes all values. The user and the form tokens stay.
    ///
    /// ```
    /// # let mut session = shelflife::Session::new();
    /// session.insert("n", &7u64)?;
    /// session.clear();
    /// assert!(session.is_empty() && !session.contains_key("n"));
    /// # Ok::<(), shelflife::Error>(())
    /// ```
    pub fn clear(&mut self) {
        if !self.is_empty() {
            self.change().data.clear();
        }
    }

    /// How many values there are.
    pub fn len(&self) -> usize {
        self.contents.data.len()
    }

    /// Whether there is no value.
    pub fn is_empty(&self) -> bool {
        self.contents.data.is_empty()
    }

    /// The keys of the values, sorted. Those with `_flash` or `_csrf` in front are a visit's own.
    ///
    /// ```
    /// # let mut session = shelflife::Session::new();
    /// session.insert("b", &1u64)?;
    /// session.insert("a", &2u64)?;
    /// assert_eq!(session.keys().collect::<Vec<_>>(), ["a", "b"]);
    /// # Ok::<(), shelflife::Error>(())
    /// ```
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.contents.data.names().into_iter()
    }

    /// How many bytes the session takes when it is stored, without its id and its times.
    ///
    /// ```
    /// # let mut session = shelflife::Session::new();
    /// session.insert("text", &"x".repeat(1000))?;
    /// assert!((1000..1050).contains(&session.size_bytes()?));
    /// # Ok::<(), shelflife::Error>(())
    /// ```
    pub fn size_bytes(&self) -> Result<usize> {
        size_bytes(&self.contents)
    }

    /// The changes that were made to this copy since it was loaded or saved, on top of `current`: what to save after a
    /// [conflict](crate::Saved::Conflict). `None` if another user logged in or out meanwhile: a change that was made
    /// for one user is not for the other.
    ///
    /// Of each value and field this copy's change counts, and those that it left alone are `current`'s. Of the form
    /// tokens those stay that neither side has removed, the newest 32. A copy that logs a user in takes no form token of
    /// `current`, and one that logs a user out takes nothing of it. A value that must be counted exactly needs
    /// [`update_session`](crate::SessionStoreExt::update_session).
    ///
    /// ```
    /// # use shelflife::{MemorySessionStore, Saved, Session, SessionStore};
    /// # let store = MemorySessionStore::new();
    /// # let mut first = Session::new();
    /// # first.set_user(Some("ann"));
    /// # let _ = store.save_session(&mut first)?;
    /// let mut second = first.clone();
    /// first.insert("colour", "green")?;
    /// assert!(matches!(store.save_session(&mut first)?, Saved::Stored));
    /// second.insert("size", "tall")?;
    /// let Saved::Conflict(current) = store.save_session(&mut second)? else { panic!() };
    ///
    /// let mut both = second.rebase(*current).expect("nobody else logged in");
    /// assert!(matches!(store.save_session(&mut both)?, Saved::Stored));
    /// assert_eq!(both.len(), 2);
    /// # Ok::<(), shelflife::Error>(())
    /// ```
    pub fn rebase(&self, current: Session) -> Option<Session> {
        if current.contents.user != self.base.user {
            return None;
        }
        let mut current_contents = Arc::unwrap_or_clone(current.contents);
        let contents = if !self.has_other_user() {
            self.contents.rebase(&self.base, current_contents)
        } else if self.base.user.is_none() {
            current_contents.form_tokens.clear();
            self.contents.rebase(&self.base, current_contents)
        } else {
            // The changes of others were for the user before, and nobody else gets them.
            Contents::clone(&self.contents)
        };
        let confirming = self.confirming && contents.user.is_some();
        Some(Session {
            modified: confirming || contents != *current.base,
            confirming,
            lifetime_is_set: self.lifetime_is_set,
            contents: Arc::new(contents),
            ..current
        })
    }

    /// A new token to put into a form, against forged requests: a form that comes back without one that the session
    /// knows was not made for this visitor. 128 bits from the operating system as 22 characters.
    ///
    /// At most 32 are outstanding: one more, and the oldest is forgotten.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Io`](crate::ErrorKind::Io) if the operating system gives no randomness.
    ///
    /// ```
    /// # let mut session = shelflife::Session::new();
    /// let token = session.create_form_token()?;
    /// // The form comes back: its token counts once.
    /// assert!(session.remove_form_token(&token));
    /// assert!(!session.remove_form_token(&token));
    /// # Ok::<(), shelflife::Error>(())
    /// ```
    pub fn create_form_token(&mut self) -> Result<String> {
        let mut bytes = [0; FORM_TOKEN_BYTES];
        random(&mut bytes)?;
        let token = Base64::Url.encode(&bytes);
        let tokens = &mut self.change().form_tokens;
        if tokens.len() >= FORM_TOKENS {
            tokens.remove(0);
        }
        tokens.push(token.clone());
        Ok(token)
    }

    /// Whether a token that came back with a form is one of this session's.
    pub fn has_form_token(&self, token: &str) -> bool {
        let tokens = &self.contents.form_tokens;
        tokens
            .iter()
            .any(|known| same(known.as_bytes(), token.as_bytes()))
    }

    /// Forgets a token that came back with a form; `false` if the session does not know it (any more).
    pub fn remove_form_token(&mut self, token: &str) -> bool {
        let had = self.has_form_token(token);
        if had {
            let tokens = &mut self.change().form_tokens;
            tokens.retain(|known| !same(known.as_bytes(), token.as_bytes()));
        }
        had
    }

    /// Forgets all form tokens: none of those that are outstanding is good any more.
    ///
    /// ```
    /// # let mut session = shelflife::Session::new();
    /// let token = session.create_form_token()?;
    /// session.clear_form_tokens();
    /// assert!(!session.has_form_token(&token));
    /// # Ok::<(), shelflife::Error>(())
    /// ```
    pub fn clear_form_tokens(&mut self) {
        if self.form_token_count() > 0 {
            self.change().form_tokens.clear();
        }
    }

    /// How many form tokens are outstanding.
    pub fn form_token_count(&self) -> usize {
        self.contents.form_tokens.len()
    }

    /// Whether the session is worth keeping: it has a user, a form token or a value. Saving one that is not stores
    /// nothing, and deletes what was stored.
    ///
    /// ```
    /// let mut session = shelflife::Session::new();
    /// session.set_remote_address(Some("10.0.0.7"));
    /// assert!(!session.has_info());
    /// session.set_user(Some("ann"));
    /// assert!(session.has_info());
    /// ```
    pub fn has_info(&self) -> bool {
        self.user().is_some() || self.form_token_count() > 0 || !self.is_empty()
    }

    /// Whether anything was changed since the session was loaded or saved. Saving an unmodified session is a
    /// [`touch`](crate::SessionStore::touch_session).
    ///
    /// ```
    /// let mut session = shelflife::Session::new();
    /// session.set_user(None); // as it was
    /// assert!(!session.is_modified());
    /// session.set_user(Some("ann"));
    /// assert!(session.is_modified());
    /// ```
    pub fn is_modified(&self) -> bool {
        self.modified
    }

    /// The id or hash of the session, for a store that takes it over from another.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if no store has the session, or if only the hash of its id is known and ids are kept as they are.
    pub(super) fn identity_to_import(&self, hashes_ids: bool) -> Result<&Identity> {
        match &self.identity {
            None => Err(Error::invalid_input(
                "a session that no store has",
                "import what another store has listed or loaded",
            )),
            Some(Identity::Hash { .. }) if !hashes_ids => {
                let what =
                    "the other store has only the hashes of ids, of which no ids can be made";
                Err(Error::invalid_input(what, "hash ids here as well"))
            }
            Some(identity) => Ok(identity),
        }
    }

    /// The contents, to be changed.
    fn change(&mut self) -> &mut Contents {
        self.modified = true;
        Arc::make_mut(&mut self.contents)
    }

    /// The session as it is to be stored at a moment.
    pub(super) fn settled(&self, now: u64) -> Session {
        let mut settled = self.clone();
        if settled.confirming {
            settled.confirming = false;
            settled.change().confirmed = Some(now);
        }
        settled
    }

    /// If the application put another session in the place of the copy of `stored`, takes it for a change of `stored`.
    pub(super) fn stay(&mut self, stored: &Session) {
        if self.id() != stored.id()
            || self.identity.is_some() != stored.identity.is_some()
            || self.version() < stored.version()
        {
            *self = Session {
                contents: Arc::clone(&self.contents),
                confirming: self.confirming,
                lifetime_is_set: self.lifetime_is_set
                    || self.contents.lifetimes != stored.base.lifetimes,
                modified: true,
                ..stored.clone()
            };
        }
    }

    /// Notes that this copy is what the store has now.
    pub(super) fn mark_stored(&mut self, stamp: Stamp, end: Option<u64>) {
        (self.stamp, self.end) = (stamp, end);
        (self.modified, self.lifetime_is_set) = (false, false);
        self.base = Arc::clone(&self.contents);
        self.displaced.clear();
    }

    /// Makes this copy, with all that it holds, a session that was never stored.
    pub(super) fn mark_new(&mut self) {
        (self.identity, self.write, self.end) = (None, None, None);
        self.stamp = Stamp::default();
        self.base = Arc::default();
    }

    fn if_stored(&self, millis: u64) -> Option<SystemTime> {
        time_at(millis).filter(|_| self.version() > 0)
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("handle", &self.handle())
            .field("version", &self.version())
            .field("created", &self.created())
            .field("accessed", &self.accessed())
            .field("expires", &self.expires())
            .field("has_user", &self.user().is_some())
            .field("values", &self.len())
            .field("form_tokens", &self.form_token_count())
            .field("modified", &self.modified)
            .finish_non_exhaustive()
    }
}
