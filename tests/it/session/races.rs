//! Requests that come between each other.

use super::*;
use std::sync::atomic::{AtomicBool, Ordering};

/// The act of one of two requests with the copy that both have loaded.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Act {
    Touch,
    SaveRead,
    SaveChanged,
    Update,
    Regenerate,
    Delete,
}

const ACTS: [Act; 6] = [
    Act::Touch,
    Act::SaveRead,
    Act::SaveChanged,
    Act::Update,
    Act::Regenerate,
    Act::Delete,
];

/// The state of the one session that a store must remember; `None` is logged out.
#[derive(Debug, Clone)]
struct Model {
    id: SessionId,
    version: u64,
    marks: BTreeSet<String>,
}

/// A link to its file, or a server in another spelling, is a second name of a store.
#[test]
fn a_store_that_is_mirrored_to_itself_loses_nobody_who_logs_in_meanwhile() {
    on_each_store(|store| {
        // Behind so many, a batch of the copy is done.
        (0..256).for_each(|_| drop(login(store, "ann")));
        let mut late = None;
        let copied = copy_sessions(store, store, Beyond::End, |_| {
            late.get_or_insert_with(|| login(store, "bob"));
        });
        assert_eq!(copied.unwrap().beyond, 0);
        assert!(store.has_session(&id(&late.unwrap())).unwrap());
    });
}

/// So that a copy of large sessions fits into what a store takes in one step, and into memory.
#[test]
fn a_copy_goes_in_batches_of_about_8_mib() {
    let [from, to] = [MemorySessionStore::new(), MemorySessionStore::new()];
    let large = "x".repeat(3 << 20);
    for _ in 0..4 {
        let mut session = Session::new();
        session.insert("text", &large).unwrap();
        save(&from, &mut session);
    }
    let mut told = Vec::new();
    copy_sessions(&from, &to, Beyond::Keep, |copied| told.push(copied.stored)).unwrap();
    assert_eq!(told, [3, 4]);
}

/// The store that is copied to is in use already. An attacker may know the old id.
#[test]
fn a_second_copy_brings_no_id_back_that_was_replaced_since_the_first() {
    on_each_store(|to| {
        let from = MemorySessionStore::new();
        let old = login(&from, "ann");
        copy_sessions(&from, to, Beyond::Keep, |_| {}).unwrap();
        let mut session = load(to, &id(&old));
        assert!(matches!(
            to.regenerate_id(&mut session).unwrap(),
            Saved::Stored
        ));
        let mut late = old.clone();
        late.insert("n", &1u64).unwrap();
        save(&from, &mut late);
        let copied = copy_sessions(&from, to, Beyond::Keep, |_| {}).unwrap();
        assert_eq!((copied.stored, copied.unchanged), (0, 1));
        assert_absent(to, &id(&old));
        assert_eq!(to.sessions_of("ann").unwrap().len(), 1);
    });
}

#[test]
fn a_copy_takes_a_later_use_or_change_along_and_leaves_what_is_there_in_a_later_state() {
    on_each_store(|to| {
        let time = Arc::new(Mutex::new(start()));
        let clock = Arc::clone(&time);
        let from = SessionOptions::new().in_memory_with_clock(move || *clock.lock().unwrap());
        let ann = id(&login(&from, "ann"));
        let copy = || {
            let copied = copy_sessions(&from, to, Beyond::Keep, |_| {}).unwrap();
            (copied.stored, copied.unchanged)
        };
        assert_eq!((copy(), copy()), ((1, 0), (0, 1)));
        *time.lock().unwrap() += HOUR;
        assert!(from.touch_session(&ann).unwrap());
        assert_eq!(copy(), (1, 0));
        let mut session = load(to, &ann);
        assert_eq!(session.accessed(), Some(start() + HOUR));
        session.insert("n", &1u64).unwrap();
        save(to, &mut session);
        assert_eq!(copy(), (0, 1));
        assert!(load(to, &ann).contains_key("n"));
    });
}

#[test]
fn a_mirror_ends_also_what_holds_no_more_than_a_form_token() {
    on_each_store(|store| {
        let mut beyond = Session::new();
        beyond.create_form_token().unwrap();
        save(store, &mut beyond);
        let from = MemorySessionStore::new();
        let copied = copy_sessions(&from, store, Beyond::End, |_| {}).unwrap();
        assert_eq!(copied.beyond, 1);
        assert_absent(store, &id(&beyond));
    });
}

