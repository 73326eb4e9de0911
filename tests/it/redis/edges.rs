//! Sessions at an edge: of their size, and of their life.

use super::fake::{ID, id, value};
use super::server::{Server, is_there};
use super::stored;
use shelflife::{
    ErrorKind, RedisOptions, RedisSessionStore, Saved, SessionOptions, SessionStore,
    SessionStoreExt,
};
use std::time::Duration;

#[test]
fn a_session_of_just_so_many_bytes_as_its_limit_allows_is_stored_and_one_more_is_too_many() {
    let name =
        "a_session_of_just_so_many_bytes_as_its_limit_allows_is_stored_and_one_more_is_too_many";
    if !is_there(name) {
        return;
    }
    const LIMIT: usize = 4096;
    let server = Server::start(&[]);
    let sessions = SessionOptions::new().session_bytes_max(LIMIT).clone();
    let store = RedisOptions::new()
        .sessions(&sessions)
        .connect(&server.url());
    let store = store.unwrap();
    let mut session = stored(&store, "ann");
    let mut put = |len| {
        session.insert("text", &"x".repeat(len)).unwrap();
        let saved = store.save_session(&mut session);
        let keys = server.keys("shelflife:");
        let bytes = server.say(&format!("STRLEN {}", keys[0]));
        let bytes: usize = bytes.trim().trim_start_matches(':').parse().unwrap();
        (saved, bytes - 38)
    };
    let (_, bytes) = put(1000);
    let most = 1000 + LIMIT - bytes;
    let (saved, bytes) = put(most);
    assert!(matches!(saved, Ok(Saved::Stored)), "{saved:?}");
    assert_eq!(bytes, LIMIT);
    let (refused, _) = put(most + 1);
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::TooLarge);
}

/// Its key goes with it, so that only a key that stays shows that each script looks at the head as well.
#[test]
fn a_session_that_has_ended_is_gone_for_every_verb_also_where_its_key_is_still_there() {
    let name = "a_session_that_has_ended_is_gone_for_every_verb_also_where_its_key_is_still_there";
    if !is_there(name) {
        return;
    }
    let server = Server::start(&[]);
    let store = RedisSessionStore::connect(&server.url()).unwrap();
    let key = format!("shelflife:{{AAE}}{ID}");
    // An idle lifetime of a second, and no use for years.
    let mut over = value("ann");
    over[18..24].copy_from_slice(&1000_u64.to_be_bytes()[2..]);
    for verb in [
        "touch", "use", "change", "empty", "new id", "update", "delete", "sweep", "import",
    ] {
        server.ask(&[b"SET", key.as_bytes(), &over]);
        let mut session = store.load_session(&id()).unwrap().unwrap();
        let is_gone = |saved| matches!(saved, Ok(Saved::Gone));
        let is_there = match verb {
            "touch" => store.touch_session(&id()).unwrap(),
            "use" => !is_gone(store.save_session(&mut session)),
            "change" => {
                session.insert("n", &1u64).unwrap();
                !is_gone(store.save_session(&mut session))
            }
            "empty" => {
                session.set_user(None);
                !is_gone(store.save_session(&mut session))
            }
            "new id" => !is_gone(store.regenerate_id(&mut session)),
            "update" => {
                let updated = store.update_session(&id(), |it| it.insert("n", &1u64));
                updated.unwrap().is_some()
            }
            "delete" => store.delete_session(&id()).unwrap(),
            "sweep" => store.delete_old_sessions(Duration::ZERO).unwrap().0 > 0,
            // Nothing that was there keeps a copy out.
            _ => store.import_sessions(&[session]).unwrap() != 1,
        };
        assert!(!is_there, "{verb}");
        assert!(server.keys("shelflife:").is_empty(), "{verb}");
    }
}

/// A call that ends all sessions of a user looks for the session under that name.
#[test]
fn a_session_that_got_a_new_id_leaves_the_name_of_its_key_under_the_old_one() {
    if !is_there("a_session_that_got_a_new_id_leaves_the_name_of_its_key_under_the_old_one") {
        return;
    }
    let server = Server::start(&[]);
    let store = RedisSessionStore::connect(&server.url()).unwrap();
    let mut session = stored(&store, "ann");
    let [old] = &server.keys("shelflife:")[..] else {
        panic!("one session, and more keys");
    };
    let renewed = store.regenerate_id(&mut session);
    assert!(matches!(renewed, Ok(Saved::Stored)), "{renewed:?}");
    let keys = server.keys("shelflife:");
    let new = keys.iter().find(|key| *key != old).unwrap();
    let left = server.say(&format!("GETRANGE {old} 38 -1"));
    assert_eq!(left.trim(), new);
}
