//! A throwaway host, its outside, its fabric, and instances that are only namespaces.

use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Command, Output};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use hoist_netfabric::{
    AttachRequest, Attachment, Converged, Fabric, FabricConfig, FabricSpec, HostEnd, LinkName, Network,
    NetworkId, PublishedPort, Range, ServiceAddress, Tag,
};
use rustix::mount::{MountPropagationFlags, mount_change};
use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space, unshare_unsafe};

/// Long enough for a loaded machine; nothing waits this long when all is well.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);

/// Says why a test doesn't run, in the form that the test command counts.
pub(crate) fn skipped(test: &str, reason: &str) {
    println!("{test}: skipped, because {reason}");
}

/// Whether the tests can run at all; tells when not.
pub(crate) fn ready(test: &str, tools: &[&str]) -> bool {
    if !rustix::process::geteuid().is_root() {
        skipped(test, "it needs root");
        return false;
    }
    for tool in tools {
        let found = Command::new("sh").args(["-c", &format!("command -v {tool}")]).output();
        if !found.is_ok_and(|output| output.status.success()) {
            skipped(test, &format!("there is no {tool}"));
            return false;
        }
    }
    true
}

/// A network namespace.
#[derive(Clone)]
pub(crate) struct Ns(Arc<OwnedFd>);

impl Ns {
    pub(crate) fn new() -> Self {
        let made = thread::spawn(|| {
            // SAFETY: only this thread changes namespace, and it ends here.
            unsafe { unshare_unsafe(UnshareFlags::NEWNET) }.unwrap();
            Self::current()
        });
        made.join().unwrap()
    }

    pub(crate) fn current() -> Self {
        Self(Arc::new(std::fs::File::open("/proc/thread-self/ns/net").unwrap().into()))
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    /// Runs something on a thread inside; sockets opened there stay usable.
    pub(crate) fn enter<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        thread::scope(|scope| {
            let thread = scope.spawn(|| {
                move_into_link_name_space(self.fd(), Some(LinkNameSpaceType::Network)).unwrap();
                work()
            });
            thread.join().unwrap()
        })
    }

    pub(crate) fn output(&self, command: &str) -> Output {
        let fd = self.0.as_raw_fd();
        let mut shell = Command::new("sh");
        shell.args(["-c", command]);
        // SAFETY: between fork and exec only one system call is made, on a descriptor that stays open.
        unsafe {
            shell.pre_exec(move || {
                let fd = BorrowedFd::borrow_raw(fd);
                Ok(move_into_link_name_space(fd, Some(LinkNameSpaceType::Network))?)
            });
        }
        shell.output().unwrap()
    }

    /// Runs a command that must succeed, and returns what it printed.
    pub(crate) fn run(&self, command: &str) -> String {
        let output = self.output(command);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert!(output.status.success(), "{command}: {}{}", text(&output.stdout), text(&output.stderr));
        text(&output.stdout)
    }

    pub(crate) fn succeeds(&self, command: &str) -> bool {
        self.output(command).status.success()
    }

