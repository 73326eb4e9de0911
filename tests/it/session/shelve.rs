//! Promises that only a store in a file can keep or break.

use super::*;
use shelflife::{Value, sim::PowerCut};

fn on(sim: &SimDisk) -> ShelveSessionStore {
    ShelveSessionStore::from(open(sim))
}

#[test]
fn sessions_survive_closing_and_opening() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("sessions.shelf");
    let store = ShelveSessionStore::open(&path).unwrap();
    let session = login(&store, "ann");
    store.close().unwrap();
    let store = ShelveSessionStore::open(&path).unwrap();
    let loaded = load(&store, &id(&session));
    assert_eq!((loaded.user(), loaded.version()), (Some("ann"), 1));
    assert_eq!(loaded.created(), session.created());
}

#[test]
fn two_handles_on_one_file_see_each_others_saves_conflicts_and_logouts() {
    let sim = sim();
    let [here, there] = [on(&sim), on(&sim)];
    let mut session = login(&here, "ann");
    let mut elsewhere = load(&there, &id(&session));
    elsewhere.insert("cart", "tea").unwrap();
    save(&there, &mut elsewhere);

    session.insert("cart", "milk").unwrap();
    let Saved::Conflict(mut current) = here.save_session(&mut session).unwrap() else {
        panic!("a change of another process was lost");
    };
    assert_eq!(current.get::<String>("cart").unwrap().unwrap(), "tea");
    assert!(matches!(
        there.regenerate_id(&mut elsewhere).unwrap(),
        Saved::Stored
    ));
    assert!(matches!(
        here.save_session(&mut session).unwrap(),
        Saved::Gone
    ));
    assert!(matches!(
        here.regenerate_id(&mut current).unwrap(),
        Saved::Gone
    ));
    assert_absent(&here, &id(&session));
    assert!(here.delete_session(&id(&elsewhere)).unwrap());
    elsewhere.insert("late", &true).unwrap();
    assert!(matches!(
        there.save_session(&mut elsewhere).unwrap(),
        Saved::Gone
    ));
    assert_absent(&there, &id(&elsewhere));
}

#[test]
fn updates_through_several_handles_are_all_counted() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("sessions.shelf");
    let id = id(&login(&ShelveSessionStore::open(&path).unwrap(), "ann"));
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let store = ShelveSessionStore::open(&path).unwrap();
                for _ in 0..25 {
                    store
                        .update_session(&id, |session| {
                            let n = session.get::<u64>("n")?.unwrap_or(0);
                            session.insert("n", &(n + 1))
                        })
                        .unwrap();
                }
            });
        }
    });
    let store = ShelveSessionStore::open(&path).unwrap();
    assert_eq!(load(&store, &id).get::<u64>("n").unwrap(), Some(100));
}

#[test]
fn processes_that_draw_the_same_id_get_different_sessions() {
    let sim = sim();
    let [here, there] = [on(&sim), on(&sim)];
    sim.seed_random(7);
    let ann = login(&here, "ann");
    let bob = login(&there, "bob");
    assert_ne!(ann.id(), bob.id());
    assert_eq!(load(&here, &id(&ann)).user(), Some("ann"));
    assert_eq!(load(&there, &id(&bob)).user(), Some("bob"));

    // And so it is with a new id for an old session.
    sim.seed_random(8);
    let [mut ann, mut bob] = [ann, bob];
    assert!(matches!(
        here.regenerate_id(&mut ann).unwrap(),
        Saved::Stored
    ));
    assert!(matches!(
        there.regenerate_id(&mut bob).unwrap(),
        Saved::Stored
    ));
    assert_ne!(ann.id(), bob.id());
    assert_eq!(users(&here), ["ann", "bob"]);
}

