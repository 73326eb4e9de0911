//! Sessions, or any values, in one file.
#![forbid(unsafe_code)]

mod error;
mod store;

pub use error::{Error, ErrorKind, Result};
pub use store::disk::sim;
pub use store::disk::{Disk, DiskFile, os::OsDisk};
