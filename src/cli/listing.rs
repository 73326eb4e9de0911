//! `ls` and `rm`: keys, many of them.

use shelflife::{Batch, Entry, Store, Value};

use crate::cli::args::{Args, Command, DRY_RUN, JSON, Opt, WAIT, YES};
use crate::cli::ask::confirm;
use crate::cli::entries::no_such;
use crate::cli::failure::{Failure, Result, is_of_bytes};
use crate::cli::keys::{self, session_of, shown, value_of};
use crate::cli::output::{Output, say};
use crate::cli::progress::Progress;
use crate::cli::{lines, open, text, times};

pub(crate) const LS: Command = Command {
    name: "ls",
    operands: "F [PREFIX]",
    options: &[
        Opt::flag("--long", "also size in bytes, time of the last write, end"),
        Opt::flag("--expires", "also the end, `-` for what stays"),
        JSON,
        keys::WRITE_NUL,
        WAIT,
    ],
    about: "list keys, the least recently saved first",
    examples: [
        "shelflife ls notes.shelf cart:",
        "shelflife ls notes.shelf cart: -0 | shelflife get notes.shelf -0",
    ],
    notes: "Control characters, tabs and bytes that are not UTF-8 are escaped, as is the backslash; what -0 and\n\
            --json print, rm and get read. \"expires\" in JSON is that of dump. The key of a session is a secret: it\n\
            is shown as `session HANDLE`, and not at all with -0; session ls lists sessions.",
    run: ls,
};

fn ls(args: &mut Args, output: &mut Output) -> Result<()> {
    let (nul, json) = (args.has("-0"), args.has("--json"));
    let is_long = args.has("--long");
    let with_end = is_long || args.has("--expires");
    if nul && (json || with_end) {
        return Err(args.wrong("-0 prints keys only: it excludes --json, --long and --expires"));
    }
    let file = args.required("F")?;
    let prefix = args.operand().unwrap_or_default().into_encoded_bytes();
    let store = open::to_read(args, file)?;
    if !nul && !json {
        match (is_long, with_end) {
            (true, _) => output.header(&["KEY", "SIZE", "WRITTEN", "EXPIRES"]),
            (false, true) => output.header(&["KEY", "EXPIRES"]),
            (false, false) => {}
        }
    }
    open::each("listing", "keys", store.entries(), |entry| {
        if !entry.key().starts_with(&prefix) || keys::is_inner(entry.key()) {
            return Ok(());
        }
        if nul {
            return write_nul(entry.key(), output);
        }
        if json {
            return output.line(&text::json(&object(&entry, is_long, with_end)));
        }
        let mut fields = vec![shown(entry.key())];
        if is_long {
            let size = entry.value().len() as u64;
            fields.push(match output.is_terminal {
                true => text::size(size),
                false => size.to_string(),
            });
            fields.push(times::time(entry.modified()));
        }
        if with_end {
            fields.push(entry.expires().map_or("-".to_string(), times::time));
        }
        output.row(fields)
    })
}

fn object(entry: &Entry, is_long: bool, with_end: bool) -> Value {
    let mut members = vec![match session_of(entry.key()) {
        Some(handle) => ("session", Value::from(handle.to_string())),
        None => ("k", value_of(entry.key())),
    }];
    if is_long {
        members.push(("size", Value::from(entry.value().len() as u64)));
        members.push(("written", Value::from(times::time(entry.modified()))));
    }
    if with_end {
        members.push(lines::end_of(entry));
    }
    text::object(members)
}

/// A key as it is, unless that is a secret.
fn write_nul(key: &[u8], output: &mut Output) -> Result<()> {
    if keys::is_of_sessions(key) {
        return Ok(());
    }
    if key.contains(&0) {
        return Err(Failure::Usage(
            "a key holds a NUL byte, which -0 can't tell from its end; use --json".to_string(),
        ));
    }
    output.bytes(key)?;
    output.bytes(b"\0")
}

