use hoist_goldens::Golden;
use hoist_runtime::identity::{Exit, ProcessIdentity};

use super::*;
use crate::segments::{Limits, Stream};
use crate::stdio::pump::LogState;
use crate::stdio::{StdioKind, StdioSpec, WindowSize};

#[test]
fn the_newest_version_that_both_speak_is_chosen() {
    let of = |oldest, newest| Versions { oldest, newest };
    for (ours, theirs, common) in [
        (of(1, 1), of(1, 1), Some(1)),
        (of(1, 2), of(1, 1), Some(1)),
        (of(1, 1), of(1, 2), Some(1)),
        (of(1, 2), of(2, 3), Some(2)),
        (of(1, 2), of(3, 4), None),
        (of(3, 4), of(1, 2), None),
    ] {
        assert_eq!(ours.common(theirs), common, "{ours:?} and {theirs:?}");
        assert_eq!(theirs.common(ours), common, "{theirs:?} and {ours:?}");
    }
    let Versions { oldest, newest } = Versions::OURS;
    assert!(newest - oldest <= 1);
}

#[test]
fn keys_are_fit_to_be_folders() {
    for good in ["a", "0b9c", "web-1_x.y", &"x".repeat(128)] {
        assert!(Key::new(good).is_ok(), "{good:?}");
    }
    for bad in ["", ".", "..", ".x", "a/b", "a b", "a\0", "ä", &"x".repeat(129)] {
        assert!(Key::new(bad).is_err(), "{bad:?}");
        assert!(serde_json::from_value::<Key>(bad.into()).is_err(), "{bad:?}");
    }
}

fn key() -> Key {
    Key::new("web-1").unwrap()
}

fn launch() -> Launch {
    let spec = serde_json::json!({ "ociVersion": "1.2.0", "process": {
        "args": ["true"], "cwd": "/", "user": { "uid": 1, "gid": 2 },
    } });
    Launch {
        key: key(),
        attempt: 2,
        spec: serde_json::from_value(spec).unwrap(),
        stdio: StdioSpec { dir: "/i/run".into(), uid: 1, gid: 2, kind: StdioKind::Pipes { stdin: true } },
        log: Some(LogSpec { dir: "/i/log".into(), limits: Limits::default() }),
        cgroup: None,
        cgroup_dirs: vec!["/sys/fs/cgroup/hoist/web-1".into()],
        executable: None,
        init: true,
        best_effort: false,
        netns: true,
    }
}

fn requests() -> Vec<Request> {
    let size = WindowSize { rows: 24, columns: 80 };
    let process = launch().spec.process().clone().unwrap();
    let exec = Exec {
        key: key(),
        exec: "probe".into(),
        process,
        seccomp: None,
        cgroup_dirs: Vec::new(),
        terminal: Some(size),
        uid: 0,
        init: false,
        best_effort: true,
    };
    vec![
        Request::Hello(Hello { versions: Versions { oldest: 1, newest: 1 }, agent: true }),
        Request::Launch(Box::new(launch())),
        Request::Exec(Box::new(exec)),
        Request::Signal { key: key(), exec: None, signal: 15 },
        Request::Signal { key: key(), exec: Some("probe".into()), signal: 9 },
        Request::Resize { key: key(), size },
        Request::CloseStdin { key: key() },
        Request::List,
        Request::Descriptors { key: key() },
        Request::Forget { key: key() },
        Request::HandBack(HandBack { key: key(), pidfd: true, terminal: false }),
        Request::Hold { name: "ports".into() },
        Request::Take { name: "ports".into() },
        Request::Drop { name: "ports".into() },
        Request::ListHeld,
        Request::Upgrade { program: "/usr/bin/hoist".into(), args: vec!["hoist".into(), "keeper".into()] },
        Request::Goodbye,
        Request::Shutdown { force: false },
    ]
}

fn messages() -> Vec<Message> {
    let identity =
        ProcessIdentity { boot_id: "b".into(), pid: 7, start_time: 8, pidfd_inode: Some(9), cgroup: None };
    let exit = |exit| ExitRecord {
        key: key(),
        attempt: 2,
        exit,
        core_dumped: false,
        oom_killed: true,
        wall_ns: 1,
        boot_ns: 2,
    };
    let status = |phase| Status { key: key(), attempt: 2, identity: Some(identity.clone()), phase };
    let log = |state| Event::Log { key: key(), stream: Stream::Stderr, state };
    let phases = [Phase::Launching, Phase::Running, Phase::Lost, Phase::Exited(exit(Exit::Code(1)))];
    let replies = [
        Reply::Welcome(Welcome { version: 1, pid: 3 }),
        Reply::Done,
        Reply::Launched(Launched {
            key: key(),
            attempt: 2,
            identity: identity.clone(),
            warnings: vec!["w".into()],
        }),
        Reply::LaunchFailed(Failure {
            message: "can't".into(),
            errno: 2,
            advice: Some("do".into()),
            lasting: false,
        }),
        Reply::ExecStarted { pid: 4 },
        Reply::Instances(phases.map(status).to_vec()),
        Reply::Descriptors { pidfd: true },
        Reply::Taken,
        Reply::Held { names: vec!["ports".into()] },
        Reply::Refused { why: Refusal::State, message: "no".into() },
    ];
    let events = [
        Event::Spawned { key: key(), attempt: 2, identity: identity.clone() },
        Event::Exited(exit(Exit::Signal(9))),
        Event::Exited(exit(Exit::Unknown)),
        Event::ExecExited(ExecExit { key: key(), exec: "probe".into(), exit: Exit::Code(0) }),
        log(LogState::Stalled { errno: 28 }),
        log(LogState::Dropping),
        log(LogState::Resumed { lost: 5 }),
        Event::Note { text: "t".into() },
    ];
    let replies = replies.into_iter().map(|reply| Message::Reply { id: 1, reply });
    replies.chain(events.map(Message::Event)).collect()
}

fn text<T: Serialize>(messages: &[T]) -> String {
    messages.iter().map(|message| serde_json::to_string(message).unwrap() + "\n").collect()
}

fn golden(version: u32, what: &str) -> Golden {
    Golden::new(env!("CARGO_MANIFEST_DIR"), &format!("v{version}/{what}.jsonl"))
}

/// What the newest version puts on the wire. A change here breaks peers of the same version: only additions with a
/// default may change it.
#[test]
fn the_newest_version_is_written_as_ever() {
    golden(VERSION, "requests").is_text(&text(&requests()));
    golden(VERSION, "messages").is_text(&text(&messages()));
}

/// Every version down to the oldest one spoken has such files, as its own build wrote them.
#[test]
fn every_version_that_is_spoken_is_understood() {
    for version in OLDEST..=VERSION {
        let _: Vec<Request> = golden(version, "requests").lines();
        let messages: Vec<Message> = golden(version, "messages").lines();
        assert!(!messages.contains(&Message::Unknown));
        golden(version, "requests").bends_as_ever::<Vec<Request>>();
        golden(version, "messages").bends_as_ever::<Vec<Message>>();
    }
}

#[test]
fn what_a_later_version_adds_is_survived() {
    let added = r#"{"hello":{"versions":{"oldest":1,"newest":9},"agent":false,"mood":"good"}}"#;
    assert!(matches!(serde_json::from_str(added).unwrap(), Request::Hello(_)));
    let gossip = r#"{"event":{"gossip":{}}}"#;
    // The client takes what can't be read for the unknown.
    assert!(serde_json::from_str::<Message>(gossip).is_err());
}
