//! Claims about the crate as its users see it.

mod linearizability;
mod model;
mod session;
mod shelf;
mod sim;
mod store;