#[test]
fn after_a_power_cut_exactly_one_of_the_old_and_the_new_id_lives() {
    let sim = sim();
    let store = on(&sim);
    let mut session = login(&store, "ann");
    let old = id(&session);
    sim.forget();
    session.insert("cart", "tea").unwrap();
    assert!(matches!(
        store.regenerate_id(&mut session).unwrap(),
        Saved::Stored
    ));
    sim.acknowledge();
    let new = id(&session);
    drop(store);

    let [mut images, mut with_old, mut with_new] = [0, 0, 0];
    for image in sim.power_cuts() {
        let claim = |holds: bool, what: &str| assert!(holds, "{what} in image {}", image.id());
        let store = ShelveSessionStore::from(open(image.sim()));
        let [old, new] = [
            store.load_session(&old).unwrap(),
            store.load_session(&new).unwrap(),
        ];
        claim(old.is_some() != new.is_some(), "both ids live, or neither,");
        claim(
            new.is_some() || image.acknowledged() == 0,
            "the acknowledged new id is lost",
        );
        claim(
            old.is_none_or(|old| old.keys().count() == 0),
            "half of the change is there",
        );
        claim(
            new.as_ref().is_none_or(|new| new.keys().count() == 1),
            "half of the change is there",
        );
        images += 1;
        with_new += usize::from(new.is_some());
        with_old += usize::from(new.is_none());
    }
    assert!(
        with_old > 0 && with_new > 0,
        "{with_old} with the old id, {with_new} with the new one"
    );
    metric("regenerate_power_cuts", images);
}

fn metric(name: &str, value: usize) {
    use std::io::Write;
    writeln!(std::io::stdout(), "METRIC {name}={value} seed=1").unwrap();
}

#[test]
fn a_deleted_session_stays_deleted_through_a_power_cut() {
    let sim = sim();
    let store = on(&sim);
    let id = id(&login(&store, "ann"));
    sim.forget();
    assert!(store.delete_session(&id).unwrap());
    sim.acknowledge();
    drop(store);
    let survives =
        |image: PowerCut| image.acknowledged() > 0 && on(image.sim()).has_session(&id).unwrap();
    assert!(!sim.power_cuts().any(survives));
}

fn bytes_hold(bytes: &[u8], text: &str) -> bool {
    let (first, rest) = text.as_bytes().split_at(4);
    let starts = bytes
        .windows(4)
        .enumerate()
        .filter(|(_, window)| *window == first);
    starts
        .into_iter()
        .any(|(at, _)| bytes[at + 4..].starts_with(rest))
}

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
        assert_eq!(users(&early), ["bob"]);
    }
}

fn session_of(user: &str) -> Session {
    let mut session = Session::new();
    session.set_user(Some(user));
    session
}

/// The bytes of a session are a promise to files that exist.
#[test]
fn a_stored_session_is_these_bytes() {
    let sim = sim();
    let store = on(&sim);
    let mut session = Session::new();
    session.set_user(Some("ann"));
    session.set_remote_address(Some("::1"));
    session.insert("cart", &vec!["tea".to_string()]).unwrap();
    save(&store, &mut session);
    let entry = store.store().entry(key_of(&id(&session))).unwrap().unwrap();
    assert!(entry.is_cbor());
    let expected = b"\xA4\
        \x67created\x1B\x00\x00\x01\x8B\xCF\xE5\x68\x00\
        \x67version\x01\
        \x68accessed\x1B\x00\x00\x01\x8B\xCF\xE5\x68\x00\
        \x68contents\xA4\
        \x64data\xA1\x64cart\x81\x63tea\
        \x64user\x63ann\
        \x69confirmed\x1B\x00\x00\x01\x8B\xCF\xE5\x68\x00\
        \x6Eremote_address\x63::1";
    assert_eq!(entry.value(), expected, "{:02x?}", entry.value());
}

