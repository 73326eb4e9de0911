//! Shelves of Python move over: real ones of each kind, made by a Python, read by the program that `from-shelve`
//! prints.

use crate::support::skip;
use shelflife::{ErrorKind, Shelf, Value, record};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, SystemTime};
use tempfile::TempDir;

const BIN: &str = env!("CARGO_BIN_EXE_shelflife");
const MAKE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/from_shelve/make.py");
/// The lines that the values become which `make.py` calls good.
const GOOD: &str = include_str!("from_shelve/good.jsonl");

/// The Python on the path and the system's, which may have modules that the other lacks.
const PYTHONS: [&str; 2] = ["python3", "/usr/bin/python3"];

/// A Python that can import `module`; `None`, and a line that says so, where there is none.
fn python(module: &str, claim: &str) -> Option<&'static str> {
    let imports = |python: &&&str| {
        let mut command = Command::new(python);
        command.args(["-c", &format!("import {module}, zoneinfo")]);
        command.output().is_ok_and(|output| output.status.success())
    };
    let found = PYTHONS.iter().find(imports);
    if found.is_none() {
        skip(claim, format!("no Python here has the module {module}"));
    }
    found.copied()
}

/// A folder with the program that `from-shelve` prints.
struct Desk {
    dir: TempDir,
    python: &'static str,
}

impl Desk {
    fn new(python: &'static str) -> Desk {
        let dir = tempfile::tempdir().unwrap();
        let printed = Command::new(BIN).arg("from-shelve").output().unwrap();
        assert!(printed.status.success());
        fs::write(dir.path().join("from_shelve.py"), printed.stdout).unwrap();
        Desk { dir, python }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn python(&self, words: &[&str]) -> Output {
        let mut command = Command::new(self.python);
        command.args(words).current_dir(self.dir.path());
        command.stdin(Stdio::null()).output().unwrap()
    }

    fn make(&self, words: &[&str]) {
        let made = self.python(&[&[MAKE], words].concat());
        assert!(
            made.status.success(),
            "{}",
            String::from_utf8_lossy(&made.stderr)
        );
    }

    /// Exit code, standard output, standard error.
    fn convert(&self, words: &[&str]) -> (Option<i32>, String, String) {
        let ran = self.python(&[&["from_shelve.py"], words].concat());
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (ran.status.code(), text(ran.stdout), text(ran.stderr))
    }

    fn files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let entries = fs::read_dir(self.dir.path()).unwrap();
        let files = entries
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.is_file());
        files
            .map(|path| (path.clone(), fs::read(path).unwrap()))
            .collect()
    }
}

fn sorted(lines: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = lines.lines().collect();
    lines.sort_unstable();
    lines
}

