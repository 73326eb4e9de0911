//! The steps of a run, and how a run is drawn.

use super::model::{KEYS, Life, SLOTS, TYPED, USERS, Value};
use crate::support::Random;
use shelflife::Durability;
use shelflife::sim::FaultKind;

/// Number of a process and its handle: two that write (one, where that has the file to itself), and one that reads.
pub(super) type Who = usize;
pub(super) const READER: Who = 2;

/// In how many ways the options of an opening contradict each other, or the file.
pub(super) const CONTRADICTIONS: usize = 7;
pub(super) const DAY_SECS: i64 = 24 * 3600;

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Step {
    // Of the map.
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
    /// Threads of one process write at once, each under a key of its own.
    Threads(Who, Vec<(usize, Value)>),
    Compact(Who),
    Verify(Who),
    /// Removes every third of the entries that it has just listed.
    RemoveUnchanged(Who, usize),
    /// Copies what can be read to another file, which has to hold the same.
    Salvage(Who),
    SalvageInPlace(Who),

    // Of a shelf.
    GetTyped(Who, usize),
    InsertTyped(Who, usize, Value),
    Take(Who, usize),
    /// Removes an odd number.
    RemoveOdd(Who, usize),

    // Of sessions. A slot is a browser: it has the id of the last login that it was told of.
    Login(Who, usize, u8, u32),
    Load(Who, usize),
    Has(Who, usize),
    Touch(Who, usize),
    /// Counts one up, in one step.
    Edit(Who, usize),
    /// Draws a new id.
    Renew(Who, usize),
    /// A request begins: it loads a copy.
    Copy(Who, usize),
    /// It ends: the copy is saved with this count.
    Save(Who, u32),
    Logout(Who, usize),
    LogoutHandle(Who, usize),
    LogoutUser(Who, u8),
    /// All of a user's but the one that this browser has.
    LogoutOthers(Who, usize, u8),
    /// A login that a cap on the user's sessions bounds: so many, and whether it is refused rather than the oldest
    /// ended.
    LoginCapped(Who, usize, u8, u32, (usize, bool)),
    /// Deletes what was not used for so many minutes.
    Sweep(Who, u64),
    List(Who),

    // Of handles and processes.
    Close(Who),
    /// As the end of a process that does not call `close`.
    Leave(Who),
    /// The same handle reads the file anew.
    Reopen(Who),
    Truncate,
    Kill(Who),
    /// Opens the file with options that contradict each other.
    Contradict(usize),

    // Of the world.
    /// A number of seconds pass.
    Advance(u64),
    /// A bit of the value under a key turns over, of what is known to be on the disk.
    Rot(usize),
    /// One copy of the header is overwritten by that of another store, as by a write that went astray.
    Misplace(usize),
    /// While nobody has the file open its last records are replaced by zeros.
    Zero,
    /// The time of day becomes that of the beginning and so many seconds: of one process, or of the machine.
    Wall(Option<Who>, i64),
    /// Meanwhile a call fails: the n-th, once or from then on, and then the process may be killed.
    Fail(Box<Step>, Failure),
    /// The n-th sync of the step panics.
    Panic(Box<Step>, u64),
    /// While a thread loads entries another thread of the process wants to write the file anew.
    Wait(Who),
    /// The power goes during the step, or right after it.
    Cut(Box<Step>),
    /// Two processes at once: their calls are interleaved as this seed draws it.
    Both(Box<Step>, Box<Step>, u64),
}

use Step::*;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) kind: FaultKind,
    pub(super) nth: u64,
    pub(super) forever: bool,
    pub(super) dies: bool,
}

