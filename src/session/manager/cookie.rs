//! The cookie: its text, byte by byte, and how ids are found in what a browser sends. Pure.
//!
//! Reading takes bytes and decodes nothing (RFC 6265 section 5.4 and its successor, section 4.2): a pair ends at `;`, a
//! name at the first `=`, and nothing but SP and HTAB is trimmed. `str::trim` would turn a name that begins with U+0085
//! or U+00A0, which any sibling domain may set, into one with the prefix `__Host-`, which only this host may set.
#![deny(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::as_conversions
)]

use crate::error::{Error, Result};
use crate::session::SessionId;
use std::time::Duration;

const NAME_BYTES_MAX: usize = 64;
const PATH_BYTES_MAX: usize = 1024;
/// No host has a longer name, and a browser passes over an attribute of more than 1024 bytes.
const DOMAIN_BYTES_MAX: usize = 253;
/// How many ids of one request are looked up: more would let a visitor choose how much work a request is.
pub(super) const CANDIDATES_MAX: usize = 4;
/// 400 days, to which browsers cut whatever is longer (RFC 6265bis section 5.5).
const MAX_AGE_SECONDS_MAX: u64 = 400 * 24 * 60 * 60;

/// When a browser sends the cookie along with a request that another site began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SameSite {
    /// Never. A visitor who follows a link from elsewhere, or comes back from a login provider, arrives logged out.
    Strict,
    /// When the visitor follows a link, not with a form or a script of another site.
    Lax,
    /// Always; browsers then demand Secure.
    None,
}

impl SameSite {
    fn as_str(self) -> &'static str {
        match self {
            SameSite::Strict => "Strict",
            SameSite::Lax => "Lax",
            SameSite::None => "None",
        }
    }
}

/// The attributes that an application may choose.
#[derive(Debug, Clone)]
pub(super) struct Attributes {
    pub(super) name: String,
    pub(super) path: String,
    pub(super) domain: Option<String>,
    pub(super) secure: bool,
    pub(super) http_only: bool,
    pub(super) same_site: SameSite,
    pub(super) partitioned: bool,
}

impl Default for Attributes {
    fn default() -> Attributes {
        Attributes {
            name: "id".to_string(),
            path: "/".to_string(),
            domain: None,
            secure: true,
            http_only: true,
            same_site: SameSite::Lax,
            partitioned: false,
        }
    }
}

/// Attributes that a browser accepts, as text.
#[derive(Debug)]
pub(super) struct Cookie {
    /// With its prefix.
    name: String,
    /// Behind the value, and before the lifetime.
    place: String,
    /// Behind the lifetime.
    protection: String,
}

impl Cookie {
    /// # Errors
    ///
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) for what a browser would drop without a word, or
    /// what would end the attribute and begin another.
    pub(super) fn new(attributes: &Attributes) -> Result<Cookie> {
        let Attributes {
            name,
            path,
            secure,
            same_site,
            partitioned,
            ..
        } = attributes;
        check(
            is_name(name),
            "a cookie's name must be a token of 1 to 64 bytes",
        )?;
        check(
            !name.starts_with("__"),
            "a cookie's name must not begin with `__`: the prefix is chosen by the other attributes",
        )?;
        let plain = |byte: u8| matches!(byte, 0x20..=0x7E) && byte != b';';
        check(
            path.starts_with('/') && path.len() <= PATH_BYTES_MAX && path.bytes().all(plain),
            "a cookie's path must begin with `/` and hold at most 1024 bytes of printable ASCII, without `;`",
        )?;
        check(
            *same_site != SameSite::None || *secure,
            "browsers refuse a cookie with SameSite=None that is not Secure",
        )?;
        check(
            !partitioned || *secure,
            "browsers refuse a cookie that is Partitioned and not Secure",
        )?;
        let domain = attributes.domain.as_deref().map(domain).transpose()?;

        let prefix = match (secure, path.as_str(), &domain) {
            (true, "/", None) => "__Host-",
            (true, ..) => "__Secure-",
            (false, ..) => "",
        };
        let mut place = format!("; Path={path}");
        if let Some(domain) = domain {
            place.push_str("; Domain=");
            place.push_str(domain);
        }
        let mut protection = String::new();
        for (is_set, attribute) in [(*secure, "; Secure"), (attributes.http_only, "; HttpOnly")] {
            if is_set {
                protection.push_str(attribute);
            }
        }
        protection.push_str("; SameSite=");
        protection.push_str(same_site.as_str());
        if *partitioned {
            protection.push_str("; Partitioned");
        }
        Ok(Cookie {
            name: format!("{prefix}{name}"),
            place,
            protection,
        })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The value of `Set-Cookie` that gives the browser an id, for as long as it runs or for a time.
    pub(super) fn set(&self, id: &SessionId, max_age: Option<u64>) -> String {
        let lifetime = max_age.map_or(String::new(), |seconds| format!("; Max-Age={seconds}"));
        self.text(id.as_str(), &lifetime)
    }

    /// The value of `Set-Cookie` that takes it back: browsers want everything else as it was when it was set.
    pub(super) fn revoke(&self) -> String {
        self.text("", "; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT")
    }

    fn text(&self, value: &str, lifetime: &str) -> String {
        let Cookie {
            name,
            place,
            protection,
        } = self;
        format!("{name}={value}{place}{lifetime}{protection}")
    }

    /// Finds the ids in the values of the request's `Cookie` fields.
    pub(super) fn read<C: AsRef<[u8]>>(&self, fields: impl IntoIterator<Item = C>) -> Candidates {
        let mut found = Candidates::default();
        for field in fields {
            for text in field.as_ref().split(|byte| *byte == b';') {
                match pair(text) {
                    Some((name, value)) if name == self.name.as_bytes() => found.add(value),
                    _ => {}
                }
                if found.is_full() {
                    return found;
                }
            }
        }
        found
    }
}

