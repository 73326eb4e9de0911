//! How a store is opened.

use super::disk::{Disk, os::OsDisk};
use super::generation::Crossing;
use super::{Store, open};
use crate::error::Result;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// When a write counts as done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// When it would survive a power cut. Concurrent writers share one sync.
    #[default]
    Immediate,
    /// When the operating system has it, so that it survives the death of the process. A sync starts whenever 16 MiB of
    /// the log are not yet on disk, a writer waits for it at 32 MiB; `sync` and `close` sync as well.
    Os,
}

/// Who rewrites the file when dead bytes exceed live ones (and the file 1 MiB).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Compaction {
    /// A short-lived thread, which `close` and `drop` stop and join.
    #[default]
    Thread,
    /// The writer that crossed the line.
    Inline,
    /// Nobody but `compact()`.
    Manual,
}

/// Options for opening a store, used as [`std::fs::OpenOptions`] are.
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
    pub(crate) exclusive: bool,
    pub(crate) durability: Durability,
    pub(crate) read_only: bool,
    pub(crate) create: bool,
    pub(crate) create_new: bool,
    pub(crate) truncate: bool,
    pub(crate) mode: u32,
    pub(crate) lock_timeout: Duration,
    pub(crate) compaction: Compaction,
    pub(crate) damaged: bool,
    pub(crate) disk: Arc<dyn Disk>,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            exclusive: false,
            durability: Durability::default(),
            read_only: false,
            create: true,
            create_new: false,
            truncate: false,
            mode: 0o600,
            lock_timeout: Duration::from_secs(5),
            compaction: Compaction::default(),
            damaged: false,
            disk: Arc::new(OsDisk),
        }
    }
}

impl Options {
    /// The defaults: shared, durable at once, created if missing, compacted by a thread.
    pub fn new() -> Options {
        Options::default()
    }

    /// Keeps the write lock for the handle's life: each operation is cheaper, others can only read. Default false.
    pub fn exclusive(&mut self, exclusive: bool) -> &mut Options {
        self.exclusive = exclusive;
        self
    }

    /// When a write counts as done. Default [`Durability::Immediate`].
    pub fn durability(&mut self, durability: Durability) -> &mut Options {
        self.durability = durability;
        self
    }

    /// Only reads: takes no lock, creates and changes nothing. Default false.
    pub fn read_only(&mut self, read_only: bool) -> &mut Options {
        self.read_only = read_only;
        self
    }

    /// Creates the file if it is missing. Default true.
    pub fn create(&mut self, create: bool) -> &mut Options {
        self.create = create;
        self
    }

    /// Fails if the file exists. Default false.
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
    pub fn mode(&mut self, mode: u32) -> &mut Options {
        self.mode = mode;
        self
    }

    /// How long a call waits for other writers, threads and processes together, before it fails with
    /// [`ErrorKind::Busy`](crate::ErrorKind::Busy). Default 5 seconds.
    pub fn lock_timeout(&mut self, lock_timeout: Duration) -> &mut Options {
        self.lock_timeout = lock_timeout;
        self
    }

    /// Who rewrites the file when it has grown. Default [`Compaction::Thread`]. Whatever is chosen, reading a log of
    /// over 4 MiB takes a second thread for that time, if there is one to be had.
    pub fn compaction(&mut self, compaction: Compaction) -> &mut Options {
        self.compaction = compaction;
        self
    }

    /// Opens, only to read, even a file with damage of unknown extent. Reading a key whose record stands before such
    /// damage, or that is absent, is then an error which says that it may be outdated. Default false.
    pub fn damaged(&mut self, damaged: bool) -> &mut Options {
        self.damaged = damaged;
        self
    }

    /// Where the file is. Default [`OsDisk`].
    pub fn disk(&mut self, disk: Arc<dyn Disk>) -> &mut Options {
        self.disk = disk;
        self
    }

    pub(crate) fn crossing(&self) -> Crossing {
        if self.damaged {
            Crossing::Damage
        } else {
            Crossing::Nothing
        }
    }

    /// Opens the store: reads the whole log once, at about the speed of memory, and takes no lock but to look whether
    /// somebody has the file exclusively.
    ///
    /// # Errors
    ///
    /// `NotFound` (missing, and not to be created; or its folder is), `AlreadyExists` (with `create_new`), `NotAStore`,
    /// `NewerVersion`, `Corrupt` (acknowledged records are damaged beyond what can be told key by key), `Busy`
    /// (another handle is exclusive), `Unsupported` (a network file system without `exclusive`, or not a Unix),
    /// `InvalidInput` (options that contradict each other), `Io`.
    pub fn open(&self, path: impl AsRef<Path>) -> Result<Store> {
        open::open(self, path.as_ref())
    }
}
