use super::*;
use crate::store::disk::{Create, DiskFile, OpenFile, os::OsDisk};
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;

const ANY: OpenFile = OpenFile {
    write: true,
    create: Create::IfMissing,
    mode: 0o600,
};

fn open(disk: &dyn Disk, path: &str) -> Arc<dyn DiskFile> {
    disk.open(Path::new(path), ANY).unwrap()
}

/// Results without what may differ: the wording of an error, the numbers of inodes.
fn outcome<T: fmt::Debug>(result: io::Result<T>) -> String {
    match result {
        Ok(value) => format!("{value:?}"),
        Err(error) => format!("{:?}", error.kind()),
    }
}

#[cfg(unix)]
#[test]
fn answers_every_call_as_the_operating_system_does() {
    for seed in 0..20 {
        let folder = tempfile::tempdir().unwrap();
        let real = OsDisk;
        let sim = SimDisk::new(seed).process();
        // The same place on both, so that absolute links mean the same.
        let root = folder.path().canonicalize().unwrap();
        let mut place = PathBuf::new();
        for part in root.components() {
            place.push(part);
            if part.as_os_str() != "/" {
                sim.sim().plant(&place, Plant::Directory).unwrap();
            }
        }
        std::fs::create_dir(root.join("folder")).unwrap();
        sim.sim()
            .plant(root.join("folder"), Plant::Directory)
            .unwrap();
        for (name, target) in [
            ("link", "b"),
            ("up", "folder/../c"),
            ("loop", "loop"),
            ("to", "folder"),
        ] {
            std::os::unix::fs::symlink(target, root.join(name)).unwrap();
            sim.sim()
                .plant(root.join(name), Plant::Symlink(target.into()))
                .unwrap();
        }

        let disks: [&dyn Disk; 2] = [&real, &sim];
        let names = [
            "a",
            "b",
            "c",
            "link",
            "up",
            "loop",
            "folder",
            "to/b",
            "folder/d",
            "a/x",
            "gone/x",
            "./to/../b",
        ];
        let mut random = Random::new(seed);
        let mut files: Vec<[Option<Arc<dyn DiskFile>>; 2]> = Vec::new();
        for step in 0..2_000 {
            let one = root.join(names[random.below(names.len())]);
            let two =
                one.with_file_name(["a", "b", "d", "link", "loop", "folder"][random.below(6)]);
            let how = OpenFile {
                write: random.below(3) > 0,
                create: [Create::Never, Create::IfMissing, Create::New][random.below(3)],
                mode: 0o600,
            };
            let (at, len) = (random.below(9_000) as u64, random.below(600));
            let bytes = vec![random.next() as u8; len];
            let call = random.below(14);
            let slot = random.below(files.len());
            let mut opened = [None, None];
            let said: Vec<String> = (0..2)
                .map(|side| {
                    let disk = disks[side];
                    let file = files.get(slot).and_then(|pair| pair[side].as_ref());
                    let same = |stat: crate::store::disk::Stat| {
                        (stat.size_bytes * u64::from(stat.is_file), stat.is_file)
                    };
                    match (call, file) {
                        (0, _) => {
                            outcome(disk.open(&one, how).map(|file| opened[side] = Some(file)))
                        }
                        (1, _) => outcome(disk.resolve(&one)),
                        (2, _) => outcome(disk.stat(&one).map(same)),
                        (3, _) => outcome(disk.list(&one).map(|mut names: Vec<OsString>| {
                            names.sort();
                            names
                        })),
                        // Folders do not move here.
                        (4, _) if !one.ends_with("folder") => outcome(disk.rename(&one, &two)),
                        (5, _) => outcome(disk.remove(&one)),
                        (6, _) => outcome(disk.link(&one, &two)),
                        (7, Some(file)) => {
                            let mut buf = vec![0; len];
                            outcome(file.read_at(&mut buf, at).map(|count| (count, buf)))
                        }
                        (8 | 9, Some(file)) => outcome(file.write_at(&bytes, at)),
                        (10, Some(file)) => outcome(file.set_len(at)),
                        (11, Some(file)) => outcome(file.stat().map(same)),
                        (12, Some(file)) => outcome(file.try_lock()),
                        (13, Some(file)) => outcome(file.unlock()),
                        _ => String::new(),
                    }
                })
                .collect();
            assert_eq!(
                said[0], said[1],
                "seed {seed} step {step}: call {call} {how:?} {one:?} {two:?}"
            );
            if opened[0].is_some() {
                files.push(opened);
            }
            if files.len() > 6 {
                files.remove(random.below(6));
            }
        }
    }
}

