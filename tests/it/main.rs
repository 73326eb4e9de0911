//! Claims about the crate as its users see it.

mod cli;
mod demo;
mod model;
mod session;
mod shelf;
mod store;
