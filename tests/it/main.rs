//! Claims about the crate as its users see it.

mod damage;
mod linearizability;
mod model;
mod raw;
mod session;
mod shelf;
mod store;
mod support;
