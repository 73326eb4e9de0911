//! The contract of session stores, on a real server and on a cluster: plain, hashed, and while slots move.
//!
//! The claims share the servers, each with a prefix of its own. Time passes for a claim by making its sessions older:
//! the times in each head and the expiry of each key are moved back.

use super::proxy::Proxy;
use super::server::{Asked, Cluster, Server, is_there, shared_cluster};
use crate::runs::outcome;
use shelflife::conformance::{Settings, Subject};
use shelflife::{RedisOptions, SessionId, SessionStore};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, OnceLock};
use std::time::{Duration, Instant};

/// Where the sessions are. The servers end with the process: see [`Server`].
#[derive(Clone, Copy, PartialEq)]
enum Place {
    Single,
    Cluster,
    /// A cluster of its own, one of whose slots is always on its way.
    Moving,
}

struct Redis {
    place: Place,
    hash_ids: bool,
    prefix: String,
    settings: Mutex<Settings>,
    proxy: Option<Proxy>,
    /// By port.
    asked: Mutex<BTreeMap<u16, Asked>>,
}

static CLAIMS: AtomicUsize = AtomicUsize::new(0);

fn on(place: Place, hash_ids: bool) -> Redis {
    let claim = CLAIMS.fetch_add(1, Ordering::Relaxed);
    let is_there = is_there("conformance");
    let proxy =
        (is_there && place == Place::Single && !hash_ids).then(|| Proxy::start(ports(place)[0], 1));
    let prefix = format!("claim{claim}:");
    if place == Place::Moving {
        MOVED.lock().unwrap().insert(prefix.clone());
        MOVED_CHANGED.notify_all();
    }
    Redis {
        place,
        hash_ids,
        prefix,
        settings: Mutex::default(),
        proxy,
        asked: Mutex::default(),
    }
}

/// The prefixes of the claims whose slots are to move.
static MOVED: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
static MOVED_CHANGED: Condvar = Condvar::new();
/// Why the thread that moves them has ended, which it should not: its own output is shown with no test in particular.
static MOVER_ENDED: OnceLock<String> = OnceLock::new();

impl Drop for Redis {
    /// Leaves nothing that the lists of other claims would have to go over.
    fn drop(&mut self) {
        MOVED.lock().unwrap().remove(&self.prefix);
        if std::thread::panicking() {
            return;
        }
        if let Some(why) = MOVER_ENDED.get() {
            panic!("nobody moves slots any more: {why}");
        }
        if is_there("conformance") {
            for key in self.keys() {
                self.run("redis.call('UNLINK', KEYS[1]) return 'done'", &key, b"");
            }
        }
    }
}

/// The ports of the servers.
fn ports(place: Place) -> Vec<u16> {
    static SINGLE: OnceLock<Server> = OnceLock::new();
    static MOVING: OnceLock<Cluster> = OnceLock::new();
    let cluster = match place {
        Place::Single => return vec![SINGLE.get_or_init(|| Server::start(&[])).port],
        Place::Cluster => shared_cluster(),
        Place::Moving => MOVING.get_or_init(|| {
            std::thread::spawn(|| {
                let ended = outcome(|| keep_moving(MOVING.wait()));
                let _ = MOVER_ENDED.set(ended.unwrap_err());
            });
            Cluster::start_ahead()
        }),
    };
    cluster.servers.iter().map(|server| server.port).collect()
}

/// Moves slots of the claims that run there and back, one after the other, until the process ends.
fn keep_moving(cluster: &Cluster) -> ! {
    let mut nth = 0;
    loop {
        nth += 1;
        let prefix = {
            let prefixes = MOVED.lock().unwrap();
            let is_idle = |prefixes: &mut BTreeSet<String>| prefixes.is_empty();
            let prefixes = MOVED_CHANGED.wait_while(prefixes, is_idle).unwrap();
            prefixes.iter().nth(nth % prefixes.len()).unwrap().clone()
        };
        let keys = cluster.servers[nth % 3].keys(&prefix);
        let Some(key) = keys.get(nth % keys.len().max(1)) else {
            std::thread::sleep(BETWEEN_MOVES);
            continue;
        };
        let answer = cluster.servers[0].say(&format!("CLUSTER KEYSLOT {key}"));
        let slot = answer.trim().trim_start_matches(':').parse().unwrap();
        let from = cluster.owner(slot);
        let to = (from + 1) % 3;
        for (from, to) in [(from, to), (to, from)] {
            cluster.move_slot(slot, from, to);
            // A new id needs its slot settled for a moment.
            std::thread::sleep(BETWEEN_MOVES);
        }
    }
}

const BETWEEN_MOVES: Duration = Duration::from_millis(2);

impl Redis {
    fn connect(&self, settings: Settings) -> Arc<dyn SessionStore> {
        if !is_there("conformance") {
            return Arc::new(settings.options().in_memory());
        }
        let ports = ports(self.place);
        let port = self.proxy.as_ref().map_or(ports[0], |proxy| proxy.port);
        let mut sessions = settings.options();
        sessions.hash_ids(self.hash_ids);
        let store = RedisOptions::new()
            .sessions(&sessions)
            .prefix(&self.prefix)
            .timeout(Duration::from_secs(10))
            .connect(&format!("redis://127.0.0.1:{port}"));
        Arc::new(store.unwrap())
    }

