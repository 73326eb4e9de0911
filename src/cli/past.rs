//! `history` and `watch`: what happened, and what happens.

use std::collections::BTreeSet;
use std::thread;
use std::time::Duration;

use shelflife::{Entry, Event, EventKind, Gap, Position, Seen, ShelveSessionStore, Store, Value};

use crate::cli::args::{Args, Command, JSON, Opt, WAIT};
use crate::cli::entries::no_such;
use crate::cli::failure::{Failure, Result};
use crate::cli::keys::{is_inner, session_of, shown, value_of};
use crate::cli::open::Successor;
use crate::cli::output::{Output, say};
use crate::cli::sessions::is_of_handle;
use crate::cli::{lines, open, text, times};

/// Between two looks, each of which costs a read of a few bytes.
const EVERY: Duration = Duration::from_millis(100);

pub(crate) const HISTORY: Command = Command {
    name: "history",
    operands: "F [KEY]",
    options: &[JSON, WAIT],
    about: "show what a key was, or all changes, with times and offsets",
    examples: [
        "shelflife history notes.shelf cart:17",
        "shelflife history notes.shelf --json | jq 'select(.kind == \"cleared\").offset'",
    ],
    notes: "With KEY its changes, newest first: offset, time, `put`, `removed` or `cleared`, size, value. Without it\n\
            those of all keys, oldest first: offset, time, what, key, size. KEY may be the handle of a session. It\n\
            goes back to where the file was last written anew, by a compaction for one, which leaves one value of\n\
            each key; standard error says where that was. shelflife restore takes the offsets. In JSON \"k\", \"v\",\n\
            \"cbor\" and \"expires\" are those of dump.",
    run: history,
};

fn history(args: &mut Args, output: &mut Output) -> Result<()> {
    let json = args.has(JSON.name);
    let file = args.required("F")?;
    let key = args.operand();
    let sessions = ShelveSessionStore::from(open::to_read(args, file)?);
    let store = sessions.store();
    let Some(key) = key else {
        if !json {
            output.header(&["OFFSET", "TIME", "WHAT", "KEY", "SIZE"]);
        }
        let events = store.events()?;
        let dropped_before = events.dropped_before();
        let listed = open::each("reading", "changes", events, |event| match json {
            _ if event.key().is_some_and(is_inner) => Ok(()),
            true => line(members(&event), output),
            false => output.row(row(&event)),
        });
        output.flush()?;
        say_how_far(dropped_before);
        return listed;
    };
    let key = meant(store, key.into_encoded_bytes())?;
    let history = store.history(&key)?;
    let (dropped_before, events) = (history.dropped_before(), history.size_hint().0);
    if !json && events > 0 {
        output.header(&["OFFSET", "TIME", "WHAT", "SIZE", "VALUE"]);
    }
    let listed = open::each("reading", "changes", history, |event| {
        if json {
            return line(members(&event), output);
        }
        let mut fields = row(&event);
        fields.remove(3);
        let value = |entry| match session_of(&key) {
            Some(_) => session_text(&sessions, entry),
            None => value_text(entry),
        };
        fields.push(event.entry().map_or("-".to_string(), value));
        output.row(fields)
    });
    output.flush()?;
    say_how_far(dropped_before);
    match events {
        0 => listed.and(Err(Failure::No(no_such(&key)))),
        _ => listed,
    }
}

fn say_how_far(dropped_before: Option<u64>) {
    say(&match dropped_before {
        None => "back to the creation of the store".to_string(),
        Some(base) => format!(
            "back to {base:#x}, where the file was written anew (compaction, load, backup, repair): what is older is \
             gone, but for one value of each key"
        ),
    });
}

/// The key that a word names. As `history` shows no key of a session, a handle or its beginning names that, where no
/// key is called so itself.
pub(crate) fn meant(store: &Store, word: Vec<u8>) -> Result<Vec<u8>> {
    let Some(begin) = str::from_utf8(&word).ok().filter(|word| is_of_handle(word)) else {
        return Ok(word);
    };
    if store.history(&word)?.size_hint().0 > 0 {
        return Ok(word);
    }
    let mut keys = BTreeSet::new();
    // One that can't be read is told where the history is read.
    for event in store.events()?.flatten() {
        if let Some(key) = event.key()
            && session_of(key).is_some_and(|handle| handle.to_string().starts_with(begin))
        {
            keys.insert(key.to_vec());
        }
    }
    let several = keys.len();
    match (keys.pop_first(), keys.is_empty()) {
        (None, _) => Ok(word),
        (Some(one), true) => Ok(one),
        _ => Err(Failure::Usage(format!(
            "{} begin with {begin}: give more of the handle",
            text::counted(several as u64, "handle")
        ))),
    }
}

pub(crate) const WATCH: Command = Command {
    name: "watch",
    operands: "F [PREFIX]",
    options: &[
        JSON,
        Opt::taking(
            "--from",
            "POSITION",
            "go on behind the line that had this position",
        ),
        WAIT,
    ],
    about: "show each change as it happens, until stopped",
    examples: [
        "shelflife watch sessions.shelf",
        "shelflife watch notes.shelf cart: --json | jq -c .k",
    ],
    notes: "A line for each change by any process: offset, time, `put`, `removed`, `cleared` or `compacted`, key,\n\
            size. `missed` says that changes are gone, and standard error why: read everything again. Once another\n\
            file was put in the place of the store, that is watched. --json has \"v\", \"cbor\" and \"expires\" as dump\n\
            has them, and the position to go on from after a restart. What has an end ends without a line. What is\n\
            shown may not be on disk yet.",
    run: watch,
};

