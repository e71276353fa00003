//! What two versions of a stack have otherwise, field by field, in the words of the stack file. Secrets are compared and
//! never shown.

mod fields;
mod text;

use std::collections::{BTreeMap, BTreeSet};

pub(crate) use self::fields::port;
use hoist_model::{ResolvedImage, Service, ServiceName, Stack, Template};

/// One field that differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Where in the stack file: `services.web.environment.VERSION`.
    pub path: String,
    /// What it was; none where it wasn't there.
    pub was: Option<String>,
    /// What it is; none where it isn't there any more.
    pub is: Option<String>,
}

impl Difference {
    /// The key that it is under: `environment`, of a difference within a service.
    #[must_use]
    pub fn key(&self) -> &str {
        self.path.split_once('.').map_or(&*self.path, |(key, _)| key)
    }
}

/// A field's value: compared as it is, shown as text.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Shown {
    value: String,
    secret: bool,
}

impl Shown {
    fn text(&self) -> String {
        if self.secret { "***".to_owned() } else { self.value.clone() }
    }
}

type Fields = BTreeMap<String, Shown>;

/// One version of a stack. Images by digest are compared where both versions have them.
#[derive(Debug, Clone, Copy)]
pub struct Version<'a> {
    /// The lowered file.
    pub stack: &'a Stack,
    /// Its images, as far as they are settled.
    pub images: Option<&'a BTreeMap<ServiceName, ResolvedImage>>,
}

/// What differs between two versions of a stack, in the order of paths.
#[must_use]
pub fn between(was: Version<'_>, is: Version<'_>) -> Vec<Difference> {
    let names: BTreeSet<&ServiceName> = was.stack.services.keys().chain(is.stack.services.keys()).collect();
    let mut found = compared("", &fields::of_resources(was.stack), &fields::of_resources(is.stack));
    for name in names {
        let sides = (was.stack.services.get(name), is.stack.services.get(name));
        let path = format!("services.{name}");
        let whole = |service: &Service| Some(format!("image {}", service.image));
        match sides {
            (Some(before), Some(after)) => {
                let inside = between_services(before, after);
                found.extend(
                    inside.into_iter().map(|one| Difference { path: format!("{path}.{}", one.path), ..one }),
                );
                found.extend(content(&path, name, was, is));
            }
            (Some(before), None) => found.push(Difference { path, was: whole(before), is: None }),
            (None, Some(after)) => found.push(Difference { path, was: None, is: whole(after) }),
            (None, None) => {}
        }
    }
    found
}

/// What differs between two definitions of a service; paths begin inside the service: `environment.VERSION`.
#[must_use]
pub fn between_services(was: &Service, is: &Service) -> Vec<Difference> {
    if was == is {
        return Vec::new();
    }
    compared("", &fields::of_service(was), &fields::of_service(is))
}

/// What differs between two templates of a service, its image's digest too; paths as of [`between`].
#[must_use]
pub fn between_templates(name: &ServiceName, was: &Template, is: &Template) -> Vec<Difference> {
    let path = format!("services.{name}");
    let inside = between_services(&was.service, &is.service);
    let mut found: Vec<Difference> =
        inside.into_iter().map(|one| Difference { path: format!("{path}.{}", one.path), ..one }).collect();
    let digests = was.image.digest.as_ref().zip(is.image.digest.as_ref());
    if let Some((before, after)) = digests.filter(|(before, after)| before != after)
        && was.service.image == is.service.image
    {
        let path = format!("{path}.image.digest");
        found.push(Difference { path, was: Some(before.to_string()), is: Some(after.to_string()) });
    }
    found
}

/// The same name of an image, and another image.
fn content(path: &str, name: &ServiceName, was: Version<'_>, is: Version<'_>) -> Option<Difference> {
    let digest = |version: Version<'_>| version.images?.get(name)?.digest.clone();
    let source = |version: Version<'_>| version.stack.services.get(name).map(|service| service.image.clone());
    let (before, after) = (digest(was)?, digest(is)?);
    let differs = source(was) == source(is) && before != after;
    let path = format!("{path}.image.digest");
    differs.then(|| Difference { path, was: Some(before.to_string()), is: Some(after.to_string()) })
}

