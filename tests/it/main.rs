//! Claims about the crate as its users see it.

mod cli;
mod demo;
mod linearizability;
mod model;
mod readme;
mod session;
mod shelf;
mod store;
mod support;
mod tidy;
