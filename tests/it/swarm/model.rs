//! The entries that the file may hold, as far as its users have been told.
//!
//! An entry is there or is not. Of a session the model knows less: when a use is noted is the store's to choose, within
//! its resolution, and so is what a sweep finds old. So a last use is a range, and a session may be doubtful: one
//! that nobody may count on, nor be surprised by. The store's answer decides.

use super::step::Step::{self, *};
use std::ops::RangeInclusive;

pub(super) const KEYS: usize = 16;
/// From here on a key's values are a shelf's.
pub(super) const TYPED: usize = 12;
pub(super) const SLOTS: usize = 4;
pub(super) const USERS: usize = 2;

/// All times are milliseconds since 1970.
pub(super) type Time = i64;
/// Earlier than any end, by more than a day.
pub(super) const NEVER: Time = Time::MIN / 2;
const HOUR: Time = 3600 * 1000;
const DAY: Time = 24 * HOUR;

/// For how many milliseconds an entry lives from now on; it is over with less than one.
pub(super) type Life = Option<Time>;

/// A value that differs from every other one; without a length it is the number in a shelf.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Value {
    pub(super) tag: u32,
    pub(super) len: u32,
}

/// Written when a run is over, under this key.
pub(super) const LAST_KEY: usize = 3;
pub(super) const LAST: Value = Value {
    tag: u32::MAX,
    len: 4,
};

/// The values that a session shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Shown {
    /// Of its login.
    pub(super) tag: u32,
    pub(super) user: u8,
    pub(super) count: u32,
}

/// The answer of a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    Nothing,
    Bool(bool),
    Count(usize),
    Value(Option<Value>),
    /// By key, least recently written first.
    All(Vec<(usize, Value)>),
    /// The same, but for what can't be read.
    AllBut(Vec<(usize, Value)>),
    Session(Option<Shown>),
    Sessions(Vec<Shown>),
    SessionsBut(Vec<Shown>),
    Stored,
    Conflict(Shown),
    Gone,
    /// The user has as many sessions as a cap allows.
    Full,
    /// How many a sweep deleted, and how many it left.
    Swept(usize, usize),
    /// No value that was ever written, or something that is damaged.
    Garbage,
    /// An error that says so.
    Corrupt,
}

/// Under what circumstances a step is taken.
#[derive(Debug, Clone)]
pub(super) struct At {
    /// The times that count as now for the process, when the step began and when it had ended.
    pub(super) now: RangeInclusive<Time>,
    /// The reading of its clock.
    pub(super) wall: Time,
    /// It reads earlier than the creation of the file: by such a clock no use is noted, and nothing is swept.
    pub(super) is_wrong: bool,
    /// Another step is taken at the same time.
    pub(super) is_crowded: bool,
    /// Which of the ids that were ever told the browser has.
    pub(super) id: Option<usize>,
    /// Which one a session gets that is given an id now.
    pub(super) new_id: usize,
    pub(super) rules: Rules,
}

