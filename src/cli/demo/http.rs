//! As much of HTTP/1.1 (RFC 9112) as a browser needs, with a limit on everything.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

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
    cookies: String,
    pub(crate) keep_alive: bool,
}

impl Request {
    pub(crate) fn cookie(&self, name: &str) -> Option<&str> {
        let mut pairs = self
            .cookies
            .split(';')
            .filter_map(|pair| pair.split_once('='));
        pairs
            .find(|(key, _)| key.trim() == name)
            .map(|(_, value)| value.trim())
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
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        match (byte, tail) {
            (b'+', _) => bytes.push(b' '),
            (b'%', [high, low, behind @ ..]) => match (hex(*high), hex(*low)) {
                (Some(high), Some(low)) => {
                    bytes.push(high << 4 | low);
                    rest = behind;
                }
                _ => bytes.push(b'%'),
            },
            _ => bytes.push(byte),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .and_then(|value| u8::try_from(value).ok())
}

#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: &'static str,
    pub(crate) content_type: &'static str,
    pub(crate) body: String,
    /// The value of `Set-Cookie`.
    pub(crate) set_cookie: Option<String>,
}

impl Response {
    pub(crate) fn text(status: &'static str, body: impl Into<String>) -> Response {
        Response {
            status,
            content_type: "text/plain; charset=utf-8",
            body: body.into(),
            set_cookie: None,
        }
    }
}

/// Why there is no request to answer.
#[derive(Debug)]
pub(crate) enum NoRequest {
    /// The other side is gone, or silent for too long.
    Closed,
    /// What it sent can't be answered otherwise.
    Refused(Response),
}

impl From<io::Error> for NoRequest {
    fn from(_: io::Error) -> NoRequest {
        NoRequest::Closed
    }
}

fn refuse(status: &'static str) -> NoRequest {
    NoRequest::Refused(Response::text(status, format!("{status}\n")))
}

#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    /// Bytes received and not yet understood; a client may send its next request before it has this answer.
    received: Vec<u8>,
}

impl Connection {
    pub(crate) fn new(stream: TcpStream) -> io::Result<Connection> {
        stream.set_nodelay(true)?;
        stream.set_write_timeout(Some(WRITE_TIME_MAX))?;
        Ok(Connection {
            stream,
            received: Vec::new(),
        })
    }

