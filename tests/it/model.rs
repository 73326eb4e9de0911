//! Long seeded runs of operations, and every short one, equal a `BTreeMap`.
//!
//! A run is a list of [`Step`]s that three handles on one file take in turns. Each answer is compared with that of
//! [`Model`], and so is all that is left at the end. A failing run is made as short as it gets and printed. The disk is
//! whatever [`Ground`] says, so the same runs go over a real file and over a simulated one.
//!
//! `SHELF_FUZZ_SEED` and `SHELF_FUZZ_OPS` steer: the first run has that seed, the second the next one.

mod short;

use crate::runs::{check, outcome};
use crate::support::{Random, fast_dir, is_soak, metric, setting};
use shelflife::{Change, Compaction, Durability, Entries, Options, Store};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

/// Where a run takes place.
pub(crate) struct Ground {
    pub(crate) options: Options,
    /// Whether the first handle has the file to itself; the second one then only reads.
    pub(crate) exclusive: bool,
    pub(crate) path: PathBuf,
    /// Removed when the run is over.
    pub(crate) _dir: Option<tempfile::TempDir>,
}

/// Number of a key, see [`key_bytes`].
pub(crate) type Key = u8;

const KEYS: Key = 32;

/// A value that differs from every other one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Value {
    tag: u32,
    len: u32,
}

/// How long an entry lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Life {
    Endless,
    Hour,
    /// Over since a second: absent, but not dropped before a day has passed.
    Over,
    /// Over since two days: compaction drops it.
    LongOver,
}

/// The handle that takes a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Who {
    First,
    /// Another handle that writes or, beside an exclusive one, only reads.
    Second,
    /// A handle that was opened to read only.
    Reader,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    Get(Who, Key),
    Contains(Who, Key),
    Len(Who),
    Iterate(Who),
    /// Keeps an iterator for later.
    Snapshot(Who),
    /// Reads it to its end.
    Compare,
    Insert(Who, Key, Value, Life),
    Remove(Who, Key),
    Put(Who, Key, Value, Life),
    Keep(Who, Key),
    Drop(Who, Key),
    Fail(Who, Key),
    Batch(Who, Vec<(Key, Option<(Value, Life)>)>),
    /// Removes what is still as the snapshot saw it.
    RemoveUnchanged(Who),
    Clear(Who),
    Sync(Who),
    Compact(Who),
    Close(Who),
    /// As the end of a process that does not call `close`.
    Leave(Who),
    /// The same handle reads the file anew.
    Reopen(Who),
    Truncate(Who),
}

use Step::*;
use Who::*;

fn key_bytes(key: Key) -> Vec<u8> {
    match key {
        0 => Vec::new(),
        1 => vec![0],
        2 => vec![0, 0],
        3 => vec![b'k'; 300],
        4 => vec![b'k'; 65_535],
        _ => format!("key {key}").into_bytes(),
    }
}

impl Value {
    pub(crate) fn bytes(self) -> Vec<u8> {
        let tag = self.tag.to_le_bytes();
        (0..self.len as usize).map(|at| tag[at % 4]).collect()
    }
}

/// The entries that the store should hold.
#[derive(Debug, Clone, Default)]
pub(crate) struct Model {
    entries: BTreeMap<Vec<u8>, Held>,
    turn: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Held {
    value: Vec<u8>,
    life: Life,
    /// When it was written last: the order of iteration.
    turn: u64,
}

impl Model {
    fn get(&self, key: Key) -> Option<&[u8]> {
        let held = self.entries.get(&key_bytes(key))?;
        held.is_live().then_some(&*held.value)
    }

    fn insert(&mut self, key: Key, value: Value, life: Life) -> bool {
        self.turn += 1;
        let held = Held {
            value: value.bytes(),
            life,
            turn: self.turn,
        };
        let old = self.entries.insert(key_bytes(key), held);
        !old.is_some_and(|old| old.is_live())
    }

    /// Also of what has ended and is not dropped yet.
    fn remove(&mut self, key: Key) -> bool {
        self.entries.remove(&key_bytes(key)).is_some()
    }

    /// Drops the entries that a switch to a new file drops.
    fn compact(&mut self) {
        self.entries.retain(|_, held| held.life != Life::LongOver);
    }

