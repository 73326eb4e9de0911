//! How a store keeps ids: as they are, or hashed.
//!
//! The store has a note of its kind since its first session. A handle that wants the other kind is refused when it is
//! opened, or, if a store of the other kind takes the place of the one that it has open, by its next call.

use super::super::place::kind_of;
use super::{Edit, Edits, Engine, Error, ErrorKind, KIND, Kind, Records, Result};
use std::sync::atomic::Ordering::Relaxed;

/// The two low bits of `known_kind`; above them stands the generation of the file whose kind that is.
fn code(kind: Kind) -> u64 {
    match kind {
        Kind::Plain => 1,
        Kind::Hashed => 2,
    }
}

impl Engine<dyn Records> {
    /// How ids are kept here.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if that is not how they were to be kept.
    pub(in crate::session) fn kind(&self) -> Result<Kind> {
        let file = self.records.generation() << 2;
        let known = self.known_kind.load(Relaxed);
        for kind in [Kind::Plain, Kind::Hashed] {
            if known == file | code(kind) {
                return Ok(kind);
            }
        }
        let Some(kind) = self.noted_kind()? else {
            return Ok(self.wanted_kind());
        };
        // Where another file took this one's place meanwhile, the note may be of either.
        if file == self.records.generation() << 2 {
            self.known_kind.store(file | code(kind), Relaxed);
        }
        Ok(kind)
    }

    /// To be asked where a session was not found: the call that looked for it may itself have moved the store to a file
    /// that keeps ids the other way, where the key means nothing.
    pub(super) fn check_absence(&self) -> Result<()> {
        self.kind().map(|_| ())
    }

    /// As [`kind`](Engine::kind), for a caller that stores a session. With the first one it adds the note.
    pub(super) fn kind_to_store(&self, edits: &mut Edits) -> Result<Kind> {
        if let Ok(Some(noted)) = self.records.get(KIND)
            && let Some(kind) = Kind::of_note(&noted)
        {
            return self.checked(kind);
        }
        let kind = match self.noted_kind()? {
            Some(kind) => kind,
            None => self.wanted_kind(),
        };
        let note = Edit::Put {
            value: kind.noted().to_vec(),
            expires: None,
            cbor: true,
        };
        edits.push((KIND.to_vec(), note));
        Ok(kind)
    }

    fn wanted_kind(&self) -> Kind {
        self.rules.kind.unwrap_or(Kind::Plain)
    }

    fn noted_kind(&self) -> Result<Option<Kind>> {
        let noted = match self.records.get(KIND) {
            Ok(None) => return Ok(None),
            Ok(Some(noted)) => Kind::of_note(&noted),
            Err(error) if error.kind() == ErrorKind::Corrupt => None,
            Err(error) => return Err(error),
        };
        // Where the note can't be read, the key of any session tells.
        let of_session = || {
            let mut entries = self.records.walk();
            entries.find_map(|entry| kind_of(entry.ok()?.key()))
        };
        noted
            .or_else(of_session)
            .map(|kind| self.checked(kind))
            .transpose()
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