#[test]
fn the_lock_belongs_to_one_open_file_until_it_is_closed_or_killed() {
    let sim = SimDisk::new(1);
    let (one, two) = (sim.process(), sim.process());
    let (a, b) = (open(&one, "s"), open(&two, "s"));
    let again = open(&one, "s");
    assert!(a.try_lock().unwrap());
    assert!(a.try_lock().unwrap(), "it has it already");
    assert!(!b.try_lock().unwrap());
    assert!(
        !again.try_lock().unwrap(),
        "another description of the same process"
    );
    b.unlock().unwrap();
    assert!(!b.try_lock().unwrap(), "nobody frees the lock of another");
    drop(a);
    assert!(b.try_lock().unwrap());
    sim.kill(two.id());
    assert!(b.write_at(b"x", 0).is_err());
    assert!(again.try_lock().unwrap());
    drop(b);
    assert!(
        !open(&one, "s").try_lock().unwrap(),
        "a dead handle frees nothing of others"
    );
    assert_eq!(sim.read("s").unwrap(), b"");
}

#[test]
fn a_killed_process_changes_nothing_and_its_writes_stay() {
    let sim = SimDisk::new(1);
    let process = sim.process();
    let file = open(&process, "s");
    file.write_at(b"before", 0).unwrap();
    sim.kill(process.id());
    assert!(file.write_at(b"behind", 0).is_err());
    assert!(file.set_len(0).is_err());
    assert!(process.remove(Path::new("s")).is_err());
    assert!(process.open(Path::new("t"), ANY).is_err());
    assert_eq!(sim.read("s").unwrap(), b"before");
    assert!(sim.read("t").is_err());
}

#[test]
fn modes_and_owners_decide_who_may() {
    let sim = SimDisk::new(1);
    let (app, other, root) = (sim.process(), sim.process_of(7, 7), sim.process_of(0, 0));
    let path = Path::new("s");
    let file = open(&app, "s");
    let denied =
        |result: io::Result<()>| result.unwrap_err().kind() == io::ErrorKind::PermissionDenied;
    assert!(denied(other.open(path, ANY).map(drop)));
    assert!(root.open(path, ANY).is_ok());
    assert!(
        denied(file.set_owner(7, 7, 0o600)),
        "nobody gives a file away"
    );
    file.set_owner(1000, 1000, 0o604).unwrap();
    let read = OpenFile {
        write: false,
        create: Create::Never,
        mode: 0,
    };
    assert!(denied(other.open(path, ANY).map(drop)));
    let handle = other.open(path, read).unwrap();
    assert!(handle.write_at(b"x", 0).is_err(), "opened for reading");
    open(&root, "s").set_owner(7, 7, 0o640).unwrap();
    let stat = other.stat(path).unwrap();
    assert_eq!((stat.uid, stat.gid, stat.mode), (7, 7, 0o640));
    sim.plant("folder", Plant::Directory).unwrap();
    sim.set_owner("folder", 1000, 1000, 0o500).unwrap();
    assert!(denied(app.open(Path::new("folder/t"), ANY).map(drop)));
    assert!(denied(app.rename(path, Path::new("folder/t"))));
}

