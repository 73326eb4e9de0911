//! Claims about the crate as its users see it.

mod linearizability;
mod model;
mod store;
