//! The file format: files of every version open for ever, and another language reads them from FORMAT.md alone.

mod sessions;

use crate::damage::hostile::hostile_files;
use crate::support::{fast_dir, is_soak, metric, setting, skip};
use shelflife::sim::SimDisk;
use shelflife::{Batch, Compaction, Durability, ErrorKind, Options, Store};
use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

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

/// The live entries of a store, as tests/reader.py prints them, and `lost` for each that can't be read.
fn lines(store: &Store) -> String {
    store.entries().fold(String::new(), |mut lines, entry| {
        match entry {
            Ok(entry) => writeln!(
                lines,
                r#"{{"key": "{}", "value": "{}", "modified": {}, "expires": {}, "cbor": {}}}"#,
                hex(entry.key()),
                hex(entry.value()),
                unix_ms(entry.modified()),
                entry.expires().map_or(0, unix_ms),
                entry.is_cbor()
            ),
            Err(error) => writeln!(lines, r#"{{"lost": {}}}"#, error.offset().unwrap()),
        }
        .unwrap();
        lines
    })
}

/// All that this crate tells of a file, as tests/reader.py does.
fn told(path: &Path) -> String {
    let store = match Options::new().read_only(true).open(path) {
        Ok(store) => store,
        Err(error) => {
            let offset = error.offset();
            let what = match error.kind() {
                ErrorKind::Corrupt => format!("damaged at {}", offset.unwrap()),
                ErrorKind::NewerVersion => {
                    offset.map_or("newer".into(), |offset| format!("newer at {offset}"))
                }
                ErrorKind::NotAStore if error.to_string().contains("repair") => "cut off".into(),
                ErrorKind::NotAStore => "no store".into(),
                _ => error.to_string(),
            };
            return format!("{{\"error\": \"{what}\"}}\n");
        }
    };
    let mut told = lines(&store);
    let recovery = store.recovery();
    for torn in recovery.torn_tails {
        writeln!(told, r#"{{"torn": {}}}"#, torn.offset).unwrap();
    }
    if let Some(copy) = recovery.bad_header_copy {
        writeln!(told, r#"{{"copy": {copy}}}"#).unwrap();
    }
    told
}

/// The lines that the reader in Python prints of each of these files, or `None` if there is no Python.
fn python(paths: &[PathBuf]) -> Option<Vec<String>> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reader.py");
    let mut command = Command::new("python3");
    // With one path it prints no line that begins with this.
    command.arg(script).args(paths).arg("/dev/null");
    let output = command.output().ok()?;
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let mut each: Vec<String> = text
        .split("== ")
        .skip(1)
        .map(|one| one.split_once('\n').unwrap().1.to_string())
        .collect();
    assert_eq!(each.pop().as_deref(), Some(""), "/dev/null is unborn");
    assert_eq!(each.len(), paths.len());
    Some(each)
}

/// Holds what the crate tells of some files against what the reader in Python does.
fn agree_on(name: &str, files: impl Iterator<Item = (String, Vec<u8>)>) {
    let started = Instant::now();
    let dir = fast_dir();
    let (mut paths, mut what, mut expected) = (Vec::new(), Vec::new(), Vec::new());
    for (file, bytes) in files {
        let path = dir.path().join(paths.len().to_string());
        fs::write(&path, bytes).unwrap();
        expected.push(told(&path));
        paths.push(path);
        what.push(file);
    }
    let found: Option<Vec<_>> = thread::scope(|scope| {
        let parts = paths.chunks(paths.len().div_ceil(2));
        let parts: Vec<_> = parts.map(|part| scope.spawn(|| python(part))).collect();
        let parts = parts.into_iter().map(|part| part.join().unwrap());
        parts.collect::<Option<Vec<_>>>().map(|each| each.concat())
    });
    let Some(found) = found else {
        return skip(name, "there is no python3");
    };
    for ((found, expected), what) in found.iter().zip(&expected).zip(&what) {
        assert_eq!(found, expected, "{what}: Python to the left");
    }
    let torn = expected.iter().filter(|told| told.contains("torn")).count();
    let refused = expected.iter().filter(|told| told.contains("error"));
    let figure = format!("{} torn={torn} refused={}", paths.len(), refused.count());
    metric(name, figure, None, started.elapsed().as_secs_f64());
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
    let golden_files = GOLDEN.map(|name| golden(name, "shelf"));
    let Some(found) = python(&golden_files) else {
        return skip(NAME, "there is no python3");
    };
    for (name, found) in GOLDEN.iter().zip(found) {
        let expected = fs::read_to_string(golden(name, "jsonl")).unwrap();
        assert!(found.starts_with(&expected), "{name}: {found}");
        assert_eq!(found, told(&golden(name, "shelf")), "{name}");
    }
    let mut files = Vec::new();
    history(|name, sim| files.push((name.to_string(), sim.read("/s.shelf").unwrap())));
    assert_eq!(files.len(), 6);

    // And it says so where acknowledged data is damaged.
    let mut file = fs::read(golden("1-everything", "shelf")).unwrap();
    file[8192 + 30] ^= 1;
    files.push(("a damaged record".into(), file.clone()));
    file[100] ^= 1;
    files.push(("and a damaged copy of the header".into(), file.clone()));
    file[5000] ^= 1;
    files.push(("and the other copy".into(), file));
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
    for entry in fs::read_dir(corpus).unwrap() {
        let path = entry.unwrap().path();
        files.push((path.display().to_string(), fs::read(&path).unwrap()));
    }
    agree_on("format.files_of_the_repository", files.into_iter());
}

#[test]
fn the_reader_in_python_agrees_on_what_a_power_cut_may_leave() {
    let images = if is_soak() { 20_000 } else { 300 };
    let mut files = Vec::new();
    history(|name, sim| {
        if name == "1-everything" {
            for cut in sim.power_cuts().pick(images) {
                if let Ok(file) = cut.sim().read("/s.shelf") {
                    files.push((format!("image {}", cut.id()), file));
                }
            }
        }
    });
    // Many of those drawn are the same.
    assert!(files.len() >= 100, "{}", files.len());
    agree_on("format.images_read_in_python", files.into_iter());
}

#[test]
fn the_reader_in_python_agrees_on_hostile_files() {
    let count = if is_soak() { 50_000 } else { 600 };
    let first = setting("SHELF_FUZZ_SEED").unwrap_or(7_000_000_000);
    let files = hostile_files(first..first + count);
    let files = files.map(|(seed, file)| (format!("SHELF_FUZZ_SEED={seed}"), file));
    agree_on("format.hostile_files_read_in_python", files);
}
