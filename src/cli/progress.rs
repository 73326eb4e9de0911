//! A line on the terminal for what takes longer than a person waits without wondering.

use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::cli::text;

const SILENT: Duration = Duration::from_secs(1);
const EVERY: Duration = Duration::from_millis(200);

/// Shows, from the second second on, that something goes on and how far it is; on standard error and only if that is a
/// terminal. Dropped, it takes its line away.
#[derive(Debug)]
pub(crate) struct Progress {
    /// Written by the thread at work; the thread that shows it may read it stale.
    done: Arc<AtomicU64>,
    /// The thread that shows it, and the channel whose end tells that thread that it is over.
    shower: Option<(Sender<()>, JoinHandle<()>)>,
}

impl Progress {
    /// `loading`, of things that are called `lines`.
    pub(crate) fn of(what: &'static str, things: &'static str) -> Progress {
        let done = Arc::new(AtomicU64::new(0));
        let shower = io::stderr().is_terminal().then(|| {
            let (going_on, over) = mpsc::channel();
            let done = Arc::clone(&done);
            let shower = thread::spawn(move || show(&done, &over, what, things));
            (going_on, shower)
        });
        Progress { done, shower }
    }

    /// As [`of`](Progress::of), of what prints as it goes: at a terminal that is progress enough.
    pub(crate) fn of_printing(what: &'static str, things: &'static str) -> Progress {
        match io::stdout().is_terminal() {
            true => Progress {
                done: Arc::default(),
                shower: None,
            },
            false => Progress::of(what, things),
        }
    }

    /// One more is done.
    pub(crate) fn step(&self) {
        self.done.fetch_add(1, Relaxed);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some((going_on, shower)) = self.shower.take() {
            drop(going_on);
            let _ = shower.join();
        }
    }
}

fn show(done: &AtomicU64, over: &Receiver<()>, what: &str, things: &str) {
    let start = Instant::now();
    let (mut patience, mut shown) = (SILENT, false);
    while over.recv_timeout(patience) == Err(RecvTimeoutError::Timeout) {
        (patience, shown) = (EVERY, true);
        let mut line = format!("{what}: {} s", start.elapsed().as_secs());
        let done = done.load(Relaxed);
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
