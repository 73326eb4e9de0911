//! A damaged file: what is said, what can still be had, and that nothing of it reaches a log or is written over.

use super::*;

/// A store with three keys, the newest value of `tea` and the whole of `lost` damaged; values hold a canary.
fn damaged(shell: &Shell) {
    let store = Store::open(shell.path("n.shelf")).unwrap();
    store.insert("tea", "older-canary").unwrap();
    store.insert("lost", "canary-lost-value").unwrap();
    store.insert("tea", "newer-canary").unwrap();
    store.insert("sound", "canary-sound").unwrap();
    store.close().unwrap();
    for value in ["canary-lost-value", "newer-canary"] {
        flip(shell, value);
    }
}

fn flip(shell: &Shell, value: &str) {
    let mut bytes = fs::read(shell.path("n.shelf")).unwrap();
    let place = bytes
        .windows(value.len())
        .position(|window| window == value.as_bytes());
    bytes[place.unwrap()] ^= 1;
    fs::write(shell.path("n.shelf"), bytes).unwrap();
}

#[test]
fn verify_tells_sound_from_damaged_and_writes_nothing() {
    let shell = Shell::new();
    shell.run("set n.shelf k v").ok();
    shell.run("set n.shelf k w").ok();
    let said = shell.run("verify n.shelf").ok();
    assert!(
        said.starts_with("ok: ") && said.ends_with(" records, 1 live\n"),
        "{said}"
    );
    // The end of an interrupted write is told, and is no damage.
    let mut bytes = fs::read(shell.path("n.shelf")).unwrap();
    let end = bytes.len();
    bytes.extend([0x5a; 20]);
    fs::write(shell.path("n.shelf"), bytes).unwrap();
    let torn = shell.run("verify n.shelf").ok();
    assert_eq!(torn, format!("torn tail\t{end:#x}\t20\t-\t-\n{said}"));
    fs::remove_file(shell.path("n.shelf")).unwrap();

    damaged(&shell);
    let before = now_and_bytes(&shell.path("n.shelf"));
    let verified = shell.run("verify n.shelf");
    let rows: Vec<Vec<&str>> = verified
        .out
        .lines()
        .map(|line| line.split('\t').collect())
        .collect();
    assert_eq!(rows.len(), 2, "{verified:?}");
    for (row, key) in rows.iter().zip(["lost", "tea"]) {
        assert_eq!((row[0], row[3], row[4]), ("damaged", "one record", key));
        assert!(
            row[1].starts_with("0x") && row[2].parse::<u64>().is_ok(),
            "{row:?}"
        );
    }
    let said = "shelflife: `n.shelf` is damaged in 2 places, 2 keys lost, 1 can be read; \
                try: shelflife salvage n.shelf -o n.shelf.new\n";
    assert_eq!((verified.code, verified.err.as_str()), (3, said));
    assert!(now_and_bytes(&shell.path("n.shelf")) == before);
    assert_eq!(fs::read_dir(shell.dir.path()).unwrap().count(), 1);
}

#[test]
fn what_is_sound_of_a_damaged_file_can_be_had_and_nothing_of_it_is_told() {
    let shell = Shell::new();
    damaged(&shell);
    assert_eq!(shell.run("get n.shelf sound").ok(), "canary-sound");
    shell.run("get n.shelf tea").failed(3);
    for keys in ["tea\0sound\0nix\0", "nix\0sound\0tea\0"] {
        let got = shell.pipe(keys.as_bytes(), "get n.shelf -0");
        assert_eq!((got.code, &*got.out), (3, "canary-sound\0"), "{got:?}");
        assert!(got.err.contains("no such key: nix\n"), "{got:?}");
        assert!(got.err.contains("is damaged at offset"), "{got:?}");
    }
    let (dumped, listed) = (shell.run("dump n.shelf"), shell.run("ls n.shelf"));
    assert!(dumped.out.starts_with("{\"k\":\"sound\","), "{dumped:?}");
    assert_eq!(
        (dumped.code, listed.code, listed.out.as_str()),
        (3, 3, "sound\n")
    );
    for words in [
        "verify n.shelf",
        "get n.shelf tea",
        "dump n.shelf",
        "ls n.shelf",
        "info n.shelf",
        "session ls n.shelf",
        "compact n.shelf",
    ] {
        let said = shell.run(words).err;
        assert!(
            !said.contains("canary") && !said.contains("tea"),
            "{words}: {said}"
        );
    }
    // A new value heals its key.
    shell.run("set n.shelf tea new").ok();
    assert_eq!(shell.run("get n.shelf tea").ok(), "new\n");
}

