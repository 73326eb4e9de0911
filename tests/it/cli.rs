//! The command line as its users meet it: exit codes, both outputs word for word, and files left as they were.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{Read, Write};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use shelflife::{
    Batch, Lifetime, Options, Saved, Session, SessionHandle, SessionOptions, SessionStore,
    ShelveSessionStore, Store,
};
use tempfile::TempDir;

mod bad_input;
mod browse;
mod copies;
mod damage;
mod entries;
mod keys;
mod killed;
mod load;
mod overdue;
mod past;
mod sessions;
mod shells;
mod states;
mod terminal;

const BIN: &str = env!("CARGO_BIN_EXE_shelflife");

/// A folder to run commands in.
struct Shell {
    dir: TempDir,
}

/// The answer of a command.
#[derive(Debug, PartialEq)]
struct Ran {
    code: i32,
    out: String,
    err: String,
}

impl Ran {
    /// Standard output of a command that ended well and said nothing else.
    fn ok(self) -> String {
        assert_eq!((self.code, self.err.as_str()), (0, ""), "{}", self.out);
        self.out
    }

    /// Standard error of a command that printed nothing and ended with `code`.
    fn failed(self, code: i32) -> String {
        assert_eq!((self.code, self.out.as_str()), (code, ""), "{}", self.err);
        self.err
    }
}

impl Shell {
    fn new() -> Shell {
        Shell {
            dir: tempfile::tempdir().unwrap(),
        }
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.dir.path().join(name)
    }

    /// Runs words separated by single spaces.
    fn run(&self, words: &str) -> Ran {
        self.pipe(b"", words)
    }

    fn pipe(&self, input: &[u8], words: &str) -> Ran {
        self.words(input, words.split(' '))
    }

    fn words<S: AsRef<OsStr>>(&self, input: &[u8], words: impl IntoIterator<Item = S>) -> Ran {
        self.finish(input, Command::new(BIN).args(words))
    }

    /// A script beside which `in` is `n.shelf`, mounted by itself.
    fn mounted(&self, then: &str) -> Ran {
        fs::write(self.path("in"), "").unwrap();
        let script = format!("mount --bind n.shelf in && {then}");
        let mut command = Command::new("unshare");
        command
            .args(["--mount", "sh", "-c", &script])
            .env("BIN", BIN);
        self.finish(b"", &mut command)
    }

    fn finish(&self, input: &[u8], command: &mut Command) -> Ran {
        let command = command.current_dir(self.dir.path());
        let piped = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = piped.spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let input = input.to_vec();
        // A command that does not read its input closes it.
        let writer = std::thread::spawn(move || drop(stdin.write_all(&input)));
        let output = child.wait_with_output().unwrap();
        writer.join().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Ran {
            code: output.status.code().unwrap(),
            out: text(output.stdout),
            err: text(output.stderr),
        }
    }

    /// A handle to a file that lets nobody else write to it.
    fn held(&self, file: &str) -> Store {
        let mut options = Options::new();
        options.exclusive(true).open(self.path(file)).unwrap()
    }
}

impl Shell {
    /// Runs a script at a terminal of so many columns, with `answer` typed where it is asked; both outputs together, as
    /// they are when it is over. `None` where there is no python3 to make one.
    fn at_terminal(&self, columns: usize, script: &str, answer: &str) -> Option<Ran> {
        let mut ran = self.all_at_terminal(columns, script, r"\[y/N\]\r\n", answer)?;
        let lines = ran.out.split_inclusive('\n');
        // A slow machine may have shown progress, which was taken away again.
        ran.out = lines
            .map(|line| line.rsplit("\r\x1b[K").next().unwrap_or(line))
            .collect();
        Some(ran)
    }

    /// As [`at_terminal`](Shell::at_terminal), with what was shown for a while. The answer is typed once what was shown
    /// ends with `asked`, a regular expression.
    fn all_at_terminal(
        &self,
        columns: usize,
        script: &str,
        asked: &str,
        answer: &str,
    ) -> Option<Ran> {
        Command::new("python3").arg("--version").output().ok()?;
        let columns = columns.to_string();
        let mut command = Command::new("python3");
        command
            .args(["-c", TERMINAL, script, answer, &columns, asked])
            .env("B", BIN)
            .env_remove("COLUMNS");
        Some(self.finish(b"", &mut command))
    }
}

