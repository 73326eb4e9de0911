//! Claims about the crate as its users see it.

mod model;
mod session;
mod shelf;
mod store;
