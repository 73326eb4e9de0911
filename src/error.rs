//! The one error of this crate.

use std::error::Error as StdError;
use std::fmt::{self, Display, Write};
use std::io;
use std::path::{Path, PathBuf};

/// The result of every fallible call of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a call failed, on which file and where in it, and what to do next.
///
/// The text never contains a value or a session id; the error for a value of a [`Shelf`](crate::Shelf) that can't be
/// decoded or encoded names its key. A write that returned an error may or may not have happened ("outcome
/// unknown"): read the key back to learn which.
///
/// ```
/// let missing = std::env::temp_dir().join("no-such-folder-here/s.shelf");
/// let error = shelflife::Store::open(&missing).unwrap_err();
/// assert_eq!(error.kind(), shelflife::ErrorKind::NotFound);
/// assert_eq!(error.path(), Some(missing.as_path()));
/// ```
pub struct Error(Box<Repr>);

struct Repr {
    kind: ErrorKind,
    what: String,
    path: Option<PathBuf>,
    offset: Option<u64>,
    key: Option<String>,
    /// Where in a value, such as `items[2].price`.
    place: String,
    cause: Option<Cause>,
    advice: &'static str,
}

enum Cause {
    Io(io::Error),
    Other(Box<dyn StdError + Send + Sync>),
}

/// How many characters of a key an error shows.
const KEY_SHOWN: usize = 64;

/// The reasons a call can fail, coarse enough to decide on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The file (or its folder) does not exist and was not to be created.
    NotFound,
    /// The file exists and `create_new` was asked for, or a store has sessions and `Existing::Fail` was given.
    AlreadyExists,
    /// A write on a handle that was opened read-only.
    ReadOnly,
    /// The lock could not be had before the deadline; somebody else is writing.
    Busy,
    /// Bytes that were acknowledged once do not verify any more. `shelflife verify` lists what is affected.
    Corrupt,
    /// The file is not one of ours; it was left untouched.
    NotAStore,
    /// A newer version of this crate wrote the file; it was left untouched.
    NewerVersion,
    /// The platform or the file system cannot keep the promises of this crate.
    Unsupported,
    /// A key, a value, a batch or the file is over its limit; nothing was written.
    TooLarge,
    /// An argument has no meaning here, such as a malformed session id or options that contradict each other.
    InvalidInput,
    /// The stored bytes are sound but not a value of the type that was asked for.
    Decode,
    /// The file was deleted, moved or replaced under the running store; a write that says so did not reach
    /// what is there now.
    Replaced,
    /// A write from inside the closure of an `update` of the same store.
    Reentrant,
    /// The operating system refused; [`Error::io_kind`] tells what it said.
    Io,
    /// An error of the caller's own closure, see [`Error::other`].
    Other,
}

impl Error {
    /// Wraps an error of the caller's own, to leave the closure of an `update` with it.
    ///
    /// ```
    /// let error = shelflife::Error::other("no tea left");
    /// assert_eq!(error.kind(), shelflife::ErrorKind::Other);
    /// assert_eq!(error.to_string(), "no tea left");
    /// ```
    pub fn other(error: impl Into<Box<dyn StdError + Send + Sync>>) -> Error {
        let mut made = Error::new(ErrorKind::Other, String::new());
        made.0.cause = Some(Cause::Other(error.into()));
        made
    }

    pub(crate) fn new(kind: ErrorKind, what: impl Into<String>) -> Error {
        Error::made(kind, what.into())
    }

    // Cold, so that callers have a call here in place of a copy.
    #[cold]
    fn made(kind: ErrorKind, what: String) -> Error {
        Error(Box::new(Repr {
            kind,
            what,
            path: None,
            offset: None,
            key: None,
            place: String::new(),
            cause: None,
            advice: "",
        }))
    }

