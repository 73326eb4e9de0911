//! Sessions for any HTTP server: cookies, logins, lifetimes, forged requests, conflicts.
//!
//! A [`SessionManager`] stands between a server and a [`SessionStore`]. Each request begins a [`Visit`] with what
//! stands in its `Cookie` fields; the handler reads and changes the session; [`Visit::finish`] stores it and tells
//! which headers to send. It knows no server, so it works with every one: the [recipes] have the few lines for some.
//!
//! ```
//! use shelflife::{Result, SessionManager};
//!
//! /// Answers one request: what stands in its `Cookie` fields, and the page with the headers to send.
//! fn respond(sessions: &SessionManager, cookies: &[&str]) -> Result<(String, Vec<(String, String)>)> {
//!     let mut visit = sessions.begin(cookies);
//!     let n = visit.session()?.get::<u64>("visits")?.unwrap_or(0) + 1;
//!     visit.session()?.insert("visits", &n)?;
//!     let done = visit.finish()?;
//!     let headers = done.headers().map(|(name, value)| (name.to_string(), value.to_string()));
//!     Ok((format!("visit {n}"), headers.collect()))
//! }
//! # let dir = tempfile::tempdir().unwrap();
//! # let path = dir.path().join("sessions.shelf");
//!
//! let sessions = SessionManager::open(&path)?;
//! let (page, headers) = respond(&sessions, &[])?;
//! assert_eq!(page, "visit 1");
//! let (_, cookie) = headers.iter().find(|(name, _)| name == "Set-Cookie").unwrap();
//! let (page, _) = respond(&sessions, &[cookie.split(';').next().unwrap()])?;
//! assert_eq!(page, "visit 2");
//! # Ok::<(), shelflife::Error>(())
//! ```
//!
//! # What it takes care of
//!
//! - **The cookie is changed only for what a request itself did.** An id that is dead is left alone, so a late request
//!   neither deletes nor replaces the cookie of a login that overtook it, and a logout is not undone. That a login gave
//!   a session another id is known [for a minute](crate::SessionStore::was_replaced).
//! - **A login is one call**, [`login`](Visit::login): a new id, the old one dead in the same atomic step, old tokens
//!   void. A change of the user without that call gives a new id and voids tokens, too; the values stay then.
//! - **Overlapping requests lose nothing of each other's**: changes of different keys are put together, and
//!   [`update`](Visit::update) counts exactly. A change that can't be stored is told.
//! - **The server enforces lifetimes**, by default 14 days unused, and an hour for visitors who are not logged in. The
//!   cookie's own is an upper bound.
//! - **Pages that do not look at their session cost one touch**, and an error of the store does not harm them.
//!
//! # Blocking
//!
//! It blocks, as files do. [`begin`](SessionManager::begin) and
//! [`is_cross_origin`](SessionManager::is_cross_origin) read no file, and a look at a session takes microseconds, so an
//! asynchronous server calls them directly. [`finish`](Visit::finish) waits for the disk if [it has
//! to](Visit::needs_io), and the calls that [store at once](Visit#stored-at-once) do too: those belong where blocking is
//! allowed (`spawn_blocking`, `web::block`). So does a look where other processes write to the file: it first reads
//! what they wrote since the last one, and all of the file where one of them compacted it, which takes as long as to
//! open it. And so does every look at sessions on a [server](crate::RedisSessionStore): each asks that over the network,
//! and waits for an answer up to the store's [timeout](crate::RedisOptions::timeout).
//!
//! While another process holds the lock a write waits up to [`lock_timeout`](crate::Options::lock_timeout), 5 seconds
//! unless that is set; a server that would rather answer 503 soon does well with 250 ms.

mod bell;
mod carrier;
mod cookie;
mod csrf;
mod event;
mod finished;
mod flash;
mod opening;
mod options;
mod origin;
pub mod recipes;
mod visit;
mod watch;

pub use cookie::SameSite;
pub use event::Event;
pub use finished::{Finished, Lost, Outcome};
pub use flash::Flash;
pub use options::ManagerOptions;
pub use origin::Origin;
pub use visit::{Device, Visit};
pub use watch::SessionWatch;

use super::{Lifetime, SessionCap, SessionStore};
use bell::Bell;
use carrier::Carrier;
use event::Sink;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// The sessions of an application, for any HTTP server: see the [module](self) for an example.
///
/// A clone is another handle on the same manager, so threads and tasks may each have one.
#[derive(Clone)]
pub struct SessionManager(Arc<Inner>);

struct Inner {
    store: Arc<dyn SessionStore>,
    carrier: Carrier,
    anonymous_idle: Option<Duration>,
    session_bytes_max: usize,
    session_cap: Option<SessionCap>,
    sink: Option<Arc<Sink>>,
    bell: Bell,
}

impl SessionManager {
    /// Whether a page of another site made a browser send this request in order to change something. Answer 403 then,
    /// before any handler runs: this protects all forms, those of strangers included, without a token.
    /// [`Origin::is_cross_origin`] has the rule.
    ///
    /// With an [`id_header`](ManagerOptions::id_header) it is never so, since no browser sends that by itself.
    pub fn is_cross_origin(&self, request: &Origin<'_>) -> bool {
        matches!(self.0.carrier, Carrier::Cookie(_)) && request.is_cross_origin()
    }

    /// The store below: for lists, sweeps and what is not about one request. After a call that may have ended the
    /// visitor's own session, [`reload`](Visit::reload): a visit that still has a copy counts as
    /// [lost](Finished::is_lost).
    ///
    /// ```
    /// # use shelflife::{ManagerOptions, MemorySessionStore};
    /// # let manager = ManagerOptions::new().manage(MemorySessionStore::new())?;
    /// let day = std::time::Duration::from_secs(24 * 60 * 60);
    /// manager.store().delete_old_sessions(30 * day)?;
    ///
    /// # let mut visit = manager.begin([""]);
    /// # visit.login("ann")?;
    /// # visit.save()?;
    /// # let handle = visit.session()?.handle().unwrap();
    /// manager.store().delete_by_handle(handle)?; // on a page that lists all sessions
    /// visit.reload()?;
    /// assert_eq!(visit.user()?, None, "it was the visitor's own");
    /// # Ok::<(), shelflife::Error>(())
    /// ```
    pub fn store(&self) -> &dyn SessionStore {
        &*self.0.store
    }

    /// The cookie's name with its prefix, or that of the [header](ManagerOptions::id_header).
    pub fn cookie_name(&self) -> &str {
        self.0.carrier.name()
    }

    fn tell(&self, event: &Event<'_>) {
        if let Some(sink) = &self.0.sink {
            sink(event);
        }
    }

    /// A session has ended: all who wait for that look.
    fn ring(&self) {
        self.0.bell.ring();
    }

    /// The lifetime of sessions without a user, where it differs from that of all others.
    fn anonymous_lifetime(&self) -> Option<Lifetime> {
        let anonymous = self.0.anonymous_idle?;
        let Lifetime { idle, absolute } = self.0.store.lifetime();
        let idle = Some(idle.map_or(anonymous, |idle| idle.min(anonymous)));
        Some(Lifetime { idle, absolute })
    }
}

impl fmt::Debug for SessionManager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionManager")
            .field("store", &self.0.store)
            .field("carrier", &self.0.carrier)
            .finish_non_exhaustive()
    }
}
