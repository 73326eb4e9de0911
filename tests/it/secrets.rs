//! A store holds secrets: nothing shows them, deleted ones are gone, nobody redirects where they are written.

use crate::support::{fast_dir, metric, unsynced};
use shelflife::sim::{Call, Fault, FaultKind, Plant, SimDisk};
use shelflife::{
    Batch, Change, Entry, Session, SessionOptions, SessionStore, SessionStoreExt,
    ShelveSessionStore, Store,
};
use std::collections::BTreeSet;
use std::fmt::{Debug, Display};
use std::fs::{self, OpenOptions, Permissions};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Instant, SystemTime};

/// In every key, value, user and id that a test must not find again.
const CANARY: &str = "canary";

/// All that was shown.
#[derive(Default)]
struct Shown(Vec<String>);

impl Shown {
    fn debug(&mut self, what: &dyn Debug) {
        self.0.push(format!("{what:?}"));
        self.0.push(format!("{what:#?}"));
    }

    /// Both a value and an error are shown.
    fn result<T: Debug, E: Debug + Display>(&mut self, what: &Result<T, E>) {
        self.debug(what);
        if let Err(error) = what {
            self.0.push(error.to_string());
        }
    }

    fn everything_of(&mut self, store: &Store, keys: &[Vec<u8>]) {
        self.debug(store);
        self.debug(&store.iter());
        self.debug(&store.entries());
        for entry in store.entries() {
            self.result::<Entry, _>(&entry);
        }
        for key in keys {
            self.result(&store.get(key).map(drop));
            self.result(&store.contains_key(key));
            self.result(&store.entry(key));
            let mut changes = Vec::new();
            let updated = store.update(key, |old| {
                let old = old.unwrap_or_default().to_vec();
                let until = SystemTime::now();
                changes = vec![Change::Put(old.clone()), Change::PutUntil(old, until)];
                Ok((Change::Keep, ()))
            });
            self.result(&updated);
            self.debug(&changes);
            let mut batch = Batch::new();
            batch.insert(key, key).remove(key);
            self.debug(&batch);
            self.result(&store.insert(key.repeat(10_000), key));
        }
        self.result(&store.len());
        self.result(&store.stats());
        self.debug(&store.recovery());
        let verified = store.verify();
        self.result(&verified);
        for affected in verified.iter().flat_map(|verified| &verified.damage) {
            self.debug(affected);
        }
    }

    fn nothing_of(&self, secrets: &[String]) {
        for text in &self.0 {
            for secret in secrets {
                assert!(!text.contains(secret), "{secret} in {text}");
                // Bytes, as Debug shows a vector of them.
                let bytes = format!("{:?}", secret.as_bytes());
                let bytes = bytes.trim_matches(['[', ']']);
                assert!(!text.contains(bytes), "{secret} in {text}");
            }
        }
    }
}

/// A store with sessions and other entries; what must not be shown of it.
fn fill(path: &Path) -> (Vec<Vec<u8>>, Vec<String>) {
    let sessions = SessionOptions::new()
        .with_store(unsynced().open(path).unwrap())
        .unwrap();
    let mut ids = Vec::new();
    for nth in 0..3 {
        let mut session = Session::new();
        session.set_user(Some(&format!("{CANARY} user {nth}")));
        session.insert(CANARY, &format!("{CANARY} {nth}")).unwrap();
        session.insert("cart", &format!("{CANARY} {nth}")).unwrap();
        let _ = sessions.save_session(&mut session).unwrap();
        ids.push(session.id().unwrap().as_str().to_string());
    }
    let store = sessions.store();
    for nth in 0..4 {
        let (key, value) = (
            format!("{CANARY} key {nth}"),
            format!("{CANARY} value {nth}"),
        );
        store.insert(key, value.repeat(9)).unwrap();
    }
    let keys: Vec<Vec<u8>> = store.iter().map(|pair| pair.unwrap().0).collect();
    store.sync().unwrap();
    let secrets = ids.into_iter().chain([CANARY.to_string()]).collect();
    (keys, secrets)
}

fn position(bytes: &[u8], of: &str) -> usize {
    let mut windows = bytes.windows(of.len());
    windows.position(|window| window == of.as_bytes()).unwrap()
}

