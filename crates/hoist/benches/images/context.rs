//! A Dockerfile of thirty steps, its context, and a stack file that builds it.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

pub(crate) const STEPS: usize = 30;
/// Files of the context that steps read.
pub(crate) const FILES: usize = FOLDERS * EACH;
const FOLDERS: usize = 10;
const EACH: usize = 50;
pub(crate) const BUSYBOX: &str = "/bin/busybox";

/// Writes it; the folder.
pub(crate) fn make(folder: &Path) -> PathBuf {
    for number in 0..FOLDERS {
        let source = folder.join(format!("src/{number}"));
        fs::create_dir_all(&source).unwrap();
        for file in 0..EACH {
            fs::write(source.join(format!("{file}.txt")), format!("{number} {file}\n").repeat(200)).unwrap();
        }
    }
    fs::copy(BUSYBOX, folder.join("busybox")).unwrap();
    fs::write(folder.join("Dockerfile"), dockerfile()).unwrap();
    fs::write(folder.join("stack.yaml"), "services: { app: { image: again, build: . } }\n").unwrap();
    folder.to_owned()
}

/// Copies and commands by turns, as people write them, and a few settings.
fn dockerfile() -> String {
    let mut text =
        "FROM scratch\nCOPY busybox /bin/busybox\nSHELL [\"/bin/busybox\", \"sh\", \"-c\"]\n".to_owned();
    let mut steps = 3;
    while steps < STEPS {
        let number = steps / 3;
        let _ = match steps % 3 {
            0 => writeln!(text, "COPY src/{number} /srv/{number}"),
            1 => writeln!(text, "RUN /bin/busybox echo {steps} > /step-{steps}"),
            _ => writeln!(text, "ENV STEP={steps}"),
        };
        steps += 1;
    }
    text
}
