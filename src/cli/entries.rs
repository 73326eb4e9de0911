//! `set`, `get`, `rm`, `ls`: single entries.

use shelflife::{Batch, SessionId, Value};

use crate::cli::args::{Args, Command, Opt, WAIT};
use crate::cli::failure::{Failure, Result};
use crate::cli::output::{Output, say};
use crate::cli::{open, text};

pub(crate) const SET: Command = Command {
    name: "set",
    operands: "F KEY [VALUE]",
    options: &[
        Opt {
            name: "--json-value",
            value: "",
            about: "VALUE is JSON",
        },
        Opt {
            name: "--raw",
            value: "",
            about: "store the bytes of VALUE as they are",
        },
        WAIT,
    ],
    about: "store a value under a key",
    examples: [
        "shelflife set notes.shelf tea green",
        "shelflife set notes.shelf cart:17 --json-value '{\"items\": [\"tea\"], \"total\": 3}'",
    ],
    notes: "VALUE is a string unless an option says otherwise; `-`, or none, reads it from standard input.\n\
            F is created if there is no such file.",
    run: set,
};

fn set(args: &mut Args, output: &mut Output) -> Result<()> {
    if args.has("--raw") && args.has("--json-value") {
        return Err(args.wrong("--raw and --json-value exclude each other"));
    }
    let file = args.required("F")?;
    let key = args.required("KEY")?.into_encoded_bytes();
    let bytes = open::bytes_or_stdin(args.operand())?;
    let mut batch = Batch::new();
    let stored = if args.has("--raw") {
        batch.insert(&key, &bytes);
        bytes.len()
    } else {
        let not_text = |_| args.wrong("the value is not UTF-8, store its bytes with --raw");
        let text = String::from_utf8(bytes).map_err(not_text)?;
        let value = match args.has("--json-value") {
            true => text.parse().map_err(|error: shelflife::Error| {
                Failure::Usage(format!("the value is not JSON: {error}"))
            })?,
            false => Value::from(text),
        };
        let cbor = shelflife::to_cbor(&value)?;
        batch.insert_cbor(&key, &cbor);
        cbor.len()
    };
    open::to_fill(args, file)?.write(&batch)?;
    output.note(&format!("stored {}", text::size(stored as u64)));
    Ok(())
}

pub(crate) const GET: Command = Command {
    name: "get",
    operands: "F KEY",
    options: &[
        Opt {
            name: "--raw",
            value: "",
            about: "the stored bytes as they are",
        },
        WAIT,
    ],
    about: "print the value of a key",
    examples: [
        "shelflife get notes.shelf cart:17 | jq .total",
        "shelflife get photos.shelf cat.jpg --raw > cat.jpg",
    ],
    notes: "A value that was stored as CBOR is printed as JSON, a line; one of plain bytes as it is, but at a\n\
            terminal with everything escaped that is not text. Exit code 1 if there is no such key.",
    run: get,
};

fn get(args: &mut Args, output: &mut Output) -> Result<()> {
    let file = args.required("F")?;
    let key = args.required("KEY")?.into_encoded_bytes();
    let store = open::to_read(args, file)?;
    let Some(entry) = store.entry(&key)? else {
        return Err(Failure::No(no_such(&key)));
    };
    if args.has("--raw") {
        output.bytes(entry.value())
    } else if entry.is_cbor() {
        let value: Value = shelflife::from_cbor(entry.value()).map_err(|error| {
            Failure::Damaged(format!(
                "not the CBOR that it is marked as: {error}; --raw prints its bytes"
            ))
        })?;
        output.line(&text::escape_json(&value.to_string()))
    } else if output.is_terminal {
        output.line(&text::escape(entry.value()))
    } else {
        output.bytes(entry.value())
    }
}

/// A key that nobody asked for by its name. One that has the form of a session's id is a cookie, with which to log in
/// as somebody else.
pub(crate) fn shown(key: &[u8]) -> String {
    let id = str::from_utf8(key)
        .ok()
        .and_then(|key| key.parse::<SessionId>().ok());
    id.map_or_else(
        || text::escape(key),
        |id| format!("session {}", id.handle()),
    )
}

fn no_such(key: &[u8]) -> String {
    format!("no such key: {}", text::escape(key))
}

pub(crate) const RM: Command = Command {
    name: "rm",
    operands: "F KEY...",
    options: &[WAIT],
    about: "remove keys",
    examples: [
        "shelflife rm notes.shelf tea",
        "shelflife rm notes.shelf cart:17 cart:18",
    ],
    notes: "Exit code 1 if one of the keys was not there; the others are removed.",
    run: rm,
};

fn rm(args: &mut Args, output: &mut Output) -> Result<()> {
    let file = args.required("F")?;
    let store = open::to_change(args, file)?;
    let (mut removed, mut absent) = (0, None);
    while let Some(key) = args.operand() {
        let key = key.into_encoded_bytes();
        if store.remove(&key)? {
            removed += 1;
        } else if let Some(earlier) = absent.replace(no_such(&key)) {
            say(&format!("shelflife: {earlier}"));
        }
    }
    store.close()?;
    output.note(&format!("removed {}", text::count(removed)));
    absent.map_or(Ok(()), |message| Err(Failure::No(message)))
}

pub(crate) const LS: Command = Command {
    name: "ls",
    operands: "F [PREFIX]",
    options: &[
        Opt {
            name: "--long",
            value: "",
            about: "also size in bytes, time of the last write, expiry",
        },
        WAIT,
    ],
    about: "list keys, the least recently saved first",
    examples: [
        "shelflife ls notes.shelf cart:",
        "shelflife ls notes.shelf --long | sort -k2n",
    ],
    notes: "Control characters, tabs and bytes that are not UTF-8 are escaped, as is the backslash. The key of a\n\
            session is a secret and shown as `session HANDLE`; dump has it.",
    run: ls,
};

fn ls(args: &mut Args, output: &mut Output) -> Result<()> {
    let file = args.required("F")?;
    let prefix = args.operand().unwrap_or_default().into_encoded_bytes();
    let store = open::to_read(args, file)?;
    let is_long = args.has("--long");
    open::each(store.entries(), |entry| {
        if !entry.key().starts_with(&prefix) {
            return Ok(());
        }
        let mut fields = vec![shown(entry.key())];
        if is_long {
            let size = entry.value().len() as u64;
            fields.push(match output.is_terminal {
                true => text::size(size),
                false => size.to_string(),
            });
            fields.push(text::time(entry.modified()));
            fields.push(entry.expires().map_or("-".to_string(), text::time));
        }
        output.row(fields)
    })
}
