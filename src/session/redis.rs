//! `RedisSessionStore`: sessions on Redis or Valkey, shared by machines.
//!
//! Lowest first: [`reply`] has the bytes of the protocol, [`url`] says where the servers are, [`connection`] is one
//! wire, [`pool`] those that are idle, [`pause`] the waits of a call, [`cluster`] which server has a slot, [`client`] the
//! loop that gets a command answered. [`scripts`] has what servers run, [`keys`] and [`record`] what they keep,
//! [`randomness`] what ids are made of, and the marks that tell one write from another. [`store`] has the rules: for one
//! session, in its `bulk` those for all, and in its `turn` those that keep logins under a cap apart.

mod client;
mod cluster;
mod connection;
mod keys;
mod pause;
mod pool;
mod randomness;
mod record;
mod reply;
mod scripts;
mod sha1;
mod store;
mod url;

use super::id::{SessionHandle, SessionId};
use super::lifetime::Lifetime;
use super::options::SessionOptions;
use super::outcome::{Existing, Saved, SessionCap, Sessions};
use super::record_key::Kind;
use super::state::Session;
use super::{SessionStore, beyond_cap};
use crate::error::{Error, Result};
use crate::store::disk::{Disk, os::OsDisk};
use client::{Client, Replicas};
use keys::Keys;
use randomness::Randomness;
use reply::{Bounds, Reply};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use store::Store;
use store::turn::Turn;

/// A server knows for so long what it has ended: a new id that a client asks for again later than that would be refused.
/// The turn of a user to log in under a cap outlasts its holder's death by four timeouts.
const TIMEOUT_MAX: Duration = Duration::from_secs(60);

/// Where and how a [`RedisSessionStore`] keeps sessions. Setters return the options, as those of
/// [`OpenOptions`](std::fs::OpenOptions) do.
///
/// ```no_run
/// use shelflife::{RedisOptions, SessionOptions};
/// use std::time::Duration;
///
/// let lifetimes = SessionOptions::new().idle_lifetime(Duration::from_secs(30 * 60)).clone();
/// let store = RedisOptions::new()
///     .sessions(&lifetimes)
///     .prefix("shop:")
///     .password(&std::env::var("REDIS_PASSWORD").unwrap_or_default())
///     .connect("redis://sessions.internal")?;
/// # Ok::<(), shelflife::Error>(())
/// ```
#[derive(Clone)]
pub struct RedisOptions {
    sessions: SessionOptions,
    prefix: String,
    user: Option<String>,
    password: Option<String>,
    timeout: Duration,
    replicas: Option<Replicas>,
}

impl RedisOptions {
    /// Keys that begin with `shelflife:`, 5 seconds for a call, no waiting for replicas, and the default
    /// [`SessionOptions`].
    pub fn new() -> RedisOptions {
        RedisOptions {
            sessions: SessionOptions::new(),
            prefix: "shelflife:".into(),
            user: None,
            password: None,
            timeout: Duration::from_secs(5),
            replicas: None,
        }
    }

    /// How sessions live and how their ids are kept.
    pub fn sessions(&mut self, sessions: &SessionOptions) -> &mut RedisOptions {
        self.sessions = sessions.clone();
        self
    }

    /// The beginning of all keys. Give each application a prefix of its own: `shop:` and `shop:2` have no session in
    /// common. Without braces, which say which server of a cluster has a key.
    pub fn prefix(&mut self, prefix: &str) -> &mut RedisOptions {
        self.prefix = prefix.into();
        self
    }

    /// The user of the server's access list, in place of the one in the URL. One without a password logs in with an empty
    /// one.
    pub fn user(&mut self, user: &str) -> &mut RedisOptions {
        self.user = Some(user.into());
        self
    }

    /// The password, in place of the one in the URL. Empty is none.
    pub fn password(&mut self, password: &str) -> &mut RedisOptions {
        self.password = Some(password.into());
        self
    }

    /// How long a call may take in all, with connecting and every further try. A call that goes step by step, such as a
    /// list, has this time for each step.
    ///
    /// Default: 5 seconds. At least 100 milliseconds; more than a minute counts as a minute.
    pub fn timeout(&mut self, timeout: Duration) -> &mut RedisOptions {
        self.timeout = timeout;
        self
    }

