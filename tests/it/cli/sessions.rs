//! The commands about sessions of an admin and a cron job; and the tables that people at a terminal see and programs do
//! not.

use super::*;
use crate::session::login;
use crate::support::skip;
use std::collections::BTreeSet;

#[test]
fn sessions_are_browsed_by_handle_while_the_app_has_them_open() {
    let shell = Shell::new();
    let app = ShelveSessionStore::open(shell.path("s.shelf")).unwrap();
    let login = |user: &str| {
        let mut session = Session::new();
        session.set_user(Some(user));
        session.set_remote_address(Some("10.0.0.7"));
        session.insert("cart", &vec!["tea"]).unwrap();
        let _ = app.save_session(&mut session).unwrap();
        session
    };
    let (ann, bob, ann_too) = (login("ann"), login("bob\x1b[2J\t!"), login("ann"));
    let handle = |session: &Session| session.handle().unwrap().to_string();
    let ids: Vec<String> = [&ann, &bob, &ann_too]
        .map(|session| session.id().unwrap().as_str().to_string())
        .into();

    let listed = shell.run("session ls s.shelf").ok();
    let rows: Vec<Vec<&str>> = listed
        .lines()
        .map(|line| line.split('\t').collect())
        .collect();
    assert_eq!(
        rows.iter().map(|row| row[0]).collect::<Vec<_>>(),
        [&ann, &bob, &ann_too].map(handle)
    );
    assert_eq!(
        (rows[0][1], rows[1][1], rows[0][3], rows[0][4]),
        ("ann", "bob\\x1b[2J\\t!", "-", "10.0.0.7")
    );
    assert_eq!(
        shell
            .run("session ls s.shelf --user ann")
            .ok()
            .lines()
            .count(),
        2
    );
    assert_eq!(shell.run("session ls s.shelf --idle 1h").ok(), "");
    let json = shell.run("session ls s.shelf --json").ok();
    let first: shelflife::Value = json.lines().next().unwrap().parse().unwrap();
    assert_eq!(
        (first.get("handle"), first.get("user")),
        (Some(&handle(&ann).as_str().into()), Some(&"ann".into()))
    );

    let shown = shell
        .run(&format!("session show s.shelf {}", handle(&bob)))
        .ok();
    for row in [
        "user\tbob\\x1b[2J\\t!\n",
        "remote address\t10.0.0.7\n",
        "agent\t-\n",
        "form tokens\t0\n",
        "data.cart\t[\"tea\"]\n",
    ] {
        assert!(shown.contains(row), "{row:?} is not in {shown}");
    }
    assert_eq!(
        shell.run("session show s.shelf 000000000000").failed(1),
        "shelflife: no such session: 000000000000\n"
    );
    let keys = shell.run("ls s.shelf --long").ok();
    assert!(
        keys.starts_with(&format!("session {}\t", handle(&ann))),
        "{keys}"
    );
    for id in &ids {
        assert!(
            ![&listed, &json, &shown, &keys]
                .iter()
                .any(|text| text.contains(id.as_str())),
            "an id is shown"
        );
    }

    // Named twice, ended once.
    let (whole, begun) = (handle(&bob), &handle(&bob)[..8]);
    let twice = format!("session rm s.shelf {whole} {begun}");
    assert_eq!(shell.run(&twice).ok(), "");
    assert!(
        !app.has_session(bob.id().unwrap()).unwrap(),
        "the app sees it at once"
    );
    assert_eq!(
        shell
            .run(&format!("session rm s.shelf {}", handle(&bob)))
            .failed(1),
        format!("shelflife: no such session: {}\n", handle(&bob))
    );
    assert_eq!(
        shell
            .pipe(
                format!("{}\n", ids[0]).as_bytes(),
                "session rm s.shelf --cookie -"
            )
            .ok(),
        ""
    );
    assert!(!app.has_session(ann.id().unwrap()).unwrap());
    // Nobody is asked, since nobody is there.
    let said = shell.run("session rm s.shelf --user ann").failed(2);
    assert!(
        said.starts_with("shelflife: this ends many sessions: add --yes; usage: "),
        "{said}"
    );
    assert!(app.has_session(ann_too.id().unwrap()).unwrap());
    assert_eq!(shell.run("session rm s.shelf --user ann --yes").ok(), "");
    assert_eq!(
        shell.run("session rm s.shelf --user ann --yes").failed(1),
        "shelflife: no session of ann\n"
    );
    assert_eq!(shell.run("session ls s.shelf").ok(), "");
}

