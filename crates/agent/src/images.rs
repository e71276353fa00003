//! Settles images on this host and says which layers an instance stands on.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use hoist_image::{Image, Reference, Store};
use hoist_model::{Digest, HealthTest, Healthcheck, ImageConfig, ImageSource, PullPolicy, ResolvedImage};
use hoist_planner::host::StepError;
use hoist_wire::{ApiError, ErrorKind, LoadInput, LoadedImage};
use tokio::sync::mpsc;

use crate::steps::{failed, refused};

/// Chunks of an archive that may wait for the unpacking thread.
const QUEUE: usize = 8;

/// The image store, as the agent uses it. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Images {
    store: Arc<Store>,
}

impl Images {
    /// Opens the store.
    pub(crate) fn open(dir: &Path) -> Result<Self, hoist_image::store::StoreError> {
        Ok(Self { store: Arc::new(Store::open(dir)?) })
    }

    /// Settles an image: finds or imports it. What isn't here and can't be imported is an error that says how to get it.
    pub(crate) fn resolve(
        &self,
        source: &ImageSource,
        policy: PullPolicy,
    ) -> Result<ResolvedImage, ApiError> {
        match source {
            ImageSource::Rootfs(dir) => rootfs(dir),
            ImageSource::OciLayout { dir, tag } => self.import(dir, tag.as_deref()),
            ImageSource::Reference(text) => self.find(text, policy),
        }
    }

    fn find(&self, text: &str, policy: PullPolicy) -> Result<ResolvedImage, ApiError> {
        let invalid = |error: &dyn std::error::Error| {
            ApiError::new(ErrorKind::Invalid, format!("image {text:?}: {}", crate::chain::chain(error)))
        };
        let reference: Reference = text.parse().map_err(|error| invalid(&error))?;
        let found = self.store.resolve(&reference).map_err(|error| ApiError::internal(&error))?;
        let source = ImageSource::Reference(text.to_owned());
        match found {
            Some(image) => Ok(resolved(source, &image)),
            None => {
                let why = if policy == PullPolicy::Never {
                    "pull_policy is never"
                } else {
                    "this version pulls no images yet"
                };
                Err(ApiError::new(
                    ErrorKind::NotFound,
                    format!("image {text} is not on this host, and {why}"),
                )
                .hint(format!(
                    "load it from an archive: `docker save {text} | hoist load`, or `hoist load -i FILE`"
                )))
            }
        }
    }

    fn import(&self, dir: &Path, tag: Option<&str>) -> Result<ResolvedImage, ApiError> {
        let fail = |error: &dyn std::error::Error| {
            let message = format!("OCI layout {}: {}", dir.display(), crate::chain::chain(error));
            ApiError::new(ErrorKind::Invalid, message).hint("x-hoist.oci names a folder with an index.json")
        };
        let loaded = self.store.import_layout(dir, tag, &[], &()).map_err(|error| fail(&error))?;
        let image = self.store.image_by_id(loaded.id).map_err(|error| fail(&error))?;
        let image =
            image.ok_or_else(|| ApiError::new(ErrorKind::Internal, "an image went while it was imported"))?;
        Ok(resolved(ImageSource::OciLayout { dir: dir.to_owned(), tag: tag.map(str::to_owned) }, &image))
    }

    /// The read-only layers below an instance, the topmost first.
    pub(crate) fn layers(&self, image: &ResolvedImage) -> Result<Vec<PathBuf>, StepError> {
        if let ImageSource::Rootfs(dir) = &image.source {
            return Ok(vec![dir.clone()]);
        }
        let missing = |name: &str| {
            refused(format!("image {name} is not in the store any more"), "run `hoist up` again")
        };
        let digest = image.digest.as_ref().map(ToString::to_string).unwrap_or_default();
        let id = digest.parse().map_err(|_| missing(&digest))?;
        let found = self.store.image_by_id(id).map_err(|error| failed(&error))?;
        Ok(found.ok_or_else(|| missing(&digest))?.layers)
    }

