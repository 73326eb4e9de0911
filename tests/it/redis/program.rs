//! The commands that take a server's URL in place of a file.

use super::fake::{Act, Fake, ID, bulk, say, value};
use super::server::{Server, is_there};
use super::stored;
use shelflife::{RedisOptions, SessionStore, ShelveSessionStore};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Command, Output, Stdio};

fn command(words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_shelflife"));
    command
        .args(words)
        .stdin(Stdio::null())
        .env_remove("SHELFLIFE_REDIS_PASSWORD");
    command
}

fn run(command: &mut Command) -> Output {
    command.output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The output of a command that succeeds.
fn prints(words: &[&str]) -> String {
    let output = run(&mut command(words));
    assert!(
        output.status.success(),
        "{words:?}: {}",
        text(&output.stderr)
    );
    text(&output.stdout)
}

#[test]
fn the_commands_of_sessions_work_on_a_server() {
    if !is_there("the_commands_of_sessions_work_on_a_server") {
        return;
    }
    let (dir, server) = (tempfile::tempdir().unwrap(), Server::start(&[]));
    let (file, url) = (dir.path().join("s.shelf"), server.url());
    let (file, url) = (file.to_str().unwrap(), url.as_str());
    let sessions: Vec<_> = {
        let store = ShelveSessionStore::open(file).unwrap();
        ["ann", "bob", "ann"]
            .map(|user| stored(&store, user))
            .into()
    };
    assert_eq!(
        prints(&["session", "copy", file, url]),
        "copied 3 sessions, 0 were there already\n"
    );
    // Those that were used in the same millisecond have no order among each other.
    let listed = |store: &str| {
        let printed = prints(&["session", "ls", store]);
        let mut lines: Vec<_> = printed.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    assert_eq!(listed(url), listed(file));
    let handle = sessions[0].handle().unwrap().to_string();
    assert!(prints(&["session", "show", url, &handle[..6]]).contains("user"));
    prints(&["session", "rm", url, &handle]);
    assert_eq!(
        run(&mut command(&["session", "rm", url, &handle]))
            .status
            .code(),
        Some(1)
    );
    let output = run(&mut command(&["session", "copy", file, url]));
    assert_eq!(
        text(&output.stdout),
        "copied 0 sessions, 3 were there already\n",
        "a logout stays one"
    );
    prints(&["session", "rm", url, "--user", "ann", "--yes"]);
    let output = run(&mut command(&["session", "copy", url, file]));
    assert!(
        text(&output.stderr).contains("--mirror"),
        "{}",
        text(&output.stderr)
    );
    let mirror = ["session", "copy", "--mirror", url, file];
    let output = run(&mut command(&mirror));
    assert_eq!(output.status.code(), Some(2), "nobody can be asked");
    let would_end = prints(&[&mirror[..], &["--dry-run"]].concat());
    assert_eq!(would_end.lines().count(), 2, "{would_end}");
    assert!(
        prints(&["session", "ls", file]).contains("ann"),
        "a dry run ends nothing"
    );
    assert_eq!(
        prints(&[&mirror[..], &["--yes"]].concat()),
        "copied 0 sessions, 1 were there already\nended 2 sessions that only TO had\n"
    );
    assert!(prints(&["session", "ls", file]).contains("bob"));
    assert!(
        prints(&["session", "expire", url, "--idle", "0s", "--json"]).contains("\"deleted\":1")
    );
    assert_eq!(prints(&["session", "ls", url]), "");
    // By a cookie, however ids are kept.
    let hashing = shelflife::SessionOptions::new().hash_ids(true).clone();
    let hashed = RedisOptions::new().sessions(&hashing).connect(url).unwrap();
    let plain = RedisOptions::new().connect(url).unwrap();
    for store in [&hashed, &plain] {
        let session = stored(store, "ann");
        // Of a plain one this leaves both, as does the first step of an app that goes over to hashes.
        prints(&["session", "copy", "--hash-ids", url, url]);
        let mut rm = command(&["session", "rm", url, "--cookie", "-"]);
        let mut rm = rm.stdin(Stdio::piped()).spawn().unwrap();
        let id = session.id().unwrap();
        rm.stdin
            .take()
            .unwrap()
            .write_all(id.as_str().as_bytes())
            .unwrap();
        assert!(rm.wait().unwrap().success());
        for store in [&hashed, &plain] {
            assert!(!store.has_session(id).unwrap());
        }
    }
}

#[test]
fn a_password_comes_from_a_file_or_the_environment_and_never_from_an_argument() {
    if !is_there("a_password_comes_from_a_file_or_the_environment_and_never_from_an_argument") {
        return;
    }
    let (dir, server) = (tempfile::tempdir().unwrap(), Server::start(&[]));
    assert_eq!(server.say("CONFIG SET requirepass hunter2").trim(), "+OK");
    let url = server.url();
    let refused = run(&mut command(&["session", "ls", &url]));
    assert_eq!(refused.status.code(), Some(5));
    assert!(
        text(&refused.stderr).contains("password"),
        "{}",
        text(&refused.stderr)
    );
    let with_password = url.replace("//", "//:hunter2@");
    let refused = run(&mut command(&["session", "ls", &with_password]));
    assert_eq!(refused.status.code(), Some(2));
    let said = text(&refused.stderr);
    assert!(
        said.contains("--password-file") && !said.contains("hunter2"),
        "{said}"
    );
    let allowed = run(command(&["session", "ls", &url]).env("SHELFLIFE_REDIS_PASSWORD", "hunter2"));
    assert!(allowed.status.success(), "{}", text(&allowed.stderr));
    let file = dir.path().join("password");
    std::fs::write(&file, "hunter2\n").unwrap();
    prints(&[
        "session",
        "ls",
        &url,
        "--password-file",
        file.to_str().unwrap(),
    ]);
}

#[test]
fn sessions_move_between_servers_of_which_each_has_a_password_and_a_prefix_of_its_own() {
    if !is_there(
        "sessions_move_between_servers_of_which_each_has_a_password_and_a_prefix_of_its_own",
    ) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (from, to) = (Server::start(&[]), Server::start(&[]));
    let file = |name: &str, password: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, password).unwrap();
        path.to_str().unwrap().to_string()
    };
    let (old, new) = (file("old", "hunter1\n"), file("new", "hunter2\n"));
    let store = RedisOptions::new()
        .prefix("old:")
        .connect(&from.url())
        .unwrap();
    stored(&store, "ann");
    from.say("CONFIG SET requirepass hunter1");
    to.say("CONFIG SET requirepass hunter2");
    let (from, to) = (from.url(), to.url());
    let at_from = ["--prefix", "old:", "--password-file", &old];
    let at_to = ["--to-prefix", "new:", "--to-password-file", &new];
    let copy = [&["session", "copy", &from, &to][..], &at_from].concat();
    let refused = run(&mut command(&copy));
    assert_eq!(refused.status.code(), Some(5), "one password for both");
    let copy = [&copy[..], &at_to].concat();
    let copied = "copied 1 session, 0 were there already\n";
    assert_eq!(prints(&copy), copied);
    let at_new = ["--prefix", "new:", "--password-file", &new];
    let ls = [&["session", "ls", &to][..], &at_new].concat();
    assert!(prints(&ls).contains("ann"));
    // The list of what a mirror would end looks there as well.
    let dry = [&copy[..], &["--mirror", "--dry-run"]].concat();
    assert_eq!(prints(&dry), "");
    // On one server, to another prefix.
    let copy = [&["session", "copy", &from, &from][..], &at_from].concat();
    assert_eq!(
        prints(&[&copy[..], &["--to-prefix", "new:"]].concat()),
        copied
    );
}

