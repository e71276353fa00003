//! Who answers, under which name and port, whatever health checks say.

use hoist_tests::command::wait_for_outcome;
use hoist_tests::{Host, SOON, Stack};

const MODES: [&str; 2] = ["vip", "dnsrr"];

#[track_caller]
fn answers(stack: &Stack<'_>, name: &str, text: &str) {
    let what = format!("{name} answers");
    let target = format!("{name}:8000");
    let ask = || stack.hoist(&["exec", "-T", "asker", "perl", "get.pl", &target]);
    wait_for_outcome(&what, SOON, ask, |got| got.code == 0 && got.stdout.starts_with(text));
}

#[track_caller]
fn answers_outside(host: &Host, port: u16, text: &str) {
    let what = format!("port {port} answers");
    let ask = || host.get_from_outside(port, "/");
    wait_for_outcome(&what, SOON, ask, |got| got.code == 0 && got.stdout.starts_with(text));
}

#[test]
fn a_service_without_a_ready_instance_is_reached_by_port_and_by_every_name() {
    for mode in MODES {
        let Some(host) = Host::new() else { return };
        let stack = host.stack("health/traffic.yaml").with("MODE", mode);
        stack.up(&["unproven", "unhealthy", "asker"]).ok();
        stack.wait_for_instance("unhealthy", "gets unhealthy", |row| row.health == "unhealthy");
        answers_outside(&host, 8091, "unproven");
        answers_outside(&host, 8092, "unhealthy");
        for name in ["unproven", "unproven-alias", "unproven-1", "unproven-container", "unproven-host"] {
            answers(&stack, name, "unproven");
        }
        for name in [
            "unhealthy",
            "unhealthy-1",
            "traffic-unhealthy-1",
            "unhealthy-host",
            "unhealthy-host.example.test",
        ] {
            answers(&stack, name, "unhealthy");
        }
        assert_eq!(stack.instance("unproven").health, "starting");
        stack.down().ok();
    }
}

#[test]
fn members_that_check_each_other_come_up() {
    for mode in MODES {
        let Some(host) = Host::new() else { return };
        let stack = host.stack("health/traffic.yaml").with("MODE", mode);
        stack.up(&["--wait", "first", "second"]).ok();
        for member in ["first", "second"] {
            assert_eq!(stack.instance(member).health, "healthy", "{mode}");
        }
        stack.down().ok();
    }
}
