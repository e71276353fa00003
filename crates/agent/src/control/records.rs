//! Writes what must not be forgotten, on a thread of its own: a disk takes its time, and nobody else waits with it.
//!
//! On a full disk nothing ends: a piece of the reserve is given for each try, and when none is left, room is waited for.
//! Any other failure is the loop's end, since what comes next may not be done before this is written.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use hoist_model::{Endpoints, HostSpec};
use hoist_planner::host::{JournalEntry, Zone};
use tokio::sync::oneshot;

use super::journal::{Journal, JournalError};
use crate::chain::chain;
use crate::durable::{self, DocumentError};
use crate::fabric::zone;
use crate::layout::Layout;
use crate::reserve::{Reserve, is_full};

/// How long until a write is tried again that waits for room.
const RETRY: Duration = Duration::from_millis(250);

/// Something to write.
#[derive(Debug)]
pub enum Record {
    /// What the kernel forgets.
    Journal(JournalEntry),
    /// The spec accepted.
    Spec(Arc<HostSpec>),
    /// The endpoints accepted.
    Endpoints(Box<Endpoints>),
    /// The names that dns answers from.
    Names(Box<Zone>),
}

/// What could not be written, for another reason than a full disk.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RecordError {
    /// The journal.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// A document.
    #[error(transparent)]
    Document(#[from] DocumentError),
    /// The names.
    #[error("can't write the names for dns")]
    Names(#[source] io::Error),
    /// The thread has ended by a fault of its own.
    #[error("the thread that writes journal and ledger has ended")]
    Ended,
}

impl RecordError {
    fn is_full(&self) -> bool {
        match self {
            Self::Journal(error) => error.is_full(),
            Self::Document(error) => error.is_full(),
            Self::Names(error) => is_full(error),
            Self::Ended => false,
        }
    }
}

struct Job {
    records: Vec<Record>,
    written: oneshot::Sender<Result<(), RecordError>>,
}

/// The way to the thread. It ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Records {
    jobs: mpsc::Sender<Job>,
}

impl Records {
    /// Starts the thread.
    ///
    /// # Errors
    /// When there can be no other thread.
    pub(crate) fn start(mut files: Files) -> io::Result<Self> {
        let (jobs, inbox) = mpsc::channel::<Job>();
        std::thread::Builder::new().name("records".to_owned()).spawn(move || {
            while let Ok(Job { records, written }) = inbox.recv() {
                // Whoever asked may have gone; what was decided is written all the same.
                let _ = written.send(records.iter().try_for_each(|record| files.keep(record)));
            }
        })?;
        Ok(Self { jobs })
    }

    /// Returns once all of them are safe against a kill of the agent, and the spec against a power cut too.
    ///
    /// # Errors
    /// Never for want of room: that is waited for.
    pub(crate) async fn keep(&self, records: Vec<Record>) -> Result<(), RecordError> {
        let (written, done) = oneshot::channel();
        self.jobs.send(Job { records, written }).map_err(|_| RecordError::Ended)?;
        done.await.map_err(|_| RecordError::Ended)?
    }
}

/// Where it is written, and what room is in reserve for it.
#[derive(Debug)]
pub(crate) struct Files {
    pub(crate) journal: Journal,
    pub(crate) layout: Layout,
    pub(crate) reserve: Reserve,
    /// What names for the host itself lead to.
    pub(crate) host_address: Option<IpAddr>,
}

impl Files {
    fn keep(&mut self, record: &Record) -> Result<(), RecordError> {
        loop {
            match self.write(record) {
                Err(error) if error.is_full() => {
                    if !self.reserve.give() {
                        std::thread::sleep(RETRY);
                    }
                }
                // Names are found anew at the next change; containers don't end for them.
                Err(RecordError::Names(error)) => {
                    tracing::error!("names can't be published: {}", chain(&error));
                    return Ok(());
                }
                written => return written,
            }
        }
    }

    fn write(&mut self, record: &Record) -> Result<(), RecordError> {
        match record {
            Record::Journal(entry) => Ok(self.journal.append(entry)?),
            Record::Spec(spec) => Ok(durable::write(&self.layout.ledger(), &**spec)?),
            Record::Endpoints(endpoints) => Ok(durable::write(&self.layout.endpoints(), &**endpoints)?),
            Record::Names(zone) => {
                let zone = zone::file(zone, self.host_address);
                zone.write(&self.layout.zone()).map_err(RecordError::Names)
            }
        }
    }
}
