//! Where a client stops: sessions that are too large, waits, servers that never come to an end,
//! connections that nobody uses.

use super::fake::{Act, Fake, ID, SLOT, bulk, id, load, say, value};
use super::server::{Server, is_there};
use super::stored;
use crate::support::{each_at_once, fast_dir};
use shelflife::{
    ErrorKind, Existing, RedisOptions, RedisSessionStore, Saved, Session, SessionCap,
    SessionOptions, SessionStore, SessionStoreExt,
};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, OnceLock};
use std::time::{Duration, Instant, UNIX_EPOCH};

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
        "TIME" => say("*2\r\n$10\r\n1700000000\r\n$1\r\n0\r\n"),
        _ => Act::Answer(1, b":2\r\n".to_vec()),
    });
    let error = fake.store().delete_user_sessions("ann").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Busy, "{error}");
    assert!(fake.count("GET") > 3);
}

/// Each look at where it went comes a new id too late.
#[test]
fn a_session_that_gets_new_ids_faster_than_it_is_followed_is_not_taken_for_none() {
    let key = format!("shelflife:{{AAE}}{ID}");
    let found = [b"*2\r\n$1\r\n0\r\n*1\r\n", &*bulk(key.as_bytes())].concat();
    let mut moved = value("ann");
    // Version 0, and last used in the first millisecond.
    moved[..18].fill(0);
    moved[17] = 1;
    moved.splice(38.., key.into_bytes());
    let fake = Fake::start(move |words| match words[0].as_str() {
        "SCAN" => Act::Say(found.clone()),
        "GET" => Act::Say(bulk(&moved)),
        _ => say("*2\r\n$10\r\n1700000000\r\n$1\r\n0\r\n"),
    });
    let error = fake.store().delete_user_sessions("ann").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Busy, "{error}");
}

