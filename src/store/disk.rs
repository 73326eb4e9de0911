//! The seam to the operating system: everything that a store asks of it goes through these two traits, but for threads.
//!
//! The traits carry no policy. Retries, short reads and writes, deadlines and every decision about what a failure
//! means live above them, so that they are tested with the simulated disk as well.

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

#[cfg(any(target_os = "linux", test))]
pub(crate) mod mounts;
pub(crate) mod names;
pub(crate) mod os;

pub(crate) mod sealed {
    /// Keeps the traits ours, so that they can grow.
    pub trait Sealed {}
}

/// Names, clocks and randomness of one machine, as one process sees them.
///
/// Sealed: users get [`OsDisk`](crate::OsDisk) and, with the feature `sim`, `sim::SimDisk`.
pub trait Disk: sealed::Sealed + fmt::Debug + Send + Sync {
    /// Opens a file for reading, and for writing if asked to. Follows symbolic links.
    fn open(&self, path: &Path, how: OpenFile) -> io::Result<Arc<dyn DiskFile>>;
    /// The path without symbolic links; the file must exist.
    fn resolve(&self, path: &Path) -> io::Result<PathBuf>;
    /// The file that the path leads to, through symbolic links.
    fn stat(&self, path: &Path) -> io::Result<Stat>;
    /// The names in a directory, in any order.
    fn list(&self, dir: &Path) -> io::Result<Vec<OsString>>;
    /// Gives a file another name, atomically replacing what had it.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Gives a file a second name, which must be new.
    fn link(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a name.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Makes the names in a directory survive a power cut.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
    /// The type of the network file system that a path is on, `None` if it is local or can't be told.
    fn network_file_system(&self, path: &Path) -> io::Result<Option<String>>;
    /// Whether a file or a folder is mounted at this very path, so that nothing can be renamed over it. False where the
    /// system does not tell.
    fn is_mount_point(&self, _path: &Path) -> bool {
        false
    }
    /// Fills the buffer from the operating system's random source.
    fn random(&self, buf: &mut [u8]) -> io::Result<()>;
    /// The time of day. May step in both directions.
    fn wall_clock(&self) -> SystemTime;
    /// A clock that only goes forward, from an arbitrary start.
    fn monotonic(&self) -> Duration;
    /// Waits.
    fn sleep(&self, duration: Duration);
    /// The calling process, so that a fork is noticed.
    fn process(&self) -> u32;
}

/// One open file. Dropping it closes it, which frees its lock.
pub trait DiskFile: sealed::Sealed + fmt::Debug + Send + Sync {
    /// Reads at most `buf.len()` bytes; 0 is the end of the file.
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Writes at least one and at most `buf.len()` bytes, growing the file as needed.
    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<usize>;
    /// Cuts the file, or extends it with zeros.
    fn set_len(&self, len_bytes: u64) -> io::Result<()>;
    /// Makes content and length (not the name) survive a power cut.
    fn sync(&self) -> io::Result<()>;
    /// The length. Far cheaper than `stat`, and than a read: it is asked before each look at what others wrote.
    fn size(&self) -> io::Result<u64>;
    /// Whether two threads of a process may read at the same time, and gain by it. Those of a simulated disk may not:
    /// there every call has its turn, which is found again.
    fn reads_beside(&self) -> bool;
    /// Whether the system tells this path, without links, when it is asked for the name of the open file; false where
    /// it tells nothing. Unlike a stat this leaves the file's times alone: on Linux since 6.13 the write after a stat
    /// has to note a new time, and a sync to bring that to disk (measured on ext4: 185 us for 115).
    fn is_named(&self, path: &Path) -> bool;
    /// The file of the handle, whatever happened to its name.
    fn stat(&self) -> io::Result<Stat>;
    /// Dates the file's last change now.
    fn touch(&self) -> io::Result<()>;
    /// Gives the file an owner, a group and permission bits.
    fn set_owner(&self, uid: u32, gid: u32, mode: u32) -> io::Result<()>;
    /// Takes the exclusive advisory lock, or returns false if another open file description has it.
    fn try_lock(&self) -> io::Result<bool>;
    /// Gives the lock back.
    fn unlock(&self) -> io::Result<()>;
}

/// How to open a file. Reading is always asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenFile {
    /// Also for writing.
    pub write: bool,
    /// Whether the file may or must be new.
    pub create: Create,
    /// Permission bits of a file that is created.
    pub mode: u32,
}

/// Whether opening creates a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Create {
    /// The file must exist.
    Never,
    /// Created if nothing has that name.
    IfMissing,
    /// Nothing may have that name, not even a dangling link (`O_EXCL`).
    New,
}

/// The identity of a file, by handle or by path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Stat {
    /// The device; with `inode`, the identity of a file.
    pub device: u64,
    /// The file's number on its device.
    pub inode: u64,
    /// Length.
    pub size_bytes: u64,
    /// Names that lead to it.
    pub links: u64,
    /// Neither a directory, a FIFO, a socket nor a device.
    pub is_file: bool,
    /// Permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

impl Stat {
    /// Whether both are the same file, whatever its length is now.
    pub fn same_file(&self, other: &Stat) -> bool {
        (self.device, self.inode) == (other.device, other.inode)
    }
}
