//! The lists of users' sessions: exact through every change, every crash, and damage.

use super::*;
use crate::support::{Random, is_soak, metric};
use shelflife::sim::Call;
use shelflife::{Beyond, SessionCap, SessionHandle, copy_sessions};

const USERS: [&str; 3] = ["ann", "bob", "cleo"];

fn on(sim: &SimDisk, options: &SessionOptions) -> ShelveSessionStore {
    options.with_store(open(sim)).unwrap()
}

/// Asserts that the lists name the sessions that reading all of them finds.
fn assert_exact(store: &ShelveSessionStore, context: &dyn Fn() -> String) {
    let all: Vec<Session> = store
        .iter_sessions()
        .map(|session| session.unwrap())
        .collect();
    for user in USERS {
        let is_his = |session: &&Session| session.user() == Some(user);
        let mut wanted: Vec<_> = all.iter().filter(is_his).map(Session::handle).collect();
        let found = store.sessions_of(user).unwrap();
        let mut found: Vec<_> = found.iter().map(Session::handle).collect();
        wanted.sort();
        found.sort();
        assert_eq!(found, wanted, "{user}: {}", context());
    }
}

/// Several handles do whatever changes a list, clocks run, step and jump days ahead, files are compacted, and power is
/// cut: after every step the lists name exactly the sessions that a look at all of them finds.
#[test]
fn in_every_walk_the_lists_name_exactly_the_sessions_of_each_user() {
    let started = std::time::Instant::now();
    let walks = if is_soak() { 2_000 } else { 60 };
    let mut most = 0;
    for seed in 0..walks {
        most = most.max(walk(seed));
    }
    assert!(most > 32, "no list was cut into parts: {most}");
    let secs = started.elapsed().as_secs_f64();
    metric("session_list_walks", walks, Some(0), secs);
}

fn walk(seed: u64) -> usize {
    let mut random = Random::new(seed);
    let mut options = SessionOptions::new();
    options.hash_ids(seed.is_multiple_of(2));
    if !seed.is_multiple_of(3) {
        options.idle_lifetime(2 * HOUR);
    }
    let mut sim = sim();
    let mut stores = [on(&sim, &options), on(&sim, &options)];
    let mut copies: Vec<Session> = Vec::new();
    let mut most = 0;
    let steps = 200;
    for step in 0..steps {
        let context = || format!("seed {seed}, step {step}");
        let store = &stores[random.place(2)];
        // In some walks one has them all, so that his list is cut into parts.
        let user = match seed % 4 {
            0 => "ann",
            _ => USERS[random.place(USERS.len())],
        };
        let copy = random.place(copies.len().max(1));
        match random.below(16) {
            0..6 => copies.push(login(store, user)),
            6 => {
                let mut anonymous = Session::new();
                anonymous.insert("n", &step).unwrap();
                save(store, &mut anonymous);
                copies.push(anonymous);
            }
            7..10 if !copies.is_empty() => {
                let session = &mut copies[copy];
                if random.one_in(2) {
                    session.set_user(Some(user).filter(|_| !random.one_in(4)));
                    session.insert("n", &step).unwrap();
                }
                let saved = match random.one_in(2) {
                    true => store.regenerate_id(session),
                    false => store.save_session(session),
                };
                if !matches!(saved.unwrap(), Saved::Stored) {
                    copies.swap_remove(copy);
                }
            }
            10 if !copies.is_empty() => {
                let _ = store
                    .delete_session(&id(&copies.swap_remove(copy)))
                    .unwrap();
            }
            11 if !copies.is_empty() => {
                let _ = store.touch_session(&id(&copies[copy])).unwrap();
            }
            12 => sim.advance(Duration::from_secs(random.below(2 * 3600))),
            13 if random.one_in(4) => {
                let keep = copies.get(copy).map(|copy| copy.handle().unwrap());
                let keep = keep.filter(|_| random.one_in(2));
                match &keep {
                    Some(keep) => _ = store.delete_user_sessions_except(user, keep).unwrap(),
                    None => _ = store.delete_user_sessions(user).unwrap(),
                }
                let left = store.sessions_of(user).unwrap();
                assert!(left.iter().all(|it| it.handle() == keep), "{}", context());
            }
            13 => _ = store.delete_old_sessions(HOUR).unwrap(),
            14 if random.one_in(3) => {
                // A clock that jumps ahead, perhaps so far that what has ended is dropped, and is set right again.
                let now = sim.disk().wall_clock();
                sim.set_wall_clock(now + Duration::from_secs(random.below(100 * 3600)));
                copies.push(login(store, user));
                if random.one_in(2) {
                    store.store().compact().unwrap();
                }
                sim.set_wall_clock(now);
            }
            14 => _ = store.store().compact().unwrap(),
            15 if random.one_in(4) => {
                let images: Vec<_> = sim.power_cuts().pick(1).collect();
                if let Some(image) = images.into_iter().next() {
                    drop(stores);
                    sim = image.sim().clone();
                    stores = [on(&sim, &options), on(&sim, &options)];
                }
            }
            _ => {}
        }
        assert_exact(&stores[random.place(2)], &context);
        most = most.max(stores[0].sessions_of("ann").unwrap().len());
    }
    most
}

