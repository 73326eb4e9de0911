//! The options of a store, and which of them contradict each other.

use super::Store;
use super::disk::{Create, Disk};
use super::mode::{Access, Compaction, Durability, Mode, Start};
use crate::error::{Error, Result};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Options for opening a store, used as [`std::fs::OpenOptions`] are.
///
/// A pair of options either works as its parts say, or opening answers `InvalidInput` before it touches anything:
///
/// | | with | |
/// |---|---|---|
/// | `read_only` | `exclusive`, `truncate`, `create_new` | refused: a handle that only reads takes no lock and changes nothing |
/// | `damaged` | `exclusive`, `truncate`, `create_new` | refused for the same reason: a damaged store is only read |
/// | `read_only`, `damaged` | `create` | nothing is created |
/// | `read_only` | `damaged` | reads across damage; [`salvage_in_place`](Store::salvage_in_place) is refused |
/// | `create_new` | `create(false)`, `truncate` | the file must be new, so neither has anything to say |
/// | `truncate` | `create(false)` | the file must exist |
///
/// ```
/// # fn main() -> shelflife::Result<()> {
/// # let dir = tempfile::tempdir().unwrap();
/// # let path = dir.path().join("s.shelf");
/// use shelflife::{Durability, Options};
/// let store = Options::new().durability(Durability::Os).create_new(true).open(&path)?;
/// store.insert("key", "value")?;
/// store.close()?;
/// let reader = Options::new().read_only(true).open(&path)?;
/// assert_eq!(reader.get("key")?.as_deref(), Some(&b"value"[..]));
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct Options {
    exclusive: bool,
    read_only: bool,
    create: bool,
    create_new: bool,
    truncate: bool,
    damaged: bool,
    /// With all that no other option has a say in.
    mode: Mode,
}

impl Default for Options {
    fn default() -> Options {
        let mode = Mode::default();
        Options {
            exclusive: false,
            read_only: false,
            create: mode.recreate,
            create_new: false,
            truncate: false,
            damaged: false,
            mode,
        }
    }
}

impl Options {
    /// The defaults: shared, durable at once, created if missing, compacted by a thread.
    pub fn new() -> Options {
        Options::default()
    }

    /// Keeps the write lock for the handle's life: each operation is cheaper, others can only read. Default false.
    ///
    /// A closing handle may compact first, see [`Store::close`], and keeps the lock for that long.
    pub fn exclusive(&mut self, exclusive: bool) -> &mut Options {
        self.exclusive = exclusive;
        self
    }

    /// When a write counts as done. Default [`Durability::Immediate`].
    pub fn durability(&mut self, durability: Durability) -> &mut Options {
        self.mode.durability = durability;
        self
    }

    /// Only reads: takes no lock, creates and changes nothing; [`sync`](Store::sync) is refused as a write is. Default
    /// false.
    pub fn read_only(&mut self, read_only: bool) -> &mut Options {
        self.read_only = read_only;
        self
    }

    /// Creates the file if it is missing, when it is opened and at [`reopen`](Store::reopen). Default true.
    pub fn create(&mut self, create: bool) -> &mut Options {
        self.create = create;
        self
    }

    /// Fails if the file exists when it is opened. Default false.
    pub fn create_new(&mut self, create_new: bool) -> &mut Options {
        self.create_new = create_new;
        self
    }

    /// Starts with an empty store in place of what is there, which must be a store, damaged or not, or an empty file.
    /// Other handles move over to it; where nothing of a damaged header can be read they are refused as soon as they
    /// look at the path. Default false.
    pub fn truncate(&mut self, truncate: bool) -> &mut Options {
        self.truncate = truncate;
        self
    }

    /// Permission bits of a file that is created. Default `0o600`: session ids are secrets.
    ///
    /// A rewrite of the file keeps owner, group and these bits. Access control lists and extended attributes are out of
    /// the reach of std, so a rewrite drops them; the group bits of a file with such a list are the list's mask, and
    /// stay what they showed, so that nobody is given more than `ls -l` said before.
    pub fn mode(&mut self, mode: u32) -> &mut Options {
        self.mode.permissions = mode;
        self
    }