    /// `failed to <verb> <path>: <cause>`, with the kind that the cause maps to.
    #[cold]
    pub(crate) fn io(verb: &str, path: &Path, cause: io::Error) -> Error {
        let (kind, advice) = match cause.kind() {
            io::ErrorKind::NotFound => (
                ErrorKind::NotFound,
                "check the path and that its folder exists",
            ),
            io::ErrorKind::AlreadyExists => {
                (ErrorKind::AlreadyExists, "give a path that nothing has")
            }
            io::ErrorKind::NotADirectory => {
                (ErrorKind::Io, "check the path: one part of it is a file")
            }
            io::ErrorKind::Unsupported => (ErrorKind::Unsupported, ""),
            io::ErrorKind::PermissionDenied => (
                ErrorKind::Io,
                "check the owner and mode of the file and its folder",
            ),
            io::ErrorKind::ReadOnlyFilesystem => (
                ErrorKind::ReadOnly,
                "open it read-only, or put it elsewhere",
            ),
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                (ErrorKind::Io, "free some space and try again")
            }
            io::ErrorKind::InvalidFilename => (
                ErrorKind::Io,
                "give the store a shorter name: files beside it add up to 26 bytes to it",
            ),
            _ => (ErrorKind::Io, ""),
        };
        let mut made = Error::new(kind, format!("failed to {verb} {}", Shown(path)))
            .at(path)
            .advise(advice);
        made.0.cause = Some(Cause::Io(cause));
        made
    }

    /// `failed to <verb> the server at <address>: <cause>`. Invalid data are what no such server says.
    pub(crate) fn server(verb: &str, server: &dyn fmt::Display, cause: io::Error) -> Error {
        let (kind, advice) = match cause.kind() {
            io::ErrorKind::InvalidData => (ErrorKind::Decode, ""),
            io::ErrorKind::ResourceBusy => (ErrorKind::Busy, ""),
            io::ErrorKind::ConnectionRefused => {
                (ErrorKind::Io, "check the address, and that the server runs")
            }
            io::ErrorKind::TimedOut => (
                ErrorKind::Io,
                "check the server and the network, or allow more time",
            ),
            _ => (ErrorKind::Io, ""),
        };
        let what = format!("failed to {verb} the server at `{server}`");
        let mut made = Error::new(kind, what).advise(advice);
        made.0.cause = Some(Cause::Io(cause));
        made
    }

    #[cold]
    pub(crate) fn corrupt(path: &Path, offset: u64, what: &str) -> Error {
        Error::new(
            ErrorKind::Corrupt,
            format!("{} is damaged at offset {offset}: {what}", Shown(path)),
        )
        .at(path)
        .offset_at(offset)
        .advise("`shelflife verify` lists what is affected, `shelflife salvage` saves the rest")
    }

    /// A sentence about a file that begins with its path.
    #[cold]
    pub(crate) fn of_file(kind: ErrorKind, path: &Path, what: impl fmt::Display) -> Error {
        Error::new(kind, format!("{} {what}", Shown(path))).at(path)
    }

    pub(crate) fn not_found(path: &Path, what: &str, advice: &'static str) -> Error {
        Error::of_file(ErrorKind::NotFound, path, what).advise(advice)
    }

    pub(crate) fn busy(path: &Path, what: impl fmt::Display, advice: &'static str) -> Error {
        Error::of_file(ErrorKind::Busy, path, what).advise(advice)
    }

    pub(crate) fn read_only(path: &Path) -> Error {
        Error::of_file(ErrorKind::ReadOnly, path, "was opened to be read only")
            .advise("open it without `read_only`")
    }

    pub(crate) fn replaced(path: &Path, what: &str) -> Error {
        Error::of_file(
            ErrorKind::Replaced,
            path,
            format_args!("{what} while it was open"),
        )
        .advise("put it back, or reopen() what is there now")
    }

    pub(crate) fn reentrant(path: &Path) -> Error {
        Error::of_file(
            ErrorKind::Reentrant,
            path,
            "is written to from inside its own `update`",
        )
        .advise("return the change from the closure, or write after it")
    }

    /// As [`reentrant`](Error::reentrant), of a store without a file.
    pub(crate) fn nested() -> Error {
        let what = "a write to a store from inside an update of it";
        Error::new(ErrorKind::Reentrant, what).advise("write before or after the update")
    }

    pub(crate) fn exists(path: &Path, what: &str, advice: &'static str) -> Error {
        Error::of_file(ErrorKind::AlreadyExists, path, what).advise(advice)
    }

    /// As [`exists`](Error::exists), of no file.
    pub(crate) fn taken(what: impl Into<String>, advice: &'static str) -> Error {
        Error::new(ErrorKind::AlreadyExists, what).advise(advice)
    }

    pub(crate) fn not_a_store(path: &Path, what: &str, advice: &'static str) -> Error {
        Error::of_file(ErrorKind::NotAStore, path, what).advise(advice)
    }

    pub(crate) fn newer_version(path: &Path, offset: u64) -> Error {
        let what = format_args!("was written to by a newer version, at offset {offset}");
        Error::of_file(ErrorKind::NewerVersion, path, what)
            .offset_at(offset)
            .advise("update shelflife to open it")
    }

    pub(crate) fn unsupported(path: &Path, what: impl fmt::Display, advice: &'static str) -> Error {
        Error::of_file(ErrorKind::Unsupported, path, what).advise(advice)
    }

    pub(crate) fn too_large(what: impl Into<String>, advice: &'static str) -> Error {
        Error::new(ErrorKind::TooLarge, what).advise(advice)
    }

    pub(crate) fn invalid_input(what: impl Into<String>, advice: &'static str) -> Error {
        Error::new(ErrorKind::InvalidInput, what).advise(advice)
    }

    pub(crate) fn decode(what: impl Into<String>, advice: &'static str) -> Error {
        Error::new(ErrorKind::Decode, what).advise(advice)
    }

    /// Something that can't be had, of no file.
    pub(crate) fn missing(what: impl Into<String>, advice: &'static str) -> Error {
        Error::new(ErrorKind::Unsupported, what).advise(advice)
    }

    /// As [`busy`](Error::busy), of no file.
    pub(crate) fn not_now(what: impl Into<String>) -> Error {
        Error::new(ErrorKind::Busy, what).advise("try again later")
    }

    /// A failure outside this program, of which no call of the system told.
    pub(crate) fn failed(what: impl Into<String>, advice: &'static str) -> Error {
        Error::new(ErrorKind::Io, what).advise(advice)
    }

    pub(crate) fn random_repeats() -> Error {
        let what = "the operating system's random source repeats itself";
        Error::failed(what, "check /dev/urandom")
    }

    pub(crate) fn no_randomness(cause: io::Error) -> Error {
        let what = "the operating system has no randomness";
        let mut made = Error::failed(what, "/dev/urandom must be readable");
        made.0.cause = Some(Cause::Io(cause));
        made
    }

    #[cold]
    pub(crate) fn at(mut self, path: &Path) -> Error {
        self.0.path = Some(path.to_path_buf());
        self
    }

    #[cold]
    pub(crate) fn offset_at(mut self, offset: u64) -> Error {
        self.0.offset = Some(offset);
        self
    }

    #[cold]
    pub(crate) fn advise(mut self, advice: &'static str) -> Error {
        self.0.advice = advice;
        self
    }

    /// The key whose value the error is about.
    pub(crate) fn under(mut self, key: &str) -> Error {
        self.0.key = Some(key.to_owned());
        self
    }

    /// The same failure in other words: of its kind, and in its place.
    pub(crate) fn retold(&self, what: impl Into<String>) -> Error {
        let mut made = Error::new(self.0.kind, what);
        made.0.path.clone_from(&self.0.path);
        made.0.offset = self.0.offset;
        made
    }

    /// Tells that as many others failed in the same call, which went on behind them.
    pub(crate) fn and_more(mut self, others: usize) -> Error {
        let s = if others == 1 { "" } else { "s" };
        self.0.what = format!("{} (and {others} other{s} could not be read)", self.0.what);
        self
    }

    /// One step of the way to the place in a value that the error is about, from the inside out.
    #[cold]
    pub(crate) fn within(mut self, step: impl fmt::Display) -> Error {
        self.0.place = format!("{step}{}", self.0.place);
        self
    }

    /// Why the call failed.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The file that the call failed on.
    pub fn path(&self) -> Option<&Path> {
        self.0.path.as_deref()
    }

    /// Where in the file, in bytes from its start, for errors about its content.
    pub fn offset(&self) -> Option<u64> {
        self.0.offset
    }

    /// The key in a [`Shelf`](crate::Shelf) or in a [`Session`](crate::Session) whose value could not be read as the
    /// type that was asked for, or could not be stored.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let shelf = shelflife::Shelf::open(dir.path().join("s.shelf"))?;
    /// shelf.insert("cart:17", "tea")?;
    /// let error = shelf.get::<u64>("cart:17").unwrap_err();
    /// assert_eq!(error.key(), Some("cart:17"));
    /// # Ok::<(), shelflife::Error>(())
    /// ```
    pub fn key(&self) -> Option<&str> {
        self.0.key.as_deref()
    }

    /// Whether acknowledged bytes no longer verify.
    pub fn is_corrupt(&self) -> bool {
        self.0.kind == ErrorKind::Corrupt
    }

    /// Whether one record can't be read, and not that the store fails.
    pub(crate) fn is_of_one_record(&self) -> bool {
        matches!(self.0.kind, ErrorKind::Corrupt | ErrorKind::Decode)
    }

    /// Whether the lock could not be had in time, so that trying again later is sensible.
    pub fn is_busy(&self) -> bool {
        self.0.kind == ErrorKind::Busy
    }

    /// The operating system's own kind of error, if the failure came from there.
    pub fn io_kind(&self) -> Option<io::ErrorKind> {
        match &self.0.cause {
            Some(Cause::Io(error)) => Some(error.kind()),
            _ => None,
        }
    }

    /// The caller's own error, as it was given to [`Error::other`].
    pub fn get_ref(&self) -> Option<&(dyn StdError + Send + Sync + 'static)> {
        match &self.0.cause {
            Some(Cause::Other(error)) => Some(error.as_ref()),
            _ => None,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(key) = &self.0.key {
            // A key may be long, and have characters that act on a terminal.
            let end = key.char_indices().nth(KEY_SHOWN).map(|(end, _)| end);
            let shown = end.and_then(|end| key.get(..end));
            f.write_str("`")?;
            write_plainly(f, shown.unwrap_or(key))?;
            f.write_str(if shown.is_some() { "...`" } else { "`" })?;
            if let Some(path) = &self.0.path {
                write!(f, " in {}", Shown(path))?;
            }
            f.write_str(": ")?;
        }
        if !self.0.place.is_empty() {
            write!(f, "`{}`: ", self.0.place.trim_start_matches('.'))?;
        }
        f.write_str(&self.0.what)?;
        match &self.0.cause {
            Some(Cause::Io(error)) => write!(f, ": {error}")?,
            Some(Cause::Other(error)) if self.0.what.is_empty() => write!(f, "{error}")?,
            Some(Cause::Other(error)) => write!(f, ": {error}")?,
            None => {}
        }
        if !self.0.advice.is_empty() {
            write!(f, "; {}", self.0.advice)?;
        }
        Ok(())
    }
}

