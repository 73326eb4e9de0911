//! The page of `browse`, asked as a browser does; `.ci/browser` looks at it with one.

use super::*;
use crate::support::metric;
use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::process::Child;
use std::time::Instant;

struct Page {
    child: Child,
    port: u16,
    token: String,
}

impl Drop for Page {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Page {
    fn of(shell: &Shell, file: &str) -> Page {
        let mut child = Command::new(BIN)
            .args(["browse", file])
            .current_dir(shell.dir.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let address = line.trim().strip_prefix("http://127.0.0.1:").unwrap();
        let (port, token) = address.split_once('/').unwrap();
        Page {
            child,
            port: port.parse().unwrap(),
            token: token.trim_end_matches('/').to_string(),
        }
    }

    fn send(&self, bytes: &[u8]) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.write_all(bytes).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        String::from_utf8(answer).unwrap()
    }

    fn ask(&self, path: &str) -> String {
        let (token, port) = (&self.token, self.port);
        self.send(
            format!("GET /{token}/{path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n").as_bytes(),
        )
    }

    fn json(&self, path: &str) -> shelflife::Value {
        let answer = self.ask(path);
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{path}: {answer}");
        assert!(
            !body.contains(|c: char| c.is_control() || c == '\u{202e}'),
            "{path}"
        );
        body.parse().unwrap()
    }
}

fn number(of: &shelflife::Value, name: &str) -> i128 {
    match of.get(name) {
        Some(shelflife::Value::Integer(number)) => *number,
        other => panic!("{name}: {other:?}"),
    }
}

fn sessions(of: &shelflife::Value) -> &[shelflife::Value] {
    match of.get("sessions") {
        Some(shelflife::Value::Array(sessions)) => sessions,
        other => panic!("{other:?}"),
    }
}

#[test]
fn only_who_has_the_address_is_answered_and_only_on_this_machine() {
    let shell = Shell::new();
    let app = ShelveSessionStore::open(shell.path("s.shelf")).unwrap();
    let mut session = Session::new();
    session.set_user(Some("canary"));
    let _ = app.save_session(&mut session).unwrap();
    let before = now_and_bytes(&shell.path("s.shelf"));
    let page = Page::of(&shell, "s.shelf");
    assert_eq!(page.token.len(), 32);
    assert_ne!(page.token, Page::of(&shell, "s.shelf").token);
    let (token, port) = (&page.token, page.port);
    let close = "Connection: close\r\n";
    let host = format!("Host: 127.0.0.1:{port}\r\n");
    for (head, status) in [
        (format!("GET /{token}/ HTTP/1.1\r\n{host}{close}"), "200 OK"),
        (
            format!("GET /{token}/ HTTP/1.1\r\nHost: localhost:{port}\r\n{close}"),
            "200 OK",
        ),
        (
            format!("GET /{token}/x HTTP/1.1\r\n{host}{close}"),
            "404 Not Found",
        ),
        (
            format!("GET /{token} HTTP/1.1\r\n{host}{close}"),
            "404 Not Found",
        ),
        (format!("GET / HTTP/1.1\r\n{host}{close}"), "403 Forbidden"),
        (
            format!("GET /{}/ HTTP/1.1\r\n{host}{close}", "0".repeat(32)),
            "403 Forbidden",
        ),
        (
            format!("GET /{}/sessions HTTP/1.1\r\n{host}{close}", &token[..31]),
            "403 Forbidden",
        ),
        (
            format!("GET /{token}/ HTTP/1.1\r\nHost: evil.example:{port}\r\n{close}"),
            "421 Misdirected Request",
        ),
        (
            format!("GET /{token}/ HTTP/1.1\r\nHost: 127.0.0.1.evil.example\r\n{close}"),
            "421 Misdirected Request",
        ),
        (format!("GET /{token}/ HTTP/1.1\r\n"), "400 Bad Request"),
        (
            format!("GET /{token}/ HTTP/1.1\r\n{host}{host}"),
            "400 Bad Request",
        ),
        (
            format!("POST /{token}/ HTTP/1.1\r\n{host}{close}"),
            "405 Method Not Allowed",
        ),
        (
            format!(
                "GET /{token}/ HTTP/1.1\r\n{host}X: {}\r\n",
                "x".repeat(20_000)
            ),
            "431 Request Header Fields Too Large",
        ),
    ] {
        let answer = page.send(format!("{head}\r\n").as_bytes());
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}\r\n")),
            "{head}: {answer}"
        );
        assert!(
            answer.contains("\r\nContent-Security-Policy: default-src 'none'; "),
            "{answer}"
        );
        for rule in [
            "Cache-Control: no-store",
            "Referrer-Policy: no-referrer",
            "X-Content-Type-Options: nosniff",
        ] {
            assert!(answer.contains(&format!("\r\n{rule}\r\n")), "{rule}");
        }
        assert!(!answer.contains("canary"), "the page itself holds nothing");
    }
    // Two readers, two nonces, and no script without one.
    let (first, second) = (page.ask(""), page.ask(""));
    let nonce = |answer: &str| answer.split("'nonce-").nth(1).unwrap()[..32].to_string();
    assert_ne!(nonce(&first), nonce(&second));
    assert_eq!(first.matches("<script").count(), 1);
    assert!(first.contains(&format!("<script nonce=\"{}\">", nonce(&first))));
    for elsewhere in ["http://", "https://", "innerHTML", "src="] {
        let body = first.split("\r\n\r\n").nth(1).unwrap();
        assert!(!body.contains(elsewhere), "{elsewhere}");
    }
    let listed = page.ask("sessions");
    assert!(listed.contains("canary") && listed.contains(&session.handle().unwrap().to_string()));
    assert!(!listed.contains(session.id().unwrap().as_str()));
    assert!(
        now_and_bytes(&shell.path("s.shelf")) == before,
        "it only reads"
    );
    shell.run("browse nix.shelf").failed(5);
}

