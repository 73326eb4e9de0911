//! Claims about the crate as its users see it.

mod crash;
mod model;
mod proof;
mod session;
mod shelf;
mod store;
