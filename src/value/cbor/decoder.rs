//! From bytes to values.

mod fields;

use std::fmt;

use super::head::{Head, ValueKind};
use super::{
    ARRAY, BYTES, FALSE, LEVELS, MAP, NEGATIVE, NULL, SIMPLE, TAG, TEXT, TRUE, UNSIGNED, length,
};
use crate::error::{Error, Result};
use crate::value::Decode;
use crate::value::float::Shortest;

/// Reads one value from CBOR; what a [`Decode`] gets to read from.
///
/// Each method reads one item and fails with [`ErrorKind::Decode`](crate::ErrorKind::Decode) if it is of another type
/// or not in deterministic form. An error tells where in the value what was expected and which kind of item was found,
/// never its content.
///
/// A read that fails consumes nothing, so that the same item can be read as something else: by
/// `u64::decode(from).or_else(|_| ...)`, or after a look at its kind with [`peek`](Decoder::peek).
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
/// assert!(error.to_string().starts_with("`[1]`: expected a level at byte 6"));
/// # Ok::<(), shelflife::Error>(())
/// ```
pub struct Decoder<'a> {
    rest: &'a [u8],
    size_bytes: usize,
    /// The bytes from the item that was read last to the end.
    before: &'a [u8],
    levels: usize,
    /// How many pointers were followed, and how much was left.
    pointers: (usize, usize),
    /// How much more memory a [`Value`](crate::Value) may take.
    memory_bytes: usize,
}

impl<'a> Decoder<'a> {
    pub(in crate::value) fn value<T: Decode>(bytes: &'a [u8], memory_bytes: usize) -> Result<T> {
        let mut from = Decoder {
            rest: bytes,
            size_bytes: bytes.len(),
            before: bytes,
            levels: LEVELS,
            pointers: (0, 0),
            memory_bytes,
        };
        let value = T::decode(&mut from)?;
        if from.rest.is_empty() {
            Ok(value)
        } else {
            from.before = from.rest;
            Err(from.malformed("bytes after the end of the value"))
        }
    }

    /// Reads null.
    pub fn null(&mut self) -> Result<()> {
        self.item(|from| match from.head()? {
            Head::Null => Ok(()),
            other => Err(from.mismatch("null", other)),
        })
    }

    /// Whether null comes next; reads nothing.
    pub fn is_null(&self) -> bool {
        self.rest.first() == Some(&(SIMPLE | NULL))
    }

    /// The kind of the item that comes next, by its first byte; reads nothing. `None` at the end, and where no item can
    /// begin with that byte.
    ///
    /// ```
    /// use shelflife::{Decode, Decoder, Result, ValueKind, from_cbor};
    ///
    /// /// Once a list, in older versions a single name.
    /// struct Names(Vec<String>);
    ///
    /// impl Decode for Names {
    ///     fn decode(from: &mut Decoder<'_>) -> Result<Names> {
    ///         match from.peek() {
    ///             Some(ValueKind::Text) => Ok(Names(vec![String::decode(from)?])),
    ///             _ => Ok(Names(Vec::decode(from)?)),
    ///         }
    ///     }
    /// }
    /// assert_eq!(from_cbor::<Names>(b"\x63ann")?.0, ["ann"]);
    /// # Ok::<(), shelflife::Error>(())
    /// ```
    pub fn peek(&self) -> Option<ValueKind> {
        let initial = *self.rest.first()?;
        let (major, info) = (initial & 0xE0, initial & 0x1F);
        if info > 27 {
            return None;
        }
        Some(match (major, info) {
            (UNSIGNED | NEGATIVE, _) => ValueKind::Integer,
            (BYTES, _) => ValueKind::Bytes,
            (TEXT, _) => ValueKind::Text,
            (ARRAY, _) => ValueKind::Array,
            (MAP, _) => ValueKind::Map,
            (TAG, _) => ValueKind::Tag,
            (_, FALSE | TRUE) => ValueKind::Bool,
            (_, NULL) => ValueKind::Null,
            (_, 25..) => ValueKind::Float,
            _ => ValueKind::Simple,
        })
    }

    /// The number of the tag that comes next, if one does; reads nothing.
    pub(in crate::value) fn next_tag(&self) -> Option<u64> {
        match self.ahead().head() {
            Ok(Head::Tag(number)) => Some(number),
            _ => None,
        }
    }

