//! Each type of std comes back as it was, from the form that the table gives.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::ffi::OsString;
use std::fmt::Debug;
use std::marker::PhantomData;
use std::net::{IpAddr, SocketAddr, SocketAddrV6};
use std::num::NonZero;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::error::{ErrorKind, Result};
use crate::value::{Decode, Encode, Encoder, Value, from_cbor, to_cbor};

fn comes_back<T: Encode + Decode + PartialEq + Debug>(value: T) {
    let bytes = to_cbor(&value).unwrap();
    assert_eq!(from_cbor::<T>(&bytes).unwrap(), value);
    // The strict reader of any value accepts what the type writes.
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
        assert!(to_cbor(&Value::Integer(value)).is_err(), "{value}");
    }
}

#[test]
fn integers_beyond_64_bits_are_bignums_in_one_form() {
    for bits in 63..127 {
        let edge: i128 = 1 << bits;
        for value in [edge - 1, edge, edge + 1, -edge - 1, -edge, -edge + 1] {
            comes_back(value);
            let is_integer = (-(1 << 64)..1 << 64).contains(&value);
            let dynamic: Value = from_cbor(&to_cbor(&value).unwrap()).unwrap();
            assert_eq!(matches!(dynamic, Value::Integer(_)), is_integer, "{value}");
            match u128::try_from(value) {
                Ok(value) => comes_back(value),
                Err(_) => {
                    let error = from_cbor::<u128>(&to_cbor(&value).unwrap()).unwrap_err();
                    assert!(
                        error
                            .to_string()
                            .starts_with("expected an integer that fits u128 at byte 0;"),
                        "{error}"
                    );
                }
            }
            if !is_integer {
                assert!(
                    from_cbor::<u64>(&to_cbor(&value).unwrap()).is_err(),
                    "{value}"
                );
            }
        }
    }
    comes_back(u128::MAX);
    comes_back((i128::MAX, i128::MIN, NonZero::new(u128::MAX)));
    // The examples of RFC 8949.
    assert_eq!(
        to_cbor(&(1_u128 << 64)).unwrap(),
        b"\xC2\x49\x01\0\0\0\0\0\0\0\0"
    );
    assert_eq!(
        to_cbor(&(-(1_i128 << 64) - 1)).unwrap(),
        b"\xC3\x49\x01\0\0\0\0\0\0\0\0"
    );
    for refused in [
        &b"\xC2\x40"[..],
        b"\xC2\x41\x01",
        b"\xC2\x48\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF",
        b"\xC2\x49\0\x01\0\0\0\0\0\0\0",
        b"\xC2\x51\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
        b"\xC2\x01",
        b"\xC4\x49\x01\0\0\0\0\0\0\0\0",
    ] {
        let [unsigned, signed] = [
            from_cbor::<u128>(refused).map(drop),
            from_cbor::<i128>(refused).map(drop),
        ];
        assert_eq!(
            unsigned.unwrap_err().kind(),
            ErrorKind::Decode,
            "{refused:?}"
        );
        assert_eq!(signed.unwrap_err().kind(), ErrorKind::Decode, "{refused:?}");
    }
    let beyond = to_cbor(&(1_u128 << 127)).unwrap();
    assert!(
        from_cbor::<i128>(&beyond)
            .unwrap_err()
            .to_string()
            .starts_with("expected an integer that fits i128 at byte 0;")
    );
}

