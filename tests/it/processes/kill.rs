//! SIGKILL at random moments: every acknowledged write is there, and of the one under way all or nothing.
//!
//! The writes of a child follow from a seed, and it tells a byte for each call that returned. So the parent knows, of
//! each killed child, two states of which one must be found: with and without the call that was under way.

use super::{Child, relaxed, tell};
use crate::support::{Random, is_soak, metric, setting};
use shelflife::{Batch, Change, Compaction, Durability, Options, Store};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Instant;

const KEYS: u64 = 24;
const ROUNDS: u64 = 150;
const ROUNDS_SOAK: u64 = 2_500;

type State = BTreeMap<Vec<u8>, Vec<u8>>;

/// The `nth` call of a child.
enum Call {
    Insert(Vec<u8>, Vec<u8>),
    Remove(Vec<u8>),
    Update(Vec<u8>, Vec<u8>),
    Write(Vec<(Vec<u8>, Option<Vec<u8>>)>),
    Reopen,
}

/// The calls of one child, whose keys are its own.
struct Script {
    random: Random,
    who: u64,
}

impl Script {
    fn new(seed: u64, who: u64) -> Script {
        Script {
            random: Random::new(seed ^ who << 32),
            who,
        }
    }

    fn key(&mut self) -> Vec<u8> {
        format!("{}:{}", self.who, self.random.below(KEYS)).into_bytes()
    }

    fn value(&mut self) -> Vec<u8> {
        let stamp = self.random.next().to_le_bytes();
        // The system stops a write only between two pages: some values have many.
        let len = match self.random.below(6) {
            0 => self.random.below(300_000),
            _ => self.random.below(2_000),
        };
        (0..len as usize).map(|at| stamp[at % 8]).collect()
    }

    fn next(&mut self) -> Call {
        match self.random.below(40) {
            0..=23 => Call::Insert(self.key(), self.value()),
            24..=29 => Call::Remove(self.key()),
            30..=34 => Call::Update(self.key(), self.value()),
            35..=38 => {
                let count = 1 + self.random.below(6);
                let change = |_| {
                    let key = self.key();
                    (key, (!self.random.one_in(3)).then(|| self.value()))
                };
                Call::Write((0..count).map(change).collect())
            }
            _ => Call::Reopen,
        }
    }
}

impl Call {
    fn make(&self, store: &mut Option<Store>, options: &Options, path: &Path) {
        let open = store.as_ref().unwrap();
        match self {
            Call::Insert(key, value) => _ = open.insert(key, value).unwrap(),
            Call::Remove(key) => _ = open.remove(key).unwrap(),
            Call::Update(key, value) => {
                let put = Change::Put(value.clone());
                open.update(key, |_| Ok((put, ()))).unwrap();
            }
            Call::Write(changes) => {
                let mut batch = Batch::new();
                for (key, value) in changes {
                    match value {
                        Some(value) => batch.insert(key, value),
                        None => batch.remove(key),
                    };
                }
                open.write(&batch).unwrap();
            }
            Call::Reopen => {
                store.take().unwrap().close().unwrap();
                *store = Some(options.open(path).unwrap());
            }
        }
    }

    fn play(&self, state: &mut State) {
        match self {
            Call::Insert(key, value) | Call::Update(key, value) => {
                state.insert(key.clone(), value.clone());
            }
            Call::Remove(key) => _ = state.remove(key),
            Call::Write(changes) => {
                for (key, value) in changes {
                    match value {
                        Some(value) => state.insert(key.clone(), value.clone()),
                        None => state.remove(key),
                    };
                }
            }
            Call::Reopen => {}
        }
    }
}

/// The child: writes, and tells a byte for each call that returned.
pub(super) fn write_until_killed(path: &Path, args: &[u64]) {
    let &[seed, who, durable, compacts] = args else {
        panic!("four arguments")
    };
    let mut options = Options::new();
    if durable == 0 {
        options.durability(Durability::Os);
    }
    options.compaction(Compaction::Manual);
    let compacting = (compacts == 1).then(|| options.clone());
    tell("opening");
    let mut store = Some(options.open(path).unwrap());
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        if let Some(options) = compacting {
            let stop = &stop;
            scope.spawn(move || {
                let store = options.open(path).unwrap();
                while !stop.load(Relaxed) {
                    // Busy, if the other child is at it.
                    let _ = store.compact();
                }
            });
        }
        let mut script = Script::new(seed, who);
        // Far more than it lives for.
        for _ in 0..1_000_000 {
            script.next().make(&mut store, &options, path);
            std::io::stderr().write_all(b".").unwrap();
        }
        stop.store(true, Relaxed);
    });
}

/// A child that writes, and what its calls have led to so far.
struct Writer {
    child: Child,
    script: Script,
    calls: u64,
    state: State,
}

impl Writer {
    fn start(path: &Path, seed: u64, who: u64, durable: bool, state: State) -> Writer {
        let compacts = seed.is_multiple_of(3);
        let args = [seed, who, u64::from(durable), u64::from(compacts)];
        let mut child = Child::start("write until killed", path, &args);
        child.expect("opening");
        Writer {
            child,
            script: Script::new(seed, who),
            calls: 0,
            state,
        }
    }

    /// Waits until so many more calls have returned.
    fn await_calls(&mut self, calls: u64) {
        let mut told = vec![0; calls as usize];
        let read = self.child.told.read_exact(&mut told);
        self.count(&told);
        if read.is_err() {
            panic!("a child died of itself");
        }
    }

