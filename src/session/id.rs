//! The two names of a session: the secret id, and the handle that is safe to show.

mod of_key;

use super::sha256::sha256;
use crate::error::{Error, Result};
use crate::value::base64::Base64;
use std::fmt;
use std::str::FromStr;

const ID_BYTES: usize = 128 / 8;
const ID_LETTERS: usize = 22;

/// The secret that a visitor's cookie holds: 128 bits from the operating system as 22 characters of base64url
/// (RFC 4648, section 5).
///
/// A visitor who has it is logged in. So only a store makes one, `Debug` shows nothing of it, there is no `Display`,
/// and [`as_str`](SessionId::as_str) is the one way to its text. For a log or an admin there is [`SessionHandle`].
///
/// ```
/// use shelflife::SessionId;
///
/// let id: SessionId = "AAECAwQFBgcICQoLDA0ODw".parse()?; // from the cookie
/// assert_eq!(id.as_str(), "AAECAwQFBgcICQoLDA0ODw");
/// assert_eq!(format!("{id:?}"), "SessionId(..)");
///
/// // Exactly one text for each id: not longer, not shorter, no stray bits in the last character.
/// assert!("AAECAwQFBgcICQoLDA0ODx".parse::<SessionId>().is_err());
/// # Ok::<(), shelflife::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct SessionId(String);

impl SessionId {
    /// The text for the cookie. Keep it out of logs and URLs.
    ///
    /// ```
    /// # use shelflife::{MemorySessionStore, Session, SessionStore};
    /// # let store = MemorySessionStore::new();
    /// let mut session = Session::new();
    /// session.set_user(Some("ann"));
    /// let _ = store.save_session(&mut session)?;
    /// let id = session.id().expect("stored sessions have one");
    /// let cookie = format!("session={}; HttpOnly; Secure; SameSite=Lax", id.as_str());
    /// # Ok::<(), shelflife::Error>(())
    /// ```
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The handle, to be shown instead of the id.
    ///
    /// ```
    /// # use shelflife::SessionId;
    /// let id: SessionId = "AAECAwQFBgcICQoLDA0ODw".parse()?;
    /// assert_eq!(id.handle().to_string(), "5d2611d5a4dd"); // printf AAECAwQFBgcICQoLDA0ODw | sha256sum
    /// # Ok::<(), shelflife::Error>(())
    /// ```
    pub fn handle(&self) -> SessionHandle {
        SessionHandle::of_hash(&self.hash())
    }

    /// The bits that were drawn.
    pub(super) fn bits(&self) -> [u8; ID_BYTES] {
        let bits = Base64::Url.decode(&self.0);
        bits.and_then(|bits| bits.try_into().ok())
            .unwrap_or_default()
    }

    /// The id of these bits.
    pub(super) fn of_bits(bits: &[u8]) -> Option<SessionId> {
        (bits.len() == ID_BYTES).then(|| SessionId(Base64::Url.encode(bits)))
    }

    /// The first three letters.
    pub(super) fn letters(&self) -> [u8; 3] {
        self.0.as_bytes().first_chunk().copied().unwrap_or_default()
    }

    /// The SHA-256 of the text.
    pub(super) fn hash(&self) -> [u8; 32] {
        sha256(self.0.as_bytes())
    }

    /// An id of what `random` fills in.
    pub(super) fn draw(random: impl FnOnce(&mut [u8]) -> Result<()>) -> Result<SessionId> {
        let mut bytes = [0; ID_BYTES];
        random(&mut bytes)?;
        Ok(SessionId(Base64::Url.encode(&bytes)))
    }

    /// Another id of what `random` fills in, which begins with the same three letters: 110 of its 128 bits are new.
    pub(super) fn draw_like(
        letters: [u8; 3],
        random: impl FnOnce(&mut [u8]) -> Result<()>,
    ) -> Result<SessionId> {
        let SessionId(mut text) = SessionId::draw(random)?;
        if let Ok(letters) = str::from_utf8(&letters) {
            text.replace_range(..letters.len(), letters);
        }
        Ok(SessionId(text))
    }

    pub(super) fn parse(text: &[u8]) -> Option<SessionId> {
        let (last, rest) = text.split_last()?;
        let is_letter = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        // 22 letters have 132 bits, of which the last four must be zero.
        if text.len() != ID_LETTERS || !rest.iter().all(is_letter) || !b"AQgw".contains(last) {
            return None;
        }
        String::from_utf8(text.to_vec()).ok().map(SessionId)
    }
}

/// Strict: an id has exactly one text. Any other text that a visitor sends is
/// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput), to be treated as no session at all; the error does not
/// repeat it.
impl FromStr for SessionId {
    type Err = Error;

    fn from_str(text: &str) -> Result<SessionId> {
        SessionId::parse(text.as_bytes())
            .ok_or_else(|| Error::invalid_input("not a session id", "give its 22 letters alone"))
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionId(..)")
    }
}

const HANDLE_BYTES: usize = 6;

/// The name that tools and logs show in place of a [`SessionId`]: the first 12 hexadecimal digits of the SHA-256 of its
/// text.
///
/// It tells sessions apart and gives nobody a session. Two sessions share a handle about once in 280 million million
/// pairs: among a million sessions, that is a chance of one in 560.
///
/// ```
/// use shelflife::SessionHandle;
///
/// let handle: SessionHandle = "5d2611d5a4dd".parse()?;
/// assert_eq!(handle.to_string(), "5d2611d5a4dd");
/// assert!("5D2611D5A4DD".parse::<SessionHandle>().is_err());
/// # Ok::<(), shelflife::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionHandle([u8; HANDLE_BYTES]);

