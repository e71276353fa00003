//! Tests whose means are absent here say so by name.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;

/// Prints `skipped, because …` and appends the test's name and the reason to the file named in `HOIST_SKIPPED`.
///
/// # Panics
/// When that file can't be written.
pub fn skipped(why: &str) {
    let test = test_name();
    println!("skipped, because {why}: {test}");
    if let Some(file) = std::env::var_os("HOIST_SKIPPED") {
        let file = OpenOptions::new().create(true).append(true).open(file);
        file.and_then(|mut file| writeln!(file, "{test}: {why}"))
            .expect("the list of skipped tests can be written");
    }
}

/// What a test can't do without: root, and these programs.
#[must_use]
pub fn missing(programs: &[&str]) -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("it needs root".to_owned());
    }
    let absent: Vec<&str> = programs.iter().copied().filter(|program| !installed(program)).collect();
    (!absent.is_empty()).then(|| format!("not installed: {}", absent.join(" ")))
}

/// Whether a program is on the path, or where Debian keeps those for root.
#[must_use]
pub fn installed(program: &str) -> bool {
    let path = std::env::var("PATH").unwrap_or_default();
    let mut folders = path.split(':').chain(["/usr/sbin", "/sbin"]);
    folders.any(|folder| Path::new(folder).join(program).is_file())
}

/// The name of the test that runs: libtest gives its thread that name, nextest its environment.
fn test_name() -> String {
    let thread = std::thread::current().name().filter(|name| *name != "main").map(str::to_owned);
    thread.or_else(|| std::env::var("NEXTEST_TEST_NAME").ok()).unwrap_or_else(|| "a test".to_owned())
}
