//! The images that a power cut can leave of a disk: every combination of changes that had reached it and changes that
//! had not, where these are few, else the telling ones and a seeded sample.

use super::content::{hash_bytes, mix};
use super::fs::{Dir, Effect, Fs, NameChange, Names, Node};
use super::random::Random;
use super::variants::{DirtyFile, EXHAUSTIVE, FILLS, FileChoice};
use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The images of one step.
#[derive(Debug)]
pub(super) struct Images {
    fs: Fs,
    seed: u64,
    names: Vec<PendingName>,
    files: Vec<DirtyFile>,
    /// The steps after which something is pending, oldest first.
    steps: Vec<usize>,
    kind: Enumeration,
}

#[derive(Debug)]
enum Enumeration {
    All(Vec<Case>),
    Some { samples: usize },
}

/// The images that have the same names.
#[derive(Debug)]
struct Case {
    names: u32,
    /// Which dirty files these names lead to.
    files: Vec<usize>,
    count: usize,
}

#[derive(Debug)]
struct PendingName {
    dir: PathBuf,
    step: usize,
    change: NameChange,
}

impl Images {
    /// The images of a disk right after `last`, which may not be finished when the power goes.
    pub(super) fn new(fs: &Fs, seed: u64, last: Option<&Effect>, samples: usize) -> Images {
        let mut names: Vec<PendingName> = Vec::new();
        for (path, dir) in &fs.dirs {
            for pending in &dir.pending {
                let place = names.partition_point(|name| name.step < pending.step);
                let name = PendingName {
                    dir: path.clone(),
                    step: pending.step,
                    change: pending.change.clone(),
                };
                names.insert(place, name);
            }
        }
        let files = fs
            .inodes
            .iter()
            .filter(|(_, inode)| inode.diverged || !inode.dirty.is_empty())
            .filter(|(number, _)| fs.is_reachable(**number));
        let mut files: Vec<DirtyFile> = files
            .map(|(number, inode)| DirtyFile::new(*number, inode, last))
            .collect();
        let mut steps: Vec<usize> = names.iter().map(|name| name.step).collect();
        for file in &files {
            steps.extend(file.inode.dirty.iter().map(|dirty| dirty.step));
        }
        steps.sort_unstable();
        steps.dedup();
        let cases = all_cases(fs, &names, &mut files);
        Images {
            fs: fs.clone(),
            seed,
            names,
            files,
            steps,
            kind: cases.map_or(Enumeration::Some { samples }, Enumeration::All),
        }
    }

    /// How many images there are, not all of them different.
    pub(super) fn count(&self) -> usize {
        match &self.kind {
            Enumeration::All(cases) => cases.iter().map(|case| case.count).sum(),
            Enumeration::Some { samples } => {
                let items =
                    self.names.len() + self.files.iter().map(DirtyFile::items).sum::<usize>();
                self.steps.len() + 1 + self.in_flight() + 2 * FILLS.len() * items + samples
            }
        }
    }

    /// Whether there is an image of this number: samples there are as many as one asks for.
    pub(super) fn has(&self, index: usize) -> bool {
        matches!(self.kind, Enumeration::Some { .. }) || index < self.count()
    }

    /// One of them, with a hash of all that a program could see of it.
    pub(super) fn image(&self, index: usize) -> (Fs, u64) {
        match &self.kind {
            Enumeration::All(cases) => {
                let mut rest = index;
                let mut cases = cases.iter();
                let case = cases.find(|case| match rest < case.count {
                    true => true,
                    false => {
                        rest -= case.count;
                        false
                    }
                });
                let Some(case) = case else {
                    return self.build(&|_| true, &|_| None);
                };
                let mut choices = vec![None; self.files.len()];
                for file in &case.files {
                    let variants = &self.files[*file].variants;
                    choices[*file] = Some(&variants[rest % variants.len()]);
                    rest /= variants.len();
                }
                self.build(&|name| case.names >> name & 1 == 1, &|file| {
                    choices[file].cloned()
                })
            }
            Enumeration::Some { .. } => self.telling(index),
        }
    }

    /// The length of the write that the cut may tear, less one.
    fn in_flight(&self) -> usize {
        self.files
            .iter()
            .map(|file| file.in_flight.saturating_sub(1))
            .sum()
    }

