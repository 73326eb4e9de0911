//! Ids that are hashed at rest: what a thief of the file gets, and how a store comes to it.

use super::shelve::{bytes_hold, on, session_of};
use super::*;
use std::sync::Once;

#[test]
fn a_file_with_hashed_ids_holds_no_live_session() {
    let live = |hash: bool| {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sessions.shelf");
        let store = Options::new()
            .durability(shelflife::Durability::Os)
            .open(&path)
            .unwrap();
        let store = SessionOptions::new()
            .hash_ids(hash)
            .with_store(store)
            .unwrap();
        let mut ids: Vec<_> = (0..1_000).map(|_| id(&login(&store, "ann"))).collect();
        for id in &mut ids[..100] {
            let mut session = load(&store, id);
            assert!(matches!(
                store.regenerate_id(&mut session).unwrap(),
                Saved::Stored
            ));
        }
        store.store().compact().unwrap();
        login(&store, "bob");
        store.close().unwrap();
        let mut bytes = Vec::new();
        for entry in std::fs::read_dir(dir.path()).unwrap() {
            bytes.extend(std::fs::read(entry.unwrap().path()).unwrap());
        }
        let windows: BTreeSet<&[u8]> = bytes.windows(16).collect();
        assert!(ids.iter().all(|id| !bytes_hold(&bytes, id.as_str())));
        ids.iter()
            .filter(|id| windows.contains(&key_of(id)[2..]))
            .count()
    };
    assert_eq!(live(true), 0);
    assert_eq!(live(false), 1_000, "those that were replaced, for a minute");
}

#[test]
fn a_store_of_the_other_kind_is_refused_at_opening_and_after_it_took_the_place() {
    let sim = sim();
    let options = |hash| SessionOptions::new().hash_ids(hash).clone();
    for (first, path) in [(false, "/plain"), (true, "/hashed")] {
        let open = || {
            let mut options = Options::new();
            options.disk(sim.disk()).open(path).unwrap()
        };
        let early = options(!first).with_store(open()).unwrap();
        let store = options(first).with_store(open()).unwrap();
        let id = id(&login(&store, "ann"));
        let refused = |error: Error| {
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
            assert!(error.path() == Some(path.as_ref()) && error.to_string().contains("hash_ids"));
        };
        // Opened before the first session was there, it learns by its next call.
        refused(early.load_session(&id).unwrap_err());
        refused(early.save_session(&mut session_of("bob")).unwrap_err());
        refused(early.delete_session(&id).unwrap_err());
        refused(early.iter_sessions().next().unwrap().unwrap_err());
        refused(early.delete_old_sessions(HOUR).unwrap_err());
        refused(options(!first).with_store(open()).unwrap_err());
        // A tool takes it as it is.
        let tool = ShelveSessionStore::from(open());
        assert_eq!(users(&tool), ["ann"]);
        assert!(tool.has_session(&id).unwrap() && tool.delete_session(&id).unwrap());

        // Emptied, it becomes what the next one wants.
        store.setup(Existing::Overwrite).unwrap();
        login(&early, "bob");
        refused(store.save_session(&mut session_of("cleo")).unwrap_err());
        refused(store.load_session(&id).unwrap_err());
        refused(store.touch_session(&id).unwrap_err());
        refused(store.sessions_of("bob").unwrap_err());
        assert_eq!(users(&early), ["bob"]);
    }
}

/// Files of different stores may be counted by the same number.
#[test]
fn a_store_of_the_other_kind_is_refused_by_a_handle_that_reads_it_anew() {
    for hashed in [false, true] {
        let sim = sim();
        let options = |hash| SessionOptions::new().hash_ids(hash).clone();
        let open = |path: &str| Options::new().disk(sim.disk()).open(path).unwrap();
        let store = options(hashed).with_store(open("/a")).unwrap();
        let tool = ShelveSessionStore::from(open("/a"));
        let ours = id(&login(&store, "ann"));
        assert!(store.has_session(&ours).unwrap() && tool.has_session(&ours).unwrap());
        let other = options(!hashed).with_store(open("/b")).unwrap();
        let theirs = login(&other, "bob");
        drop(other);
        sim.disk().rename("/b".as_ref(), "/a".as_ref()).unwrap();
        for handle in [&store, &tool] {
            handle.store().reopen().unwrap();
        }
        let refused = |error: Error| assert_eq!(error.kind(), ErrorKind::InvalidInput);
        for id in [&ours, &id(&theirs)] {
            refused(store.load_session(id).unwrap_err());
            refused(store.touch_session(id).unwrap_err());
            refused(store.delete_session(id).unwrap_err());
            refused(store.update_session(id, |_| Ok(())).unwrap_err());
        }
        let handle = theirs.handle().unwrap();
        refused(store.sessions_of("bob").unwrap_err());
        refused(store.delete_user_sessions("bob").unwrap_err());
        refused(store.delete_user_session("bob", &handle).unwrap_err());
        refused(store.delete_by_handle(handle).unwrap_err());
        refused(store.save_session(&mut session_of("cleo")).unwrap_err());
        assert!(tool.has_session(&id(&theirs)).unwrap());
        assert!(tool.delete_session(&id(&theirs)).unwrap());
    }
}

