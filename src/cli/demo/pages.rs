//! The pages of the demo, as text. All that a visitor typed, or his browser said, is escaped on its way into one.

use std::time::SystemTime;

use shelflife::manager::{Device, Flash};

use crate::cli::http::Response;
use crate::cli::times;

/// No scripts, no frames, nothing from elsewhere.
const POLICY: &str = "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// The parts that stand around each page.
#[derive(Debug, Default)]
pub(crate) struct Page {
    pub(crate) user: Option<String>,
    pub(crate) flashes: Vec<Flash>,
}

#[derive(Debug)]
pub(crate) struct Start {
    pub(crate) handle: Option<String>,
    pub(crate) counter: u64,
    pub(crate) orders: u64,
    pub(crate) tokens: usize,
    pub(crate) time_left: Option<String>,
}

pub(crate) fn style() -> Response {
    let css = include_str!("style.css");
    Response {
        max_age: Some(60),
        ..Response::new("200 OK", "text/css; charset=utf-8", css)
    }
}

pub(crate) fn page(title: &str, page: &Page, body: &str) -> Response {
    let links = match &page.user {
        Some(user) => format!(
            "<a href=\"/order\">Order</a><a href=\"/devices\">Devices</a>\
             <form method=\"post\" action=\"/logout\"><button class=\"link\" title=\"{}\">Log out</button></form>",
            escape(user)
        ),
        None => "<a href=\"/login\">Log in</a>".to_string(),
    };
    let flashes: String = page.flashes.iter().map(flash).collect();
    let html = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>{title} · shelflife</title>\n\
         <link rel=\"icon\" href=\"data:,\">\n<link rel=\"stylesheet\" href=\"/style.css\">\n</head>\n<body>\n\
         <header><nav><a class=\"home\" href=\"/\">shelflife</a>{links}</nav></header>\n<main>\n{flashes}\
         <h1>{title}</h1>\n{body}\n</main>\n\
         <footer>Kill this server and start it again: you stay logged in.</footer>\n</body>\n</html>\n"
    );
    Response {
        policy: POLICY.to_string(),
        // Without one a browser would call the origin of the page's forms `null`.
        referrer: "same-origin",
        ..Response::new("200 OK", "text/html; charset=utf-8", html)
    }
}

fn flash(flash: &Flash) -> String {
    let kind = if flash.kind == "ok" { "ok" } else { "error" };
    format!(
        "<p class=\"flash {kind}\" role=\"status\">{}</p>\n",
        escape(&flash.text)
    )
}

pub(crate) fn login(shown: &Page) -> Response {
    page("Log in", shown, LOGIN)
}

const LOGIN: &str = "<form class=\"card\" method=\"post\" action=\"/login\">\n\
    <label for=\"name\">Name</label>\n\
    <input id=\"name\" name=\"name\" required autofocus autocomplete=\"username\" maxlength=\"64\">\n\
    <label class=\"check\"><input type=\"checkbox\" name=\"remember\" value=\"1\"> Remember me for 30 days</label>\n\
    <button>Log in</button>\n\
    <p class=\"hint\">Any name will do; there is no password.</p>\n</form>";

pub(crate) fn start(shown: &Page, start: &Start) -> Response {
    let (title, greeting) = match &shown.user {
        Some(user) => (
            format!("Hello, {}!", escape(user)),
            "<p class=\"actions\"><a class=\"button\" href=\"/order\">Order tea</a> \
             <a class=\"button quiet\" href=\"/devices\">Your devices</a></p>"
                .to_string(),
        ),
        None => ("Not logged in".to_string(), LOGIN.to_string()),
    };
    let left = start.time_left.as_ref();
    let left = left.map_or(String::new(), |left| {
        format!("<dt>Ends, if unused, in</dt><dd>{left}</dd>")
    });
    let handle = match &start.handle {
        Some(handle) => format!("<dt>Session</dt><dd><code>{handle}</code></dd>{left}"),
        None => "<dt>Session</dt><dd>none: nothing worth keeping yet</dd>".to_string(),
    };
    let body = format!(
        "{greeting}\n<section class=\"card\">\n\
         <p class=\"figure\">Counter: {}</p>\n\
         <form method=\"post\" action=\"/counter\"><button>Count</button></form>\n</section>\n\
         <section class=\"card\">\n<h2>What is remembered of you</h2>\n\
         <dl>{handle}<dt>Orders</dt><dd>{}</dd><dt>Form tokens</dt><dd>{}</dd></dl>\n\
         <form method=\"post\" action=\"/create_token\"><button class=\"quiet\">Create a form token</button></form>\n\
         </section>\n\
         <section class=\"card\">\n<h2>Housekeeping</h2>\n\
         <form method=\"post\" action=\"/delete_old\">\n\
         <label for=\"minutes\">Delete sessions that were not used for this many minutes</label>\n\
         <div class=\"row\"><input id=\"minutes\" name=\"minutes\" inputmode=\"numeric\" value=\"1440\">\
         <button class=\"quiet\">Delete</button></div>\n</form>\n</section>",
        start.counter, start.orders, start.tokens
    );
    page(&title, shown, &body)
}

