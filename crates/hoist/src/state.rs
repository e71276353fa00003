//! The orchestrator's store as it is found on disk, and what the state's disk has in reserve, in the words of the
//! orchestrator.

use std::error::Error;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use hoist_agent::{Layout, Reserve};
use hoist_orchestrator::Disk;
use hoist_orchestrator::store::Embedded;
use hoist_planner::cluster::Accepted;
use hoist_wire::ApiError;

use hoist_model::chain;

/// So many starts in a row that died while they opened the store say that it is damaged.
const DEATHS: usize = 2;

/// Opens the store, and says what it holds for this host. A damaged one is set aside, and another begun.
///
/// redb tells of most damage, and panics at some, which ends the process. So each start leaves a mark while it opens
/// the store, and one that finds the marks of others doesn't try again.
pub(crate) fn open(layout: &Layout) -> Result<(Embedded, Option<Accepted>), Box<dyn Error>> {
    let path = layout.store();
    let marks = marks(&path);
    match marks.iter().find(|mark| !mark.exists()) {
        // Empty: a full disk has no room for more.
        Some(mark) => drop(File::create(mark)),
        None => set_aside(&path, "redb could not open it")?,
    }
    let opened = match hoist_orchestrator::open(&path) {
        Err(error) if error.is_damage() => {
            set_aside(&path, &chain(&error))?;
            hoist_orchestrator::open(&path)
        }
        opened => opened,
    };
    marks.iter().for_each(|mark| drop(fs::remove_file(mark)));
    Ok(opened?)
}

fn marks(store: &Path) -> [PathBuf; DEATHS] {
    std::array::from_fn(|number| store.with_extension(format!("opening-{}", number + 1)))
}

fn set_aside(path: &Path, why: &str) -> std::io::Result<()> {
    if path.exists() {
        let aside = hoist_keeper::set_aside(path)?;
        tracing::error!("the store {} is set aside as {}: {why}", path.display(), aside.display());
    }
    Ok(())
}

/// The reserve, as the orchestrator asks for it.
pub(crate) struct StateDisk(pub(crate) Reserve);

#[async_trait]
impl Disk for StateDisk {
    fn give(&self) -> bool {
        self.0.give()
    }

    fn full(&self) -> Option<ApiError> {
        self.0.full()
    }

    async fn exhausted(&self) -> ApiError {
        self.0.exhausted().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_that_starts_die_of_is_set_aside() {
        let root = tempfile::tempdir().unwrap();
        let layout = Layout::new(root.path().to_owned());
        drop(open(&layout).unwrap());
        for (deaths, asides) in [(1, 0), (DEATHS, 1)] {
            marks(&layout.store()).iter().take(deaths).for_each(|mark| fs::write(mark, "").unwrap());
            drop(open(&layout).unwrap());
            assert_eq!(hoist_keeper::set_asides(root.path()).len(), asides);
            assert!(!marks(&layout.store()).iter().any(|mark| mark.exists()));
        }
    }
}
