//! `backup`, `restore` and `hash`: copies of a store, and whether they are what they should be.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, SystemTime};

use shelflife::{Backup, Batch, EventKind, Mirror, Store};

use crate::cli::args::{Args, Command, Opt, WAIT};
use crate::cli::entries::no_such;
use crate::cli::failure::{Failure, Result};
use crate::cli::output::Output;
use crate::cli::progress::Progress;
use crate::cli::{broom, open, text, times};

/// Between two looks of a copy that keeps up.
const EVERY: Duration = Duration::from_secs(1);

pub(crate) const BACKUP: Command = Command {
    name: "backup",
    operands: "F [DEST]",
    options: &[
        Opt {
            name: "--follow",
            value: "DIR",
            about: "keep copies in DIR that keep up, until stopped",
        },
        Opt {
            name: "--keep",
            value: "TIME",
            about: "of those, delete what was finished longer ago: 12h, 7d",
        },
        WAIT,
    ],
    about: "copy a store while others write",
    examples: [
        "shelflife backup sessions.shelf /backup/sessions.$(date +%F).shelf",
        "shelflife backup sessions.shelf --follow /backup/sessions --keep 7d",
    ],
    notes: "DEST must be new; it is a compact copy of one moment, and appears whole or not at all. `-` writes it to\n\
            standard output, through a file in $TMPDIR: a copy that was cut off is told when it is opened.\n\
            --follow has one file for each generation of the store in DIR, up to a second behind, and prints its\n\
            name. Each opens as a store. To restore, stop the app and copy one to the place of the store; an app\n\
            that was left running refuses it, until it opens it anew. Exit code 3 if a part can't be read.",
    run: backup,
};

fn backup(args: &mut Args, output: &mut Output) -> Result<()> {
    let follow = args.value("--follow").map(PathBuf::from);
    let keep = args.span("--keep", None)?;
    let file = args.required("F")?;
    let to = args.operand();
    match (to, follow) {
        (None, Some(dir)) => {
            let store = open::to_read(args, file)?;
            let real = fs::canonicalize(store.path()).unwrap_or_default();
            broom::wait_beside(dir.join(real.file_name().unwrap_or_default()));
            keep_up(&store, &dir, keep, output)
        }
        (Some(_), None) if keep.is_some() => Err(args.wrong("--keep is for --follow")),
        (Some(to), None) => {
            let store = open::to_read(args, file)?;
            let progress = Progress::of("copying", "");
            let made = if to == "-" {
                to_stdout(&store, output)?
            } else {
                broom::wait_beside(&to);
                store.backup(&to)?
            };
            drop(progress);
            output.note(&format!(
                "{}, {}",
                text::size(made.size_bytes),
                text::counted(made.entries, "key")
            ));
            match made.damaged {
                0 => Ok(()),
                damaged => Err(Failure::Damaged(format!(
                    "{} can't be read, in the store and in the copy; shelflife verify lists them",
                    text::counted(damaged, "key")
                ))),
            }
        }
        _ => Err(args.wrong("give one of DEST and --follow")),
    }
}

/// Through a file, so that nothing of it is sent before all of it can be.
fn to_stdout(store: &Store, output: &mut Output) -> Result<Backup> {
    let name = std::env::temp_dir().join(format!("shelflife-{}", std::process::id()));
    broom::wait_beside(&name);
    let spool = broom::temporary(&name);
    let made = store.backup(&spool)?;
    let opened = File::open(&spool);
    let removed = fs::remove_file(&spool);
    let failed = |error| Failure::Io(format!("failed to read `{}`", spool.display()), error);
    let mut from = opened.map_err(failed)?;
    removed.map_err(failed)?;
    let mut buf = vec![0; 256 << 10];
    loop {
        match from.read(&mut buf).map_err(failed)? {
            0 => return Ok(made),
            read => output.bytes(buf.get(..read).unwrap_or_default())?,
        }
    }
}

fn keep_up(store: &Store, dir: &Path, keep: Option<Duration>, output: &mut Output) -> Result<()> {
    let mut mirror = store.mirror(dir)?;
    let mut told = PathBuf::new();
    loop {
        if told != mirror.path() {
            told = mirror.path().to_path_buf();
            output.line(&told.to_string_lossy())?;
            output.flush()?;
        }
        if let Some(keep) = keep {
            remove_old(&mirror, keep);
        }
        thread::sleep(EVERY);
        mirror.update()?;
    }
}

/// Removes the finished copies of this store that were not written to for so long. A copy that can't be removed now is
/// tried again a second later.
fn remove_old(mirror: &Mirror, keep: Duration) {
    let current = mirror.path();
    let Some(names) = current.parent().and_then(|dir| fs::read_dir(dir).ok()) else {
        return;
    };
    let Some(before) = SystemTime::now().checked_sub(keep) else {
        return;
    };
    for entry in names.flatten() {
        let path = entry.path();
        let is_old = || {
            entry
                .metadata()
                .and_then(|is| is.modified())
                .is_ok_and(|at| at < before)
        };
        if path != current && is_copy_like(&path, current) && is_old() {
            let _ = fs::remove_file(path);
        }
    }
}

