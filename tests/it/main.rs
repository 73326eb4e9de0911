//! Claims about the crate as its users see it.

mod cli;
mod demo;
mod readme;
mod tidy;
