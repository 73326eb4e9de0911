//! Jobs done ahead. One thread, the taker, takes the products of jobs in the order of the jobs; a second thread makes
//! them before they are asked for.
//!
//! Where the product that comes next is not made yet, the taker makes one itself: that one or, while the second thread is
//! making it, the next one that nobody has begun. So both threads work all the time, whether making a product costs more
//! or using it; and where the system gives no second thread, the taker makes all products.
//!
//! A job that panics leaves its product half made. So a job first clears what an earlier one left in the product, and
//! the taker must be able to tell what is missing, and to make it.

use super::poison::lock_of;
use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, JoinHandle};

/// Jobs that may be begun and not taken yet: the taker's time for one varies more than the maker's.
const BEGUN_MAX: usize = 4;

/// Jobs made ahead. Dropped, it stops the second thread and waits for it.
pub(crate) struct Ahead<J, T> {
    shared: Arc<Shared<J, T>>,
    /// Jobs that are still to come until a second thread pays for itself.
    alone: usize,
    thread: Option<JoinHandle<()>>,
}

type Make<J, T> = dyn Fn(&J, &mut T) + Send + Sync;

struct Shared<J, T> {
    /// Makes what a job asks for, in the spent product of an earlier job if there is one.
    make: Box<Make<J, T>>,
    /// Changed by both threads; held by neither while a job is made.
    state: Mutex<State<J, T>>,
    /// Tells both sides that `state` has changed.
    changed: Condvar,
}

struct State<J, T> {
    jobs: Box<dyn Iterator<Item = J> + Send>,
    /// Jobs that were begun and not taken yet, in order: a handful. `None`: a thread is making it.
    begun: Vec<Option<(J, T)>>,
    /// How many were taken before these.
    taken: usize,
    spent: Vec<T>,
    /// A thread waits for the other one.
    is_awaited: bool,
    /// The second thread is to end.
    is_over: bool,
}

impl<J: Send + 'static, T: Default + Send + 'static> Ahead<J, T> {
    /// The second thread starts once `alone` jobs were taken; with `usize::MAX` it never does.
    pub(crate) fn new(
        jobs: impl Iterator<Item = J> + Send + 'static,
        alone: usize,
        make: impl Fn(&J, &mut T) + Send + Sync + 'static,
    ) -> Ahead<J, T> {
        let state = State {
            jobs: Box::new(jobs),
            begun: Vec::new(),
            taken: 0,
            spent: Vec::new(),
            is_awaited: false,
            is_over: false,
        };
        Ahead {
            shared: Arc::new(Shared {
                make: Box::new(make),
                state: Mutex::new(state),
                changed: Condvar::new(),
            }),
            alone,
            thread: None,
        }
    }

    /// The next job with what was made of it; `None` after the last one. `spent` was taken before and is not needed any
    /// more.
    pub(crate) fn take(&mut self, spent: Option<T>) -> Option<(J, T)> {
        if self.alone == 0 && self.thread.is_none() {
            self.start();
        }
        self.alone = self
            .alone
            .saturating_sub(usize::from(self.alone != usize::MAX));
        let shared = &*self.shared;
        let mut state = lock_of(&shared.state);
        state.spent.extend(spent);
        loop {
            let is_begun = match state.begun.first_mut().map(Option::take) {
                Some(Some(made)) => {
                    state.begun.remove(0);
                    state.taken += 1;
                    shared.tell(state);
                    return Some(made);
                }
                begun => begun.is_some(),
            };
            // While the second thread makes that one, this thread makes the one behind it.
            let next = match is_begun && state.begun.len() >= BEGUN_MAX {
                true => None,
                false => state.begin(),
            };
            state = match next {
                Some((nth, job)) => {
                    drop(state);
                    shared.make(nth, job);
                    lock_of(&shared.state)
                }
                None if is_begun => shared.wait(state),
                None => return None,
            };
        }
    }

    /// Where the system gives no thread, none is asked for again.
    fn start(&mut self) {
        let shared = Arc::clone(&self.shared);
        self.thread = spawn(Box::new(move || shared.make_all()));
        self.alone = usize::MAX;
    }
}

/// Starts a thread of the store's own. `None` where the system gives no thread.
pub(crate) fn spawn(run: Box<dyn FnOnce() + Send>) -> Option<JoinHandle<()>> {
    Builder::new().name("shelflife".into()).spawn(run).ok()
}

impl<J, T: Default> Shared<J, T> {
    fn make_all(&self) {
        let mut state = lock_of(&self.state);
        while !state.is_over {
            if state.begun.len() >= BEGUN_MAX {
                state = self.wait(state);
            } else if let Some((nth, job)) = state.begin() {
                drop(state);
                self.make(nth, job);
                state = lock_of(&self.state);
            } else {
                return;
            }
        }
    }

