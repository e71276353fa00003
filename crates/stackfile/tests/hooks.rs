//! What a file declares of an instance's life, as the planner gets it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use expect_test::expect;
use hoist_model::{Command, Condition, ImageSource, NetworkMode};
use std::time::Duration;
use support::{lines, lower_text};

const HOOKS: &str = r#"
name: shop
services:
  web:
    image: web:1
    user: app
    ports: ["80:80"]
    container_name: site
    environment: { A: "1" }
    volumes: ["data:/data"]
    depends_on: [db]
    networks: { default: { ipv4_address: 10.9.0.7 } }
    pre_start:
      - command: ["./manage.py", "migrate"]
        environment: { B: "2" }
      - { image: "busybox", command: "chown -R 1000 /data", user: root }
    post_start:
      - command: "warm up --all"
        user: root
        privileged: true
        working_dir: /srv
        environment: ["C=3"]
    pre_stop:
      - command: [flush]
  db: { image: db }
networks: { default: { ipam: { config: [{ subnet: 10.9.0.0/24 }] } } }
volumes: { data: {} }
"#;

#[test]
fn hooks_are_commands_and_steps_are_services() {
    let lowered = lower_text(HOOKS).unwrap();
    assert_eq!(lines(&lowered.warnings), "");
    let stack = lowered.stack;
    let web = &stack.services["web"];
    let [warm] = &web.hooks.post_start[..] else { panic!("{:?}", web.hooks) };
    assert_eq!(warm.command, ["warm", "up", "--all"]);
    assert_eq!(
        (warm.user.as_deref(), warm.privileged, warm.working_dir.as_deref()),
        (Some("root"), true, Some("/srv"))
    );
    assert_eq!(warm.environment["C"].value, "3");
    assert_eq!(web.hooks.pre_stop[0].command, ["flush"]);

    let names: Vec<&str> = stack.services.keys().map(hoist_model::ServiceName::as_str).collect();
    assert_eq!(names, ["db", "web", "web-pre-start-1", "web-pre-start-2"]);
    let (first, second) = (&stack.services["web-pre-start-1"], &stack.services["web-pre-start-2"]);
    assert_eq!(first.command, Command::Given(vec!["./manage.py".to_owned(), "migrate".to_owned()]));
    assert_eq!(first.environment.keys().map(String::as_str).collect::<Vec<_>>(), ["A", "B"]);
    assert_eq!((first.user.as_deref(), second.user.as_deref()), (Some("app"), Some("root")));
    assert_eq!(second.image, ImageSource::Reference("busybox".to_owned()));
    for step in [first, second] {
        assert!(
            step.ports.is_empty() && step.container_name.is_none() && step.mounts == web.mounts,
            "{step:?}"
        );
        assert!(step.networks.values().all(|at| *at == hoist_model::Attachment::default()), "{step:?}");
        assert_eq!(step.network_mode, NetworkMode::Own);
        assert!(
            step.depends_on.contains_key("db")
                && step.step_of.as_ref().is_some_and(|of| of.as_str() == "web")
        );
    }
    let completed = |service: &hoist_model::Service, on: &str| service.depends_on[on].condition;
    assert_eq!(completed(second, "web-pre-start-1"), Condition::ServiceCompletedSuccessfully);
    assert_eq!(completed(web, "web-pre-start-2"), Condition::ServiceCompletedSuccessfully);
}

#[test]
fn what_a_hook_cannot_be_is_an_error_at_its_line() {
    let text = "services:\n  a:\n    image: x\n    deploy: { replicas: 2 }\n    post_start:\n      - command: []\n    pre_start:\n      - { command: b, per_replica: true }\n  a-pre-start-1: { image: x }\n";
    expect![[r#"
        /p/stack.yaml:6:9: error[invalid-hook]: `services.a`: this `post_start` hook has no command
        /p/stack.yaml:8:23: error[not-supported-yet]: `services.a`: `per_replica` is not supported: a `pre_start` step runs once for all replicas
    "#]].assert_eq(&lines(&lower_text(text).unwrap_err()));
}

#[test]
fn a_drain_is_a_time_or_until_idle() {
    let drain = |text: &str| {
        let text = format!("services:\n  a:\n    image: x\n    x-hoist: {{ drain: {text} }}\n");
        lower_text(&text).map(|lowered| lowered.stack.services["a"].rollout.drain)
    };
    assert_eq!(drain("20s").unwrap(), Duration::from_secs(20));
    assert_eq!(drain("until-idle").unwrap(), Duration::from_secs(3600));
    assert_eq!(drain("{ until-idle: 10m }").unwrap(), Duration::from_secs(600));
    let text: String = ["until", "{ until-idle: soon }", "{ until_idle: 1m }"]
        .map(|text| lines(&drain(text).unwrap_err()))
        .concat();
    expect![[r#"
        /p/stack.yaml:4:16: error[invalid-value]: `services.a`: `x-hoist.drain: until` is no duration, such as 10s
        /p/stack.yaml:4:25: error[invalid-value]: `services.a`: `x-hoist.drain.until-idle: soon` is no duration, such as 10s
        /p/stack.yaml:4:25: error[unknown-key]: unknown key `until_idle` in services.a.x-hoist.drain
        /p/stack.yaml:4:16: error[missing-key]: `services.a.x-hoist.drain` has no `until-idle`, which x-hoist.drain needs
    "#]].assert_eq(&text);
}
