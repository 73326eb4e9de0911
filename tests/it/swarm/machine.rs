//! A machine with three processes, what each of their calls may have left, and what a power cut may.

mod damage;
mod threads;
mod trouble;

use super::hand::{Hand, Visit, all_of, key_bytes, millis, time};
use super::model::{Answer, At, LAST, LAST_KEY, Model, NEVER, Rules, SLOTS, Time, Value};
use super::step::{Failure, READER, Recipe, Step, Who};
use super::turns::{Made, Turn, distinct, explain, or_compacted};
use crate::proof::power::moment_of;
use crate::proof::workload::{Mode, PATH};
use shelflife::sim::{Call, FailedSync, Fault, FaultKind, Ran, Schedule, SimDisk};
use shelflife::{
    Compaction, Disk, Durability, Entries, ErrorKind, Options, Session, SessionId, SessionOptions,
    Store,
};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use Step::*;

/// The file may have so many bytes more than three times what it has to keep.
const SLACK_BYTES: u64 = 1 << 20;
/// The most files of evidence that are kept.
const EVIDENCE_MAX: usize = 4;
/// Far more calls to the disk than a step needs: one that makes so many goes round in circles.
const CALLS_MAX: u64 = 300_000;
/// The same where the disk takes and gives single bytes.
const CALLS_BY_BYTES_MAX: u64 = 20_000_000;
/// Where the header says when the file was created.
const CREATED_AT: usize = 72;

/// A snapshot of a process that is still to be read, and what it should show.
struct Kept {
    who: Who,
    entries: Entries,
    all: Answer,
}

pub(super) struct Swarm {
    mode: Mode,
    rules: Rules,
    sessions: SessionOptions,
    compaction: Compaction,
    failed_sync: FailedSync,
    sim: SimDisk,
    hands: Vec<Hand>,
    /// From the last change that is durable on.
    turns: Vec<Turn>,
    /// How many calls a step may make.
    calls_max: u64,
    /// How many there had been when those under way began.
    calls_before: u64,
    /// How often the machine was told that something is durable.
    promised: usize,
    generation: u64,
    created: Time,
    snapshot: Option<Kept>,
    /// Every id that a login was told of.
    ids: Vec<SessionId>,
    /// Which of them each browser has.
    slots: [Option<usize>; SLOTS],
    copy: Option<Session>,
    /// Something was damaged.
    has_rotted: bool,
    /// The copy of the header that may be another file's. The other one never is, or nothing could be told.
    misplaced: Option<usize>,
    /// A compaction may have failed: the next one waits until the file has grown.
    is_excused: bool,
    /// The beginning, by the wall clock.
    start: Time,
}

impl Swarm {
    pub(super) fn new(seed: u64, recipe: &Recipe) -> Swarm {
        let sim = SimDisk::new(seed);
        let mode = Mode {
            exclusive: recipe.exclusive,
            durability: recipe.durability,
        };
        let pick = |nth: u32| seed >> nth & 1 == 1;
        let rules = Rules {
            idle: pick(1).then_some(30 * 60_000 + 500),
            absolute: pick(2).then_some(120 * 60_000 + 500),
            resolution: 60_000,
        };
        let mut sessions = SessionOptions::new();
        sessions.hash_ids(pick(3));
        let span = |millis: Time| Duration::from_millis(millis as u64);
        rules.idle.map(|idle| sessions.idle_lifetime(span(idle)));
        rules
            .absolute
            .map(|all| sessions.absolute_lifetime(span(all)));
        let is_durable = mode.durability == Durability::Immediate;
        let mut swarm = Swarm {
            mode,
            rules,
            sessions,
            compaction: match pick(4) && pick(5) {
                true => Compaction::Manual,
                false => Compaction::Inline,
            },
            // Writes that were not promised to be durable would be gone from the cache as well.
            failed_sync: match is_durable && pick(0) {
                true => FailedSync::Revert,
                false => FailedSync::KeepClean,
            },
            calls_max: CALLS_MAX,
            calls_before: 0,
            promised: 0,
            start: millis(sim.process().wall_clock()),
            sim,
            hands: Vec::new(),
            turns: vec![Turn {
                from: 0,
                states: vec![Model::default()],
            }],
            generation: 0,
            created: Time::MIN,
            snapshot: None,
            ids: Vec::new(),
            slots: [None; SLOTS],
            copy: None,
            has_rotted: false,
            misplaced: None,
            is_excused: false,
        };
        swarm.sim.set_failed_sync(swarm.failed_sync);
        swarm.hands = (0..3).map(|who| swarm.hand(who)).collect();
        swarm
    }

