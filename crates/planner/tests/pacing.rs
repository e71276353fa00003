//! `deploy.update_config`: so many replicas change at a time, and what becomes of a rollout in which some fail.

mod common;

use std::collections::BTreeSet;
use std::time::Duration;

use common::{Cluster, here, now};
use hoist_model::{
    Author, EventKind, Exit, FailureAction, Outcome, Revision, RevisionVerdict, Slot, Stack, Update,
    WantedRun,
};
use hoist_planner::Now;
use hoist_planner::cluster::intent::UpOptions;
use hoist_planner::cluster::{
    self, ClusterLoop, ClusterPlan, Effect, Input, OpId, PlanInput, Request, UpRequest,
};
use hoist_planner::host::{HostLoop, Step};
use hoist_planner::project::{AllWell, Fate, Oracle, project};
use hoist_testbed::CountedIds;
use hoist_testbed::builder::{self, id, service, stack};
use proptest::prelude::*;

/// What runs in these slots ends at once.
struct Fails(BTreeSet<u32>);

impl Oracle for Fails {
    fn run(&mut self, slot: &Slot, _attempt: u32) -> Fate {
        if self.0.contains(&slot.index) { Fate::Ends(Exit::Code(3)) } else { Fate::Runs { healthy: true } }
    }
}

fn shop(version: &str, replicas: u32, update: &Update) -> Stack {
    let web = service("web").replicas(replicas).env("VERSION", version);
    stack("shop").service(web.with(|service| service.update = update.clone())).build()
}

fn update(parallelism: u32) -> Update {
    Update { parallelism, ..Update::default() }
}

/// How many replicas have the newest definition.
fn changed(cluster: &Cluster) -> usize {
    let newest = cluster.wanted[&id("shop")].revisions.last_key_value().map(|(number, _)| *number);
    cluster.spec().instances.values().filter(|spec| Some(spec.revision) == newest).count()
}

fn later(cluster: &Cluster, wait: Duration) -> ClusterPlan {
    let input = PlanInput {
        wanted: &cluster.wanted,
        view: &cluster.view,
        previous: &cluster.specs,
        endpoints: &cluster.endpoints,
        record: &cluster.record,
        pool: &cluster.pool,
        leadership: hoist_model::Generation::default(),
        now: &now().moment.after(wait),
    };
    cluster::plan(&input, &mut cluster.ids.clone())
}

#[test]
fn so_many_change_at_a_time() {
    let mut cluster = Cluster::new();
    cluster.up(&shop("1", 5, &update(2)));
    assert_eq!(changed(&cluster), 5, "nothing is paced where nothing is replaced");
    cluster.put(&shop("2", 5, &update(2)), &UpOptions::default());
    for expected in [2, 4, 5] {
        cluster.settle(&mut AllWell);
        assert_eq!(changed(&cluster), expected);
    }
    assert_eq!(cluster.peek().specs, cluster.specs);
}

#[test]
fn without_a_number_all_change_at_once() {
    let mut cluster = Cluster::new();
    cluster.up(&shop("1", 4, &Update::default()));
    cluster.up(&shop("2", 4, &Update::default()));
    assert_eq!(changed(&cluster), 4);
}

#[test]
fn one_that_fails_holds_the_rest() {
    let mut cluster = Cluster::new();
    cluster.up(&shop("1", 4, &update(2)));
    let mut fails = Fails(BTreeSet::from([1]));
    cluster.up_with(&shop("2", 4, &update(2)), &UpOptions::default(), &mut fails);
    let plan = cluster.plan();
    assert_eq!((changed(&cluster), plan.rolling.len()), (2, 1));
    assert!(plan.rolling.values().all(|rolling| rolling.left == 2 && !rolling.forgiven));
    // The next definition may begin with those that don't serve.
    cluster.put(&shop("3", 4, &update(1)), &UpOptions::default());
    cluster.plan();
    let newest = cluster.spec().instances.into_values().max_by_key(|spec| spec.revision).unwrap();
    assert_eq!(newest.slot.index, 1);
}

