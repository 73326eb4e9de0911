//! Each sync is left out, one at a time: whatever is not noticed is not needed, or not tested.

use super::Counts;
use super::power::{Case, Plan};
use shelflife::sim::{Call, Fault, FaultKind};

/// Most are noticed in most images, so a few are tried before all.
const FEW: Plan = Plan {
    images: Some(100),
    ..ALL
};
const ALL: Plan = Plan {
    images: None,
    doubles: 0,
    triples: 0,
    samples: 30,
};

/// The results of leaving out every sync of a workload.
#[derive(Debug, Default)]
pub(crate) struct Elided {
    pub(crate) sites: usize,
    /// Those that nothing noticed.
    pub(crate) unnoticed: Vec<String>,
}

/// Leaves out the first sync of a workload, then the second, and so on.
///
/// # Errors
/// If the workload does not survive with all its syncs.
pub(crate) fn every_sync(case: &Case, seed: u64, counts: &mut Counts) -> Result<Elided, String> {
    // A check that fails anyhow would notice everything.
    case.run_with(seed, FEW, None, counts)?;
    let mut elided = Elided::default();
    for call in [Call::Sync, Call::SyncDir] {
        let play = case.start(seed, None)?;
        let trace = play.sim.trace();
        let sites = trace.iter().filter(|event| event.call == call && event.ok);
        for nth in 1..=sites.count() {
            elided.sites += 1;
            let fault = Fault::new(FaultKind::Elide).on(call).nth(nth as u64);
            let mut survives = |plan| {
                case.run_with(seed, plan, Some(fault.clone()), counts)
                    .is_ok()
            };
            if survives(FEW) && survives(ALL) {
                elided
                    .unnoticed
                    .push(format!("{}: {call:?} {nth}", case.name));
            }
        }
    }
    Ok(elided)
}
