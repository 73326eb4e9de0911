//! The memory that a `Value` may take, and the place in a value that an error names.

use std::collections::BTreeMap;

use super::Random;
use crate::error::{ErrorKind, Result};
use crate::value::{Decode, Decoder, Value, from_cbor, from_cbor_within, to_cbor};

/// All that hangs on a value, by what was allocated, not by what is used.
fn hanging_bytes(value: &Value) -> usize {
    match value {
        Value::Bytes(bytes) => bytes.capacity(),
        Value::Text(text) => text.capacity(),
        Value::Array(items) => {
            let inner: usize = items.iter().map(hanging_bytes).sum();
            items.capacity() * size_of::<Value>() + inner
        }
        Value::Map(entries) => {
            let inner = |(key, value): &(Value, Value)| hanging_bytes(key) + hanging_bytes(value);
            entries.capacity() * size_of::<(Value, Value)>()
                + entries.iter().map(inner).sum::<usize>()
        }
        Value::Tag(_, content) => size_of::<Value>() + hanging_bytes(content),
        _ => 0,
    }
}

#[test]
fn a_value_takes_the_memory_that_it_may_and_not_a_byte_more() {
    let (mut random, seed) = Random::new();
    for case in 0..2_000 {
        let bytes = to_cbor(&random.value(4)).unwrap();
        let taken = size_of::<Value>() + hanging_bytes(&from_cbor(&bytes).unwrap());
        let exact: Value = from_cbor_within(&bytes, taken)
            .unwrap_or_else(|error| panic!("SHELF_FUZZ_SEED={seed}, case {case}: {error}"));
        assert_eq!(size_of::<Value>() + hanging_bytes(&exact), taken);
        let error = from_cbor_within::<Value>(&bytes, taken - 1).unwrap_err();
        assert_eq!(
            error.kind(),
            ErrorKind::TooLarge,
            "SHELF_FUZZ_SEED={seed}, case {case}"
        );
    }
}

#[test]
fn bytes_made_to_take_memory_are_refused_before_it_is_taken() {
    // 4 MiB that would take 128: of nothing but nulls, in one list and in many, and of empty maps.
    let size: u32 = 4 << 20;
    let list = [&[0x9A][..], &size.to_be_bytes(), &vec![0xF6; size as usize]].concat();
    let lists = [
        &[0x99, 0x1F, 0xFF][..],
        &[&[0x99, 2, 0][..], &[0xA0; 512]].concat().repeat(0x1FFF),
    ]
    .concat();
    for hostile in [list, lists] {
        let error = from_cbor::<Value>(&hostile).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TooLarge, "{error}");
        assert!(error.to_string().ends_with(
            "a `Value` takes more memory than it may; decode it as a type of its own, or set another limit with \
             `from_cbor_within`"
        ));
        let error = from_cbor::<BTreeMap<String, Value>>(&hostile).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Decode);
        assert!(from_cbor_within::<Value>(&hostile, usize::MAX).is_ok());
    }
    // A value that takes little is read however large it is: text, and a list of a million numbers.
    let text = to_cbor(&"x".repeat(100 << 20)).unwrap();
    assert!(from_cbor::<Value>(&text).is_ok());
    assert!(from_cbor::<Value>(&to_cbor(&vec![0_i8; 1_000_000]).unwrap()).is_ok());
}

#[test]
fn values_in_lists_in_maps_and_beside_the_fields_of_a_record_count_as_well() {
    crate::record! {
        #[derive(Debug)]
        struct All { ..rest }

        #[derive(Debug)]
        enum Either { One { ..rest } }
    }
    let nulls = to_cbor(&vec![Value::Null; 3 << 20]).unwrap();
    let fields: BTreeMap<String, ()> = (0..1 << 19).map(|key| (format!("{key:x}"), ())).collect();
    let map = to_cbor(&fields).unwrap();
    let variant = [&b"\xA1\x63One"[..], &map].concat();
    for refused in [
        from_cbor::<Vec<Value>>(&nulls).map(drop),
        from_cbor::<Box<[Value]>>(&nulls).map(drop),
        from_cbor_within::<BTreeMap<String, Value>>(&map, 8 << 20).map(drop),
        from_cbor_within::<All>(&map, 8 << 20).map(drop),
        from_cbor_within::<Either>(&variant, 8 << 20).map(drop),
    ] {
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::TooLarge);
    }
    assert_eq!(
        from_cbor_within::<All>(&map, 128 << 20).unwrap().rest.len(),
        1 << 19
    );
}

#[test]
fn what_was_read_in_vain_before_it_was_read_as_something_else_takes_no_memory() {
    type Texts = Vec<(Value, String)>;
    struct Either;

    impl Decode for Either {
        fn decode(from: &mut Decoder<'_>) -> Result<Either> {
            let numbers = Vec::<(Value, u8)>::decode(from);
            assert!(numbers.is_err());
            Texts::decode(from).map(|_| Either)
        }
    }
    let bytes = to_cbor(&vec![(Value::from("a text that takes memory"), "b")]).unwrap();
    let least = (0..1_000).find(|most| from_cbor_within::<Texts>(&bytes, *most).is_ok());
    assert!(least > Some(24));
    assert!(from_cbor_within::<Either>(&bytes, least.unwrap()).is_ok());
}

