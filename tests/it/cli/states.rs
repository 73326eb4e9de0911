//! Every command in every state that a store can be in, with the exit code that the manual gives it.

use super::copies::until;
use super::*;
use crate::support::fast_dir;
use shelflife::Durability;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

/// The deed of another process that has the store, or the thing that stands at its path.
#[derive(Debug, Clone, Copy, PartialEq)]
enum State {
    Exclusive,
    Shared,
    Compacted,
    Damaged,
    Forbidden,
    Folder,
    Absent,
}

use State::*;

const STATES: [State; 7] = [
    Exclusive, Shared, Compacted, Damaged, Forbidden, Folder, Absent,
];

/// A command that does not end by itself is over once it has printed a line.
const ENDLESS: [&str; 3] = ["watch", "browse", "backup F --follow"];

/// Words, in which `F` is the store, and the exit code in each state. Two processes can't compact a store at the same
/// time: `compact` and `salvage --in-place` say so.
const CODES: [(&str, [&[i32]; 7]); 26] = [
    (
        "set F new v --wait 0",
        [&[4], &[0], &[0], &[0], &[5], &[5], &[0]],
    ),
    ("get F k", [&[0], &[0], &[0], &[0], &[5], &[5], &[5]]),
    ("get F bad", [&[0], &[0], &[0], &[3], &[5], &[5], &[5]]),
    (
        "rm F k --wait 0",
        [&[4], &[0], &[0], &[0], &[5], &[5], &[5]],
    ),
    ("ls F", [&[0], &[0], &[0], &[3], &[5], &[5], &[5]]),
    ("dump F", [&[0], &[0], &[0], &[3], &[5], &[5], &[5]]),
    (
        "load F lines --wait 0",
        [&[4], &[0], &[0], &[0], &[5], &[5], &[0]],
    ),
    ("info F", [&[0], &[0], &[0], &[0], &[5], &[5], &[5]]),
    (
        "compact F --wait 0",
        [&[4], &[0], &[0, 4], &[0], &[5], &[5], &[5]],
    ),
    ("verify F", [&[0], &[0], &[0], &[3], &[5], &[5], &[5]]),
    (
        "salvage F -o made",
        [&[0], &[0], &[0], &[3], &[5], &[5], &[5]],
    ),
    (
        "salvage F --in-place --wait 0",
        [&[4], &[0], &[0, 4], &[3], &[5], &[5], &[5]],
    ),
    ("backup F made", [&[0], &[0], &[0], &[3], &[5], &[5], &[5]]),
    (
        "backup F --follow copies",
        [&[0], &[0], &[0], &[0], &[5], &[5], &[5]],
    ),
    (
        "restore F --before P -o made",
        [&[0], &[0], &[0, 2], &[3], &[5], &[5], &[5]],
    ),
    (
        "restore F k --offset P --wait 0",
        [&[4], &[0], &[0, 1], &[0], &[5], &[5], &[5]],
    ),
    ("hash F", [&[0], &[0], &[0], &[3], &[5], &[5], &[5]]),
    ("history F k", [&[0], &[0], &[0], &[0], &[5], &[5], &[5]]),
    (
        "watch F --from W",
        [&[0], &[0], &[0], &[0], &[5], &[5], &[5]],
    ),
    ("session ls F", [&[0], &[0], &[0], &[0], &[5], &[5], &[5]]),
    (
        "session show F H",
        [&[0], &[0], &[0], &[0], &[5], &[5], &[5]],
    ),
    (
        "session rm F H --wait 0",
        [&[4], &[0], &[0], &[0], &[5], &[5], &[5]],
    ),
    (
        "session expire F --idle 30m --wait 0",
        [&[4], &[0], &[0], &[0], &[5], &[5], &[5]],
    ),
    (
        "session hash F --yes --wait 0",
        [&[4], &[0], &[0, 4], &[3], &[5], &[5], &[5]],
    ),
    (
        "session copy F made",
        [&[0], &[0], &[0], &[0], &[5], &[5], &[5]],
    ),
    (
        "browse F --port 0",
        [&[0], &[0], &[0], &[0], &[5], &[5], &[5]],
    ),
];

fn relaxed() -> Options {
    let mut options = Options::new();
    options.durability(Durability::Os);
    options
}

