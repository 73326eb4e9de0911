//! The program about itself: its version, its purpose, its exit codes.

/// That of `Cargo.toml`, which is not there where `src` was copied without it.
pub(crate) const VERSION: &str = "0.1.0";
pub(crate) const ABOUT: &str =
    "Sessions, or any values, in one file that survives kill -9 and is shared by processes.";
pub(crate) const EXITS: &[(u8, &str)] = &[
    (0, "ok"),
    (
        1,
        "no: there is no such key or session, or a key that was to be new is there",
    ),
    (2, "usage, or input that makes no sense"),
    (3, "damaged file"),
    (4, "busy: others held the lock for longer than --wait"),
    (
        5,
        "other failures: no such file, one that is there already or no store, a full disk",
    ),
];
