//! Damage to what finds a user's sessions: they are found, capped and ended exactly all the same, whatever was lost.

use super::conformance::value_of;
use super::*;
use shelflife::SessionCap;
use shelflife::sim::{Call, Fault, FaultKind};

const SESSIONS: usize = 100;

fn store_at(sim: &SimDisk, path: &str) -> Store {
    let mut options = Options::new();
    options.disk(sim.disk()).compaction(Compaction::Manual);
    options.open(path).unwrap()
}

/// Sessions of ann, whose list has several parts, and three of bob.
fn populate(store: &ShelveSessionStore) -> (Vec<Session>, Vec<Session>) {
    let anns = (0..SESSIONS).map(|_| login(store, "ann")).collect();
    let bobs = (0..3).map(|_| login(store, "bob")).collect();
    // Damage to the last record of a log might be a crash's.
    store.store().insert("theme", "dark").unwrap();
    (anns, bobs)
}

/// The keys of all parts of all lists.
fn parts(store: &Store) -> Vec<Vec<u8>> {
    let keys = store.iter().filter_map(|entry| Some(entry.ok()?.0));
    keys.filter(|key| key.starts_with(b"\xFFu")).collect()
}

fn handles<'a>(sessions: impl IntoIterator<Item = &'a Session>) -> BTreeSet<SessionHandle> {
    let handles = sessions.into_iter().map(|it| it.handle().unwrap());
    handles.collect()
}

#[derive(Debug, Clone, Copy)]
enum Damage {
    /// A flipped bit in the record.
    Rot,
    /// A record that is sound and no part of a list.
    Garbage,
}

fn damage(sim: &SimDisk, store: &ShelveSessionStore, key: &[u8], how: Damage) {
    match how {
        Damage::Rot => {
            let file = sim.read("/sessions.shelf").unwrap();
            let stored = [key, &store.store().get(key).unwrap().unwrap()].concat();
            // The last byte of its value.
            let at = value_of(&file, &stored) - 1;
            sim.flip_bit("/sessions.shelf", at, 2).unwrap();
            assert!(store.store().get(key).unwrap_err().is_corrupt());
        }
        Damage::Garbage => _ = store.store().insert(key, "garbage").unwrap(),
    }
}

type Finding = fn(&ShelveSessionStore, &mut Vec<Session>);