#[test]
fn the_sessions_of_a_user_are_listed_whatever_is_wrong_with_those_of_others() {
    let shell = Shell::new();
    let store = ShelveSessionStore::open(shell.path("n.shelf")).unwrap();
    for (user, value) in [("ann", "canary-ann"), ("bob", "canary-bob")] {
        let mut session = Session::new();
        session.set_user(Some(user));
        session.insert("k", value).unwrap();
        assert!(matches!(
            store.save_session(&mut session),
            Ok(Saved::Stored)
        ));
    }
    store.close().unwrap();
    flip(&shell, "canary-bob");
    assert_eq!(shell.run("session ls n.shelf").code, 3);
    let listed = shell.run("session ls n.shelf --user ann").ok();
    assert_eq!(listed.split('\t').nth(1), Some("ann"));
}

#[test]
fn salvage_saves_what_it_can_and_lists_what_is_lost() {
    let shell = Shell::new();
    damaged(&shell);
    let before = now_and_bytes(&shell.path("n.shelf"));
    let salvaged = shell.run("salvage n.shelf -o new.shelf");
    let mut rows: Vec<Vec<&str>> = salvaged
        .out
        .lines()
        .map(|line| line.split('\t').collect())
        .collect();
    rows.sort_by_key(|row| row[2]);
    let said: Vec<(&str, &str, &str)> = rows.iter().map(|row| (row[0], row[2], row[3])).collect();
    assert_eq!(
        said,
        [("lost", "lost", "-"), ("lost", "tea", "older value")]
    );
    let notes =
        "saved 1 key to `new.shelf`\nshelflife: of `n.shelf`, 2 keys lost and 0 keys uncertain\n";
    assert_eq!((salvaged.code, salvaged.err.as_str()), (3, notes));
    assert_eq!(shell.run("ls new.shelf").ok(), "sound\n");
    assert!(now_and_bytes(&shell.path("n.shelf")) == before);

    // A file that is there already is not written over.
    let said = shell.run("salvage n.shelf -o new.shelf").failed(5);
    assert!(said.contains("new.shelf"), "{said}");
    assert_eq!(shell.run("get new.shelf sound").ok(), "canary-sound");
    for words in ["salvage n.shelf", "salvage n.shelf -o x --in-place"] {
        let said = shell.run(words).failed(2);
        assert!(
            said.starts_with("shelflife: give one of -o and --in-place; usage: "),
            "{said}"
        );
    }
}

#[test]
fn nobody_is_told_that_nothing_is_lost_where_it_is_unknown_what_stood_there() {
    let shell = Shell::new();
    for words in ["set n.shelf lost canary", "set n.shelf sound v"] {
        shell.run(words).ok();
    }
    // FORMAT.md: the log begins here, with the head of its first record.
    let mut bytes = fs::read(shell.path("n.shelf")).unwrap();
    bytes[8192 + 8] ^= 1;
    fs::write(shell.path("n.shelf"), bytes).unwrap();
    let verified = shell.run("verify n.shelf");
    assert_eq!(verified.code, 3);
    assert!(verified.out.starts_with("damaged\t0x2000\t"));
    assert!(verified.out.ends_with("\tunknown\t-\n"), "{}", verified.out);
    assert!(
        verified.err.contains("0 keys lost and possibly more"),
        "{}",
        verified.err
    );
    let salvaged = shell.run("salvage n.shelf -o new.shelf");
    let said =
        "of `n.shelf`, 0 keys lost and 0 keys uncertain, and what stood in 1 place is unknown";
    assert_eq!(
        (salvaged.code, salvaged.out.as_str()),
        (3, "unknown\t0x2000\t-\t-\n")
    );
    assert!(salvaged.err.contains(said), "{}", salvaged.err);
    assert_eq!(shell.run("ls new.shelf").ok(), "sound\n");
}

#[test]
fn salvage_in_place_keeps_the_damaged_file_and_offers_older_values() {
    let shell = Shell::new();
    damaged(&shell);
    let damaged = fs::read(shell.path("n.shelf")).unwrap();
    let salvaged = shell.run("salvage n.shelf --in-place --older");
    assert_eq!(salvaged.code, 3);
    assert_eq!(shell.run("ls n.shelf").ok(), "sound\n");
    assert_eq!(shell.run("verify n.shelf").code, 0);
    let kept = salvaged
        .err
        .split("the file as it was is `")
        .nth(1)
        .unwrap()
        .split('`')
        .next()
        .unwrap();
    assert!(
        fs::read(shell.path(kept)).unwrap().starts_with(&damaged),
        "{salvaged:?}"
    );
    shell.pipe(salvaged.out.as_bytes(), "load n.shelf").ok();
    assert_eq!(shell.run("get n.shelf tea").ok(), "older-canary");
}

