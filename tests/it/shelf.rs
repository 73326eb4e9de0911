//! `Shelf`: what users of Python's `shelve` have, and what they miss.

mod queue;
mod values;

use shelflife::sim::SimDisk;
use shelflife::{Batch, Error, ErrorKind, Options, Result, Shelf, Store, Value};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Duration;
use tempfile::TempDir;

fn folder() -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("things.shelf");
    (dir, path)
}

fn shelf() -> (TempDir, Shelf) {
    let (dir, path) = folder();
    let shelf = Shelf::open(path).unwrap();
    (dir, shelf)
}

fn keys(shelf: &Shelf) -> Vec<String> {
    shelf.keys().collect::<Result<_>>().unwrap()
}

#[test]
fn opening_makes_exactly_the_file_that_was_named() {
    let (dir, path) = folder();
    Shelf::open(&path).unwrap().insert("cup", "tea").unwrap();
    let names: Vec<_> = std::fs::read_dir(dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(names, ["things.shelf"]);
}

#[test]
fn a_missing_file_that_may_not_be_created_is_not_found() {
    let (dir, path) = folder();
    let error = Options::new().create(false).open(&path).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    let error = Options::new().read_only(true).open(&path).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn a_read_only_shelf_reads_and_refuses_to_write() {
    let (_dir, path) = folder();
    Shelf::open(&path).unwrap().insert("cup", "tea").unwrap();
    let shelf = Shelf::from(Options::new().read_only(true).open(&path).unwrap());
    assert_eq!(shelf.get::<String>("cup").unwrap().unwrap(), "tea");
    let refusals = [
        shelf.insert("cup", "milk").unwrap_err(),
        shelf.replace("cup", &1u64).unwrap_err(),
        shelf.remove("cup").unwrap_err(),
        shelf.take::<String>("cup").unwrap_err(),
        shelf.clear().unwrap_err(),
        shelf.extend([("cup", 1u64)]).unwrap_err(),
        shelf.retain(|_, _: String| false).unwrap_err(),
        shelf.get_or_insert_with("new", || 1u64).unwrap_err(),
        shelf
            .update("cup", |_: Option<String>| Ok((None, ())))
            .unwrap_err(),
    ];
    for error in refusals {
        assert_eq!(error.kind(), ErrorKind::ReadOnly, "{error}");
    }
    assert_eq!(shelf.get_or_insert_with("cup", String::new).unwrap(), "tea");
}

#[test]
fn values_of_different_types_stand_side_by_side_and_survive_reopening() {
    let (_dir, path) = folder();
    let shelf = Shelf::open(&path).unwrap();
    let map = BTreeMap::from([("a".to_string(), Some(1.5)), ("b".to_string(), None)]);
    shelf.insert("text", "tea").unwrap();
    shelf.insert("number", &-7i64).unwrap();
    shelf.insert("bytes", &vec![0u8, 255]).unwrap();
    shelf.insert("map", &map).unwrap();
    shelf.insert("nothing", &None::<u64>).unwrap();
    shelf.close().unwrap();

    let shelf = Shelf::open(&path).unwrap();
    assert_eq!(shelf.len().unwrap(), 5);
    assert_eq!(shelf.get::<String>("text").unwrap().unwrap(), "tea");
    assert_eq!(shelf.get::<i64>("number").unwrap(), Some(-7));
    assert_eq!(shelf.get::<Vec<u8>>("bytes").unwrap().unwrap(), [0, 255]);
    assert_eq!(
        shelf
            .get::<BTreeMap<String, Option<f64>>>("map")
            .unwrap()
            .unwrap(),
        map
    );
    assert_eq!(shelf.get::<Option<u64>>("nothing").unwrap(), Some(None));
    assert_eq!(shelf.get::<u64>("absent").unwrap(), None);
}

#[test]
fn insert_tells_new_from_overwritten() {
    let (_dir, shelf) = shelf();
    assert!(shelf.insert("cup", "tea").unwrap());
    assert!(!shelf.insert("cup", "milk").unwrap());
    assert!(shelf.remove("cup").unwrap());
    assert!(!shelf.remove("cup").unwrap());
    assert!(shelf.insert("cup", "tea").unwrap());
}

#[test]
fn a_value_of_another_type_is_a_decode_error_and_stays() {
    let (_dir, shelf) = shelf();
    shelf.insert("cup", "tea").unwrap();
    let errors = [
        shelf.get::<u64>("cup").unwrap_err(),
        shelf.take::<u64>("cup").unwrap_err(),
        shelf.replace("cup", &1u64).unwrap_err(),
        shelf.get_or_insert_with("cup", || 1u64).unwrap_err(),
        shelf
            .update("cup", |n: Option<u64>| Ok((n, ())))
            .unwrap_err(),
        shelf.iter::<u64>().next().unwrap().unwrap_err(),
        shelf.values::<u64>().next().unwrap().unwrap_err(),
        shelf.retain(|_, _: u64| false).unwrap_err(),
    ];
    for error in errors {
        assert_eq!(error.kind(), ErrorKind::Decode, "{error}");
        assert_eq!(error.path(), Some(shelf.store().path()));
        assert_eq!(error.key(), Some("cup"), "{error}");
        let said = format!(
            "`cup` in `{}`: expected an integer at byte 0, found text; decode it as",
            shelf.store().path().display()
        );
        assert!(error.to_string().starts_with(&said), "{error}");
    }
    assert_eq!(shelf.get::<String>("cup").unwrap().unwrap(), "tea");
}

/// They may look like CBOR: the letter `1` is the number -18.
#[test]
fn plain_bytes_are_no_value_of_a_shelf_whatever_they_look_like() {
    let (_dir, shelf) = shelf();
    let (store, plain) = (shelf.store(), b"1");
    store.insert("n", plain).unwrap();
    type Call<'a> = &'a dyn Fn() -> Result<Option<i64>>;
    let refuses: [(&str, Call<'_>); 9] = [
        ("get", &|| shelf.get("n")),
        ("iter", &|| {
            shelf
                .iter()
                .map(|item| item.map(|(_, n)| n))
                .next()
                .transpose()
        }),
        ("values", &|| shelf.values().next().transpose()),
        ("update", &|| shelf.update("n", |n| Ok((n, n)))),
        ("update_many", &|| shelf.update_many(&["n"], |n| Ok(n[0]))),
        ("replace", &|| shelf.replace("n", &7)),
        ("take", &|| shelf.take("n")),
        ("get_or_insert_with", &|| {
            shelf.get_or_insert_with("n", || 7).map(Some)
        }),
        ("pop_first", &|| Ok(shelf.pop_first()?.map(|(_, n)| n))),
    ];
    for (name, call) in refuses {
        let error = call().expect_err(name);
        assert_eq!(error.kind(), ErrorKind::Decode, "{name}");
        assert_eq!(error.key(), Some("n"), "{name}");
        assert!(
            error.to_string().contains("found plain bytes; "),
            "{name}: {error}"
        );
        assert_eq!(
            store.get("n").unwrap().unwrap(),
            plain,
            "{name} changed them"
        );
    }
    let error = shelf.retain(|_, _: i64| false).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Decode);
    // It is a key all the same, and a value takes the place of the bytes.
    assert_eq!(keys(&shelf), ["n"]);
    assert!(!shelf.insert("n", &7).unwrap());
    assert_eq!(shelf.get::<i64>("n").unwrap(), Some(7));
    store.insert("n", plain).unwrap();
    assert!(shelf.remove("n").unwrap());
}

#[test]
fn an_unreadable_item_does_not_end_the_iteration() {
    let (_dir, shelf) = shelf();
    shelf.insert("a", &1u64).unwrap();
    shelf.insert("b", "text").unwrap();
    shelf.store().insert([b'c', 0xFF], [0x03]).unwrap();
    shelf.insert("d", &4u64).unwrap();
    let values: Vec<_> = shelf
        .values::<u64>()
        .map(|value| value.map_err(|error| error.kind()))
        .collect();
    assert_eq!(values, [Ok(1), Err(ErrorKind::Decode), Ok(4)]);
    assert_eq!(keys(&shelf), ["a", "b", "d"]);
    assert_eq!(shelf.iter::<Value>().filter(|item| item.is_ok()).count(), 3);
    let errors: Vec<Error> = shelf.iter::<u64>().filter_map(Result::err).collect();
    assert_eq!(errors[0].key(), Some("b"));
}

#[test]
fn iteration_is_in_the_order_of_the_last_write() {
    let (_dir, shelf) = shelf();
    for key in ["c", "a", "b"] {
        shelf.insert(key, key).unwrap();
    }
    shelf.insert("c", "again").unwrap();
    assert_eq!(keys(&shelf), ["a", "b", "c"]);
    let values: Vec<String> = shelf.values().collect::<Result<_>>().unwrap();
    assert_eq!(values, ["a", "b", "again"]);
    let items: Vec<(String, String)> = shelf.iter().collect::<Result<_>>().unwrap();
    assert_eq!(items[2], ("c".to_string(), "again".to_string()));
}

#[test]
fn an_iterator_sees_what_was_there_when_it_was_made() {
    let (_dir, path) = folder();
    let shelf = Shelf::open(&path).unwrap();
    let other = Shelf::open(&path).unwrap();
    shelf.extend([("a", 1u64), ("b", 2), ("c", 3)]).unwrap();
    let mut seen = Vec::new();
    for item in shelf.iter::<u64>() {
        let (key, n) = item.unwrap();
        other.remove("c").unwrap();
        other.insert("b", &99u64).unwrap();
        other.insert("new", &4u64).unwrap();
        seen.push((key, n));
    }
    assert_eq!(
        seen,
        [
            ("a".to_string(), 1),
            ("b".to_string(), 2),
            ("c".to_string(), 3)
        ]
    );
    assert_eq!(shelf.len().unwrap(), 3);
}

#[test]
fn an_iterator_outlives_its_shelf() {
    let (_dir, shelf) = shelf();
    shelf.extend([("a", 1u64), ("b", 2)]).unwrap();
    let items = shelf.iter::<u64>();
    drop(shelf);
    let counted = thread::spawn(move || items.filter(|item| item.is_ok()).count());
    assert_eq!(counted.join().unwrap(), 2);
}

#[test]
fn the_change_of_a_container_is_not_lost() {
    // In Python `shelf['cart'].append('milk')` changes a copy.
    let (_dir, path) = folder();
    let shelf = Shelf::open(&path).unwrap();
    shelf.insert("cart", &vec!["tea".to_string()]).unwrap();
    let add = |cart: Option<Vec<String>>| {
        let mut cart = cart.unwrap_or_default();
        cart.push("milk".to_string());
        Ok((Some(cart), ()))
    };
    shelf.update("cart", add).unwrap();
    drop(shelf);
    let cart: Vec<String> = Shelf::open(&path).unwrap().get("cart").unwrap().unwrap();
    assert_eq!(cart, ["tea", "milk"]);
}

#[test]
fn update_loses_nothing_between_threads_and_handles() {
    let (_dir, path) = folder();
    let shelves: Vec<_> = (0..2)
        .map(|_| Arc::new(Shelf::open(&path).unwrap()))
        .collect();
    let threads: Vec<_> = (0..4)
        .map(|n| {
            let shelf = Arc::clone(&shelves[n % 2]);
            thread::spawn(move || {
                for _ in 0..50 {
                    shelf
                        .update("n", |n: Option<u64>| Ok((Some(n.unwrap_or(0) + 1), ())))
                        .unwrap();
                }
            })
        })
        .collect();
    threads
        .into_iter()
        .for_each(|thread| thread.join().unwrap());
    assert_eq!(shelves[0].get::<u64>("n").unwrap(), Some(200));
    assert_eq!(shelves[1].get::<u64>("n").unwrap(), Some(200));
}

#[test]
fn update_can_make_and_remove_a_key() {
    let (_dir, shelf) = shelf();
    let answer = shelf
        .update("n", |old: Option<u64>| Ok((old, "absent stays absent")))
        .unwrap();
    assert_eq!(answer, "absent stays absent");
    assert!(!shelf.contains_key("n").unwrap());
    shelf
        .update("n", |_: Option<u64>| Ok((Some(1), ())))
        .unwrap();
    assert_eq!(shelf.get::<u64>("n").unwrap(), Some(1));
    shelf.update("n", |_: Option<u64>| Ok((None, ()))).unwrap();
    assert!(!shelf.contains_key("n").unwrap());
}

#[test]
fn an_update_that_changes_nothing_writes_nothing() {
    let (_dir, path) = folder();
    let shelf = Shelf::open(&path).unwrap();
    shelf.insert("cup", "tea").unwrap();
    let before = std::fs::read(&path).unwrap();
    shelf
        .update("cup", |cup: Option<String>| Ok((cup, ())))
        .unwrap();
    shelf
        .update("absent", |cup: Option<String>| Ok((cup, ())))
        .unwrap();
    shelf.get_or_insert_with("cup", String::new).unwrap();
    assert!(std::fs::read(&path).unwrap() == before, "the file grew");
}

#[test]
fn an_error_or_a_panic_in_an_update_changes_nothing_and_frees_the_shelf() {
    let (_dir, shelf) = shelf();
    shelf.insert("n", &1u64).unwrap();
    let error = shelf
        .update("n", |_: Option<u64>| {
            Err::<(Option<u64>, ()), _>(Error::other("no"))
        })
        .unwrap_err();
    assert_eq!(
        (error.kind(), error.to_string().as_str()),
        (ErrorKind::Other, "no")
    );
    let panicked = thread::scope(|scope| {
        let update = || {
            shelf.update("n", |_: Option<u64>| -> Result<(Option<u64>, ())> {
                panic!("in the closure")
            })
        };
        scope.spawn(update).join()
    });
    assert!(panicked.is_err());
    assert_eq!(shelf.get::<u64>("n").unwrap(), Some(1));
    assert!(!shelf.insert("n", &2u64).unwrap(), "the lock is free");
}

#[test]
fn inside_an_update_reading_works_and_writing_is_refused() {
    let (_dir, shelf) = shelf();
    shelf.insert("price", &3u64).unwrap();
    let total = shelf
        .update("total", |_: Option<u64>| {
            let refused = shelf.insert("price", &4u64).unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::Reentrant);
            let price = shelf.get::<u64>("price")?.unwrap();
            Ok((Some(price), price))
        })
        .unwrap();
    assert_eq!(total, 3);
    assert!(shelf.insert("after", "fine").unwrap());
}

#[test]
fn all_callers_of_get_or_insert_with_see_the_first_ones_value() {
    const ROUNDS: usize = 50;
    let (_dir, path) = folder();
    let made = AtomicUsize::new(0);
    let start = Barrier::new(4);
    let values: Vec<Vec<usize>> = thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|n| {
                let (path, made, start) = (&path, &made, &start);
                scope.spawn(move || {
                    let shelf = Shelf::open(path).unwrap();
                    let round = |round: usize| {
                        start.wait();
                        let make = || {
                            made.fetch_add(1, Ordering::Relaxed);
                            n
                        };
                        shelf.get_or_insert_with(&round.to_string(), make).unwrap()
                    };
                    (0..ROUNDS).map(round).collect()
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    assert_eq!(made.into_inner(), ROUNDS);
    assert!(values.iter().all(|seen| *seen == values[0]), "{values:?}");
}

#[test]
fn of_several_takers_one_gets_the_value() {
    let (_dir, shelf) = shelf();
    for round in 0..20u64 {
        shelf.insert("prize", &round).unwrap();
        let taken: Vec<u64> = thread::scope(|scope| {
            let threads: Vec<_> = (0..4)
                .map(|_| scope.spawn(|| shelf.take::<u64>("prize").unwrap()))
                .collect();
            threads
                .into_iter()
                .filter_map(|thread| thread.join().unwrap())
                .collect()
        });
        assert_eq!(taken, [round]);
    }
}

#[test]
fn extend_is_all_or_nothing() {
    let (_dir, shelf) = shelf();
    // The last one cannot be encoded: it would read back as `None`.
    let error = shelf
        .extend([("a", None), ("b", Some(Some(2u8))), ("c", Some(None))])
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(shelf.is_empty().unwrap());
    shelf.extend([("a", 1u64), ("b", 2), ("a", 3)]).unwrap();
    assert_eq!(
        shelf.get::<u64>("a").unwrap(),
        Some(3),
        "the last of several counts"
    );
    assert_eq!(shelf.len().unwrap(), 2);
}

#[test]
fn retain_removes_what_the_predicate_does_not_want() {
    let (_dir, shelf) = shelf();
    shelf
        .extend((0..3_000u64).map(|n| (n.to_string(), n)))
        .unwrap();
    let mut seen = Vec::new();
    let removed = shelf
        .retain(|key, n: u64| {
            assert_eq!(key, n.to_string());
            seen.push(n);
            n.is_multiple_of(3)
        })
        .unwrap();
    assert_eq!(removed, 2_000);
    assert_eq!(seen, (0..3_000).collect::<Vec<_>>());
    assert_eq!(shelf.len().unwrap(), 1_000);
    assert!(shelf.values::<u64>().all(|n| n.unwrap() % 3 == 0));
}

#[test]
fn retain_leaves_alone_what_changes_meanwhile() {
    let (_dir, path) = folder();
    let shelf = Shelf::open(&path).unwrap();
    let other = Shelf::open(&path).unwrap();
    shelf.extend([("a", 1u64), ("b", 2)]).unwrap();
    let removed = shelf
        .retain(|key, _: u64| {
            if key == "b" {
                other.insert("a", &1u64).unwrap();
            }
            false
        })
        .unwrap();
    assert_eq!((removed, keys(&shelf)), (1, vec!["a".to_string()]));
}

#[test]
fn clear_empties_and_the_shelf_goes_on() {
    let (_dir, path) = folder();
    let shelf = Shelf::open(&path).unwrap();
    shelf.extend([("a", 1u64), ("b", 2)]).unwrap();
    shelf.clear().unwrap();
    assert!(shelf.is_empty().unwrap() && keys(&shelf).is_empty());
    shelf.insert("c", &3u64).unwrap();
    drop(shelf);
    assert_eq!(keys(&Shelf::open(&path).unwrap()), ["c"]);
}

#[test]
fn two_writers_keep_each_others_keys() {
    // With dbm.dumb both succeed and one key vanishes.
    let (_dir, path) = folder();
    let first = Shelf::open(&path).unwrap();
    let second = Shelf::open(&path).unwrap();
    first.insert("x", &1u64).unwrap();
    second.insert("y", &2u64).unwrap();
    first.insert("z", &3u64).unwrap();
    drop((first, second));
    assert_eq!(keys(&Shelf::open(&path).unwrap()), ["x", "y", "z"]);
}

#[test]
fn any_text_is_a_key_and_none_is_a_file_name() {
    let (dir, shelf) = shelf();
    let longest = "k".repeat(65_535);
    let texts = [
        "",
        " ",
        "\0",
        "../../escaped",
        "/etc/passwd",
        "naïve ☕",
        "a\nb",
        &longest,
    ];
    for (n, key) in texts.iter().enumerate() {
        assert!(shelf.insert(key, &n).unwrap(), "{key:?}");
    }
    for (n, key) in texts.iter().enumerate() {
        assert_eq!(shelf.get::<usize>(key).unwrap(), Some(n), "{key:?}");
    }
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    let error = shelf.insert(&"k".repeat(65_536), "too long").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLarge);
    assert_eq!(shelf.len().unwrap(), texts.len());
}

#[test]
fn every_way_to_write_marks_the_value_as_cbor() {
    let (_dir, shelf) = shelf();
    shelf.insert("insert", "v").unwrap();
    shelf.replace("replace", &"v".to_string()).unwrap();
    shelf
        .update("update", |_: Option<String>| {
            Ok((Some("v".to_string()), ()))
        })
        .unwrap();
    shelf
        .get_or_insert_with("get_or_insert_with", || "v".to_string())
        .unwrap();
    shelf.extend([("extend", "v")]).unwrap();
    let entries: Vec<_> = shelf.store().entries().collect::<Result<_>>().unwrap();
    assert_eq!(entries.len(), 5);
    for entry in entries {
        assert!(entry.is_cbor(), "{}", String::from_utf8_lossy(entry.key()));
        assert_eq!(entry.value(), b"\x61v");
    }
}

#[test]
fn a_batch_of_the_store_holds_values_of_several_types() {
    let (_dir, path) = folder();
    let store = Store::open(&path).unwrap();
    let mut batch = Batch::new();
    batch.insert_cbor("n", shelflife::to_cbor(&1u64).unwrap());
    batch.insert_cbor("t", shelflife::to_cbor("tea").unwrap());
    store.write(&batch).unwrap();
    let shelf = Shelf::from(store);
    assert_eq!(shelf.get::<u64>("n").unwrap(), Some(1));
    assert_eq!(shelf.get::<String>("t").unwrap().unwrap(), "tea");
    assert_eq!(shelf.into_store().len().unwrap(), 2);
}

#[test]
fn errors_show_no_value_and_debug_shows_neither_keys_nor_values() {
    let (_dir, shelf) = shelf();
    let canary = "canary-5e1f";
    shelf.insert(canary, canary).unwrap();
    let debug = format!(
        "{shelf:?} {:?} {:?} {:?} {:?}",
        shelf.keys(),
        shelf.keys_with_prefix(canary),
        shelf.iter::<String>(),
        shelf.values::<String>()
    );
    assert!(!debug.contains("canary"), "{debug}");
    shelf.clear().unwrap();
    shelf.insert("cup", canary).unwrap();
    let shown = [
        format!("{:?}", shelf.get::<u64>("cup").unwrap_err()),
        format!("{:?}", shelf.take::<u64>("cup").unwrap_err()),
        format!(
            "{:?}",
            shelf
                .update("cup", |_: Option<u64>| Ok((None, ())))
                .unwrap_err()
        ),
        format!("{:?}", shelf.iter::<u64>().next().unwrap().unwrap_err()),
        format!("{:?}", shelf.pop_first::<u64>().unwrap_err()),
        format!(
            "{:?}",
            shelf.insert(&canary.repeat(10_000), canary).unwrap_err()
        ),
    ];
    for text in shown {
        assert!(!text.contains("canary"), "{text}");
    }
}

#[test]
fn a_key_in_an_error_is_short_and_acts_on_no_terminal() {
    let (_dir, shelf) = shelf();
    let hostile = format!("\u{1b}[2J\n{}", "k".repeat(200));
    shelf.insert(&hostile, "tea").unwrap();
    let error = shelf.get::<u64>(&hostile).unwrap_err();
    assert_eq!(error.key(), Some(hostile.as_str()));
    let text = error.to_string();
    assert!(!text.contains(char::is_control), "{text:?}");
    let begins = format!("`\\u{{1b}}[2J\\n{}...` in ", "k".repeat(59));
    assert!(text.starts_with(&begins), "{text}");
}

#[test]
fn a_shelf_is_shared_by_threads() {
    fn shared<T: Send + Sync + 'static>() {}
    fn sent<T: Send + 'static>() {}
    shared::<Shelf>();
    sent::<shelflife::Items<std::rc::Rc<u8>>>();
    sent::<shelflife::Keys>();
    sent::<shelflife::Values<String>>();
}

#[test]
fn what_a_clock_ahead_hides_is_cleared_and_taken_as_well() {
    for takes in [false, true] {
        let sim = SimDisk::new(1);
        let shelf = Shelf::from(Options::new().disk(sim.disk()).open("/s.shelf").unwrap());
        let start = sim.disk().wall_clock();
        let hours = |hours: u64| start + Duration::from_secs(hours * 3600);
        shelf.insert("cup", "tea").unwrap();
        shelf.insert_until("pot", "tea", hours(1)).unwrap();
        sim.set_wall_clock(hours(2));
        match takes {
            true => assert_eq!(shelf.take::<String>("pot").unwrap(), None, "it has ended"),
            false => shelf.clear().unwrap(),
        }
        sim.set_wall_clock(start);
        assert_eq!(shelf.get::<String>("pot").unwrap(), None, "{takes}");
        assert_eq!(keys(&shelf).len(), usize::from(takes));
    }
}
