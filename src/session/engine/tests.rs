//! Circumstances that can't be arranged from outside: a writer who comes between a snapshot and its use, a random
//! source that fails, and processes whose clocks differ.

use super::listing::CHUNK;
use super::*;
use crate::error::ErrorKind;
use crate::session::id::SessionHandle;
use crate::session::memory::Memory;
use crate::session::outcome::Saved;
use crate::session::record_key::{KIND, list_key};
use crate::session::records::{MakeEdit, NextEdits, Walk};
use crate::session::sha256::sha256;
use crate::session::{MemorySessionStore, SessionOptions};
use crate::store::entry::Entry;
use std::cell::Cell;
use std::collections::BTreeSet;
use std::fmt;
use std::io::Write;
use std::mem;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

mod found;
mod ids;

type Meddling = Box<dyn FnOnce() + Send>;
type Looked = Mutex<Option<Box<dyn FnMut(&[u8]) + Send>>>;

/// One process' view of a map that others use too.
struct Process {
    memory: Arc<Memory>,
    /// Run once each, at the end of a snapshot: before what was seen in it is acted on.
    meddling: Arc<Mutex<Vec<Meddling>>>,
    /// Run after each look at an entry, with its key: between two looks of a call that takes several.
    looked: Looked,
    random: fn(&mut [u8]) -> Result<()>,
    peek: fn(&Memory, &[u8]) -> Result<Option<Entry>>,
    /// More bytes in one step are refused.
    step_bytes_max: usize,
    /// The clock of this process, ms.
    clock: AtomicU64,
}

impl Process {
    fn new(memory: &Arc<Memory>) -> Process {
        Process {
            memory: Arc::clone(memory),
            meddling: Arc::default(),
            looked: Mutex::default(),
            random: |bytes| memory_random(bytes),
            peek: |memory, key| memory.peek(key),
            step_bytes_max: usize::MAX,
            clock: AtomicU64::new(0),
        }
    }
}

fn memory_random(bytes: &mut [u8]) -> Result<()> {
    map().random(bytes)
}

/// A map in which no record expires by itself, so that each process judges by its own clock.
fn map() -> Arc<Memory> {
    let MemorySessionStore { engine } =
        SessionOptions::new().in_memory_with_clock(|| SystemTime::UNIX_EPOCH);
    Arc::new(engine.records)
}

fn engine(records: Process) -> Engine<Process> {
    let rules = Rules {
        lifetimes: Lifetimes::default(),
        resolution: 0,
        kind: Some(Kind::Plain),
        session_bytes_max: usize::MAX,
    };
    Engine::new(records, rules)
}

impl Records for Process {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        self.memory.get(key)
    }

    fn peek(&self, key: &[u8]) -> Result<Option<Entry>> {
        let found = (self.peek)(&self.memory, key);
        if let Some(looked) = self.looked.lock().unwrap().as_mut() {
            looked(key);
        }
        found
    }

    fn edit(&self, key: &[u8], change: &mut MakeEdit<'_>) -> Result<()> {
        self.memory.edit(key, change)
    }

    fn change_in_steps(&self, next: &mut NextEdits<'_>) -> Result<()> {
        self.memory.change_in_steps(&mut || {
            let edits = next()?;
            let bytes = edits.iter().flatten().map(|(key, edit)| match edit {
                Edit::Put { value, .. } => key.len() + value.len(),
                _ => key.len(),
            });
            match bytes.sum::<usize>() <= self.step_bytes_max {
                true => Ok(edits),
                false => Err(Error::too_large("a step", "")),
            }
        })
    }

    fn walk(&self) -> Walk {
        let meddling = Arc::clone(&self.meddling);
        let end = std::iter::from_fn(move || {
            let meddle = meddling.lock().unwrap().pop();
            meddle.into_iter().for_each(|meddle| meddle());
            None
        });
        Box::new(self.memory.walk().chain(end))
    }

    fn remove_unchanged(&self, entries: &[Entry]) -> Result<usize> {
        self.memory.remove_unchanged(entries)
    }

    fn clear(&self) -> Result<()> {
        self.memory.clear()
    }

    fn now(&self) -> SystemTime {
        time_at(self.clock.load(Ordering::Relaxed)).unwrap()
    }

    fn is_clock_wrong(&self) -> bool {
        false
    }

    fn random(&self, bytes: &mut [u8]) -> Result<()> {
        (self.random)(bytes)
    }

    fn path(&self) -> Option<&Path> {
        None
    }
}

