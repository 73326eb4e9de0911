//! The web app: its pages, and what a session is used for in each of them.

use std::net::IpAddr;
use std::time::Duration;

use shelflife::{
    Result, Saved, Session, SessionId, SessionStore, SessionStoreExt, ShelveSessionStore,
};

use crate::cli::demo::http::{Request, Response};
use crate::cli::demo::pages::{self, page};
use crate::cli::output::say;
use crate::cli::{text, times};

const COOKIE: &str = "session";
const COUNTER: &str = "counter";

#[derive(Debug)]
pub(crate) struct App {
    sessions: ShelveSessionStore,
}

/// A request and the session that its cookie leads to, if any.
struct Visit<'a> {
    request: &'a Request,
    address: String,
    session: Option<Session>,
}

impl Visit<'_> {
    fn id(&self) -> Option<&SessionId> {
        self.session.as_ref().and_then(Session::id)
    }

    fn user(&self) -> Option<&str> {
        self.session.as_ref().and_then(Session::user)
    }

    fn counter(&self) -> Result<Option<u64>> {
        let counter = self.session.as_ref().map(|session| session.get(COUNTER));
        Ok(counter.transpose()?.flatten())
    }
}

impl App {
    pub(crate) fn new(sessions: ShelveSessionStore) -> App {
        App { sessions }
    }

    pub(crate) fn respond(&self, request: &Request, visitor: IpAddr) -> Response {
        self.answer(request, visitor).unwrap_or_else(|error| {
            // An error names neither ids nor what is in a session.
            say(&format!(
                "{}: {error}",
                text::escape(request.path.as_bytes())
            ));
            let status = match error.is_busy() {
                true => "503 Service Unavailable",
                false => "500 Internal Server Error",
            };
            Response::text(status, format!("{status}\n"))
        })
    }

    fn answer(&self, request: &Request, visitor: IpAddr) -> Result<Response> {
        let cookie = request.cookie(COOKIE).filter(|cookie| !cookie.is_empty());
        let id = cookie.and_then(|cookie| cookie.parse().ok());
        let session = match &id {
            Some(id) if self.sessions.touch_session(id)? => self.sessions.load_session(id)?,
            _ => None,
        };
        let mut visit = Visit {
            request,
            address: visitor.to_string(),
            session,
        };
        let mut response = self.page(&mut visit)?;
        let is_dead = cookie.is_some() && visit.session.is_none();
        if is_dead && response.set_cookie.is_none() {
            response.set_cookie = Some(format!(
                "{COOKIE}=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax"
            ));
        }
        Ok(response)
    }

    fn page(&self, visit: &mut Visit<'_>) -> Result<Response> {
        let method = match visit.request.method.as_str() {
            "HEAD" => "GET",
            method => method,
        };
        match (method, visit.request.path.as_str()) {
            ("GET", "/") => self.start(visit),
            ("GET", "/login") => Ok(pages::login_form()),
            ("POST", "/login") => self.login(visit),
            ("GET", "/counter") => self.count(visit),
            ("GET", "/check") => self.check(visit),
            ("GET", "/create_token") => self.create_token(visit),
            ("GET", "/check_token") => Ok(check_token(visit)),
            ("GET", "/delete_old") => self.delete_old(visit),
            ("GET", "/logout") => self.logout(visit),
            ("GET", _) => Ok(Response::text("404 Not Found", "404 Not Found\n")),
            _ => Ok(Response::text(
                "405 Method Not Allowed",
                "405 Method Not Allowed\n",
            )),
        }
    }

    fn start(&self, visit: &Visit<'_>) -> Result<Response> {
        let greeting = match visit.user() {
            Some(user) => format!("<p>Hello, {}!</p>", pages::escape(user)),
            None => "<p>Not logged in.</p>".to_string(),
        };
        let session = match visit.id() {
            Some(id) => format!(
                "<p>Session: {}</p>\n<p>Counter: {}</p>",
                id.handle(),
                visit.counter()?.unwrap_or(0)
            ),
            None => String::new(),
        };
        Ok(page("shelflife demo", &format!("{greeting}\n{session}")))
    }

    fn login(&self, visit: &mut Visit<'_>) -> Result<Response> {
        let Some(name) = visit
            .request
            .body
            .get("name")
            .filter(|name| !name.is_empty())
        else {
            return Ok(pages::login_form());
        };
        let mut session = visit.session.take().unwrap_or_default();
        loop {
            session.set_user(Some(name));
            session.insert(COUNTER, &0_u64)?;
            session.set_remote_address(Some(&visit.address));
            // A new id with every login: whoever knew the old one is not logged in along with the visitor.
            match self.sessions.regenerate_id(&mut session)? {
                Saved::Conflict(current) => session = *current,
                Saved::Gone => session = Session::new(),
                _ => break,
            }
        }
        let mut response = page(
            "Welcome",
            &format!("<p>Welcome! {}</p>", pages::escape(name)),
        );
        response.set_cookie = session.id().map(cookie_with);
        visit.session = Some(session);
        Ok(response)
    }