#[test]
fn sessions_are_found_by_search_filter_and_page_and_new_ones_appear() {
    let shell = Shell::new();
    let app = ShelveSessionStore::open(shell.path("s.shelf")).unwrap();
    let login = |user: &str| {
        let mut session = Session::new();
        session.set_user(Some(user));
        session.set_remote_address(Some("10.0.0.7"));
        session.insert("cart", &vec!["tea"]).unwrap();
        let _ = app.save_session(&mut session).unwrap();
        session
    };
    for nth in 0..120 {
        login(&format!("user {}", nth % 7));
    }
    let hostile = "<img src=x onerror=alert(1)>\u{1b}[2J\u{202e}\0\"'&";
    let odd = login(hostile);
    let page = Page::of(&shell, "s.shelf");
    let all = page.json("sessions");
    assert_eq!(
        (
            number(&all, "total"),
            number(&all, "matched"),
            number(&all, "pages")
        ),
        (121, 121, 3)
    );
    assert_eq!(sessions(&all).len(), 50);
    let mut handles: Vec<String> = (0..3)
        .flat_map(|nth| {
            let listed = page.json(&format!("sessions?page={nth}"));
            let handles: Vec<String> = sessions(&listed)
                .iter()
                .map(|session| session.get("handle").unwrap().to_string())
                .collect();
            handles
        })
        .collect();
    handles.sort();
    handles.dedup();
    assert_eq!(handles.len(), 121);
    let matched = |query: &str| number(&page.json(&format!("sessions?{query}")), "matched");
    assert_eq!(matched("user=user%203"), 17);
    assert_eq!(matched("search=USER+3"), 17);
    assert_eq!(matched("search=10.0.0"), 121);
    assert_eq!(matched("search=onerror"), 1);
    assert_eq!(matched("idle=1d"), 0);
    assert_eq!(matched("used=1h&expires=0s"), 121);
    assert_eq!((matched("used=0s"), matched("expires=1d")), (0, 0));
    let health = all.get("health").unwrap();
    assert_eq!(health.get("state"), Some(&"ok".into()));
    assert_eq!(number(health, "unreadable"), 0);
    assert!(number(health, "size") > number(health, "live"));

    // All that is hostile is text, escaped where a terminal or a reader could be misled.
    let handle = odd.handle().unwrap().to_string();
    let one = page.json(&format!("session?handle={handle}")).to_string();
    assert!(
        one.contains("<img src=x onerror=alert(1)>\\\\x1b[2J"),
        "{one}"
    );
    assert!(one.contains("\"data.cart\""), "{one}");
    assert!(!one.contains(odd.id().unwrap().as_str()));
    assert!(
        page.ask("session?handle=000000000000")
            .starts_with("HTTP/1.1 404")
    );

    // Somebody logs in, somebody out: the next looks show it.
    let start = Instant::now();
    let new = login("newcomer");
    while matched("user=newcomer") == 0 {
        assert!(start.elapsed() < Duration::from_secs(30));
    }
    app.delete_session(new.id().unwrap()).unwrap();
    while matched("user=newcomer") == 1 {
        assert!(start.elapsed() < Duration::from_secs(60));
    }
}

