//! Claims about the crate as its users see it, one program, one module a suite. A test that needs the inside of the
//! crate stands beside the code, in `src`.
//!
//! # Which suite proves what
//!
//! | suite | claim | method |
//! |---|---|---|
//! | `store`, `shelf`, `session` | what each call answers | one test a claim; sessions over every store, and drawn calls of all kinds of them side by side |
//! | `model` | every answer is a map's | seeded runs, and every short one, beside a `BTreeMap` |
//! | `swarm` | the same of all the public face, whatever happens meanwhile | seeded runs with power cuts, kills, failing calls, stepping clocks; its first lines say how it judges |
//! | `crash` | what was acknowledged survives | a power cut at every step: every image that it can leave, or the telling ones and a sample where they are over 4,096, each with a second cut while a handle recovers on it |
//! | `faults` | a call that fails loses nothing | every call of a workload fails, in every way |
//! | `past` | the log tells each earlier state and each change; a copy is whole, or not there | seeded runs beside a list of states; cuts and calls that fail under a copy |
//! | `restored` | a process that stays long is told that a backup was put over the store | every way to put one there, under watchers, copies and sleeping handles |
//! | `life` | weeks of use leave the file within its bound, options never contradict | a simulated clock; every combination of options over every state of a file |
//! | `reading` | two threads read all as one does | a store of real size, damaged in places |
//! | `damage`, `ends` | damage is told, and takes itself only | every bit, sector and length; hostile files; salvage |
//! | `sim`, `threads`, `processes` | threads and processes lose nothing to each other | every interleaving, or drawn ones; real threads; real processes, killed |
//! | `real` | the same on a real kernel | `strace` injects, a small tmpfs fills, limits are reached |
//! | `format` | files open for ever, in any language | golden files; a reader in Python |
//! | `secrets` | nothing shows what is stored | canaries in errors, `Debug`, files |
//! | `manager` | what a browser sees: logins, cookies, forged and late requests | a site with a clock; every order of two requests; random walks beside a model |
//! | `redis` | sessions on a server are what they are in a file | real servers, alone and as a cluster; a fake one; a way that cuts |
//! | `cli`, `demo` | the program | both outputs word for word; a small browser |
//! | `from_shelve` | shelves of Python move over | real ones of each kind, made by a Python |
//! | `wrong_use` | the compiler says what to write where a use can't work | programs that do not compile |
//! | `readme`, `tidy`, `prose` | what is written is so | examples run, names looked up, layers of the source; sentences name their actor |
//! | `teeth` | the suites above notice what they are for | syncs and looks left out, wrong answers planted |
//!
//! `proof` is shared by them: workloads on a simulated machine, the oracle that judges what is left, the checker of
//! histories. `runs` shrinks what fails. `raw` writes the format down a second time, so that tests need not believe the
//! crate. `plain` compiles a copy of `src` for tests that make programs of it. `support` has numbers from a seed,
//! places to write to, and the two lines below. `.ci/mutants` does the crate wrong on purpose, by the list in
//! `tests/mutants`, and sees that the suite named there notices.
//!
//! # How to repeat one case
//!
//! A test that fails prints the line that repeats it. A seed goes into the environment:
//!
//! - `SHELF_CRASH_SEED=3 cargo test --test it what_was_acknowledged_survives_shared` runs the workload of that test
//!   with the seed 3. The image is named like `3:12:30`: what the power left at step 12 of that run, number 30. It is
//!   had by `sim.power_cut("3:12:30".parse()?)` after the same steps.
//! - `SHELF_FUZZ_SEED=7 SHELF_FUZZ_OPS=500 cargo test --test it swarm::...` runs the 500 steps of the seed 7. Those
//!   that made it fail are printed as a list of steps, as short as it gets. `model`, `manager::walks`, `damage`,
//!   `format`, `processes` and `real` go by the same seed, `past` by `SHELF_PAST_SEED`.
//! - A schedule prints its seed or its choices; the test of three processes takes seeds as its range.
//!
//! `SHELF_SOAK=1` lets every suite that draws its cases draw more: hours, where `cargo test` takes minutes. A test that
//! could not run here prints `SKIP name: why`, and a figure is printed as `METRIC name=value`.

mod cli;
mod crash;
mod damage;
mod demo;
mod ends;
mod faults;
mod format;
mod from_shelve;
mod life;
mod manager;
mod model;
mod past;
mod plain;
mod processes;
mod proof;
mod prose;
mod raw;
mod reading;
mod readme;
mod real;
mod redis;
mod restored;
mod runs;
mod secrets;
mod session;
mod shelf;
mod sim;
mod store;
mod support;
mod swarm;
mod teeth;
mod threads;
mod tidy;
mod wrong_use;
