//! One connection to one server, with an end to every wait.
//!
//! A connection is *sound* while each command that was sent has its whole reply and not a byte more has come. One
//! that is not sound is dropped: its next reply may be the answer to somebody else's question, and with it somebody
//! else's session.
//!
//! A reply that nobody asked for may come at any moment, also between a look at the connection and the next question.
//! So each answer says to which question it belongs: the answer of a script ends with the mark of its command, and behind
//! other commands stands a number that the server has to repeat (`ECHO`): wherever before it a reply came that is none of
//! theirs, another one stands in the number's place. That takes no system call, where a look takes three.

use super::cluster::Refusal;
use super::reply::{Bounds, Reply, code, read_reply, write_command};
use super::url::{Address, Login};
use crate::error::{Error, ErrorKind};
use crate::store::disk::{Disk, os::OsDisk};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, BufReader, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs};
#[cfg(unix)]
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

const BUFFER_BYTES: usize = 2048;

/// The number of a question.
const NUMBER_BOUNDS: Bounds = Bounds::new(20, 0, 0);

/// The size of the buffer that a connection keeps for the next command; the buffer of a longer one is freed.
const KEPT_BYTES: usize = 2048;

/// The beginning of what a server says to a connection that is one too many for it, before it hangs up unheard.
const TOO_MANY: &str = "ERR max number of clients";

/// A wait may be this much longer than asked for, so that the usual command needs no system call to shorten it.
const SLACK: Duration = Duration::from_millis(5);

/// A clock that only goes forward; every deadline is a moment of it.
pub(super) fn now() -> Duration {
    OsDisk.monotonic()
}

/// Why there is no reply. The connection is of no more use.
#[cfg_attr(test, derive(Debug))]
pub(super) enum Failed {
    /// The server does not let this client in.
    Refused(Error),
    Unanswered {
        cause: io::Error,
        /// Whether the server may have got the commands, and done as they say.
        sent: bool,
    },
}

type Owns<'a> = dyn Fn(&mut [Reply]) -> bool + 'a;

/// The commands that are sent at once.
pub(super) struct Question<'a> {
    pub(super) bounds: Bounds,
    /// Appends the commands, and tells how many replies they have.
    pub(super) write: &'a dyn Fn(&mut Vec<u8>) -> usize,
    /// Whether the replies bear the marks of the commands, which it takes off. None: the commands have no marks.
    pub(super) owns: Option<&'a Owns<'a>>,
}

pub(super) struct Connection {
    input: BufReader<Wire>,
    output: Vec<u8>,
    process: u32,
    /// The number of the last question without marks.
    questions: u64,
}

impl Connection {
    /// Connects and logs in.
    pub(super) fn open(
        to: &Address,
        login: &Login,
        until: Duration,
    ) -> std::result::Result<Connection, Failed> {
        let wire =
            Wire::connect(to, until).map_err(|cause| Failed::Unanswered { cause, sent: false })?;
        let mut connection = Connection {
            input: BufReader::with_capacity(BUFFER_BYTES, wire),
            output: Vec::new(),
            process: OsDisk.process(),
            // Numbers of its own: what stands in between may hand an answer to another connection.
            questions: of_process(RandomState::new().hash_one(()), OsDisk.process()),
        };
        let replies = connection.exchange(until, Bounds::new(0, 0, 0), &|commands| {
            let password = login.password.as_deref().unwrap_or_default().as_bytes();
            // A user without a password, too: to go on as the server's default user would be silent.
            let user = login.user.as_deref().map(str::as_bytes);
            let who: Vec<&[u8]> = match login.password {
                None if user.is_none() => Vec::new(),
                _ => user.into_iter().chain([password]).collect(),
            };
            let mut count = usize::from(!who.is_empty());
            if count > 0 {
                write_command(commands, &[&[b"AUTH".as_slice()], who.as_slice()].concat());
            }
            if login.database != 0 {
                let database = login.database.to_string();
                write_command(commands, &[b"SELECT", database.as_bytes()]);
                count += 1;
            }
            count
        });
        // The caller's command has not been sent.
        let replies = replies.map_err(|failed| match failed {
            Failed::Unanswered { cause, .. } => Failed::Unanswered { cause, sent: false },
            refused => refused,
        })?;
        for reply in replies {
            if let Reply::Error(text) = reply {
                return Err(match Refusal::read(&text, to) {
                    Refusal::Wait | Refusal::WaitForOther => passing(code(&text)),
                    _ => Failed::Refused(refused(to, &text)),
                });
            }
        }
        Ok(connection)
    }

