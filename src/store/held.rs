//! Real threads on a disk whose calls end when a test says so: it needs no clock to see which thread waits for which.

use super::disk::os::OsDisk;
use super::disk::{Create, Disk, DiskFile, OpenFile, Stat, sealed::Sealed};
use super::generation::Generation;
use super::mode::{Compaction, Durability};
use super::options::Options;
use super::{Change, Store};
use crate::error::ErrorKind;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::*};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, Scope, ScopedJoinHandle};
use std::time::{Duration, SystemTime};

/// Far more than anything here takes: a test whose claim is broken ends.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A call that is held until the test ends it. If the test drops this instead, the call fails.
pub(crate) struct Begun {
    /// The file that it is held in, 0 for none.
    pub(crate) inode: u64,
    end: Arc<Ending>,
}

/// No channel, since a thread that waits on a channel parks, and loses an `unpark` that was meant for it.
#[derive(Default)]
struct Ending {
    told: Mutex<Option<io::Result<()>>>,
    /// Wakes the call that is held.
    telling: Condvar,
}

impl Ending {
    fn tell(&self, result: io::Result<()>) {
        self.told.lock().unwrap().get_or_insert(result);
        self.telling.notify_one();
    }
}

impl Begun {
    pub(crate) fn end(self) {
        self.end.tell(Ok(()));
    }

