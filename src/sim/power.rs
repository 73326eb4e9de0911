//! Power cuts: which steps, which images of each, and the names by which one is found again.

use super::SimDisk;
use super::content::mix;
use super::fs::Fs;
use super::images::Images;
use super::machine::{History, Machine};
use super::process::SimProcess;
use super::random::Random;
use crate::error::Error;
use std::collections::{HashSet, VecDeque};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::SystemTime;

/// The name of what one power cut leaves: written `seed:step:image`, and read back from that.
///
/// ```
/// let id: shelflife::sim::ImageId = "7:12:30".parse()?;
/// assert_eq!(id.to_string(), "7:12:30");
/// # Ok::<(), shelflife::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ImageId {
    seed: u64,
    step: usize,
    image: usize,
}

/// A machine after a power cut: no process runs, and its disk holds what had reached it.
#[derive(Debug)]
pub struct PowerCut {
    id: ImageId,
    acknowledged: usize,
    sim: SimDisk,
}

/// The machines that power cuts leave, from [`SimDisk::power_cuts`].
///
/// At each step it takes every combination of: any of the 512-byte sectors that were not synced, any first bytes of the
/// last write, the length (with the owner) before or after the data, and behind the old end zeros, garbage or what
/// stood there before the file was cut; any of the new names that no directory sync covers, each whole or not at all.
/// Where that makes more than 4,096, it takes: nothing, all, all up to each earlier step, each torn last write, all but
/// one, one alone, and 500 samples ([`PowerCuts::samples`]).
///
/// An image that was there since the last [`SimDisk::acknowledge`] does not come again.
#[derive(Debug)]
pub struct PowerCuts {
    seed: u64,
    depth: u16,
    wall_clock: SystemTime,
    network: Option<String>,
    history: History,
    /// The disk after `step`.
    fs: Fs,
    step: usize,
    images: Option<Images>,
    next: usize,
    samples: usize,
    /// The steps to draw an image at, in order.
    picks: Option<VecDeque<usize>>,
    seen: HashSet<u64>,
    seen_acknowledged: usize,
}

impl PowerCut {
    /// The name of this image, to be printed: [`SimDisk::power_cut`] finds the image by it.
    pub fn id(&self) -> ImageId {
        self.id
    }

    /// How often [`SimDisk::acknowledge`] had been called when the power went.
    pub fn acknowledged(&self) -> usize {
        self.acknowledged
    }

    /// The machine, on which the power can be cut again. Faults, limits and mount points of the machine before are not
    /// there: a test that wants them gives it its own.
    pub fn sim(&self) -> &SimDisk {
        &self.sim
    }

    /// Its disk, as a new process sees it.
    pub fn disk(&self) -> Arc<dyn crate::Disk> {
        SimProcess::of(&self.sim, 1000, 1000).disk()
    }
}

impl PowerCuts {
    pub(super) fn new(machine: &Machine) -> PowerCuts {
        PowerCuts {
            seed: machine.seed,
            depth: machine.depth,
            wall_clock: machine.wall_clock(0),
            network: machine.network.clone(),
            fs: machine.history.start.clone(),
            step: machine.history.first_step,
            history: machine.history.clone(),
            images: None,
            next: 0,
            samples: 500,
            picks: None,
            seen: HashSet::new(),
            seen_acknowledged: 0,
        }
    }

    /// How many samples to take at a step that has too many images for all.
    pub fn samples(mut self, samples: usize) -> PowerCuts {
        self.samples = samples;
        self
    }

    /// From this step on.
    pub fn from_step(mut self, step: usize) -> PowerCuts {
        while self.step < step && self.advance() {}
        self
    }

    /// At most this many images, drawn by the seed from all steps alike.
    pub fn pick(mut self, count: usize) -> PowerCuts {
        let mut random = Random::new(mix(self.seed, count as u64));
        let (first, last) = (self.step, self.history.len());
        let steps = (0..count).map(|_| first + random.below(last - first + 1));
        let mut steps: Vec<usize> = steps.collect();
        steps.sort_unstable();
        self.picks = Some(steps.into());
        self
    }

    pub(super) fn image(mut self, id: ImageId) -> crate::Result<PowerCut> {
        while self.step < id.step && self.advance() {}
        if self.seed != id.seed || self.step != id.step || !self.images().has(id.image) {
            let what = format!("no power cut of this machine leaves `{id}`");
            return Err(Error::invalid_input(
                what,
                "make it with the seed in the name and repeat the same calls",
            ));
        }
        let (fs, _) = self.images().image(id.image);
        Ok(self.cut(id.image, fs))
    }

    fn images(&mut self) -> &Images {
        self.images.get_or_insert_with(|| {
            let seed = mix(self.seed, self.step as u64);
            Images::new(&self.fs, seed, self.history.effect(self.step), self.samples)
        })
    }

    /// Goes to the next step, if there is one.
    fn advance(&mut self) -> bool {
        if self.step == self.history.len() {
            return false;
        }
        self.step += 1;
        if let Some(effect) = self.history.effect(self.step) {
            self.fs.apply(self.step, effect);
        }
        self.images = None;
        self.next = 0;
        true
    }

    /// The next image, whether it was there already or not.
    fn next_image(&mut self) -> Option<usize> {
        if self.picks.is_some() {
            let step = self.picks.as_mut()?.pop_front()?;
            while self.step < step && self.advance() {}
            self.next += 1;
            let mut random = Random::new(mix(mix(self.seed, step as u64), self.next as u64));
            return Some(random.below(self.images().count()));
        }
        while self.next == self.images().count() {
            if !self.advance() {
                return None;
            }
        }
        self.next += 1;
        Some(self.next - 1)
    }

    fn cut(&self, image: usize, fs: Fs) -> PowerCut {
        let step = self.step;
        // Short, since people read it.
        let seed = mix(mix(self.seed, step as u64), image as u64) >> 32;
        let sim = SimDisk::with(seed, self.depth.saturating_add(1), fs);
        sim.set_wall_clock(self.wall_clock);
        sim.lock().network.clone_from(&self.network);
        PowerCut {
            id: ImageId {
                seed: self.seed,
                step,
                image,
            },
            acknowledged: self.history.acknowledged_at(step),
            sim,
        }
    }
}

impl Iterator for PowerCuts {
    type Item = PowerCut;

    fn next(&mut self) -> Option<PowerCut> {
        loop {
            let image = self.next_image()?;
            let acknowledged = self.history.acknowledged_at(self.step);
            if acknowledged != self.seen_acknowledged {
                self.seen_acknowledged = acknowledged;
                self.seen.clear();
            }
            let (fs, hash) = self.images().image(image);
            if self.seen.insert(hash) {
                return Some(self.cut(image, fs));
            }
        }
    }
}

impl fmt::Display for ImageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.seed, self.step, self.image)
    }
}

impl FromStr for ImageId {
    type Err = Error;

    fn from_str(text: &str) -> crate::Result<ImageId> {
        let mut parts = text.split(':');
        let mut part = || parts.next()?.parse::<u64>().ok();
        let found = (|| {
            Some(ImageId {
                seed: part()?,
                step: usize::try_from(part()?).ok()?,
                image: usize::try_from(part()?).ok()?,
            })
        })();
        match (found, parts.next()) {
            (Some(id), None) => Ok(id),
            _ => {
                let what = format!("`{text}` is no image of a power cut");
                Err(Error::invalid_input(what, "write it as seed:step:image"))
            }
        }
    }
}
