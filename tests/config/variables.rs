//! Which files are read, and with which variables: the command line first, then the environment, then `.env`.

use crate::Project;

const A: &str = "name: a\nservices: {a: {image: \"x:${V-}\"}, p: {image: x, profiles: [extra]}}\n";
const B: &str = "services: {b: {image: \"x:${W-}\"}}\n";

fn project() -> Project {
    Project::with(&[
        ("one.yaml", A),
        ("two.yaml", B),
        ("sub/.keep", ""),
        ("compose.yaml", "services: {c: {image: x}}\n"),
    ])
}

fn names(services: &[&str]) -> Vec<String> {
    services.iter().map(|&name| name.to_owned()).collect()
}

#[test]
fn compose_file_names_the_files() {
    let listed = project().env("COMPOSE_FILE", "one.yaml:two.yaml").seen(&[]);
    assert_eq!(listed, ("a".to_owned(), names(&["a", "b"])));
    let separated = project().env("COMPOSE_FILE", "one.yaml,two.yaml").env("COMPOSE_PATH_SEPARATOR", ",");
    assert_eq!(separated.seen(&[]).1, names(&["a", "b"]));
    assert_eq!(separated.seen(&["-f", "two.yaml"]).1, names(&["b"]), "the command line counts first");
    assert_eq!(project().seen(&[]).1, names(&["c"]));
}

#[test]
fn compose_variables_come_from_the_env_file_too() {
    let env = "COMPOSE_FILE=one.yaml;two.yaml\nCOMPOSE_PATH_SEPARATOR=;\nCOMPOSE_PROFILES=extra\nCOMPOSE_PROJECT_NAME=named\n";
    let write = |project: &Project| std::fs::write(project.folder.path().join(".env"), env).unwrap();
    let project = project();
    write(&project);
    assert_eq!(project.seen(&[]), ("named".to_owned(), names(&["a", "b", "p"])));
    let stronger = self::project().env("COMPOSE_PROJECT_NAME", "outer").env("COMPOSE_PROFILES", "none");
    write(&stronger);
    assert_eq!(stronger.seen(&[]), ("outer".to_owned(), names(&["a", "b"])));
    assert_eq!(
        stronger.seen(&["-p", "inner", "--profile", "extra"]),
        ("inner".to_owned(), names(&["a", "b", "p"]))
    );
    let without = self::project().env("COMPOSE_DISABLE_ENV_FILE", "true");
    write(&without);
    assert_eq!(without.seen(&[]).1, names(&["c"]));
    let wrong = self::project().env("COMPOSE_DISABLE_ENV_FILE", "maybe").hoist(&["config"]);
    assert!(wrong.code == 2 && wrong.stderr.contains("COMPOSE_DISABLE_ENV_FILE"), "{wrong:?}");
}

#[test]
fn env_files_are_named_by_flag_or_variable() {
    let files =
        [("stack.yaml", A), (".env", "V=dot"), ("e1", "V=one\nCOMPOSE_PROFILES=extra"), ("e2", "V=two")];
    let image =
        |project: &Project, words: &[&str]| project.model(words)["services"]["a"]["image"].to_string();
    let project = Project::with(&files);
    assert_eq!(image(&project, &[]), "\"x:dot\"");
    assert_eq!(image(&project, &["--env-file", "e1"]), "\"x:one\"");
    assert_eq!(project.seen(&["--env-file", "e1"]).1, names(&["a", "p"]));
    assert_eq!(image(&project, &["--env-file", "e1", "--env-file", "e2"]), "\"x:two\"");
    let listed = Project::with(&files).env("COMPOSE_ENV_FILES", "e2,e1");
    assert_eq!(image(&listed, &[]), "\"x:one\"");
    assert_eq!(image(&listed, &["--env-file", "e2"]), "\"x:two\"", "the command line counts first");
    assert_eq!(image(&listed.env("V", "env"), &[]), "\"x:env\"", "the environment counts before files");
    let missing = Project::with(&files).hoist(&["--env-file", "nonsense", "config"]);
    assert!(missing.code == 2 && missing.stderr.contains("nonsense"), "{missing:?}");
}

#[test]
fn a_file_is_found_above_and_both_folders_give_variables() {
    let files = [("stack.yaml", A), (".env", "V=above\nCOMPOSE_PROFILES=extra"), ("sub/.env", "V=here")];
    let below = Project::with(&files).below("sub");
    let (name, services) = below.seen(&[]);
    assert_eq!((name.as_str(), services), ("a", names(&["a", "p"])));
    assert_eq!(below.model(&[])["services"]["a"]["image"], "x:here");
    let directory = Project::with(&files);
    let model = directory.model(&["-f", "stack.yaml", "--project-directory", "sub"]);
    assert_eq!(model["services"]["a"]["image"], "x:here");
}

#[test]
fn the_name_is_given_or_written_or_the_folders() {
    let unnamed = Project::with(&[("My.App_1/stack.yaml", "services: {a: {image: x}}\n")]);
    assert_eq!(unnamed.seen(&["-f", "My.App_1/stack.yaml"]).0, "myapp_1");
    let wrong = unnamed.hoist(&["-p", "No Name", "-f", "My.App_1/stack.yaml", "config"]);
    assert_eq!(wrong.code, 2, "{wrong:?}");
}
