//! An open file of a simulated process.

use super::SimProcess;
use super::fault::{Call, FaultKind};
use super::fs::{Effect, FileChange, Kind, Owner};
use super::machine::{Machine, bad_descriptor, eio};
use super::process::{Caller, stat_of};
use crate::store::disk::{DiskFile, Stat, sealed::Sealed};
use std::fmt;
use std::hash::Hash;
use std::io;
use std::path::Path;
use std::sync::Arc;

/// An open file description; dropping it closes it.
pub(super) struct SimFile {
    pub(super) process: SimProcess,
    pub(super) file: u64,
}

impl Sealed for SimFile {}

impl SimFile {
    fn call<T: Hash>(
        &self,
        call: Call,
        act: impl FnOnce(&mut Machine, u64, Caller) -> io::Result<T>,
    ) -> io::Result<T> {
        self.process.call(call, Some(self.file), |machine, caller| {
            let inode = machine.file(self.file)?.inode;
            act(machine, inode, caller)
        })
    }
}

/// Offsets and lengths of a simulated file fit in memory.
fn in_memory(value: u64) -> io::Result<usize> {
    usize::try_from(value).map_err(|_| io::ErrorKind::FileTooLarge.into())
}

impl DiskFile for SimFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.call(Call::Read, |machine, inode, caller| {
            let inode = machine.fs.inode(inode)?;
            if inode.kind != Kind::File {
                return Err(io::ErrorKind::IsADirectory.into());
            }
            let len = caller.shorten(buf.len());
            let content = &inode.cached.content;
            let count = content.read(in_memory(offset)?, &mut buf[..len]);
            machine.tell(caller.pid, &buf[..count]);
            Ok(count)
        })
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<usize> {
        self.call(Call::Write, |machine, inode, caller| {
            if !machine.file(self.file)?.write {
                return Err(bad_descriptor());
            }
            let asked = caller.shorten(buf.len());
            let len = machine.fs.inode(inode)?.cached.content.len();
            let mut end = offset
                .saturating_add(asked as u64)
                .min(machine.max_file_bytes);
            if end <= offset && asked > 0 {
                return Err(io::ErrorKind::FileTooLarge.into());
            }
            if let Some(capacity) = machine.capacity_bytes {
                let free = capacity.saturating_sub(machine.fs.size_bytes());
                end = end.min((len as u64).saturating_add(free));
            }
            if end <= offset && asked > 0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            let count = in_memory(end.saturating_sub(offset))?;
            if count > 0 {
                let change = FileChange::Write {
                    at: in_memory(offset)?,
                    bytes: Arc::from(&buf[..count]),
                };
                machine.apply(Effect::File { inode, change });
            }
            Ok(count)
        })
    }

    fn set_len(&self, len_bytes: u64) -> io::Result<()> {
        self.call(Call::SetLen, |machine, inode, _| {
            if !machine.file(self.file)?.write {
                return Err(io::ErrorKind::InvalidInput.into());
            }
            let len = machine.fs.inode(inode)?.cached.content.len() as u64;
            let grows = len_bytes.saturating_sub(len);
            if grows > 0 && len_bytes > machine.max_file_bytes {
                return Err(io::ErrorKind::FileTooLarge.into());
            }
            let room = machine.capacity_bytes.map_or(u64::MAX, |capacity| {
                capacity.saturating_sub(machine.fs.size_bytes())
            });
            if grows > room {
                return Err(io::ErrorKind::StorageFull.into());
            }
            let change = FileChange::SetLen(in_memory(len_bytes)?);
            machine.apply(Effect::File { inode, change });
            Ok(())
        })
    }

    fn sync(&self) -> io::Result<()> {
        self.call(Call::Sync, |machine, inode, caller| match caller.fault {
            Some(FaultKind::Elide) => Ok(()),
            Some(fault) => {
                // An interrupted sync may be repeated: nothing was dropped.
                if fault != FaultKind::Eintr {
                    let how = machine.failed_sync;
                    machine.apply(Effect::FailedSync { inode, how });
                    machine.tell_of_failed_sync(inode, self.file);
                }
                fault.error().map_or(Ok(()), Err)
            }
            None => {
                machine.apply(Effect::Sync { inode });
                let open = machine.files.get_mut(&self.file);
                match open.is_some_and(|open| std::mem::take(&mut open.owes_error)) {
                    true => Err(eio()),
                    false => Ok(()),
                }
            }
        })
    }

    fn size(&self) -> io::Result<u64> {
        self.call(Call::Size, |machine, inode, _| {
            Ok(machine.fs.inode(inode)?.cached.content.len() as u64)
        })
    }

    fn reads_beside(&self) -> bool {
        false
    }

    fn is_named(&self, _: &Path) -> bool {
        false
    }

    fn stat(&self) -> io::Result<Stat> {
        self.call(Call::Stat, |machine, inode, caller| {
            let stat = stat_of(inode, machine.fs.inode(inode)?);
            match machine.files.get_mut(&self.file) {
                Some(open) if caller.elides() => Ok(open.stat),
                Some(open) => {
                    open.stat = stat;
                    Ok(stat)
                }
                None => Err(bad_descriptor()),
            }
        })
    }

    fn touch(&self) -> io::Result<()> {
        Ok(())
    }

    fn set_owner(&self, uid: u32, gid: u32, mode: u32) -> io::Result<()> {
        self.call(Call::SetOwner, |machine, inode, caller| {
            let owner = machine.fs.inode(inode)?.cached.owner;
            let who = machine.process(caller.pid)?;
            // As the kernel has it: only root gives files away, an owner changes the group to its own.
            let allowed =
                who.uid == owner.uid && uid == owner.uid && (gid == owner.gid || gid == who.gid);
            if who.uid != 0 && !allowed {
                return Err(io::ErrorKind::PermissionDenied.into());
            }
            let change = FileChange::SetOwner(Owner { uid, gid, mode });
            machine.apply(Effect::File { inode, change });
            Ok(())
        })
    }

    fn try_lock(&self) -> io::Result<bool> {
        self.call(Call::TryLock, |machine, inode, caller| {
            let taken = *machine.locks.entry(inode).or_insert(self.file) == self.file;
            if !taken {
                machine.refuse(caller.pid, inode);
            }
            Ok(taken)
        })
    }

    fn unlock(&self) -> io::Result<()> {
        self.call(Call::Unlock, |machine, inode, _| {
            if machine.locks.get(&inode) == Some(&self.file) {
                machine.locks.remove(&inode);
            }
            Ok(())
        })
    }
}

impl Drop for SimFile {
    fn drop(&mut self) {
        let mut machine = self.process.sim().lock();
        machine.close(self.file, self.process.id());
    }
}

impl fmt::Debug for SimFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("SimFile");
        shown.field("process", &self.process.id());
        shown.field("file", &self.file).finish()
    }
}
