//! The deeds of an admin to the file of a running store are noticed, and refused or followed, never written past.

use super::{contents, impatient, relaxed};
use crate::support::{fast_dir, skip};
use shelflife::{Durability, Error, ErrorKind, Options, Store};
use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

/// With `Durability::Os` the path is looked at once in so many locks.
const LOOKS_EVERY: u64 = 64;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Deed {
    Delete,
    Move,
    /// `mv backup store`
    PutBackupInPlace,
    /// `cp backup store`
    CopyBackupOver,
    /// The same, with a backup from before a compaction, which is longer than the store is now.
    CopyLongBackupOver,
    PutOtherStoreInPlace,
    CopyOtherStoreOver,
    Empty,
    CopyTextOver,
    LinkToOtherStore,
}

use Deed::*;

const DEEDS: [Deed; 10] = [
    Delete,
    Move,
    PutBackupInPlace,
    CopyBackupOver,
    CopyLongBackupOver,
    PutOtherStoreInPlace,
    CopyOtherStoreOver,
    Empty,
    CopyTextOver,
    LinkToOtherStore,
];

/// A folder with a store in use, two backups of it, and another store.
struct Scene {
    dir: tempfile::TempDir,
    store: Store,
}

impl Scene {
    fn new(options: &Options) -> Scene {
        let dir = fast_dir();
        let at = |name: &str| dir.path().join(name);
        let other = Store::open(at("other")).unwrap();
        other.insert("other", "store").unwrap();
        other.close().unwrap();

        let store = options.open(at("s.shelf")).unwrap();
        for key in 0..100 {
            store.insert(format!("gone {key}"), [7; 300]).unwrap();
        }
        store.insert("kept", "long backup").unwrap();
        fs::copy(at("s.shelf"), at("long backup")).unwrap();
        for key in 0..100 {
            store.remove(format!("gone {key}")).unwrap();
        }
        store.compact().unwrap();
        store.insert("kept", "backup").unwrap();
        fs::copy(at("s.shelf"), at("backup")).unwrap();
        store.insert("kept", "now").unwrap();
        store.insert("late", "now").unwrap();
        Scene { dir, store }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn path(&self) -> PathBuf {
        self.at("s.shelf")
    }

    fn copy_over(&self, bytes: Vec<u8>) {
        // Truncates and writes the same file, as `cp` does.
        fs::write(self.path(), bytes).unwrap();
    }

    fn act(&self, deed: Deed) {
        let read = |name| fs::read(self.at(name)).unwrap();
        match deed {
            Delete => fs::remove_file(self.path()).unwrap(),
            Move => fs::rename(self.path(), self.at("moved")).unwrap(),
            PutBackupInPlace => fs::rename(self.at("backup"), self.path()).unwrap(),
            CopyBackupOver => self.copy_over(read("backup")),
            CopyLongBackupOver => self.copy_over(read("long backup")),
            PutOtherStoreInPlace => fs::rename(self.at("other"), self.path()).unwrap(),
            CopyOtherStoreOver => self.copy_over(read("other")),
            Empty => self.copy_over(Vec::new()),
            CopyTextOver => self.copy_over(b"not a store at all\n".repeat(1000)),
            LinkToOtherStore => {
                fs::remove_file(self.path()).unwrap();
                symlink(self.at("other"), self.path()).unwrap();
            }
        }
    }

    fn bytes(&self) -> Option<Vec<u8>> {
        fs::read(self.path()).ok()
    }

    /// Writes new keys until one is refused, or the path must have been looked at. Returns which were acknowledged.
    fn write(&self) -> (Vec<String>, Option<Error>) {
        let mut acknowledged = Vec::new();
        for nth in 0..2 * LOOKS_EVERY {
            let key = format!("new {nth}");
            match self.store.insert(&key, "new") {
                Ok(is_new) => assert!(is_new),
                Err(error) => return (acknowledged, Some(error)),
            }
            acknowledged.push(key);
        }
        (acknowledged, None)
    }
}

fn handles() -> [(Options, &'static str); 4] {
    let options = |exclusive, durability| {
        let mut options = impatient();
        options.exclusive(exclusive).durability(durability);
        options
    };
    [
        (options(false, Durability::Os), "shared"),
        (options(false, Durability::Immediate), "shared, durable"),
        (options(true, Durability::Os), "exclusive"),
        (options(true, Durability::Immediate), "exclusive, durable"),
    ]
}

#[test]
fn what_an_admin_does_to_the_file_is_refused_or_followed_and_never_written_past() {
    for deed in DEEDS {
        for (options, name) in handles() {
            let case = format!("{deed:?}, {name}");
            let scene = Scene::new(&options);
            scene.act(deed);
            let before = scene.bytes();
            let (acknowledged, refused) = scene.write();
            let is_durable = name.ends_with("durable");

            if matches!(deed, CopyBackupOver | CopyLongBackupOver) {
                // It is still this store, in another state: everything goes on from there.
                assert!(refused.is_none(), "{case}: {refused:?}");
                let there = contents(&scene.path());
                let has = |key: &str| there.iter().any(|(there, _)| there == key.as_bytes());
                assert!(acknowledged.iter().all(|key| has(key)), "{case}");
                assert!(has("kept") && !has("late"), "{case}");
                assert_eq!(has("gone 7"), deed == CopyLongBackupOver, "{case}");
                scene.store.close().unwrap();
                let store = Store::open(scene.dir.path().join("s.shelf")).unwrap();
                assert!(
                    store.recovery().is_clean(),
                    "{case}: {:?}",
                    store.recovery()
                );
                continue;
            }

            let error = refused.unwrap_or_else(|| panic!("{case}: was not noticed"));
            let expected = match deed {
                CopyTextOver => ErrorKind::NotAStore,
                _ => ErrorKind::Replaced,
            };
            assert_eq!(error.kind(), expected, "{case}: {error}");
            assert_eq!(error.path(), Some(&*scene.path()), "{case}: {error}");
            assert_eq!(scene.bytes(), before, "{case}: something was written");
            // A file that only lost its name may have got a few more records; one that was overwritten, or whose writes
            // were promised to be durable, never.
            let overwritten = matches!(deed, CopyOtherStoreOver | Empty | CopyTextOver);
            if is_durable || overwritten {
                assert!(acknowledged.is_empty(), "{case}: {acknowledged:?}");
            }
            if deed == Move {
                let there = contents(&scene.at("moved"));
                let has = |key: &str| there.iter().any(|(there, _)| there == key.as_bytes());
                assert!(acknowledged.iter().all(|key| has(key)), "{case}");
            }
            let acknowledged = acknowledged.len() as u64;
            assert!(acknowledged < LOOKS_EVERY, "{case}: {acknowledged}");
            // It stays refused, and closing does not harm what is there either.
            for _ in 0..3 {
                assert!(scene.store.insert("k", "v").is_err(), "{case}");
                assert!(scene.store.compact().is_err(), "{case}");
            }
            let (path, dir) = (scene.path(), scene.dir);
            drop(scene.store);
            assert_eq!(fs::read(&path).ok(), before, "{case}: closing wrote");
            drop(dir);
        }
    }
}

#[test]
fn a_handle_whose_file_was_taken_away_goes_on_with_what_is_there_after_a_reopen() {
    for deed in DEEDS {
        for (options, name) in handles() {
            let case = format!("{deed:?}, {name}");
            let scene = Scene::new(&options);
            scene.act(deed);
            let _ = scene.write();
            let reopened = scene.store.reopen();
            if deed == CopyTextOver {
                assert_eq!(reopened.unwrap_err().kind(), ErrorKind::NotAStore, "{case}");
                continue;
            }
            if deed == Empty {
                assert_eq!(reopened.unwrap_err().kind(), ErrorKind::Replaced, "{case}");
                continue;
            }
            reopened.unwrap_or_else(|error| panic!("{case}: {error}"));
            scene.store.insert("after", "reopen").unwrap();
            let pairs = contents(&scene.path());
            assert!(
                pairs.contains(&(b"after".to_vec(), b"reopen".to_vec())),
                "{case}"
            );
            let other = pairs.contains(&(b"other".to_vec(), b"store".to_vec()));
            let is_other = [PutOtherStoreInPlace, CopyOtherStoreOver, LinkToOtherStore];
            assert_eq!(other, is_other.contains(&deed), "{case}");
        }
    }
}

#[test]
fn a_handle_does_not_wait_for_the_other_end_of_a_pipe_in_the_place_of_its_file() {
    for pipe in [false, true] {
        for read_only in [false, true] {
            let scene = Scene::new(&relaxed());
            let mut options = relaxed();
            let store = options.read_only(read_only).open(scene.path()).unwrap();
            fs::remove_file(scene.path()).unwrap();
            if pipe {
                let made = Command::new("mkfifo").arg(scene.path()).status();
                assert!(made.unwrap().success());
            } else {
                fs::create_dir(scene.path()).unwrap();
            }
            let error = store.position().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Replaced, "{error}");
            let error = store.reopen().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::NotAStore, "{error}");
        }
    }
}

