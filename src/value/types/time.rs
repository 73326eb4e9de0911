//! Times and durations, as RFC 9581 has them.
#![deny(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::as_conversions
)]

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::error::Result;
use crate::value::{Decode, Decoder, Encode, Encoder};

/// Extended time and duration (RFC 9581, sections 3 and 4): a map of seconds and, unless zero, nanoseconds to add.
const TIME: u64 = 1001;
const DURATION: u64 = 1002;
const SECONDS: i8 = 1;
const NANOSECONDS: i8 = -9;
const NANOSECONDS_A_SECOND: u32 = 1_000_000_000;

fn encode_seconds(to: &mut Encoder, tag: u64, seconds: i128, nanoseconds: u32) -> Result<()> {
    to.tag(tag, |to| {
        to.map(if nanoseconds == 0 { 1 } else { 2 }, |map| {
            map.insert(&SECONDS, &seconds)?;
            if nanoseconds != 0 {
                map.insert(&NANOSECONDS, &nanoseconds)?;
            }
            Ok(())
        })
    })
}

/// Other keys of RFC 9581 make a time coarser, vaguer or local, which no type of std can hold.
fn decode_seconds(from: &mut Decoder<'_>, tag: u64) -> Result<(i128, u32)> {
    let mut seconds = None;
    let mut nanoseconds = 0;
    from.tag(tag, |from| {
        from.map(i8::decode, |from, key| {
            match key {
                SECONDS => seconds = Some(from.integer()?),
                NANOSECONDS => {
                    nanoseconds = u32::decode(from)?;
                    if nanoseconds >= NANOSECONDS_A_SECOND {
                        return Err(from.expected("less than a second of nanoseconds"));
                    }
                }
                _ => return Err(from.expected("the key 1 or -9 of a time")),
            }
            Ok(())
        })
    })?;
    match seconds {
        Some(seconds) => Ok((seconds, nanoseconds)),
        None => Err(from.expected("seconds in a time that ends")),
    }
}

impl Encode for Duration {
    fn encode(&self, to: &mut Encoder) -> Result<()> {
        let seconds = i128::from(self.as_secs());
        encode_seconds(to, DURATION, seconds, self.subsec_nanos())
    }
}

impl Decode for Duration {
    fn decode(from: &mut Decoder<'_>) -> Result<Duration> {
        let (seconds, nanoseconds) = decode_seconds(from, DURATION)?;
        match u64::try_from(seconds) {
            Ok(seconds) => Ok(Duration::new(seconds, nanoseconds)),
            Err(_) => Err(from.expected("a duration that is not negative")),
        }
    }
}

impl Encode for SystemTime {
    fn encode(&self, to: &mut Encoder) -> Result<()> {
        let (seconds, nanoseconds) = match self.duration_since(UNIX_EPOCH) {
            Ok(since) => (i128::from(since.as_secs()), since.subsec_nanos()),
            // Nanoseconds are always added: 0.3 s before the epoch is -1 s and 0.7 s.
            Err(before) => {
                let before = before.duration();
                let seconds = i128::from(before.as_secs());
                match before.subsec_nanos() {
                    0 => (seconds.saturating_neg(), 0),
                    some => (!seconds, NANOSECONDS_A_SECOND.saturating_sub(some)),
                }
            }
        };
        encode_seconds(to, TIME, seconds, nanoseconds)
    }
}

impl Decode for SystemTime {
    fn decode(from: &mut Decoder<'_>) -> Result<SystemTime> {
        let (seconds, nanoseconds) = decode_seconds(from, TIME)?;
        u64::try_from(seconds.unsigned_abs())
            .ok()
            .map(Duration::from_secs)
            .and_then(|distance| match seconds {
                ..0 => UNIX_EPOCH.checked_sub(distance),
                _ => UNIX_EPOCH.checked_add(distance),
            })
            .and_then(|time| time.checked_add(Duration::from_nanos(u64::from(nanoseconds))))
            .ok_or_else(|| from.expected("a time that the platform can represent"))
    }
}
