//! Modules of a crate don't need each other in circles: whoever reads one reads it without those that use it.
//!
//! What counts: a module is a file, and it needs another when its code names something that is defined there, in a
//! `use` or by a path; a name that is passed on (`pub use`) leads to where it is defined. A file and those below it
//! (`layer/mod.rs`, `layer/tar.rs`) are read together: what they use of each other doesn't count. Neither does
//! `mod name;`, `pub use` alone, a call of a method, or anything in tests.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Display, Write as _};
use std::fs;

use petgraph::algo::tarjan_scc;
use petgraph::graphmap::DiGraphMap;

use crate::metadata;
use crate::modules::{self, Module, Name};
use crate::run::{Result, root};

/// Circles from before this was checked: each may get smaller or go, and none may join them.
const KNOWN: &str = "docs/module-circles.txt";
const HEADER: &str = "\
# Modules that still need each other in circles, a circle in each line; `x::*` is every module of folder x. `cargo xtask
# check` lets no other one in, and `cargo xtask circles --write` takes out what was broken up.
";

/// Prints all there are, or writes their list.
pub(crate) fn print(arguments: &[String]) -> Result {
    let circles = of_workspace()?;
    if arguments.iter().any(|argument| argument == "--write") {
        let text = fs::read_to_string(root().join(KNOWN))?;
        fs::write(root().join(KNOWN), format!("{HEADER}{}", list(&circles, &text)))?;
    } else {
        circles.iter().for_each(|circle| print!("{circle}"));
    }
    Ok(())
}

pub(crate) fn check() -> Result {
    compare(&of_workspace()?, &fs::read_to_string(root().join(KNOWN))?)
}

/// A line of the list: which circles it allows.
struct Known<'a> {
    line: &'a str,
    package: &'a str,
    modules: BTreeSet<&'a str>,
}

impl Known<'_> {
    fn covers(&self, circle: &Circle) -> bool {
        let has = |module: &String| {
            let all = module.rsplit_once("::").map(|(folder, _)| format!("{folder}::*"));
            self.modules.contains(&**module) || all.is_some_and(|all| self.modules.contains(&*all))
        };
        self.package == circle.package && circle.modules.iter().all(has)
    }
}

fn known(text: &str) -> Vec<Known<'_>> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let parts =
        lines.filter_map(|line| line.split_once(": ").map(|(package, modules)| (line, package, modules)));
    parts
        .map(|(line, package, modules)| Known { line, package, modules: modules.split(' ').collect() })
        .collect()
}

/// Lines that allow a circle that is still there, and a line for each one that none allows.
fn list(circles: &[Circle], text: &str) -> String {
    let known = known(text);
    let kept = known.iter().filter(|known| circles.iter().any(|circle| known.covers(circle)));
    let new = circles.iter().filter(|circle| !known.iter().any(|known| known.covers(circle)));
    let lines: BTreeSet<String> =
        kept.map(|known| known.line.to_owned()).chain(new.map(Circle::line)).collect();
    lines.into_iter().map(|line| line + "\n").collect()
}

/// Holds circles against the list of those that are known.
fn compare(circles: &[Circle], text: &str) -> Result {
    let known = known(text);
    let mut text = String::new();
    for circle in circles.iter().filter(|circle| !known.iter().any(|known| known.covers(circle))) {
        write!(text, "{circle}")?;
    }
    if text.is_empty() { Ok(()) } else { Err(text.into()) }
}

fn of_workspace() -> Result<Vec<Circle>> {
    let mut all = Vec::new();
    for package in metadata::read()?.packages {
        let sources = package.manifest.with_file_name("src");
        let roots = ["lib.rs", "main.rs"].map(|root| sources.join(root));
        for root in roots.iter().filter(|root| root.exists()) {
            all.extend(circles(&package.name, &modules::read(root)?));
        }
    }
    Ok(all)
}

/// Modules of a crate that need each other.
#[derive(Debug)]
struct Circle {
    package: String,
    modules: BTreeSet<String>,
    /// Who needs whom for what.
    arrows: Vec<String>,
}

impl Circle {
    fn line(&self) -> String {
        let modules: Vec<&str> = self.modules.iter().map(String::as_str).collect();
        format!("{}: {}", self.package, modules.join(" "))
    }
}

impl Display for Circle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: modules need each other in a circle:\n  {}", self.package, self.arrows.join("\n  "))
    }
}

fn circles(package: &str, modules: &BTreeMap<Name, Module>) -> Vec<Circle> {
    let mut arrows: BTreeMap<Arrow, BTreeSet<String>> = BTreeMap::new();
    for (at, module) in modules {
        for (to, path) in needs(modules, at, module).into_iter().filter(|(to, _)| !above(at, to)) {
            arrows.entry((at.clone(), to)).or_default().insert(path.join("::"));
        }
    }
    let graph: DiGraphMap<&[String], ()> =
        arrows.keys().map(|(from, to)| (from.as_slice(), to.as_slice())).collect();
    let circle = |names: Vec<&[String]>| {
        let has = |name: &Name| names.contains(&name.as_slice());
        let inside = arrows.iter().filter(|((from, to), _)| has(from) && has(to));
        let arrows = inside.map(|((from, to), why)| shown(from, to, why)).collect();
        let modules = names.iter().map(|name| name.join("::")).collect();
        Circle { package: package.to_owned(), modules, arrows }
    };
    let mut circles: Vec<Circle> =
        tarjan_scc(&graph).into_iter().filter(|names| names.len() > 1).map(circle).collect();
    circles.sort_by(|a, b| a.modules.cmp(&b.modules));
    circles
}

