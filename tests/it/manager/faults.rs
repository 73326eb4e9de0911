//! A store that fails, in the middle of everything that a visit does.

use super::*;

type Deed = fn(&mut Visit) -> Result<()>;

/// All that a visit can do, each as a handler does it.
const DEEDS: [(&str, Deed); 23] = [
    ("change", |visit| {
        visit.session()?.insert("cart", "coffee").map(drop)
    }),
    ("update", |visit| {
        visit
            .update(|session| session.insert("cart", "coffee"))
            .map(drop)
    }),
    ("save", |visit| {
        visit.session()?.insert("cart", "coffee")?;
        visit.save().map(drop)
    }),
    ("login", |visit| visit.login("bob").map(drop)),
    ("renew", Visit::renew),
    ("logout", |visit| visit.logout().map(drop)),
    ("everywhere", |visit| visit.logout_everywhere().map(drop)),
    ("elsewhere", |visit| visit.logout_elsewhere().map(drop)),
    ("devices", |visit| visit.devices().map(drop)),
    ("form", |visit| {
        let token = visit.session()?.create_form_token()?;
        visit.use_form_token(&token).map(drop)
    }),
    ("csrf after login", |visit| {
        visit.login("bob")?;
        visit.csrf_token().map(drop)
    }),
    ("reload", |visit| {
        visit.session()?.insert("cart", "coffee")?;
        visit.reload()
    }),
    ("remember me", |visit| {
        let lifetime = Lifetime {
            idle: None,
            absolute: Some(30 * DAY),
        };
        visit.login_for("bob", lifetime).map(drop)
    }),
    ("watch a new id", |visit| {
        visit.renew()?;
        visit.watch().map(drop)
    }),
    ("confirm", |visit| visit.confirm().map(drop)),
    ("credentials", |visit| {
        visit.set_credentials(b"new").map(drop)
    }),
    ("other credentials", |visit| {
        visit.check_credentials(b"other").map(drop)
    }),
    ("this device", |visit| {
        let devices = visit.devices()?;
        let this = devices.iter().find(|device| device.is_this);
        visit
            .logout_device(this.expect("it is one of them").session)
            .map(drop)
    }),
    ("label", |visit| {
        visit.set_client("10.0.0.7", "Phone");
        visit.set_device_label(Some("phone"))
    }),
    ("message", |visit| visit.flash("ok", "Saved.")),
    ("messages", |visit| visit.take_flashes().map(drop)),
    ("look", |visit| visit.user().map(drop)),
    ("blind", |_| Ok(())),
];

/// Those that end the session at once.
fn is_logout(deed: &str) -> bool {
    ["logout", "everywhere", "this device", "other credentials"].contains(&deed)
}

#[test]
fn a_failing_store_is_an_error_for_pages_that_use_the_session_and_nothing_for_others() {
    let site = Site::new();
    let jar = site.login("ann");
    site.store.fail(&[ALL]);
    assert!(site.begin(&jar).user().is_err());
    assert!(site.begin(&jar).session().is_err());
    assert!(site.begin(&jar).logout().is_err());
    let (_, blind) = site.ask(&jar, |_| ());
    assert_eq!((blind.outcome, blind.headers.len()), (Outcome::Nothing, 0));
    assert_eq!(site.events().last().unwrap(), "touch failed");
    let (_, stranger) = site.ask(&Jar::default(), |visit| visit.user().unwrap().is_some());
    assert_eq!(
        stranger.outcome,
        Outcome::Nothing,
        "nothing of the store is needed for a stranger"
    );
    site.store.fail(&[]);
    assert_eq!(site.user(&jar).as_deref(), Some("ann"));
}