#[test]
fn it_goes_on_when_few_fail_or_the_file_says_so() {
    let lenient = [
        Update { max_failure_per_mille: 250, ..update(2) },
        Update { failure_action: FailureAction::Continue, ..update(2) },
    ];
    for update in lenient {
        let mut cluster = Cluster::new();
        cluster.up(&shop("1", 4, &update));
        let mut fails = Fails(BTreeSet::from([1]));
        cluster.up_with(&shop("2", 4, &update), &UpOptions::default(), &mut fails);
        cluster.settle(&mut fails);
        assert_eq!(changed(&cluster), 4, "{update:?}");
    }
}

#[test]
fn the_next_one_begins_after_the_delay() {
    let update = Update { delay: Duration::from_secs(10), ..update(1) };
    let mut cluster = Cluster::new();
    cluster.up(&shop("1", 2, &update));
    cluster.up(&shop("2", 2, &update));
    let plan = cluster.plan();
    assert_eq!(changed(&cluster), 1);
    assert_eq!(plan.wake_at, Some(now().moment.after(Duration::from_secs(10))));
    assert_eq!(later(&cluster, Duration::from_secs(9)).specs, cluster.specs);
    cluster.specs = later(&cluster, Duration::from_secs(10)).specs;
    assert_eq!(changed(&cluster), 2);
}

#[test]
fn a_stop_waits_for_nobodys_turn() {
    let mut cluster = Cluster::new();
    cluster.up(&shop("1", 3, &update(1)));
    cluster.up(&shop("2", 3, &update(1)));
    let stopped = cluster::intent::stop(&cluster.wanted[&id("shop")], &id("shop"), &[], &cluster.view);
    cluster.wanted.insert(id("shop"), stopped.unwrap().wanted);
    cluster.plan();
    let runs = cluster.spec().instances.values().any(|spec| spec.run == WantedRun::Running);
    assert!(!runs);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn a_rollout_ends_and_never_changes_more_than_it_may(replicas in 1u32..9, parallelism in 1u32..6, from in 1u32..9) {
        let mut cluster = Cluster::new();
        cluster.up(&shop("1", from, &update(parallelism)));
        cluster.put(&shop("2", replicas, &update(parallelism)), &UpOptions::default());
        let kept = usize::try_from(from.min(replicas)).unwrap();
        let at_once = usize::try_from(parallelism).unwrap();
        let added = usize::try_from(replicas).unwrap() - kept;
        for round in 0.. {
            let before = changed(&cluster);
            cluster.settle(&mut AllWell);
            let spec = cluster.spec();
            prop_assert_eq!(spec.instances.len(), usize::try_from(replicas).unwrap());
            let slots: BTreeSet<_> = spec.instances.values().map(|one| one.slot.clone()).collect();
            prop_assert_eq!(slots.len(), spec.instances.len());
            let may = if round == 0 { at_once + added } else { at_once };
            prop_assert!(changed(&cluster) - before <= may);
            if changed(&cluster) == spec.instances.len() {
                break;
            }
            prop_assert!(round <= kept, "it doesn't end");
        }
        let last = cluster.peek();
        prop_assert_eq!(&last.specs, &cluster.specs);
        prop_assert!(last.rolling.is_empty());
    }
}

/// The orchestrator's loop with one host.
struct Whole {
    cluster: ClusterLoop,
    host: HostLoop,
    /// Goes on with each report: an older one would be passed over.
    now: Now,
    ids: CountedIds,
    outcomes: Vec<(OpId, Outcome)>,
}

impl Whole {
    fn new() -> Self {
        let (cluster, _) = ClusterLoop::restore(cluster::Restored::default());
        let (host, ids) = (Cluster::new().host, CountedIds::default());
        Self { cluster, host, now: now(), ids, outcomes: Vec::new() }
    }

