//! A plan never lies: for random edits of stacks, what the simulated `up` does is what the preview said, step for step,
//! and so is who is without an answer meanwhile. `HOIST_PLANS=500` for more edits, `HOIST_SEED` for those of one stack.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use hoist_model::{
    Condition, DowntimeClass, ImageState, InstanceUid, Mount, MountKind, NetworkMode, Outcome, Preview,
    RestartPolicy, Slot, Stack,
};
use hoist_planner::Now;
use hoist_planner::cluster::intent::UpOptions;
use hoist_planner::cluster::{Request, UpRequest};
use hoist_planner::host::Step;
use hoist_planner::preview::{ImageFound, PreviewInput, preview};
use hoist_testbed::Rng;
use hoist_testbed::builder::{self, ServiceBuilder, id, name, service};
use hoist_testbed::sim::{Behaviour, Ended, Faults, World};

/// Edits of one stack, one after the other.
const EDITS: u64 = 5;

const NAMES: [&str; 5] = ["a", "b", "c", "d", "e"];

/// What may be edited of a service.
#[derive(Debug, Clone, Default)]
struct Traits {
    version: u64,
    image: u64,
    replicas: u32,
    checked: bool,
    port: bool,
    volume: bool,
    anonymous: bool,
    host: bool,
    restarts: bool,
    start_interval: u64,
    needs: BTreeMap<usize, Condition>,
}

/// A stack, service by service; those that are none have left the file.
type Draft = [Option<Traits>; NAMES.len()];

fn trait_of(rng: &mut Rng, at: usize, draft: &Draft) -> Traits {
    let flag = |rng: &mut Rng, per_mille| rng.chance(per_mille);
    let needs = (0..at).filter(|other| draft[*other].is_some() && rng.chance(300)).collect::<Vec<_>>();
    let condition = |rng: &mut Rng, other: usize| match &draft[other] {
        Some(other) if other.checked && rng.chance(500) => Condition::ServiceHealthy,
        _ => Condition::ServiceStarted,
    };
    Traits {
        replicas: u32::try_from(1 + rng.below(3)).unwrap_or(1),
        checked: flag(rng, 400),
        port: flag(rng, 400),
        volume: flag(rng, 300),
        anonymous: flag(rng, 200),
        host: flag(rng, 100),
        restarts: flag(rng, 500),
        needs: needs.into_iter().map(|other| (other, condition(rng, other))).collect(),
        ..Traits::default()
    }
}

fn edit(rng: &mut Rng, draft: &mut Draft) {
    let at = usize::try_from(rng.below(NAMES.len() as u64)).unwrap_or(0);
    let Some(mut one) = draft[at].clone() else {
        draft[at] = Some(trait_of(rng, at, draft));
        return;
    };
    match rng.below(12) {
        0 | 1 => one.version += 1,
        2 => one.image += 1,
        3 => one.replicas = u32::try_from(rng.below(4)).unwrap_or(1),
        4 => one.port = !one.port,
        5 => one.volume = !one.volume,
        6 => one.anonymous = !one.anonymous,
        7 => one.host = !one.host,
        8 => one.restarts = !one.restarts,
        9 => one.start_interval += 1,
        10 => one.needs = trait_of(rng, at, draft).needs,
        _ => {
            draft[at] = None;
            draft.iter_mut().flatten().for_each(|other| other.needs.retain(|need, _| *need != at));
            return;
        }
    }
    draft[at] = Some(one);
}

fn built(draft: &Draft) -> Stack {
    let present = draft.iter().enumerate().filter_map(|(at, one)| Some((at, one.as_ref()?)));
    present.fold(builder::stack("shop"), |stack, (at, one)| stack.service(built_service(at, one))).build()
}

fn built_service(at: usize, one: &Traits) -> ServiceBuilder {
    let mut built = service(NAMES[at]).env("VERSION", &one.version.to_string()).with(|service| {
        service.replicas = one.replicas;
        service.image = hoist_model::ImageSource::Reference(format!("test:{}", one.image));
        service.stop_grace_period = Duration::from_secs(10 + one.start_interval);
        if one.restarts {
            service.restart = RestartPolicy::Always;
        }
        if one.anonymous {
            let kind = MountKind::Anonymous;
            let target = "/scratch".into();
            service.mounts.push(Mount { target, kind, read_only: false, options: Vec::new() });
        }
        if one.host {
            service.network_mode = NetworkMode::Host;
        }
    });
    if one.checked {
        built = built.checked();
    }
    if one.port && !one.host {
        built = built.port(8000 + u16::try_from(at).unwrap_or(0), 80);
    }
    if one.volume {
        built = built.volume(NAMES[at], "/data");
    }
    one.needs.iter().fold(built, |built, (other, condition)| built.needs(NAMES[*other], *condition))
}

fn options(rng: &mut Rng, stack: &Stack) -> UpOptions {
    let some: Vec<_> = stack.services.keys().cloned().collect();
    let services =
        if rng.chance(150) && !some.is_empty() { vec![rng.pick(&some).clone()] } else { Vec::new() };
    UpOptions {
        services,
        no_deps: rng.chance(50),
        remove_orphans: rng.chance(500),
        force_recreate: rng.chance(100),
        renew_volumes: rng.chance(100),
        ..UpOptions::default()
    }
}

