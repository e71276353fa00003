//! Uploads: a blob that breaks off on its way goes on where the registry says it is (OCI distribution specification,
//! "Pushing blobs" and "Resuming").
//!
//! At first a blob is sent whole, as every registry takes it. One that forgets what it had when the connection broke
//! gets it in pieces after that: what it has confirmed, it keeps.

use std::fs::File;
use std::io;
use std::thread;
use std::time::Duration;

use ureq::Body;
use ureq::http::{Method, Response};

use super::RegistryError;
use super::auth::percent;
use super::client::{Ask, Content, Endpoint, Registries, again, nonsense};
use super::part::Part;
use crate::digest::Digest;
use crate::manifest::Descriptor;
use crate::progress::{Event, Progress};

/// What is sent with the request that ends an upload, without one of its own before.
const SMALL: u64 = 1 << 20;
/// Bytes of a piece; some registries take none that are smaller than 5 MiB.
const PIECE: u64 = 8 << 20;
/// Breaks that are put up with while the registry keeps nothing more than before.
const MOST_BREAKS: u32 = 5;
/// How often a blob is begun anew. A registry that forgets each time gets nowhere.
const MOST_BEGINNINGS: u32 = 5;
const FIRST_WAIT: Duration = Duration::from_millis(200);

/// A repository that blobs and manifests are sent to.
pub(super) struct Uploads<'a> {
    pub(super) registries: &'a Registries,
    pub(super) endpoint: &'a Endpoint,
    pub(super) repository: &'a str,
    pub(super) progress: &'a dyn Progress,
}

/// An upload under way: where it goes on, and how much of it the registry has.
struct Upload {
    location: String,
    offset: u64,
}

/// Why an upload did not come to its end.
enum Stop {
    /// It broke, and the registry has forgotten what it had.
    Forgotten(RegistryError),
    Failed(RegistryError),
}

