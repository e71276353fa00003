//! Somebody removes parts of the network under a running stack, on the host and in the fabric: each is back soon, and no
//! instance is started again for it.

use std::time::Duration;

use hoist_tests::{Host, Stack, eventually};

/// A repair takes well below a second, but what was sent meanwhile waits to be sent again: a question to the name server
/// for five.
const BOUND: Duration = Duration::from_secs(15);

/// In the fabric's namespace, which is pinned at `$N`.
const IN_FABRIC: [&str; 9] = [
    "ip link del $(ip -br link | grep -o '^br-[0-9a-f]*')",
    "ip link del $(ip -br link | grep -o '^[0-9a-f]*\\.0' | head -1)",
    "ip link del uplink",
    "ip addr flush dev $(ip -br link | grep -o '^br-[0-9a-f]*')",
    "ip route flush table main",
    "ip rule del pref 32766",
    "ip neigh flush nud permanent",
    "nft flush ruleset",
    "sysctl -qw net.ipv4.ip_forward=0",
];

/// On the host; `$T` is the name of our link and tables.
const ON_HOST: [&str; 5] = [
    "nft delete table ip $T",
    "nft flush chain ip $T prerouting",
    "ip route flush dev $T",
    "ip addr flush dev $T",
    "sysctl -qw net.ipv4.ip_forward=0",
];

fn works(host: &Host, stack: &Stack<'_>) -> bool {
    let asked = stack.hoist(&["exec", "-T", "peer", "perl", "get.pl", "web:8000"]);
    let outside = host.get_from_outside(8097, "/");
    asked.stdout.starts_with("hello") && outside.stdout.starts_with("hello")
}

#[test]
fn what_others_remove_of_the_network_comes_back() {
    let Some(host) = Host::with(&["nft", "sysctl"]) else { return };
    let stack = host.stack("fabric-damage");
    stack.up(&[]);
    eventually("all works at first", BOUND, || works(&host, &stack));
    let runs = stack.pids();
    let netns = stack.root().join("fabric/netns");
    let inside = |command: &str| {
        format!("nsenter --net={} sh -c \"{}\"", netns.display(), command.replace('$', "\\$"))
    };
    let tag = host.shell(&inside("nft list tables | grep -o 'hoist-[0-9a-f]*' | head -1")).success().stdout;
    let on_host = ON_HOST.map(|command| command.replace("$T", tag.trim()));
    for command in IN_FABRIC.map(inside).into_iter().chain(on_host) {
        host.shell(&command).ok();
        eventually(&format!("all works after {command}"), BOUND, || works(&host, &stack));
    }
    assert_eq!(stack.pids(), runs, "nothing was started again");
    stack.down();
}
