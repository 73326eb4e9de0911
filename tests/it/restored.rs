//! A backup is put over a store in use: a process that stays for long, and writes nothing by which it
//! would find out, is told.

use crate::support::{fast_dir, unsynced};
use shelflife::sim::{Ran, Schedule, SimDisk};
use shelflife::{ErrorKind, EventKind, Gap, Options, Seen, Store};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

fn reading(path: &Path) -> Store {
    Options::new().read_only(true).open(path).unwrap()
}

/// A way to put a file in the place of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// `mv`
    Move,
    /// `cp`, which writes to the file that is there
    CopyOver,
    /// `rm`, `cp`
    DeleteAndCopy,
}

const WAYS: [Way; 3] = [Way::Move, Way::CopyOver, Way::DeleteAndCopy];

fn put(way: Way, from: &Path, to: &Path) {
    match way {
        Way::Move => {
            let beside = to.with_extension("new");
            fs::copy(from, &beside).unwrap();
            fs::rename(beside, to).unwrap();
        }
        Way::CopyOver => fs::write(to, fs::read(from).unwrap()).unwrap(),
        Way::DeleteAndCopy => {
            fs::remove_file(to).unwrap();
            fs::copy(from, to).unwrap();
        }
    }
}

/// A store in use, and files to put in its place.
struct Scene {
    dir: tempfile::TempDir,
    store: Store,
}

/// The backups of a scene: of the store itself by `cp`, `backup` and `backup --follow`, and of another store that is
/// longer.
const BACKUPS: [&str; 4] = ["plain", "backup", "follow", "other"];

impl Scene {
    fn new() -> Scene {
        let dir = fast_dir();
        let at = |name: &str| dir.path().join(name);
        let store = unsynced().open(at("s.shelf")).unwrap();
        store.insert("tea", "green").unwrap();
        fs::copy(at("s.shelf"), at("plain")).unwrap();
        store.backup(at("backup")).unwrap();
        fs::create_dir(at("copies")).unwrap();
        let mirror = store.mirror(at("copies")).unwrap();
        fs::rename(mirror.path(), at("follow")).unwrap();
        let other = unsynced().open(at("other")).unwrap();
        other.insert("tea", "green").unwrap();
        other.insert("long", [7; 5000]).unwrap();
        drop(other);
        store.insert("tea", "black").unwrap();
        store.insert("lost", "1").unwrap();
        Scene { dir, store }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn path(&self) -> PathBuf {
        self.at("s.shelf")
    }
}

/// Calls that answer `Replaced` until the handle is reopened; a plain copy of the same file that is written over it is
/// taken up at once.
fn reopened<T>(
    store: &Store,
    case: &str,
    mut call: impl FnMut() -> shelflife::Result<T>,
    is_taken_up: bool,
) -> T {
    match call() {
        Ok(answer) if is_taken_up => answer,
        Ok(_) => panic!("{case}: was not noticed"),
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Replaced, "{case}: {error}");
            assert!(!is_taken_up, "{case}: {error}");
            let again = call().err().map(|error| error.kind());
            assert_eq!(again, Some(ErrorKind::Replaced), "{case}: it stays so");
            store.reopen().unwrap();
            call().unwrap_or_else(|error| panic!("{case}: {error}"))
        }
    }
}

#[test]
fn a_watcher_is_told_that_a_backup_was_put_over_the_store_and_goes_on_with_that() {
    for way in WAYS {
        for backup in BACKUPS {
            let case = format!("{way:?}, {backup}");
            let scene = Scene::new();
            let watched = reading(&scene.path());
            let mut changes = watched.changes(watched.position().unwrap()).unwrap();
            assert!(changes.next().unwrap().is_none(), "{case}");
            put(way, &scene.at(backup), &scene.path());
            let is_taken_up = way == Way::CopyOver && backup == "plain";
            let next = || changes.next();
            let seen = reopened(&watched, &case, next, is_taken_up);
            assert!(
                matches!(seen, Some(Seen::Missed(Gap::Replaced))),
                "{case}: {seen:?}"
            );
            assert_eq!(
                watched.get("tea").unwrap().as_deref(),
                Some(&b"green"[..]),
                "{case}"
            );
            assert_eq!(watched.get("lost").unwrap(), None, "{case}");
            assert!(changes.next().unwrap().is_none(), "{case}");
            let writer = unsynced().open(scene.path()).unwrap();
            writer.insert("new", "1").unwrap();
            writer.compact().unwrap();
            writer.insert("newer", "1").unwrap();
            let mut told = Vec::new();
            while let Some(seen) = changes.next().unwrap() {
                match seen {
                    Seen::Event(event) => told.push(event.key().unwrap().to_vec()),
                    Seen::Compacted => told.push(b"compacted".to_vec()),
                    other => panic!("{case}: {other:?}"),
                }
            }
            assert_eq!(told, [&b"new"[..], b"compacted", b"newer"], "{case}");
        }
    }
}

