//! Where the servers are: `redis://ann:secret@host:6379/2`, a list of hosts for a cluster, or a Unix socket.
//!
//! No error here repeats the text, since a password may be in it.

use crate::error::{Error, Result, Shown};
use std::fmt;
use std::path::PathBuf;

const PORT: u16 = 6379;

/// One server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Address {
    Tcp { host: String, port: u16 },
    Unix(PathBuf),
}

impl Address {
    /// The same host, or the one that was asked where a server does not know its own.
    pub(super) fn beside(&self, host: &str, port: u16) -> Address {
        let host = match (host, self) {
            ("" | "?", Address::Tcp { host, .. }) => host.clone(),
            ("" | "?", Address::Unix(_)) => "127.0.0.1".into(),
            (host, _) => host.into(),
        };
        Address::Tcp { host, port }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Address::Tcp { host, port } => write!(f, "{host}:{port}"),
            // Its caller puts the quotes.
            Address::Unix(path) => f.write_str(Shown(path).to_string().trim_matches('`')),
        }
    }
}

/// The first commands of a new connection: user, password and database.
#[derive(Default)]
pub(super) struct Login {
    pub(super) user: Option<String>,
    pub(super) password: Option<String>,
    /// 0 in a cluster, which has no other.
    pub(super) database: u32,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login")
            .field("user", &self.user)
            .field("has_password", &self.password.is_some())
            .field("database", &self.database)
            .finish()
    }
}

/// A URL that was read: at least one server.
#[derive(Debug)]
pub(super) struct Servers {
    pub(super) first: Address,
    pub(super) others: Vec<Address>,
    pub(super) login: Login,
}

pub(super) fn parse(url: &str) -> Result<Servers> {
    let Some((scheme, rest)) = url.split_once("://") else {
        return Err(invalid("it has no scheme"));
    };
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    // A password may have the sign in it, and so may the path of a socket, which begins with a slash.
    let sign = match scheme.ends_with("unix") {
        true if rest.starts_with('/') => None,
        true => rest.find("@/"),
        false => rest.rfind('@'),
    };
    let (credentials, rest) = sign.map_or(("", rest), |at| rest.split_at(at));
    let rest = rest.strip_prefix('@').unwrap_or(rest);
    let mut login = Login::default();
    let (user, password) = credentials
        .split_once(':')
        .map_or((credentials, None), |(user, password)| {
            (user, Some(password))
        });
    login.user = Some(unescape(user)?).filter(|user| !user.is_empty());
    login.password = password.map(unescape).transpose()?;
    let mut nodes = match scheme {
        "redis" | "valkey" => {
            let (hosts, database) = rest.split_once('/').unwrap_or((rest, ""));
            if !database.is_empty() {
                login.database = number(database)?;
            }
            hosts.split(',').map(tcp).collect::<Result<Vec<_>>>()?
        }
        "unix" | "redis+unix" | "valkey+unix" => {
            if !rest.starts_with('/') {
                return Err(invalid("the path of a socket begins with a slash"));
            }
            vec![Address::Unix(unescape(rest)?.into())]
        }
        "rediss" | "valkeys" => {
            return Err(Error::missing(
                "this client speaks no TLS",
                "let a local proxy such as stunnel do it, or use a Unix socket",
            ));
        }
        _ => return Err(invalid("its scheme is unknown")),
    };
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        match pair.split_once('=') {
            Some(("db", database)) => login.database = number(database)?,
            _ => return Err(invalid("`db` is all that may be behind the question mark")),
        }
    }
    let first = nodes.remove(0);
    Ok(Servers {
        first,
        others: nodes,
        login,
    })
}

fn tcp(text: &str) -> Result<Address> {
    let (host, port) = match text.strip_prefix('[') {
        Some(text) => {
            let (host, rest) = text
                .split_once(']')
                .ok_or_else(|| invalid("a bracket is not closed"))?;
            match rest.strip_prefix(':') {
                Some(port) => (host, Some(port)),
                None if rest.is_empty() => (host, None),
                None => return Err(invalid("a colon belongs between host and port")),
            }
        }
        None => match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    let is_host = |host: &str| {
        let known = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:%".contains(&byte);
        !host.is_empty() && host.bytes().all(known)
    };
    if !is_host(host) {
        return Err(invalid("a host is missing or not one"));
    }
    Ok(Address::Tcp {
        // The percent sign before the zone of an IPv6 address, spelled as a URL must.
        host: host.replace("%25", "%"),
        port: port.map_or(Ok(PORT), number)?,
    })
}

fn number<T: std::str::FromStr>(text: &str) -> Result<T> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let number = digits.then(|| text.parse().ok()).flatten();
    number.ok_or_else(|| invalid("a port or a database is not a number in its range"))
}

