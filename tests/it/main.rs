//! Claims about the crate as its users see it.

mod model;
mod processes;
mod session;
mod shelf;
mod store;
mod support;
