//! YAML as people write it: forms that the reference's YAML library reads and the letter of the standard doesn't, and
//! what it refuses. Each kind with neighbours.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use expect_test::expect;
use hoist_stackfile::canonical::to_json;
use hoist_stackfile::node::Node;
use hoist_stackfile::{Diagnostic, Dialect, MemoryReader, Source, load};
use serde_json::{Value, json};
use support::{load_text, sources};

/// What follows in a service, read: its attributes but for those that are always there.
fn service(text: &str) -> Result<Value, Vec<Diagnostic>> {
    read(format!("services:\n  a:\n    image: x\n{text}").as_bytes())
}

fn read(bytes: &[u8]) -> Result<Value, Vec<Diagnostic>> {
    let mut sources = sources("");
    sources.files = vec![Source { path: "/p/stack.yaml".to_owned(), text: None }];
    let loaded = load(&sources, &MemoryReader::default().with("/p/stack.yaml", bytes))?;
    let tree: Value = serde_json::from_str(&to_json(&loaded.project.canonical(Dialect::Yaml))).unwrap();
    let mut service = tree["services"]["a"].as_object().unwrap().clone();
    for key in ["image", "networks", "entrypoint"] {
        service.remove(key);
    }
    service.retain(|_, value| !value.is_null());
    Ok(Value::Object(service))
}

#[track_caller]
fn reads(text: &str, expected: Value) {
    let got = service(text).map_err(|findings| findings[0].to_string());
    assert_eq!(got, Ok(expected), "{text}");
}

#[track_caller]
fn command(text: &str, words: &[&str]) {
    reads(text, json!({"command": words}));
}

#[test]
fn brackets_close_and_go_on_at_any_column() {
    for close in 0..8 {
        for item in 0..8 {
            let (item, close) = (" ".repeat(item), " ".repeat(close));
            command(&format!("    command: [\n{item}a,\n{item}b\n{close}]\n"), &["a", "b"]);
            command(&format!("    command:\n      [\n{item}\"a\", b,\n{close}]\n"), &["a", "b"]);
            reads(
                &format!("    environment: {{\n{item}A: 1,\n{item}\"B\": \"2\"\n{close}}}\n"),
                json!({"environment": {"A": "1", "B": "2"}}),
            );
        }
    }
    command("    command: [a, # first\nb] # last\n", &["a", "b"]);
    command("    command: [a,\n# alone\n  b]\n", &["a", "b"]);
    reads("    x-v: [[a,\nb], {c: [d\n]}]\n", json!({"x-v": [["a", "b"], {"c": ["d"]}]}));
    reads("    x-v: [a b\nc, d]\n", json!({"x-v": ["a b c", "d"]}));
}

#[test]
fn quoted_text_goes_on_left_of_its_key() {
    for indent in 0..7 {
        let indent = " ".repeat(indent);
        command(&format!("    command: [\"a\n{indent}b\", 'c\n\n{indent}d']\n"), &["a b", "c\nd"]);
        reads(&format!("    hostname: \"a\n{indent}b\"\n"), json!({"hostname": "a b"}));
    }
    reads("    hostname: \"a\\\n  b\"\n", json!({"hostname": "ab"}));
    reads("    hostname: 'it''s \"it\"'\n", json!({"hostname": "it's \"it\""}));
    reads("    hostname: \"\\x41\\u00e9\\U0001F600\\t\\_\"\n", json!({"hostname": "Aé😀\t\u{a0}"}));
}