/// Decodes `%41`.
fn unescape(text: &str) -> Result<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((byte, behind)) = rest.split_first() {
        rest = behind;
        if *byte != b'%' {
            bytes.push(*byte);
            continue;
        }
        let digits = rest.split_at_checked(2).and_then(|(digits, behind)| {
            let digits = str::from_utf8(digits).ok()?;
            let hex = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
            let byte = u8::from_str_radix(digits, 16).ok()?;
            hex.then_some((byte, behind))
        });
        let (byte, behind) =
            digits.ok_or_else(|| invalid("two hexadecimal digits belong behind a percent sign"))?;
        bytes.push(byte);
        rest = behind;
    }
    String::from_utf8(bytes).map_err(|_| invalid("it is not UTF-8"))
}

fn invalid(why: &str) -> Error {
    Error::invalid_input(
        format!("not the URL of a Redis server: {why}"),
        "write redis://host:port, redis://host,host,host for a cluster, or unix:///path",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    fn at(host: &str, port: u16) -> Address {
        Address::Tcp {
            host: host.into(),
            port,
        }
    }

    #[test]
    fn urls_name_servers_user_password_and_database() {
        for (url, first, user, password, database) in [
            ("redis://localhost", at("localhost", 6379), None, None, 0),
            ("valkey://h:7000/", at("h", 7000), None, None, 0),
            (
                "redis://:s%3Acret%40@h/2",
                at("h", 6379),
                None,
                Some("s:cret@"),
                2,
            ),
            (
                "redis://ann:@h?db=3",
                at("h", 6379),
                Some("ann"),
                Some(""),
                3,
            ),
            (
                "redis://ann:a:b@[::1]:7000",
                at("::1", 7000),
                Some("ann"),
                Some("a:b"),
                0,
            ),
            (
                "redis://[fe80::1%25eth0]",
                at("fe80::1%eth0", 6379),
                None,
                None,
                0,
            ),
            (
                "unix:///run/r.sock?db=1",
                Address::Unix("/run/r.sock".into()),
                None,
                None,
                1,
            ),
            (
                "unix:///run/redis@/s",
                Address::Unix("/run/redis@/s".into()),
                None,
                None,
                0,
            ),
            (
                "unix://u:p@1@/run/redis@/s",
                Address::Unix("/run/redis@/s".into()),
                Some("u"),
                Some("p@1"),
                0,
            ),
            (
                "redis+unix://u:p@/a%20b",
                Address::Unix("/a b".into()),
                Some("u"),
                Some("p"),
                0,
            ),
        ] {
            let servers = parse(url).unwrap();
            assert_eq!(servers.first, first, "{url}");
            assert_eq!(servers.login.user.as_deref(), user, "{url}");
            assert_eq!(servers.login.password.as_deref(), password, "{url}");
            assert_eq!(servers.login.database, database, "{url}");
        }
        let cluster = parse("redis://a,b:7001,[::1]:7002").unwrap();
        assert_eq!(cluster.first, at("a", 6379));
        assert_eq!(cluster.others, [at("b", 7001), at("::1", 7002)]);
        assert_eq!(cluster.others[1].to_string(), "[::1]:7002");
    }

    #[test]
    fn what_is_no_url_is_refused_without_repeating_it() {
        for url in [
            "",
            "secret",
            "secret.shelf",
            "http://secret",
            "redis://",
            "redis://,h",
            "redis://h:",
            "redis://h:x",
            "redis://h:70000",
            "redis://h:-1",
            "redis://h:+1",
            "redis://h/x",
            "redis://h/4294967296",
            "redis://[::1",
            "redis://[::1]7",
            "redis://u:secret%4@h",
            "redis://u:secret%+4@h",
            "redis://u:%ff@h",
            "redis://h?db=x",
            "redis://h?password=secret",
            "redis://a b",
            "unix://secret",
            "redis://h/1/2",
            "rediss://u:secret@h",
        ] {
            let error = parse(url).unwrap_err().to_string();
            assert!(!error.contains("secret"), "{url}: {error}");
        }
        let shown = format!("{:?}", parse("redis://ann:secret@h").unwrap());
        assert!(!shown.contains("secret"), "{shown}");
        let tls = parse("rediss://h").unwrap_err();
        assert_eq!(tls.kind(), ErrorKind::Unsupported);
    }
}
