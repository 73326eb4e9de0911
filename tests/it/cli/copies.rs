//! Backups, what was, and what happens: as an admin asks for them, beside the app that writes.

use super::*;
use crate::support::{Random, each_at_once, fast_dir, is_soak, metric};
use shelflife::Durability;
use std::io::{BufRead, BufReader};
use std::process::Child;
use std::time::Instant;

/// A child that is killed with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(dir: &Path, words: &str) -> Running {
    let child = Command::new(BIN)
        .args(words.split(' '))
        .current_dir(dir)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    Running(child)
}

/// A folder that is not mounted, for one.
#[test]
fn a_path_that_ends_as_one_of_a_folder_becomes_no_file() {
    let shell = Shell::new();
    shell.run("set s.shelf k v").ok();
    for words in [
        "backup s.shelf new/",
        "salvage s.shelf -o new/",
        "restore s.shelf --before 0x2000 -o new/",
    ] {
        let said = shell.run(words).failed(2);
        assert!(said.contains("`new/` is not the path of a file"), "{said}");
        assert!(!shell.path("new").exists(), "{words}");
    }
}

#[test]
fn a_backup_is_made_beside_any_writer_and_is_the_store_again() {
    let shell = Shell::new();
    for (exclusive, name) in [(false, "shared"), (true, "exclusive")] {
        let app = Options::new()
            .exclusive(exclusive)
            .open(shell.path("s.shelf"))
            .unwrap();
        for i in 0..50_u8 {
            app.insert([b'k', i % 9], [i; 100]).unwrap();
        }
        app.compact().unwrap();
        app.insert("last", "1").unwrap();
        let hash = shell.run("hash s.shelf").ok();
        assert_eq!(hash.len(), 33, "{hash}");
        let to = format!("{name}.shelf");
        assert_eq!(shell.run(&format!("backup s.shelf {to}")).ok(), "");
        assert_eq!(shell.run(&format!("hash {to}")).ok(), hash);
        // A dump loaded anew is the same, and so is what came through a pipe.
        let dumped = shell.run("dump s.shelf").ok();
        shell
            .pipe(dumped.as_bytes(), &format!("load {name}-loaded"))
            .ok();
        assert_eq!(shell.run(&format!("hash {name}-loaded")).ok(), hash);
        let piped = Command::new(BIN)
            .args(["backup", "s.shelf", "-"])
            .current_dir(shell.dir.path())
            .env("TMPDIR", shell.dir.path())
            .output()
            .unwrap();
        assert!(piped.status.success() && piped.stderr.is_empty());
        fs::write(shell.path("piped"), &piped.stdout).unwrap();
        assert_eq!(shell.run("hash piped").ok(), hash);
        // A copy that was cut off in the pipe is told.
        fs::write(shell.path("cut"), &piped.stdout[..piped.stdout.len() / 2]).unwrap();
        let told = shell.run("hash cut");
        assert_eq!((told.code, told.out.as_str()), (3, ""), "{told:?}");
        let said = shell.run(&format!("backup s.shelf {to}")).failed(5);
        assert!(said.contains(&to), "{said}");
        app.remove("last").unwrap();
    }
    let names: Vec<String> = fs::read_dir(shell.dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(names.len(), 7, "nothing is left behind: {names:?}");
}

#[test]
fn the_comparison_that_the_help_of_hash_shows_takes_no_two_missing_stores_for_the_same() {
    let shell = Shell::new();
    let help = shell.run("help hash").ok();
    let bin = format!("'{BIN}' hash");
    let script = help.lines().nth(3).unwrap().replace("shelflife hash", &bin);
    let compare = || {
        let mut sh = Command::new("sh");
        sh.args(["-c", &script]).current_dir(shell.dir.path());
        shell.finish(b"", &mut sh).code
    };
    assert_ne!(compare(), 0, "both are missing: {script}");
    shell.run("set notes.shelf k v").ok();
    assert_ne!(compare(), 0, "the backup is missing: {script}");
    shell.run("backup notes.shelf bak.shelf").ok();
    assert_eq!(compare(), 0, "{script}");
    shell.run("set notes.shelf k w").ok();
    assert_eq!(compare(), 1, "{script}");
}

#[test]
fn what_is_no_sound_store_has_the_documented_exit_code() {
    let shell = Shell::new();
    fs::create_dir(shell.path("folder")).unwrap();
    shell.run("set s.shelf k canary-value").ok();
    shell.run("set s.shelf other v").ok();
    let mut bytes = fs::read(shell.path("s.shelf")).unwrap();
    let place = bytes.windows(6).position(|window| window == b"canary");
    bytes[place.unwrap()] ^= 1;
    fs::write(shell.path("s.shelf"), bytes).unwrap();
    let ran = shell.run("backup s.shelf copy");
    assert_eq!((ran.code, ran.out.as_str()), (3, ""), "{ran:?}");
    assert!(ran.err.contains("1 key can't be read"), "{ran:?}");
    assert_eq!(shell.run("get copy other").ok(), "v\n");
    shell.run("get copy k").failed(3);
    for (words, code) in [
        ("hash s.shelf", 3),
        ("history s.shelf k", 3),
        ("history s.shelf", 3),
        ("hash folder", 5),
        ("backup folder x", 5),
        ("backup nix.shelf x", 5),
        ("backup s.shelf no-folder/x", 5),
        ("backup s.shelf --follow no-folder", 5),
        ("history folder", 5),
        ("watch nix.shelf", 5),
        ("restore s.shelf --before 1 -o x", 2),
        ("restore s.shelf k --offset 0x2000", 3),
        ("restore s.shelf k", 2),
        ("restore s.shelf --before 0x+1 -o x", 2),
        ("restore s.shelf k --offset 7", 1),
        ("backup s.shelf", 2),
        ("backup s.shelf x --follow folder", 2),
        ("backup s.shelf x --keep 7d", 2),
        ("watch s.shelf --from here", 2),
    ] {
        let ran = shell.run(words);
        assert_eq!(ran.code, code, "{words}: {ran:?}");
        assert!(!ran.err.contains("canary"), "{words}: {ran:?}");
        assert!(!shell.path("x").exists(), "{words}");
    }
}

#[test]
fn history_leads_back_to_what_was_lost() {
    let shell = Shell::new();
    for words in [
        "set s.shelf tea green",
        "set s.shelf cup blue",
        "set s.shelf tea black --expires 2100-01-01",
        "rm s.shelf tea",
        "set s.shelf tea red",
    ] {
        shell.run(words).ok();
    }
    let ran = shell.run("history s.shelf tea");
    assert_eq!(
        (ran.code, ran.err.as_str()),
        (0, "back to the creation of the store\n")
    );
    let rows: Vec<Vec<&str>> = ran
        .out
        .lines()
        .map(|line| line.split('\t').collect())
        .collect();
    let told: Vec<(&str, &str, &str)> = rows.iter().map(|row| (row[2], row[3], row[4])).collect();
    assert_eq!(
        told,
        [
            ("put", "4", "\"red\""),
            ("removed", "-", "-"),
            ("put", "6", "\"black\""),
            ("put", "6", "\"green\"")
        ]
    );
    assert!(
        rows.iter()
            .all(|row| row[0].starts_with("0x") && row[1].ends_with('Z'))
    );
    let all = shell.run("history s.shelf --json");
    assert_eq!(
        (all.code, all.err.as_str()),
        (0, "back to the creation of the store\n")
    );
    let all = all.out;
    let kinds: Vec<shelflife::Value> = all.lines().map(|line| line.parse().unwrap()).collect();
    assert_eq!(kinds.len(), 5);
    assert_eq!(kinds[2].get("expires"), Some(&4_102_444_800_000_u64.into()));
    assert_eq!(kinds[3].get("kind"), Some(&"removed".into()));

    // The store as it was before the removal, and a version of the key put back.
    let (removed, black) = (rows[1][0], rows[2][0]);
    shell
        .run(&format!("restore s.shelf --before {removed} -o then.shelf"))
        .ok();
    assert_eq!(shell.run("get then.shelf tea").ok(), "black\n");
    assert_eq!(
        shell.run("get then.shelf tea --expires").ok(),
        "2100-01-01T00:00:00Z\n"
    );
    assert_eq!(shell.run("get s.shelf tea").ok(), "red\n");
    shell
        .run(&format!("restore s.shelf tea --offset {black}"))
        .ok();
    assert_eq!(shell.run("get s.shelf tea").ok(), "black\n");
    assert_eq!(
        shell.run("get s.shelf tea --expires").ok(),
        "2100-01-01T00:00:00Z\n"
    );
    let said = shell
        .run(&format!("restore s.shelf tea --offset {removed}"))
        .failed(2);
    assert!(
        said.contains("was removed at 0x") && said.contains("shelflife rm"),
        "{said}"
    );

    let ran = shell.run("history s.shelf nix");
    assert_eq!(ran.code, 1);
    assert!(ran.err.ends_with("no such key: nix\n"), "{ran:?}");
    shell.run("compact s.shelf").ok();
    let ran = shell.run("history s.shelf tea");
    assert_eq!(ran.out.lines().count(), 1);
    assert!(ran.err.starts_with("back to 0x"), "{ran:?}");
}

#[test]
fn watch_prints_each_change_of_any_process_and_goes_on_where_it_was() {
    let shell = Shell::new();
    shell.run("set s.shelf before v").ok();
    let watch = |words: &str| {
        let mut watch = start(shell.dir.path(), words);
        let out = watch.0.stdout.take().unwrap();
        (watch, BufReader::new(out).lines())
    };
    let (running, mut lines) = watch("watch s.shelf --json");
    let mut next = || -> shelflife::Value { lines.next().unwrap().unwrap().parse().unwrap() };
    // It looks from its start on, which the first change that it tells shows to be over.
    let store = Store::open(shell.path("s.shelf")).unwrap();
    let seen = std::sync::atomic::AtomicBool::new(false);
    let relaxed = std::sync::atomic::Ordering::Relaxed;
    let started = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !seen.load(relaxed) {
                store.insert("started", "v").unwrap();
                std::thread::sleep(Duration::from_millis(10));
            }
        });
        let event = next();
        seen.store(true, relaxed);
        event
    });
    drop(store);
    assert_eq!(started.get("k"), Some(&"started".into()));
    shell.run("set s.shelf cart:1 tea").ok();
    shell.run("rm s.shelf before").ok();
    shell.run("compact s.shelf").ok();
    let app = ShelveSessionStore::open(shell.path("s.shelf")).unwrap();
    let mut session = Session::new();
    session.set_user(Some("canary"));
    let _ = app.save_session(&mut session).unwrap();
    app.store().clear().unwrap();
    let mut told = Vec::new();
    let mut position = String::new();
    for _ in 0..200 {
        let event = next();
        let text = |name: &str| event.get(name).map(|value| value.to_string());
        let kind = text("kind").unwrap();
        if let (Some(shelflife::Value::Text(at)), true) =
            (event.get("position"), position.is_empty())
        {
            position = at.clone();
        }
        let is_over = kind == "\"cleared\"";
        if text("k").as_deref() != Some("\"started\"") {
            told.push((kind, text("k").or(text("session")).unwrap_or_default()));
        }
        assert!(!event.to_string().contains("canary"), "{event}");
        if is_over {
            break;
        }
    }
    let handle = format!("\"{}\"", session.handle().unwrap());
    told.retain(|(_, key)| !key.contains("\\u") && !key.contains("$b64"));
    let expected = [
        ("\"put\"", "\"cart:1\""),
        ("\"removed\"", "\"before\""),
        ("\"compacted\"", ""),
        ("\"put\"", &handle),
        ("\"cleared\"", ""),
    ];
    let told: Vec<(&str, &str)> = told.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
    assert_eq!(told, expected);
    drop(running);

    // A prefix, without JSON; and from a position that the store has left, two files later.
    shell.run("compact s.shelf").ok();
    shell.run("compact s.shelf").ok();
    let (_running, mut lines) = watch(&format!("watch s.shelf cart: --from {position}"));
    assert!(lines.next().unwrap().unwrap().contains("\t-\tmissed\t-\t-"));
    shell.run("set s.shelf other v").ok();
    shell.run("set s.shelf cart:2 v").ok();
    assert!(lines.next().unwrap().unwrap().ends_with("\tput\tcart:2\t2"));
}

