//! A store that is damaged and broken in another way as well goes on: what is damaged stays known as such.

use super::*;
use crate::raw;
use crate::support::beside;
use shelflife::sim::{Call, Fault, FaultKind};
use shelflife::{Change, Durability, Verified};
use std::path::Path;
use std::time::Duration;

/// Where a bit of the value of `b` is turned over.
const ROT: usize = LOG + 64 + 48 + 3;

/// Three entries in a closed store, of which the value of `b` does not verify.
fn rotten() -> SimDisk {
    let sim = SimDisk::new(5);
    let store = open(&sim, |_| {}).unwrap();
    for key in ["a", "b", "c"] {
        store.insert(key, format!("value of {key}")).unwrap();
    }
    store.close().unwrap();
    let b = raw::records(&sim.read(PATH).unwrap()).swap_remove(1);
    assert!(b.contains(&ROT));
    sim.flip_bit(PATH, ROT as u64, 5).unwrap();
    sim
}

/// `b` is damaged, others are not; all handles say so, and a write of it mends it.
fn only_b_is_lost(sim: &SimDisk, store: &Store) {
    let kept = beside(sim);
    assert!(
        matches!(&kept[..], [one] if one.contains(".damaged-")),
        "{kept:?}"
    );
    for store in [store, &open(sim, |_| {}).unwrap()] {
        assert!(store.get("b").unwrap_err().is_corrupt());
        for key in ["a", "c"] {
            let value = store.get(key).unwrap().unwrap();
            assert_eq!(value, format!("value of {key}").as_bytes());
        }
        assert_eq!(store.recovery().damage.len(), 1);
        let Verified { damage, .. } = store.verify().unwrap();
        assert_eq!((damage.len(), damage[0].keys), (1, 1));
    }
    let (salvaged, found) = salvage(sim, store);
    assert!(salvaged.lost.len() == 1 && !found.contains_key(&b"b"[..]));
    let before = beside(sim);
    store.compact().unwrap();
    assert!(
        store.get("b").unwrap_err().is_corrupt(),
        "damage gets no fresh check"
    );
    assert!(
        before.len() > beside(sim).len(),
        "nor does it earn evidence twice"
    );
    store.insert("b", "new").unwrap();
    store.compact().unwrap();
    let store = open(sim, |_| {}).unwrap();
    assert!(store.recovery().is_clean() && store.verify().unwrap().is_sound());
}

#[test]
fn what_is_damaged_stays_so_when_a_file_whose_sync_failed_is_left() {
    let sim = rotten();
    let store = open(&sim, |_| {}).unwrap();
    sim.inject(Fault::new(FaultKind::Eio).on(Call::Sync));
    store.insert("d", "lost?").unwrap_err();
    assert!(store.insert("e", "goes on").unwrap());
    only_b_is_lost(&sim, &store);
}

#[test]
fn what_is_damaged_stays_so_when_records_stand_behind_a_torn_tail() {
    let sim = rotten();
    let store = open(&sim, |options| _ = options.durability(Durability::Os)).unwrap();
    for key in ["d", "e", "f"] {
        store.insert(key, "unsynced").unwrap();
    }
    let mut file = sim.read(PATH).unwrap();
    let torn = with_file(&file);
    file[ROT] ^= 1 << 5;
    let e = raw::records(&file).swap_remove(5);
    torn.flip_bit(PATH, e.start as u64 + 20, 1).unwrap();
    let store = open(&torn, |_| {}).unwrap();
    assert!(store.insert("g", "goes on").unwrap());
    let recovery = store.recovery();
    assert!(matches!(&recovery.torn_tails[..], [tail] if tail.evidence.is_some()));
    only_b_is_lost(&torn, &store);
}

