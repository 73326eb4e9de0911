//! The map: what it holds, and that it holds it.

use shelflife::sim::SimDisk;
use shelflife::{Batch, Change, Compaction, Disk, Durability, Error, ErrorKind, Options, Store};
use std::path::Path;
use std::time::{Duration, SystemTime};

struct Fixture {
    dir: tempfile::TempDir,
    store: Option<Store>,
}

impl Fixture {
    fn new() -> Fixture {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path().join("s.shelf")).unwrap();
        Fixture {
            dir,
            store: Some(store),
        }
    }

    fn path(&self) -> std::path::PathBuf {
        self.dir.path().join("s.shelf")
    }

    fn store(&self) -> &Store {
        self.store.as_ref().unwrap()
    }

    fn reopen(&mut self) -> &Store {
        self.store.take().unwrap().close().unwrap();
        self.store = Some(Store::open(self.path()).unwrap());
        self.store()
    }
}

fn pairs(store: &Store) -> Vec<(String, String)> {
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    store
        .iter()
        .map(|pair| pair.map(|(key, value)| (text(key), text(value))).unwrap())
        .collect()
}

#[test]
fn what_was_inserted_is_there_after_a_reopen() {
    let mut fixture = Fixture::new();
    assert!(fixture.store().insert("a", "1").unwrap());
    assert!(!fixture.store().insert("a", "2").unwrap());
    assert!(fixture.store().insert("", "the empty key").unwrap());
    assert!(fixture.store().insert("empty value", "").unwrap());
    for _ in 0..2 {
        let store = fixture.reopen();
        assert_eq!(store.get("a").unwrap().as_deref(), Some(&b"2"[..]));
        assert_eq!(
            store.get("").unwrap().as_deref(),
            Some(&b"the empty key"[..])
        );
        assert_eq!(store.get("empty value").unwrap().as_deref(), Some(&b""[..]));
        assert_eq!(store.get("absent").unwrap(), None);
        assert_eq!(store.len().unwrap(), 3);
        assert!(store.contains_key("a").unwrap() && !store.contains_key("b").unwrap());
        assert!(store.recovery().is_clean(), "{:?}", store.recovery());
    }
}

#[test]
fn removal_survives_a_reopen_and_says_whether_there_was_something() {
    let mut fixture = Fixture::new();
    fixture.store().insert("a", "1").unwrap();
    assert!(fixture.store().remove("a").unwrap());
    assert!(!fixture.store().remove("a").unwrap());
    assert_eq!(fixture.reopen().get("a").unwrap(), None);
}

#[test]
fn a_batch_is_one_change_and_its_last_word_on_a_key_counts() {
    let mut fixture = Fixture::new();
    fixture.store().insert("gone", "x").unwrap();
    let mut batch = Batch::new();
    batch
        .insert("a", "1")
        .insert("b", "2")
        .remove("gone")
        .insert("a", "3")
        .remove("never there")
        .insert("c", "")
        .remove("c");
    assert_eq!(batch.len(), 7);
    fixture.store().write(&batch).unwrap();
    fixture.store().write(&Batch::new()).unwrap();
    for _ in 0..2 {
        assert_eq!(
            pairs(fixture.reopen()),
            [("b".into(), "2".into()), ("a".into(), "3".into())]
        );
    }
}

#[test]
fn iteration_is_in_log_order_and_does_not_see_what_comes_later() {
    let mut fixture = Fixture::new();
    for key in ["c", "a", "b"] {
        fixture.store().insert(key, key).unwrap();
    }
    fixture.store().insert("a", "again").unwrap();
    let snapshot = fixture.store().iter();
    fixture.store().remove("c").unwrap();
    fixture.store().insert("d", "new").unwrap();
    fixture.store().compact().unwrap();
    let keys: Vec<_> = snapshot.map(|pair| pair.unwrap().0).collect();
    assert_eq!(keys, [b"c", b"b", b"a"]);
    let expected =
        [("b", "b"), ("a", "again"), ("d", "new")].map(|(k, v)| (k.to_string(), v.to_string()));
    assert_eq!(pairs(fixture.store()), expected);
    assert_eq!(
        pairs(fixture.reopen()),
        expected,
        "compaction keeps the order"
    );
}

