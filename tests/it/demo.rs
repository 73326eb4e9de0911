//! The demo, visited over real sockets by a small browser with a cookie jar.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A running `shelflife demo`; killed without warning when dropped.
struct Demo {
    child: Child,
    port: u16,
    said: String,
}

impl Demo {
    fn start(file: &Path) -> Demo {
        Demo::start_with(
            Command::new(env!("CARGO_BIN_EXE_shelflife"))
                .arg("demo")
                .arg(file)
                .args(["--port", "0"]),
        )
    }

    /// With pages that change something by GET, as those of session3's demo do.
    fn like_session3(file: &Path) -> Demo {
        Demo::start_with(
            Command::new(env!("CARGO_BIN_EXE_shelflife"))
                .arg("demo")
                .arg(file)
                .args(["--port", "0", "--like-session3"]),
        )
    }

    fn start_with(command: &mut Command) -> Demo {
        let mut child = command
            .stdout(Stdio::piped())
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let mut said = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut said)
            .unwrap();
        let port = said
            .strip_prefix("http://127.0.0.1:")
            .and_then(|rest| rest.split('/').next());
        let port = port
            .and_then(|port| port.parse().ok())
            .unwrap_or_else(|| panic!("it said {said:?}"));
        Demo { child, port, said }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(30)))
            .unwrap();
        stream
    }

    /// Sends bytes as they are and returns all that comes back until the demo closes the connection.
    fn raw(&self, request: &[u8]) -> String {
        let mut stream = self.connect();
        stream.write_all(request).unwrap();
        let mut answer = Vec::new();
        // A refused request's leftover makes the kernel reset the connection behind the answer.
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8(answer).unwrap()
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// Keeps cookies as browsers do: by host and not by port, until they are taken back.
#[derive(Default)]
struct Browser {
    cookies: BTreeMap<String, String>,
    /// The last `Set-Cookie`, whole.
    set_cookie: Option<String>,
    location: Option<String>,
    status: u16,
    /// Its `User-Agent`.
    agent: &'static str,
}

impl Browser {
    fn get(&mut self, demo: &Demo, path: &str) -> String {
        self.visit(demo, "GET", path, "")
    }

    fn login(&mut self, demo: &Demo, name: &str) -> String {
        self.post(demo, "/login", &format!("name={name}"))
    }

    /// Sends a form, and goes on to where it leads.
    fn post(&mut self, demo: &Demo, path: &str, form: &str) -> String {
        let page = self.visit(demo, "POST", path, form);
        let Some(location) = self.location.take() else {
            return page;
        };
        let (status, set_cookie) = (self.status, self.set_cookie.take());
        assert_eq!(status, 303, "{page}");
        let page = self.visit(demo, "GET", &location, "");
        self.set_cookie = self.set_cookie.take().or(set_cookie);
        page
    }

    fn count(&mut self, demo: &Demo) -> String {
        self.post(demo, "/counter", "")
    }

    fn logout(&mut self, demo: &Demo) -> String {
        self.post(demo, "/logout", "")
    }

    fn visit(&mut self, demo: &Demo, method: &str, path: &str, body: &str) -> String {
        let jar: Vec<String> = self
            .cookies
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let cookie = if jar.is_empty() {
            String::new()
        } else {
            format!("Cookie: {}\r\n", jar.join("; "))
        };
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: {}\r\n{cookie}Content-Length: {}\r\n\
             Connection: close\r\n\r\n{body}",
            self.agent,
            body.len()
        );
        let answer = demo.raw(request.as_bytes());
        let (head, page) = answer
            .split_once("\r\n\r\n")
            .unwrap_or_else(|| panic!("{method} {path}: {answer:?}"));
        self.status = head.split(' ').nth(1).unwrap().parse().unwrap();
        self.set_cookie = head
            .lines()
            .find_map(|line| line.strip_prefix("Set-Cookie: "))
            .map(str::to_string);
        self.location = head
            .lines()
            .find_map(|line| line.strip_prefix("Location: "))
            .map(str::to_string);
        if let Some(set) = &self.set_cookie {
            let (pair, attributes) = set.split_once(';').unwrap();
            let (name, value) = pair.split_once('=').unwrap();
            if attributes.contains("Max-Age=0") {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.to_string(), value.to_string());
            }
        }
        page.to_string()
    }

    /// A line of `/check` or `/check_token`.
    fn checked(&mut self, demo: &Demo, label: &str) -> String {
        let page = self.get(demo, "/check");
        let mut lines = page.lines().filter_map(|line| line.split_once(": "));
        lines
            .find(|(name, _)| *name == label)
            .unwrap_or_else(|| panic!("no {label} in {page}"))
            .1
            .to_string()
    }
}

