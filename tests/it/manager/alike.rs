//! The same requests of several browsers to two sites, one with its sessions in a file and one with them on a server:
//! each is answered alike, in all that a browser, a handler and an operator can see.

use super::*;
use crate::redis::server::{Server, is_there};
use crate::runs::check;
use crate::support::{Random, fast_dir, is_soak, setting};
use shelflife::{RedisOptions, SessionOptions};

const DEEDS: &str = "begin begin begin begin begin put put take clear update user login login-for logout everywhere \
     elsewhere device renew flash flashes token use confirm fresh credentials check client label reload left quiet \
     watch save list sweep finish finish finish finish drop arrive arrive";
const STEPS: u64 = 100;
const OPEN: usize = 3;
const REPEAT: &str = "cargo test --test it manager::alike";

/// The deed, by which of the open requests, and how.
type Step = (&'static str, usize, usize);

struct Place {
    manager: SessionManager,
    events: Arc<Mutex<Vec<String>>>,
    jars: [Jar; 3],
    open: [Option<(usize, Visit)>; OPEN],
    answers: Vec<(usize, Answer)>,
    tokens: Vec<String>,
}

/// All of an answer but the id.
fn seen(answer: &Answer) -> String {
    let headers = answer.headers.iter().map(|(name, value)| {
        let (pair, rest) = value.split_once(';').unwrap_or((value, ""));
        let id = pair.split_once('=').map_or(0, |(_, id)| id.len());
        format!("{name}: {id}; {rest}")
    });
    format!("{:?} {:?}", answer.outcome, headers.collect::<Vec<_>>())
}

fn of_session(session: &Session) -> String {
    let keys: Vec<_> = session
        .keys()
        .map(|key| {
            // That of a notice is random.
            let shown = key.split_once('.').map_or(key, |(kind, _)| kind);
            (shown, session.get::<String>(key).ok())
        })
        .collect();
    let confirmed = session.confirmed().is_some();
    let lifetime = session.lifetime();
    format!(
        "{:?} {keys:?} {confirmed} {:?} {:?} {:?} {} {} {lifetime:?} {}",
        session.user(),
        session.agent(),
        session.label(),
        session.first_address(),
        session.form_token_count(),
        session.credentials().is_some(),
        session.is_modified(),
    )
}

impl Place {
    fn new(store: Arc<dyn SessionStore>, cap: Option<SessionCap>) -> Place {
        let events: Arc<Mutex<Vec<String>>> = Arc::default();
        let sink = Arc::clone(&events);
        let mut options = ManagerOptions::new();
        options.session_cap(cap);
        options.on_event(move |event| sink.lock().unwrap().push(name_of(event).to_string()));
        Place {
            manager: options.manage_shared(store).unwrap(),
            events,
            jars: Default::default(),
            open: Default::default(),
            answers: Vec::new(),
            tokens: Vec::new(),
        }
    }

    /// Does it, and tells what is to be seen of it.
    fn step(&mut self, &(deed, nth, how): &Step) -> String {
        let told = self
            .told(deed, nth, how)
            .unwrap_or_else(|error| format!("{:?}", error.kind()));
        let mut events = std::mem::take(&mut *self.events.lock().unwrap());
        // Those that a cap displaced.
        events.sort();
        format!("{told} {events:?}")
    }

    fn told(&mut self, deed: &str, nth: usize, how: usize) -> Result<String> {
        let store = self.manager.store();
        match deed {
            "begin" => {
                let browser = how % 3;
                let visit = self.manager.begin(self.jars[browser].field());
                self.open[nth] = Some((browser, visit));
                return Ok(String::new());
            }
            "arrive" => {
                if !self.answers.is_empty() {
                    let (browser, answer) = self.answers.remove(how % self.answers.len());
                    self.jars[browser].receive(&answer);
                }
                return Ok(String::new());
            }
            "list" => {
                let mut all: Vec<_> = store
                    .iter_sessions()
                    .map(|it| of_session(&it.unwrap()))
                    .collect();
                all.sort();
                let of_users = ["ann", "bob"].map(|user| store.sessions_of(user).unwrap().len());
                return Ok(format!("{all:?} {of_users:?}"));
            }
            "sweep" => {
                return store
                    .delete_old_sessions(Duration::MAX)
                    .map(|it| format!("{it:?}"));
            }
            _ => {}
        }
        let Some((browser, mut visit)) = self.open[nth].take() else {
            return Ok(String::new());
        };
        let user = ["ann", "bob"][how % 2];
        let key = ["a", "b"][how / 2 % 2];
        let value = format!("{}", how % 7);
        let told = match deed {
            "drop" => return Ok(String::new()),
            "finish" => {
                let answer = answer(visit.finish()?);
                let told = seen(&answer);
                self.answers.push((browser, answer));
                return Ok(told);
            }
            "put" => visit
                .session()?
                .insert(key, &value)
                .map(|it| it.to_string()),
            "take" => visit
                .session()?
                .take::<String>(key)
                .map(|it| format!("{it:?}")),
            "clear" => visit.session().map(|it| it.clear()).map(|()| String::new()),
            "update" => visit.update(|session| {
                if how.is_multiple_of(5) {
                    session.set_user(Some(user));
                }
                session.insert(key, &value)?;
                Ok(of_session(session))
            }),
            "user" => visit
                .session()
                .map(|it| it.set_user((!how.is_multiple_of(3)).then_some(user)))
                .map(|()| String::new()),
            "login" => visit.login(user).map(|it| it.to_string()),
            "login-for" => {
                let hours = HOUR * (how as u32 % 50 + 1);
                let lifetime = Lifetime {
                    idle: (!how.is_multiple_of(3)).then_some(hours),
                    absolute: (!how.is_multiple_of(5)).then_some(hours * 2),
                };
                visit.login_for(user, lifetime).map(|it| it.to_string())
            }
            "logout" => visit.logout().map(|it| it.to_string()),
            "everywhere" => visit.logout_everywhere().map(|it| it.to_string()),
            "elsewhere" => visit.logout_elsewhere().map(|it| it.to_string()),
            "device" => {
                let devices = visit.devices()?;
                let mut seen: Vec<_> = devices
                    .iter()
                    .map(|it| {
                        format!(
                            "{} {:?} {:?} {:?} {}",
                            it.agent, it.first_address, it.last_address, it.label, it.is_this
                        )
                    })
                    .collect();
                seen.sort();
                let it = devices
                    .iter()
                    .find(|it| it.is_this == how.is_multiple_of(2) && devices.len() < 3);
                let out = it.map(|it| visit.logout_device(it.session)).transpose()?;
                Ok(format!("{seen:?} {out:?}"))
            }
            "renew" => visit.renew().map(|()| String::new()),
            "flash" => visit.flash(key, &value).map(|()| String::new()),
            "flashes" => visit.take_flashes().map(|it| format!("{it:?}")),
            "token" => visit.csrf_token().map(|it| {
                self.tokens.push(it);
                String::new()
            }),
            "use" => match self.tokens.len() {
                0 => Ok(String::new()),
                len => visit
                    .use_form_token(&self.tokens[how % len])
                    .map(|it| it.to_string()),
            },
            "confirm" => visit.confirm().map(|it| it.to_string()),
            "fresh" => visit.is_fresh(HOUR).map(|it| it.to_string()),
            "credentials" => visit
                .set_credentials(value.as_bytes())
                .map(|it| it.to_string()),
            "check" => visit
                .check_credentials(value.as_bytes())
                .map(|it| it.to_string()),
            "client" => {
                visit.set_client(&format!("10.0.0.{}", how % 3), ["Firefox", "curl"][how % 2]);
                Ok(String::new())
            }
            "label" => visit
                .set_device_label((!how.is_multiple_of(3)).then_some(key))
                .map(|()| String::new()),
            "reload" => visit.reload().map(|()| String::new()),
            "left" => visit
                .time_left()
                .map(|it| format!("{:?}", it.map(|it| (it + MINUTE).as_secs() / 600))),
            "quiet" => {
                visit.set_quiet(how.is_multiple_of(2));
                Ok(visit.needs_io().to_string())
            }
            "watch" => visit
                .watch()
                .map(|it| format!("{:?}", it.map(|it| it.is_live().unwrap()))),
            _ => visit.save().map(|it| format!("{it:?}")),
        };
        let told = told.unwrap_or_else(|error| format!("{:?}", error.kind()));
        let copy = visit.session().map(|it| of_session(it));
        let there = visit.peek().map(|it| it.is_some()).ok();
        let io = visit.needs_io();
        self.open[nth] = Some((browser, visit));
        Ok(format!(
            "{told} {:?} {there:?} {io}",
            copy.map_err(|error| error.kind())
        ))
    }
}

#[test]
fn requests_are_answered_alike_by_a_file_and_by_a_server() {
    let name = "requests_are_answered_alike_by_a_file_and_by_a_server";
    if !is_there(name) {
        return;
    }
    let (dir, server) = (fast_dir(), Server::start(&[]));
    let deeds = Vec::from_iter(DEEDS.split_whitespace());
    let steps = if is_soak() { 400_000 } else { 3_000 };
    let steps = setting("SHELF_FUZZ_OPS").unwrap_or(steps);
    let first = setting("SHELF_FUZZ_SEED").unwrap_or(1);
    for seed in first..first + steps.div_ceil(STEPS) {
        let mut random = Random::new(seed);
        let mut draw = |end| random.place(end);
        let step = |_| (deeds[draw(deeds.len())], draw(OPEN), draw(1 << 16));
        let walk: Vec<Step> = (0..STEPS).map(step).collect();
        let cap = [
            None,
            Some(SessionCap::EndOldest(1)),
            Some(SessionCap::Refuse(2)),
            Some(SessionCap::Refuse(1)),
        ][seed as usize % 4];
        let mut options = SessionOptions::new();
        options
            .hash_ids(seed.is_multiple_of(3))
            .idle_lifetime(DAY)
            .absolute_lifetime(10 * DAY);
        if seed.is_multiple_of(5) {
            options.access_resolution(Duration::ZERO);
        }
        let nth = std::cell::Cell::new(0);
        let run = |walk: &[Step]| {
            assert!(server.asked().ask(&[b"FLUSHALL"]).starts_with("+OK"));
            nth.set(nth.get() + 1);
            let file = options
                .open(dir.path().join(format!("{seed}-{}", nth.get())))
                .unwrap();
            let redis = RedisOptions::new()
                .sessions(&options)
                .connect(&server.url())
                .unwrap();
            let stores: [Arc<dyn SessionStore>; 2] = [Arc::new(file), Arc::new(redis)];
            let mut places = stores.map(|store| Place::new(store, cap));
            walk.iter().try_for_each(|step| {
                let [file, redis] = places.each_mut().map(|place| place.step(step));
                match file == redis {
                    true => Ok(()),
                    false => Err(format!("{step:?}: by a file: {file}\nby a server: {redis}")),
                }
            })
        };
        let repeat = || format!("SHELF_FUZZ_SEED={seed} SHELF_FUZZ_OPS={STEPS} {REPEAT}");
        check(&walk, &run, &repeat);
    }
}