    /// Sends the commands of a question, and reads the answers to these.
    pub(super) fn ask(
        &mut self,
        until: Duration,
        question: &Question<'_>,
    ) -> std::result::Result<Vec<Reply>, Failed> {
        let Some(owns) = question.owns else {
            return self.ask_with_number(until, question);
        };
        let mut replies = self.exchange(until, question.bounds, question.write)?;
        match owns(&mut replies) {
            true => Ok(replies),
            false => Err(the_answer_to_another()),
        }
    }

    fn ask_with_number(
        &mut self,
        until: Duration,
        question: &Question<'_>,
    ) -> std::result::Result<Vec<Reply>, Failed> {
        self.questions = self.questions.wrapping_add(1);
        let number = self.questions.to_string();
        let bounds = question.bounds.or(NUMBER_BOUNDS);
        let mut replies = self.exchange(until, bounds, &|commands| {
            let count = (question.write)(commands);
            write_command(commands, &[b"ECHO", number.as_bytes()]);
            count + 1
        })?;
        let last = replies.pop();
        let is_refused = |reply: &Reply| matches!(reply, Reply::Error(_));
        match last {
            Some(Reply::Bulk(echo)) if echo == number.as_bytes() => Ok(replies),
            // A server that is loading refuses all.
            Some(Reply::Error(_)) if replies.iter().all(is_refused) => Ok(replies),
            Some(Reply::Error(text)) if is_denied(&text) => {
                replies.fill(Reply::Error(text));
                Ok(replies)
            }
            _ => Err(the_answer_to_another()),
        }
    }

    fn exchange(
        &mut self,
        until: Duration,
        bounds: Bounds,
        write: &dyn Fn(&mut Vec<u8>) -> usize,
    ) -> std::result::Result<Vec<Reply>, Failed> {
        self.output.clear();
        let count = write(&mut self.output);
        if count == 0 {
            return Ok(Vec::new());
        }
        let wire = self.input.get_mut();
        wire.until = until;
        if let Err((cause, sent)) = wire.send(&self.output) {
            return Err(Failed::Unanswered { cause, sent });
        }
        if self.output.capacity() > KEPT_BYTES {
            self.output = Vec::new();
        }
        let mut replies = Vec::with_capacity(count);
        for _ in 0..count {
            let reply = read_reply(&mut self.input, bounds)
                .map_err(|cause| Failed::Unanswered { cause, sent: true })?;
            match reply {
                Reply::Error(text) if text.starts_with(TOO_MANY) => return Err(passing(TOO_MANY)),
                Reply::Error(text) if text.starts_with("DENIED") => {
                    let what = "it is in protected mode, and lets in nobody without a password";
                    let cause = io::Error::new(io::ErrorKind::PermissionDenied, what);
                    return Err(Failed::Unanswered { cause, sent: false });
                }
                reply => replies.push(reply),
            }
        }
        Ok(replies)
    }

    /// Whether the replies to a question that did not fail were all that came.
    pub(super) fn is_sound(&self) -> bool {
        self.input.buffer().is_empty()
    }

    /// Whether no fork shares the connection: parent and child would get each other's replies.
    pub(super) fn is_ours(&self) -> bool {
        self.process == OsDisk.process()
    }

    /// Whether nothing has come since the last reply, not even that the server hung up.
    pub(super) fn is_quiet(&mut self) -> bool {
        self.is_sound() && self.input.get_mut().is_silent()
    }
}

fn the_answer_to_another() -> Failed {
    let what = "the server sent an answer to another question";
    let cause = io::Error::new(io::ErrorKind::ConnectionReset, what);
    Failed::Unanswered { cause, sent: true }
}

/// A number that a fork, which draws the same as its parent, does not have.
fn of_process(drawn: u64, process: u32) -> u64 {
    drawn ^ (u64::from(process) << 32)
}

struct Wire {
    stream: Stream,
    /// When to give up.
    until: Duration,
    /// How long the system waits in one call, as it was last told.
    timeout: Duration,
}

