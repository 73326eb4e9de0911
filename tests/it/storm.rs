//! Long seeded runs on a simulated machine whose power goes, whose processes die, whose calls fail and whose clocks
//! step: each answer, and whatever is there afterwards, is one that a map allows.
//!
//! A run is a list of [`Step`]s that three handles of three processes take in turns. Where a call fails, or the power
//! goes, more than one [`Model`] is possible; what is read later decides. A failing run is made as short as it gets and
//! printed. `SHELF_FUZZ_SEED` and `SHELF_FUZZ_OPS` steer, as for the runs without faults.

use crate::model::shrink;
use crate::proof::power::moment_of;
use crate::proof::workload::{EXCLUSIVE, EXCLUSIVE_OS, Mode, PATH, SHARED, SHARED_OS};
use crate::support::{Random, is_soak, metric, setting};
use shelflife::sim::{Call, FailedSync, Fault, FaultKind, SimDisk, SimProcess};
use shelflife::{Batch, Change, Disk, Durability, Entries, ErrorKind, Options, Store};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

const KEYS: usize = 12;
const DAY: u64 = 24 * 3600;

/// Number of a process and its handle: two that write (one, where that has the file to itself), and one that reads.
type Who = usize;
const READER: Who = 2;

/// A value that differs from every other one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Value {
    tag: u32,
    len: u32,
}

/// How many seconds an entry lives from now on; it is over with less than one.
type Life = Option<i64>;

/// What happens.
#[derive(Debug, Clone, PartialEq)]
enum Step {
    Get(Who, usize),
    Contains(Who, usize),
    Len(Who),
    Iterate(Who),
    /// Keeps an iterator for later.
    Snapshot(Who),
    /// Reads it to its end.
    Compare,
    Insert(Who, usize, Value, Life),
    Remove(Who, usize),
    Replace(Who, usize, Value, Life),
    Keep(Who, usize),
    Write(Who, Vec<(usize, Option<(Value, Life)>)>),
    Clear(Who),
    Sync(Who),
    Compact(Who),
    Close(Who),
    /// As the end of a process that does not call `close`.
    Leave(Who),
    /// The same handle reads the file anew.
    Reopen(Who),
    Truncate,
    Kill(Who),
    /// So many seconds pass.
    Advance(u64),
    /// The time of day becomes that of the beginning and so many seconds: of one process, or of the machine.
    Wall(Option<Who>, i64),
    /// Meanwhile a call fails: the n-th, once or from then on, and then the process may be killed.
    Fail(Box<Step>, Failure),
    /// The power goes during the step, or right after it.
    Cut(Box<Step>),
}

use Step::*;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Failure {
    kind: FaultKind,
    nth: u64,
    forever: bool,
    dies: bool,
}

/// What a step tells.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Answer {
    Nothing,
    Bool(bool),
    Count(usize),
    Value(Option<Value>),
    /// By key, least recently written first.
    All(Vec<(usize, Value)>),
    /// No value that was ever written.
    Garbage,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Held {
    value: Value,
    /// Seconds since 1970.
    expires: Option<i64>,
    /// When it was written last: the order of iteration.
    turn: u32,
}

/// What the store may hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Model {
    held: [Option<Held>; KEYS],
    turn: u32,
}

impl Model {
    fn live(&self, key: usize, now: i64) -> Option<Held> {
        self.held[key].filter(|held| held.expires.is_none_or(|expires| expires > now))
    }

    fn put(&mut self, key: usize, value: Value, expires: Option<i64>) {
        self.turn += 1;
        let turn = self.turn;
        self.held[key] = Some(Held {
            value,
            expires,
            turn,
        });
    }

    /// What a switch to a new file drops.
    fn compact(&mut self, now: i64) {
        for held in &mut self.held {
            *held = held.filter(|held| {
                held.expires
                    .is_none_or(|expires| expires >= now.saturating_sub(DAY as i64))
            });
        }
    }

