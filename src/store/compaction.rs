//! Rewriting the file without the bytes that no key needs any more, while everybody goes on reading and writing.

use super::Inner;
use super::batch::unix_ms;
use super::format::{Head, Kind, LOG_START, NewRecord};
use super::generation::{Generation, past::GRACE_MS};
use super::lock::Deadline;
use super::log::{Scanner, Step};
use super::switch::{Successor, next_header, remove_leftovers};
use crate::error::{Error, ErrorKind, Result};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::*};

/// Below this a file is not worth rewriting.
const FILE_BYTES_MIN: u64 = 1 << 20;
/// With less than this left to copy the lock is asked for.
const LAST_BYTES: u64 = 64 << 10;
/// Less than this is copied under the lock, once it is there.
const LOCKED_BYTES_MAX: u64 = 256 << 10;
/// Writers who outrun the copy so many times wait for the rest of it.
const PASSES_MAX: u32 = 16;

/// What a compaction did, in bytes of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Compacted {
    /// Before.
    pub before_bytes: u64,
    /// After. Equal if another process was compacting already, in which case nothing was done here.
    pub after_bytes: u64,
}

/// Which part of the log is copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pass {
    /// What was there at the start: each key at most once.
    First,
    /// All there is, so that others can write again: what is damaged is copied as such.
    Repair,
    /// What was appended since: each record may replace or remove what was copied before.
    Later,
}

impl Inner {
    /// Whether the file should be rewritten, and nobody failed at it a short while ago.
    pub(crate) fn is_compaction_due(&self, generation: &Generation) -> bool {
        let tail = generation.tail();
        if tail <= FILE_BYTES_MIN || tail < generation.compaction_backoff.load(Relaxed) {
            return false;
        }
        let log_bytes = tail - LOG_START;
        let dead_bytes = generation.dead_bytes();
        // What a copy frees lies between the larger of dead and past and their sum: a third at least, and what is left
        // of a file that is not copied is a third of it or more.
        dead_bytes > log_bytes / 2
            || dead_bytes + generation.past_bytes(unix_ms(self.now())) > log_bytes / 3 * 2
    }

    /// What a write does that made a compaction due.
    pub(crate) fn compact_if_due(&self, stop: &AtomicBool) -> Result<()> {
        let deadline = Deadline::new(&*self.options.disk, self.options.lock_timeout);
        let _compacting = self.compacting.enter(&deadline, &self.path)?;
        let generation = self.generation();
        // Another thread may have been faster.
        if !self.is_compaction_due(&generation) {
            return Ok(());
        }
        let result = self.compact_alone(stop);
        if !matches!(result, Ok(Some(_))) {
            // Damage or a full disk will not be gone after the next write: wait until the file has grown by a quarter.
            let tail = generation.tail();
            let backoff = tail + tail / 4 + FILE_BYTES_MIN;
            generation.compaction_backoff.store(backoff, Relaxed);
        }
        result.map(|_| ())
    }

    /// Rewrites the file. `None` if another process is at it, or replaced the file meanwhile.
    pub(crate) fn compact(&self) -> Result<Option<Compacted>> {
        // Before it waits for a compaction that waits for this very thread.
        self.gate.refuse_reentry(&self.path)?;
        let deadline = Deadline::new(&*self.options.disk, self.options.lock_timeout);
        let _compacting = self.compacting.enter(&deadline, &self.path)?;
        self.compact_alone(&AtomicBool::new(false))
    }

