//! The place of a store: its path, the file that stands there as this process knows it, and the moves from one file to
//! the next.
//!
//! Words: a file is *at its path* while the path leads to its inode. A *successor* is a file of the same lineage and a
//! higher generation: a switch put it there. The place *adopts* a file when it makes it the one that every thread of
//! this process works on from then on.
//!
//! Three things may happen to a path under a running store, and each has one answer. A successor stands there: the
//! place follows; an exclusive handle refuses it. The bytes of the file itself changed, most likely because somebody
//! copied a backup over it: the place reads the file anew. Anything else (deleted, moved, another store) is refused
//! with `Replaced`, since what is written to a file without a path is lost.
//!
//! Invariants:
//! 1. One thread at a time moves this process to another file, or renames one to the path (`following`): no two threads
//!    read the same successor, and none takes the file that another thread is renaming for somebody else's.
//! 2. While `switching` is set, readers stay with the old file, which is complete: nobody can write to the new one yet.
//! 3. After a fork the child never uses the open file of its parent for a lock: it would share the parent's.

use super::current::{Current, Pinned};
use super::disk::{Create, OpenFile, Stat};
use super::format::LOG_START;
use super::generation::{Generation, Proof, Standing};
use super::lock::{Deadline, OsLock};
use super::log::{LogFile, uninterrupted};
use super::mode::{Mode, Start};
use super::poison::lock_of;
use super::recovery::{Recovery, Reverted, TornTail, add};
use crate::error::{Error, ErrorKind, Result};
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::*};
use std::sync::{Arc, Mutex};
use std::time::Duration;

mod clock;

/// Between two looks at a path that does not come to rest.
const LOOK_PAUSE: Duration = Duration::from_millis(1);
/// Looks at a nameless file, a tenth of a second in all: a rename on a busy machine is over by then.
const NAMELESS_LOOKS_MAX: u32 = 100;

#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) mode: Mode,
    /// As the caller gave it, for messages.
    pub(crate) path: Arc<Path>,
    /// Without symbolic links: switches rename over it, and every look at the path is a look at this one.
    pub(crate) real: PathBuf,
    current: Current,
    /// Guards invariant 1. A thread that needs the lock of the file as well takes that first. Only an exclusive handle
    /// that reopens, or was forked, takes this one first: the file whose lock it needs is the one that it finds.
    pub(super) following: Mutex<()>,
    /// Written by the thread that installs a successor, with the lock of the file; readers may see it late, and wait
    /// for `following` then.
    switching: AtomicBool,
    /// The process that the open file belongs to. Written by the thread that notices a fork or reopens, with its turn.
    process: AtomicU32,
    /// All that was found wrong so far. Every thread adds to it.
    notes: Mutex<Recovery>,
}

#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) log: LogFile,
    pub(crate) real: PathBuf,
    /// Nothing had that name before.
    pub(crate) is_new: bool,
}

/// Opens the file at a path. To write, it takes the lock for a moment, which an exclusive handle keeps: so a second
/// exclusive handle is told `Busy` here.
pub(crate) fn open_at(mode: &Mode, start: Start, path: &Path) -> Result<Opened> {
    let disk = &*mode.disk;
    let deadline = Deadline::new(disk, mode.lock_timeout);
    let mut create = start.create;
    let mut is_new = false;
    loop {
        let (log, made) = open_file(mode, create, path)?;
        is_new |= made;
        let real = disk
            .resolve(path)
            .map_err(|error| Error::io("resolve", path, error))?;
        refuse_network(mode, path, &real)?;
        if !mode.writes() {
            return Ok(Opened { log, real, is_new });
        }
        let lock = match OsLock::take(&log.file, &deadline, path) {
            Ok(lock) => lock,
            Err(error) => {
                // Nobody can make a store of the file there.
                let has_no_locks = error.kind() == ErrorKind::Unsupported;
                if is_new && has_no_locks && log.size().is_ok_and(|size| size == 0) {
                    let _ = disk.remove(&real);
                }
                return Err(error);
            }
        };
        // While this call waited for the lock, another file may have taken the place of the one that was opened.
        if log.is_at(disk, &real)? {
            if mode.is_exclusive() {
                lock.keep();
            }
            return Ok(Opened { log, real, is_new });
        }
        drop(lock);
        // This call has made its file; the one that took its place need not be new.
        if create == Create::New {
            create = Create::IfMissing;
        }
        deadline.left(path, "is moved about faster than it can be opened")?;
        disk.sleep(LOOK_PAUSE);
    }
}

