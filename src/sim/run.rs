//! Several processes side by side, one call at a time.

use super::SimDisk;
use super::baton::{Baton, CALLS_MAX, NOBODY, Passed, Runner, State};
use super::machine::turns::wait;
use super::process::Program;
use super::schedule::{Ran, Schedule};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::thread;

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
                    let passed = machine.pass_on(index, State::Done);
                    drop(machine);
                    passed.map(Passed::wake);
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
            let passed = machine.choose(None);
            drop(machine);
            passed.map(Passed::wake);
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
}
