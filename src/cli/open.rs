//! How commands open their store: what only reads opens it read-only and never creates it.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{self, Read};
use std::time::{Duration, Instant};

use shelflife::{Error, ErrorKind, Options, Store};

use crate::cli::args::Args;
use crate::cli::broom;
use crate::cli::failure::{Failure, Result};
use crate::cli::output::say;
use crate::cli::progress::Progress;
use crate::cli::text;

const SCHEMES: [&str; 7] = [
    "redis",
    "valkey",
    "unix",
    "redis+unix",
    "valkey+unix",
    "rediss",
    "valkeys",
];

pub(crate) fn to_read(args: &Args, file: OsString) -> Result<Store> {
    open(args, file, |options| options.read_only(true))
}

/// Also what does not open otherwise.
pub(crate) fn to_examine(args: &Args, file: OsString) -> Result<Store> {
    open(args, file, |options| options.damaged(true))
}

pub(crate) fn to_change(args: &Args, file: OsString) -> Result<Store> {
    sweep_if_killed(&file);
    open(args, file, |options| options.create(false))
}

pub(crate) fn to_fill(args: &Args, file: OsString) -> Result<Store> {
    sweep_if_killed(&file);
    open(args, file, |options| options.create(true))
}

/// A command that writes may create the store, or rewrite it; one of under a mebibyte is rewritten by `compact` only.
fn sweep_if_killed(file: &OsStr) {
    let is_small = fs::metadata(file).is_ok_and(|is| (1..1 << 20).contains(&is.len()));
    if !is_small {
        broom::wait_beside(file);
    }
}

fn open(
    args: &Args,
    file: OsString,
    how: impl FnOnce(&mut Options) -> &mut Options,
) -> Result<Store> {
    if server(&file).is_some() {
        let what = "a file belongs here: servers are for session ls, show, rm, expire, copy, and demo --store";
        return Err(args.wrong(what));
    }
    let mut options = Options::new();
    options.lock_timeout(patience(args)?);
    // Which reads the whole file, and waits for others if it is to be written.
    let progress = Progress::of("opening", "");
    let store = how(&mut options).open(file)?;
    drop(progress);
    if let Some(kind) = store.recovery().network_file_system {
        let path = store.path().display();
        say(&format!(
            "warning: `{path}` is on a network file system ({kind}): what another machine writes is seen late, or in part"
        ));
    }
    Ok(store)
}

/// A server's URL, and what stands behind its scheme; `None` of a path.
pub(crate) fn server(place: &OsStr) -> Option<(&str, &str)> {
    let url = place.to_str()?;
    let (scheme, rest) = url.split_once("://")?;
    let mut known = SCHEMES.iter();
    let is_known = known.any(|known| known.eq_ignore_ascii_case(scheme));
    is_known.then_some((url, rest))
}

fn patience(args: &Args) -> Result<Duration> {
    let wait = args.span("--wait", Some("s"))?;
    Ok(wait.unwrap_or(Duration::from_secs(5)))
}

/// A command that stays goes on with another file, once somebody has put that in the place of the store. While it is
/// being put there it may be missing, or there in part: for as long as `--wait` says.
pub(crate) struct Successor<'a> {
    store: &'a Store,
    patience: Duration,
    since: Option<Instant>,
}

impl Successor<'_> {
    pub(crate) fn of<'a>(args: &Args, store: &'a Store) -> Result<Successor<'a>> {
        Ok(Successor {
            store,
            patience: patience(args)?,
            since: None,
        })
    }

    /// Opens the file that is there, if the error says that there is another one, or may be in part. The caller tries
    /// again.
    pub(crate) fn open(&mut self, error: Error) -> Result<()> {
        let is_replaced = error.kind() == ErrorKind::Replaced;
        if self.since.is_none() && !is_replaced && !error.is_corrupt() {
            return Err(error.into());
        }
        let since = *self.since.get_or_insert_with(|| {
            let path = text::shell_word(self.store.path().as_os_str());
            say(&match is_replaced {
                true => format!(
                    "shelflife: {path} was replaced or deleted: going on with the file that takes its place"
                ),
                false => format!("shelflife: {path} is damaged, or being written over: trying again"),
            });
            Instant::now()
        });
        match self.store.reopen() {
            Err(error) if since.elapsed() >= self.patience => Err(error.into()),
            Ok(()) if since.elapsed() >= self.patience => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// The caller has gone on.
    pub(crate) fn is_open(&mut self) {
        self.since = None;
    }
}

/// The bytes of an operand; `-`, or none, stands for standard input.
pub(crate) fn bytes_or_stdin(operand: Option<OsString>) -> Result<Vec<u8>> {
    match operand {
        Some(text) if text != "-" => Ok(text.into_encoded_bytes()),
        _ => stdin(),
    }
}

pub(crate) fn stdin() -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = io::stdin().lock().read_to_end(&mut bytes);
    read.map_err(|error| Failure::Io("failed to read standard input".to_string(), error))?;
    Ok(bytes)
}

/// Text without the byte order mark that some editors put before it.
pub(crate) fn without_mark(text: &str) -> &str {
    text.strip_prefix('\u{feff}').unwrap_or(text)
}

/// Visits every item, and shows at a terminal that it goes on. One that can't be read does not hide the others, and is
/// not passed over in silence either.
pub(crate) fn each<T>(
    doing: &'static str,
    things: &'static str,
    items: impl Iterator<Item = shelflife::Result<T>>,
    mut visit: impl FnMut(T) -> Result<()>,
) -> Result<()> {
    let progress = Progress::of_printing(doing, things);
    let (mut unreadable, mut others) = (None, 0_u64);
    for item in items {
        progress.step();
        match item {
            Ok(item) => visit(item)?,
            Err(error) => match &unreadable {
                None => unreadable = Some(error),
                Some(_) => others += 1,
            },
        }
    }
    drop(progress);
    let Some(error) = unreadable else {
        return Ok(());
    };
    if others > 0 {
        let others = text::counted(others, "more item");
        say(&format!(
            "shelflife: {others} could not be read; of a file, shelflife verify lists all"
        ));
    }
    Err(error.into())
}
