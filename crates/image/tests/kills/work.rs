//! What the killed processes do: one operation on one store, as their environment says.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use hoist_image::builder::Ignore;
use hoist_image::builder::context::Local;
use hoist_image::builder::exchange::Caches;
use hoist_image::builder::execute::{Build, ContextSource, Options};
use hoist_image::builder::graph::{Action, Copy, Graph, History, Source, Step, StepId, Tree};
use hoist_image::platform::Platform;
use hoist_image::registry::{Registries, RegistryConfig};
use hoist_image::{Reference, Store};

use crate::runner::Chroot;

/// What may be done, and be killed while it is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Role {
    Pull,
    Load,
    Build,
    Gc,
}

pub(crate) const ROLES: [Role; 4] = [Role::Pull, Role::Load, Role::Build, Role::Gc];

/// Where everything is.
#[derive(Clone)]
pub(crate) struct Place {
    pub(crate) store: PathBuf,
    /// An archive of one image, `loaded:1`.
    pub(crate) archive: PathBuf,
    /// A build context with folders `0`, `1` and `2`.
    pub(crate) context: PathBuf,
    /// What is pulled.
    pub(crate) reference: Reference,
}

impl Place {
    pub(crate) fn read() -> Self {
        let path = |name| PathBuf::from(std::env::var_os(name).unwrap());
        let reference = std::env::var("REFERENCE").unwrap().parse().unwrap();
        Self { store: path("STORE"), archive: path("ARCHIVE"), context: path("CONTEXT"), reference }
    }

    pub(crate) fn tell(&self, command: &mut std::process::Command) {
        command.env("STORE", &self.store).env("ARCHIVE", &self.archive).env("CONTEXT", &self.context);
        command.env("REFERENCE", self.reference.to_string());
    }

    /// Names of what the role makes; none is made by collecting.
    pub(crate) fn names(&self, role: Role) -> Vec<Reference> {
        let name = |name: &str| vec![name.parse().unwrap()];
        match role {
            Role::Pull => vec![self.reference.clone()],
            Role::Load => name("loaded:1"),
            Role::Build => name("built:1"),
            Role::Gc => Vec::new(),
        }
    }

    pub(crate) fn perform(&self, store: &Store, role: Role) -> Result<(), Box<dyn std::error::Error>> {
        match role {
            Role::Pull => {
                let registries = Registries::new(RegistryConfig::default())?;
                store.pull(&registries, &self.reference, &Platform::host(), &())?;
            }
            Role::Load => drop(store.load(fs::File::open(&self.archive)?, &())?),
            Role::Build => self.build(store)?,
            Role::Gc => drop(store.gc(&[])?),
        }
        Ok(())
    }

    fn build(&self, store: &Store) -> Result<(), Box<dyn std::error::Error>> {
        let folder = Box::new(Local(self.context.clone()));
        let source = ContextSource { folder, ignore: Ignore::default() };
        let contexts = BTreeMap::from([(String::new(), source)]);
        let options = Options {
            no_cache: true,
            epoch: Some(1_000_000_000),
            names: self.names(Role::Build),
            ..Options::default()
        };
        let build = Build {
            store,
            runner: &Chroot,
            contexts: &contexts,
            secrets: &BTreeMap::new(),
            ssh: &BTreeMap::new(),
            options: &options,
            caches: &Caches::default(),
            progress: &(),
        };
        build.perform(&graph())?;
        Ok(())
    }
}

/// Three steps that each copy a folder, one above the other.
fn graph() -> Graph {
    let step = |at: usize| {
        let copy = Copy {
            sources: vec![Source::Files {
                from: Tree::Context(String::new()),
                path: at.to_string(),
                unpack: false,
            }],
            destination: format!("/{at}/"),
            owner: None,
            mode: None,
            link: false,
            parents: false,
            exclude: Vec::new(),
        };
        let base = if at == 0 { Tree::Empty } else { Tree::Step(StepId(at - 1)) };
        Step { title: format!("copy {at}"), base, action: Action::Copy(copy), line: at }
    };
    let history = |at: usize| History { created_by: format!("copy {at}"), step: Some(StepId(at)) };
    let serde_json::Value::Object(config) = serde_json::json!({ "architecture": "amd64", "os": "linux" })
    else {
        unreachable!()
    };
    Graph {
        target: Tree::Step(StepId(2)),
        config,
        history: (0..3).map(history).collect(),
        steps: (0..3).map(step).collect(),
    }
}

/// Files for an image or a context: many small ones, and one of some size.
pub(crate) fn folders(at: &Path, mark: &str) {
    for folder in 0..3 {
        let folder = at.join(folder.to_string());
        fs::create_dir_all(folder.join("sub")).unwrap();
        for file in 0..40 {
            let content = format!("{mark} {folder:?} {file} ").repeat(50);
            fs::write(folder.join(format!("sub/{file}")), content).unwrap();
        }
        fs::write(folder.join("large"), mark.repeat(100_000)).unwrap();
    }
}
