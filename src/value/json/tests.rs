use super::*;
use crate::error::ErrorKind;
use crate::value::from_cbor;
use crate::value::tests::Random;

fn read(json: &str) -> Value {
    json.parse()
        .unwrap_or_else(|error| panic!("{json}: {error}"))
}

fn refused(json: &str) -> String {
    let error = json.parse::<Value>().expect_err(json);
    assert_eq!(error.kind(), ErrorKind::InvalidInput, "{json}");
    error.to_string()
}

#[test]
fn random_values_read_back_from_their_json() {
    let (mut random, seed) = Random::new();
    for case in 0..20_000 {
        let value = random.value(4);
        let json = value.to_string();
        let back: Value = json
            .parse()
            .unwrap_or_else(|error| panic!("SHELF_FUZZ_SEED={seed}, case {case}: {error}: {json}"));
        let bytes = to_cbor(&value).unwrap();
        assert_eq!(
            to_cbor(&back).unwrap(),
            bytes,
            "seed {seed}, case {case}: {json}"
        );
        // Read maps are in the order of stored ones, so their JSON is one and the same.
        let stored: Value = from_cbor(&bytes).unwrap();
        assert_eq!(back.to_string(), stored.to_string(), "{json}");
        assert!(!json.contains(|c: char| c.is_control()), "{json:?}");
    }
}

#[test]
fn integers_and_floats_are_told_apart_and_exact() {
    for (json, value) in [
        ("1", Value::Integer(1)),
        ("1.0", Value::Float(1.0)),
        ("1e0", Value::Float(1.0)),
        ("1E+2", Value::Float(100.0)),
        ("-0", Value::Integer(0)),
        ("-0.0", Value::Float(-0.0)),
        ("9007199254740993", Value::Integer((1 << 53) + 1)),
        ("9223372036854775808", Value::Integer(1 << 63)),
        ("18446744073709551615", Value::Integer((1 << 64) - 1)),
        ("-18446744073709551616", Value::Integer(-(1 << 64))),
        ("0.1", Value::Float(0.1)),
        ("1e-400", Value::Float(0.0)),
        ("4.9e-324", Value::Float(5e-324)),
        (
            "123456789012345678901234567890.0",
            Value::Float(1.234_567_890_123_456_8e29),
        ),
    ] {
        assert_eq!(read(json), value, "{json}");
        let again = read(&value.to_string());
        assert_eq!(again, value, "{json}");
    }
    assert_eq!(Value::Float(-0.0).to_string(), "-0.0");
    assert_eq!(Value::Float(1e21).to_string(), "1e21");
    assert_eq!(Value::Float(1e15).to_string(), "1000000000000000.0");
    for beyond in [
        "18446744073709551616",
        "-18446744073709551617",
        "170141183460469231731687303715884105728",
        "1e309",
        "-1e309",
    ] {
        assert!(refused(beyond).contains("beyond"), "{beyond}");
    }
}

