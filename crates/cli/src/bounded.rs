//! Reading files and pipes that a person named, up to a bound: a device or a pipe may never end.
//!
//! What is in them, and whether it may be read, is the caller's.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// The most bytes that are read of one file: of stack files, variables, labels, configs, secrets, Dockerfiles.
pub(crate) const MAX_FILE: u64 = hoist_stackfile::yaml::MAX_TEXT as u64;

/// A whole file.
///
/// # Errors
/// As the file system says, and `FileTooLarge` above [`MAX_FILE`].
pub(crate) fn read(path: &Path) -> io::Result<Vec<u8>> {
    read_all(File::open(path)?, MAX_FILE)
}

/// The same, of text.
///
/// # Errors
/// The same, and what is no UTF-8.
pub(crate) fn read_to_string(path: &Path) -> io::Result<String> {
    to_string(read(path)?)
}

/// All of standard input.
///
/// # Errors
/// The same.
pub(crate) fn read_stdin() -> io::Result<Vec<u8>> {
    read_all(io::stdin().lock(), MAX_FILE)
}

/// What was read, as text.
///
/// # Errors
/// When it is no UTF-8.
pub(crate) fn to_string(bytes: Vec<u8>) -> io::Result<String> {
    String::from_utf8(bytes).map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8"))
}

fn read_all(source: impl Read, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    source.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 <= limit {
        return Ok(bytes);
    }
    let message = format!("it is larger than {} MiB, the most that is read", limit >> 20);
    Err(io::Error::new(io::ErrorKind::FileTooLarge, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_never_ends_is_refused_at_the_limit() {
        let error = read_all(io::repeat(0), 1 << 20).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
        assert_eq!(error.to_string(), "it is larger than 1 MiB, the most that is read");
        assert_eq!(read_all(io::repeat(0).take(1 << 20), 1 << 20).unwrap().len(), 1 << 20);
        let error = read(Path::new("/dev/zero")).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
        assert!(read_to_string(Path::new("/dev/null")).unwrap().is_empty());
    }
}
