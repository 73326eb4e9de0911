//! The file format: files of every version open for ever, and another language reads them from FORMAT.md alone.

use crate::support::skip;
use shelflife::sim::SimDisk;
use shelflife::{Batch, Compaction, Durability, Options, Store};
use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Golden files: a store and, as JSON lines, the entries that it must have for ever. A format version adds files; none
/// is ever changed or removed. `SHELF_GOLDEN=1` makes those that are missing.
const GOLDEN: [&str; 6] = [
    "1-empty",
    "1-unborn",
    "1-everything",
    "1-unsealed",
    "1-torn",
    "1-compacted",
];

fn golden(name: &str, extension: &str) -> PathBuf {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    dir.join(format!("{name}.{extension}"))
}

fn unix_ms(time: SystemTime) -> u128 {
    time.duration_since(UNIX_EPOCH).unwrap().as_millis()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

/// What a store holds, as tests/reader.py prints it.
fn lines(store: &Store) -> String {
    store.entries().fold(String::new(), |mut lines, entry| {
        let entry = entry.unwrap();
        writeln!(
            lines,
            r#"{{"key": "{}", "value": "{}", "modified": {}, "expires": {}, "cbor": {}}}"#,
            hex(entry.key()),
            hex(entry.value()),
            unix_ms(entry.modified()),
            entry.expires().map_or(0, unix_ms),
            entry.is_cbor()
        )
        .unwrap();
        lines
    })
}

/// What the reader in Python prints of a file, or `None` if there is no Python.
fn python(path: &Path) -> Option<Result<String, String>> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reader.py");
    let output = Command::new("python3")
        .arg(script)
        .arg(path)
        .output()
        .ok()?;
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Some(match output.status.success() {
        true => Ok(text(output.stdout)),
        false => Err(text(output.stderr)),
    })
}

/// A history with everything in it that format 1 has, told as it goes on.
fn history(mut tell: impl FnMut(&str, &SimDisk)) {
    let sim = SimDisk::new(1);
    let open = || {
        let mut options = Options::new();
        options
            .disk(sim.disk())
            .compaction(Compaction::Manual)
            .durability(Durability::Os);
        options.open("/s.shelf").unwrap()
    };
    let at = |year: u64| UNIX_EPOCH + Duration::from_secs((year - 1970) * 31_556_952);
    let store = open();
    tell("1-empty", &sim);
    for nth in 0..8u8 {
        sim.advance(Duration::from_millis(1_001));
        store
            .insert(format!("key {nth}"), vec![nth; 37 * usize::from(nth)])
            .unwrap();
    }
    store.insert("", "the empty key").unwrap();
    store.insert("an empty value", "").unwrap();
    store.insert([0xff, 0, 0xfe], [0; 100]).unwrap();
    store.remove("key 3").unwrap();
    store.insert("key 2", "again").unwrap();
    store.insert_until("over", "x", at(2001)).unwrap();
    store.insert_until("not over", "x", at(2150)).unwrap();
    let mut batch = Batch::new();
    batch.insert_cbor("list", [0x83, 1, 2, 3]);
    batch.insert("key 1", "in a batch").remove("key 4");
    store.write(&batch).unwrap();
    tell("1-unsealed", &sim);
    store.sync().unwrap();

    // A batch that is not finished, and then its traces: a cut, and the next epoch.
    let file = sim.read("/s.shelf").unwrap();
    store.write(&batch).unwrap();
    drop(store);
    let mut torn = sim.read("/s.shelf").unwrap();
    torn.truncate(file.len() + 100);
    sim.write("/s.shelf", torn).unwrap();
    tell("1-torn", &sim);
    let store = open();
    store.insert("behind a cut", "x").unwrap();

    store.compact().unwrap();
    store.insert("behind a compaction", "x").unwrap();
    tell("1-compacted", &sim);
    store.clear().unwrap();
    store.insert("behind a clear", "x").unwrap();
    store.write(&batch).unwrap();
    tell("cleared", &sim);
    let file = sim.read("/s.shelf").unwrap();
    sim.write("/s.shelf", &file[..file.len() - 10]).unwrap();
    drop(store);
    let store = open();
    store.write(&batch).unwrap();
    store.insert_until("not over", "x", at(2150)).unwrap();
    store.close().unwrap();
    tell("1-everything", &sim);
}

