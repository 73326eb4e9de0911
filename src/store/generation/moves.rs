//! Changes on their way into the index.
//!
//! A long replay collects them by shard, so that a shard's lock is taken and its table brought into the cache once for
//! many; those of one key stay in order, because they are in one shard.

use super::Generation;
use crate::error::Result;
use crate::store::format::{HEAD_BYTES, Head};
use crate::store::index::{Move, SHARDS, shard_of};

/// Moves of one shard that are made together: the lists of all shards still fit in a core's cache.
const MOVES_TOGETHER: usize = 32;

pub(super) struct Moves {
    /// Empty if each move is made at once.
    shards: Vec<Vec<Move>>,
    /// This process wrote the records: it has looked their keys up, and they may not be in the file yet.
    is_own: bool,
}

impl Moves {
    /// Of records that are read from the log.
    pub(super) fn of_replay(collect: bool) -> Moves {
        let shards = if collect { SHARDS } else { 0 };
        Moves {
            shards: (0..shards)
                .map(|_| Vec::with_capacity(MOVES_TOGETHER))
                .collect(),
            is_own: false,
        }
    }

    /// Of records that this process writes.
    pub(super) fn of_own() -> Moves {
        Moves {
            shards: Vec::new(),
            is_own: true,
        }
    }

    #[inline]
    pub(super) fn push(&mut self, generation: &Generation, step: Move) -> Result<()> {
        match self.shards.get_mut(shard_of(step.fingerprint)) {
            Some(some) => {
                some.push(step);
                if some.len() < MOVES_TOGETHER {
                    return Ok(());
                }
                let made = make(generation, some, self.is_own);
                some.clear();
                made
            }
            None => make(generation, &[step], self.is_own),
        }
    }

    /// Makes all that were collected.
    pub(super) fn make(&mut self, generation: &Generation) -> Result<()> {
        self.shards.iter_mut().try_for_each(|some| {
            let made = make(generation, some, self.is_own);
            some.clear();
            made
        })
    }
}

fn make(generation: &Generation, mut rest: &[Move], is_own: bool) -> Result<()> {
    loop {
        let made = generation.index.make(rest, is_own);
        rest = rest.get(made..).unwrap_or_default();
        let Some((step, others)) = rest.split_first() else {
            return Ok(());
        };
        make_by_key(generation, step)?;
        rest = others;
    }
}

/// Makes a move that `prev` alone does not decide, by comparing keys: the index has no slot at `prev`, or `prev` says
/// that the key is new and the index has its fingerprint.
fn make_by_key(generation: &Generation, step: &Move) -> Result<()> {
    let index = &generation.index;
    match (same_key(generation, step)?, step.puts) {
        (Some(old), true) => _ = index.replace(step.fingerprint, old, step.at),
        (Some(old), false) => _ = index.remove(step.fingerprint, old),
        (None, true) => index.insert(step.fingerprint, step.at),
        (None, false) => {}
    }
    Ok(())
}

/// Where the index has the key of a record. `None` as well where nothing tells: a record whose own key is damaged has no
/// key to compare, and a damaged record that the index leads to may be any key's.
fn same_key(generation: &Generation, step: &Move) -> Result<Option<u64>> {
    let candidates = generation.index.candidates(step.fingerprint);
    if candidates.iter().next().is_none() {
        return Ok(None);
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
        return Ok(None);
    }
    let found = generation.find_among(&candidates, step.fingerprint, &key)?;
    Ok(found
        .filter(|found| found.is_exact)
        .map(|found| found.at.offset()))
}
