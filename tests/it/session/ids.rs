//! Ids: how they are drawn, and a new one for a session that has one.

use super::*;

#[test]
fn a_new_id_ends_the_old_one() {
    on_each(
        |_| (),
        |bench| {
            let store = &*bench.store;
            let mut session = Session::new();
            let token = session.create_form_token().unwrap();
            save(store, &mut session);
            let old = id(&session);
            (bench.advance)(HOUR);
            session.set_user(Some("ann"));
            assert!(matches!(
                store.regenerate_id(&mut session).unwrap(),
                Saved::Stored
            ));

            assert_absent(store, &old);
            let renewed = load(store, &id(&session));
            assert_eq!(
                (renewed.user(), renewed.has_form_token(&token)),
                (Some("ann"), false),
                "who planted the id knows the token"
            );
            assert_eq!((renewed.version(), session.version()), (2, 2));
            assert_eq!(
                renewed.created(),
                Some(start() + HOUR),
                "the absolute lifetime begins with the login"
            );
            assert_eq!(store.iter_sessions().count(), 1);

            // It can be saved and renewed again.
            for is_changed in [false, true] {
                session.insert("is changed", &false).unwrap();
                save(store, &mut session);
                (bench.advance)(HOUR);
                session.insert("is changed", &is_changed).unwrap();
                assert!(matches!(
                    store.regenerate_id(&mut session).unwrap(),
                    Saved::Stored
                ));
                assert_eq!(store.iter_sessions().count(), 1);
                assert_eq!(
                    session.created(),
                    renewed.created(),
                    "a new id alone does not make it younger"
                );
            }
        },
    );
}

#[test]
fn a_new_id_loses_nobodys_changes() {
    on_each_store(|store| {
        let id = id(&login(store, "ann"));
        let [mut changed, mut renewing] = [load(store, &id), load(store, &id)];
        let mut unmodified = load(store, &id);
        changed.insert("cart", "tea").unwrap();
        save(store, &mut changed);

        renewing.set_user(Some("bob"));
        assert!(matches!(
            store.regenerate_id(&mut renewing).unwrap(),
            Saved::Conflict(_)
        ));
        assert!(store.has_session(&id).unwrap());

        // A copy without changes of its own takes those of the others along.
        assert!(matches!(
            store.regenerate_id(&mut unmodified).unwrap(),
            Saved::Stored
        ));
        assert_eq!(unmodified.get::<String>("cart").unwrap().unwrap(), "tea");
        assert_absent(store, &id);
    });
}

#[test]
fn a_session_that_was_never_stored_gets_its_first_id() {
    on_each_store(|store| {
        let mut session = Session::new();
        assert!(matches!(
            store.regenerate_id(&mut session).unwrap(),
            Saved::Empty
        ));
        session.set_user(Some("ann"));
        assert!(matches!(
            store.regenerate_id(&mut session).unwrap(),
            Saved::Stored
        ));
        assert_eq!(load(store, &id(&session)).user(), Some("ann"));
    });
}
