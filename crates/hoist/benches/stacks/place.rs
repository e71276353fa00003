//! Where the bench happens: a folder with a root file system of one static program, and stacks of it.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::busybox;

pub(super) struct Place {
    pub(super) dir: PathBuf,
}

impl Place {
    pub(super) fn new(dir: PathBuf) -> Self {
        let place = Self { dir };
        let rootfs = place.rootfs();
        for folder in ["bin", "dev", "proc", "sys"] {
            fs::create_dir_all(rootfs.join(folder)).expect("a temporary folder can be made");
        }
        fs::copy(busybox(), rootfs.join("bin/busybox")).expect("busybox can be copied");
        symlink("busybox", rootfs.join("bin/sleep")).expect("a link can be made");
        place
    }

    pub(super) fn rootfs(&self) -> PathBuf {
        self.dir.join("rootfs")
    }

    /// A stack of so many services that only sleep, the same file for everybody. A signal that ends `sleep` at once keeps
    /// the grace period out of the measurement.
    pub(super) fn stack(&self, size: usize) -> PathBuf {
        let rootfs = self.rootfs();
        let service = |number| {
            format!(
                "  s{number}:\n    image: hoist-bench:1\n    x-hoist: {{ rootfs: {} }}\n    \
                 command: [sleep, \"100000\"]\n    stop_signal: SIGKILL\n",
                rootfs.display()
            )
        };
        let text: String = (0..size).map(service).collect();
        let dir = self.dir.join(format!("stack{size}"));
        fs::create_dir_all(&dir).expect("a folder can be made");
        let file = dir.join("stack.yaml");
        fs::write(&file, format!("services:\n{text}")).expect("a file can be written");
        file
    }

    pub(super) fn hoist(&self, file: &Path, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hoist"));
        command.arg("--root").arg(self.dir.join("hoist"));
        command.args(["--progress", "quiet", "-f"]).arg(file).args(words);
        command
    }
}
