//! Where a request came from, by what the browser says of it. Pure.
//!
//! The rule is that of Go 1.25's `http.CrossOriginProtection`: every browser since 2020 says where a request began,
//! in `Sec-Fetch-Site` or at least in `Origin`, and no page can change these two. A request that says neither comes
//! from no browser, and so brings nobody's cookies.

use std::fmt;

/// The parts of a request that show which site sent it.
///
/// ```
/// use shelflife::manager::Origin;
///
/// let form = Origin {
///     method: "POST",
///     sec_fetch_site: Some(b"cross-site"),
///     origin: Some(b"https://evil.example"),
///     host: Some(b"shop.example"),
/// };
/// assert!(form.is_cross_origin());
/// assert!(!Origin { method: "GET", ..form }.is_cross_origin(), "a link from elsewhere");
/// ```
#[derive(Clone, Copy, Default)]
pub struct Origin<'a> {
    /// The method as it stands in the request line.
    pub method: &'a str,
    /// The value of `Sec-Fetch-Site`.
    pub sec_fetch_site: Option<&'a [u8]>,
    /// The value of `Origin`.
    pub origin: Option<&'a [u8]>,
    /// The value of `Host`, or the `:authority` of HTTP/2. A proxy has to pass on the one that the browser sent.
    pub host: Option<&'a [u8]>,
}

impl Origin<'_> {
    /// Whether a page of another origin made a browser send this request in order to change something.
    ///
    /// - A [safe](Origin::is_safe) method changes nothing, so it is never one.
    /// - `Sec-Fetch-Site` decides if it is there: `same-origin` and `none` (typed, or a bookmark) are the visitor's
    ///   own.
    /// - Otherwise `Origin` decides if it is there: it must name `Host`. `null`, as sandboxed pages send it, never
    ///   does.
    /// - With neither the request comes from no browser.
    ///
    /// The request that opens a WebSocket is a GET, and what comes over it may change something: ask with the method
    /// `POST` in its place.
    ///
    /// A page of another subdomain is of another origin too. A server that trusts one compares
    /// [`origin`](Origin::origin) with its name before it asks here:
    ///
    /// ```
    /// # use shelflife::manager::Origin;
    /// # let (origin, host) = (Some(&b"https://app.shop.example"[..]), Some(&b"api.shop.example"[..]));
    /// # let form = Origin { method: "POST", sec_fetch_site: Some(b"same-site"), origin, host };
    /// assert!(form.is_cross_origin());
    /// let is_ours = form.origin == Some(b"https://app.shop.example");
    /// assert!(is_ours || !form.is_cross_origin());
    /// ```
    pub fn is_cross_origin(&self) -> bool {
        if self.is_safe() {
            return false;
        }
        match (self.sec_fetch_site, self.origin) {
            (Some(site), _) => !matches!(site, b"same-origin" | b"none"),
            (None, Some(origin)) => !self.names_host(origin),
            (None, None) => false,
        }
    }

    /// Whether the method is one that changes nothing: GET, HEAD or OPTIONS.
    pub fn is_safe(&self) -> bool {
        matches!(self.method, "GET" | "HEAD" | "OPTIONS")
    }

    fn names_host(&self, origin: &[u8]) -> bool {
        let authority = origin
            .windows(3)
            .position(|bytes| bytes == b"://")
            .and_then(|at| origin.get(at + 3..));
        match (authority, self.host) {
            (Some(authority), Some(host)) => {
                !host.is_empty() && authority.eq_ignore_ascii_case(host)
            }
            _ => false,
        }
    }
}

impl fmt::Debug for Origin<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |bytes: Option<&[u8]>| bytes.map(|bytes| bytes.escape_ascii().to_string());
        f.debug_struct("Origin")
            .field("method", &self.method)
            .field("sec_fetch_site", &text(self.sec_fetch_site))
            .field("origin", &text(self.origin))
            .field("host", &text(self.host))
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(method: &str, site: Option<&str>, origin: Option<&str>, host: Option<&str>) -> bool {
        let request = Origin {
            method,
            sec_fetch_site: site.map(str::as_bytes),
            origin: origin.map(str::as_bytes),
            host: host.map(str::as_bytes),
        };
        request.is_cross_origin()
    }

    #[test]
    fn a_browser_that_says_where_a_request_began_is_believed() {
        let host = Some("shop.example");
        for (site, is_refused) in [
            ("same-origin", false),
            ("none", false),
            ("same-site", true),
            ("cross-site", true),
            ("Same-Origin", true),
            ("same-origin ", true),
            ("", true),
            ("unheard-of", true),
        ] {
            assert_eq!(
                refused("POST", Some(site), None, host),
                is_refused,
                "{site}"
            );
            // It weighs more than `Origin`, whatever that says.
            for origin in ["https://shop.example", "https://evil.example", "null"] {
                assert_eq!(
                    refused("POST", Some(site), Some(origin), host),
                    is_refused,
                    "{site}"
                );
            }
        }
    }

    #[test]
    fn an_older_browser_names_the_origin_which_must_be_the_host() {
        for (origin, host, is_refused) in [
            ("https://shop.example", "shop.example", false),
            ("http://shop.example", "shop.example", false),
            ("https://SHOP.example", "shop.EXAMPLE", false),
            ("https://shop.example:8443", "shop.example:8443", false),
            ("https://shop.example:8443", "shop.example", true),
            ("https://shop.example", "shop.example:8443", true),
            ("https://evil.example", "shop.example", true),
            ("https://evil.example/shop.example", "shop.example", true),
            ("https://shop.example.evil.example", "shop.example", true),
            ("https://evil.example://shop.example", "shop.example", true),
            ("https://a.shop.example", "shop.example", true),
            ("shop.example", "shop.example", true),
            ("null", "null", true),
            ("", "", true),
            ("https://", "", true),
            ("://", "", true),
        ] {
            assert_eq!(
                refused("POST", None, Some(origin), Some(host)),
                is_refused,
                "{origin}"
            );
            assert!(
                refused("POST", None, Some(origin), None),
                "no host: {origin}"
            );
        }
    }

    #[test]
    fn safe_methods_pass_and_all_others_are_checked() {
        let evil = Some("https://evil.example");
        let host = Some("shop.example");
        for method in ["GET", "HEAD", "OPTIONS"] {
            assert!(!refused(method, Some("cross-site"), evil, host), "{method}");
        }
        for method in [
            "POST", "PUT", "PATCH", "DELETE", "TRACE", "CONNECT", "get", "Get", "", "X",
        ] {
            assert!(refused(method, Some("cross-site"), None, host), "{method}");
            assert!(refused(method, None, evil, host), "{method}");
            assert!(!refused(method, None, None, host), "no browser: {method}");
        }
    }

    #[test]
    fn debug_shows_bytes_that_are_no_text_and_drives_no_terminal() {
        let origin = Origin {
            method: "GET",
            origin: Some(b"\x1b[31m\xFF"),
            ..Origin::default()
        };
        let text = format!("{origin:?}");
        assert!(text.contains(r"\\x1b[31m\\xff"), "{text}");
    }
}
