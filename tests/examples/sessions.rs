//! Sessions: a login, two requests that overlap, a logout that stays.

use shelflife::{Error, Result, Saved, Session, SessionOptions, SessionStore, SessionStoreExt};
use std::time::Duration;

fn main() -> Result<()> {
    // As `SessionManager` opens it.
    let sessions = SessionOptions::new()
        .hash_ids(true)
        .idle_lifetime(Duration::from_secs(14 * 24 * 60 * 60)) // without it they live until they are deleted
        .open("sessions.shelf")?;

    // A login. The id is drawn by the operating system when there is something to keep.
    let mut session = Session::new();
    session.set_user(Some("ann"));
    let Saved::Stored = sessions.save_session(&mut session)? else {
        return Err(Error::other("a new session was not stored"));
    };
    let cookie = session.id().expect("stored sessions have an id").as_str();

    // The next request, in this process or another: what it changes can't be lost to an overlapping one.
    let items = sessions.update_session(&cookie.parse()?, |session| {
        let mut cart: Vec<String> = session.get("cart")?.unwrap_or_default();
        cart.push("tea".to_string());
        session.insert("cart", &cart)?;
        Ok(cart.len())
    })?;
    println!("in the cart: {items:?}");

    // Logged out. A slow request that still has a copy is told so, and can't bring it back.
    sessions.delete_user_sessions("ann")?;
    session.insert("late", &true)?;
    assert!(matches!(sessions.save_session(&mut session)?, Saved::Gone));
    Ok(())
}
