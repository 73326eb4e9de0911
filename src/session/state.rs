//! `Session`: what is remembered of one visitor.

use super::id::{SessionHandle, SessionId};
use super::lifetime::{Stamp, time_at};
use crate::error::{Error, Result};
use crate::store::disk::{Disk, os::OsDisk};
use crate::value::base64::Base64;
use crate::value::{Decode, Encode, from_cbor, to_cbor};
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::path::Path;
use std::time::SystemTime;

/// How many form tokens are remembered; the oldest goes when one more is made.
pub(super) const FORM_TOKENS: usize = 32;

const FORM_TOKEN_BYTES: usize = 128 / 8;

/// How a store finds a session.
#[derive(Clone)]
pub(super) enum Identity {
    Id(SessionId),
    /// Only the SHA-256 of the id is known: it was read from a store that hashes ids at rest.
    Hash([u8; 32]),
}

impl Identity {
    pub(super) fn handle(&self) -> SessionHandle {
        match self {
            Identity::Id(id) => id.handle(),
            Identity::Hash(hash) => SessionHandle::of_hash(hash),
        }
    }
}

/// What is remembered of one visitor: the user, what the application wants to keep, and when it was used.
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
    pub(super) user: Option<String>,
    pub(super) remote_address: Option<String>,
    /// The newest last.
    pub(super) form_tokens: VecDeque<String>,
    /// Each value as its CBOR.
    pub(super) data: BTreeMap<String, Vec<u8>>,
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
            Some(Identity::Hash(_)) | None => None,
        }
    }

    /// What to show in place of the id; `None` before the session was stored.
    pub fn handle(&self) -> Option<SessionHandle> {
        self.identity.as_ref().map(Identity::handle)
    }

    /// How often the session has been changed in the store; 0 before it was stored.
    pub fn version(&self) -> u64 {
        self.stamp.version
    }

    /// When the session was first stored, in milliseconds precision. A new id does not make it younger.
    pub fn created(&self) -> Option<SystemTime> {
        self.if_stored(self.stamp.created)
    }

    /// When the session was last saved, updated or touched. Loading alone does not count, since reading writes
    /// nothing, and neither does a touch within the store's access resolution of the last one.
    pub fn accessed(&self) -> Option<SystemTime> {
        self.if_stored(self.stamp.accessed)
    }

    /// When the session ends if it is not used again: `accessed` plus the store's idle lifetime or `created` plus its
    /// absolute lifetime, whichever is earlier. `None` if it has neither.
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

    /// Who is logged in.
    pub fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    /// Logs a user in, or out with `None`.
    ///
    /// After a login, give the session a [new id](crate::SessionStore::regenerate_id): whoever knew the old one, for
    /// instance because he planted it, would be logged in as well (session fixation).
    pub fn set_user(&mut self, user: Option<&str>) {
        self.modified |= self.user.as_deref() != user;
        self.user = user.map(String::from);
    }

    /// Where the visitor came from, as the application noted it.
    pub fn remote_address(&self) -> Option<&str> {
        self.remote_address.as_deref()
    }

    /// Notes where the visitor comes from. That alone does not make a session worth keeping.
    pub fn set_remote_address(&mut self, address: Option<&str>) {
        self.modified |= self.remote_address.as_deref() != address;
        self.remote_address = address.map(String::from);
    }

    /// The value under a key, or `None`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Decode`](crate::ErrorKind::Decode) if the value is not a `T`.
    ///
    /// ```
    /// # let mut session = shelflife::Session::new();
    /// session.insert("n", &7u64)?;
    /// assert_eq!(session.get::<u64>("n")?, Some(7));
    /// assert_eq!(session.get::<u64>("m")?, None);
    /// assert!(session.get::<String>("n").is_err());
    /// # Ok::<(), shelflife::Error>(())
    /// ```
    pub fn get<T: Decode>(&self, key: &str) -> Result<Option<T>> {
        self.data.get(key).map(|value| from_cbor(value)).transpose()
    }

    /// Puts a value under a key; `true` if the key is new.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) or
    /// [`ErrorKind::TooLarge`](crate::ErrorKind::TooLarge) for what CBOR cannot hold, such as an integer beyond 64
    /// bits or nesting deeper than 61 levels.
    ///
    /// ```
    /// # let mut session = shelflife::Session::new();
    /// assert!(session.insert("colour", "green")?);
    /// assert!(!session.insert("colour", &3u64)?);
    /// # Ok::<(), shelflife::Error>(())
    /// ```
    pub fn insert<T: Encode + ?Sized>(&mut self, key: &str, value: &T) -> Result<bool> {
        // Encoded as deep as it will stand in the stored session, so that the limit on nesting is met here.
        let value = to_cbor(&[[[value]]])?.split_off(3);
        let old = self.data.insert(key.to_string(), value);
        self.modified |= old.as_ref() != self.data.get(key);
        Ok(old.is_none())
    }

    /// Removes a key; `false` if it was absent.
    pub fn remove(&mut self, key: &str) -> bool {
        let had = self.data.remove(key).is_some();
        self.modified |= had;
        had
    }

    /// The keys of the values, sorted.
    ///
    /// ```
    /// # let mut session = shelflife::Session::new();
    /// session.insert("b", &1u64)?;
    /// session.insert("a", &2u64)?;
    /// assert_eq!(session.keys().collect::<Vec<_>>(), ["a", "b"]);
    /// # Ok::<(), shelflife::Error>(())
    /// ```
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.data.keys().map(String::as_str)
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
        OsDisk
            .random(&mut bytes)
            .map_err(|cause| Error::io("read", Path::new("/dev/urandom"), cause))?;
        let token = Base64::Url.encode(&bytes);
        if self.form_tokens.len() == FORM_TOKENS {
            self.form_tokens.pop_front();
        }
        self.form_tokens.push_back(token.clone());
        self.modified = true;
        Ok(token)
    }

    /// Whether a token that came back with a form is one of this session's.
    pub fn has_form_token(&self, token: &str) -> bool {
        self.form_tokens.iter().any(|known| same(known, token))
    }

    /// Forgets a token that came back with a form; `false` if the session does not know it (any more).
    pub fn remove_form_token(&mut self, token: &str) -> bool {
        let outstanding = self.form_tokens.len();
        self.form_tokens.retain(|known| !same(known, token));
        let had = self.form_tokens.len() < outstanding;
        self.modified |= had;
        had
    }

    /// How many form tokens are outstanding.
    pub fn form_token_count(&self) -> usize {
        self.form_tokens.len()
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
        self.user.is_some() || !self.form_tokens.is_empty() || !self.data.is_empty()
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

    fn if_stored(&self, millis: u64) -> Option<SystemTime> {
        match self.stamp.version {
            0 => None,
            _ => time_at(millis),
        }
    }
}

/// Compares secrets without telling by its time how much of the guess is right.
fn same(known: &str, guess: &str) -> bool {
    let differences = known.bytes().zip(guess.bytes());
    known.len() == guess.len() && differences.fold(0, |sum, (a, b)| sum | (a ^ b)) == 0
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("handle", &self.handle())
            .field("version", &self.version())
            .field("created", &self.created())
            .field("accessed", &self.accessed())
            .field("expires", &self.expires())
            .field("has_user", &self.user.is_some())
            .field("values", &self.data.len())
            .field("form_tokens", &self.form_tokens.len())
            .field("modified", &self.modified)
            .finish_non_exhaustive()
    }
}