    /// Until nothing more is sent.
    fn feed(&mut self, input: Input, oracle: &mut dyn Oracle) {
        let mut inputs = vec![input];
        while let Some(input) = inputs.pop() {
            let (mut sent, mut wake) = (None, None);
            for effect in self.cluster.step(&self.now, input, &mut self.ids) {
                match effect {
                    Effect::PutSpec { spec, .. } => sent = Some(*spec),
                    Effect::ResolveImages { op, images } => {
                        let images = images.into_iter();
                        let images = images.map(|one| (one.service.clone(), Ok(builder::image(&one.source))));
                        inputs.push(Input::ImagesResolved { op, images: images.collect() });
                    }
                    Effect::Emit { op, event: EventKind::Verdict(verdict), .. } => {
                        self.outcomes.push((op, verdict.outcome));
                    }
                    Effect::WakeAt(moment) => wake = Some(moment),
                    _ => {}
                }
            }
            if let Some(spec) = sent {
                let endpoints = self.cluster_endpoints();
                let projection = project(self.host.clone(), spec, endpoints, &self.now, oracle);
                self.host = projection.host;
                // What runs has run long enough to count as up.
                let moment = projection.end.moment.after(Duration::from_secs(2));
                self.now = Now { moment, ..projection.end };
                inputs.push(Input::Report(Box::new(self.host.report(&self.now))));
            } else if let Some(moment) = wake.filter(|_| inputs.is_empty()) {
                self.now.moment = moment;
                inputs.push(Input::Timer);
            }
        }
    }

    fn cluster_endpoints(&self) -> hoist_model::Endpoints {
        self.host.endpoints().clone()
    }

    fn up(&mut self, op: u64, stack: Stack, oracle: &mut dyn Oracle) {
        let up = UpRequest {
            stack,
            options: UpOptions::default(),
            project_dir: "/srv".into(),
            files: Vec::new(),
            expected: None,
            by: Author::default(),
        };
        self.feed(Input::Request { op: OpId(op), request: Box::new(Request::Up(up)) }, oracle);
    }
}

#[test]
fn a_failed_revision_goes_back_by_itself() {
    let update = Update { failure_action: FailureAction::Rollback, ..update(1) };
    let mut whole = Whole::new();
    let first = whole.host.report(&now());
    whole.feed(Input::Report(Box::new(first)), &mut AllWell);
    whole.up(1, shop("1", 3, &update), &mut AllWell);
    let before = whole.cluster.specs()[&here()].clone();
    whole.up(2, shop("2", 3, &update), &mut AllWell);
    let up = [(OpId(1), Outcome::Converged), (OpId(2), Outcome::Converged)];
    assert_eq!(whole.outcomes, up);

    let good = whole.cluster.specs()[&here()].clone();
    assert!(good.instances.keys().all(|uid| !before.instances.contains_key(uid)));
    let mut fails = Bad { revision: Revision(3), newest: None };
    whole.up(3, shop("3", 3, &update), &mut fails);
    let Some((_, Outcome::Failed(_))) = whole.outcomes.iter().find(|(op, _)| *op == OpId(3)) else {
        panic!("{:?}", whole.outcomes)
    };
    let history = &whole.cluster.stacks()[&id("shop")].history;
    let verdicts: Vec<_> = history.values().map(|entry| entry.verdict.clone()).collect();
    assert!(matches!(verdicts[2], RevisionVerdict::RolledBack { .. }), "{verdicts:?}");
    assert_eq!(verdicts[3], RevisionVerdict::Succeeded);
    let spec = &whole.cluster.specs()[&here()];
    let kept = spec.instances.keys().filter(|uid| good.instances.contains_key(*uid)).count();
    assert_eq!(kept, 2, "those whose turn had not come were never touched");
}

/// What runs in the first slot ends at once while its newest instance is of this revision.
struct Bad {
    revision: Revision,
    newest: Option<Revision>,
}

impl Oracle for Bad {
    fn run(&mut self, slot: &Slot, _attempt: u32) -> Fate {
        let bad = slot.index == 1 && self.newest == Some(self.revision);
        if bad { Fate::Ends(Exit::Code(3)) } else { Fate::Runs { healthy: true } }
    }

    fn begins(&mut self, _step: &Step, host: &HostLoop) {
        let births = host.observed().instances.values().map(|instance| &instance.birth);
        self.newest = births.filter(|birth| birth.slot.index == 1).map(|birth| birth.revision).max();
    }
}