    fn all(&self, now: i64) -> Vec<(usize, Value)> {
        let mut live: Vec<(u32, usize, Value)> = (0..KEYS)
            .filter_map(|key| self.live(key, now).map(|held| (held.turn, key, held.value)))
            .collect();
        live.sort_unstable_by_key(|(turn, ..)| *turn);
        live.into_iter()
            .map(|(_, key, value)| (key, value))
            .collect()
    }

    /// Takes a step at that time by the handle's clock, lives counted from `wall`.
    fn take(&mut self, step: &Step, now: i64, wall: i64) -> Answer {
        let until = |life: &Life| life.map(|life| wall + life);
        match step {
            Get(_, key) => Answer::Value(self.live(*key, now).map(|held| held.value)),
            Contains(_, key) => Answer::Bool(self.live(*key, now).is_some()),
            Len(_) => Answer::Count(self.held.iter().flatten().count()),
            Iterate(_) => Answer::All(self.all(now)),
            Insert(_, key, value, life) => {
                let is_new = self.live(*key, now).is_none();
                self.put(*key, *value, until(life));
                Answer::Bool(is_new)
            }
            Remove(_, key) => Answer::Bool(self.held[*key].take().is_some()),
            Replace(_, key, value, life) => {
                let old = self.live(*key, now).map(|held| held.value);
                self.put(*key, *value, until(life));
                Answer::Value(old)
            }
            Keep(_, key) => Answer::Value(self.live(*key, now).map(|held| held.value)),
            Write(_, changes) => {
                for (key, put) in changes {
                    match put {
                        Some((value, life)) => self.put(*key, *value, until(life)),
                        None => self.held[*key] = None,
                    }
                }
                Answer::Nothing
            }
            Clear(_) | Truncate => {
                self.held = [None; KEYS];
                Answer::Nothing
            }
            _ => Answer::Nothing,
        }
    }
}

/// Whether there was a switch to a new file is not known.
fn or_compacted(states: &mut Vec<Model>, now: i64) {
    let mut compacted = states.clone();
    compacted.iter_mut().for_each(|state| state.compact(now));
    states.append(&mut compacted);
}

fn distinct(states: Vec<Model>) -> Vec<Model> {
    let mut distinct: Vec<Model> = Vec::with_capacity(states.len());
    for state in states {
        if !distinct.contains(&state) {
            distinct.push(state);
        }
    }
    distinct
}

/// What may be there after a change, and how far the disk had been changed when that began.
struct Turn {
    from: usize,
    states: Vec<Model>,
}

struct Hand {
    process: SimProcess,
    store: Option<Store>,
    /// It may not know of a failure yet, of which the system will tell it with its next sync.
    shaky: bool,
}

/// A snapshot of a process that is still to be read, and what it should show.
struct Kept {
    who: Who,
    entries: Entries,
    all: Vec<(usize, Value)>,
}

struct Storm {
    mode: Mode,
    failed_sync: FailedSync,
    sim: SimDisk,
    hands: Vec<Hand>,
    /// From the last change that is durable on.
    turns: Vec<Turn>,
    /// How often the machine was told that something is durable.
    promised: usize,
    generation: u64,
    snapshot: Option<Kept>,
    /// The beginning, by the wall clock.
    start: i64,
    buf: Vec<u8>,
}

fn key_bytes(key: usize) -> &'static [u8] {
    const LONG: &[u8] = &[b'k'; 300];
    const NAMES: [&[u8]; 9] = [
        b"", b"\0", b"\0\0", b"key 3", b"key 4", b"key 5", b"key 6", b"key 7", b"key 8",
    ];
    NAMES.get(key).copied().unwrap_or(&LONG[..20 * key])
}

fn seconds(time: SystemTime) -> i64 {
    time.duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| since.as_secs() as i64)
}

fn time(seconds: i64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds.max(0) as u64)
}

impl Value {
    fn write(self, bytes: &mut Vec<u8>) {
        bytes.clear();
        let tag = self.tag.to_le_bytes();
        bytes.resize(self.len as usize, tag[3]);
        for chunk in bytes.chunks_mut(4) {
            let len = chunk.len();
            chunk.copy_from_slice(&tag[..len]);
        }
    }