/// Opens a file, and tells whether this call may have made it.
fn open_file(mode: &Mode, create: Create, path: &Path) -> Result<(LogFile, bool)> {
    let disk = &*mode.disk;
    let is_missing = match disk.stat(path) {
        // Opening a FIFO would wait for its other end.
        Ok(stat) if !stat.is_file => {
            let what = "is not a regular file";
            return Err(Error::not_a_store(
                path,
                what,
                "check the path; nothing was changed",
            ));
        }
        Ok(_) => false,
        // Looked up first, so that no file is created where it would be refused.
        Err(error) if error.kind() == io::ErrorKind::NotFound && create != Create::Never => {
            let real = disk
                .resolve(folder_of(path))
                .map_err(|error| Error::io("open", path, error))?;
            refuse_network(mode, path, &real)?;
            true
        }
        Err(error) => return Err(Error::io("open", path, error)),
    };
    let how = OpenFile {
        write: mode.writes(),
        create,
        mode: mode.permissions,
    };
    let file =
        uninterrupted(|| disk.open(path, how)).map_err(|error| Error::io("open", path, error))?;
    let log = LogFile {
        file,
        path: Arc::from(path),
    };
    Ok((log, is_missing))
}

/// On a network file system a lock reaches other machines at once, and what was written reaches them only later.
fn refuse_network(mode: &Mode, path: &Path, real: &Path) -> Result<()> {
    let kind = mode
        .disk
        .network_file_system(real)
        .map_err(|error| Error::io("look up the mount of", real, error))?;
    match kind {
        Some(kind) if mode.writes() && !mode.is_exclusive() => Err(Error::unsupported(
            path,
            format_args!(
                "is on a network file system ({kind}), where other machines see writes late"
            ),
            "use a local disk, or `read_only`, or `exclusive` if only one process ever opens it",
        )),
        _ => Ok(()),
    }
}

impl Place {
    pub(crate) fn new(mode: Mode, path: &Path, real: PathBuf, generation: Generation) -> Place {
        Place {
            process: AtomicU32::new(mode.disk.process()),
            path: Arc::from(path),
            real,
            current: Current::new(generation),
            following: Mutex::default(),
            switching: AtomicBool::new(false),
            notes: Mutex::default(),
            mode,
        }
    }

    /// The file as this process knows it.
    #[inline(never)]
    pub(crate) fn generation(&self) -> Arc<Generation> {
        Arc::clone(&self.current.get())
    }

    /// The file that this process works on, for a caller that is soon done with it.
    pub(crate) fn pinned(&self) -> Pinned {
        self.current.get()
    }

    /// Whether this process still works on that file.
    fn is_current(&self, known: &Generation) -> bool {
        std::ptr::eq(&**self.current.get(), known)
    }

    /// The file with all that others wrote to it before this call. Takes no lock of the operating system's.
    pub(crate) fn fresh(&self) -> Result<Pinned> {
        if self.mode.is_exclusive() {
            let generation = self.current.get();
            generation.wait_for_apply()?;
            return Ok(generation);
        }
        loop {
            let generation = self.current.get();
            let looked = generation.look();
            let is_plain = looked.is_ok() && generation.standing() == Standing::Sound;
            if is_plain || self.switching.load(Acquire) {
                return looked.map(|()| generation);
            }
            if !generation.is_still_there()? {
                // Something was put over the file, so what the replay found behind the tail says nothing.
                self.read_anew(&generation)?;
                continue;
            }
            self.unless_left(&generation, looked)?;
            if !self.follow(&generation)? {
                return Ok(generation);
            }
        }
    }

    /// As [`fresh`](Place::fresh), for a caller that reads much: looks for the last record that was applied as well.
    /// `fresh` looks behind the tail only, and so misses a file that was put over this one unless that is longer.
    ///
    /// # Errors
    ///
    /// `Replaced` if another store, or nothing, was put over the file.
    pub(crate) fn fresh_and_proven(&self) -> Result<Pinned> {
        let generation = self.fresh()?;
        // The file of an exclusive handle is its writer's to judge.
        if self.mode.is_exclusive() || generation.is_still_there()? {
            return Ok(generation);
        }
        self.read_anew(&generation)?;
        self.fresh()
    }

