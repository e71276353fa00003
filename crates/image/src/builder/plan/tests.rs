//! Whole small files to graphs, problems and needs.

use expect_test::{Expect, expect};
use serde_json::{Value, json};

use super::*;
use crate::builder::graph::{Action, Network, Security, Source, StepId, Tree};
use crate::digest::Digest;

/// Everything that is asked for is found, with this configuration.
fn plan_on(base: &Value, text: &str, request: &Request) -> Result<Planned, Vec<Problem>> {
    let file = Dockerfile::parse(text)?;
    let mut bases = Bases::default();
    loop {
        let needed = needs(&file, request, &bases)?;
        if needed.is_empty() {
            return plan(&file, request, &bases);
        }
        for need in needed {
            bases.insert(&need, Base { id: Digest::of(need.reference.as_bytes()), config: base.clone() });
        }
    }
}

fn amd64() -> Request {
    Request { build_platform: "linux/amd64".parse().unwrap(), ..Request::default() }
}

fn with_arguments(pairs: &[(&str, &str)]) -> Request {
    let arguments = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Request { arguments, ..amd64() }
}

fn graph(text: &str, request: &Request) -> Graph {
    plan_on(&json!({}), text, request).unwrap().graph
}

fn problems(text: &str, request: &Request, expected: &Expect) {
    let problems = plan_on(&json!({}), text, request).map(|_| ()).expect_err("it is fine");
    expected.assert_eq(&problems.iter().map(|problem| format!("{problem}\n")).collect::<String>());
}

fn settings(text: &str) -> Value {
    let graph = graph(text, &amd64());
    graph.config["config"].clone()
}

fn titles(graph: &Graph) -> Vec<&str> {
    graph.steps.iter().map(|step| &step.title[..]).collect()
}

/// The command lines of the RUN steps and their environments, but for PATH.
fn environment(graph: &Graph, at: usize) -> Vec<String> {
    let Action::Run(run) = &graph.steps[at].action else { panic!("no RUN: {}", graph.steps[at].title) };
    run.environment
        .iter()
        .filter(|(name, _)| *name != "PATH")
        .map(|(name, value)| format!("{name}={value}"))
        .collect()
}

#[test]
fn only_what_the_target_needs_is_built_and_asked_for() {
    let text =
        "FROM a AS one\nRUN 1\nFROM b AS two\nRUN 2\nFROM one\nCOPY --from=c /x /y\nFROM two AS last\nRUN 3";
    let request = |target: &str| Request { target: Some(target.to_owned()), ..amd64() };
    let asked = |target| {
        let needs = needs(&Dockerfile::parse(text).unwrap(), &request(target), &Bases::default()).unwrap();
        needs.into_iter().map(|need| format!("{}:{}", need.line, need.reference)).collect::<Vec<_>>()
    };
    assert_eq!(asked("last"), ["3:b"]);
    assert_eq!(asked("2"), ["6:c", "1:a"]);
    assert_eq!(titles(&graph(text, &request("ONE"))), ["[one 2/2] RUN 1"]);
    assert_eq!(titles(&graph(text, &request("2"))), ["[one 2/2] RUN 1", "[stage-2 1/1] COPY --from=c /x /y"]);
}

#[test]
fn equal_steps_on_equal_trees_are_one() {
    let text = "FROM a AS one\nRUN same\nRUN 1\nFROM a AS two\nRUN same\nRUN 2\nFROM scratch\nCOPY --from=one / /\nCOPY --from=two / /";
    let graph = graph(text, &amd64());
    assert_eq!(graph.steps.len(), 5);
    assert_eq!(graph.steps[2].base, graph.steps[1].base);
}