    fn bytes(self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.write(&mut bytes);
        bytes
    }

    /// The value that these are the bytes of; they are at least four.
    fn read(bytes: &[u8]) -> Option<Value> {
        let tag = bytes.first_chunk::<4>()?;
        let sound = bytes.chunks(4).all(|chunk| *chunk == tag[..chunk.len()]);
        sound.then_some(Value {
            tag: u32::from_le_bytes(*tag),
            len: bytes.len() as u32,
        })
    }
}

fn value_of(bytes: Option<&[u8]>) -> Answer {
    match bytes.map(Value::read) {
        None => Answer::Value(None),
        Some(None) => Answer::Garbage,
        Some(value) => Answer::Value(value),
    }
}

fn all_of(entries: Entries) -> shelflife::Result<Answer> {
    let mut all = Vec::new();
    for entry in entries {
        let (key, value) = entry?.into_pair();
        let key = (0..KEYS).find(|number| key_bytes(*number) == key);
        match (key, Value::read(&value)) {
            (Some(key), Some(value)) => all.push((key, value)),
            _ => return Ok(Answer::Garbage),
        }
    }
    Ok(Answer::All(all))
}

impl Step {
    fn who(&self) -> Who {
        match self {
            Get(who, _)
            | Contains(who, _)
            | Len(who)
            | Iterate(who)
            | Snapshot(who)
            | Insert(who, ..)
            | Remove(who, _)
            | Replace(who, ..)
            | Keep(who, _)
            | Write(who, _)
            | Clear(who)
            | Sync(who)
            | Compact(who)
            | Close(who)
            | Leave(who)
            | Reopen(who)
            | Kill(who) => *who,
            Fail(step, _) | Cut(step) => step.who(),
            Compare | Truncate | Advance(_) | Wall(..) => 0,
        }
    }

    fn is_read(&self) -> bool {
        matches!(self, Get(..) | Contains(..) | Len(_) | Iterate(_))
    }

    /// Whether all that was written is durable once it has succeeded.
    fn is_durable(&self, mode: Mode) -> bool {
        match self {
            Sync(_) => true,
            // A handle that has written nothing syncs nothing when it is closed.
            Reopen(_) | Leave(_) | Close(_) => false,
            _ => mode.durability == Durability::Immediate && !self.is_read(),
        }
    }
}

impl Storm {
    fn new(seed: u64, mode: Mode) -> Storm {
        let sim = SimDisk::new(seed);
        let mut storm = Storm {
            mode,
            // What was not promised to be durable would be gone from the cache as well.
            failed_sync: match mode.durability == Durability::Immediate && seed % 2 == 1 {
                true => FailedSync::Revert,
                false => FailedSync::KeepClean,
            },
            promised: 0,
            start: seconds(sim.process().wall_clock()),
            sim,
            hands: Vec::new(),
            turns: vec![Turn {
                from: 0,
                states: vec![Model::default()],
            }],
            generation: 1,
            snapshot: None,
            buf: Vec::new(),
        };
        storm.sim.set_failed_sync(storm.failed_sync);
        storm.hands = (0..3).map(|_| storm.hand()).collect();
        storm
    }

    fn hand(&self) -> Hand {
        Hand {
            process: self.sim.process(),
            store: None,
            shaky: false,
        }
    }

    fn options(&self, who: Who) -> Options {
        let mut options = self.mode.options(Arc::new(self.hands[who].process.clone()));
        if who == READER || who > 0 && self.mode.exclusive {
            options.exclusive(false).read_only(true);
        }
        options
    }

    /// Opens the handle if it is not.
    fn open(&mut self, who: Who) -> shelflife::Result<()> {
        if self.hands[who].store.is_none() {
            if who > 0 && self.hands[0].store.is_none() {
                // Who only reads creates nothing.
                self.open(0)?;
            }
            let store = self.options(who).open(PATH)?;
            self.hands[who].store = Some(store);
        }
        Ok(())
    }

