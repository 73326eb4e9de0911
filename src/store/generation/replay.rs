//! How records come to count: read from the log one after another, or just written, they reach the index the same way.

use super::*;
use crate::store::index::{Move, SHARDS, shard_of};
use std::collections::VecDeque;
use std::sync::{Condvar, PoisonError};
use std::thread;

/// With so much to replay a second thread reads ahead (opening 400 MB with two cores free took 0.6 of the time).
const PIPELINED_BYTES_MIN: u64 = 4 << 20;
/// Handed over at once: enough that the threads seldom wait for each other (with 512 records a busy machine took longer
/// than with one thread), not more than can be read in vain where the first thread stops.
const RECORDS_AT_ONCE: usize = if cfg!(test) { 7 } else { 2048 };
const BYTES_AT_ONCE: u64 = 1 << 20;
/// So many may wait to be counted: what the index needs for one record varies more than what reading it does.
const HANDED_OVER_MAX: usize = 4;

impl Generation {
    /// Applies what stands behind the position, batch by batch, and judges what stops it.
    pub(super) fn replay(&self, position: &mut Position, access: Access) -> Result<()> {
        let size_bytes = self.log.size()?;
        let mut behind = size_bytes.saturating_sub(position.tail);
        // Where it stopped before, it will again.
        let surveyed = position.surveyed.filter(|(at, _)| *at >= position.tail);
        let stopped = surveyed.is_some();
        if surveyed.is_some_and(|(_, size)| size == size_bytes) {
            // Most likely nothing happened, and the stopping place is near.
            behind = 0;
        }
        let pipelined = behind >= PIPELINED_BYTES_MIN && !stopped && self.log.file.reads_beside();
        self.replay_how(position, access, behind, pipelined)
    }

    fn replay_how(
        &self,
        position: &mut Position,
        access: Access,
        behind: u64,
        pipelined: bool,
    ) -> Result<()> {
        let short = behind < 64 << 10;
        let scanner = if short { Scanner::short } else { Scanner::new };
        let mut scanner = scanner(&self.log, self.header.seed, position.tail);
        let mut replay = Replay {
            generation: self,
            batch: Vec::new(),
            damaged: Vec::new(),
            moves: Moves::new(!short),
        };
        let ahead = match pipelined {
            true => self.replay_pipelined(&mut replay, position),
            false => Ok(position.tail),
        };
        let result = ahead.and_then(|end| {
            scanner.seek(end, true);
            self.replay_with(&mut replay, &mut scanner, position, access)
        });
        // Also after an error: what the position counts, the index has.
        let made = replay.moves.make(self);
        self.publish(position);
        result.and(made)
    }

    /// Counts records while another thread reads and verifies those behind them. Returns where that ended, for whatever
    /// reason: to judge what stands there is left to the caller, so that there is one place for it.
    fn replay_pipelined(&self, replay: &mut Replay<'_>, position: &mut Position) -> Result<u64> {
        let start = position.tail;
        let verified = Handover::default();
        let end_of_reading = EndsIt(&verified);
        let verify = move || {
            let handover = end_of_reading;
            let mut scanner = Scanner::new(&self.log, self.header.seed, start);
            let mut goes_on = true;
            while goes_on {
                let (mut records, mut bytes) = (Vec::with_capacity(RECORDS_AT_ONCE), 0);
                while goes_on && records.len() < RECORDS_AT_ONCE && bytes < BYTES_AT_ONCE {
                    match scanner.step() {
                        Ok(Step::Record { offset, head, .. }) => {
                            bytes += head.record_bytes();
                            records.push((offset, head));
                        }
                        _ => goes_on = false,
                    }
                }
                goes_on &= handover.0.put(records);
            }
        };
        thread::scope(|scope| {
            // Dropped before the thread is joined, so that one that waits to hand over does not wait for ever.
            let _end_of_counting = EndsIt(&verified);
            // Where no thread is to be had it is over at once, and all is left to the caller.
            let thread = thread::Builder::new().name("shelflife".into());
            let _ = thread.spawn_scoped(scope, verify);
            let mut end = start;
            let records = std::iter::from_fn(|| verified.take());
            for (offset, head) in records.flatten() {
                if !position.accepts(&head) {
                    break;
                }
                replay.count(position, offset, &head)?;
                end = offset + head.record_bytes();
            }
            Ok(end)
        })
    }

