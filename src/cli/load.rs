//! `load`: JSON Lines into a store, all of them or none, however many.
//!
//! A few megabytes are one batch. A larger input is first copied to its end into a file without a name, so that the
//! store is not touched before every line is known to be an entry; a switch to a file that has all entries stores it.

use std::cell::OnceCell;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, BufWriter, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::SystemTime;

use shelflife::{Batch, Options, Store};

use crate::cli::args::{Args, Command, WAIT};
use crate::cli::failure::{Failure, Result};
use crate::cli::keys::{HASHED_KEY_LEN, KEY_LEN, NOTE, is_of_sessions, session_of};
use crate::cli::lines::add;
use crate::cli::output::Output;
use crate::cli::progress::Progress;
use crate::cli::{broom, open, text, times};

/// So much is kept in memory, and stored as one batch if it is all.
const BATCH_BYTES: usize = 16 << 20;

pub(crate) const LOAD: Command = Command {
    name: "load",
    operands: "F [I]",
    options: &[WAIT],
    about: "store entries from JSON Lines: all of them, or none",
    examples: [
        "shelflife load notes.shelf notes.jsonl",
        "shelflife dump old.shelf | shelflife load new.shelf",
    ],
    notes: "A line is {\"k\":KEY,\"v\":VALUE}; {\"$b64\":\"...\"} stands for bytes, with \"cbor\":true for those that are a\n\
            value of a shelf; \"expires\" is an end, in milliseconds since 1970. Without I, or with `-`, from standard\n\
            input. F is created if there is no such file; what it has under other keys stays. A line that is no\n\
            entry is named by its number, and nothing is loaded. Others may write meanwhile: a session that F\n\
            has gets a new version, so that a request at work on it is told of a conflict. More than 16 MiB rewrite F\n\
            as compact does, and take as much room again beside it while they are read.",
    run: load,
};

fn load(args: &mut Args, output: &mut Output) -> Result<()> {
    let file = args.required("F")?;
    let (name, input): (String, Box<dyn BufRead>) = match args.operand() {
        Some(input) if input != "-" => {
            let name = format!("`{}`", text::escape(input.as_encoded_bytes()));
            let lines = File::open(&input).map_err(|error| unreadable(&name, error))?;
            (name, Box::new(BufReader::new(lines)))
        }
        _ => ("standard input".to_string(), Box::new(io::stdin().lock())),
    };
    let progress = Progress::of("reading", "lines");
    let mut lines = Lines::of(name, input, file.clone());
    let mut first = Batch::new();
    let (mut entries, mut bytes) = (0, 0);
    while bytes < BATCH_BYTES
        && let Some(line) = lines.next()?
    {
        bytes += line.len();
        lines.add(line, &mut first)?;
        entries += 1;
        progress.step();
    }
    if bytes < BATCH_BYTES {
        drop(progress);
        let store = open::to_fill(args, file)?;
        let note = lines.doubt_lists(&store)?;
        store.write(&first)?;
        lines.vouch(&store, &note)?;
    } else {
        let mut spool = Spool::beside(&file)?;
        while let Some(line) = lines.next()? {
            spool.write(&line)?;
            // Now, while the store is as it was.
            lines.add(line, &mut Batch::new())?;
            entries += 1;
            progress.step();
        }
        drop(progress);
        fill(args, &file, first, spool, &mut lines)?;
    }
    output.note(&format!("loaded {}", text::count(entries)));
    Ok(())
}

/// Stores what was read.
fn fill(args: &Args, file: &OsStr, first: Batch, spool: Spool, read: &mut Lines) -> Result<()> {
    let store = open::to_fill(args, file.to_owned())?;
    let note = read.doubt_lists(&store)?;
    let progress = Progress::of("loading", "");
    let (mut first, mut lines) = (Some(first), spool.read(file.to_owned())?);
    let loaded = store.load(|| {
        if let Some(first) = first.take() {
            return Ok(Some(first));
        }
        let batch = lines.batch();
        batch.map_err(|failure| shelflife::Error::other(failure.to_string()))
    });
    drop(progress);
    loaded?;
    read.vouch(&store, &note)?;
    Ok(store.close()?)
}

/// The least version of a session that is loaded: where the store has it, more than any that it had. A request may be at
/// work on a copy with one of those, and would save that over another state which comes to the same version. The time in
/// milliseconds is more, since no session changes more often.
fn version_min(there: Option<&Store>, key: &[u8]) -> u64 {
    if !there.is_some_and(|store| store.contains_key(key).unwrap_or(true)) {
        return 0;
    }
    times::millis(SystemTime::now())
}

fn unreadable(name: &str, error: io::Error) -> Failure {
    Failure::Io(format!("failed to read {name}"), error)
}

/// The lines of an input that hold something.
struct Lines {
    name: String,
    input: Box<dyn BufRead>,
    number: u64,
    /// The note that vouches for the lists of users' sessions.
    note: Batch,
    has_sessions: bool,
    /// How long the key of a session is.
    key_len: Option<usize>,
    file: OsString,
    /// The store that is loaded into, opened for the first session; nothing if it does not open, which is told later.
    there: OnceCell<Option<Store>>,
}

impl Lines {
    fn of(name: String, input: Box<dyn BufRead>, file: OsString) -> Lines {
        Lines {
            name,
            input,
            number: 0,
            note: Batch::new(),
            has_sessions: false,
            key_len: None,
            file,
            there: OnceCell::new(),
        }
    }