#[test]
fn a_command_for_files_says_so_where_it_gets_a_server_and_repeats_no_password() {
    for name in ["info", "ls", "verify", "hash", "compact", "browse", "set"] {
        // A scheme is the same in capitals (RFC 3986, 3.1).
        for scheme in ["redis", "Redis"] {
            let url = format!("{scheme}://ann:hunter2@127.0.0.1");
            let mut words = vec![name, &url];
            if name == "set" {
                words.extend(["k", "v"]);
            }
            let output = run(&mut command(&words));
            let said = text(&output.stderr);
            assert_eq!(output.status.code(), Some(2), "{words:?}: {said}");
            assert!(said.contains("session ls"), "{words:?}: {said}");
            assert!(!said.contains("hunter2"), "{words:?}: {said}");
        }
    }
    let output = run(&mut command(&[
        "session",
        "ls",
        "REDIS://ann:hunter2@127.0.0.1",
    ]));
    let said = text(&output.stderr);
    assert!(
        said.contains("--password-file") && !said.contains("hunter2"),
        "{said}"
    );
}

#[test]
fn the_demo_keeps_its_sessions_on_a_server() {
    if !is_there("the_demo_keeps_its_sessions_on_a_server") {
        return;
    }
    let server = Server::start(&[]);
    let url = server.url();
    // The name of the cookie of somebody who logs in.
    let login = |words: &[&str]| {
        let demo = [&["demo", "--port", "0", "--store", &url], words].concat();
        let mut demo = command(&demo).stdout(Stdio::piped()).spawn().unwrap();
        let mut first = String::new();
        BufReader::new(demo.stdout.take().unwrap())
            .read_line(&mut first)
            .unwrap();
        let address = first
            .trim_start_matches("http://")
            .split('/')
            .next()
            .unwrap()
            .to_string();
        let mut stream = TcpStream::connect(&address).unwrap();
        let form = "name=Ann";
        let request = format!(
            "POST /login HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nOrigin: http://{address}\r\n\
             Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{form}",
            form.len()
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let listed = prints(&[&["session", "ls", &url], words].concat());
        demo.kill().unwrap();
        demo.wait().unwrap();
        assert!(listed.contains("Ann"), "{answer}{listed}");
        let cookie = answer.split("Set-Cookie: ").nth(1);
        let name = cookie.and_then(|cookie| cookie.split('=').next());
        name.unwrap_or_else(|| panic!("{answer}")).to_string()
    };
    let name = login(&[]);
    assert_eq!(name, login(&[]));
    // Two demos with sessions of their own do not take each other's cookies.
    assert_ne!(name, login(&["--prefix", "other:"]));
}

#[test]
fn how_long_a_session_was_not_used_is_told_by_the_clock_of_its_server() {
    // A minute after the session was used, years ago.
    let fake = Fake::start(|words| match words[0].as_str() {
        "TIME" => say("*2\r\n$10\r\n1700000060\r\n$1\r\n0\r\n"),
        "SCAN" => {
            let key = bulk(format!("shelflife:{{{}}}{ID}", &ID[..3]).as_bytes());
            Act::Say([b"*2\r\n$1\r\n0\r\n*1\r\n".as_slice(), &key].concat())
        }
        "GETRANGE" => Act::Say(bulk(&value("ann")[..38])),
        _ => Act::Say(bulk(&value("ann"))),
    });
    let url = format!("redis://127.0.0.1:{}", fake.port);
    assert_eq!(prints(&["session", "ls", &url, "--idle", "2m"]), "");
    assert!(prints(&["session", "ls", &url, "--idle", "1m"]).contains("ann"));
    let would = |idle| prints(&["session", "expire", &url, "--dry-run", "--idle", idle]);
    assert_eq!(would("2m"), "would log out 0, 1 remain\n");
    assert_eq!(would("1m"), "would log out 1, 0 remain\n");
}

#[test]
fn a_server_that_fails_is_not_taken_for_one_without_sessions() {
    let fake = Fake::start(|words| match words[0].as_str() {
        "SCAN" => {
            let key = bulk(format!("shelflife:{{{}}}{ID}", &ID[..3]).as_bytes());
            Act::Say([b"*2\r\n$1\r\n0\r\n*1\r\n".as_slice(), &key].concat())
        }
        _ => say("-NOPERM User ann has no permissions to run it\r\n"),
    });
    let dir = tempfile::tempdir().unwrap();
    let (file, url) = (
        dir.path().join("s.shelf"),
        format!("redis://127.0.0.1:{}", fake.port),
    );
    let mirror = ["session", "copy", "--mirror", "--yes", &url];
    let output = run(command(&mirror).arg(&file));
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(5), "{said}");
    assert!(said.contains("rights") && !file.exists(), "{said}");
}
