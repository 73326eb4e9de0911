//! The same `session` commands, drawn at random, on a file and on a server that hold the same sessions: each command
//! ends, prints and says the same of both.
//!
//! The test compares around the differences that the documentation names. Lines are sorted: a server has no order of
//! sessions that were used in one millisecond, and a file lists a copied session as the last. A server remembers for a
//! minute that a session ended, and takes no copy of it: [`FORGET`] ends that minute. A file alone notes how it keeps
//! ids, so no step copies to a server in the other way. No step has a prefix, a password, or a path without a store, and
//! no session ends meanwhile.

use super::server::{Server, is_there};
use crate::runs::check;
use crate::support::{Random, fast_dir, is_soak, setting};
use shelflife::{Lifetime, RedisOptions, Saved, Session, SessionOptions, SessionStore};
use std::collections::HashMap;
use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

const FORGET: &[u8] = b"for _, key in ipairs(redis.call('KEYS', '*')) do
  if redis.call('GETRANGE', key, 0, 5) == string.rep('\\0', 6) then redis.call('DEL', key) end
end";
const STEPS: u64 = 12;
const REPEAT: &str = "cargo test --test it redis::alike";
const HOUR: u64 = 3600;
/// The last two have handles that begin alike.
const SESSIONS: usize = 11;

/// A step takes or leaves out a word with a question mark. A word in capitals is one of [`WORDS`]: there `<7 3>` stands
/// for the first 7 digits of the handle of the session with the number 3, and `<id 3>` for its id.
const LINES: &str = "ls <store> ?--user=USER ?--idle=TIME ?--json
ls <store> ?--user=USER ?--idle=TIME ?--json ?-0
show <store> HANDLE
rm <store> --user=USER --yes
rm <store> --user=USER ?--yes ?--dry-run
rm <store> --cookie=- ?--dry-run
rm <store> HANDLE ?HANDLE ?HANDLE ?--dry-run
rm <store> --json ?--dry-run
rm <store> -0 ?--dry-run
rm <store> ?--user=USER ?--cookie=COOKIE ?-0 ?--json ?HANDLE
expire <store> ?--idle=TIME ?--json ?--dry-run
copy <other> <store> ?--mirror ?--yes
copy <other> <store> ?--mirror ?--yes ?--dry-run
copy <store> <store> ?--mirror ?--yes ?--dry-run
copy <store> PLACE ?--mirror ?--yes ?--dry-run ?--hash-ids";
const WORDS: [(&str, &str); 8] = [
    // The handle in an object is drawn after the object.
    (
        "OBJECT",
        "{\"handle\":\"HANDLE\",\"user\":null}\n|{\"handle\":\"HANDLE\"}\n|\"HANDLE\"\n|{\"session\":\"HANDLE\"}\n|\n|\
         {\"user\":\"ann\"}\n|7\n|{",
    ),
    ("USER", "ann|bob|ann |-x|zoë\t\u{1b}[1m|"),
    ("TIME", "0s|1h|70h|4200m|4d|5d|99d|1w|-1h||7"),
    ("PLACE", "<other>|<new>"),
    ("COOKIE", "-|-|<id 0>"),
    (
        "HANDLE",
        "<12 N>|<12 N>|<12 N>|<7 N>|<7 N>|<4 N>|<4 10>|<3 N>|<id N>|012345abcdef|0123|0123456789ABCDEF|xyz|",
    ),
    ("SECRET", "<id N>| <id N>\n|AAAAAAAAAAAAAAAAAAAAAA|AAA|"),
    ("ODD", "-5|--|extra|--user|--yes=no|--wait=9|--wait=x"),
];

/// The words of a command line, and its standard input.
type Step = (Vec<String>, String);

fn filled(random: &mut Random, word: &str) -> String {
    let mut word = word.to_string();
    for (name, choices) in WORDS {
        if word.contains(name) {
            let choices: Vec<_> = choices.split('|').collect();
            word = word.replace(name, choices[random.place(choices.len())]);
        }
    }
    word.replace(" N>", &format!(" {}>", random.place(SESSIONS)))
}

