//! The variants of one file that a power cut can leave.

use super::content::mix;
use super::fs::{Effect, FileChange, Inode, Version};
use super::random::Random;
use std::ops::Range;
use std::sync::Arc;

const SECTOR: usize = 512;
/// As many images of one step are all taken.
pub(super) const EXHAUSTIVE: usize = 4096;

#[derive(Debug)]
pub(super) struct DirtyFile {
    pub(super) number: u64,
    pub(super) inode: Arc<Inode>,
    /// With all changes, and with all but the last.
    written: Version,
    before_last: Version,
    /// The bytes that each change touches.
    touched: Vec<Range<usize>>,
    sectors: Vec<usize>,
    /// The length of the last write, if the cut may come in the middle of it.
    pub(super) in_flight: usize,
    pub(super) variants: Vec<FileChoice>,
}

/// The choices that make one variant of a file.
#[derive(Debug, Clone)]
pub(super) struct FileChoice {
    /// How many changes had been handed to the disk, and how many bytes of the one after them.
    pub(super) changes: usize,
    pub(super) torn: usize,
    /// Which of the dirty sectors had reached it.
    present: Bits,
    /// The length and the owner had not.
    old_length: bool,
    /// The content of a sector that did not arrive and never held anything of the file.
    fill: Fill,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fill {
    Zeros,
    Random,
    Stale,
}

pub(super) const FILLS: [Fill; 3] = [Fill::Zeros, Fill::Random, Fill::Stale];

/// Few bits without an allocation, or any number.
#[derive(Debug, Clone)]
pub(super) enum Bits {
    Few(u64),
    Many(Vec<bool>),
}

impl Bits {
    const ALL: Bits = Bits::Few(u64::MAX);

    fn is_set(&self, index: usize) -> bool {
        match self {
            Bits::Few(bits) => index >= 64 || bits >> index & 1 == 1,
            Bits::Many(bits) => bits[index],
        }
    }

    fn all(&self) -> bool {
        match self {
            Bits::Few(bits) => *bits == u64::MAX,
            Bits::Many(bits) => bits.iter().all(|bit| *bit),
        }
    }
}

impl FileChoice {
    pub(super) fn whole(changes: usize, torn: usize) -> FileChoice {
        FileChoice {
            changes,
            torn,
            present: Bits::ALL,
            old_length: false,
            fill: Fill::Zeros,
        }
    }
}

impl DirtyFile {
    pub(super) fn new(number: u64, inode: &Arc<Inode>, last: Option<&Effect>) -> DirtyFile {
        let mut len = inode.durable.content.len();
        let mut touched = Vec::new();
        for dirty in &inode.dirty {
            touched.push(match &dirty.change {
                FileChange::Write { at, bytes } => {
                    len = len.max(at + bytes.len());
                    *at..at + bytes.len()
                }
                FileChange::SetLen(to) => {
                    let cut = *to..len.max(*to);
                    len = *to;
                    cut
                }
                FileChange::SetOwner(_) => 0..0,
            });
        }
        let mut sectors: Vec<usize> = Vec::new();
        for bytes in &touched {
            sectors.extend(bytes.start / SECTOR..bytes.end.div_ceil(SECTOR));
        }
        sectors.sort_unstable();
        sectors.dedup();
        let in_flight = match last {
            Some(Effect::File {
                inode,
                change: FileChange::Write { bytes, .. },
            }) if *inode == number => bytes.len(),
            _ => 0,
        };
        let count = inode.dirty.len();
        DirtyFile {
            number,
            written: inode.written(count),
            before_last: inode.written(count.saturating_sub(1)),
            inode: Arc::clone(inode),
            touched,
            sectors,
            in_flight,
            variants: Vec::new(),
        }
    }

    /// The number of things that had arrived or had not: each dirty sector, and length and owner together.
    pub(super) fn items(&self) -> usize {
        self.sectors.len() + 1
    }

    pub(super) fn choice(&self, fill: Fill, present: &mut dyn FnMut(usize) -> bool) -> FileChoice {
        FileChoice {
            changes: self.inode.dirty.len(),
            torn: 0,
            present: Bits::Many((0..self.sectors.len()).map(&mut *present).collect()),
            old_length: !present(self.sectors.len()),
            fill,
        }
    }

