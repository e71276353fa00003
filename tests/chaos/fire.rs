//! Who is killed, when, and what commands are given meanwhile: all by one seed.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use hoist_tests::command::{Running, Signal};
use hoist_tests::{Host, LATER, SOON, Stack, eventually};

/// Vigna's SplitMix64: a seed means the same choices for ever.
struct Rng(u64);

impl Rng {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> Option<&'a T> {
        if from.is_empty() {
            None
        } else {
            from.get(usize::try_from(self.below(from.len() as u64)).unwrap_or(0))
        }
    }

    fn milliseconds(&mut self, from: u64, to: u64) -> Duration {
        Duration::from_millis(from + self.below(to - from))
    }
}

/// A command under way.
struct Command {
    words: &'static [&'static str],
    running: Running,
    /// When it is killed, if it is.
    end: Option<Instant>,
}

const COMMANDS: [&[&str]; 8] = [
    &["ps"],
    &["ps", "-a", "--format", "json"],
    &["logs", "--tail", "5"],
    &["logs", "-f", "--tail", "1", "web-a"],
    &["exec", "-T", "web-b", "true"],
    &["up", "-d"],
    &["up", "-d", "web-c"],
    &["agent", "status"],
];

/// What was done so far.
#[derive(Default, Debug)]
pub(crate) struct Count {
    daemons: usize,
    containers: usize,
    commands: usize,
    killed_commands: usize,
    reads: usize,
    holders: usize,
}

pub(crate) struct Fire<'h> {
    host: &'h Host,
    stack: &'h Stack<'h>,
    rng: Rng,
    commands: Vec<Command>,
    count: Count,
}

impl<'h> Fire<'h> {
    pub(crate) fn new(host: &'h Host, stack: &'h Stack<'h>, seed: u64) -> Self {
        Self { host, stack, rng: Rng(seed), commands: Vec::new(), count: Count::default() }
    }

    pub(crate) fn keep_up(&mut self, length: Duration) {
        let end = Instant::now() + length;
        while Instant::now() < end {
            self.act();
            let pause = self.rng.milliseconds(20, 350);
            std::thread::sleep(pause);
            self.look_after_commands();
        }
    }

    /// Ends the commands that still run, and says what was done.
    pub(crate) fn ended(mut self) -> String {
        for command in self.commands.drain(..) {
            let follows = command.words.contains(&"-f");
            if command.end.is_none() && !follows {
                check(command.words, command.running, &mut self.count);
            }
        }
        format!("{:?}", self.count)
    }

    fn act(&mut self) {
        match self.rng.below(15) {
            0..=1 => self.kill_daemons(&["agent"]),
            2..=3 => self.kill_daemons(&["keeper"]),
            4 => self.kill_daemons(&["dns"]),
            5 => self.kill_daemons(&["agent", "keeper"]),
            6..=9 => self.kill_containers(),
            10 => self.kill_holder(),
            _ => self.command(),
        }
    }

    fn kill_daemons(&mut self, names: &[&str]) {
        let pids: Vec<String> =
            names.iter().flat_map(|name| daemons(self.host, self.stack.root(), name)).collect();
        self.count.daemons += pids.len();
        self.kill(&pids);
    }

    /// What a container wrote last is in a pipe that it, the keeper, the agent and the holder hold. Killed one and all
    /// before another holder is there, they take it along: nobody promises otherwise. So this one is killed alone, while
    /// there is a keeper to start another.
    fn kill_holder(&mut self) {
        let root = self.stack.root();
        let holder = || daemons(self.host, root, "holder").into_iter().next();
        eventually("a keeper has taken up what runs, and a holder is there", SOON, || {
            // Starts what was killed.
            let _ = self.stack.ps();
            let status = self.stack.hoist(&["agent", "status", "--format", "json"]);
            let status: Option<serde_json::Value> = serde_json::from_str(status.text()).ok();
            let keeper = status.and_then(|status| status["pids"][1].as_i64()).unwrap_or(0).to_string();
            daemons(self.host, root, "keeper").contains(&keeper) && holder().is_some()
        });
        let former = holder();
        self.count.holders += 1;
        self.kill(former.as_slice());
        eventually("another one holds a pipe of each container", SOON, || {
            let _ = self.stack.ps();
            let now = holder().filter(|now| Some(now) != former.as_ref());
            now.is_some_and(|now| held(self.host, now) >= first_processes(self.host).len())
        });
    }

