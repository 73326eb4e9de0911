//! The seam, as one simulated process sees it.

use super::super::baton::Wish;
use super::super::fault::Call;
use super::super::file::SimFile;
use super::super::fs::{Effect, Kind, NameChange, Node, Owner};
use super::super::machine::turns::turn;
use super::super::machine::{Machine, Open};
use super::{SimProcess, stat_of};
use crate::store::disk::{Create, Disk, DiskFile, OpenFile, Stat, sealed::Sealed};
use std::ffi::OsString;
use std::hash::{Hash, Hasher};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// The number of an open file description, of which no process knows.
struct Description(u64);

impl Hash for Description {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}

impl Sealed for SimProcess {}

impl Disk for SimProcess {
    fn open(&self, path: &Path, how: OpenFile) -> io::Result<Arc<dyn DiskFile>> {
        let file = self.call(Call::Open, None, |machine, caller| {
            let inode = open(machine, caller.pid, path, how)?;
            let stat = stat_of(inode, machine.fs.inode(inode)?);
            machine.remember(caller.pid, path, stat);
            Ok(Description(machine.open(Open {
                inode,
                holders: vec![caller.pid],
                write: how.write,
                stat,
                owes_error: false,
            })))
        })?;
        Ok(Arc::new(SimFile {
            process: self.clone(),
            file: file.0,
        }))
    }

    fn resolve(&self, path: &Path) -> io::Result<PathBuf> {
        self.call(Call::Resolve, None, |machine, _| {
            machine.fs.lookup(path)?;
            machine.fs.locate(path, true)
        })
    }

