//! Ordinary life: what weeks of use, impossible compactions, contradicting options and repairs that fail leave behind.
//!
//! Everything here runs on the simulated disk, so that sixty days take a second. The bound of space is asked for after
//! every step that may break it; the table of options tries every combination on every state of a file.

mod clocks;
mod copies;
mod overdue;

use crate::proof::workload::PATH;
use crate::support::{beside, is_soak, metric};
use shelflife::sim::{Call, FailedSync, Fault, FaultKind, SimDisk, SimProcess};
use shelflife::{Change, Compaction, Disk, Durability, ErrorKind, Options, Reverted, Store};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);
const MIB: u64 = 1 << 20;

fn options(disk: Arc<dyn Disk>) -> Options {
    let mut options = Options::new();
    options
        .disk(disk)
        .durability(Durability::Os)
        .compaction(Compaction::Inline)
        .lock_timeout(Duration::from_millis(20));
    options
}

/// The size that the store may have: three times the bytes that are live or ended less than a day ago, and a MiB.
fn bound(sim: &SimDisk, needed_bytes: u64) -> std::result::Result<(), String> {
    let file_bytes = sim.read(PATH).unwrap().len() as u64;
    let bound_bytes = 3 * needed_bytes + MIB;
    match file_bytes <= bound_bytes {
        true => Ok(()),
        false => Err(format!("{file_bytes} bytes, over {bound_bytes}")),
    }
}

/// Sixty days of entries that end half an hour after they are written, which nobody asks for again, beside `lasting`
/// ones whose ends lie anywhere in the next hundred years.
fn sixty_days(how: Compaction, lasting: u32) -> u64 {
    let sim = SimDisk::new(1);
    let store = options(sim.disk()).compaction(how).open(PATH).unwrap();
    let process = sim.process();
    for nth in 0..lasting {
        let until = process.wall_clock() + nth * (100 * 365 * DAY / lasting) + DAY;
        store.insert_until(nth.to_le_bytes(), "", until).unwrap();
    }
    let lasting_bytes = sim.read(PATH).unwrap().len() as u64;
    let a_day = if is_soak() { 10_000 } else { 1_000 };
    let (mut written, mut largest) = (0u64, 0);
    // Bytes of each of the last hours: what ended less than a day ago was written less than 24.5 hours ago.
    let mut recent = std::collections::VecDeque::from([0u64; 26]);
    for hour in 0..60 * 24 {
        for _ in 0..a_day / 24 {
            let until = process.wall_clock() + HOUR / 2;
            store
                .insert_until(written.to_le_bytes(), [7; 600], until)
                .unwrap();
            written += 1;
            recent[0] += 664;
        }
        let needed = lasting_bytes + recent.iter().sum::<u64>();
        bound(&sim, needed).unwrap_or_else(|error| panic!("{how:?}, hour {hour}: {error}"));
        largest = largest.max(sim.read(PATH).unwrap().len() as u64);
        recent.push_front(0);
        recent.truncate(26);
        sim.advance(HOUR);
    }
    assert!(store.len().unwrap() < (written / 2) as usize + lasting as usize);
    store.close().unwrap();
    largest
}

#[test]
fn sixty_days_of_entries_that_nobody_asks_for_again_stay_within_the_bound() {
    let start = Instant::now();
    let largest = sixty_days(Compaction::Inline, 0);
    metric(
        "life.sixty_days.largest_bytes",
        largest,
        None,
        start.elapsed().as_secs_f64(),
    );
}

#[test]
fn entries_that_end_years_apart_do_not_hide_what_others_left() {
    sixty_days(Compaction::Inline, 2_000);
}

