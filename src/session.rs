//! Sessions of a web application: what is remembered of each visitor between requests.
//!
//! [`Session`] is one of them, [`SessionStore`] the contract of what keeps them, [`ShelveSessionStore`] the store in
//! one file that threads and processes share, and [`MemorySessionStore`] one for tests.
//!
//! Three rules hold in every store:
//!
//! - **Unknown, expired and deleted all mean absent**, and callers cannot tell them apart. An error means that the
//!   system failed.
//! - **Nothing is lost silently.** A change that was made to an outdated copy is refused ([`Saved::Conflict`]), and a
//!   session that was deleted meanwhile is not brought back by a slow request ([`Saved::Gone`]).
//! - **Lifetimes are enforced when a session is read**, not when some sweep comes round.
//!
//! A store goes by the wall clock. A session that has ended by it is hidden, and a refusal writes nothing: if the clock
//! was wrong, the session is there again once the clock is set right. An explicit deletion or a sweep ends a session
//! for good, hidden or not, and answers how many it removed.
//!
//! # The rooms
//!
//! Each file uses only files above it in this list, by import and by method call, and a type's methods stand in its own
//! file or a child module of it. `tests/it/tidy/rooms.rs` holds the code against this list.
//!
//! | room | what it is |
//! |---|---|
//! | `random`, `sha256`, `key`, `named`, `lifetime` | random bytes, a hash, the names of values with their types, values under names, times |
//! | `id`, `record_key`, `id/of_key` | the names of a session, and the keys under which it is kept |
//! | `contents`, `state`, `outcome` | the session, and what calls answer |
//! | `codec`, `records`, `list` | the bytes of a session, the map that has them, the lists of a user's sessions in it |
//! | `session` | the contract of stores |
//! | `engine` | the rules of sessions over any map: what the bytes of one mean by lifetimes and clock |
//! | `engine/kind`, `engine/passed`, `engine/listing` | how ids are kept; what can't be read; changes with the lists that name sessions |
//! | `engine/one`, `engine/import`, `engine/bulk` | calls about one session, about sessions of another store, about many |
//! | `memory`, `shelve/convert`, `shelve`, `options` | the map is in memory, or a file; how one is opened |
//! | `redis/sha1`, `redis/reply`, `redis/url`, `redis/marks`, `redis/keys`, `redis/scripts`, `redis/record`, `redis/cluster` | what is said to a server, as bytes |
//! | `redis/connection`, `redis/pause`, `redis/randomness`, `redis/pool`, `redis/client` | the way to the server that has a key |
//! | `redis/store`, `redis/store/turn`, `redis/store/bulk`, `redis` | the rules once more, by scripts |
//! | `copy`, `conformance` | what every store can do, and must |
//! | `manager/cookie`, `manager/carrier`, `manager/finished`, `manager/event`, `manager/flash`, `manager/origin`, `manager/csrf`, `manager/bell` | what is read of a request and written to its answer |
//! | `manager`, `manager/watch` | what all requests of an application share |
//! | `manager/visit`, `manager/visit/settle`, `manager/visit/changes`, `manager/visit/account`, `manager/visit/devices`, `manager/visit/tokens` | one request: its session, how that is stored, and what a handler does with it |
//! | `manager/options`, `manager/opening`, `manager/recipes` | how a manager is made |

mod codec;
#[cfg(feature = "sim")]
pub mod conformance;
mod contents;
mod copy;
mod engine;
mod id;
mod key;
mod lifetime;
mod list;
pub mod manager;
mod memory;
mod named;
mod options;
mod outcome;
mod random;
mod record_key;
mod records;
mod redis;
mod sha256;
mod shelve;
mod state;

pub use copy::{Beyond, Copied, copy_sessions};
pub use id::{SessionHandle, SessionId};
pub use key::{AsKey, Key};
pub use lifetime::Lifetime;
pub use memory::MemorySessionStore;
pub use options::SessionOptions;
pub use outcome::{Existing, Saved, SessionCap, Sessions};
pub use redis::{RedisOptions, RedisSessionStore};
pub use shelve::ShelveSessionStore;
pub use state::Session;

use crate::error::{Error, Result};
use crate::store::disk::{Disk, os::OsDisk};
use crate::store::order::sort_by_number;
use std::fmt;
use std::time::{Duration, SystemTime};