/// Without links the evidence is a copy, which a try that fails leaves behind.
#[test]
fn a_repair_that_failed_where_there_are_no_links_is_done_by_the_next_try() {
    let repairs: [fn(&Store) -> shelflife::Result<()>; 2] = [
        |store| store.compact().map(drop),
        |store| store.salvage_in_place().map(drop),
    ];
    for (nth, repair) in repairs.into_iter().enumerate() {
        let sim = rotten();
        let damaged = sim.read(PATH).unwrap();
        let store = open(&sim, |_| {}).unwrap();
        sim.inject(Fault::new(FaultKind::Unsupported).on(Call::Link).forever());
        sim.inject(Fault::new(FaultKind::Eio).on(Call::Rename));
        repair(&store).unwrap_err();
        repair(&store).unwrap();
        let [kept] = &beside(&sim)[..] else {
            panic!("{nth}: {:?}", beside(&sim));
        };
        assert!(sim.read(kept).unwrap().starts_with(&damaged), "{nth}");
    }
}

/// The damage hit the end of what they know, or what others wrote since.
#[test]
fn who_cannot_read_the_damaged_file_goes_on_with_the_salvaged_one_too() {
    for writes in [false, true] {
        for is_ahead in [false, true] {
            let case = format!("writes {writes}, ahead {is_ahead}");
            let sim = SimDisk::new(5);
            let store = open(&sim, |_| {}).unwrap();
            store.insert("a", "1").unwrap();
            let ends = raw::records(&sim.read(PATH).unwrap()).swap_remove(0).end;
            let sleeping = || open(&sim, |options| _ = options.read_only(!writes)).unwrap();
            let slept = is_ahead.then(sleeping);
            for key in ["b", "c"] {
                store.insert(key, "1").unwrap();
            }
            store.compact().unwrap();
            let slept = slept.unwrap_or_else(sleeping);
            if is_ahead {
                slept.get("a").unwrap();
                for key in ["d", "e"] {
                    store.insert(key, "1").unwrap();
                }
                store.close().unwrap();
                let d = raw::records(&sim.read(PATH).unwrap()).swap_remove(3);
                sim.flip_bit(PATH, d.start as u64 + 20, 0).unwrap();
            } else {
                let file = sim.read(PATH).unwrap();
                sim.write(PATH, &file[..ends]).unwrap();
            }
            let refused = slept.get("c").unwrap_err();
            assert!(refused.is_corrupt(), "{case}: {refused}");
            open_damaged(&sim).salvage_in_place().unwrap();
            if writes {
                assert!(slept.insert("new", "1").unwrap(), "{case}");
            }
            assert_eq!(slept.get("a").unwrap().unwrap(), b"1", "{case}");
            assert_eq!(slept.get("c").unwrap().is_some(), is_ahead, "{case}");
            assert_eq!(entries(&slept), entries(&open(&sim, |_| {}).unwrap()));
            assert_eq!(slept.recovery().reverted.is_empty(), is_ahead, "{case}");
        }
    }
}

#[test]
fn what_a_repair_cut_off_is_no_store() {
    let sim = rotten();
    let mut bytes = sim.read(PATH).unwrap();
    bytes.truncate(bytes.len() - 48);
    bytes.extend([7; 100]);
    let sim = with_file(&bytes);
    open(&sim, |_| {}).unwrap().insert("d", "").unwrap();
    let [cut_off] = &beside(&sim)[..] else {
        panic!("{:?}", beside(&sim));
    };
    let opened = Options::new().disk(sim.disk()).damaged(true).open(cut_off);
    let error = opened.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotAStore);
    let told = format!("`{cut_off}` holds what a repair cut off a store; open the store itself");
    assert_eq!(error.to_string(), told);
    let kept = sim.read(Path::new("/").join(cut_off)).unwrap();
    assert_eq!(kept[LOG + 8..], [7; 100]);
}

