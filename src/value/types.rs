//! [`Encode`] and [`Decode`] for the types of std.
#![deny(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::as_conversions
)]

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::hash::{BuildHasher, Hash};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::cbor::{Decoder, Encoder, integer_beyond};
use super::{Decode, Encode};
use crate::error::Result;

/// What each integer type has in common; the rest is between the braces.
macro_rules! integers {
    ($($int:ident { $($encode_slice:item)? } { $($decode_vec:item)? })*) => {$(
        impl Encode for $int {
            fn encode(&self, to: &mut Encoder) -> Result<()> {
                to.integer(i128::try_from(*self).map_err(|_| integer_beyond())?)
            }
            $($encode_slice)?
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
    u8 {
        fn encode_slice(items: &[u8], to: &mut Encoder) -> Result<()> {
            to.bytes(items)
        }
    } {
        fn decode_vec(from: &mut Decoder<'_>) -> Result<Vec<u8>> {
            Ok(from.bytes()?.to_vec())
        }
    }
    u16 {} {} u32 {} {} u64 {} {} u128 {} {} usize {} {}
    i8 {} {} i16 {} {} i32 {} {} i64 {} {} i128 {} {} isize {} {}
}

impl Encode for f64 {
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

impl Encode for str {
    fn encode(&self, to: &mut Encoder) -> Result<()> {
        to.text(self)
    }
}

impl Encode for String {
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
    fn encode(&self, to: &mut Encoder) -> Result<()> {
        T::encode(self, to)
    }
}

impl<T: Encode> Encode for Option<T> {
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
}

impl<T: Encode> Encode for [T] {
    fn encode(&self, to: &mut Encoder) -> Result<()> {
        T::encode_slice(self, to)
    }
}

impl<T: Encode> Encode for Vec<T> {
    fn encode(&self, to: &mut Encoder) -> Result<()> {
        T::encode_slice(self, to)
    }
}

impl<T: Decode> Decode for Vec<T> {
    fn decode(from: &mut Decoder<'_>) -> Result<Vec<T>> {
        T::decode_vec(from)
    }
}

impl<T: Encode, const N: usize> Encode for [T; N] {
    fn encode(&self, to: &mut Encoder) -> Result<()> {
        T::encode_slice(self, to)
    }
}

impl<T: Decode, const N: usize> Decode for [T; N] {
    fn decode(from: &mut Decoder<'_>) -> Result<[T; N]> {
        let items = T::decode_vec(from)?;
        items
            .try_into()
            .map_err(|_| from.expected(&format!("exactly {N} of a kind")))
    }
}

macro_rules! tuples {
    ($(($($Item:ident $place:tt)+))*) => {$(
        impl<$($Item: Encode),+> Encode for ($($Item,)+) {
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
                    Ok(($($Item::decode(from)?,)+))
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
            map.insert(key, V::decode(from)?);
            Ok(())
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
            map.insert(key, V::decode(from)?);
            Ok(())
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
        from.array(|from| match set.insert(T::decode(from)?) {
            true => Ok(()),
            false => Err(from.expected("an item that the set does not have yet")),
        })?;
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
        from.array(|from| match set.insert(T::decode(from)?) {
            true => Ok(()),
            false => Err(from.expected("an item that the set does not have yet")),
        })?;
        Ok(set)
    }
}

/// Extended time and duration (RFC 9581, sections 3 and 4): a map of seconds and, unless zero, nanoseconds to add.
const TIME: u64 = 1001;
const DURATION: u64 = 1002;
const SECONDS: i8 = 1;
const NANOSECONDS: i8 = -9;
const NANOSECONDS_A_SECOND: u32 = 1_000_000_000;

fn encode_seconds(to: &mut Encoder, tag: u64, seconds: i128, nanoseconds: u32) -> Result<()> {
    to.tag(tag, |to| {
        to.map(if nanoseconds == 0 { 1 } else { 2 }, |map| {
            map.insert(&SECONDS, &seconds)?;
            if nanoseconds != 0 {
                map.insert(&NANOSECONDS, &nanoseconds)?;
            }
            Ok(())
        })
    })
}

/// Other keys of RFC 9581 make a time coarser, vaguer or local, which no type of std can hold.
fn decode_seconds(from: &mut Decoder<'_>, tag: u64) -> Result<(i128, u32)> {
    let mut seconds = None;
    let mut nanoseconds = 0;
    from.tag(tag, |from| {
        from.map(i8::decode, |from, key| {
            match key {
                SECONDS => seconds = Some(from.integer()?),
                NANOSECONDS => {
                    nanoseconds = u32::decode(from)?;
                    if nanoseconds >= NANOSECONDS_A_SECOND {
                        return Err(from.expected("less than a second of nanoseconds"));
                    }
                }
                _ => return Err(from.expected("the key 1 or -9 of a time")),
            }
            Ok(())
        })
    })?;
    match seconds {
        Some(seconds) => Ok((seconds, nanoseconds)),
        None => Err(from.expected("seconds in a time that ends")),
    }
}

impl Encode for Duration {
    fn encode(&self, to: &mut Encoder) -> Result<()> {
        let seconds = i128::from(self.as_secs());
        encode_seconds(to, DURATION, seconds, self.subsec_nanos())
    }
}

impl Decode for Duration {
    fn decode(from: &mut Decoder<'_>) -> Result<Duration> {
        let (seconds, nanoseconds) = decode_seconds(from, DURATION)?;
        match u64::try_from(seconds) {
            Ok(seconds) => Ok(Duration::new(seconds, nanoseconds)),
            Err(_) => Err(from.expected("a duration that is not negative")),
        }
    }
}

impl Encode for SystemTime {
    fn encode(&self, to: &mut Encoder) -> Result<()> {
        let (seconds, nanoseconds) = match self.duration_since(UNIX_EPOCH) {
            Ok(since) => (i128::from(since.as_secs()), since.subsec_nanos()),
            // Nanoseconds are always added: 0.3 s before the epoch is -1 s and 0.7 s.
            Err(before) => {
                let before = before.duration();
                let seconds = i128::from(before.as_secs());
                match before.subsec_nanos() {
                    0 => (seconds.saturating_neg(), 0),
                    some => (!seconds, NANOSECONDS_A_SECOND.saturating_sub(some)),
                }
            }
        };
        encode_seconds(to, TIME, seconds, nanoseconds)
    }
}

impl Decode for SystemTime {
    fn decode(from: &mut Decoder<'_>) -> Result<SystemTime> {
        let (seconds, nanoseconds) = decode_seconds(from, TIME)?;
        u64::try_from(seconds.unsigned_abs())
            .ok()
            .map(Duration::from_secs)
            .and_then(|distance| match seconds {
                ..0 => UNIX_EPOCH.checked_sub(distance),
                _ => UNIX_EPOCH.checked_add(distance),
            })
            .and_then(|time| time.checked_add(Duration::from_nanos(u64::from(nanoseconds))))
            .ok_or_else(|| from.expected("a time that the platform can represent"))
    }
}

#[cfg(test)]
#[allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::as_conversions
)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use crate::value::{Value, from_cbor, to_cbor};
    use std::fmt::Debug;

    fn comes_back<T: Encode + Decode + PartialEq + Debug>(value: T) {
        let bytes = to_cbor(&value).unwrap();
        assert_eq!(from_cbor::<T>(&bytes).unwrap(), value);
        // What the type writes, the strict reader of anything accepts.
        let dynamic: Value = from_cbor(&bytes).unwrap();
        assert_eq!(to_cbor(&dynamic).unwrap(), bytes);
    }

    fn json<T: Encode + ?Sized>(value: &T) -> String {
        let dynamic: Value = from_cbor(&to_cbor(value).unwrap()).unwrap();
        dynamic.to_string()
    }

    fn refused<T: Decode + Debug>(json: &str) -> String {
        let value: Value = json.parse().unwrap();
        let error = from_cbor::<T>(&to_cbor(&value).unwrap()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Decode);
        error.to_string()
    }

    #[test]
    fn integers_come_back_at_every_boundary_and_never_wrap() {
        let mut boundaries: Vec<i128> = vec![0, 1, -1];
        for edge in [23, 24, 255, 256, 65_535, 65_536, (1 << 32) - 1, 1 << 32] {
            boundaries.extend([edge, -edge, -edge - 1]);
        }
        for bits in [7, 8, 15, 16, 31, 32, 63, 64] {
            let edge: i128 = 1 << bits;
            boundaries.extend([edge - 1, edge, -edge - 1, -edge, -edge + 1]);
        }
        for value in boundaries {
            macro_rules! check {
                ($($int:ident)*) => {$(
                    match ($int::try_from(value), to_cbor(&value)) {
                        (Ok(fits), Ok(bytes)) => {
                            assert_eq!(from_cbor::<$int>(&bytes).unwrap(), fits);
                            assert_eq!(to_cbor(&fits).unwrap(), bytes);
                        }
                        (Err(_), Ok(bytes)) => {
                            let error = from_cbor::<$int>(&bytes).unwrap_err();
                            assert_eq!(error.kind(), ErrorKind::Decode, "{value}");
                        }
                        (Ok(fits), Err(_)) => {
                            let error = to_cbor(&fits).unwrap_err();
                            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{value}");
                            assert!(!(-(1 << 64)..1 << 64).contains(&value), "{value}");
                        }
                        (Err(_), Err(_)) => {}
                    }
                )*};
            }
            check!(u8 u16 u32 u64 u128 usize i8 i16 i32 i64 i128 isize);
        }
        for value in [i128::MIN, i128::MAX, 1 << 64, -(1 << 64) - 1] {
            assert!(to_cbor(&value).is_err(), "{value}");
            assert!(to_cbor(&Value::Integer(value)).is_err(), "{value}");
        }
        assert!(to_cbor(&u128::MAX).is_err());
    }

    #[test]
    fn floats_come_back_bit_by_bit_and_are_not_integers() {
        for value in [0.0, -0.0, 1.5, 0.1, f64::MAX, 5e-324, f64::INFINITY] {
            let bytes = to_cbor(&value).unwrap();
            let back: f64 = from_cbor(&bytes).unwrap();
            assert_eq!(back.to_bits(), value.to_bits(), "{value:?}");
        }
        assert_eq!(to_cbor(&-f64::NAN).unwrap(), [0xF9, 0x7E, 0x00]);
        assert!(from_cbor::<f64>(&[0xF9, 0x7E, 0x00]).unwrap().is_nan());
        assert!(from_cbor::<f32>(&[0xF9, 0x7E, 0x00]).unwrap().is_nan());
        comes_back(0.1_f32);
        comes_back(f32::NEG_INFINITY);
        comes_back(f32::MIN_POSITIVE / 2.0);
        assert!(refused::<f32>("0.1").starts_with("expected a float that fits f32 at byte 0;"));
        assert!(refused::<f32>("1e300").starts_with("expected a float that fits f32"));
        refused::<f64>("1");
        refused::<u8>("1.0");
    }

    #[test]
    fn each_type_has_the_encoding_that_the_table_says() {
        assert_eq!(json("tea"), r#""tea""#);
        assert_eq!(json(&'水'), r#""水""#);
        assert_eq!(json(&()), "null");
        assert_eq!(json(&true), "true");
        assert_eq!(json(&vec![1_u8, 2]), r#"{"$b64":"AQI="}"#);
        assert_eq!(json(&[1_u8, 2]), r#"{"$b64":"AQI="}"#);
        assert_eq!(json(&[1_u8, 2][..]), r#"{"$b64":"AQI="}"#);
        assert_eq!(json(&vec![1_i8, 2]), "[1,2]");
        assert_eq!(json(&[1_u16, 2]), "[1,2]");
        assert_eq!(json(&(1, "a", false)), r#"[1,"a",false]"#);
        assert_eq!(json(&(1,)), "[1]");
        assert_eq!(json(&Some(1)), "1");
        assert_eq!(json(&None::<u8>), "null");
    }

    #[test]
    fn types_of_std_come_back() {
        comes_back('\u{10FFFF}');
        comes_back(String::from("水"));
        comes_back(());
        comes_back([1_u8; 32]);
        comes_back([[1_u8; 2]; 3]);
        comes_back(["a".to_owned(), "b".to_owned()]);
        comes_back(vec![Some(1), None]);
        comes_back(vec![vec![0_u8; 300], vec![]]);
        comes_back(((1_u8,), 2_u16, 3_u32, 4_u64, 5_i8, 6_i16, 7_i32, 8_i64));
        comes_back(Value::from(vec![Value::from("a"), Value::from(1.5)]));
    }

    #[test]
    fn reading_is_as_strict_as_the_type() {
        refused::<char>(r#""""#);
        refused::<char>(r#""ab""#);
        refused::<String>(r#"{"$b64":"YQ=="}"#);
        refused::<Vec<u8>>("[1,2]");
        refused::<Vec<u8>>(r#""ab""#);
        refused::<[u8; 2]>(r#"{"$b64":"YQ=="}"#);
        refused::<[u16; 2]>("[1,2,3]");
        refused::<(u8, u8)>("[1]");
        refused::<(u8, u8)>("[1,2,3]");
        refused::<()>(r#"{"$simple":23}"#);
        refused::<bool>("0");
        refused::<BTreeMap<u8, u8>>(r#"{"a":1}"#);
        refused::<BTreeSet<u8>>("[1,1]");
        refused::<HashSet<u8>>("[2,1,2]");
        refused::<u64>("-1");
    }

    #[test]
    fn maps_and_sets_are_sorted_by_their_encoded_keys() {
        // As text sorts and as integers sort these would stand differently.
        let texts = ["b", "aa", "", "ccc", "a"].map(|key| (key.to_owned(), 0_u8));
        let sorted = r#"{"":0,"a":0,"b":0,"aa":0,"ccc":0}"#;
        assert_eq!(json(&BTreeMap::from(texts.clone())), sorted);
        assert_eq!(json(&HashMap::from(texts.clone())), sorted);
        comes_back(BTreeMap::from(texts.clone()));
        comes_back(HashMap::from(texts));
        let integers = [-1_i64, 500, 3, -500, 24];
        assert_eq!(json(&BTreeSet::from(integers)), "[3,24,500,-1,-500]");
        assert_eq!(json(&HashSet::from(integers)), "[3,24,500,-1,-500]");
        comes_back(BTreeSet::from(integers));
        comes_back(HashSet::from(integers));
        comes_back(BTreeMap::from([
            (vec![1_u8], vec![(1, 2)]),
            (vec![], vec![]),
        ]));
    }

    #[test]
    fn two_keys_that_encode_alike_are_refused() {
        let twice = Value::Map(vec![
            (Value::from(1), Value::Null),
            (Value::from(0), Value::Null),
            (Value::from(1), Value::Null),
        ]);
        assert_eq!(to_cbor(&twice).unwrap_err().kind(), ErrorKind::InvalidInput);
    }

    #[test]
    fn a_some_that_would_read_back_as_none_is_refused() {
        for error in [
            to_cbor(&Some(None::<u8>)),
            to_cbor(&Some(())),
            to_cbor(&vec![Some(Value::Null)]),
            to_cbor(&Some(Some(None::<Option<u8>>))),
        ] {
            assert_eq!(error.unwrap_err().kind(), ErrorKind::InvalidInput);
        }
        comes_back(Some(Some(1)));
        comes_back(None::<Option<u8>>);
        comes_back(Some(vec![None::<u8>]));
    }

    #[test]
    fn an_encode_that_does_not_add_up_is_refused() {
        struct Wrong(fn(&mut Encoder) -> Result<()>);
        impl Encode for Wrong {
            fn encode(&self, to: &mut Encoder) -> Result<()> {
                self.0(to)
            }
        }
        for wrong in [
            Wrong(|_| Ok(())),
            Wrong(|to| to.null().and_then(|()| to.null())),
            Wrong(|to| to.array(2, |to| to.null())),
            Wrong(|to| to.array(0, |to| to.null())),
            Wrong(|to| to.array(1, |to| to.array(1, |_| Ok(())))),
            Wrong(|to| to.map(1, |_| Ok(()))),
            Wrong(|to| to.map(0, |map| map.insert("a", "b"))),
            Wrong(|to| to.map(1, |map| map.insert(&Wrong(|_| Ok(())), "b"))),
            Wrong(|to| to.map(1, |map| map.insert("a", &Wrong(|_| Ok(()))))),
            Wrong(|to| to.tag(1, |_| Ok(()))),
            Wrong(|to| to.tag(1, |to| to.null().and_then(|()| to.float(1.0)))),
            Wrong(|to| to.simple(20)),
            Wrong(|to| to.simple(22)),
            Wrong(|to| to.simple(24)),
            Wrong(|to| to.simple(31)),
        ] {
            let error = to_cbor(&wrong).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
        }
    }

    #[test]
    fn times_and_durations_come_back_to_the_nanosecond() {
        let nanosecond = Duration::from_nanos(1);
        for duration in [
            Duration::ZERO,
            nanosecond,
            Duration::from_nanos(999_999_999),
            Duration::from_secs(1),
            Duration::new(1_700_000_000, 123_456_789),
            Duration::MAX,
        ] {
            comes_back(duration);
            for time in [
                UNIX_EPOCH.checked_add(duration),
                UNIX_EPOCH.checked_sub(duration),
            ] {
                time.into_iter().for_each(comes_back);
            }
        }
        comes_back(UNIX_EPOCH - Duration::from_secs(1) - nanosecond);
        comes_back(SystemTime::now());
        // The least and the greatest second that the platform has.
        for sign in [1, -1] {
            let mut seconds: i128 = 0;
            for bit in (0..64).rev() {
                let further = seconds + sign * (1 << bit);
                let time = Value::Tag(
                    TIME,
                    Box::new(Value::Map(vec![(Value::from(1), Value::Integer(further))])),
                );
                if let Ok(bytes) = to_cbor(&time)
                    && let Ok(time) = from_cbor::<SystemTime>(&bytes)
                {
                    assert_eq!(to_cbor(&time).unwrap(), bytes);
                    seconds = further;
                }
            }
            assert!(seconds.abs() > 1 << 40, "{seconds}");
        }
    }

    #[test]
    fn times_and_durations_are_those_of_rfc_9581() {
        let time = UNIX_EPOCH + Duration::new(1_363_896_240, 40);
        assert_eq!(
            json(&time),
            r#"{"$tag":[1001,{"$map":[[1,1363896240],[-9,40]]}]}"#
        );
        let before = UNIX_EPOCH - Duration::from_millis(300);
        assert_eq!(
            json(&before),
            r#"{"$tag":[1001,{"$map":[[1,-1],[-9,700000000]]}]}"#
        );
        assert_eq!(
            json(&Duration::from_secs(60)),
            r#"{"$tag":[1002,{"$map":[[1,60]]}]}"#
        );
        for json in [
            r#"{"$tag":[1002,{"$map":[[1,1]]}]}"#,
            r#"{"$tag":[1001,{"$map":[[-9,1]]}]}"#,
            r#"{"$tag":[1001,{"$map":[[1,1],[-9,1000000000]]}]}"#,
            r#"{"$tag":[1001,{"$map":[[1,1],[-9,-1]]}]}"#,
            r#"{"$tag":[1001,{"$map":[[1,1],[-3,1]]}]}"#,
            r#"{"$tag":[1001,{"$map":[[1,1.5]]}]}"#,
            r#"{"$tag":[1001,{"$map":[[1,18446744073709551615]]}]}"#,
            r#"{"$tag":[1001,{"$map":[[1,-18446744073709551616]]}]}"#,
            r#"{"$tag":[1001,1]}"#,
            "1",
        ] {
            refused::<SystemTime>(json);
        }
        refused::<Duration>(r#"{"$tag":[1002,{"$map":[[1,-1]]}]}"#);
        refused::<Duration>(r#"{"$tag":[1001,{"$map":[[1,1]]}]}"#);
    }
}
