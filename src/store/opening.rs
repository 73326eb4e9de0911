//! Opening a store, and reading it anew as opening does.

use super::admission::{Admission, Purpose};
use super::disk::DiskFile;
use super::format::LOG_START;
use super::generation::{Crossing, Generation};
use super::lock::{Deadline, OsLock};
use super::log::LogFile;
use super::mend;
use super::mode::{Mode, Start};
use super::place::{Opened, Place, open_at};
use crate::error::Result;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

pub(crate) fn open(mode: Mode, start: Start, path: &Path) -> Result<Admission> {
    let Opened { log, real, is_new } = open_at(&mode, start, path)?;
    let file = Arc::clone(&log.file);
    open_found(mode.clone(), start, path, log, real.clone()).inspect_err(|_| {
        if is_new {
            remove_empty(&mode, &file, &real);
        }
    })
}

fn open_found(
    mode: Mode,
    start: Start,
    path: &Path,
    log: LogFile,
    real: PathBuf,
) -> Result<Admission> {
    let (generation, is_damaged) = match Generation::open(log.clone(), mode.crossing()) {
        Ok(Some(generation)) => (generation, false),
        Ok(None) => (Generation::unborn(log)?, false),
        // Damage that the caller wants to be rid of: if need be, of a file of which nothing is known.
        Err(error) if start.truncate && error.is_corrupt() => {
            match Generation::open(log.clone(), Crossing::Everything) {
                Ok(Some(generation)) => (generation, true),
                _ => (Generation::unborn(log)?, true),
            }
        }
        Err(error) => return Err(error),
    };
    let admission = Admission::new(Place::new(mode, path, real, generation));
    let place = &admission.place;
    if place.mode.is_exclusive() && !is_damaged {
        place.prove(&place.generation())?;
    }
    if start.truncate {
        if !is_damaged || !replace_damaged(&admission)? {
            replace_by_empty(&admission)?;
        }
        let empty = place.generation();
        admission.acknowledge(&empty, empty.tail())?;
    } else if place.mode.writes() && place.generation().is_unborn() {
        // Creates it.
        drop(admission.begin(Purpose::Write)?);
    }
    note_findings(&admission)?;
    Ok(admission)
}

/// Takes away the empty file that a failed opening made, unless another process is about to make a store of it.
fn remove_empty(mode: &Mode, file: &Arc<dyn DiskFile>, real: &Path) {
    let at_once = Deadline::new(&*mode.disk, Duration::ZERO);
    // The lock of an exclusive handle is this very file's already.
    let _lock = match mode.is_exclusive() {
        true => OsLock::held_elsewhere(),
        false => match OsLock::take(file, &at_once, real) {
            Ok(lock) => lock,
            Err(_) => return,
        },
    };
    let is_ours = match (mode.disk.stat(real), file.stat()) {
        (Ok(there), Ok(ours)) => there.same_file(&ours) && there.size_bytes == 0,
        _ => false,
    };
    if is_ours {
        let _ = mode.disk.remove(real);
    }
}

/// Puts an empty file in place of a sound one that holds something.
fn replace_by_empty(admission: &Admission) -> Result<()> {
    let writing = admission.begin(Purpose::Write)?;
    match writing.generation.tail() > LOG_START {
        true => mend::start_anew(&admission.place, &writing.generation),
        false => Ok(()),
    }
}

/// Puts an empty file in place of one that can't be read as it should. False if somebody has replaced it already.
fn replace_damaged(admission: &Admission) -> Result<bool> {
    let Admission { place, gate, .. } = admission;
    let old = place.generation();
    let deadline = admission.deadline();
    let _turn = gate.enter(&deadline, &place.path)?;
    let _os_lock = place.lock(&old, &deadline)?;
    if place.follow(&old)? {
        return Ok(false);
    }
    mend::start_anew(place, &old)?;
    Ok(true)
}

/// Reads what stands at the path, and makes the file writable where only a writer can.
pub(crate) fn reopen(admission: &Admission) -> Result<()> {
    let Admission { place, gate, .. } = admission;
    {
        let deadline = admission.deadline();
        let _turn = gate.enter(&deadline, &place.path)?;
        place.reopen(&deadline)?;
    }
    let generation = place.generation();
    if place.mode.writes() && (generation.is_condemned() || generation.is_unborn()) {
        drop(admission.begin(Purpose::Write)?);
    }
    note_findings(admission)
}

/// Notes what reading the file showed, before a repair changes it.
fn note_findings(admission: &Admission) -> Result<()> {
    if admission.place.mode.writes() {
        admission.note_torn_tail()?;
    }
    admission.place.note_findings();
    Ok(())
}
