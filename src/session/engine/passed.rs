//! Records that a look at many sessions can't read: it passes them by, and tells at the end.

use super::super::record_key::identity_of;
use crate::error::{Error, Result};
use crate::store::iter::Unreadable;

/// The most sessions passed by that the error names.
const NAMED: usize = 5;

/// The sessions that a walk could not read, and passed by.
#[derive(Debug, Default)]
pub(in crate::session) struct Passed {
    count: usize,
    pub(super) named: Vec<String>,
    pub(super) first: Option<Error>,
}

impl Passed {
    /// Notes what can't be read, unless it is known not to be a session.
    pub(super) fn note(&mut self, key: Option<&[u8]>, error: Error) {
        let identity = key.map(identity_of);
        let name = match (identity, error.offset()) {
            (Some(None), _) => return,
            (Some(Some(identity)), _) => format!("session {}", identity.handle()),
            (None, Some(offset)) => format!("the record at offset {offset}"),
            (None, None) => error.to_string(),
        };
        self.note_named(name, error);
    }

    /// Notes a session that can't be read, under this name.
    pub(in crate::session) fn note_named(&mut self, name: String, error: Error) {
        self.count += 1;
        if self.named.len() < NAMED {
            self.named.push(name);
        }
        self.first.get_or_insert(error);
    }

    pub(super) fn note_unreadable(&mut self, unreadable: Unreadable) {
        self.note(unreadable.key.as_deref(), unreadable.error);
    }

    /// The answer of a call that did what it could, or the error that says so.
    pub(in crate::session) fn answer<T>(
        self,
        answer: T,
        done: impl FnOnce(&T) -> String,
    ) -> Result<T> {
        let Some(first) = self.first else {
            return Ok(answer);
        };
        let more = match self.count > self.named.len() {
            true => ", and others",
            false => "",
        };
        let what = format!(
            "{}; {} could not be read and {} passed by: {}{more}",
            done(&answer),
            self.count,
            if self.count == 1 { "was" } else { "were" },
            self.named.join(", ")
        );
        Err(first.retold(what).advise(
            "`session rm` deletes a session, `shelflife verify` lists what is damaged in a file",
        ))
    }
}

pub(in crate::session) fn deleted(count: &usize) -> String {
    match count {
        1 => "1 session was deleted".to_string(),
        _ => format!("{count} sessions were deleted"),
    }
}