#[test]
fn a_store_that_fails_is_asked_once_for_a_page_that_does_not_need_it() {
    let site = Site::new();
    let id = |n: u8| format!("__Host-id={}AECAwQFBgcICQoLDA0ODw", char::from(b'B' + n));
    let fields: Vec<String> = (0..4).map(id).collect();
    for (failing, asked, failed) in [(true, 1, 1), (false, 4, 0)] {
        site.store.fail(if failing { &["touch"] } else { &[] });
        site.calls();
        let done = site.manager.begin(&fields).finish().unwrap();
        assert_eq!(done.outcome(), Outcome::Nothing);
        assert_eq!(site.calls(), vec!["touch"; asked]);
        let events = site.events();
        let told = events.iter().filter(|event| *event == "touch failed");
        assert_eq!(told.count(), failed);
    }
}

#[test]
fn a_look_that_failed_is_tried_again_by_the_next_one() {
    let site = Site::new();
    let jar = site.login("ann");
    let mut visit = site.begin(&jar);
    for call in ["load", ALL] {
        site.store.fail(&[call]);
        assert!(visit.user().is_err());
        assert!(
            visit
                .update(|session| session.insert("cart", "tea"))
                .is_err()
        );
    }
    site.store.fail(&[]);
    assert_eq!(visit.user().unwrap(), Some("ann"));
}

/// Each call of a visit asks the store for something: whichever question fails, the call fails, nothing is half done,
/// and when the store is back the visitor is where he was.
#[test]
fn whichever_call_to_the_store_fails_nothing_is_half_done() {
    let mut tried = 0;
    for (name, deed) in DEEDS {
        let run = |failing: Option<(usize, &'static str)>| {
            let site = Site::new();
            let mut jar = site.login("ann");
            site.visit(&mut jar, |visit| put(visit, "cart", "tea"));
            site.calls();
            let mut visit = site.begin(&jar);
            if let Some((_, call)) = failing {
                site.store.fail(&[call]);
            }
            let done = deed(&mut visit).and_then(|()| visit.finish());
            let calls = site.calls();
            site.store.fail(&[]);
            let is_done = done.is_ok();
            if let Ok(done) = done {
                jar.receive(&answer(done));
            }
            let (user, cart) = (site.user(&jar), site.value(&jar, "cart"));
            if failing.is_some() {
                // After an error the browser keeps its cookie, and the session is as it was, or ended, as it was asked.
                if !is_done {
                    let as_it_was =
                        user.as_deref() == Some("ann") && cart.as_deref() == Some("tea");
                    let done_whole = match name {
                        _ if is_logout(name) => user.is_none(),
                        "update" => cart.as_deref() == Some("coffee"),
                        _ => false,
                    };
                    assert!(
                        as_it_was || done_whole,
                        "{name}, {failing:?}: {user:?} {cart:?}"
                    );
                }
                assert!(site.sessions() <= 1, "{name}, {failing:?}");
            }
            (calls, is_done.then_some((user, cart)))
        };
        let (calls, whole) = run(None);
        assert!(!calls.is_empty() && whole.is_some(), "{name}");
        let mut kinds = calls.clone();
        kinds.sort_unstable();
        kinds.dedup();
        for (n, call) in kinds.into_iter().enumerate() {
            let (_, done) = run(Some((n, call)));
            // An answer without an error says that it is done.
            assert!(done.is_none() || done == whole, "{name}, {call}: {done:?}");
            tried += 1;
        }
    }
    assert!(tried > 20, "only {tried} failures were tried");
}

#[test]
fn a_store_that_cannot_be_reached_at_the_start_is_no_crash() {
    let site = Site::new();
    site.store.fail(&[ALL]);
    let mut jar = Jar::default();
    let mut visit = site.begin(&jar);
    put(&mut visit, "cart", "tea");
    assert!(visit.finish().is_err());
    site.store.fail(&[]);
    site.visit(&mut jar, |visit| put(visit, "cart", "tea"));
    assert_eq!(site.value(&jar, "cart").as_deref(), Some("tea"));
}

mod on_a_file {
    use super::*;
    use crate::session::conformance::value_of;
    use crate::support::metric;
    use shelflife::sim::{Call, Fault, FaultKind, SimDisk};
    use shelflife::{Compaction, Options, ShelveSessionStore, Store};
    use std::path::Path;

