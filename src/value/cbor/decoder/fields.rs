//! The readers that the code of [`record!`](crate::record) calls.

use super::{Decoder, Head, length};
use crate::error::{Error, Result};
use crate::value::{Decode, Value};
use std::collections::BTreeMap;

impl<'a> Decoder<'a> {
    /// Reads the map of a [`record!`](crate::record). `read` is given the place of each key among `names`, or the key
    /// itself if it is not there; `order` lists the places in the order in which a map has those names.
    #[doc(hidden)]
    #[inline]
    pub fn fields(
        &mut self,
        names: &[&str],
        order: &[usize],
        mut read: impl FnMut(&mut Self, std::result::Result<usize, &'a str>) -> Result<()>,
    ) -> Result<()> {
        let name_of = |place: usize| names.get(place).copied().unwrap_or_default();
        self.item(|from| {
            let len = match from.head()? {
                Head::Map(len) => len,
                other => return Err(from.mismatch("a map", other)),
            };
            from.plausible(len)?;
            from.deeper(|from| {
                let mut upcoming = order;
                let mut previous = None;
                for _ in 0..len {
                    let start = from.rest;
                    let key = match from.head()? {
                        Head::Text(len) => from.bytes_of(len)?,
                        other => return Err(from.mismatch("text", other)),
                    };
                    // The names come in the order of the keys: one that ranks before this key is absent. So a key that
                    // is found comes after those before it, and that is left to be checked of the others.
                    let mut found = None;
                    while let Some((place, rest)) = upcoming.split_first() {
                        let name = name_of(*place).as_bytes();
                        if name == key {
                            found = Some(*place);
                        } else if rank(name) > rank(key) {
                            break;
                        }
                        upcoming = rest;
                        if found.is_some() {
                            break;
                        }
                    }
                    if let Some(place) = found {
                        read(from, Ok(place))
                            .map_err(|error| error.within(format_args!(".{}", name_of(place))))?;
                    } else {
                        from.before = start;
                        let text = from.utf8(key)?;
                        if previous.map(rank) >= Some(rank(key)) {
                            return Err(from.malformed("a key that repeats or is out of order"));
                        }
                        read(from, Err(text)).map_err(|error| error.within("[unknown field]"))?;
                    }
                    previous = Some(key);
                }
                Ok(())
            })
        })
    }

    /// Reads a variant of a [`record!`](crate::record): text that is its name, or a map of its name to what it holds.
    /// `read` is given the place of the name among `names` and whether it holds something, and returns `None` if that
    /// is not so for this variant.
    #[doc(hidden)]
    pub fn variant<T>(
        &mut self,
        names: &[&str],
        mut read: impl FnMut(&mut Self, usize, bool) -> Result<Option<T>>,
    ) -> Result<T> {
        self.item(|from| {
            let start = from.rest;
            let place_of = |name: &str| names.iter().position(|known| *known == name);
            let (place, holds, found) = match from.head()? {
                Head::Text(len) => {
                    let place = place_of(from.text_of(len)?);
                    let found = place.map(|place| read(from, place, false));
                    (place, false, found.transpose()?.flatten())
                }
                Head::Map(1) => from.deeper(|from| {
                    let place = place_of(from.text()?);
                    let found = place.map(|place| {
                        let name = names.get(place).copied().unwrap_or_default();
                        read(from, place, true)
                            .map_err(|error| error.within(format_args!(".{name}")))
                    });
                    Ok((place, true, found.transpose()?.flatten()))
                })?,
                Head::Map(_) => (None, true, None),
                other => return Err(from.mismatch("a variant", other)),
            };
            found.ok_or_else(|| {
                from.before = start;
                let name = place.and_then(|place| names.get(place));
                match (name, holds) {
                    (Some(name), true) => {
                        from.expected(&format!("the variant `{name}` without content"))
                    }
                    (Some(name), false) => {
                        from.expected(&format!("the variant `{name}` with its content"))
                    }
                    (None, _) => {
                        from.expected(&format!("one of the variants `{}`", names.join("`, `")))
                    }
                }
            })
        })
    }

    /// Reads one item of a [`tuple`](Decoder::tuple), so that an error tells which.
    #[doc(hidden)]
    pub fn nth<T: Decode>(&mut self, place: usize) -> Result<T> {
        T::decode(self).map_err(|error| error.within(format_args!("[{place}]")))
    }

    /// Keeps a field that a [`record!`](crate::record) does not know. The map that it goes into takes memory as a
    /// [`Value`] does.
    #[doc(hidden)]
    #[inline]
    pub fn keep(&mut self, key: &str, rest: &mut BTreeMap<String, Value>) -> Result<()> {
        // Its nodes are half full where the keys come in order.
        self.claim(2, size_of::<(String, Value)>())?;
        self.claim(length(key.len()), 1)?;
        rest.insert(key.to_owned(), Value::content(self)?);
        Ok(())
    }

    /// The error for a field of a [`record!`](crate::record) that the map just read does not have.
    #[doc(hidden)]
    #[cold]
    pub fn missing(&mut self, field: &str) -> Error {
        self.rest = self.before;
        let at = self.start();
        let what = format!("expected a field `{field}` in the map at byte {at}");
        Error::decode(what, "give the field a default if older values lack it")
    }
}

/// The order of texts as map keys, which is that of their encoded bytes: the shorter one first.
fn rank(text: &[u8]) -> (usize, &[u8]) {
    (text.len(), text)
}
