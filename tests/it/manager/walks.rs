//! Random requests of several browsers, many open at once, beside a model of what a user expects. The content of a session
//! is a map there, of which a request changes some keys; the user is one of them.

use super::*;
use crate::runs::check;
use crate::support::{Random, is_soak, setting};

const DEEDS: &str = "begin begin begin begin put put put update update login logout finish finish \
     finish drop arrive arrive";
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
    Lost,
}

/// A request as it is expected to be.
#[derive(Debug, Default)]
struct Request {
    browser: usize,
    came: Option<String>,
    state: State,
    base: Content,
    copy: Content,
    is_changed: bool,
    logs_in: bool,
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
        (self.is_changed, self.logs_in) = (false, false);
        self.state = state;
    }

    fn is_live(&self) -> bool {
        matches!(self.state, State::Live(_))
    }

    fn lose(&mut self) {
        (self.state, self.is_lost, self.told) = (State::Lost, true, None);
    }

    fn end(&mut self) {
        self.become_new(State::New, Content::default());
        (self.is_stored, self.is_lost) = (false, false);
        self.told = self.came.as_ref().map(|_| None);
    }
}

struct World {
    site: Site,
    managers: [SessionManager; 2],
    jars: [Jar; 3],
    open: [Open; OPEN],
    answers: Vec<(usize, Answer)>,
    stored: BTreeMap<String, Content>,
    replaced: Vec<String>,
}

impl World {
    fn new() -> World {
        let site = Site::new();
        let manager = |_| ManagerOptions::new().manage_shared(site.store.clone());
        World {
            managers: [0, 1].map(|nth| manager(nth).unwrap()),
            site,
            jars: Default::default(),
            open: Default::default(),
            answers: Vec::new(),
            stored: BTreeMap::new(),
            replaced: Vec::new(),
        }
    }

    fn there(&self) -> BTreeMap<String, Content> {
        let sessions = self.site.store.store.iter_sessions().map(Result::unwrap);
        let named = |it: Session| (it.id().unwrap().as_str().to_string(), content_of(&it));
        sessions.map(named).collect()
    }

    fn look(&self, it: &mut Request) {
        match it.came.clone() {
            _ if it.state != State::Unread => {}
            Some(id) if self.stored.contains_key(&id) => {
                let content = self.stored[&id].clone();
                it.become_new(State::Live(id), content);
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
        if content != Content::default() {
            let mut drawn = self.there().into_keys();
            let drawn = drawn.find(|id| !self.stored.contains_key(id));
            it.told = Some(drawn.clone());
            self.keep(it, drawn.expect("there is no new session"), content);
        }
    }

    fn settle(&mut self, it: &mut Request) {
        match it.state.clone() {
            State::New => self.keep_anew(it, it.copy.clone()),
            State::Superseded if it.is_changed => it.lose(),
            State::Live(id) if it.is_changed || !it.is_stored => {
                match self.stored.get(&id).cloned() {
                    // A user who proved to be who he is gets a session with what the request put in.
                    None if it.logs_in => {
                        let mut content = onto(&it.copy, &it.base, &Content::default());
                        content[0] = it.copy[0].clone();
                        self.keep_anew(it, content);
                    }
                    None => it.lose(),
                    Some(_) if !it.is_changed => {}
                    Some(now) => {
                        let content = onto(&it.copy, &it.base, &now);
                        self.stored.remove(&id);
                        if content == Content::default() {
                            it.end();
                        } else if it.logs_in {
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

    fn logout(&mut self, it: &mut Request) {
        let (mut ids, before) = (Vec::from_iter(it.came.clone()), self.stored.len());
        if let State::Live(id) = &it.state {
            ids.insert(0, id.clone());
        }
        self.stored.retain(|id, _| !ids.contains(id));
        if self.stored.len() < before {
            return it.end();
        }
        it.become_new(State::New, Content::default());
        if ids.first().is_some_and(|id| self.replaced.contains(id)) {
            it.lose();
        }
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
        match deed {
            "put" => {
                put(&mut visit, KEYS[nth], &text);
                it.set(1 + nth, Some(&text));
            }
            "login" => {
                visit.login(user).unwrap();
                if it.copy[0].as_ref().is_some_and(|other| other != user) {
                    it.copy = Content::default();
                }
                if let State::Superseded | State::Lost = it.state {
                    it.copy = onto(&it.copy, &std::mem::take(&mut it.base), &Content::default());
                    (it.state, it.is_lost) = (State::New, false);
                }
                it.set(0, Some(user));
                (it.is_changed, it.logs_in) = (true, true);
            }
            "update" => {
                let update = |session: &mut Session| session.insert(KEYS[nth], &text);
                visit.update(update).unwrap();
                if it.logs_in && it.is_live() {
                    self.settle(&mut it);
                }
                it.set(1 + nth, Some(&text));
                it.is_changed = true;
                self.settle(&mut it);
            }
            "logout" => {
                visit.logout().unwrap();
                self.logout(&mut it);
            }
            "finish" => {
                let done = answer(visit.finish().unwrap());
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
            _ => return Ok(None),
        }
        let is_copy = content_of(visit.session().unwrap()) == it.copy;
        if is_copy && visit.peek().unwrap().is_some() == it.is_live() {
            return Ok(Some((visit, it)));
        }
        Err(format!("{visit:?} is not as expected, which is {it:?}"))
    }
}

#[test]
fn requests_of_several_browsers_go_as_a_simple_model_says() {
    let deeds = Vec::from_iter(DEEDS.split(' '));
    let steps = setting("SHELF_FUZZ_OPS").unwrap_or(if is_soak() { 4_000_000 } else { 50_000 });
    let first = setting("SHELF_FUZZ_SEED").unwrap_or(1);
    for seed in first..first + steps.div_ceil(STEPS) {
        let mut random = Random::new(seed);
        let mut draw = |end| random.place(end);
        let step = |_| (deeds[draw(deeds.len())], draw(OPEN), draw(1 << 16));
        let walk: Vec<Step> = (0..STEPS).map(step).collect();
        let run = |walk: &[Step]| {
            let mut world = World::new();
            walk.iter().try_for_each(|step| world.step(step))
        };
        let repeat = || format!("SHELF_FUZZ_SEED={seed} SHELF_FUZZ_OPS={STEPS} {REPEAT}");
        check(&walk, &run, &repeat);
    }
}
