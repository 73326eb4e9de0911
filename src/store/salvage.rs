//! Moving what can be read of a damaged store to a new file.
//!
//! The file is read anew across all damage, so that the index has, of every key, the newest record of which at least
//! the head verifies. What verifies as a whole is copied. The key of a record whose body does not is lost, even where
//! an older record of it survives: handing that out as the key's value would be a silent change.

use super::disk::{Create, OpenFile};
use super::format::{CBOR, HEAD_BYTES, Head, Kind, LOG_START, NewRecord};
use super::generation::{Crossing, Generation};
use super::iter::Entry;
use super::lock::{Deadline, OsLock};
use super::log::{LogFile, Scanner, Step};
use super::recovery::Damage;
use super::switch::{Successor, first_header, next_header};
use super::verify::sound_key;
use super::{Inner, Store};
use crate::error::{Error, ErrorKind, Result};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What [`Store::salvage`] saved, and what it could not.
#[derive(Clone)]
#[non_exhaustive]
pub struct Salvaged {
    /// Where what was saved is.
    pub path: PathBuf,
    /// Where the damaged file is now, if the new one took its place.
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

    /// What the key had before the damaged record, if that can be read. Not in the new file: it is outdated.
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

impl Store {
    /// Copies every entry that can be read, on both sides of every damage, to a new file, and lists what is lost. The
    /// store stays as it is. Also for a store opened with [`Options::damaged`](crate::Options::damaged).
    ///
    /// The new file is a store of its own. It gets the owner and mode of the old one, or if this process may not give
    /// it those, belongs to its user alone. It appears whole or not at all.
    ///
    /// Records behind a torn place, which a store does not count, are saved as well; keys whose records stand before it
    /// are then uncertain.
    ///
    /// # Errors
    ///
    /// `AlreadyExists` if something has that path, `Replaced`, `NewerVersion`, `Io`. Where only the folder could not be
    /// synced, the new file is there all the same, and whole.
    ///
    /// ```
    /// # fn main() -> shelflife::Result<()> {
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let (path, new) = (dir.path().join("s.shelf"), dir.path().join("new.shelf"));
    /// # shelflife::Store::open(&path)?.insert("tea", "green")?;
    /// let salvaged = shelflife::Options::new().damaged(true).open(&path)?.salvage(&new)?;
    /// assert_eq!((salvaged.entries, salvaged.lost.len()), (1, 0));
    /// assert_eq!(shelflife::Store::open(&new)?.get("tea")?.as_deref(), Some(&b"green"[..]));
    /// # Ok(()) }
    /// ```
    pub fn salvage(&self, to: impl AsRef<Path>) -> Result<Salvaged> {
        self.inner().salvage(to.as_ref())
    }

    /// As [`salvage`](Store::salvage), and puts the new file in the store's place. The damaged one stays beside it,
    /// under the name in [`Salvaged::kept`]. Other processes that have the store open go on with the new file.
    ///
    /// # Errors
    ///
    /// `Busy`, `Replaced`, `NewerVersion`, `AlreadyExists` (four damaged files are kept already), `Io`.
    pub fn salvage_in_place(&self) -> Result<Salvaged> {
        self.inner().salvage_in_place()
    }
}

impl Inner {
    fn salvage(&self, to: &Path) -> Result<Salvaged> {
        let to = self.new_path(to)?;
        let anew = self.read_anew(Crossing::Everything)?;
        let mut successor = Successor::beside(self, &to, first_header(self)?)?;
        // Nobody is locked out of a file that is new.
        let _ = successor.belong_to(&self.generation().identity);
        let salvaged = match &anew {
            Some(anew) => rescue(&anew.read, &mut successor, &to)?,
            None => Salvaged::new(&to),
        };
        successor.place(&to)?;
        Ok(salvaged)
    }

