//! A fingerprint is never identity: with so few bits of it that every key collides with many others, the store still
//! does what a map does.

use super::mode::{Compaction, Durability};
use super::options::Options;
use super::{Batch, Change, Store};
use crate::error::Result;
use crate::sim::{Call, Fault, FaultKind, SimDisk};
use std::cell::Cell;
use std::collections::BTreeMap;

thread_local! {
    /// The bits of a fingerprint that this thread uses.
    pub(crate) static MASK: Cell<u32> = const { Cell::new(u32::MAX) };
}

type Model = BTreeMap<Vec<u8>, Vec<u8>>;

struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        ((mixed ^ (mixed >> 27)) >> 16) % end
    }

    /// Few keys, of several lengths, some of them another one's beginning.
    fn key(&mut self) -> Vec<u8> {
        let nth = self.below(48) as usize;
        [b"abcdefgh"[nth % 8]].repeat(nth / 8)
    }

    fn value(&mut self) -> Vec<u8> {
        let len = self.below(40) as usize;
        vec![self.below(256) as u8; len]
    }
}

fn open(sim: &SimDisk) -> Store {
    let mut options = Options::new();
    options
        .disk(sim.disk())
        .durability(Durability::Os)
        .compaction(Compaction::Inline);
    options.open("/s.shelf").unwrap()
}

fn entries(store: &Store) -> Model {
    store.iter().collect::<Result<_>>().unwrap()
}

/// Two handles on one file take turns, so that both live writes and replays meet colliding keys.
fn run(seed: u64, steps: usize) {
    let (sim, mut random) = (SimDisk::new(seed), Random(seed));
    let mut stores = [open(&sim), open(&sim)];
    let mut model = Model::new();
    for step in 0..steps {
        let at = format!("seed {seed}, step {step}, mask {:#x}", MASK.get());
        let nth = random.below(2) as usize;
        let (store, key) = (&stores[nth], random.key());
        match random.below(100) {
            0..35 => {
                let value = random.value();
                let is_new = model.insert(key.clone(), value.clone()).is_none();
                assert_eq!(store.insert(&key, &value).unwrap(), is_new, "{at}");
            }
            35..50 => {
                let was_there = model.remove(&key).is_some();
                assert_eq!(store.remove(&key).unwrap(), was_there, "{at}");
            }
            50..65 => {
                let there = model.contains_key(&key);
                assert_eq!(store.get(&key).unwrap().as_ref(), model.get(&key), "{at}");
                assert_eq!(store.contains_key(&key).unwrap(), there, "{at}");
            }
            65..75 => {
                let value = random.value();
                let old = store.update(&key, |old| {
                    let change = Change::Put(value.clone());
                    Ok((change, old.map(<[u8]>::to_vec)))
                });
                assert_eq!(old.unwrap(), model.insert(key, value), "{at}");
            }
            75..90 => {
                let mut batch = Batch::new();
                for _ in 0..random.below(12) {
                    let (key, value) = (random.key(), random.value());
                    if random.below(3) == 0 {
                        batch.remove(&key);
                        model.remove(&key);
                    } else {
                        batch.insert(&key, &value);
                        model.insert(key, value);
                    }
                }
                store.write(&batch).unwrap();
            }
            90..94 => {
                let some = |entry: &Result<super::Entry>| {
                    let entry = entry.as_ref().unwrap();
                    entry.key().len().is_multiple_of(2)
                };
                let seen: Result<Vec<_>> = store.entries().filter(some).collect();
                if random.below(2) == 0 {
                    stores[1 - nth].compact().unwrap();
                }
                let removed = store.remove_unchanged(&seen.unwrap()).unwrap();
                let before = model.len();
                model.retain(|key, _| !key.len().is_multiple_of(2));
                assert_eq!(removed, before - model.len(), "{at}");
            }
            94..97 => assert_eq!(entries(store), model, "{at}"),
            97 => _ = store.compact().unwrap(),
            98 => stores[nth] = open(&sim),
            _ => {
                let verified = store.verify().unwrap();
                assert_eq!(verified.live, model.len() as u64, "{at}");
            }
        }
    }
    assert_eq!(entries(&open(&sim)), model, "seed {seed}");
    open(&sim).salvage("/new.shelf").unwrap();
    let mut options = Options::new();
    let new = options.disk(sim.disk()).open("/new.shelf").unwrap();
    assert_eq!(entries(&new), model, "seed {seed}, salvaged");
}

#[test]
fn with_few_bits_of_a_fingerprint_the_store_still_is_a_map() {
    for (nth, mask) in [0, 1 << 31, 0x8000_0003, u32::MAX].into_iter().enumerate() {
        MASK.set(mask);
        for seed in 0..5 {
            run(100 * nth as u64 + seed, 1_000);
        }
    }
}

/// A replay compares keys where fingerprints collide, which takes reads that may fail.
#[test]
fn a_read_that_fails_while_a_handle_catches_up_takes_no_change_along() {
    MASK.set(7);
    let mut failed = 0;
    for nth in 1.. {
        let sim = SimDisk::new(1);
        let process = sim.process();
        let mut options = Options::new();
        options
            .durability(Durability::Os)
            .compaction(Compaction::Manual);
        let (writer, behind) = (
            options.disk(sim.disk()).open("/s.shelf").unwrap(),
            options.disk(process.disk()).open("/s.shelf").unwrap(),
        );
        let mut model = Model::new();
        let mut insert = |key: u8, with: u8| {
            let value = vec![with; 1_500];
            writer.insert([key], &value).unwrap();
            model.insert(vec![key], value);
        };
        // Enough bytes for a replay that collects its moves.
        (0..30).for_each(|key| insert(key, 1));
        (0..20).for_each(|key| insert(key, 2));
        (30..40).for_each(|key| insert(key, 1));
        let fault = Fault::new(FaultKind::Eio).on(Call::Read).by(process.id());
        sim.inject(fault.nth(nth));
        let first = behind.get([0]);
        sim.clear_faults();
        match &first {
            Ok(value) => assert_eq!(value.as_ref(), model.get(&vec![0])),
            Err(error) => assert!(error.io_kind().is_some(), "{error}"),
        }
        // A reader catches up, or a writer, which reads as well.
        match nth % 2 {
            0 => assert_eq!(behind.len().unwrap(), 40, "read {nth}"),
            _ => {
                // Of all records its own came last.
                let old = behind.update([39], |old| {
                    let old = old.map(<[u8]>::to_vec);
                    Ok((Change::Put(old.clone().unwrap_or_default()), old))
                });
                assert_eq!(old.unwrap().as_ref(), model.get(&vec![39]), "read {nth}");
            }
        }
        assert_eq!(entries(&behind), model, "read {nth}");
        assert_eq!(entries(&writer), model, "read {nth}");
        match first {
            Ok(_) => break,
            Err(_) => failed += 1,
        }
    }
    MASK.set(u32::MAX);
    assert!(failed > 50, "only {failed} reads");
}
