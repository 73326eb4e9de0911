//! `dump`: a store as JSON Lines, one entry a line; and what such a line says.
//!
//! `{"k":KEY,"v":VALUE}`: the key is text, or `{"$b64":...}` if it is not UTF-8; the value is the JSON form of a CBOR
//! value, or `{"$b64":...}` for one of plain bytes. Where that is not all, more members follow: `"cbor":true` for a
//! CBOR value that is itself a byte string, `"expires":MS` (milliseconds since 1970) for an entry with an expiry;
//! null says that there is none.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use shelflife::{Batch, Entry, Value};

use crate::cli::args::{Args, Command, Opt, WAIT, is_end};
use crate::cli::failure::Result;
use crate::cli::keys::{NOTE, session_of, value_of};
use crate::cli::output::{Output, say};
use crate::cli::{open, text, times};

const KEY_MAX: usize = 65_535;
/// The bytes that a record takes beside its key and its value.
const RECORD_BYTES: usize = 48;
const RECORD_BYTES_MAX: usize = (128 << 20) - 8;

pub(crate) const DUMP: Command = Command {
    name: "dump",
    operands: "F [PREFIX]",
    options: &[
        Opt::flag(
            "--expires",
            "\"expires\" in every line, null for what stays",
        ),
        WAIT,
    ],
    about: "write entries as JSON Lines",
    examples: [
        "shelflife dump notes.shelf > notes.jsonl",
        "shelflife dump notes.shelf cart: | jq -r .k",
    ],
    notes: "A line is {\"k\":KEY,\"v\":VALUE}, the least recently saved first; bytes are {\"$b64\":\"...\"}, and have\n\
            \"cbor\":true if they are a value of a shelf; an entry that ends has \"expires\", in milliseconds since\n\
            1970. load reads it back. It is one moment of the store,\n\
            whoever writes meanwhile. Cookies are keys: keep a dump of sessions as secret as its file.",
    run: dump,
};

fn dump(args: &mut Args, output: &mut Output) -> Result<()> {
    let file = args.required("F")?;
    let prefix = args.operand().unwrap_or_default().into_encoded_bytes();
    let with_end = args.has("--expires");
    let store = open::to_read(args, file)?;
    let (mut mislabelled, mut note) = (0, None);
    let dumped = open::each("dumping", "entries", store.entries(), |entry| {
        if !entry.key().starts_with(&prefix) {
            return Ok(());
        }
        let (line, is_what_it_says) = line_of(&entry, with_end);
        mislabelled += u64::from(!is_what_it_says);
        if entry.key() == NOTE {
            note = Some(line);
            return Ok(());
        }
        output.line(&line)
    });
    if mislabelled > 0 {
        say(&format!(
            "shelflife: values that are marked as CBOR and are not, written as plain bytes: {}",
            text::count(mislabelled)
        ));
    }
    dumped?;
    // It vouches for lists that a dump of a damaged store lacks, and one that was cut off.
    note.map_or(Ok(()), |note| output.line(&note))
}

/// The memory that showing one value may take: more than a program allows, since the command does nothing else.
pub(crate) const VALUE_BYTES: usize = 2 << 30;

/// The memory that reading one line of JSON may take: enough for all that `dump` wrote, the objects included that stand
/// for what JSON lacks.
pub(crate) const JSON_BYTES: usize = VALUE_BYTES.saturating_mul(5);

/// An entry as `load` reads it, and whether its value is what its mark says that it is. Its end is there if it has one,
/// or if that was asked for.
pub(crate) fn line_of(entry: &Entry, with_end: bool) -> (String, bool) {
    let mut members = vec![("k", value_of(entry.key()))];
    let (content, is_what_it_says) = content_of(entry, with_end);
    members.extend(content);
    (text::json(&text::object(members)), is_what_it_says)
}

