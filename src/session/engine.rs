//! The rules of sessions, over any [`Records`].
//!
//! One record holds one session; its key is the id or, on request, the SHA-256 of the id in hexadecimal digits. Every
//! change is one conditional write that reads the record again under the store's lock, so that no check is outdated
//! when it is acted on:
//!
//! - a session is *stored* only if its id is free, *saved* only if it is still there and of the version that was
//!   loaded, *touched* as it is at that moment, and given a *new id* only if the old one still lives;
//! - a write that is refused writes nothing.
//!
//! So a deleted session can't come back: only a session without an id can create a record, and it draws a new id.

use super::codec::{self, Head};
use super::contents::Contents;
use super::id::{SessionHandle, SessionId, hex, unhex};
use super::lifetime::{Lifetimes, Stamp, millis_at, millis_of, time_at};
use super::outcome::{Existing, Saved, Sessions};
use super::records::Records;
use super::state::{Identity, Session};
use crate::error::{Error, ErrorKind, Result};
use crate::store::change::Edit;
use std::borrow::Cow;
use std::time::Duration;

/// How many entries a bulk deletion holds in memory at once.
const CHUNK: usize = 10_000;

/// How often an id is drawn before the random source is given up. The second draw never happens with a sound one.
const DRAWS: usize = 8;

/// How long an id is remembered to have been replaced by another.
const REPLACED_FOR: u64 = 60_000;

#[derive(Debug, Clone, Copy)]
pub(super) struct Rules {
    pub(super) lifetimes: Lifetimes,
    /// A touch this soon after the last use writes nothing.
    pub(super) resolution: u64,
    pub(super) hash_ids: bool,
}

impl Rules {
    /// The lifetimes that hold for a session with these of its own.
    fn lifetimes_of(&self, own: Option<Lifetimes>) -> Lifetimes {
        own.unwrap_or(self.lifetimes)
    }

    /// Whether it is time to note that a session is used.
    fn is_due(&self, stamp: Stamp, own: Option<Lifetimes>, now: u64) -> bool {
        let idle = self.lifetimes_of(own).idle;
        let resolution = idle.map_or(self.resolution, |idle| self.resolution.min(idle / 10));
        stamp.is_ahead(now) || stamp.idle(now) >= resolution
    }
}

#[derive(Debug)]
pub(super) struct Engine<R> {
    pub(super) records: R,
    pub(super) rules: Rules,
}