#[test]
fn only_the_test_moves_the_clocks() {
    let sim = SimDisk::new(1);
    let (one, two) = (sim.process(), sim.process());
    let (wall, start) = (one.wall_clock(), one.monotonic());
    let second = Duration::from_secs(1);
    one.sleep(second);
    assert_eq!(two.monotonic(), start + second);
    assert_eq!(two.wall_clock(), wall + second);
    one.set_wall_clock(wall - second);
    sim.advance(second);
    assert_eq!(one.wall_clock(), wall);
    assert_eq!(two.wall_clock(), wall + 2 * second);
    sim.set_wall_clock(SystemTime::UNIX_EPOCH);
    assert_eq!(two.wall_clock(), SystemTime::UNIX_EPOCH);
    assert_eq!(one.wall_clock(), wall, "it has a clock of its own");
}

#[test]
fn randomness_repeats_by_seed_and_collides_on_demand() {
    let draw = |process: &SimProcess| {
        let mut bytes = [0; 16];
        process.random(&mut bytes).unwrap();
        bytes
    };
    let (one, two) = (SimDisk::new(1), SimDisk::new(1));
    let (a, b, c) = (one.process(), one.process(), two.process());
    let first = draw(&a);
    assert_eq!(first, draw(&c));
    assert_ne!(first, draw(&b));
    assert_ne!(first, draw(&a));
    one.seed_random(9);
    assert_eq!(draw(&a), draw(&b));
}

#[test]
fn a_fork_has_another_id_and_the_same_open_files() {
    let sim = SimDisk::new(1);
    let process = sim.process();
    let file = open(&process, "s");
    assert!(file.try_lock().unwrap());
    let parent = Disk::process(&process);
    process.fork();
    assert_ne!(Disk::process(&process), parent);
    assert!(
        file.try_lock().unwrap(),
        "the description, and so the lock, is shared"
    );
    assert!(!open(&process, "s").try_lock().unwrap());
}

#[test]
fn a_full_disk_and_a_full_file_write_short_and_then_refuse() {
    let sim = SimDisk::new(1);
    let process = sim.process();
    let (a, b) = (open(&process, "a"), open(&process, "b"));
    sim.set_capacity(Some(1_000));
    assert_eq!(a.write_at(&[1; 600], 0).unwrap(), 600);
    assert_eq!(b.write_at(&[2; 600], 0).unwrap(), 400);
    let full = b.write_at(&[2; 200], 400).unwrap_err();
    assert_eq!(full.kind(), io::ErrorKind::StorageFull);
    assert_eq!(
        a.write_at(&[3; 600], 0).unwrap(),
        600,
        "room that it has already"
    );
    assert_eq!(
        a.set_len(601).unwrap_err().kind(),
        io::ErrorKind::StorageFull
    );
    process.remove(Path::new("b")).unwrap();
    assert!(a.set_len(601).is_err(), "an open file keeps its blocks");
    process.sync_dir(Path::new("/")).unwrap();
    drop(b);
    a.set_len(601).unwrap();
    sim.set_capacity(None);
    sim.set_max_file_size(700);
    assert_eq!(a.write_at(&[4; 200], 600).unwrap(), 100);
    let full = a.write_at(&[4; 100], 700).unwrap_err();
    assert_eq!(full.kind(), io::ErrorKind::FileTooLarge);
}

/// What is left of each file, by all power cuts.
fn left(cuts: PowerCuts) -> BTreeSet<BTreeMap<OsString, Vec<u8>>> {
    let files = |sim: &SimDisk| {
        let names = sim.disk().list(Path::new("/")).unwrap().into_iter();
        names
            .map(|name| (name.clone(), sim.read(&name).unwrap()))
            .collect()
    };
    cuts.map(|cut| files(cut.sim())).collect()
}

/// What is left of a file that all power cuts leave there.
fn left_of(path: &str, cuts: PowerCuts) -> BTreeSet<Vec<u8>> {
    let bytes = |cut: PowerCut| {
        cut.sim()
            .read(path)
            .unwrap_or_else(|error| panic!("{}: {error}", cut.id()))
    };
    cuts.map(bytes).collect()
}

fn files<const N: usize>(files: [(&str, &str); N]) -> BTreeMap<OsString, Vec<u8>> {
    files
        .map(|(name, bytes)| (name.into(), bytes.into()))
        .into()
}

