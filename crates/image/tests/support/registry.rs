//! The registry that Debian packages, on loopback, and an image to put there.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part")]
#![allow(clippy::unwrap_used, reason = "test set-up")]

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use hoist_image::Reference;
use hoist_image::digest::Digest;
use hoist_image::registry::{Credentials, Registries, RegistryConfig};

use crate::support::{have, sh};

/// A registry on loopback, with TLS and a password unless told otherwise.
pub struct Registry {
    child: Child,
    pub port: u16,
    pub tmp: tempfile::TempDir,
    secure: bool,
}

impl Registry {
    pub fn start(secure: bool) -> Option<Self> {
        if !have("registry", "docker-registry") || !have("registry", "skopeo") || !have("registry", "openssl")
        {
            return None;
        }
        let tmp = tempfile::tempdir().unwrap();
        let at = tmp.path().display().to_string();
        sh(&format!(
            r#"cd {at}; mkdir certs
               openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -days 2 -subj /CN=authority 2>/dev/null
               openssl req -newkey rsa:2048 -nodes -keyout key.pem -out request.pem -subj /CN=localhost 2>/dev/null
               echo subjectAltName=DNS:localhost,IP:127.0.0.1 > extensions
               openssl x509 -req -in request.pem -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile extensions -out cert.pem 2>/dev/null
               cp ca.pem certs/ca.crt
               python3 -W ignore -c 'import crypt; print("me:" + crypt.crypt("secret", crypt.mksalt(crypt.METHOD_BLOWFISH, rounds=16)))' > users"#
        ));
        let port = free_port();
        let child = spawn(tmp.path(), port, secure);
        Some(Self { child, port, tmp, secure })
    }

    /// Kills it, and starts it again; uploads that it has half outlive that.
    pub fn restart(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.child = spawn(self.tmp.path(), self.port, self.secure);
    }

    pub fn name(&self, name: &str) -> Reference {
        format!("localhost:{}/{name}", self.port).parse().unwrap()
    }

    pub fn config(&self) -> RegistryConfig {
        if !self.secure {
            return RegistryConfig::default();
        }
        let credentials = Credentials::Password { user: "me".into(), password: "secret".into() };
        RegistryConfig {
            credentials: [(format!("localhost:{}", self.port), credentials)].into(),
            authorities: vec![fs::read(self.tmp.path().join("ca.pem")).unwrap()],
            ..RegistryConfig::default()
        }
    }

    pub fn registries(&self) -> Registries {
        Registries::new(self.config()).unwrap()
    }

    /// skopeo's arguments to reach it; `side` is `src` or `dest`.
    pub fn skopeo(&self, side: &str) -> String {
        let certs = self.tmp.path().join("certs");
        if self.secure {
            format!("--insecure-policy --{side}-creds me:secret --{side}-cert-dir {}", certs.display())
        } else {
            format!("--insecure-policy --{side}-tls-verify=false")
        }
    }

    pub fn blob_file(&self, digest: Digest) -> PathBuf {
        let hex = digest.hex();
        self.tmp.path().join(format!("data/docker/registry/v2/blobs/sha256/{}/{hex}/data", &hex[..2]))
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn spawn(at: &Path, port: u16, secure: bool) -> Child {
    let tls = if secure {
        "  tls: {certificate: cert.pem, key: key.pem}\nauth: {htpasswd: {realm: test, path: users}}\n"
    } else {
        ""
    };
    let config = format!(
        "version: 0.1\nlog: {{accesslog: {{disabled: true}}, level: error}}\nstorage: {{filesystem: {{rootdirectory: data}}}}\nhttp:\n  addr: 127.0.0.1:{port}\n  secret: known\n{tls}"
    );
    fs::write(at.join("config.yml"), config).unwrap();
    let log = fs::File::options().create(true).append(true).open(at.join("log")).unwrap();
    let mut command = Command::new("docker-registry");
    command.args(["serve", "config.yml"]).current_dir(at).stdout(Stdio::null()).stderr(log);
    let child = command.spawn().unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(Instant::now() < deadline, "{}", fs::read_to_string(at.join("log")).unwrap());
        std::thread::sleep(Duration::from_millis(20));
    }
    child
}

/// An OCI layout `oci:app` with three layers; the middle one has `size` bytes that don't compress.
pub fn layout(at: &Path, size: u64) {
    sh(&format!(
        "cd {}; mkdir -p base/etc more; echo base > base/etc/name; cp /bin/ls base/; chown -R 3:4 base/etc
         head -c {size} /dev/urandom > more/random; echo x > more/x
         umoci init --layout oci; umoci new --image oci:app
         umoci insert --image oci:app base /; umoci insert --image oci:app more /opt; umoci insert --image oci:app more/x /etc/y
         umoci config --image oci:app --config.cmd /ls --config.env A=b",
        at.display()
    ));
}
