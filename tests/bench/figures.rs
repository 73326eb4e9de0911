//! The cost of each operation, with its floor beside it in the same run: the system calls that it cannot avoid.
//!
//! `cargo bench --bench figures` measures 10,000 and 100,000 keys; with `-- 1000000 100,1024` one million keys with
//! values of 100 and 1,024 bytes; with `-- sessions` half a million sessions, saved and deleted as old; with `-- users`
//! a million sessions, of which those of one user are found and ended; with `-- visits` what the manager of sessions
//! adds to a request; with `-- writers` how threads and processes that never stop writing share one file; with
//! `-- growth` how long a new key waits for the table to grow at ten million; with `-- scale` how cost grows with keys,
//! to ten million, and with values, to 64 KiB (it takes 5 GB of disk and two minutes). Times are of one run on a machine
//! that does other things as well: compare within a line.
//!
//! The work of each call, by `strace -c` (system calls) in the order in which it makes them, and by callgrind
//! (instructions in user space for a value of 320 bytes, `cargo bench --bench instructions`):
//!
//! | call | exclusive, `Os` | shared | instructions |
//! |---|---|---|---|
//! | `get`, hit | read the record | ask for the length, read the record | 1,740, 1,800 |
//! | `get`, miss | nothing | ask for the length | 535 |
//! | `insert`, new | getpid, ask for the length, write | getpid, prove the tail, write, between lock and unlock | |
//! | `insert`, over an old value | and read header and key before writing | and read header and key before writing | 2,910, 3,210; 270 more where it looks whether to compact |
//! | `insert`, `Immediate` | prove the tail as when shared; and sync, look at the path | and sync, look at the path | |
//! | a batch of 1,000 | one write | one write between lock and unlock | 2,430 an entry |
//! | `iter` | a read for 128 KiB | a read for 128 KiB | 1,690 an entry |
//! | opening | a read for 128 KiB | a read for 128 KiB | 1,730 a record |
//!
//! Where the time goes (`perf`, a million keys, warm): of a hit two thirds are the read itself, mostly waiting for
//! memory (the kernel's page and its place in the page cache), a sixth is the index (one slot, a cache and a TLB miss),
//! a twentieth the checks: 1,750 instructions are some 0.3 us of a hit's 1.1 to 1.9. Of opening a fifth is copying the
//! file out of the page cache, two fifths are the checks of every record, a fifth is the index. Two threads share the
//! first two, and one of them takes the third; both are at work for 97 % of the time, so opening takes half of what its
//! parts take. Of reading all by `for_each` two fifths are the checks, a fifth is copying, and an eighth puts the places
//! that the index knows in the order of the log; 1.5 of two processors are at work. None of these can be left out by a
//! program that maps no memory and believes no value unchecked.
//!
//! Of a save over an old value (3.1 us there) a quarter reads head and key of the old record, because a fingerprint is
//! not believed to be the key, and a quarter writes the new one: each some 0.8 us, for either finds pages and index out
//! of the processor's caches. The length of the file and the process id take a twentieth, the index a tenth (one miss to
//! find the slot; to change it finds it cached). Of a batch's deletion (0.9 us a key) a third is the same read of the old
//! key, made in the order of the log, and a quarter the index. Of a miss (0.1 us) three fifths wait for
//! the one cache line of the index, a sixth pins the file and lets it go, a tenth hashes the key.
//!
//! Of durable saves by 32 threads (13.7 us each, where a sync takes 140 and serves 29) a sync's share is 4.8 us. The rest
//! are the 29 threads that one after another wake, prove the tail, read the old key, write and fall asleep: a program
//! that has the same group commit and makes nothing but these calls takes 12.5 us, and 9.9 without the two reads.

mod floor;
mod writers;

use floor::{copy_of, floor, read_all};
use shelflife::{
    Batch, Compaction, Durability, ManagerOptions, Options, Saved, Session, SessionId,
    SessionOptions, SessionStore, SessionStoreExt, ShelveSessionStore, Store,
};
use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::*};
use std::time::{Duration, Instant};
use writers::{writer_process, writers};

type Key = [u8; 32];

