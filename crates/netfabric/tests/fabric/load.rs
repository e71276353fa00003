//! Many short connections and datagrams at once, as flips meet them, and what became of each.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use hoist_netfabric::Protocol;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::harness::{Ns, eventually};

/// A SYN that was lost is sent again after a second: whoever waited nearly so long met a loss.
const LOST: Duration = Duration::from_millis(950);
/// How long a client waits for an answer.
const PATIENCE: Duration = Duration::from_secs(4);

/// Clients that ask until they are told to stop.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    asked: Arc<AtomicU64>,
    clients: Vec<JoinHandle<Tally>>,
}

/// What became of one client's requests.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) asked: u64,
    /// In words: who, and what happened.
    pub(crate) failed: Vec<String>,
    /// Answered, but only after something was sent again.
    pub(crate) late: Vec<String>,
}

impl Load {
    pub(crate) fn new() -> Self {
        Self { stop: Arc::default(), asked: Arc::default(), clients: Vec::new() }
    }

    /// A client that opens a connection for each request.
    pub(crate) fn connections(&mut self, ns: &Ns, address: &str) {
        let to: SocketAddr = address.parse().unwrap();
        self.client(ns, address, move || connect_and_ask(to));
    }

    /// A client that sends one datagram after the other from one socket, each answered before the next.
    pub(crate) fn datagrams(&mut self, ns: &Ns, address: &str) {
        let socket = ns.udp(address);
        socket.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
        let mut number = 0_u64;
        self.client(ns, address, move || {
            number += 1;
            echo(&socket, number)
        });
    }

    fn client(&mut self, ns: &Ns, name: &str, mut ask: impl FnMut() -> io::Result<()> + Send + 'static) {
        let (ns, name, stop, asked) =
            (ns.clone(), name.to_owned(), Arc::clone(&self.stop), Arc::clone(&self.asked));
        self.clients.push(thread::spawn(move || {
            move_into_link_name_space(ns.fd(), Some(LinkNameSpaceType::Network)).unwrap();
            let mut tally = Tally::default();
            while !stop.load(Ordering::Relaxed) {
                let began = Instant::now();
                let outcome = ask();
                let took = began.elapsed();
                tally.asked += 1;
                asked.fetch_add(1, Ordering::Relaxed);
                match outcome {
                    Err(error) => tally.failed.push(format!("{name} after {took:?}: {error}")),
                    Ok(()) if took > LOST => tally.late.push(format!("{name}: {took:?}")),
                    Ok(()) => {}
                }
                // Flips must get their turn on a busy machine.
                thread::sleep(Duration::from_millis(1));
            }
            tally
        }));
    }

    /// Waits until so many more requests were answered.
    pub(crate) fn go_on(&self, requests: u64) {
        let until = self.asked.load(Ordering::Relaxed) + requests;
        let end = Instant::now() + PATIENCE;
        while self.asked.load(Ordering::Relaxed) < until && Instant::now() < end {
            thread::sleep(Duration::from_micros(200));
        }
    }

    /// Ends all clients, and adds up.
    pub(crate) fn end(self) -> Tally {
        self.stop.store(true, Ordering::Relaxed);
        let mut sum = Tally::default();
        for client in self.clients {
            let tally = client.join().unwrap();
            sum.asked += tally.asked;
            sum.failed.extend(tally.failed);
            sum.late.extend(tally.late);
        }
        println!("{} requests, {} failed, {} late", sum.asked, sum.failed.len(), sum.late.len());
        sum
    }
}

impl Tally {
    /// Every request was answered, and none waited for something to be sent again.
    #[track_caller]
    pub(crate) fn is_clean(&self) {
        assert!(self.asked > 0, "nobody asked");
        assert!(self.failed.is_empty() && self.late.is_empty(), "{self:#?}");
    }
}

fn connect_and_ask(to: SocketAddr) -> io::Result<()> {
    let mut stream = TcpStream::connect_timeout(&to, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(b"?")?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    if answer.is_empty() { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
}

/// Waits until an instance is reached at an address of its own: of a new one the kernel finishes IPv6 on a work queue, which
/// on a busy machine takes its time.
pub(crate) fn reached(ns: &Ns, address: &str, over: Protocol) {
    let to: SocketAddr = address.parse().unwrap();
    let ask = || match over {
        Protocol::Tcp => {
            ns.enter(|| TcpStream::connect_timeout(&to, Duration::from_millis(100))).and_then(|mut stream| {
                stream.write_all(b"?")?;
                stream.read_exact(&mut [0])
            })
        }
        Protocol::Udp => {
            let socket = ns.udp(address);
            socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
            echo(&socket, 0)
        }
    };
    eventually("the instance is reached", || ask().is_ok());
}

/// An answer to an earlier datagram, which was given up, is none to this one.
fn echo(socket: &UdpSocket, number: u64) -> io::Result<()> {
    socket.send(&number.to_be_bytes())?;
    let mut buffer = [0; 16];
    loop {
        let length = socket.recv(&mut buffer)?;
        if buffer[..length] == number.to_be_bytes() {
            return Ok(());
        }
    }
}

/// A server that answers each request and closes the connection; it listens no more once dropped.
pub(crate) struct Server {
    listener: Arc<TcpListener>,
    serving: Option<JoinHandle<()>>,
}

impl Server {
    pub(crate) fn start(ns: &Ns, address: &str) -> Self {
        let listener = Arc::new(ns.enter(|| TcpListener::bind(address)).unwrap());
        let own = Arc::clone(&listener);
        let serving = thread::spawn(move || {
            while let Ok((stream, _)) = own.accept() {
                let _ = answer(stream);
            }
        });
        Self { listener, serving: Some(serving) }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Wakes who waits in accept(2), too.
        let _ = rustix::net::shutdown(&*self.listener, rustix::net::Shutdown::Both);
        self.serving.take().map(JoinHandle::join);
    }
}

fn answer(mut stream: TcpStream) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut request = [0; 1];
    stream.read_exact(&mut request)?;
    // As long as a program may take: between request and answer a lost translation shows.
    thread::sleep(Duration::from_millis(3));
    stream.write_all(b"!")
}

/// A UDP server that sends everything back; it ends once dropped.
pub(crate) struct Echo {
    stop: Arc<AtomicBool>,
    serving: Option<JoinHandle<()>>,
}

impl Echo {
    pub(crate) fn start(ns: &Ns, address: &str) -> Self {
        let socket = ns.enter(|| UdpSocket::bind(address)).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(10))).unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&stop);
        let serving = thread::spawn(move || {
            let mut buffer = [0; 64];
            while !told.load(Ordering::Relaxed) {
                if let Ok((length, peer)) = socket.recv_from(&mut buffer) {
                    let _ = socket.send_to(&buffer[..length], peer);
                }
            }
        });
        Self { stop, serving: Some(serving) }
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.serving.take().map(JoinHandle::join);
    }
}
