//! Sessions whose connections are cut at any byte, whose server forgets what it had answered, or that are in the hands of
//! something in between that does not behave.

use super::fake::{Act, Fake, ID, SLOT, TIMEOUT, bulk, id, load, say, value};
use super::proxy::read_all;
use super::server::{Server, is_there};
use super::{counter, stored};
use crate::support::{each_at_once, is_soak};
use shelflife::{
    ErrorKind, RedisOptions, RedisSessionStore, Saved, Session, SessionStore, SessionStoreExt,
};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// A way to a server on which one connection is cut at one byte.
struct Cutter {
    port: u16,
    cut: Arc<Mutex<Option<Cut>>>,
    /// The length of what was cut last.
    length: Arc<AtomicUsize>,
    over: Arc<AtomicBool>,
    accepting: Option<JoinHandle<()>>,
}

#[derive(Clone, Copy, Debug)]
struct Cut {
    /// The number of requests that pass before.
    after: usize,
    /// Of the request, or else of the answer to it.
    is_request: bool,
    /// The number of bytes of it that come through.
    at: usize,
}

impl Cutter {
    fn start(to: u16) -> Cutter {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (cut, over): (Arc<Mutex<Option<Cut>>>, Arc<AtomicBool>) = Default::default();
        let length = Arc::new(AtomicUsize::new(0));
        let (its, is_over, its_length) = (cut.clone(), over.clone(), length.clone());
        let accepting = std::thread::spawn(move || {
            for client in listener.incoming() {
                if is_over.load(Ordering::Relaxed) {
                    return;
                }
                let (its, length) = (its.clone(), its_length.clone());
                std::thread::spawn(move || {
                    let client = client.unwrap();
                    let server = TcpStream::connect(("127.0.0.1", to)).unwrap();
                    let _ = Cutter::forward(&client, &server, &its, &length);
                    let _ = client.shutdown(Shutdown::Both);
                });
            }
        });
        Cutter {
            port,
            cut,
            length,
            over,
            accepting: Some(accepting),
        }
    }

    fn forward(
        mut client: &TcpStream,
        mut server: &TcpStream,
        cut: &Mutex<Option<Cut>>,
        length: &AtomicUsize,
    ) -> std::io::Result<()> {
        client.set_nodelay(true)?;
        server.set_nodelay(true)?;
        loop {
            let (request, count) = read_all(&mut client, 1)?;
            let now = {
                let mut cut = cut.lock().unwrap();
                match cut.as_mut() {
                    Some(Cut { after: 0, .. }) => cut.take(),
                    Some(later) => {
                        later.after -= 1;
                        None
                    }
                    None => None,
                }
            };
            if let Some(Cut {
                is_request: true,
                at,
                ..
            }) = now
            {
                length.store(request.len(), Ordering::Relaxed);
                return server.write_all(&request[..at.min(request.len())]);
            }
            server.write_all(&request)?;
            let (answer, _) = read_all(&mut server, count)?;
            if let Some(Cut { at, .. }) = now {
                length.store(answer.len(), Ordering::Relaxed);
                return client.write_all(&answer[..at.min(answer.len())]);
            }
            client.write_all(&answer)?;
        }
    }
}

impl Drop for Cutter {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(("127.0.0.1", self.port));
        let _ = self.accepting.take().map(JoinHandle::join);
    }
}

/// One verb over connections that may be cut, and what must have come of it, seen over others.
type Verb = fn(&RedisSessionStore, &RedisSessionStore);

fn fresh(sure: &RedisSessionStore) -> Session {
    let mut session = stored(sure, "ann");
    counter(&mut session, "n").unwrap();
    assert!(matches!(sure.save_session(&mut session), Ok(Saved::Stored)));
    session
}

/// The one session that there is.
fn only(sure: &RedisSessionStore) -> Session {
    let mut sessions = sure.sessions_of("ann").unwrap();
    assert_eq!(sessions.len(), 1, "{sessions:?}");
    sessions.remove(0)
}

fn n(session: &Session) -> u64 {
    session.get("n").unwrap().unwrap_or(0)
}

