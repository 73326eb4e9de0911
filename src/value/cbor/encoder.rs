//! From values to bytes.

use std::fmt;
use std::mem;
use std::ops::Range;

use super::{
    ARRAY, BYTES, FALSE, LEVELS, MAP, NEGATIVE, NULL, SIMPLE, TAG, TEXT, TRUE, UNSIGNED, length,
};
use crate::error::{Error, Result};
use crate::store::order::sort_by;
use crate::value::Encode;
use crate::value::float::Shortest;

/// Writes one value as CBOR; what an [`Encode`] gets to write to.
///
/// Each method writes one item, and an `Encode` writes exactly one: arrays and maps say how many items they hold,
/// and what does not add up is an error, so that nobody's `Encode` can store what could not be read back. A method that
/// fails leaves nothing behind, so that another item can be written in place of the one that failed.
///
/// ```
/// use shelflife::{Encode, Encoder, Result, to_cbor};
///
/// struct Point { x: i32, y: i32 }
///
/// impl Encode for Point {
///     fn encode(&self, to: &mut Encoder) -> Result<()> {
///         to.array(2, |to| {
///             self.x.encode(to)?;
///             self.y.encode(to)
///         })
///     }
/// }
/// assert_eq!(to_cbor(&Point { x: 1, y: -1 })?, [0x82, 0x01, 0x20]);
/// # Ok::<(), shelflife::Error>(())
/// ```
pub struct Encoder {
    bytes: Vec<u8>,
    /// How many items were written in the array, map entry or tag that is being written.
    items: usize,
    levels: usize,
    /// How many pointers were followed, and where in the bytes.
    pointers: (usize, usize),
    /// Where the entries stand of all maps that are being written, those of the innermost last.
    spans: Vec<Span>,
}

impl Encoder {
    /// One value, which stands `outer` levels deep in another.
    pub(in crate::value) fn value<T: Encode + ?Sized>(outer: usize, value: &T) -> Result<Vec<u8>> {
        let levels = LEVELS.saturating_sub(outer);
        let mut to = Encoder {
            bytes: Vec::with_capacity(128),
            items: 0,
            levels,
            pointers: (0, 0),
            spans: Vec::new(),
        };
        value.encode(&mut to)?;
        to.finish(levels)
    }

    fn finish(mut self, levels: usize) -> Result<Vec<u8>> {
        self.count(0, 1)?;
        match self.levels == levels {
            true => Ok(self.bytes),
            false => Err(abandoned()),
        }
    }

    /// Writes null.
    #[inline]
    pub fn null(&mut self) -> Result<()> {
        self.head(SIMPLE, u64::from(NULL));
        Ok(())
    }

    /// Writes true or false.
    #[inline]
    pub fn bool(&mut self, value: bool) -> Result<()> {
        self.head(SIMPLE, u64::from(if value { TRUE } else { FALSE }));
        Ok(())
    }

    /// Writes an integer.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) outside of -2^64 to 2^64 - 1, which is as far as
    /// CBOR's integers go.
    #[inline]
    pub fn integer(&mut self, value: i128) -> Result<()> {
        // A negative integer n is stored as -1 - n, which is what its bits inverted are.
        let (major, magnitude) = if value < 0 {
            (NEGATIVE, !value)
        } else {
            (UNSIGNED, value)
        };
        let magnitude = u64::try_from(magnitude).map_err(|_| integer_beyond())?;
        self.head(major, magnitude);
        Ok(())
    }

    /// As [`integer`](Encoder::integer), without the detour over 128 bits.
    #[inline]
    pub(in crate::value) fn unsigned(&mut self, value: u64) {
        self.head(UNSIGNED, value);
    }

    /// As [`integer`](Encoder::integer), without the detour over 128 bits.
    #[inline]
    pub(in crate::value) fn signed(&mut self, value: i64) {
        match u64::try_from(value) {
            Ok(value) => self.head(UNSIGNED, value),
            Err(_) => self.head(NEGATIVE, (!value).cast_unsigned()),
        }
    }

