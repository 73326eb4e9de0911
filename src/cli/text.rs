//! Text for people and for programs: escapes, sizes, counts, times and the nearest name. Pure.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Stored bytes as one printable word. Control characters are escaped, so that no key or field can drive the
/// terminal of whoever looks at it, and so are tabs and line ends, so that one record stays one line. The
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

/// JSON in which control characters beyond those that JSON itself escapes are escaped too. They can only stand
/// inside of strings, where `\u` means the same character.
pub(crate) fn escape_json(json: &str) -> String {
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

/// Characters that act on a terminal (C0, DEL, C1) or turn the direction of the text around them.
fn misleads(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
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

/// `2026-11-22T20:41:03Z`, in UTC; times before 1970 are shown as 1970.
pub(crate) fn time(at: SystemTime) -> String {
    let seconds = at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let (year, month, day) = date(seconds / 86_400);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// Year, month and day of a number of days since 1970-01-01 (Howard Hinnant, "chrono-compatible low-level date
/// algorithms": years counted from March, so that the leap day is the last of its year).
fn date(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = (month_from_march + 2) % 12 + 1;
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    (year, month, day)
}

/// `12 s`, `2 min`, `3 h`, `5 d`
pub(crate) fn span(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", seconds / 60),
        3600..86_400 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// `90s`, `30m`, `12h`, `7d`; a number alone is in `unit`.
pub(crate) fn parse_span(text: &str, unit: &str) -> Option<Duration> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let number: u64 = digits.parse().ok()?;
    let unit = if digits == text {
        unit
    } else {
        &text[digits.len()..]
    };
    let seconds = match unit {
        "s" => 1,
        "m" | "min" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return None,
    };
    number.checked_mul(seconds).map(Duration::from_secs)
}

/// The name that was probably meant: at most a third of it mistyped.
pub(crate) fn nearest<'a>(
    typed: &str,
    names: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    names
        .into_iter()
        .map(|name| (distance(typed, name), name))
        .filter(|(distance, name)| *distance <= name.len().div_ceil(3))
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
            escape_json("\"a\u{7f}\u{9b}\u{202e}\""),
            "\"a\\u007f\\u009b\\u202e\""
        );
    }

    #[test]
    fn times_are_those_of_the_calendar() {
        let at = |seconds| time(UNIX_EPOCH + Duration::from_secs(seconds));
        assert_eq!(at(0), "1970-01-01T00:00:00Z");
        assert_eq!(at(951_782_399), "2000-02-28T23:59:59Z");
        assert_eq!(at(951_782_400), "2000-02-29T00:00:00Z");
        assert_eq!(at(1_709_164_800), "2024-02-29T00:00:00Z");
        assert_eq!(at(1_767_225_599), "2025-12-31T23:59:59Z");
        assert_eq!(at(4_107_542_400), "2100-03-01T00:00:00Z");
        assert_eq!(
            time(UNIX_EPOCH - Duration::from_secs(1)),
            "1970-01-01T00:00:00Z"
        );
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
        assert_eq!(span(Duration::from_secs(150)), "2 min");
    }

    #[test]
    fn spans_have_a_unit_or_take_the_default() {
        assert_eq!(parse_span("30m", "s"), Some(Duration::from_secs(1800)));
        assert_eq!(parse_span("30", "m"), Some(Duration::from_secs(1800)));
        assert_eq!(parse_span("0", "m"), Some(Duration::ZERO));
        assert_eq!(parse_span("2d", "m"), Some(Duration::from_secs(172_800)));
        for wrong in [
            "",
            "m",
            "-1m",
            "1.5h",
            "3 m",
            "1y",
            "30mm",
            "é",
            "99999999999999999999d",
            "999999999999999999d",
        ] {
            assert_eq!(parse_span(wrong, "m"), None, "{wrong}");
        }
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
    }
}
