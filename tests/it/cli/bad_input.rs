//! Every wrong input gets one clear message and the right exit code, and the files that were there before are
//! untouched.

use super::*;
use crate::support::skip;

#[test]
fn a_malformed_line_is_named_and_nothing_is_loaded() {
    let shell = Shell::new();
    shell.run("set n.shelf old value").ok();
    let before = now_and_bytes(&shell.path("n.shelf"));
    let good = "{\"k\":\"a\",\"v\":1}\n{\"k\":\"b\",\"v\":2}\n";
    for (bad, what) in [
        ("{\"k\":\"c\",\"v\":", ""),
        ("{\"k\":\"c\"}", "no \"v\""),
        ("{\"v\":1}", "no \"k\""),
        ("[1]", "not an object with \"k\" and \"v\""),
        ("{\"k\":1,\"v\":1}", "\"k\" is of the wrong type"),
        (
            "{\"k\":\"c\",\"v\":1,\"x\":1}",
            "a member that is none of \"k\", \"v\", \"cbor\", \"expires\"",
        ),
        (
            "{\"k\":\"c\",\"v\":1,\"x\":\"d\"}",
            "a member that is none of",
        ),
        (
            "{\"k\":\"c\",\"v\":1,\"x\":{\"$b64\":\"\"}}",
            "a member that is none of",
        ),
        (
            "{\"k\":\"c\",\"v\":1,\"x\":true}",
            "a member that is none of",
        ),
        (
            "{\"k\":\"c\",\"v\":1,\"x\":null}",
            "a member that is none of",
        ),
        ("{\"k\":\"c\",\"v\":1,\"v\":2}", ""),
        ("{\"k\":\"c\",\"v\":18446744073709551616}", ""),
        ("{\"k\":\"c\",\"v\":1e999}", ""),
        ("{\"k\":\"c\",\"v\":{\"$b64\":\"?\"}}", ""),
        (
            "{\"k\":\"c\",\"v\":1,\"expires\":-1}",
            "\"expires\" is no time",
        ),
        ("{\"k\":\"c\",\"v\":1} {}", ""),
    ] {
        let said = shell
            .pipe(format!("{good}{bad}\n{good}").as_bytes(), "load n.shelf")
            .failed(2);
        assert!(
            said.starts_with(&format!("shelflife: standard input, line 3: {what}")),
            "{bad}: {said}"
        );
        assert!(said.ends_with("; nothing was loaded\n"), "{bad}: {said}");
    }
    let invalid = [good.as_bytes(), b"{\"k\":\"\xff\",\"v\":1}\n"].concat();
    assert_eq!(
        shell.pipe(&invalid, "load n.shelf").failed(2),
        "shelflife: standard input, line 3: not UTF-8; nothing was loaded\n"
    );
    fs::write(shell.path("in.jsonl"), "x").unwrap();
    let said = shell.run("load n.shelf in.jsonl").failed(2);
    assert!(
        said.starts_with("shelflife: `in.jsonl`, line 1: "),
        "{said}"
    );
    let said = shell.run("load n.shelf nix.jsonl").failed(5);
    assert!(
        said.starts_with("shelflife: failed to read `nix.jsonl`: ")
            && said.ends_with("; check the path\n"),
        "{said}"
    );
    assert!(now_and_bytes(&shell.path("n.shelf")) == before);
    // Nor is a store created for nothing.
    shell.pipe(b"x", "load new.shelf").failed(2);
    assert!(!shell.path("new.shelf").exists());
}

