//! As much of HTTP/1.1 (RFC 9112) as a browser needs to read a page: requests without a body, one for each connection.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

use shelflife::Value;

use crate::cli::text;

const HEAD_BYTES_MAX: usize = 16 << 10;
/// From the first byte of a request to its last, and for the answer.
const PATIENCE: Duration = Duration::from_secs(10);
const CONNECTIONS_MAX: usize = 32;

#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) path: String,
    pub(crate) host: String,
    query: Vec<(String, String)>,
}

impl Request {
    pub(crate) fn query(&self, name: &str) -> Option<&str> {
        let mut pairs = self.query.iter();
        let found = pairs.find(|(given, _)| given == name);
        found.map(|(_, value)| value.as_str())
    }

    /// Reads the head of a request. It refuses a head that another program might read differently.
    fn parse(head: &[u8]) -> Result<Request, &'static str> {
        const BAD: &str = "400 Bad Request";
        let head = str::from_utf8(head).map_err(|_| BAD)?;
        let mut lines = head.split("\r\n");
        let mut words = lines.next().unwrap_or_default().split(' ');
        let (method, target, version) = (words.next(), words.next(), words.next());
        let (Some(method), Some(target), Some("HTTP/1.1"), None) =
            (method, target, version, words.next())
        else {
            return Err(BAD);
        };
        if method != "GET" {
            return Err("405 Method Not Allowed");
        }
        let mut host = None;
        for line in lines.filter(|line| !line.is_empty()) {
            let (name, value) = line.split_once(':').ok_or(BAD)?;
            let is_token =
                |byte: u8| byte.is_ascii_alphanumeric() || b"-_.!#$%&'*+^`|~".contains(&byte);
            if name.is_empty() || !name.bytes().all(is_token) || value.contains(['\n', '\r', '\0'])
            {
                return Err(BAD);
            }
            let value = value.trim_matches([' ', '\t']);
            match name.to_ascii_lowercase().as_str() {
                "host" if host.is_some() => return Err(BAD),
                "host" => host = Some(value.to_string()),
                "content-length" if value == "0" => {}
                "content-length" | "transfer-encoding" => return Err(BAD),
                _ => {}
            }
        }
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let pairs = query.split('&').filter(|pair| !pair.is_empty());
        let pairs = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        Ok(Request {
            path: path.to_string(),
            host: host.ok_or(BAD)?,
            query: pairs
                .map(|(name, value)| (decode(name), decode(value)))
                .collect(),
        })
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
pub(crate) struct Answer {
    status: &'static str,
    content_type: &'static str,
    /// The page's `Content-Security-Policy`.
    policy: String,
    body: Vec<u8>,
}

/// The policy of an answer that is no page: it may do nothing.
const NOTHING: &str = "default-src 'none'; frame-ancestors 'none'";

impl Answer {
    fn new(status: &'static str, content_type: &'static str, body: impl Into<Vec<u8>>) -> Answer {
        Answer {
            status,
            content_type,
            policy: NOTHING.to_string(),
            body: body.into(),
        }
    }

    pub(crate) fn text(status: &'static str, body: impl Into<String>) -> Answer {
        Answer::new(status, "text/plain; charset=utf-8", body.into())
    }

    pub(crate) fn json(value: &Value) -> Answer {
        let json = text::json(value);
        Answer::new("200 OK", "application/json", json)
    }

    /// A page whose own script and style, which have the nonce, are all that runs; it may ask here for more.
    pub(crate) fn page(body: String, nonce: &str) -> Answer {
        Answer {
            policy: format!(
                "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; connect-src 'self'; \
                 base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
            ),
            ..Answer::new("200 OK", "text/html; charset=utf-8", body)
        }
    }

