//! Logs users in for `.ci/browser`: 130 at first, the last of them hostile, and one for each line that it is given. It
//! prints their handles; for `?` the id of the last one of the first, which no page may show.

use shelflife::{Result, Session, SessionStore, ShelveSessionStore};
use std::io::{BufRead, stdin};

fn login(store: &ShelveSessionStore, user: &str, address: &str) -> Result<Session> {
    let mut session = Session::new();
    session.set_user(Some(user));
    session.set_remote_address(Some(address));
    session.insert("cart", &vec!["tea", "cups"])?;
    if user.contains('<') {
        session.insert(user, user)?;
        session.insert("text", &"long ".repeat(250_000))?;
    }
    let _ = store.save_session(&mut session)?;
    println!(
        "{}",
        session.handle().expect("a stored session has a handle")
    );
    Ok(session)
}

fn main() -> Result<()> {
    let path = std::env::args_os().nth(1).expect("a path");
    let store = ShelveSessionStore::open(path)?;
    let names = ["ann", "bob", "carla", "dimitri", "Zoë", "李小龍"];
    for nth in 0..129 {
        let name = names[nth % names.len()];
        login(
            &store,
            &format!("{name}.{nth}@example.org"),
            &format!("10.0.{}.{}", nth / 9, nth),
        )?;
    }
    let hostile = "<img src=x onerror=\"window.owned=1\"><script>window.owned=1</script>\u{1b}[2J\u{202e}\0'&amp;";
    let last = login(&store, hostile, "fe80::1%<b>")?;
    for line in stdin().lock().lines() {
        match line.expect("text").as_str() {
            "?" => println!(
                "{}",
                last.id().expect("a stored session has an id").as_str()
            ),
            user => _ = login(&store, user, "192.0.2.1")?,
        }
    }
    Ok(())
}
