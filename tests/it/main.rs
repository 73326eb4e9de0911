//! Claims about the crate as its users see it.

mod cli;
mod crash;
mod demo;
mod faults;
mod linearizability;
mod model;
mod processes;
mod proof;
mod readme;
mod session;
mod shelf;
mod store;
mod support;
mod teeth;
mod tidy;
