//! The answers of each call, on the simulated machine as on a real one.

use super::*;

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