type Arrow = (Name, Name);

fn shown(from: &Name, to: &Name, why: &BTreeSet<String>) -> String {
    let why: Vec<&str> = why.iter().map(String::as_str).collect();
    format!("{} -> {}: {}", from.join("::"), to.join("::"), why.join(", "))
}

/// Whether one of two files is above the other.
fn above(one: &Name, other: &Name) -> bool {
    one.starts_with(other) || other.starts_with(one)
}

/// The files that a file needs, and the path that says so.
fn needs(modules: &BTreeMap<Name, Module>, at: &Name, module: &Module) -> Vec<(Name, Name)> {
    let imported = module.imports.values().filter(|import| !import.passed_on).map(|import| &import.path);
    let paths = imported.chain(&module.paths);
    paths.filter_map(|path| Some((defined(modules, at, path, 0)?, path.clone()))).collect()
}

/// The file that defines what a path in `at` names; nothing when that is in another crate.
fn defined(modules: &BTreeMap<Name, Module>, at: &[String], path: &[String], depth: usize) -> Option<Name> {
    // Modules that pass on each other's names by `*` would lead round for ever.
    if depth > 8 {
        return None;
    }
    let (first, rest) = path.split_first()?;
    match first.as_str() {
        "crate" => below(modules, &[], rest, depth),
        "self" => below(modules, at, rest, depth),
        "super" => {
            let above = &at[..at.len().checked_sub(1)?];
            let further = rest.first().is_some_and(|next| next == "super");
            if further { defined(modules, above, rest, depth) } else { below(modules, above, rest, depth) }
        }
        _ => below(modules, at, path, depth),
    }
}

/// The same for a path that starts among the names of `at`.
fn below(modules: &BTreeMap<Name, Module>, at: &[String], path: &[String], depth: usize) -> Option<Name> {
    let module = modules.get(at)?;
    let Some((first, rest)) = path.split_first() else { return Some(at.to_vec()) };
    if module.items.contains(first) {
        return Some(at.to_vec());
    }
    if module.children.contains(first) {
        return below(modules, &[at, std::slice::from_ref(first)].concat(), rest, depth);
    }
    if let Some(import) = module.imports.get(first) {
        // A crate that is imported by its own name leads nowhere here.
        let outside = import.path.first() == Some(first) && import.path.len() == 1;
        let path = [import.path.as_slice(), rest].concat();
        return if outside { None } else { defined(modules, at, &path, depth + 1) };
    }
    module.globs.iter().find_map(|glob| defined(modules, at, &[glob.as_slice(), path].concat(), depth + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crate_of(files: &[(&str, &str)]) -> BTreeMap<Name, Module> {
        let name = |path: &str| path.split("::").filter(|part| !part.is_empty()).map(str::to_owned).collect();
        files.iter().map(|(path, text)| (name(path), modules::parse(text).unwrap())).collect()
    }

    #[test]
    fn a_circle_is_found_by_imports_by_paths_and_by_names_passed_on() {
        let files = [
            ("", "mod a; mod b; mod c;"),
            ("a", "use crate::b::Thing; pub struct Own; fn f() { Thing::new() }"),
            ("b", "mod inner; pub use inner::Thing;"),
            ("b::inner", "pub struct Thing; fn f() { debug!(\"{}\", crate::c::one()) }"),
            ("c", "pub fn one() -> super::a::Own { todo() }"),
        ];
        let found = circles("x", &crate_of(&files));
        assert_eq!(found.len(), 1, "{found:?}");
        let arrows: Vec<&str> = found[0].arrows.iter().filter_map(|arrow| arrow.split(": ").next()).collect();
        assert_eq!(arrows, ["a -> b::inner", "b::inner -> c", "c -> a"]);
        assert!(compare(&found, "").is_err(), "it is not known");
        assert!(compare(&found, "y: a b::inner c\n").is_err(), "it is another crate's");
        assert!(compare(&found, "x: a b::inner\n").is_err(), "it has grown");
        compare(&found, "# known\nx: a b::inner c d\n").unwrap();
        compare(&found, "x: a b::* c\n").unwrap();
        assert_eq!(list(&found, "x: a b::* c\nx: gone too\n"), "x: a b::* c\n");
        assert_eq!(list(&found, ""), "x: a b::inner c\n");
        compare(&[], "x: a b::inner c\n").unwrap();
    }

    #[test]
    fn one_way_tests_and_a_file_with_those_below_it_are_no_circle() {
        let files = [
            ("", "mod a; mod b; mod above;"),
            ("a", "use crate::b::Thing;\n#[cfg(test)]\nmod tests { use crate::above::Other; }"),
            ("b", "pub struct Thing; #[cfg(test)] use crate::a;"),
            ("above", "mod under; use under::Part; pub struct Other; use crate::a::X;"),
            ("above::under", "use super::Other; pub struct Part;"),
        ];
        let found = circles("x", &crate_of(&files));
        assert!(found.is_empty(), "{found:?}");
    }

    #[test]
    fn the_workspace_has_no_new_one() {
        check().unwrap();
    }
}
