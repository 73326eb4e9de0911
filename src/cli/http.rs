//! As much of HTTP/1.1 (RFC 9112) as a browser on this machine needs, with a limit on everything.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use shelflife::manager::Origin;

use crate::cli::failure::{self, Failure};

const THREADS: usize = 16;
/// Connections that wait for a thread; those beyond wait in the system's queue.
const WAITING_MAX: usize = 64;
/// How long a thread listens to a connection that asks nothing: this long at most,
const IDLE_MAX: Duration = Duration::from_secs(10);
/// and, so that it gets to say something at all, this long even if others wait.
const IDLE_MIN: Duration = Duration::from_millis(100);
/// The policy of an answer that is no page: it may do nothing.
const NOTHING: &str = "default-src 'none'; frame-ancestors 'none'";
const HEAD_BYTES_MAX: usize = 16 * 1024;
const BODY_BYTES_MAX: usize = 64 * 1024;
/// From the first byte of a request to its last.
const REQUEST_TIME_MAX: Duration = Duration::from_secs(10);
const WRITE_TIME_MAX: Duration = Duration::from_secs(10);
/// How often a connection without a request looks whether its thread is wanted elsewhere.
const IDLE_STEP: Duration = Duration::from_millis(20);

#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: Form,
    pub(crate) body: Form,
    /// The `Cookie` fields as they came: a cookie of another program that is no text locks nobody out.
    pub(crate) cookies: Vec<Vec<u8>>,
    host: Vec<u8>,
    origin: Option<Vec<u8>>,
    sec_fetch_site: Option<Vec<u8>>,
    /// The browser's `User-Agent`.
    pub(crate) agent: String,
    pub(crate) keep_alive: bool,
}

impl Request {
    pub(crate) fn origin(&self) -> Origin<'_> {
        Origin {
            method: &self.method,
            sec_fetch_site: self.sec_fetch_site.as_deref(),
            origin: self.origin.as_deref(),
            host: Some(&self.host),
        }
    }
}

/// Pairs of `application/x-www-form-urlencoded`.
#[derive(Debug, Default)]
pub(crate) struct Form(Vec<(String, String)>);

impl Form {
    fn parse(text: &str) -> Form {
        let pairs = text.split('&').filter(|pair| !pair.is_empty());
        let pairs = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        Form(
            pairs
                .map(|(name, value)| (decode(name), decode(value)))
                .collect(),
        )
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }
}

/// Percent-decoding; a `%` without two hex digits behind it stands for itself.
fn decode(text: &str) -> String {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, behind)) = rest.split_first() {
        rest = behind;
        bytes.push(match (byte, behind) {
            (b'+', _) => b' ',
            (b'%', [high, low, behind @ ..]) => match (digit(*high), digit(*low)) {
                (Some(high), Some(low)) => {
                    rest = behind;
                    u8::try_from(high * 16 + low).unwrap_or(byte)
                }
                _ => byte,
            },
            _ => byte,
        });
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: &'static str,
    pub(crate) content_type: &'static str,
    pub(crate) body: String,
    /// Where to go on, after a form was taken.
    pub(crate) location: Option<&'static str>,
    /// How long a browser may keep it; `None` for what is made anew for each request.
    pub(crate) max_age: Option<u32>,
    /// Its `Content-Security-Policy`.
    pub(crate) policy: String,
    /// Its `Referrer-Policy`.
    pub(crate) referrer: &'static str,
    /// Of its session.
    pub(crate) headers: Vec<(String, String)>,
}

impl Response {
    pub(crate) fn new(
        status: &'static str,
        content_type: &'static str,
        body: impl Into<String>,
    ) -> Response {
        Response {
            status,
            content_type,
            body: body.into(),
            location: None,
            max_age: None,
            policy: NOTHING.to_string(),
            referrer: "no-referrer",
            headers: Vec::new(),
        }
    }

    pub(crate) fn text(status: &'static str, body: impl Into<String>) -> Response {
        Response::new(status, "text/plain; charset=utf-8", body)
    }

    pub(crate) fn refused(status: &'static str) -> Response {
        Response::text(status, format!("{status}\n"))
    }

    pub(crate) fn see(location: &'static str) -> Response {
        Response {
            location: Some(location),
            ..Response::text("303 See Other", "303 See Other\n")
        }
    }
}

