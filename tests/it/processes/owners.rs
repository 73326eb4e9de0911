//! Other users beside the store's owner, and nobody else gets to see it.

use super::{Child, contents, relaxed, tell};
use crate::support::skip;
use shelflife::{Compaction, Store};
use std::ffi::OsString;
use std::fs;
use std::io::Write;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

const APP: u32 = 61_001;
const COLLEAGUE: u32 = 61_002;
const GROUP: u32 = 61_003;

/// Leaves behind what a writer leaves that dies within an append.
fn tear(path: &Path) {
    let mut file = fs::OpenOptions::new().append(true).open(path).unwrap();
    file.write_all(&[0x55; 100]).unwrap();
}

/// Puts a record that does not verify before one that does.
fn tear_before_a_record(path: &Path, store: &Store) {
    let end = fs::metadata(path).unwrap().len();
    store.insert("torn", "x").unwrap();
    store.insert("behind", "x").unwrap();
    let file = fs::OpenOptions::new().write(true).open(path).unwrap();
    file.write_all_at(&[0x55; 8], end + 48).unwrap();
}

/// The child: creates every kind of file that there is.
pub(super) fn do_all_that_creates_files(path: &Path) {
    let store = relaxed().open(path).unwrap();
    store.insert("k", "v").unwrap();
    store.compact().unwrap();
    store.insert("k", "v2").unwrap();
    tear(path);
    store.insert("k", "v3").unwrap();
    tear_before_a_record(path, &store);
    store.reopen().unwrap();
    store.insert("k", "v4").unwrap();
    assert_eq!(store.recovery().torn_tails.len(), 2);
    relaxed().truncate(true).open(path).unwrap();
}

/// The names in a folder with owner, group and mode of each.
fn listing(dir: &Path) -> Vec<(OsString, (u32, u32, u32))> {
    let mut listing: Vec<_> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| {
            let entry = entry.unwrap();
            (entry.file_name(), owner(&entry.path()))
        })
        .collect();
    listing.sort();
    listing
}

fn owner(path: &Path) -> (u32, u32, u32) {
    let meta = fs::symlink_metadata(path).unwrap();
    (meta.uid(), meta.gid(), meta.mode() & 0o7777)
}

#[test]
fn everything_is_created_for_its_owner_alone_whatever_the_umask() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s.shelf");
    let child = Child::command("do all that creates files", &path, &[]);
    let run = |first: &str, before: &[&str]| {
        let mut command = Command::new(first);
        command
            .args(before)
            .args(["sh", "-c", "umask 000; exec \"$0\" \"$@\""])
            .arg(child.get_program())
            .args(child.get_args());
        for (name, value) in child.get_envs() {
            command.env(name, value.unwrap());
        }
        command.output()
    };
    let output = run("env", &[]).unwrap();
    assert!(output.status.success(), "{output:?}");
    let listing = listing(dir.path());
    assert_eq!(listing.len(), 3, "the store and two pieces of evidence");
    for (name, (_, _, mode)) in listing {
        assert_eq!(mode, 0o600, "{name:?}");
    }

    // And from the first moment on, not by a later chmod.
    let name =
        "everything_is_created_for_its_owner_alone_whatever_the_umask (from the first moment on)";
    let trace = dir.path().join("trace");
    fs::remove_file(&path).unwrap();
    let options = [
        "-f",
        "-e",
        "trace=open,openat,creat",
        "-o",
        trace.to_str().unwrap(),
    ];
    if let Err(error) = run("strace", &options) {
        return skip(name, format!("no strace: {error}"));
    }
    let trace = fs::read_to_string(&trace).unwrap_or_default();
    let (shown, created) = (dir.path().to_str().unwrap(), "O_CREAT");
    let created: Vec<_> = trace
        .lines()
        .filter(|line| line.contains(shown) && line.contains(created))
        .collect();
    if created.is_empty() {
        return skip(name, "strace can't trace here");
    }
    // The store, a successor each for creation, compaction, repair and truncation, and evidence of a cut.
    assert!(created.len() >= 6, "{created:?}");
    for line in created {
        assert!(line.contains(", 0600) = "), "{line}");
    }
}

/// A folder and a copy of this binary for other users, if this one may give files away.
fn other_users(name: &str) -> Option<(tempfile::TempDir, PathBuf)> {
    let dir = tempfile::tempdir().unwrap();
    let exe = dir.path().join("exe");
    fs::create_dir(dir.path().join("data")).unwrap();
    if chown(dir.path().join("data"), Some(APP), Some(GROUP)).is_err() {
        skip(name, "only root can play other users");
        return None;
    }
    let built = std::env::current_exe().unwrap();
    fs::hard_link(&built, &exe)
        .or_else(|_| fs::copy(&built, &exe).map(|_| ()))
        .unwrap();
    allow(dir.path(), 0o755);
    allow(&dir.path().join("data"), 0o770);
    Some((dir, exe))
}

