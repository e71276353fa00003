//! From the command line to a loaded stack, and to the stack's name for commands that need no more.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use hoist_model::{ImageSource, ServiceName, Stack, StackId, StackName};
use hoist_wire::{Client, ClusterApi, ErrorKind, StackStatus};

use crate::args::{Global, Selection};
use crate::builder::Declared;
use crate::connect;
use crate::error::CommandError;
use crate::load::{self, Loaded};
use crate::select::{Selected, select};

/// A stack to act on, by name.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    /// Where the agent's state is.
    pub root: PathBuf,
    /// The stack.
    pub id: StackId,
    /// The services named; all when empty.
    pub services: Vec<ServiceName>,
}

/// A loaded stack and where to bring it up.
#[derive(Debug)]
pub(crate) struct Project {
    /// The stack, by name.
    pub target: Target,
    /// What the file says.
    pub stack: Stack,
    /// The file, with the place of each value.
    pub source: hoist_stackfile::Project,
    /// How its images are made.
    pub builds: Declared,
    /// Its folder.
    pub dir: PathBuf,
    /// Its files.
    pub files: Vec<PathBuf>,
    /// The services that have a `build:`.
    pub built: BTreeSet<ServiceName>,
}

impl Target {
    /// The stack that the command line names: by `-p` alone, or by the stack file.
    ///
    /// # Errors
    /// When there is no stack file, or it has errors.
    pub(crate) fn resolve(
        global: &Global,
        files: &[PathBuf],
        words: &[String],
    ) -> Result<Self, CommandError> {
        let selected = select(&global.files, files, words)?;
        if let (Some(name), true) = (&global.project_name, selected.files.is_empty()) {
            let name =
                StackName::new(name.as_str()).map_err(|error| CommandError::usage(error.to_string()))?;
            return Ok(Self {
                root: global.root.clone(),
                id: StackId::new(name),
                services: selected.services,
            });
        }
        let services = selected.services.clone();
        let loaded = load::stack(global, &selected, load::Say::Nothing)?;
        Ok(Self { root: global.root.clone(), id: loaded.stack.id, services })
    }

    /// As [`Target::resolve`], of a selection.
    ///
    /// # Errors
    /// See there.
    pub(crate) fn of(global: &Global, selection: &Selection) -> Result<Self, CommandError> {
        Self::resolve(global, &selection.files, &selection.words)
    }

    /// As [`Target::of`], for a command that needs the stack's name alone: where the file doesn't give it, `-p` does.
    ///
    /// # Errors
    /// See there.
    pub(crate) fn by_name(global: &Global, selection: &Selection) -> Result<Self, CommandError> {
        Self::of(global, selection).map_err(|error| {
            match error.message.is_empty() {
                true => {
                    CommandError { code: error.code, ..CommandError::failed("the stack file has errors") }
                }
                false => error,
            }
            .hint("this command needs no stack file: name the stack with `-p NAME`")
        })
    }

    /// The agent, when there may be something to ask it about; none where nothing was ever brought up.
    ///
    /// # Errors
    /// When it can't be started.
    pub(crate) async fn agent(&self) -> Result<Option<Arc<Client>>, CommandError> {
        if let Some(client) = connect::running(&self.root).await? {
            return Ok(Some(Arc::new(client)));
        }
        if !self.was_used()? {
            return Ok(None);
        }
        Ok(Some(Arc::new(connect::connect(&self.root).await?)))
    }

    fn was_used(&self) -> Result<bool, CommandError> {
        Ok(connect::is_used(&self.root)? || connect::socket(&self.root).exists())
    }

    /// The stack as it is; none when it isn't up. Named services must be in it.
    ///
    /// # Errors
    /// When a named service isn't in it, or the agent can't be asked.
    pub(crate) async fn status(&self) -> Result<Option<StackStatus>, CommandError> {
        Ok(self.asked().await?.map(|(_, status)| status))
    }

    /// The stack as it is, and who said so.
    async fn asked(&self) -> Result<Option<(Arc<Client>, StackStatus)>, CommandError> {
        if !self.was_used()? {
            return Ok(None);
        }
        let ask = |agent: Arc<Client>| async move { agent.stack(self.id.clone()).await };
        match connect::reading(&self.root, ask).await {
            Ok((agent, status)) => {
                self.check_services(&status)?;
                Ok(Some((agent, status)))
            }
            Err(error) if error.kind == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// The stack as it is.
    ///
    /// # Errors
    /// When it isn't up, too.
    pub(crate) async fn up_status(&self) -> Result<(Arc<Client>, StackStatus), CommandError> {
        let not_up = || {
            CommandError::failed(format!("stack {} is not up", self.id)).hint("bring it up with `hoist up`")
        };
        self.asked().await?.ok_or_else(not_up)
    }

    fn check_services(&self, status: &StackStatus) -> Result<(), CommandError> {
        for service in &self.services {
            if !status.wanted.intents.contains_key(service) {
                let known: Vec<&str> = status.wanted.intents.keys().map(ServiceName::as_str).collect();
                return Err(CommandError::usage(format!("stack {} has no service {service}", self.id))
                    .hint(format!("its services are {}", known.join(", "))));
            }
        }
        Ok(())
    }
}

impl Project {
    /// The images that its services name, as written.
    pub(crate) fn images(&self) -> impl Iterator<Item = &str> {
        let names = self.stack.services.values().map(|service| match &service.image {
            ImageSource::Reference(name) => Some(name.as_str()),
            _ => None,
        });
        names.flatten()
    }

    /// Loads the stack file that the command line means, printing its warnings.
    ///
    /// # Errors
    /// When there is none, or it has errors; those have been printed.
    pub(crate) fn load(global: &Global, selection: &Selection) -> Result<Self, CommandError> {
        let selected = select(&global.files, &selection.files, &selection.words)?;
        let Loaded { stack, source, builds, dir, files, built } =
            load::stack(global, &selected, load::Say::Warnings)?;
        check_named(&selected, &stack)?;
        let target = Target { root: global.root.clone(), id: stack.id.clone(), services: selected.services };
        Ok(Self { target, stack, source, builds, dir, files, built })
    }
}

fn check_named(selected: &Selected, stack: &Stack) -> Result<(), CommandError> {
    for service in &selected.services {
        if !stack.services.contains_key(service) {
            let known: Vec<&str> = stack.services.keys().map(ServiceName::as_str).collect();
            return Err(CommandError::usage(format!("the stack file has no service {service}"))
                .hint(format!("it has {}", known.join(", "))));
        }
    }
    Ok(())
}
