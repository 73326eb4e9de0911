//! JSON (RFC 8259) for [`Value`]: strict, exact, and with an escape for all that JSON lacks.
//!
//! The escapes are objects with one member, whose key starts with a dollar sign; `Value` documents them. A map that
//! looks like one is written as a `$map`, so that everything reads back as what it was.
//!
//! The reader keeps what is open on the heap, not on the stack, so that nesting cannot overflow it.
#![deny(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::as_conversions
)]

use std::cmp::Ordering;
use std::fmt;
use std::fmt::Write;

use super::base64::Base64;
use super::cbor::LEVELS;
use super::{Value, to_cbor};
use crate::error::{Error, Result};
use crate::store::order::sort_by;

const BYTES: &str = "$b64";
const FLOAT: &str = "$float";
const MAP: &str = "$map";
const SIMPLE: &str = "$simple";
const TAG: &str = "$tag";

pub(super) fn write(value: &Value, out: &mut impl Write) -> fmt::Result {
    match value {
        Value::Null => out.write_str("null"),
        Value::Bool(value) => write!(out, "{value}"),
        Value::Integer(value) => write!(out, "{value}"),
        // Debug, unlike Display, always has a point or an exponent, so that it reads back as a float.
        Value::Float(value) if value.is_finite() => write!(out, "{value:?}"),
        Value::Float(value) => write!(out, r#"{{"{FLOAT}":"{}"}}"#, non_finite_name(*value)),
        Value::Bytes(bytes) => {
            let text = Base64::Standard.encode(bytes);
            write!(out, r#"{{"{BYTES}":"{text}"}}"#)
        }
        Value::Text(text) => write_text(text, out),
        Value::Array(items) => write_list(items, out, ['[', ']'], |item, out| write(item, out)),
        Value::Map(entries) if fits_an_object(entries) => {
            write_list(entries, out, ['{', '}'], |(key, value), out| {
                write(key, out)?;
                out.write_char(':')?;
                write(value, out)
            })
        }
        Value::Map(entries) => {
            write!(out, r#"{{"{MAP}":"#)?;
            write_list(entries, out, ['[', ']'], |(key, value), out| {
                out.write_char('[')?;
                write(key, out)?;
                out.write_char(',')?;
                write(value, out)?;
                out.write_char(']')
            })?;
            out.write_char('}')
        }
        Value::Tag(number, content) => {
            write!(out, r#"{{"{TAG}":[{number},"#)?;
            write(content, out)?;
            out.write_str("]}")
        }
        Value::Simple(number) => write!(out, r#"{{"{SIMPLE}":{number}}}"#),
    }
}

fn write_list<T, W: Write>(
    items: &[T],
    out: &mut W,
    [open, close]: [char; 2],
    mut write: impl FnMut(&T, &mut W) -> fmt::Result,
) -> fmt::Result {
    out.write_char(open)?;
    for (place, item) in items.iter().enumerate() {
        if place > 0 {
            out.write_char(',')?;
        }
        write(item, out)?;
    }
    out.write_char(close)
}

fn write_text(text: &str, out: &mut impl Write) -> fmt::Result {
    out.write_char('"')?;
    for character in text.chars() {
        match character {
            '"' => out.write_str("\\\"")?,
            '\\' => out.write_str("\\\\")?,
            '\n' => out.write_str("\\n")?,
            '\r' => out.write_str("\\r")?,
            '\t' => out.write_str("\\t")?,
            // All of them are below U+00A0.
            control if control.is_control() => write!(out, "\\u{:04x}", u32::from(control))?,
            other => out.write_char(other)?,
        }
    }
    out.write_char('"')
}

fn fits_an_object(entries: &[(Value, Value)]) -> bool {
    match entries {
        [(Value::Text(key), _)] => ![BYTES, FLOAT, MAP, SIMPLE, TAG].contains(&key.as_str()),
        _ => entries.iter().all(|(key, _)| matches!(key, Value::Text(_))),
    }
}

fn non_finite_name(value: f64) -> &'static str {
    if value.is_nan() {
        "NaN"
    } else if value > 0.0 {
        "Infinity"
    } else {
        "-Infinity"
    }
}

const TOO_DEEP: &str = "nesting deeper than can be stored";

/// An array or object that is not closed yet.
enum Open {
    Array(Vec<Value>),
    /// Where it began, the entries so far, and the key whose value comes next.
    Object(usize, Vec<(Value, Value)>, String),
}

/// Reads text as a value that takes no more memory and nests no deeper than this.
pub(super) fn read(text: &str, memory_bytes: usize, levels: usize) -> Result<Value> {
    let mut from = Reader {
        rest: text,
        size_bytes: text.len(),
        memory_bytes,
        // Three for each level of a value, `{"$map":[[`, and one for `{"$b64":`.
        open_max: levels.saturating_mul(3).saturating_add(1),
    };
    let value = from.value()?;
    from.space();
    if !from.rest.is_empty() {
        return Err(from.expected("the end"));
    }
    if !fits(&value, levels) {
        return Err(from.error_at(0, TOO_DEEP));
    }
    Ok(value)
}

/// Whether a value nests at most `levels` deep. Encoding it would tell as well, and take as much memory again.
fn fits(value: &Value, levels: usize) -> bool {
    let inside = |inner: &Value| levels.checked_sub(1).is_some_and(|left| fits(inner, left));
    match value {
        Value::Array(items) => levels > 0 && items.iter().all(inside),
        Value::Map(entries) => {
            levels > 0
                && entries
                    .iter()
                    .all(|(key, value)| inside(key) && inside(value))
        }
        Value::Tag(_, inner) => inside(inner),
        _ => true,
    }
}

struct Reader<'a> {
    rest: &'a str,
    size_bytes: usize,
    /// Memory that the value may take beyond what it takes already. The text of an escape counts as well: it is there
    /// until the escape is closed.
    memory_bytes: usize,
    /// How many arrays and objects can be open.
    open_max: usize,
}

impl Reader<'_> {
    fn value(&mut self) -> Result<Value> {
        let mut open = Vec::new();
        loop {
            if open.len() > self.open_max {
                return Err(self.error(TOO_DEEP));
            }
            self.space();
            let start = self.offset();
            let mut value = if self.eat('[') {
                self.space();
                if !self.eat(']') {
                    open.push(Open::Array(Vec::new()));
                    continue;
                }
                Value::Array(Vec::new())
            } else if self.eat('{') {
                self.space();
                if !self.eat('}') {
                    let key = self.key()?;
                    open.push(Open::Object(start, Vec::new(), key));
                    continue;
                }
                Value::Map(Vec::new())
            } else {
                self.scalar()?
            };
            // The value may be the last of what it is in, and that of what that is in.
            loop {
                self.space();
                value = match open.pop() {
                    None => return Ok(value),
                    Some(Open::Array(mut items)) => {
                        self.claim(size_of::<Value>())?;
                        items.push(value);
                        if self.eat(',') {
                            open.push(Open::Array(items));
                            break;
                        }
                        self.need(']', "a comma or the end of the array")?;
                        items.shrink_to_fit();
                        Value::Array(items)
                    }
                    Some(Open::Object(start, mut entries, key)) => {
                        self.claim(size_of::<(Value, Value)>())?;
                        entries.push((Value::Text(key), value));
                        if self.eat(',') {
                            self.space();
                            let key = self.key()?;
                            open.push(Open::Object(start, entries, key));
                            break;
                        }
                        self.need('}', "a comma or the end of the object")?;
                        self.object(start, entries)?
                    }
                };
            }
        }
    }

    fn scalar(&mut self) -> Result<Value> {
        for (word, value) in [
            ("null", Value::Null),
            ("true", Value::Bool(true)),
            ("false", Value::Bool(false)),
        ] {
            if let Some(rest) = self.rest.strip_prefix(word) {
                self.rest = rest;
                return Ok(value);
            }
        }
        if self.rest.starts_with('"') {
            self.text().map(Value::Text)
        } else if self
            .rest
            .starts_with(['-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9'])
        {
            self.number()
        } else {
            Err(self.expected("a value"))
        }
    }

    fn number(&mut self) -> Result<Value> {
        let (whole, start) = (self.rest, self.offset());
        self.eat('-');
        if !self.eat('0') {
            self.digits()?;
        }
        let mut is_integer = true;
        if self.eat('.') {
            is_integer = false;
            self.digits()?;
        }
        if self.eat('e') || self.eat('E') {
            is_integer = false;
            if !self.eat('+') {
                self.eat('-');
            }
            self.digits()?;
        }
        let number = taken(whole, self.rest);
        if is_integer {
            number
                .parse()
                .ok()
                .filter(|integer| (-1_i128 << 64..1 << 64).contains(integer))
                .map(Value::Integer)
                .ok_or_else(|| {
                    self.error_at(start, "an integer beyond -2^64 to 2^64 - 1")
                        .advise("write it with a fraction for a float, or as text")
                })
        } else {
            number
                .parse()
                .ok()
                .filter(|float: &f64| float.is_finite())
                .map(Value::Float)
                .ok_or_else(|| self.error_at(start, "a number beyond what a float holds"))
        }
    }

    fn digits(&mut self) -> Result<()> {
        let rest = self.rest.trim_start_matches(|c: char| c.is_ascii_digit());
        if rest.len() == self.rest.len() {
            return Err(self.expected("a digit"));
        }
        self.rest = rest;
        Ok(())
    }

    fn key(&mut self) -> Result<String> {
        if !self.rest.starts_with('"') {
            return Err(self.expected("a key in double quotes"));
        }
        let key = self.text()?;
        self.space();
        self.need(':', "a colon")?;
        Ok(key)
    }

    fn text(&mut self) -> Result<String> {
        let mut text = String::new();
        self.need('"', "text in double quotes")?;
        loop {
            let stop = |c: char| c == '"' || c == '\\' || c < ' ';
            let rest = self.rest.trim_start_matches(|c| !stop(c));
            let plain = taken(self.rest, rest);
            self.claim(plain.len())?;
            text.push_str(plain);
            self.rest = rest;
            if self.eat('"') {
                text.shrink_to_fit();
                return Ok(text);
            } else if self.eat('\\') {
                let escaped = self.escape()?;
                self.claim(escaped.len_utf8())?;
                text.push(escaped);
            } else if self.rest.is_empty() {
                return Err(self.expected("the end of the text"));
            } else {
                return Err(self.error("a control character that is not escaped"));
            }
        }
    }

    fn escape(&mut self) -> Result<char> {
        let start = self.offset();
        let mut rest = self.rest.chars();
        let letter = rest.next();
        self.rest = rest.as_str();
        match letter {
            Some(same @ ('"' | '\\' | '/')) => Ok(same),
            Some('b') => Ok('\u{8}'),
            Some('f') => Ok('\u{c}'),
            Some('n') => Ok('\n'),
            Some('r') => Ok('\r'),
            Some('t') => Ok('\t'),
            Some('u') => {
                let first = self.hex()?;
                // Beyond the first 65,536 characters UTF-16 needs two units, the second of a range of its own.
                let mut units = vec![first];
                if (0xD800..0xDC00).contains(&first)
                    && let Some(rest) = self.rest.strip_prefix("\\u")
                {
                    self.rest = rest;
                    units.push(self.hex()?);
                }
                match String::from_utf16(&units) {
                    Ok(text) => text.chars().next(),
                    Err(_) => None,
                }
                .ok_or_else(|| self.error_at(start, "half of a surrogate pair"))
            }
            _ => Err(self.error_at(start, "an escape that JSON does not have")),
        }
    }

    fn hex(&mut self) -> Result<u16> {
        let digits = self
            .rest
            .split_at_checked(4)
            .filter(|(digits, _)| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
        match digits {
            Some((digits, rest)) => {
                self.rest = rest;
                u16::from_str_radix(digits, 16).map_err(|_| self.expected("four hex digits"))
            }
            None => Err(self.expected("four hex digits")),
        }
    }

    /// The value of a closed object: a map, or a value that JSON has no notation for.
    fn object(&mut self, start: usize, mut entries: Vec<(Value, Value)>) -> Result<Value> {
        let escape = match entries.as_slice() {
            [(Value::Text(key), _)] => key.clone(),
            _ => String::new(),
        };
        let content = match escape.as_str() {
            BYTES | FLOAT | MAP | SIMPLE | TAG => entries.pop().map(|(_, content)| content),
            _ => None,
        };
        let Some(content) = content else {
            return self.map(start, entries);
        };
        let value = match (escape.as_str(), content) {
            (BYTES, Value::Text(text)) => match Base64::Standard.decode(&text) {
                Some(bytes) => {
                    self.claim(bytes.len())?;
                    Some(Value::Bytes(bytes))
                }
                None => None,
            },
            (FLOAT, Value::Text(text)) => [f64::NAN, f64::INFINITY, f64::NEG_INFINITY]
                .into_iter()
                .find(|float| non_finite_name(*float) == text)
                .map(Value::Float),
            (SIMPLE, Value::Integer(number)) => u8::try_from(number)
                .ok()
                .map(Value::Simple)
                .filter(|simple| to_cbor(simple).is_ok()),
            (TAG, Value::Array(items)) => match <[Value; 2]>::try_from(items) {
                Ok([Value::Integer(number), content]) => {
                    self.claim(size_of::<Value>())?;
                    u64::try_from(number)
                        .ok()
                        .map(|number| Value::Tag(number, Box::new(content)))
                }
                _ => None,
            },
            (MAP, Value::Array(items)) => {
                self.claim(items.len().saturating_mul(size_of::<(Value, Value)>()))?;
                let entries: Option<Vec<_>> = items.into_iter().map(pair).collect();
                match entries {
                    Some(entries) => return self.map(start, entries),
                    None => None,
                }
            }
            _ => None,
        };
        value.ok_or_else(|| {
            self.error_at(start, &format!("something else than `{escape}` stands for"))
                .advise(r#"write a map with this one key as {"$map":[[key,value]]}"#)
        })
    }

    /// In the order of the encoded keys, as if it had been stored and read.
    fn map(&self, start: usize, mut entries: Vec<(Value, Value)>) -> Result<Value> {
        // Refused here, so that the order can be asked of every key.
        if entries.iter().any(|(key, _)| !fits(key, LEVELS)) {
            return Err(self.error_at(start, TOO_DEEP));
        }
        entries.shrink_to_fit();
        sort_by(&mut entries, |(a, _), (b, _)| order(a, b));
        if !entries.is_sorted_by(|(a, _), (b, _)| order(a, b).is_lt()) {
            return Err(self.error_at(start, "a map in which a key repeats"));
        }
        Ok(Value::Map(entries))
    }

    /// Takes memory out of what the value may take in all, before it is taken.
    fn claim(&mut self, size_bytes: usize) -> Result<()> {
        let left = self.memory_bytes.checked_sub(size_bytes);
        self.memory_bytes = left.ok_or_else(too_much_memory)?;
        Ok(())
    }

    fn space(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\n', '\r']);
    }

    fn eat(&mut self, character: char) -> bool {
        match self.rest.strip_prefix(character) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn need(&mut self, character: char, what: &str) -> Result<()> {
        if self.eat(character) {
            Ok(())
        } else {
            Err(self.expected(what))
        }
    }

    fn offset(&self) -> usize {
        self.size_bytes.saturating_sub(self.rest.len())
    }

    fn expected(&self, what: &str) -> Error {
        let offset = self.offset();
        let what = format!("expected {what} at byte {offset} of the JSON text");
        Error::invalid_input(what, "")
    }

    fn error(&self, what: &str) -> Error {
        self.error_at(self.offset(), what)
    }

    fn error_at(&self, offset: usize, what: &str) -> Error {
        let what = format!("found {what} at byte {offset} of the JSON text");
        Error::invalid_input(what, "")
    }
}

/// The order of the encoded keys. Two texts are compared without encoding them, since most keys are text and there may
/// be many: the shorter one comes first.
fn order(a: &Value, b: &Value) -> Ordering {
    match (a, b) {
        (Value::Text(a), Value::Text(b)) => (a.len(), a).cmp(&(b.len(), b)),
        _ => to_cbor(a).ok().cmp(&to_cbor(b).ok()),
    }
}

#[cold]
fn too_much_memory() -> Error {
    Error::too_large(
        "a `Value` read from JSON takes more memory than it may",
        "split it, or set another limit with `Value::from_json_within`",
    )
}

fn pair(item: Value) -> Option<(Value, Value)> {
    match item {
        Value::Array(items) => <[Value; 2]>::try_from(items)
            .ok()
            .map(<(Value, Value)>::from),
        _ => None,
    }
}

/// The part of `before` that stands before `rest`, its end.
fn taken<'a>(before: &'a str, rest: &str) -> &'a str {
    let len = before.len().saturating_sub(rest.len());
    before.get(..len).unwrap_or_default()
}

#[cfg(test)]
#[allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::as_conversions
)]
mod tests;