fn allow(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// The child: writes, compacts, writes, and tells what came of the compaction.
pub(super) fn compact(path: &Path) {
    let store = relaxed().compaction(Compaction::Inline).open(path).unwrap();
    store.insert("by", "child").unwrap();
    match store.compact() {
        Ok(_) => tell("compacted"),
        Err(error) => tell(&error.to_string()),
    }
    // Enough that it would compact itself.
    for nth in 0..60u64 {
        store.insert("large", vec![nth as u8; 50_000]).unwrap();
    }
    store.insert("by", "child again").unwrap();
    store.close().unwrap();
}

fn compact_as(exe: &Path, path: &Path, uid: u32, gid: u32) -> String {
    let mut command = Child::command_of(exe, "compact", path, &[]);
    command.uid(uid).gid(gid).current_dir("/");
    Child::spawn(&mut command).finish()
}

fn has(path: &Path, key: &str, value: &str) -> bool {
    contents(path).contains(&(key.into(), value.into()))
}

#[test]
fn compaction_and_repair_by_root_leave_the_file_to_its_owner_and_group() {
    let name = "compaction_and_repair_by_root_leave_the_file_to_its_owner_and_group";
    let Some((dir, exe)) = other_users(name) else {
        return;
    };
    let data = dir.path().join("data");
    let path = data.join("s.shelf");
    Store::open(&path).unwrap().close().unwrap();
    chown(&path, Some(APP), Some(GROUP)).unwrap();
    allow(&path, 0o640);

    let store = relaxed().open(&path).unwrap();
    let app = relaxed().open(&path).unwrap();
    let inode = |path: &Path| fs::metadata(path).unwrap().ino();
    let before = inode(&path);
    store.compact().unwrap();
    assert_ne!(inode(&path), before, "it was compacted");
    app.insert("app", "goes on").unwrap();
    tear(&path);
    store.insert("root", "repairs").unwrap();
    relaxed().truncate(true).open(&path).unwrap();
    let listing = listing(&data);
    assert_eq!(listing.len(), 2, "the store and one piece of evidence");
    for (name, owner) in listing {
        assert_eq!(owner, (APP, GROUP, 0o640), "{name:?}");
    }
    assert_eq!(compact_as(&exe, &path, APP, GROUP), "compacted\n");
    assert!(has(&path, "by", "child again"));
    assert_eq!(owner(&path), (APP, GROUP, 0o640));
}

#[test]
fn who_may_write_but_does_not_own_the_file_writes_and_repairs_but_does_not_compact() {
    let name = "who_may_write_but_does_not_own_the_file_writes_and_repairs_but_does_not_compact";
    let Some((dir, exe)) = other_users(name) else {
        return;
    };
    let data = dir.path().join("data");
    let path = data.join("s.shelf");
    Store::open(&path).unwrap().close().unwrap();
    chown(&path, Some(APP), Some(GROUP)).unwrap();
    allow(&path, 0o660);
    let inode = fs::metadata(&path).unwrap().ino();
    tear(&path);

    let told = compact_as(&exe, &path, COLLEAGUE, GROUP);
    assert!(
        told.contains("run this as the user who owns the store"),
        "{told}"
    );
    assert!(has(&path, "by", "child again"));
    assert_eq!(fs::metadata(&path).unwrap().ino(), inode);
    let evidence: Vec<_> = listing(&data)
        .into_iter()
        .filter(|(name, _)| name != "s.shelf")
        .map(|(_, owner)| owner)
        .collect();
    assert_eq!(
        evidence,
        [(COLLEAGUE, GROUP, 0o600)],
        "nothing else is left"
    );
    assert_eq!(owner(&path), (APP, GROUP, 0o660));
}

#[test]
fn in_a_folder_that_can_not_be_written_to_the_store_works_and_stays_as_large_as_it_gets() {
    let name =
        "in_a_folder_that_can_not_be_written_to_the_store_works_and_stays_as_large_as_it_gets";
    let Some((dir, exe)) = other_users(name) else {
        return;
    };
    let data = dir.path().join("data");
    let path = data.join("s.shelf");
    Store::open(&path).unwrap().close().unwrap();
    chown(&path, Some(APP), Some(GROUP)).unwrap();
    allow(&data, 0o550);

    let told = compact_as(&exe, &path, APP, GROUP);
    assert!(told.starts_with("failed to create"), "{told}");
    assert!(told.contains("check the owner and mode"), "{told}");
    assert!(has(&path, "by", "child again"));
    assert!(fs::metadata(&path).unwrap().len() > 60 * 50_000);
    assert_eq!(listing(&data).len(), 1);

    // A store can't be created there, and what is in the way is told.
    let told = Child::spawn(
        Child::command_of(&exe, "open", &data.join("new.shelf"), &[])
            .uid(APP)
            .gid(GROUP)
            .current_dir("/"),
    )
    .finish();
    assert!(told.starts_with("failed to open"), "{told}");
    assert!(told.contains("check the owner and mode"), "{told}");
}

/// The child: opens a store, and tells what is in the way.
pub(super) fn open(path: &Path) {
    match Store::open(path) {
        Ok(_) => tell("opened"),
        Err(error) => tell(&error.to_string()),
    }
}
