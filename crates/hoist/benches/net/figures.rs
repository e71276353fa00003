//! What is measured of a way, and the figures of all rounds.

use std::collections::BTreeMap;
use std::process::Command;

/// How long each program measures, in seconds.
const SECONDS: &str = "2";

/// A way from a client to a server.
pub(super) struct Way {
    pub(super) name: &'static str,
    /// In whose network the client runs; none is the host's.
    client: Option<u32>,
    address: String,
    /// Of iperf3 and of nginx.
    ports: [u16; 2],
    /// The way by hand that it is compared with.
    pub(super) plain: &'static str,
}

impl Way {
    pub(super) fn between(name: &'static str, client: u32, address: &str, plain: &'static str) -> Self {
        Self { name, client: Some(client), address: address.to_owned(), ports: [5201, 8080], plain }
    }

    pub(super) fn from_host(name: &'static str, address: &str, ports: [u16; 2], plain: &'static str) -> Self {
        Self { name, client: None, address: address.to_owned(), ports, plain }
    }

    pub(super) fn measure(&self) -> Figure {
        let [iperf, nginx] = self.ports.map(|port| port.to_string());
        let sent = self.run(&["iperf3", "-c", &self.address, "-p", &iperf, "-t", SECONDS, "-f", "m"]);
        let url = format!("http://{}:{nginx}/", self.address);
        let asked = self.run(&["wrk", "-t1", "-c16", "--latency", "-d", SECONDS, &url]);
        Figure {
            throughput: throughput(&sent).unwrap_or_else(|| panic!("{}: iperf3 says {sent}", self.name)),
            requests: requests(&asked).unwrap_or_else(|| panic!("{}: wrk says {asked}", self.name)),
            slowest: slowest(&asked).unwrap_or_else(|| panic!("{}: wrk says {asked}", self.name)),
        }
    }

    fn run(&self, words: &[&str]) -> String {
        let mut command = match self.client {
            Some(pid) => {
                let mut command = Command::new("nsenter");
                command.args(["-t", &pid.to_string(), "-n", words[0]]);
                command
            }
            None => Command::new(words[0]),
        };
        let output = command.args(&words[1..]).output().expect("a client runs");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}

/// Of one way in one round.
#[derive(Clone, Copy, Debug)]
pub(super) struct Figure {
    /// In Mbit/s.
    pub(super) throughput: f64,
    /// Per second.
    pub(super) requests: f64,
    /// Ninety-nine of a hundred answers came within this time, in microseconds.
    pub(super) slowest: f64,
}

/// Of all ways in all rounds.
#[derive(Default)]
pub(super) struct Figures(BTreeMap<&'static str, Vec<Figure>>);

impl Figures {
    pub(super) fn add(&mut self, way: &'static str, figure: Figure) {
        self.0.entry(way).or_default().push(figure);
    }

    /// The median over the rounds.
    pub(super) fn median(&self, way: &str, of: fn(&Figure) -> f64) -> f64 {
        median(self.of(way).iter().map(of).collect())
    }

    /// The median of the ratios round by round: a machine whose speed drifts spoils it least.
    pub(super) fn ratio(&self, way: &str, plain: &str, of: fn(&Figure) -> f64) -> f64 {
        median(self.of(way).iter().zip(self.of(plain)).map(|(way, plain)| of(way) / of(plain)).collect())
    }

    fn of(&self, way: &str) -> &[Figure] {
        self.0.get(way).map_or(&[], Vec::as_slice)
    }
}

pub(super) fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}

/// The line of the receiver: `[  5] 0.00-2.00 sec 7.10 GBytes 30500 Mbits/sec receiver`.
fn throughput(said: &str) -> Option<f64> {
    let line = said.lines().find(|line| line.trim_end().ends_with("receiver"))?;
    line.split_once("Bytes")?.1.split_whitespace().next()?.parse().ok()
}

fn requests(said: &str) -> Option<f64> {
    said.lines().find_map(|line| line.strip_prefix("Requests/sec:"))?.trim().parse().ok()
}

fn slowest(said: &str) -> Option<f64> {
    let text = said.lines().find_map(|line| line.trim().strip_prefix("99%"))?.trim();
    let units = [("us", 1.0), ("ms", 1e3), ("s", 1e6)];
    let (number, factor) =
        units.iter().find_map(|(unit, factor)| Some((text.strip_suffix(unit)?, factor)))?;
    Some(number.parse::<f64>().ok()? * factor)
}
