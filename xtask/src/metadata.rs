//! What Cargo knows of the workspace.

use std::path::PathBuf;

use serde_json::Value;

use crate::run::{self, Result};

/// One crate of the workspace.
#[derive(Debug)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) manifest: PathBuf,
    /// Crates of the workspace that the code uses, and those that only its tests use.
    pub(crate) uses: Vec<String>,
    pub(crate) tests_use: Vec<String>,
    /// Every dependency, by the name that code and manifest use.
    pub(crate) dependencies: Vec<String>,
    pub(crate) benches: Vec<String>,
}

#[derive(Debug)]
pub(crate) struct Workspace {
    pub(crate) packages: Vec<Package>,
    pub(crate) target: PathBuf,
}

pub(crate) fn read() -> Result<Workspace> {
    let text = run::output(&mut run::cargo(&["metadata", "--format-version=1", "--no-deps", "--quiet"]))?;
    let metadata: Value = serde_json::from_str(&text)?;
    let mut packages: Vec<Package> = list(&metadata["packages"]).iter().map(package).collect();
    packages.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(Workspace { packages, target: text_of(&metadata["target_directory"]).into() })
}

fn package(value: &Value) -> Package {
    let inside = |tests: bool| {
        let of_kind = |dependency: &&Value| (dependency["kind"] == "dev") == tests;
        let inside = list(&value["dependencies"]).iter().filter(|dependency| dependency["path"].is_string());
        let mut names: Vec<String> = inside.filter(of_kind).map(|found| text_of(&found["name"])).collect();
        names.sort();
        names
    };
    let dependencies = list(&value["dependencies"]).iter().map(|dependency| {
        dependency["rename"].as_str().map_or_else(|| text_of(&dependency["name"]), str::to_owned)
    });
    let benches = list(&value["targets"])
        .iter()
        .filter(|target| list(&target["kind"]).iter().any(|kind| kind == "bench"));
    Package {
        name: text_of(&value["name"]),
        manifest: text_of(&value["manifest_path"]).into(),
        uses: inside(false),
        tests_use: inside(true),
        dependencies: dependencies.collect(),
        benches: benches.map(|target| text_of(&target["name"])).collect(),
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text_of(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
