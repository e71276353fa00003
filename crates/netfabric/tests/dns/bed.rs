//! Three kinds of throw-away network namespaces: a host's, a fabric's with two networks, and those of
//! instances. The server runs as a process of its own: this executable, started again.

use std::io::{BufRead, BufReader, Write};
use std::net::{IpAddr, TcpStream, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use hoist_netfabric::dns::{Config, DnsSockets, Resolvers, Zone, bind_sockets, serve};
use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space, unshare_unsafe};

/// The environment variables that make this executable a server: descriptors, zone, resolv.conf, the fabric.
const SERVE: [&str; 4] = ["DNS_TEST_DESCRIPTORS", "DNS_TEST_ZONE", "DNS_TEST_RESOLV_CONF", "DNS_TEST_FABRIC"];

/// How long anything may take before a test fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A network namespace, gone with its last descriptor.
pub(crate) struct Namespace(OwnedFd);

impl Namespace {
    pub(crate) fn new() -> Self {
        let fresh = || {
            // SAFETY: the thread shares its descriptors with the process and ends after this.
            unsafe { unshare_unsafe(UnshareFlags::NEWNET) }.unwrap();
            OwnedFd::from(std::fs::File::open("/proc/thread-self/ns/net").unwrap())
        };
        let namespace = Self(std::thread::spawn(fresh).join().unwrap());
        namespace.ip(&["link set lo up"]);
        namespace
    }

