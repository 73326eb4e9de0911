//! Claims about the crate as its users see it.

mod cli;
mod crash;
mod damage;
mod demo;
mod ends;
mod faults;
mod format;
mod model;
mod processes;
mod proof;
mod raw;
mod readme;
mod real;
mod secrets;
mod session;
mod shelf;
mod sim;
mod store;
mod storm;
mod support;
mod teeth;
mod threads;
mod tidy;
