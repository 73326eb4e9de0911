//! Claims about the crate as its users see it.

mod crash;
mod faults;
mod model;
mod proof;
mod session;
mod shelf;
mod store;
