//! How long sessions live.

use super::*;

/// And is absent from then on.
pub fn an_idle_session_ends(subject: &dyn Subject) {
    const CLAIM: &str = "an_idle_session_ends";
    let store = subject.store(Settings::idle(HOUR));
    let id = id(&login(&*store, "ann"));
    if !subject.advance(HOUR) {
        return skip(CLAIM, "let time pass");
    }
    assert_absent(&*store, &id);
}

/// Not even the smallest step of its clock before.
pub fn an_idle_session_does_not_end_before_its_time(subject: &dyn Subject) {
    const CLAIM: &str = "an_idle_session_does_not_end_before_its_time";
    let store = subject.store(Settings::idle(HOUR));
    let id = id(&login(&*store, "ann"));
    if !subject.advance(HOUR - subject.grain()) {
        return skip(CLAIM, "let time pass");
    }
    assert!(store.has_session(&id).unwrap());
}

/// The use does not help.
pub fn an_old_session_ends_however_much_it_is_used(subject: &dyn Subject) {
    const CLAIM: &str = "an_old_session_ends_however_much_it_is_used";
    let store = subject.store(Settings::lifetimes(None, Some(3 * HOUR)));
    let id = id(&login(&*store, "ann"));
    for _ in 0..3 {
        assert!(store.touch_session(&id).unwrap());
        if !subject.advance(HOUR) {
            return skip(CLAIM, "let time pass");
        }
    }
    assert_absent(&*store, &id);
}

/// No version is raised by it; and a resolution of any length leaves nine tenths of the lifetime.
pub fn use_prolongs_the_idle_lifetime_without_a_change_of_content(subject: &dyn Subject) {
    const CLAIM: &str = "use_prolongs_the_idle_lifetime_without_a_change_of_content";
    let store = subject.store(Settings {
        access_resolution: Some(HOUR),
        ..Settings::idle(HOUR)
    });
    let mut session = login(&*store, "ann");
    for nth in 0..4 {
        if !subject.advance(HOUR - margin(subject)) {
            return skip(CLAIM, "let time pass");
        }
        match nth % 2 {
            0 => assert!(store.touch_session(&id(&session)).unwrap()),
            _ => save(&*store, &mut session),
        }
    }
    assert_eq!(load(&*store, &id(&session)).version(), 1);
    assert_eq!(store.sessions_of("ann").unwrap().len(), 1);
}

/// A session ends by the lifetime that is over first, be it the idle or the absolute one.
pub fn of_both_lifetimes_the_earlier_end_counts(subject: &dyn Subject) {
    const CLAIM: &str = "of_both_lifetimes_the_earlier_end_counts";
    let store = subject.store(Settings::lifetimes(Some(2 * HOUR), Some(3 * HOUR)));
    let [used, unused] = [(); 2].map(|()| id(&login(&*store, "ann")));
    if !subject.advance(HOUR + HOUR / 2) {
        return skip(CLAIM, "let time pass");
    }
    assert!(store.touch_session(&used).unwrap());
    subject.advance(HOUR / 2);
    assert!(store.has_session(&used).unwrap() && !store.has_session(&unused).unwrap());
    subject.advance(HOUR);
    assert_absent(&*store, &used);
}

/// And its user has it in no list.
pub fn an_expired_session_is_absent_before_any_sweep(subject: &dyn Subject) {
    const CLAIM: &str = "an_expired_session_is_absent_before_any_sweep";
    let store = subject.store(Settings::idle(HOUR));
    let session = login(&*store, "ann");
    if !subject.advance(2 * HOUR) {
        return skip(CLAIM, "let time pass");
    }
    assert_absent(&*store, &id(&session));
    assert!(store.sessions_of("ann").unwrap().is_empty());
    assert_eq!(count(&*store), 0);
}

