//! Copies and histories of a store that is damaged, or of which a sync failed.

use super::missed::PATH;
use crate::raw;
use shelflife::sim::{Call, FailedSync, Fault, FaultKind, Plant, SimDisk, SimProcess};
use shelflife::{Compaction, Durability, ErrorKind, Gap, Options, Seen, Store};
use std::path::Path;

fn options(process: &SimProcess) -> Options {
    let mut options = Options::new();
    options
        .disk(process.disk())
        .durability(Durability::Os)
        .compaction(Compaction::Manual);
    options
}

/// A store in which the head of the second record of `a` does not verify, and all handles know all records.
fn broken(process: &SimProcess, sim: &SimDisk) -> (Store, u64) {
    let store = options(process).open(PATH).unwrap();
    store.insert("a", "1").unwrap();
    store.insert("b", "1").unwrap();
    store.insert("a", "2").unwrap();
    store.insert("c", "1").unwrap();
    store.sync().unwrap();
    let hit = raw::records(&sim.read(PATH).unwrap())[2].start as u64;
    sim.flip_bit(PATH, hit + 20, 1).unwrap();
    (store, hit)
}

#[test]
fn no_backup_shows_as_sound_what_damage_of_unknown_extent_may_have_outdated() {
    let sim = SimDisk::new(1);
    let (store, hit) = broken(&sim.process(), &sim);
    // This handle knows whose the record was, and no key but that one is lost.
    let backup = store.backup("/known").unwrap();
    assert_eq!((backup.entries, backup.damaged), (3, 1));
    let copy = options(&sim.process()).open("/known").unwrap();
    assert!(copy.get("a").unwrap_err().is_corrupt());
    assert_eq!(copy.get("b").unwrap().as_deref(), Some(&b"1"[..]));
    // Another one does not: `a` may be what it was before.
    let damaged = options(&sim.process()).damaged(true).open(PATH).unwrap();
    assert!(damaged.get("a").unwrap_err().is_corrupt());
    let error = damaged.backup("/unknown").unwrap_err();
    assert!(error.is_corrupt() && error.offset() >= Some(hit), "{error}");
    assert!(error.to_string().contains("salvage"), "{error}");
    assert!(sim.read("/unknown").is_err());
    // From a clear on nothing is outdated any more.
    store.clear().unwrap();
    store.insert("d", "1").unwrap();
    let backup = damaged.backup("/cleared").unwrap();
    assert_eq!((backup.entries, backup.damaged), (1, 0));
}

#[test]
fn a_history_tells_where_records_of_any_key_may_be_missing() {
    let sim = SimDisk::new(1);
    let (store, hit) = broken(&sim.process(), &sim);
    for key in ["a", "c"] {
        let told: Vec<_> = store.history(key).unwrap().collect();
        let missing: Vec<_> = told
            .iter()
            .filter_map(|event| event.as_ref().err())
            .collect();
        assert_eq!((told.len(), missing.len()), (2, 1), "{key}");
        assert_eq!(missing[0].offset(), Some(hit), "{key}: {}", missing[0]);
    }
}

#[test]
fn events_go_on_behind_a_stretch_that_cannot_be_read_and_tell_it_once() {
    for broken_behind in 0..2 {
        let sim = SimDisk::new(1);
        let store = options(&sim.process()).open(PATH).unwrap();
        for key in ["a", "b", "c"] {
            store.insert(key, "1").unwrap();
        }
        store.sync().unwrap();
        let records = raw::records(&sim.read(PATH).unwrap());
        assert_eq!(records.len(), 4, "three and a seal");
        for record in &records[1..2 + broken_behind] {
            sim.flip_bit(PATH, record.start as u64, 0).unwrap();
        }
        let told = store.events().unwrap().map(|event| match event {
            Ok(event) => Ok(event.entry().unwrap().key().to_vec()),
            Err(error) => Err(error.offset().unwrap()),
        });
        let mut expected = vec![Ok(b"a".to_vec()), Err(records[1].start as u64)];
        if broken_behind == 0 {
            expected.push(Ok(b"c".to_vec()));
        }
        assert_eq!(told.collect::<Vec<_>>(), expected, "{broken_behind}");
    }
}

