//! The rules of sessions, over any [`Records`].
//!
//! One record holds one session, under a key made of its id ([`record_key`](super::record_key)). This file says what
//! the bytes of a record mean by the lifetimes and the clock: whether the session is **over**, when its **end** is, and
//! whether a use of it is to be noted. The files below have the calls.

pub(super) mod bulk;
mod import;
mod kind;
mod listing;
mod one;
pub(super) mod passed;

use super::codec::{self, Head};
use super::contents::Contents;
use super::id::Identity;
use super::lifetime::{Clock, Lifetimes, Stamp, millis_at, time_at};
use super::record_key::Kind;
use super::records::Records;
use super::state::Session;
use crate::error::{Error, Result};
use crate::store::change::Edit;
use std::ops::Deref;
use std::sync::Arc;

/// How the sessions of a store live, and how their ids are kept.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rules {
    pub(super) lifetimes: Lifetimes,
    /// In milliseconds. A touch so soon after the last use writes nothing. Where a tenth of the idle lifetime is less,
    /// that counts in its place.
    pub(super) resolution: u64,
    /// How ids are kept; `None`: as the store keeps them already.
    pub(super) kind: Option<Kind>,
    pub(super) session_bytes_max: usize,
}

/// Sessions live until they are deleted, and their ids are kept as they are.
impl Default for Rules {
    fn default() -> Rules {
        Rules {
            lifetimes: Lifetimes::default(),
            resolution: 60_000,
            kind: Some(Kind::Plain),
            session_bytes_max: usize::MAX,
        }
    }
}

impl Rules {
    /// The lifetimes that hold for a session with these of its own.
    pub(super) fn lifetimes_of(&self, own: Option<Lifetimes>) -> Lifetimes {
        own.unwrap_or(self.lifetimes)
    }

    /// Whether a session is over. A clock that is wrong ends none.
    fn is_over(&self, stamp: Stamp, own: Option<Lifetimes>, clock: Clock) -> bool {
        !clock.is_wrong && self.lifetimes_of(own).is_over(stamp, clock.now)
    }

    /// Whether it is time to note that a session is used.
    fn is_due(&self, stamp: Stamp, own: Option<Lifetimes>, clock: Clock) -> bool {
        let idle = self.lifetimes_of(own).idle;
        let resolution = idle.map_or(self.resolution, |idle| self.resolution.min(idle / 10));
        let is_late = stamp.is_ahead(clock.now) || stamp.idle(clock.now) >= resolution;
        is_late && !clock.is_wrong
    }
}

/// The rules, over some records. All but its making is written for `dyn Records`, so that file and memory share one
/// compiled copy.
#[derive(Debug)]
pub(super) struct Engine<R: ?Sized> {
    pub(super) rules: Rules,
    pub(super) records: R,
}

impl<R> Engine<R> {
    pub(super) fn new(records: R, rules: Rules) -> Engine<R> {
        Engine { rules, records }
    }
}

impl<R: Records + 'static> Deref for Engine<R> {
    type Target = Engine<dyn Records>;

    fn deref(&self) -> &Engine<dyn Records> {
        self
    }
}

/// A stored session that is not over: its bytes, its stamp, and lifetimes of its own if it has any.
type Live<'a> = (&'a [u8], Stamp, Option<Lifetimes>);

impl Engine<dyn Records> {
    fn clock(&self) -> Clock {
        Clock {
            now: millis_at(self.records.now()),
            is_wrong: self.records.is_clock_wrong(),
        }
    }

    /// The session as it is once it is stored with this stamp.
    fn next(&self, session: &Session, stamp: Stamp, clock: Clock) -> Session {
        let mut next = session.settled(clock.now);
        let end = self.end_of(&next.contents, stamp);
        next.mark_stored(stamp, end);
        next
    }

    /// The record of a session.
    ///
    /// # Errors
    ///
    /// `TooLarge` beyond the limit, unless the session holds the same as `before`: after the limit was lowered, a use
    /// of a larger session must still be noted.
    fn put(&self, next: &Session, before: Option<&Arc<Contents>>) -> Result<Edit> {
        let value = codec::encode(next, next.stamp)?;
        let most = self.rules.session_bytes_max;
        if value.len() > most && before != Some(&next.contents) {
            let what = format!(
                "a session of {} bytes is over the limit of {most}",
                value.len()
            );
            return Err(self.at_path(Error::too_large(
                what,
                "keep less in it, or raise `session_bytes_max`",
            )));
        }
        Ok(Edit::Put {
            value,
            expires: next.end.and_then(time_at),
            cbor: true,
        })
    }

    fn end_of(&self, contents: &Contents, stamp: Stamp) -> Option<u64> {
        self.rules.lifetimes_of(contents.lifetimes).end(stamp)
    }

    /// The stored session, unless it is absent or over.
    fn live<'a>(&self, stored: Option<&'a [u8]>, clock: Clock) -> Result<Option<Live<'a>>> {
        let Some(stored) = stored else {
            return Ok(None);
        };
        let head = codec::head(stored).map_err(|error| self.at_path(error))?;
        Ok(match head {
            Head::Session { stamp, own } if !self.rules.is_over(stamp, own, clock) => {
                Some((stored, stamp, own))
            }
            Head::Session { .. } | Head::Replaced => None,
        })
    }

    /// The record of a key; one that can't be read counts as none.
    fn undamaged(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        match self.records.get(key) {
            Err(error) if error.is_corrupt() => Ok(None),
            stored => stored,
        }
    }

    fn decode(&self, identity: Option<Identity>, stored: &[u8]) -> Result<Session> {
        let mut session = codec::decode(stored).map_err(|error| self.at_path(error))?;
        session.identity = identity;
        session.end = self.end_of(&session.contents, session.stamp);
        Ok(session)
    }

    fn at_path(&self, error: Error) -> Error {
        match self.records.path() {
            Some(path) => error.at(path),
            None => error,
        }
    }
}

#[cfg(test)]
mod tests;
