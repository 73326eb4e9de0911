//! A map that survives `kill -9` and power cuts, in one file, shared by threads and processes, without dependencies.
//!
//! Made for the sessions of web applications, good for any values: what Python's `shelve` is, without its traps.
//!
//! ```
//! # let dir = tempfile::tempdir().unwrap();
//! # let path = dir.path().join("app.shelf");
//! use shelflife::{Saved, Session, SessionStore, ShelveSessionStore, Shelf};
//!
//! // Sessions: load, change, save; nothing is lost to overlapping requests, and a logout stays one.
//! let sessions = ShelveSessionStore::open(&path)?;
//! let mut session = Session::default();
//! session.set_user(Some("ann"));
//! assert!(matches!(sessions.save_session(&mut session)?, Saved::Stored));
//! let id = session.id().expect("a stored session has an id").clone();
//! assert_eq!(sessions.load_session(&id)?.expect("it was just stored").user(), Some("ann"));
//!
//! // Any value under any string key.
//! # let path = dir.path().join("cart.shelf");
//! let shelf = Shelf::open(&path)?;
//! shelf.insert("cart:17", &vec![("tea".to_string(), 2u32)])?;
//! assert_eq!(shelf.get::<Vec<(String, u32)>>("cart:17")?, Some(vec![("tea".to_string(), 2)]));
//! # Ok::<(), shelflife::Error>(())
//! ```
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
//!   [`MemorySessionStore`] in memory.
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
//!   takes the record that it hit, no other.
//! - **Nobody waits to read.** Readers take no lock, in no process.
//!
//! # What it is not for
//!
//! More keys than memory holds at 17 bytes each; queries and ranges; files on a network; platforms that are not Unix. The
//! checks find accidents, not forgery: who can write the file can write anything into it.
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
pub use store::changes::{Position, Seen};
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
