//! Messages that the next page shows once: "saved", "your cart is empty".

use crate::error::Result;
use crate::record;
use crate::session::Session;
use crate::session::random::random;
use crate::value::base64::Base64;

/// The keys of messages begin with it. Each has one of its own, so that overlapping requests keep all of theirs; they
/// are in the order in which they came.
const KEYS: &str = "_flash.";
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
    // Another request may be about to store the same number.
    let mut bytes = [0; 6];
    random(&mut bytes)?;
    let waiting = keys(session);
    let beyond = (waiting.len() + 1).saturating_sub(FLASHES_MAX);
    for oldest in waiting.iter().take(beyond) {
        session.remove(oldest);
    }
    let last = waiting
        .last()
        .and_then(|key| key.get(KEYS.len()..)?.get(..8));
    let nth = last.map_or(0, |last| {
        u32::from_str_radix(last, 16).unwrap_or(0).wrapping_add(1)
    });
    let flash = Flash {
        kind: cut(kind, TEXT_BYTES_MAX).to_string(),
        text: cut(text, TEXT_BYTES_MAX).to_string(),
    };
    let key = format!("{KEYS}{nth:08x}{}", Base64::Url.encode(&bytes));
    session.insert(key.as_str(), &flash)?;
    Ok(())
}

/// Takes the messages that wait to be shown, the oldest first. Without any the session is not changed.
pub(super) fn take(session: &mut Session) -> Result<Vec<Flash>> {
    let keys = keys(session);
    let mut flashes = Vec::new();
    for key in &keys {
        flashes.extend(session.get::<Flash>(key.as_str())?);
    }
    for key in keys {
        session.remove(key);
    }
    Ok(flashes)
}

fn keys(session: &Session) -> Vec<String> {
    let keys = session.keys().filter(|key| key.starts_with(KEYS));
    keys.map(String::from).collect()
}

/// The beginning of a text, of at most so many bytes.
pub(super) fn cut(text: &str, bytes_max: usize) -> &str {
    let mut end = text.len().min(bytes_max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
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
        let long = format!("x{}", "é".repeat(1_000));
        add(&mut session, &long, &long).unwrap();
        let flash = take(&mut session).unwrap().remove(0);
        for cut in [flash.kind, flash.text] {
            assert_eq!(cut.len(), 1023);
            assert!(cut.ends_with('é'));
        }
    }

    #[test]
    fn taking_from_an_empty_session_changes_nothing() {
        let mut session = Session::new();
        assert!(take(&mut session).unwrap().is_empty());
        assert!(!session.is_modified());
    }
}
