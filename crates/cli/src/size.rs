//! Sizes as docker prints them.

/// `12.3MB`: three digits, powers of ten.
#[must_use]
pub(crate) fn text(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "kB", "MB", "GB", "TB"];
    let (mut value, mut unit) = (bytes as f64, 0);
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    let digits = match value {
        _ if unit == 0 => 0,
        value if value < 9.995 => 2,
        value if value < 99.95 => 1,
        _ => 0,
    };
    let number = format!("{value:.digits$}");
    let short =
        if number.contains('.') { number.trim_end_matches('0').trim_end_matches('.') } else { &number };
    format!("{short}{}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_three_digits() {
        let sizes = [0, 999, 1000, 1234, 12_345, 999_499, 4_100_000, 123_456_789, 5_000_000_000].map(text);
        assert_eq!(sizes, ["0B", "999B", "1kB", "1.23kB", "12.3kB", "999kB", "4.1MB", "123MB", "5GB"]);
    }
}