/// Why there is no request to answer.
#[derive(Debug)]
enum NoRequest {
    /// The other side is gone, or silent for too long.
    Closed,
    /// It is no request that can be answered but by a refusal with this status.
    Refused(&'static str),
}

impl From<io::Error> for NoRequest {
    fn from(_: io::Error) -> NoRequest {
        NoRequest::Closed
    }
}

#[derive(Debug)]
struct Connection {
    stream: TcpStream,
    /// Bytes received and not yet understood; a client may send its next request before it has this answer.
    received: Vec<u8>,
}

impl Connection {
    fn new(stream: TcpStream) -> io::Result<Connection> {
        stream.set_nodelay(true)?;
        stream.set_write_timeout(Some(WRITE_TIME_MAX))?;
        Ok(Connection {
            stream,
            received: Vec::new(),
        })
    }

    /// Waits until there is something to read, for as long as `patience` says, given how long it waits already.
    fn wait(&mut self, patience: impl Fn(Duration) -> bool) -> bool {
        let start = Instant::now();
        while self.received.is_empty() {
            if !patience(start.elapsed()) || self.stream.set_read_timeout(Some(IDLE_STEP)).is_err()
            {
                return false;
            }
            match self.receive() {
                Ok(()) => {}
                Err(error) if timed_out(&error) => {}
                Err(_) => return false,
            }
        }
        true
    }

    /// Reads one request.
    fn request(&mut self) -> Result<Request, NoRequest> {
        let deadline = Instant::now() + REQUEST_TIME_MAX;
        let head_len = loop {
            let end = self
                .received
                .windows(4)
                .position(|bytes| bytes == b"\r\n\r\n");
            match end {
                Some(end) if end <= HEAD_BYTES_MAX => break end,
                None if has_bare_end_of_line(&self.received) => {
                    return Err(NoRequest::Refused("400 Bad Request"));
                }
                None if self.received.len() <= HEAD_BYTES_MAX => self.receive_until(deadline)?,
                _ => return Err(NoRequest::Refused("431 Request Header Fields Too Large")),
            }
        };
        let head: Vec<u8> = self.received.drain(..head_len + 4).take(head_len).collect();
        let (mut request, body_len) = parse_head(&head)?;
        while self.received.len() < body_len {
            self.receive_until(deadline)?;
        }
        let body: Vec<u8> = self.received.drain(..body_len).collect();
        request.body = Form::parse(&String::from_utf8_lossy(&body));
        Ok(request)
    }

    fn receive_until(&mut self, deadline: Instant) -> Result<(), NoRequest> {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(NoRequest::Refused("408 Request Timeout"));
        }
        self.stream.set_read_timeout(Some(left))?;
        self.receive().map_err(|error| match timed_out(&error) {
            true => NoRequest::Refused("408 Request Timeout"),
            false => NoRequest::Closed,
        })
    }

    fn receive(&mut self) -> io::Result<()> {
        let mut buf = [0; 4096];
        match self.stream.read(&mut buf)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            len => {
                self.received.extend_from_slice(&buf[..len]);
                Ok(())
            }
        }
    }

    /// Sends a response; of an answer to `HEAD`, everything but the body.
    fn respond(&mut self, response: &Response, method: &str, keep_alive: bool) -> io::Result<()> {
        let cache = match response.max_age {
            Some(seconds) => format!("max-age={seconds}"),
            None => "no-store".to_string(),
        };
        let mut text = format!(
            "HTTP/1.1 {}\r\nContent-Type: {}\r\nContent-Length: {}\r\nConnection: {}\r\n\
             Cache-Control: {cache}\r\nContent-Security-Policy: {}\r\nReferrer-Policy: {}\r\n\
             X-Content-Type-Options: nosniff\r\nX-Frame-Options: DENY\r\n\
             Cross-Origin-Opener-Policy: same-origin\r\nCross-Origin-Resource-Policy: same-origin\r\n",
            response.status,
            response.content_type,
            response.body.len(),
            if keep_alive { "keep-alive" } else { "close" },
            response.policy,
            response.referrer,
        );
        if let Some(location) = response.location {
            text.push_str(&format!("Location: {location}\r\n"));
        }
        // A page is `no-store` already, which is more than its session asks for; the style sheet looks at no session.
        let headers = response
            .headers
            .iter()
            .filter(|(name, _)| name != "Cache-Control");
        for (name, value) in headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        text.push_str("\r\n");
        if method != "HEAD" {
            text.push_str(&response.body);
        }
        self.stream.write_all(text.as_bytes())
    }
}

