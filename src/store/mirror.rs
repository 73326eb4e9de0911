//! Copies that keep up: in a folder of their own, one file for each generation of the store. The log of a copy is the
//! beginning of that generation's log, byte for byte.
//!
//! So a copy is a store that opens, whenever the copying process stopped. A power cut may leave a hole in it that reads
//! as damage, until the copying goes on. Each record is synced in the store's own file before it is appended to the
//! copy, so that a copy does not have what a power cut took from the store. There is one exception: a process that only
//! reads can't note that its sync failed. A copy that another process begins before the next writer syncs may have
//! records that never reached the store's disk; once the store is seen without them, it gets another copy.
//!
//! The header of a copy differs from the store's in the lineage, which is drawn for each copy. With the store's own a
//! copy that was put back would be a successor to every process that slept since an earlier generation: such a process
//! would follow it as if others had compacted the store, and never say that what was written since is gone.

use super::backup::copy_bytes;
use super::durable::sync_log;
use super::format::{ALIGN, FileHeader, LOG_START};
use super::generation::Generation;
use super::lock::{Deadline, OsLock};
use super::log::{LogFile, Scanner, Step, uninterrupted};
use super::place::Place;
use super::switch::first_header;
use super::temp;
use crate::error::{Error, Result};
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Bytes before the end of a copy that are compared with the store before the copy goes on.
const COMPARED_BYTES: u64 = 64 << 10;

/// The copy of one generation, and how far it is.
#[derive(Debug)]
pub(crate) struct LogCopy {
    at: Arc<Generation>,
    to: LogFile,
    copied: u64,
    /// The process that opened both files: a child that it forks shares the lock on `to`.
    process: u32,
}

impl LogCopy {
    /// Goes on with the copy of the present file, or begins it.
    pub(crate) fn begin(place: &Place, dir: &Path) -> Result<LogCopy> {
        let at = Arc::clone(&*place.fresh_at_its_path()?);
        let named_after = dir.join(place.real.file_name().unwrap_or_default());
        // In a folder that can't be read none are found, and a copy can be made all the same.
        let _ = temp::remove_all_leftovers(&*place.mode.disk, &named_after);
        LogCopy::of(place, at, dir)
    }

    fn of(place: &Place, at: Arc<Generation>, dir: &Path) -> Result<LogCopy> {
        if at.is_unborn() {
            let advice = "begin once something was stored";
            return Err(Error::not_found(&place.path, "holds nothing yet", advice));
        }
        // Where another file of this generation was put over the store, or an earlier state of it, the copy of what was
        // there before stays as it is, and what is there now gets a copy of its own.
        let mut nth = 0;
        loop {
            nth += 1;
            let path = dir.join(name(place, &at.header, nth));
            match uninterrupted(|| place.mode.disk.stat(&path)) {
                Ok(_) => {
                    if let Some(copy) = go_on(place, &at, &path)? {
                        return Ok(copy);
                    }
                }
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                    return create(place, at, &path);
                }
                Err(error) => return Err(Error::io("look at", &path, error)),
            }
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.to.path
    }

    /// Copies what was written since, and returns how many bytes that was. After a switch the copy of the old file is
    /// finished, and the next one begun.
    pub(crate) fn update(&mut self, place: &Place) -> Result<u64> {
        let now = Arc::clone(&*place.fresh_at_its_path()?);
        if self.process != place.mode.disk.process() {
            *self = LogCopy::of(place, now, &self.dir())?;
            return Ok(self.copied.saturating_sub(LOG_START));
        }
        let is_same = Arc::ptr_eq(&now, &self.at);
        let mut copied = 0;
        // Nothing is added to the copy of a file that something else was put over.
        if is_same || (self.at.is_still_there()? && self.at.look().is_ok()) {
            copied += self.append(place)?;
        }
        if !is_same {
            *self = LogCopy::of(place, now, &self.dir())?;
            copied += self.copied.saturating_sub(LOG_START);
        }
        Ok(copied)
    }

