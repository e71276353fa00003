//! A document into the model: merged, made unique, checked against the table, expanded.
//!
//! Done attribute by attribute, so that a file costs what it says, and not what the files before it said.

use super::check::{check_entry, check_name, check_shape};
use super::expand::{Mode, expand_attribute, expand_resource};
use super::merge::merge;
use super::unique::{concerns, enforce};
use crate::loader::Loader;
use crate::node::{Map, Node, Value};
use crate::place::Path;
use crate::schema::Site;

/// Where a value stands, and whether it is checked against the table.
#[derive(Clone, Copy)]
struct Spot<'a> {
    site: Site,
    path: Path<'a>,
    validate: bool,
}

impl<'a> Spot<'a> {
    fn key(&'a self, key: &'a str) -> Spot<'a> {
        Spot { site: self.site.key(key), path: self.path.key(key), validate: self.validate }
    }
}

/// The key's entry; a new one has the node's place and no value.
fn slot_of<'a>(map: &'a mut Map, key: String, node: &Node) -> (&'a str, &'a mut Node) {
    let entry = map.entry(key);
    let index = entry.index();
    entry.or_insert_with(|| node.clone_shell());
    let (key, slot) = map.get_index_mut(index).expect("the entry was made above");
    (key.as_str(), slot)
}

impl Loader<'_> {
    /// Takes a document in. With `validate`, values are checked against the table.
    pub(crate) fn take_in(&mut self, model: &mut Node, top: Node, validate: bool) {
        let (Some(model), Value::Map(top)) = (model.as_map_mut(), top.value) else { return };
        let spot = Spot { site: Site::TOP, path: Path::TOP, validate };
        for (section, node) in top {
            let (section, slot) = slot_of(model, section, &node);
            let spot = spot.key(section);
            let mapping = matches!(slot.value, Value::Map(_) | Value::Null) && node.as_map().is_some();
            if section == "services" && mapping {
                self.take_in_services(slot, node, spot);
            } else {
                self.take_in_section(section, slot, node, spot);
            }
        }
    }

    fn take_in_services(&mut self, slot: &mut Node, node: Node, spot: Spot<'_>) {
        if slot.is_null() {
            slot.value = Value::Map(Map::new());
        }
        let Some(services) = slot.as_map_mut() else { return };
        for (name, service) in node.value.into_map().into_iter().flatten() {
            let is_map = service.as_map().is_some();
            let (name, slot) = slot_of(services, name, &service);
            if slot.is_null() && is_map {
                slot.value = Value::Map(Map::new());
            }
            let spot = spot.key(name);
            if spot.validate {
                check_name(name, slot, &spot.path, &mut self.report);
            }
            match slot.as_map_mut() {
                Some(attributes) if is_map => self.take_in_attributes(attributes, service, spot),
                _ => self.take_in_odd(slot, service, spot),
            }
        }
    }

    fn take_in_attributes(&mut self, attributes: &mut Map, service: Node, spot: Spot<'_>) {
        for (key, value) in service.value.into_map().into_iter().flatten() {
            let (key, slot) = slot_of(attributes, key, &value);
            let spot = spot.key(key);
            self.put(slot, value, spot);
            if concerns(key, spot.site) {
                enforce(slot, spot.site, &spot.path, &mut self.report);
            }
            if self.is_right(key, slot, spot) {
                self.settle(key, slot, spot);
            }
        }
    }

    /// A service that is no mapping, or was none before.
    fn take_in_odd(&mut self, slot: &mut Node, service: Node, spot: Spot<'_>) {
        self.put(slot, service, spot);
        if let Some(shape) = spot.site.shape.filter(|_| spot.validate) {
            check_shape(slot, shape, &spot.path, &mut self.report);
        }
    }

    fn take_in_section(&mut self, section: &str, slot: &mut Node, node: Node, spot: Spot<'_>) {
        self.put(slot, node, spot);
        enforce(slot, spot.site, &spot.path, &mut self.report);
        let is_resource = matches!(section, "volumes" | "networks" | "secrets" | "configs");
        if self.is_right(section, slot, spot) && is_resource {
            for (name, resource) in slot.as_map_mut().into_iter().flatten() {
                expand_resource(resource, &spot.path.key(name), &mut self.report);
            }
        }
    }

    /// Merges a value into its slot.
    fn put(&mut self, slot: &mut Node, node: Node, spot: Spot<'_>) {
        let base = std::mem::replace(slot, Node::new(Value::Null));
        *slot = match base.value {
            Value::Null => node,
            _ => merge(base, node, spot.site, &spot.path, &mut self.report),
        };
    }

    fn is_right(&mut self, key: &str, slot: &Node, spot: Spot<'_>) -> bool {
        !spot.validate || check_entry(key, slot, spot.site, &spot.path, &mut self.report)
    }

    /// Spells out an attribute; ranges of ports and the like can reveal items that say the same.
    fn settle(&mut self, key: &str, slot: &mut Node, spot: Spot<'_>) {
        let mode = if self.options.interpolate { Mode::Strict } else { Mode::Templates };
        expand_attribute(key, slot, mode, &spot.path, &mut self.report);
        if concerns(key, spot.site) {
            enforce(slot, spot.site, &spot.path, &mut self.report);
        }
    }
}