enum Stream {
    Tcp(TcpStream),
    #[cfg(unix)]
    Unix(UnixStream),
}

/// The same call on either kind.
macro_rules! stream {
    ($stream:expr, $inner:ident => $call:expr) => {
        match $stream {
            Stream::Tcp($inner) => $call,
            #[cfg(unix)]
            Stream::Unix($inner) => $call,
        }
    };
}

impl Wire {
    fn connect(to: &Address, until: Duration) -> io::Result<Wire> {
        let stream = match to {
            Address::Tcp { host, port } => Stream::Tcp(connect_tcp(host, *port, until)?),
            #[cfg(unix)]
            Address::Unix(path) => {
                let path = path.clone();
                Stream::Unix(within(until, move || UnixStream::connect(path))?)
            }
            #[cfg(not(unix))]
            Address::Unix(_) => return Err(io::ErrorKind::Unsupported.into()),
        };
        Ok(Wire {
            stream,
            until,
            timeout: Duration::ZERO,
        })
    }

    /// Makes the system wait no longer than until the deadline.
    fn arm(&mut self) -> io::Result<()> {
        let left = self.until.saturating_sub(now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        let is_set = self.timeout >= left && self.timeout <= left + SLACK;
        if !is_set {
            stream!(&self.stream, stream => {
                stream.set_read_timeout(Some(left))?;
                stream.set_write_timeout(Some(left))?;
            });
            self.timeout = left;
        }
        Ok(())
    }

    /// Tells on failure whether anything was sent.
    fn send(&mut self, mut bytes: &[u8]) -> std::result::Result<(), (io::Error, bool)> {
        let mut sent = false;
        while !bytes.is_empty() {
            self.arm().map_err(|cause| (cause, sent))?;
            match stream!(&mut self.stream, stream => stream.write(bytes)) {
                Ok(0) => return Err((io::ErrorKind::WriteZero.into(), sent)),
                Ok(len) => {
                    sent = true;
                    bytes = bytes.get(len..).unwrap_or_default();
                }
                Err(cause) if is_passing(&cause) => {}
                Err(cause) => return Err((cause, sent)),
            }
        }
        Ok(())
    }

    fn is_silent(&mut self) -> bool {
        let mut byte = [0];
        stream!(&mut self.stream, stream => {
            stream.set_nonblocking(true).is_ok()
                && stream.read(&mut byte).is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
                && stream.set_nonblocking(false).is_ok()
        })
    }
}

impl Read for Wire {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            self.arm()?;
            match stream!(&mut self.stream, stream => stream.read(buffer)) {
                Err(cause) if is_passing(&cause) => {}
                read => return read,
            }
        }
    }
}

/// The server lets nobody in for the moment.
fn passing(why: &str) -> Failed {
    let what = format!("it is not ready: {why}");
    Failed::Unanswered {
        cause: io::Error::new(io::ErrorKind::ResourceBusy, what),
        sent: false,
    }
}

/// Whether a command is forbidden, or unknown to the server by its name.
fn is_denied(text: &str) -> bool {
    text.starts_with("NOPERM") || text.starts_with("ERR unknown command")
}

/// Likewise of a command within a script: in the words of Redis 7.0 and before, of later ones and Valkey, and of all.
fn is_denied_within(text: &str) -> bool {
    let mut words = [
        "user executing the script",
        "ACL failure in script",
        "called from",
    ]
    .iter();
    words.any(|words| text.contains(words))
}

/// A signal, or the end of a wait: [`Wire::arm`] decides whether there is time for another.
fn is_passing(cause: &io::Error) -> bool {
    use io::ErrorKind::{Interrupted, TimedOut, WouldBlock};
    matches!(cause.kind(), Interrupted | TimedOut | WouldBlock)
}

/// How many threads of [`within`] there are. Written by each when it begins and ends; Relaxed, since it is but a bound.
static WAITING: AtomicUsize = AtomicUsize::new(0);

/// More would wait for the same server in vain.
const WAITING_MAX: usize = 32;

