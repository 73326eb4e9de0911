//! One process with its handle, and how it makes a call: of the map, of a shelf over it, of sessions in it.

use super::model::{Answer, KEYS, LAST, LAST_KEY, Life, Shown, TYPED, Time, Value};
use super::step::CONTRADICTIONS;
use super::step::Step::{self, *};
use crate::proof::workload::PATH;
use shelflife::sim::SimProcess;
use shelflife::{
    Batch, Change, Compaction, Disk, Entries, Entry, Error, Options, Result, Saved, Session,
    SessionCap, SessionId, SessionOptions, SessionStore, SessionStoreExt, Shelf,
    ShelveSessionStore, Store,
};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Barrier, mpsc};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

/// Where a salvage puts what it saves.
const SALVAGED: &str = "/salvaged.shelf";
/// A thread that need not wait goes on within this time, however slow the machine.
const PATIENCE: Duration = Duration::from_secs(20);
/// Once a thread did not, the runs that show it with fewer steps need not wait so long.
const IMPATIENCE: Duration = Duration::from_secs(1);
static HAS_WAITED: AtomicBool = AtomicBool::new(false);
/// For how long a call waits for a load.
const LOCK_TIMEOUT: Duration = Duration::from_millis(20);
/// The clock goes on by this at once while it waits, and by that altogether: whole seconds.
const MOMENT: Duration = Duration::from_millis(1);
const MOMENTS: u32 = 1_000;

fn patience() -> Duration {
    match HAS_WAITED.load(Relaxed) {
        false => PATIENCE,
        true => IMPATIENCE,
    }
}

/// Notes that a thread waits which need not, and says so.
fn waits_on(what: &str) -> String {
    HAS_WAITED.store(true, Relaxed);
    what.to_owned()
}

pub(super) struct Hand {
    pub(super) process: SimProcess,
    pub(super) store: Option<Store>,
    /// The options that open the handle.
    pub(super) options: Options,
    pub(super) sessions: SessionOptions,
    /// It may not know of a failure yet, of which the system will tell it with its next sync.
    pub(super) shaky: bool,
}

/// The id and the copy that a browser and a request bring along, and take with them.
#[derive(Debug, Default)]
pub(super) struct Visit {
    pub(super) id: Option<SessionId>,
    pub(super) copy: Option<Session>,
    /// The id that a login, or its renewal, was told of.
    pub(super) told: Option<SessionId>,
}

/// Some keys are short, some are long, one is empty; those of a shelf are text.
pub(super) fn key_bytes(key: usize) -> &'static [u8] {
    const LONG: &[u8] = &[b'k'; 300];
    const NAMES: [&[u8]; 9] = [
        b"", b"\0", b"\0\0", b"key 3", b"key 4", b"key 5", b"key 6", b"key 7", b"key 8",
    ];
    const OF_SHELF: [&str; KEYS - TYPED] = ["cart", "caf\u{e9}", "visits", "x"];
    match key.checked_sub(TYPED) {
        Some(typed) => OF_SHELF[typed].as_bytes(),
        None => NAMES.get(key).copied().unwrap_or(&LONG[..20 * key]),
    }
}

fn key_text(key: usize) -> &'static str {
    std::str::from_utf8(key_bytes(key)).unwrap()
}

pub(super) fn millis(time: SystemTime) -> Time {
    time.duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| since.as_millis() as Time)
}

pub(super) fn time(millis: Time) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(millis.max(0) as u64)
}

impl Value {
    pub(super) fn bytes(self) -> Vec<u8> {
        if self.len == 0 {
            return shelflife::to_cbor(&self.tag).unwrap();
        }
        let tag = self.tag.to_le_bytes();
        let mut bytes = vec![tag[3]; self.len as usize];
        for chunk in bytes.chunks_mut(4) {
            let len = chunk.len();
            chunk.copy_from_slice(&tag[..len]);
        }
        bytes
    }

    /// The value that these are the bytes of; but for a shelf's they are at least four.
    fn read(key: usize, bytes: &[u8]) -> Option<Value> {
        if key >= TYPED {
            let tag = shelflife::from_cbor(bytes).ok()?;
            return Some(Value { tag, len: 0 });
        }
        let tag = bytes.first_chunk::<4>()?;
        let sound = bytes.chunks(4).all(|chunk| *chunk == tag[..chunk.len()]);
        sound.then_some(Value {
            tag: u32::from_le_bytes(*tag),
            len: bytes.len() as u32,
        })
    }
}

