//! A project to the stack that the planner works on: no places, no strings where a type says more.
//!
//! What a file says and Hoist doesn't do is a warning at its line, never silence ([`effects`]).

mod attributes;
mod binds;
mod build;
pub mod effects;
mod hooks;
mod image;
mod isolation;
mod mounts;
mod networks;
mod probe;
mod process;
mod propagation;
mod resources;
mod rollout;
mod security;
mod targets;
mod update;

use crate::diagnostic::{Diagnostic, Report};
use crate::node::{Node, Value};
use crate::project::Project;
use crate::reader::FileReader;
use crate::source::Span;
use crate::stages::check::section;
use attributes::Attributes;
use hoist_model::{
    Copy, Dependency, Network, NetworkName, Service, ServiceName, Stack, StackId, StackName, Volume,
    VolumeName,
};
pub(crate) use process::is_sensitive;
use std::collections::BTreeMap;

/// What the command line adds to the file.
#[derive(Clone, Debug, Default)]
pub struct LowerOptions {
    /// Which copy of the stack this is.
    pub copy: Option<Copy>,
}

/// A stack and what should be said about it.
#[derive(Debug)]
pub struct Lowered {
    /// The stack.
    pub stack: Stack,
    /// Keys without effect, and the like.
    pub warnings: Vec<Diagnostic>,
}

/// Lowers a project. Content of configs and secrets is read through `reader`, as the person who asks.
///
/// # Errors
/// All errors found, with warnings after them.
pub fn lower(
    project: &Project,
    options: &LowerOptions,
    reader: &dyn FileReader,
) -> Result<Lowered, Vec<Diagnostic>> {
    let mut report = Report::over(project.sources.clone());
    effects::warn(project, &mut report);
    check_container_names(&project.tree, &mut report);
    let stack = Lowering { project, options, reader, report: &mut report }.stack();
    match stack {
        Some(stack) if report.errors() == 0 => Ok(Lowered { stack, warnings: report.into_findings() }),
        _ => Err(report.into_findings()),
    }
}

/// Two services can't run under one name.
fn check_container_names(top: &Node, report: &mut Report) {
    let mut taken: BTreeMap<&str, (&str, Span)> = BTreeMap::new();
    for (name, service) in section(top, "services") {
        let Some(node) = service.get("container_name") else { continue };
        let Some(container) = node.as_text().filter(|text| !text.is_empty()) else { continue };
        if let Some((other, at)) = taken.insert(container, (name, node.span)) {
            let message = format!("`{other}` and `{name}` want the same container name `{container}`");
            let finding = Diagnostic::error("duplicate-container-name", message);
            report.push(finding.label(node.span, "here").label(at, "and here"));
        }
    }
}

struct Lowering<'a> {
    project: &'a Project,
    options: &'a LowerOptions,
    reader: &'a dyn FileReader,
    report: &'a mut Report,
}

impl<'a> Lowering<'a> {
    fn stack(&mut self) -> Option<Stack> {
        let name = match StackName::new(self.project.name.as_str()) {
            Ok(name) => name,
            Err(error) => {
                self.report.push(Diagnostic::error("invalid-name", error.to_string()));
                return None;
            }
        };
        let project = self.project;
        let id = StackId { name, copy: self.options.copy.clone() };
        let mut networks: BTreeMap<NetworkName, Network> = BTreeMap::new();
        for (name, node) in section(&project.tree, "networks") {
            networks.extend(self.network(name, node, &id));
        }
        let mut volumes: BTreeMap<VolumeName, Volume> = BTreeMap::new();
        for (name, node) in section(&project.tree, "volumes") {
            volumes.extend(self.volume(name, node, &id));
        }
        let mut services: BTreeMap<ServiceName, Service> = BTreeMap::new();
        for (name, node) in project.services() {
            let Some((id, mut service)) = self.service(name, node, &volumes) else { continue };
            let mut at = Attributes { name, node, report: self.report };
            for (step, step_service) in hooks::steps(&mut at, &id, &mut service) {
                if project.tree.at_path(&["services", step.as_str()]).is_some() {
                    let message = format!("its `pre_start` step needs the name of the service `{step}`");
                    at.error("duplicate-service", node.place(), message);
                }
                services.insert(step, step_service);
            }
            services.insert(id, service);
        }
        self.legacy_bridge(&services, &mut networks, &id);
        Some(Stack { id, services, networks, volumes })
    }

