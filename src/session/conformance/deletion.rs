//! A deleted session stays deleted.

use super::*;
use crate::{Existing, SessionCap};

/// A slow request does not undo a logout.
pub fn saving_a_deleted_session_does_not_bring_it_back(subject: &dyn Subject) {
    let store = subject.store(Settings::default());
    let mut session = login(&*store, "ann");
    assert!(store.delete_session(&id(&session)).unwrap());
    session.insert("late", &true).unwrap();
    assert!(is_gone(store.save_session(&mut session)));
    assert_absent(&*store, &id(&session));
}

/// Nor does one that only reads.
pub fn touching_or_saving_unmodified_after_a_delete_does_not_bring_it_back(subject: &dyn Subject) {
    let store = subject.store(Settings::default());
    let mut session = login(&*store, "ann");
    assert!(store.delete_session(&id(&session)).unwrap());
    assert!(!store.touch_session(&id(&session)).unwrap());
    assert!(is_gone(store.save_session(&mut session)));
    assert_absent(&*store, &id(&session));
}

/// Saving it deletes it.
pub fn a_session_that_lost_all_it_held_is_deleted(subject: &dyn Subject) {
    let store = subject.store(Settings::default());
    let mut session = login(&*store, "ann");
    let old = id(&session);
    session.set_user(None);
    let saved = store.save_session(&mut session).unwrap();
    assert!(matches!(saved, Saved::Empty) && session.id().is_none());
    assert_absent(&*store, &old);
    assert!(store.sessions_of("ann").unwrap().is_empty());
    // Unless another request has changed it.
    let mut changed = login(&*store, "bob");
    let mut emptied = load(&*store, &id(&changed));
    changed.insert("n", &7u64).unwrap();
    save(&*store, &mut changed);
    emptied.set_user(None);
    let saved = store.save_session(&mut emptied).unwrap();
    assert!(matches!(saved, Saved::Conflict(_)));
    assert!(store.has_session(&id(&changed)).unwrap());
    // In an update, too.
    let id = id(&login(&*store, "ann"));
    let left = store.edit_session(&id, &mut |session| {
        session.set_user(None);
        Ok(())
    });
    let left = left.unwrap().expect("it was there");
    assert!(left.id().is_none() && left.version() == 0);
    assert_absent(&*store, &id);
}

/// For every way to ask.
pub fn a_deleted_session_is_absent(subject: &dyn Subject) {
    let store = subject.store(Settings::default());
    let id = id(&login(&*store, "ann"));
    assert!(store.delete_session(&id).unwrap());
    assert_absent(&*store, &id);
}

/// There is nothing to delete.
pub fn deleting_what_is_not_there_is_no_error(subject: &dyn Subject) {
    let store = subject.store(Settings::default());
    assert!(!store.delete_session(&UNKNOWN.parse().unwrap()).unwrap());
    assert_eq!(store.delete_user_sessions("nobody").unwrap(), 0);
    let handle = "5d2611d5a4dd".parse().unwrap();
    assert_eq!(store.delete_by_handle(handle).unwrap(), 0);
    assert!(!store.delete_user_session("nobody", &handle).unwrap());
    assert_eq!(
        store
            .delete_user_sessions_except("nobody", &handle)
            .unwrap(),
        0
    );
}

/// The second says that there was none.
pub fn deleting_twice_is_no_error(subject: &dyn Subject) {
    let store = subject.store(Settings::default());
    let id = id(&login(&*store, "ann"));
    assert!(store.delete_session(&id).unwrap());
    assert!(!store.delete_session(&id).unwrap());
}

/// It takes itself alone.
pub fn deleting_one_leaves_the_others(subject: &dyn Subject) {
    let store = subject.store(Settings::default());
    let ann = login(&*store, "ann");
    login(&*store, "ann");
    login(&*store, "bob");
    assert!(store.delete_session(&id(&ann)).unwrap());
    assert_eq!(users(&*store), ["ann", "bob"]);
    assert_eq!(
        store
            .delete_by_handle(handle(&login(&*store, "cleo")))
            .unwrap(),
        1
    );
    assert_eq!(users(&*store), ["ann", "bob"]);
    let two = [(); 2].map(|()| handle(&login(&*store, "dora")));
    let unknown = id(&ann).handle();
    let is_meant = |handle| handle == unknown || two.contains(&handle);
    let deleted = store.delete_by_handles(&is_meant).unwrap();
    assert!(deleted == two || deleted == [two[1], two[0]], "{deleted:?}");
    assert_eq!(users(&*store), ["ann", "bob"]);
}

