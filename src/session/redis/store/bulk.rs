//! Calls that concern all sessions: lists, and deletions of many.
//!
//! A server has no snapshot. `SCAN` promises this much: a key that is there from the beginning of a walk to its end is
//! met, unless the server is started anew in between, which its run tells. While slots move between the servers of a
//! cluster that does not hold for a walk over all of them: a key can leave a server before its turn for one whose turn
//! is over. So a cluster is walked twice, and again for as long as its servers change: of any two servers the one that a
//! key leaves is then walked before the one that it goes to.

use super::super::super::engine::passed::{Passed, deleted};
use super::super::super::id::{Identity, SessionHandle};
use super::super::super::lifetime::{millis_at, millis_of};
use super::super::super::outcome::Existing;
use super::super::super::state::Session;
use super::super::client::Command;
use super::super::keys::RedisKey;
use super::super::pause::Pause;
use super::super::record::{self, Head, Read, millis};
use super::super::reply::{Bounds, Reply};
use super::super::scripts;
use super::super::url::Address;
use super::{Deleted, NUMBERS, Store, array, bulk, head_of, is_done, nonsense};
use crate::error::{Error, ErrorKind, Result};
use crate::store::order::sort_by_number;
use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

/// How many commands go to a server at once.
const BATCH: usize = 256;

/// Values that are asked for at once: each can be large.
const VALUES: usize = 64;

/// Walks in a row at each of which servers change or are started anew, before the call gives up.
const WALKS_MAX: usize = 8;

/// The cursor, and what `COUNT 1000` brings, which a server exceeds where a table's chains are long.
const SCAN_BOUNDS: Bounds = Bounds::new(64 << 20, 100_000, 2);

/// A server knows for so long that a session has another id now.
const KNOWN_FOR: Duration = Duration::from_secs(60);

/// Moves of one session that are followed. A session that moves on all the while could be followed for ever.
const MOVES_MAX: usize = 1000;

type Found = (RedisKey, Identity);

impl Store {
    /// The key of every session that is there all the while, each once.
    fn walk(&self) -> Result<Vec<Found>> {
        let hasher = RandomState::new();
        let mut seen = HashSet::new();
        let mut found = Vec::new();
        // The servers of the walk before, if that was whole.
        let mut before = Vec::new();
        for _ in 0..WALKS_MAX {
            let servers = self.client.primaries(self.client.deadline());
            let mut is_whole = true;
            for server in &servers {
                let run = self.run_of(server)?;
                // By now it may have said that there are others.
                if self.client.is_hidden_cluster() {
                    is_whole = false;
                    break;
                }
                self.walk_server(server, &hasher, |text| {
                    if seen.insert(hasher.hash_one(&text)) {
                        found.extend(self.keys.read(text));
                    }
                })?;
                is_whole &= self.run_of(server)? == run;
            }
            self.client.read_any_map(self.client.deadline());
            let is_hidden = self.client.is_hidden_cluster();
            if is_hidden {
                // A list of a part would pass for the whole, and a logout for one that leaves nothing.
                return Err(Error::failed(
                    "the server belongs to a cluster, and does not tell which others do",
                    "give the user the right to `cluster|slots`, or the command its name back",
                ));
            }
            let now = self.client.primaries(self.client.deadline());
            let is_settled = servers == before && servers == now;
            if is_whole && (is_settled || !self.client.is_cluster()) {
                return Ok(found);
            }
            before = if is_whole { servers } else { Vec::new() };
        }
        let what = "slots move, or servers are started anew, faster than their keys can be read";
        Err(Error::not_now(what))
    }

    /// The name of a server's run; `None` if the server does not tell. One that is started anew, or takes another's
    /// place, goes through its keys in another order: a cursor from before leads past some of them. One that belongs to
    /// a cluster is noted as such.
    fn run_of(&self, server: &Address) -> Result<Option<Vec<u8>>> {
        let words: [&[u8]; 2] = [b"INFO", b"server"];
        match self.client.ask_one(server, &words, SCAN_BOUNDS) {
            Ok(Reply::Bulk(info)) => {
                let mut run = None;
                for line in info.split(|byte| *byte == b'\n') {
                    match line.trim_ascii_end() {
                        // Of Redis, and of Valkey.
                        b"redis_mode:cluster" | b"server_mode:cluster" => {
                            self.client.learn_cluster();
                        }
                        line if line.starts_with(b"run_id:") => run = Some(line.to_vec()),
                        _ => {}
                    }
                }
                Ok(run)
            }
            Err(error) if error.is_busy() || error.io_kind().is_some() => Err(error),
            _ => Ok(None),
        }
    }

