//! Why a command did not end well, and the exit code that says so.

use std::fmt;
use std::io;
use std::process::ExitCode;

use shelflife::{Error, ErrorKind};

pub(crate) type Result<T> = std::result::Result<T, Failure>;

/// The library's advice to a programmer, and what a user of the program does in place of that.
const ADVICE: [(&str, &str); 5] = [
    ("raise `lock_timeout`", "wait longer with --wait"),
    (
        "or reopen() what is there now",
        "or run the command again with what is there now",
    ),
    ("open it without `hash_ids`, or convert it", "convert it"),
    (
        "or `read_only`, or `exclusive` if only one process ever opens it",
        "or a command that only reads",
    ),
    (
        "a timeout under 100 milliseconds",
        "--wait 0 leaves a server no time to answer",
    ),
];

#[derive(Debug)]
pub(crate) enum Failure {
    /// The answer is no: what was asked about is not there.
    No(String),
    /// The command, or what it was given to read, makes no sense.
    Usage(String),
    /// Bytes that were acknowledged once do not verify any more.
    Damaged(String),
    /// The library's answer.
    Store(Error),
    /// Input or output other than the store's.
    Io(String, io::Error),
    /// The reader of standard output has closed it, having seen enough: no failure.
    Closed,
}

impl Failure {
    /// Nobody takes what is printed any more: nothing is to be gained by going on.
    pub(crate) fn is_of_the_output(&self) -> bool {
        matches!(self, Failure::Closed | Failure::Io(..))
    }

    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Failure::Closed => 0,
            Failure::No(_) => 1,
            Failure::Usage(_) => 2,
            Failure::Damaged(_) => 3,
            Failure::Io(..) => 5,
            Failure::Store(error) if is_of_bytes(error) => 3,
            Failure::Store(error) => match error.kind() {
                ErrorKind::InvalidInput | ErrorKind::TooLarge => 2,
                ErrorKind::Busy => 4,
                _ => 5,
            },
        })
    }
}

/// Whether what is stored can't be read: a place where no server is says nothing of that.
pub(crate) fn is_of_bytes(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Decode) && error.io_kind().is_none()
}

/// For a command that has more to do or to say than to print: a reader that closed standard output keeps it from neither.
pub(crate) fn heard(printed: Result<()>) -> Result<()> {
    match printed {
        Err(Failure::Closed) => Ok(()),
        printed => printed,
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::No(text) | Failure::Usage(text) | Failure::Damaged(text) => f.write_str(text),
            Failure::Store(error) => {
                let mut said = error.to_string();
                for (library, program) in ADVICE {
                    said = said.replace(library, program);
                }
                f.write_str(&said)
            }
            Failure::Io(what, error) => {
                let advice = match error.kind() {
                    io::ErrorKind::NotFound
                    | io::ErrorKind::NotADirectory
                    | io::ErrorKind::IsADirectory => "; check the path",
                    io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                        "; free some space and try again"
                    }
                    _ => "",
                };
                write!(f, "{what}: {error}{advice}")
            }
            Failure::Closed => Ok(()),
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure::Store(error)
    }
}