fn timed_out(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted
    )
}

/// The request line and the fields, and the length of the body to come (RFC 9112 sections 3 and 5). A head that could
/// be read in two ways is refused: by such a head one request is passed off as two, or a page of another site as one of
/// this.
fn parse_head(head: &[u8]) -> Result<(Request, usize), NoRequest> {
    let malformed = || NoRequest::Refused("400 Bad Request");
    if head.contains(&0) || has_bare_end_of_line(head) || head.ends_with(b"\r") {
        return Err(malformed());
    }
    let lines = head.split(|byte| *byte == b'\n');
    let mut lines = lines.map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let first = str::from_utf8(lines.next().unwrap_or_default()).map_err(|_| malformed())?;
    let mut words = first.split(' ');
    let (Some(method), Some(target), Some(version), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(malformed());
    };
    let mut keep_alive = match version {
        "HTTP/1.1" => true,
        "HTTP/1.0" => false,
        _ => return Err(NoRequest::Refused("505 HTTP Version Not Supported")),
    };
    if !is_token(method.as_bytes()) || !target.starts_with('/') {
        return Err(malformed());
    }
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut body_len = None;
    let mut host = None;
    let mut request = Request {
        method: method.to_string(),
        path: path.to_string(),
        query: Form::parse(query),
        body: Form::default(),
        cookies: Vec::new(),
        host: Vec::new(),
        origin: None,
        sec_fetch_site: None,
        agent: String::new(),
        keep_alive,
    };
    for line in lines {
        let colon = line
            .iter()
            .position(|byte| *byte == b':')
            .ok_or_else(malformed)?;
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        // A blank before the colon, or at the start of a line that continues another, is no part of a name.
        if !is_token(name) {
            return Err(malformed());
        }
        let once = |place: &mut Option<Vec<u8>>| match place.replace(value.to_vec()) {
            None => Ok(()),
            Some(_) => Err(malformed()),
        };
        match name.to_ascii_lowercase().as_slice() {
            b"content-length" => {
                let len = length(value).ok_or_else(malformed)?;
                if body_len.replace(len).is_some() {
                    return Err(malformed());
                }
            }
            b"transfer-encoding" => return Err(NoRequest::Refused("501 Not Implemented")),
            b"host" => once(&mut host)?,
            b"origin" => once(&mut request.origin)?,
            b"sec-fetch-site" => once(&mut request.sec_fetch_site)?,
            b"connection" => {
                let mut words = value.split(|byte| *byte == b',');
                keep_alive &= !words.any(|word| word.trim_ascii().eq_ignore_ascii_case(b"close"));
            }
            b"cookie" => request.cookies.push(value.to_vec()),
            b"user-agent" => request.agent = String::from_utf8_lossy(value).into_owned(),
            _ => {}
        }
    }
    let host = host.ok_or_else(malformed)?;
    if !names_this_machine(&host) {
        return Err(NoRequest::Refused("421 Misdirected Request"));
    }
    (request.host, request.keep_alive) = (host, keep_alive);
    match usize::try_from(body_len.unwrap_or(0)) {
        Ok(len) if len <= BODY_BYTES_MAX => Ok((request, len)),
        _ => Err(NoRequest::Refused("413 Content Too Large")),
    }
}

/// Whether a CR or a LF stands without its other half; a CR at the end may still get it.
fn has_bare_end_of_line(head: &[u8]) -> bool {
    let bare = |pair: &[u8]| {
        matches!(pair, [b'\r', after] if *after != b'\n')
            || matches!(pair, [before, b'\n'] if *before != b'\r')
    };
    head.first() == Some(&b'\n') || head.windows(2).any(bare)
}

/// Digits alone. A length beyond 64 bits is as much too large as any other.
fn length(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let text = str::from_utf8(digits).ok()?;
    Some(text.parse().unwrap_or(u64::MAX))
}