    fn walk_server(
        &self,
        server: &Address,
        hasher: &RandomState,
        mut each: impl FnMut(Vec<u8>),
    ) -> Result<()> {
        let pattern = self.keys.pattern();
        let mut cursor = b"0".to_vec();
        let mut cursors = HashSet::new();
        loop {
            let words: [&[u8]; 6] = [b"SCAN", &cursor, b"MATCH", &pattern, b"COUNT", b"1000"];
            let mut reply = array(self.client.ask_one(server, &words, SCAN_BOUNDS)?)?.into_iter();
            cursor = bulk(reply.next().ok_or_else(nonsense)?)?;
            for key in array(reply.next().ok_or_else(nonsense)?)? {
                each(bulk(key)?);
            }
            if cursor == b"0" {
                return Ok(());
            }
            // No cursor comes twice on the way through a table, whether that grows or shrinks meanwhile.
            if !cursors.insert(hasher.hash_one(&cursor)) {
                let what = format!("the server at `{server}` scans its keys in circles");
                return Err(Error::failed(
                    what,
                    "check what stands between it and this client",
                ));
            }
        }
    }

    /// The heads of the sessions, in the order of the keys; of what ended since there is none.
    fn heads(&self, found: &[Found]) -> Vec<Result<Option<Head>>> {
        let commands: Vec<_> = found.iter().map(|(key, _)| head_of(key)).collect();
        let answers = self.client.call_all(&commands).into_iter();
        let heads = answers.map(|answer| {
            let value = bulk(answer?)?;
            match value.is_empty() {
                true => Ok(None),
                false => record::head(&value).map(|(head, _)| Some(head)),
            }
        });
        heads.collect()
    }

    /// The sessions behind the keys. One that got another id since is followed to where it is; of what ended since
    /// there is none.
    fn sessions(&self, found: Vec<Found>) -> Vec<(Found, Result<Session>)> {
        let mut sessions = Vec::with_capacity(found.len());
        let mut pending = found;
        for _ in 0..MOVES_MAX {
            let commands: Vec<Command> =
                pending.iter().map(|(key, _)| self.value_of(key)).collect();
            let answers = self.client.call_all(&commands);
            let mut moved = Vec::new();
            for (found, answer) in pending.into_iter().zip(answers) {
                let read = answer.and_then(|reply| match reply {
                    Reply::Bulk(value) => record::read(&value, found.1.clone()),
                    Reply::Nil => Ok(Read::Ended),
                    _ => Err(nonsense()),
                });
                match read {
                    Ok(Read::Session(session)) => sessions.push((found, Ok(*session))),
                    Ok(Read::Ended) => {}
                    Ok(Read::Moved(to)) => moved.extend(self.keys.read(to)),
                    Err(error) => sessions.push((found, Err(error))),
                }
            }
            pending = moved;
            if pending.is_empty() {
                break;
            }
        }
        sessions.extend(pending.into_iter().map(|found| {
            let what = "a session gets new ids faster than it can be followed";
            (found, Err(Error::not_now(what)))
        }));
        sessions
    }

    /// Every session, least recently used first.
    pub(in crate::session) fn list(
        self: &Arc<Store>,
    ) -> impl Iterator<Item = Result<Session>> + Send + use<> {
        let (listed, failed) = match self.by_last_use() {
            Ok(listed) => (listed, None),
            Err(error) => (Vec::new(), Some(Err(error))),
        };
        let listing = Listing {
            store: Arc::clone(self),
            keys: listed.into_iter(),
            listed: HashSet::new(),
            hasher: RandomState::new(),
            read: Vec::new().into_iter(),
        };
        failed.into_iter().chain(listing)
    }

    fn by_last_use(&self) -> Result<Vec<Found>> {
        let mut order: Vec<(u64, Found)> = Vec::new();
        let mut found = self.walk()?.into_iter();
        loop {
            let batch: Vec<Found> = found.by_ref().take(BATCH).collect();
            if batch.is_empty() {
                break;
            }
            let heads = self.heads(&batch);
            for (found, head) in batch.into_iter().zip(heads) {
                match head {
                    Ok(Some(Head::Session { stamp, .. })) => order.push((stamp.accessed, found)),
                    Ok(Some(Head::Tombstone { moved: true })) => order.push((u64::MAX, found)),
                    Ok(Some(Head::Tombstone { moved: false }) | None) => {}
                    // It is listed, with the error that reading it gives.
                    Err(error) if error.kind() == ErrorKind::Decode => order.push((0, found)),
                    Err(error) => return Err(error),
                }
            }
        }
        sort_by_number(&mut order, |(accessed, _)| *accessed);
        Ok(order.into_iter().map(|(_, found)| found).collect())
    }

