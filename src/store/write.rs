//! Writes of one key, of several keys, or of what a closure decides.

use super::admission::{Admission, Purpose};
use super::batch::{Batch, NewValue, Op, expiry_at};
use super::change::{Edit, Old};
use super::entry::Entry;
use super::format::{Head, KEY_MAX, Kind};
use super::generation::Found;
use super::order::order_of;
use super::read::{self, Lookup};
use super::writing::Writing;
use crate::error::Result;
use std::ops::Range;

/// Entries removed under one lock by [`remove_unchanged`].
const REMOVED_AT_ONCE: usize = 1_000;

/// Sets the value of a key. True if readers did not see the key before.
pub(crate) fn insert(admission: &Admission, key: &[u8], put: NewValue<'_>) -> Result<bool> {
    let op = Op::put(key, put);
    op.check_limits()?;
    admission.write(|writing| {
        let fingerprint = writing.generation.fingerprint(key);
        let found = writing.find(key, fingerprint)?;
        let has_ended =
            |at: &Found| read::has_ended(writing.place, &writing.generation, at.expires_ms);
        let is_new = found.as_ref().is_none_or(has_ended);
        writing.append_one(op, fingerprint, found.map_or(0, |found| found.at.offset()))?;
        Ok(is_new)
    })
}

/// Removes a key. True if it was there, hidden as ended or not.
pub(crate) fn remove(admission: &Admission, key: &[u8]) -> Result<bool> {
    if key.len() > KEY_MAX {
        return Ok(false);
    }
    admission.write(|writing| {
        let fingerprint = writing.generation.fingerprint(key);
        let Some(found) = writing.find(key, fingerprint)? else {
            return Ok(false);
        };
        writing.append_one(Op::remove(key), fingerprint, found.at.offset())?;
        Ok(true)
    })
}

/// Removes every entry.
pub(crate) fn clear(admission: &Admission) -> Result<()> {
    admission.write(|writing| {
        if writing.generation.index.len() > 0 {
            writing.append_one(Op::bare(Kind::Clear, &[]), 0, 0)?;
        }
        Ok(())
    })
}

/// A key between the look at it and what becomes of it, with the right to write.
struct Editing<'a> {
    admission: &'a Admission,
    writing: Writing<'a>,
    key: &'a [u8],
    /// Where the record of the key stands, also of one that has ended; 0 for nowhere.
    prev: u64,
    record: Vec<u8>,
    /// The head of the record and where in it the value is, if readers see it.
    live: Option<(Head, Range<usize>)>,
}

impl<'a> Editing<'a> {
    fn start(admission: &'a Admission, key: &'a [u8]) -> Result<Editing<'a>> {
        let writing = admission.begin(Purpose::Write)?;
        let mut record = Vec::new();
        let generation = &writing.generation;
        // In the file that the change goes to, which is proven, and in no other that somebody puts in its place
        // meanwhile.
        let (prev, live) = match read::read_from(generation, key, &mut record)? {
            Lookup::Absent => (0, None),
            Lookup::Found {
                head,
                offset,
                value,
            } => {
                let is_live = !read::has_ended(writing.place, generation, head.expires_ms);
                (offset, is_live.then_some((head, value)))
            }
            // Nobody needs the value of what has ended, so its key does not suffer.
            Lookup::Damaged { offset, expires_ms }
                if read::has_ended(writing.place, generation, expires_ms) =>
            {
                (offset, None)
            }
            Lookup::Damaged { offset, .. } => return Err(generation.log.unverified(offset)),
        };
        Ok(Editing {
            admission,
            writing,
            key,
            prev,
            record,
            live,
        })
    }

    fn old(&self) -> Option<Old<'_>> {
        let (head, value) = self.live.as_ref()?;
        Some(Old {
            value: self.record.get(value.clone())?,
            expires: expiry_at(head.expires_ms),
            is_cbor: head.is_cbor(),
        })
    }

    fn finish(mut self, edit: Edit) -> Result<()> {
        // An absent key needs no removal.
        let is_needed = !matches!(edit, Edit::Remove) || self.prev != 0;
        if let Some(op) = edit.op(self.key).filter(|_| is_needed) {
            op.check_limits()?;
            let fingerprint = self.writing.generation.fingerprint(self.key);
            self.writing.append_one(op, fingerprint, self.prev)?;
        }
        self.admission.finish(self.writing)
    }
}