#[test]
fn what_was_written_before_the_backup_was_put_there_is_told_first_where_it_can_be_read() {
    let scene = Scene::new();
    let watched = reading(&scene.path());
    let mut changes = watched.changes(watched.position().unwrap()).unwrap();
    scene.store.insert("late", "1").unwrap();
    put(Way::Move, &scene.at("backup"), &scene.path());
    watched.reopen().unwrap();
    let seen = changes.next().unwrap();
    assert!(
        matches!(&seen, Some(Seen::Event(event)) if event.key() == Some(b"late")),
        "{seen:?}"
    );
    let seen = changes.next().unwrap();
    assert!(
        matches!(seen, Some(Seen::Missed(Gap::Replaced))),
        "{seen:?}"
    );
}

#[test]
fn a_file_that_is_only_read_anew_is_no_gap_for_a_watcher() {
    let scene = Scene::new();
    let mut changes = scene
        .store
        .changes(scene.store.position().unwrap())
        .unwrap();
    scene.store.insert("late", "1").unwrap();
    scene.store.reopen().unwrap();
    scene.store.insert("later", "1").unwrap();
    for key in ["late", "later"] {
        let seen = changes.next().unwrap();
        assert!(
            matches!(&seen, Some(Seen::Event(event)) if event.key() == Some(key.as_bytes())),
            "{key}: {seen:?}"
        );
    }
    assert!(changes.next().unwrap().is_none());
}

#[test]
fn a_position_is_believed_only_where_the_same_records_stand_before_it() {
    let dir = fast_dir();
    let (path, copy) = (dir.path().join("s.shelf"), dir.path().join("copy"));
    let store = unsynced().open(&path).unwrap();
    store.insert("a", "1").unwrap();
    let before = store.position().unwrap();
    fs::copy(&path, &copy).unwrap();
    store.insert("b", "2").unwrap();
    let after = store.position().unwrap();
    drop(store);
    fs::copy(&copy, &path).unwrap();
    // Of the same length, so that records begin and end in the same places.
    let store = unsynced().open(&path).unwrap();
    store.insert("c", "3").unwrap();
    assert_eq!(store.position().unwrap().offset(), after.offset());
    store.insert("d", "4").unwrap();
    for position in [after, after.to_string().parse().unwrap()] {
        let seen = store.changes(position).unwrap().next().unwrap();
        assert!(
            matches!(seen, Some(Seen::Missed(Gap::Replaced))),
            "{seen:?}"
        );
    }
    // The store goes on from what it has still.
    let mut changes = store.changes(before).unwrap();
    for key in [b"c", b"d"] {
        let seen = changes.next().unwrap();
        assert!(
            matches!(&seen, Some(Seen::Event(event)) if event.key() == Some(key)),
            "{seen:?}"
        );
    }
    // The same where the file begins with what a compaction kept, of which no record is known.
    store.compact().unwrap();
    let mut changes = store.changes(store.position().unwrap()).unwrap();
    store.compact().unwrap();
    assert!(matches!(changes.next().unwrap(), Some(Seen::Compacted)));
    let kept = changes.position();
    store.insert("e", "5").unwrap();
    let seen = store.changes(kept).unwrap().next().unwrap();
    assert!(
        matches!(&seen, Some(Seen::Event(event)) if event.what() == EventKind::Put),
        "{seen:?}"
    );
}

