//! The right to write, as a value.
//!
//! A thread that has a [`Writing`] has queued with the other threads of its handle, holds the operating system's lock
//! on the file, has applied all that other processes wrote, has proven that the file is still the one it was (or that
//! its length is, see the admission), and stands at a clean tail. Only the admission makes one. Every change of a caller
//! goes through one; repairs and notes need the lock alone.

use super::append::{Failed, Left, Pen};
use super::batch::Op;
use super::generation::{Found, Generation};
use super::lock::{OsLock, Turn};
use super::mend;
use super::place::Place;
use super::poison::lock_of;
use crate::error::Result;
use std::sync::atomic::{AtomicBool, Ordering::*};
use std::sync::{Arc, Mutex};

/// Everything that the writers of a handle hand on from one to the next.
#[derive(Debug, Default)]
pub(crate) struct Desk {
    /// Locked by the thread that has its turn.
    pub(crate) pen: Mutex<Pen>,
    /// Whether a failed append could not be taken back, and nobody of this handle was admitted since: the next writer
    /// repairs the file and tells of it, so a handle that closes leaves it alone. Written by the thread that has its
    /// turn; a closing thread may read it late, and repairs then.
    pub(crate) left_bytes: AtomicBool,
    /// Whether there is something that a seal would say. Set by a writer, with its turn, cleared by the
    /// thread that sealed or that closes the handle; a closing thread may read it late, and seals once too often then.
    pub(crate) wrote: AtomicBool,
}

impl Desk {
    pub(crate) fn left_bytes(&self) -> bool {
        self.left_bytes.load(Acquire)
    }
}

#[derive(Debug)]
pub(crate) struct Writing<'a> {
    pub(crate) place: &'a Place,
    pub(crate) desk: &'a Desk,
    pub(crate) generation: Arc<Generation>,
    // The order of fields is the order in which they are dropped: the file's lock is given back before the turn.
    pub(crate) _os_lock: OsLock,
    pub(crate) turn: Turn<'a>,
}

impl Writing<'_> {
    /// Where a key's record stands. Reads header and key only.
    pub(crate) fn find(&self, key: &[u8], fingerprint: u32) -> Result<Option<Found>> {
        let candidates = self.generation.index.candidates(fingerprint);
        self.generation.find_among(&candidates, fingerprint, key)
    }

    /// Makes one change, of which it is known where the key stands.
    pub(crate) fn append_one(&mut self, op: Op<'_>, fingerprint: u32, prev: u64) -> Result<()> {
        self.append_all(&[op], &[(fingerprint, prev)])
    }

    /// Makes all changes or none. The bytes that a failed append leaves behind the tail are cut back at once; if that
    /// fails as well, the next writer repairs or leaves the file.
    pub(crate) fn append_all(&mut self, ops: &[Op<'_>], places: &[(u32, u64)]) -> Result<()> {
        let tail = self.generation.tail();
        let now_ms = self.place.now_ms_of(&self.generation);
        let appended = lock_of(&self.desk.pen).append(&self.generation, ops, places, now_ms);
        match appended {
            Ok(_) => {
                self.desk.wrote.store(true, Release);
                Ok(())
            }
            Err(Failed { error, left }) => {
                if left == Left::Bytes
                    && mend::take_back(self.place, &self.generation, tail).is_err()
                {
                    self.desk.left_bytes.store(true, Release);
                }
                Err(error)
            }
        }
    }
}
