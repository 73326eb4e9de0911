//! The memory of a client whose connections are idle, as a program of its own counts it: an allocator can't be counted
//! without `unsafe`, which this crate and its tests forbid.
//!
//! It counts what the client has allocated and not freed, for that is what the client decides. The memory that a
//! process takes beyond it is the allocator's: glibc keeps what 32 threads freed in up to eight pools a core. The
//! figure of the whole process is told beside it.

use super::server::{Server, is_there};
use crate::plain::program;
use crate::support::{is_soak, metric};
use std::time::Instant;

/// Says how many bytes the client holds once 32 threads have used it, and by how many KiB the process has grown.
const PROGRAM: &str = r#"
use shelflife::{RedisSessionStore, Saved, Session, SessionStore};
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

struct Counting;

static LIVE: AtomicUsize = AtomicUsize::new(0);

// SAFETY: the system's allocator does all of it. `realloc` is the provided one, which allocates anew.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE.fetch_add(layout.size(), Relaxed);
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Relaxed);
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

const THREADS: usize = 32;

fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("RssAnon"));
    line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok()).unwrap_or(0)
}

/// Each thread stores and loads sessions of so many bytes, all at the same time.
fn work(store: Option<&RedisSessionStore>, bytes: &[usize]) {
    let barrier = Barrier::new(THREADS);
    std::thread::scope(|scope| {
        let one = || {
            for len in bytes {
                barrier.wait();
                let Some(store) = store else { continue };
                let mut session = Session::new();
                session.insert("text", &"x".repeat(*len)).unwrap();
                assert!(matches!(store.save_session(&mut session), Ok(Saved::Stored)));
                assert!(store.load_session(session.id().unwrap()).unwrap().is_some());
            }
        };
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(one)).collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    });
}

fn main() {
    let url = std::env::args().nth(1).unwrap();
    let usual = [1000; 20];
    // The cost of threads is no matter of the client: they run before as well, and do nothing.
    work(None, &usual);
    let (live, pages) = (LIVE.load(Relaxed), resident());
    let store = RedisSessionStore::connect(&url).unwrap();
    work(Some(&store), &usual);
    let pages = resident().saturating_sub(pages);
    work(Some(&store), &[500_000]);
    let idle = LIVE.load(Relaxed) - live;
    drop(store);
    let left = LIVE.load(Relaxed).saturating_sub(live);
    println!("{idle} {left} {pages}");
}
"#;

#[test]
fn a_client_whose_connections_are_idle_holds_little_whatever_went_over_them() {
    let name = "a_client_whose_connections_are_idle_holds_little_whatever_went_over_them";
    // A small test beside the code holds the buffers of one connection to their sizes in every run.
    if !is_soak() || !is_there(name) {
        return;
    }
    let begun = Instant::now();
    let (dir, server) = (tempfile::tempdir().unwrap(), Server::start(&[]));
    let mut program = program(dir.path(), PROGRAM);
    let ran = program.arg(server.url()).output().unwrap();
    let said = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "{said}");
    let said = String::from_utf8(ran.stdout).unwrap();
    let figures: Vec<usize> = (said.split_whitespace())
        .map(|figure| figure.parse().unwrap())
        .collect();
    let [idle, left, pages] = figures[..] else {
        panic!("{said}");
    };
    // Up to sixteen idle connections, each with two buffers of 2 KiB.
    assert!((2 << 10..96 << 10).contains(&idle), "{idle} bytes");
    assert!(left < 4 << 10, "{left} bytes after the client's end");
    let secs = begun.elapsed().as_secs_f64();
    metric("redis_client_idle_bytes", idle, None, secs);
    metric("redis_client_process_grew_kib", pages, None, secs);
}
