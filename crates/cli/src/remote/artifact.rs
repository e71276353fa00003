//! Stack files of registries: artifacts as `docker compose publish` writes them. The agent fetches them, with the user's
//! credentials; their files are kept by the manifest's digest.

use std::fs;
use std::future::Future;
use std::path::{Path, PathBuf};

use hoist_wire::{ApiError, Artifact, ArtifactText, FetchArtifact, ImageApi as _};

use super::RemoteError;
use super::cache::Cache;
use crate::connect::connect;
use crate::error::CommandError;
use crate::registry_access;

/// The artifact's type, and the configuration's in registries that know no other (OCI 1.0).
const KINDS: [&str; 2] =
    ["application/vnd.docker.compose.project", "application/vnd.docker.compose.config.empty.v1+json"];
const FILE: &str = "application/vnd.docker.compose.file+yaml";
const ENV_FILE: &str = "application/vnd.docker.compose.envfile";

/// Annotations of layers: a file's name; whether it is there to be extended only; a file of variables' name.
const FILE_NAME: &str = "com.docker.compose.file";
const EXTENDED: &str = "com.docker.compose.extends";
const ENV_NAME: &str = "com.docker.compose.envfile";

/// The file that all others but extended ones are laid over.
const MAIN: &str = "compose.yaml";

/// Where the stack file of an artifact is.
pub(super) fn stack_file(root: &Path, reference: &str) -> Result<PathBuf, RemoteError> {
    let cache = Cache::open()?;
    if let Some(tree) = pinned(reference).and_then(|hex| cache.tree("oci", hex)) {
        return Ok(tree.join(MAIN));
    }
    let artifact = fetch(root, reference)?;
    let hex = artifact.digest.0.strip_prefix("sha256:").filter(|hex| is_hex(hex));
    let hex = hex.ok_or_else(|| RemoteError::Artifact(format!("has the digest {}", artifact.digest.0)))?;
    let files = files(&artifact.texts)?;
    let tree = cache.make("oci", hex, |folder| {
        for (name, text) in &files {
            let path = folder.join(name);
            fs::write(&path, text).map_err(RemoteError::io(&path))?;
        }
        Ok(())
    })?;
    Ok(tree.join(MAIN))
}

/// The digest that a reference pins.
fn pinned(reference: &str) -> Option<&str> {
    reference.split_once("@sha256:").map(|(_, hex)| hex).filter(|hex| is_hex(hex))
}

fn is_hex(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

/// The files of an artifact: each stack file is a document of the one, in order.
fn files(layers: &[ArtifactText]) -> Result<Vec<(String, String)>, RemoteError> {
    let mut files: Vec<(String, String)> = Vec::new();
    let mut main = String::new();
    for layer in layers {
        let named = |key: &str| layer.annotations.get(key).map(|name| file_name(name)).transpose();
        let (name, text) = match &*layer.media_type {
            FILE if layer.annotations.contains_key(EXTENDED) => (named(FILE_NAME)?, &layer.text),
            FILE => {
                let between = if main.is_empty() { "" } else { "\n---\n" };
                main.push_str(between);
                main.push_str(&layer.text);
                continue;
            }
            ENV_FILE => (named(ENV_NAME)?, &layer.text),
            _ => continue,
        };
        let name = name.ok_or_else(|| RemoteError::Artifact("has a file without a name".to_owned()))?;
        if name == MAIN || files.iter().any(|(known, _)| *known == name) {
            return Err(RemoteError::Artifact(format!("has {name:?} twice")));
        }
        files.push((name, text.clone()));
    }
    if main.is_empty() {
        return Err(RemoteError::Artifact("has no stack file in it".to_owned()));
    }
    files.push((MAIN.to_owned(), main));
    Ok(files)
}

/// All files of an artifact are in one folder.
fn file_name(name: &str) -> Result<String, RemoteError> {
    let is_plain = !matches!(name, "" | "." | "..") && !name.contains(['/', '\\', '\0']);
    if is_plain { Ok(name.to_owned()) } else { Err(RemoteError::Artifact(format!("has a file {name:?}"))) }
}

fn fetch(root: &Path, reference: &str) -> Result<Artifact, RemoteError> {
    let told = |error: CommandError| RemoteError::Agent(error.message, error.hint);
    let access = registry_access::access([reference]).map_err(told)?;
    let request =
        FetchArtifact { reference: reference.to_owned(), kinds: KINDS.map(str::to_owned).to_vec(), access };
    let fetching = async {
        let agent = connect(root).await?;
        agent.fetch_artifact(request).await.map_err(|error: ApiError| CommandError::from(error))
    };
    waited_for(fetching)?.map_err(told)
}

/// A stack file is loaded in one go, on the thread that the command runs on: that one can't wait for its own tasks.
fn waited_for<T: Send>(work: impl Future<Output = T> + Send) -> Result<T, RemoteError> {
    let wait = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.map(|runtime| runtime.block_on(work)).map_err(RemoteError::io(Path::new("a thread")))
    };
    std::thread::scope(|scope| scope.spawn(wait).join())
        .unwrap_or_else(|_| Err(RemoteError::Agent("asking the agent went wrong".to_owned(), None)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer(kind: &str, annotations: &[(&str, &str)], text: &str) -> ArtifactText {
        let annotations = annotations.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        ArtifactText {
            media_type: kind.to_owned(),
            annotations: annotations.collect(),
            text: text.to_owned(),
        }
    }

    #[test]
    fn stack_files_are_documents_of_one_and_the_others_lie_beside_it() {
        let found = files(&[
            layer(FILE, &[(FILE_NAME, "compose.yaml")], "a: 1"),
            layer(FILE, &[(FILE_NAME, "abc.yaml"), (EXTENDED, "true")], "b: 2"),
            layer(ENV_FILE, &[(ENV_NAME, "def.env")], "C=3"),
            layer(FILE, &[(FILE_NAME, "over.yaml")], "d: 4"),
            layer("application/vnd.oci.empty.v1+json", &[], "{}"),
        ]);
        let expected = [("abc.yaml", "b: 2"), ("def.env", "C=3"), ("compose.yaml", "a: 1\n---\nd: 4")];
        assert_eq!(found.unwrap(), expected.map(|(name, text)| (name.to_owned(), text.to_owned())));
    }

    #[test]
    fn no_file_of_an_artifact_lies_elsewhere_or_takes_anothers_place() {
        let main = layer(FILE, &[(FILE_NAME, "compose.yaml")], "a: 1");
        for name in ["../x.env", "/etc/x", "a\\b", "..", "", "compose.yaml"] {
            let odd = layer(ENV_FILE, &[(ENV_NAME, name)], "X=1");
            assert!(files(&[main.clone(), odd]).is_err(), "{name}");
        }
        let extended = layer(FILE, &[(FILE_NAME, "compose.yaml"), (EXTENDED, "true")], "b: 2");
        assert!(files(&[main, extended.clone()]).is_err() && files(&[extended]).is_err());
    }
}
