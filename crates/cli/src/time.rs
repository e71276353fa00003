//! Times as people write and read them.

use hoist_model::WallTime;
use jiff::Timestamp;

use crate::error::CommandError;

/// `2026-11-23T21:26:00.000000000Z`, as Docker prints times of log lines.
#[must_use]
pub(crate) fn rfc3339(time: WallTime) -> String {
    match timestamp(time) {
        Some(time) => format!("{time:.9}"),
        None => time.to_string(),
    }
}

/// `2026-11-23 21:26:00 +0000 UTC`, as docker compose's `CreatedAt`.
#[must_use]
pub(crate) fn created_at(time: WallTime) -> String {
    timestamp(time).map_or_else(String::new, |time| time.strftime("%Y-%m-%d %H:%M:%S +0000 UTC").to_string())
}

fn timestamp(time: WallTime) -> Option<Timestamp> {
    Timestamp::from_nanosecond(time.0.into()).ok()
}

/// Now.
#[must_use]
pub(crate) fn now() -> WallTime {
    WallTime(i64::try_from(Timestamp::now().as_nanosecond()).unwrap_or(i64::MAX))
}

/// How long ago, in Docker's words: `Less than a second`, `5 seconds`, `About a minute`, `3 hours`, `2 days`.
#[must_use]
pub(crate) fn ago(seconds: u64) -> String {
    let count = |n: u64, unit: &str| format!("{n} {unit}{}", if n == 1 { "" } else { "s" });
    match seconds {
        0 => "Less than a second".to_owned(),
        1 => "1 second".to_owned(),
        2..60 => count(seconds, "second"),
        60..120 => "About a minute".to_owned(),
        120..3600 => count(seconds / 60, "minute"),
        3600..7200 => "About an hour".to_owned(),
        7200..172_800 => count(seconds / 3600, "hour"),
        172_800..1_209_600 => count(seconds / 86_400, "day"),
        1_209_600..5_184_000 => count(seconds / 604_800, "week"),
        5_184_000..63_072_000 => count(seconds / 2_592_000, "month"),
        _ => count(seconds / 31_536_000, "year"),
    }
}

/// An RFC 3339 time, as images have them.
#[must_use]
pub(crate) fn parse_rfc3339(text: &str) -> Option<WallTime> {
    let time = text.parse::<Timestamp>().ok()?;
    i64::try_from(time.as_nanosecond()).ok().map(WallTime)
}

/// Seconds from `time` to `now`.
#[must_use]
pub(crate) fn seconds_since(time: WallTime, now: WallTime) -> u64 {
    u64::try_from(now.0.saturating_sub(time.0) / 1_000_000_000).unwrap_or(0)
}

/// A time as `--since` and `--until` take it: RFC 3339, a date, seconds since 1970, or a duration back from now (`10m`,
/// `1h30m`).
///
/// # Errors
/// When it is none of these.
pub(crate) fn parse(text: &str) -> Result<WallTime, CommandError> {
    if let Ok(time) = text.parse::<Timestamp>() {
        return Ok(WallTime(i64::try_from(time.as_nanosecond()).unwrap_or(i64::MAX)));
    }
    if let Ok(seconds) = text.parse::<f64>() {
        #[allow(clippy::cast_possible_truncation, reason = "a time beyond 2262 is cut to it")]
        return Ok(WallTime((seconds * 1e9) as i64));
    }
    if let Ok(date) = text.parse::<jiff::civil::DateTime>()
        && let Ok(time) = jiff::tz::TimeZone::UTC.to_timestamp(date)
    {
        return Ok(WallTime(i64::try_from(time.as_nanosecond()).unwrap_or(i64::MAX)));
    }
    match duration(text) {
        Some(back) => Ok(WallTime(now().0.saturating_sub(back))),
        None => Err(CommandError::usage(format!("{text:?} is not a time")).hint(
            "write 2026-01-31T10:00:00Z, 2026-01-31, or a duration back from now such as 10m or 1h30m",
        )),
    }
}

fn duration(text: &str) -> Option<i64> {
    let mut total: i64 = 0;
    let mut number = String::new();
    let mut chars = text.chars().peekable();
    if text.is_empty() {
        return None;
    }
    while let Some(c) = chars.next() {
        if c.is_ascii_digit() {
            number.push(c);
            continue;
        }
        let unit = match c {
            'm' if chars.peek() == Some(&'s') => {
                chars.next();
                1_000_000
            }
            's' => 1_000_000_000,
            'm' => 60_000_000_000,
            'h' => 3_600_000_000_000,
            'd' => 86_400_000_000_000,
            _ => return None,
        };
        total = total.checked_add(number.parse::<i64>().ok()?.checked_mul(unit)?)?;
        number.clear();
    }
    number.is_empty().then_some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_in_all_their_forms() {
        assert_eq!(parse("1970-01-01T00:00:01Z").unwrap().0, 1_000_000_000);
        assert_eq!(parse("1970-01-02").unwrap().0, 86_400_000_000_000);
        assert_eq!(duration("1h30m"), Some(5_400_000_000_000));
        assert_eq!(duration("500ms"), Some(500_000_000));
        assert_eq!(duration("5"), None);
        assert!(parse("yesterday").is_err());
        assert_eq!(rfc3339(WallTime(1)), "1970-01-01T00:00:00.000000001Z");
    }

    #[test]
    fn ages_in_dockers_words() {
        let words: Vec<String> = [0, 1, 59, 61, 150, 4000, 90_000, 200_000].map(ago).to_vec();
        assert_eq!(
            words,
            [
                "Less than a second",
                "1 second",
                "59 seconds",
                "About a minute",
                "2 minutes",
                "About an hour",
                "25 hours",
                "2 days"
            ]
        );
    }
}
