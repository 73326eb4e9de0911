//! Sessions that move from one store to another.

use super::proxy::Proxy;
use super::server::{Server, is_there, shared_cluster};
use super::stored;
use crate::session::lifetimes::ends_as_it_did;
use crate::support::{Random, fast_dir};
use shelflife::{
    Beyond, ErrorKind, Lifetime, RedisOptions, RedisSessionStore, Saved, Session, SessionOptions,
    SessionStore, ShelveSessionStore, copy_sessions,
};
use std::process::{Command, Stdio};
use std::time::Duration;

/// All of a session that a caller can see.
fn seen(session: &Session) -> String {
    let text = session.get::<String>("text").unwrap();
    let (user, version, lifetime) = (session.user(), session.version(), session.lifetime());
    format!(
        "{:?} {user:?} {version} {lifetime:?} {text:?} {:?} {:?}",
        session.handle(),
        session.created(),
        session.accessed()
    )
}

fn all(store: &dyn SessionStore) -> Vec<String> {
    let mut all: Vec<_> = store
        .iter_sessions()
        .map(|session| seen(&session.unwrap()))
        .collect();
    all.sort();
    all
}

/// Sessions of all kinds.
fn fill(store: &dyn SessionStore, count: usize) -> Vec<Session> {
    let mut random = Random::new(3);
    let fill_one = |nth: usize| {
        let mut session = stored(store, &format!("u{}", nth % 7));
        for _ in 0..nth % 3 {
            session
                .insert("text", &"x".repeat(random.place(5000)))
                .unwrap();
            assert!(matches!(
                store.save_session(&mut session),
                Ok(Saved::Stored)
            ));
        }
        if nth.is_multiple_of(5) {
            let idle = Some(Duration::from_secs(random.below(100_000) + 1000));
            session.set_lifetime(Some(Lifetime {
                idle,
                absolute: None,
            }));
            assert!(matches!(
                store.save_session(&mut session),
                Ok(Saved::Stored)
            ));
        }
        session
    };
    (0..count).map(fill_one).collect()
}

#[test]
fn a_store_moves_to_a_server_and_to_a_cluster_and_back_and_nothing_is_lost() {
    if !is_there("a_store_moves_to_a_server_and_to_a_cluster_and_back_and_nothing_is_lost") {
        return;
    }
    let (dir, server, cluster) = (fast_dir(), Server::start(&[]), shared_cluster());
    for hash_ids in [false, true] {
        let options = SessionOptions::new().hash_ids(hash_ids).clone();
        let redis = |url: &str| {
            RedisOptions::new()
                .sessions(&options)
                .prefix(if hash_ids { "h:" } else { "p:" })
                .connect(url)
                .unwrap()
        };
        let file = |name: &str| {
            options
                .open(dir.path().join(format!("{name}{hash_ids}")))
                .unwrap()
        };
        let (from, back) = (file("from"), file("back"));
        let sessions = fill(&from, 600);
        let (single, spread) = (redis(&server.url()), redis(&cluster.url()));
        let stores: [&dyn SessionStore; 4] = [&from, &single, &spread, &back];
        for pair in stores.windows(2) {
            let mut told = 0;
            let copied = copy_sessions(pair[0], pair[1], Beyond::Keep, |copied| {
                assert!(copied.stored >= told);
                told = copied.stored;
            });
            let copied = copied.unwrap();
            assert_eq!(
                (copied.stored, copied.unchanged, copied.beyond, told),
                (600, 0, 0, 600)
            );
            assert!(all(pair[0]) == all(pair[1]), "hashed: {hash_ids}");
            let copied = copy_sessions(pair[0], pair[1], Beyond::Keep, |_| {}).unwrap();
            assert_eq!(
                (copied.stored, copied.unchanged, copied.beyond),
                (0, 600, 0)
            );
        }
        // The visitors have the same cookies as before.
        for session in &sessions {
            assert_eq!(
                seen(&spread.load_session(session.id().unwrap()).unwrap().unwrap()),
                seen(session)
            );
        }
        assert_eq!(
            back.sessions_of("u3").unwrap().len(),
            spread.sessions_of("u3").unwrap().len()
        );
    }
}