/// A logout ends a hidden session for good, and says so.
pub fn a_logout_ends_what_is_hidden_as_well_and_says_so(subject: &dyn Subject) {
    const CLAIM: &str = "a_logout_ends_what_is_hidden_as_well_and_says_so";
    let store = subject.store(Settings::idle(HOUR));
    let [by_id, by_handle, by_owner] = [(); 3].map(|()| login(&*store, "ann"));
    login(&*store, "bob");
    login(&*store, "bob");
    if !subject.keeps_what_has_ended() || !subject.advance(2 * HOUR) {
        return skip(CLAIM, "let time pass and keep what has ended");
    }
    assert!(store.delete_session(&id(&by_id)).unwrap());
    assert!(!store.delete_session(&id(&by_id)).unwrap());
    assert_eq!(store.delete_by_handle(handle(&by_handle)).unwrap(), 1);
    assert!(
        store
            .delete_user_session("ann", &handle(&by_owner))
            .unwrap()
    );
    assert_eq!(store.delete_user_sessions("ann").unwrap(), 0);
    assert_eq!(store.delete_user_sessions("bob").unwrap(), 2);
}

/// The visitor needs another.
pub fn an_expired_session_cannot_be_saved_or_given_a_new_id(subject: &dyn Subject) {
    const CLAIM: &str = "an_expired_session_cannot_be_saved_or_given_a_new_id";
    let store = subject.store(Settings::idle(HOUR));
    let mut session = login(&*store, "ann");
    if !subject.advance(HOUR) {
        return skip(CLAIM, "let time pass");
    }
    assert!(is_gone(store.save_session(&mut session)));
    assert!(is_gone(store.regenerate_id(&mut session)));
    session.insert("n", &7u64).unwrap();
    assert!(is_gone(store.save_session(&mut session)));
    assert!(is_gone(store.regenerate_id(&mut session)));
    assert_eq!(count(&*store), 0);
}

fn own(idle: Option<Duration>, absolute: Option<Duration>) -> Option<Lifetime> {
    Some(Lifetime { idle, absolute })
}

/// Longer or shorter than the store's, as a request learns that only reads.
pub fn one_session_can_be_given_a_lifetime_of_its_own(subject: &dyn Subject) {
    const CLAIM: &str = "one_session_can_be_given_a_lifetime_of_its_own";
    let store = subject.store(Settings::idle(HOUR));
    let [mut long, mut short] = [(); 2].map(|()| login(&*store, "ann"));
    long.set_lifetime(own(None, Some(100 * HOUR)));
    short.set_lifetime(own(Some(MINUTE), None));
    let mut reads = load(&*store, &id(&short));
    renew(&*store, &mut long);
    save(&*store, &mut short);
    save(&*store, &mut reads);
    assert_eq!(reads.expires(), reads.accessed().map(|at| at + MINUTE));
    assert_eq!(load(&*store, &id(&long)).lifetime(), long.lifetime());
    assert_eq!(short.expires(), short.accessed().map(|at| at + MINUTE));
    if !subject.advance(2 * MINUTE) {
        return skip(CLAIM, "let time pass");
    }
    assert!(store.has_session(&id(&long)).unwrap() && !store.has_session(&id(&short)).unwrap());
    subject.advance(90 * HOUR);
    assert!(store.touch_session(&id(&long)).unwrap());
    assert_eq!(store.sessions_of("ann").unwrap().len(), 1);
    subject.advance(10 * HOUR);
    assert_absent(&*store, &id(&long));
}

/// Nobody finds it.
pub fn a_session_given_an_end_in_the_past_is_absent_at_once(subject: &dyn Subject) {
    let store = subject.store(Settings::default());
    let mut session = login(&*store, "ann");
    session.set_lifetime(own(None, Some(Duration::ZERO)));
    save(&*store, &mut session);
    assert_absent(&*store, &id(&session));
}

/// By a lifetime of its own without an end.
pub fn one_session_can_be_made_to_never_expire(subject: &dyn Subject) {
    const CLAIM: &str = "one_session_can_be_made_to_never_expire";
    let store = subject.store(Settings::lifetimes(Some(HOUR), Some(HOUR)));
    let mut session = login(&*store, "ann");
    session.set_lifetime(own(None, None));
    save(&*store, &mut session);
    assert_eq!(load(&*store, &id(&session)).expires(), None);
    if !subject.advance(10_000 * HOUR) {
        return skip(CLAIM, "let time pass");
    }
    assert!(store.has_session(&id(&session)).unwrap());
    assert_eq!(store.sessions_of("ann").unwrap().len(), 1);
    session = load(&*store, &id(&session));
    session.set_lifetime(None);
    save(&*store, &mut session);
    assert_absent(&*store, &id(&session));
}