/// Sound, and damaged in every way that is told apart.
fn damaged(path: &Path) -> [(&'static str, Vec<u8>); 6] {
    let sound = fs::read(path).unwrap();
    let changed = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = sound.clone();
        change(&mut bytes);
        bytes
    };
    let value = position(&sound, "canary value 1");
    let key = position(&sound, "canary key 2");
    [
        ("sound", sound.clone()),
        ("value", changed(&|bytes| bytes[value] ^= 1)),
        ("key", changed(&|bytes| bytes[key] ^= 1)),
        ("head", changed(&|bytes| bytes[key - 20] ^= 1)),
        (
            "torn",
            changed(&|bytes| bytes.extend(bytes[key - 48..key + 40].to_vec())),
        ),
        ("header", changed(&|bytes| bytes[20] ^= 1)),
    ]
}

#[test]
fn neither_debug_nor_errors_nor_reports_show_what_is_in_a_store() {
    let dir = fast_dir();
    let path = dir.path().join("s.shelf");
    let (keys, secrets) = fill(&path);
    for (damage, bytes) in damaged(&path) {
        let mut shown = Shown::default();
        for (read_only, damaged) in [(true, false), (true, true), (false, false)] {
            fs::write(&path, &bytes).unwrap();
            let mut options = unsynced();
            options.read_only(read_only).damaged(damaged);
            shown.debug(&options);
            let store = options.open(&path);
            shown.result(&store);
            let Ok(store) = store else { continue };
            shown.everything_of(&store, &keys);
            let salvaged = store.salvage(dir.path().join("salvaged"));
            let _ = fs::remove_file(dir.path().join("salvaged"));
            shown.result(&salvaged);
            for lost in salvaged.iter().flat_map(|salvaged| &salvaged.lost) {
                shown.debug(lost);
            }
            shown.result(&store.compact());
            let sessions = SessionOptions::new().with_store(store).unwrap();
            shown.debug(&sessions);
            sessions_of(&mut shown, &sessions);
        }
        assert!(shown.0.len() > 10, "{damage}");
        shown.nothing_of(&secrets);
    }
}

fn sessions_of(shown: &mut Shown, store: &ShelveSessionStore) {
    for session in store.iter_sessions() {
        shown.result(&session);
        if let Some(id) = session.as_ref().ok().and_then(|session| session.id()) {
            shown.debug(id);
            shown.result(&store.load_session(id));
            // An error repeats the key that was asked for, and shows nothing of what is there.
            shown.result(&store.update_session(id, |session| session.get::<u64>("cart")));
        }
    }
}

#[test]
fn no_complaint_of_the_program_shows_what_is_in_a_store() {
    let dir = fast_dir();
    let path = dir.path().join("s.shelf");
    let (_, secrets) = fill(&path);
    for (_, bytes) in damaged(&path) {
        for words in [
            &["verify"][..],
            &["info"],
            &["ls"],
            &["dump"],
            &["get", "canary key 1"],
            &["get", "canary key 2"],
            &["rm", "canary no such key"],
            &["session", "ls"],
            &["session", "show", "canary"],
            &["session", "expire", "--idle", "0m"],
            &["compact"],
            &["set", "canary key 1", "canary", "canary"],
        ] {
            fs::write(&path, &bytes).unwrap();
            let mut command = Command::new(env!("CARGO_BIN_EXE_shelflife"));
            let own = words.iter().take_while(|word| !word.contains(CANARY));
            let own: Vec<_> = own.filter(|word| !word.starts_with('-')).collect();
            let file = if own[0] == &"session" { 2 } else { 1 };
            command.args(&words[..file]).arg(&path).args(&words[file..]);
            let output = command.output().unwrap();
            let is_meant = words.join(" ").contains(CANARY) || output.status.code() != Some(2);
            assert!(is_meant, "no such command: {words:?}");
            // An error may repeat the caller's words; it may not repeat the file's content.
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            let of_file = secrets.iter().filter(|secret| *secret != CANARY);
            for secret in of_file
                .map(String::as_str)
                .chain(["canary value", "canary user"])
            {
                assert!(!said.contains(secret), "{words:?}: {said}");
            }
        }
    }
}

/// Every file in a folder.
fn files(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let entries = fs::read_dir(dir).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    paths
        .map(|path| (path.clone(), fs::read(path).unwrap()))
        .collect()
}