    /// How many items the array has that comes next, if one does; reads nothing.
    pub(in crate::value) fn next_array(&self) -> Option<u64> {
        match self.ahead().head() {
            Ok(Head::Array(len)) => Some(len),
            _ => None,
        }
    }

    fn ahead(&self) -> Decoder<'a> {
        Decoder { ..*self }
    }

    /// Reads true or false.
    #[inline]
    pub fn bool(&mut self) -> Result<bool> {
        self.item(|from| match from.head()? {
            Head::Bool(value) => Ok(value),
            other => Err(from.mismatch("a bool", other)),
        })
    }

    /// Reads an integer, of those between -2^64 and 2^64 - 1. A float is none, whatever its value.
    #[inline]
    pub fn integer(&mut self) -> Result<i128> {
        self.item(|from| match from.head()? {
            Head::Unsigned(number) => Ok(i128::from(number)),
            Head::Negative(number) => Ok(!i128::from(number)),
            other => Err(from.mismatch("an integer", other)),
        })
    }

    /// Reads a float, or an integer that a float holds exactly: other programs write 3.0 as 3.
    #[inline]
    pub fn float(&mut self) -> Result<f64> {
        self.item(|from| {
            let exact = match from.head()? {
                Head::Float(value) => return Ok(value),
                Head::Unsigned(number) => float_of(number),
                // -1 - number, which is beyond what a float holds exactly just when its magnitude is.
                Head::Negative(number) => match number.checked_add(1) {
                    Some(magnitude) => float_of(magnitude).map(|magnitude| -magnitude),
                    None => Some(-18_446_744_073_709_551_616.0),
                },
                other => return Err(from.mismatch("a float", other)),
            };
            exact.ok_or_else(|| from.expected("an integer that a float holds exactly"))
        })
    }

    /// Reads a byte string, without copying it.
    #[inline]
    pub fn bytes(&mut self) -> Result<&'a [u8]> {
        self.item(|from| match from.head()? {
            Head::Bytes(len) => from.bytes_of(len),
            other => Err(from.mismatch("bytes", other)),
        })
    }

    /// Reads a text string, without copying it.
    #[inline]
    pub fn text(&mut self) -> Result<&'a str> {
        self.item(|from| match from.head()? {
            Head::Text(len) => from.text_of(len),
            other => Err(from.mismatch("text", other)),
        })
    }

    /// Reads an array of any length; `item` is called once for each item and reads it.
    #[inline]
    pub fn array(&mut self, item: impl FnMut(&mut Self) -> Result<()>) -> Result<()> {
        self.item(|from| match from.head()? {
            Head::Array(len) => from.items_of(len, item),
            other => Err(from.mismatch("an array", other)),
        })
    }

    /// Reads an array of exactly `len` items, all of which `read` reads.
    #[inline]
    pub fn tuple<T>(&mut self, len: usize, read: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        self.item(|from| match from.head()? {
            Head::Array(found) if found == length(len) => from.deeper(read),
            Head::Array(found) => {
                Err(from.expected(&format!("an array of {len}, not of {found},")))
            }
            other => Err(from.mismatch("an array", other)),
        })
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
        self.item(|from| match from.head()? {
            Head::Map(len) => from.entries_of(len, key, value),
            other => Err(from.mismatch("a map", other)),
        })
    }

    /// Reads the tag `number` and its content, one item, which `content` reads.
    pub fn tag<T>(
        &mut self,
        number: u64,
        content: impl FnOnce(&mut Self) -> Result<T>,
    ) -> Result<T> {
        self.item(|from| match from.head()? {
            Head::Tag(found) if found == number => from.deeper(content),
            other => Err(from.mismatch(&format!("tag {number}"), other)),
        })
    }

    /// Reads an item of any type and drops it, checked as strictly as if it had been wanted.
    pub fn skip(&mut self) -> Result<()> {
        self.item(|from| match from.head()? {
            Head::Bytes(len) => from.bytes_of(len).map(drop),
            Head::Text(len) => from.text_of(len).map(drop),
            Head::Array(len) => from.items_of(len, Self::skip),
            Head::Map(len) => from.entries_of(len, Self::skip, |from, ()| from.skip()),
            Head::Tag(_) => from.deeper(Self::skip),
            Head::Unsigned(_)
            | Head::Negative(_)
            | Head::Bool(_)
            | Head::Null
            | Head::Simple(_)
            | Head::Float(_) => Ok(()),
        })
    }

    /// Reads an item of any type as its bytes, checked as strictly as if it had been wanted.
    pub(crate) fn raw(&mut self) -> Result<&'a [u8]> {
        let before = self.rest;
        self.skip()?;
        let size_bytes = before.len().saturating_sub(self.rest.len());
        Ok(before.get(..size_bytes).unwrap_or_default())
    }

    /// Reads what a pointer points to. Types that contain themselves do so by pointers, and may read no array or map
    /// on the way: so pointers count as levels as long as nothing is read between them.
    pub(in crate::value) fn pointer<T: Decode>(&mut self) -> Result<T> {
        let outer = self.pointers;
        let left = self.rest.len();
        self.pointers = match outer {
            (LEVELS.., before) if before == left => return Err(self.too_deep()),
            (count, before) if before == left => (count.saturating_add(1), left),
            _ => (1, left),
        };
        let read = T::decode(self);
        self.pointers = outer;
        read
    }

    /// The error to return if the item that was read last is of the right type, but not what is wanted:
    /// "expected `what` at byte `n`". The item is then as if it had not been read.
    pub fn expected(&mut self, what: &str) -> Error {
        self.rest = self.before;
        mistyped(format!("expected {what} at byte {}", self.start()))
    }

    /// Runs what reads one item. If that fails, nothing was read, so that the item can be read as something else.
    #[inline]
    pub(in crate::value) fn item<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T>,
    ) -> Result<T> {
        let (start, levels, memory_bytes) = (self.rest, self.levels, self.memory_bytes);
        let item = read(self);
        if item.is_err() {
            self.rest = start;
            self.levels = levels;
            self.memory_bytes = memory_bytes;
        }
        self.before = start;
        item
    }

    #[inline]
    pub(in crate::value) fn head(&mut self) -> Result<Head> {
        self.before = self.rest;
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

    #[inline]
    pub(in crate::value) fn bytes_of(&mut self, len: u64) -> Result<&'a [u8]> {
        let (bytes, rest) = usize::try_from(len)
            .ok()
            .and_then(|len| self.rest.split_at_checked(len))
            .ok_or_else(|| self.cut_short())?;
        self.rest = rest;
        Ok(bytes)
    }

    #[inline]
    pub(in crate::value) fn text_of(&mut self, len: u64) -> Result<&'a str> {
        let bytes = self.bytes_of(len)?;
        self.utf8(bytes)
    }

    fn utf8(&self, bytes: &'a [u8]) -> Result<&'a str> {
        std::str::from_utf8(bytes).map_err(|_| self.malformed("text that is not UTF-8"))
    }

    pub(in crate::value) fn items_of(
        &mut self,
        len: u64,
        mut item: impl FnMut(&mut Self) -> Result<()>,
    ) -> Result<()> {
        self.plausible(len)?;
        self.deeper(|from| {
            (0..len).try_for_each(|place| {
                item(from).map_err(|error| error.within(format_args!("[{place}]")))
            })
        })
    }

    pub(in crate::value) fn entries_of<K>(
        &mut self,
        len: u64,
        mut key: impl FnMut(&mut Self) -> Result<K>,
        mut value: impl FnMut(&mut Self, K) -> Result<()>,
    ) -> Result<()> {
        let mut place: u64 = 0;
        self.ordered(len, |from, sorted| {
            // The key itself is data, which an error does not show.
            let found = key(from).map_err(|error| error.within(format_args!("[key {place}]")))?;
            sorted.follows(from, "a key", DETERMINISTIC)?;
            value(from, found).map_err(|error| error.within(format_args!("[entry {place}]")))?;
            place = place.saturating_add(1);
            Ok(())
        })
    }

    /// Reads an array whose items stand in the order of their bytes, none of them twice.
    pub(in crate::value) fn set<T: Decode>(
        &mut self,
        mut insert: impl FnMut(T) -> bool,
    ) -> Result<()> {
        self.item(|from| {
            let len = match from.head()? {
                Head::Array(len) => len,
                other => return Err(from.mismatch("an array", other)),
            };
            let mut place: u64 = 0;
            from.ordered(len, |from, sorted| {
                let item =
                    T::decode(from).map_err(|error| error.within(format_args!("[{place}]")))?;
                sorted.follows(from, "an item of a set", SORTED)?;
                if !insert(item) {
                    return Err(from.expected("an item that the set does not have yet"));
                }
                place = place.saturating_add(1);
                Ok(())
            })
        })
    }

    /// Calls `read` for each of `len` entries; once it has read what they are sorted by it asks [`Sorted::follows`].
    fn ordered(
        &mut self,
        len: u64,
        mut read: impl FnMut(&mut Self, &mut Sorted<'a>) -> Result<()>,
    ) -> Result<()> {
        self.plausible(len)?;
        self.deeper(|from| {
            let mut sorted = Sorted {
                previous: &[],
                start: from.rest,
            };
            for _ in 0..len {
                sorted.start = from.rest;
                read(from, &mut sorted)?;
            }
            Ok(())
        })
    }

    #[inline]
    pub(in crate::value) fn deeper<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T>,
    ) -> Result<T> {
        let outer = self.levels;
        self.enter()?;
        let value = read(self)?;
        self.levels = outer;
        Ok(value)
    }

    #[inline]
    fn enter(&mut self) -> Result<()> {
        match self.levels.checked_sub(1) {
            Some(inner) => {
                self.levels = inner;
                Ok(())
            }
            None => Err(self.too_deep()),
        }
    }

    /// Room for the parts of a `Value`: no more than there are bytes to read, and within the limit of memory.
    pub(in crate::value) fn claimed<T>(&mut self, len: u64) -> Result<Vec<T>> {
        self.plausible(len)?;
        self.claim(len, size_of::<T>()).map(Vec::with_capacity)
    }

    /// Takes memory for a `Value` out of what it may take in all.
    pub(in crate::value) fn claim(&mut self, count: u64, size_bytes: usize) -> Result<usize> {
        let count = usize::try_from(count).map_err(|_| self.cut_short())?;
        let left = count
            .checked_mul(size_bytes)
            .and_then(|bytes| self.memory_bytes.checked_sub(bytes));
        self.memory_bytes = left.ok_or_else(too_much_memory)?;
        Ok(count)
    }

    /// Refuses a count of more items than there are bytes, so that no claim can keep a loop busy.
    fn plausible(&self, len: u64) -> Result<()> {
        if len > length(self.rest.len()) {
            return Err(self.cut_short());
        }
        Ok(())
    }

    #[inline]
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

    /// Where the item begins that was read last.
    fn start(&self) -> usize {
        self.size_bytes.saturating_sub(self.before.len())
    }

    #[cold]
    fn mismatch(&self, expected: &str, found: Head) -> Error {
        let (start, found) = (self.start(), found.kind());
        mistyped(format!(
            "expected {expected} at byte {start}, found {found}"
        ))
    }

    #[cold]
    fn cut_short(&self) -> Error {
        self.malformed("an item that the value ends within")
    }

    #[cold]
    fn too_deep(&self) -> Error {
        self.malformed(&format!("nesting deeper than {LEVELS} levels"))
    }

    #[cold]
    fn malformed(&self, what: &str) -> Error {
        Error::decode(
            format!("found {what} at byte {}", self.start()),
            DETERMINISTIC,
        )
    }
}

