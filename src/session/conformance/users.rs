//! A user's sessions.

use super::*;

fn handles_of(store: &dyn SessionStore, user: &str) -> Vec<SessionHandle> {
    let mut handles: Vec<_> = store
        .sessions_of(user)
        .unwrap()
        .iter()
        .map(handle)
        .collect();
    handles.sort();
    handles
}

fn sorted<const N: usize>(sessions: [&Session; N]) -> Vec<SessionHandle> {
    let mut handles: Vec<_> = sessions.into_iter().map(handle).collect();
    handles.sort();
    handles
}

/// All of them, and nobody else's.
pub fn the_sessions_of_a_user_are_found(subject: &dyn Subject) {
    let store = subject.store(Settings::default());
    let (one, two) = (login(&*store, "ann"), login(&*store, "ann"));
    login(&*store, "bob");
    assert_eq!(handles_of(&*store, "ann"), sorted([&one, &two]));
    assert!(
        store
            .sessions_of("ann")
            .unwrap()
            .iter()
            .all(|found| found.user() == Some("ann"))
    );
}

/// The least recently used comes first.
pub fn the_sessions_of_a_user_are_in_the_order_of_their_use(subject: &dyn Subject) {
    const CLAIM: &str = "the_sessions_of_a_user_are_in_the_order_of_their_use";
    let store = subject.store(Settings::default());
    let mut sessions = Vec::new();
    for _ in 0..5 {
        sessions.push(login(&*store, "ann"));
        if !subject.advance(HOUR) {
            return skip(CLAIM, "let time pass");
        }
    }
    assert!(store.touch_session(&id(&sessions[1])).unwrap());
    let found = store.sessions_of("ann").unwrap();
    let wanted = [0, 2, 3, 4, 1].map(|at: usize| handle(&sessions[at]));
    assert_eq!(found.iter().map(handle).collect::<Vec<_>>(), wanted);
}

/// Not in any list.
pub fn a_session_that_was_logged_out_is_not_found_under_the_user(subject: &dyn Subject) {
    let store = subject.store(Settings::default());
    let (one, two) = (login(&*store, "ann"), login(&*store, "ann"));
    assert!(store.delete_session(&id(&one)).unwrap());
    assert_eq!(handles_of(&*store, "ann"), sorted([&two]));
}

/// Nor under both.
pub fn a_session_whose_user_changed_is_found_under_the_new_one_only(subject: &dyn Subject) {
    let store = subject.store(Settings::default());
    let mut session = login(&*store, "ann");
    session.set_user(Some("bob"));
    save(&*store, &mut session);
    assert!(store.sessions_of("ann").unwrap().is_empty());
    assert_eq!(handles_of(&*store, "bob"), sorted([&session]));
    let edit = &mut |session: &mut Session| {
        session.set_user(Some("cleo"));
        Ok(())
    };
    assert!(store.edit_session(&id(&session), edit).unwrap().is_some());
    assert!(store.sessions_of("bob").unwrap().is_empty());
    assert_eq!(handles_of(&*store, "cleo"), sorted([&session]));
}

/// But is there again if it can be used again.
pub fn an_expired_session_is_not_found_under_its_user(subject: &dyn Subject) {
    const CLAIM: &str = "an_expired_session_is_not_found_under_its_user";
    let store = subject.store(Settings::idle(HOUR));
    login(&*store, "ann");
    if !subject.advance(HOUR) {
        return skip(CLAIM, "let time pass");
    }
    assert!(store.sessions_of("ann").unwrap().is_empty());
    let session = login(&*store, "ann");
    assert_eq!(handles_of(&*store, "ann"), sorted([&session]));
}

/// However often it is used.
pub fn a_session_in_use_is_found_under_its_user_for_as_long_as_it_lives(subject: &dyn Subject) {
    const CLAIM: &str = "a_session_in_use_is_found_under_its_user_for_as_long_as_it_lives";
    let store = subject.store(Settings::idle(HOUR));
    let session = login(&*store, "ann");
    for _ in 0..100 {
        if !subject.advance(50 * MINUTE) {
            return skip(CLAIM, "let time pass");
        }
        assert!(store.touch_session(&id(&session)).unwrap());
        assert_eq!(handles_of(&*store, "ann"), sorted([&session]));
    }
    subject.advance(HOUR);
    assert!(store.sessions_of("ann").unwrap().is_empty());
}

