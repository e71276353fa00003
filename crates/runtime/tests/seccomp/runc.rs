//! The filter that runc installs, read back from a container of it.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};

use hoist_runtime::seccomp::Instruction;
use oci_spec::runtime::LinuxSeccomp;
use serde_json::{Value, json};

/// `PTRACE_SECCOMP_GET_FILTER` (linux/ptrace.h).
const GET_FILTER: libc::c_uint = 0x420c;

/// Has runc start a container and reads its filter; none, with the reason printed, where that can't be.
pub(crate) fn filter(test: &str, profile: &LinuxSeccomp) -> Option<Vec<Instruction>> {
    let can = |program: &str| Command::new(program).arg("--version").output().is_ok();
    if !rustix::process::geteuid().is_root() || !can("runc") || !Path::new("/bin/busybox").exists() {
        println!("skipped {test}, because it needs root, runc and busybox-static");
        return None;
    }
    let dir = tempfile::tempdir().unwrap();
    let bundle = dir.path().join("bundle");
    fs::create_dir_all(bundle.join("rootfs/bin")).unwrap();
    fs::create_dir_all(bundle.join("rootfs/proc")).unwrap();
    fs::copy("/bin/busybox", bundle.join("rootfs/bin/busybox")).unwrap();
    symlink("busybox", bundle.join("rootfs/bin/sleep")).unwrap();
    fs::write(bundle.join("config.json"), config(profile).to_string()).unwrap();
    let container = Container { name: format!("hoist-oracle-{}", std::process::id()), dir: dir.path() };
    let started = container.start(&bundle)?;
    read(started, test)
}

fn config(profile: &LinuxSeccomp) -> Value {
    let namespaces = ["pid", "mount", "uts", "ipc", "network"].map(|kind| json!({ "type": kind }));
    json!({
        "ociVersion": "1.0.2",
        "root": { "path": "rootfs", "readonly": true },
        "process": {
            "user": { "uid": 0, "gid": 0 }, "args": ["/bin/sleep", "60"], "env": ["PATH=/bin"], "cwd": "/",
            "noNewPrivileges": false,
        },
        "mounts": [{ "destination": "/proc", "type": "proc", "source": "proc" }],
        "linux": { "namespaces": namespaces, "seccomp": profile },
    })
}

struct Container<'a> {
    name: String,
    dir: &'a Path,
}

impl Container<'_> {
    fn runc(&self, args: &[&str]) -> Command {
        let mut command = Command::new("runc");
        command.arg("--root").arg(self.dir.join("state")).args(args).stdin(Stdio::null());
        command
    }

    /// The process of the container.
    fn start(&self, bundle: &Path) -> Option<i32> {
        let (pid, log) = (self.dir.join("pid"), self.dir.join("log"));
        let output = fs::File::create(&log).unwrap();
        let mut command = self.runc(&["run", "-d", "--bundle", bundle.to_str().unwrap(), "--pid-file"]);
        command.arg(&pid).arg(&self.name).stdout(output.try_clone().unwrap()).stderr(output);
        let started = command.status().unwrap().success();
        assert!(started, "{}", fs::read_to_string(log).unwrap());
        fs::read_to_string(pid).unwrap().parse().ok()
    }
}

impl Drop for Container<'_> {
    fn drop(&mut self) {
        let _ = self.runc(&["delete", "-f", &self.name]).output();
    }
}

fn read(pid: i32, test: &str) -> Option<Vec<Instruction>> {
    let ask = |request: libc::c_uint, address: usize, data: *mut Instruction| {
        // SAFETY: the requests used take no memory of ours but what `data` points to, which holds the whole filter.
        unsafe { libc::ptrace(request, pid, address, data) }
    };
    let nothing = std::ptr::null_mut();
    assert_eq!(ask(libc::PTRACE_SEIZE, 0, nothing), 0, "{}", std::io::Error::last_os_error());
    assert_eq!(ask(libc::PTRACE_INTERRUPT, 0, nothing), 0);
    // SAFETY: takes no memory of ours.
    assert_eq!(unsafe { libc::waitpid(pid, std::ptr::null_mut(), libc::__WALL) }, pid);
    let length = ask(GET_FILTER, 0, nothing);
    let Ok(length) = usize::try_from(length) else {
        println!(
            "skipped {test}, because this kernel doesn't show filters: {}",
            std::io::Error::last_os_error()
        );
        return None;
    };
    let mut program = vec![Instruction { code: 0, if_true: 0, if_false: 0, operand: 0 }; length];
    assert_eq!(ask(GET_FILTER, 0, program.as_mut_ptr()), length as libc::c_long);
    ask(libc::PTRACE_DETACH, 0, nothing);
    Some(program)
}
