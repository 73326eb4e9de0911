//! When a session was made and last used, and when it ends. Pure: the clock is read elsewhere.
//!
//! Times are milliseconds since 1970, as a session is stored; all arithmetic saturates, so a clock that stands
//! before 1970 or a lifetime beyond all bounds is no special case.
//!
//! Now is what the wall clock reads, and the wall clock of a machine can step. A session that has ended by a clock is
//! hidden from it, and lives again once the clock is set back. A last use that lies ahead was noted by a clock that has
//! been corrected since: the next use notes the time anew ([`Stamp::used`]), so that no session lives until that
//! future has come.

use std::time::{Duration, SystemTime};

/// A last use this far ahead is a wrong clock's doing, and not the haste of another thread.
const AHEAD_MAX: u64 = 60_000;

/// How long a session lives, in place of the lifetimes of its store. `None` is without that end: with neither, the
/// session lives until it is deleted.
///
/// ```
/// use shelflife::{Lifetime, Session};
/// use std::time::Duration;
///
/// let mut session = Session::new();
/// let month = Duration::from_secs(30 * 24 * 60 * 60);
/// session.set_lifetime(Some(Lifetime { idle: None, absolute: Some(month) })); // "remember me"
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Lifetime {
    /// It ends when it was not [used](crate::Session::accessed) for this long.
    pub idle: Option<Duration>,
    /// It ends this long after it was [created](crate::Session::created), however much it is used.
    pub absolute: Option<Duration>,
}

/// The readings of a store's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Clock {
    /// Never before the store was made.
    pub(super) now: u64,
    /// It reads earlier than the moment at which the store was made. By it no session ends, and none is stamped anew.
    pub(super) is_wrong: bool,
}

/// The part of a session that a store judges without reading its contents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Stamp {
    /// Counts the changes; 0 is a session that was never stored.
    pub(super) version: u64,
    /// When it was first stored, or last given a new id for a login.
    pub(super) created: u64,
    /// When it was last saved, updated or touched.
    pub(super) accessed: u64,
}

impl Stamp {
    /// The stamp after a use.
    pub(super) fn used(self, Clock { now, is_wrong }: Clock) -> Stamp {
        if self.is_ahead(now) && !is_wrong {
            return Stamp {
                created: self.created.min(now),
                accessed: now,
                ..self
            };
        }
        Stamp {
            accessed: self.accessed.max(now),
            ..self
        }
    }

    /// The stamp after a change.
    pub(super) fn changed(self, clock: Clock) -> Stamp {
        let used = match self.version {
            0 => Stamp {
                created: clock.now,
                accessed: clock.now,
                ..self
            },
            _ => self.used(clock),
        };
        Stamp {
            version: self.version.saturating_add(1),
            ..used
        }
    }

    /// How long ago the last use was.
    pub(super) fn idle(self, now: u64) -> u64 {
        now.saturating_sub(self.accessed)
    }

    /// Whether the last use lies in the future.
    pub(super) fn is_ahead(self, now: u64) -> bool {
        self.accessed > now.saturating_add(AHEAD_MAX)
    }
}

/// How long sessions live, in ms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Lifetimes {
    /// Unused.
    pub(super) idle: Option<u64>,
    /// At all.
    pub(super) absolute: Option<u64>,
}

impl Lifetimes {
    /// When a session ends if nobody uses it any more; `None` is never.
    pub(super) fn end(self, stamp: Stamp) -> Option<u64> {
        let idle = self.idle.and_then(|idle| stamp.accessed.checked_add(idle));
        let absolute = self.absolute.and_then(|all| stamp.created.checked_add(all));
        idle.into_iter().chain(absolute).min()
    }

    /// Whether a session has ended.
    pub(super) fn is_over(self, stamp: Stamp, now: u64) -> bool {
        self.end(stamp).is_some_and(|end| end <= now)
    }
}

impl From<Lifetime> for Lifetimes {
    fn from(lifetime: Lifetime) -> Lifetimes {
        Lifetimes {
            idle: lifetime.idle.map(millis_of),
            absolute: lifetime.absolute.map(millis_of),
        }
    }
}