#[test]
fn what_was_synced_stays_and_what_was_not_may_go() {
    let sim = SimDisk::new(1);
    let process = sim.process();
    let file = open(&process, "s");
    file.write_at(b"kept", 0).unwrap();
    file.sync().unwrap();
    let nameless = left(sim.power_cuts().from_step(sim.steps()));
    assert_eq!(
        nameless,
        [files([]), files([("s", "kept")])].into(),
        "the name was not synced"
    );
    process.sync_dir(Path::new("/")).unwrap();
    let synced = sim.steps();
    assert_eq!(
        left(sim.power_cuts().from_step(synced)),
        [files([("s", "kept")])].into()
    );
    file.write_at(b"lost", 4).unwrap();
    let left = left_of("s", sim.power_cuts().from_step(synced));
    for prefix in [
        "kept",
        "keptl",
        "keptlo",
        "keptlos",
        "keptlost",
        "kept\0\0\0\0",
    ] {
        assert!(left.contains(prefix.as_bytes()), "{prefix:?}");
    }
    assert!(
        left.iter()
            .any(|bytes| bytes.len() == 8 && bytes[4..] != *b"lost" && bytes[4..] != [0; 4]),
        "garbage"
    );
    assert!(
        left.iter()
            .all(|bytes| bytes.starts_with(b"kept") && bytes.len() <= 8)
    );
}

#[test]
fn any_set_of_sectors_may_arrive() {
    let sim = SimDisk::new(1);
    sim.write("s", [0; 2_048]).unwrap();
    let file = open(&sim.process(), "s");
    file.write_at(&[1; 2_048], 0).unwrap();
    file.stat().unwrap();
    let left = left_of("s", sim.power_cuts().from_step(sim.steps()));
    for set in 0..16_u32 {
        let sector = |index: u32| [(set >> index & 1) as u8; 512];
        let bytes: Vec<u8> = (0..4).flat_map(sector).collect();
        assert!(left.contains(&bytes), "{set:04b}");
    }
    for torn in 0..2_048 {
        let bytes: Vec<u8> = (0..2_048).map(|at| u8::from(at < torn)).collect();
        assert!(left.contains(&bytes), "torn after {torn}");
    }
}

#[test]
fn a_cut_file_may_show_again_what_stood_there() {
    let sim = SimDisk::new(1);
    sim.write("s", b"old-secret").unwrap();
    let file = open(&sim.process(), "s");
    file.set_len(3).unwrap();
    assert_eq!(
        left_of("s", sim.power_cuts().from_step(sim.steps())),
        [
            b"old".to_vec(),
            b"old-secret".to_vec(),
            b"old\0\0\0\0\0\0\0".to_vec()
        ]
        .into()
    );
    file.sync().unwrap();
    let synced = sim.steps();
    assert_eq!(
        left_of("s", sim.power_cuts().from_step(synced)),
        [b"old".to_vec()].into()
    );
    file.write_at(b"+new", 3).unwrap();
    let left = left_of("s", sim.power_cuts().from_step(synced));
    for bytes in ["old", "old+new", "old\0\0\0\0", "old-sec", "old-"] {
        assert!(left.contains(bytes.as_bytes()), "{bytes:?}");
    }
    file.sync().unwrap();
    assert_eq!(
        left_of("s", sim.power_cuts().from_step(sim.steps())),
        [b"old+new".to_vec()].into()
    );
}

#[test]
fn names_revert_one_by_one_until_the_folder_is_synced() {
    let sim = SimDisk::new(1);
    sim.write("s", "old").unwrap();
    let process = sim.process();
    let new = open(&process, "t");
    new.write_at(b"new", 0).unwrap();
    new.sync().unwrap();
    process.sync_dir(Path::new("/")).unwrap();
    process.rename(Path::new("t"), Path::new("s")).unwrap();
    let other = open(&process, "u");
    other.sync().unwrap();
    let before = files([("s", "old"), ("t", "new")]);
    let after = files([("s", "new")]);
    let with = |mut files: BTreeMap<OsString, Vec<u8>>| {
        files.insert("u".into(), Vec::new());
        files
    };
    assert_eq!(
        left(sim.power_cuts().from_step(sim.steps())),
        [
            before.clone(),
            with(before),
            after.clone(),
            with(after.clone())
        ]
        .into()
    );
    process.sync_dir(Path::new("/")).unwrap();
    assert_eq!(
        left(sim.power_cuts().from_step(sim.steps())),
        [with(after)].into()
    );
}

