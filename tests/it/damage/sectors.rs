//! Whole sectors swapped, duplicated, zeroed and filled with garbage.

use super::*;
use crate::support::is_soak;
use std::collections::BTreeSet;

const SEED: u64 = 13;
const LOG_BYTES: usize = 64 << 10;

/// What happens to the sectors of a log, by their numbers.
#[derive(Debug, Clone, Copy)]
enum Fault {
    Swap(usize, usize),
    /// The first one is written over the second one.
    Copy(usize, usize),
    Zero(usize),
    Garbage(usize),
}

impl Fault {
    fn apply(self, file: &mut [u8], sector_bytes: usize) {
        let log = &mut file[LOG..];
        let range = |nth: usize| nth * sector_bytes..(nth + 1) * sector_bytes;
        match self {
            Fault::Swap(a, b) => {
                let first = log[range(a)].to_vec();
                log.copy_within(range(b), a * sector_bytes);
                log[range(b)].copy_from_slice(&first);
            }
            Fault::Copy(a, b) => log.copy_within(range(a), b * sector_bytes),
            Fault::Zero(a) => log[range(a)].fill(0),
            Fault::Garbage(a) => {
                let garbage = Random::new(SEED + a as u64).bytes(sector_bytes);
                log[range(a)].copy_from_slice(&garbage);
            }
        }
    }
}

/// What does not verify is told, record by record, and everything else is found.
fn check(history: &History, fault: Fault, sector_bytes: usize, salvages: bool) {
    let mut file = history.file.clone();
    fault.apply(&mut file, sector_bytes);
    let intact =
        |record: &&Range<usize>| file[(*record).clone()] == history.file[(*record).clone()];
    let intact = history.records.iter().filter(intact).count();
    let sim = with_file(&file);
    let last = history.last();
    match open(&sim, |options| _ = options.read_only(true)) {
        Ok(store) => {
            let clean = store.recovery().is_clean();
            assert_eq!(clean, intact == history.records.len(), "{fault:?}");
            for item in store.iter() {
                match item {
                    Ok((key, value)) => assert_eq!(last.get(&key), Some(&value), "{fault:?}"),
                    Err(error) => assert!(error.is_corrupt(), "{fault:?}: {error}"),
                }
            }
        }
        Err(error) => assert_eq!(error.kind(), ErrorKind::Corrupt, "{fault:?}: {error}"),
    }
    let store = open_damaged(&sim);
    let verified = store.verify().unwrap();
    assert_eq!(verified.records, intact as u64, "{fault:?}");
    let told = !verified.is_sound() || verified.torn_tail.is_some();
    assert_eq!(told, intact < history.records.len(), "{fault:?}");
    if salvages {
        let (salvaged, found) = salvage(&sim, &store);
        let uncertain: BTreeSet<_> = salvaged.uncertain.iter().collect();
        for (key, value) in &found {
            assert!(
                last.get(key) == Some(value) || uncertain.contains(key),
                "{fault:?}"
            );
        }
        for (nth, record) in history.records.iter().enumerate() {
            let Some(key) = &history.keys[nth] else {
                continue;
            };
            let newest = !history.keys[nth + 1..].contains(&history.keys[nth]);
            if newest && file[record.clone()] == history.file[record.clone()] {
                assert_eq!(found.get(key), last.get(key), "{fault:?}: collateral");
            }
        }
    }
}

fn check_all(name: &str, faults: impl Fn(usize) -> Vec<Fault>) {
    let started = Instant::now();
    let history = History::new(SEED, 180, 800, true);
    assert!(history.file.len() > LOG + LOG_BYTES);
    let mut checked = 0;
    for sector_bytes in [512, 4096] {
        for fault in faults(LOG_BYTES / sector_bytes) {
            check(&history, fault, sector_bytes, checked % 16 == 0);
            checked += 1;
        }
    }
    metric(name, checked, Some(SEED), started.elapsed().as_secs_f64());
}

#[test]
fn every_pair_of_sectors_swapped_is_told_and_takes_no_other_record() {
    check_all("sector_pairs_swapped", |sectors| {
        let pairs = (0..sectors).flat_map(|a| (0..a).map(move |b| Fault::Swap(b, a)));
        pairs.collect()
    });
}

#[test]
fn every_pair_of_sectors_made_the_same_is_told_and_takes_no_other_record() {
    check_all("sector_pairs_made_the_same", |sectors| {
        let pairs = (0..sectors).flat_map(|a| (0..a).map(move |b| [(a, b), (b, a)]));
        // In one direction, by turns, or in both.
        let pairs = pairs.enumerate().flat_map(|(nth, both)| match is_soak() {
            true => both.to_vec(),
            false => vec![both[nth % 2]],
        });
        pairs.map(|(a, b)| Fault::Copy(a, b)).collect()
    });
}

#[test]
fn every_sector_zeroed_or_filled_with_garbage_is_told_and_takes_no_other_record() {
    check_all("sectors_overwritten", |sectors| {
        let each = (0..sectors).flat_map(|a| [Fault::Zero(a), Fault::Garbage(a)]);
        each.collect()
    });
}
