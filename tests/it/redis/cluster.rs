//! Three primaries, on which slots move and which die.

use super::fake::{Act, Fake, TIMEOUT, bulk, id, say, value};
use super::server::{Cluster, is_there, shared_cluster};
use super::single::live;
use super::{counter, stored};
use crate::support::{is_soak, metric};
use shelflife::{
    ErrorKind, RedisOptions, RedisSessionStore, Saved, SessionOptions, SessionStore,
    SessionStoreExt,
};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

/// The slot of a session's keys, as the servers count it.
fn slot(cluster: &Cluster, id: &str) -> u16 {
    let answer = cluster.servers[0].say(&format!("CLUSTER KEYSLOT {{{}}}", &id[..3]));
    answer.trim().trim_start_matches(':').parse().unwrap()
}

#[test]
fn a_session_lives_its_whole_life_on_a_cluster() {
    if !is_there("a_session_lives_its_whole_life_on_a_cluster") {
        return;
    }
    let cluster = shared_cluster();
    // With no more rights than are listed.
    let user = format!(
        "ACL SETUSER shop on >secret ~shelflife:{{* {}",
        super::rights()
    );
    for server in &cluster.servers {
        assert_eq!(server.say(&user).trim(), "+OK");
    }
    let store = RedisOptions::new()
        .user("shop")
        .password("secret")
        .connect(&cluster.url())
        .unwrap();
    live(&store);
    let hashed = SessionOptions::new().hash_ids(true).clone();
    let hashed = RedisOptions::new()
        .sessions(&hashed)
        .prefix("hashed:")
        .connect(&cluster.url())
        .unwrap();
    live(&hashed);

    // Sessions are on each server, and lists are of all.
    let sessions: Vec<_> = (0..60).map(|_| stored(&store, "ann")).collect();
    for server in &cluster.servers {
        assert!(server.keys("shelflife:").len() > 5);
    }
    assert_eq!(store.sessions_of("ann").unwrap().len(), 60);
    let order: Vec<_> = store
        .iter_sessions()
        .map(|session| session.unwrap().accessed())
        .collect();
    assert!(order.is_sorted());

    slots_on_their_way(cluster, &store);
    assert_eq!(store.delete_user_sessions("ann").unwrap(), 60);
    assert!(!store.has_session(sessions[0].id().unwrap()).unwrap());
    let error = RedisSessionStore::connect(&format!("{}/1", cluster.url())).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
}

/// While a slot moves its sessions are found wherever they are, and a new id waits until the slot is settled.
fn slots_on_their_way(cluster: &Cluster, store: &RedisSessionStore) {
    let mut session = stored(store, "bob");
    let id = session.id().unwrap().clone();
    let slot = slot(cluster, id.as_str());
    let from = cluster.owner(slot);
    let to = (from + 1) % 3;
    cluster.begin_move(slot, from, to);
    assert!(
        store.has_session(id_of(&session)).unwrap(),
        "it is still there"
    );
    assert!(store.touch_session(id_of(&session)).unwrap());

    // One that is created in the slot goes to the new server at once; here the session is the one that has gone ahead.
    let key = format!("shelflife:{{{}}}{}", &id.as_str()[..3], id.as_str());
    let port = cluster.servers[to].port.to_string();
    let words: [&[u8]; 6] = [
        b"MIGRATE",
        b"127.0.0.1",
        port.as_bytes(),
        key.as_bytes(),
        b"0",
        b"5000",
    ];
    assert_eq!(cluster.servers[from].ask(&words).trim(), "+OK");
    assert_eq!(
        store.load_session(&id).unwrap().unwrap().user(),
        Some("bob")
    );
    assert!(
        store
            .update_session(&id, |session| counter(session, "n"))
            .unwrap()
            .is_some()
    );
    assert!(
        store
            .iter_sessions()
            .any(|listed| listed.unwrap().id() == Some(&id))
    );

    let hurried = RedisOptions::new()
        .timeout(Duration::from_secs(1))
        .connect(&cluster.url())
        .unwrap();
    session = hurried.load_session(&id).unwrap().unwrap();
    let error = hurried.regenerate_id(&mut session).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Busy, "{error}");
    assert_eq!(session.id(), Some(&id));
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            let saved = store.regenerate_id(&mut session);
            assert!(matches!(saved, Ok(Saved::Stored)), "{saved:?}");
        });
        cluster.end_move(slot, from, to);
        waiting.join().unwrap();
    });
    assert!(store.was_replaced(&id).unwrap() && store.has_session(id_of(&session)).unwrap());
    assert!(store.delete_session(id_of(&session)).unwrap());
    cluster.move_slot(slot, to, from);
}

