//! `--chmod`: octal, or symbolic as chmod(1) has it.

/// A change of permission bits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Set(u32),
    Clauses(Vec<Clause>),
}

/// One `who op permissions`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Clause {
    /// Bits of the classes it is about: 0o4700, 0o2070, 0o1007 together.
    who: u32,
    operation: char,
    /// Permission bits for all classes, `X` and copies apart.
    bits: u32,
    /// `X`: execution for directories, and where somebody has it.
    execute_if: bool,
    /// `g=u`: the class whose bits are taken.
    like: Option<u32>,
}

const USER: u32 = 0o4700;
const GROUP: u32 = 0o2070;
const OTHER: u32 = 0o1007;

impl Change {
    /// Nothing when the text is no mode.
    pub(super) fn parse(text: &str) -> Option<Self> {
        if text.starts_with(|first: char| first.is_ascii_digit()) {
            return u32::from_str_radix(text, 8).ok().filter(|mode| *mode <= 0o7777).map(Self::Set);
        }
        let mut clauses = Vec::new();
        for clause in text.split(',') {
            let who_ends = clause.find(['+', '-', '='])?;
            let who = clause[..who_ends].chars().try_fold(0, |who, class| Some(who | self::class(class)?))?;
            let who = if who == 0 { 0o7777 } else { who };
            let mut rest = &clause[who_ends..];
            while let Some(operation) = rest.chars().next() {
                let end = rest[1..].find(['+', '-', '=']).map_or(rest.len(), |end| end + 1);
                clauses.push(Clause::parse(who, operation, &rest[1..end])?);
                rest = &rest[end..];
            }
        }
        Some(Self::Clauses(clauses))
    }

    /// The mode after the change.
    pub(super) fn apply(&self, mode: u32, directory: bool) -> u32 {
        match self {
            Self::Set(mode) => *mode,
            Self::Clauses(clauses) => clauses.iter().fold(mode, |mode, clause| clause.apply(mode, directory)),
        }
    }
}

fn class(letter: char) -> Option<u32> {
    match letter {
        'u' => Some(USER),
        'g' => Some(GROUP),
        'o' => Some(OTHER),
        'a' => Some(0o7777),
        _ => None,
    }
}

impl Clause {
    fn parse(who: u32, operation: char, permissions: &str) -> Option<Self> {
        let mut clause = Self { who, operation, bits: 0, execute_if: false, like: None };
        if let ("u" | "g" | "o", Some(letter)) = (permissions, permissions.chars().next()) {
            clause.like = class(letter);
            return Some(clause);
        }
        for letter in permissions.chars() {
            match letter {
                'r' => clause.bits |= 0o444,
                'w' => clause.bits |= 0o222,
                'x' => clause.bits |= 0o111,
                'X' => clause.execute_if = true,
                's' => clause.bits |= 0o6000,
                't' => clause.bits |= 0o1000,
                _ => return None,
            }
        }
        Some(clause)
    }

    fn apply(&self, mode: u32, directory: bool) -> u32 {
        let mut bits = self.bits;
        if self.execute_if && (directory || mode & 0o111 != 0) {
            bits |= 0o111;
        }
        if let Some(class) = self.like {
            let shift = if class == USER {
                6
            } else if class == GROUP {
                3
            } else {
                0
            };
            let taken = mode >> shift & 7;
            bits = taken << 6 | taken << 3 | taken;
        }
        // `t` belongs to no class alone.
        let who = if self.bits & 0o1000 != 0 { self.who | 0o1000 } else { self.who };
        match self.operation {
            '+' => mode | bits & who,
            '-' => mode & !(bits & who),
            _ => mode & !(self.who & 0o777) | bits & who,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Change;

    #[test]
    fn modes_change_as_chmod_does() {
        let table = [
            ("755", 0o644, false, Some(0o755)),
            ("0600", 0o755, false, Some(0o600)),
            ("4755", 0o644, false, Some(0o4755)),
            ("u+x", 0o644, false, Some(0o744)),
            ("+x", 0o644, false, Some(0o755)),
            ("a=r", 0o755, false, Some(0o444)),
            ("go-rwx", 0o777, true, Some(0o700)),
            ("u=rwX,go=rX", 0o644, false, Some(0o644)),
            ("u=rwX,go=rX", 0o600, true, Some(0o755)),
            ("u=rwX,go=rX", 0o700, false, Some(0o755)),
            ("g=u", 0o640, false, Some(0o660)),
            ("u+s", 0o755, false, Some(0o4755)),
            ("g+s,o-x", 0o755, true, Some(0o2754)),
            ("+t", 0o777, true, Some(0o1777)),
            ("u+x-w", 0o644, false, Some(0o544)),
            ("8", 0, false, None),
            ("77777", 0, false, None),
            ("u", 0, false, None),
            ("u+q", 0, false, None),
        ];
        for (text, mode, directory, expected) in table {
            assert_eq!(Change::parse(text).map(|change| change.apply(mode, directory)), expected, "{text}");
        }
    }
}
