//! What a store is made of: all that its handle shares with the thread that compacts it.

use super::batch::unix_ms;
use super::current::{Current, Pinned};
use super::generation::Generation;
use super::lock::Gate;
use super::options::Options;
use super::recovery::{Recovery, Reverted, TornTail};
use super::writer::Scratch;
use super::{lock_of, log};
use crate::error::{Error, ErrorKind, Result};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::*};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

#[derive(Debug)]
pub(crate) struct Inner {
    pub(super) options: Options,
    /// As the caller gave it, for messages.
    pub(super) path: Arc<Path>,
    /// Without symbolic links: what is renamed over, and looked at.
    pub(super) real: PathBuf,
    pub(super) current: Current,
    /// Held while moving to another file, so that two threads do not read it both, and while putting one in place.
    pub(super) following: Mutex<()>,
    /// A thread of this process is putting a new file in place, and nobody else can write to that yet: readers go on
    /// with the old one, which is complete.
    pub(super) switching: AtomicBool,
    pub(super) gate: Gate,
    pub(super) scratch: Mutex<Scratch>,
    /// One compaction at a time. Taken before `gate`.
    pub(super) compacting: Gate,
    /// A failed append could not be taken back: this handle writes no more.
    pub(super) stopped: AtomicBool,
    /// Whether there is something that a seal would say.
    pub(super) wrote: AtomicBool,
    pub(super) process: AtomicU32,
    pub(super) locks_taken: AtomicU64,
    pub(super) recovery: Mutex<Recovery>,
}

impl Inner {
    /// The file as this process knows it.
    pub(crate) fn generation(&self) -> Arc<Generation> {
        Arc::clone(&self.current.get())
    }

    pub(crate) fn adopt(&self, next: Arc<Generation>) {
        self.current.set(&next);
    }

    /// The file with all that others wrote to it before this call. Takes no lock.
    pub(super) fn fresh(&self) -> Result<Pinned> {
        if self.options.exclusive {
            let generation = self.current.get();
            generation.wait_for_apply();
            return Ok(generation);
        }
        loop {
            let generation = self.current.get();
            let looked = generation.look();
            let is_plain = looked.is_ok() && !generation.is_doubtful();
            if is_plain || self.switching.load(Acquire) {
                return looked.map(|()| generation);
            }
            if !generation.is_still_there()? {
                // What stands behind the tail says nothing: something was put over the file.
                self.replace_by_what_is_there(&generation)?;
                continue;
            }
            looked?;
            if !self.follow(&generation)? {
                return Ok(generation);
            }
        }
    }

    pub(super) fn writable(&self) -> Result<()> {
        if self.options.read_only {
            return Err(Error::new(
                ErrorKind::ReadOnly,
                format!("`{}` was opened to be read only", self.path.display()),
            )
            .at(&self.path)
            .advise("open it without `read_only`"));
        }
        Ok(())
    }

    /// What the wall clock reads. One that reads earlier than the file's creation is wrong, and by it nothing has ended:
    /// the creation counts in its place.
    pub(super) fn now(&self) -> SystemTime {
        self.options.disk.wall_clock().max(self.created())
    }

    /// When the store was created, by the clock of who did it.
    pub(super) fn created(&self) -> SystemTime {
        let created_ms = self.current.get().header.created_ms;
        UNIX_EPOCH
            .checked_add(Duration::from_millis(created_ms))
            .unwrap_or(UNIX_EPOCH)
    }

    pub(super) fn is_expired(&self, expires_ms: u64) -> bool {
        expires_ms != 0 && expires_ms <= unix_ms(self.now())
    }

    pub(super) fn random(&self, bytes: &mut [u8]) -> Result<()> {
        log::uninterrupted(|| self.options.disk.random(bytes)).map_err(|error| {
            Error::new(
                ErrorKind::Io,
                format!("the operating system has no randomness: {error}"),
            )
            .advise("/dev/urandom must be readable")
        })
    }

    pub(super) fn note_torn_tail(&self, torn: TornTail) {
        let mut recovery = lock_of(&self.recovery);
        recovery
            .torn_tails
            .retain(|known| known.offset != torn.offset || known.evidence.is_some());
        recovery.torn_tails.push(torn);
    }

    pub(super) fn note_reverted(&self, reverted: Reverted) {
        let mut recovery = lock_of(&self.recovery);
        if !recovery.reverted.contains(&reverted) {
            recovery.reverted.push(reverted);
        }
    }

    pub(super) fn recovery_so_far(&self) -> Recovery {
        let generation = self.generation();
        let mut recovery = lock_of(&self.recovery).clone();
        if self.options.read_only {
            // Who takes no lock can't tell a torn tail from a write under way: it is told only while it is there.
            _ = generation.look();
            recovery
                .torn_tails
                .extend(generation.torn_tail().ok().flatten());
        }
        recovery.bad_header_copy = recovery.bad_header_copy.or(generation.bad_header_copy);
        for damage in &generation.position().damage {
            if !recovery.damage.contains(damage) {
                recovery.damage.push(damage.clone());
            }
        }
        recovery
    }
}