/// The keys of the lists, which begin with FF and `u`.
fn list_keys(store: &ShelveSessionStore) -> Vec<Vec<u8>> {
    let keys = store.store().iter().map(|entry| entry.unwrap().0);
    keys.filter(|key| key.starts_with(b"\xFFu")).collect()
}

#[test]
fn a_damaged_list_costs_a_look_at_all_sessions_and_no_session() {
    for parts in [1, 5] {
        let sim = sim();
        let store = on(&sim, &SessionOptions::new());
        let mut sessions: Vec<Session> = (0..parts * 25).map(|_| login(&store, "ann")).collect();
        login(&store, "bob");
        let mut keys = list_keys(&store);
        assert!(keys.len() > parts, "{}", keys.len());
        keys.retain(|key| {
            let of_bob = store.store().get(key).unwrap().unwrap().len() < 40;
            !of_bob || parts == 1
        });
        // The first part, the last one, garbage in place of one.
        for damage in 0..3 {
            let key = if damage == 0 {
                &keys[0]
            } else {
                keys.last().unwrap()
            };
            store.store().insert(key, b"garbage").unwrap();
            assert_exact(&store, &|| format!("damage {damage}"));
            sessions.push(login(&store, "ann"));
            assert!(store.delete_session(&id(&sessions.swap_remove(1))).unwrap());
            assert!(matches!(
                store.regenerate_id(&mut sessions[0]).unwrap(),
                Saved::Stored
            ));
            assert_exact(&store, &|| format!("after damage {damage}"));
            let handle = sessions.swap_remove(2).handle().unwrap();
            assert!(store.delete_user_session("ann", &handle).unwrap());
        }
        assert_eq!(store.delete_user_sessions("ann").unwrap(), sessions.len());
        assert_exact(&store, &|| "after all".to_string());
        for _ in 0..3 {
            login(&store, "ann");
        }
        assert_exact(&store, &|| "anew".to_string());
    }
}

/// Whether every list says that it names all sessions of its user, as the description of the format has it.
fn are_lists_whole(store: &ShelveSessionStore) -> bool {
    let parts = list_keys(store);
    let part = |key| store.store().get(key).unwrap().unwrap();
    parts.iter().map(part).all(|part| part[0] == 0)
}

