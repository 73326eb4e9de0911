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
            session.insert("cart", "tea").unwrap();
            save(store, &mut session);
            (bench.advance)(HOUR);
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

#[test]
fn a_hundred_thousand_ids_have_no_collision_and_every_bit_of_them_is_drawn() {
    const COUNT: u32 = 100_000;
    let store = MemorySessionStore::new();
    let mut seen = BTreeSet::new();
    let mut ones = [0u32; 128];
    for nth in 0..COUNT {
        let mut session = Session::new();
        session.insert("n", &nth).unwrap();
        save(&store, &mut session);
        let bits: [u8; 16] = key_of(session.id().unwrap())[2..].try_into().unwrap();
        let bits = u128::from_be_bytes(bits);
        for (at, ones) in ones.iter_mut().enumerate() {
            *ones += u32::from(bits >> at & 1 == 1);
        }
        assert!(seen.insert(bits), "an id was drawn twice");
    }
    // Thirty standard deviations: chance does not come so far.
    for (at, ones) in ones.into_iter().enumerate() {
        assert!(ones.abs_diff(COUNT / 2) < 5_000, "bit {at}: {ones} ones");
    }
}
