//! Sessions: one contract, kept by every store.

use shelflife::sim::SimDisk;
use shelflife::{
    Beyond, Compaction, Error, ErrorKind, Existing, Lifetime, MemorySessionStore, Options, Result,
    Saved, Session, SessionCap, SessionHandle, SessionId, SessionOptions, SessionStore,
    SessionStoreExt, ShelveSessionStore, Store, copy_sessions,
};
use std::collections::BTreeSet;
use std::sync::{Arc, Barrier, Mutex};
use std::thread;
use std::time::{Duration, SystemTime};

mod alike;
mod clocks;
pub(crate) mod conformance;
mod damage;
mod hashed;
mod ids;
pub(crate) mod lifetimes;
mod lists;
mod races;
mod shelve;
pub(crate) mod updates;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);
const UNKNOWN: &str = "AAECAwQFBgcICQoLDA0ODw";

/// A store whose time a test decides.
struct Bench {
    name: &'static str,
    store: Arc<dyn SessionStore>,
    advance: Box<dyn Fn(Duration)>,
}

fn start() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000)
}

fn sim() -> SimDisk {
    let sim = SimDisk::new(1);
    sim.set_wall_clock(start());
    sim
}

fn open(sim: &SimDisk) -> Store {
    Options::new()
        .disk(sim.disk())
        .compaction(Compaction::Inline)
        .open("/sessions.shelf")
        .unwrap()
}

/// The same claim about each kind of store.
fn on_each(set: impl Fn(&mut SessionOptions), claim: impl Fn(&Bench)) {
    let mut options = SessionOptions::new();
    set(&mut options);
    let shelve = |name, hash| {
        let sim = sim();
        let store = Arc::new(
            options
                .clone()
                .hash_ids(hash)
                .with_store(open(&sim))
                .unwrap(),
        );
        let advance = Box::new(move |by| sim.advance(by));
        Bench {
            name,
            store,
            advance,
        }
    };
    let time = Arc::new(Mutex::new(start()));
    let clock = Arc::clone(&time);
    let memory = Bench {
        name: "memory",
        store: Arc::new(options.in_memory_with_clock(move || *clock.lock().unwrap())),
        advance: Box::new(move |by| *time.lock().unwrap() += by),
    };
    for bench in [
        shelve("shelve", false),
        shelve("shelve, hashed", true),
        memory,
    ] {
        println!("store: {}", bench.name);
        claim(&bench);
    }
}

fn on_each_store(claim: impl Fn(&dyn SessionStore)) {
    on_each(|_| (), |bench| claim(&*bench.store));
}

fn save(store: &dyn SessionStore, session: &mut Session) {
    let saved = store.save_session(session).unwrap();
    assert!(matches!(saved, Saved::Stored), "{saved:?}");
}

/// A session of this user that the store has.
pub(crate) fn login(store: &dyn SessionStore, user: &str) -> Session {
    let mut session = Session::new();
    session.set_user(Some(user));
    save(store, &mut session);
    session
}

fn id(session: &Session) -> SessionId {
    session.id().expect("it was stored").clone()
}

fn load(store: &dyn SessionStore, id: &SessionId) -> Session {
    store.load_session(id).unwrap().expect("it is there")
}

/// Under which key a store that keeps ids as they are has a session.
fn key_of(id: &SessionId) -> Vec<u8> {
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let digit = |letter| alphabet.iter().position(|known| *known == letter).unwrap() as u128;
    let bits = id
        .as_str()
        .bytes()
        .take(21)
        .fold(0, |bits, letter| bits << 6 | digit(letter));
    let bits = bits << 2 | digit(id.as_str().as_bytes()[21]) >> 4;
    [&b"\xFFs"[..], &bits.to_be_bytes()].concat()
}

fn users(store: &dyn SessionStore) -> Vec<String> {
    let sessions = store.iter_sessions().map(|session| session.unwrap());
    sessions
        .map(|session| session.user().unwrap().to_string())
        .collect()
}

/// Every way to ask for a session says that there is none.
fn assert_absent(store: &dyn SessionStore, id: &SessionId) {
    assert!(store.load_session(id).unwrap().is_none());
    assert!(!store.has_session(id).unwrap());
    assert!(!store.touch_session(id).unwrap());
    let updated = store.update_session(id, |_| -> Result<()> {
        panic!("there is nothing to update")
    });
    assert!(updated.unwrap().is_none());
    assert!(
        store
            .iter_sessions()
            .all(|session| session.unwrap().handle() != Some(id.handle()))
    );
}

