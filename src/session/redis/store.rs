//! The rules of sessions, by scripts in place of locks.
//!
//! The rules are those that files and memory have, with two differences. The clock is the server's, so that a session
//! ends for all machines at the same moment. And a change is not made under a lock: it is made on a copy, and the script
//! that stores it refuses if the stored version is not the copy's.

mod bulk;
pub(super) mod turn;

use super::super::engine::Rules;
use super::super::id::{Identity, SessionId};
use super::super::lifetime::{Stamp, millis_at, time_at};
use super::super::outcome::Saved;
use super::super::state::Session;
use super::client::{Answer, Client, Command};
use super::connection;
use super::keys::{Keys, RedisKey};
use super::randomness::Randomness;
use super::record::{self, Head, millis};
use super::reply::{Bounds, Reply};
use super::scripts::{self, HEAD_BYTES, MARK_BYTES, NEVER, Script};
use crate::error::{Error, Result};
use crate::store::disk::{Disk, os::OsDisk};
use std::cell::RefCell;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// How often an id is drawn before the random source is given up. The second draw never happens with a sound one.
const DRAWS: usize = 8;

/// An update that lost the race more often waits a little, so that not all come back at once.
const TRIES_AT_ONCE: usize = 3;

/// Of the contents of a session.
const BYTES_MAX: usize = 16 << 20;

/// A value, or an answer that holds one.
const VALUE: Bounds = Bounds::new(BYTES_MAX + HEAD_BYTES + MARK_BYTES, 10, 1);

/// An answer of a few numbers.
pub(super) const NUMBERS: Bounds = Bounds::new(64, 10, 1);

thread_local! {
    /// The stores whose updates run on this thread, by where they are.
    static EDITING: RefCell<Vec<usize>> = const { RefCell::new(Vec::new()) };
}

#[derive(Debug)]
pub(super) struct Store {
    pub(super) client: Client,
    pub(super) keys: Keys,
    pub(super) rules: Rules,
    pub(super) randomness: Randomness,
}

/// The fate of a changed copy.
enum Put {
    Gone,
    /// The value that is stored instead.
    Conflict(Vec<u8>),
    Stored(Written),
    /// It had nothing worth keeping.
    Ended,
}

/// A write that the server has made.
struct Written {
    stamp: Stamp,
    mark: Option<[u8; 8]>,
}

/// The outcome for a session that was to be deleted if it is as it was seen.
pub(super) enum Deleted {
    Absent,
    Done,
    Changed,
}

impl Store {
    pub(super) fn load(&self, id: &SessionId) -> Result<Option<Session>> {
        match self.value(&self.keys.of_id(id), self.client.deadline())? {
            Some(value) => record::session(&value, Identity::Id(id.clone())),
            None => Ok(None),
        }
    }

    pub(super) fn has(&self, id: &SessionId) -> Result<bool> {
        let key = self.keys.of_id(id);
        let command = Command::plain("GETRANGE", &key, NUMBERS)
            .with(b"0")
            .with(b"5");
        let version = bulk(self.client.call(&command)?)?;
        Ok(version.iter().any(|byte| *byte != 0))
    }

    pub(super) fn was_replaced(&self, id: &SessionId) -> Result<bool> {
        let head = bulk(self.client.call(&head_of(&self.keys.of_id(id)))?)?;
        Ok(record::head(&head).is_ok_and(|(head, _)| head == Head::Tombstone { moved: true }))
    }

    pub(super) fn save(&self, session: &mut Session) -> Result<Saved> {
        self.check_not_editing()?;
        let until = self.client.deadline();
        let key = match &session.identity {
            Some(identity) => self.keys.of_identity(identity),
            None if session.has_info() => return self.create(session, until),
            None => return Ok(Saved::Empty),
        };
        if !session.modified {
            return Ok(match self.touch_key(&key, until)? {
                // The version stays that of the copy: others may have changed the session since.
                Some((stamp, end)) => {
                    session.stamp.accessed = stamp.accessed;
                    session.end = end;
                    Saved::Stored
                }
                None => Saved::Gone,
            });
        }
        let next = self.settled(session, until)?;
        Ok(match self.put(&key, &next, until)? {
            Put::Gone => Saved::Gone,
            Put::Conflict(value) => self.conflict(&value, session)?,
            Put::Stored(written) => {
                *session = self.stored(next, written);
                Saved::Stored
            }
            Put::Ended => {
                session.mark_new();
                Saved::Empty
            }
        })
    }

