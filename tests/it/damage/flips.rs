//! Every single bit of a log turned over, and many at once.

use super::*;
use crate::support::{is_soak, setting};
use std::collections::BTreeSet;

const SEED: u64 = 11;

/// A log of 64 records with one bit turned over.
struct Flipped<'a> {
    history: &'a History,
    sim: &'a SimDisk,
    bit: usize,
}

/// The part of the file that the bit belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Header,
    /// A record's fixed part, all under one check.
    Head,
    /// The rest of a record, and the check on that.
    Body,
}

impl Flipped<'_> {
    fn at(&self) -> usize {
        self.bit / 8
    }

    /// The record that is hit.
    fn nth(&self) -> usize {
        let mut records = self.history.records.iter();
        records
            .position(|record| record.contains(&self.at()))
            .unwrap()
    }

    fn part(&self) -> Part {
        if self.at() < LOG {
            return Part::Header;
        }
        match self.at() - self.history.records[self.nth()].start {
            0..4 | 8..raw::HEAD => Part::Head,
            _ => Part::Body,
        }
    }

    fn check(&self) {
        match self.part() {
            Part::Header => self.check_header(),
            _ if self.nth() == self.history.records.len() - 1 => self.check_last(),
            Part::Head => {
                self.check_that_opening_fails();
                self.check_damaged();
            }
            Part::Body => {
                self.check_reads();
                // All other keys were just read; what is told of the damage is alike for the bits of a byte.
                if self.bit.is_multiple_of(8) {
                    self.check_damaged();
                }
            }
        }
    }

    fn open(&self) -> shelflife::Result<Store> {
        open(self.sim, |options| _ = options.read_only(true))
    }

    fn check_header(&self) {
        let store = self.open().unwrap();
        let copy = if self.at() < LOG / 2 {
            0
        } else {
            LOG as u64 / 2
        };
        assert_eq!(
            store.recovery().bad_header_copy,
            Some(copy),
            "bit {}",
            self.bit
        );
        assert_eq!(entries(&store), *self.history.last(), "bit {}", self.bit);
        if self.bit.is_multiple_of(8) {
            let verified = store.verify().unwrap();
            assert_eq!(verified.bad_header_copies, [copy], "bit {}", self.bit);
            assert!(!verified.is_sound() && verified.damage.is_empty());
        }
    }

    /// Nothing behind the last record, a seal or not, says that it was on disk, so it is the one that looks torn. The
    /// first write cuts it off, and keeps it aside.
    fn check_last(&self) {
        let Flipped { history, bit, .. } = self;
        let (before, start) = (
            &history.states[self.nth()],
            history.records[self.nth()].start,
        );
        let store = self.open().unwrap();
        assert_eq!(entries(&store), *before, "bit {bit}");
        let torn = &store.recovery().torn_tails[..];
        assert!(
            matches!(torn, [torn] if torn.offset as usize == start),
            "bit {bit}: {torn:?}"
        );

        let file = self.sim.read(PATH).unwrap();
        let sim = with_file(&file);
        let store = open(&sim, |_| {}).unwrap();
        store.insert("new", "value").unwrap();
        let aside = store.recovery().torn_tails[0].evidence.clone().unwrap();
        assert!(aside.to_string_lossy().contains(".damaged-"), "bit {bit}");
        let kept = [&(start as u64).to_le_bytes()[..], &file[start..]].concat();
        assert_eq!(sim.read(aside).unwrap()[LOG..], kept, "bit {bit}");
        drop(store);
        let mut after = before.clone();
        after.insert(b"new".to_vec(), b"value".to_vec());
        assert_eq!(entries(&open(&sim, |_| {}).unwrap()), after, "bit {bit}");
    }

    fn check_that_opening_fails(&self) {
        let error = self.open().unwrap_err();
        let start = self.history.records[self.nth()].start as u64;
        assert_eq!(error.kind(), ErrorKind::Corrupt, "bit {}", self.bit);
        assert_eq!(error.offset(), Some(start), "bit {}", self.bit);
    }

    /// The key whose present value was hit.
    fn hit(&self) -> Option<&[u8]> {
        let (nth, keys) = (self.nth(), &self.history.keys);
        let key = keys[nth].as_deref()?;
        let later = keys[nth + 1..].contains(&keys[nth]);
        (!later && self.history.last().contains_key(key)).then_some(key)
    }

    fn check_reads(&self) {
        let (store, record) = (self.open().unwrap(), &self.history.records[self.nth()]);
        let damage = store.recovery().damage;
        assert_eq!(damage.len(), 1, "bit {}", self.bit);
        assert!(damage[0].one_record);
        assert_eq!(damage[0].offset as usize, record.start, "bit {}", self.bit);
        assert_eq!(
            damage[0].len_bytes as usize,
            record.len(),
            "bit {}",
            self.bit
        );
        for key in self.history.keys.iter().flatten().collect::<BTreeSet<_>>() {
            match store.get(key) {
                Ok(value) => {
                    assert_ne!(self.hit(), Some(&**key), "bit {}: silent", self.bit);
                    assert_eq!(
                        value.as_ref(),
                        self.history.last().get(key),
                        "bit {}",
                        self.bit
                    );
                }
                Err(error) => {
                    assert!(error.is_corrupt(), "bit {}: {error}", self.bit);
                    assert_eq!(self.hit(), Some(&**key), "bit {}: collateral", self.bit);
                }
            }
        }
    }

    fn check_damaged(&self) {
        let Flipped { history, bit, .. } = self;
        let (nth, last) = (self.nth(), history.last());
        let (record, key) = (&history.records[nth], history.keys[nth].as_ref().unwrap());
        let store = open_damaged(self.sim);
        let verified = store.verify().unwrap();
        assert_eq!(verified.damage.len(), 1, "bit {bit}: {verified:?}");
        let affected = &verified.damage[0];
        assert_eq!(affected.damage.offset as usize, record.start, "bit {bit}");
        assert_eq!(
            affected.damage.len_bytes as usize,
            record.len(),
            "bit {bit}"
        );
        assert_eq!(verified.records as usize, history.records.len() - 1);
        assert!(verified.torn_tail.is_none(), "bit {bit}");

        let (salvaged, found) = salvage(self.sim, &store);
        let uncertain: BTreeSet<_> = salvaged.uncertain.iter().collect();
        for other in last
            .keys()
            .chain(found.keys())
            .filter(|other| *other != key)
        {
            assert_eq!(found.get(other), last.get(other), "bit {bit}: collateral");
            let newest = history
                .keys
                .iter()
                .rposition(|key| key.as_ref() == Some(other));
            let before_hole = self.part() == Part::Head && newest < Some(nth);
            assert_eq!(uncertain.contains(other), before_hole, "bit {bit}");
        }
        let before = history.states[nth].get(key);
        let lost: Vec<_> = salvaged.lost.iter().collect();
        match (self.part(), self.hit()) {
            // Only its value is bad, so that its key is known: lost, and what it had before is offered apart.
            (Part::Body, Some(_)) => {
                let key_bytes = record.start + raw::HEAD..record.start + raw::HEAD + key.len();
                let key_hit = key_bytes.contains(&self.at());
                assert_eq!(found.get(key), None, "bit {bit}: an outdated value");
                assert_eq!(lost.len(), 1, "bit {bit}");
                assert_eq!(
                    lost[0].older().map(|older| older.value()),
                    before.map(|value| &**value)
                );
                let known = (!key_hit || before.is_some()).then_some(&**key);
                assert_eq!(lost[0].key(), known, "bit {bit}");
                assert_eq!(affected.keys, 1);
                assert_eq!(affected.key(), (!key_hit).then_some(&**key), "bit {bit}");
            }
            // Not even that: what the key had before is there, and is said to be uncertain.
            (Part::Head, Some(_)) => {
                assert_eq!(found.get(key), before, "bit {bit}");
                assert_eq!(uncertain.contains(key), before.is_some(), "bit {bit}");
                assert!(lost.is_empty());
            }
            // Superseded, or a removal. A removal that is lost with its head leaves its key uncertain.
            _ => {
                assert!(
                    found.get(key) == last.get(key) || uncertain.contains(key),
                    "bit {bit}"
                );
                assert!(lost.is_empty() && affected.keys == 0, "bit {bit}");
            }
        }
    }
}

