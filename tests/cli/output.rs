//! What commands print for people and programs, and their exit codes.

use std::collections::BTreeSet;

use hoist_tests::Host;
use serde_json::Value;

/// The keys of `docker compose ps --format json`.
const COMPOSE_KEYS: [&str; 20] = [
    "Command",
    "CreatedAt",
    "ExitCode",
    "Health",
    "ID",
    "Image",
    "Labels",
    "LocalVolumes",
    "Mounts",
    "Name",
    "Names",
    "Networks",
    "Ports",
    "Project",
    "Publishers",
    "RunningFor",
    "Service",
    "Size",
    "State",
    "Status",
];

#[test]
fn ps_has_composes_keys() {
    let Some(host) = Host::new() else { return };
    let stack = host.stack("cli");
    stack.up(&[]).ok();
    let web = stack.instance("web").json;
    let keys: BTreeSet<&str> = web.as_object().unwrap().keys().map(String::as_str).collect();
    let missing: Vec<&&str> = COMPOSE_KEYS.iter().filter(|key| !keys.contains(**key)).collect();
    assert!(missing.is_empty(), "{missing:?}");
    assert_eq!(web["Command"], "\"perl serve.pl 8000\"");
    assert_eq!(
        (&web["Project"], &web["State"], &web["Name"]),
        (&"cli".into(), &"running".into(), &"cli-web-1".into())
    );
    assert_eq!(web["Publishers"][0]["PublishedPort"], 8096);
    assert_eq!(web["Publishers"][0]["TargetPort"], 8000);
    assert_eq!(web["Publishers"][0]["Protocol"], "tcp");
    assert_eq!(web["Ports"], "0.0.0.0:8096->8000/tcp");
    assert_eq!(web["Networks"], "cli_front");
    assert!(web["Labels"].as_str().unwrap().contains("tier=edge"), "{web}");
    assert!(web["Status"].as_str().unwrap().starts_with("Up "), "{web}");
    let table = stack.hoist(&["ps"]).success();
    let head: Vec<&str> = table.stdout.lines().next().unwrap().split_whitespace().collect();
    assert_eq!(head, ["NAME", "IMAGE", "COMMAND", "SERVICE", "CREATED", "STATUS", "PORTS"]);
    assert_eq!(table.stdout.lines().count(), 5);
    assert_eq!(stack.hoist(&["ps", "-q"]).success().stdout.lines().count(), 4);
    stack.down().ok();
}

#[test]
fn config_shows_the_file_as_understood() {
    let Some(host) = Host::new() else { return };
    let stack = host.stack("cli").with("COLOUR", "green");
    let json = stack.hoist(&["config", "--format", "json"]).success();
    let json: Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(json["services"]["talker"]["environment"]["COLOUR"], "green");
    let services = stack.hoist(&["config", "--services"]).success();
    let names: BTreeSet<&str> = services.stdout.lines().collect();
    assert_eq!(names, ["both", "store", "talker", "web"].into());
    assert_eq!(stack.hoist(&["config", "-q"]).success().stdout, "");
    assert!(stack.hoist(&["config"]).success().stdout.contains("COLOUR: green"));
    assert!(!host.root("root").exists(), "no agent was started");
}

#[test]
fn graph_is_dot() {
    let Some(host) = Host::new() else { return };
    let graph = host.stack("cli/gates.yaml").hoist(&["graph"]).success();
    assert!(graph.stdout.starts_with("digraph \"gates\" {"), "{graph}");
    for edge in ["\"app\" -> \"store\" [label=\"healthy\"", "\"app\" -> \"migration\" [label=\"completed\""] {
        assert!(graph.stdout.contains(edge), "{edge} is not in {graph}");
    }
}

#[test]
fn wrong_use_ends_with_2_and_failure_with_1() {
    let Some(host) = Host::new() else { return };
    let _unknown = host.hoist(&["frobnicate"]).ended_with(2);
    let none = host.hoist(&["up"]).ended_with(2);
    assert!(none.stderr.contains("no stack file"), "{none}");
    let missing = host.hoist(&["up", "/nonsense/stack.yaml"]).ended_with(2);
    assert!(missing.stderr.contains("/nonsense/stack.yaml"), "{missing}");
    let _service = host.stack("cli").hoist(&["up", "-d", "nonsense"]).ended_with(2);
    let _agent = host.hoist(&["agent", "status"]).ended_with(1);
    assert!(host.hoist(&["version"]).success().stdout.starts_with("hoist version "));
    assert_eq!(host.stack("cli").hoist(&["ps", "-a", "--format", "json"]).success().stdout, "");
}

#[test]
fn a_stack_is_found_by_its_file_as_argument_here_or_above() {
    let Some(host) = Host::new() else { return };
    let stack = host.stack("cli");
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/cli");
    let root = stack.root().display().to_string();
    let binary = hoist_tests::host::binary().display().to_string();
    for words in [format!("cd {folder}"), format!("cd {folder}/../cli/ && cd .")] {
        let found = host.shell(&format!("{words} && {binary} --root {root} graph")).success();
        assert!(found.stdout.contains("\"cli\""), "{found}");
    }
    let argument = host.shell(&format!("{binary} --root {root} graph {folder}/gates.yaml")).success();
    assert!(argument.stdout.contains("\"gates\""), "{argument}");
}

#[test]
fn an_agent_with_instances_is_not_stopped_by_mistake() {
    let Some(host) = Host::new() else { return };
    let stack = host.stack("cli");
    stack.up(&["both"]).ok();
    let refused = stack.hoist(&["agent", "stop"]).ended_with(1);
    assert!(refused.stderr.contains("--force") || refused.stderr.contains("run"), "{refused}");
    assert_eq!(stack.instance("both").state, "running");
    stack.hoist(&["agent", "stop", "--force"]).ok();
    hoist_tests::eventually("all daemons have ended", hoist_tests::SOON, || {
        !stack.listing().kind("process").iter().any(|line| line.contains("hoist ") || line.contains("100000"))
    });
    stack.up(&["both"]).ok();
    assert_eq!(stack.instance("both").state, "running");
    stack.down().ok();
}
