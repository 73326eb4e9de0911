//! The types that `record!` makes of definitions.

use crate::error::ErrorKind;
use crate::record;
use crate::value::{Decode, Encode, Value, from_cbor, to_cbor};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Debug;

record! {
    /// Two structs in one go, one of them with everything that a field can have.
    #[derive(Debug, Clone, PartialEq)]
    pub(crate) struct Everything {
        /// A name that only the raw form can have.
        r#type: String,
        pub(crate) bytes: Vec<u8> = vec![1, 2],
        #[cfg(test)]
        nested: Vec<Inner> = Vec::new(),
        note: Option<String> = None,
    }

    #[derive(Debug, Clone, PartialEq)]
    struct Inner { from: u8, map: u8 = 7, key: u8 = default() }
}

record! {
    #[derive(Debug, PartialEq)]
    struct Empty {}
}

fn default() -> u8 {
    9
}

fn parse<T: Decode>(json: &str) -> crate::Result<T> {
    from_cbor(&to_cbor(&json.parse::<Value>().unwrap()).unwrap())
}

fn json(value: &impl crate::Encode) -> String {
    from_cbor::<Value>(&to_cbor(value).unwrap())
        .unwrap()
        .to_string()
}

#[test]
fn a_record_is_a_map_of_its_fields_and_comes_back() {
    let inner = Inner {
        from: 1,
        map: 2,
        key: 3,
    };
    let value = Everything {
        r#type: "x".to_owned(),
        bytes: vec![],
        nested: vec![inner],
        note: Some("y".to_owned()),
    };
    assert_eq!(
        json(&value),
        r#"{"note":"y","type":"x","bytes":{"$b64":""},"nested":[{"key":3,"map":2,"from":1}]}"#
    );
    assert_eq!(parse::<Everything>(&json(&value)).unwrap(), value);
    assert_eq!(json(&Empty {}), "{}");
    assert_eq!(parse::<Empty>(r#"{"a":1}"#).unwrap(), Empty {});
}

#[test]
fn a_missing_field_takes_its_default_or_is_named_in_the_error() {
    let value: Everything = parse(r#"{"type":"x","nested":[{"from":1}]}"#).unwrap();
    assert_eq!(value.bytes, [1, 2]);
    assert_eq!(
        value.nested,
        [Inner {
            from: 1,
            map: 7,
            key: 9
        }]
    );
    assert_eq!(value.note, None);
    let error = parse::<Everything>(r#"{"note":null}"#).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Decode);
    assert_eq!(
        error.to_string(),
        "expected a field `type` in the map at byte 0; \
         give the field a default if older values lack it"
    );
}

#[test]
fn an_unknown_field_is_skipped_but_not_trusted() {
    assert!(parse::<Inner>(r#"{"from":1,"new":{"$tag":[1,[{"a":[null,1.5]}]]}}"#).is_ok());
    // The unknown field holds text that is not UTF-8, or a map with a key twice.
    assert!(from_cbor::<Inner>(b"\xA2\x61a\x61\xFF\x64from\x01").is_err());
    assert!(from_cbor::<Inner>(b"\xA2\x61a\xA2\x01\x01\x01\x01\x64from\x01").is_err());
    assert!(from_cbor::<Inner>(b"\xA2\x61a\x01\x64from\x01").is_ok());
}

#[test]
fn what_is_not_a_map_with_each_text_key_once_is_refused() {
    assert!(parse::<Inner>("[1]").is_err());
    assert!(parse::<Inner>(r#"{"$map":[[1,1],["from",1]]}"#).is_err());
    assert!(from_cbor::<Inner>(b"\xA2\x64from\x01\x64from\x01").is_err());
    assert!(parse::<Inner>(r#"{"from":256}"#).is_err());
}

fn comes_back<T: Encode + Decode + PartialEq + Debug>(value: T, expected: &str) {
    assert_eq!(json(&value), expected);
    assert_eq!(parse::<T>(expected).unwrap(), value);
}

fn refused<T: Decode + Debug>(json: &str) -> String {
    parse::<T>(json).unwrap_err().to_string()
}

record! {
    /// Every kind of variant, with what can be written around it.
    #[derive(Debug, Clone, PartialEq, Default)]
    #[repr(u8)]
    enum Payment {
        /// Nothing was paid yet.
        #[default]
        Open,
        Cash as "cash",
        Gift(),
        /// By its number.
        Card(String),
        Split(u32, Vec<Payment>),
        #[cfg(test)]
        Transfer {
            /// To whom.
            iban: String,
            #[cfg(test)]
            text as "reason": Option<String>,
            #[cfg(not(test))]
            missing: Missing,
            fee: f64 = 0.5,
        },
        #[cfg(not(test))]
        Never(Missing),
        Nothing {},
    }
}

#[test]
fn an_enum_is_what_serde_tags_externally() {
    comes_back(Payment::Open, r#""Open""#);
    comes_back(Payment::Cash, r#""cash""#);
    comes_back(Payment::Gift(), r#"{"Gift":[]}"#);
    comes_back(Payment::Card("4711".to_owned()), r#"{"Card":"4711"}"#);
    let split = Payment::Split(30, vec![Payment::Open, Payment::Card(String::new())]);
    comes_back(split, r#"{"Split":[30,["Open",{"Card":""}]]}"#);
    let transfer = |text: Option<&str>, fee| Payment::Transfer {
        iban: "DE02".to_owned(),
        text: text.map(str::to_owned),
        fee,
    };
    comes_back(
        transfer(Some("rent"), 1.5),
        r#"{"Transfer":{"fee":1.5,"iban":"DE02","reason":"rent"}}"#,
    );
    assert_eq!(
        parse::<Payment>(r#"{"Transfer":{"iban":"DE02","unknown":[1]}}"#).unwrap(),
        transfer(None, 0.5)
    );
    comes_back(Payment::Nothing {}, r#"{"Nothing":{}}"#);
    assert_eq!(Payment::default(), Payment::Open);
}

#[test]
fn an_enum_refuses_what_none_of_its_variants_is() {
    for (wrong, said) in [
        (
            r#""Cash""#,
            "expected one of the variants `Open`, `cash`, `Gift`, `Card`, `Split`, `Transfer`, `Nothing` at byte 0;",
        ),
        (
            r#"{"Never":1}"#,
            "expected one of the variants `Open`, `cash`, ",
        ),
        (
            r#"{"Open":null}"#,
            "expected the variant `Open` without content at byte 0;",
        ),
        (
            r#""Card""#,
            "expected the variant `Card` with its content at byte 0;",
        ),
        (
            r#""Split""#,
            "expected the variant `Split` with its content at byte 0;",
        ),
        (
            r#""Transfer""#,
            "expected the variant `Transfer` with its content at byte 0;",
        ),
        (
            r#"{"Card":1}"#,
            "`Card`: expected text at byte 6, found an integer;",
        ),
        (
            r#"{"Split":[1]}"#,
            "`Split`: expected an array of 2, not of 1, at byte 7;",
        ),
        (
            r#"{"Split":[1,[{"Card":1}]]}"#,
            "`Split[1][0].Card`: expected text at byte 16, found an integer;",
        ),
        (
            r#"{"Transfer":{"iban":1}}"#,
            "`Transfer.iban`: expected text at byte 16, found an integer;",
        ),
        (
            r#"{"Transfer":{}}"#,
            "`Transfer`: expected a field `iban` in the map at byte 10;",
        ),
        (r#"{"Card":"1","Open":1}"#, "expected one of the variants "),
        ("{}", "expected one of the variants "),
        ("1", "expected a variant at byte 0, found an integer;"),
    ] {
        let error = refused::<Payment>(wrong);
        assert!(error.starts_with(said), "{wrong}: {error}");
    }
}

record! {
    #[derive(Debug, PartialEq)]
    pub(crate) struct Marker;

    #[derive(Debug, PartialEq)]
    struct UserId(u64);

    #[derive(Debug, PartialEq)]
    struct Pair(#[allow(unused)] pub f64, (u8, u8));

    #[derive(Debug, PartialEq)]
    struct Twelve(u8, u8, u8, u8, u8, u8, u8, u8, u8, u8, u8, u8);

    #[derive(Debug, PartialEq)]
    struct NoItems();
}

#[test]
fn structs_without_names_are_what_serde_makes_of_them() {
    comes_back(Marker, "null");
    comes_back(UserId(7), "7");
    comes_back(Pair(1.5, (1, 2)), "[1.5,[1,2]]");
    comes_back(
        Twelve(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12),
        "[1,2,3,4,5,6,7,8,9,10,11,12]",
    );
    comes_back(NoItems(), "[]");
    assert!(refused::<Pair>(r#"[1.5,[1,"x"]]"#).starts_with("`[1][1]`: expected an integer"));
    refused::<Pair>("[1.5]");
    refused::<Marker>("0");
}

record! {
    #[derive(Debug, PartialEq)]
    struct Page<T> { items: Vec<T>, next: Option<u64> }

    #[derive(Debug, PartialEq)]
    struct Index<K: Ord + Clone, V> { entries: BTreeMap<K, V> }

    #[derive(Debug, PartialEq)]
    enum Either<A, B,> { Left(A), Right(B) }

    #[derive(Debug, PartialEq)]
    struct Wrapped<T>(T);
}

#[test]
fn types_have_parameters() {
    comes_back(
        Page {
            items: vec!["a".to_owned()],
            next: None,
        },
        r#"{"next":null,"items":["a"]}"#,
    );
    comes_back(
        Index {
            entries: BTreeMap::from([(1, 2)]),
        },
        r#"{"entries":{"$map":[[1,2]]}}"#,
    );
    comes_back(Either::<u8, String>::Left(1), r#"{"Left":1}"#);
    comes_back(
        Either::<u8, Wrapped<String>>::Right(Wrapped("x".to_owned())),
        r#"{"Right":"x"}"#,
    );
}

record! {
    #[derive(Debug, PartialEq)]
    enum Tree { Leaf(u8), Node { left: Box<Tree>, right: Box<Tree> } }

    #[derive(Debug, PartialEq)]
    struct Folder { name: String, folders: Vec<Folder> = Vec::new(), parent: Option<Box<Folder>> }

    #[derive(Debug, PartialEq)]
    struct Chain(Option<Box<Chain>>);

    #[derive(Debug, PartialEq)]
    enum Expression { Number(i64), Minus(Box<Expression>) }
}

#[test]
fn types_contain_themselves_to_the_limit_of_nesting_and_never_to_the_end_of_the_stack() {
    let leaf = |n| Box::new(Tree::Leaf(n));
    comes_back(
        Tree::Node {
            left: leaf(1),
            right: Box::new(Tree::Node {
                left: leaf(2),
                right: leaf(3),
            }),
        },
        r#"{"Node":{"left":{"Leaf":1},"right":{"Node":{"left":{"Leaf":2},"right":{"Leaf":3}}}}}"#,
    );
    let folder: Folder = parse(r#"{"name":"a","folders":[{"name":"b"}]}"#).unwrap();
    assert_eq!(
        folder.folders[0],
        Folder {
            name: "b".to_owned(),
            folders: vec![],
            parent: None
        }
    );

    let nested = |levels| {
        let number = Expression::Number(1);
        (1..levels).fold(number, |inner, _| Expression::Minus(Box::new(inner)))
    };
    let bytes = to_cbor(&nested(64)).unwrap();
    assert_eq!(from_cbor::<Expression>(&bytes).unwrap(), nested(64));
    assert_eq!(
        to_cbor(&nested(65)).unwrap_err().kind(),
        ErrorKind::TooLarge
    );
    let deeper = [b"\xA1\x65Minus", bytes.as_slice()].concat();
    assert_eq!(
        from_cbor::<Expression>(&deeper).unwrap_err().kind(),
        ErrorKind::Decode
    );

    // Nothing is written between one of these and the next, so only the first can be told from the others.
    comes_back(Chain(None), "null");
    let thread = std::thread::Builder::new().stack_size(256 << 10);
    let looked_at = thread
        .spawn(|| refused::<Chain>("1"))
        .unwrap()
        .join()
        .unwrap();
    assert!(
        looked_at.starts_with("found nesting deeper than 64 levels at byte 0;"),
        "{looked_at}"
    );
    let chain = (0..1_000).fold(Chain(None), |inner, _| Chain(Some(Box::new(inner))));
    assert_eq!(to_cbor(&chain).unwrap_err().kind(), ErrorKind::TooLarge);
}

record! {
    #[derive(Debug, Clone, PartialEq)]
    struct Old { name: String, ..rest }

    #[derive(Debug, PartialEq)]
    struct New {
        name: String,
        /// A field that the old version does not know.
        #[cfg(test)]
        zip as "a zip": u32 = 0,
        tags: Vec<String>,
        ..pub rest,
    }

    #[derive(Debug, PartialEq)]
    struct All { ..rest }
}

#[test]
fn an_old_and_a_new_program_together_lose_nothing() {
    let new = New {
        name: "ann".to_owned(),
        zip: 12345,
        tags: vec!["a".to_owned()],
        rest: BTreeMap::from([("older still".to_owned(), Value::Null)]),
    };
    let bytes = to_cbor(&new).unwrap();
    let mut old: Old = from_cbor(&bytes).unwrap();
    assert_eq!(old.rest.len(), 3);
    assert_eq!(to_cbor(&old).unwrap(), bytes, "written back as it was");
    old.name = "bob".to_owned();
    let back: New = from_cbor(&to_cbor(&old).unwrap()).unwrap();
    assert_eq!(
        back,
        New {
            name: "bob".to_owned(),
            ..new
        }
    );
    let all: All = from_cbor(&bytes).unwrap();
    assert_eq!(to_cbor(&all).unwrap(), bytes);
    // A field of the struct's own cannot stand among the rest, too.
    old.rest.insert("name".to_owned(), Value::Null);
    assert_eq!(to_cbor(&old).unwrap_err().kind(), ErrorKind::InvalidInput);
    // A field that is kept unread is checked as strictly as one that is read.
    assert!(from_cbor::<Old>(b"\xA2\x61a\x61\xFF\x64name\x61a").is_err());
}

record! {
    #[derive(Debug, PartialEq, Default)]
    enum OldPayment { #[default] Open, Card { number: String, ..rest }, Any { ..rest } }

    #[derive(Debug, PartialEq)]
    enum NewPayment {
        Open,
        Card { number: String, #[cfg(test)] holder: Option<String>, ..others },
        #[allow(unused)]
        Any { a: u8 },
    }
}

#[test]
fn a_variant_keeps_what_it_does_not_know() {
    let bytes = to_cbor(&NewPayment::Card {
        number: "4711".to_owned(),
        holder: Some("ann".to_owned()),
        others: BTreeMap::from([("a".to_owned(), Value::Null)]),
    })
    .unwrap();
    let mut old: OldPayment = from_cbor(&bytes).unwrap();
    assert_eq!(to_cbor(&old).unwrap(), bytes, "written back as it was");
    let OldPayment::Card { number, rest } = &mut old else {
        panic!("{old:?}");
    };
    assert_eq!(rest.len(), 2);
    *number = "4712".to_owned();
    assert_eq!(
        json(&old),
        r#"{"Card":{"a":null,"holder":"ann","number":"4712"}}"#
    );
    let any: OldPayment = parse(r#"{"Any":{"a":1,"b":[2]}}"#).unwrap();
    assert_eq!(json(&any), r#"{"Any":{"a":1,"b":[2]}}"#);
    assert_eq!(parse::<OldPayment>(r#""Open""#).unwrap(), OldPayment::Open);
}

/// As programs name what the macro needs names for, too.
const NAMES: [&str; 2] = ["a", "b"];
const ORDER: u8 = 3;
const LEN: usize = 2;

record! {
    #[derive(Debug, PartialEq)]
    struct Named { names: [u8; NAMES.len()] = [1; LEN], order: u8 = ORDER, pair: Listed = Listed([0; LEN], ORDER) }

    #[derive(Debug, PartialEq)]
    struct Listed([u8; LEN], u8);

    /// Fields that the macro has variables of the same name for.
    #[derive(Debug, PartialEq)]
    struct Variables {
        to: u8, from: u8, map: u8, key: u8, place: u8, found: u8, value: u8, default: u8, item: u8, a: u8, b: u8,
        r#self_: u8 = 0, r#type: u8, r#fn as "function": u8 = ORDER, ..others
    }
}

#[test]
fn names_of_the_program_and_of_the_macro_do_not_meet() {
    assert_eq!(
        parse::<Named>("{}").unwrap(),
        Named {
            names: [1, 1],
            order: 3,
            pair: Listed([0, 0], 3)
        }
    );
    let variables = r#"{"a":1,"b":2,"to":3,"key":4,"map":5,"from":6,"item":7,"type":8,"found":9,"place":10,"self_":0,"value":11,"default":12,"function":13}"#;
    assert_eq!(json(&parse::<Variables>(variables).unwrap()), variables);
}

record! {
    #[derive(Debug, PartialEq, Default)]
    struct Attributes {
        #[doc(hidden)]
        #[cfg(test)]
        #[cfg(not(any()))]
        kept: u8 = 1,
        #[cfg(any())]
        gone: Missing = Missing::new(),
        #[allow(unused)]
        last as "first": Option<u8>,
    }
}

#[test]
fn a_field_that_is_not_compiled_is_not_encoded() {
    comes_back(
        Attributes {
            kept: 2,
            last: Some(3),
        },
        r#"{"kept":2,"first":3}"#,
    );
    assert_eq!(
        parse::<Attributes>("{}").unwrap(),
        Attributes {
            kept: 1,
            last: None
        }
    );
}

#[test]
fn an_option_that_is_absent_is_none_and_anything_else_is_missing() {
    record! {
        #[derive(Debug, PartialEq)]
        struct Optional { a: Option<u8>, b: Box<Option<u8>>, c: Option<u8> = Some(7) }
    }
    assert_eq!(
        parse::<Optional>("{}").unwrap(),
        Optional {
            a: None,
            b: Box::new(None),
            c: Some(7)
        }
    );
}

#[test]
fn a_type_of_many_documented_fields_is_no_work_for_the_compiler() {
    macro_rules! many {
        ($($field:ident)*) => {
            record! {
                #[derive(Debug, PartialEq)]
                struct Many { $(#[doc = "A field."] $field: u8 = 1,)* }
            }
            record! {
                #[allow(non_camel_case_types)]
                #[derive(Debug, PartialEq)]
                enum Names { $(#[doc = "A variant."] $field,)* }
            }
        };
    }
    many! {
        a0 a1 a2 a3 a4 a5 a6 a7 a8 a9 b0 b1 b2 b3 b4 b5 b6 b7 b8 b9 c0 c1 c2 c3 c4 c5 c6 c7 c8 c9
        d0 d1 d2 d3 d4 d5 d6 d7 d8 d9 e0 e1 e2 e3 e4 e5 e6 e7 e8 e9 f0 f1 f2 f3 f4 f5 f6 f7 f8 f9
        g0 g1 g2 g3 g4 g5 g6 g7 g8 g9 h0 h1 h2 h3 h4 h5 h6 h7 h8 h9 i0 i1 i2 i3 i4 i5 i6 i7 i8 i9
        j0 j1 j2 j3 j4 j5 j6 j7 j8 j9 k0 k1 k2 k3 k4 k5 k6 k7 k8 k9 l0 l1 l2 l3 l4 l5 l6 l7 l8 l9
        m0 m1 m2 m3 m4 m5 m6 m7 m8 m9
    }
    let many: Many = parse("{}").unwrap();
    assert_eq!(from_cbor::<Many>(&to_cbor(&many).unwrap()).unwrap(), many);
    comes_back(Names::m9, r#""m9""#);
}

#[test]
fn the_order_of_the_definition_does_not_matter_to_the_bytes() {
    record! { struct Sorted { b: u8, c: u8, aa: u8 } }
    record! { struct Unsorted { aa: u8, c: u8, b: u8 } }
    let sorted = to_cbor(&Sorted { b: 1, c: 2, aa: 3 }).unwrap();
    assert_eq!(sorted, b"\xA3\x61b\x01\x61c\x02\x62aa\x03");
    assert_eq!(to_cbor(&Unsorted { b: 1, c: 2, aa: 3 }).unwrap(), sorted);
    let map = HashMap::from([("b", 1), ("c", 2), ("aa", 3)]);
    assert_eq!(to_cbor(&map).unwrap(), sorted);
}

/// Where nothing has a name but what the macro gives one.
#[no_implicit_prelude]
mod bare {
    crate::record! {
        #[derive(Debug, PartialEq)]
        pub(super) struct Kept { a: u8, b: ::std::option::Option<u8> = ::std::option::Option::None, ..pub(super) rest }

        #[derive(Debug, PartialEq)]
        pub(super) enum Any { One, Pair(u8, u8), Named { inner: ::std::boxed::Box<Kept>, ..rest } }
    }
}

#[test]
fn definitions_need_no_prelude() {
    for stored in [
        r#""One""#,
        r#"{"Pair":[1,2]}"#,
        r#"{"Named":{"c":3,"inner":{"a":1,"b":null,"more":[4]}}}"#,
    ] {
        assert_eq!(json(&parse::<bare::Any>(stored).unwrap()), stored);
    }
    let kept: bare::Kept = parse(r#"{"a":1,"more":[4]}"#).unwrap();
    assert_eq!(kept.rest.len(), 1);
}

#[test]
fn an_error_of_encoding_names_the_place_in_the_value() {
    record! {
        struct Plain { a: u8, lines: Vec<(u8, Option<Option<u8>>)> }

        struct Order { lines: Vec<Plain>, paid as "payment": Paid, more: HashMap<String, Value>, ..rest }

        enum Paid { Open, Card(u8, Option<Value>), Cash { amount: Value, ..rest } }
    }
    let beyond = || Value::Integer(i128::MAX);
    let order = |lines, paid| Order {
        lines,
        paid,
        more: HashMap::new(),
        rest: BTreeMap::new(),
    };
    let line = |last| Plain {
        a: 1,
        lines: vec![(1, None), (2, Some(Some(3))), (3, last)],
    };
    let cash = |amount, rest| Paid::Cash { amount, rest };
    let extra = BTreeMap::from([("a secret".to_owned(), beyond())]);
    let mut more = order(vec![], Paid::Open);
    more.more.insert("a secret".to_owned(), beyond());
    for (wrong, place) in [
        (
            order(vec![line(None), line(Some(None))], Paid::Open),
            "lines[1].lines[2][1]",
        ),
        (
            order(vec![], Paid::Card(1, Some(Value::Null))),
            "payment.Card[1]",
        ),
        (
            order(vec![], cash(beyond(), BTreeMap::new())),
            "payment.Cash.amount",
        ),
        (
            order(vec![], cash(Value::Null, extra.clone())),
            "payment.Cash[entry]",
        ),
        (more, "more[entry]"),
    ] {
        let error = to_cbor(&wrong).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(
            error.to_string().starts_with(&format!("`{place}`: a")),
            "{place}: {error}"
        );
    }
    let key = HashMap::from([(Some(()), 1)]);
    assert!(
        to_cbor(&key)
            .unwrap_err()
            .to_string()
            .starts_with("`[key]`: ")
    );
    let set = BTreeSet::from([Some(())]);
    assert!(
        to_cbor(&(1, set))
            .unwrap_err()
            .to_string()
            .starts_with("`[1][item]`: ")
    );
    assert!(
        to_cbor(&beyond())
            .unwrap_err()
            .to_string()
            .starts_with("an integer")
    );
}
