//! Telling the log that it is on disk.
//!
//! A seal is an empty record whose `durable` covers all before it. It is appended after a sync and is not synced
//! itself: losing it costs certainty, not data. Damage before a seal is never taken for the work of a crash.

use super::admission::{Admission, Purpose};
use super::append::rewrite_unsynced;
use super::batch::Op;
use super::format::Kind;
use crate::error::Result;
use std::sync::Arc;
use std::sync::atomic::Ordering::*;

/// Returns once everything written so far, by any process, survives a power cut.
pub(crate) fn sync(admission: &Admission) -> Result<()> {
    let (generation, end) = {
        let writing = admission.begin(Purpose::Sync)?;
        rewrite_unsynced(&writing.generation)?;
        (Arc::clone(&writing.generation), writing.generation.tail())
    };
    admission.make_durable(&generation, end)?;
    _ = seal(admission);
    Ok(())
}

/// Seals the log, if this handle wrote and nobody sealed it since.
///
/// All of it is on disk by then. So a caller whose promise is just that passes over an error: a full disk, or a lock that
/// somebody holds, costs only the seal, and the next call tries again.
fn seal(admission: &Admission) -> Result<()> {
    let wrote = &admission.desk.wrote;
    if !wrote.load(Acquire) {
        return Ok(());
    }
    let mut writing = admission.begin(Purpose::Sync)?;
    let generation = &writing.generation;
    let (tail, is_sealed) = {
        let position = generation.position();
        (position.tail, position.is_sealed())
    };
    if generation.commit.durable() < tail {
        // Another thread or process wrote meanwhile.
        return Ok(());
    }
    if !is_sealed {
        writing.append_one(Op::bare(Kind::Seal, &[]), 0, 0)?;
    }
    // With the lock held, so that no write of another thread is forgotten.
    wrote.store(false, Release);
    Ok(())
}

/// Closes: once, for the first thread that asks.
pub(crate) fn finish(admission: &Admission) -> Result<()> {
    let Admission { place, desk, .. } = admission;
    // The parent of a forked child finishes what it wrote.
    if !desk.wrote.load(Acquire) || !place.is_ours() {
        return Ok(());
    }
    let generation = place.generation();
    let finished = admission.make_durable(&generation, generation.written.load(Acquire));
    if finished.is_ok() && !desk.left_bytes() {
        _ = seal(admission);
    }
    desk.wrote.store(false, Release);
    finished
}
