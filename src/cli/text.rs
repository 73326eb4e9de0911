//! Text for people and for programs: escapes, sizes, counts and the nearest name. Pure.

use shelflife::Value;
use std::ffi::OsStr;

/// Stored bytes as one printable word. Control characters are escaped, so that no key or field can drive the
/// terminal of its reader, and so are tabs and line ends, so that one record stays one line. The
/// backslash is escaped as well: what is printed can be told apart and taken back.
pub(crate) fn escape(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\t' => text.push_str("\\t"),
                '\n' => text.push_str("\\n"),
                '\r' => text.push_str("\\r"),
                '\\' => text.push_str("\\\\"),
                c if c.is_ascii_control() => text.push_str(&format!("\\x{:02x}", u32::from(c))),
                c if misleads(c) => text.extend(c.escape_unicode()),
                c => text.push(c),
            }
        }
        for byte in chunk.invalid() {
            text.push_str(&format!("\\x{byte:02x}"));
        }
    }
    text
}

/// An object of JSON, by its members.
pub(crate) fn object(members: impl IntoIterator<Item = (&'static str, Value)>) -> Value {
    let members = members.into_iter();
    Value::Map(
        members
            .map(|(name, value)| (Value::from(name), value))
            .collect(),
    )
}

/// A value as JSON that cannot drive a terminal.
pub(crate) fn json(value: &Value) -> String {
    escape_json(&value.to_string())
}

/// JSON in which control characters beyond those that JSON itself escapes are escaped too. They can only stand
/// inside of strings, where `\u` means the same character.
fn escape_json(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for c in json.chars() {
        if misleads(c) {
            text.push_str(&format!("\\u{:04x}", u32::from(c)));
        } else {
            text.push(c);
        }
    }
    text
}

/// A message with everything escaped that could drive a terminal: a path in it may hold any bytes. Printable characters
/// stay as they are, the backslash among them, so that a part that was escaped already is not escaped twice.
pub(crate) fn printable(message: &str) -> String {
    let mut text = String::with_capacity(message.len());
    for c in message.chars() {
        match misleads(c) {
            true => text.push_str(&escape(c.encode_utf8(&mut [0; 4]).as_bytes())),
            false => text.push(c),
        }
    }
    text
}

/// As [`printable`], for text that may have several lines and columns.
pub(crate) fn printable_lines(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\n' | '\t' => text.push(c),
                c if misleads(c) => text.push_str(&escape(c.encode_utf8(&mut [0; 4]).as_bytes())),
                c => text.push(c),
            }
        }
        text.push_str(&escape(chunk.invalid()));
    }
    text
}

/// A path as a word that a shell takes for it, and that no command takes for an option.
pub(crate) fn shell_word(path: &OsStr) -> String {
    let bytes = path.as_encoded_bytes();
    let is_plain =
        |byte: &u8| byte.is_ascii_alphanumeric() || b"_./:@%+=,-".contains(byte) || *byte >= 0x80;
    let text = str::from_utf8(bytes)
        .ok()
        .filter(|text| !text.chars().any(misleads));
    let word = match text {
        Some(text) if !text.is_empty() && bytes.iter().all(is_plain) => text.to_string(),
        Some(text) => format!("'{}'", text.replace('\'', r"'\''")),
        None => {
            let mut word = "$'".to_string();
            for &byte in bytes {
                match byte {
                    b'\'' | b'\\' => word.extend(['\\', char::from(byte)]),
                    b' '..=b'~' => word.push(char::from(byte)),
                    _ => word.push_str(&format!("\\{byte:03o}")),
                }
            }
            word + "'"
        }
    };
    if bytes.starts_with(b"-") {
        return format!("./{word}");
    }
    word
}

/// How many columns of a terminal a text takes.
pub(crate) fn width(text: &str) -> usize {
    let columns = |c| match c {
        '\u{300}'..='\u{36f}' | '\u{200b}'..='\u{200d}' | '\u{fe00}'..='\u{fe0f}' => 0,
        '\u{1100}'..='\u{115f}'
        | '\u{2e80}'..='\u{a4cf}'
        | '\u{ac00}'..='\u{d7a3}'
        | '\u{f900}'..='\u{faff}'
        | '\u{fe30}'..='\u{fe6f}'
        | '\u{ff00}'..='\u{ff60}'
        | '\u{ffe0}'..='\u{ffe6}'
        | '\u{1f300}'..='\u{1faff}'
        | '\u{20000}'..='\u{3fffd}' => 2,
        _ => 1,
    };
    text.chars().map(columns).sum()
}

