//! Real files: the canonical model, or an error of the same kind.

use super::compare::same;
use super::disk::Disk;
use super::{Case, Verdict};
use hoist_stackfile::canonical::{escape_dollars, to_json, to_yaml};
use hoist_stackfile::{Diagnostic, Dialect, Loaded, Source, Sources, load};
use serde_json::Value;
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

fn place(value: &Value, root: &str, corpus: &str) -> Value {
    let text = value.to_string().replace("${ROOT}", root).replace("${CORPUS}", corpus);
    serde_json::from_str(&text).unwrap()
}

pub(crate) fn run(case: &Case, corpus: &Path) -> Verdict {
    let root = corpus.join(case.input["root"].as_str().unwrap());
    let loaded = load(&sources(case, corpus), &Disk);
    match (&case.expected, loaded) {
        (Some(expected), Ok(Loaded { project, .. })) => {
            let expected = place(expected, &root.to_string_lossy(), &corpus.to_string_lossy());
            let got = serde_json::from_str(&to_json(&project.canonical(Dialect::Json))).unwrap();
            same(&expected, &got)
        }
        (None, Err(_)) => Ok(()),
        (Some(_), Err(findings)) => Err(format!("error: {}", first(&findings))),
        (None, Ok(_)) => Err(format!("no error, expected: {}", case.error.as_deref().unwrap_or_default())),
    }
}

pub(crate) fn first(findings: &[Diagnostic]) -> String {
    findings.first().map(ToString::to_string).unwrap_or_default()
}

/// The canonical form, read again, gives itself: in YAML and in JSON.
pub(crate) fn round_trip(case: &Case, corpus: &Path) -> Verdict {
    let first_sources = sources(case, corpus);
    let Ok(loaded) = load(&first_sources, &Disk) else { return Ok(()) };
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
    Ok(())
}
