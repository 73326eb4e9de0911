//! The README says nothing that is not so: its examples, commands, script and names of tests are run or looked up.

use shelflife::sim::SimDisk;
use shelflife::{Lifetime, Options, Saved, Session, SessionStore, ShelveSessionStore, Store};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn readme() -> String {
    fs::read_to_string(root().join("README.md")).unwrap()
}

/// The fenced blocks of a language, in order.
fn blocks(language: &str) -> Vec<String> {
    let (readme, fence) = (readme(), format!("```{language}\n"));
    let opened = readme.split(&fence).skip(1);
    opened
        .map(|block| block.split("```").next().unwrap().to_string())
        .collect()
}

/// `PATH` with the built command in front.
fn path() -> std::ffi::OsString {
    let bin = Path::new(env!("CARGO_BIN_EXE_shelflife"))
        .parent()
        .unwrap()
        .to_path_buf();
    let rest = std::env::var_os("PATH").unwrap_or_default();
    std::env::join_paths(std::iter::once(bin).chain(std::env::split_paths(&rest))).unwrap()
}

fn example(name: &str, dir: &Path) -> String {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args([
        "run",
        "--quiet",
        "--offline",
        "--profile",
        "test",
        "--example",
        name,
    ]);
    cargo.arg("--manifest-path").arg(root().join("Cargo.toml"));
    let output = cargo.current_dir(dir).output().unwrap();
    assert!(
        output.status.success(),
        "{name}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn its_rust_is_that_of_the_examples_and_prints_what_it_says() {
    let rust = blocks("rust");
    let dir = tempfile::tempdir().unwrap();
    for (nth, name) in ["manager", "quickstart", "sessions"]
        .into_iter()
        .enumerate()
    {
        let file = fs::read_to_string(root().join(format!("tests/examples/{name}.rs"))).unwrap();
        let (about, code) = file.split_once("\n\n").unwrap();
        assert!(about.lines().all(|line| line.starts_with("//! ")));
        assert_eq!(rust[nth], code, "{name}");
    }
    let values = fs::read_to_string(root().join("tests/examples/values.rs")).unwrap();
    assert!(values.contains(&rust[3]), "{}", rust[3]);
    assert_eq!(rust.len(), 4);
    let said = example("values", dir.path());
    let (paid, error) = said.split_once('\n').unwrap();
    assert_eq!(paid, r#"Card { last_digits: "4711" }"#);
    let place = "`cart:18` in `values.shelf`: expected a map at byte 0, found an array";
    assert!(error.starts_with(place), "{error}");
    let said = example("quickstart", dir.path());
    assert!(blocks("text").contains(&said), "{said}");
    assert!(example("quickstart", dir.path()).starts_with("run 2: "));
    assert_eq!(example("sessions", dir.path()), "in the cart: Some(1)\n");
}

/// Runs the lines that begin with `$ ` in one folder and compares what comes out, both outputs together.
#[test]
fn sessions_of_its_examples_end() {
    let (readme, opened) = (readme(), "SessionOptions::new()");
    let examples: Vec<String> = blocks("rust")
        .into_iter()
        .filter(|block| block.contains(opened))
        .collect();
    assert!(!examples.is_empty() && readme.contains("`SessionOptions::idle_lifetime`"));
    for example in examples {
        assert!(example.contains(".idle_lifetime("), "{example}");
    }
}

#[test]
fn its_console_session_is_what_happens() {
    let dir = tempfile::tempdir().unwrap();
    let mut happened = String::new();
    for line in blocks("console").concat().lines() {
        let Some(command) = line.strip_prefix("$ ") else {
            continue;
        };
        let shell = Command::new("sh")
            .args(["-c", &format!("exec 2>&1; {command}")])
            .current_dir(dir.path())
            .env("PATH", path())
            .stdin(Stdio::null())
            .output()
            .unwrap();
        happened += &format!("$ {command}\n{}", String::from_utf8(shell.stdout).unwrap());
    }
    assert_eq!(happened, blocks("console").concat());
    assert!(happened.contains("$ shelflife load"));
}

/// Runs a line of a shell in a folder, without an input, and returns what it printed.
fn sh(dir: &Path, line: &str) -> String {
    let mut sh = Command::new("sh");
    sh.args(["-c", line]).current_dir(dir).env("PATH", path());
    let output = sh.stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{line}: {said}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn its_line_for_a_shelf_of_python_brings_it_over() {
    let dir = tempfile::tempdir().unwrap();
    let make = "import shelve; d = shelve.open('old'); d['tea'] = ['green', 3]; d.close()";
    let python = Command::new("python3")
        .args(["-c", make])
        .current_dir(dir.path())
        .status();
    if !python.is_ok_and(|status| status.success()) {
        crate::support::skip("its_line_for_a_shelf_of_python", "no python3 with shelve");
        return;
    }
    sh(dir.path(), &blocks("sh")[1]);
    assert_eq!(
        sh(dir.path(), "shelflife dump new.shelf"),
        "{\"k\":\"tea\",\"v\":[\"green\",3]}\n"
    );
}

/// The words between single backticks, and the commands of the blocks that are not run as they stand.
fn commands_named(page: &str) -> Vec<String> {
    let mut named = Vec::new();
    for (nth, part) in page.split("```").enumerate() {
        match nth % 2 {
            0 => named.extend(part.split('`').skip(1).step_by(2).map(str::to_string)),
            _ => named.extend(part.lines().map(str::to_string)),
        }
    }
    let of_ours = |text: String| {
        let text = text.split_once("shelflife ")?.1.replace('\n', " ");
        Some(text.split(['|', '&', '>']).next()?.trim().to_string())
    };
    named.into_iter().filter_map(of_ours).collect()
}

/// How many commands were looked up in the help, their options among it.
fn assert_known(commands: &[String]) -> usize {
    let dir = tempfile::tempdir().unwrap();
    let mut checked = 0;
    for command in commands {
        let words: Vec<&str> = command.split_whitespace().collect();
        // Meant to be misspelt, what only the program calls, and no command at all.
        let is_word = |word: &&str| {
            word.bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte == b'-')
        };
        let first = words.first().filter(|word| is_word(word));
        let Some(first) =
            first.filter(|word| !["verfy", "remove-leftovers", "help"].contains(word))
        else {
            continue;
        };
        let name = match *first {
            "session" => words[..2].join(" "),
            one => one.to_string(),
        };
        let help = sh(dir.path(), &format!("shelflife help {name}"));
        for option in words
            .iter()
            .filter(|word| word.starts_with('-') && word.len() > 1)
        {
            assert!(
                help.contains(&format!("  {option}")),
                "`{command}`: {option} is not in {help}"
            );
        }
        checked += 1;
    }
    checked
}

#[test]
fn the_commands_that_it_and_the_page_for_production_name_exist_with_their_options() {
    let production = fs::read_to_string(root().join("src/PRODUCTION.md")).unwrap();
    let checked = assert_known(&[commands_named(&readme()), commands_named(&production)].concat());
    assert!(checked > 30, "{checked}");
}

#[test]
fn the_commands_that_messages_and_docs_of_the_code_name_exist_with_their_options() {
    let mut folders = vec![root().join("src")];
    let mut named = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.extension().and_then(|it| it.to_str()) {
                None if path.is_dir() => folders.push(path),
                Some("rs" | "md") => {
                    let text = fs::read_to_string(path).unwrap();
                    let parts = text.split("`shelflife ").skip(1);
                    named
                        .extend(parts.filter_map(|part| Some(part.split_once('`')?.0.to_string())));
                }
                _ => {}
            }
        }
    }
    let checked = assert_known(&named);
    assert!(checked > 10, "{checked}");
}

