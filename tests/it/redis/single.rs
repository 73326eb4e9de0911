//! One real server.

use super::proxy::Proxy;
use super::server::{Server, is_there};
use super::{counter, stored};
use crate::support::{is_soak, metric, skip};
use shelflife::{
    ErrorKind, Lifetime, RedisOptions, RedisSessionStore, Saved, Session, SessionOptions,
    SessionStore, SessionStoreExt,
};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

const MINUTE: Duration = Duration::from_secs(60);

fn connect(server: &Server) -> RedisSessionStore {
    RedisSessionStore::connect(&server.url()).unwrap()
}

/// The life of a session, one verb after the other.
pub(super) fn live(store: &dyn SessionStore) {
    let mut session = stored(store, "ann");
    let id = session.id().unwrap().clone();
    let mut late = store.load_session(&id).unwrap().unwrap();
    assert_eq!((late.user(), late.version()), (Some("ann"), 1));
    assert_eq!(
        (late.created(), late.accessed()),
        (session.created(), session.accessed())
    );
    session.insert("n", &1u64).unwrap();
    assert!(matches!(
        store.save_session(&mut session),
        Ok(Saved::Stored)
    ));
    late.insert("m", &1u64).unwrap();
    match store.save_session(&mut late).unwrap() {
        Saved::Conflict(current) => assert_eq!((current.version(), current.len()), (2, 1)),
        other => panic!("{other:?}"),
    }
    let change = |session: &mut Session| session.insert("k", &2u64);
    assert_eq!(store.update_session(&id, change).unwrap(), Some(true));
    assert!(store.touch_session(&id).unwrap() && store.has_session(&id).unwrap());

    let mut current = store.load_session(&id).unwrap().unwrap();
    assert!(matches!(
        store.regenerate_id(&mut current),
        Ok(Saved::Stored)
    ));
    let new = current.id().unwrap().clone();
    assert_eq!(new.as_str()[..3], id.as_str()[..3], "the slot stays");
    assert_ne!(new.as_str()[3..], id.as_str()[3..]);
    assert!(store.was_replaced(&id).unwrap() && !store.was_replaced(&new).unwrap());
    assert!(!store.has_session(&id).unwrap() && !store.touch_session(&id).unwrap());
    assert!(store.load_session(&id).unwrap().is_none() && !store.delete_session(&id).unwrap());
    assert_eq!(store.load_session(&new).unwrap().unwrap().len(), 2);
    stored(store, "bob");
    stored(store, "ann");
    assert_eq!(store.iter_sessions().filter(Result::is_ok).count(), 3);
    assert_eq!(store.sessions_of("ann").unwrap().len(), 2);
    assert_eq!(
        store
            .delete_user_sessions_except("ann", &current.handle().unwrap())
            .unwrap(),
        1
    );
    assert_eq!(store.delete_user_sessions("ann").unwrap(), 1);
    current.insert("late", &true).unwrap();
    assert!(matches!(store.save_session(&mut current), Ok(Saved::Gone)));
    assert_eq!(store.delete_old_sessions(Duration::ZERO).unwrap(), (1, 0));
    assert_eq!(store.iter_sessions().count(), 0);
}

#[test]
fn a_session_lives_its_whole_life_with_no_more_rights_than_are_listed() {
    if !is_there("a_session_lives_its_whole_life_with_no_more_rights_than_are_listed") {
        return;
    }
    let server = Server::start(&[]);
    let rights = super::rights();
    let user = format!("ACL SETUSER shop on >secret ~shop:{{* {rights}");
    assert_eq!(server.say(&user).trim(), "+OK");
    let url = server.url().replace("//", "//shop:secret@");
    let store = RedisOptions::new().prefix("shop:").connect(&url).unwrap();
    live(&store);
    assert!(store.warning().is_none());
    store.setup(shelflife::Existing::Overwrite).unwrap();
    assert_eq!(server.keys("shop:"), [""; 0], "even the tombstones");

    let other = RedisOptions::new().prefix("other:").connect(&url).unwrap();
    let mut session = Session::new();
    session.insert("n", &1u64).unwrap();
    let error = other.save_session(&mut session).unwrap_err();
    assert!(
        error.to_string().contains("NOPERM") && error.to_string().contains("rights"),
        "{error}"
    );
}