    fn store(&self, who: Who) -> &Store {
        self.hands[who].store.as_ref().expect("is open")
    }

    /// What its clock reads, or when the file was made if that is later.
    fn now(&self, who: Who) -> i64 {
        let wall = seconds(self.hands[who].process.wall_clock());
        let file = self.sim.read(PATH).unwrap_or_default();
        let created_ms = file.get(72..80).and_then(|bytes| bytes.first_chunk());
        wall.max(created_ms.map_or(0, |ms| u64::from_le_bytes(*ms) as i64 / 1_000))
    }

    fn states(&mut self) -> &mut Vec<Model> {
        &mut self.turns.last_mut().expect("is never empty").states
    }

    fn take(&mut self, step: &Step) -> Result<(), String> {
        match step {
            Fail(step, failure) => self.fail(step, *failure),
            Cut(step) => self.cut(step),
            Advance(by) => {
                self.sim.advance(Duration::from_secs(*by));
                Ok(())
            }
            Wall(who, offset) => {
                let to = time(self.start + offset);
                match who {
                    Some(who) => self.hands[*who].process.set_wall_clock(to),
                    None => self.sim.set_wall_clock(to),
                }
                Ok(())
            }
            Kill(who) => self.kill(*who),
            Snapshot(who) => {
                let opened = self.open(*who);
                opened.map_err(|error| format!("it does not open: {error:?}"))?;
                let now = self.now(*who);
                let entries = self.store(*who).entries();
                // Which of several is unknown until it is read.
                if let [state] = &self.states()[..] {
                    self.snapshot = Some(Kept {
                        who: *who,
                        all: state.all(now),
                        entries,
                    });
                }
                Ok(())
            }
            Compare => match self.snapshot.take() {
                None => Ok(()),
                Some(Kept { entries, all, .. }) => match (all_of(entries), Answer::All(all)) {
                    (Ok(got), wanted) if got == wanted => Ok(()),
                    (got, wanted) => Err(format!("got {got:?}, expected {wanted:?}")),
                },
            },
            _ => match self.attempt(step)? {
                Ok(()) => {
                    self.promise(step);
                    Ok(())
                }
                Err(error)
                    if self.hands[step.who()].shaky && error.kind() != ErrorKind::Corrupt =>
                {
                    self.settle(step.who())
                }
                Err(error) => Err(format!("failed: {error:?}")),
            },
        }
    }

    /// What was before a step that has succeeded can't come back, if it is durable.
    fn promise(&mut self, step: &Step) {
        if step.is_durable(self.mode) {
            self.turns.drain(..self.turns.len() - 1);
        }
    }

    /// Takes a step that may fail, of which the models then allow both.
    fn attempt(&mut self, step: &Step) -> Result<shelflife::Result<()>, String> {
        let who = step.who();
        if let Err(error) = self.open(who) {
            return Ok(Err(error));
        }
        let (from, now) = (self.sim.steps(), self.now(who));
        let wall = seconds(self.hands[who].process.wall_clock());
        let syncs = self.sim.calls(Call::Sync);
        let answer = self.call(step, wall);
        self.sim.clear_faults();
        if answer.is_ok() {
            self.was_told(who, syncs);
        }
        if step.is_read() {
            let answer = match answer {
                Ok(answer) => answer,
                Err(error) => return Ok(Err(error)),
            };
            let states = self.states();
            let first = states[0].clone().take(step, now, wall);
            states.retain_mut(|state| state.take(step, now, wall) == answer);
            return match states.is_empty() {
                true => Err(format!("got {answer:?}, expected {first:?}")),
                false => Ok(Ok(())),
            };
        }
        let mut states = self.states().clone();
        // A switch, if there is one, comes before the change, or after it.
        let mut before_the_switch = Vec::new();
        let stats = self.hands[who].store.as_ref().map(Store::stats);
        match (&answer, stats) {
            (Ok(_), Some(Ok(stats))) if stats.generation == self.generation => {}
            (Ok(_), Some(Ok(stats))) => {
                self.generation = stats.generation;
                before_the_switch.clone_from(&states);
                states.iter_mut().for_each(|state| state.compact(now));
                self.turns.push(Turn {
                    from,
                    states: states.clone(),
                });
            }
            // That it was killed shows when the step is over but for giving the lock back.
            _ => or_compacted(&mut states, now),
        }
        let outcome = match answer {
            Ok(answer) => {
                let mut first = None;
                let mut answers_so = |state: &mut Model| {
                    let wanted = state.take(step, now, wall);
                    let same = wanted == answer;
                    first.get_or_insert(wanted);
                    same
                };
                states.retain_mut(&mut answers_so);
                before_the_switch.retain_mut(&mut answers_so);
                before_the_switch
                    .iter_mut()
                    .for_each(|state| state.compact(now));
                states.append(&mut before_the_switch);
                if states.is_empty() {
                    return Err(format!("got {answer:?}, expected {first:?}"));
                }
                Ok(())
            }
            Err(error) => {
                let before = states.clone();
                for state in &mut states {
                    state.take(step, now, wall);
                }
                states.extend(before);
                Err(error)
            }
        };
        self.turns.push(Turn {
            from,
            states: distinct(states),
        });
        Ok(outcome)
    }

