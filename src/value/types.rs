//! [`Encode`] and [`Decode`] for the types of std.
#![deny(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::as_conversions
)]

mod system;
#[cfg(test)]
#[allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::as_conversions
)]
mod tests;
mod time;
mod wide;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::hash::{BuildHasher, Hash};
use std::marker::PhantomData;
use std::num::NonZero;
use std::ops::{Range, RangeInclusive};
use std::rc::Rc;
use std::sync::Arc;

use super::cbor::{Decoder, Encoder, integer_beyond};
use super::{Decode, Encode};
use crate::error::{Error, Result};

/// Implements both traits for integers: in the first braces stands how one is written, in the others what it overrides.
macro_rules! integers {
    ($($int:ident |$value:ident, $to:ident| $write:block { $($encode_slices:item)? } { $($decode_vec:item)? })*) => {$(
        impl Encode for $int {
            #[inline]
            fn encode(&self, $to: &mut Encoder) -> Result<()> {
                let $value = *self;
                $write
            }
            $($encode_slices)?
        }

        impl Decode for $int {
            fn decode(from: &mut Decoder<'_>) -> Result<$int> {
                $int::try_from(from.integer()?).map_err(|_| {
                    from.expected(concat!("an integer that fits ", stringify!($int)))
                })
            }
            $($decode_vec)?
        }
    )*};
}

integers! {
    u8 |value, to| {
        to.unsigned(u64::from(value));
        Ok(())
    } {
        fn encode_slices(items: &[u8], more: &[u8], to: &mut Encoder) -> Result<()> {
            to.bytes_of_two(items, more);
            Ok(())
        }
    } {
        fn decode_vec(from: &mut Decoder<'_>) -> Result<Vec<u8>> {
            Ok(from.bytes()?.to_vec())
        }
    }
    u16 |value, to| { to.unsigned(u64::from(value)); Ok(()) } {} {}
    u32 |value, to| { to.unsigned(u64::from(value)); Ok(()) } {} {}
    u64 |value, to| { to.unsigned(value); Ok(()) } {} {}
    // No platform has a usize or an isize of more than 64 bits.
    usize |value, to| { to.unsigned(u64::try_from(value).map_err(|_| integer_beyond())?); Ok(()) } {} {}
    i8 |value, to| { to.signed(i64::from(value)); Ok(()) } {} {}
    i16 |value, to| { to.signed(i64::from(value)); Ok(()) } {} {}
    i32 |value, to| { to.signed(i64::from(value)); Ok(()) } {} {}
    i64 |value, to| { to.signed(value); Ok(()) } {} {}
    isize |value, to| { to.signed(i64::try_from(value).map_err(|_| integer_beyond())?); Ok(()) } {} {}
}

macro_rules! nonzeros {
    ($($int:ident)*) => {$(
        impl Encode for NonZero<$int> {
            fn encode(&self, to: &mut Encoder) -> Result<()> {
                self.get().encode(to)
            }
        }

        impl Decode for NonZero<$int> {
            fn decode(from: &mut Decoder<'_>) -> Result<NonZero<$int>> {
                NonZero::new($int::decode(from)?).ok_or_else(|| from.expected("an integer that is not 0"))
            }
        }
    )*};
}

nonzeros! { u8 u16 u32 u64 u128 usize i8 i16 i32 i64 i128 isize }

impl Encode for f64 {
    #[inline]
    fn encode(&self, to: &mut Encoder) -> Result<()> {
        to.float(*self)
    }
}

impl Decode for f64 {
    fn decode(from: &mut Decoder<'_>) -> Result<f64> {
        from.float()
    }
}

impl Encode for f32 {
    #[inline]
    fn encode(&self, to: &mut Encoder) -> Result<()> {
        to.float(f64::from(*self))
    }
}

impl Decode for f32 {
    #[expect(clippy::as_conversions, reason = "what it loses is looked for")]
    fn decode(from: &mut Decoder<'_>) -> Result<f32> {
        let value = from.float()?;
        let narrow = value as f32;
        if f64::from(narrow) == value || value.is_nan() {
            Ok(narrow)
        } else {
            Err(from.expected("a float that fits f32"))
        }
    }
}