    /// The live entries, least recently written first.
    fn in_order(&self) -> Vec<(Vec<u8>, Vec<u8>)> {
        let mut live: Vec<_> = self
            .entries
            .iter()
            .filter(|(_, held)| held.is_live())
            .collect();
        live.sort_by_key(|(_, held)| held.turn);
        live.into_iter()
            .map(|(key, held)| (key.clone(), held.value.clone()))
            .collect()
    }
}

impl Held {
    fn is_live(&self) -> bool {
        matches!(self.life, Life::Endless | Life::Hour)
    }
}

/// The handles of a run and what they should answer.
struct Run<'g> {
    ground: &'g Ground,
    stores: [Option<Store>; 3],
    model: Model,
    /// With what it should show, and the number of the file then.
    snapshot: Option<(Entries, Model, u64)>,
    generation: u64,
    /// The changes up to this turn stood in the old file when a new one took its place.
    switched_at: u64,
}

/// An answer that is not the model's.
fn differs(what: &str, got: impl std::fmt::Debug, wanted: impl std::fmt::Debug) -> String {
    let (mut got, mut wanted) = (format!("{got:?}"), format!("{wanted:?}"));
    for text in [&mut got, &mut wanted] {
        if text.len() > 300 {
            text.truncate(300);
            text.push_str("...");
        }
    }
    format!("{what}: got {got}, expected {wanted}")
}

macro_rules! same {
    ($what:expr, $got:expr, $wanted:expr) => {{
        let (got, wanted) = ($got, $wanted);
        if got != wanted {
            return Err(differs($what, got, wanted));
        }
    }};
}

