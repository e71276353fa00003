//! Wildcards of COPY and ADD: Go's `filepath.Match`, for one part of a path.

/// Whether the text holds anything but plain characters.
pub(super) fn is_pattern(text: &str) -> bool {
    text.contains(['*', '?', '[', '\\'])
}

/// Whether `pattern` matches the whole of `name`; nothing when the pattern is malformed.
pub(super) fn matches(pattern: &str, name: &str) -> Option<bool> {
    let pattern: Vec<char> = pattern.chars().collect();
    let name: Vec<char> = name.chars().collect();
    let tokens = tokens(&pattern)?;
    // From which places of the name the rest of the pattern may go on.
    let mut reached = vec![false; name.len() + 1];
    reached[0] = true;
    for token in &tokens {
        let mut next = vec![false; name.len() + 1];
        for at in 0..=name.len() {
            match token {
                Token::Run => next[at] = reached[at] || (at > 0 && next[at - 1]),
                one => next[at] = at > 0 && reached[at - 1] && one.takes(name[at - 1]),
            }
        }
        reached = next;
    }
    reached.last().copied()
}

enum Token {
    Run,
    Any,
    Is(char),
    Class(bool, Vec<(char, char)>),
}

impl Token {
    fn takes(&self, character: char) -> bool {
        match self {
            Self::Run | Self::Any => true,
            Self::Is(wanted) => *wanted == character,
            Self::Class(negated, ranges) => {
                ranges.iter().any(|&(from, to)| (from..=to).contains(&character)) != *negated
            }
        }
    }
}

fn tokens(pattern: &[char]) -> Option<Vec<Token>> {
    let (mut tokens, mut rest) = (Vec::new(), pattern.iter().copied().peekable());
    while let Some(character) = rest.next() {
        tokens.push(match character {
            '*' => Token::Run,
            '?' => Token::Any,
            '\\' => Token::Is(rest.next()?),
            '[' => {
                let negated = rest.next_if_eq(&'^').is_some();
                let mut ranges = Vec::new();
                while ranges.is_empty() || rest.peek() != Some(&']') {
                    let from = literal(&mut rest)?;
                    let to = if rest.next_if_eq(&'-').is_some() { literal(&mut rest)? } else { from };
                    ranges.push((from, to));
                }
                rest.next()?;
                Token::Class(negated, ranges)
            }
            other => Token::Is(other),
        });
    }
    Some(tokens)
}

/// A character of a class; `-` and `]` need a backslash.
fn literal(rest: &mut impl Iterator<Item = char>) -> Option<char> {
    match rest.next()? {
        '-' | ']' => None,
        '\\' => rest.next(),
        other => Some(other),
    }
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn patterns_match_as_gos_do() {
        let table = [
            ("abc", "abc", Some(true)),
            ("*", "abc", Some(true)),
            ("*c", "abc", Some(true)),
            ("a*", "a", Some(true)),
            ("a*b*c*d*e*", "axbxcxdxe", Some(true)),
            ("a*b?c*x", "abxbbxdbxebxczzx", Some(true)),
            ("a*b?c*x", "abxbbxdbxebxczzy", Some(false)),
            ("ab[c]", "abc", Some(true)),
            ("ab[b-d]", "abc", Some(true)),
            ("ab[e-g]", "abc", Some(false)),
            ("ab[^c]", "abc", Some(false)),
            ("ab[^e-g]", "abc", Some(true)),
            ("a\\*b", "a*b", Some(true)),
            ("a\\*b", "ab", Some(false)),
            ("a?b", "a☺b", Some(true)),
            ("[a-ζ]*", "α", Some(true)),
            ("[\\]a]", "]", Some(true)),
            ("[\\-x]", "-", Some(true)),
            ("[]a]", "]", None),
            ("[-]", "-", None),
            ("[x-]", "x", None),
            ("[", "a", None),
            ("a\\", "a", None),
            ("", "", Some(true)),
        ];
        for (pattern, name, expected) in table {
            assert_eq!(matches(pattern, name), expected, "{pattern} against {name}");
        }
    }
}