/// Another name that leads here is a page of somebody else's that means to be read as one of this site (DNS rebinding).
fn names_this_machine(host: &[u8]) -> bool {
    let Ok(host) = str::from_utf8(host) else {
        return false;
    };
    let (name, port) = match host.rsplit_once(':') {
        Some((name, port)) if !port.ends_with(']') => (name, port),
        _ => (host, "80"),
    };
    let is_port = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    let names = ["localhost", "127.0.0.1", "[::1]"];
    is_port && names.iter().any(|ours| name.eq_ignore_ascii_case(ours))
}

fn is_token(bytes: &[u8]) -> bool {
    let is_letter = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    !bytes.is_empty() && bytes.iter().all(is_letter)
}

/// Listens on a port, any that is free for 0, and says which.
pub(crate) fn listen(port: u16) -> failure::Result<(TcpListener, u16)> {
    let listening = TcpListener::bind((Ipv4Addr::LOCALHOST, port))
        .and_then(|listener| listener.local_addr().map(|is| (listener, is.port())));
    listening.map_err(|error| {
        let what = format!("failed to listen on port {port}; give a free one with --port");
        Failure::Io(what, error)
    })
}

/// Answers for ever, given each request and where it comes from.
pub(crate) fn serve(
    listener: &TcpListener,
    answer: &(impl Fn(&Request, IpAddr) -> Response + Sync),
) {
    let (sender, receiver) = mpsc::sync_channel(WAITING_MAX);
    let receiver = Mutex::new(receiver);
    let waiting = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| work(&receiver, &waiting, answer));
        }
        for stream in listener.incoming() {
            match stream {
                Ok(stream) => {
                    waiting.fetch_add(1, Ordering::Relaxed);
                    if sender.send(stream).is_err() {
                        return;
                    }
                }
                // Out of file descriptors, most likely: some are freed as connections end.
                Err(_) => thread::sleep(Duration::from_millis(100)),
            }
        }
    });
}

fn work(
    receiver: &Mutex<Receiver<TcpStream>>,
    waiting: &AtomicUsize,
    answer: &impl Fn(&Request, IpAddr) -> Response,
) {
    loop {
        let received = receiver
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .recv();
        let Ok(stream) = received else {
            return;
        };
        waiting.fetch_sub(1, Ordering::Relaxed);
        // A connection that breaks is the visitor's doing, and the next visitor's turn.
        let _ = converse(stream, waiting, answer);
    }
}