    /// Waits until so many replicas have what ends a session: a deletion, a new id. Without it a failover right
    /// after a logout can undo the logout.
    ///
    /// If they do not answer in time the call returns an error, and the session has ended on its primary all the same.
    /// To delete it again waits for them again; a further call for all sessions of a user finds none, and waits for
    /// nothing. The time is part of the [`timeout`](RedisOptions::timeout) and must be less than half of it.
    pub fn replicas(&mut self, count: u32, wait: Duration) -> &mut RedisOptions {
        self.replicas = (count > 0).then_some(Replicas { count, wait });
        self
    }

    /// Connects to `redis://host:port`, to a cluster by one or more of its servers (`redis://host,host:port`), or to
    /// a socket (`unix:///path`). A database of a single server is named by `/2` or `?db=2`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) for what is no such URL, for several servers of which
    /// none is a cluster's and for options that cannot be, [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) for
    /// `rediss://`, and [`ErrorKind::Io`](crate::ErrorKind::Io) if no server answers or lets this client in.
    pub fn connect(&self, url: &str) -> Result<RedisSessionStore> {
        let mut servers = url::parse(url)?;
        let login = &mut servers.login;
        login.user = self.user.clone().or(login.user.take());
        let password = self.password.clone().or(login.password.take());
        login.password = password.filter(|password| !password.is_empty());
        let timeout = self.timeout.min(TIMEOUT_MAX);
        if timeout < Duration::from_millis(100) {
            return Err(invalid("a timeout under 100 milliseconds"));
        }
        if self
            .replicas
            .is_some_and(|replicas| replicas.wait.is_zero() || replicas.wait >= timeout / 2)
        {
            return Err(invalid(
                "a wait for replicas of nothing, or of half the timeout or more",
            ));
        }
        let rules = self.sessions.rules();
        let keys = Keys::new(&self.prefix, rules.kind == Some(Kind::Hashed))?;
        let client = Client::connect(servers, timeout, self.replicas)?;
        let warning = warning(&client);
        let store = Store {
            client,
            keys,
            rules,
            randomness: Randomness::new(),
        };
        Ok(RedisSessionStore {
            store: Arc::new(store),
            warning,
        })
    }
}

impl Default for RedisOptions {
    fn default() -> RedisOptions {
        RedisOptions::new()
    }
}

/// Shows no password.
impl std::fmt::Debug for RedisOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RedisOptions")
            .field("sessions", &self.sessions)
            .field("prefix", &self.prefix)
            .field("user", &self.user)
            .field("has_password", &self.password.is_some())
            .field("timeout", &self.timeout)
            .field("replicas", &self.replicas)
            .finish()
    }
}