/// A terminal, its user and what they see, with all of it on standard output. Ctrl-C works there also where the tests run
/// in the background, which a shell starts with that signal ignored.
const TERMINAL: &str = "import fcntl, os, pty, re, signal, struct, sys, termios\n\
    pid, fd = pty.fork()\n\
    if pid == 0:\n    \
        signal.signal(signal.SIGINT, signal.SIG_DFL)\n    \
        fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack('HHHH', 24, int(sys.argv[3]), 0, 0))\n    \
        os.execvp('sh', ['sh', '-c', sys.argv[1]])\n\
    seen = b''\n\
    while True:\n    \
        try: part = os.read(fd, 4096)\n    \
        except OSError: break\n    \
        if not part: break\n    \
        seen += part\n    \
        if re.search(sys.argv[4].encode() + rb'\\Z', seen): os.write(fd, sys.argv[2].encode() + b'\\n')\n\
    sys.stdout.write(seen.decode().replace('\\r\\n', '\\n'))\n\
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))\n";

fn now_and_bytes(path: &Path) -> (SystemTime, Vec<u8>) {
    (
        fs::metadata(path).unwrap().modified().unwrap(),
        fs::read(path).unwrap(),
    )
}

#[test]
fn set_get_ls_rm() {
    let shell = Shell::new();
    assert_eq!(shell.run("set notes.shelf tea green").ok(), "");
    assert_eq!(shell.run("get notes.shelf tea").ok(), "green\n");
    assert_eq!(
        shell
            .run("set notes.shelf cart:17 --json-value {\"items\":[\"tea\"],\"total\":3}")
            .ok(),
        ""
    );
    assert_eq!(
        shell.run("get notes.shelf cart:17").ok(),
        "{\"items\":[\"tea\"],\"total\":3}\n"
    );
    assert_eq!(
        shell
            .pipe(b"\x00\xff\n", "set notes.shelf blob - --raw")
            .ok(),
        ""
    );
    assert_eq!(shell.run("ls notes.shelf").ok(), "tea\ncart:17\nblob\n");
    assert_eq!(shell.run("ls notes.shelf c").ok(), "cart:17\n");
    assert_eq!(
        shell.run("get notes.shelf cart:18").failed(1),
        "shelflife: no such key: cart:18\n"
    );
    assert_eq!(shell.run("rm notes.shelf tea").ok(), "");
    assert_eq!(
        shell.run("rm notes.shelf tea cart:17 nix").failed(1),
        "shelflife: no such key: tea\nshelflife: no such key: nix\n"
    );
    assert_eq!(shell.run("ls notes.shelf").ok(), "blob\n");
}

#[test]
fn a_value_comes_back_as_it_went_in() {
    let shell = Shell::new();
    // With no value, or `-`, it is read from standard input, to the last byte.
    shell.pipe(b"two\nlines\n", "set n.shelf text").ok();
    assert_eq!(shell.run("get n.shelf text").ok(), "two\nlines\n");
    shell
        .pipe(b"[1, 2]", "set n.shelf json - --json-value")
        .ok();
    assert_eq!(shell.run("get n.shelf json").ok(), "[1,2]\n");
}

#[test]
fn get_prints_text_as_text_and_anything_as_json_on_request() {
    let shell = Shell::new();
    for (key, words, text, json) in [
        ("text", "set F K tea", "tea\n", "\"tea\"\n"),
        ("number", "set F K 3.0 --json-value", "3.0\n", "3.0\n"),
        (
            "list",
            "set F K [\"a\"] --json-value",
            "[\"a\"]\n",
            "[\"a\"]\n",
        ),
        ("plain", "set F K tea --raw", "tea", "{\"$b64\":\"dGVh\"}\n"),
    ] {
        let words = words.replace('F', "n.shelf").replace('K', key);
        shell.run(&words).ok();
        assert_eq!(shell.run(&format!("get n.shelf {key}")).ok(), text, "{key}");
        assert_eq!(
            shell.run(&format!("get n.shelf {key} --json")).ok(),
            json,
            "{key}"
        );
    }
    // Text that ends its line gets no second end, so that a text file comes back as it was.
    shell.pipe(b"a\nb\n", "set n.shelf file").ok();
    assert_eq!(shell.run("get n.shelf file").ok(), "a\nb\n");
    assert_eq!(shell.run("get n.shelf file --json").ok(), "\"a\\nb\\n\"\n");
    let said = shell.run("get n.shelf file --json --raw").failed(2);
    assert!(said.contains("exclude each other"), "{said}");
}