/// Durable writes of each of many threads.
const SHARED_SYNCS: usize = 100;

/// SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

fn key(nth: u64) -> Key {
    let mut random = Random(nth);
    let mut key = [0; 32];
    for part in key.chunks_mut(8) {
        part.copy_from_slice(&random.next().to_le_bytes());
    }
    key
}

/// Runs `calls` calls and gives the time of one.
fn time(calls: u64, mut call: impl FnMut(u64)) -> Duration {
    let start = Instant::now();
    for nth in 0..calls {
        call(nth);
    }
    start.elapsed() / u32::try_from(calls.max(1)).unwrap_or(u32::MAX)
}

fn line(name: &str, ours: Duration, floor: Option<Duration>) {
    match floor {
        Some(floor) => println!(
            "  {name:<28}{:>10} ns   floor{:>9} ns   {:>6.2}x",
            ours.as_nanos(),
            floor.as_nanos(),
            ours.as_secs_f64() / floor.as_secs_f64().max(1e-9)
        ),
        None => println!("  {name:<28}{:>10} ns", ours.as_nanos()),
    }
}

fn open(path: &Path, exclusive: bool, durability: Durability) -> Store {
    Options::new()
        .exclusive(exclusive)
        .durability(durability)
        .compaction(Compaction::Manual)
        .open(path)
        .unwrap()
}

