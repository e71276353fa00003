//! Who the process is, and what it may.

use hoist_runtime::{capabilities, defaults, launch, users};
use oci_spec::runtime::{Capability, PosixRlimit, PosixRlimitBuilder, PosixRlimitType, User};

use crate::world::*;
use std::os::fd::AsFd;

const DEFAULT_MASK: &str = "00000000a80425fb";
const NOTHING: &str = "0000000000000000";
/// Without a shell, which has its own mind about signals.
const SHOW_STATUS: [&str; 4] = ["grep", "-E", "^(Cap|NoNewPrivs|Sig[BI])", "/proc/self/status"];

fn fields(text: &str) -> Vec<(&str, &str)> {
    text.lines().map(|line| line.split_once(":\t").unwrap()).collect()
}

#[test]
fn capabilities_are_exactly_the_default_set() {
    let Some(world) = World::new("capabilities_are_exactly_the_default_set") else { return };
    let text = world.run(command(&SHOW_STATUS)).ok();
    let expected = [
        ("SigBlk", NOTHING),
        ("SigIgn", NOTHING),
        ("CapInh", NOTHING),
        ("CapPrm", DEFAULT_MASK),
        ("CapEff", DEFAULT_MASK),
        ("CapBnd", DEFAULT_MASK),
        ("CapAmb", NOTHING),
        ("NoNewPrivs", "0"),
    ];
    assert_eq!(fields(&text), expected);
}

#[test]
fn without_the_field_there_are_none() {
    let Some(world) = World::new("without_the_field_there_are_none") else { return };
    let mut spec = command(&SHOW_STATUS);
    edit_process(&mut spec, |process| {
        process.set_capabilities(None).set_no_new_privileges(Some(true));
    });
    let text = world.run(spec).ok();
    for (field, value) in fields(&text) {
        assert_eq!(value, if field == "NoNewPrivs" { "1" } else { NOTHING }, "{field}");
    }
}

#[test]
fn ambient_capabilities_survive_a_user() {
    let Some(world) = World::new("ambient_capabilities_survive_a_user") else { return };
    let mut spec = command(&SHOW_STATUS);
    edit_process(&mut spec, |process| {
        let one: oci_spec::runtime::Capabilities = [Capability::NetBindService].into();
        let mut sets = defaults::capabilities([Capability::NetBindService], 0);
        sets.set_inheritable(Some(one.clone())).set_ambient(Some(one));
        process.set_capabilities(Some(sets)).user_mut().set_uid(1000).set_gid(1001);
    });
    let text = world.run(spec).ok();
    for (field, value) in fields(&text).into_iter().filter(|(field, _)| field.starts_with("Cap")) {
        assert_eq!(value, "0000000000000400", "{field}");
    }
}

#[test]
fn a_user_has_its_groups_umask_and_stdio() {
    let Some(world) = World::new("a_user_has_its_groups_umask_and_stdio") else { return };
    let who = users::resolve(world.root().as_fd(), "app", &["77".to_owned()]).unwrap();
    let mut user = User::default();
    user.set_uid(who.uid).set_gid(who.gid).set_additional_gids(Some(who.groups)).set_umask(Some(0o027));
    let script = "id; umask; echo again >/dev/stdout; grep CapEff /proc/self/status";
    let mut spec = shell(script);
    edit_process(&mut spec, |process| {
        process.set_user(user).set_capabilities(Some(defaults::capabilities(capabilities::DEFAULT, 1000)));
    });
    let text = world.run(spec).ok();
    let expected = "uid=1000(app) gid=1001(app) groups=44(video),77,1001(app)\n0027\nagain\n\
                    CapEff:\t0000000000000000\n";
    assert_eq!(text, expected);
}

#[test]
fn limits_are_set_and_what_is_beyond_us_is_said() {
    let Some(world) = World::new("limits_are_set_and_what_is_beyond_us_is_said") else { return };
    let limit = |typ, soft: u64, hard: u64| -> PosixRlimit {
        PosixRlimitBuilder::default().typ(typ).soft(soft).hard(hard).build().unwrap()
    };
    let mut spec = shell("ulimit -n; ulimit -Hn; ulimit -c; cat /proc/self/oom_score_adj");
    edit_process(&mut spec, |process| {
        process.set_oom_score_adj(Some(500)).set_rlimits(Some(vec![
            limit(PosixRlimitType::RlimitNofile, 100, 200),
            limit(PosixRlimitType::RlimitCore, 0, 0),
        ]));
    });
    assert_eq!(world.run(spec.clone()).ok(), "100\n200\n0\n500\n");

    let can_raise = status_of_self("CapEff") & (1 << 24) != 0;
    edit_process(&mut spec, |process| {
        process.set_rlimits(Some(vec![limit(PosixRlimitType::RlimitNofile, 1 << 30, 1 << 30)]));
    });
    let (mut input, _output) = world.input(spec.clone());
    input.shortfall = launch::Shortfall::Refuse;
    let refused = prepare(input);
    let (input, _output) = world.input(spec);
    let warned = prepare(input).unwrap();
    if can_raise {
        assert!(refused.is_ok() && warned.warnings().is_empty());
    } else {
        let error = refused.unwrap_err().to_string();
        assert!(error.starts_with("the limit nofile can't be raised to 1073741824"), "{error}");
        assert_eq!(warned.warnings(), [error]);
    }
}

fn status_of_self(field: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(field)).unwrap();
    u64::from_str_radix(line.split_whitespace().last().unwrap(), 16).unwrap()
}
