//! A read or a write that fails leaves decoder or encoder as it was, so that another can take its place.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::{EXAMPLES, bytes_of};
use crate::error::{Error, ErrorKind, Result};
use crate::value::{Decode, Decoder, Encode, Encoder, Value, ValueKind, from_cbor, to_cbor};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, SystemTime};

type Write = fn(&mut Encoder) -> Result<()>;

struct Written(Write);

impl Encode for Written {
    fn encode(&self, to: &mut Encoder) -> Result<()> {
        self.0(to)
    }
}

fn two(to: &mut Encoder) -> Result<()> {
    to.null()?;
    to.text("two")
}

/// An integer that must not be a bignum.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Narrow(i128);

impl Encode for Narrow {
    fn encode(&self, to: &mut Encoder) -> Result<()> {
        to.integer(self.0)
    }
}

const ONE: Narrow = Narrow(1);
const TOO_MUCH: Narrow = Narrow(i128::MAX);

/// Ways to fail, each after something was written.
const FAILING: &[Write] = &[
    |to| TOO_MUCH.encode(to),
    |to| to.integer(i128::MAX),
    |to| to.simple(20),
    |to| vec![TOO_MUCH].encode(to),
    |to| ("EUR", TOO_MUCH).encode(to),
    |to| [["EUR"]].map(|item| (item, TOO_MUCH)).encode(to),
    |to| to.array(1, |_| Ok(())),
    |to| to.array(1, two),
    |to| to.array(3, |to| to.array(1, two)),
    |to| to.map(1, |_| Ok(())),
    |to| to.map(2, |map| map.insert("a", "b")),
    |to| to.map(1, |map| map.insert("a", &TOO_MUCH)),
    |to| to.map(1, |map| map.insert(&TOO_MUCH, "a")),
    |to| to.map(1, |map| map.insert("a", &Written(two))),
    |to| {
        to.map(2, |map| {
            map.insert("a", "b")?;
            map.insert("a", "c")
        })
    },
    |to| to.tag(1, |_| Ok(())),
    |to| to.tag(1, two),
    |to| to.tag(1, |to| TOO_MUCH.encode(to)),
    |to| Some(()).encode(to),
    |to| Some(TOO_MUCH).encode(to),
    |to| Box::new((ONE, TOO_MUCH)).encode(to),
    |to| BTreeSet::from([ONE, TOO_MUCH]).encode(to),
    |to| BTreeMap::from([(ONE, TOO_MUCH)]).encode(to),
    |to| std::result::Result::<u8, Narrow>::Err(TOO_MUCH).encode(to),
    |to| (ONE..TOO_MUCH).encode(to),
    |to| {
        (0..70)
            .fold(Value::Null, |inner, _| Value::Array(vec![inner]))
            .encode(to)
    },
    |to| {
        to.array(2, |to| {
            "EUR".encode(to).and_then(|()| Err(Error::other("no")))
        })
    },
];

/// Places where something can fail and something else be written: what is around it must not notice.
const AROUND: &[fn(&Written, &mut Encoder) -> Result<()>] = &[
    |inner, to| inner.encode(to),
    |inner, to| to.array(1, |to| inner.encode(to)),
    |inner, to| (1, inner, 2).encode(to),
    |inner, to| to.map(1, |map| map.insert("a", inner)),
    |inner, to| {
        to.map(2, |map| {
            map.insert(inner, "a").and_then(|()| map.insert("b", inner))
        })
    },
    |inner, to| to.tag(1, |to| inner.encode(to)),
    |inner, to| Some((inner, 1)).encode(to),
    |inner, to| Box::new([inner]).encode(to),
    |inner, to| to.variant("a", |to| inner.encode(to)),
    |inner, to| to.fields(&["a"], &[0], |to, _| inner.encode(to)),
];

#[test]
fn a_failed_write_leaves_nothing_behind() {
    struct Case<'a>(&'a Written, fn(&Written, &mut Encoder) -> Result<()>);
    impl Encode for Case<'_> {
        fn encode(&self, to: &mut Encoder) -> Result<()> {
            self.1(self.0, to)
        }
    }
    // Twice, so that a counter that is off by one has its chance.
    macro_rules! fallback {
        ($($place:literal)*) => {
            [$(Written(|to: &mut Encoder| {
                let failing = FAILING[$place];
                failing(to).expect_err("it fails");
                failing(to).expect_err("it fails");
                to.text("too much")
            })),*]
        };
    }
    let cases = fallback!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26);
    assert_eq!(cases.len(), FAILING.len());
    let plain = Written(|to| to.text("too much"));
    for around in AROUND {
        let expected = to_cbor(&Case(&plain, *around)).unwrap();
        assert!(from_cbor::<Value>(&expected).is_ok());
        for (place, failing) in cases.iter().enumerate() {
            assert_eq!(
                to_cbor(&Case(failing, *around)).unwrap(),
                expected,
                "FAILING[{place}]"
            );
        }
    }
}

#[test]
fn a_failed_write_that_nothing_replaces_is_an_item_too_few() {
    for failing in FAILING {
        struct Dropped(Write);
        impl Encode for Dropped {
            fn encode(&self, to: &mut Encoder) -> Result<()> {
                let _ = self.0(to);
                Ok(())
            }
        }
        let error = to_cbor(&(1, Dropped(*failing))).unwrap_err();
        assert_eq!(
            error.to_string(),
            "an `Encode` announced 2 items and wrote 1; let it write as many as it announces"
        );
    }
}