impl Run<'_> {
    fn options(&self, who: Who) -> Options {
        let mut options = self.ground.options.clone();
        match who {
            First => options.exclusive(self.ground.exclusive),
            Second => options.read_only(self.ground.exclusive),
            Reader => options.read_only(true),
        };
        options
    }

    fn open(&mut self, who: Who) -> shelflife::Result<()> {
        self.stores[who as usize] = Some(self.options(who).open(&self.ground.path)?);
        Ok(())
    }

    fn store(&self, who: Who) -> &Store {
        self.stores[who as usize].as_ref().expect("is open")
    }

    /// Takes one step with both, the store and the model.
    fn take(&mut self, step: &Step) -> Result<(), String> {
        let failed = |error: shelflife::Error| format!("failed: {error:?}");
        match step {
            Get(who, key) => {
                let bytes = key_bytes(*key);
                let got = self.store(*who).get(&bytes).map_err(failed)?;
                same!("get", got.as_deref(), self.model.get(*key));
                let mut buf = vec![7; 3];
                let found = self
                    .store(*who)
                    .get_into(&bytes, &mut buf)
                    .map_err(failed)?;
                same!("get_into", found.then_some(&*buf), self.model.get(*key));
            }
            Contains(who, key) => {
                let got = self.store(*who).contains_key(key_bytes(*key));
                let wanted = self.model.get(*key).is_some();
                same!("contains_key", got.map_err(failed)?, wanted);
            }
            Len(who) => {
                let got = self.store(*who).len().map_err(failed)?;
                same!("len", got, self.model.entries.len());
            }
            Iterate(who) => {
                let got: Result<Vec<_>, _> = self.store(*who).iter().collect();
                same!("iter", got.map_err(failed)?, self.model.in_order());
                let mut shown = Vec::new();
                let told = (self.store(*who))
                    .for_each(|key, value| shown.push((key.to_vec(), value.to_vec())));
                same!(
                    "for_each",
                    told.map(|()| shown).map_err(failed)?,
                    self.model.in_order()
                );
            }
            Snapshot(who) => {
                let entries = self.store(*who).entries();
                self.snapshot = Some((entries, self.model.clone(), self.generation));
            }
            Compare => {
                if let Some((entries, then, _)) = self.snapshot.take() {
                    let got: Result<Vec<_>, _> =
                        entries.map(|entry| entry.map(|e| e.into_pair())).collect();
                    same!("a snapshot", got.map_err(failed)?, then.in_order());
                }
            }
            Insert(who, key, value, life) => {
                let (key_bytes, value_bytes) = (key_bytes(*key), value.bytes());
                let got = match self.until(*life) {
                    None => self.store(*who).insert(key_bytes, value_bytes),
                    Some(until) => self.store(*who).insert_until(key_bytes, value_bytes, until),
                };
                let wanted = self.model.insert(*key, *value, *life);
                same!("insert", got.map_err(failed)?, wanted);
            }
            Remove(who, key) => {
                let got = self.store(*who).remove(key_bytes(*key)).map_err(failed)?;
                same!("remove", got, self.model.remove(*key));
            }
            Put(who, key, value, life) => {
                let change = match self.until(*life) {
                    None => Change::Put(value.bytes()),
                    Some(until) => Change::PutUntil(value.bytes(), until),
                };
                self.update(*who, *key, Ok(change))?;
                self.model.insert(*key, *value, *life);
            }
            Keep(who, key) => {
                self.update(*who, *key, Ok(Change::Keep))?;
            }
            Drop(who, key) => {
                self.update(*who, *key, Ok(Change::Remove))?;
                self.model.remove(*key);
            }
            Fail(who, key) => {
                self.update(*who, *key, Err(shelflife::Error::other("no")))?;
            }
            Batch(who, changes) => {
                let mut batch = shelflife::Batch::new();
                for (key, put) in changes {
                    match put {
                        None => {
                            batch.remove(key_bytes(*key));
                            self.model.remove(*key);
                        }
                        Some((value, life)) => {
                            match self.until(*life) {
                                None => batch.insert(key_bytes(*key), value.bytes()),
                                Some(until) => {
                                    batch.insert_until(key_bytes(*key), value.bytes(), until)
                                }
                            };
                            self.model.insert(*key, *value, *life);
                        }
                    }
                }
                self.store(*who).write(&batch).map_err(failed)?;
            }
            RemoveUnchanged(who) => {
                if let Some((entries, then, generation)) = self.snapshot.take() {
                    let entries: Vec<_> = entries.collect::<Result<_, _>>().map_err(failed)?;
                    let got = self
                        .store(*who)
                        .remove_unchanged(&entries)
                        .map_err(failed)?;
                    let store = self.store(*who);
                    let copied = match self.generation == generation {
                        true => 0,
                        false => self.switched_at,
                    };
                    let mut wanted = 0;
                    let mut left = self.model.entries.clone();
                    left.retain(|key, held| {
                        let unchanged = |then: &Held| {
                            // In the same millisecond, perhaps, and then it was copied.
                            let alike = held.turn <= copied
                                && (&then.value, then.life) == (&held.value, held.life);
                            then == held || alike && store.contains_key(key).is_ok_and(|is| !is)
                        };
                        let goes = held.is_live() && then.entries.get(key).is_some_and(unchanged);
                        wanted += usize::from(goes);
                        !goes
                    });
                    self.model.entries = left;
                    same!("remove_unchanged", got, wanted);
                }
            }
            Clear(who) => {
                self.store(*who).clear().map_err(failed)?;
                self.model.entries.clear();
            }
            Sync(who) => self.store(*who).sync().map_err(failed)?,
            Compact(who) => {
                let compacted = self.store(*who).compact().map_err(failed)?;
                if compacted.after_bytes > compacted.before_bytes {
                    return Err(differs("compact", compacted, "a file that did not grow"));
                }
            }
            Close(who) => {
                let store = self.stores[*who as usize].take().expect("is open");
                store.close().map_err(failed)?;
                self.open(*who).map_err(failed)?;
            }
            Leave(who) => {
                self.stores[*who as usize] = None;
                self.open(*who).map_err(failed)?;
            }
            Reopen(who) => self.store(*who).reopen().map_err(failed)?,
            Truncate(who) => {
                self.stores[*who as usize] = None;
                let opened = self.options(*who).truncate(true).open(&self.ground.path);
                self.stores[*who as usize] = Some(opened.map_err(failed)?);
                self.model.entries.clear();
            }
        }
        self.notice_switch()
    }

    fn update(&self, who: Who, key: Key, change: shelflife::Result<Change>) -> Result<(), String> {
        let fails = change.is_err();
        let got = self
            .store(who)
            .update(key_bytes(key), |old| Ok((change?, old.map(<[u8]>::to_vec))));
        match got {
            Ok(old) => same!("update", old.as_deref(), self.model.get(key)),
            Err(error) if fails && error.to_string() == "no" => {}
            Err(error) => return Err(format!("failed: {error:?}")),
        }
        Ok(())
    }

    fn until(&self, life: Life) -> Option<SystemTime> {
        let now = SystemTime::now();
        let hour = Duration::from_secs(3600);
        match life {
            Life::Endless => None,
            Life::Hour => Some(now + hour),
            Life::Over => Some(now - Duration::from_secs(1)),
            Life::LongOver => Some(now - 48 * hour),
        }
    }

    /// A switch drops what is over for long.
    fn notice_switch(&mut self) -> Result<(), String> {
        let stats = self.store(First).stats();
        let generation = stats
            .map_err(|error| format!("failed: {error:?}"))?
            .generation;
        if generation != self.generation {
            self.generation = generation;
            self.switched_at = self.model.turn;
            self.model.compact();
        }
        Ok(())
    }

    fn compare_all(&mut self) -> Result<(), String> {
        for who in [First, Second, Reader] {
            self.take(&Iterate(who))?;
            self.take(&Len(who))?;
            for key in [0, 1, 3, 5, 6, 7] {
                self.take(&Contains(who, key))?;
            }
            let recovery = self.store(who).recovery();
            if !recovery.is_clean() {
                return Err(differs("recovery", recovery, "nothing found wrong"));
            }
        }
        Ok(())
    }
}

