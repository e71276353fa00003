//! `import`: a tar archive of a root file system becomes an image of one layer.

use std::io::{self, Read, Write as _};

use oci_spec::image::ImageConfiguration;
use serde_json::{Map, Value, json};

use super::loaded::{ChangeError, LoadError, Loaded};
use crate::digest::{Digest, Hashed};
use crate::layer::decoder;
use crate::manifest::{Descriptor, Manifest, OCI_CONFIG, layer_media_type};
use crate::platform::Platform;
use crate::progress::Progress;
use crate::reference::Reference;
use crate::store::{NewImage, RegisterError, Store};

/// What an imported image is called and says of itself.
#[derive(Clone, Debug, Default)]
pub struct Import {
    pub name: Option<Reference>,
    /// Dockerfile instructions, as `docker import --change` takes them.
    pub changes: Vec<String>,
    /// What its history says.
    pub message: String,
}

impl Store {
    /// Makes an image of the root file system that `input` holds, compressed or not.
    pub fn import_tree(
        &self,
        input: impl Read + Send,
        import: &Import,
        progress: &dyn Progress,
    ) -> Result<Loaded, LoadError> {
        let changes = changed(&import.changes)?;
        let session = self.session()?;
        let mut writer = session.blob_writer()?;
        io::copy(&mut io::BufReader::new(input), &mut writer).map_err(LoadError::Read)?;
        writer.flush().map_err(LoadError::Spool)?;
        let spooled = writer.finish();
        session.keep(&spooled)?;
        let mut plain = Hashed::new(decoder(self.blob(spooled.digest)?).map_err(LoadError::Read)?);
        io::copy(&mut plain, &mut io::sink()).map_err(LoadError::Read)?;
        let (diff_id, _, _) = plain.finish();
        session.unpack_missing(&[(diff_id, spooled.digest)], progress)?;
        let config = config(diff_id, &changes, &import.message)?;
        let media_type = layer_media_type(session.blob_compression(spooled.digest)?);
        let layer = Descriptor::new(&media_type, spooled.digest, spooled.size);
        let described = Descriptor::new(OCI_CONFIG, Digest::of(&config), config.len() as u64);
        let manifest =
            serde_json::to_vec(&Manifest::new(described, vec![layer])).map_err(RegisterError::Config)?;
        let names: Vec<Reference> = import.name.iter().cloned().collect();
        let id = session.register(&NewImage { manifest, config, names: names.clone() })?;
        drop(session);
        self.settle()?;
        Ok(Loaded { id, references: names })
    }
}

/// No time in it: the same tree is the same image.
fn config(diff_id: Digest, changes: &Map<String, Value>, message: &str) -> Result<Vec<u8>, LoadError> {
    let Platform { os, architecture, .. } = Platform::host();
    let comment = if message.is_empty() { "imported" } else { message };
    let config = json!({
        "os": os,
        "architecture": architecture,
        "config": changes,
        "rootfs": {"type": "layers", "diff_ids": [diff_id.to_string()]},
        "history": [{"comment": comment}],
    });
    // Whoever reads it later must be able to.
    serde_json::from_value::<ImageConfiguration>(config.clone()).map_err(RegisterError::Config)?;
    Ok(serde_json::to_vec(&config).map_err(RegisterError::Config)?)
}

fn changed(changes: &[String]) -> Result<Map<String, Value>, ChangeError> {
    let mut config = Map::new();
    for change in changes {
        let (word, value) = change.trim().split_once(char::is_whitespace).unwrap_or((change.trim(), ""));
        let value = value.trim();
        if value.is_empty() {
            return Err(ChangeError::Empty(change.clone()));
        }
        match &word.to_ascii_uppercase()[..] {
            "CMD" => insert(&mut config, "Cmd", command(value)),
            "ENTRYPOINT" => insert(&mut config, "Entrypoint", command(value)),
            "USER" => insert(&mut config, "User", json!(value)),
            "WORKDIR" => insert(&mut config, "WorkingDir", json!(value)),
            "STOPSIGNAL" => insert(&mut config, "StopSignal", json!(value)),
            "ENV" => push(&mut config, "Env", &pair(change, value)?),
            "LABEL" => set(&mut config, "Labels", &pair(change, value)?),
            "EXPOSE" => member(&mut config, "ExposedPorts", &port(value)),
            "VOLUME" => member(&mut config, "Volumes", value),
            _ => return Err(ChangeError::Unknown(change.clone())),
        }
    }
    Ok(config)
}

fn insert(config: &mut Map<String, Value>, key: &str, value: Value) {
    config.insert(key.to_owned(), value);
}

fn push(config: &mut Map<String, Value>, key: &str, (name, value): &(String, String)) {
    let list = config.entry(key).or_insert_with(|| json!([]));
    list.as_array_mut().into_iter().for_each(|list| list.push(json!(format!("{name}={value}"))));
}

fn set(config: &mut Map<String, Value>, key: &str, (name, value): &(String, String)) {
    let map = config.entry(key).or_insert_with(|| json!({}));
    map.as_object_mut().into_iter().for_each(|map| insert(map, name, json!(value)));
}

fn member(config: &mut Map<String, Value>, key: &str, name: &str) {
    let map = config.entry(key).or_insert_with(|| json!({}));
    map.as_object_mut().into_iter().for_each(|map| insert(map, name, json!({})));
}

/// A JSON list, or a line for the shell.
fn command(value: &str) -> Value {
    let words: Option<Vec<String>> = serde_json::from_str(value).ok();
    words.map_or_else(|| json!(["/bin/sh", "-c", value]), |words| json!(words))
}

fn port(value: &str) -> String {
    if value.contains('/') { value.to_owned() } else { format!("{value}/tcp") }
}

/// `NAME=VALUE`, or the old `NAME VALUE`.
fn pair(change: &str, value: &str) -> Result<(String, String), ChangeError> {
    let split = value.split_once('=').or_else(|| value.split_once(char::is_whitespace));
    let (name, value) = split.ok_or_else(|| ChangeError::Pair(change.to_owned()))?;
    Ok((name.to_owned(), value.trim_matches('"').to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_become_a_configuration_or_an_error() {
        let words =
            ["CMD [\"/x\", \"y\"]", "env A=b c", "ENV B \"d\"", "EXPOSE 80", "USER 7", "ENTRYPOINT run it"];
        let config = changed(&words.map(str::to_owned)).unwrap();
        assert_eq!(
            Value::Object(config),
            json!({"Cmd": ["/x", "y"], "Env": ["A=b c", "B=d"], "ExposedPorts": {"80/tcp": {}}, "User": "7",
                "Entrypoint": ["/bin/sh", "-c", "run it"]})
        );
        assert!(matches!(changed(&["RUN x".to_owned()]), Err(ChangeError::Unknown(_))));
        assert!(matches!(changed(&["CMD".to_owned()]), Err(ChangeError::Empty(_))));
        assert!(matches!(changed(&["ENV A".to_owned()]), Err(ChangeError::Pair(_))));
    }
}
