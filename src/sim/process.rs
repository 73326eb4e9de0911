//! One process of a simulated machine: its calls, each in its turn, and the program that it runs.

pub(super) mod disk;

use super::SimDisk;
use super::baton::Wish;
use super::fault::{Call, Event, FaultKind};
use super::fs::{Inode, Kind, Owner};
use super::machine::turns::turn;
use super::machine::{Machine, killed};
use crate::store::disk::{Disk, Stat};
use std::fmt;
use std::hash::Hash;
use std::io;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, MutexGuard};
use std::time::SystemTime;

/// One process on a simulated machine: a [`Disk`] with an id, a user and a clock of its own.
///
/// A clone is the same process.
#[derive(Clone)]
pub struct SimProcess {
    sim: SimDisk,
    /// Raised by the thread that plays a fork.
    pid: Arc<AtomicU32>,
}

/// The work of one process in [`SimDisk::run`], made by [`SimProcess::program`].
pub struct Program<'a> {
    pub(super) process: SimProcess,
    pub(super) body: Box<dyn FnOnce() + Send + 'a>,
}

/// The process that calls, and a fault that the call itself has to play.
#[derive(Clone, Copy)]
pub(super) struct Caller {
    pub(super) pid: u32,
    pub(super) fault: Option<FaultKind>,
}

impl Caller {
    pub(super) fn elides(self) -> bool {
        self.fault == Some(FaultKind::Elide)
    }

    pub(super) fn shorten(self, len: usize) -> usize {
        self.fault.map_or(len, |fault| fault.shorten(len))
    }
}

/// A call that has its turn.
struct Started<'a> {
    machine: MutexGuard<'a, Machine>,
    inode: u64,
    caller: Caller,
    /// The error that is injected in place of the call.
    failure: Option<io::Error>,
}

impl SimProcess {
    /// A new process of a machine.
    pub(super) fn of(sim: &SimDisk, uid: u32, gid: u32) -> SimProcess {
        let pid = sim.lock().spawn(uid, gid);
        SimProcess {
            sim: sim.clone(),
            pid: Arc::new(AtomicU32::new(pid)),
        }
    }

    /// The machine that it runs on.
    pub fn sim(&self) -> &SimDisk {
        &self.sim
    }

    /// Its disk.
    pub fn disk(&self) -> Arc<dyn Disk> {
        Arc::new(self.clone())
    }

    /// The process id, for [`SimDisk::kill`].
    pub fn id(&self) -> u32 {
        self.pid.load(Ordering::Relaxed)
    }

    /// From here on this is the child that a fork made: with another id, and with the open files of its parent, whose
    /// locks both have.
    pub fn fork(&self) {
        let mut machine = self.sim.lock();
        let parent = machine
            .process(self.id())
            .map(|parent| (parent.uid, parent.gid));
        let (uid, gid) = parent.unwrap_or((0, 0));
        let child = machine.spawn(uid, gid);
        for open in machine.files.values_mut() {
            if open.holders.contains(&self.id()) {
                open.holders.push(child);
            }
        }
        self.pid.store(child, Ordering::Relaxed);
    }

    /// Sets the time of day of this process alone.
    pub fn set_wall_clock(&self, time: SystemTime) {
        let mut machine = self.sim.lock();
        let zero = time.checked_sub(machine.monotonic).unwrap_or(time);
        if let Some(process) = machine.process_mut(self.id()) {
            process.wall_zero = Some(zero);
        }
    }

    /// The work of this process in [`SimDisk::run`]: an error ends it, and fails the run unless the process was killed.
    /// Only the thread that runs the body may use this process then.
    pub fn program<'a, E: fmt::Debug>(
        &self,
        body: impl FnOnce() -> Result<(), E> + Send + 'a,
    ) -> Program<'a> {
        let process = self.clone();
        let body = move || {
            if let Err(error) = body() {
                let alive = process.sim().lock().process(process.id()).is_ok();
                assert!(!alive, "a program ended with {error:?}");
            }
        };
        Program {
            process: self.clone(),
            body: Box::new(body),
        }
    }

    /// Every call that can fail goes through here.
    pub(super) fn call<T: Hash>(
        &self,
        call: Call,
        file: Option<u64>,
        act: impl FnOnce(&mut Machine, Caller) -> io::Result<T>,
    ) -> io::Result<T> {
        let mut started = self.start(call, file)?;
        let result = match started.failure.take() {
            Some(error) => Err(error),
            None => act(&mut started.machine, started.caller),
        };
        let Caller { pid, fault } = started.caller;
        let answer = result.as_ref().map_err(io::Error::kind);
        started.machine.tell(pid, (call, answer));
        started.machine.calls.trace.push(Event {
            process: pid,
            call,
            inode: started.inode,
            ok: result.is_ok(),
            fault,
        });
        result
    }

    fn start(&self, call: Call, file: Option<u64>) -> io::Result<Started<'_>> {
        let pid = self.id();
        // No other process has an influence on the answer of these two, so that they need no turn.
        let mut machine = match call {
            Call::Random | Call::NetworkFileSystem => self.sim.lock(),
            _ => turn(|| self.sim.lock(), pid, Wish::Call(call, file)),
        };
        machine.process(pid)?;
        let inode = match file {
            Some(file) => machine.file(file)?.inode,
            None => 0,
        };
        let fault = machine.calls.strike(call, pid);
        let failure = match fault {
            Some(FaultKind::Kill) => {
                machine.kill(pid);
                Some(killed())
            }
            Some(FaultKind::Panic) => {
                machine.calls.trace.push(Event {
                    process: pid,
                    call,
                    inode,
                    ok: false,
                    fault,
                });
                drop(machine);
                // Without the hook's word for it, since the test that injects a panic expects one.
                resume_unwind(Box::new(
                    "a call to the simulated disk panicked, as was asked for",
                ));
            }
            // A sync that fails does something.
            Some(fault) if call != Call::Sync => fault.error(),
            _ => None,
        };
        Ok(Started {
            machine,
            inode,
            caller: Caller { pid, fault },
            failure,
        })
    }
}

pub(super) fn stat_of(number: u64, inode: &Inode) -> Stat {
    let Owner { uid, gid, mode } = inode.cached.owner;
    Stat {
        device: 1,
        inode: number,
        size_bytes: inode.cached.content.len() as u64,
        links: 1,
        is_file: inode.kind == Kind::File,
        mode,
        uid,
        gid,
    }
}

impl fmt::Debug for SimProcess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SimProcess").field(&self.id()).finish()
    }
}

impl fmt::Debug for Program<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Program").field(&self.process).finish()
    }
}
