//! Copies of a store under another name: whole and compacted, or as it was at an earlier place of its log.

use super::copy::{Copied, copy_live};
use super::disk::names::rename_to_new;
use super::format::{FileHeader, Kind, LOG_START, NewRecord};
use super::generation::Generation;
use super::log::{LogFile, Scanner, Step};
use super::place::Place;
use super::salvage::new_path;
use super::switch::{Successor, first_header};
use super::temp;
use crate::error::{Error, Result};
use std::path::Path;
use std::sync::atomic::AtomicBool;

/// The copy that [`Store::backup`](crate::Store::backup) made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Backup {
    /// Entries in it, expired ones not yet dropped included.
    pub entries: u64,
    /// Its length.
    pub size_bytes: u64,
    /// How many of the entries can't be read, in the store as in the copy. [`Store::verify`](crate::Store::verify)
    /// lists them.
    pub damaged: u64,
}

/// Copies what the store holds at this moment to a new file of a lineage of its own.
pub(crate) fn backup(place: &Place, to: &Path) -> Result<Backup> {
    let to = new_path(place, to)?;
    let generation = place.fresh_at_its_path()?;
    // In the copy nothing would tell that entries may be outdated.
    if generation.outdated_below() > 0 {
        return Err(generation.outdated(generation.outdated_below()));
    }
    let never = AtomicBool::new(false);
    let successor = loop {
        let header = own_lineage(place, &generation)?;
        let mut successor = Successor::beside(place, &to, header)?;
        let ended_by_ms = place.ended_by_ms(&generation);
        // A file that this process may not give away belongs to it alone, which locks nobody out of the store.
        let _ = successor.belong_to(&generation.log.stat()?);
        let copied = copy_live(&generation, &mut successor, ended_by_ms, &never, true)?;
        if copied != Copied::StartAnew {
            break successor;
        }
    };
    let made = successor.generation();
    let backup = Backup {
        entries: made.keys(),
        size_bytes: made.tail(),
        damaged: made.position().damage.len() as u64,
    };
    successor.name_apart(&to)?;
    Ok(backup)
}

/// The header of a store that is no successor of this one: put in this one's place, it is refused. Keys are hashed as
/// before, since the fingerprint is all that is left of a key that can't be read.
fn own_lineage(place: &Place, old: &Generation) -> Result<FileHeader> {
    let first = first_header(place)?;
    Ok(match old.is_unborn() {
        true => first,
        false => FileHeader {
            hash_key: old.header.hash_key,
            created_ms: old.header.created_ms,
            ..first
        },
    })
}

/// Copies the store as it was before some record to a new file: its log up to there, byte for byte, under a header with
/// a lineage of its own, and a seal behind it, which says that all of the log was synced. The header's `base` could say
/// so too, but has to stay: it says how far back the log tells.
pub(crate) fn restore(place: &Place, before: u64, to: &Path) -> Result<u64> {
    let to = new_path(place, to)?;
    let generation = place.fresh_at_its_path()?;
    let (end, epoch) = end_of_batch_before(&generation, before)?;
    let header = FileHeader {
        lineage: first_header(place)?.lineage,
        ..generation.header
    };
    let mut seal = Vec::new();
    NewRecord {
        durable: end,
        ..NewRecord::marker(Kind::Seal, epoch, place.now_ms())
    }
    .encode(header.seed, end, &mut seal);
    let log = temp::create(place, &to)?;
    let disk = &*place.mode.disk;
    let made = || -> Result<()> {
        let like = generation.log.stat()?;
        let _ = log.file.set_owner(like.uid, like.gid, like.mode);
        copy_bytes(&generation.log, &log, LOG_START, end)?;
        log.write_all(&seal, end)?;
        log.write_all(&header.encode(), 0)?;
        log.sync()?;
        rename_to_new(disk, &log.path, &to).map_err(|error| Error::io("create", &to, error))
    };
    made().inspect_err(|_| _ = disk.remove(&log.path))?;
    place.sync_directory_of(&to)?;
    Ok(end + seal.len() as u64)
}

/// The end of the last batch that was whole before the record at a place, and the epoch there.
fn end_of_batch_before(generation: &Generation, before: u64) -> Result<(u64, u16)> {
    let refuse = |what: String| {
        Err(Error::invalid_input(
            what,
            "`shelflife history` lists offsets",
        ))
    };
    let (base, tail) = (generation.header.base, generation.tail());
    if before < base && generation.dropped_before().is_some() {
        return refuse(format!(
            "the log goes back to offset {base:#x}, where the file was written anew: by a compaction, a load, a backup \
             or a repair"
        ));
    }
    let mut scanner = Scanner::new(&generation.log, generation.header.seed, base);
    let (mut end, mut epoch) = (base, generation.header.epoch);
    while scanner.offset() < before.min(tail) {
        match scanner.step()? {
            Step::Record { head, .. } | Step::BadBody { head, .. } => {
                if !head.more() && scanner.offset() <= before {
                    (end, epoch) = (scanner.offset(), head.epoch);
                }
            }
            Step::Unverified { offset } => {
                return Err(generation.log.unverified(offset));
            }
            Step::End => break,
        }
    }
    match scanner.offset() == before && !generation.is_unborn() {
        true => Ok((end, epoch)),
        false => refuse(format!("no record begins at offset {before:#x}")),
    }
}

pub(crate) fn copy_bytes(from: &LogFile, to: &LogFile, start: u64, end: u64) -> Result<()> {
    let mut buf = vec![0; 256 << 10];
    let mut at = start;
    while at < end {
        let len = usize::try_from(end - at)
            .unwrap_or(usize::MAX)
            .min(buf.len());
        let part = buf.get_mut(..len).unwrap_or_default();
        let read = from.read_up_to(part, at)?;
        if read == 0 {
            return Err(from.corrupt(at, "the file ends before its log does"));
        }
        to.write_all(part.get(..read).unwrap_or_default(), at)?;
        at += read as u64;
    }
    Ok(())
}