const VERBS: [(&str, Verb); 10] = [
    ("load", |cut, sure| {
        let session = fresh(sure);
        let loaded = cut.load_session(session.id().unwrap()).unwrap().unwrap();
        assert_eq!((loaded.version(), n(&loaded)), (2, 1));
    }),
    ("create", |cut, sure| {
        let session = stored(cut, "ann");
        assert_eq!(only(sure).id(), session.id());
    }),
    ("save", |cut, sure| {
        let mut session = fresh(sure);
        counter(&mut session, "n").unwrap();
        let saved = cut.save_session(&mut session).unwrap();
        assert!(matches!(saved, Saved::Stored), "{saved:?}");
        assert_eq!(session.version(), 3);
        let now = only(sure);
        assert_eq!((now.version(), n(&now)), (3, 2));
        // The copy goes on from there.
        counter(&mut session, "n").unwrap();
        assert!(matches!(cut.save_session(&mut session), Ok(Saved::Stored)));
    }),
    ("update", |cut, sure| {
        let session = fresh(sure);
        let change = |session: &mut Session| counter(session, "n");
        let counted = cut.update_session(session.id().unwrap(), change).unwrap();
        assert_eq!(counted, Some(2));
        assert_eq!((only(sure).version(), n(&only(sure))), (3, 2));
    }),
    ("touch", |cut, sure| {
        let session = fresh(sure);
        assert!(cut.touch_session(session.id().unwrap()).unwrap());
        assert_eq!(only(sure).version(), 2);
    }),
    ("empty", |cut, sure| {
        let mut session = fresh(sure);
        let id = session.id().unwrap().clone();
        session.set_user(None);
        session.clear();
        assert!(matches!(cut.save_session(&mut session), Ok(Saved::Empty)));
        assert!(!sure.has_session(&id).unwrap() && !sure.was_replaced(&id).unwrap());
    }),
    ("delete", |cut, sure| {
        let mut session = fresh(sure);
        let id = session.id().unwrap().clone();
        assert!(cut.delete_session(&id).unwrap());
        assert!(!sure.has_session(&id).unwrap());
        counter(&mut session, "n").unwrap();
        assert!(matches!(sure.save_session(&mut session), Ok(Saved::Gone)));
    }),
    ("regenerate", |cut, sure| {
        let mut session = fresh(sure);
        let old = session.id().unwrap().clone();
        counter(&mut session, "n").unwrap();
        let saved = cut.regenerate_id(&mut session).unwrap();
        assert!(matches!(saved, Saved::Stored), "{saved:?}");
        assert!(!sure.has_session(&old).unwrap() && sure.was_replaced(&old).unwrap());
        let now = only(sure);
        assert_eq!((now.id(), n(&now)), (session.id(), 2));
        counter(&mut session, "n").unwrap();
        assert!(matches!(cut.save_session(&mut session), Ok(Saved::Stored)));
    }),
    ("delete of a user", |cut, sure| {
        fresh(sure);
        fresh(sure);
        assert_eq!(cut.delete_user_sessions("ann").unwrap(), 2);
        assert_eq!(sure.sessions_of("ann").unwrap().len(), 0);
    }),
    ("import", |cut, sure| {
        let session = fresh(sure);
        let mut later = session.clone();
        counter(&mut later, "n").unwrap();
        assert!(matches!(sure.save_session(&mut later), Ok(Saved::Stored)));
        assert_eq!(cut.import_sessions(&[session]).unwrap(), 0);
        assert_eq!(n(&only(sure)), 2, "an earlier state undoes nothing");
    }),
];