#[test]
fn an_expired_entry_is_absent_everywhere() {
    let mut fixture = Fixture::new();
    let past = SystemTime::now() - Duration::from_secs(1);
    let future = SystemTime::now() + Duration::from_secs(3600);
    for _ in 0..2 {
        let store = fixture.store();
        assert!(store.insert_until("past", "x", past).unwrap());
        assert!(
            store.insert_until("past", "y", past).unwrap(),
            "what is expired is no more"
        );
        store.insert_until("future", "z", future).unwrap();
        assert_eq!(store.get("past").unwrap(), None);
        assert!(!store.contains_key("past").unwrap());
        assert_eq!(pairs(store), [("future".into(), "z".into())]);
        assert!(
            store
                .update("past", |old| Ok((Change::Keep, old.is_none())))
                .unwrap()
        );
        assert!(store.remove("past").unwrap(), "it was not dropped yet");
        assert!(!store.remove("past").unwrap());
        fixture.reopen();
    }
    let entry = fixture.store().entries().next().unwrap().unwrap();
    assert_eq!(
        entry.expires().map(|at| at.duration_since(future).is_err()),
        Some(true),
        "rounded down to the ms"
    );
}

#[test]
fn update_reads_and_changes_in_one_step() {
    let mut fixture = Fixture::new();
    for expected in 1..=3u8 {
        let count = fixture
            .reopen()
            .update("count", |old| {
                let count = old.map_or(0, |old| old[0]) + 1;
                Ok((Change::Put(vec![count]), count))
            })
            .unwrap();
        assert_eq!(count, expected);
    }
    fixture
        .store()
        .update("count", |_| Ok((Change::Keep, ())))
        .unwrap();
    fixture
        .store()
        .update("count", |_| Ok((Change::Remove, ())))
        .unwrap();
    assert_eq!(fixture.store().get("count").unwrap(), None);
}

#[test]
fn an_error_a_panic_or_a_write_inside_update_changes_nothing_and_leaves_the_store_usable() {
    let fixture = Fixture::new();
    let store = fixture.store();
    store.insert("a", "1").unwrap();
    let error = store
        .update("a", |_| -> shelflife::Result<(Change, ())> {
            Err(Error::other("no"))
        })
        .unwrap_err();
    assert_eq!(
        (error.kind(), error.to_string()),
        (ErrorKind::Other, "no".to_string())
    );
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        store.update("a", |_| -> shelflife::Result<(Change, ())> {
            panic!("in the closure")
        })
    }));
    assert!(panicked.is_err());
    let error = store
        .update("a", |_| {
            assert_eq!(
                store.get("a").unwrap().as_deref(),
                Some(&b"1"[..]),
                "reading is fine"
            );
            store.insert("a", "2")?;
            Ok((Change::Keep, ()))
        })
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Reentrant);
    assert_eq!(store.get("a").unwrap().as_deref(), Some(&b"1"[..]));
    store.insert("a", "3").unwrap();
}

#[test]
fn two_handles_on_one_file_see_each_other() {
    let fixture = Fixture::new();
    let other = Store::open(fixture.path()).unwrap();
    let reader = Options::new().read_only(true).open(fixture.path()).unwrap();
    for round in 0..10u8 {
        fixture.store().insert("a", [round]).unwrap();
        assert_eq!(other.get("a").unwrap().as_deref(), Some(&[round][..]));
        other.insert("b", [round]).unwrap();
        assert_eq!(
            fixture.store().get("b").unwrap().as_deref(),
            Some(&[round][..])
        );
        if round % 3 == 0 {
            other.compact().unwrap();
        }
        assert_eq!(reader.len().unwrap(), 2);
        assert_eq!(reader.get("b").unwrap().as_deref(), Some(&[round][..]));
    }
    assert_eq!(
        reader.insert("a", "x").unwrap_err().kind(),
        ErrorKind::ReadOnly
    );
}

#[test]
fn an_exclusive_handle_lets_others_read_but_not_write() {
    let fixture = Fixture::new();
    let path = fixture.dir.path().join("x.shelf");
    let mut options = Options::new();
    options.lock_timeout(Duration::from_millis(1));
    let owner = options.clone().exclusive(true).open(&path).unwrap();
    owner.insert("a", "1").unwrap();
    assert!(options.open(&path).unwrap_err().is_busy());
    let reader = options.clone().read_only(true).open(&path).unwrap();
    for round in 0..5u8 {
        owner.insert("a", [round]).unwrap();
        owner.compact().unwrap();
        assert_eq!(reader.get("a").unwrap().as_deref(), Some(&[round][..]));
        assert!(
            options.open(&path).unwrap_err().is_busy(),
            "the new file is locked too"
        );
    }
    owner.close().unwrap();
    assert!(options.open(&path).is_ok());
}

