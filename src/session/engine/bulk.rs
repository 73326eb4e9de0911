//! Calls that look at many sessions: lists, sweeps, and logouts of a user.
//!
//! A record that can't be read stops none of it. A sweep, or a logout of all sessions, [passes it by](super::passed) and
//! tells at its end. An iteration tells at once. A list of a user's sessions goes without: nobody is logged in with such
//! a session.

use super::super::codec::{self, Head};
use super::super::id::SessionHandle;
use super::super::lifetime::{Clock, millis_at, millis_of};
use super::super::list::{Lists, Name};
use super::super::outcome::{Existing, Sessions};
use super::super::record_key::{identity_of, name_of, session_key};
use super::super::records::Records;
use super::super::state::Session;
use super::listing::{CHUNK, Changes};
use super::passed::{self, Passed};
use super::{Engine, Rules};
use crate::error::Result;
use crate::store::entry::Entry;
use crate::store::iter::Unreadable;
use crate::store::order::sort_by_number;
use std::time::Duration;

/// How often a list is read that others change meanwhile, before all records are read in its place.
const READS: usize = 16;

/// How many of the sessions that a snapshot saw were deleted since.
#[derive(Debug, Default, Clone, Copy)]
struct Deleted {
    /// By this call.
    here: usize,
    /// By others; or a compaction dropped what had ended.
    elsewhere: usize,
}

impl Engine<dyn Records> {
    pub(in crate::session) fn iter(&self) -> Sessions {
        if let Err(error) = self.check_kind() {
            return Sessions::new(std::iter::once(Err(error)));
        }
        let (rules, clock) = (self.rules, self.clock());
        let path = self.records.path().map(ToOwned::to_owned);
        Sessions::new(self.records.walk().filter_map(move |entry| {
            let mut passed = Passed::default();
            match entry {
                Ok(entry) => match listed(&entry, &rules, clock) {
                    Ok(session) => return session.map(Ok),
                    Err(error) => passed.note(Some(entry.key()), error),
                },
                Err(unreadable) => passed.note_unreadable(unreadable),
            }
            let (first, name) = (passed.first?, passed.named.pop()?);
            let error = first.retold(format!("{name} can't be read: {first}"));
            Some(Err(match &path {
                Some(path) if first.path().is_none() => error.at(path),
                _ => error,
            }))
        }))
    }

    pub(in crate::session) fn delete_old(&self, idle: Duration) -> Result<(usize, usize)> {
        self.check_kind()?;
        let idle = millis_of(idle);
        let clock = self.clock();
        let (mut sessions, mut deleted) = (0, Deleted::default());
        let mut passed = Passed::default();
        let (mut old, mut listed_old) = (Vec::new(), Vec::new());
        for entry in self.records.walk() {
            let entry = match entry {
                Ok(entry) => entry,
                Err(unreadable) => {
                    passed.note_unreadable(unreadable);
                    continue;
                }
            };
            if name_of(entry.key()).is_none() {
                continue;
            }
            match codec::head(entry.value()) {
                Ok(Head::Replaced) => continue,
                Ok(Head::Session { stamp, own }) => {
                    sessions += 1;
                    let is_old = stamp.idle(clock.now) >= idle && !clock.is_wrong;
                    if is_old || self.rules.is_over(stamp, own, clock) || ended(&entry, clock) {
                        match has_user(&entry) {
                            true => listed_old.push(entry),
                            false => old.push(entry),
                        }
                    }
                }
                Err(error) => passed.note(Some(entry.key()), error),
            }
            if old.len() == CHUNK {
                self.delete_unlisted(&old, &mut deleted)?;
                old.clear();
            }
            if listed_old.len() == CHUNK {
                self.delete_unchanged(&listed_old, &mut deleted)?;
                listed_old.clear();
            }
        }
        self.delete_unlisted(&old, &mut deleted)?;
        self.delete_unchanged(&listed_old, &mut deleted)?;
        // The sweep is done, whatever becomes of this.
        let _ = self.relist_all();
        let remaining = sessions - deleted.here - deleted.elsewhere;
        passed.answer((deleted.here, remaining), |(gone, remaining)| {
            format!("{}, {remaining} remain", passed::deleted(gone))
        })
    }

    /// Ends those sessions of users that are still as a snapshot saw them.
    fn delete_unchanged(&self, entries: &[Entry], deleted: &mut Deleted) -> Result<()> {
        if entries.is_empty() {
            return Ok(());
        }
        let mut made = Deleted::default();
        self.change(&mut |lists, edits| {
            for entry in entries {
                let key = entry.key();
                match self.records.peek(key)? {
                    None => made.elsewhere += 1,
                    Some(now) if now.value() == entry.value() => {
                        self.end_at(key, None, lists, edits)?;
                    }
                    Some(_) => {}
                }
            }
            made.here = edits.len();
            Ok(Changes::Made)
        })?;
        deleted.here += made.here;
        deleted.elsewhere += made.elsewhere;
        Ok(())
    }