    fn count(&mut self, told: &[u8]) {
        let text = String::from_utf8_lossy(told);
        assert!(told.iter().all(|&byte| byte == b'.'), "a child: {text}");
        for _ in told {
            self.script.next().play(&mut self.state);
            self.calls += 1;
        }
    }

    /// Kills it; returns its calls, and both states that there may be.
    fn kill(mut self) -> (u64, [State; 2]) {
        self.child.process.kill().unwrap();
        let mut told = Vec::new();
        self.child.told.read_to_end(&mut told).unwrap();
        self.count(&told);
        self.child.process.wait().unwrap();
        let mut after = self.state.clone();
        self.script.next().play(&mut after);
        (self.calls, [self.state, after])
    }
}

/// Which of two states there is of the keys of one child.
fn found(store: &Store, who: u64, states: [State; 2], seed: u64) -> State {
    let prefix = format!("{who}:").into_bytes();
    let is_own = |(key, _): &(Vec<u8>, Vec<u8>)| key.starts_with(&prefix);
    let pairs: Vec<_> = store.iter().collect::<Result<_, _>>().unwrap();
    let there: State = pairs.into_iter().filter(is_own).collect();
    for state in &states {
        if there == *state {
            return there;
        }
    }
    let [before, _] = states;
    let show = |state: &State| -> Vec<String> {
        let shown = |(key, value): (&Vec<u8>, &Vec<u8>)| {
            let stamp = value.get(..8).unwrap_or(value);
            format!("{}={stamp:x?}", String::from_utf8_lossy(key))
        };
        state.iter().map(shown).collect()
    };
    panic!(
        "acknowledged: {:?}\nthere: {:?}\nSHELF_FUZZ_SEED={seed} cargo test --test it processes::kill",
        show(&before),
        show(&there)
    );
}

/// Passes the time in a way that differs each time, so that a kill hits any place.
fn dawdle(random: &mut Random) {
    for _ in 0..random.below(200_000) {
        std::hint::spin_loop();
    }
}

fn kill_rounds(name: &str, dir: &Path, seeds: std::ops::Range<u64>) {
    let start = Instant::now();
    let path = dir.join("s.shelf");
    let mut states = [State::new(), State::new()];
    let (mut kills, mut acknowledged, mut torn, mut switches) = (0, 0, 0, 0);
    // Which file was there when a round began.
    let mut generation = 1;
    for seed in seeds.clone() {
        let mut random = Random::new(seed);
        let durable = random.one_in(10);
        let [one, other] = states;
        let mut one = Writer::start(&path, seed, 0, durable, one);
        let mut other = Writer::start(&path, seed, 1, durable, other);
        if !random.one_in(8) {
            one.await_calls(random.below(60));
        }
        dawdle(&mut random);
        let (calls, after_one) = one.kill();
        acknowledged += calls;
        // The lock is free, and the tail gets repaired: the other one goes on.
        other.await_calls(1 + random.below(20));
        let reader = Options::new().read_only(true).open(&path).unwrap();
        let one = found(&reader, 0, after_one, seed);
        dawdle(&mut random);
        let (calls, after_other) = other.kill();
        acknowledged += calls;
        kills += 2;

        let store = relaxed().open(&path).unwrap();
        let other = found(&store, 1, after_other, seed);
        assert_eq!(found(&store, 0, [one.clone(), one.clone()], seed), one);
        let recovery = store.recovery();
        assert!(recovery.damage.is_empty(), "seed {seed}: {recovery:?}");
        torn += recovery.torn_tails.len();
        states = [one, other];
        let stats = store.stats().unwrap();
        switches += stats.generation - generation;
        generation = stats.generation;
        if stats.file_bytes > 8 << 20 {
            store.compact().unwrap();
            generation += 1;
            let names = std::fs::read_dir(dir).unwrap();
            let names: Vec<_> = names.map(|entry| entry.unwrap().file_name()).collect();
            // A repair that this very call began with keeps its evidence, and the report names it.
            let torn = store.recovery().torn_tails.into_iter();
            let told: Vec<_> = torn.filter_map(|torn| torn.evidence).collect();
            let is_told = |name: &_| told.iter().any(|path| path.file_name() == Some(name));
            let is_known = |name: &std::ffi::OsString| name == "s.shelf" || is_told(name);
            assert!(names.iter().all(is_known), "seed {seed}: {names:?}");
        }
    }
    let (seed, secs) = (Some(seeds.start), start.elapsed().as_secs_f64());
    metric(&format!("{name}_kills"), kills, seed, secs);
    metric(
        &format!("{name}_acknowledged_calls"),
        acknowledged,
        seed,
        secs,
    );
    metric(&format!("{name}_torn_tails"), torn, seed, secs);
    metric(&format!("{name}_switches"), switches, seed, secs);
    assert!(switches > 0, "no compaction took part");
}

#[test]
fn every_acknowledged_write_survives_kill_9_of_its_process() {
    let dir = tempfile::tempdir().unwrap();
    let rounds = if is_soak() { ROUNDS_SOAK } else { ROUNDS };
    let first = setting("SHELF_FUZZ_SEED").unwrap_or(1);
    kill_rounds("kill_9", dir.path(), first..first + rounds);
}
