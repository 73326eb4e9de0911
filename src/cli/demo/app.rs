//! The web app: its pages, and what a session is used for in each of them.
//!
//! A change comes by POST and is answered with a redirect and a message for the next page. Only
//! `--like-session3` has pages that change something by GET, as its ancestor had.

use std::net::IpAddr;
use std::time::Duration;

use shelflife::manager::Visit;
use shelflife::{Key, Lifetime, Result, Session, SessionManager};

use crate::cli::demo::pages::{self, Page};
use crate::cli::http::{Request, Response};
use crate::cli::output::say;
use crate::cli::{text, times};

const COUNTER: Key<u64> = Key::new("counter");
const ORDERS: Key<u64> = Key::new("orders");
/// "Remember me".
const MONTH: Duration = Duration::from_secs(30 * 24 * 60 * 60);

#[derive(Debug)]
pub(crate) struct App {
    sessions: SessionManager,
    like_session3: bool,
}

/// The answer of a page that has changed something.
struct Done {
    title: &'static str,
    text: String,
}

impl App {
    pub(crate) fn new(sessions: SessionManager, like_session3: bool) -> App {
        App {
            sessions,
            like_session3,
        }
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
            Response::refused(status)
        })
    }

    fn answer(&self, request: &Request, visitor: IpAddr) -> Result<Response> {
        let origin = request.origin();
        if self.sessions.is_cross_origin(&origin) {
            return Ok(Response::text(
                "403 Forbidden",
                "403 Forbidden: a page of another site sent this form\n",
            ));
        }
        let is_safe = origin.is_safe();
        let mut visit = self.sessions.begin(&request.cookies);
        visit.set_method(&request.method);
        visit.set_client(&visitor.to_string(), &request.agent);
        let mut response = self.page(request, &mut visit)?;
        if request.method == "HEAD" {
            // It changes nothing, so the visit is dropped, and a message that waits stays for the page that shows it.
            return Ok(response);
        }
        let done = visit.finish()?;
        if done.is_lost() && !is_safe {
            response = pages::page(
                "Please try again",
                &Page::default(),
                "<p>Something else happened to your session meanwhile, in another tab perhaps. What you changed in it is not stored.</p>\
                 <p><a class=\"button\" href=\"/\">Try again</a></p>",
            );
            response.status = "409 Conflict";
        }
        let headers = done
            .headers()
            .map(|(name, value)| (name.to_string(), value.to_string()));
        response.headers = headers.collect();
        Ok(response)
    }

    fn page(&self, request: &Request, visit: &mut Visit) -> Result<Response> {
        let (method, path) = (request.method.as_str(), request.path.as_str());
        if let Some(change) = change(path) {
            return match (method, self.like_session3) {
                ("GET", true) => {
                    let done = change(request, visit)?;
                    Ok(plain(done))
                }
                ("POST", false) => self.changed(path, change(request, visit)?, visit),
                _ => Ok(Response::refused("405 Method Not Allowed")),
            };
        }
        let is_read = matches!(method, "GET" | "HEAD");
        match path {
            "/" if is_read => start(visit),
            "/style.css" if is_read => Ok(pages::style()),
            "/login" if is_read => Ok(pages::login(&shown(visit)?)),
            "/login" if method == "POST" => self.login(request, visit),
            "/devices" if is_read => devices(visit),
            "/devices" if method == "POST" => end_device(request, visit),
            "/order" if is_read => order_form(visit),
            "/order" if method == "POST" => order(request, visit),
            "/check" if is_read => self.check(visit),
            "/check_token" if is_read => self.check_token(visit),
            "/" | "/style.css" | "/login" | "/devices" | "/order" | "/check" | "/check_token" => {
                Ok(Response::refused("405 Method Not Allowed"))
            }
            _ => Ok(Response::refused("404 Not Found")),
        }
    }

    /// After a form was taken the browser goes on to a page, so that reloading it does not send the form again.
    fn changed(&self, path: &str, done: Done, visit: &mut Visit) -> Result<Response> {
        // Nobody is logged in any more, and a message would need a session.
        if path == "/logout" {
            return Ok(plain(done));
        }
        visit.flash("ok", &done.text)?;
        Ok(Response::see("/"))
    }

    fn login(&self, request: &Request, visit: &mut Visit) -> Result<Response> {
        let Some(name) = request.body.get("name").filter(|name| !name.is_empty()) else {
            return Ok(pages::login(&shown(visit)?));
        };
        // A login gives the session a new id by itself: an attacker who knew the old one is not logged in as well.
        match request.body.get("remember") {
            Some(_) => {
                let lifetime = Lifetime {
                    idle: None,
                    absolute: Some(MONTH),
                };
                visit.login_for(name, lifetime)?
            }
            None => visit.login(name)?,
        };
        visit.session()?.insert(COUNTER, &0)?;
        if self.like_session3 {
            return Ok(plain(Done {
                title: "Welcome",
                text: format!("Welcome! {name}"),
            }));
        }
        visit.flash("ok", &format!("Welcome! {name}"))?;
        Ok(Response::see("/"))
    }

    fn check(&self, visit: &mut Visit) -> Result<Response> {
        let whose = self.whose(visit)?;
        let session = visit.session()?;
        let counter = session.get(COUNTER)?;
        let counter = counter.map_or("N/A".to_string(), |counter| counter.to_string());
        // As in session3, where the user is what makes a session worth keeping; here a counter or a token is, too.
        let has_info = session
            .user()
            .map_or(truth(session.has_info()).to_string(), line);
        let tokens = session.form_token_count();
        Ok(Response::text(
            "200 OK",
            format!(
                "{whose}counter: {counter}\nhas_info: {has_info}\nform_tokens_count: {tokens}\nhas_form_tokens: {}\n{}",
                truth(tokens > 0),
                access_time(session),
            ),
        ))
    }

    fn check_token(&self, visit: &mut Visit) -> Result<Response> {
        let whose = self.whose(visit)?;
        let session = visit.session()?;
        let tokens = session.form_token_count();
        Ok(Response::text(
            "200 OK",
            format!(
                "{whose}has_form_tokens: {}\nform_token_count: {tokens}\n{}",
                truth(tokens > 0),
                access_time(session),
            ),
        ))
    }

    fn whose(&self, visit: &mut Visit) -> Result<String> {
        let session = visit.session()?;
        // The handle, which gives nobody the session; session3 had the id there.
        let label = if self.like_session3 {
            "session_id"
        } else {
            "session"
        };
        let handle = session
            .handle()
            .map_or("None".to_string(), |handle| handle.to_string());
        let user = session.user().map_or("None".to_string(), line);
        Ok(format!("{label}: {handle}\nuser: {user}\n"))
    }
}

