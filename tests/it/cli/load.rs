//! A dump of any size loads: all of it or nothing, beside other writers, in little memory.

use super::*;
use crate::support::{fast_dir, is_soak, metric, skip};
use shelflife::{Durability, EventKind};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Instant;

/// Lines of so many entries, each with a value of 1,000 bytes.
fn lines(entries: u32, mark: &str) -> Vec<u8> {
    let value = "x".repeat(1000 - mark.len());
    let line = |nth| format!("{{\"k\":\"key {nth}\",\"v\":\"{mark}{value}\"}}\n");
    (0..entries).map(line).collect::<String>().into_bytes()
}

fn os(path: &Path) -> Store {
    let mut options = Options::new();
    options.durability(Durability::Os);
    options.open(path).unwrap()
}

/// Files of a folder but those of a store that somebody has open.
fn names(dir: &Path) -> Vec<String> {
    let names = fs::read_dir(dir).unwrap();
    let mut names: Vec<String> = names
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// The length of the new file that a load writes beside `s.shelf`; 0 while there is none.
fn copied_bytes(dir: &Path) -> u64 {
    let names = names(dir);
    let copy = names.iter().find(|name| name.starts_with("s.shelf.tmp-"));
    let size = copy.and_then(|name| fs::metadata(dir.join(name)).ok());
    size.map_or(0, |is| is.len())
}

#[test]
fn more_than_a_batch_is_loaded_whole_while_others_write() {
    let start = Instant::now();
    let entries = if is_soak() { 200_000 } else { 30_000 };
    let dir = fast_dir();
    let path = dir.path().join("s.shelf");
    let (input, all) = (dir.path().join("in.jsonl"), lines(entries, "new "));
    fs::write(&input, &all).unwrap();
    let store = os(&path);
    store.insert("key 7", "old").unwrap();
    store.insert("mine", "1").unwrap();
    let over = AtomicBool::new(false);
    let ran = std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let store = os(&path);
            let mut nth = 0_u32;
            while !over.load(Relaxed) {
                nth += 1;
                // Of its own, and of what is loaded: as if it had been written before that.
                store
                    .insert(format!("own {}", nth % 100), nth.to_le_bytes())
                    .unwrap();
                store
                    .insert(format!("key {}", nth % 100), "meanwhile")
                    .unwrap();
                let len = store.len().unwrap() as u32;
                assert!(!(300..entries).contains(&len), "half of it shows: {len}");
                std::thread::sleep(Duration::from_micros(200));
            }
            nth
        });
        let mut load = Command::new(BIN);
        let ran = load
            .args(["load", "s.shelf", "in.jsonl"])
            .current_dir(dir.path())
            .output()
            .unwrap();
        // A loaded entry replaces one that was written until then, and a later write replaces the loaded one.
        over.store(true, Relaxed);
        assert!(writer.join().unwrap() > 3);
        ran
    });
    assert!(
        ran.status.success(),
        "{}",
        String::from_utf8_lossy(&ran.stderr)
    );
    let loaded = (100..entries).all(|nth| {
        store
            .get(format!("key {nth}"))
            .unwrap()
            .is_some_and(|value| value.len() > 1000)
    });
    assert!(loaded && store.contains_key("mine").unwrap());
    assert!(store.contains_key("own 1").unwrap());
    assert_eq!(names(dir.path()), ["in.jsonl", "s.shelf"]);
    let secs = start.elapsed().as_secs_f64();
    metric("load_mib", all.len() >> 20, None, secs);
}

#[test]
fn what_is_wrong_at_the_end_of_much_leaves_everything_as_it_was() {
    let dir = fast_dir();
    let mut all = lines(20_000, "");
    all.extend_from_slice(b"{\"k\":1}\n");
    fs::write(dir.path().join("in.jsonl"), &all).unwrap();
    os(&dir.path().join("s.shelf")).insert("old", "1").unwrap();
    let before = now_and_bytes(&dir.path().join("s.shelf"));
    for file in ["s.shelf", "new.shelf"] {
        let ran = Command::new(BIN)
            .args(["load", file, "in.jsonl"])
            .current_dir(dir.path())
            .output()
            .unwrap();
        let said = String::from_utf8(ran.stderr).unwrap();
        assert_eq!(ran.status.code(), Some(2), "{said}");
        assert!(
            said.contains("line 20001: ") && said.ends_with("; nothing was loaded\n"),
            "{said}"
        );
    }
    assert!(now_and_bytes(&dir.path().join("s.shelf")) == before);
    assert_eq!(names(dir.path()), ["in.jsonl", "s.shelf"]);
}

