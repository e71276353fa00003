//! Where build contexts are: folders of this machine, checkouts of repositories, addresses that the agent fetches.

use std::collections::BTreeMap;
use std::path::PathBuf;

use hoist_stackfile::Remote;
use hoist_stackfile::syntax::remote::redacted;
use hoist_wire::build::BuildRequest;

use crate::remote;

/// Where a context is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ContextLocation {
    /// A folder that this command reads.
    Folder(PathBuf),
    /// An archive, or a lone file, that the agent fetches.
    Web(String),
}

impl ContextLocation {
    /// Finds a context; checks a repository out.
    pub(super) fn of(text: &str) -> Result<Self, String> {
        let shown = redacted(text);
        let remote =
            Remote::parse(text).transpose().map_err(|error| format!("the context {shown}: {error}"))?;
        match remote {
            Some(Remote::Git(repository)) => remote::folder(&repository).map(Self::Folder).map_err(|error| {
                let help = error.help().map(|help| format!("; {help}")).unwrap_or_default();
                format!("the context {shown}: {}{help}", error.told())
            }),
            Some(Remote::Http(url)) => Ok(Self::Web(url)),
            Some(Remote::Artifact(_)) => Err(format!("the context {shown} is a stack file's, not a folder")),
            None => {
                let folder = PathBuf::from(text);
                let none = || format!("the context {} is not a folder", folder.display());
                if folder.is_dir() { Ok(Self::Folder(folder)) } else { Err(none()) }
            }
        }
    }

    /// Makes it part of a request, by a name. `ignore` is what the client read of its `.dockerignore`.
    pub(super) fn put(
        self,
        name: &str,
        ignore: String,
        request: &mut BuildRequest,
        folders: &mut BTreeMap<String, PathBuf>,
    ) {
        match self {
            Self::Folder(folder) => {
                request.folders.insert(name.to_owned(), ignore);
                folders.insert(name.to_owned(), folder);
            }
            Self::Web(url) => {
                request.fetched.insert(name.to_owned(), url);
            }
        }
    }
}
