//! A session as it is stored: a CBOR map with text keys, so that any language can read it.
//!
//! | key | value |
//! |---|---|
//! | `idle` | integer or null: the idle lifetime of its own, milliseconds; left out when it has the store's |
//! | `created` | integer: when it was first stored, milliseconds since 1970 |
//! | `version` | integer: 1 when first stored, one more at each change |
//! | `absolute` | integer or null: the absolute lifetime of its own; there if and only if `idle` is |
//! | `accessed` | integer: when it was last used, milliseconds since 1970 |
//! | `contents` | the map below |
//!
//! | key in `contents` | value, left out when there is none |
//! |---|---|
//! | `data` | map from text to any value |
//! | `user` | text: who is logged in |
//! | `agent` | text: the visitor's program |
//! | `label` | text: what the visitor calls the device |
//! | `confirmed` | integer: when the user last proved to be who he is, milliseconds since 1970 |
//! | `credentials` | text: a stamp of the user's credentials |
//! | `form_tokens` | array of at most 32 texts, the newest last |
//! | `first_address` | text: where the visitor came from first; left out when it is the same as the next |
//! | `remote_address` | text: where the visitor came from last |
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

use super::contents::{Contents, FORM_TOKENS};
use super::lifetime::{Lifetimes, Stamp};
use super::state::Session;
use crate::error::{Error, Result};
use crate::value::{Decode, Decoder, Encode, Encoder, MapEncoder, from_cbor, to_cbor};
use std::collections::{BTreeMap, VecDeque};
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

/// The contents alone.
pub(super) fn encode_contents(contents: &Contents) -> Result<Vec<u8>> {
    to_cbor(contents)
}

pub(super) fn decode(stored: &[u8]) -> Result<Session> {
    from_cbor(stored).map(|Reading(session)| session)
}

/// Reads contents that [`encode_contents`] made.
pub(super) fn decode_contents(stored: &[u8]) -> Result<Contents> {
    from_cbor(stored)
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

pub(super) fn insert_all(
    map: &mut MapEncoder<'_>,
    items: &BTreeMap<String, Vec<u8>>,
) -> Result<()> {
    items
        .iter()
        .try_for_each(|(key, value)| map.insert(key, &Encoded(value)))
}

impl Encode for Contents {
    fn encode(&self, to: &mut Encoder) -> Result<()> {
        let first_address = match self.first_address == self.remote_address {
            true => &None,
            false => &self.first_address,
        };
        let texts = [
            ("user", &self.user),
            ("agent", &self.agent),
            ("label", &self.label),
            ("credentials", &self.credentials),
            ("first_address", first_address),
            ("remote_address", &self.remote_address),
        ];
        let present = [
            !self.data.is_empty(),
            self.confirmed.is_some(),
            !self.form_tokens.is_empty(),
        ];
        let count = texts.iter().filter(|(_, text)| text.is_some()).count();
        let count = count.saturating_add(present.into_iter().filter(|there| *there).count());
        to.map(count.saturating_add(self.unknown.len()), |map| {
            if !self.data.is_empty() {
                map.insert("data", &Data(&self.data))?;
            }
            for (key, text) in texts {
                if let Some(text) = text {
                    map.insert(key, text)?;
                }
            }
            if let Some(confirmed) = &self.confirmed {
                map.insert("confirmed", confirmed)?;
            }
            if !self.form_tokens.is_empty() {
                map.insert("form_tokens", &Tokens(&self.form_tokens))?;
            }
            insert_all(map, &self.unknown)
        })
    }
}

struct Data<'a>(&'a BTreeMap<String, Vec<u8>>);

impl Encode for Data<'_> {
    fn encode(&self, to: &mut Encoder) -> Result<()> {
        to.map(self.0.len(), |map| insert_all(map, self.0))
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
        let mut stamp = Stamp::default();
        let mut read = Contents::default();
        let (mut idle, mut absolute) = (None, None);
        let mut unknown = BTreeMap::new();
        let mut seen: usize = 0;
        from.map(Decoder::text, |from, key| {
            match key {
                "created" => stamp.created = u64::decode(from)?,
                "version" => stamp.version = u64::decode(from)?,
                "accessed" => stamp.accessed = u64::decode(from)?,
                "contents" => read = Contents::decode(from)?,
                "idle" => idle = Some(Option::<u64>::decode(from)?),
                "absolute" => absolute = Some(Option::<u64>::decode(from)?),
                _ => {
                    unknown.insert(key.to_string(), from.raw()?.to_vec());
                }
            }
            if matches!(key, "created" | "version" | "accessed" | "contents") {
                seen = seen.saturating_add(1);
            }
            Ok(())
        })?;
        // No key comes twice, so four are all.
        if seen != 4 {
            return Err(from.expected("all four fields of a session in what ends"));
        }
        read.lifetimes = match (idle, absolute) {
            (Some(idle), Some(absolute)) => Some(Lifetimes { idle, absolute }),
            (None, None) => None,
            _ => return Err(from.expected("both lifetimes of a session in what ends")),
        };
        read.unknown_outside = unknown;
        let contents = Arc::new(read);
        Ok(Reading(Session {
            stamp,
            base: Arc::clone(&contents),
            contents,
            ..Session::default()
        }))
    }
}

impl Decode for Contents {
    fn decode(from: &mut Decoder<'_>) -> Result<Contents> {
        let mut contents = Contents::default();
        from.map(Decoder::text, |from, key| {
            let text = match key {
                "user" => &mut contents.user,
                "agent" => &mut contents.agent,
                "label" => &mut contents.label,
                "credentials" => &mut contents.credentials,
                "first_address" => &mut contents.first_address,
                "remote_address" => &mut contents.remote_address,
                "data" => {
                    contents.data = data(from)?;
                    return Ok(());
                }
                "form_tokens" => {
                    contents.form_tokens = tokens(from)?;
                    return Ok(());
                }
                "confirmed" => {
                    contents.confirmed = Some(u64::decode(from)?);
                    return Ok(());
                }
                _ => {
                    let item = from.raw()?.to_vec();
                    contents.unknown.insert(key.to_string(), item);
                    return Ok(());
                }
            };
            *text = Some(String::decode(from)?);
            Ok(())
        })?;
        if contents.first_address.is_none() {
            contents.first_address.clone_from(&contents.remote_address);
        }
        Ok(contents)
    }
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
