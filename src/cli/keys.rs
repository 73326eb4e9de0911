//! Keys on their way out of `ls` and back in.
//!
//! A key is any bytes, so there are three forms of it: escaped for people, as it is with a NUL behind it, and as JSON.
//! The last two are what other commands read.

use std::io::{self, BufRead};

use shelflife::{SessionHandle, Value};

use crate::cli::args::{Args, JSON, Opt};
use crate::cli::failure::{Failure, Result};
use crate::cli::{open, text};

/// As `ls` and `session ls` take it.
pub(crate) const WRITE_NUL: Opt = Opt::flag("-0", "as they are, each with a NUL byte behind it");
/// As commands take it that are given what those print.
pub(crate) const READ_NUL: Opt =
    Opt::flag("-0", "from standard input, each with a NUL byte behind it");
pub(crate) const READ_JSON: Opt =
    Opt::flag("--json", "from standard input, as ls --json prints them");

/// The session that a key is of. Its id is a cookie, with which to log in as somebody else: it is never shown.
pub(crate) fn session_of(key: &[u8]) -> Option<SessionHandle> {
    SessionHandle::of_key(key)
}

/// Whether a key is of a session, or of what the store keeps about sessions: no text begins so.
pub(crate) fn is_of_sessions(key: &[u8]) -> bool {
    matches!(key, [0xFF, b's' | b'u' | b'k', ..])
}

/// Where a store notes how ids are kept, and with that that the lists of users name all their sessions.
pub(crate) const NOTE: &[u8] = b"\xFFk";

/// How long the key of a session is, and the one of a session of whose id the hash is kept.
pub(crate) const KEY_LEN: usize = 18;
pub(crate) const HASHED_KEY_LEN: usize = 37;

/// Whether a key is of what the store keeps about sessions, which is shown to nobody: lists of ids, for one.
pub(crate) fn is_inner(key: &[u8]) -> bool {
    is_of_sessions(key) && session_of(key).is_none()
}

/// A key for people.
pub(crate) fn shown(key: &[u8]) -> String {
    session_of(key).map_or_else(|| text::escape(key), |handle| format!("session {handle}"))
}

/// A key for JSON: text, or bytes where it is not UTF-8.
pub(crate) fn value_of(key: &[u8]) -> Value {
    match str::from_utf8(key) {
        Ok(text) => Value::from(text),
        Err(_) => Value::Bytes(key.to_vec()),
    }
}

/// The names that a command was given: its operands, or what standard input holds if it was told to read that. In
/// JSON a name is a string, or the first that an object has of `members`.
pub(crate) fn given(args: &mut Args, what: &str, members: &[&str]) -> Result<Vec<Vec<u8>>> {
    let (nul, json) = (args.has(READ_NUL.name), args.has(JSON.name));
    if args.has_operand() {
        if nul || json {
            let flag = if nul { "-0" } else { "--json" };
            return Err(args.wrong(&format!("{flag} reads standard input: leave out {what}")));
        }
        let operands = std::iter::from_fn(|| args.operand());
        return Ok(operands.map(|word| word.into_encoded_bytes()).collect());
    }
    match (nul, json) {
        (true, true) => Err(args.wrong("-0 and --json exclude each other")),
        (false, false) => Err(args.wrong(&format!(
            "missing {what}, or -0 or --json for those on standard input"
        ))),
        (true, false) => {
            let names = open::stdin()?;
            match names.split_last() {
                None => Ok(Vec::new()),
                Some((0, names)) => Ok(names.split(|byte| *byte == 0).map(<[u8]>::to_vec).collect()),
                // A last name without its NUL was cut off, and may be the beginning of another key.
                Some(_) => Err(Failure::Usage(
                    "standard input does not end with a NUL byte: it was cut off, or is no list for -0".to_string(),
                )),
            }
        }
        (false, true) => {
            let mut names = Vec::new();
            for (line, number) in io::stdin().lock().split(b'\n').zip(1_u64..) {
                let line = line.map_err(|error| {
                    Failure::Io("failed to read standard input".to_string(), error)
                })?;
                if !line.trim_ascii().is_empty() {
                    names.push(of_json(&line, members).map_err(|what| {
                        Failure::Usage(format!("standard input, line {number}: {what}"))
                    })?);
                }
            }
            Ok(names)
        }
    }
}

fn of_json(line: &[u8], members: &[&str]) -> std::result::Result<Vec<u8>, String> {
    let line = str::from_utf8(line).map_err(|_| "not UTF-8".to_string())?;
    let parsed: shelflife::Result<Value> = line.parse();
    let value = parsed.map_err(|error| error.to_string())?;
    let member = members.iter().find_map(|name| value.get(name));
    match member.unwrap_or(&value) {
        Value::Text(text) => Ok(text.clone().into_bytes()),
        Value::Bytes(bytes) => Ok(bytes.clone()),
        _ if value.get("session").is_some() => {
            Err("a session, which `shelflife session rm` removes".to_string())
        }
        _ => Err(format!(
            "no text, and no object with \"{}\"",
            members.join("\" or \"")
        )),
    }
}