/// Damage that the next change of a list meets is mended by it: a later call about the user's
/// sessions reads those alone.
#[test]
fn a_damaged_list_is_mended_by_the_next_change_of_it() {
    type Change = fn(&ShelveSessionStore, &mut Vec<Session>);
    let changes: [(&str, Change); 7] = [
        (
            "a session that comes from another store",
            |store, sessions| {
                let other = SessionOptions::new().in_memory_with_clock(start);
                sessions.push(login(&other, "ann"));
                copy_sessions(&other, store, Beyond::Keep, |_| ()).unwrap();
            },
        ),
        ("a login", |store, sessions| {
            sessions.push(login(store, "ann"))
        }),
        ("a logout", |store, sessions| {
            assert!(store.delete_session(&id(&sessions.swap_remove(0))).unwrap());
        }),
        ("a new id", |store, sessions| {
            let renewed = store.regenerate_id(&mut sessions[0]).unwrap();
            assert!(matches!(renewed, Saved::Stored));
        }),
        ("a login under a cap", |store, sessions| {
            let mut session = Session::new();
            session.set_user(Some("ann"));
            let most = sessions.len();
            let saved = store.regenerate_id_capped(&mut session, SessionCap::EndOldest(most));
            assert!(matches!(saved.unwrap(), Saved::Stored));
            sessions.swap_remove(0);
            sessions.push(session);
        }),
        ("a logout of another device", |store, sessions| {
            let handle = sessions.swap_remove(0).handle().unwrap();
            assert!(store.delete_user_session("ann", &handle).unwrap());
        }),
        ("a logout elsewhere", |store, sessions| {
            let keep = sessions[0].handle().unwrap();
            let ended = store.delete_user_sessions_except("ann", &keep).unwrap();
            assert_eq!(ended, sessions.len() - 1);
            sessions.truncate(1);
        }),
    ];
    for (name, change) in changes {
        for garbage in [true, false] {
            let sim = sim();
            let store = on(&sim, SessionOptions::new().idle_lifetime(HOUR));
            let mut sessions: Vec<Session> = (0..5).map(|_| login(&store, "ann")).collect();
            for nth in 0..20 {
                login(&store, &format!("other {nth}"));
            }
            let anns = |key: &&Vec<u8>| store.store().get(key).unwrap().unwrap().len() > 100;
            let keys = list_keys(&store);
            let key = keys.iter().find(anns).unwrap();
            match garbage {
                true => _ = store.store().insert(key, b"garbage").unwrap(),
                // A part that says so itself, as the writer left it that found the damage and died.
                false => {
                    let mut flagged = store.store().get(key).unwrap().unwrap();
                    flagged[0] = 1;
                    flagged.truncate(9 + 21);
                    _ = store.store().insert(key, flagged).unwrap();
                }
            }
            assert_exact(&store, &|| format!("before {name}"));
            assert!(!are_lists_whole(&store));
            change(&store, &mut sessions);
            assert!(are_lists_whole(&store), "{name}: {garbage}");
            assert_exact(&store, &|| format!("after {name}"));
            assert_eq!(store.sessions_of("ann").unwrap().len(), sessions.len());
            // It ends with the last of its sessions, as a list that was never damaged does.
            sim.advance(30 * 24 * HOUR);
            store.store().compact().unwrap();
            assert_eq!(list_keys(&store).len(), 0, "{name}");
        }
    }
}

/// The part of which the session leaves is looked at last, and what is found there is mended as well.
#[test]
fn a_damaged_part_is_mended_by_a_logout_from_it() {
    let sim = sim();
    let store = on(&sim, &SessionOptions::new());
    let sessions: Vec<Session> = (0..100).map(|_| login(&store, "ann")).collect();
    let gone = &sessions[0];
    let name = &key_of(&id(gone))[2..];
    let holds = |key: &&Vec<u8>| {
        let part = store.store().get(key).unwrap().unwrap();
        part.windows(name.len()).any(|window| window == name)
    };
    let keys = list_keys(&store);
    let key = keys.iter().find(holds).unwrap();
    store.store().insert(key, b"garbage").unwrap();
    assert!(store.delete_session(&id(gone)).unwrap());
    assert!(are_lists_whole(&store));
    assert_exact(&store, &|| "after the logout".to_string());
}

/// In a list of many parts, too, of which several are damaged, and while others log in.
#[test]
fn a_list_of_many_parts_is_mended_whichever_are_damaged() {
    for damage in 0..4 {
        let sim = sim();
        let store = on(&sim, SessionOptions::new().idle_lifetime(HOUR));
        let sessions: Vec<Session> = (0..150).map(|_| login(&store, "ann")).collect();
        let keys = list_keys(&store);
        assert!(keys.len() > 4, "{}", keys.len());
        for (nth, key) in keys.iter().enumerate() {
            if damage == 3 || nth % 3 == damage {
                store.store().insert(key, b"garbage").unwrap();
            }
        }
        // A call that reads all parts meets whichever is damaged.
        let handle = sessions[0].handle().unwrap();
        assert!(store.delete_user_session("ann", &handle).unwrap());
        assert!(are_lists_whole(&store), "damage {damage}");
        assert_eq!(store.sessions_of("ann").unwrap().len(), 149);
        login(&store, "ann");
        assert_exact(&store, &|| format!("damage {damage}"));
        for (nth, session) in sessions[1..].iter().enumerate() {
            assert!(store.delete_session(&id(session)).unwrap(), "{nth}");
        }
        assert_exact(&store, &|| format!("damage {damage}, at the end"));
        sim.advance(30 * 24 * HOUR);
        store.store().compact().unwrap();
        assert_eq!(list_keys(&store).len(), 0, "damage {damage}");
    }
}

