//! The faults of a disk under a file that nobody writes to: bits turn over, a write goes astray.

use super::super::hand::key_bytes;
use super::super::model::{Answer, LAST, LAST_KEY};
use super::super::step::CONTRADICTIONS;
use super::super::step::Step::*;
use super::Swarm;
use crate::proof::workload::PATH;
use crate::raw;
use shelflife::sim::SimDisk;
use shelflife::{Disk, ErrorKind};
use std::path::Path;

/// Of each of the two copies of a header.
pub(super) const HEADER_BYTES: usize = 4096;

/// The records that give a key its value: where each begins and where its value does, and whether it is this key's.
fn puts(file: &[u8], key: &[u8]) -> Vec<(usize, usize, bool)> {
    let (mut at, mut found) = (raw::LOG, Vec::new());
    while raw::verifies(file, at).is_some() {
        let value = at + raw::HEAD + key.len();
        let key_len = usize::from(file[at + 20]) + 256 * usize::from(file[at + 21]);
        let is_keys = key_len == key.len() && file.get(at + raw::HEAD..value) == Some(key);
        if file[at + raw::KIND] == raw::PUT {
            found.push((at, value, is_keys));
        }
        at += raw::record_len(file, at);
    }
    found
}

/// A byte of the value that was written last under a key.
fn value_of(file: &[u8], key: &[u8]) -> Option<usize> {
    let (at, value, _) = puts(file, key)
        .into_iter()
        .rfind(|(.., is_keys)| *is_keys)?;
    (value < at + raw::record_len(file, at)).then_some(value)
}

impl Swarm {
    /// Where something is damaged, a call may say so: whether it may is for the model to tell.
    pub(super) fn or_damage(&self, answer: shelflife::Result<Answer>) -> shelflife::Result<Answer> {
        match answer {
            Err(error) if self.has_rotted && error.is_corrupt() => Ok(Answer::Corrupt),
            answer => answer,
        }
    }

    /// Turns a bit over in a value that is known to be on the disk; of another one it could not be told from what a
    /// crash leaves.
    pub(super) fn rot(&mut self, key: usize) -> Result<(), String> {
        let is_sealed = self.write_and_seal()?;
        let is_sure = is_sealed && matches!(&self.states()[..], [state] if state.may_rot(key));
        let file = self.sim.read(PATH).unwrap_or_default();
        if let Some(at) = value_of(&file, key_bytes(key)).filter(|_| is_sure) {
            let flipped = self.sim.flip_bit(PATH, at as u64, 5);
            flipped.map_err(|error| error.to_string())?;
            self.has_rotted = true;
            self.snapshot = None;
            self.states()[0].rot(key);
        }
        Ok(())
    }

    /// Where the log of the one copy is in its place and that of the other is not, the one counts.
    pub(super) fn misplace(&mut self, copy: usize) -> Result<(), String> {
        if self.write_and_seal()? {
            let copy = *self.misplaced.get_or_insert(copy);
            let other = SimDisk::new(self.generation);
            let opened = self.mode.options(other.disk()).open(PATH);
            drop(opened.map_err(|error| error.to_string())?);
            let (at, header) = (copy * HEADER_BYTES, other.read(PATH).unwrap_or_default());
            let header = header.get(at..at + HEADER_BYTES).unwrap_or_default();
            let written = self.sim.overwrite(PATH, at as u64, header);
            written.map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    /// Replaces the last record, and whatever stands behind it, by zeros, as a file system does that lost its last
    /// page. The record before it has the same value: a process that opens the file finds that, and is told that
    /// something is missing.
    pub(super) fn zero(&mut self) -> Result<(), String> {
        for who in 0..self.hands.len() {
            let closed = self.attempt(&Close(who))?;
            if closed.is_err() && self.hands[who].shaky {
                return self.settle(who);
            }
            closed.map_err(|error| format!("it does not close: {error:?}"))?;
        }
        if !self.write_and_seal()? {
            return Ok(());
        }
        self.snapshot = None;
        self.forget_copies();
        for hand in &mut self.hands {
            hand.store = None;
        }
        let mut file = self.sim.read(PATH).unwrap_or_default();
        // Unless it was compacted in between, the last two are the same.
        let [.., (.., true), (last, _, true)] = puts(&file, key_bytes(LAST_KEY))[..] else {
            return Ok(());
        };
        file[last..].fill(0);
        let written = self.sim.write(PATH, &file);
        written.map_err(|error| error.to_string())?;
        let opened = self.open(0);
        opened.map_err(|error| format!("with zeros at its end it does not open: {error:?}"))?;
        let verified = self.store(0).verify();
        let told = verified.map_err(|error| format!("{error:?}"))?.torn_tail;
        if told.is_none() || self.store(0).recovery().torn_tails.is_empty() {
            return Err("nobody is told of zeros at the end".to_owned());
        }
        let done = self.attempt(&Insert(0, LAST_KEY, LAST, None))?;
        let is_durable = done.map_err(|error| format!("behind zeros: {error:?}"))?;
        self.promise(is_durable);
        Ok(())
    }

    /// False where that can't be: a hand that has not been told of a failure yet may leave this file for a new one.
    pub(super) fn write_and_seal(&mut self) -> Result<bool, String> {
        if self.hands.iter().any(|hand| hand.shaky) {
            return Ok(false);
        }
        // A record that is written and synced behind another says that that is there; a seal may be lost.
        let write = || Insert(0, LAST_KEY, LAST, None);
        for step in [write(), Sync(0), write(), Sync(0)] {
            let done = self.attempt(&step)?;
            let is_durable = done.map_err(|error| format!("{step:?} failed: {error:?}"))?;
            self.promise(is_durable);
        }
        Ok(true)
    }

    /// The evidence files that repairs kept.
    pub(super) fn evidence(&self) -> Vec<String> {
        self.beside(".damaged-")
    }

    /// The files beside the store that have its name with this in it; a salvage makes others.
    pub(super) fn beside(&self, part: &str) -> Vec<String> {
        let admin = self.sim.process();
        let names = admin.list(Path::new("/")).unwrap_or_default();
        let names = names.iter().map(|name| name.to_string_lossy().into_owned());
        let store = PATH.trim_start_matches('/');
        let own = names.filter(|name| name.starts_with(store) && name.contains(part));
        own.collect()
    }

    /// Options that contradict each other are refused, and nothing is touched.
    pub(super) fn contradict(&mut self, which: usize) -> Result<(), String> {
        let opened = self.open(0);
        opened.map_err(|error| format!("it does not open: {error:?}"))?;
        let before = (self.sim.read(PATH).ok(), self.beside(""));
        let kind = self.hands[0]
            .contradict(which)
            .map(drop)
            .map_err(|error| error.kind());
        let expected = match which == CONTRADICTIONS - 1 {
            true => ErrorKind::AlreadyExists,
            false => ErrorKind::InvalidInput,
        };
        if kind != Err(expected) {
            return Err(format!("{which}: {kind:?}, expected {expected:?}"));
        }
        match before == (self.sim.read(PATH).ok(), self.beside("")) {
            true => Ok(()),
            false => Err(format!("{which}: it was refused and changed something")),
        }
    }
}
