//! The power is cut at every step of a workload; what is left opens, is repaired, and is cut off again meanwhile.

use super::Counts;
use super::oracle::{Cause, Found, Moment};
use super::workload::{Do, Mode, PATH, Play, keys, read_all};
use shelflife::sim::{FailedSync, Fault, PowerCut, SimDisk};
use shelflife::{Disk, Durability};
use std::cell::Cell;
use std::path::Path;
use std::sync::Arc;

/// A workload whose power is cut.
#[derive(Debug, Clone)]
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) mode: Mode,
    /// The steps before the first cut.
    pub(crate) before: Vec<(usize, Do)>,
    pub(crate) script: Vec<(usize, Do)>,
    /// How many calls may fail, because of faults in the script.
    pub(crate) failures: usize,
    pub(crate) failed_sync: FailedSync,
    /// The script begins with a torn file.
    pub(crate) keeps_evidence: bool,
}

/// How much of it is tried.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    /// This many images, drawn from all; `None`: every one.
    pub(crate) images: Option<usize>,
    /// Power cuts during the recovery from each image.
    pub(crate) doubles: usize,
    /// One in so many of those is cut off a third time.
    pub(crate) triples: u64,
    pub(crate) samples: usize,
}

pub(crate) const EVERY: Plan = Plan {
    images: None,
    doubles: 1,
    triples: 16,
    samples: 500,
};

/// The last: the states found after another cut are all there may be.
const LAST: usize = usize::MAX;

impl Case {
    /// Cuts the power at every step.
    ///
    /// # Errors
    /// The finding that broke the oracle, and its place.
    pub(crate) fn run(&self, seed: u64, plan: Plan, counts: &mut Counts) -> Result<(), String> {
        self.run_with(seed, plan, None, counts)
    }

    /// With one more fault, from the first step on.
    pub(crate) fn run_with(
        &self,
        seed: u64,
        plan: Plan,
        fault: Option<Fault>,
        counts: &mut Counts,
    ) -> Result<(), String> {
        let torn = self.torn(seed)?;
        let play = self.play(seed, fault)?;
        let mut cuts = play.sim.power_cuts().samples(plan.samples);
        if let Some(count) = plan.images {
            cuts = cuts.pick(count);
        }
        for cut in cuts {
            counts.images += 1;
            let survived = evidence_is_kept(cut.sim(), torn.as_deref())
                .and_then(|()| self.survive(&play, &cut, plan, counts));
            survived.map_err(|error| {
                format!("{}: image {} of seed {seed}: {error}", self.name, cut.id())
            })?;
        }
        Ok(())
    }

    /// The file of which evidence is to be kept.
    pub(crate) fn torn(&self, seed: u64) -> Result<Option<Vec<u8>>, String> {
        Ok(match self.keeps_evidence {
            true => Some(self.begin(seed)?.sim.read(PATH).unwrap_or_default()),
            false => None,
        })
    }

    /// Plays the script, in which just so many calls fail as should.
    fn play(&self, seed: u64, fault: Option<Fault>) -> Result<Play, String> {
        let play = self.start(seed, fault)?;
        if play.failures.len() != self.failures {
            return Err(format!(
                "{}: {} calls fail, not {}: {:#?}",
                self.name,
                play.failures.len(),
                self.failures,
                play.failures
            ));
        }
        Ok(play)
    }

    /// Plays the script, on a machine that does not remember what was before it.
    pub(crate) fn start(&self, seed: u64, fault: Option<Fault>) -> Result<Play, String> {
        let mut play = self.begin(seed)?;
        if let Some(fault) = fault {
            play.sim.inject(fault);
        }
        play.run(&self.script)?;
        play.sim.clear_faults();
        Ok(play)
    }

    fn begin(&self, seed: u64) -> Result<Play, String> {
        let mut play = Play::new(seed, self.mode);
        play.sim.set_failed_sync(self.failed_sync);
        play.run(&self.before)?;
        if !self.before.is_empty() {
            play.sim.forget();
        }
        play.failures.clear();
        Ok(play)
    }

    fn survive(
        &self,
        play: &Play,
        cut: &PowerCut,
        plan: Plan,
        counts: &mut Counts,
    ) -> Result<(), String> {
        let moment = moment_of(cut);
        let judge = |found: &Found| play.ledger.judge(found, moment, Cause::Crash);
        self.recover(cut.sim(), &judge, 0, plan, counts)
    }