    fn call(&mut self, step: &Step, wall: i64) -> shelflife::Result<Answer> {
        let until = |life: &Life| life.map(|life| time(wall + life));
        let mut buf = std::mem::take(&mut self.buf);
        let answer = match step {
            Get(who, key) => self
                .store(*who)
                .get_into(key_bytes(*key), &mut buf)
                .map(|found| value_of(found.then_some(&*buf))),
            Contains(who, key) => self
                .store(*who)
                .contains_key(key_bytes(*key))
                .map(Answer::Bool),
            Len(who) => self.store(*who).len().map(Answer::Count),
            Iterate(who) => all_of(self.store(*who).entries()),
            Insert(who, key, value, life) => {
                value.write(&mut buf);
                let (store, key) = (self.store(*who), key_bytes(*key));
                match until(life) {
                    None => store.insert(key, &buf),
                    Some(until) => store.insert_until(key, &buf, until),
                }
                .map(Answer::Bool)
            }
            Remove(who, key) => self.store(*who).remove(key_bytes(*key)).map(Answer::Bool),
            Replace(who, key, ..) | Keep(who, key) => {
                let change = match step {
                    Replace(_, _, value, life) => match until(life) {
                        None => Change::Put(value.bytes()),
                        Some(until) => Change::PutUntil(value.bytes(), until),
                    },
                    _ => Change::Keep,
                };
                self.store(*who)
                    .update(key_bytes(*key), |old| Ok((change, value_of(old))))
            }
            Write(who, changes) => {
                let mut batch = Batch::new();
                for (key, put) in changes {
                    let key = key_bytes(*key);
                    match put {
                        None => batch.remove(key),
                        Some((value, None)) => batch.insert(key, value.bytes()),
                        Some((value, Some(life))) => {
                            batch.insert_until(key, value.bytes(), time(wall + life))
                        }
                    };
                }
                self.store(*who).write(&batch).map(|()| Answer::Nothing)
            }
            Clear(who) => self.store(*who).clear().map(|()| Answer::Nothing),
            Sync(who) => self.store(*who).sync().map(|()| Answer::Nothing),
            Compact(who) => self.store(*who).compact().map(|_| Answer::Nothing),
            Reopen(who) => self.store(*who).reopen().map(|()| Answer::Nothing),
            Close(who) | Leave(who) => {
                let store = self.hands[*who].store.take();
                let closing = store.filter(|_| matches!(step, Close(_)));
                closing
                    .map_or(Ok(()), Store::close)
                    .and_then(|()| self.open(*who))
                    .map(|()| Answer::Nothing)
            }
            Truncate => {
                self.hands[0].store = None;
                self.options(0).truncate(true).open(PATH).map(|store| {
                    self.hands[0].store = Some(store);
                    Answer::Nothing
                })
            }
            _ => Ok(Answer::Nothing),
        };
        self.buf = buf;
        answer
    }