/// The bytes that a process has read so far, where the system tells it.
fn bytes_read(process: u32) -> Option<u64> {
    let io = fs::read_to_string(format!("/proc/{process}/io")).ok()?;
    let read = io.lines().find_map(|line| line.strip_prefix("rchar: "));
    read?.parse().ok()
}

#[test]
fn a_page_of_many_sessions_is_answered_from_memory() {
    let shell = Shell::new();
    let app = ShelveSessionStore::open(shell.path("s.shelf")).unwrap();
    let many = if crate::support::is_soak() {
        200_000
    } else {
        5_000
    };
    let (store, mut batch) = (app.store(), Batch::new());
    let mut session = Session::new();
    session.set_user(Some("ann"));
    let _ = app.save_session(&mut session).unwrap();
    let mut entries = store.entries().map(|entry| entry.unwrap());
    let is_session =
        |entry: &shelflife::Entry| shelflife::SessionHandle::of_key(entry.key()).is_some();
    let entry = entries.find(is_session).unwrap();
    // The same session under other ids: what is read, not what is in it, is the claim.
    for nth in 0..many {
        let mut key = entry.key().to_vec();
        let last = key.len() - 7;
        key[last..].copy_from_slice(format!("{nth:06}A").as_bytes());
        batch.insert_cbor(&key, entry.value());
    }
    store.write(&batch).unwrap();
    let page = Page::of(&shell, "s.shelf");
    let start = Instant::now();
    let total = number(&page.json("sessions"), "total");
    let first = start.elapsed();
    let mut slowest = Duration::ZERO;
    let before = bytes_read(page.child.id());
    for nth in 0..20 {
        let start = Instant::now();
        page.json(&format!("sessions?page={nth}&search=a"));
        slowest = slowest.max(start.elapsed());
    }
    assert!(total >= many, "{total}");
    // Now and then the list is read anew.
    let most = 10 * fs::metadata(shell.path("s.shelf")).unwrap().len();
    if let Some((before, after)) = before.zip(bytes_read(page.child.id())) {
        let read = after - before;
        assert!(read < most, "{read} bytes were read for 20 pages");
    }
    metric(
        "browse_first_page_ms",
        first.as_millis(),
        None,
        first.as_secs_f64(),
    );
    metric(
        "browse_next_page_ms",
        slowest.as_millis(),
        None,
        slowest.as_secs_f64(),
    );
}

#[test]
fn a_page_shows_the_backup_that_was_put_over_the_store() {
    let shell = Shell::new();
    let save = |user: &str| {
        let store = ShelveSessionStore::open(shell.path("s.shelf")).unwrap();
        let mut session = Session::new();
        session.set_user(Some(user));
        let _ = store.save_session(&mut session).unwrap();
    };
    save("ann");
    shell.run("backup s.shelf backup").ok();
    save("bob");
    let page = Page::of(&shell, "s.shelf");
    assert_eq!(number(&page.json("sessions"), "total"), 2);
    fs::rename(shell.path("backup"), shell.path("s.shelf")).unwrap();
    super::copies::until("the page shows the backup", || {
        number(&page.json("sessions"), "total") == 1
    });
    save("eve");
    super::copies::until("and what is saved there", || {
        number(&page.json("sessions"), "total") == 2
    });
    fs::remove_file(shell.path("s.shelf")).unwrap();
    let answer = page.ask("sessions");
    assert!(answer.starts_with("HTTP/1.1 500 "), "{answer}");
    assert!(answer.contains("No such file"), "{answer}");
}