#[test]
fn a_right_that_is_missing_is_told_as_one_and_no_verb_does_a_half_without_it() {
    if !is_there("a_right_that_is_missing_is_told_as_one_and_no_verb_does_a_half_without_it") {
        return;
    }
    let server = Server::start(&[]);
    let mut options = RedisOptions::new();
    // So that each touch writes.
    let lifetimes = SessionOptions::new()
        .access_resolution(Duration::ZERO)
        .clone();
    options.sessions(&lifetimes);
    let all = options.connect(&server.url()).unwrap();
    let mut refused = 0;
    let rights = super::rights();
    let rights: Vec<&str> = rights.split_whitespace().collect();
    for without in rights.iter().filter(|right| right.starts_with('+')) {
        let others = rights.iter().filter(|right| *right != without);
        let others: Vec<&str> = others.copied().collect();
        let user = format!(
            "ACL SETUSER ann reset on >secret ~shelflife:{{* {}",
            others.join(" ")
        );
        assert_eq!(server.say(&user).trim(), "+OK");
        let store = options
            .user("ann")
            .password("secret")
            .connect(&server.url());
        let tell = |verb: &str, error: &shelflife::Error| {
            assert!(
                error.to_string().contains("rights"),
                "{verb}, {without}: {error}"
            );
        };
        let Ok(store) = store.inspect_err(|error| tell("connect", error)) else {
            refused += 1;
            continue;
        };
        let kept = stored(&all, "bob");
        for verb in 0..8 {
            let mut session = stored(&all, "ann");
            let id = session.id().unwrap().clone();
            // Where the rest of the session's life is told, it shows that nothing was done, or all of it.
            let answer = match verb {
                0 => store.load_session(&id).map(drop),
                1 => store.touch_session(&id).map(drop),
                2 => {
                    session.insert("n", &1u64).unwrap();
                    let saved = store.save_session(&mut session).map(drop);
                    let now = all.load_session(&id).unwrap().unwrap();
                    assert_eq!(now.contains_key("n"), saved.is_ok(), "{without}");
                    saved
                }
                3 => {
                    let moved = store.regenerate_id(&mut session).map(drop);
                    assert_eq!(all.has_session(&id).unwrap(), moved.is_err(), "{without}");
                    assert!(all.has_session(session.id().unwrap()).unwrap(), "{without}");
                    moved
                }
                4 => {
                    let deleted = store.delete_session(&id).map(drop);
                    assert_eq!(all.has_session(&id).unwrap(), deleted.is_err(), "{without}");
                    deleted
                }
                5 => store.sessions_of("ann").map(drop),
                6 => store.delete_old_sessions(MINUTE).map(drop),
                _ => store.delete_user_sessions("ann").map(drop),
            };
            if let Err(error) = answer {
                tell(&verb.to_string(), &error);
                refused += 1;
            }
            all.delete_user_sessions("ann").unwrap();
        }
        assert!(all.has_session(kept.id().unwrap()).unwrap(), "{without}");
    }
    assert!(refused > 30, "{refused} were refused");
}

