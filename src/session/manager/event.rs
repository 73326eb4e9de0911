//! The events of visits that an operator may want to know: no id, no user, no value.

use super::finished::Lost;
use crate::error::Error;
use crate::session::SessionHandle;

pub(super) type Sink = dyn Fn(&Event<'_>) + Send + Sync;

/// Something happened to a session, told to [`ManagerOptions::on_event`](crate::manager::ManagerOptions::on_event).
///
/// Sessions are named by their handles, which give nobody a session, so all of it may be logged.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A visitor without a session got one.
    Created {
        /// The new session.
        session: SessionHandle,
    },
    /// A user logged in.
    LoggedIn {
        /// The session under its new id.
        session: SessionHandle,
        /// The handle that it had before, or that of the id with which the visitor came, if it leads to none any more.
        from: Option<SessionHandle>,
    },
    /// A session got a new id without a login.
    Renewed {
        /// The session under its new id.
        session: SessionHandle,
        /// The handle that it had before.
        from: SessionHandle,
    },
    /// A request ended a session: by a logout, by emptying it, because the user's credentials are others now, or by a
    /// login for which the user's [cap](crate::SessionCap::EndOldest) had no room otherwise.
    /// [`logout_everywhere`](crate::manager::Visit::logout_everywhere) and
    /// [`logout_elsewhere`](crate::manager::Visit::logout_elsewhere) answer how many others they ended, which no event
    /// tells.
    Ended {
        /// The session that ended.
        session: SessionHandle,
    },
    /// A request came with an id that was replaced by another within the last minute, by a login or a renewal that
    /// overtook it.
    Superseded {
        /// The handle that the session had before.
        session: SessionHandle,
    },
    /// A stored session cannot be read; the visitor is treated as one without a session.
    Unreadable {
        /// The session that cannot be read.
        session: SessionHandle,
        /// Why not.
        error: &'a Error,
    },
    /// A request came with cookies of more than one live session. Without the prefix `__Host-` a sibling domain can do
    /// that to a visitor.
    Duplicate {
        /// The session that counts.
        session: SessionHandle,
    },
    /// A request came with something else in the place of an id.
    Malformed,
    /// Changes of a request were not stored.
    Lost {
        /// The session that they were made to, or that of the id with which the visitor came; `None` for a login that was
        /// refused to a visitor who brought no id.
        session: Option<SessionHandle>,
        /// Why not.
        why: Lost,
    },
    /// The use of a session could not be noted; a request that did not look at its session was answered all the same.
    TouchFailed {
        /// The session that may end early.
        session: SessionHandle,
        /// Why.
        error: &'a Error,
    },
}
