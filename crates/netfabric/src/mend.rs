//! When to mend: soon after something was said, and never so often that it costs more than a share of a processor,
//! however often somebody else removes what is repaired.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use crate::fabric::{ConvergeError, Fabric, Mended};

/// Changes come in crowds, our own too.
const CROWD: Duration = Duration::from_millis(50);
/// After a look that took a while there is none for this many times as long: looking takes at most a fifth of one
/// processor,
const REST: u32 = 4;
/// unless it takes very long, since a repair is due within a second.
const LONGEST_REST: Duration = Duration::from_millis(300);

/// Mends a fabric ([`Fabric::mend`]) whenever something changed, and when `doubt` is notified, until it is dropped.
/// `tell` hears what came of it.
///
/// # Errors
/// When changes can't be waited for.
pub async fn keep_mended(
    fabric: Weak<Fabric>,
    doubt: &Notify,
    mut tell: impl FnMut(Result<Mended, ConvergeError>),
) -> std::io::Result<()> {
    let Some(mut watch) = fabric.upgrade().map(|fabric| fabric.watch()).transpose()? else { return Ok(()) };
    let mut failed = false;
    loop {
        tokio::select! {
            news = watch.news() => news?,
            () = doubt.notified() => {}
            () = sleep(LONGEST_REST), if failed => {}
        }
        sleep(CROWD).await;
        let Some(fabric) = fabric.upgrade() else { return Ok(()) };
        let (outcome, took) = mend(fabric).await;
        failed = outcome.is_err();
        let rests = outcome.as_ref().map_or(true, |mended| mended.cause.is_some());
        tell(outcome);
        if rests {
            sleep((took * REST).min(LONGEST_REST)).await;
        }
    }
}

async fn mend(fabric: Arc<Fabric>) -> (Result<Mended, ConvergeError>, Duration) {
    let began = Instant::now();
    let mended = spawn_blocking(move || fabric.mend()).await;
    let mended = mended.unwrap_or_else(|stopped| match stopped.try_into_panic() {
        Ok(panic) => std::panic::resume_unwind(panic),
        Err(_) => Ok(Mended::default()),
    });
    (mended, began.elapsed())
}
