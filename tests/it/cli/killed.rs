//! Commands that are interrupted, or killed: the store is as it was or done, and no temporary file stays.

use super::copies::until;
use super::*;
use crate::support::{fast_dir, metric};
use shelflife::Durability;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::Instant;

/// Of this size a copy takes long enough to be caught at.
const ENTRIES: u32 = 50_000;
const TRIES_MAX: usize = 200;

fn filled(path: &Path) -> u128 {
    let mut options = Options::new();
    options.durability(Durability::Os);
    let store = options.open(path).unwrap();
    for first in (0..ENTRIES).step_by(1_000) {
        let mut batch = Batch::new();
        for key in first..first + 1_000 {
            batch.insert(key.to_be_bytes(), [key as u8; 300]);
        }
        store.write(&batch).unwrap();
    }
    store.content_hash().unwrap()
}

fn temporary(folders: &[&Path]) -> Vec<String> {
    let names = folders.iter().flat_map(|dir| fs::read_dir(dir).unwrap());
    let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.contains(".tmp-")).collect()
}

/// As the terminal does it: to all processes of the group that the command was started in.
fn signal(group: u32, name: &str) {
    let script = format!("kill -{name} -{group}");
    let sent = Command::new("sh").args(["-c", &script]).status().unwrap();
    assert!(sent.success());
}

/// The signal that Ctrl-C sends, unless this process was started so that it is ignored, as shells do in the background.
fn interrupt() -> &'static str {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    match ignored.unwrap_or(0) & 2 {
        0 => "INT",
        _ => "TERM",
    }
}

#[test]
fn a_command_that_is_killed_in_the_middle_leaves_no_temporary_file() {
    let begun = Instant::now();
    let dir = fast_dir();
    let at = |name: &str| dir.path().join(name);
    let hash = filled(&at("s.shelf"));
    let opened = |path: &Path| Options::new().read_only(true).open(path).unwrap();
    let last = opened(&at("s.shelf")).events().unwrap().last().unwrap();
    let last = last.unwrap().offset();
    let mut dump = Command::new(BIN);
    dump.args(["dump", "s.shelf"]).current_dir(dir.path());
    fs::write(at("lines"), dump.output().unwrap().stdout).unwrap();
    // The same store once ids are hashed in it, too.
    fs::copy(at("s.shelf"), at("hashed")).unwrap();
    let sessions = ShelveSessionStore::open(at("hashed")).unwrap();
    sessions.hash_ids().unwrap();
    let hashed = sessions.store().content_hash().unwrap();
    for (name, words, made) in [
        ("backup", "backup s.shelf copy", Some("copy")),
        ("pipe", "backup s.shelf -", None),
        ("follow", "backup s.shelf --follow copies", None),
        ("salvage", "salvage s.shelf -o copy", Some("copy")),
        (
            "restore",
            &format!("restore s.shelf --before {last} -o copy"),
            Some("copy"),
        ),
        ("compact", "compact s.shelf", None),
        ("load", "load copy lines", Some("copy")),
        ("salvage in place", "salvage --in-place s.shelf", None),
        ("hash of ids", "session hash s.shelf --yes", None),
    ] {
        for kill in [interrupt(), "KILL"] {
            let folders = [dir.path(), &at("copies"), &at("spool")];
            for nth in 0.. {
                assert!(nth < TRIES_MAX, "{name} is over before it can be caught");
                for folder in &folders[1..] {
                    let _ = fs::remove_dir_all(folder);
                    fs::create_dir(folder).unwrap();
                }
                let _ = fs::remove_file(at("copy"));
                // Of these a few are kept, and no more made.
                for entry in fs::read_dir(dir.path()).unwrap() {
                    let path = entry.unwrap().path();
                    if path.to_string_lossy().contains(".original-") {
                        fs::remove_file(path).unwrap();
                    }
                }
                let mut command = Command::new(BIN);
                command.args(words.split(' ')).env("TMPDIR", at("spool"));
                command.current_dir(dir.path()).process_group(0);
                command
                    .stdin(Stdio::null())
                    .stdout(Stdio::null())
                    .stderr(Stdio::null());
                let mut child = command.spawn().unwrap();
                let status = loop {
                    if !temporary(&folders).is_empty() {
                        signal(child.id(), kill);
                        break child.wait().unwrap();
                    }
                    if let Some(over) = child.try_wait().unwrap() {
                        break over;
                    }
                    // Whole already, and it does not end by itself.
                    if fs::read_dir(at("copies")).unwrap().count() > temporary(&folders).len() {
                        child.kill().unwrap();
                        child.wait().unwrap();
                        break ExitStatus::default();
                    }
                };
                until(&format!("what {name} left is removed"), || {
                    temporary(&folders).is_empty()
                });
                if let Some(made) = made.map(at)
                    && made.exists()
                {
                    let store = opened(&made);
                    match name {
                        "restore" => assert!(!store.is_empty().unwrap()),
                        "load" => assert!([0, ENTRIES as usize].contains(&store.len().unwrap())),
                        _ => assert_eq!(store.content_hash().unwrap(), hash, "{name}"),
                    }
                }
                let now = opened(&at("s.shelf")).content_hash().unwrap();
                assert!(
                    now == hash || name == "hash of ids" && now == hashed,
                    "{name}"
                );
                if status.signal().is_some() {
                    break;
                }
            }
        }
    }
    metric(
        "commands_killed",
        18,
        Some(5),
        begun.elapsed().as_secs_f64(),
    );
}
