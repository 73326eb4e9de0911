//! A session as a server keeps it: the head that [`scripts`](super::scripts) draws, and the contents. Pure.
//!
//! The contents are the CBOR map that a record of a file has under `contents`. Should a session have more beside
//! them, lifetimes of its own or fields of a newer version, an array of two stands in place of the map: the contents,
//! and a map of the rest under the names that they have in a file.
#![deny(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::as_conversions
)]

use super::super::contents::{self, Contents};
use super::super::id::Identity;
use super::super::lifetime::{Lifetimes, Stamp};
use super::super::named::Named;
use super::super::state::Session;
use super::scripts::{HEAD_BYTES, MARK_BYTES, NEVER};
use crate::error::{Error, Result};
use crate::value::{Decode, Decoder, Encode, Encoder, from_cbor, to_cbor};
use std::sync::Arc;

/// The part of a value that stands before the contents.
#[derive(PartialEq, Eq)]
#[cfg_attr(test, derive(Debug))]
pub(super) enum Head {
    Session {
        stamp: Stamp,
        /// Those that hold for it: its own, or those of the store that wrote or used it last.
        lifetimes: Lifetimes,
    },
    Tombstone {
        /// Whether the session has another id now.
        moved: bool,
    },
}

/// Reads a head, and returns what follows it.
pub(super) fn head(value: &[u8]) -> Result<(Head, &[u8])> {
    let split = value.split_at_checked(HEAD_BYTES);
    let (head, body) = split.ok_or_else(no_session)?;
    let (numbers, _) = head.as_chunks::<6>();
    let mut numbers = numbers
        .iter()
        .map(|[a, b, c, d, e, f]| u64::from_be_bytes([0, 0, *a, *b, *c, *d, *e, *f]));
    let mut next = || numbers.next().ok_or_else(no_session);
    let (version, created, accessed) = (next()?, next()?, next()?);
    let mut lifetime = || next().map(|millis| (millis != NEVER).then_some(millis));
    let (idle, absolute) = (lifetime()?, lifetime()?);
    let head = match version {
        0 => Head::Tombstone {
            moved: accessed == 1,
        },
        _ => Head::Session {
            stamp: Stamp {
                version,
                created,
                accessed,
            },
            lifetimes: Lifetimes { idle, absolute },
        },
    };
    Ok((head, body))
}

/// A value, read.
#[cfg_attr(test, derive(Debug))]
pub(super) enum Read {
    Session(Box<Session>),
    Ended,
    /// The session has another key now.
    Moved(Vec<u8>),
}

pub(super) fn read(value: &[u8], identity: Identity) -> Result<Read> {
    let (head, body) = head(value)?;
    let (stamp, lifetimes) = match head {
        Head::Session { stamp, lifetimes } => (stamp, lifetimes),
        Head::Tombstone { moved: true } => return Ok(Read::Moved(body.to_vec())),
        Head::Tombstone { moved: false } => return Ok(Read::Ended),
    };
    let contents = match body.first() {
        Some(&ARRAY_OF_TWO) => from_cbor::<Reading>(body)?.0,
        _ => from_cbor(body)?,
    };
    let contents = Arc::new(contents);
    let (write, _) = (value.get(HEAD_BYTES - MARK_BYTES..))
        .and_then(|behind| behind.split_first_chunk::<MARK_BYTES>())
        .ok_or_else(no_session)?;
    Ok(Read::Session(Box::new(Session {
        write: Some(*write),
        identity: Some(identity),
        stamp,
        end: lifetimes.end(stamp),
        base: Arc::clone(&contents),
        contents,
        ..Session::default()
    })))
}

/// The session of a value; `None` if that is a tombstone.
pub(super) fn session(value: &[u8], identity: Identity) -> Result<Option<Session>> {
    Ok(match read(value, identity)? {
        Read::Session(session) => Some(*session),
        Read::Ended | Read::Moved(_) => None,
    })
}

/// The bytes that a script stores behind the head.
pub(super) fn body(contents: &Contents) -> Result<Vec<u8>> {
    match contents.lifetimes.is_none() && contents.unknown_outside.is_empty() {
        true => to_cbor(contents),
        false => to_cbor(&Writing(contents)),
    }
}

/// A time or a lifetime as a script gets it.
pub(super) fn millis(millis: Option<u64>) -> Vec<u8> {
    let millis = millis.unwrap_or(NEVER).min(NEVER);
    millis.to_string().into_bytes()
}

/// The first byte of an array of two, where a map of contents begins with another.
const ARRAY_OF_TWO: u8 = 0x82;

struct Writing<'a>(&'a Contents);