#[test]
fn an_end_is_set_shown_dumped_and_loaded_and_one_that_no_record_can_hold_is_refused() {
    let shell = Shell::new();
    shell
        .run("set n.shelf fixed v --expires 2100-03-01T00:00:00Z")
        .ok();
    shell.run("set n.shelf day v --expires 2100-03-01").ok();
    shell.run("set n.shelf soon v --expires 30m").ok();
    shell.run("set n.shelf stays v").ok();
    for key in ["fixed", "day"] {
        assert_eq!(
            shell.run(&format!("get n.shelf {key} --expires")).ok(),
            "2100-03-01T00:00:00Z\n"
        );
    }
    assert_eq!(shell.run("get n.shelf stays --expires").ok(), "-\n");
    let listed = shell.run("ls n.shelf s --expires").ok();
    assert!(
        listed.starts_with("soon\t20") && listed.ends_with("Z\nstays\t-\n"),
        "{listed}"
    );
    let dumped = shell.run("dump n.shelf fixed").ok();
    assert_eq!(
        dumped,
        "{\"k\":\"fixed\",\"v\":\"v\",\"expires\":4107542400000}\n"
    );
    // In every line, where that was asked for, and read back.
    let dumped = shell.run("dump n.shelf s --expires").ok();
    let (soon, stays) = dumped.split_once('\n').unwrap();
    assert!(
        soon.starts_with("{\"k\":\"soon\",\"v\":\"v\",\"expires\":"),
        "{soon}"
    );
    assert_eq!(stays, "{\"k\":\"stays\",\"v\":\"v\",\"expires\":null}\n");
    shell.pipe(dumped.as_bytes(), "load copy.shelf").ok();
    assert_eq!(shell.run("dump copy.shelf --expires").ok(), dumped);
    // An entry that has ended is absent.
    let past = "{\"k\":\"past\",\"v\":1,\"expires\":1}";
    shell.pipe(past.as_bytes(), "load n.shelf").ok();
    shell.run("get n.shelf past").failed(1);
    // Set again without an end it stays.
    shell.run("set n.shelf fixed w").ok();
    assert_eq!(shell.run("get n.shelf fixed --expires").ok(), "-\n");

    let before = now_and_bytes(&shell.path("n.shelf"));
    for wrong in ["30", "+30m", "soon", "2100-02-30", "9000000d", "-1d"] {
        let said = shell
            .run(&format!("set n.shelf k v --expires {wrong}"))
            .failed(2);
        assert!(
            said.contains(" is no end for `--expires`; write 30m"),
            "{said}"
        );
    }
    // One that is over would take away what the key has.
    for over in ["2020-12-24", "1970-01-01T00:00:00Z", "0s"] {
        let said = shell
            .run(&format!("set n.shelf stays w --expires {over}"))
            .failed(2);
        let expected = format!(
            "shelflife: `{over}` for `--expires` is over: the entry would be absent at once; shelflife rm removes a key; "
        );
        assert!(said.starts_with(&expected), "{said}");
    }
    let last = (1_u64 << 48) - 1;
    let line = |end: u64| format!("{{\"k\":\"k\",\"v\":1,\"expires\":{end}}}");
    let said = shell
        .pipe(line(last + 1).as_bytes(), "load n.shelf")
        .failed(2);
    assert!(said.contains("\"expires\" is no time"), "{said}");
    assert!(now_and_bytes(&shell.path("n.shelf")) == before);
    shell.pipe(line(last).as_bytes(), "load n.shelf").ok();
    assert!(
        shell
            .run("dump n.shelf k")
            .ok()
            .contains(&format!("\"expires\":{last}"))
    );
}

