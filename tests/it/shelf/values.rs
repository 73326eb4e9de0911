//! Ends, prefixes, several keys in one step, and errors that name the place.

use super::{folder, keys, shelf};
use crate::raw;
use crate::support::{fast_dir, unsynced};
use shelflife::sim::SimDisk;
use shelflife::{Durability, Error, ErrorKind, Options, Result, Shelf, Value, record};
use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, SystemTime};

record! {
    #[derive(Debug, Clone, PartialEq)]
    struct Order { items: Vec<Line>, paid: bool = false }

    #[derive(Debug, Clone, PartialEq)]
    struct Line { name: String, price: f64 }
}

#[test]
fn an_error_names_the_key_and_the_place_in_the_value() {
    let (_dir, shelf) = shelf();
    let wrong: Value = r#"{"items":[{"name":"a","price":1},{"name":"b","price":"free"}]}"#
        .parse()
        .unwrap();
    shelf.insert("cart:17", &wrong).unwrap();
    let error = shelf.get::<Order>("cart:17").unwrap_err();
    let said = format!(
        "`cart:17` in `{}`: `items[1].price`: expected a float at byte 37, found text; decode it as the type that it \
         was encoded from, or as a `Value`",
        shelf.store().path().display()
    );
    assert_eq!(error.to_string(), said);
}

/// Each way to store what could not be given back.
#[test]
fn an_error_of_storing_names_the_key_and_the_place_in_the_value_and_stores_nothing() {
    type Wrong = Vec<Option<Option<u8>>>;
    let (_dir, shelf) = shelf();
    let wrong = || -> Wrong { vec![None, Some(Some(1)), Some(None)] };
    let ways: [&dyn Fn() -> Result<()>; 7] = [
        &|| shelf.insert("cart", &wrong()).map(drop),
        &|| shelf.insert_until("cart", &wrong(), soon()).map(drop),
        &|| shelf.extend([("tea", vec![]), ("cart", wrong())]),
        &|| shelf.replace("cart", &wrong()).map(drop),
        &|| shelf.get_or_insert_with("cart", wrong).map(drop),
        &|| shelf.update("cart", |_: Option<Wrong>| Ok((Some(wrong()), ()))),
        &|| {
            shelf.update_many(&["tea", "cart"], |values: &mut [Option<Wrong>]| {
                values.fill_with(|| Some(vec![]));
                values[1] = Some(wrong());
                Ok(())
            })
        },
    ];
    let said = format!(
        "`cart` in `{}`: `[2]`: a `Some` whose content is null",
        shelf.store().path().display()
    );
    for (nth, way) in ways.iter().enumerate() {
        let error = way().unwrap_err();
        assert!(error.to_string().starts_with(&said), "ways[{nth}]: {error}");
        assert_eq!(error.key(), Some("cart"));
        assert!(shelf.is_empty().unwrap());
    }
    let mut session = shelflife::Session::new();
    let error = session.insert("cart", &wrong()).unwrap_err();
    assert!(
        error.to_string().starts_with("`cart`: `[2]`: a `Some`"),
        "{error}"
    );
    assert_eq!(error.key(), Some("cart"));
}

#[test]
fn what_cannot_be_stored_is_told_with_what_to_do() {
    let (_dir, shelf) = shelf();
    let deep = (0..65).fold(Value::Null, |inner, _| Value::Array(vec![inner]));
    let twice = Value::Map(vec![(Value::Null, Value::Null); 2]);
    let refused = |key: &str, value: &Value| shelf.insert(key, value).unwrap_err().to_string();
    let long = Value::Bytes(vec![0; 128 << 20]);
    for (error, advice) in [
        (
            refused("k", &deep),
            "keep what is inside under a key of its own",
        ),
        (refused("k", &twice), "give each key once"),
        (
            refused("k", &Value::Integer(1 << 64)),
            "store it as an `i128`, as a `u128` or as text",
        ),
        (
            refused(&"k".repeat(65_536), &Value::Null),
            "give it a shorter one",
        ),
        (refused("k", &long), "split the value among several keys"),
    ] {
        assert!(error.ends_with(&format!("; {advice}")), "{error}");
    }
    shelf.store().insert("plain", "1").unwrap();
    let error = shelf.get::<i8>("plain").unwrap_err().to_string();
    assert!(
        error.ends_with("; `Batch::insert_cbor` stores values"),
        "{error}"
    );
    assert_eq!(shelf.len().unwrap(), 1);
}

