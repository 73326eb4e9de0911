//! Values: what Rust's types look like as CBOR, so that any language can read a store.
//!
//! [`Encode`] and [`Decode`] go straight between a type and its bytes; [`Value`] is for tools that do not know the
//! type. There is one encoding of a value and only that is read (the module [`cbor`] says what that means), so equal
//! values have equal bytes in every program that writes them.

pub(crate) mod base64;
mod cbor;
mod float;
mod json;
mod record;
mod types;

#[cfg(test)]
mod tests;

use std::fmt;
use std::str::FromStr;

pub use cbor::{Decoder, Encoder, MapEncoder, ValueKind};

use crate::error::{Error, Result};
use cbor::Head;

/// A value as CBOR bytes.
///
/// # Errors
/// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) for what could not be given back: a `Some` of something
/// that is encoded as null, two equal keys in a map, a [`Value::Integer`] beyond -2^64 to 2^64 - 1;
/// [`ErrorKind::TooLarge`](crate::ErrorKind::TooLarge) for nesting deeper than 64 levels. The text of the error says
/// where in the value, as in `items[2].price`.
///
/// ```
/// let bytes = shelflife::to_cbor(&("tea", 3))?;
/// assert_eq!(bytes, b"\x82\x63tea\x03");
/// assert_eq!(shelflife::from_cbor::<(String, u8)>(&bytes)?, ("tea".to_owned(), 3));
/// # Ok::<(), shelflife::Error>(())
/// ```
pub fn to_cbor<T: Encode + ?Sized>(value: &T) -> Result<Vec<u8>> {
    Encoder::value(0, value)
}

/// As [`to_cbor`], of a value that will stand `outer` levels deep in another.
pub(crate) fn to_cbor_below<T: Encode + ?Sized>(outer: usize, value: &T) -> Result<Vec<u8>> {
    Encoder::value(outer, value)
}

/// The value that CBOR bytes hold.
///
/// # Errors
/// [`ErrorKind::Decode`](crate::ErrorKind::Decode) if the bytes hold a value of another type, or no value at all, or
/// one that is not in deterministic form, or anything after it. The text of the error says what was expected at which
/// byte and where in the value, as in `items[2].price`; it never shows what is there.
/// [`ErrorKind::TooLarge`](crate::ErrorKind::TooLarge) for a [`Value`] that would take more memory than
/// [`from_cbor_within`] says.
///
/// ```
/// let error = shelflife::from_cbor::<u8>(&[0x19, 0x01, 0x00]).unwrap_err();
/// assert!(error.to_string().starts_with("expected an integer that fits u8 at byte 0;"));
/// ```
pub fn from_cbor<T: Decode>(bytes: &[u8]) -> Result<T> {
    from_cbor_within(bytes, memory_for(bytes.len()))
}

/// The memory that a [`Value`] may take where nobody says otherwise: 64 MiB, or four times the length of its source if
/// that is more.
fn memory_for(size_bytes: usize) -> usize {
    size_bytes.saturating_mul(4).max(64 << 20)
}

/// As [`from_cbor`], with another limit to the memory that a [`Value`] takes.
///
/// A `Value` takes about 32 bytes for each item, itself included, even one that is a single byte of CBOR, and the text
/// and the bytes in it besides: so the author of the bytes decides how much memory reading them takes. `from_cbor`
/// allows 64 MiB, or four times the length of the CBOR if that is more.
///
/// # Errors
/// Those of [`from_cbor`]; [`ErrorKind::TooLarge`](crate::ErrorKind::TooLarge) if all that is read as a `Value` would
/// take more than `memory_bytes`, before the memory is taken.
///
/// ```
/// use shelflife::{ErrorKind, Value, from_cbor_within, to_cbor};
///
/// let bytes = to_cbor(&vec![0_i8; 1_000])?;
/// let memory_bytes = 1_001 * size_of::<Value>();
/// assert!(from_cbor_within::<Value>(&bytes, memory_bytes).is_ok());
/// let error = from_cbor_within::<Value>(&bytes, memory_bytes - 1).unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::TooLarge);
/// # Ok::<(), shelflife::Error>(())
/// ```
pub fn from_cbor_within<T: Decode>(bytes: &[u8], memory_bytes: usize) -> Result<T> {
    Decoder::value(bytes, memory_bytes)
}

