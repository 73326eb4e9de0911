//! The damage that `verify` tells, and the entries that `salvage` saves.

use super::*;
use crate::proof::errors::KINDS;
use crate::support::{fast_dir, names};
use shelflife::sim::{Call, Fault, FaultKind, Schedule};
use shelflife::{Batch, Durability, Error};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// A sealed store of so many keys, `k0` first, and where their records stand.
fn numbered(keys: usize) -> (SimDisk, Vec<Range<usize>>) {
    let sim = SimDisk::new(3);
    let store = open(&sim, |_| {}).unwrap();
    for nth in 0..keys {
        store.insert(format!("k{nth}"), format!("v{nth}")).unwrap();
    }
    store.close().unwrap();
    let records = raw::records(&sim.read(PATH).unwrap());
    (sim, records)
}

/// Makes the head of a record unreadable, so that its extent is not known.
fn break_head(sim: &SimDisk, record: &Range<usize>) {
    sim.flip_bit(PATH, record.start as u64 + 20, 0).unwrap();
}

/// Makes the value of a record unreadable.
fn break_value(sim: &SimDisk, record: &Range<usize>) {
    let key_len = sim.read(PATH).unwrap()[record.start + 20] as u64;
    let value = (record.start + raw::HEAD) as u64 + key_len;
    sim.flip_bit(PATH, value, 0).unwrap();
}

#[test]
fn verify_beside_writers_gives_no_false_alarm_and_changes_nothing() {
    let dir = fast_dir();
    let path = dir.path().join("s.shelf");
    let mut options = Options::new();
    options
        .durability(Durability::Os)
        .compaction(Compaction::Inline);
    let writers = [(); 2].map(|()| options.open(&path).unwrap());
    let reader = options.clone().read_only(true).open(&path).unwrap();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for (nth, writer) in writers.iter().enumerate() {
            let stop = &stop;
            scope.spawn(move || {
                let mut random = Random::new(nth as u64);
                while !stop.load(Ordering::Relaxed) {
                    let mut batch = Batch::new();
                    for _ in 0..random.below(5) {
                        let len = random.place(5_000);
                        batch.insert([random.next() as u8], random.bytes(len));
                    }
                    writer.write(&batch).unwrap();
                }
            });
        }
        for round in 0..60 {
            let beside = [&reader, &writers[0]][round % 2];
            let verified = beside.verify().unwrap();
            assert!(verified.is_sound(), "round {round}: {verified:?}");
            assert_eq!(verified.torn_tail, None, "round {round}");
            let fresh = options.clone().damaged(true).open(&path).unwrap();
            let verified = fresh.verify().unwrap();
            assert!(verified.is_sound() && verified.torn_tail.is_none());
        }
        stop.store(true, Ordering::Relaxed);
    });
    drop(writers);
    let before = std::fs::read(&path).unwrap();
    let verified = reader.verify().unwrap();
    assert_eq!(verified.live, reader.len().unwrap() as u64);
    assert!(std::fs::read(&path).unwrap() == before);
}

#[test]
fn no_write_under_way_is_taken_for_a_torn_one_in_any_interleaving() {
    let started = Instant::now();
    let mut schedule = Schedule::search().preemptions(2);
    while schedule.next() {
        let sim = SimDisk::new(3);
        let (writes, reads) = (sim.process(), sim.process());
        let mut options = Options::new();
        options.compaction(Compaction::Manual);
        let writer = options.disk(writes.disk()).open(PATH).unwrap();
        writer.insert("a", "1").unwrap();
        options.disk(reads.disk()).damaged(true);
        let reader = options.open(PATH).unwrap();
        // So that each record takes several calls.
        let short = Fault::new(FaultKind::Short(30));
        sim.inject(short.on(Call::Write).by(writes.id()).forever());
        let write = writes.program(|| writer.insert("b", "2").map(drop));
        let verify = reads.program(|| {
            for store in [&reader, &options.open(PATH)?] {
                let verified = store.verify()?;
                assert!(verified.is_sound(), "{verified:?}");
                assert_eq!(verified.torn_tail, None);
            }
            Ok::<_, Error>(())
        });
        sim.run(&mut schedule, vec![write, verify]);
    }
    let secs = started.elapsed().as_secs_f64();
    metric(
        "states_of_verify_beside_a_writer",
        schedule.states(),
        None,
        secs,
    );
    assert!(schedule.states() > 20, "{} states", schedule.states());
}

