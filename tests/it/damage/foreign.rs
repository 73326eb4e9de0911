//! A file that is no store of this version is refused with a typed error, and stays as it is, down to its times.

use super::*;
use crate::support::{fast_dir, skip};
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;

/// All that a call could change of a file.
#[derive(Debug, PartialEq, Eq)]
struct Trace {
    bytes: Option<Vec<u8>>,
    modified: (i64, i64),
    changed: (i64, i64),
    inode: u64,
    mode: u32,
    beside: Vec<std::ffi::OsString>,
}

impl Trace {
    fn of(path: &Path) -> Trace {
        let meta = fs::symlink_metadata(path).unwrap();
        let dir = fs::read_dir(path.parent().unwrap()).unwrap();
        let mut beside: Vec<_> = dir.map(|entry| entry.unwrap().file_name()).collect();
        beside.sort();
        Trace {
            bytes: meta.is_file().then(|| fs::read(path).unwrap()),
            modified: (meta.mtime(), meta.mtime_nsec()),
            changed: (meta.ctime(), meta.ctime_nsec()),
            inode: meta.ino(),
            mode: meta.mode(),
            beside,
        }
    }
}

fn refuses(path: &Path, kind: ErrorKind) {
    let before = Trace::of(path);
    let ways: [&dyn Fn(&mut Options); 6] = [
        &|_| {},
        &|options| _ = options.exclusive(true),
        &|options| _ = options.read_only(true),
        &|options| _ = options.damaged(true),
        &|options| _ = options.create(false),
        &|options| _ = options.truncate(true),
    ];
    for set in ways {
        let mut options = Options::new();
        set(&mut options);
        // To be rid of a damaged store is what truncating is for.
        if kind == ErrorKind::Corrupt && format!("{options:?}").contains("truncate: true") {
            continue;
        }
        let error = options.open(path).map(drop).unwrap_err();
        assert_eq!(error.kind(), kind, "`{}`: {error}", path.display());
        assert_eq!(error.path(), Some(path), "{error}");
        assert!(
            error.to_string().contains(path.to_str().unwrap()),
            "{error}"
        );
        assert!(
            error.to_string().contains("; "),
            "the way out is missing: {error}"
        );
        assert_eq!(Trace::of(path), before);
    }
}

