//! What becomes of a key.

use super::Inner;
use super::batch::{Op, Put};
use super::writer::Writing;
use crate::error::Result;
use std::fmt;
use std::ops::Range;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// What becomes of a key, as [`Store::update`](crate::Store::update)'s closure decides.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Change {
    /// It stays as it is.
    Keep,
    /// It gets this value.
    Put(Vec<u8>),
    /// It gets this value, and is absent from then on.
    PutUntil(Vec<u8>, SystemTime),
    /// It is removed, if it is there.
    Remove,
}

/// Tells sizes, not content: values may be secrets.
impl fmt::Debug for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Change::Keep => f.write_str("Keep"),
            Change::Put(value) => write!(f, "Put({} bytes)", value.len()),
            Change::PutUntil(value, until) => {
                write!(f, "PutUntil({} bytes, {until:?})", value.len())
            }
            Change::Remove => f.write_str("Remove"),
        }
    }
}

/// A [`Change`] with all that a record can say.
pub(crate) enum Edit {
    Keep,
    Put {
        value: Vec<u8>,
        expires: Option<SystemTime>,
        cbor: bool,
    },
    Remove,
}

impl From<Change> for Edit {
    fn from(change: Change) -> Edit {
        match change {
            Change::Keep => Edit::Keep,
            Change::Put(value) => Edit::Put {
                value,
                expires: None,
                cbor: false,
            },
            Change::PutUntil(value, expires) => Edit::Put {
                value,
                expires: Some(expires),
                cbor: false,
            },
            Change::Remove => Edit::Remove,
        }
    }
}

/// A key between the look at it and what becomes of it.
pub(super) struct Editing<'a> {
    key: &'a [u8],
    fingerprint: u32,
    prev: u64,
    expires_ms: u64,
    record: Vec<u8>,
    /// Where in the record the value is.
    value: Option<Range<usize>>,
}

impl<'a> Editing<'a> {
    pub(super) fn start(
        store: &Inner,
        writing: &Writing<'_>,
        key: &'a [u8],
    ) -> Result<Editing<'a>> {
        let fingerprint = writing.generation.fingerprint(key);
        let found = writing.find(key, fingerprint)?;
        let head = found.as_ref().and_then(|found| found.head);
        let expires_ms = head.map_or(0, |head| head.expires_ms);
        let is_live = found
            .as_ref()
            .is_some_and(|found| found.head.is_none() || writing.is_live(found));
        let mut record = Vec::new();
        let value = match is_live {
            true => store.read(key, &mut record)?,
            false => None,
        };
        Ok(Editing {
            key,
            fingerprint,
            prev: found.map_or(0, |found| found.at.offset()),
            expires_ms,
            record,
            value,
        })
    }

    /// The value that the key has.
    pub(super) fn old(&self) -> Option<&[u8]> {
        self.value.clone().and_then(|value| self.record.get(value))
    }

    /// From when on it is absent.
    pub(super) fn expires(&self) -> Option<SystemTime> {
        (self.expires_ms != 0).then(|| UNIX_EPOCH + Duration::from_millis(self.expires_ms))
    }

    pub(super) fn finish(self, writing: &mut Writing<'_>, edit: Edit) -> Result<()> {
        let op = match &edit {
            Edit::Put {
                value,
                expires,
                cbor,
            } => Op::put(
                self.key,
                Put {
                    value,
                    expires: *expires,
                    cbor: *cbor,
                },
            ),
            Edit::Keep => return Ok(()),
            Edit::Remove if self.prev == 0 => return Ok(()),
            Edit::Remove => Op::remove(self.key),
        };
        op.check_limits()?;
        writing.append_one(op, self.fingerprint, self.prev)?;
        Ok(())
    }
}
