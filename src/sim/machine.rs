//! The state of a simulated machine: its disk, its history, its processes and what they have open.

pub(super) mod turns;

use super::baton::Baton;
use super::fault::Calls;
use super::fs::{Effect, FailedSync, Fs, Owner};
use super::random::Random;
use crate::store::disk::Stat;
use std::collections::HashMap;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

#[derive(Debug)]
pub(super) struct Machine {
    pub(super) seed: u64,
    /// How many power cuts lie between the first machine and this one.
    pub(super) depth: u16,
    pub(super) fs: Fs,
    pub(super) history: History,
    pub(super) processes: Vec<Process>,
    /// Open file descriptions.
    pub(super) files: HashMap<u64, Open>,
    next_file: u64,
    /// Which open file description has the lock of an inode.
    pub(super) locks: HashMap<u64, u64>,
    pub(super) monotonic: Duration,
    /// The time of day when the monotonic clock showed zero.
    pub(super) wall_zero: SystemTime,
    pub(super) network: Option<String>,
    /// Paths over which nothing can be renamed.
    pub(super) mounted: Vec<PathBuf>,
    pub(super) capacity_bytes: Option<u64>,
    pub(super) max_file_bytes: u64,
    pub(super) failed_sync: FailedSync,
    pub(super) calls: Calls,
    pub(super) baton: Option<Baton>,
}

/// Everything that changed the disk, so that the power can be cut at any step of it.
#[derive(Debug, Clone)]
pub(super) struct History {
    pub(super) start: Fs,
    pub(super) first_step: usize,
    /// Shared with those who replay it.
    pub(super) steps: Arc<Vec<Step>>,
    pub(super) acknowledged: usize,
}

#[derive(Debug, Clone)]
pub(super) struct Step {
    pub(super) effect: Effect,
    /// How much had been acknowledged before this step.
    pub(super) acknowledged: usize,
}

#[derive(Debug, Clone)]
pub(super) struct Process {
    pub(super) alive: bool,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) wall_zero: Option<SystemTime>,
    pub(super) random: Random,
    inodes: u64,
    /// The file that each path led to when this process last looked it up.
    stats: HashMap<PathBuf, Stat>,
}

#[derive(Debug)]
pub(super) struct Open {
    pub(super) inode: u64,
    /// The process that opened it, and its forked children.
    pub(super) holders: Vec<u32>,
    pub(super) write: bool,
    /// As it was last looked up.
    pub(super) stat: Stat,
    /// A sync through another description failed since it was opened: its own next one says so.
    pub(super) owes_error: bool,
}

impl History {
    /// The steps that happened since the machine was made, those included that were forgotten.
    pub(super) fn len(&self) -> usize {
        self.first_step + self.steps.len()
    }

    /// How much had been acknowledged when the step after this one began.
    pub(super) fn acknowledged_at(&self, step: usize) -> usize {
        let next = self.steps.get(step.wrapping_sub(self.first_step));
        next.map_or(self.acknowledged, |next| next.acknowledged)
    }

    /// The effect that led to this step.
    pub(super) fn effect(&self, step: usize) -> Option<&Effect> {
        let index = step.checked_sub(self.first_step)?.checked_sub(1)?;
        self.steps.get(index).map(|step| &step.effect)
    }
}

