//! The contract of session stores, put to each of the stores that come with the crate.

use super::*;
use shelflife::conformance::{Settings, Subject};
use shelflife::sim::{Fault, FaultKind};
use shelflife::{SessionHandle, Store};
use std::cell::RefCell;
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use tempfile::TempDir;

mod memory {
    shelflife::conformance_tests!(super::Memory::new(false));
}

mod memory_hashed {
    shelflife::conformance_tests!(super::Memory::new(true));
}

mod simulated {
    shelflife::conformance_tests!(super::Simulated::new(false));
}

mod simulated_hashed {
    shelflife::conformance_tests!(super::Simulated::new(true));
}

mod real {
    shelflife::conformance_tests!(super::Real::new(false));
}

mod real_hashed {
    shelflife::conformance_tests!(super::Real::new(true));
}

/// Sessions in memory.
struct Memory {
    hashed: bool,
    time: Arc<Mutex<SystemTime>>,
}

impl Memory {
    fn new(hashed: bool) -> Memory {
        let time = Arc::new(Mutex::new(start()));
        Memory { hashed, time }
    }
}

impl Subject for Memory {
    fn store(&self, settings: Settings) -> Arc<dyn SessionStore> {
        let time = Arc::clone(&self.time);
        let mut options = settings.options();
        options.hash_ids(self.hashed);
        Arc::new(options.in_memory_with_clock(move || *time.lock().unwrap()))
    }

    fn advance(&self, by: Duration) -> bool {
        *self.time.lock().unwrap() += by;
        true
    }

    fn hashes_ids(&self) -> bool {
        self.hashed
    }
}

/// The key of a session, as a list of all keys shows it.
fn key_in(store: &Store, id: &SessionId) -> Vec<u8> {
    let mut keys = store.iter().filter_map(|entry| Some(entry.ok()?.0));
    let key = keys.find(|key| SessionHandle::of_key(key) == Some(id.handle()));
    key.expect("it is there")
}

/// Where the value of a key stands: its record is the last one that has the key.
pub(crate) fn value_of(file: &[u8], key: &[u8]) -> u64 {
    let at = file.windows(key.len()).rposition(|window| window == key);
    (at.expect("it is there") + key.len()) as u64
}

/// Sessions in a file on the simulated disk.
struct Simulated {
    hashed: bool,
    sim: SimDisk,
    opened: RefCell<(usize, Settings)>,
}

impl Simulated {
    fn new(hashed: bool) -> Simulated {
        Simulated {
            hashed,
            sim: sim(),
            opened: RefCell::default(),
        }
    }

    fn path(&self) -> String {
        format!("/{}.shelf", self.opened.borrow().0)
    }

    fn raw(&self) -> Store {
        let mut options = Options::new();
        options.disk(self.sim.disk()).compaction(Compaction::Inline);
        options.open(self.path()).unwrap()
    }
}

impl Subject for Simulated {
    fn store(&self, settings: Settings) -> Arc<dyn SessionStore> {
        {
            let mut opened = self.opened.borrow_mut();
            *opened = (opened.0 + 1, settings);
        }
        self.another().unwrap()
    }

    fn another(&self) -> Option<Arc<dyn SessionStore>> {
        let mut options = self.opened.borrow().1.options();
        let store = options.hash_ids(self.hashed).with_store(self.raw());
        Some(Arc::new(store.unwrap()))
    }

    fn advance(&self, by: Duration) -> bool {
        self.sim.advance(by);
        true
    }

    fn damage(&self, id: &SessionId) -> bool {
        let key = key_in(&self.raw(), id);
        let file = self.sim.read(self.path()).unwrap();
        self.sim
            .flip_bit(self.path(), value_of(&file, &key), 3)
            .unwrap();
        true
    }

    fn replace(&self, id: &SessionId, bytes: &[u8]) -> bool {
        let raw = self.raw();
        raw.insert(key_in(&raw, id), bytes).unwrap();
        true
    }

    fn put_beside(&self, key: &str, value: &[u8]) -> bool {
        self.raw().insert(key, value).unwrap();
        true
    }

    fn at_rest(&self) -> Option<Vec<u8>> {
        self.sim.read(self.path()).ok()
    }

    fn fail(&self) -> bool {
        self.sim.inject(Fault::new(FaultKind::Eio).forever());
        true
    }

    fn hashes_ids(&self) -> bool {
        self.hashed
    }
}

/// Sessions in a file of the operating system's, whose clock goes its own way.
struct Real {
    hashed: bool,
    dir: TempDir,
    opened: RefCell<(usize, Settings)>,
}

impl Real {
    fn new(hashed: bool) -> Real {
        Real {
            hashed,
            dir: crate::support::fast_dir(),
            opened: RefCell::default(),
        }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join(self.opened.borrow().0.to_string())
    }

    fn raw(&self) -> Store {
        Store::open(self.path()).unwrap()
    }
}

impl Subject for Real {
    fn store(&self, settings: Settings) -> Arc<dyn SessionStore> {
        {
            let mut opened = self.opened.borrow_mut();
            *opened = (opened.0 + 1, settings);
        }
        self.another().unwrap()
    }

    fn another(&self) -> Option<Arc<dyn SessionStore>> {
        let mut options = self.opened.borrow().1.options();
        let store = options.hash_ids(self.hashed).with_store(self.raw());
        Some(Arc::new(store.unwrap()))
    }

    fn damage(&self, id: &SessionId) -> bool {
        let key = key_in(&self.raw(), id);
        let at = value_of(&fs::read(self.path()).unwrap(), &key);
        let file = fs::File::options()
            .read(true)
            .write(true)
            .open(self.path())
            .unwrap();
        let mut byte = [0];
        file.read_exact_at(&mut byte, at).unwrap();
        file.write_all_at(&[byte[0] ^ 8], at).unwrap();
        true
    }

    fn replace(&self, id: &SessionId, bytes: &[u8]) -> bool {
        let raw = self.raw();
        raw.insert(key_in(&raw, id), bytes).unwrap();
        true
    }

    fn put_beside(&self, key: &str, value: &[u8]) -> bool {
        self.raw().insert(key, value).unwrap();
        true
    }

    fn at_rest(&self) -> Option<Vec<u8>> {
        fs::read(self.path()).ok()
    }

    fn hashes_ids(&self) -> bool {
        self.hashed
    }
}

#[test]
fn every_claim_of_the_contract_is_put_to_the_stores() {
    let listed: BTreeSet<&str> = ["values", "deletion", "renewal", "life", "users", "safety"]
        .into_iter()
        .zip([
            include_str!("../../../src/session/conformance/values.rs"),
            include_str!("../../../src/session/conformance/deletion.rs"),
            include_str!("../../../src/session/conformance/renewal.rs"),
            include_str!("../../../src/session/conformance/life.rs"),
            include_str!("../../../src/session/conformance/users.rs"),
            include_str!("../../../src/session/conformance/safety.rs"),
        ])
        .flat_map(|(_, source)| source.lines())
        .filter_map(|line| line.strip_prefix("pub fn ")?.split('(').next())
        .collect();
    let tests = include_str!("../../../src/session/conformance.rs");
    let missing: Vec<_> = listed
        .iter()
        .filter(|claim| !tests.lines().any(|line| line.trim() == **claim))
        .collect();
    assert!(missing.is_empty() && listed.len() > 100, "{missing:?}");
}
