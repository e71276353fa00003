//! Build contexts from elsewhere: repositories that the command checks out, archives and files that the agent fetches.

use hoist_tests::{Host, SOON, eventually};

use crate::site::{PROGRAMS, SHOP, Site};

#[test]
fn a_folder_of_a_repository_is_a_context_and_the_same_commit_is_not_built_again() {
    let Some(host) = Host::with(&PROGRAMS) else { return };
    let site = Site::start(&host);
    let text = format!(
        r#"
name: built
services:
  app: {{ build: '{SHOP}#main:app', stop_grace_period: 1s, init: true }}
  more:
    build:
      context: '{SHOP}#main:app'
      additional_contexts: {{ app: 'service:app', note: 'http://127.0.0.1:8081/smart/joined.git' }}
      dockerfile_inline: |
        FROM app
        COPY --from=note note/note /note
        CMD ["/bin/busybox", "sh", "-c", "busybox cat /note; exec busybox sleep 100000"]
    stop_grace_period: 1s
    init: true
"#
    );
    let stack = site.stack(&site.write("stack.yaml", &text));
    stack.up(&[]);
    let listed = ".dockerignore\nLeak\nbusybox\npage\npage one\n";
    eventually("app shows its files", SOON, || stack.logs("app") == listed);
    eventually("more shows the submodule's", SOON, || stack.logs("more") == "NOTE=of a submodule\n");
    let again = stack.up(&["--build"]);
    assert!(again.stderr.contains("built built-app:latest, all cached"), "{again}");
    stack.down();
}

const WEB: &str = r"
name: built
services:
  app: { build: 'http://127.0.0.1:8081/app.tgz', stop_grace_period: 1s, init: true }
  lone:
    profiles: [lone]
    build:
      context: http://127.0.0.1:8081/Lone
      additional_contexts: { plain: 'http://127.0.0.1:8081/plain.tar' }
";

/// Packs the context anew, its files with this time.
fn pack(site: &Site<'_>, time: &str) {
    site.host
        .shell(&format!(
            "set -e; cd {}; touch -d {time} work/shop/app/page; tar -C work/shop/app -czf served/app.tgz .
             tar -C work/shop/app -cf served/plain.tar page
             printf 'FROM scratch\\nCOPY --from=plain page /page\\n' > served/Lone",
            site.host.folder().display()
        ))
        .ok();
}

#[test]
fn an_archive_of_the_web_is_a_context_and_the_same_content_is_not_built_again() {
    let Some(host) = Host::with(&PROGRAMS) else { return };
    let mut site = Site::start(&host);
    let stack = site.stack(&site.write("stack.yaml", WEB));
    pack(&site, "2001-01-01");
    stack.up(&[]);
    let listed = ".dockerignore\nLeak\nbusybox\npage\npage one\n";
    eventually("app shows its files", SOON, || stack.logs("app") == listed);
    pack(&site, "2002-02-02");
    let again = stack.hoist(&["build"]).success();
    assert!(again.stderr.contains("built built-app:latest, all cached"), "only times are new: {again}");
    std::fs::write(site.path("work/shop/app/page"), "page two\n").unwrap();
    pack(&site, "2002-02-02");
    let changed = stack.hoist(&["build"]).success();
    assert!(changed.stderr.contains("steps, 1 cached"), "{changed}");
    stack.hoist(&["build", "lone"]).ok();
    stack.down();

    let none = "name: x\nservices: { a: { build: 'http://127.0.0.1:8081/plain.tar' } }\n";
    let none = site.stack(&site.write("none.yaml", none)).hoist(&["build"]).ended_with(1);
    assert!(none.stderr.contains("plain.tar has no Dockerfile"), "{none}");
    let leak = "name: x\nservices: { a: { build: { context: 'http://127.0.0.1:8081/app.tgz', dockerfile: Leak } } }\n";
    let leak = site.stack(&site.write("leak.yaml", leak)).hoist(&["build"]).ended_with(1);
    assert!(leak.stderr.contains("has no Leak") && !leak.stderr.contains("SECRET"), "{leak}");
    site.stop();
    let gone = stack.hoist(&["build"]).ended_with(1);
    assert!(gone.stderr.contains("http://127.0.0.1:8081/app.tgz can't be fetched"), "{gone}");
}
