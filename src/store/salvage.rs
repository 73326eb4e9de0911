//! Moving what can be read of a damaged store to a new file.
//!
//! The file is read anew across all damage, so that the index has, of every key, the newest record of which at least
//! the head verifies. A record that verifies as a whole is copied. The key of a record whose body does not is lost,
//! even where an older record of it survives: handing that out as the key's value would be a silent change.

use super::admission::Admission;
use super::anew::{read_anew, sound_key};
use super::copy::copy_of;
use super::entry::Entry;
use super::evidence::{self, Kept, ORIGINAL_SUFFIX};
use super::format::{HEAD_BYTES, Head, Kind, LOG_START};
use super::generation::{Crossing, Generation};
use super::lock::OsLock;
use super::log::{Scanner, Step};
use super::mode::Access;
use super::place::{Place, folder_of};
use super::recovery::Damage;
use super::switch::{Successor, first_header, next_header_of_more};
use super::temp;
use crate::error::{Error, Result, Shown};
use std::fmt;
use std::path::{Path, PathBuf};

/// The key of an entry that vouches for lists which its writer made of other entries. After a loss they may not be
/// whole, so a salvage leaves it out, and its writer makes the lists anew.
pub(crate) const VOUCHER: &[u8] = b"\xFFk";

/// The entries that [`Store::salvage`](crate::Store::salvage) saved, and those it could not.
#[derive(Clone)]
#[non_exhaustive]
pub struct Salvaged {
    /// Where what was saved is.
    pub path: PathBuf,
    /// Where the original file is now, if the new one took its place.
    pub kept: Option<PathBuf>,
    /// How many entries were saved, expired ones not yet dropped included.
    pub entries: u64,
    /// Keys whose newest record is damaged; the new file does not have them. Damage of unknown extent may have taken
    /// more, of which nothing is known.
    pub lost: Vec<Lost>,
    /// Keys that were saved, but may be outdated, or removed: behind their records is damage of unknown extent.
    pub uncertain: Vec<Vec<u8>>,
    /// All bytes that did not verify, superseded records among them.
    pub damage: Vec<Damage>,
}

/// Tells how much, not which keys: they may be secrets.
impl fmt::Debug for Salvaged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Salvaged")
            .field("path", &self.path)
            .field("kept", &self.kept)
            .field("entries", &self.entries)
            .field("lost", &self.lost.len())
            .field("uncertain", &self.uncertain.len())
            .field("damage", &self.damage)
            .finish()
    }
}

/// A key whose newest record is damaged.
#[derive(Clone)]
#[non_exhaustive]
pub struct Lost {
    /// Where the damaged record stands in the old file.
    pub offset: u64,
    key: Option<Vec<u8>>,
    older: Option<Entry>,
}

impl Lost {
    /// The key, if its bytes are sound, or those of an older record are.
    pub fn key(&self) -> Option<&[u8]> {
        self.key.as_deref()
    }

    /// The entry of the key before the damaged record, if that can be read. Not in the new file: it is outdated.
    pub fn older(&self) -> Option<&Entry> {
        self.older.as_ref()
    }
}

/// Does not show the key: it may be a secret.
impl fmt::Debug for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lost")
            .field("offset", &self.offset)
            .field("older", &self.older)
            .finish_non_exhaustive()
    }
}

/// Copies what can be read to a new file; the store stays as it is.
pub(crate) fn salvage(admission: &Admission, to: &Path) -> Result<Salvaged> {
    let place = &admission.place;
    let to = new_path(place, to)?;
    let anew = read_anew(place, Crossing::Everything)?;
    let mut successor = Successor::beside(place, &to, first_header(place)?)?;
    // Nobody is locked out if that fails: the file is new.
    let _ = successor.belong_to(&place.generation().log.stat()?);
    let salvaged = match &anew {
        Some(anew) => rescue(&anew.read, &mut successor, &to)?,
        None => Salvaged::new(&to),
    };
    successor.name_apart(&to)?;
    Ok(salvaged)
}

/// As [`salvage`], and puts the new file in the store's place.
pub(crate) fn salvage_in_place(admission: &Admission) -> Result<Salvaged> {
    let Admission { place, gate, .. } = admission;
    let may_replace = match place.mode.access {
        Access::Read => false,
        Access::ReadDamaged { may_replace } => may_replace,
        Access::Shared | Access::Exclusive => true,
    };
    if !may_replace {
        return Err(Error::read_only(&place.path));
    }
    let deadline = admission.deadline();
    let _turn = gate.enter(&deadline, &place.path)?;
    if place.mode.writes() {
        match place.notice_fork() {
            // A salvage is for damaged files. The child of an exclusive parent finds this one locked then.
            Err(error) if !error.is_corrupt() => return Err(error),
            _ => {}
        }
    }
    let (log, _lock) = loop {
        let known = place.fresh_or_known()?;
        let (log, lock) = match place.mode.writes() && place.is_ours() {
            true => (known.log.clone(), place.lock(&known, &deadline)?),
            // By a file of its own: one that only reads can't be written to, that of a parent has the parent's lock.
            false => {
                let log = place.open_again(true)?;
                let lock = OsLock::take(&log.file, &deadline, &place.path)?;
                (log, lock)
            }
        };
        // If a successor took its place while this thread waited for the lock, that one is salvaged.
        if !place.follow(&known)? {
            break (log, lock);
        }
    };
    let Some(old) = Generation::open(log, Crossing::Everything)? else {
        return Ok(Salvaged::new(&place.real));
    };
    temp::remove_leftovers(&*place.mode.disk, &place.real)?;
    place.refuse_to_be_mounted_over()?;
    let header = next_header_of_more(place, &old.header)?;
    let mut successor = Successor::create(place, header, &old.log.stat()?)?;
    let mut salvaged = rescue(&old, &mut successor, &place.real)?;
    salvaged.kept = match evidence::keep_whole_file(place, &old, ORIGINAL_SUFFIX)? {
        Kept::At(path) => Some(path),
        Kept::Not(error) => return Err(error),
        Kept::Enough => {
            let what = "has too many originals of earlier salvages beside it";
            let advice = "move the `.original-` files away";
            return Err(Error::exists(&place.path, what, advice));
        }
    };
    successor.install(&old)?;
    place.sync_directory()?;
    Ok(salvaged)
}