/// All that a line says of an entry beside its key, and whether the value is what its mark says that it is.
pub(crate) fn content_of(entry: &Entry, with_end: bool) -> (Vec<(&'static str, Value)>, bool) {
    let (value, is_what_it_says) = value_in(entry);
    let is_cbor_bytes = entry.is_cbor() && is_what_it_says && matches!(value, Value::Bytes(_));
    let mut members = vec![("v", value)];
    if is_cbor_bytes {
        members.push(("cbor", Value::Bool(true)));
    }
    if with_end || entry.expires().is_some() {
        members.push(end_of(entry));
    }
    (members, is_what_it_says)
}

/// The value of an entry, its bytes if that is no CBOR; and whether that is what its mark says.
pub(crate) fn value_in(entry: &Entry) -> (Value, bool) {
    let decoded = entry
        .is_cbor()
        .then(|| shelflife::from_cbor_within(entry.value(), VALUE_BYTES));
    match decoded {
        Some(Ok(value)) => (value, true),
        marked => (Value::Bytes(entry.value().to_vec()), marked.is_none()),
    }
}

/// The end of an entry, as a member of an object.
pub(crate) fn end_of(entry: &Entry) -> (&'static str, Value) {
    let end = entry.expires().map(times::millis);
    ("expires", end.map_or(Value::Null, Value::from))
}

/// Adds the entry of a line to the batch that `batch_of` has for its key, a session with at least the version that
/// `version_min` has for its key. Line, value and CBOR are never all in memory: one line may be large.
pub(crate) fn add<'a>(
    line: Vec<u8>,
    version_min: impl FnOnce(&[u8]) -> u64,
    batch_of: impl FnOnce(&[u8]) -> &'a mut Batch,
) -> std::result::Result<(), String> {
    let text = str::from_utf8(&line).map_err(|_| match line.as_slice() {
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => {
            "UTF-16, by its byte order mark; it must be UTF-8".to_string()
        }
        _ => "not UTF-8".to_string(),
    })?;
    let value = Value::from_json_line(text, JSON_BYTES).map_err(|error| error.to_string())?;
    drop(line);
    let (mut key, mut content, mut is_cbor, mut expires) = (None, None, None, None);
    let Value::Map(members) = value else {
        return Err("not an object with \"k\" and \"v\"".to_string());
    };
    for (name, member) in members {
        match (&name, member) {
            (Value::Text(name), member) if name == "v" => content = Some(member),
            (Value::Text(name), Value::Text(text)) if name == "k" => key = Some(text.into_bytes()),
            (Value::Text(name), Value::Bytes(bytes)) if name == "k" => key = Some(bytes),
            (Value::Text(name), Value::Bool(flag)) if name == "cbor" => is_cbor = Some(flag),
            (Value::Text(name), Value::Null) if name == "expires" => {}
            (Value::Text(name), Value::Integer(millis)) if name == "expires" => {
                let millis = u64::try_from(millis).ok().map(Duration::from_millis);
                let at: Option<SystemTime> =
                    millis.and_then(|millis| UNIX_EPOCH.checked_add(millis));
                expires = Some(at.filter(is_end).ok_or("\"expires\" is no time")?);
            }
            (Value::Text(name), _) if ["k", "cbor", "expires"].contains(&name.as_str()) => {
                return Err(format!("\"{name}\" is of the wrong type"));
            }
            _ => {
                return Err(
                    "a member that is none of \"k\", \"v\", \"cbor\", \"expires\"".to_string(),
                );
            }
        }
    }
    let key: Vec<u8> = key.ok_or("no \"k\"")?;
    if let Some(Value::Map(members)) = &mut content
        && session_of(&key).is_some()
    {
        let least = version_min(&key).into();
        for (name, member) in members {
            if let (Value::Text(name), Value::Integer(version)) = (name, member)
                && name == "version"
            {
                *version = (*version).max(least);
            }
        }
    }
    let (bytes, is_cbor) = match (content.ok_or("no \"v\"")?, is_cbor) {
        (Value::Bytes(bytes), None | Some(false)) => (bytes, false),
        (value, _) => (
            shelflife::to_cbor(&value).map_err(|error| error.to_string())?,
            true,
        ),
    };
    if key.len() > KEY_MAX {
        return Err(format!(
            "a key of {} bytes, over the limit of {KEY_MAX}",
            key.len()
        ));
    }
    let record_bytes = RECORD_BYTES + key.len() + bytes.len();
    if record_bytes > RECORD_BYTES_MAX {
        return Err(format!(
            "an entry of {record_bytes} bytes, over the limit of {RECORD_BYTES_MAX}"
        ));
    }
    put(batch_of(&key), &key, &bytes, is_cbor, expires);
    Ok(())
}

/// Adds an entry to a batch, whether its value is marked as CBOR or not, and whether it ends or stays.
pub(crate) fn put(
    batch: &mut Batch,
    key: &[u8],
    value: &[u8],
    is_cbor: bool,
    expires: Option<SystemTime>,
) {
    match (is_cbor, expires) {
        (false, None) => batch.insert(key, value),
        (false, Some(at)) => batch.insert_until(key, value, at),
        (true, None) => batch.insert_cbor(key, value),
        (true, Some(at)) => batch.insert_cbor_until(key, value, at),
    };
}
