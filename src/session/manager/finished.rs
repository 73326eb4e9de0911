//! The end of a visit: the headers to send, and whether anything was lost.

use std::fmt;

/// The fate of a request's changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// There was nothing to do.
    Nothing,
    /// The session was noted as used; nothing of it was changed.
    Touched,
    /// All that the request changed is stored.
    Stored,
    /// It is stored together with what an overlapping request changed meanwhile.
    Merged,
    /// The request ended the session.
    Ended,
    /// Nothing that the request changed is stored.
    Lost(Lost),
}

/// Why the changes of a request were not stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Lost {
    /// The session was ended meanwhile, by a logout elsewhere or by its age. Storing would undo the logout.
    Ended,
    /// The session has another id or another user meanwhile: a login overtook this request.
    Superseded,
    /// The login was refused, since the user has as many sessions as a
    /// [`SessionCap::Refuse`](crate::SessionCap::Refuse) allows.
    Refused,
    /// Overlapping requests changed the session again and again, faster than this one could give it a new id.
    Conflict,
}

/// The headers to send, and the fate of the visit's changes; by [`Visit::finish`](crate::manager::Visit::finish).
#[must_use = "the visitor needs the headers, and what was lost is lost if nobody looks"]
pub struct Finished {
    pub(super) outcome: Outcome,
    /// Name and value of the header that tells the visitor the id.
    pub(super) id: Option<(String, String)>,
    pub(super) vary: Option<String>,
    pub(super) cache: Option<&'static str>,
}

impl Finished {
    /// Names and values of the headers to send with the response, in this order, each at most once:
    ///
    /// - `Set-Cookie` if this request made or renewed a session, or ended the one with which the visitor came.
    ///   **Append** it: others' cookies stay. With [`id_header`](crate::ManagerOptions::id_header) it is that header,
    ///   without a value when the session ended.
    /// - `Vary: Cookie` if the request looked at the session. **Append** it.
    /// - `Cache-Control`: `no-store` with a `Set-Cookie` **replaces** what the application said; `private`, for a page
    ///   of a visitor who has a session, counts **only if it said nothing**. It keeps the page out of caches that others
    ///   share, not out of the visitor's browser: a page that must not come back by the back button after the logout
    ///   says `no-store` itself.
    ///
    /// ```
    /// use shelflife::{ManagerOptions, MemorySessionStore};
    ///
    /// let manager = ManagerOptions::new().manage(MemorySessionStore::new())?;
    /// let mut visit = manager.begin(["theme=dark"]);
    /// visit.session()?.insert("cart", &vec!["tea"])?;
    /// let done = visit.finish()?;
    /// let names: Vec<&str> = done.headers().map(|(name, _)| name).collect();
    /// assert_eq!(names, ["Set-Cookie", "Vary", "Cache-Control"]);
    /// # Ok::<(), shelflife::Error>(())
    /// ```
    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        let id = self
            .id
            .as_ref()
            .map(|(name, value)| (name.as_str(), value.as_str()));
        let vary = self.vary.as_deref().map(|on| ("Vary", on));
        let cache = self.cache.map(|rule| ("Cache-Control", rule));
        id.into_iter().chain(vary).chain(cache)
    }

    /// The fate of the request's changes.
    pub fn outcome(&self) -> Outcome {
        self.outcome
    }

    /// Whether something that the request changed is not stored. For a request that was to change something, answer
    /// 409 and ask the visitor to try again.
    pub fn is_lost(&self) -> bool {
        matches!(self.outcome, Outcome::Lost(_))
    }
}

/// The id in it is a secret, so it shows the outcome and the names of the headers.
impl fmt::Debug for Finished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.headers().map(|(name, _)| name).collect();
        f.debug_struct("Finished")
            .field("outcome", &self.outcome)
            .field("headers", &names)
            .finish()
    }
}
