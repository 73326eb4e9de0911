//! The session manager, by what a browser and a server see of it.

use shelflife::manager::{Event, Finished, Lost, Outcome, Visit};
use shelflife::{
    Error, ErrorKind, Existing, Lifetime, ManagerOptions, MemorySessionStore, RedisSessionStore,
    Result, Saved, Session, SessionCap, SessionHandle, SessionId, SessionManager, SessionOptions,
    SessionStore, SessionStoreExt, Sessions,
};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

mod alike;
mod claims;
mod conflicts;
mod cookies;
mod devices;
mod faults;
mod forged;
mod hostile;
mod interleavings;
mod life;
mod lifetimes;
mod login;
mod overlaps;
mod parsing;
mod processes;
mod recipes;
mod walks;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const UNKNOWN: &str = "AAECAwQFBgcICQoLDA0ODw";

/// A web site in memory, whose time a test decides, which counts the calls to its store and lets them fail.
struct Site {
    manager: SessionManager,
    store: Arc<Spied>,
    time: Arc<Mutex<SystemTime>>,
    events: Arc<Mutex<Vec<String>>>,
}

impl Site {
    fn new() -> Site {
        Site::with(|_| (), |_| ())
    }

    fn with(sessions: impl Fn(&mut SessionOptions), options: impl Fn(&mut ManagerOptions)) -> Site {
        let start = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        let time = Arc::new(Mutex::new(start));
        let clock = Arc::clone(&time);
        let mut chosen = SessionOptions::new();
        sessions(&mut chosen);
        let store = Arc::new(Spied {
            store: chosen.in_memory_with_clock(move || *clock.lock().unwrap()),
            calls: Mutex::default(),
            failing: Mutex::default(),
        });
        let events = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&events);
        let mut chosen = ManagerOptions::new();
        chosen.on_event(move |event| sink.lock().unwrap().push(name_of(event).to_string()));
        options(&mut chosen);
        let manager = chosen.manage_shared(store.clone()).unwrap();
        Site {
            manager,
            store,
            time,
            events,
        }
    }

    fn advance(&self, by: Duration) {
        *self.time.lock().unwrap() += by;
    }

    /// One request of a browser, whose answer arrives at once.
    fn visit<T>(&self, jar: &mut Jar, handler: impl FnOnce(&mut Visit) -> T) -> T {
        let (value, answer) = self.ask(jar, handler);
        jar.receive(&answer);
        value
    }

    /// One request, whose answer the test holds.
    fn ask<T>(&self, jar: &Jar, handler: impl FnOnce(&mut Visit) -> T) -> (T, Answer) {
        let mut visit = self.begin(jar);
        let value = handler(&mut visit);
        (value, answer(visit.finish().unwrap()))
    }

    fn begin(&self, jar: &Jar) -> Visit {
        self.manager.begin(jar.field())
    }

    /// A browser that is logged in.
    fn login(&self, user: &str) -> Jar {
        let mut jar = Jar::default();
        self.visit(&mut jar, |visit| visit.login(user).unwrap());
        jar
    }

    /// A browser whose visitor has something in the cart and is not logged in.
    fn shopper(&self) -> Jar {
        let mut jar = Jar::default();
        self.visit(&mut jar, |visit| put(visit, "cart", "tea"));
        jar
    }

    fn user(&self, jar: &Jar) -> Option<String> {
        self.begin(jar).user().unwrap().map(String::from)
    }

    fn value(&self, jar: &Jar, key: &str) -> Option<String> {
        self.begin(jar).session().unwrap().get(key).unwrap()
    }

    fn sessions(&self) -> usize {
        self.store.store.iter_sessions().count()
    }

    /// The calls to the store since the last look.
    fn calls(&self) -> Vec<&'static str> {
        std::mem::take(&mut *self.store.calls.lock().unwrap())
    }

    fn events(&self) -> Vec<String> {
        std::mem::take(&mut *self.events.lock().unwrap())
    }
}

fn put(visit: &mut Visit, key: &str, value: &str) {
    visit.session().unwrap().insert(key, value).unwrap();
}

