//! Reads what instances wrote, from the keeper's segments alone: no process need be alive for it.

use std::collections::VecDeque;
use std::io;
use std::os::fd::AsFd;
use std::path::PathBuf;

use hoist_keeper::Stream;
use hoist_keeper::reader::{Entry, Query, Reader, Watch};
use hoist_model::{InstanceReport, InstanceUid, Phase, Slot, WallTime};
use hoist_wire::{ApiError, ErrorKind, LogLine, LogStream, LogsRequest, RunEnd};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use crate::host::Host;
use crate::processes::readable::Readable;

/// Lines that may wait for the one who reads.
const QUEUE: usize = 256;
/// Lines read at a time, before others get their turn.
const BATCH: usize = 128;
/// How often an instance's end is looked for, beside news from the log itself.
const LOOK: std::time::Duration = std::time::Duration::from_millis(200);

/// Streams the logs of the instances asked for. A followed stream ends when its instance has, or with `ends_after` when
/// its instance is gone.
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
            ends_after: request.ends_after,
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
    /// See [`LogsRequest::ends_after`].
    ends_after: Option<u32>,
    lines: mpsc::Sender<Result<LogLine, ApiError>>,
}

/// Whether the one who reads still does.
type Listening = bool;

impl Source {
    async fn run(self) {
        let read = match self.ends_after {
            Some(after) if self.query.follow => self.follow_runs(after).await,
            _ => self.read().await,
        };
        if let Err(error) = read {
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
            if !self.drain(&mut reader, &mut Pending::default()).await? {
                return Ok(());
            }
            let Some(watch) = &watch else { return Ok(()) };
            if ended {
                reader.finish();
                self.drain(&mut reader, &mut Pending::default()).await?;
                return Ok(());
            }
            tokio::select! {
                ready = watch.1.wait() => ready?,
                () = tokio::time::sleep(LOOK) => {}
                () = self.lines.closed() => return Ok(()),
            }
        }
    }

    /// Follows run after run until the instance is gone. The end of a run is told behind its last line and before the
    /// next run's first: the keeper has written all of a run before it tells of its end, and marks where each begins.
    async fn follow_runs(&self, after: u32) -> io::Result<()> {
        let mut ends = self.host.ends.listen();
        let mut pending = Pending { ends: VecDeque::new(), told: after };
        self.host.ends.remembered(self.uid).into_iter().for_each(|end| pending.expect(Some(end)));
        let Some(watch) = self.log_to_watch().await? else { return Ok(()) };
        let mut reader = Reader::open(&self.dir, &self.query)?;
        loop {
            let gone = self.report().is_none();
            while let Ok((uid, end)) = ends.try_recv() {
                pending.expect((uid == self.uid).then_some(end));
            }
            watch.0.clear()?;
            reader.at_end_of_run(false);
            if !self.drain(&mut reader, &mut pending).await? {
                return Ok(());
            }
            if gone || !pending.ends.is_empty() {
                reader.at_end_of_run(true);
                if !self.drain(&mut reader, &mut pending).await?
                    || !self.tell(&mut pending, u64::MAX).await
                    || gone
                {
                    return Ok(());
                }
            }
            tokio::select! {
                ready = watch.1.wait() => ready?,
                end = ends.recv() => if let Ok((uid, end)) = end {
                    pending.expect((uid == self.uid).then_some(end));
                },
                () = tokio::time::sleep(LOOK) => {}
                () = self.lines.closed() => return Ok(()),
            }
        }
    }

    /// The log's folder comes with the first run. None: the instance is gone, or nobody waits for it any more.
    async fn log_to_watch(&self) -> io::Result<Option<(Watch, Readable)>> {
        while !self.dir.exists() {
            if self.report().is_none() || self.lines.is_closed() {
                return Ok(None);
            }
            tokio::time::sleep(LOOK / 4).await;
        }
        watch(&self.dir).map(Some)
    }

    /// Sends what is there now.
    async fn drain(&self, reader: &mut Reader, pending: &mut Pending) -> io::Result<Listening> {
        let mut count = 0;
        while let Some(entry) = reader.next()? {
            let listening = match self.line(entry) {
                Ok(line) => self.lines.send(Ok(line)).await.is_ok(),
                Err(attempt) => self.tell(pending, attempt).await,
            };
            if !listening {
                return Ok(false);
            }
            count += 1;
            if count % BATCH == 0 {
                tokio::task::yield_now().await;
            }
        }
        Ok(true)
    }

    /// Tells of the ends of the runs before a run.
    async fn tell(&self, pending: &mut Pending, run: u64) -> Listening {
        while let Some(end) = pending.ends.front().copied().filter(|end| u64::from(end.attempt) < run) {
            pending.ends.pop_front();
            let time = WallTime(0);
            let line = LogLine { end: Some(end), ..self.blank(Stream::Stdout, time) };
            if self.lines.send(Ok(line)).await.is_err() {
                return false;
            }
        }
        true
    }

    /// An entry as a line; or which run begins with it.
    fn line(&self, entry: Entry) -> Result<LogLine, u64> {
        let blank = self.blank(entry.stream(), WallTime(entry.wall_ns()));
        match entry {
            Entry::Line(line) => Ok(LogLine {
                line: line.text.into(),
                partial: !line.ended,
                continues: line.continues,
                ..blank
            }),
            Entry::Gap { lost, .. } => {
                let text = format!("[{lost} bytes lost: the disk was full]");
                Ok(LogLine { line: text.into_bytes().into(), ..blank })
            }
            Entry::Run { attempt, .. } => Err(attempt),
        }
    }

    fn blank(&self, stream: Stream, time: WallTime) -> LogLine {
        LogLine {
            instance: self.uid,
            slot: self.slot.clone(),
            stderr: stream == Stream::Stderr,
            time,
            line: Default::default(),
            partial: false,
            continues: false,
            end: None,
        }
    }

    fn report(&self) -> Option<InstanceReport> {
        self.host.known().report.as_ref().and_then(|report| report.instances.get(&self.uid).cloned())
    }

    /// Whether more may come: it runs, or will be started again.
    fn alive(&self) -> bool {
        self.report().is_some_and(|instance| !matches!(instance.phase, Phase::Exited | Phase::Failed(_)))
    }
}

/// Ends of runs that are known and not told yet.
#[derive(Debug, Default)]
struct Pending {
    ends: VecDeque<RunEnd>,
    /// The last run that was noted.
    told: u32,
}

impl Pending {
    /// Each run once: the report at the beginning and the first news may be of the same one.
    fn expect(&mut self, end: Option<RunEnd>) {
        if let Some(end) = end.filter(|end| end.attempt > self.told) {
            self.told = end.attempt;
            self.ends.push_back(end);
        }
    }
}