#[test]
fn ids_are_hashed_at_rest_for_good_while_everybody_stays_logged_in() {
    let sim = sim();
    let mut options = SessionOptions::new();
    options.idle_lifetime(HOUR);
    let plain = options.with_store(open(&sim)).unwrap();
    let expired = login(&plain, "ann");
    sim.advance(2 * HOUR);
    let mut sessions: Vec<Session> = (0..100)
        .map(|nth| login(&plain, ["ann", "bob"][nth % 2]))
        .collect();
    let mut anonymous = Session::new();
    anonymous.insert("cart", "tea").unwrap();
    save(&plain, &mut anonymous);
    assert!(matches!(
        plain.regenerate_id(&mut sessions[0]).unwrap(),
        Saved::Stored
    ));
    plain.store().insert("beside", "kept").unwrap();

    let tool = ShelveSessionStore::from(open(&sim));
    // The expired one and what stands for a replaced id are no sessions to anybody, and their ids go as well.
    assert_eq!(tool.hash_ids().unwrap(), 102);
    assert_eq!(tool.hash_ids().unwrap(), 0);
    for session in sessions.iter().chain([&anonymous, &expired]) {
        let file = sim.read("/sessions.shelf").unwrap();
        let bits = &key_of(&id(session))[2..];
        assert!(
            !file.windows(16).any(|window| window == bits),
            "an id is left"
        );
    }
    let refused = plain.load_session(&id(&anonymous)).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::InvalidInput);

    let hashed = options
        .clone()
        .hash_ids(true)
        .with_store(open(&sim))
        .unwrap();
    for session in &mut sessions {
        session.insert("n", &1u64).unwrap();
        save(&hashed, session);
    }
    assert!(hashed.has_session(&id(&anonymous)).unwrap());
    assert_absent(&hashed, &id(&expired));
    assert_eq!(hashed.sessions_of("ann").unwrap().len(), 50);
    assert_eq!(hashed.delete_user_sessions("bob").unwrap(), 50);
    assert_eq!(hashed.iter_sessions().count(), 51);
    assert_eq!(
        hashed.store().get("beside").unwrap().as_deref(),
        Some(&b"kept"[..])
    );
}