    /// The image at an index, where there are too many to take all: the telling ones first.
    fn telling(&self, mut index: usize) -> (Fs, u64) {
        // All that happened up to some step.
        if index <= self.steps.len() {
            let until = index.checked_sub(1).map_or(0, |last| self.steps[last]);
            return self.build(&|name| self.names[name].step <= until, &|file| {
                let dirty = &self.files[file].inode.dirty;
                let changes = dirty.partition_point(|dirty| dirty.step <= until);
                Some(FileChoice::whole(changes, 0))
            });
        }
        index -= self.steps.len() + 1;
        // All, but the last write is torn.
        if index < self.in_flight() {
            return self.build(&|_| true, &|file| match &self.files[file] {
                file if file.in_flight > 0 => {
                    Some(FileChoice::whole(file.inode.dirty.len() - 1, index + 1))
                }
                _ => None,
            });
        }
        index -= self.in_flight();
        // All but one, and one alone.
        let mut items = self.names.len();
        let starts: Vec<usize> = self
            .files
            .iter()
            .map(|file| {
                items += file.items();
                items - file.items()
            })
            .collect();
        if index < 2 * FILLS.len() * items {
            let alone = index % 2 == 1;
            let fill = FILLS[index / 2 % FILLS.len()];
            let one = index / 2 / FILLS.len();
            return self.build(&|name| (name == one) == alone, &|file| {
                let start = starts[file];
                let file = &self.files[file];
                Some(file.choice(fill, &mut |item| (start + item == one) == alone))
            });
        }
        index -= 2 * FILLS.len() * items;
        // A sample: each item is there with a chance that is drawn as well.
        let mut random = Random::new(mix(self.seed, index as u64));
        let chance = 1 + random.below(7);
        let names: Vec<bool> = self
            .names
            .iter()
            .map(|_| random.below(8) < chance)
            .collect();
        let choices: Vec<FileChoice> = self
            .files
            .iter()
            .map(|file| {
                let fill = FILLS[random.below(FILLS.len())];
                let mut choice = file.choice(fill, &mut |_| random.below(8) < chance);
                match random.below(4) {
                    0 if file.in_flight > 0 => {
                        choice.changes -= 1;
                        choice.torn = random.below(file.in_flight);
                    }
                    1 => choice.changes = random.below(choice.changes + 1),
                    _ => {}
                }
                choice
            })
            .collect();
        self.build(&|name| names[name], &|file| Some(choices[file].clone()))
    }

    /// The disk with the chosen names, and the files that these lead to. `None` is a file with all its changes.
    fn build(
        &self,
        name_present: &dyn Fn(usize) -> bool,
        choose: &dyn Fn(usize) -> Option<FileChoice>,
    ) -> (Fs, u64) {
        let mut image = Fs {
            inodes: BTreeMap::new(),
            dirs: durable_names(&self.fs, &self.names, name_present),
        };
        let mut hash = 0;
        for (path, dir) in &image.dirs {
            hash = mix(hash, hash_path(path));
            for (name, node) in &dir.durable {
                hash = mix(hash, hash_path(Path::new(name)));
                match node {
                    Node::Symlink(target) => hash = mix(hash, hash_path(target)),
                    Node::Inode(number) if image.inodes.contains_key(number) => {
                        hash = mix(hash, *number)
                    }
                    Node::Inode(number) => {
                        let dirty = self.files.iter().position(|file| file.number == *number);
                        let inode = match dirty {
                            Some(file) => {
                                let choice = choose(file);
                                let file = &self.files[file];
                                let choice = choice.unwrap_or_else(|| {
                                    FileChoice::whole(file.inode.dirty.len(), 0)
                                });
                                Arc::new(file.build(&choice, self.seed))
                            }
                            None => match self.fs.inodes.get(number) {
                                Some(inode) => Arc::clone(inode),
                                None => continue,
                            },
                        };
                        hash = mix(hash, inode.durable.hash());
                        image.inodes.insert(*number, inode);
                    }
                }
            }
            if let Some(inode) = self.fs.inodes.get(&dir.inode) {
                hash = mix(hash, inode.durable.hash());
                image.inodes.insert(dir.inode, Arc::clone(inode));
            }
        }
        (image, hash)
    }
}

/// Every combination of names with every combination of what these lead to, or `None` if that is too many.
fn all_cases(fs: &Fs, names: &[PendingName], files: &mut [DirtyFile]) -> Option<Vec<Case>> {
    if 1 << names.len().min(20) > EXHAUSTIVE {
        return None;
    }
    for file in files.iter_mut() {
        file.variants = file.all_variants()?;
    }
    let mut cases = Vec::new();
    let mut seen = HashSet::new();
    let mut count = 0;
    for chosen in 0..1_u32 << names.len() {
        let dirs = durable_names(fs, names, &|name| chosen >> name & 1 == 1);
        let left: Vec<Names> = dirs.values().map(|dir| dir.durable.clone()).collect();
        let reached = |file: &usize| {
            let node = Node::Inode(files[*file].number);
            let mut left = left.iter();
            left.any(|names| names.values().any(|found| *found == node))
        };
        let reached: Vec<usize> = (0..files.len()).filter(reached).collect();
        if !seen.insert(left) {
            continue;
        }
        let sizes = reached.iter().map(|file| files[*file].variants.len());
        let images = sizes.fold(1, usize::saturating_mul);
        count += images;
        if count > EXHAUSTIVE {
            return None;
        }
        cases.push(Case {
            names: chosen,
            files: reached,
            count: images,
        });
    }
    Some(cases)
}

/// The folders as they are when only the chosen changes of names had reached the disk.
fn durable_names(
    fs: &Fs,
    names: &[PendingName],
    chosen: &dyn Fn(usize) -> bool,
) -> BTreeMap<PathBuf, Arc<Dir>> {
    let mut dirs = fs.dirs.clone();
    for (path, dir) in &mut dirs {
        if dir.pending.is_empty() {
            continue;
        }
        let mut durable: Names = dir.durable.clone();
        for (index, name) in names.iter().enumerate() {
            if name.dir == *path && chosen(index) {
                name.change.apply(&mut durable);
            }
        }
        *dir = Arc::new(Dir {
            inode: dir.inode,
            cached: durable.clone(),
            durable,
            pending: Vec::new(),
        });
    }
    dirs
}

fn hash_path(path: &Path) -> u64 {
    hash_bytes(path.as_os_str().as_encoded_bytes())
}
