//! Builds on a terminal.

use std::fs;

use hoist_tests::{Host, LATER, SOON, eventually};

const STACK: &str = r#"
x-build: &build { context: web }
services:
  one: { build: *build }
  two: { build: { context: web, args: { WHICH: "2" } } }
  three: { build: { context: web, args: { WHICH: "3" } } }
  four: { build: { context: web, args: { WHICH: "4" } } }
"#;

const DOCKERFILE: &str = r#"FROM scratch
ARG WHICH=1
COPY busybox /bin/busybox
RUN ["/bin/busybox", "sh", "-c", "echo a line that is far too long for a terminal of so few columns; busybox sleep 2"]
RUN ["/bin/busybox", "sh", "-c", "for n in $(busybox seq 50); do echo said-$n; done; busybox test $WHICH != 3"]
"#;

#[test]
fn running_steps_have_a_clock_and_fit_the_terminal() {
    let Some(host) = Host::with(&["busybox"]) else { return };
    let (folder, _kept) = super::project(&host, "live");
    fs::write(folder.join("stack.yaml"), STACK).unwrap();
    fs::write(folder.join("web/Dockerfile"), DOCKERFILE).unwrap();
    let stack = host.stack(folder.to_str().unwrap());
    let (build, terminal) = host.start_on_terminal(stack.command(&["build"]));
    terminal.resize(60, 5);
    terminal.wait_for("a line that", LATER);
    // The step says nothing more; the clock goes on.
    eventually("the clock ticks", SOON, || {
        let screen = terminal.screen();
        ["0.5 s", "0.9 s", "1.3 s"].iter().filter(|time| screen.contains(**time)).count() >= 2
            || ["1.0 s", "1.1 s", "1.2 s", "1.4 s", "1.5 s"]
                .iter()
                .filter(|time| screen.contains(**time))
                .count()
                >= 3
    });
    let failed = build.finish(LATER);
    assert_eq!(failed.code, 1);
    eventually("all has been read", SOON, || terminal.screen().contains("can't be built"));
    let screen = terminal.screen();
    assert!(screen.contains("and 2 more"), "four steps on five rows: {screen}");
    // What is drawn anew begins with the way up, and no line of it wraps.
    for block in screen.split("\x1b[").filter(|block| block.starts_with('J')) {
        let lines: Vec<&str> =
            block[1..].lines().filter(|line| line.contains(" s  a line") || line.contains(" more")).collect();
        assert!(lines.len() <= 3, "{lines:?}");
        assert!(lines.iter().all(|line| line.trim_end().chars().count() < 60), "{lines:?}");
    }
    let once = |text: &str| screen.matches(&format!("three    {text}\r\n")).count();
    assert_eq!(
        (once("said-50"), once("said-31"), once("said-30")),
        (1, 1, 0),
        "the last 20 lines, once: {screen}"
    );
}