    pub(crate) fn fail(self) {
        self.end.tell(Err(io::ErrorKind::Other.into()));
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        self.end.tell(Err(io::ErrorKind::TimedOut.into()));
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum What {
    Read,
    Write,
    /// Held once it is done.
    Rename,
    Sleep,
}

/// The operating system's disk, but that its syncs of files are held, and other calls when asked to. Its clock goes on
/// by itself only for those who sleep.
#[derive(Debug, Clone)]
pub(crate) struct Held {
    /// Where each held call shows itself to the test.
    begun: Arc<Mutex<Sender<Begun>>>,
    /// Whether syncs are held; otherwise they return at once, and sync nothing.
    holds: Arc<AtomicBool>,
    /// How many syncs have begun.
    syncs: Arc<AtomicUsize>,
    /// Which other call is held, counted from 1.
    next: Arc<Mutex<Option<(What, u32)>>>,
    /// How many looks at a path are yet to tell that its file has no name.
    nameless: Arc<AtomicUsize>,
    /// Moved on by the test and by those who sleep.
    clock_ns: Arc<AtomicU64>,
    /// How often somebody looked at the clock.
    looks: Arc<AtomicUsize>,
}

#[derive(Debug)]
struct HeldFile {
    file: Arc<dyn DiskFile>,
    disk: Held,
}

impl Held {
    pub(crate) fn now(&self) -> Duration {
        Duration::from_nanos(self.clock_ns.load(Acquire))
    }

    pub(crate) fn advance(&self, duration: Duration) {
        self.clock_ns.fetch_add(duration.as_nanos() as u64, AcqRel);
    }

    pub(crate) fn looks_at_the_clock(&self) -> usize {
        self.looks.load(Acquire)
    }

    /// Holds the n-th such call from now on, counted from 1.
    pub(crate) fn hold_nth(&self, what: What, nth: u32) {
        *self.next.lock().unwrap() = Some((what, nth));
    }

    fn hold(&self, what: What, inode: u64) {
        {
            let mut next = self.next.lock().unwrap();
            match &mut *next {
                Some((held, nth)) if *held == what => {
                    *nth -= 1;
                    if *nth > 0 {
                        return;
                    }
                    *next = None;
                }
                _ => return,
            }
        }
        let _ = self.begin(inode);
    }

    fn begin(&self, inode: u64) -> io::Result<()> {
        let end = Arc::new(Ending::default());
        let begun = Begun {
            inode,
            end: Arc::clone(&end),
        };
        self.begun.lock().unwrap().send(begun).unwrap();
        let told = end.told.lock().unwrap();
        let told = end
            .telling
            .wait_timeout_while(told, PATIENCE, |told| told.is_none());
        // An error and no panic: after a panic the thread that waits for this call would wait for ever.
        let told = told.unwrap().0.take();
        told.unwrap_or_else(|| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl Sealed for Held {}
impl Sealed for HeldFile {}

impl Disk for Held {
    fn open(&self, path: &Path, how: OpenFile) -> io::Result<Arc<dyn DiskFile>> {
        let file = OsDisk.open(path, how)?;
        let disk = self.clone();
        Ok(Arc::new(HeldFile { file, disk }))
    }
    fn resolve(&self, path: &Path) -> io::Result<PathBuf> {
        OsDisk.resolve(path)
    }
    fn stat(&self, path: &Path) -> io::Result<Stat> {
        let mut stat = OsDisk.stat(path)?;
        let nameless = (self.nameless).fetch_update(AcqRel, Acquire, |looks| looks.checked_sub(1));
        stat.links = if nameless.is_ok() { 0 } else { stat.links };
        Ok(stat)
    }
    fn list(&self, dir: &Path) -> io::Result<Vec<OsString>> {
        OsDisk.list(dir)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        OsDisk.rename(from, to)?;
        self.hold(What::Rename, 0);
        Ok(())
    }
    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        OsDisk.link(from, to)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        OsDisk.remove(path)
    }
    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }
    fn network_file_system(&self, _: &Path) -> io::Result<Option<String>> {
        Ok(None)
    }
    fn random(&self, buf: &mut [u8]) -> io::Result<()> {
        OsDisk.random(buf)
    }
    fn wall_clock(&self) -> SystemTime {
        OsDisk.wall_clock()
    }
    fn monotonic(&self) -> Duration {
        let now = self.now();
        // Counted after `now` was read: a test that has seen the count moves the clock on for later looks only.
        self.looks.fetch_add(1, AcqRel);
        now
    }
    fn sleep(&self, duration: Duration) {
        self.hold(What::Sleep, 0);
        OsDisk.sleep(duration);
        self.advance(duration);
    }
    fn process(&self) -> u32 {
        OsDisk.process()
    }
}

impl DiskFile for HeldFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.disk.hold(What::Read, self.stat()?.inode);
        self.file.read_at(buf, offset)
    }
    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<usize> {
        self.disk.hold(What::Write, self.stat()?.inode);
        self.file.write_at(buf, offset)
    }
    fn set_len(&self, len_bytes: u64) -> io::Result<()> {
        self.file.set_len(len_bytes)
    }
    fn sync(&self) -> io::Result<()> {
        if !self.disk.holds.load(Acquire) {
            return Ok(());
        }
        self.disk.syncs.fetch_add(1, AcqRel);
        self.disk.begin(self.stat()?.inode)
    }
    fn size(&self) -> io::Result<u64> {
        self.file.size()
    }
    fn reads_beside(&self) -> bool {
        self.file.reads_beside()
    }
    fn is_named(&self, path: &Path) -> bool {
        self.file.is_named(path)
    }
    fn stat(&self) -> io::Result<Stat> {
        self.file.stat()
    }
    fn touch(&self) -> io::Result<()> {
        self.file.touch()
    }
    fn set_owner(&self, uid: u32, gid: u32, mode: u32) -> io::Result<()> {
        self.file.set_owner(uid, gid, mode)
    }
    fn try_lock(&self) -> io::Result<bool> {
        self.file.try_lock()
    }
    fn unlock(&self) -> io::Result<()> {
        self.file.unlock()
    }
}

/// A durable store whose syncs are held, and another handle on its file that asks for none.
pub(crate) struct Bench {
    _dir: tempfile::TempDir,
    pub(crate) disk: Held,
    begun: Receiver<Begun>,
    pub(crate) store: Store,
    pub(crate) other: Store,
}

pub(crate) type Writer<'scope> = ScopedJoinHandle<'scope, crate::Result<bool>>;

/// A deadline that is reached only where the clock is advanced.
const TIMEOUT: Duration = Duration::from_secs(100);

impl Bench {
    pub(crate) fn new() -> Bench {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s.shelf");
        let (begin, begun) = channel();
        let disk = Held {
            begun: Arc::new(Mutex::new(begin)),
            holds: Arc::default(),
            syncs: Arc::default(),
            next: Arc::default(),
            nameless: Arc::default(),
            clock_ns: Arc::default(),
            looks: Arc::default(),
        };
        let mut options = Options::new();
        options
            .compaction(Compaction::Manual)
            .lock_timeout(TIMEOUT)
            .disk(Arc::new(disk.clone()));
        let store = options.open(&path).unwrap();
        store.insert("first", "").unwrap();
        let other = options.durability(Durability::Os).open(&path).unwrap();
        disk.holds.store(true, Release);
        Bench {
            _dir: dir,
            disk,
            begun,
            store,
            other,
        }
    }

    pub(crate) fn syncs(&self) -> usize {
        self.disk.syncs.load(Acquire)
    }

    pub(crate) fn next_call(&self) -> Begun {
        self.begun.recv_timeout(PATIENCE).unwrap()
    }