    /// How long a call waits for other writers, threads and processes together, before it fails with
    /// [`ErrorKind::Busy`](crate::ErrorKind::Busy). Default 5 seconds.
    ///
    /// Threads of one handle queue. Processes do not: each asks again and again for the lock, pausing up to 5 ms. With 16
    /// processes that never stopped writing on two cores the longest of 800,000 updates took 0.23 s.
    pub fn lock_timeout(&mut self, lock_timeout: Duration) -> &mut Options {
        self.mode.lock_timeout = lock_timeout;
        self
    }

    /// The thread that rewrites the file when it has grown. Default [`Compaction::Thread`]. In any case, reading a log
    /// of over 4 MiB takes a second thread for that time, if the system gives one.
    pub fn compaction(&mut self, compaction: Compaction) -> &mut Options {
        self.mode.compaction = compaction;
        self
    }

    /// Opens, only to read, even a file with damage of unknown extent. Reading a key whose record stands before such
    /// damage, or that is absent, is then an error which says that it may be outdated. Default false.
    pub fn damaged(&mut self, damaged: bool) -> &mut Options {
        self.damaged = damaged;
        self
    }

    /// Where the file is. Default [`OsDisk`](crate::OsDisk).
    pub fn disk(&mut self, disk: Arc<dyn Disk>) -> &mut Options {
        self.mode.disk = disk;
        self
    }

    /// Opens the store: reads the whole log once, at about the speed of memory. To write, it takes the lock for a
    /// moment, which shows whether another handle is exclusive.
    ///
    /// # Errors
    ///
    /// `NotFound` (missing, and not to be created; or its folder is), `AlreadyExists` (with `create_new`), `NotAStore`,
    /// `NewerVersion`, `Corrupt` (acknowledged records are damaged beyond what can be told key by key), `Busy`
    /// (another handle is exclusive, or had the lock for all of `lock_timeout`), `Unsupported` (to write to a network
    /// file system without `exclusive`, where Linux tells that it is one; or a platform whose locks the store can't
    /// use, see [`OsDisk`](crate::OsDisk)), `InvalidInput` (options that contradict each other), `Io`. An opening that
    /// failed leaves no file behind.
    pub fn open(&self, path: impl AsRef<Path>) -> Result<Store> {
        let (mode, start) = self.resolve()?;
        Store::open_as(mode, start, path.as_ref())
    }

    /// The one place where options meet each other.
    fn resolve(&self) -> Result<(Mode, Start)> {
        let only_reads = match (self.damaged, self.read_only) {
            (true, _) => Some("a store that is opened with `damaged` is only read"),
            (false, true) => Some("a store that is opened with `read_only` is only read"),
            (false, false) => None,
        };
        let asks_to_write = [
            (self.exclusive, "never exclusive", "leave out `exclusive`"),
            (self.truncate, "never truncated", "leave out `truncate`"),
            (self.create_new, "never created", "leave out `create_new`"),
        ];
        if let Some(only_reads) = only_reads
            && let Some((_, never, advice)) = asks_to_write.iter().find(|(asks, ..)| *asks)
        {
            return Err(Error::invalid_input(
                format!("{only_reads}, {never}"),
                advice,
            ));
        }
        let access = match (self.damaged, self.read_only, self.exclusive) {
            (true, read_only, _) => Access::ReadDamaged {
                may_replace: !read_only,
            },
            (false, true, _) => Access::Read,
            (false, false, true) => Access::Exclusive,
            (false, false, false) => Access::Shared,
        };
        let create = match (only_reads, self.create_new, self.create) {
            (Some(_), ..) | (None, false, false) => Create::Never,
            (None, true, _) => Create::New,
            (None, false, true) => Create::IfMissing,
        };
        let mode = Mode {
            access,
            recreate: create != Create::Never,
            ..self.mode.clone()
        };
        let start = Start {
            create,
            truncate: self.truncate && !self.create_new,
        };
        Ok((mode, start))
    }
}