impl fmt::Debug for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Process")
    }
}

fn login(engine: &Engine<Process>, user: &str) -> Session {
    let mut session = Session::new();
    session.set_user(Some(user));
    assert!(matches!(engine.save(&mut session).unwrap(), Saved::Stored));
    session
}

fn users(engine: &Engine<Process>) -> Vec<String> {
    let sessions = engine.iter().map(|session| session.unwrap());
    sessions
        .map(|session| session.user().unwrap().to_string())
        .collect()
}

/// An engine, and another process on the same sessions that does this at the end of the next snapshot.
fn meddled(
    prepare: impl FnOnce(&Engine<Process>) -> Session,
    meddle: impl FnOnce(&Engine<Process>, Session) + Send + 'static,
) -> Engine<Process> {
    let map = map();
    let [here, there] = [(); 2].map(|()| engine(Process::new(&map)));
    let session = prepare(&here);
    let meddling: Meddling = Box::new(move || meddle(&there, session));
    here.records.meddling.lock().unwrap().push(meddling);
    here
}

fn two_users(engine: &Engine<Process>) -> Session {
    login(engine, "bob");
    let ann = login(engine, "ann");
    spoil_the_list_of(engine, "ann");
    ann
}

/// From now on the sessions of this user are found by reading all.
fn spoil_the_list_of(engine: &Engine<Process>, user: &str) {
    let hash: [u8; 16] = *sha256(user.as_bytes()).first_chunk().unwrap();
    let spoilt = Edit::Put {
        value: b"spoilt".to_vec(),
        expires: None,
        cbor: false,
    };
    let mut edits = vec![(list_key(&hash, 0), spoilt)];
    engine
        .records
        .change(&mut || Ok(mem::take(&mut edits)))
        .unwrap();
}

#[test]
fn a_session_that_is_used_after_the_snapshot_is_not_deleted_as_old() {
    let here = meddled(two_users, |there, ann| {
        there.records.clock.store(1, Ordering::Relaxed);
        assert!(there.touch(ann.id().unwrap()).unwrap());
    });
    assert_eq!(here.delete_old(Duration::ZERO).unwrap(), (1, 1));
    assert_eq!(users(&here), ["ann"]);
}

#[test]
fn a_session_that_others_delete_after_the_snapshot_is_neither_deleted_nor_left() {
    let here = meddled(two_users, |there, ann| {
        assert!(there.delete(ann.id().unwrap()).unwrap());
    });
    assert_eq!(here.delete_old(Duration::ZERO).unwrap(), (1, 0));
    let here = meddled(
        |engine| {
            login(engine, "bob");
            let mut visitor = Session::new();
            visitor.insert("n", &1u64).unwrap();
            assert!(matches!(engine.save(&mut visitor).unwrap(), Saved::Stored));
            visitor
        },
        |there, visitor| assert!(there.delete(visitor.id().unwrap()).unwrap()),
    );
    assert_eq!(here.delete_old(Duration::ZERO).unwrap(), (1, 0));
}

#[test]
fn a_session_that_is_saved_after_the_snapshot_is_logged_out_all_the_same() {
    let here = meddled(two_users, |there, mut ann| {
        ann.insert("n", &1u64).unwrap();
        assert!(matches!(there.save(&mut ann).unwrap(), Saved::Stored));
    });
    assert_eq!(here.delete_user("ann", None).unwrap(), 1);
    assert_eq!(users(&here), ["bob"]);
}

