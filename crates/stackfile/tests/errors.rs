//! Errors people can act on: the place, both ends of a conflict, a suggestion.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use expect_test::expect;
use std::collections::BTreeSet;
use support::{lines, load_text};

/// Malformed files, each with an error of its own.
const MALFORMED: &[&str] = &[
    "services:\n  web:\n    image: [a\n",
    "services:\n  web:\n    imaeg: nginx\n",
    "services:\n  web:\n    image: nginx\n    image: apache\n",
    "services:\n  web:\n    image: 5\n",
    "services: [web]\n",
    "- web\n",
    "services:\n  web:\n    ports: [\"80:80\"]\n",
    "services:\n  web:\n    image: x\n    ports: [\"99999:80\"]\n",
    "services:\n  web:\n    image: x\n    volumes: [\"data:/data\"]\n",
    "services:\n  web:\n    image: x\n    volumes: [\":/data\"]\n",
    "services:\n  web:\n    image: x\n    networks: [back]\n",
    "services:\n  web:\n    image: x\n    depends_on: [db]\n",
    "services:\n  a: {image: x, depends_on: [b]}\n  b: {image: x, depends_on: [a]}\n",
    "services:\n  web:\n    image: ${IMAGE:?set it}\n",
    "services:\n  web:\n    image: ${IMAGE\n",
    "services:\n  web:\n    image: x\n    healthcheck: {interval: soon}\n",
    "services:\n  web:\n    image: x\n    mem_limit: lots\n",
    "services:\n  web:\n    image: x\n    env_file: missing.env\n",
    "services:\n  web:\n    extends: web2\n",
    "services:\n  web:\n    image: x\n    command: echo 'a\n",
    "services:\n  web:\n    image: x\n    network_mode: host\n    networks: [default]\n",
    "services:\n  web:\n    image: x\n    privileged: perhaps\n",
    "services:\n  web:\n    image: *nothing\n",
    "include: [other.yaml]\nservices: {}\n",
    "include: [\"oci://registry.example/stack:1\"]\nservices: {}\n",
    "services:\n  web:\n    image: x\n    deploy: {replicas: -1}\n",
];