    fn hand(&self, who: Who) -> Hand {
        let process = self.sim.process();
        let mut options: Options = self.mode.options(Arc::new(process.clone()));
        options.compaction(self.compaction);
        if !self.writes(who) {
            options.exclusive(false).read_only(true);
        }
        Hand {
            process,
            store: None,
            options,
            sessions: self.sessions.clone(),
            shaky: false,
        }
    }

    /// A clock that reads earlier than the creation of the file is wrong: then the creation counts as now.
    fn now(&self, who: Who) -> Time {
        millis(self.hands[who].process.wall_clock()).max(self.created)
    }

    /// The time up to which entries have ended: by a wrong clock none has.
    fn ended_by(&self, who: Who) -> Time {
        match millis(self.hands[who].process.wall_clock()) {
            wall if wall < self.created => NEVER,
            wall => wall,
        }
    }

    /// When the file was created, by its own word.
    fn look_at_the_creation(&mut self) {
        // Either copy may be the file's own.
        let at = CREATED_AT + damage::HEADER_BYTES * usize::from(self.misplaced == Some(0));
        let file = self.sim.read(PATH).unwrap_or_default();
        let created = file.get(at..).and_then(|rest| rest.first_chunk());
        self.created = created.map_or(Time::MIN, |bytes| Time::from_le_bytes(*bytes));
    }

    /// Which file has the path.
    fn file(&self) -> Option<u64> {
        let stat = Disk::stat(&self.sim.process(), Path::new(PATH));
        stat.ok().map(|stat| stat.inode)
    }

    fn writes(&self, who: Who) -> bool {
        who == 0 || who == 1 && !self.mode.exclusive
    }

    /// Opens the handle if it is not.
    fn open(&mut self, who: Who) -> shelflife::Result<()> {
        if who > 0 && self.hands[who].store.is_none() {
            // A handle that only reads creates nothing.
            self.hands[0].open()?;
        }
        self.hands[who].open()?;
        if self.created == Time::MIN {
            self.look_at_the_creation();
        }
        Ok(())
    }

    fn store(&self, who: Who) -> &Store {
        self.hands[who].store()
    }

    fn states(&mut self) -> &mut Vec<Model> {
        &mut self.turns.last_mut().expect("is never empty").states
    }

    pub(super) fn take(&mut self, step: &Step) -> Result<(), String> {
        // A repair that is cut off may make its evidence anew, and be cut off in that.
        let is_judged = match step {
            Cut(_) | Panic(..) | Zero => false,
            Fail(step, _) => step.compacts() && self.write_and_seal()?,
            _ => true,
        };
        let (file, known) = (self.file(), self.evidence());
        self.take_one(step)?;
        // Only a compaction that was asked for, and succeeded, takes evidence away.
        let kept = self.evidence();
        let may_go = step.compacts() && self.file() != file;
        match known.iter().find(|name| !kept.contains(name)) {
            Some(gone) if is_judged && !may_go => Err(format!("{gone} is gone")),
            _ if kept.len() > EVIDENCE_MAX => Err(format!("too much evidence: {kept:?}")),
            _ => Ok(()),
        }
    }

    fn take_one(&mut self, step: &Step) -> Result<(), String> {
        match step {
            Fail(step, failure) => self.fail(step, *failure),
            Panic(step, nth) => self.panic(step, *nth),
            Wait(who) => self.wait(*who),
            Cut(step) => self.cut(step),
            Both(one, other, seed) => self.both(one, other, *seed),
            Advance(by) => {
                self.sim.advance(Duration::from_secs(*by));
                Ok(())
            }
            Wall(who, offset) => {
                let to = time(self.start + offset * 1000);
                match who {
                    Some(who) => self.hands[*who].process.set_wall_clock(to),
                    None => self.sim.set_wall_clock(to),
                }
                Ok(())
            }
            Contradict(which) => self.contradict(*which),
            Rot(key) => self.rot(*key),
            Misplace(copy) => self.misplace(*copy),
            Zero => self.zero(),
            Threads(who, writes) => self.threads(*who, writes),
            Kill(who) => self.kill(*who),
            Snapshot(who) => {
                let opened = self.open(*who);
                opened.map_err(|error| format!("it does not open: {error:?}"))?;
                let now = self.ended_by(*who);
                let entries = self.store(*who).entries();
                let has_rotted = self.has_rotted;
                // Which of several is unknown until it is read.
                if let [state] = &self.states()[..]
                    && !has_rotted
                {
                    self.snapshot = Some(Kept {
                        who: *who,
                        all: Answer::All(state.all(now)),
                        entries,
                    });
                }
                Ok(())
            }
            Compare => match self.snapshot.take() {
                None => Ok(()),
                Some(Kept { entries, all, .. }) => match (all_of(entries), all) {
                    (Ok(got), wanted) if got == wanted => Ok(()),
                    (got, wanted) => Err(format!("got {got:?}, expected {wanted:?}")),
                },
            },
            _ => self.take_call(step),
        }
    }