/// Or a busy session would escape for as long as it is busy.
#[test]
fn a_session_that_is_saved_after_every_snapshot_is_logged_out_by_the_first() {
    let map = map();
    let [here, there] = [(); 2].map(|()| Arc::new(engine(Process::new(&map))));
    let ann = login(&here, "ann");
    spoil_the_list_of(&here, "ann");
    for n in 0..5u64 {
        let (there, mut ann) = (Arc::clone(&there), ann.clone());
        let save = Box::new(move || {
            ann.insert("n", &n).unwrap();
            ann.stamp.version = 5 - n; // the last one is run first
            let _ = there.save(&mut ann).unwrap();
        });
        here.records.meddling.lock().unwrap().push(save);
    }
    assert_eq!(here.delete_user("ann", None).unwrap(), 1);
    let snapshots = 5 - here.records.meddling.lock().unwrap().len();
    assert_eq!(snapshots, 2, "one to find it, one to find nothing more");
}

#[test]
fn a_session_that_gets_a_new_id_after_the_snapshot_is_logged_out_all_the_same() {
    let here = meddled(two_users, |there, mut ann| {
        assert!(matches!(
            there.regenerate(&mut ann, None).unwrap(),
            Saved::Stored
        ));
    });
    assert_eq!(here.delete_user("ann", None).unwrap(), 1);
    assert_eq!(users(&here), ["bob"]);
}

#[test]
fn a_session_that_becomes_somebody_elses_after_the_snapshot_is_left_alone() {
    let here = meddled(two_users, |there, mut ann| {
        ann.set_user(Some("cleo"));
        assert!(matches!(there.save(&mut ann).unwrap(), Saved::Stored));
    });
    assert_eq!(here.delete_user("ann", None).unwrap(), 0);
    assert_eq!(users(&here), ["bob", "cleo"]);
}

#[test]
fn bulk_deletions_count_across_their_chunks() {
    let here = engine(Process::new(&map()));
    for n in 0..2 * CHUNK + 3 {
        login(&here, if n % 2 == 0 { "ann" } else { "bob" });
    }
    assert_eq!(here.delete_user("ann", None).unwrap(), CHUNK + 2);
    assert_eq!(here.delete_old(Duration::MAX).unwrap(), (0, CHUNK + 1));
    assert_eq!(here.delete_old(Duration::ZERO).unwrap(), (CHUNK + 1, 0));
}

#[test]
fn without_randomness_there_is_no_session() {
    let mut here = engine(Process::new(&map()));
    let mut ann = login(&here, "ann");
    let known = ann.id().cloned();

    here.records.random = |_| Err(Error::random_repeats());
    let mut bob = Session::new();
    bob.set_user(Some("bob"));
    assert_eq!(here.save(&mut bob).unwrap_err().kind(), ErrorKind::Io);
    assert_eq!(
        here.regenerate(&mut ann, None).unwrap_err().kind(),
        ErrorKind::Io
    );
    assert!(bob.id().is_none() && ann.id().cloned() == known);
    assert_eq!(users(&here), ["ann"]);
}

#[test]
fn a_random_source_that_repeats_itself_takes_over_no_session() {
    let mut here = engine(Process::new(&map()));
    here.records.random = |bytes| {
        bytes.fill(7);
        Ok(())
    };
    let mut ann = login(&here, "ann");
    let mut bob = Session::new();
    bob.set_user(Some("bob"));
    let error = here.save(&mut bob).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the operating system's random source repeats itself; check /dev/urandom"
    );
    assert!(bob.id().is_none());
    assert!(here.regenerate(&mut ann, None).is_err());
    assert_eq!(users(&here), ["ann"]);

    // Every second draw is a new one: that is enough.
    here.records.random = |bytes| {
        thread_local!(static DRAWN: Cell<u8> = const { Cell::new(13) });
        let drawn = DRAWN.get() + 1;
        DRAWN.set(drawn);
        bytes.fill(drawn / 2);
        Ok(())
    };
    assert!(matches!(here.save(&mut bob).unwrap(), Saved::Stored));
    assert!(matches!(
        here.regenerate(&mut bob, None).unwrap(),
        Saved::Stored
    ));
    assert_eq!(users(&here), ["ann", "bob"]);
}

thread_local!(static LAST_BITS: Cell<u8> = const { Cell::new(0) });

/// A session of ann whose id ends in these bits, by which its part of the list is chosen.
fn login_by_bits(engine: &Engine<Process>, bits: u8) -> Session {
    LAST_BITS.set(bits);
    login(engine, "ann")
}