    fn make(&self, nth: usize, job: J) {
        let made = lock_of(&self.state).spent.pop().unwrap_or_default();
        let mut making = Making {
            shared: self,
            nth,
            made: Some((job, made)),
        };
        if let Some((job, made)) = &mut making.made {
            (self.make)(job, made);
        }
    }

    fn wait<'s>(&self, mut state: MutexGuard<'s, State<J, T>>) -> MutexGuard<'s, State<J, T>> {
        state.is_awaited = true;
        (self.changed.wait(state)).unwrap_or_else(PoisonError::into_inner)
    }
}

impl<J, T> Shared<J, T> {
    /// Wakes the other thread, if it waits.
    fn tell(&self, mut state: MutexGuard<'_, State<J, T>>) {
        let is_awaited = std::mem::take(&mut state.is_awaited);
        drop(state);
        if is_awaited {
            self.changed.notify_all();
        }
    }
}

impl<J, T> State<J, T> {
    /// The next job, and its number.
    fn begin(&mut self) -> Option<(usize, J)> {
        let job = self.jobs.next()?;
        self.begun.push(None);
        Some((self.taken + self.begun.len() - 1, job))
    }
}

/// A job that a thread makes. Dropped, also by a panic, it can be taken: the taker never waits for a thread that is gone.
struct Making<'s, J, T> {
    shared: &'s Shared<J, T>,
    nth: usize,
    made: Option<(J, T)>,
}

impl<J, T> Drop for Making<'_, J, T> {
    fn drop(&mut self) {
        let mut state = lock_of(&self.shared.state);
        let place = self.nth.checked_sub(state.taken);
        if let Some(begun) = place.and_then(|place| state.begun.get_mut(place)) {
            *begun = self.made.take();
        }
        self.shared.tell(state);
    }
}

impl<J, T> Drop for Ahead<J, T> {
    fn drop(&mut self) {
        if let Some(thread) = self.thread.take() {
            let mut state = lock_of(&self.shared.state);
            state.is_over = true;
            self.shared.tell(state);
            let _ = thread.join();
        }
    }
}

impl<J, T> fmt::Debug for Ahead<J, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ahead").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    fn ahead(alone: usize, jobs: usize) -> Ahead<usize, Vec<usize>> {
        Ahead::new(0..jobs, alone, |job, made: &mut Vec<usize>| {
            made.clear();
            made.push(*job);
        })
    }

    #[test]
    fn jobs_are_taken_once_each_and_in_order() {
        for alone in [0, 1, 7, usize::MAX] {
            for jobs in [0, 1, BEGUN_MAX, 1_000] {
                let (mut ahead, mut spent, mut taken) = (ahead(alone, jobs), None, 0);
                while let Some((job, made)) = ahead.take(spent.take()) {
                    assert_eq!(
                        (job, &made),
                        (taken, &vec![taken]),
                        "alone {alone}, {jobs} jobs"
                    );
                    taken += 1;
                    spent = Some(made);
                }
                assert_eq!(taken, jobs, "alone {alone}");
                assert!(
                    ahead.take(None).is_none(),
                    "nothing comes after the last one"
                );
            }
        }
    }

    #[test]
    fn one_who_stops_taking_waits_for_no_more_than_what_is_begun() {
        static MADE: AtomicUsize = AtomicUsize::new(0);
        let mut ahead = Ahead::new(0.., 0, |_: &usize, _: &mut ()| {
            MADE.fetch_add(1, Relaxed);
        });
        assert!(ahead.take(None).is_some());
        drop(ahead);
        let made = MADE.load(Relaxed);
        assert!(
            made <= 2 * BEGUN_MAX,
            "{made} were made for one that was taken"
        );
    }

    #[test]
    fn a_job_whose_making_panics_in_the_second_thread_is_taken_as_it_was_left() {
        let taker = std::thread::current().id();
        let mut ahead = Ahead::new(0..100, 0, move |job: &usize, made: &mut Option<usize>| {
            *made = None;
            // No `panic!`, since its hook would print.
            if std::thread::current().id() != taker {
                std::panic::resume_unwind(Box::new(()));
            }
            *made = Some(*job);
        });
        let mut taken = 0;
        while let Some((job, made)) = ahead.take(None) {
            assert_eq!(job, taken);
            assert!(made.is_none_or(|made| made == job));
            taken += 1;
        }
        assert_eq!(taken, 100);
    }
}