/// A store of the sessions of an application. Object-safe: hold it as `Arc<dyn SessionStore>`.
///
/// A store on a server may run the closure of an update more than once, of which only the last run counts, and its
/// lists need not be of one moment: they hold each session that was there all the time, at least as it was at some
/// moment of the call.
///
/// # Damage
///
/// A session that can't be read any more is an error for a call that asks for it by its id, and for no other; it can be
/// deleted. A call that ends many sessions passes by those that it can't read, does its work on all others, and
/// returns an error of [`ErrorKind::Corrupt`](crate::ErrorKind::Corrupt) or
/// [`ErrorKind::Decode`](crate::ErrorKind::Decode) at the end; in the stores of this crate that says what was done and
/// names those that were passed by. [`iter_sessions`](SessionStore::iter_sessions) has such an error in the place of
/// the session, and [`sessions_of`](SessionStore::sessions_of) leaves the session out.
///
/// # A store of your own
///
/// A [`Session`] gets its id and its version from the stores of this crate alone. So a store of your own stands in front
/// of one of them: it counts, logs or refuses, and hands the call on. The tests of the module `conformance`, which the
/// feature `sim` brings, say whether the contract still holds.
///
/// # A request
///
/// ```
/// use shelflife::{Result, Saved, Session, SessionId, SessionStore};
///
/// /// Counts the visitor's requests and returns the value of the cookie to set, if any.
/// fn serve(store: &dyn SessionStore, cookie: Option<&str>) -> Result<Option<String>> {
///     let id = cookie.and_then(|cookie| cookie.parse::<SessionId>().ok()); // malformed is as good as none
///     let stored = id.map(|id| store.load_session(&id)).transpose()?.flatten();
///     let mut session = stored.unwrap_or_default();
///
///     let n = session.get::<u64>("requests")?.unwrap_or(0);
///     session.insert("requests", &(n + 1))?;
///
///     match store.save_session(&mut session)? {
///         Saved::Stored => Ok(session.id().map(|id| id.as_str().to_string())),
///         Saved::Conflict(_) => Ok(None), // another request was faster: one request less is counted
///         _ => Ok(None),                  // nothing worth keeping, or logged out meanwhile
///     }
/// }
///
/// # let store = shelflife::MemorySessionStore::new();
/// let cookie = serve(&store, None)?;
/// assert_eq!(serve(&store, cookie.as_deref())?, cookie);
/// # Ok::<(), shelflife::Error>(())
/// ```
pub trait SessionStore: fmt::Debug + Send + Sync {
    /// The session with this id, or `None` if it is unknown, deleted or expired. Writes nothing.
    ///
    /// ```
    /// # use shelflife::{MemorySessionStore, SessionStore};
    /// # let store = MemorySessionStore::new();
    /// let cookie = "AAECAwQFBgcICQoLDA0ODw";
    /// assert!(store.load_session(&cookie.parse()?)?.is_none());
    /// # Ok::<(), shelflife::Error>(())
    /// ```
    fn load_session(&self, id: &SessionId) -> Result<Option<Session>>;

    /// Stores what was changed, if nobody else changed the session since it was loaded.
    ///
    /// A session that was never stored gets an id that no other session has. One that was not
    /// [modified](Session::is_modified) is only touched, so that a request that just reads can lose nobody's changes.
    /// One without [anything worth keeping](Session::has_info) is deleted and becomes a new one.
    ///
    /// # Errors
    ///
    /// After an error the outcome is unknown: load the session to learn what is stored. If the operating system gives
    /// no randomness there is no new session. A session over the limit of a value is
    /// [`ErrorKind::TooLarge`](crate::ErrorKind::TooLarge).
    ///
    /// ```
    /// # use shelflife::{MemorySessionStore, Saved, Session, SessionStore};
    /// # let store = MemorySessionStore::new();
    /// let mut session = Session::new();
    /// assert!(matches!(store.save_session(&mut session)?, Saved::Empty));
    /// session.set_user(Some("ann"));
    /// assert!(matches!(store.save_session(&mut session)?, Saved::Stored));
    ///
    /// // Two requests load the same session; the second to save learns of the first.
    /// let id = session.id().unwrap();
    /// let mut first = store.load_session(id)?.unwrap();
    /// let mut second = store.load_session(id)?.unwrap();
    /// first.insert("colour", "green")?;
    /// assert!(matches!(store.save_session(&mut first)?, Saved::Stored));
    /// second.insert("size", "tall")?;
    /// match store.save_session(&mut second)? {
    ///     Saved::Conflict(current) => assert!(current.get::<String>("colour")?.is_some()),
    ///     other => panic!("{other:?}"),
    /// }
    /// # Ok::<(), shelflife::Error>(())
    /// ```
    fn save_session(&self, session: &mut Session) -> Result<Saved>;