/// Two processes that draw ids which end in the bits that a test says, and a list of ann in three parts: 32 names in
/// part 0, 7 in part 1, of which 4 go to part 3 at the next split, 5 in part 2.
fn three_parts() -> ([Arc<Engine<Process>>; 2], Vec<Session>) {
    let map = map();
    let engines = [(); 2].map(|()| {
        let mut process = Process::new(&map);
        process.random = |bytes| {
            memory_random(bytes)?;
            let last = bytes.last_mut().unwrap();
            *last = *last & !3 | LAST_BITS.get();
            Ok(())
        };
        Arc::new(engine(process))
    });
    let mut sessions = Vec::new();
    for (bits, count) in [(0, 21), (1, 3), (3, 4), (2, 5), (0, 11)] {
        sessions.extend((0..count).map(|_| login_by_bits(&engines[0], bits)));
    }
    let parts: Vec<usize> = (0..4).map(|nth| names_in(&engines[0], nth)).collect();
    assert_eq!(parts, [32, 7, 5, 0]);
    (engines, sessions)
}

/// How many names stand in a part of ann's list.
fn names_in(engine: &Engine<Process>, part: u32) -> usize {
    let hash: [u8; 16] = *sha256(b"ann").first_chunk().unwrap();
    let stored = engine.records.memory.peek(&list_key(&hash, part)).unwrap();
    stored.map_or(0, |stored| (stored.value().len() - 9) / 21)
}

fn is_part(key: &[u8], part: u32) -> bool {
    let hash: [u8; 16] = *sha256(b"ann").first_chunk().unwrap();
    key == list_key(&hash, part)
}

fn handles(sessions: &[Session]) -> BTreeSet<SessionHandle> {
    let handles = sessions.iter().map(|session| session.handle().unwrap());
    handles.collect()
}

/// A reader without the lock reads the parts of a list one after the other. This list is split between the looks at
/// part 0 and at part 1, joined when all were looked at, and split once more at the same place in the next round, which
/// so reads the same names in the same order: those that went to part 3 are in neither.
#[test]
fn a_list_that_is_split_joined_and_split_again_between_two_reads_names_all_sessions() {
    let ([here, there], sessions) = three_parts();
    let other = Arc::clone(&there);
    let (mut heads, mut added) = (0, None);
    *here.records.looked.lock().unwrap() = Some(Box::new(move |key| {
        if is_part(key, 0) {
            heads += 1;
        }
        match (is_part(key, 0), key == KIND, added.take()) {
            (true, ..) if heads <= 2 => {
                added = Some(login_by_bits(&other, 0));
                assert_eq!(names_in(&other, 3), 4, "it was split");
            }
            (_, true, Some(session)) if heads == 1 => {
                let mut ended: Session = session;
                // With each turn the names of both parts change places, until they stand as before.
                for turn in 1..=32 * 3 {
                    assert!(other.delete(ended.id().unwrap()).unwrap());
                    let short = login_by_bits(&other, 1);
                    assert!(other.delete(short.id().unwrap()).unwrap());
                    assert_eq!(names_in(&other, 1), 7, "it was joined");
                    if turn < 32 * 3 {
                        ended = login_by_bits(&other, 0);
                    }
                }
            }
            (_, _, kept) => added = kept,
        }
    }));
    let found = handles(&here.sessions_of("ann").unwrap());
    *here.records.looked.lock().unwrap() = None;
    assert!(
        found.is_superset(&handles(&sessions)),
        "{} found",
        found.len()
    );
    let all = handles(&here.sessions_of("ann").unwrap());
    assert_eq!(
        all.len(),
        sessions.len() + 1,
        "the last that logged in as well"
    );
}

#[test]
fn the_sessions_of_a_list_of_many_parts_are_found_without_reading_all_others() {
    let here = engine(Process::new(&map()));
    let sessions: Vec<Session> = (0..500).map(|_| login(&here, "ann")).collect();
    let read_all: Meddling = Box::new(|| panic!("all records were read"));
    here.records.meddling.lock().unwrap().push(read_all);
    let found = handles(&here.sessions_of("ann").unwrap());
    assert_eq!(found, handles(&sessions));
}

