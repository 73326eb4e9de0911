//! Claims about the crate as its users see it.

mod model;
mod store;
mod support;