    fn replay_with(
        &self,
        replay: &mut Replay<'_>,
        scanner: &mut Scanner<'_>,
        position: &mut Position,
        access: Access,
    ) -> Result<()> {
        // Made once somebody has to know.
        let mut survey: Option<Survey> = None;
        loop {
            let (offset, head) = match scanner.step()? {
                Step::Record { offset, head, .. } if position.accepts(&head) => {
                    replay.count(position, offset, &head)?;
                    continue;
                }
                Step::End => {
                    let end = scanner.offset();
                    if end < position.durable {
                        if self.crossing == Crossing::Nothing {
                            let what = "the file ends before what was acknowledged";
                            return Err(self.log.corrupt(end, what));
                        }
                        replay.cross(position, end, position.durable)?;
                    }
                    position.end = replay.end_behind();
                    return Ok(());
                }
                Step::BadBody { offset, head, .. } if position.accepts(&head) => {
                    (offset, Some(head))
                }
                Step::Record { offset, .. }
                | Step::BadBody { offset, .. }
                | Step::Unverified { offset } => (offset, None),
            };
            let Some(survey) = &survey else {
                // A reader asks once for each length of the file, not at every look.
                let seen = (offset, self.log.size()?);
                if access == Access::Unlocked && position.surveyed == Some(seen) {
                    return Ok(());
                }
                position.surveyed = Some(seen);
                scanner.seek(offset, true);
                survey = Some(Survey::new(scanner, offset, position)?);
                // It may have been read while it was being written. What tells that it is finished was read after it,
                // so what is read from here on is final.
                scanner.seek(offset, true);
                continue;
            };
            let final_below = match self.crossing {
                Crossing::Nothing | Crossing::Damage => survey.watermark,
                Crossing::Everything => survey.watermark.max(survey.last),
            };
            if offset >= final_below {
                position.end = End::Torn {
                    records_behind: offset < survey.last,
                };
                return Ok(());
            }
            if let Some(mut head) = head {
                let damage = Damage::record(offset, head.record_bytes(), head.fingerprint);
                replay.damaged.push(damage);
                // Only whole records tell what is durable, as in a survey: or it would matter where a replay began.
                head.durable = 0;
                replay.count(position, offset, &head)?;
                continue;
            }
            if self.crossing == Crossing::Nothing {
                let what = "a record does not verify, and later ones were acknowledged";
                return Err(self.log.corrupt(offset, what));
            }
            scanner.seek(offset + ALIGN, false);
            let next = scanner.find_record(position.epoch)?;
            let to = match next {
                Some(_) => scanner.offset(),
                None => self.log.size()?.max(survey.watermark),
            };
            replay.cross(position, offset, to)?;
            let Some(next) = next else { return Ok(()) };
            position.tail = to;
            position.epoch = next.epoch.saturating_sub(u16::from(next.kind == Kind::Cut));
        }
    }

    /// Takes records that were just appended into the index, and the tail behind them.
    pub(crate) fn apply(&self, records: &[(u64, Head)]) -> Result<()> {
        let mut position = self.position();
        let mut moves = Moves::new(false);
        for (offset, head) in records {
            self.apply_one(&mut position, &mut moves, *offset, head)?;
        }
        self.publish(&position);
        Ok(())
    }

    /// What a record that counts does, wherever it comes from. Skips what was applied already: a reader may have been
    /// faster than the writer.
    #[inline]
    fn apply_one(
        &self,
        position: &mut Position,
        moves: &mut Moves,
        offset: u64,
        head: &Head,
    ) -> Result<()> {
        if offset < position.tail {
            return Ok(());
        }
        let at = Location::new(offset, head.record_bytes());
        match head.kind {
            Kind::Put => {
                position.past.add(head.expires_ms, at.len());
                moves.push(
                    self,
                    Move {
                        fingerprint: head.fingerprint,
                        prev: head.prev,
                        at,
                        puts: true,
                    },
                )?
            }
            Kind::Delete => moves.push(
                self,
                Move {
                    fingerprint: head.fingerprint,
                    prev: head.prev,
                    at,
                    puts: false,
                },
            )?,
            Kind::Clear => {
                moves.make(self)?;
                self.index.clear();
                position.past = Past::new();
                // Whatever was missed before is gone anyway.
                self.outdated_below.store(0, Release);
            }
            Kind::Seal
            | Kind::Cut
            | Kind::Retired
            | Kind::Condemned
            | Kind::Skippable(_)
            | Kind::Unknown(_) => {}
        }
        position.sealed = head.kind == Kind::Seal;
        position.retired = head.kind == Kind::Retired;
        position.condemned |= head.kind == Kind::Condemned;
        position.epoch = head.epoch;
        position.durable = position.durable.max(head.durable);
        position.last = Some((offset, head.checks()));
        position.tail = at.end();
        position.records += 1;
        position.end = End::Clean;
        Ok(())
    }