#[test]
fn what_rots_while_the_store_is_open_is_damage_even_where_no_sync_covered_it() {
    let sim = SimDisk::new(3);
    let live = open(&sim, |options| _ = options.durability(Durability::Os)).unwrap();
    for key in ["a", "b", "c"] {
        live.insert(key, "value").unwrap();
    }
    let records = raw::records(&sim.read(PATH).unwrap());
    break_head(&sim, &records[1]);
    let verified = live.verify().unwrap();
    assert!(!verified.is_sound());
    assert_eq!(verified.damage[0].damage.offset, records[1].start as u64);
    assert_eq!((verified.damage[0].keys, verified.live), (1, 2));
    assert!(live.get("b").unwrap_err().is_corrupt());
    assert!(live.get("c").unwrap().is_some());
    // A handle that is opened later can't tell that from a crash.
    let later = open_damaged(&sim).verify().unwrap();
    assert!(later.is_sound() && later.torn_tail.is_some());
}

#[test]
fn a_live_store_is_verified_and_salvaged_even_without_its_file_header() {
    let (sim, _) = numbered(5);
    let live = open(&sim, |_| {}).unwrap();
    sim.overwrite(PATH, 0, &[0xff; LOG]).unwrap();
    let verified = live.verify().unwrap();
    assert_eq!(verified.bad_header_copies, [0, LOG as u64 / 2]);
    assert!(!verified.is_sound() && verified.damage.is_empty());
    assert_eq!(verified.live, 5);
    assert_eq!(salvage(&sim, &live).1.len(), 5);
}

#[test]
fn a_file_without_a_sound_header_is_refused_with_the_only_way_out() {
    let (sim, _) = numbered(1);
    for at in [100, LOG as u64 / 2 + 100] {
        sim.flip_bit(PATH, at, 0).unwrap();
    }
    let error = open(&sim, |options| _ = options.damaged(true)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "`/s.shelf` is damaged at offset 0: neither copy of the file header verifies; \
         without one no record can be told from garbage; restore a backup"
    );
}

#[test]
fn a_damaged_store_says_that_what_it_reads_may_be_outdated() {
    let (sim, records) = numbered(5);
    break_head(&sim, &records[2]);
    let store = open_damaged(&sim);
    for key in ["k0", "k1", "k2", "absent"] {
        assert!(store.get(key).unwrap_err().is_corrupt(), "{key}");
    }
    for key in ["k3", "k4"] {
        assert!(store.get(key).unwrap().is_some(), "{key}");
    }
    let shown: Vec<_> = store.iter().map(|shown| shown.is_ok()).collect();
    assert_eq!(shown, [false, false, true, true]);
    assert_eq!(
        store.insert("x", "").unwrap_err().kind(),
        ErrorKind::ReadOnly
    );
    assert_eq!(store.verify().unwrap().uncertain, 2);
}

#[test]
fn what_is_cleared_behind_damage_is_certain_again() {
    let (sim, records) = numbered(5);
    let store = open(&sim, |_| {}).unwrap();
    store.clear().unwrap();
    store.insert("new", "value").unwrap();
    store.close().unwrap();
    break_head(&sim, &records[2]);
    let store = open_damaged(&sim);
    assert_eq!(store.get("k0").unwrap(), None);
    assert_eq!(store.verify().unwrap().uncertain, 0);
    let (salvaged, found) = salvage(&sim, &store);
    assert!(salvaged.uncertain.is_empty() && salvaged.lost.is_empty());
    assert_eq!(found.len(), 1);
}

