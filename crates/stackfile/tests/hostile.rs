//! Hostile input: bounded time and memory, a clear error.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use hoist_stackfile::{MemoryReader, Source, load};
use std::fmt::Write;
use support::{load_text, sources};

fn code_of(text: &str) -> &'static str {
    load_text(text).unwrap_err()[0].code
}

#[test]
fn alias_bombs_are_refused() {
    let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        let aliases = vec![format!("*a{}", level - 1); 9].join(", ");
        writeln!(text, "a{level}: &a{level} [{aliases}]").unwrap();
    }
    assert_eq!(code_of(&text), "excessive-aliasing");
    let merge = "x: &x {<<: *x}\nservices: {}\n";
    assert!(["yaml-syntax", "alias-cycle", "unknown-anchor"].contains(&code_of(merge)));
}

#[test]
fn deep_nesting_is_refused() {
    let brackets = format!("x-a: {}{}", "[".repeat(100_000), "]".repeat(100_000));
    assert_eq!(code_of(&brackets), "too-deep");
    let lines = format!("x-a: {}", "[\n{a: ".repeat(50_000));
    assert_eq!(code_of(&lines), "too-deep");
    let dashes = format!("x-a:\n  {}a\n", "- ".repeat(50_000));
    assert_eq!(code_of(&dashes), "too-deep");
    let keys = format!("x-a:\n  {}a\n", "? ".repeat(50_000));
    assert_eq!(code_of(&keys), "too-deep");
    // What is just allowed goes through every stage.
    let allowed = format!("services: {{a: {{image: x}}}}\nx-a: {}{}\n", "{a: ".repeat(290), "}".repeat(290));
    assert!(load_text(&allowed).is_ok());
    let block: String = (0..5_000).map(|depth| format!("{}a:\n", " ".repeat(depth))).collect();
    assert_eq!(code_of(&block), "too-deep");
}

#[test]
fn huge_scalars_and_files_are_bounded() {
    let long = format!("services:\n  a:\n    image: \"{}\"\n", "x".repeat(1 << 20));
    assert!(load_text(&long).is_ok());
    let too_long = format!("x-a: {}\n", "y".repeat(17 << 20));
    assert_eq!(code_of(&too_long), "file-too-large");
    // Each variable doubles what it is made of.
    let mut sources = sources("services:\n  a:\n    image: ${A}${A}${A}${A}${A}\n");
    sources.environment.insert("A".to_owned(), "z".repeat(1 << 20));
    assert_eq!(load(&sources, &MemoryReader::default()).unwrap_err()[0].code, "too-long");
}

/// Time grows with the text, not with its square: a second each, were it otherwise minutes.
#[test]
fn odd_tokens_in_number_take_no_long() {
    let start = std::time::Instant::now();
    for part in [
        "a ", "&a ", "!a ", "*", "? ", "- ", ": ", ", ", "[],", "{},", "a,\n", "# c\n", "#\n\t", "\"a\n",
        "'", "|\n", "\n", "\u{2028}", "%a\n", "---\n", "[a,\n",
    ] {
        let _refused_or_not = load_text(&format!("x-a: {}", part.repeat(100_000)));
        let _in_brackets = load_text(&format!("x-a: [[[{}", part.repeat(100_000)));
        let _in_a_block = load_text(&format!("x-a:\n  {}", part.repeat(100_000)));
    }
    assert!(start.elapsed().as_secs() < 240, "{:?}", start.elapsed());
}

#[test]
fn nested_templates_are_bounded() {
    let text = format!("services:\n  a:\n    image: \"{}x{}\"\n", "${A:-".repeat(10_000), "}".repeat(10_000));
    assert_eq!(code_of(&text), "too-deep");
}

#[test]
fn bytes_that_are_no_utf8_are_placed() {
    let reader =
        MemoryReader::default().with("/p/stack.yaml", b"services:\n  a:\n    image: \xff\n".to_vec());
    let mut sources = sources("");
    sources.files = vec![Source { path: "/p/stack.yaml".to_owned(), text: None }];
    let errors = load(&sources, &reader).unwrap_err();
    assert_eq!(errors[0].code, "invalid-utf8");
    assert_eq!((errors[0].labels[0].line, errors[0].labels[0].column), (3, 12));
}

#[test]
fn many_errors_are_capped() {
    let services: String = (0..5_000).map(|n| format!("  s{n}: {{imag: x}}\n")).collect();
    let errors = load_text(&format!("services:\n{services}")).unwrap_err();
    assert!(errors.len() <= 500);
}

#[test]
fn long_chains_of_dependencies_and_extends_end() {
    let chain = |key: &str| -> String {
        let service = |n: usize| {
            format!(
                "  s{n}: {{image: x, {key}: {}}}\n",
                if key == "extends" { format!("s{}", n + 1) } else { format!("[s{}]", n + 1) }
            )
        };
        let services: String = (0..2_000).map(service).collect();
        format!("services:\n{services}  s2000: {{image: x}}\n")
    };
    assert!(load_text(&chain("depends_on")).is_ok());
    let _bounded = load_text(&chain("extends"));
}

#[test]
fn copies_add_up_to_a_bound() {
    let ports: String = (0..200).map(|n| format!("      - \"1-{}\"\n", 60_000 + n)).collect();
    assert_eq!(code_of(&format!("services:\n  a:\n    image: x\n    ports:\n{ports}")), "too-large");
    let labels: String = (0..20_000).map(|n| format!("      l{n}: x\n")).collect();
    let copies: String = (0..1_000).map(|n| format!("  s{n}: {{extends: base}}\n")).collect();
    assert_eq!(
        code_of(&format!("services:\n  base:\n    image: x\n    labels:\n{labels}{copies}")),
        "too-large"
    );
    let mut sources = sources(&format!("x-a:\n{}", "  - $A\n".repeat(2_000)));
    sources.environment.insert("A".to_owned(), "z".repeat(1 << 20));
    assert_eq!(load(&sources, &MemoryReader::default()).unwrap_err()[0].code, "too-large");
}
