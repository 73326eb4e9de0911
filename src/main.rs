//! The command line of shelflife: a user of the library's public face, nothing more.

mod cli {
    pub(crate) mod about;
    pub(crate) mod args;
    pub(crate) mod ask;
    pub(crate) mod broom;
    pub(crate) mod browse;
    pub(crate) mod commands;
    pub(crate) mod complete;
    pub(crate) mod copies;
    pub(crate) mod copying;
    pub(crate) mod damage;
    pub(crate) mod demo;
    pub(crate) mod entries;
    pub(crate) mod failure;
    pub(crate) mod file;
    pub(crate) mod from_shelve;
    pub(crate) mod http;
    pub(crate) mod keys;
    pub(crate) mod lines;
    pub(crate) mod listing;
    pub(crate) mod load;
    pub(crate) mod manual;
    pub(crate) mod open;
    pub(crate) mod output;
    pub(crate) mod past;
    pub(crate) mod places;
    pub(crate) mod progress;
    pub(crate) mod sessions;
    pub(crate) mod text;
    pub(crate) mod times;
}

use std::process::ExitCode;

use cli::broom;
use cli::commands;
use cli::failure::Failure;
use cli::output::{Output, say};

fn main() -> ExitCode {
    let mut output = Output::new();
    let ran = commands::run(std::env::args_os().skip(1), &mut output);
    // Rows that were found before a failure are shown before the failure.
    let flushed = output.flush();
    broom::put_away();
    // A failure of the store does not tell that its list is not whole.
    if let (Err(found), Err(failure @ Failure::Io(..))) = (&ran, &flushed)
        && !found.is_of_the_output()
    {
        say(&format!("shelflife: {failure}"));
    }
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
