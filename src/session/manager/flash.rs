//! Messages that the next page shows once: "saved", "your cart is empty".

use crate::error::Result;
use crate::record;
use crate::session::Session;

/// Where the messages stand in the session.
pub(super) const KEY: &str = "_flash";
/// The oldest goes when one more comes.
const FLASHES_MAX: usize = 16;
const TEXT_BYTES_MAX: usize = 1024;

record! {
    /// A message to the visitor, shown by the page that [takes](crate::manager::Visit::take_flashes) it.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Flash {
        /// Of what kind it is, for its colour: "ok", "error", as the application likes.
        pub kind: String,
        /// The message.
        pub text: String,
    }
}

pub(super) fn add(session: &mut Session, kind: &str, text: &str) -> Result<()> {
    let mut flashes = waiting(session)?;
    if flashes.len() >= FLASHES_MAX {
        flashes.drain(..=flashes.len() - FLASHES_MAX);
    }
    flashes.push(Flash {
        kind: cut(kind),
        text: cut(text),
    });
    session.insert(KEY, &flashes)?;
    Ok(())
}

/// Takes the messages that wait to be shown, the oldest first. Without any the session is not changed.
pub(super) fn take(session: &mut Session) -> Result<Vec<Flash>> {
    let flashes = waiting(session)?;
    session.remove(KEY);
    Ok(flashes)
}

fn waiting(session: &Session) -> Result<Vec<Flash>> {
    Ok(session.get::<Vec<Flash>>(KEY)?.unwrap_or_default())
}

fn cut(text: &str) -> String {
    let mut end = text.len().min(TEXT_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sixteen_messages_wait_and_the_oldest_goes() {
        let mut session = Session::new();
        for n in 0..20 {
            add(&mut session, "ok", &n.to_string()).unwrap();
        }
        let texts: Vec<String> = take(&mut session)
            .unwrap()
            .into_iter()
            .map(|flash| flash.text)
            .collect();
        let last: Vec<String> = (4..20).map(|n| n.to_string()).collect();
        assert_eq!(texts, last);
        assert!(take(&mut session).unwrap().is_empty());
    }

    #[test]
    fn a_long_text_is_cut_between_two_characters() {
        let mut session = Session::new();
        add(&mut session, "ok", &format!("x{}", "é".repeat(1_000))).unwrap();
        let flash = take(&mut session).unwrap().remove(0);
        assert_eq!(flash.text.len(), 1023);
        assert!(flash.text.ends_with('é'));
    }

    #[test]
    fn taking_from_an_empty_session_changes_nothing() {
        let mut session = Session::new();
        assert!(take(&mut session).unwrap().is_empty());
        assert!(!session.is_modified());
    }
}