#[test]
fn a_socket_a_database_and_hashed_ids_do_as_well() {
    if !is_there("a_socket_a_database_and_hashed_ids_do_as_well") {
        return;
    }
    let server = Server::start(&[]);
    let url = format!("{}?db=3", server.socket_url());
    let hashed = SessionOptions::new().hash_ids(true).clone();
    let store = RedisOptions::new().sessions(&hashed).connect(&url).unwrap();
    live(&store);
    let session = stored(&store, "ann");
    let id = session.id().unwrap().as_str();
    assert_eq!(
        server.keys("shelflife:"),
        [""; 0],
        "the database is another"
    );
    let mut asked = server.asked();
    asked.ask(&[b"SELECT", b"3"]);
    let keys = asked.ask(&[b"KEYS", b"*"]);
    assert!(
        keys.contains(&format!("shelflife:{{{}}}", &id[..3])) && !keys.contains(&id[3..]),
        "{keys}"
    );
}

#[test]
fn prefixes_of_two_applications_never_meet() {
    if !is_there("prefixes_of_two_applications_never_meet") {
        return;
    }
    let server = Server::start(&[]);
    let prefixes = [
        "", "prod", "prod2", "p*", "p?od", "[p]rod", "prod\\", "pr^d", "prod:",
    ];
    let stores = prefixes.map(|prefix| {
        RedisOptions::new()
            .prefix(prefix)
            .connect(&server.url())
            .unwrap()
    });
    let sessions: Vec<_> = stores
        .iter()
        .zip(prefixes)
        .map(|(store, prefix)| stored(store, &format!("u{prefix}")))
        .collect();
    assert_eq!(
        server.ask(&[b"SET", b"prod{AAE}other", b"theirs"]).trim(),
        "+OK"
    );
    for ((store, session), prefix) in stores.iter().zip(&sessions).zip(prefixes) {
        let listed: Vec<_> = store
            .iter_sessions()
            .map(|session| session.unwrap().user().unwrap().to_string())
            .collect();
        assert_eq!(listed, [format!("u{prefix}")]);
        let others = sessions.iter().filter(|other| other.id() != session.id());
        for other in others {
            assert!(!store.has_session(other.id().unwrap()).unwrap(), "{prefix}");
        }
    }
    stores[1].setup(shelflife::Existing::Overwrite).unwrap();
    assert_eq!(
        stores.map(|store| store.iter_sessions().count()),
        [1, 0, 1, 1, 1, 1, 1, 1, 1]
    );
    assert_eq!(
        server.ask(&[b"GET", b"prod{AAE}other"]).trim(),
        "theirs",
        "no session's key is left alone"
    );
    let error = RedisOptions::new()
        .prefix("{x}")
        .connect(&server.url())
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
}

#[test]
fn a_key_goes_when_its_session_ends() {
    if !is_there("a_key_goes_when_its_session_ends") {
        return;
    }
    let server = Server::start(&[]);
    if server.say("PEXPIRETIME key").starts_with('-') {
        return skip(
            "a_key_goes_when_its_session_ends",
            "Redis 6.2 does not tell when a key goes",
        );
    }
    let options = SessionOptions::new()
        .idle_lifetime(10 * MINUTE)
        .absolute_lifetime(60 * MINUTE)
        .clone();
    let store = RedisOptions::new()
        .sessions(&options)
        .connect(&server.url())
        .unwrap();
    let expiry = |session: &Session| -> i64 {
        let id = session.id().unwrap().as_str();
        let key = format!("shelflife:{{{}}}{id}", &id[..3]);
        let answer = server.ask(&[b"PEXPIRETIME", key.as_bytes()]);
        answer.trim().trim_start_matches(':').parse().unwrap()
    };
    let end = |session: &Session| {
        let end = session
            .expires()
            .unwrap()
            .duration_since(std::time::UNIX_EPOCH);
        i64::try_from(end.unwrap().as_millis()).unwrap()
    };
    let mut session = stored(&store, "ann");
    assert_eq!(
        end(&session),
        expiry(&session) + 1,
        "the server shows a key for one millisecond more"
    );
    for (lifetime, ends) in [
        (
            Lifetime {
                idle: None,
                absolute: None,
            },
            false,
        ),
        (
            Lifetime {
                idle: Some(MINUTE),
                absolute: None,
            },
            true,
        ),
        (
            Lifetime {
                idle: None,
                absolute: Some(MINUTE),
            },
            true,
        ),
        (
            Lifetime {
                idle: Some(Duration::MAX),
                absolute: Some(Duration::MAX),
            },
            false,
        ),
    ] {
        session.set_lifetime(Some(lifetime));
        assert!(matches!(
            store.save_session(&mut session),
            Ok(Saved::Stored)
        ));
        assert_eq!(expiry(&session) > 0, ends, "{lifetime:?}");
        let loaded = store.load_session(session.id().unwrap()).unwrap().unwrap();
        if ends {
            assert_eq!(end(&loaded), expiry(&session) + 1);
            assert_eq!(loaded.lifetime(), Some(lifetime));
        }
    }
    session.set_lifetime(None);
    assert!(matches!(
        store.save_session(&mut session),
        Ok(Saved::Stored)
    ));
    assert_eq!(end(&session), expiry(&session) + 1);
    session.set_lifetime(Some(Lifetime {
        idle: Some(Duration::ZERO),
        absolute: None,
    }));
    assert!(matches!(
        store.save_session(&mut session),
        Ok(Saved::Stored)
    ));
    assert!(
        !store.has_session(session.id().unwrap()).unwrap(),
        "one with no life at all is absent at once"
    );
}

