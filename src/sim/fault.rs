//! Faults: which call, and what happens to it instead.

use std::io;

/// The calls of a disk that can fail, as [`Fault`] and [`SimDisk::calls`](super::SimDisk::calls) name them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Call {
    /// A file is opened.
    Open,
    /// The links of a path are resolved.
    Resolve,
    /// The file that a path leads to is looked up.
    StatPath,
    /// The names of a folder are listed.
    List,
    /// A file is renamed.
    Rename,
    /// A file gets a second name.
    Link,
    /// A name is removed.
    Remove,
    /// The names of a folder are synced.
    SyncDir,
    /// The type of the file system is asked for.
    NetworkFileSystem,
    /// Random bytes are drawn.
    Random,
    /// A file is read.
    Read,
    /// A file is written.
    Write,
    /// A file is cut or extended.
    SetLen,
    /// A file is synced.
    Sync,
    /// The length of an open file is asked for.
    Size,
    /// Size, owner and identity of an open file are looked up.
    Stat,
    /// A file is given an owner.
    SetOwner,
    /// The lock of a file is tried.
    TryLock,
    /// The lock of a file is given back.
    Unlock,
}

impl Call {
    /// All of them.
    pub const ALL: [Call; 19] = [
        Call::Open,
        Call::Resolve,
        Call::StatPath,
        Call::List,
        Call::Rename,
        Call::Link,
        Call::Remove,
        Call::SyncDir,
        Call::NetworkFileSystem,
        Call::Random,
        Call::Read,
        Call::Write,
        Call::SetLen,
        Call::Sync,
        Call::Size,
        Call::Stat,
        Call::SetOwner,
        Call::TryLock,
        Call::Unlock,
    ];
}

/// The failure that is played in place of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FaultKind {
    /// It fails with an input/output error. For [`Call::Sync`], see [`FailedSync`](super::FailedSync).
    Eio,
    /// It fails with `StorageFull`.
    Enospc,
    /// It fails with `Interrupted`, and would work if repeated.
    Eintr,
    /// It fails because too many files are open.
    Emfile,
    /// It fails with `PermissionDenied`.
    Eacces,
    /// It fails with `ReadOnlyFilesystem`.
    Erofs,
    /// It fails with `Unsupported`.
    Unsupported,
    /// A read or a write transfers at most this many bytes (a read at least one).
    Short(usize),
    /// A read or a write transfers one byte less than it was asked for, if that is any.
    OneShort,
    /// It does nothing and reports success: a sync syncs nothing, a stat gives the answer that it gave before. A test
    /// that does not notice has not proven that the call is needed.
    Elide,
    /// The process is killed before it.
    Kill,
    /// The calling thread panics in it, which does nothing else. A thread that panics already is spared, so that its
    /// destructors run through.
    Panic,
}

impl FaultKind {
    /// Whether it can happen to such a call.
    pub fn strikes(self, call: Call) -> bool {
        match self {
            FaultKind::Short(0) => call == Call::Write,
            FaultKind::Short(_) | FaultKind::OneShort => matches!(call, Call::Read | Call::Write),
            FaultKind::Elide => matches!(
                call,
                Call::Sync | Call::SyncDir | Call::StatPath | Call::Stat
            ),
            FaultKind::Panic => !std::thread::panicking(),
            _ => true,
        }
    }

    pub(super) fn error(self) -> Option<io::Error> {
        Some(match self {
            FaultKind::Eio => io::Error::from_raw_os_error(5),
            FaultKind::Enospc => io::Error::from_raw_os_error(28),
            FaultKind::Eintr => io::Error::from_raw_os_error(4),
            FaultKind::Emfile => io::Error::from_raw_os_error(24),
            FaultKind::Eacces => io::Error::from_raw_os_error(13),
            FaultKind::Erofs => io::Error::from_raw_os_error(30),
            FaultKind::Unsupported => io::ErrorKind::Unsupported.into(),
            FaultKind::Short(_)
            | FaultKind::OneShort
            | FaultKind::Elide
            | FaultKind::Kill
            | FaultKind::Panic => {
                return None;
            }
        })
    }

    /// How much of a transfer is left.
    pub(super) fn shorten(self, len: usize) -> usize {
        match self {
            FaultKind::Short(count) => count.min(len),
            FaultKind::OneShort if len > 1 => len - 1,
            _ => len,
        }
    }
}

/// A fault to inject with [`SimDisk::inject`](super::SimDisk::inject): the next call that it can happen to, unless more
/// is said.
///
/// ```
/// use shelflife::sim::{Call, Fault, FaultKind};
/// // From the third sync on, every sync fails.
/// let fault = Fault::new(FaultKind::Eio).on(Call::Sync).nth(3).forever();
/// ```
#[derive(Debug, Clone, Hash)]
pub struct Fault {
    pub(super) kind: FaultKind,
    call: Option<Call>,
    process: Option<u32>,
    /// How many calls to wait for, that one included.
    remaining: u64,
    forever: bool,
}

impl Fault {
    /// Happens to the next call that it can happen to.
    pub fn new(kind: FaultKind) -> Fault {
        Fault {
            kind,
            call: None,
            process: None,
            remaining: 1,
            forever: false,
        }
    }

    /// Only to such calls.
    pub fn on(mut self, call: Call) -> Fault {
        self.call = Some(call);
        self
    }

    /// Only to calls of this process.
    pub fn by(mut self, process: u32) -> Fault {
        self.process = Some(process);
        self
    }

    /// To the n-th of them, counted from 1.
    pub fn nth(mut self, n: u64) -> Fault {
        self.remaining = n.max(1);
        self
    }

    /// And to all after it.
    pub fn forever(mut self) -> Fault {
        self.forever = true;
        self
    }

    /// Counts a call, and says whether the fault strikes it.
    pub(super) fn strikes(&mut self, call: Call, process: u32) -> bool {
        let meant = self.call.is_none_or(|meant| meant == call)
            && self.process.is_none_or(|meant| meant == process)
            && self.kind.strikes(call);
        if !meant || self.remaining == 0 {
            return false;
        }
        self.remaining -= 1;
        if self.remaining > 0 {
            return false;
        }
        self.remaining = u64::from(self.forever);
        true
    }
}

/// One call that was made, in [`SimDisk::trace`](super::SimDisk::trace).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Event {
    /// Which process made it.
    pub process: u32,
    /// The kind of call.
    pub call: Call,
    /// The number of the open file, 0 for a call by path.
    pub inode: u64,
    /// Whether it succeeded.
    pub ok: bool,
    /// The fault that was injected.
    pub fault: Option<FaultKind>,
}

/// The faults that are to be injected, and the calls that were made.
#[derive(Debug, Default)]
pub(super) struct Calls {
    pub(super) faults: Vec<Fault>,
    pub(super) struck: u64,
    pub(super) trace: Vec<Event>,
    counts: [u64; Call::ALL.len()],
}

impl Calls {
    /// Counts a call; what is to happen to it is what was injected first.
    pub(super) fn strike(&mut self, call: Call, process: u32) -> Option<FaultKind> {
        self.counts[call as usize] += 1;
        let mut fault = None;
        for injected in &mut self.faults {
            if injected.strikes(call, process) {
                fault = fault.or(Some(injected.kind));
            }
        }
        self.struck += u64::from(fault.is_some());
        fault
    }

    pub(super) fn count(&self, call: Call) -> u64 {
        self.counts[call as usize]
    }
}