const DETERMINISTIC: &str = "only deterministic CBOR (RFC 8949, 4.2.1) can be decoded";
const SORTED: &str =
    "a set is stored in the order of its items' bytes, each once; read anything else as a `Vec`";

/// The check that keys of a map, or items of a set, come in their order.
struct Sorted<'a> {
    previous: &'a [u8],
    /// The bytes from the key or item that is being read to the end.
    start: &'a [u8],
}

impl<'a> Sorted<'a> {
    fn follows(&mut self, from: &mut Decoder<'a>, what: &str, advice: &'static str) -> Result<()> {
        let size_bytes = self.start.len().saturating_sub(from.rest.len());
        let encoded = self.start.get(..size_bytes).unwrap_or_default();
        if self.previous >= encoded {
            from.before = self.start;
            let error = from.malformed(&format!("{what} that repeats or is out of order"));
            return Err(error.advise(advice));
        }
        self.previous = encoded;
        Ok(())
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

#[expect(
    clippy::as_conversions,
    reason = "what rounding loses is looked for; 2^64 is no u64, to which a float saturates"
)]
fn float_of(number: u64) -> Option<f64> {
    let float = number as f64;
    (float < 18_446_744_073_709_551_616.0 && float as u64 == number).then_some(float)
}

#[cold]
fn mistyped(what: String) -> Error {
    let advice = "decode it as the type that it was encoded from, or as a `Value`";
    Error::decode(what, advice)
}

#[cold]
fn too_much_memory() -> Error {
    Error::too_large(
        "a `Value` takes more memory than it may",
        "decode it as a type of its own, or set another limit with `from_cbor_within`",
    )
}