/// In one step.
pub fn a_new_id_is_found_under_the_user_and_the_old_one_is_not(subject: &dyn Subject) {
    let store = subject.store(Settings::default());
    let mut session = login(&*store, "ann");
    let old = handle(&session);
    renew(&*store, &mut session);
    assert_eq!(handles_of(&*store, "ann"), sorted([&session]));
    assert!(!store.delete_user_session("ann", &old).unwrap());
    session.set_user(Some("bob"));
    renew(&*store, &mut session);
    assert!(store.sessions_of("ann").unwrap().is_empty());
    assert_eq!(handles_of(&*store, "bob"), sorted([&session]));
}

/// And they are counted.
pub fn all_sessions_of_a_user_can_be_ended(subject: &dyn Subject) {
    let store = subject.store(Settings::default());
    let sessions = [(); 100].map(|()| login(&*store, "ann"));
    login(&*store, "bob");
    assert_eq!(store.delete_user_sessions("ann").unwrap(), 100);
    for session in &sessions {
        assert!(!store.has_session(&id(session)).unwrap());
    }
    assert_eq!(users(&*store), ["bob"]);
    assert!(store.sessions_of("ann").unwrap().is_empty());
}

/// "Log out everywhere else".
pub fn all_sessions_of_a_user_but_the_current_one_can_be_ended(subject: &dyn Subject) {
    let store = subject.store(Settings::default());
    let sessions = [(); 5].map(|()| login(&*store, "ann"));
    login(&*store, "bob");
    let ended = store.delete_user_sessions_except("ann", &handle(&sessions[2]));
    assert_eq!(ended.unwrap(), 4);
    assert_eq!(handles_of(&*store, "ann"), sorted([&sessions[2]]));
    assert_eq!(users(&*store), ["ann", "bob"]);
}

/// "Log out there", on a page that can't end anybody else's.
pub fn one_session_of_a_user_can_be_ended_and_nobody_elses(subject: &dyn Subject) {
    let store = subject.store(Settings::default());
    let (here, there) = (login(&*store, "ann"), login(&*store, "ann"));
    let bob = login(&*store, "bob");
    assert!(!store.delete_user_session("ann", &handle(&bob)).unwrap());
    assert!(store.delete_user_session("ann", &handle(&there)).unwrap());
    assert!(!store.delete_user_session("ann", &handle(&there)).unwrap());
    assert_eq!(handles_of(&*store, "ann"), sorted([&here]));
    assert!(store.has_session(&id(&bob)).unwrap());
}

/// Names are compared as they are.
pub fn users_that_differ_in_case_prefix_or_normal_form_are_different_users(subject: &dyn Subject) {
    let store = subject.store(Settings::default());
    let users = [
        "ann", "Ann", "an", "annn", "ann ", "", "\u{e9}", "e\u{301}", "ann\0",
    ];
    let sessions = users.map(|user| login(&*store, user));
    for (user, session) in users.into_iter().zip(&sessions) {
        assert_eq!(handles_of(&*store, user), sorted([session]), "{user:?}");
    }
    assert_eq!(store.delete_user_sessions("ann").unwrap(), 1);
    assert_eq!(count(&*store), users.len() - 1);
}

/// New ids, other users and logouts.
pub fn a_list_of_many_sessions_follows_every_change(subject: &dyn Subject) {
    let store = subject.store(Settings::default());
    let mut sessions: Vec<Session> = (0..200).map(|_| login(&*store, "ann")).collect();
    for (nth, session) in sessions.iter_mut().enumerate() {
        match nth % 4 {
            0 => renew(&*store, session),
            1 => {
                session.set_user(Some("bob"));
                save(&*store, session);
            }
            2 => assert!(store.delete_session(&id(session)).unwrap()),
            _ => {}
        }
    }
    for user in ["ann", "bob"] {
        let is_there = |session: &&Session| {
            let loaded = store.load_session(&id(session)).unwrap();
            loaded.is_some_and(|loaded| loaded.user() == Some(user))
        };
        let mut wanted: Vec<_> = sessions.iter().filter(is_there).map(handle).collect();
        wanted.sort();
        assert_eq!(handles_of(&*store, user), wanted);
        assert_eq!(store.delete_user_sessions(user).unwrap(), wanted.len());
        assert!(store.sessions_of(user).unwrap().is_empty());
    }
    assert_eq!(count(&*store), 0);
}
