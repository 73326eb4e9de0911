//! The file header stands there twice. A copy that is valid need not be this file's: a block was lost, or written to a
//! wrong place. The log tells which one counts, and no log is ever cut off for the sake of the wrong one.

use super::*;

const COPY: usize = LOG / 2;

/// The file of a store that was compacted once, and was written to since: what it was before that, what it is, and its
/// entries.
fn compacted() -> (Vec<u8>, Vec<u8>, Model) {
    let sim = SimDisk::new(3);
    let store = open(&sim, |_| {}).unwrap();
    for nth in 0..40u8 {
        store.insert([nth], [nth; 50]).unwrap();
    }
    let before = sim.read(PATH).unwrap();
    store.compact().unwrap();
    store.insert("new", "x").unwrap();
    let model = entries(&store);
    store.close().unwrap();
    (before, sim.read(PATH).unwrap(), model)
}

/// The header of a file of another store, which nobody has written to.
fn foreign() -> Vec<u8> {
    let sim = SimDisk::new(99);
    open(&sim, |_| {}).unwrap();
    sim.read(PATH).unwrap()
}

fn with_copy(file: &[u8], copy: usize, of: &[u8]) -> Vec<u8> {
    let mut changed = file.to_vec();
    changed[copy..copy + COPY].copy_from_slice(&of[copy..copy + COPY]);
    changed
}

#[test]
fn a_header_of_another_file_over_one_copy_is_damage_and_costs_no_entry() {
    let (before, file, model) = compacted();
    for (other, what) in [
        (&before, "the last file's"),
        (&foreign(), "another store's"),
    ] {
        for copy in [0, COPY] {
            let case = format!("{what} over the copy at {copy}");
            let sim = with_file(&with_copy(&file, copy, other));
            let store = open(&sim, |_| {}).unwrap();
            assert_eq!(entries(&store), model, "{case}");
            let recovery = store.recovery();
            assert_eq!(recovery.bad_header_copy, Some(copy as u64), "{case}");
            assert!(recovery.torn_tails.is_empty(), "{case}");
            let verified = store.verify().unwrap();
            assert_eq!(verified.bad_header_copies, [copy as u64], "{case}");
            assert!(!verified.is_sound(), "{case}");

            store.insert("more", "y").unwrap();
            assert_eq!(store.len().unwrap(), model.len() + 1, "{case}");
            // The next file has two copies of its own.
            store.compact().unwrap();
            drop(store);
            let store = open(&sim, |_| {}).unwrap();
            assert!(store.recovery().is_clean(), "{case}");
            assert!(store.verify().unwrap().is_sound(), "{case}");
            assert_eq!(store.len().unwrap(), model.len() + 1, "{case}");
        }
    }
}

#[test]
fn a_copy_of_the_files_own_that_is_out_of_date_makes_nothing_less_durable() {
    let (_, file, model) = compacted();
    for copy in [0, COPY] {
        let mut stale = file.clone();
        // `base`, as it was while the file was being made.
        stale[copy + 64..copy + 72].copy_from_slice(&(LOG as u64).to_le_bytes());
        raw::seal_header(&mut stale, copy);
        let store = open(&with_file(&stale), |_| {}).unwrap();
        assert_eq!(entries(&store), model, "the copy at {copy}");
        assert_eq!(store.recovery().bad_header_copy, Some(copy as u64));
        // Below `base` a torn record is damage.
        stale[LOG + 20] ^= 1;
        let error = open(&with_file(&stale), |_| {}).unwrap_err();
        assert!(error.is_corrupt(), "the copy at {copy}: {error}");
    }
}

#[test]
fn without_a_copy_under_which_a_record_verifies_nothing_is_opened_and_nothing_cut() {
    let (_, file, _) = compacted();
    let foreign = foreign();
    let mut cases = Vec::new();
    for copy in [0, COPY] {
        // The file's own header is gone: one copy is another store's, the other one rotten, or of a third store.
        let mut rotten = with_copy(&file, copy, &foreign);
        rotten[COPY - copy + 100] ^= 1;
        cases.push(rotten);
        let mut third = with_copy(&with_copy(&file, 0, &foreign), COPY, &foreign);
        third[copy + 60] ^= 1;
        raw::seal_header(&mut third, copy);
        cases.push(third);
        // Two stores without a record.
        cases.push(with_copy(&file[..LOG], copy, &foreign));
    }
    for (nth, case) in cases.iter().enumerate() {
        let sim = with_file(case);
        for read_only in [true, false] {
            let error = open(&sim, |options| _ = options.read_only(read_only)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt, "case {nth}: {error}");
            assert!(error.to_string().contains("header"), "case {nth}: {error}");
        }
        assert!(sim.read(PATH).unwrap() == *case, "case {nth}");
        let store = open(&sim, |options| _ = options.truncate(true)).unwrap();
        store.insert("a", "b").unwrap();
        drop(store);
        assert_eq!(open(&sim, |_| {}).unwrap().len().unwrap(), 1, "case {nth}");
    }
}

#[test]
fn a_file_that_ends_within_its_header_is_damaged_and_stays_as_it_is() {
    let (_, file, _) = compacted();
    for len in [COPY, COPY + 1, LOG - 1] {
        let sim = with_file(&file[..len]);
        let error = open(&sim, |_| {}).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{len} bytes");
        assert_eq!(
            error.to_string(),
            format!(
                "`/s.shelf` is damaged at offset {len}: the file ends within its header; its content is not there; restore a backup"
            ),
        );
        assert_eq!(sim.read(PATH).unwrap(), file[..len]);
    }
}