#[test]
fn clear_and_truncate_leave_nothing() {
    let mut fixture = Fixture::new();
    let other = Store::open(fixture.path()).unwrap();
    fixture.store().insert("a", "1").unwrap();
    fixture.store().clear().unwrap();
    assert!(other.is_empty().unwrap());
    let bytes = std::fs::metadata(fixture.path()).unwrap().len();
    other.clear().unwrap();
    let again = std::fs::metadata(fixture.path()).unwrap().len();
    assert_eq!(bytes, again, "to clear what is empty writes nothing");
    assert!(fixture.reopen().is_empty().unwrap());
    fixture.store().insert("b", "2").unwrap();
    let third = Options::new().truncate(true).open(fixture.path()).unwrap();
    assert!(
        third.is_empty().unwrap()
            && other.is_empty().unwrap()
            && fixture.store().is_empty().unwrap()
    );
    other.insert("c", "3").unwrap();
    assert_eq!(third.get("c").unwrap().as_deref(), Some(&b"3"[..]));
}

#[test]
fn compaction_drops_what_is_dead_and_starts_by_itself() {
    let fixture = Fixture::new();
    let path = fixture.dir.path().join("c.shelf");
    let store = Options::new()
        .durability(Durability::Os)
        .compaction(shelflife::Compaction::Inline)
        .open(&path)
        .unwrap();
    for round in 0..50u32 {
        for key in 0..100u32 {
            store
                .insert(key.to_le_bytes(), vec![round as u8; 1000])
                .unwrap();
        }
        let stats = store.stats().unwrap();
        assert!(
            stats.file_bytes <= 2 * stats.live_bytes + (1 << 20) + 8192 + 2000,
            "{stats:?}"
        );
    }
    assert!(store.stats().unwrap().generation > 1);
    let compacted = store.compact().unwrap();
    assert_eq!(
        compacted.after_bytes,
        std::fs::metadata(&path).unwrap().len()
    );
    assert_eq!(store.stats().unwrap().dead_bytes, 0);
    assert_eq!(store.get(7u32.to_le_bytes()).unwrap(), Some(vec![49; 1000]));
    let names: Vec<_> = std::fs::read_dir(fixture.dir.path())
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .collect();
    assert_eq!(names.len(), 2, "{names:?}");
}

#[test]
fn limits_are_errors_before_anything_is_written() {
    let fixture = Fixture::new();
    let store = fixture.store();
    store.insert("a", "1").unwrap();
    let before = std::fs::read(fixture.path()).unwrap();
    assert_eq!(
        store.insert(vec![0; 65_536], "").unwrap_err().kind(),
        ErrorKind::TooLarge
    );
    assert_eq!(
        store.insert("a", vec![0; 128 << 20]).unwrap_err().kind(),
        ErrorKind::TooLarge
    );
    let mut batch = Batch::new();
    batch
        .insert("x", vec![0; 70 << 20])
        .insert("y", vec![0; 70 << 20]);
    assert_eq!(store.write(&batch).unwrap_err().kind(), ErrorKind::TooLarge);
    let long_key = vec![0; 65_536];
    let put = |key: &[u8], value: Vec<u8>| store.update(key, |_| Ok((Change::Put(value), ())));
    for refused in [
        store.write(Batch::new().insert(&long_key, "")),
        store.write(Batch::new().insert("b", "").insert(&long_key, "")),
        put(&long_key, Vec::new()),
        put(b"a", vec![0; 128 << 20]),
    ] {
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::TooLarge);
    }
    assert!(!store.contains_key(&long_key).unwrap() && !store.remove(&long_key).unwrap());
    assert_eq!(std::fs::read(fixture.path()).unwrap(), before);
    assert!(store.insert(vec![7; 65_535], vec![8; 1 << 20]).unwrap());
    assert_eq!(store.get(vec![7; 65_535]).unwrap(), Some(vec![8; 1 << 20]));
    assert_eq!(store.get(vec![7; 65_536]).unwrap(), None);
    assert!(store.contains_key(vec![7; 65_535]).unwrap());
    assert!(store.remove(vec![7; 65_535]).unwrap());
    assert!(!store.contains_key(vec![7; 65_535]).unwrap());
}

#[test]
fn entries_that_changed_since_the_snapshot_are_not_removed() {
    let fixture = Fixture::new();
    let store = fixture.store();
    for compact in [false, true] {
        for key in ["same", "written again", "removed"] {
            store.insert(key, "1").unwrap();
        }
        let entries: Vec<_> = store.entries().collect::<Result<_, _>>().unwrap();
        store.insert("written again", "2").unwrap();
        store.remove("removed").unwrap();
        if compact {
            store.compact().unwrap();
        }
        // An entry that is named twice is removed once.
        let twice = [&entries[..], &entries[..]].concat();
        assert_eq!(store.remove_unchanged(&twice).unwrap(), 1);
        assert_eq!(pairs(store), [("written again".into(), "2".into())]);
        store.clear().unwrap();
    }
}

