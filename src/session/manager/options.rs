//! The options of an application's sessions.

use super::SessionManager;
use super::bell::Bell;
use super::carrier::Carrier;
use super::cookie::{Attributes, SameSite};
use super::event::{Event, Sink};
use crate::error::Result;
use crate::session::{SessionCap, SessionOptions, SessionStore};
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

const IDLE: Duration = Duration::from_secs(14 * 24 * 60 * 60);
const ANONYMOUS_IDLE: Duration = Duration::from_secs(60 * 60);
const SESSION_BYTES_MAX: usize = 64 * 1024;

/// How a [`SessionManager`] talks to browsers, and what it allows. Setters return the options, as those of
/// [`OpenOptions`](std::fs::OpenOptions) do.
///
/// The cookie that browsers get by default is `__Host-id=...; Path=/; Secure; HttpOnly; SameSite=Lax`: for this host
/// alone, out of reach of scripts, not sent along with other sites' forms, until the browser is closed.
///
/// **Secure.** Browsers take a Secure cookie over HTTPS, and over plain HTTP from `localhost` (Chrome and Firefox;
/// Safari does not). Elsewhere on plain HTTP they drop it without a word: the cookie is sent and never comes back.
/// The manager sends it in any case and does not look at `X-Forwarded-Proto`, so it works behind a proxy that ends
/// TLS.
///
/// ```
/// use shelflife::{ManagerOptions, MemorySessionStore};
///
/// let manager = ManagerOptions::new()
///     .cookie_name("shop")
///     .secure(false) // for a development server by a name other than localhost
///     .on_event(|event| eprintln!("{event:?}"))
///     .manage(MemorySessionStore::new())?;
/// assert_eq!(manager.cookie_name(), "shop");
/// # Ok::<(), shelflife::Error>(())
/// ```
#[derive(Clone)]
pub struct ManagerOptions {
    attributes: Attributes,
    id_header: Option<String>,
    anonymous_idle: Option<Duration>,
    session_bytes_max: usize,
    session_cap: Option<SessionCap>,
    sink: Option<Arc<Sink>>,
}

impl ManagerOptions {
    /// The defaults, which each setter tells.
    pub fn new() -> ManagerOptions {
        ManagerOptions {
            attributes: Attributes::default(),
            id_header: None,
            anonymous_idle: Some(ANONYMOUS_IDLE),
            session_bytes_max: SESSION_BYTES_MAX,
            session_cap: None,
            sink: None,
        }
    }

    /// The cookie's name without prefix: a token (RFC 9110) of at most 64 bytes. Default: `id`, which tells nothing of
    /// what runs here.
    ///
    /// A Secure cookie gets the prefix `__Host-` if its path is `/` and it has no domain, so that no sibling domain can
    /// set it, and `__Secure-` otherwise.
    ///
    /// Two applications on one host need two names, also on two ports: a browser keeps one cookie of a name for the host,
    /// so a login to one of them would log its user out of the other.
    pub fn cookie_name(&mut self, name: &str) -> &mut ManagerOptions {
        self.attributes.name = name.to_string();
        self
    }

    /// The part of the site that gets the cookie. Default: `/`.
    pub fn path(&mut self, path: &str) -> &mut ManagerOptions {
        self.attributes.path = path.to_string();
        self
    }

    /// The domain whose hosts all get the cookie. Default: this host alone.
    pub fn domain(&mut self, domain: &str) -> &mut ManagerOptions {
        self.attributes.domain = Some(domain.to_string());
        self
    }

    /// Whether the cookie is sent over HTTPS alone. Default: true.
    pub fn secure(&mut self, secure: bool) -> &mut ManagerOptions {
        self.attributes.secure = secure;
        self
    }

    /// Whether the cookie is out of reach of scripts. Default: true.
    pub fn http_only(&mut self, http_only: bool) -> &mut ManagerOptions {
        self.attributes.http_only = http_only;
        self
    }

    /// Whether the cookie comes along with requests that other sites begin. Default: [`SameSite::Lax`].
    pub fn same_site(&mut self, same_site: SameSite) -> &mut ManagerOptions {
        self.attributes.same_site = same_site;
        self
    }

    /// Whether a page in a frame has a cookie of its own for each site that embeds it. Default: false.
    pub fn partitioned(&mut self, partitioned: bool) -> &mut ManagerOptions {
        self.attributes.partitioned = partitioned;
        self
    }