/// Else the slot's new server sends back to the old one, and so in circles.
#[test]
fn a_right_that_is_missing_while_a_slot_moves_is_told_at_once() {
    let from = Arc::new(OnceLock::new());
    let back = Arc::clone(&from);
    let to = Fake::start(move |words| match words[0].as_str() {
        "ASKING" => say("-NOPERM this user has no permissions to run the 'asking' command\r\n"),
        _ => say(&format!("-MOVED {SLOT} :{}\r\n", back.get().unwrap())),
    });
    let port = to.port;
    let fake = Fake::start(move |_| say(&format!("-ASK {SLOT} :{port}\r\n")));
    from.set(fake.port).unwrap();
    let store = fake.store();
    let ask = |verb: &str| match verb {
        "GET" => store.load_session(&id()).map(drop),
        _ => store.delete_session(&id()).map(drop),
    };
    for verb in ["GET", "EVALSHA"] {
        let error = ask(verb).unwrap_err().to_string();
        assert!(
            error.contains("rights") && error.contains("asking"),
            "{error}"
        );
        assert_eq!(to.count(verb), 1, "{verb}");
    }
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

/// Its command has another name, and no slot has been called moved yet.
#[test]
fn a_server_that_says_that_it_belongs_to_a_cluster_and_not_to_which_is_no_whole() {
    // In the words of Redis, and of Valkey.
    for mode in ["redis_mode", "server_mode"] {
        let map: Arc<OnceLock<String>> = Arc::default();
        let told = Arc::clone(&map);
        let fake = Fake::start_any(move |words| match words[0].as_str() {
            "CLUSTER" => say(told
                .get()
                .map_or("-ERR unknown command 'CLUSTER'\r\n", String::as_str)),
            "INFO" => Act::Say(bulk(format!("x:y\r\n{mode}:cluster\r\n").as_bytes())),
            "TIME" => say("*2\r\n$10\r\n1700000000\r\n$1\r\n0\r\n"),
            _ => say("*2\r\n$1\r\n0\r\n*0\r\n"),
        });
        let store = fake.store();
        for _ in 0..2 {
            let error = store.delete_user_sessions("ann").unwrap_err();
            assert!(error.to_string().contains("cluster|slots"), "{error}");
            assert!(store.iter_sessions().next().unwrap().is_err());
        }
        assert_eq!(fake.count("SCAN"), 0);
        let port = fake.port;
        let whole = format!("*1\r\n*3\r\n:0\r\n:16383\r\n*2\r\n$9\r\n127.0.0.1\r\n:{port}\r\n");
        map.set(whole).unwrap();
        assert_eq!(store.delete_user_sessions("ann").unwrap(), 0);
    }
    if !is_there("a_server_that_says_that_it_belongs_to_a_cluster_and_not_to_which_is_no_whole") {
        return;
    }
    let server = Server::start(&[
        "--cluster-enabled",
        "yes",
        "--rename-command",
        "CLUSTER",
        "C",
    ]);
    let store = RedisOptions::new().connect(&server.url()).unwrap();
    let error = store.delete_user_sessions("ann").unwrap_err();
    assert!(error.to_string().contains("cluster|slots"), "{error}");
}

/// It leaves the second server before its turn for the first one, whose turn is over.
#[test]
fn a_session_that_moves_while_a_cluster_grows_is_listed() {
    let (ports, scans): (Arc<OnceLock<[u16; 2]>>, Arc<AtomicUsize>) = Default::default();
    let key = bulk(format!("shelflife:{{AAE}}{ID}").as_bytes());
    let start = |is_first: bool| {
        let (ports, scans, key) = (Arc::clone(&ports), Arc::clone(&scans), key.clone());
        Fake::start_any(move |words| match words[0].as_str() {
            "CLUSTER" => {
                let [first, second] = *ports.get().unwrap();
                let part = |start, end, port: u16| {
                    format!("*3\r\n:{start}\r\n:{end}\r\n*2\r\n$9\r\n127.0.0.1\r\n:{port}\r\n")
                };
                say(&match scans.load(Ordering::Relaxed) {
                    0 => format!("*1\r\n{}", part(0, 16383, first)),
                    _ => format!(
                        "*2\r\n{}{}",
                        part(0, 8191, first),
                        part(8192, 16383, second)
                    ),
                })
            }
            "SCAN" if is_first && scans.fetch_add(1, Ordering::Relaxed) > 1 => {
                Act::Say([b"*2\r\n$1\r\n0\r\n*1\r\n", &*key].concat())
            }
            "SCAN" => say("*2\r\n$1\r\n0\r\n*0\r\n"),
            "GET" => Act::Say(bulk(&value("ann"))),
            "GETRANGE" => Act::Say(bulk(&value("ann")[..38])),
            _ => say("$0\r\n\r\n"),
        })
    };
    let servers = [start(true), start(false)];
    ports
        .set(servers.each_ref().map(|server| server.port))
        .unwrap();
    assert_eq!(servers[0].store().sessions_of("ann").unwrap().len(), 1);
}

/// Nobody who reads all keys for longer meets a session that got a new id, neither under that nor under the old one.
#[test]
fn a_logout_everywhere_that_takes_longer_than_a_new_id_is_known_of_does_not_say_that_none_is_left()
{
    for (secs, is_sure) in [(59, true), (60, false)] {
        let looks = AtomicUsize::new(0);
        let fake = Fake::start(move |words| match words[0].as_str() {
            "TIME" => {
                let now = 1_700_000_000 + looks.fetch_add(1, Ordering::Relaxed) * secs;
                say(&format!("*2\r\n$10\r\n{now}\r\n$1\r\n0\r\n"))
            }
            _ => say("*2\r\n$1\r\n0\r\n*0\r\n"),
        });
        let ended = fake.store().delete_user_sessions("ann");
        assert_eq!(
            ended.map_err(|error| error.kind()),
            match is_sure {
                true => Ok(0),
                false => Err(ErrorKind::Busy),
            }
        );
    }
}

/// A failover may have put one in its place that has the same number, and is another user's.
#[test]
fn a_session_of_another_write_than_was_seen_is_not_ended() {
    let key = format!("shelflife:{{AAE}}{ID}");
    let found = [b"*2\r\n$1\r\n0\r\n*1\r\n", &*bulk(key.as_bytes())].concat();
    let is_ended = AtomicBool::new(false);
    let fake = Fake::start(move |words| match words[0].as_str() {
        "SCAN" => Act::Say(found.clone()),
        "GET" if !is_ended.load(Ordering::Relaxed) => Act::Say(bulk(&value("ann"))),
        "GET" => say("$-1\r\n"),
        "TIME" => say("*2\r\n$10\r\n1700000000\r\n$1\r\n0\r\n"),
        "EVAL" => {
            is_ended.store(true, Ordering::Relaxed);
            Act::Answer(1, b":1\r\n".to_vec())
        }
        _ => say("-NOSCRIPT No matching script.\r\n"),
    });
    assert_eq!(fake.store().delete_user_sessions("ann").unwrap(), 1);
    let asked = fake.asked.lock().unwrap();
    let words = asked.iter().find(|words| words[0] == "EVAL").unwrap();
    assert_eq!(words[4..7], ["1", "somemark", "-1"]);
    if !is_there("a_session_of_another_write_than_was_seen_is_not_ended") {
        return;
    }
    let server = Server::start(&[]);
    for (mark, answer) in [("othermark", ":2"), ("somemark", ":1")] {
        server.ask(&[b"SET", key.as_bytes(), &value("bob")]);
        let mut words: Vec<_> = words.iter().map(String::as_bytes).collect();
        words[5] = mark.as_bytes();
        let said = server.ask(&words);
        assert!(said.starts_with(answer), "{mark}: {said}");
    }
}

/// They may be shorter than those of the store that stored it.
#[test]
fn a_session_that_is_over_by_the_lifetimes_of_the_store_that_saves_it_is_gone_as_in_a_file() {
    let name =
        "a_session_that_is_over_by_the_lifetimes_of_the_store_that_saves_it_is_gone_as_in_a_file";
    if !is_there(name) {
        return;
    }
    let (dir, server) = (fast_dir(), Server::start(&[]));
    let file = |options: &SessionOptions| -> Box<dyn SessionStore> {
        Box::new(options.open(dir.path().join("file")).unwrap())
    };
    let redis = |options: &SessionOptions| -> Box<dyn SessionStore> {
        let mut redis = RedisOptions::new();
        Box::new(redis.sessions(options).connect(&server.url()).unwrap())
    };
    let moment = Duration::from_millis(1);
    let mut short = SessionOptions::new();
    short
        .absolute_lifetime(moment)
        .access_resolution(Duration::ZERO);
    let options = [SessionOptions::new(), short];
    let stores = options
        .each_ref()
        .map(|options| [file(options), redis(options)]);
    let [before, now] = stores;
    for (before, now) in before.iter().zip(&now) {
        let mut sessions = [(); 6].map(|()| stored(&**before, "ann"));
        let last = sessions[5].created().unwrap() + moment;
        while now.now() < last {}
        for session in &mut sessions[..2] {
            session.insert("late", &1u64).unwrap();
        }
        let [changed, renewed, moved, used, touched, updated] = &mut sessions;
        let answers = [
            now.save_session(changed),
            now.regenerate_id(renewed),
            now.regenerate_id(moved),
            now.save_session(used),
        ];
        for (nth, answer) in answers.into_iter().enumerate() {
            assert!(matches!(answer, Ok(Saved::Gone)), "{nth}: {answer:?}");
        }
        assert!(!now.touch_session(touched.id().unwrap()).unwrap());
        let updated = now.update_session(updated.id().unwrap(), |it| it.insert("late", &1u64));
        assert_eq!(updated.unwrap(), None);
    }
}

#[test]
fn a_server_that_cannot_write_to_its_disk_is_told_as_that_and_still_shows_sessions() {
    let name = "a_server_that_cannot_write_to_its_disk_is_told_as_that_and_still_shows_sessions";
    if !is_there(name) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&["--dir", folder.path().to_str().unwrap()]);
    let mut options = RedisOptions::new();
    let each_use = SessionOptions::new()
        .access_resolution(Duration::ZERO)
        .clone();
    let store = options.sessions(&each_use).connect(&server.url()).unwrap();
    let mut session = stored(&store, "ann");
    folder.close().unwrap();
    server.ask(&[b"CONFIG", b"SET", b"save", b"3600 1"]);
    let until = Instant::now() + Duration::from_secs(60);
    while !server
        .say("INFO persistence")
        .contains("rdb_last_bgsave_status:err")
    {
        assert!(Instant::now() < until);
        server.say("BGSAVE");
    }
    let mut new = Session::new();
    new.set_user(Some("bob"));
    let error = store.save_session(&mut new).unwrap_err();
    assert!(
        error.to_string().contains("can't write to its disk"),
        "{error}"
    );
    assert!(store.touch_session(session.id().unwrap()).unwrap());
    assert!(matches!(
        store.save_session(&mut session),
        Ok(Saved::Stored)
    ));
}