    fn write(&self, stream: &mut TcpStream) -> io::Result<()> {
        let head = format!(
            "HTTP/1.1 {}\r\nContent-Type: {}\r\nContent-Length: {}\r\nContent-Security-Policy: {}\r\n\
             Cache-Control: no-store\r\nReferrer-Policy: no-referrer\r\nX-Content-Type-Options: nosniff\r\n\
             X-Frame-Options: DENY\r\nCross-Origin-Opener-Policy: same-origin\r\n\
             Cross-Origin-Resource-Policy: same-origin\r\nConnection: close\r\n\r\n",
            self.status,
            self.content_type,
            self.body.len(),
            self.policy
        );
        stream.write_all(head.as_bytes())?;
        stream.write_all(&self.body)
    }
}

/// Answers for ever.
pub(crate) fn serve(listener: &TcpListener, answer: &(impl Fn(&Request) -> Answer + Sync)) {
    let open = AtomicUsize::new(0);
    thread::scope(|scope| {
        for stream in listener.incoming() {
            let Ok(stream) = stream else {
                // Out of file descriptors, most likely: some are freed as connections end.
                thread::sleep(Duration::from_millis(100));
                continue;
            };
            // The others wait with the operating system.
            while open.load(SeqCst) >= CONNECTIONS_MAX {
                thread::sleep(Duration::from_millis(10));
            }
            open.fetch_add(1, SeqCst);
            let open = &open;
            scope.spawn(move || {
                // A connection that breaks is the visitor's doing.
                let _ = converse(stream, answer);
                open.fetch_sub(1, SeqCst);
            });
        }
    });
}

fn converse(mut stream: TcpStream, answer: &impl Fn(&Request) -> Answer) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let start = Instant::now();
    let mut head = Vec::new();
    let mut buf = [0; 4096];
    let answer = loop {
        if head.len() > HEAD_BYTES_MAX {
            let status = "431 Request Header Fields Too Large";
            break Answer::text(status, format!("{status}\n"));
        }
        if let Some(end) = head.windows(4).position(|four| four == b"\r\n\r\n") {
            let parsed = Request::parse(head.get(..end).unwrap_or_default());
            break match parsed {
                Ok(request) => answer(&request),
                Err(status) => Answer::text(status, format!("{status}\n")),
            };
        }
        let read = stream.read(&mut buf)?;
        if read == 0 || start.elapsed() > PATIENCE {
            return Ok(());
        }
        head.extend_from_slice(buf.get(..read).unwrap_or_default());
    };
    answer.write(&mut stream)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_read_in_one_way_or_not_at_all() {
        let read = |head: &str| Request::parse(head.as_bytes());
        let request = read("GET /t/s?search=a%20b+c%zz&x HTTP/1.1\r\nHost:  h:1 \r\nX: y").unwrap();
        assert_eq!(
            (request.path.as_str(), request.host.as_str()),
            ("/t/s", "h:1")
        );
        assert_eq!(request.query("search"), Some("a b c%zz"));
        assert_eq!((request.query("x"), request.query("y")), (Some(""), None));
        for (head, status) in [
            ("", "400 Bad Request"),
            ("GET / HTTP/1.0\r\nHost: h", "400 Bad Request"),
            ("GET / HTTP/1.1", "400 Bad Request"),
            ("GET  / HTTP/1.1\r\nHost: h", "400 Bad Request"),
            ("GET / HTTP/1.1\r\nHost: h\r\nHost: h", "400 Bad Request"),
            ("GET / HTTP/1.1\r\nHost : h", "400 Bad Request"),
            ("GET / HTTP/1.1\r\nHost: h\r\n folded", "400 Bad Request"),
            ("GET / HTTP/1.1\r\nHost: h\nX: y", "400 Bad Request"),
            (
                "GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 4",
                "400 Bad Request",
            ),
            (
                "GET / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked",
                "400 Bad Request",
            ),
            ("POST / HTTP/1.1\r\nHost: h", "405 Method Not Allowed"),
        ] {
            assert_eq!(read(head).unwrap_err(), status, "{head}");
        }
        assert!(Request::parse(b"GET /\xff HTTP/1.1\r\nHost: h").is_err());
    }
}
