//! CBOR (RFC 8949) in its core deterministic form (section 4.2.1): one value, one sequence of bytes.
//!
//! [`Decoder`] reads the bytes that [`Encoder`] writes, and no others: every integer, length and float in its shortest
//! form, every length definite, every map sorted by the bytes of its encoded keys and without duplicates, every text
//! UTF-8, nothing nested deeper than 64 levels. So equal values are equal bytes, and a reader never meets a surprise.
//!
//! Two hazards shape the decoder. A length is only a claim: nothing is allocated from it, and it is compared with
//! the bytes that are there before anything else. And nesting is counted down, because recursion is the only thing
//! here that hostile bytes could drive.
#![deny(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::as_conversions
)]

mod decoder;
mod encoder;
mod head;

pub use decoder::Decoder;
pub use encoder::{Encoder, MapEncoder};
pub use head::ValueKind;

pub(super) use encoder::integer_beyond;
pub(super) use head::Head;

/// How many arrays, maps and tags may stand inside each other.
pub(super) const LEVELS: usize = 64;

const UNSIGNED: u8 = 0 << 5;
const NEGATIVE: u8 = 1 << 5;
const BYTES: u8 = 2 << 5;
const TEXT: u8 = 3 << 5;
const ARRAY: u8 = 4 << 5;
const MAP: u8 = 5 << 5;
const TAG: u8 = 6 << 5;
const SIMPLE: u8 = 7 << 5;

const FALSE: u8 = 20;
const TRUE: u8 = 21;
const NULL: u8 = 22;

fn length(len: usize) -> u64 {
    // No platform has a usize of more than 64 bits.
    u64::try_from(len).unwrap_or(u64::MAX)
}