    fn open(disk: &SimDisk, wait: Duration) -> Store {
        let mut options = Options::new();
        options
            .disk(disk.disk())
            .compaction(Compaction::Manual)
            .lock_timeout(wait);
        options.open("/sessions.shelf").unwrap()
    }

    fn manager(
        disk: &SimDisk,
        sink: &Arc<Mutex<Vec<String>>>,
    ) -> (SessionManager, Arc<ShelveSessionStore>) {
        let store = SessionOptions::new()
            .hash_ids(true)
            .with_store(open(disk, SECOND))
            .unwrap();
        let store = Arc::new(store);
        let sink = Arc::clone(sink);
        let manager = ManagerOptions::new()
            .on_event(move |event| sink.lock().unwrap().push(name_of(event).to_string()))
            .manage_shared(store.clone())
            .unwrap();
        (manager, store)
    }

    fn login(manager: &SessionManager, user: &str) -> Jar {
        let mut visit = manager.begin::<&str>([]);
        visit.login(user).unwrap();
        let mut jar = Jar::default();
        jar.receive(&answer(visit.finish().unwrap()));
        jar
    }

    /// Any call to the disk may fail, from then on or once: the visitor is as before or as after the deed, the lists name
    /// what is there, and nobody else notices.
    #[test]
    fn whichever_call_to_the_disk_fails_in_a_visit_nothing_is_half_done() {
        let mut tried = 0;
        for (name, deed) in DEEDS {
            let (_, whole) = state_with(name, deed, FaultKind::Eio, false, u64::MAX);
            for (kind, forever) in [
                (FaultKind::Eio, false),
                (FaultKind::Eio, true),
                (FaultKind::Enospc, true),
            ] {
                for nth in 1.. {
                    let (struck, done) = state_with(name, deed, kind, forever, nth);
                    // An answer without an error says that it is done.
                    let is_so = done.is_none() || done == whole;
                    assert!(is_so, "{name}, {kind:?}, {forever}, call {nth}: {done:?}");
                    if !struck {
                        break;
                    }
                    tried += 1;
                }
            }
        }
        assert!(tried > 300, "only {tried} failures were tried");
        metric("manager_failing_disk_calls", tried, None, 0.0);
    }

    /// Whether the call came, and, if all was done, who is logged in then and what the cart holds.
    fn state_with(
        name: &str,
        deed: Deed,
        kind: FaultKind,
        forever: bool,
        nth: u64,
    ) -> (bool, Option<[Option<String>; 2]>) {
        let context = format!("{name}, {kind:?}, forever: {forever}, call {nth}");
        let disk = SimDisk::new(1);
        let (manager, store) = manager(&disk, &Arc::default());
        let (mut jar, there, other) = (
            login(&manager, "ann"),
            login(&manager, "ann"),
            login(&manager, "cleo"),
        );
        let mut visit = manager.begin(jar.field());
        put(&mut visit, "cart", "tea");
        let _ = visit.finish().unwrap();
        let fault = Fault::new(kind).nth(nth);
        disk.inject(if forever { fault.forever() } else { fault });
        let mut visit = manager.begin(jar.field());
        let done = deed(&mut visit).and_then(|()| visit.finish());
        let struck = disk.faults() > 0;
        disk.clear_faults();
        store.store().reopen().unwrap();
        let is_done = done.is_ok();
        if let Ok(done) = done {
            jar.receive(&answer(done));
        }

        let user = |jar: &Jar| manager.begin(jar.field()).user().unwrap().map(String::from);
        assert_eq!(user(&other).as_deref(), Some("cleo"), "{context}");
        let ends_others = matches!(name, "everywhere" | "elsewhere");
        assert!(
            ends_others || user(&there).as_deref() == Some("ann"),
            "{context}"
        );
        let mut visit = manager.begin(jar.field());
        let who = visit.user().unwrap().map(String::from);
        let cart: Option<String> = visit.session().unwrap().get("cart").unwrap();
        drop(visit);
        // A failed write may have happened: a new id that nobody was told leads nowhere.
        match who.as_deref() {
            Some("ann") => assert!(cart.is_some(), "{context}: half a session"),
            Some(_) => assert!(is_done && cart.is_none(), "{context}: {who:?} {cart:?}"),
            None => assert!(!is_done || is_logout(name), "{context}: logged out"),
        }
        let all: Vec<Session> = store.iter_sessions().map(|it| it.unwrap()).collect();
        assert!(
            all.len() <= 3,
            "{context}: {} sessions of three browsers",
            all.len()
        );
        for user in ["ann", "bob", "cleo"] {
            let listed = store.sessions_of(user).unwrap().len();
            let there = all.iter().filter(|it| it.user() == Some(user)).count();
            assert_eq!(listed, there, "{context}: the list of {user}");
        }
        (struck, is_done.then_some([who, cart]))
    }