    /// Deletes what was not used for so long; returns how many that were and how many are left.
    pub(in crate::session) fn delete_old(&self, idle: Duration) -> Result<(usize, usize)> {
        self.check_not_editing()?;
        let idle = millis_of(idle);
        let now = millis_at(self.now()?);
        let (mut deleted, mut left) = (0, 0);
        let mut passed = Passed::default();
        for batch in self.walk()?.chunks(BATCH) {
            let mut old = Vec::new();
            for ((key, identity), head) in batch.iter().zip(self.heads(batch)) {
                match head {
                    Ok(Some(Head::Session { stamp, .. })) if stamp.idle(now) >= idle => {
                        // The time of its last use tells the writes apart.
                        old.push((key, stamp, None));
                    }
                    Ok(Some(Head::Session { .. })) => left += 1,
                    Ok(Some(Head::Tombstone { .. }) | None) => {}
                    Err(error) => pass(&mut passed, identity, error)?,
                }
            }
            for outcome in self.delete_if(&mut old.into_iter(), true)? {
                match outcome? {
                    Deleted::Done => deleted += 1,
                    Deleted::Changed => left += 1,
                    Deleted::Absent => {}
                }
            }
        }
        passed.answer((deleted, left), |(gone, remaining)| {
            format!("{}, {remaining} remain", self::deleted(gone))
        })
    }

    /// As [`delete_user`](Store::delete_user), and returns how many it ended.
    pub(in crate::session) fn count_deleted(
        &self,
        user: &str,
        doomed: &dyn Fn(SessionHandle) -> bool,
    ) -> Result<usize> {
        let mut deleted = Vec::new();
        self.delete_user(user, doomed, &mut deleted)?;
        Ok(deleted.len())
    }

    /// Ends the sessions of a user that `doomed` names by their handles, until a walk finds none. Those that it ended are
    /// told also where it fails.
    pub(in crate::session) fn delete_user(
        &self,
        user: &str,
        doomed: &dyn Fn(SessionHandle) -> bool,
        deleted: &mut Vec<SessionHandle>,
    ) -> Result<()> {
        self.check_not_editing()?;
        loop {
            let begun = self.now()?;
            let mut passed = Passed::default();
            let mut met = false;
            let found = self.walk()?.into_iter();
            let mut found = found.filter(|(_, identity)| doomed(identity.handle()));
            loop {
                let batch: Vec<Found> = found.by_ref().take(VALUES).collect();
                if batch.is_empty() {
                    break;
                }
                met |= self.delete_batch(user, doomed, batch, deleted, &mut passed)?;
            }
            if !met {
                // One that got a new id behind a walk's back is met under the old id, as long as that is known.
                if self.now()?.duration_since(begun).unwrap_or_default() >= KNOWN_FOR {
                    let what =
                        "a look at all sessions took so long that one may have got a new id unseen";
                    return Err(Error::not_now(what));
                }
                return passed.answer((), |()| self::deleted(&deleted.len()));
            }
        }
    }

    /// Ends the user's sessions among these, and tells whether there was one. One that others change, or that gets
    /// another id, is read again and does not escape by that, unless it goes on until the deadline, which is an
    /// error; one that became another user's meanwhile stays.
    fn delete_batch(
        &self,
        user: &str,
        doomed: &dyn Fn(SessionHandle) -> bool,
        batch: Vec<Found>,
        deleted: &mut Vec<SessionHandle>,
        passed: &mut Passed,
    ) -> Result<bool> {
        let mut met = false;
        let mut pending = batch;
        let mut pause: Option<Pause> = None;
        while !pending.is_empty() {
            let mut theirs = Vec::new();
            for (found, session) in self.sessions(pending) {
                match session {
                    Ok(session) if session.user() == Some(user) && doomed(found.1.handle()) => {
                        theirs.push((found, session.stamp, session.write));
                    }
                    Ok(_) => {}
                    Err(error) => pass(passed, &found.1, error)?,
                }
            }
            met |= !theirs.is_empty();
            let mut seen = (theirs.iter()).map(|((key, _), stamp, mark)| (key, *stamp, *mark));
            let outcomes = self.delete_if(&mut seen, false)?;
            pending = Vec::new();
            let mut all = Ok(());
            for ((found, ..), outcome) in theirs.into_iter().zip(outcomes) {
                match outcome {
                    Ok(Deleted::Done) => deleted.push(found.1.handle()),
                    Ok(Deleted::Changed | Deleted::Absent) => pending.push(found),
                    Err(error) => all = all.and(Err(error)),
                }
            }
            all?;
            // The time for further tries begins behind the first, which may have waited for replicas.
            let begun = || Pause::new(self.client.deadline());
            if !pending.is_empty() && !pause.get_or_insert_with(begun).wait() {
                let what = "others change a session whenever it is to be ended";
                return Err(Error::not_now(what));
            }
        }
        Ok(met)
    }

