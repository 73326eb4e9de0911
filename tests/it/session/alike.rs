//! The same calls of two stores of sessions, in memory, in files, on a server, on a server whose answers get lost, and on
//! a cluster: each call is answered alike, in all that an application can see. Copies grow stale in it, are carried over,
//! renewed and brought to the other store.

use super::*;
use crate::redis::proxy::Proxy;
use crate::redis::server::{Server, is_there, shared_cluster};
use crate::runs::check;
use crate::support::{Random, fast_dir, is_soak, setting};
use shelflife::RedisOptions;
use std::cell::Cell;
use std::collections::BTreeMap;

const DEEDS: &str = "new new twin load load load listed put put put take clear user user lifetime confirm credentials \
     agent label address token use-token tokens save save save save save save renew renew capped capped edit edit edit \
     touch delete has replaced of of end-user end-others end-one end-handle end-handles sweep copy copy import setup";
/// Those of them that change copies in memory alone.
const OF_COPIES: &str = "new twin put take clear user lifetime confirm credentials agent label address token use-token \
     tokens";
const STEPS: u64 = 120;
const COPIES: usize = 4;
const REPEAT: &str = "cargo test --test it session::alike";

/// The deed, with which of the copies, on which of the two stores, and how.
type Step = (&'static str, usize, usize, usize);

/// The stores of one kind, and what an application holds of them.
struct World {
    stores: [Arc<dyn SessionStore>; 2],
    copies: [Session; COPIES],
    /// The store that each copy is of.
    homes: [usize; COPIES],
    /// The sessions that each store has, with their versions, and those that it ever had.
    there: [BTreeMap<SessionHandle, u64>; 2],
    ever: [BTreeSet<SessionHandle>; 2],
    /// In the order in which they were seen first, by which they are called: ids are random.
    ids: Vec<SessionId>,
    handles: Vec<SessionHandle>,
    tokens: Vec<String>,
}

impl World {
    fn new(stores: [Arc<dyn SessionStore>; 2]) -> World {
        World {
            stores,
            copies: Default::default(),
            homes: Default::default(),
            there: Default::default(),
            ever: Default::default(),
            ids: Vec::new(),
            handles: Vec::new(),
            tokens: Vec::new(),
        }
    }

    fn name(&mut self, handle: SessionHandle) -> usize {
        let known = self.handles.iter().position(|it| *it == handle);
        known.unwrap_or_else(|| {
            self.handles.push(handle);
            self.handles.len() - 1
        })
    }

    fn names(&mut self, handles: &[SessionHandle]) -> Vec<usize> {
        let mut names: Vec<usize> = handles.iter().map(|it| self.name(*it)).collect();
        names.sort();
        names
    }

    fn tell(&mut self, session: &Session) -> String {
        if let Some(id) = session.id().filter(|id| !self.ids.contains(id)) {
            self.ids.push(id.clone());
        }
        let name = session.handle().map(|handle| self.name(handle));
        let values: Vec<_> = session
            .keys()
            .map(|key| (key, session.get::<String>(key).ok()))
            .collect();
        let left = session
            .expires()
            .map(|end| end.duration_since(SystemTime::now()).unwrap());
        format!(
            "{name:?} {} v{} {:?} {values:?} {:?} {:?} {:?} {:?} {:?} {} {} {} {:?} {:?} {:?}",
            session.id().is_some(),
            session.version(),
            session.user(),
            session.credentials(),
            session.agent(),
            session.label(),
            session.remote_address(),
            session.first_address(),
            session.form_token_count(),
            session.confirmed().is_some(),
            session.is_modified(),
            session.lifetime(),
            left.map(|left| (left + MINUTE).as_secs() / 600),
            self.names(session.displaced()),
        )
    }

    fn tell_all(&mut self, sessions: impl IntoIterator<Item = Session>) -> String {
        let mut told: Vec<String> = sessions.into_iter().map(|it| self.tell(&it)).collect();
        told.sort();
        format!("{told:#?}")
    }

    /// The outcome for a copy that was to be saved. At a conflict its changes are carried over.
    fn saved(&mut self, nth: usize, saved: Saved) -> String {
        let Saved::Conflict(current) = saved else {
            return format!("{saved:?}");
        };
        let told = self.tell(&current);
        let rebased = self.copies[nth].rebase(*current);
        let is_rebased = rebased.is_some();
        self.copies[nth] = rebased.unwrap_or_default();
        format!("conflict, {is_rebased}: {told}")
    }

    /// Where the other store had a later use of the same version, which is a write of its own on a server: to that a copy
    /// from before is in conflict, and to the others it is not.
    fn drop_taken_over(&mut self, place: usize) {
        for (copy, home) in self.copies.iter_mut().zip(self.homes) {
            let there = copy.handle().and_then(|it| self.there[place].get(&it));
            if home == place && there == Some(&copy.version()) {
                *copy = Session::new();
            }
        }
    }

    fn step(&mut self, &(deed, nth, place, how): &Step) -> String {
        let told = self
            .told(deed, nth, place, how)
            .unwrap_or_else(|error| format!("{:?}", error.kind()));
        let copy = self.copies[nth].clone();
        format!("{told} {}", self.tell(&copy))
    }

    /// All that a store has.
    fn state(&mut self, place: usize) -> String {
        let all: Vec<Session> = self.stores[place]
            .iter_sessions()
            .map(Result::unwrap)
            .collect();
        self.there[place] = all
            .iter()
            .map(|it| (it.handle().unwrap(), it.version()))
            .collect();
        self.ever[place].extend(self.there[place].keys());
        self.tell_all(all)
    }

    /// Whether a store has ended one of these sessions. For a minute a server remembers that, and does not take such a
    /// session over; the others do.
    fn has_ended_any(
        &self,
        place: usize,
        handles: impl IntoIterator<Item = SessionHandle>,
    ) -> bool {
        handles
            .into_iter()
            .any(|it| self.ever[place].contains(&it) && !self.there[place].contains_key(&it))
    }

    fn told(&mut self, deed: &str, nth: usize, place: usize, how: usize) -> Result<String> {
        match deed {
            "new" | "load" | "listed" => self.homes[nth] = place,
            "twin" => self.homes[nth] = self.homes[how % COPIES],
            _ => {}
        }
        let place = match deed {
            "save" | "renew" | "capped" => self.homes[nth],
            _ => place,
        };
        let store = Arc::clone(&self.stores[place]);
        let id = match self.ids.len() {
            0 => UNKNOWN.parse()?,
            // Mostly a late one: the early ones have ended.
            len if how.is_multiple_of(3) => self.ids[how % len].clone(),
            len => self.ids[len - 1 - how / 3 % len.min(4)].clone(),
        };
        let handle = match self.handles.len() {
            0 => id.handle(),
            len => self.handles[len - 1 - how / 2 % len.min(6)],
        };
        let user = ["ann", "bob"][how % 2];
        let answer = match deed {
            "new" => {
                self.copies[nth] = Session::new();
                String::new()
            }
            "twin" => {
                self.copies[nth] = self.copies[how % COPIES].clone();
                String::new()
            }
            "load" => {
                let loaded = store.load_session(&id)?;
                let is_there = loaded.is_some();
                self.copies[nth] = loaded.unwrap_or_default();
                is_there.to_string()
            }
            "listed" => {
                let mut all = store.iter_sessions().collect::<Result<Vec<Session>>>()?;
                all.sort_by_key(|it| self.name(it.handle().unwrap()));
                self.copies[nth] = match all.len() {
                    0 => Session::new(),
                    len => all.swap_remove(how % len),
                };
                self.tell_all(all)
            }
            "save" => {
                let saved = store.save_session(&mut self.copies[nth])?;
                self.saved(nth, saved)
            }
            "renew" => {
                let saved = store.regenerate_id(&mut self.copies[nth])?;
                self.saved(nth, saved)
            }
            "capped" => {
                // Of a copy that is stale and a user who has too many, a server tells the latter, the others the former.
                let copy = &self.copies[nth];
                let version = copy.handle().map(|it| self.there[place].get(&it));
                if version.is_some_and(|it| it != Some(&copy.version())) {
                    return Ok("not asked".into());
                }
                let cap = match how % 2 {
                    0 => SessionCap::EndOldest(how / 2 % 3),
                    _ => SessionCap::Refuse(how / 2 % 4),
                };
                let saved = store.regenerate_id_capped(&mut self.copies[nth], cap)?;
                self.saved(nth, saved)
            }
            "edit" => {
                let (other, mut tokens) = (self.copies[nth].clone(), self.tokens.clone());
                let deeds = [
                    "nothing", "empty", "fail", "replace", "user", "lifetime", "confirm", "put",
                ];
                let edited = store.edit_session(&id, &mut |session| {
                    match deeds[how / 8 % 8] {
                        "nothing" => {}
                        "empty" => {
                            session.clear();
                            session.clear_form_tokens();
                            session.set_user(None);
                        }
                        "fail" => return Err(Error::other("not so")),
                        "replace" => *session = other.clone(),
                        deed => drop(change(session, deed, how, &mut tokens)?),
                    }
                    Ok(())
                })?;
                edited.map_or("none".into(), |it| self.tell(&it))
            }
            "touch" => store.touch_session(&id)?.to_string(),
            "delete" => store.delete_session(&id)?.to_string(),
            "has" => store.has_session(&id)?.to_string(),
            "replaced" => store.was_replaced(&id)?.to_string(),
            "of" => {
                let sessions = store.sessions_of(user)?;
                assert!(sessions.is_sorted_by_key(|it| it.accessed()));
                self.tell_all(sessions)
            }
            "end-user" => store.delete_user_sessions(user)?.to_string(),
            "end-others" => store
                .delete_user_sessions_except(user, &handle)?
                .to_string(),
            "end-one" => store.delete_user_session(user, &handle)?.to_string(),
            "end-handle" => store.delete_by_handle(handle)?.to_string(),
            "end-handles" => {
                let meant: Vec<_> = self.handles.iter().skip(how % 3).step_by(3).collect();
                let ended = store.delete_by_handles(&|handle| meant.contains(&&handle))?;
                format!("{:?}", self.names(&ended))
            }
            "sweep" => format!("{:?}", store.delete_old_sessions(Duration::MAX)?),
            "copy" => {
                let to = Arc::clone(&self.stores[1 - place]);
                if self.has_ended_any(1 - place, self.there[place].keys().copied()) {
                    return Ok("not asked".into());
                }
                let beyond = [Beyond::Keep, Beyond::Keep, Beyond::End][how % 3];
                let copied = copy_sessions(&*store, &*to, beyond, |_| {});
                self.drop_taken_over(1 - place);
                format!("{:?}", copied?)
            }
            "import" => {
                // Of two copies of one session a server counts both.
                let mut few = self.copies[..=nth].to_vec();
                few.retain(|it| !it.is_modified());
                few.sort_by_key(|it| it.handle());
                few.dedup_by_key(|it| it.handle());
                if self.has_ended_any(place, few.iter().filter_map(Session::handle)) {
                    return Ok("not asked".into());
                }
                let imported = store.import_sessions(&few);
                self.drop_taken_over(place);
                imported?.to_string()
            }
            "setup" => {
                let existing = [Existing::Keep, Existing::Fail, Existing::Overwrite];
                store.setup(existing[how % 13 % 3])?;
                String::new()
            }
            _ => change(&mut self.copies[nth], deed, how, &mut self.tokens)?,
        };
        Ok(answer)
    }
}

/// A change of a copy in memory.
fn change(
    session: &mut Session,
    deed: &str,
    how: usize,
    tokens: &mut Vec<String>,
) -> Result<String> {
    let key = ["a", "b"][how % 2];
    let text = format!("{}", how % 7);
    let some = (!how.is_multiple_of(3)).then_some(text.as_str());
    match deed {
        "put" => return Ok(session.insert(key, &text)?.to_string()),
        "take" => return Ok(format!("{:?}", session.take::<String>(key)?)),
        "clear" => session.clear(),
        "user" => session.set_user((!how.is_multiple_of(4)).then_some(["ann", "bob"][how / 4 % 2])),
        "lifetime" => session.set_lifetime((!how.is_multiple_of(5)).then_some(Lifetime {
            idle: (!how.is_multiple_of(3)).then_some(HOUR * (how as u32 % 50 + 1)),
            absolute: (!how.is_multiple_of(2)).then_some(HOUR * (how as u32 % 20 + 1)),
        })),
        "confirm" => session.confirm(),
        "credentials" => session.set_credentials(some),
        "agent" => session.set_agent(some),
        "label" => session.set_label(some),
        "address" => session.set_remote_address(some),
        "token" => tokens.push(session.create_form_token()?),
        "use-token" => {
            let token = tokens.get(how % tokens.len().max(1));
            let was_known = token.map(|it| session.remove_form_token(it));
            return Ok(format!("{was_known:?}"));
        }
        "tokens" => session.clear_form_tokens(),
        _ => unreachable!("{deed}"),
    }
    Ok(String::new())
}

fn millis() -> u128 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    now.unwrap().as_millis()
}