/// A type whose values can be stored.
///
/// | type | CBOR |
/// |---|---|
/// | integers, `NonZero` | integer, in the fewest bytes; beyond 64 bits a bignum: tag 2 or 3 and its bytes |
/// | `f64`, `f32` | float, in the fewest bytes that hold it exactly; all NaNs become one |
/// | `bool`; `()` and `PhantomData` | true and false; null |
/// | `str`, `String`, `char` | text |
/// | slices, arrays, `Vec` and `VecDeque` of `u8` | byte string |
/// | other slices, arrays, `Vec` and `VecDeque`; tuples of up to 12 | array |
/// | `BTreeSet`, `HashSet` | array, sorted by the items' bytes |
/// | `BTreeMap`, `HashMap` | map |
/// | structs and enums made by [`record!`](crate::record) | as there |
/// | `Option` | null, or what is in it, which must not be null itself |
/// | `Result` | map with one entry: `{"Ok":1}` or `{"Err":"no"}` |
/// | `Range`, `RangeInclusive` | map: `{"end":9,"start":1}` |
/// | references, `Box`, `Rc`, `Arc`, `Cow` | what they point to |
/// | `OsString`, `OsStr`, `PathBuf`, `Path` | byte string: on Unix their bytes, elsewhere UTF-8 |
/// | `IpAddr` | tag 52 or 54 (RFC 9164) and 4 or 16 bytes |
/// | `SocketAddr` | array: address, port, and for IPv6 flow and scope unless both are 0 |
/// | `SystemTime`, `Duration` | tags 1001 and 1002 (RFC 9581), exact to the nanosecond |
/// | [`Value`] | itself |
///
/// So `Some(None)` and `Some(())` are refused when encoded, since they would read back as `None`; and so is a
/// `RangeInclusive` that was iterated to its end, which only its own iterator can tell from one that was not.
///
/// Implement it for a type of yours by [`record!`](crate::record), or by what it consists of, or see [`Encoder`]:
///
/// ```
/// use shelflife::{Decode, Decoder, Encode, Encoder, Result};
///
/// struct UserId(u64);
///
/// impl Encode for UserId {
///     fn encode(&self, to: &mut Encoder) -> Result<()> {
///         self.0.encode(to)
///     }
/// }
///
/// impl Decode for UserId {
///     fn decode(from: &mut Decoder<'_>) -> Result<UserId> {
///         Ok(UserId(u64::decode(from)?))
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be stored: it does not implement `Encode`",
    label = "not a value that can be stored",
    note = "for a type of yours write `shelflife::record! {{ struct Name {{ field: Type }} }}` around its definition, or \
            implement `Encode` and `Decode` by what it consists of",
    note = "for another crate's type store what it can be made of, such as text, in a type of yours"
)]
pub trait Encode {
    /// Writes `self` as exactly one item.
    ///
    /// # Errors
    /// Those of [`to_cbor`].
    fn encode(&self, to: &mut Encoder) -> Result<()>;

    /// Writes two slices of `Self` as one. Only `u8` overrides it, to make byte strings.
    #[doc(hidden)]
    fn encode_slices(items: &[Self], more: &[Self], to: &mut Encoder) -> Result<()>
    where
        Self: Sized,
    {
        to.array(items.len().saturating_add(more.len()), |to| {
            items.iter().try_for_each(|item| item.encode(to))?;
            more.iter().try_for_each(|item| item.encode(to))
        })
    }
}

