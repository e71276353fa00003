//! A thread that lives in a throwaway host's namespaces, so that what it starts and reads is the host's.
//!
//! A thread and not `nsenter`: programs started here are children of the test, whose signals and exit status pass no
//! one in between.

use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;

use rustix::thread::{ThreadNameSpaceType, UnshareFlags};

type Job = Box<dyn FnOnce() + Send>;

/// The thread. It ends when this is dropped.
#[derive(Debug)]
pub struct Namespaces {
    jobs: Option<Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl Namespaces {
    /// Starts the thread inside the network, mount and process namespaces of `process`.
    ///
    /// # Panics
    /// When they can't be entered.
    #[must_use]
    pub fn of(process: OwnedFd) -> Self {
        let (jobs, queue) = channel::<Job>();
        let (entered, result) = channel();
        let thread = std::thread::spawn(move || {
            let enter = enter(&process);
            let failed = enter.is_err();
            let _ = entered.send(enter);
            if !failed {
                queue.into_iter().for_each(|job| job());
            }
        });
        result.recv().expect("the thread answers").expect("the throwaway host's namespaces can be entered");
        Self { jobs: Some(jobs), thread: Some(thread) }
    }

    /// Runs `work` in there and waits for it. Its panic is this call's.
    ///
    /// # Panics
    /// When `work` does.
    pub fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        let (done, result) = channel();
        let job: Job = Box::new(move || {
            let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
            let _ = done.send(outcome);
        });
        self.jobs
            .as_ref()
            .and_then(|jobs| jobs.send(job).ok())
            .expect("the thread lives as long as its owner");
        match result.recv().expect("the thread answers") {
            Ok(value) => value,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}

impl Drop for Namespaces {
    fn drop(&mut self) {
        drop(self.jobs.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// setns(2) of a process descriptor: all three at once. The thread's folder and root must be its own first, and no
/// thread can be made afterwards, as its children are in another process namespace than itself.
fn enter(process: &OwnedFd) -> rustix::io::Result<()> {
    use std::os::fd::AsFd;
    // SAFETY: only the file-system context is taken apart from other threads; descriptors stay shared.
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::FS)? };
    let process: BorrowedFd<'_> = process.as_fd();
    let wanted = ThreadNameSpaceType::NETWORK | ThreadNameSpaceType::MOUNT | ThreadNameSpaceType::PROCESS_ID;
    rustix::thread::move_into_thread_name_spaces(process, wanted)
}
