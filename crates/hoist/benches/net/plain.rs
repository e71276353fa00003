//! The same by hand: two namespaces, each with a veth pair to one bridge.

use std::path::Path;

use super::ends::{self, Ends};
use super::figures::Way;
use super::sh;

pub(super) fn ways(folder: &Path) -> Vec<Way> {
    let ends = Ends { server: "1000001", client: "1000002" };
    sh("ip link add plain type bridge && ip addr add 10.78.0.1/24 dev plain && ip link set plain up");
    for seconds in [ends.server, ends.client] {
        sh(&format!("unshare --net sleep {seconds} >/dev/null 2>&1 &"));
    }
    let (server, client) = ends.processes();
    for (number, pid) in [(2, server), (3, client)] {
        sh(&format!(
            "ip link add plain{number} type veth peer name eth0 netns {pid} && ip link set plain{number} master plain up && \
             nsenter -t {pid} -n sh -c 'ip link set lo up; ip addr add 10.78.0.{number}/24 dev eth0; ip link set eth0 up'"
        ));
    }
    ends::serve(server, folder, "plain");
    vec![
        Way::between("plain, instance to instance", client, "10.78.0.2", "plain, instance to instance"),
        Way::from_host("plain, host to instance", "10.78.0.2", [5201, 8080], "plain, host to instance"),
    ]
}
