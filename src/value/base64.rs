//! Base64 (RFC 4648), strict: one text for one sequence of bytes.
#![deny(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::as_conversions
)]

/// Which of the two alphabets of RFC 4648.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Base64 {
    /// Section 4, with padding.
    Standard,
    /// Section 5, without padding: what fits a URL, a cookie or a file name as it is.
    Url,
}

const COMMON: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

impl Base64 {
    /// The text of `bytes`.
    pub(crate) fn encode(self, bytes: &[u8]) -> String {
        let mut text = String::new();
        for group in bytes.chunks(3) {
            let mut word = [0; 4];
            for (to, from) in word.iter_mut().skip(1).zip(group) {
                *to = *from;
            }
            let word = u32::from_be_bytes(word);
            let places = [word >> 18, word >> 12, word >> 6, word];
            // One byte takes two letters, two take three, three take four.
            for (place, bits) in places.into_iter().enumerate() {
                if place <= group.len() {
                    text.push(self.letter(bits & 0x3F));
                } else if self == Base64::Standard {
                    text.push('=');
                }
            }
        }
        text
    }

    /// The bytes of `text`, or `None` if it is not exactly what [`encode`](Base64::encode) makes of them.
    pub(crate) fn decode(self, text: &str) -> Option<Vec<u8>> {
        let letters = match self {
            Base64::Standard if !text.len().is_multiple_of(4) => return None,
            Base64::Standard => text
                .strip_suffix("==")
                .or_else(|| text.strip_suffix('='))
                .unwrap_or(text),
            Base64::Url => text,
        };
        let mut bytes = Vec::with_capacity(letters.len().saturating_mul(3) / 4);
        for group in letters.as_bytes().chunks(4) {
            let mut word: u32 = 0;
            for place in 0..4 {
                let bits = group.get(place).map_or(Some(0), |l| self.bits(*l))?;
                word = (word << 6) | bits;
            }
            let [_, first, second, third] = word.to_be_bytes();
            // The bits that the last letter has too many must be zero.
            match (group.len(), first, second, third) {
                (2, _, 0, 0) => bytes.push(first),
                (3, _, _, 0) => bytes.extend([first, second]),
                (4, _, _, _) => bytes.extend([first, second, third]),
                _ => return None,
            }
        }
        Some(bytes)
    }

    fn last_two(self) -> [char; 2] {
        match self {
            Base64::Standard => ['+', '/'],
            Base64::Url => ['-', '_'],
        }
    }

    fn letter(self, bits: u32) -> char {
        let [plus, slash] = self.last_two();
        let common = usize::try_from(bits).ok().and_then(|at| COMMON.get(at));
        match (common, bits) {
            (Some(letter), _) => char::from(*letter),
            (None, 62) => plus,
            (None, _) => slash,
        }
    }

    fn bits(self, letter: u8) -> Option<u32> {
        let [plus, slash] = self.last_two();
        let (first, before) = match letter {
            b'A'..=b'Z' => (b'A', 0),
            b'a'..=b'z' => (b'a', 26),
            b'0'..=b'9' => (b'0', 52),
            other if char::from(other) == plus => (other, 62),
            other if char::from(other) == slash => (other, 63),
            _ => return None,
        };
        u32::from(letter.wrapping_sub(first)).checked_add(before)
    }
}

#[cfg(test)]
#[allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::as_conversions
)]
mod tests {
    use super::*;

    #[test]
    fn base64_gives_the_vectors_of_rfc_4648() {
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(Base64::Standard.encode(bytes.as_bytes()), text);
            assert_eq!(Base64::Standard.decode(text).unwrap(), bytes.as_bytes());
            let bare = text.trim_end_matches('=');
            assert_eq!(Base64::Url.encode(bytes.as_bytes()), bare);
            assert_eq!(Base64::Url.decode(bare).unwrap(), bytes.as_bytes());
        }
        assert_eq!(Base64::Standard.encode(&[0xFB, 0xFF, 0xBF]), "+/+/");
        assert_eq!(Base64::Url.encode(&[0xFB, 0xFF, 0xBF]), "-_-_");
    }

    #[test]
    fn every_text_that_decodes_is_the_one_that_encodes() {
        // All texts of up to three letters of a vocabulary with every kind of letter, and these four times over.
        let letters = [
            'A', 'Q', 'g', 'w', 'z', '9', '+', '/', '-', '_', '=', ' ', '\n', 'é',
        ];
        let mut texts = vec![String::new()];
        for length in 0..4 {
            for text in texts.clone() {
                if text.chars().count() == length {
                    texts.extend(letters.iter().map(|letter| format!("{text}{letter}")));
                }
            }
        }
        let mut accepted = 0;
        for text in texts {
            for base64 in [Base64::Standard, Base64::Url] {
                for text in [text.clone(), format!("QUJD{text}"), format!("{text}QUJD")] {
                    if let Some(bytes) = base64.decode(&text) {
                        assert_eq!(base64.encode(&bytes), text, "{base64:?}");
                        accepted += 1;
                    }
                }
            }
        }
        assert!(accepted > 10_000, "only {accepted} accepted");
    }

    #[test]
    fn what_another_encoder_would_not_have_written_is_refused() {
        for text in [
            "Zg", "Zg=", "Zh==", "Zm9=", "Zm8", "=", "==", "====", "Z===", "Zg==Zg==", "Zm9v\n",
            "Zm-_",
        ] {
            assert_eq!(Base64::Standard.decode(text), None, "{text:?}");
        }
        for text in ["Z", "Zh", "Zm9", "Zg==", "Zm9vY", "Zm+/", "Zm 8"] {
            assert_eq!(Base64::Url.decode(text), None, "{text:?}");
        }
    }

    #[test]
    fn all_bytes_come_back() {
        let bytes: Vec<u8> = (0..=255).collect();
        for base64 in [Base64::Standard, Base64::Url] {
            for len in 0..=bytes.len() {
                let text = base64.encode(&bytes[..len]);
                assert_eq!(base64.decode(&text).unwrap(), &bytes[..len]);
            }
        }
    }
}
