//! The right to write, and what is done with it.
//!
//! [`Writing`] is the lock as a value: who has one has queued with the other threads, holds the operating system's
//! lock, has applied all that others wrote, has proven that the file is still the one it was, and stands at a clean
//! tail. Everything that appends takes one.

use super::Inner;
use super::batch::{Batch, Op, unix_ms};
use super::commit::Synced;
use super::format::{ALIGN, Head, Kind, LOG_START, MORE, NewRecord, RECORD_MAX};
use super::generation::{End, Found, Generation, Proof};
use super::lock::{Deadline, OsLock, Turn};
use super::options::Durability;
use crate::error::{Error, ErrorKind, Result};
use std::sync::Arc;
use std::sync::atomic::Ordering::*;

/// Locks between two looks at the path. A sync looks as well.
const IDENTITY_CHECK_EVERY: u64 = 64;
/// More rounds than any series of switches by others explains.
const ROUNDS_MAX: u32 = 100;

/// What the proof of the tail is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    ForAWrite,
    ForASync,
}

#[derive(Debug)]
pub(crate) struct Writing<'a> {
    store: &'a Inner,
    pub(crate) generation: Arc<Generation>,
    // The order of fields is the order in which they are given back: the file's lock first.
    _os_lock: OsLock,
    pub(crate) turn: Turn<'a>,
}

