//! How long sessions live: by idleness and in all, what counts as use, and sweeps.

use super::*;

#[test]
fn touching_changes_the_time_and_nothing_else() {
    on_each(
        |_| (),
        |bench| {
            let store = &*bench.store;
            let id = id(&login(store, "ann"));
            let mut writer = load(store, &id);
            (bench.advance)(MINUTE);
            assert!(store.touch_session(&id).unwrap());
            let touched = load(store, &id);
            assert_eq!(touched.accessed(), Some(start() + MINUTE));
            assert_eq!((touched.created(), touched.version()), (Some(start()), 1));

            // A change that was under way is not a conflict, and does not set the time back.
            writer.insert("cart", "tea").unwrap();
            save(store, &mut writer);
            assert_eq!(load(store, &id).accessed(), Some(start() + MINUTE));
        },
    );
}

#[test]
fn the_access_time_is_as_exact_as_was_asked_for() {
    let resolution = |options: &mut SessionOptions| {
        options.access_resolution(MINUTE);
    };
    on_each(resolution, |bench| {
        let store = &*bench.store;
        let mut session = login(store, "ann");
        let id = id(&session);
        (bench.advance)(MINUTE - Duration::from_millis(1));
        assert!(store.touch_session(&id).unwrap());
        save(store, &mut session);
        assert_eq!(load(store, &id).accessed(), Some(start()));
        (bench.advance)(Duration::from_millis(1));
        save(store, &mut session);
        assert_eq!(load(store, &id).accessed(), Some(start() + MINUTE));
        assert_eq!(session.accessed(), Some(start() + MINUTE));
    });
}

#[test]
fn the_access_time_errs_by_a_tenth_of_the_idle_lifetime_at_most() {
    let short = |options: &mut SessionOptions| {
        options.idle_lifetime(10 * MINUTE).access_resolution(HOUR);
    };
    on_each(short, |bench| {
        let id = id(&login(&*bench.store, "ann"));
        for _ in 0..30 {
            (bench.advance)(9 * MINUTE);
            assert!(bench.store.touch_session(&id).unwrap());
        }
    });
}

#[test]
fn old_sessions_are_deleted_and_counted() {
    on_each(
        |_| (),
        |bench| {
            let store = &*bench.store;
            login(store, "ann");
            let bob = login(store, "bob");
            (bench.advance)(HOUR - Duration::from_millis(1));
            assert!(store.touch_session(&id(&bob)).unwrap());
            assert_eq!(store.delete_old_sessions(HOUR).unwrap(), (0, 2));
            (bench.advance)(Duration::from_millis(1));
            login(store, "cleo");
            assert_eq!(store.delete_old_sessions(HOUR).unwrap(), (1, 2));
            assert_eq!(users(store), ["bob", "cleo"]);
            assert_eq!(store.delete_old_sessions(Duration::MAX).unwrap(), (0, 2));
            assert_eq!(store.delete_old_sessions(Duration::ZERO).unwrap(), (2, 0));
            assert_eq!(store.delete_old_sessions(Duration::ZERO).unwrap(), (0, 0));
        },
    );
}

#[test]
fn an_expired_session_is_absent_for_every_question() {
    let idle = |options: &mut SessionOptions| {
        options.idle_lifetime(HOUR);
    };
    let absolute = |options: &mut SessionOptions| {
        options.absolute_lifetime(HOUR);
    };
    let claim = |bench: &Bench| {
        let store = &*bench.store;
        let mut session = login(store, "ann");
        let id = id(&session);
        assert_eq!(session.expires(), Some(start() + HOUR));
        (bench.advance)(HOUR - Duration::from_millis(1));
        assert!(store.has_session(&id).unwrap());
        assert_eq!(load(store, &id).expires(), Some(start() + HOUR));
        assert_eq!(
            store.iter_sessions().next().unwrap().unwrap().expires(),
            Some(start() + HOUR)
        );
        (bench.advance)(Duration::from_millis(1));

        assert_eq!(store.sessions_of("ann").unwrap().len(), 0);
        assert_eq!(store.iter_sessions().count(), 0);
        store.setup(Existing::Fail).unwrap();
        assert!(!store.has_session(&id).unwrap());
        assert!(matches!(
            store.save_session(&mut session.clone()).unwrap(),
            Saved::Gone
        ));
        session.insert("late", &true).unwrap();
        assert!(matches!(
            store.save_session(&mut session.clone()).unwrap(),
            Saved::Gone
        ));
        assert!(matches!(
            store.regenerate_id(&mut session).unwrap(),
            Saved::Gone
        ));
        assert_absent(store, &id);
        assert_eq!(store.delete_old_sessions(Duration::ZERO).unwrap().1, 0);
    };
    on_each(idle, claim);
    on_each(absolute, claim);
}