#[test]
fn what_is_no_session_is_an_error_for_its_own_id_alone_and_can_be_deleted() {
    if !is_there("what_is_no_session_is_an_error_for_its_own_id_alone_and_can_be_deleted") {
        return;
    }
    let server = Server::start(&[]);
    let store = connect(&server);
    stored(&store, "ann");
    let damage: [&[u8]; 4] = [b"", b"short", &[0xFF; 38], &[b'x'; 100]];
    for bytes in damage {
        let mut session = stored(&store, "bob");
        let id = session.id().unwrap().clone();
        let key = format!("shelflife:{{{}}}{}", &id.as_str()[..3], id.as_str());
        assert_eq!(server.ask(&[b"SET", key.as_bytes(), bytes]).trim(), "+OK");
        if !bytes.is_empty() {
            let error = store.load_session(&id).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Decode, "{error}");
            assert!(!error.to_string().contains(id.as_str()), "{error}");
            assert_eq!(store.iter_sessions().filter(Result::is_err).count(), 1);
        }
        session.insert("n", &1u64).unwrap();
        let saved = store.save_session(&mut session);
        assert!(!matches!(saved, Ok(Saved::Stored)), "{saved:?}");
        assert_eq!(store.sessions_of("ann").unwrap().len(), 1);
        // A call that goes over all sessions does its work on those that it can read, and names at the end those that
        // it passed by.
        let (of_user, old) = (
            store.delete_user_sessions("carl"),
            store.delete_old_sessions(MINUTE),
        );
        if bytes.len() < 38 && !bytes.is_empty() {
            let [of_user, old] = [
                of_user.map(|_| ()).unwrap_err(),
                old.map(|_| ()).unwrap_err(),
            ];
            let handle = id.handle().to_string();
            assert!(
                of_user.to_string().contains(&handle) && old.to_string().contains(&handle),
                "{of_user} {old}"
            );
            let advice = "`shelflife verify` lists what is damaged in a file [Decode]";
            assert!(format!("{of_user:?}").contains(advice), "{of_user:?}");
        }
        store.delete_session(&id).unwrap();
        assert!(store.load_session(&id).unwrap().is_none());
    }
    // A value of another application is not deleted.
    let id = stored(&store, "bob").id().unwrap().clone();
    let key = format!("shelflife:{{{}}}{}", &id.as_str()[..3], id.as_str());
    server.say(&format!("DEL {key}"));
    assert_eq!(server.say(&format!("RPUSH {key} x")).trim(), ":1");
    for error in [
        store.load_session(&id).map(drop).unwrap_err(),
        store.delete_session(&id).map(drop).unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::Decode, "{error}");
        let error = error.to_string();
        assert!(error.contains("another type"), "{error}");
        assert!(!error.contains(id.as_str()), "{error}");
    }
    assert_eq!(server.say(&format!("LLEN {key}")).trim(), ":1");
}