fn figures(keys: u64, value_bytes: usize, exclusive: bool) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bench.shelf");
    let calls = keys.min(100_000);
    let floor = floor(dir.path(), 48 + 32 + value_bytes.next_multiple_of(8), calls);
    println!(
        "{keys} keys, values of {value_bytes} B, {}",
        if exclusive { "exclusive" } else { "shared" }
    );
    let store = open(&path, exclusive, Durability::Os);
    let value = vec![7; value_bytes];
    let bulk = time(keys / 1_000, |nth| {
        let mut batch = Batch::new();
        for key_nth in nth * 1_000..(nth + 1) * 1_000 {
            batch.insert(key(key_nth), &value);
        }
        store.write(&batch).unwrap();
    });
    line(
        "insert, batches of 1,000",
        bulk / 1_000,
        Some(floor.write_many),
    );
    let mut random = Random(2);
    let known: Vec<Key> = (0..calls).map(|_| key(random.next() % keys)).collect();
    let unknown: Vec<Key> = (0..calls).map(|nth| key(keys + nth)).collect();
    let of = |keys: &[Key], nth: u64| keys[usize::try_from(nth).unwrap()];
    let save = time(calls, |nth| {
        _ = store.insert(of(&known, nth), &value).unwrap()
    });
    line("insert over an old value", save, Some(floor.write));
    let hit = time(calls, |nth| {
        assert!(black_box(store.get(of(&known, nth)).unwrap()).is_some())
    });
    line("get, hit", hit, Some(floor.read));
    let mut buf = Vec::new();
    let into = time(calls, |nth| {
        assert!(store.get_into(of(&known, nth), &mut buf).unwrap())
    });
    line("get_into, hit", into, Some(floor.read));
    let miss = time(calls, |nth| {
        assert!(store.get(of(&unknown, nth)).unwrap().is_none())
    });
    line("get, miss", miss, None);
    let threads = Instant::now();
    std::thread::scope(|scope| {
        for half in known.chunks(known.len().div_ceil(2)) {
            let store = &store;
            scope.spawn(move || {
                half.iter()
                    .for_each(|key| assert!(store.get(key).unwrap().is_some()))
            });
        }
    });
    line(
        "get, hit, 2 threads",
        threads.elapsed() / u32::try_from(calls).unwrap(),
        Some(floor.read / 2),
    );
    let one_pass = read_all(&path);
    let of_one_pass = Some(one_pass / u32::try_from(keys).unwrap());
    let scan = Instant::now();
    assert_eq!(
        store.iter().filter(|entry| entry.is_ok()).count() as u64,
        keys
    );
    line(
        "iter, an entry",
        scan.elapsed() / u32::try_from(keys).unwrap(),
        of_one_pass,
    );
    let (scan, mut bytes) = (Instant::now(), 0);
    store
        .for_each(|_, value| bytes += black_box(value).len())
        .unwrap();
    line(
        "for_each, an entry",
        scan.elapsed() / u32::try_from(keys).unwrap(),
        of_one_pass,
    );
    let stats = store.stats().unwrap();
    println!(
        "  {:<28}{:>10.1} B a key",
        "index",
        stats.index_bytes as f64 / stats.keys as f64
    );
    store.close().unwrap();

    let start = Instant::now();
    let store = open(&path, exclusive, Durability::Immediate);
    let opened = start.elapsed();
    println!(
        "  {:<28}{:>10.1} ms   floor{:>9.1} ms   {:>6.2}x   {} ns a record",
        "open",
        opened.as_secs_f64() * 1e3,
        one_pass.as_secs_f64() * 1e3,
        opened.as_secs_f64() / one_pass.as_secs_f64(),
        opened.as_nanos() / u128::from(keys + calls)
    );
    let durable = time(50, |nth| _ = store.insert(of(&known, nth), &value).unwrap());
    line("insert, durable", durable, Some(floor.sync));
    for threads in [8, 32] {
        let start = Instant::now();
        std::thread::scope(|scope| {
            for part in known.chunks(known.len() / threads).take(threads) {
                let (store, value) = (&store, &value);
                scope.spawn(move || {
                    for key in part.iter().take(SHARED_SYNCS) {
                        store.insert(key, value).unwrap();
                    }
                });
            }
        });
        let durable = start.elapsed() / u32::try_from(threads * SHARED_SYNCS).unwrap();
        let shares = floor.sync / u32::try_from(threads).unwrap() + floor.write;
        line(
            &format!("insert, durable, {threads} threads"),
            durable,
            Some(shares),
        );
    }
    store.close().unwrap();
    let store = open(&path, exclusive, Durability::Os);
    let removed = time(keys / 2_000, |nth| {
        let mut batch = Batch::new();
        for key_nth in nth * 1_000..(nth + 1) * 1_000 {
            batch.remove(key(key_nth * 2));
        }
        store.write(&batch).unwrap();
    });
    line(
        "remove, batches of 1,000",
        removed / 1_000,
        Some(floor.read_key),
    );
    let (start, before) = (Instant::now(), path.with_extension("before"));
    std::fs::hard_link(&path, &before).unwrap();
    let compacted = store.compact().unwrap();
    let took = start.elapsed();
    let copied = copy_of(&before, compacted.after_bytes);
    println!(
        "  {:<28}{:>10.1} ms   floor{:>9.1} ms   {:>6.2}x   {:.1} -> {:.1} MiB",
        "compact",
        took.as_secs_f64() * 1e3,
        copied.as_secs_f64() * 1e3,
        took.as_secs_f64() / copied.as_secs_f64(),
        compacted.before_bytes as f64 / f64::from(1 << 20),
        compacted.after_bytes as f64 / f64::from(1 << 20)
    );
}

/// The cost of one shelf of sessions: saved one by one, loaded, counted, and all of them deleted as old.
fn sessions(count: u64) {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir.path().join("bench.shelf"), true, Durability::Os);
    let sessions = ShelveSessionStore::from(store);
    println!("{count} sessions, exclusive");
    let mut ids = Vec::new();
    let save = time(count, |nth| {
        let mut session = Session::new();
        session.set_user(Some("ann"));
        session.insert("nth", &nth).unwrap();
        assert!(matches!(
            sessions.save_session(&mut session).unwrap(),
            Saved::Stored
        ));
        ids.extend(session.id().cloned());
    });
    line("save_session, new", save, None);
    let load = time(count, |nth| {
        let id = &ids[usize::try_from(nth * 7919 % count).unwrap()];
        assert!(sessions.load_session(id).unwrap().is_some());
    });
    line("load_session", load, None);
    let start = Instant::now();
    let (deleted, left) = sessions.delete_old_sessions(Duration::ZERO).unwrap();
    assert_eq!((deleted as u64, left), (count, 0));
    println!(
        "  {:<28}{:>10.1} ms   {:>15} ns a session",
        "delete_old_sessions",
        start.elapsed().as_secs_f64() * 1e3,
        start.elapsed().as_nanos() / u128::from(count)
    );
}