/// The change that a path stands for.
fn change(path: &str) -> Option<fn(&Request, &mut Visit) -> Result<Done>> {
    match path {
        "/counter" => Some(count),
        "/create_token" => Some(create_token),
        "/delete_old" => Some(delete_old),
        "/logout" => Some(logout),
        _ => None,
    }
}

fn count(_: &Request, visit: &mut Visit) -> Result<Done> {
    // Where it is stored, so that overlapping requests lose no count.
    let counter = visit.update(|session| {
        let counter = session.get(COUNTER)?.unwrap_or(0).saturating_add(1);
        session.insert(COUNTER, &counter)?;
        Ok(counter)
    })?;
    Ok(Done {
        title: "Counter",
        text: format!("Counter: {counter}"),
    })
}

fn create_token(_: &Request, visit: &mut Visit) -> Result<Done> {
    let token = visit.session()?.create_form_token()?;
    let shown: String = token.chars().take(16).collect();
    Ok(Done {
        title: "Token",
        text: format!("Token created: {shown}..."),
    })
}

fn delete_old(request: &Request, visit: &mut Visit) -> Result<Done> {
    let given = request.body.get("minutes").or(request.query.get("minutes"));
    let minutes = given.unwrap_or("0").parse().ok();
    let seconds = minutes.and_then(|minutes: u64| minutes.checked_mul(60));
    let text = match seconds {
        Some(seconds) => {
            let idle = Duration::from_secs(seconds);
            let (deleted, remaining) = visit.manager().store().delete_old_sessions(idle)?;
            // Perhaps this visitor's own among them.
            visit.reload()?;
            format!("Deleted: {deleted}, Remaining: {remaining}")
        }
        None => "minutes is not a number".to_string(),
    };
    Ok(Done {
        title: "Old sessions",
        text,
    })
}

