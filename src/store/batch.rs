//! Several changes that happen together.

use super::format::{CBOR, KEY_MAX, Kind, RECORD_MAX, record_bytes};
use crate::error::{Error, Result};
use std::ops::Range;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Changes that [`Store::write`](crate::Store::write) makes all together or not at all. Of several for one key the
/// last counts.
///
/// ```
/// # fn main() -> shelflife::Result<()> {
/// # let dir = tempfile::tempdir().unwrap();
/// # let store = shelflife::Store::open(dir.path().join("s.shelf"))?;
/// let mut batch = shelflife::Batch::new();
/// batch.insert("new name", "ann").remove("old name");
/// store.write(&batch)?;
/// # Ok(()) }
/// ```
#[derive(Clone, Default)]
pub struct Batch {
    /// Keys and values, one after another, so that a change costs no allocation of its own.
    bytes: Vec<u8>,
    changes: Vec<Packed>,
}

#[derive(Debug, Clone)]
struct Packed {
    kind: Kind,
    flags: u8,
    expires_ms: u64,
    start: usize,
    key_len: usize,
    value_len: usize,
}

/// A value on its way into the store.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NewValue<'a> {
    pub(crate) value: &'a [u8],
    pub(crate) expires: Option<SystemTime>,
    pub(crate) cbor: bool,
}

impl<'a> NewValue<'a> {
    /// Bytes that stay.
    pub(crate) fn plain(value: &'a [u8]) -> NewValue<'a> {
        NewValue {
            value,
            expires: None,
            cbor: false,
        }
    }
}

/// One change, as the writer takes it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Op<'a> {
    pub(crate) kind: Kind,
    pub(crate) flags: u8,
    pub(crate) expires_ms: u64,
    pub(crate) key: &'a [u8],
    pub(crate) value: &'a [u8],
}

impl<'a> Op<'a> {
    pub(crate) fn put(key: &'a [u8], put: NewValue<'a>) -> Op<'a> {
        let flags = if put.cbor { CBOR } else { 0 };
        Op {
            kind: Kind::Put,
            flags,
            expires_ms: put.expires.map_or(0, expiry_ms),
            key,
            value: put.value,
        }
    }

    pub(crate) fn remove(key: &'a [u8]) -> Op<'a> {
        Op::bare(Kind::Delete, key)
    }

    /// Without a value.
    pub(crate) fn bare(kind: Kind, key: &'a [u8]) -> Op<'a> {
        Op {
            kind,
            flags: 0,
            expires_ms: 0,
            key,
            value: &[],
        }
    }

    /// Fails before anything is written, so that what was there stays.
    pub(crate) fn check_limits(&self) -> Result<()> {
        if self.key.len() > KEY_MAX {
            let bytes = self.key.len();
            let what = format!("a key of {bytes} bytes is over the limit of {KEY_MAX}");
            return Err(Error::too_large(what, "give it a shorter one"));
        }
        let bytes = record_bytes(self.key.len(), self.value.len() as u64);
        if bytes > RECORD_MAX {
            let what = format!("a record of {bytes} bytes is over the limit of {RECORD_MAX}");
            return Err(Error::too_large(what, "split the value among several keys"));
        }
        Ok(())
    }
}

/// ms since 1970, rounded down, as records hold it.
pub(crate) fn unix_ms(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| {
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    })
}

/// As [`unix_ms`], but never the 0 that means "never".
pub(crate) fn expiry_ms(time: SystemTime) -> u64 {
    unix_ms(time).max(1)
}

/// The time that a record holds as [`expiry_ms`].
pub(crate) fn expiry_at(expires_ms: u64) -> Option<SystemTime> {
    (expires_ms != 0).then(|| UNIX_EPOCH + Duration::from_millis(expires_ms))
}

impl Batch {
    /// An empty batch.
    pub fn new() -> Batch {
        Batch::default()
    }

    /// Sets the value of a key.
    pub fn insert(&mut self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> &mut Batch {
        self.put(key.as_ref(), NewValue::plain(value.as_ref()))
    }

    /// As [`insert`](Batch::insert), of a value that is CBOR (RFC 8949), so that tools can show it.
    pub fn insert_cbor(&mut self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> &mut Batch {
        let (plain, cbor) = (NewValue::plain(value.as_ref()), true);
        self.put(key.as_ref(), NewValue { cbor, ..plain })
    }

    /// As [`insert`](Batch::insert), until a time from which on the key is absent.
    pub fn insert_until(
        &mut self,
        key: impl AsRef<[u8]>,
        value: impl AsRef<[u8]>,
        expires: SystemTime,
    ) -> &mut Batch {
        let (plain, expires) = (NewValue::plain(value.as_ref()), Some(expires));
        self.put(key.as_ref(), NewValue { expires, ..plain })
    }

    /// As [`insert_cbor`](Batch::insert_cbor), until a time from which on the key is absent.
    pub fn insert_cbor_until(
        &mut self,
        key: impl AsRef<[u8]>,
        value: impl AsRef<[u8]>,
        expires: SystemTime,
    ) -> &mut Batch {
        let put = NewValue {
            value: value.as_ref(),
            expires: Some(expires),
            cbor: true,
        };
        self.put(key.as_ref(), put)
    }

    /// Removes a key, if it is there.
    pub fn remove(&mut self, key: impl AsRef<[u8]>) -> &mut Batch {
        self.push(Op::remove(key.as_ref()))
    }

    /// How many changes there are.
    pub fn len(&self) -> usize {
        self.changes.len()
    }

    /// Whether no change was added.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    pub(crate) fn put(&mut self, key: &[u8], put: NewValue<'_>) -> &mut Batch {
        self.push(Op::put(key, put))
    }

    pub(crate) fn push(&mut self, op: Op<'_>) -> &mut Batch {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(op.key);
        self.bytes.extend_from_slice(op.value);
        self.changes.push(Packed {
            kind: op.kind,
            flags: op.flags,
            expires_ms: op.expires_ms,
            start,
            key_len: op.key.len(),
            value_len: op.value.len(),
        });
        self
    }

    pub(crate) fn ops(&self) -> impl Iterator<Item = Op<'_>> {
        let bytes = |range: Range<usize>| self.bytes.get(range).unwrap_or_default();
        self.changes.iter().map(move |change| {
            let value_at = change.start + change.key_len;
            Op {
                kind: change.kind,
                flags: change.flags,
                expires_ms: change.expires_ms,
                key: bytes(change.start..value_at),
                value: bytes(value_at..value_at + change.value_len),
            }
        })
    }
}

/// Tells the size, not the content: keys may be secrets.
impl std::fmt::Debug for Batch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Batch")
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}