#[test]
fn a_copy_that_keeps_up_is_no_successor_to_a_handle_that_slept() {
    for way in WAYS {
        for read_only in [false, true] {
            let case = format!("{way:?}, {read_only}");
            let scene = Scene::new();
            let slept = unsynced().read_only(read_only).open(scene.path()).unwrap();
            // Others go on to the next file, and write there what the copy does not have.
            scene.store.compact().unwrap();
            let mirror = scene.store.mirror(scene.at("copies")).unwrap();
            scene.store.insert("acknowledged", "1").unwrap();
            put(way, mirror.path(), &scene.path());
            let error = slept.get("tea").unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Replaced, "{case}: {error}");
            if !read_only {
                let error = slept.insert("past", "1").unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Replaced, "{case}: {error}");
            }
            let restored = reading(&scene.path());
            assert!(!restored.contains_key("past").unwrap(), "{case}");
            assert_eq!(
                restored.content_hash().unwrap(),
                reading(mirror.path()).content_hash().unwrap()
            );
            slept.reopen().unwrap();
            assert_eq!(slept.get("acknowledged").unwrap(), None, "{case}");
        }
    }
}

#[test]
fn a_copy_that_keeps_up_begins_anew_with_what_was_put_over_the_store() {
    for way in WAYS {
        for backup in BACKUPS {
            let case = format!("{way:?}, {backup}");
            let scene = Scene::new();
            let mut mirror = scene.store.mirror(scene.at("copies")).unwrap();
            let before = mirror.path().to_path_buf();
            let copied = fs::read(&before).unwrap();
            let reader = reading(&scene.path());
            let mut mirror_of_reader = reader.mirror(scene.at("copies")).unwrap();
            put(way, &scene.at(backup), &scene.path());
            let is_taken_up = way == Way::CopyOver && backup == "plain";
            for (store, mirror) in [
                (&reader, &mut mirror_of_reader),
                (&scene.store, &mut mirror),
            ] {
                reopened(store, &case, || mirror.update(), is_taken_up);
                assert_ne!(mirror.path(), before, "{case}");
                // Byte for byte, and it goes on.
                let writer = unsynced().open(scene.path()).unwrap();
                writer.insert("more", "1").unwrap();
                mirror.update().unwrap();
                let (live, copy) = (
                    fs::read(scene.path()).unwrap(),
                    fs::read(mirror.path()).unwrap(),
                );
                assert!(live[8192..] == copy[8192..], "{case}");
                assert!(fs::read(&before).unwrap() == copied, "{case}: it is kept");
                let copy = reading(mirror.path());
                assert_eq!(
                    copy.content_hash().unwrap(),
                    writer.content_hash().unwrap(),
                    "{case}"
                );
            }
            // A process that is started later goes on with the second one.
            let again = reader.mirror(scene.at("copies")).unwrap();
            assert_eq!(again.path(), mirror.path(), "{case}");
            let copies = fs::read_dir(scene.at("copies")).unwrap().count();
            assert_eq!(copies, 2, "{case}");
        }
    }
}

#[test]
fn a_copy_of_another_past_stays_as_it_is_however_long_the_store_is_again() {
    let scene = Scene::new();
    let before = scene.store.mirror(scene.at("copies")).unwrap();
    let copied = fs::read(before.path()).unwrap();
    // The same file of the same lineage, which went on in another way.
    put(Way::CopyOver, &scene.at("plain"), &scene.path());
    scene.store.insert("another", [7; 1000]).unwrap();
    let mirror = scene.store.mirror(scene.at("copies")).unwrap();
    assert_ne!(mirror.path(), before.path());
    assert!(reading(mirror.path()).contains_key("another").unwrap());
    assert!(fs::read(before.path()).unwrap() == copied);
}

#[test]
fn a_copy_of_another_past_dates_the_one_before_it_also_behind_the_ninth() {
    let scene = Scene::new();
    let (mut paths, long_ago) = (Vec::new(), UNIX_EPOCH + Duration::from_secs(86_400));
    for past in 1..=12u8 {
        put(Way::CopyOver, &scene.at("plain"), &scene.path());
        scene.store.insert([past], "").unwrap();
        for path in &paths {
            let copy = fs::File::options().write(true).open(path).unwrap();
            copy.set_modified(long_ago).unwrap();
        }
        let mirror = scene.store.mirror(scene.at("copies")).unwrap();
        let is_dated = |path: &&PathBuf| {
            let modified = fs::metadata(path).unwrap().modified();
            modified.unwrap() != long_ago
        };
        let dated: Vec<_> = paths.iter().filter(is_dated).collect();
        assert_eq!(dated, Vec::from_iter(paths.last()), "past {past}");
        paths.push(mirror.path().to_path_buf());
    }
}

