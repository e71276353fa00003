//! The child's side: walks the operations. No allocation, no lock, no panic, no return.

use crate::op::{Child, Op, Record};
use crate::sys;

/// What a shell's child exits with when its program can't be run; nobody but us sees it.
const NOT_EXECUTED: i32 = 127;

/// Ends the child if the code below should ever panic: unwinding would go on into the copy of the caller's
/// frames, and do there a second time what their destructors do.
struct NoUnwind;

impl Drop for NoUnwind {
    fn drop(&mut self) {
        sys::exit(NOT_EXECUTED)
    }
}

/// Performs the operations until one fails or the last one has become the program.
pub(super) fn walk(ops: &[Op], child: &Child<'_>) -> ! {
    let _guard = NoUnwind;
    for (index, op) in ops.iter().enumerate() {
        if let Err(failure) = op.step().perform(child) {
            // A record is smaller than PIPE_BUF and the pipe is empty: written whole, or the parent is gone.
            let _ = rustix::io::write(child.report, &Record { op: index, failure }.to_bytes());
            break;
        }
    }
    sys::exit(NOT_EXECUTED)
}