/// A type whose values can be read back.
///
/// Reading is as strict as the type: an integer that does not fit, a text of two characters for a `char`, an array
/// of another length than the tuple is an error, never a guess. Only an integer that a float holds exactly is read as
/// a float as well, since JSON and the languages that live by it do not tell 3 from 3.0. [`Encode`] has the table of
/// types.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be read back: it does not implement `Decode`",
    label = "not a value that can be read back",
    note = "for a type of yours write `shelflife::record! {{ struct Name {{ field: Type }} }}` around its definition, or \
            implement `Encode` and `Decode` by what it consists of",
    note = "what borrows, such as `&str`, can be stored and not read back: read a `String`"
)]
pub trait Decode: Sized {
    /// Reads exactly one item.
    ///
    /// # Errors
    /// Those of [`from_cbor`]. Make errors of your own by [`Decoder::expected`], so that nothing was consumed.
    fn decode(from: &mut Decoder<'_>) -> Result<Self>;

    /// Reads many of `Self`. Only `u8` overrides it, to read byte strings.
    #[doc(hidden)]
    fn decode_vec(from: &mut Decoder<'_>) -> Result<Vec<Self>> {
        let mut items = Vec::new();
        from.array(|from| {
            items.push(Self::decode(from)?);
            Ok(())
        })?;
        Ok(items)
    }

    /// The value of a field of a [`record!`](crate::record) that is not there. Only `Option` overrides it.
    #[doc(hidden)]
    fn absent() -> Option<Self> {
        None
    }
}

/// A value of any type: what tools use that show, copy or edit a store without knowing what is in it.
///
/// `Display` and `FromStr` are its JSON, on one line: what one writes the other reads back as the same value. What
/// JSON does not have is written as an object with one member:
///
/// | value | JSON |
/// |---|---|
/// | bytes | `{"$b64":"3q2+7w=="}`, base64 with padding |
/// | NaN and the infinities | `{"$float":"NaN"}`, `"Infinity"`, `"-Infinity"` |
/// | a map with a key that is not text | `{"$map":[[1,"one"],[2,"two"]]}` |
/// | a tag | `{"$tag":[1002,{"$map":[[1,60]]}]}` |
/// | a simple value, such as undefined | `{"$simple":23}` |
///
/// and a map with text keys that looks like one of these is written as a `$map`. Numbers are exact: `1` is an
/// integer, `1.0` and `1e0` are floats. Control characters are escaped, so that stored text cannot drive a terminal.
///
/// ```
/// use shelflife::{Value, from_cbor, to_cbor};
///
/// let value: Value = r#"{"items":["tea"],"total":3.0,"paid":null}"#.parse()?;
/// let bytes = to_cbor(&value)?;
/// // In the order of the encoded keys, the shortest first.
/// assert_eq!(
///     from_cbor::<Value>(&bytes)?.to_string(),
///     r#"{"paid":null,"items":["tea"],"total":3.0}"#,
/// );
/// assert_eq!(value.get("total"), Some(&Value::Float(3.0)));
/// # Ok::<(), shelflife::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Null.
    Null,
    /// True or false.
    Bool(bool),
    /// An integer, from -2^64 to 2^64 - 1: what is beyond cannot be encoded.
    Integer(i128),
    /// A float. NaN is not equal to itself here either.
    Float(f64),
    /// A byte string.
    Bytes(Vec<u8>),
    /// A text string.
    Text(String),
    /// An array.
    Array(Vec<Value>),
    /// A map. Decoded and parsed ones are in the order of the encoded keys; any order can be encoded.
    Map(Vec<(Value, Value)>),
    /// A tag and what it tags. The content is not checked against the tag's meaning.
    Tag(u64, Box<Value>),
    /// One of CBOR's simple values that are not booleans or null; 23 is "undefined".
    Simple(u8),
}

impl Value {
    /// As `text.parse()`, with another limit of the memory that the value may take.
    ///
    /// One character of text can take 16 to 32 bytes as a `Value`: of `[0,0,0]` each item takes
    /// `size_of::<Value>()`. Memory that hangs on the value once it was read counts; while a list is open it may take
    /// up to twice that.
    ///
    /// # Errors
    /// [`ErrorKind::TooLarge`](crate::ErrorKind::TooLarge) before more memory is taken, and those of parsing.
    ///
    /// ```
    /// use shelflife::{ErrorKind, Value};
    ///
    /// let text = format!("[{}0]", "0,".repeat(999));
    /// let memory_bytes = 1_000 * size_of::<Value>();
    /// assert!(Value::from_json_within(&text, memory_bytes).is_ok());
    /// let error = Value::from_json_within(&text, memory_bytes - 1).unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::TooLarge);
    /// ```
    pub fn from_json_within(text: &str, memory_bytes: usize) -> Result<Value> {
        json::read(text, memory_bytes, cbor::LEVELS)
    }

    /// As [`Value::from_json_within`], of a line: an object around a value that can be stored, so one level more.
    #[doc(hidden)]
    pub fn from_json_line(text: &str, memory_bytes: usize) -> Result<Value> {
        json::read(text, memory_bytes, cbor::LEVELS + 1)
    }