#[test]
fn what_stages_can_not_be() {
    let nothing = expect![[r#"
        line 1, column 6: $BASE is empty, so the stage starts from nothing; BASE has no value here: give it one before the first FROM, ARG BASE=VALUE
    "#]];
    problems("FROM $BASE", &amd64(), &nothing);
    problems(
        "FROM a\nARG V=1\nFROM debian:$V",
        &amd64(),
        &expect![[r#"
        line 3, column 6: debian: is neither a stage nor the name of an image; V has no value here: give it one before the first FROM, ARG V=VALUE
    "#]],
    );
    problems(
        "FROM a AS builder\nFROM scratch\nCOPY --from=Bulider! /x /x",
        &amd64(),
        &expect![[r#"
            line 3, column 13: Bulider! is neither a stage nor the name of an image; did you mean builder?
        "#]],
    );
    problems(
        "FROM a AS x\nCOPY --from=y /1 /1\nFROM a AS y\nCOPY --from=x /2 /2",
        &amd64(),
        &expect![[r#"
            line 2, column 1: stages need each other: y → x → y
        "#]],
    );
    problems(
        "FROM scratch\nARG V=1\nCOPY --from=a:$V / /\n",
        &amd64(),
        &expect![[r#"
            line 3, column 13: variables don't count here; name a stage, and let that one say FROM with the variable
        "#]],
    );
    problems(
        "FROM scratch\nCOPY --from=7 / /",
        &amd64(),
        &expect![[r#"
            line 2, column 13: there is no stage 7: the first is 0, the last 0
        "#]],
    );
    problems(
        "FROM --platform=lin/ux/x/y/z a",
        &amd64(),
        &expect![[r#"
            line 1, column 6: --platform=lin/ux/x/y/z comes to "lin/ux/x/y/z", which is not a platform; write os/architecture, as linux/arm64
        "#]],
    );
    let target = Request { target: Some("biuld".to_owned()), ..amd64() };
    problems(
        "FROM a AS build",
        &target,
        &expect![[r#"
            line 1, column 1: no stage is named biuld, which is the target; did you mean build?
        "#]],
    );
}

#[test]
fn all_problems_of_the_needed_stages_are_told() {
    let text = "FROM a\nRUN --mount=type=cash,target=/x 1\nEXPOSE 99999\nSTOPSIGNAL SIGHELLO\nCOPY --chmod=999 a b\nENV A=${B?gone}\nCOPY http://x/y /z\nADD --checksum=sha256:1 x y\nRUN --mount=type=tmpfs,mod=1 2\nRUN --mount=target=/ 3\nRUN --mount=type=secret,from=x 4";
    problems(
        text,
        &amd64(),
        &expect![[r#"
            line 2, column 5: --mount=type=cash,target=/x: cash is not a type of mount; did you mean cache?
            line 3, column 8: 99999 is not a port: a number up to 65535
            line 4, column 1: "SIGHELLO" is not a signal: a number, or a name such as SIGTERM
            line 5, column 6: --chmod=999 is neither octal up to 07777 nor symbolic, as u=rwx,go=rx
            line 6, column 7: B: gone
            line 7, column 6: http://x/y: COPY doesn't download, ADD does
            line 8, column 5: --checksum is for one URL or git repository
            line 9, column 5: --mount=type=tmpfs,mod=1: mod says nothing about a mount; did you mean mode?
            line 10, column 5: --mount=target=/: a mount can't hide the whole tree: give it a target
            line 11, column 5: --mount=type=secret,from=x: a secret mount has no from
        "#]],
    );
}

#[test]
fn arguments_have_scopes() {
    let text = "ARG V=1\nARG W=${V}2\nFROM img:${W} AS a\nRUN 1\nARG V\nARG X=$V-x\nRUN 2\nFROM a\nRUN 3\nFROM scratch\nCOPY --from=1 / /\nRUN 4";
    let graph = graph(text, &with_arguments(&[("V", "9")]));
    let environments: Vec<_> = [0, 1, 2, 4].map(|at| environment(&graph, at)).to_vec();
    assert_eq!(environments, [vec![], vec!["V=9", "X=9-x"], vec!["V=9", "X=9-x"], vec![]]);
    let file = Dockerfile::parse(text).unwrap();
    let needs = needs(&file, &with_arguments(&[("W", "w")]), &Bases::default()).unwrap();
    assert_eq!(needs[0].reference, "img:w");
}

#[test]
fn environment_goes_before_arguments() {
    let text = "FROM a\nENV A=env\nARG A=arg\nARG B=arg\nENV B=env\nARG C\nRUN x";
    let graph = graph(text, &with_arguments(&[("A", "given"), ("http_proxy", "p"), ("C", "c")]));
    assert_eq!(environment(&graph, 0), ["A=env", "B=env", "C=c"]);
    let Action::Run(run) = &graph.steps[0].action else { panic!() };
    assert_eq!(json!(run.hidden_environment), json!({ "HTTP_PROXY": "p", "http_proxy": "p" }));
    assert_eq!(graph.history.last().unwrap().created_by, "RUN |3 A=env B=env C=c /bin/sh -c x # buildkit");
}

#[test]
fn platforms_of_stages_and_their_arguments() {
    let text = "FROM --platform=$BUILDPLATFORM a AS b\nARG TARGETOS TARGETARCH TARGETVARIANT BUILDARCH TARGETSTAGE\nRUN x\nFROM c\nCOPY --from=b / /";
    let request = Request { platform: Some("linux/arm/v7".parse().unwrap()), ..amd64() };
    let needs = needs(&Dockerfile::parse(text).unwrap(), &request, &Bases::default()).unwrap();
    let asked: Vec<_> = needs.iter().map(|need| format!("{} {}", need.reference, need.platform)).collect();
    assert_eq!(asked, ["c linux/arm/v7", "a linux/amd64"]);
    let graph = graph(text, &request);
    let expected =
        ["BUILDARCH=amd64", "TARGETARCH=arm", "TARGETOS=linux", "TARGETSTAGE=default", "TARGETVARIANT=v7"];
    assert_eq!(environment(&graph, 0), expected);
    assert_eq!(graph.config["architecture"], "arm");
    assert_eq!(graph.config["variant"], "v7");
}

#[test]
fn the_base_says_where_a_stage_starts() {
    let base = json!({
        "architecture": "amd64", "os": "linux", "created": "2020-01-01T00:00:00Z", "docker_version": "1.2",
        "rootfs": { "type": "layers", "diff_ids": [] }, "history": [{ "created_by": "base" }],
        "config": {
            "Hostname": "builder", "Env": ["PATH=/bin", "A=1"], "WorkingDir": "/base", "User": "app", "Labels": null,
            "Shell": ["/bin/bash", "-c"], "OnBuild": ["COPY . .", "RUN <<EOF\nhello\nEOF"], "Cmd": ["base"],
            "ExposedPorts": { "1/tcp": {} }, "Entrypoint": ["entry"],
        },
    });
    let planned = plan_on(&base, "FROM a\nWORKDIR b\nLABEL l=$A\nRUN x", &amd64()).unwrap();
    let expected = ["[2/5] COPY . .", "[3/5] RUN <<EOF (hello)", "[4/5] WORKDIR b", "[5/5] RUN x"];
    assert_eq!(titles(&planned.graph), expected);
    let Action::Folder { path, owner } = &planned.graph.steps[2].action else { panic!() };
    assert_eq!((&path[..], owner.as_deref()), ("/base/b", Some("app")));
    expect![[r#"
        {
          "architecture": "amd64",
          "config": {
            "Cmd": [
              "base"
            ],
            "Entrypoint": [
              "entry"
            ],
            "Env": [
              "PATH=/bin",
              "A=1"
            ],
            "ExposedPorts": {
              "1/tcp": {}
            },
            "Labels": {
              "l": "1"
            },
            "Shell": [
              "/bin/bash",
              "-c"
            ],
            "User": "app",
            "WorkingDir": "/base/b"
          },
          "os": "linux"
        }"#]]
    .assert_eq(&format!("{:#}", json!(planned.graph.config)));
}

#[test]
fn a_trigger_may_need_more_images() {
    let text = "FROM parent";
    let file = Dockerfile::parse(text).unwrap();
    let mut bases = Bases::default();
    let first = needs(&file, &amd64(), &bases).unwrap();
    let config = json!({ "config": { "OnBuild": ["COPY --from=tools /t /t"] } });
    bases.insert(&first[0], Base { id: Digest::of(b"parent"), config });
    let second = needs(&file, &amd64(), &bases).unwrap();
    assert_eq!((&second[0].reference[..], second.len()), ("tools", 1));
    let missing = plan(&file, &amd64(), &bases).unwrap_err();
    assert_eq!(missing[0].to_string(), "line 1, column 1: the image tools for linux/amd64 is not at hand");
}

#[test]
fn triggers_do_not_reach_grandchildren() {
    let text = "FROM scratch AS a\nONBUILD RUN t\nFROM a AS b\nRUN b\nFROM b\nRUN c";
    assert_eq!(titles(&graph(text, &amd64())), ["[b 1/2] RUN t", "[b 2/2] RUN b", "[stage-2 1/1] RUN c"]);
}

#[test]
fn a_broken_trigger_is_the_froms_problem() {
    let base = json!({ "config": { "OnBuild": ["RUNN x"] } });
    let problems = plan_on(&base, "FROM scratch\nFROM a", &amd64()).unwrap_err();
    let expected = "line 2, column 1: the base's trigger `ONBUILD RUNN x`: unknown instruction RUNN";
    assert_eq!(problems[0].to_string(), expected);
}

#[test]
fn named_contexts_go_before_images_and_stages() {
    let text = "FROM docker.io/library/debian AS base\nRUN 1\nFROM busybox\nCOPY --from=base /x /x\nCOPY --from=files . /y";
    let context = |pairs: &[(&str, NamedContext)]| Request {
        contexts: pairs.iter().map(|(name, context)| ((*name).to_owned(), context.clone())).collect(),
        ..amd64()
    };
    let folder = NamedContext::Folder;
    let both = graph(text, &context(&[("files", folder.clone()), ("base", folder.clone())]));
    let from = |graph: &Graph, at: usize| match &graph.steps[at].action {
        Action::Copy(copy) => match &copy.sources[0] {
            Source::Files { from, .. } => from.clone(),
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    };
    assert_eq!(from(&both, 0), Tree::Context("base".to_owned()));
    assert_eq!(from(&both, 1), Tree::Context("files".to_owned()));
    let image = NamedContext::Image("mine:1".to_owned());
    let swapped = context(&[("files", folder), ("debian", image)]);
    let needs = needs(&Dockerfile::parse(text).unwrap(), &swapped, &Bases::default()).unwrap();
    assert_eq!(needs.iter().map(|need| &need.reference[..]).collect::<Vec<_>>(), ["busybox", "mine:1"]);
}

#[test]
fn a_folder_as_a_base_is_a_tree_like_scratch() {
    let request = Request { contexts: [("root".to_owned(), NamedContext::Folder)].into(), ..amd64() };
    let graph = graph("FROM root\nRUN x", &request);
    assert_eq!(graph.steps[0].base, Tree::Context("root".to_owned()));
    assert_eq!(graph.config["config"]["WorkingDir"], "/");
}

#[test]
fn commands_replace_and_reset() {
    let text = |end: &str| format!("FROM scratch AS a\nCMD [\"a\"]\nENTRYPOINT [\"e\"]\nFROM a\n{end}");
    for (end, entrypoint, cmd) in [
        ("LABEL a=b", json!(["e"]), json!(["a"])),
        ("ENTRYPOINT [\"f\"]", json!(["f"]), Value::Null),
        ("CMD [\"b\"]\nENTRYPOINT [\"f\"]", json!(["f"]), json!(["b"])),
        ("ENTRYPOINT []", Value::Null, Value::Null),
        ("CMD []", json!(["e"]), Value::Null),
        ("SHELL [\"/s\"]\nCMD x $Y", json!(["e"]), json!(["/s", "x $Y"])),
    ] {
        let settings = settings(&text(end));
        assert_eq!((settings["Entrypoint"].clone(), settings["Cmd"].clone()), (entrypoint, cmd), "{end}");
    }
}

#[test]
fn the_labels_of_the_request_win() {
    let request = Request { labels: [("a".to_owned(), "request".to_owned())].into(), ..amd64() };
    let graph = graph("FROM scratch\nLABEL a=file b=file", &request);
    assert_eq!(graph.config["config"]["Labels"], json!({ "a": "request", "b": "file" }));
}

#[test]
fn every_mount_with_its_defaults() {
    let text = "FROM scratch AS s\nFROM a\nARG ID=id\nWORKDIR /w\nRUN \
        --mount=target=rel,source=/s/../t,rw \
        --mount=type=cache,target=/c//d,from=s,id=$ID,sharing=private,ro,mode=0700,uid=1,gid=2 \
        --mount=type=cache,dst=plain \
        --mount=type=tmpfs,target=/t,size=64m \
        --mount=type=secret,id=x \
        --mount=type=secret,target=/etc/y,required \
        --mount=type=secret,id=z,env=Z \
        --mount=type=ssh,required=true,\\\"id=a,b\\\" true";
    let graph = graph(text, &amd64());
    let Action::Run(run) = &graph.steps[1].action else { panic!() };
    let mounts: String =
        run.mounts.iter().map(|mount| format!("{:?} {:?}\n", mount.target, mount.kind)).collect();
    expect![[r#"
        "/w/rel" Bind { from: Context(""), source: "/t", writable: true }
        "/c/d" Cache { id: "id", from: Empty, source: "/", sharing: Private, readonly: true, mode: 448, uid: 1, gid: 2 }
        "/w/plain" Cache { id: "plain", from: Empty, source: "/", sharing: Shared, readonly: false, mode: 493, uid: 0, gid: 0 }
        "/t" Tmpfs { size: Some(67108864) }
        "/run/secrets/x" Secret { id: "x", env: None, required: false, mode: 256, uid: 0, gid: 0 }
        "/etc/y" Secret { id: "y", env: None, required: true, mode: 256, uid: 0, gid: 0 }
        "" Secret { id: "z", env: Some("Z"), required: false, mode: 256, uid: 0, gid: 0 }
        "/run/buildkit/ssh_agent.0" Ssh { id: "a,b", required: true, mode: 384, uid: 0, gid: 0 }
    "#]]
    .assert_eq(&mounts);
}

#[test]
fn networks_are_the_requests_unless_named() {
    let request = Request { network: Network::None, ..amd64() };
    let graph = graph("FROM a\nRUN 1\nRUN --network=host 2\nRUN --network=default 3", &request);
    let networks = graph.steps.iter().map(|step| match &step.action {
        Action::Run(run) => run.network,
        other => panic!("{other:?}"),
    });
    assert_eq!(networks.collect::<Vec<_>>(), [Network::None, Network::Host, Network::None]);
}

#[test]
fn sources_from_elsewhere() {
    let sum = format!("sha256:{}", "0".repeat(64));
    let text = format!(
        "FROM scratch\nADD --checksum={sum} https://x/y.tar.gz /d/\nADD --unpack http://x/z /d/\n\
         ADD --keep-git-dir=true https://h/r.git#v1:sub /g\nADD git@h:r.git /g\nADD https://h/r.git?branch=b&subdir=s /g"
    );
    let shown = |step: &crate::builder::graph::Step| match &step.action {
        Action::Copy(copy) => format!("{:?}\n", copy.sources[0]),
        other => panic!("{other:?}"),
    };
    expect![[r#"
        Http { url: "https://x/y.tar.gz", checksum: Some(sha256:0000000000000000000000000000000000000000000000000000000000000000), unpack: false }
        Http { url: "http://x/z", checksum: None, unpack: true }
        Git { url: "https://h/r.git", reference: Some("v1"), folder: Some("sub"), keep_git_dir: true, checksum: None }
        Git { url: "git@h:r.git", reference: None, folder: None, keep_git_dir: false, checksum: None }
        Git { url: "https://h/r.git", reference: Some("b"), folder: Some("s"), keep_git_dir: false, checksum: None }
    "#]]
    .assert_eq(&graph(&text, &amd64()).steps.iter().map(shown).collect::<String>());
}

#[test]
fn what_is_likely_not_meant() {
    let text = "FROM a AS Upper\nARG API_KEY\nENV PUBLIC_KEY=x DB_PASSWORD=y\nARG known=1\nLABEL a=$knwon\nFROM upper AS upper\n";
    let planned = plan_on(&json!({}), text, &with_arguments(&[("typo", "1"), ("known", "2")])).unwrap();
    let shown: String = planned.warnings.iter().map(|warning| format!("{warning}\n")).collect();
    expect![[r#"
        line 1: the stage name Upper is not in lower case (StageNameCasing)
        line 2: ARG API_KEY stays readable in the image; RUN --mount=type=secret doesn't (SecretsUsedInArgOrEnv)
        line 3: ENV DB_PASSWORD stays readable in the image; RUN --mount=type=secret doesn't (SecretsUsedInArgOrEnv)
        line 5: the variable knwon is not set here; did you mean known? (UndefinedVar)
        line 6: two stages are named upper (DuplicateStageName)
    "#]]
    .assert_eq(&shown);
    assert_eq!(planned.unused_arguments, ["typo"]);
    let silent = format!("# check=skip=all\n{text}");
    assert!(plan_on(&json!({}), &silent, &amd64()).unwrap().warnings.is_empty());
}

#[test]
fn long_chains_and_doubling_values_are_no_trouble() {
    let chain: String = (1..20_000).map(|at| format!("FROM s{} AS s{at}\n", at - 1)).collect();
    assert!(graph(&format!("FROM scratch AS s0\n{chain}"), &amd64()).steps.is_empty());
    let labelled: String =
        (1..3_000).map(|at| format!("FROM s{} AS s{at}\nLABEL l{at}=x\n", at - 1)).collect();
    let graph = graph(&format!("FROM scratch AS s0\n{labelled}"), &amd64());
    assert_eq!(graph.history.len(), 2_999);
    let doubling = "ENV A=$A$A\n".repeat(14);
    problems(
        &format!("FROM scratch\nENV A=0123456789\n{doubling}"),
        &amd64(),
        &expect![[r#"
        line 16, column 7: the value would be longer than 131072 bytes
    "#]],
    );
}

#[test]
fn all_privileges_are_granted_or_refused() {
    let text = "FROM scratch\nRUN --security=insecure [\"/x\"]\n";
    problems(
        text,
        &amd64(),
        &expect![[r#"
        line 2, column 5: --security=insecure is not granted; the stack file grants it: `entitlements: [security.insecure]` of the service's `build`
    "#]],
    );
    let mut request = amd64();
    request.settings.insecure = true;
    let graph = graph(text, &request);
    let Action::Run(run) = &graph.steps[0].action else { panic!("no RUN") };
    assert_eq!(run.security, Security::Insecure);
}

#[test]
fn stages_that_take_nothing_from_earlier_builds_are_found_in_any_case() {
    let text = "FROM scratch AS One\nCOPY a /\nFROM one\nCOPY b /\n";
    let mut request = amd64();
    request.fresh = ["ONE", "stage-1", "two"].map(str::to_owned).into();
    let planned = plan_on(&json!({}), text, &request).unwrap();
    assert_eq!(planned.fresh, [StepId(0), StepId(1)].into());
    assert_eq!(planned.unknown_stages, ["two"]);
}
