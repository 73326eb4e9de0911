//! A simulated machine, to test what a program does when the power goes, when processes die, and when calls fail.
//!
//! [`SimDisk`] keeps what programs see and what a power cut leaves apart, plays any number of processes, and has clocks
//! and randomness that only the test moves. It is made for plain `cargo test`: whatever it finds, it finds again.
//!
//! It is compiled with the feature `sim` only, which a program asks for under `[dev-dependencies]`, so that its tests
//! have the simulated disk and its releases do not: `shelflife = { path = "vendor/shelflife", features = ["sim"] }`.
//!
//! # Cut the power on your own program
//!
//! Run it on a simulated disk, and note each promise that it makes. Every disk that a power cut at any step could have
//! left is there to be looked at: does it keep the promises that were made until then?
//!
//! ```
//! use shelflife::{Options, sim::SimDisk};
//! # fn main() -> shelflife::Result<()> {
//! let sim = SimDisk::new(7);
//! let store = Options::new().disk(sim.disk()).open("orders.shelf")?;
//! for order in ["tea", "milk", "sugar"] {
//!     store.insert(order, "paid")?; // here goes your program
//!     sim.acknowledge();
//! }
//! for cut in sim.power_cuts() {
//!     let store = Options::new().disk(cut.disk()).open("orders.shelf")?;
//!     for order in ["tea", "milk", "sugar"].iter().take(cut.acknowledged()) {
//!         assert!(store.contains_key(order)?, "{order} is lost in {}", cut.id());
//!     }
//! }
//! # Ok(()) }
//! ```
//!
//! A failure prints something like `7:12:30`. To look at that disk again, make the machine with the seed 7, run the
//! same program, and ask for it: `sim.power_cut("7:12:30".parse()?)?`. A machine after a power cut is a machine too, so
//! the power can be cut again while a program recovers on it.
//!
//! # Let calls fail
//!
//! ```
//! use shelflife::sim::{Call, Fault, FaultKind, SimDisk};
//! use shelflife::{ErrorKind, Options};
//! # fn main() -> shelflife::Result<()> {
//! let sim = SimDisk::new(7);
//! let store = Options::new().disk(sim.disk()).open("s.shelf")?;
//! sim.inject(Fault::new(FaultKind::Enospc).on(Call::Write));
//! assert_eq!(store.insert("key", "value").unwrap_err().kind(), ErrorKind::Io);
//! assert!(store.insert("key", "value")?, "there is space again");
//! # Ok(()) }
//! ```
//!
//! # Several processes
//!
//! Each [`SimDisk::disk`] is another process's view. [`SimDisk::run`] interleaves them as a [`Schedule`] decides, from
//! a seed or in every way there is. On a simulated disk open stores with
//! [`Compaction::Inline`](crate::Compaction::Inline) or `Manual` if runs must repeat exactly: a thread has a will of
//! its own.
//!
//! # The promises that it assumes of disks
//!
//! The weakest that ext4, XFS and Btrfs promise. Bytes that were written and not synced reach the disk in any order, by
//! sectors of 512 bytes, or not at all; the last write may be torn at any byte; the length may be there before the
//! data, and shows zeros, garbage or the bytes that stood there before. New names appear one by one, each whole, in any
//! order, until their folder is synced. Synced bytes stay, unless a test lets them rot. A sync that fails does not
//! happen later either; each handle that has the file open at that moment is told once, by its own next sync, and no
//! handle that is opened afterwards is told.
//!
//! # The rooms
//!
//! Each file uses only files above it in this list, as in the engine (`src/store.rs`).
//!
//! | room | what it is |
//! |---|---|
//! | `fault`, `random`, `content` | calls and how they fail; numbers from a seed; bytes that are cheap to clone |
//! | `schedule`, `baton` | the order in which processes go on, and the one that does |
//! | `fs` | files and folders, as programs see them and as a power cut leaves them |
//! | `machine` | all of a machine, and in it whose turn it is |
//! | `sim` | the machine, as a test sees it |
//! | `process`, `file`, `process/disk` | a process, a file that it has open, and the seam over both |
//! | `variants`, `images`, `power` | a file, a disk and a machine after a power cut |
//! | `sim/made`, `sim/run` | what a test makes of a machine: processes, disks after a power cut, runs |

mod baton;
mod content;
mod fault;
mod file;
mod fs;
mod images;
mod machine;
mod made;
mod power;
mod process;
mod random;
mod run;
mod schedule;
mod variants;

use content::Content;
pub use fault::{Call, Event, Fault, FaultKind};
pub use fs::FailedSync;
use fs::{Effect, Fs, Inode, Kind, Node, Owner};
use machine::{History, Machine};
pub use power::{ImageId, PowerCut, PowerCuts};
pub use process::{Program, SimProcess};
use random::Random;
pub use schedule::{Ran, Schedule};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

