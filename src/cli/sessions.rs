//! `session ls|show|rm|expire|hash`: what an admin and a cron job do, while the app runs.
//!
//! Sessions are named by handles. An id is a secret that logs somebody in: it is never shown, and read from standard
//! input only, since arguments can be seen by every user of a machine.

use std::borrow::Cow;
use std::collections::HashSet;
use std::ffi::OsString;
use std::time::{Duration, SystemTime};

use shelflife::{Session, SessionHandle, SessionId, ShelveSessionStore, Value};

use crate::cli::args::{Args, Command, DRY_RUN, JSON, Opt, WAIT, YES};
use crate::cli::ask::confirm;
use crate::cli::failure::{Failure, Result};
use crate::cli::output::{Output, say};
use crate::cli::places::{self, PASSWORD_FILE, PREFIX, Sessions, to_change, to_read};
use crate::cli::progress::Progress;
use crate::cli::{broom, keys, open, text, times};

/// A shorter beginning of a handle is more likely a slip than a name.
const HANDLE_DIGITS_MIN: usize = 4;

const USER: Opt = Opt::taking("--user", "U", "the sessions of this user");
const IDLE: Opt = Opt::taking(
    "--idle",
    "TIME",
    "those not used for this long: 90s, 30m, 12h, 7d",
);
pub(crate) const LS: Command = Command {
    name: "session ls",
    operands: "F",
    options: &[
        USER,
        IDLE,
        JSON,
        keys::WRITE_NUL,
        PREFIX,
        PASSWORD_FILE,
        WAIT,
    ],
    about: "list sessions, the least recently saved first",
    examples: [
        "shelflife session ls sessions.shelf --user ann",
        "shelflife session ls sessions.shelf --idle 12h --json",
    ],
    notes: "F is a file, or the URL of a Redis or Valkey server: redis://host:port, or unix:///path.\n\
            Handle, user, time of last use, end if it is not used again, remote address; with -0 the handle only.\n\
            What -0 and --json print, session rm reads.",
    run: ls,
};

fn ls(args: &mut Args, output: &mut Output) -> Result<()> {
    let user = args.text("--user")?.map(str::to_string);
    let idle = args.span("--idle", None)?;
    let file = args.required("F")?;
    let (nul, json) = (args.has("-0"), args.has("--json"));
    if nul && json {
        return Err(args.wrong("-0 and --json exclude each other"));
    }
    let store = to_read(args, file)?;
    let now = store.now();
    if !nul && !json {
        output.header(&["HANDLE", "USER", "USED", "EXPIRES", "ADDRESS"]);
    }
    let show = |session: &Session| {
        if !idle.is_none_or(|idle| is_idle(session, idle, now)) {
            return Ok(());
        }
        if nul {
            return output.bytes(format!("{}\0", handle(session)).as_bytes());
        }
        if json {
            return output.line(&text::json(&object(session)));
        }
        let (accessed, expires) = match output.is_terminal {
            true => (
                ago(session.accessed(), now),
                expires_in(session.expires(), now),
            ),
            false => (time(session.accessed()), time(session.expires())),
        };
        output.row(vec![
            handle(session),
            field(session.user()),
            accessed,
            expires,
            field(session.remote_address()),
        ])
    };
    match user {
        Some(user) => store.sessions_of(&user)?.iter().try_for_each(show),
        None => each(&store, show),
    }
}

fn object(session: &Session) -> Value {
    let text = |text: Option<&str>| text.map_or(Value::Null, Value::from);
    let time = |at: Option<SystemTime>| at.map_or(Value::Null, |at| Value::from(times::time(at)));
    let members = [
        ("handle", Value::from(handle(session))),
        ("user", text(session.user())),
        ("created", time(session.created())),
        ("accessed", time(session.accessed())),
        ("expires", time(session.expires())),
        ("remote_address", text(session.remote_address())),
    ];
    text::object(members)
}