    /// Changes a session in place, or returns `None` if there is none. [`SessionStoreExt::update_session`] is this
    /// with a closure of any type, and what to call. The closure may run more than once, each time on the session as it
    /// is then; only the last run counts.
    fn edit_session(
        &self,
        id: &SessionId,
        edit: &mut dyn FnMut(&mut Session) -> Result<()>,
    ) -> Result<Option<Session>>;

    /// Notes that a session is in use, so that it does not end of idleness; `false` if there is none.
    ///
    /// Changes the time of the last access in what is stored at that moment, and nothing else: neither does it make
    /// a change of another request a conflict, nor undo one. Within the store's access resolution of the last time
    /// it writes nothing.
    ///
    /// ```
    /// # use shelflife::{MemorySessionStore, Session, SessionStore};
    /// # let store = MemorySessionStore::new();
    /// # let mut session = Session::new();
    /// # session.set_user(Some("ann"));
    /// # let _ = store.save_session(&mut session)?;
    /// assert!(store.touch_session(session.id().unwrap())?);
    /// # Ok::<(), shelflife::Error>(())
    /// ```
    fn touch_session(&self, id: &SessionId) -> Result<bool>;

    /// Saves a session under a new id and ends the old one, in one atomic step: at no moment, and after no crash, are
    /// both alive or neither.
    ///
    /// Do this at every login and change of rights. Otherwise an attacker who knew the id before, perhaps having
    /// planted it in the visitor's browser, is logged in too (session fixation, CWE-384). Requests that still come with
    /// the old id find no session, and for a minute the store knows [why](SessionStore::was_replaced).
    ///
    /// A login, which is a copy with another user than was loaded or one that was [confirmed](Session::confirm), begins
    /// a new absolute lifetime. Else the session does not become younger.
    ///
    /// # Errors
    ///
    /// As [`save_session`](SessionStore::save_session).
    ///
    /// ```
    /// # use shelflife::{MemorySessionStore, Saved, Session, SessionStore};
    /// # let store = MemorySessionStore::new();
    /// # let mut session = Session::new();
    /// # session.create_form_token()?;
    /// # let _ = store.save_session(&mut session)?;
    /// let old = session.id().unwrap().clone();
    /// session.set_user(Some("ann"));
    /// assert!(matches!(store.regenerate_id(&mut session)?, Saved::Stored));
    /// assert!(!store.has_session(&old)?);
    /// assert!(store.has_session(session.id().unwrap())?);
    /// # Ok::<(), shelflife::Error>(())
    /// ```
    fn regenerate_id(&self, session: &mut Session) -> Result<Saved>;

