//! The registry that Debian packages, on a throwaway host's loopback, with TLS and a password.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use hoist_tests::{Host, Outcome, Running, SOON, Stack, eventually};

pub(crate) const PROGRAMS: [&str; 4] = ["docker-registry", "skopeo", "openssl", "busybox"];
pub(crate) const NAME: &str = "localhost:5443";

/// The registry, and a stack of this host whose user may log in there as `me` with `secret`.
pub(crate) struct Registry<'h> {
    host: &'h Host,
    server: Option<Running>,
    pub(crate) stack: Stack<'h>,
}

impl<'h> Registry<'h> {
    pub(crate) fn start(host: &'h Host) -> Self {
        let at = host.folder().display();
        host.shell(&format!(
            r#"set -e; mkdir -p {at}/registry/certs {at}/root; cd {at}/registry
               openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -days 2 -subj /CN=authority 2>/dev/null
               openssl req -newkey rsa:2048 -nodes -keyout key.pem -out request.pem -subj /CN=localhost 2>/dev/null
               echo subjectAltName=DNS:localhost,IP:127.0.0.1 > extensions
               openssl x509 -req -in request.pem -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile extensions -out cert.pem 2>/dev/null
               cp ca.pem certs/ca.crt
               python3 -W ignore -c 'import crypt; print("me:" + crypt.crypt("secret", crypt.mksalt(crypt.METHOD_BLOWFISH, rounds=16)))' > users
               cat > config.yml <<END
version: 0.1
log: {{accesslog: {{disabled: true}}, level: error}}
storage: {{filesystem: {{rootdirectory: data}}, delete: {{enabled: true}}}}
http: {{addr: "127.0.0.1:5443", tls: {{certificate: cert.pem, key: key.pem}}}}
auth: {{htpasswd: {{realm: test, path: users}}}}
END
               printf 'registries:\n  {NAME}:\n    ca: [{at}/registry/ca.pem]\n' > {at}/root/registries.yaml
               echo secret > password; echo wrong > wrong"#
        ))
        .ok();
        let stack = host.stack("images").with("DOCKER_CONFIG", &format!("{at}/docker"));
        let mut registry = Self { host, server: None, stack };
        registry.serve();
        registry
    }

    pub(crate) fn serve(&mut self) {
        let mut command = Command::new("docker-registry");
        command.args(["serve", "config.yml"]).current_dir(self.path("registry")).stdin(Stdio::null());
        self.server = Some(self.host.start(command));
        eventually("the registry answers", SOON, || {
            self.host.run("curl", &["-sk", "-o", "/dev/null", &format!("https://{NAME}/v2/")]).code == 0
        });
    }

    pub(crate) fn stop(&mut self) {
        self.server = None;
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.host.folder().join(name)
    }

    pub(crate) fn hoist(&self, words: &[&str]) -> Outcome {
        self.stack.hoist(words)
    }

    /// `hoist login` with the password in a file of the registry's folder.
    pub(crate) fn login(&self, file: &str) -> Outcome {
        let mut command = self.stack.command(&["login", "-u", "me", "--password-stdin", NAME]);
        command.stdin(fs::File::open(self.path("registry").join(file)).expect("made at the start"));
        self.host.run_for(command, SOON)
    }

    /// An image of one program, with `ballast` bytes that don't compress, by this name.
    pub(crate) fn import(&self, name: &str, ballast: u32) -> Outcome {
        let at = self.host.folder().display();
        self.host
            .shell(&format!(
                "set -e; mkdir -p {at}/tree/bin; cp $(command -v busybox) {at}/tree/bin/busybox
                 head -c {ballast} /dev/urandom > {at}/tree/ballast; tar -C {at}/tree -cf {at}/tree.tar ."
            ))
            .ok();
        let archive = format!("{at}/tree.tar");
        let run = r#"CMD ["/bin/busybox", "sleep", "100000"]"#;
        self.hoist(&["image", "import", &archive, name, "--change", run]).success()
    }

    /// skopeo copies an image from the registry to a folder.
    pub(crate) fn skopeo(&self, image: &str, to: &str) -> Outcome {
        let certificates = self.path("registry/certs").display().to_string();
        let (from, to) = (format!("docker://{NAME}/{image}"), format!("dir:{}", self.path(to).display()));
        let words = ["--src-creds", "me:secret", "--src-cert-dir", &certificates, &from, &to];
        self.host.run("skopeo", &[&["--insecure-policy", "copy", "-q"], &words[..]].concat())
    }
}
