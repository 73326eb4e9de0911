//! The command line of shelflife: a user of the library's public face, nothing more.

mod cli {
    pub(crate) mod args;
    pub(crate) mod damage;
    pub(crate) mod demo;
    pub(crate) mod entries;
    pub(crate) mod failure;
    pub(crate) mod file;
    pub(crate) mod lines;
    pub(crate) mod open;
    pub(crate) mod output;
    pub(crate) mod sessions;
    pub(crate) mod text;
}

use std::ffi::OsString;
use std::process::ExitCode;

use cli::args::{Args, Command, suggestion};
use cli::failure::{Failure, Result};
use cli::output::{Output, say};
use cli::{damage, demo, entries, file, lines, sessions, text};

const COMMANDS: &[Command] = &[
    entries::SET,
    entries::GET,
    entries::RM,
    entries::LS,
    lines::DUMP,
    lines::LOAD,
    file::INFO,
    file::COMPACT,
    damage::VERIFY,
    damage::SALVAGE,
    sessions::LS,
    sessions::SHOW,
    sessions::RM,
    sessions::EXPIRE,
    demo::DEMO,
];

fn main() -> ExitCode {
    let mut output = Output::new();
    let ran = run(std::env::args_os().skip(1), &mut output);
    // What was found before a failure is shown before the failure.
    let flushed = output.flush();
    match ran.and(flushed) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if !matches!(failure, Failure::Closed) {
                say(&format!("shelflife: {failure}"));
            }
            failure.exit_code()
        }
    }
}

fn run(mut words: impl Iterator<Item = OsString>, output: &mut Output) -> Result<()> {
    let Some(first) = words.next() else {
        return Err(Failure::Usage(
            "which command? see shelflife --help".to_string(),
        ));
    };
    let mut name = first.to_string_lossy().into_owned();
    if name == "-h" || name == "--help" {
        return output.bytes(overview("").as_bytes());
    }
    if name == "--version" {
        return output.line(concat!("shelflife ", env!("CARGO_PKG_VERSION")));
    }
    let group = format!("{name} ");
    if COMMANDS
        .iter()
        .any(|command| command.name.starts_with(&group))
    {
        let Some(second) = words.next() else {
            return Err(Failure::Usage(format!(
                "`{name}` what? see shelflife {name} --help"
            )));
        };
        if second == "-h" || second == "--help" {
            return output.bytes(overview(&group).as_bytes());
        }
        name = group + &second.to_string_lossy();
    }
    let Some(command) = COMMANDS.iter().find(|command| command.name == name) else {
        let known = COMMANDS.iter().map(|command| command.name);
        let hint = match text::nearest(&name, known.chain(["session"])) {
            None => "; see shelflife --help".to_string(),
            near => suggestion(near),
        };
        let name = text::escape(name.as_bytes());
        return Err(Failure::Usage(format!("unknown command `{name}`{hint}")));
    };
    match Args::parse(command, words)? {
        Some(mut args) => (command.run)(&mut args, output),
        None => output.bytes(command.help().as_bytes()),
    }
}

/// What there is, of everything or of a group.
fn overview(group: &str) -> String {
    let mut help = String::new();
    match group {
        "" => help.push_str(
            "Sessions, or any values, in one file that survives kill -9 and is shared by processes.\n\n  \
             shelflife demo\n  shelflife set notes.shelf tea green\n\nusage: shelflife COMMAND ...\n\n",
        ),
        _ => help.push_str(
            "Browse and end the sessions in a file, while the app runs.\n\n  \
             shelflife session ls sessions.shelf\n  shelflife session expire sessions.shelf --idle 30m\n\n",
        ),
    }
    for command in COMMANDS
        .iter()
        .filter(|command| command.name.starts_with(group))
    {
        let words = format!("{} {}", command.name, command.operands);
        help.push_str(&format!("  {words:<26} {}\n", command.about));
    }
    help.push_str(
        "\nEach command has its own --help. What it finds goes to standard output, a record a line with tabs\n\
         between the fields (aligned at a terminal), and talk to standard error. Exit codes: 0 ok, 1 no\n\
         (nothing there), 2 usage, 3 damaged file, 4 busy, 5 other failures of input and output.\n",
    );
    help
}