    /// Lets others see how far the position is.
    fn publish(&self, position: &Position) {
        self.tail.store(position.tail, Release);
        self.commit.credit(position.durable);
        self.condemned.fetch_or(position.condemned, AcqRel);
        let unborn = self.header.generation == 0;
        let doubtful =
            unborn || position.retired || position.end != End::Clean || self.is_condemned();
        self.doubtful.store(doubtful, Release);
    }

    /// Makes a move of which the index has no slot at `prev`, or none is to be trusted, by comparing keys.
    fn move_by_key(&self, step: &Move) -> Result<()> {
        let old = self.same_key(step.at.offset(), step.fingerprint)?;
        match (old, step.puts) {
            (Some(old), true) => _ = self.index.replace(step.fingerprint, old, step.at),
            (Some(old), false) => _ = self.index.remove(step.fingerprint, old),
            (None, true) => self.index.insert(step.fingerprint, step.at),
            (None, false) => {}
        }
        Ok(())
    }

    /// Where the index has the key of the record at `offset`, found by comparing keys: for a record whose `prev` does
    /// not lead to a slot.
    fn same_key(&self, offset: u64, fingerprint: u32) -> Result<Option<u64>> {
        let candidates = self.index.candidates(fingerprint);
        if candidates.iter().next().is_none() {
            return Ok(None);
        }
        let mut fixed = [0; HEAD_BYTES];
        self.log.read_up_to(&mut fixed, offset)?;
        let Some(head) = Head::decode(&fixed, self.header.seed, offset) else {
            return Err(self
                .log
                .corrupt(offset, "a record does not verify any more"));
        };
        let mut key = vec![0; usize::from(head.key_len)];
        let read = self.log.read_up_to(&mut key, offset + HEAD_BYTES as u64)?;
        if read < key.len() {
            return Err(self.log.corrupt(offset, "a record is cut short"));
        }
        Ok(self
            .find_among(&candidates, fingerprint, &key)?
            .map(|found| found.at.offset()))
    }
}

/// A replay under way.
struct Replay<'a> {
    generation: &'a Generation,
    /// Records of a batch that is not finished.
    batch: Vec<(u64, Head)>,
    /// Damage that counts once its batch does.
    damaged: Vec<Damage>,
    moves: Moves,
}

impl Replay<'_> {
    /// Takes one record in: it counts at once, or with the last one of its batch.
    #[inline]
    fn count(&mut self, position: &mut Position, offset: u64, head: &Head) -> Result<()> {
        if head.is_newer() {
            let path = &self.generation.log.path;
            let what = format!(
                "`{}` was written to by a newer version, at offset {offset}",
                path.display()
            );
            return Err(Error::new(ErrorKind::NewerVersion, what)
                .at(path)
                .offset_at(offset)
                .advise("update shelflife to open it"));
        }
        if head.more() {
            self.batch.push((offset, *head));
            return Ok(());
        }
        self.take_batch(position)?;
        self.generation
            .apply_one(position, &mut self.moves, offset, head)
    }

    /// Takes in what was read of a batch so far.
    fn take_batch(&mut self, position: &mut Position) -> Result<()> {
        for (offset, head) in self.batch.drain(..) {
            self.generation
                .apply_one(position, &mut self.moves, offset, &head)?;
        }
        position.damage.append(&mut self.damaged);
        Ok(())
    }

    /// Goes on behind damage of unknown extent: what stands before it may be outdated.
    fn cross(&mut self, position: &mut Position, from: u64, to: u64) -> Result<()> {
        // A batch that was hit was finished once.
        self.take_batch(position)?;
        self.moves.make(self.generation)?;
        position
            .damage
            .push(Damage::unknown(from, to.saturating_sub(from)));
        self.generation.outdated_below.store(to, Release);
        Ok(())
    }

    /// What the tail is like when nothing follows: a batch that was not finished is torn all the same.
    fn end_behind(&self) -> End {
        if self.batch.is_empty() {
            End::Clean
        } else {
            End::Torn {
                records_behind: false,
            }
        }
    }
}

