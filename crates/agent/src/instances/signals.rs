//! Signals by name and number.

use nix::sys::signal::Signal;

/// What C libraries leave of the kernel's real-time signals, which start at 32 (signal(7)).
const RTMIN: i32 = 34;
const RTMAX: i32 = 64;

/// The number of `SIGTERM`, `term`, `15`, `SIGRTMIN+3`.
pub(crate) fn number(text: &str) -> Option<i32> {
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    if let Ok(number) = name.parse() {
        return (1..=RTMAX).contains(&number).then_some(number);
    }
    if let Some(rest) = name.strip_prefix("RTMIN") {
        return offset(rest, '+').map(|offset| RTMIN + offset);
    }
    if let Some(rest) = name.strip_prefix("RTMAX") {
        return offset(rest, '-').map(|offset| RTMAX - offset);
    }
    let name = match name {
        "IOT" => "ABRT",
        "CLD" => "CHLD",
        "POLL" => "IO",
        name => name,
    };
    format!("SIG{name}").parse::<Signal>().ok().map(|signal| signal as i32)
}

fn offset(text: &str, sign: char) -> Option<i32> {
    if text.is_empty() {
        return Some(0);
    }
    text.strip_prefix(sign)?.parse().ok().filter(|offset| (0..=RTMAX - RTMIN).contains(offset))
}

#[cfg(test)]
mod tests {
    use super::number;

    #[test]
    fn signals_by_name_and_number() {
        let all = [
            "SIGTERM",
            "term",
            "15",
            "SIGRTMIN+3",
            "RTMAX-1",
            "SIGRTMIN",
            "RTMAX-99",
            "NOPE",
            "0",
            "65",
            "SIGCLD",
        ];
        let numbers = all.map(number);
        let want =
            [Some(15), Some(15), Some(15), Some(37), Some(63), Some(34), None, None, None, None, Some(17)];
        assert_eq!(numbers, want);
    }
}