fn login(store: &ShelveSessionStore, user: &str) -> Session {
    let mut session = Session::new();
    session.set_user(Some(user));
    session.insert("cart", "tea").unwrap();
    assert!(matches!(
        store.save_session(&mut session).unwrap(),
        Saved::Stored
    ));
    session
}

/// The cost of a user's sessions among many, and of a login of a user who has many.
fn users(count: u64) {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir.path().join("bench.shelf"), false, Durability::Os);
    let store = ShelveSessionStore::from(store);
    let of = count / 10;
    println!("{count} sessions of {of} users, shared");
    let all = time(count, |nth| {
        _ = login(&store, &format!("user {}", nth % of))
    });
    line("login", all, None);
    let calls = 10_000.min(of / 4);
    let user = |nth: u64| format!("user {}", nth * 7919 % of);
    let found = time(calls, |nth| {
        assert_eq!(store.sessions_of(&user(nth)).unwrap().len(), 10);
    });
    line("sessions_of, 10", found, None);
    let handles: Vec<_> = (0..calls)
        .map(|nth| store.sessions_of(&user(nth)).unwrap()[3].handle().unwrap())
        .collect();
    let ended = time(calls, |nth| {
        let handle = &handles[usize::try_from(nth).unwrap()];
        assert!(store.delete_user_session(&user(nth), handle).unwrap());
    });
    line("delete_user_session", ended, None);
    let ended = time(calls, |nth| {
        assert_eq!(store.delete_user_sessions(&user(nth)).unwrap(), 9);
    });
    line("delete_user_sessions, 9", ended, None);
    let mut sessions: Vec<Session> = (0..calls).map(|nth| login(&store, &user(nth))).collect();
    let saved = time(calls, |nth| {
        let session = &mut sessions[usize::try_from(nth).unwrap()];
        session.insert("nth", &nth).unwrap();
        let _ = store.save_session(session).unwrap();
    });
    line("save_session, same user", saved, None);
    let first = time(calls, |nth| _ = login(&store, &format!("new {nth}")));
    line("login, the user's first", first, None);
    // An ordinary one is that of a user who has a few other devices: one is there, four are added.
    for nth in 0..4 * calls {
        login(&store, &user(nth % calls));
    }
    let few = time(calls, |nth| _ = login(&store, &user(nth)));
    line("login, with 5 others", few, None);
    for _ in 0..100_000 {
        login(&store, "many");
    }
    let many = time(calls, |_| _ = login(&store, "many"));
    line("login, with 100,000 others", many, Some(few));
    let ratio = many.as_secs_f64() / first.as_secs_f64();
    println!("  which is {ratio:.2}x of a user's first");
    let stats = store.store().stats().unwrap();
    let sessions = store.iter_sessions().count() as u64;
    println!(
        "  {:<28}{:>10.1} bytes a session, {:.2} keys a session",
        "index",
        stats.index_bytes as f64 / sessions as f64,
        stats.keys as f64 / sessions as f64
    );
}

