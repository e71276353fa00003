//! Plain YAML scalars to values, and values back to the text the reference prints.
//!
//! The reference's YAML library mixes 1.1 and 1.2: a leading zero means octal and underscores group digits,
//! but `yes` stays text and base 60 doesn't exist. Fields that want a boolean take `yes` later.

use crate::node::{Timestamp, Value};

/// Resolves an untagged plain scalar.
#[must_use]
pub fn resolve_plain(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "true" | "True" | "TRUE" => return Value::Bool(true),
        "false" | "False" | "FALSE" => return Value::Bool(false),
        ".nan" | ".NaN" | ".NAN" => return Value::Float(f64::NAN),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => return Value::Float(f64::INFINITY),
        "-.inf" | "-.Inf" | "-.INF" => return Value::Float(f64::NEG_INFINITY),
        "-0" | "-0.0" => return Value::Float(-0.0),
        _ => {}
    }
    match text.as_bytes()[0] {
        b'.' => match is_decimal_float(text).then(|| text.parse()) {
            Some(Ok(float)) => Value::Float(float),
            _ => Value::Text(text.to_owned()),
        },
        b'0'..=b'9' | b'+' | b'-' => resolve_number(text),
        _ => Value::Text(text.to_owned()),
    }
}

fn resolve_number(text: &str) -> Value {
    if let Some(time) = Timestamp::parse(text) {
        return Value::Time(Box::new(time));
    }
    let plain = text.replace('_', "");
    if let Some(int) = parse_int(&plain) {
        return i64::try_from(int).map_or_else(
            |_| u64::try_from(int).map_or_else(|_| resolve_float(text, &plain), Value::Big),
            Value::Int,
        );
    }
    resolve_float(text, &plain)
}

fn resolve_float(text: &str, plain: &str) -> Value {
    match is_decimal_float(plain).then(|| plain.parse::<f64>()) {
        Some(Ok(float)) if float.is_finite() => Value::Float(float),
        _ => Value::Text(text.to_owned()),
    }
}

/// An integer with optional sign and the prefixes `0x`, `0o`, `0b` and `0`.
fn parse_int(text: &str) -> Option<i128> {
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let prefix = digits.get(..2).unwrap_or_default().to_ascii_lowercase();
    let (radix, digits) = match prefix.as_str() {
        "0x" => (16, &digits[2..]),
        "0o" => (8, &digits[2..]),
        "0b" => (2, &digits[2..]),
        _ if digits.len() > 1 && digits.starts_with('0') => (8, &digits[1..]),
        _ => (10, digits),
    };
    if digits.is_empty() || !digits.bytes().all(|b| char::from(b).is_digit(radix)) {
        return None;
    }
    let value = i128::from_str_radix(digits, radix).ok()?;
    Some(if negative { -value } else { value })
}

/// `[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?`
fn is_decimal_float(text: &str) -> bool {
    let text = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (mantissa, exponent) = match text.find(['e', 'E']) {
        Some(at) => (&text[..at], Some(&text[at + 1..])),
        None => (text, None),
    };
    let all_digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
    let mantissa_ok = match mantissa.split_once('.') {
        Some((whole, fraction)) => {
            all_digits(whole) && all_digits(fraction) && !(whole.is_empty() && fraction.is_empty())
        }
        None => !mantissa.is_empty() && all_digits(mantissa),
    };
    let exponent_ok = exponent.is_none_or(|e| {
        let e = e.strip_prefix(['-', '+']).unwrap_or(e);
        !e.is_empty() && all_digits(e)
    });
    mantissa_ok && exponent_ok
}

impl Timestamp {
    /// Reads the date forms that the reference accepts: `Y-M-D`, with a time after `T`, `t` or a space.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        if digits != 4 || text.as_bytes().get(4) != Some(&b'-') {
            return None;
        }
        let mut rest = text;
        let year = number(&mut rest, 4, 4)?;
        let month = number(eat(&mut rest, '-')?, 1, 2)?;
        let day = number(eat(&mut rest, '-')?, 1, 2)?;
        if !(1..=12).contains(&month) || day == 0 || day > days_in(year, month) {
            return None;
        }
        let date = format!("{year:04}-{month:02}-{day:02}");
        if rest.is_empty() {
            return Some(Self::assemble(text, &date, "00:00:00", Zone::Utc));
        }
        let zoned = match rest.chars().next()? {
            'T' | 't' => true,
            ' ' => false,
            _ => return None,
        };
        rest = &rest[1..];
        let clock = clock(&mut rest)?;
        let zone = if zoned { zone(&mut rest)? } else { Zone::Utc };
        rest.is_empty().then(|| Self::assemble(text, &date, &clock, zone))
    }

    fn assemble(raw: &str, date: &str, clock: &str, zone: Zone) -> Self {
        let (spelled, rfc) = match zone {
            Zone::Utc => ("+0000 UTC".to_owned(), "Z".to_owned()),
            Zone::Offset(offset) => {
                let plain = offset.replace(':', "");
                (format!("{plain} {plain}"), offset)
            }
        };
        Self {
            raw: raw.to_owned(),
            spelled: format!("{date} {clock} {spelled}"),
            rfc3339: format!("{date}T{clock}{rfc}"),
        }
    }
}

