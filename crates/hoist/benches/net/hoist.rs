//! Two instances of Hoist's.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use super::ends::{self, Ends};
use super::figures::Way;
use super::{HOST, sh};

pub(super) struct Hoist {
    pub(super) root: PathBuf,
    pub(super) folder: PathBuf,
    pub(super) rootfs: PathBuf,
}

impl Hoist {
    pub(super) fn ways(&self) -> Vec<Way> {
        let ends = Ends { server: "1000011", client: "1000012" };
        let service = |name: &str, seconds: &str, ports: &str| {
            let rootfs = self.rootfs.display();
            format!(
                "  {name}:\n    x-hoist: {{ rootfs: {rootfs} }}\n    command: [sleep, \"{seconds}\"]\n{ports}"
            )
        };
        let ports = "    ports: [\"28080:8080\", \"25201:5201\"]\n";
        let text = service("server", ends.server, ports) + &service("client", ends.client, "");
        self.up("ways", &text);
        let (server, client) = ends.processes();
        ends::serve(server, &self.folder, "hoist");
        // By its name a client gets the service's address; the instance has another.
        let name = "nsenter -t PID -n -m --root nslookup server | awk '/^Address/ {a=$2} END {print a}'";
        let service = sh(&name.replace("PID", &client.to_string()));
        let instance = ends::address_of(server);
        assert_ne!(service, instance, "the service has an address of its own");
        vec![
            Way::between("hoist, instance to instance", client, &instance, "plain, instance to instance"),
            Way::between("hoist, through a service address", client, &service, "plain, instance to instance"),
            Way::from_host("hoist, host to published port", HOST, [25201, 28080], "plain, host to instance"),
        ]
    }

    /// Brings a stack of these services up.
    pub(super) fn up(&self, stack: &str, services: &str) {
        let file = self.folder.join(format!("{stack}.yaml"));
        fs::write(&file, format!("name: {stack}\nservices:\n{services}")).expect("a file can be written");
        let file = file.display().to_string();
        self.run(&["--progress", "quiet", "-f", &file, "up", "-d"]);
    }

    pub(super) fn down(&self, stack: &str) {
        self.run(&["--progress", "quiet", "-p", stack, "down", "-t", "0"]);
    }

    pub(super) fn end(&self) {
        self.run(&["agent", "stop", "--force"]);
    }

    fn run(&self, words: &[&str]) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hoist"));
        let output = command.arg("--root").arg(&self.root).args(words).output().expect("hoist runs");
        assert!(output.status.success(), "{}: {}", words.join(" "), String::from_utf8_lossy(&output.stderr));
    }
}