    fn append(&mut self, place: &Place) -> Result<u64> {
        let lock = lock(place, &self.to)?;
        // An append to a copy that was deleted or moved is lost. And another process that went on with this copy may
        // have cut it shorter than this one left it.
        if !self.to.is_at(&*place.mode.disk, self.path())? || self.to.size()? < self.copied {
            drop(lock);
            *self = LogCopy::of(place, Arc::clone(&self.at), &self.dir())?;
            return Ok(self.copied.saturating_sub(LOG_START));
        }
        self.append_locked(place)
    }

    fn append_locked(&mut self, place: &Place) -> Result<u64> {
        let end = end_to_copy(&self.at);
        let from = self.copied;
        if end <= from {
            return Ok(0);
        }
        sync(place, &self.at)?;
        copy_bytes(&self.at.log, &self.to, from, end)?;
        // If the sync fails the disk may lack these bytes, and the cache shows them: they are cut off, or the next
        // process would count on them.
        self.to.sync().inspect_err(|_| _ = self.to.set_len(from))?;
        self.copied = end;
        Ok(end - from)
    }

    fn dir(&self) -> PathBuf {
        self.path().parent().unwrap_or(Path::new(".")).to_path_buf()
    }
}

/// `NAME.LINEAGE-GENERATION`. Another state of the same generation has its number behind that, from 2 on.
fn name(place: &Place, header: &FileHeader, nth: u64) -> OsString {
    let mut name = name_of_lineage(place, header);
    name.push(format!("{:010}", header.generation));
    if nth > 1 {
        name.push(format!("-{nth}"));
    }
    name
}

fn name_of_lineage(place: &Place, header: &FileHeader) -> OsString {
    let mut name = place
        .real
        .file_name()
        .map(OsString::from)
        .unwrap_or_default();
    let lineage = u128::from_be_bytes(header.lineage) >> 64;
    name.push(format!(".{lineage:016x}-"));
    name
}

/// Where a copy of this file ends: before the note that another file takes its place, since none takes the copy's. Of a
/// condemned file only what an earlier sync covered is copied: the rest may be in the cache alone.
fn end_to_copy(at: &Generation) -> u64 {
    let position = at.position();
    match position.condemned {
        true => at.commit.durable().clamp(LOG_START, position.tail),
        false => position.end_of_changes(),
    }
}

/// Syncs the file of the store, in turn with the writers of this handle: the kernel reports bytes that it could not
/// write to one sync only, and no later one may count.
fn sync(place: &Place, at: &Generation) -> Result<()> {
    sync_log(place, at, u64::MAX).map_err(|failure| failure.error)
}

fn create(place: &Place, at: Arc<Generation>, path: &Path) -> Result<LogCopy> {
    let disk = &*place.mode.disk;
    let log = temp::create(place, path)?;
    let made = || -> Result<u64> {
        let like = at.log.stat()?;
        let _ = log.file.set_owner(like.uid, like.gid, like.mode);
        let end = end_to_copy(&at);
        sync(place, &at)?;
        // Not as it stands in the file, of which one copy may be damaged.
        let header = FileHeader {
            lineage: first_header(place)?.lineage,
            ..at.header
        };
        log.write_all(&header.encode(), 0)?;
        copy_bytes(&at.log, &log, LOG_START, end)?;
        log.sync()?;
        date_earlier(place, &at.header, path);
        uninterrupted(|| disk.rename(&log.path, path))
            .map_err(|error| Error::io("rename", &log.path, error))?;
        Ok(end)
    };
    let copied = made().inspect_err(|_| _ = disk.remove(&log.path))?;
    place.sync_directory_of(path)?;
    // Under its name it is a store like any other, which others may lock.
    let _ = uninterrupted(|| log.file.unlock());
    let to = LogFile {
        path: Arc::from(path),
        ..log
    };
    Ok(LogCopy {
        at,
        to,
        copied,
        process: disk.process(),
    })
}