    fn salvage_in_place(&self) -> Result<Salvaged> {
        let deadline = Deadline::new(&*self.options.disk, self.options.lock_timeout);
        let _turn = self.gate.enter(&deadline, &self.path)?;
        let known = self.fresh_or_known()?;
        let log = self.writable_log(&known)?;
        let _lock = if self.options.exclusive {
            OsLock::held_elsewhere()
        } else {
            OsLock::take(&log.file, &deadline, &self.path)?
        };
        if self.follow(&known)? {
            return Err(Error::new(
                ErrorKind::Replaced,
                format!("`{}` was just replaced", self.path.display()),
            )
            .at(&self.path)
            .advise("try again"));
        }
        let Some(old) = Generation::open(log, Crossing::Everything)? else {
            return Ok(Salvaged::new(&self.real));
        };
        super::switch::remove_leftovers(self)?;
        let mut successor =
            Successor::create(self, next_header(self, &old.header)?, &old.identity)?;
        let mut salvaged = rescue(&old, &mut successor, &self.real)?;
        salvaged.kept = self.keep_whole_file()?;
        if salvaged.kept.is_none() {
            return Err(Error::new(
                ErrorKind::AlreadyExists,
                format!(
                    "too many damaged files are kept beside `{}`",
                    self.path.display()
                ),
            )
            .at(&self.path)
            .advise("move the `.damaged-` files away"));
        }
        let next = successor.install(Some(&old))?;
        self.hand_over_lock(&old, &next);
        self.sync_directory()?;
        Ok(salvaged)
    }

    /// The store's file, open for writing even if this handle only reads.
    fn writable_log(&self, known: &Generation) -> Result<LogFile> {
        if !self.options.read_only {
            return Ok(known.log.clone());
        }
        let how = OpenFile {
            write: true,
            create: Create::Never,
            mode: 0,
        };
        let file = super::log::uninterrupted(|| self.options.disk.open(&self.real, how))
            .map_err(|error| Error::io("open", &self.path, error))?;
        Ok(LogFile {
            file,
            path: Arc::clone(&self.path),
        })
    }

    /// The path of a file to be made, in a folder without symbolic links.
    fn new_path(&self, to: &Path) -> Result<PathBuf> {
        let disk = &*self.options.disk;
        let Some(name) = to.file_name() else {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                format!("`{}` is not the path of a file", to.display()),
            )
            .at(to));
        };
        let dir = match to.parent() {
            Some(dir) if !dir.as_os_str().is_empty() => dir,
            _ => Path::new("."),
        };
        let path = disk
            .resolve(dir)
            .map_err(|error| Error::io("look up the folder of", to, error))?
            .join(name);
        // Asked before the work is done; what counts is that the name is given only if it is new.
        if disk.stat(&path).is_ok() {
            let taken = std::io::Error::from(std::io::ErrorKind::AlreadyExists);
            return Err(Error::io("create", to, taken));
        }
        Ok(path)
    }
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

/// Copies the newest record of every key that verifies, verified before it is sealed anew.
fn rescue(old: &Generation, successor: &mut Successor<'_>, path: &Path) -> Result<Salvaged> {
    let mut salvaged = Salvaged {
        damage: old.position().damage.clone(),
        ..Salvaged::new(path)
    };
    let mut scanner = Scanner::new(&old.log, old.header.seed, LOG_START);
    for at in old.index.locations() {
        scanner.seek(at.offset(), false);
        let Step::Record { head, body, .. } = scanner.step()? else {
            salvaged.lost.push(lost(old, at.offset())?);
            continue;
        };
        let (key, rest) = body
            .split_at_checked(usize::from(head.key_len))
            .unwrap_or_default();
        if at.offset() < old.outdated_below() {
            salvaged.uncertain.push(key.to_vec());
        }
        let record = NewRecord {
            kind: Kind::Put,
            flags: head.flags & CBOR,
            fingerprint: 0,
            epoch: 0,
            prev: 0,
            durable: 0,
            modified_ms: head.modified_ms,
            expires_ms: head.expires_ms,
            key,
            value: rest.get(..head.value_len as usize).unwrap_or_default(),
        };
        let prev = successor.prev_of(key)?;
        successor.append(record, prev)?;
    }
    salvaged.entries = successor.generation().index.len();
    Ok(salvaged)
}

/// What is known of the key of a damaged record.
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

/// The newest record that verifies of those that a damaged one replaced, one after the other.
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
                return Ok(Entry::new(old, offset, &found, body));
            }
            Step::BadBody { head: found, .. }
                if found.kind == Kind::Put && found.fingerprint == head.fingerprint => {}
            _ => return Ok(None),
        }
    }
}
