//! Things to do to a store on a simulated machine, and the ledger of what was promised.

use super::oracle::{Found, Held, Ledger, Moment, State};
use shelflife::sim::{Fault, SimDisk, SimProcess};
use shelflife::{Batch, Change, Compaction, Disk, Durability, Options, Store};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

pub(crate) const PATH: &str = "/s.shelf";
const KEYS: u8 = 10;

/// One thing to do. Keys are small numbers, values are told by their length and are never written twice.
#[derive(Debug, Clone)]
pub(crate) enum Do {
    Put(u8, usize),
    /// Expires so many seconds later.
    PutUntil(u8, usize, u64),
    Update(u8, usize),
    Remove(u8),
    /// `None` removes.
    Batch(Vec<(u8, Option<usize>)>),
    Clear,
    Compact,
    Sync,
    Reopen,
    /// Closes, and opens again.
    Close,
    /// Closes, and opens with `truncate`.
    Truncate,
    /// The process dies, and another one opens the store.
    Kill,
    /// Lets so many seconds pass.
    Advance(u64),
    /// Faults of the process whose turn it is.
    Inject(Vec<Fault>),
    /// Turns a bit over so many bytes before the end of the file (0: none), and makes all of the file durable.
    Restore(usize),
    /// Reads everything.
    Look,
    /// Reads everything; what is shown is durable, and nothing else may come up later.
    Settle,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mode {
    pub(crate) exclusive: bool,
    pub(crate) durability: Durability,
}

pub(crate) const SHARED: Mode = Mode {
    exclusive: false,
    durability: Durability::Immediate,
};
pub(crate) const EXCLUSIVE: Mode = Mode {
    exclusive: true,
    ..SHARED
};
pub(crate) const SHARED_OS: Mode = Mode {
    durability: Durability::Os,
    ..SHARED
};
pub(crate) const EXCLUSIVE_OS: Mode = Mode {
    exclusive: true,
    ..SHARED_OS
};

impl Mode {
    pub(crate) fn options(self, disk: Arc<dyn Disk>) -> Options {
        let mut options = Options::new();
        options
            .exclusive(self.exclusive)
            .durability(self.durability)
            .compaction(Compaction::Inline)
            .lock_timeout(Duration::from_millis(50))
            .disk(disk);
        options
    }
}

/// A machine on which a script is played.
pub(crate) struct Play {
    pub(crate) sim: SimDisk,
    pub(crate) ledger: Ledger,
    pub(crate) hands: Vec<Hand>,
    mode: Mode,
    serial: u32,
    /// The failures, in order.
    pub(crate) failures: Vec<String>,
}

/// A process with its handle.
pub(crate) struct Hand {
    pub(crate) process: SimProcess,
    pub(crate) store: Option<Store>,
}

pub(crate) fn key(number: u8) -> Vec<u8> {
    let mut key = format!("key{number}").into_bytes();
    key.resize(4 + usize::from(number % 4) * 11, b'.');
    key
}

pub(crate) fn keys() -> Vec<Vec<u8>> {
    (0..KEYS).map(key).collect()
}

impl Play {
    pub(crate) fn new(seed: u64, mode: Mode) -> Play {
        Play {
            sim: SimDisk::new(seed),
            ledger: Ledger::new(),
            hands: Vec::new(),
            mode,
            serial: 0,
            failures: Vec::new(),
        }
    }

    pub(crate) fn now(&self) -> SystemTime {
        self.sim.process().wall_clock()
    }

    /// The moment right now: the power has not gone, so all that was done counts.
    pub(crate) fn moment(&self) -> Moment {
        Moment {
            acknowledged: usize::MAX,
            step: usize::MAX,
            now: self.now(),
        }
    }

    /// Does things, each in its turn.
    ///
    /// # Errors
    /// If a reader is shown what the ledger does not have. A call that fails is only noted.
    pub(crate) fn run(&mut self, script: &[(usize, Do)]) -> Result<(), String> {
        for (who, what) in script {
            self.act(*who, what)
                .map_err(|error| format!("{what:?} of process {who}: {error}"))?;
        }
        Ok(())
    }

    fn hand(&mut self, who: usize) -> &mut Hand {
        while self.hands.len() <= who {
            let process = self.sim.process();
            self.hands.push(Hand {
                process,
                store: None,
            });
        }
        &mut self.hands[who]
    }

    /// The handle of a process, opened if it is not.
    pub(crate) fn open(&mut self, who: usize) -> Option<&Store> {
        let mode = self.mode;
        let hand = self.hand(who);
        if hand.store.is_none() {
            let disk: Arc<dyn Disk> = Arc::new(hand.process.clone());
            match mode.options(disk).open(PATH) {
                Ok(store) => hand.store = Some(store),
                Err(error) => self.failures.push(error.to_string()),
            }
        }
        self.hands[who].store.as_ref()
    }

    fn value(&mut self, len: usize) -> Vec<u8> {
        self.serial += 1;
        let mut value = format!("{:08}", self.serial).into_bytes();
        let mut word = u64::from(self.serial);
        while value.len() < len {
            word = word.wrapping_mul(0x2545_f491_4f6c_dd1d).rotate_left(23) + 1;
            value.extend_from_slice(&word.to_le_bytes());
        }
        value.truncate(len.max(8));
        value
    }

