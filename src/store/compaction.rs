//! Rewriting the file without the bytes that no key needs any more, while everybody goes on reading and writing.
//!
//! Words: *dead* bytes belong to records that were replaced or removed, *past* bytes to records whose entry ended over
//! 24 hours ago, replaced since or not. A rewrite frees at least the larger of the two, and at most their sum. In a
//! file of over 1 MiB a compaction is *due* when dead bytes exceed half of the log, or both together two thirds of it.
//! So one that is due frees at least a third of the log, and while none is due the log is at most three times as long
//! as what is live or ended less than 24 hours ago.
//!
//! One thread of a handle compacts at a time (`running`), and one process: a process that finds a locked temporary file
//! beside the store leaves the compaction to the process that has the lock.
//!
//! The copy is made without the store's lock: first what the index holds, then, pass by pass, what was appended
//! meanwhile, until little is left. The rest is copied with the lock, so that nothing can be appended between the last
//! record copied and the rename. Writers that outrun the copy are held up: see [`Pace`].

use super::admission::{Admission, Purpose};
use super::batch::Batch;
use super::copy::{Copied, Rekey, append_loaded, copy_appended, copy_live, copy_rekeyed};
use super::durable::ensure_directory_synced;
use super::evidence::{self, EVIDENCE_SUFFIX};
use super::format::{FileHeader, LOG_START};
use super::generation::Generation;
use super::lock::{Deadline, Gate};
use super::place::Place;
use super::poison::lock_of;
use super::recovery::Overdue;
use super::switch::{Successor, next_header, next_header_of_more};
use super::temp;
use super::writing::Writing;
use crate::error::{Error, Result};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// The shortest file that is worth rewriting.
const FILE_BYTES_MIN: u64 = 1 << 20;
/// Bytes left to copy below which a copy asks for the lock.
const LAST_BYTES: u64 = 64 << 10;
/// The shortest part that is copied under the lock, if so much is left.
const LOCKED_BYTES_MIN: u64 = 256 << 10;
/// Copies in a row at most: a copy begins anew if a record that was appended while it ran is damaged.
const COPIES_MAX: u32 = 4;

/// The bytes that a compaction found and left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Compacted {
    /// Length of the old file up to the end of its last record.
    pub before_bytes: u64,
    /// Length of the new file when it took the store's name.
    pub after_bytes: u64,
}

#[derive(Debug)]
pub(crate) struct Compactor {
    /// Entered by the thread that compacts, before it asks for the right to write; no thread enters in the other order.
    running: Gate,
    /// The last attempt, where it rewrote nothing. Written by the thread that compacts; a thread that closes the handle
    /// forgets one that did not fail.
    trouble: Mutex<Option<Trouble>>,
}

#[derive(Debug)]
struct Trouble {
    /// The file of the attempt, as it was read: somebody may put an older state of it in its place.
    reading: u64,
    /// No attempt before the tail is here: damage or a full disk will not be gone after the next write.
    retry_at_tail: u64,
    /// The error of the last attempt at this reading that failed. `None` if none has: each was left to another process,
    /// or stopped because this handle was closing.
    overdue: Option<Overdue>,
}

/// How the bytes of a file divide, at one moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Space {
    pub(crate) keys: u64,
    pub(crate) file_bytes: u64,
    pub(crate) live_bytes: u64,
    pub(crate) past_bytes: u64,
}

impl Space {
    pub(crate) fn now(place: &Place, generation: &Generation) -> Space {
        Space::of(generation, || place.ended_by_ms(generation))
    }

    /// `ended_by_ms` is asked for only if something in the log ends.
    pub(crate) fn of(generation: &Generation, ended_by_ms: impl FnOnce() -> u64) -> Space {
        // With its mutex, so that nothing is applied meanwhile.
        let mut position = generation.position();
        let keys = generation.index.len();
        let past = &mut position.past;
        let past_bytes = match past.is_empty() {
            true => 0,
            false => past.bytes(ended_by_ms()),
        };
        Space {
            keys,
            file_bytes: position.tail,
            live_bytes: generation.index.live_bytes(),
            past_bytes,
        }
    }

