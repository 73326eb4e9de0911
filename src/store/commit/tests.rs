//! Group commit with real threads, on a disk whose syncs begin and end when the test says so: how many syncs there are
//! for how many writes is then exact.

use super::{Commit, Phase, Synced, lock_of};
use crate::error::Error;
use crate::store::held::{Bench, PATIENCE, What};
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering::*};
use std::thread;
use std::time::{Duration, Instant};

const WRITERS: usize = 16;

#[test]
fn writes_that_come_during_a_sync_share_the_next_one() {
    let bench = Bench::new();
    thread::scope(|scope| {
        let _over = bench.over();
        let first = bench.start(scope, "0".to_string());
        let leading = bench.next_call();
        let others: Vec<_> = (1..WRITERS)
            .map(|nth| bench.start(scope, nth.to_string()))
            .collect();
        assert_eq!(bench.syncs(), 1, "one at a time");
        assert!(
            !first.is_finished(),
            "acknowledged before its sync has ended"
        );
        leading.end();
        assert!(first.join().unwrap().unwrap());
        // One more sync covers the rest.
        let second = bench.next_call();
        assert!(others.iter().all(|other| !other.is_finished()));
        second.end();
        for other in others {
            assert!(other.join().unwrap().unwrap());
        }
    });
    assert_eq!(bench.syncs(), 2, "for {WRITERS} writes");
}

#[test]
fn a_sync_earns_nothing_that_was_written_while_it_ran() {
    let bench = Bench::new();
    thread::scope(|scope| {
        let _over = bench.over();
        let first = bench.start(scope, "0".to_string());
        let leading = bench.next_call();
        let covered = bench.generation().tail();
        let second = bench.start(scope, "1".to_string());
        leading.end();
        first.join().unwrap().unwrap();
        let following = bench.next_call();
        assert_eq!(bench.generation().commit.durable(), covered);
        following.end();
        second.join().unwrap().unwrap();
        assert_eq!(
            bench.generation().commit.durable(),
            bench.generation().tail()
        );
    });
}

#[test]
fn others_write_while_a_sync_runs() {
    let bench = Bench::new();
    thread::scope(|scope| {
        let _over = bench.over();
        let writer = bench.start(scope, "held".to_string());
        let begun = bench.next_call();
        // Another owner of the lock, as another process is.
        assert!(bench.other.insert("other", "").unwrap());
        assert!(bench.store.contains_key("other").unwrap());
        assert!(!writer.is_finished());
        begun.end();
        writer.join().unwrap().unwrap();

        let syncing = scope.spawn(|| bench.store.sync());
        let begun = bench.next_call();
        assert!(bench.other.insert("another", "").unwrap());
        begun.end();
        let (synced, _) = bench.end_all_until(syncing);
        synced.unwrap();
    });
}

#[test]
fn a_sync_of_the_old_file_earns_the_new_one_nothing() {
    let bench = Bench::new();
    let old = bench.generation();
    thread::scope(|scope| {
        let _over = bench.over();
        let leader = bench.start(scope, "leader".to_string());
        let of_old = bench.next_call();
        let follower = bench.start(scope, "follower".to_string());
        assert_eq!(of_old.inode, old.identity.inode);

        let store = &bench.store;
        let (_, synced) = bench.end_all_until(scope.spawn(|| store.compact().unwrap()));
        // The file that is about to be put in place.
        assert!(!synced.contains(&old.identity.inode));
        let new = bench.generation();
        assert_ne!(new.identity.inode, old.identity.inode);
        let durable = new.commit.durable();
        let writer = bench.start(scope, "new".to_string());
        let of_new = bench.next_call();
        assert_eq!(of_new.inode, new.identity.inode);

        of_old.end();
        leader.join().unwrap().unwrap();
        // A thread that waits for the old file still syncs that one.
        let of_old = bench.next_call();
        assert_eq!(of_old.inode, old.identity.inode);
        assert!(!follower.is_finished());
        of_old.end();
        follower.join().unwrap().unwrap();
        assert_eq!(new.commit.durable(), durable, "earned by another file");
        assert!(!writer.is_finished());
        of_new.end();
        writer.join().unwrap().unwrap();
        assert_eq!(new.commit.durable(), new.tail());
    });
}

