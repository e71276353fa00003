//! The crate graph, held against `docs/crate-graph.txt`.
//!
//! The file lists the arrows that the architecture allows, so a new one shows in review as a changed line
//! there. A crate may use less than it is allowed.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;

use crate::metadata::{self, Package};
use crate::run::{Result, root};

const GOLDEN: &str = "docs/crate-graph.txt";
const HEADER: &str = "\
# Which crate may use which, and with [tests], which only its tests may use.
# `cargo xtask check` compares; `cargo xtask graph` prints what is.
";

pub(crate) fn print(arguments: &[String]) -> Result {
    let graph = render(&arrows(&metadata::read()?.packages));
    if arguments.iter().any(|argument| argument == "--write") {
        fs::write(root().join(GOLDEN), graph)?;
    } else {
        print!("{graph}");
    }
    Ok(())
}

pub(crate) fn check() -> Result {
    let golden = parse(&fs::read_to_string(root().join(GOLDEN))?);
    let actual = arrows(&metadata::read()?.packages);
    let new: Vec<&Arrow> = actual.difference(&golden).collect();
    if new.is_empty() {
        return Ok(());
    }
    let mut text = format!("arrows that {GOLDEN} doesn't have:\n");
    for arrow in new {
        writeln!(text, "  {} -> {}", arrow.from, arrow.to)?;
    }
    text.push_str("docs/architecture.md says which are meant; a new one needs a decision record.");
    Err(text.into())
}

/// The tests' arrows start from `crate[tests]`.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Arrow {
    from: String,
    to: String,
}

fn arrows(packages: &[Package]) -> BTreeSet<Arrow> {
    let short = |name: &str| name.strip_prefix("hoist-").unwrap_or(name).to_owned();
    let of_package = |package: &Package| {
        let from = short(&package.name);
        let tests_from = format!("{from}[tests]");
        let uses = package.uses.iter().map(move |to| Arrow { from: from.clone(), to: short(to) });
        let tests = package.tests_use.iter().map(move |to| Arrow { from: tests_from.clone(), to: short(to) });
        uses.chain(tests).collect::<Vec<_>>()
    };
    packages.iter().flat_map(of_package).collect()
}

fn render(arrows: &BTreeSet<Arrow>) -> String {
    let mut text = HEADER.to_owned();
    let froms: BTreeSet<&str> = arrows.iter().map(|arrow| arrow.from.as_str()).collect();
    for from in froms {
        let to = arrows.iter().filter(|arrow| arrow.from == from).map(|arrow| arrow.to.as_str());
        text.push_str(&format!("{from} -> {}\n", to.collect::<Vec<_>>().join(" ")));
    }
    text
}

fn parse(text: &str) -> BTreeSet<Arrow> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let split = lines.filter_map(|line| line.split_once(" -> "));
    let of_line = |(from, to): (&str, &str)| {
        let from = from.to_owned();
        to.split_whitespace().map(|to| Arrow { from: from.clone(), to: to.to_owned() }).collect::<Vec<_>>()
    };
    split.flat_map(of_line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_golden_file_reads_back_as_written() {
        let arrow = |from: &str, to: &str| Arrow { from: from.to_owned(), to: to.to_owned() };
        let graph =
            BTreeSet::from([arrow("a", "b"), arrow("a", "c"), arrow("a[tests]", "d"), arrow("c", "b")]);
        assert_eq!(parse(&render(&graph)), graph);
        assert!(render(&graph).ends_with("a -> b c\na[tests] -> d\nc -> b\n"));
    }
}