#[test]
fn tabs_stand_between_words_and_not_for_indentation() {
    reads("    hostname:\ta\n", json!({"hostname": "a"}));
    reads("    hostname: \t'a'\t# why\n", json!({"hostname": "a"}));
    reads("    hostname:\t\n      a\n", json!({"hostname": "a"}));
    command("    command:\t[\ta\t,\t\n\tb\t]\t\n", &["a", "b"]);
    command("    command: \"a\n\tb\"\n", &["a", "b"]);
    reads("    hostname: a\n# one\n\t# two\n    user: b\n", json!({"hostname": "a", "user": "b"}));
    // A comment behind a value is one for itself.
    for text in [
        "    hostname: # one\n\t# two\n",
        "\thostname: a\n",
        "    \thostname: a\n",
        "    hostname: a\n\t# two\n",
        "    command:\n    -\t- a\n",
    ] {
        assert_eq!(service(text).unwrap_err()[0].code, "yaml-syntax", "{text:?}");
    }
}

#[test]
fn comments_need_no_space_after_quotes_and_brackets() {
    reads("    hostname: \"a\"# why\n", json!({"hostname": "a"}));
    reads("    hostname: 'a'# why\n", json!({"hostname": "a"}));
    command("    command: [a, b]# why\n", &["a", "b"]);
    command("    command: [\"a\"# why\n, b]\n", &["a", "b"]);
    reads("    environment: {A: '1'}# why\n", json!({"environment": {"A": "1"}}));
    reads("    hostname: a#b\n", json!({"hostname": "a#b"}));
}

#[test]
fn plain_text_in_brackets() {
    command("    command: [-, a]\n", &["-", "a"]);
    command("    command: [a, -]\n", &["a", "-"]);
    command("    command: [-a, --b=c, a:b, a://b]\n", &["-a", "--b=c", "a:b", "a://b"]);
    reads("    x-v: [a:]\n", json!({"x-v": ["a:"]}));
    reads("    x-v: [a: , {b}, c: d]\n", json!({"x-v": [{"a": null}, {"b": null}, {"c": "d"}]}));
    reads("    x-v: {a:1, b: 2,}\n", json!({"x-v": {"a:1": null, "b": 2}}));
    let deep = format!("    x-v: {}{}\n", "[".repeat(250), "]".repeat(250));
    assert!(load_text(&format!("services:\n  a:\n    image: x\n{deep}")).is_ok());
    for text in ["[- ]", "[a, - b]", "[a?b]", "[? a]b", "[a]]", "{a]", "[a}", "[@a]", "[%a]", "[,]", "[a,,b]"]
    {
        assert!(service(&format!("    x-v: {text}\n")).is_err(), "{text}");
    }
}

#[test]
fn blocks_of_text() {
    let cases = [
        ("|", "a\nb\n"),
        ("|-", "a\nb"),
        ("|+", "a\nb\n\n"),
        (">", "a b\n"),
        (">-", "a b"),
        ("|2-", "a\nb"),
        (">+ # why", "a b\n\n"),
    ];
    for (header, expected) in cases {
        let text = format!("    hostname: {header}\n      a\n      b\n\n");
        reads(&text, json!({"hostname": expected}));
    }
    // A block that ends the file without a line break has none to keep.
    reads("    hostname: |\n      a", json!({"hostname": "a"}));
    reads("    hostname: |+\n      a\n      b", json!({"hostname": "a\nb"}));
    reads("    hostname: >\n      a\n      b", json!({"hostname": "a b"}));
    reads("    hostname: |\n\n      a\n       b\n", json!({"hostname": "\na\n b\n"}));
    reads("    hostname: >\n      a\n        b\n      c\n", json!({"hostname": "a\n  b\nc\n"}));
    assert!(service("    hostname: |0\n      a\n").is_err());
    assert!(service("    hostname: | a\n").is_err());
}