#[test]
fn what_is_written_again_after_a_compaction_is_not_what_a_snapshot_saw_however_alike() {
    // Its clock stands still, so both records tell the same time.
    let sim = SimDisk::new(1);
    let store = Options::new().disk(sim.disk()).open("/s.shelf").unwrap();
    store.insert("same", "1").unwrap();
    store.insert("written again", "1").unwrap();
    let entries: Vec<_> = store.entries().collect::<Result<_, _>>().unwrap();
    store.compact().unwrap();
    store.insert("written again", "1").unwrap();
    assert_eq!(store.remove_unchanged(&entries).unwrap(), 1);
    assert_eq!(pairs(&store), [("written again".into(), "1".into())]);
}

#[test]
fn what_was_written_again_before_a_compaction_is_told_from_what_a_snapshot_saw_by_its_time() {
    let sim = SimDisk::new(1);
    let store = Options::new().disk(sim.disk()).open("/s.shelf").unwrap();
    store.insert("same", "1").unwrap();
    store.insert("written again", "1").unwrap();
    let entries: Vec<_> = store.entries().collect::<Result<_, _>>().unwrap();
    sim.advance(Duration::from_millis(1));
    store.insert("written again", "1").unwrap();
    store.compact().unwrap();
    assert_eq!(store.remove_unchanged(&entries).unwrap(), 1);
    assert_eq!(pairs(&store), [("written again".into(), "1".into())]);
}

#[test]
fn threads_increment_one_counter_and_none_is_lost() {
    let fixture = Fixture::new();
    let path = fixture.dir.path().join("t.shelf");
    let open = || {
        Options::new()
            .durability(Durability::Os)
            .open(&path)
            .unwrap()
    };
    let stores = [open(), open()];
    std::thread::scope(|scope| {
        for nth in 0..4 {
            let store = &stores[nth % 2];
            scope.spawn(move || {
                for _ in 0..2_000 {
                    store
                        .update("n", |old| {
                            let n = old
                                .map_or(0, |old| u64::from_le_bytes(old.try_into().unwrap()))
                                + 1;
                            Ok((Change::Put(n.to_le_bytes().to_vec()), ()))
                        })
                        .unwrap();
                }
            });
        }
    });
    assert_eq!(
        stores[0].get("n").unwrap().as_deref(),
        Some(&8_000u64.to_le_bytes()[..])
    );
}

#[test]
fn an_entry_is_there_exactly_while_the_wall_clock_reads_earlier_than_its_end() {
    let sim = SimDisk::new(1);
    let (start, seconds) = (sim.process().wall_clock(), Duration::from_secs);
    let store = Options::new().disk(sim.disk()).open("s.shelf").unwrap();
    store.insert_until("a", "1", start + seconds(60)).unwrap();
    let is_there = |at| {
        sim.set_wall_clock(at);
        store.contains_key("a").unwrap()
    };
    assert!(is_there(start + seconds(59)));
    assert!(!is_there(start + seconds(60)));
    assert!(!is_there(start + seconds(3_600)));
    // The calls that looked at it meanwhile have changed nothing.
    store
        .update("a", |old| Ok((Change::Keep, assert!(old.is_none()))))
        .unwrap();
    assert!(is_there(start + seconds(30)), "the clock was ahead");
    assert!(
        is_there(start - seconds(3_600)),
        "the clock is wrong: the file is younger"
    );
    is_there(start + seconds(3_600));
    assert!(
        store.remove("a").unwrap(),
        "what is hidden is removed as well"
    );
    assert!(!is_there(start + seconds(30)));
}

#[test]
fn by_a_clock_that_reads_earlier_than_the_stores_creation_it_is_the_time_of_the_creation() {
    let sim = SimDisk::new(1);
    let created = sim.process().wall_clock();
    let store = Options::new().disk(sim.disk()).open("s.shelf").unwrap();
    let hour = Duration::from_secs(3_600);
    sim.set_wall_clock(created - 2 * hour);
    store.insert("new", "1").unwrap();
    let entry = store.entry("new").unwrap().unwrap();
    let since = created.duration_since(entry.modified()).unwrap_or_default();
    assert!(since < Duration::from_secs(1), "stamped back by {since:?}");
    // A wrong clock ends nothing: neither what it gave an hour, nor what has ended by the creation and by this clock.
    for (key, end) in [("soon", created - hour), ("past", created - 3 * hour)] {
        store.insert_until(key, "1", end).unwrap();
        assert!(store.contains_key(key).unwrap(), "{key}");
        assert!(store.get(key).unwrap().is_some(), "{key}");
    }
}

