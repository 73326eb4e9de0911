//! Changes whose answer does not come, or comes from elsewhere: made once, or said to be unknown.

use super::fake::{Act, Fake, SLOT, TIMEOUT, bulk, id, say, value};
use super::server::{Server, is_there};
use shelflife::{ErrorKind, RedisOptions, RedisSessionStore, Saved, Session, SessionStore};
use std::sync::atomic::{AtomicUsize, Ordering};

#[test]
fn a_connection_that_a_server_closed_while_it_was_idle_leaves_no_outcome_unknown() {
    let calls = AtomicUsize::new(0);
    let fake = Fake::start(move |words| match words[0].as_str() {
        "GET" => Act::WholeLast(bulk(&value("ann"))),
        // Others have changed the session more than once.
        _ => {
            calls.fetch_add(1, Ordering::Relaxed);
            let mut later = value("bob");
            later[5] = 9;
            Act::Answer(2, [b":2\r\n".to_vec(), bulk(&later)].concat())
        }
    });
    let store = fake.store();
    let mut session = store.load_session(&id()).unwrap().unwrap();
    std::thread::sleep(TIMEOUT);
    session.insert("n", &1u64).unwrap();
    match store.save_session(&mut session).unwrap() {
        Saved::Conflict(current) => assert_eq!(current.user(), Some("bob")),
        saved => panic!("{saved:?}"),
    }
}

#[test]
fn a_script_that_a_server_does_not_have_is_sent_whole() {
    let fake = Fake::start(|words| match words[0].as_str() {
        "EVALSHA" => say("-NOSCRIPT No matching script. Please use EVAL.\r\n"),
        "EVAL" => Act::Answer(1, b":1\r\n".to_vec()),
        _ => say("$-1\r\n"),
    });
    assert!(fake.store().delete_session(&id()).unwrap());
    let asked = fake.asked.lock().unwrap();
    let [.., by_hash, whole] = asked.as_slice() else {
        panic!("{asked:?}")
    };
    assert_eq!(
        (by_hash[0].as_str(), whole[0].as_str()),
        ("EVALSHA", "EVAL")
    );
    assert_eq!(
        by_hash[2..],
        whole[2..],
        "the same keys and arguments, the mark among them"
    );
}

#[test]
fn a_new_id_that_ended_before_its_answer_was_sent_again_is_gone() {
    // The first answer is lost, and before the second try somebody ends all sessions of the user.
    let mut tombstone = value("ann");
    tombstone[5] = 0;
    tombstone.truncate(38);
    let calls = AtomicUsize::new(0);
    let fake = Fake::start(move |words| match words[0].as_str() {
        "GET" => Act::Say(bulk(&value("ann"))),
        _ => match calls.fetch_add(1, Ordering::Relaxed) {
            0 => Act::Last(Vec::new()),
            _ => Act::Answer(2, [b":1\r\n".to_vec(), bulk(&tombstone)].concat()),
        },
    });
    let store = fake.store();
    let mut session = store.load_session(&id()).unwrap().unwrap();
    let saved = store.regenerate_id(&mut session);
    assert!(matches!(saved, Ok(Saved::Gone)), "{saved:?}");
    assert_eq!(session.id(), Some(&id()), "the copy is as it was");
}

#[test]
fn a_change_without_an_answer_that_others_have_overtaken_is_neither_a_conflict_nor_made_again() {
    // An answer that is lost, and one to another question in its place.
    for lost in ["", "*2\r\n:1\r\n$8\r\nanothers\r\n"] {
        // One version further is the others' alone; two may be this change and theirs.
        for version in [2, 3] {
            let mut theirs = value("bob");
            theirs[5] = version;
            let calls = AtomicUsize::new(0);
            let fake = Fake::start(move |words| match words[0].as_str() {
                "GET" => Act::Say(bulk(&value("ann"))),
                _ => match calls.fetch_add(1, Ordering::Relaxed) % 2 {
                    0 => Act::Last(lost.as_bytes().to_vec()),
                    _ => Act::Answer(2, [b":2\r\n".to_vec(), bulk(&theirs)].concat()),
                },
            });
            let store = fake.store();
            let mut session = store.load_session(&id()).unwrap().unwrap();
            session.insert("n", &1u64).unwrap();
            let saved = store.save_session(&mut session);
            if version == 2 {
                assert!(matches!(saved, Ok(Saved::Conflict(_))), "{saved:?}");
                continue;
            }
            let error = saved.unwrap_err().to_string();
            assert!(error.contains("outcome is unknown"), "{lost:?}: {error}");
            let mut changes = 0;
            let error = store.edit_session(&id(), &mut |session| {
                changes += 1;
                session.insert("n", &1u64).map(drop)
            });
            let error = error.unwrap_err().to_string();
            assert!(error.contains("outcome is unknown"), "{lost:?}: {error}");
            assert_eq!(changes, 1, "it may have been counted already");
        }
    }
}

