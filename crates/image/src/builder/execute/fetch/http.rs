//! Files by HTTP(S).

use std::io::{self, Read as _, Write};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use ureq::Agent;

use super::PATIENCE;
use crate::builder::execute::{StepError, Work};
use crate::digest::Digest;
use crate::registry::{RegistryConfig, http_agent};

/// How often a file is asked for when connections break.
const ATTEMPTS: u32 = 4;
const FIRST_WAIT: Duration = Duration::from_millis(250);
const PIECE: usize = 256 << 10;
/// Statuses that a server doesn't mean for good (RFC 9110, section 15; RFC 6585, section 4).
const FOR_NOW: [u16; 4] = [429, 502, 503, 504];

/// A file that was fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::builder::execute) struct Fetched {
    pub(in crate::builder::execute) digest: Digest,
    pub(in crate::builder::execute) path: PathBuf,
    /// The last part of the address; empty when it has none.
    pub(in crate::builder::execute) name: String,
    /// `Last-Modified`.
    pub(in crate::builder::execute) modified: Option<(i64, u32)>,
}

type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Why a file was not fetched.
enum Failure {
    ForNow(Cause),
    ForGood(Cause),
    Step(StepError),
}

/// What a download was written to, and what the server said of it.
pub(in crate::builder::execute) struct Downloaded<W> {
    pub(in crate::builder::execute) to: W,
    /// As [`Fetched::name`].
    pub(in crate::builder::execute) name: String,
    modified: Option<i64>,
}

/// Fetches a file into the session.
pub(in crate::builder::execute) fn http(
    work: &Work<'_>,
    url: &str,
    checksum: Option<Digest>,
) -> Result<Fetched, StepError> {
    let downloaded = download(url, &|| work.is_cancelled(), || Ok(work.session.blob_writer()?))?;
    let Downloaded { to, name, modified } = downloaded;
    let spooled = to.finish();
    let modified = modified.map(|at| (at, 0));
    let fetched = Fetched { digest: spooled.digest, path: spooled.path, name, modified };
    checked(fetched, checksum).map_err(|source| StepError::Fetch { url: url.to_owned(), source })
}

/// Fetches a file, again where that may help; each attempt is written to what `into` gives, from its beginning.
pub(in crate::builder::execute) fn download<W: Write>(
    url: &str,
    is_cancelled: &dyn Fn() -> bool,
    into: impl Fn() -> Result<W, StepError>,
) -> Result<Downloaded<W>, StepError> {
    let failed = |source: Cause| StepError::Fetch { url: url.to_owned(), source };
    let agent = http_agent(&RegistryConfig::default()).map_err(|error| failed(Box::new(error)))?;
    let (mut wait, mut attempt) = (FIRST_WAIT, 0);
    loop {
        attempt += 1;
        match once(&agent, url, is_cancelled, into()?) {
            Ok(downloaded) => return Ok(downloaded),
            Err(Failure::ForNow(_)) if attempt < ATTEMPTS => pause(is_cancelled, wait)?,
            Err(Failure::ForNow(cause) | Failure::ForGood(cause)) => return Err(failed(cause)),
            Err(Failure::Step(error)) => return Err(error),
        }
        wait *= 2;
    }
}

fn checked(fetched: Fetched, checksum: Option<Digest>) -> Result<Fetched, Cause> {
    match checksum.filter(|wanted| *wanted != fetched.digest) {
        Some(wanted) => Err(format!("its digest is {}, not {wanted}", fetched.digest).into()),
        None => Ok(fetched),
    }
}

fn pause(is_cancelled: &dyn Fn() -> bool, wait: Duration) -> Result<(), StepError> {
    let until = Instant::now() + wait;
    while Instant::now() < until {
        if is_cancelled() {
            return Err(StepError::Cancelled);
        }
        std::thread::sleep(PATIENCE.min(wait));
    }
    Ok(())
}

/// What comes of a request, in order.
enum Piece {
    Begins { modified: Option<i64> },
    Data(Vec<u8>),
    Ends,
    Fails(Failure),
}

/// Asks once. The request has a thread of its own, which a cancelled build leaves behind with its connection.
fn once<W: Write>(
    agent: &Agent,
    url: &str,
    is_cancelled: &dyn Fn() -> bool,
    mut to: W,
) -> Result<Downloaded<W>, Failure> {
    let store = |error: io::Error| Failure::ForGood(Box::new(error));
    let (sender, pieces) = sync_channel(4);
    let (agent, address) = (agent.clone(), url.to_owned());
    std::thread::Builder::new()
        .name("fetch".to_owned())
        .spawn(move || request(&agent, &address, &sender))
        .map_err(store)?;
    let mut modified = None;
    loop {
        match next(is_cancelled, &pieces)? {
            Piece::Begins { modified: at } => modified = at,
            Piece::Data(data) => to.write_all(&data).map_err(store)?,
            Piece::Ends => return Ok(Downloaded { to, name: name(url), modified }),
            Piece::Fails(failure) => return Err(failure),
        }
    }
}

