//! The memory of the log: history, earlier states, changes as they come; and copies that are whole, or not there.

mod copied;
mod missed;

use crate::support::{Random, fast_dir, is_soak, metric, setting, unsynced};
use shelflife::sim::SimDisk;
use shelflife::{
    Batch, Changes, Compaction, ErrorKind, Event, EventKind, Gap, Options, Seen, Store,
};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant, SystemTime};

/// Where the records begin.
const LOG_START: usize = 8192;

type Model = BTreeMap<Vec<u8>, Vec<u8>>;

fn seed() -> u64 {
    setting("SHELF_PAST_SEED").unwrap_or(1)
}

fn content(store: &Store) -> Model {
    store.iter().map(Result::unwrap).collect()
}

/// One random change, made to the store and to the model.
fn change(store: &Store, model: &mut Model, random: &mut Random) {
    let key = |random: &mut Random| format!("key {}", random.below(12)).into_bytes();
    match random.below(20) {
        0..=11 => {
            let (key, len) = (key(random), random.place(40));
            let value = random.bytes(len);
            store.insert(&key, &value).unwrap();
            model.insert(key, value);
        }
        12..=15 => {
            let key = key(random);
            store.remove(&key).unwrap();
            model.remove(&key);
        }
        16 => {
            store.clear().unwrap();
            model.clear();
        }
        _ => {
            let mut batch = Batch::new();
            for _ in 0..2 + random.below(4) {
                let key = key(random);
                match random.one_in(4) {
                    true => {
                        batch.remove(&key);
                        model.remove(&key);
                    }
                    false => {
                        let value = random.bytes(8);
                        batch.insert(&key, &value);
                        model.insert(key, value);
                    }
                }
            }
            store.write(&batch).unwrap();
        }
    }
}

#[test]
fn each_place_of_a_log_restores_to_what_the_store_was_there() {
    let (seed, start) = (seed(), Instant::now());
    // A compaction after the first hundred drops those.
    let changes = 2_100;
    let dir = fast_dir();
    let path = dir.path().join("s.shelf");
    let store = unsynced().open(&path).unwrap();
    let (mut model, mut random) = (Model::new(), Random::new(seed));
    store.insert("first", "1").unwrap();
    model.insert(b"first".to_vec(), b"1".to_vec());
    // The entries that the store had when its log ended there.
    let mut past: BTreeMap<u64, Model> = BTreeMap::new();
    for nth in 0..changes {
        past.insert(store.position().unwrap().offset(), model.clone());
        change(&store, &mut model, &mut random);
        if nth == 100 {
            store.compact().unwrap();
            past.retain(|_, _| false);
        }
    }
    let end = store.position().unwrap().offset();
    past.insert(end, model);
    let new = dir.path().join("new.shelf");
    let mut within_batches = 0;
    let mut places: Vec<u64> = past.keys().copied().collect();
    let events: Vec<Event> = store.events().unwrap().map(Result::unwrap).collect();
    let base = places[0];
    places.extend(events.iter().map(Event::offset).filter(|at| *at > base));
    for place in places {
        let again = format!("repeat with SHELF_PAST_SEED={seed}, place {place}");
        store.restore(place, &new).unwrap();
        let restored = unsynced().open(&new).unwrap();
        assert!(restored.recovery().is_clean(), "{again}");
        // In a batch: as it was before that.
        let (ended, then) = past.range(..=place).next_back().unwrap();
        within_batches += u32::from(*ended != place);
        assert_eq!(&content(&restored), then, "{again}");
        // It goes on from there, and is no successor of the store.
        restored.insert("more", "1").unwrap();
        drop(restored);
        std::fs::remove_file(&new).unwrap();
    }
    assert!(within_batches > 10, "{within_batches}");
    // Between records, before the file's own time, over something: refused, and nothing is made.
    for wrong in [0, 8192, end - 8, end + 8] {
        let error = store.restore(wrong, &new).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{wrong}: {error}");
    }
    let error = store.restore(end, &path).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AlreadyExists);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    let secs = start.elapsed().as_secs_f64();
    metric("restored_places", past.len(), Some(seed), secs);
}