    /// Everything that can be left of the file, or `None` if that is too much.
    pub(super) fn all_variants(&self) -> Option<Vec<FileChoice>> {
        let count = self.inode.dirty.len();
        // As it was after each change; at the change before the last if nothing of the last had arrived.
        let mut variants: Vec<FileChoice> = (0..count.max(1))
            .map(|changes| FileChoice::whole(changes, 0))
            .collect();
        if count == 0 {
            return Some(variants);
        }
        if self.sectors.len() >= 64 {
            return None;
        }
        let durable = &self.inode.durable;
        let old_len = durable.content.len();
        let torn = (1..self.in_flight).map(|bytes| (count - 1, bytes));
        for (changes, torn) in [(count, 0)].into_iter().chain(torn) {
            let version = self.version(changes, torn);
            let mut touched = self.touched[..changes].to_vec();
            touched.extend(
                (torn > 0).then(|| self.touched[changes].start..self.touched[changes].start + torn),
            );
            for old_length in [false, true] {
                let new_len = version.content.len();
                if old_length && new_len == old_len && version.owner == durable.owner {
                    continue;
                }
                let len = if old_length { old_len } else { new_len };
                let visible = self.visible(&touched, len);
                // Nothing of it shows, as nothing of the other torn writes does.
                if old_length && torn > 0 && visible == 0 {
                    continue;
                }
                let mut present = visible;
                loop {
                    for fill in &FILLS[..self.fills(visible & !present, len)] {
                        if variants.len() == EXHAUSTIVE {
                            return None;
                        }
                        variants.push(FileChoice {
                            changes,
                            torn,
                            present: Bits::Few(present | !visible),
                            old_length,
                            fill: *fill,
                        });
                    }
                    if present == 0 {
                        break;
                    }
                    present = (present - 1) & visible;
                }
            }
        }
        Some(variants)
    }

    /// Which dirty sectors hold bytes that were touched and lie before the end.
    fn visible(&self, touched: &[Range<usize>], len: usize) -> u64 {
        let sectors = self.sectors.iter().enumerate();
        let visible = sectors.filter(|(_, sector)| {
            let bytes = *sector * SECTOR..((*sector + 1) * SECTOR).min(len);
            touched
                .iter()
                .any(|touched| touched.start.max(bytes.start) < touched.end.min(bytes.end))
        });
        visible.fold(0, |bits, (index, _)| bits | 1 << index)
    }

    /// How many ways there are to fill the absent sectors.
    fn fills(&self, absent: u64, len: usize) -> usize {
        let old_len = self.inode.durable.content.len();
        let mut sectors = self.sectors.iter().enumerate();
        let open = sectors.any(|(index, sector)| {
            absent >> index & 1 == 1 && ((sector + 1) * SECTOR).min(len) > old_len
        });
        match (open, self.inode.stale.len() > old_len) {
            (false, _) => 1,
            (true, false) => 2,
            (true, true) => 3,
        }
    }

    fn version(&self, changes: usize, torn: usize) -> Version {
        let count = self.inode.dirty.len();
        let mut version = match count.checked_sub(changes) {
            Some(0) => self.written.clone(),
            Some(1) => self.before_last.clone(),
            _ => self.inode.written(changes),
        };
        if torn > 0
            && let Some(FileChange::Write { at, bytes }) =
                self.inode.dirty.get(changes).map(|dirty| &dirty.change)
        {
            version.content.write(*at, &bytes[..torn]);
        }
        version
    }

    pub(super) fn build(&self, choice: &FileChoice, seed: u64) -> Inode {
        let durable = &self.inode.durable;
        let old_len = durable.content.len();
        let mut left = self.version(choice.changes, choice.torn);
        let mut stale = self.inode.stale.clone();
        if choice.old_length {
            if left.content.len() > old_len {
                let mut behind = vec![0; left.content.len() - old_len];
                left.content.read(old_len, &mut behind);
                stale.write(old_len, &behind);
            }
            left.content.set_len(old_len);
            left.owner = durable.owner;
        }
        if !choice.present.all() {
            let len = left.content.len();
            let absent = self
                .sectors
                .iter()
                .enumerate()
                .filter(|(index, _)| !choice.present.is_set(*index));
            for (_, sector) in absent {
                let start = sector * SECTOR;
                let end = (start + SECTOR).min(len);
                if start >= end {
                    continue;
                }
                let mut bytes = [0; SECTOR];
                let bytes = &mut bytes[..end - start];
                match choice.fill {
                    Fill::Zeros => {}
                    Fill::Random => random_at(mix(seed, self.number), start, bytes),
                    Fill::Stale => {
                        self.inode.stale.read(start, bytes);
                    }
                }
                durable.content.read(start, bytes);
                left.content.write(start, bytes);
            }
        }
        Inode {
            kind: self.inode.kind,
            cached: left.clone(),
            durable: left,
            dirty: Vec::new(),
            stale,
            diverged: false,
        }
    }
}

/// Garbage that depends on the place alone, so that two ways to the same image are one.
fn random_at(seed: u64, start: usize, bytes: &mut [u8]) {
    Random::new(mix(seed, start as u64)).fill(bytes);
}