#[test]
fn what_is_over_a_limit_is_named_by_its_line() {
    let shell = Shell::new();
    let key = "k".repeat(65_536);
    let line = format!("{{\"k\":\"a\",\"v\":1}}\n{{\"k\":\"{key}\",\"v\":1}}\n");
    let said = shell.pipe(line.as_bytes(), "load n.shelf").failed(2);
    assert_eq!(
        said,
        "shelflife: standard input, line 2: a key of 65536 bytes, over the limit of 65535; nothing was loaded\n"
    );
    assert!(!shell.path("n.shelf").exists());
}

#[test]
fn a_load_that_is_killed_happened_or_did_not() {
    let dir = fast_dir();
    let path = dir.path().join("s.shelf");
    let entries = 20_000;
    let input = lines(entries, "");
    fs::write(dir.path().join("in.jsonl"), &input).unwrap();
    let (mut none, mut all, mut half_way) = (0, 0, 0);
    for round in 0..8_u64 {
        let _ = fs::remove_file(&path);
        let store = os(&path);
        store.insert("old", "1").unwrap();
        let mut child = Command::new(BIN)
            .args(["load", "s.shelf", "in.jsonl"])
            .current_dir(dir.path())
            .spawn()
            .unwrap();
        if round < 6 {
            // From the first moment on to where most of the new file is written.
            let enough = input.len() as u64 / 6 * round;
            while copied_bytes(dir.path()) < enough && child.try_wait().unwrap().is_none() {}
            half_way += u32::from(copied_bytes(dir.path()) > 0);
            child.kill().unwrap();
        }
        child.wait().unwrap();
        store.reopen().unwrap();
        match store.len().unwrap() {
            1 => none += 1,
            len => {
                assert_eq!(len, entries as usize + 1, "round {round}");
                all += 1;
            }
        }
        // The next compaction takes away what the kill left.
        store.compact().unwrap();
        assert_eq!(names(dir.path()), ["in.jsonl", "s.shelf"], "round {round}");
    }
    assert!(none >= 1 && all >= 2, "{none} {all}");
    assert!(half_way >= 1, "it was never killed half-way");
}

/// Runs a command and prints how much memory it had at most, in KiB.
const MEASURE: &str = "import resource, subprocess, sys\n\
    code = subprocess.run(sys.argv[1:]).returncode\n\
    print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)\n\
    sys.exit(code)\n";

#[test]
fn loading_takes_no_more_than_twice_the_longest_line_and_64_mib() {
    let name = "loading_takes_no_more_than_twice_the_longest_line_and_64_mib";
    let dir = fast_dir();
    let many = lines(60_000, "");
    let mut long = b"{\"k\":\"long\",\"v\":\"".to_vec();
    long.resize(100 << 20, b'x');
    long.extend_from_slice(b"\"}\n");
    for (what, input) in [("many", many), ("long", long)] {
        let longest = match what {
            "many" => 1100,
            _ => input.len(),
        };
        fs::write(dir.path().join("in.jsonl"), &input).unwrap();
        let measured = Command::new("python3")
            .args([
                "-c",
                MEASURE,
                BIN,
                "load",
                &format!("{what}.shelf"),
                "in.jsonl",
            ])
            .current_dir(dir.path())
            .output();
        let Ok(measured) = measured else {
            skip(name, "no python3");
            return;
        };
        let said = String::from_utf8(measured.stdout).unwrap();
        assert!(measured.status.success(), "{what}: {said}");
        let peak = said.trim().parse::<usize>().unwrap() << 10;
        metric(&format!("load_{what}_peak_mib"), peak >> 20, None, 0.0);
        assert!(peak < 2 * longest + (64 << 20), "{what}: {peak} bytes");
        let keys = os(&dir.path().join(format!("{what}.shelf"))).len().unwrap();
        assert_eq!(keys, if what == "many" { 60_000 } else { 1 });
    }
}