    /// As [`regenerate_id`](SessionStore::regenerate_id), for a login under a cap of sessions per user.
    ///
    /// The session itself is not counted before it has its new id. Sessions of nobody have no cap.
    ///
    /// Stores that come with this crate let no two logins at once pass the cap together: in a file or in memory
    /// counting, ending and storing are one atomic step, and [on a server](RedisSessionStore) such logins of a user
    /// take turns. The method provided here for all others does one after the other: such logins may pass the cap by as
    /// many as come at once.
    ///
    /// Which sessions ended for it is [told by the session](Session::displaced). Where ending them is a step of its own,
    /// the login stands once it is stored: should the store fail behind that, the answer is [`Saved::Stored`] all the
    /// same, those that ended until then are told, and the user's next login under the cap ends the rest.
    ///
    /// # Errors
    ///
    /// As [`save_session`](SessionStore::save_session).
    ///
    /// ```
    /// # use shelflife::{MemorySessionStore, Saved, Session, SessionCap, SessionStore};
    /// # let store = MemorySessionStore::new();
    /// let mut sessions = [(); 3].map(|()| Session::new());
    /// for session in &mut sessions {
    ///     session.set_user(Some("ann"));
    ///     let saved = store.regenerate_id_capped(session, SessionCap::EndOldest(2))?;
    ///     assert!(matches!(saved, Saved::Stored));
    /// }
    /// assert_eq!(store.sessions_of("ann")?.len(), 2);
    ///
    /// let mut fourth = Session::new();
    /// fourth.set_user(Some("ann"));
    /// let saved = store.regenerate_id_capped(&mut fourth, SessionCap::Refuse(2))?;
    /// assert!(matches!(saved, Saved::Full));
    /// # Ok::<(), shelflife::Error>(())
    /// ```
    fn regenerate_id_capped(&self, session: &mut Session, cap: SessionCap) -> Result<Saved> {
        let Some(user) = session.user().map(String::from) else {
            return self.regenerate_id(session);
        };
        let beyond = match beyond_cap(self, &user, session, cap)? {
            Ok(beyond) => beyond,
            Err(refused) => return Ok(refused),
        };
        let saved = self.regenerate_id(session)?;
        if matches!(saved, Saved::Stored) {
            for handle in beyond {
                match self.delete_user_session(&user, &handle) {
                    Ok(true) => session.displaced.push(handle),
                    Ok(false) => {}
                    Err(error) if error.is_of_one_record() => {}
                    Err(_) => break, // a store that fails may take long to say so
                }
            }
        }
        Ok(saved)
    }

    /// Whether a session had this id and was given [a new one](SessionStore::regenerate_id) a moment ago.
    ///
    /// A request that comes with such an id was overtaken by a login: it has no session, and it must not replace the
    /// cookie that the login has set. A store remembers it for a minute; one that does not, or can't read what it
    /// remembers, says `false`.
    ///
    /// ```
    /// # use shelflife::{MemorySessionStore, Session, SessionStore};
    /// # let store = MemorySessionStore::new();
    /// # let mut session = Session::new();
    /// # session.create_form_token()?;
    /// # let _ = store.save_session(&mut session)?;
    /// let old = session.id().unwrap().clone();
    /// let _ = store.regenerate_id(&mut session)?;
    /// assert!(store.was_replaced(&old)?);
    /// assert!(!store.was_replaced(session.id().unwrap())?);
    /// # Ok::<(), shelflife::Error>(())
    /// ```
    fn was_replaced(&self, id: &SessionId) -> Result<bool> {
        let _ = id;
        Ok(false)
    }

    /// Deletes a session; `false` if there was none. One that has expired and was not dropped yet is deleted, too.
    /// A request that saves a copy of it later is told that it is [gone](Saved::Gone).
    ///
    /// ```
    /// # use shelflife::{MemorySessionStore, Saved, Session, SessionStore};
    /// # let store = MemorySessionStore::new();
    /// # let mut session = Session::new();
    /// # session.set_user(Some("ann"));
    /// # let _ = store.save_session(&mut session)?;
    /// let id = session.id().unwrap().clone();
    /// assert!(store.delete_session(&id)?);
    /// assert!(!store.delete_session(&id)?);
    ///
    /// session.insert("late", &true)?; // by a slow request
    /// assert!(matches!(store.save_session(&mut session)?, Saved::Gone));
    /// assert!(!store.has_session(&id)?);
    /// # Ok::<(), shelflife::Error>(())
    /// ```
    fn delete_session(&self, id: &SessionId) -> Result<bool>;

    /// Whether there is a session with this id, without reading what is in it.
    ///
    /// ```
    /// # use shelflife::{MemorySessionStore, SessionStore};
    /// # let store = MemorySessionStore::new();
    /// assert!(!store.has_session(&"AAECAwQFBgcICQoLDA0ODw".parse()?)?);
    /// # Ok::<(), shelflife::Error>(())
    /// ```
    fn has_session(&self, id: &SessionId) -> Result<bool>;

    /// All sessions as they are now, least recently written first. Changes that others make meanwhile are not seen.
    ///
    /// ```
    /// # use shelflife::{MemorySessionStore, Session, SessionStore};
    /// # let store = MemorySessionStore::new();
    /// # let mut session = Session::new();
    /// # session.set_user(Some("ann"));
    /// # let _ = store.save_session(&mut session)?;
    /// for session in store.iter_sessions() {
    ///     let session = session?;
    ///     println!("{}\t{}", session.handle().unwrap(), session.user().unwrap_or("-"));
    /// }
    /// # Ok::<(), shelflife::Error>(())
    /// ```
    fn iter_sessions(&self) -> Sessions;

