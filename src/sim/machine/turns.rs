//! The turns of runners: the schedule decides among the runners that could go on.

use super::Machine;
use crate::sim::baton::{Baton, CALLS_MAX, NOBODY, Passed, Runner, State, Wish};
use crate::sim::content::mix;
use crate::sim::fault::Call;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, MutexGuard};
use std::thread::{self, Thread};

/// The machine, which `lock` locks, once it is the turn of this process to do what it wishes.
pub(in crate::sim) fn turn<'a>(
    lock: impl Fn() -> MutexGuard<'a, Machine>,
    pid: u32,
    wish: Wish,
) -> MutexGuard<'a, Machine> {
    let mut machine = lock();
    // One that panics is done with: its destructors run through.
    let index = machine.runner(pid).filter(|_| !thread::panicking());
    let Some(index) = index else {
        if let Wish::Sleep(duration) = wish {
            machine.monotonic = machine.monotonic.saturating_add(duration);
        }
        return machine;
    };
    let state = machine.state_for(index, wish);
    match machine.pass_on(index, state) {
        None => machine,
        Some(passed) => {
            drop(machine);
            wait(&passed.wake(), index);
            lock()
        }
    }
}

pub(in crate::sim) fn wait(holder: &AtomicUsize, index: usize) {
    while holder.load(Ordering::Acquire) != index {
        thread::park();
    }
}

impl Machine {
    /// The place among the runners of a process that has to wait for its turn.
    fn runner(&self, pid: u32) -> Option<usize> {
        let baton = self.baton.as_ref().filter(|baton| !baton.given_up)?;
        self.process(pid).ok()?;
        baton.runners.iter().position(|runner| runner.pid == pid)
    }

    /// Notes the answer that a process got.
    pub(in crate::sim) fn tell(&mut self, pid: u32, answer: impl Hash) {
        if let Some(told) = self.told(pid) {
            *told = mix(*told, hash_of(answer));
        }
    }

    /// The hash of all that a process was told, while a search needs it.
    fn told(&mut self, pid: u32) -> Option<&mut u64> {
        let baton = self.baton.as_mut();
        let baton = baton.filter(|baton| baton.schedule.is_search())?;
        let mut runners = baton.runners.iter_mut();
        let runner = runners.find(|runner| runner.pid == pid)?;
        Some(&mut runner.told)
    }

    /// Notes that a process was refused the lock of an inode.
    pub(in crate::sim) fn refuse(&mut self, pid: u32, inode: u64) {
        let Some(baton) = &mut self.baton else {
            return;
        };
        for runner in &mut baton.runners {
            if runner.pid == pid {
                runner.refused = Some(inode);
            }
        }
    }

    fn state_for(&mut self, index: usize, wish: Wish) -> State {
        let now = self.monotonic;
        let Some(baton) = &mut self.baton else {
            return State::Ready;
        };
        let runner = &mut baton.runners[index];
        let thread = runner.thread.as_ref().map(Thread::id);
        assert!(
            thread == Some(thread::current().id()),
            "a simulated process has one thread while `run` schedules it"
        );
        match (wish, runner.refused.take()) {
            (Wish::Call(Call::TryLock, Some(file)), Some(refused)) => match self.files.get(&file) {
                Some(open) if open.inode == refused => State::Asking(refused),
                _ => State::Ready,
            },
            (Wish::Call(..), _) => State::Ready,
            (Wish::Sleep(duration), refused) => {
                runner.refused = refused; // it asks again after the sleep
                State::Sleeping(now.saturating_add(duration), refused)
            }
        }
    }

    /// Lets the schedule choose who goes on. If that is not the one who passes, it gets the baton on its way.
    pub(in crate::sim) fn pass_on(&mut self, index: usize, state: State) -> Option<Passed> {
        let baton = self.baton.as_mut()?;
        baton.runners[index].state = state;
        baton.calls += 1;
        if baton.calls == CALLS_MAX {
            self.give_up();
        }
        self.choose(Some(index))
    }