    /// As [`delete_unchanged`](Engine::delete_unchanged), of sessions that are in no list.
    fn delete_unlisted(&self, entries: &[Entry], deleted: &mut Deleted) -> Result<()> {
        let count = self.records.remove_unchanged(entries)?;
        deleted.here += count;
        if count < entries.len() {
            let mut absent = 0;
            for entry in entries {
                absent += usize::from(self.records.peek(entry.key())?.is_none());
            }
            deleted.elsewhere += absent.saturating_sub(count);
        }
        Ok(())
    }

    pub(in crate::session) fn sessions_of(&self, user: &str) -> Result<Vec<Session>> {
        self.check_kind()?;
        let mut sessions = match self.listed_of(user)? {
            Some(sessions) => sessions,
            // A walk is of one moment, whatever others do.
            None => self.iter().of_user(user)?,
        };
        sort_by_number(&mut sessions, |session| session.stamp.accessed);
        Ok(sessions)
    }

    /// A user's sessions by the list, without the lock; `None` if it is not whole, or others change it faster than it
    /// is read.
    fn listed_of(&self, user: &str) -> Result<Option<Vec<Session>>> {
        let Some(mut names) = self.names_of(user)? else {
            return Ok(None);
        };
        for _ in 0..READS {
            let (mut sessions, mut is_missing) = (Vec::new(), false);
            for name in &names {
                match self.session_of(user, name) {
                    Ok(Some(session)) => sessions.push(session),
                    Ok(None) => is_missing = true,
                    Err(error) if error.is_of_one_record() => {}
                    Err(error) => return Err(error),
                }
            }
            // A session that is not there any more may live on under another id.
            if !is_missing {
                return Ok(Some(sessions));
            }
            let Some(again) = self.names_of(user)? else {
                return Ok(None);
            };
            if again == names {
                return Ok(Some(sessions));
            }
            names = again;
        }
        Ok(None)
    }

    /// The session that an entry holds, over or not; `None` if it holds none.
    pub(in crate::session) fn session_in(&self, entry: &Entry) -> Result<Option<Session>> {
        // By a wrong clock none is over.
        let clock = Clock {
            now: 0,
            is_wrong: true,
        };
        listed(entry, &self.rules, clock).map_err(|error| self.at_path(error))
    }

    /// A user's session by its name.
    fn session_of(&self, user: &str, name: &[u8]) -> Result<Option<Session>> {
        let Some(entry) = self.records.peek(&session_key(name))? else {
            return Ok(None);
        };
        let session = listed(&entry, &self.rules, self.clock());
        let session = session.map_err(|error| self.at_path(error))?;
        Ok(session.filter(|session| session.user() == Some(user)))
    }

    /// The names of all sessions of a user at one moment, without the lock; `None` as for
    /// [`listed_of`](Engine::listed_of).
    fn names_of(&self, user: &str) -> Result<Option<Vec<Name>>> {
        let mut before = None;
        for _ in 0..READS {
            let mut lists = Lists::new(&self.records);
            if !lists.is_whole(user)? {
                return Ok(None);
            }
            let places = lists.places(user)?;
            // One part was read at one moment. A name that moves from one part to another is missed if the second was
            // read before the move, and the first after it.
            if places.len() == 1 || before.as_ref() == Some(&places) {
                return lists.names(user).map(Some);
            }
            before = Some(places);
        }
        Ok(None)
    }

    /// Ends the sessions of a user except the one to `keep`, until no other is left.
    pub(in crate::session) fn delete_user(
        &self,
        user: &str,
        keep: Option<&SessionHandle>,
    ) -> Result<usize> {
        self.check_kind()?;
        let is_meant = |name: &Name| {
            let identity = identity_of(&session_key(name));
            identity.is_some_and(|identity| keep != Some(&identity.handle()))
        };
        let (mut deleted, mut passed) = (0, Passed::default());
        loop {
            let (mut found, mut lists) = (None, Lists::new(&self.records));
            if !lists.is_whole(user)? {
                let damage = lists.damage(user)?;
                let walked = self.names_by_walk(user)?;
                (found, passed) = (Some((damage, walked.names)), walked.passed);
            }
            let (mut ended, mut is_all) = (0, false);
            self.records.change(&mut || {
                let (mut lists, mut edits) = (Lists::new(&self.records), Vec::new());
                if let Some((damage, found)) = &found
                    && lists.can_be_mended(user, *damage)?
                {
                    lists.mend(user, found)?;
                }
                let mut names = lists.names(user)?;
                names.retain(is_meant);
                // A whole list names all the user's sessions. If it is not whole, only another round shows that none is
                // left.
                is_all = names.len() <= CHUNK && lists.is_whole(user)?;
                for name in names.iter().take(CHUNK) {
                    let key = session_key(name);
                    ended += usize::from(self.end_at(&key, Some(user), &mut lists, &mut edits)?);
                    lists.remove(user, name)?;
                }
                edits.extend(lists.into_edits());
                Ok(edits)
            })?;
            deleted += ended;
            if is_all {
                return passed.answer(deleted, passed::deleted);
            }
        }
    }

