//! Attacks, damage, and stores that fail.

use super::*;
use crate::SessionStoreExt;
use crate::error::ErrorKind;
use crate::value::{Value, to_cbor};

fn is_in(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

/// A stolen file gives nobody a session.
pub fn with_ids_hashed_nothing_at_rest_is_the_secret(subject: &dyn Subject) {
    const CLAIM: &str = "with_ids_hashed_nothing_at_rest_is_the_secret";
    let store = subject.store(Settings::default());
    let mut session = login(&*store, "ann");
    let old = id(&session);
    renew(&*store, &mut session);
    if !subject.hashes_ids() {
        return skip(CLAIM, "hash ids");
    }
    let Some(bytes) = subject.at_rest() else {
        return skip(CLAIM, "show what it holds at rest");
    };
    for id in [&old, &id(&session)] {
        assert!(!is_in(&bytes, id.as_str().as_bytes()) && !is_in(&bytes, &id.bits()));
    }
}

/// Neither as it stands there nor as text.
pub fn with_ids_hashed_what_is_at_rest_is_no_cookie(subject: &dyn Subject) {
    const CLAIM: &str = "with_ids_hashed_what_is_at_rest_is_no_cookie";
    let store = subject.store(Settings::default());
    let id = id(&login(&*store, "ann"));
    if !subject.hashes_ids() {
        return skip(CLAIM, "hash ids");
    }
    let hash = id.hash();
    let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    for stolen in [hex.as_bytes(), &hash] {
        assert!(SessionId::parse(stolen).is_none());
    }
    // Its bits as those of an id are another one's.
    for bits in hash.windows(16) {
        let forged = SessionId::of_bits(bits).expect("16 bytes are an id's");
        assert!(!store.has_session(&forged).unwrap());
    }
}

/// And no request brings it back.
pub fn the_old_id_stays_dead_when_a_slow_request_saves(subject: &dyn Subject) {
    let store = subject.store(Settings::default());
    let mut session = login(&*store, "ann");
    let old = id(&session);
    let mut slow = load(&*store, &old);
    renew(&*store, &mut session);
    assert!(store.delete_session(&id(&session)).unwrap());
    slow.insert("late", &true).unwrap();
    assert!(is_gone(store.save_session(&mut slow)));
    assert!(is_gone(store.regenerate_id(&mut slow)));
    assert_absent(&*store, &old);
    assert_eq!(count(&*store), 0);
}

/// The cookie says nothing of the end.
pub fn a_destroyed_session_cannot_be_used_again_by_its_cookie(subject: &dyn Subject) {
    let store = subject.store(Settings::lifetimes(Some(HOUR), Some(HOUR)));
    let id = id(&login(&*store, "ann"));
    assert!(store.delete_session(&id).unwrap());
    let sent: SessionId = id.as_str().parse().unwrap();
    assert_absent(&*store, &sent);
}

/// Session fixation.
pub fn who_planted_the_id_is_not_logged_in_by_the_login(subject: &dyn Subject) {
    let store = subject.store(Settings::default());
    let mut session = Session::new();
    session.insert("cart", "tea").unwrap();
    save(&*store, &mut session);
    let planted = id(&session);
    session.set_user(Some("ann"));
    renew(&*store, &mut session);
    assert_absent(&*store, &planted);
    assert_eq!(
        load(&*store, &id(&session))
            .get::<String>("cart")
            .unwrap()
            .unwrap(),
        "tea"
    );
}

/// Nor is one of the user who was there before.
pub fn a_form_token_from_before_the_login_is_not_valid_after_it(subject: &dyn Subject) {
    let store = subject.store(Settings::default());
    let mut session = Session::new();
    let planted = session.create_form_token().unwrap();
    save(&*store, &mut session);
    session.set_user(Some("ann"));
    renew(&*store, &mut session);
    let mut loaded = load(&*store, &id(&session));
    assert!(!loaded.has_form_token(&planted));
    let of_ann = loaded.create_form_token().unwrap();
    loaded.set_user(Some("bob"));
    save(&*store, &mut loaded);
    assert!(!load(&*store, &id(&loaded)).has_form_token(&of_ann));
}

/// An id reaches sessions only.
pub fn an_id_text_cannot_reach_another_entry(subject: &dyn Subject) {
    const CLAIM: &str = "an_id_text_cannot_reach_another_entry";
    let store = subject.store(Settings::default());
    if !subject.put_beside(UNKNOWN, b"the application's own") {
        return skip(CLAIM, "keep other values beside");
    }
    let id = UNKNOWN.parse().unwrap();
    assert_absent(&*store, &id);
    assert!(!store.delete_session(&id).unwrap());
    if let Some(at_rest) = subject.at_rest() {
        assert!(is_in(&at_rest, b"the application's own"));
    }
}

/// An id of 22 letters, a hash of 64 digits, or no letter at all.
pub fn no_entry_is_taken_for_a_session_whatever_its_key_looks_like(subject: &dyn Subject) {
    const CLAIM: &str = "no_entry_is_taken_for_a_session_whatever_its_key_looks_like";
    let store = subject.store(Settings::default());
    for key in [UNKNOWN, "config", &"0".repeat(64), ""] {
        if !subject.put_beside(key, b"{}") {
            return skip(CLAIM, "keep other values beside");
        }
    }
    assert_eq!(count(&*store), 0);
    assert_eq!(store.delete_old_sessions(Duration::ZERO).unwrap(), (0, 0));
    store.setup(crate::Existing::Fail).unwrap();
}

/// However often it is asked.
pub fn requests_with_random_ids_create_no_records(subject: &dyn Subject) {
    let store = subject.store(Settings::default());
    let before = subject.at_rest();
    for nth in 0u128..100 {
        let id = SessionId::of_bits(&nth.to_be_bytes()).unwrap();
        assert_absent(&*store, &id);
        assert!(!store.delete_session(&id).unwrap());
    }
    let mut empty = Session::new();
    assert!(matches!(
        store.save_session(&mut empty).unwrap(),
        Saved::Empty
    ));
    assert_eq!(count(&*store), 0);
    assert!(subject.at_rest() == before, "something was written");
}

/// Each has an id of its own, also after all else was taken away.
pub fn after_a_flush_two_visitors_never_share_a_session(subject: &dyn Subject) {
    let store = subject.store(Settings::default());
    let mut ids = Vec::new();
    for user in ["ann", "bob"] {
        let mut session = login(&*store, user);
        session.set_user(None);
        let _ = store.save_session(&mut session).unwrap();
        session.insert("of", user).unwrap();
        save(&*store, &mut session);
        ids.push(id(&session));
    }
    assert_ne!(ids[0], ids[1]);
    assert_eq!(
        load(&*store, &ids[0]).get::<String>("of").unwrap().unwrap(),
        "ann"
    );
}

/// A clone of a copy that was never stored is a session of its own.
pub fn a_copy_of_a_session_that_was_never_stored_takes_over_none(subject: &dyn Subject) {
    let store = subject.store(Settings::default());
    let mut session = Session::new();
    session.set_user(Some("ann"));
    let mut copy = session.clone();
    save(&*store, &mut session);
    save(&*store, &mut copy);
    assert_ne!(session.id(), copy.id());
    assert_eq!(count(&*store), 2);
}

/// By the server, though the browser keeps its cookie.
pub fn an_expired_session_is_refused_by_the_server(subject: &dyn Subject) {
    const CLAIM: &str = "an_expired_session_is_refused_by_the_server";
    let store = subject.store(Settings::lifetimes(None, Some(HOUR)));
    let id = id(&login(&*store, "ann"));
    if !subject.advance(HOUR) {
        return skip(CLAIM, "let time pass");
    }
    assert_absent(&*store, &id);
}

/// Nor a value, nor a user.
pub fn debug_and_errors_show_no_id(subject: &dyn Subject) {
    let store = subject.store(Settings::default());
    let mut session = login(&*store, "ann of the secret");
    session.insert("key", "value of the secret").unwrap();
    save(&*store, &mut session);
    let id = id(&session);
    let mut shown = format!(
        "{session:?} {id:?} {store:?} {:?} {:?}",
        handle(&session),
        store.iter_sessions()
    );
    shown += &format!("{:?}", "x".parse::<SessionId>());
    shown += &format!("{:?}", format!("{}x", id.as_str()).parse::<SessionId>());
    if subject.damage(&id) {
        let error = store.load_session(&id).unwrap_err();
        shown += &format!("{error} {error:?}");
        shown += &format!("{:?}", store.iter_sessions().collect::<Vec<_>>());
    }
    assert!(
        !shown.contains(id.as_str()) && !shown.contains("secret"),
        "{shown}"
    );
}

/// There is nothing to decode in an id.
pub fn no_decoding_gives_an_id_a_second_spelling(subject: &dyn Subject) {
    let store = subject.store(Settings::default());
    let id = id(&login(&*store, "ann"));
    let (first, rest) = id.as_str().split_at(1);
    let percent = format!("%{:02X}{rest}", first.as_bytes()[0]);
    for text in [
        percent,
        format!("{}=", id.as_str()),
        format!("\"{}\"", id.as_str()),
    ] {
        assert!(text.parse::<SessionId>().is_err());
    }
    let swapped: String = id
        .as_str()
        .chars()
        .map(|c| match c.is_ascii_uppercase() {
            true => c.to_ascii_lowercase(),
            false => c.to_ascii_uppercase(),
        })
        .collect();
    if let Ok(other) = swapped.parse::<SessionId>() {
        assert!(other == id || !store.has_session(&other).unwrap());
    }
}

/// Such bytes are an error, at most.
pub fn stored_bytes_run_no_code_and_overflow_nothing(subject: &dyn Subject) {
    const CLAIM: &str = "stored_bytes_run_no_code_and_overflow_nothing";
    let store = subject.store(Settings::default());
    let session = login(&*store, "ann");
    let deep = vec![0x81; 100_000];
    let long = b"\x9B\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF".to_vec();
    let text = b"\x7A\xFF\xFF\xFF\xFFx".to_vec();
    for bytes in [deep, long, text, Vec::new(), b"\xFF".to_vec()] {
        if !subject.replace(&id(&session), &bytes) {
            return skip(CLAIM, "hold other bytes");
        }
        let error = store.load_session(&id(&session)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Decode);
        assert!(store.has_session(&id(&session)).is_err());
        assert!(store.touch_session(&id(&session)).is_err());
    }
}

/// The two calls may come in any order.
pub fn logging_out_everywhere_ends_also_a_session_that_is_saved_meanwhile(subject: &dyn Subject) {
    let store = subject.store(Settings::default());
    let mut sessions = [(); 8].map(|()| login(&*store, "ann"));
    std::thread::scope(|scope| {
        for (nth, session) in sessions.iter_mut().enumerate() {
            let store = &store;
            scope.spawn(move || {
                for n in 0..50u64 {
                    session.insert("n", &n).unwrap();
                    let saved = match nth % 2 {
                        0 => store.save_session(session).unwrap(),
                        _ => store.regenerate_id(session).unwrap(),
                    };
                    if !matches!(saved, Saved::Stored) {
                        break;
                    }
                }
            });
        }
        assert_eq!(store.delete_user_sessions("ann").unwrap(), 8);
    });
    assert_eq!(count(&*store), 0);
    for mut session in sessions {
        session.insert("late", &true).unwrap();
        assert!(is_gone(store.save_session(&mut session)));
    }
}

/// Six sessions, of which one can't be read any more.
fn damaged(subject: &dyn Subject, store: &dyn SessionStore) -> Option<Vec<Session>> {
    let users = ["ann", "bob", "ann", "cleo", "ann", "dan"];
    let sessions: Vec<Session> = users.map(|user| login(store, user)).into();
    subject.damage(&id(&sessions[3])).then_some(sessions)
}

/// The damaged record is another user's.
pub fn logging_out_everywhere_works_although_another_record_is_damaged(subject: &dyn Subject) {
    const CLAIM: &str = "logging_out_everywhere_works_although_another_record_is_damaged";
    let store = subject.store(Settings::default());
    let Some(sessions) = damaged(subject, &*store) else {
        return skip(CLAIM, "be damaged");
    };
    // A store that reads all records says at the end that there is one that it could not read.
    match store.delete_user_sessions("ann") {
        Ok(ended) => assert_eq!(ended, 3),
        Err(error) => assert!(matches!(
            error.kind(),
            ErrorKind::Corrupt | ErrorKind::Decode
        )),
    }
    for at in [0, 2, 4] {
        assert_absent_beside_damage(&*store, &id(&sessions[at]));
    }
    assert!(
        store
            .delete_user_session("bob", &handle(&sessions[1]))
            .unwrap()
    );
    assert_eq!(store.delete_by_handle(handle(&sessions[5])).unwrap(), 1);
    assert_absent_beside_damage(&*store, &id(&sessions[5]));
}

fn assert_absent_beside_damage(store: &dyn SessionStore, id: &SessionId) {
    assert!(store.load_session(id).unwrap().is_none() && !store.has_session(id).unwrap());
}

/// And says at the end what it passed by.
pub fn the_daily_sweep_works_although_one_record_is_damaged(subject: &dyn Subject) {
    const CLAIM: &str = "the_daily_sweep_works_although_one_record_is_damaged";
    let store = subject.store(Settings::default());
    let Some(sessions) = damaged(subject, &*store) else {
        return skip(CLAIM, "be damaged");
    };
    let error = store.delete_old_sessions(Duration::ZERO).unwrap_err();
    assert!(
        matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Decode),
        "{error}"
    );
    let (said, passed) = (error.to_string(), handle(&sessions[3]).to_string());
    assert!(said.contains(&passed) && said.contains('5'), "{said}");
    for at in [0, 1, 2, 4, 5] {
        assert_absent_beside_damage(&*store, &id(&sessions[at]));
    }
}

