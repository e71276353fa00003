//! Where the bench happens: a folder with a root file system of one static program, and stacks of it.

use std::cell::Cell;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::busybox;
use super::docker::IMAGE;

pub(super) struct Place {
    pub(super) dir: PathBuf,
    roots: Cell<usize>,
}

/// A stack of services that only sleep, on a network of its own.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stack {
    pub(super) services: usize,
    pub(super) shape: Shape,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Shape {
    /// Nobody waits for anybody.
    Flat,
    /// Each service waits for one that four wait for.
    Tree,
}

impl Place {
    pub(super) fn new(dir: PathBuf) -> Self {
        let place = Self { dir, roots: Cell::new(0) };
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

    /// The stack's file, the same for everybody.
    pub(super) fn file(&self, stack: Stack) -> PathBuf {
        let name = match stack.shape {
            Shape::Flat => format!("flat{}", stack.services),
            Shape::Tree => format!("tree{}", stack.services),
        };
        let dir = self.dir.join(name);
        fs::create_dir_all(&dir).expect("a folder can be made");
        let text: String = (0..stack.services).map(|number| self.service(stack.shape, number)).collect();
        let file = dir.join("stack.yaml");
        fs::write(&file, format!("services:\n{text}")).expect("a file can be written");
        file
    }

    /// A signal that ends `sleep` at once keeps the grace period out of the measurement.
    fn service(&self, shape: Shape, number: usize) -> String {
        let depends = match shape {
            Shape::Tree if number > 0 => format!("    depends_on: [s{}]\n", (number - 1) / 4),
            _ => String::new(),
        };
        format!(
            "  s{number}:\n    image: {IMAGE}\n    x-hoist: {{ rootfs: {} }}\n    \
             command: [sleep, \"100000\"]\n    stop_signal: SIGKILL\n{depends}",
            self.rootfs().display()
        )
    }

    /// A state folder that was never used.
    pub(super) fn root(&self) -> Root<'_> {
        let number = self.roots.replace(self.roots.get() + 1);
        Root { place: self, dir: self.dir.join(format!("hoist{number}")) }
    }
}

/// A state folder of Hoist's; its agent ends with it.
pub(super) struct Root<'a> {
    place: &'a Place,
    dir: PathBuf,
}

impl Root<'_> {
    /// A command about a stack.
    pub(super) fn hoist(&self, stack: Stack, words: &[&str]) -> Command {
        let mut command = self.command();
        command.args(["--progress", "quiet", "-f"]).arg(self.place.file(stack)).args(words);
        command
    }

    /// What `agent status` says.
    pub(super) fn status(&self) -> String {
        let output = self.command().args(["agent", "status", "--format", "json"]).output();
        output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default()
    }

    fn command(&self) -> Command {
        let mut command = Command::new(Path::new(env!("CARGO_BIN_EXE_hoist")));
        command.arg("--root").arg(&self.dir);
        command
    }
}

impl Drop for Root<'_> {
    fn drop(&mut self) {
        let _ = self.command().args(["agent", "stop", "--force"]).output();
        let _ = fs::remove_dir_all(&self.dir);
    }
}