/// The time that the manager adds to its store: a page that reads its session, beside a read of a value of the same
/// length, and a page that changes it, beside an update of the same session.
fn visits(count: u64, exclusive: bool) {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir.path().join("bench.shelf"), exclusive, Durability::Os);
    let store = SessionOptions::new()
        .idle_lifetime(Duration::from_secs(3600))
        .with_store(store)
        .unwrap();
    let store = Arc::new(store);
    let manager = ManagerOptions::new().manage_shared(store.clone()).unwrap();
    println!(
        "{count} sessions under a manager, {}",
        if exclusive { "exclusive" } else { "shared" }
    );
    let mut ids: Vec<SessionId> = Vec::new();
    for nth in 0..count {
        let mut visit = manager.begin::<&str>([]);
        visit.login(&format!("user {nth}")).unwrap();
        visit.session().unwrap().insert("cart", "tea").unwrap();
        let _ = visit.save().unwrap();
        ids.extend(visit.session().unwrap().id().cloned());
    }
    let calls = count.min(100_000);
    let cookies: Vec<String> = (0..calls)
        .map(|nth| &ids[usize::try_from(nth * 7919 % count).unwrap()])
        .map(|id| format!("theme=dark; __Host-id={}", id.as_str()))
        .collect();
    let cookie = |nth: u64| [cookies[usize::try_from(nth).unwrap()].as_bytes()];
    let id = |nth: u64| &ids[usize::try_from(nth * 7919 % count).unwrap()];

    let entries = store.store().iter().map(Result::unwrap);
    let sessions = entries.filter(|(_, value)| value.windows(4).any(|word| word == b"cart"));
    let keys: Vec<Vec<u8>> = sessions.map(|(key, _)| key).collect();
    let get = time(calls, |nth| {
        let key = &keys[usize::try_from(nth * 7919 % count).unwrap()];
        assert!(black_box(store.store().get(key).unwrap()).is_some());
    });
    let read = time(calls, |nth| {
        let mut visit = manager.begin(cookie(nth));
        assert!(black_box(visit.user().unwrap()).is_some());
        let _ = black_box(visit.finish().unwrap());
    });
    let blind = time(calls, |nth| {
        let _ = black_box(manager.begin(cookie(nth)).finish().unwrap());
    });
    let update = time(calls, |nth| {
        let updated = store.update_session(id(nth), |session| session.insert("n", &nth));
        assert!(updated.unwrap().is_some());
    });
    let page = time(calls, |nth| {
        let mut visit = manager.begin(cookie(nth));
        visit.session().unwrap().insert("m", &nth).unwrap();
        let _ = black_box(visit.finish().unwrap());
    });
    let more = |name: &str, ours: Duration, than: Duration, what: &str, most_us: u64| {
        let more = ours.as_secs_f64() - than.as_secs_f64();
        println!(
            "  {name:<28}{:>10} ns   {what} {:>6} ns   {:>+6.2} us, at most {most_us} us more",
            ours.as_nanos(),
            than.as_nanos(),
            more * 1e6
        );
    };
    more("a page that reads", read, get, "Store::get    ", 4);
    more("a page that does not look", blind, get, "Store::get    ", 4);
    more("a page that changes", page, update, "update_session", 2);
}

/// How long new keys wait for the table to grow: a shard at a time does, so the longest waits of all are one each.
fn growth(keys: u64) {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir.path().join("bench.shelf"), true, Durability::Os);
    for first in (0..keys).step_by(1_000) {
        let mut batch = Batch::new();
        (first..first + 1_000).for_each(|nth| _ = batch.insert(key(nth), [7; 8]));
        store.write(&batch).unwrap();
    }
    // A fifth more, so that each of the 256 shards grows once.
    let mut waits: Vec<Duration> = (keys..keys + keys / 5)
        .map(|nth| {
            let start = Instant::now();
            store.insert(key(nth), [7; 8]).unwrap();
            start.elapsed()
        })
        .collect();
    waits.sort_unstable_by(|a, b| b.cmp(a));
    println!("from {keys} to {} keys, one by one", keys + keys / 5);
    for (name, nth) in [
        ("the longest", 0),
        ("the 64th longest", 63),
        ("the 256th longest", 255),
    ] {
        line(name, waits[nth], None);
    }
}

