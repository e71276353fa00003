//! What the cluster loop's shell acts through, and how a daemon does: hosts, images, and whoever follows an operation.

use std::collections::BTreeMap;
use std::sync::Arc;

use hoist_model::{Endpoints, EventKind, HostSpec};
use hoist_planner::cluster::{ClusterLoop, ImageWanted, Input, OpId, Refusal, Restored};
use hoist_wire::HostApi;
use tokio::sync::{mpsc, watch};

use crate::operations::Operations;
use crate::publish::Outbox;
use crate::settle::Settling;
use crate::snapshot::Snapshot;

/// Acts as the loop asks. Each returns at once; what comes of it is an input of its own.
pub trait Effects {
    /// A request is begun with. False: it was withdrawn, and whoever asked was told that it won't be done.
    fn take(&mut self, op: OpId) -> bool;

    /// Settles images, then says so once.
    fn settle_images(&mut self, op: OpId, images: Vec<ImageWanted>);

    /// Sends a spec until the host has accepted it; a newer one takes its place.
    fn put_spec(&mut self, spec: HostSpec);

    /// Sends endpoints until the host has accepted them; newer ones take their place.
    fn put_endpoints(&mut self, endpoints: Endpoints);

    /// Tells whoever follows the operation.
    fn emit(&mut self, op: OpId, event: EventKind);

    /// Answers a request with an error.
    fn refuse(&mut self, op: OpId, refusal: Refusal);

    /// Shows what is wanted and known.
    fn show(&mut self, control: &ClusterLoop);
}

/// The effects of a daemon.
pub(crate) struct ClusterEffects {
    pub(crate) host: Arc<dyn HostApi>,
    pub(crate) outbox: Outbox,
    pub(crate) operations: Operations,
    pub(crate) inbox: mpsc::UnboundedSender<Input>,
    pub(crate) snapshot: watch::Sender<Snapshot>,
}

impl Effects for ClusterEffects {
    fn take(&mut self, op: OpId) -> bool {
        self.operations.take(op)
    }

    fn settle_images(&mut self, op: OpId, images: Vec<ImageWanted>) {
        let settling = Settling {
            host: Arc::clone(&self.host),
            operations: self.operations.clone(),
            op,
            snapshot: self.snapshot.subscribe(),
        };
        let inbox = self.inbox.clone();
        tokio::spawn(async move {
            let images = settling.all(images).await;
            let _ = inbox.send(Input::ImagesResolved { op, images });
        });
    }

    fn put_spec(&mut self, spec: HostSpec) {
        self.outbox.put_spec(spec);
    }

    fn put_endpoints(&mut self, endpoints: Endpoints) {
        self.outbox.put_endpoints(endpoints);
    }

    fn emit(&mut self, op: OpId, event: EventKind) {
        self.operations.emit(op, event);
    }

    fn refuse(&mut self, op: OpId, refusal: Refusal) {
        self.operations.refuse(op, refusal);
    }

    fn show(&mut self, control: &ClusterLoop) {
        let before = self.snapshot.borrow().clone();
        // Unchanged parts keep their allocation: a report changes the view only.
        let share = |old: &Arc<BTreeMap<_, _>>, new: &BTreeMap<_, _>| {
            if **old == *new { Arc::clone(old) } else { Arc::new(new.clone()) }
        };
        let stacks = share(&before.stacks, control.stacks());
        let specs =
            if *before.specs == *control.specs() { before.specs } else { Arc::new(control.specs().clone()) };
        let rest =
            if same_rest(&before.rest, control.known()) { before.rest } else { Arc::new(rest(control)) };
        self.snapshot.send_replace(Snapshot { stacks, specs, rest, view: Arc::new(control.view().clone()) });
    }
}

/// What the loop knows beside stacks and specs.
pub(crate) fn rest(control: &ClusterLoop) -> Restored {
    let Restored { endpoints, record, pool, leadership, .. } = control.known();
    Restored {
        endpoints: endpoints.clone(),
        record: record.clone(),
        pool: pool.clone(),
        leadership: *leadership,
        ..Restored::default()
    }
}

fn same_rest(old: &Restored, new: &Restored) -> bool {
    old.endpoints == new.endpoints && old.record == new.record && old.leadership == new.leadership
}
