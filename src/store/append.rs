//! Appending: records are encoded, written behind the tail in one write, and applied.
//!
//! Everything here takes a file whose lock the caller holds and whose tail it has proven, but for
//! [`mark_behind`], which notes something in a file that is about to be left. A failed append comes back as a value
//! that tells what it left behind the tail; the caller decides what becomes of that.

use super::batch::Op;
use super::format::{
    ALIGN, FILE_MAX, Head, Kind, LOG_START, MORE, NewRecord, RECORD_MAX, record_bytes,
};
use super::generation::{End, Generation};
use crate::error::{Error, Result};
use std::sync::atomic::Ordering::*;

/// Read and written at once by [`rewrite_unsynced`].
const REWRITTEN_BYTES_AT_ONCE: u64 = 256 << 10;
/// The buffers of a longer batch are given back once it is written.
const BUFFER_BYTES_KEPT: usize = 4 << 20;

/// The buffers of a writer, kept from one write to the next.
#[derive(Debug, Default)]
pub(crate) struct Pen {
    bytes: Vec<u8>,
    heads: Vec<(u64, Head)>,
}

/// An append that did not happen.
#[derive(Debug)]
pub(crate) struct Failed {
    pub(crate) error: Error,
    pub(crate) left: Left,
}

/// The traces of a failed append in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Left {
    /// Nothing that could be taken back: nothing was written, or whole records, which count.
    Nothing,
    /// Bytes may stand behind the tail, where a later record could join up with them.
    Bytes,
}

impl From<Error> for Failed {
    fn from(error: Error) -> Failed {
        let left = Left::Nothing;
        Failed { error, left }
    }
}

impl From<Failed> for Error {
    fn from(failed: Failed) -> Error {
        failed.error
    }
}

