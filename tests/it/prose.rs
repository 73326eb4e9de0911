//! Sentences of comments and pages name their actor: none begins with a bare "what" or "who", which a reader must look
//! for.

use std::fs;
use std::path::{Path, PathBuf};

/// Words that stand where the subject of a sentence should.
const BARE: &[&str] = &[
    "Who ",
    "What ",
    "Whoever ",
    "Whatever ",
    "So many ",
    "Then ",
];

/// All comments of the crate and of its tests, and all pages.
fn texts() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = vec![root.join("README.md")];
    let mut folders = vec![root.join("src"), root.join("tests")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let extension = path.extension().and_then(|extension| extension.to_str());
            if path.is_dir() {
                folders.push(path);
            } else if matches!(extension, Some("rs" | "md")) {
                files.push(path);
            }
        }
    }
    assert!(files.len() > 300, "only {} texts were found", files.len());
    files
}

/// The bare beginnings of sentences in a text of which each line is prose, or `None` where it is interrupted.
fn bare<'a>(lines: impl Iterator<Item = Option<&'a str>>) -> Vec<String> {
    let mut found = Vec::new();
    // Whether the line that comes begins a sentence.
    let mut begins = true;
    for line in lines {
        let line = line.unwrap_or_default().trim();
        let item = line.trim_start_matches(['-', '*', '|', '>', ' ']);
        let ends = |at: &usize| item[..*at].ends_with(". ") || item[..*at].ends_with("? ");
        let inner = item.char_indices().map(|(at, _)| at).filter(ends);
        let outer = (begins || item != line).then_some(0);
        for at in outer.into_iter().chain(inner) {
            let sentence = &item[at..];
            if BARE.iter().any(|word| sentence.starts_with(word)) {
                found.push(sentence.chars().take(60).collect());
            }
        }
        // A heading is no sentence.
        begins = item.is_empty() || item.starts_with('#') || item.ends_with(['.', '?', '|']);
    }
    found
}

fn bare_in(text: &str, is_rust: bool) -> Vec<String> {
    let mut is_code = false;
    bare(text.lines().map(|line| {
        let line = line.trim();
        let prose = match is_rust {
            true => {
                let comment = line.strip_prefix("//")?;
                comment.trim_start_matches(['/', '!'])
            }
            false => line,
        };
        if prose.trim_start().starts_with("```") {
            is_code = !is_code;
        }
        (!is_code).then_some(prose)
    }))
}

#[test]
fn every_sentence_begins_with_its_actor() {
    let mut found = Vec::new();
    for path in texts() {
        let is_rust = path.extension().is_some_and(|extension| extension == "rs");
        for sentence in bare_in(&fs::read_to_string(&path).unwrap(), is_rust) {
            found.push(format!("{}: {sentence}", path.display()));
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn a_bare_beginning_is_found_wherever_a_sentence_may_begin() {
    for (text, count) in [
        ("/// What it is.\nfn f() {}", 1),
        ("//! A line. Whoever reads it\n//! goes on.", 1),
        ("//! A line.\n//! Then another.", 1),
        ("// Nobody knows\n// What that is called.", 0),
        ("//! # What a heading may say", 0),
        ("//! ```\n//! // What an example says.\n//! ```", 0),
        ("let text = \"What a program says\";", 0),
    ] {
        assert_eq!(bare_in(text, true).len(), count, "{text}");
    }
}