    /// Deletes the sessions that have ended, and those that were not used for this long whatever lifetime they have, for
    /// a daily job. It returns how many were deleted and how many remain. One that is used meanwhile is not deleted.
    /// With [`Duration::MAX`] nobody is logged out.
    ///
    /// ```
    /// # use shelflife::{MemorySessionStore, SessionStore};
    /// # use std::time::Duration;
    /// # let store = MemorySessionStore::new();
    /// let (deleted, remaining) = store.delete_old_sessions(Duration::MAX)?;
    /// assert_eq!((deleted, remaining), (0, 0));
    /// # Ok::<(), shelflife::Error>(())
    /// ```
    fn delete_old_sessions(&self, idle: Duration) -> Result<(usize, usize)>;

    /// The sessions that a user is logged in with, least recently used first. A session that can't be read is not
    /// among them: nobody is logged in with it.
    ///
    /// The stores that come with this crate and keep sessions in a file or in memory read the sessions of this user
    /// alone. If damage hit the list of them, such a store reads all sessions, until the next change of this user's
    /// sessions that meets the damage mends the list. The method provided here for all others reads all sessions.
    ///
    /// ```
    /// # use shelflife::{MemorySessionStore, SessionStore};
    /// # let store = MemorySessionStore::new();
    /// assert!(store.sessions_of("ann")?.is_empty());
    /// # Ok::<(), shelflife::Error>(())
    /// ```
    fn sessions_of(&self, user: &str) -> Result<Vec<Session>> {
        let mut sessions = self.iter_sessions().of_user(user)?;
        sort_by_number(&mut sessions, |session| session.stamp.accessed);
        Ok(sessions)
    }

    /// Logs a user out everywhere, for instance after a change of password, and returns how many sessions that were.
    ///
    /// When it returns there was a moment during the call at which the user had no session, whatever requests were
    /// under way: a request that saves later is told that its session is [gone](Saved::Gone). Sessions that have
    /// expired and were not dropped yet are deleted and counted, too.
    ///
    /// ```
    /// # use shelflife::{MemorySessionStore, Session, SessionStore};
    /// # let store = MemorySessionStore::new();
    /// # for _ in 0..3 {
    /// #     let mut session = Session::new();
    /// #     session.set_user(Some("ann"));
    /// #     let _ = store.save_session(&mut session)?;
    /// # }
    /// assert_eq!(store.delete_user_sessions("ann")?, 3);
    /// # Ok::<(), shelflife::Error>(())
    /// ```
    fn delete_user_sessions(&self, user: &str) -> Result<usize>;

    /// Logs a user out everywhere but here: ends all sessions of the user but the one with this handle, and returns how
    /// many those were.
    ///
    /// ```
    /// # use shelflife::{MemorySessionStore, Session, SessionStore};
    /// # let store = MemorySessionStore::new();
    /// # let mut sessions = [(); 3].map(|()| Session::new());
    /// # for session in &mut sessions {
    /// #     session.set_user(Some("ann"));
    /// #     let _ = store.save_session(session)?;
    /// # }
    /// # let here = &sessions[1];
    /// assert_eq!(store.delete_user_sessions_except("ann", &here.handle().unwrap())?, 2);
    /// assert!(store.has_session(here.id().unwrap())?);
    /// # Ok::<(), shelflife::Error>(())
    /// ```
    fn delete_user_sessions_except(&self, user: &str, keep: &SessionHandle) -> Result<usize> {
        let mut deleted = 0;
        loop {
            let (mut any, mut passed_by) = (false, None);
            for session in self.sessions_of(user)? {
                let Some(handle) = session.handle().filter(|handle| handle != keep) else {
                    continue;
                };
                any = true;
                match self.delete_user_session(user, &handle) {
                    Ok(is_deleted) => deleted += usize::from(is_deleted),
                    // Somebody's session can't be read: the others of this user must not live on for that.
                    Err(error) if error.is_of_one_record() => passed_by = Some(error),
                    Err(error) => return Err(error),
                }
            }
            match passed_by {
                Some(error) => return Err(error),
                None if any => {}
                None => return Ok(deleted),
            }
        }
    }

