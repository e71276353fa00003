//! A virtual machine with cgroup version 2, for hosts that have another arrangement.
//!
//! `vm/build.sh` makes its disk, `vm/guest.sh` is its first process. The machine is emulated, so that it
//! runs where there is no hardware for it; the host's folder is shared by virtiofs. Nothing stays behind
//! but the built files.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use crate::metadata;
use crate::packages;
use crate::run::{self, Result, cargo, must, program, root};

/// Tests of the runtime that version 2 shows in another light.
const GUEST_TESTS: [&str; 2] = ["cgroup", "identity"];
/// A whole stack, and what has to be true of it.
const STACK_FILES: [&str; 2] = ["stack.yaml", "check.sh"];

pub(crate) fn run(arguments: &[String]) -> Result {
    let (verb, rest) = arguments.split_first().map_or(("", &[][..]), |(verb, rest)| (verb.as_str(), rest));
    match verb {
        "build" => build(),
        "run" => boot(&Machine::parse(rest)?),
        "test" => test(),
        _ => Err("build, run or test is wanted".into()),
    }
}

/// What a run is like.
#[derive(Debug)]
struct Machine {
    command: String,
    shared: PathBuf,
    memory_mib: u32,
    cpus: u32,
    limit: Duration,
}

impl Machine {
    fn new(command: String, shared: PathBuf) -> Machine {
        Machine { command, shared, memory_mib: 2048, cpus: 2, limit: Duration::from_secs(600) }
    }

    fn parse(arguments: &[String]) -> Result<Machine> {
        let (options, command) = match arguments.iter().position(|argument| argument == "--") {
            Some(at) => (&arguments[..at], arguments[at + 1..].join(" ")),
            None => return Err("a command after -- is wanted".into()),
        };
        let mut machine = Machine::new(command, std::env::current_dir()?);
        for option in options.chunks(2) {
            match option {
                [name, value] if name == "-s" => machine.shared = fs::canonicalize(value)?,
                [name, value] if name == "-m" => machine.memory_mib = value.parse()?,
                [name, value] if name == "-c" => machine.cpus = value.parse()?,
                [name, value] if name == "-t" => machine.limit = Duration::from_secs(value.parse()?),
                other => return Err(format!("no such option: {}", other.join(" ")).into()),
            }
        }
        Ok(machine)
    }
}

/// Where the built files are; outside the target folder when several checkouts are to share them.
fn files() -> Result<PathBuf> {
    match std::env::var_os("HOIST_VM_DIR") {
        Some(dir) => Ok(dir.into()),
        None => Ok(metadata::read()?.target.join("vm")),
    }
}

fn build() -> Result {
    packages::install(packages::FOR_VM)?;
    let script = root().join("xtask/vm/build.sh");
    must(program("bash", &[]).arg(script).arg(files()?))
}

/// Builds the tests here and runs them there: the guest is the same Debian.
fn test() -> Result {
    if !files()?.join("root.ext4").exists() {
        build()?;
    }
    let shared = scratch("tests")?;
    for name in GUEST_TESTS {
        fs::copy(test_binary(name)?, shared.join(name))?;
    }
    must(&mut cargo(&["build", "--quiet", "--package", "hoist", "--bin", "hoist"]))?;
    fs::copy(metadata::read()?.target.join("debug/hoist"), shared.join("hoist"))?;
    for file in STACK_FILES {
        fs::copy(root().join("xtask/vm/stack").join(file), shared.join(file))?;
    }
    let tests = GUEST_TESTS.map(|name| format!("./{name}")).join(" && ");
    // systemd mounts it so that the kernel keeps a container from its limits: once more without.
    let plain =
        "mount -t cgroup2 -o remount,rw cgroup2 /sys/fs/cgroup && ./cgroup whatever_a_container_writes";
    let command = format!("{tests} && ./check.sh ./hoist && {plain}");
    let result = boot(&Machine::new(command, shared.clone()));
    fs::remove_dir_all(shared)?;
    result
}

fn test_binary(name: &str) -> Result<PathBuf> {
    let mut build =
        cargo(&["test", "--package", "hoist-runtime", "--no-run", "--quiet", "--message-format=json"]);
    let messages = run::output(build.args(["--test", name]))?;
    let executable = |line: &str| {
        let message: serde_json::Value = serde_json::from_str(line).ok()?;
        let is_it = message["target"]["name"] == name;
        message["executable"].as_str().filter(|_| is_it).map(PathBuf::from)
    };
    Ok(messages.lines().find_map(executable).ok_or_else(|| format!("Cargo built no test {name}"))?)
}

fn boot(machine: &Machine) -> Result {
    let disk = files()?;
    if !disk.join("root.ext4").exists() {
        return Err("the machine isn't built; run: cargo xtask vm build".into());
    }
    packages::install(packages::FOR_VM)?;
    let dir = scratch("run")?;
    let result = boot_in(machine, &disk, &dir);
    fs::remove_dir_all(dir)?;
    result
}

