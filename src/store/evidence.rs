//! The parts of a file that are kept before a repair changes it, or puts another one in its place.
//!
//! One fault leaves one evidence file, however often its repair is tried: its name follows from the bytes that are cut,
//! or from the inode of the file that is left. If an error that lasts keeps the file from being made (no right to the
//! folder, a full disk), the repair goes on and its report says why. Any other error ends the repair, also one in
//! *reading* the bytes that are about to be cut, and the next write begins it again.

use super::checksum::xxh64;
use super::disk::names::link_or_copy;
use super::disk::{Create, OpenFile};
use super::format::LOG_START;
use super::generation::Generation;
use super::log::LogFile;
use super::place::{Place, sibling};
use crate::error::{Error, Result};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering::Release;

/// The name of an evidence file is that of the store and this.
pub(crate) const EVIDENCE_SUFFIX: &str = ".damaged-";
/// The name of a file that a salvage replaced is that of the store and this. Nobody but its owner removes it.
pub(crate) const ORIGINAL_SUFFIX: &str = ".original-";
/// The store keeps at most this many files of each kind; the oldest ones stay, because the first fault explains the
/// others.
const FILES_MAX: usize = 4;
/// The longest torn tail that is cut in place: its evidence holds all of it.
pub(crate) const CUT_BYTES_MAX: u64 = 64 << 20;
const CHUNK_BYTES: usize = 64 << 10;

#[derive(Debug)]
pub(crate) enum Kept {
    At(PathBuf),
    /// Four files are kept already.
    Enough,
    /// The file could not be made, for this reason.
    Not(Error),
}

impl Kept {
    fn of(made: Result<PathBuf>) -> Result<Kept> {
        match made {
            Ok(path) => Ok(Kept::At(path)),
            Err(error) if lasts(&error) => Ok(Kept::Not(error)),
            Err(error) => Err(error),
        }
    }
}

/// Whether trying again would meet the same error.
fn lasts(error: &Error) -> bool {
    matches!(
        error.io_kind(),
        Some(
            io::ErrorKind::PermissionDenied
                | io::ErrorKind::ReadOnlyFilesystem
                | io::ErrorKind::StorageFull
                | io::ErrorKind::QuotaExceeded
                | io::ErrorKind::FileTooLarge
                | io::ErrorKind::TooManyLinks
                | io::ErrorKind::Unsupported
        )
    )
}

pub(crate) fn files(place: &Place) -> Result<Vec<PathBuf>> {
    place.siblings(EVIDENCE_SUFFIX)
}

/// Removes evidence files that the caller listed before it began, so that no power cut brings them back. A file that is
/// gone already is no error.
pub(crate) fn remove(place: &Place, files: &[PathBuf]) -> Result<()> {
    for path in files {
        match place.mode.disk.remove(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(Error::io("remove", path, error));
            }
            _ => {}
        }
    }
    place.sync_directory()
}

/// Whether another file of a kind may be kept. A folder that can't be listed counts as having room: making the file
/// tells more.
fn has_room(place: &Place, suffix: &str, named: &Path) -> bool {
    let others = place.siblings(suffix).unwrap_or_default();
    others.iter().filter(|path| *path != named).count() < FILES_MAX
}

/// Writes what is about to be cut, from the tail to the end of the file, to a file of its own and syncs it: file
/// header, offset, bytes.
///
/// # Errors
///
/// Nothing may be cut before this succeeds.
pub(crate) fn keep_cut_bytes(place: &Place, generation: &Generation) -> Result<Kept> {
    let tail = generation.tail();
    let mut content_hash = generation.header.seed ^ tail;
    each_chunk(&generation.log, tail, |chunk, _| {
        content_hash = xxh64(chunk, content_hash);
        Ok(())
    })?;
    let path = sibling(
        &place.real,
        &format!("{EVIDENCE_SUFFIX}{content_hash:016x}"),
    );
    if !has_room(place, EVIDENCE_SUFFIX, &path) {
        return Ok(Kept::Enough);
    }
    let evidence = match create(place, generation, &path) {
        Ok(evidence) => evidence,
        Err(error) => return Kept::of(Err(error)),
    };
    let mut written = evidence
        .write_all(&generation.header.encode_for_cut_off(), 0)
        .and_then(|()| evidence.write_all(&tail.to_le_bytes(), LOG_START));
    each_chunk(&generation.log, tail, |chunk, at| {
        if written.is_ok() {
            written = evidence.write_all(chunk, LOG_START + 8 + at);
        }
        Ok(())
    })?;
    let kept = written
        .and_then(|()| evidence.sync())
        .and_then(|()| place.sync_directory());
    if let Err(error) = kept {
        let _ = place.mode.disk.remove(&path);
        return Kept::of(Err(error));
    }
    // The store's own name stands in that directory as well.
    generation.directory_synced.store(true, Release);
    Ok(Kept::At(path))
}

/// A new file for evidence, with the owner, group and mode of the store where this process may give it those; else it
/// is its own user's alone. A file of that name is what an earlier try at this very repair left.
fn create(place: &Place, generation: &Generation, path: &Path) -> Result<LogFile> {
    let disk = &*place.mode.disk;
    // As they are now: the owner may have shut somebody out since the file was opened.
    let like = generation.log.stat()?;
    if disk.stat(path).is_ok() {
        let _ = disk.remove(path);
    }
    let how = OpenFile {
        write: true,
        create: Create::New,
        mode: 0o600,
    };
    let file = disk
        .open(path, how)
        .map_err(|error| Error::io("create", path, error))?;
    let _ = file.set_owner(like.uid, like.gid, like.mode);
    Ok(LogFile {
        file,
        path: path.into(),
    })
}

/// Reads a file from an offset to its end, and tells of each chunk how far from there it begins.
fn each_chunk(
    log: &LogFile,
    from: u64,
    mut take: impl FnMut(&[u8], u64) -> Result<()>,
) -> Result<()> {
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut at = 0;
    loop {
        let read = log.read_up_to(&mut chunk, from + at)?;
        if read == 0 {
            return Ok(());
        }
        take(chunk.get(..read).unwrap_or_default(), at)?;
        at += read as u64;
    }
}

/// Gives the file a second name, under which it stays when the store's name goes to another.
pub(crate) fn keep_whole_file(
    place: &Place,
    generation: &Generation,
    suffix: &str,
) -> Result<Kept> {
    let disk = &*place.mode.disk;
    let path = path_of_whole_file(place, generation, suffix);
    if !has_room(place, suffix, &path) {
        return Ok(Kept::Enough);
    }
    let has_name = disk.stat(&path);
    let linked = match has_name {
        Ok(there) if there.same_file(&generation.identity) => Ok(()),
        _ => {
            // An earlier try at this very repair, which failed, left a copy where no file has two names.
            if has_name.is_ok() {
                let _ = disk.remove(&path);
            }
            link_or_copy(disk, &place.real, &path)
                .map_err(|error| Error::io("keep the file as", &path, error))
        }
    };
    Kept::of(linked.and_then(|()| place.sync_directory()).map(|()| path))
}

/// The second name of a file.
pub(crate) fn path_of_whole_file(place: &Place, generation: &Generation, suffix: &str) -> PathBuf {
    let is = &generation.identity;
    let name = xxh64(&is.inode.to_le_bytes(), is.device ^ generation.header.seed);
    sibling(&place.real, &format!("{suffix}{name:016x}"))
}
