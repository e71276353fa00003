//! Docker reads what we pushed, and we read what it pushed, configuration and layers byte for byte: Debian's daemon and
//! registry, with TLS and a password, in namespaces of their own.

#![allow(clippy::unwrap_used, reason = "test set-up")]

#[path = "support/registry.rs"]
mod server;
mod support;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use hoist_image::platform::Platform;
use hoist_image::{Image, Store};
use server::{Registry, layout};
use support::{archive, dir, file, have, in_namespaces, sh, symlink, tree};

#[test]
fn docker_and_we_read_what_the_other_pushed() {
    if !["dockerd", "docker", "docker-registry", "umoci"].iter().all(|program| have("docker", program)) {
        return;
    }
    let me = std::env::current_exe().unwrap();
    // Docker looks for authorities in one place only; here it is ours.
    let script = "set -eu; ip link set lo up; mkdir -p /etc/docker; mount -t tmpfs docker /etc/docker; exec \"$0\" \"$@\"";
    let mut command = in_namespaces(script);
    command.arg(me).args(["--ignored", "--exact", "--nocapture", "child_pushes_and_pulls"]);
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    said.lines().filter(|line| line.contains("skipped")).for_each(|line| eprintln!("{line}"));
}

struct Docker {
    daemon: Child,
    at: PathBuf,
}