fn value_of(key: usize, bytes: Option<&[u8]>) -> Answer {
    match bytes.map(|bytes| Value::read(key, bytes)) {
        None => Answer::Value(None),
        Some(None) => Answer::Garbage,
        Some(value) => Answer::Value(value),
    }
}

fn number(tag: Option<u32>) -> Answer {
    Answer::Value(tag.map(|tag| Value { tag, len: 0 }))
}

/// The values under the known keys, and whether anything can't be read; sessions stand under others.
pub(super) fn all_of(entries: Entries) -> Result<Answer> {
    let (mut all, mut is_whole) = (Vec::new(), true);
    for entry in entries {
        let (key, value) = match entry {
            Err(error) if error.is_corrupt() => {
                is_whole = false;
                continue;
            }
            entry => entry?.into_pair(),
        };
        let Some(key) = (0..KEYS).find(|number| key_bytes(*number) == key) else {
            continue;
        };
        match Value::read(key, &value) {
            Some(value) => all.push((key, value)),
            None => return Ok(Answer::Garbage),
        }
    }
    Ok(match is_whole {
        true => Answer::All(all),
        false => Answer::AllBut(all),
    })
}

fn shown(session: &Session) -> Result<Shown> {
    let number = |text: &str| session.get::<u32>(text).map(Option::unwrap_or_default);
    let user = session.user().and_then(|user| user.strip_prefix("user "));
    Ok(Shown {
        tag: number("tag")?,
        user: user.and_then(|user| user.parse().ok()).unwrap_or(u8::MAX),
        count: number("count")?,
    })
}

fn name(user: u8) -> String {
    format!("user {user}")
}

fn saved(saved: Saved) -> Result<Answer> {
    Ok(match saved {
        Saved::Stored => Answer::Stored,
        Saved::Gone => Answer::Gone,
        Saved::Full => Answer::Full,
        Saved::Conflict(current) => Answer::Conflict(shown(&current)?),
        _ => Answer::Garbage,
    })
}

impl Hand {
    pub(super) fn store(&self) -> &Store {
        self.store.as_ref().expect("is open")
    }

    pub(super) fn open(&mut self) -> Result<()> {
        if self.store.is_none() {
            self.store = Some(self.options.open(PATH)?);
        }
        Ok(())
    }

    /// The same handle as a store of sessions.
    fn with_sessions<T>(
        &mut self,
        call: impl FnOnce(&ShelveSessionStore) -> Result<T>,
    ) -> Result<T> {
        let store = self.store.take().expect("is open");
        let sessions = self.sessions.with_store(store)?;
        let answer = call(&sessions);
        self.store = Some(sessions.into_store());
        answer
    }

    /// The same handle as a shelf.
    fn with_shelf<T>(&mut self, call: impl FnOnce(&Shelf) -> Result<T>) -> Result<T> {
        let shelf = Shelf::from(self.store.take().expect("is open"));
        let answer = call(&shelf);
        self.store = Some(shelf.into_store());
        answer
    }

