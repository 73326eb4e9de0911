//! A session as it is stored: a CBOR map with text keys, so that any language can read it.
//!
//! | key | value |
//! |---|---|
//! | `created` | integer: when it was first stored, milliseconds since 1970 |
//! | `version` | integer: 1 when first stored, one more at each change |
//! | `accessed` | integer: when it was last used, milliseconds since 1970 |
//! | `contents` | the map below |
//!
//! | key in `contents` | value, left out when there is none |
//! |---|---|
//! | `data` | map from text to any value |
//! | `user` | text: who is logged in |
//! | `form_tokens` | array of at most 32 texts, the newest last |
//! | `remote_address` | text |
//!
//! Reading is strict: another key, a missing number, or a value of another type is an error. The id is not in it: it
//! is the record's key, as it is or as its SHA-256.
//!
//! Deterministic CBOR has one order of keys, shorter ones first, and the names are chosen so that the three numbers
//! stand at the beginning. So [`stamp`] finds them without reading the rest, which makes looking for old sessions
//! cheap.
#![deny(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::as_conversions
)]

use super::lifetime::Stamp;
use super::state::{FORM_TOKENS, Session};
use crate::error::{Error, ErrorKind, Result};
use crate::value::{Decode, Decoder, Encode, Encoder, from_cbor, to_cbor};
use std::collections::{BTreeMap, VecDeque};

/// What to store for `session`, with another stamp than the one it has.
pub(super) fn encode(session: &Session, stamp: Stamp) -> Result<Vec<u8>> {
    to_cbor(&Writing { session, stamp })
}

pub(super) fn decode(stored: &[u8]) -> Result<Session> {
    from_cbor(stored).map(|Reading(session)| session)
}

/// The stamp of a stored session, whatever else is in it. What it refuses, [`decode`] refuses too.
pub(super) fn stamp(stored: &[u8]) -> Result<Stamp> {
    let numbers = || {
        let (created, rest) = number(stored.strip_prefix(b"\xA4\x67created")?)?;
        let (version, rest) = number(rest.strip_prefix(b"\x67version")?)?;
        let (accessed, _) = number(rest.strip_prefix(b"\x68accessed")?)?;
        Some(Stamp {
            version,
            created,
            accessed,
        })
    };
    numbers().ok_or_else(|| {
        Error::new(ErrorKind::Decode, "a stored session is not one")
            .advise("delete it, or look at it as a `Value`")
    })
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
    session: &'a Session,
    stamp: Stamp,
}

impl Encode for Writing<'_> {
    fn encode(&self, to: &mut Encoder) -> Result<()> {
        to.map(4, |map| {
            map.insert("created", &self.stamp.created)?;
            map.insert("version", &self.stamp.version)?;
            map.insert("accessed", &self.stamp.accessed)?;
            map.insert("contents", &Contents(self.session))
        })
    }
}

struct Contents<'a>(&'a Session);

impl Encode for Contents<'_> {
    fn encode(&self, to: &mut Encoder) -> Result<()> {
        let Contents(session) = self;
        let present = [
            !session.data.is_empty(),
            session.user.is_some(),
            !session.form_tokens.is_empty(),
            session.remote_address.is_some(),
        ];
        to.map(present.into_iter().filter(|there| *there).count(), |map| {
            if !session.data.is_empty() {
                map.insert("data", &Data(&session.data))?;
            }
            if let Some(user) = &session.user {
                map.insert("user", user)?;
            }
            if !session.form_tokens.is_empty() {
                map.insert("form_tokens", &Tokens(&session.form_tokens))?;
            }
            if let Some(address) = &session.remote_address {
                map.insert("remote_address", address)?;
            }
            Ok(())
        })
    }
}

struct Data<'a>(&'a BTreeMap<String, Vec<u8>>);

impl Encode for Data<'_> {
    fn encode(&self, to: &mut Encoder) -> Result<()> {
        to.map(self.0.len(), |map| {
            self.0
                .iter()
                .try_for_each(|(key, value)| map.insert(key, &Encoded(value)))
        })
    }
}

/// A value that is CBOR already.
struct Encoded<'a>(&'a [u8]);

impl Encode for Encoded<'_> {
    fn encode(&self, to: &mut Encoder) -> Result<()> {
        to.raw(self.0);
        Ok(())
    }
}

struct Tokens<'a>(&'a VecDeque<String>);

impl Encode for Tokens<'_> {
    fn encode(&self, to: &mut Encoder) -> Result<()> {
        to.array(self.0.len(), |to| {
            self.0.iter().try_for_each(|token| token.encode(to))
        })
    }
}

struct Reading(Session);

impl Decode for Reading {
    fn decode(from: &mut Decoder<'_>) -> Result<Reading> {
        let mut session = Session::default();
        let mut seen: usize = 0;
        from.map(Decoder::text, |from, key| {
            seen = seen.saturating_add(1);
            match key {
                "created" => session.stamp.created = u64::decode(from)?,
                "version" => session.stamp.version = u64::decode(from)?,
                "accessed" => session.stamp.accessed = u64::decode(from)?,
                "contents" => contents(from, &mut session)?,
                _ => return Err(from.expected("a field of a session")),
            }
            Ok(())
        })?;
        // No key comes twice, so four are all.
        match seen {
            4 => Ok(Reading(session)),
            _ => Err(from.expected("all four fields of a session in what ends")),
        }
    }
}

fn contents(from: &mut Decoder<'_>, session: &mut Session) -> Result<()> {
    from.map(Decoder::text, |from, key| {
        match key {
            "data" => session.data = data(from)?,
            "user" => session.user = Some(String::decode(from)?),
            "form_tokens" => session.form_tokens = tokens(from)?,
            "remote_address" => session.remote_address = Some(String::decode(from)?),
            _ => return Err(from.expected("a field of a session's contents")),
        }
        Ok(())
    })
}

fn data(from: &mut Decoder<'_>) -> Result<BTreeMap<String, Vec<u8>>> {
    let mut data = BTreeMap::new();
    from.map(String::decode, |from, key| {
        data.insert(key, from.raw()?.to_vec());
        Ok(())
    })?;
    Ok(data)
}

fn tokens(from: &mut Decoder<'_>) -> Result<VecDeque<String>> {
    let mut tokens = VecDeque::new();
    from.array(|from| {
        tokens.push_back(String::decode(from)?);
        match tokens.len() {
            ..=FORM_TOKENS => Ok(()),
            _ => Err(from.expected("at most 32 form tokens")),
        }
    })?;
    Ok(tokens)
}
