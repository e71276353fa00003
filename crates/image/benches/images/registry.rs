//! The registry that Debian packages, with both images.

use std::fs;
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::Failure;
use crate::image::shell;

pub(crate) const FIRST: &str = "127.0.0.1:5000/big:1";
pub(crate) const SECOND: &str = "127.0.0.1:5000/big:2";
const PATIENCE: Duration = Duration::from_secs(60);

/// Ends with the bench.
pub(crate) struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

pub(crate) fn start(folder: &Path) -> Result<Running, Failure> {
    let config = "version: 0.1\nlog: {accesslog: {disabled: true}, level: error}\nstorage: {filesystem: {rootdirectory: registry}}\nhttp: {addr: 127.0.0.1:5000}\n";
    fs::write(folder.join("registry.yml"), config)?;
    let mut command = Command::new("docker-registry");
    command.args(["serve", "registry.yml"]).current_dir(folder).stdout(Stdio::null()).stderr(Stdio::null());
    let running = Running(command.spawn()?);
    let deadline = Instant::now() + PATIENCE;
    while TcpStream::connect("127.0.0.1:5000").is_err() {
        if Instant::now() > deadline {
            return Err("the registry does not answer".into());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    let copy = r#"cd "$1"; for n in 1 2; do skopeo copy -q --insecure-policy --dest-tls-verify=false oci:oci:$n docker://127.0.0.1:5000/big:$n; done"#;
    shell(copy, &[&folder.display().to_string()])?;
    Ok(running)
}