    fn kill_containers(&mut self) {
        let all = first_processes(self.host);
        let some = 1 + self.rng.below(3);
        let victims: Vec<String> =
            (0..some).filter_map(|_| self.rng.pick(&all).map(ToString::to_string)).collect();
        self.count.containers += victims.len();
        self.kill(&victims);
        // Now and then what holds their last words goes right behind them, or while they are started again.
        let daemons: &[&str] = match self.rng.below(4) {
            0 => &["keeper"],
            1 => &["agent", "keeper"],
            _ => return,
        };
        std::thread::sleep(self.rng.milliseconds(0, 250));
        self.kill_daemons(daemons);
    }

    fn kill(&self, pids: &[String]) {
        if !pids.is_empty() {
            let words: Vec<&str> = std::iter::once("-9").chain(pids.iter().map(String::as_str)).collect();
            // One may have gone by itself.
            let _ = self.host.run("kill", &words);
        }
    }

    fn command(&mut self) {
        let words = *self.rng.pick(&COMMANDS).expect("there are some");
        let end = (self.rng.below(3) == 0 || words.contains(&"-f"))
            .then(|| Instant::now() + self.rng.milliseconds(0, 600));
        self.count.commands += 1;
        self.commands.push(Command { words, running: self.stack.start(words), end });
    }

    fn look_after_commands(&mut self) {
        let commands = std::mem::take(&mut self.commands);
        for mut command in commands {
            if command.end.is_some_and(|end| Instant::now() > end) {
                if command.running.runs() {
                    command.running.signal(Signal::KILL);
                    self.count.killed_commands += 1;
                }
            } else if command.end.is_none() && !command.running.runs() {
                check(command.words, command.running, &mut self.count);
            } else {
                self.commands.push(command);
            }
        }
    }
}

/// What only reads finds an agent that is just being started again, and waits for it.
fn check(words: &[&str], running: Running, count: &mut Count) {
    let outcome = running.finish(LATER);
    if matches!(words[0], "ps" | "logs") {
        count.reads += 1;
        assert_eq!(outcome.code, 0, "{outcome}");
    }
}

fn processes<T: Send + 'static>(host: &Host, pick: impl Fn(&Path) -> Option<T> + Send + 'static) -> Vec<T> {
    host.inside(move || {
        let all = fs::read_dir("/proc").expect("/proc can be read").flatten().map(|entry| entry.path());
        all.filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().parse::<i64>().is_ok()))
            .filter_map(|path| pick(&path))
            .collect()
    })
}

fn daemons(host: &Host, root: &Path, name: &str) -> Vec<String> {
    let (root, name) = (root.display().to_string(), name.to_owned());
    processes(host, move |process| {
        let line = fs::read(process.join("cmdline")).ok()?;
        let line = String::from_utf8_lossy(&line).into_owned();
        let words: Vec<&str> = line.split('\0').collect();
        let is_it = words.first()?.ends_with("hoist") && words.get(1) == Some(&name.as_str());
        (is_it && words.contains(&root.as_str())).then(|| process.file_name()?.to_str().map(str::to_owned))?
    })
}

/// How many containers' standard output a process holds.
fn held(host: &Host, pid: String) -> usize {
    host.inside(move || {
        let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
        let targets = descriptors.filter_map(|entry| fs::read_link(entry.path()).ok());
        targets.filter(|target| target.ends_with("stdout")).count()
    })
}

/// The first process of each container, by its number on the host: one namespace further in, it is number 1.
pub(crate) fn first_processes(host: &Host) -> Vec<i64> {
    processes(host, |process| {
        let status = fs::read_to_string(process.join("status")).ok()?;
        let numbers = status.lines().find_map(|line| line.strip_prefix("NSpid:"))?;
        let pid: i64 = process.file_name()?.to_str()?.parse().ok()?;
        let inside: Vec<i64> = numbers.split_whitespace().filter_map(|number| number.parse().ok()).collect();
        let is_zombie = status.lines().any(|line| line.starts_with("State:\tZ"));
        (inside.last() == Some(&1) && pid != 1 && !is_zombie).then_some(pid)
    })
}