/// Reads a key and changes it in one step. The closure runs with the lock held.
pub(crate) fn edit<T>(
    admission: &Admission,
    key: &[u8],
    edit: impl FnOnce(Option<Old<'_>>) -> Result<(Edit, T)>,
) -> Result<T> {
    let editing = Editing::start(admission, key)?;
    let (edit, answer) = {
        let _closed = editing.writing.turn.closed_to_this_thread();
        edit(editing.old())?
    };
    editing.finish(edit)?;
    Ok(answer)
}

/// Makes a batch in one step with the reads that it rests on: what the closure reads of the store, no other thread or
/// process changes before the batch is written.
pub(crate) fn edit_batch<T>(
    admission: &Admission,
    edit: impl FnOnce() -> Result<(Batch, T)>,
) -> Result<T> {
    let writing = admission.begin(Purpose::Write)?;
    let (batch, answer) = {
        let _closed = writing.turn.closed_to_this_thread();
        edit()?
    };
    finish_batch(admission, writing, &batch)?;
    Ok(answer)
}

/// Makes batch after batch in one step with the reads that they rest on. Where one fails, those before it stay.
pub(crate) fn edit_batches(
    admission: &Admission,
    mut next: impl FnMut() -> Result<Option<Batch>>,
) -> Result<()> {
    let mut writing = admission.begin(Purpose::Write)?;
    loop {
        let batch = {
            let _closed = writing.turn.closed_to_this_thread();
            next()?
        };
        match batch {
            Some(batch) => write_batch(&mut writing, &batch)?,
            None => return admission.finish(writing),
        }
    }
}

/// Makes all changes of a batch, or none of them.
pub(crate) fn batch(admission: &Admission, batch: &Batch) -> Result<()> {
    finish_batch(admission, admission.begin(Purpose::Write)?, batch)
}

fn finish_batch(admission: &Admission, mut writing: Writing<'_>, batch: &Batch) -> Result<()> {
    write_batch(&mut writing, batch)?;
    admission.finish(writing)
}

fn write_batch(writing: &mut Writing<'_>, batch: &Batch) -> Result<()> {
    let ops: Vec<Op<'_>> = batch.ops().collect();
    for op in &ops {
        op.check_limits()?;
    }
    let fingerprints = ops.iter().map(|op| writing.generation.fingerprint(op.key));
    let fingerprints: Vec<u32> = fingerprints.collect();
    let counting = last_of_each_key(&ops, &fingerprints);
    let counting = || {
        let all = ops.iter().zip(&fingerprints);
        all.zip(&counting).filter(|(_, counts)| **counts)
    };
    let keys: Vec<_> = counting()
        .map(|((op, &fingerprint), _)| (fingerprint, op.key))
        .collect();
    let prevs = writing.generation.find_all(&keys)?;
    // An absent key needs no removal.
    let (counting, places): (Vec<_>, Vec<_>) = counting()
        .zip(prevs)
        .filter(|(((op, _), _), prev)| op.kind != Kind::Delete || *prev != 0)
        .map(|(((op, &fingerprint), _), prev)| (*op, (fingerprint, prev)))
        .unzip();
    match counting.is_empty() {
        true => Ok(()),
        false => writing.append_all(&counting, &places),
    }
}

/// Which operations count: of several for one key the last one does.
fn last_of_each_key(ops: &[Op<'_>], fingerprints: &[u32]) -> Vec<bool> {
    // Sorted by fingerprint, then by turn, those of one key stand together.
    let order = order_of(fingerprints.iter().copied().map(u64::from).collect());
    let mut last = vec![true; ops.len()];
    for (nth, &this) in order.iter().enumerate() {
        let later = order.get(nth + 1..).unwrap_or_default();
        let is_same = |that: &&usize| fingerprints[**that] == fingerprints[this];
        let mut later = later.iter().take_while(is_same);
        if later.any(|&that| ops[that].key == ops[this].key) {
            last[this] = false;
        }
    }
    last
}

/// Whether the caller gave the entry at this offset before. Usually entries come in the order of the log.
fn is_among(offset: u64, places: &[(u32, u64)]) -> bool {
    let is_behind_all = places.last().is_none_or(|(_, last)| *last < offset);
    !is_behind_all && places.iter().any(|(_, other)| *other == offset)
}

/// Removes those entries that are still as a snapshot saw them. Returns how many.
pub(crate) fn remove_unchanged(admission: &Admission, entries: &[Entry]) -> Result<usize> {
    let mut removed = 0;
    for some in entries.chunks(REMOVED_AT_ONCE) {
        removed += admission.write(|writing| {
            let mut ops = Vec::with_capacity(some.len());
            let mut places = Vec::with_capacity(some.len());
            for entry in some {
                if let Some(offset) = read::unchanged(&writing.generation, entry)?
                    && !is_among(offset, &places)
                {
                    ops.push(Op::remove(&entry.key));
                    places.push((entry.fingerprint, offset));
                }
            }
            if !ops.is_empty() {
                writing.append_all(&ops, &places)?;
            }
            Ok(ops.len())
        })?;
    }
    Ok(removed)
}
