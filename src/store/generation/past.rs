//! How many bytes of the log are past: of records that ended over a day ago, which a copy of the file leaves out.
//!
//! A slot of the index knows where a record stands, not when it ends, so these bytes are summed as records are written,
//! by the time of their end. A record that was replaced since stays in the sum, and counts as dead as well: the bytes
//! that a copy would free lie between the larger of the two figures and their sum.

/// A record is dropped only so long after its end: a clock that jumped ahead, and was set right, must not destroy.
pub(crate) const GRACE_MS: u64 = 24 * 60 * 60 * 1000;
/// Records that end within the same 2^20 ms, 17 minutes, share a sum.
const WIDTH_BITS: u32 = 20;
/// With more sums than this, neighbours share one.
const SUMS_MAX: usize = 1024;
/// A shared sum has at most a 256th of all bytes. If neighbours were joined by time, a few records that end years apart
/// would keep the bytes of all others from counting for years.
const PARTS_MIN: u64 = SUMS_MAX as u64 / 4;

/// Bytes of records by the time of their end.
#[derive(Debug, Clone)]
pub(crate) struct Past {
    /// Sorted by the end of their last records, which lie in different units of 2^[`WIDTH_BITS`] ms. A list, and no tree:
    /// most records end later than those before, and a tree is 5 KB of code in every program.
    sums: Vec<Sum>,
    /// The last answer.
    known: Known,
}

#[derive(Debug, Clone, Copy, PartialEq, Default)]
struct Sum {
    bytes: u64,
    /// When the last of these records ends. The sum counts once that is past, so it never counts too early.
    last_ms: u64,
}

/// The answer for every time from `from_ms` on and before `to_ms`.
#[derive(Debug, Clone, Copy, Default)]
struct Known {
    from_ms: u64,
    to_ms: u64,
    bytes: u64,
}

impl Past {
    pub(crate) fn new() -> Past {
        Past {
            sums: Vec::new(),
            known: Known::default(),
        }
    }

    /// Whether no record ends.
    pub(crate) fn is_empty(&self) -> bool {
        self.sums.is_empty()
    }

    /// Takes in a record that ends at `expires_ms`; 0: never.
    #[inline]
    pub(crate) fn add(&mut self, expires_ms: u64, record_bytes: u64) {
        if expires_ms != 0 {
            self.add_ending(expires_ms, record_bytes);
        }
    }

    fn add_ending(&mut self, expires_ms: u64, record_bytes: u64) {
        let unit = expires_ms >> WIDTH_BITS;
        let unit_of = |sum: &Sum| sum.last_ms >> WIDTH_BITS;
        let at = match self.sums.binary_search_by_key(&unit, unit_of) {
            Ok(at) => at,
            Err(at) => {
                self.sums.insert(at, Sum::default());
                at
            }
        };
        let Some(sum) = self.sums.get_mut(at) else {
            return;
        };
        let was_counted = sum.bytes > 0 && sum.last_ms < self.known.from_ms;
        sum.bytes = sum.bytes.saturating_add(record_bytes);
        sum.last_ms = sum.last_ms.max(expires_ms);
        if was_counted || sum.last_ms < self.known.from_ms {
            self.known = Known::default();
        }
        self.known.to_ms = self.known.to_ms.min(sum.last_ms + 1);
        if self.sums.len() > SUMS_MAX {
            self.join();
        }
    }

    /// Lets neighbours share a sum as long as it stays small beside all: at most half of [`SUMS_MAX`] are left, since any
    /// two that stay apart are larger together than what may be shared.
    fn join(&mut self) {
        self.known = Known::default();
        let all_bytes: u64 = self.sums.iter().map(|sum| sum.bytes).sum();
        let joint_bytes_max = all_bytes / PARTS_MIN;
        self.sums.dedup_by(|later, sum| {
            let joint_bytes = sum.bytes + later.bytes;
            let is_small = joint_bytes <= joint_bytes_max;
            if is_small {
                sum.bytes = joint_bytes;
                sum.last_ms = later.last_ms;
            }
            is_small
        });
    }

