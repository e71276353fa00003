//! A few threads for a list of jobs.

use std::sync::Mutex;
use std::thread;

/// Runs `job` for each item on at most `threads` threads. After a failure no new job begins; the
/// first failure is the result.
pub(crate) fn for_each<T: Send, E: Send>(
    items: Vec<T>,
    threads: usize,
    job: impl Fn(T) -> Result<(), E> + Sync,
) -> Result<(), E> {
    let threads = threads.min(items.len());
    let (queue, failure) = (Mutex::new(items.into_iter()), Mutex::new(None));
    let work = || {
        // A lock is poisoned only when a job panicked, which `scope` passes on.
        while let Some(item) = queue.lock().ok().and_then(|mut queue| queue.next()) {
            let Err(error) = job(item) else { continue };
            if let Ok(mut queue) = queue.lock() {
                queue.by_ref().for_each(drop);
            }
            if let Ok(mut failure) = failure.lock() {
                failure.get_or_insert(error);
            }
        }
    };
    thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(work))));
    failure.into_inner().ok().flatten().map_or(Ok(()), Err)
}

/// As many threads as there are processors: unpacking is bound by them.
pub(crate) fn processors() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}