    fn stat(&self, path: &Path) -> io::Result<Stat> {
        self.call(Call::StatPath, None, |machine, caller| {
            let before = machine.remembered(caller.pid, path);
            if let Some(before) = before.filter(|_| caller.elides()) {
                return Ok(before);
            }
            let number = machine.fs.lookup(path)?;
            let stat = stat_of(number, machine.fs.inode(number)?);
            machine.remember(caller.pid, path, stat);
            Ok(stat)
        })
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<OsString>> {
        self.call(Call::List, None, |machine, caller| {
            let place = machine.fs.locate(dir, true)?;
            let inode = machine.fs.lookup(&place)?;
            machine.may(caller.pid, machine.fs.inode(inode)?.cached.owner, 0o4)?;
            let dir = machine.fs.dirs.get(&place);
            let dir = dir.ok_or(io::ErrorKind::NotADirectory)?;
            Ok(dir.cached.keys().cloned().collect())
        })
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.call(Call::Rename, None, |machine, caller| {
            let from = machine.fs.locate(from, false)?;
            let to = machine.fs.locate(to, false)?;
            if machine.mounted.contains(&to) {
                return Err(io::ErrorKind::ResourceBusy.into());
            }
            let (dir, to_name) = machine.writable_dir(caller.pid, &to)?;
            let (from_dir, from_name) = machine.writable_dir(caller.pid, &from)?;
            let node = machine.fs.node(&from).ok_or(io::ErrorKind::NotFound)?;
            if machine.fs.dirs.contains_key(&from) || machine.fs.dirs.contains_key(&to) {
                return Err(io::ErrorKind::IsADirectory.into());
            }
            if from_dir != dir {
                return Err(io::ErrorKind::CrossesDevices.into());
            }
            if machine.fs.node(&to).as_ref() == Some(&node) {
                return Ok(()); // as rename(2) has it, both names of one file stay
            }
            let change = NameChange::Rename {
                from: from_name,
                to: to_name,
                node,
            };
            machine.apply(Effect::Name { dir, change });
            Ok(())
        })
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.call(Call::Link, None, |machine, caller| {
            let from = machine.fs.locate(from, false)?;
            let to = machine.fs.locate(to, false)?;
            let (dir, name) = machine.writable_dir(caller.pid, &to)?;
            let node = machine.fs.node(&from).ok_or(io::ErrorKind::NotFound)?;
            if machine.fs.node(&to).is_some() {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            if machine.fs.dirs.contains_key(&from) {
                return Err(io::ErrorKind::PermissionDenied.into());
            }
            if from.parent() != to.parent() {
                return Err(io::ErrorKind::CrossesDevices.into());
            }
            let change = NameChange::Link { name, node };
            machine.apply(Effect::Name { dir, change });
            Ok(())
        })
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.call(Call::Remove, None, |machine, caller| {
            let place = machine.fs.locate(path, false)?;
            let (dir, name) = machine.writable_dir(caller.pid, &place)?;
            let node = machine.fs.node(&place).ok_or(io::ErrorKind::NotFound)?;
            if machine.fs.dirs.contains_key(&place) {
                return Err(io::ErrorKind::IsADirectory.into());
            }
            let change = NameChange::Unlink { name, node };
            machine.apply(Effect::Name { dir, change });
            Ok(())
        })
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.call(Call::SyncDir, None, |machine, caller| {
            let dir = machine.fs.locate(dir, true)?;
            if !machine.fs.dirs.contains_key(&dir) {
                return Err(io::ErrorKind::NotADirectory.into());
            }
            if !caller.elides() {
                machine.apply(Effect::SyncDir { dir });
                machine.collect();
            }
            Ok(())
        })
    }

    fn network_file_system(&self, _: &Path) -> io::Result<Option<String>> {
        self.call(Call::NetworkFileSystem, None, |machine, _| {
            Ok(machine.network.clone())
        })
    }

    fn is_mount_point(&self, path: &Path) -> bool {
        self.sim
            .lock()
            .mounted
            .iter()
            .any(|mounted| mounted == path)
    }

    fn random(&self, buf: &mut [u8]) -> io::Result<()> {
        self.call(Call::Random, None, |machine, caller| {
            if let Some(process) = machine.process_mut(caller.pid) {
                process.random.fill(buf);
            }
            Ok(())
        })
    }

    fn wall_clock(&self) -> SystemTime {
        let mut machine = self.sim.lock();
        let time = machine.wall_clock(self.id());
        machine.tell(self.id(), time);
        time
    }

    fn monotonic(&self) -> Duration {
        let mut machine = self.sim.lock();
        let time = machine.monotonic;
        machine.tell(self.id(), time);
        time
    }

    fn sleep(&self, duration: Duration) {
        let mut machine = turn(|| self.sim.lock(), self.id(), Wish::Sleep(duration));
        machine.tell(self.id(), duration);
    }

    fn process(&self) -> u32 {
        self.id()
    }
}

/// The inode that is opened, made if need be.
fn open(machine: &mut Machine, pid: u32, path: &Path, how: OpenFile) -> io::Result<u64> {
    if how.create != Create::Never && !how.write {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let place = machine.fs.locate(path, how.create != Create::New)?;
    match machine.fs.node(&place) {
        Some(_) if how.create == Create::New => Err(io::ErrorKind::AlreadyExists.into()),
        Some(Node::Inode(inode)) => {
            let found = machine.fs.inode(inode)?;
            machine.may(pid, found.cached.owner, if how.write { 0o6 } else { 0o4 })?;
            match found.kind {
                Kind::Directory if how.write => Err(io::ErrorKind::IsADirectory.into()),
                Kind::Fifo => Err(io::Error::other("opening a FIFO waits for ever")),
                Kind::File | Kind::Directory => Ok(inode),
            }
        }
        None if how.create != Create::Never => {
            let (dir, name) = machine.writable_dir(pid, &place)?;
            let (uid, gid) = machine.process(pid).map(|who| (who.uid, who.gid))?;
            let mode = how.mode;
            let inode = machine.new_inode(pid);
            machine.apply(Effect::Create {
                dir,
                name,
                inode,
                owner: Owner { uid, gid, mode },
            });
            Ok(inode)
        }
        Some(Node::Symlink(_)) | None => Err(io::ErrorKind::NotFound.into()),
    }
}
