//! The one loop that gets a command to the server that has its slot, and its answer back, before a deadline.
//!
//! All other replies of a server are dealt with here: a slot that has moved or is on its way, a server that is loading,
//! a replica that has become a primary, a script that a server does not have, a connection that broke. Every command
//! may be sent again: reads change nothing, to remove a key twice is to remove it once, and a script that has run already
//! knows its mark ([`scripts`](super::scripts)).

use super::super::lifetime::{Lifetimes, millis_of};
use super::cluster::{Map, Refusal, slot_of};
use super::connection::{Connection, Failed, Question, not_now, now, refused};
use super::keys::RedisKey;
use super::pause::{ATTEMPT_MIN, Pause, is_over};
use super::pool::Pool;
use super::record::millis;
use super::reply::{Bounds, Reply, code, write_command, write_count, write_word};
use super::scripts::Script;
use super::url::{Address, Servers};
use crate::error::{Error, ErrorKind, Result};
use std::io;
use std::sync::{Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, TryLockError};
use std::time::Duration;

/// How often a slot can be elsewhere before the servers may be sending in circles.
const HOPS_MAX: usize = 16;

/// The map is read again at most this often.
const REFRESH_TIME: Duration = Duration::from_secs(1);

/// 16,384 ranges of one slot, with what servers tell of some replicas each.
const SLOTS_BOUNDS: Bounds = Bounds::new(64 << 20, 2_000_000, 5);

/// A command to a server, about one key or two of one slot.
pub(super) struct Command {
    slot: u16,
    verb: Verb,
    keys: usize,
    words: usize,
    /// The keys and what follows them but a script's mark, as they are sent.
    tail: Vec<u8>,
    bounds: Bounds,
    /// Whether it ends a session: that is worth waiting for replicas, where they were asked for.
    ends: bool,
}