/// Waits, at most so long, for something that another process does in its own time.
pub(super) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < Duration::from_secs(60), "{what}");
        // Asked without a pause, it would keep a core from all other tests.
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn a_copy_that_keeps_up_opens_after_every_kill_and_goes_on() {
    let begun = Instant::now();
    let kills = if is_soak() { 200 } else { 8 };
    let writers: u64 = if is_soak() { 8 } else { 3 };
    let dir = fast_dir();
    fs::create_dir(dir.path().join("copies")).unwrap();
    let path = dir.path().join("s.shelf");
    let options = |path: &Path| {
        let mut options = Options::new();
        options.durability(Durability::Os);
        options.open(path).unwrap()
    };
    options(&path).insert("first", "1").unwrap();
    let copies = || {
        let names = fs::read_dir(dir.path().join("copies")).unwrap();
        let mut paths: Vec<_> = names.map(|entry| entry.unwrap().path()).collect();
        paths.retain(|path| !path.to_string_lossy().contains(".tmp-"));
        paths.sort();
        paths
    };
    let over = std::sync::atomic::AtomicBool::new(false);
    let relaxed = std::sync::atomic::Ordering::Relaxed;
    let mut random = Random::new(5);
    std::thread::scope(|scope| {
        for who in 0..writers {
            let (over, path) = (&over, &path);
            scope.spawn(move || {
                let store = options(path);
                let mut nth = 0_u64;
                while !over.load(relaxed) {
                    nth += 1;
                    let key = format!("{who}:{}", nth % 50);
                    store.insert(key, [nth as u8; 400]).unwrap();
                    // So that the disk in memory does not fill up.
                    if nth.is_multiple_of(64) {
                        std::thread::sleep(Duration::from_millis(1));
                    }
                }
            });
        }
        for kill in 0..kills {
            let mut follow = start(dir.path(), "backup s.shelf --follow copies");
            let out = follow.0.stdout.take().unwrap();
            let mut line = String::new();
            BufReader::new(out).read_line(&mut line).unwrap();
            assert!(line.contains("copies/s.shelf."), "kill {kill}: {line}");
            // Somewhere in what it does, more often at its beginning.
            let wait = Duration::from_millis(random.below(30));
            let start = Instant::now();
            until("the time to kill", || start.elapsed() >= wait);
            follow.0.kill().unwrap();
            follow.0.wait().unwrap();
            for copy in copies() {
                let opened = Options::new().read_only(true).open(&copy);
                let opened = opened.unwrap_or_else(|error| panic!("kill {kill}: {error}"));
                assert!(opened.recovery().damage.is_empty(), "kill {kill}");
            }
        }
        over.store(true, relaxed);
    });
    // Left alone it has all within a second or so.
    let hash = options(&path).content_hash().unwrap();
    let _follow = start(dir.path(), "backup s.shelf --follow copies --keep 1h");
    until("the copy is up to date", || {
        let newest = Options::new()
            .read_only(true)
            .open(copies().last().unwrap());
        newest.is_ok_and(|store| store.content_hash().unwrap() == hash)
    });
    options(&path).insert("more", "1").unwrap();
    let since = Instant::now();
    until("a change is copied", || {
        let newest = Options::new()
            .read_only(true)
            .open(copies().last().unwrap());
        newest.is_ok_and(|store| store.contains_key("more").unwrap())
    });
    let lag = since.elapsed();
    assert!(lag < Duration::from_secs(10), "{lag:?}");
    metric(
        "follow_kills",
        kills,
        Some(5),
        begun.elapsed().as_secs_f64(),
    );
}