/// By the session, and by the lifetimes of its store.
pub fn the_end_of_a_session_can_be_read(subject: &dyn Subject) {
    let settings = Settings::lifetimes(Some(HOUR), Some(8 * HOUR));
    let store = subject.store(settings);
    assert_eq!(store.lifetime(), settings.lifetime);
    let session = login(&*store, "ann");
    assert_eq!(session.expires(), session.accessed().map(|at| at + HOUR));
    let loaded = load(&*store, &id(&session));
    assert_eq!(loaded.expires(), session.expires());
    assert_eq!(
        login(&*subject.store(Settings::default()), "ann").expires(),
        None
    );
}

/// But not a login.
pub fn the_time_of_creation_survives_changes_and_new_ids(subject: &dyn Subject) {
    let store = subject.store(Settings::default());
    let mut session = login(&*store, "ann");
    let created = session.created();
    let created = match subject.advance(HOUR) {
        true => noted(subject, created, HOUR),
        false => created,
    };
    session.insert("n", &7u64).unwrap();
    save(&*store, &mut session);
    renew(&*store, &mut session);
    assert_eq!(load(&*store, &id(&session)).created(), created);
}

/// A look is no use of a session.
pub fn loading_alone_writes_nothing_and_prolongs_nothing(subject: &dyn Subject) {
    const CLAIM: &str = "loading_alone_writes_nothing_and_prolongs_nothing";
    let store = subject.store(Settings::idle(HOUR));
    let session = login(&*store, "ann");
    let passed = HOUR - subject.grain();
    if !subject.advance(passed) {
        return skip(CLAIM, "let time pass");
    }
    let before = subject.at_rest();
    let accessed = noted(subject, session.accessed(), passed);
    assert_eq!(load(&*store, &id(&session)).accessed(), accessed);
    assert!(subject.at_rest() == before, "something was written");
    subject.advance(subject.grain());
    assert_absent(&*store, &id(&session));
}

/// Its time is noted, nothing else.
pub fn a_touch_changes_no_content_and_no_version(subject: &dyn Subject) {
    const CLAIM: &str = "a_touch_changes_no_content_and_no_version";
    let store = subject.store(Settings::default());
    let mut session = login(&*store, "ann");
    session.insert("n", &7u64).unwrap();
    save(&*store, &mut session);
    if !subject.advance(HOUR) {
        return skip(CLAIM, "let time pass");
    }
    assert!(store.touch_session(&id(&session)).unwrap());
    let touched = load(&*store, &id(&session));
    let accessed = noted(subject, session.accessed(), HOUR).map(|at| at + HOUR);
    assert!(touched.accessed() >= accessed && touched.accessed() <= Some(store.now()));
    assert_eq!(
        (touched.version(), touched.get::<u64>("n").unwrap()),
        (2, Some(7))
    );
    session.insert("m", &8u64).unwrap();
    save(&*store, &mut session);
}

/// And counts it, unless a server has dropped it by itself.
pub fn a_sweep_deletes_what_has_ended_counts_it_and_leaves_the_rest(subject: &dyn Subject) {
    const CLAIM: &str = "a_sweep_deletes_what_has_ended_counts_it_and_leaves_the_rest";
    let store = subject.store(Settings::idle(HOUR));
    for _ in 0..3 {
        login(&*store, "ann");
    }
    let mut anonymous = Session::new();
    anonymous.insert("cart", "tea").unwrap();
    save(&*store, &mut anonymous);
    if !subject.keeps_what_has_ended() || !subject.advance(HOUR) {
        return skip(CLAIM, "let time pass and keep what has ended");
    }
    let bob = login(&*store, "bob");
    assert_eq!(store.delete_old_sessions(Duration::MAX).unwrap(), (4, 1));
    assert_eq!(store.delete_old_sessions(Duration::MAX).unwrap(), (0, 1));
    assert!(store.has_session(&id(&bob)).unwrap());
}