/// A path in quotes, as messages name it. Control characters in a name must not reach the terminal of the reader.
pub(crate) struct Shown<'a>(pub(crate) &'a Path);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("`")?;
        write_plainly(f, &self.0.to_string_lossy())?;
        f.write_str("`")
    }
}

/// Writes a text without the characters that act on a terminal.
fn write_plainly(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    text.chars().try_for_each(|c| match c {
        // Line and paragraph separators, and the marks that turn the direction of writing.
        '\u{61c}' | '\u{200e}' | '\u{200f}' => c.escape_unicode().fmt(f),
        '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => c.escape_unicode().fmt(f),
        c if c.is_control() => c.escape_default().fmt(f),
        c => f.write_char(c),
    })
}

/// As `Display`, so that `fn main() -> shelflife::Result<()>` prints a sentence.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self} [{:?}]", self.0.kind)
    }
}

/// `Display` prints the cause, so `source` starts behind it and nothing is printed twice.
impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match &self.0.cause {
            Some(Cause::Io(error)) => error.source(),
            Some(Cause::Other(error)) => error.source(),
            None => None,
        }
    }
}

impl From<Error> for io::Error {
    fn from(error: Error) -> io::Error {
        let kind = match error.kind() {
            ErrorKind::NotFound => io::ErrorKind::NotFound,
            ErrorKind::AlreadyExists => io::ErrorKind::AlreadyExists,
            ErrorKind::ReadOnly => io::ErrorKind::PermissionDenied,
            ErrorKind::Busy => io::ErrorKind::WouldBlock,
            ErrorKind::Corrupt
            | ErrorKind::NotAStore
            | ErrorKind::NewerVersion
            | ErrorKind::Decode => io::ErrorKind::InvalidData,
            ErrorKind::Unsupported => io::ErrorKind::Unsupported,
            ErrorKind::TooLarge | ErrorKind::InvalidInput => io::ErrorKind::InvalidInput,
            ErrorKind::Replaced | ErrorKind::Reentrant | ErrorKind::Io | ErrorKind::Other => {
                error.io_kind().unwrap_or(io::ErrorKind::Other)
            }
        };
        io::Error::new(kind, error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_is_one_word_and_crosses_threads() {
        fn crosses_threads<T: Send + Sync + 'static>() {}
        crosses_threads::<Error>();
        assert_eq!(size_of::<Error>(), size_of::<usize>());
    }

    #[test]
    fn messages_name_the_operation_the_path_the_cause_and_the_way_out() {
        let cause = io::Error::from(io::ErrorKind::StorageFull);
        let error = Error::io("append to", Path::new("x.shelf"), cause);
        assert_eq!(
            error.to_string(),
            "failed to append to `x.shelf`: no storage space; free some space and try again"
        );
        assert_eq!(error.io_kind(), Some(io::ErrorKind::StorageFull));
        assert!(error.source().is_none(), "the cause is in the text already");
        for cause in [
            io::ErrorKind::NotFound,
            io::ErrorKind::AlreadyExists,
            io::ErrorKind::PermissionDenied,
            io::ErrorKind::ReadOnlyFilesystem,
            io::ErrorKind::QuotaExceeded,
            io::ErrorKind::InvalidFilename,
            io::ErrorKind::NotADirectory,
        ] {
            let said = Error::io("create", Path::new("x.shelf"), cause.into()).to_string();
            assert!(said.contains("; "), "no way out: {said}");
        }
    }

    #[test]
    fn a_path_in_a_message_cannot_drive_the_terminal_of_its_reader() {
        let path = Path::new("a\u{1b}[31m\n\u{61c}\u{202e}\u{2028}b.shelf");
        let shown = Error::read_only(path).to_string();
        assert!(
            shown.starts_with(r"`a\u{1b}[31m\n\u{61c}\u{202e}\u{2028}b.shelf` was opened"),
            "{shown}"
        );
    }
}