#[test]
fn a_rename_before_the_sync_may_leave_an_empty_file() {
    let sim = SimDisk::new(1);
    sim.write("s", "old").unwrap();
    let process = sim.process();
    open(&process, "t").write_at(b"new", 0).unwrap();
    process.rename(Path::new("t"), Path::new("s")).unwrap();
    let left = left_of("s", sim.power_cuts().from_step(sim.steps()));
    assert!(left.contains(&b""[..]) && left.contains(&b"new"[..]) && left.contains(&b"old"[..]));
}

/// Twenty records, each synced, and a switch to a new file after half of them.
fn workload(sim: &SimDisk) {
    let process = sim.process();
    let mut file = open(&process, "s");
    process.sync_dir(Path::new("/")).unwrap();
    let mut end = 0;
    for record in 0..20_u8 {
        file.write_at(&[record; 300], end).unwrap();
        end += 300;
        file.sync().unwrap();
        sim.acknowledge();
        if record == 9 {
            let new = open(&process, "t");
            new.write_at(&sim.read("s").unwrap(), 0).unwrap();
            new.sync().unwrap();
            process.rename(Path::new("t"), Path::new("s")).unwrap();
            process.sync_dir(Path::new("/")).unwrap();
            file = new;
        }
    }
}

#[test]
fn every_acknowledged_record_is_in_every_image_and_no_image_comes_twice() {
    let sim = SimDisk::new(1);
    workload(&sim);
    let mut seen = BTreeSet::new();
    for cut in sim.power_cuts() {
        let acknowledged = cut.acknowledged();
        // Before the folder is synced there may be no file.
        let file = cut.sim().read("s").ok();
        let bytes = file.clone().unwrap_or_default();
        for record in 0..acknowledged {
            assert_eq!(
                bytes[300 * record..][..300],
                [record as u8; 300],
                "{}",
                cut.id()
            );
        }
        assert!(
            seen.insert((acknowledged, file, cut.sim().read("t").ok())),
            "{}",
            cut.id()
        );
    }
    assert_eq!(sim.power_cuts().last().unwrap().acknowledged(), 20);
    assert!(seen.len() > 20_000, "{} images", seen.len());
}

#[test]
fn an_image_is_found_again_by_its_name() {
    let sims = [SimDisk::new(5), SimDisk::new(5)];
    sims.iter().for_each(workload);
    for cut in sims[0].power_cuts().pick(300) {
        let id: ImageId = cut.id().to_string().parse().unwrap();
        let again = sims[1].power_cut(id).unwrap();
        assert_eq!(again.id(), cut.id());
        assert_eq!(again.acknowledged(), cut.acknowledged());
        assert_eq!(again.sim().read("s").ok(), cut.sim().read("s").ok());
        assert_eq!(again.sim().read("t").ok(), cut.sim().read("t").ok());
    }
    let id = sims[0].power_cuts().last().unwrap().id();
    assert!(
        SimDisk::new(5).power_cut(id).is_err(),
        "nothing happened there"
    );
    let other = SimDisk::new(6);
    workload(&other);
    assert!(other.power_cut(id).is_err(), "another seed");
    for text in [
        "",
        "1",
        "1:2",
        "1:2:x",
        "1:2:3:4",
        "-1:2:3",
        "1:2:99999999999999999999",
    ] {
        assert!(text.parse::<ImageId>().is_err(), "{text:?}");
    }
}