/// The list has all of them.
pub fn the_sessions_of_a_user_can_be_listed_although_anothers_record_is_damaged(
    subject: &dyn Subject,
) {
    const CLAIM: &str = "the_sessions_of_a_user_can_be_listed_although_anothers_record_is_damaged";
    let store = subject.store(Settings::default());
    if damaged(subject, &*store).is_none() {
        return skip(CLAIM, "be damaged");
    }
    assert_eq!(store.sessions_of("ann").unwrap().len(), 3);
    let listed = store.iter_sessions();
    let (sound, damaged): (Vec<_>, Vec<_>) = listed.partition(|session| session.is_ok());
    assert_eq!((sound.len(), damaged.len()), (5, 1));
    assert!(
        store.sessions_of("cleo").unwrap().is_empty(),
        "nobody can use it"
    );
}

/// A newer version of the program beside an older one.
pub fn a_session_with_a_field_that_is_not_known_is_still_a_session(subject: &dyn Subject) {
    const CLAIM: &str = "a_session_with_a_field_that_is_not_known_is_still_a_session";
    let store = subject.store(Settings::default());
    let session = login(&*store, "ann");
    let newer = r#"{"created":1700000000000,"version":1,"accessed":1700000000000,"zone":{"a":[1,null]},
        "contents":{"user":"ann","data":{"n":7},"theme":"dark"},"a":1.5}"#;
    let bytes = to_cbor(&newer.parse::<Value>().unwrap()).unwrap();
    if !subject.replace(&id(&session), &bytes) {
        return skip(CLAIM, "hold other bytes");
    }
    let mut loaded = load(&*store, &id(&session));
    assert_eq!(
        (loaded.user(), loaded.get::<u64>("n").unwrap()),
        (Some("ann"), Some(7))
    );
    loaded.insert("m", &8u64).unwrap();
    save(&*store, &mut loaded);
    let edit = &mut |session: &mut Session| session.insert("o", &9u64).map(drop);
    assert!(store.edit_session(&id(&session), edit).unwrap().is_some());
    let Some(at_rest) = subject.at_rest() else {
        return;
    };
    for kept in [
        &b"\x64zone\xA1\x61a\x82\x01\xF6"[..],
        b"\x65theme\x64dark",
        b"\x61a\xF9\x3E\x00",
    ] {
        assert!(is_in(&at_rest, kept), "{kept:?} is lost");
    }
}