    /// Waits until there is something to read, for as long as `patience` says, given how long it waits already.
    pub(crate) fn wait(&mut self, patience: impl Fn(Duration) -> bool) -> bool {
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
    pub(crate) fn request(&mut self) -> Result<Request, NoRequest> {
        let deadline = Instant::now() + REQUEST_TIME_MAX;
        let head_len = loop {
            let end = self
                .received
                .windows(4)
                .position(|bytes| bytes == b"\r\n\r\n");
            match end {
                Some(end) if end <= HEAD_BYTES_MAX => break end,
                None if self.received.len() <= HEAD_BYTES_MAX => self.receive_until(deadline)?,
                _ => return Err(refuse("431 Request Header Fields Too Large")),
            }
        };
        let head: Vec<u8> = self.received.drain(..head_len + 4).take(head_len).collect();
        let head = String::from_utf8(head).map_err(|_| refuse("400 Bad Request"))?;
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
            return Err(refuse("408 Request Timeout"));
        }
        self.stream.set_read_timeout(Some(left))?;
        self.receive().map_err(|error| match timed_out(&error) {
            true => refuse("408 Request Timeout"),
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
    pub(crate) fn respond(
        &mut self,
        response: &Response,
        method: &str,
        keep_alive: bool,
    ) -> io::Result<()> {
        let mut text = format!(
            "HTTP/1.1 {}\r\nContent-Type: {}\r\nContent-Length: {}\r\nConnection: {}\r\n\
             Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n",
            response.status,
            response.content_type,
            response.body.len(),
            if keep_alive { "keep-alive" } else { "close" },
        );
        if let Some(cookie) = &response.set_cookie {
            text.push_str(&format!("Set-Cookie: {cookie}\r\n"));
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

/// The request line and the fields, and the length of the body to come.
fn parse_head(head: &str) -> Result<(Request, usize), NoRequest> {
    let malformed = || refuse("400 Bad Request");
    let mut lines = head.split("\r\n");
    let mut words = lines.next().unwrap_or_default().split(' ');
    let (Some(method), Some(target), Some(version), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(malformed());
    };
    let mut keep_alive = match version {
        "HTTP/1.1" => true,
        "HTTP/1.0" => false,
        _ => return Err(refuse("505 HTTP Version Not Supported")),
    };
    if !target.starts_with('/') {
        return Err(malformed());
    }
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut body_len = None;
    let mut cookies = Vec::new();
    for line in lines {
        let (name, value) = line.split_once(':').ok_or_else(malformed)?;
        let value = value.trim();
        match name.to_ascii_lowercase().as_str() {
            "content-length" => {
                // Two lengths, or one that can be read in two ways, is how requests are smuggled.
                let digits = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
                let len: usize = value.parse().map_err(|_| malformed())?;
                if !digits || body_len.replace(len).is_some() {
                    return Err(malformed());
                }
            }
            "transfer-encoding" => return Err(refuse("501 Not Implemented")),
            "connection" => {
                let close = value
                    .split(',')
                    .any(|word| word.trim().eq_ignore_ascii_case("close"));
                keep_alive &= !close;
            }
            "cookie" => cookies.push(value),
            _ => {}
        }
    }
    let body_len = body_len.unwrap_or(0);
    if body_len > BODY_BYTES_MAX {
        return Err(refuse("413 Content Too Large"));
    }
    let request = Request {
        method: method.to_string(),
        path: path.to_string(),
        query: Form::parse(query),
        body: Form::default(),
        cookies: cookies.join(";"),
        keep_alive,
    };
    Ok((request, body_len))
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

    #[test]
    fn a_request_head_is_read_strictly() {
        let parse = |head: &str| match parse_head(head) {
            Ok((request, body_len)) => Ok((request, body_len)),
            Err(NoRequest::Refused(response)) => Err(response.status),
            Err(NoRequest::Closed) => Err("closed"),
        };
        let (request, body_len) =
            parse("POST /login?a=1 HTTP/1.1\r\nCookie: x=1; session=abc\r\ncontent-length: 7\r\nConnection: Close").unwrap();
        assert_eq!(
            (request.method.as_str(), request.path.as_str(), body_len),
            ("POST", "/login", 7)
        );
        assert_eq!(
            (
                request.cookie("session"),
                request.cookie("sess"),
                request.query.get("a")
            ),
            (Some("abc"), None, Some("1"))
        );
        assert!(!request.keep_alive);
        assert!(parse("GET / HTTP/1.1").unwrap().0.keep_alive);
        assert!(!parse("GET / HTTP/1.0").unwrap().0.keep_alive);
        for (head, status) in [
            ("", "400 Bad Request"),
            ("GET /", "400 Bad Request"),
            ("GET / HTTP/1.1 x", "400 Bad Request"),
            ("GET http://a/ HTTP/1.1", "400 Bad Request"),
            ("GET / HTTP/1.1\r\nno colon", "400 Bad Request"),
            ("GET / HTTP/1.1\r\ncontent-length: +1", "400 Bad Request"),
            (
                "GET / HTTP/1.1\r\ncontent-length: 1\r\nContent-Length: 1",
                "400 Bad Request",
            ),
            (
                "GET / HTTP/1.1\r\nTransfer-Encoding: chunked",
                "501 Not Implemented",
            ),
            (
                "GET / HTTP/1.1\r\nContent-Length: 65537",
                "413 Content Too Large",
            ),
            ("GET / HTTP/3", "505 HTTP Version Not Supported"),
        ] {
            assert_eq!(parse(head).unwrap_err(), status, "{head}");
        }
    }
}