#[test]
fn the_power_can_be_cut_on_what_a_power_cut_left() {
    let sim = SimDisk::new(1);
    sim.write("s", "first").unwrap();
    open(&sim.process(), "s").write_at(b" second", 5).unwrap();
    let mut deepest = BTreeSet::new();
    for cut in sim.power_cuts().from_step(1) {
        assert_eq!(
            left_of("s", cut.sim().power_cuts()).len(),
            1,
            "nothing is pending after {}",
            cut.id()
        );
        let kept = cut.sim().read("s").unwrap();
        let file = open(&cut.sim().process(), "s");
        file.write_at(b"!", kept.len() as u64).unwrap();
        for again in cut.sim().power_cuts() {
            let bytes = again.sim().read("s").unwrap();
            assert!(bytes.starts_with(&kept), "{} then {}", cut.id(), again.id());
            assert_eq!(
                cut.sim()
                    .power_cut(again.id())
                    .unwrap()
                    .sim()
                    .read("s")
                    .unwrap(),
                bytes
            );
            deepest.insert(bytes);
        }
    }
    assert!(deepest.contains(&b"first second!"[..]));
    assert!(
        deepest.contains(&b"first "[..]),
        "what the first cut lost may show after the second"
    );
}

#[test]
fn forgetting_moves_the_start_and_keeps_what_is_pending() {
    let sim = SimDisk::new(1);
    sim.write("s", "a").unwrap();
    let file = open(&sim.process(), "s");
    file.write_at(b"b", 1).unwrap();
    sim.forget();
    let start = sim.steps();
    assert!(left_of("s", sim.power_cuts()).contains(&b"a"[..]));
    file.sync().unwrap();
    assert_eq!(sim.steps(), start + 1);
    assert_eq!(
        left_of("s", sim.power_cuts().from_step(start + 1)),
        [b"ab".to_vec()].into()
    );
}

#[test]
fn bytes_of_a_failed_sync_read_well_and_are_never_durable() {
    let sim = SimDisk::new(1);
    sim.write("s", "base").unwrap();
    let file = open(&sim.process(), "s");
    file.write_at(b"lost", 4).unwrap();
    sim.inject(Fault::new(FaultKind::Eio).on(Call::Sync));
    assert!(file.sync().is_err());
    assert_eq!(sim.read("s").unwrap(), b"baselost");
    assert_eq!(
        left_of("s", sim.power_cuts().from_step(sim.steps())),
        [b"base".to_vec()].into()
    );
    file.sync().unwrap();
    assert_eq!(
        left_of("s", sim.power_cuts().from_step(sim.steps())),
        [b"base".to_vec()].into(),
        "the second sync succeeds, and brings nothing back"
    );
    file.write_at(b"more", 8).unwrap();
    file.sync().unwrap();
    assert_eq!(sim.read("s").unwrap(), b"baselostmore");
    let left = left_of("s", sim.power_cuts().from_step(sim.steps()));
    assert_eq!(left, [b"base\0\0\0\0more".to_vec()].into());
}

#[test]
fn a_failed_sync_that_reverts_takes_the_bytes_from_everybody() {
    let sim = SimDisk::new(1);
    sim.write("s", "base").unwrap();
    sim.set_failed_sync(FailedSync::Revert);
    let file = open(&sim.process(), "s");
    file.write_at(b"lost", 4).unwrap();
    sim.inject(Fault::new(FaultKind::Eintr).on(Call::Sync));
    assert_eq!(file.sync().unwrap_err().kind(), io::ErrorKind::Interrupted);
    assert_eq!(
        sim.read("s").unwrap(),
        b"baselost",
        "an interrupted sync drops nothing"
    );
    sim.inject(Fault::new(FaultKind::Enospc).on(Call::Sync));
    assert_eq!(file.sync().unwrap_err().kind(), io::ErrorKind::StorageFull);
    assert_eq!(sim.read("s").unwrap(), b"base");
}

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

