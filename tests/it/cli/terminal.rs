//! The output that a person sees: tables that fit, talk that can't drive the terminal, commands that can be typed as
//! suggested.

use super::*;
use crate::support::{each_at_once, skip};

#[test]
fn one_long_value_wraps_its_own_row_only() {
    let shell = Shell::new();
    for key in ["a", "bb", "ccc"] {
        shell.run(&format!("set n.shelf {key} v")).ok();
    }
    let long = "x".repeat(300);
    shell.run(&format!("set n.shelf {long} v")).ok();
    for columns in [40, 80, 200] {
        let Some(ran) = shell.at_terminal(columns, "$B ls n.shelf --long", "") else {
            skip("one_long_value_wraps_its_own_row_only", "no python3");
            return;
        };
        let listed = ran.ok();
        let wide: Vec<&str> = listed
            .lines()
            .filter(|line| line.chars().count() > columns)
            .collect();
        assert!(
            wide.len() == 1 && wide[0].starts_with(&long),
            "{columns}: {listed}"
        );
        let starts: Vec<usize> = listed
            .lines()
            .filter(|line| !line.starts_with('x'))
            .map(|line| line.find("  20").or(line.find("  WRITTEN")).unwrap())
            .collect();
        assert!(starts.iter().all(|start| *start == starts[0]), "{listed}");
    }
    // No table, no header.
    assert_eq!(
        shell
            .at_terminal(80, "$B ls n.shelf nix --long", "")
            .unwrap()
            .ok(),
        "KEY  SIZE  WRITTEN  EXPIRES\n"
    );
    assert!(!shell.run("ls n.shelf --long").ok().contains("KEY"));
}

/// A folder and a file may be called anything.
#[test]
fn no_name_drives_the_terminal_and_suggested_commands_work_as_typed() {
    let shell = Shell::new();
    for name in [
        "it's \x1b[31mred\n\u{202e}.shelf",
        "-o.shelf",
        "a b$(touch owned).shelf",
    ] {
        let set = shell.words(b"", ["set", "--", name, "k", "canary"]);
        set.ok();
        let mut bytes = fs::read(shell.path(name)).unwrap();
        let place = bytes.windows(6).position(|window| window == b"canary");
        bytes[place.unwrap()] ^= 1;
        fs::write(shell.path(name), bytes).unwrap();
        for words in [
            &["verify", "--", name][..],
            &["get", "--", name, "k"],
            &["dump", "--", name],
            &["info", "--", name],
            &["ls", "--", name],
            &["get", "--", &format!("no-folder/{name}"), "k"],
            &["load", "--", "n.shelf", name],
            &["salvage", "-o", name, "--", name],
        ] {
            let ran = shell.words(b"", words);
            let acts = |c: char| (c.is_control() && c != '\t' && c != '\n') || c == '\u{202e}';
            assert!(
                !ran.out.contains(acts) && !ran.err.contains(acts),
                "{ran:?}"
            );
            assert!(
                ran.err.is_empty() || ran.err.ends_with('\n'),
                "one line: {ran:?}"
            );
            assert_eq!(
                ran.err.lines().count(),
                usize::from(!ran.err.is_empty()),
                "{ran:?}"
            );
        }
        let said = shell.words(b"", ["verify", "--", name]).err;
        let suggested = said.trim_end().split("try: shelflife ").nth(1).unwrap();
        let mut command = Command::new("bash");
        command
            .args(["-c", &format!("$B {suggested}")])
            .env("B", BIN);
        let ran = shell.finish(b"", &mut command);
        assert_eq!(ran.code, 3, "{suggested}: {ran:?}");
        assert!(shell.path(&format!("{name}.new")).exists(), "{suggested}");
    }
    assert!(!shell.path("owned").exists());
}

#[test]
fn a_value_that_begins_with_a_dash_is_told_how_to_be_one() {
    let shell = Shell::new();
    assert_eq!(
        shell.run("set n.shelf temp -5").failed(2),
        "shelflife: unknown option `-5`; if it is no option, put `--` before it; usage: shelflife set F KEY [VALUE] \
         [--json-value] [--raw] [--expires WHEN] [--new]\n"
    );
    shell.run("set n.shelf temp -- -5").ok();
    assert_eq!(shell.run("get n.shelf temp").ok(), "-5\n");
}

