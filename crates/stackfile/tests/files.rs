//! Several files: includes, extends, overrides, env files; what explains them.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use expect_test::{Expect, expect};
use hoist_stackfile::canonical::to_yaml;
use hoist_stackfile::{Dialect, MemoryReader, Project, Source, Sources, explain, lint, load};
use support::{lines, sources};

const BASE: &str = r"
x-hoist: { lints: { deny: [latest-tag], allow: [bind-path-missing] } }
services:
  web:
    extends: { file: common/base.yaml, service: base }
    image: nginx
    env_file: [web.env]
    environment:
      MODE: ${MODE:-dev}
      LEVEL: info
      DB_PASSWORD: a$b
    ports: ['8080:80']
    command: serve | tee log
    volumes: [./data:/data]
include: [part/compose.yaml]
";

const OVER: &str = "services:\n  web:\n    environment: [LEVEL=debug]\n    ports: ['9090:80']\n";

fn reader() -> MemoryReader {
    MemoryReader::default()
        .with("/p/common/base.yaml", "services:\n  base:\n    restart: always\n    volumes: [./logs:/logs]\n")
        .with(
            "/p/part/compose.yaml",
            "services:\n  db:\n    image: postgres:${PG}\n    volumes: [./db:/db]\n",
        )
        .with("/p/part/.env", "PG=16\n")
        .with("/p/web.env", "# a comment\nFROM_FILE=${MODE}-x\nLEVEL=file\n")
        .with("/p/.env", "MODE=prod\n")
}

fn project() -> (Project, Sources) {
    let mut sources = sources(BASE);
    sources.files.push(Source { path: "/p/over.yaml".to_owned(), text: Some(OVER.to_owned()) });
    let loaded = load(&sources, &reader()).map_err(|e| lines(&e)).unwrap();
    (loaded.project, sources)
}