impl Docker {
    fn start(at: &Path) -> Option<Self> {
        fs::create_dir_all(at).unwrap();
        let text = at.display();
        let script = format!(
            "exec dockerd -H unix://{text}/socket --data-root {text}/data --exec-root {text}/exec --pidfile {text}/pid \
             --storage-driver overlay2 --bridge none --iptables=false --ip6tables=false > {text}/log 2>&1"
        );
        let daemon = Command::new("sh").args(["-c", &script]).spawn().unwrap();
        let mut docker = Self { daemon, at: at.to_owned() };
        let deadline = Instant::now() + Duration::from_secs(60);
        while !docker.command("info").output().unwrap().status.success() {
            if docker.daemon.try_wait().unwrap().is_some() || Instant::now() > deadline {
                let log = fs::read_to_string(at.join("log")).unwrap();
                eprintln!("docker: skipped, because dockerd does not run here: {:?}", log.lines().last());
                return None;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Some(docker)
    }

    fn command(&self, words: &str) -> Command {
        let at = self.at.display();
        let mut command = Command::new("sh");
        command.args(["-c", &format!("docker --config {at}/config -H unix://{at}/socket {words}")]);
        command
    }

    /// What it prints, without the newline at the end.
    fn run(&self, words: &str) -> String {
        let output = self.command(words).output().unwrap();
        assert!(output.status.success(), "{words}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// The image is ours to the byte: the digest of the configuration, those of the layers in it, and their trees.
    fn has(&self, name: &str, image: &Image) {
        assert_eq!(self.run(&format!("image inspect -f '{{{{.Id}}}}' {name}")), image.id.to_string());
        let layers = self.run(&format!("image inspect -f '{{{{join .RootFS.Layers \" \"}}}}' {name}"));
        assert_eq!(layers, image.config.rootfs().diff_ids().join(" "));
        let driver = "{{with .GraphDriver.Data}}{{.UpperDir}}:{{with .LowerDir}}{{.}}{{end}}{{end}}";
        let folders = self.run(&format!("image inspect -f '{driver}' {name}"));
        let folders: Vec<&str> = folders.split(':').filter(|folder| !folder.is_empty()).collect();
        // Beside the image's layers, ours may have thin ones that mend directories.
        let ids = image.config.rootfs().diff_ids().iter().map(|id| id.strip_prefix("sha256:").unwrap());
        let parts =
            |layer: &Path| layer.iter().map(|part| part.to_str().unwrap().to_owned()).collect::<Vec<_>>();
        let layers: Vec<_> = ids
            .rev()
            .map(|id| image.layers.iter().find(|layer| parts(layer).contains(&id.to_owned())).unwrap())
            .collect();
        assert_eq!(folders.len(), layers.len());
        for (theirs, ours) in folders.into_iter().zip(layers) {
            assert_eq!(described(Path::new(theirs)), described(ours), "{theirs}");
        }
    }
}

impl Drop for Docker {
    fn drop(&mut self) {
        self.daemon.kill().ok();
        self.daemon.wait().ok();
    }
}

/// The tree, but for directories: Docker gives those without an entry the time of unpacking.
fn described(root: &Path) -> String {
    tree(root).lines().filter(|line| !line.contains(" dir")).map(|line| format!("{line}\n")).collect()
}

/// Not a test of its own: it has namespaces of its own.
#[test]
#[ignore = "run by other tests, in a process of its own"]
fn child_pushes_and_pulls() {
    let Some(registry) = Registry::start(true) else { return };
    let tmp = tempfile::tempdir().unwrap();
    let at = tmp.path();
    let Some(docker) = Docker::start(&at.join("docker")) else { return };
    let host = format!("localhost:{}", registry.port);
    sh(&format!(
        "mkdir -p /etc/docker/certs.d/{host}; cp {}/ca.pem /etc/docker/certs.d/{host}/ca.crt",
        registry.tmp.path().display()
    ));
    docker.run(&format!("login -u me -p secret {host}"));
    let store = Store::open(&at.join("store")).unwrap();
    let registries = registry.registries();

    // Ours to Docker, by tag and by digest, and back from another repository.
    layout(at, 300_000);
    let ours = registry.name("ours:1");
    let id = store.import_layout(&at.join("oci"), Some("app"), &[], &()).unwrap().id;
    let image = store.image_by_id(id).unwrap().unwrap();
    let pushed = store.push(&registries, &image, &ours, &()).unwrap();
    docker.run(&format!("pull -q {ours}"));
    docker.has(&ours.to_string(), &image);
    docker.run(&format!("pull -q {}", ours.with_digest(pushed.digest)));
    let back = registry.name("back/again:2");
    docker.run(&format!("tag {ours} {back}"));
    docker.run(&format!("push -q {back}"));
    let fresh = Store::open(&at.join("fresh")).unwrap();
    assert_eq!(fresh.pull(&registries, &back, &Platform::host(), &()).unwrap().id, id);

    // Docker's to us.
    let members = [dir("etc/"), file("etc/name", "docker"), symlink("etc/link", "name"), file("app", "x")];
    fs::write(at.join("root.tar"), archive(&members)).unwrap();
    let theirs = registry.name("theirs:3");
    docker.run(&format!("import -c 'CMD [\"/app\"]' -c 'ENV A=b' {}/root.tar {theirs}", at.display()));
    docker.run(&format!("push -q {theirs}"));
    let pulled = store.pull(&registries, &theirs, &Platform::host(), &()).unwrap();
    let image = store.resolve(&theirs).unwrap().unwrap();
    docker.has(&theirs.to_string(), &image);
    let digests = docker.run(&format!("image inspect -f '{{{{.RepoDigests}}}}' {theirs}"));
    assert!(digests.contains(&pulled.digest.to_string()), "{digests}");

    // And as archives, in both directions.
    docker.run(&format!("save -o {}/theirs.tar {theirs}", at.display()));
    let loaded = fresh.load(File::open(at.join("theirs.tar")).unwrap(), &()).unwrap();
    assert_eq!(loaded[0].id, image.id);
    let saved = File::create(at.join("saved.tar")).unwrap();
    store.save(&[(image.clone(), vec!["saved:4".parse().unwrap()])], saved).unwrap();
    docker.run(&format!("load -q -i {}/saved.tar", at.display()));
    docker.has("saved:4", &image);
    for store in [&store, &fresh] {
        assert!(store.verify().unwrap().is_empty());
    }
}
