//! Rules between the values of one resource: what excludes what, what must be said.

use super::check::section;
use crate::diagnostic::{Diagnostic, Report};
use crate::node::{Map, Node, Value};
use std::net::IpAddr;

/// Checks a stack file in its long form.
pub fn check_values(top: &Node, report: &mut Report) {
    for (name, volume) in section(top, "volumes") {
        if let Some(map) = volume.as_map() {
            check_external(name, map, report);
        }
    }
    for (name, config) in section(top, "configs") {
        check_origin("configs", name, config, &["file", "environment", "content"], report);
    }
    for (name, secret) in section(top, "secrets") {
        check_origin("secrets", name, secret, &["file", "environment"], report);
    }
    for (name, service) in section(top, "services") {
        check_service(name, service, report);
    }
}

fn check_external(name: &str, volume: &Map, report: &mut Report) {
    let Some(external) = volume.get("external").filter(|node| node.value == Value::Bool(true)) else {
        return;
    };
    for (key, node) in volume {
        if !matches!(key.as_str(), "name" | "external") && !key.starts_with("x-") {
            let message = format!("`volumes.{name}` is external, so `{key}` has no place here");
            let finding = Diagnostic::error("external-conflict", message)
                .label(node.place(), "this describes a volume to make")
                .label(external.place(), "this says that it exists already");
            report.push(finding.help("an external volume has a `name` at most"));
        }
    }
}

fn check_origin(kind: &str, name: &str, node: &Node, origins: &[&str], report: &mut Report) {
    let Some(map) = node.as_map() else { return };
    let mut given = origins.iter().filter_map(|origin| map.get(*origin));
    let list = origins.join(", ");
    if let (Some(first), Some(second)) = (given.next(), given.next()) {
        let finding =
            Diagnostic::error("exclusive-keys", format!("`{kind}.{name}` must have one of {list} only"))
                .label(second.place(), "this one")
                .label(first.place(), "and this one exclude each other");
        report.push(finding);
    } else if !origins.iter().any(|origin| map.contains_key(*origin))
        && !map.contains_key("driver")
        && !map.contains_key("external")
    {
        let message = format!("`{kind}.{name}` must have one of {list}");
        report.error("missing-key", node.place(), message);
    }
}

fn check_service(name: &str, service: &Node, report: &mut Report) {
    let items = |path: &[&str]| service.at_path(path).and_then(Node::as_list).unwrap_or_default();
    for volume in items(&["volumes"]) {
        if volume.get("type").and_then(Node::as_text) == Some("bind") && volume.get("source").is_none() {
            let message = format!("`services.{name}.volumes`: a bind mount needs a `source`");
            report.error("missing-key", volume.place(), message);
        }
    }
    for port in items(&["ports"]) {
        let Some(address) = port.get("host_ip") else { continue };
        if address.as_text().is_some_and(|text| !text.is_empty() && text.parse::<IpAddr>().is_err()) {
            let text = address.as_text().unwrap_or_default();
            let message = format!("`services.{name}.ports`: `{text}` is not an IP address");
            report.error("invalid-address", address.span, message);
        }
    }
    for rule in items(&["develop", "watch"]) {
        let Some(path) = rule.get("path") else { continue };
        if path.as_text() == Some("") {
            let message = format!("`services.{name}.develop.watch`: `path` is empty");
            report.error("missing-value", path.span.or(path.key), message);
        }
    }
    let reserved = items(&["deploy", "resources", "reservations", "devices"]);
    for request in reserved.iter().chain(items(&["gpus"])) {
        if let (Some(count), Some(ids)) = (request.get("count"), request.get("device_ids")) {
            let finding = Diagnostic::error(
                "exclusive-keys",
                format!("`services.{name}`: a device request has `count` or `device_ids`, not both"),
            )
            .label(ids.place(), "this")
            .label(count.place(), "and this exclude each other");
            report.push(finding);
        }
    }
}