    fn log_bytes(&self) -> u64 {
        self.file_bytes.saturating_sub(LOG_START)
    }

    pub(crate) fn dead_bytes(&self) -> u64 {
        self.log_bytes().saturating_sub(self.live_bytes)
    }

    fn is_due(&self) -> bool {
        self.file_bytes > FILE_BYTES_MIN && self.dead_bytes() > self.log_bytes() / 2
            || self.is_over_bound()
    }

    /// Whether the log may be longer than three times what is live or ended less than 24 hours ago.
    fn is_over_bound(&self) -> bool {
        self.overdue_bytes() > 0
    }

    /// By how much the log is longer than three times what a compaction is sure to leave.
    pub(crate) fn overdue_bytes(&self) -> u64 {
        if self.file_bytes <= FILE_BYTES_MIN {
            return 0;
        }
        let garbage_bytes_max = self.dead_bytes() + self.past_bytes;
        let kept_bytes_min = self.log_bytes().saturating_sub(garbage_bytes_max);
        self.log_bytes().saturating_sub(3 * kept_bytes_min)
    }
}

impl Compactor {
    pub(crate) fn new() -> Compactor {
        Compactor {
            running: Gate::new("is being compacted by another thread"),
            trouble: Mutex::default(),
        }
    }

    /// Whether a compaction is due, and no attempt failed lately. Cheap enough for every write.
    pub(crate) fn is_due(&self, place: &Place) -> bool {
        let generation = place.pinned();
        generation.tail() > FILE_BYTES_MIN
            && Space::now(place, &generation).is_due()
            && self.may_try(&generation)
    }

    /// Forgets that another process was compacting when this handle tried: it may have died since.
    pub(crate) fn forget_others(&self) {
        lock_of(&self.trouble).take_if(|trouble| trouble.overdue.is_none());
    }

    /// Whether the file is over its bound, and no attempt to compact it failed lately.
    pub(crate) fn is_over_bound(&self, place: &Place) -> bool {
        let generation = place.generation();
        Space::now(place, &generation).is_over_bound() && self.may_try(&generation)
    }

    fn may_try(&self, generation: &Generation) -> bool {
        let trouble = lock_of(&self.trouble);
        trouble.as_ref().is_none_or(|trouble| {
            trouble.reading != generation.reading || generation.tail() >= trouble.retry_at_tail
        })
    }

    /// Why the compaction that is due failed. One that is not due may fail as well, if the caller asked for it.
    pub(crate) fn overdue(&self, place: &Place) -> Option<Overdue> {
        let generation = place.generation();
        let is_due = Space::now(place, &generation).is_due();
        let trouble = lock_of(&self.trouble);
        trouble
            .as_ref()
            .filter(|trouble| is_due && trouble.reading == generation.reading)
            .and_then(|trouble| trouble.overdue.clone())
    }

    /// Rewrites the file, if that is still due once no other thread of this handle compacts.
    pub(crate) fn compact_if_due(
        &self,
        admission: &Admission,
        wait_max: Duration,
        stop: &AtomicBool,
    ) -> Result<()> {
        let place = &admission.place;
        let deadline = Deadline::new(&*place.mode.disk, wait_max);
        let _running = self.running.enter(&deadline, &place.path)?;
        let generation = place.generation();
        if !Space::now(place, &generation).is_due() || !self.may_try(&generation) {
            return Ok(());
        }
        let result = compact_alone(admission, &deadline, stop);
        self.note(place, &generation, &result);
        result.map(|_| ())
    }

