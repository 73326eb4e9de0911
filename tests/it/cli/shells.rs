//! Completions and the manual name what the commands take, no more and no less.

use super::*;

/// Each command with the options that its help lists.
pub(super) fn table(shell: &Shell) -> Vec<(String, Vec<String>)> {
    let overview = shell.run("--help").ok();
    let lines = overview
        .lines()
        .filter_map(|line| line.strip_prefix("  "))
        .filter(|line| !line.starts_with("shelflife ") && !line.starts_with(' '));
    let command = |line: &str| {
        let words: Vec<&str> = line
            .split(' ')
            .take_while(|word| {
                word.chars().all(|c| c.is_lowercase() || c == '-') && !word.is_empty()
            })
            .collect();
        let name = words.join(" ");
        let help = shell.run(&format!("{name} --help")).ok();
        let options = help
            .lines()
            .filter_map(|line| line.strip_prefix("  -").map(|rest| format!("-{rest}")))
            .map(|line| line.split(' ').next().unwrap().to_string())
            .collect();
        (name, options)
    };
    let commands: Vec<_> = lines.map(command).collect();
    assert!(commands.len() > 10, "{overview}");
    commands
}

/// Whether a program is here that reads what was only compared otherwise.
fn has(program: &str) -> bool {
    Command::new(program)
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok()
}

/// The claim was tested against the help all the same.
fn not_read_by(program: &str) {
    let _ = writeln!(
        std::io::stdout(),
        "NOTE no {program} here to read what is for it"
    );
}

#[test]
fn bash_completes_every_command_option_and_file() {
    let shell = Shell::new();
    shell.run("set notes.shelf k v").ok();
    let script = shell.run("completions bash").ok();
    // Completes the last of some words and prints what is offered, a line each.
    let complete = |words: &[&str]| -> Vec<String> {
        let typed: Vec<String> = words.iter().map(|word| format!("'{word}'")).collect();
        let ask = format!(
            "{script}\nCOMP_WORDS=(shelflife {})\nCOMP_CWORD={}\n_shelflife\nprintf '%s\\n' \"${{COMPREPLY[@]}}\"",
            typed.join(" "),
            words.len()
        );
        let mut command = Command::new("bash");
        command.args(["--norc", "-c", &ask]);
        let said = shell.finish(b"", &mut command).ok();
        said.lines().map(str::to_string).collect()
    };
    let commands = table(&shell);
    let mut first: Vec<String> = complete(&[""]);
    first.retain(|word| !word.starts_with('-'));
    let mut expected: Vec<String> = commands
        .iter()
        .map(|(name, _)| name.split(' ').next().unwrap().to_string())
        .collect();
    expected.dedup();
    assert_eq!(first, expected);
    assert_eq!(complete(&["sess"]), ["session"]);
    assert_eq!(complete(&["session", "ex"]), ["expire"]);
    assert_eq!(complete(&["get", "no"]), ["notes.shelf"]);
    assert_eq!(complete(&["salvage", "x", "-o", "no"]), ["notes.shelf"]);
    assert_eq!(
        complete(&["session", "ls", "r", "--password-file", "no"]),
        ["notes.shelf"]
    );
    assert_eq!(complete(&["session", "copy", "no"]), ["notes.shelf"]);
    assert_eq!(complete(&["help", "sal"]), ["salvage"]);
    assert_eq!(complete(&["completions", "f"]), ["fish"]);
    fs::write(shell.path("of two words *"), "").unwrap();
    assert_eq!(complete(&["get", "of"]), ["of two words *"]);
    assert_eq!(
        complete(&["get", "n", "--wait", ""]),
        [""],
        "seconds can't be guessed"
    );
    for (name, options) in &commands {
        let mut words: Vec<&str> = name.split(' ').collect();
        words.push("-");
        let mut offered = complete(&words);
        assert_eq!(offered.pop().as_deref(), Some("--help"), "{name}");
        assert_eq!(&offered, options, "{name}");
    }
}

