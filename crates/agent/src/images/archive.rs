//! Archives in and out: their bytes pass between the caller's stream and the store's threads.

use std::io::{self, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use futures_util::StreamExt;
use hoist_image::archive::{Import, Loaded};
use hoist_image::progress::{Event, Progress};
use hoist_image::{Image, Reference};
use hoist_model::Digest;
use hoist_wire::{ApiError, ArchiveBytes, ErrorKind, ImportImage, LoadedImage};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::{Images, reference};

/// Chunks of an archive that may wait for the other side.
const QUEUE: usize = 8;
/// Bytes of one chunk that goes out.
const CHUNK: usize = 256 << 10;

impl Images {
    /// Takes an image archive as it comes in.
    pub(crate) async fn load(&self, archive: ArchiveBytes) -> Result<Vec<LoadedImage>, ApiError> {
        let reader = ChunkReader::of(archive);
        let (_waiting, wanted) = wanted();
        self.blocking(move |images| {
            let loaded = images.store.load(reader, &wanted).map_err(|error| {
                unreadable(&error)
                    .hint("hoist load takes what `docker save` and `skopeo copy … docker-archive:` write")
            })?;
            Ok(loaded.into_iter().map(|loaded| images.loaded(&loaded)).collect())
        })
        .await
    }

    /// Makes an image of a root file system's archive.
    pub(crate) async fn import(
        &self,
        request: ImportImage,
        archive: ArchiveBytes,
    ) -> Result<LoadedImage, ApiError> {
        let name = request.reference.as_deref().map(reference).transpose()?;
        let import = Import { name, changes: request.changes, message: request.message.unwrap_or_default() };
        let reader = ChunkReader::of(archive);
        let (_waiting, wanted) = wanted();
        self.blocking(move |images| {
            let loaded = images.store.import_tree(reader, &import, &wanted).map_err(|error| {
                unreadable(&error).hint("hoist image import takes a tar archive of a root file system")
            })?;
            Ok(images.loaded(&loaded))
        })
        .await
    }

    fn loaded(&self, loaded: &Loaded) -> LoadedImage {
        self.times.use_now(loaded.id);
        LoadedImage {
            references: loaded.references.iter().map(Reference::familiar).collect(),
            digest: Digest(loaded.id.to_string()),
        }
    }

    /// Writes images as one archive.
    pub(crate) async fn save(&self, names: Vec<String>) -> Result<ArchiveBytes, ApiError> {
        let found = self.blocking(move |images| images.named(&names)).await?;
        let (chunks, queue) = mpsc::channel(QUEUE);
        let images = self.clone();
        tokio::task::spawn_blocking(move || {
            let writer = ChunkWriter { chunks: chunks.clone(), rest: Vec::with_capacity(CHUNK) };
            if let Err(error) = images.store.save(&found, writer) {
                let _ = chunks.blocking_send(Err(ApiError::internal(&error)));
            }
        });
        Ok(Box::pin(ReceiverStream::new(queue)))
    }

    /// Images by what people call them. One that was named by a tag is saved with it; a name without a tag means all
    /// tags of its repository, as for docker.
    fn named(&self, names: &[String]) -> Result<Vec<(Image, Vec<Reference>)>, ApiError> {
        let mut found: Vec<(Image, Vec<Reference>)> = Vec::new();
        for name in names {
            let tags = match Reference::bare(name) {
                Some(repository) => self.store.tags_of(&repository),
                None => Ok(Vec::new()),
            };
            let tags = tags.map_err(|error| ApiError::internal(&error))?;
            let typed = tags.iter().map(Reference::familiar);
            for name in if tags.is_empty() { vec![name.clone()] } else { typed.collect() } {
                let image = self.find(&name)?;
                let tag = name.parse::<Reference>().ok().filter(|tag| image.references.contains(tag));
                match found.iter_mut().find(|(known, _)| known.manifest == image.manifest) {
                    Some((_, tags)) => tags.extend(tag),
                    None => found.push((image, tag.into_iter().collect())),
                }
            }
        }
        for (_, tags) in &mut found {
            tags.sort();
            tags.dedup();
        }
        Ok(found)
    }
}

/// Held by the answer that a client waits for. It is dropped with the answer, also when the client goes before.
struct Waiting(Arc<AtomicBool>);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Cancels the work once nobody waits for it.
struct Wanted(Arc<AtomicBool>);

impl Progress for Wanted {
    fn event(&self, _: Event) {}

    fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

fn wanted() -> (Waiting, Wanted) {
    let gone = Arc::new(AtomicBool::new(false));
    (Waiting(Arc::clone(&gone)), Wanted(gone))
}

fn unreadable(error: &dyn std::error::Error) -> ApiError {
    let why = crate::chain::chain(error);
    ApiError::new(ErrorKind::Invalid, format!("the archive can't be loaded: {why}"))
}

/// An archive that arrives in chunks, as blocking code reads it.
struct ChunkReader {
    queue: mpsc::Receiver<Result<Bytes, ApiError>>,
    rest: Bytes,
}

impl ChunkReader {
    fn of(mut archive: ArchiveBytes) -> Self {
        let (chunks, queue) = mpsc::channel(QUEUE);
        tokio::spawn(async move {
            while let Some(chunk) = archive.next().await {
                if chunks.send(chunk).await.is_err() {
                    return;
                }
            }
        });
        Self { queue, rest: Bytes::new() }
    }
}

impl Read for ChunkReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.rest.is_empty() {
            match self.queue.blocking_recv() {
                None => return Ok(0),
                Some(chunk) => self.rest = chunk.map_err(io::Error::other)?,
            }
        }
        let n = self.rest.len().min(buffer.len());
        buffer[..n].copy_from_slice(&self.rest.split_to(n));
        Ok(n)
    }
}

/// An archive that leaves in chunks, as blocking code writes it.
struct ChunkWriter {
    chunks: mpsc::Sender<Result<Bytes, ApiError>>,
    rest: Vec<u8>,
}

impl Write for ChunkWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.rest.extend_from_slice(bytes);
        if self.rest.len() >= CHUNK {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.rest.is_empty() {
            return Ok(());
        }
        let chunk = std::mem::replace(&mut self.rest, Vec::with_capacity(CHUNK));
        // Nobody reads any more.
        self.chunks.blocking_send(Ok(chunk.into())).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}