fn id_of(session: &shelflife::Session) -> &shelflife::SessionId {
    session.id().unwrap()
}

/// Moves slots there and back until the work is done.
fn while_slots_move<T>(cluster: &Cluster, slots: &[u16], work: impl FnOnce() -> T) -> (T, usize) {
    let (over, moves) = (AtomicBool::new(false), AtomicUsize::new(0));
    let done = std::thread::scope(|scope| {
        scope.spawn(|| {
            for slot in slots.iter().cycle() {
                if over.load(Ordering::Relaxed) {
                    break;
                }
                let from = cluster.owner(*slot);
                let to = (from + 1) % 3;
                cluster.move_slot(*slot, from, to);
                cluster.move_slot(*slot, to, from);
                moves.fetch_add(2, Ordering::Relaxed);
            }
        });
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
        over.store(true, Ordering::Relaxed);
        done.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    });
    (done, moves.load(Ordering::Relaxed))
}

#[test]
fn while_slots_move_nothing_is_lost_and_lists_are_whole() {
    if !is_there("while_slots_move_nothing_is_lost_and_lists_are_whole") {
        return;
    }
    let begun = Instant::now();
    let cluster = Cluster::start_ahead();
    let store = RedisSessionStore::connect(&cluster.url()).unwrap();
    let sessions: Vec<_> = (0..12).map(|_| stored(&store, "ann")).collect();
    let ids: Vec<_> = sessions
        .iter()
        .map(|session| session.id().unwrap().clone())
        .collect();
    let slots: Vec<_> = ids.iter().map(|id| slot(&cluster, id.as_str())).collect();
    let rounds = if is_soak() { 300 } else { 15 };
    let ((), moves) = while_slots_move(&cluster, &slots, || {
        for round in 1..=rounds {
            for id in &ids {
                let count = store
                    .update_session(id, |session| counter(session, "n"))
                    .unwrap();
                assert_eq!(count, Some(round));
            }
            let listed: BTreeSet<_> = store
                .iter_sessions()
                .map(|session| session.unwrap().id().unwrap().as_str().to_string())
                .collect();
            if listed.len() != ids.len() {
                for id in &ids {
                    let l = listed.contains(id.as_str());
                    eprintln!(
                        "{} {} listed {l} has {:?}",
                        id.as_str(),
                        slot(&cluster, id.as_str()),
                        store.has_session(id)
                    );
                }
                eprintln!("{store:#?}");
                for s in &cluster.servers {
                    eprintln!("{}", s.say("CLUSTER NODES"));
                }
            }
            assert_eq!(listed.len(), ids.len(), "round {round}");
            let mut passing = stored(&store, "bob");
            assert!(matches!(
                store.regenerate_id(&mut passing),
                Ok(Saved::Stored)
            ));
            assert_eq!(store.delete_user_sessions("bob").unwrap(), 1);
        }
    });
    assert!(moves > 0);
    metric(
        "redis_slots_moved",
        moves,
        None,
        begun.elapsed().as_secs_f64(),
    );
}

#[test]
fn an_end_that_waits_for_replicas_when_its_primary_becomes_one_is_made_sure_of_again() {
    for becomes_one_again in [false, true] {
        let waits = AtomicUsize::new(0);
        let fake = Fake::start(move |words| match words[0].as_str() {
            "WAIT" if becomes_one_again || waits.fetch_add(1, Ordering::Relaxed) == 0 => {
                say("-UNBLOCKED force unblock from blocking operation\r\n")
            }
            "WAIT" => say(":1\r\n"),
            _ => Act::Answer(1, b":1\r\n".to_vec()),
        });
        let store = RedisOptions::new()
            .timeout(TIMEOUT)
            .replicas(1, TIMEOUT / 4)
            .connect(&format!("redis://127.0.0.1:{}", fake.port))
            .unwrap();
        let deleted = store.delete_session(&id());
        match becomes_one_again {
            false => assert!(deleted.unwrap()),
            true => {
                let error = deleted.unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Io);
                assert!(error.to_string().contains("outcome is unknown"), "{error}");
            }
        }
        let asked = fake.asked.lock().unwrap();
        let tries: Vec<_> = asked.iter().filter(|words| words[0] == "EVALSHA").collect();
        assert!(tries.len() > 1);
        assert!(
            tries.windows(2).all(|two| two[0] == two[1]),
            "the same mark"
        );
    }
}