/// The session is renewed between the looks at the part that it goes to and the one that it leaves, in two rounds.
#[test]
fn a_session_that_goes_from_part_to_part_while_they_are_read_is_found() {
    let ([here, there], mut sessions) = three_parts();
    let other = Arc::clone(&there);
    let mut moving = sessions.remove(sessions.iter().position(|it| bits_of(it) == 2).unwrap());
    let (mut rounds, mut turns) = (0, 0);
    let mut renew = move |bits: u8| {
        LAST_BITS.set(bits);
        let renewed = other.regenerate(&mut moving, None).unwrap();
        assert!(matches!(renewed, Saved::Stored));
    };
    *here.records.looked.lock().unwrap() = Some(Box::new(move |key| {
        rounds += usize::from(is_part(key, 0));
        if is_part(key, 1) && rounds <= 2 {
            renew(1);
        }
        if key == KIND && rounds == 1 {
            renew(2);
            // Until the names of both parts stand as before: the 7 others in the one and the 4 in the other.
            while turns < 7 * 4 - 1 {
                turns += 1;
                renew(1);
                renew(2);
            }
        }
    }));
    let found = here.sessions_of("ann").unwrap();
    assert_eq!(found.len(), sessions.len() + 1);
}

fn bits_of(session: &Session) -> u8 {
    session.id().unwrap().bits()[15] & 3
}

/// A reader gives up the list after some rounds, and reads all records, which is of one moment.
#[test]
fn a_list_that_changes_with_every_read_names_all_sessions() {
    let ([here, there], sessions) = three_parts();
    let (other, mut last) = (Arc::clone(&there), None);
    *here.records.looked.lock().unwrap() = Some(Box::new(move |key| {
        if is_part(key, 0) {
            if let Some(last) = last.take() {
                let last: Session = last;
                assert!(other.delete(last.id().unwrap()).unwrap());
            }
            last = Some(login_by_bits(&other, 0));
        }
    }));
    let found = handles(&here.sessions_of("ann").unwrap());
    assert!(
        found.is_superset(&handles(&sessions)),
        "{} found",
        found.len()
    );
}

/// The records of sessions that ended are dropped, and their names stay in the list for a while. Where such a session
/// comes back from another store together with a second one, the list names both.
#[test]
fn a_session_that_is_copied_over_its_own_old_name_is_listed() {
    let (from, to) = (engine(Process::new(&map())), engine(Process::new(&map())));
    let sessions: Vec<Session> = (0..2).map(|_| login(&from, "ann")).collect();
    assert_eq!(to.import(&sessions[..1]).unwrap(), 1);
    let key = Kind::Plain.key_of(sessions[0].id().unwrap());
    let mut dropped = vec![(key, Edit::Remove)];
    to.records
        .change(&mut || Ok(mem::take(&mut dropped)))
        .unwrap();
    assert_eq!(names_in(&to, 0), 1, "the name is still there");
    assert_eq!(to.import(&sessions).unwrap(), 2);
    assert_eq!(handles(&to.sessions_of("ann").unwrap()), handles(&sessions));
    assert_eq!(to.delete_user("ann", None).unwrap(), 2);
}

/// A server whose slots move may list a session twice, as it was before and as it is.
#[test]
fn of_two_states_of_a_session_in_one_batch_the_later_is_stored_in_any_order() {
    let from = engine(Process::new(&map()));
    let early = login(&from, "ann");
    let mut late = early.clone();
    late.insert("n", &1u64).unwrap();
    assert!(matches!(from.save(&mut late).unwrap(), Saved::Stored));
    for batch in [[&early, &late], [&late, &early], [&late, &late]] {
        let to = engine(Process::new(&map()));
        assert_eq!(to.import(&batch.map(Clone::clone)).unwrap(), 1);
        let stored = to.load(late.id().unwrap()).unwrap().unwrap();
        assert_eq!(stored.version(), 2);
    }
}