#[test]
fn numbers_of_a_program_that_knows_integers_only_are_read_as_floats() {
    let (_dir, shelf) = shelf();
    let typed = Order {
        items: vec![Line {
            name: "tea".to_string(),
            price: 3.0,
        }],
        paid: true,
    };
    let from_json: Value = r#"{"items":[{"name":"tea","price":3}],"paid":true}"#
        .parse()
        .unwrap();
    shelf.insert("cart", &from_json).unwrap();
    assert_eq!(shelf.get::<Order>("cart").unwrap(), Some(typed));
}

fn soon() -> SystemTime {
    // As precisely as records hold it.
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap();
    SystemTime::UNIX_EPOCH + Duration::from_secs(now.as_secs() + 600)
}

fn expires(shelf: &Shelf, key: &str) -> Option<SystemTime> {
    shelf.store().entry(key).unwrap().unwrap().expires()
}

#[test]
fn what_ends_is_absent_from_then_on_and_an_update_keeps_its_end() {
    let (_dir, shelf) = shelf();
    let (past, until) = (SystemTime::now() - Duration::from_secs(1), soon());
    assert!(shelf.insert_until("weather", "rain", until).unwrap());
    assert!(!shelf.insert_until("weather", "sun", until).unwrap());
    assert_eq!(expires(&shelf, "weather"), Some(until));
    let append = |old: Option<String>| Ok((old.map(|old| old + "!"), ()));
    shelf.update("weather", append).unwrap();
    assert_eq!(shelf.get::<String>("weather").unwrap().unwrap(), "sun!");
    assert_eq!(expires(&shelf, "weather"), Some(until), "kept by update");
    let append_many = |values: &mut [Option<String>]| {
        values
            .iter_mut()
            .for_each(|value| *value = Some(value.take().unwrap_or_default() + "?"));
        Ok(())
    };
    shelf.update_many(&["weather", "new"], append_many).unwrap();
    assert_eq!(shelf.get::<String>("weather").unwrap().unwrap(), "sun!?");
    assert_eq!(
        expires(&shelf, "weather"),
        Some(until),
        "kept by update_many"
    );
    assert_eq!(expires(&shelf, "new"), None);
    assert_eq!(
        shelf
            .replace("weather", &"fog".to_string())
            .unwrap()
            .unwrap(),
        "sun!?"
    );
    assert_eq!(
        expires(&shelf, "weather"),
        None,
        "a new value is a new entry"
    );

    shelf.insert_until("weather", "hail", past).unwrap();
    assert_eq!(shelf.get::<String>("weather").unwrap(), None);
    assert!(!shelf.contains_key("weather").unwrap());
    assert_eq!(
        (keys(&shelf), shelf.len().unwrap()),
        (vec!["new".to_string()], 1)
    );
    // An entry that has ended is absent to an update as well, and the value that this stores has no end.
    shelf
        .update("weather", |old: Option<String>| {
            Ok((Some(format!("{old:?}")), ()))
        })
        .unwrap();
    assert_eq!(shelf.get::<String>("weather").unwrap().unwrap(), "None");
    assert_eq!(expires(&shelf, "weather"), None);
    assert_eq!(
        shelf.get_or_insert_with("weather", String::new).unwrap(),
        "None"
    );
}