#[derive(Clone, Copy)]
enum Verb {
    Plain(&'static str),
    /// With the mark that its answer repeats.
    Script(&'static Script, [u8; 8]),
}

impl Command {
    /// A command of the server's own, and the bounds of its answer.
    pub(super) fn plain(name: &'static str, key: &RedisKey, bounds: Bounds) -> Command {
        Command::new(Verb::Plain(name), key, bounds)
    }

    pub(super) fn script(
        script: &'static Script,
        key: &RedisKey,
        mark: [u8; 8],
        bounds: Bounds,
    ) -> Command {
        Command::new(Verb::Script(script, mark), key, bounds)
    }

    fn new(verb: Verb, key: &RedisKey, bounds: Bounds) -> Command {
        let command = Command {
            slot: slot_of(&key.tag),
            verb,
            keys: 0,
            words: 0,
            tail: Vec::with_capacity(512),
            bounds,
            ends: false,
        };
        command.and_key(key)
    }

    /// A further key, of the same tag. Keys stand before arguments.
    pub(super) fn and_key(mut self, key: &RedisKey) -> Command {
        self.keys += 1;
        self.with(&key.text)
    }

    pub(super) fn with(mut self, argument: &[u8]) -> Command {
        self.words += 1;
        write_word(&mut self.tail, argument);
        self
    }

    pub(super) fn with_lifetimes(self, lifetimes: Lifetimes) -> Command {
        let with_idle = self.with(&millis(lifetimes.idle));
        with_idle.with(&millis(lifetimes.absolute))
    }

    /// The version that was seen, and its mark where that is known.
    pub(super) fn with_seen(self, version: &str, mark: Option<[u8; 8]>) -> Command {
        let mark = mark.as_ref().map_or(&[][..], <[u8; 8]>::as_slice);
        self.with(version.as_bytes()).with(mark)
    }

    /// The mark of a script; none of a command of the server's own.
    pub(super) fn mark(&self) -> Option<[u8; 8]> {
        match self.verb {
            Verb::Plain(_) => None,
            Verb::Script(_, mark) => Some(mark),
        }
    }

    pub(super) fn ends_session(self) -> Command {
        Command { ends: true, ..self }
    }

    fn changes(&self) -> bool {
        matches!(self.verb, Verb::Script(..))
    }

    fn write(&self, to: &mut Vec<u8>, with_text: bool) {
        match self.verb {
            Verb::Plain(name) => {
                write_count(to, 1 + self.words);
                write_word(to, name.as_bytes());
                to.extend_from_slice(&self.tail);
            }
            Verb::Script(script, mark) => {
                let (name, which) = match with_text {
                    true => ("EVAL", script.text()),
                    false => ("EVALSHA", script.sha()),
                };
                write_count(to, 4 + self.words);
                write_word(to, name.as_bytes());
                write_word(to, which.as_bytes());
                write_word(to, self.keys.to_string().as_bytes());
                to.extend_from_slice(&self.tail);
                write_word(to, &mark);
            }
        }
    }

    /// Takes the mark off the answer to a script, in place. False if it is the answer to another question. An error has
    /// no mark; the next question then finds out whose it was.
    fn owns(&self, reply: &mut Reply) -> bool {
        match (self.verb, reply) {
            (Verb::Plain(_), _) | (_, Reply::Error(_)) => true,
            (Verb::Script(_, mark), Reply::Array(elements)) => {
                matches!(elements.pop(), Some(Reply::Bulk(last)) if last == mark)
            }
            _ => false,
        }
    }
}

/// The reply to a command.
pub(super) struct Answer {
    pub(super) reply: Reply,
    /// Whether the command was sent before without an answer, so that it may have been carried out then.
    pub(super) repeated: bool,
}

/// The words that go around commands.
#[derive(Clone, Copy, Default)]
struct Framing {
    /// The slot is on its way to this server.
    asking: bool,
    /// Scripts are sent whole, to a server that does not have them.
    with_text: bool,
    /// The replicas that are to be waited for behind the commands.
    replicas: Option<Replicas>,
}

/// How many replicas must have an end of a session, and how long they are waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Replicas {
    pub(super) count: u32,
    pub(super) wait: Duration,
}

#[derive(Debug)]
pub(super) struct Client {
    servers: Servers,
    timeout: Duration,
    replicas: Option<Replicas>,
    /// Written by the thread that refreshes it, and by a thread that is told of a slot that moved.
    map: RwLock<Map>,
    pool: Pool,
    /// When the map was read last, and whether something has shown since that it is outdated. Held by the
    /// thread that refreshes it.
    refreshed: Mutex<(Duration, bool)>,
}

impl Client {
    /// Connects to the first server that tells where the slots are; one that is named alone may have all of them.
    pub(super) fn connect(
        servers: Servers,
        timeout: Duration,
        replicas: Option<Replicas>,
    ) -> Result<Client> {
        let client = Client {
            map: RwLock::new(Map::single(servers.first.clone())),
            servers,
            timeout,
            replicas,
            pool: Pool::default(),
            refreshed: Mutex::new((now(), false)),
        };
        let several = !client.servers.others.is_empty();
        let until = client.deadline();
        let mut pause = Pause::new(until);
        loop {
            let mut last = None;
            for server in client.known() {
                match client.read_map(&server, until) {
                    // It may be installed anew, or named by mistake: the next may be the cluster's.
                    Ok(map) if several && !map.is_cluster() => {}
                    Ok(map) => {
                        client.replace_map(map);
                        return Ok(client);
                    }
                    Err(error) => last = Some(error),
                }
                if last.is_some() && is_over(until) {
                    break;
                }
            }
            let Some(error) = last else {
                // While one does not answer others would be asked: its replica, or one with other sessions.
                let what = "several servers that are no cluster";
                return Err(Error::invalid_input(what, "name one, the primary"));
            };
            if !error.is_busy() || !pause.wait() {
                return Err(error);
            }
        }
    }

    /// How long a call may take.
    pub(super) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// The moment at which a call that begins now gives up.
    pub(super) fn deadline(&self) -> Duration {
        now().saturating_add(self.timeout)
    }