impl Inner {
    /// Waits for the right to write.
    pub(crate) fn begin(&self) -> Result<Writing<'_>> {
        self.begin_with(Wanted::ForAWrite)
    }

    /// As [`begin`](Inner::begin), for one who will call what stands there durable.
    pub(crate) fn begin_to_sync(&self) -> Result<Writing<'_>> {
        self.begin_with(Wanted::ForASync)
    }

    fn begin_with(&self, proof: Wanted) -> Result<Writing<'_>> {
        self.writable()?;
        let deadline = Deadline::new(&*self.options.disk, self.options.lock_timeout);
        let turn = self.gate.enter(&deadline, &self.path)?;
        if self.stopped.load(Acquire) {
            return Err(Error::new(
                ErrorKind::Stopped,
                format!(
                    "`{}`: an earlier write failed and could not be taken back",
                    self.path.display()
                ),
            )
            .at(&self.path)
            .advise("reopen() repairs the tail; reading goes on"));
        }
        let mut due = false;
        for _ in 0..ROUNDS_MAX {
            self.notice_fork()?;
            let generation = self.generation();
            let os_lock = self.lock_file(&generation, &deadline)?;
            // Once due it stays due: the file that is looked for may be another one in the next round.
            due |= self
                .locks_taken
                .fetch_add(1, Relaxed)
                .is_multiple_of(IDENTITY_CHECK_EVERY)
                || generation.displaced.load(Relaxed);
            // Also under an exclusive lock: who restores a backup over the file asks for none. But nobody else appends
            // there, so that between two looks at the path its length is proof enough for a write that no sync follows.
            let short_proof = self.options.exclusive
                && self.options.durability == Durability::Os
                && proof == Wanted::ForAWrite
                && !due
                && !generation.is_doubtful()
                && generation.ends_at_its_tail()?;
            if !short_proof && generation.prove()? == Proof::Different {
                self.replace_by_what_is_there(&generation)?;
                continue;
            }
            let doubtful = generation.is_doubtful();
            if (due || doubtful) && self.follow(&generation)? {
                continue;
            }
            if doubtful && generation.header.generation == 0 {
                self.create(&generation)?;
                continue;
            }
            if generation.is_condemned() {
                // Never without having looked at the path: it may have been condemned this very moment.
                if doubtful {
                    self.heal(&generation)?;
                }
                continue;
            }
            // Retired by a compactor that died before it could rename, it is doubtful with nothing to repair.
            if doubtful && let End::Torn { records_behind } = generation.end() {
                self.repair(&generation, records_behind)?;
                continue;
            }
            return Ok(Writing {
                store: self,
                generation,
                _os_lock: os_lock,
                turn,
            });
        }
        Err(Error::new(
            ErrorKind::Busy,
            format!(
                "`{}` is replaced faster than it can be followed",
                self.path.display()
            ),
        )
        .at(&self.path))
    }

    pub(crate) fn lock_file(
        &self,
        generation: &Generation,
        deadline: &Deadline<'_>,
    ) -> Result<OsLock> {
        if self.options.exclusive {
            return Ok(OsLock::held_elsewhere());
        }
        OsLock::take(&generation.log.file, deadline, &self.path)
    }

    /// Appends a record without key and value at the tail. The caller holds the lock.
    pub(crate) fn append_marker(&self, generation: &Generation, kind: Kind) -> Result<()> {
        self.append(
            generation,
            &[Op {
                kind,
                flags: 0,
                expires_ms: 0,
                key: &[],
                value: &[],
            }],
            &[(0, 0)],
        )?;
        Ok(())
    }

    /// Appends operations as one batch, in one write: `places` has the fingerprint and prev of each. Returns the tail.
    fn append(
        &self,
        generation: &Generation,
        ops: &[Op<'_>],
        places: &[(u32, u64)],
    ) -> Result<u64> {
        self.rewrite_unsynced(generation)?;
        let (tail, epoch) = {
            let position = generation.position();
            (position.tail, position.epoch)
        };
        let durable = generation.commit.durable().min(tail);
        let modified_ms = unix_ms(self.options.disk.wall_clock());
        let mut scratch = super::lock_of(&self.scratch);
        let Scratch { bytes, heads } = &mut *scratch;
        bytes.clear();
        heads.clear();
        for (nth, (op, &(fingerprint, prev))) in ops.iter().zip(places).enumerate() {
            let record = NewRecord {
                kind: op.kind,
                flags: if nth + 1 < ops.len() {
                    op.flags | MORE
                } else {
                    op.flags
                },
                fingerprint,
                epoch,
                prev,
                durable: if op.kind == Kind::Seal { tail } else { durable },
                modified_ms,
                expires_ms: op.expires_ms,
                key: op.key,
                value: op.value,
            };
            let offset = tail + bytes.len() as u64;
            heads.push((offset, record.encode(generation.header.seed, offset, bytes)));
        }
        if bytes.len() as u64 > RECORD_MAX {
            let what = format!(
                "a batch of {} bytes is over the limit of {RECORD_MAX}",
                bytes.len()
            );
            bytes.clear();
            bytes.shrink_to(1 << 20);
            return Err(Error::new(ErrorKind::TooLarge, what).advise("split it"));
        }
        if tail + bytes.len() as u64 > super::format::FILE_MAX {
            return Err(
                Error::new(ErrorKind::TooLarge, "the file is at its limit of 8 TiB").at(&self.path),
            );
        }
        if let Err(error) = generation.log.write_all(bytes, tail) {
            // Taking back may append in its turn.
            drop(scratch);
            self.take_back(generation, tail);
            return Err(error);
        }
        let end = tail + bytes.len() as u64;
        // Before it is applied, so that a reader who does not look at the file knows that there is something to wait for.
        generation.written.store(end, Release);
        generation.apply(heads)?;
        self.wrote.store(true, Release);
        if bytes.capacity() > 4 << 20 {
            bytes.shrink_to(1 << 20);
        }
        Ok(end)
    }

    /// Undoes what a failed append may have left behind the tail, so that no later record ever joins up with it. If
    /// that fails as well, this handle stops writing; the next writer finds a torn tail and repairs it.
    fn take_back(&self, generation: &Generation, tail: u64) {
        let nothing_there = generation.log.size().is_ok_and(|size| size <= tail);
        if nothing_there {
            return;
        }
        if self.cut(generation, tail).is_err() {
            self.stopped.store(true, Release);
        }
    }

    /// Cuts the log at its tail and marks the place, for good: until that is synced, what was cut off may stand there
    /// again after a power cut, made whole by what was written behind it. The caller holds the lock.
    pub(crate) fn cut(&self, generation: &Generation, tail: u64) -> Result<()> {
        self.rewrite_unsynced(generation)?;
        let log = &generation.log;
        log.set_len(tail)?;
        let (epoch, durable) = {
            let position = generation.position();
            (position.epoch, generation.commit.durable().min(tail))
        };
        let Some(epoch) = epoch.checked_add(1) else {
            return Err(Error::new(
                ErrorKind::TooLarge,
                format!("`{}` was cut 65,535 times", self.path.display()),
            )
            .at(&self.path)
            .advise("`shelflife compact` starts anew"));
        };
        let now_ms = unix_ms(self.options.disk.wall_clock());
        let record = NewRecord {
            durable,
            ..NewRecord::marker(Kind::Cut, epoch, now_ms)
        };
        let mut bytes = Vec::new();
        let head = record.encode(generation.header.seed, tail, &mut bytes);
        log.write_all(&bytes, tail)?;
        generation.apply(&[(tail, head)])?;
        generation.written.store(generation.tail(), Release);
        if let Err(failure) = self.sync_log(generation, generation.tail()) {
            if failure.is_news {
                self.append_marker(generation, Kind::Condemned)?;
            }
            return Err(failure.error);
        }
        Ok(())
    }

    /// Returns once the log is on disk up to `end`. If it can't be, this process will not write to the file again; the
    /// caller who brings the news tells the others.
    pub(crate) fn sync_log(
        &self,
        generation: &Generation,
        end: u64,
    ) -> std::result::Result<(), SyncFailure> {
        let written = || generation.written.load(Acquire);
        let sync = || {
            let covered = written();
            generation.log.sync()?;
            // One look at the path for all whom this lets go.
            if self.is_at_its_path(generation) {
                generation.seen_at_its_path.fetch_max(covered, AcqRel);
            }
            Ok(())
        };
        let clock = || self.options.disk.monotonic();
        match generation.commit.wait(end, written, clock, sync) {
            Ok(Synced::Durable) => Ok(()),
            Ok(Synced::Failed) => Err(SyncFailure {
                is_news: false,
                error: Error::new(
                    ErrorKind::Io,
                    format!("an earlier sync of `{}` failed", self.path.display()),
                )
                .at(&self.path)
                .advise(
                    "the outcome is unknown; the next write moves what can be read to a new file",
                ),
            }),
            Err(error) => {
                generation.condemn();
                Err(SyncFailure {
                    is_news: true,
                    error,
                })
            }
        }
    }

    /// Tells every process that a sync of this file failed. Best effort: this process knows already, and the data was
    /// not acknowledged.
    pub(crate) fn condemn(&self, failed: &Generation) {
        let deadline = Deadline::new(&*self.options.disk, self.options.lock_timeout);
        let Ok(_turn) = self.gate.enter(&deadline, &self.path) else {
            return;
        };
        let Ok(_os_lock) = self.lock_file(failed, &deadline) else {
            return;
        };
        // It fails, and nobody is told.
        let _ = match failed.prove() {
            Ok(Proof::Same) => self.mark_as_left(failed),
            Ok(Proof::Different) => self.mark_behind(failed),
            Err(error) => Err(error),
        };
    }

    /// Notes in a file that nobody is to write to it again. The caller holds the lock.
    pub(crate) fn mark_as_left(&self, generation: &Generation) -> Result<()> {
        let fell_back = generation.reached.load(Acquire) > generation.tail();
        if fell_back || generation.end() != End::Clean {
            return self.mark_behind(generation);
        }
        self.append_marker(generation, Kind::Condemned)
    }

    /// Notes in a file that nobody is to write to it again, behind whatever is there, so that others do not cut in
    /// place, and behind all that ever was there, so that those who had read it find it at their tail or beyond.
    pub(crate) fn mark_behind(&self, generation: &Generation) -> Result<()> {
        let reached = generation.tail().max(generation.reached.load(Acquire));
        let mut offset = generation.log.size()?.max(LOG_START);
        let end = offset.max(reached).next_multiple_of(ALIGN);
        let filler = [0xff; 4096];
        while offset < end {
            let some = (end - offset).min(filler.len() as u64);
            let some = filler.get(..some as usize).unwrap_or_default();
            generation.log.write_all(some, offset)?;
            offset += some.len() as u64;
        }
        let now_ms = unix_ms(self.options.disk.wall_clock());
        let record = NewRecord::marker(Kind::Condemned, generation.position().epoch, now_ms);
        let mut bytes = Vec::new();
        record.encode(generation.header.seed, end, &mut bytes);
        generation.log.write_all(&bytes, end)?;
        generation.position().condemned = true;
        Ok(())
    }
}