#[test]
fn what_ended_over_a_day_ago_makes_a_compaction_due_though_nothing_replaced_it() {
    let sim = SimDisk::new(1);
    let mut options = Options::new();
    options.disk(sim.disk()).durability(Durability::Os);
    options.compaction(Compaction::Inline);
    let store = options.open("/s").unwrap();
    let now = || sim.process().wall_clock();
    let mut most = 0;
    for day in 0..20u64 {
        for nth in 0..3_000u64 {
            let ends = now() + Duration::from_secs(30 * 60);
            let key = (day, nth);
            store
                .insert_until(format!("{key:?}"), [7; 100], ends)
                .unwrap();
        }
        sim.advance(Duration::from_secs(24 * 60 * 60));
        most = most.max(store.stats().unwrap().file_bytes);
    }
    // Two days of records did not end, or not long ago: about 180 bytes each.
    assert!(most < 3 * 2 * 3_000 * 184 + (1 << 20), "{most} bytes");
    assert!(store.stats().unwrap().keys < 4 * 3_000);
}

#[test]
fn after_a_compaction_an_error_names_the_path_of_the_store() {
    let sim = SimDisk::new(1);
    let store = Options::new().disk(sim.disk()).open("/s.shelf").unwrap();
    store.insert("tea", "green").unwrap();
    store.compact().unwrap();
    let file = sim.read("/s.shelf").unwrap();
    let at = file.windows(5).position(|bytes| bytes == b"green").unwrap();
    sim.flip_bit("/s.shelf", at as u64, 0).unwrap();
    let error = store.get("tea").unwrap_err();
    assert_eq!(error.path(), Some(Path::new("/s.shelf")), "{error}");
}

#[test]
fn each_call_that_leaves_most_of_a_file_dead_compacts_it() {
    const KEYS: std::ops::Range<u8> = 0..4;
    let removals = || KEYS.fold(Batch::new(), |mut batch, key| batch.remove([key]).clone());
    type Call<'a> = &'a dyn Fn(&Store);
    let calls: [(&str, Call<'_>); 6] = [
        ("insert", &|store| {
            for key in KEYS {
                store.insert([key], "").unwrap();
            }
        }),
        ("remove", &|store| {
            for key in KEYS {
                store.remove([key]).unwrap();
            }
        }),
        ("update", &|store| {
            for key in KEYS {
                store.update([key], |_| Ok((Change::Remove, ()))).unwrap();
            }
        }),
        ("write", &|store| store.write(&removals()).unwrap()),
        ("remove_unchanged", &|store| {
            let entries: Vec<_> = store.entries().map(Result::unwrap).collect();
            store.remove_unchanged(&entries).unwrap();
        }),
        ("clear", &|store| store.clear().unwrap()),
    ];
    for (name, call) in calls {
        let dir = crate::support::fast_dir();
        let store = Options::new()
            .durability(Durability::Os)
            .compaction(shelflife::Compaction::Inline)
            .open(dir.path().join("s.shelf"))
            .unwrap();
        for key in KEYS {
            store.insert([key], vec![7; 1 << 20]).unwrap();
        }
        assert!(store.stats().unwrap().file_bytes > 4 << 20);
        call(&store);
        let stats = store.stats().unwrap();
        assert!(stats.file_bytes < 3 << 20, "{name}: {stats:?}");
    }
}

#[test]
fn the_figure_of_a_content_is_of_its_keys_and_values_in_any_order() {
    let figure = |pairs: [(&str, &str); 2]| {
        let fixture = Fixture::new();
        for (key, value) in pairs {
            fixture.store().insert(key, value).unwrap();
        }
        fixture.store().content_hash().unwrap()
    };
    let same = figure([("a", "1"), ("b", "22")]);
    assert_eq!(figure([("b", "22"), ("a", "1")]), same);
    for other in [
        [("a", "1"), ("c", "22")],
        [("a", "1"), ("b", "23")],
        [("a", "22"), ("b", "1")],
        [("a", "1"), ("b2", "2")],
    ] {
        assert_ne!(figure(other), same, "{other:?}");
    }
}
