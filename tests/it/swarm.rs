//! A swarm of long seeded runs on a simulated machine whose power goes, whose processes die, whose calls fail and whose
//! clocks step: each answer, and whatever is there afterwards, is one that the model allows.
//!
//! A run is a list of steps ([`step`]) that three handles of three processes take in turns, or two of them at once:
//! calls of `Store`, of a `Shelf` over it and of sessions in it, and what happens to a machine meanwhile, rot included.
//! Each run has some kinds of steps and leaves the others out altogether (Groce and others, "Swarm testing", 2012), so
//! that those left get far: a file that nobody clears grows, a session that nobody ends grows old.
//!
//! Three oracles judge it:
//!
//! - *The answers.* A [`model`] says what may be there. Where a call fails, or the power goes, more than one state is
//!   possible; each answer leaves those that explain it, and none left is a failure. A change that an acknowledged call
//!   promised to be durable is in every state that a power cut may leave; a session that an acknowledged logout ended
//!   is in none. A value that rotted is an error and takes no other one along.
//! - *The space.* After every write the file has at most three times the bytes that are live or have ended within a
//!   day, and 1 MiB.
//! - *Life.* Once the faults stop, a handle works, or says why not and works after `reopen`; at the end of a run a
//!   compaction succeeds, a stranger opens the file and finds nothing wrong with it, and it takes a write. Every call
//!   ends: within so many calls to the disk, at its deadline by the machine's clock where another thread has the store,
//!   and also where a sync of another thread panicked. A thread that nobody wakes is told by the clock on the wall.
//!
//! A run that fails is made as short as it gets and printed, with the line that repeats it: `SHELF_FUZZ_SEED` is the
//! seed of the first run, `SHELF_FUZZ_OPS` the number of steps. `SHELF_SOAK=1` takes thirty times as many.

mod hand;
mod machine;
mod model;
mod step;
mod turns;

use crate::runs::check;
use crate::support::{Random, is_soak, metric, setting};
use machine::Swarm;
use shelflife::Durability::{Immediate, Os};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};
use step::{Recipe, Step, Way};

const STEPS_A_RUN: u64 = 500;
/// A step takes milliseconds.
const STEP_MAX: Duration = Duration::from_secs(120);

/// Where a test is: its watch sees whether that changes.
#[derive(Default)]
struct Progress {
    seed: AtomicU64,
    steps: AtomicU64,
}

/// Runs the steps on a new machine, then sees what is left.
fn run(seed: u64, recipe: &Recipe, steps: &[Step], progress: &Progress) -> Result<(), String> {
    progress.seed.store(seed, Relaxed);
    let mut swarm = Swarm::new(seed, recipe);
    for (nth, step) in steps.iter().enumerate() {
        progress.steps.fetch_add(1, Relaxed);
        swarm
            .take(step)
            .map_err(|what| format!("step {nth}, {step:?}: {what}"))?;
    }
    progress.steps.fetch_add(1, Relaxed);
    swarm.end().map_err(|what| format!("at the end: {what}"))
}

/// Ends the program where a step does not end, since nobody else would say which.
fn watched<T>(repeat: &(dyn Fn(u64) -> String + Sync), runs: impl FnOnce(&Progress) -> T) -> T {
    let (progress, (over, waiting)) = (Progress::default(), mpsc::channel::<()>());
    let running = &progress;
    thread::scope(|scope| {
        scope.spawn(move || {
            let mut known = 0;
            while let Err(RecvTimeoutError::Timeout) = waiting.recv_timeout(STEP_MAX) {
                let now = running.steps.load(Relaxed);
                if now == known {
                    let seed = running.seed.load(Relaxed);
                    eprintln!("a step does not end; repeat with: {}", repeat(seed));
                    std::process::abort();
                }
                known = now;
            }
        });
        let answer = runs(running);
        drop(over);
        answer
    })
}

/// Runs with consecutive seeds until so many operations are done.
fn swarm(name: &str, way: &Way, ops: u64) {
    let start = Instant::now();
    let ops = setting("SHELF_FUZZ_OPS").unwrap_or(if is_soak() { 30 * ops } else { ops });
    let first = setting("SHELF_FUZZ_SEED").unwrap_or(1);
    let repeat = |seed: u64| {
        format!(
            "SHELF_FUZZ_SEED={seed} SHELF_FUZZ_OPS={STEPS_A_RUN} cargo test --test it swarm::{name}"
        )
    };
    watched(&repeat, |progress| {
        let (mut done, mut seed) = (0, first);
        while done < ops {
            let mut random = Random::new(seed);
            let recipe = Recipe::draw(seed, &mut random, way);
            let steps: Vec<Step> = (0..STEPS_A_RUN as u32)
                .map(|nth| recipe.step(&mut random, nth * 16 + 1))
                .collect();
            let run = |steps: &[Step]| run(seed, &recipe, steps, progress);
            check(&steps, &run, &|| repeat(seed));
            (done, seed) = (done + STEPS_A_RUN, seed + 1);
        }
        metric(
            &format!("swarm_{name}_ops"),
            done,
            Some(first),
            start.elapsed().as_secs_f64(),
        );
    });
}

/// One test for each way to open the file, so that they run side by side. The seeds of the last one decide all but how
/// its threads interleave.
macro_rules! swarms {
    ($($name:ident: $exclusive:literal, $durability:expr, $has_threads:literal, $ops:literal;)*) => {
        $(
            #[test]
            fn $name() {
                let way = Way {
                    exclusive: $exclusive,
                    durability: $durability,
                    has_threads: $has_threads,
                };
                swarm(stringify!($name), &way, $ops);
            }
        )*
    };
}

swarms! {
    whatever_happens_durable_writes_of_two_processes_are_kept: false, Immediate, false, 160_000;
    whatever_happens_writes_of_two_processes_are_as_a_map_says: false, Os, false, 160_000;
    whatever_happens_durable_writes_of_one_process_are_kept: true, Immediate, false, 160_000;
    whatever_happens_writes_of_one_process_are_as_a_map_says: true, Os, false, 160_000;
    whatever_happens_durable_writes_of_several_threads_are_kept: false, Immediate, true, 60_000;
}
