//! The floor: what containers cost in system calls alone, with nothing decided, checked, recorded or reported.
//!
//! As many as the stack has services, each with all namespaces, an overlay, a veth pair into a bridge, and a control group
//! in every hierarchy, shared out to as many processes as there are processors: launching is work of the kernel, and one
//! process alone wouldn't keep two processors busy.

mod container;
mod netlink;

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use super::place::Place;
use container::Container;

/// The first argument of a worker.
pub(super) const WORD: &str = "floor";

const BRIDGE: &str = "floor";

/// Workers that are ready to begin.
pub(super) struct Floor {
    workers: Vec<Worker>,
}

struct Worker {
    child: Child,
    says: BufReader<ChildStdout>,
}

impl Floor {
    pub(super) fn start(place: &Place, size: usize) -> Self {
        let _gone = Command::new("ip").args(["link", "delete", BRIDGE]).stderr(Stdio::null()).status();
        let made = Command::new("ip").args(["link", "add", BRIDGE, "type", "bridge"]).status();
        assert!(made.is_ok_and(|made| made.success()), "a bridge can be made");
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let workers = (0..processors).map(|worker| {
            let numbers: Vec<String> =
                (worker..size).step_by(processors).map(|number| number.to_string()).collect();
            Worker::start(place, &numbers)
        });
        Self { workers: workers.collect() }
    }

    /// The times of up and down.
    pub(super) fn round(mut self) -> (Duration, Duration) {
        let mut all = |word: &str| {
            let began = Instant::now();
            self.workers.iter_mut().for_each(|worker| worker.tell(word));
            self.workers.iter_mut().for_each(Worker::hear);
            began.elapsed()
        };
        let round = (all("up"), all("down"));
        for mut worker in self.workers {
            let ended = worker.child.wait();
            assert!(ended.is_ok_and(|ended| ended.success()), "a worker failed");
        }
        round
    }
}

impl Worker {
    fn start(place: &Place, numbers: &[String]) -> Self {
        let this = std::env::current_exe().expect("a running program has a path");
        let mut command = Command::new(this);
        command.arg(WORD).arg(place.rootfs()).arg(place.dir.join("floor")).args(numbers);
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("a worker can be started");
        let says = child.stdout.take().expect("its output is a pipe");
        let mut worker = Self { child, says: BufReader::new(says) };
        worker.hear();
        worker
    }

    fn tell(&mut self, word: &str) {
        let stdin = self.child.stdin.as_mut().expect("its input is a pipe");
        writeln!(stdin, "{word}").expect("the worker listens");
    }

    fn hear(&mut self) {
        let mut line = String::new();
        self.says.read_line(&mut line).expect("the worker answers");
        assert_eq!(line, "done\n");
    }
}

/// A worker: says when it is ready, makes its containers when told, and ends them when told.
pub(super) fn work(words: &[String]) -> ExitCode {
    let [rootfs, folder, numbers @ ..] = words else { return ExitCode::from(2) };
    let (rootfs, folder) = (Path::new(rootfs), PathBuf::from(folder));
    let hierarchies = container::hierarchies();
    let mut netlink = netlink::Socket::open(BRIDGE);
    let done = || println!("done");
    let mut next = std::io::stdin().lines();
    done();
    let _up = next.next();
    let make =
        |number: &String| Container::launch(rootfs, &folder.join(number), &hierarchies, &mut netlink, number);
    let containers: Vec<Container> = numbers.iter().map(make).collect();
    done();
    let _down = next.next();
    containers.iter().for_each(Container::kill);
    containers.into_iter().for_each(Container::remove);
    done();
    ExitCode::SUCCESS
}