/// A `backup --follow` into `copies`, and the names that it prints.
fn follow(
    shell: &Shell,
    more: &str,
) -> (
    Running,
    impl FnMut() -> std::path::PathBuf + use<>,
    BufReader<std::process::ChildStderr>,
) {
    let words = format!("backup s.shelf --follow copies{more}");
    let mut running = start(shell.dir.path(), &words);
    let (out, err) = (
        running.0.stdout.take().unwrap(),
        running.0.stderr.take().unwrap(),
    );
    let mut lines = BufReader::new(out).lines();
    let next = move || lines.next().unwrap().unwrap().into();
    (running, next, BufReader::new(err))
}

/// One figure of all that a file holds, if it opens.
fn hash_of(path: &Path) -> Option<u128> {
    let store = Options::new().read_only(true).open(path).ok()?;
    store.content_hash().ok()
}

#[test]
fn copies_that_are_too_old_are_deleted_and_nothing_else() {
    let shell = Shell::new();
    fs::create_dir(shell.path("copies")).unwrap();
    shell.run("set s.shelf k v").ok();
    let (running, mut next, _) = follow(&shell, "");
    let first = next();
    drop(running);
    let beside = |digits: &str| {
        let name = first.file_name().unwrap().to_string_lossy();
        let (lineage, _) = name.rsplit_once('-').unwrap();
        first.with_file_name(format!("{lineage}-{digits}"))
    };
    let long_ago = SystemTime::now() - Duration::from_secs(7200);
    let make = |path: &Path, at: SystemTime| {
        let file = fs::File::create(path).unwrap();
        file.set_modified(at).unwrap();
    };
    // Two files later, each of the copies before is of an hour that is told by its date.
    shell.run("compact s.shelf").ok();
    shell.run("compact s.shelf").ok();
    let gone = beside("0000000001-2");
    make(&gone, long_ago);
    make(&beside("0000000002"), SystemTime::now());
    let others = [
        beside("0000000009"),
        beside("000000000x"),
        shell.path("copies/s.shelf.0123456789abcdef-0000000001"),
        shell.path("copies/t.shelf.0123456789abcdef-0000000001"),
        shell.path("copies/s.shelf.notes"),
        shell.path("copies/s.shelf"),
    ];
    for other in &others {
        make(other, long_ago);
    }
    let (_running, mut next, _) = follow(&shell, " --keep 1h");
    assert_eq!(next(), beside("0000000003"));
    until("the old copy is deleted", || !gone.exists());
    let left = fs::read_dir(shell.path("copies")).unwrap().count();
    assert_eq!(left, others.len() + 3);
}

