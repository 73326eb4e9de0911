//! Every call of a workload fails, in every way that it can.

use super::Counts;
use super::oracle::{Cause, Moment};
use super::power::{Case, evidence_is_kept, moment_of};
use super::workload::{Do, Play, keys, read_all};
use shelflife::Disk;
use shelflife::sim::{Call, Event, Fault, FaultKind};
use std::collections::BTreeMap;
use std::path::Path;

/// The faults that can befall a call.
pub(crate) const KINDS: [FaultKind; 9] = [
    FaultKind::Eio,
    FaultKind::Enospc,
    FaultKind::Eintr,
    FaultKind::Emfile,
    FaultKind::Eacces,
    FaultKind::Short(0),
    FaultKind::Short(1),
    FaultKind::OneShort,
    FaultKind::Kill,
];

/// Which calls were struck: for each sort of call and each kind of failure that it can have, how many there are, and
/// how many of them failed so, once.
pub(crate) type Sites = BTreeMap<(Call, String), (u64, u64)>;

/// Lets the first call fail, then the second, and so on, until a run meets no fault.
///
/// # Errors
/// The finding that broke the oracle, and its place.
pub(crate) fn every_call(
    case: &Case,
    kinds: &[FaultKind],
    seed: u64,
    sites: &mut Sites,
    counts: &mut Counts,
) -> Result<(), String> {
    let trace = case.start(seed, None)?.sim.trace();
    for kind in kinds {
        let site = |call| (call, format!("{kind:?}"));
        for event in trace.iter().filter(|event| kind.strikes(event.call)) {
            sites.entry(site(event.call)).or_default().0 += 1;
        }
        for forever in [false, true] {
            if forever && *kind == FaultKind::Kill {
                continue;
            }
            for nth in 1.. {
                let mut fault = Fault::new(*kind).nth(nth);
                if forever {
                    fault = fault.forever();
                }
                let mut struck = |dies: bool| {
                    counts.runs += 1;
                    run(case, fault.clone(), dies, seed).map_err(|error| {
                        let often = if forever { "from then on" } else { "once" };
                        let dies = if dies { ", then it is killed" } else { "" };
                        format!(
                            "{}: {kind:?} at call {nth}, {often}{dies}, seed {seed}: {error}",
                            case.name
                        )
                    })
                };
                let Some((call, untold)) = struck(false)? else {
                    break;
                };
                if untold {
                    struck(true)?;
                }
                if !forever {
                    sites.entry(site(call)).or_default().1 += 1;
                }
            }
        }
    }
    Ok(())
}

/// Plays a workload with a fault, and judges what is left. Tells which call it struck, and whether a sync failed of
/// which nobody could be told, because so did every call after it. The process that was struck `dies` or goes on.
fn run(case: &Case, fault: Fault, dies: bool, seed: u64) -> Result<Option<(Call, bool)>, String> {
    let mut play = case.start(seed, Some(fault))?;
    let mut struck = play.sim.trace();
    struck.retain(|event| event.fault.is_some());
    let Some(first) = struck.first() else {
        return Ok(None);
    };
    let untold = struck.len() > 1 && struck.iter().any(|event| event.call == Call::Sync);
    if dies {
        play.sim.kill(first.process);
    }
    for hand in &mut play.hands {
        // The dead are replaced.
        if hand.process.list(Path::new("/")).is_err() {
            hand.store = None;
            hand.process = play.sim.process();
        }
    }
    if let Some(lie) = play
        .failures
        .iter()
        .find(|text| text.contains("is damaged"))
    {
        return Err(format!("a failed call is taken for damage: {lie}"));
    }
    let healthy = play.sim.steps();
    // A lock that could not be given back is given back by the next write of the one who has it.
    let mut turns: Vec<usize> = (0..play.hands.len()).collect();
    turns.sort_by_key(|who| play.hands[*who].process.id() != first.process);
    for who in turns {
        goes_on(&mut play, who)?;
    }
    let (store, found) = read_all(case.mode, play.sim.disk(), &keys()).or_else(|error| {
        match case.mode.exclusive {
            // The handle that has the file shows it.
            true => {
                play.hands[0].store = None;
                read_all(case.mode, play.sim.disk(), &keys())
            }
            false => Err(error),
        }
    })?;
    play.ledger.judge(&found, play.moment(), Cause::Crash)?;
    found.is_clean()?;
    // Where a repair could not keep evidence and would not be able to at the next try, it went on without, and said so.
    let went_on =
        |event: &Event| matches!(event.fault, Some(FaultKind::Enospc | FaultKind::Eacces));
    if !struck.iter().any(went_on) {
        evidence_is_kept(&play.sim, case.torn(seed)?.as_deref())?;
    }
    drop(store);
    let mut cuts = play.sim.power_cuts().samples(20);
    if untold {
        // From there on, calls were acknowledged on top of writes that the kernel had dropped.
        cuts = cuts.from_step(healthy);
    }
    for cut in cuts.pick(2) {
        let moment: Moment = moment_of(&cut);
        read_all(case.mode, cut.disk(), &keys())
            .and_then(|(_, found)| play.ledger.judge(&found, moment, Cause::Crash))
            .map_err(|error| format!("then the power goes, image {}: {error}", cut.id()))?;
    }
    Ok(Some((first.call, untold)))
}

/// A handle either works, or says why not and works after `reopen()`.
fn goes_on(play: &mut Play, who: usize) -> Result<(), String> {
    let before = play.failures.len();
    play.run(&[(who, Do::Look), (who, Do::Put(8, 12)), (who, Do::Look)])?;
    if play.failures.len() > before {
        let first = play.failures.len();
        play.run(&[(who, Do::Reopen), (who, Do::Put(8, 13)), (who, Do::Look)])?;
        if let Some(error) = play.failures.get(first) {
            return Err(format!(
                "`reopen` does not heal it: {error}; it began with {}",
                play.failures[before]
            ));
        }
    }
    Ok(())
}

/// Whether a file was synced again after a sync of it had failed.
pub(crate) fn syncs_after_a_failed_one(play: &Play) -> usize {
    let mut failed = Vec::new();
    let mut again = 0;
    for event in play.sim.trace() {
        if event.call == Call::Sync {
            again += usize::from(failed.contains(&event.inode));
            if !event.ok && event.fault != Some(FaultKind::Eintr) {
                failed.push(event.inode);
            }
        }
    }
    again
}
