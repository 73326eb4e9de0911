//! The changes that a key may meet.

use super::batch::{NewValue, Op};
use std::fmt;
use std::time::SystemTime;

/// The next state of a key, as [`Store::update`](crate::Store::update)'s closure decides.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Change {
    /// It stays as it is.
    Keep,
    /// It gets this value.
    Put(Vec<u8>),
    /// It gets this value, and is absent from then on.
    PutUntil(Vec<u8>, SystemTime),
    /// It gets this value, marked as CBOR as by [`Batch::insert_cbor`](crate::Batch::insert_cbor).
    PutCbor(Vec<u8>),
    /// It gets this value, marked as CBOR, and is absent from then on.
    PutCborUntil(Vec<u8>, SystemTime),
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
            Change::PutCbor(value) => write!(f, "PutCbor({} bytes)", value.len()),
            Change::PutCborUntil(value, until) => {
                write!(f, "PutCborUntil({} bytes, {until:?})", value.len())
            }
            Change::Remove => f.write_str("Remove"),
        }
    }
}

/// The value that a key has, for the closure that decides on the next one.
#[derive(Clone, Copy)]
pub(crate) struct Old<'a> {
    pub(crate) value: &'a [u8],
    /// From when on readers do not see it.
    pub(crate) expires: Option<SystemTime>,
    pub(crate) is_cbor: bool,
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

impl Edit {
    /// The operation that makes it under a key; none where the key stays as it is.
    pub(crate) fn op<'a>(&'a self, key: &'a [u8]) -> Option<Op<'a>> {
        match self {
            Edit::Keep => None,
            Edit::Put {
                value,
                expires,
                cbor,
            } => Some(Op::put(
                key,
                NewValue {
                    value,
                    expires: *expires,
                    cbor: *cbor,
                },
            )),
            Edit::Remove => Some(Op::remove(key)),
        }
    }
}

impl From<Change> for Edit {
    fn from(change: Change) -> Edit {
        let (value, expires, cbor) = match change {
            Change::Keep => return Edit::Keep,
            Change::Remove => return Edit::Remove,
            Change::Put(value) => (value, None, false),
            Change::PutUntil(value, expires) => (value, Some(expires), false),
            Change::PutCbor(value) => (value, None, true),
            Change::PutCborUntil(value, expires) => (value, Some(expires), true),
        };
        Edit::Put {
            value,
            expires,
            cbor,
        }
    }
}
