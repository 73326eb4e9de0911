//! Opening a file, and following the path when another file stands there.

use super::current::Current;
use super::disk::{Create, OpenFile};
use super::format::{FileHeader, LOG_START};
use super::generation::{Crossing, End, Generation, Position, Proof};
use super::index::Index;
use super::lock::{Deadline, Gate, LOCKED, OsLock};
use super::log::LogFile;
use super::options::Options;
use super::recovery::Reverted;
use super::switch::{Successor, first_header, next_header, remove_leftovers};
use super::worker::Worker;
use super::{Inner, Store, lock_of};
use crate::error::{Error, ErrorKind, Result};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::*};
use std::sync::{Arc, Mutex};

pub(crate) fn open(options: &Options, path: &Path) -> Result<Store> {
    let mut options = options.clone();
    let contradiction = match &options {
        options if options.read_only && (options.truncate || options.create_new) => {
            Some("a store that is only read can't be created or truncated")
        }
        options if options.read_only && options.exclusive => {
            Some("a store that is only read is never exclusive")
        }
        _ => None,
    };
    if let Some(what) = contradiction {
        return Err(Error::new(ErrorKind::InvalidInput, what));
    }
    // What may be outdated must not be built upon.
    options.read_only |= options.damaged;
    options.create &= !options.read_only;

    let (log, real) = open_at_path(&mut options, path)?;
    let generation = match Generation::open(log.clone(), options.crossing()) {
        Ok(Some(generation)) => generation,
        Ok(None) => unborn(&log)?,
        // Damage that the caller wants to be rid of: if need be, of a file of which nothing is known.
        Err(error) if options.truncate && error.is_corrupt() => {
            match Generation::open(log.clone(), Crossing::Everything) {
                Ok(Some(generation)) => generation,
                _ => unborn(&log)?,
            }
        }
        Err(error) => return Err(error),
    };
    let inner = Inner {
        process: AtomicU32::new(options.disk.process()),
        path: Arc::from(path),
        real,
        current: Current::new(generation),
        following: Mutex::default(),
        switching: AtomicBool::new(false),
        gate: Gate::new(LOCKED),
        scratch: Mutex::default(),
        compacting: Gate::new("is being compacted by another thread"),
        stopped: AtomicBool::new(false),
        wrote: AtomicBool::new(false),
        locks_taken: AtomicU64::new(0),
        recovery: Mutex::default(),
        options,
    };
    let store = Store {
        inner: Arc::new(inner),
        worker: Worker::default(),
    };
    let inner = store.inner();
    if inner.options.exclusive && inner.generation().prove()? == Proof::Different {
        inner.replace_by_what_is_there(&inner.generation())?;
    }
    if inner.options.truncate {
        inner.start_anew()?;
        let empty = inner.generation();
        store.acknowledge(&empty, empty.tail())?;
    } else if inner.generation().header.generation == 0 && !inner.options.read_only {
        // Creates it.
        drop(inner.begin()?);
    }
    inner.note_findings()?;
    Ok(store)
}

/// Opens what stands at the path and, to write, takes its lock, which an exclusive handle keeps. It tells others that
/// somebody has the file exclusively.
fn open_at_path(options: &mut Options, path: &Path) -> Result<(LogFile, PathBuf)> {
    let disk = Arc::clone(&options.disk);
    let deadline = Deadline::new(&*disk, options.lock_timeout);
    loop {
        let log = open_file(options, path)?;
        let real = disk
            .resolve(path)
            .map_err(|error| Error::io("resolve", path, error))?;
        refuse_network(options, path, &real)?;
        if options.read_only {
            return Ok((log, real));
        }
        let lock = OsLock::take(&log.file, &deadline, path)?;
        // While this waited for the lock, another file may have taken the place of the one that it is a lock of.
        let identity = log.stat()?;
        if super::log::uninterrupted(|| disk.stat(&real))
            .is_ok_and(|there| there.same_file(&identity))
        {
            if options.exclusive {
                lock.keep();
            }
            return Ok((log, real));
        }
        // It was new, and is no more.
        options.create_new = false;
    }
}