#[test]
fn the_records_of_a_batch_on_both_sides_of_damage_are_saved() {
    let sim = SimDisk::new(3);
    let store = open(&sim, |_| {}).unwrap();
    let mut batch = Batch::new();
    for key in ["a", "b", "c", "d"] {
        batch.insert(key, key);
    }
    store.write(&batch).unwrap();
    store.close().unwrap();
    let records = raw::records(&sim.read(PATH).unwrap());
    break_head(&sim, &records[1]);
    let store = open_damaged(&sim);
    let (salvaged, found) = salvage(&sim, &store);
    let keys: Vec<_> = found.into_keys().collect();
    assert_eq!(keys, [b"a", b"c", b"d"]);
    assert_eq!(salvaged.uncertain, [b"a"]);
}

#[test]
fn records_behind_a_torn_place_are_saved_as_well() {
    let sim = SimDisk::new(3);
    let store = open(&sim, |options| _ = options.durability(Durability::Os)).unwrap();
    for key in ["a", "b", "c"] {
        store.insert(key, key).unwrap();
    }
    let file = sim.read(PATH).unwrap();
    let sim = with_file(&file);
    break_head(&sim, &raw::records(&file)[1]);
    let store = open_damaged(&sim);
    assert_eq!(entries(&store).len(), 1, "the prefix");
    let (salvaged, found) = salvage(&sim, &store);
    let keys: Vec<_> = found.into_keys().collect();
    assert_eq!(keys, [b"a", b"c"]);
    assert_eq!(salvaged.uncertain, [b"a"]);
    assert_eq!(salvaged.damage.len(), 1);
}

#[test]
fn the_newest_value_that_survives_is_offered_for_a_lost_key() {
    let sim = SimDisk::new(3);
    let store = open(&sim, |_| {}).unwrap();
    for value in ["1", "2", "3", "4"] {
        store.insert("key", value).unwrap();
    }
    store.close().unwrap();
    let records = raw::records(&sim.read(PATH).unwrap());
    for (broken, survivor) in [(3, Some("3")), (2, Some("2")), (1, Some("1")), (0, None)] {
        break_value(&sim, &records[broken]);
        // The last bit of the key itself.
        sim.flip_bit(PATH, records[broken].start as u64 + 48, 0)
            .unwrap();
        let store = open_damaged(&sim);
        let (salvaged, found) = salvage(&sim, &store);
        assert!(found.is_empty());
        let lost = &salvaged.lost[0];
        assert_eq!(
            lost.older().map(|older| older.value()),
            survivor.map(str::as_bytes)
        );
        assert_eq!(
            lost.key(),
            survivor.map(|_| &b"key"[..]),
            "told by its older record"
        );
    }
}

#[test]
fn a_value_that_was_removed_before_is_not_offered() {
    let sim = SimDisk::new(3);
    let store = open(&sim, |_| {}).unwrap();
    store.insert("key", "1").unwrap();
    store.remove("key").unwrap();
    store.insert("key", "2").unwrap();
    store.close().unwrap();
    break_value(&sim, &raw::records(&sim.read(PATH).unwrap())[2]);
    let (salvaged, _) = salvage(&sim, &open_damaged(&sim));
    assert_eq!(salvaged.lost[0].key(), Some(&b"key"[..]));
    assert!(salvaged.lost[0].older().is_none());
}

#[test]
fn what_is_saved_keeps_its_times_and_its_sort() {
    let sim = SimDisk::new(3);
    let store = open(&sim, |_| {}).unwrap();
    let until = std::time::UNIX_EPOCH + Duration::from_secs(4_000_000_000);
    store.insert_until("until", "value", until).unwrap();
    store
        .write(Batch::new().insert_cbor("cbor", [0xf6]))
        .unwrap();
    let told = |store: &Store| -> Vec<_> {
        let told = |entry: shelflife::Result<shelflife::Entry>| {
            let entry = entry.unwrap();
            (
                entry.modified(),
                entry.expires(),
                entry.is_cbor(),
                entry.into_pair(),
            )
        };
        store.entries().map(told).collect()
    };
    let before = told(&store);
    assert_eq!(before.len(), 2);
    sim.advance(Duration::from_secs(1_000));
    store.salvage(NEW).unwrap();
    let new = Options::new().disk(sim.disk()).open(NEW).unwrap();
    assert_eq!(told(&new), before);
}

