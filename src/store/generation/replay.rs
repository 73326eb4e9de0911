//! How records come to count: read from the log one after another, or just written, they reach the index the same way.
//!
//! # Terms
//!
//! - A record **counts** once both its checks hold, its epoch follows on that of the record before, and the batch that
//!   it belongs to is complete. A record of which the head alone verifies counts too, as lost, if `verdict` says so.
//! - The **position** is how far this process has replayed the log: its **tail** is the end of the last record that
//!   counts. The index has every record before the position.
//! - A **replay** moves the position forward to the first **place** where it can't go on, and judges that place.
//! - Each record says in its **`durable`** how much of the log its writer knew to be on disk. The **watermark** is the
//!   largest of them all; `verdict` says what it decides.
//!
//! # The threads that replay, and when
//!
//! The thread that opens the file replays it from its first record. A reader, which has no lock of the operating
//! system's, replays when the file is longer than the log that it knows. A writer has that lock, and replays before it
//! appends; its own records it passes to [`apply`](Generation::apply). Each of them holds the mutex of the position
//! meanwhile, so one thread at a time changes the index. None of them waits for a lock of the operating system's while
//! it holds the mutex.
//!
//! # The doubt of a reader without the lock
//!
//! To a reader without the lock, a record that is being written looks torn, and whole a moment later. It may call the
//! place damaged once it has seen a whole record behind the place whose `durable` covers the place: before a writer made
//! that record, the bytes at the place had been written and synced. The replay therefore surveys the bytes behind the
//! place, *then* reads the place once more, and only then judges it. In the other order it would call a record damaged
//! that was half written when the replay read it, and that was finished and synced when the survey came by.
//!
//! A replay that stops within a batch reads once more from where the batch begins. Where a writer died in its batch, the
//! next writer cuts the whole batch off, and puts its own records there: a reader that has read half of the old batch by
//! then stands in the middle of a record, and nothing is damaged.
//!
//! A survey reads the file to its end. So while the same place stops a reader, it surveys once for each length of the
//! file. It reads the place itself at each look, and so finds records that are put there without a change of the length.
//!
//! # Invariants
//!
//! 1. Nothing of a batch counts before its last record does, but where a replay crosses damage.
//! 2. Records are applied in the order of the log, and once: a record below the tail is passed over. A reader may have
//!    been faster than the writer that applies its own record.
//! 3. Whenever the mutex is free, the index has exactly what the position says. An error may have kept moves from being
//!    made: the position keeps those, and nobody is shown its tail before they are made.
//! 4. The copies of the position that are read without its mutex are written last, so that they lag behind the index
//!    and never lead it.
//! 5. Only whole records tell what is durable; the head of a damaged one is believed in all but that. Otherwise a wrong
//!    watermark could turn torn bytes into damage, and a replay that begins behind the damaged record would judge
//!    otherwise than one that passed it.

use super::read_ahead::{STRETCH_BYTES, stretches};
use super::verdict::{Case, Stands, Verdict, verdict};
use super::*;
use crate::store::index::Move;

/// From this length on a second thread reads ahead (opening 400 MB with two cores free took 0.6 of the time).
const PIPELINED_BYTES_MIN: u64 = 4 << 20;
/// A replay of fewer bytes reads little at once, and makes each move at once and singly.
const SHORT_BYTES: u64 = 64 << 10;

impl Generation {
    /// Applies what stands behind the position, batch by batch, and judges what stops it.
    pub(super) fn replay(&self, position: &mut Position, access: Access) -> Result<()> {
        let size_bytes = self.log.size()?;
        let behind = size_bytes.saturating_sub(position.tail);
        // The place that stopped the last replay will most likely stop this one.
        let stopped = position.surveyed.filter(|(at, _)| *at >= position.tail);
        let how = match stopped {
            Some((_, size)) if size == size_bytes => How::Short,
            _ if behind < SHORT_BYTES => How::Short,
            None if behind >= PIPELINED_BYTES_MIN && self.log.file.reads_beside() => How::Ahead,
            _ => How::Long,
        };
        self.replay_how(position, access, how)
    }

