//! The question before something that can't be undone.

use std::io::{self, BufRead, IsTerminal};

use crate::cli::args::{Args, YES};
use crate::cli::failure::{Failure, Result};
use crate::cli::output::say;

/// Asks at a terminal; where nobody sits in front of one `--yes` has to stand for the answer.
pub(crate) fn confirm(
    args: &Args,
    what: &str,
    question: impl FnOnce() -> Result<String>,
) -> Result<()> {
    if args.has(YES.name) {
        return Ok(());
    }
    // A question that goes to a file is seen by nobody.
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Err(args.wrong(&format!("{what}: add --yes")));
    }
    say(&format!("{} [y/N]", question()?));
    let mut answer = String::new();
    let read = io::stdin().lock().read_line(&mut answer);
    read.map_err(|error| Failure::Io("failed to read the answer".to_string(), error))?;
    match answer.trim() {
        "y" | "Y" | "yes" => Ok(()),
        _ => Err(Failure::No("nothing was changed".to_string())),
    }
}