fn open_file(options: &Options, path: &Path) -> Result<LogFile> {
    let disk = &*options.disk;
    match disk.stat(path) {
        // Opening a FIFO would wait for its other end.
        Ok(stat) if !stat.is_file => {
            return Err(Error::new(
                ErrorKind::NotAStore,
                format!("`{}` is not a regular file", path.display()),
            )
            .at(path)
            .advise("check the path; nothing was changed"));
        }
        Ok(_) => {}
        // Looked up before a file is created there, which would be left behind.
        Err(error)
            if error.kind() == io::ErrorKind::NotFound
                && (options.create || options.create_new) =>
        {
            let dir = match path.parent() {
                Some(dir) if !dir.as_os_str().is_empty() => dir,
                _ => Path::new("."),
            };
            let real = disk
                .resolve(dir)
                .map_err(|error| Error::io("open", path, error))?;
            refuse_network(options, path, &real)?;
        }
        Err(error) => return Err(Error::io("open", path, error)),
    }
    let create = match options {
        Options {
            create_new: true, ..
        } => Create::New,
        Options { create: true, .. } => Create::IfMissing,
        _ => Create::Never,
    };
    let how = OpenFile {
        write: !options.read_only,
        create,
        mode: options.mode,
    };
    let file = super::log::uninterrupted(|| disk.open(path, how))
        .map_err(|error| Error::io("open", path, error))?;
    Ok(LogFile {
        file,
        path: Arc::from(path),
    })
}

/// Locks of a network file system reach other machines, what was written there does so only later.
fn refuse_network(options: &Options, path: &Path, real: &Path) -> Result<()> {
    let kind = options
        .disk
        .network_file_system(real)
        .map_err(|error| Error::io("look up the mount of", real, error))?;
    match kind {
        Some(kind) if !options.exclusive => Err(Error::new(
            ErrorKind::Unsupported,
            format!(
                "`{}` is on a network file system ({kind}), where other machines see writes late",
                path.display()
            ),
        )
        .at(path)
        .advise("use a local disk, or `exclusive` if only one process ever opens it")),
        _ => Ok(()),
    }
}

/// Stands for a file whose creation was cut short: it holds nothing, and gives way to a real one.
fn unborn(log: &LogFile) -> Result<Generation> {
    let header = FileHeader {
        epoch: 0,
        seed: 0,
        hash_key: [0; 16],
        lineage: [0; 16],
        generation: 0,
        base: LOG_START,
        created_ms: 0,
    };
    let generation = Generation::new(
        log.clone(),
        header,
        log.stat()?,
        Index::new(),
        Position::start(&header),
    );
    generation.doubt();
    Ok(generation)
}

impl Inner {
    /// Puts a new file in place of one that holds nothing, or of all that is there. The caller holds the lock.
    pub(crate) fn create(&self, old: &Generation) -> Result<()> {
        remove_leftovers(self)?;
        let successor = Successor::create(self, first_header(self)?, &old.log.stat()?)?;
        let next = successor.install(None)?;
        self.hand_over_lock(old, &next);
        Ok(())
    }

    fn start_anew(&self) -> Result<()> {
        let old = self.generation();
        let is_unreadable = || {
            let header = Generation::read_header(&old.log);
            header.is_err_and(|error| error.is_corrupt())
        };
        if (old.crossing == Crossing::Everything || old.header.generation == 0 && is_unreadable())
            && self.leave_damaged(&old)?
        {
            return Ok(());
        }
        drop(old);
        let writing = self.begin()?;
        let old = &writing.generation;
        if old.tail() > LOG_START {
            remove_leftovers(self)?;
            let successor =
                Successor::create(self, next_header(self, &old.header)?, &old.identity)?;
            let next = successor.install(Some(old))?;
            self.hand_over_lock(old, &next);
        }
        Ok(())
    }

    /// Puts an empty file in place of one that can't be read as it should. False if somebody has replaced it already.
    fn leave_damaged(&self, old: &Generation) -> Result<bool> {
        let deadline = Deadline::new(&*self.options.disk, self.options.lock_timeout);
        let _turn = self.gate.enter(&deadline, &self.path)?;
        let _os_lock = self.lock_file(old, &deadline)?;
        if self.follow(old)? {
            return Ok(false);
        }
        remove_leftovers(self)?;
        let header = match old.header.generation {
            0 => first_header(self)?,
            _ => next_header(self, &old.header)?,
        };
        let successor = Successor::create(self, header, &old.identity)?;
        let next = successor.install(Some(old))?;
        self.hand_over_lock(old, &next);
        Ok(true)
    }