#[test]
fn use_prolongs_the_idle_lifetime_and_not_the_absolute_one() {
    let both = |options: &mut SessionOptions| {
        options.idle_lifetime(HOUR).absolute_lifetime(3 * HOUR);
    };
    on_each(both, |bench| {
        let store = &*bench.store;
        let mut session = login(store, "ann");
        for step in 1..6u32 {
            (bench.advance)(HOUR / 2);
            match step % 3 {
                0 => assert!(store.touch_session(&id(&session)).unwrap()),
                1 => save(store, &mut session),
                _ => assert!(matches!(
                    store.regenerate_id(&mut session).unwrap(),
                    Saved::Stored
                )),
            }
        }
        assert_eq!(session.expires(), Some(start() + 3 * HOUR));
        (bench.advance)(HOUR / 2);
        assert_absent(store, &id(&session));
    });
}

/// Copies sessions to stores in which others live longer, and not so long.
pub(crate) fn ends_as_it_did(open: &dyn Fn(&SessionOptions, &str) -> Box<dyn SessionStore>) {
    let lasting = |idle| SessionOptions::new().idle_lifetime(idle).clone();
    let from = lasting(HOUR).in_memory();
    login(&from, "ann");
    let mut own = login(&from, "bob");
    own.set_lifetime(Some(Lifetime {
        idle: Some(5 * HOUR),
        absolute: None,
    }));
    save(&from, &mut own);
    let end = |store: &dyn SessionStore, user: &str| {
        let session = store.sessions_of(user).unwrap().remove(0);
        session.expires().unwrap()
    };
    let stores = [
        ("long", 10 * HOUR, Duration::ZERO),
        ("short", HOUR / 2, HOUR / 2),
    ];
    for (name, idle, sooner) in stores {
        let to = open(&lasting(idle), name);
        copy_sessions(&from, &*to, Beyond::Keep, |_| {}).unwrap();
        assert_eq!(end(&*to, "bob"), end(&from, "bob"), "{to:?}");
        assert_eq!(end(&*to, "ann"), end(&from, "ann") - sooner, "{to:?}");
    }
}

#[test]
fn a_copied_session_ends_when_it_would_have_ended_where_it_came_from() {
    ends_as_it_did(&|options, _| Box::new(options.in_memory()));
    let dir = tempfile::tempdir().unwrap();
    ends_as_it_did(&|options, name| Box::new(options.open(dir.path().join(name)).unwrap()));
}

#[test]
fn what_ended_over_a_day_ago_takes_no_memory() {
    let time = Arc::new(Mutex::new(start()));
    let clock = Arc::clone(&time);
    let store = SessionOptions::new()
        .idle_lifetime(HOUR)
        .in_memory_with_clock(move || *clock.lock().unwrap());
    for user in ["ann", "bob", "cleo"] {
        login(&store, user);
    }
    *time.lock().unwrap() += 27 * HOUR;
    assert_eq!(store.delete_old_sessions(Duration::MAX).unwrap(), (0, 0));
    // The note how ids are kept.
    assert!(format!("{store:?}").contains("len: 1,"), "{store:?}");
}

/// Nobody sweeps, and nobody reads all sessions: the sessions of the last two days are 48, each with a list.
#[test]
fn what_ended_long_ago_takes_no_memory_where_nothing_but_logins_comes() {
    let time = Arc::new(Mutex::new(start()));
    let clock = Arc::clone(&time);
    let store = SessionOptions::new()
        .idle_lifetime(HOUR)
        .in_memory_with_clock(move || *clock.lock().unwrap());
    for nth in 0..5_000 {
        login(&store, &format!("visitor {nth}"));
        *time.lock().unwrap() += HOUR;
    }
    let debug = format!("{store:?}");
    let len = debug.split("len: ").nth(1).unwrap();
    let len: u32 = len.split(',').next().unwrap().parse().unwrap();
    assert!(len <= 1_500, "{debug}");
}
