//! Random bytes of the operating system: ids, tokens and marks are made of them.

use crate::error::{Error, Result};
use crate::store::disk::{Disk, os::OsDisk};
use std::path::Path;

pub(super) fn random(bytes: &mut [u8]) -> Result<()> {
    OsDisk
        .random(bytes)
        .map_err(|cause| Error::io("read", Path::new("/dev/urandom"), cause))
}