#[test]
fn what_was_deleted_is_nowhere_after_compaction() {
    const COUNT: usize = 1_000;
    let start = Instant::now();
    let dir = fast_dir();
    let path = dir.path().join("s.shelf");
    let secret = |nth: usize| format!("{CANARY}-{nth:05}");
    let found = || {
        let mut found = BTreeSet::new();
        for (_, bytes) in files(dir.path()) {
            let all: BTreeSet<&[u8]> = bytes.windows(secret(0).len()).collect();
            found.extend((0..2 * COUNT).filter(|&nth| all.contains(secret(nth).as_bytes())));
        }
        found.len()
    };
    let store = unsynced().open(&path).unwrap();
    for nth in 0..COUNT {
        store.insert(secret(nth), secret(COUNT + nth)).unwrap();
    }
    store.insert("kept", "1").unwrap();
    // A whole file and a cut tail are kept as evidence, both with secrets in them.
    let bytes = fs::read(&path).unwrap();
    drop(store);
    let evidence = |name: &str| name.contains(".damaged-");
    for part in [
        bytes[bytes.len() - 900..].to_vec(),
        [&[0xa5; 200][..], &bytes].concat(),
    ] {
        let mut torn = fs::read(&path).unwrap();
        torn.extend(part);
        fs::write(&path, torn).unwrap();
        unsynced().open(&path).unwrap().insert("kept", "2").unwrap();
    }
    let kept = files(dir.path());
    let kept = kept
        .iter()
        .filter(|(path, _)| evidence(path.to_str().unwrap()));
    assert_eq!(kept.count(), 2, "there is evidence to be rid of");

    let store = unsynced().open(&path).unwrap();
    for nth in 0..COUNT {
        assert!(store.remove(secret(nth)).unwrap());
    }
    assert_eq!(found(), 2 * COUNT, "removing alone does not overwrite");
    store.compact().unwrap();
    assert_eq!(found(), 0);
    assert_eq!(files(dir.path()).len(), 1);
    assert_eq!(store.get("kept").unwrap().as_deref(), Some(&b"2"[..]));
    let secs = start.elapsed().as_secs_f64();
    metric(
        "deleted_secrets_found_after_compaction",
        found(),
        None,
        secs,
    );
}

#[test]
fn a_compaction_removes_no_file_that_is_only_named_almost_as_evidence_is() {
    let sim = SimDisk::new(1);
    let store = unsynced().disk(sim.disk()).open("/s.shelf").unwrap();
    store.insert("k", "v").unwrap();
    let named = |behind: &str| format!("/s.shelf.damaged-{behind}");
    let theirs = [
        "notes",
        "0123456789abcde",
        "0123456789abcdef0",
        "0123456789abcdeg",
    ];
    for behind in theirs.iter().chain(&["0123456789abcdef"]) {
        sim.write(named(behind), "theirs").unwrap();
    }
    store.compact().unwrap();
    for behind in theirs {
        assert!(sim.read(named(behind)).is_ok(), "{behind}");
    }
    assert!(sim.read(named("0123456789abcdef")).is_err());
}

#[test]
fn what_was_deleted_and_compacted_away_is_not_back_after_a_power_cut() {
    for has_evidence in [false, true] {
        let sim = SimDisk::new(1);
        let open = || unsynced().disk(sim.disk()).open("/s.shelf").unwrap();
        open().insert(CANARY, "1").unwrap();
        if has_evidence {
            let torn = [sim.read("/s.shelf").unwrap(), CANARY.repeat(20).into()].concat();
            sim.write("/s.shelf", torn).unwrap();
        }
        let store = open();
        assert!(store.remove(CANARY).unwrap());
        let holding = |sim: &SimDisk| {
            let mut names = sim.disk().list(Path::new("/")).unwrap();
            names.retain(|name| {
                let bytes = sim.read(Path::new("/").join(name)).unwrap();
                let mut windows = bytes.windows(CANARY.len());
                windows.any(|window| window == CANARY.as_bytes())
            });
            names
        };
        assert_eq!(holding(&sim).len(), 1 + usize::from(has_evidence));
        sim.forget();
        // Of the new name, which has to be synced once more.
        sim.inject(Fault::new(FaultKind::Eio).on(Call::SyncDir));
        store.compact().unwrap();
        assert_eq!(sim.faults(), 1);
        let mut images = 0;
        for cut in sim.power_cuts().from_step(sim.steps()) {
            let held = holding(cut.sim());
            assert!(held.is_empty(), "{}: {held:?}", cut.id());
            images += 1;
        }
        assert!(images > 0);
    }
}