pub(crate) const SHOW: Command = Command {
    name: "session show",
    operands: "F HANDLE",
    options: &[PREFIX, PASSWORD_FILE, WAIT],
    about: "show one session and what is in it",
    examples: [
        "shelflife session show sessions.shelf 7f3a91c2e04b",
        "shelflife session show sessions.shelf 7f3a91c2e04b | grep ^data",
    ],
    notes: "The beginning of a handle will do, from 4 digits on, where no other handle begins so.",
    run: show,
};

fn show(args: &mut Args, output: &mut Output) -> Result<()> {
    let file = args.required("F")?;
    let typed = args.required("HANDLE")?.into_encoded_bytes();
    let store = to_read(args, file)?;
    let named = named(&store, &[typed])?.into_iter().next();
    let wanted = named.unwrap_or_else(|| Err(args.wrong("missing HANDLE")))?;
    let mut found = false;
    let searched = each(&store, |session| {
        if session.handle() != Some(wanted) {
            return Ok(());
        }
        found = true;
        let mut fields = in_full(session, |text| text::escape(text.as_bytes())).into_iter();
        fields.try_for_each(|(name, value)| {
            output.row(vec![name, value.unwrap_or_else(|| "-".to_string())])
        })
    });
    // A session that can't be read is no reason to withhold the one that was asked for.
    if found {
        Ok(())
    } else {
        searched.and(Err(no_such(wanted)))
    }
}

/// All that is in a session, in the order in which it is shown; text as `shown` makes it harmless.
pub(crate) fn in_full(
    session: &Session,
    shown: impl Fn(&str) -> String,
) -> Vec<(String, Option<String>)> {
    let text = |text: Option<&str>| text.map(&shown);
    let time = |at: Option<SystemTime>| at.map(times::time);
    let own = [
        ("handle", Some(handle(session))),
        ("user", text(session.user())),
        ("label", text(session.label())),
        ("remote address", text(session.remote_address())),
        ("first address", text(session.first_address())),
        ("agent", text(session.agent())),
        ("created", time(session.created())),
        ("accessed", time(session.accessed())),
        ("confirmed", time(session.confirmed())),
        ("expires", time(session.expires())),
        ("version", Some(session.version().to_string())),
        ("form tokens", Some(session.form_token_count().to_string())),
    ];
    let own = own.map(|(name, value)| (name.to_string(), value));
    let data = session.keys().map(|key| {
        let value = match session.get::<Value>(key) {
            Ok(value) => text::json(&value.unwrap_or(Value::Null)),
            Err(error) => text::printable(&error.to_string()),
        };
        (format!("data.{}", shown(key)), Some(value))
    });
    own.into_iter().chain(data).collect()
}

pub(crate) const RM: Command = Command {
    name: "session rm",
    operands: "F [HANDLE...]",
    options: &[
        USER,
        Opt::taking(
            "--cookie",
            "-",
            "the session whose cookie is on standard input",
        ),
        YES,
        DRY_RUN,
        keys::READ_NUL,
        keys::READ_JSON,
        PREFIX,
        PASSWORD_FILE,
        WAIT,
    ],
    about: "log out: some sessions, or all of a user",
    examples: [
        "shelflife session rm sessions.shelf 7f3a91c2e04b",
        "shelflife session rm sessions.shelf --user ann --yes",
    ],
    notes: "The beginning of a handle will do, from 4 digits on, where no other handle begins so. With --user it\n\
            asks at a terminal, and elsewhere wants --yes. Exit code 1 if there is no such session; the others are\n\
            ended.",
    run: rm,
};

