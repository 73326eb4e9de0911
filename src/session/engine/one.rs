//! One session: loaded, saved, changed, used, given a new id, deleted.
//!
//! Every change is one conditional write that reads the record again under the store's lock, so that no check is outdated
//! when it is acted on:
//!
//! - a new session is *stored* only if its id is free, a copy *saved* only over the version that was loaded, a session
//!   *edited* or *touched* as it is at that moment, and given a *new id* only if the old one still lives;
//! - a write that is refused writes nothing;
//! - the [`list`](super::super::list) of the user's sessions changes in the same batch.
//!
//! So a deleted session can't come back: a call of this file stores a session only under an id that has a live one, or
//! under an id that it has just drawn. (`import` and `put_back` bring sessions back on purpose.)

use super::super::codec::{self, Head};
use super::super::contents::Contents;
use super::super::id::{Identity, SessionHandle, SessionId};
use super::super::lifetime::{Clock, Lifetimes, Stamp, millis_at, time_at};
use super::super::list::{Lists, hour_of};
use super::super::outcome::{Saved, SessionCap};
use super::super::record_key::{identity_of, session_key};
use super::super::records::{Edits, Records};
use super::super::state::Session;
use super::Engine;
use super::listing::Changes;
use crate::error::{Error, Result};
use crate::store::change::Edit;
use crate::store::order::sort_by_number;
use std::sync::Arc;
use std::time::SystemTime;

/// How often an id is drawn before the random source counts as broken. A sound one never needs a second draw.
const DRAWS: usize = 8;

/// The time for which an id is remembered to have been replaced by another.
const REPLACED_MS: u64 = 60_000;

/// The decision of a change about a session's record.
enum Fate {
    Keep,
    Put {
        next: Session,
        before: Arc<Contents>,
    },
    Remove {
        before: Arc<Contents>,
    },
}

/// Decides about a session, from its record as it is by now.
type Decide<'a> = dyn FnMut(Option<&[u8]>, Clock) -> Result<Fate> + 'a;

/// The outcome for a session that was to get an id.
enum Outcome {
    /// Another session has the id that was drawn: draw again.
    Taken,
    Refused(Saved),
    Stored(Box<Session>),
}

impl Engine<dyn Records> {
    pub(in crate::session) fn load(&self, id: &SessionId) -> Result<Option<Session>> {
        let stored = self.get(id)?;
        let live = self.live(stored.as_deref(), self.clock())?;
        live.map(|(stored, ..)| self.decode(Some(Identity::Id(id.clone())), stored))
            .transpose()
    }

    pub(in crate::session) fn has(&self, id: &SessionId) -> Result<bool> {
        let stored = self.get(id)?;
        Ok(self.live(stored.as_deref(), self.clock())?.is_some())
    }

    pub(in crate::session) fn was_replaced(&self, id: &SessionId) -> Result<bool> {
        let stored = match self.get(id) {
            // A record that can't be read says no more of it than one that is no session.
            Err(error) if error.is_corrupt() => None,
            stored => stored?,
        };
        Ok(stored.is_some_and(|stored| matches!(codec::head(&stored), Ok(Head::Replaced))))
    }

    fn get(&self, id: &SessionId) -> Result<Option<Vec<u8>>> {
        self.get_at(&self.kind()?.key_of(id))
    }

    fn get_at(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        let stored = self.records.get(key)?;
        if stored.is_none() {
            self.check_kind()?;
        }
        Ok(stored)
    }

