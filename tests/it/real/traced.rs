//! The system calls of a real process fail, one after another and in every way, or kill it: `strace -e inject`.

use super::{Ledger, Outcome, Step, check_afterwards, child, ledger_of, options, tell, told};
use crate::support::{Random, fast_dir, is_soak, metric, setting, skip};
use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Output;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Instant;

const STEPS: usize = 24;

/// How many calls of those that the loader makes as well are made for nothing before the work begins. The tracer counts
/// calls by thread: what is injected from here on hits the thread that works, and not the other one, which loads and
/// waits.
const WARM_UP_CALLS: usize = 24;

const CALLS: [&str; 8] = [
    "openat",
    "pread64",
    "pwrite64",
    "fdatasync",
    "fsync",
    "rename",
    "ftruncate",
    "flock",
];

#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Kill,
    /// Fails once.
    Once(&'static str),
    /// Fails from then on.
    Ever(&'static str),
}

const KINDS: [Kind; 6] = [
    Kind::Kill,
    Kind::Once("EIO"),
    Kind::Once("ENOSPC"),
    Kind::Once("EINTR"),
    Kind::Ever("EIO"),
    Kind::Ever("ENOSPC"),
];

#[derive(Debug, Clone, Copy)]
struct Fault {
    exclusive: bool,
    call: &'static str,
    /// Which of these calls, from 1 on.
    when: usize,
    kind: Kind,
}

/// The child: makes all steps, and goes on whatever happens.
pub(super) fn work(path: &Path, arg: &str) {
    for _ in 0..WARM_UP_CALLS {
        let zero = File::open("/dev/zero").unwrap();
        zero.read_at(&mut [0], 0).unwrap();
    }
    let exclusive = arg.contains("exclusive");
    // Only one call fails, so that what failed works when it is repeated.
    let is_once = arg.contains("once");
    let mut options = options();
    options.exclusive(exclusive);
    let (mut store, mut ledger) = (None, Ledger::default());
    for nth in 0..STEPS {
        let step = Step::nth(nth);
        let mut result = step.make(&mut store, &options, path);
        if let Err(error) = &result {
            ledger.note(&step, Outcome::Unknown);
            tell(&format!("failed {nth}: {error}"));
            if is_once {
                result = step.make(&mut store, &options, path);
                result.as_ref().unwrap();
            }
        }
        if result.is_ok() {
            ledger.note(&step, Outcome::Acknowledged);
            tell(&format!("acknowledged {nth}"));
        }
        if let Some(store) = &store {
            ledger.check_reads(&step, store);
        }
    }
    drop(store);
    tell("done");
}

/// Runs a child under the tracer, with a fault or to see which calls it makes. `None`: there is no tracer.
fn traced(dir: &Path, fault: Option<Fault>, exclusive: bool) -> std::io::Result<(Output, String)> {
    let trace = dir.join("trace");
    let store = dir.join("store");
    std::fs::create_dir(&store)?;
    let calls = fault.map_or(CALLS.join(","), |fault| fault.call.to_string());
    let filter = format!("trace={calls}");
    let inject = fault.map(
        |Fault {
             call, when, kind, ..
         }| match kind {
            Kind::Kill => format!("inject={call}:signal=KILL:when={when}"),
            Kind::Once(error) => format!("inject={call}:error={error}:when={when}"),
            Kind::Ever(error) => format!("inject={call}:error={error}:when={when}+"),
        },
    );
    let trace_name = trace.to_str().unwrap();
    let mut under = vec!["strace", "-f", "-qq", "-o", trace_name, "-e", &filter];
    if let Some(inject) = &inject {
        under.extend(["-e", inject]);
    }
    let is_once = fault.is_some_and(|fault| matches!(fault.kind, Kind::Once(_)));
    let arg = format!(
        "{} {}",
        if exclusive { "exclusive" } else { "shared" },
        if is_once { "once" } else { "ever" }
    );
    let output = child(&under, "work", &store.join("s.shelf"), &arg).output()?;
    let trace = std::fs::read_to_string(&trace).unwrap_or_default();
    Ok((output, trace))
}

/// How often the working thread makes each call.
fn calls_made(trace: &str) -> BTreeMap<&'static str, usize> {
    let of = |line: &str, call: &str| -> Option<String> {
        let (thread, rest) = line.split_once(' ')?;
        let rest = rest.trim_start().strip_prefix(call)?;
        rest.starts_with('(').then(|| thread.to_string())
    };
    let working = trace.lines().find_map(|line| of(line, "pwrite64"));
    let count = |call| {
        let threads = trace.lines().filter_map(|line| of(line, call));
        threads
            .filter(|thread| Some(thread) == working.as_ref())
            .count()
    };
    CALLS.iter().map(|&call| (call, count(call))).collect()
}

