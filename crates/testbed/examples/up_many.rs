//! How long both loops take to decide a whole `up`: `cargo run --release -p hoist-testbed --example up_many -- 100`.

use std::collections::BTreeMap;
use std::time::Instant;

use hoist_planner::cluster::intent::UpOptions;
use hoist_testbed::builder::{service, stack};
use hoist_testbed::sim::{Faults, World};

fn main() {
    let count: u32 = std::env::args().nth(1).and_then(|n| n.parse().ok()).unwrap_or(100);
    let mut built = stack("many");
    for n in 0..count {
        let mut one = service(&format!("s{n}"));
        if n >= 10 {
            one = one.needs(&format!("s{}", n / 10), hoist_model::Condition::ServiceStarted);
        }
        built = built.service(one);
    }
    let stack = built.build();
    let mut world = World::new(1, Faults::NONE, BTreeMap::new());
    for what in ["up", "up again"] {
        let begun = Instant::now();
        let op = world.up(&stack, UpOptions::default());
        world.until_ended(op);
        println!("{what}: {:?}", begun.elapsed());
    }
}