#[test]
fn a_slot_that_has_moved_is_followed_where_an_end_waits_for_replicas() {
    let there = Fake::start(|words| match words[0].as_str() {
        "WAIT" => say(":1\r\n"),
        _ => Act::Answer(1, b":1\r\n".to_vec()),
    });
    let port = there.port;
    let fake = Fake::start(move |words| match words[0].as_str() {
        // It has written nothing that a replica could confirm.
        "WAIT" => say(":0\r\n"),
        _ => say(&format!("-MOVED {SLOT} 127.0.0.1:{port}\r\n")),
    });
    let store = RedisOptions::new()
        .replicas(1, TIMEOUT / 4)
        .timeout(TIMEOUT)
        .connect(&format!("redis://127.0.0.1:{}", fake.port))
        .unwrap();
    assert!(store.delete_session(&id()).unwrap());
}

#[test]
fn a_write_without_an_answer_says_that_its_outcome_is_unknown() {
    let fake = Fake::start(|_| Act::Stall(Vec::new()));
    let store = fake.store();
    let mut session = Session::new();
    session.insert("n", &1u64).unwrap();
    let error = store.save_session(&mut session).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io);
    assert!(error.to_string().contains("outcome is unknown"), "{error}");
    assert!(session.id().is_none());
    // Every try was the same write.
    let asked = fake.asked.lock().unwrap();
    let tries: Vec<_> = asked.iter().filter(|words| words[0] == "EVALSHA").collect();
    assert!(tries.len() > 1 && tries.windows(2).all(|two| two[0] == two[1]));
}

/// The first try was held up on its way, the second one was answered, and the visitor has logged out since.
#[test]
fn a_creation_that_comes_late_brings_no_session_back() {
    if !is_there("a_creation_that_comes_late_brings_no_session_back") {
        return;
    }
    let fake = Fake::start(|words| match words[0].as_str() {
        "EVAL" => Act::Answer(3, b":1\r\n:1\r\n:1\r\n".to_vec()),
        "TIME" => say("*2\r\n$10\r\n1700000000\r\n$1\r\n0\r\n"),
        _ => say("-NOSCRIPT No matching script.\r\n"),
    });
    let mut session = super::stored(&fake.store(), "ann");
    let asked = fake.asked.lock().unwrap();
    let words = asked.iter().find(|words| words[0] == "EVAL").unwrap();
    let mut words: Vec<_> = words.iter().map(String::as_bytes).collect();
    // The bytes that are no text: contents and mark.
    let ann = value("ann");
    (words[6], words[7]) = (&ann[38..], b"somemark");
    let another = [&words[..7], &[b"another."]].concat();
    let server = Server::start(&[]);
    let store = RedisSessionStore::connect(&server.url()).unwrap();
    let id = session.id().unwrap().clone();
    for _ in 0..2 {
        assert!(server.ask(&words).starts_with(":1"));
    }
    assert!(server.ask(&another).starts_with(":0"), "the id is taken");
    session = store.load_session(&id).unwrap().unwrap();
    assert_eq!((session.user(), session.version()), (Some("ann"), 1));
    assert!(store.delete_session(&id).unwrap());
    assert!(server.ask(&words).starts_with(":0"));
    assert!(!store.has_session(&id).unwrap());
}
