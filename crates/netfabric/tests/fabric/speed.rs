//! Not a test of speed, but of what would make everything slow.

use std::time::Instant;

use crate::harness::{World, ready};

#[test]
fn a_new_instance_is_reachable_at_once() {
    if !ready("a_new_instance_is_reachable_at_once", &["ip"]) {
        return;
    }
    let mut world = World::new();
    for round in 0..3 {
        let start = Instant::now();
        let (server, client) = (world.instance("a"), world.instance("a"));
        let attached = start.elapsed();
        server.ns.serve("server", "0.0.0.0:80");
        client.ns.ask(&format!("{}:80", server.v4)).unwrap();
        println!("round {round}: attached {attached:?}, answered {:?}", start.elapsed());
    }
    let service = world.service("a", 1, &[]);
    let client = world.instance("a");
    let start = Instant::now();
    client.ns.ask(&format!("{}:80", service.v4)).unwrap_err();
    println!("refused {:?}", start.elapsed());
}
