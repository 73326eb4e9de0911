//! Short-lived threads for what no request should pay for: compaction, and the syncs of `Durability::Os`.

use super::ahead::spawn;
use super::poison::lock_of;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

/// The threads of one handle, at most one of each kind.
#[derive(Debug, Default)]
pub(crate) struct Worker {
    /// Locked to start the thread and to take it; not while it is waited for.
    compaction: Mutex<Option<JoinHandle<()>>>,
    /// The same for the other kind.
    sync: Mutex<Option<JoinHandle<()>>>,
    /// Set by the thread that closes the handle; a thread at work may read it late, and works a little longer.
    stop: Arc<AtomicBool>,
}

/// The kinds of work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Work {
    Compaction,
    Sync,
}

impl Worker {
    /// Runs work on a thread of its own, unless a thread is at that kind of work already. Nobody waits for the outcome,
    /// so `run` has to note an error where users see it. Where the system gives no thread, the work stays due, and the
    /// next write tries again.
    pub(crate) fn start(&self, work: Work, run: Box<dyn FnOnce(&AtomicBool) + Send>) {
        let mut slot = lock_of(match work {
            Work::Compaction => &self.compaction,
            Work::Sync => &self.sync,
        });
        if slot.as_ref().is_some_and(|thread| !thread.is_finished()) || self.stop.load(Relaxed) {
            return;
        }
        let stop = Arc::clone(&self.stop);
        *slot = spawn(Box::new(move || run(&stop)));
    }

    /// Waits for the threads. With `may_stop` a compaction is told to stop first.
    pub(crate) fn join(&self, may_stop: bool) {
        if may_stop {
            self.stop.store(true, Relaxed);
        }
        for slot in [&self.compaction, &self.sync] {
            let thread = lock_of(slot).take();
            if let Some(thread) = thread {
                let _ = thread.join();
            }
        }
        self.stop.store(true, Relaxed);
    }
}
