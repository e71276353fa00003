//! The root file system of the instances: one static program that sleeps.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

pub(super) fn make(folder: &Path) -> PathBuf {
    let rootfs = folder.join("rootfs");
    for folder in ["bin", "dev", "proc", "sys", "etc", "tmp"] {
        fs::create_dir_all(rootfs.join(folder)).expect("a temporary folder can be made");
    }
    fs::copy("/bin/busybox", rootfs.join("bin/busybox")).expect("busybox can be copied");
    for name in ["sleep", "nslookup"] {
        symlink("busybox", rootfs.join("bin").join(name)).expect("a link can be made");
    }
    rootfs
}