fn foreseen(world: &World, request: Request) -> Preview {
    let images = match &request {
        Request::Up(up) => up.stack.services.iter(),
        _ => unreachable!("only `up` is foreseen here"),
    };
    let found = |source| ImageFound { image: builder::image(source), remote: None, state: ImageState::Known };
    let images = images.map(|(name, service)| (name.clone(), found(&service.image))).collect();
    let view = world.orchestrator().view();
    let moment = view.values().map(|report| report.seen_at.clone()).max_by_key(|moment| moment.since_boot);
    let moment = moment.expect("the host has reported");
    let now = Now { moment, wall: hoist_model::WallTime(0) };
    let known = world.orchestrator().known();
    preview(&PreviewInput { known, view, request, images: &images, now: &now }).expect("it can be asked")
}

/// The steps of each subject, in order; instances that were there before and whose place another has are told apart.
type Steps = BTreeMap<(String, bool), Vec<String>>;

fn told(preview: &Preview) -> Steps {
    let mut steps = Steps::new();
    for step in &preview.steps {
        steps.entry((step.subject.clone(), step.old)).or_default().push(step.action.clone());
    }
    steps
}

/// The instances of the stack.
fn places(world: &World) -> BTreeMap<InstanceUid, Slot> {
    let specs = world.orchestrator().specs().values().flat_map(|spec| &spec.instances);
    specs.map(|(uid, spec)| (*uid, spec.slot.clone())).collect()
}

fn done(world: &World, before: &BTreeMap<InstanceUid, Slot>) -> Steps {
    let after = places(world);
    let relieved = |uid: InstanceUid, slot: &Slot| {
        before.contains_key(&uid) && after.iter().any(|(other, place)| place == slot && *other != uid)
    };
    let mut steps = Steps::new();
    for (slot, step) in &world.done().steps {
        let text = step.to_string();
        let (subject, action) = text.split_once(": ").unwrap_or((&text, step.verb()));
        let action =
            if matches!(step, Step::CarryVolumes { .. }) { "carry anonymous volumes" } else { action };
        let old = step.instance().zip(slot.as_ref()).is_some_and(|(uid, slot)| relieved(uid, slot));
        let subject = slot.as_ref().map_or_else(|| subject.to_owned(), Slot::short);
        steps.entry((subject, old)).or_default().push(action.to_owned());
    }
    steps
}

/// Services whose clients have nobody for a while, by the preview and by what was seen. Who has no clients doesn't count.
fn without(preview: &Preview, world: &World) -> (BTreeSet<String>, BTreeSet<String>) {
    let noticed = preview.services.iter().filter(|(_, one)| one.downtime.class != DowntimeClass::None);
    let unreached = |service: &str| {
        let why = preview.services.get(&name(service)).map(|one| &one.stop_first);
        why.is_some_and(|why| why.iter().any(|why| why.contains("nobody connects")))
    };
    let seen = world.done().gaps.iter().map(|(_, service)| service.to_string());
    (noticed.map(|(name, _)| name.to_string()).collect(), seen.filter(|one| !unreached(one)).collect())
}

fn compare(seed: u64, edits: u64) {
    let mut rng = Rng::new(seed);
    let mut world = World::new(seed, Faults::NONE, BTreeMap::<_, Behaviour>::new());
    let mut draft = Draft::default();
    for at in 0..NAMES.len() {
        if rng.chance(700) {
            draft[at] = Some(trait_of(&mut rng, at, &draft));
        }
    }
    world.run_for(Duration::from_secs(1));
    for number in 0..=edits {
        if number > 0 {
            (0..=rng.below(3)).for_each(|_| edit(&mut rng, &mut draft));
        }
        let stack = built(&draft);
        let options = options(&mut rng, &stack);
        let up = UpRequest {
            stack,
            options,
            project_dir: "/srv".into(),
            files: vec!["/srv/stack.yaml".into()],
            expected: None,
            by: hoist_model::Author::default(),
        };
        let (before, plan) = (places(&world), foreseen(&world, Request::Up(up.clone())));
        world.watch_anew();
        let op = world.ask(Request::Up(up.clone()));
        let failures = match world.until_ended(op) {
            Ended::Verdict(verdict) => match verdict.outcome {
                Outcome::Failed(failures) => failures,
                _ => Vec::new(),
            },
            other => panic!("seed {seed}, edit {number}: {other:?}"),
        };
        let about = || format!("seed {seed}, edit {number}: {draft:?} {:?}\n{:?}", up.options, plan.failures);
        assert_eq!(plan.failures.is_empty(), failures.is_empty(), "{failures:?} {}", about());
        world.run_for(Duration::from_secs(300));
        similar(&told(&plan), &done(&world, &before), &about);
        let (noticed, seen) = without(&plan, &world);
        assert_eq!(noticed, seen, "who has nobody: {}", about());
    }
    assert!(world.orchestrator().stacks().contains_key(&id("shop")));
}

/// Equal, or told with what differs only.
fn similar(told: &Steps, done: &Steps, about: &dyn Fn() -> String) {
    let subjects: BTreeSet<_> = told.keys().chain(done.keys()).collect();
    let differ = subjects.into_iter().filter(|subject| told.get(subject) != done.get(subject));
    let differ: Vec<String> = differ
        .map(|subject| format!("{subject:?}: said {:?}, did {:?}", told.get(subject), done.get(subject)))
        .collect();
    assert!(differ.is_empty(), "{}\n{}", differ.join("\n"), about());
}

#[test]
fn what_was_foreseen_is_what_is_done() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let edits = number("HOIST_PLANS").unwrap_or(200);
    let seeds = match number("HOIST_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..edits.div_ceil(EDITS),
    };
    seeds.for_each(|seed| compare(seed, EDITS));
}
