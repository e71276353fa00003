//! `hoist image inspect`: docker's JSON.

use std::path::Path;

use hoist_wire::{ImageApi, ImageDetails, ImageQuery};
use serde_json::{Value, json};

use crate::connect;
use crate::error::{CommandError, code};
use crate::out::outln;

/// Runs the command: what is there is printed, what is not is an error.
///
/// # Errors
/// When one of the images isn't there.
pub(super) async fn run(root: &Path, images: &[String]) -> Result<(), CommandError> {
    let agent = connect::connect(root).await?;
    let (mut found, mut failed) = (Vec::new(), false);
    for name in images {
        match agent.inspect_image(ImageQuery { name: Some(name.clone()), in_use: Vec::new() }).await {
            Ok(details) => found.push(object(&details)),
            Err(error) => {
                failed = true;
                crate::report(&error.into());
            }
        }
    }
    let text =
        serde_json::to_string_pretty(&found).map_err(|error| CommandError::failed(error.to_string()))?;
    outln!("{text}");
    if failed { Err(CommandError::silent(code::FAILED)) } else { Ok(()) }
}

fn object(details: &ImageDetails) -> Value {
    let ImageDetails { summary, config, manifest, layers } = details;
    let of = |key: &str| config.get(key).cloned().unwrap_or(Value::Null);
    let layers: Vec<&str> = layers.iter().map(|(id, _)| id.0.as_str()).collect();
    json!({
        "Id": summary.id,
        "RepoTags": summary.tags,
        "RepoDigests": summary.digests,
        "Comment": of("comment"),
        "Created": summary.created,
        "Author": of("author"),
        "Config": of("config"),
        "Architecture": of("architecture"),
        "Variant": of("variant"),
        "Os": of("os"),
        "Size": summary.size,
        "RootFS": { "Type": "layers", "Layers": layers },
        "Descriptor": { "mediaType": manifest.get("mediaType"), "digest": summary.manifest },
    })
}