/// A machine with a disk in memory. A clone is the same machine.
///
/// Its file system has one folder, `/`, to begin with; a relative path starts there. It does what the operating
/// system's does, except that folders cannot be renamed, nor files moved between folders (`CrossesDevices`), and that
/// nothing has more than 1 GiB ([`SimDisk::set_max_file_size`]).
#[derive(Clone)]
pub struct SimDisk(Arc<Mutex<Machine>>);

/// The things that can stand in a folder besides files, for [`SimDisk::plant`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Plant {
    /// An empty folder.
    Directory,
    /// A symbolic link to this path.
    Symlink(PathBuf),
    /// A named pipe.
    Fifo,
}

impl SimDisk {
    /// A machine with an empty disk. The seed decides all its randomness.
    pub fn new(seed: u64) -> SimDisk {
        SimDisk::with(seed, 0, Fs::new())
    }

    fn with(seed: u64, depth: u16, fs: Fs) -> SimDisk {
        SimDisk(Arc::new(Mutex::new(Machine::new(seed, depth, fs))))
    }

    /// A panic in a test must not hide behind a poisoned lock: the state is consistent between calls.
    fn lock(&self) -> MutexGuard<'_, Machine> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends a process as SIGKILL does: its locks are free, what it wrote stays in the cache, and whatever it still
    /// calls fails and changes nothing.
    pub fn kill(&self, pid: u32) {
        self.lock().kill(pid);
    }

    /// Notes that something has just been promised to survive a power cut; [`PowerCut::acknowledged`] tells how often
    /// that had happened before the power went.
    pub fn acknowledge(&self) {
        self.lock().history.acknowledged += 1;
    }

    /// How many changes of the disk there were so far: the power can be cut before, between and after them.
    pub fn steps(&self) -> usize {
        self.lock().history.len()
    }

    /// Forgets how the disk came to be as it is. The power is not cut at earlier steps any more, and the memory that
    /// remembers them is free.
    pub fn forget(&self) {
        let mut machine = self.lock();
        machine.calls.trace.clear();
        machine.history = History {
            start: machine.fs.clone(),
            first_step: machine.history.len(),
            steps: Arc::default(),
            acknowledged: machine.history.acknowledged,
        };
    }

    /// Lets time pass on all clocks.
    pub fn advance(&self, duration: Duration) {
        let mut machine = self.lock();
        machine.monotonic = machine.monotonic.saturating_add(duration);
    }

    /// Sets the time of day, for all processes that have none of their own.
    pub fn set_wall_clock(&self, time: SystemTime) {
        let mut machine = self.lock();
        machine.wall_zero = time.checked_sub(machine.monotonic).unwrap_or(time);
    }

    /// From here on every process draws the same bytes, which this seed decides. Two processes that draw afterwards
    /// collide.
    pub fn seed_random(&self, seed: u64) {
        for process in &mut self.lock().processes {
            process.random = Random::new(seed);
        }
    }

    /// Makes a path a mount point, as containers do with a single file: nothing can be renamed over it.
    pub fn mount(&self, path: impl AsRef<Path>) {
        self.lock().mounted.push(path.as_ref().to_path_buf());
    }

    /// Says that the disk is on a network file system of this type, or is local.
    pub fn set_network_file_system(&self, kind: Option<&str>) {
        self.lock().network = kind.map(str::to_owned);
    }

    /// Lets a fault happen; of several that are meant for one call, the first injected does.
    pub fn inject(&self, fault: Fault) {
        self.lock().calls.faults.push(fault);
    }

    /// Injects no more of what was to be injected.
    pub fn clear_faults(&self) {
        self.lock().calls.faults.clear();
    }

    /// How many faults have happened.
    pub fn faults(&self) -> u64 {
        self.lock().calls.struck
    }

    /// Chooses the fate of written bytes when a sync fails.
    pub fn set_failed_sync(&self, how: FailedSync) {
        self.lock().failed_sync = how;
    }

    /// How many calls of this kind there were.
    pub fn calls(&self, call: Call) -> u64 {
        self.lock().calls.count(call)
    }

    /// Every call since the machine was made, or since it was last told to [`SimDisk::forget`].
    pub fn trace(&self) -> Vec<Event> {
        self.lock().calls.trace.clone()
    }

    /// How much all files together hold.
    pub fn used_bytes(&self) -> u64 {
        self.lock().fs.size_bytes()
    }