fn step(random: &mut Random) -> Step {
    let lines: Vec<_> = LINES.lines().collect();
    let mut words = vec!["session".to_string()];
    for word in lines[random.place(lines.len())].split(' ') {
        match word.strip_prefix('?') {
            Some(_) if random.one_in(2) => {}
            word_or_not => words.push(filled(random, word_or_not.unwrap_or(word))),
        }
    }
    if random.one_in(12) {
        words.push(filled(random, "ODD"));
    }
    let has = |word: &str| words.iter().any(|it| it == word);
    let (piece, count) = match () {
        () if !has("rm") => ("", 0),
        () if has("--cookie=-") => ("SECRET", 1),
        () if has("--json") => ("OBJECT", random.place(4)),
        () => ("HANDLE\0", random.place(4)),
    };
    let pieces: Vec<_> = (0..count).map(|_| filled(random, piece)).collect();
    (words, pieces.concat())
}

/// Sessions of all kinds and ages, half an hour off the times in the steps.
fn sessions(random: &mut Random, options: &SessionOptions) -> (Vec<Session>, Vec<Session>) {
    let now = SystemTime::now();
    let age = Arc::new(AtomicU64::new(150 * HOUR + HOUR / 2));
    let clock = Arc::clone(&age);
    let store = options
        .in_memory_with_clock(move || now - Duration::from_secs(clock.load(Ordering::Relaxed)));
    let save = |session: &mut Session| {
        assert!(matches!(store.save_session(session), Ok(Saved::Stored)));
    };
    let mut all = Vec::new();
    for nth in 0..SESSIONS - 2 {
        let mut session = Session::new();
        for key in ["a", "b\n", "key.of", "é"] {
            if random.one_in(2) {
                session.insert(key, &format!("{nth}\u{7}")).unwrap();
            }
        }
        session.insert("n", &nth).unwrap();
        session.set_user(Some(&*filled(random, "USER")).filter(|_| !random.one_in(4)));
        session.set_label(Some("phone\t\u{202e}").filter(|_| random.one_in(2)));
        session.set_agent(Some("curl\n").filter(|_| random.one_in(2)));
        if random.one_in(2) {
            session.confirm();
            session.create_form_token().unwrap();
            let mut long = |_| Some(Duration::from_secs((200 + random.below(90)) * HOUR));
            let [idle, absolute] = [0, 1].map(&mut long);
            session.set_lifetime(Some(Lifetime { idle, absolute }));
        }
        for address in ["10.0.0.1", "10.0.0.2"] {
            if session.version() == 0 || random.one_in(3) {
                session.set_remote_address(Some(address));
                save(&mut session);
                age.fetch_sub(random.below(9) * HOUR, Ordering::Relaxed);
            }
        }
        all.push(session);
    }
    let mut begun: HashMap<String, Session> = HashMap::new();
    while all.len() < SESSIONS {
        let mut session = Session::new();
        session.insert("twin", &true).unwrap();
        save(&mut session);
        let begins = session.handle().unwrap().to_string()[..4].to_string();
        if let Some(twin) = begun.insert(begins, session.clone()) {
            all.extend([twin, session]);
        }
    }
    age.store(0, Ordering::Relaxed);
    let mut listed: Vec<_> = store.iter_sessions().map(Result::unwrap).collect();
    listed.retain(|it| all.iter().any(|kept| kept.handle() == it.handle()));
    (all, listed)
}

