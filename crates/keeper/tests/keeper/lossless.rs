//! No byte is lost or doubled, however often the keeper is killed.

use std::fs;
use std::time::Duration;

use hoist_keeper::Limits;
use hoist_keeper::protocol::Phase;
use hoist_runtime::identity::Exit;

use crate::Test;
use crate::host::Host;

pub const TESTS: &[Test] = &[
    ("a_hundred_and_fifty_kills_lose_and_double_nothing", a_hundred_and_fifty_kills),
    ("kills_in_the_middle_of_large_writes_lose_and_double_nothing", large_writes),
];

/// Roll over often, keep everything.
const LIMITS: Limits = Limits { segment_bytes: 256 << 10, segments: 100_000 };

/// Waits that differ, without chance: a run that fails can be repeated.
fn pauses(count: u64) -> impl Iterator<Item = Duration> {
    (0..count).map(|turn| Duration::from_micros(turn * 7919 % 12_000))
}

fn a_hundred_and_fifty_kills() {
    let mut host = Host::new();
    let script = "i=0; trap stop=1 TERM
        while [ -z \"$stop\" ]; do echo $i; i=$((i+1)); done; echo $i >&2";
    let mut launch = host.shell("count", script);
    launch.log.as_mut().unwrap().limits = LIMITS;
    host.launch_as(launch);
    for pause in pauses(150) {
        std::thread::sleep(pause);
        host.kill_keeper();
        host.start();
    }
    host.connect();
    assert_eq!(host.phase("count"), Some(Phase::Running));
    host.signal("count", libc::SIGTERM);
    // It was another keeper's child; how it ended the kernel tells.
    assert_eq!(host.exit("count").exit, Exit::Code(0));
    let text = concatenated(&host, "stdout");
    let written: u64 = concatenated(&host, "stderr").trim().parse().unwrap();
    assert!(written > 1000, "{written}");
    let expected: String = (0..written).map(|number| format!("{number}\n")).collect();
    assert_same(&text, &expected);
}

fn large_writes() {
    const LAST: u64 = 4_000_000;
    let mut host = Host::new();
    // Bursts of large writes that end in the middle of lines, for long enough to meet many kills.
    let script = "i=0; while [ $i -lt 400 ]; do
        seq $((i * 10000 + 1)) $((i * 10000 + 10000)); i=$((i + 1)); sleep 0.005; done";
    let mut launch = host.shell("count", script);
    launch.log.as_mut().unwrap().limits = LIMITS;
    host.launch_as(launch);
    // What an agent holds: the end may come while no keeper runs.
    let held = host.spawned("count");
    let mut kills = 0;
    for pause in pauses(10_000) {
        std::thread::sleep(pause);
        host.restart();
        kills += 1;
        match host.phase("count") {
            Some(Phase::Running) => {}
            Some(Phase::Exited(_)) => break,
            Some(Phase::Lost) => {
                host.hand_back("count", None, None);
                break;
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(kills > 3, "{kills}");
    drop(held);
    let expected: String = (1..=LAST).map(|number| format!("{number}\n")).collect();
    assert_same(&concatenated(&host, "stdout"), &expected);
}

fn concatenated(host: &Host, stream: &str) -> String {
    let mut segments: Vec<_> = fs::read_dir(host.log_dir("count"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "log"))
        .filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with(stream))
        .collect();
    segments.sort();
    segments.iter().map(|segment| fs::read_to_string(segment).unwrap()).collect()
}

/// Without printing megabytes.
fn assert_same(found: &str, expected: &str) {
    if found != expected {
        let at = found.bytes().zip(expected.bytes()).position(|(a, b)| a != b);
        panic!("{} bytes instead of {}, the first wrong one at {at:?}", found.len(), expected.len());
    }
}