/// It can be deleted, and another be stored.
pub fn a_damaged_session_is_an_error_for_its_visitor_alone_who_can_be_given_a_new_one(
    subject: &dyn Subject,
) {
    const CLAIM: &str =
        "a_damaged_session_is_an_error_for_its_visitor_alone_who_can_be_given_a_new_one";
    let store = subject.store(Settings::default());
    let Some(sessions) = damaged(subject, &*store) else {
        return skip(CLAIM, "be damaged");
    };
    let bad = id(&sessions[3]);
    let error = store.load_session(&bad).unwrap_err();
    assert!(
        matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Decode),
        "{error}"
    );
    assert!(!error.to_string().contains(bad.as_str()));
    assert!(!store.was_replaced(&bad).unwrap());
    assert_eq!(load(&*store, &id(&sessions[0])).user(), Some("ann"));
    let new = login(&*store, "cleo");
    assert!(store.delete_session(&bad).unwrap());
    assert_absent(&*store, &bad);
    assert_eq!(store.sessions_of("cleo").unwrap()[0].handle(), new.handle());
    assert_eq!(count(&*store), 6);
}

/// It takes a save, of which others are told.
pub fn a_session_of_one_user_never_becomes_anothers_unsaved(subject: &dyn Subject) {
    let store = subject.store(Settings::default());
    let mut session = login(&*store, "ann");
    let mut slow = load(&*store, &id(&session));
    session.set_user(Some("bob"));
    assert_eq!(load(&*store, &id(&session)).user(), Some("ann"));
    save(&*store, &mut session);
    slow.insert("n", &7u64).unwrap();
    assert!(matches!(
        store.save_session(&mut slow).unwrap(),
        Saved::Conflict(_)
    ));
    assert_eq!(load(&*store, &id(&session)).user(), Some("bob"));
}