#[test]
fn rot_is_in_the_cache_and_on_the_disk() {
    let sim = SimDisk::new(1);
    sim.write("s", [0; 600]).unwrap();
    sim.flip_bit("s", 599, 7).unwrap();
    sim.overwrite("s", 512, &[5; 512]).unwrap();
    sim.flip_bit("s", 600, 0).unwrap();
    let bytes = [[0; 512].as_slice(), &[5; 88]].concat();
    assert_eq!(sim.read("s").unwrap(), bytes);
    sim.flip_bit("s", 3, 1).unwrap();
    let left = left_of("s", sim.power_cuts().from_step(sim.steps()))
        .pop_first()
        .unwrap();
    assert_eq!((left[3], left.len()), (2, 600));
}

/// Adds one to the byte in `s`, under the lock or not.
fn increment(process: &SimProcess, locked: bool) -> io::Result<()> {
    let file = process.open(Path::new("s"), ANY)?;
    while locked && !file.try_lock()? {
        process.sleep(Duration::from_millis(1));
    }
    let mut byte = [0];
    file.read_at(&mut byte, 0)?;
    file.write_at(&[byte[0] + 1], 0).map(drop)
}

/// What every interleaving of so many increments ends with, and how many runs and states that took.
fn increments(schedule: &mut Schedule, processes: usize, locked: bool) -> (BTreeSet<u8>, usize) {
    let (mut ends, mut runs) = (BTreeSet::new(), 0);
    while schedule.next() {
        let sim = SimDisk::new(1);
        sim.write("s", [0]).unwrap();
        let processes: Vec<SimProcess> = (0..processes).map(|_| sim.process()).collect();
        let programs = processes
            .iter()
            .map(|process| process.program(|| increment(process, locked)));
        if sim.run(schedule, programs.collect()) == Ran::Whole {
            ends.insert(sim.read("s").unwrap()[0]);
        }
        runs += 1;
    }
    (ends, runs)
}

#[test]
fn a_search_finds_every_end_that_an_interleaving_can_have() {
    let mut all = Schedule::search();
    assert_eq!(increments(&mut all, 3, false).0, [1, 2, 3].into());
    assert_eq!(increments(&mut Schedule::search(), 3, true).0, [3].into());
    assert_eq!(
        increments(&mut Schedule::search().preemptions(0), 3, false).0,
        [3].into()
    );
    let once = Schedule::search().preemptions(1);
    assert_eq!(increments(&mut { once }, 3, false).0, [1, 2, 3].into());
    assert_eq!(
        increments(&mut Schedule::seeds(0..200), 3, false).0,
        [1, 2, 3].into()
    );
    assert_eq!(
        increments(&mut Schedule::seeds(0..200), 3, true).0,
        [3].into()
    );
}

#[test]
fn a_search_that_gives_up_known_states_finds_the_same_ends_as_one_that_does_not() {
    for locked in [false, true] {
        let mut plain = Schedule::search().everything();
        let (ends, runs) = increments(&mut plain, 2, locked);
        let (few, fewer) = increments(&mut Schedule::search(), 2, locked);
        assert_eq!(ends, few);
        assert!(fewer < runs, "{fewer} of {runs}");
    }
}

#[test]
fn a_schedule_is_repeated_by_its_seed() {
    let trace = |seed| {
        let sim = SimDisk::new(1);
        let processes = [sim.process(), sim.process(), sim.process()];
        let programs = processes
            .iter()
            .map(|process| process.program(|| increment(process, true)));
        let mut schedule = Schedule::seeds(seed..seed + 1);
        assert!(schedule.next());
        assert_eq!(sim.run(&mut schedule, programs.collect()), Ran::Whole);
        assert!(!schedule.next());
        sim.trace()
    };
    let traces: Vec<Vec<Event>> = (0..40).map(trace).collect();
    assert_eq!(traces, (0..40).map(trace).collect::<Vec<_>>());
    assert!(traces.iter().any(|other| *other != traces[0]));
}

