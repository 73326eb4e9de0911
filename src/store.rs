//! `Store`: a durable map from bytes to bytes.

pub(crate) mod checksum;
pub(crate) mod disk;
pub(crate) mod hash;