#[test]
fn a_session_gets_an_id_at_the_first_save_that_is_worth_it() {
    on_each_store(|store| {
        let mut session = Session::new();
        session.set_remote_address(Some("10.0.0.7"));
        assert!(matches!(
            store.save_session(&mut session).unwrap(),
            Saved::Empty
        ));
        assert!(
            session.id().is_none() && session.handle().is_none() && session.created().is_none()
        );
        assert_eq!(store.iter_sessions().count(), 0);

        session.insert("cart", "tea").unwrap();
        save(store, &mut session);
        assert_eq!(session.version(), 1);
        let loaded = load(store, &id(&session));
        assert_eq!(loaded.remote_address(), Some("10.0.0.7"));
        assert_eq!(store.iter_sessions().count(), 1);
    });
}

#[test]
fn each_of_user_token_and_value_is_worth_keeping() {
    on_each_store(|store| {
        let [mut user, mut token, mut value] = [Session::new(), Session::new(), Session::new()];
        user.set_user(Some(""));
        token.create_form_token().unwrap();
        value.insert("", &()).unwrap();
        for session in [&mut user, &mut token, &mut value] {
            save(store, session);
            assert!(load(store, &id(session)).has_info());
        }
    });
}

#[test]
fn everything_that_was_put_in_comes_back() {
    on_each_store(|store| {
        let deepest = (0..61).fold(shelflife::Value::Null, |value, _| {
            shelflife::Value::Array(vec![value])
        });
        let mut session = Session::new();
        session.set_user(Some("ann ☕"));
        session.set_remote_address(Some("2001:db8::7"));
        let token = session.create_form_token().unwrap();
        session.insert("text", "tea").unwrap();
        session.insert("list", &vec![1u64, 2]).unwrap();
        session.insert("bytes", &vec![0u8, 255]).unwrap();
        session.insert("byte", &7u8).unwrap();
        session.insert("none", &None::<String>).unwrap();
        session.insert("deepest", &deepest).unwrap();
        session.insert("", &start()).unwrap();
        save(store, &mut session);
        assert!(!session.is_modified());

        let loaded = load(store, &id(&session));
        assert_eq!(loaded.id(), session.id());
        assert_eq!(loaded.user(), Some("ann ☕"));
        assert_eq!(loaded.remote_address(), Some("2001:db8::7"));
        assert!(loaded.has_form_token(&token));
        assert_eq!(loaded.form_token_count(), 1);
        assert_eq!(loaded.get::<String>("text").unwrap().unwrap(), "tea");
        assert_eq!(loaded.get::<Vec<u64>>("list").unwrap().unwrap(), [1, 2]);
        assert_eq!(loaded.get::<Vec<u8>>("bytes").unwrap().unwrap(), [0, 255]);
        assert_eq!(loaded.get::<u8>("byte").unwrap(), Some(7));
        assert_eq!(loaded.get::<Option<String>>("none").unwrap(), Some(None));
        assert_eq!(
            loaded.get::<shelflife::Value>("deepest").unwrap().unwrap(),
            deepest
        );
        assert_eq!(loaded.get::<SystemTime>("").unwrap(), Some(start()));
        assert_eq!(loaded.keys().count(), 7);
        assert!(!loaded.is_modified());
        assert_eq!(
            (loaded.created(), loaded.accessed()),
            (Some(start()), Some(start()))
        );
        assert_eq!((loaded.version(), loaded.expires()), (1, None));
    });
}

#[test]
fn what_could_not_be_read_back_is_refused_when_it_is_put_in() {
    let mut session = Session::new();
    let too_deep = (0..62).fold(shelflife::Value::Null, |value, _| {
        shelflife::Value::Array(vec![value])
    });
    assert_eq!(
        session.insert("deep", &too_deep).unwrap_err().kind(),
        ErrorKind::TooLarge
    );
    assert_eq!(
        session
            .insert("odd", &shelflife::Value::Simple(20))
            .unwrap_err()
            .kind(),
        ErrorKind::InvalidInput
    );
    assert!(!session.has_info() && !session.is_modified());
}

