//! What the fuzz targets run: each takes any bytes and must neither panic nor be slow. What fuzzing
//! found is kept in `fuzz/regressions` and run by a test.

use crate::canonical::{self, Dialect};
use crate::project::{Source, Sources, load as load_project};
use crate::reader::MemoryReader;
use crate::syntax::remote::{Remote, Repository, redacted};
use crate::syntax::{
    bytes as sizes, dotenv as variables, duration, port, seccomp as profiles, template, volume, words,
};
use crate::{LowerOptions, explain, lint, lower};

fn text(data: &[u8]) -> String {
    String::from_utf8_lossy(data).into_owned()
}

/// Loads a stack file, shows it, lowers it; what it shows can be read again.
pub fn load(data: &[u8]) {
    let reader = MemoryReader::default()
        .with("/p/other.yaml", data)
        .with("/p/.env", "A=1\nB=$A\n")
        .with("/p/web.env", data);
    let sources = |text: String| Sources {
        files: vec![Source { path: "/p/stack.yaml".to_owned(), text: Some(text) }],
        project_dir: "/p".to_owned(),
        name_from_folder: true,
        ..Sources::default()
    };
    match load_project(&sources(text(data)), &reader) {
        Ok(loaded) => {
            let project = loaded.project;
            let shown = canonical::to_yaml(&project.canonical(Dialect::Yaml));
            _ = canonical::to_json(&project.canonical(Dialect::Json));
            _ = explain(&project, "services.web.image");
            _ = lint(&project, loaded.warnings, &reader);
            _ = lower(&project, &LowerOptions::default(), &reader);
            _ = load_project(&sources(canonical::escape_dollars(&shown)), &reader);
        }
        Err(findings) => findings.iter().take(20).for_each(|finding| _ = finding.render(false)),
    }
}

/// Replaces variables.
pub fn interpolation(data: &[u8]) {
    let text = text(data);
    let lookup = |name: &str| name.len().is_multiple_of(2).then(|| "$A${B}".to_owned());
    _ = template::substitute(&text, &lookup);
    _ = template::uses(&text);
    _ = words::split(&text);
}

/// Reads a file of variables.
pub fn dotenv(data: &[u8]) {
    let none = |_: &str| None;
    _ = variables::parse(&text(data), &mut variables::Variables::new(), &none);
    _ = variables::parse_raw(&text(data), &mut variables::Variables::new(), &none);
}

/// Reads a port.
pub fn ports(data: &[u8]) {
    _ = port::parse(&text(data));
}

/// Reads a profile of system calls; what is kept of it reads back the same.
pub fn seccomp(data: &[u8]) {
    if let Ok(profile) = profiles::parse(data)
        && let Ok(kept) = serde_json::to_vec(&profile)
    {
        assert_eq!(profiles::parse(&kept), Ok(profile));
    }
}

/// Reads a volume.
pub fn volumes(data: &[u8]) {
    _ = volume::parse(&text(data));
}

/// Reads a duration; its canonical text means the same.
pub fn durations(data: &[u8]) {
    if let Ok(nanoseconds) = duration::parse(&text(data)) {
        let canonical = duration::format(nanoseconds);
        assert_eq!(duration::parse(&canonical), Ok(nanoseconds), "{canonical}");
    }
}

/// Reads a size.
pub fn bytes(data: &[u8]) {
    _ = sizes::parse(&text(data));
}

/// Reads the name of something elsewhere; no part of what git is given can be an option, or leads out.
pub fn remote(data: &[u8]) {
    let text = text(data);
    _ = redacted(&text);
    let Some(Ok(Remote::Git(repository))) = Remote::parse(&text) else { return };
    let Repository { url, reference, commit, path } = &repository;
    let given = [Some(url), reference.as_ref(), commit.as_ref()];
    assert!(given.into_iter().flatten().all(|given| !given.starts_with('-')), "{repository:?}");
    assert!(!path.starts_with('/') && path.split('/').all(|part| part != ".."), "{repository:?}");
}