impl Machine {
    pub(super) fn new(seed: u64, depth: u16, fs: Fs) -> Machine {
        Machine {
            seed,
            depth,
            history: History {
                start: fs.clone(),
                first_step: 0,
                steps: Arc::default(),
                acknowledged: 0,
            },
            fs,
            processes: Vec::new(),
            files: HashMap::new(),
            next_file: 1,
            locks: HashMap::new(),
            monotonic: Duration::from_secs(1_000),
            wall_zero: SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_225_600),
            network: None,
            mounted: Vec::new(),
            capacity_bytes: None,
            max_file_bytes: 1 << 30,
            failed_sync: FailedSync::default(),
            calls: Calls::default(),
            baton: None,
        }
    }

    pub(super) fn apply(&mut self, effect: Effect) {
        self.fs.apply(self.history.len() + 1, &effect);
        Arc::make_mut(&mut self.history.steps).push(Step {
            effect,
            acknowledged: self.history.acknowledged,
        });
    }

    pub(super) fn spawn(&mut self, uid: u32, gid: u32) -> u32 {
        let pid = self.processes.len() as u32 + 1;
        self.processes.push(Process {
            alive: true,
            uid,
            gid,
            wall_zero: None,
            random: Random::new(super::content::mix(self.seed, u64::from(pid))),
            inodes: 0,
            stats: HashMap::new(),
        });
        pid
    }

    /// Pid 0 is the test, which reaches into the machine from outside.
    pub(super) fn new_inode(&mut self, pid: u32) -> u64 {
        // Numbered per process, so that the numbers do not depend on who came first.
        let count = match self.process_mut(pid) {
            Some(process) => {
                process.inodes += 1;
                process.inodes
            }
            None => self.history.len() as u64 + 1,
        };
        u64::from(self.depth) << 48 | u64::from(pid) << 32 | count
    }

    pub(super) fn process(&self, pid: u32) -> io::Result<&Process> {
        let process = self.processes.get((pid as usize).wrapping_sub(1));
        match process {
            Some(process) if process.alive => Ok(process),
            _ => Err(killed()),
        }
    }

    pub(super) fn process_mut(&mut self, pid: u32) -> Option<&mut Process> {
        self.processes.get_mut((pid as usize).wrapping_sub(1))
    }

    pub(super) fn remember(&mut self, pid: u32, path: &Path, stat: Stat) {
        if let Some(process) = self.process_mut(pid) {
            process.stats.insert(path.to_path_buf(), stat);
        }
    }

    pub(super) fn remembered(&self, pid: u32, path: &Path) -> Option<Stat> {
        self.process(pid).ok()?.stats.get(path).copied()
    }

    pub(super) fn wall_clock(&self, pid: u32) -> SystemTime {
        let own = self.processes.get((pid as usize).wrapping_sub(1));
        let zero = own.and_then(|process| process.wall_zero);
        let zero = zero.unwrap_or(self.wall_zero);
        zero.checked_add(self.monotonic).unwrap_or(zero)
    }

    /// Whether the process may do to a file of that owner what the three bits ask for.
    pub(super) fn may(&self, pid: u32, owner: Owner, bits: u32) -> io::Result<()> {
        let process = self.process(pid)?;
        let granted = if process.uid == owner.uid {
            owner.mode >> 6
        } else if process.gid == owner.gid {
            owner.mode >> 3
        } else {
            owner.mode
        };
        match process.uid == 0 || granted & bits == bits {
            true => Ok(()),
            false => Err(io::ErrorKind::PermissionDenied.into()),
        }
    }

    pub(super) fn open(&mut self, open: Open) -> u64 {
        let file = self.next_file;
        self.next_file += 1;
        self.files.insert(file, open);
        file
    }

    pub(super) fn file(&self, file: u64) -> io::Result<&Open> {
        self.files.get(&file).ok_or_else(bad_descriptor)
    }

    /// Each handle that has the file open when another's sync fails is told once, by its own next sync.
    pub(super) fn tell_of_failed_sync(&mut self, inode: u64, failed: u64) {
        for (file, open) in &mut self.files {
            if open.inode == inode {
                open.owes_error = *file != failed;
            }
        }
    }

    /// Closes it for one process. The last one frees the lock.
    pub(super) fn close(&mut self, file: u64, pid: u32) {
        let Some(open) = self.files.get_mut(&file) else {
            return;
        };
        open.holders.retain(|holder| *holder != pid);
        if !open.holders.is_empty() {
            return;
        }
        let Some(open) = self.files.remove(&file) else {
            return;
        };
        if self.locks.get(&open.inode) == Some(&file) {
            self.locks.remove(&open.inode);
        }
        self.collect();
    }

    /// Frees the blocks of files that nobody has open and no name leads to.
    pub(super) fn collect(&mut self) {
        let open: Vec<u64> = self.files.values().map(|open| open.inode).collect();
        let inodes = self.fs.inodes.keys().copied();
        let lost = inodes.filter(|inode| !open.contains(inode) && !self.fs.is_reachable(*inode));
        for inode in lost.collect::<Vec<u64>>() {
            self.fs.inodes.remove(&inode);
        }
    }

    pub(super) fn kill(&mut self, pid: u32) {
        if let Some(process) = self.process_mut(pid) {
            process.alive = false;
        }
        let mut files: Vec<u64> = self.files.keys().copied().collect();
        files.sort_unstable();
        for file in files {
            self.close(file, pid);
        }
    }

    /// The folder and name that a new name would have, if the process may put one there.
    pub(super) fn writable_dir(&self, pid: u32, place: &Path) -> io::Result<(PathBuf, OsString)> {
        let (dir, name) = super::fs::split(place).ok_or(io::ErrorKind::IsADirectory)?;
        let inode = self.fs.dirs.get(dir).ok_or(io::ErrorKind::NotFound)?.inode;
        self.may(pid, self.fs.inode(inode)?.cached.owner, 0o3)?;
        Ok((dir.to_path_buf(), name.to_owned()))
    }
}

pub(super) fn killed() -> io::Error {
    io::Error::other("the simulated process was killed")
}

pub(super) fn eio() -> io::Error {
    io::Error::from_raw_os_error(5)
}

pub(super) fn bad_descriptor() -> io::Error {
    io::Error::from_raw_os_error(9)
}
