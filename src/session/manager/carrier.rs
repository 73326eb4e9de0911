//! The carrier of the id between browser and server: a cookie, or a header of the application's own.

use super::cookie::{Attributes, Candidates, Cookie, is_name, trim};
use crate::error::{Error, Result};
use crate::session::SessionId;

#[derive(Debug)]
pub(super) enum Carrier {
    Cookie(Cookie),
    /// The header's name. No browser sends it by itself, so no other site can.
    Header(String),
}

impl Carrier {
    pub(super) fn new(attributes: &Attributes, header: Option<&str>) -> Result<Carrier> {
        let Some(name) = header else {
            return Cookie::new(attributes).map(Carrier::Cookie);
        };
        match is_name(name) && !name.eq_ignore_ascii_case("cookie") {
            true => Ok(Carrier::Header(name.to_string())),
            false => Err(Error::invalid_input(
                "the header for the id must have a token of 1 to 64 bytes as its name, and not be `Cookie`",
                "",
            )),
        }
    }

    /// The cookie's name with its prefix, or the header's.
    pub(super) fn name(&self) -> &str {
        match self {
            Carrier::Cookie(cookie) => cookie.name(),
            Carrier::Header(name) => name,
        }
    }

    /// The request header on which a response depends that looked at the session.
    pub(super) fn varies_on(&self) -> &str {
        match self {
            Carrier::Cookie(_) => "Cookie",
            Carrier::Header(name) => name,
        }
    }

    pub(super) fn read<C: AsRef<[u8]>>(&self, fields: impl IntoIterator<Item = C>) -> Candidates {
        match self {
            Carrier::Cookie(cookie) => cookie.read(fields),
            Carrier::Header(_) => {
                let mut found = Candidates::default();
                for field in fields {
                    let value = trim(field.as_ref());
                    if !value.is_empty() && !found.is_full() {
                        found.add(value);
                    }
                }
                found
            }
        }
    }

    /// Name and value of the header that tells the visitor a new id.
    pub(super) fn set(&self, id: &SessionId, max_age: Option<u64>) -> (String, String) {
        match self {
            Carrier::Cookie(cookie) => ("Set-Cookie".to_string(), cookie.set(id, max_age)),
            Carrier::Header(name) => (name.clone(), id.as_str().to_string()),
        }
    }

    /// Name and value of the header that takes the id back.
    pub(super) fn revoke(&self) -> (String, String) {
        match self {
            Carrier::Cookie(cookie) => ("Set-Cookie".to_string(), cookie.revoke()),
            Carrier::Header(name) => (name.clone(), String::new()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    const A: &str = "AAECAwQFBgcICQoLDA0ODw";

    #[test]
    fn a_header_carries_the_bare_id() {
        let carrier = Carrier::new(&Attributes::default(), Some("X-Session")).unwrap();
        let found = carrier.read([format!(" {A}\t"), String::new(), "x".to_string()]);
        assert_eq!(found.ids.len(), 1);
        assert!(found.malformed);
        let id = &found.ids[0];
        assert_eq!(
            carrier.set(id, Some(60)),
            ("X-Session".to_string(), A.to_string())
        );
        assert_eq!(carrier.revoke(), ("X-Session".to_string(), String::new()));
        assert_eq!(carrier.varies_on(), "X-Session");
    }

    #[test]
    fn of_the_ids_in_headers_four_are_taken() {
        let carrier = Carrier::new(&Attributes::default(), Some("X-Session")).unwrap();
        let id = |letter: char| format!("{letter}{}", A.split_at(1).1);
        assert_eq!(carrier.read(('A'..='Z').map(id)).ids.len(), 4);
    }

    #[test]
    fn a_header_by_a_name_that_is_none_is_refused() {
        for name in ["", "a b", "a:", "Cookie", "cookie", "é", &"n".repeat(65)] {
            let error = Carrier::new(&Attributes::default(), Some(name)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{name}");
        }
    }
}
