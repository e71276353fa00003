//! Beside a firewall that drops what is forwarded, as dockerd leaves it: ports and outgoing traffic work, and the
//! firewall is afterwards as it was.

use hoist_tests::{Host, SOON, eventually, host::OUTSIDE};

/// What dockerd sets up on a host (its chains, and the policy that drops what no rule of its own accepts).
const DOCKERS: &str = "set -e
    iptables -N DOCKER-USER; iptables -N DOCKER; iptables -N DOCKER-ISOLATION-STAGE-1
    iptables -A DOCKER-USER -j RETURN; iptables -A DOCKER-ISOLATION-STAGE-1 -j RETURN
    iptables -A FORWARD -j DOCKER-USER; iptables -A FORWARD -j DOCKER-ISOLATION-STAGE-1
    iptables -P FORWARD DROP";

#[test]
fn ports_and_outgoing_traffic_pass_a_dropping_forward_chain() {
    let Some(host) = Host::with(&["iptables"]) else { return };
    host.shell(DOCKERS).ok();
    let stack = host.stack("foreign-firewall");
    let before = stack.listing();
    stack.up(&[]);
    let answer = host.answer_from_outside(8094);
    assert!(answer.starts_with(&format!("hello to {OUTSIDE} from")), "the asker's address is kept: {answer}");
    assert!(host.get(8094, "/").success().stdout.starts_with("hello"));

    let programs = concat!(env!("CARGO_MANIFEST_DIR"), "/programs");
    let mut server = std::process::Command::new("ip");
    server.args(["netns", "exec", "outside", "perl", &format!("{programs}/serve.pl"), "80"]);
    let server = host.start(server);
    server.wait_for_output("listening", SOON);
    let out = stack.hoist(&["exec", "-T", "web", "perl", "get.pl", "198.51.100.1:80"]).success();
    assert!(out.stdout.starts_with("hello to 192.0.2.1 from"), "masqueraded as the host: {out}");

    stack.down();
    eventually("the firewall is as it was", SOON, || {
        stack.listing().kind("firewall") == before.kind("firewall")
    });
    assert!(host.shell("iptables -S FORWARD").success().stdout.contains("-P FORWARD DROP"));
}
