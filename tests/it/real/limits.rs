//! Real limits: a full disk, a file size limit, and memory that a hostile length would exceed.

use super::{Ledger, Outcome, Step, check_afterwards, child, ledger_of, options, tell, told};
use crate::support::{fast_dir, metric, skip};
use shelflife::{Options, Store};
use std::io::ErrorKind as IoKind;
use std::os::unix::fs::FileExt;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Instant;

/// More than any limit here has room for.
const STEPS_MAX: usize = 1_000;
/// Where a write meets the limit depends on them.
const VALUE_LENS: [usize; 4] = [1_500, 40, 5_000, 333];
/// Those that leave room for a removal below a limit that does not go away.
const VALUE_LENS_BELOW: [usize; 3] = [1_500, 5_000, 720];
/// Takes the space that comes back later.
const BALLAST: &str = "ballast";

fn insert(nth: usize, len: usize) -> Step {
    Step::Write(vec![(format!("key {nth}"), Some(vec![nth as u8; len]))])
}

fn make(step: &Step, store: Store, path: &Path) -> (shelflife::Result<()>, Store) {
    let mut store = Some(store);
    let result = step.make(&mut store, &options(), path);
    (result, store.unwrap())
}

/// The child: writes until there is no room, then makes room and goes on. `limit` says which kind of room.
pub(super) fn fill(path: &Path, limit: &str) {
    let (full, lens) = match limit {
        "disk" => (IoKind::StorageFull, &VALUE_LENS[..]),
        "file" => (IoKind::FileTooLarge, &VALUE_LENS_BELOW[..]),
        // The parent knows what it writes.
        "kill" => {
            let mut store = None;
            for nth in 0..STEPS_MAX {
                let step = Step::nth(nth);
                // A compaction would make room.
                if !matches!(step, Step::Compact) {
                    step.make(&mut store, &options(), path).unwrap();
                }
                tell(&format!("acknowledged {nth}"));
            }
            return;
        }
        limit => panic!("no such limit: {limit}"),
    };
    for &len in lens {
        fill_with(path, len, full);
    }
    tell("done");
}

fn fill_with(path: &Path, len: usize, full: IoKind) {
    let dir = path.parent().unwrap();
    let ballast = dir.join(BALLAST);
    if full == IoKind::StorageFull {
        std::fs::write(&ballast, vec![1; 80 << 10]).unwrap();
    }
    let mut store = options().open(path).unwrap();
    let mut ledger = Ledger::default();
    let (mut nth, mut before) = (0, 0);
    let error = loop {
        assert!(nth < STEPS_MAX, "there is no limit");
        let step = insert(nth, len);
        before = store.stats().unwrap().file_bytes.max(before);
        let (result, same) = make(&step, store, path);
        store = same;
        nth += 1;
        match result {
            Ok(()) => ledger.note(&step, Outcome::Acknowledged),
            Err(error) => break error,
        }
    };
    assert_eq!(error.io_kind(), Some(full), "{error}");

    // The beginning of the record is gone again, or each write fails until it is. Where a mark of the cut had room, it
    // stands there.
    let (size_bytes, tail) = (
        std::fs::metadata(path).unwrap().len(),
        store.stats().unwrap().file_bytes,
    );
    assert!(tail == before || tail == before + 48, "{before} {tail}");
    let refusal = store.insert("", "").err().and_then(|error| error.io_kind());
    assert!(
        size_bytes == tail || refusal == Some(full),
        "cut back to {tail}: {size_bytes}, {refusal:?}"
    );
    if refusal.is_none() {
        store.remove("").unwrap();
    }
    tell(&format!(
        "{nth} of {len}, cut short: {}",
        tail > before || size_bytes > tail
    ));
    ledger.check(&store).unwrap();
    let reader = Options::new().read_only(true).open(path).unwrap();
    ledger.check(&reader).unwrap();
    // It would keep the space of the old file.
    drop(reader);

    if full == IoKind::StorageFull {
        // Not even a smaller file has room. Its beginning is gone.
        let error = store.compact().unwrap_err();
        assert_eq!(error.io_kind(), Some(full), "{error}");
        ledger.check(&store).unwrap();
        let mut names: Vec<_> = std::fs::read_dir(dir)
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        names.sort();
        assert_eq!(names, [BALLAST, "s.shelf"]);
        std::fs::remove_file(&ballast).unwrap();
    }

    // A handle goes on by itself.
    for nth in 0..5 {
        let step = Step::Write(vec![(format!("key {nth}"), None)]);
        let (result, same) = make(&step, store, path);
        store = same;
        result.unwrap();
        ledger.note(&step, Outcome::Acknowledged);
    }
    let compacted = store.compact().unwrap();
    assert!(compacted.after_bytes < compacted.before_bytes);
    let step = insert(STEPS_MAX, len);
    let (result, store) = make(&step, store, path);
    result.unwrap();
    ledger.note(&step, Outcome::Acknowledged);
    ledger.check(&store).unwrap();
    store.close().unwrap();
    check_afterwards(path, &ledger).unwrap();
    std::fs::remove_file(path).unwrap();
}

