//! Plain copies of a file, by other means than the store's own, while somebody writes to it.

use super::*;
use crate::raw;
use crate::support::{fast_dir, unsynced};

/// Copies a file in pieces while its writer goes on; `step` writes once between two pieces.
fn copy_in_pieces(sim: &SimDisk, piece_bytes: usize, mut step: impl FnMut()) -> Vec<u8> {
    let mut copy = Vec::new();
    loop {
        // A copy reads on until there is no more.
        let file = sim.read(PATH).unwrap();
        let end = file.len().min(copy.len() + piece_bytes);
        if end == copy.len() {
            return copy;
        }
        copy.extend_from_slice(&file[copy.len()..end]);
        step();
    }
}

#[test]
fn a_plain_copy_of_a_live_store_in_pieces_of_any_size_opens_as_it_was_at_some_moment() {
    let sizes = [1_000, 4_096, 8_192, 10_007, 65_536];
    for exclusive in [false, true] {
        for piece_bytes in sizes {
            let sim = SimDisk::new(1);
            let mut live = options(sim.disk());
            let live = live.exclusive(exclusive).durability(Durability::Immediate);
            let store = live.open(PATH).unwrap();
            let mut written = 0u64;
            let write = |written: &mut u64| {
                store.insert(written.to_le_bytes(), [7; 300]).unwrap();
                *written += 1;
            };
            (0..200).for_each(|_| write(&mut written));
            // Fewer than a piece holds, so that the copy comes to an end.
            let mut left = 60;
            let copy = copy_in_pieces(&sim, piece_bytes, || {
                if left > 0 {
                    left -= 1;
                    write(&mut written);
                }
            });
            sim.write("/copy.shelf", copy).unwrap();
            let copy = options(sim.disk()).open("/copy.shelf").unwrap();
            let there = copy.len().unwrap() as u64;
            assert!((200..=written).contains(&there), "{piece_bytes}: {there}");
            for nth in 0..there {
                assert!(copy.contains_key(nth.to_le_bytes()).unwrap(), "{nth}");
            }
            copy.insert("goes on", "").unwrap();
            assert!(copy.recovery().damage.is_empty());
        }
    }
}

#[test]
fn a_write_finds_out_that_an_earlier_state_was_written_over_the_file() {
    for (exclusive, durability) in [
        (false, Durability::Os),
        (false, Durability::Immediate),
        (true, Durability::Immediate),
    ] {
        for is_as_long in [false, true] {
            let case = format!("{exclusive}, {durability:?}, {is_as_long}");
            let dir = fast_dir();
            let (path, copy) = (dir.path().join("s.shelf"), dir.path().join("copy"));
            let store = unsynced()
                .exclusive(exclusive)
                .durability(durability)
                .open(&path)
                .unwrap();
            store.insert("key", "1").unwrap();
            std::fs::copy(&path, &copy).unwrap();
            let other = unsynced().open(&copy).unwrap();
            if is_as_long {
                other.insert("key", "3").unwrap();
            }
            let earlier = std::fs::read(&copy).unwrap();
            store.insert("key", "2").unwrap();
            std::fs::write(&path, &earlier).unwrap();
            // Nothing but the proof of the tail tells: the path leads to the same file.
            store.insert("new", "1").unwrap();
            assert_eq!(store.recovery().reverted.len(), 1, "{case}");
            let expected = if is_as_long { b"3" } else { b"1" };
            let reader = unsynced().read_only(true).open(&path).unwrap();
            for store in [&store, &reader] {
                let key = store.get("key").unwrap();
                assert_eq!(key.as_deref(), Some(&expected[..]), "{case}");
                assert!(store.contains_key("new").unwrap(), "{case}");
            }
            let now = std::fs::read(&path).unwrap();
            assert!(now.starts_with(&earlier), "{case}");
            let records = raw::records(&now).len();
            assert_eq!(records, raw::records(&earlier).len() + 1, "{case}");
        }
    }
}