#[test]
fn raw_bytes_pass_through_untouched() {
    let shell = Shell::new();
    let bytes: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    shell.pipe(&bytes, "set n.shelf blob --raw").ok();
    let get = |options: &[&str]| {
        let output = Command::new(BIN)
            .args(["get", "n.shelf", "blob"])
            .args(options)
            .current_dir(shell.dir.path())
            .output();
        output.unwrap().stdout
    };
    assert!(get(&["--raw"]) == bytes);
    assert!(get(&[]) == bytes);
}

#[test]
fn keys_may_be_any_bytes_and_look_like_options() {
    let shell = Shell::new();
    let key = OsString::from_vec(b"caf\xe9\t\x1b[31m".to_vec());
    let words: [&OsStr; 4] = ["set".as_ref(), "n.shelf".as_ref(), &key, "x".as_ref()];
    shell.words(b"", words).ok();
    shell
        .words(b"", ["set", "--", "n.shelf", "--raw", "--long"])
        .ok();
    assert_eq!(
        shell.run("ls n.shelf").ok(),
        "caf\\xe9\\t\\x1b[31m\n--raw\n"
    );
    assert_eq!(
        shell.words(b"", ["get", "n.shelf", "--", "--raw"]).ok(),
        "--long\n"
    );
    shell.words(b"", ["set", "n.shelf", "", "empty key"]).ok();
    assert_eq!(shell.words(b"", ["get", "n.shelf", ""]).ok(), "empty key\n");
    let words: [&OsStr; 3] = ["rm".as_ref(), "n.shelf".as_ref(), &key];
    shell.words(b"", words).ok();
}

#[test]
fn long_lists_are_for_programs_when_nobody_looks() {
    let shell = Shell::new();
    let store = Store::open(shell.path("n.shelf")).unwrap();
    store.insert("plain", [0; 2000]).unwrap();
    let until = SystemTime::UNIX_EPOCH + Duration::from_secs(4_107_542_400);
    store.insert_until("ending", "x", until).unwrap();
    store.close().unwrap();
    let listed = shell.run("ls n.shelf --long").ok();
    let rows: Vec<Vec<&str>> = listed
        .lines()
        .map(|line| line.split('\t').collect())
        .collect();
    assert_eq!((rows[0][0], rows[0][1], rows[0][3]), ("plain", "2000", "-"));
    assert_eq!(
        (rows[1][0], rows[1][1], rows[1][3]),
        ("ending", "1", "2100-03-01T00:00:00Z")
    );
    assert!(rows[0][2].starts_with("20") && rows[0][2].ends_with('Z') && rows[0][2].len() == 20);
}

#[test]
fn dump_and_load_give_the_same_store() {
    let shell = Shell::new();
    let store = Store::open(shell.path("a.shelf")).unwrap();
    let mut batch = Batch::new();
    batch.insert("bytes", b"\x00\xff");
    batch.insert(b"\xff\x00", "key of bytes");
    for (key, json) in [
        (
            "integers",
            "[9223372036854775807,18446744073709551615,-18446744073709551616,-1,0]",
        ),
        (
            "floats",
            "[1.0,0.1,-0.0,1e300,5e-324,{\"$float\":\"NaN\"},{\"$float\":\"-Infinity\"}]",
        ),
        (
            "text",
            "\"Zo\\u00eb \\u001b[31m \\u202e \\\"\\\\ \\ud83d\\ude00\"",
        ),
        ("bytes in cbor", "{\"$b64\":\"AAECAwQ=\"}"),
        ("nested", "{\"a\":[{\"b\":{\"$b64\":\"/w==\"}},null,true]}"),
        ("int keys", "{\"$map\":[[1,\"one\"],[2,\"two\"]]}"),
    ] {
        let value: shelflife::Value = json.parse().unwrap();
        batch.insert_cbor(key, shelflife::to_cbor(&value).unwrap());
    }
    let until = SystemTime::now() + Duration::from_secs(1_000_000);
    batch.insert_until("ending", "soon", until);
    store.write(&batch).unwrap();
    store.close().unwrap();

    let dumped = shell.run("dump a.shelf").ok();
    assert!(
        dumped.starts_with(
            "{\"k\":\"bytes\",\"v\":{\"$b64\":\"AP8=\"}}\n{\"k\":{\"$b64\":\"/wA=\"},"
        ),
        "{dumped}"
    );
    assert!(
        !dumped
            .replace('\n', "")
            .contains(|c: char| c.is_control() || c == '\u{202e}')
    );
    assert_eq!(shell.pipe(dumped.as_bytes(), "load b.shelf").ok(), "");
    assert_eq!(shell.run("dump b.shelf").ok(), dumped);
    let entries = |name: &str| -> Vec<_> {
        let store = Options::new()
            .read_only(true)
            .open(shell.path(name))
            .unwrap();
        let entries = store.entries().map(Result::unwrap);
        entries
            .map(|entry| {
                (
                    entry.key().to_vec(),
                    entry.value().to_vec(),
                    entry.is_cbor(),
                    entry.expires(),
                )
            })
            .collect()
    };
    assert_eq!(entries("a.shelf"), entries("b.shelf"));
    // From a file as well, over what is there.
    fs::write(
        shell.path("in.jsonl"),
        "{\"k\":\"bytes\",\"v\":1}\n\n{\"v\":2.0,\"k\":\"new\"}",
    )
    .unwrap();
    shell.run("load b.shelf in.jsonl").ok();
    assert_eq!(
        shell.run("get b.shelf bytes").ok() + &shell.run("get b.shelf new").ok(),
        "1\n2.0\n"
    );
}

