//! COPY and ADD.

use super::walk::Walk;
use super::{git, paths};
use crate::builder::dockerfile::Problem;
use crate::builder::dockerfile::instruction::Copy;
use crate::builder::dockerfile::lines::Line;
use crate::builder::graph::{self, Action, Source, Tree};
use crate::digest::Digest;

impl Walk<'_, '_> {
    pub(super) fn copy(&mut self, line: &Line, copy: &Copy) -> Result<(), Problem> {
        let written = self.expanded(line, copy)?;
        if let Some(mode) = written.mode.as_deref().filter(|mode| !is_mode(mode)) {
            let message = format!("--chmod={mode} is neither octal up to 07777 nor symbolic, as u=rwx,go=rx");
            return Err(line.problem("--chmod", message));
        }
        let from = match &written.from {
            Some(name) => self.tree(line, name)?,
            None => Tree::Context(String::new()),
        };
        let sources = sources(line, &written, &from)?;
        let mut destination = paths::join_destination(self.state.config.working_dir(), &written.destination);
        // Several files can only go into a folder.
        if sources.len() > 1 && !destination.ends_with('/') {
            destination.push('/');
        }
        let title = self.title(line);
        let created_by = created_by(&written);
        let Copy { owner, mode, link, parents, exclude, .. } = written;
        let action = Action::Copy(graph::Copy { sources, destination, owner, mode, link, parents, exclude });
        self.step(line, title, action, created_by);
        Ok(())
    }

    /// The instruction with its variables in place.
    fn expanded(&mut self, line: &Line, copy: &Copy) -> Result<Copy, Problem> {
        let mut copy = copy.clone();
        for text in copy.sources.iter_mut().chain([&mut copy.destination]) {
            *text = self.expand(line, text)?;
        }
        for text in [&mut copy.owner, &mut copy.mode, &mut copy.checksum].into_iter().flatten() {
            *text = self.expand(line, text)?;
        }
        copy.owner = copy.owner.filter(|owner| !owner.is_empty());
        copy.mode = copy.mode.filter(|mode| !mode.is_empty());
        for document in &mut copy.documents {
            document.content = document.text();
            if document.expands {
                document.content = self.expand_content(line, &document.content)?;
            }
        }
        Ok(copy)
    }
}

fn sources(line: &Line, copy: &Copy, from: &Tree) -> Result<Vec<Source>, Problem> {
    let mut sources = Vec::new();
    for text in &copy.sources {
        sources.push(source(copy, text, from).map_err(|why| line.problem(text, format!("{text}: {why}")))?);
    }
    if copy.checksum.is_some() {
        let remote = |source: &Source| matches!(source, Source::Http { .. } | Source::Git { .. });
        if sources.len() != 1 || !sources.iter().all(remote) || !copy.documents.is_empty() {
            return Err(line.problem("--checksum", "--checksum is for one URL or git repository"));
        }
    }
    let inline = |document: &crate::builder::dockerfile::heredoc::Heredoc| Source::Inline {
        name: document.name.clone(),
        content: document.content.clone(),
    };
    sources.extend(copy.documents.iter().map(inline));
    Ok(sources)
}

fn source(copy: &Copy, text: &str, from: &Tree) -> Result<Source, String> {
    let repository = git::source(text, copy.keep_git_dir.unwrap_or(false), copy.checksum.as_deref());
    let is_url = text.starts_with("http://") || text.starts_with("https://");
    if !copy.adds && (repository.is_some() || is_url) {
        return Err("COPY doesn't download, ADD does".to_owned());
    }
    if let Some(repository) = repository {
        return repository;
    }
    if is_url {
        let parsed = copy.checksum.as_deref().map(str::parse::<Digest>).transpose();
        let checksum = parsed.map_err(|_| "--checksum is sha256: and 64 hexadecimal digits".to_owned())?;
        return Ok(Source::Http { url: text.to_owned(), checksum, unpack: copy.unpack.unwrap_or(false) });
    }
    let path = paths::source(text, copy.parents);
    Ok(Source::Files { from: from.clone(), path, unpack: copy.unpack.unwrap_or(copy.adds) })
}

fn created_by(copy: &Copy) -> String {
    let mut line = String::from(if copy.adds { "ADD" } else { "COPY" });
    line += if copy.parents { " --parents" } else { "" };
    for (flag, value) in [("chown", &copy.owner), ("chmod", &copy.mode)] {
        line += &value.as_ref().map(|value| format!(" --{flag}={value}")).unwrap_or_default();
    }
    let sources = copy.sources.iter().map(|source| format!(" {source}"));
    line.extend(sources.chain(copy.documents.iter().map(|document| format!(" <<{}", document.name))));
    format!("{line} {} # buildkit", copy.destination)
}

/// Octal, or as chmod(1) has it: `u=rwX,g-w,o=`.
fn is_mode(text: &str) -> bool {
    if text.starts_with(|c: char| c.is_ascii_digit()) {
        return u32::from_str_radix(text, 8).is_ok_and(|mode| mode <= 0o7777);
    }
    text.split(',').all(|clause| {
        let changes = clause.trim_start_matches(['u', 'g', 'o', 'a']);
        changes.starts_with(['+', '-', '=']) && changes.chars().all(|c| "+-=rwxXstugo".contains(c))
    })
}