#[test]
fn a_sync_of_a_mirror_that_fails_is_noted_once_and_the_next_sync_of_its_handle_leaves_nothing_in_the_cache()
 {
    for failed in [FailedSync::KeepClean, FailedSync::Revert] {
        for exclusive in [false, true] {
            let sim = SimDisk::new(1);
            sim.set_failed_sync(failed);
            let store = options(&sim.process())
                .exclusive(exclusive)
                .open(PATH)
                .unwrap();
            store.insert("a", "1").unwrap();
            let mut mirror = store.mirror("/").unwrap();
            store.insert("b", "1").unwrap();
            sim.inject(Fault::new(FaultKind::Eio).on(Call::Sync));
            let error = mirror.update().unwrap_err();
            assert!(error.io_kind().is_some(), "{error}");
            assert_eq!(sim.faults(), 1);
            sim.clear_faults();
            let noted = sim.read(PATH).unwrap();
            let looks = Fault::new(FaultKind::Eio).on(Call::StatPath).forever();
            sim.inject(looks);
            mirror.update().unwrap_err();
            sim.clear_faults();
            assert!(sim.read(PATH).unwrap() == noted, "it is noted once");
            if failed == FailedSync::KeepClean {
                let later = options(&sim.process()).read_only(true).open(PATH).unwrap();
                assert_eq!(later.len().unwrap(), 2);
                sim.plant("/later", Plant::Directory).unwrap();
                let later = later.mirror("/later").unwrap();
                let copy = options(&sim.process()).read_only(true).open(later.path());
                assert_eq!(copy.unwrap().len().unwrap(), 1, "`b` is in the cache alone");
            }
            // The kernel tells of it once: another sync of the same file would succeed, and leave out `b`.
            let case = format!("{failed:?}, {exclusive}");
            store.sync().unwrap();
            let left = match failed {
                FailedSync::KeepClean => 2,
                FailedSync::Revert => 1,
            };
            assert_eq!(store.len().unwrap(), left, "{case}");
            for cut in sim.power_cuts().from_step(sim.steps()) {
                let mut again = Options::new();
                let again = again.disk(cut.disk()).open(PATH).unwrap();
                assert_eq!(again.len().unwrap(), left, "{case}");
            }
        }
    }
}

#[test]
fn nothing_is_copied_that_a_failed_sync_may_have_left_in_the_cache_alone() {
    for is_begun in [false, true] {
        let sim = SimDisk::new(1);
        sim.set_failed_sync(FailedSync::KeepClean);
        let (writer, follower) = (sim.process(), sim.process());
        let store = options(&writer).open(PATH).unwrap();
        store.insert("a", "1").unwrap();
        store.compact().unwrap();
        store.insert("b", "1").unwrap();
        store.sync().unwrap();
        let reading = options(&follower).read_only(true).open(PATH).unwrap();
        let begun = is_begun.then(|| reading.mirror("/").unwrap().path().to_path_buf());
        sim.inject(Fault::new(FaultKind::Eio).on(Call::Sync).by(writer.id()));
        store.insert("c", "1").unwrap();
        store.sync().unwrap_err();
        // A process that opens the file now syncs with success, and `c` is in the cache alone.
        let reading = options(&follower).read_only(true).open(PATH).unwrap();
        assert_eq!(reading.len().unwrap(), 3);
        let mut mirror = reading.mirror("/").unwrap();
        let left = mirror.path().to_path_buf();
        if let Some(begun) = &begun {
            assert_eq!(&left, begun, "it goes on with the copy that is there");
        }
        let keys = |path: &Path| {
            let copy = options(&follower).read_only(true).open(path).unwrap();
            let keys = copy
                .iter()
                .map(|pair| String::from_utf8(pair.unwrap().0).unwrap());
            keys.collect::<String>()
        };
        for _ in 0..2 {
            assert_eq!(keys(&left), "ab");
            assert_eq!(mirror.update().unwrap(), 0);
        }
        // The next write puts another file in its place, with all that can be read.
        store.insert("d", "1").unwrap();
        assert!(mirror.update().unwrap() > 0);
        assert_ne!(mirror.path(), left);
        assert_eq!(
            (keys(mirror.path()).as_str(), keys(&left).as_str()),
            ("abcd", "ab")
        );
    }
}