#[test]
fn help_at_each_level_begins_with_two_examples() {
    let shell = Shell::new();
    let overview = shell.run("--help").ok();
    assert_eq!(overview, shell.run("-h").ok());
    let commands = shells::table(&shell);
    assert_eq!(commands.len(), 27, "{overview}");
    for (name, _) in commands {
        let help = shell.run(&format!("{name} --help")).ok();
        let lines: Vec<&str> = help.lines().collect();
        assert!(lines[2].contains(&format!("shelflife {name}")), "{help}");
        assert!(
            lines[3].contains(&format!("shelflife {name}"))
                || lines[3].contains(&format!("shelflife {}", name.split(' ').next().unwrap()))
                || name == "load",
            "{help}"
        );
        assert!(
            help.contains(&format!("\nusage: shelflife {name}")),
            "{help}"
        );
        assert_eq!(
            shell.run(&format!("{name} x y z -h")).ok(),
            help,
            "help wins over what is wrong"
        );
    }
    assert!(
        shell
            .run("session --help")
            .ok()
            .contains("shelflife session expire")
    );
    let version = concat!("shelflife ", env!("CARGO_PKG_VERSION"), "\n");
    assert_eq!(shell.run("--version").ok(), version);
    assert_eq!(shell.run("-V").ok(), version);
    assert_eq!(shell.run("help").ok(), overview);
    assert_eq!(shell.run("help session").ok(), shell.run("session -h").ok());
    assert_eq!(
        shell.run("help session ls").ok(),
        shell.run("session ls --help").ok()
    );
    assert_eq!(
        shell.run("help verfy").failed(2),
        "shelflife: unknown command `verfy`; did you mean `verify`?\n"
    );
}