    fn create(&self, session: &mut Session, until: Duration) -> Result<Saved> {
        let mut next = self.settled(session, until)?;
        let body = self.body(&next)?;
        let lifetimes = self.rules.lifetimes_of(next.contents.lifetimes);
        for _ in 0..DRAWS {
            let identity = Identity::Id(SessionId::draw(|bytes| self.randomness.fill(bytes))?);
            let command = self
                .command(&scripts::CREATE, &self.keys.of_identity(&identity), NUMBERS)?
                .with_lifetimes(lifetimes)
                .with(&body);
            match *numbers(self.client.call_until(&command, until)?.reply)? {
                [0] => {}
                [1, created, accessed] => {
                    next.identity = Some(identity);
                    let stamp = Stamp {
                        version: 1,
                        created,
                        accessed,
                    };
                    let mark = command.mark();
                    *session = self.stored(next, Written { stamp, mark });
                    return Ok(Saved::Stored);
                }
                _ => return Err(nonsense()),
            }
        }
        Err(Error::random_repeats())
    }

    /// Stores a copy if nobody has changed the session since, or ends the session if the copy is not worth keeping.
    fn put(&self, key: &RedisKey, next: &Session, until: Duration) -> Result<Put> {
        let seen = next.stamp.version;
        let command = if next.has_info() {
            let lifetimes = self.rules.lifetimes_of(next.contents.lifetimes);
            self.command(&scripts::SAVE, key, VALUE)?
                .with_seen(&seen.to_string(), next.write)
                .with_lifetimes(lifetimes)
                .with(&self.body(next)?)
        } else {
            self.end_of(key, next.stamp, next.write, false)?
        };
        let Answer { reply, repeated } = self.client.call_until(&command, until)?;
        let mut elements = array(reply)?;
        match elements.as_mut_slice() {
            [Reply::Int(0)] => Ok(Put::Gone),
            [Reply::Int(1)] => Ok(Put::Ended),
            [
                Reply::Int(1),
                Reply::Int(version),
                Reply::Int(created),
                Reply::Int(accessed),
            ] => {
                let stamp = Stamp {
                    version: number(*version)?,
                    created: number(*created)?,
                    accessed: number(*accessed)?,
                };
                let mark = command.mark();
                Ok(Put::Stored(Written { stamp, mark }))
            }
            [Reply::Int(2), Reply::Bulk(value)] => {
                let value = std::mem::take(value);
                match record::head(&value)? {
                    // The first try may have been stored, and been changed by others before the second came.
                    (Head::Session { stamp, .. }, _)
                        if repeated && next.has_info() && stamp.version > seen + 1 =>
                    {
                        Err(overtaken())
                    }
                    _ => Ok(Put::Conflict(value)),
                }
            }
            _ => Err(nonsense()),
        }
    }

