//! Threads and processes that change one session at once.

use super::fake::{Act, Fake, ID, bulk, id, say, value};
use super::server::{Server, is_there, shared_cluster};
use super::{counter, stored};
use crate::session::updates::refuses_to_write_inside_an_update;
use crate::support::{is_soak, metric};
use shelflife::{
    ErrorKind, RedisOptions, RedisSessionStore, Saved, Session, SessionCap, SessionId,
    SessionStore, SessionStoreExt,
};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// The task of a child process: the server, the session, how many updates each thread makes.
const TASK: &str = "SHELF_REDIS_TASK";
const THREADS: usize = 8;

/// The child process's side; in an ordinary run it has nothing to do.
#[test]
fn child_process() {
    let Ok(task) = std::env::var(TASK) else {
        return;
    };
    let words: Vec<&str> = task.split(' ').collect();
    let [url, id, updates] = words.as_slice() else {
        panic!("{task}");
    };
    work(url, &id.parse().unwrap(), updates.parse().unwrap());
}

fn work(url: &str, id: &SessionId, updates: usize) {
    // Sixteen at once can keep one of them waiting for a while on a busy machine.
    let store = RedisOptions::new()
        .timeout(Duration::from_secs(60))
        .connect(url)
        .unwrap();
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                for _ in 0..updates {
                    store
                        .update_session(id, |session| counter(session, "n"))
                        .unwrap()
                        .unwrap();
                }
            });
        }
    });
}