fn read_only(sim: &SimDisk) -> Store {
    let mut options = Options::new();
    options.disk(sim.disk()).read_only(true);
    options.open("/s.shelf").unwrap()
}

#[test]
fn golden_files_of_every_version_open_to_what_was_written() {
    for name in GOLDEN {
        let path = golden(name, "shelf");
        let before = fs::read(&path).unwrap();
        let store = Options::new().read_only(true).open(&path).unwrap();
        let expected = fs::read_to_string(golden(name, "jsonl")).unwrap();
        assert_eq!(lines(&store), expected, "{name}");
        assert!(store.verify().unwrap().is_sound(), "{name}");
        assert_eq!(fs::read(&path).unwrap(), before, "{name}");

        let copy = tempfile::NamedTempFile::new().unwrap();
        fs::write(copy.path(), &before).unwrap();
        let store = Store::open(copy.path()).unwrap();
        store.insert("new", "value").unwrap();
        store.compact().unwrap();
        assert!(lines(&store).starts_with(&expected), "{name}");
        assert_eq!(lines(&store).lines().count(), expected.lines().count() + 1);
    }
}

#[test]
fn every_golden_file_is_listed() {
    if std::env::var_os("SHELF_GOLDEN").is_some() {
        make_golden_files();
    }
    let dir = fs::read_dir(golden("1", "shelf").parent().unwrap()).unwrap();
    let found: BTreeSet<_> = dir.map(|entry| entry.unwrap().path()).collect();
    let listed = GOLDEN
        .iter()
        .flat_map(|name| ["shelf", "jsonl"].map(|kind| golden(name, kind)));
    assert_eq!(found, listed.collect());
}

/// Makes the golden files of the present format version that are not there yet.
fn make_golden_files() {
    let write = |name: &str, file: &[u8], lines: String| {
        if !golden(name, "shelf").exists() {
            fs::write(golden(name, "shelf"), file).unwrap();
            fs::write(golden(name, "jsonl"), lines).unwrap();
        }
    };
    history(|name, sim| {
        if GOLDEN.contains(&name) {
            write(name, &sim.read("/s.shelf").unwrap(), lines(&read_only(sim)));
        }
    });
    write("1-unborn", &[], String::new());
}

#[test]
fn a_reader_in_python_written_from_the_format_alone_sees_what_this_crate_sees() {
    const NAME: &str = "a reader in Python sees what this crate sees";
    let script = include_str!("../reader.py");
    assert!(script.lines().count() <= 60);
    for name in GOLDEN {
        match python(&golden(name, "shelf")) {
            None => return skip(NAME, "there is no python3"),
            Some(found) => {
                let expected = fs::read_to_string(golden(name, "jsonl")).unwrap();
                assert_eq!(found, Ok(expected), "{name}");
            }
        }
    }
    let copy = tempfile::NamedTempFile::new().unwrap();
    let mut stages = 0;
    history(|name, sim| {
        fs::write(copy.path(), sim.read("/s.shelf").unwrap()).unwrap();
        assert_eq!(
            python(copy.path()),
            Some(Ok(lines(&read_only(sim)))),
            "{name}"
        );
        stages += 1;
    });
    assert_eq!(stages, 6);

    // And it says so where acknowledged data is damaged.
    let mut file = fs::read(golden("1-everything", "shelf")).unwrap();
    file[8192 + 30] ^= 1;
    fs::write(copy.path(), &file).unwrap();
    let told = python(copy.path()).unwrap().unwrap_err();
    assert_eq!(told, "acknowledged data is damaged at 8192\n");
    file[100] ^= 1;
    file[5000] ^= 1;
    fs::write(copy.path(), &file).unwrap();
    let told = python(copy.path()).unwrap().unwrap_err();
    assert_eq!(told, "no header of a format 1 store verifies\n");
}