    /// Runs `f` on a thread inside.
    pub(crate) fn inside<T: Send>(&self, f: impl FnOnce() -> T + Send) -> T {
        let enter = || {
            move_into_link_name_space(self.0.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
            f()
        };
        std::thread::scope(|scope| scope.spawn(enter).join())
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    /// What `program` prints, run inside. It may fail: what it prints then is judged.
    pub(crate) fn output(&self, program: &str, arguments: &[&str]) -> String {
        let output = self.inside(|| Command::new(program).args(arguments).output().unwrap());
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
    }

    pub(crate) fn dig(&self, arguments: &str) -> String {
        let arguments: Vec<&str> = arguments.split_whitespace().collect();
        self.output("dig", &arguments).trim().to_owned()
    }

    pub(crate) fn udp(&self) -> UdpSocket {
        let socket = self.inside(|| UdpSocket::bind("0.0.0.0:0").unwrap());
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        // A busy machine may let answers pile up: what is lost must be lost by the server.
        rustix::net::sockopt::set_socket_recv_buffer_size_force(&socket, 4 << 20).unwrap();
        socket
    }

    pub(crate) fn tcp(&self, server: &str) -> TcpStream {
        let stream = self.inside(|| TcpStream::connect((server, 53)).unwrap());
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    fn ip(&self, commands: &[&str]) {
        let batch = || {
            let mut ip = Command::new("ip").args(["-batch", "-"]).stdin(Stdio::piped()).spawn().unwrap();
            ip.stdin.take().unwrap().write_all((commands.join("\n") + "\n").as_bytes()).unwrap();
            assert!(ip.wait().unwrap().success(), "{commands:?}");
        };
        self.inside(batch);
    }

    fn path(&self) -> String {
        format!("/proc/{}/fd/{}", std::process::id(), self.0.as_raw_fd())
    }
}

/// A running server.
pub(crate) struct Server {
    child: Child,
    notices: Receiver<String>,
}

impl Server {
    /// Waits for a line on stderr that contains `text`.
    pub(crate) fn wait_for_notice(&self, text: &str) {
        while !self.notices.recv_timeout(PATIENCE).unwrap().contains(text) {}
    }

    /// SIGKILL.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(crate) fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.child.id())).unwrap().count()
    }

    /// Memory of its own, in KiB: what of the executable is mapped does not count.
    pub(crate) fn anonymous_memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Already gone after `kill`.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// The whole arrangement: networks front (10.1.0.0/24, fd00:1::/64) and back (10.2.0.0/24), a host
/// with an address on the link to the fabric (10.255.0.1), and instances.
pub(crate) struct Bed {
    pub(crate) host: Namespace,
    fabric: Namespace,
    /// Attached to front and back.
    pub(crate) web: Namespace,
    /// Attached to back only.
    pub(crate) db: Namespace,
    /// On the front bridge, unknown to the zone.
    pub(crate) stranger: Namespace,
    sockets: DnsSockets,
    directory: tempfile::TempDir,
}

impl Bed {
    pub(crate) fn new(zone: &Zone) -> Self {
        let [host, fabric, web, db, stranger] = std::array::from_fn(|_| Namespace::new());
        fabric.ip(&[
            "link add front type bridge",
            "link add back type bridge",
            "address add 10.1.0.1/24 dev front",
            "address add fd00:1::1/64 dev front nodad",
            "address add 10.2.0.1/24 dev back",
            "link set front up",
            "link set back up",
            &format!("link add uplink type veth peer name fabric netns {}", host.path()),
            "address add 10.255.0.2/30 dev uplink",
            "link set uplink up",
        ]);
        host.ip(&[
            "address add 10.255.0.1/30 dev fabric",
            "link set fabric up",
            "route add 10.1.0.0/24 via 10.255.0.2",
        ]);
        attach(&fabric, "front", &web, &["10.1.0.2/24", "fd00:1::2/64"]);
        attach(&fabric, "back", &db, &["10.2.0.3/24"]);
        attach(&fabric, "front", &stranger, &["10.1.0.99/24"]);
        web.ip(&["route add default via 10.1.0.1"]);
        let sockets = bind_sockets(fabric.0.as_fd()).unwrap();
        let directory = tempfile::tempdir().unwrap();
        let bed = Self { host, fabric, web, db, stranger, sockets, directory };
        bed.write_zone(zone);
        bed.write_resolv_conf(&[]);
        bed
    }

    pub(crate) fn write_zone(&self, zone: &Zone) {
        zone.write(&self.zone_path()).unwrap();
    }

    pub(crate) fn zone_path(&self) -> PathBuf {
        self.directory.path().join("zone.json")
    }

    /// The host's resolvers.
    pub(crate) fn write_resolv_conf(&self, servers: &[&str]) {
        let text: String = servers.iter().map(|server| format!("nameserver {server}\n")).collect();
        std::fs::write(self.directory.path().join("resolv.conf"), text).unwrap();
    }

    /// Starts a server on the sockets everybody keeps, and waits until it has read the zone.
    pub(crate) fn serve(&self) -> Server {
        let server = self.spawn();
        server.wait_for_notice("ZoneLoaded");
        server
    }

    pub(crate) fn spawn(&self) -> Server {
        // Duplicates that survive exec; this process keeps its own.
        let handed: Vec<OwnedFd> =
            self.sockets.descriptors().map(|fd| rustix::io::dup(fd).unwrap()).collect();
        let numbers: Vec<String> = handed.iter().map(|fd| fd.as_raw_fd().to_string()).collect();
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args(["--exact", "serve_when_asked", "--nocapture"])
            .env(SERVE[0], numbers.join(","))
            .env(SERVE[1], self.zone_path())
            .env(SERVE[2], self.directory.path().join("resolv.conf"))
            .env(SERVE[3], self.fabric.path())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut child = self.host.inside(|| command.spawn().unwrap());
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (sender, notices) = channel();
        std::thread::spawn(move || {
            stderr.lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
        });
        Server { child, notices }
    }
}

fn attach(fabric: &Namespace, bridge: &str, instance: &Namespace, addresses: &[&str]) {
    // An interface of the fabric gets its name from the instance's descriptor: unique, and short.
    let veth = format!("veth{}", instance.0.as_raw_fd());
    fabric.ip(&[
        &format!("link add {veth} type veth peer name eth0 netns {}", instance.path()),
        &format!("link set {veth} master {bridge} up"),
    ]);
    // An address still being checked for duplicates can't be used yet; IPv4 has no such check.
    let nodad = |address: &str| if address.contains(':') { "nodad" } else { "" };
    let addresses = addresses.iter().map(|a| format!("address add {a} dev eth0 {}", nodad(a)));
    let commands: Vec<String> = addresses.chain(["link set eth0 up".to_owned()]).collect();
    instance.ip(&commands.iter().map(String::as_str).collect::<Vec<_>>());
}

/// Becomes the server, in the process that [`Bed::spawn`] starts.
pub(crate) fn serve_if_asked() {
    let [Ok(descriptors), Ok(zone), Ok(resolv_conf), Ok(fabric)] = SERVE.map(std::env::var) else { return };
    let descriptors = descriptors.split(',').map(|number| {
        // SAFETY: the process was started with these descriptors open, and nothing else knows them.
        unsafe { OwnedFd::from_raw_fd(number.parse().unwrap()) }
    });
    let sockets = DnsSockets::from_descriptors(descriptors).unwrap();
    let resolvers = Resolvers::File(resolv_conf.into());
    let config = Config { zone: zone.into(), resolvers, fabric: Some(fabric.into()) };
    let Err(error) = serve(sockets, config, |notice| eprintln!("{notice:?}"));
    panic!("{error}");
}

/// Whether what the tests here need is there; if not, says that the test is skipped.
pub(crate) fn can_run(test: &str) -> bool {
    let missing = ["dig", "ip", "busybox"].into_iter().find(|program| !is_installed(program));
    match (rustix::process::geteuid().is_root(), missing) {
        (true, None) => return true,
        (false, _) => println!("skipped, because it needs root: {test}"),
        (_, Some(program)) => println!("skipped, because {program} is not installed: {test}"),
    }
    false
}

fn is_installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).chain([Path::new("/usr/sbin").into()]).any(|dir| dir.join(program).exists())
}

pub(crate) fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}