#[test]
fn what_changed_and_ended_between_two_copies_is_so_in_the_second() {
    if !is_there("what_changed_and_ended_between_two_copies_is_so_in_the_second") {
        return;
    }
    let server = Server::start(&[]);
    let mut options = SessionOptions::new();
    options.access_resolution(Duration::ZERO);
    let redis = RedisOptions::new()
        .sessions(&options)
        .connect(&server.url());
    let redis = redis.unwrap();
    let memory = options.in_memory();
    let stores: [(&dyn SessionStore, &dyn SessionStore); 2] =
        [(&memory, &redis), (&redis, &memory)];
    for (from, to) in stores {
        let mut sessions = fill(from, 10);
        copy_sessions(from, to, Beyond::Keep, |_| {}).unwrap();
        sessions[0].insert("text", "changed").unwrap();
        assert!(matches!(
            from.save_session(&mut sessions[0]),
            Ok(Saved::Stored)
        ));
        assert!(matches!(
            from.regenerate_id(&mut sessions[1]),
            Ok(Saved::Stored)
        ));
        assert!(from.delete_session(sessions[2].id().unwrap()).unwrap());
        let copied = sessions[5].accessed();
        while sessions[5].accessed() == copied {
            let used = from.save_session(&mut sessions[5]);
            assert!(matches!(used, Ok(Saved::Stored)));
        }
        stored(from, "late");
        // One that is changed in the new place is not set back.
        let mut ahead = to.load_session(sessions[3].id().unwrap()).unwrap().unwrap();
        ahead.insert("text", "ahead").unwrap();
        assert!(matches!(to.save_session(&mut ahead), Ok(Saved::Stored)));
        let copied = copy_sessions(from, to, Beyond::Keep, |_| {}).unwrap();
        assert_eq!((copied.stored, copied.unchanged, copied.beyond), (4, 6, 2));
        let copied = copy_sessions(from, to, Beyond::End, |_| {}).unwrap();
        assert_eq!((copied.stored, copied.unchanged, copied.beyond), (0, 10, 2));
        assert_eq!(to.iter_sessions().count(), 10);
        let used = to.load_session(sessions[5].id().unwrap()).unwrap().unwrap();
        assert_eq!(used.accessed(), sessions[5].accessed());
        assert_eq!(
            to.load_session(ahead.id().unwrap())
                .unwrap()
                .unwrap()
                .get::<String>("text")
                .unwrap()
                .as_deref(),
            Some("ahead")
        );
        // One that has just been logged out in the new place stays so.
        assert!(redis.delete_session(sessions[4].id().unwrap()).unwrap());
        copy_sessions(&memory, &redis, Beyond::Keep, |_| {}).unwrap();
        assert!(!redis.has_session(sessions[4].id().unwrap()).unwrap());
        for store in [&memory as &dyn SessionStore, &redis] {
            store.setup(shelflife::Existing::Overwrite).unwrap();
        }
    }
}

#[test]
fn a_copy_that_is_killed_at_any_point_is_done_again_and_nothing_is_lost_or_doubled() {
    if !is_there("a_copy_that_is_killed_at_any_point_is_done_again_and_nothing_is_lost_or_doubled")
    {
        return;
    }
    let (dir, server) = (fast_dir(), Server::start(&[]));
    let proxy = Proxy::start(server.port, 1);
    let [from, back] = ["from", "back"].map(|name| dir.path().join(name));
    let path = |path: &std::path::Path| path.to_str().unwrap().to_string();
    let before = {
        let store = ShelveSessionStore::open(&from).unwrap();
        fill(&store, 600);
        all(&store)
    };
    let redis = RedisSessionStore::connect(&server.url()).unwrap();
    let here = |to: &str| match to.starts_with("redis:") {
        true => all(&redis),
        false => all(&ShelveSessionStore::open(to).unwrap()),
    };
    for (from, to) in [(path(&from), proxy.url()), (proxy.url(), path(&back))] {
        let copy = || {
            let mut command = Command::new(env!("CARGO_BIN_EXE_shelflife"));
            command.args(["session", "copy", &from, &to]);
            command.stdout(Stdio::null()).stderr(Stdio::null());
            command.spawn().unwrap()
        };
        let mut halves = 0;
        for nth in [1, 2, 5, 10, 20, 22, 24, 26, 28, 30, 100, 250] {
            proxy.hold_at(nth);
            let mut child = copy();
            while !proxy.is_holding() && child.try_wait().unwrap().is_none() {
                std::thread::sleep(Duration::from_millis(1));
            }
            let _ = child.kill();
            child.wait().unwrap();
            let copied = here(&to);
            assert!(
                copied.iter().all(|session| before.contains(session)),
                "{to} {nth}"
            );
            halves += usize::from((1..600).contains(&copied.len()));
        }
        proxy.hold_at(0);
        assert!(halves > 0, "it was never killed half-way to {to}");
        assert!(copy().wait().unwrap().success());
        assert!(here(&to) == before, "{to}");
    }
}