#[test]
fn a_session_is_a_map_with_text_keys_for_everybody_else() {
    let sim = sim();
    let store = on(&sim);
    let mut session = Session::new();
    session.set_user(Some("ann"));
    session.insert("cart", &vec!["tea".to_string()]).unwrap();
    let token = session.create_form_token().unwrap();
    save(&store, &mut session);
    let stored = store.store().get(key_of(&id(&session))).unwrap().unwrap();
    let session: Value = shelflife::from_cbor(&stored).unwrap();
    assert_eq!(session.get("version"), Some(&Value::from(1u64)));
    assert_eq!(
        session.get("created"),
        Some(&Value::from(1_700_000_000_000u64))
    );
    assert_eq!(session.get("accessed"), session.get("created"));
    let contents = session.get("contents").unwrap();
    let json = format!(
        r#"{{"data":{{"cart":["tea"]}},"user":"ann","confirmed":1700000000000,"form_tokens":["{token}"]}}"#
    );
    assert_eq!(contents.to_string(), json);
}

#[test]
fn what_is_no_session_under_an_id_is_an_error_that_can_be_deleted() {
    let stored = |json: &str| shelflife::to_cbor(&json.parse::<Value>().unwrap()).unwrap();
    let with = |contents: &str| {
        stored(&format!(
            r#"{{"created":1,"version":1,"accessed":1,"contents":{contents}}}"#
        ))
    };
    let tokens = |count: usize| {
        with(&format!(
            r#"{{"form_tokens":[{}]}}"#,
            vec![r#""t""#; count].join(",")
        ))
    };
    let good = with(r#"{"user":"ann"}"#);
    let bad = [
        stored("{}"),
        stored("[]"),
        stored(r#""text""#),
        stored(r#"{"created":1,"version":1,"accessed":1}"#),
        stored(r#"{"created":1,"version":1,"contents":{}}"#),
        stored(r#"{"created":1,"accessed":1,"contents":{}}"#),
        stored(r#"{"version":1,"accessed":1,"contents":{}}"#),
        stored(r#"{"created":-1,"version":1,"accessed":1,"contents":{}}"#),
        stored(r#"{"created":1.0,"version":1,"accessed":1,"contents":{}}"#),
        stored(r#"{"created":1,"version":"1","accessed":1,"contents":{}}"#),
        stored(r#"{"created":1,"version":1,"accessed":null,"contents":{}}"#),
        stored(r#"{"created":1,"version":1,"accessed":1,"contents":{},"idle":1}"#),
        stored(r#"{"created":1,"version":1,"accessed":1,"contents":{},"idle":-1,"absolute":1}"#),
        stored(r#"{"replaced":false}"#),
        with("[]"),
        with(r#"{"user":1}"#),
        with(r#"{"user":null}"#),
        with(r#"{"data":[]}"#),
        with(r#"{"data":{"$map":[[1,2]]}}"#),
        with(r#"{"form_tokens":[1]}"#),
        tokens(33),
    ];
    // In session3 an empty file makes every later load run for ever.
    let mut bad = bad.to_vec();
    bad.extend((0..good.len()).map(|len| good[..len].to_vec()));
    bad.push([&good[..], b"\0"].concat());

    let id: SessionId = UNKNOWN.parse().unwrap();
    for bytes in bad {
        let store = on(&sim());
        login(&store, "bob");
        store.store().insert(key_of(&id), &bytes).unwrap();
        login(&store, "cleo");
        let mut copy = store
            .load_session(&id)
            .map(|_| panic!("{bytes:02x?} was read"))
            .unwrap_or_else(|error: Error| {
                assert_eq!(error.kind(), ErrorKind::Decode, "{error}");
                assert_eq!(error.path(), Some(store.store().path()));
                assert!(!format!("{error:?}").contains(UNKNOWN));
                Session::new()
            });
        copy.set_user(Some("dan"));
        save(&store, &mut copy);
        // One bad record stops neither the list nor the daily job nor a logout.
        assert_eq!(
            store
                .iter_sessions()
                .map(|session| usize::from(session.is_ok()))
                .collect::<Vec<_>>(),
            [1, 0, 1, 1]
        );
        assert_eq!(store.delete_user_sessions("bob").unwrap(), 1);
        // It says at the end what it passed by; what is only read later stays for that, or goes with the others.
        let swept = store.delete_old_sessions(Duration::ZERO);
        assert!(swept.as_ref().is_ok_and(|counts| *counts == (3, 0)) || swept.is_err());
        assert_eq!(store.delete_session(&id).unwrap(), swept.is_err());
        assert_eq!(store.iter_sessions().count(), 0);
    }
    let store = on(&sim());
    store.store().insert(key_of(&id), &good).unwrap();
    assert_eq!(load(&store, &id).user(), Some("ann"));
    store.store().insert(key_of(&id), tokens(32)).unwrap();
    assert_eq!(load(&store, &id).form_token_count(), 32);
}

#[test]
fn what_else_is_in_the_file_is_left_alone_until_it_is_overwritten() {
    let store = on(&sim());
    let others = ["", "config", "AAECAwQFBgcICQoLDA0ODw", &"0".repeat(64)];
    for key in others {
        store.store().insert(key, "not a session").unwrap();
    }
    store.setup(Existing::Fail).unwrap();
    assert_eq!(store.iter_sessions().count(), 0);
    assert_eq!(store.delete_old_sessions(Duration::ZERO).unwrap(), (0, 0));
    assert_eq!(store.store().len().unwrap(), others.len());
    store.setup(Existing::Overwrite).unwrap();
    assert!(store.store().is_empty().unwrap());
}

#[test]
fn asking_for_what_is_not_there_writes_nothing() {
    let sim = sim();
    let options = || SessionOptions::new().idle_lifetime(HOUR).clone();
    let store = options().with_store(open(&sim)).unwrap();
    let id = id(&login(&store, "ann"));
    let before = sim.read("/sessions.shelf").unwrap();
    assert_absent(&store, &UNKNOWN.parse().unwrap());
    assert!(store.load_session(&id).unwrap().is_some());
    assert!(store.touch_session(&id).unwrap(), "within the resolution");
    assert_eq!(store.delete_user_sessions("nobody").unwrap(), 0);
    assert_eq!(store.delete_old_sessions(HOUR).unwrap(), (0, 1));
    sim.advance(HOUR);
    assert!(store.load_session(&id).unwrap().is_none(), "expired");
    assert_eq!(store.iter_sessions().count(), 0);
    assert!(
        sim.read("/sessions.shelf").unwrap() == before,
        "something was written"
    );
}

#[test]
fn the_record_expires_with_the_session() {
    let sim = sim();
    let store = SessionOptions::new()
        .idle_lifetime(HOUR)
        .absolute_lifetime(90 * MINUTE)
        .with_store(open(&sim))
        .unwrap();
    let id = id(&login(&store, "ann"));
    let recorded = || {
        let entry = store.store().entry(key_of(&id)).unwrap();
        entry.map(|entry| entry.expires())
    };
    assert_eq!(recorded(), Some(Some(start() + HOUR)));
    sim.advance(20 * MINUTE);
    store.touch_session(&id).unwrap();
    assert_eq!(recorded(), Some(Some(start() + 80 * MINUTE)));
    sim.advance(20 * MINUTE);
    store
        .update_session(&id, |session| session.insert("n", &1u64))
        .unwrap();
    assert_eq!(recorded(), Some(Some(start() + 90 * MINUTE)));

    // A process that knows of no lifetime sees the end that is recorded.
    let other = on(&sim);
    assert_eq!(
        other.iter_sessions().next().unwrap().unwrap().expires(),
        Some(start() + 90 * MINUTE)
    );
    sim.advance(50 * MINUTE);
    assert_absent(&other, &id);
}

#[test]
fn a_lifetime_holds_for_what_another_process_stored_without_one() {
    let sim = sim();
    let forever = on(&sim);
    let mut session = login(&forever, "ann");
    login(&forever, "bob");
    let hourly = SessionOptions::new()
        .idle_lifetime(HOUR)
        .with_store(open(&sim))
        .unwrap();
    assert_eq!(load(&hourly, &id(&session)).expires(), Some(start() + HOUR));
    sim.advance(HOUR);
    assert_eq!(users(&forever), ["ann", "bob"]);
    assert!(users(&hourly).is_empty());
    assert!(!hourly.has_session(&id(&session)).unwrap());
    assert!(hourly.load_session(&id(&session)).unwrap().is_none());
    assert!(hourly.sessions_of("bob").unwrap().is_empty());
    assert_eq!(hourly.delete_old_sessions(Duration::MAX).unwrap(), (2, 0));
    session.insert("late", &true).unwrap();
    assert!(matches!(
        forever.save_session(&mut session).unwrap(),
        Saved::Gone
    ));
}

#[test]
fn a_session_over_the_limit_is_refused_and_the_stored_one_stays() {
    let store = on(&sim());
    let mut session = login(&store, "ann");
    session.insert("huge", &vec![0u8; 128 << 20]).unwrap();
    assert_eq!(
        store.save_session(&mut session).unwrap_err().kind(),
        ErrorKind::TooLarge
    );
    assert_eq!(
        store.regenerate_id(&mut session).unwrap_err().kind(),
        ErrorKind::TooLarge
    );
    let stored = load(&store, &id(&session));
    assert_eq!((stored.version(), stored.keys().count()), (1, 0));
    session.remove("huge");
    session.insert("small", &1u64).unwrap();
    save(&store, &mut session);
}

#[test]
fn a_read_only_store_lists_and_refuses_to_change() {
    let sim = sim();
    let id = id(&login(&on(&sim), "ann"));
    let store = Options::new()
        .disk(sim.disk())
        .read_only(true)
        .open("/sessions.shelf")
        .unwrap();
    let store = ShelveSessionStore::from(store);
    assert_eq!(users(&store), ["ann"]);
    assert!(store.touch_session(&id).unwrap(), "nothing is due");
    let mut session = load(&store, &id);
    session.set_user(Some("bob"));
    assert_eq!(
        store.save_session(&mut session).unwrap_err().kind(),
        ErrorKind::ReadOnly
    );
    assert_eq!(
        store.delete_session(&id).unwrap_err().kind(),
        ErrorKind::ReadOnly
    );
    assert_eq!(
        store
            .delete_old_sessions(Duration::ZERO)
            .unwrap_err()
            .kind(),
        ErrorKind::ReadOnly
    );
    assert_eq!(
        store.setup(Existing::Overwrite).unwrap_err().kind(),
        ErrorKind::ReadOnly
    );
}

#[test]
fn a_clock_that_jumps_ahead_by_less_than_a_day_hides_sessions_and_destroys_none() {
    let sim = sim();
    let mut options = SessionOptions::new();
    options.idle_lifetime(HOUR);
    let before = options.with_store(open(&sim)).unwrap();
    let ann = id(&login(&before, "ann"));
    sim.set_wall_clock(start() + 20 * HOUR);
    let meanwhile = options.with_store(open(&sim)).unwrap();
    for store in [&before, &meanwhile] {
        assert!(!store.has_session(&ann).unwrap());
        assert_eq!(store.iter_sessions().count(), 0);
    }
    let bob = id(&login(&meanwhile, "bob"));
    meanwhile.store().compact().unwrap();

    sim.set_wall_clock(start());
    let after = options.with_store(open(&sim)).unwrap();
    assert_eq!(users(&after), ["ann", "bob"]);
    assert!(before.has_session(&ann).unwrap() && meanwhile.has_session(&ann).unwrap());
    // Bob's session was made in a future that does not come: it is not longer for that.
    assert!(after.touch_session(&bob).unwrap());
    sim.advance(HOUR);
    assert!(!after.has_session(&bob).unwrap());
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
    let has_id = |sim: &SimDisk| {
        let bytes: Vec<u8> = names(sim)
            .into_iter()
            .flat_map(|name| sim.read(std::path::Path::new("/").join(name)).unwrap())
            .collect();
        let found: BTreeSet<&[u8]> = bytes.windows(16).filter(|it| ids.contains(*it)).collect();
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