    /// Takes a step that is a call and must succeed.
    fn take_call(&mut self, step: &Step) -> Result<(), String> {
        let written = self.sim.calls(Call::Write);
        match self.attempt(step)? {
            Ok(is_durable) => {
                self.promise(is_durable);
                // Time alone makes no file smaller, nor does a seal.
                let is_write = !matches!(step, Sync(_) | Reopen(_));
                match is_write && self.sim.calls(Call::Write) > written {
                    true => self.space(step.who()),
                    false => Ok(()),
                }
            }
            Err(error) if self.hands[step.who()].shaky && error.kind() != ErrorKind::Corrupt => {
                self.settle(step.who())
            }
            Err(error) => Err(format!("failed: {error:?}")),
        }
    }

    /// The state before a step that has succeeded can't come back, if the step is durable.
    fn promise(&mut self, is_durable: bool) {
        if is_durable {
            self.turns.drain(..self.turns.len() - 1);
        }
    }

    /// After a write the file is as small as was promised.
    fn space(&mut self, who: Who) -> Result<(), String> {
        if self.compaction == Compaction::Manual || self.is_excused || !self.writes(who) {
            return Ok(());
        }
        let now = self.ended_by(who);
        let stat = Disk::stat(&self.hands[who].process, Path::new(PATH));
        let size_bytes = stat.map_err(|error| error.to_string())?.size_bytes;
        let kept = |state: &Model| state.kept_bytes(now, |key| key_bytes(key).len());
        let kept_bytes = self.states().iter().map(kept).max().unwrap_or(0);
        match size_bytes <= 3 * kept_bytes + SLACK_BYTES {
            true => Ok(()),
            false => Err(format!(
                "the file has {size_bytes} bytes, {kept_bytes} of which it has to keep: {:?}",
                self.store(who).stats()
            )),
        }
    }

    fn visit(&mut self, step: &Step) -> Visit {
        let id = step.slot().and_then(|slot| self.slots[slot]);
        Visit {
            id: id.map(|id| self.ids[id].clone()),
            copy: self.copy.clone(),
            told: None,
        }
    }

    /// An admin takes away what earlier salvages kept, of which there may be so many and no more.
    fn clear_away(&self, step: &Step) {
        if let SalvageInPlace(_) = step {
            let admin = self.sim.process();
            let names = admin.list(Path::new("/")).unwrap_or_default();
            for name in names {
                if name.to_string_lossy().contains(".original-") {
                    let _ = admin.remove(&Path::new("/").join(name));
                }
            }
        }
    }

    /// The circumstances of a step; `new_id` is the number that an id gets which it draws.
    fn at(&self, step: &Step, new_id: usize) -> At {
        let now = self.now(step.who());
        let wall = millis(self.hands[step.who()].process.wall_clock());
        At {
            now: now..=now,
            wall,
            is_wrong: wall < self.created,
            is_crowded: false,
            id: step.slot().and_then(|slot| self.slots[slot]),
            new_id,
            rules: self.rules,
        }
    }

    /// Takes over the id and the copy that a visitor took with him.
    fn leave(&mut self, step: &Step, visit: Visit, new_id: usize, has_failed: bool) {
        if matches!(step, Copy(..) | Save(..)) {
            self.copy = visit.copy.filter(|_| !has_failed);
        }
        if let Some(told) = visit.told.filter(|_| !has_failed) {
            self.ids
                .resize(self.ids.len().max(new_id + 1), told.clone());
            self.ids[new_id] = told;
            if let Login(_, slot, ..) | LoginCapped(_, slot, ..) | Renew(_, slot) = step {
                self.slots[*slot] = Some(new_id);
            }
        }
    }

