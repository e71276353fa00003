//! Parts of a stack, each in docker compose's form.

use serde_json::Value;

use crate::Project;

const STACK: &str = "\
name: demo
services:
  app:
    image: registry.example/app:${TAG:-1.2}
    depends_on: [store]
    environment: {KEY: \"${KEY:?give it}\", MORE: \"${MORE+set}$PLAIN\", COST: \"$$5\"}
    volumes: [data:/data, ./conf:/conf:ro]
    networks: [front]
  store: {build: ., networks: [front, back]}
  debug: {image: busybox, profiles: [tools, all]}
networks: {front: {}, back: {}}
volumes: {data: {}}
";

fn project() -> Project {
    Project::with(&[("stack.yaml", STACK), ("conf/x", "")]).env("KEY", "k")
}

#[test]
fn names_are_lines() {
    let project = project();
    assert_eq!(project.prints(&["config", "--services"]), "store\napp\n", "each after what it depends on");
    assert_eq!(project.prints(&["config", "--volumes"]), "data\n");
    assert_eq!(project.prints(&["config", "--networks"]), "back\nfront\n");
    assert_eq!(project.prints(&["config", "--profiles"]), "all\ntools\n");
    assert_eq!(project.prints(&["config", "--images"]), "registry.example/app:1.2\ndemo-store\n");
    assert_eq!(project.prints(&["--profile", "tools", "config", "--services"]), "store\napp\ndebug\n");
    assert_eq!(project.prints(&["config", "--services", "store"]), "store\n");
}

#[test]
fn one_part_at_a_time() {
    assert_eq!(project().hoist(&["config", "--services", "--volumes"]).code, 2);
}

#[test]
fn variables_are_listed_though_a_required_one_is_not_set() {
    let project = Project::with(&[("stack.yaml", STACK)]);
    assert_eq!(project.hoist(&["config"]).code, 2);
    let table = project.prints(&["config", "--variables"]);
    let rows: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[0].join(" "), "NAME REQUIRED DEFAULT VALUE ALTERNATE VALUE");
    assert_eq!(
        rows[1..],
        [
            vec!["KEY", "true"],
            vec!["MORE", "false", "set"],
            vec!["PLAIN", "false"],
            vec!["TAG", "false", "1.2"]
        ]
    );
    let json: Value =
        serde_json::from_str(&project.prints(&["config", "--variables", "--format", "json"])).unwrap();
    assert_eq!(json["TAG"]["DefaultValue"], "1.2");
    assert_eq!(json["KEY"]["Required"], true);
    assert_eq!(json["MORE"]["PresenceValue"], "set");
}

#[test]
fn the_environment_is_sorted_lines() {
    let lines = project().env("A", "1=2").prints(&["config", "--environment"]);
    let lines: Vec<&str> = lines.lines().collect();
    assert!(lines.contains(&"KEY=k") && lines.contains(&"A=1=2"), "{lines:?}");
    assert!(lines.contains(&"COMPOSE_PROJECT_NAME=demo"), "{lines:?}");
    assert!(lines.is_sorted(), "{lines:?}");
}

#[test]
fn a_hash_changes_with_what_decides_recreation_alone() {
    let stack = STACK.replace("build: .", "image: busybox").replace(", ./conf:/conf:ro", "");
    let project = |text: &str| Project::with(&[("stack.yaml", text)]).env("KEY", "k");
    let hash = |text: &str| project(text).prints(&["config", "--hash", "app"]);
    let base = hash(&stack);
    assert!(base.starts_with("app ") && base.trim_end().len() > 40, "{base}");
    assert_eq!(hash(&stack.replace("demo\n", "demo # said\n")), base);
    assert_ne!(hash(&stack.replace("app:${TAG", "other:${TAG")), base);
    let project = project(&stack);
    assert_eq!(project.prints(&["config", "--hash", "*"]).lines().count(), 2);
    assert_eq!(project.prints(&["config", "--hash", "store,app"]).lines().count(), 2);
    assert_eq!(project.hoist(&["config", "--hash", "nonsense"]).code, 2);
}

#[test]
fn the_model_is_shown_as_wanted() {
    let project = project();
    let whole = project.model(&[]);
    assert_eq!(
        whole["services"]["app"]["environment"]["COST"], "$$5",
        "doubled, so that it can be read again"
    );
    assert!(whole["services"]["store"]["build"]["context"].as_str().unwrap().starts_with('/'));
    assert_eq!(whole["networks"]["front"]["name"], "demo_front");
    let text = project.prints(&["config", "--no-interpolate"]);
    assert!(text.contains("image: registry.example/app:${TAG:-1.2}") && text.contains("COST: $$5"), "{text}");
    let text = project.prints(&["config", "--no-path-resolution"]);
    assert!(text.contains("source: ./conf") || text.contains("source: conf"), "{text}");
    let text = project.prints(&["config", "--no-normalize"]);
    assert!(!text.contains("demo_front"), "{text}");
    assert_eq!(project.prints(&["config", "-q"]), "");
    assert_eq!(project.prints(&["config", "-o", "out.yaml"]), "");
    let written = std::fs::read_to_string(project.folder.path().join("out.yaml")).unwrap();
    assert_eq!(written, project.prints(&["config"]));
}

#[test]
fn the_schema_is_one_for_editors() {
    let nowhere = Project::with(&[]);
    let schema: Value = serde_json::from_str(&nowhere.prints(&["config", "--schema"])).unwrap();
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    assert!(schema["properties"]["services"].is_object());
    assert!(schema.to_string().contains("rootfs"), "x-hoist is in it");
}