/// A dump has the lists of users as they were: those that came since stand in none of them.
#[test]
fn sessions_that_a_dump_does_not_know_are_found_after_it_was_loaded() {
    for more in [Vec::new(), lines(20_000, "")] {
        let shell = Shell::new();
        let login = || {
            let store = ShelveSessionStore::open(shell.path("s.shelf")).unwrap();
            let mut session = Session::new();
            session.set_user(Some("ann"));
            let _ = store.save_session(&mut session).unwrap();
        };
        login();
        let dump = shell.run("dump s.shelf").ok();
        login();
        let input = [dump.as_bytes(), &more].concat();
        for (file, sessions, is_vouched_for) in [("s.shelf", 2, false), ("new.shelf", 1, true)] {
            let ran = shell.pipe(&input, &format!("load {file}"));
            assert_eq!(ran.code, 0, "{}", ran.err);
            let store = Store::open(shell.path(file)).unwrap();
            assert_eq!(store.contains_key(b"\xFFk").unwrap(), is_vouched_for);
            if more.is_empty() && !is_vouched_for {
                // Killed between the two, it leaves no note that vouches for lists which lack a session.
                let what = store.events().unwrap().map(|event| {
                    let event = event.unwrap();
                    (event.what(), event.key().unwrap_or_default().to_vec())
                });
                let what: Vec<_> = what.collect();
                let last = |is_meant: &dyn Fn(&EventKind, &[u8]) -> bool| {
                    what.iter()
                        .rposition(|(kind, key)| is_meant(kind, key))
                        .unwrap()
                };
                let doubted = last(&|kind, key| *kind == EventKind::Removed && key == b"\xFFk");
                let loaded =
                    last(&|kind, key| *kind == EventKind::Put && key.starts_with(b"\xFFs"));
                assert!(doubted < loaded, "{doubted} {loaded}");
            }
            let store = ShelveSessionStore::from(store);
            assert_eq!(store.sessions_of("ann").unwrap().len(), sessions);
            assert_eq!(store.delete_user_sessions("ann").unwrap(), sessions);
        }
    }
}

/// The same where the list was damaged when it was dumped, and where it was left out and everybody had left the store.
#[test]
fn sessions_are_found_where_their_list_is_not_loaded() {
    let shell = Shell::new();
    let store = ShelveSessionStore::open(shell.path("s.shelf")).unwrap();
    let mut session = Session::new();
    session.set_user(Some("ann"));
    let _ = store.save_session(&mut session).unwrap();
    store.close().unwrap();
    fs::copy(shell.path("s.shelf"), shell.path("left.shelf")).unwrap();
    let left = ShelveSessionStore::open(shell.path("left.shelf")).unwrap();
    assert_eq!(left.delete_user_sessions("ann").unwrap(), 1);
    left.close().unwrap();
    let of_sessions = OsString::from_vec(b"\xFFs".to_vec());
    let words = ["dump".into(), "s.shelf".into(), of_sessions];
    let sessions = shell.words(b"", words).ok();
    let mut bytes = fs::read(shell.path("s.shelf")).unwrap();
    let list = bytes.windows(2).rposition(|at| at == b"\xFFu").unwrap();
    // Behind its key.
    bytes[list + 22] ^= 1;
    fs::write(shell.path("s.shelf"), bytes).unwrap();
    let damaged = shell.run("dump s.shelf");
    assert_eq!(damaged.code, 3, "{damaged:?}");
    for (file, lines) in [("new.shelf", &damaged.out), ("left.shelf", &sessions)] {
        shell.pipe(lines.as_bytes(), &format!("load {file}")).ok();
        let store = ShelveSessionStore::open(shell.path(file)).unwrap();
        assert_eq!(store.sessions_of("ann").unwrap().len(), 1, "{file}");
        assert_eq!(store.delete_user_sessions("ann").unwrap(), 1, "{file}");
    }
}

