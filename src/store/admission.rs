//! The one loop that leads a thread to the right to write.
//!
//! Terms: the **applicant** is the thread that wants to write. It waits for its **turn** among the threads of its
//! handle, and with the turn goes through **rounds**. A round takes the lock of the file that this process knows,
//! **proves** that the last record which this process applied is still there and applies those behind it, notes what it
//! sees ([`Seen`]), and makes one **step** ([`Step`]), which a table decides ([`ROWS`]). After every step but `Admit`
//! the next round looks again.
//!
//! Two notes in a file send an applicant to its path. A **retired** record says that a new file is about to take this
//! one's place. A **condemned** record says that a sync of this one failed, and that nobody is to write to it again.
//!
//! When the applicant is admitted, this holds:
//! 1. Its handle has the lock of the file, and no other thread of its handle has the turn.
//! 2. Every record that any process appended is applied.
//! 3. The last record that was applied is still in the file: nobody put a backup over it. (Where the
//!    length was proof enough, only the length is known to be unchanged.)
//! 4. The file was not condemned, its tail is clean, and it is not a file whose creation was cut short.
//! 5. If the path was due to be looked at, it leads to the file.
//!
//! Why the lock comes before the look: what an applicant sees without the lock may be a write under way. Why the lock
//! is given back between rounds: a step may have put another file in place, which has a lock of its own; two waiting
//! processes must not hold one lock each and wait for the other.
//!
//! Which interleaving decided the order within a round: an applicant waits for the lock of a file that another process
//! is compacting. It gets the lock when a retired record stands behind its tail and the path leads to the new file. So it
//! must apply the retired record, see by it that the file is doubtful, and look at the path, all before it appends. And
//! the [`Standing`] is one value, and one read of it decides the step. Between the reads of two flags another thread
//! could condemn the file, and the applicant would heal a file whose path it had not looked at.

use super::append::rewrite_unsynced;
use super::durable::{NotDurable, make_durable};
use super::evidence::CUT_BYTES_MAX;
use super::generation::{End, Generation, Proof, Standing};
use super::lock::{Deadline, Gate, LOCKED};
use super::mend;
use super::mode::{Compaction, Durability};
use super::place::Place;
use super::writing::{Desk, Writing};
use crate::error::{Error, Result};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::*};

/// Locks between two looks at the path, beside the look that each sync takes.
const LOCKS_PER_LOOK: u64 = 64;
/// More rounds than any series of switches by others explains.
const ROUNDS_MAX: u32 = 100;
/// Bytes not yet on disk at which a writer waits for a sync with `Durability::Os`. The thread of the handle begins that
/// sync at half as many; without such a thread the writer waits at half.
const UNSYNCED_BYTES_MAX: u64 = 32 << 20;

/// The reason for which an applicant wants the right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To append. A sync that follows sees for itself that the path leads to the file.
    Write,
    /// To call what stands there durable.
    Sync,
}

/// Everything that a handle's threads share to read and write one place.
#[derive(Debug)]
pub(crate) struct Admission {
    pub(crate) place: Place,
    pub(crate) desk: Desk,
    pub(crate) gate: Gate,
    /// Counted by the applicant, with its turn.
    locks_taken: AtomicU64,
}

/// The state that an applicant sees in one round, with the lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Seen {
    /// Whether this process is at another file by now than the one it has the lock of, or has read that one anew.
    moved: bool,
    standing: Standing,
    tail: Tail,
}

/// The bytes behind the tail, as far as they matter here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tail {
    Clean,
    /// Bytes that may be cut: no valid record stands behind them, evidence may be as long as they are, and the epoch can
    /// still rise.
    Torn,
    /// Bytes that must stay as they are, since one of these three does not hold.
    Buried,
}

/// The next step of an applicant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// Looks again: the file was read anew, or another one is there.
    LookAgain,
    Create,
    Heal,
    CutTail,
    LeaveFile,
    Admit,
}