#[test]
fn a_prefix_finds_its_keys_and_decodes_no_others() {
    let (_dir, shelf) = shelf();
    shelf
        .extend([("cart:1", 1u64), ("cart:2", 2), ("car", 3), ("", 4)])
        .unwrap();
    shelf.insert("user:1", "not a number").unwrap();
    shelf.insert("cart:1", &5u64).unwrap();
    let carts: Vec<String> = shelf
        .keys_with_prefix("cart:")
        .collect::<Result<_>>()
        .unwrap();
    assert_eq!(carts, ["cart:2", "cart:1"]);
    let carts: Vec<(String, u64)> = shelf
        .iter_with_prefix("cart:")
        .collect::<Result<_>>()
        .unwrap();
    assert_eq!(
        carts,
        [("cart:2".to_string(), 2), ("cart:1".to_string(), 5)]
    );
    assert_eq!(shelf.keys_with_prefix("x").count(), 0);
    assert_eq!(shelf.keys_with_prefix("").count(), 5);
}

#[test]
fn several_keys_change_in_one_step_or_not_at_all() {
    let (_dir, path) = folder();
    let shelf = Shelf::open(&path).unwrap();
    shelf
        .extend([("ann", 50u64), ("bob", 0), ("eve", 1)])
        .unwrap();
    let answer = shelf
        .update_many(&["ann", "new", "eve"], |values: &mut [Option<u64>]| {
            assert_eq!(values, [Some(50), None, Some(1)]);
            values[0] = Some(30);
            values[1] = Some(20);
            values[2] = None;
            Ok("moved")
        })
        .unwrap();
    assert_eq!(answer, "moved");
    let all: BTreeMap<String, u64> = shelf.iter().collect::<Result<_>>().unwrap();
    let expected = [("ann", 30), ("bob", 0), ("new", 20)].map(|(key, n)| (key.to_string(), n));
    assert_eq!(all, BTreeMap::from(expected));

    let before = std::fs::read(&path).unwrap();
    let unchanged = shelf.update_many(&["ann", "absent"], |_: &mut [Option<u64>]| Ok(()));
    unchanged.unwrap();
    let refused = shelf.update_many(&["ann", "bob"], |values: &mut [Option<u64>]| {
        values[0] = Some(0);
        Err::<(), _>(Error::other("not enough"))
    });
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Other);
    let twice = shelf.update_many(&["ann", "bob", "ann"], |_: &mut [Option<u64>]| Ok(()));
    assert_eq!(twice.unwrap_err().kind(), ErrorKind::InvalidInput);
    let too_much = shelf.update_many(&["new", "ann"], |values: &mut [Option<Value>]| {
        values[0] = Some(Value::Null);
        values[1] = Some(Value::Simple(20));
        Ok(())
    });
    assert_eq!(too_much.unwrap_err().kind(), ErrorKind::InvalidInput);
    assert!(std::fs::read(&path).unwrap() == before, "the file changed");
    let wrong = shelf.update_many(&["ann", "bob"], |_: &mut [Option<String>]| Ok(()));
    assert_eq!(wrong.unwrap_err().key(), Some("ann"));
}

#[test]
fn transfers_between_threads_and_handles_keep_the_sum() {
    let (_dir, path) = folder();
    Shelf::open(&path)
        .unwrap()
        .extend([("a", 500i64), ("b", 500), ("c", 500)])
        .unwrap();
    thread::scope(|scope| {
        for n in 0..4 {
            let path = &path;
            scope.spawn(move || {
                let shelf = Shelf::from(
                    Options::new()
                        .durability(Durability::Os)
                        .open(path)
                        .unwrap(),
                );
                let pairs = [["a", "b"], ["b", "c"], ["c", "a"], ["b", "a"]];
                for amount in 1..=40 {
                    let transfer = |accounts: &mut [Option<i64>]| match accounts {
                        [Some(from), Some(to)] => {
                            *from -= amount;
                            *to += amount;
                            Ok(())
                        }
                        _ => panic!("an account is gone"),
                    };
                    shelf.update_many(&pairs[n], transfer).unwrap();
                    let sum: i64 = shelf.values::<i64>().map(Result::unwrap).sum();
                    assert_eq!(sum, 1_500, "a transfer was seen in part");
                }
            });
        }
    });
}