#[test]
fn its_line_for_cron_says_nothing_and_logs_nobody_out() {
    let dir = tempfile::tempdir().unwrap();
    // An hour ago, with one lifetime of a day and one of a minute.
    let sim = SimDisk::new(1);
    sim.set_wall_clock(SystemTime::now() - Duration::from_secs(3600));
    let app = ShelveSessionStore::from(Options::new().disk(sim.disk()).open("/s.shelf").unwrap());
    let login = |seconds| {
        let mut session = Session::new();
        session.set_user(Some("ann"));
        session.set_lifetime(Some(Lifetime {
            idle: Some(Duration::from_secs(seconds)),
            absolute: None,
        }));
        let saved = app.save_session(&mut session).unwrap();
        assert!(matches!(saved, Saved::Stored));
        session.handle().unwrap()
    };
    let (living, _) = (login(86_400), login(60));
    app.close().unwrap();
    let file = dir.path().join("sessions.shelf");
    fs::write(&file, sim.read("/s.shelf").unwrap()).unwrap();

    let keys = || Store::open(&file).unwrap().len().unwrap();
    let before = keys();
    let line = blocks("text").concat();
    let line = line
        .lines()
        .find_map(|line| line.strip_prefix("*/15 * * * * "))
        .unwrap();
    assert_eq!(sh(dir.path(), &line.replace("/var/lib/app/", "")), "");
    assert_eq!(before - keys(), 1, "the session that ended");
    let app = ShelveSessionStore::open(&file).unwrap();
    let left: Vec<_> = app.iter_sessions().map(|it| it.unwrap().handle()).collect();
    assert_eq!(left, [Some(living)]);
}