    #[test]
    fn a_busy_store_is_busy_and_readers_go_on() {
        let disk = SimDisk::new(1);
        let (manager, _store) = manager(&disk, &Arc::default());
        let jar = login(&manager, "ann");
        // Another process stands still with the lock in its hand.
        let other = disk.process();
        let holder = {
            let mut options = Options::new();
            options
                .disk(other.disk())
                .exclusive(true)
                .compaction(Compaction::Manual);
            options.open("/sessions.shelf").unwrap()
        };
        let mut visit = manager.begin(jar.field());
        assert_eq!(visit.user().unwrap(), Some("ann"));
        put(&mut visit, "cart", "tea");
        assert!(visit.finish().unwrap_err().is_busy(), "503, and not 500");
        assert!(manager.begin(jar.field()).logout().unwrap_err().is_busy());
        drop(holder);
        let mut visit = manager.begin(jar.field());
        assert_eq!(visit.session().unwrap().len(), 0);
    }

    #[test]
    fn a_session_that_cannot_be_read_gives_the_visitor_a_new_one_and_the_operator_an_event() {
        let events = Arc::new(Mutex::new(Vec::new()));
        let disk = SimDisk::new(1);
        let (manager, store) = manager(&disk, &events);
        let (ann, bob) = (login(&manager, "ann"), login(&manager, "bob"));
        // Under ann's key, whatever that is, stands something that is no session.
        let ann_handle = ann.id().unwrap().handle();
        let mut damaged = 0;
        for entry in store.store().iter() {
            let (key, value) = entry.unwrap();
            let is_session = store
                .iter_sessions()
                .filter_map(Result::ok)
                .any(|session| session.handle() == Some(ann_handle));
            if is_session && value.windows(3).any(|bytes| bytes == b"ann") && value.len() > 40 {
                store.store().insert(&key, "no session").unwrap();
                damaged += 1;
            }
        }
        assert!(damaged >= 1);
        events.lock().unwrap().clear();
        let mut visit = manager.begin(ann.field());
        assert_eq!(visit.user().unwrap(), None);
        assert_eq!(
            events.lock().unwrap().first().map(String::as_str),
            Some("unreadable")
        );
        visit.login("ann").unwrap();
        let mut jar = ann.clone();
        jar.receive(&answer(visit.finish().unwrap()));
        assert_ne!(jar, ann);
        assert_eq!(manager.begin(jar.field()).user().unwrap(), Some("ann"));
        assert_eq!(manager.begin(bob.field()).user().unwrap(), Some("bob"));
        assert!(
            manager.begin(ann.field()).logout().unwrap(),
            "what can't be read can be ended"
        );
    }

