//! A session as it is stored: one CBOR map with text keys, so that any language can read it.
//!
//! | key | value |
//! |---|---|
//! | `data` | map from text to any value; left out when empty |
//! | `user` | text; left out when nobody is logged in |
//! | `created`, `accessed` | integers: milliseconds since 1970 |
//! | `version` | integer, 1 when first stored, one more at each change |
//! | `form_tokens` | array of at most 32 texts, the newest last; left out when empty |
//! | `remote_address` | text; left out when unknown |
//!
//! Reading is strict: another key, a missing time or version, or a value of another type is an error. The id is not
//! in it: it is the record's key, as it is or as its SHA-256.
#![deny(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::as_conversions
)]

use super::lifetime::Stamp;
use super::state::{FORM_TOKENS, Session};
use crate::error::Result;
use crate::value::{Decode, Decoder, Encode, Encoder, from_cbor, to_cbor};
use std::collections::{BTreeMap, VecDeque};

/// What to store for `session`, with another stamp than the one it has.
pub(super) fn encode(session: &Session, stamp: Stamp) -> Result<Vec<u8>> {
    to_cbor(&Writing { session, stamp })
}

pub(super) fn decode(stored: &[u8]) -> Result<Session> {
    from_cbor(stored).map(|Reading(session)| session)
}

/// The stamp alone: the rest is checked and skipped, and nothing is copied.
pub(super) fn decode_stamp(stored: &[u8]) -> Result<Stamp> {
    from_cbor(stored)
}

struct Writing<'a> {
    session: &'a Session,
    stamp: Stamp,
}

impl Encode for Writing<'_> {
    fn encode(&self, to: &mut Encoder) -> Result<()> {
        let Writing { session, stamp } = self;
        let present = [
            !session.data.is_empty(),
            session.user.is_some(),
            !session.form_tokens.is_empty(),
            session.remote_address.is_some(),
        ];
        let optional = present.into_iter().filter(|there| *there).count();
        // In the order that the deterministic form asks for, which saves sorting: shorter keys first.
        to.map(optional.saturating_add(3), |map| {
            if !session.data.is_empty() {
                map.insert("data", &Data(&session.data))?;
            }
            if let Some(user) = &session.user {
                map.insert("user", user)?;
            }
            map.insert("created", &stamp.created)?;
            map.insert("version", &stamp.version)?;
            map.insert("accessed", &stamp.accessed)?;
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
        session.stamp = fields(from, |from, key| {
            match key {
                "data" => session.data = data(from)?,
                "user" => session.user = Some(String::decode(from)?),
                "form_tokens" => session.form_tokens = tokens(from)?,
                "remote_address" => session.remote_address = Some(String::decode(from)?),
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        Ok(Reading(session))
    }
}

impl Decode for Stamp {
    fn decode(from: &mut Decoder<'_>) -> Result<Stamp> {
        fields(from, |from, key| match key {
            "data" | "user" | "form_tokens" | "remote_address" => from.skip().map(|()| true),
            _ => Ok(false),
        })
    }
}

/// Reads the map, and the stamp's fields in it; `other` reads the rest, or returns false for what it does not know.
fn fields(
    from: &mut Decoder<'_>,
    mut other: impl FnMut(&mut Decoder<'_>, &str) -> Result<bool>,
) -> Result<Stamp> {
    let [mut version, mut created, mut accessed] = [None; 3];
    from.map(Decoder::text, |from, key| {
        match key {
            "version" => version = Some(u64::decode(from)?),
            "created" => created = Some(u64::decode(from)?),
            "accessed" => accessed = Some(u64::decode(from)?),
            _ if other(from, key)? => {}
            _ => return Err(from.expected("a field of a session")),
        }
        Ok(())
    })?;
    Ok(Stamp {
        version: version.ok_or_else(|| from.missing("version"))?,
        created: created.ok_or_else(|| from.missing("created"))?,
        accessed: accessed.ok_or_else(|| from.missing("accessed"))?,
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