#[test]
fn people_get_tables_and_notes_and_are_asked_before_many_sessions_end() {
    let shell = Shell::new();
    let sessions = ShelveSessionStore::open(shell.path("s.shelf")).unwrap();
    for _ in 0..2 {
        login(&sessions, "ann");
    }
    let Some(_) = shell.at_terminal(80, "true", "") else {
        skip(
            "people_get_tables_and_notes_and_are_asked_before_many_sessions_end",
            "no python3",
        );
        return;
    };
    let at_terminal = |script: &str, answer: &str| shell.at_terminal(80, script, answer).unwrap();
    assert_eq!(
        at_terminal("$B set n.shelf tea green", "").ok(),
        "stored 6 B\n"
    );
    shell
        .pipe(b"\x1b[31mred", "set n.shelf longer - --raw")
        .ok();
    assert_eq!(
        at_terminal("$B get n.shelf longer", "").ok(),
        "\\x1b[31mred\n"
    );
    let listed = at_terminal("$B ls n.shelf --long", "").ok();
    let (header, rows) = listed.split_once('\n').unwrap();
    let names: Vec<&str> = header.split_whitespace().collect();
    assert_eq!(names, ["KEY", "SIZE", "WRITTEN", "EXPIRES"]);
    let columns: Vec<usize> = rows
        .lines()
        .map(|line| line.find(" B  ").unwrap())
        .collect();
    assert_eq!(columns[0], columns[1], "{listed}");
    assert_eq!(
        at_terminal("$B rm n.shelf tea longer", "").ok(),
        "removed 2\n"
    );
    assert!(
        at_terminal("$B compact n.shelf", "")
            .ok()
            .contains(" KiB -> 8.")
    );
    let listed = at_terminal("$B session ls s.shelf", "").ok();
    let (header, rows) = listed.split_once('\n').unwrap();
    let names: Vec<&str> = header.split_whitespace().collect();
    assert_eq!(names, ["HANDLE", "USER", "USED", "EXPIRES", "ADDRESS"]);
    assert!(
        rows.lines()
            .all(|line| line.contains("  ann   ") && line.ends_with(" ago  no end   -")),
        "{listed}"
    );
    assert_eq!(
        at_terminal("$B session expire s.shelf --idle 30m", "").ok(),
        "expired 0, 2 remain\n"
    );

    // A person whose standard error goes elsewhere would wait for a question that is never seen.
    let unseen = "echo go; $B session rm s.shelf --user ann 2>said; cat said";
    let unseen = shell.all_at_terminal(80, unseen, r"go\r\n", "n").unwrap();
    assert!(unseen.out.contains("add --yes"), "{unseen:?}");
    // Input from a pipe is no answer of the person in front of the terminal.
    let piped = at_terminal("echo y | $B session rm s.shelf --user ann", "n");
    assert_eq!(piped.code, 2, "{piped:?}");
    assert!(piped.out.contains("add --yes"), "{piped:?}");
    let refused = at_terminal("$B session rm s.shelf --user ann", "n");
    let asked = "log out 2 sessions of ann? [y/N]\n";
    assert_eq!(
        (refused.code, refused.out),
        (1, format!("{asked}n\nshelflife: nothing was changed\n"))
    );
    assert_eq!(sessions.iter_sessions().count(), 2);
    assert_eq!(
        at_terminal("$B session rm s.shelf --user ann", "y").ok(),
        format!("{asked}y\nlogged out 2 sessions of ann\n")
    );
    assert_eq!(sessions.iter_sessions().count(), 0);
}