fn flip_bits(name: &str, sealed: bool, part: impl Fn(&History) -> Range<usize>) {
    let started = Instant::now();
    let history = History::new(SEED, 64, 12, sealed);
    let bytes = part(&history);
    for at in bytes.clone() {
        for bit in 0..8 {
            let mut file = history.file.clone();
            file[at] ^= 1 << bit;
            let sim = with_file(&file);
            Flipped {
                history: &history,
                sim: &sim,
                bit: at * 8 + bit,
            }
            .check();
            assert!(sim.read(PATH).unwrap() == file, "reading changed the file");
        }
    }
    let name = format!("bits_flipped_in_{name}_none_silent_none_collateral");
    metric(
        &name,
        bytes.len() * 8,
        Some(SEED),
        started.elapsed().as_secs_f64(),
    );
}

#[test]
fn every_flipped_bit_of_a_file_header_is_reported_and_takes_nothing() {
    flip_bits("header", true, |_| 0..LOG);
}

#[test]
fn every_flipped_bit_of_a_sealed_log_is_reported_and_takes_one_record_at_most_first_half() {
    flip_bits("first_half", true, |history| LOG..history.records[32].start);
}

#[test]
fn every_flipped_bit_of_a_sealed_log_is_reported_and_takes_one_record_at_most_second_half() {
    flip_bits("second_half", true, |history| {
        history.records[32].start..history.file.len()
    });
}

