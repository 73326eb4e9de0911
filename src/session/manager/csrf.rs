//! Tokens against forged requests that follow from the session's id, so that none has to be stored. Pure.
//!
//! A token is 32 random bytes and, exclusive-or with these, a code that takes the id to make. So it is another
//! text on each page, and an attacker who has his guess compressed together with the page learns nothing from the length
//! (BREACH). Every token is good for as long as the session has its id.

use crate::error::Result;
use crate::session::SessionId;
use crate::session::sha256::{hmac_sha256, same};
use crate::value::base64::Base64;

const CODE_BYTES: usize = 32;
/// The length of both halves in base64url.
const LETTERS: usize = 86;

/// A token for a form, with what `random` fills in.
pub(super) fn token(
    id: &SessionId,
    random: impl FnOnce(&mut [u8]) -> Result<()>,
) -> Result<String> {
    let mut mask = [0; CODE_BYTES];
    random(&mut mask)?;
    let mut bytes = mask.to_vec();
    bytes.extend(code(id).iter().zip(mask).map(|(code, mask)| code ^ mask));
    Ok(Base64::Url.encode(&bytes))
}

/// Whether a token was made for the session with this id. Takes the same time however much of it is right.
pub(super) fn is_token(id: &SessionId, token: &str) -> bool {
    if token.len() != LETTERS {
        return false;
    }
    let Some(bytes) = Base64::Url.decode(token) else {
        return false;
    };
    let (&[mask, masked], []) = bytes.as_chunks::<CODE_BYTES>() else {
        return false;
    };
    let mut given = masked;
    for (byte, mask) in given.iter_mut().zip(mask) {
        *byte ^= mask;
    }
    same(&code(id), &given)
}

fn code(id: &SessionId) -> [u8; CODE_BYTES] {
    hmac_sha256(id.as_str().as_bytes(), b"shelflife csrf 1")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(first: char) -> SessionId {
        format!("{first}AECAwQFBgcICQoLDA0ODw").parse().unwrap()
    }

    fn made(first: char, mask: u8) -> String {
        token(&id(first), |bytes| {
            bytes.fill(mask);
            Ok(())
        })
        .unwrap()
    }

    /// By hand: `printf 'shelflife csrf 1' | openssl dgst -sha256 -hmac AAECAwQFBgcICQoLDA0ODw -binary` behind 32
    /// zeros.
    #[test]
    fn a_token_is_this_text() {
        let code = "JobAFiq_3EQqILIdUfUgY8viqys3eyGxD_Q1h9m0JVM";
        let bytes = [vec![0; 32], Base64::Url.decode(code).unwrap()].concat();
        assert_eq!(made('A', 0), Base64::Url.encode(&bytes));
    }

    #[test]
    fn a_token_is_known_to_its_session_alone_whatever_the_mask() {
        for mask in [0, 1, 0x55, 0xFF] {
            let token = made('A', mask);
            assert_eq!(token.len(), LETTERS);
            assert!(is_token(&id('A'), &token));
            assert!(!is_token(&id('B'), &token));
        }
        assert_ne!(made('A', 1), made('A', 2));
    }

    #[test]
    fn a_token_with_any_letter_changed_cut_or_added_is_none() {
        let token = made('A', 0x5A);
        for at in 0..token.len() {
            let letter = if token.as_bytes()[at] == b'A' {
                "B"
            } else {
                "A"
            };
            let mut changed = token.clone();
            changed.replace_range(at..=at, letter);
            assert!(!is_token(&id('A'), &changed), "letter {at}");
            assert!(!is_token(&id('A'), &token[..at]), "cut at {at}");
        }
        for other in [
            format!("{token}A"),
            format!("{token}="),
            format!(" {token}"),
            "é".repeat(43),
        ] {
            assert!(!is_token(&id('A'), &other));
        }
    }
}