/// A row of the table: the conditions that it names must hold, the others may be anything.
struct Row {
    moved: bool,
    standing: &'static [Standing],
    tail: Option<Tail>,
    step: Step,
}

const MOVED: Row = Row {
    moved: true,
    standing: &Standing::ALL,
    tail: None,
    step: Step::LookAgain,
};
const THERE: Row = Row {
    moved: false,
    ..MOVED
};

/// The standings of a file that may be written to, once its tail is clean.
const USABLE: &[Standing] = &[Standing::Sound, Standing::Doubtful];

/// Exactly one row matches whatever an applicant sees.
const ROWS: &[Row] = &[
    // The path leads to a successor: another process compacted, repaired, truncated or salvaged the store. The place
    // has moved there, and the lock in hand is that of a file without a name. Or the last record that was applied is not
    // there any more, and the proof has read the file anew: somebody copied a backup over it, a repair by another process
    // cut it, or a failed sync let the cache fall back.
    MOVED,
    // An empty file, or one of zeros: the process that made it died before the first header was on disk, or a caller
    // gave us a file of `touch`. Nothing was ever acknowledged in it.
    Row {
        standing: &[Standing::Unborn],
        step: Step::Create,
        ..THERE
    },
    // A sync of it failed, here or in another process. The cache may show bytes that are not on disk, and no later sync
    // tells.
    Row {
        standing: &[Standing::Condemned],
        step: Step::Heal,
        ..THERE
    },
    // A writer died within its append, or the power did; or the last acknowledged group was damaged, which nothing
    // tells apart. No record behind it can come to count once it is cut.
    Row {
        standing: USABLE,
        tail: Some(Tail::Torn),
        step: Step::CutTail,
        ..THERE
    },
    // Records verify behind the torn place: pages reached the disk out of order, or a page in the middle was damaged.
    // Or the torn part is longer than evidence may be, or the file was cut so often that its epoch can't rise.
    Row {
        standing: USABLE,
        tail: Some(Tail::Buried),
        step: Step::LeaveFile,
        ..THERE
    },
    // Nothing is wrong. A file that a compactor retired before it died belongs here too: the path still leads to it.
    Row {
        standing: USABLE,
        tail: Some(Tail::Clean),
        step: Step::Admit,
        ..THERE
    },
];

impl Row {
    fn matches(&self, seen: &Seen) -> bool {
        self.moved == seen.moved
            && self.standing.contains(&seen.standing)
            && self.tail.is_none_or(|tail| tail == seen.tail)
    }
}

impl Seen {
    fn step(&self) -> Step {
        let row = ROWS.iter().find(|row| row.matches(self));
        row.map_or(Step::LookAgain, |row| row.step)
    }
}

impl Admission {
    pub(crate) fn new(place: Place) -> Admission {
        Admission {
            place,
            desk: Desk::default(),
            gate: Gate::new(LOCKED),
            locks_taken: AtomicU64::new(0),
        }
    }