#[test]
fn numbers_are_digits_and_lengths_of_time_have_a_unit() {
    let shell = Shell::new();
    shell.run("set n.shelf k v").ok();
    for (words, said) in [
        (
            "session ls n.shelf --idle 30",
            "`30` is no length of time for `--idle`; write 90s, 30m, 12h or 7d",
        ),
        (
            "session ls n.shelf --idle +30m",
            "`+30m` is no length of time for `--idle`",
        ),
        (
            "session expire n.shelf --idle 0",
            "`0` is no length of time for `--idle`",
        ),
        (
            "get n.shelf k --wait +1",
            "`+1` is no length of time for `--wait`",
        ),
        ("demo --port +80", "--port needs a number up to 65535"),
        ("demo --port 65536", "--port needs a number up to 65535"),
    ] {
        let ran = shell.run(words).failed(2);
        assert!(
            ran.starts_with(&format!("shelflife: {said}")),
            "{words}: {ran}"
        );
    }
    shell.run("get n.shelf k --wait 1").ok();
}

#[test]
fn a_byte_order_mark_is_passed_over_or_named() {
    let shell = Shell::new();
    let line = "\u{feff}{\"k\":\"a\",\"v\":1}\n";
    shell.pipe(line.as_bytes(), "load n.shelf").ok();
    let json = "\u{feff}[1]";
    shell
        .pipe(json.as_bytes(), "set n.shelf b - --json-value")
        .ok();
    assert_eq!(
        shell.run("dump n.shelf").ok(),
        "{\"k\":\"a\",\"v\":1}\n{\"k\":\"b\",\"v\":[1]}\n"
    );
    let said = shell.pipe(b"\xff\xfe{\0\"\0", "load n.shelf").failed(2);
    assert!(said.contains("UTF-16, by its byte order mark"), "{said}");
}

#[test]
fn every_table_and_every_explanation_fits_its_terminal() {
    let shell = Shell::new();
    shell.run("set notes.shelf cart:17 tea").ok();
    shell.run("set notes.shelf cart:18 cup").ok();
    shell.run("rm notes.shelf cart:17").ok();
    let app = ShelveSessionStore::open(shell.path("s.shelf")).unwrap();
    for user in ["ann", "bob"] {
        let mut session = Session::new();
        session.set_user(Some(user));
        session.set_remote_address(Some("192.168.100.200"));
        let _ = app.save_session(&mut session).unwrap();
    }
    let overview = shell.run("help").ok();
    let commands = overview.lines().filter_map(|line| line.strip_prefix("  "));
    let names = commands
        .filter(|line| !line.starts_with("shelflife ") && !line.starts_with(' '))
        .map(|line| {
            let words = line.split(' ');
            let is_name = |word: &&str| word.chars().all(|c| c.is_lowercase() || c == '-');
            let words: Vec<&str> = words
                .take_while(|word| !word.is_empty() && is_name(word))
                .collect();
            words.join(" ")
        });
    let names: Vec<String> = names.collect();
    assert!(names.len() > 20);
    let help = |name: &String| format!("$B help {name};");
    let help: String = names.iter().map(help).collect();
    let help = format!("$B --help; $B session --help; {help}");
    let tables = "$B info notes.shelf; ($B history notes.shelf; $B history notes.shelf cart:17) 2>&-; \
                  $B ls notes.shelf --long; $B session ls s.shelf";
    for columns in [40, 80, 200] {
        let at_terminal = |script: &str| shell.at_terminal(columns, script, "");
        let Some((help, tables)) = at_terminal(&help).zip(at_terminal(tables)) else {
            skip(
                "every_table_and_every_explanation_fits_its_terminal",
                "no python3",
            );
            return;
        };
        let (help, tables) = (help.ok(), tables.ok());
        for line in help.lines().chain(tables.lines()) {
            // A line to copy stays one.
            let is_example = columns == 40 && line.starts_with("  ") && line.contains("shelflife ");
            assert!(
                line.chars().count() <= columns || is_example,
                "at {columns}: {line}"
            );
        }
        let is_below = tables.lines().any(|line| line.starts_with(' '));
        assert_eq!(is_below, columns == 40, "a line for each row: {tables}");
    }
    for name in names {
        let help = shell.run(&format!("help {name}")).ok();
        let long = help.lines().find(|line| line.chars().count() > 80);
        assert_eq!(long, None, "{name}, through a pipe");
    }
}

