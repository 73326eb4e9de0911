//! Several processes, one at a time: who has the baton makes one call, and all that its program does until the next.

use super::content::mix;
use super::fault::Call;
use super::machine::Machine;
use super::schedule::{Ran, Schedule};
use super::{SimDisk, SimProcess};
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, MutexGuard};
use std::thread::{self, Thread};
use std::time::Duration;

/// Programs that end make fewer calls.
const CALLS_MAX: u64 = 10_000_000;
const NOBODY: usize = usize::MAX;

/// The work of one process in [`SimDisk::run`], made by [`SimProcess::program`].
pub struct Program<'a> {
    process: SimProcess,
    body: Box<dyn FnOnce() + Send + 'a>,
}

#[derive(Debug)]
pub(super) struct Baton {
    schedule: Schedule,
    runners: Vec<Runner>,
    /// The number of the runner that has the baton, where the waiting threads can see it.
    holder: Arc<AtomicUsize>,
    calls: u64,
    /// All are killed and run to their end.
    given_up: bool,
}

#[derive(Debug)]
struct Runner {
    pid: u32,
    thread: Option<Thread>,
    state: State,
    /// The inode whose lock it was refused by the last call.
    refused: Option<u64>,
    /// A hash of every answer it ever got: after the same answers a program does the same.
    told: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum State {
    /// It has not begun.
    New,
    /// It makes a call when it can.
    Ready,
    /// It asks again for the lock of this inode, which it was just refused.
    Asking(u64),
    /// Until then, or until the lock that it was refused is free.
    Sleeping(Duration, Option<u64>),
    Done,
}

/// The call that a process is about to make, as far as others matter to it.
#[derive(Debug, Clone, Copy)]
pub(super) enum Wish {
    /// With the open file that it is made on.
    Call(Call, Option<u64>),
    Sleep(Duration),
}

impl SimProcess {
    /// The work of this process in [`SimDisk::run`]: an error ends it, and fails the run unless the process was killed.
    /// Only the thread that runs the body may use this process then.
    pub fn program<'a, E: fmt::Debug>(
        &self,
        body: impl FnOnce() -> Result<(), E> + Send + 'a,
    ) -> Program<'a> {
        let process = self.clone();
        let body = move || {
            if let Err(error) = body() {
                let alive = process.sim().lock().process(process.id()).is_ok();
                assert!(!alive, "a program ended with {error:?}");
            }
        };
        Program {
            process: self.clone(),
            body: Box::new(body),
        }
    }
}

impl SimDisk {
    /// Runs the programs side by side, interleaved as the schedule decides: at each call to the disk it may become
    /// another's turn.
    ///
    /// A process that was refused a lock, and asks again or sleeps, has no turn until that lock is free. When all
    /// sleep, the clock goes to where the first one wakes.
    ///
    /// # Panics
    /// If a program panics or ends with an error, after saying which schedule led there; if the programs do not end; if
    /// a search finds that they did not do the same as before.
    pub fn run(&self, schedule: &mut Schedule, programs: Vec<Program<'_>>) -> Ran {
        let holder = Arc::new(AtomicUsize::new(NOBODY));
        let runners = programs.iter().map(|program| Runner {
            pid: program.process.id(),
            thread: None,
            state: State::New,
            refused: None,
            told: 0,
        });
        self.lock().baton = Some(Baton {
            schedule: std::mem::replace(schedule, Schedule::seeds(0..0)),
            runners: runners.collect(),
            holder: Arc::clone(&holder),
            calls: 0,
            given_up: false,
        });
        let ends: Vec<thread::Result<()>> = thread::scope(|scope| {
            let threads = programs.into_iter().enumerate().map(|(index, program)| {
                let holder = &holder;
                let pid = program.process.id();
                scope.spawn(move || {
                    wait(holder, index);
                    let end = catch_unwind(AssertUnwindSafe(program.body));
                    let mut machine = self.lock();
                    // A panic of a killed process is no failure of the run: its calls failed because it is dead.
                    let end =
                        end.or_else(|panic| machine.process(pid).map_or(Ok(()), |_| Err(panic)));
                    machine.pass_on(index, State::Done);
                    end
                })
            });
            let threads: Vec<_> = threads.collect();
            let mut machine = self.lock();
            if let Some(baton) = &mut machine.baton {
                for (runner, thread) in baton.runners.iter_mut().zip(&threads) {
                    runner.thread = Some(thread.thread().clone());
                }
            }
            machine.choose(None);
            drop(machine);
            let ends = threads.into_iter().map(|thread| thread.join());
            ends.map(|end| end.and_then(|end| end)).collect()
        });
        let mut given_up = false;
        let mut calls = 0;
        if let Some(baton) = self.lock().baton.take() {
            *schedule = baton.schedule;
            given_up = baton.given_up;
            calls = baton.calls;
        }
        if let Some(panic) = ends.into_iter().find_map(Result::err) {
            eprintln!("in the {schedule}");
            resume_unwind(panic);
        }
        assert!(
            calls < CALLS_MAX,
            "the programs do not end in the {schedule}"
        );
        assert!(
            !schedule.diverged(),
            "the programs did something else than before in the {schedule}: make all that they use anew for each run"
        );
        match given_up {
            true => Ran::Pruned,
            false => Ran::Whole,
        }
    }

    /// The machine, once it is the turn of this process to do what it wishes.
    pub(super) fn turn(&self, pid: u32, wish: Wish) -> MutexGuard<'_, Machine> {
        let mut machine = self.lock();
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
            Some(holder) => {
                drop(machine);
                wait(&holder, index);
                self.lock()
            }
        }
    }
}

fn wait(holder: &AtomicUsize, index: usize) {
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
    pub(super) fn tell(&mut self, pid: u32, answer: impl Hash) {
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
    pub(super) fn refuse(&mut self, pid: u32, inode: u64) {
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

    /// Lets the schedule choose who goes on. If that is not the one who passes, it gets the holder to wait for.
    fn pass_on(&mut self, index: usize, state: State) -> Option<Arc<AtomicUsize>> {
        let baton = self.baton.as_mut()?;
        baton.runners[index].state = state;
        baton.calls += 1;
        if baton.calls == CALLS_MAX {
            self.give_up();
        }
        self.choose(Some(index))
    }

    fn choose(&mut self, running: Option<usize>) -> Option<Arc<AtomicUsize>> {
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
            thread = runner.thread.as_ref();
        }
        baton.holder.store(chosen, Ordering::Release);
        let passed = Some(chosen) != running;
        if let Some(thread) = thread.filter(|_| passed) {
            thread.unpark();
        }
        let holder = passed.then(|| Arc::clone(&baton.holder));
        self.baton = Some(baton);
        holder
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
            // They ask for what nobody gives back: they are refused until they give up.
            None => those(&|_| true),
        }
    }

    /// A hash of everything that what follows depends on.
    fn state(&self, runners: &[Runner]) -> u64 {
        let locks = self.locks.iter();
        let locks =
            locks.map(|(inode, file)| (*inode, self.files.get(file).map(|open| open.process)));
        let locks = locks.map(hash_of).fold(0, u64::wrapping_add);
        let owing = self.files.values().filter(|open| open.owes_error);
        let owing = owing.map(|open| hash_of((open.inode, open.process)));
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

impl fmt::Debug for Program<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Program").field(&self.process).finish()
    }
}