#[test]
fn the_history_of_a_key_is_what_was_done_to_it() {
    let seed = seed();
    let dir = fast_dir();
    let store = unsynced().open(dir.path().join("s.shelf")).unwrap();
    let mut random = Random::new(seed);
    let mut done: BTreeMap<Vec<u8>, Vec<Option<Vec<u8>>>> = BTreeMap::new();
    let mut model = Model::new();
    for _ in 0..600 {
        let before = model.clone();
        change(&store, &mut model, &mut random);
        let keys: Vec<&Vec<u8>> = before.keys().chain(model.keys()).collect();
        for key in keys {
            let (old, new) = (before.get(key), model.get(key));
            let versions = done.entry(key.clone()).or_default();
            if old != new && versions.last() != Some(&new.cloned()) {
                versions.push(new.cloned());
            }
        }
    }
    for (key, versions) in &done {
        let history = store.history(key).unwrap();
        assert_eq!(history.dropped_before(), None);
        let mut told: Vec<(u64, Option<Vec<u8>>)> = history
            .map(Result::unwrap)
            .map(|event| {
                assert_eq!(event.what() == EventKind::Cleared, event.key().is_none());
                let value = event.entry().map(|entry| entry.value().to_vec());
                (event.offset(), value)
            })
            .collect();
        assert!(told.is_sorted_by(|a, b| a.0 > b.0), "newest first");
        told.reverse();
        // A value that was set again is a change of the log, and none of the value.
        let mut values: Vec<Option<Vec<u8>>> = told.into_iter().map(|(_, value)| value).collect();
        values.dedup();
        assert_eq!(&values, versions, "SHELF_PAST_SEED={seed}");
    }
    assert_eq!(store.history("nobody's").unwrap().count(), 0);
    assert_eq!(store.events().unwrap().dropped_before(), None);
    store.compact().unwrap();
    let base = store.position().unwrap().offset();
    assert_eq!(store.events().unwrap().dropped_before(), Some(base));
    for key in done.keys() {
        let history = store.history(key).unwrap();
        assert_eq!(
            history.dropped_before(),
            Some(base),
            "a compaction dropped some of it"
        );
        assert_eq!(history.count(), usize::from(model.contains_key(key)));
    }
}

/// At one look a watcher takes this many changes at most.
const LOOK: usize = 60;

/// Applies what was seen to a copy of the store; `None` if some of it was missed.
fn replay(changes: &mut Changes, copy: &mut Model) -> Option<usize> {
    let mut seen = 0;
    while seen < LOOK
        && let Some(next) = changes.next().unwrap()
    {
        match next {
            Seen::Event(event) => {
                seen += 1;
                match (event.entry(), event.key()) {
                    (Some(entry), _) => {
                        copy.insert(entry.key().to_vec(), entry.value().to_vec());
                    }
                    (None, Some(key)) => drop(copy.remove(key)),
                    (None, None) => copy.clear(),
                }
            }
            Seen::Missed(_) => return None,
            _ => {}
        }
    }
    Some(seen)
}

