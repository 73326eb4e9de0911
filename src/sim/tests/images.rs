//! The images that a power cut may leave, and the parts that are in all of them.

use super::*;

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