#[test]
fn a_cookie_in_the_wrong_place_is_not_repeated() {
    let shell = Shell::new();
    let app = ShelveSessionStore::open(shell.path("s.shelf")).unwrap();
    // One id in 64 begins as an option does.
    for begins_as_option in [false, true] {
        let sessions = std::iter::repeat_with(|| login(&app, "ann"));
        let is_wanted =
            |session: &Session| session.id().unwrap().as_str().starts_with('-') == begins_as_option;
        let session = { sessions }.find(is_wanted).unwrap();
        let id = session.id().unwrap().as_str();
        for ran in [
            shell.run(&format!("session rm s.shelf --cookie {id}")),
            shell.run(&format!("session rm s.shelf {id}")),
            shell.run(&format!("session show s.shelf {id}")),
            shell.run(&format!("session show s.shelf 012345678901 {id}")),
            shell.run(&format!("session show s.shelf {id}=1")),
            shell.run(&format!("get s.shelf key {id}")),
            shell.pipe(format!("{id}x").as_bytes(), "session rm s.shelf --cookie -"),
        ] {
            let said = ran.failed(2);
            assert!(
                said.starts_with("shelflife: ") && !said.contains(id),
                "{said}"
            );
        }
        for words in [
            format!("session rm {id} s.shelf"),
            format!("session show {id} 0123456789ab"),
            format!("session ls s.shelf --idle {id}"),
            format!("session rm s.shelf --yes --user {id}"),
            format!("session rm s.shelf --yes --user={id}"),
            format!("get s.shelf -- {id}"),
            format!("history s.shelf -- {id}"),
            format!("session {id}"),
            id.to_string(),
        ] {
            let ran = shell.run(&words);
            assert!(ran.code != 0 && !ran.err.contains(id), "{words}: {ran:?}");
        }
        assert!(app.has_session(session.id().unwrap()).unwrap());
    }
}

/// The key holds the id.
#[test]
fn a_complaint_about_the_key_of_a_session_has_its_handle_instead() {
    let shell = Shell::new();
    let app = ShelveSessionStore::open(shell.path("s.shelf")).unwrap();
    let (session, key) = loop {
        let mut session = Session::new();
        session.insert("cart", "tea").unwrap();
        let _ = app.save_session(&mut session).unwrap();
        let mut keys = app.store().iter().map(|pair| pair.unwrap().0);
        let key = keys.find(|key| SessionHandle::of_key(key) == session.handle());
        let key = key.unwrap();
        // No argument of a program holds a NUL byte.
        if !key.contains(&0) {
            break (format!("session {}", session.handle().unwrap()), key);
        }
    };
    shell.run("set other.shelf tea green").ok();
    let dump = shell.run("dump s.shelf").ok();
    let lines: String = dump
        .split_inclusive('\n')
        .filter(|line| line.contains("cart"))
        .collect();
    for command in ["get", "rm"] {
        let ran = shell.pipe(lines.as_bytes(), &format!("{command} other.shelf --json"));
        assert!(
            ran.err.ends_with(&format!("no such key: {session}\n")),
            "{ran:?}"
        );
    }
    let key = OsString::from_vec(key);
    let [set, restore, history] = [
        "set s.shelf KEY x --new",
        "restore s.shelf KEY --offset 1",
        "history other.shelf KEY",
    ]
    .map(|words| {
        let words = words.split(' ').map(OsStr::new);
        shell.words(
            b"",
            words.map(|word| if word == "KEY" { &key } else { word }),
        )
    });
    let there = format!("shelflife: the key is there already: {session}\n");
    assert_eq!(set.failed(1), there);
    let unchanged = format!("shelflife: {session} was not changed at 0x1; ");
    assert!(restore.err.starts_with(&unchanged), "{restore:?}");
    let absent = format!("shelflife: no such key: {session}\n");
    assert!(history.err.ends_with(&absent), "{history:?}");
}

