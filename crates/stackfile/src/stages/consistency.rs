//! Rules between services and the rest of the project, on its canonical form.

use super::check::section;
use super::cycle::check_cycles;
use crate::diagnostic::{Diagnostic, Report};
use crate::node::{Map, Node, Value};
use crate::source::Span;
use std::collections::HashMap;

/// Checks a project. `services` are those in use; `disabled` those outside the active profiles.
pub fn check_consistency(top: &Node, disabled: &Map, report: &mut Report) {
    let errors = report.errors();
    for (name, service) in section(top, "services") {
        let mut check = Check { top, disabled, name, service, report };
        check.origin();
        check.build();
        check.networks();
        check.health();
        check.dependencies();
        check.volumes();
        check.files();
        check.scale();
        check.limits();
        check.watch();
        check.mount_points();
    }
    check_secrets(top, report);
    if report.errors() == errors
        && let Some(services) = top.get("services")
    {
        check_cycles(services, report);
    }
}

fn check_secrets(top: &Node, report: &mut Report) {
    for (name, secret) in section(top, "secrets") {
        let has = |key: &str| secret.get(key).is_some();
        if !has("external") && !has("file") && !has("environment") {
            let message = format!("`secrets.{name}` must have `file` or `environment`");
            report.error("missing-key", secret.place(), message);
        }
    }
}

struct Check<'a, 'r> {
    top: &'a Node,
    disabled: &'a Map,
    name: &'a str,
    service: &'a Node,
    report: &'r mut Report,
}

