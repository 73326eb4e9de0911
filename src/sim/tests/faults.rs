//! Calls that fail, and calls that only say that they did what was asked.

use super::*;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Makes a call of the kind, whatever comes of it.
fn make(call: Call, process: &SimProcess, file: &dyn DiskFile) -> io::Result<usize> {
    let (s, t, root) = (Path::new("s"), Path::new("t"), Path::new("/"));
    match call {
        Call::Open => process.open(s, ANY).map(|_| 0),
        Call::Resolve => process.resolve(s).map(|_| 0),
        Call::StatPath => Disk::stat(process, s).map(|stat| stat.size_bytes as usize),
        Call::List => process.list(root).map(|_| 0),
        Call::Rename => process.rename(t, s).map(|()| 0),
        Call::Link => process.link(s, Path::new("u")).map(|()| 0),
        Call::Remove => process.remove(t).map(|()| 0),
        Call::SyncDir => process.sync_dir(root).map(|()| 0),
        Call::NetworkFileSystem => process.network_file_system(s).map(|_| 0),
        Call::Random => process.random(&mut [0; 4]).map(|()| 0),
        Call::Read => file.read_at(&mut [0; 10], 0),
        Call::Write => file.write_at(&[9; 10], 3),
        Call::SetLen => file.set_len(2).map(|()| 0),
        Call::Sync => file.sync().map(|()| 0),
        Call::Size => file.size().map(|size| size as usize),
        Call::Stat => file.stat().map(|stat| stat.size_bytes as usize),
        Call::SetOwner => file.set_owner(1000, 1000, 0o640).map(|()| 0),
        Call::TryLock => file.try_lock().map(|_| 0),
        Call::Unlock => file.unlock().map(|()| 0),
    }
}

#[test]
fn every_fault_strikes_every_call_that_it_can_happen_to() {
    let errors = [
        (FaultKind::Eio, io::Error::from_raw_os_error(5).kind()),
        (FaultKind::Enospc, io::ErrorKind::StorageFull),
        (FaultKind::Eintr, io::ErrorKind::Interrupted),
        (FaultKind::Emfile, io::Error::from_raw_os_error(24).kind()),
        (FaultKind::Eacces, io::ErrorKind::PermissionDenied),
        (FaultKind::Erofs, io::ErrorKind::ReadOnlyFilesystem),
        (FaultKind::Unsupported, io::ErrorKind::Unsupported),
        (FaultKind::Kill, io::ErrorKind::Other),
    ];
    for call in Call::ALL {
        let machine = || {
            let sim = SimDisk::new(1);
            sim.write("s", [1; 20]).unwrap();
            sim.write("t", [2; 20]).unwrap();
            let process = sim.process();
            let file = open(&process, "s");
            (sim, process, file)
        };
        for (fault, kind) in errors {
            let (sim, process, file) = machine();
            let steps = sim.steps();
            sim.inject(Fault::new(fault).on(call));
            let error = make(call, &process, &*file).unwrap_err();
            assert_eq!(
                (error.kind(), sim.faults()),
                (kind, 1),
                "{fault:?} {call:?}"
            );
            let failed_sync = usize::from(
                call == Call::Sync && !matches!(fault, FaultKind::Eintr | FaultKind::Kill),
            );
            assert_eq!(
                sim.steps(),
                steps + failed_sync,
                "{fault:?} {call:?} changed something"
            );
            assert_eq!(
                make(call, &process, &*file).is_ok(),
                fault != FaultKind::Kill,
                "{fault:?} {call:?} once"
            );
            assert_eq!(
                sim.calls(call),
                2 - u64::from(fault == FaultKind::Kill) + u64::from(call == Call::Open)
            );
            let event = sim
                .trace()
                .into_iter()
                .find(|event| event.fault.is_some())
                .unwrap();
            assert_eq!(
                (event.call, event.ok, event.fault),
                (call, false, Some(fault))
            );
        }
        for (fault, count) in [
            (FaultKind::Short(0), 0),
            (FaultKind::Short(1), 1),
            (FaultKind::OneShort, 9),
        ] {
            let (sim, process, file) = machine();
            sim.inject(Fault::new(fault));
            let strikes = match call {
                Call::Write => true,
                Call::Read => count > 0,
                _ => false,
            };
            let transferred = make(call, &process, &*file).unwrap();
            assert_eq!(sim.faults(), u64::from(strikes));
            assert!(!strikes || transferred == count, "{fault:?} {call:?}");
        }
    }
}

