//! One run of a check that needs no program inside the instance: connections come from the fabric's namespace, as those
//! of other services do; sockets in a file system are reached through the instance's root. No thread waits for an answer.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::AsRawFd;
use std::time::Duration;

use hoist_model::{InstanceUid, NativeProbe, NetworkMode};
use hoist_netfabric::Protocol;
use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream, UnixStream};

use crate::host::Host;
use crate::instances::probe_run::Probed;
use crate::instances::watches;

/// So much of an answer is read at most.
const ANSWER: usize = 4096;

/// Makes a check.
pub(crate) async fn run(host: &Host, uid: InstanceUid, probe: &NativeProbe, timeout: Duration) -> Probed {
    match tokio::time::timeout(timeout, check(host, uid, probe)).await {
        Ok(Ok(said)) => Probed::Ended(0, said),
        Ok(Err(Failure::OfInstance(why))) => Probed::Refused(why),
        Ok(Err(Failure::OfHost(why))) => {
            tracing::debug!(instance = %uid.short(), "probe: {why}");
            Probed::Unknown
        }
        Err(_) => Probed::TooLong(String::new()),
    }
}

enum Failure {
    /// The check has failed.
    OfInstance(String),
    /// It couldn't be made, and the instance is not to blame.
    OfHost(String),
}

async fn check(host: &Host, uid: InstanceUid, probe: &NativeProbe) -> Result<String, Failure> {
    match probe {
        NativeProbe::Tcp { port } => {
            connect(host, uid, *port).await.map(|_| format!("port {port} accepts connections"))
        }
        NativeProbe::Http { port, path, headers, status } => {
            let stream = connect(host, uid, *port).await?;
            let asked = ask(stream, path, headers).await;
            let answer = asked.map_err(|error| Failure::OfInstance(format!("GET {path}: {error}")))?;
            judge(path, &answer, status)
        }
        NativeProbe::Unix { path } => unix(host, uid, path).await,
        NativeProbe::Listen { port } => listens(host, uid, *port).await,
    }
}

fn process(host: &Host, uid: InstanceUid) -> Result<i32, Failure> {
    let running = host.running(uid).map(|(_, pid)| pid);
    running.ok_or_else(|| Failure::OfHost("the instance is not known to run".to_owned()))
}

/// Where an instance is reached: in the host's network on loopback, else at its first address, IPv4 before IPv6.
fn address(host: &Host, uid: InstanceUid) -> Result<(IpAddr, bool), Failure> {
    let Some((template, _)) = host.running(uid) else {
        return Err(Failure::OfHost("the instance is not known to run".to_owned()));
    };
    if template.service.network_mode == NetworkMode::Host {
        return Ok((IpAddr::V4(Ipv4Addr::LOCALHOST), false));
    }
    let report = host.known().report;
    let seen = report.as_ref().and_then(|report| report.instances.get(&uid));
    let addresses = seen.into_iter().flat_map(|seen| seen.addresses.values().flatten().copied());
    let first = addresses.min_by_key(IpAddr::is_ipv6);
    first.map(|ip| (ip, true)).ok_or_else(|| Failure::OfInstance("it has no address".to_owned()))
}

async fn connect(host: &Host, uid: InstanceUid, port: u16) -> Result<TcpStream, Failure> {
    let (ip, in_fabric) = address(host, uid)?;
    let of_host = |error: io::Error| Failure::OfHost(format!("can't open a socket: {error}"));
    let socket = if in_fabric {
        let socket = host.fabric.socket(ip).await.map_err(of_host)?;
        TcpSocket::from_std_stream(socket)
    } else {
        TcpSocket::new_v4().map_err(of_host)?
    };
    let to = SocketAddr::new(ip, port);
    socket.connect(to).await.map_err(|error| Failure::OfInstance(format!("connect to {to}: {error}")))
}

async fn ask(mut stream: TcpStream, path: &str, headers: &[(String, String)]) -> io::Result<Vec<u8>> {
    stream.write_all(request(path, headers).as_bytes()).await?;
    let mut answer = vec![0; ANSWER];
    let mut length = 0;
    // To the end, where it is near: a server whose answer is not read would see its connection reset.
    while length < ANSWER {
        match stream.read(&mut answer[length..]).await {
            Ok(0) => break,
            Ok(more) => length += more,
            Err(_) if length > 0 => break,
            Err(error) => return Err(error),
        }
    }
    answer.truncate(length);
    Ok(answer)
}

