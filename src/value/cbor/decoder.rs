//! From bytes to values.

use std::fmt;

use super::{
    ARRAY, BYTES, FALSE, LEVELS, MAP, NEGATIVE, NULL, SIMPLE, TEXT, TRUE, UNSIGNED, length,
};
use crate::error::{Error, ErrorKind, Result};
use crate::value::Decode;
use crate::value::float::Shortest;

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
    fn name(self) -> &'static str {
        match self {
            Head::Unsigned(_) | Head::Negative(_) => "an integer",
            Head::Bytes(_) => "bytes",
            Head::Text(_) => "text",
            Head::Array(_) => "an array",
            Head::Map(_) => "a map",
            Head::Tag(_) => "a tag",
            Head::Bool(_) => "a bool",
            Head::Null => "null",
            Head::Simple(_) => "a simple value",
            Head::Float(_) => "a float",
        }
    }
}

/// Reads one value from CBOR; what a [`Decode`] gets to read from.
///
/// Each method reads one item and fails with [`ErrorKind::Decode`] if it is of another type or not in deterministic
/// form. An error tells what was expected at which byte, never what is there.
///
/// ```
/// use shelflife::{Decode, Decoder, Result, from_cbor};
///
/// #[derive(Debug, PartialEq)]
/// enum Level { Low, High }
///
/// impl Decode for Level {
///     fn decode(from: &mut Decoder<'_>) -> Result<Level> {
///         match from.text()? {
///             "low" => Ok(Level::Low),
///             "high" => Ok(Level::High),
///             _ => Err(from.expected("a level")),
///         }
///     }
/// }
/// assert_eq!(from_cbor::<Level>(b"\x64high")?, Level::High);
/// let error = from_cbor::<Vec<Level>>(b"\x82\x64high\x63mid").unwrap_err();
/// assert!(error.to_string().starts_with("expected a level at byte 6"));
/// # Ok::<(), shelflife::Error>(())
/// ```
pub struct Decoder<'a> {
    rest: &'a [u8],
    size_bytes: usize,
    /// Where the item began that was read last.
    start: usize,
    levels: usize,
}

impl<'a> Decoder<'a> {
    pub(in crate::value) fn value<T: Decode>(bytes: &'a [u8]) -> Result<T> {
        let mut from = Decoder {
            rest: bytes,
            size_bytes: bytes.len(),
            start: 0,
            levels: LEVELS,
        };
        let value = T::decode(&mut from)?;
        if from.rest.is_empty() {
            Ok(value)
        } else {
            from.start = from.offset();
            Err(from.malformed("bytes after the end of the value"))
        }
    }

    /// Reads null.
    pub fn null(&mut self) -> Result<()> {
        match self.head()? {
            Head::Null => Ok(()),
            other => Err(self.mismatch("null", other)),
        }
    }

    /// Whether null comes next; reads nothing.
    pub fn is_null(&self) -> bool {
        self.rest.first() == Some(&(SIMPLE | NULL))
    }

    /// Reads true or false.
    pub fn bool(&mut self) -> Result<bool> {
        match self.head()? {
            Head::Bool(value) => Ok(value),
            other => Err(self.mismatch("a bool", other)),
        }
    }

    /// Reads an integer, of those between -2^64 and 2^64 - 1.
    pub fn integer(&mut self) -> Result<i128> {
        match self.head()? {
            Head::Unsigned(number) => Ok(i128::from(number)),
            Head::Negative(number) => Ok(!i128::from(number)),
            other => Err(self.mismatch("an integer", other)),
        }
    }

    /// Reads a float. An integer is not one.
    pub fn float(&mut self) -> Result<f64> {
        match self.head()? {
            Head::Float(value) => Ok(value),
            other => Err(self.mismatch("a float", other)),
        }
    }

