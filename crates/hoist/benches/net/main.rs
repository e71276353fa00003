//! The network of instances: throughput, requests per second and their times, from instance to instance, through a service
//! address and from the host to a published port; beside veth pairs on a bridge made by hand and beside Docker. And what one
//! more instance costs among many.
//!
//! The same programs of the machine run in the namespaces of all sides, in turns. Everything happens in namespaces of its own
//! and is ended with them.

#[path = "../../../image/benches/images/contain.rs"]
mod contain;
mod crowd;
#[path = "../stacks/docker.rs"]
mod docker;
mod ends;
mod figures;
mod hoist;
mod plain;
mod rootfs;
mod table;

use std::path::Path;
use std::process::{Command, ExitCode};

use docker::Docker;
use ends::Ends;
use figures::{Figures, Way};
use hoist::Hoist;

const ROUNDS: usize = 10;
/// An address of the host's own that is not loopback: Docker takes another way for that.
const HOST: &str = "10.77.0.1";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    // `cargo bench` says so; a test runner that tries every target doesn't.
    if !words.iter().any(|word| word == "--bench") {
        return ExitCode::SUCCESS;
    }
    if let Some(why) = missing() {
        println!("skipped, because {why}: net");
        return ExitCode::SUCCESS;
    }
    match contain::folder() {
        Some(folder) => run(&folder, number(&words)),
        None => contain::again(),
    }
}

fn missing() -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("it needs root".to_owned());
    }
    let needed = ["iperf3", "wrk", "nginx", "busybox"];
    let there = |program: &&str| {
        ["/usr/bin", "/usr/sbin", "/bin"].iter().any(|dir| Path::new(dir).join(program).exists())
    };
    let absent = needed.into_iter().find(|program| !there(program))?;
    Some(format!("{absent} is not installed"))
}

/// How many rounds are asked for, by `--rounds N`.
fn number(words: &[String]) -> usize {
    let after = words.iter().skip_while(|word| *word != "--rounds").nth(1);
    after.and_then(|number| number.parse().ok()).filter(|number| *number > 0).unwrap_or(ROUNDS)
}

fn run(folder: &Path, rounds: usize) -> ExitCode {
    let rootfs = rootfs::make(folder);
    host_address();
    let hoist = Hoist { root: folder.join("hoist"), folder: folder.to_owned(), rootfs: rootfs.clone() };
    crowd::measure(&hoist);
    let docker =
        Docker::start(folder, &rootfs).inspect_err(|why| println!("docker: skipped, because {why}\n")).ok();
    let mut ways = plain::ways(folder);
    ways.extend(hoist.ways());
    ways.extend(docker.iter().flat_map(|docker| docker_ways(docker, folder)));
    let mut figures = Figures::default();
    for round in 0..rounds {
        eprintln!("round {} of {rounds}", round + 1);
        for way in &ways {
            figures.add(way.name, way.measure());
        }
    }
    table::print(&ways, &figures, rounds);
    hoist.end();
    ExitCode::SUCCESS
}

fn host_address() {
    let script = format!(
        "ip link add bench type veth peer bench2 && ip addr add {HOST}/24 dev bench && ip link set bench up && ip link set bench2 up"
    );
    sh(&script);
}

/// What Docker makes of the same two instances.
fn docker_ways(docker: &Docker, folder: &Path) -> Vec<Way> {
    let network = ["network", "create", "bench"];
    let ends = Ends { server: "1000021", client: "1000022" };
    let server = [
        "run",
        "-d",
        "--network",
        "bench",
        "-p",
        "18080:8080",
        "-p",
        "15201:5201",
        docker::IMAGE,
        "sleep",
        ends.server,
    ];
    let client = ["run", "-d", "--network", "bench", docker::IMAGE, "sleep", ends.client];
    for words in [&network[..], &server, &client] {
        let done = docker.docker(words).output().is_ok_and(|output| output.status.success());
        assert!(done, "docker {} works", words.join(" "));
    }
    let (server, client) = ends.processes();
    ends::serve(server, folder, "docker");
    let address = ends::address_of(server);
    vec![
        Way::between("docker, instance to instance", client, &address, "plain, instance to instance"),
        Way::from_host("docker, host to published port", HOST, [15201, 18080], "plain, host to instance"),
    ]
}

fn sh(script: &str) -> String {
    let output = Command::new("sh").args(["-c", script]).output().expect("sh runs");
    assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}