    /// Limits how much all files together may hold. The write that goes over is short, the next one fails with
    /// `StorageFull`.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.lock().capacity_bytes = bytes;
    }

    /// Limits the length of each file (1 GiB if not set). The write that goes over is short, the next one fails with
    /// `FileTooLarge`.
    pub fn set_max_file_size(&self, bytes: u64) {
        self.lock().max_file_bytes = bytes;
    }

    /// The bytes of a file, as programs see them.
    ///
    /// # Errors
    /// `NotFound`, if no file has that path.
    pub fn read(&self, path: impl AsRef<Path>) -> io::Result<Vec<u8>> {
        let machine = self.lock();
        let inode = machine.fs.lookup(path.as_ref())?;
        Ok(machine.fs.inode(inode)?.cached.content.to_vec())
    }

    /// Gives a file this content, durable at once, as an admin does who restores a backup in place. A file that is
    /// created belongs to user 1000 and has mode 0600.
    ///
    /// # Errors
    /// `NotFound`, if there is no such folder.
    pub fn write(&self, path: impl AsRef<Path>, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        let mut machine = self.lock();
        let place = machine.fs.locate(path.as_ref(), true)?;
        let mut owner = Owner {
            uid: 1000,
            gid: 1000,
            mode: 0o600,
        };
        let number = match machine.fs.node(&place) {
            Some(Node::Inode(number)) => {
                owner = machine.fs.inode(number)?.cached.owner;
                number
            }
            _ => machine.new_inode(0),
        };
        let inode = Inode::new(Kind::File, owner, Content::new(bytes.as_ref()));
        plant(&mut machine, &place, Node::Inode(number), Some(inode))
    }

    /// Puts something that is no file of its own at a path, durable at once.
    ///
    /// # Errors
    /// `NotFound`, if there is no such folder, or nothing to link to; `AlreadyExists`, if the path is taken.
    pub fn plant(&self, path: impl AsRef<Path>, what: Plant) -> io::Result<()> {
        let mut machine = self.lock();
        let place = machine.fs.locate(path.as_ref(), false)?;
        if machine.fs.node(&place).is_some() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let kind = match what {
            Plant::Symlink(target) => {
                return plant(&mut machine, &place, Node::Symlink(target), None);
            }
            Plant::Directory => Kind::Directory,
            Plant::Fifo => Kind::Fifo,
        };
        let owner = Owner {
            uid: 1000,
            gid: 1000,
            mode: 0o700,
        };
        let number = machine.new_inode(0);
        let inode = Inode::new(kind, owner, Content::default());
        plant(&mut machine, &place, Node::Inode(number), Some(inode))
    }

    /// Gives whatever has this path an owner, a group and permission bits, durable at once.
    ///
    /// # Errors
    /// `NotFound`, if nothing has that path.
    pub fn set_owner(
        &self,
        path: impl AsRef<Path>,
        uid: u32,
        gid: u32,
        mode: u32,
    ) -> io::Result<()> {
        let mut machine = self.lock();
        let inode = machine.fs.lookup(path.as_ref())?;
        let owner = Owner { uid, gid, mode };
        machine.apply(Effect::Own { inode, owner });
        Ok(())
    }

    /// Puts bytes over those of a file, in the cache and on the disk, as a rotten sector does; none are put behind
    /// the end.
    ///
    /// # Errors
    /// `NotFound`, if no file has that path.
    pub fn overwrite(&self, path: impl AsRef<Path>, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut machine = self.lock();
        let inode = machine.fs.lookup(path.as_ref())?;
        machine.apply(Effect::Overwrite {
            inode,
            at: usize::try_from(offset).unwrap_or(usize::MAX),
            bytes: Arc::from(bytes),
        });
        Ok(())
    }

    /// Turns one bit of a file (0 is the lowest of its byte) over, in the cache and on the disk.
    ///
    /// # Errors
    /// `NotFound`, if no file has that path.
    pub fn flip_bit(&self, path: impl AsRef<Path>, offset: u64, bit: u32) -> io::Result<()> {
        let bytes = self.read(path.as_ref())?;
        let byte = usize::try_from(offset).ok().and_then(|at| bytes.get(at));
        match byte {
            Some(byte) => self.overwrite(path, offset, &[byte ^ (1 << (bit % 8))]),
            None => Ok(()),
        }
    }
}

fn plant(machine: &mut Machine, place: &Path, node: Node, inode: Option<Inode>) -> io::Result<()> {
    let (dir, name) = fs::split(place).ok_or(io::ErrorKind::AlreadyExists)?;
    if !machine.fs.dirs.contains_key(dir) {
        return Err(io::ErrorKind::NotFound.into());
    }
    machine.apply(Effect::Plant {
        dir: dir.to_path_buf(),
        name: name.to_owned(),
        node,
        inode: inode.map(Arc::new),
    });
    Ok(())
}

impl fmt::Debug for SimDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimDisk")
            .field("seed", &self.lock().seed)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
