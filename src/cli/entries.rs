//! `set` and `get`: single values.

use std::ffi::OsStr;
use std::path::Path;

use shelflife::{Batch, Change, Entry, Options, Value};

use crate::cli::args::{Args, Command, Opt, WAIT};
use crate::cli::failure::{Failure, Result};
use crate::cli::output::{Output, say};
use crate::cli::{keys, lines, open, text, times};

pub(crate) const SET: Command = Command {
    name: "set",
    operands: "F KEY [VALUE]",
    options: &[
        Opt::flag("--json-value", "VALUE is JSON"),
        Opt::flag(
            "--raw",
            "store the bytes of VALUE as they are; no Shelf reads them",
        ),
        Opt::taking(
            "--expires",
            "WHEN",
            "absent from then on: 30m, 12h, 7d, 2030-12-24T18:00:00Z",
        ),
        Opt::flag(
            "--new",
            "only if there is no such key; exit code 1 if there is",
        ),
        WAIT,
    ],
    about: "store a value under a key",
    examples: [
        "shelflife set notes.shelf tea green",
        "shelflife set notes.shelf cart:17 --json-value '{\"items\":[\"tea\"],\"total\":3}'",
    ],
    notes: "VALUE is a string unless an option says otherwise; `-`, or none, reads it from standard input. One that\n\
            begins with a dash goes behind `--`. Without --expires it stays, whatever was there before. Of several\n\
            who set a key with --new at once one does. F is created if there is no such file.",
    run: set,
};

fn set(args: &mut Args, output: &mut Output) -> Result<()> {
    if args.has("--raw") && args.has("--json-value") {
        return Err(args.wrong("--raw and --json-value exclude each other"));
    }
    let expires = args.end("--expires")?;
    let file = args.required("F")?;
    let key = args.required("KEY")?;
    refuse_swapped(args, &file, &key)?;
    let key = key.into_encoded_bytes();
    let bytes = open::bytes_or_stdin(args.operand())?;
    let is_cbor = !args.has("--raw");
    let value = match is_cbor {
        false => bytes,
        true => {
            let not_text = |_| args.wrong("the value is not UTF-8, store its bytes with --raw");
            let text = String::from_utf8(bytes).map_err(not_text)?;
            shelflife::to_cbor(&match args.has("--json-value") {
                true => Value::from_json_within(open::without_mark(&text), lines::JSON_BYTES)
                    .map_err(|error| Failure::Usage(format!("the value is not JSON: {error}")))?,
                false => Value::from(text),
            })?
        }
    };
    let len = value.len() as u64;
    let store = open::to_fill(args, file)?;
    if args.has("--new") {
        let change = match (is_cbor, expires) {
            (false, None) => Change::Put(value),
            (false, Some(at)) => Change::PutUntil(value, at),
            (true, None) => Change::PutCbor(value),
            (true, Some(at)) => Change::PutCborUntil(value, at),
        };
        let is_new = store.update(&key, |old| match old {
            None => Ok((change, true)),
            Some(_) => Ok((Change::Keep, false)),
        })?;
        if !is_new {
            return Err(Failure::No(format!(
                "the key is there already: {}",
                keys::shown(&key)
            )));
        }
    } else {
        let mut batch = Batch::new();
        lines::put(&mut batch, &key, &value, is_cbor, expires);
        store.write(&batch)?;
    }
    output.note(&format!("stored {}", text::size(len)));
    Ok(())
}

/// With KEY before F a new store would be made, of the name of the key.
fn refuse_swapped(args: &Args, file: &OsStr, key: &OsStr) -> Result<()> {
    // An F with either of these is taken at its word.
    let is_path = file.to_string_lossy().contains(['.', '/']);
    let is_new = !is_path && !Path::new(file).exists();
    if is_new && Options::new().read_only(true).open(key).is_ok() {
        let what =
            "F comes before KEY, and KEY is a store here; put ./ in front of the name of a new F";
        return Err(args.wrong(what));
    }
    Ok(())
}