    /// Every server that has a slot. Reads the map again if it is suspect: a caller that asks nothing else must hear of a
    /// failover, too.
    pub(super) fn primaries(&self, until: Duration) -> Vec<Address> {
        self.refresh(until);
        self.read_lock().primaries()
    }

    /// Whether some servers of the cluster may be unknown.
    pub(super) fn is_hidden_cluster(&self) -> bool {
        self.read_lock().is_hidden_cluster()
    }

    pub(super) fn is_cluster(&self) -> bool {
        self.read_lock().is_cluster()
    }

    pub(super) fn call(&self, command: &Command) -> Result<Reply> {
        Ok(self.call_until(command, self.deadline())?.reply)
    }

    pub(super) fn call_until(&self, command: &Command, until: Duration) -> Result<Answer> {
        let slot = command.slot;
        let mut pause = Pause::new(until);
        let mut hops = 0;
        let mut repeated = false;
        let mut with_text = false;
        let (mut asked, mut other) = (None, None);
        loop {
            self.refresh(until);
            let asking = asked.is_some();
            let is_other = other.is_some();
            let server = (asked.take())
                .or(other.take())
                .unwrap_or_else(|| self.read_lock().server(slot).clone());
            let framing = Framing {
                asking,
                with_text,
                replicas: self.replicas.filter(|_| command.ends),
            };
            let text = match self.attempt(&server, command, framing, until) {
                Ok(Reply::Error(text)) => text,
                Ok(reply) => {
                    if is_other {
                        self.learn(slot, server);
                    }
                    return Ok(Answer { reply, repeated });
                }
                Err(Failed::Refused(error)) => return Err(error),
                Err(Failed::Unanswered { cause, sent }) => {
                    repeated |= sent && command.changes();
                    other = self.another(&server);
                    self.suspect();
                    // A reply that is not RESP2 would be none the next time either.
                    if cause.kind() != io::ErrorKind::InvalidData && pause.wait() {
                        continue;
                    }
                    return Err(unanswered(&server, cause, repeated));
                }
            };
            match Refusal::read(&text, &server) {
                Refusal::Moved(to) => {
                    self.learn(slot, to);
                    hops += 1;
                }
                Refusal::Ask(to) => {
                    asked = Some(to);
                    hops += 1;
                }
                Refusal::NoScript if !with_text => {
                    with_text = true;
                    asked = asking.then_some(server);
                    continue;
                }
                refusal @ (Refusal::Wait | Refusal::WaitForOther) => {
                    if refusal == Refusal::WaitForOther {
                        self.suspect();
                        // A name, or a balancer, may lead to another server by now, the connections still to this one.
                        self.pool.forget(&server);
                    }
                    if !pause.wait() {
                        return Err(match repeated {
                            true => unanswered(&server, io::ErrorKind::TimedOut.into(), true),
                            false => not_now(&server, &text),
                        });
                    }
                }
                Refusal::NoScript | Refusal::Final => return Err(refused(&server, &text)),
            }
            // Servers that have not heard yet where a slot went send back to each other for a while.
            if hops > HOPS_MAX && !pause.wait() {
                let what = "the servers of the cluster send in circles";
                return Err(Error::failed(what, "check `CLUSTER SLOTS` of each"));
            }
        }
    }