    /// Starts a TCP server that tells `NAME PEER` and then echoes.
    pub(crate) fn serve(&self, name: &str, address: &str) {
        let listener = self.enter(|| TcpListener::bind(address)).unwrap();
        let name = name.to_owned();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { return };
                let name = name.clone();
                thread::spawn(move || -> io::Result<()> {
                    writeln!(stream, "{name} {}", stream.peer_addr()?.ip())?;
                    let mut buffer = [0; 256];
                    loop {
                        let length = stream.read(&mut buffer)?;
                        if length == 0 {
                            return Ok(());
                        }
                        stream.write_all(&buffer[..length])?;
                    }
                });
            }
        });
    }

    /// Starts a UDP server that answers `NAME PEER`.
    pub(crate) fn serve_udp(&self, name: &str, address: &str) {
        let socket = self.enter(|| UdpSocket::bind(address)).unwrap();
        let name = name.to_owned();
        thread::spawn(move || {
            let mut buffer = [0; 64];
            while let Ok((_, peer)) = socket.recv_from(&mut buffer) {
                let _ = socket.send_to(format!("{name} {}", peer.ip()).as_bytes(), peer);
            }
        });
    }

    pub(crate) fn connect(&self, address: &str) -> io::Result<TcpStream> {
        self.connect_within(address, PATIENCE)
    }

    pub(crate) fn connect_within(&self, address: &str, patience: Duration) -> io::Result<TcpStream> {
        let address: SocketAddr = address.parse().unwrap();
        let stream = self.enter(|| TcpStream::connect_timeout(&address, patience))?;
        stream.set_read_timeout(Some(patience))?;
        Ok(stream)
    }

    /// Connects, and returns what the server tells: its name and whom it sees.
    pub(crate) fn ask(&self, address: &str) -> io::Result<String> {
        greeting(&mut self.connect(address)?)
    }

    /// A UDP socket with a fixed peer.
    pub(crate) fn udp(&self, address: &str) -> UdpSocket {
        let any = if address.starts_with('[') { "[::]:0" } else { "0.0.0.0:0" };
        let socket = self.enter(|| UdpSocket::bind(any)).unwrap();
        socket.connect(address).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
        socket
    }
}

/// Reads a server's first line.
pub(crate) fn greeting(stream: &mut TcpStream) -> io::Result<String> {
    let mut line = String::new();
    let mut byte = [0];
    while stream.read(&mut byte)? == 1 && byte[0] != b'\n' {
        line.push(char::from(byte[0]));
    }
    Ok(line)
}

/// Sends one datagram and returns the answer.
pub(crate) fn datagram(socket: &UdpSocket) -> io::Result<String> {
    socket.send(b"?")?;
    let mut buffer = [0; 64];
    let length = socket.recv(&mut buffer)?;
    Ok(String::from_utf8_lossy(&buffer[..length]).into_owned())
}

/// Waits until something holds.
pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < end, "never: {what}");
        thread::sleep(Duration::from_millis(10));
    }
}

/// A host: the calling thread moves there and stays.
pub(crate) struct Host {
    pub(crate) ns: Ns,
    pub(crate) outside: Ns,
    folder: tempfile::TempDir,
}

impl Drop for Host {
    /// A folder that something is mounted in can't be removed.
    fn drop(&mut self) {
        for entry in std::fs::read_dir(self.folder.path()).into_iter().flatten().flatten() {
            let _ = rustix::mount::unmount(entry.path().join("netns"), rustix::mount::UnmountFlags::DETACH);
        }
    }
}

impl Host {
    /// A host that is connected to nothing.
    pub(crate) fn alone() -> Self {
        // SAFETY: the calling thread is a test's own; what it starts inherits both namespaces.
        unsafe { unshare_unsafe(UnshareFlags::NEWNET | UnshareFlags::NEWNS) }.unwrap();
        mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC).unwrap();
        let host = Self { ns: Ns::current(), outside: Ns::new(), folder: tempfile::tempdir().unwrap() };
        host.ns.run("ip link set lo up");
        host
    }

    /// `198.51.100.1` is the host, `198.51.100.2` is outside; the same with `2001:db8::`.
    pub(crate) fn new() -> Self {
        let host = Self::alone();
        let outside = host.outside.fd().as_raw_fd();
        host.outside.run("ip link set lo up");
        host.ns.run(&format!(
            "ip link add ext0 type veth peer name ext0 netns /proc/{}/fd/{outside}",
            std::process::id()
        ));
        for (ns, own) in [(&host.ns, "1"), (&host.outside, "2")] {
            ns.run(&format!(
                "ip addr add 198.51.100.{own}/24 dev ext0; ip addr add 2001:db8::{own}/64 dev ext0 nodad; \
                 ip link set ext0 up"
            ));
        }
        host.ns.run("ip route add default via 198.51.100.2; ip -6 route add default via 2001:db8::2");
        host
    }

    pub(crate) fn config(&self, tag: &str) -> FabricConfig {
        // Fabrics of one host need ranges of their own.
        let number = tag.bytes().map(u32::from).sum::<u32>() % 60;
        FabricConfig {
            netns_path: self.folder.path().join(tag).join("netns"),
            tag: Tag::new(tag).unwrap(),
            uplink4: format!("10.213.{number}.0/30").parse().unwrap(),
            uplink6: Some(format!("fd13:{number}::/126").parse().unwrap()),
            services4: format!("10.214.{number}.0/24").parse().unwrap(),
            services6: Some(format!("fd14:{number}::/64").parse().unwrap()),
            mtu: 1500,
        }
    }

    /// Everything the kernel tells about this host that a fabric could leave behind.
    pub(crate) fn listing(&self) -> String {
        let mut listing = self.ns.run(
            "ip -o link | sed 's/@[^:]*//; s/link-netns[^ ]*//' | grep -v ext0; ip -o addr | grep -v ext0; \
             ip route show table all | grep -v ext0; ip -6 route show table all | grep -v ext0; nft list ruleset; \
             ip netns list-id | wc -l",
        );
        let mounts = std::fs::read_to_string("/proc/thread-self/mounts").unwrap();
        listing.extend(mounts.lines().filter(|line| line.contains("nsfs")));
        listing
    }
}