#[test]
fn no_crash_leaves_an_id_in_a_store_whose_ids_are_hashed() {
    let sim = sim();
    let plain = on(&sim);
    let sessions: Vec<Session> = (0..40)
        .map(|nth| login(&plain, ["ann", "bob"][nth % 2]))
        .collect();
    // One whose record is dead by now, and a torn tail that was cut, of which evidence is kept.
    let gone = login(&plain, "eve");
    assert!(plain.delete_session(&id(&gone)).unwrap());
    plain.close().unwrap();
    let mut torn = sim.read("/sessions.shelf").unwrap();
    torn.extend(b"torn ");
    torn.extend(key_of(&id(&sessions[0])));
    sim.write("/sessions.shelf", &torn).unwrap();
    let tool = on(&sim);
    tool.store().insert("beside", "kept").unwrap();
    let names = |sim: &SimDisk| sim.disk().list("/".as_ref()).unwrap();
    assert_eq!(names(&sim).len(), 2, "the store and the evidence");

    sim.forget();
    assert_eq!(tool.hash_ids().unwrap(), 40);
    sim.acknowledge();
    drop(tool);
    let all = sessions.iter().chain([&gone]);
    let ids: BTreeSet<Vec<u8>> = all
        .map(|session| key_of(&id(session))[2..].to_vec())
        .collect();
    // Few places begin like an id, and only those are worth a search.
    let mut begins = [false; 256];
    for id in &ids {
        begins[usize::from(id[0])] = true;
    }
    let has_id = |sim: &SimDisk| {
        let bytes: Vec<u8> = names(sim)
            .into_iter()
            .flat_map(|name| sim.read(std::path::Path::new("/").join(name)).unwrap())
            .collect();
        let found: BTreeSet<&[u8]> = bytes
            .windows(16)
            .filter(|it| begins[usize::from(it[0])] && ids.contains(*it))
            .collect();
        found.len()
    };
    let (mut before, mut after) = (0, 0);
    let cuts = sim.power_cuts();
    for image in cuts {
        let on_image = image.sim();
        // The bytes first: opening may mend.
        let left = has_id(on_image);
        let opened = |hash| {
            SessionOptions::new()
                .hash_ids(hash)
                .with_store(open(on_image))
        };
        let store = match opened(true) {
            Ok(store) => {
                assert_eq!(left, 0, "an id is left: {:?}", image.id());
                after += 1;
                store
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
                assert_eq!(image.acknowledged(), 0, "{:?}", image.id());
                before += 1;
                opened(false).unwrap()
            }
        };
        for session in &sessions {
            assert!(store.has_session(&id(session)).unwrap(), "{:?}", image.id());
        }
        assert_eq!(
            store.sessions_of("ann").unwrap().len(),
            20,
            "{:?}",
            image.id()
        );
        assert!(store.store().contains_key("beside").unwrap());
    }
    assert!(
        before > 0 && after > 0,
        "{before} images of before, {after} of after"
    );
    assert_eq!(has_id(&sim), 0);
}

#[test]
fn ids_are_not_hashed_while_an_entry_is_damaged() {
    let sim = sim();
    let plain = on(&sim);
    let sessions = ["ann", "bob"].map(|user| login(&plain, user));
    plain.close().unwrap();
    let file = sim.read("/sessions.shelf").unwrap();
    let at = file.windows(3).position(|window| window == b"ann").unwrap();
    sim.flip_bit("/sessions.shelf", at as u64, 0).unwrap();
    let tool = on(&sim);
    let error = tool.hash_ids().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    assert!(
        tool.has_session(&id(&sessions[1])).unwrap(),
        "the store is as it was"
    );
    assert!(tool.delete_session(&id(&sessions[0])).unwrap());
    assert_eq!(tool.hash_ids().unwrap(), 1);
    let hashed = SessionOptions::new()
        .hash_ids(true)
        .with_store(open(&sim))
        .unwrap();
    assert!(hashed.has_session(&id(&sessions[1])).unwrap());
}

#[test]
fn what_ended_over_a_day_ago_keeps_no_ids_from_being_hashed_although_it_is_damaged() {
    let sim = sim();
    let mut options = SessionOptions::new();
    options.idle_lifetime(HOUR);
    let plain = options.with_store(open(&sim)).unwrap();
    login(&plain, "ann");
    plain.close().unwrap();
    let file = sim.read("/sessions.shelf").unwrap();
    let at = file.windows(3).position(|window| window == b"ann").unwrap();
    sim.flip_bit("/sessions.shelf", at as u64, 0).unwrap();
    sim.advance(26 * HOUR);
    let plain = options.with_store(open(&sim)).unwrap();
    let bob = login(&plain, "bob");
    plain.close().unwrap();
    assert_eq!(on(&sim).hash_ids().unwrap(), 1);
    let hashed = options.hash_ids(true).with_store(open(&sim)).unwrap();
    assert!(hashed.has_session(&id(&bob)).unwrap());
    assert_eq!(users(&hashed), ["bob"]);
    assert!(hashed.store().verify().unwrap().is_sound());
}

/// The ids are hashed between the look at all sessions and the deed. A session has the same handle then.
#[test]
fn a_session_whose_id_is_hashed_while_it_is_looked_for_is_ended_by_its_handle_all_the_same() {
    let sim = sim();
    let plain = on(&sim);
    let session = login(&plain, "ann");
    login(&plain, "bob");
    let tool = ShelveSessionStore::from(open(&sim));
    let handle = session.handle().unwrap();
    let hashing = Once::new();
    let deleted = tool.delete_by_handles(&|its| {
        hashing.call_once(|| {
            ShelveSessionStore::from(open(&sim)).hash_ids().unwrap();
        });
        its == handle
    });
    assert_eq!(deleted.unwrap(), [handle]);
    assert_eq!(users(&tool), ["bob"]);
}