fn watch(args: &mut Args, output: &mut Output) -> Result<()> {
    let json = args.has(JSON.name);
    let from = args.text("--from")?.map(str::parse::<Position>);
    let from = from
        .transpose()
        .map_err(|_| args.wrong("--from needs a position that watch --json printed"))?;
    let file = args.required("F")?;
    let prefix = args.operand().unwrap_or_default().into_encoded_bytes();
    let store = open::to_read(args, file)?;
    let from = match from {
        Some(from) => from,
        None => store.position()?,
    };
    let mut changes = store.changes(from)?;
    let mut successor = Successor::of(args, &store)?;
    output.note("watching; stop with Ctrl-C");
    let mut told = String::new();
    loop {
        loop {
            let seen = match changes.next() {
                Ok(seen) => {
                    successor.is_open();
                    match seen {
                        Some(seen) => seen,
                        None => break,
                    }
                }
                // One record that can't be read; if it is more than that, the next look says the same.
                Err(error) if error.is_corrupt() && error.to_string() != told => {
                    told = error.to_string();
                    say(&format!("shelflife: {told}"));
                    continue;
                }
                Err(error) => {
                    successor.open(error)?;
                    break;
                }
            };
            let is_meant = |key: &[u8]| key.starts_with(&prefix) && !is_inner(key);
            let (kind, gap) = match &seen {
                Seen::Event(event) if event.key().is_none_or(is_meant) => ("", None),
                Seen::Compacted => ("compacted", None),
                Seen::Missed(gap) => {
                    say(&format!("shelflife: changes were missed: {gap}"));
                    ("missed", Some(*gap))
                }
                _ => continue,
            };
            let position = changes.position();
            match (&seen, json) {
                (Seen::Event(event), false) => output.row(row(event))?,
                (_, false) => {
                    let fields = [&format!("{:#x}", position.offset()), "-", kind, "-", "-"];
                    output.row(fields.map(str::to_string).to_vec())?;
                }
                (_, true) => {
                    let mut all = match &seen {
                        Seen::Event(event) => members(event),
                        _ => vec![("kind", Value::from(kind))],
                    };
                    all.extend(gap.map(|gap| ("why", Value::from(why(gap)))));
                    all.push(("position", Value::from(position.to_string())));
                    line(all, output)?;
                }
            }
        }
        output.flush()?;
        thread::sleep(EVERY);
    }
}

fn why(gap: Gap) -> &'static str {
    match gap {
        Gap::Compacted => "compacted",
        Gap::Emptied => "emptied",
        Gap::Replaced => "replaced",
        _ => "other",
    }
}

fn row(event: &Event) -> Vec<String> {
    vec![
        format!("{:#x}", event.offset()),
        times::time(event.modified()),
        kind(event).to_string(),
        event.key().map_or("-".to_string(), shown),
        event
            .entry()
            .map_or("-".to_string(), |entry| entry.value().len().to_string()),
    ]
}

fn kind(event: &Event) -> &'static str {
    match event.what() {
        EventKind::Put => "put",
        EventKind::Removed => "removed",
        EventKind::Cleared => "cleared",
        _ => "other",
    }
}

/// A change for programs. Of a session the handle, not its key nor what is in it.
fn members(event: &Event) -> Vec<(&'static str, Value)> {
    let mut members = vec![
        ("offset", Value::from(event.offset())),
        ("at", Value::from(times::time(event.modified()))),
        ("kind", Value::from(kind(event))),
    ];
    let handle = event.key().and_then(session_of);
    match (event.key(), handle) {
        (_, Some(handle)) => members.push(("session", Value::from(handle.to_string()))),
        (Some(key), None) => members.push(("k", value_of(key))),
        (None, None) => {}
    }
    if let Some(entry) = event.entry() {
        members.push(("size", Value::from(entry.value().len() as u64)));
        match handle {
            None => members.extend(lines::content_of(entry, false).0),
            Some(_) if entry.expires().is_some() => members.push(lines::end_of(entry)),
            Some(_) => {}
        }
    }
    members
}

fn line(members: Vec<(&'static str, Value)>, output: &mut Output) -> Result<()> {
    output.line(&text::json(&text::object(members)))
}

/// A value in one line.
fn value_text(entry: &Entry) -> String {
    match entry.is_cbor() {
        true => text::json(&lines::value_in(entry).0),
        false => text::escape(entry.value()),
    }
}

/// A session, as `session show` tells it, in one line.
fn session_text(sessions: &ShelveSessionStore, entry: &Entry) -> String {
    match sessions.session_in(entry) {
        Ok(Some(session)) => {
            let mut members = vec![
                ("user", session.user().map_or(Value::Null, Value::from)),
                (
                    "remote_address",
                    session.remote_address().map_or(Value::Null, Value::from),
                ),
            ];
            let data = session.keys().map(|key| {
                let value = session.get::<Value>(key).ok().flatten();
                (Value::from(key), value.unwrap_or(Value::Null))
            });
            members.push(("data", Value::Map(data.collect())));
            text::json(&text::object(members))
        }
        Ok(None) => "has another id since".to_string(),
        Err(error) => text::printable(&error.to_string()),
    }
}