#[test]
fn usage_errors_name_what_is_wrong_and_the_way_out() {
    let shell = Shell::new();
    for (words, said) in [
        ("", "unknown command ``; see shelflife --help"),
        (
            "frobnicate",
            "unknown command `frobnicate`; see shelflife --help",
        ),
        (
            "verfy n.shelf",
            "unknown command `verfy`; did you mean `verify`?",
        ),
        (
            "sesion ls",
            "unknown command `sesion`; did you mean `session`?",
        ),
        ("session", "`session` what? see shelflife session --help"),
        (
            "session lss n.shelf",
            "unknown command `session lss`; did you mean `session ls`?",
        ),
        (
            "get n.shelf",
            "missing KEY, or -0 or --json for those on standard input; usage: shelflife get F [KEY] [--json] [--raw] [--expires] [-0]",
        ),
        (
            "get",
            "missing F; usage: shelflife get F [KEY] [--json] [--raw] [--expires] [-0]",
        ),
        (
            "rm n.shelf",
            "missing KEY, or -0 or --json for those on standard input; usage: shelflife rm F [KEY...] [--prefix P] [--yes] [--dry-run] [-0] [--json]",
        ),
        (
            "get n.shelf a b",
            "unexpected `b`; usage: shelflife get F [KEY] [--json] [--raw] [--expires] [-0]",
        ),
        (
            "get n.shelf a --rwa",
            "unknown option `--rwa`; did you mean `--raw`?; usage: shelflife get F [KEY] [--json] [--raw] [--expires] [-0]",
        ),
        (
            "get n.shelf a --raw=1",
            "`--raw` takes no value; usage: shelflife get F [KEY] [--json] [--raw] [--expires] [-0]",
        ),
        (
            "get n.shelf a --wait",
            "`--wait` needs SECS; usage: shelflife get F [KEY] [--json] [--raw] [--expires] [-0]",
        ),
        (
            "get n.shelf a --wait=x",
            "`x` is no length of time for `--wait`; write 90s, 30m, 12h or 7d; usage: shelflife get F [KEY] [--json] [--raw] [--expires] [-0]",
        ),
        (
            "set n.shelf a b --raw --json-value",
            "--raw and --json-value exclude each other; usage: shelflife set F KEY [VALUE] [--json-value] [--raw] [--expires WHEN] [--new]",
        ),
        (
            "demo --port x",
            "--port needs a number up to 65535; usage: shelflife demo [F] [--port N] [--like-session3] [--store URL] [--prefix P] [--password-file FILE]",
        ),
    ] {
        assert_eq!(
            shell.run(words).failed(2),
            format!("shelflife: {said}\n"),
            "{words}"
        );
    }
    assert_eq!(
        shell.finish(b"", &mut Command::new(BIN)).failed(2),
        "shelflife: which command? see shelflife --help\n"
    );
    assert_eq!(
        shell
            .words(b"", ["set", "n.shelf", "k", "--json-value", "{"])
            .failed(2)
            .split(':')
            .nth(1),
        Some(" the value is not JSON")
    );
    assert_eq!(
        fs::read_dir(shell.dir.path()).unwrap().count(),
        0,
        "nothing was created"
    );
}

/// Everything that can stand at the path that a command is given: one clear message, and nothing changes.
#[test]
fn what_is_not_a_store_is_left_as_it_was() {
    let shell = Shell::new();
    fs::write(
        shell.path("photo.shelf"),
        b"\x89PNG\r\n\x1a\n and so on, and so on, for longer than a header".repeat(200),
    )
    .unwrap();
    fs::write(shell.path("byte.shelf"), b"x").unwrap();
    fs::create_dir(shell.path("folder.shelf")).unwrap();
    let made = Command::new("mkfifo")
        .arg(shell.path("fifo.shelf"))
        .status()
        .unwrap();
    assert!(made.success());
    for words in [
        "set F k v",
        "get F k",
        "rm F k",
        "ls F",
        "dump F",
        "info F",
        "verify F",
        "compact F",
        "session ls F",
        "session rm F --user u --yes",
        "session hash F --yes",
        "demo F --port 0",
    ] {
        for (name, is_file) in [
            ("photo.shelf", true),
            ("byte.shelf", true),
            ("folder.shelf", false),
            ("fifo.shelf", false),
        ] {
            let before = is_file.then(|| now_and_bytes(&shell.path(name)));
            let said = shell.run(&words.replace('F', name)).failed(5);
            assert!(
                said.starts_with("shelflife: ") && said.contains(name),
                "{words} {name}: {said}"
            );
            assert_eq!(said.lines().count(), 1, "{words} {name}: {said}");
            assert!(
                before == is_file.then(|| now_and_bytes(&shell.path(name))),
                "{words} {name}"
            );
        }
        let said = shell
            .run(&words.replace('F', "no-such-folder/x.shelf"))
            .failed(5);
        assert!(said.contains("no-such-folder/x.shelf"), "{words}: {said}");
    }
    assert_eq!(
        fs::read_dir(shell.dir.path()).unwrap().count(),
        4,
        "nothing was left behind"
    );
}