    pub(super) fn regenerate(&self, session: &mut Session) -> Result<Saved> {
        self.check_not_editing()?;
        let old = match &session.identity {
            Some(identity) if session.has_info() => identity.clone(),
            _ => return self.save(session),
        };
        let until = self.client.deadline();
        let next = self.settled(session, until)?;
        let body = self.body(&next)?;
        let own = next.contents.lifetimes;
        // A copy that was not changed must not undo what others have changed: what is stored moves.
        let (version, mark, own) = match session.modified {
            true => (session.stamp.version.to_string(), session.write, own),
            false => ("-1".into(), None, None),
        };
        let lifetimes = self.rules.lifetimes_of(own);
        let old_key = self.keys.of_identity(&old);
        for _ in 0..DRAWS {
            let identity = Identity::Id(SessionId::draw_like(old_key.tag, |bytes| {
                self.randomness.fill(bytes)
            })?);
            let command = self
                .command(&scripts::MOVE, &old_key, VALUE)?
                .and_key(&self.keys.of_identity(&identity))
                .with_seen(&version, mark)
                .with_lifetimes(lifetimes)
                .with(if is_login(session) { b"1" } else { b"0" })
                .with(&body)
                .ends_session();
            match array(self.client.call_until(&command, until)?.reply)?.as_slice() {
                [Reply::Int(0)] => return Ok(Saved::Gone),
                [Reply::Int(1), Reply::Bulk(value)] => {
                    // The first try may have been carried out, and what it stored be deleted before the second came.
                    let Some(moved) = record::session(value, identity)? else {
                        return Ok(Saved::Gone);
                    };
                    *session = moved;
                    return Ok(Saved::Stored);
                }
                [Reply::Int(2), Reply::Bulk(value)] => return self.conflict(value, session),
                [Reply::Int(3)] => {}
                _ => return Err(nonsense()),
            }
        }
        Err(Error::random_repeats())
    }

    pub(super) fn edit(
        &self,
        id: &SessionId,
        change: &mut dyn FnMut(&mut Session) -> Result<()>,
    ) -> Result<Option<Session>> {
        self.check_not_editing()?;
        let until = self.client.deadline();
        let identity = Identity::Id(id.clone());
        let key = self.keys.of_id(id);
        let mut current = self.value(&key, until)?;
        let mut tries = 0;
        loop {
            let Some(value) = current else {
                return Ok(None);
            };
            let Some(mut session) = record::session(&value, identity.clone())? else {
                return Ok(None);
            };
            let (stamp, mark) = (session.stamp, session.write);
            let before = Arc::clone(&session.contents);
            {
                let _editing = Editing::begin(self.place());
                change(&mut session)?;
            }
            // The closure may have put another session in the copy's place: it is stored under this id all the same.
            session.identity = Some(identity.clone());
            (session.stamp, session.write) = (stamp, mark);
            if session.has_info() && !session.confirming && session.contents == before {
                let Some((stamp, end)) = self.touch_key(&key, until)? else {
                    return Ok(None);
                };
                let stamp = Stamp {
                    version: session.stamp.version,
                    ..stamp
                };
                let stored = self.stored(session, Written { stamp, mark });
                return Ok(Some(Session { end, ..stored }));
            }
            let mut next = self.settled(&session, until)?;
            match self.put(&key, &next, until)? {
                Put::Gone => return Ok(None),
                Put::Stored(written) => return Ok(Some(self.stored(next, written))),
                Put::Ended => {
                    next.mark_new();
                    return Ok(Some(next));
                }
                Put::Conflict(value) => current = Some(value),
            }
            tries += 1;
            if connection::now() >= until {
                let what = "others changed the session whenever this update was to be stored";
                return Err(Error::not_now(what));
            }
            if tries >= TRIES_AT_ONCE {
                let drawn = u64::from_be_bytes(self.mark()?);
                OsDisk.sleep(Duration::from_micros(drawn % 2000));
            }
        }
    }

    pub(super) fn touch(&self, id: &SessionId) -> Result<bool> {
        self.check_not_editing()?;
        let touched = self.touch_key(&self.keys.of_id(id), self.client.deadline())?;
        Ok(touched.is_some())
    }

    /// The times that the session has then, and its end; the version is not told.
    fn touch_key(&self, key: &RedisKey, until: Duration) -> Result<Option<(Stamp, Option<u64>)>> {
        let command = self
            .command(&scripts::TOUCH, key, NUMBERS)?
            .with(&millis(Some(self.rules.resolution)))
            .with_lifetimes(self.rules.lifetimes);
        match *numbers(self.client.call_until(&command, until)?.reply)? {
            [0] => Ok(None),
            [1, created, accessed, end] => {
                let stamp = Stamp {
                    version: 0,
                    created,
                    accessed,
                };
                Ok(Some((stamp, Some(end).filter(|end| *end < NEVER))))
            }
            _ => Err(nonsense()),
        }
    }