/// Sessions on Redis 6.2 or later, or Valkey, on one server or a cluster, shared by machines.
///
/// For when one machine is not enough: the contract is that of [`ShelveSessionStore`](crate::ShelveSessionStore), so
/// that one line changes, and [`copy_sessions`](crate::copy_sessions) takes the sessions along. Until that day a file
/// is faster, and needs no server that somebody has to run.
///
/// ```no_run
/// use shelflife::{RedisSessionStore, Saved, Session, SessionStore};
///
/// let store = RedisSessionStore::connect("redis://127.0.0.1")?;
/// if let Some(warning) = store.warning() {
///     eprintln!("{warning}");
/// }
/// let mut session = Session::new();
/// session.set_user(Some("ann"));
/// assert!(matches!(store.save_session(&mut session)?, Saved::Stored));
/// # Ok::<(), shelflife::Error>(())
/// ```
///
/// # What a server keeps
///
/// A session is one string under `shelflife:{x7Q}x7QeGF0LqcxkqsHUm8Aagw`: 38 bytes of its version, times and lifetimes,
/// and the contents as CBOR. The braces hold the first three letters of the id, by which a cluster chooses the server,
/// and a session keeps these letters when it gets a new id. So a new id is one atomic step in a cluster, too; its other
/// 110 bits are new.
///
/// Each change is one script that compares the version, so that no lock is held and nothing is lost. A session ends by
/// the server's clock, at the same moment for all machines, and its key ends with it. A change whose connection broke
/// before the answer came is sent again, and the server knows that it has made it already.
///
/// Threads share a store. Each call takes a connection from a pool, and a connection that has failed in any way is
/// closed. Each answer repeats a mark or a number of its question, so that nobody gets the answer to somebody else's.
///
/// # The differences from a file
///
/// - **An acknowledged change can be lost.** A server that dies loses what it had not written to its disk or sent to
///   its replicas, and after a failover a logout can be undone. [`RedisOptions::replicas`] waits for replicas at
///   whatever ends a session; `appendfsync always` waits for the disk.
/// - **A server can throw sessions away** when its memory is full, if it is set up so: see
///   [`warning`](RedisSessionStore::warning).
/// - **Lists are no snapshot.** [`iter_sessions`](SessionStore::iter_sessions) yields each session that was there all
///   the time, as it is when the list comes to it; one that got a new id over a minute before that may be missing. An
///   error of the server ends the list. A call that concerns all sessions, or all of one user, reads the keys of all
///   servers: a few seconds for a million sessions. Where that takes a minute, the end of a user's sessions is
///   [`ErrorKind::Busy`](crate::ErrorKind::Busy): one with a new id may have been missed.
/// - **Ended sessions are gone** without anybody's doing, so that
///   [`delete_old_sessions`](SessionStore::delete_old_sessions) does not count them.
/// - **An update may run its closure more than once**, when others change the session at the same time. If that goes on
///   until the deadline it is [`ErrorKind::Busy`](crate::ErrorKind::Busy); so is the end of a user's sessions of which
///   others change one before each try, and those that it could end have ended.
/// - **Logins under a [cap](SessionStore::regenerate_id_capped) wait for each other**, those of one user, since
///   counting and storing are several steps here. No two pass the cap together, also in a cluster, unless a failover or
///   an eviction loses what a server had answered. With [`EndOldest`](SessionCap::EndOldest) the new session is there
///   before the oldest ends: a list may show one more for a moment, and should client or server fail in it, until the
///   user's next login. A client that dies during such a login holds up the user's next for four times its timeout.
/// - **How ids are kept is noted nowhere.** Clients that share sessions need the same
///   [`hash_ids`](SessionOptions::hash_ids): one with the other choice finds none of them, and says nothing.
/// - **A session can be 16 MiB large**, or what
///   [`session_bytes_max`](SessionOptions::session_bytes_max) allows if that is less.
/// - **The outcome can be unknown**: with an error of kind [`Io`](crate::ErrorKind::Io) the change was made or not.
///
/// # Rights
///
/// The user of an access list needs these commands, and the keys `shelflife:{*` or those of another prefix:
///
/// ```text
/// +get +getrange +setrange +set +unlink +exists +eval +evalsha +pexpireat +persist +time +scan +select +cluster|slots
/// +info +wait +echo +asking
/// ```
///
/// # Encryption
///
/// The standard library has no TLS. On a network that is not yours alone let a proxy on this machine encrypt, such as
/// stunnel or a sidecar, and connect to it by loopback or by a Unix socket.
#[derive(Debug)]
pub struct RedisSessionStore {
    store: Arc<Store>,
    warning: Option<String>,
}

impl RedisSessionStore {
    /// Connects with the default [`RedisOptions`], by which sessions live until they are deleted.
    ///
    /// # Errors
    ///
    /// As [`RedisOptions::connect`].
    pub fn connect(url: &str) -> Result<RedisSessionStore> {
        RedisOptions::new().connect(url)
    }

    /// A warning for the operator of the server: that it is set up to throw sessions away when its memory is full.
    pub fn warning(&self) -> Option<&str> {
        self.warning.as_deref()
    }

    /// A login under a cap, in the turn of its user.
    fn log_in(
        &self,
        turn: &Turn<'_>,
        user: &str,
        session: &mut Session,
        cap: SessionCap,
    ) -> Result<Saved> {
        let beyond = match beyond_cap(self, user, session, cap)? {
            Ok(beyond) => beyond,
            Err(refused) => return Ok(refused),
        };
        turn.renew()?;
        let saved = self.store.regenerate(session)?;
        if matches!(saved, Saved::Stored) && !beyond.is_empty() {
            // One walk finds all of them. The login stands, whatever comes of it.
            let is_beyond = |its| beyond.contains(&its);
            let _ = (self.store).delete_user(user, &is_beyond, &mut session.displaced);
        }
        Ok(saved)
    }
}