impl Encode for bool {
    #[inline]
    fn encode(&self, to: &mut Encoder) -> Result<()> {
        to.bool(*self)
    }
}

impl Decode for bool {
    fn decode(from: &mut Decoder<'_>) -> Result<bool> {
        from.bool()
    }
}

impl Encode for () {
    fn encode(&self, to: &mut Encoder) -> Result<()> {
        to.null()
    }
}

impl Decode for () {
    fn decode(from: &mut Decoder<'_>) -> Result<()> {
        from.null()
    }
}

impl<T: ?Sized> Encode for PhantomData<T> {
    fn encode(&self, to: &mut Encoder) -> Result<()> {
        to.null()
    }
}

impl<T: ?Sized> Decode for PhantomData<T> {
    fn decode(from: &mut Decoder<'_>) -> Result<PhantomData<T>> {
        from.null().map(|()| PhantomData)
    }
}

impl Encode for str {
    #[inline]
    fn encode(&self, to: &mut Encoder) -> Result<()> {
        to.text(self)
    }
}

impl Encode for String {
    #[inline]
    fn encode(&self, to: &mut Encoder) -> Result<()> {
        to.text(self)
    }
}

impl Decode for String {
    fn decode(from: &mut Decoder<'_>) -> Result<String> {
        Ok(from.text()?.to_owned())
    }
}

impl Encode for char {
    fn encode(&self, to: &mut Encoder) -> Result<()> {
        to.text(self.encode_utf8(&mut [0; 4]))
    }
}

impl Decode for char {
    fn decode(from: &mut Decoder<'_>) -> Result<char> {
        let mut characters = from.text()?.chars();
        match (characters.next(), characters.next()) {
            (Some(character), None) => Ok(character),
            _ => Err(from.expected("a single character")),
        }
    }
}

impl<T: Encode + ?Sized> Encode for &T {
    #[inline]
    fn encode(&self, to: &mut Encoder) -> Result<()> {
        T::encode(self, to)
    }
}

/// Implements both traits for pointers that own their value.
macro_rules! pointers {
    ($($Pointer:ident)*) => {$(
        impl<T: Encode + ?Sized> Encode for $Pointer<T> {
            #[inline]
            fn encode(&self, to: &mut Encoder) -> Result<()> {
                to.pointer::<T>(self)
            }
        }

        impl<T: Decode> Decode for $Pointer<T> {
            fn decode(from: &mut Decoder<'_>) -> Result<$Pointer<T>> {
                from.pointer::<T>().map($Pointer::new)
            }

            fn absent() -> Option<$Pointer<T>> {
                T::absent().map($Pointer::new)
            }
        }

        impl Decode for $Pointer<str> {
            fn decode(from: &mut Decoder<'_>) -> Result<$Pointer<str>> {
                Ok($Pointer::from(from.text()?))
            }
        }

        impl<T: Decode> Decode for $Pointer<[T]> {
            fn decode(from: &mut Decoder<'_>) -> Result<$Pointer<[T]>> {
                T::decode_vec(from).map($Pointer::from)
            }
        }
    )*};
}

pointers! { Box Rc Arc }

impl<T: Encode + ToOwned + ?Sized> Encode for Cow<'_, T> {
    fn encode(&self, to: &mut Encoder) -> Result<()> {
        T::encode(self, to)
    }
}

impl<T: ToOwned<Owned: Decode> + ?Sized> Decode for Cow<'_, T> {
    fn decode(from: &mut Decoder<'_>) -> Result<Self> {
        T::Owned::decode(from).map(Cow::Owned)
    }
}

impl<T: Encode> Encode for Option<T> {
    #[inline]
    fn encode(&self, to: &mut Encoder) -> Result<()> {
        match self {
            Some(value) => to.some(value),
            None => to.null(),
        }
    }
}

impl<T: Decode> Decode for Option<T> {
    fn decode(from: &mut Decoder<'_>) -> Result<Option<T>> {
        if from.is_null() {
            from.null()?;
            return Ok(None);
        }
        T::decode(from).map(Some)
    }

    fn absent() -> Option<Option<T>> {
        Some(None)
    }
}

const OUTCOMES: &[&str] = &["Ok", "Err"];