    /// The value at a text key, if this is a map that has it.
    ///
    /// Looks at each entry in turn.
    pub fn get(&self, key: &str) -> Option<&Value> {
        match self {
            Value::Map(entries) => entries
                .iter()
                .find(|(found, _)| matches!(found, Value::Text(text) if text == key))
                .map(|(_, value)| value),
            _ => None,
        }
    }
}

impl Encode for Value {
    fn encode(&self, to: &mut Encoder) -> Result<()> {
        match self {
            Value::Null => to.null(),
            Value::Bool(value) => to.bool(*value),
            Value::Integer(value) => to.integer(*value),
            Value::Float(value) => to.float(*value),
            Value::Bytes(bytes) => to.bytes(bytes),
            Value::Text(text) => to.text(text),
            Value::Array(items) => items.encode(to),
            Value::Map(entries) => to.map(entries.len(), |map| {
                entries
                    .iter()
                    .try_for_each(|(key, value)| map.insert(key, value))
            }),
            Value::Tag(number, content) => to.tag(*number, |to| content.encode(to)),
            Value::Simple(number) => to.simple(*number),
        }
    }
}

impl Decode for Value {
    fn decode(from: &mut Decoder<'_>) -> Result<Value> {
        from.item(|from| {
            from.claim(1, size_of::<Value>())?;
            Value::content(from)
        })
    }
}

impl Value {
    /// A value whose own place in memory was claimed already, as all places of a list are at once.
    pub(in crate::value) fn content(from: &mut Decoder<'_>) -> Result<Value> {
        from.item(|from| {
            Ok(match from.head()? {
                Head::Null => Value::Null,
                Head::Bool(value) => Value::Bool(value),
                Head::Unsigned(number) => Value::Integer(i128::from(number)),
                Head::Negative(number) => Value::Integer(!i128::from(number)),
                Head::Float(value) => Value::Float(value),
                Head::Bytes(len) => {
                    let bytes = from.bytes_of(len)?;
                    from.claim(len, 1)?;
                    Value::Bytes(bytes.to_vec())
                }
                Head::Text(len) => {
                    let text = from.text_of(len)?;
                    from.claim(len, 1)?;
                    Value::Text(text.to_owned())
                }
                Head::Array(len) => {
                    let mut items = from.claimed::<Value>(len)?;
                    from.items_of(len, |from| {
                        items.push(Value::content(from)?);
                        Ok(())
                    })?;
                    Value::Array(items)
                }
                Head::Map(len) => {
                    let mut entries = from.claimed::<(Value, Value)>(len)?;
                    from.entries_of(len, Value::content, |from, key| {
                        entries.push((key, Value::content(from)?));
                        Ok(())
                    })?;
                    Value::Map(entries)
                }
                Head::Tag(number) => {
                    from.claim(1, size_of::<Value>())?;
                    Value::Tag(number, Box::new(from.deeper(Value::content)?))
                }
                Head::Simple(number) => Value::Simple(number),
            })
        })
    }
}

/// As JSON, on one line.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        json::write(self, f)
    }
}

/// From JSON (RFC 8259), strictly: duplicate keys, integers beyond what CBOR holds, floats beyond `f64` and nesting
/// that could not be stored are errors of the kind [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) that
/// say at which byte. Text that would take over 64 MiB of memory, and over four times its length, is refused
/// as [`ErrorKind::TooLarge`](crate::ErrorKind::TooLarge); [`Value::from_json_within`] sets another limit.
impl FromStr for Value {
    type Err = Error;

    fn from_str(text: &str) -> Result<Value> {
        Value::from_json_within(text, memory_for(text.len()))
    }
}

macro_rules! from {
    ($($type:ty => $make:expr),* $(,)?) => {$(
        impl From<$type> for Value {
            fn from(value: $type) -> Value {
                $make(value.into())
            }
        }
    )*};
}

from! {
    bool => Value::Bool,
    i32 => Value::Integer,
    i64 => Value::Integer,
    u32 => Value::Integer,
    u64 => Value::Integer,
    f64 => Value::Float,
    &str => Value::Text,
    String => Value::Text,
    Vec<Value> => Value::Array,
}
