//! Trouble of processes and of the machine, and that all goes on afterwards.

use super::*;

impl Swarm {
    /// A process dies, another one comes.
    pub(super) fn kill(&mut self, who: Who) -> Result<(), String> {
        self.sim.kill(self.hands[who].process.id());
        self.snapshot = self.snapshot.take().filter(|kept| kept.who != who);
        self.hands[who] = self.hand(who);
        self.open(who)
            .map_err(|error| format!("after a kill it does not open: {error:?}"))
    }

    pub(super) fn fail(&mut self, step: &Step, failure: Failure) -> Result<(), String> {
        let who = step.who();
        let pid = self.hands[who].process.id();
        let mut fault = Fault::new(failure.kind).by(pid).nth(failure.nth);
        if failure.forever {
            fault = fault.forever();
        }
        let before = self.sim.faults();
        self.sim.inject(fault);
        if let FaultKind::Short(_) = failure.kind {
            self.calls_max = CALLS_BY_BYTES_MAX;
        }
        let outcome = self.attempt(step)?;
        self.calls_max = CALLS_MAX;
        self.sim.clear_faults(); // also if it was not even opened
        // Records that a failed sync took away are missing there.
        self.snapshot = None;
        if self.sim.faults() == before && !self.hands[who].shaky {
            let durable = outcome.map_err(|error| format!("failed without a fault: {error:?}"))?;
            self.promise(durable);
            return Ok(());
        }
        if matches!(&outcome, Err(error) if error.kind() == ErrorKind::Corrupt) {
            return Err(format!("a failed call is taken for damage: {outcome:?}"));
        }
        self.is_excused = true;
        for hand in &mut self.hands {
            hand.shaky = true;
        }
        let dead = self.hands[who].process.sync_dir("/".as_ref()).is_err();
        if dead || failure.dies {
            self.sim.kill(pid);
            self.hands[who] = self.hand(who);
        }
        self.settle(who)
    }

    /// After a failure a handle works, or says why not and works after `reopen`.
    pub(super) fn settle(&mut self, who: Who) -> Result<(), String> {
        let opened = self.open(who);
        opened.map_err(|error| format!("then it does not open: {error:?}"))?;
        let writes = self.writes(who);
        let healthy = |store: &Store| match writes {
            true => store.sync(),
            false => store.len().map(|_| ()),
        };
        let syncs = self.sim.calls(Call::Sync);
        let mut outcome = healthy(self.store(who));
        // It may be told of somebody else's failed sync only once its own failure is healed.
        for _ in 0..=usize::from(self.hands[who].shaky) {
            if outcome.is_err() {
                let healed = self.store(who).reopen();
                healed.map_err(|error| format!("`reopen` fails: {error:?}"))?;
                outcome = healthy(self.store(who));
            }
        }
        outcome.map_err(|error| format!("`reopen` does not heal it: {error:?}"))?;
        // A handle that only reads is told of nothing more.
        self.hands[who].shaky &= writes;
        self.was_told(who, syncs);
        let now = self.ended_by(who);
        let stats = self.store(who).stats();
        let generation = stats.map_err(|error| format!("{error:?}"))?.generation;
        let (mut states, rules) = (self.states().clone(), self.rules);
        if generation != self.generation {
            self.generation = generation;
            self.look_at_the_creation();
            or_compacted(&mut states, now, rules);
        }
        if writes {
            self.turns.clear();
        }
        let from = self.sim.steps();
        self.turns.push(Turn { from, states });
        self.read_all(who)
    }

    /// It is, once a sync of its own went well. Where there was nothing to sync, that is still to come.
    pub(super) fn was_told(&mut self, who: Who, syncs_before: u64) {
        let hand = &mut self.hands[who];
        hand.shaky &= self.sim.calls(Call::Sync) == syncs_before;
    }

