//! Many short TCP connections, and who accepted each: the two ends of the test of the flip.
//!
//!     connections serve PORT FOLDER                accepts until its stop signal, and a moment longer
//!     connections ask THREADS FOLDER NAME HOST:PORT…  connects to one after the other until FOLDER/end is there
//!
//! A server's name is the moment it began. It tells each client its name and closes; `FOLDER/NAME.told` has the moment
//! of its stop signal. A client keeps, for each server, when it opened the last connection that this server accepted,
//! and writes all of them to `FOLDER/NAME.json`. All moments are nanoseconds of CLOCK_MONOTONIC.

use std::error::Error;
use std::net::{SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use hoist_tests::connections::{Asked, monotonic};
use rustix::net::sockopt::{Timeout, set_socket_linger, set_socket_timeout};
use rustix::net::{AddressFamily, SocketType};
use tokio::signal::unix::{SignalKind, signal};

/// Accepting threads of a server.
const THREADS: usize = 2;
/// How long a server goes on accepting after its stop signal: what reaches it then is what the test is about.
const AFTER_SIGNAL: Duration = Duration::from_millis(30);
/// A connection that nothing comes of is counted as failed.
const PATIENCE: Duration = Duration::from_secs(5);
/// After a refusal: nobody listens yet.
const PAUSE: Duration = Duration::from_millis(1);

/// Below everybody else: the test is about what Hoist does while connections are opened, and not about a starved machine.
const NICE: i32 = 5;

type Done = Result<(), Box<dyn Error>>;

fn main() -> ExitCode {
    let _ = rustix::process::nice(NICE);
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let done = match words[..] {
        ["serve", port, folder] => serve(port, Path::new(folder)),
        ["ask", threads, folder, name, ref targets @ ..] => ask(threads, Path::new(folder), name, targets),
        _ => Err("usage: connections serve PORT FOLDER | ask THREADS FOLDER NAME HOST:PORT…".into()),
    };
    done.map_or_else(
        |error| {
            eprintln!("connections: {error}");
            ExitCode::FAILURE
        },
        |()| ExitCode::SUCCESS,
    )
}

fn serve(port: &str, folder: &Path) -> Done {
    let name = monotonic();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        // Before anybody connects, so that no signal ends the program without a word.
        let mut told = signal(SignalKind::terminate())?;
        let listener = TcpListener::bind((std::net::Ipv4Addr::UNSPECIFIED, port.parse()?))?;
        for _ in 0..THREADS {
            let listener = listener.try_clone()?;
            std::thread::spawn(move || accept(&listener, name));
        }
        told.recv().await;
        let told = monotonic();
        tokio::time::sleep(AFTER_SIGNAL).await;
        std::fs::write(folder.join(format!("{name}.told")), told.to_string())?;
        Ok(())
    })
}

fn accept(listener: &TcpListener, name: u64) {
    loop {
        if let Ok((mut client, _)) = listener.accept() {
            let _ = std::io::Write::write_all(&mut client, &name.to_be_bytes());
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "this program is linked dynamically")]
fn ask(threads: &str, folder: &Path, name: &str, targets: &[&str]) -> Done {
    let address = |target: &&str| target.to_socket_addrs().ok()?.find(SocketAddr::is_ipv4);
    let targets: Option<Arc<[SocketAddr]>> = targets.iter().map(address).collect();
    let targets = targets.filter(|targets| !targets.is_empty()).ok_or("a target has no IPv4 address")?;
    let end = folder.join("end");
    let asking: Vec<_> = (0..threads.parse::<usize>()?)
        .map(|_| {
            let (end, targets) = (end.clone(), Arc::clone(&targets));
            std::thread::spawn(move || connect_until(&targets, &end))
        })
        .collect();
    let began = monotonic();
    let mut all = Asked::default();
    for thread in asking {
        all.add(thread.join().map_err(|_| "a thread panicked")?);
    }
    all.nanoseconds = monotonic() - began;
    std::fs::write(folder.join(format!("{name}.json")), serde_json::to_vec(&all)?)?;
    Ok(())
}

fn connect_until(targets: &[SocketAddr], end: &Path) -> Asked {
    let mut asked = Asked::default();
    while !end.exists() {
        for target in targets.iter().cycle().take(100) {
            let opened = monotonic();
            match connect(*target) {
                Ok(server) => asked.accepted.entry(server).or_default().note(opened),
                Err(_) => {
                    asked.failed += 1;
                    std::thread::sleep(PAUSE);
                }
            }
        }
    }
    asked
}

/// One connection; says who accepted it. It is reset at its end, so that its port is free at once.
fn connect(target: SocketAddr) -> std::io::Result<u64> {
    let socket = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None)?;
    set_socket_timeout(&socket, Timeout::Send, Some(PATIENCE))?;
    set_socket_timeout(&socket, Timeout::Recv, Some(PATIENCE))?;
    set_socket_linger(&socket, Some(Duration::ZERO))?;
    rustix::net::connect(&socket, &target)?;
    let mut server = TcpStream::from(socket);
    let mut name = [0; 8];
    std::io::Read::read_exact(&mut server, &mut name)?;
    Ok(u64::from_be_bytes(name))
}