#[test]
fn a_reader_goes_on_with_a_backup_that_was_copied_over_the_file() {
    for read_only in [false, true] {
        let scene = Scene::new(&relaxed());
        let reader = relaxed().read_only(read_only).open(scene.path()).unwrap();
        assert_eq!(reader.get("late").unwrap().as_deref(), Some(&b"now"[..]));
        scene.act(CopyBackupOver);
        assert_eq!(reader.get("kept").unwrap().as_deref(), Some(&b"backup"[..]));
        assert_eq!(reader.get("late").unwrap(), None);
        assert_eq!(reader.len().unwrap(), 1);
        assert_eq!(reader.iter().count(), 1);

        // And when what was written since reaches behind the end that it knew.
        let scene = Scene::new(&relaxed());
        let reader = relaxed().read_only(read_only).open(scene.path()).unwrap();
        scene.act(CopyBackupOver);
        for nth in 0..20u64 {
            let key = format!("since {nth}");
            scene.store.insert(&key, vec![7; nth as usize]).unwrap();
            scene.store.sync().unwrap();
        }
        for nth in 0..20u64 {
            let got = reader.get(format!("since {nth}")).unwrap();
            assert_eq!(got, Some(vec![7; nth as usize]));
        }
        assert_eq!(reader.iter().map(Result::unwrap).count(), 21);
        let recovery = reader.recovery();
        assert_eq!(recovery.reverted.len(), 1, "{recovery:?}");
        assert!(recovery.damage.is_empty() && recovery.torn_tails.is_empty());
    }
}