    pub(crate) fn deadline(&self) -> Deadline<'_> {
        Deadline::new(&*self.place.mode.disk, self.place.mode.lock_timeout)
    }

    /// Waits for the right to write.
    pub(crate) fn begin(&self, purpose: Purpose) -> Result<Writing<'_>> {
        self.begin_by(purpose, &self.deadline())
    }

    /// As [`begin`](Admission::begin), until a deadline that the caller shares with other waits.
    pub(crate) fn begin_by<'a>(
        &'a self,
        purpose: Purpose,
        deadline: &Deadline<'a>,
    ) -> Result<Writing<'a>> {
        let place = &self.place;
        if !place.mode.writes() {
            return Err(Error::read_only(&place.path));
        }
        let turn = self.gate.enter(deadline, &place.path)?;
        // Once due, a look at the path stays due: the next round may be about another file.
        let mut is_look_due = false;
        for _ in 0..ROUNDS_MAX {
            place.notice_fork()?;
            let generation = place.generation();
            let os_lock = place.lock(&generation, deadline)?;
            let nth = self.locks_taken.fetch_add(1, Relaxed);
            is_look_due |= nth.is_multiple_of(LOCKS_PER_LOOK) || generation.displaced.load(Relaxed);
            if self.is_proven_by_length(&generation, purpose, is_look_due)?
                || self.round(&generation, is_look_due)?
            {
                self.desk.left_bytes.store(false, Release);
                return Ok(Writing {
                    place,
                    desk: &self.desk,
                    generation,
                    _os_lock: os_lock,
                    turn,
                });
            }
        }
        let what = "is replaced faster than it can be followed";
        Err(Error::busy(&place.path, what, "try again"))
    }

    /// Whether the length of the file alone is proof enough. Under an exclusive lock no other process appends; somebody
    /// may only copy a backup over the file, which asks for no lock. So a write that no sync follows makes do with the
    /// length, between two looks at the path.
    fn is_proven_by_length(
        &self,
        generation: &Generation,
        purpose: Purpose,
        is_look_due: bool,
    ) -> Result<bool> {
        let mode = &self.place.mode;
        Ok(mode.is_exclusive()
            && mode.durability == Durability::Os
            && purpose == Purpose::Write
            && !is_look_due
            && generation.standing() == Standing::Sound
            && generation.ends_at_its_tail()?)
    }

    /// One round, with the lock. True if its step is to admit.
    fn round(&self, generation: &Generation, is_look_due: bool) -> Result<bool> {
        let place = &self.place;
        let proof = place.prove(generation)?;
        let standing = generation.standing();
        // The tail of a sound file is clean.
        if proof == Proof::Same && standing == Standing::Sound && !is_look_due {
            return Ok(true);
        }
        let seen = Seen {
            // Also where the proof has read the file anew.
            moved: place.follow(generation)?,
            standing,
            tail: tail_of(generation)?,
        };
        let step = seen.step();
        match step {
            Step::LookAgain | Step::Admit => {}
            Step::Create => mend::start_anew(place, generation)?,
            Step::Heal => mend::heal(place, generation)?,
            Step::CutTail => mend::cut_torn_tail(place, generation)?,
            Step::LeaveFile => mend::leave_torn_file(place, generation)?,
        }
        Ok(step == Step::Admit)
    }

    /// Runs a change with the right to write, and returns its answer once it is as durable as was asked for. A change
    /// that wrote nothing is acknowledged in the same way: its answer rests on what others wrote.
    pub(crate) fn write<T>(&self, change: impl FnOnce(&mut Writing<'_>) -> Result<T>) -> Result<T> {
        let mut writing = self.begin(Purpose::Write)?;
        let answer = change(&mut writing)?;
        self.finish(writing)?;
        Ok(answer)
    }

    /// Gives the right to write back, and returns once all that was written is as durable as was asked for.
    pub(crate) fn finish(&self, writing: Writing<'_>) -> Result<()> {
        // For a change that appended nothing: an append has done so.
        rewrite_unsynced(&writing.generation)?;
        let generation = Arc::clone(&writing.generation);
        let end = generation.tail();
        drop(writing);
        self.acknowledge(&generation, end)
    }

    /// Returns once the log up to `end` is as durable as the mode asks for.
    pub(crate) fn acknowledge(&self, generation: &Arc<Generation>, end: u64) -> Result<()> {
        let mode = &self.place.mode;
        if mode.durability == Durability::Os {
            let allowed_bytes = match mode.compaction {
                Compaction::Thread => UNSYNCED_BYTES_MAX,
                Compaction::Inline | Compaction::Manual => UNSYNCED_BYTES_MAX / 2,
            };
            if end.saturating_sub(generation.commit.durable()) < allowed_bytes {
                return Ok(());
            }
        }
        self.make_durable(generation, end)
    }

    /// Whether the thread of the handle is to begin a sync.
    pub(crate) fn is_sync_due(&self) -> bool {
        let mode = &self.place.mode;
        mode.durability == Durability::Os
            && mode.compaction == Compaction::Thread
            && self.place.generation().unsynced_bytes() >= UNSYNCED_BYTES_MAX / 2
    }

    /// Returns once the log is on disk up to `end`, and tells the other processes if it can't be.
    pub(crate) fn make_durable(&self, generation: &Generation, end: u64) -> Result<()> {
        make_durable(&self.place, generation, end).map_err(|NotDurable { is_news, error }| {
            if is_news {
                self.tell_of_failed_sync(generation);
            }
            error
        })
    }

    /// Tells every process that a sync of this file failed. Best effort: this process knows already, and called
    /// nothing durable by that sync.
    fn tell_of_failed_sync(&self, failed: &Generation) {
        let deadline = self.deadline();
        let Ok(_turn) = self.gate.enter(&deadline, &self.place.path) else {
            return;
        };
        if let Ok(_os_lock) = self.place.lock(failed, &deadline) {
            let _ = mend::note_failed_sync(&self.place, failed);
        }
    }

    /// For a copy, which syncs without the right to write: gives a forked child a file of its own, as a writer gets one.
    /// The kernel tells one sync of an open file that bytes are lost: after the child's, none of the parent's would fail.
    pub(crate) fn notice_fork(&self) -> Result<()> {
        let place = &self.place;
        if !place.mode.writes() || place.is_ours() {
            return Ok(());
        }
        let deadline = self.deadline();
        let _turn = self.gate.enter(&deadline, &place.path)?;
        place.notice_fork()
    }

    /// Tells the other processes of a failed sync that a copy asked for, as `make_durable` does of a writer's.
    pub(crate) fn tell_if_a_sync_failed(&self) {
        let generation = self.place.generation();
        let is_told = || generation.position().condemned;
        if self.place.mode.writes() && generation.commit.has_failed() && !is_told() {
            self.tell_of_failed_sync(&generation);
        }
    }

    /// Notes the torn tail of a file that was opened without the lock. To a reader without the lock a write under way
    /// looks torn as well, so this takes the lock and looks again.
    pub(crate) fn note_torn_tail(&self) -> Result<()> {
        let place = &self.place;
        if place.generation().end() == End::Clean {
            return Ok(());
        }
        let deadline = self.deadline();
        let _turn = self.gate.enter(&deadline, &place.path)?;
        place.notice_fork()?;
        let mut generation = place.generation();
        let _os_lock = place.lock(&generation, &deadline)?;
        if place.prove(&generation)? == Proof::Different {
            generation = place.generation();
        }
        if let Some(torn) = generation.torn_tail()? {
            place.note_torn_tail(torn);
        }
        Ok(())
    }
}