    /// Rewrites the file, and removes the evidence that was there before.
    pub(crate) fn compact(&self, admission: &Admission) -> Result<Compacted> {
        let place = &admission.place;
        // A thread that has its turn must not wait for a compaction, which may wait for the turn.
        admission.gate.refuse_reentry(&place.path)?;
        let deadline = admission.deadline();
        let _running = self.running.enter(&deadline, &place.path)?;
        let generation = place.generation();
        let mut kept_before = evidence::files(place)?;
        // An attempt that failed may have kept this very file: it is the evidence of this attempt as well.
        let own = evidence::path_of_whole_file(place, &generation, EVIDENCE_SUFFIX);
        kept_before.retain(|path| path.as_os_str() != own.as_os_str());
        let result = compact_alone(admission, &deadline, &AtomicBool::new(false));
        self.note(place, &generation, &result);
        let compacted = result?.ok_or_else(|| left_to_others(place))?;
        // The caller is told that the old bytes are gone, so a power cut must not bring them back.
        ensure_directory_synced(place, &place.generation())?;
        if !kept_before.is_empty() {
            let _writing = admission.begin(Purpose::Write)?;
            evidence::remove(place, &kept_before)?;
        }
        Ok(compacted)
    }

    /// Stores what any number of batches insert, all together or not at all, by a switch to a file that has it.
    pub(crate) fn load(
        &self,
        admission: &Admission,
        next: &mut dyn FnMut() -> Result<Option<Batch>>,
    ) -> Result<()> {
        let place = &admission.place;
        admission.gate.refuse_reentry(&place.path)?;
        let deadline = admission.deadline();
        let _running = self.running.enter(&deadline, &place.path)?;
        match copy_and_install(admission, &deadline, &AtomicBool::new(false), Some(next))? {
            Rewrite::Installed(_) => ensure_directory_synced(place, &place.generation()),
            Rewrite::LeftToOthers => Err(left_to_others(place)),
            Rewrite::StartAnew => {
                let what = "was cleared or damaged while entries were loaded into it";
                Err(Error::busy(&place.path, what, "try again"))
            }
        }
    }

    /// Stores every entry under another key, all at once, by a switch to a file that has them: nobody writes meanwhile.
    /// The evidence files have the old keys, and are removed.
    pub(crate) fn rekey(&self, admission: &Admission, rekey: &mut dyn Rekey) -> Result<()> {
        let place = &admission.place;
        admission.gate.refuse_reentry(&place.path)?;
        let deadline = admission.deadline();
        let _running = self.running.enter(&deadline, &place.path)?;
        let with_old_keys = evidence::files(place)?;
        let begun = begin_copy(admission, &deadline, next_header_of_more)?;
        let (writing, mut successor) = begun.ok_or_else(|| left_to_others(place))?;
        let old = &writing.generation;
        let (ended_by_ms, now_ms) = (place.ended_by_ms(old), place.now_ms());
        copy_rekeyed(old, &mut successor, rekey, ended_by_ms, now_ms)?;
        // First: a failure here leaves the store as it was. The store has all that could be read of the evidence.
        evidence::remove(place, &with_old_keys)?;
        successor.install(&writing.generation)?;
        drop(writing);
        ensure_directory_synced(place, &place.generation())
    }

    fn note(&self, place: &Place, tried: &Generation, result: &Result<Option<Compacted>>) {
        let mut trouble = lock_of(&self.trouble);
        let reading = tried.reading;
        let earlier = trouble.take();
        let earlier = earlier.filter(|earlier| earlier.reading == reading);
        let earlier = earlier.and_then(|earlier| earlier.overdue);
        let overdue = match result {
            Ok(Some(_)) => return,
            Ok(None) => earlier,
            Err(error) => {
                // The trouble began with the first attempt at this file that failed.
                let since = earlier.map_or_else(|| place.now(), |earlier| earlier.since);
                let reason = error.to_string();
                Some(Overdue { since, reason })
            }
        };
        let tail = tried.tail();
        *trouble = Some(Trouble {
            reading,
            retry_at_tail: tail + tail / 4 + FILE_BYTES_MIN,
            overdue,
        });
    }
}

fn left_to_others(place: &Place) -> Error {
    let what = "is being compacted by another process";
    Error::busy(&place.path, what, "try again")
}