    /// After a switch: an exclusive handle keeps the lock of the new file, a shared one of neither.
    pub(crate) fn hand_over_lock(&self, old: &Generation, next: &Generation) {
        let freed = if self.options.exclusive { old } else { next };
        // A lock that can't be given back goes when the file is closed.
        let _ = super::log::uninterrupted(|| freed.log.file.unlock());
    }

    /// Ends what an exclusive handle had the lock for. Closing the file is not enough: an iterator may have it open for
    /// longer, and so may a child that another thread is just starting. A forked child has no lock of its own to give.
    pub(crate) fn give_lock_back(&self) {
        if self.options.exclusive && self.process.load(Relaxed) == self.options.disk.process() {
            let file = &self.generation().log.file;
            // A lock that can't be given back goes when the file is closed.
            let _ = super::log::uninterrupted(|| file.unlock());
        }
    }

    /// Looks whether another file stands at the path, and moves there if it is this store's successor. True if this
    /// process now has another generation than `known`.
    ///
    /// # Errors
    ///
    /// `Replaced` if the file was deleted or moved, or something else stands there: what is written to a file that no
    /// path leads to is lost.
    pub(crate) fn follow(&self, known: &Generation) -> Result<bool> {
        let followed = self.follow_path(known);
        let displaced = matches!(&followed, Err(error) if error.kind() == ErrorKind::Replaced);
        known.displaced.store(displaced, Relaxed);
        followed
    }

