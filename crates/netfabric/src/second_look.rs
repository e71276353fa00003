//! Packets that were on their way when the rules changed make flows again that were just deleted; by now they are
//! through. One thread per fabric deletes them once more, a moment later, and ends when there is nothing left to do.

use std::collections::VecDeque;
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::apply;
use crate::op::Flows;
use crate::place::{Place, Sockets};
use crate::side::Side;

/// By then they are through.
const A_MOMENT: Duration = Duration::from_millis(100);

/// What is to be looked for again.
#[derive(Clone, Debug, Default)]
pub(crate) struct SecondLook(Arc<Mutex<Due>>);

#[derive(Debug, Default)]
struct Due {
    flows: VecDeque<(Instant, Flows)>,
    running: bool,
}

impl SecondLook {
    /// Looks for these flows again. Nobody waits for it; what fails is seen by the next flip.
    pub(crate) fn later(&self, host: &Place, fabric: &Place, flows: Vec<Flows>) {
        if flows.is_empty() {
            return;
        }
        let at = Instant::now() + A_MOMENT;
        let mut due = self.due();
        due.flows.extend(flows.into_iter().map(|flows| (at, flows)));
        if due.running {
            return;
        }
        let clone = |place: &Place| place.netns().try_clone_to_owned();
        if let (Ok(host), Ok(fabric)) = (clone(host), clone(fabric)) {
            let look = self.clone();
            let started = thread::Builder::new().name("hoist-flows".to_owned()).spawn(move || {
                let mut sides: Vec<(Side, Sockets)> = [(Side::Host, host), (Side::Fabric, fabric)]
                    .into_iter()
                    .filter_map(|(side, netns)| Some((side, Sockets::open(netns.as_fd()).ok()?)))
                    .collect();
                while let Some(flows) = look.next() {
                    for (side, sockets) in &mut sides {
                        let _ = apply::forget(*side, sockets, &flows);
                    }
                }
            });
            due.running = started.is_ok();
        }
        if !due.running {
            // Without a thread the second look is left out: the first one has deleted what there was.
            due.flows.clear();
        }
    }

    /// Those whose time has come, all together; `None`, and the thread ends, when there are no more.
    fn next(&self) -> Option<Vec<Flows>> {
        let at = {
            let mut due = self.due();
            due.running = !due.flows.is_empty();
            due.flows.front()?.0
        };
        thread::sleep(at.saturating_duration_since(Instant::now()));
        let mut due = self.due();
        let count = due.flows.partition_point(|(at, _)| *at <= Instant::now());
        Some(due.flows.drain(..count).map(|(_, flows)| flows).collect())
    }

    fn due(&self) -> MutexGuard<'_, Due> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
