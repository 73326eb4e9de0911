//! Which process makes its next call.

use super::content::mix;
use super::random::Random;
use std::collections::HashSet;
use std::fmt;
use std::ops::Range;

/// Decides who goes on, wherever more than one process can, in [`SimDisk::run`](super::SimDisk::run): drawn from seeds,
/// or one after the other of all ways there are.
///
/// ```
/// use shelflife::sim::{Schedule, SimDisk};
/// use shelflife::{Options, Store};
///
/// // Two processes that look before they write. In how many ways is one of the two lost?
/// let visit = |store: &Store| {
///     let visits = store.get("visits")?.unwrap_or(vec![0]);
///     store.insert("visits", [visits[0] + 1]).map(drop)
/// };
/// let (mut ways, mut lost) = (0, 0);
/// let mut schedule = Schedule::search().preemptions(1);
/// while schedule.next() {
///     let sim = SimDisk::new(1);
///     let (one, two) = (sim.process(), sim.process());
///     let open = |disk| Options::new().disk(disk).open("s.shelf");
///     let (a, b) = (open(one.disk())?, open(two.disk())?);
///     sim.run(&mut schedule, vec![one.program(|| visit(&a)), two.program(|| visit(&b))]);
///     ways += 1;
///     lost += u32::from(Options::new().disk(sim.disk()).open("s.shelf")?.get("visits")? == Some(vec![1]));
/// }
/// assert!(ways > 2 && lost > 0, "{lost} of {ways}: `update` is made for this");
/// # Ok::<(), shelflife::Error>(())
/// ```
#[derive(Debug)]
pub struct Schedule(Kind);

#[derive(Debug)]
enum Kind {
    Seeds(Seeds),
    Search(Search),
}

#[derive(Debug)]
struct Seeds {
    seed: u64,
    ahead: Range<u64>,
    random: Random,
    /// In how many of 8 cases the running process goes on.
    stay: usize,
}

/// Depth first, by running everything again up to the last place where another choice is left.
#[derive(Debug, Default)]
struct Search {
    path: Vec<Branch>,
    depth: usize,
    seen: HashSet<u64>,
    runs: usize,
    preemptions_max: Option<usize>,
    preemptions: usize,
    diverged: bool,
    /// Known states are gone through again, to prove that they need not be.
    everything: bool,
}

#[derive(Debug)]
struct Branch {
    options: Vec<usize>,
    taken: usize,
}

/// How a [`SimDisk::run`](super::SimDisk::run) ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ran {
    /// Every program returned.
    Whole,
    /// A search came to a state that it had been in before, from which it knows all that can follow, and killed the
    /// processes. Their answers mean nothing; the calls that they had made before still count.
    Pruned,
}

impl Schedule {
    /// One schedule for each seed, always the same. Some switch at almost every call, some seldom: each finds what the
    /// others do not.
    pub fn seeds(seeds: Range<u64>) -> Schedule {
        Schedule(Kind::Seeds(Seeds {
            seed: seeds.start,
            ahead: seeds,
            random: Random::new(0),
            stay: 0,
        }))
    }

    /// Every schedule, as far as they differ: where all processes and the disk are as they were before, the run is
    /// given up ([`Ran::Pruned`]).
    pub fn search() -> Schedule {
        Schedule(Kind::Search(Search::default()))
    }

    /// In a search, only the schedules that take the turn at most so often from a process that could go on. Most
    /// mistakes need one or two such moments.
    pub fn preemptions(mut self, most: usize) -> Schedule {
        if let Kind::Search(search) = &mut self.0 {
            search.preemptions_max = Some(most);
        }
        self
    }

    /// Goes to the next schedule, which is for one run on a machine made anew; false if there is none.
    #[allow(clippy::should_implement_trait)]
    pub fn next(&mut self) -> bool {
        match &mut self.0 {
            Kind::Seeds(seeds) => seeds.next(),
            Kind::Search(search) => search.next(),
        }
    }

    /// How many different states of all processes and the disk a search has seen, where more than one could go on.
    pub fn states(&self) -> usize {
        match &self.0 {
            Kind::Seeds(_) => 0,
            Kind::Search(search) => search.seen.len(),
        }
    }

    #[cfg(test)]
    pub(super) fn everything(mut self) -> Schedule {
        if let Kind::Search(search) = &mut self.0 {
            search.everything = true;
        }
        self
    }

    pub(super) fn is_search(&self) -> bool {
        matches!(self.0, Kind::Search(_))
    }

    /// Whether a search could not go again where it had been.
    pub(super) fn diverged(&self) -> bool {
        matches!(&self.0, Kind::Search(search) if search.diverged)
    }

    /// One of the options, or `None` if nothing new can come of this run.
    pub(super) fn choose(
        &mut self,
        options: &[usize],
        running: Option<usize>,
        state: impl FnOnce() -> u64,
    ) -> Option<usize> {
        let running = running.filter(|running| options.contains(running));
        match (&mut self.0, options) {
            (_, [only]) => Some(*only),
            (Kind::Seeds(seeds), _) => match running {
                Some(running) if seeds.random.below(8) < seeds.stay => Some(running),
                _ => Some(options[seeds.random.below(options.len())]),
            },
            (Kind::Search(search), _) => search.choose(options, running, state),
        }
    }
}

impl Seeds {
    fn next(&mut self) -> bool {
        let Some(seed) = self.ahead.next() else {
            return false;
        };
        self.seed = seed;
        self.random = Random::new(seed);
        self.stay = [0, 4, 6, 7][self.random.below(4)];
        true
    }
}

impl Search {
    fn next(&mut self) -> bool {
        self.depth = 0;
        self.preemptions = 0;
        self.runs += 1;
        if self.runs == 1 {
            return true;
        }
        while let Some(last) = self.path.last_mut() {
            last.taken += 1;
            if last.taken < last.options.len() {
                return true;
            }
            self.path.pop();
        }
        false
    }

    fn choose(
        &mut self,
        options: &[usize],
        running: Option<usize>,
        state: impl FnOnce() -> u64,
    ) -> Option<usize> {
        if running.is_some() && self.preemptions_max == Some(self.preemptions) {
            return running;
        }
        if self.depth == self.path.len() {
            let mut state = state();
            if self.preemptions_max.is_some() {
                // The future of a state depends also on the process that runs, and on how often it may still be
                // interrupted.
                let running = running.map_or(0, |running| running as u64 + 1);
                state = mix(state, (self.preemptions as u64) << 8 | running);
            }
            if !self.seen.insert(state) && !self.everything {
                return None;
            }
            let mut options = options.to_vec();
            if let Some(place) = options.iter().position(|option| Some(*option) == running) {
                options[..=place].rotate_right(1);
            }
            self.path.push(Branch { options, taken: 0 });
        }
        let branch = &self.path[self.depth];
        let chosen = branch.options[branch.taken];
        if !options.contains(&chosen) {
            self.diverged = true;
            return None;
        }
        self.depth += 1;
        self.preemptions += usize::from(running.is_some_and(|running| running != chosen));
        Some(chosen)
    }
}

/// The schedule as text, by which a test repeats it.
impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Seeds(seeds) => write!(f, "schedule of seed {}", seeds.seed),
            Kind::Search(search) => {
                let taken = search.path.iter().take(search.depth);
                let taken: Vec<usize> = taken.map(|branch| branch.options[branch.taken]).collect();
                write!(f, "run {} of the search, choices {taken:?}", search.runs)
            }
        }
    }
}
