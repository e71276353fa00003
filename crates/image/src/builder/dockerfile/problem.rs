//! What is wrong, or odd, in a Dockerfile, and where.

use std::fmt;

/// Why a Dockerfile can't be built, with the place and, where one is at hand, a way out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// From 1.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
    /// The line itself.
    pub source: String,
    pub message: String,
    /// What to do instead.
    pub help: Option<String>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}: {}", self.line, self.column, self.message)?;
        self.help.as_ref().map_or(Ok(()), |help| write!(f, "; {help}"))
    }
}

impl std::error::Error for Problem {}

/// What builds but is likely not meant. The names are those of Docker's build checks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    pub check: &'static str,
    /// From 1.
    pub line: usize,
    pub message: String,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {} ({})", self.line, self.message, self.check)
    }
}

/// `did you mean …?`, if one of the names is near to what was written.
pub(crate) fn nearest<'a>(written: &str, names: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let written = written.to_lowercase();
    let distance = |name: &&str| strsim::damerau_levenshtein(&written, &name.to_lowercase());
    let best = names.into_iter().min_by_key(distance)?;
    let near = distance(&best) <= ((best.chars().count().max(written.chars().count()) + 1) / 3).max(1);
    near.then(|| format!("did you mean {best}?"))
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn only_near_names_are_proposed() {
        let names = ["RUN", "ENTRYPOINT", "COPY"];
        assert_eq!(nearest("RUNN", names).as_deref(), Some("did you mean RUN?"));
        assert_eq!(nearest("entrypiont", names).as_deref(), Some("did you mean ENTRYPOINT?"));
        assert_eq!(nearest("INSTALL", names), None);
        assert_eq!(nearest("x", []), None);
    }
}