    pub(in crate::session) fn delete_user_session(
        &self,
        user: &str,
        handle: &SessionHandle,
    ) -> Result<bool> {
        self.check_kind()?;
        let mut is_deleted = false;
        self.change(&mut |lists, edits| {
            for name in self.names_to_change(lists, user)? {
                let key = session_key(&name);
                if identity_of(&key).is_some_and(|identity| identity.handle() == *handle) {
                    is_deleted |= self.end_at(&key, Some(user), lists, edits)?;
                }
            }
            Ok(Changes::Made)
        })?;
        Ok(is_deleted)
    }

    /// Ends all sessions whose handle is meant, until a walk finds none. It finds them again under other keys if somebody
    /// hashed the ids meanwhile.
    pub(in crate::session) fn delete_handles(
        &self,
        is_meant: &dyn Fn(SessionHandle) -> bool,
    ) -> Result<Vec<SessionHandle>> {
        self.check_kind()?;
        let meant = |key: &[u8]| {
            let handle = identity_of(key).map(|identity| identity.handle());
            handle.filter(|handle| is_meant(*handle))
        };
        let (mut deleted, mut last) = (Vec::new(), Vec::new());
        loop {
            let mut passed = Passed::default();
            let mut found = Vec::new();
            for entry in self.records.walk() {
                let key = match entry {
                    Ok(entry) if entry.value() == codec::REPLACED => continue,
                    Ok(entry) => entry.into_pair().0,
                    Err(Unreadable { key: Some(key), .. }) => key,
                    Err(unreadable) => {
                        passed.note_unreadable(unreadable);
                        continue;
                    }
                };
                // A record that can't be read, and whose key is another session's, can't be one that is meant.
                if let Some(handle) = meant(&key) {
                    found.push((key, handle));
                }
            }
            if found.is_empty() || found == last {
                return passed.answer(deleted, |deleted| passed::deleted(&deleted.len()));
            }
            for found in found.chunks(CHUNK) {
                let mut ended = Vec::new();
                self.change(&mut |lists, edits| {
                    for (key, handle) in found {
                        if self.end_at(key, None, lists, edits)? {
                            ended.push(*handle);
                        }
                    }
                    Ok(Changes::Made)
                })?;
                deleted.append(&mut ended);
            }
            last = found;
        }
    }

    pub(in crate::session) fn setup(&self, existing: Existing) -> Result<()> {
        match existing {
            Existing::Keep => Ok(()),
            Existing::Overwrite => self.records.clear(),
            Existing::Fail => match self.iter().next().transpose()? {
                None => Ok(()),
                Some(_) => Err(self.at_path(Existing::refuse())),
            },
        }
    }
}

/// Whether a record has ended by what its writer noted.
fn ended(entry: &Entry, clock: Clock) -> bool {
    let end = entry.expires().map(millis_at);
    !clock.is_wrong && end.is_some_and(|end| end <= clock.now)
}

fn has_user(entry: &Entry) -> bool {
    codec::decode(entry.value()).is_ok_and(|session| session.user().is_some())
}

/// The session of an entry, unless it is over, or the entry is no session.
fn listed(entry: &Entry, rules: &Rules, clock: Clock) -> Result<Option<Session>> {
    let Some(identity) = identity_of(entry.key()) else {
        return Ok(None);
    };
    let Head::Session { stamp, own } = codec::head(entry.value())? else {
        return Ok(None);
    };
    if rules.is_over(stamp, own, clock) || ended(entry, clock) {
        return Ok(None);
    }
    let mut session = codec::decode(entry.value())?;
    // Another process may have stored it with a shorter life.
    let recorded = entry.expires().map(millis_at);
    let end = rules.lifetimes_of(own).end(stamp);
    session.end = end.into_iter().chain(recorded).min();
    session.identity = Some(identity);
    Ok(Some(session))
}