/// Per user and per visit nothing is left behind: after sixty days of sessions that nobody uses again the file and the
/// index hold what three days bring, whether somebody sweeps or not.
#[test]
fn sixty_days_of_sessions_that_are_used_once_leave_nothing_behind() {
    for sweeps in [false, true] {
        let started = std::time::Instant::now();
        let sim = sim();
        let mut options = SessionOptions::new();
        if !sweeps {
            options.idle_lifetime(MINUTE * 30);
        }
        let store = on(&sim, &options);
        let a_day = 300;
        let mut keys_max = 0;
        for day in 0..60 {
            for nth in 0..a_day {
                // Some come every day, most never again.
                let user = match nth % 3 {
                    0 => format!("regular {nth}"),
                    _ => format!("visitor {day} {nth}"),
                };
                login(&store, &user);
            }
            sim.advance(24 * HOUR);
            if sweeps {
                let (deleted, remaining) = store.delete_old_sessions(MINUTE * 30).unwrap();
                assert_eq!((deleted, remaining), (a_day, 0));
            }
            let stats = store.store().stats().unwrap();
            keys_max = keys_max.max(stats.keys);
            assert!(
                stats.file_bytes <= 3 * 4 * a_day as u64 * 400 + (1 << 20),
                "{stats:?}"
            );
        }
        store.store().compact().unwrap();
        let stats = store.store().stats().unwrap();
        // Of one day and the next: sessions and lists.
        let most = if sweeps { 1 } else { 2 * 2 * a_day as u64 + 1 };
        assert!(stats.keys <= most, "{stats:?}");
        metric(
            "session_days_keys_max",
            keys_max,
            None,
            started.elapsed().as_secs_f64(),
        );
    }
}

#[test]
fn a_thousand_sessions_are_deleted_by_their_handles_in_two_walks_and_a_few_steps() {
    let sim = sim();
    let store = on(&sim, &SessionOptions::new());
    let mut meant: Vec<SessionHandle> = Vec::new();
    for nth in 0..1_100 {
        let session = login(&store, &format!("user {}", nth % 40));
        if nth < 1_000 {
            meant.push(session.handle().unwrap());
        }
    }
    let counts = || (sim.calls(Call::Read), sim.calls(Call::Sync));
    let (reads, syncs) = counts();
    let absent: SessionHandle = "000000000000".parse().unwrap();
    let is_meant = |handle| handle == absent || meant.contains(&handle);
    let mut deleted = store.delete_by_handles(&is_meant).unwrap();
    let (reads, syncs) = (counts().0 - reads, counts().1 - syncs);
    deleted.sort();
    meant.sort();
    assert!(deleted == meant);
    assert_eq!(store.iter_sessions().count(), 100);
    assert_eq!(store.sessions_of("user 7").unwrap().len(), 3);
    assert!(syncs < 20 && reads < 20_000, "{syncs} syncs, {reads} reads");
}

#[test]
fn a_users_sessions_are_found_and_ended_without_reading_the_others() {
    let sim = sim();
    let store = on(&sim, &SessionOptions::new());
    for nth in 0..2_000 {
        login(&store, &format!("user {}", nth % 400));
    }
    let reads = |what: &mut dyn FnMut()| {
        let before = sim.calls(Call::Read);
        what();
        sim.calls(Call::Read) - before
    };
    let mut handles: Vec<SessionHandle> = Vec::new();
    let found = reads(&mut || {
        let sessions = store.sessions_of("user 7").unwrap();
        handles = sessions
            .iter()
            .map(|session| session.handle().unwrap())
            .collect();
    });
    assert_eq!(handles.len(), 5);
    assert!(found <= 20, "{found} reads");
    let ended = reads(&mut || {
        assert!(store.delete_user_session("user 7", &handles[0]).unwrap());
        assert_eq!(store.delete_user_sessions("user 7").unwrap(), 4);
    });
    assert!(ended <= 80, "{ended} reads");
}