#[test]
fn its_list_of_commands_is_that_of_the_help() {
    let help = Command::new(env!("CARGO_BIN_EXE_shelflife"))
        .arg("--help")
        .output()
        .unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let of_help: Vec<&str> = help
        .lines()
        .filter_map(|line| line.strip_prefix("  "))
        .filter(|line| !line.starts_with("shelflife ") && !line.starts_with(' '))
        .map(|line| line.split("  ").next().unwrap())
        .collect();
    let readme = readme();
    let table = readme
        .split("| command | |\n|---|---|\n")
        .nth(1)
        .unwrap()
        .split("\n\n")
        .next()
        .unwrap();
    let of_readme: Vec<&str> = table
        .lines()
        .map(|line| line.split('`').nth(1).unwrap())
        .collect();
    assert_eq!(of_readme, of_help);
}

#[test]
fn the_tests_it_names_exist() {
    let mut sources = String::new();
    let mut folders = vec![root().join("src"), root().join("tests")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path: PathBuf = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(path).unwrap();
                sources.extend(text.lines().flat_map(|line| [line.trim_start(), "\n"]));
            }
        }
    }
    // Macros that make a test of each line.
    let lists = ["every_image! {\n", "swarms! {\n"];
    let lists = lists.iter().flat_map(|list| sources.split(list).skip(1));
    let listed: Vec<&str> = lists
        .flat_map(|list| list.lines().take_while(|line| *line != "}"))
        .map(|line| line.split(':').next().unwrap())
        .collect();
    assert!(listed.len() > 20, "{listed:?}");
    let readme = readme();
    let is_test = |name: &str| {
        listed.contains(&name) || sources.contains(&format!("#[test]\nfn {name}() {{\n"))
    };
    let words = readme.split('`');
    let mut named: Vec<&str> = Vec::new();
    for word in words.filter(|word| !word.contains(char::is_whitespace)) {
        if word.ends_with(".rs") {
            assert!(root().join(word).is_file(), "no file is called {word}");
        // Another end of the name before.
        } else if let Some(end) = word.strip_prefix("..") {
            let start = named.last().unwrap();
            let mut starts = (0..start.len()).map(|len| &start[..len]);
            assert!(
                starts.any(|start| is_test(&format!("{start}{end}"))),
                "{word}"
            );
        } else if word.matches('_').count() > 3 {
            assert!(is_test(word), "no test is called {word}");
            named.push(word);
        }
    }
    assert!(named.len() > 40, "{named:?}");
}

#[test]
fn its_first_commands_are_the_two_that_matter_and_its_versions_are_right() {
    assert_eq!(blocks("sh")[0], "cargo run --release -- demo\ncargo test\n");
    let cargo = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let setting = |name: &str| {
        let mut lines = cargo
            .lines()
            .filter_map(|line| line.strip_prefix(&format!("{name} = \"")));
        lines.next().unwrap().trim_end_matches('"').to_string()
    };
    let vendored = &blocks("toml")[0];
    for name in ["name", "version", "edition"] {
        assert!(
            vendored.contains(&format!("{name} = \"{}\"\n", setting(name))),
            "{name}"
        );
    }
    assert!(readme().contains(&format!("Rust {} or later", setting("rust-version"))));
}
