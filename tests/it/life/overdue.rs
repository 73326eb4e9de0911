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