#[test]
fn a_session_leaves_the_list_of_the_user_that_it_had() {
    for hash in [false, true] {
        let sim = sim();
        let store = on(&sim, SessionOptions::new().hash_ids(hash));
        let mut session = login(&store, "ann");
        // The session, one list, and the note how ids are kept.
        assert_eq!(store.store().len().unwrap(), 3);
        session.set_user(Some("bob"));
        save(&store, &mut session);
        assert_eq!(store.store().len().unwrap(), 3, "a list of nobody is left");
        session.set_user(None);
        session.insert("cart", "tea").unwrap();
        save(&store, &mut session);
        assert_eq!(store.store().len().unwrap(), 2, "a list of nobody is left");
        session.set_user(Some("ann"));
        save(&store, &mut session);
        session.set_user(None);
        session.clear();
        assert!(matches!(
            store.save_session(&mut session).unwrap(),
            Saved::Empty
        ));
        assert_eq!(store.store().len().unwrap(), 1, "a list of nobody is left");
    }
}

#[test]
fn a_list_stays_for_as_long_as_a_session_in_use_lives() {
    let sim = sim();
    let store = on(&sim, SessionOptions::new().idle_lifetime(HOUR));
    let session = login(&store, "ann");
    // A day longer than the first end of the session: by that a compaction would drop its list.
    for _ in 0..60 {
        sim.advance(HOUR / 2);
        assert!(store.touch_session(&id(&session)).unwrap());
        store.store().compact().unwrap();
        assert_eq!(store.sessions_of("ann").unwrap().len(), 1);
    }
}

/// The list of bob goes on naming a session that is ann's again.
#[test]
fn a_name_in_a_list_ends_and_shows_no_session_of_another_user() {
    fn log_in_under(store: &ShelveSessionStore, cap: SessionCap) {
        let mut session = Session::new();
        session.set_user(Some("bob"));
        let saved = store.regenerate_id_capped(&mut session, cap).unwrap();
        assert!(matches!(saved, Saved::Stored), "{saved:?}");
    }
    type Deed = fn(&ShelveSessionStore, &SessionHandle);
    let deeds: [Deed; 5] = [
        |store, _| assert!(store.sessions_of("bob").unwrap().is_empty()),
        |store, _| assert_eq!(store.delete_user_sessions("bob").unwrap(), 0),
        |store, handle| assert!(!store.delete_user_session("bob", handle).unwrap()),
        |store, _| log_in_under(store, SessionCap::Refuse(1)),
        |store, _| log_in_under(store, SessionCap::EndOldest(1)),
    ];
    for deed in deeds {
        let store = on(&sim(), &SessionOptions::new());
        let mut session = login(&store, "ann");
        let was = session.clone();
        session.set_user(Some("bob"));
        save(&store, &mut session);
        store.put_back(&was).unwrap();
        assert_eq!(list_keys(&store).len(), 2);
        deed(&store, &was.handle().unwrap());
        assert_eq!(load(&store, &id(&was)).user(), Some("ann"));
    }
}

/// One session lives on, so the list does.
#[test]
fn the_names_of_sessions_that_the_store_dropped_leave_their_list() {
    let sim = sim();
    let store = on(&sim, SessionOptions::new().idle_lifetime(HOUR));
    let mut lasting = Session::new();
    lasting.set_user(Some("ann"));
    lasting.set_lifetime(Some(Lifetime::default()));
    save(&store, &mut lasting);
    for _ in 0..100 {
        login(&store, "ann");
        sim.advance(48 * HOUR);
        store.store().compact().unwrap();
    }
    let keys = list_keys(&store);
    let part = store.store().get(&keys[0]).unwrap().unwrap();
    assert!(keys.len() == 1 && part.len() < 9 + 5 * 21, "{}", part.len());
}