#[test]
fn a_shelf_neither_shows_nor_changes_what_is_not_its_own() {
    let (_dir, path) = folder();
    let shelf = Shelf::open(&path).unwrap();
    // As the keys of sessions are: a first byte that UTF-8 never has.
    let foreign: [&[u8]; 2] = [b"\xFFs0123456789abcdef", b"text\xFF"];
    for key in foreign {
        shelf.store().insert(key, b"not CBOR \xFF").unwrap();
    }
    assert!(shelf.is_empty().unwrap());
    assert_eq!(shelf.pop_first::<Value>().unwrap(), None);
    shelf.extend([("a", 1u64), ("b", 2)]).unwrap();
    assert_eq!(
        (keys(&shelf), shelf.len().unwrap()),
        (vec!["a".to_string(), "b".to_string()], 2)
    );
    assert_eq!(shelf.iter::<u64>().map(Result::unwrap).count(), 2);
    assert_eq!(shelf.values::<u64>().map(Result::unwrap).count(), 2);
    assert_eq!(shelf.retain(|_, n: u64| n > 1).unwrap(), 1);
    assert_eq!(shelf.pop_first::<u64>().unwrap().unwrap().1, 2);
    shelf.insert("c", &3u64).unwrap();
    shelf.clear().unwrap();
    assert!(shelf.is_empty().unwrap());
    assert_eq!(shelf.store().len().unwrap(), foreign.len());
    for key in foreign {
        assert!(shelf.store().contains_key(key).unwrap());
    }
}

#[test]
fn retain_does_its_work_on_all_that_it_can_read() {
    let (_dir, shelf) = shelf();
    shelf.extend([("a", 1u64), ("b", 2)]).unwrap();
    shelf.insert("text", "tea").unwrap();
    shelf.insert("more text", "milk").unwrap();
    shelf.extend([("c", 3u64), ("d", 4)]).unwrap();
    let error = shelf.retain(|_, n: u64| n.is_multiple_of(2)).unwrap_err();
    assert_eq!(
        (error.kind(), error.key()),
        (ErrorKind::Decode, Some("text"))
    );
    assert!(
        error
            .to_string()
            .contains("found text (and 1 other could not be read)"),
        "{error}"
    );
    assert_eq!(keys(&shelf), ["b", "text", "more text", "d"]);
}

#[test]
fn clear_removes_also_keys_whose_names_are_too_long_for_one_step() {
    let dir = fast_dir();
    let shelf = Shelf::from(unsynced().open(dir.path().join("s.shelf")).unwrap());
    for n in 0..520 {
        shelf.insert(&format!("{n:065535}"), &n).unwrap();
    }
    shelf.clear().unwrap();
    assert!(shelf.is_empty().unwrap());
}

#[test]
fn clear_removes_all_but_what_can_not_be_read_and_says_so() {
    let sim = SimDisk::new(1);
    let open = || Shelf::from(Options::new().disk(sim.disk()).open("/s.shelf").unwrap());
    let shelf = open();
    for key in ["a", "b", "c", "d"] {
        shelf.insert(key, key).unwrap();
    }
    shelf.close().unwrap();
    let first = raw::records(&sim.read("/s.shelf").unwrap())[0].start;
    sim.flip_bit("/s.shelf", (first + raw::HEAD) as u64, 0)
        .unwrap();
    let shelf = open();
    assert_eq!(shelf.clear().unwrap_err().kind(), ErrorKind::Corrupt);
    for key in ["b", "c", "d"] {
        assert!(!shelf.contains_key(key).unwrap(), "{key}");
    }
    assert_eq!(shelf.clear().unwrap_err().kind(), ErrorKind::Corrupt);
}
