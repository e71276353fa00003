//! A document into the model: merged, made unique, checked against the table, expanded.
//!
//! Done attribute by attribute, so that a file costs what it says, and not what the files before it said.

use super::check::{check_entry, check_shape};
use super::expand::{Mode, expand_attribute, expand_resource};
use super::merge::merge;
use super::unique::enforce;
use crate::loader::Loader;
use crate::node::{Map, Node, Value};
use crate::place::Path;
use crate::schema::Site;

impl Loader<'_> {
    /// Takes a document in. With `validate`, values are checked against the table.
    pub(crate) fn take_in(&mut self, model: &mut Node, top: Node, validate: bool) {
        let (Some(model), Value::Map(top)) = (model.as_map_mut(), top.value) else { return };
        for (section, node) in top {
            let path = Path::TOP.key(&section);
            let site = Site::TOP.key(&section);
            let slot = model.entry(section.clone());
            let slot = slot.or_insert_with(|| Node { value: Value::Null, ..node.clone_shell() });
            if section == "services" && matches!(slot.value, Value::Map(_) | Value::Null) && node.as_map().is_some() {
                if slot.is_null() {
                    slot.value = Value::Map(Map::new());
                }
                self.take_in_services(slot, node, site, &path, validate);
                continue;
            }
            self.put(slot, node, site, &path);
            if !validate || check_entry(&section, slot, site, &path, &mut self.report) {
                self.settle_section(&section, slot, site, &path);
            }
        }
    }

    /// Merges a value into its slot and makes its lists unique.
    fn put(&mut self, slot: &mut Node, node: Node, site: Site, path: &Path<'_>) {
        let base = std::mem::replace(slot, Node::new(Value::Null));
        *slot = match base.value {
            Value::Null => node,
            _ => merge(base, node, site, path, &mut self.report),
        };
        enforce(slot, site, path, &mut self.report);
    }

    fn settle_section(&mut self, section: &str, slot: &mut Node, site: Site, path: &Path<'_>) {
        match section {
            "services" => {
                let services = slot.as_map_mut().into_iter().flatten();
                for (name, service) in services {
                    let (path, site) = (path.key(name), site.key(name));
                    for (key, node) in service.as_map_mut().into_iter().flatten() {
                        self.settle(key, node, site.key(key), &path.key(key));
                    }
                }
            }
            "volumes" | "networks" | "secrets" | "configs" => {
                for (name, resource) in slot.as_map_mut().into_iter().flatten() {
                    expand_resource(resource, &path.key(name), &mut self.report);
                }
            }
            _ => {}
        }
    }

    fn take_in_services(&mut self, slot: &mut Node, node: Node, site: Site, path: &Path<'_>, validate: bool) {
        let (Some(services), Value::Map(added)) = (slot.as_map_mut(), node.value) else { return };
        for (name, service) in added {
            let (path, site) = (path.key(&name), site.key(&name));
            let Value::Map(_) = &service.value else {
                self.take_in_odd(services, &name, service, site, &path, validate);
                continue;
            };
            let place = service.clone_shell();
            let slot = services.entry(name.clone()).or_insert_with(|| place.with(Value::Map(Map::new())));
            if slot.key == crate::source::Span::NONE {
                slot.key = place.key;
            }
            let Some(attributes) = slot.as_map_mut() else {
                self.take_in_odd(services, &name, service, site, &path, validate);
                continue;
            };
            for (key, value) in service.value.into_map().into_iter().flatten() {
                let (path, site) = (path.key(&key), site.key(&key));
                let shell = value.clone_shell();
                let slot = attributes.entry(key.clone()).or_insert(shell);
                self.put(slot, value, site, &path);
                if !validate || check_entry(&key, slot, site, &path, &mut self.report) {
                    self.settle(&key, slot, site, &path);
                }
            }
            if validate {
                super::check::check_name(&name, slot, &path, &mut self.report);
            }
        }
    }

    /// A service that is no mapping, or was none before.
    fn take_in_odd(
        &mut self,
        services: &mut Map,
        name: &str,
        service: Node,
        site: Site,
        path: &Path<'_>,
        validate: bool,
    ) {
        let slot = services.entry(name.to_owned()).or_insert_with(|| service.clone_shell());
        self.put(slot, service, site, path);
        if let Some(shape) = site.shape.filter(|_| validate) {
            check_shape(slot, shape, path, &mut self.report);
        }
    }

    /// Spells out an attribute; ranges of ports and the like can reveal items that say the same.
    fn settle(&mut self, key: &str, slot: &mut Node, site: Site, path: &Path<'_>) {
        let mode = if self.options.interpolate { Mode::Strict } else { Mode::Templates };
        expand_attribute(key, slot, mode, path, &mut self.report);
        enforce(slot, site, path, &mut self.report);
    }
}