#[test]
fn a_call_that_panics_changes_nothing_and_spares_a_thread_that_panics_already() {
    struct Drops<'a>(&'a SimProcess);
    impl Drop for Drops<'_> {
        fn drop(&mut self) {
            Disk::stat(self.0, Path::new("s")).unwrap();
        }
    }
    for call in Call::ALL {
        let sim = SimDisk::new(1);
        sim.write("s", [1; 20]).unwrap();
        sim.write("t", [2; 20]).unwrap();
        let process = sim.process();
        let file = open(&process, "s");
        let steps = sim.steps();
        sim.inject(Fault::new(FaultKind::Panic).on(call));
        sim.inject(Fault::new(FaultKind::Panic).on(Call::StatPath).nth(2));
        let panicking = AssertUnwindSafe(|| {
            let _drops = Drops(&process);
            _ = make(call, &process, &*file);
        });
        catch_unwind(panicking).unwrap_err();
        let event = sim.trace().into_iter().find(|event| event.fault.is_some());
        let event = event.unwrap();
        let expected = (call, false, Some(FaultKind::Panic));
        assert_eq!((event.call, event.ok, event.fault), expected);
        assert_eq!((sim.faults(), sim.steps()), (1, steps), "{call:?}");
        sim.clear_faults();
        make(call, &process, &*file).unwrap();
    }
}

#[test]
fn a_fault_waits_for_its_call_and_may_stay() {
    let sim = SimDisk::new(1);
    let (one, two) = (sim.process(), sim.process());
    let (a, b) = (open(&one, "s"), open(&two, "s"));
    sim.inject(
        Fault::new(FaultKind::Eio)
            .on(Call::Write)
            .by(one.id())
            .nth(3)
            .forever(),
    );
    let fails = |file: &dyn DiskFile| file.write_at(b"x", 0).is_err();
    assert!(!fails(&*a) && !fails(&*b) && !fails(&*b) && !fails(&*b) && !fails(&*a));
    a.sync().unwrap();
    assert!(fails(&*a) && fails(&*a) && !fails(&*b));
    sim.clear_faults();
    assert!(!fails(&*a));
    assert_eq!(sim.faults(), 2);
}

#[test]
fn an_elided_call_does_nothing_and_says_it_did() {
    let sim = SimDisk::new(1);
    sim.write("s", "base").unwrap();
    let process = sim.process();
    let file = open(&process, "s");
    file.write_at(b"lost", 4).unwrap();
    sim.inject(Fault::new(FaultKind::Elide).on(Call::Sync));
    file.sync().unwrap();
    assert!(left_of("s", sim.power_cuts().from_step(sim.steps())).contains(&b"base"[..]));
    file.sync().unwrap();

    open(&process, "t");
    sim.inject(Fault::new(FaultKind::Elide).on(Call::SyncDir));
    process.sync_dir(Path::new("/")).unwrap();
    assert!(left(sim.power_cuts().from_step(sim.steps())).contains(&files([("s", "baselost")])));

    let before = file.stat().unwrap();
    process.rename(Path::new("t"), Path::new("s")).unwrap();
    for call in [Call::StatPath, Call::Stat] {
        sim.inject(Fault::new(FaultKind::Elide).on(call));
    }
    assert!(
        Disk::stat(&process, Path::new("s"))
            .unwrap()
            .same_file(&before),
        "as when it was opened"
    );
    assert!(
        !Disk::stat(&process, Path::new("s"))
            .unwrap()
            .same_file(&before)
    );
    file.set_len(1).unwrap();
    assert_eq!(file.stat().unwrap(), before);
    assert_eq!(file.stat().unwrap().size_bytes, 1);
}