/// A host with one fabric and a spec that tests change.
pub(crate) struct World {
    pub(crate) host: Host,
    pub(crate) fabric: Arc<Fabric>,
    pub(crate) spec: FabricSpec,
    instances: u32,
}

/// An instance that is only a namespace.
pub(crate) struct Instance {
    pub(crate) ns: Ns,
    end: HostEnd,
    pub(crate) v4: String,
    pub(crate) v6: String,
}

impl World {
    /// With networks `a` (10.1.1.0/24), `b` (10.1.2.0/24) and `inner` (10.1.3.0/24, internal).
    pub(crate) fn new() -> Self {
        let host = Host::new();
        let fabric = Arc::new(Fabric::open(host.config("t")).unwrap());
        let mut world = Self { spec: spec(fabric.config()), host, fabric, instances: 0 };
        world.converge();
        world
    }

    pub(crate) fn converge(&mut self) -> Converged {
        self.fabric.converge(&self.spec).unwrap()
    }

    /// Starts an instance `10.1.<network>.<n>`, where n counts from 2 over all networks.
    pub(crate) fn instance(&mut self, network: &str) -> Instance {
        self.router(network, &[])
    }

    /// The same for one that routes ranges.
    pub(crate) fn router(&mut self, network: &str, sources: &[&str]) -> Instance {
        self.instances += 1;
        self.attached(network, self.instances + 1, sources)
    }

    /// Starts an instance `10.1.<network>.<number>`, which may be an address that one before it had.
    pub(crate) fn instance_at(&mut self, network: &str, number: u32) -> Instance {
        self.instances += 1;
        self.attached(network, number, &[])
    }

    fn attached(&self, network: &str, number: u32, sources: &[&str]) -> Instance {
        let ns = Ns::new();
        let range4 = range(&self.spec.networks[&NetworkId::new(network)], true);
        let range6 = range(&self.spec.networks[&NetworkId::new(network)], false);
        let v4 = nth(range4.subnet.network(), number);
        let v6 = nth(range6.subnet.network(), number);
        let attachments = [Attachment {
            network: NetworkId::new(network),
            ifname: LinkName::new("eth0").unwrap(),
            mac: None,
            addresses: vec![v4, v6],
            default_route: true,
            sources: sources.iter().map(|range| range.parse().unwrap()).collect(),
        }];
        let request = AttachRequest {
            netns: ns.fd(),
            instance: &format!("i{}", self.instances),
            networks: &self.spec.networks,
            attachments: &attachments,
        };
        self.fabric.attach(&request).unwrap();
        let end = HostEnd::new(&format!("i{}", self.instances), 0).unwrap();
        Instance { ns, end, v4: v4.to_string(), v6: v6.to_string() }
    }