#[test]
fn a_session_over_its_limit_is_refused_and_one_below_it_comes_back() {
    if !is_there("a_session_over_its_limit_is_refused_and_one_below_it_comes_back") {
        return;
    }
    let server = Server::start(&[]);
    let store = RedisOptions::new()
        .sessions(SessionOptions::new().session_bytes_max(1 << 20))
        .connect(&server.url())
        .unwrap();
    let mut session = stored(&store, "ann");
    session
        .insert("text", &"x".repeat((1 << 20) - 100))
        .unwrap();
    assert!(matches!(
        store.save_session(&mut session),
        Ok(Saved::Stored)
    ));
    let loaded = store.load_session(session.id().unwrap()).unwrap().unwrap();
    assert_eq!(
        loaded.get::<String>("text").unwrap().unwrap().len(),
        (1 << 20) - 100
    );
    session.insert("text", &"x".repeat(1 << 20)).unwrap();
    assert_eq!(
        store.save_session(&mut session).unwrap_err().kind(),
        ErrorKind::TooLarge
    );
    // One that another store has is named: nobody could find it otherwise.
    let error = store.import_sessions(&[session.clone()]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLarge);
    let handle = session.handle().unwrap().to_string();
    assert!(error.to_string().contains(&handle), "{error}");
}

#[test]
fn a_restart_of_the_server_is_not_noticed_and_a_stopped_one_holds_nobody_longer_than_the_deadline()
{
    if !is_there("a_restart_of_the_server_is_not_noticed") {
        return;
    }
    let mut server = Server::start(&[]);
    let store = RedisOptions::new()
        .timeout(Duration::from_millis(600))
        .connect(&server.url())
        .unwrap();
    let session = stored(&store, "ann");
    server.kill();
    assert!(server.run());
    assert!(
        store.load_session(session.id().unwrap()).unwrap().is_none(),
        "it forgot everything"
    );
    let session = stored(&store, "ann");
    server.signal("-STOP");
    let begun = Instant::now();
    let error = store.load_session(session.id().unwrap()).unwrap_err();
    let took = begun.elapsed();
    server.signal("-CONT");
    assert_eq!(error.kind(), ErrorKind::Io, "{error}");
    assert!(
        (Duration::from_millis(500)..Duration::from_secs(2)).contains(&took),
        "{took:?}"
    );
    assert!(store.has_session(session.id().unwrap()).unwrap());
    server.kill();
    let error = RedisSessionStore::connect(&server.url()).unwrap_err();
    assert!(error.to_string().contains("check the address"), "{error}");
}

#[test]
fn a_server_that_evicts_sessions_is_warned_of_and_one_that_is_full_still_logs_out() {
    if !is_there("a_server_that_evicts_sessions_is_warned_of") {
        return;
    }
    let server = Server::start(&["--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru"]);
    let store = connect(&server);
    let warning = store.warning().unwrap();
    assert!(
        warning.contains("allkeys-lru") && warning.contains("noeviction"),
        "{warning}"
    );
    assert_eq!(
        server.say("CONFIG SET maxmemory-policy noeviction").trim(),
        "+OK"
    );
    assert!(connect(&server).warning().is_none());

    let session = stored(&store, "ann");
    let mut emptied = stored(&store, "bob");
    stored(&store, "carl");
    assert_eq!(server.say("CONFIG SET maxmemory 1").trim(), "+OK");
    let error = store
        .save_session(&mut {
            let mut new = Session::new();
            new.set_user(Some("dora"));
            new
        })
        .unwrap_err();
    assert!(error.to_string().contains("memory is full"), "{error}");
    let mut moving = session.clone();
    assert!(store.regenerate_id(&mut moving).is_err());
    assert!(
        store.has_session(session.id().unwrap()).unwrap(),
        "it has its old id"
    );
    assert!(store.delete_session(session.id().unwrap()).unwrap());
    emptied.set_user(None);
    assert!(matches!(store.save_session(&mut emptied), Ok(Saved::Empty)));
    assert_eq!(store.delete_user_sessions("carl").unwrap(), 1);
    assert_eq!(store.iter_sessions().count(), 0);
}