impl Encode for Writing<'_> {
    fn encode(&self, to: &mut Encoder) -> Result<()> {
        let Writing(contents) = self;
        let of_its_own = if contents.lifetimes.is_some() { 2 } else { 0 };
        to.array(2, |to| {
            contents.encode(to)?;
            let len = contents.unknown_outside.len().saturating_add(of_its_own);
            to.map(len, |map| {
                if let Some(own) = contents.lifetimes {
                    map.insert("idle", &own.idle)?;
                    map.insert("absolute", &own.absolute)?;
                }
                contents::insert_all(map, &contents.unknown_outside)
            })
        })
    }
}

struct Reading(Contents);

impl Decode for Reading {
    fn decode(from: &mut Decoder<'_>) -> Result<Reading> {
        let mut contents = None;
        let (mut idle, mut absolute) = (None, None);
        let mut unknown = Named::default();
        from.array(|from| {
            if contents.is_none() {
                contents = Some(Contents::decode(from)?);
                return Ok(());
            }
            from.map(Decoder::text, |from, key| {
                match key {
                    "idle" => idle = Some(Option::<u64>::decode(from)?),
                    "absolute" => absolute = Some(Option::<u64>::decode(from)?),
                    _ => {
                        unknown.insert(key, from.raw()?.to_vec());
                    }
                }
                Ok(())
            })
        })?;
        let mut contents = contents.ok_or_else(|| from.expected("a session's contents"))?;
        contents.lifetimes = match (idle, absolute) {
            (Some(idle), Some(absolute)) => Some(Lifetimes { idle, absolute }),
            (None, None) => None,
            _ => return Err(from.expected("both lifetimes of a session in what ends")),
        };
        contents.unknown_outside = unknown;
        Ok(Reading(contents))
    }
}

fn no_session() -> Error {
    Error::decode(
        "the value that the server has under a session's key is no session",
        "delete it, or give each application a prefix of its own",
    )
}

#[cfg(test)]
#[allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::unwrap_used
)]
mod tests {
    use super::*;
    use crate::value::Value;

    fn identity() -> Identity {
        Identity::Id("AAECAwQFBgcICQoLDA0ODw".parse().unwrap())
    }

    fn value(numbers: [u64; 5], body: &[u8]) -> Vec<u8> {
        let mut value = Vec::new();
        for number in numbers {
            value.extend_from_slice(number.to_be_bytes().split_at(2).1);
        }
        value.extend_from_slice(b"somemark");
        value.extend_from_slice(body);
        value
    }

    #[test]
    fn what_is_stored_comes_back_and_costs_no_more_than_it_must() {
        let mut session = Session::new();
        session.set_user(Some("ann"));
        let plain = body(&session.contents).unwrap();
        assert_eq!(plain, b"\xA1\x64user\x63ann");
        session.set_lifetime(Some(crate::Lifetime {
            idle: Some(std::time::Duration::from_millis(5)),
            absolute: None,
        }));
        let mut contents = (*session.contents).clone();
        let later = to_cbor(&Value::Bool(true)).unwrap();
        contents.unknown.insert("later", later.clone());
        contents.unknown_outside.insert("outside", later);
        for contents in [
            (*Session::new().contents).clone(),
            (*session.contents).clone(),
            contents,
        ] {
            let body = body(&contents).unwrap();
            let stored = value([3, 10, 20, 5, NEVER], &body);
            let read = super::session(&stored, identity()).unwrap().unwrap();
            assert!(*read.contents == contents);
            assert_eq!(
                (read.version(), read.stamp.created, read.stamp.accessed),
                (3, 10, 20)
            );
            assert_eq!(read.end, Some(25));
            assert!(!read.is_modified());
        }
    }

    #[test]
    fn a_tombstone_is_no_session_and_says_whether_there_is_another() {
        for (accessed, moved) in [(0, false), (1, true)] {
            let stored = value([0, 10, accessed, 0, 0], b"");
            assert_eq!(head(&stored).unwrap().0, Head::Tombstone { moved });
            assert!(session(&stored, identity()).unwrap().is_none());
        }
    }

    #[test]
    fn every_cut_and_every_flipped_bit_is_a_session_or_an_error() {
        let mut full = Session::new();
        full.set_user(Some("ann"));
        full.set_lifetime(Some(crate::Lifetime::default()));
        let stored = value([1, 10, 20, 5, NEVER], &body(&full.contents).unwrap());
        for len in 0..stored.len() {
            assert!(
                session(stored.split_at(len).0, identity()).is_err(),
                "{len}"
            );
        }
        for bit in 0..stored.len() * 8 {
            let mut flipped = stored.clone();
            if let Some(byte) = flipped.get_mut(bit / 8) {
                *byte ^= 1 << (bit % 8);
            }
            let _ = session(&flipped, identity());
        }
        let longer = [stored.as_slice(), b"\0"].concat();
        assert!(session(&longer, identity()).is_err());
    }

    #[test]
    fn a_lifetime_without_end_is_the_largest_number() {
        assert_eq!(millis(None), b"281474976710655");
        assert_eq!(millis(Some(u64::MAX)), b"281474976710655");
        assert_eq!(millis(Some(0)), b"0");
    }
}