/// It is gone there.
pub fn a_copy_cannot_be_saved_into_a_store_it_does_not_come_from(subject: &dyn Subject) {
    let store = crate::MemorySessionStore::new();
    let mut session = login(&store, "ann");
    session.insert("n", &7u64).unwrap();
    let other = subject.store(Settings::default());
    assert!(is_gone(other.save_session(&mut session)));
    assert!(is_gone(other.regenerate_id(&mut session)));
    assert_eq!(count(&*other), 0);
}

/// And a new one can follow.
pub fn a_change_of_rights_in_an_update_keeps_the_id(subject: &dyn Subject) {
    let store = subject.store(Settings::default());
    let session = login(&*store, "ann");
    let updated = store.update_session(&id(&session), |session| session.insert("is_admin", &true));
    assert!(updated.unwrap().is_some());
    let mut loaded = load(&*store, &id(&session));
    renew(&*store, &mut loaded);
    assert_absent(&*store, &id(&session));
    assert_eq!(
        load(&*store, &id(&loaded)).get::<bool>("is_admin").unwrap(),
        Some(true)
    );
}

/// A session that another handle stored is there with the next call.
pub fn no_cache_gives_a_stale_session(subject: &dyn Subject) {
    const CLAIM: &str = "no_cache_gives_a_stale_session";
    let here = subject.store(Settings::default());
    let Some(there) = subject.another() else {
        return skip(CLAIM, "be opened twice");
    };
    let mut session = login(&*here, "ann");
    assert_eq!(load(&*there, &id(&session)).user(), Some("ann"));
    assert_eq!(there.sessions_of("ann").unwrap().len(), 1);
    session.insert("n", &7u64).unwrap();
    save(&*here, &mut session);
    assert_eq!(
        load(&*there, &id(&session)).get::<u64>("n").unwrap(),
        Some(7)
    );
    assert!(here.delete_session(&id(&session)).unwrap());
    assert_absent(&*there, &id(&session));
    assert!(there.sessions_of("ann").unwrap().is_empty());
}

