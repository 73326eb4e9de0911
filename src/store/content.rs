//! One figure of what a store holds, whatever its file looks like.

use super::checksum::xxh64;
use super::entry::Entry;
use super::iter::Entries;
use crate::error::Result;

/// Entries are added up, so that their order does not count; in 128 bits, so that two stores share a figure about once
/// in 10^38 pairs.
pub(crate) fn hash(entries: Entries) -> Result<u128> {
    let mut sum = 0_u128;
    let mut bytes = Vec::new();
    for entry in entries {
        let entry = entry?;
        encode(&entry, &mut bytes);
        sum = sum.wrapping_add(both_halves(&bytes));
    }
    // Hashed once more: the empty store has a figure as well, and that of a store with one entry is not the entry's.
    Ok(both_halves(&sum.to_le_bytes()))
}

fn both_halves(bytes: &[u8]) -> u128 {
    u128::from(xxh64(bytes, 0)) << 64 | u128::from(xxh64(bytes, 1))
}

/// The content of an entry: not when it was written, nor where it stands.
fn encode(entry: &Entry, bytes: &mut Vec<u8>) {
    let (key, value) = (entry.key(), entry.value());
    bytes.clear();
    bytes.extend_from_slice(&(key.len() as u64).to_le_bytes());
    bytes.extend_from_slice(key);
    bytes.push(u8::from(entry.is_cbor()));
    let expires = entry.expires();
    bytes.extend_from_slice(&expires.map_or(0, super::batch::unix_ms).to_le_bytes());
    bytes.extend_from_slice(value);
}