    /// Takes an image archive as it comes in.
    pub(crate) async fn load(&self, archive: LoadInput) -> Result<Vec<LoadedImage>, ApiError> {
        let (chunks, queue) = mpsc::channel(QUEUE);
        tokio::spawn(forward(archive, chunks));
        let store = Arc::clone(&self.store);
        let load = move || store.load(ChunkReader { queue, rest: Bytes::new() }, &());
        let loaded = tokio::task::spawn_blocking(load).await.map_err(|error| ApiError::internal(&error))?;
        let loaded = loaded.map_err(|error| {
            ApiError::new(
                ErrorKind::Invalid,
                format!("the archive can't be loaded: {}", crate::chain::chain(&error)),
            )
            .hint("hoist load takes what `docker save` and `skopeo copy … docker-archive:` write")
        })?;
        let image = |loaded: hoist_image::archive::Loaded| LoadedImage {
            references: loaded.references.iter().map(Reference::familiar).collect(),
            digest: Digest(loaded.id.to_string()),
        };
        Ok(loaded.into_iter().map(image).collect())
    }
}

fn rootfs(dir: &Path) -> Result<ResolvedImage, ApiError> {
    if !dir.is_dir() {
        return Err(ApiError::new(
            ErrorKind::Invalid,
            format!("x-hoist.rootfs: {} is no folder", dir.display()),
        ));
    }
    Ok(ResolvedImage {
        source: ImageSource::Rootfs(dir.to_owned()),
        digest: None,
        config: ImageConfig::default(),
    })
}

fn resolved(source: ImageSource, image: &Image) -> ResolvedImage {
    let config = image.config.config().clone().unwrap_or_default();
    let environment = config.env().iter().flatten().map(|entry| match entry.split_once('=') {
        Some((name, value)) => (name.to_owned(), value.to_owned()),
        None => (entry.clone(), String::new()),
    });
    let filled = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    ResolvedImage {
        source,
        digest: Some(Digest(image.id.to_string())),
        config: ImageConfig {
            entrypoint: config.entrypoint().clone().unwrap_or_default(),
            command: config.cmd().clone().unwrap_or_default(),
            environment: environment.collect(),
            working_dir: filled(config.working_dir()),
            user: filled(config.user()),
            volumes: config.volumes().clone().unwrap_or_default(),
            exposed_ports: config.exposed_ports().clone().unwrap_or_default(),
            stop_signal: filled(config.stop_signal()),
            healthcheck: image.docker.healthcheck.as_ref().and_then(healthcheck),
            labels: config.labels().clone().unwrap_or_default().into_iter().collect::<BTreeMap<_, _>>(),
        },
    }
}

/// Docker's form: `["CMD", …]`, `["CMD-SHELL", line]`, `["NONE"]`; zero is the default.
fn healthcheck(check: &hoist_image::store::HealthCheck) -> Option<Healthcheck> {
    let (kind, words) = check.test.split_first()?;
    let test = match kind.as_str() {
        "NONE" => HealthTest::Disabled,
        "CMD" => HealthTest::Exec(words.to_vec()),
        "CMD-SHELL" => HealthTest::Shell(words.join(" ")),
        _ => return None,
    };
    let defaults = Healthcheck::default();
    let time = |nanoseconds: u64, default| {
        if nanoseconds == 0 { default } else { Duration::from_nanos(nanoseconds) }
    };
    Some(Healthcheck {
        test,
        interval: time(check.interval, defaults.interval),
        timeout: time(check.timeout, defaults.timeout),
        retries: if check.retries == 0 { defaults.retries } else { check.retries },
        start_period: time(check.start_period, defaults.start_period),
        start_interval: time(check.start_interval, defaults.start_interval),
    })
}

async fn forward(mut archive: LoadInput, chunks: mpsc::Sender<Result<Bytes, ApiError>>) {
    while let Some(chunk) = archive.next().await {
        if chunks.send(chunk).await.is_err() {
            return;
        }
    }
}

/// An archive that arrives in chunks, as blocking code reads it.
struct ChunkReader {
    queue: mpsc::Receiver<Result<Bytes, ApiError>>,
    rest: Bytes,
}

impl Read for ChunkReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.rest.is_empty() {
            match self.queue.blocking_recv() {
                None => return Ok(0),
                Some(chunk) => self.rest = chunk.map_err(io::Error::other)?,
            }
        }
        let n = self.rest.len().min(buffer.len());
        buffer[..n].copy_from_slice(&self.rest.split_to(n));
        Ok(n)
    }
}
