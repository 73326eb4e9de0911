//! Stores whose bytes are cut off, flipped, swapped or overwritten: nothing is lost silently, nothing is lost that was
//! not hit, and no value is ever wrong.

use crate::raw::{self, LOG};
use crate::support::{Random, metric};
use shelflife::sim::SimDisk;
use shelflife::{Compaction, Disk, Durability, ErrorKind, Options, Salvaged, Store, TornTail};
use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Instant;

mod flips;
mod foreign;
mod headers;
mod healing;
pub(crate) mod hostile;
mod rescue;
mod rules;
mod sectors;

const PATH: &str = "/s.shelf";
const NEW: &str = "/new.shelf";

type Model = BTreeMap<Vec<u8>, Vec<u8>>;

/// A file, and what it held after each of its records.
struct History {
    file: Vec<u8>,
    records: Vec<Range<usize>>,
    /// The key that each record is about; `None` for a seal.
    keys: Vec<Option<Vec<u8>>>,
    /// `states[n]` is what the first `n` records say.
    states: Vec<Model>,
}

impl History {
    /// A number of puts and deletes of few keys, each in a record of its own.
    fn new(seed: u64, ops: usize, value_bytes: usize, sealed: bool) -> History {
        let sim = SimDisk::new(seed);
        let store = open(&sim, |_| {}).unwrap();
        let mut random = Random::new(seed);
        let mut model = Model::new();
        let (mut keys, mut states) = (Vec::new(), vec![model.clone()]);
        for nth in 0..ops {
            let key = format!("k{:02}", random.place(ops * 3 / 8)).into_bytes();
            if model.contains_key(&key) && random.one_in(4) {
                store.remove(&key).unwrap();
                model.remove(&key);
            } else {
                let len = random.place(value_bytes);
                let value = [format!("{nth}:").into_bytes(), random.bytes(len)].concat();
                store.insert(&key, &value).unwrap();
                model.insert(key.clone(), value);
            }
            keys.push(Some(key));
            states.push(model.clone());
        }
        if sealed {
            store.close().unwrap();
            keys.push(None);
            states.push(model);
        }
        let file = sim.read(PATH).unwrap();
        let records = raw::records(&file);
        assert_eq!(records.len(), keys.len());
        History {
            file,
            records,
            keys,
            states,
        }
    }

    fn last(&self) -> &Model {
        self.states.last().unwrap()
    }

    /// How many records stand before the end that looks torn, if one does.
    fn counted(&self, torn: Option<&TornTail>) -> usize {
        let end = torn.map_or(self.file.len(), |torn| torn.offset as usize);
        self.records
            .iter()
            .filter(|record| record.start < end)
            .count()
    }
}

/// A machine with this file on it.
fn with_file(bytes: &[u8]) -> SimDisk {
    let sim = SimDisk::new(1);
    sim.write(PATH, bytes).unwrap();
    sim
}

fn open(sim: &SimDisk, set: impl FnOnce(&mut Options)) -> shelflife::Result<Store> {
    let mut options = Options::new();
    options.disk(sim.disk()).compaction(Compaction::Manual);
    set(&mut options);
    options.open(PATH)
}

fn open_damaged(sim: &SimDisk) -> Store {
    open(sim, |options| _ = options.damaged(true)).unwrap()
}

fn entries(store: &Store) -> Model {
    store.iter().collect::<shelflife::Result<_>>().unwrap()
}

/// Salvages to a new file; what is in that.
fn salvage(sim: &SimDisk, store: &Store) -> (Salvaged, Model) {
    let salvaged = store.salvage(NEW).unwrap();
    let mut options = Options::new();
    let new = options.disk(sim.disk()).read_only(true).open(NEW).unwrap();
    assert!(new.recovery().is_clean());
    let model = entries(&new);
    assert_eq!(salvaged.entries, model.len() as u64);
    sim.process_of(0, 0).remove(NEW.as_ref()).unwrap();
    (salvaged, model)
}

#[test]
fn every_prefix_of_a_log_opens_to_a_prefix_of_its_history() {
    let started = Instant::now();
    let mut opened = 0;
    for sealed in [true, false] {
        let history = History::new(7, 64, 40, sealed);
        for len in 0..=history.file.len() {
            let sim = with_file(&history.file[..len]);
            if (1..LOG).contains(&len) {
                let error = open(&sim, |_| {}).unwrap_err();
                assert!(
                    matches!(error.kind(), ErrorKind::NotAStore | ErrorKind::Corrupt),
                    "{len} bytes: {error}"
                );
                assert_eq!(sim.read(PATH).unwrap(), history.file[..len]);
                continue;
            }
            let whole = history.records.iter().filter(|record| record.end <= len);
            let whole = whole.count();
            let ends = match whole {
                0 => LOG,
                _ => history.records[whole - 1].end,
            };
            let torn = len > ends;
            let mut model = history.states[whole].clone();
            let store = open(&sim, |_| {}).unwrap();
            assert_eq!(entries(&store), model, "{len} bytes");
            let (recovery, verified) = (store.recovery(), store.verify().unwrap());
            assert!(recovery.damage.is_empty() && verified.damage.is_empty());
            assert_eq!(recovery.bad_header_copy, None);
            assert_eq!(recovery.torn_tails.len(), usize::from(torn));
            assert_eq!(verified.torn_tail.is_some(), torn);
            assert_eq!(verified.records, whole as u64);

            // A key that is written now is there at the next opening, and nothing of the torn record ever comes back.
            store.insert("new", "value").unwrap();
            model.insert(b"new".to_vec(), b"value".to_vec());
            drop(store);
            let again = open(&sim, |_| {}).unwrap();
            assert_eq!(entries(&again), model, "{len} bytes, reopened");
            assert!(again.recovery().torn_tails.is_empty());
            opened += 1;
        }
    }
    let secs = started.elapsed().as_secs_f64();
    metric("prefixes_opened", opened, Some(7), secs);
}