impl Step {
    pub(super) fn who(&self) -> Who {
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
            | Threads(who, _)
            | Compact(who)
            | Verify(who)
            | RemoveUnchanged(who, _)
            | Salvage(who)
            | SalvageInPlace(who)
            | GetTyped(who, _)
            | InsertTyped(who, ..)
            | Take(who, _)
            | RemoveOdd(who, _)
            | Login(who, ..)
            | Load(who, _)
            | Has(who, _)
            | Touch(who, _)
            | Edit(who, _)
            | Renew(who, _)
            | Copy(who, _)
            | Save(who, _)
            | Logout(who, _)
            | LogoutHandle(who, _)
            | LogoutUser(who, _)
            | LogoutOthers(who, ..)
            | LoginCapped(who, ..)
            | Sweep(who, _)
            | List(who)
            | Close(who)
            | Leave(who)
            | Reopen(who)
            | Wait(who)
            | Kill(who) => *who,
            Fail(step, _) | Panic(step, _) | Cut(step) | Both(step, ..) => step.who(),
            Compare | Truncate | Contradict(_) | Advance(_) | Rot(_) | Misplace(_) | Zero
            | Wall(..) => 0,
        }
    }

    /// The browser whose id it takes.
    pub(super) fn slot(&self) -> Option<usize> {
        match self {
            Load(_, slot)
            | Has(_, slot)
            | Touch(_, slot)
            | Edit(_, slot)
            | Renew(_, slot)
            | Copy(_, slot)
            | Logout(_, slot)
            | LogoutHandle(_, slot)
            | LogoutOthers(_, slot, _) => Some(*slot),
            _ => None,
        }
    }

    /// Whether a compaction that was asked for may be part of it.
    pub(super) fn compacts(&self) -> bool {
        match self {
            Compact(_) | Wait(_) => true,
            Fail(step, _) | Panic(step, _) | Cut(step) => step.compacts(),
            Both(one, other, _) => one.compacts() || other.compacts(),
            _ => false,
        }
    }

    pub(super) fn is_read(&self) -> bool {
        matches!(
            self,
            Get(..)
                | Contains(..)
                | Len(_)
                | Iterate(_)
                | GetTyped(..)
                | Load(..)
                | Has(..)
                | Copy(..)
                | List(_)
                | Verify(_)
                | Salvage(_)
        )
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Get,
    Contains,
    Len,
    Iterate,
    Snapshot,
    Compare,
    Insert,
    Remove,
    Replace,
    Keep,
    Write,
    Clear,
    Sync,
    Compact,
    Verify,
    RemoveUnchanged,
    Salvage,
    SalvageInPlace,
    GetTyped,
    InsertTyped,
    Take,
    RemoveOdd,
    Login,
    Load,
    Has,
    Touch,
    Edit,
    Renew,
    Copy,
    Save,
    Logout,
    LogoutHandle,
    LogoutUser,
    LogoutOthers,
    LoginCapped,
    Sweep,
    List,
    Close,
    Leave,
    Reopen,
    Truncate,
    Kill,
    Contradict,
    Advance,
    Rot,
    Misplace,
    Wall,
    Fail,
    Cut,
    Both,
    Zero,
    Panic,
    Wait,
    /// Only where a run asks for it: no seed decides how threads interleave.
    Threads,
}