#[test]
fn a_copy_is_as_old_as_it_is_finished_however_long_nothing_was_written_before() {
    // At once, since each waits for the next look at the file.
    each_at_once([false, true], |is_restarted| {
        let shell = Shell::new();
        fs::create_dir(shell.path("copies")).unwrap();
        shell.run("set s.shelf k v").ok();
        let (mut running, mut next, _) = follow(&shell, " --keep 1h");
        let first = next();
        let idle = |path: &Path| {
            let file = fs::File::options().write(true).open(path).unwrap();
            file.set_modified(SystemTime::now() - Duration::from_secs(7200))
                .unwrap();
        };
        if is_restarted {
            drop(running);
            idle(&first);
            shell.run("compact s.shelf").ok();
            (running, next, _) = follow(&shell, " --keep 1h");
        } else {
            idle(&first);
            shell.run("compact s.shelf").ok();
        }
        let second = next();
        assert_ne!(first, second);
        // It has looked for what is too old before each of these is there.
        for value in ["1", "2"] {
            shell.run(&format!("set s.shelf more {value}")).ok();
            let hash = hash_of(&shell.path("s.shelf"));
            until("a change is copied", || hash_of(&second) == hash);
        }
        assert!(first.exists(), "restarted: {is_restarted}");
        drop(running);
    });
}

