//! Making a file fit to be written to: it is created, its torn tail is cut, a file that must not be touched is left.
//!
//! The caller of each function holds the lock of the file. All but [`take_back`] and [`note_failed_sync`] are called
//! after a look at the path.

use super::append::{append_marker, cut_at_tail, mark_as_left, mark_behind};
use super::copy::{Copied, copy_live};
use super::durable::sync_log;
use super::evidence::{self, EVIDENCE_SUFFIX, Kept};
use super::format::{HEAD_BYTES, Kind};
use super::generation::{Generation, Proof};
use super::place::Place;
use super::recovery::{Reverted, TornTail};
use super::switch::{Successor, first_header, next_header};
use super::temp;
use crate::error::Result;
use std::sync::atomic::AtomicBool;

/// Puts an empty file in place of the old one, which holds nothing yet, or which its user wants to be rid of.
pub(crate) fn start_anew(place: &Place, old: &Generation) -> Result<()> {
    temp::remove_leftovers(&*place.mode.disk, &place.real)?;
    let header = match old.is_unborn() {
        true => first_header(place)?,
        false => next_header(place, &old.header)?,
    };
    Successor::create(place, header, &old.log.stat()?)?.install(old)?;
    Ok(())
}

/// Cuts the log at its tail, marks the place, and syncs that: until then a power cut may bring back what was cut off,
/// and later records may make it whole.
pub(crate) fn cut(place: &Place, generation: &Generation) -> Result<()> {
    cut_at_tail(generation, place.now_ms())?;
    sync_log(place, generation, generation.tail()).or_else(|failure| {
        if failure.is_news {
            append_marker(generation, Kind::Condemned, place.now_ms())?;
        }
        Err(failure.error)
    })
}

/// Undoes what a failed append may have left behind the tail, so that no later record ever joins up with it. Fewer bytes
/// than the head of a record never become one, so they need no mark; and a disk that was full after so few has no room
/// for one.
pub(crate) fn take_back(place: &Place, generation: &Generation, tail: u64) -> Result<()> {
    let size_bytes = generation.log.size().unwrap_or(u64::MAX);
    match size_bytes.saturating_sub(tail) {
        0 => Ok(()),
        left_bytes if left_bytes < HEAD_BYTES as u64 => generation.log.set_len(tail),
        _ => cut(place, generation),
    }
}

/// Cuts a torn tail in place, behind which no record verifies. Its bytes are kept as evidence first.
pub(crate) fn cut_torn_tail(place: &Place, generation: &Generation) -> Result<()> {
    let (tail, size_bytes) = (generation.tail(), generation.log.size()?);
    let kept = match size_bytes > tail {
        true => evidence::keep_cut_bytes(place, generation)?,
        false => Kept::Enough,
    };
    // First: the evidence is there, also if the cut fails, and the next try may find nothing to cut any more.
    place.note_torn_tail(torn(tail, size_bytes, kept));
    cut(place, generation)
}

/// Leaves a file whose torn tail must not be cut in place: records behind the torn place could count again if it were
/// overwritten in a way that joins up with them, and they are the only trace of what went wrong. The file gets another
/// name, and a note that it was left.
pub(crate) fn leave_torn_file(place: &Place, generation: &Generation) -> Result<()> {
    let (tail, size_bytes) = (generation.tail(), generation.log.size()?);
    let (kept, successor) = copy_to_successor(place, generation, true)?;
    // First, as above: after a rename that failed the file counts as condemned, not as torn.
    place.note_torn_tail(torn(tail, size_bytes, kept));
    successor.install(generation)?;
    Ok(())
}

/// Moves what can be read of a file whose sync failed to a new one.
///
/// The file is read anew first. The kernel may have dropped a record that it could not write, while the index of this
/// process still leads there. A copy by that index would carry the record as damaged, in place of the older one of its
/// key, which was acknowledged and still counts.
pub(crate) fn heal(place: &Place, generation: &Generation) -> Result<()> {
    // A process that does not know that the file was left would acknowledge what it appends there.
    if !generation.position().condemned {
        mark_as_left(generation, place.now_ms())?;
    }
    let Some(there) = Generation::open(generation.log.clone(), place.mode.crossing())? else {
        return Err(place.replaced("was emptied"));
    };
    let (from, to) = (generation.tail(), there.tail());
    if to < from {
        place.note_reverted(Reverted { from, to });
    }
    copy_to_successor(place, &there, false)?
        .1
        .install(generation)?;
    Ok(())
}

/// Tells every process that a sync of this file failed.
pub(crate) fn note_failed_sync(place: &Place, failed: &Generation) -> Result<()> {
    match failed.prove()? {
        Proof::Same => mark_as_left(failed, place.now_ms()),
        Proof::Different => mark_behind(failed, place.now_ms()),
    }
}

/// Copies the valid log to a new file that is not in place yet. The old file is kept if it is evidence, or if it holds
/// damaged records that no other file shows.
fn copy_to_successor<'a>(
    place: &'a Place,
    generation: &Generation,
    is_evidence: bool,
) -> Result<(Kept, Successor<'a>)> {
    temp::remove_leftovers(&*place.mode.disk, &place.real)?;
    let header = next_header(place, &generation.header)?;
    let mut successor = Successor::create(place, header, &generation.log.stat()?)?;
    let never = AtomicBool::new(false);
    let ended_by_ms = place.ended_by_ms(generation);
    let copied = copy_live(generation, &mut successor, ended_by_ms, &never, false)?;
    let new_damage = matches!(
        copied,
        Copied::To {
            new_damage: true,
            ..
        }
    );
    let kept = match is_evidence || new_damage {
        true => evidence::keep_whole_file(place, generation, EVIDENCE_SUFFIX)?,
        false => Kept::Enough,
    };
    Ok((kept, successor))
}

fn torn(offset: u64, size_bytes: u64, kept: Kept) -> TornTail {
    let (evidence, not_kept) = match kept {
        Kept::At(path) => (Some(path), None),
        Kept::Enough => (None, None),
        Kept::Not(error) => (None, Some(error.to_string())),
    };
    TornTail {
        offset,
        len_bytes: size_bytes.saturating_sub(offset),
        evidence,
        not_kept,
    }
}