fn tail_of(generation: &Generation) -> Result<Tail> {
    let (end, tail, epoch) = {
        let position = generation.position();
        (position.end, position.tail, position.epoch)
    };
    let End::Torn { records_behind } = end else {
        return Ok(Tail::Clean);
    };
    let torn_bytes = generation.log.size()?.saturating_sub(tail);
    Ok(
        match records_behind || torn_bytes > CUT_BYTES_MAX || epoch == u16::MAX {
            true => Tail::Buried,
            false => Tail::Torn,
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_an_applicant_sees_exactly_one_row_decides() {
        let mut combinations = 0;
        for tail in [Tail::Clean, Tail::Torn, Tail::Buried] {
            for moved in [false, true] {
                for standing in Standing::ALL {
                    let seen = Seen {
                        moved,
                        standing,
                        tail,
                    };
                    let rows = ROWS.iter().filter(|row| row.matches(&seen)).count();
                    assert_eq!(rows, 1, "{seen:?}");
                    combinations += 1;
                    let may_write = seen.step() == Step::Admit;
                    let is_well = tail == Tail::Clean && standing <= Standing::Doubtful;
                    assert_eq!(may_write, is_well && !moved, "{seen:?}");
                }
            }
        }
        assert_eq!(combinations, 24);
    }
}