    /// Lets processes die where they make so many calls that they would never end.
    fn bound(&mut self, who: &[Who]) {
        self.calls_before = self.calls();
        for who in who {
            let process = self.hands[*who].process.id();
            let fault = Fault::new(FaultKind::Kill).by(process);
            self.sim.inject(fault.nth(self.calls_max));
        }
    }

    /// Ends what was bound, and whatever else was injected.
    fn ended(&self) -> Result<(), String> {
        self.sim.clear_faults();
        match self.calls() - self.calls_before {
            calls if calls >= self.calls_max => {
                Err(format!("it does not end within {calls} calls"))
            }
            _ => Ok(()),
        }
    }

    /// How many calls to the disk there were so far.
    fn calls(&self) -> u64 {
        Call::ALL.iter().map(|call| self.sim.calls(*call)).sum()
    }

    /// Takes a step that may fail, of which the models then allow both. Whether all that was written is durable now.
    fn attempt(&mut self, step: &Step) -> Result<shelflife::Result<bool>, String> {
        let who = step.who();
        self.bound(&[who]);
        if let Err(error) = self.open(who) {
            self.ended()?;
            return Ok(Err(error));
        }
        self.clear_away(step);
        let (from, new_id) = (self.sim.steps(), self.ids.len());
        let (at, mut visit) = (self.at(step, new_id), self.visit(step));
        let syncs = self.sim.calls(Call::Sync);
        let answer = self.hands[who].call(step, at.wall, &mut visit);
        self.ended()?;
        // The sync of a salvage is one of another file.
        if answer.is_ok() && !matches!(step, Salvage(_)) {
            self.was_told(who, syncs);
        }
        let answer = self.or_damage(answer);
        let has_failed = matches!(answer, Err(_) | Ok(Answer::Corrupt));
        self.leave(step, visit, new_id, has_failed);
        let (answer, error) = match answer {
            Ok(answer) => (Some(answer), None),
            Err(error) => (None, Some(error)),
        };
        let made = Made { step, at, answer };
        let explained = match step.is_read() {
            true => self.has_read(&made),
            false => self.has_written(from, &[&made]),
        };
        let durability = self.mode.durability;
        explained.map(|()| error.map_or_else(|| Ok(made.is_durable(durability)), Err))
    }

    fn has_read(&mut self, made: &Made<'_>) -> Result<(), String> {
        let Some(answer) = &made.answer else {
            // A request that could not load its session has none.
            self.forget_copies();
            return Ok(());
        };
        let states = self.states();
        let first = states[0].clone();
        states.retain_mut(|state| state.take(made.step, &made.at, Some(answer)));
        match states.is_empty() {
            true => {
                let expected = first.expected(made.step, &made.at);
                Err(format!("got {answer:?}, expected {expected}"))
            }
            false => Ok(()),
        }
    }