#[test]
fn a_reader_of_a_file_that_lost_its_name_keeps_what_it_had() {
    for deed in [Delete, Move, PutBackupInPlace, PutOtherStoreInPlace] {
        let scene = Scene::new(&relaxed());
        let reader = relaxed().read_only(true).open(scene.path()).unwrap();
        scene.act(deed);
        for _ in 0..3 {
            assert_eq!(reader.get("late").unwrap().as_deref(), Some(&b"now"[..]));
            assert_eq!(reader.iter().map(Result::unwrap).count(), 2, "{deed:?}");
        }
    }
}

#[test]
fn deleting_the_file_does_not_bring_a_leftover_of_it_back() {
    let scene = Scene::new(&relaxed());
    let (path, dir) = (scene.path(), scene.dir);
    drop(scene.store);
    let leftover = dir.path().join("s.shelf.tmp-0123456789abcdef");
    fs::copy(&path, &leftover).unwrap();
    fs::remove_file(&path).unwrap();
    let store = Store::open(&path).unwrap();
    assert!(store.is_empty().unwrap());
    assert!(!leftover.exists(), "a leftover that nobody has locked goes");
    store.insert("new", "life").unwrap();
    drop(store);
    assert_eq!(contents(&path), [(b"new".to_vec(), b"life".to_vec())]);
}

#[test]
fn a_file_that_somebody_has_in_work_is_not_taken_for_a_leftover() {
    let scene = Scene::new(&relaxed());
    let temp = scene.at("s.shelf.tmp-0123456789abcdef");
    fs::write(&temp, "in work").unwrap();
    let in_work = fs::File::open(&temp).unwrap();
    in_work.lock().unwrap();
    let error = scene.store.compact().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Busy, "{error}");
    assert_eq!(fs::read(&temp).unwrap(), b"in work");
    drop(in_work);
    scene.store.compact().unwrap();
    assert!(!temp.exists());
}

