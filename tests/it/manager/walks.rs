//! Random requests of several browsers, many open at once, beside a model of what a user expects. The content of a
//! session is a map there, of which a request changes some keys; the user is one of them. A server is asked by two
//! managers, each with connections of its own. In memory a call to the store fails now and then: nothing is done by it.

use super::*;
use crate::redis::server::{Server, is_there};
use crate::runs::check;
use crate::support::{Random, is_soak, setting};

const DEEDS: &str = "begin begin begin begin put put put update update login logout hand renew reload \
     finish finish finish drop arrive arrive";
const FAILING: [&str; 6] = ["save", "edit", "regenerate", "replaced", "delete", "load"];
const STEPS: u64 = 80;
const OPEN: usize = 4;
const REPEAT: &str = "cargo test --test it manager::walks";
const KEYS: [&str; 3] = ["a", "b", "c"];

/// The deed, by which of the open requests, and how.
type Step = (&'static str, usize, usize);
/// The user, and the value of each key.
type Content = [Option<String>; 4];
type Open = Option<(Visit, Request)>;
type Checked<T> = std::result::Result<T, String>;

/// The changes from `base` to `mine`, on top of what is there now.
fn onto(mine: &Content, base: &Content, now: &Content) -> Content {
    std::array::from_fn(|n| {
        if mine[n] == base[n] {
            &now[n]
        } else {
            &mine[n]
        }
        .clone()
    })
}

fn content_of(session: &Session) -> Content {
    let [a, b, c] = KEYS.map(|key| session.get(key).unwrap());
    [session.user().map(String::from), a, b, c]
}

#[derive(Debug, Clone, Default, PartialEq)]
enum State {
    #[default]
    Unread,
    New,
    Live(String),
    Superseded,
    Ended,
    /// With the id of a session that is there all the same.
    Lost(Option<String>),
}

/// A request as it is expected to be.
#[derive(Debug, Clone, Default)]
struct Request {
    browser: usize,
    came: Option<String>,
    /// The browser's cookie led to a session that nobody else has ended since.
    is_known: bool,
    state: State,
    base: Content,
    copy: Content,
    is_changed: bool,
    logs_in: bool,
    renews: bool,
    is_stored: bool,
    is_lost: bool,
    /// The id to send, or that there is none any more.
    told: Option<Option<String>>,
}

impl Request {
    fn set(&mut self, nth: usize, value: Option<&str>) {
        self.is_changed |= self.copy[nth].as_deref() != value;
        self.copy[nth] = value.map(String::from);
    }

    fn become_new(&mut self, state: State, content: Content) {
        (self.base, self.copy) = (content.clone(), content);
        (self.is_changed, self.logs_in, self.renews) = (false, false, false);
        self.state = state;
    }

    fn is_live(&self) -> bool {
        matches!(self.state, State::Live(_))
    }

    fn is_renewal_due(&self) -> bool {
        self.is_live() && (self.logs_in || self.renews || self.copy[0] != self.base[0])
    }

    /// The id of the session that is there, as far as the request knows.
    fn stored(&self) -> Option<String> {
        match &self.state {
            State::Live(id) => Some(id.clone()),
            State::Lost(id) => id.clone(),
            _ => None,
        }
    }

    /// A user whom the application logs out again by hand did not log in.
    fn notice_logout_by_hand(&mut self) {
        if self.logs_in && self.copy[0].is_none() {
            (self.logs_in, self.renews) = (false, true);
        }
    }

    fn lose(&mut self) {
        (self.state, self.is_lost, self.told) = (State::Lost(None), true, None);
        self.is_known = false;
    }

    /// The session is as it was.
    fn be_refused(&mut self) {
        self.become_new(State::Lost(self.stored()), self.base.clone());
        (self.is_stored, self.is_lost) = (false, true);
    }

    fn end(&mut self) {
        self.become_new(State::Ended, Content::default());
        (self.is_stored, self.is_lost) = (false, false);
        self.told = self.is_known.then_some(None);
    }
}

type Stores = ([Arc<dyn SessionStore>; 2], Option<Arc<Spied>>);

struct World {
    store: Arc<dyn SessionStore>,
    failing: Option<Arc<Spied>>,
    managers: [SessionManager; 2],
    /// A user may have this many sessions.
    cap: Option<usize>,
    jars: [Jar; 3],
    open: [Open; OPEN],
    answers: Vec<(usize, Answer)>,
    stored: BTreeMap<String, Content>,
    replaced: Vec<String>,
}

impl World {
    fn new(([one, other], failing): Stores, cap: Option<usize>) -> World {
        let mut options = ManagerOptions::new();
        options.session_cap(cap.map(SessionCap::Refuse));
        World {
            store: one.clone(),
            failing,
            managers: [one, other].map(|store| options.manage_shared(store).unwrap()),
            cap,
            jars: Default::default(),
            open: Default::default(),
            answers: Vec::new(),
            stored: BTreeMap::new(),
            replaced: Vec::new(),
        }
    }

    fn there(&self) -> BTreeMap<String, Content> {
        let sessions = self.store.iter_sessions().map(Result::unwrap);
        let named = |it: Session| (it.id().unwrap().as_str().to_string(), content_of(&it));
        sessions.map(named).collect()
    }

    fn look(&self, it: &mut Request) {
        match it.came.clone() {
            _ if it.state != State::Unread => {}
            Some(id) if self.stored.contains_key(&id) => {
                let content = self.stored[&id].clone();
                it.become_new(State::Live(id), content);
                it.is_known = true;
            }
            Some(id) if self.replaced.contains(&id) => it.state = State::Superseded,
            _ => it.state = State::New,
        }
    }

    fn keep(&mut self, it: &mut Request, id: String, content: Content) {
        self.stored.insert(id.clone(), content.clone());
        it.become_new(State::Live(id), content);
        (it.is_stored, it.is_lost) = (true, false);
    }

    fn keep_anew(&mut self, it: &mut Request, content: Content) {
        let mut drawn = self.there().into_keys();
        let drawn = drawn.find(|id| !self.stored.contains_key(id));
        it.told = Some(drawn.clone());
        self.keep(it, drawn.expect("there is no new session"), content);
    }

    /// Whether the user of this content has no room for it beside the user's other sessions.
    fn is_full(&self, content: &Content, this: Option<&String>) -> bool {
        let others = self.stored.iter();
        let others = others.filter(|(id, other)| other[0] == content[0] && Some(*id) != this);
        content[0].is_some() && self.cap.is_some_and(|cap| others.count() >= cap)
    }

    fn create(&mut self, it: &mut Request, content: Content) {
        if content == Content::default() {
            return;
        }
        match self.is_full(&content, None) {
            true => it.be_refused(),
            false => self.keep_anew(it, content),
        }
    }

    fn settle(&mut self, it: &mut Request) {
        it.notice_logout_by_hand();
        let is_changed = it.is_changed || it.is_renewal_due();
        match it.state.clone() {
            State::New | State::Ended => self.create(it, it.copy.clone()),
            State::Superseded if it.is_changed => it.lose(),
            State::Live(id) if is_changed || !it.is_stored => {
                match self.stored.get(&id).cloned() {
                    // A user who proved to be who he is gets a session with what the request put in.
                    None if it.logs_in => {
                        let mut content = onto(&it.copy, &it.base, &Content::default());
                        content[0] = it.copy[0].clone();
                        (it.state, it.base) = (State::New, Content::default());
                        it.is_known = false;
                        self.create(it, content);
                    }
                    None => it.lose(),
                    Some(_) if !is_changed => {}
                    Some(now) => {
                        let is_other_user = it.copy[0] != it.base[0];
                        // Others put it in for a user, and it is not for the next one.
                        let content = match is_other_user && it.base[0].is_some() {
                            true => it.copy.clone(),
                            false => onto(&it.copy, &it.base, &now),
                        };
                        let is_login = it.logs_in || is_other_user;
                        if is_login && self.is_full(&content, Some(&id)) {
                            return it.be_refused();
                        }
                        self.stored.remove(&id);
                        if content == Content::default() {
                            it.end();
                        } else if it.is_renewal_due() {
                            self.replaced.push(id);
                            self.keep_anew(it, content);
                        } else {
                            self.keep(it, id, content);
                        }
                    }
                }
            }
            _ => {}
        }
    }

    /// Whether the user is logged in.
    fn login(&mut self, it: &mut Request, user: &str) -> bool {
        let before = it.clone();
        if it.copy[0].as_ref().is_some_and(|other| other != user) {
            it.copy = Content::default();
        }
        if let State::Superseded | State::Lost(_) = it.state {
            (it.is_stored, it.is_lost) = (false, false);
            match it.stored() {
                Some(id) => it.state = State::Live(id),
                None => {
                    it.copy = onto(&it.copy, &std::mem::take(&mut it.base), &Content::default());
                    it.state = State::New;
                }
            }
        }
        it.set(0, Some(user));
        (it.is_changed, it.logs_in) = (true, true);
        if self.cap.is_some() {
            self.settle(it);
        }
        let is_refused = matches!(it.state, State::Lost(_));
        if is_refused {
            *it = before;
        }
        !is_refused
    }

    fn logout(&mut self, it: &mut Request) {
        let (known, before) = (it.stored(), self.stored.len());
        it.is_known |= it
            .came
            .as_ref()
            .is_some_and(|id| self.stored.contains_key(id));
        self.stored
            .retain(|id, _| Some(id) != known.as_ref() && Some(id) != it.came.as_ref());
        if self.stored.len() < before {
            return it.end();
        }
        if it.state == State::Ended {
            return it.become_new(State::Ended, Content::default());
        }
        it.become_new(State::New, Content::default());
        (it.told, it.is_known) = (None, false);
        let looked_for = known.or(it.came.clone());
        if looked_for.is_some_and(|id| self.replaced.contains(&id)) {
            it.lose();
        }
    }

    fn reload(&self, it: &mut Request) {
        let Some(id) = it.stored() else {
            return it.become_new(it.state.clone(), Content::default());
        };
        if it.is_lost {
            (it.is_stored, it.is_lost) = (false, false);
        }
        let state = match (self.stored.get(&id), self.replaced.contains(&id)) {
            (Some(content), _) => return it.become_new(State::Live(id), content.clone()),
            (None, true) => State::Superseded,
            (None, false) => State::New,
        };
        it.become_new(state, Content::default());
        (it.told, it.is_known) = (None, false);
    }

    fn step(&mut self, step: &Step) -> Checked<()> {
        let &(deed, nth, x) = step;
        if deed == "begin" {
            let jar = &self.jars[x % 3];
            let visit = self.managers[x / 4 % 2].begin(jar.field());
            let mut request = Request::default();
            (request.browser, request.came) = (x % 3, jar.0.values().next().cloned());
            self.open[nth] = Some((visit, request));
        } else if deed == "arrive" && !self.answers.is_empty() {
            let (browser, answer) = self.answers.swap_remove(x % self.answers.len());
            self.jars[browser].receive(&answer);
        } else if let Some((visit, it)) = self.open[nth].take() {
            self.open[nth] = self.act(step, visit, it)?;
        }
        let (there, stored) = (self.there(), &self.stored);
        if there == *stored {
            return Ok(());
        }
        Err(format!("{there:#?}\nis there, expected is\n{stored:#?}"))
    }

    fn act(&mut self, step: &Step, mut visit: Visit, mut it: Request) -> Checked<Open> {
        let &(deed, _, x) = step;
        let (nth, text, user) = (x % 3, x.to_string(), ["ann", "bob"][x / 4 % 2]);
        if !matches!(deed, "finish" | "logout") {
            visit.user().unwrap();
            self.look(&mut it);
        }
        let failing = self.failing.clone();
        let fail = |calls: &[&'static str]| {
            if let Some(store) = &failing {
                store.fail(calls);
            }
        };
        let fails = failing.as_ref().and(FAILING.get(x / 8 % 16)).copied();
        fail(fails.as_slice());
        let is_done = |is_ok: bool| {
            assert!(is_ok || fails.is_some(), "an error without a cause");
            is_ok
        };
        match deed {
            "put" => {
                put(&mut visit, KEYS[nth], &text);
                it.set(1 + nth, Some(&text));
            }
            "login" => {
                let done = visit.login(user);
                is_done(done.is_ok());
                if let Ok(done) = done
                    && done != self.login(&mut it, user)
                {
                    return Err(format!("{visit:?}: another login was expected, {it:?}"));
                }
            }
            // A user who is set by hand, or removed.
            "hand" => {
                let user = Some(user).filter(|_| nth > 0);
                visit.session().unwrap().set_user(user);
                it.set(0, user);
            }
            "renew" => {
                visit.renew().unwrap();
                it.renews |= it.is_live();
            }
            "reload" if is_done(visit.reload().is_ok()) => self.reload(&mut it),
            "update" => {
                let update = |session: &mut Session| session.insert(KEYS[nth], &text);
                let is_done = is_done(visit.update(update).is_ok());
                // The new id comes first, and stays if the rest fails.
                if it.is_renewal_due() && (is_done || fails == Some("edit")) {
                    self.settle(&mut it);
                }
                it.notice_logout_by_hand();
                if is_done {
                    it.set(1 + nth, Some(&text));
                    it.is_changed = true;
                    self.settle(&mut it);
                }
            }
            "logout" if is_done(visit.logout().is_ok()) => self.logout(&mut it),
            "finish" => {
                let done = visit.finish();
                fail(&[]);
                is_done(done.is_ok());
                let Ok(done) = done.map(answer) else {
                    return Ok(None);
                };
                self.settle(&mut it);
                let id = |set: &str| set.split(['=', ';']).nth(1).unwrap().to_string();
                let told = done
                    .set_cookie()
                    .map(|set| Some(id(set)).filter(|id| !id.is_empty()));
                let is_lost = matches!(done.outcome, Outcome::Lost(_));
                if (&told, is_lost) != (&it.told, it.is_lost) {
                    return Err(format!("{done:?} is answered, expected was {it:?}"));
                }
                self.answers.push((it.browser, done));
                return Ok(None);
            }
            _ => {}
        }
        fail(&[]);
        if deed == "drop" {
            return Ok(None);
        }
        // A logout that failed has not looked.
        self.look(&mut it);
        let is_copy = content_of(visit.session().unwrap()) == it.copy;
        if is_copy && visit.peek().unwrap().is_some() == it.is_live() {
            return Ok(Some((visit, it)));
        }
        Err(format!("{visit:?} is not as expected, which is {it:?}"))
    }
}

/// Walks of new worlds, in which a user may have no more sessions than a cap allows, one or two, or any number.
fn walk(name: &str, steps: u64, stores: &dyn Fn() -> Stores) {
    let deeds = Vec::from_iter(DEEDS.split(' '));
    let steps = setting("SHELF_FUZZ_OPS").unwrap_or(steps);
    let first = setting("SHELF_FUZZ_SEED").unwrap_or(1);
    for seed in first..first + steps.div_ceil(STEPS) {
        let mut random = Random::new(seed);
        let mut draw = |end| random.place(end);
        let step = |_| (deeds[draw(deeds.len())], draw(OPEN), draw(1 << 16));
        let walk: Vec<Step> = (0..STEPS).map(step).collect();
        let cap = [None, Some(1), Some(2)][seed as usize % 3];
        let run = |walk: &[Step]| {
            let mut world = World::new(stores(), cap);
            walk.iter().try_for_each(|step| world.step(step))
        };
        let repeat = || format!("SHELF_FUZZ_SEED={seed} SHELF_FUZZ_OPS={STEPS} {REPEAT}::{name}");
        check(&walk, &run, &repeat);
    }
}

#[test]
fn requests_of_several_browsers_go_as_a_simple_model_says() {
    let steps = if is_soak() { 4_000_000 } else { 200_000 };
    let name = "requests_of_several_browsers_go_as_a_simple_model_says";
    walk(name, steps, &|| {
        let store = Site::new().store;
        ([store.clone(), store.clone()], Some(store))
    });
}

#[test]
fn so_they_go_with_sessions_on_a_server() {
    let name = "so_they_go_with_sessions_on_a_server";
    if !is_there(name) {
        return;
    }
    let server = Server::start(&[]);
    let stores = [(); 2].map(|()| {
        let store = RedisSessionStore::connect(&server.url()).unwrap();
        Arc::new(store) as Arc<dyn SessionStore>
    });
    let steps = if is_soak() { 400_000 } else { 2_000 };
    walk(name, steps, &|| {
        assert!(server.asked().ask(&[b"FLUSHALL"]).starts_with("+OK"));
        (stores.clone(), None)
    });
}