#[test]
fn damage_that_no_key_needs_costs_nothing_and_compacting_drops_it() {
    // A value that another one replaced, one that was removed, and a removal: its key is that of a sound fingerprint.
    for (then, hit) in [
        ("set n.shelf tea canary", 0),
        ("rm n.shelf tea", 0),
        ("rm n.shelf tea", 1),
    ] {
        let shell = Shell::new();
        for words in ["set n.shelf tea green", then, "set n.shelf cup blue"] {
            shell.run(words).ok();
        }
        let rows = shell.run("history n.shelf").out;
        let offset = rows.lines().nth(hit).unwrap().split('\t').next().unwrap();
        let mut bytes = fs::read(shell.path("n.shelf")).unwrap();
        // FORMAT.md: the key stands behind the head.
        bytes[usize::from_str_radix(&offset[2..], 16).unwrap() + 48] ^= 1;
        fs::write(shell.path("n.shelf"), bytes).unwrap();
        let dumped = shell.run("dump n.shelf").ok();
        let verified = shell.run("verify n.shelf");
        assert_eq!(
            (verified.code, verified.err),
            (
                3,
                format!(
                    "shelflife: `n.shelf` is damaged in 1 place that no key needs: nothing is lost, {} can be read; try: \
                     shelflife compact n.shelf\n",
                    dumped.lines().count()
                )
            )
        );
        assert!(
            verified.out.ends_with("\tone record\t-\n"),
            "{}",
            verified.out
        );
        shell.run("compact n.shelf").ok();
        assert!(shell.run("verify n.shelf").ok().starts_with("ok: "));
        assert_eq!(shell.run("dump n.shelf").ok(), dumped, "{then}, {hit}");
    }
}

#[test]
fn a_lost_header_copy_is_told_and_compacting_writes_it_anew() {
    let shell = Shell::new();
    shell.run("set n.shelf k v").ok();
    let mut bytes = fs::read(shell.path("n.shelf")).unwrap();
    bytes[4096 + 20] ^= 1;
    fs::write(shell.path("n.shelf"), bytes).unwrap();
    let verified = shell.run("verify n.shelf");
    let said = "shelflife: `n.shelf` has lost one copy of its header and no data; try: shelflife compact n.shelf\n";
    assert_eq!(verified.out, "damaged\t0x1000\t4096\theader copy\t-\n");
    assert_eq!((verified.code, verified.err.as_str()), (3, said));
    shell.run("compact n.shelf").ok();
    // Of a file that is on disk before it has its name, a seal would say nothing new.
    assert_eq!(shell.run("verify n.shelf").ok(), "ok: 1 records, 1 live\n");
}

#[test]
fn what_is_wrong_is_told_also_where_nobody_takes_the_list_of_it() {
    let shell = Shell::new();
    let store = Store::open(shell.path("n.shelf")).unwrap();
    let values: Vec<String> = (0..300).map(|nth| format!("canary-{nth:03}")).collect();
    for is_older in [true, false] {
        let mut batch = Batch::new();
        for (nth, value) in values.iter().enumerate() {
            // Longer than the buffer of standard output, all in all.
            let key = format!("{nth:03}{}", "k".repeat(60));
            batch.insert(key, if is_older { "older" } else { value });
        }
        store.write(&batch).unwrap();
    }
    store.insert("sound", "v").unwrap();
    store.close().unwrap();
    let mut bytes = fs::read(shell.path("n.shelf")).unwrap();
    for value in &values {
        let is_value = |window: &[u8]| window == value.as_bytes();
        let at = bytes.windows(value.len()).rposition(is_value).unwrap();
        bytes[at + 5] ^= 1;
    }
    fs::write(shell.path("n.shelf"), bytes).unwrap();
    let told = |words: &str, out: Stdio| -> (Option<i32>, String) {
        let mut command = Command::new(BIN);
        command.args(words.split(' ')).current_dir(shell.dir.path());
        let ran = command.stdout(out).stderr(Stdio::piped());
        let ran = ran.spawn().unwrap().wait_with_output().unwrap();
        (ran.status.code(), String::from_utf8(ran.stderr).unwrap())
    };
    let closed = || Stdio::from(std::io::pipe().unwrap().1);
    let (code, said) = told("verify n.shelf", closed());
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("is damaged in"), "{said}");
    let (code, said) = told("salvage n.shelf -o new.shelf", closed());
    assert_eq!(code, Some(3), "{said}");
    assert!(
        said.starts_with("saved ") && said.contains(" lost"),
        "{said}"
    );

    let full = || Stdio::from(fs::File::options().write(true).open("/dev/full").unwrap());
    let failed = "failed to write to standard output";
    // The last prints less than a buffer holds, so the failure of its list comes behind that of the store.
    for (words, code) in [
        ("salvage n.shelf -o second.shelf --older", 5),
        ("verify n.shelf", 5),
        ("ls n.shelf", 3),
    ] {
        let (ended, said) = told(words, full());
        assert_eq!(ended, Some(code), "{words}: {said}");
        assert_eq!(said.matches(failed).count(), 1, "{words}: {said}");
    }
}