#[test]
fn what_is_not_a_store_of_this_version_is_refused_and_untouched() {
    let started = Instant::now();
    let dir = fast_dir();
    let path = |name: &str| dir.path().join(name);
    let store = History::new(29, 10, 40, true).file;
    let changed = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut file = store.clone();
        change(&mut file);
        file
    };
    let both = |at: usize, value: u8| {
        changed(&|file| {
            for copy in [0, LOG / 2] {
                file[copy + at] = value;
                raw::seal_header(file, copy);
            }
        })
    };
    let text = |from: &str, to: &str| {
        let text: String = store.iter().map(|&byte| char::from(byte)).collect();
        let text = text.replace(from, to);
        text.chars().map(|c| c as u32 as u8).collect::<Vec<u8>>()
    };
    let padded = |start: &[u8]| [start, &[7; 10_000]].concat();
    let foreign: [(&str, Vec<u8>); 14] = [
        ("one-byte", b"x".to_vec()),
        ("text", b"name = value\n".repeat(800)),
        ("zeros-longer-than-a-header", vec![0; LOG + 1]),
        ("sqlite", padded(b"SQLite format 3\0")),
        ("gzip", padded(b"\x1f\x8b\x08")),
        ("png", padded(b"\x89PNG\r\n\x1a\n")),
        ("elf", padded(b"\x7fELF\x02\x01\x01")),
        ("zip", padded(b"PK\x03\x04")),
        ("pickle", padded(b"\x80\x04\x95")),
        ("gdbm", padded(b"\xcf\x9a\x57\x13")),
        ("json", b"{\"k\": 1}".to_vec()),
        ("store-with-line-ends-changed", text("\r\n", "\n")),
        ("store-behind-a-byte", [b"\xef", &*store].concat()),
        ("only-the-magic-cut-short", store[..7].to_vec()),
    ];
    let newer = [
        ("newer-version", both(8, 2)),
        (
            "newer-version-with-another-check",
            changed(&|file| {
                file[8] = 2;
                file[LOG / 2 + 8] = 2;
            }),
        ),
        ("unknown-feature", both(12, 1)),
        (
            "unknown-kind",
            changed(&|file| {
                let at = raw::records(&store)[3].start;
                file[at + 14] = 100;
                let seed = raw::seed(file);
                raw::seal_record(&mut file[at..], seed, at);
            }),
        ),
        (
            "unknown-flag",
            changed(&|file| {
                let at = raw::records(&store)[3].start;
                file[at + 15] |= 4;
                let seed = raw::seed(file);
                raw::seal_record(&mut file[at..], seed, at);
            }),
        ),
    ];
    let damaged = [
        ("half-a-header", store[..1_000].to_vec()),
        ("generation-0", both(56, 0)),
        (
            "ends-before-what-was-acknowledged",
            changed(&|file| {
                for copy in [0, LOG / 2] {
                    let end = file.len() as u64 + 8;
                    file[copy + 64..copy + 72].copy_from_slice(&end.to_le_bytes());
                    raw::seal_header(file, copy);
                }
            }),
        ),
    ];
    let mut kinds = 0;
    let mut check = |name: &str, bytes: &[u8], kind| {
        fs::write(path(name), bytes).unwrap();
        refuses(&path(name), kind);
        kinds += 1;
    };
    for (name, bytes) in &foreign {
        check(name, bytes, ErrorKind::NotAStore);
    }
    for (name, bytes) in &newer {
        check(name, bytes, ErrorKind::NewerVersion);
    }
    for (name, bytes) in &damaged[..2] {
        check(name, bytes, ErrorKind::Corrupt);
    }
    let (name, bytes) = &damaged[2];
    fs::write(path(name), bytes).unwrap();
    let before = Trace::of(&path(name));
    let error = Store::open(path(name)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    assert_eq!(Trace::of(&path(name)), before);

    fs::create_dir(path("directory")).unwrap();
    refuses(&path("directory"), ErrorKind::NotAStore);
    std::os::unix::fs::symlink(path("directory"), path("link-to-a-directory")).unwrap();
    refuses(&path("link-to-a-directory"), ErrorKind::NotAStore);
    let _socket = UnixListener::bind(path("socket")).unwrap();
    refuses(&path("socket"), ErrorKind::NotAStore);
    for device in ["/dev/full", "/dev/null", "/dev/zero"] {
        if fs::metadata(device).is_ok_and(|meta| meta.file_type().is_char_device()) {
            let error = Store::open(device).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::NotAStore, "{device}: {error}");
        }
    }
    let made = Command::new("mkfifo").arg(path("fifo")).status();
    if made.is_ok_and(|status| status.success()) {
        refuses(&path("fifo"), ErrorKind::NotAStore);
    } else {
        skip("a FIFO is refused", "mkfifo can't be run");
    }
    assert!(kinds + 8 >= 20);
    let secs = started.elapsed().as_secs_f64();
    metric("foreign_kinds_untouched", kinds + 8, Some(29), secs);
}

#[test]
fn a_creation_that_was_cut_short_becomes_a_new_store() {
    let dir = fast_dir();
    for len in [0, 1, 4096, LOG] {
        let path = dir.path().join(format!("zeros{len}"));
        fs::write(&path, vec![0; len]).unwrap();
        let reader = Options::new().read_only(true).open(&path).unwrap();
        assert!(reader.is_empty().unwrap() && reader.verify().unwrap().is_sound());
        assert_eq!(
            fs::read(&path).unwrap(),
            vec![0; len],
            "who only reads changes nothing"
        );
        let store = Store::open(&path).unwrap();
        store.insert("a", "1").unwrap();
        assert_eq!(reader.get("a").unwrap().as_deref(), Some(&b"1"[..]));
    }
}