#[test]
fn zsh_and_fish_read_their_scripts_and_know_every_option() {
    let shell = Shell::new();
    let commands = table(&shell);
    let zsh = shell.run("completions zsh").ok();
    let fish = shell.run("completions fish").ok();
    for (name, options) in &commands {
        let of_zsh = zsh
            .split(&format!("\n    '{name}')\n"))
            .nth(1)
            .unwrap()
            .split(";;")
            .next()
            .unwrap();
        let named: Vec<&str> = of_zsh
            .lines()
            .filter_map(|line| line.trim_start().strip_prefix('\''))
            .filter_map(|line| line.split_once('[').map(|(option, _)| option))
            .collect();
        let mut expected: Vec<&str> = options.iter().map(String::as_str).collect();
        expected.push("--help");
        assert_eq!(named, expected, "{name}");
        let lines = fish
            .lines()
            .filter(|line| line.contains(&format!("= \"{name}\"'")));
        let flags = lines
            .filter(|line| line.contains(" -l ") || line.contains(" -s "))
            .count();
        assert_eq!(flags, options.len(), "{name}");
    }
    assert!(!zsh.contains("'*::"), "options go behind operands, too");
    let joins = fish.matches("string join ").count();
    let safe = fish.matches("string join -- ").count();
    assert_eq!(joins, safe, "a word that was typed may look like an option");
    shell.words(b"", ["completions", "tcsh"]).failed(2);
    if has("zsh") {
        fs::write(shell.path("_shelflife"), &zsh).unwrap();
        let mut command = Command::new("zsh");
        command.args([
            "-fc",
            "autoload -U compinit && compinit -D && source ./_shelflife && echo $_comps[shelflife]",
        ]);
        command.env("HOME", shell.dir.path());
        assert_eq!(shell.finish(b"", &mut command).ok(), "_shelflife\n");
    } else {
        not_read_by("zsh");
    }
    if has("fish") {
        fs::write(shell.path("s.fish"), &fish).unwrap();
        let complete = |line: &str| -> Vec<String> {
            let ask = format!("source s.fish; complete -C '{line}'");
            let mut command = Command::new("fish");
            command.args(["--no-config", "-c", &ask]);
            command.env("HOME", shell.dir.path());
            let said = shell.finish(b"", &mut command).ok();
            said.lines()
                .map(|line| line.split('\t').next().unwrap().to_string())
                .collect()
        };
        for (name, options) in &commands {
            let mut offered = complete(&format!("shelflife {name} -"));
            // Fish also offers words that have what was typed within them.
            offered.retain(|word| word.starts_with('-'));
            let mut expected = options.clone();
            offered.sort();
            expected.sort();
            assert_eq!(offered, expected, "{name}");
        }
        for line in ["ls --long ", "watch --from ", "ls --wait 9 "] {
            let offered = complete(&format!("shelflife {line}"));
            let files = offered.iter().any(|word| word == "s.fish");
            assert_eq!(files, !line.contains("from"), "{line}: {offered:?}");
        }
        let offered = complete("shelflife session ");
        assert!(offered.contains(&"expire".to_string()), "{offered:?}");
        assert!(!offered.contains(&"get".to_string()), "{offered:?}");
    } else {
        not_read_by("fish");
    }
}

#[test]
fn the_manual_has_every_command_with_every_option_and_groff_finds_nothing_wrong() {
    let shell = Shell::new();
    let page = shell.run("man").ok();
    let plain = page.replace("\\-", "-").replace("\\e", "\\");
    for (name, options) in table(&shell) {
        let of_command = plain
            .split(&format!("\n.SS {name}\n"))
            .nth(1)
            .unwrap_or_else(|| panic!("{name}"));
        let of_command = of_command.split("\n.S").next().unwrap();
        let named: Vec<&str> = of_command
            .split("\n.TP\n.B ")
            .skip(1)
            .map(|option| option.split([' ', '\n']).next().unwrap())
            .collect();
        assert_eq!(named, options, "{name}");
    }
    if !has("groff") {
        not_read_by("groff");
        return;
    }
    let mut groff = Command::new("groff");
    groff.args(["-man", "-Tutf8", "-ww", "-P-c", "-rLL=80n"]);
    let shown = shell.finish(page.as_bytes(), &mut groff).ok();
    assert!(shown.contains("--dry-run"), "{shown}");
    // A bold letter is struck twice.
    let mut plain = String::new();
    for c in shown.chars() {
        match c {
            '\u{8}' => drop(plain.pop()),
            c => plain.push(c),
        }
    }
    // Only what is to be copied stays in one line.
    let wide = |line: &&str| line.chars().count() > 80 && line.contains(" [");
    assert_eq!(plain.lines().find(wide), None);
}