    /// As [`fresh_and_proven`](Place::fresh_and_proven), after a look at the path, for a caller that stays for long or
    /// copies all: elsewhere a handle that never writes looks there only where the file itself gives it cause.
    ///
    /// # Errors
    ///
    /// Those of [`follow`](Place::follow) besides.
    pub(crate) fn fresh_at_its_path(&self) -> Result<Pinned> {
        let generation = self.fresh_and_proven()?;
        match self.is_at_its_path(&generation) {
            true => Ok(generation),
            false => self.follow(&generation).and_then(|_| self.fresh()),
        }
    }

    /// As [`fresh`](Place::fresh), or, if damage keeps this handle from following, the file as it knows it.
    pub(crate) fn fresh_or_known(&self) -> Result<Arc<Generation>> {
        match self.fresh() {
            Err(error) if error.is_corrupt() => Ok(self.generation()),
            fresh => fresh.map(|fresh| Arc::clone(&*fresh)),
        }
    }

    /// Looks whether another file stands at the path, and moves there if it is a successor. True if this process now
    /// has another generation than `known`.
    ///
    /// # Errors
    ///
    /// `Replaced` if the file was deleted or moved, or something else stands there.
    pub(crate) fn follow(&self, known: &Generation) -> Result<bool> {
        let followed = self.follow_path(known);
        known.displaced.store(followed.is_err(), Relaxed);
        followed
    }