/// The list that is loaded replaces that of the login.
#[test]
fn a_login_while_sessions_are_loaded_is_found_with_them() {
    let shell = Shell { dir: fast_dir() };
    let login = |store: &ShelveSessionStore| {
        let mut session = Session::new();
        session.set_user(Some("ann"));
        let _ = store.save_session(&mut session).unwrap();
    };
    login(&ShelveSessionStore::open(shell.path("old.shelf")).unwrap());
    let dump = shell.run("dump old.shelf").ok();
    let input = [dump.as_bytes(), &lines(20_000, "")].concat();
    fs::write(shell.path("in.jsonl"), input).unwrap();
    let app = ShelveSessionStore::from(os(&shell.path("s.shelf")));
    let mut load = Command::new(BIN);
    let load = load.args(["load", "s.shelf", "in.jsonl"]);
    let mut load = load.current_dir(shell.dir.path()).spawn().unwrap();
    while copied_bytes(shell.dir.path()) == 0 && load.try_wait().unwrap().is_none() {}
    login(&app);
    assert!(load.wait().unwrap().success());
    assert_eq!(app.sessions_of("ann").unwrap().len(), 2);
}

/// Nobody would find them.
#[test]
fn sessions_are_not_loaded_beside_those_whose_ids_are_kept_the_other_way() {
    let shell = Shell::new();
    for (file, is_hashed) in [("plain.shelf", false), ("hashed.shelf", true)] {
        let mut options = SessionOptions::new();
        let store = options.hash_ids(is_hashed).open(shell.path(file)).unwrap();
        let mut session = Session::new();
        session.set_user(Some("ann"));
        let _ = store.save_session(&mut session).unwrap();
    }
    let dumps = ["plain.shelf", "hashed.shelf"].map(|file| shell.run(&format!("dump {file}")).ok());
    let more = String::from_utf8(lines(20_000, "")).unwrap();
    for input in [dumps.concat(), format!("{more}{}", dumps.concat())] {
        let said = shell.pipe(input.as_bytes(), "load new.shelf").failed(2);
        assert!(said.contains("nothing was loaded"), "{said}");
        assert!(!shell.path("new.shelf").exists());
    }
    // Where everybody has left, the next visitor's id is kept as theirs were.
    for left in [1, 0] {
        for (dump, file) in dumps.iter().zip(["hashed.shelf", "plain.shelf"]) {
            if left == 0 {
                let rm = format!("session rm {file} --user ann --yes");
                shell.run(&rm).ok();
            }
            let before = now_and_bytes(&shell.path(file));
            for input in [dump.clone(), format!("{dump}{more}")] {
                let said = shell
                    .pipe(input.as_bytes(), &format!("load {file}"))
                    .failed(2);
                assert!(said.contains("nothing was loaded"), "{said}");
                let kept = match file {
                    "hashed.shelf" => "the store keeps hashes of session ids",
                    _ => "the store keeps session ids",
                };
                assert!(said.contains(kept), "{file}: {said}");
            }
            assert!(now_and_bytes(&shell.path(file)) == before);
            let listed = shell.run(&format!("session ls {file}")).ok();
            assert_eq!(listed.lines().count(), left);
        }
    }
}

/// Versions would else be counted anew from what was dumped, and come to one that a request has loaded before.
#[test]
fn a_request_at_work_while_sessions_are_loaded_takes_no_later_change_for_what_it_knows() {
    for more in [Vec::new(), lines(20_000, "")] {
        let shell = Shell { dir: fast_dir() };
        let app = ShelveSessionStore::from(os(&shell.path("s.shelf")));
        let mut session = Session::new();
        session.set_user(Some("ann"));
        let _ = app.save_session(&mut session).unwrap();
        let dump = shell.run("dump s.shelf").ok();
        let id = session.id().unwrap().clone();
        let change = |session: &mut Session, what: &str| {
            session.insert(what, &true).unwrap();
            app.save_session(session).unwrap()
        };
        assert!(matches!(change(&mut session, "once"), Saved::Stored));
        let mut slow = app.load_session(&id).unwrap().unwrap();
        let input = [dump.as_bytes(), &more].concat();
        // Twice: what was loaded before, and changed since, is loaded over as well.
        for what in ["first", "second"] {
            let ran = shell.pipe(&input, "load s.shelf");
            assert_eq!(ran.code, 0, "{}", ran.err);
            let mut quick = app.load_session(&id).unwrap().unwrap();
            assert_eq!(quick.keys().count(), 0);
            assert!(matches!(change(&mut quick, what), Saved::Stored));
            assert!(matches!(change(&mut slow, "slow"), Saved::Conflict(_)));
            slow = quick;
        }
        // In a new file all versions are as they were.
        shell.pipe(dump.as_bytes(), "load new.shelf").ok();
        assert_eq!(shell.run("dump new.shelf").ok(), dump);
    }
}
