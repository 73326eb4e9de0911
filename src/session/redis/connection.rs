//! One connection to one server, with an end to every wait.
//!
//! A connection is *sound* while each command that was sent has its whole reply and not a byte more has come. One
//! that is not sound is dropped: its next reply may be the answer to somebody else's question, and with it somebody
//! else's session.
//!
//! A reply that nobody asked for may come at any moment, also between a look at the connection and the next question.
//! So each answer says to which question it belongs: the answer of a script ends with the mark of its command, and other
//! commands follow a number that the server has to repeat (`ECHO`). That takes no system call, where a look takes three.

use super::reply::{Bounds, Reply, read_reply, write_command};
use super::url::{Address, Login};
use crate::error::{Error, ErrorKind};
use crate::store::disk::{Disk, os::OsDisk};
use std::io::{self, BufReader, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
#[cfg(unix)]
use std::os::unix::net::UnixStream;
use std::time::Duration;

const BUFFER_BYTES: usize = 2048;

/// The number of a question.
const NUMBER_BOUNDS: Bounds = Bounds::new(20, 0, 0);

/// The size of the buffer that a connection keeps for the next command; the buffer of a longer one is freed.
const KEPT_BYTES: usize = 2048;

/// A wait may be this much longer than asked for, so that the usual command needs no system call to shorten it.
const SLACK: Duration = Duration::from_millis(5);

/// A clock that only goes forward; every deadline is a moment of it.
pub(super) fn now() -> Duration {
    OsDisk.monotonic()
}

/// Why there is no reply. The connection is of no more use.
#[derive(Debug)]
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
    sound: bool,
    process: u32,
    /// How many questions without marks were asked over it.
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
            sound: true,
            process: OsDisk.process(),
            questions: 0,
        };
        let replies = connection.exchange(until, Bounds::new(0, 0, 0), &|commands| {
            let mut count = 0;
            if let Some(password) = &login.password {
                match &login.user {
                    Some(user) => {
                        write_command(commands, &[b"AUTH", user.as_bytes(), password.as_bytes()])
                    }
                    None => write_command(commands, &[b"AUTH", password.as_bytes()]),
                }
                count += 1;
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
                return Err(Failed::Refused(refused(to, &text)));
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
            false => Err(self.got_the_answer_to_another()),
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
        let replies = self.exchange(until, bounds, &|commands| {
            write_command(commands, &[b"ECHO", number.as_bytes()]);
            1 + (question.write)(commands)
        })?;
        let mut replies = replies.into_iter();
        let first = replies.next();
        let mut replies: Vec<Reply> = replies.collect();
        let is_refused = |reply: &Reply| matches!(reply, Reply::Error(_));
        match first {
            Some(Reply::Bulk(echo)) if echo == number.as_bytes() => Ok(replies),
            // A server that is loading refuses all.
            Some(Reply::Error(_)) if replies.iter().all(is_refused) => Ok(replies),
            Some(Reply::Error(text)) if text.starts_with("NOPERM") => {
                replies.fill(Reply::Error(text));
                Ok(replies)
            }
            _ => Err(self.got_the_answer_to_another()),
        }
    }

    fn got_the_answer_to_another(&mut self) -> Failed {
        self.sound = false;
        let what = "the server sent an answer to another question";
        let cause = io::Error::new(io::ErrorKind::ConnectionReset, what);
        Failed::Unanswered { cause, sent: true }
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
        self.sound = false;
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
            let reply = read_reply(&mut self.input, bounds);
            replies.push(reply.map_err(|cause| Failed::Unanswered { cause, sent: true })?);
        }
        self.sound = self.input.buffer().is_empty();
        Ok(replies)
    }

    pub(super) fn is_sound(&self) -> bool {
        self.sound
    }

    /// Whether no fork shares the connection: parent and child would get each other's replies.
    pub(super) fn is_ours(&self) -> bool {
        self.process == OsDisk.process()
    }

    /// Whether nothing has come since the last reply, not even that the server hung up.
    pub(super) fn is_quiet(&mut self) -> bool {
        self.sound && self.input.get_mut().is_silent()
    }
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
            Address::Unix(path) => Stream::Unix(UnixStream::connect(path)?),
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

/// A signal, or the end of a wait: [`Wire::arm`] decides whether there is time for another.
fn is_passing(cause: &io::Error) -> bool {
    use io::ErrorKind::{Interrupted, TimedOut, WouldBlock};
    matches!(cause.kind(), Interrupted | TimedOut | WouldBlock)
}

/// The first of the host's addresses that answers; the time is divided among them.
fn connect_tcp(host: &str, port: u16, until: Duration) -> io::Result<TcpStream> {
    let addresses: Vec<_> = (host, port).to_socket_addrs()?.collect();
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
    let (code, _) = text.split_once(' ').unwrap_or((text, ""));
    let (kind, shown, advice) = match code {
        "NOPERM" => (
            ErrorKind::Io,
            text,
            "give the user the rights that `RedisSessionStore` lists",
        ),
        "NOAUTH" | "WRONGPASS" => (ErrorKind::Io, code, "check the user and the password"),
        "OOM" => (
            ErrorKind::Io,
            code,
            "the server's memory is full: raise `maxmemory`",
        ),
        "WRONGTYPE" => (
            ErrorKind::Decode,
            code,
            "another application uses this prefix",
        ),
        "ERR" if text.contains("SELECT") || text.contains("DB index") => (
            ErrorKind::InvalidInput,
            code,
            "the server has no such database, and a cluster only 0",
        ),
        "ERR" if text.contains("AUTH") => (ErrorKind::Io, code, "check the user and the password"),
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn an_idle_connection_keeps_two_small_buffers_whatever_went_over_it() {
        const LEN: usize = 1 << 20;
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let serving = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut question = vec![0; LEN];
            stream.read_exact(&mut question).unwrap();
            let head = format!("$1\r\n1\r\n${LEN}\r\n");
            let answer = [head.as_bytes(), &question, b"\r\n"].concat();
            stream.write_all(&answer).unwrap();
            stream
        });
        let to = Address::Tcp {
            host: "127.0.0.1".into(),
            port,
        };
        let until = now() + Duration::from_secs(60);
        let mut connection = Connection::open(&to, &Login::default(), until).unwrap();
        let question = Question {
            bounds: Bounds::new(LEN, 0, 0),
            // With the number that stands before it, a little more than the server waits for.
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
