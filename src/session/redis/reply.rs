//! The replies of a server, and how a command is spelled: RESP2, the protocol of Redis and Valkey. Pure.
//!
//! A reply is bounded before anything is allocated for it: the caller says how long a string and how many elements
//! it can mean, and memory grows with the bytes that have arrived, never with a length that was announced. A reply
//! over its bounds, or one that is not RESP2, is an error of the connection: nobody knows where the next one begins.
#![deny(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::as_conversions
)]

use std::io::{self, BufRead};

/// One line of a reply: the texts of errors are the longest.
const LINE_BYTES_MAX: usize = 4096;

#[derive(Clone)]
#[cfg_attr(test, derive(Debug, PartialEq))]
pub(super) enum Reply {
    /// `+OK` and the like.
    Status,
    /// `-MOVED 1 host:2` and the like, without the minus.
    Error(String),
    Int(i64),
    Bulk(Vec<u8>),
    Nil,
    Array(Vec<Reply>),
}

/// The first word of an error, by which it is known. Redis 6.2 tells the error of a command within a script behind
/// words of its own, `ERR Error running script (call to f_...): @user_script: 7: -READONLY You can't write ...`, and
/// one that the script returns without the first of them.
pub(super) fn code(text: &str) -> &str {
    let mut words = text.split(' ');
    let first = words.next().unwrap_or_default();
    if first != "@user_script:" && !text.starts_with("ERR Error running script") {
        return first;
    }
    let is_code =
        |word: &&str| word.len() > 2 && word.bytes().all(|byte| byte.is_ascii_uppercase());
    let mut inner = words.map(|word| word.strip_prefix('-').unwrap_or(word));
    inner.find(is_code).unwrap_or("ERR")
}

/// How large a reply may be.
#[derive(Clone, Copy)]
pub(super) struct Bounds {
    /// Of all its strings together.
    pub(super) bytes: usize,
    /// Of all its arrays together.
    pub(super) elements: usize,
    /// 0 is a reply that is no array, 1 an array of such.
    pub(super) depth: usize,
}

impl Bounds {
    pub(super) const fn new(bytes: usize, elements: usize, depth: usize) -> Bounds {
        Bounds {
            bytes,
            elements,
            depth,
        }
    }

    /// The bounds of a reply that either allows.
    pub(super) fn or(self, other: Bounds) -> Bounds {
        Bounds {
            bytes: self.bytes.max(other.bytes),
            elements: self.elements.max(other.elements),
            depth: self.depth.max(other.depth),
        }
    }
}

/// Appends one command: an array of strings.
pub(super) fn write_command(to: &mut Vec<u8>, words: &[&[u8]]) {
    write_count(to, words.len());
    words.iter().for_each(|word| write_word(to, word));
}

/// Appends how many words the command has that begins here.
pub(super) fn write_count(to: &mut Vec<u8>, words: usize) {
    write_len(to, b'*', words);
}

pub(super) fn write_word(to: &mut Vec<u8>, word: &[u8]) {
    write_len(to, b'$', word.len());
    to.extend_from_slice(word);
    to.extend_from_slice(b"\r\n");
}

fn write_len(to: &mut Vec<u8>, kind: u8, len: usize) {
    to.push(kind);
    to.extend_from_slice(len.to_string().as_bytes());
    to.extend_from_slice(b"\r\n");
}

/// The first line of a reply.
enum Line {
    /// The whole reply.
    Whole(Reply),
    /// A string of so many bytes follows.
    Bulk(usize),
    /// The number of elements that follow.
    Array(usize),
}

/// Reads one reply and no byte more.
pub(super) fn read_reply(from: &mut impl BufRead, mut bounds: Bounds) -> io::Result<Reply> {
    read_within(from, &mut bounds)
}