#[test]
fn a_copy_that_keeps_up_goes_on_with_the_backup_that_was_put_over_the_store_or_says_why_not() {
    let shell = Shell::new();
    fs::create_dir(shell.path("copies")).unwrap();
    shell.run("set s.shelf k before").ok();
    shell.run("backup s.shelf backup").ok();
    shell.run("set s.shelf k after").ok();
    let after = hash_of(&shell.path("s.shelf"));
    let (mut running, mut next, mut err) = follow(&shell, " --wait 1");
    let first = next();
    fs::rename(shell.path("backup"), shell.path("s.shelf")).unwrap();
    let second = next();
    assert_ne!(first, second);
    assert_eq!(hash_of(&first), after, "what it was stays as it is");
    shell.run("set s.shelf k later").ok();
    let hash = hash_of(&shell.path("s.shelf"));
    until("a change is copied", || hash_of(&second) == hash);
    let mut said = String::new();
    err.read_line(&mut said).unwrap();
    assert_eq!(
        said,
        "shelflife: s.shelf was replaced or deleted: going on with the file that takes its place\n"
    );
    // A copy that was deleted is there again.
    fs::remove_file(&second).unwrap();
    until("the copy is made again", || hash_of(&second) == hash);
    // Nothing is put there.
    fs::remove_file(shell.path("s.shelf")).unwrap();
    let status = running.0.wait().unwrap();
    said.clear();
    err.read_to_string(&mut said).unwrap();
    assert_eq!(status.code(), Some(5), "{said}");
    assert!(
        said.contains("s.shelf`: No such file or directory") && !said.contains("reopen"),
        "{said}"
    );
}