#[test]
fn processes_that_open_write_and_close_leave_a_file_within_its_bound() {
    for how in [Compaction::Thread, Compaction::Inline] {
        for exclusive in [false, true] {
            let sim = SimDisk::new(1);
            for nth in 0..1_000 {
                let mut options = options(sim.disk());
                let options = options.compaction(how).exclusive(exclusive);
                let store = options.open(PATH).unwrap();
                store.insert("same", vec![nth as u8; 16 << 10]).unwrap();
                store.close().unwrap();
                bound(&sim, 17 << 10)
                    .unwrap_or_else(|error| panic!("{how:?}, {exclusive}, {nth}: {error}"));
            }
            assert!(beside(&sim).is_empty());
        }
    }
}

#[test]
fn a_closing_handle_leaves_a_busy_lock_and_a_manual_store_alone() {
    let sim = SimDisk::new(1);
    let manual = || {
        options(sim.disk())
            .compaction(Compaction::Manual)
            .open(PATH)
    };
    let store = manual().unwrap();
    for nth in 0..200u8 {
        store.insert("same", [nth; 16 << 10]).unwrap();
    }
    store.close().unwrap();
    assert!(bound(&sim, 17 << 10).is_err(), "nobody compacts by itself");
    // Another process has the lock while this one closes.
    let closing = options(sim.disk()).open(PATH).unwrap();
    let busy = options(sim.disk()).exclusive(true).open(PATH).unwrap();
    let before = sim.process().monotonic();
    drop(closing);
    let waited = sim.process().monotonic() - before;
    assert_eq!(waited, Duration::ZERO, "and nobody waits to compact");
    assert!(bound(&sim, 17 << 10).is_err());
    busy.close().unwrap();
    bound(&sim, 17 << 10).unwrap();
}