/// All ways in which three requests, each with the copy that it loaded first, can act one after the other.
#[test]
fn in_every_order_of_three_requests_no_change_is_lost_and_no_logout_undone() {
    on_each_store(|store| {
        for first in ACTS {
            for second in ACTS {
                for third in ACTS {
                    let made = login(store, "ann");
                    let id = id(&made);
                    let copies: Vec<_> = (0..3).map(|_| load(store, &id)).collect();
                    let mut model = Some(Model {
                        id,
                        version: 1,
                        marks: BTreeSet::new(),
                    });
                    let order = [first, second, third];
                    for (n, (act, copy)) in order.into_iter().zip(copies).enumerate() {
                        model = step(store, act, copy, &n.to_string(), model);
                        check(store, &made, model.as_ref(), &order[..=n]);
                    }
                    if let Some(model) = model {
                        store.delete_session(&model.id).unwrap();
                    }
                }
            }
        }
    });
}

fn step(
    store: &dyn SessionStore,
    act: Act,
    mut copy: Session,
    mark: &str,
    model: Option<Model>,
) -> Option<Model> {
    let loaded = id(&copy);
    // A copy with the id of before a regeneration is of a session that is gone.
    let found = model.clone().filter(|model| model.id == loaded);
    let changed = |mut model: Model| {
        model.version += 1;
        model.marks.insert(mark.to_string());
        Some(model)
    };
    match (act, found) {
        (Act::Touch, found) => {
            assert_eq!(store.touch_session(&loaded).unwrap(), found.is_some());
            model
        }
        (Act::Update, found) => {
            let updated = store.update_session(&loaded, |session| session.insert(mark, &()));
            assert_eq!(updated.unwrap().is_some(), found.is_some());
            found.map_or(model, changed)
        }
        (Act::Delete, found) => {
            assert_eq!(store.delete_session(&loaded).unwrap(), found.is_some());
            if found.is_some() { None } else { model }
        }
        (Act::SaveRead, found) => {
            let saved = store.save_session(&mut copy).unwrap();
            assert_eq!(matches!(saved, Saved::Stored), found.is_some());
            assert_eq!(matches!(saved, Saved::Gone), found.is_none());
            model
        }
        (Act::SaveChanged, found) => {
            copy.insert(mark, &()).unwrap();
            match (store.save_session(&mut copy).unwrap(), found) {
                (Saved::Gone, None) => model,
                (Saved::Stored, Some(found)) if found.version == 1 => changed(found),
                (Saved::Conflict(current), Some(found)) if found.version > 1 => {
                    assert_eq!(current.version(), found.version);
                    model
                }
                (saved, found) => panic!("{saved:?} of {found:?}"),
            }
        }
        (Act::Regenerate, found) => match (store.regenerate_id(&mut copy).unwrap(), found) {
            (Saved::Gone, None) => model,
            (Saved::Stored, Some(found)) => Some(Model {
                id: id(&copy),
                version: found.version + 1,
                ..found
            }),
            (saved, found) => panic!("{saved:?} of {found:?}"),
        },
    }
}

fn check(store: &dyn SessionStore, made: &Session, model: Option<&Model>, order: &[Act]) {
    let sessions: Vec<_> = store
        .iter_sessions()
        .map(|session| session.unwrap())
        .collect();
    assert_eq!(
        sessions.len(),
        usize::from(model.is_some()),
        "after {order:?}"
    );
    let old = id(made);
    assert_eq!(
        store.has_session(&old).unwrap(),
        model.is_some_and(|model| model.id == old),
        "after {order:?}"
    );
    if let Some(model) = model {
        let stored = load(store, &model.id);
        let marks: BTreeSet<_> = stored.keys().map(String::from).collect();
        assert_eq!(
            (stored.version(), &marks),
            (model.version, &model.marks),
            "after {order:?}"
        );
        assert_eq!(stored.created(), made.created());
    }
}

