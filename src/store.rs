//! `Store`: a durable map from bytes to bytes.

pub(crate) mod checksum;
pub(crate) mod disk;
mod format;
pub(crate) mod hash;
mod index;