impl Pen {
    /// Appends operations as one batch, in one write: `places` has the fingerprint and prev of each. Returns the tail.
    pub(crate) fn append(
        &mut self,
        generation: &Generation,
        ops: &[Op<'_>],
        places: &[(u32, u64)],
        now_ms: u64,
    ) -> std::result::Result<u64, Failed> {
        let len_bytes = (ops.iter())
            .map(|op| record_bytes(op.key.len(), op.value.len() as u64))
            .sum::<u64>();
        if len_bytes > RECORD_MAX {
            let what = format!("a batch of {len_bytes} bytes is over the limit of {RECORD_MAX}");
            return Err(Error::too_large(what, "split it").into());
        }
        rewrite_unsynced(generation)?;
        let (tail, epoch) = {
            let position = generation.position();
            (position.tail, position.epoch)
        };
        let end = tail + len_bytes;
        if end > FILE_MAX {
            let what = "the file is at its limit of 8 TiB";
            return Err(Error::too_large(what, "compact it, or begin another store")
                .at(&generation.log.path)
                .into());
        }
        let durable = generation.commit.durable().min(tail);
        let Pen { bytes, heads } = self;
        bytes.clear();
        heads.clear();
        for (nth, (op, &(fingerprint, prev))) in ops.iter().zip(places).enumerate() {
            let more = if nth + 1 < ops.len() { MORE } else { 0 };
            let record = NewRecord {
                kind: op.kind,
                flags: op.flags | more,
                fingerprint,
                epoch,
                prev,
                durable,
                modified_ms: now_ms,
                expires_ms: op.expires_ms,
                key: op.key,
                value: op.value,
            };
            let offset = tail + bytes.len() as u64;
            heads.push((offset, record.encode(generation.header.seed, offset, bytes)));
        }
        generation
            .log
            .write_all(bytes, tail)
            .map_err(|error| Failed {
                error,
                left: Left::Bytes,
            })?;
        // Before it is applied, so that a reader who does not look at the file knows that there is something to wait for.
        generation.written.store(end, Release);
        generation.apply(heads)?;
        if bytes.capacity() > BUFFER_BYTES_KEPT {
            *self = Pen::default();
        }
        Ok(end)
    }
}

/// Appends a record without key and value.
pub(crate) fn append_marker(
    generation: &Generation,
    kind: Kind,
    now_ms: u64,
) -> std::result::Result<u64, Failed> {
    let op = Op::bare(kind, &[]);
    Pen::default().append(generation, &[op], &[(0, 0)], now_ms)
}

/// Notes that a new file is about to take this one's place. If a full disk cuts the note short, it is taken back: the
/// next writer would take its beginning for the work of a crash. The cut needs no mark: of so little no record can come
/// but the note, which is harmless where it is the last one.
pub(crate) fn retire(generation: &Generation, now_ms: u64) -> Result<()> {
    match append_marker(generation, Kind::Retired, now_ms) {
        Ok(_) => Ok(()),
        Err(Failed { error, left }) => {
            if left == Left::Bytes {
                let tail = generation.position().tail;
                let _ = generation.log.set_len(tail);
            }
            Err(error)
        }
    }
}

/// Writes once more, where it stands, what others wrote and nobody called durable, so that this process's own sync covers
/// it. Once for each file, before this process appends to it or acknowledges anything in it.
///
/// The sync of another process may have failed, and so may its note of that in the log. The cache then shows what the
/// kernel could not write and does not try to write again: a later sync would succeed, and leave a hole below what it
/// acknowledged. A process that had the file open then is told by the kernel with its own next sync; one that opens it
/// later is not (Linux since 4.13, `fsync(2)`). A page that is on disk after all is there before, after and in the
/// middle of being written again, and readers and writers that have it open are shown the same.
#[inline]
pub(crate) fn rewrite_unsynced(generation: &Generation) -> Result<()> {
    match generation.rewritten.load(Acquire) {
        true => Ok(()),
        false => rewrite(generation),
    }
}

#[cold]
fn rewrite(generation: &Generation) -> Result<()> {
    // It is the header's `base` at first, which nothing keeps from lying before the log.
    let mut from = generation.commit.durable().max(LOG_START);
    let tail = generation.tail();
    let mut chunk = Vec::new();
    while from < tail {
        chunk.resize((tail - from).min(REWRITTEN_BYTES_AT_ONCE) as usize, 0);
        let read = generation.log.read_up_to(&mut chunk, from)?;
        if read < chunk.len() {
            return Err(Error::replaced(&generation.log.path, "was cut"));
        }
        generation.log.write_all(&chunk, from)?;
        from += read as u64;
    }
    generation.rewritten.store(true, Release);
    generation.written.store(tail, Release);
    Ok(())
}

/// Cuts the log at its tail and appends the record that raises the epoch: nothing that stood behind the tail can join
/// up with what is written there later. Until the caller has synced this, a power cut may bring back what was cut off.
pub(crate) fn cut_at_tail(generation: &Generation, now_ms: u64) -> Result<()> {
    rewrite_unsynced(generation)?;
    let log = &generation.log;
    let tail = generation.tail();
    let epoch = generation.position().epoch;
    // Before anything is cut: without the record that raises the epoch, the bytes could come back with a power cut, and
    // count.
    let Some(epoch) = epoch.checked_add(1) else {
        let what = "the file was cut 65,535 times";
        return Err(Error::too_large(what, "`shelflife compact` starts anew").at(&log.path));
    };
    log.set_len(tail)?;
    let record = NewRecord {
        durable: generation.commit.durable().min(tail),
        ..NewRecord::marker(Kind::Cut, epoch, now_ms)
    };
    let mut bytes = Vec::new();
    let head = record.encode(generation.header.seed, tail, &mut bytes);
    log.write_all(&bytes, tail)?;
    generation.apply(&[(tail, head)])?;
    generation.written.store(generation.tail(), Release);
    Ok(())
}

/// Notes in a file that nobody is to write to it again.
pub(crate) fn mark_as_left(generation: &Generation, now_ms: u64) -> Result<()> {
    let fell_back = generation.reached > generation.tail();
    if fell_back || generation.end() != End::Clean {
        return mark_behind(generation, now_ms);
    }
    append_marker(generation, Kind::Condemned, now_ms)?;
    Ok(())
}

/// As [`mark_as_left`], behind all bytes that are there, so that others find a record behind the torn place and do not
/// cut there, and behind all that ever were there, so that a process that had read them finds the note at its tail or
/// beyond.
pub(crate) fn mark_behind(generation: &Generation, now_ms: u64) -> Result<()> {
    let reached = generation.tail().max(generation.reached);
    let mut offset = generation.log.size()?.max(LOG_START);
    let end = offset.max(reached).next_multiple_of(ALIGN);
    let filler = [0xff; 4096];
    while offset < end {
        let some = (end - offset).min(filler.len() as u64);
        let some = filler.get(..some as usize).unwrap_or_default();
        generation.log.write_all(some, offset)?;
        offset += some.len() as u64;
    }
    let record = NewRecord::marker(Kind::Condemned, generation.position().epoch, now_ms);
    let mut bytes = Vec::new();
    record.encode(generation.header.seed, end, &mut bytes);
    generation.log.write_all(&bytes, end)?;
    generation.position().condemned = true;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::LOG_START;
    use crate::store::log::{Scanner, Step};
    use crate::store::{Batch, Store, poison::lock_of};

    #[test]
    fn a_handle_that_wrote_a_long_batch_once_keeps_no_memory_for_the_next() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path().join("s.shelf")).unwrap();
        let (short, mut long) = (Batch::new().insert("key", "").clone(), Batch::new());
        for nth in 0..100_000_u32 {
            long.insert(nth.to_le_bytes(), "");
        }
        let kept_after = |batch: &Batch| {
            store.write(batch).unwrap();
            let pen = lock_of(&store.inner.admission.desk.pen);
            (pen.bytes.capacity(), pen.heads.capacity())
        };
        let (bytes, heads) = kept_after(&short);
        assert!(bytes > 0 && heads > 0, "they are kept from write to write");
        assert_eq!(kept_after(&long), (0, 0));
    }

    /// A reader of its handle finds the record in the file before the writer comes to apply it.
    #[test]
    fn a_record_that_a_reader_applied_first_is_not_applied_once_more() {
        let dir = tempfile::tempdir().unwrap();
        let open = || Store::open(dir.path().join("s.shelf")).unwrap();
        let (ours, other) = (open(), open());
        for value in ["one", "two"] {
            other.insert("key", value).unwrap();
        }
        assert!(ours.contains_key("key").unwrap());
        let generation = ours.place().generation();
        let known = || {
            let position = format!("{:?}", *generation.position());
            (position, generation.index.locations())
        };
        let before = known();
        let mut scanner = Scanner::new(&generation.log, generation.header.seed, LOG_START);
        let mut records = 0;
        while let Step::Record { offset, head, .. } = scanner.step().unwrap() {
            generation.apply(&[(offset, head)]).unwrap();
            assert_eq!(known(), before);
            records += 1;
        }
        assert_eq!(records, 2);
    }
}
