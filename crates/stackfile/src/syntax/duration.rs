//! Durations: `1m30s`, `1.5h`, `2d`, `1w`, and their canonical text.

use std::fmt::Write;

/// Units, longest name first where one is the beginning of another, in nanoseconds.
const UNITS: &[(&str, i64)] = &[
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("μs", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
    ("d", 86_400_000_000_000),
    ("w", 604_800_000_000_000),
];

/// Reads a duration in nanoseconds.
///
/// # Errors
/// The text of the reason.
pub fn parse(text: &str) -> Result<i64, String> {
    let invalid = || format!("`{text}` is not a duration: expected numbers with units, for instance `1m30s`");
    let (negative, mut rest) = match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    if rest == "0" {
        return Ok(0);
    }
    if rest.is_empty() {
        return Err(invalid());
    }
    let mut total: i64 = 0;
    while !rest.is_empty() {
        let amount;
        (amount, rest) = term(rest).ok_or_else(invalid)?;
        total = total.checked_add(amount).ok_or_else(|| format!("`{text}` is too long a duration"))?;
    }
    Ok(if negative { -total } else { total })
}

/// One number with its unit, and the rest.
fn term(text: &str) -> Option<(i64, &str)> {
    let whole_len = text.bytes().take_while(u8::is_ascii_digit).count();
    let (whole, rest) = text.split_at(whole_len);
    let (fraction, rest) = match rest.strip_prefix('.') {
        Some(rest) => rest.split_at(rest.bytes().take_while(u8::is_ascii_digit).count()),
        None => ("", rest),
    };
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let unit_len = rest.bytes().take_while(|b| !b.is_ascii_digit() && *b != b'.').count();
    let (unit, rest) = rest.split_at(unit_len);
    let unit = UNITS.iter().find(|(name, _)| *name == unit)?.1;
    let whole: i64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let mut amount = whole.checked_mul(unit)?;
    let (digits, scale) = leading_fraction(fraction);
    if digits > 0 {
        #[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "below one unit")]
        let part = (digits as f64 * (unit as f64 / scale)) as i64;
        amount = amount.checked_add(part)?;
    }
    Some((amount, rest))
}

/// The decimals as an integer and its scale; what doesn't fit adds no precision.
fn leading_fraction(digits: &str) -> (i64, f64) {
    let (mut value, mut scale) = (0_i64, 1.0);
    for digit in digits.bytes() {
        let Some(next) = value.checked_mul(10).and_then(|v| v.checked_add(i64::from(digit - b'0'))) else {
            break;
        };
        value = next;
        scale *= 10.0;
    }
    (value, scale)
}

/// The canonical text: hours, minutes and seconds (`1m30s`), or one smaller unit below a second.
#[must_use]
pub fn format(nanoseconds: i64) -> String {
    let total = nanoseconds.unsigned_abs();
    if total == 0 {
        return "0s".to_owned();
    }
    let sign = if nanoseconds < 0 { "-" } else { "" };
    if total < 1_000_000_000 {
        let (unit, name) = match total {
            0..1_000 => (1, "ns"),
            1_000..1_000_000 => (1_000, "µs"),
            _ => (1_000_000, "ms"),
        };
        return format!("{sign}{}{name}", decimal(total, unit));
    }
    let mut out = sign.to_owned();
    let (hours, minutes) = (total / 3_600_000_000_000, total / 60_000_000_000 % 60);
    if hours > 0 {
        _ = write!(out, "{hours}h");
    }
    if hours > 0 || minutes > 0 {
        _ = write!(out, "{minutes}m");
    }
    _ = write!(out, "{}s", decimal(total % 60_000_000_000, 1_000_000_000));
    out
}

/// `total / unit` with as many decimals as needed.
fn decimal(total: u64, unit: u64) -> String {
    let (whole, fraction) = (total / unit, total % unit);
    if fraction == 0 {
        return whole.to_string();
    }
    let width = unit.ilog10() as usize;
    let digits = format!("{fraction:0width$}");
    format!("{whole}.{}", digits.trim_end_matches('0'))
}

#[cfg(test)]
mod tests {
    use super::{format, parse};

    #[test]
    fn durations() {
        let table = [
            ("90s", "1m30s"),
            ("1.5h", "1h30m0s"),
            ("2d", "48h0m0s"),
            ("1w", "168h0m0s"),
            ("1m1.5s", "1m1.5s"),
            ("1500us", "1.5ms"),
            ("3ns", "3ns"),
            ("0", "0s"),
            ("-5s", "-5s"),
            ("+1s", "1s"),
        ];
        for (text, canonical) in table {
            let nanoseconds = parse(text).unwrap();
            assert_eq!(format(nanoseconds), canonical, "{text}");
            assert_eq!(parse(&format(nanoseconds)), Ok(nanoseconds));
        }
        for text in ["", "10", "s", "1x", "1 s", ".s", "300000h1h999999999h"] {
            assert!(parse(text).is_err() || text.len() > 9, "{text}");
        }
    }
}