/// By the time that the caller gives.
pub fn a_sweep_by_idle_time_works_without_configured_lifetimes(subject: &dyn Subject) {
    const CLAIM: &str = "a_sweep_by_idle_time_works_without_configured_lifetimes";
    let store = subject.store(Settings::default());
    let [old, used] = [(); 2].map(|()| id(&login(&*store, "ann")));
    let mut renewed = login(&*store, "ann");
    if !subject.advance(HOUR) {
        return skip(CLAIM, "let time pass");
    }
    assert!(store.touch_session(&used).unwrap());
    renew(&*store, &mut renewed);
    assert_eq!(store.delete_old_sessions(HOUR).unwrap(), (1, 2));
    assert_absent(&*store, &old);
    assert_eq!(store.sessions_of("ann").unwrap().len(), 2);
}

/// Nothing comes of nothing.
pub fn a_sweep_of_an_empty_store_deletes_none_of_none(subject: &dyn Subject) {
    let store = subject.store(Settings::default());
    assert_eq!(store.delete_old_sessions(Duration::ZERO).unwrap(), (0, 0));
}

/// With what is in them.
pub fn all_sessions_can_be_listed_with_their_content(subject: &dyn Subject) {
    let store = subject.store(Settings::default());
    let mut ann = login(&*store, "ann");
    ann.insert("n", &7u64).unwrap();
    save(&*store, &mut ann);
    login(&*store, "bob");
    let listed = store.iter_sessions().map(|session| session.unwrap());
    let listed: Vec<Session> = listed.collect();
    let found = listed
        .iter()
        .find(|session| session.handle() == ann.handle());
    assert_eq!(found.unwrap().get::<u64>("n").unwrap(), Some(7));
    assert_eq!(users(&*store), ["ann", "bob"]);
    assert_eq!(found.unwrap().id().is_none(), subject.hashes_ids());
}

/// None twice and none left out.
pub fn a_thousand_sessions_are_listed_and_counted(subject: &dyn Subject) {
    let store = subject.store(Settings::default());
    for nth in 0..1_000 {
        login(&*store, &format!("user {}", nth % 7));
    }
    assert_eq!(count(&*store), 1_000);
    assert_eq!(store.sessions_of("user 0").unwrap().len(), 143);
    assert_eq!(store.delete_old_sessions(HOUR).unwrap(), (0, 1_000));
}

/// The list goes on.
pub fn a_session_that_is_deleted_while_a_list_runs_is_no_error(subject: &dyn Subject) {
    let store = subject.store(Settings::default());
    let ids = [(); 10].map(|()| id(&login(&*store, "ann")));
    let mut listed = store.iter_sessions();
    assert!(listed.next().unwrap().is_ok());
    for id in &ids {
        assert!(store.delete_session(id).unwrap());
    }
    assert!(listed.all(|session| session.is_ok()));
}

/// An update is a use, also one that changes nothing; and so is a save.
pub fn an_update_counts_as_use(subject: &dyn Subject) {
    const CLAIM: &str = "an_update_counts_as_use";
    let store = subject.store(Settings::idle(HOUR));
    let mut session = login(&*store, "ann");
    let id = id(&session);
    let update = |change: &mut dyn FnMut(&mut Session) -> crate::Result<()>| {
        let updated = store.edit_session(&id, change).unwrap();
        updated.expect("it is there")
    };
    for nth in 0..3 {
        if !subject.advance(HOUR - margin(subject)) {
            return skip(CLAIM, "let time pass");
        }
        match nth {
            0 => assert_eq!(update(&mut |_| Ok(())).version(), 1, "nothing was changed"),
            1 => session = update(&mut |session| session.insert("n", &7u64).map(drop)),
            _ => {
                session.insert("n", &8u64).unwrap();
                save(&*store, &mut session);
            }
        }
    }
    subject.advance(HOUR - margin(subject));
    assert_eq!(load(&*store, &id).version(), 3);
}
