//! Sessions and lists that change between two looks of a call, and sessions that are put back.

use super::*;
use crate::session::list::Lists;

#[test]
fn a_session_that_gets_a_new_id_while_a_list_is_read_is_found_under_it() {
    let map = map();
    let [here, there] = [(); 2].map(|()| engine(Process::new(&map)));
    let mut sessions = [(); 2].map(|()| login(&here, "ann"));
    let keys = sessions
        .clone()
        .map(|it| Kind::Plain.key_of(it.id().unwrap()));
    let mut is_first = true;
    *here.records.looked.lock().unwrap() = Some(Box::new(move |looked| {
        let nth = keys.iter().position(|key| looked == key);
        if let (Some(nth), true) = (nth, is_first) {
            is_first = false;
            // The one that is read next.
            let renewed = there.regenerate(&mut sessions[1 - nth], None).unwrap();
            assert!(matches!(renewed, Saved::Stored));
        }
    }));
    let found = handles(&here.sessions_of("ann").unwrap());
    *here.records.looked.lock().unwrap() = None;
    assert_eq!(found, handles(&here.sessions_of("ann").unwrap()));
    assert_eq!(found.len(), 2);
}

/// A request that has loaded any of the versions is told of a conflict.
#[test]
fn what_is_put_back_is_newer_than_itself_than_what_is_there_and_than_what_is_known() {
    for (it, here, known) in [
        (5, 0, 0),
        (5, 0, 3),
        (1, 0, 5),
        (1, 5, 0),
        (1, 3, 5),
        (3, 5, 4),
    ] {
        let store = engine(Process::new(&map()));
        let mut session = login(&store, "ann");
        let stored = session.clone();
        session.stamp.version = here;
        match here {
            0 => assert!(store.delete(session.id().unwrap()).unwrap()),
            _ => {
                let edit = store.put(&session, None).unwrap();
                let mut edits = vec![(store.key_of(&session).unwrap(), edit)];
                let change = &mut || Ok(mem::take(&mut edits));
                store.records.change(change).unwrap();
            }
        }
        session.stamp.version = it;
        store.put_back(&session, known).unwrap();
        let back = store.load(stored.id().unwrap()).unwrap().unwrap();
        assert_eq!(back.version(), 6, "{it}, {here}, {known}");
        assert_eq!(store.sessions_of("ann").unwrap().len(), 1);
    }
}

/// Ann logs in, her list is damaged once more, and a process that meets the damage dies before it has mended the list.
fn damaged_again(there: &Engine<Process>, _: Session) {
    login(there, "ann");
    spoil_the_list_of(there, "ann");
    meet_the_damage(there);
}

fn meet_the_damage(there: &Engine<Process>) {
    let meet = &mut || {
        let mut lists = Lists::new(&there.records);
        lists.remove("ann", b"")?;
        Ok(lists.into_edits())
    };
    there.records.change(meet).unwrap();
}

#[test]
fn a_list_that_is_damaged_twice_during_a_walk_is_not_called_whole() {
    for is_met in [false, true] {
        let prepare = |engine: &Engine<Process>| {
            let ann = two_users(engine);
            if is_met {
                meet_the_damage(engine);
            }
            ann
        };
        let here = meddled(prepare, damaged_again);
        login(&here, "ann");
        assert_eq!(here.sessions_of("ann").unwrap().len(), 3);
        let here = meddled(prepare, damaged_again);
        assert_eq!(here.delete_user("ann", None).unwrap(), 2);
    }
}

fn visitor(engine: &Engine<Process>) -> Session {
    let mut session = Session::new();
    session.insert("n", &1u64).unwrap();
    assert!(matches!(engine.save(&mut session).unwrap(), Saved::Stored));
    session
}

#[test]
fn a_visitor_who_comes_back_after_the_snapshot_is_not_swept() {
    let here = meddled(
        |engine| {
            visitor(engine);
            visitor(engine)
        },
        |there, visitor| {
            there.records.clock.store(1, Ordering::Relaxed);
            assert!(there.touch(visitor.id().unwrap()).unwrap());
        },
    );
    assert_eq!(here.delete_old(Duration::ZERO).unwrap(), (1, 1));
}

#[test]
fn visitors_are_swept_across_chunks() {
    let here = engine(Process::new(&map()));
    (0..CHUNK + 3).for_each(|_| drop(visitor(&here)));
    assert_eq!(here.delete_old(Duration::ZERO).unwrap(), (CHUNK + 3, 0));
}