    fn look_at_path(&self) -> Result<Stat> {
        uninterrupted(|| self.mode.disk.stat(&self.real)).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => self.replaced("was deleted or moved"),
            _ => Error::io("look at", &self.path, error),
        })
    }

    fn follow_path(&self, known: &Generation) -> Result<bool> {
        let _following = lock_of(&self.following);
        if !self.is_current(known) {
            return Ok(true);
        }
        let disk = &*self.mode.disk;
        let mut stat = self.look_at_path()?;
        // A rename takes the name from the old file just before the path leads to the new one. Where the file is mounted
        // by itself, its path leads to it for good.
        let mut looks = 1;
        while stat.same_file(&known.identity) && known.is_nameless(&stat) {
            if looks == NAMELESS_LOOKS_MAX {
                let replaced = self.replaced("was replaced where it is mounted from");
                return Err(replaced.advise("mount its folder instead of the file"));
            }
            looks += 1;
            disk.sleep(LOOK_PAUSE);
            stat = self.look_at_path()?;
        }
        if stat.same_file(&known.identity) {
            return Ok(false);
        }
        // Opening a FIFO would wait for its other end.
        if !stat.is_file {
            return Err(self.replaced("was replaced by what is no file"));
        }
        let log = self.open_again(self.mode.writes())?;
        let there = Generation::read_header(&log)?;
        let succeeds = there.is_some_and(|(there, _)| known.is_before(&there));
        if !succeeds || self.mode.is_exclusive() {
            return Err(self.replaced("was replaced by another file"));
        }
        match Generation::open(log, self.mode.crossing())? {
            Some(next) => self.current.set(&Arc::new(next)),
            None => return Err(self.replaced("was replaced by an empty file")),
        }
        Ok(true)
    }

    /// Whether the path leads to this file; false as well if it can't be looked at.
    pub(crate) fn is_at_its_path(&self, known: &Generation) -> bool {
        let leads_there = |stat: Stat| stat.same_file(&known.identity) && !known.is_nameless(&stat);
        known.log.file.is_named(&self.real)
            || self.mode.disk.stat(&self.real).is_ok_and(leads_there)
    }

    /// Looks at the path of a file that was written to and synced up to `end`, and moves to its successor if there is
    /// one. A successor has all that stood before the note which sent this process there.
    ///
    /// # Errors
    ///
    /// Those of [`follow`](Place::follow), and `Replaced` if what was written came too late for the successor.
    pub(crate) fn check_path(&self, known: &Generation, end: u64) -> Result<()> {
        if self.is_at_its_path(known) || !self.follow(known)? {
            return Ok(());
        }
        known.look()?;
        let position = known.position();
        if (position.is_retired() || position.condemned) && position.tail > end {
            return Ok(());
        }
        Err(self.replaced("was replaced by a file without what was just written"))
    }

    pub(crate) fn replaced(&self, what: &str) -> Error {
        Error::replaced(&self.path, what)
    }

    /// The outcome of reading a file, as it is, unless that is damage and a successor stands at the path: a salvage in
    /// place may have left no note of it that can be read. This process then goes on with the successor.
    #[cold]
    fn unless_left(&self, known: &Generation, read: Result<()>) -> Result<()> {
        match read {
            Err(error) if error.is_corrupt() && self.follow(known)? => {
                if matches!(known.is_still_there(), Ok(false)) {
                    let (from, to) = (known.tail(), self.generation().tail());
                    self.note_reverted(Reverted { from, to });
                }
                Ok(())
            }
            read => read,
        }
    }

    /// Reads the file anew because something was put over it, most likely a backup.
    pub(crate) fn read_anew(&self, known: &Generation) -> Result<()> {
        self.unless_left(known, self.read_same_file(known))
    }

    fn read_same_file(&self, known: &Generation) -> Result<()> {
        let _following = lock_of(&self.following);
        if !self.is_current(known) {
            return Ok(());
        }
        // The header first: somebody may have copied only a part of the log by now.
        let there = Generation::read_header(&known.log)?;
        if let Some((header, _)) = there
            && !known.is_unborn()
            && header.lineage != known.header.lineage
        {
            return Err(self.replaced("was overwritten with another store"));
        }
        let Some(next) = Generation::open(known.log.clone(), self.mode.crossing())? else {
            return Err(self.replaced("was emptied"));
        };
        let (from, to) = (known.tail(), next.tail());
        self.adopt_same_file(known, next);
        self.note_reverted(Reverted { from, to });
        Ok(())
    }

    fn adopt_same_file(&self, known: &Generation, mut next: Generation) {
        next.directory_synced
            .store(known.directory_synced.load(Acquire), Release);
        // This process still owes a sync for what it wrote.
        let written = known.written.load(Acquire).min(next.tail());
        next.written.store(written, Release);
        next.reached = known.reached.max(known.tail());
        // A sync that fails, fails for every reading of the file: reading it anew does not bring back what the kernel
        // dropped.
        next.commit.share_queue_of(&known.commit);
        if next.commit.has_failed() {
            next.condemn();
        }
        self.current.set(&Arc::new(next));
    }

    /// Proves that the file is the one that this process knows, and reads it anew where it is not. The caller holds the
    /// lock of the file.
    pub(crate) fn prove(&self, known: &Generation) -> Result<Proof> {
        match known.prove() {
            Ok(Proof::Different) => self.read_anew(known)?,
            Ok(Proof::Same) => return Ok(Proof::Same),
            Err(error) => self.unless_left(known, Err(error))?,
        }
        Ok(Proof::Different)
    }

    /// Reads what stands at the path, whatever it is: the caller asked for that. The caller has its turn.
    pub(crate) fn reopen(&self, deadline: &Deadline<'_>) -> Result<()> {
        let _following = lock_of(&self.following);
        let known = self.generation();
        let there = self.mode.disk.stat(&self.real);
        let is_same = there.is_ok_and(|stat| stat.same_file(&known.identity));
        if is_same {
            return match Generation::open(known.log.clone(), self.mode.crossing())? {
                Some(next) => {
                    let to = next.tail();
                    self.adopt_same_file(&known, next);
                    self.note_if_reverted(&known, to);
                    Ok(())
                }
                // Not created yet. If it opened the file once more, an exclusive handle would wait for its own lock.
                None if known.is_unborn() => Ok(()),
                None => Err(self.replaced("was emptied")),
            };
        }
        let create = match self.mode.recreate {
            true => Create::IfMissing,
            false => Create::Never,
        };
        // A link that leads elsewhere by now is not followed: a handle stays with its place.
        let (mut log, _) = open_file(&self.mode, create, &self.real)?;
        log.path = Arc::clone(&self.path);
        if self.mode.is_exclusive() {
            OsLock::take(&log.file, deadline, &self.path)?.keep();
        }
        let next = match Generation::open(log.clone(), self.mode.crossing())? {
            Some(next) => next,
            None => Generation::unborn(log)?,
        };
        self.current.set(&Arc::new(next));
        // A forked child has a file of its own by now.
        self.process.store(self.mode.disk.process(), Relaxed);
        Ok(())
    }

    /// Whether the open file belongs to this very process, and not to the one that it was forked from.
    pub(crate) fn is_ours(&self) -> bool {
        self.process.load(Relaxed) == self.mode.disk.process()
    }

    /// Gives a forked child a file of its own: it shares the parent's open file, and with that the parent's lock. It
    /// lets go of that first, or the lock of a parent that has died meanwhile would never be free.
    pub(crate) fn notice_fork(&self) -> Result<()> {
        let process = self.mode.disk.process();
        if self.process.load(Relaxed) == process {
            return Ok(());
        }
        let _following = lock_of(&self.following);
        let known = self.generation();
        let log = self.open_again(true)?;
        let is_same = |next: &Generation| {
            next.identity.same_file(&known.identity) && next.header.lineage == known.header.lineage
        };
        match Generation::open(log.clone(), self.mode.crossing())? {
            Some(next) if is_same(&next) || known.is_before(&next.header) => {
                if is_same(&next) {
                    self.note_if_reverted(&known, next.tail());
                }
                drop(known);
                self.current.set(&Arc::new(next));
            }
            _ => return Err(self.replaced("was replaced by another file")),
        }
        if self.mode.is_exclusive() {
            let deadline = Deadline::new(&*self.mode.disk, self.mode.lock_timeout);
            OsLock::take(&log.file, &deadline, &self.path)?.keep();
        }
        self.process.store(process, Relaxed);
        Ok(())
    }

    /// Opens what stands at the path now.
    pub(crate) fn open_again(&self, write: bool) -> Result<LogFile> {
        self.open_file_at(&self.real, Arc::clone(&self.path), write)
    }

    /// Opens a file that is there; `path` is its path in messages.
    pub(crate) fn open_file_at(
        &self,
        real: &Path,
        path: Arc<Path>,
        write: bool,
    ) -> Result<LogFile> {
        let how = OpenFile {
            write,
            create: Create::Never,
            mode: 0,
        };
        let file = uninterrupted(|| self.mode.disk.open(real, how))
            .map_err(|error| Error::io("open", &path, error))?;
        Ok(LogFile { file, path })
    }

    /// The lock for one operation on a file; an exclusive handle has it already.
    pub(crate) fn lock(&self, generation: &Generation, deadline: &Deadline<'_>) -> Result<OsLock> {
        debug_assert!(self.is_ours(), "invariant 3");
        if self.mode.is_exclusive() {
            return Ok(OsLock::held_elsewhere());
        }
        OsLock::take(&generation.log.file, deadline, &self.path)
    }

    /// Lets the readers of this process stay with the old file until [`install`](Place::install) is done or given up.
    pub(crate) fn begin_switch(&self) -> impl Drop + '_ {
        struct Switching<'a>(&'a AtomicBool);
        impl Drop for Switching<'_> {
            fn drop(&mut self) {
                self.0.store(false, Release);
            }
        }
        self.switching.store(true, Release);
        Switching(&self.switching)
    }

    /// Renames a finished file to the store's name and adopts it. The caller holds the locks of both files. An
    /// exclusive handle goes on with the lock of the new file; a shared one gives that back here, and the old one's
    /// when the caller is done.
    pub(crate) fn install(
        &self,
        temp: &Path,
        next: Generation,
        old: &Generation,
    ) -> Result<Arc<Generation>> {
        let next = Arc::new(next);
        {
            let _following = lock_of(&self.following);
            self.mode
                .disk
                .rename(temp, &self.real)
                .map_err(|error| Error::io("rename", temp, error))?;
            self.current.set(&next);
        }
        // If this fails the switch has happened all the same; the sync is tried again before anything is acknowledged.
        if self.sync_directory().is_ok() {
            next.directory_synced.store(true, Release);
        }
        let freed = match self.mode.is_exclusive() {
            true => old,
            false => &next,
        };
        // A lock that can't be given back goes when the file is closed.
        let _ = uninterrupted(|| freed.log.file.unlock());
        Ok(next)
    }

    /// Fails where no file can be renamed over the store's: a container mounts a single file so.
    pub(crate) fn refuse_to_be_mounted_over(&self) -> Result<()> {
        match self.mode.disk.is_mount_point(&self.real) {
            false => Ok(()),
            true => Err(Error::unsupported(
                &self.path,
                "is a mount point, over which no new file can be renamed",
                "mount its folder instead of the file",
            )),
        }
    }

    /// Ends what an exclusive handle had the lock for. Closing the file is not enough: an iterator may have it open for
    /// longer, and so may a child that another thread is just starting. A forked child has no lock of its own to give.
    pub(crate) fn give_lock_back(&self) {
        if self.mode.is_exclusive() && self.is_ours() {
            let file = &self.generation().log.file;
            // A lock that can't be given back goes when the file is closed.
            let _ = uninterrupted(|| file.unlock());
        }
    }

    pub(crate) fn sync_directory(&self) -> Result<()> {
        self.sync_directory_of(&self.real)
    }

    /// Makes the name of a file survive a power cut.
    pub(crate) fn sync_directory_of(&self, path: &Path) -> Result<()> {
        let Some(dir) = path.parent() else {
            return Ok(());
        };
        uninterrupted(|| self.mode.disk.sync_dir(dir))
            .map_err(|error| Error::io("sync", dir, error))
    }

    /// The files beside the store that are named after it, with `suffix` and 16 hexadecimal digits behind.
    pub(crate) fn siblings(&self, suffix: &str) -> Result<Vec<PathBuf>> {
        let Some(dir) = self.real.parent() else {
            return Ok(Vec::new());
        };
        let names = uninterrupted(|| self.mode.disk.list(dir))
            .map_err(|error| Error::io("list", dir, error))?;
        let begins = sibling(&self.real, suffix);
        let begins = begins.file_name().unwrap_or_default().as_encoded_bytes();
        let is_ours = |name: &OsString| {
            let digits = name.as_encoded_bytes().strip_prefix(begins);
            digits.is_some_and(|digits| {
                digits.len() == 16 && digits.iter().all(u8::is_ascii_hexdigit)
            })
        };
        let ours = names.into_iter().filter(is_ours);
        Ok(ours.map(|name| dir.join(name)).collect())
    }

    pub(crate) fn random(&self, bytes: &mut [u8]) -> Result<()> {
        uninterrupted(|| self.mode.disk.random(bytes)).map_err(Error::no_randomness)
    }

    pub(crate) fn random_word(&self) -> Result<u64> {
        let mut bytes = [0; 8];
        self.random(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    pub(crate) fn note_torn_tail(&self, torn: TornTail) {
        let mut notes = lock_of(&self.notes);
        // Of one place the note of its repair stays, and not the one that was made before.
        notes.torn_tails.retain(|known| {
            known.offset != torn.offset || known.evidence.is_some() && *known != torn
        });
        add(&mut notes.torn_tails, torn);
    }

    pub(crate) fn note_reverted(&self, reverted: Reverted) {
        let mut notes = lock_of(&self.notes);
        // Of an empty file no record was known.
        if reverted.from > LOG_START && !notes.reverted.contains(&reverted) {
            add(&mut notes.reverted, reverted);
        }
    }

    /// Notes what is gone of a file that was read again. Records that were applied never change but by a fault of the
    /// disk, or by a copy put over them.
    fn note_if_reverted(&self, known: &Generation, to: u64) {
        let from = known.tail();
        if to < from || matches!(known.is_still_there(), Ok(false)) {
            self.note_reverted(Reverted { from, to });
        }
    }

    /// Notes what reading the file showed, before a repair changes it.
    pub(crate) fn note_findings(&self) {
        self.generation().add_findings(&mut lock_of(&self.notes));
    }

    pub(crate) fn recovery(&self) -> Recovery {
        let generation = self.generation();
        let mut recovery = lock_of(&self.notes).clone();
        // Every other handle is refused there.
        if !self.mode.writes() || self.mode.is_exclusive() {
            let kind = self.mode.disk.network_file_system(&self.real);
            recovery.network_file_system = kind.ok().flatten();
        }
        if !self.mode.writes() {
            // Without the lock a torn tail looks like a write under way: it is told only while it is there.
            _ = generation.look();
            recovery
                .torn_tails
                .extend(generation.torn_tail().ok().flatten());
        }
        generation.add_findings(&mut recovery);
        recovery
    }
}

/// The folder of what a path names.
pub(crate) fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        _ => Path::new("."),
    }
}

/// A path with something behind its name.
pub(crate) fn sibling(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.file_name().map(OsString::from).unwrap_or_default();
    name.push(suffix);
    path.with_file_name(name)
}