#[test]
fn the_second_of_two_overlapping_saves_is_told_what_the_first_stored() {
    on_each_store(|store| {
        let id = id(&login(store, "ann"));
        let [mut first, mut second] = [load(store, &id), load(store, &id)];
        first.insert("colour", "green").unwrap();
        second.insert("size", "tall").unwrap();
        save(store, &mut first);
        let Saved::Conflict(mut current) = store.save_session(&mut second).unwrap() else {
            panic!("a change was lost");
        };
        assert_eq!(current.get::<String>("colour").unwrap().unwrap(), "green");
        assert_eq!(load(store, &id).get::<String>("size").unwrap(), None);

        current.insert("size", "tall").unwrap();
        save(store, &mut current);
        let merged = load(store, &id);
        assert_eq!(merged.keys().collect::<Vec<_>>(), ["colour", "size"]);
        assert_eq!(merged.version(), 3);
    });
}

#[test]
fn a_copy_that_was_emptied_conflicts_as_well() {
    on_each_store(|store| {
        let id = id(&login(store, "ann"));
        let [mut first, mut second] = [load(store, &id), load(store, &id)];
        first.insert("cart", "tea").unwrap();
        save(store, &mut first);
        second.set_user(None);
        assert!(matches!(
            store.save_session(&mut second).unwrap(),
            Saved::Conflict(_)
        ));
        assert!(store.has_session(&id).unwrap());
    });
}

#[test]
fn a_request_that_only_reads_neither_conflicts_nor_undoes_changes() {
    on_each_store(|store| {
        let id = id(&login(store, "ann"));
        let [mut reader, mut writer] = [load(store, &id), load(store, &id)];
        writer.insert("cart", "tea").unwrap();
        save(store, &mut writer);
        reader.set_user(Some("ann")); // as it is
        save(store, &mut reader);
        assert_eq!(
            load(store, &id).get::<String>("cart").unwrap().unwrap(),
            "tea"
        );

        // The copy is still the old one: changing it now is a conflict.
        reader.insert("cart", "milk").unwrap();
        assert!(matches!(
            store.save_session(&mut reader).unwrap(),
            Saved::Conflict(_)
        ));
    });
}

#[test]
fn a_slow_request_does_not_undo_a_logout() {
    on_each_store(|store| {
        let mut saving = login(store, "ann");
        let id = id(&saving);
        let [mut reading, mut renewing, mut emptying] =
            [saving.clone(), saving.clone(), saving.clone()];
        assert!(store.delete_session(&id).unwrap());

        saving.insert("late", &true).unwrap();
        emptying.set_user(None);
        assert!(matches!(
            store.save_session(&mut saving).unwrap(),
            Saved::Gone
        ));
        assert!(matches!(
            store.save_session(&mut reading).unwrap(),
            Saved::Gone
        ));
        assert!(matches!(
            store.save_session(&mut emptying).unwrap(),
            Saved::Gone
        ));
        assert!(matches!(
            store.regenerate_id(&mut renewing).unwrap(),
            Saved::Gone
        ));
        renewing.insert("late", &true).unwrap();
        assert!(matches!(
            store.regenerate_id(&mut renewing).unwrap(),
            Saved::Gone
        ));
        assert_absent(store, &id);
        assert_eq!(store.iter_sessions().count(), 0);
    });
}

#[test]
fn iteration_is_a_snapshot_with_the_least_recently_written_first() {
    on_each_store(|store| {
        let mut ann = login(store, "ann");
        let bob = login(store, "bob");
        login(store, "cleo");
        ann.insert("n", &1u64).unwrap();
        save(store, &mut ann);
        assert_eq!(users(store), ["bob", "cleo", "ann"]);

        let snapshot = store.iter_sessions();
        store.delete_session(&id(&bob)).unwrap();
        login(store, "dan");
        ann.set_user(Some("eve"));
        save(store, &mut ann);
        let seen: Vec<_> = snapshot
            .map(|session| session.unwrap().user().unwrap().to_string())
            .collect();
        assert_eq!(seen, ["bob", "cleo", "ann"]);
        assert_eq!(users(store), ["cleo", "dan", "eve"]);
    });
}

