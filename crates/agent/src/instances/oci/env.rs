//! The environment of a program: the image's, the service's over it, and what Docker adds.

use std::collections::BTreeMap;

use hoist_model::Template;

/// Docker's default when neither image nor service sets `PATH`.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The environment, `PATH`, `HOSTNAME`, `HOME` (and `TERM` with a terminal) filled in where nobody set them.
#[must_use]
pub fn environment(template: &Template, hostname: &str, home: &str, tty: bool) -> BTreeMap<String, String> {
    let mut env = BTreeMap::from([
        ("PATH".to_owned(), DEFAULT_PATH.to_owned()),
        ("HOSTNAME".to_owned(), hostname.to_owned()),
        ("HOME".to_owned(), home.to_owned()),
    ]);
    if tty {
        env.insert("TERM".to_owned(), "xterm".to_owned());
    }
    env.extend(template.image.config.environment.clone());
    env.extend(template.service.environment.iter().map(|(name, value)| (name.clone(), value.value.clone())));
    env
}

/// The `PATH` that a command without `/` is searched in.
#[must_use]
pub fn search_path(env: &BTreeMap<String, String>) -> &str {
    env.get("PATH").map_or(DEFAULT_PATH, String::as_str)
}
