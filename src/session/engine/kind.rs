//! How a store keeps ids: as they are, or hashed.
//!
//! The first session that is stored brings a note of it along. A handle that wants the other way is refused when it is
//! opened. If a store of the other kind took the place of its own later, the next call that finds nothing is refused.
//!
//! The note vouches for the lists of users as well: while it is there, a part of a list that has no record never had
//! one. A salvage that lost anything leaves it out ([`VOUCHER`](crate::store::salvage::VOUCHER)). From then on the keys
//! of the sessions tell how ids are kept, and a user's sessions are found by reading all records, until the lists are
//! [made anew](Engine::relist_all).

use super::super::record_key::{KIND, Kind, kind_of};
use super::super::records::{Edits, Records};
use super::Engine;
use crate::error::{Error, Result};
use crate::store::change::Edit;
use crate::store::iter::Unreadable;

/// The note of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Note {
    Says(Kind),
    Unreadable,
    Absent,
}

/// The change that notes a kind.
pub(super) fn noting(kind: Kind) -> (Vec<u8>, Edit) {
    let note = Edit::Put {
        value: kind.noted().to_vec(),
        expires: None,
        cbor: true,
    };
    (KIND.to_vec(), note)
}

impl Engine<dyn Records> {
    /// How ids are kept here, as far as a key depends on it.
    ///
    /// A handle that was told how to keep them reads nothing for it: a session that it finds is kept that way, since keys
    /// of the two kinds differ in length, and where it finds none it [checks](Engine::check_kind).
    pub(in crate::session) fn kind(&self) -> Result<Kind> {
        match self.rules.kind {
            Some(wanted) => Ok(wanted),
            None => Ok(self.stored_kind()?.unwrap_or(Kind::Plain)),
        }
    }

    /// For a call that has found nothing: perhaps ids are kept the other way by now.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if that is not how they were to be kept.
    pub(super) fn check_kind(&self) -> Result<()> {
        match self.note()? {
            Note::Says(kind) => self.checked(kind).map(drop),
            Note::Unreadable | Note::Absent => Ok(()),
        }
    }

    /// How ids are kept here, by the note or, where it says nothing, by the sessions; `None` if there are none.
    ///
    /// # Errors
    ///
    /// As [`check_kind`](Engine::check_kind).
    pub(in crate::session) fn stored_kind(&self) -> Result<Option<Kind>> {
        let kind = match self.note()? {
            Note::Says(kind) => Some(kind),
            Note::Unreadable | Note::Absent => self.kind_of_sessions()?,
        };
        kind.map(|kind| self.checked(kind)).transpose()
    }

    /// As [`kind`](Engine::kind), for a caller that stores a session, which may be the first.
    pub(super) fn kind_to_store(&self, edits: &mut Edits) -> Result<Kind> {
        let note = self.note()?;
        if let Note::Says(kind) = note {
            return self.checked(kind);
        }
        let of_sessions = self.kind_of_sessions()?;
        let kind = match of_sessions {
            Some(kind) => self.checked(kind)?,
            None => self.rules.kind.unwrap_or(Kind::Plain),
        };
        // A note beside sessions that had none would vouch for lists that lack some of them.
        if of_sessions.is_none() || note == Note::Unreadable {
            edits.push(noting(kind));
        }
        Ok(kind)
    }

    pub(super) fn note(&self) -> Result<Note> {
        match self.records.get(KIND) {
            Ok(None) => Ok(Note::Absent),
            Ok(Some(noted)) => Ok(Kind::of_note(&noted).map_or(Note::Unreadable, Note::Says)),
            Err(error) if error.is_corrupt() => Ok(Note::Unreadable),
            Err(error) => Err(error),
        }
    }

    /// A store that can't be read for a moment may have sessions: only a record's own damage is passed by.
    fn kind_of_sessions(&self) -> Result<Option<Kind>> {
        for entry in self.records.walk() {
            match entry {
                Ok(entry) if kind_of(entry.key()).is_some() => return Ok(kind_of(entry.key())),
                Err(Unreadable { error, .. }) if !error.is_of_one_record() => return Err(error),
                _ => {}
            }
        }
        Ok(None)
    }

    fn checked(&self, kind: Kind) -> Result<Kind> {
        let (what, advice) = match (self.rules.kind, kind) {
            (Some(Kind::Plain), Kind::Hashed) => (
                "the store keeps the hash of each session id, and was opened to keep the ids",
                "open it with `hash_ids(true)`",
            ),
            (Some(Kind::Hashed), Kind::Plain) => (
                "the store keeps session ids as they are, and was opened to keep their hashes",
                "open it without `hash_ids`, or convert it with `shelflife session hash`",
            ),
            _ => return Ok(kind),
        };
        Err(self.at_path(Error::invalid_input(what, advice)))
    }
}
