//! Changes in place, which nobody comes between.

use super::*;

#[test]
fn an_update_is_one_step() {
    on_each_store(|store| {
        let id = id(&login(store, "ann"));
        let n = store.update_session(&id, |session| {
            session.insert("n", &1u64)?;
            Ok("answer")
        });
        assert_eq!(n.unwrap(), Some("answer"));
        let session = load(store, &id);
        assert_eq!(
            (session.get::<u64>("n").unwrap(), session.version()),
            (Some(1), 2)
        );
    });
}

#[test]
fn an_update_that_fails_or_panics_changes_nothing() {
    on_each_store(|store| {
        let id = id(&login(store, "ann"));
        let error = store
            .update_session(&id, |session| {
                session.set_user(Some("mallory"));
                Err::<(), _>(Error::other("no"))
            })
            .unwrap_err();
        assert_eq!(
            (error.kind(), error.to_string().as_str()),
            (ErrorKind::Other, "no")
        );
        let panicked = thread::scope(|scope| {
            scope
                .spawn(|| {
                    store.update_session(&id, |session| -> Result<()> {
                        session.set_user(Some("mallory"));
                        panic!("in the closure")
                    })
                })
                .join()
        });
        assert!(panicked.is_err());
        assert_eq!(load(store, &id).user(), Some("ann"));
        assert!(store.delete_session(&id).unwrap(), "the lock is free");
    });
}

#[test]
fn inside_an_update_reading_works_and_writing_is_refused() {
    on_each_store(refuses_to_write_inside_an_update);
}

/// Of a store without sessions.
pub(crate) fn refuses_to_write_inside_an_update(store: &dyn SessionStore) {
    let ann = id(&login(store, "ann"));
    let bob = id(&login(store, "bob"));
    let updated = store.update_session(&ann, |session| {
        assert_eq!(load(store, &bob).user(), Some("bob"));
        assert_eq!(store.iter_sessions().count(), 2);
        let mut changed = load(store, &bob);
        changed.set_user(Some("cleo"));
        let handle = bob.handle();
        let refusals = [
            store.delete_session(&bob).unwrap_err(),
            store.update_session(&ann, |_| Ok(())).unwrap_err(),
            store.save_session(&mut changed).unwrap_err(),
            store.regenerate_id(&mut changed).unwrap_err(),
            store
                .regenerate_id_capped(&mut changed, SessionCap::Refuse(1))
                .unwrap_err(),
            store.delete_user_sessions("nobody").unwrap_err(),
            store.delete_by_handles(&|its| its == handle).unwrap_err(),
            store.delete_old_sessions(Duration::ZERO).unwrap_err(),
            store.import_sessions(&[load(store, &bob)]).unwrap_err(),
            store.setup(Existing::Overwrite).unwrap_err(),
        ];
        for error in refusals {
            assert_eq!(error.kind(), ErrorKind::Reentrant, "{error}");
        }
        session.insert("n", &1u64)
    });
    assert!(updated.unwrap().is_some());
    assert_eq!(store.iter_sessions().count(), 2);
}

/// So that an application may ask for a session by an update, at each request.
#[test]
fn an_update_that_changes_nothing_writes_nothing() {
    let sim = sim();
    let store = SessionOptions::new().with_store(open(&sim)).unwrap();
    let id = id(&login(&store, "ann"));
    let before = sim.read("/sessions.shelf").unwrap();
    let updated = store.edit_session(&id, &mut |session| {
        session.insert("n", &1u64)?;
        session.remove("n");
        Ok(())
    });
    assert!(!updated.unwrap().unwrap().is_modified());
    assert!(sim.read("/sessions.shelf").unwrap() == before);
}

#[test]
fn an_update_that_leaves_nothing_deletes_the_session() {
    on_each_store(|store| {
        let id = id(&login(store, "ann"));
        assert!(
            store
                .update_session(&id, |session| {
                    session.set_user(None);
                    Ok(())
                })
                .unwrap()
                .is_some()
        );
        assert_absent(store, &id);
    });
}

#[test]
fn what_an_update_puts_in_the_place_of_a_session_is_stored_under_its_id() {
    on_each(
        |_| (),
        |bench| {
            let store = &*bench.store;
            let ann = id(&login(store, "ann"));
            let bob = login(store, "bob");
            (bench.advance)(HOUR);
            let stored = store.edit_session(&ann, &mut |session| {
                *session = bob.clone();
                Ok(())
            });
            assert_eq!(stored.unwrap().unwrap().id(), Some(&ann));
            let session = load(store, &ann);
            assert_eq!(
                (session.user(), session.version(), session.created()),
                (Some("bob"), 2, Some(start()))
            );
            store
                .update_session(&ann, |session| {
                    *session = Session::new();
                    session.insert("n", &1u64)
                })
                .unwrap();
            let session = load(store, &ann);
            assert_eq!(
                (session.user(), session.version(), session.created()),
                (None, 3, Some(start()))
            );
            assert!(store.has_session(&id(&bob)).unwrap());
        },
    );
}

/// An operator lowers the limit: the visitor of a larger session goes on with it, and can only make it smaller.
#[test]
fn a_session_over_a_limit_that_was_lowered_is_used_on_and_not_made_larger() {
    let sim = sim();
    let before = SessionOptions::new().with_store(open(&sim)).unwrap();
    let mut session = login(&before, "ann");
    session.insert("text", &"x".repeat(2_000)).unwrap();
    save(&before, &mut session);
    let mut lower = SessionOptions::new();
    lower.idle_lifetime(2 * HOUR).session_bytes_max(1_000);
    let store = lower.with_store(open(&sim)).unwrap();
    for _ in 0..3 {
        sim.advance(HOUR);
        assert!(store.touch_session(&id(&session)).unwrap());
        sim.advance(HOUR);
        save(&store, &mut load(&store, &id(&session)));
    }
    let mut changed = load(&store, &id(&session));
    changed.insert("n", &1u64).unwrap();
    let error = store.save_session(&mut changed).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLarge);
    assert!(error.to_string().contains("raise `session_bytes_max`"));
    changed.remove("n");
    sim.advance(HOUR);
    save(&store, &mut changed);
    sim.advance(HOUR);
    let changed_back = store.update_session(&id(&session), |session| {
        session.insert("n", &1u64)?;
        session.remove("n");
        Ok(())
    });
    changed_back.unwrap().unwrap();
    let mut changed = load(&store, &id(&session));
    changed.insert("text", "x").unwrap();
    save(&store, &mut changed);
}
