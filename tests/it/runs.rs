//! The frame of suites of long seeded runs: a run is a list of steps, a failure is a text, and a run that fails is made
//! as short as it gets.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// The outcome of a run, with a panic as a failure like any other.
pub(crate) fn outcome(run: impl FnOnce() -> Result<(), String>) -> Result<(), String> {
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| {
        let text = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| panic.downcast_ref::<&str>().copied());
        Err(format!("panicked: {}", text.unwrap_or("?")))
    })
}

/// Leaves out steps as long as what is left still fails (Zeller, "Simplifying and isolating failure-inducing input",
/// 2002: ddmin without its test of subsets).
pub(crate) fn shrink<S: Clone>(steps: &[S], fails: &dyn Fn(&[S]) -> bool) -> Vec<S> {
    let mut steps = steps.to_vec();
    let mut parts = 2;
    while steps.len() >= 2 {
        let part = steps.len().div_ceil(parts);
        let shorter = (0..steps.len()).step_by(part).find_map(|from| {
            let to = (from + part).min(steps.len());
            let rest = [&steps[..from], &steps[to..]].concat();
            fails(&rest).then_some(rest)
        });
        match shorter {
            Some(rest) => {
                steps = rest;
                parts = (parts - 1).max(2);
            }
            None if part == 1 => break,
            None => parts = (parts * 2).min(steps.len()),
        }
    }
    steps
}

/// Fails if the run does, and says by which steps.
pub(crate) fn check<S: Clone + fmt::Debug>(
    steps: &[S],
    run: &dyn Fn(&[S]) -> Result<(), String>,
    repeat: &dyn Fn() -> String,
) {
    let outcome_of = |steps: &[S]| outcome(|| run(steps));
    let Err(what) = outcome_of(steps) else {
        return;
    };
    let steps = shrink(steps, &|steps| outcome_of(steps).is_err());
    let what = outcome_of(&steps).err().unwrap_or(what);
    let list: Vec<_> = steps
        .iter()
        .map(|step| format!("    {step:?},\n"))
        .collect();
    panic!("{what}\nafter\n{}repeat with: {}", list.concat(), repeat());
}

#[test]
fn a_failing_run_is_shrunk_to_what_makes_it_fail() {
    let steps: Vec<u32> = (0..1_000).collect();
    let fails = |steps: &[u32]| [17, 18, 800].iter().all(|step| steps.contains(step));
    assert_eq!(shrink(&steps, &fails), [17, 18, 800]);
    assert_eq!(shrink(&steps, &|_| true).len(), 1);
}