    pub(in crate::sim) fn choose(&mut self, running: Option<usize>) -> Option<Passed> {
        let mut baton = self.baton.take()?;
        let options = self.options(&baton);
        let chosen = match options.as_slice() {
            [] => Some(NOBODY),
            [first, ..] if baton.given_up => Some(*first),
            _ => baton
                .schedule
                .choose(&options, running, || self.state(&baton.runners)),
        };
        let Some(chosen) = chosen else {
            self.baton = Some(baton);
            self.give_up();
            return self.choose(running);
        };
        let mut thread = None;
        if let Some(runner) = baton.runners.get_mut(chosen) {
            if let State::Sleeping(until, _) = runner.state {
                self.monotonic = self.monotonic.max(until);
            }
            runner.state = State::Ready;
            thread = runner.thread.clone();
        }
        baton.holder.store(chosen, Ordering::Release);
        let passed = (Some(chosen) != running).then(|| Passed {
            holder: Arc::clone(&baton.holder),
            thread,
        });
        self.baton = Some(baton);
        passed
    }

    fn give_up(&mut self) {
        let Some(baton) = &mut self.baton else {
            return;
        };
        baton.given_up = true;
        let pids: Vec<u32> = baton.runners.iter().map(|runner| runner.pid).collect();
        for pid in pids {
            self.kill(pid);
        }
    }

    /// The runners that could go on.
    fn options(&self, baton: &Baton) -> Vec<usize> {
        let is_dead = |runner: &Runner| self.process(runner.pid).is_err();
        let is_free = |inode: u64| !self.locks.contains_key(&inode);
        let those = |could: &dyn Fn(&Runner) -> bool| {
            let runners = baton.runners.iter().enumerate();
            let those = runners.filter(|(_, runner)| runner.state != State::Done && could(runner));
            those.map(|(index, _)| index).collect::<Vec<usize>>()
        };
        // The dead first: nothing that they still do makes a difference.
        let dead = those(&is_dead);
        if !dead.is_empty() {
            return dead;
        }
        let ready = those(&|runner| match runner.state {
            State::New | State::Ready => true,
            State::Asking(inode) => is_free(inode),
            State::Sleeping(until, refused) => {
                until <= self.monotonic || refused.is_some_and(is_free)
            }
            State::Done => false,
        });
        if !ready.is_empty() {
            return ready;
        }
        let wakes = baton
            .runners
            .iter()
            .filter_map(|runner| match runner.state {
                State::Sleeping(until, _) => Some(until),
                _ => None,
            });
        match wakes.min() {
            Some(first) => {
                those(&|runner| matches!(runner.state, State::Sleeping(until, _) if until == first))
            }
            // All runners ask for what nobody gives back: the machine refuses them until they give up.
            None => those(&|_| true),
        }
    }

    /// A hash of everything that what follows depends on.
    fn state(&self, runners: &[Runner]) -> u64 {
        let locks = self.locks.iter();
        let locks =
            locks.map(|(inode, file)| (*inode, self.files.get(file).map(|open| &open.holders)));
        let locks = locks.map(hash_of).fold(0, u64::wrapping_add);
        let owing = self.files.values().filter(|open| open.owes_error);
        let owing = owing.map(|open| hash_of((open.inode, &open.holders)));
        let owing = owing.fold(0, u64::wrapping_add);
        let clocks = (self.monotonic, self.wall_zero);
        let faults = &self.calls.faults;
        let mut hash = hash_of((self.fs.hash(), locks, owing, clocks, faults));
        for process in &self.processes {
            hash = mix(
                hash,
                hash_of((process.alive, process.wall_zero, &process.random)),
            );
        }
        for runner in runners {
            hash = mix(hash, hash_of((runner.told, runner.state, runner.refused)));
        }
        hash
    }
}

fn hash_of(value: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}