#[test]
fn hashes_are_not_copied_to_where_ids_are_kept_as_they_are() {
    if !is_there("hashes_are_not_copied_to_where_ids_are_kept_as_they_are") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&[]);
    let hashed = SessionOptions::new()
        .hash_ids(true)
        .open(dir.path().join("hashed"))
        .unwrap();
    let plain = ShelveSessionStore::open(dir.path().join("plain")).unwrap();
    let redis = RedisSessionStore::connect(&server.url()).unwrap();
    let session = stored(&hashed, "ann");
    for to in [&plain as &dyn SessionStore, &redis] {
        let error = copy_sessions(&hashed, to, Beyond::Keep, |_| {}).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
        assert_eq!(to.iter_sessions().count(), 0);
    }
    // The other way round does.
    let hashing = SessionOptions::new().hash_ids(true).clone();
    let redis_hashed = RedisOptions::new()
        .sessions(&hashing)
        .prefix("h:")
        .connect(&server.url())
        .unwrap();
    let plain_one = stored(&plain, "bob");
    copy_sessions(&plain, &redis_hashed, Beyond::Keep, |_| {}).unwrap();
    copy_sessions(&hashed, &redis_hashed, Beyond::Keep, |_| {}).unwrap();
    for session in [session, plain_one] {
        assert!(redis_hashed.has_session(session.id().unwrap()).unwrap());
    }
}

/// A new id and a look that is noted are uses as well.
#[test]
fn a_use_brings_the_lifetimes_of_the_store_that_is_used_unless_the_session_has_its_own() {
    if !is_there(
        "a_use_brings_the_lifetimes_of_the_store_that_is_used_unless_the_session_has_its_own",
    ) {
        return;
    }
    let server = Server::start(&[]);
    let [hour, minute] = [3600, 60].map(Duration::from_secs);
    let mut options = SessionOptions::new();
    options.access_resolution(Duration::ZERO);
    let on = |options: &SessionOptions| {
        let store = RedisOptions::new().sessions(options).connect(&server.url());
        store.unwrap()
    };
    let lasting = on(&options);
    let hourly = on(options.idle_lifetime(hour));
    for verb in ["touch", "change", "new id"] {
        for own in [None, Some(minute)] {
            let mut session = Session::new();
            session.set_user(Some("ann"));
            session.set_lifetime(own.map(|idle| Lifetime {
                idle: Some(idle),
                absolute: None,
            }));
            assert!(matches!(
                lasting.save_session(&mut session),
                Ok(Saved::Stored)
            ));
            for (store, other, lives) in [
                (&hourly, &lasting, Some(hour)),
                (&lasting, &hourly, None),
                (&hourly, &lasting, Some(hour)),
            ] {
                let mut used = store.load_session(session.id().unwrap()).unwrap().unwrap();
                let saved = match verb {
                    "new id" => store.regenerate_id(&mut used),
                    "change" => {
                        used.insert("idle", &lives.is_some()).unwrap();
                        store.save_session(&mut used)
                    }
                    _ => store.save_session(&mut used),
                };
                assert!(matches!(saved, Ok(Saved::Stored)), "{verb}: {saved:?}");
                let id = used.id().unwrap();
                session = other.load_session(id).unwrap().unwrap();
                let end = |it: &Session| {
                    own.or(lives)
                        .zip(it.accessed())
                        .map(|(lives, at)| at + lives)
                };
                for session in [&used, &session] {
                    assert_eq!(
                        session.expires(),
                        end(session),
                        "{verb}, {own:?}, {lives:?}"
                    );
                }
                let keys = server.keys("shelflife:");
                let key = keys.iter().find(|key| key.ends_with(id.as_str())).unwrap();
                let is_kept = server.say(&format!("PTTL {key}")).starts_with(":-1");
                assert_eq!(
                    is_kept,
                    own.or(lives).is_none(),
                    "{verb}, {own:?}, {lives:?}"
                );
            }
        }
    }
}

/// The store that reads it has other lifetimes, and notes no use yet.
#[test]
fn an_update_that_changes_nothing_tells_the_end_that_the_session_has() {
    if !is_there("an_update_that_changes_nothing_tells_the_end_that_the_session_has") {
        return;
    }
    let server = Server::start(&[]);
    let hour = SessionOptions::new()
        .idle_lifetime(Duration::from_secs(3600))
        .clone();
    let hourly = RedisOptions::new().sessions(&hour).connect(&server.url());
    let session = stored(&hourly.unwrap(), "ann");
    let other = RedisSessionStore::connect(&server.url()).unwrap();
    let updated = other.edit_session(session.id().unwrap(), &mut |_| Ok(()));
    let updated = updated.unwrap().unwrap();
    assert!(session.expires().is_some());
    assert_eq!(updated.expires(), session.expires());
}

#[test]
fn a_session_that_is_copied_to_a_server_ends_when_it_would_have_ended_where_it_came_from() {
    if !is_there(
        "a_session_that_is_copied_to_a_server_ends_when_it_would_have_ended_where_it_came_from",
    ) {
        return;
    }
    let server = Server::start(&[]);
    ends_as_it_did(&|options, name| {
        let mut redis = RedisOptions::new();
        let store = redis.sessions(options).prefix(name).connect(&server.url());
        Box::new(store.unwrap())
    });
}
