//! Restart policy by what happens, as a table: the one in `docs/restart-policies.md`, which names what Docker does
//! otherwise.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use hoist_model::{RestartPolicy, Stack};
use hoist_planner::cluster::Request;
use hoist_planner::cluster::intent::UpOptions;
use hoist_planner::host::StartedBy;
use hoist_testbed::builder::{id, name, service, stack};
use hoist_testbed::sim::{Behaviour, Faults, World};

const POLICIES: [(&str, RestartPolicy); 5] = [
    ("no", RestartPolicy::No),
    ("on-failure", RestartPolicy::OnFailure { max: None }),
    ("on-failure:2", RestartPolicy::OnFailure { max: Some(2) }),
    ("unless-stopped", RestartPolicy::UnlessStopped),
    ("always", RestartPolicy::Always),
];

/// What happens, in order.
#[derive(Clone, Copy)]
enum Happens {
    /// The program ends by itself with this status, in every run.
    Ends(i32),
    Stop,
    Start,
    Restart,
    AgentDies,
    DaemonRestarts,
    Reboot,
    Up,
}

const ROWS: [(&str, &[Happens]); 15] = [
    ("ends with 0", &[Happens::Ends(0)]),
    ("ends with 1", &[Happens::Ends(1)]),
    ("a person stops it", &[Happens::Stop]),
    ("… and starts it", &[Happens::Stop, Happens::Start]),
    ("… and the daemon starts again", &[Happens::Stop, Happens::DaemonRestarts]),
    ("… and the machine reboots", &[Happens::Stop, Happens::Reboot]),
    ("… and the next `up`", &[Happens::Stop, Happens::Up]),
    ("a person restarts it", &[Happens::Restart]),
    ("the agent dies and is back", &[Happens::AgentDies]),
    ("the daemon starts again", &[Happens::DaemonRestarts]),
    ("the machine reboots", &[Happens::Reboot]),
    ("ended with 0, the machine reboots", &[Happens::Ends(0), Happens::Reboot]),
    ("ended with 1, the machine reboots", &[Happens::Ends(1), Happens::Reboot]),
    ("ended with 0, the next `up`", &[Happens::Ends(0), Happens::Up]),
    ("runs, the next `up`", &[Happens::Up]),
];

fn app(policy: RestartPolicy) -> Stack {
    stack("shop").service(service("app").restart(policy)).build()
}

fn select() -> (hoist_model::StackId, Vec<hoist_model::ServiceName>) {
    (id("shop"), Vec::new())
}

fn happen(world: &mut World, what: Happens, stack: &Stack) {
    let (shop, services) = select();
    let op = match what {
        Happens::Ends(_) => None,
        Happens::Stop => Some(world.ask(Request::Stop { stack: shop, services, timeout: None })),
        Happens::Start => Some(world.ask(Request::Start { stack: shop, services, wait: false })),
        Happens::Restart => {
            Some(world.ask(Request::Restart { stack: shop, services, no_deps: false, timeout: None }))
        }
        Happens::Up => Some(world.up(stack, UpOptions::default())),
        Happens::AgentDies => {
            world.kill_agent(StartedBy::Crash);
            None
        }
        Happens::DaemonRestarts => {
            world.kill_agent(StartedBy::Person);
            None
        }
        Happens::Reboot => {
            world.reboot();
            None
        }
    };
    if let Some(op) = op {
        world.until_ended(op);
    }
    world.run_for(Duration::from_secs(5));
}

/// What becomes of the app by the last thing that happens.
fn outcome(policy: RestartPolicy, happens: &[Happens]) -> String {
    let behaviour = match happens[0] {
        Happens::Ends(status) => Behaviour::job(status),
        _ => Behaviour::default(),
    };
    let mut world = World::new(1, Faults::NONE, BTreeMap::from([(name("app"), behaviour)]));
    let stack = app(policy);
    let op = world.up(&stack, UpOptions::default());
    world.until_ended(op);
    let mut before = 1;
    for what in happens {
        before = if matches!(what, Happens::Ends(_)) { 1 } else { world.launches("shop", "app") };
        happen(&mut world, *what, &stack);
    }
    let more = world.launches("shop", "app") - before;
    let ends = matches!(happens[0], Happens::Ends(_));
    match (more, world.runs("shop", "app")) {
        (0, true) => "runs on".to_owned(),
        (0, false) => "stays".to_owned(),
        (1, false) => "starts".to_owned(),
        (2, false) => "starts 2×".to_owned(),
        (_, _) if ends => "restarts".to_owned(),
        (_, true) => "starts".to_owned(),
        (_, false) => "restarts".to_owned(),
    }
}

fn table() -> String {
    let mut table = String::from("| |");
    for (policy, _) in POLICIES {
        let _ = write!(table, " `{policy}` |");
    }
    table.push_str("\n|---|---|---|---|---|---|\n");
    for (row, happens) in ROWS {
        let _ = write!(table, "| {row} |");
        for (_, policy) in POLICIES {
            let _ = write!(table, " {} |", outcome(policy, happens));
        }
        table.push('\n');
    }
    table
}

#[test]
fn restart_policies_are_as_documented() {
    let document = include_str!("../../../docs/restart-policies.md");
    let table = table();
    assert!(document.contains(&table), "docs/restart-policies.md should have this table:\n{table}");
}
