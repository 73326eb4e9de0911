//! Files that somebody made up: nothing panics, hangs or takes memory for a length that only a file claims, nothing
//! that a value holds is ever taken for a record, and what opens can be written to.

use super::*;
use crate::support::{fast_dir, is_soak, setting, skip};
use shelflife::Batch;
use shelflife::sim::Call;
use std::process::Command;
use std::time::{Duration, UNIX_EPOCH};

/// Where the fields of a record stand, and how wide they are.
const FIELDS: [Range<usize>; 13] = [
    0..4,
    4..8,
    8..12,
    12..14,
    14..15,
    15..16,
    16..20,
    20..22,
    22..24,
    24..30,
    30..36,
    36..42,
    42..48,
];

/// How much of what was changed gets right checks again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seal {
    No,
    Head,
    Both,
}

fn reseal(file: &mut [u8], at: usize, how: Seal) {
    let seed = raw::seed(file);
    match how {
        Seal::No => {}
        Seal::Head => raw::seal_head(&mut file[at..], seed, at),
        Seal::Both => raw::seal_record(&mut file[at..], seed, at),
    }
}

/// Everything one can do to a store, on a file that may hold anything. Only what is said here may go wrong.
fn survive(sim: &SimDisk, seed: u64) {
    let tell = &|| format!("SHELF_FUZZ_SEED={seed}");
    match open(sim, |_| {}) {
        Ok(store) => {
            exercise(&store, tell);
            let written = match store.insert("new", "value") {
                Ok(_) => true,
                // A record that a new file would have to hold does not verify, or the file was cut too often.
                Err(error) => {
                    let known = [ErrorKind::Corrupt, ErrorKind::TooLarge];
                    assert!(known.contains(&error.kind()), "{}: {error}", tell());
                    false
                }
            };
            if seed.is_multiple_of(2)
                && let Err(error) = store.compact()
            {
                assert!(error.is_corrupt() || !written, "{}: {error}", tell());
            }
            drop(store);
            if written {
                let again = open(sim, |_| {});
                let again = again.unwrap_or_else(|error| panic!("{}: {error}", tell()));
                let value = again.get("new").unwrap();
                assert_eq!(value.as_deref(), Some(&b"value"[..]), "{}", tell());
            }
        }
        Err(error) => {
            let known = [
                ErrorKind::Corrupt,
                ErrorKind::NotAStore,
                ErrorKind::NewerVersion,
            ];
            assert!(known.contains(&error.kind()), "{}: {error}", tell());
            if error.is_corrupt()
                && let Ok(store) = open(sim, |options| _ = options.damaged(true))
            {
                exercise(&store, tell);
                store
                    .verify()
                    .unwrap_or_else(|error| panic!("{}: {error}", tell()));
                // Behind a torn place may stand what no file of this version has.
                if seed.is_multiple_of(4)
                    && let Err(error) = store.salvage(NEW)
                {
                    assert_eq!(error.kind(), ErrorKind::NewerVersion, "{}: {error}", tell());
                }
            }
        }
    }
}

fn exercise(store: &Store, tell: &dyn Fn() -> String) {
    for item in store.iter() {
        match item {
            Ok((key, _)) => _ = store.get(key),
            Err(error) => assert!(error.is_corrupt(), "{}: {error}", tell()),
        }
    }
}

/// Sound files with everything in them that a format 1 file can have.
fn specimens() -> Vec<Vec<u8>> {
    let sim = SimDisk::new(17);
    let fill = |store: &Store, from: usize| {
        let soon = UNIX_EPOCH + Duration::from_secs(1_767_225_700);
        for nth in from..from + 4 {
            store
                .insert(format!("k{nth}"), vec![nth as u8; nth * 7])
                .unwrap();
        }
        store.insert_until("expires", "soon", soon).unwrap();
        let mut batch = Batch::new();
        batch.insert("a", "1").insert_cbor("b", [0xf6]).remove("k1");
        store.write(&batch).unwrap();
    };
    let mut files = Vec::new();
    let mut keep = |sim: &SimDisk| files.push(sim.read(PATH).unwrap());
    let store = open(&sim, |_| {}).unwrap();
    keep(&sim);
    fill(&store, 0);
    keep(&sim);
    store.close().unwrap();
    keep(&sim);
    // A torn record that was cut.
    let mut torn = sim.read(PATH).unwrap();
    torn.extend([7; 20]);
    sim.write(PATH, torn).unwrap();
    let store = open(&sim, |options| _ = options.durability(Durability::Os)).unwrap();
    fill(&store, 2);
    keep(&sim);
    store.clear().unwrap();
    fill(&store, 4);
    store.sync().unwrap();
    fill(&store, 1);
    keep(&sim);
    store.compact().unwrap();
    fill(&store, 3);
    store.close().unwrap();
    keep(&sim);
    files
}