#[test]
fn a_list_of_what_is_no_server_of_sessions_is_an_error_and_not_empty() {
    let fake = Fake::start(|_| say("HTTP/1.1 503 Service Unavailable\r\n"));
    let error = fake.store().sessions_of("ann").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io, "{error}");
}

#[test]
fn what_is_no_session_under_the_key_of_one_counts_as_there_and_can_be_removed() {
    let name = "what_is_no_session_under_the_key_of_one_counts_as_there_and_can_be_removed";
    if !is_there(name) {
        return;
    }
    let server = Server::start(&[]);
    let store = RedisSessionStore::connect(&server.url()).unwrap();
    for (command, answer) in [("SET", "+OK"), ("RPUSH", ":1")] {
        let put = server.say(&format!("{command} shelflife:{{{}}}{ID} theirs", &ID[..3]));
        assert_eq!(put.trim(), answer);
        let error = store.setup(Existing::Fail).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AlreadyExists, "{command}");
        store.setup(Existing::Overwrite).unwrap();
        assert_eq!(server.keys("shelflife:"), [""; 0], "{command}");
    }
}

#[test]
fn a_refusal_that_no_wait_mends_says_what_does() {
    let refusals = [
        (
            "READONLY You can't write against a read only replica.",
            "to the primary",
        ),
        ("MASTERDOWN Link with MASTER is down.", "to the primary"),
        (
            "NOREPLICAS Not enough good replicas to write.",
            "`min-replicas-to-write`",
        ),
        ("BUSY Redis is busy running a script.", "`SCRIPT KILL`"),
        ("CLUSTERDOWN Hash slot not served", "`CLUSTER INFO`"),
        (
            "LOADING Redis is loading the dataset in memory",
            "try again later",
        ),
        (
            "MISCONF Errors writing to the AOF file: No space left on device",
            "its log",
        ),
        (
            "ERR Protocol error: unauthenticated multibulk length",
            "the password",
        ),
    ];
    each_at_once(refusals, |(refusal, advice)| {
        let fake = Fake::start(move |_| say(&format!("-{refusal}\r\n")));
        let error = load(&fake.store()).unwrap_err().to_string();
        assert!(error.contains(advice), "{error}");
    });
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

/// The clock of the server was ahead when it was noted, or that of the store that the session was copied from.
#[test]
fn a_last_use_that_lies_ahead_is_noted_anew() {
    if !is_there("a_last_use_that_lies_ahead_is_noted_anew") {
        return;
    }
    let server = Server::start(&[]);
    let store = RedisSessionStore::connect(&server.url()).unwrap();
    let hour = Duration::from_secs(3600);
    let ahead = store.now().duration_since(UNIX_EPOCH).unwrap() + hour;
    let ahead = (ahead.as_millis() as u64).to_be_bytes();
    let mut stored = value("ann");
    for times in [6, 12] {
        stored[times..times + 6].copy_from_slice(&ahead[2..]);
    }
    for way in 0..3 {
        server.say("FLUSHALL");
        server.ask(&[b"SET", format!("shelflife:{{AAE}}{ID}").as_bytes(), &stored]);
        let mut session = store.load_session(&id()).unwrap().unwrap();
        assert!(session.accessed().unwrap() > store.now());
        session.insert("n", &1u64).unwrap();
        let used = match way {
            0 => store.touch_session(&id()).unwrap(),
            1 => matches!(store.save_session(&mut session), Ok(Saved::Stored)),
            _ => matches!(store.regenerate_id(&mut session), Ok(Saved::Stored)),
        };
        assert!(used, "way {way}");
        let [session] = &store.sessions_of("ann").unwrap()[..] else {
            panic!("way {way}");
        };
        for time in [session.created(), session.accessed()] {
            assert!(time.unwrap() <= store.now(), "way {way}: {session:?}");
        }
    }
}

/// It was used between the look and the end.
#[test]
fn a_session_that_is_used_while_it_is_swept_stays() {
    if !is_there("a_session_that_is_used_while_it_is_swept_stays") {
        return;
    }
    let key = format!("shelflife:{{AAE}}{ID}");
    let found = [b"*2\r\n$1\r\n0\r\n*1\r\n", &*bulk(key.as_bytes())].concat();
    let fake = Fake::start(move |words| match words[0].as_str() {
        "SCAN" => Act::Say(found.clone()),
        "GETRANGE" => Act::Say(bulk(&value("ann")[..38])),
        "TIME" => say("*2\r\n$10\r\n1700000000\r\n$1\r\n0\r\n"),
        "EVAL" => Act::Answer(1, b":1\r\n".to_vec()),
        _ => say("-NOSCRIPT No matching script.\r\n"),
    });
    let swept = fake.store().delete_old_sessions(Duration::ZERO);
    assert_eq!(swept.unwrap(), (1, 0));
    let asked = fake.asked.lock().unwrap();
    let words = asked.iter().find(|words| words[0] == "EVAL").unwrap();
    let words: Vec<_> = words.iter().map(String::as_bytes).collect();
    let server = Server::start(&[]);
    let mut used = value("ann");
    used[17] ^= 1;
    for (stored, answer) in [(used, ":2"), (value("ann"), ":1")] {
        server.ask(&[b"SET", key.as_bytes(), &stored]);
        let said = server.ask(&words);
        assert!(said.starts_with(answer), "{answer}: {said}");
    }
}

#[test]
fn a_new_id_that_another_session_has_takes_nothing_from_it() {
    if !is_there("a_new_id_that_another_session_has_takes_nothing_from_it") {
        return;
    }
    let fake = Fake::start(|words| match words[0].as_str() {
        "GET" => Act::Say(bulk(&value("ann"))),
        "EVAL" => Act::Answer(2, [b":1\r\n".to_vec(), bulk(&value("ann"))].concat()),
        _ => say("-NOSCRIPT No matching script.\r\n"),
    });
    let store = fake.store();
    let mut session = store.load_session(&id()).unwrap().unwrap();
    let renewed = store.regenerate_id(&mut session);
    assert!(matches!(renewed, Ok(Saved::Stored)), "{renewed:?}");
    let asked = fake.asked.lock().unwrap();
    let words = asked.iter().find(|words| words[0] == "EVAL").unwrap();
    let mut words: Vec<_> = words.iter().map(String::as_bytes).collect();
    // The bytes that are no text: contents and mark.
    let (ann, bob) = (value("ann"), value("bob"));
    let [.., contents, mark] = &mut words[..] else {
        panic!("{words:?}");
    };
    (*contents, *mark) = (&ann[38..], b"another.");
    let server = Server::start(&[]);
    for (key, stored) in [(words[3], &ann), (words[4], &bob)] {
        server.ask(&[b"SET", key, stored]);
    }
    assert!(server.ask(&words).starts_with(":3"));
    let store = RedisSessionStore::connect(&server.url()).unwrap();
    for (id, user) in [(id(), "ann"), (session.id().unwrap().clone(), "bob")] {
        let loaded = store.load_session(&id).unwrap();
        assert_eq!(loaded.unwrap().user(), Some(user));
    }
}

#[test]
fn a_server_without_a_connection_left_is_waited_for() {
    let full = || Act::Last(b"-ERR max number of clients reached\r\n".to_vec());
    each_at_once(["GET", "EVALSHA"], |verb| {
        let ask = |store: &RedisSessionStore| match verb {
            "GET" => store.load_session(&id()).map(|session| session.is_some()),
            _ => store.delete_session(&id()),
        };
        let times = AtomicUsize::new(0);
        let fake = Fake::start(move |_| match times.fetch_add(1, Ordering::Relaxed) {
            0..3 => full(),
            _ if verb == "GET" => Act::Say(bulk(&value("ann"))),
            _ => Act::Answer(1, b":1\r\n".to_vec()),
        });
        assert!(ask(&fake.store()).unwrap(), "{verb}");
    });
}
