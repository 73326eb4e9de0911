//! Files that are longer than they should be, or were created by a clock that was ahead: `info` says so.

use super::*;
use crate::support::skip;
use shelflife::sim::SimDisk;
use shelflife::{Compaction, Durability};

/// A store of 64 KiB in a file of 2 MiB, which its owner compacts by hand.
fn grown(shell: &Shell) -> Store {
    let mut options = Options::new();
    options
        .durability(Durability::Os)
        .compaction(Compaction::Manual);
    let store = options.open(shell.path("n.shelf")).unwrap();
    for _ in 0..32 {
        store.insert("same", vec![7; 64 << 10]).unwrap();
    }
    store
}

#[test]
fn info_tells_by_how_much_a_compaction_is_overdue_and_whose_file_and_folder_it_is() {
    let shell = Shell::new();
    grown(&shell).close().unwrap();
    for words in ["info n.shelf", "info n.shelf --json"] {
        let told = shell.run(words);
        assert_eq!(told.code, 0, "{}", told.err);
        assert!(told.out.contains("n.shelf"), "{}", told.out);
        for part in [
            "overdue by 1.8 MiB",
            "shelflife compact n.shelf",
            "(0600) of the file",
        ] {
            assert!(told.err.contains(part), "{part}: {}", told.err);
        }
    }
    shell.run("compact n.shelf").ok();
    shell.run("info n.shelf").ok();
}

#[test]
fn info_tells_that_a_file_which_is_overdue_is_a_mount_point() {
    let shell = Shell::new();
    grown(&shell).close().unwrap();
    let can = shell.mounted("true");
    if can.code != 0 {
        return skip(
            "info_tells_that_a_file_which_is_overdue_is_a_mount_point",
            can.err.lines().next().unwrap_or_default(),
        );
    }
    let told = shell.mounted("$BIN info in");
    assert_eq!(told.code, 0, "{}", told.err);
    assert!(told.err.contains("mount its folder"), "{}", told.err);
}

#[test]
fn what_compact_would_free_counts_what_ended_long_ago() {
    let shell = Shell::new();
    let store = Store::open(shell.path("n.shelf")).unwrap();
    let long_ago = SystemTime::now() - Duration::from_secs(100_000);
    store.insert_until("k", [1; 5000], long_ago).unwrap();
    store.close().unwrap();
    let fields = shell.run("info n.shelf").ok();
    let freed: u64 = fields.split('\t').nth(3).unwrap().parse().unwrap();
    assert!(freed > 5000, "{fields}");
    let long = fs::metadata(shell.path("n.shelf")).unwrap().len();
    shell.run("compact n.shelf").ok();
    let short = fs::metadata(shell.path("n.shelf")).unwrap().len();
    assert!(long - short >= freed, "{long} {short} {freed}");
}

#[test]
fn info_tells_that_nothing_ends_by_a_clock_that_reads_earlier_than_the_creation() {
    let sim = SimDisk::new(1);
    sim.set_wall_clock(SystemTime::now() + Duration::from_secs(100 * 86_400));
    let ahead = Options::new().disk(sim.disk()).open("/n.shelf").unwrap();
    ahead.insert("k", "v").unwrap();
    ahead.close().unwrap();
    let shell = Shell::new();
    fs::write(shell.path("n.shelf"), sim.read("/n.shelf").unwrap()).unwrap();
    let told = shell.run("info n.shelf");
    assert_eq!(told.code, 0);
    assert!(
        told.err.contains("by this clock nothing ends"),
        "{}",
        told.err
    );
    shell.run("set n.shelf soon v --expires 2099-01-01").ok();
    let dumped = shell.run("dump --expires n.shelf").ok();
    shell.pipe(dumped.as_bytes(), "load new.shelf").ok();
    shell.run("info new.shelf").ok();
}