#[test]
fn salvage_makes_a_new_file_of_the_stores_owner_or_none() {
    let (sim, records) = numbered(3);
    break_value(&sim, &records[1]);
    sim.set_owner(PATH, 1000, 33, 0o640).unwrap();
    let damaged = sim.read(PATH).unwrap();
    let mut options = Options::new();
    options.damaged(true);
    let open_as = |uid, gid| {
        let disk = std::sync::Arc::new(sim.process_of(uid, gid));
        options.clone().disk(disk).open(PATH).unwrap()
    };
    sim.write("/taken", "precious").unwrap();
    let error = open_as(1000, 33).salvage("/taken").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AlreadyExists);
    assert_eq!(sim.read("/taken").unwrap(), b"precious");
    let error = open_as(1000, 33).salvage("/no/such/folder").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);

    open_as(0, 0).salvage("/by-root").unwrap();
    let stat = |path: &str| sim.process().stat(path.as_ref()).unwrap();
    let owned = |path: &str| (stat(path).uid, stat(path).gid, stat(path).mode);
    assert_eq!(owned("/by-root"), (1000, 33, 0o640));
    // One of the group may read the store, and gives away nothing by what he makes of it.
    sim.set_owner("/", 0, 0, 0o777).unwrap();
    open_as(2000, 33).salvage("/by-another").unwrap();
    assert_eq!(owned("/by-another"), (2000, 33, 0o600));
    assert_eq!(names(&sim), ["by-another", "by-root", "s.shelf", "taken"]);
    assert_eq!(sim.read(PATH).unwrap(), damaged, "the store stays as it is");
}

#[test]
fn salvage_in_place_keeps_the_old_file_and_takes_everybody_along() {
    let (sim, records) = numbered(5);
    let writer = open(&sim, |_| {}).unwrap();
    let reader = open(&sim, |options| _ = options.read_only(true)).unwrap();
    break_head(&sim, &records[2]);
    let damaged = sim.read(PATH).unwrap();
    let store = open_damaged(&sim);
    let salvaged = store.salvage_in_place().unwrap();
    assert_eq!(salvaged.entries, 4);
    assert_eq!(salvaged.path, Path::new(PATH));
    let kept = salvaged.kept.unwrap();
    assert!(kept.to_str().unwrap().starts_with("/s.shelf.original-"));
    assert!(sim.read(&kept).unwrap().starts_with(&damaged));

    assert_eq!(
        entries(&store).len(),
        4,
        "the handle goes on with the new file"
    );
    assert!(store.verify().unwrap().is_sound());
    writer.insert("new", "value").unwrap();
    assert_eq!(reader.get("new").unwrap().as_deref(), Some(&b"value"[..]));
    assert_eq!(writer.get("k2").unwrap(), None);
    drop(writer);
    let again = open(&sim, |_| {}).unwrap();
    assert_eq!(entries(&again).len(), 5);
    assert!(again.recovery().is_clean());
    assert_eq!(names(&sim).len(), 2);
}

#[test]
fn salvage_in_place_works_on_a_writable_handle_too() {
    let (sim, records) = numbered(5);
    break_value(&sim, &records[2]);
    for exclusive in [false, true] {
        let store = open(&sim, |options| _ = options.exclusive(exclusive)).unwrap();
        let salvaged = store.salvage_in_place().unwrap();
        assert_eq!(salvaged.lost.len(), usize::from(!exclusive));
        store.insert("new", "value").unwrap();
        store.close().unwrap();
    }
    assert_eq!(entries(&open(&sim, |_| {}).unwrap()).len(), 5);
}