/// The exit code, the sorted lines, and what was said, of a step at a place.
fn seen(step: &Step, names: &[(String, String)]) -> String {
    let named = |word: &String| {
        let name = |word: String, (name, text): &(String, String)| word.replace(name, text);
        names.iter().fold(word.clone(), name)
    };
    let mut command = Command::new(env!("CARGO_BIN_EXE_shelflife"));
    command.args(step.0.iter().map(named));
    command.env_remove("SHELFLIFE_REDIS_PASSWORD");
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // A command that reads nothing may have ended.
    let _ = stdin.write_all(named(&step.1).as_bytes());
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    let [out, err] = [output.stdout, output.stderr].map(|bytes| {
        let text = String::from_utf8(bytes).unwrap();
        let without = |text: String, (name, place): &(String, String)| text.replace(place, name);
        names[..2].iter().fold(text, without)
    });
    let mut lines: Vec<_> = out.split_inclusive(['\n', '\0']).collect();
    lines.sort_unstable();
    format!("{:?} {lines:?} {err:?}", output.status.code())
}

#[test]
fn session_commands_say_the_same_of_a_file_and_of_a_server() {
    if !is_there("session_commands_say_the_same_of_a_file_and_of_a_server") {
        return;
    }
    let (dir, server) = (fast_dir(), Server::start(&[]));
    let steps = if is_soak() { 30_000 } else { 96 };
    let steps = setting("SHELF_FUZZ_OPS").unwrap_or(steps);
    let first = setting("SHELF_FUZZ_SEED").unwrap_or(1);
    for seed in first..first + steps.div_ceil(STEPS) {
        let mut random = Random::new(seed);
        let walk: Vec<Step> = (0..STEPS).map(|_| step(&mut random)).collect();
        let run = |walk: &[Step]| {
            assert!(server.ask(&[b"FLUSHALL"]).starts_with("+OK"));
            let folder = tempfile::tempdir_in(&dir).unwrap();
            let path = |name: &str| folder.path().join(name).to_str().unwrap().to_string();
            let mut random = Random::new(seed);
            let mut options = SessionOptions::new();
            options.hash_ids(seed.is_multiple_of(2));
            let (all, listed) = sessions(&mut random, &options);
            let file = options.open(path("file")).unwrap();
            let redis = RedisOptions::new().sessions(&options).clone();
            let redis = redis.connect(&server.url()).unwrap();
            let others = ["1", "2"].map(|name| options.open(path(name)).unwrap());
            for session in listed {
                // Some are in the store alone, and some beside it alone.
                let (one, place) = ([session], random.below(4));
                let stores: [&dyn SessionStore; 4] = [&file, &redis, &others[0], &others[1]];
                let stores = match place {
                    0 => &stores[..2],
                    1 => &stores[2..],
                    _ => &stores[..],
                };
                for store in stores {
                    assert_eq!(store.import_sessions(&one).unwrap(), 1);
                }
            }
            drop((file, redis, others));
            let places = [(path("file"), "1"), (server.url(), "2")].map(|(store, other)| {
                let name = |name: &str, text: &str| (format!("<{name}>"), text.to_string());
                let mut names = vec![name("store", &store), name("other", &path(other))];
                names.push(name("new", &path(&format!("{other}-new"))));
                for (nth, session) in all.iter().enumerate() {
                    let handle = session.handle().unwrap().to_string();
                    for len in [12, 7, 4, 3] {
                        names.push(name(&format!("{len} {nth}"), &handle[..len]));
                    }
                    names.push(name(&format!("id {nth}"), session.id().unwrap().as_str()));
                }
                names
            });
            let last = "session ls <store> --json".split(' ').map(String::from);
            let last = (last.collect(), String::new());
            walk.iter().chain([&last]).try_for_each(|step| {
                let [file, redis] = places.each_ref().map(|names| seen(step, names));
                server.ask(&[b"EVAL", FORGET, b"0"]);
                match file == redis {
                    true => Ok(()),
                    false => Err(format!("{step:?}: of a file: {file}\nof a server: {redis}")),
                }
            })
        };
        let repeat = || format!("SHELF_FUZZ_SEED={seed} SHELF_FUZZ_OPS={STEPS} {REPEAT}");
        check(&walk, &run, &repeat);
    }
}
