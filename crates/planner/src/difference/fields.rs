//! A service, and what it stands on, as fields with the paths and words of the stack file.
//!
//! What has a form of its own in the file is written out here; every other field of the model comes by itself, so that one
//! that is added is compared at once.

use hoist_model::{EnvValue, ImageSource, Mount, MountKind, Port, Rollout, Service, Stack, UpdateOrder};
use serde::Serialize;
use serde_json::Value;

use super::text::{digest, leaf, list};
use super::{Fields, Shown};

/// Fields that [`of_service`] writes in their own form.
const OWN: [&str; 6] = ["image", "environment", "mounts", "ports", "rollout", "update_order"];

/// The fields of a service.
pub(super) fn of_service(service: &Service) -> Fields {
    let mut fields = Fields::new();
    image(&mut fields, &service.image);
    for (name, EnvValue { value, sensitive }) in &service.environment {
        fields.insert(format!("environment.{name}"), Shown { value: value.clone(), secret: *sensitive });
    }
    for mount in &service.mounts {
        let (path, shown) = mounted(mount);
        fields.insert(path, shown);
    }
    let ports: Vec<String> = service.ports.iter().map(port).collect();
    put(&mut fields, "ports", ports.join(", "));
    rollout(&mut fields, &service.rollout);
    put(&mut fields, "deploy.update_config.order", order(service.update_order).to_owned());
    if let Value::Object(all) = value(service) {
        for (key, value) in all.iter().filter(|(key, _)| !OWN.contains(&key.as_str())) {
            flatten(&mut fields, &path_of(key), value);
        }
    }
    fields
}

/// The networks and volumes of a stack.
pub(super) fn of_resources(stack: &Stack) -> Fields {
    let mut fields = Fields::new();
    for (name, network) in &stack.networks {
        flatten(&mut fields, &format!("networks.{name}"), &value(network));
    }
    for (name, volume) in &stack.volumes {
        flatten(&mut fields, &format!("volumes.{name}"), &value(volume));
    }
    fields
}

fn value<T: Serialize>(of: &T) -> Value {
    serde_json::to_value(of).unwrap_or_default()
}

/// A field, unless there is nothing to say.
fn put(fields: &mut Fields, path: &str, value: String) {
    if !value.is_empty() {
        fields.insert(path.to_owned(), Shown { value, secret: false });
    }
}

fn image(fields: &mut Fields, source: &ImageSource) {
    let path = match source {
        ImageSource::Reference(_) => "image",
        ImageSource::OciLayout { .. } => "x-hoist.oci",
        ImageSource::Rootfs(_) => "x-hoist.rootfs",
    };
    put(fields, path, source.to_string());
}

/// `HOST:8080:80/tcp`, as in the file.
pub(crate) fn port(port: &Port) -> String {
    let ip = port.host_ip.map(|ip| format!("{ip}:")).unwrap_or_default();
    let published = port.published.map(|published| format!("{published}:")).unwrap_or_default();
    format!("{ip}{published}{}/{}", port.target, port.protocol)
}

/// A mount: its section and target, and what is there. Of content only a digest is told, of a secret's not even that.
fn mounted(mount: &Mount) -> (String, Shown) {
    let target = mount.target.display();
    let (section, mut value, secret) = match &mount.kind {
        MountKind::Content { content, uid, gid, mode, sensitive } => {
            let section = if *sensitive { "secrets" } else { "configs" };
            (section, format!("{}, {uid}:{gid}, mode {mode:o}", digest(content)), *sensitive)
        }
        MountKind::Bind { source, .. } => {
            ("volumes", rest(&source.display().to_string(), &mount.kind), false)
        }
        MountKind::Volume { id, .. } => ("volumes", rest(id.as_str(), &mount.kind), false),
        MountKind::Anonymous => ("volumes", "a volume of its own".to_owned(), false),
        MountKind::Tmpfs(options) => ("tmpfs", list(&value_lines(options)), false),
    };
    if mount.read_only && section == "volumes" {
        value.push_str(", read-only");
    }
    if !mount.options.is_empty() {
        value.push_str(&format!(", {}", mount.options.join(",")));
    }
    (format!("{section}.{target}"), Shown { value, secret })
}

/// What a mount says beyond its source, where it says anything.
fn rest(source: &str, kind: &MountKind) -> String {
    let inner = value(kind).as_object().and_then(|kind| kind.values().next().cloned()).unwrap_or_default();
    let mut words = vec![source.to_owned()];
    for (key, value) in inner.as_object().into_iter().flatten() {
        if !matches!(key.as_str(), "source" | "id" | "create") && !leaf(value).is_empty() {
            words.push(format!("{key} {}", leaf(value)));
        }
    }
    words.join(", ")
}

fn value_lines<T: Serialize>(of: &T) -> Vec<String> {
    let value = value(of);
    let entries = value.as_object().into_iter().flatten();
    let said = entries.filter(|(_, value)| !leaf(value).is_empty());
    said.map(|(key, value)| format!("{key} {}", leaf(value))).collect()
}

/// What stands under `x-hoist`, as far as it is declared.
fn rollout(fields: &mut Fields, rollout: &Rollout) {
    let (usual, said) = (value(&Rollout::default()), value(rollout));
    for (key, value) in said.as_object().into_iter().flatten() {
        if usual.get(key) != Some(value) {
            flatten(fields, &format!("x-hoist.{}", key.replace('_', "-")), value);
        }
    }
}

fn order(order: UpdateOrder) -> &'static str {
    match order {
        UpdateOrder::Safe => "",
        UpdateOrder::StartFirst => "start-first",
        UpdateOrder::StopFirst => "stop-first",
    }
}

/// The stack file's name of a field of the model.
fn path_of(field: &str) -> String {
    match field {
        "logs" => "logging",
        "update" => "deploy.update_config",
        "no_new_privileges" => "security_opt.no-new-privileges",
        "seccomp" => "security_opt.seccomp",
        "apparmor" => "security_opt.apparmor",
        "open_system_paths" => "security_opt.systempaths",
        "replicas" => "deploy.replicas",
        "endpoint_mode" => "deploy.endpoint_mode",
        "resources" => "limits",
        other => other,
    }
    .to_owned()
}

/// Objects are walked; everything else is one field.
fn flatten(fields: &mut Fields, path: &str, value: &Value) {
    match value {
        // The image's own command or entrypoint.
        Value::String(text) if text == "image" && matches!(path, "command" | "entrypoint") => {}
        Value::Object(inner) if !leaf(value).is_empty() || inner.is_empty() => {
            put(fields, path, leaf(value));
        }
        Value::Object(inner) => {
            for (key, value) in inner {
                flatten(fields, &format!("{path}.{key}"), value);
            }
        }
        value => put(fields, path, leaf(value)),
    }
}
