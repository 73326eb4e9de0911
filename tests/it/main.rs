//! Claims about the crate as its users see it.

mod cli;
mod crash;
mod damage;
mod demo;
mod faults;
mod format;
mod linearizability;
mod model;
mod processes;
mod proof;
mod raw;
mod readme;
mod session;
mod shelf;
mod store;
mod support;
mod tidy;
