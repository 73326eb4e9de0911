//! `Store`: a durable map from bytes to bytes.

pub(crate) mod disk;