    /// The next call that is held, `None` if a thread ends without one.
    pub(crate) fn next_call_of<T>(&self, thread: &ScopedJoinHandle<'_, T>) -> Option<Begun> {
        loop {
            let is_over = thread.is_finished();
            match self.begun.try_recv() {
                Ok(begun) => return Some(begun),
                Err(_) if is_over => return None,
                Err(_) => thread::yield_now(),
            }
        }
    }

    /// Ends each call that is held until a thread is done; returns the thread's result, and the files of those calls.
    pub(crate) fn end_all_until<T>(&self, thread: ScopedJoinHandle<'_, T>) -> (T, Vec<u64>) {
        let mut inodes = Vec::new();
        while !thread.is_finished() {
            if let Ok(begun) = self.begun.try_recv() {
                inodes.push(begun.inode);
                begun.end();
            }
            thread::yield_now();
        }
        (thread.join().unwrap(), inodes)
    }

    pub(crate) fn generation(&self) -> Arc<Generation> {
        self.store.place().generation()
    }

    /// Starts a write in a thread of its own, and returns once its record is in the file and a sync that starts now
    /// covers it.
    pub(crate) fn start<'scope, 'env>(
        &'env self,
        scope: &'scope Scope<'scope, 'env>,
        key: String,
    ) -> Writer<'scope> {
        let (store, written) = (&self.store, key.clone());
        let writer = scope.spawn(move || store.insert(key, ""));
        let is_written = || {
            let tail = self.other.place().generation().tail();
            self.generation().written.load(Acquire) >= tail
        };
        while !(self.other.contains_key(&written).unwrap() && is_written()) {
            assert!(!writer.is_finished(), "no write, or one without a sync");
            thread::yield_now();
        }
        writer
    }

    /// Once this is dropped nothing is held any more, so a failing test leaves no thread waiting.
    pub(crate) fn over(&self) -> impl Drop + '_ {
        struct Over<'a>(&'a Bench);
        impl Drop for Over<'_> {
            fn drop(&mut self) {
                self.0.disk.holds.store(false, Release);
                *self.0.disk.next.lock().unwrap() = None;
                while self.0.begun.try_recv().is_ok() {}
            }
        }
        Over(self)
    }
}

/// The kernel takes the name from the old file before the path leads to the new one.
#[test]
fn a_file_that_loses_its_name_in_the_middle_of_a_rename_is_not_taken_for_one_that_was_replaced() {
    let bench = Bench::new();
    let (place, known) = (bench.store.place(), bench.generation());
    bench.disk.nameless.store(3, Release);
    assert!(!place.follow(&known).unwrap());
    assert_eq!(bench.disk.nameless.load(Acquire), 0);
    bench.disk.nameless.store(usize::MAX, Release);
    let error = place.follow(&known).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Replaced, "{error}");
}

#[test]
fn a_reader_waits_for_no_rename() {
    let bench = Bench::new();
    thread::scope(|scope| {
        let _over = bench.over();
        bench.disk.hold_nth(What::Rename, 1);
        let compacting = scope.spawn(|| bench.store.compact());
        let renamed = loop {
            match bench.next_call() {
                begun if begun.inode == 0 => break begun,
                sync => sync.end(),
            }
        };
        assert_eq!(bench.store.get("absent").unwrap(), None);
        // Had the hold been over by then, the reader would have shown nothing.
        let following = bench.store.place().following.try_lock();
        assert!(following.is_err(), "the rename was over by then");
        renamed.end();
        compacting.join().unwrap().unwrap();
    });
}

#[test]
fn others_write_while_a_compaction_copies_and_little_is_left_to_copy_under_the_lock() {
    let bench = Bench::new();
    let old = bench.generation().identity.inode;
    thread::scope(|scope| {
        let _over = bench.over();
        let compacting = scope.spawn(|| bench.store.compact().unwrap());
        let copying = bench.next_call();
        assert_ne!(copying.inode, old, "the copy is brought to disk");
        // As another process would, with a lock of its own: more than may be left for the time under the lock.
        for nth in 0..20u8 {
            assert!(bench.other.insert([nth], [nth; 10_000]).unwrap());
            assert_eq!(bench.store.get([nth]).unwrap(), Some(vec![nth; 10_000]));
        }
        copying.end();
        let copying = bench.next_call();
        assert_ne!(copying.inode, old, "what was written meanwhile is as well");
        assert!(bench.other.insert("late", "").unwrap());
        copying.end();
        let (_, inodes) = bench.end_all_until(compacting);
        assert_eq!(inodes.len(), 1, "one more, with the lock");
    });
    assert_ne!(bench.generation().identity.inode, old);
    assert_eq!(bench.other.len().unwrap(), 22);
}