impl<T: Encode, E: Encode> Encode for std::result::Result<T, E> {
    fn encode(&self, to: &mut Encoder) -> Result<()> {
        match self {
            Ok(value) => to.variant("Ok", |to| value.encode(to)),
            Err(error) => to.variant("Err", |to| error.encode(to)),
        }
    }
}

impl<T: Decode, E: Decode> Decode for std::result::Result<T, E> {
    fn decode(from: &mut Decoder<'_>) -> Result<Self> {
        from.variant(OUTCOMES, |from, place, holds| {
            Ok(match (holds, place) {
                (false, _) => None,
                (true, 0) => Some(Ok(T::decode(from)?)),
                (true, _) => Some(Err(E::decode(from)?)),
            })
        })
    }
}

impl<T: Encode> Encode for [T] {
    #[inline]
    fn encode(&self, to: &mut Encoder) -> Result<()> {
        T::encode_slices(self, &[], to)
    }
}

impl<T: Encode> Encode for Vec<T> {
    #[inline]
    fn encode(&self, to: &mut Encoder) -> Result<()> {
        T::encode_slices(self, &[], to)
    }
}

impl<T: Decode> Decode for Vec<T> {
    fn decode(from: &mut Decoder<'_>) -> Result<Vec<T>> {
        T::decode_vec(from)
    }
}

impl<T: Encode> Encode for VecDeque<T> {
    fn encode(&self, to: &mut Encoder) -> Result<()> {
        let (front, back) = self.as_slices();
        T::encode_slices(front, back, to)
    }
}

impl<T: Decode> Decode for VecDeque<T> {
    fn decode(from: &mut Decoder<'_>) -> Result<VecDeque<T>> {
        T::decode_vec(from).map(VecDeque::from)
    }
}

impl<T: Encode, const N: usize> Encode for [T; N] {
    fn encode(&self, to: &mut Encoder) -> Result<()> {
        T::encode_slices(self, &[], to)
    }
}

impl<T: Decode, const N: usize> Decode for [T; N] {
    fn decode(from: &mut Decoder<'_>) -> Result<[T; N]> {
        let items = T::decode_vec(from)?;
        items.try_into().map_err(|items: Vec<T>| {
            from.expected(&format!("exactly {N} of a kind, not {},", items.len()))
        })
    }
}

macro_rules! tuples {
    ($(($($Item:ident $place:tt)+))*) => {$(
        impl<$($Item: Encode),+> Encode for ($($Item,)+) {
            #[inline]
            fn encode(&self, to: &mut Encoder) -> Result<()> {
                to.array([$(stringify!($Item)),+].len(), |to| {
                    $(self.$place.encode(to)?;)+
                    Ok(())
                })
            }
        }

        impl<$($Item: Decode),+> Decode for ($($Item,)+) {
            fn decode(from: &mut Decoder<'_>) -> Result<Self> {
                from.tuple([$(stringify!($Item)),+].len(), |from| {
                    Ok(($(from.nth::<$Item>($place)?,)+))
                })
            }
        }
    )*};
}

tuples! {
    (A 0)
    (A 0 B 1)
    (A 0 B 1 C 2)
    (A 0 B 1 C 2 D 3)
    (A 0 B 1 C 2 D 3 E 4)
    (A 0 B 1 C 2 D 3 E 4 F 5)
    (A 0 B 1 C 2 D 3 E 4 F 5 G 6)
    (A 0 B 1 C 2 D 3 E 4 F 5 G 6 H 7)
    (A 0 B 1 C 2 D 3 E 4 F 5 G 6 H 7 I 8)
    (A 0 B 1 C 2 D 3 E 4 F 5 G 6 H 7 I 8 J 9)
    (A 0 B 1 C 2 D 3 E 4 F 5 G 6 H 7 I 8 J 9 K 10)
    (A 0 B 1 C 2 D 3 E 4 F 5 G 6 H 7 I 8 J 9 K 10 L 11)
}

impl<K: Encode, V: Encode> Encode for BTreeMap<K, V> {
    fn encode(&self, to: &mut Encoder) -> Result<()> {
        to.map(self.len(), |map| {
            self.iter()
                .try_for_each(|(key, value)| map.insert(key, value))
        })
    }
}