/// Whether the shell can set a limit; skips the test if not.
fn can_limit(test: &str, limit: &str) -> bool {
    let tried = Command::new("sh").args(["-c", limit]).output();
    let able = tried.is_ok_and(|output| output.status.success());
    if !able {
        skip(test, format_args!("no shell can do `{limit}` here"));
    }
    able
}

fn must_be_done(output: &Output) {
    let told = told(output);
    assert!(output.status.success() && told.contains("done"), "{told}");
    assert!(
        told.contains("cut short: true"),
        "no write was cut short: {told}"
    );
}

#[test]
fn a_full_disk_loses_nothing_and_the_store_goes_on_when_there_is_space() {
    let name = "a_full_disk_loses_nothing_and_the_store_goes_on_when_there_is_space";
    let (dir, start) = (fast_dir(), Instant::now());
    let place = dir.path().to_str().unwrap();
    let mount = format!("mount -t tmpfs -o size=128k shelf '{place}'");
    // In a mount namespace of its own, so that nothing has to be unmounted; a user who is not root needs one of users,
    // too.
    let able = ["-m", "-Urm"].into_iter().find(|namespaces| {
        let mut unshare = Command::new("unshare");
        let tried = unshare.args([namespaces, "sh", "-c", &mount]).output();
        tried.is_ok_and(|output| output.status.success())
    });
    let Some(namespaces) = able else {
        return skip(name, "no tmpfs can be mounted here");
    };
    let script = format!("{mount} && exec \"$@\"");
    let under = ["unshare", namespaces, "sh", "-c", &script, "sh"];
    let path = dir.path().join("s.shelf");
    must_be_done(&child(&under, "fill", &path, "disk").output().unwrap());
    let secs = start.elapsed().as_secs_f64();
    metric("real_full_disks", VALUE_LENS.len(), None, secs);
}

#[test]
fn a_file_size_limit_loses_nothing_and_the_store_goes_on_when_it_shrinks() {
    let name = "a_file_size_limit_loses_nothing_and_the_store_goes_on_when_it_shrinks";
    if !can_limit(name, "trap '' XFSZ; ulimit -f 128") {
        return;
    }
    let (dir, start) = (fast_dir(), Instant::now());
    let script = "trap '' XFSZ; ulimit -f 128 && exec \"$@\"";
    let under = ["sh", "-c", script, "sh"];
    let path = dir.path().join("s.shelf");
    must_be_done(&child(&under, "fill", &path, "file").output().unwrap());
    let secs = start.elapsed().as_secs_f64();
    metric("real_file_limits", VALUE_LENS_BELOW.len(), None, secs);
}