#[test]
fn a_lock_that_is_not_given_back_is_waited_for_in_simulated_time() {
    for seed in 0..50 {
        let sim = SimDisk::new(1);
        let (holder, waiter) = (sim.process(), sim.process());
        let held = open(&holder, "s");
        assert!(held.try_lock().unwrap());
        let start = waiter.monotonic();
        let mut waited = Duration::ZERO;
        let holds = holder.program(|| {
            holder.sleep(Duration::from_secs(3));
            held.unlock()
        });
        let waits = waiter.program(|| {
            let file = waiter.open(Path::new("s"), ANY)?;
            while !file.try_lock()? {
                waiter.sleep(Duration::from_millis(1));
            }
            waited = waiter.monotonic() - start;
            io::Result::Ok(())
        });
        let mut schedule = Schedule::seeds(seed..seed + 1);
        schedule.next();
        sim.run(&mut schedule, vec![holds, waits]);
        assert!(waited >= Duration::from_secs(3), "{waited:?}");
        assert!(waited < Duration::from_millis(3_010), "{waited:?}");
        assert!(sim.calls(Call::TryLock) < 5_000);
    }
}

#[test]
fn a_process_killed_at_any_call_leaves_the_lock_to_the_other() {
    for call in 1..=4 {
        let mut schedule = Schedule::search();
        while schedule.next() {
            let sim = SimDisk::new(1);
            sim.write("s", [0]).unwrap();
            let (one, two) = (sim.process(), sim.process());
            sim.inject(Fault::new(FaultKind::Kill).by(one.id()).nth(call));
            let dies = one.program(|| {
                let file = one.open(Path::new("s"), ANY)?;
                while !file.try_lock()? {}
                file.write_at(&[9], 0)?;
                file.unlock()
            });
            let lives = two.program(|| increment(&two, true));
            if sim.run(&mut schedule, vec![dies, lives]) == Ran::Whole {
                assert_eq!(sim.faults(), 1);
                let end = sim.read("s").unwrap()[0];
                assert!(
                    end == 1 || (call == 4 && (end == 9 || end == 10)),
                    "{end} in the {schedule}"
                );
            }
        }
    }
}

#[test]
fn a_panic_in_a_program_ends_the_run_and_reaches_the_test() {
    let sim = SimDisk::new(1);
    let (one, two) = (sim.process(), sim.process());
    let mut schedule = Schedule::seeds(0..1);
    schedule.next();
    let mut finished = false;
    let run = std::panic::AssertUnwindSafe(|| {
        let panics = one.program(|| -> io::Result<()> { panic!("planted") });
        let goes_on = two.program(|| {
            increment(&two, true)?;
            finished = true;
            io::Result::Ok(())
        });
        sim.write("s", [0]).unwrap();
        sim.run(&mut schedule, vec![panics, goes_on])
    });
    let panic = std::panic::catch_unwind(run).unwrap_err();
    assert_eq!(panic.downcast_ref(), Some(&"planted"));
    assert!(finished);
    assert!(
        sim.process().list(Path::new("/")).is_ok(),
        "the machine goes on"
    );
}

#[test]
fn what_is_acknowledged_too_early_is_caught_even_where_the_image_was_there_before() {
    let sim = SimDisk::new(1);
    sim.write("s", "").unwrap();
    let file = open(&sim.process(), "s");
    file.write_at(b"a", 0).unwrap();
    sim.acknowledge();
    file.sync().unwrap();
    let lost = |cut: &PowerCut| cut.acknowledged() == 1 && cut.sim().read("s").unwrap().is_empty();
    assert_eq!(sim.power_cuts().filter(lost).count(), 1);
}

#[test]
fn blocks_are_free_when_neither_a_name_nor_a_handle_leads_to_them() {
    let sim = SimDisk::new(1);
    let process = sim.process();
    open(&process, "s").write_at(&[1; 100], 0).unwrap();
    process.sync_dir(Path::new("/")).unwrap();
    let handle = open(&process, "s");
    process.remove(Path::new("s")).unwrap();
    process.sync_dir(Path::new("/")).unwrap();
    assert_eq!(sim.used_bytes(), 100);
    drop(handle);
    assert_eq!(sim.used_bytes(), 0);
}