/// How often each is drawn, where a run has it at all.
const WEIGHTS: [(Kind, u64); 50] = [
    (Kind::Get, 150),
    (Kind::Contains, 40),
    (Kind::Len, 20),
    (Kind::Iterate, 10),
    (Kind::Snapshot, 8),
    (Kind::Compare, 8),
    (Kind::Insert, 200),
    (Kind::Remove, 80),
    (Kind::Replace, 50),
    (Kind::Keep, 20),
    (Kind::Write, 40),
    (Kind::Clear, 4),
    (Kind::Sync, 10),
    (Kind::Compact, 10),
    (Kind::Verify, 4),
    (Kind::RemoveUnchanged, 6),
    (Kind::Salvage, 2),
    (Kind::SalvageInPlace, 1),
    (Kind::GetTyped, 30),
    (Kind::InsertTyped, 30),
    (Kind::Take, 10),
    (Kind::RemoveOdd, 6),
    (Kind::Login, 30),
    (Kind::Load, 40),
    (Kind::Has, 10),
    (Kind::Touch, 20),
    (Kind::Edit, 30),
    (Kind::Renew, 10),
    (Kind::Copy, 20),
    (Kind::Save, 20),
    (Kind::Logout, 10),
    (Kind::LogoutHandle, 3),
    (Kind::LogoutUser, 3),
    (Kind::LogoutOthers, 4),
    (Kind::LoginCapped, 12),
    (Kind::Sweep, 4),
    (Kind::List, 8),
    (Kind::Close, 5),
    (Kind::Leave, 5),
    (Kind::Reopen, 5),
    (Kind::Truncate, 2),
    (Kind::Kill, 5),
    (Kind::Contradict, 2),
    (Kind::Advance, 10),
    (Kind::Rot, 6),
    (Kind::Misplace, 2),
    (Kind::Wall, 6),
    (Kind::Fail, 14),
    (Kind::Cut, 10),
    (Kind::Both, 14),
];
const ZERO: (Kind, u64) = (Kind::Zero, 6);
const PANIC: (Kind, u64) = (Kind::Panic, 30);
const WAIT: (Kind, u64) = (Kind::Wait, 2);
const THREADS: (Kind, u64) = (Kind::Threads, 60);
/// Of eight seeds in a row these have steps that came to the swarm later, so that the seeds which found something before
/// still lead there: first the ends of files, later threads of one process that meet.
const LATE: std::ops::Range<u64> = 0..2;
const LATER: u64 = 2;

/// The way in which all runs of a test open the file.
pub(super) struct Way {
    pub(super) exclusive: bool,
    pub(super) durability: Durability,
    /// Threads of one process write at once.
    pub(super) has_threads: bool,
}

/// The recipe of a run: some kinds of steps, and not the others, so that those left get far.
#[derive(Debug, Clone)]
pub(super) struct Recipe {
    pub(super) exclusive: bool,
    pub(super) durability: Durability,
    /// Values are so large that the file outgrows the size below which nothing is compacted by itself.
    pub(super) is_bulky: bool,
    /// All values are long and have a short life, so that a file can be full of what has ended long ago.
    is_fleeting: bool,
    /// With the last of each in reach: the sum of the weights up to it.
    kinds: Vec<(Kind, u64)>,
    /// The same, of those that `Fail`, `Cut` and `Both` are made of.
    calls: Vec<(Kind, u64)>,
}

fn summed(kinds: impl Iterator<Item = (Kind, u64)>) -> Vec<(Kind, u64)> {
    let mut sum = 0;
    let summed = kinds.map(|(kind, weight)| {
        sum += weight;
        (kind, sum)
    });
    summed.collect()
}

fn one_of(kinds: &[(Kind, u64)], random: &mut Random) -> Kind {
    let drawn = random.below(kinds.last().map_or(1, |(_, sum)| *sum));
    let found = kinds.iter().find(|(_, sum)| drawn < *sum);
    found.map_or(Kind::Insert, |(kind, _)| *kind)
}

impl Recipe {
    pub(super) fn draw(seed: u64, random: &mut Random, way: &Way) -> Recipe {
        let is_bulky = random.one_in(8);
        let is_late = LATE.contains(&(seed % 8));
        // A half of them or a few: with all of them at once none gets far.
        let rare = random.one_in(3);
        let mut kinds: Vec<(Kind, u64)> = WEIGHTS.into_iter().collect();
        kinds.retain(|_| match rare {
            true => random.one_in(4),
            false => random.one_in(2),
        });
        if !kinds.iter().any(|(kind, _)| *kind == Kind::Insert) {
            kinds.push((Kind::Insert, 60));
        }
        kinds.extend(is_late.then_some(ZERO));
        if seed % 8 == LATER {
            kinds.extend([PANIC, WAIT]);
        }
        kinds.extend(way.has_threads.then_some(THREADS));
        let is_call = |(kind, _): &(Kind, u64)| {
            !matches!(
                kind,
                Kind::Fail
                    | Kind::Cut
                    | Kind::Both
                    | Kind::Kill
                    | Kind::Advance
                    | Kind::Rot
                    | Kind::Misplace
                    | Kind::Zero
                    | Kind::Panic
                    | Kind::Wait
                    | Kind::Threads
                    | Kind::Wall
                    | Kind::Snapshot
                    | Kind::Compare
                    | Kind::Truncate
                    | Kind::Contradict
            )
        };
        Recipe {
            exclusive: way.exclusive,
            durability: way.durability,
            is_bulky,
            is_fleeting: is_bulky && is_late,
            calls: summed(kinds.iter().copied().filter(is_call)),
            kinds: summed(kinds.into_iter()),
        }
    }