    /// Makes the call of a step; lives are counted from `wall`.
    pub(super) fn call(&mut self, step: &Step, wall: Time, visit: &mut Visit) -> Result<Answer> {
        let until = |life: &Life| life.map(|life| time(wall + life));
        match step {
            Get(_, key) => {
                let mut value = vec![7; 3];
                let found = self.store().get_into(key_bytes(*key), &mut value)?;
                Ok(value_of(*key, found.then_some(&*value)))
            }
            Contains(_, key) => self.store().contains_key(key_bytes(*key)).map(Answer::Bool),
            Len(_) => self.store().len().map(Answer::Count),
            Iterate(_) => all_of(self.store().entries()),
            Insert(_, key, value, life) => {
                let (store, key, value) = (self.store(), key_bytes(*key), value.bytes());
                match until(life) {
                    None => store.insert(key, value),
                    Some(until) => store.insert_until(key, value, until),
                }
                .map(Answer::Bool)
            }
            Remove(_, key) => self.store().remove(key_bytes(*key)).map(Answer::Bool),
            Replace(_, key, ..) | Keep(_, key) => {
                let change = match step {
                    Replace(_, _, value, life) => match until(life) {
                        None => Change::Put(value.bytes()),
                        Some(until) => Change::PutUntil(value.bytes(), until),
                    },
                    _ => Change::Keep,
                };
                let answer = |old: Option<&[u8]>| Ok((change, value_of(*key, old)));
                self.store().update(key_bytes(*key), answer)
            }
            Write(_, changes) => {
                let mut batch = Batch::new();
                for (key, put) in changes {
                    let key = key_bytes(*key);
                    match put {
                        None => batch.remove(key),
                        Some((value, None)) => batch.insert(key, value.bytes()),
                        Some((value, Some(life))) => {
                            batch.insert_until(key, value.bytes(), time(wall + life))
                        }
                    };
                }
                self.store().write(&batch).map(|()| Answer::Nothing)
            }
            Clear(_) => self.store().clear().map(|()| Answer::Nothing),
            Sync(_) => self.store().sync().map(|()| Answer::Nothing),
            Compact(_) => self.store().compact().map(|_| Answer::Nothing),
            Reopen(_) => self.store().reopen().map(|()| Answer::Nothing),
            Verify(_) => match self.store().verify()?.damage.is_empty() {
                true => Ok(Answer::Nothing),
                false => Ok(Answer::Garbage),
            },
            RemoveUnchanged(_, nth) => {
                let mut entries = Vec::new();
                for entry in self.store().entries() {
                    match entry {
                        Err(error) if error.is_corrupt() => {}
                        entry => entries.push(entry?),
                    }
                }
                let number = |entry: &Entry| (0..KEYS).find(|key| key_bytes(*key) == entry.key());
                entries.retain(|entry| number(entry).is_some_and(|key| key % 3 == *nth));
                // An entry that is named twice is removed once.
                entries.extend_from_within(..entries.len().min(1));
                let removed = self.store().remove_unchanged(&entries)?;
                Ok(Answer::Count(removed))
            }
            // Behind a torn tail it saves what was never acknowledged as well, as it should.
            // Left to the next writer, which mends it first.
            Salvage(_) | SalvageInPlace(_) if self.store().verify()?.torn_tail.is_some() => {
                Ok(Answer::Nothing)
            }
            Salvage(_) => self.salvage(),
            SalvageInPlace(_) => self.salvage_in_place(),
            Close(_) | Leave(_) => {
                let store = self.store.take();
                let closing = store.filter(|_| matches!(step, Close(_)));
                closing.map_or(Ok(()), Store::close)?;
                self.open().map(|()| Answer::Nothing)
            }
            Truncate => {
                self.store = None;
                let mut options = self.options.clone();
                self.store = Some(options.truncate(true).open(PATH)?);
                Ok(Answer::Nothing)
            }
            GetTyped(_, key) => {
                let text = key_text(*key);
                self.with_shelf(|shelf| shelf.get::<u32>(text)).map(number)
            }
            InsertTyped(_, key, value) => {
                let text = key_text(*key);
                self.with_shelf(|shelf| shelf.insert(text, &value.tag))
                    .map(Answer::Bool)
            }
            Take(_, key) => {
                let text = key_text(*key);
                self.with_shelf(|shelf| shelf.take::<u32>(text)).map(number)
            }
            RemoveOdd(_, key) => {
                let text = key_text(*key);
                let odd = |old: Option<u32>| {
                    let is_odd = old.is_some_and(|tag| tag % 2 == 1);
                    Ok((old.filter(|_| !is_odd), is_odd))
                };
                self.with_shelf(|shelf| shelf.update(text, odd))
                    .map(Answer::Bool)
            }
            _ => self.with_sessions(|sessions| of_sessions(sessions, step, visit)),
        }
    }

    /// Writes from as many threads at once, each of which has a token of its own to find again: a program that waits by
    /// `park` would wait for ever without.
    pub(super) fn write_at_once(
        &self,
        writes: &[(usize, Value)],
    ) -> std::result::Result<Vec<Result<Answer>>, String> {
        let (store, begun, patience) = (self.store(), Barrier::new(writes.len()), patience());
        let write = |(key, value): &(usize, Value)| {
            begun.wait();
            thread::current().unpark();
            let answer = store.insert(key_bytes(*key), value.bytes());
            let from = Instant::now();
            thread::park_timeout(patience);
            (answer.map(Answer::Bool), from.elapsed() < patience)
        };
        let made: Vec<_> = thread::scope(|scope| {
            let threads: Vec<_> = writes
                .iter()
                .map(|one| scope.spawn(|| write(one)))
                .collect();
            threads.into_iter().map(|thread| thread.join()).collect()
        });
        let mut answers = Vec::new();
        for made in made {
            let (answer, has_token) = made.map_err(|_| "a thread panicked".to_owned())?;
            if !has_token {
                return Err(waits_on("a write took the token of its caller's thread"));
            }
            answers.push(answer);
        }
        Ok(answers)
    }

