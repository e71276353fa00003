//! What is wrong, or surprising, in a file: for people, for editors; and how a value came to be.

use serde_json::Value;

use crate::Project;

const ODD: &str = "\
services:
  web:
    image: nginx
    ports: [\"80:80\"]
    cpu_count: 2
";
const OVER: &str = "services:\n  web:\n    ports: [\"81:80\"]\n    image: nginx:${TAG:-2}\n";

fn project(lints: &str) -> Project {
    Project::with(&[("stack.yaml", &format!("{ODD}x-hoist: {{lints: {lints}}}\n")), ("over.yaml", OVER)])
}

const BOTH: [&str; 4] = ["-f", "stack.yaml", "-f", "over.yaml"];

fn config(project: &Project, words: &[&str]) -> crate::Ended {
    project.hoist(&[&BOTH[..], &["config"], words].concat())
}

#[test]
fn lints_warn_are_allowed_and_are_denied() {
    let warned = config(&project("{}"), &["-q"]);
    assert_eq!((warned.code, warned.stdout.as_str()), (0, ""));
    assert!(warned.stderr.contains("warning[port-appended-by-override]"), "{warned:?}");
    assert!(warned.stderr.contains("warning[no-effect]"), "{warned:?}");
    let allowed = config(&project("{allow: [port-appended-by-override, no-effect]}"), &["-q"]);
    assert_eq!((allowed.code, allowed.stderr.as_str()), (0, ""));
    let denied = config(&project("{deny: [port-appended-by-override]}"), &[]);
    assert_eq!((denied.code, denied.stdout.as_str()), (2, ""));
    assert!(denied.stderr.contains("error[port-appended-by-override]"), "{denied:?}");
    let unknown = config(&project("{deny: [latest-tags]}"), &["-q"]);
    assert!(unknown.stderr.contains("did you mean `latest-tag`?"), "{unknown:?}");
}

#[test]
fn what_a_file_denies_keeps_it_from_coming_up() {
    let project = project("{deny: [no-effect]}");
    let root = project.folder.path().join("root").display().to_string();
    let refused = project.hoist(&[&BOTH[..], &["--root", &root, "up", "-d"]].concat());
    assert_eq!(refused.code, 2, "{refused:?}");
    assert!(refused.stderr.contains("error[no-effect]") && refused.stderr.contains("nothing was changed"));
    assert!(!std::path::Path::new(&root).exists(), "no agent was started");
}

#[test]
fn other_commands_say_warnings_in_a_line_each() {
    let said = project("{}").hoist(&[&BOTH[..], &["graph"]].concat());
    assert_eq!(said.code, 0, "{said:?}");
    assert_eq!(said.stderr.lines().count(), 2, "{said:?}");
    assert!(said.stderr.contains("stack.yaml:5:5: warning[no-effect]: "), "{said:?}");
}

#[test]
fn editors_get_json() {
    let found = |project: &Project, code: i32| -> Vec<Value> {
        let ended = config(project, &["-q", "--format", "json"]);
        assert_eq!((ended.code, ended.stderr.as_str()), (code, ""));
        serde_json::from_str(&ended.stdout).unwrap()
    };
    let warnings = found(&project("{}"), 0);
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    assert!(warnings.iter().all(|warning| warning["severity"] == "warning"), "{warnings:?}");
    let port = warnings.iter().find(|one| one["code"] == "port-appended-by-override").unwrap();
    assert_eq!(port["labels"].as_array().unwrap().len(), 2, "both places: {port}");
    let place = |key: &str| port["labels"][0][key].as_u64().unwrap();
    assert_eq!((place("line"), place("column"), place("end_line"), place("end_column")), (3, 13, 3, 20));
    assert!(found(&project("{allow: [port-appended-by-override, no-effect]}"), 0).is_empty());
    let broken = Project::with(&[
        ("stack.yaml", "services: {a: {imagee: x}, b: {ports: [x]}}\n"),
        ("over.yaml", "{}"),
    ]);
    let errors = found(&broken, 2);
    assert!(errors.len() >= 2, "all at once: {errors:?}");
    assert!(errors.iter().any(|error| error["help"].as_str().is_some_and(|help| help.contains("image"))));
}

#[test]
fn a_value_tells_where_it_comes_from() {
    let project = project("{}").env("TAG", "3");
    let said =
        project.prints(&["-f", "stack.yaml", "-f", "over.yaml", "config", "explain", "services.web.image"]);
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines[0], "services.web.image = \"nginx:3\"");
    for text in [
        "takes the place of `nginx`",
        "over.yaml:4:12",
        "nginx:${TAG:-2}",
        "TAG is `3`, from the environment",
    ] {
        assert!(said.contains(text), "{text:?} is not in\n{said}");
    }
    let file = project.prints(&["config", "explain", "stack.yaml", "services.web.cpu_count", "name"]);
    assert!(file.contains("stack.yaml:5:16"), "{file}");
    let json = project.prints(&["config", "stack.yaml", "explain", "--json", "services.web.ports[0].target"]);
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&json[0]["path"], &json[0]["value"]), (&"services.web.ports[0].target".into(), &"80".into()));
    assert!(json[0]["steps"][0]["place"].as_str().unwrap().ends_with("stack.yaml:4:13"), "{json}");
    let nothing = project.hoist(&["config", "explain", "services.web.nonsense"]);
    assert_eq!(nothing.code, 2, "{nothing:?}");
}
