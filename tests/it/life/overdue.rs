//! Since when a compaction is overdue, where several processes try it.

use super::*;

#[test]
fn a_compaction_is_overdue_since_the_first_try_at_this_file_whoever_else_compacts() {
    let sim = SimDisk::new(1);
    let other = options(sim.disk()).open(PATH).unwrap();
    sim.set_owner(PATH, 1000, 1000, 0o666).unwrap();
    let member = sim.process_of(2000, 2000);
    let store = options(Arc::new(member.clone())).open(PATH).unwrap();
    sim.set_owner("/", 1000, 1000, 0o755).unwrap();
    overwrite_much(&store);
    let overdue = store.recovery().overdue;
    assert!(overdue.is_some());
    // A process that compacts has the lock of its temporary file.
    let mut temp = options(sim.disk());
    let temp = temp.exclusive(true).mode(0o666);
    let at_work = temp.open(format!("{PATH}.tmp-0123456789abcdef")).unwrap();
    assert!(store.compact().unwrap_err().is_busy());
    assert_eq!(store.recovery().overdue, overdue);
    drop(at_work);
    other.compact().unwrap();
    let now = member.wall_clock() + HOUR;
    member.set_wall_clock(now);
    overwrite_much(&store);
    assert!(store.recovery().overdue.unwrap().since >= now);
}

#[test]
fn an_entry_that_is_damaged_and_past_makes_one_compaction_due_and_no_more() {
    let sim = SimDisk::new(1);
    let process = sim.process();
    let open = || options(process.disk()).open(PATH).unwrap();
    let store = open();
    let until = process.wall_clock() + HOUR;
    store
        .insert_until("large", vec![7; 3 << 20], until)
        .unwrap();
    store.insert("small", [7; 1000]).unwrap();
    store.close().unwrap();
    sim.flip_bit(PATH, 2 << 20, 0).unwrap();
    process.set_wall_clock(until + 2 * DAY);
    let store = open();
    for nth in 0..3 {
        store.insert([nth], "").unwrap();
        let stats = store.stats().unwrap();
        assert_eq!((stats.generation, stats.overdue_bytes), (2, 0), "{nth}");
    }
    assert!(sim.read(PATH).unwrap().len() < 10_000);
}

#[test]
fn of_an_older_state_that_was_put_in_the_place_no_compaction_has_failed_yet() {
    let sim = SimDisk::new(1);
    let store = options(sim.disk()).open(PATH).unwrap();
    sim.inject(Fault::new(FaultKind::Eio).on(Call::Rename).forever());
    overwrite_much(&store);
    let older = sim.read(PATH).unwrap();
    overwrite_much(&store);
    assert!(store.recovery().overdue.is_some());
    sim.clear_faults();
    sim.write(PATH, &older).unwrap();
    store.insert("small", "").unwrap();
    assert_eq!(store.recovery().overdue, None);
    bound(&sim, 5000).unwrap();
}

#[test]
fn who_left_the_compaction_to_a_process_that_died_compacts_when_it_closes() {
    let sim = SimDisk::new(1);
    let store = options(sim.disk()).open(PATH).unwrap();
    let mut temp = options(sim.disk());
    let temp = temp.exclusive(true);
    let at_work = temp.open(format!("{PATH}.tmp-0123456789abcdef")).unwrap();
    overwrite_much(&store);
    bound(&sim, 5000).unwrap_err();
    assert_eq!(store.recovery().overdue, None, "it is left to another one");
    drop(at_work);
    store.close().unwrap();
    bound(&sim, 5000).unwrap();
    assert!(beside(&sim).is_empty(), "{:?}", beside(&sim));
}