fn child(url: &str, id: &SessionId, updates: usize) -> Child {
    let (_, this) = module_path!().split_once("::").unwrap();
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", &format!("{this}::child_process")])
        .env(TASK, format!("{url} {} {updates}", id.as_str()))
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

#[test]
fn no_update_of_sixteen_threads_in_two_processes_is_lost() {
    if !is_there("no_update_of_sixteen_threads_in_two_processes_is_lost") {
        return;
    }
    let begun = Instant::now();
    let server = Server::start(&[]);
    let store = RedisSessionStore::connect(&server.url()).unwrap();
    let session = stored(&store, "ann");
    let id = session.id().unwrap();
    let updates = if is_soak() { 10_000 / 2 / THREADS } else { 25 };
    let children: Vec<_> = (0..2).map(|_| child(&server.url(), id, updates)).collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    let all = (2 * THREADS * updates) as u64;
    let end = store.load_session(id).unwrap().unwrap();
    assert_eq!(end.get::<u64>("n").unwrap(), Some(all));
    assert_eq!(end.version(), all + 1, "each was stored once");
    metric(
        "redis_updates_of_one_session",
        all,
        None,
        begun.elapsed().as_secs_f64(),
    );
}

#[test]
fn a_write_inside_an_update_of_the_same_store_is_refused() {
    if !is_there("a_write_inside_an_update_of_the_same_store_is_refused") {
        return;
    }
    let server = Server::start(&[]);
    let store = RedisSessionStore::connect(&server.url()).unwrap();
    let other = RedisSessionStore::connect(&server.url()).unwrap();
    refuses_to_write_inside_an_update(&store);
    let session = stored(&store, "ann");
    let id = session.id().unwrap();
    let updated = store.update_session(id, |session| {
        assert!(other.touch_session(id)?, "another store is none of it");
        counter(session, "n")?;
        let mut read = store.load_session(id)?.expect("reading is allowed");
        let quiet = store.save_session(&mut read).unwrap_err();
        assert_eq!(quiet.kind(), ErrorKind::Reentrant);
        store.touch_session(id)
    });
    assert_eq!(updated.unwrap_err().kind(), ErrorKind::Reentrant);
    let panicked = std::panic::catch_unwind(|| {
        store.update_session(id, |_| -> shelflife::Result<()> { panic!("on purpose") })
    });
    assert!(panicked.is_err());
    assert_eq!(store.load_session(id).unwrap().unwrap().version(), 1);
    assert!(store.delete_session(id).unwrap(), "the update is over");
}

#[test]
fn logins_at_once_never_pass_the_cap_together() {
    if !is_there("logins_at_once_never_pass_the_cap_together") {
        return;
    }
    let server = Server::start(&[]);
    for url in [server.url(), shared_cluster().url()] {
        // Two machines.
        let mut options = RedisOptions::new();
        options.prefix("capped:");
        let stores = [(); 2].map(|()| options.connect(&url).unwrap());
        for (user, cap) in [
            ("ann", SessionCap::Refuse(3)),
            ("bob", SessionCap::EndOldest(3)),
        ] {
            let outcomes = std::thread::scope(|scope| {
                let logins: Vec<_> = (0..THREADS)
                    .map(|nth| {
                        let store = &stores[nth % 2];
                        scope.spawn(move || {
                            let mut session = Session::new();
                            session.set_user(Some(user));
                            let saved = store.regenerate_id_capped(&mut session, cap).unwrap();
                            (saved, session.displaced().len())
                        })
                    })
                    .collect();
                let logins = logins.into_iter();
                let done: Vec<_> = logins.map(|login| login.join().unwrap()).collect();
                done
            });
            let stored = |it: &&(Saved, usize)| matches!(it.0, Saved::Stored);
            let full = |it: &&(Saved, usize)| matches!(it.0, Saved::Full);
            let counts = (
                outcomes.iter().filter(stored).count(),
                outcomes.iter().filter(full).count(),
            );
            let expected = match cap {
                SessionCap::Refuse(_) => (3, THREADS - 3),
                _ => (THREADS, 0),
            };
            assert_eq!(counts, expected, "{url} {cap:?}");
            assert_eq!(
                stores[0].sessions_of(user).unwrap().len(),
                3,
                "{url} {cap:?}"
            );
            let displaced: usize = outcomes.iter().map(|(_, displaced)| displaced).sum();
            assert_eq!(displaced, counts.0 - 3);
        }
    }
    // Six sessions, what is left of five that were displaced, and nothing of the turns.
    assert_eq!(server.say("DBSIZE").trim(), ":11");
}

/// Also where the cap is younger than the sessions.
#[test]
fn a_login_under_a_cap_finds_all_that_it_displaces_in_one_look() {
    if !is_there("a_login_under_a_cap_finds_all_that_it_displaces_in_one_look") {
        return;
    }
    let server = Server::start(&[]);
    let store = RedisSessionStore::connect(&server.url()).unwrap();
    (0..40).for_each(|_| drop(stored(&store, "ann")));
    stored(&store, "bob");
    assert_eq!(server.say("CONFIG RESETSTAT").trim(), "+OK");
    let mut session = Session::new();
    session.set_user(Some("ann"));
    let saved = store.regenerate_id_capped(&mut session, SessionCap::EndOldest(3));
    assert!(matches!(saved, Ok(Saved::Stored)), "{saved:?}");
    // One to count them, one to end them, and one that finds none.
    let stats = server.say("INFO commandstats");
    assert!(stats.contains("cmdstat_scan:calls=3,"), "{stats}");
    assert_eq!(session.displaced().len(), 38);
    let left = store.sessions_of("ann").unwrap();
    let left: Vec<_> = left.iter().filter_map(Session::handle).collect();
    let is_displaced = |handle| session.displaced().contains(handle);
    assert!(left.len() == 3 && !left.iter().any(is_displaced));
    assert_eq!(store.sessions_of("bob").unwrap().len(), 1);
}

#[test]
fn a_login_under_a_cap_stands_where_its_server_fails_behind_it_and_tells_whom_it_ended() {
    let ids = [ID, "AAECAwQFBgcICQoLDA0ODQ"];
    let keys = ids.map(|id| format!("shelflife:{{AAE}}{id}"));
    let (first, listed) = (
        keys[0].clone(),
        keys.map(|key| bulk(key.as_bytes())).concat(),
    );
    let fake = Fake::start(move |words| match words[0].as_str() {
        "SCAN" => Act::Say([b"*2\r\n$1\r\n0\r\n*2\r\n", &*listed].concat()),
        "GETRANGE" => Act::Say(bulk(&value("ann")[..38])),
        "GET" => Act::Say(bulk(&value("ann"))),
        "TIME" => say("*2\r\n$10\r\n1700000000\r\n$1\r\n0\r\n"),
        // A turn, and a session that is new.
        "EVALSHA" if words[3].contains("turn:") => Act::Answer(1, b":1\r\n".to_vec()),
        "EVALSHA" if words[4] != "1" => Act::Answer(3, b":1\r\n:1\r\n:1\r\n".to_vec()),
        "EVALSHA" if words[3] == first => Act::Answer(1, b":1\r\n".to_vec()),
        _ => say("-ERR no\r\n"),
    });
    let mut session = Session::new();
    session.set_user(Some("ann"));
    let saved = (fake.store()).regenerate_id_capped(&mut session, SessionCap::EndOldest(1));
    assert!(matches!(saved, Ok(Saved::Stored)), "{saved:?}");
    assert_eq!(session.displaced(), [id().handle()]);
}

#[test]
fn a_session_that_has_another_id_when_a_user_is_logged_out_everywhere_is_ended_under_that() {
    let [old, new] = [ID, "AAECAwQFBgcICQoLDA0ODQ"].map(|id| format!("shelflife:{{AAE}}{id}"));
    let mut moved: Vec<u8> = [0_u64, 1_700_000_000_000, 1, 0, 0]
        .iter()
        .flat_map(|number| number.to_be_bytes()[2..].to_vec())
        .collect();
    moved.extend_from_slice(b"somemark");
    moved.extend_from_slice(new.as_bytes());
    let found = [b"*2\r\n$1\r\n0\r\n*1\r\n", &*bulk(old.as_bytes())].concat();
    let is_ended = AtomicBool::new(false);
    let fake = Fake::start(move |words| match words[0].as_str() {
        "SCAN" => Act::Say(found.clone()),
        "GET" if words[1] == old => Act::Say(bulk(&moved)),
        "GET" if !is_ended.load(Ordering::Relaxed) => Act::Say(bulk(&value("ann"))),
        "GET" => say("$-1\r\n"),
        "TIME" => say("*2\r\n$10\r\n1700000000\r\n$1\r\n0\r\n"),
        "EVALSHA" if words[3] == new => {
            is_ended.store(true, Ordering::Relaxed);
            Act::Answer(1, b":1\r\n".to_vec())
        }
        _ => say("-ERR no\r\n"),
    });
    assert_eq!(fake.store().delete_user_sessions("ann").unwrap(), 1);
}

#[test]
fn a_turn_that_its_holder_died_with_is_waited_for_and_then_over() {
    if !is_there("a_turn_that_its_holder_died_with_is_waited_for_and_then_over") {
        return;
    }
    let server = Server::start(&[]);
    let log_in = |timeout| {
        let mut options = RedisOptions::new();
        let store = options.timeout(timeout).connect(&server.url()).unwrap();
        let mut session = Session::new();
        session.set_user(Some("ann"));
        store.regenerate_id_capped(&mut session, SessionCap::Refuse(9))
    };
    // printf ann | sha256sum
    let hash = "49915e0d7d4b402e3017d010bc1c0e83";
    let turn = format!("shelflife:{{499}}turn:{hash}");
    assert_eq!(
        server.say(&format!("SET {turn} somebody PX 60000")).trim(),
        "+OK"
    );
    let error = log_in(Duration::from_millis(200)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Busy, "{error}");
    assert_eq!(server.say(&format!("PEXPIRE {turn} 100")).trim(), ":1");
    assert!(matches!(log_in(Duration::from_secs(60)), Ok(Saved::Stored)));
    assert_eq!(
        server.say(&format!("EXISTS {turn}")).trim(),
        ":0",
        "it gave its own back"
    );
    let without_end = log_in(Duration::MAX);
    assert!(matches!(without_end, Ok(Saved::Stored)), "{without_end:?}");
}

/// One that lost it, since counting took too long, neither stores by it nor takes it from the next.
#[test]
fn a_turn_is_renewed_and_given_back_by_its_holder_alone() {
    if !is_there("a_turn_is_renewed_and_given_back_by_its_holder_alone") {
        return;
    }
    let fake = Fake::start(|words| match words[0].as_str() {
        "EVALSHA" => say("-NOSCRIPT No matching script.\r\n"),
        "EVAL" if words[3].contains("turn:") => Act::Answer(1, b":1\r\n".to_vec()),
        "EVAL" => Act::Answer(3, b":1\r\n:1\r\n:1\r\n".to_vec()),
        "TIME" => say("*2\r\n$10\r\n1700000000\r\n$1\r\n0\r\n"),
        _ => say("*2\r\n$1\r\n0\r\n*0\r\n"),
    });
    let mut session = Session::new();
    session.set_user(Some("ann"));
    let saved = (fake.store()).regenerate_id_capped(&mut session, SessionCap::Refuse(9));
    assert!(matches!(saved, Ok(Saved::Stored)), "{saved:?}");
    let asked = fake.asked.lock().unwrap();
    let of_turn = |words: &&Vec<String>| words[0] == "EVAL" && words[3].contains("turn:");
    let asked: Vec<_> = asked.iter().filter(of_turn).collect();
    let [taken, renewed, over] = asked[..] else {
        panic!("{asked:?}");
    };
    let server = Server::start(&[]);
    for (words, before, answer, after) in [
        (taken, "", ":1", "mine"),
        (taken, "another", ":0", "another"),
        (renewed, "mine", ":1", "mine"),
        (renewed, "another", ":0", "another"),
        (renewed, "", ":0", "$-1"),
        (over, "another", ":1", "another"),
        (over, "mine", ":1", "$-1"),
    ] {
        server.say(&match before {
            "" => format!("DEL {}", words[3]),
            _ => format!("SET {} {before}", words[3]),
        });
        let mut words: Vec<_> = words.iter().map(String::as_bytes).collect();
        words[4] = b"mine";
        let said = server.ask(&words);
        assert!(said.starts_with(answer), "{before}, {answer}: {said}");
        let left = server.ask(&[b"GET", words[3]]);
        assert_eq!(left.trim(), after, "{before}, {answer}");
    }
}

#[test]
fn scripts_are_sent_once_and_known_by_their_hash_from_then_on() {
    if !is_there("scripts_are_sent_once_and_known_by_their_hash_from_then_on") {
        return;
    }
    let server = Server::start(&[]);
    let store = RedisSessionStore::connect(&server.url()).unwrap();
    super::single::live(&store);
    let calls = |name: &str| -> u64 {
        let info = server.say("INFO commandstats");
        let line = info
            .lines()
            .find(|line| line.starts_with(&format!("cmdstat_{name}:")));
        let calls = line.and_then(|line| line.split(['=', ',']).nth(1));
        calls.map_or(0, |calls| calls.parse().unwrap())
    };
    let whole = calls("eval");
    assert!((1..10).contains(&whole), "{whole}");
    super::single::live(&store);
    assert_eq!(calls("eval"), whole);
    assert!(calls("evalsha") > whole);
    // A server that lost them gets them again.
    assert_eq!(server.say("SCRIPT FLUSH").trim(), "+OK");
    super::single::live(&store);
    assert_eq!(calls("eval"), 2 * whole);
}
