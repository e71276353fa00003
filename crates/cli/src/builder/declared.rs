//! What a stack file says about builds, and the requests that it comes to. Reads Dockerfiles, `.dockerignore` and
//! secrets, as the user.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use hoist_model::ServiceName;
use hoist_stackfile::{Project, canonical};
use hoist_wire::build::{BuildRequest, Sealed};
use serde::Deserialize;
use serde_json::Value;

use super::Wanted;
use super::caches::CacheSettings;
use super::location::ContextLocation;
use super::settings::{Settings, platform};
use crate::bounded;
use crate::error::CommandError;
use crate::{registry_access, remote};

/// The builds of a stack file, in Compose's canonical form.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Declared {
    name: String,
    services: BTreeMap<String, Service>,
    secrets: BTreeMap<String, Secret>,
    #[serde(skip)]
    environment: BTreeMap<String, String>,
    /// The whole file, for those who want it as it is.
    #[serde(skip)]
    whole: Value,
    /// What relative folders start from.
    #[serde(skip)]
    directory: PathBuf,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Service {
    image: Option<String>,
    platform: Option<String>,
    pull_policy: Option<String>,
    build: Option<Section>,
    depends_on: BTreeMap<String, Value>,
}

/// `build`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Section {
    context: String,
    dockerfile: Option<String>,
    dockerfile_inline: Option<String>,
    args: BTreeMap<String, Option<Value>>,
    additional_contexts: BTreeMap<String, String>,
    labels: BTreeMap<String, Value>,
    target: Option<String>,
    network: Option<String>,
    no_cache: bool,
    pull: bool,
    platforms: Vec<String>,
    secrets: Vec<SecretUse>,
    ssh: Value,
    tags: Vec<String>,
    cache_from: Vec<String>,
    cache_to: Vec<String>,
    #[serde(flatten)]
    run: Settings,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct SecretUse {
    source: String,
    target: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Secret {
    file: Option<PathBuf>,
    environment: Option<String>,
}

/// What the command line says over the file.
#[derive(Debug, Clone, Default)]
pub(crate) struct Overrides {
    /// `--build-arg`, as written.
    pub arguments: Vec<String>,
    /// `--no-cache`.
    pub no_cache: bool,
    /// `--pull`.
    pub pull: bool,
    /// `--ssh`, as written.
    pub ssh: Vec<String>,
    /// `--memory`: bytes that a command may use.
    pub memory: Option<u64>,
    /// Images that are here already are left alone.
    pub missing_only: bool,
    /// Services whose image is known to be here: nothing of their builds is looked at, which may be gone by now.
    pub here: BTreeSet<ServiceName>,
}

impl Declared {
    /// Takes the builds out of a loaded project.
    ///
    /// # Errors
    /// When a section is not as the specification has it.
    pub(crate) fn of(project: &Project) -> Result<Self, CommandError> {
        let json = canonical::to_json(&project.canonical(hoist_stackfile::Dialect::Json));
        let bad = |error: serde_json::Error| CommandError::usage(format!("the stack file's builds: {error}"));
        let mut declared: Self = serde_json::from_str(&json).map_err(bad)?;
        declared.whole = serde_json::from_str(&json).map_err(bad)?;
        declared.directory = PathBuf::from(&project.directory);
        declared.environment = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        Ok(declared)
    }

    /// Whether the file builds anything.
    pub(crate) fn is_empty(&self) -> bool {
        self.services.values().all(|service| service.build.is_none())
    }

    /// The builds of these services, all when none is named; those that they stand on come along.
    ///
    /// # Errors
    /// When what a build reads can't be read.
    pub(crate) fn wanted(
        &self,
        services: &[ServiceName],
        with_dependencies: bool,
        overrides: &Overrides,
    ) -> Result<Vec<Wanted>, CommandError> {
        let mut names: Vec<String> = match services {
            [] => self.services.keys().cloned().collect(),
            named => named.iter().map(|name| name.as_str().to_owned()).collect(),
        };
        let (mut wanted, mut seen) = (Vec::new(), BTreeSet::new());
        while let Some(name) = names.pop() {
            let Some(service) = self.services.get(&name) else { continue };
            if !seen.insert(name.clone()) {
                continue;
            }
            if with_dependencies {
                names.extend(service.depends_on.keys().cloned());
            }
            if let Some(section) = service.build.as_ref().filter(|_| !overrides.here.contains(name.as_str()))
            {
                let one = self.one(&name, service, section, overrides)?;
                names.extend(one.after.iter().map(|name| name.as_str().to_owned()));
                wanted.push(one);
            }
        }
        wanted.sort_by(|a, b| a.service.cmp(&b.service));
        Ok(wanted)
    }

    /// The builds as `docker buildx bake` reads them.
    pub(crate) fn bake(&self, wanted: &[Wanted]) -> Value {
        super::bake::file(wanted, &self.whole["services"], &self.whole["secrets"])
    }

    /// Whether a service's image has a name of its own.
    pub(crate) fn has_image(&self, service: &ServiceName) -> bool {
        self.services.get(service.as_str()).is_some_and(|service| service.image.is_some())
    }

    /// The images that needn't be built when they are here, by service.
    pub(crate) fn kept_images(&self) -> Vec<(ServiceName, String)> {
        let kept =
            |service: &&Service| service.build.is_some() && service.pull_policy.as_deref() != Some("build");
        let services = self.services.iter().filter(|(_, service)| kept(service));
        let named = |(name, service): (&String, &Service)| {
            Some((ServiceName::new(name.as_str()).ok()?, self.image(name, service)))
        };
        services.filter_map(named).collect()
    }

    /// The name that a service's image gets.
    fn image(&self, name: &str, service: &Service) -> String {
        service.image.clone().unwrap_or_else(|| format!("{}-{name}", self.name))
    }

    fn one(
        &self,
        name: &str,
        service: &Service,
        section: &Section,
        overrides: &Overrides,
    ) -> Result<Wanted, CommandError> {
        let usage = |text: String| CommandError::usage(format!("services.{name}.build: {text}"));
        let context = ContextLocation::of(&section.context).map_err(usage)?;
        let (dockerfile, shown, ignore_of) = dockerfile(section, &context).map_err(usage)?;
        let ignore = ignore(&context, ignore_of.as_deref()).map_err(usage)?;
        let mut request = BuildRequest {
            dockerfile,
            dockerfile_name: shown,
            target: section.target.clone(),
            arguments: self.arguments(section, overrides),
            labels: section.labels.iter().map(|(name, value)| (name.clone(), text(value))).collect(),
            platform: platform(service.platform.as_deref(), &section.platforms),
            network: section.network.clone(),
            fresh: section.run.no_cache_filter.clone(),
            settings: section.run.of_run(overrides.memory).map_err(usage)?,
            names: std::iter::once(self.image(name, service)).chain(section.tags.iter().cloned()).collect(),
            no_cache: section.no_cache || overrides.no_cache,
            pull: section.pull || overrides.pull,
            only_if_missing: overrides.missing_only && service.pull_policy.as_deref() != Some("build"),
            ..BuildRequest::default()
        };
        request.dockerfile_fetched =
            matches!(context, ContextLocation::Web(_)) && section.dockerfile_inline.is_none();
        let mut folders = BTreeMap::new();
        context.put("", ignore, &mut request, &mut folders);
        let mut after = BTreeSet::new();
        for (context, place) in &section.additional_contexts {
            if let Some(image) = place.strip_prefix("docker-image://") {
                request.images.insert(context.clone(), image.to_owned());
            } else if let Some(other) = place.strip_prefix("service:") {
                let service =
                    self.services.get(other).ok_or_else(|| usage(format!("there is no service {other}")))?;
                request.images.insert(context.clone(), self.image(other, service));
                after.insert(ServiceName::new(other).map_err(|error| usage(error.to_string()))?);
            } else {
                let place = ContextLocation::of(place).map_err(usage)?;
                let ignore = self::ignore(&place, None).map_err(usage)?;
                place.put(context, ignore, &mut request, &mut folders);
            }
        }
        request.secrets = self.secrets(section).map_err(usage)?;
        let mut found =
            CacheSettings::read(&self.directory, &section.cache_from, &section.cache_to).map_err(usage)?;
        folders.append(&mut found.folders);
        request.access = registry_access::access(bases(&request.dockerfile).chain(found.images()))?;
        (request.cache_from, request.cache_to) = (found.from, found.to);
        request.ssh = self.ssh(section, overrides).map_err(usage)?;
        let service = ServiceName::new(name).map_err(|error| usage(error.to_string()))?;
        Ok(Wanted { service, request, folders, after, warnings: found.warnings })
    }

    fn arguments(&self, section: &Section, overrides: &Overrides) -> BTreeMap<String, String> {
        const EPOCH: &str = "SOURCE_DATE_EPOCH";
        let given = |name: &str| self.environment.get(name).cloned();
        let mut arguments = BTreeMap::new();
        arguments.extend(given(EPOCH).map(|epoch| (EPOCH.to_owned(), epoch)));
        for (name, value) in &section.args {
            let value = value.as_ref().filter(|value| !value.is_null()).map(text).or_else(|| given(name));
            arguments.extend(value.map(|value| (name.clone(), value)));
        }
        for word in &overrides.arguments {
            let (name, value) = match word.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (word.as_str(), given(word)),
            };
            arguments.extend(value.map(|value| (name.to_owned(), value)));
        }
        arguments
    }

    fn secrets(&self, section: &Section) -> Result<BTreeMap<String, Sealed>, String> {
        let mut secrets = BTreeMap::new();
        for used in &section.secrets {
            let secret = self
                .secrets
                .get(&used.source)
                .ok_or_else(|| format!("secret {:?} is not defined", used.source))?;
            let content = match (&secret.file, &secret.environment) {
                (Some(file), _) => {
                    bounded::read(file).map_err(|error| format!("{}: {error}", file.display()))?
                }
                (None, Some(name)) => match self.environment.get(name) {
                    Some(value) => value.clone().into_bytes(),
                    None => return Err(format!("secret {:?}: the variable {name} is not set", used.source)),
                },
                (None, None) => {
                    return Err(format!("secret {:?} has neither file nor environment", used.source));
                }
            };
            let id = used.target.as_deref().filter(|target| !target.is_empty()).unwrap_or(&used.source);
            secrets.insert(id.rsplit('/').next().unwrap_or(id).to_owned(), Sealed(content));
        }
        Ok(secrets)
    }

    fn ssh(&self, section: &Section, overrides: &Overrides) -> Result<BTreeMap<String, PathBuf>, String> {
        let mut words: Vec<String> = match &section.ssh {
            Value::String(word) => vec![word.clone()],
            Value::Array(list) => list.iter().map(text).collect(),
            Value::Object(map) => map
                .iter()
                .map(|(id, path)| if path.is_null() { id.clone() } else { format!("{id}={}", text(path)) })
                .collect(),
            _ => Vec::new(),
        };
        words.extend(overrides.ssh.iter().cloned());
        let mut sockets = BTreeMap::new();
        for word in words {
            let (id, path) = word.split_once('=').unwrap_or((&word, ""));
            let path = match path {
                "" => self
                    .environment
                    .get("SSH_AUTH_SOCK")
                    .cloned()
                    .ok_or("no ssh agent runs: SSH_AUTH_SOCK is not set")?,
                path => path.to_owned(),
            };
            sockets.insert(id.to_owned(), PathBuf::from(path));
        }
        Ok(sockets)
    }
}