#[test]
fn expire_is_silent_for_cron_and_counts_on_request() {
    let shell = Shell::new();
    let app = ShelveSessionStore::open(shell.path("s.shelf")).unwrap();
    for user in ["ann", "bob", "eve"] {
        login(&app, user);
    }
    assert_eq!(shell.run("session expire s.shelf --idle 30m").ok(), "");
    assert_eq!(
        shell.run("session expire s.shelf --idle 30m --json").ok(),
        "{\"deleted\":0,\"remaining\":3}\n"
    );
    assert_eq!(
        shell.run("session expire s.shelf --idle 0s --dry-run").ok(),
        "would log out 3, 0 remain\n"
    );
    assert_eq!(app.iter_sessions().count(), 3);
    assert_eq!(
        shell.run("session expire --idle 0s s.shelf --json").ok(),
        "{\"deleted\":3,\"remaining\":0}\n"
    );
    assert_eq!(app.iter_sessions().count(), 0);
    // Without a length of time those go that have ended, and nobody who has not.
    let moment = Some(Duration::from_millis(1));
    for idle in [None, moment, moment] {
        let mut session = Session::new();
        session.set_user(Some("ann"));
        let absolute = None;
        session.set_lifetime(Some(Lifetime { idle, absolute }));
        let _ = app.save_session(&mut session).unwrap();
        let is_over = || session.expires().is_none_or(|end| end <= SystemTime::now());
        copies::until("it has ended", is_over);
    }
    assert_eq!(
        shell.run("session expire s.shelf --json").ok(),
        "{\"deleted\":2,\"remaining\":1}\n"
    );
    assert_eq!(app.iter_sessions().count(), 1);
}

#[test]
fn the_beginning_of_a_handle_will_do_where_it_is_the_only_one() {
    let shell = Shell::new();
    let app = ShelveSessionStore::open(shell.path("s.shelf")).unwrap();
    let mut handles = Vec::new();
    // Until two begin with the same four digits, which the birthday of the first 300 or so brings.
    let twice = loop {
        let session = login(&app, "ann");
        let handle = session.handle().unwrap().to_string();
        let same = |other: &&String| other[..4] == handle[..4];
        let twin = handles.iter().find(same).cloned();
        handles.push(handle);
        if let Some(twin) = twin {
            break twin;
        }
    };
    let alone = handles
        .iter()
        .find(|handle| {
            handles
                .iter()
                .filter(|other| other[..4] == handle[..4])
                .count()
                == 1
        })
        .unwrap();
    let shown = shell
        .run(&format!("session show s.shelf {}", &alone[..4]))
        .ok();
    assert!(shown.starts_with(&format!("handle\t{alone}\n")), "{shown}");
    for command in ["show", "rm"] {
        let said = shell
            .run(&format!("session {command} s.shelf {}", &twice[..4]))
            .failed(2);
        let expected = format!(
            "shelflife: 2 handles begin with {}: give more of",
            &twice[..4]
        );
        assert!(said.starts_with(&expected), "{said}");
        let said = shell
            .run(&format!("session {command} s.shelf {}", &alone[..3]))
            .failed(2);
        assert!(!said.contains(&alone[..3]), "it may be of a cookie: {said}");
        let expected = "shelflife: HANDLE 1 is no handle: write the 12 digits of 0-9 and a-f, or the first of them, at least 4\n";
        assert_eq!(said, expected);
    }
    assert_eq!(app.iter_sessions().count(), handles.len());
    // Several at once, and the others are ended where one is not there. A dry run tells the same.
    let rm = format!(
        "session rm s.shelf {} 000000000000 111111111111 {twice}",
        &alone[..6]
    );
    let said =
        ["000000000000", "111111111111"].map(|it| format!("shelflife: no such session: {it}\n"));
    let dry = shell.run(&format!("{rm} --dry-run"));
    assert_eq!((dry.code, dry.err), (1, said.concat()));
    let listed: BTreeSet<&str> = dry.out.lines().collect();
    let expected = [&twice, alone].map(|handle| format!("{handle}\tann"));
    assert_eq!(listed, expected.iter().map(String::as_str).collect());
    assert_eq!(app.iter_sessions().count(), handles.len());
    let ran = shell.run(&rm);
    assert_eq!((ran.code, ran.err), (1, said.concat()));
    assert_eq!(app.iter_sessions().count(), handles.len() - 2);
    // `session rm` reads the handles that `session ls` prints.
    for form in ["-0", "--json"] {
        let before = app.iter_sessions().count();
        let listed = shell.run(&format!("session ls s.shelf {form}")).ok();
        let (end, many) = if form == "-0" { ('\0', 2) } else { ('\n', 3) };
        let some: String = listed.split_inclusive(end).take(many).collect();
        shell
            .pipe(some.as_bytes(), &format!("session rm s.shelf {form}"))
            .ok();
        assert_eq!(app.iter_sessions().count(), before - many, "{form}");
    }
    // So it does with what ls prints of a store that holds other keys as well.
    app.store().insert("tea", "green").unwrap();
    let listed = shell.run("ls s.shelf --json").ok();
    let sessions: String = listed
        .split_inclusive('\n')
        .filter(|line| line.contains("\"session\""))
        .collect();
    let said = shell
        .pipe(sessions.as_bytes(), "rm s.shelf --json")
        .failed(2);
    assert!(
        said.contains("which `shelflife session rm` removes"),
        "{said}"
    );
    assert_eq!(shell.run("ls s.shelf -0").ok(), "tea\0", "ids are secrets");
    shell
        .pipe(sessions.as_bytes(), "session rm s.shelf --json")
        .ok();
    assert_eq!(app.iter_sessions().count(), 0);
    for command in ["show", "rm"] {
        let said = shell
            .run(&format!("session {command} s.shelf {}", &alone[..4]))
            .failed(1);
        let expected = format!("shelflife: no such session: {}\n", &alone[..4]);
        assert_eq!(said, expected);
    }
}

