//! Properties: what is shown can be read again and means the same; no input panics.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use hoist_stackfile::canonical::{Dialect, escape_dollars, to_yaml};
use hoist_stackfile::{LowerOptions, MemoryReader, Source, Sources, fuzz, load, lower};
use proptest::prelude::*;
use std::path::Path;

fn sources(text: String) -> Sources {
    Sources {
        files: vec![Source { path: "/p/stack.yaml".to_owned(), text: Some(text) }],
        project_dir: "/p".to_owned(),
        name_from_folder: true,
        profiles: vec!["*".to_owned()],
        ..Sources::default()
    }
}

/// An attribute with a valid value.
fn attribute() -> impl Strategy<Value = String> {
    let number = 1..2000_u32;
    prop_oneof![
        "[a-z]{1,8}".prop_map(|v| format!("command: {v} 'a b' $$HOME")),
        "[a-z]{1,8}".prop_map(|v| format!("entrypoint: [{v}, \"x y\"]")),
        "[A-Z]{2,8}".prop_map(|v| format!("environment: {{{v}: 1e3, A: yes, B: '$$x', C: 0440, D: null}}")),
        number.clone().prop_map(|v| format!("ports: ['{v}:80', '{}-{}:90-91/udp', '7']", v + 3000, v + 3001)),
        "[a-z]{1,8}".prop_map(|v| format!("volumes: ['./{v}:/b/:ro,z', data:/c, /d]")),
        number.clone().prop_map(|v| format!("shm_size: {v}m")),
        number.clone().prop_map(|v| format!(
            "deploy: {{replicas: {}, resources: {{limits: {{cpus: '0.{v}'}}}}}}",
            v % 5
        )),
        number.clone().prop_map(|v| format!("healthcheck: {{test: 'x | y', interval: {v}ms, retries: {v}}}")),
        number.prop_map(|v| format!("ulimits: {{nofile: {v}, core: {{soft: 0, hard: {v}}}}}")),
        Just("extra_hosts: ['a:1.2.3.4', 'b=[::1]']".to_owned()),
        Just("tmpfs: /run:size=1m".to_owned()),
        Just("labels: [a=b, c]".to_owned()),
        Just("networks: {back: {aliases: [x]}}".to_owned()),
        Just("secrets: [key]".to_owned()),
        Just("stop_grace_period: 1m30s".to_owned()),
        Just("init: yes".to_owned()),
        Just("logging: {driver: json-file, options: {max-size: 1m, max-file: 3}}".to_owned()),
        Just("x-own: {a: [1, 2.5, null, ~, 2024-01-02]}".to_owned()),
    ]
}

fn stack() -> impl Strategy<Value = String> {
    let service = prop::collection::vec(attribute(), 0..6);
    prop::collection::vec(service, 1..5).prop_map(|services| {
        let mut text = String::from("services:\n");
        for (index, attributes) in services.iter().enumerate() {
            text += &format!("  s{index}:\n    image: x:${{TAG:-1}}\n");
            if index > 0 {
                text += &format!("    depends_on: [s{}]\n", index - 1);
            }
            let mut seen: Vec<&str> = Vec::new();
            for attribute in attributes {
                let key = attribute.split(':').next().unwrap_or_default();
                if !seen.contains(&key) {
                    seen.push(key);
                    text += &format!("    {attribute}\n");
                }
            }
        }
        text + "networks: {back: {}}\nvolumes: {data: {}}\nsecrets: {key: {file: ./key}}\n"
    })
}

proptest! {
    #[test]
    fn what_is_shown_reads_back_the_same(text in stack()) {
        let reader = MemoryReader::default().with("/p/key", "k");
        let first = load(&sources(text.clone()), &reader);
        let first = first.map_err(|e| TestCaseError::fail(format!("{text}{}", e[0])))?.project;
        let shown = to_yaml(&first.canonical(Dialect::Yaml));
        let second = load(&sources(escape_dollars(&shown)), &reader);
        let second = second.map_err(|e| TestCaseError::fail(format!("{shown}{}", e[0])))?.project;
        prop_assert_eq!(to_yaml(&second.canonical(Dialect::Yaml)), shown);
        let lowered = |project| lower(project, &LowerOptions::default(), &reader).map(|l| l.stack).ok();
        let stack = lowered(&first);
        prop_assert!(stack.is_some());
        prop_assert_eq!(stack, lowered(&second));
    }

    #[test]
    fn no_bytes_panic(data in prop::collection::vec(any::<u8>(), 0..300)) {
        for (_, target) in TARGETS {
            target(&data);
        }
    }

    #[test]
    fn no_yaml_panics(lines in prop::collection::vec("( ){0,6}(- )?[a-z]{0,9}(: )?[a-z$&*!{}\\[\\]\"'|>:0-9 ,]{0,12}", 0..12)) {
        fuzz::load(lines.join("\n").as_bytes());
    }
}

/// What the fuzz targets run.
type Target = fn(&[u8]);

const TARGETS: [(&str, Target); 9] = [
    ("load", fuzz::load),
    ("interpolation", fuzz::interpolation),
    ("dotenv", fuzz::dotenv),
    ("ports", fuzz::ports),
    ("volumes", fuzz::volumes),
    ("durations", fuzz::durations),
    ("bytes", fuzz::bytes),
    ("remote", fuzz::remote),
    ("seccomp", fuzz::seccomp),
];

/// What fuzzing found, each input another way through the code: texts, by target. None crashes or is slow.
#[test]
fn found_inputs_neither_crash_nor_take_long() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/regressions");
    for (name, target) in TARGETS {
        let text = std::fs::read_to_string(folder.join(name).with_extension("json")).unwrap();
        let inputs: Vec<String> = serde_json::from_str(&text).unwrap();
        assert!(inputs.len() >= 50, "{name}: {}", inputs.len());
        for input in inputs {
            let start = std::time::Instant::now();
            target(input.as_bytes());
            // A second where it is optimised and alone on its machine; this only tells what hangs.
            assert!(start.elapsed().as_secs() < 20, "{name}: {input:?}");
        }
    }
}
