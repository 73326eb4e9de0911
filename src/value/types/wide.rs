//! Integers of 128 bits. Beyond 64 they are bignums: a tag and the bytes of the number (RFC 8949, section 3.4.3).

use crate::error::Result;
use crate::value::cbor::{Decoder, Encoder};
use crate::value::{Decode, Encode};

/// Of a number from 2^64 on, and of -1 minus such a number.
const POSITIVE: u64 = 2;
const NEGATIVE: u64 = 3;

/// Writes a number, or -1 minus it.
fn encode(to: &mut Encoder, is_negative: bool, number: u128) -> Result<()> {
    match (u64::try_from(number), is_negative) {
        (Ok(number), false) => to.integer(i128::from(number)),
        (Ok(number), true) => to.integer(!i128::from(number)),
        (Err(_), _) => {
            let tag = if is_negative { NEGATIVE } else { POSITIVE };
            let bytes = number.to_be_bytes();
            let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
            to.tag(tag, |to| to.bytes(bytes.get(zeros..).unwrap_or_default()))
        }
    }
}

/// Reads what [`encode`] writes, and nothing else.
fn decode<T>(
    from: &mut Decoder<'_>,
    kind: &str,
    make: impl FnOnce(bool, u128) -> Option<T>,
) -> Result<T> {
    let (is_negative, number) = match from.next_tag() {
        Some(tag @ (POSITIVE | NEGATIVE)) => {
            let number = from.tag(tag, |from| {
                let bytes = from.bytes()?;
                let mut number = [0; 16];
                let room = number.len().checked_sub(bytes.len());
                let place = room.and_then(|zeros| number.get_mut(zeros..));
                match (place, bytes.first()) {
                    // Eight bytes hold what is no bignum.
                    (Some(place), Some(1..)) if bytes.len() > 8 => place.copy_from_slice(bytes),
                    _ => return Err(from.expected(&format!("a bignum that fits {kind}"))),
                }
                Ok(u128::from_be_bytes(number))
            })?;
            (tag == NEGATIVE, number)
        }
        _ => {
            let number = from.integer()?;
            // Flips all bits of a negative one, which is -1 minus it.
            (number < 0, (number ^ (number >> 127)).cast_unsigned())
        }
    };
    make(is_negative, number).ok_or_else(|| from.expected(&format!("an integer that fits {kind}")))
}

impl Encode for u128 {
    fn encode(&self, to: &mut Encoder) -> Result<()> {
        encode(to, false, *self)
    }
}

impl Decode for u128 {
    fn decode(from: &mut Decoder<'_>) -> Result<u128> {
        decode(from, "u128", |is_negative, number| {
            (!is_negative).then_some(number)
        })
    }
}

impl Encode for i128 {
    fn encode(&self, to: &mut Encoder) -> Result<()> {
        encode(to, *self < 0, (*self ^ (*self >> 127)).cast_unsigned())
    }
}

impl Decode for i128 {
    fn decode(from: &mut Decoder<'_>) -> Result<i128> {
        decode(from, "i128", |is_negative, number| {
            let number = i128::try_from(number).ok()?;
            Some(if is_negative { !number } else { number })
        })
    }
}