#[test]
fn sessions_that_are_read_together_share_one_deadline() {
    const COUNT: u32 = 40;
    let fake = Fake::start(|words| match words[0].as_str() {
        "SCAN" => {
            let key = |nth: u32| format!("shelflife:{{AAE}}AAE{:02}wQFBgcICQoLDA0ODw", nth + 10);
            let keys: Vec<u8> = (0..COUNT)
                .flat_map(|nth| bulk(key(nth).as_bytes()))
                .collect();
            Act::Say([format!("*2\r\n$1\r\n0\r\n*{COUNT}\r\n").as_bytes(), &keys].concat())
        }
        _ => say("-CLUSTERDOWN The cluster is down\r\n"),
    });
    let store = fake.store();
    let begun = Instant::now();
    let listed: Vec<_> = store.iter_sessions().collect();
    let took = begun.elapsed();
    assert_eq!(listed.len(), 1, "one error for all");
    assert_eq!(listed[0].as_ref().unwrap_err().kind(), ErrorKind::Busy);
    // A deadline for each of them would take twice that, on a machine however fast.
    assert!(took < TIMEOUT * COUNT / 2, "{took:?}");
}

#[test]
fn a_primary_that_is_killed_and_restarted_loses_no_answered_logout() {
    if !is_there("a_primary_that_is_killed_and_restarted_loses_no_answered_logout") {
        return;
    }
    // Each server writes what it did before it answers.
    let mut cluster = Cluster::start(&["--appendonly", "yes", "--appendfsync", "always"]);
    let timeout = Duration::from_secs(20);
    let store = RedisOptions::new()
        .timeout(timeout)
        .connect(&cluster.url())
        .unwrap();
    // A URL may name several servers, of which the first need not answer.
    let ports = [0, 1].map(|nth| cluster.servers[nth].port);
    let both = format!("redis://127.0.0.1:{},127.0.0.1:{}", ports[0], ports[1]);
    for round in 0..if is_soak() { 20 } else { 1 } {
        let kept: Vec<_> = (0..20).map(|_| stored(&store, "ann")).collect();
        let gone: Vec<_> = (0..20).map(|_| stored(&store, "bob")).collect();
        for session in &gone {
            assert!(store.delete_session(session.id().unwrap()).unwrap());
        }
        let victim = round % 3;
        cluster.servers[victim].kill();
        let by_another = RedisSessionStore::connect(&both).unwrap();
        let (store, kept) = (&store, &kept);
        std::thread::scope(|scope| {
            let waiting = scope.spawn(move || {
                for session in kept {
                    let begun = Instant::now();
                    let there = store.has_session(session.id().unwrap());
                    assert!(
                        begun.elapsed() < timeout + Duration::from_secs(1),
                        "{:?}",
                        begun.elapsed()
                    );
                    assert!(there.unwrap(), "round {round}");
                }
            });
            assert!(cluster.servers[victim].run());
            waiting.join().unwrap();
        });
        cluster.settle();
        for session in &gone {
            assert!(
                !store.has_session(session.id().unwrap()).unwrap(),
                "round {round}"
            );
        }
        assert_eq!(store.delete_user_sessions("ann").unwrap(), 20);
        live(&by_another);
    }
}

/// Else a client would go on with a replica when its primary restarts, and never come back.
#[test]
fn several_servers_that_are_no_cluster_are_refused() {
    let servers = [(); 2].map(|()| Fake::start(|_| say("$-1\r\n")));
    let [first, second] = servers.each_ref().map(|server| server.port);
    let url = format!("redis://127.0.0.1:{first},127.0.0.1:{second}");
    let error = RedisSessionStore::connect(&url).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
    assert!(error.to_string().contains("the primary"), "{error}");
}