#[test]
fn a_handle_that_panics_was_forked_was_stopped_or_has_a_condemned_file_compacts_nothing_when_it_closes()
 {
    /// Its name, and what happens to it before it closes.
    type Case = (&'static str, fn(&SimProcess, &Store));
    let cases: [Case; 5] = [
        ("sound", |_, _| {}),
        ("panicking", |_, _| resume_unwind(Box::new("on purpose"))),
        ("forked", |process, _| process.fork()),
        ("half a record", |process, store| {
            let sim = process.sim();
            // It first writes once more what it did not write itself; the append after that leaves ten bytes.
            sim.inject(Fault::new(FaultKind::Short(10)).on(Call::Write).nth(2));
            sim.inject(Fault::new(FaultKind::Eio).on(Call::Write).nth(3));
            sim.inject(Fault::new(FaultKind::Eio).on(Call::SetLen));
            store.insert("same", "").unwrap_err();
            sim.clear_faults();
        }),
        ("condemned", |process, store| {
            let sim = process.sim();
            sim.inject(Fault::new(FaultKind::Eio).on(Call::Sync));
            store.sync().unwrap_err();
        }),
    ];
    for (name, happens) in cases {
        let sim = SimDisk::new(1);
        let manual = options(sim.disk())
            .compaction(Compaction::Manual)
            .open(PATH)
            .unwrap();
        for nth in 0..200u8 {
            manual.insert("same", [nth; 16 << 10]).unwrap();
        }
        drop(manual);
        let process = sim.process();
        let file = || Disk::stat(&sim.process(), Path::new(PATH)).unwrap().inode;
        let before = file();
        let closing = AssertUnwindSafe(|| {
            let mut options = options(Arc::new(process.clone()));
            let store = options.durability(Durability::Os).open(PATH).unwrap();
            happens(&process, &store);
        });
        let panicked = catch_unwind(closing).is_err();
        assert_eq!(panicked, name == "panicking");
        assert_eq!(file() == before, name != "sound", "{name}");
        assert!(beside(&sim).is_empty(), "{name}: {:?}", beside(&sim));
        // The next one that writes pays.
        let next = options(sim.disk()).open(PATH).unwrap();
        next.insert("same", "").unwrap();
        next.close().unwrap();
        bound(&sim, 17 << 10).unwrap();
    }
}

#[test]
fn one_record_with_a_flipped_bit_does_not_keep_the_file_from_being_compacted() {
    let sim = SimDisk::new(1);
    let store = options(sim.disk()).open(PATH).unwrap();
    store.insert("rotten", [9; 500]).unwrap();
    store.insert("sound", "value").unwrap();
    store.sync().unwrap();
    sim.flip_bit(PATH, 8192 + 100, 3).unwrap();
    for nth in 0..2_000u32 {
        store.insert("same", [nth as u8; 4096]).unwrap();
        bound(&sim, 6 << 10).unwrap();
    }
    assert!(store.get("rotten").unwrap_err().is_corrupt());
    assert_eq!(store.get("sound").unwrap().as_deref(), Some(&b"value"[..]));
    assert_eq!(
        beside(&sim).len(),
        1,
        "one fault, one evidence: {:?}",
        beside(&sim)
    );
    let evidence = Path::new("/").join(&beside(&sim)[0]);
    assert!(sim.read(evidence).unwrap().len() as u64 > MIB);
    assert!(!store.insert("rotten", "healed").unwrap());
    store.compact().unwrap();
    store.close().unwrap();
    let store = options(sim.disk()).open(PATH).unwrap();
    assert!(store.recovery().is_clean());
    assert_eq!(
        store.get("rotten").unwrap().as_deref(),
        Some(&b"healed"[..])
    );
}

#[test]
fn a_record_of_which_nothing_verifies_is_carried_by_its_place_in_the_index() {
    let sim = SimDisk::new(1);
    let store = options(sim.disk()).open(PATH).unwrap();
    for key in ["before", "rotten", "after"] {
        store.insert(key, [1; 100]).unwrap();
    }
    store.sync().unwrap();
    let head = 8192 + 48 + 8 + 104;
    sim.overwrite(PATH, head, &[0xa5; 48]).unwrap();
    store.compact().unwrap();
    for store in [&store, &options(sim.disk()).open(PATH).unwrap()] {
        assert!(store.get("rotten").unwrap_err().is_corrupt());
        assert!(store.contains_key("rotten").unwrap_err().is_corrupt());
        assert_eq!(store.get("after").unwrap(), Some(vec![1; 100]));
        assert_eq!(store.get("absent").unwrap(), None);
    }
    // It is there, and can't be read: each kind of write says the same of it.
    let kept = store.update("rotten", |_| Ok((Change::Keep, ())));
    assert!(kept.unwrap_err().is_corrupt());
    assert!(!store.insert("rotten", "healed").unwrap());
    assert!(store.remove("rotten").unwrap());
    assert_eq!(store.get("rotten").unwrap(), None);
    assert_eq!(store.len().unwrap(), 2);
}

/// Writes one key anew until a compaction is due, and beyond.
fn overwrite_much(store: &Store) {
    for nth in 0..600u32 {
        store.insert("same", [nth as u8; 4096]).unwrap();
    }
}

#[test]
fn what_keeps_a_compaction_from_success_is_told_with_what_to_do_and_since_when() {
    /// Its name, how it comes about, what to do about it.
    type Impossible = (&'static str, fn(&SimDisk), &'static str);
    let cases: [Impossible; 3] = [
        ("a mount point", |sim| sim.mount(PATH), "mount its folder"),
        (
            "a folder that this user may not write to",
            |sim| sim.set_owner("/", 0, 0, 0o755).unwrap(),
            "check the owner and mode",
        ),
        (
            "an owner that this user may not give",
            |sim| {
                sim.set_owner("/", 0, 0, 0o777).unwrap();
                sim.set_owner(PATH, 1000, 33, 0o660).unwrap();
            },
            "run this as the user who owns the store",
        ),
    ];
    for (name, make_impossible, advice) in cases {
        let sim = SimDisk::new(1);
        let owner = options(sim.disk()).open(PATH).unwrap();
        owner.close().unwrap();
        sim.set_owner(PATH, 1000, 33, 0o660).unwrap();
        let member = sim.process_of(2000, 33);
        make_impossible(&sim);
        let store = options(Arc::new(member.clone())).open(PATH).unwrap();
        let before = member.wall_clock();
        let reads = sim.calls(Call::Rename);
        overwrite_much(&store);
        assert_eq!(
            sim.calls(Call::Rename),
            reads,
            "{name}: known before the copy"
        );
        let overdue = store.recovery().overdue.expect(name);
        assert!(
            overdue.reason.contains(advice),
            "{name}: {}",
            overdue.reason
        );
        assert!(overdue.since >= before && overdue.since <= member.wall_clock());
        assert!(store.stats().unwrap().overdue_bytes > MIB, "{name}");
        assert!(beside(&sim).is_empty(), "{name}: {:?}", beside(&sim));
        let writes = sim.calls(Call::Write);
        let refused = store.compact().unwrap_err();
        assert!(refused.to_string().contains(advice), "{name}: {refused}");
        let refused = store.salvage_in_place().unwrap_err();
        assert!(refused.to_string().contains(advice), "{name}: {refused}");
        assert_eq!(sim.calls(Call::Write), writes, "{name}: nothing was copied");
        assert!(beside(&sim).is_empty(), "{name}: {:?}", beside(&sim));
    }
}

#[test]
fn a_compaction_that_fails_takes_no_evidence_and_one_that_succeeds_takes_what_was_there_before() {
    let sim = SimDisk::new(1);
    let store = options(sim.disk()).open(PATH).unwrap();
    store.insert("a", [1; 100]).unwrap();
    store.close().unwrap();
    let torn = [sim.read(PATH).unwrap(), vec![7; 100]].concat();
    sim.write(PATH, &torn).unwrap();
    let store = options(sim.disk()).open(PATH).unwrap();
    store.insert("b", "").unwrap();
    assert_eq!(beside(&sim).len(), 1);
    {
        let _busy = options(sim.disk()).exclusive(true).open(PATH).unwrap();
        assert!(store.compact().unwrap_err().is_busy());
        assert_eq!(beside(&sim).len(), 1, "the lock was not to be had");
    }
    sim.inject(Fault::new(FaultKind::Enospc).on(Call::Write));
    store.compact().unwrap_err();
    assert_eq!(beside(&sim).len(), 1, "the disk was full");
    assert_eq!(store.recovery().overdue, None, "asked for, and not due");
    store.compact().unwrap();
    assert!(beside(&sim).is_empty());
    // The evidence that the call's own repair has just kept stays, and the report names it.
    let torn = [sim.read(PATH).unwrap(), vec![7; 100]].concat();
    sim.write(PATH, &torn).unwrap();
    let store = options(sim.disk()).open(PATH).unwrap();
    store.compact().unwrap();
    let told = store.recovery().torn_tails.swap_remove(0).evidence.unwrap();
    assert_eq!(beside(&sim), [told.file_name().unwrap().to_str().unwrap()]);
}

#[test]
fn a_compaction_leaves_the_original_that_a_salvage_kept() {
    let sim = SimDisk::new(1);
    let store = options(sim.disk()).open(PATH).unwrap();
    store.insert("a", [1; 100]).unwrap();
    let kept = store.salvage_in_place().unwrap().kept.unwrap();
    store.compact().unwrap();
    assert_eq!(beside(&sim), [kept.file_name().unwrap().to_str().unwrap()]);
}

#[test]
fn a_repair_that_fails_again_and_again_leaves_one_evidence_file() {
    let sim = SimDisk::new(1);
    let store = options(sim.disk()).open(PATH).unwrap();
    store.insert("a", [1; 100]).unwrap();
    store.close().unwrap();
    let torn = [sim.read(PATH).unwrap(), vec![7; 100]].concat();
    sim.write(PATH, &torn).unwrap();
    let mut failed = 0;
    for call in [
        Call::SetLen,
        Call::Sync,
        Call::SetLen,
        Call::SyncDir,
        Call::SetLen,
    ] {
        let store = options(sim.disk()).open(PATH).unwrap();
        sim.inject(Fault::new(FaultKind::Eio).on(call));
        failed += u32::from(store.insert("b", "").is_err());
        sim.clear_faults();
        drop(store);
        assert!(beside(&sim).len() <= 1, "{call:?}: {:?}", beside(&sim));
    }
    assert!(failed > 2, "only {failed} repairs failed");
    let store = options(sim.disk()).open(PATH).unwrap();
    store.insert("c", "").unwrap();
    assert_eq!(beside(&sim).len(), 1);
    let kept = sim.read(Path::new("/").join(&beside(&sim)[0])).unwrap();
    assert_eq!(kept[8200..], [7; 100]);
}

#[test]
fn a_salvage_in_place_whose_rename_fails_leaves_one_original() {
    let sim = SimDisk::new(1);
    let store = options(sim.disk()).open(PATH).unwrap();
    store.insert("a", [1; 100]).unwrap();
    for _ in 0..6 {
        sim.inject(Fault::new(FaultKind::Eio).on(Call::Rename));
        store.salvage_in_place().unwrap_err();
        assert_eq!(beside(&sim).len(), 1, "{:?}", beside(&sim));
    }
    store.salvage_in_place().unwrap();
    assert_eq!(beside(&sim).len(), 1);
}

#[test]
fn a_torn_tail_in_a_folder_that_is_not_writable_is_cut_without_evidence_and_told() {
    let sim = SimDisk::new(1);
    let store = options(sim.disk()).open(PATH).unwrap();
    store.insert("a", [1; 100]).unwrap();
    store.close().unwrap();
    let torn = [sim.read(PATH).unwrap(), vec![7; 100]].concat();
    sim.write(PATH, &torn).unwrap();
    sim.set_owner(PATH, 1000, 1000, 0o600).unwrap();
    sim.set_owner("/", 0, 0, 0o755).unwrap();
    let disk = Arc::new(sim.process_of(1000, 1000));
    let store = options(disk).open(PATH).unwrap();
    store.insert("b", "").unwrap();
    let torn = store.recovery().torn_tails.swap_remove(0);
    assert_eq!((torn.evidence, torn.len_bytes), (None, 100));
    assert!(torn.not_kept.unwrap().contains("check the owner and mode"));
    assert_eq!(store.len().unwrap(), 2);
}

/// The thing that a path leads to before a store is opened there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Missing,
    Empty,
    Sound,
    Torn,
    Damaged,
    Condemned,
    Foreign,
    Held,
}

