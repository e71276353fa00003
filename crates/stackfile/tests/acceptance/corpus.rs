//! Real files: the canonical model, or an error of the same kind.

use super::case::{Case, Met, Verdict};
use super::decided::meets;
use super::disk::Disk;
use hoist_stackfile::canonical::{escape_dollars, to_json, to_yaml};
use hoist_stackfile::{Diagnostic, Dialect, Source, Sources, load};
use std::path::Path;

fn sources(case: &Case, corpus: &Path) -> Sources {
    let text = |key: &str| case.input[key].as_str().unwrap_or_default().to_owned();
    let texts = |key: &str| -> Vec<String> {
        let list = case.input[key].as_array().cloned().unwrap_or_default();
        list.iter().map(|item| item.as_str().unwrap().to_owned()).collect()
    };
    let folder = corpus.join(text("root")).join(text("dir"));
    let folder = hoist_stackfile::syntax::path::clean(&folder.to_string_lossy());
    let full = |name: String| match name.starts_with('/') {
        true => name,
        false => hoist_stackfile::syntax::path::join(&folder, &name),
    };
    Sources {
        files: texts("files").into_iter().map(|file| Source { path: full(file), text: None }).collect(),
        environment: case.env.clone(),
        env_files: texts("env_files").into_iter().map(full).collect(),
        profiles: texts("profiles"),
        name_from_folder: true,
        home: case.env.get("HOME").cloned(),
        project_dir: folder.clone(),
        working_dir: folder.clone(),
        ..Sources::default()
    }
}

pub(crate) fn run(case: &Case, corpus: &Path) -> Verdict {
    let got = load(&sources(case, corpus), &Disk).map_err(|findings| first(&findings));
    let got =
        got.map(|loaded| serde_json::from_str(&to_json(&loaded.project.canonical(Dialect::Json))).unwrap());
    meets(case, case.expected_in(corpus).as_ref(), got)
}

pub(crate) fn first(findings: &[Diagnostic]) -> String {
    findings.first().map(ToString::to_string).unwrap_or_default()
}

/// The canonical form, read again, gives itself: in YAML and in JSON.
pub(crate) fn round_trip(case: &Case, corpus: &Path) -> Verdict {
    let first_sources = sources(case, corpus);
    let Ok(loaded) = load(&first_sources, &Disk) else { return Ok(Met::Same) };
    for dialect in [Dialect::Yaml, Dialect::Json] {
        let tree = loaded.project.canonical(dialect);
        let text = if dialect == Dialect::Yaml { to_yaml(&tree) } else { to_json(&tree) };
        let again = Sources {
            files: vec![Source { path: "/again/compose.yaml".to_owned(), text: Some(escape_dollars(&text)) }],
            project_dir: "/again".to_owned(),
            env_files: Vec::new(),
            environment: case.env.clone(),
            profiles: vec!["*".to_owned()],
            ..first_sources.clone()
        };
        match load(&again, &Disk) {
            Ok(second) => {
                let tree = second.project.canonical(dialect);
                let second = if dialect == Dialect::Yaml { to_yaml(&tree) } else { to_json(&tree) };
                if second != text {
                    let pairs = text.lines().zip(second.lines()).find(|(a, b)| a != b);
                    return Err(format!("{dialect:?}: {pairs:?}"));
                }
            }
            Err(findings) => return Err(format!("{dialect:?}: {}", first(&findings))),
        }
    }
    Ok(Met::Same)
}