#[test]
fn salvage_in_place_waits_for_a_writer_and_never_throws_the_old_file_away() {
    let (sim, records) = numbered(3);
    break_value(&sim, &records[1]);
    let owner = open(&sim, |options| _ = options.exclusive(true)).unwrap();
    assert!(open_damaged(&sim).salvage_in_place().unwrap_err().is_busy());
    drop(owner);
    for nth in 0..4 {
        sim.write(format!("/s.shelf.original-{nth:016x}"), "kept")
            .unwrap();
    }
    let before = sim.read(PATH).unwrap();
    let error = open_damaged(&sim).salvage_in_place().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AlreadyExists);
    assert_eq!(sim.read(PATH).unwrap(), before);
    assert_eq!(names(&sim).len(), 5, "no temporary file is left");
}

/// A store with a torn tail, of eight keys, the value of one damaged; and what can be read of it.
fn damaged_and_torn() -> (SimDisk, Model) {
    let (sim, records) = numbered(8);
    break_value(&sim, &records[3]);
    let file = [sim.read(PATH).unwrap(), vec![7; 60]].concat();
    let readable = [0, 1, 2, 4, 5, 6, 7];
    let readable = readable.map(|nth| [format!("k{nth}"), format!("v{nth}")]);
    let readable = readable.map(|[key, value]| (key.into_bytes(), value.into_bytes()));
    (with_file(&file), readable.into())
}

/// The entries that can be read, and the report of the opening.
fn readable(sim: &SimDisk) -> (Model, shelflife::Recovery) {
    let store = open(sim, |options| _ = options.read_only(true)).unwrap();
    (store.iter().flatten().collect(), store.recovery())
}

/// The entries of the file that a salvage has made, if it has made one.
fn made(sim: &SimDisk) -> Option<Model> {
    match Options::new().disk(sim.disk()).read_only(true).open(NEW) {
        Ok(new) => {
            assert!(new.recovery().is_clean());
            Some(entries(&new))
        }
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::NotFound);
            None
        }
    }
}

/// Whether a file that was kept beside the store begins with these bytes.
fn is_kept(sim: &SimDisk, old: &[u8]) -> bool {
    let mut kept = names(sim);
    kept.retain(|name| name.contains(".original-"));
    kept.iter()
        .any(|name| sim.read(name).unwrap().starts_with(old))
}

#[test]
fn a_power_cut_during_salvage_in_place_leaves_the_old_file_or_the_new_one() {
    let (sim, expected) = damaged_and_torn();
    let old = sim.read(PATH).unwrap();
    sim.forget();
    open_damaged(&sim).salvage_in_place().unwrap();
    sim.acknowledge();
    let (mut images, mut new) = (0, 0);
    for cut in sim.power_cuts() {
        let (id, sim) = (cut.id(), cut.sim());
        let (found, recovery) = readable(sim);
        assert_eq!(found, expected, "image {id}");
        if sim.read(PATH).unwrap().starts_with(&old) {
            assert_eq!(cut.acknowledged(), 0, "image {id}");
            assert_eq!(recovery.damage.len(), 1, "image {id}: {recovery:?}");
        } else {
            assert!(recovery.is_clean(), "image {id}: {recovery:?}");
            assert!(is_kept(sim, &old), "image {id}: {:?}", names(sim));
            new += 1;
        }
        images += 1;
    }
    assert!(images > 20 && new > 1, "{images} images, {new} of them new");
}

#[test]
fn a_power_cut_during_salvage_leaves_all_of_the_new_file_or_none() {
    let (sim, expected) = damaged_and_torn();
    let old = sim.read(PATH).unwrap();
    sim.forget();
    open_damaged(&sim).salvage(NEW).unwrap();
    sim.acknowledge();
    let (mut images, mut new) = (0, 0);
    for cut in sim.power_cuts() {
        let (id, sim) = (cut.id(), cut.sim());
        assert!(sim.read(PATH).unwrap() == old, "image {id}");
        match made(sim) {
            Some(made) => assert_eq!(made, expected, "image {id}"),
            None => assert_eq!(cut.acknowledged(), 0, "image {id}"),
        }
        images += 1;
        new += usize::from(made(sim).is_some());
    }
    assert!(
        images > 20 && new > 1,
        "{images} images, {new} with a new file"
    );
}