    /// Ends the session with this handle if it is this user's, and no other: what a page of the user's own devices
    /// needs. `false` if the user has no such session.
    ///
    /// ```
    /// # use shelflife::{MemorySessionStore, Session, SessionStore};
    /// # let store = MemorySessionStore::new();
    /// # let mut session = Session::new();
    /// # session.set_user(Some("ann"));
    /// # let _ = store.save_session(&mut session)?;
    /// let handle = session.handle().unwrap();
    /// assert!(!store.delete_user_session("bob", &handle)?);
    /// assert!(store.delete_user_session("ann", &handle)?);
    /// # Ok::<(), shelflife::Error>(())
    /// ```
    fn delete_user_session(&self, user: &str, handle: &SessionHandle) -> Result<bool> {
        let sessions = self.sessions_of(user)?;
        let is_theirs = sessions
            .iter()
            .any(|session| session.handle() == Some(*handle));
        Ok(is_theirs && self.delete_by_handle(*handle)? > 0)
    }

    /// Deletes the session that a log or a list showed with this handle, and returns how many had it: 0, 1, or in
    /// a rare case more. Reads all sessions.
    ///
    /// ```
    /// # use shelflife::{MemorySessionStore, Session, SessionStore};
    /// # let store = MemorySessionStore::new();
    /// # let mut session = Session::new();
    /// # session.set_user(Some("ann"));
    /// # let _ = store.save_session(&mut session)?;
    /// let handle = session.handle().unwrap();
    /// assert_eq!(store.delete_by_handle(handle)?, 1);
    /// # Ok::<(), shelflife::Error>(())
    /// ```
    fn delete_by_handle(&self, handle: SessionHandle) -> Result<usize>;

    /// Deletes all sessions whose handle is meant, and returns their handles. Reads all sessions, once for all that are
    /// meant.
    ///
    /// ```
    /// # use shelflife::{MemorySessionStore, Session, SessionStore};
    /// # let store = MemorySessionStore::new();
    /// # let mut session = Session::new();
    /// # session.set_user(Some("ann"));
    /// # let _ = store.save_session(&mut session)?;
    /// let handles = [session.handle().unwrap(), "5d2611d5a4dd".parse()?];
    /// let deleted = store.delete_by_handles(&|handle| handles.contains(&handle))?;
    /// assert_eq!(deleted, handles[..1]);
    /// # Ok::<(), shelflife::Error>(())
    /// ```
    fn delete_by_handles(
        &self,
        is_meant: &dyn Fn(SessionHandle) -> bool,
    ) -> Result<Vec<SessionHandle>> {
        let (mut deleted, mut passed_by) = (Vec::new(), None);
        for session in self.iter_sessions() {
            let ended = session.and_then(|session| {
                let meant = session.handle().filter(|handle| is_meant(*handle));
                let count = meant.map_or(Ok(0), |handle| self.delete_by_handle(handle))?;
                Ok(meant.into_iter().cycle().take(count))
            });
            match ended {
                Ok(handles) => deleted.extend(handles),
                Err(error) if error.is_of_one_record() => passed_by = Some(error),
                Err(error) => return Err(error),
            }
        }
        passed_by.map_or(Ok(deleted), Err)
    }

    /// Stores sessions of another store as they are there: under the ids or hashes that they have, with their versions
    /// and times. A session that this store has in the same or a later state stays as it is. Returns how many were
    /// stored.
    ///
    /// [`copy_sessions`] does this for all sessions of a store.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) for sessions of which only the hash of the id is
    /// known, if this store keeps ids as they are, and for one that no store has. A store that does not provide this
    /// says [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported).
    fn import_sessions(&self, sessions: &[Session]) -> Result<usize> {
        let _ = sessions;
        let what = "this store takes over no sessions of another";
        Err(Error::missing(
            what,
            "keep to the stores that come with this crate",
        ))
    }

