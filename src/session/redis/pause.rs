//! The waits of a call that has to ask again.

use super::connection::now;
use crate::store::disk::{Disk, os::OsDisk};
use std::time::Duration;

const PAUSE_MIN: Duration = Duration::from_millis(5);
const PAUSE_MAX: Duration = Duration::from_millis(160);

/// A wait that is shorter than this is not worth a connection.
pub(super) const ATTEMPT_MIN: Duration = Duration::from_millis(50);

/// The waits of one call, each longer than the one before.
pub(super) struct Pause {
    next: Duration,
    until: Duration,
}

impl Pause {
    pub(super) fn new(until: Duration) -> Pause {
        Pause {
            next: PAUSE_MIN,
            until,
        }
    }

    /// Waits; `false` when there is no time left.
    pub(super) fn wait(&mut self) -> bool {
        if is_over(self.until) {
            return false;
        }
        let left = self.until.saturating_sub(now());
        OsDisk.sleep(self.next.min(left));
        self.next = (self.next * 2).min(PAUSE_MAX);
        true
    }
}

/// Whether no time is left that is worth an attempt.
pub(super) fn is_over(until: Duration) -> bool {
    until.saturating_sub(now()) < ATTEMPT_MIN
}
