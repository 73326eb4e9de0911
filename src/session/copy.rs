//! Moving from one store to another.

use super::SessionStore;
use super::id::SessionHandle;
use super::outcome::{Saved, Sessions};
use super::state::Session;
use crate::error::{Error, Result};
use std::collections::HashSet;

/// Sessions in one batch at most, and about how many bytes they take.
const BATCH: usize = 256;
const BATCH_BYTES: usize = 8 << 20;

/// The choice of [`copy_sessions`] about sessions that stand only in the store that is copied to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Beyond {
    /// Such sessions stay, and are counted.
    Keep,
    /// Such sessions end.
    End,
}

/// The numbers of sessions that [`copy_sessions`] copied and deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Copied {
    /// How many sessions were stored.
    pub stored: usize,
    /// How many were there already, in the same or a later state.
    pub unchanged: usize,
    /// How many sessions stand only in the store that is copied to; with [`Beyond::End`], how many of them ended.
    pub beyond: usize,
}

/// Copies all sessions of a store to another, under the ids or hashes that they have, with their versions and times:
/// visitors stay logged in when the application moves over. Calls `progress` after each batch.
///
/// Can be done while the application still uses `from`, and again: what has not changed since stays. It is exact once
/// nobody writes to `from` any more. A session that ended in `from` after an earlier copy is still in `to`, beyond
/// those of `from`: end such with [`Beyond::End`], unless `to` has sessions of its own. A session that ended in `to` (on
/// a server over a minute ago), or got another id there over a minute ago, is copied again for as long as `from` has it.
/// So:
///
/// 1. copy while the application runs, which may take a while;
/// 2. stop the application;
/// 3. copy again, with [`Beyond::End`], which is quick;
/// 4. start the application on `to`.
///
/// Each session is stored whole or not at all, and a copy that was killed in the middle is simply done again. The
/// lifetimes are those of the options of `to`, and a session's own.
///
/// # Errors
///
/// Those of both stores. Hashed ids can't be copied to a store that keeps ids as they are
/// ([`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput)). A session of `from` that can't be read is passed by:
/// the others are copied, none ends, and the error comes at the end. One that only `to` has stays, and the error comes
/// once all others beyond have ended.
///
/// ```
/// use shelflife::{Beyond, MemorySessionStore, Session, SessionStore};
///
/// let (from, to) = (MemorySessionStore::new(), MemorySessionStore::new());
/// let mut session = Session::new();
/// session.set_user(Some("ann"));
/// let _ = from.save_session(&mut session)?;
///
/// let copied = shelflife::copy_sessions(&from, &to, Beyond::Keep, |_| {})?;
/// assert_eq!((copied.stored, copied.unchanged, copied.beyond), (1, 0, 0));
/// assert!(to.has_session(session.id().unwrap())?);
/// # Ok::<(), shelflife::Error>(())
/// ```
pub fn copy_sessions(
    from: &dyn SessionStore,
    to: &dyn SessionStore,
    beyond: Beyond,
    mut progress: impl FnMut(&Copied),
) -> Result<Copied> {
    let mut copied = Copied::default();
    let mut unreadable = None;
    let mut known = HashSet::new();
    let mut batch = Vec::new();
    let mut bytes = 0;
    for session in from.iter_sessions() {
        let Some(session) = readable(session, &mut unreadable)? else {
            continue;
        };
        known.extend(session.handle());
        bytes += session.size_bytes()?;
        batch.push(session);
        if batch.len() == BATCH || bytes >= BATCH_BYTES {
            import(to, &mut batch, &mut copied)?;
            bytes = 0;
            progress(&copied);
        }
    }
    import(to, &mut batch, &mut copied)?;
    if let Some(error) = unreadable {
        // Sessions that could not be read are not known, so none may be ended for not being among the known.
        let what = format!(
            "{} sessions were copied, and others could not be read: {error}",
            copied.stored
        );
        return Err(error.retold(what));
    }
    let there = to.iter_sessions();
    if beyond == Beyond::End {
        // Both may be one store under two names: then all that began there before this list is in both.
        for session in from.iter_sessions() {
            known.extend(session?.handle());
        }
    }
    look_beyond(to, there, &known, beyond, &mut copied)?;
    progress(&copied);
    Ok(copied)
}

/// A session of a list; one that can't be read is passed by.
fn readable(session: Result<Session>, passed_by: &mut Option<Error>) -> Result<Option<Session>> {
    match session {
        Err(error) if error.is_of_one_record() => {
            passed_by.get_or_insert(error);
            Ok(None)
        }
        session => session.map(Some),
    }
}

fn import(to: &dyn SessionStore, batch: &mut Vec<Session>, copied: &mut Copied) -> Result<()> {
    let stored = to.import_sessions(batch)?;
    copied.stored += stored;
    copied.unchanged += batch.len().saturating_sub(stored);
    batch.clear();
    Ok(())
}

/// Counts the sessions that are not known, and ends them if asked to. One that somebody changes meanwhile is in use
/// here, and stays.
fn look_beyond(
    to: &dyn SessionStore,
    there: Sessions,
    known: &HashSet<SessionHandle>,
    beyond: Beyond,
    copied: &mut Copied,
) -> Result<()> {
    let mut unreadable = None;
    for session in there {
        let Some(mut session) = readable(session, &mut unreadable)? else {
            continue;
        };
        if session
            .handle()
            .is_some_and(|handle| known.contains(&handle))
        {
            continue;
        }
        let is_beyond = match beyond {
            Beyond::Keep => true,
            Beyond::End => {
                session.set_user(None);
                session.clear();
                session.clear_form_tokens();
                matches!(to.save_session(&mut session)?, Saved::Empty)
            }
        };
        copied.beyond += usize::from(is_beyond);
    }
    unreadable.map_or(Ok(()), Err)
}