impl<R: Records + 'static> Engine<R> {
    pub(super) fn load(&self, id: &SessionId) -> Result<Option<Session>> {
        let Some(stored) = self.records.get(&self.key_of(id))? else {
            return Ok(None);
        };
        if self.live_stamp(&stored, self.now())?.is_none() {
            return Ok(None);
        }
        self.decode(Some(Identity::Id(id.clone())), &stored)
            .map(Some)
    }

    pub(super) fn has(&self, id: &SessionId) -> Result<bool> {
        let stored = self.records.get(&self.key_of(id))?;
        Ok(match stored {
            Some(stored) => self.live_stamp(&stored, self.now())?.is_some(),
            None => false,
        })
    }

    pub(super) fn was_replaced(&self, id: &SessionId) -> Result<bool> {
        let stored = self.records.get(&self.key_of(id))?;
        Ok(stored.is_some_and(|stored| matches!(codec::head(&stored), Ok(Head::Replaced))))
    }

    pub(super) fn save(&self, session: &mut Session) -> Result<Saved> {
        let key = match &session.identity {
            Some(identity) => self.key(identity).into_owned(),
            None if session.has_info() => return self.store_new(session),
            None => return Ok(Saved::Empty),
        };
        if !session.modified {
            return Ok(match self.touch_at(&key)? {
                // The version stays that of the copy: others may have changed the session since.
                Some((stamp, own)) => {
                    session.stamp.accessed = stamp.accessed;
                    session.end = self.rules.lifetimes_of(own).end(stamp);
                    Saved::Stored
                }
                None => Saved::Gone,
            });
        }
        let (saved, next) = self.records.edit(&key, |stored| {
            let now = self.now();
            let Some((stored, stamp, _)) = self.live(stored, now)? else {
                return Ok((Edit::Keep, (Saved::Gone, None)));
            };
            if stamp.version != session.stamp.version {
                let current = self.decode(session.identity.clone(), stored)?;
                return Ok((Edit::Keep, (Saved::Conflict(Box::new(current)), None)));
            }
            if !session.has_info() {
                return Ok((Edit::Remove, (Saved::Empty, None)));
            }
            let (edit, next) = self.put(session, stamp.changed(now), now)?;
            Ok((edit, (Saved::Stored, Some(next))))
        })?;
        match next {
            Some(next) => *session = next,
            None if matches!(saved, Saved::Empty) => session.is_new_again(),
            None => {}
        }
        Ok(saved)
    }

    fn store_new(&self, session: &mut Session) -> Result<Saved> {
        for _ in 0..DRAWS {
            let identity = self.draw()?;
            let next = self.records.edit(&self.key(&identity), |taken| {
                if taken.is_some() {
                    return Ok((Edit::Keep, None));
                }
                let now = self.now();
                let (edit, next) = self.put(session, session.stamp.changed(now), now)?;
                Ok((edit, Some(next)))
            })?;
            if let Some(next) = next {
                *session = next;
                session.identity = Some(identity);
                return Ok(Saved::Stored);
            }
        }
        Err(no_free_id())
    }

    pub(super) fn regenerate(&self, session: &mut Session) -> Result<Saved> {
        let old_key = match &session.identity {
            Some(identity) if session.has_info() => self.key(identity).into_owned(),
            _ => return self.save(session),
        };
        for _ in 0..DRAWS {
            let identity = self.draw()?;
            let new_key = self.key(&identity);
            let keys = [old_key.as_slice(), new_key.as_ref()];
            let outcome = self.records.edit_pair(keys, |[stored, taken]| {
                let now = self.now();
                let Some((stored, stamp, _)) = self.live(stored, now)? else {
                    let kept = [Edit::Keep, Edit::Keep];
                    return Ok((kept, Outcome::Refused(Saved::Gone)));
                };
                if taken.is_some() {
                    return Ok(([Edit::Keep, Edit::Keep], Outcome::Taken));
                }
                let mut moved = self.decode(session.identity.clone(), stored)?;
                if session.modified && stamp.version != session.stamp.version {
                    let conflict = Saved::Conflict(Box::new(moved));
                    return Ok(([Edit::Keep, Edit::Keep], Outcome::Refused(conflict)));
                }
                let mut stamp = stamp.changed(now);
                if session.modified {
                    if session.confirming || session.user() != moved.user() {
                        stamp.created = now;
                    }
                    moved = session.clone();
                }
                let (edit, moved) = self.put(&moved, stamp, now)?;
                Ok(([replaced(now), edit], Outcome::Moved(Box::new(moved))))
            })?;
            match outcome {
                Outcome::Taken => {}
                Outcome::Refused(saved) => return Ok(saved),
                Outcome::Moved(moved) => {
                    *session = *moved;
                    session.identity = Some(identity);
                    return Ok(Saved::Stored);
                }
            }
        }
        Err(no_free_id())
    }

    pub(super) fn edit(
        &self,
        id: &SessionId,
        change: &mut dyn FnMut(&mut Session) -> Result<()>,
    ) -> Result<Option<Session>> {
        let identity = Some(Identity::Id(id.clone()));
        self.records.edit(&self.key_of(id), |stored| {
            let now = self.now();
            let Some((stored, stamp, own)) = self.live(stored, now)? else {
                return Ok((Edit::Keep, None));
            };
            let mut session = self.decode(identity.clone(), stored)?;
            change(&mut session)?;
            // Whatever became of the copy, perhaps another one took its place: this is what is stored under this id.
            session.identity = identity;
            if !session.has_info() {
                session.is_new_again();
                return Ok((Edit::Remove, Some(session)));
            }
            let unchanged = !session.confirming && codec::encode(&session, stamp)? == stored;
            if !unchanged {
                let (edit, session) = self.put(&session, stamp.changed(now), now)?;
                return Ok((edit, Some(session)));
            }
            let (edit, stamp) = self.touched(stored, stamp, own, now)?;
            session.is_stored(stamp, self.rules.lifetimes_of(own).end(stamp));
            Ok((edit, Some(session)))
        })
    }

    pub(super) fn touch(&self, id: &SessionId) -> Result<bool> {
        let touched = self.touch_at(&self.key_of(id))?;
        Ok(touched.is_some())
    }

    fn touch_at(&self, key: &[u8]) -> Result<Option<(Stamp, Option<Lifetimes>)>> {
        // Most touches come soon after the last one: they take no lock.
        let Some(stored) = self.records.get(key)? else {
            return Ok(None);
        };
        let now = self.now();
        match self.live_stamp(&stored, now)? {
            Some((stamp, own)) if self.rules.is_due(stamp, own, now) => {}
            as_it_is => return Ok(as_it_is),
        }
        self.records.edit(key, |stored| {
            let now = self.now();
            let Some((stored, stamp, own)) = self.live(stored, now)? else {
                return Ok((Edit::Keep, None));
            };
            let (edit, stamp) = self.touched(stored, stamp, own, now)?;
            Ok((edit, Some((stamp, own))))
        })
    }

    pub(super) fn delete(&self, id: &SessionId) -> Result<bool> {
        self.records.edit(&self.key_of(id), |stored| {
            // What can't be read can still be deleted.
            Ok(match stored {
                Some(stored) if !matches!(codec::head(stored), Ok(Head::Replaced)) => {
                    (Edit::Remove, true)
                }
                _ => (Edit::Keep, false),
            })
        })
    }

    pub(super) fn iter(&self) -> Sessions {
        let rules = self.rules;
        let now = self.now();
        let path = self.records.path().map(ToOwned::to_owned);
        Sessions::new(self.records.entries().filter_map(move |entry| {
            let session = entry.and_then(|entry| listed::<R>(&entry, &rules, now));
            let session = session.map_err(|error| match &path {
                Some(path) if error.path().is_none() => error.at(path),
                _ => error,
            });
            session.transpose()
        }))
    }

    pub(super) fn delete_old(&self, idle: Duration) -> Result<(usize, usize)> {
        let idle = millis_of(idle);
        let now = self.now();
        let (mut sessions, mut deleted) = (0, 0);
        let mut old = Vec::new();
        for entry in self.records.entries() {
            let entry = entry?;
            if identity_of(R::key(&entry)).is_none() {
                continue;
            }
            // What can't be read stays, for somebody to look at; it must not stop the daily job.
            match codec::head(R::value(&entry)) {
                Ok(Head::Replaced) => continue,
                Ok(Head::Session { stamp, own })
                    if stamp.idle(now) >= idle
                        || self.rules.lifetimes_of(own).is_over(stamp, now) =>
                {
                    old.push(entry);
                }
                _ => {}
            }
            sessions += 1;
            if old.len() == CHUNK {
                deleted += self.records.remove_unchanged(&old)?;
                old.clear();
            }
        }
        deleted += self.records.remove_unchanged(&old)?;
        Ok((deleted, sessions - deleted))
    }

    pub(super) fn delete_user(&self, user: &str) -> Result<usize> {
        self.delete_all(&|_, stored| {
            codec::decode(stored).is_ok_and(|session| session.user() == Some(user))
        })
    }

    pub(super) fn delete_handle(&self, handle: SessionHandle) -> Result<usize> {
        self.delete_all(&|identity, _| identity.handle() == handle)
    }

    /// Deletes until a snapshot has none: a session that was given another id meanwhile is found by the next one.
    fn delete_all(&self, doomed: &dyn Fn(&Identity, &[u8]) -> bool) -> Result<usize> {
        let mut deleted = 0;
        loop {
            let mut found = Vec::new();
            let mut any = false;
            for entry in self.records.entries() {
                let entry = entry?;
                let identity = identity_of(R::key(&entry));
                if identity.is_some_and(|identity| doomed(&identity, R::value(&entry))) {
                    any = true;
                    found.push(entry);
                }
                if found.len() == CHUNK {
                    deleted += self.delete_found(&found, doomed)?;
                    found.clear();
                }
            }
            deleted += self.delete_found(&found, doomed)?;
            if !any {
                return Ok(deleted);
            }
        }
    }

    fn delete_found(
        &self,
        found: &[R::Entry],
        doomed: &dyn Fn(&Identity, &[u8]) -> bool,
    ) -> Result<usize> {
        let mut deleted = self.records.remove_unchanged(found)?;
        if deleted == found.len() {
            return Ok(deleted);
        }
        // Some were used since the snapshot. A busy session must not escape by that.
        for entry in found {
            let key = R::key(entry);
            let removed = self.records.edit(key, |stored| {
                let identity = identity_of(key);
                let still = identity
                    .zip(stored)
                    .is_some_and(|(identity, stored)| doomed(&identity, stored));
                Ok((if still { Edit::Remove } else { Edit::Keep }, still))
            })?;
            deleted += usize::from(removed);
        }
        Ok(deleted)
    }

    pub(super) fn setup(&self, existing: Existing) -> Result<()> {
        match existing {
            Existing::Keep => Ok(()),
            Existing::Overwrite => self.records.clear(),
            Existing::Fail => match self.iter().next().transpose()? {
                None => Ok(()),
                Some(_) => Err(self.at_path(
                    Error::new(ErrorKind::AlreadyExists, "the store already has sessions")
                        .advise("keep or overwrite them"),
                )),
            },
        }
    }

    fn now(&self) -> u64 {
        millis_at(self.records.now())
    }

    fn draw(&self) -> Result<Identity> {
        SessionId::draw(|bytes| self.records.random(bytes)).map(Identity::Id)
    }

    /// The record's key.
    fn key<'a>(&self, identity: &'a Identity) -> Cow<'a, [u8]> {
        match identity {
            Identity::Id(id) => self.key_of(id),
            Identity::Hash(hash) => hex(hash).into_bytes().into(),
        }
    }

    fn key_of<'a>(&self, id: &'a SessionId) -> Cow<'a, [u8]> {
        match self.rules.hash_ids {
            true => hex(&id.hash()).into_bytes().into(),
            false => id.as_str().as_bytes().into(),
        }
    }

    /// What stores the session with this stamp, and the session as it is then.
    fn put(&self, session: &Session, stamp: Stamp, now: u64) -> Result<(Edit, Session)> {
        let mut next = session.settled(now);
        let end = self.end_of(&next.contents, stamp);
        let edit = Edit::Put {
            value: codec::encode(&next, stamp)?,
            expires: end.and_then(time_at),
            cbor: true,
        };
        next.is_stored(stamp, end);
        Ok((edit, next))
    }

    fn end_of(&self, contents: &Contents, stamp: Stamp) -> Option<u64> {
        self.rules.lifetimes_of(contents.lifetimes).end(stamp)
    }

    /// What to do about a use of the session that is stored, and the stamp that it has then.
    fn touched(
        &self,
        stored: &[u8],
        stamp: Stamp,
        own: Option<Lifetimes>,
        now: u64,
    ) -> Result<(Edit, Stamp)> {
        if !self.rules.is_due(stamp, own, now) {
            return Ok((Edit::Keep, stamp));
        }
        let stamp = stamp.used(now);
        let (edit, _) = self.put(&codec::decode(stored)?, stamp, now)?;
        Ok((edit, stamp))
    }

    /// The stored session, unless it is absent or over.
    fn live<'a>(&self, stored: Option<&'a [u8]>, now: u64) -> Result<Option<Live<'a>>> {
        let Some(stored) = stored else {
            return Ok(None);
        };
        let live = self.live_stamp(stored, now)?;
        Ok(live.map(|(stamp, own)| (stored, stamp, own)))
    }

    fn live_stamp(&self, stored: &[u8], now: u64) -> Result<Option<(Stamp, Option<Lifetimes>)>> {
        let head = codec::head(stored).map_err(|error| self.at_path(error))?;
        Ok(match head {
            Head::Session { stamp, own } if !self.rules.lifetimes_of(own).is_over(stamp, now) => {
                Some((stamp, own))
            }
            Head::Session { .. } | Head::Replaced => None,
        })
    }

    fn decode(&self, identity: Option<Identity>, stored: &[u8]) -> Result<Session> {
        let mut session = codec::decode(stored).map_err(|error| self.at_path(error))?;
        session.identity = identity;
        session.end = self.end_of(&session.contents, session.stamp);
        Ok(session)
    }

    fn at_path(&self, error: Error) -> Error {
        match self.records.path() {
            Some(path) => error.at(path),
            None => error,
        }
    }
}