    /// Sends many commands at once, scripts or others but not both, each to its server, and returns their replies in the
    /// same order. A command that a server did not answer at once, or refused, is sent again on its own.
    pub(super) fn call_all(&self, commands: &[Command]) -> Vec<Result<Reply>> {
        let until = self.deadline();
        self.refresh(until);
        let mut of_servers: Vec<(Address, Vec<usize>)> = Vec::new();
        let map = self.read_lock().clone();
        for (at, command) in commands.iter().enumerate() {
            let server = map.server(command.slot);
            match of_servers.iter_mut().find(|(known, _)| known == server) {
                Some((_, indices)) => indices.push(at),
                None => of_servers.push((server.clone(), vec![at])),
            }
        }
        let mut replies: Vec<Option<Reply>> = Vec::new();
        replies.resize_with(commands.len(), || None);
        for (server, indices) in of_servers {
            let of_server: Vec<&Command> =
                indices.iter().filter_map(|at| commands.get(*at)).collect();
            let answered = self.send(&server, until, &of_server, Framing::default());
            for (at, answered) in indices.into_iter().zip(answered.unwrap_or_default()) {
                if let Some(reply) = replies.get_mut(at) {
                    *reply = Some(answered);
                }
            }
        }
        // Once one has waited in vain, each of the others has one more try.
        let mut in_vain = false;
        let replies = replies.into_iter().zip(commands);
        let replies = replies.map(|(reply, command)| {
            // Replicas are waited for one by one: the script knows what it has done, and only confirms it.
            let is_waited_for = command.ends && self.replicas.is_some();
            match reply {
                None | Some(Reply::Error(_)) => {}
                Some(_) if is_waited_for => {}
                Some(reply) => return Ok(reply),
            }
            let until = if in_vain { now() } else { self.deadline() };
            let answer = self.call_until(command, until);
            in_vain |= (answer.as_ref()).is_err_and(|error| error.kind() != ErrorKind::Decode);
            answer.map(|answer| answer.reply)
        });
        replies.collect()
    }

    /// One command to one server, which is not about a key.
    pub(super) fn ask_one(
        &self,
        server: &Address,
        words: &[&[u8]],
        bounds: Bounds,
    ) -> Result<Reply> {
        let servers = std::slice::from_ref(server);
        let (_, reply) = self.ask_first(servers, words, bounds, self.deadline())?;
        Ok(reply)
    }

    /// One command that is not about a key, to the first primary that answers: another one may be down.
    pub(super) fn ask_any(
        &self,
        words: &[&[u8]],
        bounds: Bounds,
        until: Duration,
    ) -> Result<(Address, Reply)> {
        let servers = self.primaries(until);
        self.ask_first(&servers, words, bounds, until)
    }

    fn ask_first(
        &self,
        servers: &[Address],
        words: &[&[u8]],
        bounds: Bounds,
        until: Duration,
    ) -> Result<(Address, Reply)> {
        let mut pause = Pause::new(until);
        loop {
            let mut last = None;
            for server in servers {
                last = Some(match self.ask_words(server, words, bounds, until) {
                    Ok(Reply::Error(text)) => match Refusal::read(&text, server) {
                        Refusal::Wait | Refusal::WaitForOther => not_now(server, &text),
                        _ => return Err(refused(server, &text)),
                    },
                    Ok(reply) => return Ok((server.clone(), reply)),
                    Err(Failed::Refused(error)) => return Err(error),
                    Err(Failed::Unanswered { cause, .. }) => {
                        self.suspect();
                        // It would be none the next time either. That kind tells of one session, and this is of none.
                        if cause.kind() == io::ErrorKind::InvalidData {
                            return Err(nonsense(server));
                        }
                        unanswered(server, cause, false)
                    }
                });
                if is_over(until) {
                    break;
                }
            }
            if !pause.wait() {
                return Err(last.unwrap_or_else(|| Error::not_now("the cluster has no server")));
            }
        }
    }

    /// Sends one command once, which is not about a key.
    fn ask_words(
        &self,
        server: &Address,
        words: &[&[u8]],
        bounds: Bounds,
        until: Duration,
    ) -> std::result::Result<Reply, Failed> {
        let question = Question {
            bounds,
            write: &|to| {
                write_command(to, words);
                1
            },
            owns: None,
        };
        let reply = self.ask(server, until, &question)?.pop();
        reply.ok_or_else(|| Failed::Refused(nonsense(server)))
    }

