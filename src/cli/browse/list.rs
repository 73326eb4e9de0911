//! The sessions of a store in short, filtered and by pages.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use shelflife::{Session, SessionStore, ShelveSessionStore, Value};

use crate::cli::http::Request;
use crate::cli::sessions::handle;
use crate::cli::{text, times};

const PAGE_ROWS: usize = 50;
/// A user or an address of any length is shown by its beginning; in full it stands with its session.
const SHOWN_CHARS: usize = 80;
/// A list that was read is shown for `FRESH` at least, and for `REST` times what reading it took. So reading for a page
/// that is left open takes a tenth of a processor at most, however many sessions there are.
const FRESH: Duration = Duration::from_millis(500);
const REST: u32 = 10;

/// The sessions as they were last read, for all pages that are open.
#[derive(Debug, Default)]
pub(crate) struct List(Mutex<Option<(Instant, Arc<All>)>>);

#[derive(Debug, Default)]
pub(crate) struct All {
    pub(crate) rows: Vec<Row>,
    /// Sessions that can't be read.
    pub(crate) unreadable: u64,
}

/// A session in short.
#[derive(Debug)]
pub(crate) struct Row {
    handle: String,
    user: Option<String>,
    address: Option<String>,
    created_ms: Option<u64>,
    used_ms: Option<u64>,
    expires_ms: Option<u64>,
}

impl List {
    pub(crate) fn rows(&self, sessions: &ShelveSessionStore) -> Arc<All> {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if let Some((until, all)) = &*last
            && now < *until
        {
            return Arc::clone(all);
        }
        let mut all = All::default();
        for session in sessions.iter_sessions() {
            match session {
                Ok(session) => all.rows.push(Row::of(&session)),
                Err(_) => all.unreadable += 1,
            }
        }
        let all = Arc::new(all);
        let until = Instant::now() + FRESH.max(now.elapsed() * REST);
        *last = Some((until, Arc::clone(&all)));
        all
    }
}

impl Row {
    fn of(session: &Session) -> Row {
        let text = |text: Option<&str>| text.map(str::to_string);
        Row {
            handle: handle(session),
            user: text(session.user()),
            address: text(session.remote_address()),
            created_ms: session.created().map(times::millis),
            used_ms: session.accessed().map(times::millis),
            expires_ms: session.expires().map(times::millis),
        }
    }

    /// For the page.
    pub(crate) fn value(&self) -> Value {
        let text = |text: &Option<String>| match text {
            None => Value::Null,
            Some(text) => {
                let mut shown: String = text.chars().take(SHOWN_CHARS).collect();
                if shown.len() < text.len() {
                    shown.push('\u{2026}');
                }
                Value::from(text::printable(&shown))
            }
        };
        let time = |at: Option<u64>| at.map_or(Value::Null, Value::from);
        let members = [
            ("handle", Value::from(self.handle.as_str())),
            ("user", text(&self.user)),
            ("address", text(&self.address)),
            ("created", time(self.created_ms)),
            ("used", time(self.used_ms)),
            ("expires", time(self.expires_ms)),
        ];
        text::object(members)
    }
}

/// Which sessions are asked for, in which order, and which page of them.
#[derive(Debug, Default)]
pub(crate) struct Filter {
    /// In the handle, the user or the address, in small letters.
    search: String,
    user: Option<String>,
    /// Not used for this long.
    idle: Option<Duration>,
    /// Used within this time.
    used_within: Option<Duration>,
    /// Expires within this time; zero: never.
    expires_within: Option<Duration>,
    sort: String,
    page: usize,
}

pub(crate) struct Found<'a> {
    pub(crate) rows: Vec<&'a Row>,
    pub(crate) matched: usize,
    /// From 0, and never behind the last.
    pub(crate) page: usize,
    pub(crate) pages: usize,
}

impl Filter {
    /// A parameter that does not parse filters nothing.
    pub(crate) fn of(request: &Request) -> Filter {
        let given = |name| request.query.get(name).filter(|value| !value.is_empty());
        let span = |name| given(name).and_then(|value| times::parse_span(value, None));
        Filter {
            search: given("search").unwrap_or_default().to_lowercase(),
            user: given("user").map(str::to_string),
            idle: span("idle"),
            used_within: span("used"),
            expires_within: span("expires"),
            sort: given("sort").unwrap_or_default().to_string(),
            page: given("page")
                .and_then(times::number_of)
                .and_then(|page| usize::try_from(page).ok())
                .unwrap_or(0),
        }
    }

