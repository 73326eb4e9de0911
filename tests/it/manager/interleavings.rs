//! Two requests of one browser, in every order of all that they do, and their responses in either order.
//!
//! The claims are those of [`check`]: no request that neither logged in nor out replaces or revokes a login's cookie,
//! the jar never reaches a session that was logged out, and nothing that was answered as stored is lost.

use super::*;
use crate::support::metric;
use shelflife::sim::{Schedule, SimDisk};
use shelflife::{Compaction, Durability, Options};
use std::sync::Barrier;
use std::thread;
use std::time::Instant;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Deed {
    Read,
    /// A change of the copy, stored at the end.
    Write,
    /// A change where it is stored.
    Update,
    Login,
    Logout,
}

pub(super) const DEEDS: [Deed; 5] = [
    Deed::Read,
    Deed::Write,
    Deed::Update,
    Deed::Login,
    Deed::Logout,
];

impl Deed {
    /// `who` tells the two requests apart.
    pub(super) fn run(self, visit: &mut Visit, who: usize) -> Result<()> {
        match self {
            Deed::Read => visit.user().map(drop),
            Deed::Write => visit.session()?.insert(format!("by {who}"), "x").map(drop),
            Deed::Update => visit.update(|session| {
                let n = session.get::<u64>("n")?.unwrap_or(0) + 1;
                session.insert("n", &n).map(drop)
            }),
            Deed::Login => visit.login("ann").map(drop),
            Deed::Logout => visit.logout().map(drop),
        }
    }

    fn is_change(self) -> bool {
        matches!(self, Deed::Write | Deed::Update)
    }
}

/// A request, and what its browser got.
#[derive(Debug, Clone)]
pub(super) struct Played {
    pub(super) deed: Deed,
    pub(super) who: usize,
    pub(super) answer: Answer,
}

impl Played {
    fn is_lost(&self) -> bool {
        matches!(self.answer.outcome, Outcome::Lost(_))
    }

    /// Another request stored something between this one's look and its end.
    pub(super) fn is_merged(&self) -> bool {
        self.answer.outcome == Outcome::Merged
    }
}

/// The session as two requests find it: of a stranger, or of somebody who is logged in.
pub(super) fn start(manager: &SessionManager, logged_in: bool) -> Jar {
    let mut visit = manager.begin::<&str>([]);
    put(&mut visit, "cart", "tea");
    if logged_in {
        visit.login("ann").unwrap();
    }
    let mut jar = Jar::default();
    jar.receive(&answer(visit.finish().unwrap()));
    jar
}

/// Or two threads or processes only followed one another, as they may on one core.
pub(super) fn assert_overlap(merged: usize) {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    assert!(merged > 0 || cores == 1, "no request met another");
}

/// Checks the promises after two requests of a browser that began with `old`, for its responses in either order, and
/// deletes the sessions that are left.
pub(super) fn check_both(manager: &SessionManager, old: &Jar, one: &Played, two: &Played) {
    let jars = [[one, two], [two, one]].map(|played| check(manager, old, played));
    for id in jars.iter().filter_map(Jar::id) {
        manager.store().delete_session(&id).unwrap();
    }
}

