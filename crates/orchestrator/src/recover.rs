//! The store as it is found: opened and read once, and filled from what the host has accepted when it was lost.

use std::path::Path;

use hoist_model::HostId;
use hoist_planner::cluster::{Accepted, Pool, Restored, rebuilt};

use crate::documents::{self, DocumentError};
use crate::store::{Embedded, StateStore};

/// The orchestrator can't start.
#[derive(Debug, thiserror::Error)]
#[error("the orchestrator can't read its state")]
pub struct StartError {
    damage: bool,
    source: Box<dyn std::error::Error + Send + Sync>,
}

impl StartError {
    pub(crate) fn of(error: DocumentError) -> Self {
        Self { damage: error.is_damage(), source: Box::new(error) }
    }

    /// Whether the file isn't as it was written: trying again can't help, and it is to be set aside.
    #[must_use]
    pub fn is_damage(&self) -> bool {
        self.damage
    }
}

/// Opens a store, making it when there is none, and says what was planned last for the one host.
///
/// # Errors
/// When it can't be opened or read; see [`StartError::is_damage`].
pub fn open(path: &Path) -> Result<(Embedded, Option<Accepted>), StartError> {
    let store = Embedded::open(path).map_err(|error| StartError::of(error.into()))?;
    let found = documents::read(&store).map_err(StartError::of)?;
    let planned = found.specs.into_iter().next().map(|(host, spec)| {
        let endpoints = found.endpoints.get(&host).cloned().unwrap_or_default();
        Accepted { spec, endpoints }
    });
    Ok((store, planned))
}

/// Reads the store. One that holds no spec although the host has accepted one was lost: it is filled from that.
pub(crate) fn load(
    store: &dyn StateStore,
    host: &HostId,
    accepted: &Accepted,
    pool: Pool,
) -> Result<Restored, DocumentError> {
    let Accepted { spec, endpoints } = accepted;
    if documents::read(store)?.specs.is_empty() && spec.generation.n > 0 {
        let lost = Restored {
            stacks: rebuilt(spec),
            specs: [(host.clone(), spec.clone())].into(),
            endpoints: [(host.clone(), endpoints.clone())].into(),
            leadership: spec.generation,
            ..Restored::default()
        };
        tracing::warn!(
            "the store holds no stack: {} are taken from what this host has accepted",
            lost.stacks.len()
        );
        documents::refill(store, &lost)?;
    }
    documents::load(store, pool)
}
