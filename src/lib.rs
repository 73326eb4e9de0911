//! Sessions, or any values, in one file.
#![forbid(unsafe_code)]

mod error;
mod store;
mod value;

pub use error::{Error, ErrorKind, Result};
pub use store::disk::{Disk, DiskFile, os::OsDisk};
pub use value::{Decode, Decoder, Encode, Encoder, MapEncoder, Value, from_cbor, to_cbor};