/// Whether two names are of copies of stores with one name: `NAME.LINEAGE-GENERATION`.
fn is_copy_like(path: &Path, current: &Path) -> bool {
    let split = |path: &Path| -> Option<(Vec<u8>, Vec<u8>)> {
        let name = path.file_name()?.as_encoded_bytes();
        let dot = name
            .len()
            .checked_sub(".0123456789abcdef-0123456789".len())?;
        let (stem, rest) = name.split_at_checked(dot)?;
        Some((stem.to_vec(), rest.to_vec()))
    };
    let is_number = |rest: &[u8]| match rest.split_at_checked(17) {
        Some(([b'.', lineage @ ..], [b'-', generation @ ..])) => {
            lineage.iter().all(u8::is_ascii_hexdigit) && generation.iter().all(u8::is_ascii_digit)
        }
        _ => false,
    };
    match (split(path), split(current)) {
        (Some((stem, rest)), Some((of_current, _))) => stem == of_current && is_number(&rest),
        _ => false,
    }
}

pub(crate) const RESTORE: Command = Command {
    name: "restore",
    operands: "F [KEY]",
    options: &[
        Opt {
            name: "--before",
            value: "OFFSET",
            about: "the store as it was before that change; with -o",
        },
        Opt {
            name: "-o",
            value: "NEW",
            about: "the file to create",
        },
        Opt {
            name: "--offset",
            value: "N",
            about: "put back what KEY was set to there",
        },
        WAIT,
    ],
    about: "go back to an earlier time of a store, or of a key",
    examples: [
        "shelflife restore notes.shelf --before 0x2a40 -o before.shelf",
        "shelflife restore notes.shelf cart:17 --offset 0x2188",
    ],
    notes: "shelflife history prints the offsets. With --before F stays as it is, and NEW has its history up to\n\
            there; of a batch nothing is there before its last change. What a compaction dropped can't be had.\n\
            Exit code 3 if a part of NEW can't be read.",
    run: restore,
};

fn restore(args: &mut Args, output: &mut Output) -> Result<()> {
    let (before, offset) = (args.offset("--before")?, args.offset("--offset")?);
    let to = args.value("-o").map(OsStr::to_owned);
    let file = args.required("F")?;
    let key = args.operand().map(OsString::into_encoded_bytes);
    match (before, to, key, offset) {
        (Some(before), Some(to), None, None) => {
            broom::wait_beside(&to);
            let store = open::to_read(args, file)?;
            let progress = Progress::of("copying", "");
            let size = store.restore(before, &to)?;
            let damaged = open::to_read(args, to)?.recovery().damage.len() as u64;
            drop(progress);
            output.note(&format!("restored {}", text::size(size)));
            match damaged {
                0 => Ok(()),
                damaged => Err(Failure::Damaged(format!(
                    "{} can't be read, in the store and in the copy; shelflife verify lists them",
                    text::counted(damaged, "place")
                ))),
            }
        }
        (None, None, Some(key), Some(offset)) => put_back(args, file, &key, offset, output),
        _ => Err(args.wrong("give --before and -o, or KEY and --offset")),
    }
}

fn put_back(
    args: &Args,
    file: OsString,
    key: &[u8],
    offset: u64,
    output: &mut Output,
) -> Result<()> {
    let store = open::to_change(args, file)?;
    let mut history = store.history(key)?;
    let found = history.find(|event| match event {
        Ok(event) => event.offset() == offset,
        Err(error) => error.offset() == Some(offset),
    });
    let Some(event) = found.transpose()? else {
        return Err(Failure::No(format!(
            "{} was not changed at {offset:#x}; shelflife history lists where",
            text::escape(key)
        )));
    };
    let entry = match (event.what(), event.entry()) {
        (EventKind::Put, Some(entry)) => entry,
        _ => {
            return Err(Failure::Usage(format!(
                "{} was removed at {offset:#x}: to do that again, use shelflife rm",
                text::escape(key)
            )));
        }
    };
    if let Some(end) = entry.expires()
        && end <= SystemTime::now()
    {
        return Err(Failure::No(format!(
            "that version ended at {}, and would be absent at once; {}",
            times::time(end),
            no_such(key)
        )));
    }
    let mut batch = Batch::new();
    match (entry.is_cbor(), entry.expires()) {
        (true, None) => batch.insert_cbor(key, entry.value()),
        (true, Some(at)) => batch.insert_cbor_until(key, entry.value(), at),
        (false, None) => batch.insert(key, entry.value()),
        (false, Some(at)) => batch.insert_until(key, entry.value(), at),
    };
    store.write(&batch)?;
    store.close()?;
    output.note(&format!(
        "put back what was set at {}",
        times::time(event.modified())
    ));
    Ok(())
}

pub(crate) const HASH: Command = Command {
    name: "hash",
    operands: "F",
    options: &[WAIT],
    about: "print one figure of all that a store holds",
    examples: [
        "shelflife hash notes.shelf",
        "test $(shelflife hash notes.shelf) = $(shelflife hash backup.shelf)",
    ],
    notes: "The same for a store, its backup, its compaction and its dump loaded anew: it is of keys, values and\n\
            ends, whatever the file looks like. It finds accidents; it is no signature.",
    run: hash,
};

fn hash(args: &mut Args, output: &mut Output) -> Result<()> {
    let file = args.required("F")?;
    let store = open::to_read(args, file)?;
    let progress = Progress::of("reading", "");
    let hash = store.content_hash()?;
    drop(progress);
    output.line(&format!("{hash:032x}"))
}
