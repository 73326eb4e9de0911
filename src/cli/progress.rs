//! A line on the terminal for what takes longer than a person waits without wondering.

use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::cli::text;

const SILENT: Duration = Duration::from_secs(1);
const EVERY: Duration = Duration::from_millis(200);

/// Shows, from the second second on, that something goes on and how far it is; on standard error and only if that is a
/// terminal. Dropped, it takes its line away.
#[derive(Debug)]
pub(crate) struct Progress {
    shared: Arc<Shared>,
    shower: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    /// Written by the thread at work; the thread that shows it may read it stale.
    done: AtomicU64,
    /// Set by the drop of [`Progress`].
    ended: Mutex<bool>,
    /// Tells the thread that shows it that it is over.
    changed: Condvar,
}

impl Progress {
    /// `loading`, of things that are called `lines`.
    pub(crate) fn of(what: &'static str, things: &'static str) -> Progress {
        let shared = Arc::new(Shared::default());
        let shower = io::stderr().is_terminal().then(|| {
            let shared = Arc::clone(&shared);
            thread::spawn(move || show(&shared, what, things))
        });
        Progress { shared, shower }
    }

    /// As [`of`](Progress::of), of what prints as it goes: at a terminal that is progress enough.
    pub(crate) fn of_printing(what: &'static str, things: &'static str) -> Progress {
        match io::stdout().is_terminal() {
            true => Progress {
                shared: Arc::new(Shared::default()),
                shower: None,
            },
            false => Progress::of(what, things),
        }
    }

    /// One more is done.
    pub(crate) fn step(&self) {
        self.shared.done.fetch_add(1, Relaxed);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        let mut ended = self
            .shared
            .ended
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *ended = true;
        drop(ended);
        self.shared.changed.notify_all();
        if let Some(shower) = self.shower.take() {
            let _ = shower.join();
        }
    }
}

fn show(shared: &Shared, what: &str, things: &str) {
    let start = Instant::now();
    let mut patience = SILENT;
    let mut shown = false;
    loop {
        let ended = shared.ended.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = shared
            .changed
            .wait_timeout_while(ended, patience, |ended| !*ended)
            .unwrap_or_else(PoisonError::into_inner);
        if *waited.0 {
            break;
        }
        (patience, shown) = (EVERY, true);
        let mut line = format!("{what}: {} s", start.elapsed().as_secs());
        let done = shared.done.load(Relaxed);
        if done > 0 {
            line.push_str(&format!(", {} {things}", text::count(done)));
        }
        let _ = write!(io::stderr(), "\r{line} ");
    }
    if shown {
        // To the start of the line, and clear to its end (ECMA-48, CR and EL).
        let _ = write!(io::stderr(), "\r\x1b[K");
    }
}