fn boot_in(machine: &Machine, disk: &Path, dir: &Path) -> Result {
    fs::write(dir.join("command"), format!("{}\n", machine.command))?;
    let _shared = share(&machine.shared, dir)?;
    let mut qemu = Daemon(qemu(machine, disk, dir).spawn()?);
    let output = qemu.0.stdout.take();
    let printer =
        std::thread::spawn(move || output.map(|mut output| io::copy(&mut output, &mut io::stdout())));
    let ended = wait(&mut qemu.0, machine.limit)?;
    // Its death ends the pipe, and what it wrote before is printed whole.
    drop(qemu);
    let _ = printer.join();
    let Some(status) = ended else {
        return Err(
            format!("the guest took longer than {} s\n{}", machine.limit.as_secs(), console(dir)).into()
        );
    };
    let code = fs::read_to_string(dir.join("code")).unwrap_or_default();
    match code.trim() {
        "0" => Ok(()),
        "" => Err(format!("the guest died (qemu: {status})\n{}", console(dir)).into()),
        code => Err(format!("the command in the guest ended with {code}").into()),
    }
}

/// Ends a program of ours with the run, however that ends.
struct Daemon(Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may have ended by itself, which is as well.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn share(folder: &Path, dir: &Path) -> Result<Daemon> {
    let socket = dir.join("virtiofs");
    let log = fs::File::create(dir.join("virtiofs.log"))?;
    let child = Command::new("/usr/lib/qemu/virtiofsd")
        .args(["-f", "--rlimit-nofile=0", "-o", "sandbox=chroot", "-o", "xattr"])
        .arg(format!("--socket-path={}", socket.display()))
        .args(["-o", &format!("source={}", folder.display())])
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()?;
    let mut child = Daemon(child);
    while !socket.exists() {
        if child.0.try_wait()?.is_some() {
            return Err(format!("virtiofsd: {}", fs::read_to_string(dir.join("virtiofs.log"))?).into());
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(child)
}

fn qemu(machine: &Machine, disk: &Path, dir: &Path) -> Command {
    let file = |path: PathBuf| path.display().to_string();
    let Machine { memory_mib, cpus, .. } = machine;
    let mut qemu = Command::new("qemu-system-x86_64");
    // Emulated in threads; five-level paging only slows that down.
    qemu.args(["-M", "q35", "-accel", "tcg,thread=multi,tb-size=256", "-cpu", "max,-la57"]);
    qemu.args(["-smp", &cpus.to_string(), "-m", &memory_mib.to_string()]);
    qemu.args(["-nodefaults", "-display", "none", "-no-reboot"]);
    qemu.args(["-kernel", &file(disk.join("vmlinuz")), "-initrd", &file(disk.join("initrd.gz"))]);
    qemu.args([
        "-append",
        "console=ttyS0 quiet loglevel=4 panic=-1 edd=off mitigations=off random.trust_cpu=on nowatchdog",
    ]);
    let root =
        format!("file={},if=none,id=root,format=raw,snapshot=on,cache=unsafe", file(disk.join("root.ext4")));
    qemu.args(["-drive", &root, "-device", "virtio-blk-pci,drive=root", "-device", "virtio-rng-pci"]);
    qemu.args(["-serial", &format!("file:{}", file(dir.join("console")))]);
    // The command's output comes through a pipe. qemu's own stdio device would do, had it not taken the end
    // of its input for a disconnected host.
    qemu.args(["-device", "virtio-serial-pci", "-chardev", "file,id=out,path=/proc/self/fd/1"]);
    qemu.args(["-device", "virtserialport,nr=1,chardev=out,name=out"]);
    qemu.args(["-chardev", &format!("file,id=code,path={}", file(dir.join("code")))]);
    qemu.args(["-device", "virtserialport,nr=2,chardev=code,name=code"]);
    qemu.args(["-fw_cfg", &format!("name=opt/hoist/command,file={}", file(dir.join("command")))]);
    // virtiofs works upon memory that both sides share.
    qemu.args(["-object", &format!("memory-backend-memfd,id=memory,size={memory_mib}M,share=on")]);
    qemu.args(["-numa", "node,memdev=memory"]);
    qemu.args(["-chardev", &format!("socket,id=host,path={}", file(dir.join("virtiofs")))]);
    qemu.args(["-device", "vhost-user-fs-pci,chardev=host,tag=host"]);
    qemu.stdin(Stdio::null()).stdout(Stdio::piped());
    qemu
}

/// `None` when the time is up.
fn wait(child: &mut Child, limit: Duration) -> io::Result<Option<ExitStatus>> {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if Instant::now() > deadline {
            return Ok(None);
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn console(dir: &Path) -> String {
    let text = fs::read(dir.join("console")).unwrap_or_default();
    let text = String::from_utf8_lossy(&text).into_owned();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(40)..].join("\n")
}

fn scratch(purpose: &str) -> Result<PathBuf> {
    let dir = std::env::temp_dir().join(format!("hoist-vm-{purpose}-{}", std::process::id()));
    fs::create_dir_all(&dir)?;
    Ok(dir)
}