    /// Reads a byte string, without copying it.
    pub fn bytes(&mut self) -> Result<&'a [u8]> {
        match self.head()? {
            Head::Bytes(len) => self.bytes_of(len),
            other => Err(self.mismatch("bytes", other)),
        }
    }

    /// Reads a text string, without copying it.
    pub fn text(&mut self) -> Result<&'a str> {
        match self.head()? {
            Head::Text(len) => self.text_of(len),
            other => Err(self.mismatch("text", other)),
        }
    }

    /// Reads an array of any length; `item` is called once for each item and reads it.
    pub fn array(&mut self, item: impl FnMut(&mut Self) -> Result<()>) -> Result<()> {
        match self.head()? {
            Head::Array(len) => self.items_of(len, item),
            other => Err(self.mismatch("an array", other)),
        }
    }

    /// Reads an array of exactly `len` items, all of which `read` reads.
    pub fn tuple<T>(&mut self, len: usize, read: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        match self.head()? {
            Head::Array(found) if found == length(len) => self.deeper(read),
            Head::Array(_) => Err(self.expected(&format!("an array of {len}"))),
            other => Err(self.mismatch("an array", other)),
        }
    }

    /// Reads a map: for each entry `key` reads the key and `value`, which is given the key, the value.
    ///
    /// ```
    /// use shelflife::{Decode, Decoder, Result, from_cbor};
    ///
    /// struct Longest(String);
    ///
    /// impl Decode for Longest {
    ///     fn decode(from: &mut Decoder<'_>) -> Result<Longest> {
    ///         let mut longest = "";
    ///         from.map(Decoder::text, |from, key| {
    ///             if key.len() > longest.len() {
    ///                 longest = key;
    ///             }
    ///             from.skip()
    ///         })?;
    ///         Ok(Longest(longest.to_owned()))
    ///     }
    /// }
    /// assert_eq!(from_cbor::<Longest>(b"\xA2\x61a\x01\x62bb\x02")?.0, "bb");
    /// # Ok::<(), shelflife::Error>(())
    /// ```
    pub fn map<K>(
        &mut self,
        key: impl FnMut(&mut Self) -> Result<K>,
        value: impl FnMut(&mut Self, K) -> Result<()>,
    ) -> Result<()> {
        match self.head()? {
            Head::Map(len) => self.entries_of(len, key, value),
            other => Err(self.mismatch("a map", other)),
        }
    }

    /// Reads the tag `number` and its content, one item, which `content` reads.
    pub fn tag<T>(
        &mut self,
        number: u64,
        content: impl FnOnce(&mut Self) -> Result<T>,
    ) -> Result<T> {
        match self.head()? {
            Head::Tag(found) if found == number => self.deeper(content),
            other => Err(self.mismatch(&format!("tag {number}"), other)),
        }
    }

    /// Reads an item of any type and drops it, checked as strictly as if it had been wanted.
    pub fn skip(&mut self) -> Result<()> {
        match self.head()? {
            Head::Bytes(len) => self.bytes_of(len).map(drop),
            Head::Text(len) => self.text_of(len).map(drop),
            Head::Array(len) => self.items_of(len, Self::skip),
            Head::Map(len) => self.entries_of(len, Self::skip, |from, ()| from.skip()),
            Head::Tag(_) => self.deeper(Self::skip),
            Head::Unsigned(_)
            | Head::Negative(_)
            | Head::Bool(_)
            | Head::Null
            | Head::Simple(_)
            | Head::Float(_) => Ok(()),
        }
    }

    /// Reads an item of any type as its bytes, checked as strictly as if it had been wanted.
    pub(crate) fn raw(&mut self) -> Result<&'a [u8]> {
        let before = self.rest;
        self.skip()?;
        let size_bytes = before.len().saturating_sub(self.rest.len());
        Ok(before.get(..size_bytes).unwrap_or_default())
    }

    /// The error to return if the item that was read last is of the right type, but not what is wanted:
    /// "expected `what` at byte `n`".
    pub fn expected(&self, what: &str) -> Error {
        mistyped(format!("expected {what} at byte {}", self.start))
    }

    /// The key of a field of a [`record!`](crate::record): its name, which `r#` is no part of.
    #[doc(hidden)]
    pub const fn field_name(identifier: &'static str) -> &'static str {
        if let [b'r', b'#', name @ ..] = identifier.as_bytes()
            && let Ok(name) = std::str::from_utf8(name)
        {
            return name;
        }
        identifier
    }

    /// The error for a field of a [`record!`](crate::record) that the map just read does not have.
    #[doc(hidden)]
    pub fn missing(&self, field: &str) -> Error {
        Error::new(
            ErrorKind::Decode,
            format!(
                "expected a field `{field}` in the map that ends at byte {}",
                self.offset()
            ),
        )
        .advise("give the field a default if older values lack it")
    }

    pub(in crate::value) fn head(&mut self) -> Result<Head> {
        self.start = self.offset();
        let [initial] = self.take()?;
        let (major, info) = (initial & 0xE0, initial & 0x1F);
        if major == SIMPLE {
            return self.simple_or_float(info);
        }
        // The least number that may stand in this many bytes; fewer would do for a smaller one.
        let (number, least) = match info {
            number @ 0..24 => (u64::from(number), 0),
            24 => (u64::from(u8::from_be_bytes(self.take()?)), 24),
            25 => (u64::from(u16::from_be_bytes(self.take()?)), 1 << 8),
            26 => (u64::from(u32::from_be_bytes(self.take()?)), 1 << 16),
            27 => (u64::from_be_bytes(self.take()?), 1 << 32),
            31 => return Err(self.malformed("an indefinite length")),
            _ => return Err(self.malformed("a reserved number")),
        };
        if number < least {
            return Err(self.malformed("a number that is not in its shortest form"));
        }
        Ok(match major {
            UNSIGNED => Head::Unsigned(number),
            NEGATIVE => Head::Negative(number),
            BYTES => Head::Bytes(number),
            TEXT => Head::Text(number),
            ARRAY => Head::Array(number),
            MAP => Head::Map(number),
            _ => Head::Tag(number),
        })
    }

    fn simple_or_float(&mut self, info: u8) -> Result<Head> {
        let read = match info {
            FALSE => return Ok(Head::Bool(false)),
            TRUE => return Ok(Head::Bool(true)),
            NULL => return Ok(Head::Null),
            0..24 => return Ok(Head::Simple(info)),
            24 => match self.take()? {
                [number] if number >= 32 => return Ok(Head::Simple(number)),
                _ => return Err(self.malformed("a simple value that does not exist")),
            },
            25 => Shortest::Half(u16::from_be_bytes(self.take()?)),
            26 => Shortest::Single(u32::from_be_bytes(self.take()?)),
            27 => Shortest::Double(u64::from_be_bytes(self.take()?)),
            31 => return Err(self.malformed("the end of an indefinite length")),
            _ => return Err(self.malformed("a reserved number")),
        };
        let value = read.value();
        if Shortest::of(value) == read {
            Ok(Head::Float(value))
        } else {
            Err(self.malformed("a float that is not in its shortest form"))
        }
    }

    pub(in crate::value) fn bytes_of(&mut self, len: u64) -> Result<&'a [u8]> {
        let (bytes, rest) = usize::try_from(len)
            .ok()
            .and_then(|len| self.rest.split_at_checked(len))
            .ok_or_else(|| self.cut_short())?;
        self.rest = rest;
        Ok(bytes)
    }

    pub(in crate::value) fn text_of(&mut self, len: u64) -> Result<&'a str> {
        let bytes = self.bytes_of(len)?;
        std::str::from_utf8(bytes).map_err(|_| self.malformed("text that is not UTF-8"))
    }

    pub(in crate::value) fn items_of(
        &mut self,
        len: u64,
        mut item: impl FnMut(&mut Self) -> Result<()>,
    ) -> Result<()> {
        self.plausible(len)?;
        self.deeper(|from| (0..len).try_for_each(|_| item(from)))
    }

    pub(in crate::value) fn entries_of<K>(
        &mut self,
        len: u64,
        mut key: impl FnMut(&mut Self) -> Result<K>,
        mut value: impl FnMut(&mut Self, K) -> Result<()>,
    ) -> Result<()> {
        self.plausible(len)?;
        self.deeper(|from| {
            let mut previous: &[u8] = &[];
            for _ in 0..len {
                let (before, start) = (from.rest, from.offset());
                let found = key(from)?;
                let size_bytes = before.len().saturating_sub(from.rest.len());
                let encoded = before.get(..size_bytes).unwrap_or_default();
                if previous >= encoded {
                    from.start = start;
                    return Err(from.malformed("a key that repeats or is out of order"));
                }
                previous = encoded;
                value(from, found)?;
            }
            Ok(())
        })
    }

    pub(in crate::value) fn deeper<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T>,
    ) -> Result<T> {
        let outer = self.levels;
        self.levels = outer
            .checked_sub(1)
            .ok_or_else(|| self.malformed("nesting deeper than 64 levels"))?;
        let value = read(self)?;
        self.levels = outer;
        Ok(value)
    }

    /// Refuses a count of more items than there are bytes, so that no claim can keep a loop busy.
    fn plausible(&self, len: u64) -> Result<()> {
        if len > length(self.rest.len()) {
            return Err(self.cut_short());
        }
        Ok(())
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N]> {
        let (bytes, rest) = self
            .rest
            .split_first_chunk()
            .ok_or_else(|| self.cut_short())?;
        self.rest = rest;
        Ok(*bytes)
    }

    fn offset(&self) -> usize {
        self.size_bytes.saturating_sub(self.rest.len())
    }

    #[cold]
    fn mismatch(&self, expected: &str, found: Head) -> Error {
        let (start, found) = (self.start, found.name());
        mistyped(format!(
            "expected {expected} at byte {start}, found {found}"
        ))
    }

    #[cold]
    fn cut_short(&self) -> Error {
        self.malformed("an item that the value ends within")
    }

    #[cold]
    fn malformed(&self, what: &str) -> Error {
        Error::new(
            ErrorKind::Decode,
            format!("found {what} at byte {}", self.start),
        )
        .advise("only deterministic CBOR (RFC 8949, 4.2.1) can be decoded")
    }
}

/// Only how much there is, not what.
impl fmt::Debug for Decoder<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decoder")
            .field("offset", &self.offset())
            .field("size_bytes", &self.size_bytes)
            .finish_non_exhaustive()
    }
}

fn mistyped(what: String) -> Error {
    Error::new(ErrorKind::Decode, what)
        .advise("decode it as the type that it was encoded from, or as a `Value`")
}