enum Zone {
    Utc,
    Offset(String),
}

fn clock(rest: &mut &str) -> Option<String> {
    let hour = number(rest, 1, 2)?;
    let minute = number(eat(rest, ':')?, 1, 2)?;
    let second = number(eat(rest, ':')?, 1, 2)?;
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let mut clock = format!("{hour:02}:{minute:02}:{second:02}");
    if let Some(fraction) = rest.strip_prefix(['.', ',']) {
        let length = fraction.bytes().take_while(u8::is_ascii_digit).count();
        if length == 0 {
            return None;
        }
        let digits = fraction[..length.min(9)].trim_end_matches('0');
        if !digits.is_empty() {
            clock = format!("{clock}.{digits}");
        }
        *rest = &fraction[length..];
    }
    Some(clock)
}

fn zone(rest: &mut &str) -> Option<Zone> {
    if let Some(after) = rest.strip_prefix('Z') {
        *rest = after;
        return Some(Zone::Utc);
    }
    let offset = rest.get(..6)?;
    let ok = matches!(offset.as_bytes(), [b'+' | b'-', h1, h2, b':', m1, m2]
        if [h1, h2, m1, m2].iter().all(|b| b.is_ascii_digit()));
    *rest = &rest[6..];
    if !ok {
        return None;
    }
    Some(if &offset[1..] == "00:00" { Zone::Utc } else { Zone::Offset(offset.to_owned()) })
}

fn eat<'a, 'b>(rest: &'a mut &'b str, c: char) -> Option<&'a mut &'b str> {
    *rest = rest.strip_prefix(c)?;
    Some(rest)
}

fn number(rest: &mut &str, min: usize, max: usize) -> Option<u32> {
    let length = rest.bytes().take(max).take_while(u8::is_ascii_digit).count();
    if length < min {
        return None;
    }
    let value = rest[..length].parse().ok()?;
    *rest = &rest[length..];
    Some(value)
}

fn days_in(year: u32, month: u32) -> u32 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => 29,
        2 => 28,
        _ => 31,
    }
}

/// The text of a scalar inside a string, as the reference prints it: `1e3` becomes `1000`, `0440` becomes `288`.
#[must_use]
pub fn spell(value: &Value) -> String {
    match value {
        Value::Null => "<nil>".to_owned(),
        Value::Bool(b) => b.to_string(),
        Value::Int(i) => i.to_string(),
        Value::Big(u) => u.to_string(),
        Value::Float(f) => spell_float(*f),
        Value::Time(time) => time.spelled.clone(),
        Value::Text(text) => text.clone(),
        Value::List(list) => {
            format!("[{}]", list.iter().map(|n| spell(&n.value)).collect::<Vec<_>>().join(" "))
        }
        Value::Map(map) => {
            let mut items: Vec<_> = map.iter().collect();
            items.sort_by_key(|(key, _)| *key);
            let items: Vec<_> = items.iter().map(|(k, v)| format!("{k}:{}", spell(&v.value))).collect();
            format!("map[{}]", items.join(" "))
        }
        Value::Broken => String::new(),
    }
}

/// Shortest text of a float; scientific below 1e-4 and from 1e21 on.
#[must_use]
pub fn spell_float(float: f64) -> String {
    if float.is_nan() {
        return "NaN".to_owned();
    }
    if float.is_infinite() {
        return if float > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    let scientific = format!("{float:e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if float != 0.0 && !(-4..21).contains(&exponent) {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{mantissa}e{sign}{:02}", exponent.abs());
    }
    format!("{float}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_scalars_resolve_as_the_reference_does() {
        let table = [
            ("0440", "288"),
            ("0o440", "288"),
            ("08", "8"),
            ("1_000", "1000"),
            ("1e3", "1000"),
            ("22:22", "22:22"),
            ("yes", "yes"),
            ("0x1F", "31"),
            ("1.", "1"),
            ("1e21", "1e+21"),
            ("0.00001", "1e-05"),
            ("2024-01-02", "2024-01-02 00:00:00 +0000 UTC"),
            ("2024-13-02", "2024-13-02"),
            ("18446744073709551615", "18446744073709551615"),
            ("1.2.3", "1.2.3"),
            ("-", "-"),
        ];
        for (input, spelled) in table {
            assert_eq!(spell(&resolve_plain(input)), spelled, "{input}");
        }
        assert_eq!(resolve_plain("22:22"), Value::Text("22:22".into()));
        assert_eq!(resolve_plain("08"), Value::Float(8.0));
    }
}