/// Rewrites the file. `None` if another process compacts or replaced the file meanwhile, or if `stop` was set.
fn compact_alone<'a>(
    admission: &'a Admission,
    deadline: &Deadline<'a>,
    stop: &AtomicBool,
) -> Result<Option<Compacted>> {
    for _ in 0..COPIES_MAX {
        match copy_and_install(admission, deadline, stop, None)? {
            Rewrite::Installed(compacted) => return Ok(Some(compacted)),
            Rewrite::LeftToOthers => return Ok(None),
            Rewrite::StartAnew => {}
        }
    }
    let generation = admission.place.generation();
    let what = "records are damaged faster than they can be copied";
    Err(generation.log.corrupt(generation.tail(), what))
}

/// The outcome of one copy.
enum Rewrite {
    /// The copy has the store's name.
    Installed(Compacted),
    /// Another process compacts or replaced the file meanwhile, or `stop` was set.
    LeftToOthers,
    /// The file was cleared while entries were loaded, or a record that was appended is damaged: copy once more.
    StartAnew,
}

/// How the passes of one copy catch up with the writers.
///
/// A free pass lets writers go on, and leaves their records to the next one. If that has more than half as much to
/// copy, they have outrun the copy (measured: one thread that does nothing but save, on two cores). From then on each
/// pass copies a part with the lock, and writers get in between. A part is twice as long as what they appended since
/// the last one, so what is left shrinks whatever they do, and a wait is as long as a part takes.
struct Pace {
    /// How much the last free pass had to copy.
    last_bytes: u64,
    is_outrun: bool,
    /// The tail when the last part was copied.
    seen: u64,
}

enum Pass {
    /// All that there is, without the lock.
    Free,
    /// A part, or all that is left, with the lock.
    Held,
}

impl Pace {
    fn new() -> Pace {
        Pace {
            last_bytes: u64::MAX,
            is_outrun: false,
            seen: u64::MAX,
        }
    }

    fn next(&mut self, copied: u64, tail: u64) -> Pass {
        let left_bytes = tail.saturating_sub(copied);
        self.is_outrun |= left_bytes > self.last_bytes / 2;
        self.last_bytes = left_bytes;
        match self.is_outrun || left_bytes < LAST_BYTES {
            true => Pass::Held,
            false => Pass::Free,
        }
    }

    /// Where a part that begins at `copied` is to end.
    fn part_end(&mut self, copied: u64, tail: u64) -> u64 {
        let appended = tail.saturating_sub(std::mem::replace(&mut self.seen, tail));
        let part_bytes = LOCKED_BYTES_MIN.max(appended.saturating_mul(2));
        tail.min(copied.saturating_add(part_bytes))
    }
}

/// The right to write, and a new file to copy to. `None` if another process compacts or replaced the file meanwhile.
fn begin_copy<'a>(
    admission: &'a Admission,
    deadline: &Deadline<'a>,
    header_after: fn(&Place, &FileHeader) -> Result<FileHeader>,
) -> Result<Option<(Writing<'a>, Successor<'a>)>> {
    let place = &admission.place;
    let writing = admission.begin_by(Purpose::Write, deadline)?;
    let old = &writing.generation;
    if place.follow(old)? || !temp::remove_leftovers(&*place.mode.disk, &place.real)? {
        return Ok(None);
    }
    place.refuse_to_be_mounted_over()?;
    let header = header_after(place, &old.header)?;
    let successor = Successor::create(place, header, &old.log.stat()?)?;
    Ok(Some((writing, successor)))
}

