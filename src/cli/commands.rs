//! The table of commands, and which of them was asked for. Usage errors, help, completions and the manual come from it.

use std::ffi::OsString;

use crate::cli::about::{ABOUT, EXITS, VERSION};
use crate::cli::args::{Args, Command, suggestion};
use crate::cli::failure::{Failure, Result};
use crate::cli::output::Output;
use crate::cli::{
    broom, browse, complete, copies, copying, damage, demo, entries, file, from_shelve, lines,
    listing, load, manual, past, sessions, text,
};

pub(crate) const COMMANDS: &[Command] = &[
    entries::SET,
    entries::GET,
    listing::RM,
    listing::LS,
    lines::DUMP,
    load::LOAD,
    from_shelve::FROM_SHELVE,
    file::INFO,
    file::COMPACT,
    damage::VERIFY,
    damage::SALVAGE,
    copies::BACKUP,
    copies::RESTORE,
    copies::HASH,
    past::HISTORY,
    past::WATCH,
    sessions::LS,
    sessions::SHOW,
    sessions::RM,
    sessions::EXPIRE,
    sessions::HASH,
    copying::COPY,
    browse::BROWSE,
    demo::DEMO,
    complete::COMPLETIONS,
    manual::MAN,
    HELP,
];

pub(crate) fn run(mut words: impl Iterator<Item = OsString>, output: &mut Output) -> Result<()> {
    let Some(first) = words.next() else {
        return Err(Failure::Usage(
            "which command? see shelflife --help".to_string(),
        ));
    };
    let name = first.to_string_lossy().into_owned();
    match name.as_str() {
        "-h" | "--help" => return output.explain(&overview("")),
        "-V" | "--version" => {
            return output.line(&format!("shelflife {VERSION}"));
        }
        broom::WORD => {
            broom::sweep(words);
            return Ok(());
        }
        _ => {}
    }
    let name = match group(&name) {
        None => name,
        Some(group) => match words.next() {
            None => {
                return Err(Failure::Usage(format!(
                    "`{name}` what? see shelflife {name} --help"
                )));
            }
            Some(second) if second == "-h" || second == "--help" => {
                return output.explain(&overview(&group));
            }
            Some(second) => group + &second.to_string_lossy(),
        },
    };
    let command = find(&name)?;
    match Args::parse(command, COMMANDS, words)? {
        Some(mut args) => (command.run)(&mut args, output),
        None => output.explain(&command.help()),
    }
}

/// `session `, if that is what commands of two words begin with.
fn group(name: &str) -> Option<String> {
    let group = format!("{name} ");
    let mut commands = COMMANDS.iter();
    let is_one = commands.any(|command| command.name.starts_with(&group));
    is_one.then_some(group)
}

fn find(name: &str) -> Result<&'static Command> {
    let found = COMMANDS.iter().find(|command| command.name == name);
    found.ok_or_else(|| {
        let known = COMMANDS.iter().map(|command| command.name);
        let hint = match text::nearest(name, known.chain(["session"])) {
            None => "; see shelflife --help".to_string(),
            near => suggestion(near),
        };
        let name = text::escape(name.as_bytes());
        Failure::Usage(format!("unknown command `{name}`{hint}"))
    })
}

const HELP: Command = Command {
    name: "help",
    operands: "[COMMAND...]",
    options: &[],
    about: "explain a command, or list all",
    examples: ["shelflife help", "shelflife help session ls"],
    notes: "The same as --help behind the command.",
    run: help,
};

fn help(args: &mut Args, output: &mut Output) -> Result<()> {
    let words = std::iter::from_fn(|| args.operand());
    let words: Vec<String> = words
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    let name = words.join(" ");
    let text = match (name.as_str(), group(&name)) {
        ("", _) => overview(""),
        (_, Some(group)) => overview(&group),
        (name, None) => find(name)?.help(),
    };
    output.explain(&text)
}

/// The list of all commands, or of those of one group.
fn overview(group: &str) -> String {
    let mut help = String::new();
    match group {
        "" => help.push_str(&format!(
            "{ABOUT}\n\n  \
             shelflife demo\n  shelflife set notes.shelf tea green\n\nusage: shelflife COMMAND ...\n\n",
        )),
        _ => help.push_str(
            "Browse and end the sessions in a file, while the app runs.\n\n  \
             shelflife session ls sessions.shelf\n  shelflife session expire sessions.shelf\n\n",
        ),
    }
    for command in COMMANDS
        .iter()
        .filter(|command| command.name.starts_with(group))
    {
        let words = format!("{} {}", command.name, command.operands);
        help.push_str(&format!("  {words:<25}  {}\n", command.about));
    }
    help.push_str(
        "\nEach command has its own --help. What it finds goes to standard output, a record a line with tabs\n\
         between the fields (a table at a terminal), and talk to standard error. Exit codes:\n",
    );
    for (code, meaning) in EXITS {
        help.push_str(&format!(" {code}  {meaning}\n"));
    }
    help
}