#[test]
fn every_flipped_bit_of_an_unsealed_log_is_reported_and_cuts_the_last_record_at_most_first_half() {
    flip_bits("unsealed_first_half", false, |history| {
        LOG..history.records[32].start
    });
}

#[test]
fn every_flipped_bit_of_an_unsealed_log_is_reported_and_cuts_the_last_record_at_most_second_half() {
    flip_bits("unsealed_second_half", false, |history| {
        history.records[32].start..history.file.len()
    });
}

/// Where too little is left to tell that the end was on disk, it may look torn; what it held is then as before it.
fn check_many(history: &History, file: &[u8]) {
    let sim = with_file(file);
    let is_hit = |nth: usize| {
        let record = history.records[nth].clone();
        file[record.clone()] != history.file[record]
    };
    let newest = |key: &[u8], counted: usize| {
        let of_key = |other: &Option<Vec<u8>>| other.as_deref() == Some(key);
        history.keys[..counted].iter().rposition(of_key)
    };
    let keys: BTreeSet<_> = history.keys.iter().flatten().collect();
    match open(&sim, |options| _ = options.read_only(true)) {
        Ok(store) => {
            let recovery = store.recovery();
            assert_eq!(recovery.is_clean(), file == history.file);
            let counted = history.counted(recovery.torn_tails.first());
            for &key in &keys {
                let expected = history.states[counted].get(key);
                let is_lost = expected.is_some() && newest(key, counted).is_some_and(is_hit);
                match store.get(key) {
                    Ok(value) => assert!(!is_lost && value.as_ref() == expected, "silent"),
                    Err(error) => assert!(is_lost && error.is_corrupt(), "{error}"),
                }
            }
        }
        Err(error) => assert!(error.is_corrupt(), "{error}"),
    }

    let store = open_damaged(&sim);
    let (salvaged, found) = salvage(&sim, &store);
    let counted = history.counted(store.verify().unwrap().torn_tail.as_ref());
    let told = |at: usize| {
        let at = at as u64;
        let covers = |damage: &shelflife::Damage| {
            (damage.offset..damage.offset + damage.len_bytes).contains(&at)
        };
        salvaged.damage.iter().any(covers)
    };
    for &key in &keys {
        let (last, found) = (history.last().get(key), found.get(key));
        if found != last {
            let had = history.states.iter().any(|state| state.get(key) == found);
            assert!(had, "a value that it never had");
            let nth = newest(key, history.keys.len()).unwrap();
            let is_named = nth >= counted
                || salvaged.uncertain.contains(key)
                || salvaged.lost.iter().any(|lost| lost.key() == Some(&**key));
            let is_missing = found.is_none() && told(history.records[nth].start);
            assert!(is_named || is_missing, "silent");
        }
    }
}

#[test]
fn none_of_many_flipped_bits_is_silent_and_no_value_is_wrong() {
    let started = Instant::now();
    let files = if is_soak() { 1_000_000 } else { 5_000 };
    let first = setting("SHELF_FUZZ_SEED").unwrap_or(SEED);
    let history = History::new(SEED, 64, 12, true);
    for seed in first..first + files {
        let (mut random, mut file) = (Random::new(seed), history.file.clone());
        for _ in 0..2 + random.below(63) {
            let at = LOG + random.place(file.len() - LOG);
            file[at] ^= 1 << random.below(8);
        }
        let checked = std::panic::catch_unwind(|| check_many(&history, &file));
        assert!(checked.is_ok(), "SHELF_FUZZ_SEED={seed}");
    }
    let secs = started.elapsed().as_secs_f64();
    metric(
        "files_with_many_bits_flipped_none_silent",
        files,
        Some(first),
        secs,
    );
}