impl Uploads<'_> {
    fn scope(&self, from: Option<&str>) -> String {
        let own = format!("repository:{}:pull,push", self.repository);
        from.map_or(own.clone(), |from| format!("{own} repository:{from}:pull"))
    }

    fn send(
        &self,
        method: Method,
        url: &str,
        what: &str,
        headers: &[(&str, String)],
        body: Option<&mut dyn Content>,
    ) -> Result<Response<Body>, RegistryError> {
        let (endpoint, scope) = (self.endpoint, self.scope(None));
        self.registries.send(&Ask { endpoint, method, url, scope: &scope, what, headers }, body)
    }

    /// Whether the repository has the blob.
    pub(super) fn has(&self, digest: Digest) -> Result<bool, RegistryError> {
        let url = format!("/v2/{}/blobs/{digest}", self.repository);
        let asked = again(self.progress, || self.send(Method::HEAD, &url, &digest.to_string(), &[], None));
        match asked {
            Ok(_) => Ok(true),
            Err(RegistryError::NotFound { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Sends a blob that the repository lacks. `elsewhere` is another repository of the registry that has it, as far
    /// as is known.
    pub(super) fn blob(
        &self,
        blob: &Descriptor,
        elsewhere: Option<&str>,
        file: &File,
    ) -> Result<(), RegistryError> {
        let mut breaks = 0;
        for beginning in 1.. {
            // A break may have come when all was there already.
            if self.has(blob.digest)? {
                self.progress.event(Event::Present { digest: blob.digest });
                return Ok(());
            }
            let begun = again(self.progress, || self.begin(blob.digest, elsewhere));
            let begun = match begun {
                // Whoever may write here need not be allowed to read there.
                Err(RegistryError::Denied { .. } | RegistryError::NotFound { .. }) if elsewhere.is_some() => {
                    again(self.progress, || self.begin(blob.digest, None))
                }
                begun => begun,
            };
            let Some(upload) = begun? else { return Ok(()) };
            match self.through(upload, blob, file, beginning > 1, &mut breaks) {
                Ok(()) => return Ok(()),
                Err(Stop::Forgotten(error)) if beginning == MOST_BEGINNINGS => return Err(error),
                Err(Stop::Forgotten(_)) => {}
                Err(Stop::Failed(error)) => return Err(error),
            }
        }
        Ok(())
    }

    /// Begins an upload; `None` if the registry took the blob over from `elsewhere`.
    fn begin(&self, digest: Digest, elsewhere: Option<&str>) -> Result<Option<Upload>, RegistryError> {
        let query = elsewhere.map_or(String::new(), |from| format!("?mount={digest}&from={}", percent(from)));
        let url = format!("/v2/{}/blobs/uploads/{query}", self.repository);
        let (scope, what) = (self.scope(elsewhere), digest.to_string());
        let length = [("content-length", "0".to_owned())];
        let ask = Ask {
            endpoint: self.endpoint,
            method: Method::POST,
            url: &url,
            scope: &scope,
            what: &what,
            headers: &length,
        };
        let response = self.registries.send(&ask, None)?;
        if response.status() == 201 {
            self.progress.event(Event::Present { digest });
            return Ok(None);
        }
        let location = location(&response).ok_or_else(|| nonsense(&ask, "an upload has no address"))?;
        Ok(Some(Upload { location, offset: 0 }))
    }

    /// Sends until all is there.
    fn through(
        &self,
        mut upload: Upload,
        blob: &Descriptor,
        file: &File,
        pieces: bool,
        breaks: &mut u32,
    ) -> Result<(), Stop> {
        self.progress.event(Event::Sending { blob: blob.digest, total: blob.size });
        loop {
            let before = upload.offset;
            match self.step(&mut upload, blob, file, pieces) {
                Ok(true) => return Ok(()),
                Ok(false) => *breaks = 0,
                Err(_) if self.progress.is_cancelled() => return Err(Stop::Failed(RegistryError::Cancelled)),
                Err(error) if !is_break(&error) || *breaks == MOST_BREAKS => return Err(Stop::Failed(error)),
                Err(error) => {
                    thread::sleep(error.wait().unwrap_or(FIRST_WAIT * 2_u32.pow(*breaks)));
                    *breaks += 1;
                    let after = again(self.progress, || self.after(&upload, blob)).map_err(Stop::Failed)?;
                    upload = after.ok_or(Stop::Forgotten(error))?;
                    if upload.offset > before {
                        *breaks = 0;
                    }
                }
            }
        }
    }

    /// One request; true when it was the last.
    fn step(
        &self,
        upload: &mut Upload,
        blob: &Descriptor,
        file: &File,
        pieces: bool,
    ) -> Result<bool, RegistryError> {
        let rest = blob.size - upload.offset;
        let last = rest <= SMALL;
        let length = if pieces && !last { rest.min(PIECE) } else { rest };
        let mut headers = vec![
            ("content-type", "application/octet-stream".to_owned()),
            ("content-length", length.to_string()),
        ];
        // A line that breaks may have its measure: each piece gets a connection of its own.
        if pieces {
            headers.push(("connection", "close".to_owned()));
        }
        // Registries differ in whether they read it; a whole blob needs none.
        if length > 0 && length < blob.size {
            headers.push(("content-range", format!("{}-{}", upload.offset, upload.offset + length - 1)));
        }
        let (method, url) = match last {
            false => (Method::PATCH, upload.location.clone()),
            true => {
                let separator = if upload.location.contains('?') { '&' } else { '?' };
                let digest = percent(&blob.digest.to_string());
                (Method::PUT, format!("{}{separator}digest={digest}", upload.location))
            }
        };
        let mut part = Part::new(file, blob.digest, upload.offset, length, self.progress);
        let response = self.send(method, &url, &blob.digest.to_string(), &headers, Some(&mut part))?;
        upload.offset = match kept(&response) {
            Some(kept) if !last => kept,
            _ => upload.offset + length,
        };
        if let Some(location) = location(&response) {
            upload.location = location;
        }
        self.progress.event(Event::Sent { blob: blob.digest, bytes: upload.offset });
        Ok(last)
    }

    /// Asks the registry what it has of an upload that broke; nothing when it has forgotten it.
    fn after(&self, upload: &Upload, blob: &Descriptor) -> Result<Option<Upload>, RegistryError> {
        match self.send(Method::GET, &upload.location, &blob.digest.to_string(), &[], None) {
            Ok(response) => {
                let location = location(&response).unwrap_or_else(|| upload.location.clone());
                let offset = kept(&response).filter(|offset| *offset <= blob.size);
                Ok(offset.map(|offset| Upload { location, offset }))
            }
            Err(
                RegistryError::NotFound { .. }
                | RegistryError::Refused { status: 400..=499, .. }
                | RegistryError::Denied { .. },
            ) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Names what was sent.
    pub(super) fn manifest(
        &self,
        name: &str,
        media_type: &str,
        bytes: &[u8],
        what: &str,
    ) -> Result<(), RegistryError> {
        let url = format!("/v2/{}/manifests/{name}", self.repository);
        let headers = [("content-type", media_type.to_owned()), ("content-length", bytes.len().to_string())];
        let put =
            || self.send(Method::PUT, &url, what, &headers, Some(&mut io::Cursor::new(bytes))).map(drop);
        again(self.progress, put)
    }
}

/// Whether asking the registry how far it is may help: the line broke, or it lost its place.
fn is_break(error: &RegistryError) -> bool {
    error.is_transient()
        || matches!(
            error,
            RegistryError::NotFound { .. } | RegistryError::Refused { status: 400 | 409 | 416, .. }
        )
}

fn location(response: &Response<Body>) -> Option<String> {
    Some(response.headers().get("location")?.to_str().ok()?.to_owned())
}

/// How many bytes the registry says it has. `0-0` is what some say of nothing.
fn kept(response: &Response<Body>) -> Option<u64> {
    let range = response.headers().get("range")?.to_str().ok()?;
    let (_, end) = range.trim_start_matches("bytes=").split_once('-')?;
    end.trim().parse::<u64>().ok().filter(|end| *end > 0)?.checked_add(1)
}
