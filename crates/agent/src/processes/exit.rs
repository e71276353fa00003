//! How a process ended, in the words that the planner knows.

use hoist_model::Exit;
use hoist_runtime::identity;

/// The runtime's word in the model's.
pub(crate) fn exit(exit: identity::Exit) -> Exit {
    match exit {
        identity::Exit::Code(code) => Exit::Code(code),
        identity::Exit::Signal(signal) => Exit::Signal(signal),
        identity::Exit::Unknown => Exit::Unknown,
    }
}