/// Verified records on their way from one thread to the other. (A channel of std would do, for 36 KB of code more in
/// every program.)
#[derive(Default)]
struct Handover {
    state: Mutex<Handed>,
    changed: Condvar,
}

#[derive(Default)]
struct Handed {
    waiting: VecDeque<Vec<(u64, Head)>>,
    /// Nothing comes any more, or nobody takes it.
    is_over: bool,
}

impl Handover {
    /// False if nobody takes it any more.
    fn put(&self, records: Vec<(u64, Head)>) -> bool {
        let mut state = self.wait(|state| state.waiting.len() >= HANDED_OVER_MAX);
        let wanted = !state.is_over;
        if wanted {
            state.waiting.push_back(records);
        }
        drop(state);
        self.changed.notify_one();
        wanted
    }

    fn take(&self) -> Option<Vec<(u64, Head)>> {
        let taken = self
            .wait(|state| state.waiting.is_empty())
            .waiting
            .pop_front();
        self.changed.notify_one();
        taken
    }

    /// Waits while that holds, and it is not over.
    fn wait(&self, holds: fn(&Handed) -> bool) -> MutexGuard<'_, Handed> {
        let mut state = lock_of(&self.state);
        while holds(&state) && !state.is_over {
            state = (self.changed.wait(state)).unwrap_or_else(PoisonError::into_inner);
        }
        state
    }
}

/// Dropped, also by a panic, it ends the handover.
struct EndsIt<'a>(&'a Handover);

impl Drop for EndsIt<'_> {
    fn drop(&mut self) {
        lock_of(&self.0.state).is_over = true;
        self.0.changed.notify_all();
    }
}

/// Changes on their way into the index. A long replay collects them by shard, so that a shard's lock is taken and its
/// table brought into the cache once for many; those of one key stay in order, because they are in one shard.
struct Moves {
    shards: Vec<Vec<Move>>,
}

/// So many moves of one shard are made together: the lists of all shards then still fit in a core's cache.
const MOVES_TOGETHER: usize = 32;

impl Moves {
    fn new(collect: bool) -> Moves {
        let shards = if collect { SHARDS } else { 0 };
        Moves {
            shards: (0..shards)
                .map(|_| Vec::with_capacity(MOVES_TOGETHER))
                .collect(),
        }
    }

    #[inline]
    fn push(&mut self, generation: &Generation, step: Move) -> Result<()> {
        match self.shards.get_mut(shard_of(step.fingerprint)) {
            Some(some) => {
                some.push(step);
                if some.len() < MOVES_TOGETHER {
                    return Ok(());
                }
                let made = Moves::make_some(generation, some);
                some.clear();
                made
            }
            None => Moves::make_some(generation, &[step]),
        }
    }

    /// Makes all that were collected.
    fn make(&mut self, generation: &Generation) -> Result<()> {
        self.shards.iter_mut().try_for_each(|some| {
            let made = Moves::make_some(generation, some);
            some.clear();
            made
        })
    }

    fn make_some(generation: &Generation, mut rest: &[Move]) -> Result<()> {
        let all_known = generation.outdated_below() == 0;
        loop {
            let made = generation.index.make(rest, all_known);
            rest = rest.get(made..).unwrap_or_default();
            let Some((step, others)) = rest.split_first() else {
                break;
            };
            generation.move_by_key(step)?;
            rest = others;
        }
        Ok(())
    }
}

/// What stands behind bytes that do not verify, up to the end of the file.
#[derive(Debug)]
struct Survey {
    /// The largest `durable` of all records there and before.
    watermark: u64,
    /// The last record there; 0: there is none.
    last: u64,
}

impl Survey {
    fn new(scanner: &mut Scanner<'_>, from: u64, position: &Position) -> Result<Survey> {
        let mut survey = Survey {
            watermark: position.durable,
            last: 0,
        };
        scanner.seek(from + ALIGN, true);
        while let Some(head) = scanner.find_record(position.epoch)? {
            survey.watermark = survey.watermark.max(head.durable);
            survey.last = scanner.offset();
            scanner.seek(survey.last + head.record_bytes(), false);
        }
        Ok(survey)
    }
}

#[cfg(test)]
mod tests;