#[test]
fn a_copy_that_was_deleted_or_moved_is_made_again() {
    for moved in [false, true] {
        let scene = Scene::new();
        let mut mirror = scene.store.mirror(scene.at("copies")).unwrap();
        let path = mirror.path().to_path_buf();
        let remove = || match moved {
            true => fs::rename(&path, scene.at("moved")).unwrap(),
            false => fs::remove_file(&path).unwrap(),
        };
        remove();
        // Also where nothing is to be copied, and where another file is by then.
        for round in 0..3 {
            match round {
                0 => {}
                1 => drop(scene.store.insert("more", "1").unwrap()),
                _ => drop(scene.store.compact().unwrap()),
            }
            mirror.update().unwrap();
            let copy = reading(mirror.path());
            assert_eq!(
                copy.content_hash().unwrap(),
                scene.store.content_hash().unwrap(),
                "round {round}"
            );
            assert!(reading(&path).contains_key("lost").unwrap());
            if round < 2 {
                remove();
            }
        }
        assert_eq!(fs::read_dir(scene.at("copies")).unwrap().count(), 2);
    }
}

#[test]
fn what_is_copied_whole_is_what_stands_at_the_path() {
    for way in WAYS {
        // Shorter than the store, and longer.
        for backup in ["backup", "other"] {
            let case = format!("{way:?}, {backup}");
            let scene = Scene::new();
            put(way, &scene.at(backup), &scene.path());
            let refused = [
                scene.store.backup(scene.at("new")).err(),
                scene.store.restore(1 << 20, scene.at("new")).err(),
                scene.store.position().err(),
                scene.store.mirror(scene.at("copies")).err(),
            ];
            for error in refused {
                let kind = error.map(|error| error.kind());
                assert_eq!(kind, Some(ErrorKind::Replaced), "{case}");
            }
            assert!(!scene.at("new").exists(), "{case}");
        }
    }
}

#[test]
fn who_only_gets_reads_on_in_the_file_that_had_the_name_until_asking_for_the_position() {
    let scene = Scene::new();
    let reader = reading(&scene.path());
    put(Way::Move, &scene.at("backup"), &scene.path());
    let tea = || reader.get("tea").unwrap();
    assert_eq!(tea().as_deref(), Some(&b"black"[..]));
    let position = || reader.position().map(|position| position.offset());
    assert_eq!(position().unwrap_err().kind(), ErrorKind::Replaced);
    reader.reopen().unwrap();
    assert_eq!(tea().as_deref(), Some(&b"green"[..]));
    assert!(position().is_ok());
}

#[test]
fn all_of_a_store_that_was_restored_to_a_place_counts_as_acknowledged() {
    let scene = Scene::new();
    let last = scene.store.events().unwrap().last().unwrap().unwrap();
    scene.store.insert("later", "1").unwrap();
    let end = scene.store.events().unwrap().last().unwrap().unwrap();
    scene.store.restore(end.offset(), scene.at("then")).unwrap();
    let then = unsynced().open(scene.at("then")).unwrap();
    assert!(then.verify().unwrap().is_sound() && then.recovery().is_clean());
    assert_eq!(then.get("lost").unwrap().as_deref(), Some(&b"1"[..]));
    drop(then);
    // Damage to its last record is no torn end.
    let mut bytes = fs::read(scene.at("then")).unwrap();
    bytes[usize::try_from(last.offset()).unwrap() + 48] ^= 1;
    fs::write(scene.at("then"), bytes).unwrap();
    let then = unsynced().open(scene.at("then")).unwrap();
    assert!(then.get("lost").unwrap_err().is_corrupt());
    assert_eq!(then.get("later").unwrap(), None);
}