    /// Writes a float, in 2, 4 or 8 bytes, whichever are the fewest that hold it exactly. All NaNs become one.
    #[inline]
    pub fn float(&mut self, value: f64) -> Result<()> {
        self.items = self.items.wrapping_add(1);
        match Shortest::of(value) {
            Shortest::Half(bits) => self.initial(SIMPLE | 25, bits.to_be_bytes()),
            Shortest::Single(bits) => self.initial(SIMPLE | 26, bits.to_be_bytes()),
            Shortest::Double(bits) => self.initial(SIMPLE | 27, bits.to_be_bytes()),
        }
        Ok(())
    }

    /// Writes a byte string.
    #[inline]
    pub fn bytes(&mut self, bytes: &[u8]) -> Result<()> {
        self.head(BYTES, length(bytes.len()));
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    /// Writes a byte string that lies in two pieces.
    pub(in crate::value) fn bytes_of_two(&mut self, first: &[u8], second: &[u8]) {
        self.head(BYTES, length(first.len().saturating_add(second.len())));
        self.bytes.extend_from_slice(first);
        self.bytes.extend_from_slice(second);
    }

    /// Writes a text string.
    #[inline]
    pub fn text(&mut self, text: &str) -> Result<()> {
        self.head(TEXT, length(text.len()));
        self.bytes.extend_from_slice(text.as_bytes());
        Ok(())
    }

    /// Writes one of CBOR's simple values that are not booleans or null, such as 23, "undefined".
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) for 20 to 22, which are false, true and null, and 24
    /// to 31, which do not exist.
    pub fn simple(&mut self, value: u8) -> Result<()> {
        if matches!(value, FALSE..=NULL | 24..=31) {
            return Err(Error::invalid_input(
                format!("{value} is not the number of a simple value"),
                "use 0 to 19, 23, or 32 to 255",
            ));
        }
        self.head(SIMPLE, u64::from(value));
        Ok(())
    }

    /// Writes an array of `len` items, which `write` writes one by one.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) if it writes more or fewer,
    /// [`ErrorKind::TooLarge`](crate::ErrorKind::TooLarge) at the 65th level of nesting.
    #[inline]
    pub fn array(
        &mut self,
        len: usize,
        write: impl FnOnce(&mut Encoder) -> Result<()>,
    ) -> Result<()> {
        self.whole(|to| {
            to.head(ARRAY, length(len));
            to.deeper(|to| {
                // The items before the one that failed are those that were written.
                to.counted(len, |to| {
                    write(to).map_err(|error| error.within(format_args!("[{}]", to.items)))
                })
            })
        })
    }

