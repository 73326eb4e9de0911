//! Threads of one process that meet: at the disk, behind a sync that panics, and behind a compaction.

use super::*;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

impl Swarm {
    /// Threads of one process make a write each, at the same time.
    pub(super) fn threads(&mut self, who: Who, writes: &[(usize, Value)]) -> Result<(), String> {
        let opened = self.open(who);
        opened.map_err(|error| format!("it does not open: {error:?}"))?;
        let (from, new_id) = (self.sim.steps(), self.ids.len());
        let steps: Vec<Step> = writes
            .iter()
            .map(|(key, value)| Insert(who, *key, *value, None))
            .collect();
        let answers = self.hands[who].write_at_once(writes)?;
        let (mut calls, mut failed) = (Vec::new(), None);
        for (step, answer) in steps.iter().zip(answers) {
            let answer = answer.map_err(|error| failed = Some(error)).ok();
            let at = self.at(step, new_id);
            calls.push(Made { step, at, answer });
        }
        self.has_written(from, &calls.iter().collect::<Vec<_>>())?;
        match failed {
            Some(error) if self.hands[who].shaky && error.kind() != ErrorKind::Corrupt => {
                return self.settle(who);
            }
            Some(error) => return Err(format!("failed: {error:?}")),
            None => {
                let durability = self.mode.durability;
                self.promise(calls.iter().all(|made| made.is_durable(durability)));
            }
        }
        // In which order they wrote: states that differ in that alone would become too many.
        self.list(who)?;
        self.space(who)
    }

    /// A sync panics in the middle of a call, which is the end of that thread. Another one is served by the same handle,
    /// and may count on what it is told.
    pub(super) fn panic(&mut self, step: &Step, nth: u64) -> Result<(), String> {
        let who = step.who();
        if self.hands.iter().any(|hand| hand.shaky) {
            return Ok(());
        }
        let opened = self.open(who);
        opened.map_err(|error| format!("it does not open: {error:?}"))?;
        let (from, new_id) = (self.sim.steps(), self.ids.len());
        let (at, mut visit) = (self.at(step, new_id), self.visit(step));
        let before = self.sim.faults();
        let process = self.hands[who].process.id();
        let fault = Fault::new(FaultKind::Panic).on(Call::Sync).by(process);
        self.sim.inject(fault.nth(nth));
        let call = AssertUnwindSafe(|| self.hands[who].call(step, at.wall, &mut visit));
        let called = catch_unwind(call);
        self.sim.clear_faults();
        let answer = match called {
            Ok(answer) => {
                let answer = self.or_damage(answer);
                Some(answer.map_err(|error| format!("failed without a fault: {error:?}"))?)
            }
            Err(panic) if self.sim.faults() == before => resume_unwind(panic),
            Err(_) => {
                self.is_excused = true;
                None
            }
        };
        self.has_written(from, &[&Made { step, at, answer }])?;
        let synced = self.hands[who].in_time(Store::sync)?;
        synced.map_err(|error| format!("after a sync that panicked: {error:?}"))?;
        self.promise(true);
        self.list(who)
    }

    /// A thread is in the middle of a load, which writes the file anew, and another one of the process wants to do so
    /// too.
    pub(super) fn wait(&mut self, who: Who) -> Result<(), String> {
        if !self.write_and_seal()? {
            return Ok(());
        }
        self.hands[who].wait_for_a_load()?;
        // By the handle whose clock decided which entries were long over.
        let written = self.attempt(&Insert(who, LAST_KEY, LAST, None))?;
        written.map_err(|error| format!("after a load: {error:?}"))?;
        self.write_and_seal().map(drop)
    }

    /// Leaves of all states that may be those that agree with the entries.
    fn list(&mut self, who: Who) -> Result<(), String> {
        let listed = self.attempt(&Iterate(who))?;
        listed.map_err(|error| format!("failed: {error:?}"))?;
        Ok(())
    }
}