#[test]
fn the_sessions_of_a_user_are_found_and_ended() {
    on_each_store(|store| {
        let ann: Vec<_> = (0..3).map(|_| login(store, "ann")).collect();
        let mut slow = ann[1].clone();
        login(store, "bob");
        login(store, "ann2");
        let mut nobody = Session::new();
        nobody.insert("user", "ann").unwrap();
        save(store, &mut nobody);

        let handles = |sessions: &[Session]| -> BTreeSet<_> {
            sessions
                .iter()
                .map(|session| session.handle().unwrap())
                .collect()
        };
        assert_eq!(handles(&store.sessions_of("ann").unwrap()), handles(&ann));
        assert_eq!(store.delete_user_sessions("ann").unwrap(), 3);
        for session in &ann {
            assert_absent(store, &id(session));
        }
        slow.insert("late", &true).unwrap();
        assert!(matches!(
            store.save_session(&mut slow).unwrap(),
            Saved::Gone
        ));
        assert!(store.sessions_of("ann").unwrap().is_empty());
        assert_eq!(store.delete_user_sessions("ann").unwrap(), 0);
        assert_eq!(store.iter_sessions().count(), 3);
    });
}

#[test]
fn a_session_is_deleted_by_the_handle_that_a_list_shows() {
    on_each_store(|store| {
        login(store, "ann");
        let bob = login(store, "bob");
        let listed = store.iter_sessions().map(|session| session.unwrap());
        let shown = listed
            .filter(|session| session.user() == Some("bob"))
            .map(|bob| bob.handle().unwrap().to_string());
        let handle: SessionHandle = shown.collect::<String>().parse().unwrap();
        assert_eq!(Some(handle), bob.handle());
        assert_eq!(store.delete_by_handle(handle).unwrap(), 1);
        assert_eq!(store.delete_by_handle(handle).unwrap(), 0);
        assert_eq!(users(store), ["ann"]);
    });
}

#[test]
fn listed_sessions_can_be_changed_and_saved() {
    on_each_store(|store| {
        let id = id(&login(store, "ann"));
        let mut listed = store.iter_sessions().next().unwrap().unwrap();
        listed.set_user(Some("bob"));
        save(store, &mut listed);
        assert_eq!(load(store, &id).user(), Some("bob"));
        assert!(matches!(
            store.regenerate_id(&mut listed).unwrap(),
            Saved::Stored
        ));
        assert_absent(store, &id);
        assert!(listed.id().is_some());
    });
}

#[test]
fn thirty_two_form_tokens_are_outstanding_at_most() {
    on_each_store(|store| {
        let mut session = Session::new();
        let tokens: Vec<_> = (0..33)
            .map(|_| session.create_form_token().unwrap())
            .collect();
        assert_eq!(tokens.iter().collect::<BTreeSet<_>>().len(), 33);
        save(store, &mut session);
        let mut session = load(store, &id(&session));
        assert_eq!(session.form_token_count(), 32);
        assert!(
            !session.has_form_token(&tokens[0]),
            "the oldest is forgotten"
        );
        assert!(
            tokens[1..]
                .iter()
                .all(|token| session.has_form_token(token))
        );
        assert!(!session.has_form_token("") && !session.has_form_token(&tokens[1][..21]));

        assert!(session.remove_form_token(&tokens[5]) && !session.remove_form_token(&tokens[5]));
        save(store, &mut session);
        let mut session = load(store, &id(&session));
        assert!(!session.has_form_token(&tokens[5]));
        let last = session.create_form_token().unwrap();
        assert!(
            session.has_form_token(&tokens[1]) && session.has_form_token(&last),
            "there was room for one"
        );
    });
}

/// With more the session could not be read again.
#[test]
fn of_the_form_tokens_of_two_requests_the_newest_thirty_two_stay() {
    on_each_store(|store| {
        let mut first = login(store, "ann");
        let mut second = first.clone();
        let mut tokens = Vec::new();
        for session in [&mut first, &mut second] {
            tokens.extend((0..20).map(|_| session.create_form_token().unwrap()));
        }
        save(store, &mut first);
        let Saved::Conflict(current) = store.save_session(&mut second).unwrap() else {
            panic!("no conflict")
        };
        save(store, &mut second.rebase(*current).unwrap());
        let session = load(store, &id(&first));
        let stay = tokens.iter().filter(|token| session.has_form_token(token));
        assert!(stay.eq(&tokens[8..]));
    });
}

