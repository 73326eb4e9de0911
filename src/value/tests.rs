//! The published examples of CBOR, every hostile form of them, and random values.

mod fallback;
mod memory;
mod records;

use std::fmt::Debug;
use std::io::Write;
use std::thread;
use std::time::Instant;

use super::float::Shortest;
use super::{Decode, Decoder, Value, from_cbor, to_cbor};
use crate::error::{ErrorKind, Result};

/// Decodes by skipping, as an unknown field of a record is.
struct Skipped;

impl Decode for Skipped {
    fn decode(from: &mut Decoder<'_>) -> Result<Skipped> {
        from.skip()?;
        Ok(Skipped)
    }
}

/// Small and seeded: SplitMix64.
pub(super) struct Random(u64);

impl Random {
    /// The seed is `SHELF_FUZZ_SEED`, if that is set, so that a failure can be repeated.
    pub(super) fn new() -> (Random, u64) {
        let seed = std::env::var("SHELF_FUZZ_SEED")
            .ok()
            .and_then(|seed| seed.parse().ok())
            .unwrap_or(8949);
        (Random(seed), seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    /// Any number of bits up to 64, so that small numbers are as likely as large ones.
    fn number(&mut self) -> u64 {
        let bits = self.below(65) as u32;
        self.next().checked_shr(64 - bits).unwrap_or(0)
    }

    fn text(&mut self) -> String {
        let vocabulary = [
            "a", "ключ", "\u{0}", "\u{7f}", "\u{9b}", "\"", "\\", "\n", "水", "𐅑", "$b64", "$map",
        ];
        (0..self.below(4))
            .map(|_| vocabulary[self.below(vocabulary.len())])
            .collect()
    }

    pub(super) fn value(&mut self, levels: usize) -> Value {
        let kinds = if levels == 0 { 7 } else { 10 };
        match self.below(kinds) {
            0 => [Value::Null, Value::Bool(true), Value::Bool(false)][self.below(3)].clone(),
            1 => Value::Integer(i128::from(self.number())),
            2 => Value::Integer(!i128::from(self.number())),
            3 => match self.below(4) {
                0 => Value::Float(f64::from_bits(self.next())),
                1 => Value::Float(f64::from(f32::from_bits(self.next() as u32))),
                2 => Value::Float(Shortest::Half(self.next() as u16).value()),
                _ => Value::Float(self.number() as f64),
            },
            4 => Value::Bytes((0..self.below(40)).map(|_| self.next() as u8).collect()),
            5 => Value::Text(self.text()),
            6 => Value::Simple([0, 19, 23, 32, 255][self.below(5)]),
            7 => Value::Array((0..self.below(5)).map(|_| self.value(levels - 1)).collect()),
            8 => Value::Tag(self.number(), Box::new(self.value(levels - 1))),
            _ => {
                let mut entries: Vec<(Value, Value)> = Vec::new();
                for _ in 0..self.below(5) {
                    let key = match self.below(4) {
                        0 => self.value(levels - 1),
                        _ => Value::Text(self.text()),
                    };
                    let encoded = to_cbor(&key).unwrap();
                    if entries.iter().all(|(k, _)| to_cbor(k).unwrap() != encoded) {
                        entries.push((key, self.value(levels - 1)));
                    }
                }
                Value::Map(entries)
            }
        }
    }
}

fn bytes_of(hex: &str) -> Vec<u8> {
    (0..hex.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
        .collect()
}

/// The examples of RFC 8949, Appendix A, that are in deterministic form, with their JSON.
const EXAMPLES: &[(&str, &str)] = &[
    ("00", "0"),
    ("01", "1"),
    ("0a", "10"),
    ("17", "23"),
    ("1818", "24"),
    ("1819", "25"),
    ("1864", "100"),
    ("1903e8", "1000"),
    ("1a000f4240", "1000000"),
    ("1b000000e8d4a51000", "1000000000000"),
    ("1bffffffffffffffff", "18446744073709551615"),
    (
        "c249010000000000000000",
        r#"{"$tag":[2,{"$b64":"AQAAAAAAAAAA"}]}"#,
    ),
    ("3bffffffffffffffff", "-18446744073709551616"),
    (
        "c349010000000000000000",
        r#"{"$tag":[3,{"$b64":"AQAAAAAAAAAA"}]}"#,
    ),
    ("20", "-1"),
    ("29", "-10"),
    ("3863", "-100"),
    ("3903e7", "-1000"),
    ("f90000", "0.0"),
    ("f98000", "-0.0"),
    ("f93c00", "1.0"),
    ("fb3ff199999999999a", "1.1"),
    ("f93e00", "1.5"),
    ("f97bff", "65504.0"),
    ("fa47c35000", "100000.0"),
    ("fa7f7fffff", "3.4028234663852886e38"),
    ("fb7e37e43c8800759c", "1e300"),
    ("f90001", "5.960464477539063e-8"),
    ("f90400", "6.103515625e-5"),
    ("f9c400", "-4.0"),
    ("fbc010666666666666", "-4.1"),
    ("f97c00", r#"{"$float":"Infinity"}"#),
    ("f97e00", r#"{"$float":"NaN"}"#),
    ("f9fc00", r#"{"$float":"-Infinity"}"#),
    ("f4", "false"),
    ("f5", "true"),
    ("f6", "null"),
    ("f7", r#"{"$simple":23}"#),
    ("f0", r#"{"$simple":16}"#),
    ("f820", r#"{"$simple":32}"#),
    ("f8ff", r#"{"$simple":255}"#),
    (
        "c074323031332d30332d32315432303a30343a30305a",
        r#"{"$tag":[0,"2013-03-21T20:04:00Z"]}"#,
    ),
    ("c11a514b67b0", r#"{"$tag":[1,1363896240]}"#),
    ("c1fb41d452d9ec200000", r#"{"$tag":[1,1363896240.5]}"#),
    ("d74401020304", r#"{"$tag":[23,{"$b64":"AQIDBA=="}]}"#),
    ("d818456449455446", r#"{"$tag":[24,{"$b64":"ZElFVEY="}]}"#),
    (
        "d82076687474703a2f2f7777772e6578616d706c652e636f6d",
        r#"{"$tag":[32,"http://www.example.com"]}"#,
    ),
    ("40", r#"{"$b64":""}"#),
    ("4401020304", r#"{"$b64":"AQIDBA=="}"#),
    ("60", r#""""#),
    ("6161", r#""a""#),
    ("6449455446", r#""IETF""#),
    ("62225c", r#""\"\\""#),
    ("62c3bc", r#""ü""#),
    ("63e6b0b4", r#""水""#),
    ("64f0908591", r#""𐅑""#),
    ("80", "[]"),
    ("83010203", "[1,2,3]"),
    ("8301820203820405", "[1,[2,3],[4,5]]"),
    (
        "98190102030405060708090a0b0c0d0e0f101112131415161718181819",
        "[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25]",
    ),
    ("a0", "{}"),
    ("a201020304", r#"{"$map":[[1,2],[3,4]]}"#),
    ("a26161016162820203", r#"{"a":1,"b":[2,3]}"#),
    ("826161a161626163", r#"["a",{"b":"c"}]"#),
    (
        "a56161614161626142616361436164614461656145",
        r#"{"a":"A","b":"B","c":"C","d":"D","e":"E"}"#,
    ),
];

/// The examples of Appendix A that are well-formed and not in deterministic form.
const NOT_DETERMINISTIC: &[&str] = &[
    "fa7f800000",
    "fa7fc00000",
    "faff800000",
    "fb7ff0000000000000",
    "fb7ff8000000000000",
    "fbfff0000000000000",
    "5f42010243030405ff",
    "7f657374726561646d696e67ff",
    "9fff",
    "9f018202039f0405ffff",
    "9f01820203820405ff",
    "83018202039f0405ff",
    "83019f0203ff820405",
    "9f0102030405060708090a0b0c0d0e0f101112131415161718181819ff",
    "bf61610161629f0203ffff",
    "826161bf61626163ff",
    "bf6346756ef563416d7421ff",
];

/// The examples of RFC 8949, Appendix F, none of which is well-formed.
const NOT_WELL_FORMED: &[&str] = &[
    // The input ends in a head.
    "18",
    "19",
    "1a",
    "1b",
    "1901",
    "1a0102",
    "1b01020304050607",
    "38",
    "58",
    "78",
    "98",
    "9a01ff00",
    "b8",
    "d8",
    "f8",
    "f900",
    "fa0000",
    "fb000000",
    // Strings, arrays and maps are shorter than they say; a tag has no content.
    "41",
    "61",
    "5affffffff00",
    "5bffffffffffffffff010203",
    "7affffffff00",
    "7b7fffffffffffffff010203",
    "81",
    "818181818181818181",
    "8200",
    "a1",
    "a20102",
    "a100",
    "a2000000",
    "c0",
    // An item of indefinite length that is not closed.
    "5f4100",
    "7f6100",
    "9f",
    "9f0102",
    "bf",
    "bf01020102",
    "819f",
    "9f8000",
    "9f9f9f9f9fffffffff",
    "9f819f819f9fffffff",
    // Numbers and simple values that are reserved.
    "1c",
    "1d",
    "1e",
    "3c",
    "3d",
    "3e",
    "5c",
    "5d",
    "5e",
    "7c",
    "7d",
    "7e",
    "9c",
    "9d",
    "9e",
    "bc",
    "bd",
    "be",
    "dc",
    "dd",
    "de",
    "fc",
    "fd",
    "fe",
    "f800",
    "f801",
    "f818",
    "f81f",
    // Chunks of an indefinite string that are none.
    "5f00ff",
    "5f21ff",
    "5f6100ff",
    "5f80ff",
    "5fa0ff",
    "5fc000ff",
    "5fe0ff",
    "7f4100ff",
    "5f5f4100ffff",
    "7f7f6100ffff",
    // A break where none can be.
    "ff",
    "81ff",
    "8200ff",
    "a1ff",
    "a1ff00",
    "a100ff",
    "a20000ff",
    "9f81ff",
    "9f829f819f9fffffffff",
    "bf00ff",
    "bf000000ff",
    "1f",
    "3f",
    "df",
];

fn refused(bytes: &[u8]) -> bool {
    let as_value = from_cbor::<Value>(bytes);
    let as_skipped = from_cbor::<Skipped>(bytes);
    assert_eq!(
        as_value.is_err(),
        as_skipped.is_err(),
        "skipping is as strict as decoding: {bytes:02x?}"
    );
    as_value.is_err_and(|error| {
        assert_eq!(error.kind(), ErrorKind::Decode, "{bytes:02x?}");
        true
    })
}

/// Whether the bytes were accepted; if so, they are what the value encodes to.
fn decodes_to_itself(bytes: &[u8]) -> bool {
    if refused(bytes) {
        return false;
    }
    let value: Value = from_cbor(bytes).unwrap();
    assert_eq!(to_cbor(&value).unwrap(), bytes, "{value:?}");
    true
}

#[test]
fn examples_of_rfc_8949_encode_to_the_same_bytes_and_have_the_json_that_is_meant() {
    for (hex, json) in EXAMPLES {
        let bytes = bytes_of(hex);
        assert!(decodes_to_itself(&bytes), "{hex} is refused");
        let value: Value = from_cbor(&bytes).unwrap();
        assert_eq!(value.to_string(), *json, "{hex}");
        let parsed: Value = json.parse().unwrap();
        assert_eq!(to_cbor(&parsed).unwrap(), bytes, "{json}");
    }
}

#[test]
fn examples_of_rfc_8949_outside_of_deterministic_form_are_refused() {
    for hex in NOT_DETERMINISTIC.iter().chain(NOT_WELL_FORMED) {
        assert!(refused(&bytes_of(hex)), "{hex} is accepted");
    }
    assert_eq!(EXAMPLES.len() + NOT_DETERMINISTIC.len(), 82);
}

#[test]
fn every_truncation_and_every_extension_of_every_example_is_refused() {
    let examples = EXAMPLES.iter().map(|(hex, _)| hex);
    for hex in examples
        .clone()
        .chain(NOT_DETERMINISTIC)
        .chain(NOT_WELL_FORMED)
    {
        let bytes = bytes_of(hex);
        for end in 0..bytes.len() {
            assert!(refused(&bytes[..end]), "{hex} up to {end}");
        }
    }
    for hex in examples.chain(NOT_DETERMINISTIC) {
        for byte in 0..=255 {
            let longer = [bytes_of(hex), vec![byte]].concat();
            assert!(refused(&longer), "{hex} and {byte:#04x}");
        }
    }
}

#[test]
fn other_forms_of_the_same_value_are_refused() {
    for (what, hex) in [
        ("integers in too many bytes", "1817"),
        ("", "1900ff"),
        ("", "1a0000ffff"),
        ("", "1b00000000ffffffff"),
        ("", "3817"),
        ("lengths in too many bytes", "580100"),
        ("", "780161"),
        ("", "980100"),
        ("", "b8010000"),
        ("a tag in too many bytes", "d81700"),
        ("floats in too many bytes", "fa3f800000"),
        ("", "fb3ff0000000000000"),
        ("", "fb47efffffe0000000"),
        ("another NaN", "f97e01"),
        ("", "f9fe00"),
        ("keys out of order", "a201000000"),
        ("", "a2626161006161 00"),
        ("", "a2616100 0100"),
        ("a repeated key", "a200000001"),
        ("text that is not UTF-8", "61ff"),
        ("", "62c080"),
        ("", "63eda080"),
        ("false, true and null as simple values of two bytes", "f814"),
        ("", "f815"),
        ("", "f816"),
        ("", "f817"),
    ] {
        let hex = hex.replace(' ', "");
        assert!(refused(&bytes_of(&hex)), "{hex}: {what}");
    }
}

#[test]
fn every_value_of_up_to_three_bytes_decodes_to_itself_or_is_refused() {
    let mut accepted = 0;
    for first in 0..=255 {
        accepted += u32::from(decodes_to_itself(&[first]));
        for second in 0..=255 {
            accepted += u32::from(decodes_to_itself(&[first, second]));
        }
    }
    // Three bytes only behind heads that take more than one: containers, strings, tags, and numbers.
    for first in (0x18..0x20_u8).chain(0x38..=255) {
        for second in 0..=255 {
            for third in (0..=0x20).chain([0x60, 0x7F, 0x80, 0xA0, 0xC3, 0xF6, 0xF8, 0xF9, 0xFF]) {
                accepted += u32::from(decodes_to_itself(&[first, second, third]));
            }
        }
    }
    assert!(accepted > 10_000, "only {accepted} were accepted");
}

#[test]
fn random_damage_to_random_values_never_panics_and_what_is_accepted_is_deterministic() {
    let (mut random, seed) = Random::new();
    let (mut accepted, mut cases) = (0, 0);
    let began = Instant::now();
    while cases < 100_000 {
        let value = random.value(4);
        let bytes = to_cbor(&value).unwrap();
        assert!(
            decodes_to_itself(&bytes),
            "SHELF_FUZZ_SEED={seed}, case {cases}: {value:?}"
        );
        for _ in 0..8 {
            let mut damaged = bytes.clone();
            for _ in 0..=random.below(3) {
                let at = random.below(damaged.len());
                match random.below(4) {
                    0 => damaged[at] = random.next() as u8,
                    1 => damaged[at] ^= 1 << random.below(8),
                    2 => damaged.insert(at, random.next() as u8),
                    _ if damaged.len() > 1 => drop(damaged.remove(at)),
                    _ => {}
                }
            }
            accepted += u32::from(decodes_to_itself(&damaged));
            cases += 1;
        }
    }
    assert!(accepted > 1_000, "only {accepted} of {cases} were accepted");
    let secs = began.elapsed().as_secs_f64();
    let metric = format!("METRIC value_fuzz_cases={cases} seed={seed} secs={secs:.1}");
    writeln!(std::io::stdout(), "{metric}").unwrap();
}

#[test]
fn random_bytes_never_panic() {
    let (mut random, _) = Random::new();
    let mut accepted = 0;
    for _ in 0..100_000 {
        let bytes: Vec<u8> = (0..random.below(24)).map(|_| random.next() as u8).collect();
        accepted += u32::from(decodes_to_itself(&bytes));
    }
    assert!(accepted > 100, "only {accepted} were accepted");
}

/// Runs it where a recursion that follows its input would end the process.
fn with_a_small_stack(run: impl FnOnce() + Send + 'static) {
    let thread = thread::Builder::new().stack_size(64 << 10);
    thread.spawn(run).unwrap().join().unwrap();
}

#[test]
fn nesting_ends_at_64_levels_and_never_at_the_end_of_the_stack() {
    with_a_small_stack(|| {
        // Arrays, map values, map keys, and tags: what opens a level, and what follows when all are open.
        for (open, close) in [
            (&[0x81][..], &[][..]),
            (&[0xA1, 0x00], &[]),
            (&[0xA1], &[0x00]),
            (&[0xC1], &[]),
        ] {
            let nested = |levels| [open.repeat(levels), vec![0x40], close.repeat(levels)].concat();
            assert!(decodes_to_itself(&nested(64)), "{open:02x?}");
            assert!(refused(&nested(65)), "{open:02x?}");
            assert!(refused(&nested(10_000)), "{open:02x?}");
            assert!(refused(&open.repeat(10_000)), "{open:02x?}");

            let value: Value = from_cbor(&nested(64)).unwrap();
            assert_eq!(value.to_string().parse::<Value>().unwrap(), value);
            let deeper = Value::Array(vec![value]);
            assert_eq!(to_cbor(&deeper).unwrap_err().kind(), ErrorKind::TooLarge);
            let error = deeper.to_string().parse::<Value>().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
        }
        for open in ["[", r#"{"a":"#, r#"{"$map":[["#, r#"{"$tag":[1,"#] {
            let error = open.repeat(10_000).parse::<Value>().unwrap_err();
            assert!(error.to_string().contains("nesting deeper than"), "{error}");
        }
    });
}

#[test]
fn types_that_contain_themselves_are_as_bounded_as_values() {
    #[derive(Debug)]
    struct Tree(Vec<Tree>);

    impl Decode for Tree {
        fn decode(from: &mut Decoder<'_>) -> Result<Tree> {
            Ok(Tree(Vec::decode(from)?))
        }
    }
    with_a_small_stack(|| {
        assert!(from_cbor::<Tree>(&[vec![0x81; 63], vec![0x80]].concat()).is_ok());
        assert!(from_cbor::<Tree>(&[vec![0x81; 10_000], vec![0x80]].concat()).is_err());
        let tree: Tree = from_cbor(&[0x82, 0x80, 0x81, 0x80]).unwrap();
        assert_eq!(tree.0.len(), 2);
    });
}

fn ends_within<T: Decode + Debug>(hex: &str) {
    let error = from_cbor::<T>(&bytes_of(hex)).unwrap_err().to_string();
    let claim = "found an item that the value ends within at byte 0;";
    assert!(error.starts_with(claim), "{hex}: {error}");
}

#[test]
fn a_length_is_compared_with_the_bytes_that_are_there_before_it_is_believed() {
    // 2^63 - 1 and 2^64 - 1 of everything: allocating from the claim would panic, looping over it would not end.
    for length in ["7fffffffffffffff", "ffffffffffffffff"] {
        ends_within::<Value>(&format!("5b{length}00"));
        ends_within::<Value>(&format!("7b{length}00"));
        ends_within::<Value>(&format!("9b{length}00"));
        ends_within::<Value>(&format!("bb{length}0000"));
        ends_within::<Vec<u8>>(&format!("5b{length}00"));
        ends_within::<String>(&format!("7b{length}00"));
        ends_within::<Vec<[u64; 1000]>>(&format!("9b{length}00"));
        ends_within::<Vec<()>>(&format!("9b{length}f6"));
        ends_within::<std::collections::HashMap<u8, u8>>(&format!("bb{length}0000"));
    }
    // A `Decode` that reads nothing must not loop for as long as a length says, either.
    struct Nothing;
    impl Decode for Nothing {
        fn decode(_: &mut Decoder<'_>) -> Result<Nothing> {
            Ok(Nothing)
        }
    }
    assert!(from_cbor::<Vec<Nothing>>(&bytes_of("9bffffffffffffffff")).is_err());
}

#[test]
fn errors_and_debug_output_never_show_what_is_stored() {
    let secret = Value::Map(vec![
        (Value::from("hunter2"), Value::from("hunter2")),
        (Value::Bytes(b"hunter2".to_vec()), Value::Null),
    ]);
    let bytes = to_cbor(&vec![secret]).unwrap();
    let mut errors = vec![
        from_cbor::<Vec<u64>>(&bytes).unwrap_err(),
        from_cbor::<Vec<std::collections::BTreeMap<String, u8>>>(&bytes).unwrap_err(),
        from_cbor::<Vec<Vec<char>>>(&bytes).unwrap_err(),
        "[\"hunter2\", hunter2]".parse::<Value>().unwrap_err(),
        r#"{"hunter2":1,"hunter2":2}"#.parse::<Value>().unwrap_err(),
        r#"{"$b64":"hunter2"}"#.parse::<Value>().unwrap_err(),
    ];
    for at in 0..bytes.len() {
        errors.extend(from_cbor::<Value>(&bytes[..at]).err());
        let mut damaged = bytes.clone();
        damaged[at] = 0xFF;
        errors.extend(from_cbor::<Value>(&damaged).err());
    }
    for error in errors {
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
    }

    struct Debugged;
    impl super::Encode for Debugged {
        fn encode(&self, to: &mut super::Encoder) -> Result<()> {
            to.map(1, |map| {
                map.insert("hunter2", &"hunter2")?;
                assert_eq!(format!("{map:?}"), "MapEncoder { size_bytes: 17, .. }");
                Ok(())
            })?;
            assert_eq!(format!("{to:?}"), "Encoder { size_bytes: 17, .. }");
            Ok(())
        }
    }
    impl Decode for Debugged {
        fn decode(from: &mut Decoder<'_>) -> Result<Debugged> {
            assert_eq!(
                format!("{from:?}"),
                "Decoder { offset: 0, size_bytes: 17, .. }"
            );
            from.skip()?;
            Ok(Debugged)
        }
    }
    from_cbor::<Debugged>(&to_cbor(&Debugged).unwrap()).unwrap();
}

#[test]
fn errors_say_what_was_expected_and_at_which_byte() {
    fn error<T: Decode + Debug>(hex: &str) -> String {
        let error = from_cbor::<T>(&bytes_of(hex)).unwrap_err().to_string();
        error.split(';').next().unwrap().to_owned()
    }
    assert_eq!(
        error::<Vec<String>>("82616103"),
        "`[1]`: expected text at byte 3, found an integer"
    );
    assert_eq!(
        error::<(u8, u8)>("83010203"),
        "expected an array of 2, not of 3, at byte 0"
    );
    assert_eq!(
        error::<[u8; 4]>("43010203"),
        "expected exactly 4 of a kind, not 3, at byte 0"
    );
    assert_eq!(
        error::<Vec<[u16; 2]>>("8183010203"),
        "`[0]`: expected exactly 2 of a kind, not 3, at byte 1"
    );
    assert_eq!(
        error::<Vec<u8>>("820102"),
        "expected bytes at byte 0, found an array"
    );
    assert_eq!(
        error::<i8>("1880"),
        "expected an integer that fits i8 at byte 0"
    );
    assert_eq!(
        error::<Value>("8261610000"),
        "found bytes after the end of the value at byte 4"
    );
    assert_eq!(
        error::<Value>("a3010002000200"),
        "found a key that repeats or is out of order at byte 5"
    );
    assert_eq!(
        error::<Value>("82005f"),
        "`[1]`: found an indefinite length at byte 2"
    );
    assert_eq!(
        error::<Value>("820061ff"),
        "`[1]`: found text that is not UTF-8 at byte 2"
    );
}