/// Runs the steps on new ground, then reopens it all and compares everything.
pub(crate) fn run(ground: &Ground, steps: &[Step]) -> Result<(), String> {
    let mut run = Run {
        ground,
        stores: [None, None, None],
        model: Model::default(),
        snapshot: None,
        generation: 1,
        switched_at: 0,
    };
    let opened = |error| format!("failed to open: {error:?}");
    for who in [First, Second, Reader] {
        run.open(who).map_err(opened)?;
    }
    for (nth, step) in steps.iter().enumerate() {
        run.take(step)
            .map_err(|what| format!("step {nth}, {step:?}: {what}"))?;
    }
    let at_end = |what| format!("at the end: {what}");
    run.compare_all().map_err(at_end)?;
    for who in [Reader, Second, First] {
        run.take(&Close(who)).map_err(at_end)?;
    }
    run.compare_all().map_err(at_end)
}

/// How the steps of a run are drawn.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Recipe {
    value_bytes_max: u64,
    /// One of so many steps is a large one: a compaction, a reopen, an iteration and their like.
    large_one_in: u64,
    second_writes: bool,
}

pub(crate) fn draw(random: &mut Random, recipe: Recipe, tag: u32) -> Step {
    let key = random.below(u64::from(KEYS)) as Key;
    // The longest key is rarely drawn: it costs as much as a hundred others.
    let key = if key == 4 && !random.one_in(8) {
        5
    } else {
        key
    };
    let who = [First, First, Second, Second, Reader][random.below(5) as usize];
    let writer = match who {
        Second if recipe.second_writes => Second,
        _ => First,
    };
    let value = |random: &mut Random, nth: u32| Value {
        tag: tag + nth,
        len: match random.below(20) {
            0 => 0,
            1 => random.below(recipe.value_bytes_max) as u32,
            _ => random.below(300) as u32,
        },
    };
    let life = |random: &mut Random| match random.below(12) {
        0 => Life::Over,
        1 => Life::LongOver,
        2 => Life::Hour,
        _ => Life::Endless,
    };
    if random.one_in(recipe.large_one_in) {
        return match random.below(30) {
            0..=3 => Compact(writer),
            4..=5 => Close(who),
            6..=7 => Leave(who),
            8..=9 => Reopen(who),
            10 => Clear(writer),
            11 => Truncate(First),
            12..=14 => Sync(writer),
            15..=18 => Snapshot(who),
            19..=21 => Compare,
            22..=23 => RemoveUnchanged(writer),
            _ => Iterate(who),
        };
    }
    match random.below(100) {
        0..=29 => Get(who, key),
        30..=36 => Contains(who, key),
        37..=40 => Len(who),
        41..=66 => Insert(writer, key, value(random, 0), life(random)),
        67..=78 => Remove(writer, key),
        79..=85 => Put(writer, key, value(random, 0), life(random)),
        86..=88 => Keep(writer, key),
        89..=90 => Drop(writer, key),
        91 => Fail(writer, key),
        _ => Batch(
            writer,
            (0..random.below(8) as u32)
                .map(|nth| {
                    let key = random.below(u64::from(KEYS)) as Key;
                    let put = (!random.one_in(3)).then(|| (value(random, nth), life(random)));
                    (key, put)
                })
                .collect(),
        ),
    }
}