type Rescue = fn(&Store) -> shelflife::Result<String>;

const RESCUES: [(&str, Rescue); 3] = [
    ("verify", |store| Ok(format!("{:?}", store.verify()?))),
    ("salvage", |store| store.salvage(NEW).map(told)),
    ("salvage in place", |store| {
        store.salvage_in_place().map(told)
    }),
];

fn told(salvaged: Salvaged) -> String {
    let Salvaged {
        kept,
        entries,
        lost,
        uncertain,
        damage,
        ..
    } = salvaged;
    let kept = kept.is_some();
    format!("{entries} {lost:?} {uncertain:?} {damage:?} {kept}")
}

#[test]
fn a_call_of_a_rescue_that_fails_does_no_harm_and_is_not_taken_for_damage() {
    let started = Instant::now();
    let mut runs = 0;
    let (sim, expected) = damaged_and_torn();
    let old = sim.read(PATH).unwrap();
    for (name, rescue) in RESCUES {
        for damaged in [false, true] {
            let open = |sim: &SimDisk| open(sim, |options| _ = options.damaged(damaged)).unwrap();
            let wanted = rescue(&open(&with_file(&old))).unwrap();
            for kind in KINDS {
                for forever in [false, true] {
                    for nth in 1.. {
                        let mut fault = Fault::new(kind).nth(nth);
                        if forever {
                            fault = fault.forever();
                        }
                        let case = format!("{name}, damaged({damaged}), {fault:?}");
                        let sim = with_file(&old);
                        // Not what a new file gets anyhow.
                        sim.set_owner(PATH, 1000, 1000, 0o640).unwrap();
                        let store = open(&sim);
                        sim.forget();
                        sim.inject(fault);
                        let outcome = rescue(&store);
                        sim.clear_faults();
                        let mut struck = sim.trace();
                        struck.retain(|event| event.fault.is_some());
                        if struck.is_empty() {
                            break;
                        }
                        runs += 1;
                        match &outcome {
                            Ok(told) => assert_eq!(*told, wanted, "{case}"),
                            Err(error) => {
                                assert_eq!(error.kind(), ErrorKind::Io, "{case}: {error}")
                            }
                        }
                        let now = sim.read(PATH).unwrap();
                        match name {
                            "salvage in place" => {
                                assert!(now.starts_with(&old) || is_kept(&sim, &old), "{case}");
                            }
                            _ => assert!(now == old, "{case}"),
                        }
                        assert_eq!(readable(&sim).0, expected, "{case}");
                        let is_temp = |name: &String| name.contains(".tmp-");
                        let dies = kind == FaultKind::Kill;
                        if !dies && struck.iter().all(|event| event.call != Call::Remove) {
                            assert!(!names(&sim).iter().any(is_temp), "{case}");
                        }
                        if let Some(made) = made(&sim) {
                            assert_eq!(made, expected, "{case}");
                            sim.process().remove(NEW.as_ref()).unwrap();
                        }
                        // A lock that can't be given back goes when the file is closed.
                        let locked = struck.iter().any(|event| event.call == Call::Unlock);
                        let store = if dies || locked {
                            drop(store);
                            open(&sim)
                        } else {
                            store
                        };
                        rescue(&store).unwrap_or_else(|error| panic!("{case}, then {error}"));
                        drop(store);
                        assert_eq!(readable(&sim).0, expected, "{case}");
                        // The next compaction removes the temporary file that a dead process left.
                        if names(&sim).iter().any(is_temp) {
                            let new = made(&sim).map_or(PATH, |_| NEW);
                            let new = Options::new().disk(sim.disk()).open(new).unwrap();
                            new.compact().unwrap();
                            assert!(!names(&sim).iter().any(is_temp), "{case}");
                        }
                    }
                }
            }
        }
    }
    let secs = started.elapsed().as_secs_f64();
    metric("faults.rescue.runs", runs, Some(3), secs);
    assert!(runs > 1_000, "only {runs} runs with a fault");
}