#[test]
fn a_copy_removes_what_a_killed_one_left_and_nothing_that_is_being_made() {
    let scene = Scene::new(&relaxed());
    let store = &scene.store;
    fs::create_dir(scene.at("copies")).unwrap();
    let copy = || scene.at("copy");
    let clear = store.events().unwrap().last().unwrap().unwrap().offset();
    let digits = "0123456789abcdef";
    type Make<'a> = &'a dyn Fn() -> shelflife::Result<()>;
    let makers: [(&str, String, Make<'_>); 5] = [
        ("backup", format!("copy.tmp-{digits}"), &|| {
            store.backup(copy()).map(drop)
        }),
        ("restore", format!("copy.tmp-{digits}"), &|| {
            store.restore(clear, copy()).map(drop)
        }),
        ("salvage", format!("copy.tmp-{digits}"), &|| {
            store.salvage(copy()).map(drop)
        }),
        (
            "mirror",
            format!("copies/s.shelf.{digits}-0000000001.tmp-{digits}"),
            &|| store.mirror(scene.at("copies")).map(drop),
        ),
        (
            "remove_leftovers",
            format!("copy.tmp-{digits}.tmp-{digits}"),
            &|| Store::remove_leftovers(copy()),
        ),
    ];
    for (who, name, make) in makers {
        let temp = scene.at(&name);
        fs::write(&temp, "in work").unwrap();
        let in_work = fs::File::open(&temp).unwrap();
        in_work.lock().unwrap();
        make().unwrap();
        assert_eq!(fs::read(&temp).unwrap(), b"in work", "{who}");
        let _ = fs::remove_file(copy());
        drop(in_work);
        make().unwrap();
        assert!(!temp.exists(), "{who}");
        let _ = fs::remove_file(copy());
    }
    for dir in [scene.dir.path(), &scene.at("copies")] {
        for entry in fs::read_dir(dir).unwrap() {
            let name = entry.unwrap().file_name();
            assert!(!name.to_string_lossy().contains(".tmp-"), "{name:?}");
        }
    }
    // Under their names copies are stores that anybody may write to.
    let mirror = store.mirror(scene.at("copies")).unwrap();
    assert!(fs::File::open(mirror.path()).unwrap().try_lock().is_ok());
}

#[test]
fn what_only_looks_like_a_leftover_is_neither_followed_nor_removed() {
    let scene = Scene::new(&relaxed());
    let name = |nth: u32| scene.at(&format!("s.shelf.tmp-{nth:016x}"));
    let victim = scene.at("victim");
    fs::write(&victim, "precious").unwrap();
    symlink(&victim, name(1)).unwrap();
    symlink(scene.at("nowhere"), name(2)).unwrap();
    fs::create_dir(name(3)).unwrap();
    let fifo = std::process::Command::new("mkfifo").arg(name(4)).status();
    assert!(fifo.unwrap().success());
    let near_misses = [
        "s.shelf.tmp-0123456789abcde",
        "s.shelf.tmp-0123456789abcdefg",
        "s.shelf.tmp-0123456789abcdeg",
        "s.shelf.tmp-0123456789abcdef.bak",
        "t.shelf.tmp-0123456789abcdef",
        "s.shelf.bak",
    ];
    for name in near_misses {
        fs::write(scene.at(name), "not ours").unwrap();
    }
    scene.store.compact().unwrap();
    for nth in 1..=4 {
        assert!(fs::symlink_metadata(name(nth)).is_ok(), "{nth}");
    }
    assert_eq!(fs::read(&victim).unwrap(), b"precious");
    for name in near_misses {
        assert_eq!(fs::read(scene.at(name)).unwrap(), b"not ours", "{name}");
    }
    assert_eq!(contents(&scene.path()).len(), 2);
}

#[test]
fn a_symbolic_link_stays_one_and_everything_is_made_beside_what_it_leads_to() {
    let dir = fast_dir();
    let (links, data) = (dir.path().join("links"), dir.path().join("data"));
    fs::create_dir(&links).unwrap();
    fs::create_dir(&data).unwrap();
    let (link, target) = (links.join("s.shelf"), data.join("real.shelf"));
    Store::open(&target).unwrap().close().unwrap();
    symlink("../data/real.shelf", &link).unwrap();

    let (by_link, by_target) = (
        relaxed().open(&link).unwrap(),
        relaxed().open(&target).unwrap(),
    );
    for round in 0..3u8 {
        by_link.insert("k", [round]).unwrap();
        by_link.compact().unwrap();
        assert_eq!(by_target.get("k").unwrap().as_deref(), Some(&[round][..]));
        by_target.insert("k", [100 + round]).unwrap();
        by_target.compact().unwrap();
        assert_eq!(by_link.get("k").unwrap(), Some(vec![100 + round]));
    }
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert!(!fs::symlink_metadata(&target).unwrap().is_symlink());
    let names = |dir: &Path| fs::read_dir(dir).unwrap().count();
    assert_eq!((names(&links), names(&data)), (1, 1));
    // To where no file is, a link is not followed into creating one twice: it is created where the link leads.
    symlink("../data/new.shelf", links.join("new")).unwrap();
    let new = relaxed().open(links.join("new")).unwrap();
    new.insert("k", "v").unwrap();
    assert_eq!(contents(&data.join("new.shelf")).len(), 1);
}

#[test]
fn a_symbolic_link_leads_to_another_file_system() {
    let name = "a_symbolic_link_leads_to_another_file_system";
    let (links, data) = (tempfile::tempdir().unwrap(), fast_dir());
    let device = |dir: &tempfile::TempDir| fs::metadata(dir.path()).unwrap().dev();
    if device(&links) == device(&data) {
        return skip(
            name,
            "the folders for temporary files are on one file system",
        );
    }
    let (link, target) = (links.path().join("s"), data.path().join("real.shelf"));
    symlink(&target, &link).unwrap();
    let store = relaxed().open(&link).unwrap();
    store.insert("k", "v").unwrap();
    store.compact().unwrap();
    store.insert("k", "w").unwrap();
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(contents(&target), [(b"k".to_vec(), b"w".to_vec())]);
    assert_eq!(fs::read_dir(data.path()).unwrap().count(), 1);
}

#[test]
fn a_hard_link_made_as_a_backup_keeps_what_it_was_made_of() {
    let scene = Scene::new(&relaxed());
    let compactor = relaxed().open(scene.path()).unwrap();
    fs::hard_link(scene.path(), scene.at("linked")).unwrap();
    // The old file keeps a name, so nothing but the path tells that it was replaced.
    compactor.compact().unwrap();
    scene.store.insert("kept", "after").unwrap();
    scene.store.compact().unwrap();
    scene.store.insert("new", "after").unwrap();
    let inode = |name: &str| fs::metadata(scene.at(name)).unwrap().ino();
    assert_ne!(inode("linked"), inode("s.shelf"));
    let text = |value: &str| value.as_bytes().to_vec();
    let then = [(text("kept"), text("now")), (text("late"), text("now"))];
    assert_eq!(contents(&scene.at("linked")), then);
    assert_eq!(contents(&scene.path()).len(), 3);
}

/// The bytes of a store, of one more record or batch behind it, and what that changes.
fn appended(change: impl Fn(&Store)) -> (Vec<u8>, Vec<u8>) {
    let dir = fast_dir();
    let path = dir.path().join("s.shelf");
    let store = relaxed().open(&path).unwrap();
    store.insert("old", "1").unwrap();
    let before = fs::read(&path).unwrap();
    change(&store);
    let after = fs::read(&path).unwrap();
    (before.clone(), after[before.len()..].to_vec())
}

fn append(path: &Path, offset: usize, bytes: &[u8]) {
    use std::os::unix::fs::FileExt;
    let file = fs::OpenOptions::new().write(true).open(path).unwrap();
    file.write_all_at(bytes, offset as u64).unwrap();
}

#[test]
fn a_reader_takes_every_beginning_of_an_append_for_not_yet() {
    let one = appended(|store| _ = store.insert("new", "2").unwrap());
    let batch = appended(|store| {
        let mut batch = shelflife::Batch::new();
        batch.insert("new", "2").remove("old").insert("newer", "3");
        store.write(&batch).unwrap();
    });
    for (before, record) in [one, batch] {
        let dir = fast_dir();
        let path = dir.path().join("s.shelf");
        fs::write(&path, &before).unwrap();
        let reader = relaxed().read_only(true).open(&path).unwrap();
        for len in 1..record.len() {
            append(&path, before.len(), &record[..len]);
            assert_eq!(reader.get("new").unwrap(), None, "{len} bytes");
            assert_eq!(reader.get("old").unwrap().as_deref(), Some(&b"1"[..]));
            assert_eq!(reader.iter().count(), 1, "{len} bytes");
            assert!(reader.recovery().damage.is_empty(), "{len} bytes");
        }
        append(&path, before.len(), &record);
        assert_eq!(reader.get("new").unwrap().as_deref(), Some(&b"2"[..]));
        assert!(reader.recovery().is_clean());
    }
}

#[test]
fn a_reader_of_a_torn_append_takes_what_is_put_in_its_place_and_never_a_mixture() {
    let (before, record) = appended(|store| _ = store.insert("new", [2; 40]).unwrap());
    for len in 1..record.len() {
        for other_len in [0, 39, 40, 200] {
            let dir = fast_dir();
            let path = dir.path().join("s.shelf");
            fs::write(&path, &before).unwrap();
            let reader = relaxed().read_only(true).open(&path).unwrap();
            append(&path, before.len(), &record[..len]);
            assert_eq!(reader.get("new").unwrap(), None, "{len} bytes");
            let store = relaxed().open(&path).unwrap();
            assert_eq!(store.recovery().torn_tails.len(), 1);
            store.insert("new", vec![3; other_len]).unwrap();
            let got = reader.get("new").unwrap();
            assert_eq!(got, Some(vec![3; other_len]), "{len} bytes");
            store.insert("old", "9").unwrap();
            assert_eq!(reader.get("old").unwrap().as_deref(), Some(&b"9"[..]));
            assert_eq!(reader.iter().map(Result::unwrap).count(), 2);
            assert!(reader.recovery().is_clean());
        }
    }
}