    fn replay_how(&self, position: &mut Position, access: Access, how: How) -> Result<()> {
        if how != How::Short {
            position.unmade.collect();
        }
        let mut replay = Replay {
            generation: self,
            position,
            batch: Vec::new(),
            damaged: Vec::new(),
            durable: self.commit.durable(),
        };
        let replayed = replay.run(access, how);
        self.commit.credit(replay.durable);
        // After an error as well (invariant 3).
        let made = position.unmade.make(self);
        position.unmade.collect_no_more();
        self.publish(position);
        replayed.and(made)
    }

    /// Takes records that were just appended into the index, and the tail behind them.
    pub(crate) fn apply(&self, records: &[(u64, Head)]) -> Result<()> {
        let mut position = self.position();
        let is_own = true;
        for (offset, head) in records {
            // `make` tries a failed move once more, and returns its error.
            let _ = self.apply_one(&mut position, *offset, head, is_own);
        }
        let made = match position.unmade.is_empty() {
            true => Ok(()),
            false => position.unmade.make(self),
        };
        self.publish(&position);
        made
    }

    /// Applies one record that counts. After an error it has been applied, and its effect on the index is yet to be made.
    #[inline]
    fn apply_one(
        &self,
        position: &mut Position,
        offset: u64,
        head: &Head,
        is_own: bool,
    ) -> Result<()> {
        if offset < position.tail {
            return Ok(());
        }
        let at = Location::new(offset, head.record_bytes());
        let puts = match head.kind {
            Kind::Put => {
                position.past.add(head.expires_ms, at.len());
                Some(true)
            }
            Kind::Delete => Some(false),
            Kind::Clear => {
                position.unmade.clear();
                self.index.clear();
                position.past = Past::new();
                // No record from before the clear counts, so none can be outdated.
                self.outdated_below.store(0, Release);
                None
            }
            Kind::Condemned => {
                position.condemned = true;
                None
            }
            Kind::Seal | Kind::Cut | Kind::Retired | Kind::Skippable(_) | Kind::Unknown(_) => None,
        };
        position.last = Some(Last {
            offset,
            checks: head.checks(),
            kind: head.kind,
        });
        position.epoch = head.epoch;
        position.tail = at.end();
        position.records += 1;
        position.end = End::Clean;
        let Some(puts) = puts else { return Ok(()) };
        let step = Move {
            fingerprint: head.fingerprint,
            prev: head.prev,
            at,
            puts,
        };
        position.unmade.push(self, step, is_own)
    }

    /// Lets others see how far the position is.
    fn publish(&self, position: &Position) {
        if !position.unmade.is_empty() {
            return;
        }
        self.keys.store(self.index.len(), Release);
        debug_assert!(position.tail >= self.tail(), "the tail only grows");
        self.tail.store(position.tail, Release);
        let is_doubtful = position.is_retired() || position.end != End::Clean;
        self.settle(match position.condemned {
            true => Standing::Condemned,
            false if is_doubtful => Standing::Doubtful,
            false => Standing::Sound,
        });
    }
}

/// How a replay reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum How {
    /// Reads little at once.
    Short,
    /// Reads much at once, and collects moves.
    Long,
    /// As [`How::Long`], and a second thread reads and verifies ahead of the one that counts.
    Ahead,
}

/// A replay under way.
struct Replay<'a> {
    generation: &'a Generation,
    position: &'a mut Position,
    /// Records of a batch that is not complete.
    batch: Vec<(u64, Head)>,
    /// Damage that counts once its batch does.
    damaged: Vec<Damage>,
    /// The largest `durable` of all records that count, or what this process knew before, if that is more. `apply` has
    /// no need of it: a writer's own records tell the writer nothing new.
    durable: u64,
}

/// Where a replay stops.
struct Stop {
    offset: u64,
    stands: Stands,
    /// Of [`Stands::Head`].
    head: Option<Head>,
}