    /// One at a time in this process. `None` also if `stop` was set.
    fn compact_alone(&self, stop: &AtomicBool) -> Result<Option<Compacted>> {
        let (old, mut successor) = {
            let writing = self.begin()?;
            let old = Arc::clone(&writing.generation);
            if self.follow(&old)? || !remove_leftovers(self)? {
                return Ok(None);
            }
            let identity = old.log.stat()?;
            let successor = Successor::create(self, next_header(self, &old.header)?, &identity)?;
            (old, successor)
        };
        let (mut copied, mut passes) = (LOG_START, 0);
        let _writing = loop {
            let tail = old.tail();
            let which = if passes == 0 {
                Pass::First
            } else {
                Pass::Later
            };
            copy(self, &old, &mut successor, copied..tail, which, stop)?;
            (copied, passes) = (tail, passes + 1);
            if stop.load(Relaxed) {
                return Ok(None);
            }
            // Whatever is appended while this lasts is for the next pass, and not for the time under the lock.
            successor.sync_ahead()?;
            if !self.options.exclusive {
                old.look()?;
            }
            if passes < PASSES_MAX && old.tail() - copied >= LAST_BYTES {
                continue;
            }
            let writing = self.begin()?;
            // Nothing is renamed over that somebody else put there.
            if !Arc::ptr_eq(&writing.generation, &old) || self.follow(&old)? {
                return Ok(None);
            }
            // The lock may have been long in coming.
            if passes >= PASSES_MAX || old.tail() - copied < LOCKED_BYTES_MAX {
                break writing;
            }
        };
        let before_bytes = old.tail();
        copy(
            self,
            &old,
            &mut successor,
            copied..before_bytes,
            Pass::Later,
            &AtomicBool::new(false),
        )?;
        let next = successor.install(Some(&old))?;
        self.hand_over_lock(&old, &next);
        Ok(Some(Compacted {
            before_bytes,
            after_bytes: next.tail(),
        }))
    }
}

/// Copies the records in a part of the log that still count. Each is verified before it is sealed anew: damage must
/// not get a fresh checksum.
pub(crate) fn copy(
    store: &Inner,
    old: &Generation,
    successor: &mut Successor<'_>,
    part: Range<u64>,
    pass: Pass,
    stop: &AtomicBool,
) -> Result<()> {
    let expired_before = unix_ms(store.now()).saturating_sub(GRACE_MS);
    let mut scanner = Scanner::new(&old.log, old.header.seed, part.start);
    while scanner.offset() < part.end {
        if stop.load(Relaxed) {
            return Ok(());
        }
        let mut is_sound = true;
        let (offset, head, body) = match scanner.step()? {
            Step::Record { offset, head, body } => (offset, head, body),
            Step::BadBody { offset, head, .. } if !counts(old, offset, &head, pass) => continue,
            Step::BadBody { offset, head, body } if pass == Pass::Repair => {
                is_sound = false;
                (offset, head, body)
            }
            Step::BadBody { offset, .. } | Step::Unverified { offset } => {
                return Err(old
                    .log
                    .corrupt(offset, "a record that would be copied does not verify"));
            }
            Step::End => return Err(old.log.corrupt(part.end, "the file ends before its tail")),
        };
        if !counts(old, offset, &head, pass) {
            continue;
        }
        let (key, rest) = body
            .split_at_checked(usize::from(head.key_len))
            .unwrap_or_default();
        let value = rest.get(..head.value_len as usize).unwrap_or_default();
        let prev = if pass != Pass::Later || head.kind == Kind::Clear {
            0
        } else {
            successor.prev_of(key)?
        };
        let expired = head.expires_ms != 0 && head.expires_ms < expired_before;
        match head.kind {
            Kind::Put if expired && prev == 0 => continue,
            Kind::Delete if prev == 0 => continue,
            _ => {}
        }
        let record = NewRecord {
            kind: head.kind,
            flags: head.flags & !super::format::MORE,
            fingerprint: head.fingerprint,
            epoch: 0,
            prev: 0,
            durable: 0,
            modified_ms: head.modified_ms,
            expires_ms: head.expires_ms,
            key,
            value,
        };
        match is_sound {
            true => successor.append(record, prev)?,
            false => successor.append_damaged(record)?,
        }
    }
    Ok(())
}

/// Whether the new file needs a record.
fn counts(old: &Generation, offset: u64, head: &Head, pass: Pass) -> bool {
    match head.kind {
        Kind::Put => old.index.holds(head.fingerprint, offset),
        Kind::Delete | Kind::Clear => pass == Pass::Later,
        _ => false,
    }
}

/// What `compact()` says when another process has the file in work.
pub(crate) fn somebody_else_compacts(store: &Inner) -> Error {
    Error::new(
        ErrorKind::Busy,
        format!("another process is compacting `{}`", store.path.display()),
    )
    .at(&store.path)
    .advise("nothing needs to be done")
}
