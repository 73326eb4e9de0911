//! Claims about the crate as its users see it.