/// Sets the time of the last copy before this one, which is finished: its age counts from here.
fn date_earlier(place: &Place, header: &FileHeader, path: &Path) {
    let disk = &*place.mode.disk;
    let (dir, begins) = (path.parent(), name_of_lineage(place, header));
    let names = dir.and_then(|dir| uninterrupted(|| disk.list(dir)).ok());
    // As numbers: as text, the tenth state of a generation would stand before its second.
    let age = |name: &OsStr| -> Option<(u64, u64)> {
        let digits = (name.as_encoded_bytes()).strip_prefix(begins.as_encoded_bytes())?;
        let digits = std::str::from_utf8(digits).ok()?;
        let (generation, nth) = digits.split_once('-').unwrap_or((digits, "1"));
        Some((generation.parse().ok()?, nth.parse().ok()?))
    };
    let new = path.file_name().and_then(age);
    let names = names.into_iter().flatten();
    let earlier = names.filter_map(|name| Some((age(&name)?, name)));
    let last = earlier.filter(|(age, _)| Some(*age) < new).max();
    // A copy that this process may not write to keeps the time of its last record.
    let _ = last
        .zip(dir)
        .and_then(|((_, name), dir)| open(place, &dir.join(name)).ok())
        .map(|copy| copy.file.touch());
}

/// Goes on with a copy that an earlier process left, perhaps in the middle of a write. `None` if it is a copy of another
/// state.
fn go_on(place: &Place, at: &Arc<Generation>, path: &Path) -> Result<Option<LogCopy>> {
    let to = open(place, path)?;
    let _lock = lock(place, &to)?;
    if !place.mode.is_exclusive() {
        // Another process may have copied more meanwhile than this one knew.
        at.look()?;
    }
    let Some((header, _)) = Generation::read_header(&to)? else {
        return Ok(None);
    };
    let lineage = header.lineage;
    if header
        != (FileHeader {
            lineage,
            ..at.header
        })
    {
        return Ok(None);
    }
    let copied = end_of_whole_batches(&to, at)?;
    if copied > at.position().end_of_changes() {
        return Ok(None);
    }
    let from = copied.saturating_sub(COMPARED_BYTES).max(LOG_START);
    if !is_same(&to, &at.log, from, copied)? {
        return Ok(None);
    }
    to.set_len(copied)?;
    let mut copy = LogCopy {
        at: Arc::clone(at),
        to,
        copied,
        process: place.mode.disk.process(),
    };
    copy.append_locked(place)?;
    Ok(Some(copy))
}

/// The lock on a copy, for as long as it is written to. Two processes may copy to one folder: without it, one would cut
/// off what the other had copied, which would then append behind a hole.
fn lock(place: &Place, to: &LogFile) -> Result<OsLock> {
    let deadline = Deadline::new(&*place.mode.disk, place.mode.lock_timeout);
    OsLock::take(&to.file, &deadline, &to.path)
}

fn end_of_whole_batches(log: &LogFile, at: &Generation) -> Result<u64> {
    let mut scanner = Scanner::new(log, at.header.seed, LOG_START);
    let mut end = LOG_START;
    loop {
        match scanner.step()? {
            Step::Record { head, .. } => {
                if !head.more() {
                    end = scanner.offset();
                }
            }
            // If the store has the same bytes up to the next whole record, it is damaged itself. If not, a power cut
            // kept the record from the copy.
            Step::BadBody { offset, .. } | Step::Unverified { offset } => {
                scanner.seek(offset.saturating_add(ALIGN), false);
                if scanner.find_record(at.header.epoch)?.is_none()
                    || !is_same(log, &at.log, offset, scanner.offset())?
                {
                    return Ok(end);
                }
            }
            Step::End => return Ok(end),
        }
    }
}

/// Whether the same bytes stand at the same place in two files.
fn is_same(one: &LogFile, other: &LogFile, mut from: u64, end: u64) -> Result<bool> {
    while from < end {
        let len = (end - from).min(COMPARED_BYTES) as usize;
        let (mut here, mut there) = (vec![0; len], vec![0; len]);
        one.read_up_to(&mut here, from)?;
        other.read_up_to(&mut there, from)?;
        if here != there {
            return Ok(false);
        }
        from += len as u64;
    }
    Ok(true)
}

fn open(place: &Place, path: &Path) -> Result<LogFile> {
    place.open_file_at(path, Arc::from(path), true)
}

/// The folder, without symbolic links.
pub(crate) fn folder(place: &Place, dir: &Path) -> Result<PathBuf> {
    let found = uninterrupted(|| place.mode.disk.resolve(dir));
    found.map_err(|error| Error::io("look up", dir, error))
}