fn request(path: &str, headers: &[(String, String)]) -> String {
    let mut text = format!("GET {path} HTTP/1.1\r\n");
    let given = |name: &str| headers.iter().any(|(key, _)| key.eq_ignore_ascii_case(name));
    for (name, usual) in [("Host", "localhost"), ("User-Agent", "hoist-probe"), ("Accept", "*/*")] {
        if !given(name) {
            text += &format!("{name}: {usual}\r\n");
        }
    }
    for (name, value) in headers.iter().filter(|(name, _)| !name.eq_ignore_ascii_case("connection")) {
        text += &format!("{name}: {value}\r\n");
    }
    text + "Connection: close\r\n\r\n"
}

/// RFC 9112, section 4: `HTTP/1.1 200 OK`.
fn judge(path: &str, answer: &[u8], expected: &[(u16, u16)]) -> Result<String, Failure> {
    let text = String::from_utf8_lossy(answer);
    let first = text.lines().next().unwrap_or_default().to_owned();
    let mut words = first.split(' ');
    let version = words.next().filter(|word| word.starts_with("HTTP/1."));
    let status = version.and(words.next()).and_then(|status| status.parse::<u16>().ok());
    let Some(status) = status else {
        return Err(Failure::OfInstance(format!("GET {path}: the answer is no HTTP: {first:.100}")));
    };
    if expected.iter().any(|(from, to)| (*from..=*to).contains(&status)) {
        return Ok(format!("GET {path}: {first}"));
    }
    let body = text.split_once("\r\n\r\n").map(|(_, body)| body.trim()).unwrap_or_default();
    Err(Failure::OfInstance(format!("GET {path}: {first}: {body}").trim_end_matches([':', ' ']).to_owned()))
}

/// Found beneath the instance's root, whatever links are on the way.
async fn unix(host: &Host, uid: InstanceUid, path: &str) -> Result<String, Failure> {
    let pid = process(host, uid)?;
    let inside = path.to_owned();
    let opened = tokio::task::spawn_blocking(move || {
        let root =
            rustix::fs::open(format!("/proc/{pid}/root"), OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
        openat2(root, inside.as_str(), OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), ResolveFlags::IN_ROOT)
    });
    let opened = opened.await.map_err(|error| Failure::OfHost(error.to_string()))?;
    let fail = |error: io::Error| Failure::OfInstance(format!("connect to {path}: {error}"));
    let socket = opened.map_err(|errno| fail(errno.into()))?;
    UnixStream::connect(format!("/proc/self/fd/{}", socket.as_raw_fd())).await.map_err(fail)?;
    Ok(format!("{path} accepts connections"))
}

async fn listens(host: &Host, uid: InstanceUid, port: u16) -> Result<String, Failure> {
    let pid = process(host, uid)?;
    let looked = tokio::task::spawn_blocking(move || {
        let mut sockets = watches::open(pid)?;
        sockets.listeners().map_err(|error| crate::chain::chain(&error))
    });
    let looked = looked.await.map_err(|error| Failure::OfHost(error.to_string()))?;
    if looked.map_err(Failure::OfHost)?.contains(&(port, Protocol::Tcp)) {
        Ok(format!("port {port} listens"))
    } else {
        Err(Failure::OfInstance(format!("nothing listens on port {port} for others")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(answer: &str) -> Result<String, String> {
        judge("/up", answer.as_bytes(), &[(200, 299), (404, 404)]).map_err(|failure| match failure {
            Failure::OfInstance(why) | Failure::OfHost(why) => why,
        })
    }

    #[test]
    fn an_answer_passes_by_its_status() {
        assert_eq!(judged("HTTP/1.1 204 No Content\r\n\r\n").unwrap(), "GET /up: HTTP/1.1 204 No Content");
        assert!(judged("HTTP/1.0 404\r\n").is_ok());
        let why = judged("HTTP/1.1 503 Busy\r\nA: b\r\n\r\nno database\n").unwrap_err();
        assert_eq!(why, "GET /up: HTTP/1.1 503 Busy: no database");
        assert_eq!(judged("HTTP/1.1 500\r\n\r\n").unwrap_err(), "GET /up: HTTP/1.1 500");
        for odd in ["", "SSH-2.0-x", "HTTP/2 200 OK", "HTTP/1.1 ok"] {
            assert!(judged(odd).unwrap_err().contains("no HTTP"), "{odd}");
        }
    }

    #[test]
    fn a_request_has_what_is_declared_once() {
        let headers = [("host", "shop.test"), ("X-Key", "1"), ("Connection", "keep-alive")];
        let headers: Vec<_> = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let text = request("/a?b", &headers);
        assert!(
            text.starts_with("GET /a?b HTTP/1.1\r\n") && text.ends_with("Connection: close\r\n\r\n"),
            "{text}"
        );
        assert!(
            text.contains("host: shop.test\r\n") && !text.contains("Host:") && !text.contains("keep-alive")
        );
    }
}
