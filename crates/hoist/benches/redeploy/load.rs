//! Clients that ask over and over: two keep their connection, two make one for each request.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::site::PORT;
use super::tally::Tally;

/// How long a client waits for a connection, and for the next byte of an answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// After a failure, so that a peer's gap is not counted by how fast this machine can ask.
const BREATH: Duration = Duration::from_millis(5);

const KEEPS: [bool; 4] = [true, true, false, false];

/// The clients that run.
pub(super) struct Load {
    shared: Arc<Shared>,
    clients: Vec<JoinHandle<Tally>>,
}

struct Shared {
    stop: AtomicBool,
    asked: AtomicU64,
    began: Instant,
    /// When the last answer came, and the longest time between two, in nanoseconds since `began`.
    answered: AtomicU64,
    gap: AtomicU64,
}

impl Load {
    pub(super) fn start() -> Self {
        let shared = Arc::new(Shared {
            stop: AtomicBool::new(false),
            asked: AtomicU64::new(0),
            began: Instant::now(),
            answered: AtomicU64::new(0),
            gap: AtomicU64::new(0),
        });
        let start = |keeps| {
            let shared = Arc::clone(&shared);
            thread::spawn(move || Client { shared, keeps, kept: None, tally: Tally::default() }.run())
        };
        let clients = KEEPS.into_iter().map(start).collect();
        Self { shared, clients }
    }

    /// Requests so far.
    pub(super) fn asked(&self) -> u64 {
        self.shared.asked.load(Ordering::Relaxed)
    }

    pub(super) fn end(self) -> Tally {
        self.shared.stop.store(true, Ordering::Relaxed);
        let mut sum = Tally::default();
        for client in self.clients {
            sum += client.join().expect("a client doesn't panic");
        }
        sum.gap = Duration::from_nanos(self.shared.gap.load(Ordering::Relaxed));
        sum
    }
}

impl Shared {
    fn answer(&self) {
        let now = u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let before = self.answered.fetch_max(now, Ordering::Relaxed);
        self.gap.fetch_max(now.saturating_sub(before), Ordering::Relaxed);
    }
}

struct Client {
    shared: Arc<Shared>,
    keeps: bool,
    kept: Option<TcpStream>,
    tally: Tally,
}

/// Why a request failed.
enum Failure {
    /// No connection.
    Refused,
    /// The connection was closed before any byte of the answer.
    Closed,
    /// The answer, or the wait for it, was cut off.
    Cut,
}

impl Client {
    fn run(mut self) -> Tally {
        while !self.shared.stop.load(Ordering::Relaxed) {
            self.tally.requests += 1;
            self.shared.asked.fetch_add(1, Ordering::Relaxed);
            match self.ask() {
                Ok(()) => self.shared.answer(),
                Err(failure) => {
                    match failure {
                        Failure::Refused => self.tally.refused += 1,
                        Failure::Closed | Failure::Cut => self.tally.cut += 1,
                    }
                    thread::sleep(BREATH);
                }
            }
        }
        self.tally
    }

    fn ask(&mut self) -> Result<(), Failure> {
        if let Some(kept) = self.kept.take() {
            match self.exchange(kept) {
                Err(Failure::Closed) => self.tally.retried += 1,
                other => return other,
            }
        }
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, PORT));
        let connected = TcpStream::connect_timeout(&address, PATIENCE);
        let stream = connected.map_err(|_| Failure::Refused)?;
        self.exchange(stream)
    }

    /// One request and its answer; the connection is kept where client and server want it so.
    fn exchange(&mut self, mut stream: TcpStream) -> Result<(), Failure> {
        let close = if self.keeps { "" } else { "Connection: close\r\n" };
        let request = format!("GET / HTTP/1.1\r\nHost: localhost\r\n{close}\r\n");
        let _ = stream.set_nodelay(true);
        let _ = stream.set_read_timeout(Some(PATIENCE));
        stream.write_all(request.as_bytes()).map_err(|_| Failure::Closed)?;
        let goes_on = answer(&mut stream)?;
        self.kept = (self.keeps && goes_on).then_some(stream);
        Ok(())
    }
}

/// Reads one answer; says whether the server keeps the connection.
fn answer(stream: &mut TcpStream) -> Result<bool, Failure> {
    let mut got = Vec::new();
    let mut piece = [0; 4096];
    loop {
        match stream.read(&mut piece) {
            Ok(0) if got.is_empty() => return Err(Failure::Closed),
            Err(error) if got.is_empty() && error.kind() == io::ErrorKind::ConnectionReset => {
                return Err(Failure::Closed);
            }
            Ok(0) | Err(_) => return Err(Failure::Cut),
            Ok(count) => got.extend_from_slice(&piece[..count]),
        }
        if let Some(goes_on) = whole(&got) {
            return Ok(goes_on);
        }
    }
}

/// Whether the connection goes on, once the answer is there with its body.
fn whole(got: &[u8]) -> Option<bool> {
    let head = got.windows(4).position(|end| end == b"\r\n\r\n")?;
    let text = String::from_utf8_lossy(&got[..head]).to_lowercase();
    let length: usize = text.split("content-length: ").nth(1)?.lines().next()?.trim().parse().ok()?;
    (got.len() >= head + 4 + length).then(|| !text.contains("connection: close"))
}