    /// A second live session is looked for, so that the operator learns of it. The page does without.
    #[test]
    fn a_look_at_a_second_cookie_that_fails_is_no_error() {
        let disk = SimDisk::new(1);
        let (manager, _store) = manager(&disk, &Arc::default());
        let both = [
            login(&manager, "ann").field(),
            login(&manager, "bob").field(),
        ]
        .concat();
        let mut done_without = 0;
        for nth in 1.. {
            let before = disk.faults();
            disk.inject(Fault::new(FaultKind::Eio).on(Call::Read).nth(nth));
            let user = manager
                .begin(&both)
                .user()
                .map(|user| user.map(String::from));
            let struck = disk.faults() > before;
            disk.clear_faults();
            if let Ok(user) = user {
                assert_eq!(user.as_deref(), Some("ann"), "read {nth}");
                done_without += usize::from(struck);
            }
            if !struck {
                break;
            }
        }
        assert!(done_without > 0, "no look at the second cookie failed");
    }

    /// A bit of the record flipped: nothing of it can be read, not even that it is no session.
    #[test]
    fn a_damaged_session_gives_the_visitor_a_new_one_and_the_operator_an_event() {
        let events = Arc::new(Mutex::new(Vec::new()));
        let disk = SimDisk::new(1);
        let (manager, store) = manager(&disk, &events);
        let (ann, _) = (login(&manager, "ann"), login(&manager, "bob"));
        let ann_handle = ann.id().unwrap().handle();
        let keys = store.store().iter().map(|entry| entry.unwrap().0);
        let key = keys
            .filter(|key| SessionHandle::of_key(key) == Some(ann_handle))
            .last();
        let at = value_of(&disk.read("/sessions.shelf").unwrap(), &key.unwrap());
        disk.flip_bit("/sessions.shelf", at, 3).unwrap();
        events.lock().unwrap().clear();
        let mut visit = manager.begin(ann.field());
        assert_eq!(visit.user().unwrap(), None);
        assert_eq!(*events.lock().unwrap(), ["unreadable"]);
        visit.login("ann").unwrap();
        let mut jar = ann.clone();
        jar.receive(&answer(visit.finish().unwrap()));
        assert_eq!(manager.begin(jar.field()).user().unwrap(), Some("ann"));
        assert!(manager.begin(ann.field()).logout().unwrap());
    }

    #[test]
    fn a_full_disk_stores_nothing_of_a_visit_and_the_site_goes_on_when_there_is_space() {
        let disk = SimDisk::new(1);
        let (manager, store) = manager(&disk, &Arc::default());
        let jar = login(&manager, "ann");
        let size = store.store().stats().unwrap().file_bytes;
        disk.set_capacity(Some(size));
        let mut visit = manager.begin(jar.field());
        put(&mut visit, "cart", &"tea".repeat(1_000));
        assert!(visit.finish().is_err());
        let mut visit = manager.begin(jar.field());
        assert_eq!(visit.user().unwrap(), Some("ann"));
        assert_eq!(visit.session().unwrap().len(), 0);
        disk.set_capacity(None);
        let mut visit = manager.begin(jar.field());
        put(&mut visit, "cart", "tea");
        assert_eq!(visit.finish().unwrap().outcome(), Outcome::Stored);
    }

    #[test]
    fn a_file_that_is_gone_is_an_error_and_nothing_is_stored_past_it() {
        let disk = SimDisk::new(1);
        let (manager, _store) = manager(&disk, &Arc::default());
        let jar = login(&manager, "ann");
        disk.disk().remove(Path::new("/sessions.shelf")).unwrap();
        let mut visit = manager.begin(jar.field());
        put(&mut visit, "cart", "tea");
        assert!(visit.save().is_err());
        assert!(visit.finish().is_err());
        assert!(manager.begin(jar.field()).logout().is_err());
        assert!(
            disk.read("/sessions.shelf").is_err(),
            "no new file in its place"
        );
    }
}

