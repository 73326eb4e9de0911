//! The first bytes of an item: its kind, and its length or number.

use std::fmt;

/// The first bytes of an item, understood: for strings and containers a length that is still to be proven.
#[derive(Clone, Copy)]
pub(in crate::value) enum Head {
    Unsigned(u64),
    Negative(u64),
    Bytes(u64),
    Text(u64),
    Array(u64),
    Map(u64),
    Tag(u64),
    Bool(bool),
    Null,
    Simple(u8),
    Float(f64),
}

impl Head {
    pub(super) fn kind(self) -> ValueKind {
        match self {
            Head::Unsigned(_) | Head::Negative(_) => ValueKind::Integer,
            Head::Bytes(_) => ValueKind::Bytes,
            Head::Text(_) => ValueKind::Text,
            Head::Array(_) => ValueKind::Array,
            Head::Map(_) => ValueKind::Map,
            Head::Tag(_) => ValueKind::Tag,
            Head::Bool(_) => ValueKind::Bool,
            Head::Null => ValueKind::Null,
            Head::Simple(_) => ValueKind::Simple,
            Head::Float(_) => ValueKind::Float,
        }
    }
}

/// The kind of the item that comes next, as [`Decoder::peek`](crate::Decoder::peek) tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ValueKind {
    /// Null.
    Null,
    /// True or false.
    Bool,
    /// An integer.
    Integer,
    /// A float.
    Float,
    /// A byte string.
    Bytes,
    /// A text string.
    Text,
    /// An array.
    Array,
    /// A map.
    Map,
    /// A tag and what it tags.
    Tag,
    /// A simple value that is not a bool or null.
    Simple,
}

/// With an article, as it stands in a sentence: "an integer", "text".
impl fmt::Display for ValueKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ValueKind::Null => "null",
            ValueKind::Bool => "a bool",
            ValueKind::Integer => "an integer",
            ValueKind::Float => "a float",
            ValueKind::Bytes => "bytes",
            ValueKind::Text => "text",
            ValueKind::Array => "an array",
            ValueKind::Map => "a map",
            ValueKind::Tag => "a tag",
            ValueKind::Simple => "a simple value",
        })
    }
}
