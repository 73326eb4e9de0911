//! Under which keys a store keeps sessions and what belongs to them.
//!
//! All begin with the byte FF, which no text in UTF-8 has, and with a letter: so nothing that an application keeps in
//! the same file under keys of text is ever taken for a session.
//!
//! | key | what |
//! |---|---|
//! | FF `s`, then 16 bytes | a session: the bits of its id |
//! | FF `s`, then 35 bytes | a session whose id is hashed: the id's first 3 letters, the SHA-256 of all 22 |
//! | FF `u`, then 16 bytes of a hash and 4 of a number | a part of the list of a user's sessions, see [`list`](super::list) |
//! | FF `k` | how ids are kept: the CBOR text `plain` or `hashed`; while it is there, no part of a list was lost |
//!
//! The 3 letters let a store that is spread by them find a session by its id's hash; 110 bits of the id stay secret.
#![deny(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::as_conversions
)]

use super::id::{Identity, SessionId};
use crate::store::salvage::VOUCHER;

const SESSION: &[u8] = b"\xFFs";
const LIST: &[u8] = b"\xFFu";

/// Where it is noted how ids are kept. A salvage that lost anything leaves it out.
pub(super) const KIND: &[u8] = VOUCHER;

/// How ids are kept at rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// As they are.
    Plain,
    /// As their SHA-256.
    Hashed,
}

impl Kind {
    /// The value that notes this kind under the key [`KIND`].
    pub(super) fn noted(self) -> &'static [u8] {
        match self {
            Kind::Plain => b"\x65plain",
            Kind::Hashed => b"\x66hashed",
        }
    }

    pub(super) fn of_note(stored: &[u8]) -> Option<Kind> {
        [Kind::Plain, Kind::Hashed]
            .into_iter()
            .find(|kind| kind.noted() == stored)
    }

    /// The key of a session.
    pub(super) fn key_of(self, id: &SessionId) -> Vec<u8> {
        match self {
            Kind::Plain => session_key(&id.bits()),
            Kind::Hashed => [SESSION, &id.letters(), &id.hash()].concat(),
        }
    }

    /// The key of a session, of which perhaps only the hash is known.
    pub(super) fn key(self, identity: &Identity) -> Vec<u8> {
        match identity {
            Identity::Id(id) => self.key_of(id),
            Identity::Hash { letters, hash } => [SESSION, letters, hash].concat(),
        }
    }
}

/// The key of the session of this name.
pub(super) fn session_key(name: &[u8]) -> Vec<u8> {
    [SESSION, name].concat()
}

/// The name that tells a session from all others in a store: its key without the letters that all have.
pub(super) fn name_of(key: &[u8]) -> Option<&[u8]> {
    let name = key.strip_prefix(SESSION)?;
    matches!(name.len(), 16 | 35).then_some(name)
}

/// The id of the session that a key belongs to, or the hash of it; `None` if the key is no session's.
pub(super) fn identity_of(key: &[u8]) -> Option<Identity> {
    let name = name_of(key)?;
    match name.split_first_chunk::<3>() {
        Some((letters, hash)) if name.len() == 35 => Some(Identity::Hash {
            letters: *letters,
            hash: hash.try_into().ok()?,
        }),
        _ => SessionId::of_bits(name).map(Identity::Id),
    }
}

/// How ids are kept under a session's key.
pub(super) fn kind_of(key: &[u8]) -> Option<Kind> {
    name_of(key).map(|name| match name.len() {
        35 => Kind::Hashed,
        _ => Kind::Plain,
    })
}

/// Whether a part of a user's list has this key.
pub(super) fn is_list(key: &[u8]) -> bool {
    key.starts_with(LIST)
}

/// The key of a part of a user's list, by the user's hash.
pub(super) fn list_key(user: &[u8; 16], part: u32) -> Vec<u8> {
    [LIST, user, &part.to_be_bytes()].concat()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;

    #[test]
    fn a_key_tells_whose_session_it_is_and_no_text_is_one() {
        let id: SessionId = "AAECAwQFBgcICQoLDA0ODw".parse().unwrap();
        for (kind, len) in [(Kind::Plain, 18), (Kind::Hashed, 37)] {
            let key = kind.key_of(&id);
            assert_eq!((key.len(), kind_of(&key)), (len, Some(kind)));
            let identity = identity_of(&key).unwrap();
            assert_eq!(identity.handle(), id.handle());
            assert_eq!(kind.key(&identity), key);
            assert!(std::str::from_utf8(&key).is_err());
            for cut in 0..len {
                assert!(kind_of(&key[..cut]).is_none() || cut == 18 && kind == Kind::Hashed);
            }
        }
        assert_eq!(&Kind::Hashed.key_of(&id)[..5], b"\xFFsAAE");
        for text in ["", "k", "AAECAwQFBgcICQoLDA0ODw"] {
            assert!(identity_of(text.as_bytes()).is_none());
        }
        assert!(identity_of(&list_key(&[7; 16], 0)).is_none() && identity_of(KIND).is_none());
    }
}
