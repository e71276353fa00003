//! Stack files from elsewhere: where their relative paths start, what they are called, and circles through them.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use expect_test::expect;
use hoist_stackfile::canonical::to_yaml;
use hoist_stackfile::{Dialect, MemoryReader, Remote, Source, Sources, explain, load};
use support::{lines, sources};

const PART: &str = "https://host/part.git#main:deploy";
const BASE: &str = "oci://registry.example/base:1";

fn remote(name: &str) -> Remote {
    Remote::parse(name).unwrap().unwrap()
}

fn reader(part: &str) -> MemoryReader {
    MemoryReader::default()
        .with_remote(remote(PART), "/cache/git/c0ffee/deploy/stack.yaml")
        .with_remote(remote(BASE), "/cache/oci/beef/compose.yaml")
        .with("/cache/git/c0ffee/deploy/stack.yaml", part)
        .with("/cache/git/c0ffee/deploy/.env", "TAG=16")
        .with("/cache/git/c0ffee/deploy/db.env", "FROM=part")
        .with("/cache/git/c0ffee/more.yaml", "services: { more: { image: more, volumes: [./m:/m] } }")
        .with("/cache/oci/beef/compose.yaml", "services: { base: { image: base, build: ./src } }")
}

const OWN: &str = r"
include: ['https://host/part.git#main:deploy']
services:
  web:
    image: web
    extends: { file: 'oci://registry.example/base:1', service: base }
    volumes: [./data:/data]
";

#[test]
fn relative_paths_start_beside_the_file_that_says_them() {
    let part = "include: [../more.yaml]\nservices:\n  db:\n    image: db:${TAG}\n    env_file: db.env\n    \
                extends: { file: 'oci://registry.example/base:1', service: base }\n    volumes: [./d:/d, ../e:/e]\n";
    let loaded = load(&sources(OWN), &reader(part)).map_err(|e| lines(&e)).unwrap();
    expect![[r#"
        name: p
        services:
          db:
            build:
              context: /cache/oci/beef/src
              dockerfile: Dockerfile
            environment:
              FROM: part
            image: db:16
            networks:
              default: null
            volumes:
            - type: bind
              source: /cache/git/c0ffee/deploy/d
              target: /d
              bind: {}
            - type: bind
              source: /cache/git/c0ffee/e
              target: /e
              bind: {}
          more:
            image: more
            networks:
              default: null
            volumes:
            - type: bind
              source: /cache/git/c0ffee/m
              target: /m
              bind: {}
          web:
            build:
              context: /cache/oci/beef/src
              dockerfile: Dockerfile
            image: web
            networks:
              default: null
            volumes:
            - type: bind
              source: /p/data
              target: /data
              bind: {}
        networks:
          default:
            name: p_default
    "#]]
    .assert_eq(&to_yaml(&loaded.project.canonical(Dialect::Yaml)));
    let explained = explain(&loaded.project, "services.db.image").unwrap().to_string();
    expect![[r#"
        services.db.image = "db:16"
          oci://registry.example/base:1:1:21: takes the place of `base`
          https://host/part.git#main:deploy:4:12: variables replaced in `db:${TAG}`
          https://host/part.git#main:deploy:4:12: TAG is `16`, from /cache/git/c0ffee/deploy/.env
          https://host/part.git#main:deploy:4:12: written here: db:${TAG}
    "#]]
    .assert_eq(&explained);
}

#[test]
fn a_stack_file_from_elsewhere_is_called_as_it_was_named() {
    let sources = Sources {
        files: vec![Source { path: PART.to_owned(), text: None }],
        project_dir: "/cache/git/c0ffee/deploy".to_owned(),
        name_folder: Some("/home/me/Work".to_owned()),
        ..sources("")
    };
    let loaded = load(&sources, &reader("services: { a: { image: x, volumes: [./v:/v] } }")).unwrap();
    assert_eq!(loaded.project.name, "work");
    assert_eq!(loaded.project.files, [PART]);
    let volumes = loaded.project.tree.at_path(&["services", "a", "volumes"]).unwrap();
    assert!(format!("{volumes:?}").contains("/cache/git/c0ffee/deploy/v"));
    let errors = load(&sources, &reader("services: { a: { imaeg: x } }")).unwrap_err();
    expect![[r#"
        https://host/part.git#main:deploy:1:18: error[unknown-key]: unknown key `imaeg` in services.a
    "#]]
    .assert_eq(&lines(&errors));
}

#[test]
fn a_circle_through_elsewhere_is_found() {
    let part = format!("include: ['{PART}']\n");
    let errors = load(&sources(OWN), &reader(&part)).unwrap_err();
    expect![[r#"
        error[include-cycle]: files include each other in a circle: /p/stack.yaml -> https://host/part.git#main:deploy -> https://host/part.git#main:deploy
         --> https://host/part.git#main:deploy:1:11
          |
        1 | include: ['https://host/part.git#main:deploy']
          |           ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ back to a file that is open
          |
         ::: /p/stack.yaml:2:11
          |
        2 | include: ['https://host/part.git#main:deploy']
          |           ----------------------------------- included here"#]].assert_eq(&errors[0].render(false));
}

#[test]
fn what_can_not_be_had_is_an_error_at_its_name() {
    let of = |name: &str| {
        let text = format!("include: ['{name}']\nservices: {{ a: {{ image: x }} }}\n");
        lines(&load(&sources(&text), &reader("")).unwrap_err())
    };
    let names = [
        "https://me:secret@host/none.git",
        "ext::sh -c id",
        "file:///srv/x.git",
        "https://host/x.git#--upload-pack=id",
        "https://host/x.git#main:../x",
    ];
    expect![[r#"
        /p/stack.yaml:1:11: error[remote-file]: https://me:***@host/none.git: there is no such thing
        /p/stack.yaml:1:11: error[remote-file]: ext::sh -c id: ext is not a protocol for files from elsewhere: https, http, ssh, git, git@HOST:PATH and oci are
        /p/stack.yaml:1:11: error[remote-file]: file:///srv/x.git: file is not a protocol for files from elsewhere: https, http, ssh, git, git@HOST:PATH and oci are
        /p/stack.yaml:1:11: error[remote-file]: https://host/x.git#--upload-pack=id: "--upload-pack=id" is not a branch, tag or commit
        /p/stack.yaml:1:11: error[remote-file]: https://host/x.git#main:../x: "../x" leads out of the repository
    "#]].assert_eq(&names.map(of).concat());
}
