//! Instructions and problems, as tables.

use expect_test::{Expect, expect};

use super::Dockerfile;
use super::expand::{Expander, Quotes};
use super::instruction::Kind;

fn kinds(text: &str) -> Vec<Kind> {
    let file = Dockerfile::parse(&format!("FROM scratch\n{text}\n")).unwrap();
    file.stages[0].instructions.iter().map(|instruction| instruction.kind.clone()).collect()
}

/// All problems of a text, one to a line, with the line that each shows.
fn all_problems(text: &str) -> String {
    let problems = Dockerfile::parse(text).map(|_| ()).expect_err("it is fine");
    problems.iter().map(|problem| format!("{problem}\n    {}\n", problem.source)).collect()
}

fn problems(text: &str, expected: &Expect) {
    expected.assert_eq(&all_problems(text));
}

/// A file's lines, each with the column of its problem, and the problem.
const WRONG: [(&str, usize, &str); 26] = [
    ("RUN before", 1, "RUN comes before the first FROM, where only ARG may"),
    (
        "FROM debian AS 9lives",
        16,
        "9lives is not a name for a stage: a letter, then letters, digits, `-`, `_`, `.`",
    ),
    ("FROM --plattform=x debian", 6, "--plattform is not a flag of this instruction; did you mean platform?"),
    ("RUNN make", 1, "unknown instruction RUNN; did you mean RUN?"),
    ("  COPY only", 3, "COPY needs at least a source and a destination"),
    ("ENV A", 1, "ENV needs a name and a value: NAME=VALUE"),
    (r#"CMD ["a", 1]"#, 5, "an array may hold strings only"),
    ("EXPOSE", 1, "EXPOSE needs at least one argument"),
    ("HEALTHCHECK --retries=x CMD true", 13, "--retries is a number from 0 on, not x"),
    ("HEALTHCHECK --interval=5 CMD true", 24, "--interval is a time such as 30s or 1m30s, not 5"),
    ("HEALTHCHECK curl", 1, "HEALTHCHECK is followed by CMD and a command, or by NONE"),
    ("ONBUILD FROM x", 1, "ONBUILD can't be followed by FROM"),
    ("ONBUILD COPPY a b", 9, "unknown instruction COPPY; did you mean COPY?"),
    ("SHELL /bin/bash", 1, r#"SHELL needs an array: SHELL ["/bin/bash", "-c"]"#),
    ("COPY --chown a b", 6, "--chown needs a value: --flag=VALUE"),
    ("COPY --from=a --from=b c d", 6, "--from is given twice"),
    ("ADD --from=x a b", 5, "--from is not a flag of this instruction"),
    ("RUN --network=hots true", 5, "--network is default, none or host, not hots; did you mean host?"),
    ("RUN", 1, "RUN needs a command"),
    ("VOLUME []", 1, "VOLUME needs paths that are not empty"),
    ("USER", 1, "USER needs an argument"),
    ("ARG =x", 1, "ARG =x has no name before its `=`"),
    ("LABEL a=b c", 1, "LABEL c has no `=`: NAME=VALUE"),
    ("FROM a b", 1, "FROM takes an image, or an image AS a name"),
    ("HEALTHCHECK NONE x", 1, "HEALTHCHECK NONE takes no arguments"),
    ("RUN --security=insecre x", 5, "--security is sandbox or insecure, not insecre; did you mean insecure?"),
];

#[test]
fn all_problems_of_a_file_are_told_at_once() {
    let text: String = WRONG.iter().map(|(line, ..)| format!("{line}\n")).collect();
    let shown = |(at, (line, column, problem)): (usize, &(&str, usize, &str))| {
        format!("line {}, column {column}: {problem}\n    {line}\n", at + 1)
    };
    let expected: String = WRONG.iter().enumerate().map(shown).collect();
    assert_eq!(all_problems(&text), expected);
}

#[test]
fn columns_are_those_of_the_line_that_holds_the_word() {
    problems(
        "FROM a\nRUN --network=none \\\n   # comment\n\n  --mout=type=cache x",
        &expect![[r#"
            line 5, column 3: --mout is not a flag of this instruction; did you mean mount?
                  --mout=type=cache x
        "#]],
    );
}

#[test]
fn files_that_are_none() {
    let none = expect![[r#"
        line 1, column 1: the file has no FROM
            
    "#]];
    for text in ["", "\n\n", "# comment", "ARG A=1"] {
        problems(text, &none);
    }
    problems(
        "FROM a\nRUN cat <<EOF\nhello\n",
        &expect![[r#"
            line 2, column 9: the here-document EOF never ends; end it with a line that is EOF and nothing else
                RUN cat <<EOF
        "#]],
    );
}

#[test]
fn directives_come_first_and_once() {
    let file =
        Dockerfile::parse("# syntax = docker/dockerfile:1 \n#escape=`\n# a=b\n# escape=\\\nFROM a").unwrap();
    assert_eq!((file.syntax(), file.escape), (Some("docker/dockerfile:1"), '`'));
    let file = Dockerfile::parse(
        "\u{feff}# check=skip=StageNameCasing, JSONArgsRecommended;error=true\nFROM a AS B",
    )
    .unwrap();
    assert!(file.warnings_are_errors() && file.warnings().is_empty());
    let file = Dockerfile::parse("\n# escape=`\nFROM a").unwrap();
    assert_eq!(file.escape, '\\');
    problems(
        "# escape=x\nFROM a",
        &expect![[r##"
            line 1, column 1: x can't be the escape, only ` or \ can
                # escape=x
        "##]],
    );
    problems(
        "# syntax=a\n# Syntax=b\nFROM a",
        &expect![[r##"
            line 2, column 1: the directive syntax is given twice
                # Syntax=b
        "##]],
    );
}

#[test]
fn continuations_join_and_comments_go() {
    let text = "RUN a \\\n  # no\n\\\n  b \\  \n\n  c\nRUN x \\\\\nRUN y\\\r\nz\r\nRUN end \\";
    expect![[r#"
        [
            Shell(
                "a   b   c",
            ),
            Shell(
                "x \\\\",
            ),
            Shell(
                "yz",
            ),
            Shell(
                "end",
            ),
        ]
    "#]]
    .assert_debug_eq(
        &kinds(text)
            .into_iter()
            .map(|kind| match kind {
                Kind::Run(run) => run.command,
                other => panic!("{other:?}"),
            })
            .collect::<Vec<_>>(),
    );
}

#[test]
fn every_flag_of_copy_and_add() {
    let copy =
        "COPY --from=a --chown=b:c --chmod=u=rwx --link --parents=false --exclude=*.o --exclude=d x y z/";
    let add =
        "ADD --keep-git-dir=true --checksum=sha256:0 --unpack=false --link=true https://x/y.git#v1:sub /d";
    expect![[r#"
        [
            Copy(
                Copy {
                    adds: false,
                    sources: [
                        "x",
                        "y",
                    ],
                    documents: [],
                    destination: "z/",
                    from: Some(
                        "a",
                    ),
                    owner: Some(
                        "b:c",
                    ),
                    mode: Some(
                        "u=rwx",
                    ),
                    link: true,
                    parents: false,
                    exclude: [
                        "*.o",
                        "d",
                    ],
                    keep_git_dir: None,
                    checksum: None,
                    unpack: None,
                },
            ),
            Copy(
                Copy {
                    adds: true,
                    sources: [
                        "https://x/y.git#v1:sub",
                    ],
                    documents: [],
                    destination: "/d",
                    from: None,
                    owner: None,
                    mode: None,
                    link: true,
                    parents: false,
                    exclude: [],
                    keep_git_dir: Some(
                        true,
                    ),
                    checksum: Some(
                        "sha256:0",
                    ),
                    unpack: Some(
                        false,
                    ),
                },
            ),
        ]
    "#]]
    .assert_debug_eq(&kinds(&format!("{copy}\n{add}")));
}

#[test]
fn here_documents_follow_their_line() {
    let text =
        "RUN <<A cat <<-B && true\n1\nA\n\t2\n\tB\nONBUILD RUN <<C\n3\nC\nCOPY [\"<<D\", \"/d\"]\nRUN after";
    let file = Dockerfile::parse(&format!("FROM scratch\n{text}\n")).unwrap();
    let found: Vec<_> =
        file.stages[0].instructions.iter().map(|one| (one.line.number, &one.line.heredocs)).collect();
    let texts = |at: usize| found[at].1.iter().map(|doc| (&doc.name[..], doc.text())).collect::<Vec<_>>();
    assert_eq!(texts(0), [("A", "1\n".to_owned()), ("B", "2\n".to_owned())]);
    assert_eq!(texts(2), []);
    assert_eq!(found.iter().map(|(number, _)| *number).collect::<Vec<_>>(), [2, 7, 10, 11]);
    assert!(matches!(&file.stages[0].instructions[1].kind, Kind::Onbuild(text) if text == "RUN <<C\n3\nC"));
}

#[test]
fn copies_take_documents_with_a_blank_before_the_name() {
    for announced in ["<<EOF", "<< EOF", "<<- EOF", "<<-EOF", "<<   \"EOF\"", "0<< EOF"] {
        for instruction in ["COPY", "ADD", "COPY --chown=1:1"] {
            let file = format!("{instruction} {announced} more /greeting\nhello\nEOF\n");
            let [Kind::Copy(copy)] = &kinds(&file)[..] else { panic!("{file}") };
            let documents: Vec<_> = copy.documents.iter().map(|doc| (&doc.name[..], doc.text())).collect();
            assert_eq!(documents, [("EOF", "hello\n".to_owned())], "{file}");
            assert_eq!((&copy.sources[..], &copy.destination[..]), (&["more".to_owned()][..], "/greeting"));
        }
    }
}

#[test]
fn words_expand_as_in_buildkit() {
    let lookup = |name: &str| match name {
        "a" => Some("A".to_owned()),
        "blank" => Some("x y".to_owned()),
        "empty" => Some(String::new()),
        "path" => Some("/usr/lib/a.tar.gz".to_owned()),
        "_é" => Some("é".to_owned()),
        _ => None,
    };
    let expander = Expander::new('\\', &lookup);
    let mut table = String::new();
    let words = r##"$a ${a} x${a}y '$a' "$a" \$a "\$a" "\a" \a $ $$ $1 ${unset} ${unset:-d} ${unset-d} ${empty:-d} ${empty-d}
        ${a:+s} ${unset:+s} ${empty:+s} ${empty+s} ${a:?no} ${unset:?no} ${unset?} ${empty:?} ${unset:-${a}} ${unset:-"q"}
        ${path#*/} ${path##*/} ${path%.*} ${path%%.*} ${path/a/o} ${path//a/o} ${path//\//_} ${path#\*} ${path#\x} $_é.
        ${ ${} ${:a} ${a!} ${a:#x} 'open "open $(cmd) \ trailing\ ${a/b} ${a/b/c $a$a "x"'y'z"##;
    for word in words.split_whitespace() {
        let value = expander.word(word).unwrap_or_else(|error| format!("error: {error}"));
        table += &format!("{word:16} {value}\n");
    }
    expect![[r##"
        $a               A
        ${a}             A
        x${a}y           xAy
        '$a'             $a
        "$a"             A
        \$a              $a
        "\$a"            $a
        "\a"             \a
        \a               a
        $                $
        $$               
        $1               
        ${unset}         
        ${unset:-d}      d
        ${unset-d}       d
        ${empty:-d}      d
        ${empty-d}       
        ${a:+s}          s
        ${unset:+s}      
        ${empty:+s}      
        ${empty+s}       s
        ${a:?no}         A
        ${unset:?no}     error: unset: no
        ${unset?}        error: unset: must be set
        ${empty:?}       error: empty: must not be empty
        ${unset:-${a}}   A
        ${unset:-"q"}    q
        ${path#*/}       usr/lib/a.tar.gz
        ${path##*/}      a.tar.gz
        ${path%.*}       /usr/lib/a.tar
        ${path%%.*}      /usr/lib/a
        ${path/a/o}      /usr/lib/o.tar.gz
        ${path//a/o}     /usr/lib/o.tor.gz
        ${path//\//_}    _usr_lib_a.tar.gz
        ${path#\*}       /usr/lib/a.tar.gz
        ${path#\x}       error: \x is not an escape in a pattern
        $_é.             é.
        ${               error: a ${ has no } that ends it
        ${}              error: ${} needs a name
        ${:a}            error: ${} needs a name
        ${a!}            error: ${…!} is not a form of substitution
        ${a:#x}          error: ${…:#} is not a form of substitution
        'open            error: a quote ' is not closed
        "open            error: a quote " is not closed
        $(cmd)           $(cmd)
        \                
        trailing\        trailing
        ${a/b}           error: a ${ has no / that ends it
        ${a/b/c          error: a ${ has no } that ends it
        $a$a             AA
        "x"'y'z          xyz
    "##]]
    .assert_eq(&table);
    assert_eq!(
        expander.words("$blank '$blank' \"$blank\" a\\ b $unset").unwrap(),
        ["x", "y", "$blank", "x y", "a b"]
    );
}

#[test]
fn other_ways_to_treat_quotes_and_unset_names() {
    let lookup = |name: &str| (name == "a").then(|| "A".to_owned());
    let kept = Expander { quotes: Quotes::Keep, keep_unset: true, ..Expander::new('\\', &lookup) };
    assert_eq!(kept.word(r#"'x' "$a" $b ${b:-"$a"}"#).unwrap(), r#"'x' "A" $b ${b:-"$a"}"#);
    let content = Expander { quotes: Quotes::Ignore, ..Expander::new('\\', &lookup) };
    assert_eq!(content.word("it's \"$a\" \\$a \\\\ \\\n").unwrap(), "it's \"A\" $a \\ \n");
    let backtick = Expander::new('`', &lookup);
    assert_eq!(backtick.word(r"C:\x `$a $a").unwrap(), r"C:\x $a A");
}

#[test]
fn what_grows_without_end_is_refused() {
    let long = "x".repeat(100 * 1024);
    let lookup = |_: &str| Some(long.clone());
    let expander = Expander::new('\\', &lookup);
    assert!(expander.word("$a").is_ok());
    assert!(expander.word("$a$a").is_err());
    assert!(expander.word("\"$a$a\"").is_err());
    assert!(expander.word("${a//x*y/z}").is_err());
    assert!(expander.word(&"${a:-".repeat(100_000)).is_err());
}

#[test]
fn patterns_beside_the_dockerfile_go_first() {
    let [beside, context] = super::ignore_files("/c".as_ref(), "/d/web.dockerfile".as_ref());
    assert_eq!(beside.to_str(), Some("/d/web.dockerfile.dockerignore"));
    assert_eq!(context.to_str(), Some("/c/.dockerignore"));
}

/// Lines as they come in Dockerfiles, whole and broken.
fn any_line() -> impl proptest::strategy::Strategy<Value = String> {
    use proptest::prelude::*;
    let keyword = prop::sample::select(vec![
        "FROM",
        "RUN",
        "COPY",
        "ADD",
        "ENV",
        "ARG",
        "CMD",
        "ONBUILD RUN",
        "EXPOSE",
        "HEALTHCHECK",
        "SHELL",
        "RUNN",
        "#",
        "",
        "  LABEL",
    ]);
    let word = prop::sample::select(vec![
        "a",
        "--mount=type=cache",
        "--from=x",
        "--chown",
        "[\"a\"]",
        "[1]",
        "<<E",
        "E",
        "A=b",
        "=",
        "'",
        "\"é",
        "\\",
        "$A",
        "${A",
        "as",
        "CMD",
        "NONE",
        "\t",
        "-- ",
        "/x",
    ]);
    (keyword, prop::collection::vec(word, 0..4))
        .prop_map(|(keyword, words)| format!("{keyword} {}", words.join(" ")))
}

proptest::proptest! {
    #[test]
    fn problems_name_a_place_that_is_there(lines in proptest::collection::vec(any_line(), 1..8)) {
        let text = lines.join("\n");
        for problem in Dockerfile::parse(&text).err().unwrap_or_default() {
            let line = text.lines().nth(problem.line - 1).unwrap_or_default();
            proptest::prop_assert!(problem.source.is_empty() || problem.source == line, "{problem:?}");
            proptest::prop_assert!((1..=line.chars().count() + 1).contains(&problem.column), "{problem:?}");
        }
    }

    #[test]
    fn plain_words_expand_to_themselves(word in "[a-zA-Z0-9_/.:@%+=,é-]{0,20}") {
        let nothing = |_: &str| None;
        proptest::prop_assert_eq!(Expander::new('\\', &nothing).word(&word).unwrap(), word);
    }
}
