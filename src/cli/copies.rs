//! `backup`, `restore` and `hash`: copies of a store, and whether they are what they should be.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, SystemTime};

use shelflife::{Backup, Batch, EventKind, Mirror, ShelveSessionStore, Store};

use crate::cli::args::{Args, Command, Opt, WAIT};
use crate::cli::failure::{Failure, Result, heard};
use crate::cli::keys::{is_of_sessions, shown};
use crate::cli::open::Successor;
use crate::cli::output::Output;
use crate::cli::past::meant;
use crate::cli::progress::Progress;
use crate::cli::{broom, lines, open, text, times};

/// In the name of a copy of one generation, with the signs around it.
const LINEAGE_BYTES: usize = ".0123456789abcdef-".len();
/// Between two looks of a copy that keeps up.
const EVERY: Duration = Duration::from_secs(1);

pub(crate) const BACKUP: Command = Command {
    name: "backup",
    operands: "F [DEST]",
    options: &[
        Opt::taking(
            "--follow",
            "DIR",
            "keep copies in DIR that keep up, until stopped",
        ),
        Opt::taking(
            "--keep",
            "TIME",
            "of those, delete what was finished longer ago: 12h, 7d",
        ),
        WAIT,
    ],
    about: "copy a store while others write",
    examples: [
        "shelflife backup sessions.shelf /backup/sessions.$(date +%F).shelf",
        "shelflife backup sessions.shelf --follow /backup/sessions --keep 7d",
    ],
    notes: "DEST must be new; it is a compact copy of one moment, and appears whole or not at all. `-` writes it to\n\
            standard output, through a file in $TMPDIR: a copy that was cut off is told when it is opened.\n\
            --follow has one file for each generation of the store in DIR, which must be there, up to a second\n\
            behind, and prints its name, whoever reads that. Each opens as a store. To restore, stop the app and\n\
            copy one to the place of the store; an app that was left running refuses it, until it is started anew.\n\
            --follow goes on with what was put there, and ends with exit code 5 if nothing is for as long as --wait\n\
            says. --keep counts from the time when the next copy was begun; copies of other stores, and of before a\n\
            restore, stay. Exit code 3 if a part can't be read.",
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
            keep_up(args, &store, &dir, keep, output)
        }
        (Some(_), None) if keep.is_some() => Err(args.wrong("--keep is for --follow")),
        (Some(to), None) => {
            // Stored bytes would drive it.
            if to == "-" && output.is_terminal {
                return Err(args.wrong("standard output is a terminal: redirect it to a file"));
            }
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

fn keep_up(
    args: &Args,
    store: &Store,
    dir: &Path,
    keep: Option<Duration>,
    output: &mut Output,
) -> Result<()> {
    let mut mirror = store.mirror(dir)?;
    let mut successor = Successor::of(args, store)?;
    let mut told = PathBuf::new();
    loop {
        if told != mirror.path() {
            told = mirror.path().to_path_buf();
            // That nobody reads the names any more is no reason to stop copying.
            let name = text::escape(told.as_os_str().as_encoded_bytes());
            heard(output.line(&name).and_then(|()| output.flush()))?;
        }
        if let Some(keep) = keep {
            remove_old(&mirror, keep);
        }
        thread::sleep(EVERY);
        match mirror.update() {
            Ok(_) => successor.is_open(),
            Err(error) => successor.open(error)?,
        }
    }
}

/// Removes the copies of this store that were finished so long ago, by the time when the next one was begun. A copy that
/// can't be removed now is tried again a second later.
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
        let modified = || entry.metadata().and_then(|is| is.modified());
        if is_earlier(&path, current) && modified().is_ok_and(|at| at < before) {
            let _ = fs::remove_file(path);
        }
    }
}

/// Whether a file is an earlier copy of the same store, by its name: `NAME.LINEAGE-GENERATION`, or with a number behind.
/// Another store may have the same name, and what was there before a backup was put back may be wanted for longer.
fn is_earlier(path: &Path, current: &Path) -> bool {
    let name = current.file_name().unwrap_or_default().as_encoded_bytes();
    let dot = name.iter().rposition(|byte| *byte == b'.').unwrap_or(0);
    let begins = name.get(..dot + LINEAGE_BYTES).unwrap_or(name);
    // As numbers: as text, the tenth past of a generation would stand before its second.
    let of_name = |path: &Path| -> Option<(u64, u64)> {
        let name = path.file_name()?.as_encoded_bytes();
        let rest = std::str::from_utf8(name.strip_prefix(begins)?).ok()?;
        let (generation, nth) = rest.split_once('-').unwrap_or((rest, "1"));
        Some((generation.parse().ok()?, nth.parse().ok()?))
    };
    match (of_name(path), of_name(current)) {
        (Some(earlier), Some(current)) => earlier < current,
        _ => false,
    }
}