#[test]
fn a_server_that_is_no_cluster_any_more_makes_nobody_forget_the_others() {
    let (ports, has_left) = (Arc::new(OnceLock::new()), Arc::new(AtomicBool::new(false)));
    let start = |is_first: bool| {
        let (ports, has_left) = (Arc::clone(&ports), Arc::clone(&has_left));
        Fake::start_any(move |words| {
            let has_left = has_left.load(Ordering::Relaxed);
            match words[0].as_str() {
                "CLUSTER" if is_first && has_left => {
                    say("-ERR This instance has cluster support disabled\r\n")
                }
                "CLUSTER" => {
                    let [first, second]: [u16; 2] = *ports.get().unwrap();
                    let part = |start: u16, end: u16, port: u16| {
                        format!("*3\r\n:{start}\r\n:{end}\r\n*2\r\n$9\r\n127.0.0.1\r\n:{port}\r\n")
                    };
                    say(&match has_left {
                        false => format!(
                            "*2\r\n{}{}",
                            part(0, 8191, first),
                            part(8192, 16383, second)
                        ),
                        true => format!("*1\r\n{}", part(0, 16383, second)),
                    })
                }
                "SCAN" => say("*2\r\n$1\r\n0\r\n*0\r\n"),
                "GET" if !is_first => Act::Say(bulk(&value("ann"))),
                "GET" => say("$-1\r\n"),
                _ => say("$0\r\n\r\n"),
            }
        })
    };
    let servers = [start(true), start(false)];
    let [first, second] = servers.each_ref().map(|server| server.port);
    ports.set([first, second]).unwrap();
    let url = format!("redis://127.0.0.1:{first},127.0.0.1:{second}");
    let store = RedisSessionStore::connect(&url).unwrap();
    assert!(
        store.load_session(&id()).unwrap().is_none(),
        "its slot is on the first"
    );
    has_left.store(true, Ordering::Relaxed);
    // A list asks anew which servers there are.
    assert_eq!(store.iter_sessions().count(), 0);
    let session = store.load_session(&id()).unwrap();
    assert_eq!(session.unwrap().user(), Some("ann"));
}

#[test]
fn a_server_that_is_no_cluster_does_not_hide_the_cluster_of_the_next() {
    let alone = Fake::start(|_| say("-ERR a wrong server\r\n"));
    let port = Arc::new(OnceLock::new());
    let its = Arc::clone(&port);
    let node = Fake::start_any(move |words| match words[0].as_str() {
        "CLUSTER" => say(&format!(
            "*1\r\n*3\r\n:0\r\n:16383\r\n*2\r\n$9\r\n127.0.0.1\r\n:{}\r\n",
            its.get().unwrap()
        )),
        "GET" => Act::Say(bulk(&value("ann"))),
        _ => say("$0\r\n\r\n"),
    });
    port.set(node.port).unwrap();
    let url = format!("redis://127.0.0.1:{},127.0.0.1:{}", alone.port, node.port);
    let store = RedisSessionStore::connect(&url).unwrap();
    let session = store.load_session(&id()).unwrap();
    assert_eq!(session.unwrap().user(), Some("ann"));
    assert_eq!(alone.count("GET"), 0);
    // A server that does not answer may be the cluster's: nobody is told to name the other alone.
    let away = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().port()
    };
    let url = format!("redis://127.0.0.1:{},127.0.0.1:{away}", alone.port);
    let error = RedisSessionStore::connect(&url).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io, "{error}");
}

/// A program that does nothing else, such as one that ends old sessions once an hour.
#[test]
fn a_client_that_only_lists_hears_of_a_failover() {
    let (own, has_failed_over) = (Arc::new(OnceLock::new()), Arc::new(AtomicBool::new(false)));
    let (port, is_over) = (Arc::clone(&own), Arc::clone(&has_failed_over));
    let fake = Fake::start_any(move |words| match words[0].as_str() {
        "CLUSTER" => {
            let (all, half) = (0..16384, 0..8192);
            let part = |slots: std::ops::Range<u16>, port: u16| {
                let (first, last) = (slots.start, slots.end - 1);
                format!("*3\r\n:{first}\r\n:{last}\r\n*2\r\n$9\r\n127.0.0.1\r\n:{port}\r\n")
            };
            let port = *port.get().unwrap();
            say(&match is_over.load(Ordering::Relaxed) {
                // Nobody listens at the first port.
                false => format!("*2\r\n{}{}", part(half, 1), part(8192..16384, port)),
                true => format!("*1\r\n{}", part(all, port)),
            })
        }
        "SCAN" => say("*2\r\n$1\r\n0\r\n*0\r\n"),
        "TIME" => say("*2\r\n$10\r\n1700000000\r\n$1\r\n0\r\n"),
        _ => say("$0\r\n\r\n"),
    });
    own.set(fake.port).unwrap();
    let store = fake.store();
    assert!(store.delete_user_sessions("ann").is_err());
    has_failed_over.store(true, Ordering::Relaxed);
    let until = Instant::now() + Duration::from_secs(20);
    while let Err(error) = store.delete_user_sessions("ann") {
        assert!(Instant::now() < until, "{error}");
    }
}