    /// Makes a call in a thread of its own. If that does not end it is an error, and the handle is gone with it.
    pub(super) fn in_time(
        &mut self,
        call: fn(&Store) -> Result<()>,
    ) -> std::result::Result<Result<()>, String> {
        let store = self.store.take().expect("is open");
        let (end, ended) = mpsc::channel();
        thread::spawn(move || {
            let answer = call(&store);
            _ = end.send((store, answer));
        });
        let ended = ended.recv_timeout(patience());
        let (store, answer) = ended.map_err(|_| waits_on("a call does not end"))?;
        self.store = Some(store);
        Ok(answer)
    }

    /// In the middle of a load another thread writes what makes a compaction due, and one compacts: both end at their
    /// deadline, by the clock of the machine. The handle is closed then.
    pub(super) fn wait_for_a_load(&mut self) -> std::result::Result<(), String> {
        self.store = None;
        let told = |error: Error| format!("a load: {error:?}");
        let mut options = self.options.clone();
        let manual = options.compaction(Compaction::Manual).open(PATH);
        let manual = manual.map_err(told)?;
        for _ in 0..2 {
            let written = manual.insert(key_bytes(LAST_KEY), vec![0; 600_000]);
            written.map_err(told)?;
        }
        manual.close().map_err(told)?;
        options.compaction(Compaction::Inline);
        let inline = options.lock_timeout(LOCK_TIMEOUT).open(PATH);
        let store = inline.map_err(told)?;
        let insert = || store.insert(key_bytes(LAST_KEY), LAST.bytes()).map(drop);
        let compact = || match store.compact() {
            Err(error) if error.is_busy() => Ok(()),
            compacted => Err(Error::other(format!("beside a load: {compacted:?}"))),
        };
        let sim = self.process.sim();
        let mut late = None;
        let loaded = thread::scope(|scope| {
            store.load(|| {
                let calls: [&(dyn Fn() -> Result<()> + std::marker::Sync); 2] = [&insert, &compact];
                for call in calls {
                    let (end, ended) = mpsc::channel();
                    scope.spawn(move || end.send(call()));
                    let (from, patience, mut moments) = (Instant::now(), patience(), 0);
                    let answer = loop {
                        match ended.recv_timeout(MOMENT) {
                            Ok(answer) => break answer,
                            Err(_) if from.elapsed() > patience => {
                                late = Some(waits_on("a call waits beyond its `lock_timeout`"));
                                break Err(Error::other("late"));
                            }
                            Err(_) => {}
                        }
                        sim.advance(MOMENT);
                        moments += 1;
                    };
                    answer?;
                    sim.advance(MOMENT * MOMENTS.saturating_sub(moments));
                }
                Ok(None)
            })
        });
        match late {
            Some(late) => Err(late),
            None => loaded.and_then(|()| store.close()).map_err(told),
        }
    }

    /// Opens the file in one of the ways that can't be meant.
    pub(super) fn contradict(&self, which: usize) -> Result<Store> {
        let mut options = self.options.clone();
        options.exclusive(false).read_only(false);
        match which {
            0..3 => options.read_only(true),
            3..6 => options.damaged(true),
            _ => options.create_new(true),
        };
        match which % 3 {
            _ if which == CONTRADICTIONS - 1 => &mut options,
            0 => options.exclusive(true),
            1 => options.truncate(true),
            _ => options.create_new(true),
        };
        options.open(PATH)
    }

    fn salvage(&mut self) -> Result<Answer> {
        // One whose power went in between left it there.
        let _ = self.process.remove(Path::new(SALVAGED));
        let salvaged = self.store().salvage(SALVAGED)?;
        let mut options = self.options.clone();
        options.exclusive(false).read_only(true);
        let all = options
            .open(SALVAGED)
            .and_then(|store| all_of(store.entries()));
        let removed = self.process.remove(Path::new(SALVAGED));
        removed.map_err(|error| Error::other(error.to_string()))?;
        match all? {
            Answer::All(all) if !salvaged.lost.is_empty() => Ok(Answer::AllBut(all)),
            all => Ok(all),
        }
    }