    /// Prepares the store before first use. A store exists when it holds a session.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::AlreadyExists`](crate::ErrorKind::AlreadyExists) if it does and [`Existing::Fail`] was given.
    ///
    /// ```
    /// # use shelflife::{ErrorKind, Existing, MemorySessionStore, Session, SessionStore};
    /// # let store = MemorySessionStore::new();
    /// store.setup(Existing::Fail)?;
    /// # let mut session = Session::new();
    /// # session.set_user(Some("ann"));
    /// let _ = store.save_session(&mut session)?;
    /// assert_eq!(store.setup(Existing::Fail).unwrap_err().kind(), ErrorKind::AlreadyExists);
    /// store.setup(Existing::Overwrite)?;
    /// assert_eq!(store.iter_sessions().count(), 0);
    /// # Ok::<(), shelflife::Error>(())
    /// ```
    fn setup(&self, existing: Existing) -> Result<()>;

    /// The lifetimes of sessions that have [none of their own](Session::set_lifetime). Provided: such sessions do not
    /// end.
    fn lifetime(&self) -> Lifetime {
        Lifetime::default()
    }

    /// The time by the store's clock, by which sessions end.
    ///
    /// ```
    /// # use shelflife::{MemorySessionStore, Session, SessionStore};
    /// # let store = MemorySessionStore::new();
    /// # let session = Session::new();
    /// let left = session.expires().map(|end| end.duration_since(store.now()).unwrap_or_default());
    /// ```
    fn now(&self) -> SystemTime {
        OsDisk.wall_clock()
    }

    /// Whether threads may share this store.
    fn is_thread_safe(&self) -> bool;

    /// Whether processes may open the same sessions at the same time.
    fn is_multiprocess_safe(&self) -> bool;
}

/// The other sessions of a user that a login under a cap ends, the oldest first; or the answer to a login that the cap
/// refuses.
fn beyond_cap<S: SessionStore + ?Sized>(
    store: &S,
    user: &str,
    session: &Session,
    cap: SessionCap,
) -> Result<std::result::Result<Vec<SessionHandle>, Saved>> {
    let mut others = store.sessions_of(user)?;
    others.retain(|other| other.handle() != session.handle());
    let beyond = match cap {
        SessionCap::Refuse(most) if others.len() >= most => {
            // Where the session went besides, as by a login that took the room, that is the answer.
            let is_there = session.id().map_or(Ok(true), |id| store.has_session(id))?;
            return Ok(Err(if is_there { Saved::Full } else { Saved::Gone }));
        }
        SessionCap::Refuse(_) => 0,
        SessionCap::EndOldest(most) => others.len().saturating_sub(most.saturating_sub(1)),
    };
    let oldest = others.iter().take(beyond);
    Ok(Ok(oldest.filter_map(Session::handle).collect()))
}

/// Methods that every [`SessionStore`] has besides, with closures of any type.
pub trait SessionStoreExt: SessionStore {
    /// Changes a session in place: loads it, runs `change` and saves it, and nobody comes between. So no change is
    /// lost, neither this one nor anybody else's. `None` if there is no such session; `change` is then not run.
    ///
    /// It counts as a use of the session. If it leaves [nothing worth keeping](Session::has_info) the session is
    /// deleted. An error or a panic in `change` leaves the session as it was.
    ///
    /// # Errors
    ///
    /// The error of `change` ([`Error::other`](crate::Error::other) wraps one of the caller's own);
    /// [`ErrorKind::Reentrant`](crate::ErrorKind::Reentrant) from a write to the same store inside `change`; and those
    /// of [`save_session`](SessionStore::save_session).
    ///
    /// ```
    /// use shelflife::{MemorySessionStore, Session, SessionStore, SessionStoreExt};
    ///
    /// # let store = MemorySessionStore::new();
    /// # let mut session = Session::new();
    /// # session.set_user(Some("ann"));
    /// # let _ = store.save_session(&mut session)?;
    /// # let id = session.id().unwrap().clone();
    /// let n = store.update_session(&id, |session| {
    ///     let n = session.get::<u64>("counter")?.unwrap_or(0) + 1;
    ///     session.insert("counter", &n)?;
    ///     Ok(n)
    /// })?;
    /// assert_eq!(n, Some(1));
    /// # Ok::<(), shelflife::Error>(())
    /// ```
    fn update_session<T>(
        &self,
        id: &SessionId,
        mut change: impl FnMut(&mut Session) -> Result<T>,
    ) -> Result<Option<T>> {
        let mut answer = None;
        let session = self.edit_session(id, &mut |session| {
            answer = Some(change(session)?);
            Ok(())
        })?;
        Ok(session.and(answer))
    }
}

impl<S: SessionStore + ?Sized> SessionStoreExt for S {}