impl<K: Decode + Ord, V: Decode> Decode for BTreeMap<K, V> {
    fn decode(from: &mut Decoder<'_>) -> Result<BTreeMap<K, V>> {
        let mut map = BTreeMap::new();
        from.map(K::decode, |from, key| {
            match map.insert(key, V::decode(from)?) {
                None => Ok(()),
                Some(_) => Err(from.expected("a value whose key the map does not have yet")),
            }
        })?;
        Ok(map)
    }
}

impl<K: Encode, V: Encode, S> Encode for HashMap<K, V, S> {
    fn encode(&self, to: &mut Encoder) -> Result<()> {
        to.map(self.len(), |map| {
            self.iter()
                .try_for_each(|(key, value)| map.insert(key, value))
        })
    }
}

impl<K, V, S> Decode for HashMap<K, V, S>
where
    K: Decode + Eq + Hash,
    V: Decode,
    S: BuildHasher + Default,
{
    fn decode(from: &mut Decoder<'_>) -> Result<HashMap<K, V, S>> {
        let mut map = HashMap::default();
        from.map(K::decode, |from, key| {
            match map.insert(key, V::decode(from)?) {
                None => Ok(()),
                Some(_) => Err(from.expected("a value whose key the map does not have yet")),
            }
        })?;
        Ok(map)
    }
}

impl<T: Encode> Encode for BTreeSet<T> {
    fn encode(&self, to: &mut Encoder) -> Result<()> {
        to.set(self.len(), self.iter())
    }
}

impl<T: Decode + Ord> Decode for BTreeSet<T> {
    fn decode(from: &mut Decoder<'_>) -> Result<BTreeSet<T>> {
        let mut set = BTreeSet::new();
        from.set(|item| set.insert(item))?;
        Ok(set)
    }
}

impl<T: Encode, S> Encode for HashSet<T, S> {
    fn encode(&self, to: &mut Encoder) -> Result<()> {
        to.set(self.len(), self.iter())
    }
}

impl<T: Decode + Eq + Hash, S: BuildHasher + Default> Decode for HashSet<T, S> {
    fn decode(from: &mut Decoder<'_>) -> Result<HashSet<T, S>> {
        let mut set = HashSet::default();
        from.set(|item| set.insert(item))?;
        Ok(set)
    }
}

const ENDS: &[&str] = &["start", "end"];

fn encode_range<T: Encode>(to: &mut Encoder, start: &T, end: &T) -> Result<()> {
    to.fields(ENDS, &[1, 0], |to, place| match place {
        0 => start.encode(to),
        _ => end.encode(to),
    })
}

fn decode_range<T: Decode>(from: &mut Decoder<'_>) -> Result<(T, T)> {
    let (mut start, mut end) = (None, None);
    from.fields(ENDS, &[1, 0], |from, found| {
        match found {
            Ok(0) => start = Some(T::decode(from)?),
            Ok(_) => end = Some(T::decode(from)?),
            Err(_) => return Err(from.expected("the start or the end of a range")),
        }
        Ok(())
    })?;
    match (start, end) {
        (Some(start), Some(end)) => Ok((start, end)),
        _ => Err(from.expected("both ends of a range")),
    }
}

impl<T: Encode> Encode for Range<T> {
    fn encode(&self, to: &mut Encoder) -> Result<()> {
        encode_range(to, &self.start, &self.end)
    }
}

impl<T: Decode> Decode for Range<T> {
    fn decode(from: &mut Decoder<'_>) -> Result<Range<T>> {
        decode_range(from).map(|(start, end)| start..end)
    }
}

impl<T: Encode + PartialOrd> Encode for RangeInclusive<T> {
    fn encode(&self, to: &mut Encoder) -> Result<()> {
        if self.is_empty() && self.start() <= self.end() {
            return Err(Error::invalid_input(
                "an inclusive range was iterated to its end, and would read back as one that was not",
                "store an `Option` of it",
            ));
        }
        encode_range(to, self.start(), self.end())
    }
}

impl<T: Decode> Decode for RangeInclusive<T> {
    fn decode(from: &mut Decoder<'_>) -> Result<RangeInclusive<T>> {
        decode_range(from).map(|(start, end)| start..=end)
    }
}