#[test]
fn damage_that_a_later_pass_meets_makes_the_copy_begin_anew_and_is_carried() {
    const RECORD_BYTES: u64 = 10_056;
    let bench = Bench::new();
    let old = bench.generation().identity.inode;
    thread::scope(|scope| {
        let _over = bench.over();
        let compacting = scope.spawn(|| bench.store.compact());
        let copying = bench.next_call();
        for nth in 0..20u8 {
            assert!(bench.other.insert([nth], [nth; 10_000]).unwrap());
        }
        // This handle knows all of them, so that what rots now is damage, and no write that was torn.
        assert_eq!(bench.store.len().unwrap(), 21);
        let at = bench.generation().tail() - 9 * RECORD_BYTES - 5_000;
        let how = OpenFile {
            write: true,
            create: Create::Never,
            mode: 0o600,
        };
        let file = OsDisk.open(bench.store.path(), how).unwrap();
        assert_eq!(file.write_at(&[0xff], at).unwrap(), 1);
        copying.end();
        let (compacted, _) = bench.end_all_until(compacting);
        compacted.unwrap();
    });
    assert_ne!(bench.generation().identity.inode, old);
    for store in [&bench.store, &bench.other] {
        for nth in 0..20u8 {
            match store.get([nth]) {
                Ok(value) => assert_eq!((value, nth != 10), (Some(vec![nth; 10_000]), true)),
                Err(error) => assert_eq!((error.is_corrupt(), nth), (true, 10), "{error}"),
            }
        }
    }
}

#[test]
fn a_backup_lacks_no_key_of_which_the_record_rots_and_which_is_written_while_it_copies() {
    let bench = Bench::new();
    bench.disk.holds.store(false, Release);
    let (store, to) = (&bench.store, bench.store.path().with_extension("to"));
    // Longer than what a copy collects before it writes it.
    store.insert("long", vec![1; 300_000]).unwrap();
    let at = bench.generation().tail();
    store.insert("rots", "before").unwrap();
    store.insert("last", "").unwrap();
    thread::scope(|scope| {
        let _over = bench.over();
        bench.disk.hold_nth(What::Write, 1);
        let copying = scope.spawn(|| store.backup(&to));
        let begun = bench.next_call();
        let how = OpenFile {
            write: true,
            create: Create::Never,
            mode: 0o600,
        };
        let file = OsDisk.open(store.path(), how).unwrap();
        assert_eq!(file.write_at(&[0xff; 48], at).unwrap(), 48);
        assert!(!store.insert("rots", "after").unwrap());
        begun.end();
        let made = copying.join().unwrap().unwrap();
        assert_eq!((made.entries, made.damaged), (4, 0));
    });
    let copy = Store::open(&to).unwrap();
    assert_eq!(copy.get("rots").unwrap().as_deref(), Some(&b"after"[..]));
    assert_eq!(copy.get("long").unwrap(), Some(vec![1; 300_000]));
}

#[test]
fn a_compaction_renames_over_nothing_that_somebody_put_there_meanwhile() {
    let bench = Bench::new();
    let path = bench.store.path().to_owned();
    thread::scope(|scope| {
        let _over = bench.over();
        let compacting = scope.spawn(|| bench.store.compact());
        let copying = bench.next_call();
        OsDisk.rename(&path, &path.with_extension("old")).unwrap();
        let backup = OpenFile {
            write: true,
            create: Create::New,
            mode: 0o600,
        };
        let backup = OsDisk.open(&path, backup).unwrap();
        assert_eq!(backup.write_at(b"a backup", 0).unwrap(), 8);
        copying.end();
        let (compacted, _) = bench.end_all_until(compacting);
        let error = compacted.unwrap_err();
        assert_eq!(error.kind(), crate::ErrorKind::NotAStore, "{error}");
    });
    assert_eq!(OsDisk.stat(&path).unwrap().size_bytes, 8);
}