    /// Writes a map of `len` entries, which `write` inserts in any order.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) if it inserts more or fewer, or two with the same
    /// key; [`ErrorKind::TooLarge`](crate::ErrorKind::TooLarge) at the 65th level of nesting.
    ///
    /// ```
    /// use shelflife::{Encode, Encoder, Result, to_cbor};
    ///
    /// struct Point { x: i32, y: i32 }
    ///
    /// impl Encode for Point {
    ///     fn encode(&self, to: &mut Encoder) -> Result<()> {
    ///         to.map(2, |map| {
    ///             map.insert("y", &self.y)?;
    ///             map.insert("x", &self.x)
    ///         })
    ///     }
    /// }
    /// assert_eq!(to_cbor(&Point { x: 1, y: 2 })?, b"\xA2\x61x\x01\x61y\x02");
    /// # Ok::<(), shelflife::Error>(())
    /// ```
    #[inline]
    pub fn map(
        &mut self,
        len: usize,
        write: impl FnOnce(&mut MapEncoder<'_>) -> Result<()>,
    ) -> Result<()> {
        self.whole(|to| {
            to.head(MAP, length(len));
            to.sorted(len, write)
        })
    }

    /// Writes a tag and its content, one item, which `write` writes.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) if it writes none or several,
    /// [`ErrorKind::TooLarge`](crate::ErrorKind::TooLarge) at the 65th level of nesting.
    pub fn tag(
        &mut self,
        number: u64,
        write: impl FnOnce(&mut Encoder) -> Result<()>,
    ) -> Result<()> {
        self.whole(|to| {
            to.head(TAG, number);
            to.deeper(|to| to.counted(1, write))
        })
    }

    /// Writes the map of a [`record!`](crate::record): `write` is called with the place of each name, in the order in
    /// which `order` lists the places, and writes the value of that field. The macro sorts while the program is
    /// compiled, so that nothing is left to sort here.
    #[doc(hidden)]
    #[inline]
    pub fn fields(
        &mut self,
        names: &[&str],
        order: &[usize],
        mut write: impl FnMut(&mut Encoder, usize) -> Result<()>,
    ) -> Result<()> {
        self.whole(|to| {
            to.head(MAP, length(names.len()));
            let items = to.items;
            to.deeper(|to| {
                for place in order {
                    let name = names.get(*place).copied().unwrap_or_default();
                    to.text(name)?;
                    to.items = 0;
                    write(to, *place).map_err(|error| error.within(format_args!(".{name}")))?;
                    if to.items != 1 {
                        return Err(miscounted(1, to.items));
                    }
                }
                Ok(())
            })?;
            to.items = items;
            Ok(())
        })
    }

    /// Writes a variant of a [`record!`](crate::record) that holds something: a map of its name to that.
    #[doc(hidden)]
    #[inline]
    pub fn variant(
        &mut self,
        name: &str,
        write: impl FnOnce(&mut Encoder) -> Result<()>,
    ) -> Result<()> {
        self.whole(|to| {
            to.head(MAP, 1);
            to.deeper(|to| {
                to.counted(1, |to| to.text(name))?;
                to.counted(1, write)
                    .map_err(|error| error.within(format_args!(".{name}")))
            })
        })
    }

    /// An array whose items come in no particular order and are written in that of their bytes.
    pub(in crate::value) fn set<T: Encode>(
        &mut self,
        len: usize,
        items: impl Iterator<Item = T>,
    ) -> Result<()> {
        self.whole(|to| {
            to.head(ARRAY, length(len));
            to.sorted(len, |set| {
                for item in items {
                    set.entry(|to| to.counted(1, |to| item.encode(to)), |_| Ok(()))
                        .map_err(|error| error.within("[item]"))?;
                }
                Ok(())
            })
        })
    }

    /// Writes what must not be null, so that it can be told from `None`.
    #[inline]
    pub(in crate::value) fn some<T: Encode>(&mut self, value: &T) -> Result<()> {
        self.whole(|to| {
            let start = to.bytes.len();
            value.encode(to)?;
            match to.bytes.get(start..) {
                Some(&[byte]) if byte == SIMPLE | NULL => Err(some_null()),
                _ => Ok(()),
            }
        })
    }

    /// Writes what a pointer points to. Types that contain themselves do so by pointers, and may open no array or map
    /// on the way: so pointers count as levels as long as nothing is written between them.
    #[inline]
    pub(in crate::value) fn pointer<T: Encode + ?Sized>(&mut self, value: &T) -> Result<()> {
        let outer = self.pointers;
        let place = self.bytes.len();
        self.pointers = match outer {
            (LEVELS.., before) if before == place => return Err(too_deep()),
            (count, before) if before == place => (count.saturating_add(1), place),
            _ => (1, place),
        };
        let written = value.encode(self);
        self.pointers = outer;
        written
    }

    /// Writes one item that is CBOR already: checked, and encoded at this level of nesting or a deeper one.
    pub(crate) fn raw(&mut self, item: &[u8]) {
        self.items = self.items.wrapping_add(1);
        self.bytes.extend_from_slice(item);
    }

    #[inline]
    fn sorted(
        &mut self,
        len: usize,
        write: impl FnOnce(&mut MapEncoder<'_>) -> Result<()>,
    ) -> Result<()> {
        let outer = self.spans.len();
        self.deeper(|to| write(&mut MapEncoder { to }))?;
        let written = self.spans.len().saturating_sub(outer);
        if written != len {
            return Err(miscounted(len, written));
        }
        self.sort(outer)?;
        self.spans.truncate(outer);
        Ok(())
    }

    /// Puts the entries whose spans come after the first `outer` in the order of their keys.
    fn sort(&mut self, outer: usize) -> Result<()> {
        let key = |span: &Span| self.bytes.get(span.key.clone()).unwrap_or_default();
        let spans = self.spans.get(outer..).unwrap_or_default();
        if spans.is_sorted_by(|a, b| key(a) < key(b)) {
            return Ok(());
        }
        let start = spans
            .first()
            .map_or(self.bytes.len(), |span| span.key.start);
        let mut spans: Vec<&Span> = spans.iter().collect();
        sort_by(&mut spans, |a, b| key(a).cmp(key(b)));
        if !spans.is_sorted_by(|a, b| key(a) < key(b)) {
            let what = "two keys of a map, or items of a set, encode alike";
            return Err(Error::invalid_input(what, "give each key once"));
        }
        let mut body = Vec::with_capacity(self.bytes.len().saturating_sub(start));
        for span in spans {
            let entry = self.bytes.get(span.key.start..span.end);
            body.extend_from_slice(entry.unwrap_or_default());
        }
        self.bytes.truncate(start);
        self.bytes.append(&mut body);
        Ok(())
    }

    /// Runs what writes one item. If that fails, what it wrote is taken back, so that another item can stand there.
    #[inline]
    fn whole(&mut self, write: impl FnOnce(&mut Encoder) -> Result<()>) -> Result<()> {
        let before = Before {
            bytes: self.bytes.len(),
            spans: self.spans.len(),
            items: self.items,
            levels: self.levels,
        };
        let written = write(self);
        if written.is_err() {
            self.take_back(before);
        }
        written
    }

    #[cold]
    fn take_back(&mut self, before: Before) {
        self.bytes.truncate(before.bytes);
        self.spans.truncate(before.spans);
        self.items = before.items;
        self.levels = before.levels;
    }

    #[inline]
    fn counted(
        &mut self,
        len: usize,
        write: impl FnOnce(&mut Encoder) -> Result<()>,
    ) -> Result<()> {
        let outer = mem::replace(&mut self.items, 0);
        write(self)?;
        self.count(outer, len)
    }

    #[inline]
    fn count(&mut self, outer: usize, len: usize) -> Result<()> {
        match mem::replace(&mut self.items, outer) {
            written if written == len => Ok(()),
            written => Err(miscounted(len, written)),
        }
    }

    #[inline]
    fn deeper(&mut self, write: impl FnOnce(&mut Encoder) -> Result<()>) -> Result<()> {
        let inner = self.enter()?;
        write(self)?;
        self.leave(inner)
    }

    #[inline]
    fn enter(&mut self) -> Result<usize> {
        match self.levels.checked_sub(1) {
            Some(inner) => {
                self.levels = inner;
                Ok(inner)
            }
            None => Err(too_deep()),
        }
    }

    #[inline]
    fn leave(&mut self, inner: usize) -> Result<()> {
        // A caller of the encoder caught a panic on the way, which took nothing back.
        if self.levels != inner {
            return Err(abandoned());
        }
        self.levels = inner.saturating_add(1);
        Ok(())
    }

    /// The start of an item: its major type, and a number in as few bytes as hold it.
    #[inline]
    fn head(&mut self, major: u8, number: u64) {
        self.items = self.items.wrapping_add(1);
        if let Ok(number) = u8::try_from(number) {
            if number < 24 {
                self.bytes.push(major | number);
            } else {
                self.initial(major | 24, [number]);
            }
        } else if let Ok(number) = u16::try_from(number) {
            self.initial(major | 25, number.to_be_bytes());
        } else if let Ok(number) = u32::try_from(number) {
            self.initial(major | 26, number.to_be_bytes());
        } else {
            self.initial(major | 27, number.to_be_bytes());
        }
    }

    #[inline]
    fn initial<const N: usize>(&mut self, byte: u8, number: [u8; N]) {
        self.bytes.push(byte);
        self.bytes.extend_from_slice(&number);
    }
}

/// Only how much there is, not what.
impl fmt::Debug for Encoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Encoder")
            .field("size_bytes", &self.bytes.len())
            .finish_non_exhaustive()
    }
}

