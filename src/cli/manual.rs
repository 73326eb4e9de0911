//! `man`: the manual page, from the table of commands.

use crate::cli::about::{ABOUT, EXITS, VERSION};
use crate::cli::args::{Args, Command};
use crate::cli::failure::Result;
use crate::cli::output::Output;

pub(crate) const MAN: Command = Command {
    name: "man",
    operands: "",
    options: &[],
    about: "print the manual page",
    examples: [
        "shelflife man | man -l -",
        "shelflife man > /usr/local/share/man/man1/shelflife.1",
    ],
    notes: "",
    run: man,
};

fn man(args: &mut Args, output: &mut Output) -> Result<()> {
    output.bytes(page(args.commands).as_bytes())
}

fn page(commands: &[Command]) -> String {
    let mut page = format!(
        ".TH SHELFLIFE 1 \"\" \"shelflife {}\" \"User Commands\"\n\
         .SH NAME\nshelflife \\- sessions, or any values, in one file\n\
         .SH SYNOPSIS\n.B shelflife\n.I COMMAND\n\\&...\n\
         .SH DESCRIPTION\n{}\n.PP\n\
         What a command finds goes to standard output, a record a line with tabs between the fields, at a terminal as\n\
         a table; talk goes to standard error. Options stand before or behind the other words; what stands behind\n\
         .B \\-\\-\nis no option.\n.SH COMMANDS\n",
        VERSION,
        roff(ABOUT),
    );
    for command in commands {
        // An option stays with its value where the line is too long.
        let usage = roff(&command.usage()).replace(' ', "\\ ");
        page.push_str(&format!(
            ".SS {}\n.na\n.B {}\n.PP\n.ad\n{}.\n",
            roff(command.name),
            usage.replace("\\ [", " ["),
            roff(&capital(command.about)),
        ));
        for option in command.options {
            let name = format!("{} {}", option.name, option.value);
            page.push_str(&format!(
                ".TP\n.B {}\n{}\n",
                roff(name.trim_end()),
                roff(option.about)
            ));
        }
        if !command.notes.is_empty() {
            page.push_str(&format!(".PP\n{}\n", roff(command.notes)));
        }
        page.push_str(&format!(
            ".PP\n.nf\n{}\n.fi\n",
            command.examples.map(roff).join("\n")
        ));
    }
    page.push_str(".SH EXIT STATUS\n");
    for (code, meaning) in EXITS {
        page.push_str(&format!(".TP\n.B {code}\n{}\n", roff(meaning)));
    }
    page.push_str(
        ".SH ENVIRONMENT\n\
         .TP\n.B COLUMNS\nthe width of the terminal, in place of what that says of itself\n\
         .TP\n.B SHELFLIFE_REDIS_PASSWORD\nthe password of a server, where no option names a file with it\n\
         .TP\n.B TMPDIR\nthe folder through which backup writes to standard output, in place of /tmp\n",
    );
    page
}

/// Text that groff takes as it is: a line that begins with a dot or an apostrophe would be a request to it.
fn roff(text: &str) -> String {
    let text = text.replace('\\', "\\e").replace('-', "\\-");
    let lines = text
        .lines()
        .map(|line| match line.starts_with(['.', '\'']) {
            true => format!("\\&{line}"),
            false => line.to_string(),
        });
    lines.collect::<Vec<_>>().join("\n")
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    let first = chars.next().map(|c| c.to_ascii_uppercase());
    first.into_iter().chain(chars).collect()
}