const USAGE: &str = "usage: ";
/// A column with less room for words is none.
const COLUMNS_LEFT_MIN: usize = 24;

/// Help in lines of so many columns: prose is filled; the words behind a name and two spaces stay in a column of their
/// own, or go below the name where too little is left of the line. A command to copy stays in one line.
pub(crate) fn explain(explained: &str, columns: usize) -> String {
    let mut out = String::new();
    let mut prose = String::new();
    for line in explained.lines().chain([""]) {
        let is_prose = !line.is_empty() && !line.starts_with(' ') && !line.starts_with(USAGE);
        if is_prose {
            prose.push_str(line);
            prose.push(' ');
            continue;
        }
        if !prose.is_empty() {
            fill(&mut out, "", &std::mem::take(&mut prose), 0, columns);
        }
        let name = line.trim_start();
        let about = name.find("  ").map(|gap| name[gap..].trim_start());
        let at = about.map_or(0, |about| line.len() - about.len());
        match about {
            _ if line.starts_with(USAGE) => {
                // An option stays with its value.
                let parts = line.replace(" [", "\u{0} [").replace(' ', "\u{a0}");
                let parts = parts.replace("\u{0}\u{a0}", " ");
                let mut usage = String::new();
                fill(&mut usage, "", &parts, USAGE.len(), columns);
                out.push_str(&usage.replace('\u{a0}', " "));
            }
            Some(about) if at + COLUMNS_LEFT_MIN <= columns => {
                fill(&mut out, &line[..at], about, at, columns);
            }
            Some(about) if line.len() > columns => {
                out.push_str(line[..at].trim_end());
                out.push('\n');
                fill(&mut out, "      ", about, 6, columns);
            }
            _ => {
                out.push_str(line);
                out.push('\n');
            }
        }
    }
    out.truncate(out.trim_end().len());
    out + "\n"
}

/// Puts words behind what a line begins with, and on lines below it, indented.
fn fill(out: &mut String, begin: &str, words: &str, indent: usize, columns: usize) {
    let mut line = begin.to_string();
    let mut is_empty = true;
    for word in words.split(' ').filter(|word| !word.is_empty()) {
        if !is_empty && width(&line) + 1 + width(word) > columns {
            out.push_str(&line);
            out.push('\n');
            line = " ".repeat(indent);
            is_empty = true;
        }
        if !is_empty {
            line.push(' ');
        }
        line.push_str(word);
        is_empty = false;
    }
    out.push_str(&line);
    out.push('\n');
}

