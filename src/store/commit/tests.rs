//! Group commit with real threads, on a disk whose syncs begin and end when the test says so: how many syncs there are
//! for how many writes is then exact.

use crate::store::disk::os::OsDisk;
use crate::store::disk::{Disk, DiskFile, OpenFile, Stat, sealed::Sealed};
use crate::store::generation::Generation;
use crate::{Compaction, Durability, Options, Store};
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::*};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::{self, Scope, ScopedJoinHandle};
use std::time::{Duration, SystemTime};

const WRITERS: usize = 16;
/// Far more than anything here takes: a test whose claim is broken ends.
const PATIENCE: Duration = Duration::from_secs(60);

/// A sync that has begun, and ends when it is told how.
struct Begun {
    inode: u64,
    end: Sender<io::Result<()>>,
}

impl Begun {
    fn end(self) {
        self.end.send(Ok(())).unwrap();
    }
}

/// The operating system's disk, but for its syncs of files.
#[derive(Debug, Clone)]
struct Held {
    begun: Arc<Mutex<Sender<Begun>>>,
    /// Until then syncs are as ever.
    holds: Arc<AtomicBool>,
    syncs: Arc<AtomicUsize>,
}

#[derive(Debug)]
struct HeldFile {
    file: Arc<dyn DiskFile>,
    disk: Held,
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
        OsDisk.stat(path)
    }
    fn list(&self, dir: &Path) -> io::Result<Vec<OsString>> {
        OsDisk.list(dir)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        OsDisk.rename(from, to)
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
        OsDisk.monotonic()
    }
    fn sleep(&self, duration: Duration) {
        OsDisk.sleep(duration);
    }
    fn process(&self) -> u32 {
        OsDisk.process()
    }
}

impl DiskFile for HeldFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(buf, offset)
    }
    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<usize> {
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
        let (end, ended) = channel();
        let inode = self.stat()?.inode;
        let begun = Begun { inode, end };
        self.disk.begun.lock().unwrap().send(begun).unwrap();
        ended.recv_timeout(PATIENCE).unwrap()
    }
    fn stat(&self) -> io::Result<Stat> {
        self.file.stat()
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
struct Bench {
    _dir: tempfile::TempDir,
    disk: Held,
    begun: Receiver<Begun>,
    store: Store,
    other: Store,
}

type Writer<'scope> = ScopedJoinHandle<'scope, crate::Result<bool>>;

impl Bench {
    fn new() -> Bench {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s.shelf");
        let (begin, begun) = channel();
        let disk = Held {
            begun: Arc::new(Mutex::new(begin)),
            holds: Arc::default(),
            syncs: Arc::default(),
        };
        let mut options = Options::new();
        options
            .compaction(Compaction::Manual)
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

    fn syncs(&self) -> usize {
        self.disk.syncs.load(Acquire)
    }

    fn next_sync(&self) -> Begun {
        self.begun.recv_timeout(PATIENCE).unwrap()
    }

    fn generation(&self) -> Arc<Generation> {
        self.store.inner().generation()
    }

    /// Starts a write in a thread of its own, and returns once its record is in the file.
    fn start<'scope, 'env>(
        &'env self,
        scope: &'scope Scope<'scope, 'env>,
        key: String,
    ) -> Writer<'scope> {
        let (store, written) = (&self.store, key.clone());
        let writer = scope.spawn(move || store.insert(key, ""));
        while !self.other.contains_key(&written).unwrap() {
            assert!(!writer.is_finished(), "no write, or one without a sync");
            thread::yield_now();
        }
        // A sync covers what the writer has noted, which it does right after.
        let tail = self.other.inner().generation().tail();
        while self.generation().written.load(Acquire) < tail {
            thread::yield_now();
        }
        writer
    }

    /// From when it is dropped, syncs are as ever: also for the threads that a failing test leaves waiting.
    fn over(&self) -> impl Drop + '_ {
        struct Over<'a>(&'a Bench);
        impl Drop for Over<'_> {
            fn drop(&mut self) {
                self.0.disk.holds.store(false, Release);
                while self.0.begun.try_recv().is_ok() {}
            }
        }
        Over(self)
    }
}

