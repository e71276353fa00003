//! The project's name: given from outside, by variable, in the file, or the folder's.

use crate::diagnostic::Diagnostic;
use crate::loader::{Loader, Opened};
use crate::node::Value;
use crate::project::Sources;
use crate::stages::interpolate::Environment;
use crate::syntax::{path, template};

/// Small letters, digits, `-` and `_`, beginning with a letter or digit: what is left of a text.
#[must_use]
pub fn normalize(name: &str) -> String {
    let kept: String = name
        .to_lowercase()
        .chars()
        .filter(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_'))
        .collect();
    kept.trim_start_matches(['_', '-']).to_owned()
}

/// Finds the name. An empty one means that nothing named the project.
pub(crate) fn project_name(
    sources: &Sources,
    files: &[Opened],
    environment: &Environment,
    loader: &mut Loader<'_>,
) -> Option<String> {
    let given = sources.project_name.clone().filter(|name| !name.is_empty());
    let by_variable = environment.get("COMPOSE_PROJECT_NAME").cloned().filter(|name| !name.is_empty());
    if let Some(name) = given.or(by_variable) {
        if normalize(&name) != name {
            let finding = Diagnostic::error("invalid-name", format!("`{name}` is not a valid project name"));
            let help = "small letters, digits, `-` and `_`, beginning with a letter or digit";
            loader.report.push(finding.help(help));
            return None;
        }
        return Some(name);
    }
    // A name that a variable without a value leaves empty is none.
    let written = written_name(files).map(|written| interpolate(&written, sources, environment));
    if let Some(name) = written.filter(|name| !name.is_empty()) {
        return Some(name);
    }
    if sources.name_from_folder {
        let folder = sources.name_folder.as_ref().unwrap_or(&sources.project_dir);
        return Some(normalize(path::base(&path::clean(folder))));
    }
    Some(String::new())
}

/// Errors in the template are reported when the file itself is loaded.
fn interpolate(written: &str, sources: &Sources, environment: &Environment) -> String {
    let lookup = |name: &str| environment.get(name).cloned();
    let text = match sources.options.interpolate {
        true => template::substitute(written, &lookup).map(|outcome| outcome.text).unwrap_or_default(),
        false => written.to_owned(),
    };
    if sources.options.normalize { normalize(&text) } else { text }
}

/// The last `name` in the files.
fn written_name(files: &[Opened]) -> Option<String> {
    let documents = files.iter().flat_map(|file| &file.documents);
    documents.rev().find_map(|document| match document.get("name").map(|node| &node.value) {
        Some(Value::Text(name)) if !name.is_empty() => Some(name.clone()),
        Some(Value::Time(date)) => Some(date.raw.clone()),
        _ => None,
    })
}