    fn key(&self, id: &SessionId) -> String {
        let id = id.as_str();
        let letters = &id[..3];
        format!("{}{{{letters}}}{id}", self.prefix)
    }

    fn ask(&self, port: u16, words: &[&[u8]]) -> String {
        let mut asked = self.asked.lock().unwrap();
        let asked = asked
            .entry(port)
            .or_insert_with(|| Asked::connect(port).unwrap());
        asked.ask(words)
    }

    /// Runs a script on one key, wherever it is; what it answers, or nothing if the key is nowhere.
    fn run(&self, script: &str, key: &str, argument: &[u8]) -> String {
        let until = Instant::now() + Duration::from_secs(20);
        loop {
            for port in ports(self.place) {
                let words = [b"EVAL", script.as_bytes(), b"1", key.as_bytes(), argument];
                let mut answer = self.ask(port, &words);
                // Only the server that the key leaves may send on to where it goes: a test that asks there at once
                // writes a second one.
                if answer.starts_with("-ASK") {
                    let (_, port) = answer.trim_end().rsplit_once(':').unwrap();
                    let port = port.parse().unwrap();
                    self.ask(port, &[b"ASKING"]);
                    answer = self.ask(port, &words);
                }
                if !answer.starts_with('-') && answer != "$-1\n" {
                    return answer;
                }
                let is_passing = ["-MOVED", "-ASK", "-TRYAGAIN"]
                    .iter()
                    .any(|code| answer.starts_with(code));
                assert!(is_passing || answer == "$-1\n", "{answer}");
            }
            if Instant::now() > until || self.place == Place::Single {
                return String::new();
            }
        }
    }

    /// The keys on all servers, also on those that a slot is on its way to.
    fn keys(&self) -> BTreeSet<String> {
        let mut keys = BTreeSet::new();
        // One that moves while the servers are asked is met the second time.
        for _ in 0..2 {
            for port in ports(self.place) {
                let answer = self.ask(port, &[b"KEYS", format!("{}*", self.prefix).as_bytes()]);
                keys.extend(
                    answer
                        .lines()
                        .filter(|line| line.starts_with(&self.prefix))
                        .map(String::from),
                );
            }
        }
        keys
    }
}

/// Moves the times of a session or a tombstone, and the end of its key, back by so many milliseconds.
const AGE: &str = "
local value = redis.call('GET', KEYS[1])
if not value then return false end
local by = tonumber(ARGV[1])
local version, created, accessed = struct.unpack('>I6I6I6', value)
created = math.max(created - by, 0)
if version > 0 then accessed = math.max(accessed - by, 0) end
local left = redis.call('PTTL', KEYS[1])
redis.call('SET', KEYS[1], struct.pack('>I6I6I6', version, created, accessed) .. string.sub(value, 19))
if left > 0 then redis.call('PEXPIRE', KEYS[1], string.format('%.0f', left - by)) end
return 'done'
";

const PUT: &str = "
redis.call('SET', KEYS[1], ARGV[1])
return 'done'
";

impl Subject for Redis {
    fn store(&self, settings: Settings) -> Arc<dyn SessionStore> {
        *self.settings.lock().unwrap() = settings;
        self.connect(settings)
    }

    fn another(&self) -> Option<Arc<dyn SessionStore>> {
        let settings = *self.settings.lock().unwrap();
        is_there("conformance").then(|| self.connect(settings))
    }

    fn advance(&self, by: Duration) -> bool {
        if !is_there("conformance") {
            return false;
        }
        for key in self.keys() {
            self.run(AGE, &key, by.as_millis().to_string().as_bytes());
        }
        true
    }

    fn makes_older(&self) -> bool {
        is_there("conformance")
    }

    fn grain(&self) -> Duration {
        Duration::from_secs(60)
    }

    fn damage(&self, id: &SessionId) -> bool {
        is_there("conformance")
            && !self.hash_ids
            && self.run(PUT, &self.key(id), b"damaged") == "done\n"
    }

    fn put_beside(&self, key: &str, value: &[u8]) -> bool {
        is_there("conformance")
            && self.run(PUT, &format!("{}{key}", self.prefix), value) == "done\n"
    }

    fn at_rest(&self) -> Option<Vec<u8>> {
        if !is_there("conformance") {
            return None;
        }
        let mut all = Vec::new();
        for key in self.keys() {
            all.extend(key.bytes());
            all.extend(
                self.run("return redis.call('GET', KEYS[1])", &key, b"")
                    .bytes(),
            );
        }
        Some(all)
    }

    fn fail(&self) -> bool {
        self.proxy.as_ref().is_some_and(|proxy| {
            proxy.refuse();
            true
        })
    }

    fn hashes_ids(&self) -> bool {
        self.hash_ids
    }

    fn keeps_what_has_ended(&self) -> bool {
        false
    }
}

mod single {
    shelflife::conformance_tests!(super::on(super::Place::Single, false));
}

mod single_hashed {
    shelflife::conformance_tests!(super::on(super::Place::Single, true));
}

mod cluster {
    shelflife::conformance_tests!(super::on(super::Place::Cluster, false));
}

mod cluster_hashed {
    shelflife::conformance_tests!(super::on(super::Place::Cluster, true));
}

mod moving {
    shelflife::conformance_tests!(super::on(super::Place::Moving, false));
}

mod moving_hashed {
    shelflife::conformance_tests!(super::on(super::Place::Moving, true));
}
