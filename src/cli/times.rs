//! Times and lengths of time, as people write and read them. Pure.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

const DAY_SECS: u64 = 86_400;

/// `2026-11-22T20:41:03Z`, in UTC; times before 1970 are shown as 1970.
pub(crate) fn time(at: SystemTime) -> String {
    let seconds = at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let (year, month, day) = date(seconds / DAY_SECS);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// Milliseconds since 1970.
pub(crate) fn millis(at: SystemTime) -> u64 {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// As [`time`] writes it; a date alone is its first moment.
pub(crate) fn parse_time(text: &str) -> Option<SystemTime> {
    let (day, clock) = match text.split_once('T') {
        Some((day, clock)) => (day, clock.strip_suffix('Z')?),
        None => (text, "00:00:00"),
    };
    let [year, month, day] = numbers(day, '-', [4, 2, 2])?;
    let [hour, minute, second] = numbers(clock, ':', [2, 2, 2])?;
    if hour > 23 || minute > 59 || second > 59 || year < 1970 {
        return None;
    }
    // A day of each month is found from the number of days before it, and is its own proof.
    let near = (year - 1970) * 365 + (year - 1969) / 4 + (month.checked_sub(1)?) * 30;
    let days =
        (near.saturating_sub(62)..near + 62).find(|days| date(*days) == (year, month, day))?;
    let seconds = days * DAY_SECS + hour * 3600 + minute * 60 + second;
    UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
}

/// Fields of exactly so many digits.
fn numbers(text: &str, between: char, lens: [usize; 3]) -> Option<[u64; 3]> {
    let mut fields = text.split(between);
    let mut parsed = [0; 3];
    for (number, len) in parsed.iter_mut().zip(lens) {
        let field = fields.next().filter(|field| field.len() == len)?;
        *number = number_of(field)?;
    }
    fields.next().is_none().then_some(parsed)
}

/// Digits and nothing else: no sign, which std would take.
pub(crate) fn number_of(digits: &str) -> Option<u64> {
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| digits.parse().ok()).flatten()
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
        3600..DAY_SECS => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / DAY_SECS),
    }
}

/// `90s`, `30m`, `12h`, `7d`; a number alone is in `unit`, or nothing if there is none.
pub(crate) fn parse_span(text: &str, unit: Option<&str>) -> Option<Duration> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let number = number_of(digits)?;
    let unit = match text.get(digits.len()..)? {
        "" => unit?,
        named => named,
    };
    let seconds = match unit {
        "s" => 1,
        "m" | "min" => 60,
        "h" => 3600,
        "d" => DAY_SECS,
        _ => return None,
    };
    number.checked_mul(seconds).map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_the_calendar() {
        let at = |seconds| time(UNIX_EPOCH + Duration::from_secs(seconds));
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_709_164_800, "2024-02-29T00:00:00Z"),
            (1_767_225_599, "2025-12-31T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
            (253_402_300_799, "9999-12-31T23:59:59Z"),
        ] {
            assert_eq!(at(seconds), text);
            assert_eq!(
                parse_time(text),
                Some(UNIX_EPOCH + Duration::from_secs(seconds)),
                "{text}"
            );
        }
        assert_eq!(
            time(UNIX_EPOCH - Duration::from_secs(1)),
            "1970-01-01T00:00:00Z"
        );
        for days in 0..200_000 {
            let at = UNIX_EPOCH + Duration::from_secs(days * DAY_SECS);
            assert_eq!(parse_time(&time(at)[..10]), Some(at), "{days}");
        }
        for wrong in [
            "2023-02-29",
            "2100-02-29",
            "2026-13-01",
            "2026-00-01",
            "2026-01-00",
            "2026-1-01",
            "+026-01-01",
            "1969-12-31",
            "2026-01-01T24:00:00Z",
            "2026-01-01T00:00:00",
            "2026-01-01T00:00Z",
            "2026-01-01 00:00:00Z",
        ] {
            assert_eq!(parse_time(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn spans_have_a_unit_or_take_the_default() {
        let minutes = |text| parse_span(text, Some("m"));
        assert_eq!(parse_span("30m", None), Some(Duration::from_secs(1800)));
        assert_eq!(minutes("30"), Some(Duration::from_secs(1800)));
        assert_eq!(parse_span("30", None), None);
        assert_eq!(minutes("0"), Some(Duration::ZERO));
        assert_eq!(minutes("2d"), Some(Duration::from_secs(172_800)));
        for wrong in [
            "",
            "m",
            "-1m",
            "+30m",
            "+1",
            "1.5h",
            "3 m",
            "1y",
            "30mm",
            "\u{e9}",
            "99999999999999999999d",
            "999999999999999999d",
        ] {
            assert_eq!(minutes(wrong), None, "{wrong}");
        }
        assert_eq!(span(Duration::from_secs(150)), "2 min");
    }
}