#[test]
fn what_takes_over_a_second_is_told_at_a_terminal_only() {
    let shell = Shell::new();
    shell.run("set s.shelf k v").ok();
    let _app = shell.held("s.shelf");
    // Ctrl-C stops it once something was shown, however late that is.
    let (script, shown) = ("$B set s.shelf k w --wait 60", r"\r[a-z]*: \d+ s ");
    let Some(ran) = shell.all_at_terminal(80, script, shown, "\u{3}") else {
        skip(
            "what_takes_over_a_second_is_told_at_a_terminal_only",
            "no python3",
        );
        return;
    };
    assert!(ran.out.starts_with("\ropening: "), "{ran:?}");
    // Of a talk that somebody reads later it is no part.
    let script = "$B set s.shelf k w --wait 2 2>said";
    let ran = shell.at_terminal(80, script, "").unwrap();
    assert_eq!((ran.code, ran.out.as_str()), (4, ""));
    let said = fs::read_to_string(shell.path("said")).unwrap();
    assert!(said.starts_with("shelflife: "), "{said:?}");
}

/// The disk takes its time, also where the file opens at once.
#[test]
fn a_removal_that_takes_over_a_second_is_told_at_a_terminal() {
    let shell = Shell::new();
    let traced = Command::new("strace").args(["-qq", "true"]).output();
    let can_trace = traced.is_ok_and(|traced| traced.status.success());
    if !can_trace || shell.at_terminal(80, "true", "").is_none() {
        return skip(
            "a_removal_that_takes_over_a_second_is_told_at_a_terminal",
            "no strace, or no python3",
        );
    }
    let sync = "-e trace=fsync,fdatasync -e inject=fsync,fdatasync:delay_enter=1500000";
    let cases = [
        ("rm 1.shelf k", "removing"),
        ("session expire 2.shelf --idle 0s", "expiring"),
        ("session rm 3.shelf HANDLE", "ending"),
        ("session rm 4.shelf --user ann --yes", "ending"),
    ];
    each_at_once(cases.into_iter().zip(1..), |((words, doing), nth)| {
        let store = ShelveSessionStore::open(shell.path(&format!("{nth}.shelf"))).unwrap();
        store.store().insert("k", "v").unwrap();
        let mut session = Session::new();
        session.set_user(Some("ann"));
        let _ = store.save_session(&mut session).unwrap();
        store.close().unwrap();
        let words = words.replace("HANDLE", &session.handle().unwrap().to_string());
        let script = format!("strace -f -qq -o /dev/null {sync} $B {words}");
        let ran = shell
            .all_at_terminal(80, &script, "nothing asked", "")
            .unwrap();
        assert_eq!(ran.code, 0, "{words}: {ran:?}");
        assert!(
            ran.out.starts_with(&format!("\r{doing}: ")),
            "{words}: {ran:?}"
        );
    });
}

/// A copy is stored bytes, any of which a terminal may take for a command.
#[test]
fn a_copy_is_not_written_to_a_terminal() {
    let shell = Shell::new();
    shell.run("set s.shelf k \u{1b}[31mred").ok();
    let Some(ran) = shell.at_terminal(80, "$B backup s.shelf -", "") else {
        skip("a_copy_is_not_written_to_a_terminal", "no python3");
        return;
    };
    assert_eq!(ran.code, 2);
    let said = "shelflife: standard output is a terminal: redirect it to a file; usage: ";
    assert!(ran.out.starts_with(said), "{ran:?}");
}

#[test]
fn who_is_kept_waiting_is_told_the_option_that_waits_longer() {
    let shell = Shell::new();
    shell.run("set s.shelf k v").ok();
    let _app = shell.held("s.shelf");
    let said = shell.run("set s.shelf k w --wait 1").failed(4);
    assert!(
        said.ends_with("; try again, or wait longer with --wait\n"),
        "{said}"
    );
}