impl At {
    /// The time up to which entries have ended, `now`: by a wrong clock none has.
    pub(super) fn ended_by(&self, now: &Time) -> Time {
        if self.is_wrong { NEVER } else { *now }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rules {
    pub(super) idle: Option<Time>,
    pub(super) absolute: Option<Time>,
    pub(super) resolution: Time,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Held {
    value: Value,
    expires: Option<Time>,
    /// When it was written last: the order of iteration.
    turn: u32,
    /// Its value does not verify any more.
    is_rotten: bool,
}

/// A session that was stored, perhaps one that has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seat {
    shown: Shown,
    /// `None` where its caller was not told: the call failed, and did its work all the same.
    id: Option<usize>,
    version: u32,
    created: RangeInclusive<Time>,
    used: RangeInclusive<Time>,
    /// It may have been dropped or swept already.
    is_doubtful: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sure {
    Yes,
    No,
    Unknown,
}

impl Seat {
    /// When it ends, at the earliest and at the latest; `None` is never.
    fn end(&self, rules: Rules) -> Option<RangeInclusive<Time>> {
        let add = |range: &RangeInclusive<Time>, by: Option<Time>| {
            by.map(|by| (range.start() + by, range.end() + by))
        };
        let idle = add(&self.used, rules.idle);
        let absolute = add(&self.created, rules.absolute);
        let both = idle.into_iter().chain(absolute);
        both.reduce(|one, other| (one.0.min(other.0), one.1.min(other.1)))
            .map(|(from, to)| from..=to)
    }

    fn has_ended(&self, now: &RangeInclusive<Time>, rules: Rules) -> Sure {
        match self.end(rules) {
            None => Sure::No,
            Some(end) if end.end() <= now.start() => Sure::Yes,
            Some(end) if end.start() > now.end() => Sure::No,
            Some(_) => Sure::Unknown,
        }
    }

    /// A use that need not be noted.
    fn touch(&mut self, at: &At) {
        let now = &at.now;
        if !at.is_wrong && now.start() - self.used.end() >= at.rules.resolution {
            self.used = now.clone();
        } else {
            let (from, to) = (self.used.start(), self.used.end());
            self.used = *from.min(now.start())..=*to.max(now.end());
        }
        // A time that a wrong clock noted may be noted anew.
        if self.created.start() > now.start() {
            self.created = *now.start()..=*self.created.end();
        }
    }

    /// A use that is noted.
    fn change(&mut self, at: &At) {
        self.version += 1;
        self.is_doubtful = false;
        match !at.is_wrong && at.now.start() >= self.used.end() {
            true => self.used = at.now.clone(),
            false => self.touch(at),
        }
    }
}

/// A state that the store may be in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Model {
    held: [Option<Held>; KEYS],
    turn: u32,
    seats: Vec<Seat>,
    /// Other records than those of `held` may be there: a replaced id is remembered for a while.
    has_sessions: bool,
    /// Something was damaged, if only what is dead by now.
    has_rotted: bool,
    /// The copy that a request has: which id, which version.
    copy: Option<(usize, u32)>,
}

impl Model {
    fn live(&self, key: usize, now: Time) -> Option<Held> {
        self.held[key].filter(|held| held.expires.is_none_or(|expires| expires > now))
    }

    fn put(&mut self, key: usize, value: Value, expires: Option<Time>) {
        self.turn += 1;
        let turn = self.turn;
        self.held[key] = Some(Held {
            value,
            expires,
            turn,
            is_rotten: false,
        });
    }

    /// Drops the entries that a switch to a new file drops.
    pub(super) fn compact(&mut self, now: Time, rules: Rules) {
        self.drop_values(now, None);
        let long_ago = now - DAY..=now - DAY;
        self.seats.retain_mut(|seat| {
            let dropped = seat.has_ended(&long_ago, rules);
            seat.is_doubtful |= dropped == Sure::Unknown;
            dropped != Sure::Yes
        });
    }

    /// As a switch does; of what was written beside it that alone of which it has copied nothing `before`.
    pub(super) fn drop_values(&mut self, now: Time, before: Option<&Model>) {
        for (key, held) in self.held.iter_mut().enumerate() {
            let is_copied = before.is_some_and(|before| before.held[key].is_some());
            let is_kept = |held: &Held| held.expires.is_none_or(|ends| ends >= now - DAY);
            *held = held.filter(|held| is_copied || is_kept(held));
        }
    }

    /// Whether there is a value that a bit can turn over in, which no switch ever drops.
    pub(super) fn may_rot(&self, key: usize) -> bool {
        let held = self.held[key].filter(|_| key != LAST_KEY);
        held.is_some_and(|held| held.expires.is_none() && !held.is_rotten)
    }

    pub(super) fn rot(&mut self, key: usize) {
        self.has_rotted = true;
        if let Some(held) = &mut self.held[key] {
            held.is_rotten = true;
        }
    }

    fn is_rotten(&self, key: usize) -> bool {
        self.held[key].is_some_and(|held| held.is_rotten)
    }

    fn is_partly_rotten(&self) -> bool {
        self.held.iter().flatten().any(|held| held.is_rotten)
    }

    /// The requests of a process end with it.
    pub(super) fn forget_copies(&mut self) {
        self.copy = None;
    }

    pub(super) fn all(&self, now: Time) -> Vec<(usize, Value)> {
        let mut live: Vec<(u32, usize, Value)> = (0..KEYS)
            .filter_map(|key| self.live(key, now).map(|held| (held.turn, key, held)))
            .filter(|(_, _, held)| !held.is_rotten)
            .map(|(turn, key, held)| (turn, key, held.value))
            .collect();
        live.sort_unstable_by_key(|(turn, ..)| *turn);
        live.into_iter()
            .map(|(_, key, value)| (key, value))
            .collect()
    }

    /// At most so many bytes of records live, or have ended within a day.
    pub(super) fn kept_bytes(&self, now: Time, key_bytes: fn(usize) -> usize) -> u64 {
        let entries = self.held.iter().enumerate().filter_map(|(key, held)| {
            let held = (*held)?;
            // The store counts by the hour what has ended.
            let kept = held
                .expires
                .is_none_or(|expires| expires > now - DAY - HOUR);
            kept.then(|| 64 + key_bytes(key) as u64 + u64::from(held.value.len))
        });
        // With what is remembered of a replaced id.
        entries.sum::<u64>() + 1_000 * self.seats.len() as u64
    }

    /// Takes a step of the map or of a shelf.
    fn answer(&mut self, step: &Step, at: &At) -> Answer {
        let until = |life: &Life| life.map(|life| at.wall + life);
        let now = at.ended_by(at.now.start());
        match step {
            Get(_, key) | GetTyped(_, key) => {
                Answer::Value(self.live(*key, now).map(|held| held.value))
            }
            Contains(_, key) => Answer::Bool(self.live(*key, now).is_some()),
            Len(_) => Answer::Count(self.held.iter().flatten().count()),
            Iterate(_) | Salvage(_) if self.is_partly_rotten() => Answer::AllBut(self.all(now)),
            Iterate(_) | Salvage(_) => Answer::All(self.all(now)),
            SalvageInPlace(_) => {
                for held in &mut self.held {
                    *held = held.filter(|held| !held.is_rotten);
                }
                Answer::Bool(true)
            }
            Insert(_, key, value, life) => {
                let is_new = self.live(*key, now).is_none();
                self.put(*key, *value, until(life));
                Answer::Bool(is_new)
            }
            InsertTyped(_, key, value) => {
                let is_new = self.live(*key, now).is_none();
                self.put(*key, *value, None);
                Answer::Bool(is_new)
            }
            Remove(_, key) => {
                // An entry that has ended was there.
                let was = self.held[*key].take();
                Answer::Bool(was.is_some())
            }
            Take(_, key) => {
                let old = self.live(*key, now).map(|held| held.value);
                self.held[*key] = None;
                Answer::Value(old)
            }
            RemoveOdd(_, key) => {
                let old = self.live(*key, now).map(|held| held.value);
                let is_odd = old.is_some_and(|value| value.tag % 2 == 1);
                self.held[*key] = self.held[*key].filter(|_| old.is_some() && !is_odd);
                Answer::Bool(is_odd)
            }
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
            RemoveUnchanged(_, nth) => {
                let all = self.all(now).into_iter();
                let chosen: Vec<usize> = all
                    .map(|(key, _)| key)
                    .filter(|key| key % 3 == *nth)
                    .collect();
                chosen.iter().for_each(|key| self.held[*key] = None);
                Answer::Count(chosen.len())
            }
            Clear(_) | Truncate => {
                self.held = [None; KEYS];
                self.seats.clear();
                self.has_sessions = false;
                Answer::Nothing
            }
            _ => Answer::Nothing,
        }
    }

    /// Takes a step that was answered so; false if it could not be. `None` is a call that failed, and did its work.
    pub(super) fn take(&mut self, step: &Step, at: &At, answer: Option<&Answer>) -> bool {
        match step {
            _ if answer == Some(&Answer::Corrupt) => self.is_damage(step, at),
            Verify(_) => match answer {
                Some(Answer::Garbage) => self.has_rotted,
                answer => answer.is_none() || !self.is_partly_rotten(),
            },
            Salvage(_) | SalvageInPlace(_) if answer == Some(&Answer::Nothing) => true,
            SalvageInPlace(_) if self.has_rotted => {
                let is_told = !self.is_partly_rotten() || answer != Some(&Answer::Bool(true));
                self.answer(step, at);
                is_told
            }
            // A value that does not verify is never read; but whether it is there can be told.
            Get(_, key)
            | GetTyped(_, key)
            | Replace(_, key, ..)
            | Keep(_, key)
            | Take(_, key)
            | RemoveOdd(_, key)
                if answer.is_some() && self.is_rotten(*key) =>
            {
                false
            }
            Insert(_, key, ..) | InsertTyped(_, key, _) if self.is_rotten(*key) => {
                self.answer(step, at);
                matches!(answer, None | Some(Answer::Bool(_)))
            }
            Login(..) | Load(..) | Has(..) | Touch(..) | Edit(..) | Renew(..) | Copy(..)
            | Save(..) | Logout(..) | LogoutHandle(..) | LogoutUser(..) | LogoutOthers(..)
            | LoginCapped(..) | Sweep(..) | List(_) => self.take_of_sessions(step, at, answer),
            Len(_) if self.has_sessions => {
                let held = self.held.iter().flatten().count();
                matches!(answer, Some(Answer::Count(count)) if *count >= held)
            }
            _ => {
                let expected = self.answer(step, at);
                answer.is_none_or(|answer| *answer == expected)
            }
        }
    }

    /// Whether a step may say that something is damaged. A walk passes it by, and does its work on all others.
    fn is_damage(&mut self, step: &Step, at: &At) -> bool {
        match step {
            Get(_, key)
            | GetTyped(_, key)
            | Contains(_, key)
            | Replace(_, key, ..)
            | Keep(_, key)
            | Take(_, key)
            | RemoveOdd(_, key) => self.is_rotten(*key),
            LogoutUser(..) | LogoutOthers(..) | LogoutHandle(..) | Sweep(..) => {
                self.is_partly_rotten() && self.take(step, at, None)
            }
            _ => false,
        }
    }

    /// The answer that it would have given.
    pub(super) fn expected(&self, step: &Step, at: &At) -> String {
        match step.slot() {
            None => format!("{:?} of {:?}", self.clone().answer(step, at), self.seats),
            Some(_) => format!("for id {:?} at {:?}: {:?}", at.id, at.now, self.seats),
        }
    }

    fn take_of_sessions(&mut self, step: &Step, at: &At, answer: Option<&Answer>) -> bool {
        let (now, rules) = (&at.now, at.rules);
        match step {
            Login(_, _, user, tag) => {
                self.log_in(*user, *tag, at, answer);
                answer.is_none_or(|answer| *answer == Answer::Stored)
            }
            LoginCapped(_, _, user, tag, cap) => {
                let has_room = self.make_room(*user, *cap, at);
                match answer {
                    Some(Answer::Full) => return has_room != Sure::Yes,
                    Some(Answer::Stored) | None if has_room != Sure::No => {}
                    // A call that failed did not do what it could not.
                    answer => return answer.is_none(),
                }
                self.log_in(*user, *tag, at, answer);
                true
            }
            List(_) => match answer {
                Some(Answer::Sessions(list)) => self.lists(list, now, rules),
                Some(Answer::SessionsBut(list)) => {
                    self.is_partly_rotten() && self.lists(list, now, rules)
                }
                _ => false,
            },
            LogoutOthers(..) if at.id.is_none() => matches!(answer, None | Some(Answer::Count(0))),
            LogoutUser(_, user) | LogoutOthers(_, _, user) => {
                let stays = |seat: &Seat| at.id.is_some() && seat.id == at.id;
                let (theirs, others): (Vec<Seat>, Vec<Seat>) = std::mem::take(&mut self.seats)
                    .into_iter()
                    .partition(|seat: &Seat| seat.shown.user == *user && !stays(seat));
                self.seats = others;
                self.copy = self.copy.filter(|_| answer.is_some());
                matches!(answer, None | Some(Answer::Count(_))) && is_count(answer, &theirs)
            }
            Sweep(_, minutes) => self.sweep(*minutes as Time * 60_000, at, answer),
            Save(_, count) => self.save(*count, at, answer),
            _ => self.take_of_one(step, at, answer),
        }
    }

    fn log_in(&mut self, user: u8, tag: u32, at: &At, answer: Option<&Answer>) {
        self.has_sessions = true;
        self.seats.push(Seat {
            shown: Shown {
                tag,
                user,
                count: 0,
            },
            id: answer.is_some().then_some(at.new_id),
            version: 1,
            created: at.now.clone(),
            used: at.now.clone(),
            is_doubtful: false,
        });
    }

    /// Whether a user may have one session more, and, unless that is refused, who makes room: those not used for
    /// longest. Where that can't be told, any of them may have.
    fn make_room(&mut self, user: u8, (most, is_refused): (usize, bool), at: &At) -> Sure {
        let mut theirs: Vec<&mut Seat> = self
            .seats
            .iter_mut()
            .filter(|seat| seat.shown.user == user)
            .filter(|seat| seat.has_ended(&at.now, at.rules) != Sure::Yes)
            .collect();
        let is_there =
            |seat: &Seat| !seat.is_doubtful && seat.has_ended(&at.now, at.rules) == Sure::No;
        let surely = theirs.iter().filter(|seat| is_there(seat)).count();
        match is_refused {
            true if theirs.len() < most => return Sure::Yes,
            true if surely >= most => return Sure::No,
            true => return Sure::Unknown,
            false => {}
        }
        let beyond = theirs.len().saturating_sub(most.saturating_sub(1));
        theirs.sort_by_key(|seat| *seat.used.start());
        let (ended, staying) = theirs.split_at(beyond);
        let last = ended.iter().map(|seat| *seat.used.end()).max();
        let is_sure = surely == theirs.len()
            && staying
                .iter()
                .all(|seat| last.is_none_or(|last| *seat.used.start() > last));
        let ended: Vec<Shown> = ended.iter().map(|seat| seat.shown).collect();
        match is_sure || ended.is_empty() {
            true => self.seats.retain(|seat| !ended.contains(&seat.shown)),
            false => theirs.iter_mut().for_each(|seat| seat.is_doubtful = true),
        }
        Sure::Yes
    }

    /// A list shows every session that has not ended, and nothing else.
    fn lists(&mut self, list: &[Shown], now: &RangeInclusive<Time>, rules: Rules) -> bool {
        let mut unexplained = list.to_vec();
        for seat in &mut self.seats {
            let listed = unexplained.iter().position(|shown| *shown == seat.shown);
            match (listed, seat.has_ended(now, rules)) {
                (Some(_), Sure::Yes) => return false,
                (Some(nth), _) => {
                    unexplained.swap_remove(nth);
                    seat.is_doubtful = false;
                }
                (None, Sure::No) if !seat.is_doubtful => return false,
                (None, _) => {}
            }
        }
        unexplained.is_empty()
    }

    fn sweep(&mut self, idle: Time, at: &At, answer: Option<&Answer>) -> bool {
        let (mut sure, mut unknown) = (0, 0);
        let before = self.seats.len();
        let doubtful = self.seats.iter().filter(|seat| seat.is_doubtful).count();
        self.seats.retain_mut(|seat| {
            let (last, first) = (
                at.now.start() - seat.used.end(),
                at.now.end() - seat.used.start(),
            );
            let old = match seat.has_ended(&at.now, at.rules) {
                _ if at.is_wrong => Sure::No,
                Sure::Yes => Sure::Yes,
                // One that is used between the sweep's look and its deletion stays.
                _ if last.max(0) >= idle && at.is_crowded => Sure::Unknown,
                _ if last.max(0) >= idle => Sure::Yes,
                Sure::No if first.max(0) < idle => Sure::No,
                _ => Sure::Unknown,
            };
            match old {
                Sure::Yes => sure += usize::from(!seat.is_doubtful),
                Sure::Unknown => {
                    unknown += usize::from(!seat.is_doubtful);
                    seat.is_doubtful = true;
                }
                Sure::No => {}
            }
            old != Sure::Yes
        });
        match answer {
            None => true,
            Some(Answer::Swept(deleted, left)) => {
                (sure..=sure + unknown + doubtful).contains(deleted)
                    && (before - doubtful..=before).contains(&(deleted + left))
            }
            _ => false,
        }
    }

    fn save(&mut self, count: u32, at: &At, answer: Option<&Answer>) -> bool {
        let Some((id, version)) = self.copy else {
            return matches!(answer, None | Some(Answer::Nothing));
        };
        let seat = self.seats.iter_mut().find(|seat| seat.id == Some(id));
        let ended = seat
            .as_ref()
            .map_or(Sure::Yes, |seat| seat.has_ended(&at.now, at.rules));
        let is_sure = ended == Sure::No && seat.as_ref().is_some_and(|seat| !seat.is_doubtful);
        match (answer, seat) {
            (None, None) => self.copy = None,
            (None, Some(seat)) => {
                if seat.version == version && ended != Sure::Yes {
                    seat.shown.count = count;
                    seat.change(at);
                }
                self.copy = None;
            }
            (Some(Answer::Stored), Some(seat)) => {
                if seat.version != version || ended == Sure::Yes {
                    return false;
                }
                seat.shown.count = count;
                seat.change(at);
                self.copy = Some((id, seat.version));
            }
            (Some(Answer::Conflict(shown)), Some(seat)) => {
                if seat.version == version || ended == Sure::Yes || seat.shown != *shown {
                    return false;
                }
                seat.is_doubtful = false;
                self.copy = None;
            }
            (Some(Answer::Gone), _) => {
                self.copy = None;
                return !is_sure;
            }
            _ => return false,
        }
        true
    }

    /// Of the session whose id a browser has.
    fn take_of_one(&mut self, step: &Step, at: &At, answer: Option<&Answer>) -> bool {
        let (now, rules) = (&at.now, at.rules);
        let place = self
            .seats
            .iter()
            .position(|seat| at.id.is_some() && seat.id == at.id);
        let ended = place.map_or(Sure::Yes, |place| self.seats[place].has_ended(now, rules));
        let is_doubtful = place.is_none_or(|place| self.seats[place].is_doubtful);
        if let (Logout(..), place) | (LogoutHandle(..), place) = (step, place) {
            // A session that is hidden because it has ended is taken as well.
            place.map(|place| self.seats.remove(place));
            return match answer {
                None => true,
                Some(Answer::Bool(true)) | Some(Answer::Count(1)) => place.is_some(),
                Some(Answer::Bool(false)) | Some(Answer::Count(0)) => is_doubtful,
                _ => false,
            };
        }
        let Some(place) = place else {
            if let Copy(..) = step {
                self.copy = None;
            }
            return matches!(
                answer,
                None | Some(Answer::Session(None) | Answer::Bool(false) | Answer::Gone)
            );
        };
        let seat = &mut self.seats[place];
        let is_there = match answer {
            None => ended != Sure::Yes,
            Some(Answer::Session(None) | Answer::Bool(false) | Answer::Gone) => {
                if let Copy(..) = step {
                    self.copy = None;
                }
                return is_doubtful || ended != Sure::No;
            }
            Some(_) => true,
        };
        if ended == Sure::Yes {
            // It was not there, or was found after its end.
            return !is_there;
        }
        seat.is_doubtful &= answer.is_none();
        match (step, answer) {
            (Load(..), Some(Answer::Session(Some(shown)))) => *shown == seat.shown,
            (Copy(..), Some(Answer::Session(Some(shown)))) => {
                self.copy = at.id.map(|id| (id, seat.version));
                *shown == seat.shown
            }
            (Has(..), Some(Answer::Bool(true))) => true,
            (Touch(..), None | Some(Answer::Bool(true))) => {
                seat.touch(at);
                true
            }
            (Edit(..), answer) => {
                seat.shown.count += 1;
                seat.change(at);
                answer.is_none_or(|answer| *answer == Answer::Session(Some(seat.shown)))
            }
            (Renew(..), answer) => {
                seat.id = answer.is_some().then_some(at.new_id);
                seat.change(at);
                answer.is_none_or(|answer| *answer == Answer::Stored)
            }
            _ => false,
        }
    }
}

/// Whether the answer counts those that were deleted: all that were surely there.
fn is_count(answer: Option<&Answer>, deleted: &[Seat]) -> bool {
    let doubtful = deleted.iter().filter(|seat| seat.is_doubtful).count();
    match answer {
        Some(Answer::Count(count)) => (deleted.len() - doubtful..=deleted.len()).contains(count),
        _ => true,
    }
}
