//! As much HTTP as the demo speaks: connections, forms, and bytes that are no request.

use super::*;

#[test]
fn forms_are_decoded_and_names_cannot_become_markup() {
    let dir = tempfile::tempdir().unwrap();
    let demo = Demo::start(&dir.path().join("sessions.shelf"));
    let mut browser = Browser::default();
    says!(
        browser.login(&demo, "Zo%C3%AB+%3Cb%3E%26"),
        "Welcome! Zoë &lt;b&gt;&amp;"
    );
    let page = browser.get(&demo, "/");
    assert!(
        page.contains("Zoë &lt;b&gt;&amp;") && !page.contains("<b>"),
        "{page}"
    );
    // A name that brings its own lines can't forge lines of the plain text.
    browser.login(&demo, "Eve%0Ahas_info:+nothing");
    assert_eq!(
        browser.get(&demo, "/check").matches("\nhas_info: ").count(),
        1
    );
    // No name, no login.
    let mut other = Browser::default();
    says!(other.login(&demo, ""), "<form");
    assert_eq!(other.set_cookie, None);
}

#[test]
fn one_connection_carries_many_requests() {
    let dir = tempfile::tempdir().unwrap();
    let demo = Demo::start(&dir.path().join("sessions.shelf"));
    let mut stream = BufReader::new(demo.connect());
    // Two at once: the second waits in the buffer while the first is answered.
    stream
        .get_mut()
        .write_all(b"GET / HTTP/1.1\r\nHost: [::1]\r\n\r\nHEAD / HTTP/1.1\r\nHost: [::1]\r\n\r\n")
        .unwrap();
    let mut lengths = Vec::new();
    for is_head in [false, true, false] {
        if !is_head && !lengths.is_empty() {
            stream
                .get_mut()
                .write_all(b"GET / HTTP/1.1\r\nHost: [::1]\r\n\r\n")
                .unwrap();
        }
        let mut length = 0;
        loop {
            let mut line = String::new();
            stream.read_line(&mut line).unwrap();
            if let Some(value) = line.strip_prefix("Content-Length: ") {
                length = value.trim().parse().unwrap();
            }
            if line == "\r\n" {
                break;
            }
        }
        let mut body = vec![0; if is_head { 0 } else { length }];
        stream.read_exact(&mut body).unwrap();
        lengths.push(length);
    }
    assert_eq!(lengths, [lengths[0]; 3]);
}

#[test]
fn silent_connections_do_not_keep_others_out() {
    let dir = tempfile::tempdir().unwrap();
    let demo = Demo::start(&dir.path().join("sessions.shelf"));
    // The last would be heard too late if each had all the time that one alone has.
    let silent: Vec<TcpStream> = (0..100).map(|_| demo.connect()).collect();
    says!(Browser::default().get(&demo, "/"), "Not logged in");
    drop(silent);
}

#[test]
fn what_is_no_request_is_refused_and_the_demo_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let demo = Demo::start(&dir.path().join("sessions.shelf"));
    let head = |line: &str, fields: &str| {
        format!("{line}\r\nHost: 127.0.0.1\r\n{fields}Connection: close\r\n\r\n").into_bytes()
    };
    let long = [
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX: ".as_slice(),
        &[b'x'; 16_400],
    ]
    .concat();
    let smuggled = "Content-Length : 47\r\n";
    for (request, status) in [
        (b"\x16\x03\x01\r\n\r\n".to_vec(), "400"),
        (b"GET /\r\n\r\n".to_vec(), "400"),
        (b"GET / HTTP/1.1\r\n\r\n".to_vec(), "400"),
        (b"GET / HTTP/1.1\nHost: 127.0.0.1\n\n".to_vec(), "400"),
        (
            b"GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n".to_vec(),
            "421",
        ),
        (head("GET / HTTP/9", ""), "505"),
        (long.clone(), "431"),
        ([long.as_slice(), b"\r\n\r\n"].concat(), "431"),
        (
            head("POST /login HTTP/1.1", "Content-Length: 99999999999\r\n"),
            "413",
        ),
        (
            head(
                "POST /login HTTP/1.1",
                "Content-Length: 99999999999999999999\r\n",
            ),
            "413",
        ),
        (
            head("POST /login HTTP/1.1", "Content-Length: 1, 1\r\n"),
            "400",
        ),
        (head("POST /login HTTP/1.1", smuggled), "400"),
        (
            head("POST /login HTTP/1.1", "Transfer-Encoding : chunked\r\n"),
            "400",
        ),
        (
            head("POST /login HTTP/1.1", "Transfer-Encoding: chunked\r\n"),
            "501",
        ),
        (head("GET / HTTP/1.1", "X: a\r\n folded\r\n"), "400"),
        (head("GET / HTTP/1.1", "X: a\nY: b\r\n"), "400"),
        (head("PUT / HTTP/1.1", ""), "405"),
        (head("GET /nowhere HTTP/1.1", ""), "404"),
        (
            head("GET / HTTP/1.1", "Cookie: session=../../etc/passwd\r\n"),
            "200",
        ),
        (
            [
                b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nCookie: x=\xFF".as_slice(),
                b"\r\nConnection: close\r\n\r\n",
            ]
            .concat(),
            "200",
        ),
    ] {
        let answer = demo.raw(&request);
        let request = String::from_utf8_lossy(&request[..request.len().min(60)]);
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{request:?}: {answer:?}"
        );
    }
    drop(demo.connect());
    says!(Browser::default().get(&demo, "/"), "Not logged in");
}

#[test]
fn the_next_free_port_is_taken_when_8080_is_not_free() {
    let dir = tempfile::tempdir().unwrap();
    // Held by this test, or by somebody else: either way it is not free.
    let held = TcpListener::bind(("127.0.0.1", 8080));
    let demo = Demo::start_with(
        Command::new(env!("CARGO_BIN_EXE_shelflife"))
            .arg("demo")
            .current_dir(dir.path()),
    );
    assert!((8081..8180).contains(&demo.port), "{}", demo.said);
    assert!(demo.said.contains("demo.shelf"), "{}", demo.said);
    assert!(dir.path().join("demo.shelf").exists());
    drop(held);
    let taken = Command::new(env!("CARGO_BIN_EXE_shelflife"))
        .args(["demo", "--port", &demo.port.to_string()])
        .current_dir(dir.path())
        .output()
        .unwrap();
    assert_eq!(taken.status.code(), Some(5));
    let said = String::from_utf8(taken.stderr).unwrap();
    assert!(
        said.starts_with(&format!(
            "shelflife: failed to listen on port {}; give a free one with --port: ",
            demo.port
        )),
        "{said}"
    );
}