    /// Sends one command once, and waits for its replicas where they were asked for.
    fn attempt(
        &self,
        server: &Address,
        command: &Command,
        framing: Framing,
        until: Duration,
    ) -> std::result::Result<Reply, Failed> {
        let replicas = framing.replicas;
        let mut replies = self.send(server, until, &[command], framing)?;
        let confirmed = replicas.map(|replicas| (replicas, replies.pop()));
        let Some(reply) = replies.pop() else {
            return Err(Failed::Refused(nonsense(server)));
        };
        // A server that refuses to be asked sends the command back, and the other one sends it here again.
        if let Some(refused @ Reply::Error(_)) = replies.pop() {
            return Ok(refused);
        }
        match confirmed {
            Some((replicas, confirmed)) if !matches!(reply, Reply::Error(_)) => match confirmed {
                Some(Reply::Int(count)) if count >= i64::from(replicas.count) => Ok(reply),
                // Its successor may not know of the end.
                Some(Reply::Error(text)) if code(&text) == "UNBLOCKED" => {
                    let cause = io::Error::other("it became a replica");
                    Err(Failed::Unanswered { cause, sent: true })
                }
                Some(Reply::Error(text)) => Err(Failed::Refused(refused(server, &text))),
                _ => Err(Failed::Refused(unconfirmed(server, replicas))),
            },
            _ => Ok(reply),
        }
    }

    /// Sends commands about keys once, and returns their replies. A server answers `ASKING` before them, and a wait
    /// for replicas behind them, where the framing has these. Scripts are known by the marks of their answers, if all
    /// commands are scripts.
    fn send(
        &self,
        server: &Address,
        until: Duration,
        commands: &[&Command],
        framing: Framing,
    ) -> std::result::Result<Vec<Reply>, Failed> {
        let before = usize::from(framing.asking);
        let owns = |replies: &mut [Reply]| {
            let mut each = commands.iter().zip(replies.iter_mut().skip(before));
            each.all(|(command, reply)| command.owns(reply))
        };
        let question = Question {
            bounds: (commands.iter())
                .map(|command| command.bounds)
                .fold(Bounds::new(0, 0, 0), Bounds::or),
            write: &|to| {
                if framing.asking {
                    write_command(to, &[b"ASKING"]);
                }
                for command in commands {
                    command.write(to, framing.with_text);
                }
                if let Some(replicas) = framing.replicas {
                    let count = replicas.count.to_string();
                    // A server takes 0 for a wait without end.
                    let wait = millis(Some(millis_of(replicas.wait).max(1)));
                    write_command(to, &[b"WAIT", count.as_bytes(), &wait]);
                }
                before + commands.len() + usize::from(framing.replicas.is_some())
            },
            owns: match commands.iter().all(|command| command.changes()) {
                true => Some(&owns),
                false => None,
            },
        };
        self.ask(server, until, &question)
    }

    /// Sends commands once, over an idle connection or a new one. An attempt takes half of the time that is left, so
    /// that there is time for another.
    fn ask(
        &self,
        server: &Address,
        until: Duration,
        question: &Question<'_>,
    ) -> std::result::Result<Vec<Reply>, Failed> {
        let begun = now();
        let patience = (until.saturating_sub(begun) / 2).max(ATTEMPT_MIN);
        let until = begun.saturating_add(patience);
        let mut connection = match self.pool.take(server, begun) {
            Some(connection) => connection,
            None => Connection::open(server, &self.servers.login, until)?,
        };
        let replies = connection.ask(until, question);
        match &replies {
            Ok(_) => self.pool.put(server, connection, begun),
            // The rest of an answer may still come over this one: it is closed.
            Err(_) => self.pool.forget(server),
        }
        replies
    }

    /// Something showed that the map may be outdated: the next call reads it again.
    fn suspect(&self) {
        if let Ok(mut refreshed) = self.refreshed.try_lock() {
            refreshed.1 = true;
        }
    }

    fn learn(&self, slot: u16, server: Address) {
        self.write_lock().learn(slot, server);
        self.suspect();
    }

    /// A server said of itself that it belongs to a cluster.
    pub(super) fn learn_cluster(&self) {
        self.write_lock().learn_cluster();
    }