fn shelflife(arguments: &[&str], file: &Path) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_shelflife"));
    for argument in arguments {
        match *argument {
            "F" => command.arg(file),
            word => command.arg(word),
        };
    }
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert!(
        output.status.success(),
        "{arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

macro_rules! says {
    ($page:expr, $text:expr) => {
        let page: String = $page;
        assert!(page.contains($text), "{:?} is not in {page}", $text);
    };
}

mod http;

#[test]
fn a_login_survives_kill_9() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("sessions.shelf");
    let mut browser = Browser::default();
    let demo = Demo::start(&file);
    says!(browser.login(&demo, "Ann"), "Welcome! Ann");
    says!(browser.count(&demo), "Counter: 1");
    drop(demo);
    let demo = Demo::start(&file);
    says!(browser.get(&demo, "/"), "Ann");
    says!(browser.count(&demo), "Counter: 2");
    assert_eq!(
        browser.set_cookie, None,
        "the visitor has its cookie already"
    );
}

#[test]
fn a_visitor_without_anything_worth_keeping_gets_no_cookie_and_writes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("sessions.shelf");
    let demo = Demo::start(&file);
    let size_bytes = || std::fs::metadata(&file).unwrap().len();
    let before = size_bytes();
    let mut browser = Browser::default();
    says!(browser.get(&demo, "/"), "Not logged in");
    for path in [
        "/",
        "/login",
        "/check",
        "/check_token",
        "/devices",
        "/order",
        "/style.css",
        "/nowhere",
    ] {
        browser.get(&demo, path);
        assert_eq!(browser.set_cookie, None, "{path}");
    }
    says!(browser.logout(&demo), "Goodbye!");
    assert_eq!(browser.set_cookie, None);
    assert_eq!(size_bytes(), before);
    let check = browser.get(&demo, "/check");
    let lines: Vec<&str> = check.lines().take(6).collect();
    let none = [
        "session: None",
        "user: None",
        "counter: N/A",
        "has_info: False",
        "form_tokens_count: 0",
        "has_form_tokens: False",
    ];
    assert_eq!(lines, none);
}

#[test]
fn the_cookie_is_out_of_reach_of_scripts_and_of_other_sites() {
    let dir = tempfile::tempdir().unwrap();
    let demo = Demo::start(&dir.path().join("sessions.shelf"));
    let mut browser = Browser::default();
    browser.login(&demo, "Ann");
    let set = browser.set_cookie.clone().unwrap();
    let (pair, attributes) = set.split_once("; ").unwrap();
    assert_eq!(attributes, "Path=/; HttpOnly; SameSite=Lax");
    let id = pair.split_once('=').unwrap().1;
    assert_eq!(id.len(), 22);
    // Pages show the handle, which gives nobody the session.
    let handle = browser.checked(&demo, "session");
    assert_eq!(handle.len(), 12);
    for path in ["/", "/check", "/check_token", "/devices", "/order"] {
        assert!(!browser.get(&demo, path).contains(id), "{path}");
    }
}

#[test]
fn remember_me_outlives_the_browser() {
    let dir = tempfile::tempdir().unwrap();
    let demo = Demo::start(&dir.path().join("sessions.shelf"));
    let mut browser = Browser::default();
    browser.post(&demo, "/login", "name=Ann&remember=1");
    assert!(browser.set_cookie.unwrap().contains("; Max-Age=2592000; "));
}