impl State {
    const ALL: [State; 8] = [
        State::Missing,
        State::Empty,
        State::Sound,
        State::Torn,
        State::Damaged,
        State::Condemned,
        State::Foreign,
        State::Held,
    ];

    /// A disk in this state, and the handle that holds the file, if one does.
    fn make(self) -> (SimDisk, Option<Store>) {
        let sim = SimDisk::new(1);
        match self {
            State::Missing => return (sim, None),
            State::Empty => sim.write(PATH, b"").unwrap(),
            State::Foreign => sim.write(PATH, [b'x'; 9000]).unwrap(),
            _ => {
                let store = options(sim.disk()).open(PATH).unwrap();
                for key in ["a", "b", "c"] {
                    store.insert(key, [1; 100]).unwrap();
                }
                if self == State::Condemned {
                    sim.inject(Fault::new(FaultKind::Eio).on(Call::Sync));
                    store.sync().unwrap_err();
                }
                drop(store);
            }
        }
        match self {
            State::Torn => {
                let torn = [sim.read(PATH).unwrap(), vec![7; 100]].concat();
                sim.write(PATH, &torn).unwrap();
            }
            // The head of the second record.
            State::Damaged => sim.overwrite(PATH, 8192 + 152 + 8, &[0xa5; 8]).unwrap(),
            State::Held => {
                let held = options(sim.disk()).exclusive(true).open(PATH).unwrap();
                return (sim, Some(held));
            }
            _ => {}
        }
        (sim, None)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Chosen {
    read_only: bool,
    damaged: bool,
    exclusive: bool,
    truncate: bool,
    create_new: bool,
    create: bool,
}

impl Chosen {
    fn all() -> impl Iterator<Item = Chosen> {
        (0..64u8).map(|bits| Chosen {
            read_only: bits & 1 != 0,
            damaged: bits & 2 != 0,
            exclusive: bits & 4 != 0,
            truncate: bits & 8 != 0,
            create_new: bits & 16 != 0,
            create: bits & 32 != 0,
        })
    }

    fn only_reads(self) -> bool {
        self.read_only || self.damaged
    }

    /// The answer that opening must give; `Ok` with how many keys the handle shows, or an error when that is asked.
    fn wanted(self, state: State) -> std::result::Result<Option<usize>, ErrorKind> {
        let asks_to_write = self.exclusive || self.truncate || self.create_new;
        if self.only_reads() && asks_to_write {
            return Err(ErrorKind::InvalidInput);
        }
        let may_create = (self.create || self.create_new) && !self.only_reads();
        match state {
            State::Missing if may_create => Ok(Some(0)),
            State::Missing => Err(ErrorKind::NotFound),
            _ if self.create_new => Err(ErrorKind::AlreadyExists),
            State::Held if !self.only_reads() => Err(ErrorKind::Busy),
            State::Foreign => Err(ErrorKind::NotAStore),
            State::Empty => Ok(Some(0)),
            _ if self.truncate => Ok(Some(0)),
            State::Damaged if self.damaged => Ok(None),
            State::Damaged => Err(ErrorKind::Corrupt),
            State::Sound | State::Torn | State::Condemned | State::Held => Ok(Some(3)),
        }
    }
}

#[test]
fn every_combination_of_options_works_as_its_parts_say_or_is_refused_untouched() {
    let start = Instant::now();
    let mut cases = 0;
    for state in State::ALL {
        for chosen in Chosen::all() {
            let case = format!("{state:?}, {chosen:?}");
            let (sim, _held) = state.make();
            let before = sim.read(PATH).ok();
            let mut options = options(sim.disk());
            options
                .read_only(chosen.read_only)
                .damaged(chosen.damaged)
                .exclusive(chosen.exclusive)
                .truncate(chosen.truncate)
                .create_new(chosen.create_new)
                .create(chosen.create);
            let opened = options.open(PATH);
            cases += 1;
            let store = match (opened, chosen.wanted(state)) {
                (Ok(store), Ok(keys)) => {
                    if let Some(keys) = keys {
                        assert_eq!(store.len().unwrap(), keys, "{case}");
                    }
                    store
                }
                (Err(error), Err(kind)) => {
                    assert_eq!(error.kind(), kind, "{case}: {error}");
                    assert_eq!(sim.read(PATH).ok(), before, "{case}: refused, and changed");
                    continue;
                }
                (opened, wanted) => panic!("{case}: {:?}, not {wanted:?}", opened.err()),
            };
            if chosen.only_reads() {
                assert_eq!(
                    store.insert("k", "v").unwrap_err().kind(),
                    ErrorKind::ReadOnly
                );
                assert_eq!(
                    store.sync().unwrap_err().kind(),
                    ErrorKind::ReadOnly,
                    "{case}"
                );
                assert_eq!(store.compact().unwrap_err().kind(), ErrorKind::ReadOnly);
                store.reopen().unwrap();
                let salvaged = store.salvage_in_place();
                match (chosen.read_only, state) {
                    (true, _) => {
                        assert_eq!(salvaged.unwrap_err().kind(), ErrorKind::ReadOnly, "{case}");
                        assert_eq!(sim.read(PATH).ok(), before, "{case}");
                    }
                    (false, State::Held) => assert!(salvaged.unwrap_err().is_busy(), "{case}"),
                    (false, _) => _ = salvaged.unwrap_or_else(|error| panic!("{case}: {error}")),
                }
                continue;
            }
            store.insert("k", "v").unwrap();
            // `create_new` and `truncate` are for the opening: nothing does them again.
            store.compact().unwrap();
            store
                .reopen()
                .unwrap_or_else(|error| panic!("{case}: {error}"));
            assert_eq!(
                store.get("k").unwrap().as_deref(),
                Some(&b"v"[..]),
                "{case}"
            );
            if chosen.exclusive {
                let other = Options::new()
                    .disk(sim.disk())
                    .lock_timeout(Duration::ZERO)
                    .open(PATH);
                assert!(other.unwrap_err().is_busy(), "{case}: it has no lock");
            }
            store.close().unwrap();
        }
    }
    metric("life.options", cases, None, start.elapsed().as_secs_f64());
    assert_eq!(cases, 512);
}

#[test]
fn an_opening_that_fails_leaves_no_file_behind() {
    let faults = [
        (
            Fault::new(FaultKind::Enospc).on(Call::Write),
            std::io::ErrorKind::StorageFull,
        ),
        // As on a file system that has no locks.
        (
            Fault::new(FaultKind::Unsupported).on(Call::TryLock),
            std::io::ErrorKind::Unsupported,
        ),
    ];
    for (fault, expected) in faults {
        for chosen in [false, true] {
            let sim = SimDisk::new(1);
            sim.inject(fault.clone().forever());
            let opened = options(sim.disk()).create_new(chosen).open(PATH);
            assert_eq!(opened.unwrap_err().io_kind(), Some(expected));
            sim.clear_faults();
            assert!(sim.read(PATH).is_err() && beside(&sim).is_empty());
            options(sim.disk()).create_new(chosen).open(PATH).unwrap();
        }
        // A file that was there before stays.
        let sim = SimDisk::new(1);
        sim.write(PATH, "").unwrap();
        sim.inject(fault.forever());
        options(sim.disk()).open(PATH).unwrap_err();
        assert!(sim.read(PATH).unwrap().is_empty());
    }
}

#[test]
fn an_entry_that_ended_less_than_a_day_ago_is_dropped_by_nobody_but_an_explicit_removal() {
    let sim = SimDisk::new(1);
    let store = options(sim.disk()).open(PATH).unwrap();
    let now = sim.process().wall_clock();
    store.insert_until("a", "1", now + HOUR).unwrap();
    sim.advance(HOUR + DAY - Duration::from_secs(1));
    store.compact().unwrap();
    assert_eq!(store.len().unwrap(), 1);
    assert!(store.remove("a").unwrap());
    store.insert_until("a", "1", now + HOUR).unwrap();
    sim.advance(Duration::from_secs(2));
    store.compact().unwrap();
    assert_eq!(store.len().unwrap(), 0);
}

#[test]
fn a_write_that_a_failed_sync_took_back_leaves_the_value_that_was_acknowledged_before() {
    for exclusive in [false, true] {
        let sim = SimDisk::new(1);
        sim.set_failed_sync(FailedSync::Revert);
        let mut durable = options(sim.disk());
        let durable = durable
            .durability(Durability::Immediate)
            .exclusive(exclusive);
        let store = durable.open(PATH).unwrap();
        store.insert("a", "acknowledged").unwrap();
        sim.inject(Fault::new(FaultKind::Enospc).on(Call::Sync));
        store.insert("a", "never acknowledged").unwrap_err();
        // A look at the file takes in the note that it was left, and keeps what fell back in the index.
        store.len().unwrap();
        store.insert("b", "heals it").unwrap();
        assert_eq!(
            store.get("a").unwrap().as_deref(),
            Some(&b"acknowledged"[..])
        );
        let [Reverted { from, to, .. }] = store.recovery().reverted[..] else {
            panic!("exclusive {exclusive}: {:?}", store.recovery());
        };
        assert!(to < from, "{to} {from}");
    }
}
