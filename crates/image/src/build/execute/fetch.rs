//! ADD from elsewhere: files by HTTP(S), and git repositories by the host's own `git`.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use ureq::Body;
use ureq::http::Response;

use super::mounted::Mounted;
use super::{StepError, Work};
use crate::build::graph::Source;
use crate::digest::Digest;
use crate::registry::{RegistryConfig, http_agent};

/// A file that was fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fetched {
    pub(super) digest: Digest,
    pub(super) path: PathBuf,
    /// The last part of the address; empty when it ends in a slash.
    pub(super) name: String,
    /// `Last-Modified`.
    pub(super) modified: Option<(i64, u32)>,
}

/// Fetches a file into the session.
pub(super) fn http(work: &Work<'_>, url: &str, checksum: Option<Digest>) -> Result<Fetched, StepError> {
    let failed =
        |source: Box<dyn std::error::Error + Send + Sync>| StepError::Fetch { url: url.to_owned(), source };
    let mut response = get(url)?;
    let modified =
        response.headers().get("last-modified").and_then(|time| time.to_str().ok()).and_then(http_date);
    let mut writer = work.session.blob_writer()?;
    let mut body = response.body_mut().as_reader();
    io::copy(&mut body, &mut writer).map_err(|error| failed(Box::new(error)))?;
    let spooled = writer.finish();
    if let Some(wanted) = checksum.filter(|wanted| *wanted != spooled.digest) {
        return Err(failed(format!("its digest is {}, not {wanted}", spooled.digest).into()));
    }
    Ok(Fetched {
        digest: spooled.digest,
        path: spooled.path,
        name: name(url).to_owned(),
        modified: modified.map(|at| (at, 0)),
    })
}

/// Asks a server for a file.
pub(super) fn get(url: &str) -> Result<Response<Body>, StepError> {
    let failed =
        |source: Box<dyn std::error::Error + Send + Sync>| StepError::Fetch { url: url.to_owned(), source };
    let agent = http_agent(&RegistryConfig::default()).map_err(|error| failed(Box::new(error)))?;
    let response = agent.get(url).call().map_err(|error| failed(Box::new(error)))?;
    if response.status().is_success() {
        return Ok(response);
    }
    Err(failed(format!("the server answers {}", response.status()).into()))
}

/// The last part of an address; empty when it ends in a slash.
pub(super) fn name(url: &str) -> &str {
    let path = url.split(['?', '#']).next().unwrap_or(url);
    let path = path.split_once("://").map_or(path, |(_, rest)| rest);
    path.split_once('/').and_then(|(_, path)| path.rsplit('/').next()).unwrap_or_default()
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

/// Checks a repository out, by the `git` of this host.
pub(super) fn git(work: &Work<'_>, source: &Source) -> Result<Mounted, StepError> {
    let Source::Git { url, reference, folder, keep_git_dir, checksum } = source else {
        return Err(StepError::Refused("no git repository".to_owned()));
    };
    let checkout = work.session.fresh_directory()?;
    let failed = |text: String| StepError::Fetch { url: url.clone(), source: text.into() };
    let git = |arguments: &[&str]| -> Result<String, StepError> {
        let mut command = Command::new("git");
        command.arg("-C").arg(&checkout).args(["-c", "advice.detachedHead=false"]).args(arguments);
        let out =
            command.stdin(Stdio::null()).env("GIT_TERMINAL_PROMPT", "0").output().map_err(
                |error| match error.kind() {
                    io::ErrorKind::NotFound => {
                        failed("this host has no git: install it, or add an archive instead".to_owned())
                    }
                    _ => failed(error.to_string()),
                },
            )?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        if out.status.success() { Ok(text(&out.stdout)) } else { Err(failed(text(&out.stderr))) }
    };
    git(&["init", "--quiet"])?;
    git(&["remote", "add", "origin", "--", url])?;
    let wanted = reference.as_deref().unwrap_or("HEAD");
    // A commit can be fetched by its whole name only; a short one needs all there is.
    if git(&["fetch", "--quiet", "--depth=1", "origin", "--", wanted]).is_err() {
        git(&["fetch", "--quiet", "--tags", "origin", "+refs/heads/*:refs/remotes/origin/*"])?;
        git(&["checkout", "--quiet", "--detach", wanted])?;
    } else {
        git(&["checkout", "--quiet", "--detach", "FETCH_HEAD"])?;
    }
    git(&["submodule", "update", "--quiet", "--init", "--recursive", "--depth=1"])?;
    let commit = git(&["rev-parse", "HEAD"])?;
    if let Some(wanted) = checksum.as_deref().filter(|wanted| !commit.starts_with(*wanted)) {
        return Err(failed(format!("its commit is {commit}, not {wanted}")));
    }
    if !keep_git_dir {
        let git = checkout.join(".git");
        std::fs::remove_dir_all(&git).map_err(StepError::io("removing", &git))?;
    }
    let root = Mounted::directory(&checkout)?;
    match folder.as_deref().filter(|folder| !folder.is_empty()) {
        None => Ok(root),
        Some(folder) => {
            let flags = rustix::fs::OFlags::PATH | rustix::fs::OFlags::DIRECTORY;
            let inside =
                root.at(Path::new(folder), flags).map_err(StepError::errno("opening", Path::new(folder)))?;
            Ok(Mounted::new(inside))
        }
    }
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
}