fn rm(args: &mut Args, output: &mut Output) -> Result<()> {
    let file = args.required("F")?;
    let user = args.text("--user")?.map(str::to_string);
    let cookie = args.text("--cookie")?.map(str::to_string);
    let by_handle = args.has_operand() || args.has("-0") || args.has("--json");
    if usize::from(by_handle) + usize::from(user.is_some()) + usize::from(cookie.is_some()) != 1 {
        return Err(args.wrong("give one of HANDLE, --user and --cookie"));
    }
    if cookie.is_some_and(|cookie| cookie != "-") {
        return Err(
            args.wrong("a cookie is a secret: write `--cookie -` and give it on standard input")
        );
    }
    if let Some(user) = user {
        return rm_user(args, file, &user, output);
    }
    if by_handle {
        return rm_handles(args, file, output);
    }
    let cookie = String::from_utf8_lossy(&open::stdin()?).into_owned();
    let id: SessionId = cookie.trim().parse()?;
    if args.has("--dry-run") {
        return list(&to_read(args, file)?, output, |session| {
            session.handle() == Some(id.handle())
        });
    }
    let mut deleted = to_change(args, file.clone())?.delete_session(&id)?;
    // A server has the id as it is, or hashed, or both, once the sessions were copied to hashes: either is a login.
    let hashing = places::hashing_ids(true);
    if let Some(server) = places::on_server(args, &file, &hashing)? {
        deleted |= server.delete_session(&id)?;
    }
    logged_out(deleted.into(), "", no_such(id.handle()), output)
}

fn rm_handles(args: &mut Args, file: OsString, output: &mut Output) -> Result<()> {
    let typed = keys::given(args, "HANDLE", &["handle", "session"])?;
    let is_dry = args.has(DRY_RUN.name);
    let store = match is_dry {
        true => to_read(args, file)?,
        false => to_change(args, file)?,
    };
    let named = named(&store, &typed)?;
    // Each is looked for in all sessions: together, so that many of them are no more work than one.
    let wanted: HashSet<SessionHandle> = named.iter().flatten().copied().collect();
    let mut found = HashSet::new();
    if is_dry {
        list_any(&store, output, |session| {
            let handle = session.handle();
            handle.is_some_and(|handle| wanted.contains(&handle) && found.insert(handle))
        })?;
    } else {
        let progress = Progress::of("ending", "");
        found.extend(store.delete_by_handles(&|handle| wanted.contains(&handle))?);
        drop(progress);
    }
    let (mut missing, mut seen) = (None, HashSet::new());
    for name in named {
        let failure = match name {
            Ok(handle) if !seen.insert(handle) || found.contains(&handle) => continue,
            Ok(handle) => no_such(handle),
            Err(failure) => failure,
        };
        if let Some(earlier) = missing.replace(failure) {
            say(&format!("shelflife: {earlier}"));
        }
    }
    if !is_dry && (!found.is_empty() || missing.is_none()) {
        output.note(&format!("logged out {}", count(found.len())));
    }
    missing.map_or(Ok(()), Err)
}

fn rm_user(args: &Args, file: OsString, user: &str, output: &mut Output) -> Result<()> {
    if args.has(DRY_RUN.name) {
        return list(&to_read(args, file)?, output, |session| {
            session.user() == Some(user)
        });
    }
    let store = to_change(args, file)?;
    let of_user = format!(" of {}", text::escape(user.as_bytes()));
    confirm(args, "this ends many sessions", || {
        let sessions = count(store.sessions_of(user)?.len());
        Ok(format!("log out {sessions}{of_user}?"))
    })?;
    let progress = Progress::of("ending", "");
    let deleted = store.delete_user_sessions(user)?;
    drop(progress);
    let nobody = Failure::No(format!("no session{of_user}"));
    logged_out(deleted, &of_user, nobody, output)
}

/// Tells how many were logged out; `nobody` is the failure if there was none.
fn logged_out(deleted: usize, of_user: &str, nobody: Failure, output: &Output) -> Result<()> {
    output.note(&format!("logged out {}{of_user}", count(deleted)));
    match deleted {
        0 => Err(nobody),
        _ => Ok(()),
    }
}

