//! The states that a store may have after a fault, and no others: prefix, no silent loss, never a wrong or resurrected
//! value, no panic, and the same again when opened again.

use shelflife::{ErrorKind, Recovery, Store};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::SystemTime;

/// The entries that readers see.
pub(crate) type Entries = BTreeMap<Vec<u8>, Vec<u8>>;

/// The entries that a model holds, hidden ones included.
pub(crate) type State = BTreeMap<Vec<u8>, Held>;

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Held {
    pub(crate) value: Vec<u8>,
    pub(crate) expires: Option<SystemTime>,
}

/// The fault that befell the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    /// A power cut, a kill, a failed call: nothing that was acknowledged may be missing, reported or not.
    Crash,
    /// Bytes changed by themselves: what was hit is missing, and reported.
    Rot,
}

/// The moment that is judged.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    pub(crate) acknowledged: usize,
    /// The last change of the disk before it, as [`shelflife::sim::SimDisk::steps`] counts them.
    pub(crate) step: usize,
    pub(crate) now: SystemTime,
}

/// The changes that were asked of a store, one after another, and the states that each may have led to.
#[derive(Debug, Clone)]
pub(crate) struct Ledger {
    turns: Vec<Turn>,
    /// Which turn is durable after so many acknowledgements.
    floors: Vec<usize>,
}

#[derive(Debug, Clone)]
struct Turn {
    /// The states that the store may have afterwards: an error leaves the outcome open.
    states: Vec<State>,
    /// How far the disk had been changed when it began.
    from: usize,
}

impl Ledger {
    pub(crate) fn new() -> Ledger {
        Ledger {
            turns: vec![Turn {
                states: vec![State::new()],
                from: 0,
            }],
            floors: vec![0],
        }
    }

    /// Notes a change that began when the disk was at step `from`.
    pub(crate) fn note(&mut self, from: usize, certain: bool, change: impl Fn(&mut State)) {
        let mut states: Vec<State> = self.last().to_vec();
        for state in &mut states {
            change(state);
        }
        if !certain {
            states.extend_from_slice(self.last());
        }
        states.sort();
        states.dedup();
        self.turns.push(Turn { states, from });
    }

    /// Notes that all so far survives a power cut.
    pub(crate) fn acknowledge(&mut self) {
        self.floors.push(self.turns.len() - 1);
    }

    /// Notes what a reader was shown: what it was not shown must not come up later.
    pub(crate) fn settle(
        &mut self,
        from: usize,
        entries: &Entries,
        now: SystemTime,
    ) -> Result<(), String> {
        let states: Vec<State> = self
            .last()
            .iter()
            .filter(|state| is_seen_as(state, entries, now, &BTreeSet::new()))
            .cloned()
            .collect();
        if states.is_empty() {
            return Err(self.explain(
                self.turns.len() - 1,
                entries,
                now,
                "a reader is shown what nobody wrote",
            ));
        }
        if states.len() < self.last().len() {
            self.turns.push(Turn { states, from });
        }
        Ok(())
    }

    /// The turns that may be the last one at a moment.
    fn range(&self, moment: Moment) -> std::ops::RangeInclusive<usize> {
        let floor = self.floors.get(moment.acknowledged).or(self.floors.last());
        let floor = floor.copied().unwrap_or(0);
        let reached = self.turns.iter().rposition(|turn| turn.from < moment.step);
        floor..=reached.unwrap_or(0).max(floor)
    }

    /// Whether a store may hold this at that moment, and after which turn it does.
    ///
    /// # Errors
    /// The fault with it.
    pub(crate) fn judge(
        &self,
        found: &Found,
        moment: Moment,
        cause: Cause,
    ) -> Result<usize, String> {
        let range = self.range(moment);
        if cause == Cause::Crash
            && (found.damage > 0 || found.bad_header || !found.unreadable.is_empty())
        {
            return Err(format!("a crash is taken for damage: {found:?}"));
        }
        if cause == Cause::Rot && !found.unreadable.is_empty() && found.damage == 0 {
            return Err(format!(
                "keys can't be read, and the report names no damage: {found:?}"
            ));
        }
        for turn in range.clone().rev() {
            let matches = |state| is_seen_as(state, &found.entries, moment.now, &found.unreadable);
            if self.turns[turn].states.iter().any(matches) {
                return Ok(turn);
            }
        }
        let what = format!(
            "no state from turn {} to {} is this",
            range.start(),
            range.end()
        );
        Err(self.explain(*range.end(), &found.entries, moment.now, &what))
    }

    fn last(&self) -> &[State] {
        self.turns.last().map_or(&[], |turn| &turn.states)
    }

    fn explain(&self, turn: usize, entries: &Entries, now: SystemTime, what: &str) -> String {
        let mut text = what.to_owned();
        let Some(state) = self.turns[turn].states.first() else {
            return text;
        };
        let expected = visible(state, now);
        let keys: BTreeSet<&Vec<u8>> = expected.keys().chain(entries.keys()).collect();
        for key in keys {
            let (expected, seen) = (expected.get(key), entries.get(key));
            if expected != seen {
                text += &format!(
                    "; {}: turn {turn} has {:?}, seen {:?}",
                    brief(key),
                    expected.map(|value| brief(value)),
                    seen.map(|value| brief(value))
                );
            }
        }
        text
    }
}

