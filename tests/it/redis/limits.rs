//! Where a client stops: sessions that are too large, waits, servers that never come to an end,
//! connections that nobody uses.

use super::fake::{Act, Fake, ID, SLOT, bulk, id, load, say, value};
use shelflife::{ErrorKind, RedisOptions, Session, SessionCap, SessionOptions, SessionStore};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::time::Duration;

#[test]
fn a_session_that_is_too_large_is_refused_with_the_limit_that_holds_and_what_raises_it() {
    let fake = Fake::start(|_| Act::Stall(Vec::new()));
    let url = format!("redis://127.0.0.1:{}", fake.port);
    for (own, limit, advice) in [
        (1 << 20, 1 << 20, "raise `session_bytes_max`"),
        (64 << 20, 16 << 20, "a larger one is never sent"),
    ] {
        let sessions = SessionOptions::new().session_bytes_max(own).clone();
        let store = RedisOptions::new().sessions(&sessions).connect(&url);
        let mut session = Session::new();
        session.insert("text", &"x".repeat(limit)).unwrap();
        let error = store.unwrap().save_session(&mut session).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TooLarge);
        let told = error.to_string();
        let limit = format!("this client's limit of {limit}");
        assert!(told.contains(&limit) && told.contains(advice), "{told}");
    }
}

#[test]
fn a_client_without_a_deadline_that_dies_holds_up_its_user_for_minutes_and_not_for_ever() {
    let fake = Fake::start(|_| say("-ERR no\r\n"));
    let url = format!("redis://127.0.0.1:{}", fake.port);
    let store = RedisOptions::new().timeout(Duration::MAX).connect(&url);
    let mut session = Session::new();
    session.set_user(Some("ann"));
    let login = (store.unwrap()).regenerate_id_capped(&mut session, SessionCap::Refuse(9));
    assert_eq!(login.unwrap_err().kind(), ErrorKind::Io);
    let asked = fake.asked.lock().unwrap();
    let turn = asked.iter().find(|words| words[0] == "EVALSHA").unwrap();
    assert!(turn[3].contains("turn:"), "{turn:?}");
    let lasts = Duration::from_millis(turn[5].parse().unwrap());
    // Four timeouts, of which none is longer than a server knows what it has ended.
    assert!(lasts <= 4 * Duration::from_secs(60), "{lasts:?}");
}

#[test]
fn the_end_of_a_session_that_changes_before_each_try_is_given_up_at_the_deadline() {
    let key = format!("shelflife:{{AAE}}{ID}");
    let found = [b"*2\r\n$1\r\n0\r\n*1\r\n", &*bulk(key.as_bytes())].concat();
    let looks = AtomicUsize::new(0);
    let fake = Fake::start(move |words| match words[0].as_str() {
        "SCAN" => Act::Say(found.clone()),
        // A client that has no deadline comes this far.
        "GET" if looks.fetch_add(1, Ordering::Relaxed) > 1000 => say("-ERR enough\r\n"),
        "GET" => Act::Say(bulk(&value("ann"))),
        _ => Act::Answer(1, b":2\r\n".to_vec()),
    });
    let error = fake.store().delete_user_sessions("ann").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Busy, "{error}");
    assert!(fake.count("GET") > 3);
}

/// The server hangs up behind that, before it has read a command.
#[test]
fn a_server_that_lets_nobody_in_without_a_password_says_so() {
    let denied = "-DENIED Redis is running in protected mode because no password is set.\r\n";
    let fake = Fake::start_any(move |_| Act::Last(denied.as_bytes().to_vec()));
    let url = format!("redis://127.0.0.1:{}", fake.port);
    let error = RedisOptions::new().connect(&url).unwrap_err();
    assert!(error.to_string().contains("protected mode"), "{error}");
}

/// The second run goes through its keys in another order: the cursor of the first leads to the end at once.
#[test]
fn a_list_of_a_server_that_is_started_anew_meanwhile_is_whole() {
    let pages = AtomicUsize::new(0);
    let key = bulk(format!("shelflife:{{AAE}}{ID}").as_bytes());
    let runs = Arc::new(AtomicUsize::new(0));
    let fake = Fake::start_any(move |words| match words[0].as_str() {
        "INFO" => {
            let run = runs.load(Ordering::Relaxed);
            Act::Say(bulk(format!("# Server\r\nrun_id:{run}\r\nx:y").as_bytes()))
        }
        "SCAN" => match pages.fetch_add(1, Ordering::Relaxed) {
            0 => say("*2\r\n$1\r\n7\r\n*0\r\n"),
            1 => {
                runs.fetch_add(1, Ordering::Relaxed);
                say("*2\r\n$1\r\n0\r\n*0\r\n")
            }
            _ => Act::Say([b"*2\r\n$1\r\n0\r\n*1\r\n", &*key].concat()),
        },
        "GET" => Act::Say(bulk(&value("ann"))),
        "GETRANGE" => Act::Say(bulk(&value("ann")[..38])),
        _ => say("-ERR This instance has cluster support disabled\r\n"),
    });
    assert_eq!(fake.store().sessions_of("ann").unwrap().len(), 1);
}