/// So it is with a message to the visitor that tells of the first one.
#[test]
fn what_is_put_into_the_current_session_at_a_conflict_outlives_the_next_conflict() {
    on_each_store(|store| {
        let mut first = login(store, "ann");
        let mut second = first.clone();
        second.insert("two", &2u64).unwrap();
        for n in 0..2u64 {
            first.insert("one", &n).unwrap();
            save(store, &mut first);
            let Saved::Conflict(mut current) = store.save_session(&mut second).unwrap() else {
                panic!("no conflict")
            };
            if n == 0 {
                current.insert("told", &true).unwrap();
            }
            second = second.rebase(*current).unwrap();
        }
        save(store, &mut second);
        let stored = load(store, &id(&first));
        let keys: Vec<&str> = stored.keys().collect();
        assert_eq!(keys, ["one", "told", "two"]);
    });
}

#[test]
fn setting_what_is_there_already_is_no_change() {
    let mut session = Session::new();
    session.set_user(None);
    session.set_remote_address(None);
    assert!(!session.remove("n") && !session.remove_form_token("t"));
    assert!(!session.is_modified());
    on_each_store(|store| {
        let mut session = login(store, "ann");
        session.insert("n", &1u64).unwrap();
        session.set_remote_address(Some("::1"));
        save(store, &mut session);
        session.insert("n", &1u64).unwrap();
        session.set_remote_address(Some("::1"));
        session.set_user(Some("ann"));
        assert!(!session.is_modified());
        session.insert("n", &1i8).unwrap();
        assert!(!session.is_modified(), "the same value in CBOR");
        session.insert("n", "1").unwrap();
        assert!(session.is_modified());
        assert!(session.remove("n") && !session.remove("n"));
    });
}

#[test]
fn a_change_of_user_forgets_the_credentials_and_the_proof_of_the_one_before() {
    on_each_store(|store| {
        for next in [None, Some("bob")] {
            let mut session = login(store, "ann");
            session.set_credentials(Some("stamp"));
            session.insert("n", &1u64).unwrap();
            save(store, &mut session);
            assert!(session.confirmed().is_some());
            session.set_user(next);
            assert_eq!((session.credentials(), session.confirmed()), (None, None));
            save(store, &mut session);
            let stored = load(store, &id(&session));
            assert_eq!(stored.credentials(), None);
            assert_eq!(stored.confirmed().is_some(), next.is_some());
        }
    });
}

#[test]
fn neither_debug_nor_errors_show_ids_values_or_people() {
    on_each_store(|store| {
        let canary = "canary-5e1f";
        let mut session = Session::new();
        session.set_user(Some(canary));
        session.set_remote_address(Some(canary));
        session.insert(canary, canary).unwrap();
        session.insert("cart", canary).unwrap();
        let token = session.create_form_token().unwrap();
        save(store, &mut session);
        let id = id(&session);
        let mut outdated = load(store, &id);
        store
            .update_session(&id, |session| session.insert("n", &1u64))
            .unwrap();
        outdated.set_user(None);
        let conflict = store.save_session(&mut outdated).unwrap();
        let shown = [
            format!(
                "{store:?} {session:#?} {conflict:?} {id:?} {:?}",
                store.iter_sessions()
            ),
            format!("{:?}", store.iter_sessions().collect::<Vec<_>>()),
            format!("{:?}", store.sessions_of(canary)),
            format!("{:?}", store.setup(Existing::Fail)),
            format!(
                "{:?}",
                store.update_session(&id, |session| session.get::<u64>("cart"))
            ),
            format!(
                "{:?}",
                store.update_session(&id, |_| store.delete_session(&id))
            ),
            format!(
                "{:?} {:?}",
                format!("{}x", id.as_str()).parse::<SessionId>(),
                canary.parse::<SessionHandle>()
            ),
        ];
        for text in shown {
            for secret in ["canary", id.as_str(), &token] {
                assert!(!text.contains(secret), "{text}");
            }
        }
        assert_eq!(format!("{id:?}"), "SessionId(..)");
    });
}

#[test]
fn stores_say_what_may_share_them() {
    on_each_store(|store| assert!(store.is_thread_safe()));
    assert!(!MemorySessionStore::new().is_multiprocess_safe());
    assert!(ShelveSessionStore::from(open(&sim())).is_multiprocess_safe());
}

#[test]
fn everything_about_sessions_crosses_threads() {
    fn shared<T: Send + Sync + 'static + ?Sized>() {}
    fn sent<T: Send + 'static>() {}
    shared::<dyn SessionStore>();
    shared::<(
        ShelveSessionStore,
        MemorySessionStore,
        Session,
        SessionId,
        SessionHandle,
        SessionOptions,
    )>();
    sent::<(shelflife::Sessions, Saved)>();
}