#[test]
fn floats_come_back_bit_by_bit() {
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
fn an_integer_is_a_float_if_a_float_holds_it_exactly() {
    let read = |value: i128| from_cbor::<f64>(&to_cbor(&value).unwrap());
    for bits in 0..64 {
        for value in [1_i128 << bits, (1 << bits) + 1, (1 << bits) - 1] {
            for value in [value, -value, -value - 1] {
                let float = value as f64;
                match read(value) {
                    Ok(read) => assert_eq!((read, read as i128), (float, value)),
                    Err(error) => {
                        assert_ne!(float as i128, value, "{error}");
                        let said = "expected an integer that a float holds exactly at byte 0";
                        assert!(error.to_string().starts_with(said), "{error}");
                    }
                }
            }
        }
    }
    assert_eq!(read(0).unwrap().to_bits(), 0);
    assert_eq!(read(-(1 << 64)).unwrap(), -(2_f64.powi(64)));
    assert!(read((1 << 64) - 1).is_err());
    assert_eq!(from_cbor::<f32>(&[0x03]).unwrap(), 3.0);
    assert!(refused::<f32>("16777217").starts_with("expected a float that fits f32"));
    // Encoding stays one form, so a float is written back as one, and never read as an integer.
    assert_eq!(json(&from_cbor::<f64>(&[0x03]).unwrap()), "3.0");
    refused::<i64>("3.0");
}

#[test]
fn pointers_are_what_they_point_to() {
    assert_eq!(json(&Box::new(1)), "1");
    comes_back(Box::new(1));
    comes_back(Rc::new("tea".to_owned()));
    comes_back(Arc::new(vec![1_u8]));
    comes_back(Box::<str>::from("tea"));
    comes_back(Rc::<str>::from("tea"));
    comes_back(Arc::<[u8]>::from([1, 2]));
    comes_back(Box::<[u16]>::from([1, 2]));
    comes_back(Cow::<str>::Owned("tea".to_owned()));
    comes_back(Cow::<[u16]>::Owned(vec![1]));
    comes_back(Some(Box::new(Some(1))));
    assert_eq!(json(&Cow::Borrowed("tea")), r#""tea""#);
    let any: [Box<dyn Encode>; 2] = [Box::new(1), Box::new("tea")];
    assert_eq!(json(&any), r#"[1,"tea"]"#);
}

#[test]
fn a_deque_is_a_list_wherever_it_wraps() {
    let mut deque: VecDeque<u16> = VecDeque::with_capacity(4);
    let mut bytes: VecDeque<u8> = VecDeque::with_capacity(4);
    for item in 0..9 {
        deque.push_back(item);
        bytes.push_back(item as u8);
        if deque.len() > 3 {
            deque.pop_front();
            bytes.pop_front();
        }
        comes_back(deque.clone());
        comes_back(bytes.clone());
    }
    assert_eq!(json(&deque), "[6,7,8]");
    assert_eq!(json(&bytes), r#"{"$b64":"BgcI"}"#);
}

#[test]
fn integers_that_are_not_zero_come_back_and_zero_does_not() {
    comes_back(NonZero::<u8>::MAX);
    comes_back(NonZero::<i64>::MIN);
    comes_back(Some(NonZero::<usize>::MIN));
    assert_eq!(json(&NonZero::<u8>::MAX), "255");
    let error = refused::<NonZero<u16>>("0");
    assert!(error.starts_with("expected an integer that is not 0 at byte 0;"));
    refused::<NonZero<u8>>("256");
}

#[test]
fn ranges_come_back_and_one_that_was_used_up_is_refused() {
    comes_back(1..9);
    comes_back(1..=9);
    comes_back(std::ops::RangeInclusive::new(9, 1));
    comes_back("a".to_owned().."b".to_owned());
    assert_eq!(json(&(1..9)), r#"{"end":9,"start":1}"#);
    assert_eq!(json(&(1..=9)), r#"{"end":9,"start":1}"#);
    let mut used = 1..=2;
    used.next();
    comes_back(used.clone());
    used.next();
    assert_eq!(to_cbor(&used).unwrap_err().kind(), ErrorKind::InvalidInput);
    refused::<std::ops::Range<u8>>(r#"{"start":1}"#);
    refused::<std::ops::Range<u8>>(r#"{"start":1,"end":2,"step":1}"#);
    refused::<std::ops::Range<u8>>("[1,2]");
}

#[test]
fn outcomes_and_markers_come_back() {
    type Outcome = std::result::Result<u8, String>;
    comes_back(Outcome::Ok(1));
    comes_back(Outcome::Err("no".to_owned()));
    assert_eq!(json(&Outcome::Ok(1)), r#"{"Ok":1}"#);
    assert_eq!(json(&Outcome::Err("no".to_owned())), r#"{"Err":"no"}"#);
    for wrong in [
        r#"{"ok":1}"#,
        r#"{"Ok":"no"}"#,
        r#""Ok""#,
        r#"{"Ok":1,"Err":"no"}"#,
        "1",
    ] {
        refused::<Outcome>(wrong);
    }
    comes_back(PhantomData::<String>);
    assert_eq!(json(&PhantomData::<str>), "null");
}

#[test]
fn addresses_come_back_as_rfc_9164_has_them() {
    for address in ["192.0.2.1", "2001:db8::1", "::", "::ffff:192.0.2.1"] {
        let address: IpAddr = address.parse().unwrap();
        comes_back(address);
        comes_back(SocketAddr::from((address, 443)));
    }
    let v6 = "2001:db8:1234:deed:beef:cafe:face:feed".parse().unwrap();
    // The examples of the RFC, sections 4 and 5.
    assert_eq!(
        to_cbor(&IpAddr::V6(v6)).unwrap(),
        b"\xD8\x36\x50\x20\x01\x0d\xb8\x12\x34\xde\xed\xbe\xef\xca\xfe\xfa\xce\xfe\xed"
    );
    let v4: IpAddr = "192.0.2.1".parse().unwrap();
    assert_eq!(to_cbor(&v4).unwrap(), b"\xD8\x34\x44\xC0\x00\x02\x01");
    for (flow, scope) in [(1, 0), (0, 2), (3, 4)] {
        comes_back(SocketAddr::from(SocketAddrV6::new(v6, 80, flow, scope)));
    }
    assert_eq!(
        json(&SocketAddr::from((v4, 80))),
        r#"[{"$tag":[52,{"$b64":"wAACAQ=="}]},80]"#
    );
    // One encoding only, and nothing that an address has not.
    refused::<SocketAddr>(r#"[{"$tag":[52,{"$b64":"wAACAQ=="}]},80,1,0]"#);
    refused::<SocketAddr>(r#"[{"$tag":[54,{"$b64":"AAAAAAAAAAAAAAAAAAAAAA=="}]},80,0,0]"#);
    refused::<SocketAddr>(r#"[{"$tag":[52,{"$b64":"wAACAQ=="}]},65536]"#);
    refused::<IpAddr>(r#"{"$tag":[54,{"$b64":"wAACAQ=="}]}"#);
    refused::<IpAddr>(r#"{"$tag":[53,{"$b64":"wAACAQ=="}]}"#);
    refused::<IpAddr>(r#""192.0.2.1""#);
}

#[test]
fn strings_of_the_system_come_back_whatever_their_bytes() {
    comes_back(OsString::from("tea"));
    comes_back(PathBuf::from("/srv/ключ"));
    assert_eq!(json(&PathBuf::from("tea")), r#"{"$b64":"dGVh"}"#);
    assert_eq!(json(std::path::Path::new("tea")), r#"{"$b64":"dGVh"}"#);
    #[cfg(unix)]
    comes_back(PathBuf::from(
        <OsString as std::os::unix::ffi::OsStringExt>::from_vec(vec![b'/', 0xFF]),
    ));
    refused::<PathBuf>(r#""tea""#);
}

#[test]
fn arrays_of_any_length_and_tuples_to_twelve_come_back() {
    comes_back([0_u8; 0]);
    comes_back([7_u16; 100]);
    comes_back([7_u8; 1_000]);
    comes_back((1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, "l".to_owned()));
}

#[test]
fn sets_decode_only_in_the_one_order() {
    // The integers -4 and 0, in the order of their values, which is not that of their bytes.
    for wrong in [&b"\x82\x23\x00"[..], b"\x82\x00\x00", b"\x83\x00\x20\x01"] {
        for error in [
            from_cbor::<BTreeSet<i8>>(wrong).unwrap_err(),
            from_cbor::<HashSet<i8>>(wrong).unwrap_err(),
        ] {
            assert_eq!(error.kind(), ErrorKind::Decode);
            let said = "found an item of a set that repeats or is out of order at byte ";
            assert!(error.to_string().starts_with(said), "{error}");
            assert!(
                error.to_string().ends_with("read anything else as a `Vec`"),
                "{error}"
            );
        }
    }
    assert_eq!(
        from_cbor::<BTreeSet<i8>>(b"\x82\x00\x23").unwrap(),
        BTreeSet::from([-4, 0])
    );
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

/// A key that can be written in two ways.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Rough(i64);

impl Decode for Rough {
    fn decode(from: &mut crate::value::Decoder<'_>) -> Result<Rough> {
        from.float().map(|key| Rough(key.round() as i64))
    }
}

#[test]
fn two_keys_that_are_read_as_one_are_refused() {
    let twice = b"\xA2\x03\x61a\xF9\x42\x00\x61b";
    let place = "`[entry 1]`: expected a value whose key the map does not have yet at byte 7;";
    for refused in [
        from_cbor::<BTreeMap<Rough, String>>(twice).map(drop),
        from_cbor::<HashMap<Rough, String>>(twice).map(drop),
    ] {
        let error = refused.unwrap_err().to_string();
        assert!(error.starts_with(place), "{error}");
    }
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
                1001,
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