/// Answers the requests of one connection, until it ends or others wait while it is silent.
fn converse(
    stream: TcpStream,
    waiting: &AtomicUsize,
    answer: &impl Fn(&Request, IpAddr) -> Response,
) -> io::Result<()> {
    let visitor = stream.peer_addr()?.ip();
    let mut connection = Connection::new(stream)?;
    let patience = |idle: Duration| {
        idle < IDLE_MIN || (idle < IDLE_MAX && waiting.load(Ordering::Relaxed) == 0)
    };
    while connection.wait(patience) {
        match connection.request() {
            Ok(request) => {
                let response = answer(&request, visitor);
                connection.respond(&response, &request.method, request.keep_alive)?;
                if !request.keep_alive {
                    break;
                }
            }
            Err(NoRequest::Closed) => break,
            Err(NoRequest::Refused(status)) => {
                connection.respond(&Response::refused(status), "", false)?;
                break;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_are_decoded_and_broken_escapes_stand_for_themselves() {
        let form = Form::parse("name=Ann+Lee%21&city=Z%C3%BCrich&&odd=%4&bad=%zz&end=%&flag&x=%ff");
        let get = |name| form.get(name).unwrap();
        assert_eq!((get("name"), get("city")), ("Ann Lee!", "Zürich"));
        assert_eq!(
            (get("odd"), get("bad"), get("end"), get("flag")),
            ("%4", "%zz", "%", "")
        );
        assert_eq!(get("x"), "\u{fffd}");
        assert!(form.get("absent").is_none());
    }

    const HOST: &str = "\r\nHost: 127.0.0.1:8080";

    fn parse(head: impl AsRef<[u8]>) -> Result<(Request, usize), &'static str> {
        parse_head(head.as_ref()).map_err(|no| match no {
            NoRequest::Refused(status) => status,
            NoRequest::Closed => "closed",
        })
    }

    #[test]
    fn a_request_head_is_read_as_it_came() {
        let head = format!(
            "POST /login?a=1 HTTP/1.1{HOST}\r\nCookie: x=1; session=abc\r\ncontent-length: 7\r\nConnection: Close\r\n\
             Origin:http://a\r\nSEC-FETCH-SITE: same-origin \r\nUser-Agent:\tTea/1"
        );
        let (request, body_len) = parse(head).unwrap();
        assert_eq!(
            (request.method.as_str(), request.path.as_str(), body_len),
            ("POST", "/login", 7)
        );
        assert_eq!(request.cookies, [b"x=1; session=abc"]);
        assert_eq!(request.query.get("a"), Some("1"));
        assert_eq!(request.agent, "Tea/1");
        let origin = request.origin();
        assert_eq!(origin.host, Some(b"127.0.0.1:8080".as_slice()));
        assert_eq!(origin.origin, Some(b"http://a".as_slice()));
        assert_eq!(origin.sec_fetch_site, Some(b"same-origin".as_slice()));
        assert!(!request.keep_alive);
        assert!(parse(format!("GET / HTTP/1.1{HOST}")).unwrap().0.keep_alive);
        assert!(!parse(format!("GET / HTTP/1.0{HOST}")).unwrap().0.keep_alive);
        let odd = [
            b"GET / HTTP/1.1\r\nHost: localhost\r\nCookie: a=\xFF".as_slice(),
            b"",
        ]
        .concat();
        assert_eq!(parse(odd).unwrap().0.cookies, [b"a=\xFF"]);
    }

    #[test]
    fn what_can_be_read_in_two_ways_is_refused() {
        let bad = "400 Bad Request";
        for (fields, status) in [
            ("", bad),
            ("\r\nHost: 127.0.0.1\r\nHost: 127.0.0.1", bad),
            ("\r\nHost: evil.example", "421 Misdirected Request"),
            (
                "\r\nHost: 127.0.0.1.evil.example",
                "421 Misdirected Request",
            ),
            ("\r\nHost: 127.0.0.1:x", "421 Misdirected Request"),
            ("\r\nHost: 127.0.0.1:", "421 Misdirected Request"),
            ("\r\nHost:", "421 Misdirected Request"),
            ("HOST\r\nno colon", bad),
            ("HOST\r\n: nameless", bad),
            ("HOST\r\nContent-Length : 47", bad),
            ("HOST\r\nContent-Length\t: 47", bad),
            ("HOST\r\nTransfer-Encoding : chunked", bad),
            ("HOST\r\nX: a\r\n folded", bad),
            ("HOST\r\nX: a\r\n\tfolded: b", bad),
            ("HOST\r\nX: a\nY: b", bad),
            ("HOST\r\nX: a\rY: b", bad),
            ("HOST\r\nX: a\r", bad),
            ("HOST\r\nX: \0", bad),
            ("HOST\r\ncontent-length: +1", bad),
            ("HOST\r\ncontent-length: 1 1", bad),
            ("HOST\r\ncontent-length:", bad),
            ("HOST\r\ncontent-length: 1\r\nContent-Length: 1", bad),
            ("HOST\r\nTransfer-Encoding: chunked", "501 Not Implemented"),
            ("HOST\r\nContent-Length: 65537", "413 Content Too Large"),
            (
                "HOST\r\nContent-Length: 4294967296",
                "413 Content Too Large",
            ),
            (
                "HOST\r\nContent-Length: 99999999999999999999999",
                "413 Content Too Large",
            ),
        ] {
            let head = format!("POST / HTTP/1.1{}", fields.replace("HOST", HOST));
            assert_eq!(parse(&head).unwrap_err(), status, "{head:?}");
        }
        for host in [
            "127.0.0.1",
            "localhost",
            "LOCALHOST:1",
            "[::1]",
            "[::1]:8080",
        ] {
            assert!(
                parse(format!("GET / HTTP/1.1\r\nHost: {host}")).is_ok(),
                "{host}"
            );
        }
        for (line, status) in [
            ("", bad),
            ("GET /", bad),
            ("GET / HTTP/1.1 x", bad),
            ("G(T / HTTP/1.1", bad),
            ("GET http://a/ HTTP/1.1", bad),
            ("GET / HTTP/3", "505 HTTP Version Not Supported"),
        ] {
            assert_eq!(
                parse(format!("{line}{HOST}")).unwrap_err(),
                status,
                "{line}"
            );
        }
    }
}