/// One copy, with what `load` gives added to it.
fn copy_and_install<'a>(
    admission: &'a Admission,
    deadline: &Deadline<'a>,
    stop: &AtomicBool,
    load: Option<&mut dyn FnMut() -> Result<Option<Batch>>>,
) -> Result<Rewrite> {
    let place = &admission.place;
    let header_after = match load {
        Some(_) => next_header_of_more,
        None => next_header,
    };
    let Some((writing, mut successor)) = begin_copy(admission, deadline, header_after)? else {
        return Ok(Rewrite::LeftToOthers);
    };
    let old = Arc::clone(&writing.generation);
    drop(writing);
    let ended_by_ms = place.ended_by_ms(&old);
    let (mut copied, new_damage) = match copy_live(&old, &mut successor, ended_by_ms, stop, false)?
    {
        Copied::To { end, new_damage } => (end, new_damage),
        Copied::Stopped => return Ok(Rewrite::LeftToOthers),
        Copied::StartAnew => return Ok(Rewrite::StartAnew),
    };
    let loaded = match load {
        Some(next) => append_loaded(&mut successor, next, place.now_ms())?,
        None => 0..0,
    };
    let mut pace = Pace::new();
    let _writing: Writing<'_> = loop {
        // Records that are appended while this lasts are for the next pass, and not for the time under the lock.
        successor.sync_ahead()?;
        if stop.load(Relaxed) {
            return Ok(Rewrite::LeftToOthers);
        }
        if !place.mode.is_exclusive() {
            old.look()?;
        }
        let (part_end, held) = match pace.next(copied, old.tail()) {
            Pass::Free => (old.tail(), None),
            Pass::Held => {
                let writing = admission.begin(Purpose::Write)?;
                // A file that somebody else put at the path is not to be renamed over.
                if !Arc::ptr_eq(&writing.generation, &old) || place.follow(&old)? {
                    return Ok(Rewrite::LeftToOthers);
                }
                let part_end = pace.part_end(copied, old.tail());
                if part_end == old.tail() {
                    break writing;
                }
                (part_end, Some(writing))
            }
        };
        let part = copied..part_end;
        match copy_appended(&old, &mut successor, part, &loaded, ended_by_ms)? {
            Some(end) => copied = end,
            None => return Ok(Rewrite::StartAnew),
        }
        if held.is_some() {
            // With the lock: else writers would append more during this sync than was copied.
            successor.sync_ahead()?;
        }
    };
    let before_bytes = old.tail();
    let rest = copied..before_bytes;
    if copy_appended(&old, &mut successor, rest, &loaded, ended_by_ms)?.is_none() {
        return Ok(Rewrite::StartAnew);
    }
    if new_damage {
        // If the file can't be kept, the compaction goes on: each read of one of these keys tells of the damage.
        evidence::keep_whole_file(place, &old, EVIDENCE_SUFFIX)?;
    }
    let next = successor.install(&old)?;
    Ok(Rewrite::Installed(Compacted {
        before_bytes,
        after_bytes: next.tail(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Writers that append as much as they like while a pass runs, and up to a bound between two parts.
    #[test]
    fn a_copy_catches_up_with_writers_whatever_they_append() {
        for (free, held) in [
            (0.0, 0),
            (0.4, 1 << 20),
            (0.6, 10),
            (1.0, 1 << 16),
            (1.5, 1 << 24),
            (100.0, RECORD_BYTES),
        ] {
            let (mut pace, mut copied, mut tail, mut rounds) = (Pace::new(), 0, 1 << 30, 0);
            let mut waited_bytes_max = 0;
            loop {
                rounds += 1;
                assert!(rounds < 20_000, "free {free}, held {held}: never");
                match pace.next(copied, tail) {
                    Pass::Free => {
                        let pass_bytes = tail - copied;
                        copied = tail;
                        tail += (pass_bytes as f64 * free) as u64;
                    }
                    Pass::Held => {
                        let end = pace.part_end(copied, tail);
                        waited_bytes_max = waited_bytes_max.max(end - copied);
                        if end == tail {
                            break;
                        }
                        copied = end;
                        tail += held;
                    }
                }
            }
            let bound = LOCKED_BYTES_MIN.max(2 * held);
            assert!(waited_bytes_max <= bound, "free {free}, held {held}");
        }
    }

    /// The longest batch.
    const RECORD_BYTES: u64 = crate::store::format::RECORD_MAX;
}