#[test]
fn session3s_own_checks_hold() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("sessions.shelf");
    let demo = Demo::like_session3(&file);
    let mut browser = Browser::default();
    says!(browser.get(&demo, "/"), "Not logged in");
    says!(browser.login(&demo, "TestUser"), "TestUser");
    assert!(browser.set_cookie.is_some());
    says!(browser.get(&demo, "/"), "TestUser");
    says!(browser.get(&demo, "/counter"), "Counter: 1");
    says!(browser.get(&demo, "/counter"), "Counter: 2");
    let check = browser.get(&demo, "/check");
    for line in [
        "user: TestUser",
        "session_id: ",
        "counter: 2",
        "has_info: TestUser",
        "form_tokens_count: 0",
        "has_form_tokens: False",
        "Access time: ",
    ] {
        assert!(check.contains(line), "{line:?} is not in {check}");
    }
    browser.get(&demo, "/logout");
    assert_eq!(browser.status, 200);
    assert_eq!(shelflife(&["session", "ls", "F"], &file), "");

    browser.login(&demo, "TokenUser");
    says!(browser.get(&demo, "/create_token"), "Token created: ");
    says!(browser.get(&demo, "/check_token"), "has_form_tokens: True");
    assert_eq!(browser.checked(&demo, "form_tokens_count"), "1");

    let mut other = Browser::default();
    other.login(&demo, "DeleteTest");
    says!(
        other.get(&demo, "/delete_old?minutes=10"),
        "Deleted: 0, Remaining: 2"
    );
    says!(
        other.get(&demo, "/delete_old?minutes=0"),
        "Deleted: 2, Remaining: 0"
    );

    let mut recovered = Browser::default();
    recovered.login(&demo, "RecoveryTest");
    let old = recovered.checked(&demo, "session_id");
    recovered.get(&demo, "/delete_old");
    recovered.login(&demo, "RecoveryTest");
    assert_ne!(recovered.checked(&demo, "session_id"), old);
    assert_eq!(recovered.checked(&demo, "user"), "RecoveryTest");
}

/// The paths of the forms, each of which changes something.
const FORMS: [&str; 4] = ["/counter", "/create_token", "/delete_old", "/logout"];

#[test]
fn a_get_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let demo = Demo::start(&dir.path().join("sessions.shelf"));
    let mut browser = Browser::default();
    browser.login(&demo, "Ann");
    browser.count(&demo);
    for path in FORMS {
        browser.visit(&demo, "GET", path, "");
        assert_eq!(browser.status, 405, "{path}");
    }
    assert_eq!(browser.checked(&demo, "counter"), "1");
    assert_eq!(browser.checked(&demo, "form_tokens_count"), "0");
}

#[test]
fn a_head_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("sessions.shelf");
    let (demo, like_session3) = (Demo::start(&file), Demo::like_session3(&file));
    let mut browser = Browser::default();
    browser.login(&demo, "Ann");
    browser.count(&demo);
    for path in FORMS {
        for demo in [&demo, &like_session3] {
            browser.visit(demo, "HEAD", path, "");
            assert_eq!(browser.status, 405, "{path}");
        }
    }
    // The page of the form makes its token only for a visitor who gets to see it.
    browser.visit(&demo, "HEAD", "/order", "");
    assert_eq!(browser.checked(&demo, "counter"), "1");
    assert_eq!(browser.checked(&demo, "form_tokens_count"), "0");
    // A message waits for the page that shows it.
    browser.visit(&demo, "POST", "/counter", "");
    browser.visit(&demo, "HEAD", "/", "");
    says!(browser.get(&demo, "/"), "role=\"status\">Counter: 2");
}

#[test]
fn a_page_of_another_site_can_send_no_form() {
    let dir = tempfile::tempdir().unwrap();
    let demo = Demo::start(&dir.path().join("sessions.shelf"));
    let mut browser = Browser::default();
    browser.login(&demo, "Ann");
    let (name, id) = browser.cookies.first_key_value().unwrap();
    for (field, status) in [
        ("Sec-Fetch-Site: cross-site", "403"),
        ("Sec-Fetch-Site: same-site", "403"),
        ("Origin: http://evil.example", "403"),
        ("Origin: null", "403"),
        ("Sec-Fetch-Site: same-origin", "303"),
        ("Origin: http://127.0.0.1", "303"),
    ] {
        let request = format!(
            "POST /counter HTTP/1.1\r\nHost: 127.0.0.1\r\nCookie: {name}={id}\r\n{field}\r\nConnection: close\r\n\r\n"
        );
        let answer = demo.raw(request.as_bytes());
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{field}: {answer}"
        );
    }
    assert_eq!(browser.checked(&demo, "counter"), "2");
}

/// The value of a hidden field of a form.
fn hidden(page: &str, name: &str) -> String {
    let field = format!("name=\"{name}\" value=\"");
    let value = page
        .split(&field)
        .nth(1)
        .and_then(|rest| rest.split('"').next());
    value
        .unwrap_or_else(|| panic!("no {name} in {page}"))
        .to_string()
}

