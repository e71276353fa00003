//! A small HTTP server on a throwaway host's loopback.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use hoist_tests::Host;

/// How it answers: the path, and how often it was asked for before; nothing to say nothing and keep the connection.
type Answer = dyn Fn(&str, usize) -> Option<Vec<u8>> + Send + Sync;

/// It answers as long as the test runs.
pub(crate) struct Server {
    pub(crate) port: u16,
    asked: Arc<Mutex<BTreeMap<String, usize>>>,
}

impl Server {
    pub(crate) fn start(
        host: &Host,
        answer: impl Fn(&str, usize) -> Option<Vec<u8>> + Send + Sync + 'static,
    ) -> Self {
        let listener = host.inside(|| TcpListener::bind("127.0.0.1:0")).unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked = Arc::<Mutex<BTreeMap<String, usize>>>::default();
        let (log, answer): (_, Arc<Answer>) = (Arc::clone(&asked), Arc::new(answer));
        std::thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                let (log, answer) = (Arc::clone(&log), Arc::clone(&answer));
                std::thread::spawn(move || serve(connection, &log, &*answer));
            }
        });
        Self { port, asked }
    }

    /// How often a path was asked for.
    pub(crate) fn asked(&self, path: &str) -> usize {
        self.asked.lock().unwrap().get(path).copied().unwrap_or(0)
    }
}

fn serve(mut connection: TcpStream, log: &Mutex<BTreeMap<String, usize>>, answer: &Answer) {
    let mut lines = BufReader::new(connection.try_clone().unwrap()).lines();
    let Some(Ok(request)) = lines.next() else { return };
    while lines.next().is_some_and(|line| line.is_ok_and(|line| !line.is_empty())) {}
    let path = request.split(' ').nth(1).unwrap_or("/").to_owned();
    let before = {
        let mut log = log.lock().unwrap();
        let count = log.entry(path.clone()).or_default();
        *count += 1;
        *count - 1
    };
    match answer(&path, before) {
        Some(bytes) => drop(connection.write_all(&bytes)),
        None => while lines.next().is_some_and(|line| line.is_ok()) {},
    }
}

/// An answer with a body.
pub(crate) fn ok(headers: &str, body: &[u8]) -> Option<Vec<u8>> {
    let mut answer =
        format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n{headers}\r\n", body.len())
            .into_bytes();
    answer.extend_from_slice(body);
    Some(answer)
}

/// An answer without one.
pub(crate) fn status(line: &str, headers: &str) -> Option<Vec<u8>> {
    Some(format!("HTTP/1.1 {line}\r\nContent-Length: 0\r\nConnection: close\r\n{headers}\r\n").into_bytes())
}