impl<'a> Check<'a, '_> {
    fn get(&self, path: &[&str]) -> Option<&'a Node> {
        self.service.at_path(path)
    }

    fn list(&self, path: &[&str]) -> &'a [Node] {
        self.get(path).and_then(Node::as_list).unwrap_or_default()
    }

    fn entries(&self, path: &[&str]) -> impl Iterator<Item = (&'a String, &'a Node)> + use<'a> {
        self.get(path).and_then(Node::as_map).into_iter().flatten()
    }

    fn error(&mut self, code: &'static str, at: Span, message: impl Into<String>) {
        let at = at.or(self.service.place());
        self.report.error(code, at, message);
    }

    fn conflict(&mut self, message: String, one: &Node, other: &Node) {
        let finding = Diagnostic::error("exclusive-keys", message);
        self.report.push(finding.label(one.place(), "this").label(other.place(), "and this"));
    }

    fn defined(&mut self, kind: &str, section: &str, name: &str, at: Span) {
        if self.top.at_path(&[section, name]).is_some() {
            return;
        }
        let message = format!("the service `{}` uses the {kind} `{name}`, which is not defined", self.name);
        let known = self.top.get(section).and_then(Node::as_map).into_iter().flatten();
        let near = super::check::nearest(name, known.map(|(key, _)| key.as_str()));
        let help = match near {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("define it under `{section}`"),
        };
        let finding = Diagnostic::error("undefined-reference", message).label(at, "");
        self.report.push(finding.help(help));
    }

    fn origin(&mut self) {
        const OWN: &str = "x-hoist";
        let has = |key: &str| self.service.get(key).is_some();
        let own = self.get(&[OWN, "rootfs"]).or_else(|| self.get(&[OWN, "oci"])).is_some();
        if !has("build") && !has("image") && !has("provider") && !own {
            let message = format!("the service `{}` has neither `image` nor `build`", self.name);
            self.error("missing-image", self.service.place(), message);
        }
    }

    fn build(&mut self) {
        let Some(build) = self.get(&["build"]) else { return };
        if let (Some(inline), Some(file)) = (build.get("dockerfile_inline"), build.get("dockerfile")) {
            let message = format!(
                "`services.{}.build`: `dockerfile` and `dockerfile_inline` exclude each other",
                self.name
            );
            self.conflict(message, inline, file);
        }
        for (context, node) in self.entries(&["build", "additional_contexts"]) {
            let Some(target) = node.as_text().and_then(|text| text.strip_prefix("service:")) else {
                continue;
            };
            let other = self.top.at_path(&["services", target]);
            let problem = match other {
                None => "which is not defined",
                Some(other) if other.get("build").is_none() => "which has no `build`",
                Some(_) => continue,
            };
            let message =
                format!("the context `{context}` of `{}` is the service `{target}`, {problem}", self.name);
            self.error("undefined-reference", node.span, message);
        }
        let platforms = self.list(&["build", "platforms"]);
        if let Some(platform) = self.get(&["platform"]).filter(|_| !platforms.is_empty())
            && !platforms.contains(platform)
        {
            let message = format!("`services.{}.build.platforms` lacks the service's `platform`", self.name);
            self.conflict(message, platform, build.get("platforms").unwrap_or(build));
        }
        for secret in self.list(&["build", "secrets"]) {
            let source = secret.get("source");
            let name = source.and_then(Node::as_text).unwrap_or_default();
            self.defined("secret", "secrets", name, source.map_or(secret.span, |node| node.span));
        }
    }

    fn networks(&mut self) {
        let networks = self.get(&["networks"]);
        if let (Some(mode), Some(networks)) = (self.get(&["network_mode"]), networks) {
            let message =
                format!("`services.{}`: `network_mode` and `networks` exclude each other", self.name);
            self.conflict(message, mode, networks);
        }
        for (name, node) in self.entries(&["networks"]) {
            self.defined("network", "networks", name, node.place());
        }
        for (name, node) in self.entries(&["models"]) {
            self.defined("model", "models", name, node.place());
        }
        if let Some(mode) = self.get(&["network_mode"])
            && let Some(target) = mode.as_text().and_then(|text| text.strip_prefix("service:"))
        {
            self.defined("service", "services", target, mode.span);
        }
    }

    fn health(&mut self) {
        let test = self.list(&["healthcheck", "test"]);
        if let Some(first) = test.first()
            && !matches!(first.as_text(), Some("CMD" | "CMD-SHELL" | "NONE"))
        {
            let finding = Diagnostic::error(
                "invalid-healthcheck",
                format!(
                    "`services.{}.healthcheck.test` begins with `{}`",
                    self.name,
                    first.as_text().unwrap_or("")
                ),
            );
            let help = "a list begins with CMD, CMD-SHELL or NONE; for a shell command write a string";
            self.report.push(finding.label(first.span, "").help(help));
        }
    }

    fn dependencies(&mut self) {
        for (name, node) in self.entries(&["depends_on"]) {
            if self.top.at_path(&["services", name]).is_some() {
                continue;
            }
            let required = node.get("required").is_none_or(|node| node.value != Value::Bool(false));
            match self.disabled.get(name) {
                Some(_) if !required => {}
                Some(other) => {
                    let profiles = other.get("profiles").and_then(Node::as_list).unwrap_or_default();
                    let profiles: Vec<&str> = profiles.iter().filter_map(Node::as_text).collect();
                    let message = format!(
                        "`{}` depends on `{name}`, which only runs with the profile {}",
                        self.name,
                        profiles.join(" or ")
                    );
                    let finding = Diagnostic::error("disabled-dependency", message)
                        .label(node.place(), "needed here")
                        .label(other.place(), "not active");
                    let help = "activate the profile, or add `required: false` to the dependency";
                    self.report.push(finding.help(help));
                }
                None => self.defined("service", "services", name, node.place()),
            }
        }
    }

    fn volumes(&mut self) {
        for volume in self.list(&["volumes"]) {
            if volume.get("type").and_then(Node::as_text) != Some("volume") {
                continue;
            }
            if let Some(source) = volume.get("source")
                && let Some(name) = source.as_text()
            {
                self.defined("volume", "volumes", name, source.span);
            }
        }
    }

    fn files(&mut self) {
        for (kind, section) in [("config", "configs"), ("secret", "secrets")] {
            for reference in self.list(&[section]) {
                let source = reference.get("source");
                let name = source.and_then(Node::as_text).unwrap_or_default();
                self.defined(kind, section, name, source.map_or(reference.span, |node| node.span));
            }
        }
    }

    fn scale(&mut self) {
        let count = |node: &Node| match node.value {
            Value::Int(count) => Some(count),
            _ => None,
        };
        let scale = self.get(&["scale"]);
        let replicas = self.get(&["deploy", "replicas"]);
        if let (Some(scale), Some(replicas)) = (scale, replicas)
            && scale != replicas
        {
            let message = format!("`services.{}`: `scale` and `deploy.replicas` differ", self.name);
            self.conflict(message, scale, replicas);
        }
        for (key, node) in [("scale", scale), ("deploy.replicas", replicas)] {
            if let Some(node) = node.filter(|node| count(node).is_some_and(|count| count < 0)) {
                let message = format!("`services.{}.{key}` is below zero", self.name);
                self.error("out-of-range", node.span, message);
            }
        }
        if let Some(many) = scale.or(replicas).filter(|node| count(node).is_some_and(|count| count > 1))
            && let Some(container) = self.get(&["container_name"])
        {
            let message = format!("`services.{}`: several replicas can't share `container_name`", self.name);
            self.conflict(message, container, many);
        }
    }

    /// The old keys and those under `deploy` must agree where both are used.
    fn limits(&mut self) {
        const PAIRS: [(&str, &str, &str); 4] = [
            ("cpus", "limits", "cpus"),
            ("mem_limit", "limits", "memory"),
            ("mem_reservation", "reservations", "memory"),
            ("pids_limit", "limits", "pids"),
        ];
        for (key, group, inner) in PAIRS {
            let Some(old) = self.get(&[key]) else { continue };
            let Some(group_node) = self.get(&["deploy", "resources", group]) else { continue };
            if group_node.get(inner) != Some(old) {
                let message = format!(
                    "`services.{}`: `{key}` and `deploy.resources.{group}.{inner}` differ",
                    self.name
                );
                self.conflict(message, old, group_node.get(inner).unwrap_or(group_node));
            }
        }
    }

    fn watch(&mut self) {
        for rule in self.list(&["develop", "watch"]) {
            let action = rule.get("action").and_then(Node::as_text).unwrap_or_default();
            if rule.get("target").is_none() && !matches!(action, "rebuild" | "restart") {
                let message = format!("`services.{}.develop.watch`: `{action}` needs a `target`", self.name);
                self.error("missing-key", rule.span, message);
            }
        }
    }

    fn mount_points(&mut self) {
        let mut taken: HashMap<&str, Span> = HashMap::new();
        let tmpfs = self.list(&["tmpfs"]).iter().map(|node| {
            let text = node.as_text().unwrap_or_default();
            (text.split(':').next().unwrap_or_default(), node.span)
        });
        let volumes = self
            .list(&["volumes"])
            .iter()
            .map(|node| (node.get("target").and_then(Node::as_text).unwrap_or_default(), node.span));
        for (target, at) in tmpfs.chain(volumes) {
            if let Some(first) = taken.insert(target, at) {
                let message = format!("`services.{}`: two mounts at `{target}`", self.name);
                let finding = Diagnostic::error("duplicate-mount", message);
                self.report.push(finding.label(at, "here again").label(first, "first here"));
            }
        }
    }
}
