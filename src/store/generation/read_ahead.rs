//! Reading ahead: a thread of its own verifies the records of a long log while another one counts them.
//!
//! It judges nothing. What it hands over verifies and stands in the order of the log; where that ends it stops, whatever
//! the reason.

use crate::store::format::Head;
use crate::store::log::{LogFile, Scanner, Step};
use crate::store::poison::lock_of;
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::vec::IntoIter;

/// Handed over at once: enough that the threads seldom wait for each other (with 512 records a busy machine took longer
/// than with one thread), not more than can be read in vain where the other one stops.
const RECORDS_AT_ONCE: usize = if cfg!(test) { 7 } else { 2048 };
const BYTES_AT_ONCE: u64 = 1 << 20;
/// So many may wait to be counted: what the index needs for one record varies more than what reading it does.
const HANDED_OVER_MAX: usize = 4;

/// A record that verifies, and where it stands.
type Verified = (u64, Head);

/// The records from some place on, read by another thread. Dropped, it stops that thread and waits for it.
#[derive(Debug)]
pub(super) struct ReadAhead {
    records: IntoIter<Verified>,
    handover: Arc<Handover>,
    /// None where no thread was to be had: then there are no records.
    thread: Option<JoinHandle<()>>,
}

impl ReadAhead {
    pub(super) fn start(log: &LogFile, seed: u64, offset: u64) -> ReadAhead {
        let handover = Arc::new(Handover::default());
        let (log, ends) = (log.clone(), Ends(Arc::clone(&handover)));
        let verify = move || verify(Scanner::new(&log, seed, offset), &ends.0);
        let thread = Builder::new().name("shelflife".into()).spawn(verify);
        ReadAhead {
            records: Vec::new().into_iter(),
            handover,
            thread: thread.ok(),
        }
    }
}

impl Iterator for ReadAhead {
    type Item = Verified;

    #[inline]
    fn next(&mut self) -> Option<Verified> {
        loop {
            match self.records.next() {
                None => self.records = self.handover.take()?.into_iter(),
                record => return record,
            }
        }
    }
}

impl Drop for ReadAhead {
    fn drop(&mut self) {
        self.handover.end();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn verify(mut scanner: Scanner<'_>, handover: &Handover) {
    let mut goes_on = true;
    while goes_on {
        let (mut records, mut bytes) = (Vec::with_capacity(RECORDS_AT_ONCE), 0);
        while goes_on && records.len() < RECORDS_AT_ONCE && bytes < BYTES_AT_ONCE {
            match scanner.step() {
                Ok(Step::Record { offset, head, .. }) => {
                    bytes += head.record_bytes();
                    records.push((offset, head));
                }
                _ => goes_on = false,
            }
        }
        goes_on &= handover.put(records);
    }
}

/// Between the two threads. (A channel of std would do, for 36 KB of code more in every program.)
#[derive(Debug, Default)]
struct Handover {
    state: Mutex<Handed>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Handed {
    waiting: VecDeque<Vec<Verified>>,
    /// Nothing comes any more, or nobody takes it.
    is_over: bool,
}

impl Handover {
    /// False if nobody takes it any more.
    fn put(&self, records: Vec<Verified>) -> bool {
        let mut state = self.wait(|state| state.waiting.len() >= HANDED_OVER_MAX);
        let wanted = !state.is_over;
        if wanted {
            state.waiting.push_back(records);
        }
        drop(state);
        self.changed.notify_one();
        wanted
    }

    /// `None` once nothing comes any more and all was taken.
    fn take(&self) -> Option<Vec<Verified>> {
        let mut state = self.wait(|state| state.waiting.is_empty());
        let taken = state.waiting.pop_front();
        drop(state);
        self.changed.notify_one();
        taken
    }

    fn end(&self) {
        lock_of(&self.state).is_over = true;
        self.changed.notify_all();
    }

    /// Waits while that holds, and it is not over.
    fn wait(&self, holds: fn(&Handed) -> bool) -> MutexGuard<'_, Handed> {
        let mut state = lock_of(&self.state);
        while holds(&state) && !state.is_over {
            state = (self.changed.wait(state)).unwrap_or_else(PoisonError::into_inner);
        }
        state
    }
}

/// Dropped with the closure that has it, also where no thread takes that up, it ends the handover.
struct Ends(Arc<Handover>);

impl Drop for Ends {
    fn drop(&mut self) {
        self.0.end();
    }
}