    /// Works out the states after calls that were made at once.
    fn has_written(&mut self, from: usize, calls: &[&Made<'_>]) -> Result<(), String> {
        let rules = self.rules;
        let mut states = self.states().clone();
        let all_succeeded = calls.iter().all(|made| made.answer.is_some());
        let mut switched = !all_succeeded;
        for made in calls {
            let store = self.hands[made.step.who()].store.as_ref();
            if let Some(Ok(stats)) = store.map(Store::stats).filter(|_| all_succeeded)
                && stats.generation != self.generation
            {
                self.generation = stats.generation;
                self.look_at_the_creation();
                self.is_excused = false;
                switched = true;
            }
        }
        // A switch comes before the change or after it, and goes by the clock of the process that makes it. That one
        // was killed shows when its step is over but for giving the lock back.
        let clocks: Vec<Time> = calls
            .iter()
            .map(|made| made.at.ended_by(made.at.now.end()))
            .collect();
        let or_switched = |states: &mut Vec<Model>| {
            for now in &clocks {
                or_compacted(states, *now, rules);
            }
        };
        if switched {
            or_switched(&mut states);
            self.turns.push(Turn {
                from,
                states: distinct(states.clone()),
            });
        }
        if calls.len() > 1 {
            // The power may go between them.
            let mut one_of_them = Vec::new();
            for (state, call) in states
                .iter()
                .flat_map(|state| calls.iter().map(move |call| (state, call)))
            {
                explain(state, &[call], &mut one_of_them);
            }
            self.turns.push(Turn {
                from,
                states: distinct(one_of_them),
            });
        }
        let mut explained = Vec::new();
        for state in &states {
            let others = explained.len();
            explain(state, calls, &mut explained);
            // A switch beside a change drops less of it: not what replaces a value that it has copied.
            if switched && calls.len() > 1 {
                let afterwards = explained[others..].to_vec();
                for (mut after, now) in afterwards
                    .iter()
                    .flat_map(|after| clocks.iter().map(|now| (after.clone(), *now)))
                {
                    after.drop_values(now, Some(state));
                    explained.push(after);
                }
            }
        }
        let Some(first) = states.first() else {
            return Err("no state is possible".to_owned());
        };
        if explained.is_empty() {
            let told: Vec<String> = calls
                .iter()
                .map(|made| {
                    let expected = first.expected(made.step, &made.at);
                    format!("got {:?}, expected {expected}", made.answer)
                })
                .collect();
            return Err(told.join("; "));
        }
        if switched {
            or_switched(&mut explained);
        }
        if !all_succeeded {
            explained.iter_mut().for_each(Model::forget_copies);
            self.copy = None;
        }
        self.turns.push(Turn {
            from,
            states: distinct(explained),
        });
        Ok(())
    }

    fn forget_copies(&mut self) {
        self.copy = None;
        self.states().iter_mut().for_each(Model::forget_copies);
    }

    /// Two processes make a call each, and take turns at the disk.
    fn both(&mut self, one: &Step, other: &Step, seed: u64) -> Result<(), String> {
        let steps = [one, other];
        self.bound(&steps.map(Step::who));
        for step in steps {
            if let Err(error) = self.open(step.who()) {
                return Err(format!("it does not open: {error:?}"));
            }
            self.clear_away(step);
        }
        let (from, new_id) = (self.sim.steps(), self.ids.len());
        let mut at = [self.at(one, new_id), self.at(other, new_id + 1)];
        let mut visits = steps.map(|step| self.visit(step));
        let mut answers = [None, None];
        {
            let mut hands: Vec<Option<&mut Hand>> = self.hands.iter_mut().map(Some).collect();
            let parts = steps.iter().zip(&at).zip(&mut visits).zip(&mut answers);
            let mut programs = Vec::new();
            for (((step, at), visit), answer) in parts {
                let hand = hands[step.who()].take().expect("two different handles");
                let process = hand.process.clone();
                programs.push((process, move || {
                    *answer = Some(hand.call(step, at.wall, visit));
                    Ok::<(), shelflife::Error>(())
                }));
            }
            let mut schedule = Schedule::seeds(seed..seed.saturating_add(1));
            schedule.next();
            let programs = programs
                .into_iter()
                .map(|(process, program)| process.program(program))
                .collect();
            let ran = self.sim.run(&mut schedule, programs);
            if ran != Ran::Whole {
                return Err(format!("the schedule ended early: {ran:?}"));
            }
        }
        self.ended()?;
        for (step, at) in steps.iter().zip(&mut at) {
            at.now = *at.now.start()..=self.now(step.who());
            at.is_crowded = true;
        }
        let (mut calls, mut failed) = (Vec::new(), None);
        let parts = steps.into_iter().zip(at).zip(visits).zip(answers);
        for (((step, at), visit), answer) in parts {
            let answer = self.or_damage(answer.expect("the program ran"));
            let has_failed = matches!(answer, Err(_) | Ok(Answer::Corrupt));
            self.leave(step, visit, at.new_id, has_failed);
            let answer = match answer {
                Ok(answer) => Some(answer),
                Err(error) => {
                    failed = Some((step.who(), error));
                    None
                }
            };
            calls.push(Made { step, at, answer });
        }
        self.has_written(from, &calls.iter().collect::<Vec<_>>())?;
        // Two requests at once: which of them has the copy is not kept track of.
        self.forget_copies();
        match failed {
            // A lock that the other has is waited for, but not for ever.
            Some((_, error)) if error.is_busy() => Ok(()),
            Some((who, error)) if self.hands[who].shaky && error.kind() != ErrorKind::Corrupt => {
                self.settle(who)
            }
            Some((_, error)) => Err(format!("failed: {error:?}")),
            None => {
                let durability = self.mode.durability;
                // A read may have been before the other's write.
                self.promise(calls.iter().all(|made| made.is_durable(durability)));
                Ok(())
            }
        }
    }
}