#[test]
fn a_copy_keeps_hashes_only_where_that_is_asked_for() {
    let shell = Shell::new();
    let app = ShelveSessionStore::open(shell.path("s.shelf")).unwrap();
    let session = login(&app, "ann");
    for (how, is_hashed) in [("", false), (" --hash-ids", true)] {
        let to = format!("copy{is_hashed}.shelf");
        let copied = shell.run(&format!("session copy s.shelf {to}{how}")).ok();
        assert_eq!(copied, "copied 1 session, 0 were there already\n");
        // A store that is opened the other way is refused, or finds nobody.
        let copy = SessionOptions::new()
            .hash_ids(is_hashed)
            .open(shell.path(&to))
            .unwrap();
        let found = copy.load_session(session.id().unwrap()).unwrap();
        assert_eq!(found.unwrap().user(), Some("ann"), "{to}");
    }
}

#[test]
fn a_mirror_that_would_end_nothing_is_no_failure() {
    let shell = Shell::new();
    let app = ShelveSessionStore::open(shell.path("s.shelf")).unwrap();
    let [_, session] = ["bob", "ann"].map(|user| login(&app, user));
    shell.run("session copy s.shelf copy.shelf").ok();
    let dry = "session copy --mirror --dry-run s.shelf copy.shelf";
    let run = shell.run(dry);
    assert_eq!((run.code, &*run.out), (0, ""), "{}", run.err);
    assert!(
        run.err.contains("TO has no session that FROM has not"),
        "{}",
        run.err
    );
    assert!(app.delete_session(session.id().unwrap()).unwrap());
    let would_end = shell.run(dry).ok();
    assert!(would_end.contains("ann"), "{would_end}");
}

#[test]
fn a_cookie_ends_its_session_only_where_it_is_asked_for_plainly() {
    let shell = Shell::new();
    let app = ShelveSessionStore::open(shell.path("s.shelf")).unwrap();
    let session = login(&app, "ann");
    let (id, handle) = (
        session.id().unwrap().as_str(),
        session.handle().unwrap().to_string(),
    );
    let pipe = |words: &str| shell.pipe(id.as_bytes(), &format!("session rm s.shelf {words}"));
    let listed = pipe("--cookie - --dry-run").ok();
    assert!(listed.starts_with(&handle), "{listed}");
    for words in [
        &format!("--cookie {id}"),
        "--cookie - --user ann --yes",
        &format!("{handle} --user ann --yes"),
        &format!("{handle} --cookie -"),
        "--yes",
    ] {
        pipe(words).failed(2);
        assert!(app.has_session(session.id().unwrap()).unwrap(), "{words}");
    }
}