#[test]
fn what_failed_is_not_done_by_the_end_and_can_be_tried_again() {
    let site = Site::with(
        |_| (),
        |it| {
            it.session_cap(Some(SessionCap::Refuse(3)));
        },
    );
    let vote = |visit: &mut Visit| {
        visit.update(|session| {
            let n = session.get::<u64>("n")?.unwrap_or(0) + 1;
            session.insert("n", &n)?;
            Ok(n)
        })
    };
    for jar in [Jar::default(), site.shopper(), site.login("bob")] {
        for again in [false, true] {
            let (_, answer) = site.ask(&jar, |visit| {
                visit.renew().unwrap();
                site.store.fail(&[ALL]);
                vote(visit).unwrap_err();
                visit.login("ann").unwrap_err();
                if jar != Jar::default() {
                    visit.reload().unwrap_err();
                }
                site.store.fail(&[]);
                assert_ne!(visit.user().unwrap(), Some("ann"));
                assert!(!visit.session().unwrap().contains_key("n"));
                if again {
                    assert_eq!(vote(visit).unwrap(), 1, "it counts once");
                }
            });
            let is_done = again || jar != Jar::default();
            assert_eq!(answer.sets_an_id(), is_done, "it had to be renewed");
            if is_done {
                break;
            }
        }
    }
    assert!(site.store.store.sessions_of("ann").unwrap().is_empty());
}

#[test]
fn a_login_stands_where_ending_the_others_fails_and_those_that_ended_are_told() {
    let site = Site::new();
    let sink = site.events.clone();
    let mut options = ManagerOptions::new();
    options.session_cap(Some(SessionCap::EndOldest(1)));
    options.on_event(move |event| sink.lock().unwrap().push(name_of(event).to_string()));
    let of_a_store_that_ends = |sessions| {
        let store = Foreign::of(&site.store);
        *store.ends.lock().unwrap() = sessions;
        options.manage(store).unwrap()
    };
    let there: Vec<_> = (0..3)
        .map(|_| {
            let mut session = Session::new();
            session.set_user(Some("ann"));
            let _ = site.store.store.save_session(&mut session).unwrap();
            site.advance(MINUTE);
            session.handle().unwrap()
        })
        .collect();
    let log_in = |ends| {
        let mut visit = of_a_store_that_ends(ends).begin([""]);
        assert!(visit.login("ann").unwrap());
        let mut jar = Jar::default();
        jar.receive(&answer(visit.finish().unwrap()));
        jar
    };
    let jar = log_in(1);
    assert_eq!(site.user(&jar).as_deref(), Some("ann"));
    assert_eq!(site.events(), ["logged in", "ended"]);
    let left = site.store.store.sessions_of("ann").unwrap();
    let left: Vec<_> = left.iter().filter_map(Session::handle).collect();
    assert!(
        left.len() == 3 && !left.contains(&there[0]),
        "{left:?}, {there:?}"
    );
    log_in(usize::MAX);
    assert_eq!(site.sessions(), 1, "the next login ends the rest");
}

#[test]
fn what_the_trait_provides_ends_all_that_can_be_read_and_says_at_the_end_that_something_could_not()
{
    let site = Site::new();
    let store = Foreign::of(&site.store);
    *store.is_damaged.lock().unwrap() = true;
    let log_in = || {
        let mut session = Session::new();
        session.set_user(Some("ann"));
        let _ = store.save_session(&mut session).unwrap();
        session
    };
    let there = [(); 6].map(|()| log_in().handle().unwrap());
    let are_left = |left: &[SessionHandle]| {
        let sessions = store.sessions_of("ann").unwrap();
        let handles: Vec<_> = sessions.iter().filter_map(Session::handle).collect();
        assert_eq!(handles.len(), left.len());
        assert!(left.iter().all(|handle| handles.contains(handle)));
    };
    let is_meant = |handle| there[..2].contains(&handle);
    let error = store.delete_by_handles(&is_meant).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Decode, "{error}");
    are_left(&there[2..]);
    let keep = &there[2];
    let error = store.delete_user_sessions_except("ann", keep).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Decode, "{error}");
    are_left(&[*keep]);
    let [_, mut last] = [(); 2].map(|()| log_in());
    let cap = SessionCap::EndOldest(1);
    let saved = store.regenerate_id_capped(&mut last, cap).unwrap();
    assert!(matches!(saved, Saved::Stored));
    are_left(&[last.handle().unwrap()]);
}