/// Checks them for responses that arrive in this order, and returns what the jar is then.
fn check(manager: &SessionManager, old: &Jar, played: [&Played; 2]) -> Jar {
    let story = || format!("{played:#?}");
    let others = |me: &Played| {
        played
            .iter()
            .find(|other| other.who != me.who)
            .unwrap()
            .deed
    };
    let did = |deed: Deed| played.iter().any(|it| it.deed == deed);
    let mut jar = old.clone();
    for it in played {
        jar.receive(&it.answer);
        match it.deed {
            Deed::Login => assert!(it.answer.sets_an_id(), "{}", story()),
            Deed::Logout => assert!(!it.answer.sets_an_id(), "{}", story()),
            // It may begin a new session only where it found none.
            _ if others(it) == Deed::Logout && it.deed.is_change() => {
                assert!(!it.answer.is_revoking(), "{}", story());
            }
            _ => assert_eq!(it.answer.set_cookie(), None, "{}", story()),
        }
    }
    let id = old.id().unwrap();
    let lives = manager.store().has_session(&id).unwrap();
    assert_eq!(
        lives,
        !did(Deed::Login) && !did(Deed::Logout),
        "{}",
        story()
    );

    let login = played.iter().rev().find(|it| it.deed == Deed::Login);
    let mut visit = manager.begin(jar.field());
    let user = visit.user().unwrap().map(String::from);
    match login {
        // The cookie of the login that came last, or none after a logout.
        Some(login) if !did(Deed::Logout) => {
            let mut expected = Jar::default();
            expected.receive(&login.answer);
            assert_eq!(jar, expected, "{}", story());
            assert_eq!(user.as_deref(), Some("ann"), "{}", story());
        }
        Some(_) => {
            let is_logged_in = user.as_deref() == Some("ann");
            assert!(is_logged_in || jar == Jar::default(), "{}", story());
            if played[1].answer.is_revoking() {
                assert_eq!(jar, Jar::default(), "{}", story());
            }
        }
        None if did(Deed::Logout) => {
            assert_eq!(user, None, "{}", story());
            assert_ne!(jar.id().as_ref(), Some(&id), "{}", story());
        }
        None => assert_eq!(jar, *old, "{}", story()),
    }
    // All that was answered as stored is there, where the session went on.
    let went_on = played.iter().filter(|it| it.deed == Deed::Login).count() < 2;
    if went_on && !did(Deed::Logout) {
        let session = visit.session().unwrap();
        let updates = played
            .iter()
            .filter(|it| it.deed == Deed::Update && !it.is_lost())
            .count();
        let n = session.get::<u64>("n").unwrap().unwrap_or(0);
        assert_eq!(n, updates as u64, "{}", story());
        for it in played
            .iter()
            .filter(|it| it.deed == Deed::Write && !it.is_lost())
        {
            assert!(
                session.contains_key(format!("by {}", it.who)),
                "{}",
                story()
            );
        }
        assert!(session.contains_key("cart"), "{}", story());
    }
    // A change is lost only to a login or a logout.
    for it in played
        .iter()
        .filter(|it| it.deed.is_change() && it.is_lost())
    {
        assert!(
            matches!(others(it), Deed::Login | Deed::Logout),
            "{}",
            story()
        );
    }
    jar
}

/// All orders of the steps of two requests: one a bit, the lowest first.
fn orders(steps: usize) -> impl Iterator<Item = u32> {
    (0..1_u32 << (2 * steps)).filter(move |order| order.count_ones() as usize == steps)
}

/// A request does four things: it begins and perhaps looks, does its deed, is finished, and its response arrives.
#[test]
fn in_every_order_of_the_steps_of_two_requests_the_jar_ends_where_it_should() {
    let site = Site::new();
    let begun = Instant::now();
    let mut played_out = 0;
    for (logged_in, looks) in [(false, false), (false, true), (true, false), (true, true)] {
        for first in DEEDS {
            for second in DEEDS {
                for order in orders(4) {
                    let old = start(&site.manager, logged_in);
                    let mut visits = [None, None];
                    let mut done = [None, None];
                    let mut arrived = Vec::new();
                    let mut steps = [0, 0];
                    for at in 0..8 {
                        let who = (order >> at & 1) as usize;
                        let deed = [first, second][who];
                        match steps[who] {
                            0 => {
                                let mut visit = site.begin(&old);
                                if looks {
                                    visit.user().unwrap();
                                }
                                visits[who] = Some(visit);
                            }
                            1 => deed.run(visits[who].as_mut().unwrap(), who).unwrap(),
                            2 => {
                                let answer = answer(visits[who].take().unwrap().finish().unwrap());
                                done[who] = Some(Played { deed, who, answer });
                            }
                            _ => arrived.push(done[who].take().unwrap()),
                        }
                        steps[who] += 1;
                    }
                    check_both(&site.manager, &old, &arrived[0], &arrived[1]);
                    played_out += 1;
                }
            }
        }
    }
    assert_eq!(played_out, 4 * 25 * 70);
    let secs = begun.elapsed().as_secs_f64();
    metric("manager_orders_of_two_requests", played_out, None, secs);
}