#[test]
fn what_is_copied_over_an_empty_store_is_seen_by_those_who_only_read() {
    for (start, is_taken_up) in [
        ("no store yet", true),
        ("emptied", true),
        ("another", false),
    ] {
        let scene = Scene::new();
        match start {
            "no store yet" => fs::write(scene.path(), "").unwrap(),
            "emptied" => drop(unsynced().truncate(true).open(scene.path()).unwrap()),
            _ => {
                fs::remove_file(scene.path()).unwrap();
                drop(unsynced().open(scene.path()).unwrap());
            }
        }
        let reader = reading(&scene.path());
        let asking = reading(&scene.path());
        assert_eq!(reader.get("tea").unwrap(), None, "{start}");
        let mut mirror = asking.mirror(scene.at("copies")).ok();
        assert_eq!(mirror.is_some(), start != "no store yet");
        let backup = match is_taken_up {
            true => "plain",
            false => "other",
        };
        put(Way::CopyOver, &scene.at(backup), &scene.path());
        reopened(&reader, start, || reader.position().map(drop), is_taken_up);
        let tea = reader.get("tea").unwrap();
        assert_eq!(tea.as_deref(), Some(&b"green"[..]), "{start}");
        assert!(reader.recovery().is_clean(), "{start}: nothing was lost");
        if let Some(mirror) = &mut mirror {
            reopened(&asking, start, || mirror.update().map(drop), is_taken_up);
            let copy = reading(mirror.path()).content_hash().unwrap();
            assert_eq!(copy, reader.content_hash().unwrap(), "{start}");
        }
    }
}

#[test]
fn two_processes_that_copy_to_one_folder_leave_no_hole() {
    let mut schedule = Schedule::search().preemptions(1);
    while schedule.next() {
        let sim = SimDisk::new(1);
        let (one, other) = (sim.process(), sim.process());
        let opened = |disk, read_only| {
            let mut options = unsynced();
            options.read_only(read_only).disk(disk).open("/s.shelf")
        };
        let store = opened(one.disk(), false).unwrap();
        store.insert("first", "1").unwrap();
        let mut mirror = store.mirror("/").unwrap();
        let reader = opened(other.disk(), true).unwrap();
        let copies = one.program(|| {
            store.insert("second", "2")?;
            mirror.update().map(drop)
        });
        // It begins, and ends before it copies more.
        let begins = other.program(|| reader.mirror("/").map(drop));
        if sim.run(&mut schedule, vec![copies, begins]) == Ran::Pruned {
            continue;
        }
        store.insert("third", "3").unwrap();
        mirror.update().unwrap();
        let (live, copy) = (
            sim.read("/s.shelf").unwrap(),
            sim.read(mirror.path()).unwrap(),
        );
        assert!(live[8192..] == copy[8192..]);
        let names = one.disk().list(Path::new("/")).unwrap();
        assert_eq!(names.len(), 2, "{names:?}");
    }
    assert!(schedule.states() > 10);
}

#[test]
fn a_copy_that_another_process_cut_is_made_whole_again() {
    let dir = tempfile::tempdir().unwrap();
    let (path, copies) = (dir.path().join("s.shelf"), dir.path().join("copies"));
    fs::create_dir(&copies).unwrap();
    let store = unsynced().open(&path).unwrap();
    store.insert("first", "1").unwrap();
    let mut mirror = store.mirror(&copies).unwrap();
    let copy = fs::File::options().write(true).open(mirror.path()).unwrap();
    copy.set_len(copy.metadata().unwrap().len() - 8).unwrap();
    store.insert("second", "2").unwrap();
    mirror.update().unwrap();
    let (live, copy) = (fs::read(&path).unwrap(), fs::read(mirror.path()).unwrap());
    assert!(live[8192..] == copy[8192..], "a hole where it was cut");
}

#[test]
fn half_of_another_store_is_no_damage_to_this_one() {
    for backup in ["backup", "follow", "other"] {
        let scene = Scene::new();
        let whole = fs::read(scene.at(backup)).unwrap();
        for len in [8192, 8200, 8192 + 48, whole.len() - 1] {
            let case = format!("{backup}, {len} of {} bytes", whole.len());
            let reader = reading(&scene.path());
            let before = fs::read(scene.path()).unwrap();
            fs::write(scene.path(), &whole[..len]).unwrap();
            let error = reader.position().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Replaced, "{case}: {error}");
            fs::write(scene.path(), before).unwrap();
        }
    }
}

