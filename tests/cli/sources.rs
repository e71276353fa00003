//! One instance's router advertisement, and who believes it.

use hoist_tests::{Host, SOON, Stack, eventually};

fn ipv6(stack: &Stack<'_>, service: &str) -> String {
    let script = "ip -6 -o addr show dev eth0; ip -6 route show default";
    stack.hoist(&["exec", "-T", service, "sh", "-c", script]).success().stdout
}

#[test]
fn nobody_believes_a_router_advertisement_unless_that_is_declared() {
    let Some(host) = Host::with(&["ip", "python3"]) else { return };
    let stack = host.stack("cli/sources.yaml");
    stack.up(&[]).ok();
    let accepts = |service: &str| {
        let file = "/proc/sys/net/ipv6/conf/eth0/accept_ra";
        stack.hoist(&["exec", "-T", service, "cat", file]).success().stdout.trim().to_owned()
    };
    assert_eq!(["host", "believer", "lab-host", "lab-believer"].map(accepts), ["0", "2", "0", "2"]);
    let before = ["host", "believer", "lab-host"].map(|service| ipv6(&stack, service));
    for router in ["router", "lab-router"] {
        stack.hoist(&["exec", "-T", router, "python3", "/advertise.py"]).ok();
    }
    // Where both guards are out, it arrives; that is when the others had time to.
    let taken_over = || ipv6(&stack, "lab-believer").contains("2001:db8:bad:");
    eventually("the believer in the unchecked network takes it", SOON, taken_over);
    assert_eq!(["host", "believer", "lab-host"].map(|service| ipv6(&stack, service)), before);
    stack.down().ok();
}