    /// Ends the sessions whose handle is meant.
    pub(in crate::session) fn delete_handles(
        &self,
        is_meant: &dyn Fn(SessionHandle) -> bool,
    ) -> Result<Vec<SessionHandle>> {
        self.check_not_editing()?;
        let mut deleted = Vec::new();
        for (key, identity) in self.walk()? {
            if is_meant(identity.handle()) && self.delete_key(&key)? {
                deleted.push(identity.handle());
            }
        }
        Ok(deleted)
    }

    /// Stores sessions of another store as they are there; returns how many of them were not here already.
    pub(in crate::session) fn import(&self, sessions: &[Session]) -> Result<usize> {
        self.check_not_editing()?;
        let mut commands = Vec::new();
        for session in sessions {
            let identity = session.identity_to_import(self.keys.hashes_ids())?;
            let key = self.keys.of_identity(identity);
            let stamp = session.stamp;
            let mut lifetimes = self.rules.lifetimes_of(session.contents.lifetimes);
            if session.contents.lifetimes.is_none() {
                // The other store may let it end sooner than this one would. The next use here decides anew.
                let left = session.end.map(|end| end.saturating_sub(stamp.accessed));
                lifetimes.idle = lifetimes.idle.into_iter().chain(left).min();
            }
            let command = [stamp.version, stamp.created, stamp.accessed]
                .into_iter()
                .map(Some)
                .chain([lifetimes.idle, lifetimes.absolute])
                .fold(
                    self.command(&scripts::IMPORT, &key, NUMBERS)?,
                    |command, number| command.with(&millis(number)),
                );
            let body = self.body(session).map_err(|error| {
                let what = format!("session {}: {error}", identity.handle());
                error.retold(what)
            });
            commands.push(command.with(&body?));
        }
        let mut stored = 0;
        for answer in self.client.call_all(&commands) {
            stored += usize::from(is_done(answer?)?);
        }
        Ok(stored)
    }

    pub(in crate::session) fn setup(&self, existing: Existing) -> Result<()> {
        self.check_not_editing()?;
        match existing {
            Existing::Keep => Ok(()),
            Existing::Fail => {
                for batch in self.walk()?.chunks(BATCH) {
                    for head in self.heads(batch) {
                        let is_there = match head {
                            Ok(head) => matches!(head, Some(Head::Session { .. })),
                            Err(error) if error.kind() == ErrorKind::Decode => true,
                            Err(error) => return Err(error),
                        };
                        if is_there {
                            return Err(Existing::refuse());
                        }
                    }
                }
                Ok(())
            }
            Existing::Overwrite => {
                for batch in self.walk()?.chunks(BATCH) {
                    for (key, _) in batch {
                        match self.delete_key(key) {
                            // A value that is no session has no end that replicas could confirm.
                            Err(error) if error.kind() != ErrorKind::Decode => return Err(error),
                            _ => {}
                        }
                    }
                    // Nothing is left, not even what tells of the ends.
                    let unlink = |(key, _): &Found| Command::plain("UNLINK", key, NUMBERS);
                    let commands: Vec<_> = batch.iter().map(unlink).collect();
                    for answer in self.client.call_all(&commands) {
                        answer?;
                    }
                }
                Ok(())
            }
        }
    }
}

/// Notes a session that can't be read, and goes on; a server that fails ends the walk.
fn pass(passed: &mut Passed, identity: &Identity, error: Error) -> Result<()> {
    match error.kind() {
        ErrorKind::Decode => {
            passed.note_named(format!("session {}", identity.handle()), error);
            Ok(())
        }
        _ => Err(error),
    }
}

/// The rest of a list, as an iterator.
struct Listing {
    store: Arc<Store>,
    keys: std::vec::IntoIter<Found>,
    /// Of the keys, so that a session that got another id meanwhile is not listed twice.
    listed: HashSet<u64>,
    hasher: RandomState,
    read: std::vec::IntoIter<Result<Session>>,
}

impl Iterator for Listing {
    type Item = Result<Session>;

    fn next(&mut self) -> Option<Result<Session>> {
        loop {
            if let Some(session) = self.read.next() {
                return Some(session);
            }
            let batch: Vec<Found> = self.keys.by_ref().take(VALUES).collect();
            if batch.is_empty() {
                return None;
            }
            let mut read = Vec::new();
            for ((key, identity), session) in self.store.sessions(batch) {
                if self.listed.insert(self.hasher.hash_one(&key.text)) {
                    let named = |error: Error| {
                        let what = format!("session {} can't be read: {error}", identity.handle());
                        error.retold(what)
                    };
                    let session = session.map_err(named);
                    let fails =
                        (session.as_ref()).is_err_and(|error| error.kind() != ErrorKind::Decode);
                    read.push(session);
                    if fails {
                        // The server fails, and each of the others would be waited for as long.
                        self.keys = Vec::new().into_iter();
                        break;
                    }
                }
            }
            self.read = read.into_iter();
        }
    }
}
