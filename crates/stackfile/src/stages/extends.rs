//! `extends`: a service taken over from another one, in this file or another.

use super::merge::extend;
use super::reset::Resets;
use crate::diagnostic::{Diagnostic, NODE_COST};
use crate::loader::{Context, Loader};
use crate::locate::Located;
use crate::node::{Map, Node, Value};
use crate::place::Path;
use crate::source::Span;
use crate::syntax::path;
use crate::syntax::remote::redacted;

/// The services a name is looked up in.
#[derive(Clone, Copy)]
struct Scope<'a> {
    file: &'a str,
    resets: &'a Resets,
}

/// One step of a chain of `extends`.
#[derive(Debug)]
struct Link {
    file: String,
    service: String,
    at: Span,
}

/// A file that services extend, read once per load.
#[derive(Debug)]
pub(crate) struct Base {
    services: Map,
    resets: Resets,
}

/// What `extends` says.
struct Reference {
    service: String,
    file: Option<(String, Span)>,
    at: Span,
}

impl Loader<'_> {
    /// Applies every `extends` of a file.
    pub(crate) fn apply_extends(&mut self, top: &mut Node, file: &str, resets: &Resets, context: &Context) {
        let Some(services) = top.as_map_mut().and_then(|top| top.get_mut("services")) else { return };
        let at = services.place();
        let Some(map) = services.as_map_mut() else {
            if !matches!(services.value, Value::Broken) {
                self.report.error("wrong-type", at, "`services` must be a mapping");
                services.value = Value::Broken;
            }
            return;
        };
        let names: Vec<String> = map.keys().cloned().collect();
        let mut chain = Vec::new();
        for name in names {
            self.extend_service(&name, map, Scope { file, resets }, context, &mut chain);
        }
    }

    fn extend_service(
        &mut self,
        name: &str,
        services: &mut Map,
        scope: Scope<'_>,
        context: &Context,
        chain: &mut Vec<Link>,
    ) {
        let Some(service) = services.get(name) else { return };
        let Some(reference) = self.reference(name, service) else { return };
        if self.is_cycle(scope.file, name, &reference, chain) {
            self.drop_extends(name, services);
            return;
        }
        chain.push(Link { file: scope.file.to_owned(), service: name.to_owned(), at: reference.at });
        let base = match &reference.file {
            Some((file, at)) => self.base_of_file(&reference, file, *at, context, chain),
            None => self.base_of_scope(&reference, services, scope, context, chain),
        };
        chain.pop();
        match base {
            None => self.drop_extends(name, services),
            // An empty service gives nothing; the reference keeps `extends` then.
            Some(base) if base.is_null() => {}
            Some(base) if !self.report.afford(base.count() * NODE_COST, reference.at) => {
                self.drop_extends(name, services);
            }
            Some(mut base) => {
                scope.resets.apply_below(&["services", name], &mut base);
                let Some(slot) = services.get_mut(name) else { return };
                let service = std::mem::replace(slot, Node::new(Value::Null));
                let (span, key) = (service.span, service.key);
                let services_path = Path::TOP.key("services");
                let mut merged = extend(base, service, &services_path.key(name), &mut self.report);
                if let Some(map) = merged.as_map_mut() {
                    map.shift_remove("extends");
                }
                *slot = Node { span, key, ..merged };
            }
        }
    }

    fn drop_extends(&self, name: &str, services: &mut Map) {
        if let Some(map) = services.get_mut(name).and_then(Node::as_map_mut) {
            map.shift_remove("extends");
        }
    }

    fn reference(&mut self, name: &str, service: &Node) -> Option<Reference> {
        let map = match &service.value {
            Value::Map(map) => map,
            Value::Null | Value::Broken => return None,
            other => {
                let message = format!("`services.{name}` must be a mapping, not {}", other.kind());
                self.report.error("wrong-type", service.place(), message);
                return None;
            }
        };
        let extends = map.get("extends")?;
        let at = extends.span.or(extends.key);
        match &extends.value {
            Value::Text(service) => Some(Reference { service: service.clone(), file: None, at }),
            Value::Map(map) => {
                let Some(service) = map.get("service").and_then(Node::as_text) else {
                    let message = format!("`services.{name}.extends` has no `service`");
                    self.report.error("missing-key", at, message);
                    return None;
                };
                let file = map.get("file").filter(|file| !file.is_null());
                let file = file.map(|node| (node.as_text().unwrap_or_default().to_owned(), node.span));
                Some(Reference { service: service.to_owned(), file, at })
            }
            Value::Broken => None,
            _ => {
                let message = format!("`services.{name}.extends` must be a string or a mapping");
                self.report.error("wrong-type", at, message);
                None
            }
        }
    }

    fn is_cycle(&mut self, file: &str, name: &str, reference: &Reference, chain: &[Link]) -> bool {
        let Some(start) = chain.iter().position(|link| link.file == file && link.service == name) else {
            return chain.len() > 100;
        };
        let names: Vec<&str> =
            chain[start..].iter().map(|link| link.service.as_str()).chain([name]).collect();
        let message = format!("services extend each other in a circle: {}", names.join(" -> "));
        let finding = chain[start..].iter().fold(Diagnostic::error("extends-cycle", message), |f, link| {
            f.label(link.at, format!("`{}` extends from here", link.service))
        });
        let finding = if chain.is_empty() { finding.label(reference.at, "") } else { finding };
        self.report.push(finding);
        true
    }

    fn base_of_scope(
        &mut self,
        reference: &Reference,
        services: &mut Map,
        scope: Scope<'_>,
        context: &Context,
        chain: &mut Vec<Link>,
    ) -> Option<Node> {
        if !services.contains_key(&reference.service) {
            self.unknown_service(reference, scope.file);
            return None;
        }
        self.extend_service(&reference.service, services, scope, context, chain);
        services.get(&reference.service).cloned()
    }

    fn base_of_file(
        &mut self,
        reference: &Reference,
        file: &str,
        at: Span,
        context: &Context,
        chain: &mut Vec<Link>,
    ) -> Option<Node> {
        let found = self.locate(file, &context.folder, at)?;
        let mut base = match self.bases.remove(&found.path) {
            Some(base) => base,
            None => self.read_base(file, &found, at, context)?,
        };
        let full = found.path;
        let found = if base.services.contains_key(&reference.service) {
            let scope = Scope { file: &full, resets: &base.resets };
            self.extend_service(&reference.service, &mut base.services, scope, context, chain);
            base.services.get(&reference.service).cloned()
        } else {
            self.unknown_service(reference, file);
            None
        };
        self.bases.insert(full, base);
        found
    }

    fn unknown_service(&mut self, reference: &Reference, file: &str) {
        let file = redacted(file);
        let message = format!("`extends`: there is no service `{}` in {file}", reference.service);
        self.report.error("unknown-service", reference.at, message);
    }

    fn read_base(&mut self, file: &str, found: &Located, at: Span, context: &Context) -> Option<Base> {
        let text = self.read_stack_file(&found.path, at)?;
        let opened = self.open(&found.path, &text, at)?;
        let (mut top, resets) = self.base_file(opened, context)?;
        let own = path::parent(&found.path);
        let folder = if found.is_remote { None } else { path::relative(&context.folder, &own) };
        let folder = folder.unwrap_or(own);
        self.resolver(&folder).run(&mut top);
        let services = top.as_map_mut().and_then(|top| top.shift_remove("services"));
        match services.map(|node| node.value) {
            Some(Value::Map(services)) => Some(Base { services, resets }),
            _ => {
                let message = format!("`extends`: {} has no mapping `services`", redacted(file));
                self.report.error("unknown-service", at, message);
                None
            }
        }
    }
}
