//! Plain copies of a file, by other means than the store's own, while somebody writes to it.

use super::*;

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
