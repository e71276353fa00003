//! Readers and writers that stop when the operation they serve is cancelled.
//!
//! One file can hold gigabytes, so it is not enough to ask between files: packing, unpacking, copying and compressing
//! ask with each piece. Who cancels, and what is then removed, is the caller's matter.

use std::io::{self, Read, Write};

use crate::progress::Progress;

/// Passes everything through until it is cancelled; then each call fails.
pub(crate) struct Cancellable<'a, T> {
    inner: T,
    progress: &'a dyn Progress,
}

impl<'a, T> Cancellable<'a, T> {
    pub(crate) fn new(inner: T, progress: &'a dyn Progress) -> Self {
        Self { inner, progress }
    }

    fn check(&self) -> io::Result<()> {
        // Not `Interrupted`, which callers try again.
        if self.progress.is_cancelled() { Err(io::Error::other("cancelled")) } else { Ok(()) }
    }
}

impl<T: Read> Read for Cancellable<'_, T> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.check()?;
        self.inner.read(buffer)
    }
}

impl<T: Write> Write for Cancellable<'_, T> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.check()?;
        self.inner.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;
    use crate::progress::Event;

    struct Switch(AtomicBool);

    impl Progress for Switch {
        fn event(&self, _: Event) {}

        fn is_cancelled(&self) -> bool {
            self.0.load(Ordering::Relaxed)
        }
    }

    #[test]
    fn an_endless_copy_ends_when_it_is_cancelled() {
        let switch = Switch(AtomicBool::new(false));
        let mut from = Cancellable::new(io::repeat(1), &switch);
        let mut to = Cancellable::new(io::sink(), &switch);
        assert_eq!(io::copy(&mut (&mut from).take(100), &mut to).unwrap(), 100);
        switch.0.store(true, Ordering::Relaxed);
        assert!(io::copy(&mut from, &mut io::sink()).is_err());
        assert!(to.write(&[1]).is_err());
    }
}
