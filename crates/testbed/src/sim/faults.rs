//! What may go wrong, and how programs behave.

use std::time::Duration;

use hoist_model::Exit;

/// How often things go wrong, in thousandths, and how slow they are.
#[derive(Debug, Clone)]
pub struct Faults {
    /// A step fails, to be tried again.
    pub step_fails: u64,
    /// A change of the network fails, to be tried again.
    pub network_fails: u64,
    /// A change of the network takes very long.
    pub network_hangs: u64,
    /// The agent is killed while a step runs.
    pub agent_dies: u64,
    /// The machine goes down while a step runs.
    pub reboots: u64,
    /// The keeper is lost for a while.
    pub keeper_lost: u64,
    /// A keeper that comes back has no record of something that runs.
    pub record_lost: u64,
    /// Something that runs is killed from outside.
    pub run_dies: u64,
    /// The orchestrator starts anew from its store.
    pub orchestrator_dies: u64,
    /// The longest step.
    pub slowest: Duration,
    /// The longest way of a message.
    pub delay: Duration,
}

impl Faults {
    /// Nothing goes wrong; everything takes its time.
    pub const NONE: Self = Self {
        step_fails: 0,
        network_fails: 0,
        network_hangs: 0,
        agent_dies: 0,
        reboots: 0,
        keeper_lost: 0,
        record_lost: 0,
        run_dies: 0,
        orchestrator_dies: 0,
        slowest: Duration::from_millis(50),
        delay: Duration::from_millis(5),
    };
    /// Everything goes wrong now and then.
    pub const MANY: Self = Self {
        step_fails: 60,
        network_fails: 60,
        network_hangs: 10,
        agent_dies: 25,
        reboots: 6,
        keeper_lost: 15,
        record_lost: 150,
        run_dies: 15,
        orchestrator_dies: 15,
        slowest: Duration::from_secs(2),
        delay: Duration::from_millis(200),
    };
    /// Everything ends and starts again all the time: programs, keeper, agent; records are lost on the way.
    pub const RESTLESS: Self = Self {
        agent_dies: 60,
        keeper_lost: 150,
        record_lost: 250,
        run_dies: 300,
        slowest: Duration::from_secs(2),
        ..Self::NONE
    };
}

/// How a service's program behaves.
#[derive(Debug, Clone)]
pub struct Behaviour {
    /// It ends by itself, so long after its start, like this; after that many runs it goes on running.
    pub ends: Option<(Duration, Exit)>,
    /// Its probes pass from then on.
    pub healthy_after: Duration,
    /// It ends so long after its stop signal; not at all when none.
    pub stops_after: Option<Duration>,
    /// It can't be launched, ever.
    pub broken: bool,
}

impl Default for Behaviour {
    /// Runs until it is told to end, healthy after a moment.
    fn default() -> Self {
        Self {
            ends: None,
            healthy_after: Duration::from_millis(200),
            stops_after: Some(Duration::from_millis(20)),
            broken: false,
        }
    }
}

impl Behaviour {
    /// A job: ends after a moment with this status.
    #[must_use]
    pub fn job(status: i32) -> Self {
        Self { ends: Some((Duration::from_millis(300), Exit::Code(status))), ..Self::default() }
    }

    /// Never healthy.
    #[must_use]
    pub fn sick() -> Self {
        Self { healthy_after: Duration::MAX, ..Self::default() }
    }
}