/// The options of both stores in the walk of this seed.
fn options_of(seed: u64) -> [SessionOptions; 2] {
    [0, 1].map(|place| {
        let mut options = SessionOptions::new();
        options.hash_ids((seed >> place).is_multiple_of(2));
        if seed.is_multiple_of(3) {
            options.idle_lifetime(HOUR * 24);
            options.absolute_lifetime(HOUR * 240);
        }
        if seed.is_multiple_of(5) {
            options.access_resolution(Duration::ZERO);
        }
        options
    })
}

/// Does each step in each world. While calls run, one request in so many is cut off where the proxy is on the way.
fn play(
    worlds: &mut [(&str, World)],
    walk: &[Step],
    cut_one_in: &dyn Fn(u64),
) -> std::result::Result<(), String> {
    for step in walk {
        // Of two changes in one millisecond none is the later one, which a store that takes over asks.
        let begun = millis();
        while millis() == begun {
            thread::yield_now();
        }
        let is_of_copy = OF_COPIES.split_whitespace().any(|it| it == step.0);
        let mut first = None;
        for (kind, world) in &mut *worlds {
            cut_one_in(8);
            let mut told = world.step(step);
            cut_one_in(0);
            for place in [0, 1].into_iter().filter(|_| !is_of_copy) {
                told = format!("{told}\n{}", world.state(place));
            }
            match &first {
                None => first = Some(told),
                Some(first) if *first == told => {}
                Some(first) => {
                    return Err(format!("{step:?}:\n{first}\nand by {kind}:\n{told}"));
                }
            }
        }
    }
    Ok(())
}