    /// The damaged file is kept beside the new one, until an admin removes it.
    fn salvage_in_place(&mut self) -> Result<Answer> {
        let salvaged = self.store().salvage_in_place()?;
        match salvaged.lost.is_empty() {
            true => Ok(Answer::Bool(true)),
            false => Ok(Answer::Garbage),
        }
    }
}

fn of_sessions(store: &ShelveSessionStore, step: &Step, visit: &mut Visit) -> Result<Answer> {
    let no_id = || match step {
        Has(..) | Touch(..) | Logout(..) => Answer::Bool(false),
        LogoutHandle(..) | LogoutOthers(..) => Answer::Count(0),
        _ => Answer::Session(None),
    };
    let session_of = |session: Option<Session>| {
        let shown = session.as_ref().map(shown).transpose()?;
        Ok(Answer::Session(shown))
    };
    match step {
        Login(_, _, user, tag) => {
            let mut session = Session::new();
            session.set_user(Some(&name(*user)));
            session.insert("tag", tag)?;
            let answer = saved(store.save_session(&mut session)?)?;
            visit.told = session.id().cloned();
            return Ok(answer);
        }
        LoginCapped(_, _, user, tag, (most, is_refused)) => {
            let mut session = Session::new();
            session.set_user(Some(&name(*user)));
            session.insert("tag", tag)?;
            let cap = match is_refused {
                true => SessionCap::Refuse(*most),
                false => SessionCap::EndOldest(*most),
            };
            let answer = saved(store.regenerate_id_capped(&mut session, cap)?)?;
            visit.told = session.id().cloned().filter(|_| answer == Answer::Stored);
            return Ok(answer);
        }
        LogoutUser(_, user) => return store.delete_user_sessions(&name(*user)).map(Answer::Count),
        Sweep(_, minutes) => {
            let (deleted, left) = store.delete_old_sessions(Duration::from_secs(60 * minutes))?;
            return Ok(Answer::Swept(deleted, left));
        }
        List(_) => {
            let (mut list, mut is_whole) = (Vec::new(), true);
            for session in store.iter_sessions() {
                match session {
                    Err(error) if error.is_corrupt() => is_whole = false,
                    session => list.push(shown(&session?)?),
                }
            }
            list.sort();
            return Ok(match is_whole {
                true => Answer::Sessions(list),
                false => Answer::SessionsBut(list),
            });
        }
        Save(_, count) => {
            let Some(mut copy) = visit.copy.take() else {
                return Ok(Answer::Nothing);
            };
            copy.insert("count", count)?;
            let answer = saved(store.save_session(&mut copy)?)?;
            visit.copy = Some(copy).filter(|_| answer == Answer::Stored);
            return Ok(answer);
        }
        _ => {}
    }
    let Some(id) = &visit.id else {
        visit.copy = None;
        return Ok(no_id());
    };
    match step {
        Has(..) => store.has_session(id).map(Answer::Bool),
        Touch(..) => store.touch_session(id).map(Answer::Bool),
        Logout(..) => store.delete_session(id).map(Answer::Bool),
        LogoutOthers(_, _, user) => {
            let deleted = store.delete_user_sessions_except(&name(*user), &id.handle())?;
            Ok(Answer::Count(deleted))
        }
        LogoutHandle(..) => store.delete_by_handle(id.handle()).map(Answer::Count),
        Edit(..) => {
            let changed = store.update_session(id, |session| {
                let count = session.get::<u32>("count")?.unwrap_or(0) + 1;
                session.insert("count", &count)?;
                shown(session)
            });
            changed.map(Answer::Session)
        }
        Renew(..) => {
            let Some(mut session) = store.load_session(id)? else {
                return Ok(Answer::Session(None));
            };
            let answer = saved(store.regenerate_id(&mut session)?)?;
            visit.told = session.id().cloned().filter(|_| answer == Answer::Stored);
            Ok(answer)
        }
        Copy(..) => {
            visit.copy = store.load_session(id)?;
            session_of(visit.copy.clone())
        }
        _ => session_of(store.load_session(id)?),
    }
}
