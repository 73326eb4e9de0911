//! A session as it is stored: a CBOR map with text keys, so that any language can read it.
//!
//! | key | value |
//! |---|---|
//! | `idle` | integer or null: the idle lifetime of its own, milliseconds; left out when it has the store's |
//! | `created` | integer: when it was first stored, or last given a new id for a login, milliseconds since 1970 |
//! | `version` | integer: 1 when first stored, one more at each change |
//! | `absolute` | integer or null: the absolute lifetime of its own; there if and only if `idle` is |
//! | `accessed` | integer: when it was last used, milliseconds since 1970 |
//! | `contents` | map: [what it holds](super::contents) |
//!
//! Other keys are a newer version's: they are kept as they are and written back, so that two versions can share a
//! file. A missing number, or a value of another type, is an error. The id is not in it: it is in the record's key.
//!
//! [A new id](crate::SessionStore::regenerate_id) leaves the map `{"replaced": true}` under the old one.
//!
//! Deterministic CBOR has one order of keys, shorter ones first, and the names are chosen so that the numbers stand at
//! the beginning. So [`head`] finds them without reading the rest, which makes looking for old sessions cheap.
#![deny(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::as_conversions
)]

use super::contents::{Contents, insert_all};
use super::lifetime::{Lifetimes, Stamp};
use super::named::Named;
use super::state::Session;
use crate::error::{Error, Result};
use crate::value::{Decode, Decoder, Encode, Encoder, from_cbor, to_cbor};
use std::sync::Arc;

/// The part of a record that stands before its contents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Head {
    Session {
        stamp: Stamp,
        /// The lifetimes of its own.
        own: Option<Lifetimes>,
    },
    /// The session has another id by now.
    Replaced,
}

/// The record that a session leaves under an id that it does not have any more.
pub(super) const REPLACED: &[u8] = b"\xA1\x68replaced\xF5";

/// The record of `session`, with another stamp than the one it has.
pub(super) fn encode(session: &Session, stamp: Stamp) -> Result<Vec<u8>> {
    to_cbor(&Writing {
        contents: &session.contents,
        stamp,
    })
}

pub(super) fn decode(stored: &[u8]) -> Result<Session> {
    from_cbor(stored).map(|Reading(session)| session)
}

/// The head of a record. A record that it refuses, [`decode`] refuses too.
pub(super) fn head(stored: &[u8]) -> Result<Head> {
    if stored == REPLACED {
        return Ok(Head::Replaced);
    }
    if let Some(head) = numbers(stored) {
        return Ok(head);
    }
    let session = decode(stored).map_err(|_| {
        Error::decode(
            "a stored session is not one",
            "delete it, or look at it as a `Value`",
        )
    })?;
    Ok(Head::Session {
        stamp: session.stamp,
        own: session.contents.lifetimes,
    })
}

/// The head of a record in which no unknown key comes before the contents.
fn numbers(stored: &[u8]) -> Option<Head> {
    let (initial, rest) = stored.split_first()?;
    if !(0xA4..0xB8).contains(initial) {
        return None;
    }
    let (idle, rest) = match rest.strip_prefix(b"\x64idle") {
        Some(rest) => optional(rest).map(|(idle, rest)| (Some(idle), rest))?,
        None => (None, rest),
    };
    let (created, rest) = number(rest.strip_prefix(b"\x67created")?)?;
    let (version, rest) = number(rest.strip_prefix(b"\x67version")?)?;
    let (absolute, rest) = match rest.strip_prefix(b"\x68absolute") {
        Some(rest) => optional(rest).map(|(absolute, rest)| (Some(absolute), rest))?,
        None => (None, rest),
    };
    let (accessed, _) = number(rest.strip_prefix(b"\x68accessed")?)?;
    let own = match (idle, absolute) {
        (Some(idle), Some(absolute)) => Some(Lifetimes { idle, absolute }),
        (None, None) => None,
        _ => return None,
    };
    let stamp = Stamp {
        version,
        created,
        accessed,
    };
    Some(Head::Session { stamp, own })
}

/// An unsigned integer or null, and what follows it.
fn optional(bytes: &[u8]) -> Option<(Option<u64>, &[u8])> {
    match bytes.strip_prefix(b"\xF6") {
        Some(rest) => Some((None, rest)),
        None => number(bytes).map(|(number, rest)| (Some(number), rest)),
    }
}

/// An unsigned integer, and what follows it.
fn number(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (initial, rest) = bytes.split_first()?;
    let width = match initial {
        0..24 => return Some((u64::from(*initial), rest)),
        24..28 => 1 << initial.checked_sub(24)?,
        _ => return None,
    };
    let (digits, rest) = rest.split_at_checked(width)?;
    let number = digits
        .iter()
        .fold(0, |sum, digit| (sum << 8) | u64::from(*digit));
    Some((number, rest))
}

struct Writing<'a> {
    contents: &'a Contents,
    stamp: Stamp,
}

impl Encode for Writing<'_> {
    fn encode(&self, to: &mut Encoder) -> Result<()> {
        let Writing { contents, stamp } = self;
        let of_its_own = if contents.lifetimes.is_some() { 2 } else { 0 };
        let unknown = &contents.unknown_outside;
        to.map(
            unknown.len().saturating_add(4).saturating_add(of_its_own),
            |map| {
                if let Some(own) = contents.lifetimes {
                    map.insert("idle", &own.idle)?;
                    map.insert("absolute", &own.absolute)?;
                }
                map.insert("created", &stamp.created)?;
                map.insert("version", &stamp.version)?;
                map.insert("accessed", &stamp.accessed)?;
                map.insert("contents", *contents)?;
                insert_all(map, unknown)
            },
        )
    }
}

struct Reading(Session);

impl Decode for Reading {
    fn decode(from: &mut Decoder<'_>) -> Result<Reading> {
        let (mut created, mut version, mut accessed) = (None, None, None);
        let (mut idle, mut absolute) = (None, None);
        let mut contents = None;
        let mut unknown = Named::default();
        from.map(Decoder::text, |from, key| {
            match key {
                "created" => created = Some(u64::decode(from)?),
                "version" => version = Some(u64::decode(from)?),
                "accessed" => accessed = Some(u64::decode(from)?),
                "contents" => contents = Some(Contents::decode(from)?),
                "idle" => idle = Some(Option::<u64>::decode(from)?),
                "absolute" => absolute = Some(Option::<u64>::decode(from)?),
                _ => unknown.insert(key, from.raw()?.to_vec()),
            }
            Ok(())
        })?;
        let (Some(created), Some(version), Some(accessed), Some(mut read)) =
            (created, version, accessed, contents)
        else {
            return Err(from.expected("all four fields of a session in what ends"));
        };
        read.lifetimes = match (idle, absolute) {
            (Some(idle), Some(absolute)) => Some(Lifetimes { idle, absolute }),
            (None, None) => None,
            _ => return Err(from.expected("both lifetimes of a session in what ends")),
        };
        read.unknown_outside = unknown;
        let contents = Arc::new(read);
        Ok(Reading(Session {
            stamp: Stamp {
                version,
                created,
                accessed,
            },
            base: Arc::clone(&contents),
            contents,
            ..Session::default()
        }))
    }
}