#[test]
fn an_entry_that_was_seen_before_another_state_was_put_there_is_not_taken_for_what_stands_in_its_place()
 {
    for way in WAYS {
        let dir = fast_dir();
        let at = |name: &str| dir.path().join(name);
        let store = unsynced().open(at("s.shelf")).unwrap();
        store.insert("a", "1").unwrap();
        fs::copy(at("s.shelf"), at("copied")).unwrap();
        store.backup(at("backup")).unwrap();
        store.insert("b", "seen").unwrap();
        let seen: Vec<_> = store.entries().collect::<Result<_, _>>().unwrap();
        for backup in ["copied", "backup"] {
            let case = format!("{way:?}, {backup}");
            put(way, &at(backup), &at("s.shelf"));
            store.reopen().unwrap();
            assert!(store.insert("b", "kept").unwrap(), "{case}");
            // At the offset of the one that was seen, as long, under the same key.
            assert_eq!(
                store
                    .history("b")
                    .unwrap()
                    .next()
                    .unwrap()
                    .unwrap()
                    .offset(),
                8192 + 56,
                "{case}"
            );
            assert_eq!(store.remove_unchanged(&seen[1..]).unwrap(), 0, "{case}");
            assert_eq!(
                store.get("b").unwrap().as_deref(),
                Some(&b"kept"[..]),
                "{case}"
            );
            // The one that is in both is the same.
            assert_eq!(store.remove_unchanged(&seen[..1]).unwrap(), 1, "{case}");
        }
    }
}

#[test]
fn a_reader_that_only_walks_through_the_store_sees_what_was_copied_over_it() {
    type Walk = fn(&Store) -> shelflife::Result<usize>;
    let walks: [(&str, Walk); 3] = [
        ("iter", |store| {
            let pairs: shelflife::Result<Vec<_>> = store.iter().collect();
            pairs.map(|pairs| pairs.len())
        }),
        ("events", |store| {
            let events: shelflife::Result<Vec<_>> = store.events()?.collect();
            events.map(|events| events.len())
        }),
        ("history", |store| {
            let events: shelflife::Result<Vec<_>> = store.history("tea")?.collect();
            events.map(|events| events.len())
        }),
    ];
    for (name, walk) in walks {
        let scene = Scene::new();
        let reader = reading(&scene.path());
        assert!(walk(&reader).unwrap() > 1, "{name}");
        put(Way::CopyOver, &scene.at("plain"), &scene.path());
        assert_eq!(walk(&reader).unwrap(), 1, "{name}");
    }
}

#[test]
fn a_key_is_not_read_from_what_stands_in_its_place_since_something_was_copied_over_the_store() {
    // Each record is as long as the one in whose place it comes to stand.
    let changes: [fn(&Store) -> shelflife::Result<bool>; 2] = [
        |store| store.remove("tea"),
        |store| store.insert("pot", "green"),
    ];
    for (nth, change) in changes.into_iter().enumerate() {
        let dir = fast_dir();
        let path = dir.path().join("s.shelf");
        let store = unsynced().open(&path).unwrap();
        store.insert("tea", "green").unwrap();
        let copy = fs::read(&path).unwrap();
        store.insert("tea", "black").unwrap();
        let knowing = || [reading(&path), unsynced().open(&path).unwrap()];
        let (getting, looking) = (knowing(), knowing());
        fs::write(&path, copy).unwrap();
        let other = unsynced().open(&path).unwrap();
        change(&other).unwrap();
        let there = other.get("tea").unwrap();
        for store in &getting {
            assert_eq!(store.get("tea").unwrap(), there, "change {nth}");
        }
        for store in &looking {
            let is_there = store.contains_key("tea").unwrap();
            assert_eq!(is_there, there.is_some(), "change {nth}");
        }
    }
}

#[test]
fn of_records_that_a_backup_was_written_over_none_is_told_or_copied_any_more() {
    let scene = Scene::new();
    let watched = reading(&scene.path());
    let mut changes = watched.changes(watched.position().unwrap()).unwrap();
    let mut mirror = watched.mirror(scene.at("copies")).unwrap();
    let before = mirror.path().to_path_buf();
    let copied = fs::read(&before).unwrap();
    scene.store.insert("unread", [7; 3_000]).unwrap();
    // The handle knows the record. Neither the watcher nor the copy has come to it.
    assert!(watched.contains_key("unread").unwrap());
    put(Way::CopyOver, &scene.at("plain"), &scene.path());
    // Other records stand there by now.
    scene.store.insert("another", [8; 6_000]).unwrap();
    let seen = changes.next().unwrap();
    assert!(
        matches!(seen, Some(Seen::Missed(Gap::Replaced))),
        "{seen:?}"
    );
    mirror.update().unwrap();
    assert_ne!(mirror.path(), before);
    assert!(fs::read(&before).unwrap() == copied, "it is kept");
    assert!(reading(mirror.path()).contains_key("another").unwrap());
}
