//! What a cache looks like: records as a key of its configuration, layers as an image has them.
//!
//! ```text
//! manifest    layers: one blob for each of `rootfs.diff_ids`, as in an image
//! config      { "rootfs": { "type": "layers", "diff_ids": […] },
//!               "hoist.build-cache.v1": [ { "keys": […], "layer": …, "created": … } ] }
//! ```
//!
//! So an image that carries its records is read as one.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::CacheError;
use crate::builder::cache::Record;
use crate::digest::Digest;
use crate::manifest::{Descriptor, Index, Manifest, OCI_CONFIG, OCI_MANIFEST};
use crate::platform::Platform;

/// The configuration's media type, where a cache is no image.
pub(crate) const CACHE_CONFIG: &str = "application/vnd.hoist.build-cache.v1+json";
/// The key of the records in a configuration. Another number when what they mean changes.
pub(super) const RECORDS: &str = "hoist.build-cache.v1";
/// Longest document that is read: some hundred thousand records.
pub(crate) const LARGEST: u64 = 32 << 20;
/// The last second of the year 9999, beyond which dates have no common form.
const LATEST: i64 = 253_402_300_799;
const BUILDKIT: &str = "application/vnd.buildkit.cacheconfig.v0";

/// What one step left.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entry {
    /// The quick key, and for a step that reads stages the thorough one.
    pub(crate) keys: Vec<Digest>,
    /// Nothing when the step changed no file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) layer: Option<Digest>,
    /// Seconds since 1970.
    pub(crate) created: i64,
}

/// A cache that was read.
#[derive(Debug, Default)]
pub(crate) struct CacheDocument {
    pub(super) records: HashMap<Digest, Record>,
    /// The layers that it has, by diff id.
    pub(super) layers: HashMap<Digest, Descriptor>,
}

#[derive(Deserialize)]
struct Config {
    #[serde(default)]
    rootfs: RootFs,
    #[serde(rename = "hoist.build-cache.v1")]
    records: Option<Vec<Entry>>,
}

#[derive(Default, Deserialize)]
struct RootFs {
    #[serde(default)]
    diff_ids: Vec<Digest>,
}

impl CacheDocument {
    /// Reads a manifest and its configuration.
    pub(crate) fn parse(manifest: &[u8], config: &[u8]) -> Result<Self, CacheError> {
        let manifest: Manifest = serde_json::from_slice(manifest).map_err(CacheError::Records)?;
        let is_image = manifest.config.media_type != CACHE_CONFIG;
        let found = Digest::of(config);
        if found != manifest.config.digest {
            return Err(CacheError::Digest { wanted: manifest.config.digest, found });
        }
        let config: Config = serde_json::from_slice(config).map_err(CacheError::Records)?;
        let Some(entries) = config.records else {
            return Err(if is_image {
                CacheError::NoRecords
            } else {
                CacheError::Foreign("without records".to_owned())
            });
        };
        let (layers, named) = (manifest.layers.len(), config.rootfs.diff_ids.len());
        if layers != named {
            return Err(CacheError::Layers { layers, named });
        }
        let mut found = Self::default();
        for Entry { keys, layer, created } in entries {
            let created = created.clamp(0, LATEST);
            let thorough = keys.get(1).copied();
            let record = Record { layer, created, thorough };
            // The first of several counts, as an earlier cache does before a later one.
            for key in keys {
                found.records.entry(key).or_insert(record);
            }
        }
        found.layers.extend(config.rootfs.diff_ids.into_iter().zip(manifest.layers));
        Ok(found)
    }
}