const STEPS_A_RUN: u64 = 1_000;

/// Runs with consecutive seeds until so many operations are done.
fn fuzz(name: &str, ops: u64, recipe: Recipe, ground: &dyn Fn() -> Ground) {
    let start = Instant::now();
    let ops = setting("SHELF_FUZZ_OPS").unwrap_or(if is_soak() { 50 * ops } else { ops });
    let first = setting("SHELF_FUZZ_SEED").unwrap_or(1);
    let mut done = 0;
    for seed in first.. {
        let count = STEPS_A_RUN.min(ops - done);
        if count == 0 {
            break;
        }
        let mut random = Random::new(seed);
        let steps: Vec<_> = (0..count as u32)
            .map(|nth| draw(&mut random, recipe, nth * 8 + 1))
            .collect();
        let repeat = || {
            format!(
                "SHELF_FUZZ_SEED={seed} SHELF_FUZZ_OPS={count} cargo test --test it model::{name}"
            )
        };
        check(&steps, &|steps| run(&ground(), steps), &repeat);
        done += count;
    }
    metric(
        &format!("model_{name}_ops"),
        done,
        Some(first),
        start.elapsed().as_secs_f64(),
    );
}

fn real(durability: Durability, compaction: Compaction, exclusive: bool) -> Ground {
    let dir = fast_dir();
    let mut options = Options::new();
    options.durability(durability).compaction(compaction);
    if compaction != Compaction::Thread {
        // Nobody ever waits.
        options.lock_timeout(Duration::from_millis(100));
    }
    Ground {
        options,
        exclusive,
        path: dir.path().join("s.shelf"),
        _dir: Some(dir),
    }
}

#[test]
fn shared_handles_answer_as_a_map_does() {
    let recipe = Recipe {
        value_bytes_max: 20_000,
        large_one_in: 20,
        second_writes: true,
    };
    let ground = || real(Durability::Os, Compaction::Manual, false);
    fuzz(
        "shared_handles_answer_as_a_map_does",
        100_000,
        recipe,
        &ground,
    );
}

#[test]
fn an_exclusive_handle_and_its_readers_answer_as_a_map_does() {
    let recipe = Recipe {
        value_bytes_max: 20_000,
        large_one_in: 20,
        second_writes: false,
    };
    let ground = || real(Durability::Os, Compaction::Manual, true);
    let name = "an_exclusive_handle_and_its_readers_answer_as_a_map_does";
    fuzz(name, 60_000, recipe, &ground);
}

#[test]
fn a_file_that_compacts_itself_answers_as_a_map_does() {
    let recipe = Recipe {
        value_bytes_max: 400_000,
        large_one_in: 40,
        second_writes: true,
    };
    let ground = || real(Durability::Os, Compaction::Inline, false);
    let name = "a_file_that_compacts_itself_answers_as_a_map_does";
    fuzz(name, 40_000, recipe, &ground);
}

#[test]
fn durable_writes_answer_as_a_map_does() {
    let recipe = Recipe {
        value_bytes_max: 5_000,
        large_one_in: 50,
        second_writes: true,
    };
    let ground = || {
        let dir = tempfile::tempdir().unwrap();
        Ground {
            path: dir.path().join("s.shelf"),
            _dir: Some(dir),
            ..real(Durability::Immediate, Compaction::Thread, false)
        }
    };
    fuzz(
        "durable_writes_answer_as_a_map_does",
        2_000,
        recipe,
        &ground,
    );
}