#[test]
fn other_encodings() {
    let text = "services:\n  a:\n    image: x\n    hostname: é😀\n";
    let expected = json!({"hostname": "é😀"});
    let units: Vec<u16> = format!("\u{feff}{text}").encode_utf16().collect();
    let little: Vec<u8> = units.iter().flat_map(|unit| unit.to_le_bytes()).collect();
    let big: Vec<u8> = units.iter().flat_map(|unit| unit.to_be_bytes()).collect();
    assert_eq!(read(&little).unwrap(), expected);
    assert_eq!(read(&big).unwrap(), expected);
    assert_eq!(read(format!("\u{feff}{text}").as_bytes()).unwrap(), expected);
    assert_eq!(read(format!("\u{feff}---\n{text}").as_bytes()).unwrap(), expected);
    assert_eq!(read(&little[..little.len() - 1]).unwrap_err()[0].code, "invalid-utf16");
    assert_eq!(read(&[0xFF, 0xFE, 0x00, 0xD8]).unwrap_err()[0].code, "invalid-utf16");
    reads("    hostname: a\u{feff}b\n", json!({"hostname": "a\u{feff}b"}));
    reads("    hostname: a\u{85}    user: b\u{2028}", json!({"hostname": "a", "user": "b"}));
    for bad in ["\0", "\u{1}", "\u{7f}", "\u{80}", "\u{ffff}"] {
        assert_eq!(
            service(&format!("    hostname: a{bad}\n")).unwrap_err()[0].code,
            "yaml-syntax",
            "{bad:?}"
        );
    }
    let crlf = text.replace('\n', "\r\n");
    assert_eq!(read(crlf.as_bytes()).unwrap(), expected);
}

#[test]
fn tags_say_what_a_value_is() {
    let cases = [
        ("!!binary aGk=", json!("hi")),
        ("!!binary |\n      aG\n      k=", json!("hi")),
        ("!!str 5", json!("5")),
        ("!!str", json!("")),
        ("!!int \"5\"", json!(5)),
        ("!!float 5", json!(5)),
        ("!!null ''", json!(null)),
        ("! 5", json!(5)),
        ("! '5'", json!("5")),
        ("!own 5", json!("5")),
        ("!!own 5", json!("5")),
        ("!<tag:yaml.org,2002:int> 5", json!(5)),
        ("!!set {a, b}", json!({"a": null, "b": null})),
        ("0o17", json!(15)),
        ("017", json!(15)),
        ("1_000", json!(1000)),
        ("0b11", json!(3)),
        ("yes", json!("yes")),
    ];
    for (text, expected) in cases {
        let got = service(&format!("    x-v: {text}\n")).map_err(|findings| findings[0].to_string());
        assert_eq!(got.map(|service| service["x-v"].clone()), Ok(expected), "{text}");
    }
    reads(
        "    environment:\n      A: !!timestamp 2020-01-01\n",
        json!({
            "environment": {"A": "2020-01-01 00:00:00 +0000 UTC"}
        }),
    );
    for text in ["!!int a", "!!bool yes", "!!binary $$", "!!timestamp 5", "!a!b c", "!!int"] {
        assert!(service(&format!("    x-v: {text}\n")).is_err(), "{text}");
    }
    let declared =
        "%YAML 1.1\n%TAG !e! tag:yaml.org,2002:\n---\nservices:\n  a: {image: x, x-v: !e!int '5'}\n";
    assert_eq!(read(declared.as_bytes()).unwrap(), json!({"x-v": 5}));
    assert!(read(b"%YAML 1.2\n---\nservices:\n  a: {image: x}\n").is_err());
}