/// Why the log is not on disk.
#[derive(Debug)]
pub(crate) struct SyncFailure {
    /// Nobody knew before.
    pub(crate) is_news: bool,
    pub(crate) error: Error,
}

/// Buffers of the one who writes, kept from one write to the next.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    bytes: Vec<u8>,
    heads: Vec<(u64, Head)>,
}

impl Writing<'_> {
    /// Where a key's record stands. Reads header and key only.
    pub(crate) fn find(&self, key: &[u8], fingerprint: u32) -> Result<Option<Found>> {
        let candidates = self.generation.index.candidates(fingerprint);
        self.generation.find_among(&candidates, fingerprint, key)
    }

    /// Whether a record that was found is not expired.
    pub(crate) fn is_live(&self, found: &Found) -> bool {
        found
            .head
            .is_some_and(|head| !self.store.is_expired(head.expires_ms))
    }

    /// Makes one change, of which it is known where the key stands. Returns the tail.
    pub(crate) fn append_one(&mut self, op: Op<'_>, fingerprint: u32, prev: u64) -> Result<u64> {
        self.store
            .append(&self.generation, &[op], &[(fingerprint, prev)])
    }

    /// Makes all changes or none. Returns the tail.
    pub(crate) fn append_all(&mut self, ops: &[Op<'_>], places: &[(u32, u64)]) -> Result<u64> {
        self.store.append(&self.generation, ops, places)
    }
}

