//! The time of day, by which entries end.

use super::Place;
use crate::store::batch::unix_ms;
use crate::store::generation::Generation;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

impl Place {
    /// The time of the wall clock, which may step in both directions. A clock that reads earlier than the creation of
    /// the store is wrong (a device that boots in 1970), and the creation counts in its place.
    pub(crate) fn now(&self) -> SystemTime {
        self.mode.disk.wall_clock().max(self.created())
    }

    /// Whether the wall clock reads earlier than the creation of the store.
    pub(crate) fn is_clock_wrong(&self) -> bool {
        self.mode.disk.wall_clock() < self.created()
    }

    /// When the store was created, by the clock of its creator.
    #[inline(never)]
    pub(crate) fn created(&self) -> SystemTime {
        let created_ms = self.current.get().header.created_ms;
        UNIX_EPOCH
            .checked_add(Duration::from_millis(created_ms))
            .unwrap_or(UNIX_EPOCH)
    }

    /// As [`now`](Place::now), in milliseconds since 1970.
    pub(crate) fn now_ms(&self) -> u64 {
        self.now_ms_of(&self.current.get())
    }

    /// As [`now_ms`](Place::now_ms), for a caller that has the file in hand: to ask for it again costs as much as the
    /// clock.
    pub(crate) fn now_ms_of(&self, generation: &Generation) -> u64 {
        unix_ms(self.mode.disk.wall_clock()).max(generation.header.created_ms)
    }

    /// The time up to which entries have ended, in milliseconds since 1970: by a wrong clock none has. The creation
    /// would not do here: a program that has this clock gives entries ends that lie before the creation.
    pub(crate) fn ended_by_ms(&self, generation: &Generation) -> u64 {
        match unix_ms(self.mode.disk.wall_clock()) {
            wall_ms if wall_ms < generation.header.created_ms => 0,
            wall_ms => wall_ms,
        }
    }
}