    pub(super) fn read_all(&mut self, who: Who) -> Result<(), String> {
        for step in [Iterate(who), List(who), Len(who)] {
            let outcome = self.attempt(&step)?;
            outcome.map_err(|error| format!("{step:?} failed: {error:?}"))?;
        }
        let recovery = self.store(who).recovery();
        let is_header_sound = self.misplaced.is_some() || recovery.bad_header_copy.is_none();
        match self.has_rotted || recovery.damage.is_empty() && is_header_sound {
            true => Ok(()),
            false => Err(format!("a crash is taken for damage: {recovery:?}")),
        }
    }

    /// Takes a step, and lets the power go at any moment from its beginning to its end.
    pub(super) fn cut(&mut self, step: &Step) -> Result<(), String> {
        let promised = self.promised;
        self.sim.forget();
        let outcome = self.attempt(step)?;
        match outcome {
            Ok(true) => {
                self.sim.acknowledge();
                self.promised += 1;
            }
            Ok(false) => {}
            Err(_) if self.hands[step.who()].shaky => {}
            Err(error) => return Err(format!("failed: {error:?}")),
        }
        let cut = self.sim.power_cuts().samples(20).pick(1).next();
        let cut = cut.ok_or("the power can't be cut")?;
        let moment = moment_of(&cut);
        let first = match cut.acknowledged() > promised {
            true => self.turns.len() - 1,
            false => 0,
        };
        let begun = self.turns.iter().rposition(|turn| turn.from < moment.step);
        let states = self.turns[first..=begun.unwrap_or(0).max(first)]
            .iter()
            .flat_map(|turn| turn.states.iter().cloned());
        self.turns = vec![Turn {
            from: 0,
            states: states.collect(),
        }];
        self.forget_copies();
        let states = distinct(std::mem::take(self.states()));
        *self.states() = states;
        self.promised = cut.acknowledged();
        self.snapshot = None;
        self.sim = cut.sim().clone();
        // Bytes that reached the disk behind the end of the log, when its length did not, are forgotten. They would be
        // a sound record in its place, should the power go a second time when the length is there before the data: a
        // change that was lost, and never durable, would be made after all.
        if let Ok(bytes) = self.sim.read(PATH) {
            let written = self.sim.write(PATH, bytes);
            written.map_err(|error| format!("{}: {error}", cut.id()))?;
        }
        self.sim.set_failed_sync(self.failed_sync);
        self.hands = (0..3).map(|who| self.hand(who)).collect();
        let opened = self.open(0);
        opened
            .and_then(|()| self.store(0).stats())
            .map(|stats| self.generation = stats.generation)
            .map_err(|error| format!("{}: it does not open: {error:?}", cut.id()))?;
        self.look_at_the_creation();
        self.read_all(0)
            .map_err(|error| format!("image {}: {error}", cut.id()))
    }

    /// At the end nothing fails any more: every handle works, a compaction succeeds, a stranger finds nothing wrong.
    pub(in super::super) fn end(&mut self) -> Result<(), String> {
        for who in 0..3 {
            self.settle(who)
                .map_err(|what| format!("handle {who}: {what}"))?;
        }
        let writers: Vec<Who> = (0..3).filter(|who| self.writes(*who)).collect();
        for who in writers {
            let steps = [Compact(who), Insert(who, LAST_KEY, LAST, None)];
            for step in steps {
                let done = self.attempt(&step)?;
                done.map_err(|error| format!("handle {who}: {step:?} failed: {error:?}"))?;
            }
            self.is_excused = false;
            self.space(who)?;
        }
        // Temporary files of compactors that died went with the first one that did not.
        let left = self.beside(".tmp-");
        if !left.is_empty() {
            return Err(format!("{left:?} was left over"));
        }
        let mut stranger = self.hand(READER);
        let opened = stranger.open();
        opened.map_err(|error| format!("a stranger does not open it: {error:?}"))?;
        match stranger.store().recovery() {
            recovery if !recovery.is_clean() && !self.has_rotted && self.misplaced.is_none() => {
                Err(format!("a stranger finds {recovery:?}"))
            }
            _ => Ok(()),
        }
    }
}