#[test]
fn only_what_stores_something_creates_the_file() {
    let shell = Shell::new();
    for words in [
        "get F k",
        "rm F k",
        "ls F",
        "dump F",
        "info F",
        "verify F",
        "compact F",
        "session ls F",
        "session expire F --idle 1s",
        "session rm F --user u --yes",
        "session hash F --yes",
    ] {
        let said = shell.run(&words.replace('F', "new.shelf")).failed(5);
        assert!(
            said.starts_with("shelflife: ") && said.contains("new.shelf"),
            "{said}"
        );
        assert_eq!(
            fs::read_dir(shell.dir.path()).unwrap().count(),
            0,
            "{words}"
        );
    }
    // An empty file is a store that nothing was written to yet.
    fs::write(shell.path("empty.shelf"), "").unwrap();
    assert_eq!(shell.run("ls empty.shelf").ok(), "");
    assert_eq!(fs::metadata(shell.path("empty.shelf")).unwrap().len(), 0);
    shell.run("set empty.shelf k v").ok();
    assert_eq!(shell.run("get empty.shelf k").ok(), "v\n");
}

#[test]
fn a_newer_version_is_left_as_it_was() {
    let shell = Shell::new();
    shell.run("set n.shelf k v").ok();
    // FORMAT.md: the version is at byte 8 of each of the header's two copies.
    let mut bytes = fs::read(shell.path("n.shelf")).unwrap();
    for copy in [0, 4096] {
        bytes[copy + 8] = 2;
    }
    fs::write(shell.path("n.shelf"), bytes).unwrap();
    let before = now_and_bytes(&shell.path("n.shelf"));
    for words in [
        "get n.shelf k",
        "set n.shelf k w",
        "verify n.shelf",
        "compact n.shelf",
    ] {
        let said = shell.run(words).failed(5);
        assert!(
            said.contains("n.shelf") && said.contains("newer"),
            "{words}: {said}"
        );
    }
    assert!(now_and_bytes(&shell.path("n.shelf")) == before);
}