#[test]
fn what_a_watcher_saw_is_what_the_store_became_while_eight_write_and_one_compacts() {
    let (seed, start) = (seed(), Instant::now());
    let dir = fast_dir();
    let path = dir.path().join("s.shelf");
    let writes = if is_soak() { 20_000 } else { 600 };
    let opened = unsynced().open(&path).unwrap();
    opened.insert("first", "1").unwrap();
    let watched = Options::new().read_only(true).open(&path).unwrap();
    let mut changes = watched.changes(watched.position().unwrap()).unwrap();
    let mut copy = content(&watched);
    let (seen, mut missed) = (AtomicUsize::new(0), 0);
    let (done, looked) = (AtomicBool::new(false), AtomicUsize::new(0));
    let compacted = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..8_u64)
            .map(|who| {
                let (path, compacted, seen) = (&path, &compacted, &seen);
                scope.spawn(move || {
                    let store = unsynced().open(path).unwrap();
                    let mut random = Random::new(seed ^ who << 32);
                    let mut written = 0;
                    let is_enough = || compacted.load(Relaxed) >= 3 && seen.load(Relaxed) > 1000;
                    while written < writes || !is_enough() {
                        change(&store, &mut Model::new(), &mut random);
                        written += 1;
                    }
                })
            })
            .collect();
        scope.spawn(|| {
            let mut before = 0;
            while !done.load(Relaxed) {
                // Mostly once between two looks, sometimes twice: some are gone along with, some miss changes.
                let now = looked.load(Relaxed);
                if now != before || compacted.load(Relaxed) % 8 == 7 {
                    compacted.fetch_add(usize::from(opened.compact().is_ok()), Relaxed);
                    before = now;
                }
                std::thread::yield_now();
            }
        });
        let mut over = false;
        loop {
            looked.fetch_add(1, Relaxed);
            match replay(&mut changes, &mut copy) {
                Some(0) if over => break,
                Some(some) => _ = seen.fetch_add(some, Relaxed),
                None => {
                    missed += 1;
                    copy = content(&watched);
                }
            }
            over = writers.iter().all(|writer| writer.is_finished());
            done.store(over, Relaxed);
        }
    });
    loop {
        match replay(&mut changes, &mut copy) {
            Some(0) => break,
            Some(_) => {}
            None => copy = content(&watched),
        }
    }
    assert_eq!(copy, content(&opened), "SHELF_PAST_SEED={seed}");
    let secs = start.elapsed().as_secs_f64();
    metric(
        "watched_changes",
        format!("{} missed={missed}", seen.into_inner()),
        Some(seed),
        secs,
    );
}

#[test]
fn a_watcher_goes_on_after_a_compaction_and_after_a_restart_and_is_told_what_it_missed() {
    let dir = fast_dir();
    let path = dir.path().join("s.shelf");
    let store = unsynced().open(&path).unwrap();
    let watched = Options::new().read_only(true).open(&path).unwrap();
    // From a store that has no file to speak of.
    let mut changes = watched.changes(watched.position().unwrap()).unwrap();
    assert!(changes.next().unwrap().is_none());
    let mut copy = Model::new();
    store.insert("a", "1").unwrap();
    assert_eq!(replay(&mut changes, &mut copy), Some(1));
    store.insert("b", "1").unwrap();
    store.compact().unwrap();
    store.insert("c", "1").unwrap();
    let mut kinds = Vec::new();
    while let Some(seen) = changes.next().unwrap() {
        kinds.push(match seen {
            Seen::Event(event) => String::from_utf8(event.key().unwrap().to_vec()).unwrap(),
            Seen::Compacted => "compacted".to_string(),
            other => format!("{other:?}"),
        });
    }
    assert_eq!(kinds, ["b", "compacted", "c"]);

    let kept = changes.position().to_string();
    store.remove("a").unwrap();
    let mut batch = Batch::new();
    store
        .write(batch.insert("d", "1").insert("e", "1").insert("f", "1"))
        .unwrap();
    let mut again = watched.changes(kept.parse().unwrap()).unwrap();
    assert!(matches!(again.next().unwrap(), Some(Seen::Event(event)) if event.key() == Some(b"a")));
    // Stopped in the middle of a batch, all of it comes again.
    assert!(again.next().unwrap().is_some() && again.next().unwrap().is_some());
    let mut whole = watched.changes(again.position()).unwrap();
    assert_eq!(replay(&mut whole, &mut Model::new()), Some(3));

    // Two files further, a store that was emptied, another store, a place where nothing begins.
    let mut lost = watched.changes(watched.position().unwrap()).unwrap();
    store.compact().unwrap();
    store.compact().unwrap();
    store.insert("g", "1").unwrap();
    assert!(matches!(
        lost.next().unwrap(),
        Some(Seen::Missed(Gap::Compacted))
    ));
    assert_eq!(
        replay(&mut lost, &mut Model::new()),
        Some(0),
        "it is read anew"
    );
    drop(store);
    let truncated = unsynced().truncate(true).open(&path).unwrap();
    assert!(matches!(
        lost.next().unwrap(),
        Some(Seen::Missed(Gap::Emptied))
    ));
    truncated.insert("h", "1").unwrap();
    assert_eq!(replay(&mut lost, &mut Model::new()), Some(1));
    let other = unsynced().open(dir.path().join("other.shelf")).unwrap();
    other.insert("a", "1").unwrap();
    let elsewhere = watched.changes(other.position().unwrap());
    assert!(matches!(
        elsewhere.unwrap().next().unwrap(),
        Some(Seen::Missed(Gap::Replaced))
    ));
    let position = truncated.position().unwrap().to_string();
    let offset = truncated.position().unwrap().offset();
    let wrong = position.replace(&format!("-{offset}-"), &format!("-{}-", offset - 8));
    let between = watched.changes(wrong.parse().unwrap());
    assert!(matches!(
        between.unwrap().next().unwrap(),
        Some(Seen::Missed(Gap::Replaced))
    ));
    for no_position in [
        "",
        "a-1-2",
        &format!("{position}-"),
        &position.to_uppercase(),
        &position.replace('-', "-+"),
    ] {
        assert!(no_position.parse::<shelflife::Position>().is_err());
    }
}