fn compared(prefix: &str, was: &Fields, is: &Fields) -> Vec<Difference> {
    let paths: BTreeSet<&String> = was.keys().chain(is.keys()).collect();
    let differing = paths.into_iter().filter(|path| was.get(*path) != is.get(*path));
    let text = |fields: &Fields, path: &String| fields.get(path).map(Shown::text);
    differing
        .map(|path| Difference { path: format!("{prefix}{path}"), was: text(was, path), is: text(is, path) })
        .collect()
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use hoist_model::{Command, EnvValue, Mount, MountKind, Port, Protocol, RestartPolicy, VolumeId};

    use super::*;

    fn content(target: &str, text: &str, sensitive: bool) -> Mount {
        let kind = MountKind::Content { content: text.into(), uid: 0, gid: 0, mode: 0o444, sensitive };
        Mount { target: target.into(), kind, read_only: true, options: Vec::new() }
    }

    fn text(was: &Service, is: &Service) -> String {
        let found = between_services(was, is);
        let word = |side: Option<String>| side.unwrap_or_else(|| "-".to_owned());
        found
            .into_iter()
            .map(|one| format!("{}: {} => {}\n", one.path, word(one.was), word(one.is)))
            .collect()
    }

    #[test]
    fn fields_are_named_as_in_the_file_and_secrets_are_hidden() {
        let secret = |value: &str| EnvValue { value: value.to_owned(), sensitive: true };
        let port = |published| Port {
            target: 80,
            published: Some(published),
            protocol: Protocol::Tcp,
            ..serde_json::from_str(r#"{"target":80,"protocol":"tcp"}"#).expect("a port")
        };
        let volume = |id: &str| Mount {
            target: "/data".into(),
            kind: MountKind::Volume { id: VolumeId::new(id).expect("valid"), subpath: None, no_copy: false },
            read_only: false,
            options: Vec::new(),
        };
        let was = Service {
            environment: [("VERSION".into(), "1".into()), ("TOKEN".into(), secret("hush"))].into(),
            mounts: vec![
                volume("a"),
                content("/etc/app", "one", false),
                content("/run/secrets/k", "key", true),
            ],
            ports: vec![port(8080)],
            ..Service::default()
        };
        let mut is = Service {
            environment: [("VERSION".into(), "2".into()), ("TOKEN".into(), secret("psst"))].into(),
            mounts: vec![
                volume("b"),
                content("/etc/app", "two", false),
                content("/run/secrets/k", "new", true),
            ],
            ports: vec![port(8081)],
            command: Command::Given(vec!["run".into(), "--fast".into()]),
            restart: RestartPolicy::OnFailure { max: Some(3) },
            replicas: 2,
            cap_add: vec!["NET_ADMIN".into()],
            stop_grace_period: std::time::Duration::from_millis(1500),
            no_new_privileges: true,
            ..Service::default()
        };
        is.rollout.shared_writes = true;
        expect![[r#"
            cap_add: - => NET_ADMIN
            command: - => ["run","--fast"]
            configs./etc/app: sha256:7692c3ad3540 (3 bytes), 0:0, mode 444 => sha256:3fc4ccfe7458 (3 bytes), 0:0, mode 444
            deploy.replicas: 1 => 2
            environment.TOKEN: *** => ***
            environment.VERSION: 1 => 2
            ports: 8080:80/tcp => 8081:80/tcp
            restart: no => -
            restart.on-failure.max: - => 3
            secrets./run/secrets/k: *** => ***
            security_opt.no-new-privileges: - => true
            stop_grace_period: 10s => 1.5s
            volumes./data: a => b
            x-hoist.shared-writes: - => true
        "#]].assert_eq(&text(&was, &is));
    }

    #[test]
    fn equal_services_differ_in_nothing() {
        assert_eq!(text(&Service::default(), &Service::default()), "");
    }
}
