//! The threads and headers of the recipes, read from their pages. `.ci/recipes` compiles them and walks through each.

/// The recipes that run on an executor.
const PAGES: [(&str, &str); 4] = [
    (
        "axum",
        include_str!("../../../src/session/manager/recipes/axum.md"),
    ),
    (
        "actix_web",
        include_str!("../../../src/session/manager/recipes/actix_web.md"),
    ),
    (
        "tower_sessions",
        include_str!("../../../src/session/manager/recipes/tower_sessions.md"),
    ),
    (
        "actix_session",
        include_str!("../../../src/session/manager/recipes/actix_session.md"),
    ),
];

/// Calls that may wait for a disk or for a lock, or run a handler that does.
const BLOCKING: [&str; 12] = [
    ".finish()",
    ".load_session(",
    ".save_session(",
    ".update_session(",
    ".touch_session(",
    ".delete_session(",
    ".delete_user_sessions_except(",
    ".sessions_of(",
    ".lock()",
    "shop::respond(",
    "handler(&mut visit)",
    "call(&store)",
];

/// Between the parentheses of these a call runs on a thread that may block.
const WRAPPERS: [&str; 5] = [
    "blocking(",
    "spawn_blocking(",
    "web::block(",
    "self.with(",
    "sessions.with(",
];

/// A lock that nobody holds while it waits, or a visit that says it has nothing to wait for.
const HARMLESS: [&str; 2] = [
    "shared.lock().ok().and_then(|mut visit| visit.take())",
    "false => visit.finish(),",
];

fn code(page: &str) -> String {
    let (_, code) = page.split_once("```rs\n").unwrap();
    let (code, _) = code.split_once("```\n").unwrap();
    let mut code = code.to_string();
    for harmless in HARMLESS {
        code = code.replace(harmless, "");
    }
    code
}

/// Where the parenthesis that is open at the end of `before` closes.
fn end_of(code: &str, start: usize) -> usize {
    let mut depth = 1;
    for (at, letter) in code[start..].char_indices() {
        match letter {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return start + at;
        }
    }
    panic!("a parenthesis is open: {}", &code[start..]);
}

/// The calls that may block and stand in no wrapper.
fn unwrapped(code: &str) -> Vec<&str> {
    let starts = WRAPPERS.iter().flat_map(|wrapper| {
        let found = code.match_indices(wrapper);
        found.map(|(at, text)| at + text.len())
    });
    let inside: Vec<_> = starts.map(|start| start..end_of(code, start)).collect();
    // A closure that is handed to a wrapper by its name is what that wrapper runs.
    let calls = BLOCKING.iter().flat_map(|call| code.match_indices(call));
    let outside = calls.filter(|(at, _)| !inside.iter().any(|range| range.contains(at)));
    let mut outside: Vec<_> = outside.collect();
    outside.sort_unstable();
    outside.into_iter().map(|(_, call)| call).collect()
}

#[test]
fn no_recipe_blocks_a_thread_that_runs_other_tasks() {
    for (name, page) in PAGES {
        let code = code(page);
        let found = BLOCKING.iter().any(|call| code.contains(call));
        assert!(found && code.contains("async fn"), "{name}: nothing to see");
        let serving = code.replace("|visit| shop::respond(visit", "|visit| (visit");
        assert!(
            unwrapped(&serving).is_empty(),
            "{name}: {:?} may block",
            unwrapped(&serving)
        );
        // Without the wrappers each page is told, or nothing is seen.
        let mut bare = serving;
        for wrapper in WRAPPERS {
            bare = bare.replace(wrapper, "at_once(");
        }
        assert!(!unwrapped(&bare).is_empty(), "{name}: this test is blind");
    }
}

/// The headers that the application has set stay: those of the session are added to them. A page that failed stores
/// nothing, whether it says so by an error or by its status.
#[test]
fn every_recipe_adds_its_headers_to_those_of_the_application_and_drops_the_visit_of_what_failed() {
    for (name, page, adds, drops) in [
        (
            "std_net",
            include_str!("../../../src/session/manager/recipes/std_net.md"),
            "headers += &format!",
            "if status >= 500 { return Ok((status, body));",
        ),
        (
            "tiny_http",
            include_str!("../../../src/session/manager/recipes/tiny_http.md"),
            "response.add_header(",
            "if status >= 500 { return Ok(Response::from_string(body).with_status_code(status));",
        ),
        (
            "axum",
            PAGES[0].1,
            "_ => drop(headers.append(name, value)),",
            "visit.filter(|_| !response.status().is_server_error())",
        ),
        (
            "actix_web",
            PAGES[1].1,
            "response.headers_mut().append(name, value);",
            "500.. => None,",
        ),
    ] {
        assert!(page.contains(adds), "{name}");
        let lines = page.lines().map(str::trim);
        let code: Vec<_> = lines.filter(|line| !line.starts_with("//")).collect();
        let code = code.join(" ");
        let dropped = code.find(drops).expect(name);
        assert!(dropped < code.find("visit.finish()").unwrap(), "{name}");
        let replaced = page.matches(".insert(name, value)").count();
        // `no-store` alone replaces another header.
        let no_store = page.matches("b\"no-store\" => drop(headers.insert(name, value))");
        assert_eq!(replaced, no_store.count(), "{name}");
    }
}

/// The program signs cookies with what is in that file.
#[test]
fn the_file_of_a_key_is_created_for_its_owner_alone() {
    let (_, page) = PAGES[3];
    assert!(page.contains("create_new(true).mode(0o600).open(&key_file)"));
    assert!(!page.contains("fs::write("));
}