fn logout(_: &Request, visit: &mut Visit) -> Result<Done> {
    visit.logout()?;
    Ok(Done {
        title: "Goodbye",
        text: "Goodbye!".to_string(),
    })
}

fn start(visit: &mut Visit) -> Result<Response> {
    let time_left = visit.time_left()?;
    let shown = shown(visit)?;
    let session = visit.session()?;
    let counter = session.get(COUNTER)?.unwrap_or(0);
    let orders = session.get(ORDERS)?.unwrap_or(0);
    let tokens = session.form_token_count();
    let handle = session.handle().map(|handle| handle.to_string());
    Ok(pages::start(
        &shown,
        &pages::Start {
            handle,
            counter,
            orders,
            tokens,
            time_left: time_left.map(times::span),
        },
    ))
}

fn devices(visit: &mut Visit) -> Result<Response> {
    if visit.user()?.is_none() {
        return Ok(Response::see("/login"));
    }
    let now = visit.manager().store().now();
    let (devices, csrf) = (visit.devices()?, visit.csrf_token()?);
    Ok(pages::devices(&shown(visit)?, &devices, now, &csrf))
}

/// Ends one session of the user, or all but this one.
fn end_device(request: &Request, visit: &mut Visit) -> Result<Response> {
    if visit.user()?.is_none() {
        return Ok(Response::see("/login"));
    }
    if !visit.is_csrf_token(request.body.get("csrf").unwrap_or_default())? {
        return Ok(Response::refused("403 Forbidden"));
    }
    let text = match request
        .body
        .get("session")
        .and_then(|handle| handle.parse().ok())
    {
        Some(handle) => match visit.logout_device(handle)? {
            true => "Logged out there.".to_string(),
            false => "That session had ended already.".to_string(),
        },
        None => match visit.logout_elsewhere()? {
            1 => "Logged out of 1 other device.".to_string(),
            others => format!("Logged out of {others} other devices."),
        },
    };
    if visit.user()?.is_some() {
        visit.flash("ok", &text)?;
    }
    Ok(Response::see("/devices"))
}

/// A form that counts once: sent twice, or sent by another site, it orders nothing.
fn order_form(visit: &mut Visit) -> Result<Response> {
    if visit.user()?.is_none() {
        return Ok(Response::see("/login"));
    }
    let once = visit.session()?.create_form_token()?;
    let csrf = visit.csrf_token()?;
    Ok(pages::order(&shown(visit)?, &csrf, &once))
}

fn order(request: &Request, visit: &mut Visit) -> Result<Response> {
    let token = |name| request.body.get(name).unwrap_or_default();
    if !visit.is_csrf_token(token("csrf"))? {
        return Ok(Response::refused("403 Forbidden"));
    }
    if !visit.use_form_token(token("once"))? {
        visit.flash(
            "error",
            "This form was sent before. Nothing was ordered again.",
        )?;
        return Ok(Response::see("/"));
    }
    let orders = visit.update(|session| {
        let orders = session.get(ORDERS)?.unwrap_or(0).saturating_add(1);
        session.insert(ORDERS, &orders)?;
        Ok(orders)
    })?;
    visit.flash("ok", &format!("Ordered: tea number {orders}."))?;
    Ok(Response::see("/"))
}

/// The parts that every page shows.
fn shown(visit: &mut Visit) -> Result<Page> {
    Ok(Page {
        user: visit.user()?.map(String::from),
        flashes: visit.take_flashes()?,
    })
}

fn plain(done: Done) -> Response {
    let text = format!("<p class=\"said\">{}</p>", pages::escape(&done.text));
    pages::page(done.title, &Page::default(), &text)
}

fn access_time(session: &Session) -> String {
    let at = session.accessed();
    format!(
        "Access time: {}\n",
        at.map_or("None".to_string(), times::time)
    )
}

/// A text that a visitor typed, with line breaks escaped so that it stays on its line.
fn line(typed: &str) -> String {
    text::escape(typed.as_bytes())
}

fn truth(value: bool) -> &'static str {
    if value { "True" } else { "False" }
}