/// Reads a part of a reply, and takes its size off what the rest may have.
fn read_within(from: &mut impl BufRead, left: &mut Bounds) -> io::Result<Reply> {
    match read_line(from, |line| Line::read(line, *left))? {
        Line::Whole(reply) => Ok(reply),
        Line::Bulk(len) => {
            left.bytes = left.bytes.saturating_sub(len);
            read_bulk(from, len).map(Reply::Bulk)
        }
        Line::Array(len) => {
            left.elements = left.elements.saturating_sub(len);
            let Some(depth) = left.depth.checked_sub(1) else {
                return Err(broken("an array that is too deep"));
            };
            let mut elements = Vec::new();
            for _ in 0..len {
                let mut within = Bounds { depth, ..*left };
                let element = read_within(from, &mut within)?;
                if let Reply::Error(text) = &element {
                    within.bytes = within.bytes.checked_sub(text.len()).ok_or_else(too_large)?;
                }
                elements.push(element);
                (left.bytes, left.elements) = (within.bytes, within.elements);
            }
            Ok(Reply::Array(elements))
        }
    }
}

impl Line {
    fn read(line: &[u8], bounds: Bounds) -> io::Result<Line> {
        let Some((kind, text)) = line.split_first() else {
            return Err(broken("an empty line"));
        };
        let absent = Line::Whole(Reply::Nil);
        Ok(match kind {
            b'+' => Line::Whole(Reply::Status),
            b'-' => Line::Whole(Reply::Error(String::from_utf8_lossy(text).into_owned())),
            b':' => Line::Whole(Reply::Int(number(text)?)),
            b'$' => length(text, bounds.bytes)?.map_or(absent, Line::Bulk),
            b'*' => length(text, bounds.elements)?.map_or(absent, Line::Array),
            _ => return Err(broken("a kind of reply that RESP2 does not have")),
        })
    }
}

/// Reads a line, and gives it to `read` without its end.
fn read_line<T>(
    from: &mut impl BufRead,
    read: impl FnOnce(&[u8]) -> io::Result<T>,
) -> io::Result<T> {
    let mut begun = Vec::new();
    loop {
        let buffer = from.fill_buf()?;
        if buffer.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let end = buffer.iter().position(|byte| *byte == b'\n');
        let len = end.map_or(buffer.len(), |end| end.saturating_add(1));
        if begun.len().saturating_add(len) > LINE_BYTES_MAX {
            return Err(broken("a line that is too long"));
        }
        let (taken, _) = buffer.split_at(len);
        if end.is_some() && begun.is_empty() {
            // The usual line has arrived whole.
            let line = without_end(taken).and_then(read);
            from.consume(len);
            return line;
        }
        begun.extend_from_slice(taken);
        from.consume(len);
        if end.is_some() {
            return without_end(&begun).and_then(read);
        }
    }
}

fn without_end(line: &[u8]) -> io::Result<&[u8]> {
    line.strip_suffix(b"\r\n")
        .ok_or_else(|| broken("a line without its end"))
}

fn read_bulk(from: &mut impl BufRead, len: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    while bytes.len() < len {
        let buffer = from.fill_buf()?;
        if buffer.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let missing = len.saturating_sub(bytes.len());
        let (taken, _) = buffer.split_at(buffer.len().min(missing));
        bytes.extend_from_slice(taken);
        let taken = taken.len();
        from.consume(taken);
    }
    read_line(from, |rest| match rest.is_empty() {
        true => Ok(bytes),
        false => Err(broken("a string longer than announced")),
    })
}

/// A length within its bound; `None` is the -1 of what is absent.
fn length(text: &[u8], max: usize) -> io::Result<Option<usize>> {
    let len = number(text)?;
    if len == -1 {
        return Ok(None);
    }
    match usize::try_from(len) {
        Ok(len) if len <= max => Ok(Some(len)),
        _ => Err(too_large()),
    }
}

fn too_large() -> io::Error {
    broken("a reply larger than any answer to what was asked")
}

fn number(text: &[u8]) -> io::Result<i64> {
    let text = str::from_utf8(text).ok();
    text.and_then(|text| text.parse().ok())
        .ok_or_else(|| broken("a number that is none"))
}

fn broken(what: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("the server sent {what}"),
    )
}