    /// The server to ask in place of one that does not answer: the next of those that are known, which may know who has
    /// the slot. `None` where a server tells of all slots.
    fn another(&self, server: &Address) -> Option<Address> {
        if !self.is_hidden_cluster() {
            return None;
        }
        let known = self.known();
        let behind = known.iter().skip_while(|known| *known != server).nth(1);
        behind.or(known.first()).cloned()
    }

    /// Reads the map again if it is suspect. One call does so at a time, the others go on with what is known.
    fn refresh(&self, until: Duration) {
        let mut refreshed = match self.refreshed.try_lock() {
            Ok(refreshed) => refreshed,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return,
        };
        let (at, suspect) = *refreshed;
        if suspect && now().saturating_sub(at) >= REFRESH_TIME {
            self.read_any_map(until);
            *refreshed = (now(), false);
        }
    }

    /// Reads the map now, of the first server that tells.
    pub(super) fn read_any_map(&self, until: Duration) {
        let is_hidden = self.is_hidden_cluster();
        if !is_hidden && !self.is_cluster() {
            return; // there is no other server to be told of
        }
        for server in self.known() {
            match self.read_map(&server, until) {
                // A server that does not tell, or is no cluster any more, makes nobody forget what others told.
                Ok(map) if map.is_cluster() => {
                    self.replace_map(map);
                    return;
                }
                _ if is_over(until) => return,
                _ => {}
            }
        }
    }

    fn replace_map(&self, map: Map) {
        self.pool.keep(&map.primaries());
        *self.write_lock() = map;
    }

    /// Where the slots are, as one server says.
    fn read_map(&self, server: &Address, until: Duration) -> Result<Map> {
        match self.ask_words(server, &[b"CLUSTER", b"SLOTS"], SLOTS_BOUNDS, until) {
            Ok(Reply::Error(text)) => match Refusal::read(&text, server) {
                // It has no cluster, or does not tell: should it be one after all, it will say where each slot is.
                Refusal::Final if !matches!(code(&text), "NOAUTH" | "NOPERM") => {
                    Ok(Map::single(server.clone()))
                }
                Refusal::Final => Err(refused(server, &text)),
                _ => Err(not_now(server, &text)),
            },
            Ok(slots) => Map::read(&slots, server).ok_or_else(|| not_now(server, "CLUSTERDOWN")),
            Err(Failed::Refused(error)) => Err(error),
            Err(Failed::Unanswered { cause, .. }) => Err(unanswered(server, cause, false)),
        }
    }

    /// Every server that the map or the application names, those of the map first.
    fn known(&self) -> Vec<Address> {
        let mut known = self.read_lock().primaries();
        for server in std::iter::once(&self.servers.first).chain(&self.servers.others) {
            if !known.contains(server) {
                known.push(server.clone());
            }
        }
        known
    }

    fn read_lock(&self) -> RwLockReadGuard<'_, Map> {
        self.map.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_lock(&self) -> RwLockWriteGuard<'_, Map> {
        self.map.write().unwrap_or_else(PoisonError::into_inner)
    }
}

fn unanswered(server: &Address, mut cause: io::Error, repeated: bool) -> Error {
    if repeated && cause.kind() == io::ErrorKind::ResourceBusy {
        // The caller of what is busy may try it again, and do the change twice.
        cause = io::ErrorKind::TimedOut.into();
    }
    let error = Error::server("get an answer from", server, cause);
    match repeated {
        true => error.advise("the outcome is unknown: load the session to learn what is stored"),
        false => error,
    }
}

fn unconfirmed(server: &Address, replicas: Replicas) -> Error {
    let count = replicas.count;
    let what = format!("the end of a session was not confirmed by {count} replicas of `{server}`");
    Error::failed(what, "it holds on the primary; a failover may undo it")
}

fn nonsense(server: &Address) -> Error {
    let what = format!("the server at `{server}` sent an answer to another question");
    Error::failed(what, "")
}
