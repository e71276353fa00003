//! Where the bench happens: a throwaway network namespace and a temporary folder, both removed at the end.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::busybox;

pub(super) struct Place {
    pub(super) dir: PathBuf,
    netns: String,
}

impl Place {
    pub(super) fn new() -> Self {
        let id = std::process::id();
        let place = Self {
            dir: std::env::temp_dir().join(format!("hoist-bench-{id}")),
            netns: format!("hoist-bench-{id}"),
        };
        let rootfs = place.rootfs();
        fs::create_dir_all(rootfs.join("bin")).expect("a temporary folder can be made");
        fs::copy(busybox(), rootfs.join("bin/busybox")).expect("busybox-static is installed");
        symlink("busybox", rootfs.join("bin/sleep")).expect("a link can be made");
        must(Command::new("ip").args(["netns", "add", &place.netns]));
        must(place.inside("ip").args(["link", "set", "lo", "up"]));
        place
    }

    pub(super) fn rootfs(&self) -> PathBuf {
        self.dir.join("rootfs")
    }

    /// A command in the namespace; mounts are the host's, so that control groups are there.
    pub(super) fn inside(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/run/netns/{}", self.netns)).arg(program);
        command
    }

    /// A stack of so many services that only sleep, the same file for everybody.
    pub(super) fn stack(&self, size: usize) -> PathBuf {
        let mut text = format!("version: \"3.8\"\nname: bench{size}\nservices:\n");
        for number in 0..size {
            text.push_str(&format!(
                "  s{number}:\n    image: hoist-bench:1\n    x-hoist: {{ rootfs: {} }}\n    command: [sleep, \"100000\"]\n    stop_signal: SIGKILL\n",
                self.rootfs().display()
            ));
        }
        let file = self.dir.join(format!("stack{size}.yaml"));
        fs::write(&file, text).expect("a file can be written");
        file
    }

    pub(super) fn hoist(&self, file: &Path, words: &[&str]) -> Command {
        let mut command = self.inside(env!("CARGO_BIN_EXE_hoist"));
        command
            .arg("--root")
            .arg(self.dir.join("hoist"))
            .args(["--progress", "quiet", "-f"])
            .arg(file)
            .args(words);
        command
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "delete", &self.netns]).status();
        let _ = fs::remove_dir_all(&self.dir);
    }
}

pub(super) fn must(command: &mut Command) {
    let status = command.status().expect("the command can be started");
    assert!(status.success(), "{command:?} failed");
}
