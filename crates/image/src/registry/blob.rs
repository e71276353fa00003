//! A blob as one stream, however often the connection breaks.

use std::io::{self, Read};

use ureq::BodyReader;
use ureq::http::Method;

use super::RegistryError;
use super::client::{Ask, Endpoint, Registries, again, nonsense, pull_scope};
use crate::digest::Digest;
use crate::progress::{Event, Progress};

/// Breaks without a byte between them that are put up with.
const MOST_BREAKS: u32 = 5;
/// Progress is told about once in so many bytes.
const TELL_EVERY: u64 = 256 << 10;

/// What is fetched, and from where.
#[derive(Clone, Copy, Debug)]
pub(super) struct BlobAsk<'a> {
    pub(super) endpoint: &'a Endpoint,
    pub(super) repository: &'a str,
    pub(super) digest: Digest,
    pub(super) size: u64,
}

/// Reads a blob. When the connection breaks, it goes on where it stopped; the digest is the caller's
/// to check, over the whole.
pub(super) struct BlobStream<'a> {
    registries: &'a Registries,
    asked: BlobAsk<'a>,
    progress: &'a dyn Progress,
    body: Option<BodyReader<'static>>,
    offset: u64,
    told: u64,
    breaks: u32,
}

impl<'a> BlobStream<'a> {
    pub(super) fn new(registries: &'a Registries, asked: BlobAsk<'a>, progress: &'a dyn Progress) -> Self {
        progress.event(Event::Fetching { blob: asked.digest, total: asked.size });
        Self { registries, asked, progress, body: None, offset: 0, told: 0, breaks: 0 }
    }

    fn open(&self) -> Result<BodyReader<'static>, RegistryError> {
        let BlobAsk { endpoint, repository, digest, .. } = self.asked;
        let url = format!("/v2/{repository}/blobs/{digest}");
        let (what, scope) = (digest.to_string(), pull_scope(repository));
        let range = [("range", format!("bytes={}-", self.offset))];
        let headers = if self.offset > 0 { &range[..] } else { &[] };
        let ask = Ask { endpoint, method: Method::GET, url: &url, scope: &scope, what: &what, headers };
        let response = again(self.progress, || self.registries.send(&ask, None))?;
        let status = response.status().as_u16();
        let starts = response.headers().get("content-range").and_then(|value| {
            value.to_str().ok()?.strip_prefix("bytes ")?.split('-').next()?.parse::<u64>().ok()
        });
        let mut body = response.into_body().into_reader();
        match (status, starts) {
            (206, Some(start)) if start == self.offset => {}
            // It begins anew: what is known already is passed over.
            (200, _) => self.pass_over(&mut body)?,
            _ => return Err(nonsense(&ask, &format!("status {status} for bytes from {}", self.offset))),
        }
        Ok(body)
    }

    fn pass_over(&self, body: &mut BodyReader<'static>) -> Result<(), RegistryError> {
        match io::copy(&mut body.take(self.offset), &mut io::sink()) {
            Ok(passed) if passed == self.offset => Ok(()),
            Ok(_) => Err(self.cut(io::ErrorKind::UnexpectedEof.into())),
            Err(source) => Err(self.cut(source)),
        }
    }

    fn cut(&self, source: io::Error) -> RegistryError {
        RegistryError::Cut { registry: self.asked.endpoint.host.clone(), wanted: self.asked.digest, source }
    }

    fn read_some(&mut self, buffer: &mut [u8]) -> Result<usize, RegistryError> {
        let mut body = match self.body.take() {
            Some(body) => body,
            None => self.open()?,
        };
        // More than the manifest says is of no use, and might never end.
        let left = usize::try_from(self.asked.size - self.offset).unwrap_or(usize::MAX);
        let wanted = buffer.len().min(left);
        let n = match body.read(&mut buffer[..wanted]) {
            Ok(0) => return Err(self.cut(io::ErrorKind::UnexpectedEof.into())),
            Ok(n) => n,
            Err(source) => return Err(self.cut(source)),
        };
        self.body = Some(body);
        Ok(n)
    }
}

impl Read for BlobStream<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.offset == self.asked.size || buffer.is_empty() {
            return Ok(0);
        }
        loop {
            if self.progress.is_cancelled() {
                return Err(io::Error::other(RegistryError::Cancelled));
            }
            match self.read_some(buffer) {
                Ok(n) => {
                    self.offset += n as u64;
                    self.breaks = 0;
                    if self.offset - self.told >= TELL_EVERY || self.offset == self.asked.size {
                        self.told = self.offset;
                        self.progress.event(Event::Fetched { blob: self.asked.digest, bytes: self.offset });
                    }
                    return Ok(n);
                }
                Err(error @ RegistryError::Cut { .. }) => {
                    self.breaks += 1;
                    if self.breaks > MOST_BREAKS {
                        return Err(io::Error::other(error));
                    }
                    std::thread::sleep(std::time::Duration::from_millis(100) * self.breaks);
                }
                Err(error) => return Err(io::Error::other(error)),
            }
        }
    }
}
