//! Stack files and build contexts from elsewhere: Git repositories, registries, the web; and what they may not do.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod artifacts;
mod cache;
mod contexts;
mod hostile;
mod site;

use std::fs;

use hoist_tests::{Host, SOON, eventually};
use site::{PROGRAMS, SHOP, Site};

#[test]
fn a_stack_of_a_repository_comes_up_with_all_that_is_beside_its_file() {
    let Some(host) = Host::with(&PROGRAMS) else { return };
    let site = Site::start(&host);
    let stack = site.stack(&format!("{SHOP}#main:deploy"));
    let up = stack.up(&[]);
    let checkout = site.path("cache/hoist/git").join(site.commit("shop", "main"));
    assert!(up.stderr.contains(&format!("are in {}/deploy", checkout.display())), "{up}");
    let said = "a motto\na page of the repository\ngit\n";
    eventually("web has read its files", SOON, || stack.logs("web") == said);
    eventually("db has read its own", SOON, || stack.logs("db") == "services:\n");
    assert_eq!(
        stack.ps().iter().map(|row| row.name.as_str()).collect::<Vec<_>>(),
        ["shop-db-1", "shop-web-1"]
    );

    let work = site.path("work/shop").display().to_string();
    host.shell(&format!(
        "set -e; cd {work}; echo another motto > deploy/motto
         git -c user.name=a -c user.email=a@example.org commit -qam two; git push -q {at}/served/shop.git main",
        at = host.folder().display()
    ))
    .ok();
    stack.up(&[]);
    let said = "another motto\na page of the repository\ngit\n";
    eventually("web has read the new commit", SOON, || stack.logs("web").ends_with(said));
    stack.down();
    assert!(stack.ps().is_empty());
}

#[test]
fn every_kind_of_name_means_its_commit_and_its_file_by_both_protocols() {
    let Some(host) = Host::with(&PROGRAMS) else { return };
    let site = Site::start(&host);
    let (first, main) = (site.commit("shop", "v1"), site.commit("shop", "main"));
    for repository in [SHOP, "http://127.0.0.1:8081/shop.git"] {
        let of = |rest: &str| site.services(&format!("{repository}{rest}")).success().text().to_owned();
        assert_eq!(of(""), "top", "the repository's own branch and file");
        assert_eq!(of("#main:after.yaml"), "tagged");
        assert_eq!(of("#deep/main"), "deep", "a branch that ends like another");
        assert_eq!(of("#pull/7/head"), "deep");
        assert_eq!(of(&format!("#{main}:after.yaml")), "tagged");
        assert_eq!(of(&format!("#{}:after.yaml", &main[..9])), "tagged");
        assert_eq!(of("?ref=main&subdir=deploy"), "db\nweb");
        let pinned = site.services(&format!("{repository}?ref=main&commit={}", &first[..8])).ended_with(2);
        assert!(pinned.stderr.contains(&format!("at commit {main}, not {}", &first[..8])), "{pinned}");
        // A tag is not what was committed after it.
        site.refused(&format!("{repository}#v1:after.yaml"), "it has no \"after.yaml\"");
        site.refused(&format!("{repository}#none"), "it has no branch, tag or commit \"none\"");
        site.refused(&format!("{repository}#abcdef0"), "it has no branch, tag or commit \"abcdef0\"");
        site.refused(&format!("{repository}#main:parts"), "it has no stack file in \"parts\"");
        fs::remove_dir_all(site.path("cache")).unwrap();
    }
    let joined = site.stack("http://127.0.0.1:8081/smart/joined.git").hoist(&["-p", "x", "config"]).success();
    assert!(joined.stdout.contains("NOTE: of a submodule"), "{joined}");
}

#[test]
fn a_local_file_includes_and_extends_what_is_elsewhere() {
    let Some(host) = Host::with(&PROGRAMS) else { return };
    let site = Site::start(&host);
    let own = site.write(
        "stack.yaml",
        &format!(
            "include: ['{SHOP}#main:deploy', {{ path: ['{SHOP}', over.yaml], project_directory: sub }}]
services:
  own: {{ extends: {{ file: '{SHOP}#main:parts/base.yaml', service: base }}, volumes: ['./v:/v'] }}\n"
        ),
    );
    site.write("over.yaml", "services: { top: { volumes: ['./w:/w'] } }");
    let stack = site.stack(&own);
    let config = stack.hoist(&["config"]).success();
    let (checkout, home) = (site.commit("shop", "main"), site.path("home").display().to_string());
    for part in [
        format!("{checkout}/deploy/data"),
        format!("{home}/v"),
        format!("{home}/sub/w"),
        "name: home".to_owned(),
    ] {
        assert!(config.stdout.contains(&part), "{part} is not in {config}");
    }
    let explained = stack.hoist(&["config", "explain", "services.web.configs[0].target"]).success();
    assert!(explained.stdout.contains(&format!("{SHOP}#main:deploy:8:")), "{explained}");

    let circle = site.services(&format!("{SHOP}#main:circle.yaml")).ended_with(2);
    assert!(circle.stderr.contains("files include each other in a circle: http://127"), "{circle}");
    let absent = site.write("absent.yaml", "include: ['http://127.0.0.1:8081/smart/none.git']\n");
    site.refused(&absent, "git says: ");
    let web = site.write("web.yaml", "include: ['http://127.0.0.1:8081/stack.yaml']\n");
    site.refused(&web, "a stack file can't be read from the web alone");
}

#[test]
fn the_folder_of_the_command_names_a_stack_from_elsewhere_and_has_its_variables() {
    let Some(host) = Host::with(&PROGRAMS) else { return };
    let site = Site::start(&host);
    host.shell(&format!(
        "set -e; cd {at}/work/shop; echo TAG=theirs > .env; echo 'services: {{ a: {{ image: \"x:$TAG\" }} }}' > env.yaml
         git add -A; git -c user.name=a -c user.email=a@example.org commit -qm env; git push -q {at}/served/shop.git main",
        at = host.folder().display()
    ))
    .ok();
    site.write(".env", "TAG=mine");
    let mut command = site.stack(&format!("{SHOP}#main:env.yaml")).command(&["config"]);
    command.current_dir(site.path("home"));
    let config = host.run_for(command, SOON).success();
    assert!(config.stdout.contains("name: home") && config.stdout.contains("image: x:mine"), "{config}");
    let own = site.write("stack.yaml", &format!("include: ['{SHOP}#main:env.yaml']"));
    let config = site.stack(&own).with("TAG", "").hoist(&["--env-file", "/dev/null", "config"]).success();
    assert!(config.stdout.contains("image: 'x:'") || config.stdout.contains("image: x:"), "{config}");
    let config = site.stack(&own).hoist(&["--env-file", "/dev/null", "config"]).success();
    assert!(config.stdout.contains("image: x:theirs"), "an included part has its own: {config}");
}
