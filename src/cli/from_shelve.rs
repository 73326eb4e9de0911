//! `from-shelve`: the converter for shelves of Python, which a Python runs.

use crate::cli::args::{Args, Command};
use crate::cli::failure::Result;
use crate::cli::output::Output;

pub(crate) const FROM_SHELVE: Command = Command {
    name: "from-shelve",
    operands: "",
    options: &[],
    about: "print a Python program that turns a shelf of Python's shelve into lines for load",
    examples: [
        "shelflife from-shelve > from_shelve.py",
        "shelflife from-shelve | python3 - old > out && shelflife load new.shelf out",
    ],
    notes: "`old` is what was given to shelve.open. The classes of what is in it are not needed, and nothing that it\n\
            names is run. Unless every value can be converted nothing is written and what can't be is listed with its\n\
            key; --skip passes over those. The program begins with a table of what becomes of each type.",
    run: from_shelve,
};

fn from_shelve(_: &mut Args, output: &mut Output) -> Result<()> {
    output.bytes(include_bytes!("shelve.py"))
}
