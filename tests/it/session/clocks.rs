//! Processes whose clocks run, step and are set apart, on the same sessions in one file.

use super::*;
use crate::support::{Random, is_soak, metric};
use shelflife::sim::SimProcess;

const IDLE: Duration = Duration::from_secs(30 * 60);
const ABSOLUTE: Duration = Duration::from_secs(2 * 60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// A session as it is stored.
struct Known {
    session: Session,
    created: SystemTime,
    accessed: SystemTime,
}

impl Known {
    fn end(&self) -> SystemTime {
        (self.accessed + IDLE).min(self.created + ABSOLUTE)
    }

    /// Notes a use.
    fn is_used(&mut self, clock: Clock, is_change: bool) {
        if self.accessed > clock.now + MINUTE {
            if !clock.is_wrong {
                self.accessed = clock.now;
                self.created = self.created.min(clock.now);
            }
        } else if is_change || clock.now >= self.accessed + MINUTE {
            self.accessed = self.accessed.max(clock.now);
        }
    }
}

#[derive(Clone, Copy)]
struct Clock {
    now: SystemTime,
    is_wrong: bool,
}

impl Clock {
    /// The meaning of this time by the clock, for a file that was made at the start.
    fn reading(wall: SystemTime) -> Clock {
        Clock {
            now: wall.max(start()),
            is_wrong: wall < start(),
        }
    }

    fn ends(self, known: &Known) -> bool {
        !self.is_wrong && known.end() <= self.now
    }
}

/// In every walk each process finds a session exactly while its own clock reads earlier than the end, whatever the
/// others have found; a logout and a sweep take what they should, hidden or not, and say how many; a clock that reads
/// earlier than the file's creation ends nothing, stamps nothing back, sweeps nothing and drops nothing.
#[test]
fn in_every_walk_of_two_processes_clocks_sessions_end_by_the_clock_of_who_asks() {
    let started = std::time::Instant::now();
    let walks = if is_soak() { 200_000 } else { 1_500 };
    let mut found = [0u64; 2];
    for seed in 0..walks {
        walk(seed, &mut found);
    }
    assert!(
        found.iter().all(|count| *count > walks * 2),
        "one-sided: {found:?}"
    );
    let secs = started.elapsed().as_secs_f64();
    metric("session_process_clock_walks", walks, Some(0), secs);
}

struct Hand {
    process: SimProcess,
    store: ShelveSessionStore,
    wall: SystemTime,
}

fn open_as(process: &SimProcess, hashed: bool) -> ShelveSessionStore {
    let mut options = SessionOptions::new();
    options
        .idle_lifetime(IDLE)
        .absolute_lifetime(ABSOLUTE)
        .hash_ids(hashed);
    let mut below = Options::new();
    below.disk(process.disk()).compaction(Compaction::Manual);
    let store = below.open("/sessions.shelf").unwrap();
    options.with_store(store).unwrap()
}

fn walk(seed: u64, found: &mut [u64; 2]) {
    let mut random = Random::new(seed);
    let sim = sim();
    let hashed = seed.is_multiple_of(2);
    let mut hands = [(); 2].map(|()| {
        let process = sim.process();
        let store = open_as(&process, hashed);
        Hand {
            process,
            store,
            wall: start(),
        }
    });
    let mut known: Vec<Known> = Vec::new();
    let log_in = |hand: &Hand, known: &mut Vec<Known>| {
        let session = login(&hand.store, "ann");
        let now = Clock::reading(hand.wall).now;
        known.push(Known {
            session,
            created: now,
            accessed: now,
        });
    };
    log_in(&hands[0], &mut known);
    for step in 0..50 {
        let context = || format!("seed {seed}, step {step}");
        let who = random.place(2);
        let secs = |most: u64, random: &mut Random| Duration::from_secs(random.below(most));
        let action = random.below(20);
        if action < 7 {
            let hand = &mut hands[who];
            match action {
                0 => hand.wall -= secs(4 * 3600, &mut random),
                1 => hand.wall += secs(2 * 3600, &mut random),
                2 if random.one_in(4) => hand.wall += secs(4 * 24 * 3600, &mut random),
                2 => hand.wall = start() + secs(3600, &mut random),
                3 => hand.store = open_as(&hand.process, hashed),
                _ => {
                    let by = secs(900, &mut random);
                    hands.iter_mut().for_each(|hand| hand.wall += by);
                }
            }
            for hand in &hands {
                hand.process.set_wall_clock(hand.wall);
            }
            continue;
        }
        let hand = &hands[who];
        let (store, clock) = (&hand.store, Clock::reading(hand.wall));
        if known.is_empty() {
            log_in(hand, &mut known);
            continue;
        }
        let at = random.place(known.len());
        let lives = !clock.ends(&known[at]);
        let live = |known: &[Known]| known.iter().filter(|known| !clock.ends(known)).count();
        let session_id = id(&known[at].session);
        let mut is_found = lives;
        match action {
            7 => log_in(hand, &mut known),
            8 => is_found = store.has_session(&session_id).unwrap(),
            9 => is_found = store.load_session(&session_id).unwrap().is_some(),
            10 => {
                is_found = store.touch_session(&session_id).unwrap();
                if lives {
                    known[at].is_used(clock, false);
                }
            }
            11 | 12 => {
                let change = |session: &mut Session| session.insert("n", &step);
                is_found = store.update_session(&session_id, change).unwrap().is_some();
                if lives {
                    known[at].is_used(clock, true);
                    known[at].session = load(store, &session_id);
                }
            }
            13 | 14 => {
                let mut copy = known[at].session.clone();
                if action == 14 {
                    copy.insert("m", &step).unwrap();
                }
                let saved = store.regenerate_id(&mut copy).unwrap();
                is_found = matches!(saved, Saved::Stored);
                if lives {
                    known[at].is_used(clock, true);
                    known[at].session = copy;
                }
            }
            15 => {
                let listed: Result<Vec<Session>> = store.iter_sessions().collect();
                assert_eq!(listed.unwrap().len(), live(&known), "{}", context());
                let of_ann = store.sessions_of("ann").unwrap().len();
                assert_eq!(of_ann, live(&known), "{}", context());
            }
            16 => {
                let handle = session_id.handle();
                let ended = match random.below(3) {
                    0 => store.delete_session(&session_id).unwrap(),
                    1 => store.delete_user_session("ann", &handle).unwrap(),
                    _ => store.delete_by_handle(handle).unwrap() == 1,
                };
                assert!(ended, "hidden or not: {}", context());
                known.swap_remove(at);
            }
            17 if random.one_in(3) => {
                let ended = store.delete_user_sessions("ann").unwrap();
                assert_eq!(ended, known.len(), "hidden or not: {}", context());
                known.clear();
            }
            18 if random.one_in(2) => {
                let swept = store.delete_old_sessions(Duration::MAX).unwrap();
                let remaining = live(&known);
                assert_eq!(swept, (known.len() - remaining, remaining), "{}", context());
                known.retain(|known| !clock.ends(known));
            }
            _ => {
                store.store().compact().unwrap();
                known.retain(|known| clock.is_wrong || known.end() + DAY >= clock.now);
            }
        }
        assert_eq!(is_found, lives, "action {action}: {}", context());
        found[usize::from(is_found)] += 1;
    }
}

/// As one in a file, which the walks are about.
#[test]
fn a_store_in_memory_takes_a_time_before_it_was_made_for_a_clock_that_is_wrong() {
    let time = Arc::new(Mutex::new(start()));
    let clock = Arc::clone(&time);
    let store = SessionOptions::new()
        .idle_lifetime(IDLE)
        .in_memory_with_clock(move || *clock.lock().unwrap());
    let set = |at| *time.lock().unwrap() = at;
    set(start() + HOUR);
    let ann = id(&login(&store, "ann"));
    set(SystemTime::UNIX_EPOCH);
    assert!(store.touch_session(&ann).unwrap());
    let bob = id(&login(&store, "bob"));
    assert_eq!(store.delete_old_sessions(Duration::ZERO).unwrap(), (0, 2));
    set(start() + MINUTE);
    assert!(store.has_session(&bob).unwrap());
    set(start() + HOUR + MINUTE);
    assert!(store.has_session(&ann).unwrap());
}