/// All calls that find a user's sessions by the list.
fn calls() -> [(&'static str, Finding); 8] {
    fn capped(store: &ShelveSessionStore, cap: SessionCap) -> (Saved, Session) {
        let mut session = Session::new();
        session.set_user(Some("ann"));
        let saved = store.regenerate_id_capped(&mut session, cap).unwrap();
        (saved, session)
    }
    [
        ("the list", |store, anns| {
            assert_eq!(handles(&store.sessions_of("ann").unwrap()), handles(&*anns));
        }),
        ("everywhere", |store, anns| {
            assert_eq!(store.delete_user_sessions("ann").unwrap(), anns.len());
            anns.clear();
        }),
        ("elsewhere", |store, anns| {
            let keep = anns[7].handle().unwrap();
            let ended = store.delete_user_sessions_except("ann", &keep).unwrap();
            assert_eq!(ended, anns.len() - 1);
            anns.retain(|session| session.handle() == Some(keep));
        }),
        ("each device", |store, anns| {
            for session in anns.drain(..) {
                let handle = session.handle().unwrap();
                assert!(store.delete_user_session("ann", &handle).unwrap());
                assert!(!store.delete_user_session("ann", &handle).unwrap());
            }
        }),
        ("a login that a cap refuses", |store, anns| {
            let (saved, _) = capped(store, SessionCap::Refuse(anns.len()));
            assert!(matches!(saved, Saved::Full), "{saved:?}");
        }),
        ("a login that a cap just allows", |store, anns| {
            let (saved, session) = capped(store, SessionCap::Refuse(anns.len() + 1));
            assert!(matches!(saved, Saved::Stored), "{saved:?}");
            anns.push(session);
        }),
        ("a second login in the same browser", |store, anns| {
            let caps = [SessionCap::Refuse, SessionCap::EndOldest];
            for (nth, cap) in caps.into_iter().enumerate() {
                let old = id(&anns[nth]);
                let mut session = load(store, &old);
                session.confirm();
                let saved = store.regenerate_id_capped(&mut session, cap(anns.len()));
                let saved = saved.unwrap();
                assert!(matches!(saved, Saved::Stored), "it is no other: {saved:?}");
                assert_eq!(session.displaced(), []);
                assert!(store.was_replaced(&old).unwrap());
                anns[nth] = session;
            }
        }),
        ("a login that ends the oldest", |store, anns| {
            let (saved, session) = capped(store, SessionCap::EndOldest(10));
            assert!(matches!(saved, Saved::Stored), "{saved:?}");
            assert_eq!(session.displaced().len(), anns.len() - 9);
            let ended: BTreeSet<_> = session.displaced().iter().copied().collect();
            anns.retain(|session| !ended.contains(&session.handle().unwrap()));
            anns.push(session);
        }),
    ]
}

fn assert_exact(store: &ShelveSessionStore, anns: &[Session], bobs: &[Session]) {
    assert_eq!(handles(&store.sessions_of("ann").unwrap()), handles(anns));
    assert_eq!(handles(&store.sessions_of("bob").unwrap()), handles(bobs));
    let all: Vec<Session> = store.iter_sessions().map(|it| it.unwrap()).collect();
    assert_eq!(all.len(), anns.len() + bobs.len());
}

/// A login that does not read the damaged part leaves it as it is: the next call that asks for the user's sessions meets
/// the damage and answers exactly.
#[test]
fn with_any_part_of_a_list_damaged_a_users_sessions_are_found_capped_and_ended_exactly() {
    let count = {
        let store = SessionOptions::new().with_store(store_at(&sim(), "/sessions.shelf"));
        let store = store.unwrap();
        populate(&store);
        parts(store.store()).len()
    };
    assert!(count >= 4, "{count} parts");
    for nth in 0..count {
        for how in [Damage::Rot, Damage::Garbage] {
            for (name, call) in calls() {
                println!("part {nth}, {how:?}, {name}");
                let sim = sim();
                let store = store_at(&sim, "/sessions.shelf");
                let store = SessionOptions::new().with_store(store).unwrap();
                let (mut anns, bobs) = populate(&store);
                // How names fall to parts differs from run to run.
                let parts = parts(store.store());
                damage(&sim, &store, &parts[nth % parts.len()], how);
                anns.push(login(&store, "ann"));
                call(&store, &mut anns);
                assert_exact(&store, &anns, &bobs);
                anns.push(login(&store, "ann"));
                assert_exact(&store, &anns, &bobs);
            }
        }
    }
}

#[test]
fn whichever_read_fails_a_cap_lets_no_session_too_many_in() {
    let mut failed = 0;
    for nth in 1.. {
        let sim = sim();
        let store = store_at(&sim, "/sessions.shelf");
        let store = SessionOptions::new().with_store(store).unwrap();
        let anns: Vec<Session> = (0..3).map(|_| login(&store, "ann")).collect();
        sim.inject(Fault::new(FaultKind::Eio).on(Call::Read).nth(nth));
        let mut fourth = Session::new();
        fourth.set_user(Some("ann"));
        match store.regenerate_id_capped(&mut fourth, SessionCap::Refuse(3)) {
            Err(_) => failed += 1,
            Ok(saved) => assert!(matches!(saved, Saved::Full), "read {nth}: {saved:?}"),
        }
        let is_over = sim.faults() == 0;
        sim.clear_faults();
        assert_eq!(
            handles(&store.sessions_of("ann").unwrap()),
            handles(&anns),
            "read {nth}"
        );
        if is_over {
            break;
        }
    }
    assert!(failed >= 3, "{failed} reads failed");
}

/// Nobody is logged in with it, so it does not count.
#[test]
fn a_damaged_session_keeps_no_user_from_logging_in_under_a_cap() {
    for cap in [SessionCap::Refuse(3), SessionCap::EndOldest(3)] {
        for how in [Damage::Rot, Damage::Garbage] {
            let sim = sim();
            let store = store_at(&sim, "/sessions.shelf");
            let store = SessionOptions::new().with_store(store).unwrap();
            let mut anns: Vec<Session> = (0..3).map(|_| login(&store, "ann")).collect();
            store.store().insert("theme", "dark").unwrap();
            damage(&sim, &store, &key_of(&id(&anns.remove(1))), how);
            let mut third = Session::new();
            third.set_user(Some("ann"));
            let saved = store.regenerate_id_capped(&mut third, cap).unwrap();
            assert!(matches!(saved, Saved::Stored), "{cap:?}, {how:?}");
            assert!(third.displaced().is_empty());
            anns.push(third);
            assert_eq!(handles(&store.sessions_of("ann").unwrap()), handles(&anns));
        }
    }
}

#[test]
fn a_session_that_cannot_be_read_is_ended_by_its_handle() {
    let sim = sim();
    let store = store_at(&sim, "/sessions.shelf");
    let store = SessionOptions::new().with_store(store).unwrap();
    let (anns, mut bobs) = populate(&store);
    let damaged = bobs.remove(1);
    damage(&sim, &store, &key_of(&id(&damaged)), Damage::Rot);
    let handle = damaged.handle().unwrap();
    assert_eq!(store.delete_by_handle(handle).unwrap(), 1);
    assert!(store.load_session(&id(&damaged)).unwrap().is_none());
    assert_exact(&store, &anns, &bobs);
}

/// All sessions are read in place of the list. A session that can't be read may be one more of the user's, and is told;
/// the record of an id that was replaced is not, and a stranger's session comes into no list.
#[test]
fn a_logout_by_a_look_at_all_tells_what_may_be_the_users_and_nothing_else() {
    let sim = sim();
    let store = store_at(&sim, "/sessions.shelf");
    let store = SessionOptions::new().with_store(store).unwrap();
    let mut bob = login(&store, "bob");
    assert!(matches!(
        store.regenerate_id(&mut bob).unwrap(),
        Saved::Stored
    ));
    let list_of_bob = parts(store.store());
    login(&store, "ann");
    let lists = parts(store.store());
    let list = lists.iter().find(|key| !list_of_bob.contains(key)).unwrap();
    let before = store.store().get(list).unwrap().unwrap();
    damage(&sim, &store, list, Damage::Garbage);
    login(&store, "ann");
    let mended = store.store().get(list).unwrap().unwrap();
    assert_eq!(mended.len() - before.len(), before.len() - 9);

    damage(&sim, &store, list, Damage::Garbage);
    let cleo = login(&store, "cleo");
    assert_eq!(store.delete_user_sessions("ann").unwrap(), 2);
    login(&store, "ann");
    damage(&sim, &store, &key_of(&id(&cleo)), Damage::Garbage);
    damage(&sim, &store, list, Damage::Garbage);
    assert_eq!(store.sessions_of("ann").unwrap().len(), 1);
    let error = store.delete_user_sessions("ann").unwrap_err();
    let told = format!(
        "1 session was deleted; 1 could not be read and was passed by: session {}",
        cleo.handle().unwrap()
    );
    assert!(error.to_string().contains(&told), "{error}");
    assert_eq!(handles(&store.sessions_of("bob").unwrap()), handles([&bob]));
}

/// Since nobody knows which one that is, no session ends for not being among those that were read.
#[test]
fn a_copy_of_sessions_of_which_one_is_damaged_takes_the_others_and_says_so() {
    let sim = sim();
    let store = store_at(&sim, "/sessions.shelf");
    let store = SessionOptions::new().with_store(store).unwrap();
    let (anns, mut bobs) = populate(&store);
    let to = SessionOptions::new().in_memory_with_clock(start);
    copy_sessions(&store, &to, Beyond::Keep, |_| {}).unwrap();
    let cleo = login(&to, "cleo");
    let damaged = bobs.remove(1);
    damage(&sim, &store, &key_of(&id(&damaged)), Damage::Rot);
    bobs.push(login(&store, "bob"));
    for beyond in [Beyond::Keep, Beyond::End] {
        let error = copy_sessions(&store, &to, beyond, |_| {}).unwrap_err();
        assert!(error.is_corrupt());
    }
    assert!(to.has_session(&id(&bobs[2])).unwrap());
    for session in [&cleo, &damaged] {
        assert!(to.has_session(&id(session)).unwrap());
    }
    // And the other way round, over the damaged one.
    copy_sessions(&to, &store, Beyond::Keep, |_| {}).unwrap();
    bobs.push(damaged);
    assert_eq!(handles(&store.sessions_of("bob").unwrap()), handles(&bobs));
    assert_eq!(handles(&store.sessions_of("ann").unwrap()), handles(&anns));
}

/// Or those behind it would live on, though they ended in the store that is mirrored.
#[test]
fn a_mirror_passes_by_a_session_that_can_not_be_read_and_ends_the_others() {
    let sim = sim();
    let to = store_at(&sim, "/sessions.shelf");
    let to = SessionOptions::new().with_store(to).unwrap();
    let (anns, bobs) = populate(&to);
    damage(&sim, &to, &key_of(&id(&anns[0])), Damage::Rot);
    let from = SessionOptions::new().in_memory_with_clock(start);
    login(&from, "cleo");
    let error = copy_sessions(&from, &to, Beyond::End, |_| {}).unwrap_err();
    let damaged = anns[0].handle().unwrap().to_string();
    assert!(error.is_corrupt() && error.to_string().contains(&damaged));
    for session in anns[1..].iter().chain(&bobs) {
        assert!(!to.has_session(&id(session)).unwrap());
    }
    assert_eq!(to.sessions_of("cleo").unwrap().len(), 1);
}

/// And `verify` does not complain of it for ever.
#[test]
fn a_damaged_note_of_how_ids_are_kept_is_written_again_by_the_next_login() {
    for how in [Damage::Rot, Damage::Garbage] {
        let sim = sim();
        let store = store_at(&sim, "/sessions.shelf");
        let store = SessionOptions::new().with_store(store).unwrap();
        let (mut anns, bobs) = populate(&store);
        let note = store.store().get(b"\xFFk").unwrap();
        damage(&sim, &store, b"\xFFk", how);
        anns.push(login(&store, "ann"));
        assert_eq!(store.store().get(b"\xFFk").unwrap(), note);
        assert_exact(&store, &anns, &bobs);
    }
}

/// A salvage leaves out what it can't read, and a list that is not there looks like one of nobody.
#[test]
fn after_a_salvage_a_users_sessions_are_found_capped_and_ended_exactly() {
    for (lost, which) in [("a part", 0), ("the only part", 1), ("a session", 2)] {
        for in_place in [false, true] {
            for (name, call) in calls() {
                println!("{lost}, in place: {in_place}, {name}");
                let sim = sim();
                let store = store_at(&sim, "/sessions.shelf");
                let store = SessionOptions::new().with_store(store).unwrap();
                let (mut anns, mut bobs) = populate(&store);
                let parts = parts(store.store());
                let len = |key: &&Vec<u8>| store.store().get(key).unwrap().unwrap().len();
                let key = match which {
                    0 => parts.iter().max_by_key(len).unwrap().clone(),
                    1 => parts.iter().min_by_key(len).unwrap().clone(),
                    _ => key_of(&id(&bobs.pop().unwrap())),
                };
                damage(&sim, &store, &key, Damage::Rot);
                let salvaged = match in_place {
                    true => store.store().salvage_in_place().unwrap(),
                    false => store.store().salvage("/saved.shelf").unwrap(),
                };
                assert_eq!(salvaged.lost.len(), 1);
                // As a handle that is open already, and makes no list anew.
                let path = if in_place {
                    "/sessions.shelf"
                } else {
                    "/saved.shelf"
                };
                let tool = ShelveSessionStore::from(store_at(&sim, path));
                let doubted =
                    |store: &ShelveSessionStore| store.store().get(b"\xFFk").unwrap().is_none();
                anns.push(login(&tool, "ann"));
                call(&tool, &mut anns);
                assert_exact(&tool, &anns, &bobs);
                assert!(
                    doubted(&tool),
                    "a login vouches for lists that lack sessions"
                );
                anns.push(login(&tool, "ann"));
                assert_exact(&tool, &anns, &bobs);

                // The next one that is opened makes the lists anew, and reads no other's sessions from then on.
                let options = SessionOptions::new();
                let again = options.with_store(store_at(&sim, path)).unwrap();
                assert!(!doubted(&again));
                assert_exact(&again, &anns, &bobs);
                let before = sim.calls(Call::Read);
                assert_eq!(again.sessions_of("bob").unwrap().len(), bobs.len());
                let reads = sim.calls(Call::Read) - before;
                assert!(reads < 20, "{reads} reads");
                assert_eq!(again.delete_user_sessions("ann").unwrap(), anns.len());
                assert_exact(&tool, &[], &bobs);
            }
        }
    }
}

#[test]
fn whichever_read_fails_after_a_salvage_no_login_vouches_for_lists_that_lack_sessions() {
    let mut failed = 0;
    for nth in 1.. {
        let sim = sim();
        let store = store_at(&sim, "/sessions.shelf");
        let store = SessionOptions::new().with_store(store).unwrap();
        let bobs: Vec<Session> = (0..3).map(|_| login(&store, "bob")).collect();
        store.store().insert("theme", "dark").unwrap();
        damage(&sim, &store, &parts(store.store())[0], Damage::Rot);
        store.store().salvage_in_place().unwrap();
        let tool = ShelveSessionStore::from(store_at(&sim, "/sessions.shelf"));
        sim.inject(Fault::new(FaultKind::Eio).on(Call::Read).nth(nth));
        let mut ann = Session::new();
        ann.set_user(Some("ann"));
        failed += usize::from(tool.save_session(&mut ann).is_err());
        let is_over = sim.faults() == 0;
        sim.clear_faults();
        let found = tool.sessions_of("bob").unwrap();
        assert_eq!(handles(&found), handles(&bobs), "read {nth}");
        if is_over {
            break;
        }
    }
    assert!(failed >= 1, "{failed} reads failed");
}

/// As an opening does, for whom the store stays open.
#[test]
fn a_sweep_makes_the_lists_anew_that_a_salvage_lost() {
    let sim = sim();
    let store = SessionOptions::new().with_store(store_at(&sim, "/sessions.shelf"));
    let store = store.unwrap();
    let (anns, bobs) = populate(&store);
    damage(&sim, &store, &parts(store.store())[0], Damage::Rot);
    store.store().salvage_in_place().unwrap();
    assert_eq!(store.store().get(b"\xFFk").unwrap(), None);
    let sessions = anns.len() + bobs.len();
    assert_eq!(store.delete_old_sessions(HOUR).unwrap(), (0, sessions));
    assert!(store.store().get(b"\xFFk").unwrap().is_some());
    assert_exact(&store, &anns, &bobs);
}

/// The sessions tell it by their keys.
#[test]
fn after_a_salvage_a_store_keeps_ids_as_it_did() {
    for hashed in [false, true] {
        let sim = sim();
        let options = |hashed| SessionOptions::new().hash_ids(hashed).clone();
        let store = store_at(&sim, "/sessions.shelf");
        let store = options(hashed).with_store(store).unwrap();
        let (anns, _) = populate(&store);
        damage(&sim, &store, b"\xFFk", Damage::Rot);
        assert_eq!(store.store().salvage("/saved.shelf").unwrap().lost.len(), 1);
        let open = |hashed| options(hashed).with_store(store_at(&sim, "/saved.shelf"));
        let refused = open(!hashed).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::InvalidInput);
        let tool = ShelveSessionStore::from(store_at(&sim, "/saved.shelf"));
        assert!(tool.has_session(&id(&anns[0])).unwrap());
        assert!(open(hashed).unwrap().has_session(&id(&anns[1])).unwrap());
    }
}
