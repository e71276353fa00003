//! What is deployed: nginx from the machine's own packages, with a stack file that has nothing for redeploys in it.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use super::docker::IMAGE;

pub(super) const NGINX: &str = "/usr/sbin/nginx";
/// The fixed host port.
pub(super) const PORT: u16 = 8080;

/// A redeploy that leads nowhere for so long has failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// The bench's folder.
pub(super) struct Site {
    pub(super) dir: PathBuf,
}

impl Site {
    /// Lays out the root file system and the stack file.
    pub(super) fn new(dir: PathBuf) -> Self {
        let site = Self { dir };
        for folder in [
            "usr/sbin",
            "etc/nginx",
            "etc",
            "run",
            "tmp",
            "dev",
            "proc",
            "sys",
            "var/log/nginx",
            "var/lib/nginx",
        ] {
            fs::create_dir_all(site.rootfs().join(folder)).expect("a temporary folder can be made");
        }
        site.copy(Path::new(NGINX));
        for library in libraries() {
            site.copy(&library);
        }
        fs::write(site.rootfs().join("etc/passwd"), "root:x:0:0:root:/:/bin/sh\n")
            .expect("a file can be written");
        fs::write(site.rootfs().join("etc/group"), "root:x:0:\n").expect("a file can be written");
        for version in 0..2 {
            let file = site.rootfs().join(format!("etc/nginx/{version}.conf"));
            fs::write(file, configuration(version)).expect("a file can be written");
        }
        fs::write(site.file(), site.stack()).expect("a file can be written");
        site
    }

    pub(super) fn rootfs(&self) -> PathBuf {
        self.dir.join("rootfs")
    }

    /// The stack file, the same for everybody.
    pub(super) fn file(&self) -> PathBuf {
        self.dir.join("stack.yaml")
    }

    /// Nginx ends gracefully on SIGQUIT, which its own image declares as well.
    fn stack(&self) -> String {
        format!(
            "version: '3.8'\nname: redeploy\nservices:\n  web:\n    image: {IMAGE}\n    x-hoist: {{ rootfs: {} }}\n    \
             command: [{NGINX}, -c, \"/etc/nginx/${{VERSION}}.conf\"]\n    stop_signal: SIGQUIT\n    ports: [\"{PORT}:80\"]\n",
            self.rootfs().display()
        )
    }

    fn copy(&self, file: &Path) {
        let to = self.rootfs().join(file.strip_prefix("/").unwrap_or(file));
        fs::create_dir_all(to.parent().expect("a file is in a folder")).expect("a folder can be made");
        fs::copy(file, to).expect("a library can be copied");
    }

    /// Waits until the port answers with what was deployed by that redeploy.
    pub(super) fn wait_for_version(&self, redeploy: u32) {
        let wanted = format!("\r\n\r\n{}", redeploy % 2);
        let deadline = Instant::now() + PATIENCE;
        while !asked().is_some_and(|answer| answer.ends_with(&wanted)) {
            assert!(Instant::now() < deadline, "redeploy {redeploy} is not served after a minute");
            thread::sleep(Duration::from_millis(20));
        }
    }
}

fn asked() -> Option<String> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, PORT)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}

/// What nginx is linked with, as ldd(1) says.
fn libraries() -> Vec<PathBuf> {
    let output = Command::new("ldd").arg(NGINX).output().expect("ldd runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.split_whitespace().filter(|word| word.starts_with('/')).map(PathBuf::from).collect()
}

fn configuration(version: u32) -> String {
    format!(
        "user root root;\ndaemon off;\nworker_processes 1;\npid /run/nginx.pid;\nerror_log stderr crit;\n\
         events {{ worker_connections 1024; }}\n\
         http {{\n  access_log off;\n  keepalive_requests 1000000000;\n  \
         server {{ listen 80; location / {{ return 200 \"{version}\"; }} }}\n}}\n"
    )
}