/// No visitor is logged out by it.
pub fn a_failing_store_is_an_error_and_no_absent_session(subject: &dyn Subject) {
    const CLAIM: &str = "a_failing_store_is_an_error_and_no_absent_session";
    let store = subject.store(Settings::default());
    let mut session = login(&*store, "ann");
    if !subject.fail() {
        return skip(CLAIM, "be made to fail");
    }
    assert!(store.load_session(&id(&session)).is_err());
    assert!(store.has_session(&id(&session)).is_err());
    session.insert("n", &7u64).unwrap();
    assert!(store.save_session(&mut session).is_err());
    assert!(store.delete_session(&id(&session)).is_err());
    assert!(store.sessions_of("ann").is_err());
    assert!(store.iter_sessions().any(|session| session.is_err()));
}

/// An error that names no id, and it can be deleted.
pub fn what_is_no_session_under_an_id_is_an_error_and_can_be_deleted(subject: &dyn Subject) {
    const CLAIM: &str = "what_is_no_session_under_an_id_is_an_error_and_can_be_deleted";
    let store = subject.store(Settings::default());
    let session = login(&*store, "ann");
    if !subject.replace(&id(&session), b"\x64text") {
        return skip(CLAIM, "hold other bytes");
    }
    let error = store.load_session(&id(&session)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Decode);
    assert!(!format!("{error:?}").contains(id(&session).as_str()));
    assert!(store.delete_session(&id(&session)).unwrap());
    assert_absent(&*store, &id(&session));
}