/// Makes a file that no store would write out of a sound one.
fn mutate(file: &mut Vec<u8>, others: &[Vec<u8>], random: &mut Random) {
    let sound = file.clone();
    let records = raw::records(&sound);
    let seal = |random: &mut Random| [Seal::No, Seal::Head, Seal::Both][random.place(3)];
    for _ in 0..=random.below(4) {
        let len = file.len().max(1);
        match random.below(12) {
            0 => {
                let at = random.place(len);
                if let Some(byte) = file.get_mut(at) {
                    *byte ^= 1 << random.below(8);
                }
            }
            1 => {
                let part = span(random, len, 64);
                if let Some(part) = file.get_mut(part) {
                    part.fill([0, 0xff, b'\n'][random.place(3)]);
                }
            }
            // Bytes of this file or of another one, anywhere.
            2 | 3 => {
                let from = &others[random.place(others.len())];
                let part = span(random, from.len(), 300);
                let at = random.place(len) / 8 * 8;
                let part = &from[part];
                if let Some(place) = file.get_mut(at..at + part.len()) {
                    place.copy_from_slice(part);
                }
            }
            4 => file.truncate(random.place(len)),
            5 => {
                let more = random.place(300);
                file.extend(random.bytes(more));
            }
            // A field of the header, in both copies, and checks that hold.
            6 => {
                let at = 8 + random.place(72);
                let bytes = extreme(random, len as u64);
                for copy in [0, LOG / 2] {
                    if file.len() >= LOG {
                        let width = 1 << random.below(4);
                        file[copy + at..copy + at + width].copy_from_slice(&bytes[..width]);
                        raw::seal_header(file, copy);
                    }
                }
            }
            // A whole record once more at the end, or in place of another one, as if it belonged there.
            7 | 8 if !records.is_empty() => {
                let from = records[random.place(records.len())].clone();
                let to = match random.below(2) {
                    0 => file.len().next_multiple_of(8),
                    _ => records[random.place(records.len())].start,
                };
                if file.len() >= LOG {
                    file.resize(file.len().max(to + from.len()), 0);
                    file[to..to + from.len()].copy_from_slice(&sound[from]);
                    let how = seal(random);
                    reseal(file, to, how);
                }
            }
            // A field of a record.
            _ if !records.is_empty() => {
                let at = records[random.place(records.len())].start;
                let field = FIELDS[random.place(FIELDS.len())].clone();
                let bytes = extreme(random, (len - at.min(len)) as u64);
                if file.len() >= at + raw::HEAD {
                    let width = field.len();
                    file[at + field.start..at + field.end].copy_from_slice(&bytes[..width]);
                    let how = seal(random);
                    reseal(file, at, how);
                }
            }
            _ => {}
        }
    }
}

/// Files that no store would write, one for each seed.
pub(crate) fn hostile_files(seeds: Range<u64>) -> impl Iterator<Item = (u64, Vec<u8>)> {
    let specimens = specimens();
    seeds.map(move |seed| {
        let mut random = Random::new(seed);
        let mut file = specimens[random.place(specimens.len())].clone();
        mutate(&mut file, &specimens, &mut random);
        (seed, file)
    })
}

fn span(random: &mut Random, len: usize, longest: usize) -> Range<usize> {
    let start = random.place(len);
    start..(start + random.place(longest)).min(len)
}

fn extreme(random: &mut Random, left: u64) -> [u8; 8] {
    let near = [
        0,
        1,
        7,
        8,
        48,
        1 << 15,
        1 << 16,
        1 << 27,
        1 << 31,
        1 << 32,
        1 << 47,
        left,
        u64::MAX,
    ];
    let value = match random.below(4) {
        0 => random.next(),
        1 => random.below(300),
        _ => near[random.place(near.len())]
            .wrapping_add(random.below(3))
            .wrapping_sub(1),
    };
    value.to_le_bytes()
}

fn survive_hostile_files(shard: u64) {
    let started = Instant::now();
    let files = if is_soak() { 2_500_000 } else { 62_500 };
    let first = setting("SHELF_FUZZ_SEED").unwrap_or(shard * 1_000_000_000);
    for (seed, file) in hostile_files(first..first + files) {
        survive(&with_file(&file), seed);
    }
    metric(
        "hostile_files_survived",
        files,
        Some(first),
        started.elapsed().as_secs_f64(),
    );
}

#[test]
fn hostile_files_are_survived_and_what_opens_can_be_written_to_1() {
    survive_hostile_files(1);
}

#[test]
fn hostile_files_are_survived_and_what_opens_can_be_written_to_2() {
    survive_hostile_files(2);
}