impl Replay<'_> {
    fn run(&mut self, access: Access, how: How) -> Result<()> {
        self.position.unmade.make(self.generation)?;
        let Generation { log, header, .. } = self.generation;
        let scanner_of = match how {
            How::Short => Scanner::short,
            How::Long | How::Ahead => Scanner::new,
        };
        let mut scanner = scanner_of(log, header.seed, self.position.tail);
        if how == How::Ahead {
            let end = self.count_ahead(log.size()?)?;
            scanner.seek(end, true);
        }
        // One survey serves every place: it reached to the end of the file.
        let mut survey: Option<Survey> = None;
        let mut surveying = None;
        loop {
            let Some(stop) = self.count_to_stop(&mut scanner)? else {
                continue;
            };
            if survey.is_none() && stop.stands != Stands::Nothing {
                let seen = (stop.offset, log.size()?);
                if access == Access::Unlocked && self.position.surveyed == Some(seen) {
                    return Ok(());
                }
                surveying = Some(seen);
                survey = Some(Survey::new(&mut scanner, stop.offset, self)?);
                // The place is read once more before it is judged: see the doubt of a reader. So are the records
                // of an unfinished batch: if its writer died, the next writer may have put others there.
                self.batch.clear();
                self.damaged.clear();
                scanner.seek(self.position.tail, true);
                continue;
            }
            let nothing = Survey::of_nothing(self);
            if !self.judge(&mut scanner, &stop, survey.as_ref().unwrap_or(&nothing))? {
                // Only a replay that came to its end spares the next one its survey.
                self.position.surveyed = surveying.or(self.position.surveyed);
                return Ok(());
            }
        }
    }

    /// Counts records that two threads verify in stretches. Returns where that ended, for whatever reason; the caller
    /// reads on from there and judges what stands there, so that one loop judges for all.
    fn count_ahead(&mut self, size_bytes: u64) -> Result<u64> {
        let Generation { log, header, .. } = self.generation;
        let mut end = self.position.tail;
        let mut ahead = stretches(log, header.seed, end, size_bytes);
        let mut spent = None;
        while let Some((at, stretch)) = ahead.take(spent.take()) {
            if stretch.start() == Some(end) {
                for (offset, head) in &stretch.records {
                    if !self.follows(head) {
                        return Ok(end);
                    }
                    self.count(*offset, head)?;
                    end = offset + head.record_bytes();
                }
            }
            spent = Some(stretch);
            // The rest of the stretch is read here: a record that reaches into the stretch, or past it, hides where the
            // next one begins.
            let until = at.saturating_add(STRETCH_BYTES);
            if end < until {
                let mut scanner = Scanner::new(log, header.seed, end);
                while scanner.offset() < until {
                    if self.count_to_stop(&mut scanner)?.is_some() {
                        return Ok(end);
                    }
                    end = scanner.offset();
                }
            }
        }
        Ok(end)
    }

    /// Takes one record in, or tells why there is none.
    #[inline]
    fn count_to_stop(&mut self, scanner: &mut Scanner<'_>) -> Result<Option<Stop>> {
        let (offset, stands, head) = match scanner.step()? {
            Step::Record { offset, head, .. } if self.follows(&head) => {
                self.count(offset, &head)?;
                return Ok(None);
            }
            Step::BadBody { offset, head, .. } if self.follows(&head) => {
                (offset, Stands::Head, Some(head))
            }
            Step::Record { offset, .. }
            | Step::BadBody { offset, .. }
            | Step::Unverified { offset } => (offset, Stands::Bytes, None),
            Step::End => (scanner.offset(), Stands::Nothing, None),
        };
        Ok(Some(Stop {
            offset,
            stands,
            head,
        }))
    }

    /// Whether a record follows on the one before: the last one of the unfinished batch, if there is one. No cut stands
    /// within a batch, since a log is cut at its tail.
    #[inline]
    fn follows(&self, head: &Head) -> bool {
        match (self.batch.last(), head.kind) {
            (Some(_), Kind::Cut) => false,
            (Some((_, before)), _) => head.epoch == before.epoch,
            (None, Kind::Cut) => Some(head.epoch) == self.position.epoch.checked_add(1),
            (None, _) => head.epoch == self.position.epoch,
        }
    }

    /// Takes one record in: it counts at once, or with the last one of its batch.
    #[inline]
    fn count(&mut self, offset: u64, head: &Head) -> Result<()> {
        if head.is_newer() {
            return Err(self.newer(offset));
        }
        if head.more() {
            self.batch.push((offset, *head));
            return Ok(());
        }
        let begun = match self.batch.is_empty() && self.damaged.is_empty() {
            true => Ok(()),
            false => self.take_batch(),
        };
        self.durable = self.durable.max(head.durable);
        let ended = (self.generation).apply_one(self.position, offset, head, false);
        begun.and(ended)
    }

    #[cold]
    fn newer(&self, offset: u64) -> Error {
        Error::newer_version(&self.generation.log.path, offset)
    }

    /// Takes in what was read of a batch so far, all of it also where there is an error.
    fn take_batch(&mut self) -> Result<()> {
        let mut made = Ok(());
        for (offset, head) in self.batch.drain(..) {
            self.durable = self.durable.max(head.durable);
            let one = (self.generation).apply_one(self.position, offset, &head, false);
            made = made.and(one);
        }
        self.position.damage.append(&mut self.damaged);
        made
    }

    /// Judges a place and does what the verdict says. True if the replay goes on.
    fn judge(&mut self, scanner: &mut Scanner<'_>, stop: &Stop, survey: &Survey) -> Result<bool> {
        let case = Case {
            stands: stop.stands,
            is_acknowledged: self.position.tail < survey.watermark,
            records_behind: stop.offset < survey.last,
            batch_begun: !self.batch.is_empty(),
            crossing: self.generation.crossing,
        };
        match (verdict(&case), &stop.head) {
            (Verdict::Ends, _) => self.position.end = End::Clean,
            (Verdict::Torn, _) => {
                self.position.end = End::Torn {
                    records_behind: case.records_behind,
                }
            }
            (Verdict::LosesOneRecord, Some(head)) => {
                self.lose(stop.offset, head)?;
                return Ok(true);
            }
            (Verdict::Refuses | Verdict::LosesOneRecord, _) => {
                let what = match stop.stands {
                    Stands::Nothing => "the file ends before what was acknowledged",
                    _ => "a record does not verify, and later ones were acknowledged",
                };
                return Err(self.generation.log.corrupt(stop.offset, what));
            }
            (Verdict::Crosses, _) => return self.cross(scanner, stop.offset, survey),
        }
        Ok(false)
    }

    /// Counts a record of which only the head verifies. It tells nothing of what is durable (invariant 5).
    fn lose(&mut self, offset: u64, head: &Head) -> Result<()> {
        let damage = Damage::record(offset, head.record_bytes(), head.fingerprint);
        self.damaged.push(damage);
        let mut head = *head;
        head.durable = 0;
        self.count(offset, &head)
    }

    /// Goes on behind damage of unknown extent, if anything is there.
    fn cross(&mut self, scanner: &mut Scanner<'_>, from: u64, survey: &Survey) -> Result<bool> {
        scanner.seek(from.saturating_add(ALIGN), false);
        let next = scanner.find_record(self.position.epoch)?;
        let to = match next {
            Some(_) => scanner.offset(),
            None => self.generation.log.size()?.max(survey.watermark),
        };
        // The rest of a batch that the damage hit counts: if it was acknowledged, the batch was complete once, and
        // otherwise a salvage takes what it can get.
        self.take_batch()?;
        let damage = Damage::unknown(from, to.saturating_sub(from));
        self.position.damage.push(damage);
        self.generation.outdated_below.store(to, Release);
        self.position.end = End::Clean;
        let Some(next) = next else {
            return Ok(false);
        };
        self.position.tail = to;
        self.position.epoch = match next.kind {
            Kind::Cut => next.epoch.saturating_sub(1),
            _ => next.epoch,
        };
        Ok(true)
    }
}

/// The surroundings of a place that stops a replay.
#[derive(Debug)]
struct Survey {
    watermark: u64,
    /// Where the last whole record behind the place stands that counts or might; 0: there is none.
    last: u64,
}

impl Survey {
    /// Of the place where the file ends.
    fn of_nothing(replay: &Replay<'_>) -> Survey {
        let begun = replay.batch.iter().map(|(_, head)| head.durable).max();
        Survey {
            watermark: replay.durable.max(begun.unwrap_or(0)),
            last: 0,
        }
    }

    /// Looks at everything from the place on. A record of a lower epoch was cut off, and does not count.
    fn new(scanner: &mut Scanner<'_>, from: u64, replay: &Replay<'_>) -> Result<Survey> {
        let mut survey = Survey::of_nothing(replay);
        scanner.seek(from, true);
        while let Some(head) = scanner.find_record(replay.position.epoch)? {
            survey.watermark = survey.watermark.max(head.durable);
            survey.last = scanner.offset();
            scanner.seek(survey.last + head.record_bytes(), false);
        }
        Ok(survey)
    }
}

#[cfg(test)]
mod tests;