/// The state of an encoder before an item.
struct Before {
    bytes: usize,
    spans: usize,
    items: usize,
    levels: usize,
}

/// Where an entry of a map stands in the bytes.
struct Span {
    key: Range<usize>,
    end: usize,
}

/// Writes the entries of one map, see [`Encoder::map`].
pub struct MapEncoder<'a> {
    to: &'a mut Encoder,
}

impl MapEncoder<'_> {
    /// Writes one entry.
    ///
    /// # Errors
    /// Those of encoding the key or the value; nothing of the entry is left then.
    #[inline]
    pub fn insert<K, V>(&mut self, key: &K, value: &V) -> Result<()>
    where
        K: Encode + ?Sized,
        V: Encode + ?Sized,
    {
        self.entry(
            |to| {
                to.counted(1, |to| key.encode(to))
                    .map_err(|error| error.within("[key]"))
            },
            |to| {
                to.counted(1, |to| value.encode(to))
                    .map_err(|error| error.within("[entry]"))
            },
        )
    }

    /// As [`insert`](MapEncoder::insert), of a field of a [`record!`](crate::record), which an error names.
    #[doc(hidden)]
    #[inline]
    pub fn field<V: Encode>(&mut self, name: &str, value: &V) -> Result<()> {
        self.entry(
            |to| to.counted(1, |to| to.text(name)),
            |to| {
                to.counted(1, |to| value.encode(to))
                    .map_err(|error| error.within(format_args!(".{name}")))
            },
        )
    }

    #[inline]
    fn entry(
        &mut self,
        key: impl FnOnce(&mut Encoder) -> Result<()>,
        value: impl FnOnce(&mut Encoder) -> Result<()>,
    ) -> Result<()> {
        self.to.whole(|to| {
            let start = to.bytes.len();
            key(to)?;
            let key = start..to.bytes.len();
            value(to)?;
            let end = to.bytes.len();
            to.spans.push(Span { key, end });
            Ok(())
        })
    }
}

/// Only how much there is, not what.
impl fmt::Debug for MapEncoder<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MapEncoder")
            .field("size_bytes", &self.to.bytes.len())
            .finish_non_exhaustive()
    }
}

#[cold]
pub(in crate::value) fn integer_beyond() -> Error {
    Error::invalid_input(
        "an integer is beyond the -2^64 to 2^64 - 1 that CBOR holds",
        "store it as an `i128`, as a `u128` or as text",
    )
}

#[cold]
fn too_deep() -> Error {
    Error::too_large(
        format!("a value is nested deeper than {LEVELS} levels"),
        "keep what is inside under a key of its own",
    )
}

#[cold]
fn some_null() -> Error {
    Error::invalid_input(
        "a `Some` whose content is null would read back as `None`",
        "give the two cases different types or names",
    )
}

#[cold]
fn abandoned() -> Error {
    Error::invalid_input("an `Encode` went on after a panic within it", "")
}

#[cold]
fn miscounted(announced: usize, written: usize) -> Error {
    let what = format!("an `Encode` announced {announced} items and wrote {written}");
    Error::invalid_input(what, "let it write as many as it announces")
}