#[test]
fn hostile_files_are_survived_and_what_opens_can_be_written_to_3() {
    survive_hostile_files(3);
}

#[test]
fn hostile_files_are_survived_and_what_opens_can_be_written_to_4() {
    survive_hostile_files(4);
}

/// How many reads it takes to open and verify a file of so many records, after each was spoilt.
fn reads_through(records: usize, spoil: fn(&mut [u8], usize, &Range<usize>)) -> u64 {
    let sim = SimDisk::new(31);
    let store = open(&sim, |options| _ = options.durability(Durability::Os)).unwrap();
    for nth in 0..records as u32 {
        store.insert(nth.to_le_bytes(), [7; 12]).unwrap();
    }
    store.close().unwrap();
    let mut file = sim.read(PATH).unwrap();
    let ranges = raw::records(&file);
    for (nth, record) in ranges.iter().take(records).enumerate() {
        spoil(&mut file, nth, record);
    }
    let sim = with_file(&file);
    let before = sim.calls(Call::Read);
    let verified = open_damaged(&sim).verify().unwrap();
    assert!(verified.damage.len() >= records / 2);
    sim.calls(Call::Read) - before
}

#[test]
fn reading_through_damage_takes_calls_in_proportion_to_the_file() {
    let every_body = |file: &mut [u8], _: usize, record: &Range<usize>| file[record.end - 1] ^= 1;
    let every_other_head = |file: &mut [u8], nth: usize, record: &Range<usize>| {
        file[record.start + 8] ^= u8::from(nth.is_multiple_of(2));
    };
    for spoil in [every_body, every_other_head] {
        let (few, many) = (reads_through(4_000, spoil), reads_through(16_000, spoil));
        assert!(
            many <= few * 4 + 20,
            "{few} calls, and {many} for four times as much"
        );
    }
}

/// The most memory that this process ever had, in KiB.
fn peak_kib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

