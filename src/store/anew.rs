//! A file read again from its beginning, whatever this process knew of it.

use super::format::{COPIES, HEAD_BYTES, Head};
use super::generation::{Crossing, Generation};
use super::place::Place;
use crate::error::Result;
use std::sync::Arc;

/// A file read anew.
#[derive(Debug)]
pub(crate) struct Anew {
    /// The file as the handle knew it.
    pub(crate) known: Arc<Generation>,
    /// Whether that still holds.
    pub(crate) known_holds: bool,
    pub(crate) read: Generation,
    pub(crate) bad_header_copies: Vec<u64>,
}

/// Reads the file again from its beginning; `None` if it holds nothing yet.
pub(crate) fn read_anew(place: &Place, crossing: Crossing) -> Result<Option<Anew>> {
    let known = place.fresh_or_known()?;
    if known.is_unborn() {
        return Ok(None);
    }
    let mut below = known.tail();
    loop {
        let log = known.log.clone();
        let (header, bad_header_copies) = match Generation::read_header(&log) {
            Ok(Some((header, bad_copy))) => (header, bad_copy.into_iter().collect()),
            Err(error) if error.io_kind().is_some() => return Err(error),
            // This handle read it while it was sound.
            Ok(None) | Err(_) => (known.header, COPIES.to_vec()),
        };
        let read = Generation::read(log, header, crossing, below)?;
        let known_holds = below > 0;
        if !known_holds || read.position().damage.is_empty() || known.is_still_there()? {
            return Ok(Some(Anew {
                known,
                known_holds,
                read,
                bad_header_copies,
            }));
        }
        // Cut, or overwritten by a backup, since this handle read it.
        below = 0;
    }
}

/// The key of a record whose head is sound, if the key is as well, going by its fingerprint.
pub(crate) fn sound_key(read: &Generation, offset: u64) -> Result<Option<Vec<u8>>> {
    let mut fixed = [0; HEAD_BYTES];
    read.log.read_up_to(&mut fixed, offset)?;
    let Some(head) = Head::decode(&fixed, read.header.seed, offset) else {
        return Ok(None);
    };
    let mut key = vec![0; usize::from(head.key_len)];
    read.log.read_up_to(&mut key, offset + HEAD_BYTES as u64)?;
    let sound = read.fingerprint(&key) == head.fingerprint;
    Ok(sound.then_some(key))
}
