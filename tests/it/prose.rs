//! Sentences of comments and pages name their actor: neither a sentence nor a clause in it begins with a bare "what" or
//! "who", which a reader must look for.

use std::fs;
use std::path::{Path, PathBuf};

/// Words that stand where the subject of a sentence should.
const BARE: &[&str] = &[
    "Who ",
    "What ",
    "Whoever ",
    "Whatever ",
    "Whichever ",
    "Whose ",
    "Whom ",
    "Of which ",
    "Which is ",
    "Which are ",
    "Which was ",
    "Which were ",
    "Which has ",
    "Which have ",
    "Which may ",
    "Which can ",
    "Which must ",
    "Which would ",
    "So many ",
    "Then ",
];

/// Words behind which a clause begins that takes the place of a noun.
const BEFORE_CLAUSES: &[&str] = &[
    ":",
    ";",
    "and",
    "as",
    "but",
    "by",
    "for",
    "from",
    "if",
    "is",
    "of",
    "Otherwise",
    "or",
    "so",
    "than",
    "that",
    "to",
    "with",
];

/// The bare persons at which a clause of a text begins. "Who he is" and the like ask, and name nobody.
fn bare_persons(text: &str) -> Vec<String> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let begins = |at: usize| {
        let before = at.checked_sub(1).map_or("", |before| words[before]);
        let before = before.trim_start_matches(['(', '*']);
        BEFORE_CLAUSES.contains(&before) || before.ends_with([':', ';'])
    };
    let asks = |at: usize| {
        let next = words.get(at + 1);
        next.is_some_and(|next| matches!(*next, "the" | "he" | "it" | "they" | "a"))
    };
    let is_bare = |at: &usize| match words[*at] {
        "whoever" => begins(*at),
        "who" => begins(*at) && !asks(*at),
        _ => false,
    };
    let bare = (0..words.len()).filter(is_bare);
    bare.map(|at| words[at.saturating_sub(3)..words.len().min(at + 5)].join(" "))
        .collect()
}

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
    let lines: Vec<Option<&str>> = text
        .lines()
        .map(|line| {
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
        })
        .collect();
    let mut found = bare(lines.iter().copied());
    for paragraph in lines.split(|line| line.is_none_or(|line| line.trim().is_empty())) {
        let paragraph: Vec<&str> = paragraph.iter().flatten().copied().collect();
        found.extend(bare_persons(&paragraph.join(" ")));
    }
    found
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
        ("/// Whichever comes first.\nfn f() {}", 1),
        ("// A file. Which may be another's.", 1),
        ("// Which file it is.", 0),
        ("// The word of who\n// knows it.", 1),
        ("// It was closed: whoever has it open\n// is told.", 1),
        ("// Who is told.\n//\n// Nobody asks who the user is.", 1),
        (
            "// Those who wait, whoever they are, and a thread who waits.",
            0,
        ),
        ("//! # What a heading may say", 0),
        ("//! ```\n//! // What an example says.\n//! ```", 0),
        ("let text = \"What a program says\";", 0),
    ] {
        assert_eq!(bare_in(text, true).len(), count, "{text}");
    }
}
