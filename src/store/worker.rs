//! Short-lived threads for what no request should pay for: compaction, and the syncs of `Durability::Os`.

use super::{Inner, lock_of};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

/// The threads of one handle, at most one of each kind.
#[derive(Debug, Default)]
pub(crate) struct Worker {
    compaction: Mutex<Option<JoinHandle<()>>>,
    sync: Mutex<Option<JoinHandle<()>>>,
    stop: Arc<AtomicBool>,
}

impl Worker {
    /// Starts a compaction unless one is running. The writer who made it due has its answer already; an error shows
    /// again when `compact()` is called.
    pub(crate) fn compact(&self, store: &Arc<Inner>) {
        self.start(&self.compaction, store, |store, stop| {
            _ = store.compact_if_due(stop)
        });
    }

    /// Starts a sync unless one is running. Nobody waits for it; if it fails, the next write says so.
    pub(crate) fn sync(&self, store: &Arc<Inner>) {
        self.start(&self.sync, store, |store, _| {
            let generation = store.generation();
            _ = store.make_durable(&generation, generation.tail());
        });
    }

    fn start(
        &self,
        slot: &Mutex<Option<JoinHandle<()>>>,
        store: &Arc<Inner>,
        work: fn(&Inner, &AtomicBool),
    ) {
        let mut slot = lock_of(slot);
        if slot.as_ref().is_some_and(|thread| !thread.is_finished()) || self.stop.load(Relaxed) {
            return;
        }
        let (store, stop) = (Arc::clone(store), Arc::clone(&self.stop));
        let thread = std::thread::Builder::new()
            .name("shelflife".into())
            .spawn(move || work(&store, &stop));
        // Without a thread the work stays due, and the next write tries again.
        *slot = thread.ok();
    }

    /// Stops the threads and waits for them.
    pub(crate) fn stop(&self) {
        self.stop.store(true, Relaxed);
        for slot in [&self.compaction, &self.sync] {
            let thread = lock_of(slot).take();
            if let Some(thread) = thread {
                let _ = thread.join();
            }
        }
    }
}