/// The randomness of a simulated machine repeats itself, so the test knows the name that an attacker would have to
/// guess: 64 random bits.
#[test]
fn what_somebody_planted_at_the_very_name_of_the_new_file_is_neither_followed_nor_removed() {
    let scene = || {
        let sim = SimDisk::new(3);
        let mut options = unsynced();
        let store = options.disk(sim.disk()).open("s.shelf").unwrap();
        store.insert("k", "v").unwrap();
        sim.write("victim", "precious").unwrap();
        sim.seed_random(9);
        (sim, store)
    };
    let names = |sim: &SimDisk| {
        let names = sim.disk().list(Path::new(".")).unwrap();
        let temp = |name: &&std::ffi::OsString| name.to_str().unwrap().contains(".tmp-");
        names.iter().filter(temp).cloned().collect::<Vec<_>>()
    };
    let (sim, store) = scene();
    sim.inject(Fault::new(FaultKind::Eio).on(Call::Rename));
    sim.inject(Fault::new(FaultKind::Eio).on(Call::Remove));
    store.compact().unwrap_err();
    let [name] = &names(&sim)[..] else {
        panic!("the file that was to be new is left behind")
    };

    let plants = [
        Plant::Directory,
        Plant::Fifo,
        Plant::Symlink("victim".into()),
        Plant::Symlink("nowhere".into()),
    ];
    for plant in plants {
        let (sim, store) = scene();
        sim.plant(name, plant.clone()).unwrap();
        let error = store.compact().unwrap_err();
        assert_eq!(
            error.kind(),
            shelflife::ErrorKind::AlreadyExists,
            "{plant:?}: {error}"
        );
        assert_eq!(names(&sim), [name.as_os_str()], "{plant:?}");
        assert_eq!(sim.read("victim").unwrap(), b"precious");
        assert!(sim.read("nowhere").is_err());
        // Another name is drawn the next time.
        store.compact().unwrap();
        assert_eq!(names(&sim), [name.as_os_str()], "{plant:?}");
        assert_eq!(store.get("k").unwrap().as_deref(), Some(&b"v"[..]));
    }
}

#[test]
fn the_docs_say_that_checks_find_accidents_and_not_forgery() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for page in ["README.md", "src/lib.rs", "src/store/FORMAT.md"] {
        let text = fs::read_to_string(root.join(page)).unwrap();
        let plain = text
            .replace("//!", "")
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ");
        assert!(plain.contains("not forgery"), "{page}");
    }
}

#[test]
fn rights_that_were_taken_back_are_given_to_no_file_that_is_made_later() {
    let dir = fast_dir();
    let at = |name: &str| dir.path().join(name);
    let mode_of = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let store = unsynced().mode(0o644).open(at("s.shelf")).unwrap();
    store.insert("a", "1").unwrap();
    fs::create_dir(at("copies")).unwrap();
    // Behind the back of the handle.
    fs::set_permissions(at("s.shelf"), Permissions::from_mode(0o600)).unwrap();
    store.backup(at("backup")).unwrap();
    let offset = store.events().unwrap().next().unwrap().unwrap().offset();
    store.restore(offset, at("then")).unwrap();
    store.salvage(at("saved")).unwrap();
    store.mirror(at("copies")).unwrap();
    let bytes = || OpenOptions::new().write(true).open(at("s.shelf")).unwrap();
    let end = || fs::metadata(at("s.shelf")).unwrap().len();
    // A torn end is cut off and kept; one with a record behind it stays, and the store goes on in another file.
    bytes().write_all_at(&[7; 96], end()).unwrap();
    store.insert("b", "2").unwrap();
    let other = unsynced().open(at("s.shelf")).unwrap();
    let torn = end();
    other.insert("c", "3").unwrap();
    other.insert("d", "4").unwrap();
    bytes().write_all_at(&[7; 8], torn).unwrap();
    store.insert("e", "5").unwrap();
    assert_eq!(store.recovery().torn_tails.len(), 2);
    assert_eq!(store.stats().unwrap().generation, 2);
    let mut seen = 0;
    let copies = fs::read_dir(at("copies")).unwrap();
    for entry in fs::read_dir(dir.path()).unwrap().chain(copies) {
        let path = entry.unwrap().path();
        if path.is_file() {
            assert_eq!(mode_of(&path), 0o600, "{}", path.display());
            seen += 1;
        }
    }
    // The store, what was kept twice, and four copies.
    assert_eq!(seen, 7);
}