    /// A process dies, another one comes.
    fn kill(&mut self, who: Who) -> Result<(), String> {
        self.sim.kill(self.hands[who].process.id());
        self.snapshot = self.snapshot.take().filter(|kept| kept.who != who);
        self.hands[who] = self.hand();
        self.open(who)
            .map_err(|error| format!("after a kill it does not open: {error:?}"))
    }

    fn fail(&mut self, step: &Step, failure: Failure) -> Result<(), String> {
        let who = step.who();
        let pid = self.hands[who].process.id();
        let mut fault = Fault::new(failure.kind).by(pid).nth(failure.nth);
        if failure.forever {
            fault = fault.forever();
        }
        let before = self.sim.faults();
        self.sim.inject(fault);
        let outcome = self.attempt(step)?;
        self.sim.clear_faults(); // also if it was not even opened
        // What a failed sync took away is missed there.
        self.snapshot = None;
        if self.sim.faults() == before && !self.hands[who].shaky {
            outcome.map_err(|error| format!("failed without a fault: {error:?}"))?;
            self.promise(step);
            return Ok(());
        }
        if matches!(&outcome, Err(error) if error.kind() == ErrorKind::Corrupt) {
            return Err(format!("a failed call is taken for damage: {outcome:?}"));
        }
        for hand in &mut self.hands {
            hand.shaky = true;
        }
        let dead = self.hands[who].process.sync_dir("/".as_ref()).is_err();
        if dead || failure.dies {
            self.sim.kill(pid);
            self.hands[who] = self.hand();
        }
        self.settle(who)
    }

    /// After a failure a handle works, or says why not and works after `reopen`.
    fn settle(&mut self, who: Who) -> Result<(), String> {
        let opened = self.open(who);
        opened.map_err(|error| format!("then it does not open: {error:?}"))?;
        let writes = who == 0 || who == 1 && !self.mode.exclusive;
        let healthy = |store: &Store| match writes {
            true => store.sync(),
            false => store.len().map(|_| ()),
        };
        let syncs = self.sim.calls(Call::Sync);
        let mut outcome = healthy(self.store(who));
        // It may be told of somebody else's failed sync only once its own failure is healed.
        for _ in 0..=usize::from(self.hands[who].shaky) {
            if outcome.is_err() {
                let healed = self.store(who).reopen();
                healed.map_err(|error| format!("`reopen` fails: {error:?}"))?;
                outcome = healthy(self.store(who));
            }
        }
        outcome.map_err(|error| format!("`reopen` does not heal it: {error:?}"))?;
        // Who only reads is told of nothing more.
        self.hands[who].shaky &= writes;
        self.was_told(who, syncs);
        let now = self.now(who);
        let stats = self.store(who).stats();
        let generation = stats.map_err(|error| format!("{error:?}"))?.generation;
        let mut states = self.states().clone();
        if generation != self.generation {
            self.generation = generation;
            or_compacted(&mut states, now);
        }
        if writes {
            self.turns.clear();
        }
        let from = self.sim.steps();
        self.turns.push(Turn { from, states });
        self.read_all(who)
    }

    /// It is, once a sync of its own went well. Where there was nothing to sync, that is still to come.
    fn was_told(&mut self, who: Who, syncs_before: u64) {
        let hand = &mut self.hands[who];
        hand.shaky &= self.sim.calls(Call::Sync) == syncs_before;
    }

    fn read_all(&mut self, who: Who) -> Result<(), String> {
        for step in [Iterate(who), Len(who)] {
            let outcome = self.attempt(&step)?;
            outcome.map_err(|error| format!("{step:?} failed: {error:?}"))?;
        }
        let recovery = self.store(who).recovery();
        match recovery.damage.is_empty() && recovery.bad_header_copy.is_none() {
            true => Ok(()),
            false => Err(format!("a crash is taken for damage: {recovery:?}")),
        }
    }

