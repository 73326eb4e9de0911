//! `demo`: a small web app on the sessions of a store, for a browser on this machine.

use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

mod app;
mod pages;

use shelflife::{ManagerOptions, SessionOptions};

use crate::cli::args::{Args, Command, Opt};
use crate::cli::failure::Result;
use crate::cli::output::Output;
use crate::cli::places::{self, PASSWORD_FILE, PREFIX, Sessions};
use crate::cli::{http, open};
use app::App;

/// As [`shelflife::SessionManager::open`] has it.
const IDLE_LIFETIME: Duration = Duration::from_secs(14 * 24 * 60 * 60);
const FIRST_PORT: u16 = 8080;
const PORTS_TRIED: u16 = 100;

const STORE: Opt = Opt::taking(
    "--store",
    "URL",
    "sessions on a Redis or Valkey server, not in F",
);
pub(crate) const DEMO: Command = Command {
    name: "demo",
    operands: "[F]",
    options: &[
        Opt::taking(
            "--port",
            "N",
            "the port, instead of 8080 or the next free one; 0 for any",
        ),
        Opt::flag(
            "--like-session3",
            "pages that change something by GET, as session3's demo has",
        ),
        STORE,
        PREFIX,
        PASSWORD_FILE,
    ],
    about: "serve a small web app with a login, on 127.0.0.1",
    examples: [
        "shelflife demo",
        "shelflife demo sessions.shelf --port 8081",
    ],
    notes: "Its sessions are in F, or in demo.shelf. Kill it and start it again: who was logged in still is. Run\n\
            it twice on one file: both see the same sessions. Browse them with shelflife session ls F. With\n\
            --store redis://host:port two demos on two machines share their sessions.",
    run: demo,
};

fn demo(args: &mut Args, output: &mut Output) -> Result<()> {
    let (listener, port) = match args.number("--port", u16::MAX.into())? {
        Some(port) => http::listen(u16::try_from(port).unwrap_or_default())?,
        None => first_free()?,
    };
    let mut options = SessionOptions::new();
    options.hash_ids(true).idle_lifetime(IDLE_LIFETIME);
    let (store, cookie, name): (Sessions, _, _) = match args.value(STORE.name) {
        Some(_) if args.has_operand() => {
            return Err(args.wrong("F and --store exclude each other"));
        }
        Some(url) => {
            let url = url.to_os_string();
            let named =
                || args.wrong("a server is named by its URL: redis://host:port, or unix:///path");
            let store = places::on_server(args, &url, &options)?.ok_or_else(named)?;
            let mut place = url.clone();
            place.push(args.value(PREFIX.name).unwrap_or_default());
            (store, cookie_name(Path::new(&place)), url)
        }
        None => {
            let file = args.operand().unwrap_or_else(|| "demo.shelf".into());
            let store = open::to_fill(args, file.clone())?;
            let cookie = cookie_name(store.path());
            (Arc::new(options.with_store(store)?), cookie, file)
        }
    };
    let name = name.to_string_lossy().into_owned();
    let sessions = ManagerOptions::new()
        .cookie_name(&cookie)
        .secure(false) // plain HTTP, and not every browser makes an exception for this machine
        .manage_shared(store)?;
    let app = App::new(sessions, args.has("--like-session3"));
    output.line(&format!(
        "http://127.0.0.1:{port}/  (sessions in {name}; stop it with Ctrl-C)"
    ))?;
    output.flush()?;
    http::serve(&listener, &|request, visitor| app.respond(request, visitor));
    Ok(())
}

/// A name of its own for each file, and for each prefix on a server: browsers keep cookies by host and not by port, so
/// that two demos side by side would take each other's. Two of one place share it, as they share the sessions. FNV-1a.
fn cookie_name(place: &Path) -> String {
    let path = place.canonicalize().unwrap_or_else(|_| place.to_path_buf());
    let hash = path
        .as_os_str()
        .as_encoded_bytes()
        .iter()
        .fold(0x811c_9dc5_u32, |hash, byte| {
            (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193)
        });
    format!("demo-{hash:08x}")
}

fn first_free() -> Result<(TcpListener, u16)> {
    let last = FIRST_PORT + PORTS_TRIED - 1;
    (FIRST_PORT..last)
        .find_map(|port| http::listen(port).ok())
        .map_or_else(|| http::listen(last), Ok)
}