    /// Opens what a power cut left, twice, writes to it, and opens it again; then cuts the power during that. `judge`
    /// says up to which turn of the history that was cut off what is found goes.
    fn recover(
        &self,
        sim: &SimDisk,
        judge: &dyn Fn(&Found) -> Result<usize, String>,
        depth: u8,
        plan: Plan,
        counts: &mut Counts,
    ) -> Result<(), String> {
        let raw = sim.read(PATH).unwrap_or_default();
        let process = sim.process();
        let open = |keys: &[Vec<u8>]| read_all(self.mode, Arc::new(process.clone()), keys);
        let (mut store, found) = open(&keys())?;
        let shown = judge(&found)?;
        if depth == 0 {
            drop(store);
            let (again, seen) = open(&[])?;
            found.recurs(&seen)?;
            store = again;
        }
        let key = format!("after cut {depth}").into_bytes();
        let written = store.insert(&key, b"written");
        let written = match self.mode.durability {
            Durability::Immediate => written,
            Durability::Os => written.and_then(|is_new| store.sync().map(|()| is_new)),
        };
        match written {
            Ok(true) => sim.acknowledge(),
            Ok(false) => return Err("a new key is not new".into()),
            Err(error) => return Err(format!("nothing can be written: {error}")),
        }
        let steps = sim.steps();
        let mut with_key = found.clone();
        with_key.entries.insert(key, b"written".to_vec());
        // A process that dies, or one that closes: both must leave a file that nothing is wrong with.
        if steps.is_multiple_of(2) {
            sim.kill(process.id());
        }
        drop(store);
        let (store, reopened) = read_all(self.mode, sim.disk(), &[])?;
        with_key.recurs(&reopened)?;
        reopened.is_clean()?;
        drop(store);
        // In place: another file has another header.
        let (now, log) = (sim.read(PATH).unwrap_or_default(), 8192);
        let written = raw
            .iter()
            .rposition(|byte| *byte != 0)
            .map_or(0, |last| last + 1);
        if found.torn == 0
            && written > log
            && now.starts_with(&raw[..log])
            && !now.starts_with(&raw[..written])
        {
            return Err("bytes were cut off without a report".into());
        }
        let torn = (found.torn > 0).then_some(&raw[..]);
        let deeper = match depth {
            // A recovery with more to do has more places to be cut off at.
            0 if torn.is_some() => 2 * plan.doubles,
            0 => plan.doubles,
            1 if plan.triples > 0 && counts.doubles.is_multiple_of(plan.triples) => 1,
            _ => 0,
        };
        if deeper == 0 {
            return Ok(());
        }
        for cut in sim.power_cuts().from_step(1).samples(20).pick(deeper) {
            match depth {
                0 => counts.doubles += 1,
                _ => counts.triples += 1,
            }
            let acknowledged = cut.acknowledged() > 0;
            let came_back = Cell::new(0);
            let judge_again = |again: &Found| {
                if again.damage > 0 || again.bad_header || !again.unreadable.is_empty() {
                    return Err(format!("a crash is taken for damage: {again:?}"));
                }
                if again.entries == with_key.entries
                    || !acknowledged && again.entries == found.entries
                {
                    return Ok(LAST);
                }
                let more = judge(again).is_ok_and(|turn| turn > shown);
                if acknowledged || !more {
                    return Err(format!("{found:?} became {again:?}"));
                }
                came_back.set(1);
                Ok(LAST)
            };
            evidence_is_kept(cut.sim(), torn)
                .and_then(|()| self.recover(cut.sim(), &judge_again, depth + 1, plan, counts))
                .map_err(|error| format!("cut again at {}: {error}", cut.id()))?;
            counts.came_back += came_back.get();
        }
        Ok(())
    }
}

/// Whether what stood at the torn end of the log is still there, or in a file beside it: whole, with a note behind it
/// that sends to the new file all handles that have the old one open.
pub(crate) fn evidence_is_kept(sim: &SimDisk, torn: Option<&[u8]>) -> Result<(), String> {
    let Some(torn) = torn else { return Ok(()) };
    let now = sim.read(PATH).unwrap_or_default();
    if now.starts_with(torn) {
        return Ok(());
    }
    let names = sim.process().list(Path::new("/")).unwrap_or_default();
    let mut evidence = Vec::new();
    for name in names {
        if name.to_string_lossy().contains(".damaged-") {
            evidence.push(sim.read(Path::new("/").join(name)).unwrap_or_default());
        }
    }
    // Of many crashes the first few are kept.
    let kept = evidence.len() >= 4
        || evidence.iter().any(|bytes| match bytes.get(8192..8200) {
            Some(at) if bytes.len() > 8200 => {
                let at = u64::from_le_bytes(at.try_into().unwrap_or_default()) as usize;
                torn.get(at..) == bytes.get(8200..) || bytes.starts_with(torn)
            }
            _ => bytes.starts_with(torn),
        });
    match kept {
        true => Ok(()),
        false => Err(format!(
            "{} bytes were cut off without evidence",
            torn.len()
        )),
    }
}

/// When an image was left.
pub(crate) fn moment_of(cut: &PowerCut) -> Moment {
    // Its name tells the step.
    let id = cut.id().to_string();
    let step = id.split(':').nth(1).and_then(|step| step.parse().ok());
    Moment {
        acknowledged: cut.acknowledged(),
        step: step.unwrap_or(usize::MAX),
        now: cut.sim().process().wall_clock(),
    }
}