    fn follow_path(&self, known: &Generation) -> Result<bool> {
        let _following = lock_of(&self.following);
        if !std::ptr::eq(&*self.generation(), known) {
            return Ok(true);
        }
        let disk = &*self.options.disk;
        let stat = match super::log::uninterrupted(|| disk.stat(&self.real)) {
            Ok(stat) => stat,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(self.replaced("was deleted or moved"));
            }
            Err(error) => return Err(Error::io("look at", &self.path, error)),
        };
        if stat.same_file(&known.identity) {
            return Ok(false);
        }
        let how = OpenFile {
            write: !self.options.read_only,
            create: Create::Never,
            mode: 0,
        };
        let file = super::log::uninterrupted(|| disk.open(&self.real, how))
            .map_err(|error| Error::io("open", &self.path, error))?;
        let log = LogFile {
            file,
            path: Arc::clone(&self.path),
        };
        let there = Generation::read_header(&log)?.map(|(header, _)| header);
        let ours = &known.header;
        let succeeds = there.is_some_and(|there| {
            ours.generation == 0
                || (there.lineage == ours.lineage && there.generation > ours.generation)
        });
        if !succeeds || self.options.exclusive {
            return Err(self.replaced("was replaced by another file"));
        }
        match Generation::open(log, self.options.crossing())? {
            Some(next) => self.adopt(Arc::new(next)),
            None => return Err(self.replaced("was replaced by an empty file")),
        }
        // Whoever asked has to begin again with the new file.
        Ok(true)
    }

    /// Whether the path leads to this file. An error is no answer, so it is no.
    pub(crate) fn is_at_its_path(&self, known: &Generation) -> bool {
        let stat = || self.options.disk.stat(&self.real);
        known.log.file.is_named(&self.real)
            || stat().is_ok_and(|stat| stat.same_file(&known.identity))
    }

    /// Looks at the path of a file that was written to and synced up to `end`, and moves to its successor if there is
    /// one. That has all that stood before the note which sent us there.
    ///
    /// # Errors
    ///
    /// Those of [`follow`](Inner::follow), and `Replaced` if what was written came too late for the successor.
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
        Error::new(
            ErrorKind::Replaced,
            format!("`{}` {what} while it was open", self.path.display()),
        )
        .at(&self.path)
        .advise("put it back, or reopen() what is there now")
    }

    /// Something was put over the file itself, most likely a backup: reads it anew.
    pub(crate) fn replace_by_what_is_there(&self, known: &Generation) -> Result<()> {
        let _following = lock_of(&self.following);
        if !std::ptr::eq(&*self.generation(), known) {
            return Ok(());
        }
        let Some(next) = Generation::open(known.log.clone(), self.options.crossing())? else {
            return Err(self.replaced("was emptied"));
        };
        if next.header.lineage != known.header.lineage {
            return Err(self.replaced("was overwritten with another store"));
        }
        let (from, to) = (known.tail(), next.tail());
        self.adopt_same_file(known, next);
        self.note_reverted(Reverted { from, to });
        Ok(())
    }

    fn adopt_same_file(&self, known: &Generation, next: Generation) {
        next.directory_synced
            .store(known.directory_synced.load(Acquire), Release);
        // What this process wrote it still owes a sync.
        let written = known.written.load(Acquire).min(next.tail());
        next.written.store(written, Release);
        let reached = known.reached.load(Acquire).max(known.tail());
        next.reached.store(reached, Release);
        if known.commit.has_failed() {
            // The file's fault, not the handle's: reading it anew does not bring back what the kernel dropped.
            next.commit.fail();
            next.condemn();
        }
        self.adopt(Arc::new(next));
    }

    pub(crate) fn reopen(&self) -> Result<()> {
        let deadline = Deadline::new(&*self.options.disk, self.options.lock_timeout);
        let turn = self.gate.enter(&deadline, &self.path)?;
        {
            let _following = lock_of(&self.following);
            let known = self.generation();
            let there = self.options.disk.stat(&self.real);
            if there.is_ok_and(|stat| stat.same_file(&known.identity))
                && known.header.generation != 0
            {
                match Generation::open(known.log.clone(), self.options.crossing())? {
                    Some(next) => self.adopt_same_file(&known, next),
                    None => return Err(self.replaced("was emptied")),
                }
            } else {
                // A link that leads elsewhere by now is not followed: a handle stays with its place.
                let mut log = open_file(&self.options, &self.real)?;
                log.path = Arc::clone(&self.path);
                if self.options.exclusive {
                    OsLock::take(&log.file, &deadline, &self.path)?.keep();
                }
                let next = match Generation::open(log.clone(), self.options.crossing())? {
                    Some(next) => next,
                    None => unborn(&log)?,
                };
                self.adopt(Arc::new(next));
            }
            self.stopped.store(false, Release);
        }
        drop(turn);
        let generation = self.generation();
        if !self.options.read_only
            && (generation.is_condemned() || generation.header.generation == 0)
        {
            drop(self.begin()?);
        }
        self.note_findings()
    }

    /// A forked child shares the parent's open file, and with it the parent's lock: it gets a file of its own.
    pub(crate) fn notice_fork(&self) -> Result<()> {
        let process = self.options.disk.process();
        if self.process.load(Relaxed) == process {
            return Ok(());
        }
        let known = self.generation();
        let how = OpenFile {
            write: true,
            create: Create::Never,
            mode: 0,
        };
        let file = super::log::uninterrupted(|| self.options.disk.open(&self.real, how))
            .map_err(|error| Error::io("open", &self.path, error))?;
        let log = LogFile {
            file,
            path: Arc::clone(&self.path),
        };
        if self.options.exclusive {
            let deadline = Deadline::new(&*self.options.disk, self.options.lock_timeout);
            OsLock::take(&log.file, &deadline, &self.path)?.keep();
        }
        match Generation::open(log, self.options.crossing())? {
            Some(next)
                if next.header.lineage == known.header.lineage || known.header.generation == 0 =>
            {
                self.adopt(Arc::new(next));
            }
            _ => return Err(self.replaced("was replaced by another file")),
        }
        self.process.store(process, Relaxed);
        Ok(())
    }

    /// Notes what reading the file showed, before a repair changes it.
    fn note_findings(&self) -> Result<()> {
        let mut generation = self.generation();
        if generation.position().end != End::Clean && !self.options.read_only {
            // Read without the lock, the end of the log may have been a write under way.
            let deadline = Deadline::new(&*self.options.disk, self.options.lock_timeout);
            let _turn = self.gate.enter(&deadline, &self.path)?;
            let _os_lock = self.lock_file(&generation, &deadline)?;
            if generation.prove()? == Proof::Different {
                self.replace_by_what_is_there(&generation)?;
                generation = self.generation();
            }
            let torn = generation.torn_tail()?;
            torn.into_iter().for_each(|torn| self.note_torn_tail(torn));
        }
        let mut recovery = lock_of(&self.recovery);
        recovery.bad_header_copy = recovery.bad_header_copy.or(generation.bad_header_copy);
        for damage in &generation.position().damage {
            if !recovery.damage.contains(damage) {
                recovery.damage.push(damage.clone());
            }
        }
        Ok(())
    }
}
