//! Where the files are that stack files name: on this machine, or brought there by the reader.

use crate::diagnostic::Diagnostic;
use crate::loader::Loader;
use crate::source::Span;
use crate::syntax::path;
use crate::syntax::remote::{self, Remote};
use std::path::Path;

/// Where a file is.
#[derive(Debug)]
pub(crate) struct Located {
    pub path: String,
    /// It was elsewhere, and is below no folder of the project.
    pub is_remote: bool,
}

impl Loader<'_> {
    /// Where a file that is named here is, and whether it was elsewhere; what is shown of it is its name.
    pub(crate) fn locate(&mut self, name: &str, folder: &str, at: Span) -> Option<Located> {
        let full = if path::is_absolute(name) { path::clean(name) } else { path::join(folder, name) };
        let local = Located { path: full, is_remote: false };
        let remote = match Remote::parse(name) {
            None => return Some(local),
            // Only the form without a protocol can be meant as a path.
            Some(_) if !name.contains("://") && self.reader.kind(Path::new(&local.path)).is_some() => {
                return Some(local);
            }
            Some(remote) => remote,
        };
        let shown = remote::redacted(name);
        let fetched = remote
            .map_err(|error| (error.to_string(), None))
            .and_then(|remote| self.reader.fetch(&remote).map_err(|error| (error.message, error.help)));
        match fetched {
            Ok(path) => {
                let path = path.to_string_lossy().into_owned();
                self.names.entry(path.clone()).or_insert(shown);
                Some(Located { path, is_remote: true })
            }
            Err((message, help)) => {
                let finding = Diagnostic::error("remote-file", format!("{shown}: {message}"));
                let finding = if at.is_some() { finding.label(at, "") } else { finding };
                self.report.push(match help {
                    Some(help) => finding.help(help),
                    None => finding,
                });
                None
            }
        }
    }

    /// What a file is called in messages: as it was named, when it was elsewhere.
    pub(crate) fn shown<'b>(&'b self, path: &'b str) -> &'b str {
        self.names.get(path).map_or(path, String::as_str)
    }
}