    /// The next step. A `tag` and the seven behind it make values that differ from all others.
    pub(super) fn step(&self, random: &mut Random, tag: u32) -> Step {
        self.of(one_of(&self.kinds, random), random, tag)
    }

    fn call(&self, random: &mut Random, tag: u32) -> Step {
        self.of(one_of(&self.calls, random), random, tag)
    }

    fn of(&self, kind: Kind, random: &mut Random, tag: u32) -> Step {
        let who = [0, 0, 1, 1, READER][random.place(5)];
        let writer = if self.exclusive { 0 } else { random.place(2) };
        let (key, typed) = (random.place(TYPED), TYPED + random.place(KEYS - TYPED));
        let (slot, user) = (random.place(SLOTS), random.place(USERS) as u8);
        let number = Value { tag, len: 0 };
        match kind {
            Kind::Get => Get(who, key),
            Kind::Contains => Contains(who, random.place(KEYS)),
            Kind::Len => Len(who),
            Kind::Iterate => Iterate(who),
            Kind::Snapshot => Snapshot(who),
            Kind::Compare => Compare,
            Kind::Insert => Insert(writer, key, self.value(random, tag), self.life(random)),
            Kind::Remove => Remove(writer, random.place(KEYS)),
            Kind::Replace => Replace(writer, key, self.value(random, tag), self.life(random)),
            Kind::Keep => Keep(writer, key),
            Kind::Write => {
                let change = |nth: u32, random: &mut Random| {
                    let put = !random.one_in(3);
                    let put = put.then(|| (self.value(random, tag + nth), self.life(random)));
                    (random.place(TYPED), put)
                };
                let changes = random.below(6) as u32;
                Write(
                    writer,
                    (0..changes).map(|nth| change(nth, random)).collect(),
                )
            }
            Kind::Clear => Clear(writer),
            Kind::Sync => Sync(writer),
            Kind::Threads => {
                let mut write = |nth| {
                    (
                        nth as usize * 4 + random.place(4),
                        self.value(random, tag + nth),
                    )
                };
                Threads(writer, (0..3).map(&mut write).collect())
            }
            Kind::Compact => Compact(writer),
            Kind::Verify => Verify(who),
            Kind::RemoveUnchanged => RemoveUnchanged(writer, random.place(3)),
            Kind::Salvage => Salvage(who),
            Kind::SalvageInPlace => SalvageInPlace(writer),
            Kind::GetTyped => GetTyped(who, typed),
            Kind::InsertTyped => InsertTyped(writer, typed, number),
            Kind::Take => Take(writer, typed),
            Kind::RemoveOdd => RemoveOdd(writer, typed),
            Kind::Login => Login(writer, slot, user, tag),
            Kind::Load => Load(who, slot),
            Kind::Has => Has(who, slot),
            Kind::Touch => Touch(writer, slot),
            Kind::Edit => Edit(writer, slot),
            Kind::Renew => Renew(writer, slot),
            Kind::Copy => Copy(who, slot),
            Kind::Save => Save(writer, tag),
            Kind::Logout => Logout(writer, slot),
            Kind::LogoutHandle => LogoutHandle(writer, slot),
            Kind::LogoutUser => LogoutUser(writer, user),
            Kind::LogoutOthers => LogoutOthers(writer, slot, user),
            Kind::LoginCapped => {
                let cap = (1 + random.place(3), random.one_in(2));
                LoginCapped(writer, slot, user, tag, cap)
            }
            Kind::Sweep => Sweep(writer, [0, 10, 60, 3_000][random.place(4)]),
            Kind::List => List(who),
            Kind::Close => Close(who),
            Kind::Leave => Leave(who),
            Kind::Reopen => Reopen(who),
            Kind::Truncate => Truncate,
            Kind::Kill => Kill(who),
            Kind::Contradict => Contradict(random.place(CONTRADICTIONS)),
            Kind::Advance => Advance([1, 20, 400, 4_000, 100_000][random.place(5)]),
            Kind::Rot => Rot(random.place(KEYS)),
            Kind::Misplace => Misplace(random.place(2)),
            Kind::Zero => Zero,
            Kind::Wall => {
                let offsets = [0, -50, 50, -5_000, 5_000, 2 * DAY_SECS, -2 * DAY_SECS];
                let whose = [None, Some(who)][random.place(2)];
                Wall(whose, offsets[random.place(offsets.len())])
            }
            Kind::Fail => Fail(Box::new(self.call(random, tag)), failure(random)),
            Kind::Panic => {
                // Calls that sync, and that leave the handle where it is.
                let kinds = [Kind::Insert, Kind::Write, Kind::Sync, Kind::Compact];
                let kind = kinds[random.place(kinds.len())];
                Panic(Box::new(self.of(kind, random, tag)), 1 + random.below(2))
            }
            Kind::Wait => Wait(writer),
            Kind::Cut => Cut(Box::new(self.call(random, tag))),
            Kind::Both => self.both(random, tag),
        }
    }