    fn count(&self, visit: &mut Visit<'_>) -> Result<Response> {
        let (counter, set_cookie) = self.change(visit, |session| {
            let counter = session.get::<u64>(COUNTER)?.unwrap_or(0).saturating_add(1);
            session.insert(COUNTER, &counter)?;
            Ok(counter)
        })?;
        let mut response = page("Counter", &format!("<p>Counter: {counter}</p>"));
        response.set_cookie = set_cookie;
        Ok(response)
    }

    fn create_token(&self, visit: &mut Visit<'_>) -> Result<Response> {
        let (token, set_cookie) = self.change(visit, Session::create_form_token)?;
        let mut response = page(
            "Token",
            &format!("<p>Token created: {}...</p>", &token[..16]),
        );
        response.set_cookie = set_cookie;
        Ok(response)
    }

    /// Changes the visitor's session where it is stored, so that overlapping requests lose nothing of each other's.
    /// One that ended meanwhile stays ended: the visitor gets a new one, and the cookie for it.
    fn change<T>(
        &self,
        visit: &mut Visit<'_>,
        change: impl Fn(&mut Session) -> Result<T>,
    ) -> Result<(T, Option<String>)> {
        if let Some(id) = visit.id()
            && let Some(value) = self.sessions.update_session(id, &change)?
        {
            return Ok((value, None));
        }
        let mut session = Session::new();
        session.set_remote_address(Some(&visit.address));
        let value = change(&mut session)?;
        let set_cookie = match self.sessions.save_session(&mut session)? {
            Saved::Stored => session.id().map(cookie_with),
            _ => None,
        };
        visit.session = Some(session);
        Ok((value, set_cookie))
    }

    fn check(&self, visit: &Visit<'_>) -> Result<Response> {
        let counter = visit.counter()?;
        let counter = counter.map_or("N/A".to_string(), |counter| counter.to_string());
        let worth_keeping = visit.session.as_ref().is_some_and(Session::has_info);
        // As in session3, where the user is what makes a session worth keeping; here a counter or a token is, too.
        let has_info = visit.user().map_or(truth(worth_keeping).to_string(), line);
        let tokens = token_count(visit);
        Ok(Response::text(
            "200 OK",
            format!(
                "{}counter: {counter}\nhas_info: {has_info}\nform_tokens_count: {tokens}\nhas_form_tokens: {}\n{}",
                whose(visit),
                truth(tokens > 0),
                access_time(visit),
            ),
        ))
    }

    fn delete_old(&self, visit: &mut Visit<'_>) -> Result<Response> {
        let minutes = visit.request.query.get("minutes").unwrap_or("0");
        let seconds = minutes
            .parse()
            .ok()
            .and_then(|minutes: u64| minutes.checked_mul(60));
        let Some(seconds) = seconds else {
            return Ok(Response::text(
                "400 Bad Request",
                "minutes is not a number\n",
            ));
        };
        let (deleted, remaining) = self
            .sessions
            .delete_old_sessions(Duration::from_secs(seconds))?;
        Ok(page(
            "Old sessions",
            &format!("<p>Deleted: {deleted}, Remaining: {remaining}</p>"),
        ))
    }

    fn logout(&self, visit: &mut Visit<'_>) -> Result<Response> {
        if let Some(id) = visit.id() {
            self.sessions.delete_session(id)?;
        }
        visit.session = None;
        Ok(page("Goodbye", "<p>Goodbye!</p>"))
    }
}

fn cookie_with(id: &SessionId) -> String {
    format!("{COOKIE}={}; Path=/; HttpOnly; SameSite=Lax", id.as_str())
}

fn check_token(visit: &Visit<'_>) -> Response {
    let tokens = token_count(visit);
    Response::text(
        "200 OK",
        format!(
            "{}has_form_tokens: {}\nform_token_count: {tokens}\n{}",
            whose(visit),
            truth(tokens > 0),
            access_time(visit),
        ),
    )
}

fn whose(visit: &Visit<'_>) -> String {
    let id = visit.id().map_or("None", SessionId::as_str);
    let user = visit.user().map_or("None".to_string(), line);
    format!("session_id: {id}\nuser: {user}\n")
}

fn access_time(visit: &Visit<'_>) -> String {
    let at = visit.session.as_ref().and_then(Session::accessed);
    format!(
        "Access time: {}\n",
        at.map_or("None".to_string(), times::time)
    )
}

fn token_count(visit: &Visit<'_>) -> usize {
    visit.session.as_ref().map_or(0, Session::form_token_count)
}

/// What a visitor typed, so that it stays on its line.
fn line(typed: &str) -> String {
    text::escape(typed.as_bytes())
}

fn truth(value: bool) -> &'static str {
    if value { "True" } else { "False" }
}