#[test]
fn who_comes_late_to_a_retired_file_syncs_that_one_and_is_acknowledged() {
    let bench = Bench::new();
    let old = bench.other.place().generation();
    assert!(bench.other.insert("late", "").unwrap());
    let end = old.tail();
    thread::scope(|scope| {
        let _over = bench.over();
        bench.end_all_until(scope.spawn(|| bench.store.compact().unwrap()));
        let new = bench.generation();
        let durable = new.commit.durable();
        // By then it has moved over, as another thread makes it.
        assert!(bench.other.contains_key("late").unwrap());
        let moved = bench.other.place().generation();
        assert_eq!(moved.identity.inode, new.identity.inode);
        let (acknowledged, synced) = bench
            .end_all_until(scope.spawn(|| bench.other.inner.admission.make_durable(&old, end)));
        acknowledged.unwrap();
        assert_eq!(synced, [old.identity.inode]);
        assert_eq!(moved.commit.durable(), durable, "earned by another file");
    });
}

/// As [`a_sync_earns_nothing_that_was_written_while_it_ran`], without threads.
#[test]
fn a_sync_is_credited_with_what_was_written_before_it() {
    let (commit, written) = (Commit::new(0), Cell::new(10));
    let sync = || {
        written.set(20);
        Ok(())
    };
    commit
        .wait(10, || written.get(), || Duration::ZERO, sync)
        .unwrap();
    assert_eq!(commit.durable(), 10);
}

#[test]
fn a_file_that_this_process_puts_in_place_is_not_taken_for_somebody_elses() {
    let bench = Bench::new();
    thread::scope(|scope| {
        let _over = bench.over();
        let writer = bench.start(scope, "key".to_string());
        let of_old = bench.next_call();
        bench.disk.hold_nth(What::Rename, 1);
        let compacting = scope.spawn(|| bench.store.compact().unwrap());
        let renamed = loop {
            match bench.next_call() {
                begun if begun.inode == 0 => break begun,
                sync => sync.end(),
            }
        };
        // The path leads to the new file, and this process has not moved there yet.
        let following = bench.store.place().following.try_lock();
        assert!(following.is_err(), "a writer could look at the path now");
        of_old.end();
        renamed.end();
        writer.join().unwrap().unwrap();
        compacting.join().unwrap();
    });
}

#[test]
fn a_failed_sync_acknowledges_nobody_and_is_never_tried_again() {
    let bench = Bench::new();
    let failed = bench.generation();
    thread::scope(|scope| {
        let _over = bench.over();
        let leader = bench.start(scope, "0".to_string());
        let begun = bench.next_call();
        let followers: Vec<_> = (1..WRITERS)
            .map(|nth| bench.start(scope, nth.to_string()))
            .collect();
        begun.fail();
        leader.join().unwrap().unwrap_err();
        for follower in followers {
            follower.join().unwrap().unwrap_err();
        }
    });
    assert_eq!(bench.syncs(), 1, "for {WRITERS} writes");
    assert!(bench.store.insert("next", "").unwrap());
    assert_ne!(bench.generation().identity.inode, failed.identity.inode);
    assert_eq!(bench.store.len().unwrap(), WRITERS + 2);
}

#[test]
fn a_sync_that_fails_while_the_file_is_read_anew_acknowledges_no_later_write_to_it() {
    let bench = Bench::new();
    let failed = bench.generation();
    thread::scope(|scope| {
        let _over = bench.over();
        let leader = bench.start(scope, "before".to_string());
        let begun = bench.next_call();
        bench.store.reopen().unwrap();
        assert_ne!(bench.generation().reading, failed.reading);
        let follower = bench.start(scope, "after".to_string());
        begun.fail();
        leader.join().unwrap().unwrap_err();
        // A second sync would succeed, of what the kernel has dropped.
        let (followed, synced) = bench.end_all_until(follower);
        followed.unwrap_err();
        assert_eq!(synced, []);
    });
    // Also where the note of the failure did not reach the file.
    assert!(bench.generation().is_condemned());
    assert!(bench.store.insert("next", "").unwrap());
    assert_ne!(bench.generation().identity.inode, failed.identity.inode);
}

/// Whether an `unpark` has gone to this thread that no `park` has taken yet. Takes it.
fn takes_a_token(patience: Duration) -> bool {
    let start = Instant::now();
    thread::park_timeout(patience);
    start.elapsed() < patience
}

