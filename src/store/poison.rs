//! Mutexes of the store whose holder may have panicked. Sessions lock theirs without this: a model of the store's
//! threads puts mutexes of its own in the place of these.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks a mutex. A panic of an earlier holder is no reason to stop: what these mutexes guard is changed in one step, or
/// not at all.
pub(crate) fn lock_of<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
