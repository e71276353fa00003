//! `# syntax=`, `# escape=` and `# check=` in the first lines.

use super::problem::Problem;

/// What the first comments of a file say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Directives {
    pub(super) escape: char,
    pub(super) syntax: Option<String>,
    /// The checks that the file doesn't want; `all` for all.
    pub(super) skips: Vec<String>,
    pub(super) checks_fail: bool,
}

impl Directives {
    /// They end at the first line that is none, a comment included.
    pub(super) fn parse(text: &str) -> Result<Self, Problem> {
        let mut found = Self { escape: '\\', syntax: None, skips: Vec::new(), checks_fail: false };
        let mut seen: Vec<String> = Vec::new();
        for (at, line) in text.lines().enumerate() {
            let Some((name, value)) = directive(line) else { break };
            let problem =
                |message| Problem { line: at + 1, column: 1, source: line.to_owned(), message, help: None };
            if seen.contains(&name) {
                return Err(problem(format!("the directive {name} is given twice")));
            }
            match &name[..] {
                "syntax" => found.syntax = Some(value.to_owned()),
                "check" => found.check(value),
                _ => match value {
                    "\\" | "`" => found.escape = if value == "`" { '`' } else { '\\' },
                    _ => return Err(problem(format!("{value} can't be the escape, only ` or \\ can"))),
                },
            }
            seen.push(name);
        }
        Ok(found)
    }

    /// `skip=A,B;error=true`.
    fn check(&mut self, value: &str) {
        for part in value.split(';') {
            match part.trim().split_once('=') {
                Some(("skip", names)) => {
                    self.skips.extend(names.split(',').map(|name| name.trim().to_owned()));
                }
                Some(("error", value)) => self.checks_fail = value.trim() == "true",
                _ => {}
            }
        }
    }
}

/// `# name = value` of a name that means something.
fn directive(line: &str) -> Option<(String, &str)> {
    let (name, value) = line.trim_start().strip_prefix('#')?.split_once('=')?;
    let (name, value) = (name.trim().to_ascii_lowercase(), value.trim());
    let known = ["syntax", "escape", "check"].contains(&&name[..]);
    (known && !value.is_empty()).then_some((name, value))
}
