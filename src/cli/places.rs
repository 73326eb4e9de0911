//! Where sessions are: in a file, or on a server that a URL names.
//!
//! A password comes from a file or from the environment. One in a URL would be an argument, and arguments can be seen by
//! every user of a machine.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::Path;
use std::sync::Arc;

use shelflife::{RedisOptions, SessionOptions, SessionStore, ShelveSessionStore};

use crate::cli::args::{Args, Opt};
use crate::cli::failure::{Failure, Result};
use crate::cli::open;
use crate::cli::output::say;

pub(crate) const PREFIX: Opt = Opt::taking(
    "--prefix",
    "P",
    "what keys on a server begin with (shelflife:)",
);
pub(crate) const PASSWORD_FILE: Opt = Opt::taking(
    "--password-file",
    "FILE",
    "the password of a server, or $SHELFLIFE_REDIS_PASSWORD",
);
pub(crate) const TO_PREFIX: Opt =
    Opt::taking("--to-prefix", "P", "as --prefix, for TO, if it differs");
pub(crate) const TO_PASSWORD_FILE: Opt = Opt::taking(
    "--to-password-file",
    "FILE",
    "as --password-file, for TO, if it differs",
);
const PASSWORD: &str = "SHELFLIFE_REDIS_PASSWORD";

pub(crate) type Sessions = Arc<dyn SessionStore>;

/// The part that a place plays in a command. Where a command has two places, the second has options of its own.
#[derive(Clone, Copy)]
pub(crate) enum Part {
    First,
    Second,
}

impl Part {
    /// The name of the option that counts.
    fn option(self, args: &Args, first: Opt, second: Opt) -> &'static str {
        match self {
            Part::Second if args.value(second.name).is_some() => second.name,
            _ => first.name,
        }
    }
}

pub(crate) fn to_read(args: &Args, place: OsString) -> Result<Sessions> {
    part_to_read(args, place, Part::First)
}

pub(crate) fn part_to_read(args: &Args, place: OsString, part: Part) -> Result<Sessions> {
    match url(&place)? {
        Some(url) => connect(args, url, &hashing_ids(false), part),
        None => Ok(Arc::new(ShelveSessionStore::from(open::to_read(
            args, place,
        )?))),
    }
}

pub(crate) fn to_change(args: &Args, place: OsString) -> Result<Sessions> {
    match url(&place)? {
        Some(url) => connect(args, url, &hashing_ids(false), Part::First),
        None => Ok(Arc::new(ShelveSessionStore::from(open::to_change(
            args, place,
        )?))),
    }
}

/// To take in the sessions of the first place. A file that is new keeps ids as it is told.
pub(crate) fn to_fill(args: &Args, place: OsString, hash_ids: bool) -> Result<Sessions> {
    if let Some(url) = url(&place)? {
        return connect(args, url, &hashing_ids(hash_ids), Part::Second);
    }
    let store = open::to_fill(args, place)?;
    Ok(Arc::new(match hash_ids {
        true => SessionOptions::new().hash_ids(true).with_store(store)?,
        false => ShelveSessionStore::from(store),
    }))
}

/// The store of a URL, for sessions as an application wants them; nothing of a path.
pub(crate) fn on_server(
    args: &Args,
    place: &OsStr,
    sessions: &SessionOptions,
) -> Result<Option<Sessions>> {
    let url = url(place)?;
    url.map(|url| connect(args, url, sessions, Part::First))
        .transpose()
}

pub(crate) fn hashing_ids(hash_ids: bool) -> SessionOptions {
    SessionOptions::new().hash_ids(hash_ids).clone()
}

fn connect(args: &Args, url: &str, sessions: &SessionOptions, part: Part) -> Result<Sessions> {
    let mut options = RedisOptions::new();
    options.sessions(sessions);
    if let Some(prefix) = args.text(part.option(args, PREFIX, TO_PREFIX))? {
        options.prefix(prefix);
    }
    let file = part.option(args, PASSWORD_FILE, TO_PASSWORD_FILE);
    if let Some(password) = password(args, file)? {
        options.password(&password);
    }
    if let Some(wait) = args.span("--wait", Some("s"))? {
        options.timeout(wait);
    }
    let store = options.connect(url)?;
    if let Some(warning) = store.warning() {
        say(&format!("shelflife: {warning}"));
    }
    Ok(Arc::new(store))
}

/// The place as a URL, unless it is a path.
fn url(place: &OsStr) -> Result<Option<&str>> {
    let Some((url, rest)) = open::server(place) else {
        refuse_bare_address(place)?;
        return Ok(None);
    };
    let credentials = rest
        .rsplit_once('@')
        .map_or("", |(credentials, _)| credentials);
    match credentials.contains(':') {
        true => Err(Failure::Usage(format!(
            "a password in a URL can be seen by every user of this machine: give it by {} or in {PASSWORD}",
            PASSWORD_FILE.name
        ))),
        false => Ok(Some(url)),
    }
}

/// Without its scheme the address of a server is a path, at which a copy would make a file.
fn refuse_bare_address(place: &OsStr) -> Result<()> {
    let address = place.to_str().and_then(|text| text.rsplit_once(':'));
    match address {
        Some((host, port))
            if !host.contains('/') && port.parse::<u16>().is_ok() && !Path::new(place).exists() =>
        {
            Err(Failure::Usage(
                "a server is named by its URL, redis://host:port; put ./ in front of the name of a file"
                    .to_string(),
            ))
        }
        _ => Ok(()),
    }
}

fn password(args: &Args, option: &str) -> Result<Option<String>> {
    let Some(file) = args.value(option) else {
        return Ok(std::env::var(PASSWORD).ok());
    };
    let read = fs::read_to_string(file);
    let password = read.map_err(|error| {
        Failure::Io("failed to read the file of the password".to_string(), error)
    })?;
    Ok(Some(password.trim_end_matches(['\r', '\n']).to_string()))
}