/// A caller may try again what is busy, and would do this twice.
#[test]
fn a_change_that_may_have_been_made_is_never_called_busy() {
    for then in [
        "-LOADING Redis is loading the dataset in memory\r\n",
        "-ERR max number of clients reached\r\n",
    ] {
        let times = AtomicUsize::new(0);
        let fake = Fake::start(move |_| match times.fetch_add(1, Ordering::Relaxed) {
            0 => Act::Last(Vec::new()),
            _ => say(then),
        });
        let mut session = Session::new();
        session.insert("n", &1u64).unwrap();
        let error = fake.store().save_session(&mut session).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Io, "{error}");
        assert!(error.to_string().contains("outcome is unknown"), "{error}");
    }
}

#[test]
fn servers_that_do_not_agree_yet_where_a_slot_went_are_asked_until_they_do() {
    let port = Arc::new(AtomicUsize::new(0));
    let (other, asked) = (Arc::clone(&port), AtomicUsize::new(0));
    let fake = Fake::start(move |_| match asked.fetch_add(1, Ordering::Relaxed) {
        20.. => Act::Say(bulk(&value("ann"))),
        _ => say(&format!(
            "-MOVED {SLOT} 127.0.0.1:{}\r\n",
            other.load(Ordering::Relaxed)
        )),
    });
    port.store(usize::from(fake.port), Ordering::Relaxed);
    assert_eq!(load(&fake.store()).unwrap().as_deref(), Some("ann"));
}

/// A cluster that nobody may ask for its map says of each slot alone where it is.
#[test]
fn a_server_that_had_a_slot_and_died_is_not_asked_for_ever_where_no_server_tells_the_map() {
    let is_dead = Arc::new(AtomicBool::new(false));
    let (died, known) = (Arc::clone(&is_dead), Arc::clone(&is_dead));
    let old = Fake::start(move |_| match died.load(Ordering::Relaxed) {
        true => Act::Last(Vec::new()),
        false => Act::Say(bulk(&value("ann"))),
    });
    let new = Fake::start(|_| Act::Say(bulk(&value("bob"))));
    let (old_port, new_port) = (old.port, new.port);
    let first = Fake::start(move |_| {
        let port = match known.load(Ordering::Relaxed) {
            true => new_port,
            false => old_port,
        };
        say(&format!("-MOVED {SLOT} 127.0.0.1:{port}\r\n"))
    });
    let store = first.store();
    assert_eq!(load(&store).unwrap().as_deref(), Some("ann"));
    is_dead.store(true, Ordering::Relaxed);
    assert_eq!(load(&store).unwrap().as_deref(), Some("bob"));
    assert!(store.load_session(&id()).unwrap().is_some());
    // And no list of a part passes for the whole.
    assert!(store.sessions_of("bob").is_err());
}

#[test]
fn a_server_that_is_silent_once_is_asked_again_although_the_first_one_is_gone_for_good() {
    let (is_gone, falls_silent) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicBool::new(false)),
    );
    let (gone, once) = (Arc::clone(&is_gone), Arc::clone(&falls_silent));
    let other = Fake::start(move |_| match once.swap(false, Ordering::Relaxed) {
        true => Act::Last(Vec::new()),
        false => Act::Say(bulk(&value("ann"))),
    });
    let port = other.port;
    let first = Fake::start(move |_| match gone.load(Ordering::Relaxed) {
        true => Act::Last(Vec::new()),
        false => say(&format!("-MOVED {SLOT} 127.0.0.1:{port}\r\n")),
    });
    let store = first.store();
    assert_eq!(load(&store).unwrap().as_deref(), Some("ann"));
    is_gone.store(true, Ordering::Relaxed);
    falls_silent.store(true, Ordering::Relaxed);
    assert_eq!(load(&store).unwrap().as_deref(), Some("ann"));
    assert!(first.count("GET") > 1, "it was asked in vain");
}

#[test]
fn calls_use_the_connections_of_those_before_and_sixteen_are_kept() {
    const THREADS: usize = 20;
    let all = Barrier::new(THREADS);
    let fake = Fake::start(move |words| {
        if words[0] == "GET" {
            all.wait();
        }
        Act::Say(bulk(&value("ann")))
    });
    let url = format!("redis://127.0.0.1:{}", fake.port);
    // All twenty wait for the last one, however late that comes.
    let store = RedisOptions::new()
        .timeout(Duration::from_secs(60))
        .connect(&url);
    let store = store.unwrap();
    for connections in [THREADS, THREADS + 4] {
        std::thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| store.load_session(&id()).unwrap());
            }
        });
        assert_eq!(fake.connections.load(Ordering::Relaxed), connections);
    }
}