    /// An instance is gone with its link, and its flows are ended: others may have its addresses.
    pub(crate) fn remove(&self, instance: Instance) {
        self.fabric.detach(&instance.end).unwrap();
        let addresses = [&instance.v4, &instance.v6].map(|address| address.parse().unwrap());
        drop(instance);
        self.fabric.forget_instance(&addresses).unwrap();
    }

    /// Switches a network's check of sources.
    pub(crate) fn check_sources(&mut self, network: &str, check: bool) {
        self.spec.networks.get_mut(&NetworkId::new(network)).unwrap().source_check = check;
        self.converge();
    }

    /// Runs a command in the fabric's namespace.
    pub(crate) fn in_fabric(&self, command: &str) -> String {
        self.fabric_ns().run(command)
    }

    /// The fabric's namespace.
    pub(crate) fn fabric_ns(&self) -> Ns {
        Ns(Arc::new(self.fabric.netns().try_clone_to_owned().unwrap()))
    }

    /// Declares a service in a network; its address has the number `n` in the network's range.
    pub(crate) fn service(&mut self, network: &str, n: u32, backends: &[&Instance]) -> Service {
        let networks = &self.spec.networks[&NetworkId::new(network)];
        let address = |v4| nth(range(networks, v4).services.unwrap().network(), n);
        let addresses = vec![address(true), address(false)];
        let service = Service { v4: addresses[0].to_string(), v6: addresses[1].to_string() };
        self.spec.service_addresses.retain(|other| other.addresses != addresses);
        self.spec.service_addresses.push(ServiceAddress {
            network: NetworkId::new(network),
            addresses,
            backends: backends
                .iter()
                .flat_map(|instance| [instance.v4.parse().unwrap(), instance.v6.parse().unwrap()])
                .collect(),
            held: false,
        });
        self.converge();
        service
    }

    pub(crate) fn publish(&mut self, port: PublishedPort) {
        self.spec.ports.push(port);
        self.converge();
    }
}

/// A service's addresses.
pub(crate) struct Service {
    pub(crate) v4: String,
    pub(crate) v6: String,
}

/// Networks `a`, `b` and `inner`.
pub(crate) fn spec(config: &FabricConfig) -> FabricSpec {
    let mut spec = FabricSpec::default();
    for (number, name, internal) in [(1_u8, "a", false), (2, "b", false), (3, "inner", true)] {
        let services4 = nth(config.services4.network().into(), u32::from(number) * 32);
        let services6 = match config.services6.unwrap().network().segments() {
            [a, b, c, d, ..] => format!("{a:x}:{b:x}:{c:x}:{d:x}:{number}::/80"),
        };
        let ranges = vec![
            Range {
                subnet: format!("10.1.{number}.0/24").parse().unwrap(),
                gateway: format!("10.1.{number}.1").parse().unwrap(),
                services: Some(format!("{services4}/27").parse().unwrap()),
            },
            Range {
                subnet: format!("fd01:{number}::/64").parse().unwrap(),
                gateway: format!("fd01:{number}::1").parse().unwrap(),
                services: Some(services6.parse().unwrap()),
            },
        ];
        let network = Network {
            bridge: LinkName::new(format!("br-{name}")).unwrap(),
            further: vec![LinkName::new(format!("b2-{name}")).unwrap()],
            ranges,
            internal,
            mtu: 1500,
            icc: true,
            source_check: true,
        };
        spec.networks.insert(NetworkId::new(name), network);
    }
    spec
}

fn range(network: &Network, v4: bool) -> Range {
    network.ranges.iter().find(|range| range.subnet.is_ipv4() == v4).unwrap().clone()
}

fn nth(base: IpAddr, n: u32) -> IpAddr {
    match base {
        IpAddr::V4(base) => IpAddr::from((u32::from(base) + n).to_be_bytes()),
        IpAddr::V6(base) => IpAddr::from((u128::from(base) + u128::from(n)).to_be_bytes()),
    }
}
