//! Whole loads from files in memory.

use super::case::{Case, Verdict};
use super::corpus::first;
use super::decided::meets;
use hoist_stackfile::canonical::to_json;
use hoist_stackfile::{Dialect, MemoryReader, Options, Source, Sources, load};
use serde_json::{Value, json};

const ROOT: &str = "/acceptance/root";
const TMP: &str = "/acceptance/tmp";

pub(crate) fn run(case: &Case) -> Verdict {
    let input: Value = place(&case.input);
    let options = &input["options"];
    let on = |key: &str| options[key].as_bool().unwrap_or(false);
    let folder = input["working_dir"].as_str().unwrap_or_default().to_owned();
    let mut reader = MemoryReader::default();
    if let Some(files) = input["files"].as_object() {
        for (path, content) in files {
            reader = reader.with(path, content.as_str().unwrap_or_default());
        }
    }
    let mut files = Vec::new();
    for file in input["config_files"].as_array().unwrap() {
        let path = file["filename"].as_str().unwrap().to_owned();
        let text = file["content"].as_str().map(str::to_owned);
        if let Some(text) = &text {
            reader = reader.with(hoist_stackfile::syntax::path::join(&folder, &path), text.as_str());
            reader = reader.with(&path, text.as_str());
        }
        files.push(Source { path, text });
    }
    let selected = options["selected_services"].as_array().cloned().unwrap_or_default();
    let profiles = options["profiles"].as_array().cloned().unwrap_or_default();
    let texts = |list: Vec<Value>| list.iter().map(|v| v.as_str().unwrap().to_owned()).collect::<Vec<_>>();
    let sources = Sources {
        files,
        project_dir: folder,
        environment: case.env.iter().map(|(k, v)| (k.clone(), v.replace("${ROOT}", ROOT))).collect(),
        no_default_env_file: true,
        project_name: options["project_name"].as_str().map(str::to_owned),
        home: case.env.get("HOME").cloned(),
        services: texts(selected),
        profiles: texts(profiles),
        options: Options {
            interpolate: !on("skip_interpolation"),
            normalize: !on("skip_normalization"),
            resolve_paths: on("resolve_paths"),
            validate: !on("skip_validation"),
            consistency: !on("skip_consistency"),
            resolve_environment: !on("skip_resolve_environment"),
            discard_env_files: on("discard_env_files"),
            prune: on("prune"),
        },
        ..Sources::default()
    };
    let got = load(&sources, &reader).map_err(|findings| first(&findings));
    let got = got.map(|loaded| {
        let project = loaded.project.canonical(Dialect::Json);
        let project: Value = serde_json::from_str(&to_json(&project)).unwrap();
        let disabled: Vec<&String> = loaded.project.disabled.keys().collect();
        json!({"project": project, "disabled_services": disabled})
    });
    meets(case, case.expected.as_ref().map(place).as_ref(), got)
}

fn place(value: &Value) -> Value {
    serde_json::from_str(&value.to_string().replace("${ROOT}", ROOT).replace("${TMP}", TMP)).unwrap()
}