#[test]
fn nobody_who_reads_waits_for_a_thread_that_waits_for_the_disk() {
    let bench = Bench::new();
    bench.disk.holds.store(false, Release);
    let reads_go_on = |whom: &str| {
        for store in [&bench.store, &bench.other] {
            assert!(store.contains_key("first").unwrap(), "{whom}");
            assert_eq!(store.get("first").unwrap().as_deref(), Some(&b""[..]));
            assert_eq!(store.get("absent").unwrap(), None, "{whom}");
            assert!(store.len().unwrap() >= 1, "{whom}");
        }
    };
    // Holds the first such call that a thread makes, then the second, and so on; returns how many there were.
    let hold_each = |what, call: &(dyn Fn() + Sync), meanwhile: &dyn Fn()| {
        let mut calls = 0;
        loop {
            let was_held = thread::scope(|scope| {
                let _over = bench.over();
                bench.disk.hold_nth(what, calls + 1);
                let calling = scope.spawn(call);
                let begun = bench.next_call_of(&calling)?;
                meanwhile();
                assert!(!calling.is_finished());
                begun.end();
                calling.join().ok()
            });
            if was_held.is_none() {
                return calls;
            }
            calls += 1;
        }
    };
    let read = || _ = bench.store.get("first").unwrap();
    let reads = hold_each(What::Read, &read, &|| {
        reads_go_on("a reader");
        assert!(!bench.other.insert("first", "").unwrap());
        assert!(!bench.store.insert("first", "").unwrap());
    });
    let write = || _ = bench.store.insert("first", "").unwrap();
    // The proof of the tail, and the key that is overwritten.
    let reads_to_write = hold_each(What::Read, &write, &|| reads_go_on("a writer"));
    let writes = hold_each(What::Write, &write, &|| {
        reads_go_on("an append");
        assert_eq!(bench.store.iter().map(Result::unwrap).count(), 1);
    });
    assert!(reads >= 1 && reads_to_write >= 2 && writes == 1);
}

#[test]
fn the_queues_of_threads_and_of_processes_have_one_deadline() {
    let bench = Bench::new();
    bench.disk.holds.store(false, Release);
    let insert = |key: &'static str| move |store: &Store| store.insert(key, "").unwrap_err();
    let change = |_: Option<&[u8]>| {
        thread::scope(|scope| {
            let _over = bench.over();
            bench.disk.hold_nth(What::Sleep, 1);
            // This thread has the turn of its handle, and waits for the lock of the file.
            let one = scope.spawn(|| insert("one")(&bench.store));
            let asleep = bench.next_call();
            let (start, looks) = (bench.disk.now(), bench.disk.looks_at_the_clock());
            let two = scope.spawn(|| insert("two")(&bench.store));
            while bench.disk.looks_at_the_clock() == looks {
                thread::yield_now();
            }
            bench.disk.advance(TIMEOUT - Duration::from_millis(10));
            asleep.end();
            for error in [one.join().unwrap(), two.join().unwrap()] {
                assert!(error.is_busy(), "{error}");
                assert!(error.to_string().contains("waited 100"), "{error}");
            }
            let waited = bench.disk.now() - start;
            assert!(waited < TIMEOUT + TIMEOUT / 10, "{waited:?}");
        });
        Ok((Change::Keep, ()))
    };
    bench.other.update("k", change).unwrap();
    assert!(bench.store.insert("one", "").unwrap());
}

#[test]
fn waiting_for_a_running_compaction_has_the_deadline_of_a_lock() {
    let bench = Bench::new();
    bench.disk.holds.store(false, Release);
    for _ in 0..30 {
        bench.other.insert("dead", vec![7; 100_000]).unwrap();
    }
    let timeout = Duration::from_millis(5);
    let mut options = Options::new();
    options
        .compaction(Compaction::Inline)
        .durability(Durability::Os)
        .lock_timeout(timeout)
        .disk(Arc::new(bench.disk.clone()));
    let store = options.open(bench.store.path()).unwrap();
    bench.disk.holds.store(true, Release);
    thread::scope(|scope| {
        let _over = bench.over();
        let compacting = scope.spawn(|| store.compact());
        let copying = bench.next_call();
        let until_its_deadline = |looks: usize| {
            let start = OsDisk.monotonic();
            while bench.disk.looks_at_the_clock() == looks {
                let waited = OsDisk.monotonic() - start;
                assert!(waited < PATIENCE, "it waits without a deadline");
                thread::yield_now();
            }
            bench.disk.advance(timeout);
        };
        let looks = bench.disk.looks_at_the_clock();
        let other = scope.spawn(|| store.compact());
        until_its_deadline(looks);
        let error = other.join().unwrap().unwrap_err();
        assert!(error.is_busy(), "{error}");
        let said = error.to_string();
        assert!(
            said.contains("is being compacted by another thread, waited 5 ms"),
            "{said}"
        );

        let looks = bench.disk.looks_at_the_clock();
        let inline = scope.spawn(|| store.insert("inline", ""));
        until_its_deadline(looks);
        assert!(inline.join().unwrap().unwrap(), "it was written before");
        copying.end();
        let (compacted, _) = bench.end_all_until(compacting);
        compacted.unwrap();
    });
    assert!(store.stats().unwrap().dead_bytes < 1_000);
}
