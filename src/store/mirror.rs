//! A copy that keeps up: in a folder of its own, one file for each generation of the store, each a prefix of that
//! file, byte for byte.
//!
//! So a copy is a store that opens, whenever the copying stopped. Each record was synced in the store's own
//! file before it is appended to the copy: a copy never has what a power cut took from the store.

use super::backup::copy_bytes;
use super::disk::{Create, OpenFile};
use super::format::{ALIGN, FileHeader, LOG_START, MORE};
use super::generation::Generation;
use super::log::{LogFile, Scanner, Step, uninterrupted};
use super::place::Place;
use super::temp;
use crate::error::{Error, Result};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// So much before the end of a copy is compared with the store before it goes on.
const COMPARED_BYTES: u64 = 64 << 10;

/// The copy of one generation, and how far it is.
#[derive(Debug)]
pub(crate) struct Copy {
    at: Arc<Generation>,
    to: LogFile,
    copied: u64,
}

impl Copy {
    /// Goes on with the copy of the present file, or begins it.
    pub(crate) fn begin(place: &Place, dir: &Path) -> Result<Copy> {
        let at = Arc::clone(&*place.fresh()?);
        let named_after = dir.join(place.real.file_name().unwrap_or_default());
        // In a folder that can't be read none are found, and a copy can be made all the same.
        let _ = temp::remove_all_leftovers(&*place.mode.disk, &named_after);
        Copy::of(place, at, dir)
    }

    fn of(place: &Place, at: Arc<Generation>, dir: &Path) -> Result<Copy> {
        if at.is_unborn() {
            let advice = "begin once something was stored";
            return Err(Error::not_found(&place.path, "holds nothing yet", advice));
        }
        let path = dir.join(name(place, &at.header));
        let disk = &*place.mode.disk;
        match uninterrupted(|| disk.stat(&path)) {
            Ok(_) => go_on(place, at, &path),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => create(place, at, &path),
            Err(error) => Err(Error::io("look at", &path, error)),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.to.path
    }

    /// Copies what was written since, and returns how many bytes that was. After a switch the copy of the old file is
    /// finished, and the next one begun.
    pub(crate) fn update(&mut self, place: &Place) -> Result<u64> {
        let now = Arc::clone(&*place.fresh()?);
        if Arc::ptr_eq(&now, &self.at) {
            return self.append();
        }
        self.at.look()?;
        let finished = self.append()?;
        let dir = self.path().parent().unwrap_or(Path::new(".")).to_path_buf();
        *self = Copy::of(place, now, &dir)?;
        Ok(finished + self.copied.saturating_sub(LOG_START))
    }

    fn append(&mut self) -> Result<u64> {
        let end = end_to_copy(&self.at);
        let from = self.copied;
        if end <= from {
            return Ok(0);
        }
        self.at.log.sync()?;
        copy_bytes(&self.at.log, &self.to, from, end)?;
        self.to.sync()?;
        self.copied = end;
        Ok(end - from)
    }
}

/// `NAME.LINEAGE-GENERATION`, of which the names of one store sort by age.
fn name(place: &Place, header: &FileHeader) -> OsString {
    let mut name = place
        .real
        .file_name()
        .map(OsString::from)
        .unwrap_or_default();
    let lineage = u128::from_be_bytes(header.lineage) >> 64;
    name.push(format!(".{lineage:016x}-{:010}", header.generation));
    name
}

/// In a copy the note that another file takes its place would tell of none.
fn end_to_copy(at: &Generation) -> u64 {
    at.position().end_of_changes()
}

fn create(place: &Place, at: Arc<Generation>, path: &Path) -> Result<Copy> {
    let disk = &*place.mode.disk;
    let log = temp::create(place, path)?;
    let made = || -> Result<u64> {
        let like = &at.identity;
        let _ = log.file.set_owner(like.uid, like.gid, like.mode);
        let end = end_to_copy(&at);
        at.log.sync()?;
        // Not as it stands in the file, of which one copy may be damaged.
        log.write_all(&at.header.encode(), 0)?;
        copy_bytes(&at.log, &log, LOG_START, end)?;
        log.sync()?;
        uninterrupted(|| disk.rename(&log.path, path))
            .map_err(|error| Error::io("rename", &log.path, error))?;
        Ok(end)
    };
    let copied = made().inspect_err(|_| _ = disk.remove(&log.path))?;
    place.sync_directory_of(path)?;
    // Under its name it is a store like any other.
    let _ = uninterrupted(|| log.file.unlock());
    let to = LogFile {
        path: Arc::from(path),
        ..log
    };
    Ok(Copy { at, to, copied })
}

/// Goes on with a copy that an earlier process left, perhaps in the middle of a write.
fn go_on(place: &Place, at: Arc<Generation>, path: &Path) -> Result<Copy> {
    let to = open(place, path)?;
    let differs = || {
        let what = "is no copy of the store as it is now";
        let advice = "most likely a backup was put over the store: move the copy away";
        Error::exists(path, what, advice)
    };
    match Generation::read_header(&to)? {
        Some((header, _)) if header == at.header => {}
        _ => return Err(differs()),
    }
    let copied = end_of_whole_batches(&to, &at.header)?;
    if copied > end_to_copy(&at).max(at.header.base) {
        return Err(differs());
    }
    let from = copied.saturating_sub(COMPARED_BYTES).max(LOG_START);
    let len = usize::try_from(copied - from).unwrap_or_default();
    let (mut here, mut there) = (vec![0; len], vec![0; len]);
    to.read_up_to(&mut here, from)?;
    at.log.read_up_to(&mut there, from)?;
    if here != there {
        return Err(differs());
    }
    to.set_len(copied)?;
    let mut copy = Copy { at, to, copied };
    copy.append()?;
    Ok(copy)
}

fn end_of_whole_batches(log: &LogFile, header: &FileHeader) -> Result<u64> {
    let mut scanner = Scanner::new(log, header.seed, LOG_START);
    let mut end = LOG_START;
    loop {
        match scanner.step()? {
            Step::Record { head, .. } => {
                if head.flags & MORE == 0 {
                    end = scanner.offset();
                }
            }
            // A record that is damaged in the store as well: what stands behind it tells.
            Step::BadBody { offset, .. } | Step::Unverified { offset } => {
                scanner.seek(offset.saturating_add(ALIGN), false);
                if scanner.find_record(header.epoch)?.is_none() {
                    return Ok(end);
                }
            }
            Step::End => return Ok(end),
        }
    }
}

fn open(place: &Place, path: &Path) -> Result<LogFile> {
    let how = OpenFile {
        write: true,
        create: Create::Never,
        mode: 0,
    };
    let file = uninterrupted(|| place.mode.disk.open(path, how))
        .map_err(|error| Error::io("open", path, error))?;
    Ok(LogFile {
        file,
        path: Arc::from(path),
    })
}

/// The folder, without symbolic links.
pub(crate) fn folder(place: &Place, dir: &Path) -> Result<PathBuf> {
    let found = uninterrupted(|| place.mode.disk.resolve(dir));
    found.map_err(|error| Error::io("look up", dir, error))
}