impl From<Lifetimes> for Lifetime {
    fn from(lifetimes: Lifetimes) -> Lifetime {
        Lifetime {
            idle: lifetimes.idle.map(Duration::from_millis),
            absolute: lifetimes.absolute.map(Duration::from_millis),
        }
    }
}

pub(super) fn millis_of(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

pub(super) fn millis_at(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, millis_of)
}

/// `None` beyond what the platform can express, which is as good as never.
pub(super) fn time_at(millis: u64) -> Option<SystemTime> {
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(millis))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = 3_600_000;
    const RULES: Lifetimes = Lifetimes {
        idle: Some(HOUR),
        absolute: Some(8 * HOUR),
    };

    fn stamp(created: u64, accessed: u64) -> Stamp {
        Stamp {
            version: 1,
            created,
            accessed,
        }
    }

    #[test]
    fn a_session_ends_at_the_earlier_of_idle_and_absolute() {
        let t = 1_000 * HOUR;
        for (created, accessed, end) in [
            (t, t, t + HOUR),
            (t, t + 7 * HOUR, t + 8 * HOUR),
            (t, t + 7 * HOUR + 1, t + 8 * HOUR),
        ] {
            let stamp = stamp(created, accessed);
            assert_eq!(RULES.end(stamp), Some(end));
            assert!(!RULES.is_over(stamp, end - 1));
            assert!(RULES.is_over(stamp, end));
        }
    }

    #[test]
    fn extremes_saturate() {
        let forever = Lifetimes {
            idle: Some(u64::MAX),
            absolute: Some(u64::MAX),
        };
        let at_once = Lifetimes {
            idle: Some(0),
            absolute: None,
        };
        for (rules, stamp, now, over) in [
            (Lifetimes::default(), stamp(0, 0), u64::MAX, false),
            (forever, stamp(5, 5), u64::MAX - 1, false),
            (forever, stamp(0, 0), 0, false),
            (at_once, stamp(5, 5), 5, true),
            (at_once, stamp(5, 5), 4, false),
            (RULES, stamp(0, 0), 0, false),
            (RULES, stamp(0, 0), HOUR, true),
            (RULES, stamp(u64::MAX, u64::MAX), u64::MAX, false),
            (RULES, stamp(u64::MAX, u64::MAX), 0, false),
        ] {
            assert_eq!(
                rules.is_over(stamp, now),
                over,
                "{rules:?} {stamp:?} at {now}"
            );
        }
        assert_eq!(forever.end(stamp(7, 7)), None);
        assert_eq!(millis_of(Duration::MAX), u64::MAX);
        assert_eq!(
            millis_at(SystemTime::UNIX_EPOCH - Duration::from_secs(1)),
            0
        );
        for millis in [0, 1, 951_782_400_000, 1_483_228_799_000, 1 << 40] {
            assert_eq!(
                time_at(millis).map(millis_at),
                Some(millis),
                "leap days and seconds are no special case"
            );
        }
    }

    #[test]
    fn a_clock_that_is_set_back_lets_a_session_live_again() {
        let t = 1_000 * HOUR;
        let old = stamp(t, t + 7 * HOUR + HOUR / 2);
        assert!(RULES.is_over(old, t + 8 * HOUR));
        assert!(!RULES.is_over(old, t + 8 * HOUR - 1));
        assert!(!RULES.is_over(old, t));
    }

    #[test]
    fn a_last_use_over_a_minute_ahead_is_noted_anew() {
        let now = 1_000 * HOUR;
        let future = stamp(now + 9_000 * HOUR, now + 9_001 * HOUR);
        let clock = |is_wrong| Clock { now, is_wrong };
        assert_eq!(future.used(clock(false)), stamp(now, now));
        assert_eq!(
            future.used(clock(true)),
            future,
            "unless the clock is wrong"
        );
        let ahead = stamp(now - HOUR, now + AHEAD_MAX + 1);
        assert_eq!(ahead.used(clock(false)), stamp(now - HOUR, now));
        let in_haste = stamp(now - HOUR, now + AHEAD_MAX);
        assert_eq!(in_haste.used(clock(false)), in_haste);
    }
}
