//! A pull or push under way: how far it is, told to all who follow it, and ended when nobody does.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use hoist_image::Digest;
use hoist_image::progress::{Event, Progress};
use hoist_model::{EventKind, Subject};
use hoist_wire::{ApiError, Work, WorkStream};
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;

/// How often followers hear of progress, at most.
const PACE: Duration = Duration::from_millis(100);
/// Events that may wait for a follower.
const QUEUE: usize = 16;
/// Digits of a layer's digest that people are shown.
const SHORT: usize = 12;

/// Which way the bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    Pull,
    Push,
}

impl Way {
    fn words(self) -> [&'static str; 3] {
        match self {
            Way::Pull => ["pulling", "downloading", "pulled"],
            Way::Push => ["pushing", "uploading", "pushed"],
        }
    }
}

/// A transfer, and in the end what came of it.
#[derive(Debug, Clone)]
pub(super) struct State<T> {
    way: Way,
    parts: BTreeMap<String, Part>,
    began: Instant,
    outcome: Option<Result<T, ApiError>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Present,
    Moving { bytes: u64, total: u64 },
}

impl<T> State<T> {
    pub(super) fn new(way: Way) -> Self {
        Self { way, parts: BTreeMap::new(), began: Instant::now(), outcome: None }
    }

    pub(super) fn is_over(&self) -> bool {
        self.outcome.is_some()
    }

    pub(super) fn end(&mut self, outcome: Result<T, ApiError>) {
        self.outcome = Some(outcome);
    }

    fn take(&mut self, event: Event) {
        let short = |digest: Digest| digest.hex()[..SHORT].to_owned();
        match event {
            Event::Present { digest } => {
                self.parts.insert(short(digest), Part::Present);
            }
            Event::Fetching { blob, total } | Event::Sending { blob, total } => {
                self.parts.insert(short(blob), Part::Moving { bytes: 0, total });
            }
            Event::Fetched { blob, bytes: now } | Event::Sent { blob, bytes: now } => {
                if let Some(Part::Moving { bytes, .. }) = self.parts.get_mut(&short(blob)) {
                    *bytes = now;
                }
            }
            Event::Read { .. } | Event::Unpacking { .. } | Event::Unpacked { .. } => {}
        }
    }

    fn bytes(&self) -> u64 {
        let moved = |part: &Part| if let Part::Moving { bytes, .. } = part { *bytes } else { 0 };
        self.parts.values().map(moved).sum()
    }

    /// Bytes and rate, in a few words.
    fn summary(&self) -> Option<String> {
        let bytes = self.bytes();
        if bytes == 0 {
            return None;
        }
        let rate = bytes as f64 / self.began.elapsed().as_secs_f64().max(0.001);
        Some(format!("{}, {}/s", size(bytes), size(rate as u64)))
    }

    /// What a follower who knows `told` has to hear.
    fn news(&self, image: &str, told: &BTreeMap<String, Part>) -> Vec<EventKind> {
        let changed = self.parts.iter().filter(|(name, part)| told.get(*name) != Some(part));
        let mut news: Vec<EventKind> = changed
            .map(|(name, part)| self.layer(Subject::Layer(image.to_owned(), name.clone()), *part))
            .collect();
        if !news.is_empty() {
            news.push(self.image(image, self.way.words()[0], false));
        }
        news
    }

    fn layer(&self, subject: Subject, part: Part) -> EventKind {
        let [_, moving, moved] = self.way.words();
        let (state, detail, done) = match part {
            Part::Present => ("present", None, true),
            Part::Moving { bytes, total } if bytes == total => (moved, Some(size(total)), true),
            Part::Moving { bytes, total } => {
                (moving, Some(format!("{} of {}", size(bytes), size(total))), false)
            }
        };
        EventKind::Progress { subject, state: state.to_owned(), detail, done }
    }