#[test]
fn a_value_of_json_takes_the_memory_that_it_may_and_not_a_byte_more() {
    let (mut random, seed) = Random::new();
    let mut plain = 0;
    for case in 0..2_000 {
        let value = random.value(4);
        let json = value.to_string();
        let read = Value::from_json_within(&json, usize::MAX).unwrap();
        let taken = hanging_bytes(&read);
        let of_cbor: Value = from_cbor(&to_cbor(&value).unwrap()).unwrap();
        assert_eq!(taken, hanging_bytes(&of_cbor), "{json}");
        if taken > 0 {
            let error = Value::from_json_within(&json, taken - 1).unwrap_err();
            assert_eq!(
                error.kind(),
                ErrorKind::TooLarge,
                "SHELF_FUZZ_SEED={seed}, case {case}"
            );
        }
        // Without the objects that stand for what JSON lacks, of which both forms are there for a moment.
        if !json.contains('$') {
            plain += 1;
            Value::from_json_within(&json, taken)
                .unwrap_or_else(|error| panic!("SHELF_FUZZ_SEED={seed}, case {case}: {error}"));
        }
    }
    assert!(plain > 200, "{plain}");
}

#[test]
fn json_made_to_take_memory_is_refused_before_it_is_taken() {
    let size = 3 << 20;
    let keys: Vec<String> = (0..size / 8).map(|key| format!("\"{key:x}\":0")).collect();
    for hostile in [
        format!("[{}0]", "0,".repeat(size)),
        format!("[{}0]", "[0],".repeat(size / 2)),
        format!("[{}0]", "{},".repeat(size)),
        format!("[{}0]", r#"{"":0},"#.repeat(size / 4)),
        format!("{{{}}}", keys.join(",")),
        format!(r#"[{}0]"#, r#"{"$tag":[1,0]},"#.repeat(size / 8)),
        format!(r#"{{"$map":[{}[0,0]]}}"#, "[0,0],".repeat(size / 4)),
    ] {
        let started = &hostile[..20];
        let error = Value::from_json_within(&hostile, 8 << 20).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TooLarge, "{started}: {error}");
        assert!(error.to_string().ends_with(
            "a `Value` read from JSON takes more memory than it may; split it, or set another limit with \
             `Value::from_json_within`"
        ));
    }
    let error = format!("[{}0]", "0,".repeat(size)).parse::<Value>();
    assert_eq!(error.unwrap_err().kind(), ErrorKind::TooLarge);
    // A value that takes little is read however large it is: text, and a list of a million numbers.
    assert!(
        format!("\"{}\"", "x".repeat(100 << 20))
            .parse::<Value>()
            .is_ok()
    );
    assert!(
        format!("[{}0]", "0,".repeat(1_000_000))
            .parse::<Value>()
            .is_ok()
    );
}

fn place<T: Decode + std::fmt::Debug>(json: &str) -> String {
    let value: Value = json.parse().unwrap();
    let error = from_cbor::<T>(&to_cbor(&value).unwrap()).unwrap_err();
    error.to_string().split(';').next().unwrap().to_owned()
}

#[test]
fn an_error_says_where_in_the_value_it_is_and_what_was_found() {
    crate::record! {
        #[derive(Debug)]
        struct Order { items: Vec<Item>, by_day: BTreeMap<u8, Item> = BTreeMap::new() }

        #[derive(Debug)]
        struct Item { price: f64, size: Option<(u8, u8)> }
    }
    assert_eq!(
        place::<Order>(r#"{"items":[{"price":1},{"price":2.5},{"price":"free"}]}"#),
        "`items[2].price`: expected a float at byte 33, found text"
    );
    assert_eq!(
        place::<Order>(r#"{"items":[{"price":1,"size":[1,256]}]}"#),
        "`items[0].size[1]`: expected an integer that fits u8 at byte 16"
    );
    assert_eq!(
        place::<Order>(r#"{"items":[{"size":null}]}"#),
        "`items[0]`: expected a field `price` in the map at byte 8"
    );
    assert_eq!(
        place::<Order>(r#"{"items":[],"by_day":{"$map":[[1,{"price":1}],[2,{"price":null}]]}}"#),
        "`by_day[entry 1].price`: expected a float at byte 33, found null"
    );
    // Keys of a map are data, and stay out of errors; so do the names of fields that are not known.
    assert_eq!(
        place::<Order>(r#"{"items":[],"by_day":{"secret":{"price":1}}}"#),
        "`by_day[key 0]`: expected an integer at byte 16, found text"
    );
    let unknown = from_cbor::<Order>(b"\xA1\x66secret\x61\xFF")
        .unwrap_err()
        .to_string();
    assert!(
        unknown.starts_with("`[unknown field]`: found text that is not UTF-8 at byte 8;"),
        "{unknown}"
    );
}