#[test]
fn what_was_acknowledged_survives_the_signal_of_a_file_size_limit() {
    let name = "what_was_acknowledged_survives_the_signal_of_a_file_size_limit";
    if !can_limit(name, "ulimit -c 0; ulimit -f 100") {
        return;
    }
    let (dir, start) = (fast_dir(), Instant::now());
    let path = dir.path().join("s.shelf");
    let limits = [40, 64, 100];
    for limit in limits {
        let script = format!("ulimit -c 0; ulimit -f {limit} && exec \"$@\"");
        let under = ["sh", "-c", &script, "sh"];
        let output = child(&under, "fill", &path, "kill").output().unwrap();
        let told = told(&output);
        // 25 is SIGXFSZ wherever Linux runs but on MIPS.
        assert_eq!(output.status.signal(), Some(25), "{told}");
        let (ledger, acknowledged) = ledger_of(&told);
        assert!(acknowledged > 0, "{told}");
        check_afterwards(&path, &ledger).unwrap_or_else(|error| panic!("{error}\n{told}"));
        std::fs::remove_file(&path).unwrap();
    }
    let secs = start.elapsed().as_secs_f64();
    metric("real_file_limit_signals", limits.len(), None, secs);
}

/// The real program, with so much memory and no more.
fn with_memory(kib: u64, words: &[&str], path: &Path) -> Output {
    let script = format!("ulimit -v {kib} && exec \"$@\"");
    let exe = env!("CARGO_BIN_EXE_shelflife");
    let (command, rest) = words.split_first().unwrap();
    let mut shell = Command::new("sh");
    shell.args(["-c", &script, "sh", exe, command]).arg(path);
    shell.args(rest).output().unwrap()
}

#[test]
fn a_length_is_not_believed_before_the_bytes_are_there() {
    const LARGE: usize = 100 << 20;
    const MEMORY_KIB: u64 = 48 << 10;
    let name = "a_length_is_not_believed_before_the_bytes_are_there";
    if !can_limit(name, &format!("ulimit -v {MEMORY_KIB}")) {
        return;
    }
    let (dir, start_time) = (fast_dir(), Instant::now());
    let path = dir.path().join("s.shelf");
    let store = options().open(&path).unwrap();
    store.insert("small", "1").unwrap();
    let start = store.stats().unwrap().file_bytes;
    store.insert("large", vec![7; LARGE]).unwrap();
    drop(store);
    let told = |output: &Output| String::from_utf8_lossy(&output.stderr).into_owned();
    let out_of_memory = with_memory(MEMORY_KIB, &["get", "large"], &path);
    assert!(
        !out_of_memory.status.success(),
        "the limit would not show that a length was believed"
    );

    // Its head is sound and claims 100 MiB; the file ends behind it, or goes on with something else.
    let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    let ends = [0, 1, 1 << 20];
    for behind in ends {
        file.set_len(start + 48).unwrap();
        file.set_len(start + 48 + behind).unwrap();
        for words in [
            &["get", "small"][..],
            &["ls"],
            &["info"],
            &["verify"],
            &["dump"],
        ] {
            let output = with_memory(MEMORY_KIB, words, &path);
            assert!(output.status.success(), "{words:?}: {}", told(&output));
        }
    }

    // A head that claims something else is no head, whatever it claims.
    let head = std::fs::read(&path).unwrap()[start as usize..][..48].to_vec();
    let claimed = (LARGE as u32).to_le_bytes();
    let at = head.windows(4).position(|bytes| bytes == claimed).unwrap();
    let claims = [0, 1, 1 << 20, 1 << 27, 1 << 31, u32::MAX];
    for claim in claims {
        file.write_all_at(&claim.to_le_bytes(), start + at as u64)
            .unwrap();
        for words in [&["get", "small"][..], &["verify"], &["set", "new", "1"]] {
            let output = with_memory(MEMORY_KIB, words, &path);
            assert!(
                output.status.success(),
                "{claim} {words:?}: {}",
                told(&output)
            );
        }
        let output = with_memory(MEMORY_KIB, &["rm", "new"], &path);
        assert!(output.status.success(), "{claim}: {}", told(&output));
        file.set_len(start).unwrap();
        file.write_all_at(&head, start).unwrap();
        file.set_len(start + 48 + (1 << 20)).unwrap();
    }
    let secs = start_time.elapsed().as_secs_f64();
    metric("real_false_lengths", ends.len() + claims.len(), None, secs);
}
