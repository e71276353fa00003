//! Names of segment files, and which there are.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::Stream;

/// The file with the bytes of segment `number`.
pub(crate) fn segment_path(dir: &Path, stream: Stream, number: u64) -> PathBuf {
    dir.join(format!("{}.{number:08}.log", stream.name()))
}

/// The file with the times of segment `number`.
pub(crate) fn index_path(dir: &Path, stream: Stream, number: u64) -> PathBuf {
    dir.join(format!("{}.{number:08}.idx", stream.name()))
}

/// The numbers of a stream's segments, ascending. A folder that isn't there has none.
pub(crate) fn list(dir: &Path, stream: Stream) -> io::Result<Vec<u64>> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut numbers = Vec::new();
    for entry in entries {
        numbers.extend(entry?.file_name().to_str().and_then(|name| parse(name, stream)));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

fn parse(name: &str, stream: Stream) -> Option<u64> {
    let number = name.strip_prefix(stream.name())?.strip_prefix('.')?.strip_suffix(".log")?;
    let is_number = number.len() >= 8 && number.bytes().all(|byte| byte.is_ascii_digit());
    if is_number { number.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_streams_own_segments_are_listed_in_order() {
        let dir = tempfile::tempdir().unwrap();
        for name in [
            "stdout.00000010.log",
            "stdout.00000002.log",
            "stdout.00000002.idx",
            "stderr.00000003.log",
            "stdout.x.log",
        ] {
            fs::write(dir.path().join(name), "").unwrap();
        }
        assert_eq!(list(dir.path(), Stream::Stdout).unwrap(), [2, 10]);
        assert_eq!(list(&dir.path().join("absent"), Stream::Stdout).unwrap(), [0u64; 0]);
        let path = segment_path(dir.path(), Stream::Stdout, 123_456_789);
        assert_eq!(parse(path.file_name().unwrap().to_str().unwrap(), Stream::Stdout), Some(123_456_789));
    }
}