#[test]
fn nothing_that_tells_of_damage_tells_a_key_or_a_value() {
    let (sim, secret) = (SimDisk::new(3), "canary-7f3a91c2");
    let store = open(&sim, |_| {}).unwrap();
    for value in ["old", "new"] {
        let value = format!("{secret}-{value}");
        store.insert(format!("{secret}-a"), &value).unwrap();
        store.insert(format!("{secret}-b"), &value).unwrap();
        store.insert(format!("{secret}-c"), &value).unwrap();
    }
    store.close().unwrap();
    let records = raw::records(&sim.read(PATH).unwrap());
    sim.flip_bit(PATH, records[4].end as u64 - 9, 0).unwrap();
    let store = open(&sim, |_| {}).unwrap();
    let mut told = String::new();
    let mut tell = |what: &dyn std::fmt::Debug| told += &format!("{what:?} {what:#?}\n");
    tell(&store);
    tell(&store.recovery());
    let verified = store.verify().unwrap();
    assert!(
        verified.damage[0].key().is_some(),
        "the one who asks is told"
    );
    tell(&verified);
    let salvaged = store.salvage(NEW).unwrap();
    assert!(salvaged.lost[0].key().is_some() && salvaged.lost[0].older().is_some());
    tell(&salvaged);
    tell(&salvaged.lost);
    tell(&store.get(format!("{secret}-b")).unwrap_err());
    break_head(&sim, &records[3]);
    tell(&open(&sim, |_| {}).unwrap_err());
    let store = open_damaged(&sim);
    let errors: Vec<Error> = store.iter().filter_map(Result::err).collect();
    assert!(!errors.is_empty());
    tell(&errors);
    tell(&store.salvage("/other.shelf").unwrap());
    for error in errors {
        tell(&error.to_string());
    }
    assert!(!told.contains("canary"), "{told}");
    let numbers: Vec<&str> = told
        .split(|c: char| !c.is_ascii_digit())
        .filter(|n| !n.is_empty())
        .collect();
    let spelt: Vec<String> = secret.bytes().map(|byte| byte.to_string()).collect();
    assert!(
        !numbers.windows(spelt.len()).any(|window| window == spelt),
        "{told}"
    );
}

#[test]
fn where_no_file_has_two_names_the_salvaged_one_is_placed_and_the_damaged_one_kept() {
    for kind in [FaultKind::Eacces, FaultKind::Unsupported] {
        let (sim, records) = numbered(5);
        break_head(&sim, &records[2]);
        let damaged = sim.read(PATH).unwrap();
        sim.inject(Fault::new(kind).on(Call::Link).forever());
        let store = open_damaged(&sim);
        let (salvaged, found) = salvage(&sim, &store);
        assert_eq!((salvaged.entries, found.len()), (4, 4), "{kind:?}");

        // A file that has the name already is not touched.
        sim.write(NEW, b"mine").unwrap();
        store.salvage(NEW).unwrap_err();
        assert_eq!(sim.read(NEW).unwrap(), b"mine");

        let salvaged = store.salvage_in_place().unwrap();
        let kept = salvaged.kept.unwrap();
        assert!(
            sim.read(&kept).unwrap() == damaged,
            "{kind:?}: not as it was"
        );
        drop(store);
        let store = open(&sim, |_| {}).unwrap();
        assert!(store.recovery().is_clean());
        assert_eq!(entries(&store).len(), 4);
        assert_eq!(names(&sim).len(), 3, "{:?}", names(&sim));
    }
}

#[test]
fn a_salvage_that_fails_where_there_are_no_links_leaves_nothing() {
    let (sim, _) = numbered(5);
    let store = open_damaged(&sim);
    sim.inject(Fault::new(FaultKind::Unsupported).on(Call::Link).forever());
    let before = sim.calls(Call::Link);
    sim.inject(Fault::new(FaultKind::Eio).on(Call::Rename));
    store.salvage(NEW).unwrap_err();
    assert_eq!(sim.calls(Call::Link), before + 1);
    assert_eq!(names(&sim).len(), 1, "left behind: {:?}", names(&sim));
}