#[test]
fn whoever_keeps_getting_new_ids_is_logged_out_everywhere_all_the_same() {
    on_each_store(|store| {
        let start = Barrier::new(4);
        let ended = AtomicBool::new(false);
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    let mut session = login(store, "ann");
                    start.wait();
                    let mut n = 0u64;
                    loop {
                        let must_be_gone = ended.load(Ordering::SeqCst);
                        n += 1;
                        session.insert("n", &n).unwrap();
                        let saved = match n % 2 {
                            0 => store.save_session(&mut session).unwrap(),
                            _ => store.regenerate_id(&mut session).unwrap(),
                        };
                        match saved {
                            Saved::Stored => assert!(!must_be_gone, "still logged in"),
                            Saved::Gone => return,
                            other => panic!("{other:?}"),
                        }
                    }
                });
            }
            start.wait();
            let deleted = store.delete_user_sessions("ann");
            ended.store(true, Ordering::SeqCst);
            assert_eq!(deleted.unwrap(), 3);
        });
        assert!(store.sessions_of("ann").unwrap().is_empty());
    });
}

#[test]
fn of_several_requests_that_log_out_one_did() {
    on_each_store(|store| {
        for _ in 0..20 {
            let id = id(&login(store, "ann"));
            let deleted = thread::scope(|scope| {
                let threads: Vec<_> = (0..4)
                    .map(|_| scope.spawn(|| store.delete_session(&id).unwrap()))
                    .collect();
                threads
                    .into_iter()
                    .filter(|_| true)
                    .map(|thread| thread.join().unwrap())
                    .filter(|deleted| *deleted)
                    .count()
            });
            assert_eq!(deleted, 1);
        }
    });
}

/// A new id is one step, also in a look at all sessions: it finds never both, never neither.
#[test]
fn who_looks_while_a_session_gets_new_ids_finds_it_once() {
    on_each_store(|store| {
        let mut session = login(store, "ann");
        let ended = AtomicBool::new(false);
        thread::scope(|scope| {
            let looking = scope.spawn(|| {
                while !ended.load(Ordering::SeqCst) {
                    assert_eq!(store.iter_sessions().count(), 1);
                    assert_eq!(store.sessions_of("ann").unwrap().len(), 1);
                }
            });
            for _ in 0..2_000 {
                let renewed = store.regenerate_id(&mut session).unwrap();
                assert!(matches!(renewed, Saved::Stored));
                if looking.is_finished() {
                    break;
                }
            }
            ended.store(true, Ordering::SeqCst);
        });
    });
}

/// The time of a proof is the store's, so it is another one an hour later.
#[test]
fn of_each_field_the_change_counts_whichever_of_two_requests_made_it() {
    type Field = (&'static str, fn(&mut Session), fn(&Session) -> String);
    let fields: [Field; 7] = [
        (
            "value",
            |it| _ = it.insert("cart", "tea"),
            |it| format!("{:?}", it.get::<String>("cart")),
        ),
        (
            "agent",
            |it| it.set_agent(Some("Phone")),
            |it| format!("{:?}", it.agent()),
        ),
        (
            "label",
            |it| it.set_label(Some("mine")),
            |it| format!("{:?}", it.label()),
        ),
        (
            "addresses",
            |it| it.set_remote_address(Some("10.0.0.7")),
            |it| format!("{:?} {:?}", it.first_address(), it.remote_address()),
        ),
        (
            "credentials",
            |it| it.set_credentials(Some("stamp")),
            |it| format!("{:?}", it.credentials()),
        ),
        ("proof", Session::confirm, |it| {
            format!("{:?}", it.confirmed())
        }),
        (
            "lifetime",
            |it| it.set_lifetime(Some(Lifetime::default())),
            |it| format!("{:?}", it.lifetime()),
        ),
    ];
    on_each(
        |_| (),
        |bench| {
            let store = &*bench.store;
            for (name, change, seen) in fields {
                for is_later in [false, true] {
                    let before = login(store, "ann");
                    (bench.advance)(HOUR);
                    let [mut changed, mut other] = [(); 2].map(|()| load(store, &id(&before)));
                    change(&mut changed);
                    other.insert("other", &true).unwrap();
                    let [mut first, mut second] = match is_later {
                        false => [changed, other],
                        true => [other, changed],
                    };
                    save(store, &mut first);
                    let Saved::Conflict(current) = store.save_session(&mut second).unwrap() else {
                        panic!("{name}: the change between was not noticed");
                    };
                    save(store, &mut second.rebase(*current).unwrap());
                    let both = load(store, &id(&before));
                    assert!(both.contains_key("other"), "{name}, {is_later}");
                    assert_ne!(seen(&both), seen(&before), "{name}, {is_later}");
                }
            }
        },
    );
}