/// A stored session that is not over: its bytes, its stamp, the lifetimes of its own.
type Live<'a> = (&'a [u8], Stamp, Option<Lifetimes>);

/// The session of an entry, unless it is over, or the entry is no session.
fn listed<R: Records>(entry: &R::Entry, rules: &Rules, now: u64) -> Result<Option<Session>> {
    let Some(identity) = identity_of(R::key(entry)) else {
        return Ok(None);
    };
    let Head::Session { stamp, own } = codec::head(R::value(entry))? else {
        return Ok(None);
    };
    let lifetimes = rules.lifetimes_of(own);
    if lifetimes.is_over(stamp, now) {
        return Ok(None);
    }
    let mut session = codec::decode(R::value(entry))?;
    // Another process may have stored it with a shorter life.
    let recorded = R::expires(entry).map(millis_at);
    session.end = lifetimes.end(stamp).into_iter().chain(recorded).min();
    session.identity = Some(identity);
    Ok(Some(session))
}

/// What stays under an id that was replaced. It says nothing of the other id.
fn replaced(now: u64) -> Edit {
    Edit::Put {
        value: codec::REPLACED.to_vec(),
        expires: time_at(now.saturating_add(REPLACED_FOR)),
        cbor: true,
    }
}

enum Outcome {
    /// The new id is somebody else's: draw another.
    Taken,
    Refused(Saved),
    Moved(Box<Session>),
}

/// Whose session a record is; `None` if it is no session's, but something else that the application keeps there.
fn identity_of(key: &[u8]) -> Option<Identity> {
    unhex(key)
        .map(Identity::Hash)
        .or_else(|| SessionId::parse(key).map(Identity::Id))
}

fn no_free_id() -> Error {
    Error::new(
        ErrorKind::Io,
        "the operating system's random source repeats itself",
    )
    .advise("check /dev/urandom")
}

#[cfg(test)]
mod tests;