    fn act(&mut self, who: usize, what: &Do) -> Result<(), String> {
        match what {
            Do::Advance(seconds) => self.sim.advance(Duration::from_secs(*seconds)),
            Do::Inject(faults) => {
                let pid = self.hand(who).process.id();
                for fault in faults {
                    self.sim.inject(fault.clone().by(pid));
                }
            }
            Do::Restore(back) => {
                let mut bytes = self.sim.read(PATH).unwrap_or_default();
                let at = bytes.len().saturating_sub(*back);
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1;
                }
                // The handle would take it for a file that was replaced.
                self.hand(who).store = None;
                let _ = self.sim.write(PATH, bytes);
            }
            Do::Kill => {
                let hand = self.hand(who);
                let dead = hand.process.id();
                self.sim.kill(dead);
                self.hand(who).store = None;
                self.hands[who].process = self.sim.process();
                self.open(who);
            }
            Do::Close => {
                self.open(who);
                let from = self.sim.steps();
                let closed = self.hands[who].store.take().map(Store::close);
                self.note(from, closed.unwrap_or(Ok(())).map(|()| true), |_| {});
                self.open(who);
            }
            Do::Truncate => {
                self.hand(who).store = None;
                let from = self.sim.steps();
                let disk: Arc<dyn Disk> = Arc::new(self.hands[who].process.clone());
                let opened = self.mode.options(disk).truncate(true).open(PATH);
                let outcome = opened.map(|store| {
                    self.hands[who].store = Some(store);
                    true
                });
                self.note(from, outcome, State::clear);
            }
            Do::Look => {
                if self.open(who).is_some() {
                    self.settle(who)?;
                }
            }
            Do::Settle => {
                self.settle(who)?;
                self.ledger.acknowledge();
                self.sim.acknowledge();
            }
            _ => self.write(who, what),
        }
        Ok(())
    }

    /// Reads everything with one handle, and holds it against the ledger.
    pub(crate) fn settle(&mut self, who: usize) -> Result<(), String> {
        let (from, now) = (self.sim.steps(), self.now());
        let Some(store) = self.open(who) else {
            return Ok(());
        };
        match Found::read(store, &keys()) {
            Ok(found) => self.ledger.settle(from, &found.entries, now),
            Err(error) => {
                self.failures.push(error);
                Ok(())
            }
        }
    }

    fn write(&mut self, who: usize, what: &Do) {
        let now = self.now();
        // The change is decided before, so that the ledger has it whatever comes of it.
        let changes: Vec<(Vec<u8>, Option<Held>)> = match what {
            Do::Put(number, len) | Do::Update(number, len) => {
                vec![(key(*number), Some(self.held(*len, None)))]
            }
            Do::PutUntil(number, len, seconds) => {
                let expires = now + Duration::from_secs(*seconds);
                vec![(key(*number), Some(self.held(*len, Some(expires))))]
            }
            Do::Remove(number) => vec![(key(*number), None)],
            Do::Batch(batch) => {
                let mut changes = Vec::new();
                for (number, len) in batch {
                    let held = len.map(|len| self.held(len, None));
                    changes.push((key(*number), held));
                }
                changes
            }
            _ => Vec::new(),
        };
        let is_durable = self.mode.durability == Durability::Immediate;
        self.open(who);
        let from = self.sim.steps();
        let Some(store) = &self.hands[who].store else {
            return;
        };
        let outcome = match (what, &changes[..]) {
            (Do::Put(..), [(key, Some(held))]) => {
                store.insert(key, &held.value).map(|_| is_durable)
            }
            (
                Do::PutUntil(..),
                [
                    (
                        key,
                        Some(Held {
                            value,
                            expires: Some(expires),
                        }),
                    ),
                ],
            ) => store.insert_until(key, value, *expires).map(|_| is_durable),
            (Do::Update(..), [(key, Some(held))]) => store
                .update(key, |_| Ok((Change::Put(held.value.clone()), ())))
                .map(|()| is_durable),
            (Do::Remove(..), [(key, None)]) => store.remove(key).map(|_| is_durable),
            (Do::Batch(..), changes) => {
                let mut batch = Batch::new();
                for (key, held) in changes {
                    match held {
                        Some(held) => batch.insert(key, &held.value),
                        None => batch.remove(key),
                    };
                }
                store.write(&batch).map(|()| is_durable)
            }
            (Do::Clear, _) => store.clear().map(|()| is_durable),
            (Do::Sync, _) => store.sync().map(|()| true),
            (Do::Compact, _) => store.compact().map(|_| is_durable),
            (Do::Reopen, _) => store.reopen().map(|()| false),
            _ => Ok(false),
        };
        let clears = matches!(what, Do::Clear);
        self.note(from, outcome, |state| {
            if clears {
                state.clear();
            }
            for (key, held) in &changes {
                match held {
                    Some(held) => _ = state.insert(key.clone(), held.clone()),
                    None => _ = state.remove(key),
                }
            }
        });
    }

    fn held(&mut self, len: usize, expires: Option<SystemTime>) -> Held {
        Held {
            value: self.value(len),
            expires,
        }
    }

    /// Notes a change and whether it is durable, or what stopped it.
    fn note(&mut self, from: usize, outcome: shelflife::Result<bool>, change: impl Fn(&mut State)) {
        self.ledger.note(from, outcome.is_ok(), change);
        match outcome {
            Ok(true) => {
                self.ledger.acknowledge();
                self.sim.acknowledge();
            }
            Ok(false) => {}
            Err(error) => self.failures.push(error.to_string()),
        }
    }
}

/// The entries that a fresh handle of a machine shows.
///
/// # Errors
/// If it can't be opened, or does not hold together.
pub(crate) fn read_all(
    mode: Mode,
    disk: Arc<dyn Disk>,
    keys: &[Vec<u8>],
) -> Result<(Store, Found), String> {
    let store = mode
        .options(disk)
        .open(PATH)
        .map_err(|error| format!("it does not open: {error}"))?;
    let found = Found::read(&store, keys)?;
    Ok((store, found))
}