#[test]
fn a_copy_holds_what_the_store_holds_and_is_no_successor_of_it() {
    let dir = fast_dir();
    let (path, to) = (dir.path().join("s.shelf"), dir.path().join("to.shelf"));
    let store = unsynced().open(&path).unwrap();
    let (mut model, mut random) = (Model::new(), Random::new(seed()));
    for _ in 0..300 {
        change(&store, &mut model, &mut random);
    }
    store
        .insert_until("ends", "1", SystemTime::now() + Duration::from_secs(3600))
        .unwrap();
    model.insert(b"ends".to_vec(), b"1".to_vec());
    let made = store.backup(&to).unwrap();
    assert_eq!((made.entries, made.damaged), (model.len() as u64, 0));
    assert_eq!(made.size_bytes, std::fs::metadata(&to).unwrap().len());
    let copy = unsynced().open(&to).unwrap();
    assert_eq!(content(&copy), model);
    assert_eq!(copy.stats().unwrap().dead_bytes, 0);
    let hash = store.content_hash().unwrap();
    assert_eq!(copy.content_hash().unwrap(), hash);
    store.compact().unwrap();
    assert_eq!(store.content_hash().unwrap(), hash);
    // Any other value, key, kind or end is another figure.
    let mut others = vec![hash];
    for change in [
        |store: &Store| _ = store.insert("key 1", "other").unwrap(),
        |store: &Store| _ = store.remove("ends").unwrap(),
        |store: &Store| _ = store.insert("ends", "1").unwrap(),
        |store: &Store| store.write(Batch::new().insert_cbor("ends", "1")).unwrap(),
        |store: &Store| store.clear().unwrap(),
    ] {
        change(&copy);
        let other = copy.content_hash().unwrap();
        assert!(!others.contains(&other));
        others.push(other);
    }
    drop(copy);
    // Nothing is written over.
    let before = std::fs::read(&to).unwrap();
    for there in [&to, &path] {
        let error = store.backup(there).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AlreadyExists);
    }
    assert!(std::fs::read(&to).unwrap() == before);
    // Cut off on its way it is told, wherever that was.
    for cut in [1, 4096, 8192, before.len() / 2, before.len() - 1] {
        let path = dir.path().join("cut.shelf");
        std::fs::write(&path, &before[..cut]).unwrap();
        let cut_off = Options::new().read_only(true).open(&path);
        let is_told = cut_off.map_or(true, |store| !store.recovery().is_clean());
        assert!(is_told, "{cut} of {}", before.len());
        std::fs::remove_file(&path).unwrap();
    }
    std::fs::remove_file(&to).unwrap();
    // Put over the running store it is told, and nothing is written past it.
    store.backup(&to).unwrap();
    std::fs::rename(&to, &path).unwrap();
    // A write that is to survive a power cut looks at the path.
    let error = store.sync().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Replaced, "{error}");
    store.reopen().unwrap();
    assert_eq!(store.content_hash().unwrap(), hash);
}