#[test]
fn waiting_for_a_sync_takes_no_unpark_token_and_leaves_none() {
    let bench = Bench::new();
    thread::scope(|scope| {
        let _over = bench.over();
        for has_token in [true, false] {
            let waiters: Vec<_> = (0..3)
                .map(|nth| {
                    let (store, key) = (&bench.store, format!("{has_token} {nth}"));
                    scope.spawn(move || {
                        if has_token {
                            thread::current().unpark();
                        }
                        store.insert(key, "").unwrap();
                        match has_token {
                            true => takes_a_token(PATIENCE),
                            false => takes_a_token(Duration::from_millis(20)),
                        }
                    })
                })
                .collect();
            for waiter in waiters {
                let (token, _) = bench.end_all_until(waiter);
                assert_eq!(token, has_token, "a leader or a follower");
            }
        }
    });
}

/// A thread to which anything else happens in the queue ends.
fn follow<'scope>(
    scope: &'scope thread::Scope<'scope, '_>,
    commit: &'scope Commit,
    end: u64,
    syncs: &'scope AtomicU64,
) -> thread::ScopedJoinHandle<'scope, Synced> {
    let joined = lock_of(&commit.queue.state).joined;
    let follower = scope.spawn(move || {
        let sync = || {
            syncs.fetch_add(1, AcqRel);
            Ok(())
        };
        commit.wait(end, || end, || Duration::ZERO, sync).unwrap()
    });
    while lock_of(&commit.queue.state).joined == joined {
        thread::yield_now();
    }
    follower
}

#[test]
fn a_follower_whose_record_is_durable_when_it_wakes_leads_no_sync() {
    let (commit, syncs) = (Commit::new(0), AtomicU64::new(0));
    thread::scope(|scope| {
        let mut follower = None;
        let sync = || {
            follower = Some(follow(scope, &commit, 20, &syncs));
            // A record of another process says so, in the log.
            commit.credit(20);
            Err(Error::other("this one's own"))
        };
        let led = commit.wait(10, || 10, || Duration::ZERO, sync);
        led.unwrap_err();
        assert_eq!(follower.unwrap().join().unwrap(), Synced::Durable);
    });
    assert_eq!(syncs.into_inner(), 0);
}

#[test]
fn a_panic_in_a_sync_lets_a_follower_lead() {
    let (commit, syncs) = (Commit::new(0), AtomicU64::new(0));
    thread::scope(|scope| {
        let mut follower = None;
        let sync = || {
            follower = Some(follow(scope, &commit, 20, &syncs));
            panic!("on purpose");
        };
        let led = catch_unwind(AssertUnwindSafe(|| {
            _ = commit.wait(10, || 10, || Duration::ZERO, sync)
        }));
        led.unwrap_err();
        assert_eq!(follower.unwrap().join().unwrap(), Synced::Durable);
    });
    assert_eq!(syncs.into_inner(), 1);
    assert_eq!(commit.durable(), 20, "what panicked earned nothing");
    assert_eq!(lock_of(&commit.queue.state).phase, Phase::Idle);
}

#[test]
fn a_leader_gathers_those_who_took_part_in_the_last_sync() {
    let (commit, syncs) = (Commit::new(0), AtomicU64::new(0));
    let clock_ms = AtomicU64::new(0);
    let clock = || Duration::from_millis(clock_ms.load(Acquire));
    thread::scope(|scope| {
        let mut followers = Vec::new();
        // Two join a sync that takes long enough for its half to be over the limit.
        let sync = || {
            followers.extend([20, 21].map(|end| follow(scope, &commit, end, &syncs)));
            clock_ms.fetch_add(10, AcqRel);
            Ok(())
        };
        // It covers them as well.
        let led = commit.wait(10, || 30, clock, sync);
        assert_eq!(led.unwrap(), Synced::Durable);
        for follower in followers {
            assert_eq!(follower.join().unwrap(), Synced::Durable);
        }
        assert_eq!(lock_of(&commit.queue.state).partners, 3);
        assert_eq!(lock_of(&commit.queue.state).joined, 0);
        // Alone it waits in vain, and then not again for a while.
        let end = Cell::new(31);
        for ungathered in [super::SYNCS_UNGATHERED, super::SYNCS_UNGATHERED] {
            let led = commit.wait(end.get(), || end.get(), clock, || Ok(()));
            assert_eq!(led.unwrap(), Synced::Durable);
            assert_eq!(lock_of(&commit.queue.state).ungathered, ungathered);
            end.set(end.get() + 1);
        }
        assert_eq!(lock_of(&commit.queue.state).partners, 1);
    });
    assert_eq!(syncs.into_inner(), 0);
}