    /// Takes a step, and lets the power go at any moment from its beginning to its end.
    fn cut(&mut self, step: &Step) -> Result<(), String> {
        let promised = self.promised;
        self.sim.forget();
        let outcome = self.attempt(step)?;
        match outcome {
            Ok(()) if step.is_durable(self.mode) => {
                self.sim.acknowledge();
                self.promised += 1;
            }
            Ok(()) => {}
            Err(_) if self.hands[step.who()].shaky => {}
            Err(error) => return Err(format!("failed: {error:?}")),
        }
        let cut = self.sim.power_cuts().samples(20).pick(1).next();
        let cut = cut.ok_or("the power can't be cut")?;
        let moment = moment_of(&cut);
        let first = match cut.acknowledged() > promised {
            true => self.turns.len() - 1,
            false => 0,
        };
        let begun = self.turns.iter().rposition(|turn| turn.from < moment.step);
        let states = self.turns[first..=begun.unwrap_or(0).max(first)]
            .iter()
            .flat_map(|turn| turn.states.iter().cloned())
            .collect();
        self.turns = vec![Turn { from: 0, states }];
        self.promised = cut.acknowledged();
        self.snapshot = None;
        self.sim = cut.sim().clone();
        // What reached the disk behind the end of the log, when its length did not, is forgotten. It would be a sound
        // record in its place, should the power go a second time when the length is there before the data: a change
        // that was lost, and never durable, would be made after all.
        if let Ok(bytes) = self.sim.read(PATH) {
            let written = self.sim.write(PATH, bytes);
            written.map_err(|error| format!("{}: {error}", cut.id()))?;
        }
        self.sim.set_failed_sync(self.failed_sync);
        self.hands = (0..3).map(|_| self.hand()).collect();
        let opened = self.open(0);
        opened
            .and_then(|()| self.store(0).stats())
            .map(|stats| self.generation = stats.generation)
            .map_err(|error| format!("{}: it does not open: {error:?}", cut.id()))?;
        self.read_all(0)
            .map_err(|error| format!("image {}: {error}", cut.id()))
    }
}

/// Runs the steps on a new machine, then compares what each handle shows.
fn run(seed: u64, mode: Mode, steps: &[Step]) -> Result<(), String> {
    let mut storm = Storm::new(seed, mode);
    for (nth, step) in steps.iter().enumerate() {
        storm
            .take(step)
            .map_err(|what| format!("step {nth}, {step:?}: {what}"))?;
    }
    (0..3).try_for_each(|who| {
        storm
            .settle(who)
            .map_err(|what| format!("at the end, handle {who}: {what}"))
    })
}

/// As [`run`], with a panic as a failure like any other.
fn outcome(seed: u64, mode: Mode, steps: &[Step]) -> Result<(), String> {
    catch_unwind(AssertUnwindSafe(|| run(seed, mode, steps))).unwrap_or_else(|panic| {
        let text = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| panic.downcast_ref::<&str>().copied());
        Err(format!("panicked: {}", text.unwrap_or("?")))
    })
}

fn draw(random: &mut Random, mode: Mode, tag: u32) -> Step {
    let who = [0, 0, 1, 1, READER][random.place(5)];
    let writer = if mode.exclusive { 0 } else { random.place(2) };
    let key = random.place(KEYS);
    match random.below(1_000) {
        0..=219 => Get(who, key),
        220..=279 => Contains(who, key),
        280..=309 => Len(who),
        310..=324 => Iterate(who),
        325..=332 => Snapshot(who),
        333..=340 => Compare,
        341..=342 => Truncate,
        343..=348 => Kill(who),
        349..=356 => Advance([1, 20, 4_000][random.place(3)]),
        357..=364 => {
            let offsets = [0, -50, 50, -5_000, 5_000, 2 * DAY as i64, -2 * DAY as i64];
            let whose = [None, Some(who)][random.place(2)];
            Wall(whose, offsets[random.place(offsets.len())])
        }
        365..=384 => {
            let kinds = [
                FaultKind::Eio,
                FaultKind::Enospc,
                FaultKind::Eintr,
                FaultKind::Emfile,
                FaultKind::Eacces,
                FaultKind::Short(1),
                FaultKind::Short(60),
                FaultKind::OneShort,
                FaultKind::Kill,
            ];
            let kind = kinds[random.place(kinds.len())];
            let failure = Failure {
                kind,
                nth: 1 + random.below(12),
                forever: random.one_in(3) && !matches!(kind, FaultKind::Eintr | FaultKind::Kill),
                dies: random.one_in(3),
            };
            Fail(Box::new(draw_write(random, writer, tag)), failure)
        }
        385..=399 => Cut(Box::new(draw_write(random, writer, tag))),
        _ => draw_write(random, writer, tag),
    }
}

