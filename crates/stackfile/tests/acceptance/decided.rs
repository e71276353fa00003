//! Differences that are held to be right: `docs/compose-differences.md` names the cases and the rules.

use super::case::{Case, Met, Verdict};
use super::compare::same;
use serde_json::Value;
use std::path::Path;

/// The names on that page.
#[derive(Debug)]
pub(crate) struct Decided(Vec<String>);

impl Decided {
    pub(crate) fn read(workspace: &Path) -> Self {
        let text = std::fs::read_to_string(workspace.join("docs/compose-differences.md")).unwrap();
        let name = |line: &str| Some(line.strip_prefix("- `")?.split('`').next()?.to_owned());
        Self(text.lines().filter_map(name).collect())
    }

    pub(crate) fn names(&self, case: &str) -> bool {
        self.0.iter().any(|name| name == case)
    }
}

/// Compares an answer with what is expected of a case, `expected` being its model put in place.
pub(crate) fn meets(case: &Case, expected: Option<&Value>, got: Result<Value, String>) -> Verdict {
    let error = case.error.as_deref().unwrap_or_default();
    match (expected, got) {
        (Some(expected), Ok(got)) => {
            let Err(difference) = same(expected, &got) else { return Ok(Met::Same) };
            without_models(expected, got).map(|()| Met::ByRule).map_err(|_| difference)
        }
        (None, Err(_)) => Ok(Met::Same),
        (Some(_), Err(error)) => Err(format!("error: {error}")),
        // Rule "no JSON": the reference fails to write down what it has understood.
        (None, Ok(_)) if error.contains("error calling MarshalJSON") => Ok(Met::ByRule),
        // Rule "raw": docker compose adds the format to the library.
        (None, Ok(_)) if error.contains(r#"unsupported env_file format "raw""#) => Ok(Met::ByRule),
        (None, Ok(_)) => Err(format!("no error, expected: {error}")),
    }
}

/// Rule "models": the reference's JSON leaves the top-level models out.
fn without_models(expected: &Value, mut got: Value) -> Result<(), String> {
    let top = if got.get("project").is_some() { &mut got["project"] } else { &mut got };
    let there = top.as_object_mut().and_then(|top| top.remove("models"));
    there.ok_or("no models")?;
    same(expected, &got)
}