#[test]
fn a_connection_that_is_cut_at_any_byte_of_any_verb_leaves_what_was_asked_for_and_no_more() {
    let name =
        "a_connection_that_is_cut_at_any_byte_of_any_verb_leaves_what_was_asked_for_and_no_more";
    if !is_there(name) {
        return;
    }
    let server = Server::start(&[]);
    let cutter = Cutter::start(server.port);
    let connect = |url: String| {
        let mut options = RedisOptions::new();
        options.timeout(Duration::from_secs(60));
        options.connect(&url).unwrap()
    };
    let sure = connect(server.url());
    let cut = connect(format!("redis://127.0.0.1:{}", cutter.port));
    // All of them in full; otherwise some of each, other ones for each verb.
    let step = if is_soak() { 1 } else { 47 };
    let mut place = 0;
    for (verb, run) in VERBS {
        for flushed in [false, true] {
            for is_request in [true, false] {
                for after in 0..3 {
                    let mut at = place % step;
                    loop {
                        place += 1;
                        // Every script is sent whole after this, in a request of its own.
                        if flushed {
                            server.say("SCRIPT FLUSH");
                        }
                        let point = Cut {
                            after,
                            is_request,
                            at,
                        };
                        *cutter.cut.lock().unwrap() = Some(point);
                        let ran = std::panic::catch_unwind(|| run(&cut, &sure));
                        assert!(ran.is_ok(), "{verb}, flushed: {flushed}, {point:?}");
                        let is_left = cutter.cut.lock().unwrap().take().is_some();
                        assert!(after > 0 || !is_left, "{verb} was not cut: {point:?}");
                        server.say("FLUSHALL");
                        let end = cutter.length.load(Ordering::Relaxed);
                        // In the text of a script one byte is as good as another.
                        at += if at > 400 { step * 7 } else { step };
                        if is_left || at >= end + step {
                            break;
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn a_copy_of_a_write_that_a_failover_lost_does_not_pass_for_one_of_the_write_in_its_place() {
    let name =
        "a_copy_of_a_write_that_a_failover_lost_does_not_pass_for_one_of_the_write_in_its_place";
    if !is_there(name) {
        return;
    }
    let server = Server::start(&[]);
    let store = RedisSessionStore::connect(&server.url()).unwrap();
    let mut asked = server.asked();
    for way in 0..4 {
        let mut mine = stored(&store, "ann");
        let id = mine.id().unwrap().clone();
        let key = format!("shelflife:{{{}}}{}", &id.as_str()[..3], id.as_str());
        let mut replica = asked.ask_bytes(&[b"GET", key.as_bytes()]);
        replica.pop();
        mine.insert("mine", &1u64).unwrap();
        assert!(matches!(store.save_session(&mut mine), Ok(Saved::Stored)));
        // The primary is gone, and what it had answered last.
        let put = asked.ask(&[b"SET", key.as_bytes(), &replica]);
        assert_eq!(put.trim(), "+OK");
        let mut others = store.load_session(&id).unwrap().unwrap();
        others.insert("others", &1u64).unwrap();
        assert!(matches!(store.save_session(&mut others), Ok(Saved::Stored)));
        assert_eq!(others.version(), mine.version());
        let saved = match way {
            0 => {
                mine.insert("late", &1u64).unwrap();
                store.save_session(&mut mine)
            }
            1 => {
                mine.set_user(None);
                mine.clear();
                store.save_session(&mut mine)
            }
            2 => {
                mine.insert("late", &1u64).unwrap();
                store.regenerate_id(&mut mine)
            }
            _ => {
                // A copy that was not changed takes over what is stored.
                assert!(matches!(store.regenerate_id(&mut mine), Ok(Saved::Stored)));
                assert!(mine.contains_key("others") && !mine.contains_key("mine"));
                continue;
            }
        };
        match saved.unwrap() {
            Saved::Conflict(current) => {
                assert!(current.contains_key("others"), "way {way}");
                // And with what is there now it goes on.
                let mut merged = mine.rebase(*current).unwrap();
                merged.insert("merged", &1u64).unwrap();
                let saved = store.save_session(&mut merged).unwrap();
                assert!(matches!(saved, Saved::Stored), "way {way}: {saved:?}");
            }
            other => panic!("way {way}: {other:?}"),
        }
    }
}

#[test]
fn many_servers_that_say_nothing_hold_nobody_longer_than_the_deadline() {
    // Each waits in its queue for ever.
    let silent: Vec<TcpListener> = (2..62)
        .map(|n| TcpListener::bind((format!("127.0.0.{n}"), 0)).unwrap())
        .collect();
    let map: String = (silent.iter().enumerate())
        .map(|(at, listener)| {
            let (slot, address) = (at * 273, listener.local_addr().unwrap());
            let (host, port) = (address.ip().to_string(), address.port());
            let last = if at == 59 { 16383 } else { slot + 272 };
            let len = host.len();
            format!("*3\r\n:{slot}\r\n:{last}\r\n*2\r\n${len}\r\n{host}\r\n:{port}\r\n")
        })
        .collect();
    let map = format!("*60\r\n{map}");
    let asked = Arc::new(AtomicUsize::new(0));
    let times = Arc::clone(&asked);
    let fake = Fake::start_any(move |_| match times.fetch_add(1, Ordering::Relaxed) {
        0 => say(&map),
        _ => Act::Stall(Vec::new()),
    });
    let begun = Instant::now();
    let store = fake.store();
    // The look for a warning has asked them by now.
    let connected = begun.elapsed();
    let begun = Instant::now();
    store.now();
    let took = begun.elapsed().max(connected);
    // One wait of at least 50 ms for each would take 3 seconds.
    assert!(took < TIMEOUT * 6, "{took:?}");
    // Until a call has looked for the map, of which all of them are asked.
    silent[0].set_nonblocking(true).unwrap();
    let until = Instant::now() + Duration::from_secs(60);
    let mut is_asked = false;
    while !is_asked {
        assert!(Instant::now() < until, "nobody asks for the map");
        let begun = Instant::now();
        assert!(store.load_session(&id()).is_err());
        assert!(begun.elapsed() < TIMEOUT * 6, "{:?}", begun.elapsed());
        while let Ok((mut stream, _)) = silent[0].accept() {
            let mut said = [0; 64];
            let len = stream.read(&mut said).unwrap();
            is_asked |= said[..len].windows(5).any(|word| word == b"SLOTS");
        }
    }
}

#[test]
fn the_steps_of_an_update_share_one_deadline() {
    let looks = AtomicUsize::new(0);
    let fake = Fake::start(move |words| match words[0].as_str() {
        // Most of the time is over before the session is read.
        "GET" if looks.fetch_add(1, Ordering::Relaxed) < 2 => Act::Stall(Vec::new()),
        "GET" => Act::Say(bulk(&value("ann"))),
        _ => Act::Stall(Vec::new()),
    });
    let updated = (fake.store()).update_session(&id(), |session| counter(session, "n"));
    assert_eq!(updated.unwrap_err().kind(), ErrorKind::Io);
    // With a time of its own the change would be tried four times.
    let tries = fake.count("EVALSHA");
    assert!(tries <= 2, "{tries} tries");
}

#[test]
fn a_scan_that_goes_in_circles_ends() {
    each_at_once([1, 2, 3], |length| {
        let step = AtomicUsize::new(0);
        let fake = Fake::start(move |words| match words[0].as_str() {
            "SCAN" => {
                let cursor = 7 + step.fetch_add(1, Ordering::Relaxed) % length;
                say(&format!("*2\r\n$1\r\n{cursor}\r\n*0\r\n"))
            }
            _ => say("*2\r\n$10\r\n1700000000\r\n$1\r\n0\r\n"),
        });
        let store = fake.store();
        let error = store.delete_user_sessions("ann").unwrap_err();
        assert!(error.to_string().contains("in circles"), "{error}");
        assert_eq!(fake.count("SCAN"), length + 1);
        assert!(store.iter_sessions().next().unwrap().is_err());
    });
}

#[test]
fn a_list_of_a_part_of_a_cluster_never_passes_for_the_whole() {
    // The user may not ask where the slots are.
    let fake = Fake::start_any(|_| say("-NOPERM User ann has no permissions to run it\r\n"));
    let url = format!("redis://127.0.0.1:{}", fake.port);
    let error = RedisOptions::new().connect(&url).unwrap_err();
    assert!(error.to_string().contains("rights"), "{error}");

    // The server does not know the command by this name.
    let there = Fake::start(|_| Act::Say(bulk(&value("ann"))));
    let port = there.port;
    let fake = Fake::start_any(move |words| match words[0].as_str() {
        "CLUSTER" => say("-ERR unknown command 'CLUSTER', with args beginning with: 'SLOTS'\r\n"),
        "GET" => say(&format!("-MOVED {SLOT} 127.0.0.1:{port}\r\n")),
        "SCAN" => say("*2\r\n$1\r\n0\r\n*0\r\n"),
        "TIME" => say("*2\r\n$10\r\n1700000000\r\n$1\r\n0\r\n"),
        _ => say("$0\r\n\r\n"),
    });
    let store = fake.store();
    // Nor does it say that it belongs to a cluster.
    assert_eq!(store.delete_user_sessions("ann").unwrap(), 0);
    assert_eq!(load(&store).unwrap().as_deref(), Some("ann"));
    let error = store.delete_user_sessions("ann").unwrap_err();
    assert!(error.to_string().contains("cluster|slots"), "{error}");
    // Nothing of what is known is forgotten by asking again, which a call does once a second has passed.
    let (asked, begun) = (fake.count("CLUSTER"), Instant::now());
    while fake.count("CLUSTER") == asked {
        assert!(begun.elapsed() < TIMEOUT * 150, "nobody asks for the map");
        assert_eq!(load(&store).unwrap().as_deref(), Some("ann"));
    }
    let error = store.delete_user_sessions("ann").unwrap_err();
    assert!(error.to_string().contains("cluster|slots"), "{error}");
}

#[test]
fn a_user_without_a_password_never_goes_on_as_somebody_else() {
    let fake = Fake::start_any(|_| say("-WRONGPASS invalid username-password pair\r\n"));
    for url in ["redis://ann@127.0.0.1", "redis://ann:@127.0.0.1"] {
        let url = format!("{url}:{}", fake.port);
        assert!(RedisOptions::new().connect(&url).is_err());
        assert_eq!(
            fake.asked.lock().unwrap().pop().unwrap(),
            ["AUTH", "ann", ""]
        );
    }
    let name = "a_user_without_a_password_never_goes_on_as_somebody_else";
    if !is_there(name) {
        return;
    }
    let server = Server::start(&[]);
    let made = server.say("ACL SETUSER ann on nopass ~* +@all");
    assert_eq!(made.trim(), "+OK");
    let url = format!("redis://ann@127.0.0.1:{}", server.port);
    stored(&RedisOptions::new().connect(&url).unwrap(), "bob");
    assert!(server.say("ACL LOG").trim().is_empty());
    let other = format!("redis://carl@127.0.0.1:{}", server.port);
    assert!(RedisOptions::new().connect(&other).is_err());
}

#[test]
fn a_client_that_is_not_let_in_is_told_at_once_and_no_password_is_shown() {
    for refusal in [
        "-WRONGPASS invalid username-password pair or user is disabled.\r\n",
        "-ERR AUTH <password> called\r\n",
    ] {
        let fake = Fake::start_any(move |_| say(refusal));
        let url = format!("redis://ann:secret@127.0.0.1:{}", fake.port);
        let mut options = RedisOptions::new();
        options.password("secret2");
        let begun = Instant::now();
        let error = options.connect(&url).unwrap_err();
        assert!(begun.elapsed() < Duration::from_secs(2));
        assert_eq!(error.kind(), ErrorKind::Io);
        let shown = format!("{error} {error:?} {options:?}");
        assert!(
            shown.contains("password") && !shown.contains("secret"),
            "{shown}"
        );
        assert_eq!(fake.asked.lock().unwrap()[0], ["AUTH", "ann", "secret2"]);
    }
}

/// Errors of every kind, and replies to other commands: no verb may take one for a success.
fn wrong_answers() -> Vec<String> {
    let codes = "ERR WRONGTYPE NOAUTH WRONGPASS NOPERM OOM READONLY LOADING BUSY TRYAGAIN CLUSTERDOWN MASTERDOWN MISCONF \
                 NOREPLICAS EXECABORT NOSCRIPT NOPROTO MOVED ASK UNHEARD-OF";
    let quoted = format!("'shelflife:{{AAE}}{ID}' of ann-secret");
    let errors = codes
        .split_whitespace()
        .map(|code| format!("{code} {quoted}"));
    let others = [
        "",
        "MOVED 3073 127.0.0.1:1",
        "ASK 3073 127.0.0.1:1",
        "MOVED 3073 127.0.0.1:99999",
        "ERR Error running script (call to f_0a): @user_script: 7: -OOM command not allowed",
    ];
    let errors = errors.chain(others.map(String::from));
    let replies = [
        "+OK",
        ":1",
        ":0",
        ":-1",
        "*0",
        "*1\r\n:1",
        "*1\r\n:0",
        "*2\r\n:1\r\n:1",
        "*4\r\n:1\r\n:2\r\n:3\r\n:4",
        "*2\r\n:1\r\n$8\r\nsomemark",
        "*2\r\n$1\r\n0\r\n$1\r\n0",
        "*2\r\n:0\r\n*0",
        "$2\r\nOK",
        "*1\r\n-ERR within",
    ];
    errors
        .map(|error| format!("-{error}\r\n"))
        .chain(replies.map(|reply| format!("{reply}\r\n")))
        .collect()
}

#[test]
fn whatever_a_server_answers_no_verb_takes_for_a_success_what_is_none() {
    type Try = fn(&RedisSessionStore, Session) -> shelflife::Result<()>;
    let verbs: [(&str, Try); 11] = [
        ("load", |store, _| store.load_session(&id()).map(drop)),
        ("replaced", |store, _| match store.was_replaced(&id()) {
            Ok(false) => Err(shelflife::Error::other("no success")),
            other => other.map(drop),
        }),
        ("create", |store, _| {
            store.save_session(&mut with_user()).map(drop)
        }),
        ("save", |store, mut session| {
            session.insert("n", &1u64)?;
            store.save_session(&mut session).map(drop)
        }),
        ("touch", |store, mut session| {
            store.save_session(&mut session).map(drop)
        }),
        ("empty", |store, mut session| {
            session.set_user(None);
            store.save_session(&mut session).map(drop)
        }),
        ("delete", |store, _| store.delete_session(&id()).map(drop)),
        ("regenerate", |store, mut session| {
            store.regenerate_id(&mut session).map(drop)
        }),
        ("import", |store, session| {
            store.import_sessions(&[session]).map(drop)
        }),
        ("end of a user", |store, _| {
            store.delete_user_sessions("ann-secret").map(drop)
        }),
        ("list", |store, _| {
            store
                .iter_sessions()
                .collect::<shelflife::Result<Vec<_>>>()
                .map(drop)
        }),
    ];
    let source = Fake::start(|_| Act::Say(bulk(&value("ann-secret"))));
    let session = source.store().load_session(&id()).unwrap().unwrap();
    // Connected before anything is asked: beside hundreds of calls at once a connection may take longer than it has.
    let connected = wrong_answers().into_iter().map(|answer| {
        let said = answer.clone();
        let fake = Fake::start(move |_| say(&said));
        let store = fake.store();
        (answer, fake, store)
    });
    let connected: Vec<_> = connected.collect();
    each_at_once(connected, |(answer, fake, store)| {
        each_at_once(verbs, |(name, verb)| {
            let failed = verb(&store, session.clone());
            let error = failed.expect_err(&format!("{name}: {answer:?}"));
            let shown = format!("{error} {error:?}");
            assert!(
                !shown.contains(ID) && !shown.contains("secret"),
                "{name}: {answer:?}: {shown}"
            );
        });
        let asked = fake.asked.lock().unwrap().len();
        assert!(asked < 400, "{answer:?} was asked for {asked} times");
    });
}

fn with_user() -> Session {
    let mut session = Session::new();
    session.set_user(Some("ann-secret"));
    session
}

#[test]
fn what_a_server_says_of_a_key_that_is_forbidden_shows_no_id() {
    let key = format!("'shelflife:{{AAE}}{ID}'");
    let within = "-ERR Error running script (call to f_0a): @user_script:4: @user_script: 4:";
    // The last ones of Redis 7.2, 7.0 and 6.2, in this order.
    for denied in [
        format!("-NOPERM User ann may not access the {key} key\r\n"),
        format!("-ERR ACL failure in script: User ann may not access the {key} key\r\n"),
        "-ERR The user executing the script can't run this command or subcommand\r\n".into(),
        "-ERR Unknown Redis command called from script script: 0a\r\n".into(),
        format!("{within} The user executing the script can't run this command\r\n"),
        format!("{within} Unknown Redis command called from Lua script\r\n"),
        "-@user_script: 190: The user executing the script can't run this command\r\n".into(),
    ] {
        let fake = Fake::start(move |_| say(&denied));
        let error = load(&fake.store()).unwrap_err().to_string();
        assert!(
            error.contains("rights") && !error.contains("script:"),
            "{error}"
        );
    }
}

#[test]
fn a_command_that_the_server_does_not_have_is_told_at_once() {
    let name = "a_command_that_the_server_does_not_have_is_told_at_once";
    if !is_there(name) {
        return;
    }
    for command in ["GET", "EVALSHA", "ECHO"] {
        let server = Server::start(&["--rename-command", command, ""]);
        let mut options = RedisOptions::new();
        options.timeout(Duration::from_secs(3600));
        // A wait for the deadline would not end.
        let store = options.connect(&server.url()).unwrap();
        let mut session = Session::new();
        session.set_user(Some("ann"));
        let failed = match command {
            "EVALSHA" => store.save_session(&mut session).map(drop),
            _ => store.load_session(&id()).map(drop),
        };
        let error = failed.unwrap_err().to_string();
        assert!(
            error.contains("unknown command") && error.contains("rights"),
            "{command}: {error}"
        );
        assert!(!error.contains(ID), "{error}");
    }
}

#[test]
fn a_stopped_server_whose_socket_has_a_full_queue_holds_nobody_longer_than_the_deadline() {
    let name =
        "a_stopped_server_whose_socket_has_a_full_queue_holds_nobody_longer_than_the_deadline";
    if !is_there(name) {
        return;
    }
    let server = Server::start(&["--tcp-backlog", "1"]);
    let mut options = RedisOptions::new();
    options.timeout(TIMEOUT);
    let store = Arc::new(options.connect(&server.socket_url()).unwrap());
    stored(&*store, "ann");
    server.signal("-STOP");
    // Each leaves one or more in the queue; the thread would never come back from the first that finds it full.
    let (done, all) = std::sync::mpsc::channel();
    let asking = Arc::clone(&store);
    let thread = std::thread::spawn(move || {
        for _ in 0..4 {
            let _ = done.send(asking.load_session(&id()).is_err());
        }
    });
    for n in 0..4 {
        let failed = all.recv_timeout(Duration::from_secs(30));
        assert_eq!(failed, Ok(true), "call {n}");
    }
    server.signal("-CONT");
    thread.join().unwrap();
    assert!(store.load_session(&id()).unwrap().is_none());
}

/// Else each of the sessions would be waited for until the deadline of a call.
#[test]
fn a_server_that_fails_ends_the_list_of_its_sessions_with_an_error() {
    let fake = Fake::start(|words| match words[0].as_str() {
        "SCAN" => {
            let key = |n| bulk(format!("shelflife:{{{n}}}{n}{}", &ID[3..]).as_bytes());
            let keys: Vec<u8> = (100..400).flat_map(key).collect();
            Act::Say([b"*2\r\n$1\r\n0\r\n*300\r\n".as_slice(), &keys].concat())
        }
        "GETRANGE" => Act::Say(bulk(&value("ann")[..38])),
        _ => Act::Last(Vec::new()),
    });
    let listed: Vec<_> = fake.store().iter_sessions().collect();
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].as_ref().unwrap_err().kind(), ErrorKind::Io);
}