/// How cost grows with keys and with the length of values. While a compaction runs one thread loads and one saves; the
/// longest that each of their calls took is the pause that users see.
fn scale(keys: u64, value_bytes: usize) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bench.shelf");
    let store = open(&path, true, Durability::Os);
    println!("{keys} keys, values of {value_bytes} B, exclusive");
    let value = vec![7; value_bytes];
    // Batches of 400 KB, as a million sessions would be imported.
    let together = (400_000 / (80 + value_bytes as u64)).clamp(1, keys);
    let bulk = time(keys / together, |nth| {
        let mut batch = Batch::new();
        for key_nth in nth * together..(nth + 1) * together {
            batch.insert(key(key_nth), &value);
        }
        store.write(&batch).unwrap();
    });
    let keys = keys / together * together;
    line(
        "insert in batches, an entry",
        bulk / u32::try_from(together).unwrap(),
        None,
    );
    // The system writes back what was saved, on one of the two processors that the opening uses.
    store.sync().unwrap();
    store.close().unwrap();
    let start = Instant::now();
    let store = open(&path, true, Durability::Os);
    let opened = start.elapsed();
    println!(
        "  {:<28}{:>10.1} ms   {:>15} ns a record",
        "open",
        opened.as_secs_f64() * 1e3,
        opened.as_nanos() / u128::from(keys)
    );
    let stats = store.stats().unwrap();
    let index = stats.index_bytes as f64 / keys as f64;
    println!("  {:<28}{index:>10.1} B a key", "index");
    let calls = keys.min(200_000);
    let mut random = Random(2);
    let hit = time(calls, |_| {
        assert!(black_box(store.get(key(random.next() % keys)).unwrap()).is_some())
    });
    line("get, hit", hit, None);
    let save = time(calls, |_| {
        _ = store.insert(key(random.next() % keys), &value).unwrap()
    });
    line("insert over an old value", save, None);
    store.sync().unwrap();
    let (start, mut seen) = (Instant::now(), 0_u32);
    store
        .for_each(|_, value| seen += u32::from(!black_box(value).is_empty()))
        .unwrap();
    line("for_each, an entry", start.elapsed() / seen, None);
    let over = AtomicBool::new(false);
    let longest = |seed: u64, call: &dyn Fn(Key)| {
        let (mut random, mut longest) = (Random(seed), Duration::ZERO);
        while !over.load(Acquire) {
            let start = Instant::now();
            call(key(random.next() % keys));
            longest = longest.max(start.elapsed());
        }
        longest
    };
    std::thread::scope(|scope| {
        let load = scope.spawn(|| {
            longest(3, &|key| {
                assert!(black_box(store.get(key).unwrap()).is_some())
            })
        });
        let save = scope.spawn(|| longest(4, &|key| _ = store.insert(key, &value).unwrap()));
        let start = Instant::now();
        store.compact().unwrap();
        let took = start.elapsed();
        over.store(true, Release);
        println!("  {:<28}{:>10.1} ms", "compact", took.as_secs_f64() * 1e3);
        line("the longest get meanwhile", load.join().unwrap(), None);
        line("the longest insert meanwhile", save.join().unwrap(), None);
    });
}

fn main() {
    // `cargo bench` passes `--bench`; numbers choose what is measured.
    let chosen: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| !argument.starts_with('-'))
        .collect();
    match chosen.first().map(String::as_str) {
        Some("sessions") => return sessions(500_000),
        Some("users") => return users(1_000_000),
        Some("visits") => return [true, false].into_iter().for_each(|it| visits(100_000, it)),
        Some("growth") => return growth(10_000_000),
        Some("writers") => {
            for durability in [Durability::Os, Durability::Immediate] {
                for (processes, threads) in [(1, 1), (1, 16), (2, 1), (4, 1), (8, 1), (16, 1)] {
                    writers(processes, threads, durability);
                }
            }
            return;
        }
        Some("writer") => {
            let durability = match chosen[2].as_str() {
                "Os" => Durability::Os,
                _ => Durability::Immediate,
            };
            return writer_process(
                Path::new(&chosen[3]),
                chosen[1].parse().unwrap(),
                durability,
            );
        }
        Some("scale") => {
            for (keys, value_bytes) in [
                (1_000_000, 320),
                (10_000_000, 320),
                (200_000, 4_096),
                (20_000, 65_536),
            ] {
                scale(keys, value_bytes);
            }
            return;
        }
        _ => {}
    }
    if chosen.is_empty() {
        [true, false].into_iter().for_each(|it| visits(10_000, it));
    }
    let list = |nth: usize, default: &str| -> Vec<u64> {
        let text = chosen.get(nth).map_or(default, String::as_str);
        text.split(',')
            .map(|number| number.parse().expect("a number"))
            .collect()
    };
    for &keys in &list(0, "10000,100000") {
        for &value_bytes in &list(1, "100,1024,16384") {
            for exclusive in [true, false] {
                figures(
                    keys,
                    usize::try_from(value_bytes).expect("a length"),
                    exclusive,
                );
            }
        }
    }
}
