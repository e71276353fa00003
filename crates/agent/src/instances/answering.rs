//! Whether a folder of the host answers. What lies on a network file system, or on one that a program serves, may not,
//! for as long as its server is away, and whoever asks the kernel waits with it.
//!
//! So each is asked on a thread of its own, waited for within a bound, and asked again only when that thread is back:
//! there is one of them for a folder that hangs, however often somebody wants to mount it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hoist_planner::host::StepError;
use tokio::sync::watch;

use crate::outcome::failed;

/// A disk that sleeps takes some seconds to wake up.
const PATIENCE: Duration = Duration::from_secs(10);

type Answer = Option<Result<(), StepError>>;

/// The folders that are being asked. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Answering {
    asked: Arc<Mutex<BTreeMap<PathBuf, watch::Receiver<Answer>>>>,
}

impl Answering {
    /// Has `ask` look at `path`, or waits for whoever is looking already.
    ///
    /// # Errors
    /// What was found wrong; that there was no answer.
    pub(crate) async fn ask(
        &self,
        path: &Path,
        ask: impl FnOnce() -> Result<(), StepError> + Send + 'static,
    ) -> Result<(), StepError> {
        self.ask_within(PATIENCE, path, ask).await
    }

    async fn ask_within(
        &self,
        patience: Duration,
        path: &Path,
        ask: impl FnOnce() -> Result<(), StepError> + Send + 'static,
    ) -> Result<(), StepError> {
        let mut answer = self.answer(path, ask)?;
        let answered = tokio::time::timeout(patience, answer.wait_for(Option::is_some)).await;
        match answered {
            Ok(Ok(answer)) => answer.clone().unwrap_or(Ok(())),
            Ok(Err(error)) => Err(failed(&error)),
            Err(_) => Err(silent(path)),
        }
    }

    fn answer(
        &self,
        path: &Path,
        ask: impl FnOnce() -> Result<(), StepError> + Send + 'static,
    ) -> Result<watch::Receiver<Answer>, StepError> {
        let mut asked = self.lock();
        if let Some(answer) = asked.get(path) {
            return Ok(answer.clone());
        }
        let (told, answer) = watch::channel(None);
        let (this, asking) = (self.clone(), path.to_owned());
        let thread = std::thread::Builder::new().name("asks-folder".to_owned());
        let started = thread.spawn(move || {
            let found = ask();
            this.lock().remove(&asking);
            told.send_replace(Some(found));
        });
        started.map_err(|error| failed(&error))?;
        asked.insert(path.to_owned(), answer.clone());
        Ok(answer)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<PathBuf, watch::Receiver<Answer>>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn silent(path: &Path) -> StepError {
    StepError {
        what: format!(
            "{} has not answered for {} s: its file system hangs",
            path.display(),
            PATIENCE.as_secs()
        ),
        hint: Some("see to its server, or unmount it; it is tried again until then".to_owned()),
        permanent: false,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn one_that_hangs_is_asked_once_and_keeps_nobody() {
        let answering = Answering::default();
        let (release, hang) = mpsc::channel::<()>();
        let path = Path::new("/srv/hangs");
        let moment = Duration::from_millis(1);
        let first = answering.ask_within(moment, path, move || {
            let _ = hang.recv();
            Ok(())
        });
        assert!(first.await.unwrap_err().what.contains("has not answered"));
        let again = answering.ask_within(moment, path, || unreachable!("it is being asked"));
        assert!(again.await.is_err());
        answering.ask(Path::new("/srv/other"), || Ok(())).await.unwrap();
        drop(release);
        // The thread takes itself off the list.
        while answering.lock().contains_key(path) {
            std::thread::yield_now();
        }
        answering.ask(path, || Ok(())).await.unwrap();
    }
}
