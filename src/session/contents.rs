//! The contents of a session, the map as which they are stored, and how the changes of two requests are put together.
//!
//! | key | value, left out when there is none |
//! |---|---|
//! | `data` | map from text to any value |
//! | `user` | text: the user who is logged in |
//! | `agent` | text: the visitor's program |
//! | `label` | text: what the visitor calls the device |
//! | `confirmed` | integer: when the user last proved to be who he is, milliseconds since 1970 |
//! | `credentials` | text: a stamp of the user's credentials |
//! | `form_tokens` | array of at most 32 texts, the newest last |
//! | `first_address` | text: where the visitor came from first; left out when it is the same as the next |
//! | `remote_address` | text: where the visitor came from last |
#![deny(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::as_conversions
)]

use super::lifetime::Lifetimes;
use super::named::Named;
use crate::error::Result;
use crate::value::{Decode, Decoder, Encode, Encoder, MapEncoder, to_cbor};

/// How many form tokens are remembered; the oldest goes when one more is made.
pub(super) const FORM_TOKENS: usize = 32;

/// All of a session but its name and its times.
#[derive(Clone, Default, PartialEq)]
pub(super) struct Contents {
    pub(super) user: Option<String>,
    /// When the user last proved to be who he is, by the store's clock.
    pub(super) confirmed: Option<u64>,
    /// A stamp of the user's credentials at the login.
    pub(super) credentials: Option<String>,
    pub(super) agent: Option<String>,
    pub(super) label: Option<String>,
    pub(super) first_address: Option<String>,
    pub(super) remote_address: Option<String>,
    /// In place of the store's.
    pub(super) lifetimes: Option<Lifetimes>,
    /// The newest last.
    pub(super) form_tokens: Vec<String>,
    /// Each value as its CBOR.
    pub(super) data: Named,
    /// Fields of a newer version beside these, as their CBOR.
    pub(super) unknown: Named,
    /// The same, beside the contents.
    pub(super) unknown_outside: Named,
}

impl Contents {
    /// The changes from `base` to these, on top of `current`: for each value and field the change counts, if there is
    /// one. Of the form tokens those stay that neither side has removed, the newest 32.
    pub(super) fn rebase(&self, base: &Contents, current: Contents) -> Contents {
        fn pick<T: PartialEq + Clone>(mine: &T, base: &T, current: T) -> T {
            if mine == base { current } else { mine.clone() }
        }
        let mut data = current.data;
        for (key, _) in base.data.iter() {
            if !self.data.contains(key) {
                data.remove(key);
            }
        }
        for (key, value) in self.data.iter() {
            if base.data.get(key) != Some(value) {
                data.insert(key, value.clone());
            }
        }
        let mut form_tokens = current.form_tokens;
        form_tokens
            .retain(|token| self.form_tokens.contains(token) || !base.form_tokens.contains(token));
        for token in &self.form_tokens {
            if !base.form_tokens.contains(token) {
                form_tokens.push(token.clone());
            }
        }
        let beyond = form_tokens.len().saturating_sub(FORM_TOKENS);
        form_tokens.drain(..beyond);
        Contents {
            user: pick(&self.user, &base.user, current.user),
            confirmed: pick(&self.confirmed, &base.confirmed, current.confirmed),
            credentials: pick(&self.credentials, &base.credentials, current.credentials),
            agent: pick(&self.agent, &base.agent, current.agent),
            label: pick(&self.label, &base.label, current.label),
            first_address: pick(
                &self.first_address,
                &base.first_address,
                current.first_address,
            ),
            remote_address: pick(
                &self.remote_address,
                &base.remote_address,
                current.remote_address,
            ),
            lifetimes: pick(&self.lifetimes, &base.lifetimes, current.lifetimes),
            form_tokens,
            data,
            unknown: current.unknown,
            unknown_outside: current.unknown_outside,
        }
    }
}

/// How many bytes they take when they are stored.
pub(super) fn size_bytes(contents: &Contents) -> Result<usize> {
    to_cbor(contents).map(|bytes| bytes.len())
}

pub(super) fn insert_all(map: &mut MapEncoder<'_>, items: &Named) -> Result<()> {
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
                map.insert("form_tokens", &self.form_tokens)?;
            }
            insert_all(map, &self.unknown)
        })
    }
}

struct Data<'a>(&'a Named);

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

impl Decode for Contents {
    fn decode(from: &mut Decoder<'_>) -> Result<Contents> {
        let mut contents = Contents::default();
        from.map(Decoder::text, |from, key| {
            match key {
                "data" => contents.data = data(from)?,
                "user" => contents.user = Some(String::decode(from)?),
                "agent" => contents.agent = Some(String::decode(from)?),
                "label" => contents.label = Some(String::decode(from)?),
                "confirmed" => contents.confirmed = Some(u64::decode(from)?),
                "credentials" => contents.credentials = Some(String::decode(from)?),
                "form_tokens" => contents.form_tokens = tokens(from)?,
                "first_address" => contents.first_address = Some(String::decode(from)?),
                "remote_address" => contents.remote_address = Some(String::decode(from)?),
                _ => contents.unknown.insert(key, from.raw()?.to_vec()),
            }
            Ok(())
        })?;
        if contents.first_address.is_none() {
            contents.first_address.clone_from(&contents.remote_address);
        }
        Ok(contents)
    }
}

fn data(from: &mut Decoder<'_>) -> Result<Named> {
    let mut data = Named::default();
    from.map(Decoder::text, |from, key| {
        data.insert(key, from.raw()?.to_vec());
        Ok(())
    })?;
    Ok(data)
}

fn tokens(from: &mut Decoder<'_>) -> Result<Vec<String>> {
    let mut tokens = Vec::new();
    from.array(|from| {
        tokens.push(String::decode(from)?);
        match tokens.len() {
            ..=FORM_TOKENS => Ok(()),
            _ => Err(from.expected("at most 32 form tokens")),
        }
    })?;
    Ok(tokens)
}
