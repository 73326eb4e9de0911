//! Sessions, or any values, in one file.
#![forbid(unsafe_code)]

mod error;
mod session;
mod shelf;
mod store;
mod value;

pub use error::{Error, ErrorKind, Result};
pub use session::{
    Existing, MemorySessionStore, Saved, Session, SessionHandle, SessionId, SessionOptions,
    SessionStore, SessionStoreExt, Sessions, ShelveSessionStore,
};
pub use shelf::{Items, Keys, Shelf, Values};
pub use store::batch::Batch;
pub use store::compaction::Compacted;
pub use store::disk::sim;
pub use store::disk::{Disk, DiskFile, os::OsDisk};
pub use store::iter::{Entries, Entry, Iter};
pub use store::options::{Compaction, Durability, Options};
pub use store::recovery::{Damage, Recovery, TornTail};
pub use store::{Change, Stats, Store};
pub use value::{Decode, Decoder, Encode, Encoder, MapEncoder, Value, from_cbor, to_cbor};