#[test]
fn anchors_merges_and_keys() {
    let own =
        |text: &str| read(format!("{text}services:\n  a:\n    image: x\n    hostname: *h\n").as_bytes());
    assert_eq!(own("x-h: &h one\n").unwrap(), json!({"hostname": "one"}));
    assert_eq!(own("x-h: &h one\nx-i: &h two\n").unwrap(), json!({"hostname": "two"}));
    // Anchors count over documents.
    assert_eq!(own("x-h: &h one\n---\n").unwrap(), json!({"hostname": "one"}));
    assert_eq!(own("x-h: &h [&h one]\n").unwrap(), json!({"hostname": "one"}));
    assert_eq!(own("").unwrap_err()[0].code, "unknown-anchor");
    assert_eq!(own("x-h: &h [*h]\n").unwrap_err()[0].code, "alias-cycle");
    let merged = "x-m: &m {hostname: h}\nservices:\n  a:\n    image: x\n    <<: *m\n";
    assert_eq!(read(merged.as_bytes()).unwrap(), json!({"hostname": "h"}));
    assert!(read(merged.replace("<<", "'<<'").as_bytes()).is_err());
    assert_eq!(read(merged.replace("<<", "!!merge '<<'").as_bytes()).unwrap(), json!({"hostname": "h"}));
    let key = "x-k: &k A\nservices:\n  a:\n    image: x\n    environment:\n      *k : 1\n";
    assert_eq!(read(key.as_bytes()).unwrap(), json!({"environment": {"A": "1"}}));
    for twice in
        ["    hostname: a\n    'hostname': b\n", "    x-v: {a: 1, \"a\": 2}\n", "    <<: {}\n    <<: {}\n"]
    {
        assert_eq!(service(twice).unwrap_err()[0].code, "duplicate-key", "{twice}");
    }
    for key in ["1", "null", "true", "[a]", "{a: b}", "? [a]\n      "] {
        assert!(service(&format!("    x-v:\n      {key}: 1\n")).is_err(), "{key}");
    }
    let long = "k".repeat(1_025);
    assert!(service(&format!("    x-v:\n      {}: 1\n", &long[1..])).is_ok());
    assert!(service(&format!("    x-v:\n      {long}: 1\n")).is_err());
}

/// Places count bytes inside and characters outside, whatever is before them.
#[test]
fn places_are_right() {
    let text = "services:\n  a:\n    image: x\n    x-é: \"ü\n  ö\" # ß\n    labels: {\"ä\": 'ß', b: [ü,\n  {c: d}]}\n";
    let loaded = load_text(&text.replace("labels", "x-l")).unwrap();
    let service = loaded.project.tree.at_path(&["services", "a"]).unwrap();
    let spot = |node: &Node| {
        let place = loaded.project.sources.place(node.span).unwrap();
        let text = loaded.project.sources.snippet(node.span).unwrap();
        format!("{}:{} {text:?}", place.line, place.column)
    };
    assert_eq!(spot(service.get("image").unwrap()), "3:12 \"x\"");
    assert_eq!(spot(service.get("x-é").unwrap()), "4:10 \"\\\"ü\\n  ö\\\"\"");
    let list = service.get("x-l").unwrap();
    assert_eq!(spot(list.get("ä").unwrap()), "6:16 \"'ß'\"");
    assert_eq!(spot(list.get("b").unwrap()), "6:24 \"[ü,\\n  {c: d}]\"");
    assert_eq!(spot(&list.get("b").unwrap().as_list().unwrap()[1]), "7:3 \"{c: d}\"");
}