#[test]
fn whoever_has_a_damaged_store_open_goes_on_in_the_one_that_replaces_it() {
    // A head, which leaves the extent of the damage unknown; or both copies of the file header.
    for heads in [vec![LOG as u64 + 20], vec![20, LOG as u64 / 2 + 20]] {
        let sim = rotten();
        let live = open(&sim, |options| _ = options.durability(Durability::Os)).unwrap();
        for &at in &heads {
            sim.flip_bit(PATH, at, 0).unwrap();
        }
        assert!(open(&sim, |_| {}).unwrap_err().is_corrupt());
        let anew = open(&sim, |options| _ = options.truncate(true)).unwrap();
        assert!(anew.is_empty().unwrap() && anew.recovery().is_clean());
        if heads.len() > 1 {
            // It can't be told that the one follows the other.
            continue;
        }
        assert!(live.insert("x", "1").unwrap());
        assert_eq!(live.len().unwrap(), 1);
        assert_eq!(anew.get("x").unwrap().as_deref(), Some(&b"1"[..]));
    }
}

#[test]
fn what_a_compaction_that_failed_kept_is_not_removed_by_the_one_that_succeeds() {
    let sim = rotten();
    let store = open(&sim, |_| {}).unwrap();
    sim.inject(Fault::new(FaultKind::Eio).on(Call::Rename));
    store.compact().unwrap_err();
    let kept = beside(&sim);
    assert!(
        matches!(&kept[..], [one] if one.contains(".damaged-")),
        "{kept:?}"
    );
    store.compact().unwrap();
    assert_eq!(beside(&sim), kept, "nothing else tells what was damaged");
    store.compact().unwrap();
    assert!(beside(&sim).is_empty(), "as it was told that time");
}

#[test]
fn a_record_whose_head_rots_under_a_handle_is_kept_by_the_compaction_that_meets_it() {
    let sim = SimDisk::new(5);
    let store = open(&sim, |_| {}).unwrap();
    for key in ["a", "b", "c"] {
        store.insert(key, format!("value of {key}")).unwrap();
    }
    let b = raw::records(&sim.read(PATH).unwrap()).swap_remove(1);
    sim.flip_bit(PATH, b.start as u64 + 9, 5).unwrap();
    store.compact().unwrap();
    let kept = beside(&sim);
    assert!(
        matches!(&kept[..], [one] if one.contains(".damaged-")),
        "{kept:?}"
    );
    assert!(store.get("b").unwrap_err().is_corrupt());
    assert_eq!(store.get("c").unwrap().unwrap(), b"value of c");
    store.compact().unwrap();
    assert!(beside(&sim).is_empty(), "it is no new damage");
}

#[test]
fn a_seal_that_a_full_disk_cuts_short_is_taken_back() {
    let sim = SimDisk::new(5);
    let store = open(&sim, |options| _ = options.durability(Durability::Os)).unwrap();
    store.insert("a", "1").unwrap();
    sim.inject(Fault::new(FaultKind::Short(16)).on(Call::Write));
    sim.inject(Fault::new(FaultKind::Enospc).on(Call::Write).nth(2));
    store.sync().unwrap();
    assert_eq!(sim.faults(), 2);
    let other = open(&sim, |_| {}).unwrap();
    assert_eq!(other.recovery().torn_tails, []);
    assert_eq!(other.len().unwrap(), 1);
    store.insert("b", "1").unwrap();
    store.sync().unwrap();
}

#[test]
fn what_has_ended_is_read_and_updated_as_if_it_were_absent_although_its_value_is_damaged() {
    let sim = SimDisk::new(5);
    let store = open(&sim, |_| {}).unwrap();
    let end = sim.process().wall_clock() + Duration::from_secs(60);
    store.insert_until("b", "value of b", end).unwrap();
    let file = sim.read(PATH).unwrap();
    let value = file.windows(10).position(|bytes| bytes == b"value of b");
    sim.flip_bit(PATH, value.unwrap() as u64, 0).unwrap();
    let update = |new: &str| {
        store.update("b", |old| {
            assert_eq!(old, None);
            Ok((Change::Put(new.into()), ()))
        })
    };
    assert!(store.get("b").unwrap_err().is_corrupt());
    assert!(update("too early").unwrap_err().is_corrupt());
    sim.advance(Duration::from_secs(60));
    assert_eq!(store.get("b").unwrap(), None);
    assert!(!store.contains_key("b").unwrap());
    update("new").unwrap();
    assert_eq!(store.get("b").unwrap().as_deref(), Some(&b"new"[..]));
}