#[test]
fn a_process_that_goes_on_with_a_copy_whose_sync_failed_leaves_no_hole_in_it() {
    for failed in [FailedSync::KeepClean, FailedSync::Revert] {
        let sim = SimDisk::new(1);
        sim.set_failed_sync(failed);
        let (writer, first, second) = (sim.process(), sim.process(), sim.process());
        let store = options(&writer).open(PATH).unwrap();
        store.insert("a", "1").unwrap();
        let reading = |process| options(process).read_only(true).open(PATH).unwrap();
        let reader = reading(&first);
        let mut mirror = reader.mirror("/").unwrap();
        store.insert("b", [7; 3000]).unwrap();
        // The first sync is that of the store's file.
        let fault = Fault::new(FaultKind::Eio).on(Call::Sync).by(first.id());
        sim.inject(fault.nth(2));
        let error = mirror.update().unwrap_err();
        assert_eq!(error.path(), Some(mirror.path()), "{error}");
        let reader = reading(&second);
        let mut mirror = reader.mirror("/").unwrap();
        store.insert("c", "1").unwrap();
        mirror.update().unwrap();
        let copied = sim.read(mirror.path()).unwrap();
        for cut in sim.power_cuts().from_step(sim.steps()) {
            assert!(
                cut.sim().read(mirror.path()).unwrap() == copied,
                "{failed:?}"
            );
        }
    }
}

#[test]
fn a_hole_that_a_power_cut_left_in_a_copy_is_filled_when_the_copying_goes_on() {
    // The copying compares 64 KiB at the end of a copy.
    for behind_bytes in [100, 100_000] {
        for of_store_too in [false, true] {
            let sim = SimDisk::new(1);
            let store = options(&sim.process()).open(PATH).unwrap();
            store.insert("a", [7; 2000]).unwrap();
            let hole = store.position().unwrap().offset();
            store.insert("b", [7; 2000]).unwrap();
            // Its record calls that of `b` durable.
            store.sync().unwrap();
            store.insert("c", vec![7; behind_bytes]).unwrap();
            let path = store.mirror("/").unwrap().path().to_path_buf();
            sim.overwrite(&path, hole, &[0; 512]).unwrap();
            assert!(
                options(&sim.process())
                    .open(&path)
                    .unwrap_err()
                    .is_corrupt()
            );
            if of_store_too {
                sim.overwrite(PATH, hole, &[0; 512]).unwrap();
            }
            store.insert("d", "1").unwrap();
            let mirror = store.mirror("/").unwrap();
            assert_eq!(mirror.path(), path);
            let log = |path: &Path| sim.read(path).unwrap().split_off(raw::LOG);
            assert!(log(&path) == log(Path::new(PATH)));
        }
    }
}

#[test]
fn a_file_that_holds_nothing_yet_is_copied_as_a_new_store_and_has_no_past() {
    let sim = SimDisk::new(1);
    sim.write(PATH, []).unwrap();
    let empty = options(&sim.process()).read_only(true).open(PATH).unwrap();
    let error = empty.restore(8192, "/past").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
    assert!(sim.read("/past").is_err(), "{error}");
    let backup = empty.backup("/copy").unwrap();
    assert_eq!((backup.entries, backup.damaged), (0, 0));
    let bytes = sim.read("/copy").unwrap();
    assert_ne!(bytes[24..40], [0; 16], "keys would be hashed under no key");
    assert_ne!(bytes[72..80], [0; 8], "no clock would be wrong");
    let copy = options(&sim.process()).open("/copy").unwrap();
    assert!(copy.insert("a", "1").unwrap());
    copy.restore(8192, "/past").unwrap();
    let past = options(&sim.process()).open("/past").unwrap();
    assert!(past.is_empty().unwrap() && past.recovery().is_clean());
}

#[test]
fn who_was_told_of_a_change_is_told_that_a_failed_sync_took_it_back() {
    for same_handle in [false, true] {
        let sim = SimDisk::new(1);
        sim.set_failed_sync(FailedSync::Revert);
        let (writer, follower) = (sim.process(), sim.process());
        let store = options(&writer).open(PATH).unwrap();
        store.insert("a", "1").unwrap();
        store.sync().unwrap();
        let reading = options(&follower).read_only(true).open(PATH).unwrap();
        let watched = if same_handle { &store } else { &reading };
        let mut changes = watched.changes(watched.position().unwrap()).unwrap();
        store.insert("a", "2").unwrap();
        assert!(matches!(changes.next(), Ok(Some(Seen::Event(_)))));
        sim.inject(Fault::new(FaultKind::Eio).on(Call::Sync).by(writer.id()));
        store.sync().unwrap_err();
        store.insert("b", "1").unwrap();
        let seen = changes.next();
        let is_told = matches!(seen, Ok(Some(Seen::Missed(Gap::Emptied))));
        assert!(is_told, "{same_handle}: {seen:?}");
        assert_eq!(watched.get("a").unwrap().as_deref(), Some(&b"1"[..]));
    }
}