/// What a Dockerfile names as images, as far as its text alone tells: for whose registries credentials may be needed.
fn bases(dockerfile: &str) -> impl Iterator<Item = &str> {
    dockerfile.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        match words.next()? {
            word if word.eq_ignore_ascii_case("from") => words.find(|word| !word.starts_with("--")),
            _ => words.find_map(|word| word.strip_prefix("--from=")),
        }
        .filter(|name| !name.contains('$'))
    })
}

/// The Dockerfile's text, what it is called in messages, and where it is. The agent reads it where it fetches the context.
fn dockerfile(
    section: &Section,
    context: &ContextLocation,
) -> Result<(String, String, Option<PathBuf>), String> {
    if let Some(text) = &section.dockerfile_inline {
        return Ok((text.clone(), "dockerfile_inline".to_owned(), None));
    }
    let name = section.dockerfile.as_deref().unwrap_or("Dockerfile");
    let ContextLocation::Folder(context) = context else { return Ok((String::new(), name.to_owned(), None)) };
    let path = context.join(name);
    let text = remote::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let shown = path.strip_prefix(context).unwrap_or(&path).display().to_string();
    Ok((text, shown, Some(path)))
}

/// `.dockerignore`: the Dockerfile's own goes before the context's.
fn ignore(context: &ContextLocation, dockerfile: Option<&Path>) -> Result<String, String> {
    let ContextLocation::Folder(context) = context else { return Ok(String::new()) };
    let own = dockerfile.map(|path| {
        let mut name = path.as_os_str().to_owned();
        name.push(".dockerignore");
        PathBuf::from(name)
    });
    for path in own.into_iter().chain([context.join(".dockerignore")]) {
        match remote::read_to_string(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            read => return read.map_err(|error| format!("{}: {error}", path.display())),
        }
    }
    Ok(String::new())
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}