    fn image(&self, image: &str, state: &str, done: bool) -> EventKind {
        let subject = Subject::Image(image.to_owned());
        EventKind::Progress { subject, state: state.to_owned(), detail: self.summary(), done }
    }
}

/// Counts what the store tells. The transfer is given up when its last follower has gone.
pub(super) struct Counter<'a, T>(pub(super) &'a watch::Sender<State<T>>);

impl<T: Send + Sync> Progress for Counter<'_, T> {
    fn event(&self, event: Event) {
        self.0.send_modify(|state| state.take(event));
    }

    fn is_cancelled(&self) -> bool {
        self.0.is_closed()
    }
}

/// The transfer of `image` as a stream; whoever drops it follows no more.
pub(super) fn follow<T: Clone + Send + Sync + 'static>(
    image: String,
    mut states: watch::Receiver<State<T>>,
) -> WorkStream<T> {
    let (sink, items) = mpsc::channel(QUEUE);
    tokio::spawn(async move {
        tokio::select! {
            () = tell(&image, &mut states, &sink) => {}
            () = sink.closed() => {}
        }
    });
    Box::pin(ReceiverStream::new(items))
}

async fn tell<T: Clone>(
    image: &str,
    states: &mut watch::Receiver<State<T>>,
    sink: &mpsc::Sender<Result<Work<T>, ApiError>>,
) {
    let begun = states.borrow().image(image, states.borrow().way.words()[0], false);
    let mut told = BTreeMap::new();
    if sink.send(Ok(Work::Event(begun))).await.is_err() {
        return;
    }
    loop {
        let state = states.borrow_and_update().clone();
        for event in state.news(image, &told) {
            if sink.send(Ok(Work::Event(event))).await.is_err() {
                return;
            }
        }
        if let Some(outcome) = &state.outcome {
            if outcome.is_ok() {
                let end = state.image(image, state.way.words()[2], true);
                let _ = sink.send(Ok(Work::Event(end))).await;
            }
            let _ = sink.send(outcome.clone().map(Work::Done)).await;
            return;
        }
        told = state.parts;
        tokio::time::sleep(PACE).await;
        if states.changed().await.is_err() {
            let lost = ApiError::new(hoist_wire::ErrorKind::Internal, "the transfer's thread ended");
            let _ = sink.send(Err(lost)).await;
            return;
        }
    }
}

/// Bytes as people read them, in the powers of ten that docker shows.
fn size(bytes: u64) -> String {
    let units = ["B", "kB", "MB", "GB", "TB"];
    let (mut value, mut unit) = (bytes as f64, 0);
    while value >= 1000.0 && unit + 1 < units.len() {
        value /= 1000.0;
        unit += 1;
    }
    if unit == 0 { format!("{bytes} B") } else { format!("{value:.1} {}", units[unit]) }
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt;

    use super::*;

    #[tokio::test]
    async fn all_who_follow_hear_of_it_and_it_is_given_up_when_nobody_does() {
        let (states, first) = watch::channel(State::<u8>::new(Way::Pull));
        let other = follow("a:1".into(), states.subscribe());
        let mut items = follow("a:1".into(), first);
        let blob = Digest::of(b"blob");
        let counter = Counter(&states);
        counter.event(Event::Fetching { blob, total: 2000 });
        counter.event(Event::Fetched { blob, bytes: 500 });
        assert!(items.next().await.is_some_and(|item| matches!(item, Ok(Work::Event(_)))));
        drop(other);
        assert!(!counter.is_cancelled());
        let Some(Ok(Work::Event(EventKind::Progress { detail, .. }))) = items.next().await else { panic!() };
        assert_eq!(detail.as_deref(), Some("500 B of 2.0 kB"));
        states.send_modify(|state| state.end(Ok(7)));
        let rest: Vec<_> = items.collect().await;
        assert!(matches!(rest.last(), Some(Ok(Work::Done(7)))), "{rest:?}");
        tokio::task::yield_now().await;
        assert!(counter.is_cancelled());
    }
}