/// By `setup`.
pub fn all_sessions_can_be_removed_at_once(subject: &dyn Subject) {
    let store = subject.store(Settings::default());
    login(&*store, "ann");
    login(&*store, "bob");
    store.setup(Existing::Keep).unwrap();
    assert_eq!(count(&*store), 2);
    store.setup(Existing::Overwrite).unwrap();
    assert_eq!(count(&*store), 0);
    assert!(store.sessions_of("ann").unwrap().is_empty());
    login(&*store, "ann");
    assert_eq!(store.sessions_of("ann").unwrap().len(), 1);
}

/// And takes an empty one.
pub fn setup_refuses_a_store_with_sessions_when_asked_to(subject: &dyn Subject) {
    let store = subject.store(Settings::default());
    store.setup(Existing::Fail).unwrap();
    let ended = login(&*store, "ann");
    assert!(store.delete_session(&id(&ended)).unwrap());
    store.setup(Existing::Fail).unwrap();
    login(&*store, "ann");
    let refused = store.setup(Existing::Fail).unwrap_err();
    assert_eq!(refused.kind(), crate::ErrorKind::AlreadyExists);
    assert_eq!(users(&*store), ["ann"]);
}

/// Under another id.
pub fn after_a_delete_the_same_copy_emptied_starts_a_new_session(subject: &dyn Subject) {
    let store = subject.store(Settings::default());
    let mut session = login(&*store, "ann");
    let old = id(&session);
    session.set_user(None);
    assert!(matches!(
        store.save_session(&mut session).unwrap(),
        Saved::Empty
    ));
    session.insert("n", &7u64).unwrap();
    save(&*store, &mut session);
    assert_ne!(id(&session), old);
    assert_absent(&*store, &old);
    assert_eq!(load(&*store, &id(&session)).version(), 1);
}

/// And more are refused, or the oldest go.
pub fn a_user_has_no_more_sessions_than_a_cap_allows(subject: &dyn Subject) {
    let store = subject.store(Settings::default());
    let log_in = |user: &str, cap| {
        let mut session = Session::new();
        session.set_user(Some(user));
        let saved = store.regenerate_id_capped(&mut session, cap).unwrap();
        (session, saved)
    };
    let mut sessions = Vec::new();
    for _ in 0..4 {
        let (session, saved) = log_in("ann", SessionCap::EndOldest(2));
        assert!(matches!(saved, Saved::Stored));
        sessions.push(session);
        subject.advance(SECOND);
    }
    let ids: Vec<_> = sessions.iter().map(id).collect();
    let is_there = |at: usize| store.has_session(&ids[at]).unwrap();
    assert_eq!(store.sessions_of("ann").unwrap().len(), 2);
    assert!(is_there(3));
    if subject.advance(SECOND) {
        assert!(is_there(2) && !is_there(0), "not the oldest was ended");
    }
    assert!(matches!(
        log_in("ann", SessionCap::Refuse(2)).1,
        Saved::Full
    ));
    assert!(matches!(
        log_in("bob", SessionCap::Refuse(2)).1,
        Saved::Stored
    ));
    // It takes its own place.
    let mut old = sessions[3].clone();
    let saved = store.regenerate_id_capped(&mut sessions[3], SessionCap::Refuse(2));
    assert!(matches!(saved.unwrap(), Saved::Stored));
    assert_eq!(store.sessions_of("ann").unwrap().len(), 2);
    // With an id that is dead no room would help.
    let saved = store.regenerate_id_capped(&mut old, SessionCap::Refuse(2));
    assert!(matches!(saved.unwrap(), Saved::Gone));
    // Nor does a login that is not stored take anybody's.
    let saved = store.regenerate_id_capped(&mut old, SessionCap::EndOldest(1));
    assert!(matches!(saved.unwrap(), Saved::Gone));
    assert_eq!(store.sessions_of("ann").unwrap().len(), 2);
    // One that is older and in use stays.
    let [used, unused] = [(); 2].map(|()| id(&log_in("cleo", SessionCap::EndOldest(2)).0));
    if subject.advance(2 * MINUTE) {
        assert!(store.touch_session(&used).unwrap());
        let saved = log_in("cleo", SessionCap::EndOldest(2)).1;
        assert!(matches!(saved, Saved::Stored));
        assert!(store.has_session(&used).unwrap() && !store.has_session(&unused).unwrap());
    }
}