    /// Carries the id in this header, of requests and responses, in place of a cookie: for clients that are programs.
    /// The names and attributes of the cookie then mean nothing, [`begin`](SessionManager::begin) takes the values of
    /// this header, and a session that ends is told by the header without a value.
    ///
    /// Clients that send `Authorization: Bearer ID` are served as well: hand `begin` what stands behind `Bearer `.
    ///
    /// ```
    /// use shelflife::{ManagerOptions, MemorySessionStore};
    ///
    /// let manager = ManagerOptions::new().id_header("X-Session").manage(MemorySessionStore::new())?;
    /// let mut visit = manager.begin::<&str>([]);
    /// visit.login("ann")?;
    /// let done = visit.finish()?;
    /// let (name, id) = done.headers().next().unwrap();
    /// assert_eq!(name, "X-Session");
    /// assert_eq!(manager.begin([id]).user()?, Some("ann"));
    ///
    /// let authorization = format!("Bearer {id}");
    /// assert_eq!(manager.begin(authorization.strip_prefix("Bearer ")).user()?, Some("ann"));
    /// # Ok::<(), shelflife::Error>(())
    /// ```
    pub fn id_header(&mut self, name: &str) -> &mut ManagerOptions {
        self.id_header = Some(name.to_string());
        self
    }

    /// How long a session without a user lives unused, at most as long as any other. So what robots leave behind, which
    /// never bring a cookie back, goes soon. `None`: as long as any other. Default: an hour.
    pub fn anonymous_idle(&mut self, idle: Option<Duration>) -> &mut ManagerOptions {
        self.anonymous_idle = idle;
        self
    }

    /// How many bytes a session may take when it is stored, beyond which a change that makes it larger is refused.
    /// Default: 65,536.
    pub fn session_bytes_max(&mut self, bytes: usize) -> &mut ManagerOptions {
        self.session_bytes_max = bytes;
        self
    }

    /// How many sessions a user may have at once, and what happens at a login beyond it. Default: any number.
    ///
    /// ```
    /// use shelflife::{ManagerOptions, MemorySessionStore, SessionCap};
    ///
    /// let manager = ManagerOptions::new()
    ///     .session_cap(Some(SessionCap::Refuse(1)))
    ///     .manage(MemorySessionStore::new())?;
    /// let mut first = manager.begin([""]);
    /// assert!(first.login("ann")?);
    /// assert!(!manager.begin([""]).login("ann")?);
    /// # Ok::<(), shelflife::Error>(())
    /// ```
    pub fn session_cap(&mut self, cap: Option<SessionCap>) -> &mut ManagerOptions {
        self.session_cap = cap;
        self
    }

    /// Is told each [`Event`] of a session. It runs in the middle of requests, so it must be quick. Default: nobody.
    pub fn on_event(
        &mut self,
        sink: impl Fn(&Event<'_>) + Send + Sync + 'static,
    ) -> &mut ManagerOptions {
        self.sink = Some(Arc::new(sink));
        self
    }

    /// Opens the sessions in this file as [`SessionManager::open`] does, and manages them with these options.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let path = dir.path().join("sessions.shelf");
    /// use shelflife::ManagerOptions;
    ///
    /// let sessions = ManagerOptions::new().cookie_name("shop").open(&path)?;
    /// # Ok::<(), shelflife::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`manage`](ManagerOptions::manage), before a file is created, and as
    /// [`SessionOptions::open`](crate::SessionOptions::open).
    pub fn open(&self, path: impl AsRef<Path>) -> Result<SessionManager> {
        self.carrier()?;
        let store = SessionOptions::new()
            .hash_ids(true)
            .idle_lifetime(IDLE)
            .open(path)?;
        self.manage(store)
    }

    /// Manages the sessions of a store.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) for what browsers would refuse without a word: a
    /// name that is no token or brings its own prefix, a path or a domain with letters that would end the attribute,
    /// `SameSite=None` or `Partitioned` without Secure.
    pub fn manage(&self, store: impl SessionStore + 'static) -> Result<SessionManager> {
        self.manage_shared(Arc::new(store))
    }

    fn carrier(&self) -> Result<Carrier> {
        Carrier::new(&self.attributes, self.id_header.as_deref())
    }

    /// The same for a store that others hold as well.
    ///
    /// # Errors
    ///
    /// As [`manage`](ManagerOptions::manage).
    pub fn manage_shared(&self, store: Arc<dyn SessionStore>) -> Result<SessionManager> {
        let carrier = self.carrier()?;
        Ok(SessionManager(Arc::new(super::Inner {
            store,
            carrier,
            anonymous_idle: self.anonymous_idle,
            session_bytes_max: self.session_bytes_max,
            session_cap: self.session_cap,
            sink: self.sink.clone(),
            bell: Bell::default(),
        })))
    }
}

impl Default for ManagerOptions {
    fn default() -> ManagerOptions {
        ManagerOptions::new()
    }
}

impl fmt::Debug for ManagerOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ManagerOptions")
            .field("attributes", &self.attributes)
            .field("id_header", &self.id_header)
            .field("anonymous_idle", &self.anonymous_idle)
            .field("session_bytes_max", &self.session_bytes_max)
            .field("session_cap", &self.session_cap)
            .field("has_sink", &self.sink.is_some())
            .finish()
    }
}