#[test]
fn a_form_counts_once_and_only_with_its_tokens() {
    let dir = tempfile::tempdir().unwrap();
    let demo = Demo::start(&dir.path().join("sessions.shelf"));
    let mut browser = Browser::default();
    browser.login(&demo, "Ann");
    let page = browser.get(&demo, "/order");
    let form = format!(
        "csrf={}&once={}",
        hidden(&page, "csrf"),
        hidden(&page, "once")
    );
    says!(
        browser.post(&demo, "/order", &form),
        "Ordered: tea number 1."
    );
    says!(
        browser.post(&demo, "/order", &form),
        "Nothing was ordered again."
    );
    says!(browser.get(&demo, "/"), "<dt>Orders</dt><dd>1</dd>");
    let mut other = Browser::default();
    other.login(&demo, "Bob");
    for forged in [form.as_str(), "", "csrf=x&once=y"] {
        other.post(&demo, "/order", forged);
        assert_eq!(other.status, 403);
    }
}

#[test]
fn a_device_is_listed_and_logged_out_from_another() {
    let dir = tempfile::tempdir().unwrap();
    let demo = Demo::start(&dir.path().join("sessions.shelf"));
    let browser = |agent| Browser {
        agent,
        ..Browser::default()
    };
    let mut desk = browser("Mozilla/5.0 (X11; Linux x86_64) Chrome/150.0 Safari/537.36");
    let mut phone = browser("Mozilla/5.0 (iPhone) Version/19.0 Safari/604.1");
    let mut tablet = browser("Mozilla/5.0 (iPad) <script>");
    let mut bob = browser("Bob");
    for browser in [&mut desk, &mut phone, &mut tablet] {
        browser.login(&demo, "Ann");
    }
    bob.login(&demo, "Bob");
    let page = desk.get(&demo, "/devices");
    for text in [
        "Chrome on Linux",
        "Safari on iPhone",
        "A browser on iPad",
        "127.0.0.1",
        "this device",
    ] {
        assert!(page.contains(text), "{text} is not in {page}");
    }
    assert!(!page.contains("<script>") && !page.contains("Bob"));
    let csrf = hidden(&page, "csrf");
    let handle = phone.checked(&demo, "session");
    desk.post(&demo, "/devices", &format!("session={handle}"));
    assert_eq!(desk.status, 403, "without the token");
    let bobs = bob.checked(&demo, "session");
    says!(
        desk.post(&demo, "/devices", &format!("csrf={csrf}&session={bobs}")),
        "had ended already"
    );
    says!(bob.get(&demo, "/"), "Hello, Bob!");
    says!(
        desk.post(&demo, "/devices", &format!("csrf={csrf}&session={handle}")),
        "Logged out there."
    );
    says!(phone.get(&demo, "/"), "Not logged in");
    says!(
        desk.post(&demo, "/devices", &format!("csrf={csrf}")),
        "Logged out of 1 other device."
    );
    says!(tablet.get(&demo, "/"), "Not logged in");
    says!(desk.get(&demo, "/"), "Hello, Ann!");
}

#[test]
fn two_demos_on_one_file_see_the_same_sessions() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("sessions.shelf");
    let (one, two) = (Demo::start(&file), Demo::start(&file));
    let mut browser = Browser::default();
    browser.login(&one, "Ann");
    says!(browser.get(&two, "/"), "Ann");
    says!(browser.count(&two), "Counter: 1");
    says!(browser.count(&one), "Counter: 2");
    browser.logout(&two);
    says!(browser.get(&one, "/"), "Not logged in");
}

/// Browsers keep cookies by host and not by port.
#[test]
fn two_demos_on_two_files_do_not_log_each_other_out() {
    let dir = tempfile::tempdir().unwrap();
    let (one, two) = (
        Demo::start(&dir.path().join("one.shelf")),
        Demo::start(&dir.path().join("two.shelf")),
    );
    let mut browser = Browser::default();
    browser.login(&one, "Ann");
    browser.login(&two, "Bob");
    says!(browser.get(&one, "/"), "Hello, Ann!");
    browser.logout(&two);
    says!(browser.get(&one, "/"), "Hello, Ann!");
}

