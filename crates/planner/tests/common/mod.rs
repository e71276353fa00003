//! A cluster plan and a host, without a simulator: what the plan's tests need.
#![allow(dead_code, reason = "each test binary uses a part")]

use std::collections::BTreeMap;
use std::time::Duration;

use hoist_model::{
    BootId, Endpoints, Generation, Guards, HostId, HostReport, HostSpec, Moment, Stack, StackId, WallTime,
    WantedStack,
};
use hoist_planner::Now;
use hoist_planner::cluster::intent::{self, Put, UpOptions};
use hoist_planner::cluster::{self, ClusterPlan, PlanInput, Pool, Record};
use hoist_planner::host::{Adopted, Effect, HostLoop, Input, Restored, StartedBy, Step};
use hoist_planner::project::{Oracle, Projection, project};
use hoist_testbed::{CountedIds, builder};

pub(crate) fn now() -> Now {
    let moment = Moment { boot: BootId("boot".to_owned()), since_boot: Duration::from_secs(100) };
    Now { moment, wall: WallTime(0) }
}

/// So long after [`now`].
pub(crate) fn after(time: Duration) -> Now {
    Now { moment: now().moment.after(time), ..now() }
}

/// What an agent takes up that starts anew after a crash of the one before.
pub(crate) fn after_crash(host: &HostLoop) -> Restored {
    Restored {
        host: here(),
        boot: now().moment.boot,
        started_by: StartedBy::Crash,
        daemon: Some((host.observed().epoch, now().moment.boot)),
        spec: Some(host.spec().clone()),
        endpoints: Some(host.endpoints().clone()),
        instances: host.observed().instances.clone(),
        guards: Guards::default(),
    }
}

/// The steps that begin.
pub(crate) fn steps(effects: &[Effect]) -> Vec<Step> {
    let step = |effect: &Effect| match effect {
        Effect::Perform(step) => Some(step.clone()),
        _ => None,
    };
    effects.iter().filter_map(step).collect()
}

pub(crate) fn here() -> HostId {
    HostId::new("here").expect("a valid name")
}

/// Everything wanted and known; plans are taken over as the loop does.
#[derive(Clone)]
pub(crate) struct Cluster {
    pub(crate) wanted: BTreeMap<StackId, WantedStack>,
    pub(crate) view: BTreeMap<HostId, HostReport>,
    pub(crate) specs: BTreeMap<HostId, HostSpec>,
    pub(crate) endpoints: BTreeMap<HostId, Endpoints>,
    pub(crate) record: Record,
    pub(crate) pool: Pool,
    pub(crate) ids: CountedIds,
    pub(crate) host: HostLoop,
}

impl Cluster {
    pub(crate) fn new() -> Self {
        let restored = Restored {
            host: here(),
            boot: now().moment.boot,
            started_by: StartedBy::Person,
            daemon: None,
            spec: None,
            endpoints: None,
            instances: BTreeMap::new(),
            guards: Guards::default(),
        };
        let (mut host, _) = HostLoop::restore(restored, &now());
        host.step(&now(), Input::Adopted(Adopted::default()));
        let view = BTreeMap::from([(here(), host.report(&now()))]);
        Self {
            wanted: BTreeMap::new(),
            view,
            specs: BTreeMap::new(),
            endpoints: BTreeMap::new(),
            record: Record::default(),
            pool: Pool::default(),
            ids: CountedIds::default(),
            host,
        }
    }

    pub(crate) fn put(&mut self, stack: &Stack, options: &UpOptions) {
        let images =
            stack.services.iter().map(|(name, s)| (name.clone(), builder::image(&s.image))).collect();
        let put = Put {
            stack: stack.clone(),
            images,
            project_dir: "/srv".into(),
            files: vec!["/srv/stack.yaml".into()],
            created: WallTime(0),
            by: hoist_model::Author::default(),
        };
        let applied = intent::up(self.wanted.get(&stack.id), put, options, &self.view)
            .expect("the file has every service that is named");
        self.wanted.insert(stack.id.clone(), applied.wanted);
        self.record.retired.extend(applied.retired);
    }

    /// The plan, without taking it over.
    pub(crate) fn peek(&self) -> ClusterPlan {
        let input = PlanInput {
            wanted: &self.wanted,
            view: &self.view,
            previous: &self.specs,
            endpoints: &self.endpoints,
            record: &self.record,
            pool: &self.pool,
            leadership: Generation::default(),
            now: &now().moment,
        };
        cluster::plan(&input, &mut self.ids.clone())
    }

    /// The plan, taken over.
    pub(crate) fn plan(&mut self) -> ClusterPlan {
        let plan = self.peek();
        for spec in plan.specs.values() {
            for uid in spec.instances.keys() {
                if !self.specs.values().any(|known| known.instances.contains_key(uid)) {
                    cluster::IdSource::instance(&mut self.ids);
                }
            }
        }
        self.specs.clone_from(&plan.specs);
        self.endpoints.clone_from(&plan.endpoints);
        self.record.clone_from(&plan.record);
        plan
    }

    pub(crate) fn spec(&self) -> HostSpec {
        self.specs.get(&here()).cloned().unwrap_or_default()
    }

    /// Plans, and lets the host do it all.
    pub(crate) fn settle(&mut self, oracle: &mut dyn Oracle) -> Projection {
        self.plan();
        let endpoints = self.endpoints.get(&here()).cloned().unwrap_or_default();
        let projection = project(self.host.clone(), self.spec(), endpoints, &now(), oracle);
        self.host = projection.host.clone();
        self.view.insert(here(), self.host.report(&projection.end));
        projection
    }

    pub(crate) fn up(&mut self, stack: &Stack) -> Projection {
        self.up_with(stack, &UpOptions::default(), &mut hoist_planner::project::AllWell)
    }

    pub(crate) fn up_with(
        &mut self,
        stack: &Stack,
        options: &UpOptions,
        oracle: &mut dyn Oracle,
    ) -> Projection {
        self.put(stack, options);
        self.settle(oracle)
    }
}
