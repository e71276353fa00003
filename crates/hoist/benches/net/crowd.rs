//! What ten more instances cost where there are ten already, and where there are a thousand on twenty networks.

use std::time::Instant;

use super::figures::median;
use super::hoist::Hoist;

const ROUNDS: usize = 5;
const STEP: usize = 10;

pub(super) fn measure(hoist: &Hoist) {
    let few = added(hoist, 10, 1);
    let many = added(hoist, 1000, 20);
    println!("Medians of {ROUNDS} times ten more instances.\n");
    println!("| | one more instance | / among 10 |\n|---|---|---|");
    println!("| among 10 on a network | {few:.1} ms | 1.00 |");
    println!("| among 1,000 on 20 networks | {many:.1} ms | {:.2} |\n", many / few);
}

/// The time of `up` per instance that it adds, in milliseconds.
fn added(hoist: &Hoist, size: usize, networks: usize) -> f64 {
    hoist.up("crowd", &services(hoist, size, networks));
    let add = |round| {
        let text = services(hoist, size + round * STEP, networks);
        let began = Instant::now();
        hoist.up("crowd", &text);
        began.elapsed().as_secs_f64() * 1000.0 / STEP as f64
    };
    let time = median((1..=ROUNDS).map(add).collect());
    hoist.down("crowd");
    time
}

fn services(hoist: &Hoist, size: usize, networks: usize) -> String {
    let rootfs = hoist.rootfs.display();
    let service = |number: usize| {
        format!(
            "  s{number}:\n    x-hoist: {{ rootfs: {rootfs} }}\n    command: [sleep, \"100000\"]\n    \
             stop_signal: SIGKILL\n    networks: [n{}]\n",
            number % networks
        )
    };
    let declared: String = (0..networks).map(|number| format!("  n{number}: {{}}\n")).collect();
    (0..size).map(service).collect::<String>() + "networks:\n" + &declared
}
