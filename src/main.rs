//! The command line of shelflife: a user of the library's public face, nothing more.

fn main() {}