    /// Bytes of all records that ended more than [`GRACE_MS`] before `now_ms`, less those that share a sum with a later
    /// one: what ended within 17 minutes, and a small part of all.
    pub(crate) fn bytes(&mut self, now_ms: u64) -> u64 {
        let before_ms = now_ms.saturating_sub(GRACE_MS);
        if !(self.known.from_ms..self.known.to_ms).contains(&before_ms) {
            self.known = self.count(before_ms);
        }
        self.known.bytes
    }

    fn count(&self, before_ms: u64) -> Known {
        let mut known = Known {
            from_ms: 0,
            to_ms: u64::MAX,
            bytes: 0,
        };
        for sum in &self.sums {
            // Ordered by their ends, so what follows ends later still.
            if sum.last_ms >= before_ms {
                known.to_ms = sum.last_ms + 1;
                break;
            }
            known.from_ms = sum.last_ms + 1;
            known.bytes = known.bytes.saturating_add(sum.bytes);
        }
        known
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR_MS: u64 = 60 * 60 * 1000;
    const START_MS: u64 = 1_700_000_000_000;

    #[test]
    fn what_never_ends_and_what_ended_less_than_a_day_ago_is_not_past() {
        let mut past = Past::new();
        past.add(0, 1 << 40);
        past.add(START_MS, 100);
        assert_eq!(past.bytes(START_MS), 0);
        assert_eq!(past.bytes(START_MS + GRACE_MS), 0);
        assert_eq!(past.bytes(START_MS + GRACE_MS + 1), 100);
        assert_eq!(past.bytes(u64::MAX), 100);
        assert_eq!(past.bytes(0), 0, "a clock that is set back takes it back");
    }

    #[test]
    fn a_burst_that_ends_at_once_is_past_at_once() {
        let mut past = Past::new();
        for _ in 0..10_000 {
            past.add(START_MS + 7, 200);
        }
        assert_eq!(past.bytes(START_MS + 7 + GRACE_MS), 0);
        assert_eq!(past.bytes(START_MS + 8 + GRACE_MS), 2_000_000);
    }

    /// Random ends over spans from a second to all the time there is, asked about in between in any order.
    #[test]
    fn never_more_than_what_has_ended_and_less_only_by_17_minutes_and_a_small_part_of_all() {
        for seed in 0..60u64 {
            let mut state = seed;
            let mut random = |below: u64| {
                state = state
                    .wrapping_mul(6364136223846793005)
                    .wrapping_add(1442695040888963407);
                ((u128::from(state ^ (state >> 29)) * u128::from(below)) >> 64) as u64
            };
            let span_ms = 1_000u64 << (seed * 38 / 60);
            let (mut past, mut written) = (Past::new(), Vec::new());
            for step in 0..6_000u64 {
                let (ends_ms, bytes) = (1 + random(span_ms), 48 + 8 * random(100));
                past.add(ends_ms, bytes);
                written.push((ends_ms, bytes));
                assert!(past.sums.len() <= SUMS_MAX, "seed {seed}");
                if step % 97 != 0 {
                    continue;
                }
                let before_ms = random(span_ms + 10);
                let told = past.bytes(before_ms + GRACE_MS);
                let ended = |before_ms: u64| -> u64 {
                    let ended = written.iter().filter(|(ends_ms, _)| *ends_ms < before_ms);
                    ended.map(|(_, bytes)| bytes).sum()
                };
                let case = format!("seed {seed} step {step}: before {before_ms} of {span_ms} ms");
                assert!(told <= ended(before_ms), "{case}");
                let all: u64 = written.iter().map(|(_, bytes)| bytes).sum();
                let surely = ended(before_ms.saturating_sub(1 << WIDTH_BITS));
                assert!(told + all / 50 >= surely, "{case}");
                assert_eq!(told, past.count(before_ms).bytes, "{case}: what was kept");
            }
        }
    }

    #[test]
    fn the_sums_do_not_depend_on_the_order_of_the_records() {
        let ends = (0..SUMS_MAX as u64).map(|nth| START_MS + nth * nth * HOUR_MS / 50);
        let (mut forward, mut backward) = (Past::new(), Past::new());
        ends.clone().for_each(|ends_ms| forward.add(ends_ms, 64));
        ends.rev().for_each(|ends_ms| backward.add(ends_ms, 64));
        assert_eq!(forward.sums, backward.sums);
    }
}