    pub(super) fn delete(&self, id: &SessionId) -> Result<bool> {
        self.check_not_editing()?;
        self.delete_key(&self.keys.of_id(id))
    }

    pub(super) fn delete_key(&self, key: &RedisKey) -> Result<bool> {
        let command = self.command(&scripts::DELETE, key, NUMBERS)?;
        let command = command.ends_session();
        is_done(self.client.call(&command)?)
    }

    /// Deletes each session that is still of the write that was seen, and was not used since if that matters.
    pub(super) fn delete_if(
        &self,
        seen: &mut dyn Iterator<Item = (&RedisKey, Stamp, Option<[u8; 8]>)>,
        unused: bool,
    ) -> Result<Vec<Result<Deleted>>> {
        let commands = seen.map(|(key, stamp, mark)| self.end_of(key, stamp, mark, unused));
        let answers = self.client.call_all(&commands.collect::<Result<Vec<_>>>()?);
        let deleted = answers
            .into_iter()
            .map(|answer| match array(answer?)?.as_slice() {
                [Reply::Int(0)] => Ok(Deleted::Absent),
                [Reply::Int(1)] => Ok(Deleted::Done),
                [Reply::Int(2), ..] => Ok(Deleted::Changed),
                _ => Err(nonsense()),
            });
        Ok(deleted.collect())
    }

    /// The command that ends a session if it is still of this write, and was not used since if that matters.
    fn end_of(
        &self,
        key: &RedisKey,
        stamp: Stamp,
        mark: Option<[u8; 8]>,
        unused: bool,
    ) -> Result<Command> {
        let accessed = match unused {
            true => stamp.accessed.to_string(),
            false => "-1".into(),
        };
        let command = (self.command(&scripts::DELETE_IF, key, VALUE)?)
            .with_seen(&stamp.version.to_string(), mark)
            .with(accessed.as_bytes());
        Ok(command.ends_session())
    }

    /// The time by the server's clock.
    pub(super) fn now(&self) -> Result<SystemTime> {
        self.now_until(self.client.deadline())
    }

    fn now_until(&self, until: Duration) -> Result<SystemTime> {
        let (_, time) = self.client.ask_any(&[b"TIME"], NUMBERS, until)?;
        let time = array(time)?;
        let part = |at: usize| match time.get(at) {
            Some(Reply::Bulk(digits)) => str::from_utf8(digits).ok()?.parse::<u64>().ok(),
            _ => None,
        };
        let millis = part(0)
            .zip(part(1))
            .and_then(|(seconds, micros)| seconds.checked_mul(1000)?.checked_add(micros / 1000));
        millis.and_then(time_at).ok_or_else(nonsense)
    }

    /// A script about a key, with a mark that no other command has.
    pub(super) fn command(
        &self,
        script: &'static Script,
        key: &RedisKey,
        bounds: Bounds,
    ) -> Result<Command> {
        Ok(Command::script(script, key, self.mark()?, bounds))
    }

    /// Bytes that nobody else draws.
    pub(super) fn mark(&self) -> Result<[u8; MARK_BYTES]> {
        let mut mark = [0; MARK_BYTES];
        self.randomness.fill(&mut mark)?;
        Ok(mark)
    }

    fn value(&self, key: &RedisKey, until: Duration) -> Result<Option<Vec<u8>>> {
        match self.client.call_until(&self.value_of(key), until)?.reply {
            Reply::Nil => Ok(None),
            reply => bulk(reply).map(Some),
        }
    }

    pub(super) fn value_of(&self, key: &RedisKey) -> Command {
        Command::plain("GET", key, VALUE)
    }

