//! The past, as an admin asks for it: how far back it goes, and sessions by their handles.

use super::*;
use std::io::BufRead;

/// The message of `history` on how far back it goes.
fn how_far(shell: &Shell, file: &str) -> String {
    let ran = shell.run(&format!("history {file} k"));
    assert_eq!(ran.code, 0, "{file}: {ran:?}");
    let all = shell.run(&format!("history {file}"));
    assert_eq!(all.err, ran.err, "{file}: the same without a key");
    ran.err
}

#[test]
fn history_says_how_far_back_it_goes_whatever_made_the_file() {
    let shell = Shell::new();
    fs::create_dir(shell.path("copies")).unwrap();
    shell.run("set s.shelf k old").ok();
    shell.run("set s.shelf k new").ok();
    let whole = "back to the creation of the store\n";
    assert_eq!(how_far(&shell, "s.shelf"), whole);
    let rows = shell.run("history s.shelf k").out;
    let offsets: Vec<&str> = rows
        .lines()
        .map(|row| row.split('\t').next().unwrap())
        .collect();
    // Files that have the whole log, under another header.
    let store = Store::open(shell.path("s.shelf")).unwrap();
    let copy = store.mirror(shell.path("copies")).unwrap();
    assert_eq!(how_far(&shell, &copy.path().to_string_lossy()), whole);
    shell
        .run(&format!("restore s.shelf --before {} -o then", offsets[0]))
        .ok();
    assert_eq!(how_far(&shell, "then"), whole);
    let said = shell.run("restore s.shelf --before 0x5 -o x").failed(2);
    assert!(said.contains("no record begins at offset 0x5;"), "{said}");
    // Files that have one value of each key.
    store.backup(shell.path("backup")).unwrap();
    let salvaged = shell.run("salvage s.shelf -o salvaged");
    assert_eq!(salvaged.code, 0, "{salvaged:?}");
    let loaded = Store::open(shell.path("loaded")).unwrap();
    let mut batches = [Batch::new(), Batch::new()];
    batches[0].insert("k", "1");
    batches[1].insert("l", "1");
    let mut batches = batches.into_iter();
    loaded.load(|| Ok(batches.next())).unwrap();
    drop(loaded);
    store.compact().unwrap();
    for file in ["backup", "salvaged", "loaded", "s.shelf"] {
        let base = Store::open(shell.path(file)).unwrap().position().unwrap();
        shell.run(&format!("set {file} k newest")).ok();
        let said = how_far(&shell, file);
        let expected = format!(
            "back to {:#x}, where the file was written anew (",
            base.offset()
        );
        assert!(said.starts_with(&expected), "{file}: {said}");
        // The store can be restored as far back as that.
        let then = format!(
            "restore {file} --before {:#x} -o {file}.then",
            base.offset()
        );
        assert_eq!(shell.run(&then).code, 0, "{file}");
        assert_eq!(how_far(&shell, &format!("{file}.then")), said, "{file}");
        let before = shell.run(&format!("restore {file} --before 0x2000 -o x"));
        let said = before.failed(2);
        assert!(
            said.contains(&format!("the log goes back to offset {:#x}", base.offset())),
            "{file}: {said}"
        );
    }
}

