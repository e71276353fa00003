//! Filters of system calls, held against an interpreter, a reference, the kernel and another runtime.

#![expect(clippy::unwrap_used, reason = "a test that can't go on ends here")]

mod default;
mod interpreter;
mod limits;
mod oracle;
mod profiles;
mod properties;
mod reference;
mod runc;
