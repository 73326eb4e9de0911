//! A key with its value, as it was read from one record.

use super::batch::{expiry_at, expiry_ms};
use super::change::Old;
use super::format::{Head, record_bytes};
use super::generation::Generation;
use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A key, its value, and what the store knows of it.
#[derive(Clone)]
pub struct Entry {
    pub(crate) key: Vec<u8>,
    pub(crate) value: Vec<u8>,
    modified_ms: u64,
    /// 0: never.
    expires_ms: u64,
    is_cbor: bool,
    /// Which record this was read from, and in which reading of a file.
    pub(crate) reading: u64,
    pub(crate) offset: u64,
    pub(crate) fingerprint: u32,
}

impl Entry {
    /// From a record that verifies.
    pub(crate) fn new(
        generation: &Generation,
        offset: u64,
        head: &Head,
        key: &[u8],
        value: &[u8],
    ) -> Entry {
        Entry {
            key: key.to_vec(),
            value: value.to_vec(),
            modified_ms: head.modified_ms,
            expires_ms: head.expires_ms,
            is_cbor: head.is_cbor(),
            reading: generation.reading,
            offset,
            fingerprint: head.fingerprint,
        }
    }

    /// As [`new`](Entry::new), of what stands behind the head.
    pub(crate) fn of_body(
        generation: &Generation,
        offset: u64,
        head: &Head,
        body: &[u8],
    ) -> Option<Entry> {
        let (key, value) = head.key_and_value(body)?;
        Some(Entry::new(generation, offset, head, key, value))
    }

    /// From a map in memory, whose `nth` write it was.
    pub(crate) fn of_memory(
        key: Vec<u8>,
        value: Vec<u8>,
        expires: Option<SystemTime>,
        nth: u64,
    ) -> Entry {
        Entry {
            key,
            value,
            modified_ms: 0,
            expires_ms: expires.map_or(0, expiry_ms),
            is_cbor: false,
            reading: 0,
            offset: nth,
            fingerprint: 0,
        }
    }

    /// The key.
    pub fn key(&self) -> &[u8] {
        &self.key
    }

    /// The value.
    pub fn value(&self) -> &[u8] {
        &self.value
    }

    /// Key and value.
    pub fn into_pair(self) -> (Vec<u8>, Vec<u8>) {
        (self.key, self.value)
    }

    /// When it was written, by the writer's clock, to the millisecond; by a clock that reads earlier than the creation of
    /// the store, when that was.
    pub fn modified(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_millis(self.modified_ms)
    }

    /// From when on it is absent.
    pub fn expires(&self) -> Option<SystemTime> {
        expiry_at(self.expires_ms)
    }

    /// Whether the value is CBOR, by its writer's word.
    pub fn is_cbor(&self) -> bool {
        self.is_cbor
    }

    /// As what a closure is told that decides on the next value.
    pub(crate) fn as_old(&self) -> Old<'_> {
        Old {
            value: &self.value,
            expires: self.expires(),
            is_cbor: self.is_cbor,
        }
    }

    /// Whether a record of the same key is a copy of the one this was read from.
    pub(crate) fn is_same(&self, head: &Head) -> bool {
        let other = (head.modified_ms, head.expires_ms, head.is_cbor());
        (self.modified_ms, self.expires_ms, self.is_cbor) == other
    }

    /// How many bytes of the file it takes.
    pub fn size_bytes(&self) -> u64 {
        record_bytes(self.key.len(), self.value.len() as u64)
    }
}

/// Tells sizes, not content: keys and values may be secrets.
impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry")
            .field("size_bytes", &self.size_bytes())
            .finish_non_exhaustive()
    }
}