#[test]
fn a_copy_that_keeps_up_waits_for_a_backup_that_is_being_put_over_the_store() {
    let backups = [
        ("plain", "is damaged, or being written over: trying again"),
        (
            "other",
            "was replaced or deleted: going on with the file that takes its place",
        ),
    ];
    each_at_once(backups, |(backup, told)| {
        let shell = Shell::new();
        fs::create_dir(shell.path("copies")).unwrap();
        shell
            .run(&format!("set s.shelf k {}", "v".repeat(500)))
            .ok();
        shell.run("compact s.shelf").ok();
        shell.run("backup s.shelf other").ok();
        fs::copy(shell.path("s.shelf"), shell.path("plain")).unwrap();
        shell.run("set s.shelf k after").ok();
        let (_running, mut next, mut err) = follow(&shell, " --wait 60");
        next();
        // As `cp` leaves it in between.
        let whole = fs::read(shell.path(backup)).unwrap();
        fs::write(shell.path("s.shelf"), &whole[..8192 + 100]).unwrap();
        let mut said = String::new();
        err.read_line(&mut said).unwrap();
        assert_eq!(said, format!("shelflife: s.shelf {told}\n"));
        fs::write(shell.path("s.shelf"), &whole).unwrap();
        let hash = hash_of(&shell.path(backup));
        assert_eq!(hash_of(&next()), hash, "{backup}");
    });
}

#[test]
fn copying_goes_on_when_nobody_reads_the_names_any_more() {
    let shell = Shell::new();
    fs::create_dir(shell.path("copies")).unwrap();
    shell.run("set s.shelf k v").ok();
    let (_running, mut next, _) = follow(&shell, "");
    next();
    drop(next);
    for value in ["1", "2"] {
        shell.run("compact s.shelf").ok();
        shell.run(&format!("set s.shelf k {value}")).ok();
        let hash = hash_of(&shell.path("s.shelf"));
        until("the new file is copied", || {
            let names = fs::read_dir(shell.path("copies")).unwrap();
            let newest = names.map(|entry| entry.unwrap().path()).max().unwrap();
            hash_of(&newest) == hash
        });
    }
}

#[test]
fn a_watcher_says_that_it_missed_what_a_backup_replaced_and_goes_on() {
    let shell = Shell::new();
    shell.run("set s.shelf k before").ok();
    shell.run("backup s.shelf backup").ok();
    shell.run("backup s.shelf again").ok();
    shell.run("set s.shelf k after").ok();
    let from = Store::open(shell.path("s.shelf")).unwrap().position();
    let words = format!("watch s.shelf --json --wait 1 --from {}", from.unwrap());
    let mut watch = start(shell.dir.path(), &words);
    let mut lines = BufReader::new(watch.0.stdout.take().unwrap()).lines();
    let mut next = || -> shelflife::Value { lines.next().unwrap().unwrap().parse().unwrap() };
    shell.run("set s.shelf seen 1").ok();
    assert_eq!(next().get("k"), Some(&"seen".into()));
    fs::rename(shell.path("backup"), shell.path("s.shelf")).unwrap();
    let missed = next();
    assert_eq!(missed.get("kind"), Some(&"missed".into()));
    assert_eq!(missed.get("why"), Some(&"replaced".into()));
    shell.run("set s.shelf new 1").ok();
    assert_eq!(next().get("k"), Some(&"new".into()));
    // The same file, with another content.
    fs::write(
        shell.path("s.shelf"),
        fs::read(shell.path("again")).unwrap(),
    )
    .unwrap();
    assert_eq!(next().get("kind"), Some(&"missed".into()));
    // Nothing is put there.
    fs::remove_file(shell.path("s.shelf")).unwrap();
    let ended = watch.0.wait().unwrap();
    let mut said = String::new();
    let mut err = watch.0.stderr.take().unwrap();
    err.read_to_string(&mut said).unwrap();
    assert_eq!(ended.code(), Some(5), "{said}");
    let why = "shelflife: changes were missed: another file was put in the place of the store\n";
    assert_eq!(said.matches(why).count(), 2, "{said}");
    assert!(
        said.contains("s.shelf`: No such file or directory"),
        "{said}"
    );
}
