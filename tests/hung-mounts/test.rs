//! What waits for somebody else keeps nobody waiting: file systems that don't answer, programs that leave others behind
//! with their streams open.
//!
//! `HOIST_HUNG_STARTS` says how often the fifth is started, without and beside what hangs (5 without); the ratio of the
//! medians is printed.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use hoist_tests::{Host, LATER, SOON, Stack, eventually, host::binary};
use rustix::mount::{MountFlags, mount};

/// A file system whose server never reads a question (fuse(4)). It is aborted when the descriptor is closed.
fn hang(host: &Host, at: &Path) -> File {
    let at = at.to_owned();
    host.inside(move || {
        std::fs::create_dir(&at).unwrap();
        let device = File::options().read(true).write(true).open("/dev/fuse").unwrap();
        let options = format!("fd={},rootmode=40000,user_id=0,group_id=0", device.as_raw_fd());
        let options = std::ffi::CString::new(options).unwrap();
        mount("hung", &at, "fuse", MountFlags::NOSUID | MountFlags::NODEV, options.as_c_str()).unwrap();
        device
    })
}

/// How long `start` of the fifth takes, the median.
fn start_of_fifth(stack: &Stack<'_>, times: usize) -> Duration {
    let mut took: Vec<Duration> = (0..times)
        .map(|_| {
            stack.hoist(&["stop", "fifth"]).ok();
            stack.hoist(&["start", "fifth"]).success().took
        })
        .collect();
    took.sort();
    took[took.len() / 2]
}

#[test]
fn a_file_system_that_never_answers_holds_up_nobody_else() {
    let Some(host) = Host::new() else { return };
    if !Path::new("/dev/fuse").exists() {
        println!("skipped a_file_system_that_never_answers, because there is no /dev/fuse");
        return;
    }
    let times = std::env::var("HOIST_HUNG_STARTS").map_or(5, |times| times.parse().unwrap());
    let (hung, link) = (host.folder().join("hung"), host.folder().join("link"));
    let device = hang(&host, &hung);
    symlink(hung.join("below"), &link).unwrap();
    let plain = host.stack("hung-mounts");
    let stack = plain.with("HUNG", &hung.display().to_string()).with("LINK", &link.display().to_string());
    let before = stack.listing();
    stack.up(&["fifth"]).ok();
    let alone = start_of_fifth(&stack, times);
    let hanging = stack.start(&["up", "-d", "hung-1", "hung-2", "hung-3", "hung-4"]);
    eventually("all four are being started", SOON, || {
        stack.ps().iter().filter(|row| row.service.starts_with("hung")).count() == 4
    });
    // Those that came so far wait in a launch.
    let launches = || host.shell("ps -eo stat,args | grep -c '^D.*hoist [k]eeper'").text() == "2";
    eventually("two hang in their launch", SOON, launches);
    let beside = start_of_fifth(&stack, times);
    println!(
        "start of the fifth: {alone:?} alone, {beside:?} beside four that hang, ratio {:.2}",
        beside.as_secs_f64() / alone.as_secs_f64()
    );
    eventually("they hang still", SOON, launches);
    let rows = stack.ps();
    assert!(rows.iter().all(|row| (row.service == "fifth") == (row.state == "running")), "{rows:?}");
    let down = stack.hoist(&["down"]).success();
    assert!(down.took < SOON, "{down}");
    drop(device);
    drop(hanging);
    eventually("nothing is left", SOON, || {
        let now = stack.listing();
        ["control group", "process", "link"].iter().all(|kind| now.kind(kind) == before.kind(kind))
    });
}

#[test]
fn six_hundred_programs_left_behind_stall_nothing() {
    let Some(host) = Host::new() else { return };
    let stack = host.stack("hung-mounts");
    stack.up(&["fifth"]).ok();
    let id = stack.instance("fifth").id;
    let script = "i=0; while [ $i -lt 75 ]; do \"$@\" exec -T fifth sh -c 'sleep 1000 & exit 0' || exit 1; i=$((i+1)); done";
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/hung-mounts/stack.yaml");
    let command = || {
        let mut command = Command::new("sh");
        command.args(["-c", script, "sh"]).arg(binary()).arg("--root").arg(stack.root()).args(["-f", file]);
        command.stdin(Stdio::null()).current_dir("/");
        command
    };
    let eight: Vec<_> = (0..8).map(|_| host.start(command())).collect();
    eight.into_iter().for_each(|one| one.finish(LATER * 2).ok());
    let left = || host.shell("pgrep -fc 'sleep 1000'").text().parse::<u32>().unwrap();
    assert!(left() >= 600, "{} are left behind", left());
    let agent = stack.daemons()[0];
    let count =
        |what: &str| host.shell(&format!("ls /proc/{agent}/{what} | wc -l")).text().parse::<u32>().unwrap();
    eventually("their streams are let go of", SOON, || count("fd") < 200);
    assert!(count("task") < 100, "{} threads", count("task"));
    // Steps and store go on.
    stack.hoist(&["restart", "fifth"]).ok();
    assert_eq!(stack.instance("fifth").id, id);
    stack.down().ok();
}
