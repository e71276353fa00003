//! `--resolve-image-digests` and `--lock-image-digests`: images with what their registries have under their names now.

use std::collections::BTreeMap;
use std::path::Path;

use futures_util::{StreamExt, TryStreamExt, stream};
use hoist_stackfile::node::{Map, Node, Value};
use hoist_wire::{Client, ImageApi, PinImage, RegistryAccess};

use crate::connect;
use crate::error::CommandError;
use crate::registry_access::access;

/// Registries are asked for so many images at once.
const AT_ONCE: usize = 8;

/// Gives every image that is named without a digest the one that its registry has for it.
///
/// # Errors
/// When a registry has no answer; nothing is pinned then.
pub(super) async fn pin(root: &Path, stack: &mut Node) -> Result<(), CommandError> {
    let mut wanted: BTreeMap<String, String> = BTreeMap::new();
    visit(stack, &mut |place, image| {
        if !image.is_empty() && !image.contains('@') {
            wanted.entry(image.clone()).or_insert_with(|| place.to_owned());
        }
    });
    let templates = wanted.iter().find(|(image, _)| image.contains('$'));
    if let Some((image, place)) = templates {
        return Err(CommandError::usage(format!("{place}: {image} has variables, so no registry knows it"))
            .hint("leave out --no-interpolate, or name the image without variables"));
    }
    if wanted.is_empty() {
        return Ok(());
    }
    let access = access(wanted.keys().map(String::as_str))?;
    let agent = connect::connect(root).await?;
    let asked = wanted.into_iter().map(|(image, place)| ask(&agent, image, place, access.clone()));
    let pinned: BTreeMap<String, String> = stream::iter(asked).buffered(AT_ONCE).try_collect().await?;
    visit(stack, &mut |_, image| {
        if let Some(pinned) = pinned.get(image) {
            image.clone_from(pinned);
        }
    });
    Ok(())
}

async fn ask(
    agent: &Client,
    image: String,
    place: String,
    access: RegistryAccess,
) -> Result<(String, String), CommandError> {
    let answer = agent.pin_image(PinImage { reference: image.clone(), access }).await;
    let pinned = answer.map_err(|error| {
        let told = CommandError::from(error);
        CommandError { message: format!("{place}: {}", told.message), ..told }
    })?;
    Ok((image, pinned.reference))
}

/// What is left of a stack for an override that does nothing but pin: services with their images, and with volumes
/// that are images.
pub(super) fn only(stack: &Node) -> Node {
    let mut services = Map::new();
    for (name, service) in stack.get("services").and_then(Node::as_map).into_iter().flatten() {
        let mut kept = Map::new();
        kept.extend(service.get("image").map(|image| ("image".to_owned(), image.clone())));
        let volumes = service.get("volumes").and_then(Node::as_list).unwrap_or_default().iter();
        let images: Vec<Node> = volumes.filter(|volume| is_image(volume)).cloned().collect();
        if !images.is_empty() {
            kept.insert("volumes".to_owned(), Node::new(Value::List(images)));
        }
        if !kept.is_empty() {
            services.insert(name.clone(), Node::new(Value::Map(kept)));
        }
    }
    let services = Node::new(Value::Map(services));
    Node::new(Value::Map([("services".to_owned(), services)].into_iter().collect()))
}

/// Every image of a stack, with the place that names it: of services, of what runs before them, and of volumes that
/// are images. Such a volume may be another service's image, which that service says.
fn visit(stack: &mut Node, see: &mut dyn FnMut(&str, &mut String)) {
    let services = stack.as_map_mut().and_then(|top| top.get_mut("services")).and_then(Node::as_map_mut);
    let Some(services) = services else { return };
    let names: Vec<String> = services.keys().cloned().collect();
    for (name, service) in services.iter_mut() {
        let Some(service) = service.as_map_mut() else { continue };
        if let Some(Value::Text(image)) = service.get_mut("image").map(|image| &mut image.value) {
            see(&format!("services.{name}.image"), image);
        }
        for hook in list(service, "pre_start") {
            if let Some(image) = text(hook, "image") {
                see(&format!("services.{name}.pre_start"), image);
            }
        }
        for volume in list(service, "volumes").filter(|volume| is_image(volume)) {
            if let Some(image) = text(volume, "source").filter(|image| !names.contains(image)) {
                see(&format!("services.{name}.volumes"), image);
            }
        }
    }
}

fn list<'a>(service: &'a mut Map, key: &str) -> impl Iterator<Item = &'a mut Node> {
    let items = match service.get_mut(key).map(|node| &mut node.value) {
        Some(Value::List(items)) => items.as_mut_slice(),
        _ => &mut [],
    };
    items.iter_mut()
}

fn text<'a>(node: &'a mut Node, key: &str) -> Option<&'a mut String> {
    match &mut node.as_map_mut()?.get_mut(key)?.value {
        Value::Text(text) => Some(text),
        _ => None,
    }
}

fn is_image(volume: &Node) -> bool {
    volume.get("type").and_then(Node::as_text) == Some("image")
}
