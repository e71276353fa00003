//! Waiting for the parent's word.

use std::fmt;

use rustix::io::Errno;

use super::{Child, Failure, Step};

/// Waits until the parent releases the child ([`crate::launch::Launching::release`]); ends the child when the
/// parent has gone instead.
///
/// The parent's end of the gate is in every copy of the parent: in this child until it has closed all foreign
/// descriptors, and in other children until they have. So this comes after [`super::CloseDescriptors`]: no
/// child waits here that holds another's gate open.
#[derive(Debug)]
pub struct Gate;

impl Step for Gate {
    fn perform(&self, child: &Child<'_>) -> Result<(), Failure> {
        let mut word = [0; 1];
        let received = loop {
            match rustix::io::read(child.gate, &mut word) {
                Err(Errno::INTR) => {}
                result => break result?,
            }
        };
        if received == 0 { Err(Errno::CANCELED.into()) } else { Ok(()) }
    }
}

impl fmt::Display for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("wait for the caller's word")
    }
}