impl SessionStore for RedisSessionStore {
    fn load_session(&self, id: &SessionId) -> Result<Option<Session>> {
        self.store.load(id)
    }

    fn save_session(&self, session: &mut Session) -> Result<Saved> {
        self.store.save(session)
    }

    fn edit_session(
        &self,
        id: &SessionId,
        edit: &mut dyn FnMut(&mut Session) -> Result<()>,
    ) -> Result<Option<Session>> {
        self.store.edit(id, edit)
    }

    fn touch_session(&self, id: &SessionId) -> Result<bool> {
        self.store.touch(id)
    }

    fn regenerate_id(&self, session: &mut Session) -> Result<Saved> {
        self.store.regenerate(session)
    }

    fn regenerate_id_capped(&self, session: &mut Session, cap: SessionCap) -> Result<Saved> {
        let Some(user) = session.user().map(String::from) else {
            return self.regenerate_id(session);
        };
        let turn = self.store.turn_of(&user)?;
        let saved = self.log_in(&turn, &user, session, cap);
        turn.end();
        saved
    }

    fn was_replaced(&self, id: &SessionId) -> Result<bool> {
        self.store.was_replaced(id)
    }

    fn delete_session(&self, id: &SessionId) -> Result<bool> {
        self.store.delete(id)
    }

    fn has_session(&self, id: &SessionId) -> Result<bool> {
        self.store.has(id)
    }

    fn iter_sessions(&self) -> Sessions {
        Sessions::new(self.store.list())
    }

    fn delete_old_sessions(&self, idle: Duration) -> Result<(usize, usize)> {
        self.store.delete_old(idle)
    }

    fn delete_user_sessions(&self, user: &str) -> Result<usize> {
        self.store.count_deleted(user, &|_| true)
    }

    fn delete_user_sessions_except(&self, user: &str, keep: &SessionHandle) -> Result<usize> {
        self.store.count_deleted(user, &|its| its != *keep)
    }

    fn delete_user_session(&self, user: &str, handle: &SessionHandle) -> Result<bool> {
        let deleted = self.store.count_deleted(user, &|its| its == *handle)?;
        Ok(deleted > 0)
    }

    fn delete_by_handle(&self, handle: SessionHandle) -> Result<usize> {
        let deleted = self.store.delete_handles(&|its| its == handle)?;
        Ok(deleted.len())
    }

    fn delete_by_handles(
        &self,
        is_meant: &dyn Fn(SessionHandle) -> bool,
    ) -> Result<Vec<SessionHandle>> {
        self.store.delete_handles(is_meant)
    }

    fn import_sessions(&self, sessions: &[Session]) -> Result<usize> {
        self.store.import(sessions)
    }

    fn setup(&self, existing: Existing) -> Result<()> {
        self.store.setup(existing)
    }

    fn lifetime(&self) -> Lifetime {
        self.store.rules.lifetimes.into()
    }

    /// By the server's clock; by this machine's if the server does not answer.
    fn now(&self) -> SystemTime {
        self.store.now().unwrap_or_else(|_| OsDisk.wall_clock())
    }

    fn is_thread_safe(&self) -> bool {
        true
    }

    fn is_multiprocess_safe(&self) -> bool {
        true
    }
}

/// Whether the server throws sessions away when its memory is full. One that does not tell is not asked again.
fn warning(client: &Client) -> Option<String> {
    let bounds = Bounds::new(64 * 1024, 0, 0);
    let Ok((server, Reply::Bulk(info))) =
        client.ask_any(&[b"INFO", b"memory"], bounds, client.deadline())
    else {
        return None;
    };
    let info = String::from_utf8_lossy(&info);
    let field = |name: &str| {
        let mut lines = info.lines().filter_map(|line| line.split_once(':'));
        lines
            .find(|(key, _)| *key == name)
            .map(|(_, value)| value.trim())
    };
    let policy = field("maxmemory_policy")?;
    let is_bounded = field("maxmemory").is_some_and(|bytes| bytes != "0");
    let keeps = matches!(policy, "noeviction" | "volatile-ttl");
    (is_bounded && !keeps).then(|| {
        format!(
            "the server at `{server}` logs people out when its memory is full: its maxmemory-policy is {policy}; \
             set it to noeviction or volatile-ttl"
        )
    })
}

fn invalid(what: &str) -> Error {
    Error::invalid_input(what, "")
}