/// Lets a thread of its own make a call that the system may not come back from: a look for a name, and connecting to a
/// socket whose queue is full. Gives up at the deadline; the thread ends when the system lets it.
fn within<T: Send + 'static>(
    until: Duration,
    call: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let others = WAITING.fetch_add(1, Ordering::Relaxed);
    let waiting = Waiting;
    if others >= WAITING_MAX {
        return Err(io::ErrorKind::TimedOut.into());
    }
    // A channel would park the caller's thread, and take an `unpark` that is meant for somebody else.
    let result = Arc::new((Mutex::new(None), Condvar::new()));
    let to = Arc::clone(&result);
    std::thread::Builder::new().spawn(move || {
        let _waiting = waiting;
        let done = call();
        *to.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(done);
        to.1.notify_one();
    })?;
    let left = until.saturating_sub(now());
    let (result, is_done) = &*result;
    let result = result.lock().unwrap_or_else(PoisonError::into_inner);
    let (mut result, _) = is_done
        .wait_timeout_while(result, left, |result| result.is_none())
        .unwrap_or_else(PoisonError::into_inner);
    let done = result.take();
    done.unwrap_or_else(|| Err(io::ErrorKind::TimedOut.into()))
}

/// Counts a thread, until it ends.
struct Waiting;

impl Drop for Waiting {
    fn drop(&mut self) {
        WAITING.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The first of the host's addresses that answers; the time is divided among them.
fn connect_tcp(host: &str, port: u16, until: Duration) -> io::Result<TcpStream> {
    let addresses: Vec<SocketAddr> = match host.parse::<IpAddr>() {
        Ok(address) => vec![(address, port).into()],
        Err(_) => {
            let host = host.to_string();
            within(until, move || {
                Ok((host.as_str(), port).to_socket_addrs()?.collect())
            })?
        }
    };
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    let mut waiting = u32::try_from(addresses.len()).unwrap_or(u32::MAX);
    for address in addresses {
        let left = until.saturating_sub(now()) / waiting.max(1);
        waiting = waiting.saturating_sub(1);
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        match TcpStream::connect_timeout(&address, left) {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                return Ok(stream);
            }
            Err(cause) => last = cause,
        }
    }
    Err(last)
}

/// The error for what a server refused. Of its text only the code is repeated, and of a lack of rights the whole:
/// other texts quote arguments, among them ids.
pub(super) fn refused(by: &Address, text: &str) -> Error {
    const RIGHTS: &str = "give the user the rights that `RedisSessionStore` lists";
    let code = code(text);
    let (kind, shown, advice) = match code {
        // One that names the key has an id in it.
        "NOPERM" if text.contains('{') => (ErrorKind::Io, code, RIGHTS),
        "NOPERM" => (ErrorKind::Io, text, RIGHTS),
        "ERR" if is_denied(text) => (ErrorKind::Io, "ERR unknown command", RIGHTS),
        "ERR" if is_denied_within(text) => (
            ErrorKind::Io,
            "ERR unknown command, or a forbidden one, in a script",
            RIGHTS,
        ),
        "NOAUTH" | "WRONGPASS" => (ErrorKind::Io, code, "check the user and the password"),
        "OOM" => (
            ErrorKind::Io,
            code,
            "the server's memory is full: raise `maxmemory`",
        ),
        "MISCONF" => (
            ErrorKind::Io,
            code,
            "the server can't write to its disk, and refuses changes until it can: its log says why",
        ),
        "WRONGTYPE" => (
            ErrorKind::Decode,
            code,
            "a value of another type than a string is in the place of a session: delete it, or give each application a \
             prefix of its own",
        ),
        "ERR" if text.contains("SELECT") || text.contains("DB index") => (
            ErrorKind::InvalidInput,
            code,
            "the server has no such database, and a cluster only 0",
        ),
        "ERR" if text.contains("AUTH") || text.contains("unauthenticated") => {
            (ErrorKind::Io, code, "check the user and the password")
        }
        _ => (ErrorKind::Io, code, ""),
    };
    let shown: String = shown
        .chars()
        .take(120)
        .filter(|c| !c.is_control())
        .collect();
    let what = format!("the server at `{by}` refused a command: {shown}");
    Error::new(kind, what).advise(advice)
}

/// Of what the server said only the code is shown, which names no key.
pub(super) fn not_now(server: &Address, text: &str) -> Error {
    let code = code(text);
    let error = Error::not_now(format!("the server at `{server}` is not ready: {code}"));
    error.advise(match code {
        "READONLY" | "MASTERDOWN" => "it is a replica: connect to the primary",
        "NOREPLICAS" => "it has fewer replicas than its `min-replicas-to-write` asks for",
        "BUSY" => "a script of somebody else holds it up: `SCRIPT KILL` ends that",
        "CLUSTERDOWN" => "a slot has no server: see `CLUSTER INFO`",
        _ => "try again later",
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn no_two_connections_number_their_questions_alike() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let to = Address::Tcp {
            host: "127.0.0.1".into(),
            port: listener.local_addr().unwrap().port(),
        };
        let until = now() + Duration::from_secs(60);
        let open = |_| Connection::open(&to, &Login::default(), until).unwrap();
        let mut numbers: Vec<u64> = (0..8).map(open).map(|it| it.questions).collect();
        numbers.sort_unstable();
        let far = |two: &[u64]| two[1] - two[0] > 1000;
        assert!(numbers.windows(2).all(far), "{numbers:?}");
    }

    #[test]
    fn a_fork_numbers_its_questions_unlike_its_parent() {
        let [parent, fork] = [7, 8].map(|process| of_process(u64::MAX, process));
        assert!(parent.abs_diff(fork) > 1000, "{parent} {fork}");
    }

    #[test]
    fn a_call_that_the_system_does_not_come_back_from_is_given_up_and_so_are_too_many() {
        let (let_go, held) = std::sync::mpsc::channel::<()>();
        let held = Arc::new(Mutex::new(held));
        let soon = || now() + Duration::from_millis(1);
        for _ in 0..WAITING_MAX + 3 {
            let held = Arc::clone(&held);
            let given_up = within(soon(), move || {
                let _ = held.lock().unwrap_or_else(PoisonError::into_inner).recv();
                Ok(())
            });
            assert_eq!(given_up.unwrap_err().kind(), io::ErrorKind::TimedOut);
            assert!(WAITING.load(Ordering::Relaxed) <= WAITING_MAX);
        }
        drop(let_go);
        let until = now() + Duration::from_secs(60);
        while within(until, || Ok(())).is_err() {
            assert!(now() < until, "the threads that waited have not ended");
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_connection_over_which_more_came_than_was_asked_for_is_not_sound() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let serving = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut question = [0; "*1\r\n$4\r\nPING\r\n".len()];
            stream.read_exact(&mut question).unwrap();
            stream.write_all(b"+PONG\r\n+more\r\n").unwrap();
            stream
        });
        let to = Address::Tcp {
            host: "127.0.0.1".into(),
            port,
        };
        let until = now() + Duration::from_secs(60);
        let mut connection = Connection::open(&to, &Login::default(), until).unwrap();
        let question = Question {
            bounds: Bounds::new(64, 0, 0),
            write: &|to| {
                write_command(to, &[b"PING"]);
                1
            },
            owns: Some(&|_: &mut [Reply]| true),
        };
        assert_eq!(connection.ask(until, &question).unwrap().len(), 1);
        assert!(!connection.is_sound());
        serving.join().unwrap();
    }

    #[test]
    fn an_idle_connection_keeps_two_small_buffers_whatever_went_over_it() {
        const LEN: usize = 1 << 20;
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let serving = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut question = vec![0; LEN];
            stream.read_exact(&mut question).unwrap();
            let head = format!("${LEN}\r\n");
            let answer = [head.as_bytes(), &question, b"\r\n$1\r\n1\r\n"].concat();
            stream.write_all(&answer).unwrap();
            stream
        });
        let to = Address::Tcp {
            host: "127.0.0.1".into(),
            port,
        };
        let until = now() + Duration::from_secs(60);
        let mut connection = Connection::open(&to, &Login::default(), until).unwrap();
        connection.questions = 0;
        let question = Question {
            bounds: Bounds::new(LEN, 0, 0),
            // With the number that stands behind it, a little more than the server waits for.
            write: &|to| {
                write_command(to, &[b"GET", &vec![b'x'; LEN]]);
                1
            },
            owns: None,
        };
        let replies = connection.ask(until, &question).unwrap();
        assert!(matches!(&replies[..], [Reply::Bulk(answer)] if answer.len() == LEN));
        assert!(connection.is_sound());
        let kept = (connection.output.capacity(), connection.input.capacity());
        assert!(kept.0 <= KEPT_BYTES && kept.1 == BUFFER_BYTES, "{kept:?}");
        serving.join().unwrap();
    }
}
