//! The rights of a handle, resolved once from its options.
//!
//! The rest of the engine asks the mode, never the options: a combination that contradicts itself cannot be written
//! down here, so no room has to think of it.

use super::disk::{Create, Disk, os::OsDisk};
use super::generation::Crossing;
use std::sync::Arc;
use std::time::Duration;

/// When a write counts as done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// When it would survive a power cut. Concurrent writers share one sync.
    #[default]
    Immediate,
    /// When the operating system has it, so that it survives the death of the process. A sync starts whenever 16 MiB of
    /// the log are not yet on disk: on a thread of the store's own with [`Compaction::Thread`], where a writer waits
    /// for it at 32 MiB, else on the thread of the writer. `sync` and `close` sync as well.
    Os,
}

/// The thread that rewrites the file when a compaction is due, see [`Store::compact`](crate::Store::compact).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Compaction {
    /// A short-lived thread. `close` and `drop` stop it and join it, but let it finish, or do its work themselves,
    /// where the file is over its bound.
    #[default]
    Thread,
    /// The writer that made it due.
    Inline,
    /// Nobody but `compact()`.
    Manual,
}

/// The use that a handle makes of its file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// It only reads.
    Read,
    /// It only reads, also across damage of unknown extent. `may_replace`: the caller did not ask for `read_only` too, so
    /// a salvage may put its result in the store's place.
    ReadDamaged { may_replace: bool },
    /// It takes the lock for each write.
    Shared,
    /// It has the lock for its life.
    Exclusive,
}

/// How a handle works, for its whole life.
#[derive(Debug, Clone)]
pub(crate) struct Mode {
    pub(crate) access: Access,
    pub(crate) durability: Durability,
    pub(crate) compaction: Compaction,
    pub(crate) lock_timeout: Duration,
    /// Whether `reopen` makes a new file where none is.
    pub(crate) recreate: bool,
    /// Of a file that the handle creates.
    pub(crate) permissions: u32,
    pub(crate) disk: Arc<dyn Disk>,
}

/// The first step of an opening, which nothing later repeats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Start {
    pub(crate) create: Create,
    pub(crate) truncate: bool,
}

impl Default for Mode {
    fn default() -> Mode {
        Mode {
            access: Access::Shared,
            durability: Durability::default(),
            compaction: Compaction::default(),
            lock_timeout: Duration::from_secs(5),
            recreate: true,
            permissions: 0o600,
            disk: Arc::new(OsDisk),
        }
    }
}

impl Default for Start {
    fn default() -> Start {
        Start {
            create: Create::IfMissing,
            truncate: false,
        }
    }
}

impl Mode {
    pub(crate) fn writes(&self) -> bool {
        matches!(self.access, Access::Shared | Access::Exclusive)
    }

    pub(crate) fn is_exclusive(&self) -> bool {
        self.access == Access::Exclusive
    }

    /// The damage that a replay for this handle goes on behind.
    pub(crate) fn crossing(&self) -> Crossing {
        match self.access {
            Access::ReadDamaged { .. } => Crossing::Damage,
            Access::Read | Access::Shared | Access::Exclusive => Crossing::Nothing,
        }
    }
}