/// The path of a file to be made, without symbolic links. Removes what killed processes left of such a file.
pub(crate) fn new_path(place: &Place, to: &Path) -> Result<PathBuf> {
    let disk = &*place.mode.disk;
    // A path that ends in a slash names a folder; `file_name` leaves the slash out.
    let is_folder = to.as_os_str().as_encoded_bytes().ends_with(b"/");
    let Some(name) = to.file_name().filter(|_| !is_folder) else {
        let what = format!("{} is not the path of a file", Shown(to));
        return Err(Error::invalid_input(what, "name the file to make").at(to));
    };
    let path = disk
        .resolve(folder_of(to))
        .map_err(|error| Error::io("look up the folder of", to, error))?
        .join(name);
    // Asked before the work is done. In the end the file gets its name only if nothing has it.
    if disk.stat(&path).is_ok() {
        let taken = std::io::Error::from(std::io::ErrorKind::AlreadyExists);
        return Err(Error::io("create", to, taken));
    }
    // In a folder that can't be read none are found, and the file can be made all the same.
    let _ = temp::remove_leftovers(disk, &path);
    Ok(path)
}

impl Salvaged {
    fn new(path: &Path) -> Salvaged {
        Salvaged {
            path: path.to_path_buf(),
            kept: None,
            entries: 0,
            lost: Vec::new(),
            uncertain: Vec::new(),
            damage: Vec::new(),
        }
    }
}

/// Copies the newest record of every key, if it verifies.
fn rescue(old: &Generation, successor: &mut Successor<'_>, path: &Path) -> Result<Salvaged> {
    let mut salvaged = Salvaged {
        damage: old.position().damage.clone(),
        ..Salvaged::new(path)
    };
    let mut scanner = Scanner::new(&old.log, old.header.seed, LOG_START);
    let (mut places, mut nth) = (old.index.locations(), 0);
    while let Some(&at) = places.get(nth) {
        nth += 1;
        scanner.seek(at.offset(), false);
        let (head, body) = match scanner.step()? {
            Step::Record { head, body, .. } if !old.is_misfiled(&head, body) => (head, body),
            _ => {
                salvaged.lost.push(lost(old, at.offset())?);
                continue;
            }
        };
        let record = copy_of(&head, body);
        let key = record.key;
        if key == VOUCHER {
            // Behind all others: what is lost may stand behind it.
            if nth < places.len() {
                places.push(at);
                continue;
            }
            if !salvaged.damage.is_empty() || !salvaged.lost.is_empty() {
                continue;
            }
        }
        if at.offset() < old.outdated_below() {
            salvaged.uncertain.push(key.to_vec());
        }
        let prev = successor.prev_of(key)?;
        successor.append(record, prev)?;
    }
    salvaged.entries = successor.generation().index.len();
    Ok(salvaged)
}

/// The key of a damaged record, as far as it is known.
fn lost(old: &Generation, offset: u64) -> Result<Lost> {
    let mut key = sound_key(old, offset)?;
    let older = older(old, offset)?.filter(|older| {
        let same = key.as_deref().is_none_or(|key| key == older.key());
        same && older.fingerprint == old.fingerprint(older.key())
    });
    if let Some(older) = &older {
        key = Some(older.key().to_vec());
    }
    Ok(Lost { offset, key, older })
}

/// The newest record that verifies among those that a damaged one replaced, from one `prev` to the next.
fn older(old: &Generation, mut offset: u64) -> Result<Option<Entry>> {
    let mut scanner = Scanner::short(&old.log, old.header.seed, offset);
    let mut fixed = [0; HEAD_BYTES];
    loop {
        old.log.read_up_to(&mut fixed, offset)?;
        let Some(head) = Head::decode(&fixed, old.header.seed, offset) else {
            return Ok(None);
        };
        if !(LOG_START..offset).contains(&head.prev) {
            return Ok(None);
        }
        offset = head.prev;
        scanner.seek(offset, true);
        match scanner.step()? {
            Step::Record {
                head: found, body, ..
            } if found.kind == Kind::Put && found.fingerprint == head.fingerprint => {
                return Ok(Entry::of_body(old, offset, &found, body));
            }
            Step::BadBody { head: found, .. }
                if found.kind == Kind::Put && found.fingerprint == head.fingerprint => {}
            _ => return Ok(None),
        }
    }
}