    /// Two calls of different handles, which both stay open.
    fn both(&self, random: &mut Random, tag: u32) -> Step {
        let mut call = |tag| {
            // A copy belongs to one request, and what was listed may have changed.
            let stays = |step: &Step| {
                !matches!(
                    step,
                    Close(_)
                        | Leave(_)
                        | Reopen(_)
                        | Salvage(_)
                        | Copy(..)
                        | Save(..)
                        | RemoveUnchanged(..)
                )
            };
            let mut drawn = (0..8).map(|_| self.call(random, tag));
            drawn.find(stays).unwrap_or(Len(READER))
        };
        let one = call(tag);
        let others: Vec<Step> = (0..8).map(|_| call(tag + 4)).collect();
        let other = others.into_iter().find(|other| other.who() != one.who());
        let other = other.unwrap_or(Len(if one.who() == READER { 0 } else { READER }));
        Both(Box::new(one), Box::new(other), random.next())
    }

    fn value(&self, random: &mut Random, tag: u32) -> Value {
        let len = match random.below(40) {
            0 if !self.is_bulky => 4 + random.below(3_000),
            _ if self.is_fleeting => 50_000 + random.below(100_000),
            0..=19 if self.is_bulky => 4 + random.below(100_000),
            _ => 4 + random.below(200),
        };
        let len = len as u32;
        Value { tag, len }
    }

    /// Half a second beyond whole ones, so that no end comes at the very moment of a step.
    fn life(&self, random: &mut Random) -> Life {
        match random.below(12) {
            0 => Some(-1_500),
            1 => Some(-2_000 * DAY_SECS + 500),
            3 => Some(3_600_500),
            2 => Some(30_500),
            _ if self.is_fleeting => Some(30_500),
            _ => None,
        }
    }
}

fn failure(random: &mut Random) -> Failure {
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
    Failure {
        kind,
        nth: 1 + random.below(12),
        forever: random.one_in(3) && !matches!(kind, FaultKind::Eintr | FaultKind::Kill),
        dies: random.one_in(3),
    }
}
