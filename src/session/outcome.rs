//! The arguments and the answers of calls on a store of sessions.

use super::state::Session;
use crate::error::{Error, Result};
use std::fmt;

/// The fate of a session that was to be saved.
#[must_use = "a session that was not stored is lost if nobody looks"]
#[non_exhaustive]
#[derive(Debug)]
pub enum Saved {
    /// It is stored as it was given.
    Stored,
    /// Nothing was stored: somebody else changed the session since this copy was loaded. Here is what is stored now,
    /// to carry the changes over to with [`Session::rebase`] and save that.
    Conflict(Box<Session>),
    /// Nothing was stored: the session was deleted, has expired or got another id since this copy was loaded. The
    /// visitor is logged out, and saving must not undo that.
    Gone,
    /// Nothing is stored: the session has [nothing worth keeping](Session::has_info). The visitor needs no cookie.
    Empty,
    /// Nothing was stored: the user has as many sessions as a [`SessionCap`] allows.
    Full,
}

/// How many sessions a user may have at once, and what happens at a login that would make it one more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SessionCap {
    /// The login is refused: [`Saved::Full`]. With 0 nobody logs in.
    Refuse(usize),
    /// The sessions that were not used for longest are ended. At least the one that logs in stays.
    EndOldest(usize),
}

/// The choice of [`SessionStore::setup`](crate::SessionStore::setup) about a store that holds sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Existing {
    /// Leaves them as they are.
    Keep,
    /// Refuses.
    Fail,
    /// Removes everything.
    Overwrite,
}

impl Existing {
    /// The error of [`Fail`](Existing::Fail) for a store that holds sessions.
    pub(super) fn refuse() -> Error {
        Error::taken("the store already has sessions", "keep or overwrite them")
    }
}

/// The sessions of a store at one moment, by [`SessionStore::iter_sessions`](crate::SessionStore::iter_sessions).
///
/// A session that cannot be read is an item with an error, after which the iteration goes on.
pub struct Sessions(Box<dyn Iterator<Item = Result<Session>> + Send>);

impl Sessions {
    /// For [a store of your own](crate::SessionStore#a-store-of-your-own) that stands in front of another.
    ///
    /// ```
    /// use shelflife::{Session, Sessions};
    ///
    /// let sessions = Sessions::new([Ok(Session::new())].into_iter());
    /// assert_eq!(sessions.count(), 1);
    /// ```
    pub fn new(sessions: impl Iterator<Item = Result<Session>> + Send + 'static) -> Sessions {
        Sessions(Box::new(sessions))
    }

    /// Those of a user. A session that can't be read is nobody's.
    pub(super) fn of_user(self, user: &str) -> Result<Vec<Session>> {
        let mut sessions = Vec::new();
        for session in self {
            match session {
                Ok(session) if session.user() == Some(user) => sessions.push(session),
                Ok(_) => {}
                Err(error) if error.is_of_one_record() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(sessions)
    }
}

impl Iterator for Sessions {
    type Item = Result<Session>;

    fn next(&mut self) -> Option<Result<Session>> {
        self.0.next()
    }
}

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sessions").finish_non_exhaustive()
    }
}