/// The mistakes that people make, each at the place where it was made.
#[test]
fn mistakes_are_told_where_they_were_made() {
    let own = "services:\n  web:\n    image: x\n";
    let cases = [
        format!("{own}    hostname\n\n\n\n\nvolumes: {{}}\n"),
        format!("{own}    hostname # a comment\n    user: me\n"),
        format!("{own}    hostname web\n    user: me\n"),
        "services\n  web:\n    image: x\n".to_owned(),
        "services:\n  web\n    image: x\n".to_owned(),
        "services:\n  web:\n    environment:\n      - A=1\n      B: 2\n".to_owned(),
        format!("{own}   hostname: h\n"),
        format!("{own}     hostname: h\n"),
        format!("{own}\thostname: h\n"),
        format!("{own}    environment:\n    \tA: 1\n"),
        format!("{own}    hostname: \"h\n    user: me\n"),
        format!("{own}    hostname: \"h\n    user: \"me\"\n"),
        format!("{own}    hostname: 'it's'\n"),
        format!("{own}    command: [a, b\n    user: me\n"),
        format!("{own}    command: [a, b\n"),
        format!("{own}    command: [a b}}\n"),
        format!("{own}    environment: {{A: 1\n    user: me\n"),
        format!("{own}    hostname: a: b\n"),
        format!("{own}    hostname: @a\n"),
        format!("{own}    hostname: *a\n"),
        format!("{own}    command: \"a\" b\n"),
        format!("{own}    hostname: \"\\d\"\n"),
        format!("{own}    command: - a\n"),
        format!("{own}    hostname: !a!b c\n"),
        format!("{own}    hostname: a\n     b: c\n"),
        "web: 1\n- a\n".to_owned(),
    ];
    let mut all = String::new();
    for text in &cases {
        let findings = load_text(text).expect_err(text);
        all += &format!("{}\n\n", findings[0].render(false));
    }
    expect![[r#"
        error[yaml-syntax]: invalid YAML: this key has no `:`
         --> /p/stack.yaml:4:5
          |
        4 |     hostname
          |     ^^^^^^^^
          |
          = help: a mapping's lines are `key: value`; what goes on over several lines is indented deeper than its key

        error[yaml-syntax]: invalid YAML: this key has no `:`
         --> /p/stack.yaml:4:5
          |
        4 |     hostname # a comment
          |     ^^^^^^^^
          |
          = help: a mapping's lines are `key: value`; what goes on over several lines is indented deeper than its key

        error[yaml-syntax]: invalid YAML: this key has no `:`
         --> /p/stack.yaml:4:5
          |
        4 |     hostname web
          |     ^^^^^^^^^^^^
          |
          = help: a mapping's lines are `key: value`; what goes on over several lines is indented deeper than its key

        error[yaml-syntax]: invalid YAML: this key has no `:`
         --> /p/stack.yaml:1:1
          |
        1 | services
          | ^^^^^^^^
        2 |   web:
          |      - the text goes on to here
          |
          = help: a mapping's lines are `key: value`; what goes on over several lines is indented deeper than its key

        error[yaml-syntax]: invalid YAML: this key has no `:`
         --> /p/stack.yaml:2:3
          |
        2 |   web
          |   ^^^
        3 |     image: x
          |          - the text goes on to here
          |
          = help: a mapping's lines are `key: value`; what goes on over several lines is indented deeper than its key

        error[yaml-syntax]: invalid YAML: the indentation of this line fits nothing above it: expected an item of this list, which begins with `-`
         --> /p/stack.yaml:5:7
          |
        4 |       - A=1
          |       - which begins here
        5 |       B: 2
          |       ^
          |
          = help: indent it like the lines that it belongs to

        error[yaml-syntax]: invalid YAML: the indentation of this line fits nothing above it: expected a key of this mapping
         --> /p/stack.yaml:4:4
          |
        2 |   web:
          |   - which begins here
        3 |     image: x
        4 |    hostname: h
          |    ^
          |
          = help: indent it like the lines that it belongs to

        error[yaml-syntax]: invalid YAML: no mapping can begin here: the text before this `:` is a value
         --> /p/stack.yaml:4:14
          |
        3 |     image: x
          |            - the value begins here, and goes on over the next line
        4 |      hostname: h
          |              ^
          |
          = help: a mapping begins on the line below its key; check the indentation

        error[yaml-syntax]: invalid YAML: a tab can't indent
         --> /p/stack.yaml:4:1
          |
        3 |     image: x
          |            - the text above it begins here
        4 |     hostname: h
          | ^^^^
          |
          = help: indent with spaces

        error[yaml-syntax]: invalid YAML: a tab can't indent
         --> /p/stack.yaml:5:5
          |
        5 |         A: 1
          |     ^^^^
          |
          = help: indent with spaces

        error[yaml-syntax]: invalid YAML: this quote is never closed
         --> /p/stack.yaml:4:15
          |
        4 |     hostname: "h
          |               ^ opened here
          |
          = help: close it, or leave the quote out

        error[yaml-syntax]: invalid YAML: this quote isn't closed on its line, and the text goes on
         --> /p/stack.yaml:4:15
          |
        4 |     hostname: "h
          |               ^ opened here
        5 |     user: "me"
          |            - noticed here
          |
          = help: close it; a quote inside quotes is written twice or after a `\`

        error[yaml-syntax]: invalid YAML: text follows a value that is over
         --> /p/stack.yaml:4:19
          |
        4 |     hostname: 'it's'
          |                   ^
          |
          = help: put the whole value in quotes

        error[yaml-syntax]: invalid YAML: in this bracket a `,` or its end, `]`, is missing
         --> /p/stack.yaml:4:14
          |
        4 |     command: [a, b
          |              ^ opened here
        5 |     user: me
          |         - noticed here

        error[yaml-syntax]: invalid YAML: this bracket is never closed: `]` is missing
         --> /p/stack.yaml:4:14
          |
        4 |     command: [a, b
          |              ^ opened here

        error[yaml-syntax]: invalid YAML: expected `,` or `]`
         --> /p/stack.yaml:4:18
          |
        4 |     command: [a b}
          |              -   ^
          |              |
          |              opened here

        error[yaml-syntax]: invalid YAML: in this bracket a `,` or its end, `}`, is missing
         --> /p/stack.yaml:4:18
          |
        4 |     environment: {A: 1
          |                  ^ opened here
        5 |     user: me
          |         - noticed here

        error[yaml-syntax]: invalid YAML: no mapping can begin here: the text before this `:` is a value
         --> /p/stack.yaml:4:16
          |
        4 |     hostname: a: b
          |                ^
          |
          = help: put a value that holds `: ` in quotes

        error[yaml-syntax]: invalid YAML: a value can't begin with `@`
         --> /p/stack.yaml:4:15
          |
        4 |     hostname: @a
          |               ^
          |
          = help: put the value in quotes

        error[unknown-anchor]: unknown anchor: no `&a` comes before this alias
         --> /p/stack.yaml:4:15
          |
        4 |     hostname: *a
          |               ^^
          |
          = help: put a value that begins with `*` in quotes

        error[yaml-syntax]: invalid YAML: text follows a value that is over
         --> /p/stack.yaml:4:18
          |
        4 |     command: "a" b
          |                  ^
          |
          = help: put the whole value in quotes

        error[yaml-syntax]: invalid YAML: no such escape
         --> /p/stack.yaml:4:16
          |
        4 |     hostname: "\d"
          |               -^^
          |               |
          |               in the text that begins here
          |
          = help: a backslash stands for itself when it is doubled, or in single quotes

        error[yaml-syntax]: invalid YAML: a list's item can't begin here
         --> /p/stack.yaml:4:14
          |
        4 |     command: - a
          |              ^
          |
          = help: put each item of a list on a line of its own

        error[yaml-syntax]: invalid YAML: this tag's handle isn't declared
         --> /p/stack.yaml:4:15
          |
        4 |     hostname: !a!b c
          |               ^^^^
          |
          = help: put a value that begins with `!` in quotes

        error[yaml-syntax]: invalid YAML: no mapping can begin here: the text before this `:` is a value
         --> /p/stack.yaml:5:7
          |
        4 |     hostname: a
          |               - the value begins here, and goes on over the next line
        5 |      b: c
          |       ^
          |
          = help: a mapping begins on the line below its key; check the indentation

        error[yaml-syntax]: invalid YAML: the indentation of this line fits nothing above it: expected a key of this mapping
         --> /p/stack.yaml:2:1
          |
        1 | web: 1
          | - which begins here
        2 | - a
          | ^
          |
          = help: indent it like the lines that it belongs to

    "#]].assert_eq(&all);
}