#[test]
fn what_only_reads_changes_nothing() {
    let shell = Shell::new();
    let sessions = ShelveSessionStore::open(shell.path("s.shelf")).unwrap();
    let mut session = Session::new();
    session.set_user(Some("ann"));
    let _ = sessions.save_session(&mut session).unwrap();
    let handle = session.handle().unwrap().to_string();
    drop(sessions);
    // A torn tail would be cut by a writer.
    let mut file = fs::OpenOptions::new()
        .append(true)
        .open(shell.path("s.shelf"))
        .unwrap();
    file.write_all(&[0x5a; 20]).unwrap();
    drop(file);
    let before = now_and_bytes(&shell.path("s.shelf"));
    for words in [
        "ls s.shelf",
        "ls s.shelf --long",
        "dump s.shelf",
        "info s.shelf",
        "info s.shelf --json",
        "verify s.shelf",
        "session ls s.shelf",
        "session ls s.shelf --json",
        &format!("session show s.shelf {handle}"),
        &format!("session rm s.shelf {handle} --dry-run"),
        "session rm s.shelf --user ann --dry-run",
        "session expire s.shelf --idle 0s --dry-run",
    ] {
        assert_eq!(shell.run(words).code, 0, "{words}");
        assert!(now_and_bytes(&shell.path("s.shelf")) == before, "{words}");
        assert_eq!(
            fs::read_dir(shell.dir.path()).unwrap().count(),
            1,
            "{words}"
        );
    }
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    let shell = Shell::new();
    let store = Store::open(shell.path("n.shelf")).unwrap();
    let mut batch = Batch::new();
    for i in 0..20_000 {
        batch.insert(format!("key {i:06}"), [b'x'; 50]);
    }
    store.write(&batch).unwrap();
    let sessions = ShelveSessionStore::from(store);
    let mut session = Session::new();
    session.set_user(Some("ann"));
    let _ = sessions.save_session(&mut session).unwrap();
    sessions.close().unwrap();
    for words in [
        &["ls", "n.shelf"][..],
        &["dump", "n.shelf"],
        &["--help"],
        &["session", "ls", "n.shelf"],
    ] {
        let mut child = Command::new(BIN)
            .args(words)
            .current_dir(shell.dir.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut out = child.stdout.take().unwrap();
        if words[0] != "--help" && words[0] != "session" {
            out.read_exact(&mut [0; 10]).unwrap();
        }
        drop(out);
        let output = child.wait_with_output().unwrap();
        assert_eq!(
            (
                output.status.code(),
                String::from_utf8(output.stderr).unwrap().as_str()
            ),
            (Some(0), ""),
            "{words:?}"
        );
    }
}

/// A program opens what it was told.
#[cfg(unix)]
#[test]
fn the_path_that_info_tells_a_program_is_the_path() {
    use std::os::unix::ffi::OsStrExt;
    let shell = Shell::new();
    for (name, json) in [
        (&b"a\\b \"c\".shelf"[..], r#""a\\b \"c\".shelf""#),
        (b"caf\xe9.shelf", r#"{"$b64":"Y2Fm6S5zaGVsZg=="}"#),
        ("\u{202e}.shelf".as_bytes(), r#""\u202e.shelf""#),
    ] {
        let name = OsStr::from_bytes(name);
        shell
            .words(
                b"",
                [OsStr::new("set"), name, OsStr::new("k"), OsStr::new("v")],
            )
            .ok();
        let words = [OsStr::new("info"), name, OsStr::new("--json")];
        let told = shell.words(b"", words).ok();
        assert!(told.starts_with(&format!("{{\"path\":{json},")), "{told}");
    }
}

#[test]
fn info_and_compact_say_what_the_file_holds() {
    let shell = Shell::new();
    let store = Store::open(shell.path("n.shelf")).unwrap();
    for _ in 0..10 {
        store.insert("k", [1; 5000]).unwrap();
    }
    store.close().unwrap();
    let info = |name: &str| -> i128 {
        let json: shelflife::Value = shell.run("info n.shelf --json").ok().parse().unwrap();
        match json.get(name) {
            Some(shelflife::Value::Integer(number)) => *number,
            other => panic!("{name}: {other:?} in {json}"),
        }
    };
    assert_eq!(info("keys"), 1);
    assert_eq!(
        info("size_bytes"),
        i128::from(fs::metadata(shell.path("n.shelf")).unwrap().len())
    );
    assert!(info("dead_bytes") > 40_000);
    assert_eq!(shell.run("compact n.shelf").ok(), "");
    assert!(info("dead_bytes") < 1000);
    assert!(fs::metadata(shell.path("n.shelf")).unwrap().len() < 15_000);
    let fields = shell.run("info n.shelf").ok();
    let fields: Vec<&str> = fields.trim_end().split('\t').collect();
    assert_eq!(fields[..2], ["n.shelf", "1"]);
    // The version of the format stands at this place of the header.
    let header = fs::read(shell.path("n.shelf")).unwrap();
    let version = u16::from_le_bytes([header[8], header[9]]);
    assert_eq!(info("format"), i128::from(version));
    assert_eq!(fields[5], version.to_string());

    fs::write(shell.path("empty.shelf"), "").unwrap();
    let json = shell.run("info empty.shelf --json").ok();
    assert!(json.contains(r#""format":null"#), "{json}");
    let fields = shell.run("info empty.shelf").ok();
    assert_eq!(fields.trim_end().rsplit('\t').next(), Some("-"));
}