/// Runs something on a simulated disk, and looks at all that a cut of the power could leave. `check` says whether it is
/// done there, which it has to be once the call has returned.
fn at_each_power_cut(
    test: &str,
    run: impl Fn(&SimDisk, &Store) -> shelflife::Result<()>,
    check: impl Fn(&SimDisk, &Store, &str) -> bool,
) {
    let (seed, start) = (seed(), Instant::now());
    let sim = SimDisk::new(seed);
    let mut options = Options::new();
    options.compaction(Compaction::Manual).disk(sim.disk());
    let store = options.open("s.shelf").unwrap();
    for i in 0..12_u8 {
        store.insert([i % 8], [i; 90]).unwrap();
    }
    sim.forget();
    run(&sim, &store).unwrap();
    sim.acknowledge();
    let (mut images, mut done) = (0, 0);
    for cut in sim.power_cuts() {
        images += 1;
        let id = format!("{test}: image {}, SHELF_PAST_SEED={seed}", cut.id());
        let opened = options.disk(cut.disk()).open("s.shelf").expect(&id);
        assert!(opened.len().unwrap() >= 8, "{id}");
        let is_done = check(cut.sim(), &opened, &id);
        assert!(is_done || cut.acknowledged() == 0, "{id}: it is undone");
        done += usize::from(is_done);
    }
    assert!(images > 50, "{test}: {images}");
    assert!(done > 0, "{test}: it is done in none of {images}");
    let secs = start.elapsed().as_secs_f64();
    metric(&format!("{test}_images"), images, Some(seed), secs);
}

#[test]
fn a_power_cut_leaves_a_whole_backup_or_none() {
    let is_copied = |sim: &SimDisk, store: &Store, id: &str| {
        if sim.read("to.shelf").is_err() {
            return false;
        }
        let copy = Options::new().disk(sim.disk()).open("to.shelf").expect(id);
        assert_eq!(
            copy.content_hash().unwrap(),
            store.content_hash().unwrap(),
            "{id}"
        );
        true
    };
    at_each_power_cut(
        "backup",
        |_, store| store.backup("to.shelf").map(drop),
        is_copied,
    );
    at_each_power_cut(
        "restore",
        |_, store| {
            let end = store.position()?.offset();
            store.restore(end, "to.shelf").map(drop)
        },
        is_copied,
    );
}

fn batches(count: u8) -> impl FnMut() -> shelflife::Result<Option<Batch>> {
    let mut numbers = 0..count;
    move || {
        Ok(numbers.next().map(|number| {
            let mut batch = Batch::new();
            batch.insert([100 + number], [number; 200]);
            batch.insert([number], [number; 200]);
            batch
        }))
    }
}

#[test]
fn a_power_cut_leaves_all_that_was_loaded_or_nothing() {
    at_each_power_cut(
        "load",
        |_, store| store.load(batches(5)),
        |_, store, id| {
            let loaded =
                (0..5_u8).filter(|number| store.get([*number]).unwrap().unwrap().len() == 200);
            let loaded = loaded.count();
            let len = store.len().unwrap();
            assert!(
                [(0, 8), (5, 13)].contains(&(loaded, len)),
                "{id}: {loaded}, {len}"
            );
            loaded > 0
        },
    );
}