#[test]
fn escapes_give_what_json_lacks() {
    for (json, value) in [
        (r#"{"$b64":""}"#, Value::Bytes(vec![])),
        (
            r#"{"$b64":"3q2+7w=="}"#,
            Value::Bytes(vec![0xDE, 0xAD, 0xBE, 0xEF]),
        ),
        (r#"{"$float":"Infinity"}"#, Value::Float(f64::INFINITY)),
        (r#"{"$float":"-Infinity"}"#, Value::Float(f64::NEG_INFINITY)),
        (r#"{"$simple":23}"#, Value::Simple(23)),
        (r#"{"$tag":[1,null]}"#, Value::Tag(1, Box::new(Value::Null))),
        (
            r#"{"$map":[[1,2]]}"#,
            Value::Map(vec![(1.into(), 2.into())]),
        ),
    ] {
        assert_eq!(read(json), value);
        assert_eq!(value.to_string(), json);
    }
    assert!(matches!(read(r#"{"$float":"NaN"}"#), Value::Float(nan) if nan.is_nan()));
}

#[test]
fn a_map_that_looks_like_an_escape_is_still_a_map() {
    for key in [BYTES, FLOAT, MAP, SIMPLE, TAG] {
        for content in ["YQ==".into(), 23.into(), Value::Array(vec![])] {
            let value = Value::Map(vec![(key.into(), content)]);
            let json = value.to_string();
            assert!(json.starts_with(r#"{"$map":[["$"#), "{json}");
            assert_eq!(read(&json), value);
        }
        let two = format!(r#"{{"a":1,"{key}":2}}"#);
        assert_eq!(read(&two).to_string(), two);
    }
    // Only the names that mean something are taken.
    assert_eq!(read(r#"{"$ref":1}"#).to_string(), r#"{"$ref":1}"#);
    assert_eq!(read(r#"{"$":1}"#).to_string(), r#"{"$":1}"#);
}

#[test]
fn an_escape_that_makes_no_sense_is_refused() {
    for json in [
        r#"{"$b64":1}"#,
        r#"{"$b64":"YQ"}"#,
        r#"{"$b64":"YR=="}"#,
        r#"{"$float":"nan"}"#,
        r#"{"$float":1.0}"#,
        r#"{"$map":{}}"#,
        r#"{"$map":[1]}"#,
        r#"{"$map":[[1]]}"#,
        r#"{"$map":[[1,2,3]]}"#,
        r#"{"$simple":20}"#,
        r#"{"$simple":24}"#,
        r#"{"$simple":256}"#,
        r#"{"$simple":-1}"#,
        r#"{"$tag":[1]}"#,
        r#"{"$tag":[-1,1]}"#,
        r#"{"$tag":["a",1]}"#,
    ] {
        for json in [json.to_owned(), format!("[1,{json}]")] {
            assert!(refused(&json).contains("stands for at byte"), "{json}");
        }
    }
    assert_eq!(
        refused(r#" [{"$b64":1}]"#),
        "found something else than `$b64` stands for at byte 2 of the JSON text; \
         write a map with this one key as {\"$map\":[[key,value]]}"
    );
}

#[test]
fn texts_come_back_and_nothing_in_them_reaches_a_terminal() {
    let text = "\u{0}\u{1b}[2J\u{7f}\u{9b}\"\\/\n\r\t\u{8}\u{c}ü水𐅑\u{10FFFF}";
    let json = Value::from(text).to_string();
    assert_eq!(
        json,
        "\"\\u0000\\u001b[2J\\u007f\\u009b\\\"\\\\/\\n\\r\\t\\u0008\\u000cü水𐅑\u{10FFFF}\""
    );
    assert_eq!(read(&json), Value::from(text));
    assert_eq!(
        read(r#""\"\\\/\b\f\n\r\t\u00fc\u6C34\ud800\uDD51""#),
        Value::from("\"\\/\u{8}\u{c}\n\r\tü水𐅑")
    );
}

#[test]
fn space_may_stand_between_everything() {
    let spaced = " \t\r\n{ \"a\" : [ 1 , { } , [ ] ] , \"b\" : null } \n";
    assert_eq!(read(spaced).to_string(), r#"{"a":[1,{},[]],"b":null}"#);
}

#[test]
fn what_is_not_json_is_refused_with_its_place() {
    for json in [
        "",
        " ",
        "nul",
        "nulll",
        "True",
        "NaN",
        "Infinity",
        "-",
        "+1",
        "01",
        "-01",
        "1.",
        ".5",
        "1.e1",
        "1e",
        "1e+",
        "0x1",
        "1 2",
        "[",
        "]",
        "[1",
        "[1,",
        "[1,]",
        "[,1]",
        "[1 2]",
        "[1}",
        "{",
        "{}}",
        "{a:1}",
        "{'a':1}",
        r#"{"a"}"#,
        r#"{"a":}"#,
        r#"{"a":1,}"#,
        r#"{"a":1]"#,
        r#"{"a" 1}"#,
        r#"{1:2}"#,
        r#"{"a":1 "b":2}"#,
        "\"",
        "\"a",
        "\"\\",
        "\"\\x\"",
        "\"\\u12\"",
        "\"\\u12g4\"",
        "\"\\u+123\"",
        "\"\\ud800\"",
        "\"\\ud800x\"",
        "\"\\ud800\\u0041\"",
        "\"\\ud800\\n\"",
        "\"\\udc00\"",
        "\"\\udc00\\ud800\"",
        "\"\n\"",
        "\"\u{0}\"",
        "'a'",
        "\u{feff}1",
        "//1",
        "\u{a0}1",
    ] {
        assert!(refused(json).contains(" at byte "), "{json:?}");
    }
    assert_eq!(
        refused("[1, x]"),
        "expected a value at byte 4 of the JSON text"
    );
    assert_eq!(
        refused("[\"a\tb\"]"),
        "found a control character that is not escaped at byte 3 of the JSON text"
    );
}

#[test]
fn a_key_that_repeats_is_refused_wherever_it_stands() {
    for json in [
        r#"{"a":1,"a":1}"#,
        r#"[{"a":1,"b":2,"\u0061":3}]"#,
        r#"{"$map":[[1,1],[1,2]]}"#,
        r#"{"$map":[[{"$float":"NaN"},1],[{"$float":"NaN"},2]]}"#,
        r#"{"$b64":"","$b64":""}"#,
    ] {
        assert!(refused(json).contains("a key repeats"), "{json}");
    }
}

#[test]
fn every_truncation_of_a_document_is_refused() {
    let json = r#"{"a":[1,-2.5e3,"x\u00e9\n",{"$b64":"YQ=="}],"b":{"$map":[[null,true]]}}"#;
    assert_eq!(
        to_cbor(&read(json)).unwrap(),
        to_cbor(&read(&read(json).to_string())).unwrap()
    );
    for end in 0..json.len() {
        refused(&json[..end]);
    }
}
