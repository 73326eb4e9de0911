//! Hostile cookies cost no allocation, as a program of its own counts them: an allocator can't be counted without
//! `unsafe`, which this crate and its tests forbid.

use crate::plain::program;

/// Says of each hostile field how many allocations a request with it begins with, beside one with a harmless field.
const PROGRAM: &str = r#"
use shelflife::{ManagerOptions, MemorySessionStore, SessionManager};
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

struct Counting;

static COUNT: AtomicUsize = AtomicUsize::new(0);

// SAFETY: the system's allocator does all of it. `realloc` is the provided one, which allocates anew.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.fetch_add(1, Relaxed);
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

const ID: &str = "AAECAwQFBgcICQoLDA0ODw";

fn allocations(manager: &SessionManager, fields: &[&[u8]]) -> usize {
    let before = COUNT.load(Relaxed);
    let visit = manager.begin(fields);
    let count = COUNT.load(Relaxed) - before;
    drop(visit);
    count
}

fn main() {
    let mut options = ManagerOptions::new();
    let manager = options.secure(false).manage(MemorySessionStore::new()).unwrap();
    let harmless = format!("id={ID}");
    // The process makes some things once and keeps them: before the count.
    allocations(&manager, &[format!("{harmless};{harmless}").as_bytes()]);
    let (none, one) = (allocations(&manager, &[b"a=b"]), allocations(&manager, &[harmless.as_bytes()]));
    let different = |nth: u32| format!("id={nth:06}{};", &ID[6..]);
    let four: String = (0..4).map(different).collect();
    let four = allocations(&manager, &[four.as_bytes()]);
    assert!(none < one && one < four, "the count is blind: {none}, {one}, {four}");
    let bytes: Vec<u8> = (0..=255).cycle().take(1 << 20).collect();
    let hostile: [(&str, Vec<u8>, usize); 13] = [
        ("a mebibyte of letters", vec![b'x'; 1 << 20], none),
        ("a mebibyte of blanks", vec![b' '; 1 << 20], none),
        ("every byte, over and over", bytes, none),
        ("100,000 pairs", b"a=b;".repeat(100_000), none),
        ("100,000 semicolons", b";".repeat(100_000), none),
        ("100,000 equals signs", b"=".repeat(100_000), none),
        ("100,000 names without a value", b"id;".repeat(100_000), none),
        ("100,000 empty values", b"id=;".repeat(100_000), none),
        ("100,000 values that are no id", b"id=AAECAwQFBgcICQoLDA0ODx;".repeat(100_000), none),
        ("100,000 values too long by a letter", format!("id={ID}A;").repeat(100_000).into(), none),
        ("100,000 values that are not UTF-8", b"id=\xFFAECAwQFBgcICQoLDA0ODw;".repeat(100_000), none),
        ("one id 100,000 times", format!("id={ID};").repeat(100_000).into(), one),
        ("100,000 ids", (0..100_000).map(different).collect::<String>().into(), four),
    ];
    for (name, field, expected) in &hostile {
        let count = allocations(&manager, &[field]);
        assert_eq!(count, *expected, "{name}");
        if *expected == none {
            let with_id = [field.as_slice(), b";", harmless.as_bytes(), b";", field].concat();
            assert_eq!(allocations(&manager, &[&with_id]), one, "{name}, with an id in its middle");
        }
    }
    let fields: Vec<&[u8]> = hostile.iter().map(|(_, field, _)| field.as_slice()).collect();
    assert_eq!(allocations(&manager, &vec![b"a=b;id=x".as_slice(); 100_000]), none, "100,000 fields");
    println!("{} hostile fields", fields.len());
}
"#;

#[test]
fn hostile_cookies_are_read_without_an_allocation() {
    let dir = tempfile::tempdir().unwrap();
    let ran = program(dir.path(), PROGRAM).output().unwrap();
    let said = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "{said}");
    assert_eq!(String::from_utf8_lossy(&ran.stdout), "13 hostile fields\n");
}
