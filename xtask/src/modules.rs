//! The modules of a crate, read from its sources: what each defines, imports, and names.
//!
//! A module is a file; a module inside a file counts as part of it. Tests (`#[cfg(test)]`) are left out.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use syn::visit::{self, Visit};

use crate::run::Result;

/// A module's path in its crate: `["fabric", "ports"]`, empty for the root.
pub(crate) type Name = Vec<String>;

/// One file of a crate.
#[derive(Debug, Default)]
pub(crate) struct Module {
    /// What it defines.
    pub(crate) items: BTreeSet<String>,
    /// The files that it declares with `mod name;`.
    pub(crate) children: BTreeSet<String>,
    /// Names that `use` brings in, and the paths they stand for.
    pub(crate) imports: BTreeMap<String, Import>,
    /// Paths whose every name is brought in (`use path::*`).
    pub(crate) globs: Vec<Name>,
    /// Paths in its code, as they are written.
    pub(crate) paths: BTreeSet<Name>,
}

#[derive(Debug, Clone)]
pub(crate) struct Import {
    pub(crate) path: Name,
    /// Passed on under this module's name: that alone is no use of it.
    pub(crate) passed_on: bool,
}

/// Reads a crate from its root file on.
pub(crate) fn read(root: &Path) -> Result<BTreeMap<Name, Module>> {
    let mut modules = BTreeMap::new();
    let mut to_read = vec![(Name::new(), root.to_owned(), root.parent().unwrap_or(root).to_owned())];
    while let Some((name, file, dir)) = to_read.pop() {
        let text = std::fs::read_to_string(&file)?;
        let module = parse(&text).map_err(|error| format!("{}: {error}", file.display()))?;
        for child in &module.children {
            let mut name = name.clone();
            name.push(child.clone());
            to_read.push((name, of_child(&dir, child), dir.join(child)));
        }
        modules.insert(name, module);
    }
    Ok(modules)
}

fn of_child(dir: &Path, child: &str) -> PathBuf {
    let beside = dir.join(format!("{child}.rs"));
    if beside.exists() { beside } else { dir.join(child).join("mod.rs") }
}

/// Reads one file.
pub(crate) fn parse(text: &str) -> syn::Result<Module> {
    let mut reader = Reader { module: Module::default(), depth: 0 };
    reader.visit_file(&syn::parse_file(text)?);
    Ok(reader.module)
}

struct Reader {
    module: Module,
    /// How many modules inside the file surround the place that is read.
    depth: usize,
}

impl Reader {
    /// A path as the file's own module would write it: `super` inside a module of the file is the file.
    fn written(&self, mut path: Name) -> Name {
        let up = path.iter().take_while(|segment| *segment == "super").count().min(self.depth);
        if up > 0 {
            path.splice(..up, ["self".to_owned()]);
        }
        path
    }

    fn import(&mut self, tree: &syn::UseTree, mut path: Name, passed_on: bool) {
        match tree {
            syn::UseTree::Path(inner) => {
                path.push(inner.ident.to_string());
                self.import(&inner.tree, path, passed_on);
            }
            syn::UseTree::Group(group) => {
                for tree in &group.items {
                    self.import(tree, path.clone(), passed_on);
                }
            }
            syn::UseTree::Glob(_) => {
                let path = self.written(path);
                self.module.globs.push(path);
            }
            syn::UseTree::Name(name) => {
                self.bring(name.ident.to_string(), name.ident.to_string(), path, passed_on);
            }
            syn::UseTree::Rename(name) => {
                self.bring(name.rename.to_string(), name.ident.to_string(), path, passed_on);
            }
        }
    }

    fn bring(&mut self, mut here: String, there: String, mut path: Name, passed_on: bool) {
        if there != "self" {
            path.push(there);
        } else if here == "self" {
            here = path.last().cloned().unwrap_or_default();
        }
        let path = self.written(path);
        self.module.imports.insert(here, Import { path, passed_on });
    }

    fn define(&mut self, item: &syn::Item) {
        let name = match item {
            syn::Item::Const(item) => &item.ident,
            syn::Item::Enum(item) => &item.ident,
            syn::Item::Fn(item) => &item.sig.ident,
            syn::Item::Static(item) => &item.ident,
            syn::Item::Struct(item) => &item.ident,
            syn::Item::Trait(item) => &item.ident,
            syn::Item::Type(item) => &item.ident,
            syn::Item::Union(item) => &item.ident,
            syn::Item::Mod(item) if item.content.is_some() => &item.ident,
            _ => return,
        };
        self.module.items.insert(name.to_string());
    }

    /// Arguments of a macro are no syntax tree; paths in them are found by their colons.
    fn read_tokens(&mut self, tokens: &str) {
        for run in tokens.split(|c: char| !(c.is_alphanumeric() || "_: ".contains(c))) {
            let mut path = Name::new();
            let mut joined = false;
            for word in run.split_whitespace() {
                if word == "::" {
                    joined = true;
                    continue;
                }
                if !joined {
                    self.found(std::mem::take(&mut path));
                }
                path.push(word.to_owned());
                joined = false;
            }
            self.found(path);
        }
    }

    fn found(&mut self, path: Name) {
        if !path.is_empty() {
            let path = self.written(path);
            self.module.paths.insert(path);
        }
    }
}

impl<'a> Visit<'a> for Reader {
    fn visit_item(&mut self, item: &'a syn::Item) {
        if attributes(item).iter().any(is_test) {
            return;
        }
        self.define(item);
        visit::visit_item(self, item);
    }

    fn visit_item_mod(&mut self, item: &'a syn::ItemMod) {
        if item.content.is_none() {
            self.module.children.insert(item.ident.to_string());
            return;
        }
        self.depth += 1;
        visit::visit_item_mod(self, item);
        self.depth -= 1;
    }

    fn visit_item_use(&mut self, item: &'a syn::ItemUse) {
        let passed_on = !matches!(item.vis, syn::Visibility::Inherited);
        self.import(&item.tree, Name::new(), passed_on);
    }

    fn visit_path(&mut self, path: &'a syn::Path) {
        self.found(path.segments.iter().map(|segment| segment.ident.to_string()).collect());
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, item: &'a syn::Macro) {
        self.read_tokens(&item.tokens.to_string());
        visit::visit_macro(self, item);
    }

    fn visit_attribute(&mut self, _: &'a syn::Attribute) {}

    fn visit_visibility(&mut self, _: &'a syn::Visibility) {}
}

fn attributes(item: &syn::Item) -> &[syn::Attribute] {
    match item {
        syn::Item::Fn(item) => &item.attrs,
        syn::Item::Impl(item) => &item.attrs,
        syn::Item::Mod(item) => &item.attrs,
        syn::Item::Struct(item) => &item.attrs,
        syn::Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

fn is_test(attribute: &syn::Attribute) -> bool {
    let syn::Meta::List(list) = &attribute.meta else { return false };
    list.path.is_ident("cfg") && list.tokens.to_string() == "test"
}