fn suffer(fault: Fault) -> Result<usize, String> {
    let dir = fast_dir();
    let (output, trace) = traced(dir.path(), Some(fault), fault.exclusive).unwrap();
    let told = told(&output);
    let (ledger, acknowledged) = ledger_of(&told);
    let (failed, done) = (told.contains("failed "), told.contains("done"));
    if output.status.code() == Some(127) && told.contains("error while loading shared libraries") {
        // The fault hit the loader: how many calls it makes differs from one place to another.
        return Ok(0);
    }
    let as_it_should = match fault.kind {
        Kind::Kill => output.status.signal() == Some(9) && !done,
        // Repeated where nobody notices.
        Kind::Once("EINTR") => output.status.success() && done && !failed,
        _ => output.status.success() && done && trace.contains("INJECTED"),
    };
    if !as_it_should {
        let last = trace.lines().last().unwrap_or_default();
        return Err(format!("ended with {}: {told}\n{last}", output.status));
    }
    check_afterwards(&dir.path().join("store/s.shelf"), &ledger)
        .map_err(|error| format!("{error}\n{told}"))?;
    Ok(acknowledged)
}

/// Every fault that there is, of shared and of exclusive handles.
fn faults() -> Result<Vec<Fault>, String> {
    let mut faults = Vec::new();
    for exclusive in [false, true] {
        let dir = fast_dir();
        let (output, trace) =
            traced(dir.path(), None, exclusive).map_err(|error| format!("no strace: {error}"))?;
        let made = calls_made(&trace);
        if made["pwrite64"] == 0 {
            return Err(format!("strace can't trace here: {}", told(&output).trim()));
        }
        assert!(output.status.success(), "{output:?}");
        for (call, times) in made {
            let first = match call {
                "openat" | "pread64" => WARM_UP_CALLS + 1,
                _ => 1,
            };
            assert!(times >= first, "the work makes no call of {call}");
            for kind in KINDS {
                // No file system interrupts a rename.
                if call == "rename" && kind == Kind::Once("EINTR") {
                    continue;
                }
                faults.extend((first..=times).map(|when| Fault {
                    exclusive,
                    call,
                    when,
                    kind,
                }));
            }
        }
    }
    Ok(faults)
}

/// One of so many is tried in a plain run, and at least one of each call and kind.
const ONE_OF: usize = 24;

fn some_of(faults: Vec<Fault>, seed: u64) -> Vec<Fault> {
    let mut random = Random::new(seed);
    let mut groups: BTreeMap<String, Vec<Fault>> = BTreeMap::new();
    for fault in faults {
        let group = format!("{} {:?}", fault.call, fault.kind);
        groups.entry(group).or_default().push(fault);
    }
    let mut some = Vec::new();
    for group in groups.values() {
        let mut pick = |_| group[random.below(group.len() as u64) as usize];
        some.extend((0..group.len().div_ceil(ONE_OF)).map(&mut pick));
    }
    some
}

#[test]
fn what_was_acknowledged_survives_every_failing_and_every_fatal_system_call() {
    let name = "what_was_acknowledged_survives_every_failing_and_every_fatal_system_call";
    let start = Instant::now();
    let seed = setting("SHELF_FUZZ_SEED").unwrap_or(1);
    let faults = match faults() {
        Ok(faults) if is_soak() => faults,
        Ok(faults) => some_of(faults, seed),
        Err(why) => return skip(name, why),
    };
    let at_least = if is_soak() { 2_000 } else { 160 };
    assert!(faults.len() >= at_least, "{} of {at_least}", faults.len());
    let (next, acknowledged) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let failures = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(&fault) = faults.get(next.fetch_add(1, Relaxed)) {
                    match suffer(fault) {
                        Ok(calls) => _ = acknowledged.fetch_add(calls, Relaxed),
                        Err(error) => failures.lock().unwrap().push(format!("{fault:?}: {error}")),
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().unwrap();
    assert!(
        failures.is_empty(),
        "{} of {} failed; SHELF_FUZZ_SEED={seed} cargo test --test it {name}\n{}",
        failures.len(),
        faults.len(),
        failures.join("\n\n")
    );
    let secs = start.elapsed().as_secs_f64();
    metric("real_faults_runs", faults.len(), Some(seed), secs);
    metric(
        "real_faults_acknowledged",
        acknowledged.into_inner(),
        Some(seed),
        secs,
    );
}