#[test]
fn files_come_together() {
    let (project, _) = project();
    expect![[r#"
        name: p
        services:
          db:
            image: postgres:16
            networks:
              default: null
            volumes:
            - type: bind
              source: /p/part/db
              target: /db
              bind: {}
          web:
            command:
            - serve
            environment:
              DB_PASSWORD: a
              FROM_FILE: prod-x
              LEVEL: debug
              MODE: prod
            image: nginx
            networks:
              default: null
            ports:
            - mode: ingress
              target: 80
              published: '8080'
              protocol: tcp
            - mode: ingress
              target: 80
              published: '9090'
              protocol: tcp
            restart: always
            volumes:
            - type: bind
              source: /p/common/logs
              target: /logs
              bind: {}
            - type: bind
              source: /p/data
              target: /data
              bind: {}
        networks:
          default:
            name: p_default
        x-hoist:
          lints:
            deny:
            - latest-tag
            allow:
            - bind-path-missing
    "#]]
    .assert_eq(&to_yaml(&project.canonical(Dialect::Yaml)));
}

fn explained(path: &str, expected: &Expect) {
    expected.assert_eq(&explain(&project().0, path).unwrap().to_string());
}

#[test]
fn values_are_explained() {
    explained(
        "services.web.environment.MODE",
        &expect![[r#"
        services.web.environment.MODE = "prod"
          /p/stack.yaml:9:13: variables replaced in `${MODE:-dev}`
          /p/stack.yaml:9:13: MODE is `prod`, from /p/.env
          /p/stack.yaml:9:7: written here: MODE: ${MODE:-dev}
          /p/over.yaml:3:5: the collection around it was merged with this
    "#]],
    );
    explained(
        "services.web.environment.LEVEL",
        &expect![[r#"
        services.web.environment.LEVEL = "debug"
          /p/stack.yaml:10:7: takes the place of `LEVEL=info`
          /p/over.yaml:3:19: written here: LEVEL=debug
          /p/over.yaml:3:5: the collection around it was merged with this
    "#]],
    );
    explained(
        "services.web.environment.FROM_FILE",
        &expect![[r#"
            services.web.environment.FROM_FILE = "prod-x"
              /p/stack.yaml:7:16: read from /p/web.env:2
              /p/over.yaml:3:5: the collection around it was merged with this
        "#]],
    );
    explained(
        "services.web.volumes[0].source",
        &expect![[r#"
        services.web.volumes[0].source = "/p/common/logs"
          /p/common/base.yaml:4:15: made absolute from `common/logs`
          /p/common/base.yaml:4:15: made absolute from `./logs`
          /p/common/base.yaml:4:15: written here: ./logs:/logs
          /p/stack.yaml:14:14: the collection around it was merged with this
    "#]],
    );
    explained(
        "services.web.restart",
        &expect![[r#"
        services.web.restart = "always"
          /p/common/base.yaml:3:14: written here: always
    "#]],
    );
    explained(
        "services.db.image",
        &expect![[r#"
            services.db.image = "postgres:16"
              /p/part/compose.yaml:3:12: variables replaced in `postgres:${PG}`
              /p/part/compose.yaml:3:12: PG is `16`, from /p/part/.env
              /p/part/compose.yaml:3:12: written here: postgres:${PG}
        "#]],
    );
    explained(
        "networks.default.name",
        &expect![[r#"
        networks.default.name = "p_default"
          the default: nobody wrote it
    "#]],
    );
}

#[test]
fn lints_find_surprises_and_follow_the_file() {
    let (project, _) = project();
    expect![[r#"
        /p/stack.yaml:6:12: error[latest-tag]: `services.web`: the image `nginx` is not pinned to a version
        /p/over.yaml:4:13: warning[port-appended-by-override]: `services.web`: two host ports for the container port 80
        /p/stack.yaml:11:20: warning[unset-variable-in-secret]: `services.web`: `DB_PASSWORD` looks like a secret, and `$b` in it became empty
        /p/stack.yaml:13:14: warning[command-cut-at-operator]: `services.web`: `command` ends before `| tee log`
    "#]].assert_eq(&lines(&lint(&project, Vec::new(), &reader())));
}

#[test]
fn a_circle_of_includes_is_shown_whole() {
    let reader = MemoryReader::default()
        .with("/p/a.yaml", "include: [b.yaml]\nservices: {}\n")
        .with("/p/b.yaml", "include: [a.yaml]\nservices: {}\n");
    let errors = load(&sources("include: [a.yaml]\nservices: {}\n"), &reader).unwrap_err();
    expect![[r#"
        error[include-cycle]: files include each other in a circle: /p/stack.yaml -> /p/a.yaml -> /p/b.yaml -> /p/a.yaml
         --> /p/b.yaml:1:11
          |
        1 | include: [a.yaml]
          |           ^^^^^^ back to a file that is open
          |
         ::: /p/a.yaml:1:11
          |
        1 | include: [b.yaml]
          |           ------ included here
          |
         ::: /p/stack.yaml:1:11
          |
        1 | include: [a.yaml]
          |           ------ included here"#]].assert_eq(&errors[0].render(false));
}

#[test]
fn a_circle_of_extends_is_shown_whole() {
    let text = "services:\n  a:\n    image: x\n    extends: b\n  b:\n    extends: {service: a}\n";
    let errors = load(&sources(text), &MemoryReader::default()).unwrap_err();
    expect![[r#"
        error[extends-cycle]: services extend each other in a circle: a -> b -> a
         --> /p/stack.yaml:4:14
          |
        4 |     extends: b
          |              ^ `a` extends from here
        5 |   b:
        6 |     extends: {service: a}
          |              ------------ `b` extends from here"#]]
    .assert_eq(&errors[0].render(false));
}

#[test]
fn an_error_in_an_env_file_is_shown_there() {
    let reader = MemoryReader::default().with("/p/web.env", "GOOD=1\nBAD NAME=2\n");
    let text = "services:\n  a:\n    image: x\n    env_file: web.env\n";
    expect![[r#"
        error[invalid-env-file]: the name `BAD NAME` contains a space
         --> /p/web.env:2:1
          |
        2 | BAD NAME=2
          | ^^^^^^^^^^
          |
         ::: /p/stack.yaml:4:15
          |
        4 |     env_file: web.env
          |               ------- read from here"#]]
    .assert_eq(&load(&sources(text), &reader).unwrap_err()[0].render(false));
}

#[test]
fn an_override_that_can_not_merge_shows_both_ends() {
    let mut sources = sources("services:\n  a:\n    image: x\n    healthcheck: {test: [CMD, x]}\n");
    let over = "services:\n  a:\n    healthcheck: none\n";
    sources.files.push(Source { path: "/p/over.yaml".to_owned(), text: Some(over.to_owned()) });
    expect![[r#"
        error[cannot-merge]: `services.a.healthcheck`: a string can't override a mapping
         --> /p/over.yaml:3:5
          |
        3 |     healthcheck: none
          |     ^^^^^^^^^^^ this
          |
         ::: /p/stack.yaml:4:5
          |
        4 |     healthcheck: {test: [CMD, x]}
          |     ----------- can't be merged into this"#]]
    .assert_eq(&load(&sources, &MemoryReader::default()).unwrap_err()[0].render(false));
}

#[test]
fn a_reset_beside_a_merge_key_clears_earlier_files_and_leaves_the_merged_value() {
    let base = "services: {web: {image: x, dns: [1.1.1.1], expose: ['80']}}\n";
    let over = "x-b: &b {expose: ['90'], dns: [2.2.2.2]}\nservices: {web: {<<: *b, expose: !reset [], cap_add: !reset []}}\n";
    let mut sources = sources(base);
    sources.files.push(Source { path: "/p/over.yaml".to_owned(), text: Some(over.to_owned()) });
    let project = load(&sources, &MemoryReader::default()).map_err(|e| lines(&e)).unwrap().project;
    let shown = to_yaml(&project.canonical(Dialect::Yaml));
    assert!(
        shown.contains("expose:\n    - '90'\n") && shown.contains("- 1.1.1.1\n    - 2.2.2.2\n"),
        "{shown}"
    );
}
