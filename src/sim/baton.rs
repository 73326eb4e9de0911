//! The baton of processes that run one at a time: the one that has it makes a call, and goes on to its next.

use super::fault::Call;
use super::schedule::Schedule;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::thread::Thread;
use std::time::Duration;

/// Programs that end make fewer calls.
pub(super) const CALLS_MAX: u64 = 10_000_000;
pub(super) const NOBODY: usize = usize::MAX;

#[derive(Debug)]
pub(super) struct Baton {
    pub(super) schedule: Schedule,
    pub(super) runners: Vec<Runner>,
    /// The number of the runner that has the baton. Written by the thread that passes it on, with the machine's mutex;
    /// those that wait for it read it without.
    pub(super) holder: Arc<AtomicUsize>,
    pub(super) calls: u64,
    /// All are killed and run to their end.
    pub(super) given_up: bool,
}

/// The baton on its way to another runner, who may be asleep, or to nobody once all are done.
#[derive(Debug)]
pub(super) struct Passed {
    /// That of the baton, already written: the runner that is woken finds its number.
    pub(super) holder: Arc<AtomicUsize>,
    pub(super) thread: Option<Thread>,
}

impl Passed {
    /// Wakes that runner, and returns the holder. The caller has given the machine's mutex back: the runner asks for it
    /// at once, and would fall asleep again.
    pub(super) fn wake(self) -> Arc<AtomicUsize> {
        if let Some(thread) = self.thread {
            thread.unpark();
        }
        self.holder
    }
}

#[derive(Debug)]
pub(super) struct Runner {
    pub(super) pid: u32,
    pub(super) thread: Option<Thread>,
    pub(super) state: State,
    /// The inode whose lock it was refused by the last call.
    pub(super) refused: Option<u64>,
    /// A hash of every answer it ever got: after the same answers a program does the same.
    pub(super) told: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum State {
    /// It has not begun.
    New,
    /// It makes a call when it can.
    Ready,
    /// It asks again for the lock of this inode, which it was just refused.
    Asking(u64),
    /// Until then, or until the lock that it was refused is free.
    Sleeping(Duration, Option<u64>),
    Done,
}

/// The call that a process is about to make, as far as others matter to it.
#[derive(Debug, Clone, Copy)]
pub(super) enum Wish {
    /// With the open file that it is made on.
    Call(Call, Option<u64>),
    Sleep(Duration),
}