    fn service(
        &mut self,
        name: &'a str,
        node: &'a Node,
        volumes: &BTreeMap<VolumeName, Volume>,
    ) -> Option<(ServiceName, Service)> {
        let id = self.named(ServiceName::new(name), node)?;
        let mut at = Attributes { name, node, report: self.report };
        isolation::check(&mut at);
        let image = image::image(&mut at, self.project)?;
        let resources = resources::resources(&mut at);
        let healthcheck = process::healthcheck(&mut at);
        let restart = process::restart(&mut at);
        let logs = process::logs(&mut at);
        let ports = networks::ports(&mut at);
        let security = security::security(&mut at, self.project, self.reader);
        let network_mode = networks::mode(&mut at);
        let (healthcheck, liveness) = probe::probes(&mut at, healthcheck, &network_mode);
        let attachments = networks::attachments(&mut at);
        let service = Service {
            pull_policy: process::pull_policy(&mut at),
            entrypoint: at.command("entrypoint"),
            command: at.command("command"),
            environment: process::environment(&at),
            working_dir: at.text("working_dir"),
            user: at.text("user"),
            group_add: at.texts("group_add"),
            hostname: at.text("hostname"),
            domainname: at.text("domainname"),
            container_name: at.text("container_name"),
            labels: at.pairs("labels"),
            annotations: at.pairs("annotations"),
            endpoint_mode: networks::endpoint_mode(&mut at),
            extra_hosts: networks::extra_hosts(&at),
            dns: at.texts("dns"),
            dns_search: at.texts("dns_search"),
            dns_opt: at.texts("dns_opt"),
            depends_on: BTreeMap::new(),
            replicas: process::replicas(&at),
            cap_add: process::capabilities(&at, "cap_add"),
            cap_drop: process::capabilities(&at, "cap_drop"),
            no_new_privileges: security.no_new_privileges,
            seccomp: security.seccomp,
            apparmor: security.apparmor,
            open_system_paths: security.open_system_paths,
            privileged: at.flag("privileged"),
            read_only: at.flag("read_only"),
            init: at.flag("init"),
            tty: at.flag("tty"),
            stdin_open: at.flag("stdin_open"),
            sysctls: at.pairs("sysctls"),
            devices: isolation::devices(&mut at),
            stop_signal: at.text("stop_signal"),
            stop_grace_period: at.duration("stop_grace_period").unwrap_or(process::GRACE_PERIOD),
            attach: at.flag_or("attach", true),
            update_order: rollout::update_order(&at),
            on_change: rollout::on_change(&mut at),
            update: update::update(&mut at),
            rollout: rollout::rollout(&mut at),
            hooks: hooks::hooks(&mut at),
            liveness,
            on_dependency_unhealthy: rollout::on_dependency_unhealthy(&at),
            restart_pacing: process::restart_pacing(&mut at),
            step_of: None,
            expose: rollout::expose(&mut at),
            mounts: Vec::new(),
            networks: attachments,
            network_mode,
            image,
            ports,
            healthcheck,
            restart,
            resources,
            logs,
        };
        networks::check_static_addresses(&mut at, &service);
        let depends_on = self.dependencies(node);
        let mounts = self.mounts(name, node, volumes);
        Some((id, Service { depends_on, mounts, ..service }))
    }

    fn dependencies(&mut self, node: &Node) -> BTreeMap<ServiceName, Dependency> {
        let mut out = BTreeMap::new();
        for (name, dependency) in node.get("depends_on").and_then(Node::as_map).into_iter().flatten() {
            if self.project.tree.at_path(&["services", name]).is_none() {
                // Not required and not active: consistency has checked it.
                continue;
            }
            let flag = |key: &str| dependency.get(key).is_some_and(|node| node.value == Value::Bool(true));
            let condition = process::condition(dependency.get("condition").and_then(Node::as_text));
            if let Some(name) = self.named(ServiceName::new(name.as_str()), dependency) {
                let dependency =
                    Dependency { condition, restart: flag("restart"), required: flag("required") };
                out.insert(name, dependency);
            }
        }
        out
    }

    /// A name that keeps the model's rule, or an error at its place.
    fn named<T>(&mut self, name: Result<T, hoist_model::IdError>, node: &Node) -> Option<T> {
        name.map_err(|error| self.report.error("invalid-name", node.place(), error.to_string())).ok()
    }
}
