//! `browse`: a page on this machine that shows the sessions of a store, while the app runs.
//!
//! Only somebody who has the URL is answered, since it holds a random token; a page of another site that the same
//! browser has open is told apart by the `Host` that it asks for, and has no token either. Stored values reach the page
//! as JSON and are put there as text, so that none is ever markup; no script runs but the page's own.

use std::fs::File;
use std::io::Read;
use std::time::SystemTime;

mod list;

use shelflife::{ErrorKind, SessionStore, ShelveSessionStore, Value};

use crate::cli::args::{Args, Command, Opt, WAIT};
use crate::cli::failure::{Failure, Result};
use crate::cli::file::state_of;
use crate::cli::http::{self, Request, Response};
use crate::cli::output::{Output, say};
use crate::cli::sessions::{handle, in_full};
use crate::cli::{open, text, times};
use list::{Filter, List};

const PAGE: &str = include_str!("browse/page.html");
const TOKEN_BYTES: usize = 16;

pub(crate) const BROWSE: Command = Command {
    name: "browse",
    operands: "F",
    options: &[
        Opt::taking("--port", "N", "the port, instead of any that is free"),
        WAIT,
    ],
    about: "show sessions and space on a page, on 127.0.0.1",
    examples: [
        "shelflife browse sessions.shelf",
        "shelflife browse sessions.shelf --port 8090",
    ],
    notes: "Prints the page's address, which holds a secret of this run: it lets its reader see what is in all\n\
            sessions. Sessions have handles there, never ids. It only reads. For a machine far away: ssh -L\n\
            8090:127.0.0.1:8090 there, with --port 8090.",
    run: browse,
};

struct App {
    sessions: ShelveSessionStore,
    list: List,
    name: String,
    token: String,
}

fn browse(args: &mut Args, output: &mut Output) -> Result<()> {
    let port = args.number("--port", u16::MAX.into())?.unwrap_or(0);
    let file = args.required("F")?;
    let name = text::escape(file.as_encoded_bytes());
    let store = open::to_read(args, file)?;
    let (listener, port) = http::listen(u16::try_from(port).unwrap_or_default())?;
    let app = App {
        sessions: ShelveSessionStore::from(store),
        list: List::default(),
        name,
        token: secret()?,
    };
    output.line(&format!("http://127.0.0.1:{port}/{}/", app.token))?;
    output.flush()?;
    output.note("keep the address secret; stop with Ctrl-C");
    http::serve(&listener, &|request, _| app.answer(request));
    Ok(())
}

/// Hexadecimal digits that nobody can guess.
fn secret() -> Result<String> {
    let mut bytes = [0; TOKEN_BYTES];
    let read = File::open("/dev/urandom").and_then(|mut random| random.read_exact(&mut bytes));
    read.map_err(|error| Failure::Io("failed to read /dev/urandom".to_string(), error))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Takes as long for a wrong one as for the right one.
fn is_same(given: &str, right: &str) -> bool {
    let pairs = given.bytes().zip(right.bytes());
    let differing = pairs.fold(0, |differing, (a, b)| differing | (a ^ b));
    given.len() == right.len() && differing == 0
}

fn json(value: &Value) -> Response {
    Response::new("200 OK", "application/json", text::json(value))
}

impl App {
    fn answer(&self, request: &Request) -> Response {
        if request.method != "GET" {
            return Response::refused("405 Method Not Allowed");
        }
        let path = request.path.strip_prefix('/').unwrap_or_default();
        let (token, page) = path.split_once('/').unwrap_or((path, "-"));
        if !is_same(token, &self.token) {
            return Response::text(
                "403 Forbidden",
                "The address lacks the secret that shelflife browse printed.\n",
            );
        }
        let answered = match page {
            "" => self.page(),
            "sessions" => self.look().and_then(|()| self.listed(request)),
            "session" => self.look().and_then(|()| self.one(request)),
            _ => Ok(Response::text("404 Not Found", "Nothing is there.\n")),
        };
        answered.unwrap_or_else(|failure| {
            let failure = text::printable(&failure.to_string());
            say(&format!("shelflife: {failure}"));
            Response::text("500 Internal Server Error", format!("{failure}\n"))
        })
    }

    fn page(&self) -> Result<Response> {
        let nonce = secret()?;
        let page = PAGE.replace("{nonce}", &nonce);
        // Its own script and style, which have the nonce, are all that runs; it may ask here for more.
        let policy = format!(
            "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; connect-src 'self'; \
             base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        );
        Ok(Response {
            policy,
            ..Response::new("200 OK", "text/html; charset=utf-8", page)
        })
    }

    /// Goes on with another file, once somebody has put that in the place of the store.
    fn look(&self) -> Result<()> {
        let store = self.sessions.store();
        match store.position() {
            Err(error) if error.kind() == ErrorKind::Replaced => Ok(store.reopen()?),
            looked => Ok(looked.map(drop)?),
        }
    }

    /// A page of the list, and how the store is.
    fn listed(&self, request: &Request) -> Result<Response> {
        let store = self.sessions.store();
        let stats = store.stats()?;
        let recovery = store.recovery();
        let all = self.list.rows(&self.sessions);
        let now = SystemTime::now();
        let found = Filter::of(request).page(&all.rows, now);
        let rows = found.rows.into_iter().map(|row| row.value()).collect();
        let health = text::object([
            ("keys", stats.keys.into()),
            ("size", stats.file_bytes.into()),
            ("live", stats.live_bytes.into()),
            ("dead", stats.dead_bytes.into()),
            ("past", stats.past_bytes.into()),
            ("damaged", (recovery.damage.len() as u64).into()),
            ("unreadable", all.unreadable.into()),
            ("state", state_of(&recovery).into()),
        ]);
        Ok(json(&text::object([
            ("now", times::millis(now).into()),
            ("total", (all.rows.len() as u64).into()),
            ("matched", (found.matched as u64).into()),
            ("page", (found.page as u64).into()),
            ("pages", (found.pages as u64).into()),
            ("name", self.name.as_str().into()),
            ("health", health),
            ("sessions", Value::Array(rows)),
        ])))
    }

    /// One session in full.
    fn one(&self, request: &Request) -> Result<Response> {
        let wanted = request.query.get("handle").unwrap_or_default();
        let mut unreadable = None;
        for session in self.sessions.iter_sessions() {
            match session {
                Ok(session) if handle(&session) == wanted => {
                    let fields = in_full(&session, text::printable);
                    let fields = fields.into_iter().map(|(name, value)| {
                        let value = value.map_or(Value::Null, Value::from);
                        Value::Array(vec![Value::from(name), value])
                    });
                    return Ok(json(&Value::Array(fields.collect())));
                }
                Ok(_) => {}
                Err(error) => unreadable = Some(error),
            }
        }
        match unreadable {
            // It may be the one that was asked for.
            Some(error) => Err(error.into()),
            None => Ok(Response::text(
                "404 Not Found",
                "There is no such session any more.\n",
            )),
        }
    }
}