#[test]
fn a_server_without_memory_left_still_shows_sessions_and_says_that_no_use_was_noted() {
    let name = "a_server_without_memory_left_still_shows_sessions_and_says_that_no_use_was_noted";
    if !is_there(name) {
        return;
    }
    let server = Server::start(&[]);
    let each_use = SessionOptions::new()
        .access_resolution(Duration::ZERO)
        .clone();
    let store = RedisOptions::new()
        .sessions(&each_use)
        .connect(&server.url())
        .unwrap();
    let mut session = stored(&store, "ann");
    let id = session.id().unwrap().clone();
    let stored_at = session.accessed();
    // So that a use that is noted would show.
    while store.now() <= stored_at.unwrap() {}
    assert_eq!(server.say("CONFIG SET maxmemory 1").trim(), "+OK");
    assert!(store.touch_session(&id).unwrap());
    assert!(matches!(
        store.save_session(&mut session),
        Ok(Saved::Stored)
    ));
    let loaded = store.load_session(&id).unwrap().unwrap();
    assert_eq!([session.accessed(), loaded.accessed()], [stored_at; 2]);
    assert_eq!(server.say("CONFIG SET maxmemory 0").trim(), "+OK");
    assert!(store.touch_session(&id).unwrap());
    assert!(store.load_session(&id).unwrap().unwrap().accessed() > stored_at);
}

#[test]
fn the_end_of_a_session_waits_for_the_replicas_that_were_asked_for() {
    if !is_there("the_end_of_a_session_waits_for_the_replicas_that_were_asked_for") {
        return;
    }
    let primary = Server::start(&["--repl-diskless-sync-delay", "0"]);
    let port = primary.port.to_string();
    let replica = Server::start(&["--replicaof", "127.0.0.1", &port]);
    let until = Instant::now() + Duration::from_secs(20);
    while !replica
        .say("INFO replication")
        .contains("master_link_status:up")
    {
        assert!(Instant::now() < until);
        std::thread::sleep(Duration::from_millis(20));
    }
    let waits = |wait| {
        let mut options = RedisOptions::new();
        options.replicas(1, wait).timeout(Duration::from_secs(60));
        options.connect(&primary.url())
    };
    let store = waits(Duration::from_secs(20)).unwrap();
    live(&store);
    let mut sessions: Vec<_> = (0..3).map(|_| stored(&store, "ann")).collect();
    // A logout that was answered is on the replica.
    assert!(store.delete_session(sessions[0].id().unwrap()).unwrap());
    let id = sessions[0].id().unwrap().as_str();
    let key = format!("shelflife:{{{}}}{id}", &id[..3]);
    let there = replica.ask(&[b"STRLEN", key.as_bytes()]);
    assert_eq!(there.trim(), ":38", "the tombstone");

    replica.signal("-STOP");
    let [store, another] = [(); 2].map(|()| waits(Duration::from_millis(200)).unwrap());
    let id = sessions[1].id().unwrap();
    let key = format!("shelflife:{{{}}}{}", &id.as_str()[..3], id.as_str());
    // Nor is it confirmed when it is asked for again over another connection, which has to write for that: it is only
    // sure that a server waits for what the connection wrote.
    for store in [&store, &another] {
        let error = store.delete_session(id).unwrap_err().to_string();
        assert!(error.contains("not confirmed by 1 replicas"), "{error}");
        let left = primary.ask(&[b"PTTL", key.as_bytes()]);
        let left: u64 = left.trim().trim_start_matches(':').parse().unwrap();
        assert!(left > 30_000, "it was not written");
        primary.ask(&[b"PEXPIRE", key.as_bytes(), b"30000"]);
    }
    assert!(!store.has_session(id).unwrap(), "the deletion stands");
    assert!(store.regenerate_id(&mut sessions[2]).is_err());
    assert!(store.setup(shelflife::Existing::Overwrite).is_err());
    // Also one of less than a millisecond has an end, which is not that of the call.
    let store = waits(Duration::from_nanos(1)).unwrap();
    let session = stored(&store, "ann");
    let error = store.delete_session(session.id().unwrap()).unwrap_err();
    assert!(
        error.to_string().contains("not confirmed by 1 replicas"),
        "{error}"
    );
    for wait in [Duration::ZERO, Duration::from_secs(3)] {
        let mut options = RedisOptions::new();
        let error = options.replicas(1, wait).connect(&primary.url());
        assert_eq!(error.unwrap_err().kind(), ErrorKind::InvalidInput);
        assert!(options.replicas(0, wait).connect(&primary.url()).is_ok());
    }
}

