//! Changes on their way into the index.
//!
//! A long replay collects them by shard, so that a shard's lock is taken and its table brought into the cache once for
//! many; those of one key stay in order, because they are in one shard.

use super::Generation;
use crate::error::Result;
use crate::store::format::{HEAD_BYTES, Head};
use crate::store::index::{Move, SHARDS, shard_of};

/// Moves of one shard that are made together: few enough that the lists of all shards fit in a core's cache.
const MOVES_TOGETHER: usize = 32;

/// Moves of records before the tail that the index does not have yet.
#[derive(Debug, Clone, Default)]
pub(super) struct Moves {
    /// Those that a long replay collects. Empty if each move is made at once.
    shards: Vec<Vec<Move>>,
    /// Those that an error of a read kept from being made, and all that came after them where each is made at once.
    late: Vec<Move>,
}

impl Moves {
    /// Whether the index has them all. Asked where no replay is under way.
    pub(super) fn is_empty(&self) -> bool {
        self.late.is_empty()
    }

    /// From now on moves are collected.
    pub(super) fn collect(&mut self) {
        self.shards = (0..SHARDS)
            .map(|_| Vec::with_capacity(MOVES_TOGETHER))
            .collect();
    }

    /// From now on each move is made at once. Keeps those that an error kept from being made; of each key in order.
    pub(super) fn collect_no_more(&mut self) {
        for mut some in std::mem::take(&mut self.shards) {
            self.late.append(&mut some);
        }
    }

    /// Takes a move; with `is_own` this process wrote the record, and has looked its key up. After an error it has the
    /// move all the same, for the next time that all are made.
    #[inline]
    pub(super) fn push(&mut self, generation: &Generation, step: Move, is_own: bool) -> Result<()> {
        match self.shards.get_mut(shard_of(step.fingerprint)) {
            Some(some) => {
                some.push(step);
                match some.len() < MOVES_TOGETHER {
                    true => Ok(()),
                    false => make_some(generation, some),
                }
            }
            None if self.late.is_empty() => {
                let made = make(generation, &[step], is_own).1;
                if made.is_err() {
                    self.late.push(step);
                }
                made
            }
            None => {
                self.late.push(step);
                Ok(())
            }
        }
    }

    pub(super) fn make(&mut self, generation: &Generation) -> Result<()> {
        if !self.late.is_empty() {
            make_late(generation, &mut self.late)?;
        }
        (self.shards.iter_mut()).try_for_each(|some| make_some(generation, some))
    }

    /// Forgets all of them: what comes next empties the index.
    pub(super) fn clear(&mut self) {
        self.late.clear();
        for some in &mut self.shards {
            some.clear();
        }
    }
}

/// Makes moves of one shard, and returns how many it made before an error.
fn make(generation: &Generation, moves: &[Move], is_own: bool) -> (usize, Result<()>) {
    let mut made = 0;
    loop {
        let rest = moves.get(made..).unwrap_or_default();
        made += generation.index.make(rest, is_own);
        let Some(step) = moves.get(made) else {
            return (made, Ok(()));
        };
        if let Err(error) = make_by_key(generation, step) {
            return (made, Err(error));
        }
        made += 1;
    }
}

/// As [`make`]; what was not made stays in the list.
fn make_some(generation: &Generation, some: &mut Vec<Move>) -> Result<()> {
    let (made, result) = make(generation, some, false);
    some.drain(..made);
    result
}

/// Makes moves of any shards, in their order; what was not made stays in the list.
fn make_late(generation: &Generation, late: &mut Vec<Move>) -> Result<()> {
    let mut moves = late.iter();
    let result = moves.try_for_each(|step| make(generation, std::slice::from_ref(step), false).1);
    let left = moves.len() + usize::from(result.is_err());
    late.drain(..late.len() - left);
    result
}

/// Makes a move that `prev` alone does not decide, by comparing keys: the index has no slot at `prev`, or `prev` says
/// that the key is new and the index has its fingerprint.
fn make_by_key(generation: &Generation, step: &Move) -> Result<()> {
    let prev = same_key(generation, step)?;
    // As with a writer's own move, the key was looked up just now. The removal of a key that is nowhere changes nothing.
    generation.index.make(&[Move { prev, ..*step }], true);
    Ok(())
}

/// Where the index has the key of a record; 0: nowhere. That is the answer as well where nothing tells: a record whose
/// own key is damaged has no key to compare, and a damaged record that the index leads to may be any key's.
fn same_key(generation: &Generation, step: &Move) -> Result<u64> {
    let candidates = generation.index.candidates(step.fingerprint);
    if candidates.iter().next().is_none() {
        return Ok(0);
    }
    let (log, offset) = (&generation.log, step.at.offset());
    let mut fixed = [0; HEAD_BYTES];
    log.read_up_to(&mut fixed, offset)?;
    let Some(head) = Head::decode(&fixed, generation.header.seed, offset) else {
        return Err(log.corrupt(offset, "a record does not verify any more"));
    };
    let mut key = vec![0; usize::from(head.key_len)];
    let read = log.read_up_to(&mut key, offset + HEAD_BYTES as u64)?;
    if read < key.len() {
        return Err(log.corrupt(offset, "a record is cut short"));
    }
    if generation.fingerprint(&key) != step.fingerprint {
        return Ok(0);
    }
    let found = generation.find_among(&candidates, step.fingerprint, &key)?;
    let found = found.filter(|found| !found.is_damaged);
    Ok(found.map_or(0, |found| found.at.offset()))
}