    /// The bytes of a session that are sent.
    pub(super) fn body(&self, session: &Session) -> Result<Vec<u8>> {
        let body = record::body(&session.contents)?;
        let own = self.rules.session_bytes_max;
        let (most, advice) = match own < BYTES_MAX {
            true => (own, "keep less in it, or raise `session_bytes_max`"),
            false => (BYTES_MAX, "keep less in it: a larger one is never sent"),
        };
        if body.len() > most {
            let bytes = body.len();
            let what = format!("a session of {bytes} bytes is over this client's limit of {most}");
            return Err(Error::too_large(what, advice));
        }
        Ok(body)
    }

    /// The session as it is to be stored. Only a login or a proof of who the user is needs the server's clock.
    fn settled(&self, session: &Session, until: Duration) -> Result<Session> {
        match session.confirming {
            true => Ok(session.settled(millis_at(self.now_until(until)?))),
            false => Ok(session.clone()),
        }
    }

    /// The copy in memory of what is in the store now.
    fn stored(&self, mut session: Session, Written { stamp, mark }: Written) -> Session {
        let lifetimes = self.rules.lifetimes_of(session.contents.lifetimes);
        session.mark_stored(stamp, lifetimes.end(stamp));
        session.write = mark;
        session
    }

    fn conflict(&self, value: &[u8], session: &Session) -> Result<Saved> {
        let identity = session.identity.clone().ok_or_else(nonsense)?;
        let current = record::session(value, identity)?.ok_or_else(nonsense)?;
        Ok(Saved::Conflict(Box::new(current)))
    }

    /// A write inside an update of the same store would make the update begin again, for ever.
    pub(super) fn check_not_editing(&self) -> Result<()> {
        let editing = EDITING.with_borrow(|editing| editing.contains(&self.place()));
        match editing {
            false => Ok(()),
            true => Err(Error::nested()),
        }
    }

    /// Tells this store from every other, for as long as a call on it runs.
    fn place(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }
}

/// The closure of an update runs. Dropped also when it panics.
struct Editing;

impl Editing {
    fn begin(place: usize) -> Editing {
        EDITING.with_borrow_mut(|editing| editing.push(place));
        Editing
    }
}

impl Drop for Editing {
    fn drop(&mut self) {
        EDITING.with_borrow_mut(|editing| editing.pop());
    }
}

/// The head of a key's value, or nothing.
pub(super) fn head_of(key: &RedisKey) -> Command {
    Command::plain("GETRANGE", key, NUMBERS)
        .with(b"0")
        .with(b"37")
}

pub(super) fn bulk(reply: Reply) -> Result<Vec<u8>> {
    match reply {
        Reply::Bulk(bytes) => Ok(bytes),
        _ => Err(nonsense()),
    }
}

pub(super) fn array(reply: Reply) -> Result<Vec<Reply>> {
    match reply {
        Reply::Array(elements) => Ok(elements),
        _ => Err(nonsense()),
    }
}

pub(super) fn is_done(reply: Reply) -> Result<bool> {
    match *numbers(reply)? {
        [done @ (0 | 1)] => Ok(done == 1),
        _ => Err(nonsense()),
    }
}

fn numbers(reply: Reply) -> Result<Vec<u64>> {
    let mut numbers = Vec::new();
    for element in array(reply)? {
        let Reply::Int(value) = element else {
            return Err(nonsense());
        };
        numbers.push(number(value)?);
    }
    Ok(numbers)
}

/// Whether a copy that is to get a new id begins an absolute lifetime: another user than was loaded, or proven anew.
fn is_login(session: &Session) -> bool {
    session.modified && (session.confirming || session.has_other_user())
}

fn number(value: i64) -> Result<u64> {
    u64::try_from(value).map_err(|_| nonsense())
}

pub(super) fn nonsense() -> Error {
    let what = "the server sent an answer to another question";
    Error::failed(what, "check that it is Redis 6.2 or later, or Valkey")
}

fn overtaken() -> Error {
    Error::failed(
        "the connection broke during a change, and others changed the session before it was back",
        "the outcome is unknown: load the session to learn what is stored",
    )
}
