//! Sizes: `512m`, `1.5GiB`, `-1`. Units are binary and their case doesn't matter.

/// Reads a size in bytes. A plain integer may be negative (`-1` stands for "no limit" in some fields).
///
/// # Errors
/// The text of the reason.
pub fn parse(text: &str) -> Result<i64, String> {
    if let Ok(plain) = text.strip_prefix('+').unwrap_or(text).parse::<i64>() {
        return Ok(plain);
    }
    let invalid =
        || format!("`{text}` is not a size: expected a number and a unit, for instance `512m` or `1.5g`");
    let end = text.rfind(|c: char| c.is_ascii_digit() || c == '.' || c == ' ').ok_or_else(invalid)?;
    let (number, unit) = match text.as_bytes()[end] {
        b' ' => (&text[..end], &text[end + 1..]),
        _ => text.split_at(end + 1),
    };
    let number: f64 = parse_float(number).ok_or_else(invalid)?;
    if number < 0.0 {
        return Err(format!("`{text}` is not a size: it is negative"));
    }
    let factor = factor(&unit.to_ascii_lowercase()).ok_or_else(invalid)?;
    #[expect(clippy::cast_possible_truncation, reason = "sizes beyond i64 saturate")]
    Ok((number * factor) as i64)
}

fn parse_float(text: &str) -> Option<f64> {
    let plain = text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'+' | b'-' | b'e' | b'E'));
    if plain { text.parse().ok() } else { None }
}

fn factor(unit: &str) -> Option<f64> {
    const KIB: f64 = 1024.0;
    Some(match unit {
        "" | "b" => 1.0,
        "k" | "kb" | "kib" => KIB,
        "m" | "mb" | "mib" => KIB * KIB,
        "g" | "gb" | "gib" => KIB * KIB * KIB,
        "t" | "tb" | "tib" => KIB * KIB * KIB * KIB,
        "p" | "pb" | "pib" => KIB * KIB * KIB * KIB * KIB,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn sizes() {
        let table = [
            ("64m", 64 << 20),
            ("1.5GiB", 3 << 29),
            ("512", 512),
            ("-1", -1),
            ("10 kB", 10 << 10),
            ("0", 0),
            ("1b", 1),
        ];
        for (text, bytes) in table {
            assert_eq!(parse(text), Ok(bytes), "{text}");
        }
        for text in ["", "m", "1x", "-1m", "1mm", "1 2 m", "inf", "1e"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