impl SessionHandle {
    pub(super) fn of_hash(hash: &[u8; 32]) -> SessionHandle {
        let [a, b, c, d, e, f, ..] = *hash;
        SessionHandle([a, b, c, d, e, f])
    }
}

impl fmt::Display for SessionHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&hex(&self.0))
    }
}

impl fmt::Debug for SessionHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SessionHandle({self})")
    }
}

/// Twelve lower-case hexadecimal digits; all else is [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput).
impl FromStr for SessionHandle {
    type Err = Error;

    fn from_str(text: &str) -> Result<SessionHandle> {
        unhex(text.as_bytes()).map(SessionHandle).ok_or_else(|| {
            Error::invalid_input(
                "not a session handle",
                "a handle has 12 digits of 0-9 and a-f",
            )
        })
    }
}

/// How a store finds a session.
#[derive(Clone)]
pub(super) enum Identity {
    Id(SessionId),
    /// Only the first letters of the id and its SHA-256 are known: it was read from a store that hashes ids at rest.
    Hash {
        letters: [u8; 3],
        hash: [u8; 32],
    },
}

impl Identity {
    pub(super) fn handle(&self) -> SessionHandle {
        match self {
            Identity::Id(id) => id.handle(),
            Identity::Hash { hash, .. } => SessionHandle::of_hash(hash),
        }
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Exactly `N` bytes in lower case, or nothing.
pub(super) fn unhex<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    fn digit(letter: u8) -> Option<u8> {
        match letter {
            b'0'..=b'9' => letter.checked_sub(b'0'),
            b'a'..=b'f' => letter.checked_sub(b'a' - 10),
            _ => None,
        }
    }
    let mut bytes = [0; N];
    let (pairs, rest) = text.as_chunks::<2>();
    if pairs.len() != N || !rest.is_empty() {
        return None;
    }
    for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
        *byte = (digit(*high)? << 4) | digit(*low)?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use std::collections::HashSet;

    #[test]
    fn every_last_character_with_stray_bits_is_refused() {
        let alphabet = ('A'..='Z')
            .chain('a'..='z')
            .chain('0'..='9')
            .chain("-_".chars());
        let accepted: String = alphabet
            .filter(|last| {
                format!("AAECAwQFBgcICQoLDA0OD{last}")
                    .parse::<SessionId>()
                    .is_ok()
            })
            .collect();
        assert_eq!(accepted, "AQgw", "two bits of the last character count");
        for last in accepted.chars() {
            let bytes = Base64::Url.decode(&format!("AAECAwQFBgcICQoLDA0OD{last}"));
            assert_eq!(bytes.unwrap().len(), ID_BYTES);
        }
    }

    #[test]
    fn what_is_not_an_id_is_refused_without_repeating_it() {
        let good = "AAECAwQFBgcICQoLDA0ODw";
        let mut bad = vec![
            String::new(),
            good[1..].to_string(),
            format!("{good}A"),
            format!("{good}=="),
            format!(" {good}"),
            format!("{good}\n"),
            good.replace('E', "+"),
            good.replace('E', "\0"),
            good.replace("EC", "é"),
            "../../../etc/passwd".to_string(),
            "A".repeat(1 << 20),
        ];
        bad.extend((0..22).map(|len| good[..len].to_string()));
        for text in bad {
            let error = text.parse::<SessionId>().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
            assert_eq!(
                error.to_string(),
                "not a session id; give its 22 letters alone"
            );
        }
    }

    #[test]
    fn a_handle_is_twelve_lower_case_digits() {
        for bad in [
            "",
            "5d2611d5a4d",
            "5d2611d5a4dda",
            "5d2611d5a4ddaa",
            "5D2611d5a4dd",
            "gd2611d5a4dd",
            "5d2611d5a4é",
        ] {
            assert!(bad.parse::<SessionHandle>().is_err(), "{bad:?}");
        }
        for good in ["000000000000", "ffffffffffff", "0123456789ab"] {
            assert_eq!(good.parse::<SessionHandle>().unwrap().to_string(), good);
        }
    }

    #[test]
    fn an_id_like_another_has_its_first_letters_and_nothing_else_of_it() {
        let old: SessionId = "AAECAwQFBgcICQoLDA0ODw".parse().unwrap();
        let like = SessionId::draw_like(old.letters(), |bytes| {
            bytes.fill(0xff);
            Ok(())
        });
        assert_eq!(like.unwrap().as_str(), "AAE__________________w");
    }

    /// Ids come from the operating system alone: if one bit were stuck or biased, or a draw repeated, it would show.
    #[test]
    fn a_million_ids_have_no_repeat_and_no_biased_bit() {
        use crate::store::disk::{Disk, os::OsDisk};
        const IDS: usize = 1_000_000;
        let mut pool = vec![0; IDS * ID_BYTES];
        OsDisk.random(&mut pool).unwrap();
        let mut chunks = pool.chunks_exact(ID_BYTES);
        let mut seen = HashSet::with_capacity(IDS);
        let mut ones = [0u32; ID_BYTES * 8];
        for _ in 0..IDS {
            let id = SessionId::draw(|bytes| {
                bytes.copy_from_slice(chunks.next().unwrap());
                Ok(())
            })
            .unwrap();
            let bytes = Base64::Url.decode(id.as_str()).unwrap();
            for (bit, count) in ones.iter_mut().enumerate() {
                *count += u32::from(bytes[bit / 8] >> (bit % 8) & 1);
            }
            assert_eq!(id.as_str().len(), 22);
            assert!(seen.insert(u128::from_be_bytes(bytes.try_into().unwrap())));
        }
        // Half a per cent is ten standard deviations.
        for (bit, count) in ones.iter().enumerate() {
            assert!(
                (495_000..=505_000).contains(count),
                "bit {bit}: {count} ones"
            );
        }
    }
}