fn next(is_cancelled: &dyn Fn() -> bool, pieces: &Receiver<Piece>) -> Result<Piece, Failure> {
    loop {
        match pieces.recv_timeout(PATIENCE) {
            Ok(piece) => return Ok(piece),
            Err(_) if is_cancelled() => return Err(Failure::Step(StepError::Cancelled)),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return Err(Failure::ForGood("the request ended".into())),
        }
    }
}

fn request(agent: &Agent, url: &str, out: &SyncSender<Piece>) {
    if let Err(failure) = answer(agent, url, out) {
        // Nobody listens: the build was cancelled.
        let _ = out.send(Piece::Fails(failure));
    }
}

fn answer(agent: &Agent, url: &str, out: &SyncSender<Piece>) -> Result<(), Failure> {
    let mut response = agent.get(url).call().map_err(of_transport)?;
    let status = response.status();
    if !status.is_success() {
        let cause = format!("the server answers {status}").into();
        let for_now = FOR_NOW.contains(&status.as_u16());
        return Err(if for_now { Failure::ForNow(cause) } else { Failure::ForGood(cause) });
    }
    let modified = response.headers().get("last-modified").and_then(|time| time.to_str().ok());
    let mut more = out.send(Piece::Begins { modified: modified.and_then(http_date) }).is_ok();
    let mut body = response.body_mut().as_reader();
    let mut buffer = vec![0; PIECE];
    while more {
        let length = body.read(&mut buffer).map_err(|error| Failure::ForNow(Box::new(error)))?;
        let piece = if length == 0 { Piece::Ends } else { Piece::Data(buffer[..length].to_vec()) };
        more = out.send(piece).is_ok() && length > 0;
    }
    Ok(())
}

/// What is wrong with the request itself stays so.
fn of_transport(error: ureq::Error) -> Failure {
    use ureq::Error::{ConnectionFailed, HostNotFound, Io, Protocol, Timeout};
    match error {
        Io(_) | Timeout(_) | ConnectionFailed | HostNotFound | Protocol(_) => {
            Failure::ForNow(Box::new(error))
        }
        _ => Failure::ForGood(Box::new(error)),
    }
}

/// The last part of the address's path, as it was before it was written as a URL (RFC 3986, section 2.1).
fn name(url: &str) -> String {
    let address = url.split(['?', '#']).next().unwrap_or(url);
    let address = address.split_once("://").map_or(address, |(_, rest)| rest);
    let path = address.split_once('/').map_or("", |(_, path)| path);
    let name = decoded(path.trim_end_matches('/').rsplit('/').next().unwrap_or_default());
    // What would lead elsewhere is no name.
    if name.contains(['/', '\0']) || name == "." || name == ".." { String::new() } else { name }
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let hex = tail.get(..2).filter(|_| *first == b'%').and_then(|hex| std::str::from_utf8(hex).ok());
        let byte = hex.and_then(|hex| u8::from_str_radix(hex, 16).ok());
        bytes.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { &tail[2..] } else { tail };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// `Sun, 06 Nov 1994 08:49:37 GMT` as seconds since 1970 (RFC 9110, section 5.6.7).
fn http_date(text: &str) -> Option<i64> {
    let words: Vec<&str> = text.split([' ', ':']).collect();
    let [_, day, month, year, hour, minute, second, "GMT"] = words[..] else { return None };
    let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let month = i64::try_from(months.iter().position(|name| *name == month)?).ok()? + 1;
    let number = |text: &str| text.parse::<i64>().ok();
    let (year, day) = (number(year)?, number(day)?);
    // Days since 1970 of the Gregorian calendar, its year beginning in March.
    let (from_march, year) = if month > 2 { (month - 3, year) } else { (month + 9, year - 1) };
    let days = 365 * year + year.div_euclid(4) - year.div_euclid(100)
        + year.div_euclid(400)
        + (153 * from_march + 2) / 5
        + day
        - 719_469;
    Some(((days * 24 + number(hour)?) * 60 + number(minute)?) * 60 + number(second)?)
}

#[cfg(test)]
mod tests {
    #[test]
    fn dates_of_http_are_read() {
        for (text, expected) in [
            ("Thu, 01 Jan 1970 00:00:00 GMT", Some(0)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(784_111_777)),
            ("Thu, 29 Feb 2024 12:00:00 GMT", Some(1_709_208_000)),
            ("yesterday", None),
        ] {
            assert_eq!(super::http_date(text), expected, "{text}");
        }
    }

    #[test]
    fn a_file_is_called_as_its_address_ends() {
        for (url, expected) in [
            ("http://a/b/c.tar?d=/e#f", "c.tar"),
            ("http://a/b/", "b"),
            ("http://a", ""),
            ("http://a/?b", ""),
            ("http://a/two%20words", "two words"),
            ("http://a/100%", "100%"),
            ("http://a/x%2fy", ""),
            ("http://a/%2e%2e", ""),
        ] {
            assert_eq!(super::name(url), expected, "{url}");
        }
    }
}