#[test]
fn an_encoder_that_a_panic_left_half_done_stores_nothing() {
    let caught: &[Write] = &[
        |to| {
            let _ = catch_unwind(AssertUnwindSafe(|| to.array(2, |_| panic!("in an array"))));
            to.null()
        },
        |to| {
            to.array(1, |to| {
                let panics = |to: &mut Encoder| to.tag(1, |_| panic!("in a tag"));
                let _ = catch_unwind(AssertUnwindSafe(|| panics(to)));
                to.null()
            })
        },
    ];
    for caught in caught {
        let error = to_cbor(&Written(*caught)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    }
}

/// Reads as `T`; where that fails, as a `Value`, which must then be the whole item.
struct Either<T>(Option<(Value, std::marker::PhantomData<T>)>);

impl<T: Decode> Decode for Either<T> {
    fn decode(from: &mut Decoder<'_>) -> Result<Either<T>> {
        if T::decode(from).is_ok() {
            return Ok(Either(None));
        }
        Ok(Either(Some((
            Value::decode(from)?,
            std::marker::PhantomData,
        ))))
    }
}

#[test]
fn a_failed_read_consumes_nothing() {
    let mut failed = 0;
    macro_rules! check {
        ($($T:ty),* $(,)?) => {
            for (hex, json) in EXAMPLES {
                // Alone, and between others.
                let alone = bytes_of(hex);
                let among = [&[0x83, 0x63, b'o', b'n', b'e'][..], &alone, &[0x02]].concat();
                $(
                    if let Either::<$T>(Some((value, _))) = from_cbor(&alone).unwrap() {
                        assert_eq!(value.to_string(), *json, "{}", stringify!($T));
                        failed += 1;
                    }
                    let (one, middle, two): (String, Either<$T>, u8) = from_cbor(&among).unwrap();
                    assert_eq!((one.as_str(), two), ("one", 2));
                    if let Some((value, _)) = middle.0 {
                        assert_eq!(value.to_string(), *json, "{}", stringify!($T));
                    }
                )*
            }
        };
    }
    check! {
        u8, i8, i64, u128, f32, f64, bool, (), char, String, Vec<u8>, Vec<u16>, [u8; 3], [u16; 3], [char; 25],
        (u8, u8), (String, BTreeMap<String, u8>), (u8, (u8, u8), (u8, u8)), BTreeMap<u8, u8>, BTreeMap<u8, String>,
        BTreeMap<String, u8>, BTreeMap<String, Vec<u16>>, BTreeSet<char>, HashSet<u16>, Option<u8>, Box<u8>,
        std::num::NonZero<u8>, std::ops::Range<u8>, std::result::Result<u8, u8>, IpAddr, SocketAddr, Duration,
        SystemTime, std::path::PathBuf, std::sync::Arc<[bool]>, Level, Limited,
    }
    assert!(failed > 1_000, "only {failed} reads failed");
}

/// By hand, as users write it.
struct Level;

impl Decode for Level {
    fn decode(from: &mut Decoder<'_>) -> Result<Level> {
        match from.text()? {
            "low" => Ok(Level),
            _ => Err(from.expected("a level")),
        }
    }
}

struct Limited;

impl Decode for Limited {
    fn decode(from: &mut Decoder<'_>) -> Result<Limited> {
        let items: Vec<Value> = Vec::decode(from)?;
        match items.len() {
            0 => Ok(Limited),
            _ => Err(from.expected("an empty list")),
        }
    }
}

#[test]
fn a_text_that_is_no_number_is_read_whole() {
    struct NumberOrText(String);
    impl Decode for NumberOrText {
        fn decode(from: &mut Decoder<'_>) -> Result<NumberOrText> {
            let number = i64::decode(from).map(|number| number.to_string());
            number.or_else(|_| String::decode(from)).map(NumberOrText)
        }
    }
    assert_eq!(from_cbor::<NumberOrText>(b"\x64cart").unwrap().0, "cart");
    assert_eq!(from_cbor::<NumberOrText>(b"\x18\x2A").unwrap().0, "42");
}

#[test]
fn the_kind_of_what_comes_next_is_that_of_the_value_that_is_read() {
    struct Peeked(Option<ValueKind>, Value);
    impl Decode for Peeked {
        fn decode(from: &mut Decoder<'_>) -> Result<Peeked> {
            let kind = from.peek();
            assert_eq!(from.peek(), kind, "looking reads nothing");
            Ok(Peeked(kind, Value::decode(from)?))
        }
    }
    for (hex, json) in EXAMPLES {
        let Peeked(kind, value) = from_cbor(&bytes_of(hex)).unwrap();
        let is = match value {
            Value::Null => ValueKind::Null,
            Value::Bool(_) => ValueKind::Bool,
            Value::Integer(_) => ValueKind::Integer,
            Value::Float(_) => ValueKind::Float,
            Value::Bytes(_) => ValueKind::Bytes,
            Value::Text(_) => ValueKind::Text,
            Value::Array(_) => ValueKind::Array,
            Value::Map(_) => ValueKind::Map,
            Value::Tag(..) => ValueKind::Tag,
            Value::Simple(_) => ValueKind::Simple,
        };
        assert_eq!(kind, Some(is), "{json}");
    }
    struct Kind(Option<ValueKind>);
    impl Decode for Kind {
        fn decode(from: &mut Decoder<'_>) -> Result<Kind> {
            let kind = from.peek();
            from.skip().map(|()| Kind(kind))
        }
    }
    assert!(from_cbor::<Kind>(&[]).is_err());
    for first in 0..=255_u8 {
        // Followed by enough for any item.
        let bytes = [&[first][..], &[0; 64]].concat();
        for end in 1..bytes.len() {
            if let Ok(Kind(kind)) = from_cbor(&bytes[..end]) {
                assert!(kind.is_some(), "{first:#04x}");
            }
        }
    }
}