fn moves_over(desk: &Desk, kind: &str, protocol: &str) {
    desk.make(&[kind, "old", "good", protocol]);
    let before = desk.files();
    let (code, lines, talk) = desk.convert(&["old"]);
    assert_eq!(
        (code, talk.as_str()),
        (Some(0), ""),
        "{kind}, protocol {protocol}"
    );
    // Objects with slots need a newer protocol.
    let holds = |line: &&&str| protocol >= "2" || !line.starts_with(r#"{"k":"slots""#);
    let expected: Vec<&str> = sorted(GOOD).iter().filter(holds).copied().collect();
    assert_eq!(sorted(&lines), expected, "{kind}, protocol {protocol}");
    assert_eq!(desk.files(), before, "the shelf was changed");
    for path in before
        .into_keys()
        .filter(|path| !path.ends_with("from_shelve.py"))
    {
        fs::remove_file(path).unwrap();
    }
}

#[test]
fn a_shelf_of_dbm_dumb_moves_over_whatever_its_protocol() {
    let Some(python) = python(
        "dbm.dumb",
        "a_shelf_of_dbm_dumb_moves_over_whatever_its_protocol",
    ) else {
        return;
    };
    let desk = Desk::new(python);
    for protocol in ["0", "1", "2", "3", "4", "5"] {
        moves_over(&desk, "dumb", protocol);
    }
}

#[test]
fn a_shelf_of_dbm_gnu_moves_over() {
    if let Some(python) = python("dbm.gnu", "a_shelf_of_dbm_gnu_moves_over") {
        moves_over(&Desk::new(python), "gnu", "4");
    }
}

#[test]
fn a_shelf_of_sqlite_moves_over() {
    if let Some(python) = python("sqlite3", "a_shelf_of_sqlite_moves_over") {
        moves_over(&Desk::new(python), "sqlite", "4");
    }
}

record! {
    #[derive(Debug, PartialEq)]
    struct User { name: String, tags: BTreeSet<String> }

    #[derive(Debug, PartialEq)]
    struct Line { name: String, price: String }

    #[derive(Debug, PartialEq)]
    struct Point(i32, i32);
}

#[test]
fn what_was_moved_over_is_read_as_types_of_rust() {
    let Some(python) = python("dbm.dumb", "what_was_moved_over_is_read_as_types_of_rust") else {
        return;
    };
    let desk = Desk::new(python);
    desk.make(&["dumb", "old", "good"]);
    // As it stands in the help, by way of a shell.
    let commands = format!(
        "'{BIN}' from-shelve | {python} - old > old.jsonl && '{BIN}' load new.shelf old.jsonl"
    );
    let mut shell = Command::new("sh");
    let ran = shell
        .args(["-c", &commands])
        .current_dir(desk.dir.path())
        .output()
        .unwrap();
    assert!(
        ran.status.success(),
        "{}",
        String::from_utf8_lossy(&ran.stderr)
    );

    let shelf = Shelf::open(desk.path("new.shelf")).unwrap();
    assert_eq!(shelf.len().unwrap(), GOOD.lines().count());
    macro_rules! reads {
        ($($key:literal as $T:ty: $value:expr;)*) => {$(
            assert_eq!(shelf.get::<$T>($key).unwrap().unwrap(), $value, $key);
        )*};
    }
    let epoch = SystemTime::UNIX_EPOCH;
    reads! {
        "none" as Option<u8>: None;
        "flags" as (bool, bool): (true, false);
        "bytes" as Vec<u8>: [0x00, 0xFF];
        "escaped" as PathBuf: Path::new(std::ffi::OsStr::new("")).join(
            <std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(b"caf\xE9"));
        "sets" as (BTreeSet<i64>, BTreeSet<String>, BTreeSet<u8>): (
            BTreeSet::from([-1, 1, 2, 3, 300]),
            BTreeSet::from(["aa".to_string(), "b".to_string()]),
            BTreeSet::new(),
        );
        "moment" as SystemTime: epoch + Duration::new(1_709_209_800, 250_000_000);
        "moment elsewhere" as SystemTime: epoch + Duration::from_secs(19_799);
        "moment in Vienna" as SystemTime: epoch + Duration::from_secs(1_719_828_000);
        "range" as std::ops::Range<u8>: 1..9;
        "address" as (IpAddr, IpAddr): ("192.0.2.1".parse().unwrap(), "::1".parse().unwrap());
        "object" as User: User {
            name: "ann".to_string(),
            tags: ["a", "b", "ccc"].map(str::to_string).into(),
        };
        "dataclass" as Vec<Line>: [Line { name: "tea".to_string(), price: "2.50".to_string() }];
        "named tuple" as Point: Point(1, 2);
        "subclasses" as (Vec<u16>, BTreeMap<String, u8>, String): (
            vec![1],
            BTreeMap::from([("a".to_string(), 1)]),
            "x".to_string(),
        );
        "complex" as (f64, f64): (1.0, 2.0);
        "wide" as Vec<i128>: [i128::MAX, i128::MIN, 1 << 64];
    }
    let lengths: Vec<Value> = shelf.get("lengths").unwrap().unwrap();
    let length: Duration = shelflife::from_cbor(&shelflife::to_cbor(&lengths[0]).unwrap()).unwrap();
    assert_eq!(length, Duration::new(86_400, 7_000));
    assert_eq!(
        shelf.get::<u8>("big").unwrap_err().kind(),
        ErrorKind::Decode
    );
}

/// The values that can't be converted, by key, with the words of the message.
const BAD: [(&str, &str); 13] = [
    ("evil", "['inner'][0]: a call of io.open"),
    ("alone", "a call of builtins.print"),
    ("function", "a reference to __main__.function"),
    ("class", "a reference to __main__.User"),
    ("cycle", "[0]: list that contains itself"),
    ("deep", "nesting deeper than 64 levels"),
    (
        "mixed",
        "__main__.Mixed, which has attributes and something else",
    ),
    ("pair", "__main__.Pair with a state of its own making"),
    ("keys alike", "two keys of a dict that become the same"),
    ("half", "str with half of a surrogate pair"),
    ("step", "range with a step of 3"),
    (
        "deque of a number",
        "[0]: a value that Python did not make so (TypeError)",
    ),
    (
        "dict of a number",
        "a value that Python did not make so (TypeError)",
    ),
];

#[test]
fn nothing_is_written_unless_all_is_and_what_is_not_is_told_by_key_and_type() {
    let claim = "nothing_is_written_unless_all_is_and_what_is_not_is_told_by_key_and_type";
    let Some(python) = python("dbm.dumb", claim) else {
        return;
    };
    let desk = Desk::new(python);
    desk.make(&["dumb", "old", "both"]);
    let told: Vec<String> = BAD
        .iter()
        .map(|(key, why)| format!("'{key}': {why}"))
        .collect();
    let told: Vec<&str> = told.iter().map(String::as_str).collect();

    let (code, lines, talk) = desk.convert(&["old"]);
    assert_eq!((code, lines.as_str()), (Some(1), ""));
    let (last, listed) = talk
        .trim_end()
        .rsplit_once('\n')
        .map(|(list, last)| (last, list))
        .unwrap();
    assert_eq!(sorted(listed), sorted(&told.join("\n")));
    let all = GOOD.lines().count() + BAD.len();
    assert_eq!(
        last,
        format!(
            "13 of {all} values can't be converted, so nothing was written; --skip passes over them"
        )
    );

    let (code, lines, talk) = desk.convert(&["--skip", "old"]);
    assert_eq!(code, Some(0));
    assert_eq!(sorted(&lines), sorted(GOOD));
    assert_eq!(sorted(&talk), sorted(&told.join("\n")));
    // Modules that stand beside the shelf are not those that the program asks for.
    for module in ["json.py", "dbm.py"] {
        let executed = "open('old.executed', 'w')";
        fs::write(desk.path(module), executed).unwrap();
    }
    let piped = format!("'{}' - --skip old < from_shelve.py", desk.python);
    let mut shell = Command::new("sh");
    shell.args(["-c", &piped]).current_dir(desk.dir.path());
    assert_eq!(shell.output().unwrap().stdout, lines.as_bytes());
    assert_eq!(desk.convert(&["--skip", "old"]).1, lines);
    // A pickle that names `open` and `print` had neither run.
    assert!(!desk.path("old.executed").exists());
    assert!(!lines.contains("executed") && !talk.contains("executed"));
}

#[test]
fn what_is_no_shelf_is_refused_and_nothing_is_written() {
    let Some(python) = python(
        "dbm.dumb",
        "what_is_no_shelf_is_refused_and_nothing_is_written",
    ) else {
        return;
    };
    let desk = Desk::new(python);
    let (code, lines, talk) = desk.convert(&["absent"]);
    assert_eq!((code, lines.as_str()), (Some(3), ""));
    assert!(talk.starts_with("'absent' can't be read: "), "{talk}");
    let advice = "give what shelve.open was given, without .dat, .dir or .db behind it, \
                  and run this with the Python that wrote the shelf\n";
    assert!(talk.ends_with(advice), "{talk}");
    // A kind of file that this Python cannot read.
    fs::write(desk.path("ndbm.dir"), []).unwrap();
    fs::write(desk.path("ndbm.pag"), []).unwrap();
    let code = "import sys; sys.modules['dbm.ndbm'] = None; sys.argv = ['', 'ndbm']; exec(open('from_shelve.py').read())";
    let talk = String::from_utf8(desk.python(&["-c", code]).stderr).unwrap();
    assert!(talk.ends_with(advice), "{talk}");
    for words in [&[][..], &["a", "b"], &["--frobnicate"]] {
        let (code, lines, talk) = desk.convert(words);
        assert_eq!((code, lines.as_str()), (Some(2), ""));
        assert!(talk.starts_with("Turns a shelf of Python's"), "{talk}");
    }
    // A shelf whose data was cut short: Python itself answers with less.
    desk.make(&["dumb", "old", "good"]);
    let data = fs::read(desk.path("old.dat")).unwrap();
    fs::write(desk.path("old.dat"), &data[..data.len() / 2]).unwrap();
    let (code, lines, talk) = desk.convert(&["old"]);
    assert_eq!((code, lines.as_str()), (Some(1), ""));
    assert!(
        talk.contains("what is no pickle that can be read here"),
        "{talk}"
    );
}