/// Enough of a key or a value to tell it by.
fn brief(bytes: &[u8]) -> String {
    let text = bytes.iter().map(|byte| char::from(*byte)).take(11);
    text.take_while(|char| *char != '.').collect()
}

/// The entries of a state that readers are shown.
pub(crate) fn visible(state: &State, now: SystemTime) -> Entries {
    let live = state.iter().filter(|(_, held)| is_live(held, now));
    live.map(|(key, held)| (key.clone(), held.value.clone()))
        .collect()
}

fn is_live(held: &Held, now: SystemTime) -> bool {
    held.expires.is_none_or(|expires| expires > now)
}

fn is_seen_as(
    state: &State,
    entries: &Entries,
    now: SystemTime,
    unreadable: &BTreeSet<Vec<u8>>,
) -> bool {
    let mut expected = state
        .iter()
        .filter(|(key, held)| is_live(held, now) && !unreadable.contains(*key))
        .map(|(key, held)| (key, &held.value));
    let mut seen = entries.iter().filter(|(key, _)| !unreadable.contains(*key));
    loop {
        match (expected.next(), seen.next()) {
            (None, None) => return true,
            (expected, seen) if expected == seen => {}
            _ => return false,
        }
    }
}

/// The entries that a store shows, and its report.
#[derive(Clone, PartialEq, Eq, Default)]
pub(crate) struct Found {
    pub(crate) entries: Entries,
    /// Keys whose reading is an error that says `Corrupt`.
    pub(crate) unreadable: BTreeSet<Vec<u8>>,
    pub(crate) damage: usize,
    pub(crate) torn: usize,
    pub(crate) bad_header: bool,
}

impl fmt::Debug for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let entries = self.entries.iter();
        f.debug_struct("Found")
            .field(
                "entries",
                &entries
                    .map(|(key, value)| (brief(key), brief(&value[..value.len().min(8)])))
                    .collect::<Vec<_>>(),
            )
            .field(
                "unreadable",
                &self
                    .unreadable
                    .iter()
                    .map(|key| brief(key))
                    .collect::<Vec<_>>(),
            )
            .field("damage", &self.damage)
            .field("torn", &self.torn)
            .field("bad_header", &self.bad_header)
            .finish()
    }
}

impl Found {
    /// Reads all of a store, each key in every way there is.
    ///
    /// # Errors
    /// If the ways disagree, or something fails that damage does not explain.
    pub(crate) fn read(store: &Store, keys: &[Vec<u8>]) -> Result<Found, String> {
        let Recovery {
            torn_tails,
            damage,
            bad_header_copy,
            ..
        } = store.recovery();
        let mut found = Found {
            damage: damage.len(),
            torn: torn_tails.len(),
            bad_header: bad_header_copy.is_some(),
            ..Found::default()
        };
        let mut damaged_entries = 0;
        for entry in store.iter() {
            match entry {
                Ok((key, value)) => _ = found.entries.insert(key, value),
                Err(error) if error.kind() == ErrorKind::Corrupt => damaged_entries += 1,
                Err(error) => return Err(format!("reading all failed: {error}")),
            }
        }
        let mut value = Vec::new();
        for key in keys {
            match store.get_into(key, &mut value) {
                Ok(is_there) => {
                    let listed = found.entries.get(key);
                    if is_there != listed.is_some() || listed.is_some_and(|listed| *listed != value)
                    {
                        return Err("`get` and `iter` disagree".into());
                    }
                }
                Err(error) if error.kind() == ErrorKind::Corrupt => {
                    found.unreadable.insert(key.clone());
                }
                Err(error) => return Err(format!("reading a key failed: {error}")),
            }
        }
        if damaged_entries > 0 && found.unreadable.is_empty() {
            return Err("`iter` meets damage that no key has".into());
        }
        match store.len() {
            // Expired entries count until they are dropped.
            Ok(len) if len >= found.entries.len() => Ok(found),
            Ok(len) => Err(format!(
                "{} entries, but `len` is {len}",
                found.entries.len()
            )),
            Err(error) => Err(format!("`len` failed: {error}")),
        }
    }

    /// Whether opening again, after the repair, shows the same, and nothing is left to report.
    ///
    /// # Errors
    /// The difference.
    pub(crate) fn recurs(&self, again: &Found) -> Result<(), String> {
        if self.entries != again.entries || self.unreadable != again.unreadable {
            return Err(format!(
                "opened again it shows something else: {self:?}, then {again:?}"
            ));
        }
        Ok(())
    }

    /// Whether the report is empty.
    ///
    /// # Errors
    /// The content of the report.
    pub(crate) fn is_clean(&self) -> Result<(), String> {
        match self.torn + self.damage + usize::from(self.bad_header) {
            0 => Ok(()),
            _ => Err(format!("repaired, and still reported: {self:?}")),
        }
    }
}