/// Two processes, one request each, and every order of their calls to the disk; their responses arrive in either order.
#[test]
fn in_every_interleaving_of_two_processes_the_jar_ends_where_it_should() {
    let begun = Instant::now();
    let mut runs = 0;
    for logged_in in [false, true] {
        for (n, first) in DEEDS.into_iter().enumerate() {
            for second in &DEEDS[n..] {
                runs += every_interleaving(logged_in, [first, *second]);
            }
        }
    }
    assert!(
        runs > 500,
        "only {runs} interleavings: is the search blind?"
    );
    let secs = begun.elapsed().as_secs_f64();
    metric("manager_interleavings_of_two_processes", runs, None, secs);
}

fn every_interleaving(logged_in: bool, deeds: [Deed; 2]) -> usize {
    let mut schedule = Schedule::search();
    let mut runs = 0;
    while schedule.next() {
        let sim = SimDisk::new(1);
        let processes = [sim.process(), sim.process()];
        let manage = |disk| {
            let mut options = Options::new();
            options
                .disk(disk)
                .durability(Durability::Os)
                .compaction(Compaction::Manual);
            let store = options.open("/sessions.shelf").unwrap();
            let store = SessionOptions::new()
                .hash_ids(true)
                .with_store(store)
                .unwrap();
            ManagerOptions::new().manage(store).unwrap()
        };
        let old = {
            let manager = manage(sim.disk());
            start(&manager, logged_in)
        };
        let managers = [manage(processes[0].disk()), manage(processes[1].disk())];
        let answers = [Mutex::new(None), Mutex::new(None)];
        let request = |who: usize| {
            let (manager, old, answers) = (&managers[who], &old, &answers);
            move || -> Result<()> {
                let mut visit = manager.begin(old.field());
                deeds[who].run(&mut visit, who)?;
                *answers[who].lock().unwrap() = Some(answer(visit.finish()?));
                Ok(())
            }
        };
        let programs = vec![
            processes[0].program(request(0)),
            processes[1].program(request(1)),
        ];
        if sim.run(&mut schedule, programs) != shelflife::sim::Ran::Whole {
            continue;
        }
        runs += 1;
        let played = [0, 1].map(|who| Played {
            deed: deeds[who],
            who,
            answer: answers[who].lock().unwrap().take().unwrap(),
        });
        drop(managers);
        check_both(&manage(sim.disk()), &old, &played[0], &played[1]);
    }
    runs
}

#[test]
fn in_threads_on_a_real_file_the_jar_ends_where_it_should() {
    const RUNS: usize = 10_000;
    let begun = Instant::now();
    let dir = tempfile::tempdir().unwrap();
    let store = Options::new()
        .durability(Durability::Os)
        .open(dir.path().join("s.shelf"))
        .unwrap();
    let store = SessionOptions::new()
        .hash_ids(true)
        .with_store(store)
        .unwrap();
    let manager = ManagerOptions::new().manage(store).unwrap();
    let mut random = crate::support::Random::new(7);
    let rounds: Vec<(Jar, [Deed; 2], u64)> = (0..RUNS)
        .map(|_| {
            let deeds = [0, 1].map(|_| DEEDS[random.below(DEEDS.len() as u64) as usize]);
            (start(&manager, random.one_in(2)), deeds, random.next())
        })
        .collect();
    let barrier = Barrier::new(2);
    let played: Vec<Mutex<Vec<Played>>> = rounds.iter().map(|_| Mutex::default()).collect();
    thread::scope(|scope| {
        for who in 0..2 {
            let (manager, rounds, barrier, played) = (&manager, &rounds, &barrier, &played);
            scope.spawn(move || {
                for ((old, deeds, noise), played) in rounds.iter().zip(played) {
                    barrier.wait();
                    // One of the two begins a little later.
                    for _ in 0..(noise >> (who * 8)) & 0xFF {
                        std::hint::spin_loop();
                    }
                    let mut visit = manager.begin(old.field());
                    deeds[who].run(&mut visit, who).unwrap();
                    let answer = answer(visit.finish().unwrap());
                    let deed = deeds[who];
                    played.lock().unwrap().push(Played { deed, who, answer });
                }
            });
        }
    });
    let mut merged = 0;
    for ((old, ..), played) in rounds.iter().zip(played) {
        let played = played.into_inner().unwrap();
        merged += played.iter().filter(|it| it.is_merged()).count();
        check_both(&manager, old, &played[0], &played[1]);
    }
    assert_overlap(merged);
    let secs = begun.elapsed().as_secs_f64();
    metric("manager_requests_in_two_threads", RUNS, Some(7), secs);
}

