//! Findings for editors: one JSON array, each finding with its places.

use hoist_stackfile::Diagnostic;

/// Findings as JSON; `[]` when there are none.
pub(crate) fn json(found: &[Diagnostic]) -> String {
    serde_json::to_string_pretty(found).expect("findings have text keys and finite depth")
}
