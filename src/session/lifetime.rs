//! When a session was made and last used, and when it ends. Pure: the clock is read elsewhere.
//!
//! Times are milliseconds since 1970, as a session is stored; all arithmetic saturates, so a clock that stands
//! before 1970 or a lifetime beyond all bounds is no special case.
//!
//! The wall clock of a machine can step. Within a process the store's clock never goes back, so what was expired
//! stays so. Between processes the stamps carry the evidence: the last use is a moment that has certainly come, so a
//! clock that stands before it does not make a session younger ([`Lifetimes::is_over`]), and using a session never
//! moves its last use back ([`Stamp::used`]). Only a session that was made in the future, by a clock that has been
//! corrected since, starts anew: it must not live until that future has come.

use std::time::{Duration, SystemTime};

/// What a store knows of a session without reading what is in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Stamp {
    /// Counts the changes; 0 is a session that was never stored.
    pub(super) version: u64,
    /// When it was first stored.
    pub(super) created: u64,
    /// When it was last saved, updated or touched. Not before `created`.
    pub(super) accessed: u64,
}

impl Stamp {
    /// The stamp after a use.
    pub(super) fn used(self, now: u64) -> Stamp {
        if self.created > now {
            return Stamp {
                created: now,
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
    pub(super) fn changed(self, now: u64) -> Stamp {
        let used = match self.version {
            0 => Stamp {
                created: now,
                accessed: now,
                ..self
            },
            _ => self.used(now),
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
}

/// How long sessions live.
#[derive(Debug, Clone, Copy, Default)]
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

    /// Whether a session has ended. For one stamp, once true stays true as `now` grows.
    pub(super) fn is_over(self, stamp: Stamp, now: u64) -> bool {
        let age = now.max(stamp.accessed).saturating_sub(stamp.created);
        self.idle.is_some_and(|idle| stamp.idle(now) >= idle)
            || self.absolute.is_some_and(|absolute| age >= absolute)
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
            (at_once, stamp(5, 5), 4, true),
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
    fn a_clock_that_steps_back_makes_no_session_younger() {
        let t = 1_000 * HOUR;
        let old = stamp(t, t + 7 * HOUR + HOUR / 2);
        let back = t + HOUR;
        assert_eq!(old.used(back), old);
        assert!(!RULES.is_over(old, back));
        let touched = old.used(t + 8 * HOUR);
        assert!(
            RULES.is_over(touched, back),
            "it was 8 hours old when it was last used"
        );
    }

    #[test]
    fn a_session_from_the_future_starts_anew_when_it_is_used() {
        let now = 1_000 * HOUR;
        let future = stamp(now + 9_000 * HOUR, now + 9_001 * HOUR);
        assert_eq!(future.used(now), stamp(now, now));
    }
}