#[test]
fn a_session_is_shown_beside_one_that_can_not_be_read() {
    let shell = Shell::new();
    let app = ShelveSessionStore::open(shell.path("s.shelf")).unwrap();
    let [ann, bob] = ["ann", "bob"].map(|user| {
        let mut session = Session::new();
        session.set_user(Some(user));
        session.insert("note", &user.repeat(9)).unwrap();
        let _ = app.save_session(&mut session).unwrap();
        session.handle().unwrap().to_string()
    });
    drop(app);
    let mut bytes = std::fs::read(shell.path("s.shelf")).unwrap();
    let note = "bob".repeat(9).into_bytes();
    let at = bytes.windows(note.len()).position(|part| part == note);
    bytes[at.unwrap()] ^= 1;
    std::fs::write(shell.path("s.shelf"), bytes).unwrap();
    shell.run(&format!("session show s.shelf {bob}")).failed(3);
    let shown = shell.run(&format!("session show s.shelf {ann}")).ok();
    assert!(shown.contains("user\tann\n"), "{shown}");
}

#[test]
fn a_store_without_sessions_is_not_mirrored() {
    let shell = Shell::new();
    let app = ShelveSessionStore::open(shell.path("s.shelf")).unwrap();
    login(&app, "ann");
    drop(ShelveSessionStore::open(shell.path("wrong.shelf")).unwrap());
    // A dry run shows what the other does.
    for how in ["--yes", "--dry-run"] {
        let said = shell
            .run(&format!("session copy --mirror {how} wrong.shelf s.shelf"))
            .failed(1);
        assert!(said.contains("FROM holds no session"), "{said}");
    }
    assert_eq!(app.iter_sessions().count(), 1);
}

#[test]
fn the_address_of_a_server_without_its_scheme_makes_no_file() {
    let shell = Shell::new();
    let app = ShelveSessionStore::open(shell.path("s.shelf")).unwrap();
    login(&app, "ann");
    for address in ["localhost:6379", "[::1]:6379"] {
        let copied = format!("session copy s.shelf {address}");
        let listed = format!("session ls {address}");
        for line in [&copied, &listed] {
            let said = shell.run(line).failed(2);
            assert!(said.contains("redis://host:port"), "{said}");
        }
        assert!(!shell.path(address).exists());
        // Where a file has such a name, it is meant.
        let copied = format!("session copy s.shelf ./{address}");
        shell.run(&copied).ok();
        assert!(shell.run(&listed).ok().contains("ann"));
    }
}

#[test]
fn ids_are_hashed_for_good_by_one_command_after_a_yes_and_everybody_stays_logged_in() {
    let shell = Shell::new();
    let path = shell.path("s.shelf");
    let app = ShelveSessionStore::open(&path).unwrap();
    let session = login(&app, "ann");
    let id = session.id().unwrap().clone();
    app.close().unwrap();
    shell.run("set s.shelf tea green").ok();

    // The advice that somebody gets who opens it the new way can be typed.
    let hashing = |path: &Path| SessionOptions::new().hash_ids(true).open(path);
    let told = hashing(&path).unwrap_err().to_string();
    let advice = told.split("`shelflife ").nth(1).unwrap();
    let command = advice.split('`').next().unwrap();
    let before = fs::read(&path).unwrap();
    let asked = shell.run(&format!("{command} s.shelf")).failed(2);
    assert!(asked.contains("--yes"), "{asked}");
    if let Some(refused) = shell.at_terminal(80, &format!("$B {command} s.shelf"), "n") {
        assert_eq!(refused.code, 1, "{refused:?}");
    }
    assert_eq!(fs::read(&path).unwrap(), before);

    assert_eq!(shell.run(&format!("{command} s.shelf --yes")).ok(), "");
    let hashed = hashing(&path).unwrap();
    assert_eq!(
        hashed.load_session(&id).unwrap().unwrap().user(),
        Some("ann")
    );
    assert_eq!(hashed.sessions_of("ann").unwrap().len(), 1);
    drop(hashed);
    assert_eq!(shell.run("get s.shelf tea").ok(), "green\n");
    shell.run(&format!("{command} s.shelf --yes")).ok();
}
