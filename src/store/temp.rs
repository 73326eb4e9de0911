//! Files that are being made, under a name of their own beside the one that they will have.
//!
//! A file gets its real name only when it is whole, so a process that is killed leaves one under a temporary name. To
//! tell it from one that is being made, its maker holds its lock from the first moment to the last: a temporary file
//! whose lock can be taken is a leftover.
//!
//! Between its creation and its lock a file looks like a leftover as well, and may lose its name. So its maker looks,
//! once it has the lock, whether the name still leads to the file, and begins again with another name if it does not.

use super::disk::{Create, Disk, OpenFile};
use super::lock::try_lock;
use super::log::{LogFile, uninterrupted};
use super::place::{Place, sibling};
use crate::error::{Error, Result};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Follows the name that the file will have; 16 hexadecimal digits follow it.
const SUFFIX: &str = ".tmp-";
/// Names that are tried at most.
const NAMES_MAX: usize = 16;

/// A new locked file of this process's own user beside `target`. The caller removes it, or gives it its name.
pub(crate) fn create(place: &Place, target: &Path) -> Result<LogFile> {
    let disk = &*place.mode.disk;
    let how = OpenFile {
        write: true,
        create: Create::New,
        mode: 0o600,
    };
    for _ in 0..NAMES_MAX {
        let path = sibling(target, &format!("{SUFFIX}{:016x}", place.random_word()?));
        let file = uninterrupted(|| disk.open(&path, how))
            .map_err(|error| Error::io("create", &path, error))?;
        let log = LogFile {
            file,
            path: Arc::from(path),
        };
        match is_held(disk, &log) {
            Ok(true) => return Ok(log),
            Ok(false) => _ = disk.remove(&log.path),
            Err(error) => {
                let _ = disk.remove(&log.path);
                return Err(error);
            }
        }
    }
    Err(Error::busy(
        target,
        "could not be made: its temporary files are taken away",
        "try again",
    ))
}

fn is_held(disk: &dyn Disk, log: &LogFile) -> Result<bool> {
    if !try_lock(&log.file, &log.path)? {
        return Ok(false);
    }
    log.is_at(disk, &log.path)
}

/// Removes what processes that died left of the file `target`. False if a process is making it now.
pub(crate) fn remove_leftovers(disk: &dyn Disk, target: &Path) -> Result<bool> {
    remove(disk, target, |between| between.is_empty())
}

/// As [`remove_leftovers`], and of files named after `target`, such as its copies of one generation each.
pub(crate) fn remove_all_leftovers(disk: &dyn Disk, target: &Path) -> Result<bool> {
    remove(disk, target, |between| {
        between.first().is_none_or(|first| *first == b'.')
    })
}

fn remove(disk: &dyn Disk, target: &Path, is_named: fn(&[u8]) -> bool) -> Result<bool> {
    let own = disk.stat(target).ok();
    let mut nobody_at_work = true;
    for path in temporary(disk, target, is_named)? {
        // A link or a FIFO that somebody planted under such a name is neither opened nor removed.
        let Ok(stat) = disk.stat(&path) else { continue };
        if disk.resolve(&path).ok().as_ref() != Some(&path) || !stat.is_file {
            continue;
        }
        // Another name of `target` itself: a process linked it there, and died before it removed this name.
        if own.is_some_and(|own| own.same_file(&stat)) {
            let _ = disk.remove(&path);
            continue;
        }
        let how = OpenFile {
            write: true,
            create: Create::Never,
            mode: 0,
        };
        let Ok(file) = disk.open(&path, how) else {
            continue;
        };
        if try_lock(&file, &path)? {
            let _ = disk.remove(&path);
        } else {
            nobody_at_work = false;
        }
    }
    Ok(nobody_at_work)
}

/// The temporary files beside `target` that are named after it; `is_named` is asked of what stands between both parts
/// of the name.
fn temporary(disk: &dyn Disk, target: &Path, is_named: fn(&[u8]) -> bool) -> Result<Vec<PathBuf>> {
    let (Some(dir), Some(name)) = (target.parent(), target.file_name()) else {
        return Ok(Vec::new());
    };
    let names = uninterrupted(|| disk.list(dir)).map_err(|error| Error::io("list", dir, error))?;
    let is_ours = |found: &[u8]| -> Option<bool> {
        let rest = found.strip_prefix(name.as_encoded_bytes())?;
        let (between, digits) = rest.split_at_checked(rest.len().checked_sub(16)?)?;
        let between = between.strip_suffix(SUFFIX.as_bytes())?;
        Some(digits.iter().all(u8::is_ascii_hexdigit) && is_named(between))
    };
    let ours = names
        .into_iter()
        .filter(|name| is_ours(name.as_encoded_bytes()) == Some(true));
    Ok(ours.map(|name| dir.join(name)).collect())
}