#[cfg(test)]
#[allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::unwrap_used
)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds::new(64, 8, 2);

    fn read(mut bytes: &[u8]) -> io::Result<(Reply, usize)> {
        let reply = read_reply(&mut bytes, BOUNDS)?;
        Ok((reply, bytes.len()))
    }

    #[test]
    fn every_kind_of_reply_is_read_and_not_a_byte_more() {
        let nested = Reply::Array(vec![
            Reply::Int(-7),
            Reply::Bulk(b"a\r\nb".to_vec()),
            Reply::Nil,
            Reply::Array(vec![]),
            Reply::Error("ERR no".into()),
        ]);
        for (bytes, reply) in [
            (&b"+OK\r\n"[..], Reply::Status),
            (b"-MOVED 1 :2\r\n", Reply::Error("MOVED 1 :2".into())),
            (b":42\r\n", Reply::Int(42)),
            (b"$0\r\n\r\n", Reply::Bulk(vec![])),
            (b"$-1\r\n", Reply::Nil),
            (b"*-1\r\n", Reply::Nil),
            (
                b"*5\r\n:-7\r\n$4\r\na\r\nb\r\n$-1\r\n*0\r\n-ERR no\r\n",
                nested,
            ),
        ] {
            let behind = [bytes, b"+NEXT\r\n"].concat();
            assert_eq!(
                read(&behind).unwrap(),
                (reply, 7),
                "{}",
                bytes.escape_ascii()
            );
            for len in 0..bytes.len() {
                assert!(
                    read(&bytes[..len]).is_err(),
                    "{}",
                    bytes[..len].escape_ascii()
                );
            }
        }
    }

    #[test]
    fn what_is_over_its_bounds_or_no_resp2_is_refused_before_it_arrives() {
        for bytes in [
            &b"$65\r\n"[..],
            b"$2147483648\r\n",
            b"$9223372036854775807\r\n",
            b"$99999999999999999999\r\n",
            b"$-2\r\n",
            b"$+\r\n",
            b"$\r\n",
            b"*9\r\n",
            b"*1000000000\r\n",
            b"*-2\r\n",
            b"*1\r\n*1\r\n*1\r\n:1\r\n",
            // Each part is within the bounds, and all together are not.
            b"*2\r\n*7\r\n",
            b"*2\r\n$60\r\n------------------------------------------------------------\r\n$5\r\n",
            b"*3\r\n*3\r\n:1\r\n:2\r\n:3\r\n*3\r\n",
            b"*1\r\n-ERR -------------------------------------------------------------\r\n",
            b"$1\r\nab\r\n",
            b"$2\r\na\r\n+OK\r\n",
            b"\r\n",
            b"+OK\n",
            b">2\r\n+message\r\n+x\r\n",
            b"_\r\n",
            b"%1\r\n+a\r\n+b\r\n",
            b"HTTP/1.1 400 Bad Request\r\n\r\n",
        ] {
            let error = read(bytes).unwrap_err();
            assert_eq!(
                error.kind(),
                io::ErrorKind::InvalidData,
                "{}",
                bytes.escape_ascii()
            );
        }
        let nested = b"*1\r\n".repeat(10_000);
        assert_eq!(
            read(&nested).unwrap_err().kind(),
            io::ErrorKind::InvalidData
        );
        let endless = vec![b'+'; 1 << 20];
        assert_eq!(
            read(&endless).unwrap_err().kind(),
            io::ErrorKind::InvalidData
        );
    }

    #[test]
    fn an_error_is_known_by_its_code_wherever_the_server_puts_it() {
        for (text, known) in [
            (
                "READONLY You can't write against a read only replica.",
                "READONLY",
            ),
            (
                "ERR Error running script (call to f_0a1b): @user_script: 7: -READONLY You can't write",
                "READONLY",
            ),
            (
                "ERR Error running script (call to f_0a1b): @user_script:4: WRONGTYPE Operation against a key",
                "WRONGTYPE",
            ),
            (
                "ERR Error running script (call to f_0a1b): @user_script:4: attempt to call",
                "ERR",
            ),
            (
                "@user_script: 190: -READONLY You can't write against a read only replica.",
                "READONLY",
            ),
            (
                "@user_script: 190: The user executing the script can't run this command",
                "ERR",
            ),
            (
                "ERR unknown command 'GET', with args beginning with: 'OOM'",
                "ERR",
            ),
            ("", ""),
        ] {
            assert_eq!(code(text), known, "{text}");
        }
    }

    #[test]
    fn a_command_is_an_array_of_strings() {
        let mut bytes = Vec::new();
        write_command(&mut bytes, &[b"GET", b"a\r\nb", b""]);
        assert_eq!(bytes, b"*3\r\n$3\r\nGET\r\n$4\r\na\r\nb\r\n$0\r\n\r\n");
    }
}