/// The well-formed ids that came with a request, in order, each once.
#[derive(Debug, Default)]
pub(super) struct Candidates {
    pub(super) ids: Vec<SessionId>,
    /// Something that is no id came in an id's place.
    pub(super) malformed: bool,
}

impl Candidates {
    pub(super) fn add(&mut self, value: &[u8]) {
        // Before it is parsed, which allocates: a field may repeat one id as often as it has room.
        if self.ids.iter().any(|id| id.as_str().as_bytes() == value) {
            return;
        }
        match SessionId::parse(value) {
            Some(id) => self.ids.push(id),
            None => self.malformed = true,
        }
    }

    pub(super) fn is_full(&self) -> bool {
        self.ids.len() >= CANDIDATES_MAX
    }
}

/// Name and value of what stands between two `;`, if it has both.
fn pair(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = text.iter().position(|byte| *byte == b'=')?;
    let (name, value) = text.split_at_checked(at)?;
    let name = trim(name);
    (!name.is_empty()).then_some((name, trim(value.get(1..)?)))
}

/// Without SP and HTAB at both ends.
pub(super) fn trim(bytes: &[u8]) -> &[u8] {
    let is_blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let Some(start) = bytes.iter().position(|byte| !is_blank(byte)) else {
        return &[];
    };
    let end = bytes.iter().rposition(|byte| !is_blank(byte));
    end.and_then(|end| bytes.get(start..=end)).unwrap_or(&[])
}

/// Whole seconds for `Max-Age`, rounded up: the browser's copy must not end before the session does.
pub(super) fn max_age(left: Option<Duration>) -> u64 {
    let Some(left) = left else {
        return MAX_AGE_SECONDS_MAX;
    };
    let begun = u64::from(left.subsec_nanos() > 0);
    left.as_secs()
        .saturating_add(begun)
        .clamp(1, MAX_AGE_SECONDS_MAX)
}

/// Whether it is a token (RFC 9110 section 5.6.2) that is short enough to be a name.
pub(super) fn is_name(text: &str) -> bool {
    let is_of_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    (1..=NAME_BYTES_MAX).contains(&text.len()) && text.bytes().all(is_of_token)
}

fn domain(given: &str) -> Result<&str> {
    let domain = given.strip_prefix('.').unwrap_or(given);
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    let is_label = |label: &str| !label.is_empty() && label.bytes().all(allowed);
    check(
        domain.len() <= DOMAIN_BYTES_MAX && domain.split('.').all(is_label),
        "a cookie's domain must be a name of at most 253 bytes, of ASCII letters, digits and `-` between single dots",
    )?;
    Ok(domain)
}

fn check(holds: bool, what: &str) -> Result<()> {
    match holds {
        true => Ok(()),
        false => Err(Error::invalid_input(what, "")),
    }
}

#[cfg(test)]
#[allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::as_conversions
)]
mod tests;