#[test]
fn of_two_cookies_of_its_name_the_one_that_lives_counts() {
    let dir = tempfile::tempdir().unwrap();
    let demo = Demo::start(&dir.path().join("sessions.shelf"));
    let mut browser = Browser::default();
    browser.login(&demo, "Ann");
    let (name, id) = browser.cookies.first_key_value().unwrap();
    let live = format!("{name}={id}");
    let dead = format!("{name}=AAECAwQFBgcICQoLDA0ODw");
    for cookies in [
        format!("{live}; {dead}"),
        format!("{dead}; {live}"),
        format!("x=\u{ff}; {dead}; {live}"),
    ] {
        let request = format!(
            "GET / HTTP/1.1\r\nHost: localhost\r\nCookie: {cookies}\r\nConnection: close\r\n\r\n"
        );
        let answer = demo.raw(request.as_bytes());
        assert!(
            answer.contains("Hello, Ann!") && !answer.contains("Set-Cookie"),
            "{answer}"
        );
    }
}

#[test]
fn a_store_that_another_process_holds_is_503_for_what_changes_it_and_nothing_for_what_reads() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("sessions.shelf");
    let demo = Demo::start(&file);
    let mut browser = Browser::default();
    browser.login(&demo, "Ann");
    let mut options = shelflife::Options::new();
    let holder = options.exclusive(true).open(&file).unwrap();
    browser.visit(&demo, "POST", "/counter", "");
    assert_eq!(browser.status, 503);
    says!(browser.get(&demo, "/check"), "user: Ann\ncounter: 0");
    assert_eq!(browser.status, 200);
    drop(holder);
    says!(browser.count(&demo), "Counter: 1");
}

#[test]
fn overlapping_requests_lose_no_count() {
    const VISITS: usize = 40;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("sessions.shelf");
    let demos = [Demo::start(&file), Demo::start(&file)];
    let mut browser = Browser::default();
    browser.login(&demos[0], "Ann");
    let (name, id) = browser.cookies.first_key_value().unwrap();
    // All at once down each connection, so that the demos have no pause between two of them.
    let visit = format!("POST /counter HTTP/1.1\r\nHost: 127.0.0.1\r\nCookie: {name}={id}\r\n\r\n");
    let visits =
        visit.repeat(VISITS - 1) + &visit.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n");
    std::thread::scope(|scope| {
        for tab in 0..8 {
            let (demo, visits) = (&demos[tab % 2], &visits);
            scope.spawn(move || {
                let answers = demo.raw(visits.as_bytes());
                assert_eq!(answers.matches("HTTP/1.1 303 See Other").count(), VISITS);
            });
        }
    });
    assert_eq!(
        browser.checked(&demos[1], "counter"),
        (8 * VISITS).to_string()
    );
}

#[test]
fn a_session_deleted_from_outside_ends_the_login_without_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("sessions.shelf");
    let demo = Demo::start(&file);
    let mut browser = Browser::default();
    browser.login(&demo, "Ann");
    let listed = shelflife(&["session", "ls", "F"], &file);
    let handle = listed.split('\t').next().unwrap();
    says!(browser.get(&demo, "/"), handle);
    shelflife(&["session", "rm", "F", handle], &file);
    let dead = browser.cookies.clone();
    says!(browser.get(&demo, "/"), "Not logged in");
    assert_eq!(browser.status, 200);
    // The cookie is left alone: this request did not end the session, and another may have set a new one meanwhile.
    assert_eq!(browser.set_cookie, None);
    // A request with the dead cookie starts anew; it does not bring the login back.
    says!(browser.count(&demo), "Counter: 1");
    assert_eq!(browser.checked(&demo, "user"), "None");
    assert_ne!(browser.cookies, dead);
}

#[test]
fn login_draws_a_new_id_and_the_old_one_is_dead() {
    let dir = tempfile::tempdir().unwrap();
    let demo = Demo::start(&dir.path().join("sessions.shelf"));
    let mut browser = Browser::default();
    says!(browser.count(&demo), "Counter: 1");
    let anonymous = browser.cookies.clone();
    assert!(!anonymous.is_empty(), "a counter is worth keeping");
    browser.login(&demo, "Ann");
    assert_ne!(browser.cookies, anonymous);
    let mut attacker = Browser {
        cookies: anonymous,
        ..Browser::default()
    };
    says!(attacker.get(&demo, "/"), "Not logged in");
}