/// Whether a word is a handle, or enough of one.
pub(crate) fn is_of_handle(word: &str) -> bool {
    (HANDLE_DIGITS_MIN..=12).contains(&word.len())
        && word.bytes().all(|byte| b"0123456789abcdef".contains(&byte))
}

/// The handles that were named, whole or by their beginning, each with what is wrong with its name.
fn named(store: &Sessions, typed: &[Vec<u8>]) -> Result<Vec<Result<SessionHandle>>> {
    let names = typed.iter().map(|typed| String::from_utf8_lossy(typed));
    let names: Vec<Cow<'_, str>> = names.collect();
    let is_beginning = |name: &str| name.len() < 12 && is_of_handle(name);
    let mut begun: Vec<Vec<SessionHandle>> = vec![Vec::new(); names.len()];
    if names.iter().any(|name| is_beginning(name)) {
        let searched = each(store, |session| {
            let Some(handle) = session.handle() else {
                return Ok(());
            };
            let digits = handle.to_string();
            for (name, found) in names.iter().zip(&mut begun) {
                if digits.starts_with(&**name) && !found.contains(&handle) {
                    found.push(handle);
                }
            }
            Ok(())
        });
        // One that can't be read may begin so as well.
        searched?;
    }
    let named = names.iter().zip(begun).zip(1..).map(|((name, found), number)| {
        if !is_beginning(name) {
            // Not repeated in the error: it may be a cookie, pasted in the wrong place.
            return name.parse().map_err(|_| {
                Failure::Usage(format!(
                    "HANDLE {number} is no handle: write the 12 digits of 0-9 and a-f, or the first of them, at least \
                     {HANDLE_DIGITS_MIN}"
                ))
            });
        }
        match found.as_slice() {
            [] => Err(Failure::No(format!("no such session: {name}"))),
            [one] => Ok(*one),
            several => Err(Failure::Usage(format!(
                "{} begin with {name}: give more of the handle",
                text::counted(several.len() as u64, "handle")
            ))),
        }
    });
    Ok(named.collect())
}

pub(crate) const EXPIRE: Command = Command {
    name: "session expire",
    operands: "F",
    options: &[IDLE, DRY_RUN, JSON, PREFIX, PASSWORD_FILE, WAIT],
    about: "delete the sessions that have ended, or were not used for a while",
    examples: [
        "shelflife session expire sessions.shelf --idle 30d",
        "*/15 * * * * shelflife session expire /var/lib/app/sessions.shelf",
    ],
    notes: "For cron, while the app runs: says nothing but at a terminal or with --json. The end of a session is that\n\
            of the lifetimes that the app gave it. With --idle it also logs out who was away for so long, whatever\n\
            lifetime the session has; --dry-run counts those alone.",
    run: expire,
};

fn expire(args: &mut Args, output: &mut Output) -> Result<()> {
    let idle = args.span("--idle", None)?.unwrap_or(Duration::MAX);
    let file = args.required("F")?;
    let is_dry = args.has("--dry-run");
    let (deleted, remaining) = if is_dry {
        let store = to_read(args, file)?;
        let (mut old, mut others, now) = (0, 0, store.now());
        each(&store, |session| {
            match is_idle(session, idle, now) {
                true => old += 1,
                false => others += 1,
            }
            Ok(())
        })?;
        (old, others)
    } else {
        let store = to_change(args, file)?;
        let progress = Progress::of("expiring", "");
        let counts = store.delete_old_sessions(idle)?;
        drop(progress);
        counts
    };
    if args.has("--json") {
        let members = [("deleted", deleted), ("remaining", remaining)];
        let members = members.map(|(name, count)| (name, Value::from(count as u64)));
        return output.line(&text::json(&text::object(members)));
    }
    let [deleted, remaining] = [deleted, remaining].map(|count| text::count(count as u64));
    match is_dry {
        // Sessions that have ended are deleted as well, which logs nobody out.
        true => output.line(&format!("would log out {deleted}, {remaining} remain")),
        false => {
            output.note(&format!("expired {deleted}, {remaining} remain"));
            Ok(())
        }
    }
}