pub(crate) const RESTORE: Command = Command {
    name: "restore",
    operands: "F [KEY]",
    options: &[
        Opt::taking(
            "--before",
            "OFFSET",
            "the store as it was before that change; with -o",
        ),
        Opt::taking("-o", "NEW", "the file to create"),
        Opt::taking("--offset", "N", "put back what KEY was set to there"),
        WAIT,
    ],
    about: "go back to an earlier time of a store, a key or a session",
    examples: [
        "shelflife restore notes.shelf --before 0x2a40 -o before.shelf",
        "shelflife restore notes.shelf cart:17 --offset 0x2188",
    ],
    notes: "shelflife history prints the offsets. With --before F stays as it is, and NEW has its history up to\n\
            there; of a batch nothing is there before its last change. What a compaction dropped can't be had.\n\
            KEY may be the handle of a session, which is put back with its times, also where it was deleted; a\n\
            request that is at work on it is told of a conflict. Exit code 3 if a part of NEW can't be read.",
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
            drop(progress);
            let damaged = open::to_read(args, to)?.recovery().damage.len() as u64;
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
    let sessions = ShelveSessionStore::from(open::to_change(args, file)?);
    let store = sessions.store();
    let key = &meant(store, key.to_vec())?;
    let name = shown(key);
    let mut history = store.history(key)?;
    let found = history.find(|event| match event {
        Ok(event) => event.offset() == offset,
        Err(error) => error.offset() == Some(offset),
    });
    let Some(event) = found.transpose()? else {
        return Err(Failure::No(format!(
            "{name} was not changed at {offset:#x}; shelflife history lists where"
        )));
    };
    let entry = match (event.what(), event.entry()) {
        (EventKind::Put, Some(entry)) => entry,
        _ => {
            let rm = match is_of_sessions(key) {
                true => "session rm",
                false => "rm",
            };
            return Err(Failure::Usage(format!(
                "{name} was removed at {offset:#x}: to do that again, use shelflife {rm}"
            )));
        }
    };
    if let Some(end) = entry.expires()
        && end <= SystemTime::now()
    {
        return Err(Failure::No(format!(
            "that version ended at {}, and would be absent at once; no such key: {name}",
            times::time(end)
        )));
    }
    if is_of_sessions(key) {
        let Some(session) = sessions.session_in(entry)? else {
            return Err(Failure::Usage(format!(
                "at {offset:#x} {name} was given another id: its history goes on under the handle of that"
            )));
        };
        sessions.put_back(&session)?;
    } else {
        let mut batch = Batch::new();
        lines::put(
            &mut batch,
            key,
            entry.value(),
            entry.is_cbor(),
            entry.expires(),
        );
        store.write(&batch)?;
    }
    sessions.close()?;
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
        "sum=$(shelflife hash notes.shelf) && test $sum = $(shelflife hash bak.shelf)",
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_are_earlier_by_the_number_of_their_file_and_of_its_past() {
        let at = |number: &str| PathBuf::from(format!("/b/s.shelf.0123456789abcdef-{number}"));
        let in_order = [
            "1",
            "0000000002",
            "0000000002-2",
            "0000000002-10",
            "0000000010",
        ];
        for (nth, current) in in_order.iter().enumerate() {
            for (other, path) in in_order.iter().enumerate() {
                let is_earlier = is_earlier(&at(path), &at(current));
                assert_eq!(is_earlier, other < nth, "{path} before {current}");
            }
            for foreign in ["", "1-", "-1", "1-2-3", "1.tmp", "x"] {
                assert!(!is_earlier(&at(foreign), &at(current)), "{foreign}");
            }
        }
        let other_store = Path::new("/b/s.shelf.fedcba9876543210-1");
        assert!(!is_earlier(other_store, &at("2")));
    }
}