/// However many users there are: the lists of all of them need not go into one batch.
#[test]
fn lists_are_made_anew_in_steps_of_a_bounded_size() {
    let map = map();
    let mut process = Process::new(&map);
    process.step_bytes_max = 200 * CHUNK;
    let here = engine(process);
    let users = 5 * CHUNK;
    for nth in 0..users {
        login(&here, &format!("user {nth}"));
    }
    // As a salvage leaves it that lost a list.
    let hash: [u8; 16] = *sha256(b"user 7").first_chunk().unwrap();
    let mut lost = vec![
        (list_key(&hash, 0), Edit::Remove),
        (KIND.to_vec(), Edit::Remove),
    ];
    here.records
        .change(&mut || Ok(mem::take(&mut lost)))
        .unwrap();
    here.relist_all().unwrap();
    assert_eq!(here.note().unwrap(), kind::Note::Says(Kind::Plain));
    for nth in [0, 7, users - 1] {
        let found = here.sessions_of(&format!("user {nth}")).unwrap();
        assert_eq!(found.len(), 1);
    }
}

/// SplitMix64 (Steele, Lea, Flood 2014).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % bound
    }
}

const MINUTE: u64 = 60_000;
const IDLE: u64 = 30 * MINUTE;
const ABSOLUTE: u64 = 120 * MINUTE;

/// Two processes whose clocks run, step and are set apart use one session. In every walk each finds the session exactly
/// while its own clock reads earlier than the end, whatever the other has found; a use moves the last use forward, or
/// back if it lies over a minute ahead.
#[test]
fn in_every_walk_of_the_clocks_a_session_is_there_by_the_clock_of_who_asks() {
    let started = std::time::Instant::now();
    let is_soak = std::env::var_os("SHELF_SOAK").is_some_and(|value| value != "0");
    let walks = if is_soak { 10_000_000 } else { 100_000 };
    let mut outcomes = [0u64; 2];
    for seed in 0..walks {
        let survived = walk(seed);
        outcomes[usize::from(survived)] += 1;
    }
    assert!(
        outcomes.iter().all(|count| *count > walks / 20),
        "one-sided: {outcomes:?}"
    );
    writeln!(
        std::io::stdout(),
        "METRIC session_clock_walks={walks} seed=0 secs={:.1}",
        started.elapsed().as_secs_f64()
    )
    .unwrap();
}

fn walk(seed: u64) -> bool {
    let mut random = Random(seed);
    let map = map();
    let start = 1_000_000 * MINUTE;
    let processes = [(); 2].map(|()| {
        let process = Process::new(&map);
        process.clock.store(start, Ordering::Relaxed);
        let mut engine = engine(process);
        engine.rules.lifetimes = Lifetimes {
            idle: Some(IDLE),
            absolute: Some(ABSOLUTE),
        };
        engine.rules.resolution = MINUTE;
        engine
    });
    let session = login(&processes[0], "ann");
    let id = session.id().unwrap();
    let (mut created, mut accessed) = (start, start);
    let mut found = true;
    for step in 0..40 {
        let who = random.below(2) as usize;
        let engine = &processes[who];
        let clock = &engine.records.clock;
        let now = clock.load(Ordering::Relaxed);
        match random.below(12) {
            0 => {
                let by = random.below(2 * ABSOLUTE);
                clock.store(now - by.min(now - start / 2), Ordering::Relaxed);
            }
            1 => clock.store(now + random.below(ABSOLUTE), Ordering::Relaxed),
            2..7 => {
                let by = random.below(5 * MINUTE);
                for process in &processes {
                    process.records.clock.fetch_add(by, Ordering::Relaxed);
                }
            }
            action => {
                let lives = now < (accessed + IDLE).min(created + ABSOLUTE);
                let is_change = action == 10;
                found = match action {
                    7 => engine.has(id).unwrap(),
                    8 => engine.load(id).unwrap().is_some(),
                    9 => engine.touch(id).unwrap(),
                    10 => engine
                        .edit(id, &mut |session| session.insert("n", &step).map(drop))
                        .unwrap()
                        .is_some(),
                    _ => engine.iter().count() == 1,
                };
                assert_eq!(found, lives, "seed {seed}, step {step}, action {action}");
                if found && (is_change || action == 9) {
                    let is_ahead = accessed > now + MINUTE;
                    if is_ahead {
                        created = created.min(now);
                        accessed = now;
                    } else if is_change || now >= accessed + MINUTE {
                        accessed = accessed.max(now);
                    }
                }
            }
        }
    }
    found
}