#[test]
fn without_permission_the_message_says_whose_it_is_to_give() {
    let shell = Shell::new();
    shell.run("set n.shelf k v").ok();
    // Root may do everything, so the command runs as nobody, from a place that nobody can reach.
    fs::set_permissions(shell.dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let bin = shell.path("shelflife");
    fs::copy(BIN, &bin).unwrap();
    fs::set_permissions(&bin, fs::Permissions::from_mode(0o755)).unwrap();
    let is_root =
        fs::metadata("/proc/self").is_ok_and(|of| std::os::unix::fs::MetadataExt::uid(&of) == 0);
    if !is_root {
        fs::set_permissions(shell.path("n.shelf"), fs::Permissions::from_mode(0o000)).unwrap();
    }
    let as_nobody = |words: &str| {
        let mut command = Command::new(&bin);
        command.args(words.split(' '));
        if is_root {
            command.uid(65534).gid(65534);
        }
        shell.finish(b"", &mut command)
    };
    for words in ["get n.shelf k", "set n.shelf k w", "verify n.shelf"] {
        let said = as_nobody(words).failed(5);
        assert!(
            said.contains("n.shelf")
                && said.contains("Permission denied")
                && said.contains("; check the owner and mode"),
            "{words}: {said}"
        );
    }
    if is_root {
        let said = as_nobody("set new.shelf k v").failed(5);
        assert!(
            said.contains("new.shelf") && said.contains("Permission denied"),
            "{said}"
        );
        assert_eq!(shell.run("get n.shelf k").ok(), "v\n");
    }
}

/// A container that has the file alone stays with the one that had its name when it was mounted.
#[test]
fn a_file_that_is_mounted_by_itself_is_not_used_once_another_has_its_name() {
    let shell = Shell::new();
    shell.run("set n.shelf k v").ok();
    let can = shell.mounted("true");
    if can.code != 0 {
        let why = can.err.lines().next().unwrap_or_default();
        skip(
            "a_file_that_is_mounted_by_itself_is_not_used_once_another_has_its_name",
            why,
        );
        return;
    }
    shell
        .mounted("$BIN set in k w && $BIN get in k && $BIN set n.shelf k x && $BIN get in k")
        .ok();
    for words in ["get in k", "set in k lost", "rm in k", "compact in"] {
        let said = shell
            .mounted(&format!("$BIN compact n.shelf && $BIN {words}"))
            .failed(5);
        assert!(said.contains("mount its folder"), "{words}: {said}");
    }
    assert_eq!(shell.run("get n.shelf k").ok(), "x\n");
}

#[test]
fn a_read_only_file_system_is_read_and_not_written() {
    let shell = Shell::new();
    shell.run("set n.shelf k v").ok();
    fs::create_dir(shell.path("ro")).unwrap();
    let mount = |then: &str| {
        let script = format!(
            "mount -t tmpfs tmpfs ro && cp n.shelf ro/ && mount -o remount,ro ro && {then}"
        );
        let mut command = Command::new("unshare");
        command
            .args(["--mount", "sh", "-c", &script])
            .env("BIN", BIN);
        shell.finish(b"", &mut command)
    };
    let can = mount("true");
    if can.code != 0 {
        let why = can.err.lines().next().unwrap_or_default();
        skip("a_read_only_file_system_is_read_and_not_written", why);
        return;
    }
    assert_eq!(mount("$BIN get ro/n.shelf k").ok(), "v\n");
    for words in [
        "set ro/n.shelf k w",
        "rm ro/n.shelf k",
        "compact ro/n.shelf",
        "set ro/new.shelf k v",
    ] {
        let said = mount(&format!("$BIN {words}")).failed(5);
        assert!(
            said.contains("ro/n") && said.contains("ead-only"),
            "{words}: {said}"
        );
    }
}

#[test]
fn a_network_file_system_is_refused() {
    let shell = Shell::new();
    fs::write(
        shell.path("table"),
        format!(
            "1 0 0:1 / / rw - ext4 x rw\n2 1 0:2 / {} rw - nfs4 server:/x rw\n",
            shell.dir.path().display()
        ),
    )
    .unwrap();
    // The process that is to see another mount table puts it there first: exec keeps its number.
    let script = "mount --bind table /proc/$$/mountinfo && exec \"$BIN\" set n.shelf k v";
    let run = |script: &str| {
        let mut command = Command::new("unshare");
        command
            .args(["--mount", "sh", "-c", script])
            .env("BIN", BIN);
        shell.finish(b"", &mut command)
    };
    let can = run("mount --bind table /proc/$$/mountinfo && exec grep nfs4 /proc/self/mountinfo");
    if can.code != 0 {
        let why = can.err.lines().next().unwrap_or_default();
        skip("a_network_file_system_is_refused", why);
        return;
    }
    let said = run(script).failed(5);
    assert!(said.contains("n.shelf") && said.contains("nfs4"), "{said}");
    assert!(!shell.path("n.shelf").exists());
    // A backup there may be looked at.
    shell.run("set n.shelf k v").ok();
    let got = run(&script.replace("set n.shelf k v", "get n.shelf k"));
    assert!(got.err.contains("nfs4"), "without a word: {}", got.err);
    assert_eq!((got.code, got.out.trim_end()), (0, "v"));
}

#[test]
fn what_is_over_a_limit_is_refused_and_nothing_is_written() {
    let shell = Shell::new();
    shell.run("set n.shelf k v").ok();
    let before = now_and_bytes(&shell.path("n.shelf"));
    let key = "k".repeat(65_536);
    let said = shell.words(b"", ["set", "n.shelf", &key, "v"]).failed(2);
    assert!(said.contains("65,535") || said.contains("65535"), "{said}");
    assert!(
        said.len() < 500,
        "the key is not repeated: {} bytes",
        said.len()
    );
    let said = shell
        .pipe(&vec![0; 128 << 20], "set n.shelf big --raw")
        .failed(2);
    assert!(said.contains("128 MiB") || said.contains("134"), "{said}");
    assert!(now_and_bytes(&shell.path("n.shelf")) == before);
    shell.words(b"", ["set", "n.shelf", &key[1..], "v"]).ok();
}

#[test]
fn a_busy_store_is_waited_for_as_long_as_was_asked() {
    let shell = Shell::new();
    shell.run("set n.shelf k v").ok();
    let held = shell.held("n.shelf");
    for words in [
        "set n.shelf k w --wait 0",
        "rm n.shelf k --wait=0s",
        "compact n.shelf --wait 0",
    ] {
        let said = shell.run(words).failed(4);
        assert!(
            said.starts_with("shelflife: ") && said.contains("n.shelf"),
            "{words}: {said}"
        );
    }
    assert_eq!(shell.run("get n.shelf k").ok(), "v\n", "readers never wait");
    assert_eq!(shell.run("verify n.shelf").code, 0);
    // Longer than it would wait by itself.
    let begun = std::time::Instant::now();
    shell.run("set n.shelf k w --wait 6s").failed(4);
    assert!(begun.elapsed() >= Duration::from_secs(6));
    drop(held);
    shell.run("set n.shelf k w --wait 0").ok();
}

#[test]
fn what_is_marked_as_cbor_and_is_not_can_still_be_had() {
    let shell = Shell::new();
    let store = Store::open(shell.path("n.shelf")).unwrap();
    let mut batch = Batch::new();
    store
        .write(batch.insert_cbor("odd", b"\xffcanary"))
        .unwrap();
    store.close().unwrap();
    let said = shell.run("get n.shelf odd").failed(3);
    assert!(
        said.starts_with("shelflife: not the CBOR that it is marked as: "),
        "{said}"
    );
    assert!(
        said.ends_with("; --raw prints its bytes\n") && !said.contains("canary"),
        "{said}"
    );
    // Of many, the one is named.
    shell.run("set n.shelf tea green").ok();
    let line =
        "{\"k\":\"odd\",\"v\":{\"$b64\":\"/2NhbmFyeQ==\"}}\n{\"k\":\"tea\",\"v\":\"green\"}\n";
    for (form, keys, out, why) in [
        (
            "--json",
            "\"odd\"\n\"tea\"",
            line,
            "marked as, written as plain bytes\n",
        ),
        ("-0", "odd\0tea\0", "green\n\0", "marked as: "),
    ] {
        let got = shell.pipe(keys.as_bytes(), &format!("get n.shelf {form}"));
        assert_eq!((got.code, got.out.as_str()), (3, out));
        let said = format!("shelflife: odd: not the CBOR that it is {why}");
        assert!(got.err.starts_with(&said), "{}", got.err);
    }
    shell.run("rm n.shelf tea").ok();
    let dumped = shell.run("dump n.shelf");
    assert_eq!(
        dumped.out,
        "{\"k\":\"odd\",\"v\":{\"$b64\":\"/2NhbmFyeQ==\"}}\n"
    );
    let note = "shelflife: values that are marked as CBOR and are not, written as plain bytes: 1\n";
    assert_eq!((dumped.code, dumped.err.as_str()), (0, note));
}

#[test]
fn what_is_no_server_is_no_damaged_file_and_is_given_time_to_answer() {
    let shell = Shell::new();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("redis://{}", listener.local_addr().unwrap());
    let said = shell.run(&format!("session ls {url} --wait 0")).failed(2);
    assert_eq!(
        said,
        "shelflife: --wait 0 leaves a server no time to answer\n"
    );
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 1024]);
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        }
    });
    let said = shell.run(&format!("session ls {url}")).failed(5);
    assert!(said.contains("reply that RESP2 does not have"), "{said}");
}

/// A user of the program sets no option of the library's.
#[test]
fn hashed_sessions_that_are_copied_to_ids_are_told_the_command_that_helps() {
    let shell = Shell::new();
    for (file, is_hashed) in [("plain.shelf", false), ("hashed.shelf", true)] {
        let mut options = SessionOptions::new();
        let store = options.hash_ids(is_hashed).open(shell.path(file)).unwrap();
        let mut session = Session::new();
        session.set_user(Some("ann"));
        let _ = store.save_session(&mut session).unwrap();
    }
    let said = shell.run("session copy hashed.shelf plain.shelf").failed(2);
    let expected = "was opened to keep their hashes; convert it with `shelflife session hash`\n";
    assert!(said.ends_with(expected), "{said}");
}