/// A store with some entries and a session, and the words that stand for places and names in it.
struct Scene {
    shell: Shell,
    bytes: Vec<u8>,
    damaged: Vec<u8>,
    words: Vec<(&'static str, String)>,
    bin: PathBuf,
}

impl Scene {
    fn new() -> Scene {
        let shell = Shell { dir: fast_dir() };
        let path = shell.path("base");
        let store = relaxed().open(&path).unwrap();
        let watched = store.position().unwrap().to_string();
        for key in 0..2_000_u32 {
            store.insert(key.to_be_bytes(), [7; 300]).unwrap();
        }
        store.insert("bad", "canary").unwrap();
        store.insert("k", "1").unwrap();
        let place = store.events().unwrap().last().unwrap().unwrap().offset();
        store.insert("k", "2").unwrap();
        let sessions = SessionOptions::new().with_store(store).unwrap();
        let mut session = Session::new();
        session.set_user(Some("ann"));
        let _ = sessions.save_session(&mut session).unwrap();
        drop(sessions);
        let bytes = fs::read(&path).unwrap();
        let mut damaged = bytes.clone();
        let at = damaged.windows(6).position(|window| window == b"canary");
        damaged[at.unwrap()] ^= 1;
        let listed = shell.run("session ls base").ok();
        let handle = listed.split('\t').next().unwrap().to_string();
        fs::write(shell.path("lines"), "{\"k\":\"tea\",\"v\":1}\n").unwrap();
        // Root may do everything, so what is forbidden is tried as nobody.
        let open = fs::Permissions::from_mode(0o755);
        fs::set_permissions(shell.dir.path(), open.clone()).unwrap();
        let bin = shell.path("shelflife");
        fs::copy(BIN, &bin).unwrap();
        fs::set_permissions(&bin, open).unwrap();
        let words = vec![("P", place.to_string()), ("W", watched), ("H", handle)];
        Scene {
            shell,
            bytes,
            damaged,
            words,
            bin,
        }
    }

    /// Runs a command on a store in a state.
    fn code(&self, words: &str, state: State) -> i32 {
        let path = self.shell.path("F");
        let _ = fs::remove_file(&path).or_else(|_| fs::remove_dir(&path));
        let _ = fs::remove_file(self.shell.path("made"));
        let _ = fs::remove_dir_all(self.shell.path("copies"));
        fs::create_dir(self.shell.path("copies")).unwrap();
        match state {
            Damaged => fs::write(&path, &self.damaged).unwrap(),
            Folder => fs::create_dir(&path).unwrap(),
            Absent => {}
            _ => fs::write(&path, &self.bytes).unwrap(),
        }
        let is_root = fs::metadata("/proc/self").is_ok_and(|of| of.uid() == 0);
        let mut command = Command::new(if state == Forbidden {
            &self.bin
        } else {
            Path::new(BIN)
        });
        if state == Forbidden {
            fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).unwrap();
            if is_root {
                command.uid(65534).gid(65534);
            }
        }
        // A writer is waited for, but for one that stays.
        let wait = if state == Exclusive { " --wait 0" } else { "" };
        for word in words.replace(" --wait 0", wait).split(' ') {
            let known = self.words.iter().find(|(name, _)| *name == word);
            command.arg(known.map_or(word, |(_, meant)| meant));
        }
        let (over, done) = (AtomicBool::new(false), AtomicU64::new(0));
        let other = match state {
            Exclusive => Some(relaxed().exclusive(true).open(&path).unwrap()),
            Shared | Compacted => Some(relaxed().open(&path).unwrap()),
            _ => None,
        };
        std::thread::scope(|scope| {
            if state == Shared || state == Compacted {
                let store = other.as_ref().unwrap();
                let (over, done) = (&over, &done);
                scope.spawn(move || {
                    while !over.load(Relaxed) {
                        match state {
                            Shared => drop(store.insert("other", "v").unwrap()),
                            // Busy while the command is at it.
                            _ => drop(store.compact()),
                        }
                        done.fetch_add(1, Relaxed);
                    }
                });
                until("the other process is at it", || done.load(Relaxed) > 0);
            }
            let code = self.run(
                &mut command,
                ENDLESS.iter().any(|begin| words.starts_with(begin)),
            );
            over.store(true, Relaxed);
            code
        })
    }

    fn run(&self, command: &mut Command, is_endless: bool) -> i32 {
        if !is_endless {
            return self.shell.finish(b"", command).code;
        }
        command.current_dir(self.shell.dir.path());
        let piped = command.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = piped.stderr(Stdio::null()).spawn().unwrap();
        let mut line = String::new();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let printed = out.read_line(&mut line).unwrap() > 0;
        if printed {
            let _ = child.kill();
        }
        let status = child.wait().unwrap();
        if printed { 0 } else { status.code().unwrap() }
    }
}

#[test]
fn every_command_has_the_documented_exit_code_beside_any_writer_and_on_what_is_no_store() {
    let scene = Scene::new();
    for (words, codes) in CODES {
        for (state, expected) in STATES.into_iter().zip(codes) {
            let code = scene.code(words, state);
            assert!(
                expected.contains(&code),
                "{words}, {state:?}: {code}, not {expected:?}"
            );
        }
    }
}

#[test]
fn no_command_on_a_store_is_left_out() {
    let help = Shell::new().run("--help").ok();
    let commands = help.lines().filter_map(|line| line.strip_prefix("  "));
    let commands =
        commands.filter(|line| !line.starts_with("shelflife ") && !line.starts_with(' '));
    // Those without a store, and the app.
    let others = ["from-shelve", "demo", "completions", "man", "help"];
    let mut checked = 0;
    for command in commands {
        checked += 1;
        let name = command.split(" F").next().unwrap();
        let name = name.split("  ").next().unwrap();
        assert!(
            others.iter().any(|other| name.starts_with(other))
                || CODES
                    .iter()
                    .any(|(words, _)| words.starts_with(&format!("{name} "))),
            "{name}"
        );
    }
    assert!(checked > 20, "only {checked} commands were found");
}