type DeedOfUser = fn(&mut Visit) -> Result<()>;

/// The deeds of a request for one user while another user logs in, or out everywhere.
const DEEDS_OF_USERS: [(&str, DeedOfUser); 9] = [
    ("put", |visit| {
        let user = visit.user()?.unwrap_or("nobody").to_string();
        visit
            .session()?
            .insert(format!("for {user}"), "x")
            .map(drop)
    }),
    ("put at once", |visit| {
        visit.update(|session| {
            let user = session.user().unwrap_or("nobody").to_string();
            session.insert(format!("for {user}"), "x").map(drop)
        })
    }),
    ("token", |visit| {
        visit.session()?.create_form_token().map(drop)
    }),
    ("label", |visit| visit.set_device_label(Some("ann's"))),
    ("renew", Visit::renew),
    ("ann", |visit| visit.login("ann").map(drop)),
    ("bob", |visit| visit.login("bob").map(drop)),
    ("bob by hand", |visit| {
        visit.session()?.clear();
        visit.session()?.set_user(Some("bob"));
        Ok(())
    }),
    ("everywhere", |visit| visit.logout_everywhere().map(drop)),
];

/// Of two requests of one browser, in every order of their steps and with their responses in either order.
#[test]
fn in_every_order_of_two_requests_nothing_of_one_user_comes_to_another() {
    let site = Site::new();
    for logged_in in [false, true] {
        for (first, one) in DEEDS_OF_USERS {
            for (second, two) in DEEDS_OF_USERS {
                for order in orders(3) {
                    let story = format!("{first} and {second}, {logged_in}, {order:b}");
                    let old = start(&site.manager, logged_in);
                    let mut visits = [None, None];
                    let mut answers = Vec::new();
                    let mut steps = [0, 0];
                    for at in 0..6 {
                        let who = (order >> at & 1) as usize;
                        match steps[who] {
                            0 => {
                                let mut visit = site.begin(&old);
                                visit.user().unwrap();
                                visits[who] = Some(visit);
                            }
                            1 => [one, two][who](visits[who].as_mut().unwrap()).unwrap(),
                            _ => {
                                let visit = visits[who].take().unwrap();
                                answers.push((who, answer(visit.finish().unwrap())));
                            }
                        }
                        steps[who] += 1;
                    }
                    let is_login =
                        |who: usize| ["ann", "bob", "bob by hand"].contains(&[first, second][who]);
                    for (who, answer) in &answers {
                        let may = is_login(*who)
                            || ["renew", "everywhere"].contains(&[first, second][*who])
                            || [first, second].contains(&"everywhere");
                        assert!(may || answer.set_cookie().is_none(), "{story}");
                        let Some(set) = answer.set_cookie().filter(|_| answer.sets_an_id()) else {
                            continue;
                        };
                        let id = set.split(['=', ';']).nth(1).unwrap().parse().unwrap();
                        let Some(session) = site.store.store.load_session(&id).unwrap() else {
                            continue;
                        };
                        let user = session.user().unwrap_or("nobody");
                        let mut keys = session.keys().filter(|key| key.starts_with("for "));
                        assert!(
                            keys.all(|key| *key == *format!("for {user}") || key == "for nobody"),
                            "{story}: {user} has {:?}",
                            session.keys().collect::<Vec<_>>()
                        );
                        if user == "bob" {
                            assert_ne!(session.label(), Some("ann's"), "{story}");
                        }
                        if is_login(*who) {
                            assert_eq!(session.form_token_count(), 0, "{story}");
                        }
                    }
                    site.store.store.setup(Existing::Overwrite).unwrap();
                }
            }
        }
    }
}
