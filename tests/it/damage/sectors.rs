//! Whole sectors swapped, duplicated, zeroed and filled with garbage.

use super::*;
use crate::support::is_soak;
use std::collections::BTreeSet;

const SEED: u64 = 13;
/// How much of a log is hit: its beginning, and its end with the seal.
const BEGINNING_BYTES: usize = 64 << 10;
const END_BYTES: usize = 16 << 10;

/// The damage to the sectors of a log, by their numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Fault {
    Swap(usize, usize),
    /// The first one is written over the second one.
    Copy(usize, usize),
    Zero(usize),
    Garbage(usize),
}

impl Fault {
    /// The last sector may reach beyond the end of the file, where there are zeros that nobody sees.
    fn apply(self, file: &mut Vec<u8>, sector_bytes: usize) {
        let len = file.len();
        file.resize(len.next_multiple_of(sector_bytes), 0);
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
        file.truncate(len);
    }
}

/// Each record that does not verify is told, and every other one is found. A key whose last record is torn off has the
/// value that it had before.
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
            let recovery = store.recovery();
            let clean = recovery.is_clean();
            assert_eq!(clean, intact == history.records.len(), "{fault:?}");
            let counted = history.counted(recovery.torn_tails.first());
            let known = &history.states[counted];
            for item in store.iter() {
                match item {
                    Ok((key, value)) => assert_eq!(known.get(&key), Some(&value), "{fault:?}"),
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
        let known = &history.states[history.counted(verified.torn_tail.as_ref())];
        for (key, value) in &found {
            let is_known = [last, known]
                .iter()
                .any(|state| state.get(key) == Some(value));
            assert!(is_known || uncertain.contains(key), "{fault:?}");
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

fn check_all(name: &str, faults: impl Fn(Range<usize>) -> Vec<Fault>) {
    let started = Instant::now();
    let history = History::new(SEED, 180, 800, true);
    let log_bytes = history.file.len() - LOG;
    assert!(log_bytes > BEGINNING_BYTES);
    let mut checked = BTreeSet::new();
    for sector_bytes in [512, 4096] {
        for bytes in [0..BEGINNING_BYTES, log_bytes - END_BYTES..log_bytes] {
            let sectors = bytes.start / sector_bytes..bytes.end.div_ceil(sector_bytes);
            for fault in faults(sectors) {
                // The end may begin within the beginning.
                let salvages = checked.len() % 16 == 0;
                if checked.insert((sector_bytes, fault)) {
                    check(&history, fault, sector_bytes, salvages);
                }
            }
        }
    }
    let secs = started.elapsed().as_secs_f64();
    metric(name, checked.len(), Some(SEED), secs);
}

fn pairs(sectors: Range<usize>) -> impl Iterator<Item = (usize, usize)> {
    let start = sectors.start;
    sectors.flat_map(move |b| (start..b).map(move |a| (a, b)))
}

#[test]
fn every_pair_of_sectors_swapped_is_told_and_takes_no_other_record() {
    check_all("sector_pairs_swapped", |sectors| {
        let pairs = pairs(sectors).map(|(a, b)| Fault::Swap(a, b));
        pairs.collect()
    });
}

#[test]
fn every_pair_of_sectors_made_the_same_is_told_and_takes_no_other_record() {
    check_all("sector_pairs_made_the_same", |sectors| {
        // In one direction, by turns, or in both.
        let copies = pairs(sectors).enumerate().flat_map(|(nth, (a, b))| {
            let both = [Fault::Copy(b, a), Fault::Copy(a, b)];
            match is_soak() {
                true => both.to_vec(),
                false => vec![both[nth % 2]],
            }
        });
        copies.collect()
    });
}

#[test]
fn every_sector_zeroed_or_filled_with_garbage_is_told_and_takes_no_other_record() {
    check_all("sectors_overwritten", |sectors| {
        let each = sectors.flat_map(|a| [Fault::Zero(a), Fault::Garbage(a)]);
        each.collect()
    });
}
