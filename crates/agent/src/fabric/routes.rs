//! Follows the host's routes, and tells the loop of what is not ours among them.

use std::sync::Weak;
use std::time::Duration;

use hoist_netfabric as net;
use hoist_planner::host::Input;
use ipnetwork::IpNetwork;

use super::{Inner, ranges};
use crate::control::inbox::Message;

/// Changes within this time are told together.
const TOGETHER: Duration = Duration::from_millis(20);

/// Changes of routes come in crowds; the last one counts.
pub(super) async fn follow(inner: Weak<Inner>) {
    let mut watch = match net::RouteWatch::open() {
        Ok(watch) => watch,
        Err(error) => return tracing::warn!("changes of the host's routes aren't seen: {error}"),
    };
    let mut told: Option<Vec<IpNetwork>> = None;
    while watch.changed().await.is_ok() {
        while tokio::time::timeout(TOGETHER, watch.changed()).await.is_ok_and(|changed| changed.is_ok()) {}
        let Some(inner) = inner.upgrade() else { return };
        let tag = inner.tag.clone();
        let Ok(Ok(routes)) = tokio::task::spawn_blocking(move || ranges::foreign(&tag)).await else {
            continue;
        };
        if told.as_ref() != Some(&routes) {
            told = Some(routes.clone());
            let _ = inner.inbox.send(Message::Input(Input::Routes(routes)));
        }
    }
}
