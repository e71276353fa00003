//! The threads that work inside namespaces: a few, started when they are needed, each back in the namespace it came
//! from before it takes up anything else.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// So many threads there are at most, in a process.
const WORKERS: usize = 4;

static WORK: Mutex<Work> = Mutex::new(Work { queue: VecDeque::new(), threads: 0, idle: 0 });
static NEWS: Condvar = Condvar::new();

struct Work {
    queue: VecDeque<Job>,
    threads: usize,
    idle: usize,
}

/// Something to do in a namespace, which is told whether it could be entered.
struct Job {
    netns: OwnedFd,
    work: Box<dyn FnOnce(io::Result<()>) + Send>,
}

/// Runs `work` on one of the threads, inside `netns`, and waits for it.
///
/// # Errors
/// The namespace couldn't be entered, or there is no thread.
pub(super) fn run<T: Send + 'static>(
    netns: BorrowedFd<'_>,
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<T> {
    let (done, outcome) = mpsc::sync_channel(1);
    let work = move |entered: io::Result<()>| {
        let outcome = entered.map(|()| catch_unwind(AssertUnwindSafe(work)));
        // Whoever asked waits for it.
        let _ = done.send(outcome);
    };
    submit(Job { netns: netns.try_clone_to_owned()?, work: Box::new(work) })?;
    match outcome.recv() {
        Ok(outcome) => outcome?.map_err(|panic| resume_unwind(panic)),
        Err(_) => Err(io::Error::other("the thread has ended")),
    }
}

fn lock() -> MutexGuard<'static, Work> {
    WORK.lock().unwrap_or_else(PoisonError::into_inner)
}

fn submit(job: Job) -> io::Result<()> {
    let mut work = lock();
    if work.idle <= work.queue.len() && work.threads < WORKERS {
        let started = thread::Builder::new().name("hoist-netns".to_owned()).spawn(attend);
        match started {
            Ok(_) => work.threads += 1,
            Err(error) if work.threads == 0 => return Err(error),
            // Another one will take it up.
            Err(_) => {}
        }
    }
    work.queue.push_back(job);
    NEWS.notify_one();
    Ok(())
}

/// A thread's life: it ends only when it can't go back.
fn attend() {
    let home = super::current();
    while let Ok(home) = &home {
        let job = next();
        (job.work)(enter(job.netns.as_fd()));
        if enter(home.as_fd()).is_err() {
            break;
        }
    }
    lock().threads -= 1;
}

fn next() -> Job {
    let mut work = lock();
    loop {
        if let Some(job) = work.queue.pop_front() {
            return job;
        }
        work.idle += 1;
        work = NEWS.wait(work).unwrap_or_else(PoisonError::into_inner);
        work.idle -= 1;
    }
}

fn enter(netns: BorrowedFd<'_>) -> io::Result<()> {
    Ok(move_into_link_name_space(netns, Some(LinkNameSpaceType::Network))?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn many_jobs_share_few_threads_and_a_panic_takes_none_away() {
        let here = super::super::current().unwrap();
        let own = || fs::read_link("/proc/thread-self").unwrap();
        let one = |number: usize| {
            run(here.as_fd(), move || {
                assert!(!number.is_multiple_of(10), "as it happens");
                own()
            })
        };
        let threads: Vec<_> = (0..40)
            .filter_map(|number| catch_unwind(AssertUnwindSafe(|| one(number))).ok())
            .map(Result::unwrap)
            .collect();
        assert_eq!(threads.len(), 36);
        let different: std::collections::BTreeSet<_> = threads.iter().collect();
        assert!(different.len() <= WORKERS, "{different:?}");
        let file: OwnedFd = fs::File::open("/proc/self/status").unwrap().into();
        assert!(run(file.as_fd(), || ()).is_err(), "a file is no namespace");
    }
}