/// Creates, changes, updates, gives new ids and deletes over a way that cuts; returns how often that was.
fn cut(seed: u64, cuts: usize) {
    let server = Server::start(&[]);
    let proxy = Proxy::start(server.port, seed);
    let store = RedisSessionStore::connect(&proxy.url()).unwrap();
    let direct = connect(&server);
    let mut session = stored(&store, "counted");
    let id = session.id().unwrap().clone();
    let (mut updates, mut saves, mut created) = (0, 0, BTreeSet::new());
    proxy.cut_one_in(4);
    while proxy.cuts.load(std::sync::atomic::Ordering::Relaxed) < cuts {
        store
            .update_session(&id, |session| counter(session, "updates"))
            .unwrap()
            .unwrap();
        updates += 1;

        session = direct.load_session(&id).unwrap().unwrap();
        counter(&mut session, "saves").unwrap();
        let saved = store.save_session(&mut session).unwrap();
        assert!(
            matches!(saved, Saved::Stored),
            "{saved:?}: nobody else changes it, seed {seed}"
        );
        saves += 1;

        let mut new = stored(&store, "ann");
        let old = new.id().unwrap().clone();
        assert!(
            matches!(store.regenerate_id(&mut new), Ok(Saved::Stored)),
            "seed {seed}"
        );
        assert!(!direct.has_session(&old).unwrap(), "seed {seed}");
        let new = new.id().unwrap().clone();
        if created.len() % 2 == 0 {
            assert!(store.delete_session(&new).unwrap(), "seed {seed}");
            stored(&store, "ann");
        }
        created.insert(new.as_str().to_string());
    }
    proxy.cut_one_in(0);
    let end = direct.load_session(&id).unwrap().unwrap();
    let count = |key: &str| end.get::<u64>(key).unwrap();
    assert_eq!(
        (count("updates"), count("saves")),
        (Some(updates), Some(saves)),
        "seed {seed}"
    );
    assert_eq!(end.version(), 1 + updates + saves, "seed {seed}");
    let left = direct.sessions_of("ann").unwrap().len();
    assert_eq!(
        left,
        created.len(),
        "one was created for each, none twice, seed {seed}"
    );
}

#[test]
fn a_connection_that_is_cut_doubles_no_change_and_makes_no_conflict() {
    if !is_there("a_connection_that_is_cut_doubles_no_change_and_makes_no_conflict") {
        return;
    }
    let begun = Instant::now();
    let (seed, cuts) = (7, if is_soak() { 1000 } else { 60 });
    cut(seed, cuts);
    metric(
        "redis_connections_cut",
        cuts,
        Some(seed),
        begun.elapsed().as_secs_f64(),
    );
}