/// Characters that act on a terminal (C0, DEL, C1), that end a line somewhere, or that turn the direction of the text
/// around them.
fn misleads(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// `1,204`
pub(crate) fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `3 keys`
pub(crate) fn counted(n: u64, what: &str) -> String {
    let plural = if n == 1 { "" } else { "s" };
    format!("{} {what}{plural}", count(n))
}

/// `142 B`, `2.1 MiB`
pub(crate) fn size(bytes: u64) -> String {
    let mut scaled = bytes as f64;
    let mut unit = "B";
    for next in ["KiB", "MiB", "GiB", "TiB"] {
        if scaled < 1024.0 {
            break;
        }
        scaled /= 1024.0;
        unit = next;
    }
    match unit {
        "B" => format!("{bytes} B"),
        _ => format!("{scaled:.1} {unit}"),
    }
}

/// The name that was probably meant: at most a third of its last word mistyped, or one letter. A longer name would
/// excuse more: the group's word, `session `, is right before it comes here.
pub(crate) fn nearest<'a>(
    typed: &str,
    names: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    names
        .into_iter()
        .map(|name| (distance(typed, name), name))
        .filter(|(distance, name)| {
            let word = name.rsplit(' ').next().unwrap_or(name);
            *distance <= (word.trim_start_matches('-').len() / 3).max(1)
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// Edit distance in which swapping two neighbours is one edit (optimal string alignment).
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    for (i, row) in rows.iter_mut().enumerate() {
        row[0] = i;
    }
    rows[0] = (0..=b.len()).collect();
    for i in 1..=a.len() {
        for j in 1..=b.len() {
            let replaced = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = replaced.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            rows[i][j] = best;
        }
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_explained_fits() {
        let explained = "say\n\n  shelflife say --what is-a-line-to-copy-however-long\n\nusage: shelflife say F [--json] [--user U]\n\n  \
                         --json            as JSON, one object\n\nOne sentence\nand one more.\n";
        assert_eq!(
            explain(explained, 30),
            "say\n\n  shelflife say --what is-a-line-to-copy-however-long\n\nusage: shelflife say F\n       \
             [--json] [--user U]\n\n  --json\n      as JSON, one object\n\nOne sentence and one more.\n"
        );
        assert_eq!(
            explain(explained, 44),
            "say\n\n  shelflife say --what is-a-line-to-copy-however-long\n\nusage: shelflife say F [--json] [--user U]\n\n  \
             --json            as JSON, one object\n\nOne sentence and one more.\n"
        );
    }

    #[test]
    fn nothing_that_acts_on_a_terminal_is_printed() {
        let hostile = b"\x1b]0;owned\x07a\tb\nc\\d\x7f\xc2\x9b31m\xff\xe2\x80\xae";
        assert_eq!(
            escape(hostile),
            r"\x1b]0;owned\x07a\tb\nc\\d\x7f\u{9b}31m\xff\u{202e}"
        );
        for byte in 0..=255_u8 {
            assert!(!escape(&[byte]).contains(char::is_control));
        }
        assert_eq!(escape("Zoë".as_bytes()), "Zoë");
        assert_eq!(
            escape_json("\"a\u{7f}\u{9b}\u{202e}\u{2028}\u{2029}\""),
            "\"a\\u007f\\u009b\\u202e\\u2028\\u2029\""
        );
        assert_eq!(escape("a\u{2028}".as_bytes()), r"a\u{2028}");
        assert_eq!(printable("`a\x1b\n` \\x1b"), r"`a\x1b\n` \x1b");
        assert_eq!(printable_lines(b"a\tb\n\\\x1b\xff"), "a\tb\n\\\\x1b\\xff");
    }

    #[test]
    fn a_path_becomes_a_word_that_a_shell_reads_as_that_path() {
        use std::os::unix::ffi::OsStrExt;
        for path in [
            &b"notes.shelf"[..],
            b"my notes.shelf",
            b"it's",
            b"-o",
            b"- o",
            b"$(reboot)",
            b"a\nb\x1b[31m'\\",
            b"caf\xe9 1",
            "Zo\u{eb}".as_bytes(),
            b"",
        ] {
            let word = shell_word(OsStr::from_bytes(path));
            assert!(!word.contains(char::is_control), "{word}");
            let shell = std::process::Command::new("bash")
                .args(["-c", &format!("printf %s {word}")])
                .output();
            let Ok(shell) = shell else { return };
            let read = shell.stdout;
            let read = read.strip_prefix(b"./").unwrap_or(&read);
            assert_eq!(read, path, "{word}");
        }
    }

    #[test]
    fn numbers_are_readable() {
        assert_eq!(
            (count(7), count(1204), count(1_000_000)),
            ("7".into(), "1,204".into(), "1,000,000".into())
        );
        assert_eq!(
            (size(142), size(1023), size(1024)),
            ("142 B".into(), "1023 B".into(), "1.0 KiB".into())
        );
        assert_eq!(size(2_202_010), "2.1 MiB");
    }

    #[test]
    fn the_nearest_name_is_suggested_and_nothing_far_fetched() {
        let names = [
            "set", "get", "rm", "ls", "info", "dump", "verify", "compact", "session",
        ];
        assert_eq!(nearest("verfiy", names), Some("verify"));
        assert_eq!(nearest("sl", names), Some("ls"));
        assert_eq!(nearest("sesion", names), Some("session"));
        assert_eq!(nearest("frobnicate", names), None);
        let names = [
            "hash",
            "history",
            "demo",
            "restore",
            "session expire",
            "--help",
        ];
        for typed in ["hist", "del", "remove", "session delete", "--exp"] {
            assert_eq!(nearest(typed, names), None, "{typed}");
        }
    }
}