#[test]
fn what_has_ended_is_no_answer_where_damage_behind_it_may_hide_a_later_value() {
    let sim = SimDisk::new(5);
    let store = open(&sim, |_| {}).unwrap();
    let end = sim.process().wall_clock() + Duration::from_secs(60);
    store.insert_until("b", "value of b", end).unwrap();
    for key in ["c", "d"] {
        store.insert(key, "").unwrap();
    }
    store.close().unwrap();
    let records = raw::records(&sim.read(PATH).unwrap());
    for at in [records[0].start + 48 + 3, records[1].start + 20] {
        sim.flip_bit(PATH, at as u64, 0).unwrap();
    }
    sim.advance(Duration::from_secs(60));
    assert!(open_damaged(&sim).get("b").unwrap_err().is_corrupt());
}

/// A repair that fails when it has kept the evidence: the next try may find another thing to do, or nothing.
#[test]
fn evidence_that_a_repair_left_is_named_also_where_the_repair_failed() {
    let mut failed = 0;
    for records_behind in [false, true] {
        let sim = SimDisk::new(5);
        let store = open(&sim, |options| _ = options.durability(Durability::Os)).unwrap();
        for key in ["a", "b", "c"] {
            store.insert(key, "unsynced").unwrap();
        }
        let mut torn = sim.read(PATH).unwrap();
        drop(store);
        let second = raw::records(&torn)[1].start;
        match records_behind {
            true => torn[second + 20] ^= 1,
            false => torn.extend([7; 100]),
        }
        for call in [Call::Write, Call::SetLen, Call::Sync, Call::Rename] {
            for nth in 1..=6 {
                let case = format!("{call:?} {nth}, records behind: {records_behind}");
                let sim = with_file(&torn);
                let store = open(&sim, |_| {}).unwrap();
                sim.inject(Fault::new(FaultKind::Eio).on(call).nth(nth));
                failed += usize::from(store.insert("d", "").is_err());
                sim.clear_faults();
                store.insert("e", "").unwrap();
                let torn_tails = store.recovery().torn_tails;
                let told = torn_tails.iter().filter_map(|tail| tail.evidence.as_ref());
                let mut told: Vec<_> = told
                    .map(|path| path.file_name().unwrap().to_str().unwrap().to_owned())
                    .collect();
                told.sort();
                let mut kept = beside(&sim);
                kept.sort();
                assert_eq!(told, kept, "{case}: {torn_tails:?}");
            }
        }
    }
    assert!(failed > 10, "only {failed} repairs failed");
}

/// Another process dies in the middle of an append, day after day: the first finding explains the others, and the last
/// ones tell that it still happens.
#[test]
fn a_handle_that_lives_for_years_keeps_the_first_finding_and_the_last_ones() {
    let sim = SimDisk::new(1);
    let store = open(&sim, |_| {}).unwrap();
    let mut offsets = Vec::new();
    for nth in 0..500u32 {
        store.insert(nth.to_le_bytes(), "").unwrap();
        let sound = sim.read(PATH).unwrap();
        offsets.push(sound.len() as u64);
        let torn = [sound, nth.to_le_bytes().to_vec()].concat();
        sim.write(PATH, &torn).unwrap();
    }
    store.insert("the last one", "").unwrap();
    let told = store.recovery().torn_tails;
    let told: Vec<u64> = told.iter().map(|torn| torn.offset).collect();
    assert_eq!(told.len(), 64, "as documented");
    assert_eq!(told[0], offsets[0]);
    assert_eq!(told[1..], offsets[offsets.len() + 1 - told.len()..]);
}