pub(crate) const RM: Command = Command {
    name: "rm",
    operands: "F [KEY...]",
    options: &[
        Opt::taking("--prefix", "P", "all keys that begin with P"),
        YES,
        DRY_RUN,
        keys::READ_NUL,
        keys::READ_JSON,
        WAIT,
    ],
    about: "remove keys, all in one step",
    examples: [
        "shelflife rm notes.shelf tea cart:17",
        "shelflife rm notes.shelf --prefix cart: --yes",
    ],
    notes: "With --prefix it asks at a terminal, and elsewhere wants --yes; sessions stay, session rm ends those.\n\
            --dry-run prints the keys that would be removed. Exit code 1 if one of the keys was not there, or none\n\
            begins with P; the others are removed.",
    run: rm,
};

fn rm(args: &mut Args, output: &mut Output) -> Result<()> {
    let file = args.required("F")?;
    if let Some(prefix) = args.value("--prefix") {
        let prefix = prefix.as_encoded_bytes().to_vec();
        if args.has_operand() || args.has("-0") || args.has("--json") {
            return Err(args.wrong("give one of KEY and --prefix"));
        }
        return rm_prefix(args, file, &prefix, output);
    }
    let named = keys::given(args, "KEY", &["k"])?;
    let store = match args.has(DRY_RUN.name) {
        true => open::to_read(args, file)?,
        false => open::to_change(args, file)?,
    };
    let (mut there, mut absent) = (Vec::new(), None);
    for key in named {
        if is_there(&store, &key)? {
            there.push(key);
        } else if let Some(earlier) = absent.replace(no_such(&key)) {
            say(&format!("shelflife: {earlier}"));
        }
    }
    remove(args, store, &there, output)?;
    absent.map_or(Ok(()), |message| Err(Failure::No(message)))
}

/// Whether a key is there to be removed: a value that can't be read is.
fn is_there(store: &Store, key: &[u8]) -> Result<bool> {
    match store.contains_key(key) {
        Err(error) if error.is_corrupt() => Ok(true),
        answer => Ok(answer?),
    }
}

fn rm_prefix(
    args: &Args,
    file: std::ffi::OsString,
    prefix: &[u8],
    output: &mut Output,
) -> Result<()> {
    let is_dry = args.has(DRY_RUN.name);
    let store = match is_dry {
        true => open::to_read(args, file)?,
        false => open::to_change(args, file)?,
    };
    let mut found = Vec::new();
    // An entry that can't be read has no key to compare: the command goes on, and tells of it at the end.
    let searched = open::each("searching", "keys", store.entries(), |entry| {
        let is_meant = entry.key().starts_with(prefix) && !keys::is_of_sessions(entry.key());
        if is_meant {
            found.push(entry.into_pair().0);
        }
        Ok(())
    });
    if let Err(failure) = &searched
        && !matches!(failure, Failure::Store(error) if is_of_bytes(error))
    {
        return searched;
    }
    let keys = text::counted(found.len() as u64, "key");
    if found.is_empty() {
        searched?;
        let prefix = text::escape(prefix);
        return Err(Failure::No(format!("no key begins with `{prefix}`")));
    }
    if !is_dry {
        confirm(args, "this removes many keys", || {
            Ok(format!("remove {keys}?"))
        })?;
    }
    remove(args, store, &found, output)?;
    searched
}

fn remove(args: &Args, store: Store, keys: &[Vec<u8>], output: &mut Output) -> Result<()> {
    if args.has(DRY_RUN.name) {
        return keys.iter().try_for_each(|key| output.line(&shown(key)));
    }
    let mut batch = Batch::new();
    for key in keys {
        batch.remove(key);
    }
    let progress = Progress::of("removing", "");
    store.write(&batch)?;
    store.close()?;
    drop(progress);
    output.note(&format!("removed {}", text::count(keys.len() as u64)));
    Ok(())
}