pub(crate) const HASH: Command = Command {
    name: "session hash",
    operands: "F",
    options: &[YES, WAIT],
    about: "keep the hashes of session ids in place of the ids, for good",
    examples: [
        "shelflife session hash sessions.shelf",
        "shelflife session hash sessions.shelf --yes",
    ],
    notes: "Visitors stay logged in, and the file holds no id any more, so who steals it has no session. There is no\n\
            way back: it asks at a terminal, and elsewhere wants --yes. Stop the app, and start it with\n\
            hash_ids(true), as SessionManager::open sets it: a program that keeps ids as they are is refused from\n\
            now on. Evidence of earlier repairs is removed with the ids in it; remove older backups,\n\
            and NAME.original-... of a salvage, yourself.",
    run: hash,
};

fn hash(args: &mut Args, output: &mut Output) -> Result<()> {
    let file = args.required("F")?;
    let name = text::escape(file.as_encoded_bytes());
    broom::wait_beside(&file);
    let store = open::to_change(args, file)?;
    confirm(args, "there is no way back from hashed ids", || {
        Ok(format!(
            "hash the id of every session in `{name}`, for good?"
        ))
    })?;
    let progress = Progress::of("hashing", "");
    let hashed = ShelveSessionStore::from(store).hash_ids()?;
    drop(progress);
    output.note(&format!("hashed the ids of {}", count(hashed)));
    Ok(())
}

pub(crate) fn each(store: &Sessions, mut visit: impl FnMut(&Session) -> Result<()>) -> Result<()> {
    let sessions = store.iter_sessions();
    open::each("reading", "sessions", sessions, |session| visit(&session))
}

/// Lists the handles of the sessions that would be deleted; there has to be one.
fn list(store: &Sessions, output: &mut Output, is_meant: impl Fn(&Session) -> bool) -> Result<()> {
    match list_any(store, output, is_meant)? {
        true => Ok(()),
        false => Err(Failure::No("no such session".to_string())),
    }
}

/// As [`list`]; false if there is none.
pub(crate) fn list_any(
    store: &Sessions,
    output: &mut Output,
    mut is_meant: impl FnMut(&Session) -> bool,
) -> Result<bool> {
    let mut found = false;
    each(store, |session| {
        if !is_meant(session) {
            return Ok(());
        }
        found = true;
        output.row(vec![handle(session), field(session.user())])
    })?;
    Ok(found)
}

fn no_such(handle: SessionHandle) -> Failure {
    Failure::No(format!("no such session: {handle}"))
}

fn count(sessions: usize) -> String {
    text::counted(sessions as u64, "session")
}

fn is_idle(session: &Session, idle: Duration, now: SystemTime) -> bool {
    let since = session
        .accessed()
        .map(|at| now.duration_since(at).unwrap_or_default());
    since.is_some_and(|since| since >= idle)
}

pub(crate) fn handle(session: &Session) -> String {
    session
        .handle()
        .map_or("-".to_string(), |handle| handle.to_string())
}

fn field(text: Option<&str>) -> String {
    text.map_or("-".to_string(), |text| text::escape(text.as_bytes()))
}

fn time(at: Option<SystemTime>) -> String {
    at.map_or("-".to_string(), times::time)
}

fn ago(at: Option<SystemTime>, now: SystemTime) -> String {
    let since = at
        .and_then(|at| now.duration_since(at).ok())
        .unwrap_or_default();
    format!("{} ago", times::span(since))
}

fn expires_in(at: Option<SystemTime>, now: SystemTime) -> String {
    let left = at.map(|at| at.duration_since(now).unwrap_or_default());
    left.map_or("no end".to_string(), |left| {
        format!("expires in {}", times::span(left))
    })
}
