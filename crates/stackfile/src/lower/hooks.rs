//! Commands at moments of a service's life: `post_start` and `pre_stop` run inside its instances; each step of
//! `pre_start` is a service of its own, which runs to its end before the one that declares it starts.

use super::attributes::Attributes;
use super::process;
use crate::node::Node;
use hoist_model::{
    Attachment, Command, Condition, Dependency, HealthTest, Healthcheck, Hook, Hooks, ImageSource,
    PullPolicy, RestartPolicy, Rollout, Service, ServiceName, UpdateOrder,
};
use std::collections::BTreeMap;

pub(super) fn hooks(at: &mut Attributes<'_, '_>) -> Hooks {
    Hooks { post_start: list(at, "post_start"), pre_stop: list(at, "pre_stop") }
}

fn list(at: &mut Attributes<'_, '_>, key: &str) -> Vec<Hook> {
    let nodes = at.list(key);
    nodes.iter().filter_map(|node| hook(at, key, node)).collect()
}

fn hook(at: &mut Attributes<'_, '_>, key: &str, node: &Node) -> Option<Hook> {
    let own = Attributes { name: at.name, node, report: at.report };
    let hook = Hook {
        command: own.texts("command"),
        user: own.text("user"),
        privileged: own.flag("privileged"),
        working_dir: own.text("working_dir"),
        environment: process::environment(&own),
    };
    if hook.command.is_empty() {
        at.error("invalid-hook", node.place(), format!("this `{key}` hook has no command"));
        return None;
    }
    Some(hook)
}

/// The steps of `pre_start` as services, and what the service itself then waits for.
pub(super) fn steps(at: &mut Attributes<'_, '_>, of: &ServiceName, service: &mut Service) -> Steps {
    let nodes = at.list("pre_start");
    let mut steps: Vec<(ServiceName, Service)> = Vec::new();
    for (index, node) in nodes.iter().enumerate() {
        let Ok(name) = ServiceName::new(format!("{of}-pre-start-{}", index + 1)) else { continue };
        let Some(mut step) = step(at, of, service, node) else { continue };
        if let Some((before, _)) = steps.last() {
            step.depends_on.insert(before.clone(), completed());
        }
        steps.push((name, step));
    }
    if let Some((last, _)) = steps.last() {
        service.depends_on.insert(last.clone(), completed());
    }
    steps
}

/// In their order.
pub(super) type Steps = Vec<(ServiceName, Service)>;

fn completed() -> Dependency {
    Dependency { condition: Condition::ServiceCompletedSuccessfully, restart: false, required: true }
}

/// What a step has of its service: image, networks, mounts, environment and limits; not its ports, names and addresses.
fn step(at: &mut Attributes<'_, '_>, of: &ServiceName, service: &Service, node: &Node) -> Option<Service> {
    let own = Attributes { name: at.name, node, report: at.report };
    let (image, is_own) = match own.text("image").map(ImageSource::Reference) {
        Some(image) if image != service.image => (image, true),
        _ => (service.image.clone(), false),
    };
    let inherited = |text: &Option<String>| text.clone().filter(|_| !is_own);
    let command = own.texts("command");
    let mut environment = service.environment.clone();
    environment.extend(process::environment(&own));
    let step = Service {
        image,
        pull_policy: if is_own { PullPolicy::Missing } else { service.pull_policy },
        entrypoint: Command::Image,
        command: if command.is_empty() { Command::Image } else { Command::Given(command) },
        environment,
        working_dir: own.text("working_dir").or_else(|| inherited(&service.working_dir)),
        user: own.text("user").or_else(|| inherited(&service.user)),
        privileged: service.privileged || own.flag("privileged"),
        networks: service.networks.keys().map(|name| (name.clone(), Attachment::default())).collect(),
        healthcheck: Some(Healthcheck { test: HealthTest::Disabled, ..Healthcheck::default() }),
        restart: RestartPolicy::No,
        replicas: service.replicas.min(1),
        step_of: Some(of.clone()),
        ports: Vec::new(),
        expose: Vec::new(),
        container_name: None,
        hostname: None,
        domainname: None,
        labels: BTreeMap::new(),
        annotations: BTreeMap::new(),
        hooks: Hooks::default(),
        liveness: hoist_model::Liveness::default(),
        on_dependency_unhealthy: hoist_model::OnUnhealthy::default(),
        restart_pacing: hoist_model::RestartPacing::default(),
        rollout: Rollout::default(),
        update_order: UpdateOrder::Safe,
        update: hoist_model::Update::default(),
        stop_signal: None,
        ..service.clone()
    };
    let per_replica = own.flag("per_replica");
    if per_replica && service.replicas > 1 {
        let place = node.get("per_replica").map_or(node.place(), Node::place);
        let what = "`per_replica` is not supported: a `pre_start` step runs once for all replicas";
        at.error("not-supported-yet", place, what);
        return None;
    }
    Some(step)
}
