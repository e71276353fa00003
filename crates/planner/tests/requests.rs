//! Requests that meet: what a person is told when, and which of two requests counts.

mod common;

use std::collections::BTreeMap;

use common::{Cluster, now};
use hoist_model::{EventKind, Outcome, Stack};
use hoist_planner::cluster::intent::UpOptions;
use hoist_planner::cluster::{ClusterLoop, Effect, ImageWanted, Input, OpId, Request, Restored, UpRequest};
use hoist_testbed::builder::{id, service, stack};
use hoist_testbed::{CountedIds, builder};

fn shop(version: &str) -> Stack {
    stack("shop").service(service("web").env("VERSION", version)).build()
}

/// The loop, with a host that has reported and was never sent a spec.
struct Requests {
    control: ClusterLoop,
    ids: CountedIds,
}

impl Requests {
    fn new(restored: Restored) -> Self {
        Self { control: ClusterLoop::restore(restored).0, ids: CountedIds::default() }
    }

    fn report(&mut self) -> Vec<Effect> {
        let report = Cluster::new().view.into_values().next().expect("it has a host");
        self.step(Input::Report(Box::new(report)))
    }

    fn step(&mut self, input: Input) -> Vec<Effect> {
        self.control.step(&now(), input, &mut self.ids)
    }

    fn ask(&mut self, op: u64, request: Request) -> Vec<Effect> {
        self.step(Input::Request { op: OpId(op), request: Box::new(request) })
    }

    /// Asks for `up`; its images are still to be settled.
    fn up(&mut self, op: u64, stack: Stack) -> Vec<ImageWanted> {
        let up = UpRequest {
            stack,
            options: UpOptions::default(),
            project_dir: "/srv".into(),
            files: vec!["/srv/stack.yaml".into()],
            expected: None,
            by: hoist_model::Author::default(),
        };
        let resolve = |effect| match effect {
            Effect::ResolveImages { images, .. } => Some(images),
            _ => None,
        };
        self.ask(op, Request::Up(up)).into_iter().find_map(resolve).expect("images are settled first")
    }

    fn settled(&mut self, op: u64, images: &[ImageWanted]) -> Vec<Effect> {
        let image = |image: &ImageWanted| (image.service.clone(), Ok(builder::image(&image.source)));
        let images = images.iter().map(image).collect();
        self.step(Input::ImagesResolved { op: OpId(op), images })
    }
}

fn outcome(effects: &[Effect], asked: u64) -> Option<(usize, Outcome)> {
    effects.iter().enumerate().find_map(|(at, effect)| match effect {
        Effect::Emit { op, event: EventKind::Verdict(verdict), .. } if *op == OpId(asked) => {
            Some((at, verdict.outcome.clone()))
        }
        _ => None,
    })
}

fn down() -> Request {
    Request::Down { stack: id("shop"), services: Vec::new(), volumes: false, timeout: None }
}

#[test]
fn superseded_is_told_once_the_later_request_is_stored() {
    let mut requests = Requests::new(Restored::default());
    requests.report();
    for (op, version) in [(1, "1"), (2, "2")] {
        let images = requests.up(op, shop(version));
        let effects = requests.settled(op, &images);
        let stored = effects.iter().position(|effect| matches!(effect, Effect::Store(_)));
        let told = outcome(&effects, op - 1);
        if op == 2 {
            let (told, how) = told.expect("the first is told how it ended");
            assert_eq!(how, Outcome::Superseded);
            assert!(stored.expect("the second is stored") < told, "{effects:#?}");
        }
    }
}

#[test]
fn an_up_that_waits_for_images_comes_too_late_after_a_later_request() {
    let mut requests = Requests::new(Restored::default());
    requests.report();
    let first = requests.up(1, shop("1"));
    let second = requests.up(2, shop("2"));
    let effects = requests.settled(2, &second);
    assert_eq!(outcome(&effects, 1).map(|(_, how)| how), Some(Outcome::Superseded));
    let wanted = requests.control.stacks().clone();
    assert_eq!(requests.settled(1, &first), []);
    assert_eq!(*requests.control.stacks(), wanted);
}

#[test]
fn a_stack_whose_host_was_never_sent_a_spec_goes() {
    let mut cluster = Cluster::new();
    cluster.put(&shop("1"), &UpOptions::default());
    let mut requests = Requests::new(Restored { stacks: cluster.wanted, ..Restored::default() });
    let mut effects = requests.ask(1, down());
    effects.extend(requests.report());
    assert_eq!(outcome(&effects, 1).map(|(_, how)| how), Some(Outcome::Converged), "{effects:#?}");
    assert_eq!(*requests.control.stacks(), BTreeMap::new());
}