pub(crate) fn devices(shown: &Page, devices: &[Device], now: SystemTime, csrf: &str) -> Response {
    let list: String = devices.iter().map(|it| device(it, now, csrf)).collect();
    let elsewhere = match devices.len() {
        0 | 1 => "<p class=\"hint\">You are logged in nowhere else.</p>".to_string(),
        _ => format!(
            "<form method=\"post\" action=\"/devices\"><input type=\"hidden\" name=\"csrf\" value=\"{csrf}\">\
             <button class=\"danger\">Log out everywhere else</button></form>"
        ),
    };
    page(
        "Your devices",
        shown,
        &format!("<ul class=\"devices\">\n{list}</ul>\n{elsewhere}"),
    )
}

fn device(device: &Device, now: SystemTime, csrf: &str) -> String {
    let since = device.accessed.and_then(|at| now.duration_since(at).ok());
    let ago = match since {
        Some(since) if since.as_secs() >= 60 => format!("{} ago", times::span(since)),
        _ => "just now".to_string(),
    };
    let address =
        |address: &Option<String>| address.as_deref().map_or("unknown".to_string(), escape);
    let since = device.created.map_or("unknown".to_string(), minute);
    let end = match device.is_this {
        true => "<span class=\"badge\">this device</span>".to_string(),
        false => format!(
            "<form method=\"post\" action=\"/devices\"><input type=\"hidden\" name=\"csrf\" value=\"{csrf}\">\
             <input type=\"hidden\" name=\"session\" value=\"{}\"><button class=\"quiet\">Log out there</button></form>",
            device.session
        ),
    };
    format!(
        "<li class=\"card device\"><div><h2>{}</h2>\
         <p>Last used {ago} from {}</p><p class=\"hint\">Logged in {since} from {}<br><code>{}</code></p></div>{end}</li>\n",
        escape(&browser(&device.agent)),
        address(&device.last_address),
        address(&device.first_address),
        device.session,
    )
}

/// `2026-11-25 21:36 UTC`.
fn minute(at: SystemTime) -> String {
    let time = times::time(at);
    let minute = time.get(..16).unwrap_or(&time);
    format!("{} UTC", minute.replace('T', " "))
}

/// The name that a person knows this browser by. Each browser names its forebears too, so the order matters.
fn browser(agent: &str) -> String {
    let name = |known: &[(&str, &'static str)]| {
        let found = known.iter().find(|(word, _)| agent.contains(word));
        found.map(|(_, name)| *name)
    };
    let browser = name(&[
        ("Edg/", "Edge"),
        ("Firefox/", "Firefox"),
        ("Chrome/", "Chrome"),
        ("Safari/", "Safari"),
        ("curl/", "curl"),
    ]);
    let system = name(&[
        ("Android", "Android"),
        ("iPhone", "iPhone"),
        ("iPad", "iPad"),
        ("Windows", "Windows"),
        ("Mac OS", "macOS"),
        ("Linux", "Linux"),
    ]);
    match (browser, system) {
        (Some(browser), Some(system)) => format!("{browser} on {system}"),
        (Some(browser), None) => browser.to_string(),
        (None, Some(system)) => format!("A browser on {system}"),
        (None, None) if agent.is_empty() => "A program without a name".to_string(),
        (None, None) => agent.chars().take(40).collect(),
    }
}

pub(crate) fn order(shown: &Page, csrf: &str, once: &str) -> Response {
    let body = format!(
        "<form class=\"card\" method=\"post\" action=\"/order\">\n\
         <input type=\"hidden\" name=\"csrf\" value=\"{csrf}\">\n<input type=\"hidden\" name=\"once\" value=\"{once}\">\n\
         <p>One pot of tea. However often you press the button, it is ordered once.</p>\n\
         <button>Order tea</button>\n</form>"
    );
    page("Order tea", shown, &body)
}

pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_become_markup() {
        let name = "<script a='b' c=\"d\">&";
        assert_eq!(
            escape(name),
            "&lt;script a=&#39;b&#39; c=&quot;d&quot;&gt;&amp;"
        );
    }

    #[test]
    fn a_browser_is_called_what_people_call_it() {
        for (agent, name) in [
            (
                "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/150.0 Safari/537.36",
                "Chrome on Linux",
            ),
            (
                "Mozilla/5.0 (Windows NT 10.0) Chrome/150.0 Safari/537.36 Edg/150.0",
                "Edge on Windows",
            ),
            (
                "Mozilla/5.0 (iPhone; CPU iPhone OS 19_0 like Mac OS X) Version/19.0 Safari/604.1",
                "Safari on iPhone",
            ),
            (
                "Mozilla/5.0 (Android 16; Mobile; rv:150.0) Gecko/150.0 Firefox/150.0",
                "Firefox on Android",
            ),
            ("curl/8.14.1", "curl"),
            ("tea", "tea"),
            ("", "A program without a name"),
        ] {
            assert_eq!(browser(agent), name);
        }
    }
}