#[test]
fn a_load_counts_as_written_at_its_end_and_fails_whole() {
    let dir = fast_dir();
    let path = dir.path().join("s.shelf");
    let (store, other) = (
        unsynced().open(&path).unwrap(),
        unsynced().open(&path).unwrap(),
    );
    store.insert([1], "old").unwrap();
    store.insert("mine", "1").unwrap();
    let mut next = batches(3);
    let load = || {
        let batch = next()?;
        // Others write meanwhile, under the same keys and under their own.
        other.insert([2], "meanwhile")?;
        other.remove([1])?;
        other.insert("theirs", "1")?;
        Ok(batch)
    };
    store.load(load).unwrap();
    let mut expected: Model = (0..3_u8)
        .map(|number| (vec![number], vec![number; 200]))
        .collect();
    expected.extend((0..3_u8).map(|number| (vec![100 + number], vec![number; 200])));
    expected.insert(b"mine".to_vec(), b"1".to_vec());
    expected.insert(b"theirs".to_vec(), b"1".to_vec());
    assert_eq!(content(&store), expected);
    assert_eq!(content(&other), expected);
    // Each of these leaves everything as it was, and no file.
    let mut batch = Batch::new();
    batch.insert("x", "1").remove("mine");
    let mut given = Some(batch);
    let error = store.load(|| Ok(given.take())).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
    let mut next = batches(3);
    let error = store
        .load(|| {
            next()?.map_or(Err(shelflife::Error::other("no more")), |batch| {
                Ok(Some(batch))
            })
        })
        .unwrap_err();
    assert_eq!(error.to_string(), "no more");
    assert_eq!(content(&store), expected);
    let mut next = batches(3);
    let clearing = || {
        other.clear()?;
        other.insert("new", "1")?;
        next()
    };
    let error = store.load(clearing).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Busy, "{error}");
    assert_eq!(content(&store).len(), 1);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn a_power_cut_leaves_copies_that_open_and_the_copying_goes_on() {
    at_each_power_cut(
        "mirror",
        |_, store| {
            let mut mirror = store.mirror(".")?;
            store.insert("more", [7; 300])?;
            mirror.update()?;
            store.compact()?;
            store.insert("most", [7; 300])?;
            mirror.update().map(drop)
        },
        |sim, store, id| {
            let mut mirror = store.mirror(".").expect(id);
            mirror.update().expect(id);
            let copy = Options::new()
                .read_only(true)
                .disk(sim.disk())
                .open(mirror.path())
                .expect(id);
            assert_eq!(
                copy.content_hash().unwrap(),
                store.content_hash().unwrap(),
                "{id}"
            );
            true
        },
    );
}

#[test]
fn a_mirror_has_every_generation_and_each_is_a_prefix_that_opens() {
    let dir = fast_dir();
    let (path, copies) = (dir.path().join("s.shelf"), dir.path().join("copies"));
    let store = unsynced().open(&path).unwrap();
    let error = store.mirror(&copies).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "no such folder");
    std::fs::create_dir(&copies).unwrap();
    let empty = dir.path().join("empty.shelf");
    std::fs::write(&empty, "").unwrap();
    let nothing = Options::new().read_only(true).open(&empty).unwrap();
    let error = nothing.mirror(&copies).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "nothing to copy yet");
    store.insert("first", "1").unwrap();
    let mut mirror = store.mirror(&copies).unwrap();
    let (mut model, mut random) = (Model::new(), Random::new(seed()));
    model.insert(b"first".to_vec(), b"1".to_vec());
    let mut finished = BTreeMap::new();
    for round in 0..30 {
        for _ in 0..20 {
            change(&store, &mut model, &mut random);
        }
        if round % 7 == 6 {
            // The last state of the old generation is kept by its copy.
            finished.insert(mirror.path().to_path_buf(), model.clone());
            store.compact().unwrap();
        }
        if round % 5 == 4 {
            // Another process goes on, perhaps behind half a write.
            use std::io::Write;
            let mut torn = std::fs::OpenOptions::new()
                .append(true)
                .open(mirror.path())
                .unwrap();
            torn.write_all(&[7; 100][..random.place(100)]).unwrap();
            drop(torn);
            if !finished.contains_key(mirror.path()) {
                mirror = store.mirror(&copies).unwrap();
            }
        }
        mirror.update().unwrap();
        let (live, copy) = (
            std::fs::read(&path).unwrap(),
            std::fs::read(mirror.path()).unwrap(),
        );
        assert!(live[LOG_START..] == copy[LOG_START..], "round {round}");
    }
    let names = std::fs::read_dir(&copies).unwrap().count();
    assert_eq!(names, finished.len() + 1);
    for (copy, then) in finished {
        let opened = Options::new().read_only(true).open(&copy).unwrap();
        assert_eq!(content(&opened), then, "{}", copy.display());
        drop(opened);
        // A writer may go on with it as well.
        unsynced().open(&copy).unwrap().insert("new", "1").unwrap();
    }
    // Restoring is copying.
    let restored = dir.path().join("restored.shelf");
    std::fs::copy(mirror.path(), &restored).unwrap();
    assert_eq!(content(&unsynced().open(&restored).unwrap()), model);
}
