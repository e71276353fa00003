//! Reads what instances wrote, from the keeper's segments alone: no process need be alive for it.

use std::io;
use std::os::fd::AsFd;
use std::path::PathBuf;

use hoist_keeper::Stream;
use hoist_keeper::reader::{Entry, Query, Reader, Watch};
use hoist_model::{InstanceUid, Phase, Slot, WallTime};
use hoist_wire::{ApiError, ErrorKind, LogLine, LogStream, LogsRequest};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use crate::host::Host;
use crate::readable::Readable;

/// Lines that may wait for the one who reads.
const QUEUE: usize = 256;
/// Lines read at a time, before others get their turn.
const BATCH: usize = 128;
/// How often an instance's end is looked for, beside news from the log itself.
const LOOK: std::time::Duration = std::time::Duration::from_millis(200);

/// Streams the logs of the instances asked for. A followed stream ends when its instance has.
pub(crate) fn stream(host: &Host, request: &LogsRequest) -> Result<LogStream, ApiError> {
    let known = host.known();
    let report =
        known.report.ok_or_else(|| ApiError::new(ErrorKind::Unavailable, "the host has not reported yet"))?;
    let (lines, receiver) = mpsc::channel(QUEUE);
    for uid in &request.instances {
        let Some(instance) = report.instances.get(uid) else {
            return Err(ApiError::new(ErrorKind::NotFound, format!("there is no instance {}", uid.short())));
        };
        let source = Source {
            host: host.clone(),
            uid: *uid,
            slot: instance.slot.clone(),
            dir: host.layout.instance(uid).log(),
            query: query(request),
            lines: lines.clone(),
        };
        tokio::spawn(source.run());
    }
    Ok(Box::pin(ReceiverStream::new(receiver)))
}

fn query(request: &LogsRequest) -> Query {
    Query {
        tail: request.tail.map(|lines| usize::try_from(lines).unwrap_or(usize::MAX)),
        since_ns: request.since.map(|time| time.0),
        until_ns: request.until.map(|time| time.0),
        follow: request.follow,
        ..Query::default()
    }
}

/// A watch, and a copy of its descriptor that the runtime waits on.
fn watch(dir: &std::path::Path) -> io::Result<(Watch, Readable)> {
    let watch = Watch::new(dir)?;
    let copy = watch.as_fd().try_clone_to_owned()?;
    Ok((watch, Readable::new(copy)?))
}

struct Source {
    host: Host,
    uid: InstanceUid,
    slot: Slot,
    dir: PathBuf,
    query: Query,
    lines: mpsc::Sender<Result<LogLine, ApiError>>,
}

impl Source {
    async fn run(self) {
        if let Err(error) = self.read().await {
            let message = format!("the log of {} can't be read: {error}", self.slot.short());
            let _ = self.lines.send(Err(ApiError::new(ErrorKind::Internal, message))).await;
        }
    }

    async fn read(&self) -> io::Result<()> {
        if !self.dir.exists() {
            return Ok(());
        }
        // The watch comes first: a line written between reading and watching would wait for the next one.
        let watch = if self.query.follow { Some(watch(&self.dir)?) } else { None };
        let mut reader = Reader::open(&self.dir, &self.query)?;
        loop {
            // Looked at before reading: an instance seen as ended here has written all that is read below.
            let ended = !self.alive();
            if let Some(watch) = &watch {
                watch.0.clear()?;
            }
            if !self.drain(&mut reader).await? {
                return Ok(());
            }
            let Some(watch) = &watch else { return Ok(()) };
            if ended {
                reader.finish();
                self.drain(&mut reader).await?;
                return Ok(());
            }
            tokio::select! {
                ready = watch.1.wait() => ready?,
                () = tokio::time::sleep(LOOK) => {}
                () = self.lines.closed() => return Ok(()),
            }
        }
    }

    /// Sends what is there now. False: nobody listens any more.
    async fn drain(&self, reader: &mut Reader) -> io::Result<bool> {
        let mut count = 0;
        while let Some(entry) = reader.next()? {
            if self.lines.send(Ok(self.line(entry))).await.is_err() {
                return Ok(false);
            }
            count += 1;
            if count % BATCH == 0 {
                tokio::task::yield_now().await;
            }
        }
        Ok(true)
    }

    fn line(&self, entry: Entry) -> LogLine {
        let (stream, time) = (entry.stream(), WallTime(entry.wall_ns()));
        let (line, ended) = match entry {
            Entry::Line(line) => (line.text, line.ended),
            Entry::Gap { lost, .. } => (format!("[{lost} bytes lost: the disk was full]").into_bytes(), true),
        };
        LogLine {
            instance: self.uid,
            slot: self.slot.clone(),
            stderr: stream == Stream::Stderr,
            time,
            line: line.into(),
            partial: !ended,
        }
    }

    /// Whether more may come: it runs, or will be started again.
    fn alive(&self) -> bool {
        let known = self.host.known();
        let instance = known.report.as_ref().and_then(|report| report.instances.get(&self.uid));
        instance.is_some_and(|instance| !matches!(instance.phase, Phase::Exited | Phase::Failed(_)))
    }
}