#[test]
fn the_history_of_a_session_is_asked_for_by_its_handle_and_a_version_put_back() {
    for hash_ids in [false, true] {
        let shell = Shell::new();
        let mut options = shelflife::SessionOptions::new();
        let app = options
            .hash_ids(hash_ids)
            .open(shell.path("s.shelf"))
            .unwrap();
        let from = app.store().position().unwrap();
        let mut session = Session::new();
        session.set_user(Some("ann"));
        session.insert("cart", "tea").unwrap();
        let _ = app.save_session(&mut session).unwrap();
        let id = session.id().unwrap().clone();
        session.insert("cart", "cup").unwrap();
        let _ = app.save_session(&mut session).unwrap();
        let at_work = app.load_session(&id).unwrap().unwrap();
        assert_eq!(app.delete_user_sessions("ann").unwrap(), 1);
        let handle = session.handle().unwrap().to_string();
        let secret = id.as_str().to_string();
        for named in [handle.as_str(), &handle[..6]] {
            let ran = shell.run(&format!("history s.shelf {named}"));
            assert_eq!(ran.code, 0, "{ran:?}");
            let what: Vec<&str> = ran
                .out
                .lines()
                .map(|row| row.split('\t').nth(2).unwrap())
                .collect();
            assert_eq!(what, ["removed", "put", "put"], "{ran:?}");
            let value = ran.out.lines().last().unwrap().split('\t').nth(4).unwrap();
            assert_eq!(
                value,
                r#"{"user":"ann","remote_address":null,"data":{"cart":"tea"}}"#
            );
            assert!(!ran.out.contains(&secret), "{ran:?}");
        }
        let json = shell.run(&format!("history s.shelf {handle} --json")).out;
        assert_eq!(json.lines().count(), 3);
        assert!(!json.contains("tea") && !json.contains(&secret), "{json}");
        // Nor does the history of all keys tell what the store keeps about sessions: lists of ids, for one.
        for form in ["", " --json"] {
            let all = shell.run(&format!("history s.shelf{form}")).out;
            let seen = watched(&shell, &format!("watch s.shelf{form} --from"), from, 3).0;
            for told in [
                all.lines().collect(),
                seen.iter().map(String::as_str).collect::<Vec<_>>(),
            ] {
                assert_eq!(told.len(), 3, "{told:?}");
                assert!(told.iter().all(|line| line.contains(&handle)), "{told:?}");
                assert!(!told.iter().any(|line| line.contains(&secret)), "{told:?}");
            }
        }
        let rows = shell.run(&format!("history s.shelf {handle}")).out;
        let offset = |nth: usize| rows.lines().nth(nth).unwrap().split('\t').next().unwrap();
        let said = shell
            .run(&format!("restore s.shelf {handle} --offset {}", offset(0)))
            .failed(2);
        assert!(said.ends_with("use shelflife session rm\n"), "{said}");
        shell
            .run(&format!("restore s.shelf {handle} --offset {}", offset(2)))
            .ok();
        let cart = |session: &Session| session.get::<String>("cart").unwrap().unwrap();
        let was = app.load_session(&id).unwrap().unwrap();
        assert_eq!((cart(&was).as_str(), was.user()), ("tea", Some("ann")));
        assert_eq!(app.sessions_of("ann").unwrap().len(), 1, "it is listed");
        // Over a later version as well. A request that is at work on any other is told.
        let mut stale = at_work.clone();
        stale.insert("cart", "pot").unwrap();
        let saved = app.save_session(&mut stale).unwrap();
        assert!(matches!(saved, shelflife::Saved::Conflict(_)), "{saved:?}");
        shell
            .run(&format!("restore s.shelf {handle} --offset {}", offset(1)))
            .ok();
        assert_eq!(cart(&app.load_session(&id).unwrap().unwrap()), "cup");
        for mut stale in [was, at_work] {
            stale.insert("cart", "pot").unwrap();
            let saved = app.save_session(&mut stale).unwrap();
            assert!(matches!(saved, shelflife::Saved::Conflict(_)), "{saved:?}");
        }
        assert_eq!(app.sessions_of("ann").unwrap().len(), 1);
        // A session that has another id since stays so.
        let mut renewed = app.load_session(&id).unwrap().unwrap();
        let _ = app.regenerate_id(&mut renewed).unwrap();
        let said = shell
            .run(&format!("restore s.shelf {handle} --offset {}", offset(1)))
            .failed(2);
        assert!(said.contains("was given another id"), "{said}");
        assert!(app.load_session(&id).unwrap().is_none());
        let ran = shell.run(&format!("history s.shelf {handle}"));
        assert!(
            ran.out
                .lines()
                .next()
                .unwrap()
                .ends_with("\thas another id since")
        );

        let ran = shell.run("history s.shelf 0123456789ab");
        assert_eq!(ran.code, 1, "{ran:?}");
        // A key of that name comes first.
        shell.run(&format!("set s.shelf {handle} text")).ok();
        let ran = shell.run(&format!("history s.shelf {handle}"));
        assert!(ran.out.ends_with("\tput\t5\t\"text\"\n"), "{ran:?}");
    }
}

/// The first lines that `watch` prints from there on, and what it says on standard error.
fn watched(
    shell: &Shell,
    words: &str,
    from: shelflife::Position,
    many: usize,
) -> (Vec<String>, String) {
    let mut watch = Command::new(BIN)
        .args(words.split(' '))
        .arg(from.to_string())
        .current_dir(shell.dir.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let seen = std::io::BufReader::new(watch.stdout.take().unwrap());
    let seen: Vec<String> = seen.lines().take(many).map(|line| line.unwrap()).collect();
    watch.kill().unwrap();
    let said = watch.wait_with_output().unwrap().stderr;
    (seen, String::from_utf8(said).unwrap())
}

/// One that can't be read is told, and hides none of the others.
#[test]
fn watch_goes_on_behind_a_change_that_cannot_be_read() {
    let shell = Shell::new();
    let store = Store::open(shell.path("n.shelf")).unwrap();
    let from = store.position().unwrap();
    for (key, value) in [("a", "v"), ("b", "canary"), ("c", "v")] {
        store.insert(key, value).unwrap();
    }
    store.close().unwrap();
    let mut bytes = fs::read(shell.path("n.shelf")).unwrap();
    let at = bytes.windows(6).position(|window| window == b"canary");
    bytes[at.unwrap()] ^= 1;
    fs::write(shell.path("n.shelf"), bytes).unwrap();
    let (seen, said) = watched(&shell, "watch n.shelf --from", from, 2);
    let key_of = |line: &String| line.split('\t').nth(3).map(str::to_string);
    let keys: Vec<_> = seen.iter().filter_map(key_of).collect();
    assert_eq!(keys, ["a", "c"], "{seen:?}");
    assert_eq!(said.matches("is damaged at offset").count(), 1, "{said}");
}

#[test]
fn the_beginning_of_two_handles_names_neither() {
    let shell = Shell::new();
    let app = ShelveSessionStore::open(shell.path("s.shelf")).unwrap();
    let mut handles: Vec<String> = Vec::new();
    let common = loop {
        let mut session = Session::new();
        session.set_user(Some("ann"));
        let _ = app.save_session(&mut session).unwrap();
        let handle = session.handle().unwrap().to_string();
        if let Some(other) = handles.iter().find(|other| other[..4] == handle[..4]) {
            break other[..4].to_string();
        }
        handles.push(handle);
    };
    let ran = shell.run(&format!("history s.shelf {common}"));
    let said = ran.failed(2);
    assert!(
        said.ends_with(&format!(
            "handles begin with {common}: give more of the handle\n"
        )),
        "{said}"
    );
}
