//! The library as one plain `rustc` makes it of a copy of `src`, for programs of their own.
//!
//! Compiling it takes seconds, so the tests of one process share it. It stays where Cargo has its tests put such files.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

/// The words that the README gives.
pub(crate) const LIBRARY: &str =
    "--edition 2024 --crate-type rlib --crate-name shelflife src/lib.rs";
pub(crate) const FILE: &str = "libshelflife.rlib";

/// Runs the compiler in a folder, without anything that Cargo tells it.
pub(crate) fn rustc(dir: &Path, words: &[&str]) -> Output {
    let mut rustc = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("CARGO")) {
        rustc.env_remove(name);
    }
    rustc.args(words).current_dir(dir).output().unwrap()
}

/// Compiles, and holds that the compiler has nothing to say.
pub(crate) fn compile(dir: &Path, words: &str) {
    let output = rustc(dir, &words.split(' ').collect::<Vec<_>>());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && said.is_empty(),
        "{words}: {said}"
    );
}

pub(crate) fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// The file of the library.
pub(crate) fn library() -> &'static Path {
    static MADE: OnceLock<PathBuf> = OnceLock::new();
    MADE.get_or_init(|| {
        let place = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let dir = tempfile::tempdir_in(place).unwrap();
        let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        copy(&src, &dir.path().join("src"));
        compile(dir.path(), LIBRARY);
        // Another process may put its own there, which is the same.
        let made = place.join(FILE);
        fs::rename(dir.path().join(FILE), &made).unwrap();
        made
    })
}

/// A program that uses the library, compiled in a folder.
pub(crate) fn program(dir: &Path, code: &str) -> Command {
    fs::write(dir.join("main.rs"), code).unwrap();
    let library = library().to_str().unwrap();
    compile(
        dir,
        &format!("--edition 2024 --extern shelflife={library} main.rs"),
    );
    Command::new(dir.join("main"))
}
