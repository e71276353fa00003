//! podman-compose, with a store of its own in the bench's folder.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::docker::IMAGE;

/// The folder that has podman-compose as Python's package; `cargo xtask bench` fetches it.
const COMPOSE: &str = "HOIST_BENCH_PODMAN_COMPOSE";

/// Limits that need more than the machine may give are left as they are.
const CONFIGURATION: &str = "[containers]\ndefault_ulimits = []\n\n[engine]\nruntime = \"/usr/sbin/runc\"\n";

pub(super) struct Podman {
    /// Calls podman with this bench's folders.
    program: PathBuf,
    packages: PathBuf,
    configuration: PathBuf,
}

impl Podman {
    /// Imports the image.
    pub(super) fn new(folder: &Path, rootfs: &Path) -> Result<Self, String> {
        let packages = std::env::var_os(COMPOSE).map(PathBuf::from);
        let packages = packages.ok_or_else(|| format!("{COMPOSE} names no folder"))?;
        let dir = folder.join("podman");
        fs::create_dir_all(&dir).map_err(|error| error.to_string())?;
        let podman =
            Self { program: dir.join("podman"), packages, configuration: dir.join("containers.conf") };
        let script = format!(
            "#!/bin/sh\nexec /usr/bin/podman --root {0}/store --runroot {0}/run --cgroup-manager cgroupfs \"$@\"\n",
            dir.display()
        );
        fs::write(&podman.configuration, CONFIGURATION).map_err(|error| error.to_string())?;
        fs::write(&podman.program, script).map_err(|error| error.to_string())?;
        let executable = fs::Permissions::from_mode(0o755);
        fs::set_permissions(&podman.program, executable).map_err(|error| error.to_string())?;
        podman.import(rootfs, &dir.join("rootfs.tar"))?;
        Ok(podman)
    }

    fn import(&self, rootfs: &Path, tar: &Path) -> Result<(), String> {
        let made = Command::new("tar").arg("-C").arg(rootfs).arg("-cf").arg(tar).arg(".").status();
        let mut import = Command::new(&self.program);
        import.env("CONTAINERS_CONF", &self.configuration).arg("import").arg(tar).arg(IMAGE);
        match (made, import.output()) {
            (Ok(made), Ok(imported)) if made.success() && imported.status.success() => Ok(()),
            (_, Ok(imported)) => Err(String::from_utf8_lossy(&imported.stderr).trim().to_owned()),
            (_, Err(error)) => Err(error.to_string()),
        }
    }

    pub(super) fn compose(&self, file: &Path, words: &[&str]) -> Command {
        let mut command = Command::new("timeout");
        command
            .args(["300", "python3", "-m", "podman_compose", "--podman-path"])
            .arg(&self.program)
            .env("PYTHONPATH", &self.packages)
            .env("CONTAINERS_CONF", &self.configuration)
            .arg("-f")
            .arg(file)
            .args(words);
        command
    }
}
