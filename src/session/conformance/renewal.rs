//! A new id for an old session.

use super::*;
use crate::SessionStoreExt;

/// With all that it holds.
pub fn a_new_id_has_the_same_content(subject: &dyn Subject) {
    let store = subject.store(Settings::default());
    let mut session = login(&*store, "ann");
    session.insert("n", &7u64).unwrap();
    let token = session.create_form_token().unwrap();
    save(&*store, &mut session);
    let old = id(&session);
    renew(&*store, &mut session);
    let loaded = load(&*store, &id(&session));
    assert_ne!(id(&session), old);
    assert_eq!(
        (loaded.user(), loaded.get::<u64>("n").unwrap()),
        (Some("ann"), Some(7))
    );
    assert!(loaded.has_form_token(&token));
}

/// For every way to ask; and for a moment the store knows why.
pub fn the_old_id_is_absent_afterwards(subject: &dyn Subject) {
    let store = subject.store(Settings::default());
    let mut sessions = [(); 2].map(|()| login(&*store, "ann"));
    let [old, replaced] = sessions.each_ref().map(id);
    for session in &mut sessions {
        renew(&*store, session);
    }
    assert_absent(&*store, &old);
    assert!(!store.delete_session(&old).unwrap());
    assert_eq!(store.delete_by_handle(old.handle()).unwrap(), 0);
    assert!(!store.was_replaced(&id(&sessions[1])).unwrap());
    let remembers = store.was_replaced(&replaced).unwrap();
    if remembers && subject.advance(MINUTE / 2) {
        assert!(store.was_replaced(&replaced).unwrap(), "for a minute");
        subject.advance(2 * MINUTE);
        assert!(!store.was_replaced(&replaced).unwrap(), "and no longer");
    }
}

/// In the same step.
pub fn changes_made_before_a_new_id_are_stored_with_it(subject: &dyn Subject) {
    let store = subject.store(Settings::default());
    let mut session = login(&*store, "ann");
    session.insert("n", &7u64).unwrap();
    renew(&*store, &mut session);
    assert_eq!(
        load(&*store, &id(&session)).get::<u64>("n").unwrap(),
        Some(7)
    );
}

/// As ever.
pub fn changes_made_after_a_new_id_are_stored_under_it(subject: &dyn Subject) {
    let store = subject.store(Settings::default());
    let mut session = login(&*store, "ann");
    renew(&*store, &mut session);
    session.insert("n", &7u64).unwrap();
    save(&*store, &mut session);
    assert_eq!(
        load(&*store, &id(&session)).get::<u64>("n").unwrap(),
        Some(7)
    );
}

/// Under the last id.
pub fn two_new_ids_in_a_row_leave_one_session(subject: &dyn Subject) {
    let store = subject.store(Settings::default());
    let mut session = login(&*store, "ann");
    renew(&*store, &mut session);
    renew(&*store, &mut session);
    assert_eq!(count(&*store), 1);
    assert!(store.has_session(&id(&session)).unwrap());
}

/// It is its first id.
pub fn a_new_id_for_a_session_that_was_never_stored_stores_it(subject: &dyn Subject) {
    let store = subject.store(Settings::default());
    let mut session = Session::new();
    session.set_user(Some("ann"));
    renew(&*store, &mut session);
    assert_eq!(load(&*store, &id(&session)).user(), Some("ann"));
}

/// With changes and without.
pub fn a_new_id_for_a_deleted_session_is_refused_and_stores_nothing(subject: &dyn Subject) {
    let store = subject.store(Settings::default());
    let mut session = login(&*store, "ann");
    assert!(store.delete_session(&id(&session)).unwrap());
    assert!(is_gone(store.regenerate_id(&mut session)));
    session.insert("n", &7u64).unwrap();
    assert!(is_gone(store.regenerate_id(&mut session)));
    assert_eq!(count(&*store), 0);
}

/// The other is told.
pub fn of_two_requests_that_give_new_ids_at_once_one_wins(subject: &dyn Subject) {
    let store = subject.store(Settings::default());
    let mut session = login(&*store, "ann");
    let mut other = load(&*store, &id(&session));
    renew(&*store, &mut session);
    assert!(is_gone(store.regenerate_id(&mut other)));
    assert_eq!(count(&*store), 1);
    assert_eq!(
        store.sessions_of("ann").unwrap()[0].handle(),
        session.handle()
    );
}

/// The stored session moves.
pub fn a_new_id_for_an_unmodified_copy_keeps_what_another_request_changed(subject: &dyn Subject) {
    let store = subject.store(Settings::default());
    let mut session = login(&*store, "ann");
    let updated = store.update_session(&id(&session), |session| session.insert("n", &7u64));
    assert!(updated.unwrap().is_some());
    renew(&*store, &mut session);
    assert_eq!(
        load(&*store, &id(&session)).get::<u64>("n").unwrap(),
        Some(7)
    );
}

/// And brings nothing back.
pub fn what_is_saved_with_the_old_id_afterwards_is_told_that_it_is_gone(subject: &dyn Subject) {
    let store = subject.store(Settings::default());
    let mut session = login(&*store, "ann");
    let mut slow = load(&*store, &id(&session));
    renew(&*store, &mut session);
    slow.insert("late", &true).unwrap();
    assert!(is_gone(store.save_session(&mut slow)));
    assert_absent(&*store, &id(&slow));
}

/// A new id alone does not.
pub fn a_login_gives_the_session_its_full_absolute_lifetime_again(subject: &dyn Subject) {
    const CLAIM: &str = "a_login_gives_the_session_its_full_absolute_lifetime_again";
    let store = subject.store(Settings::lifetimes(None, Some(2 * HOUR)));
    let mut session = Session::new();
    session.insert("cart", "tea").unwrap();
    save(&*store, &mut session);
    if !subject.advance(HOUR) {
        return skip(CLAIM, "let time pass");
    }
    session.set_user(Some("ann"));
    renew(&*store, &mut session);
    let end = session.expires();
    assert_eq!(end, session.accessed().map(|at| at + 2 * HOUR));
    subject.advance(HOUR);
    renew(&*store, &mut session);
    let end = noted(subject, end, HOUR);
    assert_eq!(session.expires(), end, "this is no login");
    session.confirm();
    renew(&*store, &mut session);
    assert_eq!(
        session.expires(),
        session.accessed().map(|at| at + 2 * HOUR)
    );
    assert!(store.has_session(&id(&session)).unwrap());
}

/// The idle lifetime starts again.
pub fn a_new_id_counts_as_use(subject: &dyn Subject) {
    const CLAIM: &str = "a_new_id_counts_as_use";
    let store = subject.store(Settings::idle(HOUR));
    let mut session = login(&*store, "ann");
    if !subject.advance(HOUR - margin(subject)) {
        return skip(CLAIM, "let time pass");
    }
    renew(&*store, &mut session);
    subject.advance(HOUR - margin(subject));
    assert!(store.has_session(&id(&session)).unwrap());
}