    fn wants(&self, row: &Row, now_ms: u64) -> bool {
        let since_use = Duration::from_millis(now_ms.saturating_sub(row.used_ms.unwrap_or(0)));
        let has = |text: &Option<String>| {
            text.as_ref()
                .is_some_and(|text| text.to_lowercase().contains(&self.search))
        };
        let is_found = self.search.is_empty()
            || row.handle.contains(&self.search)
            || has(&row.user)
            || has(&row.address);
        let is_ending = match (self.expires_within, row.expires_ms) {
            (None, _) => true,
            (Some(Duration::ZERO), expires) => expires.is_none(),
            (Some(_), None) => false,
            (Some(within), Some(expires)) => {
                Duration::from_millis(expires.saturating_sub(now_ms)) <= within
            }
        };
        is_found
            && is_ending
            && (self.user.is_none() || self.user == row.user)
            && self.idle.is_none_or(|idle| since_use >= idle)
            && self.used_within.is_none_or(|within| since_use <= within)
    }

    pub(crate) fn page<'a>(&self, rows: &'a [Row], now: SystemTime) -> Found<'a> {
        let now_ms = times::millis(now);
        let mut found: Vec<&Row> = rows.iter().filter(|row| self.wants(row, now_ms)).collect();
        match self.sort.as_str() {
            "user" => found.sort_by(|a, b| a.user.cmp(&b.user)),
            "created" => found.sort_by_key(|row| std::cmp::Reverse(row.created_ms)),
            "expires" => found.sort_by_key(|row| row.expires_ms.unwrap_or(u64::MAX)),
            _ => found.sort_by_key(|row| std::cmp::Reverse(row.used_ms)),
        }
        let matched = found.len();
        let pages = matched.div_ceil(PAGE_ROWS).max(1);
        let page = self.page.min(pages - 1);
        let rows = found.into_iter().skip(page * PAGE_ROWS).take(PAGE_ROWS);
        Found {
            rows: rows.collect(),
            matched,
            page,
            pages,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::UNIX_EPOCH;

    fn row(nth: u64, user: Option<&str>) -> Row {
        Row {
            handle: format!("{nth:012x}"),
            user: user.map(str::to_string),
            address: Some("10.0.0.7".to_string()),
            created_ms: Some(nth),
            used_ms: Some(1_000_000 - nth * 1000),
            expires_ms: nth.is_multiple_of(2).then_some(1_000_000 + nth * 1000),
        }
    }

    #[test]
    fn filters_find_what_they_say_and_pages_have_each_session_once() {
        let users = [None, Some("Ann"), Some("bob")];
        let rows: Vec<Row> = (0..230)
            .map(|nth| row(nth, users[nth as usize % 3]))
            .collect();
        let now = UNIX_EPOCH + Duration::from_millis(1_000_000);
        let seconds = Duration::from_secs;
        let count = |filter: &Filter| filter.page(&rows, now).matched;
        let none = Filter::default;
        assert_eq!(count(&none()), 230);
        let found = |search: &str| {
            count(&Filter {
                search: search.to_string(),
                ..none()
            })
        };
        assert_eq!(
            (found("ann"), found("10.0"), found("0000e5"), found("nix")),
            (77, 230, 1, 0)
        );
        let user = |name: &str| {
            count(&Filter {
                user: Some(name.to_string()),
                ..none()
            })
        };
        assert_eq!((user("Ann"), user("ann"), user("An")), (77, 0, 0));
        assert_eq!(
            count(&Filter {
                idle: Some(seconds(200)),
                ..none()
            }),
            30
        );
        assert_eq!(
            count(&Filter {
                used_within: Some(seconds(9)),
                ..none()
            }),
            10
        );
        assert_eq!(
            count(&Filter {
                expires_within: Some(seconds(9)),
                ..none()
            }),
            5
        );
        assert_eq!(
            count(&Filter {
                expires_within: Some(seconds(0)),
                ..none()
            }),
            115
        );
        let mut seen = Vec::new();
        for page in 0..5 {
            let found = Filter { page, ..none() }.page(&rows, now);
            assert_eq!((found.page, found.pages), (page, 5));
            seen.extend(found.rows.into_iter().map(|row| row.handle.clone()));
        }
        let expected: Vec<String> = rows.iter().map(|row| row.handle.clone()).collect();
        assert_eq!(seen, expected, "the one used last comes first");
        assert_eq!(Filter { page: 99, ..none() }.page(&rows, now).page, 4);
        assert_eq!(Filter { page: 99, ..none() }.page(&[], now).pages, 1);
    }
}