pub(crate) const GET: Command = Command {
    name: "get",
    operands: "F [KEY]",
    options: &[
        Opt::flag(
            "--json",
            "as JSON, whatever the value is; without KEY see below",
        ),
        Opt::flag("--raw", "the stored bytes as they are, CBOR or not"),
        Opt::flag(
            "--expires",
            "when it ends instead of what it is, `-` if it stays",
        ),
        keys::READ_NUL,
        WAIT,
    ],
    about: "print the value of a key",
    examples: [
        "shelflife get notes.shelf cart:17 | jq .total",
        "shelflife get photos.shelf cat.jpg --raw > cat.jpg",
    ],
    notes: "Text is printed as text, and ends its line; any other value that was stored as CBOR is printed as JSON,\n\
            a line; plain bytes as they are. A terminal gets everything escaped that is not text.\n\
            Without KEY, -0 and --json read keys from standard input, as ls prints them with the same option: with\n\
            -0 each value has a NUL byte behind it, with --json the lines are those of dump. Exit code 1 if there is\n\
            no such key.",
    run: get,
};

fn get(args: &mut Args, output: &mut Output) -> Result<()> {
    let formats = ["--json", "--raw", "--expires"];
    if formats.iter().filter(|name| args.has(name)).count() > 1 {
        return Err(args.wrong("--json, --raw and --expires exclude each other"));
    }
    let file = args.required("F")?;
    let is_one = args.has_operand();
    let wanted = match is_one && !args.has("-0") {
        true => vec![args.required("KEY")?.into_encoded_bytes()],
        false => keys::given(args, "KEY", &["k"])?,
    };
    let store = open::to_read(args, file)?;
    let mut failed = None;
    for key in wanted {
        let said = match store.entry(&key) {
            Ok(Some(entry)) if is_one => print(&entry, args, output),
            Ok(Some(entry)) => print_one(&entry, args, output),
            Ok(None) => Err(Failure::No(no_such(&key))),
            Err(error) => Err(error.into()),
        };
        if let Err(mut failure) = said {
            if failure.is_of_the_output() {
                return Err(failure);
            }
            if let Some(mut earlier) = failed.take() {
                // The exit code tells of what can't be read, rather than of what is not there.
                if matches!(failure, Failure::No(_)) && !matches!(earlier, Failure::No(_)) {
                    std::mem::swap(&mut earlier, &mut failure);
                }
                say(&format!("shelflife: {earlier}"));
            }
            failed = Some(failure);
        }
    }
    failed.map_or(Ok(()), Err)
}

/// One entry of many: what fails names its key.
fn print_one(entry: &Entry, args: &Args, output: &mut Output) -> Result<()> {
    let named = |what: String| Failure::Damaged(format!("{}: {what}", keys::shown(entry.key())));
    if !args.has("--json") {
        print(entry, args, output).map_err(|failure| match failure {
            Failure::Damaged(what) => named(what),
            failure => failure,
        })?;
        return output.bytes(b"\0");
    }
    let (line, is_what_it_says) = lines::line_of(entry, false);
    output.line(&line)?;
    match is_what_it_says {
        true => Ok(()),
        false => {
            let what = "not the CBOR that it is marked as, written as plain bytes";
            Err(named(what.to_string()))
        }
    }
}

fn print(entry: &Entry, args: &Args, output: &mut Output) -> Result<()> {
    if args.has("--expires") {
        return output.line(&entry.expires().map_or("-".to_string(), times::time));
    }
    let is_plain = args.has("--raw") || !entry.is_cbor();
    if is_plain && !args.has("--json") {
        return match output.is_terminal && !args.has("--raw") {
            true => text_lines(entry.value(), output),
            false => output.bytes(entry.value()),
        };
    }
    let value = match is_plain {
        true => Value::Bytes(entry.value().to_vec()),
        false => {
            shelflife::from_cbor_within(entry.value(), lines::VALUE_BYTES).map_err(|error| {
                Failure::Damaged(format!(
                    "not the CBOR that it is marked as: {error}; --raw prints its bytes"
                ))
            })?
        }
    };
    match value {
        Value::Text(text) if !args.has("--json") => text_lines(text.as_bytes(), output),
        value => output.line(&text::json(&value)),
    }
}

/// Text, whose last line has an end.
fn text_lines(bytes: &[u8], output: &mut Output) -> Result<()> {
    match output.is_terminal {
        true => output.bytes(text::printable_lines(bytes).as_bytes())?,
        false => output.bytes(bytes)?,
    }
    match bytes.ends_with(b"\n") {
        true => Ok(()),
        false => output.bytes(b"\n"),
    }
}

pub(crate) fn no_such(key: &[u8]) -> String {
    format!("no such key: {}", keys::shown(key))
}