#[test]
fn no_memory_is_taken_for_a_length_that_only_a_record_claims() {
    const NAME: &str = "no_memory_is_taken_for_a_length_that_only_a_record_claims";
    if std::env::var_os("SHELF_IN_CHILD").is_some() {
        return claim_lengths();
    }
    let started = Instant::now();
    // A record of the largest length that is ever believed would be over this limit.
    let child = Command::new("sh")
        .args(["-c", r#"ulimit -v 131072 || exit 77; exec "$0" "$@""#])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "--test-threads=1", "--nocapture"])
        .arg(format!("damage::hostile::{NAME}"))
        .env("SHELF_IN_CHILD", "1")
        .env("MALLOC_ARENA_MAX", "1")
        .env("RUST_BACKTRACE", "0")
        .output()
        .unwrap();
    if child.status.code() == Some(77) {
        return skip(NAME, "this shell can't limit memory");
    }
    let said = String::from_utf8_lossy(&child.stdout);
    assert!(
        child.status.success(),
        "{said}{}",
        String::from_utf8_lossy(&child.stderr)
    );
    let count = |name: &str| -> Option<u64> {
        let told = said.split(name).nth(1)?;
        told.split_whitespace().next()?.parse().ok()
    };
    let secs = started.elapsed().as_secs_f64();
    let claims = count("CLAIMS=").expect("the child tells");
    metric("length_claims_survived", claims, Some(19), secs);
    match count("GREW=") {
        Some(grew) => metric("length_claims_peak_growth_kib", grew, Some(19), secs),
        None => skip(
            NAME,
            "this system does not tell the most memory a process had",
        ),
    }
}

fn claim_lengths() {
    let dir = fast_dir();
    let path = dir.path().join("s.shelf");
    let history = History::new(19, 64, 40, true);
    let open = |damaged: bool| Options::new().read_only(true).damaged(damaged).open(&path);
    std::fs::write(&path, &history.file).unwrap();
    drop(open(false).unwrap().verify().unwrap());
    let before = peak_kib();
    let mut claims = 0;
    for record in &history.records {
        let left = (history.file.len() - record.start) as u64;
        let values = [
            0,
            1,
            left,
            left + 1,
            (1 << 27) - 64,
            1 << 27,
            1 << 31,
            u64::from(u32::MAX),
        ];
        let keys = [0, 1, left, 0xffff];
        let claimed = values.map(|len| (16, 4, len)).into_iter();
        for (at, width, len) in claimed.chain(keys.map(|len| (20, 2, len))) {
            for how in [Seal::No, Seal::Head, Seal::Both] {
                let mut file = history.file.clone();
                let field = record.start + at;
                file[field..field + width].copy_from_slice(&len.to_le_bytes()[..width]);
                reseal(&mut file, record.start, how);
                std::fs::write(&path, &file).unwrap();
                if let Ok(store) = open(false) {
                    store.iter().for_each(drop);
                }
                let store = open(true).unwrap();
                store.iter().for_each(drop);
                let others = history.records.len() as u64 - 1;
                let found = store.verify().unwrap().records;
                assert!(
                    found >= others,
                    "{len} at {field}, {how:?}: {found} records"
                );
                claims += 1;
            }
        }
    }
    println!("CLAIMS={claims} ");
    if let (Some(before), Some(after)) = (before, peak_kib()) {
        let grew = after - before;
        assert!(grew <= 1024, "{grew} KiB more than for the sound file");
        println!("GREW={grew} ");
    }
}

/// The bytes of a value that looks like records.
fn inner_bytes(sim: &SimDisk, at: usize, inner: &[u8], random: &mut Random) -> Vec<u8> {
    let outer = sim.read(PATH).unwrap();
    let mut bytes = match random.below(4) {
        // A whole other store.
        0 => return inner.to_vec(),
        // This store, up to here.
        1 => return outer,
        // Records of the other store, from one on.
        2 => {
            let records = raw::records(inner);
            inner[records[random.place(records.len())].start..].to_vec()
        }
        // Records of this store.
        _ => {
            let records = raw::records(&outer);
            outer[records[random.place(records.len())].start..].to_vec()
        }
    };
    // Some as if they stood where they do, but in the other file.
    if random.one_in(2) {
        let mut place = 0;
        while place + raw::HEAD <= bytes.len() {
            let len = raw::record_len(&bytes, place);
            raw::seal_record(&mut bytes[place..], raw::seed(inner), at + place);
            place += len;
        }
    }
    bytes
}

#[test]
fn no_record_inside_a_value_ever_surfaces() {
    const SEED: u64 = 23;
    const FILES: usize = 10_000;
    let started = Instant::now();
    let inner = {
        let sim = SimDisk::new(SEED);
        let store = open(&sim, |_| {}).unwrap();
        for nth in 0..6 {
            store.insert(format!("inner{nth}"), "planted").unwrap();
        }
        store.close().unwrap();
        sim.read(PATH).unwrap()
    };
    for nth in 0..FILES {
        let mut random = Random::new(SEED + nth as u64);
        let sim = SimDisk::new(nth as u64);
        let store = open(&sim, |_| {}).unwrap();
        store.insert("a", "before").unwrap();
        store.insert("removed", "x").unwrap();
        store.remove("removed").unwrap();
        let at = sim.read(PATH).unwrap().len();
        // So that what looks like a record stands at a multiple of 8.
        let mut value = vec![0; 3];
        value.extend(inner_bytes(&sim, at + raw::HEAD + 8, &inner, &mut random));
        store.insert("outer", &value).unwrap();
        let end = sim.read(PATH).unwrap().len();
        let is_last = random.one_in(4);
        if !is_last {
            store.insert("z", "after").unwrap();
            store.close().unwrap();
        }
        let mut file = sim.read(PATH).unwrap();
        match random.below(4) {
            0 => file[at..at + raw::HEAD].fill(0),
            1 => file[at + 8 + random.place(40)] ^= 1,
            2 => file[at..at + raw::HEAD].copy_from_slice(&random.bytes(raw::HEAD)),
            _ if is_last => file.truncate(end - 1 - random.place(value.len())),
            _ => file[at + raw::HEAD] ^= 1,
        }
        let sim = with_file(&file);
        let store = open_damaged(&sim);
        let (_, found) = salvage(&sim, &store);
        let mut expected = vec![b"a".to_vec()];
        expected.extend((!is_last).then(|| b"z".to_vec()));
        let keys: Vec<_> = found.into_keys().collect();
        assert_eq!(keys, expected, "file {nth}");
        for item in store.iter().flatten() {
            assert!(expected.contains(&item.0), "file {nth}");
        }
        drop(store);
        if is_last {
            let store = open(&sim, |_| {}).unwrap();
            store.insert("new", "value").unwrap();
            drop(store);
            assert_eq!(open(&sim, |_| {}).unwrap().len().unwrap(), 2, "file {nth}");
        }
    }
    let secs = started.elapsed().as_secs_f64();
    metric("records_in_values_surfaced", 0, Some(SEED), secs);
    metric("files_with_records_in_values", FILES, Some(SEED), secs);
}

/// Files that were once survived badly, or that are hard to survive, one for each way.
#[test]
fn every_file_of_the_corpus_is_survived() {
    let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
    let mut files = 0;
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        for seed in 0..4 {
            let survived = std::panic::catch_unwind(|| survive(&with_file(&bytes), seed));
            assert!(survived.is_ok(), "`{}` in way {seed}", path.display());
        }
        files += 1;
    }
    assert!(files >= 7, "{files} files");
    metric("corpus_files_survived", files, None, 0.0);
}
