//! A map that survives `kill -9` and power cuts, in one file, shared by threads and processes, without dependencies.
//!
//! Made for the sessions of web applications, good for any values: what Python's `shelve` is, without its traps.
//!
//! # A shelf
//!
//! ```
//! # let dir = tempfile::tempdir().unwrap();
//! # let path = dir.path().join("shop.shelf");
//! use shelflife::{Shelf, record};
//!
//! record! {
//!     #[derive(Debug, PartialEq)]
//!     struct Cart { items: Vec<String>, total: f64, note: Option<String> }
//! }
//!
//! let shelf = Shelf::open(&path)?;
//! shelf.insert("cart:17", &Cart { items: vec!["tea".into()], total: 3.0, note: None })?;
//! // Atomic, for threads and for processes.
//! let items = shelf.update("cart:17", |cart: Option<Cart>| {
//!     let mut cart = cart.expect("it was just stored");
//!     cart.items.push("cup".into());
//!     let count = cart.items.len();
//!     Ok((Some(cart), count))
//! })?;
//! assert_eq!(items, 2);
//! assert_eq!(shelf.keys_with_prefix("cart:").count(), 1);
//! # Ok::<(), shelflife::Error>(())
//! ```
//!
//! # Sessions of a web application
//!
//! [`SessionManager`] takes care of a request from its cookies to the headers of its response, with any HTTP server;
//! [`manager::recipes`] has std, tiny_http, axum, actix-web and others.
//!
//! ```
//! # let dir = tempfile::tempdir().unwrap();
//! # let path = dir.path().join("sessions.shelf");
//! use shelflife::SessionManager;
//!
//! let sessions = SessionManager::open(&path)?;
//! let mut visit = sessions.begin(["theme=dark"]); // the request's `Cookie` fields
//! visit.login("ann")?; // under a new id, so an attacker who planted the old one is not
//! visit.session()?.insert("cart", &vec!["tea"])?;
//! let finished = visit.finish()?; // stored; overlapping requests lose nothing
//! assert!(finished.headers().any(|(name, _)| name == "Set-Cookie"));
//! # Ok::<(), shelflife::Error>(())
//! ```
//!
//! A session ends after 14 days without use there, that of a visitor who is not logged in after an hour;
//! [`SessionOptions::idle_lifetime`] and [`ManagerOptions::anonymous_idle`] change that. [`RedisSessionStore`] takes the
//! place of the file when one machine is not enough.
//!
//! # The command line
//!
//! `cargo run -- help` lists what an admin does beside the running app: look (`ls`, `get`, `session ls`, `browse`,
//! `watch`), repair (`verify`, `salvage`), go back (`history`, `restore`), copy (`backup`, `dump`). [`mod@production`]
//! says what to set up.
//!
//! # Where to read on
//!
//! Each layer knows only those above it in this list.
//!
//! - [`Error`]: one error for everything, which names the file, the offset and what to do next.
//! - [`Store`]: bytes to bytes, durable, atomic, shared; opened with [`Options`]. Its file is specified in
//!   [`mod@format`], for readers in any language.
//! - [`Value`], [`Encode`], [`Decode`], [`record!`]: typed values as deterministic CBOR.
//! - [`Shelf`]: any encodable value under any string key.
//! - [`SessionStore`]: the contract of session stores; [`ShelveSessionStore`] keeps it in a file,
//!   [`MemorySessionStore`] in memory, [`RedisSessionStore`] on a server.
//! - [`SessionManager`]: cookies, logins, devices, messages for the next page, over any of them.
//! - `sim`, with the feature of that name: a simulated disk, on which your own program can lose power in a plain
//!   `cargo test`.
//! - [`mod@production`]: permissions, cron, backup, monitoring, and what to do when something is wrong.
//!
//! # What is promised
//!
//! - **Acknowledged is durable.** When a write returns, it survives the death of the process, and with
//!   [`Durability::Immediate`], the default, a power cut.
//! - **All or nothing.** A batch, an update, a session with a new id: other threads, other processes and every crash see
//!   it whole or not at all.
//! - **Never a wrong value.** Every byte that is read was checked; damage is an error that names its place, and
//!   takes the record that it hit, no other. A file that can't tell which record that is opens with
//!   [`Options::damaged`] only; [`Store::salvage`] saves the others.
//! - **Readers wait for no writer.** They take no lock on the file, in no process. The threads of one handle wait only
//!   while one of them brings the index up to date, for which it reads the whole file after another process' compaction.
//!
//! # What it is not for
//!
//! More keys than memory holds at 17 bytes each; queries and ranges; files on a network; platforms that are not Unix. The
//! checks find accidents, not forgery: a program that may write to the file can write anything into it.
#![forbid(unsafe_code)]

mod error;
mod session;
mod shelf;
#[cfg(feature = "sim")]
pub use session::conformance;
#[cfg(feature = "sim")]
pub mod sim;
mod store;
mod value;

/// The file format, byte by byte.
pub mod format {
    #![doc = include_str!("store/FORMAT.md")]
}

/// How the crate is built, and how to carry it on.
pub mod hacking {
    #![doc = include_str!("HACKING.md")]
}

/// In production: permissions, cron, backup, monitoring, and what to do when something is wrong.
pub mod production {
    #![doc = include_str!("PRODUCTION.md")]
}

pub use error::{Error, ErrorKind, Result};
pub use session::manager::{self, ManagerOptions, SessionManager};
pub use session::{
    AsKey, Beyond, Copied, Existing, Key, Lifetime, MemorySessionStore, RedisOptions,
    RedisSessionStore, Saved, Session, SessionCap, SessionHandle, SessionId, SessionOptions,
    SessionStore, SessionStoreExt, Sessions, ShelveSessionStore, copy_sessions,
};
pub use shelf::{Items, Keys, Shelf, Values};
pub use store::admin::{Changes, Mirror};
pub use store::backup::Backup;
pub use store::batch::Batch;
pub use store::change::Change;
pub use store::changes::{Gap, Position, Seen};
pub use store::compaction::Compacted;
pub use store::disk::{Disk, DiskFile, os::OsDisk};
pub use store::entry::Entry;
pub use store::event::{Event, EventKind, Events};
pub use store::history::History;
pub use store::iter::{Entries, Iter};
pub use store::mode::{Compaction, Durability};
pub use store::options::Options;
pub use store::recovery::{Damage, Overdue, Recovery, Reverted, TornTail};
pub use store::salvage::{Lost, Salvaged};
pub use store::verify::{Affected, Verified};
pub use store::{Stats, Store};
pub use value::{
    Decode, Decoder, Encode, Encoder, MapEncoder, Value, ValueKind, from_cbor, from_cbor_within,
    to_cbor,
};