    fn next(&mut self) -> Result<Option<Vec<u8>>> {
        loop {
            let mut line = Vec::new();
            let read = self.input.read_until(b'\n', &mut line);
            if read.map_err(|error| unreadable(&self.name, error))? == 0 {
                return Ok(None);
            }
            self.number += 1;
            let mark = "\u{feff}".as_bytes();
            if self.number == 1 && line.starts_with(mark) {
                line.drain(..mark.len());
            }
            if !line.trim_ascii().is_empty() {
                return Ok(Some(line));
            }
        }
    }

    fn add(&mut self, line: Vec<u8>, batch: &mut Batch) -> Result<()> {
        let Lines {
            name,
            number,
            note,
            has_sessions,
            key_len,
            file,
            there,
            ..
        } = self;
        let mut is_mixed = false;
        let batch_of = |key: &[u8]| {
            *has_sessions |= is_of_sessions(key);
            if session_of(key).is_some() {
                let before = key_len.replace(key.len());
                is_mixed = before.is_some_and(|before| before != key.len());
            }
            if key == NOTE { note } else { batch }
        };
        let version_min = |key: &[u8]| {
            let there = there.get_or_init(|| Options::new().read_only(true).open(file).ok());
            version_min(there.as_ref(), key)
        };
        let mixed = || "sessions by ids and by hashes of ids: no store finds both".to_string();
        let added = add(line, version_min, batch_of)
            .and_then(|()| (!is_mixed).then_some(()).ok_or_else(mixed));
        added.map_err(|what| {
            Failure::Usage(format!("{name}, line {number}: {what}; nothing was loaded"))
        })
    }

    /// Takes the note that lists are whole away, and returns the one to be stored once all else is. Where it is not
    /// loaded, or the store has sessions already, lists lack some of them: no note is left there, so that a user's
    /// sessions are found by reading all, until an application opens the store, which makes the lists anew.
    fn doubt_lists(&mut self, store: &Store) -> Result<Batch> {
        let note = std::mem::take(&mut self.note);
        if !self.has_sessions {
            return Ok(note);
        }
        let mut there = None;
        for entry in store {
            let (key, _) = entry?;
            if session_of(&key).is_some() {
                there = Some(key.len());
                break;
            }
        }
        // Of two kinds in a store, one is found by no visitor; and one that everybody left is of a kind as well.
        let noted = store
            .get(NOTE)?
            .map(|note| match note.ends_with(b"hashed") {
                true => HASHED_KEY_LEN,
                false => KEY_LEN,
            });
        if let (Some(there), Some(loaded)) = (there.or(noted), self.key_len)
            && there != loaded
        {
            // The key of a hash is the longer one.
            let what = match there > loaded {
                true => {
                    "the store keeps hashes of session ids, and not the ids that are to be loaded; nothing was loaded: load \
                     them into a new file, from which shelflife session copy takes them along"
                }
                false => {
                    "the store keeps session ids, and not the hashes that are to be loaded; nothing was loaded: shelflife \
                     session hash makes it keep hashes, for good"
                }
            };
            return Err(Failure::Usage(what.to_string()));
        }
        store.remove(NOTE)?;
        Ok(match there {
            None => note,
            Some(_) => Batch::new(),
        })
    }

    /// Stores the note, unless a visitor logged in since: his session brought a note along, and may stand in none of the
    /// lists that were loaded.
    fn vouch(&self, store: &Store, note: &Batch) -> Result<()> {
        if self.has_sessions {
            match store.contains_key(NOTE)? {
                true => _ = store.remove(NOTE)?,
                false => store.write(note)?,
            }
        }
        Ok(())
    }

    /// Some of the lines, `None` behind the last.
    fn batch(&mut self) -> Result<Option<Batch>> {
        let (mut batch, mut bytes) = (Batch::new(), 0);
        while bytes < BATCH_BYTES
            && let Some(line) = self.next()?
        {
            bytes += line.len();
            self.add(line, &mut batch)?;
        }
        Ok((!batch.is_empty()).then_some(batch))
    }
}

/// Lines in a file that has no name any more: nothing of it stays, however this process ends.
struct Spool(BufWriter<File>);

impl Spool {
    fn beside(file: &OsStr) -> Result<Spool> {
        broom::wait_beside(file);
        let path = broom::temporary(Path::new(file));
        let mut how = OpenOptions::new();
        how.read(true).write(true).create_new(true).mode(0o600);
        let made = how.open(&path).and_then(|file| {
            // Another command may have taken it for a leftover.
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                _ => Ok(file),
            }
        });
        made.map(|file| Spool(BufWriter::new(file)))
            .map_err(|error| {
                let path = text::escape(path.as_os_str().as_encoded_bytes());
                Failure::Io(format!("failed to create `{path}`"), error)
            })
    }

    fn write(&mut self, line: &[u8]) -> Result<()> {
        let written = self.0.write_all(line).and_then(|()| match line.last() {
            Some(b'\n') => Ok(()),
            _ => self.0.write_all(b"\n"),
        });
        written.map_err(Spool::failed)
    }

    fn read(self, target: OsString) -> Result<Lines> {
        let file = self.0.into_inner();
        let mut file = file.map_err(|error| Spool::failed(error.into_error()))?;
        file.rewind().map_err(Spool::failed)?;
        let mut lines = Lines::of(
            "what was read".to_string(),
            Box::new(BufReader::new(file)),
            target,
        );
        // The mark of an input is not one of what follows.
        lines.number = 1;
        Ok(lines)
    }

    fn failed(error: io::Error) -> Failure {
        Failure::Io("failed to keep what was read".to_string(), error)
    }
}
