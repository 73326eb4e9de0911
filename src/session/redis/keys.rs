//! The name of a session's key: `PREFIX{TAG}NAME`. Pure.
//!
//! The name is the session's id, or with hashed ids the first three letters of the id and its SHA-256 in hexadecimal
//! digits. The tag is those three letters: a cluster puts all keys of one tag into one slot, and a session keeps its
//! letters when it gets another id. So the step from the old id to the new one stays within one server, where it is
//! atomic. 110 of the new id's 128 bits are new.

use super::super::id::{Identity, SessionId, hex, unhex};
use crate::error::{Error, Result};

pub(super) const TAG_LETTERS: usize = 3;

#[derive(Debug)]
pub(super) struct Keys {
    /// With the brace that opens the tag, so that `prod` and `prod2` have no key in common.
    prefix: Vec<u8>,
    hash_ids: bool,
}

/// One key.
#[cfg_attr(test, derive(Debug, PartialEq))]
pub(super) struct RedisKey {
    pub(super) text: Vec<u8>,
    /// The letters between the braces.
    pub(super) tag: [u8; TAG_LETTERS],
}

impl Keys {
    pub(super) fn new(prefix: &str, hash_ids: bool) -> Result<Keys> {
        if prefix.contains(['{', '}']) {
            return Err(Error::invalid_input(
                "a prefix of keys with a brace",
                "braces say which server of a cluster has a key",
            ));
        }
        let prefix = format!("{prefix}{{").into_bytes();
        Ok(Keys { prefix, hash_ids })
    }

    /// The key of an id that a visitor brought.
    pub(super) fn of_id(&self, id: &SessionId) -> RedisKey {
        match self.hash_ids {
            true => self.of_hash(id.letters(), &id.hash()),
            false => self.key(id.letters(), id.as_str()),
        }
    }

    /// The key of a session that a store has, whichever way it keeps its ids.
    pub(super) fn of_identity(&self, identity: &Identity) -> RedisKey {
        match identity {
            Identity::Id(id) => self.of_id(id),
            Identity::Hash { letters, hash } => self.of_hash(*letters, hash),
        }
    }

    pub(super) fn hashes_ids(&self) -> bool {
        self.hash_ids
    }

    fn of_hash(&self, tag: [u8; TAG_LETTERS], hash: &[u8; 32]) -> RedisKey {
        let letters = String::from_utf8_lossy(&tag);
        self.key(tag, &format!("{letters}{}", hex(hash)))
    }

    fn key(&self, tag: [u8; TAG_LETTERS], name: &str) -> RedisKey {
        let mut text = Vec::with_capacity(self.prefix.len() + TAG_LETTERS + 1 + name.len());
        text.extend_from_slice(&self.prefix);
        text.extend_from_slice(&tag);
        text.push(b'}');
        text.extend_from_slice(name.as_bytes());
        RedisKey { text, tag }
    }

    /// The key of a user's turn to log in under a cap, which is no session's.
    pub(super) fn of_turn(&self, user_hash: &str) -> RedisKey {
        let tag = user_hash.as_bytes().first_chunk().copied();
        self.key(tag.unwrap_or_default(), &format!("turn:{user_hash}"))
    }

    /// Reads the name of a key that a server has; `None` if it is not a session's.
    pub(super) fn read(&self, text: Vec<u8>) -> Option<(RedisKey, Identity)> {
        let (tag, name) = text
            .strip_prefix(self.prefix.as_slice())?
            .split_first_chunk::<TAG_LETTERS>()?;
        let (tag, name) = (*tag, name.strip_prefix(b"}")?);
        let letters = name.strip_prefix(&tag)?;
        let identity = match unhex::<32>(letters) {
            Some(hash) => Identity::Hash { letters: tag, hash },
            None => Identity::Id(SessionId::parse(name)?),
        };
        Some((RedisKey { text, tag }, identity))
    }

    /// The pattern that finds the keys.
    pub(super) fn pattern(&self) -> Vec<u8> {
        let mut pattern = Vec::new();
        for byte in &self.prefix {
            if b"*?[]^\\".contains(byte) {
                pattern.push(b'\\');
            }
            pattern.push(*byte);
        }
        pattern.push(b'*');
        pattern
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "x7QeGF0LqcxkqsHUm8Aagw";

    #[test]
    fn a_key_has_its_tag_in_braces_and_reads_as_what_it_names() {
        let id: SessionId = ID.parse().unwrap();
        let hash = hex(&id.hash());
        for (hash_ids, name) in [(false, ID.to_string()), (true, format!("x7Q{hash}"))] {
            let keys = Keys::new("shelflife:", hash_ids).unwrap();
            let key = keys.of_id(&id);
            assert_eq!(key.text, format!("shelflife:{{x7Q}}{name}").into_bytes());
            let (read, identity) = keys.read(key.text.clone()).unwrap();
            assert_eq!(read, key);
            assert_eq!(identity.handle(), id.handle());
            assert_eq!(keys.of_identity(&identity), key);
        }
    }

    #[test]
    fn what_is_no_sessions_key_is_left_alone() {
        let keys = Keys::new("p:", false).unwrap();
        for text in [
            String::new(),
            "p:".into(),
            format!("p:{ID}"),
            format!("p:{{x7Q}}{ID}x"),
            format!("p:{{x7R}}{ID}"),
            format!("p:{{x7Q{ID}"),
            format!("q:{{x7Q}}{ID}"),
            format!("pp:{{x7Q}}{ID}"),
            "p:{x7Q}x7Q".into(),
            format!("p:{{x7Q}}x7Q{}", "F".repeat(64)),
            "p:{u:1}ann".into(),
            String::from_utf8(keys.of_turn(&"0123456789abcdef".repeat(2)).text).unwrap(),
        ] {
            assert!(keys.read(text.clone().into_bytes()).is_none(), "{text}");
        }
    }

    #[test]
    fn a_pattern_means_the_prefix_and_nothing_wider() {
        let keys = Keys::new("a*b?[c]\\", false).unwrap();
        assert_eq!(keys.pattern(), b"a\\*b\\?\\[c\\]\\\\{*");
        assert!(Keys::new("a{b", false).is_err() && Keys::new("a}", false).is_err());
    }
}