fn draw_write(random: &mut Random, who: Who, tag: u32) -> Step {
    let key = random.place(KEYS);
    let value = |random: &mut Random, nth: u32| Value {
        tag: tag + nth,
        len: match random.below(40) {
            0 => 4 + random.below(3_000) as u32,
            _ => 4 + random.below(200) as u32,
        },
    };
    let life = |random: &mut Random| match random.below(12) {
        0 => Some(-1),
        1 => Some(-2 * DAY as i64),
        2 => Some(30),
        3 => Some(3_600),
        _ => None,
    };
    match random.below(100) {
        0..=47 => Insert(who, key, value(random, 0), life(random)),
        48..=65 => Remove(who, key),
        66..=76 => Replace(who, key, value(random, 0), life(random)),
        77..=81 => Keep(who, key),
        82..=91 => Write(
            who,
            (0..random.below(6) as u32)
                .map(|nth| {
                    let put = (!random.one_in(3)).then(|| (value(random, nth), life(random)));
                    (random.place(KEYS), put)
                })
                .collect(),
        ),
        92..=93 => Sync(who),
        94..=95 => Compact(who),
        96 => Close(who),
        97 => Leave(who),
        98 => Reopen(who),
        _ => Clear(who),
    }
}

const STEPS_A_RUN: u64 = 500;

/// Runs with consecutive seeds until so many operations are done.
fn storm(name: &str, mode: Mode, ops: u64) {
    let start = Instant::now();
    let ops = setting("SHELF_FUZZ_OPS").unwrap_or(if is_soak() { 20 * ops } else { ops });
    let first = setting("SHELF_FUZZ_SEED").unwrap_or(1);
    let (mut done, mut seed) = (0, first);
    while done < ops {
        let count = STEPS_A_RUN.min(ops - done);
        let mut random = Random::new(seed);
        let steps: Vec<Step> = (0..count as u32)
            .map(|nth| draw(&mut random, mode, nth * 8 + 1))
            .collect();
        if let Err(what) = outcome(seed, mode, &steps) {
            let steps = shrink(&steps, &|steps| outcome(seed, mode, steps).is_err());
            let what = outcome(seed, mode, &steps).err().unwrap_or(what);
            let list: Vec<_> = steps
                .iter()
                .map(|step| format!("    {step:?},\n"))
                .collect();
            panic!(
                "{what}\nafter\n{}repeat with: SHELF_FUZZ_SEED={seed} SHELF_FUZZ_OPS={count} \
                 cargo test --test it storm::{name}",
                list.concat()
            );
        }
        (done, seed) = (done + count, seed + 1);
    }
    metric(
        &format!("storm_{name}_ops"),
        done,
        Some(first),
        start.elapsed().as_secs_f64(),
    );
}

macro_rules! storms {
    ($($name:ident: $mode:expr;)*) => {
        $(
            #[test]
            fn $name() {
                storm(stringify!($name), $mode, 500_000);
            }
        )*
    };
}

storms! {
    durable_writes_of_two_processes_weather_every_storm: SHARED;
    writes_of_two_processes_weather_every_storm: SHARED_OS;
    durable_writes_of_one_process_weather_every_storm: EXCLUSIVE;
    writes_of_one_process_weather_every_storm: EXCLUSIVE_OS;
}
