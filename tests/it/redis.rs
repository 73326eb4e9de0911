//! Sessions on real servers, which the tests start and end themselves, and on one that says what no real one would.
//!
//! Without `redis-server` the tests print `SKIP`. The same claims in their full sizes, as `.ci/run` holds them:
//! `SHELF_SOAK=1 cargo test --test it redis::`. The server is the `redis-server` that is first on the `PATH`, whatever
//! its version: a program of that name which starts Valkey will do.

use shelflife::{Saved, Session, SessionStore};

mod adverse;
mod alike;
mod cluster;
mod conformance;
mod copying;
mod edges;
mod fake;
mod limits;
mod memory;
mod program;
pub(crate) mod proxy;
pub(crate) mod server;
mod single;
mod unanswered;
mod updates;

/// A new session of a user.
fn stored(store: &dyn SessionStore, user: &str) -> Session {
    let mut session = Session::new();
    session.set_user(Some(user));
    assert!(matches!(
        store.save_session(&mut session),
        Ok(Saved::Stored)
    ));
    session
}

/// Counts one up.
fn counter(session: &mut Session, key: &str) -> shelflife::Result<u64> {
    let count = session.get::<u64>(key)?.unwrap_or(0) + 1;
    session.insert(key, &count)?;
    Ok(count)
}

/// The rights that the documentation of the store lists.
fn rights() -> String {
    let source = include_str!("../../src/session/redis.rs");
    let lines = source
        .lines()
        .filter_map(|line| line.trim().strip_prefix("/// "));
    let listed = lines
        .skip_while(|line| !line.starts_with("+get "))
        .take_while(|line| line.starts_with('+'));
    let rights: Vec<&str> = listed.collect();
    assert!(!rights.is_empty(), "the documentation lists the rights");
    rights.join(" ")
}
