//! Changes of sessions together with the [lists](super::super::list) of users that name them. A list that is damaged or
//! missing is made again here, from a **walk** over all records.

use super::super::codec;
use super::super::contents::Contents;
use super::super::lifetime::millis_at;
use super::super::list::{Lists, Name, hour_of};
use super::super::record_key::{Kind, kind_of, name_of};
use super::super::records::{Edits, Records};
use super::super::state::Session;
use super::Engine;
use super::kind::{Note, noting};
use super::passed::Passed;
use crate::error::Result;
use std::collections::BTreeMap;

/// How many sessions a step changes at most, and holds in memory.
pub(super) const CHUNK: usize = 1_000;

/// The names of a user's sessions, and the records that can't be read and may be more of them.
pub(super) struct Walked {
    /// Each with the hour by which it has ended.
    pub(super) names: Vec<(Name, u32)>,
    pub(super) passed: Passed,
}

/// The names of the sessions of each user.
type ByUser = BTreeMap<String, Vec<(Name, u32)>>;

/// Whether the changes that were put together are to be made.
pub(super) enum Changes {
    Made,
    Dropped,
}

impl Engine<dyn Records> {
    /// Changes sessions and lists in one step. Lists that this finds damaged are mended in a step after it.
    pub(super) fn change(
        &self,
        change: &mut dyn FnMut(&mut Lists<'_>, &mut Edits) -> Result<Changes>,
    ) -> Result<()> {
        let mut to_mend = Vec::new();
        self.records.change(&mut || {
            let (mut lists, mut edits) = (Lists::new(&self.records), Vec::new());
            match change(&mut lists, &mut edits)? {
                Changes::Dropped => return Ok(Vec::new()),
                Changes::Made => {}
            }
            to_mend = lists.take_to_mend();
            edits.extend(lists.into_edits());
            Ok(edits)
        })?;
        for user in to_mend {
            // The change is made: if the mending fails now, or meets more damage, the next change of the list mends it.
            let _ = self.mend_list(&user);
        }
        Ok(())
    }

    fn mend_list(&self, user: &str) -> Result<()> {
        let damage = Lists::new(&self.records).damage(user)?;
        let walked = self.names_by_walk(user)?;
        self.records.change(&mut || {
            let mut lists = Lists::new(&self.records);
            if lists.can_be_mended(user, damage)? {
                lists.mend(user, &walked.names)?;
            }
            Ok(lists.into_edits())
        })
    }

    /// Brings the lists in line with a session that was `before` and is `next` from now on.
    pub(super) fn relist(
        &self,
        lists: &mut Lists<'_>,
        key: &[u8],
        before: Option<&Contents>,
        next: Option<&Session>,
    ) -> Result<()> {
        let Some(name) = name_of(key) else {
            return Ok(());
        };
        let was = before.and_then(|before| before.user.as_deref());
        let is = next.and_then(Session::user);
        if let Some(user) = was.filter(|_| was != is) {
            lists.remove(user, name)?;
        }
        if let Some((user, next)) = is.zip(next) {
            lists.add(user, name, hour_of(next.end))?;
        }
        Ok(())
    }

    /// The names of all sessions of a user, for a caller that holds the lock and changes them.
    pub(super) fn names_to_change(&self, lists: &mut Lists<'_>, user: &str) -> Result<Vec<Name>> {
        if !lists.is_whole(user)? {
            let walked = self.names_by_walk(user)?;
            lists.mend(user, &walked.names)?;
        }
        lists.names(user)
    }

    /// The names of all sessions of a user, by a walk.
    pub(super) fn names_by_walk(&self, user: &str) -> Result<Walked> {
        let mut walked = Walked {
            names: Vec::new(),
            passed: Passed::default(),
        };
        for entry in self.records.walk() {
            match entry {
                Ok(entry) => {
                    let Some(name) = name_of(entry.key()) else {
                        continue;
                    };
                    match codec::decode(entry.value()) {
                        Ok(session) if session.user() == Some(user) => {
                            let end = hour_of(entry.expires().map(millis_at));
                            walked.names.extend(Name::of(name).map(|name| (name, end)));
                        }
                        Ok(_) => {}
                        Err(_) if entry.value() == codec::REPLACED => {}
                        Err(error) => walked.passed.note(Some(entry.key()), error),
                    }
                }
                Err(unreadable) if unreadable.error.is_of_one_record() => {
                    walked.passed.note_unreadable(unreadable);
                }
                Err(unreadable) => return Err(unreadable.error),
            }
        }
        Ok(walked)
    }

    /// Makes the lists of all users anew, while nobody writes, where no note says that they are whole. The note comes
    /// last, so that a crash on the way leaves them in doubt.
    pub(in crate::session) fn relist_all(&self) -> Result<()> {
        if self.note()? != Note::Absent {
            return Ok(());
        }
        let mut to_list = None;
        self.records.change_in_steps(&mut || {
            let (users, kind) = match to_list.as_mut() {
                Some(to_list) => to_list,
                None if self.note()? == Note::Absent => to_list.insert(self.names_by_user()?),
                None => return Ok(None),
            };
            let mut lists = Lists::new(&self.records);
            let mut named = 0;
            while named < CHUNK
                && let Some((user, names)) = users.pop_first()
            {
                lists.mend(&user, &names)?;
                named += names.len();
            }
            let mut edits = lists.into_edits();
            if users.is_empty() {
                edits.extend(kind.take().map(noting));
            }
            Ok(Some(edits).filter(|edits| !edits.is_empty()))
        })
    }

    /// The names of all sessions that have a user, and how ids are kept; for a caller that holds the lock.
    fn names_by_user(&self) -> Result<(ByUser, Option<Kind>)> {
        let (mut users, mut kind) = (ByUser::new(), None);
        for entry in self.records.walk() {
            let entry = match entry {
                Ok(entry) => entry,
                Err(unreadable) if unreadable.error.is_of_one_record() => continue,
                Err(unreadable) => return Err(unreadable.error),
            };
            kind = kind.or(kind_of(entry.key()));
            let name = name_of(entry.key()).and_then(Name::of);
            if let Some(name) = name
                && let Ok(session) = codec::decode(entry.value())
                && let Some(user) = session.user()
            {
                let end = hour_of(entry.expires().map(millis_at));
                users.entry(user.to_string()).or_default().push((name, end));
            }
        }
        Ok((users, kind))
    }
}
