//! The bell that tells those who wait for the end of a session to look.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

/// Rings whenever a session ends here.
#[derive(Debug, Default)]
pub(super) struct Bell {
    /// How often it rang: raised by the thread that ended a session.
    rings: Mutex<u64>,
    /// Wakes all that wait, after each ring.
    heard: Condvar,
}

impl Bell {
    pub(super) fn ring(&self) {
        let mut rings = self.rings.lock().unwrap_or_else(PoisonError::into_inner);
        *rings = rings.wrapping_add(1);
        self.heard.notify_all();
    }

    pub(super) fn rings(&self) -> u64 {
        *self.rings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns when it has rung since it was `heard`, and at the latest after this long. It may return early.
    pub(super) fn wait(&self, heard: u64, at_most: Duration) {
        let rings = self.rings.lock().unwrap_or_else(PoisonError::into_inner);
        if *rings == heard {
            let _ = self.heard.wait_timeout(rings, at_most);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Bell, Duration};
    use std::time::Instant;

    #[test]
    fn a_ring_between_the_look_and_the_wait_is_heard() {
        let bell = Bell::default();
        let heard = bell.rings();
        bell.ring();
        let begun = Instant::now();
        bell.wait(heard, Duration::from_secs(60));
        assert!(begun.elapsed() < Duration::from_secs(60));
    }
}