/// The manifest to read where an index stands, or the bytes themselves; a cache of another tool is told by name.
pub(crate) fn choose(bytes: &[u8], platform: &Platform) -> Result<Option<Descriptor>, CacheError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Probe {
        manifests: Option<Vec<Descriptor>>,
        config: Option<Descriptor>,
        artifact_type: Option<String>,
    }
    let probe: Probe = serde_json::from_slice(bytes).map_err(CacheError::Records)?;
    if let Some(manifests) = probe.manifests {
        if manifests.iter().any(|entry| entry.media_type == BUILDKIT) {
            return Err(CacheError::Foreign("a cache of BuildKit's".to_owned()));
        }
        let index = Index { schema_version: 2, manifests, ..Index::default() };
        let chosen = index.choose(platform).ok_or(CacheError::Absent)?;
        return Ok(Some(chosen.clone()));
    }
    match probe.config.as_ref().map(|config| &config.media_type[..]) {
        Some(CACHE_CONFIG | OCI_CONFIG | "" | "application/vnd.docker.container.image.v1+json") => Ok(None),
        Some(BUILDKIT) => Err(CacheError::Foreign("a cache of BuildKit's".to_owned())),
        other => {
            let kind = probe.artifact_type.as_deref().or(other).unwrap_or("no image");
            Err(CacheError::Foreign(format!("of type {kind}")))
        }
    }
}

/// The configuration of a cache.
pub(super) fn config(entries: &[Entry], diff_ids: &[Digest]) -> Map<String, Value> {
    let mut config = Map::new();
    config.insert("rootfs".to_owned(), json!({ "type": "layers", "diff_ids": diff_ids }));
    add_records(&mut config, entries);
    config
}

/// Gives an image's configuration the records of its steps.
pub(crate) fn add_records(config: &mut Map<String, Value>, entries: &[Entry]) {
    config.insert(RECORDS.to_owned(), json!(entries));
}

/// The manifest of a cache.
pub(super) fn manifest(config: &Descriptor, layers: &[Descriptor]) -> Vec<u8> {
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": config,
        "layers": layers,
    });
    manifest.to_string().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cache(config: &Value, layers: usize) -> Result<CacheDocument, CacheError> {
        let config = config.to_string().into_bytes();
        let layer = Descriptor::new("x", Digest::of(b"blob"), 4);
        let described = Descriptor::new(CACHE_CONFIG, Digest::of(&config), config.len() as u64);
        CacheDocument::parse(&manifest(&described, &vec![layer; layers]), &config)
    }

    #[test]
    fn what_is_written_is_read() {
        let [quick, thorough, layer] = ["a", "b", "c"].map(|text| Digest::of(text.as_bytes()));
        let entries = [
            Entry { keys: vec![quick, thorough], layer: Some(layer), created: 7 },
            Entry { keys: vec![layer], layer: None, created: 8 },
        ];
        let found = cache(&Value::Object(config(&entries, &[layer])), 1).unwrap();
        let record = Record { layer: Some(layer), created: 7, thorough: Some(thorough) };
        assert_eq!((found.records[&quick], found.records[&thorough]), (record, record));
        assert_eq!(found.records[&layer], Record { layer: None, created: 8, thorough: None });
        assert_eq!(found.layers[&layer].size, 4);
    }

    #[test]
    fn what_is_no_cache_is_refused_by_reason() {
        let refused = |config: Value, layers| cache(&config, layers).unwrap_err().to_string();
        assert_eq!(refused(json!({}), 0), "it is without records, not a cache of Hoist's builds");
        assert_eq!(refused(json!({ RECORDS: [] }), 2), "it has 2 layers and names 0");
        assert_eq!(refused(json!({ RECORDS: [{"keys": ["sha256:1"]}] }), 0), "its records can't be read");
        let host = Platform::host();
        let digest = Digest::of(b"");
        let of = |text: String| choose(text.as_bytes(), &host).map_err(|error| error.to_string());
        let buildkit = "it is a cache of BuildKit's, not a cache of Hoist's builds";
        let index = format!(
            r#"{{"schemaVersion":2,"manifests":[{{"mediaType":"{BUILDKIT}","digest":"{digest}","size":1}}]}}"#
        );
        assert_eq!(of(index), Err(buildkit.to_owned()));
        let with = |kind: &str| {
            format!(r#"{{"schemaVersion":2,"config":{{"mediaType":"{kind}","digest":"{digest}","size":1}}}}"#)
        };
        assert_eq!(of(with(BUILDKIT)), Err(buildkit.to_owned()));
        assert_eq!(of(with(CACHE_CONFIG)), Ok(None));
        assert_eq!(
            of(with("application/vnd.cncf.helm.config.v1+json")),
            Err("it is of type application/vnd.cncf.helm.config.v1+json, not a cache of Hoist's builds"
                .to_owned())
        );
        assert!(of("[]".to_owned()).is_err());
    }
}
