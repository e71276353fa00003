//! The clone, seen from the parent.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{CWD, Mode, OFlags, fcntl_setfl, openat};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{DumpableBehavior, dumpable_behavior, set_dumpable_behavior};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::{Launch, Launching, PidNamespace, SpawnError, above_stdio, child};
use crate::op::Child;
use crate::sys::{CloneRequest, Cloned, clone3};

impl Launch {
    /// Clones the child and returns at once; the child walks the operations, and waits before the last one
    /// for [`Launching::release`].
    ///
    /// The child is a child of the calling process, its exit signal is SIGCHLD.
    ///
    /// # Errors
    ///
    /// When the kernel refuses the clone. What the child meets is told by [`Launching::poll`].
    pub fn spawn(self) -> Result<Launching, SpawnError> {
        let (reading, writing) = pipe_with(PipeFlags::CLOEXEC).map_err(SpawnError::Pipe)?;
        let writing = above_stdio(writing).map_err(|_| SpawnError::Pipe(Errno::MFILE))?;
        fcntl_setfl(&reading, OFlags::NONBLOCK).map_err(SpawnError::Pipe)?;
        let (parents, childs) = gate()?;
        let context = Child {
            root: self.root.as_ref().map(AsFd::as_fd),
            report: writing.as_fd(),
            gate: childs.as_fd(),
            mark: self.mark.as_ref().map(AsFd::as_fd),
        };
        let cloned = match &self.pid {
            PidNamespace::Joined(namespace) => {
                let _visit = Visit::begin(namespace.as_fd()).map_err(entering)?;
                self.clone_child(0, &context)
            }
            PidNamespace::New => self.clone_child(libc::CLONE_NEWPID as u64, &context),
            PidNamespace::Callers => self.clone_child(0, &context),
        };
        let (pid, pidfd) = cloned?;
        Ok(Launching::new(pid, pidfd, parents, reading, self.ops))
    }

    fn clone_child(
        &self,
        namespaces: u64,
        context: &Child<'_>,
    ) -> Result<(rustix::process::Pid, OwnedFd), SpawnError> {
        let cgroup = self.birth.as_ref().map(|(_, directory)| directory.as_fd());
        // SAFETY: the child goes into `walk`, which keeps the rules and does not return.
        match unsafe { clone3(CloneRequest { namespaces, cgroup }) } {
            Ok(Cloned::Child) => child::walk(&self.ops, context),
            Ok(Cloned::Parent { pid, pidfd }) => Ok((pid, pidfd)),
            Err(errno) => Err(self.refused(errno)),
        }
    }

    fn refused(&self, errno: Errno) -> SpawnError {
        match (&self.birth, &self.pid, errno) {
            // pid_namespaces(7): no process can be made in a namespace whose init has ended.
            (_, PidNamespace::Joined(_), Errno::NOMEM) => SpawnError::Ended,
            (
                Some((path, _)),
                _,
                Errno::BUSY | Errno::ACCESS | Errno::OPNOTSUPP | Errno::NODEV | Errno::NOENT,
            ) => SpawnError::Cgroup { path: path.clone(), source: errno },
            _ => SpawnError::Clone(errno),
        }
    }
}

/// The parent's and the child's end of the gate. A socket, because writing to a pipe that nobody reads any
/// more raises a signal.
fn gate() -> Result<(OwnedFd, OwnedFd), SpawnError> {
    let ends = socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None);
    let (parents, childs) = ends.map_err(SpawnError::Pipe)?;
    let childs = above_stdio(childs).map_err(|_| SpawnError::Pipe(Errno::MFILE))?;
    Ok((parents, childs))
}

fn entering(errno: Errno) -> SpawnError {
    match errno {
        // A pidfd whose process has been reaped.
        Errno::SRCH => SpawnError::Ended,
        errno => SpawnError::PidNamespace(errno),
    }
}

/// While it lives, the calling thread's next child is born in another PID namespace, and born not dumpable:
/// it is visible to the container from its first instruction on, before it could hide by itself.
///
/// This makes the child a child of the caller, without a process in between to wait for.
struct Visit {
    home: OwnedFd,
    dumpable: DumpableBehavior,
}

impl Visit {
    fn begin(namespace: BorrowedFd<'_>) -> Result<Self, Errno> {
        let home = c"/proc/thread-self/ns/pid";
        let home = openat(CWD, home, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
        let dumpable = dumpable_behavior()?;
        // A descriptor of the namespace, or a pidfd of a process in it: setns(2) takes both.
        move_into_link_name_space(namespace, Some(LinkNameSpaceType::ProcessID))?;
        let visit = Self { home, dumpable };
        set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
        Ok(visit)
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        // The way back into one's own PID namespace is always open; were it not, every later child of this
        // thread would be born in the container, and going on would be worse than ending.
        let back = move_into_link_name_space(self.home.as_fd(), Some(LinkNameSpaceType::ProcessID));
        assert!(back.is_ok(), "can't leave the container's PID namespace: {back:?}");
        let _ = set_dumpable_behavior(self.dumpable);
    }
}