#[test]
fn calls_are_answered_alike_in_memory_by_a_file_and_by_a_server() {
    type Store = Arc<dyn SessionStore>;
    let name = "calls_are_answered_alike_in_memory_by_a_file_and_by_a_server";
    let dir = fast_dir();
    let server = is_there(name).then(|| Server::start(&[]));
    let proxy = server.as_ref().map(|server| Proxy::start(server.port, 1));
    let cut_one_in = |many| proxy.iter().for_each(|proxy| proxy.cut_one_in(many));
    let deeds = Vec::from_iter(DEEDS.split_whitespace());
    let steps = if is_soak() { 600_000 } else { 1_200 };
    let steps = setting("SHELF_FUZZ_OPS").unwrap_or(steps);
    let first = setting("SHELF_FUZZ_SEED").unwrap_or(1);
    for seed in first..first + steps.div_ceil(STEPS) {
        let mut random = Random::new(seed);
        let mut draw = |end| random.place(end);
        let step = |_| {
            let place = usize::from(draw(5) == 0);
            (deeds[draw(deeds.len())], draw(COPIES), place, draw(1 << 16))
        };
        let walk: Vec<Step> = (0..STEPS).map(step).collect();
        let options = options_of(seed);
        let nth = Cell::new(0);
        let file = |place: usize| -> Store {
            let path = dir.path().join(format!("{seed}-{}-{place}", nth.get()));
            Arc::new(options[place].open(path).unwrap())
        };
        let on_server = |url: &str, place: usize| -> Store {
            let mut server = RedisOptions::new();
            server.sessions(&options[place]);
            server.prefix(&format!("alike {seed} {} {place}", nth.get()));
            Arc::new(server.connect(url).unwrap())
        };
        let run = |walk: &[Step]| {
            nth.set(nth.get() + 1);
            let memory = |place: usize| -> Store { Arc::new(options[place].in_memory()) };
            let mut worlds = vec![
                ("memory", World::new([0, 1].map(memory))),
                ("a file", World::new([0, 1].map(file))),
            ];
            let mut urls = Vec::new();
            if let (Some(server), Some(proxy)) = (&server, &proxy) {
                urls.push(("a server", server.url()));
                urls.push(("a server that is cut off at times", proxy.url()));
                if seed.is_multiple_of(4) {
                    urls.push(("a cluster", shared_cluster().url()));
                }
            }
            for (nth, (kind, url)) in urls.iter().enumerate() {
                // Two worlds are on one server.
                let url = format!("{url}/{}", usize::from(nth == 1));
                let stores = [0, 1].map(|place| on_server(&url, place));
                worlds.push((kind, World::new(stores)));
            }
            let played = play(&mut worlds, walk, &cut_one_in);
            // A server that is to list this run's sessions looks at all keys that it has.
            for store in worlds.iter().flat_map(|(_, world)| &world.stores) {
                store.setup(Existing::Overwrite).unwrap();
                assert_eq!(store.iter_sessions().count(), 0);
            }
            played
        };
        let repeat = || format!("SHELF_FUZZ_SEED={seed} SHELF_FUZZ_OPS={STEPS} {REPEAT}");
        check(&walk, &run, &repeat);
    }
}
