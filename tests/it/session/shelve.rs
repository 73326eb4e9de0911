//! Promises that only a store in a file can keep or break.

use super::*;
use shelflife::Value;
use shelflife::sim::{Call, Fault, FaultKind};

pub(super) fn on(sim: &SimDisk) -> ShelveSessionStore {
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
fn a_folder_that_does_not_exist_is_an_error_at_opening() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("nowhere").join("sessions.shelf");
    let refused = [
        ShelveSessionStore::open(&path).unwrap_err(),
        shelflife::SessionManager::open(&path).unwrap_err(),
    ];
    for error in refused {
        assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
        assert_eq!(error.path(), Some(path.as_path()));
    }
    assert!(!dir.path().join("nowhere").exists());
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
    let [here, there] = [(); 2].map(|()| {
        let store = Options::new()
            .disk(sim.process().disk())
            .open("/sessions.shelf");
        ShelveSessionStore::from(store.unwrap())
    });
    let drawn = sim.calls(Call::Random);
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
    let drawn = sim.calls(Call::Random) - drawn;
    assert_eq!(
        drawn, 6,
        "the second draws what the first one has, and again"
    );
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
    let mut acknowledged = 0;
    for image in sim.power_cuts().filter(|it| it.acknowledged() > 0) {
        assert!(!on(image.sim()).has_session(&id).unwrap(), "{}", image.id());
        acknowledged += 1;
    }
    assert!(acknowledged > 0);
}

pub(super) fn bytes_hold(bytes: &[u8], text: &str) -> bool {
    let (first, rest) = text.as_bytes().split_at(4);
    let starts = bytes
        .windows(4)
        .enumerate()
        .filter(|(_, window)| *window == first);
    starts
        .into_iter()
        .any(|(at, _)| bytes[at + 4..].starts_with(rest))
}

pub(super) fn session_of(user: &str) -> Session {
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
fn what_a_newer_version_put_beside_a_session_is_written_back_by_every_change_of_it() {
    let sim = sim();
    let store = on(&sim);
    let mut session = login(&store, "ann");
    let newer = r#"{"created":1700000000000,"version":1,"accessed":1700000000000,"zone":{"a":[1,null]},
        "contents":{"user":"ann","data":{"n":7},"theme":"dark"},"a":1.5}"#;
    let newer: Value = newer.parse().unwrap();
    let bytes = shelflife::to_cbor(&newer).unwrap();
    store.store().insert(key_of(&id(&session)), bytes).unwrap();
    let assert_kept = |session: &Session, by: &str| {
        let stored = store.store().get(key_of(&id(session))).unwrap().unwrap();
        let stored: Value = shelflife::from_cbor(&stored).unwrap();
        assert_ne!(stored, newer, "{by}");
        let theme = |session: &Value| session.get("contents").unwrap().get("theme").cloned();
        assert_eq!(theme(&stored), theme(&newer), "{by}");
        for key in ["zone", "a"] {
            assert_eq!(stored.get(key), newer.get(key), "{by}");
        }
    };
    sim.advance(HOUR);
    assert!(store.touch_session(&id(&session)).unwrap());
    assert_kept(&session, "a use");
    session = load(&store, &id(&session));
    let mut slow = session.clone();
    session.insert("m", &8u64).unwrap();
    save(&store, &mut session);
    assert_kept(&session, "a save");
    slow.insert("o", &9u64).unwrap();
    let Saved::Conflict(current) = store.save_session(&mut slow).unwrap() else {
        panic!("the save between was not noticed");
    };
    session = slow.rebase(*current).unwrap();
    save(&store, &mut session);
    assert_kept(&session, "a merge");
    let updated = store.update_session(&id(&session), |it| it.insert("p", &10u64));
    assert_eq!(updated.unwrap(), Some(true));
    assert_kept(&session, "an update");
    for by in ["a new id", "a login"] {
        session = load(&store, &id(&session));
        if by == "a login" {
            session.set_user(Some("bob"));
        }
        let saved = store.regenerate_id(&mut session).unwrap();
        assert!(matches!(saved, Saved::Stored), "{by}: {saved:?}");
        assert_kept(&session, by);
    }
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
fn a_session_that_is_put_back_ends_when_its_record_did() {
    let sim = sim();
    let hourly = SessionOptions::new()
        .idle_lifetime(HOUR)
        .with_store(open(&sim))
        .unwrap();
    let id = id(&login(&hourly, "ann"));
    // Which knows of no lifetime.
    let tool = on(&sim);
    let entry = tool.store().entry(key_of(&id)).unwrap().unwrap();
    let was = tool.session_in(&entry).unwrap().unwrap();
    assert_eq!(was.expires(), Some(start() + HOUR));
    assert!(tool.delete_session(&id).unwrap());
    tool.put_back(&was).unwrap();
    let back = tool.store().entry(key_of(&id)).unwrap().unwrap();
    assert_eq!(back.expires(), Some(start() + HOUR));
}

#[test]
fn whichever_read_fails_a_session_that_is_put_back_is_later_than_every_state_that_it_had() {
    let mut failed = 0;
    for nth in 1.. {
        let sim = sim();
        let store = on(&sim);
        let mut stale = login(&store, "ann");
        let was = stale.clone();
        for n in 0..3u64 {
            stale.insert("n", &n).unwrap();
            save(&store, &mut stale);
        }
        assert!(store.delete_session(&id(&stale)).unwrap());
        sim.inject(Fault::new(FaultKind::Eio).on(Call::Read).nth(nth));
        let put_back = store.put_back(&was);
        let is_over = sim.faults() == 0;
        sim.clear_faults();
        match put_back {
            Err(_) => failed += 1,
            Ok(()) => {
                stale.insert("late", &true).unwrap();
                let saved = store.save_session(&mut stale).unwrap();
                assert!(matches!(saved, Saved::Conflict(_)), "read {nth}: {saved:?}");
            }
        }
        if is_over {
            break;
        }
    }
    assert!(failed >= 1, "{failed} reads failed");
}

#[test]
fn a_lifetime_holds_for_what_another_process_stored_without_one() {
    for is_idle in [true, false] {
        let sim = sim();
        let forever = on(&sim);
        let mut options = SessionOptions::new();
        match is_idle {
            true => options.idle_lifetime(HOUR),
            false => options.absolute_lifetime(HOUR),
        };
        let hourly = options.with_store(open(&sim)).unwrap();
        let mut session = login(&forever, "ann");
        let id = id(&session);
        sim.advance(HOUR - Duration::from_secs(1));
        if !is_idle {
            // A use so short ago is not noted again.
            assert!(forever.touch_session(&id).unwrap());
        }
        assert!(hourly.has_session(&id).unwrap());
        sim.advance(Duration::from_secs(1));
        let is_gone = |saved: Result<Saved>| matches!(saved.unwrap(), Saved::Gone);
        assert_absent(&hourly, &id);
        assert!(is_gone(hourly.save_session(&mut session)));
        assert!(is_gone(hourly.regenerate_id(&mut session)));
        session.insert("late", &true).unwrap();
        assert!(is_gone(hourly.save_session(&mut session)));
        assert!(is_gone(hourly.regenerate_id(&mut session)));
        // Nor does it take a place under a cap.
        let mut next = Session::new();
        next.set_user(Some("ann"));
        let saved = hourly.regenerate_id_capped(&mut next, SessionCap::Refuse(1));
        assert!(matches!(saved.unwrap(), Saved::Stored));
        save(&forever, &mut session);
    }

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