    pub(in crate::session) fn save(&self, session: &mut Session) -> Result<Saved> {
        let key = match &session.identity {
            Some(identity) => self.kind()?.key(identity),
            None if session.has_info() => return self.establish(session, None),
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
        let (mut saved, mut next) = (Saved::Gone, None);
        self.transact(&key, &mut |stored, clock| {
            (saved, next) = (Saved::Gone, None);
            let Some((stored, stamp, _)) = self.live(stored, clock)? else {
                return Ok(Fate::Keep);
            };
            if stamp.version != session.stamp.version {
                let current = self.decode(session.identity.clone(), stored)?;
                saved = Saved::Conflict(Box::new(current));
                return Ok(Fate::Keep);
            }
            let before = Arc::clone(&session.base);
            if !session.has_info() {
                saved = Saved::Empty;
                return Ok(Fate::Remove { before });
            }
            saved = Saved::Stored;
            let stored = next.insert(self.next(session, stamp.changed(clock), clock));
            Ok(Fate::Put {
                next: stored.clone(),
                before,
            })
        })?;
        match next {
            Some(next) => *session = next,
            None if matches!(saved, Saved::Empty) => session.mark_new(),
            None => {}
        }
        Ok(saved)
    }

    pub(in crate::session) fn regenerate(
        &self,
        session: &mut Session,
        cap: Option<SessionCap>,
    ) -> Result<Saved> {
        match session.has_info() {
            true => self.establish(session, cap),
            false => self.save(session),
        }
    }

    /// Stores a session under a new id, and ends the id that it had.
    fn establish(&self, session: &mut Session, cap: Option<SessionCap>) -> Result<Saved> {
        for _ in 0..DRAWS {
            let identity = Identity::Id(SessionId::draw(|bytes| self.records.random(bytes))?);
            let mut outcome = Outcome::Taken;
            self.change(&mut |lists, edits| {
                let clock = self.clock();
                let kind = self.kind_to_store(edits)?;
                let key = kind.key(&identity);
                let old_key = session.identity.as_ref().map(|old| kind.key(old));
                let moved = match &old_key {
                    None => Ok(self.next(session, session.stamp.changed(clock), clock)),
                    Some(old_key) => self.moved(session, old_key, clock, lists, edits)?,
                };
                let mut next = match moved {
                    Ok(next) => next,
                    Err(saved) => {
                        outcome = Outcome::Refused(saved);
                        return Ok(Changes::Dropped);
                    }
                };
                next.identity = Some(identity.clone());
                // An id whose session has ended, or can't be read, is taken as well.
                match self.records.peek(&key) {
                    Ok(None) => {}
                    Err(error) if !error.is_corrupt() => return Err(error),
                    _ => return Ok(Changes::Dropped),
                }
                if let Some(cap) = cap {
                    match self.make_room(cap, &next, old_key.as_deref(), lists, edits)? {
                        Some(displaced) => next.displaced = displaced,
                        None => {
                            outcome = Outcome::Refused(Saved::Full);
                            return Ok(Changes::Dropped);
                        }
                    }
                }
                self.relist(lists, &key, None, Some(&next))?;
                edits.push((key, self.put(&next, None)?));
                outcome = Outcome::Stored(Box::new(next));
                Ok(Changes::Made)
            })?;
            match outcome {
                Outcome::Taken => {}
                Outcome::Refused(saved) => return Ok(saved),
                Outcome::Stored(stored) => {
                    *session = *stored;
                    return Ok(Saved::Stored);
                }
            }
        }
        Err(Error::random_repeats())
    }

    /// The session as it leaves its old id, or why it can't.
    fn moved(
        &self,
        session: &Session,
        old_key: &[u8],
        clock: Clock,
        lists: &mut Lists<'_>,
        edits: &mut Edits,
    ) -> Result<std::result::Result<Session, Saved>> {
        let stored = self.records.get(old_key)?;
        let Some((stored, stamp, _)) = self.live(stored.as_deref(), clock)? else {
            return Ok(Err(Saved::Gone));
        };
        let current = self.decode(session.identity.clone(), stored)?;
        if session.modified && stamp.version != session.stamp.version {
            return Ok(Err(Saved::Conflict(Box::new(current))));
        }
        self.relist(lists, old_key, Some(&current.base), None)?;
        edits.push((old_key.to_vec(), replaced(clock)));
        let mut stamp = stamp.changed(clock);
        if !session.modified {
            return Ok(Ok(self.next(&current, stamp, clock)));
        }
        // A login begins a new absolute lifetime.
        let is_login = session.confirming || session.user() != current.user();
        if is_login && !clock.is_wrong {
            stamp.created = clock.now;
        }
        Ok(Ok(self.next(session, stamp, clock)))
    }

    /// Ends as many sessions of the user as the cap asks for before `next` is stored, and returns their handles; `None`
    /// if the cap refuses `next`. The session under the `old` key does not count: `next` takes its place.
    fn make_room(
        &self,
        cap: SessionCap,
        next: &Session,
        old: Option<&[u8]>,
        lists: &mut Lists<'_>,
        edits: &mut Edits,
    ) -> Result<Option<Vec<SessionHandle>>> {
        let mut displaced = Vec::new();
        let Some(user) = next.user() else {
            return Ok(Some(displaced));
        };
        let mut others = Vec::new();
        for name in self.names_to_change(lists, user)? {
            let key = session_key(&name);
            // The old session's name left the list already, and is back only if the list was mended just now.
            if old == Some(&*key) {
                continue;
            }
            // Nobody is logged in with a session that is damaged.
            let stored = self.undamaged(&key)?;
            if let Ok(Some((stored, stamp, _))) = self.live(stored.as_deref(), self.clock())
                && codec::decode(stored).is_ok_and(|other| other.user() == Some(user))
            {
                others.push((stamp.accessed, name));
            }
        }
        let most = match cap {
            SessionCap::Refuse(most) => return Ok((others.len() < most).then_some(displaced)),
            SessionCap::EndOldest(most) => most.saturating_sub(1),
        };
        sort_by_number(&mut others, |(accessed, _)| *accessed);
        let beyond = others.len().saturating_sub(most);
        for (_, name) in others.into_iter().take(beyond) {
            lists.remove(user, &name)?;
            let key = session_key(&name);
            displaced.extend(identity_of(&key).map(|identity| identity.handle()));
            edits.push((key, Edit::Remove));
        }
        Ok(Some(displaced))
    }

    pub(in crate::session) fn edit(
        &self,
        id: &SessionId,
        change: &mut dyn FnMut(&mut Session) -> Result<()>,
    ) -> Result<Option<Session>> {
        let identity = Some(Identity::Id(id.clone()));
        let mut answer = None;
        self.transact(&self.kind()?.key_of(id), &mut |stored, clock| {
            answer = None;
            let Some((stored, stamp, own)) = self.live(stored, clock)? else {
                return Ok(Fate::Keep);
            };
            let mut session = self.decode(identity.clone(), stored)?;
            let before = Arc::clone(&session.base);
            change(&mut session)?;
            // The application may have put another copy in the place of this one: it is stored under this id all the
            // same.
            session.identity.clone_from(&identity);
            if !session.has_info() {
                session.mark_new();
                answer = Some(session);
                return Ok(Fate::Remove { before });
            }
            let is_changed = session.confirming || session.contents != before;
            let stamp = match is_changed {
                true => stamp.changed(clock),
                false if self.rules.is_due(stamp, own, clock) => stamp.used(clock),
                false => {
                    session.mark_stored(stamp, self.rules.lifetimes_of(own).end(stamp));
                    answer = Some(session);
                    return Ok(Fate::Keep);
                }
            };
            let next = answer.insert(self.next(&session, stamp, clock));
            Ok(Fate::Put {
                next: next.clone(),
                before,
            })
        })?;
        Ok(answer)
    }

    pub(in crate::session) fn touch(&self, id: &SessionId) -> Result<bool> {
        let touched = self.touch_at(&self.kind()?.key_of(id))?;
        Ok(touched.is_some())
    }

    fn touch_at(&self, key: &[u8]) -> Result<Option<(Stamp, Option<Lifetimes>)>> {
        // Most touches come soon after the last one: they take no lock.
        let stored = self.get_at(key)?;
        let clock = self.clock();
        match self.live(stored.as_deref(), clock)? {
            Some((_, stamp, own)) if self.rules.is_due(stamp, own, clock) => {}
            as_it_is => return Ok(as_it_is.map(|(_, stamp, own)| (stamp, own))),
        }
        let mut touched = None;
        self.transact(key, &mut |stored, clock| {
            touched = None;
            let Some((stored, mut stamp, own)) = self.live(stored, clock)? else {
                return Ok(Fate::Keep);
            };
            let mut fate = Fate::Keep;
            if self.rules.is_due(stamp, own, clock) {
                stamp = stamp.used(clock);
                let current = self.decode(None, stored)?;
                fate = Fate::Put {
                    next: self.next(&current, stamp, clock),
                    before: Arc::clone(&current.base),
                };
            }
            touched = Some((stamp, own));
            Ok(fate)
        })?;
        Ok(touched)
    }

    /// Deletes a session, also one that has ended, and one that can't be read.
    pub(in crate::session) fn delete(&self, id: &SessionId) -> Result<bool> {
        let key = self.kind()?.key_of(id);
        let mut is_deleted = false;
        self.change(&mut |lists, edits| {
            is_deleted = self.end_at(&key, None, lists, edits)?;
            if !is_deleted {
                self.check_kind()?;
            }
            Ok(Changes::Made)
        })?;
        Ok(is_deleted)
    }

    /// Ends the session of a key; with a `user`, only if it is that user's. A record that can't be read is taken for the
    /// user's, whose list named it.
    pub(super) fn end_at(
        &self,
        key: &[u8],
        user: Option<&str>,
        lists: &mut Lists<'_>,
        edits: &mut Edits,
    ) -> Result<bool> {
        let stored = match self.records.peek(key) {
            Ok(Some(stored)) => stored.into_pair().1,
            Ok(None) => return Ok(false),
            // It is removed all the same.
            Err(error) if error.is_corrupt() => Vec::new(),
            Err(error) => return Err(error),
        };
        if stored == codec::REPLACED {
            return Ok(false);
        }
        if let Ok(session) = codec::decode(&stored) {
            if user.is_some_and(|user| session.user() != Some(user)) {
                return Ok(false);
            }
            self.relist(lists, key, Some(&session.base), None)?;
        }
        edits.push((key.to_vec(), Edit::Remove));
        Ok(true)
    }

    /// Changes one session as `decide` says. Where a list of sessions has to change as well, `decide` is called a second
    /// time, under a new lock: only its last answer counts.
    fn transact(&self, key: &[u8], decide: &mut Decide<'_>) -> Result<()> {
        // Most changes move no list.
        let mut moves = false;
        self.records.edit(key, &mut |old| {
            if old.is_none() {
                self.check_kind()?;
            }
            let fate = decide(old.map(|old| old.value), self.clock())?;
            moves = moves_lists(&fate, old.and_then(|old| old.expires));
            match &fate {
                Fate::Put { next, before } if !moves => self.put(next, Some(before)),
                Fate::Remove { .. } if !moves => Ok(Edit::Remove),
                _ => Ok(Edit::Keep),
            }
        })?;
        if !moves {
            return Ok(());
        }
        self.change(&mut |lists, edits| {
            let stored = self.records.get(key)?;
            let fate = decide(stored.as_deref(), self.clock())?;
            let edit = match &fate {
                Fate::Keep => return Ok(Changes::Dropped),
                Fate::Put { next, before } => {
                    self.relist(lists, key, Some(before), Some(next))?;
                    self.put(next, Some(before))?
                }
                Fate::Remove { before } => {
                    self.relist(lists, key, Some(before), None)?;
                    Edit::Remove
                }
            };
            edits.push((key.to_vec(), edit));
            Ok(Changes::Made)
        })
    }
}

/// Whether lists change with the record of a session; `end` is that of the record that is replaced.
fn moves_lists(fate: &Fate, end: Option<SystemTime>) -> bool {
    match fate {
        Fate::Keep => false,
        Fate::Remove { before } => before.user.is_some(),
        Fate::Put { next, before } if before.user.as_deref() == next.user() => {
            next.user().is_some() && hour_of(next.end) > hour_of(end.map(millis_at))
        }
        Fate::Put { .. } => true,
    }
}

/// The record under an id that was replaced. It says nothing of the other id.
fn replaced(clock: Clock) -> Edit {
    Edit::Put {
        value: codec::REPLACED.to_vec(),
        expires: time_at(clock.now.saturating_add(REPLACED_MS)),
        cbor: true,
    }
}