#[test]
fn malformed_files_give_distinct_errors_with_their_place() {
    let mut seen = BTreeSet::new();
    let mut all = String::new();
    for text in MALFORMED {
        let findings = load_text(text).expect_err(text);
        let first = &findings[0];
        assert!(first.labels[0].line > 0, "{text}");
        assert!(seen.insert(first.message.clone()), "{text}: {}", first.message);
        all += &format!("{first}\n");
    }
    expect![[r#"
        /p/stack.yaml:3:12: error[yaml-syntax]: invalid YAML: this bracket is never closed: `]` is missing
        /p/stack.yaml:3:5: error[unknown-key]: unknown key `imaeg` in services.web
        /p/stack.yaml:4:5: error[duplicate-key]: the key `image` is given twice
        /p/stack.yaml:3:12: error[wrong-type]: `services.web.image` must be a string, not an integer
        /p/stack.yaml:1:1: error[wrong-type]: `services` must be a mapping
        /p/stack.yaml:1:1: error[not-a-mapping]: a stack file is a mapping, not a list
        /p/stack.yaml:2:3: error[missing-image]: the service `web` has neither `image` nor `build`
        /p/stack.yaml:4:13: error[invalid-port]: `services.web.ports[0]`: invalid host port `99999`
        /p/stack.yaml:4:15: error[undefined-reference]: the service `web` uses the volume `data`, which is not defined
        /p/stack.yaml:4:15: error[invalid-item]: `services.web.volumes[0]`: `:/data`: nothing between two colons
        /p/stack.yaml:4:16: error[undefined-reference]: the service `web` uses the network `back`, which is not defined
        /p/stack.yaml:4:18: error[undefined-reference]: the service `web` uses the service `db`, which is not defined
        /p/stack.yaml:2:30: error[dependency-cycle]: services depend on each other in a circle: a -> b -> a
        /p/stack.yaml:3:12: error[required-variable]: `services.web.image`: the required variable `IMAGE` is not set: set it
        /p/stack.yaml:3:12: error[invalid-template]: `services.web.image`: invalid variable expression
        /p/stack.yaml:4:29: error[invalid-value]: `services.web.healthcheck.interval`: `soon` is not a duration: expected numbers with units, for instance `1m30s`
        /p/stack.yaml:4:16: error[invalid-value]: `services.web.mem_limit`: `lots` is not a size: expected a number and a unit, for instance `512m` or `1.5g`
        /p/stack.yaml:4:15: error[file-not-found]: there is no env file /p/missing.env
        /p/stack.yaml:3:14: error[unknown-service]: `extends`: there is no service `web2` in /p/stack.yaml
        /p/stack.yaml:4:14: error[invalid-value]: `services.web.command`: a quote or parenthesis in this command is never closed
        /p/stack.yaml:4:5: error[exclusive-keys]: `services.web`: `network_mode` and `networks` exclude each other
        /p/stack.yaml:4:17: error[wrong-type]: `services.web.privileged`: `perhaps` is not a boolean: expected true or false
        /p/stack.yaml:3:12: error[unknown-anchor]: unknown anchor: no `&nothing` comes before this alias
        /p/stack.yaml:1:11: error[file-not-found]: can't read /p/other.yaml: entity not found
        /p/stack.yaml:1:11: error[remote-file]: oci://registry.example/stack:1: there is no such thing
        /p/stack.yaml:4:24: error[out-of-range]: `services.web.deploy.replicas` is below zero
    "#]].assert_eq(&all);
}

#[test]
fn all_errors_of_a_file_at_once() {
    let text =
        "services:\n  web:\n    imaeg: nginx\n    ports: 80\n    image: ${X:?no x}\n  db:\n    image: 5\n";
    expect![[r#"
        /p/stack.yaml:5:12: error[required-variable]: `services.web.image`: the required variable `X` is not set: no x
        /p/stack.yaml:3:5: error[unknown-key]: unknown key `imaeg` in services.web
        /p/stack.yaml:4:12: error[wrong-type]: `services.web.ports` must be a list, not an integer
        /p/stack.yaml:7:12: error[wrong-type]: `services.db.image` must be a string, not an integer
    "#]].assert_eq(&lines(&load_text(text).unwrap_err()));
}

#[test]
fn a_finding_shows_its_lines() {
    let text = "services:\n  a: {image: x, depends_on: [b]}\n  b:\n    image: ü\n    depends_on: [a]\n";
    expect![[r#"
        error[dependency-cycle]: services depend on each other in a circle: a -> b -> a
         --> /p/stack.yaml:2:30
          |
        2 |   a: {image: x, depends_on: [b]}
          |                              ^ `a` depends on `b`
        ...
        5 |     depends_on: [a]
          |                  - `b` depends on `a`"#]]
    .assert_eq(&load_text(text).unwrap_err()[0].render(false));
    let text = "services:\n  wéb:\n    image: x\n    enviroment: {}\n";
    let findings = load_text(&text.replace('é', "e")).unwrap_err();
    expect![[r#"
        error[unknown-key]: unknown key `enviroment` in services.web
         --> /p/stack.yaml:4:5
          |
        4 |     enviroment: {}
          |     ^^^^^^^^^^
          |
          = help: did you mean `environment`?"#]]
    .assert_eq(&findings[0].render(false));
    let json = serde_json::to_string_pretty(&findings).unwrap();
    expect![[r#"
        [
          {
            "severity": "error",
            "code": "unknown-key",
            "message": "unknown key `enviroment` in services.web",
            "labels": [
              {
                "file": "/p/stack.yaml",
                "line": 4,
                "column": 5,
                "end_line": 4,
                "end_column": 15,
                "text": ""
              }
            ],
            "help": "did you mean `environment`?"
          }
        ]"#]]
    .assert_eq(&json);
}