fn name_of(event: &Event<'_>) -> &'static str {
    match event {
        Event::Created { .. } => "created",
        Event::LoggedIn { .. } => "logged in",
        Event::Renewed { .. } => "renewed",
        Event::Ended { .. } => "ended",
        Event::Superseded { .. } => "superseded",
        Event::Unreadable { .. } => "unreadable",
        Event::Duplicate { .. } => "duplicate",
        Event::Malformed => "malformed",
        Event::Lost { .. } => "lost",
        Event::TouchFailed { .. } => "touch failed",
        _ => "new",
    }
}

/// The answer that a browser gets.
#[derive(Debug, Clone)]
struct Answer {
    headers: Vec<(String, String)>,
    outcome: Outcome,
}

impl Answer {
    fn get(&self, name: &str) -> Option<&str> {
        let found: Vec<&str> = self
            .headers
            .iter()
            .filter(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
            .collect();
        assert!(found.len() <= 1, "{name} came {} times", found.len());
        found.first().copied()
    }

    fn set_cookie(&self) -> Option<&str> {
        self.get("Set-Cookie")
    }

    fn is_revoking(&self) -> bool {
        self.set_cookie()
            .is_some_and(|set| set.contains("; Max-Age=0;"))
    }

    fn sets_an_id(&self) -> bool {
        self.set_cookie().is_some() && !self.is_revoking()
    }
}

fn answer(done: Finished) -> Answer {
    let headers = done.headers();
    Answer {
        headers: headers
            .map(|(name, value)| (name.to_string(), value.to_string()))
            .collect(),
        outcome: done.outcome(),
    }
}

/// Keeps cookies as browsers do, until they are taken back.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Jar(BTreeMap<String, String>);

impl Jar {
    fn of(name: &str, value: &str) -> Jar {
        Jar(BTreeMap::from([(name.to_string(), value.to_string())]))
    }

    fn receive(&mut self, answer: &Answer) {
        let Some(set) = answer.set_cookie() else {
            return;
        };
        let (pair, _) = set.split_once(';').unwrap();
        let (name, value) = pair.split_once('=').unwrap();
        match answer.is_revoking() {
            true => self.0.remove(name),
            false => self.0.insert(name.to_string(), value.to_string()),
        };
    }

    fn field(&self) -> Vec<String> {
        let pairs: Vec<String> = self
            .0
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        match pairs.is_empty() {
            true => Vec::new(),
            false => vec![pairs.join("; ")],
        }
    }

    fn id(&self) -> Option<SessionId> {
        self.0.values().next().map(|id| id.parse().unwrap())
    }
}

/// A store that counts what is asked of it, and fails when a test says so.
#[derive(Debug)]
struct Spied {
    store: MemorySessionStore,
    calls: Mutex<Vec<&'static str>>,
    /// The calls that fail.
    failing: Mutex<Vec<&'static str>>,
}

const ALL: &str = "all";

impl Spied {
    fn fail(&self, calls: &[&'static str]) {
        *self.failing.lock().unwrap() = calls.to_vec();
    }

    fn called(&self, call: &'static str) -> Result<()> {
        self.calls.lock().unwrap().push(call);
        let failing = self.failing.lock().unwrap();
        match failing.iter().any(|it| *it == call || *it == ALL) {
            true => Err(Error::other(format!("{call} fails"))),
            false => Ok(()),
        }
    }
}

impl SessionStore for Spied {
    fn load_session(&self, id: &SessionId) -> Result<Option<Session>> {
        self.called("load")?;
        self.store.load_session(id)
    }

    fn save_session(&self, session: &mut Session) -> Result<Saved> {
        self.called("save")?;
        self.store.save_session(session)
    }

    fn edit_session(
        &self,
        id: &SessionId,
        edit: &mut dyn FnMut(&mut Session) -> Result<()>,
    ) -> Result<Option<Session>> {
        self.called("edit")?;
        self.store.edit_session(id, edit)
    }

    fn touch_session(&self, id: &SessionId) -> Result<bool> {
        self.called("touch")?;
        self.store.touch_session(id)
    }

    fn regenerate_id(&self, session: &mut Session) -> Result<Saved> {
        self.called("regenerate")?;
        self.store.regenerate_id(session)
    }

    fn regenerate_id_capped(&self, session: &mut Session, cap: SessionCap) -> Result<Saved> {
        self.called("regenerate")?;
        self.store.regenerate_id_capped(session, cap)
    }

    fn was_replaced(&self, id: &SessionId) -> Result<bool> {
        self.called("replaced")?;
        self.store.was_replaced(id)
    }

    fn delete_session(&self, id: &SessionId) -> Result<bool> {
        self.called("delete")?;
        self.store.delete_session(id)
    }

    fn has_session(&self, id: &SessionId) -> Result<bool> {
        self.called("has")?;
        self.store.has_session(id)
    }

    fn iter_sessions(&self) -> Sessions {
        self.store.iter_sessions()
    }

    fn delete_old_sessions(&self, idle: Duration) -> Result<(usize, usize)> {
        self.called("delete old")?;
        self.store.delete_old_sessions(idle)
    }

    fn sessions_of(&self, user: &str) -> Result<Vec<Session>> {
        self.called("sessions of")?;
        self.store.sessions_of(user)
    }

    fn delete_user_sessions(&self, user: &str) -> Result<usize> {
        self.called("delete user")?;
        self.store.delete_user_sessions(user)
    }

    fn delete_user_sessions_except(&self, user: &str, keep: &SessionHandle) -> Result<usize> {
        self.called("delete except")?;
        self.store.delete_user_sessions_except(user, keep)
    }

    fn delete_user_session(&self, user: &str, handle: &SessionHandle) -> Result<bool> {
        self.called("delete one")?;
        self.store.delete_user_session(user, handle)
    }

    fn delete_by_handle(&self, handle: SessionHandle) -> Result<usize> {
        self.called("delete handle")?;
        self.store.delete_by_handle(handle)
    }

    fn lifetime(&self) -> Lifetime {
        self.store.lifetime()
    }

    fn now(&self) -> SystemTime {
        self.store.now()
    }

    fn setup(&self, existing: Existing) -> Result<()> {
        self.store.setup(existing)
    }

    fn is_thread_safe(&self) -> bool {
        true
    }

    fn is_multiprocess_safe(&self) -> bool {
        false
    }
}

/// A store of somebody else's: it has the methods that every store must have, and of the others what the trait provides.
#[derive(Debug)]
struct Foreign {
    store: Arc<Spied>,
    /// How often somebody else changes the session right before it is stored.
    overtaken: Mutex<usize>,
    /// How many sessions it ends by their handles before that fails.
    ends: Mutex<usize>,
    /// Whether it has a record that it can't read: a list begins with that error, a deletion by a handle ends with it.
    is_damaged: Mutex<bool>,
}

impl Foreign {
    fn of(store: &Arc<Spied>) -> Foreign {
        Foreign {
            store: store.clone(),
            overtaken: Mutex::new(0),
            ends: Mutex::new(usize::MAX),
            is_damaged: Mutex::new(false),
        }
    }

    fn damage(&self) -> Option<Error> {
        let is_damaged = *self.is_damaged.lock().unwrap();
        is_damaged.then(|| shelflife::from_cbor::<u64>(b"").unwrap_err())
    }

    fn is_left(count: &Mutex<usize>) -> bool {
        let mut left = count.lock().unwrap();
        let is_left = *left > 0;
        *left = left.saturating_sub(1);
        is_left
    }

    fn change(&self, session: &Session) -> Result<()> {
        if !Foreign::is_left(&self.overtaken) {
            return Ok(());
        }
        let changed = self.store.update_session(session.id().unwrap(), |other| {
            let n = other.get::<u64>("other")?.unwrap_or(0) + 1;
            other.insert("other", &n)
        });
        changed.map(drop)
    }
}

impl SessionStore for Foreign {
    fn load_session(&self, id: &SessionId) -> Result<Option<Session>> {
        self.store.load_session(id)
    }

    fn save_session(&self, session: &mut Session) -> Result<Saved> {
        self.change(session)?;
        self.store.save_session(session)
    }

    fn edit_session(
        &self,
        id: &SessionId,
        edit: &mut dyn FnMut(&mut Session) -> Result<()>,
    ) -> Result<Option<Session>> {
        self.store.edit_session(id, edit)
    }

    fn touch_session(&self, id: &SessionId) -> Result<bool> {
        self.store.touch_session(id)
    }

    fn regenerate_id(&self, session: &mut Session) -> Result<Saved> {
        self.change(session)?;
        self.store.regenerate_id(session)
    }

    fn delete_session(&self, id: &SessionId) -> Result<bool> {
        self.store.delete_session(id)
    }

    fn has_session(&self, id: &SessionId) -> Result<bool> {
        self.store.has_session(id)
    }

    fn iter_sessions(&self) -> Sessions {
        let damage = self.damage().map(Err).into_iter();
        Sessions::new(damage.chain(self.store.iter_sessions()))
    }

    fn delete_old_sessions(&self, idle: Duration) -> Result<(usize, usize)> {
        self.store.delete_old_sessions(idle)
    }

    fn delete_user_sessions(&self, user: &str) -> Result<usize> {
        self.store.delete_user_sessions(user)
    }

    fn delete_by_handle(&self, handle: SessionHandle) -> Result<usize> {
        match Foreign::is_left(&self.ends) {
            true => {
                let ended = self.store.delete_by_handle(handle)?;
                self.damage().map_or(Ok(ended), Err)
            }
            false => Err(Error::other("it ends no more")),
        }
    }

    fn setup(&self, existing: Existing) -> Result<()> {
        self.store.setup(existing)
    }

    fn is_thread_safe(&self) -> bool {
        true
    }

    fn is_multiprocess_safe(&self) -> bool {
        false
    }
}