pub(crate) fn write_batch(writing: &mut Writing<'_>, batch: &Batch) -> Result<()> {
    let ops: Vec<Op<'_>> = batch.ops().collect();
    for op in &ops {
        op.check_limits()?;
    }
    let fingerprints = ops.iter().map(|op| writing.generation.fingerprint(op.key));
    let fingerprints: Vec<u32> = fingerprints.collect();
    // The last change of a key counts: sorted by fingerprint, then by turn, those of one key stand together.
    let mut order: Vec<(u32, usize)> = fingerprints.iter().copied().zip(0..).collect();
    order.sort_unstable();
    let mut last = vec![true; ops.len()];
    for (nth, &(fingerprint, this)) in order.iter().enumerate() {
        let later = order
            .get(nth + 1..)
            .unwrap_or_default()
            .iter()
            .take_while(|(other, _)| *other == fingerprint);
        if later
            .into_iter()
            .any(|&(_, that)| ops[that].key == ops[this].key)
        {
            last[this] = false;
        }
    }
    let counting = || {
        ops.iter()
            .zip(&fingerprints)
            .zip(&last)
            .filter(|(_, last)| **last)
            .map(|(of, _)| of)
    };
    let keys: Vec<_> = counting()
        .map(|(op, &fingerprint)| (fingerprint, op.key))
        .collect();
    let prevs = writing.generation.find_all(&keys)?;
    // What is not there needs no removal.
    let (counting, places): (Vec<_>, Vec<_>) = counting()
        .zip(prevs)
        .filter(|((op, _), prev)| op.kind != Kind::Delete || *prev != 0)
        .map(|((op, &fingerprint), prev)| (*op, (fingerprint, prev)))
        .unzip();
    if !counting.is_empty() {
        writing.append_all(&counting, &places)?;
    }
    Ok(())
}
