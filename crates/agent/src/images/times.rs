//! When each image was pulled and used last: what `pull_policy: daily` and collection go by.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use hoist_image::{Digest, Reference};
use serde::{Deserialize, Serialize};

use crate::durable;

/// A use is noted when the last one is older than so many seconds: an `up` that changes nothing writes nothing.
const COARSE: u64 = 60 * 60;

/// The times, kept in a file. Losing it pulls some images early and keeps some longer, no more.
#[derive(Debug)]
pub(super) struct Times {
    path: PathBuf,
    noted: Mutex<Noted>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct Noted {
    /// By name: when its registry was asked last, in seconds since 1970.
    pulled: BTreeMap<String, u64>,
    /// By id: when it was used last.
    used: BTreeMap<String, u64>,
}

impl Times {
    pub(super) fn open(path: PathBuf) -> Self {
        let noted = durable::read_sound(&path).unwrap_or_else(|error| {
            tracing::warn!("the times of images begin anew: {}", crate::chain::chain(&error));
            None
        });
        Self { path, noted: Mutex::new(noted.unwrap_or_default()) }
    }

    pub(super) fn pulled(&self, name: &Reference) -> Option<u64> {
        self.lock().pulled.get(&name.to_string()).copied()
    }

    pub(super) fn pull_now(&self, name: &Reference, id: Digest) {
        let mut noted = self.lock();
        noted.pulled.insert(name.to_string(), now());
        noted.used.insert(id.to_string(), now());
        self.keep(&noted);
    }

    pub(super) fn use_now(&self, id: Digest) {
        let mut noted = self.lock();
        let last = noted.used.get(&id.to_string()).copied().unwrap_or(0);
        if now().saturating_sub(last) >= COARSE {
            noted.used.insert(id.to_string(), now());
            self.keep(&noted);
        }
    }

    /// When an image was used last; one that came unseen counts from now on.
    pub(super) fn used(&self, id: Digest) -> u64 {
        let known = self.lock().used.get(&id.to_string()).copied();
        known.unwrap_or_else(|| {
            self.use_now(id);
            now()
        })
    }

    /// Forgets images that are gone.
    pub(super) fn retain(&self, is_here: impl Fn(&str) -> bool) {
        let mut noted = self.lock();
        let before = noted.used.len();
        noted.used.retain(|id, _| is_here(id));
        if noted.used.len() != before {
            self.keep(&noted);
        }
    }

    fn keep(&self, noted: &Noted) {
        if let Err(error) = durable::write(&self.path, noted) {
            tracing::warn!("the times of images are not kept: {}", crate::chain::chain(&error));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Noted> {
        self.noted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Seconds since 1970.
pub(super) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}

#[cfg(test)]
mod tests {
    use hoist_goldens::Golden;

    use super::*;

    #[test]
    fn times_of_former_releases_are_read() {
        let noted = Noted {
            pulled: BTreeMap::from([("docker.io/library/nginx:1.27".to_owned(), 1_700_000_000)]),
            used: BTreeMap::from([(Digest::of(b"id").to_string(), 1_700_000_001)]),
        };
        let golden = Golden::new(env!("CARGO_MANIFEST_DIR"), "v1/image-times.json");
        golden.is_written_for(&noted);
        golden.reads_as(&noted);
        golden.bends_as_ever::<Noted>();
    }

    #[test]
    fn times_outlive_the_agent_and_a_damaged_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("times.json");
        let (name, id): (Reference, Digest) = ("a.example/b:1".parse().unwrap(), Digest::of(b"id"));
        Times::open(path.clone()).pull_now(&name, id);
        let times = Times::open(path.clone());
        assert!(times.pulled(&name).is_some_and(|time| now() - time < 60));
        assert!(now() - times.used(id) < 60);
        std::fs::write(&path, "{").unwrap();
        assert_eq!(Times::open(path).pulled(&name), None);
    }
}