#[test]
fn writes_that_come_during_a_sync_share_the_next_one() {
    let bench = Bench::new();
    thread::scope(|scope| {
        let _over = bench.over();
        let first = bench.start(scope, "0".to_string());
        let leading = bench.next_sync();
        let others: Vec<_> = (1..WRITERS)
            .map(|nth| bench.start(scope, nth.to_string()))
            .collect();
        assert_eq!(bench.syncs(), 1, "one at a time");
        assert!(
            !first.is_finished(),
            "acknowledged before its sync has ended"
        );
        leading.end();
        assert!(first.join().unwrap().unwrap());
        // What the first sync did not cover, one more does.
        let second = bench.next_sync();
        assert!(others.iter().all(|other| !other.is_finished()));
        second.end();
        for other in others {
            assert!(other.join().unwrap().unwrap());
        }
    });
    assert_eq!(bench.syncs(), 2, "for {WRITERS} writes");
}

#[test]
fn a_sync_earns_nothing_that_was_written_while_it_ran() {
    let bench = Bench::new();
    thread::scope(|scope| {
        let _over = bench.over();
        let first = bench.start(scope, "0".to_string());
        let leading = bench.next_sync();
        let covered = bench.generation().tail();
        let second = bench.start(scope, "1".to_string());
        leading.end();
        first.join().unwrap().unwrap();
        let following = bench.next_sync();
        assert_eq!(bench.generation().commit.durable(), covered);
        following.end();
        second.join().unwrap().unwrap();
        assert_eq!(
            bench.generation().commit.durable(),
            bench.generation().tail()
        );
    });
}

#[test]
fn others_write_while_a_sync_runs() {
    let bench = Bench::new();
    thread::scope(|scope| {
        let _over = bench.over();
        let writer = bench.start(scope, "held".to_string());
        let begun = bench.next_sync();
        // Another owner of the lock, as another process is.
        assert!(bench.other.insert("other", "").unwrap());
        assert!(bench.store.contains_key("other").unwrap());
        assert!(!writer.is_finished());
        begun.end();
        writer.join().unwrap().unwrap();
    });
}

#[test]
fn a_sync_of_the_old_file_earns_the_new_one_nothing() {
    let bench = Bench::new();
    let old = bench.generation();
    thread::scope(|scope| {
        let _over = bench.over();
        let leader = bench.start(scope, "leader".to_string());
        let of_old = bench.next_sync();
        let follower = bench.start(scope, "follower".to_string());
        assert_eq!(of_old.inode, old.identity.inode);

        let store = &bench.store;
        let compacting = scope.spawn(|| store.compact().unwrap());
        while !compacting.is_finished() {
            // Of the file that is about to be put in place.
            if let Ok(begun) = bench.begun.try_recv() {
                assert_ne!(begun.inode, old.identity.inode);
                begun.end();
            }
            thread::yield_now();
        }
        let new = bench.generation();
        assert_ne!(new.identity.inode, old.identity.inode);
        let durable = new.commit.durable();
        let writer = bench.start(scope, "new".to_string());
        let of_new = bench.next_sync();
        assert_eq!(of_new.inode, new.identity.inode);

        of_old.end();
        leader.join().unwrap().unwrap();
        // Who waits for the old file still syncs that one.
        let of_old = bench.next_sync();
        assert_eq!(of_old.inode, old.identity.inode);
        assert!(!follower.is_finished());
        of_old.end();
        follower.join().unwrap().unwrap();
        assert_eq!(new.commit.durable(), durable, "earned by another file");
        assert!(!writer.is_finished());
        of_new.end();
        writer.join().unwrap().unwrap();
        assert_eq!(new.commit.durable(), new.tail());
    });
}

#[test]
fn a_failed_sync_acknowledges_nobody_and_is_never_tried_again() {
    let bench = Bench::new();
    let failed = bench.generation();
    thread::scope(|scope| {
        let _over = bench.over();
        let leader = bench.start(scope, "0".to_string());
        let begun = bench.next_sync();
        let followers: Vec<_> = (1..WRITERS)
            .map(|nth| bench.start(scope, nth.to_string()))
            .collect();
        begun.end.send(Err(io::ErrorKind::Other.into())).unwrap();
        leader.join().unwrap().unwrap_err();
        for follower in followers {
            follower.join().unwrap().unwrap_err();
        }
    });
    assert_eq!(bench.syncs(), 1, "for {WRITERS} writes");
    assert!(bench.store.insert("next", "").unwrap());
    assert_ne!(bench.generation().identity.inode, failed.identity.inode);
    assert_eq!(bench.store.len().unwrap(), WRITERS + 2);
}
